//! What earlier daemons have left of jobs: their state, their runs and their pauses, given back at start-up or when a table is loaded later.

use super::action::Action;
use super::earlier::EarlierEnds;
use super::earlier_run::EarlierRun;
use super::entries::table_owner;
use super::event::Event;
use super::fleet::Fleet;
use super::job_id::JobId;
use super::jobs::{AdoptedRun, RunStart};
use super::late_tables::save_missed_since;
use super::managed::save_first_seen;
use super::now::Now;
use super::run_id::RunId;
use super::run_record::{RunCause, Trigger};
use super::run_result::{RunOutcome, RunResult};
use super::runs::{RunOrigin, StartedRun};
use super::saved::{SavedState, StateChange};
use super::state::{DaemonStart, Phase, Scheduler};
use crate::schedule::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Seconds for which executors keep which runs they have begun.
const STARTS_KNOWN: i64 = 500;

/// What jobs have been given back of the state of an earlier daemon, and what follows from it.
#[derive(Debug, Default)]
pub(super) struct Claimed {
    /// Runs that are not known to be in progress.
    pub(super) unknown: Vec<RunId>,
    /// Ends that have come while no entry had their job's state.
    pub(super) ended: Vec<RunResult>,
    /// Jobs with a pause.
    pub(super) paused: Vec<JobId>,
}

impl Scheduler {
    /// What the next daemon has to know.
    pub fn saved_state(&self) -> SavedState {
        let mut saved = self.earlier.unclaimed.clone();
        saved.jobs.extend(self.jobs.all_saved().map(|(id, state)| (id.clone(), state.clone())));
        saved.pauses.extend(self.jobs.pauses().map(|(id, pause)| (id.clone(), pause.clone())));
        saved.pauses_of_all.clone_from(self.jobs.pauses_of_all());
        saved.first_seen.extend(self.first_seen.iter().map(|(id, seen)| (id.clone(), *seen)));
        let steps_back = self.entries.timing.zones.steps_back(self.progress.last.utc);
        let fleet_instance = self.fleet.as_ref().map(|fleet| fleet.instance.clone());
        saved.fleet_jobs = self.fleet.iter().flat_map(Fleet::saved_jobs).collect();
        SavedState { handled: Some(self.completed()), is_of_other_boot: false, steps_back, fleet_instance, ..saved }
    }

    /// Whether some job has a policy that needs state of an earlier daemon.
    pub fn needs_saved_state(&self) -> bool {
        self.jobs.need_saved_state()
    }

