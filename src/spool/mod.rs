//! Crontab files: finds and reads them safely, installs them durably, and decides who may use crontab(1).
//!
//! | file | content |
//! |---|---|
//! | `scan`, `links`, `names` | finding crontabs; directories that symbolic links depend on; which file names count |
//! | `check`, `selinux` | whether an open file may be used: owner, type, mode and links; its SELinux label |
//! | `find` | the types of the two rows above: files as they were found, and reasons to refuse one |
//! | `read` | reading a file in pieces, for the parser |
//! | `install`, `access` | installing and removing crontabs; cron.allow and cron.deny |
//! | `machine` | users and programs of this machine, for warnings |

pub mod access;
mod check;
mod find;
pub mod install;
mod links;
mod machine;
pub mod names;
mod read;
mod scan;
mod selinux;

pub use check::unreadable;
pub use find::{Found, Refusal, RefusalKind};
pub use links::watched_directories;
pub use machine::ThisMachine;
pub use read::{TableFile, parse};
pub use scan::{CLUSTER_HOST_FILE, FileState, FileStates, Finder, ScanError, ScanOutcome, StateOf, Visitor};
