//! The state of jobs that a daemon leaves to the next one, as a whole and as changes.

use super::earlier_run::EarlierRun;
use super::fleet::SavedFleetJob;
use super::job_id::JobId;
use super::jobs::{JobState, Pause, PauseOfAll, PauseScope, PausesOfAll};
use super::run_id::RunId;
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
    /// For jobs of them whose tables a daemon has not found at its start-up: everything due up to then was handled before.
    pub(super) missed_since: BTreeMap<JobId, Timestamp>,
    pub(super) pauses: BTreeMap<JobId, Pause>,
    pub(super) pauses_of_all: PausesOfAll,
    /// The instance of this machine in its fleet, for the daemons of this boot.
    pub(super) fleet_instance: Option<String>,
    /// Of fleet jobs what the engine does not know yet.
    pub(super) fleet_jobs: BTreeMap<JobId, SavedFleetJob>,
    /// Steps back of the clock that may still hold fixed times: the last second before each, and the first one after it.
    pub(super) steps_back: Vec<(Timestamp, Timestamp)>,
    /// The watermark: everything due up to here was handled, also in an earlier boot. None: nothing is known of it.
    pub(super) handled: Option<Timestamp>,
    /// Whether it was written in another boot, so that its times of the monotonic clock mean nothing.
    pub(super) is_of_other_boot: bool,
    /// Whether the daemon that takes it over starts all `@reboot` entries, also those with runs in progress.
    pub(super) is_before_boot: bool,
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
    #[serde(rename = "owed-since")]
    MissedSince(Option<Timestamp>),
    Pause(Option<Pause>),
    /// The job is the key of a scope.
    PauseOfAll(Option<Box<PauseOfAll>>),
    /// Ranges of time that the clock was set back over. They belong to the daemon, and to no job.
    StepsBack(Vec<(Timestamp, Timestamp)>),
    /// The instance of this node of a fleet. It belongs to the daemon, and to no job.
    FleetInstance(Option<String>),
    FleetJob(Option<Box<SavedFleetJob>>),
}

impl SavedState {
    /// Applies a change to the part of one job.
    pub fn apply(&mut self, StateChange { job, part }: StateChange) {
        match part {
            Part::State(state) => set(&mut self.jobs, job, state.map(|state| *state)),
            Part::FirstSeen(seen) => set(&mut self.first_seen, job, seen),
            Part::MissedSince(since) => set(&mut self.missed_since, job, since),
            Part::Pause(pause) => set(&mut self.pauses, job, pause),
            Part::PauseOfAll(all) => {
                if let Some(scope) = PauseScope::of_key(&job) {
                    set(&mut self.pauses_of_all, scope, all.map(|all| *all));
                }
            }
            Part::StepsBack(steps) => self.steps_back = steps,
            Part::FleetInstance(instance) => self.fleet_instance = instance,
            Part::FleetJob(saved) => set(&mut self.fleet_jobs, job, saved.map(|saved| *saved)),
        }
    }

    /// Sets the moment up to which everything due was handled.
    pub fn set_handled(&mut self, handled: Timestamp) {
        self.handled = Some(handled);
    }

    /// The moment up to which everything due was handled.
    pub fn handled(&self) -> Option<Timestamp> {
        self.handled
    }

    /// Nothing is known of what was handled, as another cron has run since.
    pub fn forget_handled(&mut self) {
        self.handled = None;
    }

    /// The rows of skipped slots that have not ended: the first slot of each (UTC), and how many slots it has.
    pub fn rows_of_slots(&self) -> impl Iterator<Item = (&JobId, i64, u64)> {
        self.jobs.iter().filter_map(|(id, state)| state.row.as_ref().map(|row| (id, row.first.0, row.count)))
    }

    /// Whether it was written before it had the end of that run: an earlier daemon that had received the result was killed before the end was
    /// saved. The next one must pass it on again ([`super::Event::RunEnded`]), or the run counts as lost.
    pub fn lacks_end_of(&self, run: &EarlierRun) -> bool {
        self.jobs.get(&run.job).is_some_and(|state| state.lacks_end_of(run))
    }

    /// The newest of all runs that it has.
    pub(super) fn newest_run(&self) -> Option<RunId> {
        self.jobs.values().filter_map(JobState::newest_run).max()
    }

    /// Says that it was written in another boot of the machine.
    pub fn set_of_other_boot(&mut self) {
        self.is_of_other_boot = true;
    }

    /// Notes that the daemon that takes this state over is the first of a boot, or standalone, and starts all `@reboot` entries.
    pub fn set_before_boot(&mut self) {
        self.is_before_boot = true;
    }

    /// Converts times of the monotonic clock of another boot to this one, before the state is stored as one of this boot. It is `utc` now, and
    /// `elapsed_ms` by the monotonic clock.
    pub fn convert_to_boot(&mut self, utc: Timestamp, elapsed_ms: i64) {
        if self.is_of_other_boot {
            self.jobs.values_mut().for_each(|state| state.convert_to_boot(utc, elapsed_ms));
        }
    }

