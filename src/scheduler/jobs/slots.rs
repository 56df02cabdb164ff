//! Decides whether a slot is skipped, waits, or goes through the group to the start queue.

use super::group::GroupPlace;
use super::job::{ActiveRun, FailedAttempt, Item, Waiting};
use super::registry::Jobs;
use crate::crontab::Overlap;
use crate::schedule::Timestamp;
use crate::scheduler::anacron::JobActivity;
use crate::scheduler::job_id::JobId;
use crate::scheduler::run_id::RunId;
use crate::scheduler::run_record::{EndReason, SkipReason, Trigger};
use crate::scheduler::turn::Turn;

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
        turn: &mut Turn<'_>,
    ) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let policy = job.spec.policy.clone();
        if !policy.is_enabled || self.gate.is_stopped() {
            return;
        }
        turn.note_change(id);
        let item =
            Item { scheduled_at, trigger, is_caught_up: false, is_manual: false, attempt: 1, number: 0, claim: None };
        if is_excepted {
            self.skip(id, &item, SkipReason::Calendar, turn);
            return self.count_from_now(id, turn);
        }
        if self.pauses.is_paused(id, turn.now.utc) {
            if let Some(retry) = self.jobs.get_mut(id).and_then(|job| job.state.retry.as_mut()) {
                retry.has_slot_passed = true;
            }
            self.skip(id, &item, SkipReason::Paused, turn);
            return self.count_from_now(id, turn);
        }
        self.expect_success(id, &policy, scheduled_at);
        if policy.overlap != Overlap::Queue && self.drop_retry(id, turn) {
            // A missed slot may have waited for the retries.
            self.start_waiting_of_job(id, turn);
        }
        let Some(job) = self.jobs.get(id) else { return };
        match policy.overlap {
            Overlap::Allow => {
                self.enter_group(id, item, turn);
            }
            Overlap::Skip if job.is_busy() => {
                self.skip(id, &item, SkipReason::StillRunning, turn);
                self.count_from_now(id, turn);
            }
            Overlap::Queue if job.is_busy() || job.state.retry.is_some() => self.queue_slot(id, item, turn),
            Overlap::Replace if job.is_busy() => {
                let is_catching_up_all = job.is_catching_up_all();
                self.queue_slot(id, item, turn);
                if !is_catching_up_all {
                    self.end_runs(id, &EndReason::Replaced, turn);
                }
            }
            Overlap::Skip | Overlap::Queue | Overlap::Replace => {
                self.enter_group(id, item, turn);
            }
        }
    }

    /// Lets a regular slot wait, in the place of the one that waits already.
    fn queue_slot(&mut self, id: &JobId, item: Item, turn: &mut Turn<'_>) {
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
        self.skip(id, &older.item, SkipReason::Superseded, turn);
        if is_behind_missed_slots {
            // The missed slots may have waited behind the older one.
            self.start_waiting_of_job(id, turn);
        }
    }

    /// Tells all runs of a job to end.
    pub(super) fn end_runs(&mut self, id: &JobId, why: &EndReason, turn: &mut Turn<'_>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let entry = job.spec.entry;
        for run in job.state.running.iter_mut().filter(|run| run.ending.is_none()) {
            run.ending = Some(why.clone());
            turn.end(run.run, entry, why.clone());
        }
    }

    /// Starts something that is not held up by its own job's runs, or lets it wait for a place in the group. Returns the run that begins.
    pub(super) fn enter_group(&mut self, id: &JobId, mut item: Item, turn: &mut Turn<'_>) -> Option<RunId> {
        turn.note_change(id);
        let job = self.jobs.get_mut(id)?;
        job.state.accept(&mut item);
        let Some(group) = job.spec.group.clone() else { return self.begin(id, item, GroupPlace::None, turn) };
        if self.groups.try_enter(&group) {
            return self.begin(id, item, GroupPlace::Taken, turn);
        }
        let ticket = Some(self.groups.wait(&group, id));
        job.state.waiting.push(Waiting { item, ticket });
        let slots = job.state.waiting.iter().filter(|waiting| waiting.item.is_regular_slot()).count();
        if slots > WAITING_IN_GROUP
            && let Some(oldest) = job.waiting_slot()
        {
            let oldest = job.state.waiting.remove(oldest);
            self.cancel_tickets(id, std::slice::from_ref(&oldest));
            self.skip(id, &oldest.item, SkipReason::Superseded, turn);
        }
        None
    }

    /// Puts a run into the start queue.
    pub(super) fn begin(&mut self, id: &JobId, item: Item, place: GroupPlace, turn: &mut Turn<'_>) -> Option<RunId> {
        self.begin_attempt(id, item, place, None, turn)
    }

    /// Puts an attempt into the start queue, a further one with the failure before it.
    pub(super) fn begin_attempt(
        &mut self,
        id: &JobId,
        item: Item,
        place: GroupPlace,
        failure: Option<Box<FailedAttempt>>,
        turn: &mut Turn<'_>,
    ) -> Option<RunId> {
        if !item.is_manual && item.attempt == 1 {
            self.flush_row(id, turn);
        }
        let job = self.jobs.get_mut(id)?;
        let run = turn.start(job.spec.entry?, &item);
        let (queued_at, place) = (turn.now.utc, job.spec.group.clone().filter(|_| place == GroupPlace::Taken));
        job.state.running.push(ActiveRun { run, queued_at, is_queued: true, item, ending: None, place, failure });
        self.runs.insert(run, id.clone());
        turn.note_change(id);
        Some(run)
    }

    /// An `@N` entry counts from now, since its moment was skipped.
    fn count_from_now(&mut self, id: &JobId, turn: &mut Turn<'_>) {
        let now = turn.now.utc;
        self.count_from(id, now, turn);
    }

    /// An `@N` entry counts from an end, unless something of it still runs, waits or will be retried.
    pub(super) fn count_from_end(&mut self, id: &JobId, moment: Timestamp, turn: &mut Turn<'_>) {
        if !self.is_occupied(id) {
            self.count_from(id, moment, turn);
        }
    }

    /// An `@N` entry that has not run yet counts from its load, also over a restart. False: it counts from an end.
    pub(in crate::scheduler) fn count_from_load(&mut self, id: &JobId, now: Timestamp) -> bool {
        let Some(job) = self.jobs.get_mut(id).filter(|job| job.state.last_end.is_none()) else { return false };
        job.state.last_end = Some(now);
        true
    }

    fn count_from(&mut self, id: &JobId, moment: Timestamp, turn: &mut Turn<'_>) {
        let Some(job) = self.jobs.get_mut(id).filter(|job| job.spec.is_interval) else { return };
        job.state.last_end = Some(moment);
        if let Some(entry) = job.spec.entry {
            turn.counts_from.push((entry, moment));
        }
    }
}
