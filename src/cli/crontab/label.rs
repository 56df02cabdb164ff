//! SELinux, as in cronie's crontab: who may act for somebody else, and the caller's context that `-s` puts into a table.

use super::failure::Failure;
use crate::sys::selinux::{self, Policy};
use std::ffi::CString;

/// Whether the policy lets the caller use `-u`; where there is no SELinux it has nothing against it.
pub fn may_act_for_others() -> bool {
    let Some(policy) = Policy::of_machine() else { return true };
    let allowed = policy.callers_context().is_ok_and(|caller| policy.allows(&caller, &caller, c"passwd", c"crontab"));
    allowed || !selinux::is_enforcing()
}

/// The context in which crontab was called.
#[derive(Debug)]
pub struct CallersContext(CString);

impl CallersContext {
    /// As the kernel has it.
    pub fn find() -> Result<CallersContext, Failure> {
        let context = Policy::of_machine().and_then(|policy| policy.callers_context().ok());
        context.map(CallersContext).ok_or(Failure::NoSelinux)
    }

    /// What is put behind a table that is about to be edited: its jobs will run at the caller's level.
    pub fn level_setting(&self) -> Vec<u8> {
        setting(b"MLS_LEVEL=", selinux::level(&self.0).unwrap_or_default())
    }

    /// What is put in front of a table that is installed.
    pub fn context_setting(&self) -> Vec<u8> {
        setting(b"SELINUX_ROLE_TYPE=", self.0.as_bytes())
    }
}

fn setting(name: &[u8], value: &[u8]) -> Vec<u8> {
    [name, value, b"\n"].concat()
}
