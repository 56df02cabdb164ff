//! The runner's part in jobs that a starter starts: which can have one, hearing which of them are there, starting the others one by one.

use super::backlog::Pending;
use super::start::Prepared;
use super::{Child, State};
use crate::launch::job::Stream;
use crate::launch::starter::go_together;
use crate::sys::permit::Permit;
use crate::sys::process::{self, Ask, Pid};
use crate::sys::user::User;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

/// How long a starter may take. Only one that is held up takes longer: it was stopped by its owner, or a job's directory or program lies
/// on a file system that does not answer. The owner's other jobs do not wait for that.
const LIMIT_MS: i64 = 1000;

/// How long other starts of an owner wait for a starter of hers, so that they are made in order: one that is not held up is long done.
const IN_ORDER_MS: i64 = 200;

/// The starters that are at work, and the starts that wait for them.
#[derive(Debug, Default)]
pub(super) struct Starters {
    at_work: HashMap<Pid, Starter>,
    waiting: VecDeque<Pending>,
    /// Until when the first of these waits at the longest.
    waiting_until_ms: i64,
}

/// A process that starts several jobs.
#[derive(Debug)]
pub(super) struct Starter {
    /// Their owner's uid.
    owner: u32,
    /// Their numbers.
    jobs: Vec<u64>,
    /// What it needs to become the last of them.
    permit: Permit,
    since_ms: i64,
    is_late: bool,
}

impl Starter {
    /// For these jobs of that owner.
    pub(super) fn new(owner: u32, jobs: Vec<u64>, permit: Permit, now_ms: i64) -> Starter {
        Starter { owner, jobs, permit, since_ms: now_ms, is_late: false }
    }
}

impl Starters {
    /// One was forked.
    pub(super) fn begin(&mut self, pid: Pid, starter: Starter) {
        self.at_work.insert(pid, starter);
    }

    /// Has a start of that owner wait where a starter of hers is at work; gives it back where none is.
    pub(super) fn keep_waiting(&mut self, pending: Pending, owner: &User, now_ms: i64) -> Option<Pending> {
        let hers = self.at_work.values().filter(|starter| starter.owner == owner.uid);
        let Some(until_ms) = hers.map(|starter| starter.since_ms + IN_ORDER_MS).max().filter(|until| *until > now_ms)
        else {
            return Some(pending);
        };
        self.waiting_until_ms = if self.waiting.is_empty() { until_ms } else { until_ms.min(self.waiting_until_ms) };
        self.waiting.push_back(pending);
        None
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether some have waited long enough.
    pub(super) fn have_kept_waiting(&self, now_ms: i64) -> bool {
        !self.waiting.is_empty() && self.waiting_until_ms <= now_ms
    }

    /// Asks all of them to end. Short of killing them, that is the last job's to heed.
    pub(super) fn end_all(&self, ask: Ask) {
        for pid in self.at_work.keys() {
            // Not reaped yet, so the id is still the starter's.
            let _ = process::signal(*pid, ask);
        }
    }

    /// When [`State::end_late_starters`], or [`State::stop_waiting_for_starters`], should be called next.
    pub(super) fn next_deadline(&self) -> Option<i64> {
        let in_time = self.at_work.values().filter(|starter| !starter.is_late);
        let waiting = (!self.waiting.is_empty()).then_some(self.waiting_until_ms);
        in_time.map(|starter| starter.since_ms + LIMIT_MS).chain(waiting).min()
    }
}

/// Starts of one owner that can have one starter, in order; or a single one.
pub(super) struct Group {
    pub(super) owner: Rc<User>,
    pub(super) starts: Vec<Prepared>,
}

/// Parts starts into such groups.
pub(super) fn groups(prepared: Vec<Prepared>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for one in prepared {
        let fits =
            |first: &Prepared| !first.pending.alone && !one.pending.alone && go_together(&first.recipe, &one.recipe);
        match groups.iter_mut().find(|group| group.starts.first().is_some_and(fits)) {
            Some(group) => group.starts.push(one),
            None => groups.push(Group { owner: one.launched.user.clone(), starts: vec![one] }),
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
        let Some(starter) = self.starters.at_work.remove(&pid) else { return };
        self.stop_waiting_for_starters();
        for id in starter.jobs.into_iter().rev() {
            if let Some(job) = self.jobs.get_mut(&id).filter(|job| job.pid.is_none()) {
                job.has_no_starter = true;
                self.drain(id, Stream::Output);
            }
        }
    }

    /// Those that waited for a starter wait for their turn, before all that came later.
    pub(super) fn stop_waiting_for_starters(&mut self) {
        while let Some(pending) = self.starters.waiting.pop_back() {
            self.pending.push_front(pending);
        }
    }

    /// When all are to be killed: a job's process that its owner stopped before it came to tell who it is.
    pub(super) fn end_unknown(&self) {
        if self.stopping != Some(Ask::Kill) {
            return;
        }
        while let Some(pid) = process::stopped_child() {
            if !self.children.contains_key(&pid) {
                // Not reaped yet, so the id is still that child's.
                let _ = process::signal(pid, Ask::Kill);
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
        self.pending.push_front(Pending::again(job, true));
    }

    /// Ends starters whose time is over.
    pub(super) fn end_late_starters(&mut self, now_ms: i64) {
        let is_over = |starter: &Starter| !starter.is_late && starter.since_ms + LIMIT_MS <= now_ms;
        for (pid, starter) in self.starters.at_work.iter_mut().filter(|(_, starter)| is_over(starter)) {
            starter.is_late = true;
            if starter.permit.take() {
                // Not reaped yet, so the id is still the starter's.
                let _ = process::signal(*pid, Ask::Kill);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::backlog::tests::pending;
    use super::*;

    fn user(uid: u32) -> User {
        User { name: format!("user{uid}"), uid, gid: uid, home: b"/".to_vec(), groups: Vec::new() }
    }

    #[test]
    fn only_an_owners_own_starts_wait_for_her_starter_and_not_for_long() {
        let mut starters = Starters::default();
        assert_eq!(starters.next_deadline(), None);
        starters.begin(9, Starter::new(7, vec![1, 2], Permit::new().unwrap(), 1000));
        assert_eq!(starters.next_deadline(), Some(1000 + LIMIT_MS));
        assert_eq!(starters.keep_waiting(pending(3), &user(8), 1001), Some(pending(3)));
        assert_eq!((starters.keep_waiting(pending(4), &user(7), 1001), starters.waiting()), (None, 1));
        let over = 1000 + IN_ORDER_MS;
        assert_eq!(starters.next_deadline(), Some(over));
        assert!(!starters.have_kept_waiting(over - 1) && starters.have_kept_waiting(over));
        assert_eq!(starters.keep_waiting(pending(5), &user(7), over), Some(pending(5)));
        assert_eq!(starters.waiting.pop_back(), Some(pending(4)));
        assert!(!starters.have_kept_waiting(over), "nobody waits");
    }
}
