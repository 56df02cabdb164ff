//! The user database: by name and by uid, as the system's name service has it.

use nix::unistd::{Uid, User};
use std::io;
use std::path::PathBuf;

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Home directory.
    pub home: PathBuf,
}

impl From<User> for Account {
    fn from(user: User) -> Account {
        Account { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw(), home: user.dir }
    }
}

/// The user id that this process acts with.
pub fn caller() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// Asks the name service for a login name; this may block on a directory server. None: nobody has that name.
pub fn by_name(name: &str) -> io::Result<Option<Account>> {
    Ok(User::from_name(name)?.map(Account::from))
}

/// Asks the name service for a user id; this may block on a directory server. None: nobody has that id.
pub fn by_uid(uid: u32) -> io::Result<Option<Account>> {
    Ok(User::from_uid(Uid::from_raw(uid))?.map(Account::from))
}

/// Asks the name service for a group's id. None: there is no such group.
pub fn group_id(name: &str) -> io::Result<Option<u32>> {
    Ok(nix::unistd::Group::from_name(name)?.map(|group| group.gid.as_raw()))
}
