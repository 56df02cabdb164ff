//! A user as libc's user database (NSS) has it now. The functions here wait for its answer.

use crate::sys::passwd::{self, PasswdEntry};
use crate::sys::process;
use std::ffi::CString;
use std::io;
use std::ops::Deref;
use std::os::unix::ffi::OsStringExt;

/// A user at one moment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct User {
    /// The login name, as the user database has it.
    pub name: String,
    /// The number of the user.
    pub uid: u32,
    /// The number of the primary group.
    pub gid: u32,
    /// The home directory as the user database has it.
    pub home: Vec<u8>,
}

/// A user with all groups, which a process that becomes the user needs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct UserWithGroups {
    /// The user.
    pub user: User,
    /// Group ids, the primary one among them.
    pub groups: Vec<u32>,
    /// The SELinux context of the user's jobs, or why there is none. None: it was not asked for.
    pub context: Option<Result<CString, String>>,
}

impl User {
    /// Looks a user up by login name. None: nobody has that name.
    pub fn by_name(name: &str) -> io::Result<Option<User>> {
        Ok(passwd::by_name(name)?.map(User::from))
    }

    /// Looks a user up by user id. None: nobody has that id.
    pub fn by_uid(uid: u32) -> io::Result<Option<User>> {
        Ok(passwd::by_uid(uid)?.map(User::from))
    }

    /// The user that this process acts as. In a container the user id may have no name: the name is then that in LOGNAME, else the
    /// digits of the id, and the home is `/`.
    pub fn of_caller() -> User {
        let (uid, gid) = (process::own_uid(), process::own_gid());
        User::by_uid(uid).ok().flatten().unwrap_or_else(|| {
            let name = std::env::var("LOGNAME").unwrap_or_else(|_| uid.to_string());
            User { name, uid, gid, home: b"/".to_vec() }
        })
    }

    /// Looks up the user's groups.
    pub fn with_groups(self) -> io::Result<UserWithGroups> {
        let groups = passwd::group_list(&self.name, self.gid)?;
        Ok(UserWithGroups { user: self, groups, context: None })
    }
}

impl From<PasswdEntry> for User {
    fn from(entry: PasswdEntry) -> User {
        User {
            name: entry.name,
            uid: entry.uid.as_raw(),
            gid: entry.gid.as_raw(),
            home: entry.dir.into_os_string().into_vec(),
        }
    }
}

impl Deref for UserWithGroups {
    type Target = User;

    fn deref(&self) -> &User {
        &self.user
    }
}

/// The name of the user that this process acts as, see [`User::of_caller`].
pub fn caller_name() -> String {
    User::of_caller().name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_found_by_name_and_by_id() {
        let root = User::by_name("root").unwrap().unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(User::by_uid(0).unwrap(), Some(root.clone()));
        assert!(root.with_groups().unwrap().groups.contains(&0));
    }

    #[test]
    fn a_name_that_nobody_has_gives_no_user() {
        assert_eq!(User::by_name("no-such-user-here").unwrap(), None);
    }
}