    /// Takes what an earlier daemon has left. Nothing starts yet.
    pub(super) fn restore(
        &mut self,
        saved: SavedState,
        is_other_boot: bool,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Claimed {
        let SavedState {
            jobs,
            mut first_seen,
            mut missed_since,
            pauses,
            pauses_of_all,
            steps_back,
            fleet_instance,
            fleet_jobs,
            ..
        } = saved;
        self.restore_fleet_instance(fleet_instance, is_other_boot, actions);
        self.restore_fleet_jobs(fleet_jobs, actions);
        self.entries.timing.zones.repeat_steps(&steps_back, now.utc);
        for (id, seen) in &mut self.first_seen {
            let saved = first_seen.remove(id);
            if let Some(since) = missed_since.remove(id) {
                self.earlier.missed_since.insert(id.clone(), since);
                actions.push(save_missed_since(id, None));
            }
            // The schedule may be another one now: then no slot of before was missed.
            if let Some((_, at)) = saved.filter(|(digest, _)| *digest == seen.0) {
                seen.1 = at;
            }
            if saved != Some(*seen) {
                actions.push(save_first_seen(id, Some(*seen)));
            }
        }
        // What is left may be of tables that are loaded later.
        let (handled, is_of_other_boot) = (None, is_other_boot);
        let unclaimed =
            SavedState { jobs, pauses, first_seen, missed_since, handled, is_of_other_boot, ..SavedState::default() };
        self.earlier.keep_unclaimed(unclaimed, now);
        self.jobs.restore_pauses_of_all(pauses_of_all);
        self.forget_missed(None, actions);
        self.claim(None, now, actions)
    }

    /// The jobs with unclaimed state that are entries of a table, or have become known with it; all of them for all tables.
    fn claimable_jobs(&mut self, table: Option<u32>) -> BTreeSet<JobId> {
        let mut jobs = std::mem::take(&mut self.earlier.claimable);
        match table {
            None => jobs.extend(self.earlier.unclaimed_jobs().cloned()),
            Some(number) => {
                let table = self.entries.tables.get(number);
                let ids = table.iter().flat_map(|table| {
                    (0..table.entries().len() as u32).filter_map(|entry| self.entries.id_of(table, entry))
                });
                jobs.extend(ids.filter(|id| self.earlier.has_unclaimed(id)));
            }
        }
        jobs
    }

    /// Gives the jobs of a table, or of all, their saved state.
    fn claim(&mut self, table: Option<u32>, now: Now, actions: &mut Vec<Action>) -> Claimed {
        let mut claimed = Claimed::default();
        let wanted = self.claimable_jobs(table);
        self.manage_jobs(&wanted, table, now, actions);
        for id in wanted {
            if self.jobs.entry(&id).is_none() {
                continue;
            }
            let pause = self.earlier.unclaimed.pauses.remove(&id);
            let key = self.jobs.entry(&id);
            if pause.as_ref().is_some_and(|pause| self.entries.is_of_other_table(pause, key)) {
                // It may have a pause of all.
                let own = self.jobs.paused(&id).cloned();
                actions.push(Action::SaveState(Box::new(StateChange::pause(id.clone(), own))));
            } else if let Some(pause) = pause {
                self.jobs.restore_pause(id.clone(), pause);
                claimed.paused.push(id.clone());
            }
            let Some(mut state) = self.earlier.unclaimed.jobs.remove(&id) else { continue };
            let ends = std::mem::take(&mut state.ended);
            for run in state.runs() {
                let origin = RunOrigin::Managed { trigger: Trigger::Schedule, attempt: 0 };
                let is_new = self.starts.runs.insert(run, origin).is_none();
                if is_new && !ends.iter().any(|end| end.run == run) {
                    claimed.unknown.push(run);
                }
            }
            claimed.ended.extend(ends);
            for (slot, trigger) in state.slots() {
                // Of another boot only what still waits for its start counts: its runs have ended with it.
                if trigger == Trigger::Reboot && self.earlier.is_before_boot && !state.waits_for_start(slot) {
                    continue;
                }
                // Jobs of a boot are due at start-up, whenever that is.
                let slot = if trigger == Trigger::Reboot { now.utc } else { slot };
                self.earlier.already_started.entry((id.clone(), slot)).or_insert(1);
            }
            self.jobs.restore(&id, state, now, self.earlier.unclaimed.is_of_other_boot);
            self.with_jobs(now, actions, |jobs, context| jobs.drop_what_is_not_wanted(&id, context));
        }
        claimed
    }

    /// Entries may have been added while no daemon was there and all were paused.
    pub(super) fn pause_added_entries(&mut self, now: Now, actions: &mut Vec<Action>) {
        let mut ids = BTreeSet::new();
        for (_, table) in
            self.entries.tables.iter().filter(|(_, table)| self.jobs.is_all_paused(table_owner(table), now.utc))
        {
            ids.extend((0..table.entries().len() as u32).filter_map(|entry| self.entries.id_of(table, entry)));
        }
        self.manage_jobs(&ids, None, now, actions);
        if self.jobs.is_all_paused(None, now.utc) {
            ids.extend(self.entries.anacron.all_ids().values().cloned());
        }
        if !ids.is_empty() {
            self.with_jobs(now, actions, |jobs, context| ids.iter().for_each(|id| jobs.pause_if_covered(id, context)));
        }
    }

    /// Skips what waits of jobs whose pauses have been restored: they may have begun while no daemon was there. Others of their
    /// groups may start then.
    pub(super) fn skip_paused(&mut self, paused: &[JobId], now: Now, actions: &mut Vec<Action>) {
        self.with_jobs(now, actions, |jobs, context| paused.iter().for_each(|id| jobs.skip_waiting(id, context)));
    }

    /// Ends or puts back those runs of the saved state that nobody has reported. The slot of a run that was never begun waits again: it was
    /// still in the start queue, or it is recent and `begun` does not have it. All others are lost. No `begun`: they were runs of another
    /// boot.
    pub(super) fn end_unaccounted(
        &mut self,
        runs: Vec<RunStart>,
        accounted: &BTreeSet<RunId>,
        begun: Option<&BTreeSet<RunId>>,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        for RunStart { run, queued_at, is_queued, is_claimed_start } in runs {
            if accounted.contains(&run) {
                continue;
            }
            let is_recent = now.utc.0.saturating_sub(queued_at.0) < STARTS_KNOWN;
            let has_begun = match begun {
                // Nobody may start the slot of a claim twice, and the executor may have lost what it has begun.
                _ if is_claimed_start => true,
                Some(begun) => begun.contains(&run) || !(is_queued || is_recent),
                None => !is_queued,
            };
            if has_begun {
                let ended_at_ms = now.utc.0.saturating_mul(1_000);
                self.handle_end(&RunResult::of_outcome(run, RunOutcome::Lost, ended_at_ms), now, actions);
            } else {
                self.starts.runs.remove(&run);
                self.with_jobs(now, actions, |jobs, context| jobs.put_back(run, context));
            }
        }
    }

    /// At a stop: what jobs with a policy have in the start queue waits for the next daemon.
    pub(super) fn keep_queued_jobs(&mut self, now: Now, actions: &mut Vec<Action>) {
        for RunStart { run, .. } in self.jobs.all_runs() {
            let key = self.jobs.entry_of_run(run);
            if key.is_some_and(|key| self.starts.remove(key, run, &self.entries)) {
                self.with_jobs(now, actions, |jobs, context| jobs.put_back(run, context));
            }
        }
    }

    /// Gives the jobs of a table that is loaded late what an earlier daemon has left of them.
    pub(super) fn restore_late_table(&mut self, number: u32, now: Now, actions: &mut Vec<Action>) {
        if self.phase != Phase::Running || self.earlier.unclaimed.is_empty() {
            return;
        }
        // Runs that no executor has listed since start-up have ended.
        let claimed = self.claim(Some(number), now, actions);
        self.skip_paused(&claimed.paused, now, actions);
        // What was saved of them may be a pause of all that they got when they became known.
        self.with_jobs(now, actions, |jobs, context| {
            for id in &claimed.paused {
                context.changed_pauses.insert(id.clone());
                jobs.pause_if_covered(id, context);
            }
        });
        for result in claimed.ended {
            self.handle_end(&result, now, actions);
        }
        for run in claimed.unknown {
            let ended_at_ms = now.utc.0.saturating_mul(1_000);
            self.handle_end(&RunResult::of_outcome(run, RunOutcome::Lost, ended_at_ms), now, actions);
        }
    }

    /// Gives runs that were never begun the number under which their slot was begun all the same. A daemon had put the slot back and started it
    /// again, and was killed before the state with the second run was written.
    fn renumber_started_again(
        &mut self,
        begun: &BTreeSet<RunId>,
        newest: &HashMap<(JobId, Timestamp), (RunId, Option<RunCause>)>,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        for RunStart { run, .. } in self.jobs.all_runs() {
            let again = self.jobs.slot_of_run(run).and_then(|slot| newest.get(&slot)).map(|(run, _)| *run);
            let Some(again) = again.filter(|again| *again > run && !begun.contains(&run)) else { continue };
            if let Some(origin) = self.starts.runs.get(&run).cloned() {
                self.starts.runs.remove(&run);
                self.starts.runs.insert(again, origin);
            }
            self.with_jobs(now, actions, |jobs, context| jobs.renumber(run, again, context));
        }
    }

    /// The first half of start-up: what an earlier daemon has left.
    pub(super) fn prepare_daemon_start(
        &mut self,
        event: Event,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Option<DaemonStart> {
        let Event::DaemonStarted { boot, completed, started, running, saved } = event else { return None };
        if self.phase != Phase::Loading {
            return None;
        }
        self.phase = Phase::Running;
        let mut unchecked = std::mem::take(&mut self.unchecked);
        unchecked.sort();
        unchecked.dedup();
        self.report_faults(&unchecked, actions);
        // A watermark later than now counts as now.
        let handled = saved.handled.map(|handled| handled.min(now.utc));
        self.earlier.down_since = completed.or(handled);
        self.entries.anacron.begin(running.iter().map(|(run, _)| run));
        for start in started {
            *self.earlier.already_started.entry(start).or_default() += 1;
        }
        let is_other_boot = boot || saved.is_of_other_boot;
        self.earlier.is_before_boot = saved.is_before_boot;
        let newest = saved.newest_run();
        let claimed = self.restore(*saved, is_other_boot, now, actions);
        self.earlier.ends.accounted.extend(running.iter().map(|(run, _)| *run));
        let EarlierEnds { ended, accounted, begun, newest: newest_starts, mut runs } =
            std::mem::take(&mut self.earlier.ends);
        if !is_other_boot {
            self.renumber_started_again(&begun, &newest_starts, now, actions);
            // A waiting slot that has been begun does not wait any more. With a clock that was set back a slot comes twice: a run that is older
            // than the saved state is that of the first time.
            let waiting = self.jobs.waiting_slots();
            let is_after_state = |run: &RunId| newest.is_none_or(|newest| *run > newest);
            runs.extend(waiting.filter_map(|slot| {
                let (run, cause) = newest_starts.get(&slot).copied().filter(|(run, _)| is_after_state(run))?;
                let (job, scheduled_at) = slot;
                Some(EarlierRun { run, job, scheduled_at, cause })
            }));
        }
        self.adopt(running, &runs, (completed.or(handled), newest), now, actions);
        let accounted: BTreeSet<RunId> = accounted.into_iter().chain(ended.iter().map(|end| end.run)).collect();
        for state in self.earlier.unclaimed.jobs.values() {
            self.jobs.reserve_places(state, |run| accounted.contains(&run));
        }
        // Runs that pauses and ends let start are none of them.
        let runs = self.jobs.all_runs();
        // Before they let a retry start that waits in its group.
        if completed.or(handled).is_some() {
            self.drop_expired_retries(now, actions);
        }
        self.skip_paused(&claimed.paused, now, actions);
        self.pause_added_entries(now, actions);
        let accounted: BTreeSet<RunId> = accounted.into_iter().chain(claimed.ended.iter().map(|end| end.run)).collect();
        for result in claimed.ended.iter().chain(&ended) {
            self.handle_end(result, now, actions);
        }
        self.end_unaccounted(runs, &accounted, (!is_other_boot).then_some(&begun), now, actions);
        Some(DaemonStart { boot, completed, handled })
    }

    /// Takes over runs of an earlier daemon: those in progress, and those whose ends follow. `recorded` is up to when everything was
    /// handled, and the newest run in the saved state.
    fn adopt(
        &mut self,
        running: Vec<(RunId, JobId)>,
        known: &[EarlierRun],
        recorded: (Option<Timestamp>, Option<RunId>),
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let still_running: BTreeSet<RunId> = running.iter().map(|(run, _)| *run).collect();
        let mut runs: BTreeMap<RunId, (JobId, Option<Timestamp>, Option<RunCause>)> =
            running.into_iter().map(|(run, id)| (run, (id, None, None))).collect();
        for EarlierRun { run, job, scheduled_at, cause } in known {
            runs.insert(*run, (job.clone(), Some(*scheduled_at), *cause));
        }
        for (run, (id, slot, cause)) in runs {
            let is_slot =
                slot.is_none_or(|slot| self.jobs.entry(&id).is_none_or(|key| self.entries.is_slot(key, slot)));
            let moment = slot.unwrap_or(now.utc);
            // The state is written before the record: the end of a run of before that it does not have has been handled, and comes again. The
            // record goes back with the clock, the ids of runs do not.
            let (completed, newest) = recorded;
            let is_after_record = completed.is_some_and(|completed| moment > completed);
            let is_unknown =
                still_running.contains(&run) || (is_after_record && newest.is_none_or(|newest| run > newest));
            let adopted = AdoptedRun { run, scheduled_at: moment, cause, is_slot, is_unknown };
            let RunCause { trigger, attempt } = cause.unwrap_or(RunCause { trigger: Trigger::Schedule, attempt: 1 });
            if self.with_jobs(now, actions, |jobs, context| jobs.adopt(&adopted, &id, context)) {
                if let Some(slot) = slot.filter(|_| !trigger.is_manual()) {
                    self.earlier.already_started.entry((id, slot)).or_insert(1);
                }
                self.starts.runs.insert(run, RunOrigin::Managed { trigger, attempt });
            } else if still_running.contains(&run) {
                let start = StartedRun { job: id, scheduled_at: moment, trigger };
                self.starts.runs.insert(run, RunOrigin::Plain(Some(Box::new(start))));
            }
            // The request may have been lost with the daemon.
            if still_running.contains(&run)
                && let Some(why) = self.jobs.ending(run)
            {
                actions.push(Action::End { run, why });
            }
        }
    }
}
