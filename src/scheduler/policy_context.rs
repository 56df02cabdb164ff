//! One call of the job policies: its time, the state that it reads, and the changes that it requests beside the state of the jobs.

use super::action::Action;
use super::entries::Entries;
use super::fleet::{Fleet, FleetTask};
use super::follow_up::{self, FollowUp, FollowUpTask, PingEvent};
use super::job_id::JobId;
use super::jobs::{Item, JobSpec, Notice, PauseScope};
use super::now::Now;
use super::run_id::RunId;
use super::run_record::{EndReason, RunRecord, SkipReason, Trigger};
use super::run_request::RunRequest;
use super::run_result::RunResult;
use super::runs::RunOrigin;
use super::slot_claim::SlotClaim;
use super::start_queue::{EntryKey, QueuedSlot};
use super::starts::Starts;
use crate::schedule::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// The state of one call of `Jobs`: the time, and what the call has changed and requested.
#[derive(Debug)]
pub(super) struct PolicyContext<'a> {
    pub(super) now: Now,
    /// When what is being decided became due.
    pub(super) due_at: Timestamp,
    pub(super) entries: &'a Entries,
    pub(super) starts: &'a mut Starts,
    pub(super) actions: &'a mut Vec<Action>,
    /// The fleet, if the machine is in one.
    pub(super) fleet: Option<&'a mut Fleet>,
    /// Jobs whose state has changed.
    pub(super) changed: &'a mut BTreeSet<JobId>,
    /// `@after` entries that are due, with the moment of the last end that they needed.
    pub(super) due_after: &'a mut BTreeMap<JobId, Timestamp>,
    /// Jobs whose pause has begun or ended.
    pub(super) changed_pauses: BTreeSet<JobId>,
    /// Pauses of all that have begun, changed or ended.
    pub(super) changed_scopes: BTreeSet<PauseScope>,
    /// `@N` entries that count from another moment now.
    pub(super) counts_from: Vec<(EntryKey, Timestamp)>,
}

