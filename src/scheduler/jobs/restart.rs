//! What a stop of the daemon leaves to the next one, and what that one takes back.

use super::ends::record_of;
use super::job::{ActiveRun, EndReason, Item, Job, JobState, PendingRetry, RetryStage, Waiting};
use super::pause::Pause;
use super::{Jobs, Turn};
use crate::crontab::{CatchUpMode, MailRule, Overlap, Policy};
use crate::schedule::Timestamp;
use crate::scheduler::event::{Now, RunId, RunOutcome, RunResult};
use crate::scheduler::job_id::JobId;
use crate::scheduler::run_record::{Outcome, RunRecord, SkipReason, Trigger};
use crate::scheduler::start_queue::{ANACRON, EntryKey};

/// What is known of the start of a run.
#[derive(Clone, Copy, Debug)]
pub(in crate::scheduler) struct RunStart {
    pub(in crate::scheduler) run: RunId,
    /// When it was put into the start queue.
    pub(in crate::scheduler) queued_at: Timestamp,
    /// Whether it still waits there.
    pub(in crate::scheduler) is_queued: bool,
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
    /// Nothing is started any more.
    pub(in crate::scheduler) fn stop_starting(&mut self) {
        self.is_stopped = true;
    }

    /// The daemon ends and nothing of this is kept: what waits is left out.
    pub(in crate::scheduler) fn leave_out_all(&mut self, turn: &mut Turn<'_>) {
        let ids: Vec<JobId> = self.jobs.keys().cloned().collect();
        for id in ids {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            for waiting in std::mem::take(&mut job.state.waiting) {
                self.leave_out(&id, &waiting.item, SkipReason::Stopped, turn);
            }
            self.give_up_retry(&id, turn);
            self.flush_row(&id, turn);
        }
    }

    /// All runs, with what is known of their starts.
    pub(in crate::scheduler) fn all_runs(&self) -> Vec<RunStart> {
        let runs = self.jobs.values().flat_map(|job| &job.state.running);
        runs.map(|&ActiveRun { run, queued_at, is_queued, .. }| RunStart { run, queued_at, is_queued }).collect()
    }

    /// The executor is asked to start a run. Returns its job.
    pub(in crate::scheduler) fn hand_over(&mut self, run: RunId) -> Option<&JobId> {
        let id = self.runs.get(&run)?;
        let running = &mut self.jobs.get_mut(id)?.state.running;
        running.iter_mut().find(|active| active.run == run)?.is_queued = false;
        Some(id)
    }

    /// The entry that a run is of.
    pub(in crate::scheduler) fn entry_of_run(&self, run: RunId) -> Option<EntryKey> {
        self.entry(self.runs.get(&run)?)
    }

