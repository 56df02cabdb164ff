//! SELinux, as in cronie's crontab: who may act for other users, and the caller's context that `-s` adds to a crontab.

use super::failure::Failure;
use crate::sys::selinux::{self, Policy};
use std::ffi::CString;

/// Whether the SELinux policy permits `-u` to the caller. True without SELinux.
pub fn may_act_for_others() -> bool {
    let Some(policy) = Policy::of_machine() else { return true };
    let allowed = policy.callers_context().is_ok_and(|caller| policy.allows(&caller, &caller, c"passwd", c"crontab"));
    allowed || !selinux::is_enforcing()
}

/// The context in which crontab was called.
#[derive(Debug)]
pub struct CallersContext(CString);

impl CallersContext {
    /// The context as the kernel reports it.
    pub fn find() -> Result<CallersContext, Failure> {
        let context = Policy::of_machine().and_then(|policy| policy.callers_context().ok());
        context.map(CallersContext).ok_or(Failure::NoSelinux)
    }

    /// The line that is appended to a crontab before an edit, so that its jobs run at the caller's level.
    pub fn level_setting(&self) -> Vec<u8> {
        setting(b"MLS_LEVEL=", selinux::level(&self.0).unwrap_or_default())
    }

    /// The line that is put before a crontab when it is installed.
    pub fn context_setting(&self) -> Vec<u8> {
        setting(b"SELINUX_ROLE_TYPE=", self.0.as_bytes())
    }
}

fn setting(name: &[u8], value: &[u8]) -> Vec<u8> {
    [name, value, b"\n"].concat()
}
