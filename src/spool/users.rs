//! Whether a user exists, and with which uid, without asking the name service once for every table.

use super::find::Stamp;
use crate::sys::{files, passwd};
use std::collections::HashMap;
use std::ffi::CStr;
use std::path::PathBuf;

/// The result of a user lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The user exists and has this uid.
    Known(u32),
    /// There is no user of that name.
    Unknown,
    /// The lookup is still running; ask again later.
    NotYet,
}

/// Looks up the uids of users.
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
    failure: Option<String>,
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
        let mut users = LocalUsers {
            path: path.into(),
            stamp: None,
            failure: None,
            local: LocalNames::default(),
            asked: HashMap::new(),
        };
        users.refresh();
        users
    }

    /// The uid of that login name as the file has it; the name service is not asked.
    pub fn in_file(&self, name: &str) -> Option<u32> {
        self.local.uid(name.as_bytes())
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
    /// The names one after the other, in front of each its length in a byte.
    text: Box<[u8]>,
    /// Where the digest of its name puts each user, or in the next slot that is free.
    slots: Box<[LocalUser]>,
}

#[derive(Clone, Copy, Debug)]
struct LocalUser {
    /// Where the name is in the text; [`FREE`] in a slot that nobody has.
    name_at: u32,
    uid: u32,
}

const FREE: u32 = u32::MAX;

impl LocalNames {
    /// Name and uid of each line; of two lines with one name the first counts, as for getpwnam(3). A name of more than 255
    /// bytes is left out: no file can be called so.
    fn parse(bytes: &[u8]) -> LocalNames {
        let (mut text, mut users) = (Vec::new(), Vec::new());
        for line in bytes.split(|b| *b == b'\n') {
            let mut fields = line.split(|b| *b == b':');
            let (Some(name), Some(_), Some(uid)) = (fields.next(), fields.next(), fields.next()) else { continue };
            let uid = std::str::from_utf8(uid).ok().and_then(|uid| uid.parse().ok());
            // `+` and `-` lines belong to the old `compat` service, which is asked through getpwnam.
            let is_local = !matches!(name.first(), None | Some(b'+' | b'-' | b'#'));
            if let (Some(uid), true, Ok(len)) = (uid, is_local, u8::try_from(name.len())) {
                users.push(LocalUser { name_at: text.len() as u32, uid });
                text.push(len);
                text.extend_from_slice(name);
            }
        }
        LocalNames { slots: in_slots(&users, &text), text: text.into_boxed_slice() }
    }

    fn uid(&self, name: &[u8]) -> Option<u32> {
        let at = slot_of(name, &self.slots, &self.text)?;
        self.slots.get(at).filter(|user| user.name_at != FREE).map(|user| user.uid)
    }
}

fn in_slots(users: &[LocalUser], text: &[u8]) -> Box<[LocalUser]> {
    // A quarter of them free, so that the next free slot is near.
    let mut slots = vec![LocalUser { name_at: FREE, uid: 0 }; users.len() + users.len() / 3 + 1].into_boxed_slice();
    for user in users {
        let slot = slot_of(named(text, user), &slots, text).and_then(|at| slots.get_mut(at));
        if let Some(slot) = slot.filter(|slot| slot.name_at == FREE) {
            *slot = *user;
        }
    }
    slots
}

/// The slot that has that name, or the free one that is to have it.
fn slot_of(name: &[u8], slots: &[LocalUser], text: &[u8]) -> Option<usize> {
    // FNV-1a and a last stir, for names that differ in a number. Who can choose many users' names is root, against whom no
    // digest needs a key.
    let digest = name.iter().fold(0x811c_9dc5u32, |digest, byte| (digest ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    let stirred = (digest ^ digest >> 15).wrapping_mul(0x9e37_79b1);
    let first = ((u64::from(stirred) * slots.len() as u64) >> u32::BITS) as usize;
    let is_it = |user: &LocalUser| user.name_at == FREE || named(text, user) == name;
    let (before, after) = slots.split_at_checked(first)?;
    after.iter().position(is_it).map(|at| first + at).or_else(|| before.iter().position(is_it))
}

fn named<'a>(text: &'a [u8], user: &LocalUser) -> &'a [u8] {
    let from = text.get(user.name_at as usize..).unwrap_or_default();
    from.split_first().and_then(|(len, rest)| rest.get(..usize::from(*len))).unwrap_or_default()
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
    }

    #[test]
    fn each_of_many_users_is_found_and_nobody_else() {
        let line = |n: u32| format!("user{n}:x:{n}:100::/:/bin/sh\n");
        let text: String = (0..5_000).map(line).collect();
        let users = LocalNames::parse(text.as_bytes());
        assert!((0..5_000).all(|n| users.uid(format!("user{n}").as_bytes()) == Some(n)));
        assert!((5_000..10_000).all(|n| users.uid(format!("user{n}").as_bytes()).is_none()));
        assert_eq!(LocalNames::default().uid(b"root"), None);
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
