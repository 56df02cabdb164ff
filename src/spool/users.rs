//! Whether a user exists, and with which uid, without asking the name service once for every table.

use super::find::Stamp;
use crate::sys::{files, passwd};
use std::collections::HashMap;
use std::ffi::CStr;
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

/// For tables that no user owns: nobody is known, and nothing is read.
#[derive(Debug)]
pub(super) struct NoUsers;

impl Users for NoUsers {
    fn uid(&mut self, _: &str) -> Lookup {
        Lookup::Unknown
    }
}

/// Reads /etc/passwd once and again only when it has changed; asks the name service (which may block) for names
/// that are not in it, each once between two calls of [`LocalUsers::refresh`].
#[derive(Debug)]
pub struct LocalUsers {
    path: PathBuf,
    stamp: Option<Stamp>,
    local: LocalNames,
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
            LocalUsers { path: path.into(), stamp: None, local: LocalNames::default(), asked: HashMap::new() };
        users.refresh();
        users
    }

    /// The uid of that login name as the file has it; the name service is not asked.
    pub fn in_file(&self, name: &str) -> Option<u32> {
        self.local.uid(name.as_bytes())
    }

    /// Looks at the file again and forgets what the name service said; whether the file has changed.
    pub fn refresh(&mut self) -> bool {
        self.asked.clear();
        const MOST: usize = 1 << 30;
        let read = || {
            let file = std::fs::File::open(&self.path)?;
            let stat = files::stat(&file)?;
            if Some(Stamp::from(&stat)) == self.stamp {
                return Ok(None);
            }
            Ok::<_, std::io::Error>(files::read_all(&file, stat.size, MOST)?.map(|bytes| (Stamp::from(&stat), bytes)))
        };
        match read() {
            Ok(None) => false,
            Ok(Some((stamp, bytes))) => {
                self.stamp = Some(stamp);
                self.local = LocalNames::parse(&bytes);
                true
            }
            Err(_) => {
                // No file, no local users: the name service decides alone.
                self.local = LocalNames::default();
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

/// The names and uids of a file of users, in little room: there may be a hundred thousand.
#[derive(Debug, Default)]
struct LocalNames {
    /// The names, one after the other.
    text: Box<[u8]>,
    /// In order of their names.
    users: Box<[LocalUser]>,
}

#[derive(Clone, Copy, Debug)]
struct LocalUser {
    name_at: u32,
    name_len: u32,
    uid: u32,
}

impl LocalNames {
    /// Name and uid of each line; of two lines with one name the first counts, as for getpwnam(3).
    fn parse(bytes: &[u8]) -> LocalNames {
        let (mut text, mut users) = (Vec::new(), Vec::new());
        for line in bytes.split(|b| *b == b'\n') {
            let mut fields = line.split(|b| *b == b':');
            let (Some(name), Some(_), Some(uid)) = (fields.next(), fields.next(), fields.next()) else { continue };
            let uid = std::str::from_utf8(uid).ok().and_then(|uid| uid.parse().ok());
            // `+` and `-` lines belong to the old `compat` service, which is asked through getpwnam.
            if let (Some(uid), false) = (uid, matches!(name.first(), None | Some(b'+' | b'-' | b'#'))) {
                users.push(LocalUser { name_at: text.len() as u32, name_len: name.len() as u32, uid });
                text.extend_from_slice(name);
            }
        }
        users.sort_by(|a, b| named(&text, a).cmp(named(&text, b)));
        users.dedup_by(|later, first| named(&text, later) == named(&text, first));
        LocalNames { text: text.into_boxed_slice(), users: users.into_boxed_slice() }
    }

    fn uid(&self, name: &[u8]) -> Option<u32> {
        let place = self.users.binary_search_by(|user| named(&self.text, user).cmp(name)).ok()?;
        self.users.get(place).map(|user| user.uid)
    }
}

fn named<'a>(text: &'a [u8], user: &LocalUser) -> &'a [u8] {
    text.get(user.name_at as usize..).and_then(|rest| rest.get(..user.name_len as usize)).unwrap_or_default()
}

/// A name as the kernel takes it; none if it holds a NUL.
pub(super) fn c_name(name: &str) -> Option<std::ffi::CString> {
    std::ffi::CString::new(name).ok()
}

/// A kernel's name as text; none if it is not UTF-8, which no table's name is.
pub(super) fn text(name: &CStr) -> Option<&str> {
    name.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwd_lines_give_names_and_the_first_of_two_counts() {
        let users = LocalNames::parse(
            b"root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/:\nalice:x:2:2::/:\nbad\n+::::::\nno:x:abc:\n",
        );
        let uids = ["root", "alice", "bad", "+", "no", "", "z"].map(|name| users.uid(name.as_bytes()));
        assert_eq!(uids, [Some(0), Some(1000), None, None, None, None, None]);
        assert_eq!(users.users.len(), 2);
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
