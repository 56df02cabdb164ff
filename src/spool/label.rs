//! SELinux check of a crontab. The kernel does not check crontabs, because they are not executed. So the daemon asks the
//! policy whether the file may be an entry point to the context of its owner's jobs, as both reference implementations do.

use crate::scheduler::{Owner, Source};
use crate::sys::selinux::{self, Policy};
use std::ffi::CString;
use std::os::fd::AsFd;

/// Why SELinux does not permit a crontab.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unauthorized {
    /// The policy has no context for the owner, or the file has no label.
    #[error("{0}")]
    Unknown(#[from] crate::sys::error::Error),
    /// The policy does not permit the file as an entry point to the context.
    #[error("context={} file_context={}", context.to_string_lossy(), label.to_string_lossy())]
    NoEntryPoint {
        /// The context of the owner's jobs.
        context: CString,
        /// The label of the file.
        label: CString,
    },
}

/// Checks the label of an open crontab.
pub(super) fn admits(policy: &Policy, file: impl AsFd, source: &Source) -> Result<(), Unauthorized> {
    match may_enter(policy, file, source) {
        // A failed query refuses the crontab only if the policy is enforced.
        Err(Unauthorized::Unknown(_)) if !selinux::is_enforcing() => Ok(()),
        judged => judged,
    }
}

fn may_enter(policy: &Policy, file: impl AsFd, source: &Source) -> Result<(), Unauthorized> {
    let context = match &source.owner {
        // libselinux asks the name service about the user (getpwnam(3) in getseuserbyname(3)), without a time limit, in the event loop of the daemon.
        // For a user of /etc/passwd that is the file; others have been looked up in a child right before, so that a directory server has just
        // answered. If it hangs in that moment, or seusers(5) has groups, the daemon waits for as long as the name service does.
        Owner::User { name, .. } => policy.context_of_user(&CString::new(name.as_str()).unwrap_or_default())?,
        Owner::System | Owner::Caller => policy.context_of_system()?,
    };
    let label = selinux::label(file)?;
    if policy.allows(&context, &label, c"file", c"entrypoint") {
        return Ok(());
    }
    Err(Unauthorized::NoEntryPoint { context, label })
}
