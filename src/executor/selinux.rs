//! The SELinux context of a job. The policy defines it for the owner, or for the daemon's own user if the crontab is the system's.
//! MLS_LEVEL in the crontab selects another level if it lies within the owner's range.

use crate::scheduler::{Owner, RunRequest};
use crate::sys::audit;
use crate::sys::selinux::{self, Policy};
use crate::users::UserWithGroups;
use std::ffi::CString;
use std::io;

const LEVEL: &[u8] = b"MLS_LEVEL";

/// Why a job has no SELinux context.
#[derive(Debug, thiserror::Error)]
pub(super) enum LabelError {
    #[error("No SELinux security context: {0}")]
    None(String),
    #[error("context_range_set FAILED for MLS_LEVEL {level}")]
    Malformed { level: String },
    #[error("Unauthorized range in {} for user range in {}", wanted.to_string_lossy(), context.to_string_lossy())]
    OutOfRange { wanted: CString, context: CString },
}

/// The SELinux context of a job and the policy that sets it.
#[derive(Clone, Debug)]
pub(super) struct Label {
    policy: Policy,
    context: CString,
}

impl Label {
    /// The context for a start as that user. None if the policy is not enforced and has no context for it.
    pub(super) fn of(policy: Policy, start: &RunRequest, user: &UserWithGroups) -> Result<Option<Label>, LabelError> {
        match context(&policy, start, user) {
            Err(LabelError::None(_)) if !selinux::is_enforcing() => Ok(None),
            found => found.map(|context| Some(Label { policy, context })),
        }
    }

    /// A label from a context that another process sent. This process has loaded the policy, too.
    pub(super) fn sent(policy: Policy, context: CString) -> Label {
        Label { policy, context }
    }

    /// The security context as SELinux writes it.
    pub(super) fn context(&self) -> &CString {
        &self.context
    }

    /// Sets the context for the next exec of this process. An error counts only if the policy is enforced.
    pub(super) fn set_exec_context(&self) -> io::Result<()> {
        match self.policy.set_context_of_exec(&self.context) {
            Err(_) if !selinux::is_enforcing() => Ok(()),
            done => done,
        }
    }
}

fn context(policy: &Policy, start: &RunRequest, user: &UserWithGroups) -> Result<CString, LabelError> {
    let context = match &start.source.owner {
        // The context was looked up with the user, since libselinux asks the name service, which may hang.
        Owner::User { .. } => match &user.context {
            Some(found) => found.clone().map_err(LabelError::None)?,
            None => return Err(LabelError::None("its SELinux context was not looked up".to_owned())),
        },
        Owner::System | Owner::Caller => {
            policy.context_of_system().map_err(|error| LabelError::None(error.to_string()))?
        }
    };
    let Some((_, level)) = start.variables.iter().find(|(name, _)| *name == LEVEL) else { return Ok(context) };
    let Some(wanted) = selinux::with_level(&context, level) else {
        return Err(LabelError::Malformed { level: String::from_utf8_lossy(level).into_owned() });
    };
    if wanted == context || policy.allows(&context, &wanted, c"context", c"contains") {
        return Ok(wanted);
    }
    record(start, &wanted, &context);
    Err(LabelError::OutOfRange { wanted, context })
}

/// Writes an audit record in cronie's form. If this process may not write it, the log still has the error.
fn record(start: &RunRequest, wanted: &CString, context: &CString) {
    let (wanted, context) = (wanted.to_string_lossy(), context.to_string_lossy());
    let user = &start.user;
    let what = format!("cron: Unauthorized MLS range acct={user} new_scontext={wanted} old_scontext={context}");
    let _ = audit::refused(audit::Kind::RoleChange, &what);
}
