//! The context in which a job runs where the kernel has SELinux: its owner's by the policy, or the daemon's own user's for a system table,
//! with the level that the table asks for by `MLS_LEVEL=` when it lies within the owner's.

use crate::scheduler::{Owner, RunRequest};
use crate::sys::audit;
use crate::sys::selinux::{self, Policy, SelinuxError};
use std::ffi::CString;
use std::io;

const LEVEL: &[u8] = b"MLS_LEVEL";

/// Why there is no context to run in.
#[derive(Debug, thiserror::Error)]
pub(super) enum LabelError {
    #[error("No SELinux security context: {0}")]
    None(#[from] SelinuxError),
    #[error("context_range_set FAILED for MLS_LEVEL {level}")]
    Malformed { level: String },
    #[error("Unauthorized range in {} for user range in {}", wanted.to_string_lossy(), context.to_string_lossy())]
    OutOfRange { wanted: CString, context: CString },
}

/// The context of a job, and the policy by which it is set.
#[derive(Clone, Debug)]
pub(super) struct Label {
    policy: Policy,
    context: CString,
}

impl Label {
    /// What a start of that table runs in; nothing when the policy is not enforced and has none.
    pub(super) fn of(policy: Policy, start: &RunRequest) -> Result<Option<Label>, LabelError> {
        match context(&policy, start) {
            Err(LabelError::None(_)) if !selinux::is_enforcing() => Ok(None),
            found => found.map(|context| Some(Label { policy, context })),
        }
    }

    /// A context that was sent to a process which has the policy loaded too.
    pub(super) fn sent(policy: Policy, context: CString) -> Label {
        Label { policy, context }
    }

    /// The context itself.
    pub(super) fn context(&self) -> &CString {
        &self.context
    }

    /// Has the next program of this process run in it. What the kernel refuses counts only where the policy is enforced.
    pub(super) fn set_exec_context(&self) -> io::Result<()> {
        match self.policy.set_context_of_exec(&self.context) {
            Err(_) if !selinux::is_enforcing() => Ok(()),
            done => done,
        }
    }
}

fn context(policy: &Policy, start: &RunRequest) -> Result<CString, LabelError> {
    let context = match &start.source.owner {
        Owner::User { .. } => policy.context_of_user(&CString::new(start.user.as_str()).unwrap_or_default())?,
        Owner::System | Owner::Caller => policy.context_of_system()?,
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

/// The audit trail's record, in the words of cronie. Whoever may not write it has the log's line.
fn record(start: &RunRequest, wanted: &CString, context: &CString) {
    let (wanted, context) = (wanted.to_string_lossy(), context.to_string_lossy());
    let user = &start.user;
    let what = format!("cron: Unauthorized MLS range acct={user} new_scontext={wanted} old_scontext={context}");
    let _ = audit::refused(audit::Kind::RoleChange, &what);
}
