//! The two identities of a set-id program: that of the caller, and that of its file's owner.
//!
//! The privileges of the file are dropped at once and taken up again only for the few calls that need them.

use super::contract::SingleThreaded;
use super::error::{Error, os};
use super::handover;
use super::process;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid};
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;

/// The ids of the caller and of the program's file.
#[derive(Debug)]
pub struct Identity {
    caller: Ids,
    effective: Ids,
    is_secure: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ids {
    uid: Uid,
    gid: Gid,
}

impl Identity {
    /// Reads both identities and drops the privileges. Must be called first in main.
    pub fn take() -> Result<Identity, Error> {
        let caller = Ids { uid: Uid::current(), gid: Gid::current() };
        let effective = Ids { uid: Uid::effective(), gid: Gid::effective() };
        // SAFETY: getauxval takes a number and reads what the kernel put on our stack at exec.
        let is_secure = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
        let identity = Identity { caller, effective, is_secure };
        identity.drop_privileges()?;
        Ok(identity)
    }

    /// The user id of the caller, without the effective privileges.
    pub fn caller_uid(&self) -> u32 {
        self.caller.uid.as_raw()
    }

    /// The user id that owns files which are created with the privileges.
    pub fn owner_uid(&self) -> u32 {
        self.effective.uid.as_raw()
    }

    /// Whether the caller is root.
    pub fn is_root(&self) -> bool {
        self.caller.uid.is_root()
    }

    /// Whether the program has privileges that the caller does not have (AT_SECURE). Then the caller's environment must not be trusted.
    pub fn is_secure(&self) -> bool {
        self.is_secure || self.caller != self.effective
    }

    /// Calls `act` with the privileges and drops them again, whatever happens.
    pub fn raised<T>(&self, act: impl FnOnce() -> T) -> Result<T, Error> {
        struct Lower<'a>(&'a Identity);
        impl Drop for Lower<'_> {
            fn drop(&mut self) {
                // After a panic in `act` nothing more can be done, and the program ends.
                let _ = self.0.drop_privileges();
            }
        }
        let guard = Lower(self);
        self.raise()?;
        let result = act();
        std::mem::forget(guard);
        self.drop_privileges()?;
        Ok(result)
    }

    /// Drops the privileges permanently. For a child that is about to execute the caller's program.
    pub fn give_up(&self) -> Result<(), Error> {
        let Ids { uid, gid } = self.caller;
        nix::unistd::setresgid(gid, gid, gid).map_err(os("dropping the privileged group"))?;
        nix::unistd::setresuid(uid, uid, uid).map_err(os("dropping the privileged user"))?;
        let users = nix::unistd::getresuid().map_err(os("reading the user ids"))?;
        let groups = nix::unistd::getresgid().map_err(os("reading the group ids"))?;
        let all_users = [users.real, users.effective, users.saved];
        let all_groups = [groups.real, groups.effective, groups.saved];
        if all_users != [uid; 3] || all_groups != [gid; 3] {
            return Err(os("dropping the privileges")(nix::errno::Errno::EPERM));
        }
        Ok(())
    }

    fn raise(&self) -> Result<(), Error> {
        nix::unistd::seteuid(self.effective.uid).map_err(os("taking up the privileged user"))?;
        nix::unistd::setegid(self.effective.gid).map_err(os("taking up the privileged group"))
    }

    fn drop_privileges(&self) -> Result<(), Error> {
        nix::unistd::setegid(self.caller.gid).map_err(os("leaving the privileged group"))?;
        nix::unistd::seteuid(self.caller.uid).map_err(os("leaving the privileged user"))?;
        if (Uid::effective(), Gid::effective()) != (self.caller.uid, self.caller.gid) {
            return Err(os("leaving the privileges")(nix::errno::Errno::EPERM));
        }
        Ok(())
    }
}

/// Settings that the caller has passed on and that must not affect this program. They are restored for programs of the caller.
#[derive(Debug)]
pub struct Inherited {
    threads: SingleThreaded,
    environment: Vec<(OsString, OsString)>,
    umask: u32,
    core: Option<(u64, u64)>,
}

/// Variables that stay in the environment: the time zone and its directory.
const KEPT: [&str; 2] = ["TZ", "TZDIR"];

impl Inherited {
    /// Saves and resets the environment, the umask and the limit on core files: new files are accessible to the caller only, and no core
    /// dump can contain another user's crontab. The token is kept for children that are forked later.
    pub fn take(threads: SingleThreaded, identity: &Identity) -> Inherited {
        let environment: Vec<_> = std::env::vars_os().collect();
        if identity.is_secure() {
            for (name, _) in environment.iter().filter(|(name, _)| !KEPT.iter().any(|kept| name == kept)) {
                handover::take_variable(&threads, name);
            }
        }
        let umask = process::set_umask(0o077);
        let core = getrlimit(Resource::RLIMIT_CORE).ok();
        if let Some((_, hard)) = core {
            // A limit that cannot be lowered does not exist.
            let _ = setrlimit(Resource::RLIMIT_CORE, 0, hard);
        }
        Inherited { threads, environment, umask, core }
    }

    /// The proof that there is one thread.
    pub fn threads(&self) -> &SingleThreaded {
        &self.threads
    }

    /// The value of a variable of the caller.
    pub fn variable(&self, name: &str) -> Option<&OsString> {
        self.environment.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The caller's environment in the form for exec.
    pub fn environment(&self) -> Vec<CString> {
        let line = |(name, value): &(OsString, OsString)| {
            let mut line = name.clone();
            line.push("=");
            line.push(value);
            CString::new(line.into_vec()).ok()
        };
        self.environment.iter().filter_map(line).collect()
    }

    /// Restores umask and limits. For a child that is about to execute the caller's program.
    pub fn restore(&self) {
        process::set_umask(self.umask);
        if let Some((soft, hard)) = self.core {
            // It was in force when we were started, so it is allowed.
            let _ = setrlimit(Resource::RLIMIT_CORE, soft, hard);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_lent_rights_everything_is_the_callers() {
        let identity = Identity::take().unwrap();
        assert!(!identity.is_secure());
        assert_eq!(identity.raised(|| Uid::effective().as_raw()).unwrap(), identity.caller_uid());
        assert_eq!(identity.owner_uid(), identity.caller_uid());
    }
}
