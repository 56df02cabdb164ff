//! Users by name: /etc/passwd, and the name service for who is not in it.

use crate::sys::stamp::Stamp;
use crate::sys::{files, passwd};
use std::collections::HashMap;
use std::path::PathBuf;

/// The answer to a question for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The user exists and has this uid.
    Known(u32),
    /// Nobody has that name.
    Unknown,
    /// The question has been put to somebody slow; ask again later.
    NotYet,
}

/// Who knows the uids of users.
pub trait Users {
    /// The uid of that login name.
    fn uid(&mut self, name: &str) -> Lookup;
}

/// Reads /etc/passwd once and again only when it has changed; asks the name service (which may block) for names
/// that are not in it, each once between two calls of [`LocalUsers::refresh`].
#[derive(Debug)]
pub struct LocalUsers {
    path: PathBuf,
    stamp: Option<Stamp>,
    failure: Option<String>,
    local: HashMap<Box<[u8]>, u32>,
    asked: HashMap<String, Lookup>,
}

impl Default for LocalUsers {
    fn default() -> LocalUsers {
        LocalUsers::from_file("/etc/passwd")
    }
}

impl LocalUsers {
    /// Reads a file in the form of passwd(5).
    pub fn from_file(path: impl Into<PathBuf>) -> LocalUsers {
        let mut users =
            LocalUsers { path: path.into(), stamp: None, failure: None, local: HashMap::new(), asked: HashMap::new() };
        users.refresh();
        users
    }

    /// The uid of that login name as the file has it; the name service is not asked.
    pub fn in_file(&self, name: &str) -> Option<u32> {
        self.local.get(name.as_bytes()).copied()
    }

    /// Why the file could not be read when it was last looked at. One that is missing is no failure.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Looks at the file again and forgets what the name service said; whether the file has changed.
    pub fn refresh(&mut self) -> bool {
        self.asked.clear();
        /// Some four hundred thousand users. With more, the name service is asked for all of them.
        const MOST: usize = 32 << 20;
        let read = || {
            let file = std::fs::File::open(&self.path)?;
            let stat = files::stat(&file)?;
            if Some(Stamp::from(&stat)) == self.stamp {
                return Ok(None);
            }
            Ok::<_, std::io::Error>(Some((Stamp::from(&stat), files::read_to_end(&file, stat.size, MOST)?)))
        };
        let read = read();
        self.failure = match &read {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Some(format!("{}: {}", self.path.display(), files::reason(error)))
            }
            _ => None,
        };
        match read {
            Ok(None) => false,
            Ok(Some((stamp, bytes))) => {
                self.stamp = Some(stamp);
                self.local = parse(&bytes);
                true
            }
            Err(_) => {
                // No file, no local users: the name service decides alone.
                self.local = HashMap::new();
                self.stamp.take().is_some()
            }
        }
    }
}

impl Users for LocalUsers {
    fn uid(&mut self, name: &str) -> Lookup {
        if let Some(uid) = self.in_file(name) {
            return Lookup::Known(uid);
        }
        if let Some(answer) = self.asked.get(name) {
            return *answer;
        }
        let answer = match passwd::by_name(name) {
            Ok(Some(account)) => Lookup::Known(account.uid),
            Ok(None) => Lookup::Unknown,
            Err(_) => Lookup::NotYet,
        };
        self.asked.insert(name.to_owned(), answer);
        answer
    }
}

/// Name and uid of each line of passwd(5); of two lines with one name the first counts, as for getpwnam(3).
fn parse(bytes: &[u8]) -> HashMap<Box<[u8]>, u32> {
    let mut users = HashMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b':');
        let (Some(name), Some(_), Some(uid)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let uid = std::str::from_utf8(uid).ok().and_then(|uid| uid.parse().ok());
        // `+` and `-` lines belong to the old `compat` service, which is asked through getpwnam.
        let is_local = !matches!(name.first(), None | Some(b'+' | b'-' | b'#'));
        if let (Some(uid), true) = (uid, is_local) {
            users.entry(name.into()).or_insert(uid);
        }
    }
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwd_lines_give_names_and_the_first_of_two_counts() {
        let users =
            parse(b"root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/:\nalice:x:2:2::/:\nbad\n+::::::\nno:x:abc:\n");
        let uids = ["root", "alice", "bad", "+", "no", "", "z"].map(|name| users.get(name.as_bytes()).copied());
        assert_eq!(uids, [Some(0), Some(1000), None, None, None, None, None]);
    }

    #[test]
    fn a_file_that_is_too_large_is_a_failure_and_a_missing_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwd");
        let mut users = LocalUsers::from_file(&path);
        assert_eq!(users.failure(), None);
        std::fs::write(&path, "alice:x:1000:1000::/:/bin/sh\n").unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
        users.refresh();
        let said = format!("{}: larger than 33554432 bytes", path.display());
        assert_eq!((users.failure(), users.in_file("alice")), (Some(said.as_str()), None));
        std::fs::write(&path, "alice:x:1000:1000::/:/bin/sh\n").unwrap();
        users.refresh();
        assert_eq!((users.failure(), users.in_file("alice")), (None, Some(1000)));
    }

    #[test]
    fn a_changed_file_is_read_again_and_an_unchanged_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwd");
        std::fs::write(&path, "alice:x:1000:1000::/:/bin/sh\n").unwrap();
        let mut users = LocalUsers::from_file(&path);
        assert_eq!(users.uid("alice"), Lookup::Known(1000));
        assert!(!users.refresh());
        std::fs::write(dir.path().join("new"), "alice:x:2000:1000::/:/bin/sh\n").unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        assert!(users.refresh());
        assert_eq!(users.uid("alice"), Lookup::Known(2000));
        assert_eq!(users.uid("nobody-has-this-name"), Lookup::Unknown);
    }
}
