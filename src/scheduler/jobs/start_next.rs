//! Starts waiting slots, manual runs and retries when a run of their job has ended or a place of their group is free.

use super::group::{GroupKey, GroupPlace};
use super::job::{Item, RetryStage, Waiting};
use super::registry::Jobs;
use crate::crontab::Overlap;
use crate::scheduler::job_id::JobId;
use crate::scheduler::policy_context::PolicyContext;

impl Jobs {
    /// Starts what waited for a run or a retry of this job, and then what waits in its group.
    pub(super) fn start_waiting_of_job(&mut self, id: &JobId, context: &mut PolicyContext<'_>) {
        if !self.gate.admits_job(id) {
            return;
        }
        let retry = self.jobs.get(id).and_then(|job| job.state.retry.as_ref());
        if retry.is_some_and(|retry| retry.stage == RetryStage::OwnRun) {
            self.begin_retry(id, context);
        }
        while let Some(item) = self.take_next_waiting(id) {
            self.enter_group(id, item, context);
        }
        let group = self.jobs.get(id).and_then(|job| job.spec.group.clone());
        self.start_waiting_of_group(group.as_ref(), context);
    }

    /// Takes out what waits for a run of its own job, if it may start.
    fn take_next_waiting(&mut self, id: &JobId) -> Option<Item> {
        let job = self.jobs.get_mut(id)?;
        let first = job.state.waiting.iter().position(|waiting| waiting.ticket.is_none())?;
        let may_start = job.state.waiting.get(first).is_some_and(|waiting| job.may_start(&waiting.item));
        may_start.then(|| job.state.waiting.remove(first).item)
    }

    /// Starts what waits in a group for as long as it has places.
    pub(super) fn start_waiting_of_group(&mut self, key: Option<&GroupKey>, context: &mut PolicyContext<'_>) {
        let Some(key) = key.filter(|key| self.gate.admits_group(key)) else { return };
        while let Some((ticket, id)) = self.groups.take_next(key) {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            context.note_change(&id);
            // A run that was forced may be in progress.
            let is_held_up = job.spec.policy.overlap != Overlap::Allow && !job.state.running.is_empty();
            if let Some(retry) = job.state.retry.as_mut().filter(|retry| retry.ticket() == Some(ticket)) {
                retry.stage = RetryStage::OwnRun;
                if !is_held_up {
                    self.groups.enter(key);
                    self.begin_retry_now(&id, GroupPlace::Taken, context);
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
            self.groups.enter(key);
            self.begin(&id, item, GroupPlace::Taken, context);
        }
    }

    /// Gives the place in the group of a run that was replaced to the slot that replaces it.
    pub(super) fn pass_place_on(&mut self, id: &JobId, context: &mut PolicyContext<'_>) -> bool {
        let Some(group) = self.jobs.get(id).map(|job| job.spec.group.as_ref()) else { return false };
        if group.is_some_and(|group| self.groups.is_overfull(group)) || !self.gate.is_open() {
            return false;
        }
        let Some(mut item) = self.take_next_waiting(id) else { return false };
        if let Some(job) = self.jobs.get_mut(id) {
            job.state.accept(&mut item);
        }
        self.begin(id, item, GroupPlace::Taken, context);
        true
    }

    /// Starts what has become possible while nothing could be started.
    pub(in crate::scheduler) fn start_noted(&mut self, context: &mut PolicyContext<'_>) {
        let (jobs, groups) = self.gate.take_noted();
        for id in jobs {
            self.start_waiting_of_job(&id, context);
        }
        for group in groups {
            self.start_waiting_of_group(Some(&group), context);
        }
    }

    /// Gives up the places in the group's queue of what waited there.
    pub(super) fn cancel_tickets(&mut self, id: &JobId, waiting: &[Waiting]) {
        let Some(group) = self.jobs.get(id).and_then(|job| job.spec.group.as_ref()) else { return };
        waiting.iter().filter_map(|waiting| waiting.ticket).for_each(|ticket| self.groups.cancel(group, ticket));
    }
}
