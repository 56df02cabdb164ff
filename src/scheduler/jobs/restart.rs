//! The saved state of jobs: what a daemon that stops saves, and how the next one restores it.

use super::ends::record_of;
use super::job::{ActiveRun, Item, Job, JobState, PendingRetry, RetryStage, Waiting};
use super::registry::Jobs;
use crate::crontab::{CatchUpMode, MailRule, Overlap, Policy};
use crate::schedule::Timestamp;
use crate::scheduler::job_id::JobId;
use crate::scheduler::now::Now;
use crate::scheduler::policy_context::PolicyContext;
use crate::scheduler::run_id::RunId;
use crate::scheduler::run_record::{EndReason, Outcome, RunCause, RunRecord, SkipReason, Trigger};
use crate::scheduler::run_result::{RunOutcome, RunResult};
use crate::scheduler::start_queue::{ANACRON, EntryKey};

/// What is known of the start of a run.
#[derive(Clone, Copy, Debug)]
pub(in crate::scheduler) struct RunStart {
    pub(in crate::scheduler) run: RunId,
    /// When it was put into the start queue.
    pub(in crate::scheduler) queued_at: Timestamp,
    /// Whether it is still in the start queue.
    pub(in crate::scheduler) is_queued: bool,
    /// Whether it was handed over with the claim of a slot of a fleet job.
    pub(in crate::scheduler) is_claimed_start: bool,
}

/// A run in progress that its job does not know.
#[derive(Clone, Copy, Debug)]
pub(in crate::scheduler) struct AdoptedRun {
    pub(in crate::scheduler) run: RunId,
    pub(in crate::scheduler) scheduled_at: Timestamp,
    /// None: it is unknown, and the run counts as the first attempt for a slot, or as one by hand.
    pub(in crate::scheduler) cause: Option<RunCause>,
    /// Whether that moment is a slot of the entry, in case the cause is unknown.
    pub(in crate::scheduler) is_slot: bool,
    /// Whether the state of the job may lack the run. If not, only what waits or will be retried can have become it.
    pub(in crate::scheduler) is_unknown: bool,
}

impl JobState {
    /// After a boot the monotonic clock is another one: a pending retry is due by the wall clock.
    pub(in crate::scheduler) fn convert_to_boot(&mut self, utc: Timestamp, elapsed_ms: i64) {
        if let Some(retry) = &mut self.retry {
            let left = (retry.due_at.0 - utc.0).max(0);
            retry.due_ms = elapsed_ms.saturating_add(left.saturating_mul(1_000));
        }
    }
}

impl Jobs {
    /// The daemon ends and nothing of this is kept: what waits is skipped.
    pub(in crate::scheduler) fn skip_all_waiting(&mut self, context: &mut PolicyContext<'_>) {
        let ids: Vec<JobId> = self.jobs.keys().cloned().collect();
        for id in ids {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            for waiting in std::mem::take(&mut job.state.waiting) {
                self.skip(&id, &waiting.item, SkipReason::Stopped, context);
            }
            self.drop_retry(&id, context);
            self.flush_row(&id, context);
        }
    }

    /// All runs, with what is known of their starts.
    pub(in crate::scheduler) fn all_runs(&self) -> Vec<RunStart> {
        let runs = self.jobs.values().flat_map(|job| &job.state.running);
        let start = |active: &ActiveRun| {
            let &ActiveRun { run, queued_at, is_queued, .. } = active;
            let is_claimed_start = !is_queued && active.item.claim.is_some_and(|claim| !claim.is_by_hand());
            RunStart { run, queued_at, is_queued, is_claimed_start }
        };
        runs.map(start).collect()
    }

    /// The executor is asked to start a run. Returns its job.
    pub(in crate::scheduler) fn note_handed_over(&mut self, run: RunId) -> Option<&JobId> {
        let id = self.runs.get(&run)?;
        let running = &mut self.jobs.get_mut(id)?.state.running;
        running.iter_mut().find(|active| active.run == run)?.is_queued = false;
        Some(id)
    }

