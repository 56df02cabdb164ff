//! Whether a table's label lets its jobs run where the kernel has SELinux: a table is no program that is executed, so the daemon asks
//! in its place whether the file may be an entry point to the context of its owner's jobs, as both reference implementations do.

use crate::scheduler::{Owner, Source};
use crate::sys::selinux::{self, Policy};
use std::ffi::CString;
use std::os::fd::AsFd;

/// Why it does not.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unauthorized {
    /// The policy has no context for the owner, or the file no label.
    #[error("{0}")]
    Unknown(#[from] selinux::SelinuxError),
    /// No entry point.
    #[error("context={} file_context={}", context.to_string_lossy(), label.to_string_lossy())]
    NoEntryPoint {
        /// Of the owner's jobs.
        context: CString,
        /// Of the file.
        label: CString,
    },
}

/// Judges an open table.
pub(super) fn admits(policy: &Policy, file: impl AsFd, source: &Source) -> Result<(), Unauthorized> {
    match may_enter(policy, file, source) {
        // What cannot be found out counts only where the policy is enforced.
        Err(Unauthorized::Unknown(_)) if !selinux::is_enforcing() => Ok(()),
        judged => judged,
    }
}

fn may_enter(policy: &Policy, file: impl AsFd, source: &Source) -> Result<(), Unauthorized> {
    let context = match &source.owner {
        Owner::User { name, .. } => policy.context_of_user(&CString::new(name.as_str()).unwrap_or_default())?,
        Owner::System | Owner::Caller => policy.context_of_system()?,
    };
    let label = selinux::label(file)?;
    if policy.allows(&context, &label, c"file", c"entrypoint") {
        return Ok(());
    }
    Err(Unauthorized::NoEntryPoint { context, label })
}
