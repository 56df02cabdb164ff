//! Retries: further attempts after a failed run.

use super::group::GroupPlace;
use super::job::{FailedAttempt, RetryStage};
use super::registry::Jobs;
use crate::schedule::Timestamp;
use crate::scheduler::job_id::JobId;
use crate::scheduler::policy_context::PolicyContext;

impl Jobs {
    /// When the next retry is due, milliseconds of the monotonic clock.
    pub(in crate::scheduler) fn next_retry_ms(&self) -> Option<i64> {
        self.retries.next()
    }

    /// Begins the retries that are due.
    pub(in crate::scheduler) fn begin_due_retries(&mut self, context: &mut PolicyContext<'_>) {
        while let Some((_, id)) = self.retries.take_due(context.now.elapsed_ms) {
            self.begin_retry(&id, context);
        }
    }

    /// Begins a retry whose pause is over, unless it has to wait for something else.
    pub(super) fn begin_retry(&mut self, id: &JobId, context: &mut PolicyContext<'_>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let may_retry = job.may_retry();
        let Some(retry) = job.state.retry.as_mut().filter(|retry| retry.ticket().is_none()) else { return };
        context.note_change(id);
        retry.stage = RetryStage::OwnRun;
        let has_slot_passed = retry.has_slot_passed;
        let is_held = self.gate.holds_retries || self.gate.is_stopped();
        if !may_retry || is_held || self.pauses.is_paused(id, context.now.utc) {
            return;
        }
        if has_slot_passed {
            // The pause has ended in this second, or while no daemon was there.
            self.drop_retry(id, context);
            return;
        }
        let Some(group) = job.spec.group.clone() else { return self.begin_retry_now(id, GroupPlace::None, context) };
        if self.groups.try_enter(&group) {
            return self.begin_retry_now(id, GroupPlace::Taken, context);
        }
        let ticket = self.groups.wait(&group, id);
        if let Some(retry) = self.jobs.get_mut(id).and_then(|job| job.state.retry.as_mut()) {
            retry.stage = RetryStage::Group(ticket);
        }
    }

    pub(super) fn begin_retry_now(&mut self, id: &JobId, place: GroupPlace, context: &mut PolicyContext<'_>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let Some(retry) = job.state.retry.take() else { return };
        self.begin_attempt(id, retry.item, place, Some(retry.failure), context);
    }

    /// No further attempt follows a failure: it is final.
    pub(super) fn conclude_attempts(&mut self, id: &JobId, failure: &FailedAttempt, context: &mut PolicyContext<'_>) {
        let FailedAttempt { record, output_digest, claim } = failure;
        let ended_at = record.ended_at_ms.map_or(context.now.utc, |ms| Timestamp(ms.div_euclid(1_000)));
        self.conclude(id, record, (*output_digest, *claim), ended_at, context);
        self.count_from_end(id, ended_at, context);
    }

    /// Drops a pending retry: the failure before it is final. False: there is none.
    pub(in crate::scheduler) fn drop_retry(&mut self, id: &JobId, context: &mut PolicyContext<'_>) -> bool {
        let Some(job) = self.jobs.get_mut(id) else { return false };
        let Some(retry) = job.state.retry.take() else { return false };
        context.note_change(id);
        self.retries.remove(retry.due_ms, id);
        if let (Some(ticket), Some(group)) = (retry.ticket(), &job.spec.group) {
            self.groups.cancel(group, ticket);
        }
        self.conclude_attempts(id, &retry.failure, context);
        true
    }
}