    /// The entry that a run is of.
    pub(in crate::scheduler) fn entry_of_run(&self, run: RunId) -> Option<EntryKey> {
        self.entry(self.runs.get(&run)?)
    }

    /// The slot that a run is of. None: it is a manual run, or unknown.
    pub(in crate::scheduler) fn slot_of_run(&self, run: RunId) -> Option<(JobId, Timestamp)> {
        let id = self.runs.get(&run)?;
        let active = self.jobs.get(id)?.state.running.iter().find(|active| active.run == run)?;
        (!active.item.is_manual).then(|| (id.clone(), active.item.scheduled_at))
    }

    /// The slots that wait for their first attempt.
    pub(in crate::scheduler) fn waiting_slots(&self) -> impl Iterator<Item = (JobId, Timestamp)> {
        self.jobs.iter().flat_map(|(id, job)| {
            let slots = job.state.waiting.iter().filter(|waiting| !waiting.item.is_manual);
            slots.map(|waiting| (id.clone(), waiting.item.scheduled_at))
        })
    }

    /// A run that was never begun has become another one, which was.
    pub(in crate::scheduler) fn renumber(&mut self, run: RunId, again: RunId, context: &mut PolicyContext<'_>) {
        let Some(id) = self.runs.get(&run).cloned() else { return };
        let job = self.jobs.get_mut(&id);
        let active = job.and_then(|job| job.state.running.iter_mut().find(|active| active.run == run));
        let Some(active) = active.filter(|_| !self.runs.contains_key(&again)) else { return };
        (active.run, active.is_queued) = (again, false);
        self.runs.remove(&run);
        context.note_change(&id);
        self.runs.insert(again, id);
    }

    /// A run that was never begun waits again, in front of what else waits; a further attempt is a pending retry again. It starts with the
    /// next event after which something of its job may start.
    pub(in crate::scheduler) fn put_back(&mut self, run: RunId, context: &mut PolicyContext<'_>) {
        let Some((id, ActiveRun { item, place, failure, .. })) = self.take_run(run) else { return };
        context.note_change(&id);
        self.gate.note_job(&id);
        self.free_place(place.as_ref());
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(failure) = failure else { return job.state.waiting.insert(0, Waiting { item, ticket: None }) };
        if job.state.retry.is_some() || item.number != job.state.accepted {
            // Only the newest slot has retries.
            return self.conclude_attempts(&id, &failure, context);
        }
        let failed_at = failure.record.ended_at_ms.map_or(context.now.utc, |ms| Timestamp(ms.div_euclid(1_000)));
        job.state.retry = Some(PendingRetry {
            item,
            due_ms: context.now.elapsed_ms,
            due_at: context.now.utc,
            failed_at,
            has_slot_passed: false,
            stage: RetryStage::OwnRun,
            failure,
        });
    }

    /// Whether some job has a policy that needs state of an earlier daemon.
    pub(in crate::scheduler) fn need_saved_state(&self) -> bool {
        self.jobs.values().any(|job| {
            let policy = &job.spec.policy;
            policy.catch_up.mode != CatchUpMode::None
                || policy.retry.attempts > 0
                || policy.overlap == Overlap::Queue
                || policy.late.is_some()
                || policy.alert.is_some()
                || policy.mail == MailRule::Change
                || job.spec.group.is_some()
                || !job.spec.after.is_empty()
        })
    }

    /// The state of a job that has to be kept. None: nothing has.
    pub(in crate::scheduler) fn saved(&self, id: &JobId) -> Option<&JobState> {
        self.jobs.get(id).map(|job| &job.state).filter(|state| !state.is_empty())
    }

    /// All states that have to be kept.
    pub(in crate::scheduler) fn all_saved(&self) -> impl Iterator<Item = (&JobId, &JobState)> {
        self.jobs.iter().map(|(id, job)| (id, &job.state)).filter(|(_, state)| !state.is_empty())
    }

