//! Calls [`Jobs`] about slots, runs that have left the queue, and timers, and applies the changes that they request.

use super::action::Action;
use super::due::Due;
use super::follow_up::{self, FollowUp, PingEvent};
use super::job_id::JobId;
use super::jobs::Jobs;
use super::live_table::Waiting;
use super::now::Now;
use super::policy_context::PolicyContext;
use super::queue_exits::QueueExit;
use super::run_record::{SkipReason, Trigger};
use super::run_request::RunRequest;
use super::saved::StateChange;
use super::start_queue::EntryKey;
use super::state::{Phase, Scheduler};
use crate::schedule::Timestamp;
use std::collections::BTreeSet;

impl Scheduler {
    /// Calls the jobs about something that is due now, and does what follows.
    pub(super) fn with_jobs<T>(
        &mut self,
        now: Now,
        actions: &mut Vec<Action>,
        call: impl FnOnce(&mut Jobs, &mut PolicyContext<'_>) -> T,
    ) -> T {
        self.with_jobs_due_at(now.utc, now, actions, call)
    }

    /// Calls the jobs about something that became due at `due_at`, and does what follows.
    fn with_jobs_due_at<T>(
        &mut self,
        due_at: Timestamp,
        now: Now,
        actions: &mut Vec<Action>,
        call: impl FnOnce(&mut Jobs, &mut PolicyContext<'_>) -> T,
    ) -> T {
        let result = self.call_jobs(due_at, now, actions, call);
        self.report_queue_exits(due_at, now, actions);
        result
    }

    fn call_jobs<T>(
        &mut self,
        due_at: Timestamp,
        now: Now,
        actions: &mut Vec<Action>,
        call: impl FnOnce(&mut Jobs, &mut PolicyContext<'_>) -> T,
    ) -> T {
        let first = actions.len();
        let mut context = PolicyContext {
            now,
            due_at,
            entries: &self.entries,
            starts: &mut self.starts,
            actions,
            fleet: self.fleet.as_mut(),
            changed: &mut self.changed,
            due_after: &mut self.due.after,
            changed_pauses: BTreeSet::new(),
            changed_scopes: BTreeSet::new(),
            counts_from: Vec::new(),
        };
        let result = call(&mut self.jobs, &mut context);
        let PolicyContext { changed_pauses, changed_scopes, counts_from, .. } = context;
        let pauses = changed_pauses.into_iter().map(|id| {
            let pause = self.jobs.paused(&id).cloned();
            StateChange::pause(id, pause)
        });
        let of_all = changed_scopes.into_iter().map(|scope| {
            let all = self.jobs.pauses_of_all().get(&scope).cloned();
            StateChange::pause_of_all(scope, all)
        });
        // A pause is saved before anything that follows from it.
        let saved: Vec<Action> = pauses.chain(of_all).map(|change| Action::SaveState(Box::new(change))).collect();
        if !saved.is_empty() {
            actions.splice(first..first, saved);
        }
        for (key, moment) in counts_from {
            self.count_interval(key, moment);
        }
        result
    }

    /// Lets jobs know of their runs that have left the start queue without a start.
    pub(super) fn report_queue_exits(&mut self, due_at: Timestamp, now: Now, actions: &mut Vec<Action>) {
        while let Some(exit) = self.starts.exits.pop() {
            match exit {
                QueueExit::Superseded(run) => {
                    self.starts.runs.remove(&run);
                    self.call_jobs(due_at, now, actions, |jobs, context| {
                        jobs.drop_queued(run, SkipReason::Superseded, context);
                    });
                }
                QueueExit::Unstartable(run) => {
                    self.starts.runs.remove(&run);
                    self.call_jobs(due_at, now, actions, |jobs, context| {
                        jobs.drop_queued(run, SkipReason::EntryRemoved, context);
                    });
                }
                QueueExit::Ended(run, why) => {
                    self.call_jobs(due_at, now, actions, |jobs, context| jobs.handle_cancelled(run, &why, context));
                }
            }
        }
    }

    /// A slot of a managed entry has come.
    pub(super) fn start_managed(&mut self, due: &Due, at_reboot: bool, now: Now, actions: &mut Vec<Action>) -> bool {
        let Some(id) = self.entries.managed((due.table, due.entry)).cloned() else { return false };
        let is_excepted = self.is_excepted(&id, (due.table, due.entry), due.scheduled_at);
        let is_after = self.entries.tables.get(due.table).is_some_and(|table| !table.after(due.entry).is_empty());
        let trigger = match (at_reboot, is_after) {
            (true, _) => Trigger::Reboot,
            (false, true) => Trigger::After,
            (false, false) => Trigger::Schedule,
        };
        self.progress.has_decided = true;
        if trigger == Trigger::Schedule && self.jobs.is_of_fleet(&id) {
            self.add_fleet_slot(&id, due.scheduled_at, now, actions);
            return true;
        }
        self.with_jobs_due_at(due.at, now, actions, |jobs, context| {
            jobs.handle_slot(&id, due.scheduled_at, trigger, is_excepted, context);
        });
        true
    }

    /// Whether the day of a slot, before its random delay, is an exception of its job.
    pub(super) fn is_excepted(&self, id: &JobId, key: EntryKey, slot: Timestamp) -> bool {
        self.jobs.policy(id).is_some_and(|policy| self.entries.is_excepted(policy, key, slot))
    }

    /// What the policies have to do now: ends of pauses, due retries, successes that have not come.
    pub(super) fn run_policy_timers(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.phase != Phase::Running {
            return;
        }
        self.with_jobs(now, actions, |jobs, context| {
            jobs.end_pauses(context);
            jobs.begin_due_retries(context);
            jobs.notify_late(context);
            jobs.update_rows(context);
        });
    }

    /// Collects the `@after` entries that are due.
    pub(super) fn collect_after(&mut self) {
        for (id, scheduled_at) in std::mem::take(&mut self.due.after) {
            let Some((table, entry)) = self.jobs.entry(&id) else { continue };
            self.collect_entry((table, entry), scheduled_at, 0, scheduled_at);
        }
    }

    /// Lets the interval of an `@N` entry count from that moment.
    fn count_interval(&mut self, key: EntryKey, moment: Timestamp) {
        let Some(seconds) = self.entries.interval(key) else { return };
        self.stop_waiting(key);
        if self.phase == Phase::Running {
            // The last attempt may have ended long before its retry was dropped.
            let at = Timestamp(moment.0 + seconds).max(self.progress.last.utc);
            self.wait(key.0, Waiting { at, entry: key.1 });
        }
    }

    /// Hands out the states that have changed.
    pub(super) fn save_changed(&mut self, actions: &mut Vec<Action>) {
        for id in std::mem::take(&mut self.changed) {
            let state = self.jobs.saved(&id).cloned();
            actions.push(Action::SaveState(Box::new(StateChange::state(id, state))));
        }
        self.save_fleet_jobs(actions);
    }

    /// The ping that reports the start of the first attempt for a slot.
    pub(super) fn start_ping(&self, start: &RunRequest) -> Option<Action> {
        let ping = self.jobs.policy(&start.job)?.ping.as_ref().filter(|_| start.attempt == 1)?;
        let slot = Timestamp(start.scheduled_at);
        let task = follow_up::ping(ping, PingEvent::Start, &start.job, slot, (start.trigger, Some(start.run)));
        Some(Action::FollowUp(Box::new(FollowUp { start: Box::new(start.clone()), output_of: None, task })))
    }
}
