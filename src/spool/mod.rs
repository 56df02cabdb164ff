//! Crontab files: finds and reads them safely, installs them durably, and decides who may use crontab(1).

pub mod access;
mod check;
mod find;
pub mod install;
mod label;
mod links;
mod machine;
pub mod names;
mod read;
mod scan;

pub use check::unreadable;
pub use find::{Found, Refusal, RefusalKind};
pub use links::watched_directories;
pub use machine::ThisMachine;
pub use read::{TableFile, parse};
pub use scan::{CLUSTER_HOST_FILE, FileState, FileStates, Finder, ScanError, ScanOutcome, StateOf, Visitor};
