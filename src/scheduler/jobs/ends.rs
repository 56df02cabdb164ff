//! Handles the end of a run: its record, a retry, and the starts that waited for it.

use super::group::GroupKey;
use super::job::{ActiveRun, FailedAttempt, Item, PendingRetry, RetryStage};
use super::registry::Jobs;
use crate::crontab::{Overlap, Policy};
use crate::schedule::Timestamp;
use crate::scheduler::job_id::JobId;
use crate::scheduler::policy_context::PolicyContext;
use crate::scheduler::run_id::RunId;
use crate::scheduler::run_record::{EndReason, RunRecord, SkipReason, Trigger};
use crate::scheduler::run_request::RunRules;
use crate::scheduler::run_result::RunResult;
use crate::scheduler::slot_claim::SlotClaim;

impl Jobs {
    /// A run left the scheduler's start queue without a start.
    pub(in crate::scheduler) fn drop_queued(
        &mut self,
        run: RunId,
        reason: SkipReason,
        context: &mut PolicyContext<'_>,
    ) {
        let Some((id, active)) = self.take_run(run) else { return };
        context.note_change(&id);
        match active.failure {
            Some(failure) => self.conclude_attempts(&id, &failure, context),
            None => self.skip(&id, &active.item, reason, context),
        }
        self.free_place(active.place.as_ref());
        self.start_waiting_of_job(&id, context);
        self.count_from_end(&id, context.now.utc, context);
        self.forget_if_idle(&id);
    }

    /// A run whose end was requested had not left the scheduler's start queue, and has been taken out of it.
    pub(in crate::scheduler) fn handle_cancelled(
        &mut self,
        run: RunId,
        why: &EndReason,
        context: &mut PolicyContext<'_>,
    ) {
        let Some((id, active)) = self.take_run(run) else { return };
        context.note_change(&id);
        match why {
            // A cancelled attempt adds no record.
            _ if active.failure.is_some() => {
                if let Some(failure) = &active.failure {
                    self.conclude_attempts(&id, failure, context);
                }
            }
            EndReason::Replaced => self.skip(&id, &active.item, SkipReason::Superseded, context),
            EndReason::Killed(by) => self.record_cancelled(&id, &active.item, by, context),
        }
        if active.place.is_some() && *why == EndReason::Replaced && self.pass_place_on(&id, context) {
            return;
        }
        self.free_place(active.place.as_ref());
        self.start_waiting_of_job(&id, context);
        self.count_from_end(&id, context.now.utc, context);
        self.forget_if_idle(&id);
    }

    pub(super) fn take_run(&mut self, run: RunId) -> Option<(JobId, ActiveRun)> {
        let id = self.runs.remove(&run)?;
        let running = &mut self.jobs.get_mut(&id)?.state.running;
        let place = running.iter().position(|active| active.run == run)?;
        Some((id, running.remove(place)))
    }

    /// Decides what follows from the end of a run: a retry, notices, waiting slots.
    pub(in crate::scheduler) fn handle_end(&mut self, ended: &RunResult, context: &mut PolicyContext<'_>) {
        let Some((id, mut active)) = self.take_run(ended.run) else { return };
        context.note_change(&id);
        if self.is_of_fleet(&id) && !active.item.is_manual {
            active.item.claim.get_or_insert(SlotClaim::unsure(ended.run));
        }
        let Some(job) = self.jobs.get(&id) else { return };
        let policy = job.spec.policy.clone();
        let record = record_of(&id, job.spec.line, &active, ended, &policy);
        context.record(record.clone());
        context.note_fleet_run_ended(&id);
        let ended_at = context.end_of(ended);
        // A daemon that was killed before it saved the failure may have begun the next attempt.
        let is_next = |item: &Item| item.number == active.item.number && item.attempt > active.item.attempt;
        let is_followed = job.state.running.iter().any(|other| is_next(&other.item));
        let is_retried = is_followed || self.plan_retry(&id, &active, &record, ended, context);
        if is_retried {
            self.note_failure(&id, context);
        } else {
            self.conclude(&id, &record, (ended.output_digest, active.item.claim), ended_at, context);
        }
        // The slot that replaces a run starts in its place in the group.
        if active.place.is_some() && active.ending == Some(EndReason::Replaced) && self.pass_place_on(&id, context) {
            return;
        }
        self.free_place(active.place.as_ref());
        self.start_waiting_of_job(&id, context);
        self.count_from_end(&id, ended_at, context);
        self.forget_if_idle(&id);
    }

    /// Plans a further attempt after a failure, if one is left.
    fn plan_retry(
        &mut self,
        id: &JobId,
        active: &ActiveRun,
        record: &RunRecord,
        ended: &RunResult,
        context: &mut PolicyContext<'_>,
    ) -> bool {
        let failed_at = context.end_of(ended);
        let is_over = self.gate.has_no_more_attempts;
        let Some(job) = self.jobs.get_mut(id) else { return false };
        let (item, policy) = (&active.item, &job.spec.policy);
        let has_newer =
            item.number != job.state.accepted || (policy.overlap == Overlap::Replace && job.waiting_slot().is_some());
        let is_last = item.attempt > policy.retry.attempts;
        let may_follow = record.outcome.is_failure() && active.ending.is_none() && job.spec.entry.is_some();
        if !may_follow || is_over || !policy.is_enabled || item.is_manual || is_last || has_newer {
            return false;
        }
        let pause = i64::from(policy.retry.pause(item.attempt));
        let since_failure = context.now.utc.0 - failed_at.0;
        let due_ms = context.now.elapsed_ms.saturating_add((pause - since_failure).saturating_mul(1_000));
        job.state.retry = Some(PendingRetry {
            item: Item { attempt: item.attempt + 1, trigger: Trigger::Retry, ..item.clone() },
            due_ms,
            due_at: Timestamp(failed_at.0.saturating_add(pause)),
            failed_at,
            has_slot_passed: false,
            stage: RetryStage::Pause,
            failure: Box::new(FailedAttempt {
                record: record.clone(),
                output_digest: ended.output_digest,
                claim: item.claim,
            }),
        });
        self.retries.add(due_ms, id);
        true
    }

    pub(super) fn free_place(&mut self, place: Option<&GroupKey>) {
        if let Some(group) = place {
            self.groups.exit(group);
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
        outcome: RunRules::of(policy).outcome(ended, active.ending.as_ref()),
        count: 1,
        until: None,
    }
}