    /// Gives a job that has been registered the state of an earlier daemon. Tickets keep their order. After a boot the monotonic clock is
    /// another one, and retries go by the wall clock.
    pub(in crate::scheduler) fn restore(&mut self, id: &JobId, mut state: JobState, now: Now, boot: bool) {
        self.gate.note_job(id);
        for run in &state.running {
            if let Some(place) = self.groups.release(run.run) {
                self.gate.note_group(&place);
            }
        }
        let Some(job) = self.jobs.get_mut(id) else { return };
        if boot {
            state.convert_to_boot(now.utc, now.elapsed_ms);
        }
        state.after_ok.retain(|needed, _| job.spec.after.contains(needed));
        let tickets = state.tickets();
        tickets.iter().for_each(|ticket| self.groups.skip_tickets(*ticket));
        if let Some(key) = &job.spec.group {
            tickets.iter().for_each(|ticket| self.groups.wait_with(key, *ticket, id));
            state.running.iter().for_each(|_| self.groups.enter(key));
        } else {
            state.forget_tickets();
        }
        state.running.iter_mut().for_each(|run| run.place.clone_from(&job.spec.group));
        self.runs.extend(state.running.iter().map(|run| (run.run, id.clone())));
        if let Some(retry) = &state.retry {
            self.retries.add(retry.due_ms, id);
        }
        if let Some(at) = state.row.as_ref().and_then(|row| row.update_at) {
            self.row_updates.add(at, id);
        }
        if job.spec.policy.late.is_none() {
            (state.late_at, state.is_late) = (None, false);
        }
        if let Some(late) = state.late_at {
            self.late.add(late, id);
        }
        job.state = state;
    }

    /// Holds the places in groups of runs in progress whose state no entry has taken back.
    pub(in crate::scheduler) fn reserve_places(&mut self, state: &JobState, is_running: impl Fn(RunId) -> bool) {
        for ActiveRun { run, place, .. } in state.running.iter().filter(|active| is_running(active.run)) {
            let Some(group) = place else { continue };
            self.groups.reserve(*run, group);
        }
    }

    /// Gives up the place of such a run, which has ended.
    pub(in crate::scheduler) fn release_place(&mut self, run: RunId, context: &mut PolicyContext<'_>) {
        let group = self.groups.release(run);
        self.start_waiting_of_group(group.as_ref(), context);
    }

    /// The retries that are pending, with the moment of the failure: those of jobs of which a slot has passed since are dropped.
    pub(in crate::scheduler) fn pending_retries(&self) -> Vec<(JobId, Timestamp)> {
        let failed = |(id, job): (&JobId, &Job)| Some((id.clone(), job.state.retry.as_ref()?.failed_at));
        self.jobs.iter().filter_map(failed).collect()
    }

