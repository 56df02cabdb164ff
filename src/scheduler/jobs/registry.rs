//! The known jobs, and the changes when their entries are loaded, replaced or removed.

use super::deadlines::Deadlines;
use super::dependents::Dependents;
use super::group::{GroupKey, Groups};
use super::job::{ActiveRun, Job, JobSpec, JobState, PendingRetry, RetryStage, Waiting};
use super::pause::Pauses;
use super::start_gate::StartGate;
use crate::crontab::{FleetMode, Policy};
use crate::schedule::Timestamp;
use crate::scheduler::anacron::JobActivity;
use crate::scheduler::event::AtStop;
use crate::scheduler::job_id::JobId;
use crate::scheduler::policy_context::PolicyContext;
use crate::scheduler::run_id::RunId;
use crate::scheduler::run_record::SkipReason;
use crate::scheduler::start_queue::EntryKey;
use std::collections::{BTreeMap, HashMap};

/// All jobs that have a policy or a state, and their groups.
#[derive(Debug, Default)]
pub(in crate::scheduler) struct Jobs {
    pub(super) jobs: BTreeMap<JobId, Job>,
    /// Whether the machine is a node of a fleet: then `CRON_FLEET` has an effect.
    pub(super) is_in_fleet: bool,
    /// The jobs of runs that are in progress or wait in the start queue.
    pub(super) runs: HashMap<RunId, JobId>,
    pub(super) groups: Groups,
    pub(super) gate: StartGate,
    pub(super) pauses: Pauses,
    pub(super) dependents: Dependents,
    /// Pending retries, in milliseconds of the monotonic clock.
    pub(super) retries: Deadlines<i64>,
    /// When each job with `CRON_LATE` must have succeeded.
    pub(super) late: Deadlines<Timestamp>,
    /// When records of rows of skipped slots are brought up to date.
    pub(super) row_updates: Deadlines<Timestamp>,
}

impl Jobs {
    /// Entries are going to be exchanged. Until [`Jobs::end_change`] nothing that waits is started, since runs of entries could be started by
    /// the places that these had before.
    pub(in crate::scheduler) fn begin_change(&mut self) {
        self.gate.begin_change();
    }

    /// All entries are known: what the change has made possible is started.
    pub(in crate::scheduler) fn end_change(&mut self, context: &mut PolicyContext<'_>) {
        self.gate.end_change();
        self.start_noted(context);
    }

    /// Makes a job known, or gives a known one its new policy.
    pub(in crate::scheduler) fn register(&mut self, id: JobId, spec: JobSpec, context: &mut PolicyContext<'_>) {
        let new_group = spec.group.clone().zip(spec.policy.group.as_ref().map(|group| group.slots));
        let Some(job) = self.jobs.get_mut(&id) else {
            self.dependents.add(&id, &spec.after);
            if let Some((key, slots)) = new_group {
                self.groups.join(&key, &id, slots);
            }
            self.jobs.insert(id, Job { spec, state: JobState::default() });
            return;
        };
        self.dependents.remove(&id, &job.spec.after);
        self.dependents.add(&id, &spec.after);
        let old_group = std::mem::replace(&mut job.spec, spec).group;
        job.state.after_ok.retain(|needed, _| job.spec.after.contains(needed));
        if job.spec.policy.late.is_none() && (job.state.late_at.is_some() || job.state.is_late) {
            job.state.is_late = false;
            context.note_change(&id);
            self.set_late(&id, None);
        }
        if let Some((key, slots)) = &new_group {
            self.groups.join(key, &id, *slots);
        }
        if old_group.as_ref() != new_group.as_ref().map(|(key, _)| key) {
            context.note_change(&id);
            self.change_group(&id, old_group.as_ref());
        }
        self.drop_what_is_not_wanted(&id, context);
        self.start_waiting_of_job(&id, context);
        self.start_waiting_of_group(old_group.as_ref(), context);
    }

