//! What follows from the end of a run.

use super::group::{Group, GroupKey};
use super::job::{ActiveRun, EndReason, FailedAttempt, Item, PendingRetry, RetryStage};
use super::{Jobs, Turn};
use crate::crontab::{Overlap, Policy};
use crate::schedule::Timestamp;
use crate::scheduler::event::{RunId, RunOutcome, RunResult, RunRules};
use crate::scheduler::job_id::JobId;
use crate::scheduler::run_record::{Outcome, RunRecord, SkipReason, Trigger};

impl Jobs {
    /// Whether a run is one of a job known here.
    pub(in crate::scheduler) fn owns(&self, run: RunId) -> bool {
        self.runs.contains_key(&run)
    }

    /// The scheduler's start queue gave up a slot because newer ones of the entry came.
    pub(in crate::scheduler) fn superseded(&mut self, run: RunId, turn: &mut Turn<'_>) {
        self.drop_queued(run, SkipReason::Superseded, turn);
    }

    /// A run left the scheduler's start queue without a start.
    pub(in crate::scheduler) fn drop_queued(&mut self, run: RunId, reason: SkipReason, turn: &mut Turn<'_>) {
        let Some((id, active)) = self.take_run(run) else { return };
        turn.changed.insert(id.clone());
        match active.failure {
            Some(failure) => self.conclude_attempts(&id, &failure, turn),
            None => self.leave_out(&id, &active.item, reason, turn),
        }
        self.free_place(active.place.as_ref());
        self.start_waiting_of_job(&id, turn);
        self.count_from_end(&id, turn.now.utc, turn);
        self.forget_if_idle(&id);
    }

    /// A run that was told to end had not left the scheduler's start queue, and has been taken out of it.
    pub(in crate::scheduler) fn cancelled(&mut self, run: RunId, why: &EndReason, turn: &mut Turn<'_>) {
        let Some((id, active)) = self.take_run(run) else { return };
        turn.changed.insert(id.clone());
        match why {
            // A cancelled attempt adds no record.
            _ if active.failure.is_some() => {
                if let Some(failure) = &active.failure {
                    self.conclude_attempts(&id, failure, turn);
                }
            }
            EndReason::Replaced => self.leave_out(&id, &active.item, SkipReason::Superseded, turn),
            EndReason::Killed(by) => self.record_cancelled(&id, &active.item, by, turn),
        }
        if active.place.is_some() && *why == EndReason::Replaced && self.pass_place_on(&id, turn) {
            return;
        }
        self.free_place(active.place.as_ref());
        self.start_waiting_of_job(&id, turn);
        self.count_from_end(&id, turn.now.utc, turn);
        self.forget_if_idle(&id);
    }

    pub(super) fn take_run(&mut self, run: RunId) -> Option<(JobId, ActiveRun)> {
        let id = self.runs.remove(&run)?;
        let running = &mut self.jobs.get_mut(&id)?.state.running;
        let place = running.iter().position(|active| active.run == run)?;
        Some((id, running.remove(place)))
    }

    /// Decides what follows from the end of a run: a retry, notices, waiting slots.
    pub(in crate::scheduler) fn ended(&mut self, ended: &RunResult, turn: &mut Turn<'_>) {
        let Some((id, active)) = self.take_run(ended.run) else { return };
        turn.changed.insert(id.clone());
        let Some(job) = self.jobs.get(&id) else { return };
        let policy = job.spec.policy.clone();
        let record = record_of(&id, job.spec.line, &active, ended, &policy);
        turn.record(record.clone());
        let ended_at = turn.at(ended);
        let is_retried = self.plan_retry(&id, &active, &record, ended, turn);
        if is_retried {
            self.note_failure(&id, turn);
        } else {
            self.conclude(&id, &record, ended.output_digest, ended_at, turn);
        }
        // The slot that replaces a run starts in its place in the group.
        if active.place.is_some() && active.ending == Some(EndReason::Replaced) && self.pass_place_on(&id, turn) {
            return;
        }
        self.free_place(active.place.as_ref());
        self.start_waiting_of_job(&id, turn);
        self.count_from_end(&id, ended_at, turn);
        self.forget_if_idle(&id);
    }

    /// Plans a further attempt after a failure, if one is left.
    fn plan_retry(
        &mut self,
        id: &JobId,
        active: &ActiveRun,
        record: &RunRecord,
        ended: &RunResult,
        turn: &mut Turn<'_>,
    ) -> bool {
        let failed_at = turn.at(ended);
        let Some(job) = self.jobs.get_mut(id) else { return false };
        let (item, policy) = (&active.item, &job.spec.policy);
        let has_newer =
            item.number != job.state.accepted || (policy.overlap == Overlap::Replace && job.waiting_slot().is_some());
        let is_last = item.attempt > policy.retry.attempts;
        let may_follow = record.outcome.is_failure() && active.ending.is_none() && job.spec.entry.is_some();
        if !may_follow || item.is_manual || is_last || has_newer {
            return false;
        }
        let pause = i64::from(policy.retry.pause(item.attempt));
        let since_failure = turn.now.utc.0 - failed_at.0;
        let due_ms = turn.now.elapsed_ms.saturating_add((pause - since_failure).saturating_mul(1_000));
        job.state.retry = Some(PendingRetry {
            item: Item { attempt: item.attempt + 1, trigger: Trigger::Retry, ..item.clone() },
            due_ms,
            due_at: Timestamp(failed_at.0.saturating_add(pause)),
            failed_at,
            has_slot_passed: false,
            stage: RetryStage::Pause,
            failure: Box::new(FailedAttempt { record: record.clone(), output_digest: ended.output_digest }),
        });
        self.retries.insert((due_ms, id.clone()));
        true
    }

