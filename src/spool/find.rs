//! A table's file as it was found, and why a table is refused.

use super::read::TableFile;
use crate::scheduler::Source;
use crate::sys::stamp::Stamp;
use std::path::PathBuf;

/// A table's file as it was found.
#[derive(Debug)]
pub struct Found {
    /// Its place in the plan.
    pub source: Source,
    /// Its state (of the link's target where it is a link); all zero when it could not be opened.
    pub stamp: Stamp,
    /// The open file, or why it may not be used.
    pub content: Result<TableFile, Refusal>,
    /// Where it is a symbolic link: the directories in which a change can change what it leads to, nearest first.
    pub watch: Vec<PathBuf>,
}

/// Why a table is not used, in the profile's wording for the log: `(USER) EVENT (DETAIL)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub kind: RefusalKind,
    /// What goes in the first parentheses.
    pub user: String,
    /// `INSECURE MODE (mode 0600 expected)`, `WRONG FILE OWNER`, `ORPHAN`.
    pub event: &'static str,
    /// What goes in the last parentheses: the path, or `no passwd entry`.
    pub detail: String,
    /// What the kernel said, where the profile's reference implementation tells it after a colon; else empty.
    pub error: String,
}

impl Refusal {
    /// The whole text for the log; none where nothing is to be said yet.
    pub fn text(&self) -> Option<String> {
        let colon = if self.error.is_empty() { "" } else { ": " };
        (self.kind != RefusalKind::UserNotYetKnown)
            .then(|| format!("({}) {} ({}){colon}{}", self.user, self.event, self.detail, self.error))
    }
}

/// What is wrong with a table's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// No user has the file's name. May mend itself without a change of the file.
    Orphan,
    /// It is not known yet whether a user has the file's name; nothing is logged, ask again.
    UserNotYetKnown,
    /// open(2) failed.
    CannotOpen,
    /// It is a symbolic link that leads nowhere.
    CannotOpenLink,
    /// fstat(2) failed.
    CannotStat,
    /// Reading failed.
    CannotRead,
    /// There was not enough memory to read it. May mend itself.
    OutOfMemory,
    /// Neither root nor the user owns it.
    WrongOwner,
    /// It is a directory, a device, a FIFO or a socket.
    NotRegular,
    /// Its mode lets the wrong people write or read.
    InsecureMode,
    /// It has a second name.
    HardLinks,
    /// A symbolic link that root does not own.
    WrongLinkOwner,
    /// SELinux does not let its owner's jobs come from it. May mend itself by a change of the policy.
    Unauthorized,
}

impl RefusalKind {
    /// Whether it may end without a change of the file, so that it must be looked at again.
    pub fn may_mend_itself(self) -> bool {
        matches!(
            self,
            RefusalKind::Orphan
                | RefusalKind::OutOfMemory
                | RefusalKind::UserNotYetKnown
                | RefusalKind::CannotOpenLink
                | RefusalKind::Unauthorized
        )
    }
}
