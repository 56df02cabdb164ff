//! Users and programs of this machine, for warnings about lines of crontabs that refer to them.

use crate::crontab::Machine;
use crate::schedule::Timestamp;
use crate::sys::clock;
use crate::users::{User, local_names};
use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The directories in which programs are searched for by name.
const USUAL: [&str; 7] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/games"];

/// How far lookups of users and programs go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LookupScope {
    /// Everything is looked up, also by the name service.
    Everything,
    /// Only programs in the usual directories, so that nobody can make the caller wait: a path in a user's crontab may lead to a file system
    /// that hangs, and the name service may take long.
    UsualPrograms,
}

/// This machine. Each user is looked up once.
#[derive(Debug)]
pub struct ThisMachine {
    scope: LookupScope,
    users: RefCell<HashMap<Box<[u8]>, bool>>,
    local: OnceCell<HashSet<Box<[u8]>>>,
}

impl ThisMachine {
    /// For commands, which may wait.
    pub fn for_commands() -> ThisMachine {
        ThisMachine { scope: LookupScope::Everything, users: RefCell::default(), local: OnceCell::new() }
    }

    /// For the daemon, which may not.
    pub fn for_daemon() -> ThisMachine {
        ThisMachine { scope: LookupScope::UsualPrograms, ..ThisMachine::for_commands() }
    }

    /// A path that may be examined.
    fn path<'a>(&self, path: &'a [u8]) -> Option<&'a Path> {
        let path = Path::new(OsStr::from_bytes(path));
        let is_usual =
            || path.parent().is_some_and(|directory| USUAL.iter().any(|usual| directory == Path::new(usual)));
        (self.scope == LookupScope::Everything || is_usual()).then_some(path)
    }
}

impl Machine for ThisMachine {
    fn has_user(&self, name: &[u8]) -> Option<bool> {
        if self.scope == LookupScope::UsualPrograms {
            return None;
        }
        if let Some(known) = self.users.borrow().get(name) {
            return Some(*known);
        }
        let known = match std::str::from_utf8(name) {
            Ok(text) => User::by_name(text).ok()?.is_some(),
            Err(_) => false,
        };
        self.users.borrow_mut().insert(name.into(), known);
        Some(known)
    }

    fn has_local_user(&self, name: &[u8]) -> bool {
        self.scope == LookupScope::Everything && self.local.get_or_init(local_names).contains(name)
    }

    fn has_program(&self, path: &[u8]) -> Option<bool> {
        if path.contains(&b'/') {
            return is_program(self.path(path)?);
        }
        let name = OsStr::from_bytes(path);
        Some(USUAL.iter().any(|directory| is_program(&Path::new(directory).join(name)) == Some(true)))
    }

    fn is_bash(&self, path: &[u8]) -> bool {
        let target = self.path(path).and_then(|path| path.canonicalize().ok());
        target.is_some_and(|path| path.file_name() == Some(OsStr::new("bash")))
    }

    fn now(&self) -> Timestamp {
        Timestamp(clock::wall().seconds)
    }
}

/// Whether there is a program at that path. None: it may not be examined.
fn is_program(path: &Path) -> Option<bool> {
    match std::fs::metadata(path) {
        Ok(file) => Some(file.is_file() && file.permissions().mode() & 0o111 != 0),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Some(false),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_programs_are_found() {
        let machine = ThisMachine::for_commands();
        assert_eq!((machine.has_user(b"root"), machine.has_local_user(b"root")), (Some(true), true));
        assert_eq!(
            (machine.has_user(b"no-such-user-here"), machine.has_local_user(b"no-such-user-here")),
            (Some(false), false)
        );
        assert_eq!((machine.has_program(b"/bin/sh"), machine.has_program(b"sh")), (Some(true), Some(true)));
        assert_eq!(
            (machine.has_program(b"/no/such/sh"), machine.has_program(b"no-such-program")),
            (Some(false), Some(false))
        );
        assert_eq!(machine.has_program(b"/etc/passwd"), Some(false), "it cannot be executed");
        assert_eq!(machine.has_program(b"/etc"), Some(false), "a directory is no program");
    }

    #[test]
    fn the_daemon_asks_about_nothing_that_could_make_it_wait() {
        let machine = ThisMachine::for_daemon();
        assert_eq!((machine.has_user(b"root"), machine.has_local_user(b"root")), (None, false));
        assert_eq!(
            (machine.has_program(b"/bin/sh"), machine.has_program(b"/bin/no-such-shell")),
            (Some(true), Some(false))
        );
        for path in ["/no/such/sh", "/bin/../mnt/sh", "/bin/sub/sh", "../bin/sh", "/home/ann/sh"] {
            assert_eq!(machine.has_program(path.as_bytes()), None, "{path}");
        }
    }
}