    /// What a new policy does not let happen any more: an entry that is not enabled runs by hand only, and there may be fewer attempts.
    pub(in crate::scheduler) fn drop_what_is_not_wanted(&mut self, id: &JobId, context: &mut PolicyContext<'_>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let (is_enabled, attempts) = (job.spec.policy.is_enabled, job.spec.policy.retry.attempts);
        if job.state.retry.as_ref().is_some_and(|retry| !is_enabled || retry.item.attempt > attempts.saturating_add(1))
        {
            context.note_change(id);
            self.drop_retry(id, context);
        }
        if is_enabled {
            return;
        }
        let Some(job) = self.jobs.get_mut(id) else { return };
        let (kept, dropped): (Vec<Waiting>, Vec<Waiting>) =
            std::mem::take(&mut job.state.waiting).into_iter().partition(|waiting| waiting.item.is_manual);
        job.state.waiting = kept;
        if job.state.late_at.is_some() || !dropped.is_empty() {
            context.note_change(id);
        }
        self.set_late(id, None);
        self.cancel_tickets(id, &dropped);
        for waiting in dropped {
            self.skip(id, &waiting.item, SkipReason::EntryRemoved, context);
        }
    }

    /// Moves the places and tickets of a job from its old group to its new one.
    fn change_group(&mut self, id: &JobId, old: Option<&GroupKey>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let tickets = job.state.tickets();
        let new = job.spec.group.clone();
        let places = job.state.running.iter().filter(|run| run.place.is_some()).count();
        job.state.running.iter_mut().for_each(|run| run.place.clone_from(&new));
        if let Some(new) = new {
            job.state.running.iter().for_each(|_| self.groups.enter(&new));
            tickets.iter().for_each(|ticket| self.groups.wait_with(&new, *ticket, id));
        } else {
            job.state.forget_tickets();
        }
        if let Some(old) = old {
            tickets.iter().for_each(|ticket| self.groups.cancel(old, *ticket));
            self.groups.leave(old, id);
            (0..places).for_each(|_| self.groups.exit(old));
        }
    }

    /// An entry is gone: waiting starts are skipped, runs in progress continue.
    pub(in crate::scheduler) fn unregister(&mut self, id: &JobId, context: &mut PolicyContext<'_>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.spec.entry = None;
        let waiting = std::mem::take(&mut job.state.waiting);
        self.cancel_tickets(id, &waiting);
        for waiting in waiting {
            self.skip(id, &waiting.item, SkipReason::EntryRemoved, context);
        }
        self.flush_row(id, context);
        self.forget_pauses(id, context);
        self.drop_retry(id, context);
        self.set_late(id, None);
        context.note_change(id);
        if let Some(spec) = self.jobs.get(id).map(|job| job.spec.clone()) {
            self.dependents.remove(id, &spec.after);
            if let Some(group) = &spec.group {
                self.groups.leave(group, id);
            }
            self.start_waiting_of_group(spec.group.as_ref(), context);
        }
        self.forget_if_idle(id);
    }

    /// Forgets a job without an entry and without runs.
    pub(super) fn forget_if_idle(&mut self, id: &JobId) {
        if self.jobs.get(id).is_some_and(|job| job.spec.entry.is_none() && job.state.running.is_empty()) {
            self.jobs.remove(id);
        }
    }

    /// Whether no retry begins, since it is not known yet which of an earlier daemon are dropped.
    pub(in crate::scheduler) fn hold_retries(&mut self, holds_retries: bool) {
        self.gate.holds_retries = holds_retries;
    }

    /// Starts no runs any more, and with [`AtStop::Skip`] no retries either.
    pub(in crate::scheduler) fn stop_starting(&mut self, at_stop: AtStop) {
        self.gate.stop();
        self.gate.has_no_more_attempts |= at_stop == AtStop::Skip;
    }

    /// All runs are being ended, since the daemon stops: no attempt follows.
    pub(in crate::scheduler) fn note_end_of_all(&mut self) {
        self.gate.has_no_more_attempts = true;
    }
}

/// What others ask about jobs: their state, pauses and runs. Nothing here changes them.
impl Jobs {
    /// The policy of a job.
    pub(in crate::scheduler) fn policy(&self, id: &JobId) -> Option<&Policy> {
        Some(&self.jobs.get(id)?.spec.policy)
    }

    /// Whether each slot of a job runs on one node of the fleet.
    pub(in crate::scheduler) fn is_of_fleet(&self, id: &JobId) -> bool {
        self.is_in_fleet && self.policy(id).is_some_and(|policy| policy.fleet.mode != FleetMode::Each)
    }

