//! A set-id program's two identities: who called it, and whose rights its file lends it.
//!
//! The lent rights are put aside at once and taken up only around the few calls that need them.

use super::contract::SingleThreaded;
use super::handover;
use super::process;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid};
use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;

/// Who called, and what was lent.
#[derive(Debug)]
pub struct Identity {
    caller: Ids,
    lent: Ids,
    secure: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ids {
    uid: Uid,
    gid: Gid,
}

/// A change of identity that the kernel refused. Whoever meets it must end.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {source}")]
pub struct IdentityError {
    doing: &'static str,
    source: io::Error,
}

impl Identity {
    /// Reads both identities and puts the lent rights aside. To be called first in main.
    pub fn take() -> Result<Identity, IdentityError> {
        let caller = Ids { uid: Uid::current(), gid: Gid::current() };
        let lent = Ids { uid: Uid::effective(), gid: Gid::effective() };
        // SAFETY: getauxval takes a number and reads what the kernel put on our stack at exec.
        let secure = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
        let identity = Identity { caller, lent, secure };
        identity.lower()?;
        Ok(identity)
    }

    /// The caller's user id.
    pub fn caller_uid(&self) -> u32 {
        self.caller.uid.as_raw()
    }

    /// The user id with which files are made while the lent rights are taken up.
    pub fn lent_uid(&self) -> u32 {
        self.lent.uid.as_raw()
    }

    /// Whether root called.
    pub fn is_root(&self) -> bool {
        self.caller.uid.is_root()
    }

    /// Whether the kernel started us with rights that the caller does not have (AT_SECURE): what the caller says must
    /// not lead those rights astray.
    pub fn is_secure(&self) -> bool {
        self.secure || self.caller != self.lent
    }

    /// Does something with the lent rights, and puts them aside again, come what may.
    pub fn raised<T>(&self, act: impl FnOnce() -> T) -> Result<T, IdentityError> {
        struct Lower<'a>(&'a Identity);
        impl Drop for Lower<'_> {
            fn drop(&mut self) {
                // After a panic in `act`: nothing more can be done than trying, and the program ends.
                let _ = self.0.lower();
            }
        }
        let guard = Lower(self);
        self.raise()?;
        let result = act();
        std::mem::forget(guard);
        self.lower()?;
        Ok(result)
    }

    /// Becomes the caller for good: the lent rights are gone. For a child that is about to run the caller's program.
    pub fn give_up(&self) -> Result<(), IdentityError> {
        let Ids { uid, gid } = self.caller;
        nix::unistd::setresgid(gid, gid, gid).map_err(failed("giving up the lent group"))?;
        nix::unistd::setresuid(uid, uid, uid).map_err(failed("giving up the lent user"))?;
        let users = nix::unistd::getresuid().map_err(failed("reading the user ids"))?;
        let groups = nix::unistd::getresgid().map_err(failed("reading the group ids"))?;
        let all_users = [users.real, users.effective, users.saved];
        let all_groups = [groups.real, groups.effective, groups.saved];
        if all_users != [uid; 3] || all_groups != [gid; 3] {
            return Err(failed("giving up the lent rights")(nix::errno::Errno::EPERM));
        }
        Ok(())
    }

    fn raise(&self) -> Result<(), IdentityError> {
        nix::unistd::seteuid(self.lent.uid).map_err(failed("taking up the lent user"))?;
        nix::unistd::setegid(self.lent.gid).map_err(failed("taking up the lent group"))
    }

    fn lower(&self) -> Result<(), IdentityError> {
        nix::unistd::setegid(self.caller.gid).map_err(failed("putting the lent group aside"))?;
        nix::unistd::seteuid(self.caller.uid).map_err(failed("putting the lent user aside"))?;
        if (Uid::effective(), Gid::effective()) != (self.caller.uid, self.caller.gid) {
            return Err(failed("putting the lent rights aside")(nix::errno::Errno::EPERM));
        }
        Ok(())
    }
}

fn failed(doing: &'static str) -> impl Fn(nix::errno::Errno) -> IdentityError {
    move |errno| IdentityError { doing, source: errno.into() }
}

/// What a caller passed on that must not rule us, and that the caller's own programs get back.
#[derive(Debug)]
pub struct Inherited {
    threads: SingleThreaded,
    environment: Vec<(OsString, OsString)>,
    umask: u32,
    core: Option<(u64, u64)>,
}

/// What stays in our own environment: where the zone and its files are.
const KEPT: [&str; 2] = ["TZ", "TZDIR"];

impl Inherited {
    /// Takes the environment, the umask and the limit on core files away from us: new files are the caller's alone, and
    /// no core can hold somebody else's table. The token is kept for
    /// the children that are forked later.
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

    /// A variable that the caller set.
    pub fn variable(&self, name: &str) -> Option<&OsString> {
        self.environment.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The caller's environment as exec takes it.
    pub fn environment(&self) -> Vec<CString> {
        let line = |(name, value): &(OsString, OsString)| {
            let mut line = name.clone();
            line.push("=");
            line.push(value);
            CString::new(line.into_vec()).ok()
        };
        self.environment.iter().filter_map(line).collect()
    }

    /// Gives umask and limits back. For a child that is about to run the caller's program.
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
        assert_eq!(identity.lent_uid(), identity.caller_uid());
    }
}
