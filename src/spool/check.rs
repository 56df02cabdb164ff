//! Whether an open file may be used as a crontab: the profile's rules for owner, type, mode and number of links.

use super::find::{Refusal, RefusalKind};
use crate::profile::ProfileName;
use crate::scheduler::{Owner, Source};
use crate::sys::files::{self, Stat};
use std::io;

/// Which rules apply to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// The rules of the profile's reference implementation.
    Profile,
    /// cronie's `-p`: owner, mode and links do not matter.
    AnyOwnerAndMode,
}

/// Checks an open crontab. `uid` is its user's, none for a system crontab.
pub fn check(stat: &Stat, uid: Option<u32>, profile: ProfileName, strictness: Strictness) -> Result<(), RefusalKind> {
    if strictness == Strictness::AnyOwnerAndMode {
        // A FIFO or a device is never a crontab, whatever its mode.
        return if stat.is_regular() { Ok(()) } else { Err(RefusalKind::NotRegular) };
    }
    let owner_right = stat.uid == 0 || uid == Some(stat.uid);
    let mode_right = match (profile, uid) {
        (ProfileName::Debian, Some(_)) => stat.permissions() == 0o600,
        (ProfileName::Debian, None) => stat.mode & 0o022 == 0,
        // Readable by its owner, writable by nobody else, executable by none, no set-id bits.
        (ProfileName::Cronie, _) => stat.mode & 0o7533 == 0o400,
    };
    // Anybody who may write to the same file system can make a hard link to a root-owned system crontab. This must not
    // disable the crontab (CVE-2007-1856).
    let links_right = stat.links == 1 || uid.is_none();
    match profile {
        ProfileName::Debian if !owner_right => Err(RefusalKind::WrongOwner),
        _ if !stat.is_regular() => Err(RefusalKind::NotRegular),
        _ if !mode_right => Err(RefusalKind::InsecureMode),
        _ if !owner_right => Err(RefusalKind::WrongOwner),
        _ if !links_right => Err(RefusalKind::HardLinks),
        _ => Ok(()),
    }
}

/// A refusal in the wording of the profile's reference implementation. `error` is the error of the system call, if one
/// failed.
pub fn refusal(kind: RefusalKind, source: &Source, error: Option<&io::Error>, profile: ProfileName) -> Refusal {
    let debian = profile == ProfileName::Debian;
    let user_table = matches!(source.owner, Owner::User { .. });
    let event = match kind {
        RefusalKind::Orphan | RefusalKind::UserNotYetKnown => "ORPHAN",
        RefusalKind::CannotOpenLink if debian => "CAN'T OPEN SYMLINK",
        RefusalKind::CannotOpen | RefusalKind::CannotOpenLink => "CAN'T OPEN",
        RefusalKind::CannotStat if debian => "FSTAT FAILED",
        RefusalKind::CannotStat => "STAT FAILED",
        RefusalKind::CannotRead => "CAN'T READ",
        RefusalKind::WrongOwner => "WRONG FILE OWNER",
        RefusalKind::NotRegular if debian => "NOT A REGULAR FILE",
        RefusalKind::NotRegular => "NOT REGULAR",
        RefusalKind::InsecureMode if !debian => "BAD FILE MODE",
        RefusalKind::InsecureMode if user_table => "INSECURE MODE (mode 0600 expected)",
        RefusalKind::InsecureMode => "INSECURE MODE (group/other writable)",
        RefusalKind::HardLinks if debian => "NUMBER OF HARD LINKS > 1",
        RefusalKind::HardLinks => "BAD LINK COUNT",
        RefusalKind::WrongLinkOwner => "WRONG SYMLINK OWNER",
        RefusalKind::Unauthorized => "Unauthorized SELinux context",
    };
    // For system crontabs cronie logs the user root, Debian's cron the name of the crontab.
    let user = if debian || user_table { source.name.clone() } else { "root".to_owned() };
    let detail = match kind {
        RefusalKind::Orphan | RefusalKind::UserNotYetKnown => "no passwd entry".to_owned(),
        _ => source.path.clone(),
    };
    // Debian's cron does not log the system's error. It is added only where Debian's cron has no such case: files of the
    // caller, and limits of this program, which users could not guess.
    let is_momentary = error.is_some_and(files::is_momentary);
    let is_ours = |error: &&io::Error| is_momentary || error.kind() == io::ErrorKind::FileTooLarge;
    let error = error
        .filter(|error| !debian || source.owner == Owner::Caller || is_ours(error))
        .map(files::reason)
        .unwrap_or_default();
    Refusal { kind, user, event, detail, error, is_momentary }
}

