//! libc's user database (NSS). A call may block for as long as the slowest service behind it, a directory server for example.

use super::files;
use nix::unistd::{Gid, Group, Uid, User};
use std::ffi::CString;
use std::io;
use std::path::Path;

/// An entry of the user database.
pub type PasswdEntry = User;

/// Looks up a login name, as getpwnam_r(3). None: nobody has that name.
pub fn by_name(name: &str) -> io::Result<Option<PasswdEntry>> {
    Ok(User::from_name(name)?)
}

/// Looks up a user id, as getpwuid_r(3). None: nobody has that id.
pub fn by_uid(uid: u32) -> io::Result<Option<PasswdEntry>> {
    Ok(User::from_uid(Uid::from_raw(uid))?)
}

/// The groups of a user, the primary one among them, as getgrouplist(3).
pub fn group_list(name: &str, primary: u32) -> io::Result<Vec<u32>> {
    let groups = nix::unistd::getgrouplist(&CString::new(name)?, Gid::from_raw(primary))?;
    Ok(groups.into_iter().map(Gid::as_raw).collect())
}

/// Looks up the id of a group, as getgrnam_r(3). None: there is no such group.
pub fn group_id(name: &str) -> io::Result<Option<u32>> {
    Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))
}

/// Whether lookups read local files only; then they do not block.
///
/// True when nsswitch.conf(5) names no service but `files`, `compat` and `systemd` for users and groups, and no cache daemon (nscd) runs.
/// Without that file, libc reads local files.
pub fn is_local() -> bool {
    if Path::new("/var/run/nscd/socket").exists() {
        return false;
    }
    /// A larger file counts as one that cannot be read: it may name other services.
    const LARGEST: usize = 1 << 20;
    match files::read_text(Path::new("/etc/nsswitch.conf"), LARGEST) {
        Ok(text) => names_only_local_services(&text),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn names_only_local_services(nsswitch: &str) -> bool {
    nsswitch
        .lines()
        .map(|line| line.split('#').next().unwrap_or(""))
        .filter_map(|line| line.split_once(':'))
        .filter(|(database, _)| matches!(database.trim(), "passwd" | "group" | "initgroups"))
        .flat_map(|(_, services)| services.split_whitespace())
        .all(|service| matches!(service, "files" | "compat" | "systemd") || service.starts_with('['))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_services_may_be_asked_without_a_child() {
        for (text, local) in [
            ("passwd: files systemd\ngroup: files [SUCCESS=merge] systemd\nhosts: dns\n", true),
            ("passwd: compat\n", true),
            ("", true),
            ("passwd: files sss\ngroup: files\n", false),
            ("passwd: files\ngroup: files ldap # slow\n", false),
            ("passwd: files # sss\n", true),
            ("initgroups: sss\n", false),
        ] {
            assert_eq!(names_only_local_services(text), local, "{text:?}");
        }
    }
}
