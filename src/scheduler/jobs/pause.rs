//! Pauses: until when nothing of a job starts but manual runs. Each job has its own pause. A pause of all jobs also holds for entries that are
//! added later: each gets its pause when it becomes known.

use crate::schedule::Timestamp;
use crate::scheduler::job_id::JobId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Longest time for which a past pause is remembered, so that a slot that passed in it is not caught up. Seconds.
const REMEMBERED: i64 = 400 * 86_400;
/// Past pauses of one job that are remembered.
const PAST: usize = 16;
/// Jobs that one pause of all can leave out. Those beyond are paused again when their table is loaded anew.
const MOST_LEFT_OUT: usize = 500;
/// Name of the record of a pause of all in the state file. No job has it.
const NAME: &str = "*";

/// A pause of one job, from a moment to before another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The first second of it (UTC).
    pub from: Timestamp,
    /// The first second after it (UTC).
    pub until: Timestamp,
    /// The login name of the user who paused the job.
    pub by: String,
    /// The note that was given with the request.
    pub note: String,
    /// Whether only root and the control group may end it.
    pub is_by_root: bool,
    /// The table of the entry that was paused, once the scheduler has noted it: an entry of another table that gets its name is not paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl Pause {
    /// Whether both were asked for at once. A pause of all begins before those of its jobs.
    pub(in crate::scheduler) fn is_of_same_request(&self, other: &Pause) -> bool {
        let parts = |pause: &Pause| (pause.until, pause.is_by_root);
        parts(self) == parts(other) && self.by == other.by && self.note == other.note
    }
}

/// Whose jobs a pause covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PauseScope {
    /// All jobs of all users and of the system.
    Everybody,
    /// The entries of the crontab whose owner has this user id.
    User(u32),
}

/// A pause of all jobs in a scope, and the jobs that were paused or resumed one by one since then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::scheduler) struct PauseOfAll {
    pause: Pause,
    left_out: BTreeSet<JobId>,
}

/// Pauses of all jobs of a user or of all users, by their scope.
pub(in crate::scheduler) type PausesOfAll = BTreeMap<PauseScope, PauseOfAll>;

impl PauseOfAll {
    /// Whether a job has its pause because of this one.
    pub(in crate::scheduler) fn has_given(&self, id: &JobId, pause: &Pause) -> bool {
        self.pause.is_of_same_request(pause) && !self.left_out.contains(id)
    }
}

impl PauseScope {
    /// The key in the state file.
    pub(in crate::scheduler) fn key(self) -> JobId {
        match self {
            PauseScope::Everybody => JobId::named("root", NAME),
            PauseScope::User(uid) => JobId::named(&format!("#{uid}"), NAME),
        }
    }

    /// The scope with a key of the state file.
    pub(in crate::scheduler) fn of_key(key: &JobId) -> Option<PauseScope> {
        match key.user() {
            "root" => Some(PauseScope::Everybody),
            user => user.strip_prefix('#')?.parse().ok().map(PauseScope::User),
        }
    }
}

/// The pauses of all jobs.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    current: BTreeMap<JobId, Pause>,
    ends: BTreeSet<(Timestamp, JobId)>,
    /// For each job that has an entry the pauses that are over.
    past: BTreeMap<JobId, Vec<(Timestamp, Timestamp)>>,
    of_all: PausesOfAll,
}

impl Pauses {
    pub(super) fn insert(&mut self, id: JobId, pause: Pause) {
        if let Some(old) = self.current.remove(&id) {
            self.ends.remove(&(old.until, id.clone()));
            self.remember(&id, old.from, pause.from);
        }
        self.ends.insert((pause.until, id.clone()));
        self.current.insert(id, pause);
    }

    /// Ends a pause; whether there was one. What it covered is not remembered from now on: the pause was taken back.
    pub(super) fn remove(&mut self, id: &JobId) -> bool {
        let Some(pause) = self.current.remove(id) else { return false };
        self.ends.remove(&(pause.until, id.clone()));
        true
    }

