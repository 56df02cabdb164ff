//! Who a user is, as the system's databases (NSS) say now.

use nix::unistd::{Gid, User as NssUser};
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;

/// A user as the databases have it at one moment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Home directory.
    pub home: Vec<u8>,
    /// All groups, `gid` among them.
    pub groups: Vec<u32>,
}

impl User {
    /// Looks a user up by name; nothing when there is none. It may take as long as the slowest database.
    pub fn look_up(name: &str) -> io::Result<Option<User>> {
        let Some(found) = NssUser::from_name(name)? else { return Ok(None) };
        User::with_groups(found).map(Some)
    }

    /// Looks a user up by id.
    pub fn look_up_id(uid: u32) -> io::Result<Option<User>> {
        let Some(found) = NssUser::from_uid(uid.into())? else { return Ok(None) };
        User::with_groups(found).map(Some)
    }

    fn with_groups(found: NssUser) -> io::Result<User> {
        let name = CString::new(found.name.as_str())?;
        let groups = nix::unistd::getgrouplist(&name, found.gid)?;
        Ok(User {
            name: found.name,
            uid: found.uid.as_raw(),
            gid: found.gid.as_raw(),
            home: found.dir.as_os_str().as_bytes().to_vec(),
            groups: groups.into_iter().map(Gid::as_raw).collect(),
        })
    }
}

/// Whether a look-up can only read local files: then it does not block.
///
/// True when nsswitch.conf(5) asks nobody but `files`, `compat` and `systemd` for users and groups, and no cache daemon (nscd) stands
/// between. Without the file it is `files`.
pub fn look_ups_are_local() -> bool {
    if std::path::Path::new("/var/run/nscd/socket").exists() {
        return false;
    }
    /// A larger file counts as one that cannot be read: then others than local files may be asked.
    const LARGEST: usize = 1 << 20;
    match super::files::read_text(std::path::Path::new("/etc/nsswitch.conf"), LARGEST) {
        Ok(text) => names_only_local_sources(&text),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn names_only_local_sources(nsswitch: &str) -> bool {
    nsswitch
        .lines()
        .map(|line| line.split('#').next().unwrap_or(""))
        .filter_map(|line| line.split_once(':'))
        .filter(|(database, _)| matches!(database.trim(), "passwd" | "group" | "initgroups"))
        .flat_map(|(_, sources)| sources.split_whitespace())
        .all(|source| matches!(source, "files" | "compat" | "systemd") || source.starts_with('['))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_found_by_name_and_by_id() {
        let root = User::look_up("root").unwrap().unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert!(root.groups.contains(&0));
        assert_eq!(User::look_up_id(0).unwrap(), Some(root));
    }

    #[test]
    fn a_name_that_nobody_has_is_nobody() {
        assert_eq!(User::look_up("no-such-user-here").unwrap(), None);
    }

    #[test]
    fn only_local_sources_may_be_asked_at_once() {
        for (text, local) in [
            ("passwd: files systemd\ngroup: files [SUCCESS=merge] systemd\nhosts: dns\n", true),
            ("passwd: compat\n", true),
            ("", true),
            ("passwd: files sss\ngroup: files\n", false),
            ("passwd: files\ngroup: files ldap # slow\n", false),
            ("passwd: files # sss\n", true),
            ("initgroups: sss\n", false),
        ] {
            assert_eq!(names_only_local_sources(text), local, "{text:?}");
        }
    }
}
