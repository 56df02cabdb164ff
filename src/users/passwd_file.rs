//! A file in the form of passwd(5), in which single users are looked up.

use crate::sys::error::{PathError, os_at};
use crate::sys::files;
use crate::sys::stamp::Stamp;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Some four hundred thousand users. With a larger file, the name service is asked for all of them.
const LARGEST: usize = 32 << 20;

/// The local users. The file's lines are taken in only as far as the users that are asked for need it: a few crontabs among many users do
/// not cost a table of all users.
#[derive(Debug)]
pub(super) struct PasswdFile {
    path: PathBuf,
    stamp: Option<Stamp>,
    failure: Option<String>,
    text: Vec<u8>,
    /// Where the lines begin that have not been taken in yet.
    rest: usize,
    /// The users of the lines before.
    users: HashMap<Box<[u8]>, u32>,
}

impl Default for PasswdFile {
    fn default() -> PasswdFile {
        PasswdFile::open("/etc/passwd")
    }
}

impl PasswdFile {
    /// Reads the file of that path.
    pub(super) fn open(path: impl Into<PathBuf>) -> PasswdFile {
        let mut file = PasswdFile {
            path: path.into(),
            stamp: None,
            failure: None,
            text: Vec::new(),
            rest: 0,
            users: HashMap::new(),
        };
        file.refresh();
        file
    }

    /// Why the file could not be read at the last [`PasswdFile::refresh`]. A missing file is no failure.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Reads the file again if it has changed. Without a readable file there are no local users.
    pub(super) fn refresh(&mut self) {
        let read = self.read_if_changed();
        self.failure = match &read {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Some(format!("{}: {}", self.path.display(), files::reason(error)))
            }
            _ => None,
        };
        let (stamp, text) = match read {
            Ok(None) => return,
            Ok(Some((stamp, text))) => (Some(stamp), text),
            Err(_) => (None, Vec::new()),
        };
        (self.stamp, self.text, self.rest, self.users) = (stamp, text, 0, HashMap::new());
    }

    fn read_if_changed(&self) -> io::Result<Option<(Stamp, Vec<u8>)>> {
        let file = File::open(&self.path)?;
        let stat = files::stat(&file)?;
        let stamp = Stamp::from(&stat);
        if Some(stamp) == self.stamp {
            return Ok(None);
        }
        Ok(Some((stamp, files::read_to_end(&file, stat.size, LARGEST)?)))
    }

    /// The uid of that login name. Of two lines with one name the first counts, as for getpwnam(3).
    pub(super) fn uid(&mut self, name: &str) -> Option<u32> {
        if let Some(uid) = self.users.get(name.as_bytes()) {
            return Some(*uid);
        }
        let PasswdFile { text, rest, users, .. } = self;
        while let Some(unread) = text.get(*rest..).filter(|unread| !unread.is_empty()) {
            let line = unread.split(|byte| *byte == b'\n').next().unwrap_or_default();
            *rest += line.len() + 1;
            // A line that begins with `+` or `-` belongs to the service `compat`, which is asked through libc.
            let is_local = !matches!(line.first(), Some(b'+' | b'-' | b'#'));
            let Some((found, uid)) = name_and_uid(line).filter(|_| is_local) else { continue };
            users.entry(found.into()).or_insert(uid);
            if found == name.as_bytes() {
                return Some(uid);
            }
        }
        // All users are known now.
        (self.text, self.rest) = (Vec::new(), 0);
        None
    }
}

impl PasswdFile {
    /// A login name of that uid.
    pub(super) fn name_of(&mut self, uid: u32) -> Option<String> {
        // Nobody has an empty name: this reads all users.
        self.uid("");
        let found = self.users.iter().find(|(_, other)| **other == uid);
        found.map(|(name, _)| String::from_utf8_lossy(name).into_owned())
    }
}

