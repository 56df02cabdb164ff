//! Types shared by this module: the paths of crontabs, stamps that detect changes of files, and reasons to refuse a crontab.

use super::read::TableFile;
use crate::scheduler::Source;
use crate::sys::files::Stat;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;

/// The paths of crontabs.
#[derive(Clone, Debug)]
pub struct Places {
    /// The directory of the users' crontabs.
    pub spool: PathBuf,
    /// The system crontab.
    pub system_crontab: PathBuf,
    /// The directory of drop-in crontabs.
    pub cron_d: PathBuf,
}

impl Places {
    /// The default paths of a profile.
    pub fn of(profile: &crate::profile::Profile) -> Places {
        use crate::profile::shared;
        Places {
            spool: profile.spool.into(),
            system_crontab: shared::SYSTEM_CRONTAB.into(),
            cron_d: shared::CRON_D.into(),
        }
    }
}

/// Identifies a state of a file: if the stamp is unchanged, so is the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stamp {
    /// The device number of its file system.
    pub dev: u64,
    /// Its inode number.
    pub ino: u64,
    /// The size in bytes.
    pub size: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Change time, nanoseconds since 1970.
    pub ctime_ns: i64,
    /// The owner's uid.
    pub uid: u32,
    /// File type and mode bits.
    pub mode: u32,
}

/// Hashes all fields at once, because a scan of many files hashes a stamp for each.
impl Hash for Stamp {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let kind = u64::from(self.uid) << 32 | u64::from(self.mode);
        let words = [self.dev, self.ino, self.size, self.mtime_ns as u64, self.ctime_ns as u64, kind];
        state.write(words.map(u64::to_ne_bytes).as_flattened());
    }
}

impl From<&Stat> for Stamp {
    fn from(s: &Stat) -> Stamp {
        Stamp {
            dev: s.dev,
            ino: s.ino,
            size: s.size,
            mtime_ns: s.mtime_ns,
            ctime_ns: s.ctime_ns,
            uid: s.uid,
            mode: s.mode,
        }
    }
}

/// A crontab file that was found.
#[derive(Debug)]
pub struct Found {
    /// Path, name and owner.
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
    /// The reason.
    pub kind: RefusalKind,
    /// The text in the first parentheses.
    pub user: String,
    /// `INSECURE MODE (mode 0600 expected)`, `WRONG FILE OWNER`, `ORPHAN`.
    pub event: &'static str,
    /// The text in the last parentheses: the path, or `no passwd entry`.
    pub detail: String,
    /// The system's error, if the profile's reference implementation logs it after a colon; otherwise empty.
    pub error: String,
}

impl Refusal {
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
    /// There was not enough memory to read it. Retried.
    OutOfMemory,
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
    /// Whether the reason may disappear without a change of the file, so that the file must be checked again.
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