    /// Takes over a run that is still in progress. Returns at once if the saved state has it. A run that the state does not have was started by a
    /// daemon that was killed before it saved the state. It then is, in this order: the pending retry or the waiting start of that slot; what
    /// its cause says; a new slot; a manual run, if its moment is no slot of the entry.
    pub(in crate::scheduler) fn adopt(
        &mut self,
        adopted: &AdoptedRun,
        id: &JobId,
        context: &mut PolicyContext<'_>,
    ) -> bool {
        let AdoptedRun { run, scheduled_at, cause, is_slot, is_unknown } = *adopted;
        if self.runs.contains_key(&run) {
            return true;
        }
        let Some(job) = self.jobs.get_mut(id) else { return false };
        let is_retry = |retry: &mut PendingRetry| retry.may_have_become(run, scheduled_at, cause);
        let waiting = job.state.waiting.iter().position(|waiting| waiting.item.may_be_of(scheduled_at, cause));
        let (mut item, failure) = if let Some(retry) = job.state.retry.take_if(is_retry) {
            self.retries.remove(retry.due_ms, id);
            if let (Some(ticket), Some(group)) = (retry.ticket(), &job.spec.group) {
                self.groups.cancel(group, ticket);
            }
            (retry.item, Some(retry.failure))
        } else if let Some(place) = waiting {
            let waiting = job.state.waiting.remove(place);
            self.cancel_tickets(id, std::slice::from_ref(&waiting));
            (waiting.item, None)
        } else if !is_unknown {
            return false;
        } else {
            let is_of_anacron = job.spec.entry.is_some_and(|entry| entry.0 == ANACRON);
            let guess = match is_slot {
                true if is_of_anacron => Trigger::Anacron,
                true => Trigger::Schedule,
                false => Trigger::Manual,
            };
            let RunCause { trigger, attempt } = cause.unwrap_or(RunCause { trigger: guess, attempt: 1 });
            let (is_caught_up, is_manual) = (trigger == Trigger::CatchUp, trigger.is_manual());
            // The failure before a further attempt may not have been saved either.
            let number = job.state.number_of_earlier_attempt(scheduled_at, attempt);
            (Item { scheduled_at, trigger, is_caught_up, is_manual, attempt, number, claim: None }, None)
        };
        context.note_change(id);
        if !item.is_manual && item.attempt == 1 {
            let policy = self.jobs.get(id).map(|job| job.spec.policy.clone());
            if let Some(policy) = policy {
                self.expect_success(id, &policy, scheduled_at);
            }
            self.flush_row(id, context);
        }
        let Some(job) = self.jobs.get_mut(id) else { return false };
        job.state.accept(&mut item);
        let group = job.spec.group.clone();
        job.state.running.push(ActiveRun {
            run,
            queued_at: context.now.utc,
            is_queued: false,
            item,
            ending: None,
            place: group.clone(),
            failure,
        });
        self.runs.insert(run, id.clone());
        if let Some(group) = group {
            self.groups.enter(&group);
        }
        true
    }

    /// Why the end of a run was requested.
    pub(in crate::scheduler) fn ending(&self, run: RunId) -> Option<EndReason> {
        let running = &self.jobs.get(self.runs.get(&run)?)?.state.running;
        running.iter().find(|active| active.run == run)?.ending.clone()
    }

    /// Records rows of skipped slots that have not ended.
    pub(in crate::scheduler) fn flush_rows(&mut self, context: &mut PolicyContext<'_>) {
        let ids: Vec<JobId> = self.jobs.keys().cloned().collect();
        ids.iter().for_each(|id| self.flush_row(id, context));
    }
}

impl JobState {
    /// No entry has taken this state back: the records that can still be made of it, and whether nothing of it is left. Runs in progress
    /// stay.
    pub(in crate::scheduler) fn abandon(
        &mut self,
        id: &JobId,
        is_running: impl Fn(RunId) -> bool,
        now: Timestamp,
    ) -> (Vec<RunRecord>, bool) {
        let without_run = |trigger, outcome, first, last, count: u64| RunRecord {
            run: None,
            job: id.clone(),
            line: 0,
            scheduled_at: first,
            trigger,
            attempt: 0,
            started_at_ms: None,
            ended_at_ms: None,
            outcome,
            count,
            until: (count > 1).then_some(last),
        };
        let mut records = Vec::new();
        if let Some(row) = self.row.take() {
            records.push(without_run(row.trigger, Outcome::Skipped(row.reason), row.first, row.last, row.count));
        }
        let (running, over) = std::mem::take(&mut self.running).into_iter().partition(|active| is_running(active.run));
        self.running = running;
        for active in over {
            let lost = || RunResult::of_outcome(active.run, RunOutcome::Lost, now.0.saturating_mul(1_000));
            let end = self.ended.iter().find(|end| end.run == active.run).cloned().unwrap_or_else(lost);
            records.push(record_of(id, 0, &active, &end, &Policy::default()));
        }
        for Waiting { item, .. } in std::mem::take(&mut self.waiting) {
            let (outcome, at) = (Outcome::Skipped(SkipReason::EntryRemoved), item.scheduled_at);
            records.push(without_run(item.trigger, outcome, at, at, 1));
        }
        let running = std::mem::take(&mut self.running);
        *self = JobState { running, ..JobState::default() };
        (records, self.running.is_empty())
    }
}
