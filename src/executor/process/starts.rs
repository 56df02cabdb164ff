//! Starts that wait to be made.

use super::start_limiter::StartLimiter;
use crate::executor::job::Job;
use crate::executor::owner::Turns;
use crate::scheduler::{RunId, RunRequest};
use crate::users::{UserCache, UserWithGroups};
use std::rc::Rc;

/// All of them, and what holds them up.
pub(super) struct Starts {
    pub(super) queue: Turns<QueuedStart>,
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
    pub(super) users: UserCache,
    /// Standalone: who runs everything.
    pub(super) caller: Option<Rc<UserWithGroups>>,
}

impl Starts {
    pub(super) fn new(limiter: StartLimiter, users: UserCache, caller: Option<Rc<UserWithGroups>>) -> Starts {
        Starts {
            queue: Turns::default(),
            waiting_for_identity: Vec::new(),
            has_more: false,
            begun: Vec::new(),
            is_stopping: false,
            limiter,
            held_until_ms: 0,
            hold_ms: 0,
            users,
            caller,
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.queue.len() + self.waiting_for_identity.len()
    }

    /// When the next start may be made, if one waits.
    pub(super) fn next_start(&self, now_ms: i64) -> Option<i64> {
        let room = if self.has_more { now_ms } else { self.limiter.next_capacity_ms(now_ms) };
        (!self.queue.is_empty()).then(|| room.max(self.held_until_ms))
    }
}

/// A start that has not been made yet.
#[derive(Debug)]
pub(super) struct QueuedStart {
    pub(super) start: Box<RunRequest>,
    /// Main wants to be told of its process.
    pub(super) tell_pid: bool,
    /// When it was first tried in vain.
    pub(super) tried_since_ms: Option<i64>,
    /// Main was told that it had begun.
    pub(super) is_begun: bool,
}

impl QueuedStart {
    /// The start of a job that has not come to have a process.
    pub(super) fn again(job: Job) -> QueuedStart {
        QueuedStart { start: job.start, tell_pid: job.tell_pid, tried_since_ms: job.tried_since_ms, is_begun: true }
    }
}
