//! Jobs that have ended and whose background processes may still write.

use crate::executor::job::Job;
use crate::executor::output::Output;
use crate::executor::owner::OwnerKey;
use std::collections::{BTreeSet, HashMap, HashSet};

/// The jobs that have ended and whose background processes may still write.
#[derive(Default)]
pub(super) struct LateJobs {
    /// The jobs by their numbers.
    pub(super) jobs: HashMap<u64, LateOutput>,
    /// The numbers of the jobs by owner.
    pub(super) of_owner: HashMap<OwnerKey, BTreeSet<u64>>,
    /// Owners for which closing pipes has been logged.
    pub(super) logged_closing: HashSet<OwnerKey>,
}

/// A job that has ended while its pipes are open.
pub(super) struct LateOutput {
    pub(super) job: Job,
    /// Until when its mail waits for late output (monotonic). None if it does not wait.
    pub(super) mail_until_ms: Option<i64>,
    /// The mail has been sent and does not contain output that is written from now on.
    pub(super) is_mailed_without: bool,
    /// Whether it is logged that late output is not mailed.
    pub(super) has_logged: bool,
    /// An incomplete line that is to be logged.
    pub(super) line: Vec<u8>,
    pub(super) logged: usize,
    /// What the history keeps, with the late output. None if it keeps no output.
    pub(super) history: Option<LateHistory>,
}

/// What the history keeps of the output of a job that has ended while its pipes are open.
pub(super) struct LateHistory {
    pub(super) output: Output,
    /// Bytes of the output when it was sent to main.
    sent: u64,
}

impl LateHistory {
    /// The output of a job that has just been sent to main.
    pub(super) fn of_sent(output: Output) -> LateHistory {
        LateHistory { sent: output.total(), output }
    }

    /// Whether main does not have all of it.
    pub(super) fn has_more(&self) -> bool {
        self.output.total() > self.sent
    }
}

impl LateOutput {
    pub(super) fn new(job: Job, history: Option<Output>) -> LateOutput {
        let (mail_until_ms, is_mailed_without, has_logged) = (None, false, false);
        let history = history.map(LateHistory::of_sent);
        LateOutput { job, mail_until_ms, is_mailed_without, has_logged, line: Vec::new(), logged: 0, history }
    }
}
