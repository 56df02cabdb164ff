//! Who may use crontab(1): cron.allow and cron.deny. The daemon does not read them, so existing crontabs keep running.

use crate::profile::shared;
use crate::sys::files;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The paths of the two lists.
#[derive(Clone, Debug)]
pub struct Lists {
    /// The list of users who may use crontab(1).
    pub allow: PathBuf,
    /// Users who may not; read only if there is no allow list.
    pub deny: PathBuf,
}

impl Default for Lists {
    fn default() -> Lists {
        Lists { allow: shared::ALLOW.into(), deny: shared::DENY.into() }
    }
}

/// The result of a check of the lists.
#[derive(Debug)]
pub enum AccessDecision {
    /// The user may use crontab(1).
    Allowed,
    /// The user may not use crontab(1).
    Denied,
    /// A list exists but cannot be read, which denies everybody.
    Unreadable {
        /// The path of the list.
        path: PathBuf,
        /// The error from opening or reading it.
        source: io::Error,
    },
}

/// Whether a list contains a name.
#[derive(Debug)]
enum Listed {
    Yes,
    No,
    NoList,
    Unreadable(io::Error),
}

/// Whether `name`, who is not root, may use crontab(1). `open_to_all` is the answer if neither list exists. A list that
/// exists but cannot be read denies.
pub fn may_use(name: &str, lists: &Lists, open_to_all: bool) -> AccessDecision {
    let unreadable = |path: &Path, source| AccessDecision::Unreadable { path: path.to_owned(), source };
    match ask(&lists.allow, name) {
        Listed::Yes => return AccessDecision::Allowed,
        Listed::No => return AccessDecision::Denied,
        Listed::Unreadable(source) => return unreadable(&lists.allow, source),
        Listed::NoList => {}
    }
    match ask(&lists.deny, name) {
        Listed::No => AccessDecision::Allowed,
        Listed::Yes => AccessDecision::Denied,
        Listed::Unreadable(source) => unreadable(&lists.deny, source),
        Listed::NoList if open_to_all => AccessDecision::Allowed,
        Listed::NoList => AccessDecision::Denied,
    }
}

/// Compares whole lines, byte by byte. The reference implementations miss a last line without a newline; here it counts.
fn ask(path: &Path, name: &str) -> Listed {
    match read(path) {
        Ok(text) if text.split(|b| *b == b'\n').any(|line| line == name.as_bytes()) => Listed::Yes,
        Ok(_) => Listed::No,
        // A dangling symbolic link counts as an unreadable list, not as a missing one.
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() => Listed::NoList,
        Err(error) => Listed::Unreadable(error),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Enough for a million names. A larger list is an error, which denies.
    const MOST: usize = 16 << 20;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let stat = files::stat(&file)?;
    if !stat.is_regular() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    files::read_to_end(&file, stat.size, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn may_use(name: &str, lists: &Lists, open_to_all: bool) -> bool {
        matches!(super::may_use(name, lists, open_to_all), AccessDecision::Allowed)
    }

    /// A scratch directory with the lists that a row asks for; none: no file.
    fn lists(allow: Option<&[u8]>, deny: Option<&[u8]>) -> (tempfile::TempDir, Lists) {
        let dir = tempfile::tempdir().unwrap();
        let lists = Lists { allow: dir.path().join("allow"), deny: dir.path().join("deny") };
        for (path, text) in [(&lists.allow, allow), (&lists.deny, deny)] {
            if let Some(text) = text {
                fs::write(path, text).unwrap();
            }
        }
        (dir, lists)
    }

    #[test]
    fn the_truth_table_of_allow_and_deny() {
        let with = Some(b"bob\nalice\n".as_slice());
        let without = Some(b"bob\n".as_slice());
        let empty = Some(b"".as_slice());
        for (allow, deny, debian, cronie) in [
            (None, None, true, false),
            (with, None, true, true),
            (without, None, false, false),
            (empty, None, false, false),
            (None, with, false, false),
            (None, without, true, true),
            (None, empty, true, true),
            (with, with, true, true),
            (without, without, false, false),
        ] {
            let (_dir, lists) = lists(allow, deny);
            assert_eq!(may_use("alice", &lists, true), debian, "{allow:?} {deny:?} in debian");
            assert_eq!(may_use("alice", &lists, false), cronie, "{allow:?} {deny:?} in cronie");
        }
    }

    #[test]
    fn lines_are_compared_whole_and_the_last_needs_no_newline() {
        for (text, listed) in [
            ("alice", true),
            ("bob\nalice", true),
            ("alice ", false),
            (" alice\n", false),
            ("alice2\n", false),
            ("# alice\n", false),
            ("al\0ice\n", false),
            ("alice\0\n", false),
        ] {
            let (_dir, lists) = lists(Some(text.as_bytes()), None);
            assert_eq!(may_use("alice", &lists, true), listed, "{text:?}");
        }
    }

    #[test]
    fn a_list_that_cannot_be_read_denies() {
        let (dir, lists) = lists(None, None);
        type Make = fn(&Path);
        let cases: [(&str, Make); 4] = [
            ("a directory", |path| fs::create_dir(path).unwrap()),
            ("a link to nowhere", |path| symlink("nowhere", path).unwrap()),
            ("a link to itself", |path| symlink(path, path).unwrap()),
            ("a FIFO", |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRUSR).unwrap()),
        ];
        for (what, make) in cases {
            for list in [&lists.allow, &lists.deny] {
                make(list);
                assert!(!may_use("alice", &lists, true), "{what} as {}", list.display());
                fs::remove_file(list).or_else(|_| fs::remove_dir(list)).unwrap();
            }
        }
        drop(dir);
    }
}