/// The user id and the group id of a local user, from /etc/passwd alone. None: there is no such user.
///
/// # Errors
/// The file is there and cannot be read.
pub fn local_account(name: &str) -> Result<Option<(u32, u32)>, PathError> {
    let path = Path::new("/etc/passwd");
    let text = match files::read_file(path, LARGEST) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(os_at("reading", path))?,
    };
    Ok(text.split(|byte| *byte == b'\n').find_map(|line| {
        let rest = line.strip_prefix(name.as_bytes())?.strip_prefix(b":")?;
        let mut ids = rest.split(|byte| *byte == b':').skip(1).map(|id| std::str::from_utf8(id).ok()?.parse().ok());
        Some((ids.next()??, ids.next()??))
    }))
}

/// The names of all local users; none if /etc/passwd cannot be read.
pub fn local_names() -> HashSet<Box<[u8]>> {
    let text = files::read_file(Path::new("/etc/passwd"), LARGEST).unwrap_or_default();
    text.split(|byte| *byte == b'\n').filter_map(name_and_uid).map(|(name, _)| name.into()).collect()
}

/// Name and uid of a line of passwd(5). None for a line that does not have them.
pub(super) fn name_and_uid(line: &[u8]) -> Option<(&[u8], u32)> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let uid = std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?;
    Some((name, uid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn file_of(text: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passwd");
        fs::write(&path, text).unwrap();
        (directory, path)
    }

    #[test]
    fn passwd_lines_give_names_and_the_first_of_two_counts() {
        let text = b"root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/:\nalice:x:2:2::/:\nbad\n+::::::\n-x:x:1:\nno:x:abc:\nend:x:5";
        let (_directory, path) = file_of(text);
        let expected = [
            ("root", Some(0)),
            ("alice", Some(1000)),
            ("bad", None),
            ("+", None),
            ("-x", None),
            ("no", None),
            ("", None),
            ("end", Some(5)),
        ];
        for (name, uid) in expected {
            assert_eq!(PasswdFile::open(&path).uid(name), uid, "{name:?} alone");
        }
        for order in [expected.to_vec(), expected.into_iter().rev().collect()] {
            let mut users = PasswdFile::open(&path);
            for (name, uid) in order {
                assert_eq!(users.uid(name), uid, "{name:?} after others");
            }
        }
    }

    #[test]
    fn lines_behind_the_users_that_are_asked_for_are_not_taken_in() {
        let (_directory, path) = file_of(b"a:x:1:1::/:\nb:x:2:2::/:\nc:x:3:3::/:\nd:x:4:4::/:\n");
        let mut users = PasswdFile::open(&path);
        assert_eq!(users.uid("b"), Some(2));
        assert_eq!(users.users.len(), 2);
        assert_eq!(users.uid("a"), Some(1));
        assert_eq!(users.users.len(), 2);
        assert_eq!(users.uid("nobody"), None);
        assert_eq!((users.users.len(), users.text.len()), (4, 0));
        assert_eq!(users.uid("d"), Some(4));
    }

    #[test]
    fn a_file_that_is_too_large_is_a_failure_and_a_missing_one_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passwd");
        let mut users = PasswdFile::open(&path);
        assert_eq!(users.failure(), None);
        fs::write(&path, "alice:x:1000:1000::/:/bin/sh\n").unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
        users.refresh();
        let expected = format!("{}: larger than 33554432 bytes", path.display());
        assert_eq!(users.failure(), Some(expected.as_str()));
        assert_eq!(users.uid("alice"), None);
        fs::write(&path, "alice:x:1000:1000::/:/bin/sh\n").unwrap();
        users.refresh();
        assert_eq!(users.failure(), None);
        assert_eq!(users.uid("alice"), Some(1000));
        fs::remove_file(&path).unwrap();
        users.refresh();
        assert_eq!(users.failure(), None);
        assert_eq!(users.uid("alice"), None);
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let (directory, path) = file_of(b"alice:x:1000:1000::/:/bin/sh\n");
        let mut users = PasswdFile::open(&path);
        assert_eq!(users.uid("alice"), Some(1000));
        users.refresh();
        assert_eq!(users.uid("alice"), Some(1000));
        fs::write(directory.path().join("new"), "alice:x:2000:1000::/:/bin/sh\n").unwrap();
        fs::rename(directory.path().join("new"), &path).unwrap();
        users.refresh();
        assert_eq!(users.uid("alice"), Some(2000));
    }
}