    /// The changes that make this state out of an empty one.
    pub fn changes(&self) -> impl Iterator<Item = StateChange> {
        let jobs = self.jobs.iter().map(|(job, state)| StateChange::state(job.clone(), Some(state.clone())));
        let seen = self.first_seen.iter().map(|(job, seen)| StateChange::first_seen(job.clone(), Some(*seen)));
        let missed = self.missed_since.iter().map(|(job, since)| StateChange::missed_since(job.clone(), Some(*since)));
        let pauses = self.pauses.iter().map(|(job, pause)| StateChange::pause(job.clone(), Some(pause.clone())));
        let of_all = self.pauses_of_all.iter().map(|(scope, all)| StateChange::pause_of_all(*scope, Some(all.clone())));
        let steps = Some(&self.steps_back).filter(|steps| !steps.is_empty());
        let steps = steps.map(|steps| StateChange::steps_back(steps.clone()));
        let instance = self.fleet_instance.iter().map(|instance| StateChange::fleet_instance(Some(instance.clone())));
        let of_fleet =
            self.fleet_jobs.iter().map(|(job, saved)| StateChange::fleet_job(job.clone(), Some(saved.clone())));
        jobs.chain(seen).chain(missed).chain(pauses).chain(of_all).chain(steps).chain(instance).chain(of_fleet)
    }

    /// The number of these changes.
    pub fn len(&self) -> usize {
        let of_jobs = self.jobs.len() + self.first_seen.len() + self.missed_since.len() + self.fleet_jobs.len();
        let of_daemon = self.pauses_of_all.len()
            + usize::from(!self.steps_back.is_empty())
            + usize::from(self.fleet_instance.is_some());
        of_jobs + self.pauses.len() + of_daemon
    }

    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl StateChange {
    /// The names of all parts, as [`StateChange::key`] has them.
    pub const PARTS: [&'static str; 8] =
        ["state", "first-seen", "owed-since", "pause", "pause-of-all", "steps-back", "fleet-instance", "fleet-job"];

    pub(super) fn state(job: JobId, state: Option<JobState>) -> StateChange {
        StateChange { job, part: Part::State(state.map(Box::new)) }
    }

    pub(super) fn first_seen(job: JobId, seen: Option<(u64, Timestamp)>) -> StateChange {
        StateChange { job, part: Part::FirstSeen(seen) }
    }

    pub(super) fn missed_since(job: JobId, since: Option<Timestamp>) -> StateChange {
        StateChange { job, part: Part::MissedSince(since) }
    }

    pub(super) fn pause(job: JobId, pause: Option<Pause>) -> StateChange {
        StateChange { job, part: Part::Pause(pause) }
    }

    pub(super) fn pause_of_all(scope: PauseScope, all: Option<PauseOfAll>) -> StateChange {
        StateChange { job: scope.key(), part: Part::PauseOfAll(all.map(Box::new)) }
    }

    pub(super) fn steps_back(steps: Vec<(Timestamp, Timestamp)>) -> StateChange {
        StateChange { job: JobId::of_text(String::new()), part: Part::StepsBack(steps) }
    }

    pub(super) fn fleet_instance(instance: Option<String>) -> StateChange {
        StateChange { job: JobId::of_text(String::new()), part: Part::FleetInstance(instance) }
    }

    pub(super) fn fleet_job(job: JobId, saved: Option<SavedFleetJob>) -> StateChange {
        StateChange { job, part: Part::FleetJob(saved.map(Box::new)) }
    }

    /// The job and which part of its state it is: a later change with the same key replaces this one.
    pub fn key(&self) -> (&str, &'static str) {
        let part = match self.part {
            Part::State(_) => "state",
            Part::FirstSeen(_) => "first-seen",
            Part::MissedSince(_) => "owed-since",
            Part::Pause(_) => "pause",
            Part::PauseOfAll(_) => "pause-of-all",
            Part::StepsBack(_) => "steps-back",
            Part::FleetInstance(_) => "fleet-instance",
            Part::FleetJob(_) => "fleet-job",
        };
        (self.job.as_str(), part)
    }

    /// Whether there is nothing of this part any more.
    pub fn is_removal(&self) -> bool {
        match &self.part {
            Part::State(state) => state.is_none(),
            Part::FirstSeen(seen) => seen.is_none(),
            Part::MissedSince(since) => since.is_none(),
            Part::Pause(pause) => pause.is_none(),
            Part::PauseOfAll(all) => all.is_none(),
            Part::StepsBack(steps) => steps.is_empty(),
            Part::FleetInstance(instance) => instance.is_none(),
            Part::FleetJob(saved) => saved.is_none(),
        }
    }

    /// The change that removes this part.
    pub fn to_removal(&self) -> StateChange {
        let part = match self.part {
            Part::State(_) => Part::State(None),
            Part::FirstSeen(_) => Part::FirstSeen(None),
            Part::MissedSince(_) => Part::MissedSince(None),
            Part::Pause(_) => Part::Pause(None),
            Part::PauseOfAll(_) => Part::PauseOfAll(None),
            Part::StepsBack(_) => Part::StepsBack(Vec::new()),
            Part::FleetInstance(_) => Part::FleetInstance(None),
            Part::FleetJob(_) => Part::FleetJob(None),
        };
        StateChange { job: self.job.clone(), part }
    }

    /// The user whose job it is, and whose share of the space it takes.
    pub fn user(&self) -> &str {
        self.job.user()
    }
}

fn set<K: Ord, T>(map: &mut BTreeMap<K, T>, key: K, value: Option<T>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}