    pub(super) fn free_place(&mut self, place: Option<&GroupKey>) {
        if let Some(group) = place {
            self.exit_group(group, 1);
        }
    }

    /// Gives the place of a run that was replaced to the slot that replaces it.
    fn pass_place_on(&mut self, id: &JobId, turn: &mut Turn<'_>) -> bool {
        // An edit may have left fewer places than runs.
        let group = self.jobs.get(id).and_then(|job| job.spec.group.as_ref());
        if group.and_then(|group| self.groups.get(group)).is_some_and(Group::is_overfull) {
            return false;
        }
        let Some(job) = self.jobs.get_mut(id) else { return false };
        let first = job.state.waiting.iter().position(|waiting| waiting.ticket.is_none());
        let Some(first) = first else { return false };
        let may_go_on = job.state.waiting.get(first).is_some_and(|waiting| job.may_go_on(&waiting.item));
        if !may_go_on || self.is_stopped || self.is_changing {
            return false;
        }
        let mut item = job.state.waiting.remove(first).item;
        job.state.accept(&mut item);
        self.begin(id, item, true, turn);
        true
    }

    /// Lets go on what waited for a run or a retry of this job, and then what waits in its group.
    pub(super) fn start_waiting_of_job(&mut self, id: &JobId, turn: &mut Turn<'_>) {
        if self.is_changing {
            self.changed_jobs.insert(id.clone());
        }
        if self.is_stopped || self.is_changing {
            return;
        }
        if self
            .jobs
            .get(id)
            .and_then(|job| job.state.retry.as_ref())
            .is_some_and(|retry| retry.stage == RetryStage::OwnRun)
        {
            self.begin_retry(id, turn);
        }
        while let Some(item) = self.take_next_held(id) {
            self.enter_group(id, item, turn);
        }
        let group = self.jobs.get(id).and_then(|job| job.spec.group.clone());
        self.start_waiting_of_group(group.as_ref(), turn);
    }

    fn take_next_held(&mut self, id: &JobId) -> Option<Item> {
        let job = self.jobs.get_mut(id)?;
        let first = job.state.waiting.iter().position(|waiting| waiting.ticket.is_none())?;
        let may_go_on = job.state.waiting.get(first).is_some_and(|waiting| job.may_go_on(&waiting.item));
        may_go_on.then(|| job.state.waiting.remove(first).item)
    }

    /// Begins what waits in a group for as long as it has places.
    pub(super) fn start_waiting_of_group(&mut self, key: Option<&GroupKey>, turn: &mut Turn<'_>) {
        let Some(key) = key else { return };
        if self.is_changing {
            self.changed_groups.insert(key.clone());
        }
        if self.is_stopped || self.is_changing {
            return;
        }
        while let Some((ticket, id)) = self.groups.get_mut(key).and_then(Group::next) {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            turn.changed.insert(id.clone());
            // A run that was forced may be going on.
            let is_held_up = job.spec.policy.overlap != Overlap::Allow && !job.state.running.is_empty();
            if let Some(retry) = job.state.retry.as_mut().filter(|retry| retry.ticket() == Some(ticket)) {
                retry.stage = RetryStage::OwnRun;
                if !is_held_up {
                    if let Some(group) = self.groups.get_mut(key) {
                        group.enter();
                    }
                    self.begin_retry_now(&id, true, turn);
                }
                continue;
            }
            let Some(place) = job.state.waiting.iter().position(|waiting| waiting.ticket == Some(ticket)) else {
                continue;
            };
            if is_held_up {
                if let Some(waiting) = job.state.waiting.get_mut(place) {
                    waiting.ticket = None;
                }
                continue;
            }
            let item = job.state.waiting.remove(place).item;
            if let Some(group) = self.groups.get_mut(key) {
                group.enter();
            }
            self.begin(&id, item, true, turn);
        }
    }
}

/// The record of a run.
pub(super) fn record_of(id: &JobId, line: u32, active: &ActiveRun, ended: &RunResult, policy: &Policy) -> RunRecord {
    RunRecord {
        run: Some(ended.run),
        job: id.clone(),
        line,
        scheduled_at: active.item.scheduled_at,
        trigger: active.item.trigger,
        attempt: active.item.attempt,
        started_at_ms: ended.started_at_ms,
        ended_at_ms: Some(ended.ended_at_ms),
        outcome: outcome_of(ended, active, policy),
        count: 1,
        until: None,
    }
}

/// The recorded outcome of a run: what the executor saw, by the entry's rules.
fn outcome_of(ended: &RunResult, active: &ActiveRun, policy: &Policy) -> Outcome {
    match (&ended.outcome, &active.ending) {
        (RunOutcome::Lost, _) => Outcome::Lost,
        (RunOutcome::Skipped(reason), _) => Outcome::Skipped(*reason),
        // The newer slot came while it was being ended because its time was over.
        (_, Some(EndReason::Replaced)) if ended.is_timeout => Outcome::Timeout,
        (_, Some(EndReason::Replaced)) => Outcome::Replaced,
        (_, Some(EndReason::Killed(by))) => Outcome::Killed { by: by.clone() },
        (RunOutcome::NotStarted { why }, None) => Outcome::NotStarted { why: why.clone() },
        (_, None) if ended.is_timeout => Outcome::Timeout,
        (RunOutcome::Code(status), None) => {
            if RunRules::of(policy).is_success(ended) {
                Outcome::Ok { status: *status }
            } else {
                Outcome::Failed { status: *status }
            }
        }
        (RunOutcome::Signal { number, core_dumped }, None) => {
            Outcome::Signal { number: *number, core_dumped: *core_dumped }
        }
    }
}
