//! Queries about live entries, for the log and for commands.

use super::event::Source;
use super::live_table::LiveCrontab;
use super::state::Scheduler;
use super::timers::Shared;
use crate::crontab::SharedBytes;
use crate::schedule::{Schedule, Timestamp, Zone};
use std::sync::Arc;

/// A live entry, for queries.
#[derive(Clone, Copy, Debug)]
pub struct Live<'a> {
    pub(super) scheduler: &'a Scheduler,
    pub(super) table: &'a LiveCrontab,
    pub(super) index: u32,
    pub(super) shared: &'a Shared,
}

impl Scheduler {
    /// All live entries, table by table, in file order.
    pub fn entries(&self) -> impl Iterator<Item = Live<'_>> {
        self.tables.iter().flat_map(move |(_, table)| {
            (0..).zip(table.entries()).filter_map(move |(index, entry)| {
                Some(Live { scheduler: self, table, index, shared: self.timing.timers.get(entry.timer())? })
            })
        })
    }
}

impl<'a> Live<'a> {
    /// Where its table came from.
    pub fn source(&self) -> &'a Source {
        self.table.source()
    }

    /// Line in the table, counted from 1.
    pub fn line(&self) -> u32 {
        self.table.line(self.index)
    }

    /// The user that it runs as; empty for the caller.
    pub fn user(&self) -> &'a str {
        self.table.user(self.index)
    }

    /// The raw command, with `%` and backslashes untouched.
    pub fn command(&self) -> SharedBytes {
        self.table.command(self.index)
    }

    /// The schedule by which it is due.
    pub fn schedule(&self) -> &'a Schedule {
        self.shared.schedule()
    }

    /// The zone its schedule is read in.
    pub fn zone(&self) -> Option<&'a Arc<Zone>> {
        self.scheduler.timing.zones.get(self.shared.zone).map(|local| &local.zone)
    }

    /// Seconds from its due moments to its starts.
    pub fn delay(&self) -> u32 {
        self.shared.delay()
    }

    /// When it is to be started next.
    pub fn next_start(&self) -> Option<Timestamp> {
        let waiting = self.table.carried.iter().flat_map(|carried| &carried.waiting);
        let waiting = waiting.filter(|waiting| waiting.entry == self.index).map(|waiting| waiting.at).min();
        let timer = self.table.timer(self.index)?;
        let due = self.scheduler.timing.wheel.due(timer).map(|due| Timestamp(due.0 + i64::from(self.shared.delay())));
        [waiting, due].into_iter().flatten().min()
    }
}
