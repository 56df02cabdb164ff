//! The runs that have not ended, and the ids of those to come.

use super::job_id::JobId;
use super::run_id::RunId;
use super::run_record::Trigger;
use crate::schedule::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Run ids that are reserved at a time. What a daemon that is killed has reserved and not used is never used.
const RUNS_RESERVED: u64 = 100_000;

/// What is known of a run that has not ended.
#[derive(Clone, Debug)]
pub(super) enum RunOrigin {
    /// A run of an entry each of whose slots is one start. None: it waits in the start queue.
    Plain(Option<Box<StartedRun>>),
    /// A run of a managed job, about whose slots and ends [`super::jobs`] decides. Managed are the entries that have a policy, a name or an
    /// interval (`@N`), and those that somebody has paused or run by hand.
    Managed {
        /// What caused the run.
        trigger: Trigger,
        /// The attempt for the slot, from 1; 0 if an earlier daemon has started the run.
        attempt: u32,
    },
}

/// What is known of a run of an entry that is not managed, for the case that the entry becomes managed while it is in progress.
#[derive(Clone, Debug)]
pub(super) struct StartedRun {
    pub(super) job: JobId,
    pub(super) scheduled_at: Timestamp,
    pub(super) trigger: Trigger,
}

/// Runs that wait for their start or are in progress, and the ids of those to come.
#[derive(Debug)]
pub(super) struct Runs {
    open: BTreeMap<RunId, RunOrigin>,
    pub(super) next_id: u64,
    /// Ids up to here, exclusive, are reserved. None: nothing outlives this scheduler, so they need not be.
    reserved: Option<u64>,
}

impl Runs {
    /// No runs; ids count from `next_id` and are not reserved.
    pub(super) fn new(next_id: u64) -> Runs {
        Runs { open: BTreeMap::new(), next_id, reserved: None }
    }

    /// A new id for a run.
    pub(super) fn allocate(&mut self) -> RunId {
        let run = RunId(self.next_id);
        self.next_id += 1;
        run
    }

    /// Adds a run that has an id. Returns what was known of it before.
    pub(super) fn insert(&mut self, run: RunId, origin: RunOrigin) -> Option<RunOrigin> {
        self.open.insert(run, origin)
    }

    pub(super) fn remove(&mut self, run: &RunId) {
        self.open.remove(run);
    }

    pub(super) fn get(&self, run: &RunId) -> Option<&RunOrigin> {
        self.open.get(run)
    }

    /// Notes for which job and slot a run is handed over, unless it is one of a managed job.
    pub(super) fn note_started(&mut self, run: RunId, start: impl FnOnce() -> StartedRun) {
        if let Some(RunOrigin::Plain(started)) = self.open.get_mut(&run) {
            *started = Some(Box::new(start()));
        }
    }

    /// The runs of these jobs that are in progress and were started when the jobs were not managed.
    pub(super) fn plain_runs(&self, jobs: &BTreeSet<JobId>) -> Vec<(RunId, StartedRun)> {
        let plain = self.open.iter().filter_map(|(run, origin)| match origin {
            RunOrigin::Plain(Some(started)) => Some((*run, &**started)),
            RunOrigin::Plain(None) | RunOrigin::Managed { .. } => None,
        });
        plain.filter(|(_, started)| jobs.contains(&started.job)).map(|(run, started)| (run, started.clone())).collect()
    }

    /// The number of runs that wait or are in progress.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Counts ids from `first`, and asks for reservations from now on.
    pub(super) fn reserve_from(&mut self, first: RunId) {
        self.next_id = first.0;
        self.reserved = Some(first.0);
    }

    /// Reserves more ids if few are left: some must be left for the starts of the next event's answer. Returns the end of what is reserved,
    /// exclusive, if that has changed.
    pub(super) fn extend_reservation(&mut self) -> Option<RunId> {
        let reserved = self.reserved?;
        if self.next_id.saturating_add(RUNS_RESERVED / 2) <= reserved {
            return None;
        }
        let reserved = self.next_id.saturating_add(RUNS_RESERVED);
        self.reserved = Some(reserved);
        Some(RunId(reserved))
    }
}
