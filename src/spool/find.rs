//! Where tables are, which of them may be read, and whether one has changed.

use crate::plan::Source;
use std::path::PathBuf;

/// Where tables and lists are.
#[derive(Clone, Debug)]
pub struct Places {
    /// The users' tables.
    pub spool: PathBuf,
    /// The system table.
    pub system_crontab: PathBuf,
    /// Drop-ins.
    pub cron_d: PathBuf,
}

/// What tells one state of a file from another: equal stamps, equal content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stamp {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i128,
    /// Change time, nanoseconds since 1970.
    pub ctime_ns: i128,
    /// Owner.
    pub uid: u32,
    /// Type and mode bits.
    pub mode: u32,
}

/// A table's file as it was found.
#[derive(Debug)]
pub struct Found {
    /// Its place in the plan.
    pub source: Source,
    /// Its state.
    pub stamp: Stamp,
    /// Its bytes, or why they may not be used.
    pub content: Result<Box<[u8]>, Refusal>,
}

/// Why a table is not used, in the profile's wording for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `INSECURE MODE`, `WRONG FILE OWNER`, `ORPHAN`.
    pub event: &'static str,
    /// What goes in parentheses: the path, or `no passwd entry`.
    pub detail: String,
}