    /// The entry of a job that is known here.
    pub(in crate::scheduler) fn entry(&self, id: &JobId) -> Option<EntryKey> {
        self.jobs.get(id)?.spec.entry
    }

    /// The jobs that an `@after` job waits for.
    pub(in crate::scheduler) fn needed(&self, id: &JobId) -> &[JobId] {
        self.jobs.get(id).map(|job| job.spec.after.as_slice()).unwrap_or_default()
    }

    /// An entry of another table that is in the group of a job with another number of runs, and that number.
    pub(in crate::scheduler) fn other_limit(&self, id: &JobId) -> Option<(EntryKey, u32)> {
        let spec = &self.jobs.get(id)?.spec;
        let (own, slots) = (spec.entry?, spec.policy.group.as_ref()?.slots);
        let others = self.groups.other_limits(spec.group.as_ref()?, slots);
        let mut entries = others.filter_map(|(other, limit)| Some((self.entry(other)?, limit)));
        entries.find(|(entry, _)| entry.0 != own.0)
    }

    /// How much of a job waits, when its retry is due, its final failures in a row, and whether a success of it is overdue.
    pub(in crate::scheduler) fn status(&self, id: &JobId) -> (usize, Option<Timestamp>, u32, bool) {
        self.jobs.get(id).map_or((0, None, 0, false), |job| {
            let state = &job.state;
            (state.waiting.len(), state.retry.as_ref().map(|retry| retry.due_at), state.failures, state.is_late)
        })
    }

    /// Whether a failure of a job will be followed by another attempt, which has not been handed over to the executor.
    pub(in crate::scheduler) fn has_pending_attempt(&self, id: &JobId) -> bool {
        let is_queued_attempt = |active: &ActiveRun| active.is_queued && active.failure.is_some();
        self.jobs
            .get(id)
            .is_some_and(|job| job.state.retry.is_some() || job.state.running.iter().any(is_queued_attempt))
    }

    /// Whether a run is one of a job known here.
    pub(in crate::scheduler) fn owns(&self, run: RunId) -> bool {
        self.runs.contains_key(&run)
    }

    /// Whether the end of a run was requested.
    pub(in crate::scheduler) fn is_being_ended(&self, run: RunId) -> bool {
        let job = self.runs.get(&run).and_then(|id| self.jobs.get(id));
        job.is_some_and(|job| job.state.running.iter().any(|active| active.run == run && active.ending.is_some()))
    }

    /// The moment from which an `@N` job counts.
    pub(in crate::scheduler) fn last_end(&self, id: &JobId) -> Option<Timestamp> {
        self.jobs.get(id)?.state.last_end
    }

    /// Whether a job has a pause or a state, so that it must stay known also without a policy.
    pub(in crate::scheduler) fn has_pause_or_state(&self, id: &JobId) -> bool {
        self.pauses.get(id).is_some() || self.jobs.get(id).is_some_and(|job| !job.state.is_empty())
    }
}

impl JobActivity for Jobs {
    fn is_occupied(&self, id: &JobId) -> bool {
        self.jobs.get(id).is_some_and(|job| job.is_busy() || job.state.retry.is_some())
    }

    fn is_active(&self, id: &JobId) -> bool {
        let will_retry = |job: &Job| job.state.retry.is_some() && self.pauses.get(id).is_none();
        self.jobs.get(id).is_some_and(|job| job.is_busy() || will_retry(job))
    }
}

impl JobState {
    /// The places in the group's queue of what waits there.
    pub(super) fn tickets(&self) -> Vec<u64> {
        let waiting = self.waiting.iter().filter_map(|waiting| waiting.ticket);
        waiting.chain(self.retry.as_ref().and_then(PendingRetry::ticket)).collect()
    }

    /// Nothing waits for a place any more: the job has no group.
    pub(super) fn forget_tickets(&mut self) {
        self.waiting.iter_mut().for_each(|waiting| waiting.ticket = None);
        if let Some(retry) = self.retry.as_mut().filter(|retry| retry.ticket().is_some()) {
            retry.stage = RetryStage::OwnRun;
        }
    }
}
