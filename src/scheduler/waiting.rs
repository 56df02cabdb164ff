//! Starts that wait: for a random delay to pass, or for an interval since the end of the last run.

use super::due::Due;
use super::event::{Action, Now, RunOutcome, RunResult};
use super::live_table::{EntryState, LiveCrontab, Waiting};
use super::run_record::SkipReason;
use super::state::Scheduler;
use crate::schedule::{Kind, Timestamp};
use std::collections::BTreeSet;

impl Scheduler {
    /// Collects the waiting starts whose time has come.
    pub(super) fn collect_waiting(&mut self, now: Timestamp) {
        while let Some((at, number)) = self.due.take_alarm(now) {
            let Some(table) = self.tables.get_mut(number) else { continue };
            let order = table.order;
            while let Some(waiting) = table.carried.as_mut().and_then(|carried| carried.take_waiting(at)) {
                let line = table.start_order(waiting.entry);
                let (entry, scheduled_at) = (waiting.entry, waiting.at);
                self.due.collected.push(Due {
                    at: waiting.at,
                    rank: 0,
                    order,
                    line,
                    table: number,
                    entry,
                    scheduled_at,
                });
            }
            table.drop_empty_carried();
        }
    }

    /// Shortens the waiting of starts after a step back by `back` seconds (negative), so that they wait no longer than without it.
    pub(super) fn hasten_waiting(&mut self, back: i64) {
        if back == 0 {
            return;
        }
        let numbers: BTreeSet<u32> = self.due.alarms.iter().map(|(_, number)| *number).collect();
        self.due.alarms = self.due.alarms.iter().map(|(at, number)| (Timestamp(at.0 + back), *number)).collect();
        for number in numbers {
            if let Some(carried) = self.tables.get_mut(number).and_then(|table| table.carried.as_mut()) {
                let earlier = |waiting: &Waiting| Waiting { at: Timestamp(waiting.at.0 + back), ..*waiting };
                carried.waiting = carried.waiting.iter().map(earlier).collect();
            }
        }
    }

    /// Makes an entry wait for its start.
    pub(super) fn wait(&mut self, number: u32, waiting: Waiting) {
        if let Some(table) = self.tables.get_mut(number) {
            table.carried.get_or_insert_default().waiting.insert(waiting);
            self.due.alarms.insert((waiting.at, number));
        }
    }

    /// Stops the waiting of an entry. Its alarm may remain and has no effect.
    pub(super) fn stop_waiting(&mut self, number: u32, entry: u32) {
        let Some(table) = self.tables.get_mut(number) else { return };
        if let Some(carried) = table.carried.as_mut() {
            carried.waiting.retain(|waiting| waiting.entry != entry);
        }
        table.drop_empty_carried();
    }

    /// Handles the end of a run.
    pub(super) fn ended(&mut self, result: &RunResult, now: Now, actions: &mut Vec<Action>) {
        match &result.outcome {
            // Left to the next daemon.
            RunOutcome::Skipped(SkipReason::Stopped) => {}
            // A start that ended without having been begun makes room, too.
            RunOutcome::Code(_)
            | RunOutcome::Signal { .. }
            | RunOutcome::NotStarted { .. }
            | RunOutcome::Skipped(_)
            | RunOutcome::Lost => self.queue.begun(result.run),
        }
        self.runs.remove(&result.run);
        if self.jobs.owns(result.run) {
            self.managed_end(result, now, actions);
        } else if let Some(change) = self.earlier.note_end(result) {
            actions.push(Action::SaveState(Box::new(change)));
            self.starting_at = now.utc;
            self.with_jobs(now, actions, |jobs, turn| jobs.release_place(result.run, turn));
            self.report_queue_exits(now, actions);
        }
    }

    /// The seconds of an `@N` entry.
    pub(super) fn interval(&self, number: u32, entry: u32) -> Option<i64> {
        let timer = self.tables.get(number)?.timer(entry)?;
        match self.timing.timers.get(timer)?.kind {
            Kind::Interval { seconds } => Some(i64::from(seconds)),
            Kind::Calendar | Kind::Reboot | Kind::After => None,
        }
    }
}

impl EntryState {
    /// The entries that have a state.
    pub(super) fn entries(&self) -> BTreeSet<u32> {
        self.waiting.iter().map(|waiting| waiting.entry).collect()
    }

    /// Takes out a start whose time has come.
    pub(super) fn take_waiting(&mut self, now: Timestamp) -> Option<Waiting> {
        self.waiting.first().is_some_and(|waiting| waiting.at <= now).then(|| self.waiting.pop_first())?
    }
}

impl LiveCrontab {
    pub(super) fn drop_empty_carried(&mut self) {
        self.carried.take_if(|carried| carried.waiting.is_empty());
    }
}