impl PolicyContext<'_> {
    /// Notes that the state of a job has changed.
    pub(super) fn note_change(&mut self, id: &JobId) {
        self.changed.insert(id.clone());
    }

    /// Puts a run of an entry into the start queue.
    pub(super) fn start(&mut self, key: EntryKey, item: &Item) -> RunId {
        let run = self.starts.runs.allocate();
        let at_reboot = item.trigger == Trigger::Reboot;
        let slot = QueuedSlot { run, at: self.due_at, scheduled_at: item.scheduled_at, at_reboot };
        let origin = RunOrigin::Managed { trigger: item.trigger, attempt: item.attempt };
        self.starts.queue_managed(key, slot, origin, self.entries);
        run
    }

    /// Ends a run: one that still waits in the start queue is taken out of it, and all processes of another are ended.
    pub(super) fn end(&mut self, run: RunId, key: Option<EntryKey>, why: EndReason) {
        if self.fleet.as_mut().is_some_and(|fleet| fleet.give_up_claim(run).is_some()) {
            // It has not been started. If the claim is made all the same, its slot is lost.
            self.starts.cancel_claimed(run, why);
            return;
        }
        let is_cancelled = key.is_some_and(|key| self.starts.cancel(key, run, &why, self.entries));
        if !is_cancelled {
            self.actions.push(Action::End { run, why });
        }
    }

    /// A manual run is to be started whatever is in progress in the fleet.
    pub(super) fn note_forced(&mut self, run: RunId) {
        if let Some(fleet) = &mut self.fleet {
            fleet.forced.insert(run);
        }
    }

    /// Skips a slot of a fleet job for the whole fleet. What is removed or stopped here may run on another node.
    pub(super) fn skip_in_fleet(&mut self, id: &JobId, slot: Timestamp, trigger: Trigger, why: SkipReason) {
        if let Some(fleet) = &mut self.fleet
            && !matches!(why, SkipReason::EntryRemoved | SkipReason::Stopped)
        {
            fleet.tasks.push_back(FleetTask::Skip(id.clone(), slot, trigger, why));
        }
    }

    /// No attempt follows for a claimed slot.
    pub(super) fn conclude_in_fleet(&mut self, claim: SlotClaim, record: &RunRecord) {
        if let Some(fleet) = &mut self.fleet {
            fleet.tasks.push_back(FleetTask::Conclude(claim, Box::new(record.clone())));
        }
    }

    /// A run of a job has ended, of whichever kind.
    pub(super) fn note_fleet_run_ended(&mut self, id: &JobId) {
        if let Some(fleet) = &mut self.fleet {
            fleet.tasks.push_back(FleetTask::RunEnded(id.clone()));
        }
    }

    /// Records how a run or a slot has ended.
    pub(super) fn record(&mut self, record: RunRecord) {
        self.actions.push(Action::Record(Box::new(record)));
    }

    /// Reports a slot of a job that is skipped for another reason than the one before.
    pub(super) fn report_skipped(&mut self, (job, key): (&JobId, EntryKey), why: SkipReason, scheduled_at: Timestamp) {
        let start = self.entries.request_of(job, Some(key), RunId(0), scheduled_at).map(Box::new);
        let (count, first) = (1, scheduled_at);
        self.actions.extend(start.map(|start| Action::Skipped { start, why, count, first }));
    }

    /// Notifies the owner of a job, and runs their command for the event, if the entry is still there and has one.
    pub(super) fn notify(&mut self, spec: &JobSpec, notice: Notice) {
        let hook = self.hook(spec, &notice);
        self.actions.extend(hook);
        self.actions.push(Action::Notice(Box::new(notice)));
    }

    fn hook(&self, spec: &JobSpec, notice: &Notice) -> Option<Action> {
        let command = follow_up::hook(&spec.policy.hooks, notice.event)?;
        let event = notice.event.as_str().to_owned();
        let mut variables = follow_up::variables(notice);
        let late = i64::from(spec.policy.late.unwrap_or(0));
        let slot = notice.expected_until.map(|until| Timestamp(until.0.saturating_sub(late)));
        variables.extend(slot.map(|slot| ("CRON_SCHEDULED_AT".to_owned(), slot.to_string())));
        let scheduled_at = notice.record.as_ref().map(|record| record.scheduled_at).or(slot)?;
        let task = FollowUpTask::Hook { event, command, variables };
        self.follow_up((&notice.job, spec), notice.record.as_ref(), scheduled_at, task)
    }

    /// Calls the web service of the job, if it has one.
    pub(super) fn ping(&mut self, spec: &JobSpec, event: PingEvent, record: &RunRecord) {
        let Some(ping) = &spec.policy.ping else { return };
        let task = follow_up::ping(ping, event, &record.job, record.scheduled_at, (record.trigger, record.run));
        let call = self.follow_up((&record.job, spec), Some(record), record.scheduled_at, task);
        self.actions.extend(call);
    }

    fn follow_up(
        &self,
        (job, spec): (&JobId, &JobSpec),
        record: Option<&RunRecord>,
        scheduled_at: Timestamp,
        task: FollowUpTask,
    ) -> Option<Action> {
        let run = record.and_then(|record| record.run);
        let request = self.entries.request_of(job, spec.entry, run.unwrap_or(RunId(0)), scheduled_at)?;
        let trigger = record.map_or(request.trigger, |record| record.trigger);
        let attempt = record.map_or(1, |record| record.attempt);
        let start = Box::new(RunRequest { trigger, attempt, ..request });
        Some(Action::FollowUp(Box::new(FollowUp { start, output_of: run, task })))
    }

    /// When a run ended, by the wall clock as it is now: the clock may have been set since.
    pub(super) fn end_of(&self, ended: &RunResult) -> Timestamp {
        let ago_ms = ended.ended_elapsed_ms.map_or(0, |at| (self.now.elapsed_ms - at).max(0));
        Timestamp(self.now.utc.0 - ago_ms.div_euclid(1_000))
    }
}
