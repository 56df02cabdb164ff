//! The child processes of the executor, by process id.

use crate::sys::process::Pid;
use std::collections::HashMap;

/// A child of the executor: a job, a mailer, a hook or a ping, with its number.
#[derive(Clone, Copy, Debug)]
pub(super) enum Child {
    Job(u64),
    Mailer(u64),
    FollowUp(u64),
}

/// The jobs, mailers, hooks and pings that the executor has forked. Its other children are user lookups, templates, and orphans that it has adopted.
pub(super) type Children = HashMap<Pid, Child>;
