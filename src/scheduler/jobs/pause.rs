//! Pauses: until when nothing of a job starts but runs by hand.

use crate::schedule::Timestamp;
use crate::scheduler::job_id::JobId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Longest time for which a past pause is remembered, so that a slot that was missed in it is not owed. Seconds.
const REMEMBERED: i64 = 400 * 86_400;
/// Past pauses of one job that are remembered.
const PAST: usize = 16;

/// A pause of one job, from a moment to before another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The first second of it (UTC).
    pub from: Timestamp,
    /// The first second after it (UTC).
    pub until: Timestamp,
    /// Who asked for it, by login name.
    pub by: String,
    /// Why, in the words of whoever asked for it.
    pub note: String,
    /// Whether only root and the control group may end it.
    pub is_by_root: bool,
    /// The table of the entry that was paused, once the scheduler has noted it: an entry of another table that gets its name is not paused.
    #[serde(default)]
    pub source: Option<String>,
}

impl Pause {
    /// Whether both were asked for at once. A pause of all begins before those of its jobs.
    pub(in crate::scheduler) fn is_of_same_request(&self, other: &Pause) -> bool {
        let parts = |pause: &Pause| (pause.until, pause.is_by_root);
        parts(self) == parts(other) && self.by == other.by && self.note == other.note
    }
}

/// The pauses of all jobs.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    current: BTreeMap<JobId, Pause>,
    ends: BTreeSet<(Timestamp, JobId)>,
    /// For each job that has an entry the pauses that are over.
    past: BTreeMap<JobId, Vec<(Timestamp, Timestamp)>>,
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
        // A pause begins when somebody asks for it: the clock that shows an earlier time has been set back since.
        self.current.get(id).is_some_and(|pause| now < pause.until)
    }

    /// Whether a slot of the past was in a pause.
    pub(super) fn was_paused(&self, id: &JobId, slot: Timestamp) -> bool {
        let is_in = |pause: &Pause| pause.from <= slot && slot < pause.until;
        self.current.get(id).is_some_and(is_in)
            || self.past.get(id).is_some_and(|past| past.iter().any(|&(from, until)| from <= slot && slot < until))
    }

    pub(super) fn next_end(&self) -> Option<Timestamp> {
        self.ends.first().map(|(until, _)| *until)
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
}