    /// Forgets the pauses of a job that are over.
    pub(super) fn forget_past(&mut self, id: &JobId) {
        self.past.remove(id);
    }

    pub(super) fn is_paused(&self, id: &JobId, now: Timestamp) -> bool {
        // A pause begins at its request: a clock that shows an earlier time has been set back since.
        self.current.get(id).is_some_and(|pause| now < pause.until)
    }

    /// Whether a slot of the past was in a pause.
    pub(super) fn was_paused(&self, id: &JobId, slot: Timestamp) -> bool {
        let is_in = |pause: &Pause| pause.from <= slot && slot < pause.until;
        self.current.get(id).is_some_and(is_in)
            || self.past.get(id).is_some_and(|past| past.iter().any(|&(from, until)| from <= slot && slot < until))
    }

    /// When the next pause ends.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        let of_all = self.of_all.values().map(|all| all.pause.until);
        self.ends.first().map(|(until, _)| *until).into_iter().chain(of_all).min()
    }

    /// Takes out the pauses that are over, and remembers when they were.
    pub(super) fn take_ended(&mut self, now: Timestamp) -> Vec<JobId> {
        let mut ended = Vec::new();
        while let Some((until, id)) = self.ends.first().cloned().filter(|(until, _)| *until <= now) {
            self.ends.remove(&(until, id.clone()));
            if let Some(pause) = self.current.remove(&id) {
                self.remember(&id, pause.from, pause.until);
            }
            ended.push(id);
        }
        ended
    }

    fn remember(&mut self, id: &JobId, from: Timestamp, until: Timestamp) {
        let past = self.past.entry(id.clone()).or_default();
        past.retain(|(_, end)| until.0 - end.0 < REMEMBERED);
        if past.len() >= PAST {
            past.remove(0);
        }
        past.push((from, until));
    }

    pub(super) fn get(&self, id: &JobId) -> Option<&Pause> {
        self.current.get(id)
    }

    pub(super) fn has_of(&self, user: &str) -> bool {
        if self.current.is_empty() {
            return false;
        }
        self.current.range(JobId::named(user, "")..).next().is_some_and(|(id, _)| id.user() == user)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&JobId, &Pause)> {
        self.current.iter()
    }

    /// Pauses what is added to these jobs from now on.
    pub(super) fn pause_all(&mut self, scope: PauseScope, pause: Pause) {
        self.of_all.insert(scope, PauseOfAll { pause, left_out: BTreeSet::new() });
    }

    /// Takes a pause of all back. Whoever may control every job ends those of users, too. Returns those that have ended.
    pub(super) fn resume_all(&mut self, scope: PauseScope) -> PausesOfAll {
        self.take_of_all(|of, _| scope == PauseScope::Everybody || of == scope)
    }

    /// Somebody has paused or resumed a job by itself: no active pause of all jobs that they may end holds for it any more. `owner` is that
    /// of its table. Returns the pauses that have changed.
    pub(super) fn exempt(&mut self, id: &JobId, owner: Option<u32>, is_by_root: bool) -> Vec<PauseScope> {
        let may_exempt = |all: &PauseOfAll| (is_by_root || !all.pause.is_by_root) && all.left_out.len() < MOST_LEFT_OUT;
        let mut exempt_from = |scope: &PauseScope| {
            self.of_all.get_mut(scope).is_some_and(|all| may_exempt(all) && all.left_out.insert(id.clone()))
        };
        scopes_of(owner).filter(&mut exempt_from).collect()
    }

    /// Whether some pause of all covers the tables of this owner now. None: system tables.
    pub(super) fn is_all_paused(&self, owner: Option<u32>, now: Timestamp) -> bool {
        self.of_owner(owner).any(|all| now < all.pause.until)
    }

    /// The pause that a job has because all are paused.
    pub(super) fn covering(&self, id: &JobId, owner: Option<u32>, now: Timestamp) -> Option<Pause> {
        let mut covering = self.of_owner(owner).filter(|all| now < all.pause.until && !all.left_out.contains(id));
        covering.next().map(|all| all.pause.clone())
    }

    /// Whether a job has its pause because all are paused.
    pub(super) fn is_given(&self, id: &JobId, owner: Option<u32>) -> bool {
        self.get(id).is_some_and(|pause| self.of_owner(owner).any(|all| all.has_given(id, pause)))
    }

    /// The pauses of all that cover tables of this owner.
    fn of_owner(&self, owner: Option<u32>) -> impl Iterator<Item = &PauseOfAll> {
        scopes_of(owner).filter_map(|scope| self.of_all.get(&scope))
    }

    /// The active pause of all jobs with this scope.
    pub(super) fn of_scope(&self, scope: PauseScope) -> Option<&Pause> {
        self.of_all.get(&scope).map(|all| &all.pause)
    }

    /// Takes out the pauses of all that are over.
    pub(super) fn take_ended_of_all(&mut self, now: Timestamp) -> PausesOfAll {
        self.take_of_all(|_, all| all.pause.until <= now)
    }

    fn take_of_all(&mut self, is_meant: impl Fn(PauseScope, &PauseOfAll) -> bool) -> PausesOfAll {
        let all = std::mem::take(&mut self.of_all);
        let (taken, left) = all.into_iter().partition(|(scope, all)| is_meant(*scope, all));
        self.of_all = left;
        taken
    }

    /// Takes the pauses of all that an earlier daemon has left.
    pub(super) fn restore_all(&mut self, saved: PausesOfAll) {
        self.of_all = saved;
    }

    /// All pauses of all, for the state file.
    pub(super) fn all(&self) -> &PausesOfAll {
        &self.of_all
    }
}

