//! Decides whether a slot is skipped, waits, or goes through the group to the start queue.

use super::group::GroupPlace;
use super::job::{ActiveRun, FailedAttempt, Item, Waiting};
use super::registry::Jobs;
use crate::crontab::Overlap;
use crate::schedule::Timestamp;
use crate::scheduler::anacron::JobActivity;
use crate::scheduler::job_id::JobId;
use crate::scheduler::policy_context::PolicyContext;
use crate::scheduler::run_id::RunId;
use crate::scheduler::run_record::{EndReason, SkipReason, Trigger};

/// Most slots of an entry with `CRON_OVERLAP=allow` that wait in a group.
const WAITING_IN_GROUP: usize = 60;

impl Jobs {
    /// Starts a slot, queues it or skips it, by the policy and the state of its job.
    pub(in crate::scheduler) fn handle_slot(
        &mut self,
        id: &JobId,
        scheduled_at: Timestamp,
        trigger: Trigger,
        is_excepted: bool,
        context: &mut PolicyContext<'_>,
    ) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let policy = job.spec.policy.clone();
        if !policy.is_enabled || self.gate.is_stopped() {
            return;
        }
        context.note_change(id);
        let item =
            Item { scheduled_at, trigger, is_caught_up: false, is_manual: false, attempt: 1, number: 0, claim: None };
        if is_excepted {
            self.skip(id, &item, SkipReason::Calendar, context);
            return self.count_from_now(id, context);
        }
        if self.pauses.is_paused(id, context.now.utc) {
            if let Some(retry) = self.jobs.get_mut(id).and_then(|job| job.state.retry.as_mut()) {
                retry.has_slot_passed = true;
            }
            self.skip(id, &item, SkipReason::Paused, context);
            return self.count_from_now(id, context);
        }
        self.expect_success(id, &policy, scheduled_at);
        if policy.overlap != Overlap::Queue && self.drop_retry(id, context) {
            // A missed slot may have waited for the retries.
            self.start_waiting_of_job(id, context);
        }
        let Some(job) = self.jobs.get(id) else { return };
        match policy.overlap {
            Overlap::Allow => {
                self.enter_group(id, item, context);
            }
            Overlap::Skip if job.is_busy() => {
                self.skip(id, &item, SkipReason::StillRunning, context);
                self.count_from_now(id, context);
            }
            Overlap::Queue if job.is_busy() || job.state.retry.is_some() => self.queue_slot(id, item, context),
            Overlap::Replace if job.is_busy() => {
                let is_catching_up_all = job.is_catching_up_all();
                self.queue_slot(id, item, context);
                if !is_catching_up_all {
                    self.end_runs(id, &EndReason::Replaced, context);
                }
            }
            Overlap::Skip | Overlap::Queue | Overlap::Replace => {
                self.enter_group(id, item, context);
            }
        }
    }

    /// Lets a regular slot wait, in the place of the one that waits already.
    fn queue_slot(&mut self, id: &JobId, item: Item, context: &mut PolicyContext<'_>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let Some(place) = job.waiting_slot() else {
            job.state.waiting.push(Waiting { item, ticket: None });
            return;
        };
        let older = job.state.waiting.remove(place);
        let is_behind_missed_slots = job.has_caught_up_waiting();
        if is_behind_missed_slots {
            job.state.waiting.push(Waiting { item, ticket: None });
            self.cancel_tickets(id, std::slice::from_ref(&older));
        } else {
            job.state.waiting.insert(place, Waiting { item, ticket: older.ticket });
        }
        self.skip(id, &older.item, SkipReason::Superseded, context);
        if is_behind_missed_slots {
            // The missed slots may have waited behind the older one.
            self.start_waiting_of_job(id, context);
        }
    }

    /// Tells all runs of a job to end.
    pub(super) fn end_runs(&mut self, id: &JobId, why: &EndReason, context: &mut PolicyContext<'_>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let entry = job.spec.entry;
        for run in job.state.running.iter_mut().filter(|run| run.ending.is_none()) {
            run.ending = Some(why.clone());
            context.end(run.run, entry, why.clone());
        }
    }

    /// Starts something that is not held up by its own job's runs, or lets it wait for a place in the group. Returns the run that begins.
    pub(super) fn enter_group(&mut self, id: &JobId, mut item: Item, context: &mut PolicyContext<'_>) -> Option<RunId> {
        context.note_change(id);
        let job = self.jobs.get_mut(id)?;
        job.state.accept(&mut item);
        let Some(group) = job.spec.group.clone() else { return self.begin(id, item, GroupPlace::None, context) };
        if self.groups.try_enter(&group) {
            return self.begin(id, item, GroupPlace::Taken, context);
        }
        let ticket = Some(self.groups.wait(&group, id));
        job.state.waiting.push(Waiting { item, ticket });
        let slots = job.state.waiting.iter().filter(|waiting| waiting.item.is_regular_slot()).count();
        if slots > WAITING_IN_GROUP
            && let Some(oldest) = job.waiting_slot()
        {
            let oldest = job.state.waiting.remove(oldest);
            self.cancel_tickets(id, std::slice::from_ref(&oldest));
            self.skip(id, &oldest.item, SkipReason::Superseded, context);
        }
        None
    }

    /// Puts a run into the start queue.
    pub(super) fn begin(
        &mut self,
        id: &JobId,
        item: Item,
        place: GroupPlace,
        context: &mut PolicyContext<'_>,
    ) -> Option<RunId> {
        self.begin_attempt(id, item, place, None, context)
    }

    /// Puts an attempt into the start queue, a further one with the failure before it.
    pub(super) fn begin_attempt(
        &mut self,
        id: &JobId,
        item: Item,
        place: GroupPlace,
        failure: Option<Box<FailedAttempt>>,
        context: &mut PolicyContext<'_>,
    ) -> Option<RunId> {
        if !item.is_manual && item.attempt == 1 {
            self.flush_row(id, context);
        }
        let job = self.jobs.get_mut(id)?;
        let run = context.start(job.spec.entry?, &item);
        let (queued_at, place) = (context.now.utc, job.spec.group.clone().filter(|_| place == GroupPlace::Taken));
        job.state.running.push(ActiveRun { run, queued_at, is_queued: true, item, ending: None, place, failure });
        self.runs.insert(run, id.clone());
        context.note_change(id);
        Some(run)
    }

    /// An `@N` entry counts from now, since its moment was skipped.
    fn count_from_now(&mut self, id: &JobId, context: &mut PolicyContext<'_>) {
        let now = context.now.utc;
        self.count_from(id, now, context);
    }

    /// An `@N` entry counts from an end, unless something of it still runs, waits or will be retried.
    pub(super) fn count_from_end(&mut self, id: &JobId, moment: Timestamp, context: &mut PolicyContext<'_>) {
        if !self.is_occupied(id) {
            self.count_from(id, moment, context);
        }
    }

    /// An `@N` entry that has not run yet counts from its load, also over a restart. False: it counts from an end.
    pub(in crate::scheduler) fn count_from_load(&mut self, id: &JobId, now: Timestamp) -> bool {
        let Some(job) = self.jobs.get_mut(id).filter(|job| job.state.last_end.is_none()) else { return false };
        job.state.last_end = Some(now);
        true
    }

    fn count_from(&mut self, id: &JobId, moment: Timestamp, context: &mut PolicyContext<'_>) {
        let Some(job) = self.jobs.get_mut(id).filter(|job| job.spec.is_interval) else { return };
        job.state.last_end = Some(moment);
        if let Some(entry) = job.spec.entry {
            context.counts_from.push((entry, moment));
        }
    }
}
