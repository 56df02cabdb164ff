//! Queries about live entries, for the log and for commands.

use super::environment::Environment;
use super::job_id::JobId;
use super::live_table::LiveCrontab;
use super::source::Source;
use super::state::Scheduler;
use super::timers::Shared;
use crate::crontab::Policy;
use crate::schedule::{Kind, Schedule, Timestamp, Zone};
use std::sync::Arc;

/// A live entry, for queries.
#[derive(Clone, Copy, Debug)]
pub struct Live<'a> {
    pub(super) scheduler: &'a Scheduler,
    pub(super) table: &'a LiveCrontab,
    pub(super) index: u32,
    pub(super) shared: &'a Shared,
}

/// A place among the live entries, at which looking at them can be interrupted. A table that is loaded meanwhile may be seen or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryCursor {
    pub(super) table: u32,
    pub(super) entry: u32,
}

impl Scheduler {
    /// The next live entry from a place on, which is moved behind it. None: there are no more.
    pub fn next_entry(&self, cursor: &mut EntryCursor) -> Option<(EntryCursor, Live<'_>)> {
        loop {
            let Some(table) = self.entries.tables.get(cursor.table) else {
                let (table, _) = self.entries.tables.iter().find(|(number, _)| *number > cursor.table)?;
                *cursor = EntryCursor { table, entry: 0 };
                continue;
            };
            if cursor.entry as usize >= table.entries().len() {
                *cursor = EntryCursor { table: cursor.table + 1, entry: 0 };
                continue;
            }
            let place = *cursor;
            cursor.entry += 1;
            if let Some(live) = self.entry_at(place) {
                return Some((place, live));
            }
        }
    }

    /// The live entry at a place, which may be another one since its table was loaded anew.
    pub fn entry_at(&self, place: EntryCursor) -> Option<Live<'_>> {
        let table = self.entries.tables.get(place.table)?;
        let shared = self.entries.timing.timers.get(table.timer(place.entry)?)?;
        Some(Live { scheduler: self, table, index: place.entry, shared })
    }

    /// The live entry of this job, by a search of all entries of its user.
    pub fn find_entry(&self, id: &JobId) -> Option<Live<'_>> {
        let known = self.jobs.entry(id).and_then(|(table, index)| {
            let table = self.entries.tables.get(table)?;
            let shared = self.entries.timing.timers.get(table.timer(index)?)?;
            Some(Live { scheduler: self, table, index, shared })
        });
        known.or_else(|| {
            self.entries().filter(|live| live.user_or_caller() == id.user()).find(|live| live.id().as_ref() == Some(id))
        })
    }

    /// All live entries, table by table, in file order.
    pub fn entries(&self) -> impl Iterator<Item = Live<'_>> {
        self.entries.tables.iter().flat_map(move |(_, table)| {
            (0..table.entries().len() as u32).filter_map(move |index| {
                Some(Live {
                    scheduler: self,
                    table,
                    index,
                    shared: self.entries.timing.timers.get(table.timer(index)?)?,
                })
            })
        })
    }
}

impl<'a> Live<'a> {
    /// Where its table came from.
    pub fn source(&self) -> &'a Source {
        self.table.source()
    }

    /// The id of its job.
    pub fn id(&self) -> Option<JobId> {
        let managed = self.table.managed.get(&self.index).cloned();
        managed.or_else(|| self.table.job_id(self.index, &self.scheduler.entries.caller))
    }

    /// Whether the table names the job as its id does.
    pub fn is_named(&self, id: &JobId) -> bool {
        self.table.name(self.index) == Some(id.name())
    }

    /// What the job's settings and flags ask for.
    pub fn policy(&self) -> Arc<Policy> {
        self.table.policy(self.index)
    }

    /// The variables that the table gives it.
    pub fn variables(&self) -> Environment {
        self.table.variables(self.index)
    }

    /// The text of the schedule.
    pub fn schedule_text(&self) -> String {
        String::from_utf8_lossy(self.table.schedule_text(self.index)).into_owned()
    }

    /// The jobs that an `@after` entry waits for.
    pub fn after(&self) -> &'a [Arc<str>] {
        self.table.after(self.index)
    }

    /// The user that it runs as, also in a standalone daemon.
    pub fn user_or_caller(&self) -> &'a str {
        let user = self.user();
        if user.is_empty() { &self.scheduler.entries.caller } else { user }
    }

    /// How many of its slots wait for a turn to be started.
    pub fn queued(&self) -> usize {
        self.scheduler
            .entries
            .tables
            .find(&self.table.source().path)
            .map_or(0, |number| self.scheduler.starts.queue.slots_of((number, self.index)))
    }

    /// Whether it counts from the end of its last run (`@N`).
    pub fn is_interval(&self) -> bool {
        matches!(self.shared.kind, Kind::Interval { .. })
    }

    /// The starts of the entry after a moment by its schedule, in order. An `@N` entry has only the next, an `@reboot` entry none.
    pub fn starts_after(&self, from: Timestamp) -> impl Iterator<Item = Timestamp> + use<'a> {
        let (timing, shared) = (&self.scheduler.entries.timing, self.shared);
        let delay = i64::from(shared.delay());
        let next = move |after: Timestamp| timing.next_due(shared, after);
        let interval = self.next_start().filter(|at| self.is_interval() && *at > from);
        let slots = std::iter::successors(next(Timestamp(from.0.saturating_sub(delay))), move |due| next(*due));
        interval.into_iter().chain(slots.map(move |due| Timestamp(due.0 + delay)))
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
    pub fn command(&self) -> &'a [u8] {
        self.table.command(self.index)
    }

    /// The schedule by which it is due.
    pub fn schedule(&self) -> &'a Schedule {
        self.shared.schedule()
    }

    /// The zone its schedule is read in.
    pub fn zone(&self) -> Option<&'a Arc<Zone>> {
        self.scheduler.entries.timing.zones.get(self.shared.zone).map(|local| &local.zone)
    }

    /// Seconds from its due moments to its starts.
    pub fn delay(&self) -> u32 {
        self.shared.delay()
    }

    /// When it is to be started next.
    pub fn next_start(&self) -> Option<Timestamp> {
        let waiting = self.table.entry_state.iter().flat_map(|entry_state| &entry_state.waiting);
        let waiting = waiting.filter(|waiting| waiting.entry == self.index).map(|waiting| waiting.at).min();
        let timer = self.table.timer(self.index)?;
        let due =
            self.scheduler.entries.timing.wheel.due(timer).map(|due| Timestamp(due.0 + i64::from(self.shared.delay())));
        [waiting, due].into_iter().flatten().min()
    }
}
