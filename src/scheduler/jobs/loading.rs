//! Jobs that become known and jobs that are gone, and their groups.

use super::group::GroupKey;
use super::job::{Job, JobSpec, JobState, PendingRetry, RetryStage};
use super::{Jobs, Turn};
use crate::scheduler::job_id::JobId;
use crate::scheduler::run_record::SkipReason;
use crate::scheduler::start_queue::EntryKey;

impl Jobs {
    /// Makes a job known, or gives a known one its new policy.
    pub(in crate::scheduler) fn register(&mut self, id: JobId, spec: JobSpec) {
        if let Some(old) = self.jobs.get(&id).map(|job| job.spec.clone()) {
            self.leave_group(&id, &old);
            self.forget_dependent(&id, &old.after);
        }
        if let (Some(key), Some(group)) = (&spec.group, &spec.policy.group) {
            self.groups.entry(key.clone()).or_default().join(id.clone(), group.slots);
        }
        for needed in &spec.after {
            self.dependents.entry(needed.clone()).or_default().insert(id.clone());
        }
        match self.jobs.get_mut(&id) {
            Some(job) => {
                let moved = job.spec.group != spec.group;
                let held = job.state.running.iter().filter(|run| run.has_place).count();
                let old = std::mem::replace(&mut job.spec, spec);
                if moved {
                    self.change_group(&id, old.group, held);
                }
            }
            None => {
                self.jobs.insert(id, Job { spec, state: JobState::default() });
            }
        }
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
        self.give_up_retry(id, turn);
        self.set_late(id, None);
        turn.changed.insert(id.clone());
        if let Some(spec) = self.jobs.get(id).map(|job| job.spec.clone()) {
            self.leave_group(id, &spec);
            self.forget_dependent(id, &spec.after);
            self.pump(spec.group.as_ref(), turn);
        }
        self.forget_if_idle(id);
    }

    pub(super) fn forget_if_idle(&mut self, id: &JobId) {
        if self.jobs.get(id).is_some_and(|job| job.spec.entry.is_none() && job.state.running.is_empty()) {
            self.jobs.remove(id);
        }
    }

    fn leave_group(&mut self, id: &JobId, spec: &JobSpec) {
        let Some(key) = &spec.group else { return };
        if let Some(group) = self.groups.get_mut(key) {
            group.leave(id);
            if group.is_empty() {
                self.groups.remove(key);
            }
        }
    }

    /// Moves the places and tickets of a job from one group to another.
    fn change_group(&mut self, id: &JobId, old: Option<GroupKey>, held: usize) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let mut tickets: Vec<u64> = job.state.waiting.iter().filter_map(|waiting| waiting.ticket).collect();
        tickets.extend(job.state.retry.as_ref().and_then(PendingRetry::ticket));
        if let Some(group) = old.and_then(|key| self.groups.get_mut(&key)) {
            (0..held).for_each(|_| group.exit());
            tickets.iter().for_each(|ticket| group.cancel(*ticket));
        }
        let group = job.spec.group.clone();
        let has_group = group.is_some();
        for run in &mut job.state.running {
            run.has_place = has_group;
        }
        if let Some(group) = group {
            let places = job.state.running.len();
            let group = self.groups.entry(group).or_default();
            (0..places).for_each(|_| group.enter());
            tickets.iter().for_each(|ticket| group.wait(*ticket, id.clone()));
        } else {
            // What waited for a place waits for nothing any more; the next event lets it go on.
            job.state.waiting.iter_mut().for_each(|waiting| waiting.ticket = None);
            if let Some(retry) = job.state.retry.as_mut().filter(|retry| retry.ticket().is_some()) {
                retry.stage = RetryStage::OwnRun;
            }
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
