//! Starts that wait to be made.

use super::start_limiter::StartLimiter;
use crate::executor::identity::Identities;
use crate::executor::job::Job;
use crate::executor::owner::FairQueue;
use crate::scheduler::{RunId, RunRequest};
use crate::sys::user::User;
use std::rc::Rc;

/// All of them, and what holds them up.
pub(super) struct Starts {
    pub(super) queue: FairQueue<QueuedStart>,
    /// Those whose user is being looked up.
    pub(super) waiting_for_identity: Vec<QueuedStart>,
    /// Starts were left for the next turn of the loop although there is room for them.
    pub(super) has_more: bool,
    /// Runs whose start has been begun since main was told last.
    pub(super) begun: Vec<RunId>,
    /// No more starts are made.
    pub(super) is_stopping: bool,
    pub(super) limiter: StartLimiter,
    /// No start is made before (monotonic).
    pub(super) held_until_ms: i64,
    /// The length of the last pause for lack of processes; 0 after a start that was made.
    pub(super) hold_ms: i64,
    pub(super) identities: Identities,
    /// Standalone: who runs everything.
    pub(super) caller: Option<Rc<User>>,
}

impl Starts {
    pub(super) fn new(limiter: StartLimiter, identities: Identities, caller: Option<Rc<User>>) -> Starts {
        Starts {
            queue: FairQueue::default(),
            waiting_for_identity: Vec::new(),
            has_more: false,
            begun: Vec::new(),
            is_stopping: false,
            limiter,
            held_until_ms: 0,
            hold_ms: 0,
            identities,
            caller,
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.queue.len() + self.waiting_for_identity.len()
    }

    /// When the next start may be made, if one waits.
    pub(super) fn next_start(&self, now_ms: i64) -> Option<i64> {
        let possible_at_ms = if self.has_more { now_ms } else { self.limiter.next_capacity_ms(now_ms) };
        (!self.queue.is_empty()).then(|| possible_at_ms.max(self.held_until_ms))
    }
}

/// A start that has not been made yet.
#[derive(Debug)]
pub(super) struct QueuedStart {
    pub(super) start: Box<RunRequest>,
    /// Main wants to be told of its process.
    pub(super) wants_pid: bool,
    /// When it was first tried in vain.
    pub(super) tried_since_ms: Option<i64>,
    /// Main was told that it had begun.
    pub(super) is_begun: bool,
}

impl QueuedStart {
    /// The start of a job that has not come to have a process.
    pub(super) fn again(job: Job) -> QueuedStart {
        QueuedStart { start: job.start, wants_pid: job.wants_pid, tried_since_ms: job.tried_since_ms, is_begun: true }
    }
}