/// The scopes that cover tables of this owner; that of root first, since only root can undo its pause.
fn scopes_of(owner: Option<u32>) -> impl Iterator<Item = PauseScope> {
    [Some(PauseScope::Everybody), owner.map(PauseScope::User)].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(from: i64, until: i64) -> Pause {
        let (from, until) = (Timestamp(from), Timestamp(until));
        Pause { from, until, by: String::new(), note: String::new(), is_by_root: false, source: None }
    }

    #[test]
    fn a_pause_holds_up_to_its_end_and_of_those_that_are_over_the_last_are_remembered() {
        let (mut pauses, id) = (Pauses::default(), JobId::named("alice", "job"));
        for begin in (0..1_000).step_by(10) {
            pauses.insert(id.clone(), pause(begin, begin + 5));
            let is_paused = [0, 4, 5].map(|after| pauses.is_paused(&id, Timestamp(begin + after)));
            assert_eq!(is_paused, [true, true, false], "{begin}");
            assert_eq!(pauses.take_ended(Timestamp(begin + 5)), std::slice::from_ref(&id));
        }
        let remembered: Vec<i64> = (0..1_000).filter(|at| pauses.was_paused(&id, Timestamp(*at))).collect();
        assert_eq!((remembered.len(), remembered.last()), (5 * PAST, Some(&994)));
    }

    #[test]
    fn only_root_takes_jobs_out_of_a_pause_of_root_and_only_so_many() {
        let (mut pauses, scope) = (Pauses::default(), PauseScope::Everybody);
        pauses.pause_all(scope, Pause { is_by_root: true, ..pause(0, 9) });
        let job = |number: usize| JobId::named("alice", &number.to_string());
        assert!(pauses.exempt(&job(0), None, false).is_empty());
        let taken_out = (0..1_000).filter(|number| pauses.exempt(&job(*number), None, true) == [scope]).count();
        assert_eq!(taken_out, MOST_LEFT_OUT);
    }
}
