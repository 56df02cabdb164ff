//! Finds and reads tables safely, installs them durably, and knows who may.

pub mod access;
mod check;
mod find;
pub mod install;
mod label;
mod links;
pub mod names;
mod read;
mod scan;

pub use check::unreadable;
pub use find::{Found, Refusal, RefusalKind};
pub use links::watched_directories;
pub use read::{TableFile, parse};
pub use scan::{CLUSTER_HOST_FILE, Finder, Look, ScanError, StateOf, Visitor};
