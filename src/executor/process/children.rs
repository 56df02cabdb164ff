//! The executor's children.

use crate::sys::process::Pid;
use std::collections::HashMap;

/// What a child of the executor is: a job or a mailer, with its number.
#[derive(Clone, Copy, Debug)]
pub(super) enum Child {
    Job(u64),
    Mailer(u64),
}

/// The jobs and mailers that the executor has forked. Others of its children are lookups, templates, and orphans that it has adopted.
pub(super) type Children = HashMap<Pid, Child>;
