//! Jobs that become known and jobs that are gone, and their groups.

use super::group::GroupKey;
use super::job::{Job, JobSpec, JobState, PendingRetry, RetryStage};
use super::{Jobs, Turn};
use crate::scheduler::job_id::JobId;
use crate::scheduler::run_record::SkipReason;
use crate::scheduler::start_queue::EntryKey;

impl Jobs {
    /// Entries are going to be exchanged. Until [`Jobs::end_change`] nothing goes on, since runs of entries could be started by the places
    /// that these had before.
    pub(in crate::scheduler) fn begin_change(&mut self) {
        self.is_changing = true;
    }

    /// All entries are known: what the change has made possible goes on.
    pub(in crate::scheduler) fn end_change(&mut self, turn: &mut Turn<'_>) {
        self.is_changing = false;
        for id in std::mem::take(&mut self.changed_jobs) {
            self.start_waiting_of_job(&id, turn);
        }
        for group in std::mem::take(&mut self.changed_groups) {
            self.start_waiting_of_group(Some(&group), turn);
        }
    }

    /// Makes a job known, or gives a known one its new policy.
    pub(in crate::scheduler) fn register(&mut self, id: JobId, spec: JobSpec, turn: &mut Turn<'_>) {
        if let Some(old) = self.jobs.get(&id).map(|job| job.spec.clone()) {
            self.forget_dependent(&id, &old.after);
        }
        for needed in &spec.after {
            self.dependents.entry(needed.clone()).or_default().insert(id.clone());
        }
        let new_group = spec.group.clone().zip(spec.policy.group.as_ref().map(|group| group.slots));
        let Some(job) = self.jobs.get_mut(&id) else {
            if let Some((key, slots)) = new_group {
                self.groups.entry(key).or_default().join(id.clone(), slots);
            }
            self.jobs.insert(id, Job { spec, state: JobState::default() });
            return;
        };
        let old_group = std::mem::replace(&mut job.spec, spec).group;
        if job.spec.policy.late.is_none() && (job.state.late_at.is_some() || job.state.is_late) {
            job.state.is_late = false;
            turn.changed.insert(id.clone());
            self.set_late(&id, None);
        }
        if let Some((key, slots)) = &new_group {
            self.groups.entry(key.clone()).or_default().join(id.clone(), *slots);
        }
        if old_group != new_group.as_ref().map(|(key, _)| key.clone()) {
            turn.changed.insert(id.clone());
            self.change_group(&id, old_group.as_ref());
        }
        self.start_waiting_of_job(&id, turn);
        self.start_waiting_of_group(old_group.as_ref(), turn);
    }

    /// An entry of another table that is in the group of a job with another number of runs, and that number.
    pub(in crate::scheduler) fn other_limit(&self, id: &JobId) -> Option<(EntryKey, u32)> {
        let spec = &self.jobs.get(id)?.spec;
        let (own, slots) = (spec.entry?, spec.policy.group.as_ref()?.slots);
        let others = self.groups.get(spec.group.as_ref()?)?.other_limits(slots);
        let mut entries = others.filter_map(|(other, limit)| Some((self.entry(other)?, limit)));
        entries.find(|(entry, _)| entry.0 != own.0)
    }

    /// The jobs that an `@after` job waits for.
    pub(in crate::scheduler) fn needed(&self, id: &JobId) -> &[JobId] {
        self.jobs.get(id).map(|job| job.spec.after.as_slice()).unwrap_or_default()
    }

    /// The entry of a job that is known here.
    pub(in crate::scheduler) fn entry(&self, id: &JobId) -> Option<EntryKey> {
        self.jobs.get(id)?.spec.entry
    }

    /// An entry is gone: what waits is left out, what runs goes on.
    pub(in crate::scheduler) fn unregister(&mut self, id: &JobId, turn: &mut Turn<'_>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.spec.entry = None;
        let waiting = std::mem::take(&mut job.state.waiting);
        self.cancel_tickets(id, &waiting);
        for waiting in waiting {
            self.leave_out(id, &waiting.item, SkipReason::EntryRemoved, turn);
        }
        self.flush_row(id, turn);
        self.forget_pauses(id, turn);
        self.give_up_retry(id, turn);
        self.set_late(id, None);
        turn.changed.insert(id.clone());
        if let Some(spec) = self.jobs.get(id).map(|job| job.spec.clone()) {
            self.forget_dependent(id, &spec.after);
            if let Some(group) = &spec.group {
                self.leave_group(id, group);
            }
            self.start_waiting_of_group(spec.group.as_ref(), turn);
        }
        self.forget_if_idle(id);
    }

    pub(super) fn forget_if_idle(&mut self, id: &JobId) {
        if self.jobs.get(id).is_some_and(|job| job.spec.entry.is_none() && job.state.running.is_empty()) {
            self.jobs.remove(id);
        }
    }

    fn leave_group(&mut self, id: &JobId, key: &GroupKey) {
        if let Some(group) = self.groups.get_mut(key) {
            group.leave(id);
        }
        self.exit_group(key, 0);
    }

    /// Gives places in a group back. A group of which nobody is a member any more is forgotten.
    pub(super) fn exit_group(&mut self, key: &GroupKey, places: usize) {
        let Some(group) = self.groups.get_mut(key) else { return };
        (0..places).for_each(|_| group.exit());
        if group.is_empty() {
            self.groups.remove(key);
        }
    }

    /// Moves the places and tickets of a job from its old group to its new one.
    fn change_group(&mut self, id: &JobId, old: Option<&GroupKey>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let mut tickets: Vec<u64> = job.state.waiting.iter().filter_map(|waiting| waiting.ticket).collect();
        tickets.extend(job.state.retry.as_ref().and_then(PendingRetry::ticket));
        let new = job.spec.group.clone();
        let places = job.state.running.iter().filter(|run| run.place.is_some()).count();
        job.state.running.iter_mut().for_each(|run| run.place = new.clone());
        if let Some(new) = new {
            let running = job.state.running.len();
            let group = self.groups.entry(new).or_default();
            (0..running).for_each(|_| group.enter());
            tickets.iter().for_each(|ticket| group.wait(*ticket, id.clone()));
        } else {
            // Without a group nothing waits for a place.
            job.state.waiting.iter_mut().for_each(|waiting| waiting.ticket = None);
            if let Some(retry) = job.state.retry.as_mut().filter(|retry| retry.ticket().is_some()) {
                retry.stage = RetryStage::OwnRun;
            }
        }
        if let Some(old) = old {
            if let Some(group) = self.groups.get_mut(old) {
                tickets.iter().for_each(|ticket| group.cancel(*ticket));
                group.leave(id);
            }
            self.exit_group(old, places);
        }
    }

    fn forget_dependent(&mut self, id: &JobId, after: &[JobId]) {
        for needed in after {
            if let Some(dependents) = self.dependents.get_mut(needed) {
                dependents.remove(id);
                if dependents.is_empty() {
                    self.dependents.remove(needed);
                }
            }
        }
    }
}
