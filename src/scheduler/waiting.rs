//! Starts that wait: for a random delay to pass, or for an interval since the end of the last run.

use super::action::Action;
use super::due::Due;
use super::live_table::{EntryState, LiveCrontab, Waiting};
use super::now::Now;
use super::run_record::SkipReason;
use super::run_result::{RunOutcome, RunResult};
use super::start_queue::EntryKey;
use super::state::Scheduler;
use crate::schedule::Timestamp;
use std::collections::BTreeSet;

impl Scheduler {
    /// Collects the waiting starts whose time has come.
    pub(super) fn collect_waiting(&mut self, now: Timestamp) {
        while let Some((at, number)) = self.due.take_alarm(now) {
            let Some(table) = self.entries.tables.get_mut(number) else { continue };
            let order = table.order;
            while let Some(waiting) = table.entry_state.as_mut().and_then(|entry_state| entry_state.take_waiting(at)) {
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
            table.drop_empty_state();
        }
    }

    /// Shortens the waiting of starts after a step back by `back` seconds (negative), so that they wait no longer than without it.
    pub(super) fn advance_waiting(&mut self, back: i64) {
        if back == 0 {
            return;
        }
        let numbers: BTreeSet<u32> = self.due.alarms.iter().map(|(_, number)| *number).collect();
        self.due.alarms = self.due.alarms.iter().map(|(at, number)| (Timestamp(at.0 + back), *number)).collect();
        for number in numbers {
            if let Some(entry_state) = self.entries.tables.get_mut(number).and_then(|table| table.entry_state.as_mut())
            {
                let earlier = |waiting: &Waiting| Waiting { at: Timestamp(waiting.at.0 + back), ..*waiting };
                entry_state.waiting = entry_state.waiting.iter().map(earlier).collect();
            }
        }
    }

    /// Makes an entry wait for its start.
    pub(super) fn wait(&mut self, number: u32, waiting: Waiting) {
        if let Some(table) = self.entries.tables.get_mut(number) {
            table.entry_state.get_or_insert_default().waiting.insert(waiting);
            self.due.alarms.insert((waiting.at, number));
        }
    }

    /// Stops the waiting of an entry. Its alarm may remain and has no effect.
    pub(super) fn stop_waiting(&mut self, (number, entry): EntryKey) {
        let Some(table) = self.entries.tables.get_mut(number) else { return };
        if let Some(entry_state) = table.entry_state.as_mut() {
            entry_state.waiting.retain(|waiting| waiting.entry != entry);
        }
        table.drop_empty_state();
    }

    /// Handles the end of a run.
    pub(super) fn handle_end(&mut self, result: &RunResult, now: Now, actions: &mut Vec<Action>) {
        match &result.outcome {
            // Left to the next daemon.
            RunOutcome::Skipped(SkipReason::Stopped) => {}
            // A start that ended without having been begun makes room, too.
            RunOutcome::Code(_)
            | RunOutcome::Signal { .. }
            | RunOutcome::NotStarted { .. }
            | RunOutcome::Skipped(_)
            | RunOutcome::Lost => self.starts.queue.accepted(result.run),
        }
        self.starts.runs.remove(&result.run);
        if self.jobs.owns(result.run) {
            self.with_jobs(now, actions, |jobs, context| jobs.handle_end(result, context));
        } else if let Some(change) = self.earlier.note_end(result) {
            actions.push(Action::SaveState(Box::new(change)));
            self.with_jobs(now, actions, |jobs, context| jobs.release_place(result.run, context));
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
    pub(super) fn drop_empty_state(&mut self) {
        self.entry_state.take_if(|entry_state| entry_state.waiting.is_empty());
    }
}
