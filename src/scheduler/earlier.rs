//! The runs, ends, starts and saved state of earlier daemons.

use super::action::Action;
use super::earlier_run::EarlierRun;
use super::job_id::JobId;
use super::now::Now;
use super::run_id::RunId;
use super::run_record::RunCause;
use super::run_result::RunResult;
use super::runs::Runs;
use super::saved::{SavedState, StateChange};
use super::slot_budget::SlotBudget;
use crate::schedule::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How long saved state waits for an entry that is not loaded yet, in milliseconds: its user may be looked up later, its file system mounted
/// later.
const UNCLAIMED_MS: i64 = 3_600_000;

/// Runs and retries of earlier daemons that the new one takes over.
#[derive(Debug, Default)]
pub(super) struct EarlierDaemons {
    /// What is known of their runs before start-up.
    pub(super) ends: EarlierEnds,
    /// Since when the last of them was down before this one began.
    pub(super) down_since: Option<Timestamp>,
    /// Whether this one starts all `@reboot` entries, see [`SavedState::set_before_boot`].
    pub(super) is_before_boot: bool,
    /// What they have started of that which is due at start-up, with how often.
    pub(super) already_started: HashMap<(JobId, Timestamp), u32>,
    /// For jobs whose tables earlier daemons have not found: slots since then count as missed at start-up.
    pub(super) missed_since: HashMap<JobId, Timestamp>,
    /// Saved state of jobs of which no entry is loaded yet.
    pub(super) unclaimed: SavedState,
    /// Jobs of them that have become known since, and whose state is given back with that of the next table.
    pub(super) claimable: BTreeSet<JobId>,
    /// The jobs of the runs in it. Some of them may have been claimed since.
    unclaimed_runs: HashMap<RunId, JobId>,
    /// Until when that is kept, in milliseconds of the monotonic clock.
    unclaimed_until_ms: i64,
    /// The jobs among them with runs that were in progress after that time.
    kept_unclaimed: BTreeSet<JobId>,
    /// What tables need that are first loaded after start-up. None: their entries have missed no slots.
    pub(super) late_tables: Option<LateTables>,
}

/// What late tables need from start-up. It is kept as long as the saved state of their jobs.
#[derive(Debug)]
pub(super) struct LateTables {
    /// Slots of their jobs that earlier daemons have started since.
    pub(super) started: BTreeSet<(JobId, Timestamp)>,
    /// How many of their missed slots may still be examined.
    pub(super) budget: SlotBudget,
}

/// What is known of runs of earlier daemons before start-up.
#[derive(Debug, Default)]
pub(super) struct EarlierEnds {
    /// Ends, for the jobs whose state start-up restores.
    pub(super) ended: Vec<RunResult>,
    /// Runs in progress, or whose ends have come or will come.
    pub(super) accounted: Vec<RunId>,
    /// Runs of earlier daemons, with what is known of them.
    pub(super) runs: Vec<EarlierRun>,
    /// Runs that executors have begun in the last minutes.
    pub(super) begun: BTreeSet<RunId>,
    /// The newest of them for each slot, with what has led to it.
    pub(super) newest: HashMap<(JobId, Timestamp), (RunId, Option<RunCause>)>,
}

impl EarlierEnds {
    /// Notes which runs executors have begun.
    pub(super) fn note_starts(&mut self, starts: Vec<EarlierRun>) {
        for start in starts {
            let run = start.run;
            self.begun.insert(run);
            if !start.is_by_hand() {
                let newest = self.newest.entry((start.job, start.scheduled_at)).or_insert((run, start.cause));
                if run > newest.0 {
                    *newest = (run, start.cause);
                }
            }
        }
    }
}

impl EarlierDaemons {
    /// Whether they have started this slot of a job. One start is counted off.
    pub(super) fn take_start(&mut self, job: JobId, slot: Timestamp) -> bool {
        match self.already_started.get_mut(&(job, slot)) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }

    /// The jobs whose state or pause no entry has taken over.
    pub(super) fn unclaimed_jobs(&self) -> impl Iterator<Item = &JobId> {
        self.unclaimed.jobs.keys().chain(self.unclaimed.pauses.keys())
    }

    /// Whether no entry has taken over the state or the pause of this job.
    pub(super) fn has_unclaimed(&self, id: &JobId) -> bool {
        self.unclaimed.jobs.contains_key(id) || self.unclaimed.pauses.contains_key(id)
    }

    /// Notes that this job has become known, whose state may be claimed then.
    pub(super) fn note_known(&mut self, id: &JobId) {
        if self.has_unclaimed(id) {
            self.claimable.insert(id.clone());
        }
    }

    /// Keeps saved state until its entries are loaded.
    pub(super) fn keep_unclaimed(&mut self, saved: SavedState, now: Now) {
        let runs = saved.jobs.iter().flat_map(|(id, state)| state.runs().into_iter().map(move |run| (run, id.clone())));
        self.unclaimed_runs = runs.collect();
        self.unclaimed = saved;
        self.unclaimed_until_ms = now.elapsed_ms.saturating_add(UNCLAIMED_MS);
    }

    /// Keeps the end of a run whose job's state no entry has claimed. None: it is another run.
    pub(super) fn note_end(&mut self, result: &RunResult) -> Option<StateChange> {
        let id = self.unclaimed_runs.get(&result.run)?;
        let state = self.unclaimed.jobs.get_mut(id).filter(|state| state.has_open_run(result.run))?;
        state.ended.push(result.clone());
        Some(StateChange::state(id.clone(), Some(state.clone())))
    }

    /// When saved state that no entry has claimed is dropped, in milliseconds of the monotonic clock.
    pub(super) fn forgets_at_ms(&self) -> Option<i64> {
        (!self.unclaimed.is_empty()).then_some(self.unclaimed_until_ms)
    }

    /// Drops saved state that no entry has claimed for long: those entries are gone, and what waited for them is skipped. Of a job whose runs
    /// are in progress, these are kept.
    pub(super) fn forget_unclaimed(&mut self, runs: &Runs, now: Now, actions: &mut Vec<Action>) {
        if self.unclaimed.is_empty() || now.elapsed_ms < self.unclaimed_until_ms {
            return;
        }
        let SavedState { jobs, first_seen, missed_since, pauses, is_of_other_boot, .. } =
            std::mem::take(&mut self.unclaimed);
        self.late_tables = None;
        let mut kept = BTreeMap::new();
        for (id, mut state) in jobs {
            let (records, is_over) = state.abandon(&id, |run| runs.get(&run).is_some(), now.utc);
            actions.extend(records.into_iter().map(|record| Action::Record(Box::new(record))));
            let left = (!is_over).then_some(state);
            if is_over || !self.kept_unclaimed.contains(&id) {
                actions.push(Action::SaveState(Box::new(StateChange::state(id.clone(), left.clone()))));
            }
            kept.extend(left.map(|state| (id, state)));
        }
        let others = SavedState { first_seen, missed_since, pauses, ..SavedState::default() };
        actions.extend(others.changes().map(|change| Action::SaveState(Box::new(change.to_removal()))));
        self.unclaimed_runs.retain(|_, id| kept.contains_key(id));
        self.kept_unclaimed = kept.keys().cloned().collect();
        self.unclaimed = SavedState { jobs: kept, is_of_other_boot, ..SavedState::default() };
    }
}
