//! The runner's part in jobs that a starter starts: forking it, hearing which of its jobs are there, starting the others one by one.

use super::backlog::Pending;
use super::start::Prepared;
use super::{Child, State};
use crate::launch::job::Stream;
use crate::launch::starter::go_together;
use crate::sys::permit::Permit;
use crate::sys::process::{self, Ask, Pid};
use crate::sys::user::User;
use std::collections::HashMap;

/// How long a starter may take. Only one that is held up takes longer: it was stopped by its owner, or a job's directory or program lies
/// on a file system that does not answer. The owner's other jobs do not wait for that.
const LIMIT_MS: i64 = 1000;

/// How long an owner's other starts are not made before those of her starter, so that they are made in order: one that is not held up is
/// long done.
const IN_ORDER_MS: i64 = 200;

/// The starters that have not ended yet.
#[derive(Debug, Default)]
pub(super) struct Starters(HashMap<Pid, Starter>);

/// A process that starts several jobs.
#[derive(Debug)]
pub(super) struct Starter {
    /// Their owner's uid.
    owner: Option<u32>,
    /// Their numbers.
    jobs: Vec<u64>,
    /// What it needs to become the last of them.
    permit: Permit,
    since_ms: i64,
    is_late: bool,
}

impl Starter {
    /// For these jobs of that owner.
    pub(super) fn new(owner: Option<u32>, jobs: Vec<u64>, permit: Permit, now_ms: i64) -> Starter {
        Starter { owner, jobs, permit, since_ms: now_ms, is_late: false }
    }
}

impl Starters {
    /// One was forked.
    pub(super) fn begin(&mut self, pid: Pid, starter: Starter) {
        self.0.insert(pid, starter);
    }

    /// Asks all of them to end. Short of killing them, that is the last job's to heed.
    pub(super) fn end_all(&self, ask: Ask) {
        for pid in self.0.keys() {
            // Not reaped yet, so the id is still the starter's.
            let _ = process::signal(*pid, ask);
        }
    }

    /// When [`State::end_late_starters`] should be called next.
    pub(super) fn next_deadline(&self) -> Option<i64> {
        let in_time = self.0.values().filter(|starter| !starter.is_late);
        in_time.map(|starter| starter.since_ms + LIMIT_MS).min()
    }

    /// Until when other starts of that owner wait for a starter of hers, unless it is done sooner.
    pub(super) fn in_order_until(&self, owner: &User) -> Option<i64> {
        let hers = self.0.values().filter(|starter| starter.owner == Some(owner.uid));
        hers.map(|starter| starter.since_ms + IN_ORDER_MS).max()
    }
}

/// Parts starts into those that can have one starter each, in order.
pub(super) fn groups(prepared: Vec<Prepared>) -> Vec<Vec<Prepared>> {
    let mut groups: Vec<Vec<Prepared>> = Vec::new();
    for one in prepared {
        let fits =
            |first: &Prepared| !first.pending.alone && !one.pending.alone && go_together(&first.recipe, &one.recipe);
        match groups.iter_mut().find(|group| group.first().is_some_and(fits)) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    groups
}

impl State {
    /// A job's process tells that it is there. If it is what was a starter, the others have been there before.
    pub(super) fn is_job(&mut self, pid: Pid, id: u64) {
        if self.jobs.contains_key(&id) {
            self.children.insert(pid, Child::Job(id));
            self.started(id, pid);
        }
        self.starter_is_gone(pid);
    }

    /// A starter starts no more. What it has started has been heard of, unless a job's process was killed, or the starter was and leaves one
    /// behind, before it came to tell.
    pub(super) fn starter_is_gone(&mut self, pid: Pid) {
        let Some(starter) = self.starters.0.remove(&pid) else { return };
        for id in starter.jobs.into_iter().rev() {
            if let Some(job) = self.jobs.get_mut(&id).filter(|job| job.pid.is_none()) {
                job.has_no_starter = true;
                self.drain(id, Stream::Output);
            }
        }
    }

    /// Nobody has a job's pipe any more, and its starter is gone: nobody is left who could start it.
    pub(super) fn start_alone(&mut self, id: u64) {
        // It may have been there and gone.
        self.take_reports();
        if self.jobs.get(&id).is_none_or(|job| job.pid.is_some()) {
            return;
        }
        let Some(job) = self.jobs.remove(&id) else { return };
        self.flight.end(id);
        if self.stopping.is_some() {
            return self.not_started(job.start, "stopping".into());
        }
        self.pending.push_front(Pending { start: job.start, tried_since_ms: job.tried_since_ms, alone: true });
    }

    /// Ends starters whose time is over.
    pub(super) fn end_late_starters(&mut self, now_ms: i64) {
        let is_over = |starter: &Starter| !starter.is_late && starter.since_ms + LIMIT_MS <= now_ms;
        for (pid, starter) in self.starters.0.iter_mut().filter(|(_, starter)| is_over(starter)) {
            starter.is_late = true;
            if starter.permit.take() {
                // Not reaped yet, so the id is still the starter's.
                let _ = process::signal(*pid, Ask::Kill);
            }
        }
    }
}
