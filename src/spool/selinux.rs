//! SELinux check of a crontab. The kernel does not check crontabs, because they are not executed. So the daemon asks the
//! policy whether the file may be an entry point to the context of its owner's jobs, as both reference implementations do.

use crate::scheduler::{Owner, Source};
use crate::sys::error;
use crate::sys::selinux::{self, Policy};
use crate::users::Users;
use std::ffi::CString;
use std::os::fd::AsFd;

/// Why SELinux does not permit a crontab.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unauthorized {
    /// The policy has no context for the owner, or the file has no label.
    #[error("{0}")]
    Unknown(String),
    /// The policy does not permit the file as an entry point to the context.
    #[error("context={} file_context={}", context.to_string_lossy(), label.to_string_lossy())]
    NoEntryPoint {
        /// The context of the owner's jobs.
        context: CString,
        /// The label of the file.
        label: CString,
    },
}

/// Checks the label of an open crontab, whose owner is known to `users`.
pub(super) fn admits(
    policy: &Policy,
    file: impl AsFd,
    source: &Source,
    users: &mut dyn Users,
) -> Result<(), Unauthorized> {
    match may_enter(policy, file, source, users) {
        // A failed query refuses the crontab only if the policy is enforced.
        Err(Unauthorized::Unknown(_)) if !selinux::is_enforcing() => Ok(()),
        judged => judged,
    }
}

fn may_enter(policy: &Policy, file: impl AsFd, source: &Source, users: &mut dyn Users) -> Result<(), Unauthorized> {
    let unknown = |error: error::Error| Unauthorized::Unknown(error.to_string());
    let context = match &source.owner {
        Owner::User { name, .. } => users.context(policy, name).map_err(Unauthorized::Unknown)?,
        Owner::System | Owner::Caller => policy.context_of_system().map_err(unknown)?,
    };
    let label = selinux::label(file).map_err(unknown)?;
    if policy.allows(&context, &label, c"file", c"entrypoint") {
        return Ok(());
    }
    Err(Unauthorized::NoEntryPoint { context, label })
}
