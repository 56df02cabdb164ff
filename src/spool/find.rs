//! Types shared by this module: a crontab's file as it was found, and reasons to refuse one.

use super::read::TableFile;
use crate::scheduler::Source;
use crate::sys::stamp::Stamp;
use std::path::PathBuf;

/// A crontab file that was found.
#[derive(Debug)]
pub struct Found {
    /// Path of the file, its name for the log, and its owner.
    pub source: Source,
    /// The stamp of the file (of the target if it is a link); all zero if it could not be opened.
    pub stamp: Stamp,
    /// The open file, or why it may not be used.
    pub content: Result<TableFile, Refusal>,
    /// If it is a symbolic link: the directories in which a change can change its target, nearest first.
    pub watch: Vec<PathBuf>,
}

/// Why a crontab is not used, in the profile's wording for the log: `(USER) EVENT (DETAIL)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason why it may not be used.
    pub kind: RefusalKind,
    /// The text in the first parentheses.
    pub user: String,
    /// `INSECURE MODE (mode 0600 expected)`, `WRONG FILE OWNER`, `ORPHAN`.
    pub event: &'static str,
    /// The text in the last parentheses: the path, or `no passwd entry`.
    pub detail: String,
    /// The system's error, if the profile's reference implementation logs it after a colon; otherwise empty.
    pub error: String,
    /// Whether the system could not say anything about the file at that moment, for lack of memory or an answer of the disk.
    pub is_momentary: bool,
}

impl Refusal {
    /// Why, for people: what was found, and the details.
    pub fn reason(&self) -> String {
        let error = if self.error.is_empty() { String::new() } else { format!(": {}", self.error) };
        format!("{} ({}){error}", self.event, self.detail)
    }
}

impl Refusal {
    /// Whether the reason may disappear without a change of the file, so that the file must be checked again.
    pub fn is_temporary(&self) -> bool {
        self.is_momentary || self.kind.is_temporary()
    }

    /// The complete text for the log. None if nothing is to be logged yet.
    pub fn text(&self) -> Option<String> {
        let colon = if self.error.is_empty() { "" } else { ": " };
        (self.kind != RefusalKind::UserNotYetKnown)
            .then(|| format!("({}) {} ({}){colon}{}", self.user, self.event, self.detail, self.error))
    }
}

/// Why a crontab file is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// No user has the name of the file. Retried, because the user may be created later.
    Orphan,
    /// The user lookup has not finished yet. Nothing is logged, and the file is checked again.
    UserNotYetKnown,
    /// The system call open(2) failed.
    CannotOpen,
    /// It is a dangling symbolic link.
    CannotOpenLink,
    /// The system call fstat(2) failed.
    CannotStat,
    /// The file could not be read.
    CannotRead,
    /// Neither root nor the user owns it.
    WrongOwner,
    /// It is a directory, a device, a FIFO or a socket.
    NotRegular,
    /// Its mode permits access by others than its owner.
    InsecureMode,
    /// It has more than one hard link.
    HardLinks,
    /// It is a symbolic link that root does not own.
    WrongLinkOwner,
    /// SELinux does not let its owner's jobs be started from it. Retried, because the policy may change.
    Unauthorized,
}

impl RefusalKind {
    /// Whether the reason may disappear without a change of the file.
    fn is_temporary(self) -> bool {
        matches!(
            self,
            RefusalKind::Orphan
                | RefusalKind::UserNotYetKnown
                | RefusalKind::CannotOpenLink
                | RefusalKind::Unauthorized
        )
    }
}
