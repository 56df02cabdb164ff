//! The way of a due entry to the executor: starts are queued, handed over in turn, or skipped when the daemon stops or their entry is gone.

use super::action::Action;
use super::due::Due;
use super::event::AtStop;
use super::live_table::LiveCrontab;
use super::now::Now;
use super::run_id::RunId;
use super::run_record::SkipReason;
use super::run_request::RunRequest;
use super::runs::{RunOrigin, StartedRun};
use super::start_queue::{ANACRON, Dropped, EntryKey, NextStart, QueuedSlot, SkippedRow};
use super::state::{Phase, Scheduler};
use crate::schedule::{Day, Timestamp};

/// How many starts one event's answer has at the most, and about how many bytes are read and copied for them.
const STARTS_AT_ONCE: usize = 256;
const BYTES_AT_ONCE: usize = 1 << 20;

impl Scheduler {
    /// Starts what was collected, or that of it that became due before a moment, in order.
    pub(super) fn start_collected(&mut self, before: Option<Timestamp>, now: Now, actions: &mut Vec<Action>) {
        for due in self.due.take_before(before) {
            self.start(&due, false, now, actions);
        }
        debug_assert!(before.is_some() || self.due.next_alarm().is_none_or(|at| at > now.utc));
    }

    /// Queues the start of one entry, unless its job decides otherwise.
    pub(super) fn start(&mut self, due: &Due, at_reboot: bool, now: Now, actions: &mut Vec<Action>) {
        let key = (due.table, due.entry);
        let Some(table) = self.entries.tables.get(due.table).filter(|_| self.entries.timer(key).is_some()) else {
            return;
        };
        if !self.earlier.already_started.is_empty()
            && let Some(job) = self.entries.id_of(table, due.entry)
            && self.earlier.take_start(job, due.scheduled_at)
        {
            return;
        }
        if self.start_managed(due, at_reboot, now, actions) {
            return;
        }
        let run = self.starts.runs.allocate();
        let slot = QueuedSlot { run, at: due.at, scheduled_at: due.scheduled_at, at_reboot };
        self.starts.queue_plain(key, slot, &self.entries);
    }

    /// Hands over what the executor has room for, with a turn for each owner. What one call puts together is bounded, so that the event loop is
    /// never kept long.
    pub(super) fn hand_over(&mut self, now: Now, actions: &mut Vec<Action>) {
        let (mut starts, mut bytes) = (0, 0);
        while !self.starts.queue.is_limited() || (starts < STARTS_AT_ONCE && bytes < BYTES_AT_ONCE) {
            let Some(next) = self.starts.queue.pop() else { break };
            let NextStart { owner, entry: (number, entry), slot, superseded } = next;
            let start = self.request_of_slot((number, entry), &slot);
            let Some(start) = start.map(Box::new) else {
                self.starts.runs.remove(&slot.run);
                self.starts.queue.not_handed_over(owner, &slot);
                if self.jobs.owns(slot.run) {
                    self.starts.exits.unstartable.push(slot.run);
                }
                continue;
            };
            if let Some(row) = superseded
                && self.entries.managed((number, entry)).is_none()
            {
                actions.push(skipped(&start, row, SkipReason::Superseded));
            }
            let size = start.command.len() + start.variables.bytes().len();
            self.starts.queue.handed_over(owner, &slot, size);
            starts += 1;
            bytes += size + self.entries.tables.get(number).map_or(0, |table| table.settings_size());
            if self.needs_claim(&start) {
                self.begin_claim(start, now, actions);
                continue;
            }
            self.note_unclaimed(&start, now, actions);
            self.changed.extend(self.jobs.note_handed_over(slot.run).cloned());
            self.starts.runs.note_started(slot.run, || StartedRun {
                job: start.job.clone(),
                scheduled_at: slot.scheduled_at,
                trigger: start.trigger,
            });
            if number == ANACRON {
                let day = Day::at(now.utc, &self.entries.timing.zones.system());
                self.entries.anacron.started(slot.run, entry, start.trigger, day);
            } else {
                self.count_for_anacron(&start, now.utc, actions);
            }
            let ping = self.start_ping(&start);
            actions.push(Action::Start(start));
            actions.extend(ping);
        }
        self.report_queue_exits(now.utc, now, actions);
    }

    /// What the executor must know to start a queued slot.
    fn request_of_slot(&self, key: EntryKey, slot: &QueuedSlot) -> Option<RunRequest> {
        let mut request = self.entries.request(key, slot.run, slot.scheduled_at, slot.at_reboot)?;
        if let Some(RunOrigin::Managed { trigger, attempt }) = self.starts.runs.get(&slot.run) {
            (request.trigger, request.attempt) = (*trigger, *attempt);
            let retries = if trigger.is_manual() { 0 } else { request.rules.retries_left };
            request.rules.retries_left = (retries + 1).saturating_sub((*attempt).max(1));
        }
        Some(request)
    }

    /// Starts nothing more, and decides what becomes of waiting starts.
    pub(super) fn stop(&mut self, queue: AtStop, jobs: AtStop, now: Now, actions: &mut Vec<Action>) {
        self.phase = Phase::Stopped;
        self.jobs.stop_starting(jobs);
        // The next daemon does not know of these.
        for ((number, entry), row) in self.starts.queue.take_superseded() {
            if self.entries.managed((number, entry)).is_none() {
                let start = self.entries.request((number, entry), row.run, row.last, false);
                actions.extend(start.map(|start| skipped(&start, row, SkipReason::Superseded)));
            }
        }
        if jobs == AtStop::LeaveToNext {
            self.keep_queued_jobs(now, actions);
        }
        if queue == AtStop::Skip {
            for dropped in self.starts.queue.drop_entries(None) {
                self.report_dropped(None, &dropped, SkipReason::Stopped, now, actions);
            }
        }
        if jobs == AtStop::Skip {
            self.with_jobs(now, actions, |jobs, context| jobs.skip_all_waiting(context));
        }
    }

    /// The daemon stops and has asked for the end of all runs: none of them is retried.
    pub fn note_end_of_all(&mut self) {
        self.jobs.note_end_of_all();
    }

    /// Records what waited for an entry that is gone or will not be started. `table` is the entry's, where that is not live any more.
    pub(super) fn report_dropped(
        &mut self,
        table: Option<&LiveCrontab>,
        dropped: &Dropped,
        why: SkipReason,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let mut is_managed = false;
        for run in &dropped.runs {
            self.starts.runs.remove(run);
            if self.jobs.owns(*run) {
                is_managed = true;
                self.with_jobs(now, actions, |jobs, context| jobs.drop_queued(*run, why, context));
            }
        }
        let Some(row) = dropped.row.filter(|_| !is_managed) else { return };
        let run = dropped.runs.last().copied().unwrap_or(RunId(0));
        let table = table.or_else(|| self.entries.tables.get(dropped.entry.0));
        let start = table.and_then(|table| table.start(dropped.entry.1, run, &self.entries.caller, row.last, false));
        let Some(start) = start else { return };
        if let Some(superseded) = dropped.superseded {
            actions.push(skipped(&start, superseded, SkipReason::Superseded));
        }
        actions.push(skipped(&start, row, why));
    }
}

fn skipped(start: &RunRequest, row: SkippedRow, why: SkipReason) -> Action {
    let start = Box::new(RunRequest { run: row.run, scheduled_at: row.last.0, ..start.clone() });
    Action::Skipped { start, why, count: row.count, first: row.first }
}