/// The refusal of a crontab that could not be read.
pub fn unreadable(source: &Source, error: &io::Error, profile: ProfileName) -> Refusal {
    refusal(RefusalKind::CannotRead, source, Some(error), profile)
}

#[cfg(test)]
mod tests {
    use super::*;
    use RefusalKind::*;

    const FILE: u32 = libc::S_IFREG;

    fn stat(mode: u32, uid: u32, links: u64) -> Stat {
        Stat { dev: 1, ino: 1, links, size: 0, mtime_ns: 0, ctime_ns: 0, uid, gid: 0, mode }
    }

    #[test]
    fn each_profile_refuses_what_its_reference_refuses() {
        let alice = Some(1000);
        for (stat, user, debian, cronie) in [
            (stat(FILE | 0o600, 1000, 1), alice, Ok(()), Ok(())),
            (stat(FILE | 0o600, 0, 1), alice, Ok(()), Ok(())),
            (stat(FILE | 0o600, 1001, 1), alice, Err(WrongOwner), Err(WrongOwner)),
            (stat(FILE | 0o644, 1000, 1), alice, Err(InsecureMode), Ok(())),
            (stat(FILE | 0o400, 1000, 1), alice, Err(InsecureMode), Ok(())),
            (stat(FILE | 0o660, 1000, 1), alice, Err(InsecureMode), Err(InsecureMode)),
            (stat(FILE | 0o700, 1000, 1), alice, Err(InsecureMode), Err(InsecureMode)),
            (stat(FILE | 0o4600, 1000, 1), alice, Err(InsecureMode), Err(InsecureMode)),
            (stat(FILE | 0o600, 1000, 2), alice, Err(HardLinks), Err(HardLinks)),
            (stat(libc::S_IFIFO | 0o600, 1000, 1), alice, Err(NotRegular), Err(NotRegular)),
            (stat(libc::S_IFDIR | 0o600, 1000, 1), alice, Err(NotRegular), Err(NotRegular)),
            (stat(FILE | 0o644, 0, 1), None, Ok(()), Ok(())),
            (stat(FILE | 0o755, 0, 1), None, Ok(()), Err(InsecureMode)),
            (stat(FILE | 0o664, 0, 1), None, Err(InsecureMode), Err(InsecureMode)),
            (stat(FILE | 0o646, 0, 1), None, Err(InsecureMode), Err(InsecureMode)),
            (stat(FILE | 0o644, 1000, 1), None, Err(WrongOwner), Err(WrongOwner)),
            (stat(FILE | 0o644, 0, 2), None, Ok(()), Ok(())),
        ] {
            assert_eq!(check(&stat, user, ProfileName::Debian, Strictness::Profile), debian, "{stat:?} {user:?}");
            assert_eq!(check(&stat, user, ProfileName::Cronie, Strictness::Profile), cronie, "{stat:?} {user:?}");
        }
    }

    #[test]
    fn the_permit_option_waves_through_everything_but_what_is_no_file() {
        let any = Strictness::AnyOwnerAndMode;
        assert_eq!(check(&stat(FILE | 0o777, 5, 3), Some(1000), ProfileName::Cronie, any), Ok(()));
        assert_eq!(check(&stat(libc::S_IFIFO | 0o600, 0, 1), Some(1000), ProfileName::Cronie, any), Err(NotRegular));
    }
}
