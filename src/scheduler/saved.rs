//! The state of jobs that a daemon leaves to the next one, as a whole and as changes.

use super::job_id::JobId;
use super::jobs::{JobState, Pause};
use crate::schedule::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The state of all jobs that have one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedState {
    /// Runs, waiting slots, retries, streaks of failures.
    pub(super) jobs: BTreeMap<JobId, JobState>,
    /// For each job with `CRON_CATCHUP` a digest of its schedule, and since when it has had that.
    pub(super) first_seen: BTreeMap<JobId, (u64, Timestamp)>,
    pub(super) pauses: BTreeMap<JobId, Pause>,
}

/// One change of the state, to be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChange {
    job: JobId,
    part: Part,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Part {
    State(Option<Box<JobState>>),
    FirstSeen(Option<(u64, Timestamp)>),
    Pause(Option<Pause>),
}

impl SavedState {
    /// Applies a change.
    pub fn apply(&mut self, StateChange { job, part }: StateChange) {
        match part {
            Part::State(state) => set(&mut self.jobs, job, state.map(|state| *state)),
            Part::FirstSeen(seen) => set(&mut self.first_seen, job, seen),
            Part::Pause(pause) => set(&mut self.pauses, job, pause),
        }
    }

    /// The changes that make this state out of an empty one.
    pub fn changes(&self) -> impl Iterator<Item = StateChange> {
        let jobs = self.jobs.iter().map(|(job, state)| StateChange::state(job.clone(), Some(state.clone())));
        let seen = self.first_seen.iter().map(|(job, seen)| StateChange::first_seen(job.clone(), Some(*seen)));
        let pauses = self.pauses.iter().map(|(job, pause)| StateChange::pause(job.clone(), Some(pause.clone())));
        jobs.chain(seen).chain(pauses)
    }

    /// The number of these changes.
    pub fn len(&self) -> usize {
        self.jobs.len() + self.first_seen.len() + self.pauses.len()
    }

    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl StateChange {
    pub(super) fn state(job: JobId, state: Option<JobState>) -> StateChange {
        StateChange { job, part: Part::State(state.map(Box::new)) }
    }

    pub(super) fn first_seen(job: JobId, seen: Option<(u64, Timestamp)>) -> StateChange {
        StateChange { job, part: Part::FirstSeen(seen) }
    }

    pub(super) fn pause(job: JobId, pause: Option<Pause>) -> StateChange {
        StateChange { job, part: Part::Pause(pause) }
    }

    /// The user whose job it is, and whose share of the space it takes.
    pub fn user(&self) -> &str {
        self.job.user()
    }
}

fn set<T>(map: &mut BTreeMap<JobId, T>, job: JobId, value: Option<T>) {
    match value {
        Some(value) => map.insert(job, value),
        None => map.remove(&job),
    };
}