    /// A run that was never begun waits again, in front of what else waits; a further attempt is a pending retry again. It goes on with the
    /// next event that lets its job go on.
    pub(in crate::scheduler) fn put_back(&mut self, run: RunId, turn: &mut Turn<'_>) {
        let Some((id, ActiveRun { item, place, failure, .. })) = self.take_run(run) else { return };
        turn.changed.insert(id.clone());
        self.free_place(place.as_ref());
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(failure) = failure else { return job.state.waiting.insert(0, Waiting { item, ticket: None }) };
        if job.state.retry.is_some() || item.number != job.state.accepted {
            // Only the newest slot has retries.
            return self.conclude_attempts(&id, &failure, turn);
        }
        let failed_at = failure.record.ended_at_ms.map_or(turn.now.utc, |ms| Timestamp(ms.div_euclid(1_000)));
        job.state.retry = Some(PendingRetry {
            item,
            due_ms: turn.now.elapsed_ms,
            due_at: turn.now.utc,
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

    /// Whether a job has a pause or a state, so that it must stay known also without a policy.
    pub(in crate::scheduler) fn is_steered(&self, id: &JobId) -> bool {
        self.pauses.get(id).is_some() || self.jobs.get(id).is_some_and(|job| !job.state.is_empty())
    }

    /// The pauses, for the state file and for questions.
    pub(in crate::scheduler) fn pauses(&self) -> impl Iterator<Item = (&JobId, &Pause)> {
        self.pauses.iter()
    }

    /// Whether jobs of a user are paused.
    pub(in crate::scheduler) fn has_pauses_of(&self, user: &str) -> bool {
        self.pauses.has_of(user)
    }

    /// The pause of a job.
    pub(in crate::scheduler) fn paused(&self, id: &JobId) -> Option<&Pause> {
        self.pauses.get(id)
    }

    /// Whether a moment was in a pause of the job.
    pub(in crate::scheduler) fn was_paused(&self, id: &JobId, moment: Timestamp) -> bool {
        self.pauses.was_paused(id, moment)
    }

    /// How much of a job waits, when its retry is due, its final failures in a row, and whether a success of it is overdue.
    pub(in crate::scheduler) fn status(&self, id: &JobId) -> (usize, Option<Timestamp>, u32, bool) {
        self.jobs.get(id).map_or((0, None, 0, false), |job| {
            let state = &job.state;
            (state.waiting.len(), state.retry.as_ref().map(|retry| retry.due_at), state.failures, state.is_late)
        })
    }

    /// Gives back a pause of an earlier daemon.
    pub(in crate::scheduler) fn restore_pause(&mut self, id: JobId, pause: Pause) {
        self.pauses.insert(id, pause);
    }

    /// Gives a job that has been registered the state of an earlier daemon. Tickets keep their order. After a boot the monotonic clock is
    /// another one, and retries go by the wall clock.
    pub(in crate::scheduler) fn restore(&mut self, id: &JobId, mut state: JobState, now: Now, boot: bool) {
        for run in &state.running {
            let place = self.unclaimed_places.remove(&run.run);
            self.free_place(place.as_ref());
        }
        let Some(job) = self.jobs.get_mut(id) else { return };
        if boot {
            state.convert_to_boot(now.utc, now.elapsed_ms);
        }
        let tickets = state.waiting.iter().filter_map(|waiting| waiting.ticket);
        let tickets: Vec<u64> = tickets.chain(state.retry.as_ref().and_then(PendingRetry::ticket)).collect();
        self.next_ticket = tickets.iter().copied().fold(self.next_ticket, u64::max);
        if let Some(key) = &job.spec.group {
            let group = self.groups.entry(key.clone()).or_default();
            tickets.iter().for_each(|ticket| group.wait(*ticket, id.clone()));
            (0..state.running.len()).for_each(|_| group.enter());
        } else {
            // Without a group nothing waits for a place.
            state.waiting.iter_mut().for_each(|waiting| waiting.ticket = None);
            if let Some(retry) = state.retry.as_mut().filter(|retry| retry.ticket().is_some()) {
                retry.stage = RetryStage::OwnRun;
            }
        }
        state.running.iter_mut().for_each(|run| run.place = job.spec.group.clone());
        self.runs.extend(state.running.iter().map(|run| (run.run, id.clone())));
        if let Some(retry) = &state.retry {
            self.retries.insert((retry.due_ms, id.clone()));
        }
        if let Some(at) = state.row.as_ref().and_then(|row| row.update_at) {
            self.row_updates.insert((at, id.clone()));
        }
        if job.spec.policy.late.is_none() {
            (state.late_at, state.is_late) = (None, false);
        }
        if let Some(late) = state.late_at {
            self.late.insert((late, id.clone()));
        }
        job.state = state;
    }

    /// Holds the places in groups of runs that go on and of which no entry has taken the state back.
    pub(in crate::scheduler) fn hold_places(&mut self, state: &JobState, goes_on: impl Fn(RunId) -> bool) {
        for ActiveRun { run, place, .. } in state.running.iter().filter(|active| goes_on(active.run)) {
            let Some(group) = place else { continue };
            self.groups.entry(group.clone()).or_default().enter();
            self.unclaimed_places.insert(*run, group.clone());
        }
    }

    /// Gives up the place of such a run, which has ended.
    pub(in crate::scheduler) fn release_place(&mut self, run: RunId, turn: &mut Turn<'_>) {
        let group = self.unclaimed_places.remove(&run);
        self.free_place(group.as_ref());
        self.start_waiting_of_group(group.as_ref(), turn);
    }

    /// The retries that are pending, with the moment of the failure: the daemon gives up those of jobs of which a slot has passed since.
    pub(in crate::scheduler) fn pending_retries(&self) -> Vec<(JobId, Timestamp)> {
        let failed = |(id, job): (&JobId, &Job)| Some((id.clone(), job.state.retry.as_ref()?.failed_at));
        self.jobs.iter().filter_map(failed).collect()
    }

    /// Lets everything go on that may, after a start of the daemon.
    pub(in crate::scheduler) fn let_all_go_on(&mut self, turn: &mut Turn<'_>) {
        let ids: Vec<JobId> = self.jobs.keys().cloned().collect();
        for id in ids {
            self.start_waiting_of_job(&id, turn);
        }
    }

    /// Takes over a run of an earlier daemon, unless its state has told of it. If it has not, the daemon was killed before that was written:
    /// the run is the retry or what waits for that slot; else, if the state may not know it, a new slot, or, at a moment that is no slot, a run
    /// by hand.
    pub(in crate::scheduler) fn adopt(
        &mut self,
        (run, scheduled_at): (RunId, Timestamp),
        id: &JobId,
        is_slot: bool,
        is_unknown: bool,
        turn: &mut Turn<'_>,
    ) -> bool {
        if self.runs.contains_key(&run) {
            return true;
        }
        let Some(job) = self.jobs.get_mut(id) else { return false };
        let is_retry = |retry: &mut PendingRetry| {
            retry.item.scheduled_at == scheduled_at && retry.failure.record.run.is_none_or(|failed| failed < run)
        };
        let waiting = job.state.waiting.iter().position(|waiting| waiting.item.scheduled_at == scheduled_at);
        let (mut item, failure) = if let Some(retry) = job.state.retry.take_if(is_retry) {
            self.retries.remove(&(retry.due_ms, id.clone()));
            if let Some(group) = job.spec.group.as_ref().and_then(|group| self.groups.get_mut(group)) {
                retry.ticket().into_iter().for_each(|ticket| group.cancel(ticket));
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
            let trigger = match is_slot {
                true if is_of_anacron => Trigger::Anacron,
                true => Trigger::Schedule,
                false => Trigger::Manual,
            };
            let is_manual = !is_slot;
            (Item { scheduled_at, trigger, is_caught_up: false, is_manual, attempt: 1, number: 0 }, None)
        };
        turn.changed.insert(id.clone());
        if !item.is_manual && item.attempt == 1 {
            let policy = self.jobs.get(id).map(|job| job.spec.policy.clone());
            if let Some(policy) = policy {
                self.expect_success(id, &policy, scheduled_at);
            }
            self.flush_row(id, turn);
        }
        let Some(job) = self.jobs.get_mut(id) else { return false };
        job.state.accept(&mut item);
        let group = job.spec.group.clone();
        job.state.running.push(ActiveRun {
            run,
            queued_at: turn.now.utc,
            is_queued: false,
            item,
            ending: None,
            place: group.clone(),
            failure,
        });
        self.runs.insert(run, id.clone());
        if let Some(group) = group {
            self.groups.entry(group).or_default().enter();
        }
        true
    }

    /// Why a run was told to end.
    pub(in crate::scheduler) fn ending(&self, run: RunId) -> Option<EndReason> {
        let running = &self.jobs.get(self.runs.get(&run)?)?.state.running;
        running.iter().find(|active| active.run == run)?.ending.clone()
    }

    /// The moment from which an `@N` job counts.
    pub(in crate::scheduler) fn last_end(&self, id: &JobId) -> Option<Timestamp> {
        self.jobs.get(id)?.state.last_end
    }

    /// Whether a run of the job is going on, or something waits or will be retried: its `@N` does not count yet.
    pub(in crate::scheduler) fn is_occupied(&self, id: &JobId) -> bool {
        self.jobs.get(id).is_some_and(|job| job.is_busy() || job.state.retry.is_some())
    }

    /// The same, but for the retry of a job that is paused.
    pub(in crate::scheduler) fn is_at_work(&self, id: &JobId) -> bool {
        let will_retry = |job: &Job| job.state.retry.is_some() && self.pauses.get(id).is_none();
        self.jobs.get(id).is_some_and(|job| job.is_busy() || will_retry(job))
    }

    /// The policy of a job.
    pub(in crate::scheduler) fn policy(&self, id: &JobId) -> Option<&Policy> {
        Some(&self.jobs.get(id)?.spec.policy)
    }

    /// Records rows of skipped slots that have not ended.
    pub(in crate::scheduler) fn flush_rows(&mut self, turn: &mut Turn<'_>) {
        let ids: Vec<JobId> = self.jobs.keys().cloned().collect();
        ids.iter().for_each(|id| self.flush_row(id, turn));
    }
}

impl JobState {
    /// No entry has taken this state back: the records of what can still be told of it, and whether nothing of it is left. Runs that go on
    /// stay.
    pub(in crate::scheduler) fn leave(
        &mut self,
        id: &JobId,
        goes_on: impl Fn(RunId) -> bool,
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
        let (running, over) = std::mem::take(&mut self.running).into_iter().partition(|active| goes_on(active.run));
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
