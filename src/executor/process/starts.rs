//! Queued starts and the state that delays them.

use super::start_limiter::StartLimiter;
use crate::executor::job::Job;
use crate::executor::owner::FairQueue;
use crate::executor::wire::RunProcess;
use crate::scheduler::{EndReason, RunId, RunRequest};
use crate::users::{UserCache, UserWithGroups};
use std::collections::HashMap;
use std::rc::Rc;

/// The queued starts, and the state that delays them.
pub(super) struct Starts {
    pub(super) queue: FairQueue<QueuedStart>,
    /// Starts whose user is being looked up.
    pub(super) waiting_for_identity: Vec<QueuedStart>,
    /// Starts were left for the next iteration of the loop although the limit allows more.
    pub(super) has_more: bool,
    /// Runs that have been begun since the last report to main.
    pub(super) begun: Vec<RunId>,
    /// Processes of running jobs that have not been reported to main.
    pub(super) new_processes: Vec<RunProcess>,
    /// When they are reported at the latest (monotonic), if no other event takes them along.
    pub(super) report_processes_ms: Option<i64>,
    /// Runs that are to be ended before they are started, and why. None: all jobs are to be ended.
    pub(super) cancelled: HashMap<RunId, Option<EndReason>>,
    /// Whether no more jobs are started.
    pub(super) is_stopping: bool,
    pub(super) limiter: StartLimiter,
    /// No start is made before this time (monotonic).
    pub(super) backoff_until_ms: i64,
    /// Length of the last pause for lack of processes. 0 after a start that succeeded.
    pub(super) backoff_ms: i64,
    pub(super) users: UserCache,
    /// Standalone mode: the user who runs everything.
    pub(super) caller: Option<Rc<UserWithGroups>>,
}

impl Starts {
    pub(super) fn new(limiter: StartLimiter, users: UserCache, caller: Option<Rc<UserWithGroups>>) -> Starts {
        Starts {
            queue: FairQueue::default(),
            waiting_for_identity: Vec::new(),
            has_more: false,
            begun: Vec::new(),
            new_processes: Vec::new(),
            report_processes_ms: None,
            cancelled: HashMap::new(),
            is_stopping: false,
            limiter,
            backoff_until_ms: 0,
            backoff_ms: 0,
            users,
            caller,
        }
    }

    /// The number of starts that wait.
    pub(super) fn len(&self) -> usize {
        self.queue.len() + self.waiting_for_identity.len()
    }

    /// When the next start may be made (monotonic). None if none is queued.
    pub(super) fn next_start(&self, now_ms: i64) -> Option<i64> {
        let possible_at_ms = if self.has_more { now_ms } else { self.limiter.next_capacity_ms(now_ms) };
        (!self.queue.is_empty()).then(|| possible_at_ms.max(self.backoff_until_ms))
    }
}

/// A requested start that has not been made yet.
#[derive(Debug)]
pub(super) struct QueuedStart {
    pub(super) start: Box<RunRequest>,
    /// Main wants to know the process id as soon as there is one.
    pub(super) wants_pid: bool,
    /// The time of the first failed attempt (monotonic).
    pub(super) tried_since_ms: Option<i64>,
    /// Whether the start has been reported to main as begun.
    pub(super) is_begun: bool,
}

impl QueuedStart {
    /// The start of a job whose process could not be created.
    pub(super) fn again(job: Job) -> QueuedStart {
        QueuedStart { start: job.start, wants_pid: job.wants_pid, tried_since_ms: job.tried_since_ms, is_begun: true }
    }
}
