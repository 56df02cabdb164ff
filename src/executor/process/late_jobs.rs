//! Jobs that have ended and whose background processes may still write.

use crate::executor::job::Job;
use crate::executor::owner::OwnerKey;
use std::collections::{BTreeSet, HashMap, HashSet};

/// All of them.
#[derive(Default)]
pub(super) struct LateJobs {
    /// By their numbers.
    pub(super) jobs: HashMap<u64, LateOutput>,
    /// Their numbers by their owners.
    pub(super) of_owner: HashMap<OwnerKey, BTreeSet<u64>>,
    /// Owners for which it was logged that pipes of such jobs are closed.
    pub(super) logged_closing: HashSet<OwnerKey>,
}

/// A job that has ended while its pipes are open.
pub(super) struct LateOutput {
    pub(super) job: Job,
    /// Until when its mail waits for them, if it does (monotonic).
    pub(super) mail_until_ms: Option<i64>,
    /// Somebody gets mail of this job, without what is written from now on.
    pub(super) is_mailed_without: bool,
    /// The log says so.
    pub(super) has_logged: bool,
    /// A line that has begun and goes to the log.
    pub(super) line: Vec<u8>,
    pub(super) logged: usize,
}

impl LateOutput {
    pub(super) fn new(job: Job) -> LateOutput {
        let (mail_until_ms, is_mailed_without, has_logged) = (None, false, false);
        LateOutput { job, mail_until_ms, is_mailed_without, has_logged, line: Vec::new(), logged: 0 }
    }
}
