//! The plan itself: what it holds, and how an event is handled.

use super::event::{Action, Event, Now, RunId, Skip};
use super::live::Live;
use super::rule;
use super::tables::Tables;
use super::timers::{Shared, Timers};
use super::wheel::{Timer, Wheel};
use super::zones::Zones;
use crate::schedule::{Kind, Timestamp, Zone};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// All live tables, their timers, and the runs that are going on.
#[derive(Debug)]
pub struct Plan {
    pub(super) zones: Zones,
    pub(super) timers: Timers,
    pub(super) tables: Tables,
    pub(super) wheel: Wheel,
    /// The tables that have a waiting start, by its second.
    pub(super) alarms: BTreeSet<(Timestamp, u32)>,
    /// Runs going on; those of entries that must know when they end, with table and entry.
    pub(super) runs: BTreeMap<RunId, Option<(u32, u32)>>,
    /// The clock at the last event.
    pub(super) last: Now,
    /// Every due moment up to here has been handled. Ahead of the clock for a while after it was set back by seconds.
    pub(super) upto: Timestamp,
    pub(super) phase: Phase,
    pub(super) next_run: u64,
    pub(super) next_order: u32,
    pub(super) dues: Vec<Due>,
    pub(super) expired: Vec<(Timestamp, Timer)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Tables are loaded, nothing is due yet.
    Loading,
    Running,
    Stopped,
}

/// Counts for the log (USR1), for STATUS and for questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Live tables.
    pub tables: usize,
    /// Live entries.
    pub entries: usize,
    /// Distinct timers.
    pub timers: usize,
    /// The next due moment.
    pub next_due: Option<Timestamp>,
}

/// An entry that is due now. The order of the fields is the order of the starts: tables in order of loading, within a
/// table the last line first, as both incumbents have it (cron.c `find_jobs` walks a list that was built by prepending).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) at: Timestamp,
    /// Minutes before the minute in progress, negative; wildcards come before what is made up for.
    pub(super) rank: i64,
    pub(super) order: u32,
    pub(super) line: Reverse<u32>,
    pub(super) table: u32,
    pub(super) entry: u32,
    pub(super) scheduled_at: Timestamp,
}

impl Plan {
    /// An empty plan whose system zone is `zone`.
    pub fn new(zone: Arc<Zone>, now: Now) -> Plan {
        Plan {
            zones: Zones::new(zone),
            timers: Timers::default(),
            tables: Tables::default(),
            wheel: Wheel::new(now.utc),
            alarms: BTreeSet::new(),
            runs: BTreeMap::new(),
            last: now,
            upto: now.utc,
            phase: Phase::Loading,
            // A later daemon must not reuse the ids of runs that outlive this one: a million starts a second would do it.
            next_run: (now.utc.0.max(0) as u64) << 20,
            next_order: 0,
            dues: Vec::new(),
            expired: Vec::new(),
        }
    }

    /// Takes an event and returns what is to be done about it, in order. Whatever is due up to `now` is started
    /// first, so that no event can lose a due moment.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        match self.phase {
            Phase::Running => self.follow_clock(now, &mut actions),
            Phase::Loading | Phase::Stopped => self.upto = now.utc,
        }
        self.last = now;
        // From the begin on there is a record, so that a daemon that is killed before its first start is made up for too.
        let begins = matches!(event, Event::Begin { .. });
        match event {
            Event::Begin { boot, completed } => self.begin(boot, completed, now.utc, &mut actions),
            Event::Tick => {}
            Event::Load { source, table } => self.load(source, table, now.utc),
            Event::Unload { path } => self.unload(&path),
            Event::SystemZone(zone) => self.change_system_zone(zone, now.utc, &mut actions),
            Event::Ended { run, end } => self.ended(run, end, now.utc),
            Event::Stop => self.phase = Phase::Stopped,
        }
        if begins || actions.iter().any(|action| matches!(action, Action::Start(_))) {
            actions.push(Action::Completed(self.upto));
        }
        actions
    }

    /// When the next [`Event::Tick`] is wanted; none while nothing is due ever.
    pub fn wake_at(&self) -> Option<Timestamp> {
        if self.phase != Phase::Running {
            return None;
        }
        let alarm = self.alarms.first().map(|(at, _)| *at);
        [self.wheel.next_due(), alarm].into_iter().flatten().min()
    }

    /// How many runs go on.
    pub fn running(&self) -> usize {
        self.runs.len()
    }

    /// Counts.
    pub fn summary(&self) -> Summary {
        Summary {
            tables: self.tables.len(),
            entries: self.tables.entries(),
            timers: self.timers.len(),
            next_due: self.wake_at(),
        }
    }

    /// All live entries, table by table.
    pub fn entries(&self) -> impl Iterator<Item = Live<'_>> {
        self.tables.iter().flat_map(move |(_, table)| {
            (0..).zip(table.entries()).filter_map(move |(index, entry)| {
                Some(Live { plan: self, table, index, shared: self.timers.get(entry.timer())? })
            })
        })
    }
}

/// Starting.
impl Plan {
    /// Starts what was collected, in order.
    pub(super) fn fire(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let mut dues = std::mem::take(&mut self.dues);
        dues.sort_unstable();
        for due in dues.drain(..) {
            self.start(due.table, due.entry, due.scheduled_at, false, actions);
        }
        self.dues = dues;
        debug_assert!(self.alarms.first().is_none_or(|(at, _)| *at > now));
    }

    /// Starts one entry, or says why not.
    pub(super) fn start(&mut self, number: u32, entry: u32, at: Timestamp, at_reboot: bool, actions: &mut Vec<Action>) {
        let run = RunId(self.next_run);
        let Some(table) = self.tables.get_mut(number) else { return };
        let Some(start) = table.start(entry, run, at, at_reboot).map(Box::new) else { return };
        self.next_run += 1;
        let interval = table
            .entries()
            .get(entry as usize)
            .and_then(|live| self.timers.get(live.timer()))
            .is_some_and(|shared| matches!(shared.kind, Kind::Interval { .. }));
        if start.flags.single && table.carried.as_ref().is_some_and(|carried| carried.is_running(entry)) {
            return actions.push(Action::Skipped { start, why: Skip::StillRunning });
        }
        let must_know = start.flags.single || interval;
        if must_know {
            table.carried.get_or_insert_default().running.insert((entry, run));
        }
        self.runs.insert(run, must_know.then_some((number, entry)));
        actions.push(Action::Start(start));
    }
}

/// The first due moment of a timer after `after`; none for what has no calendar.
pub(super) fn next_due(zones: &Zones, shared: &Shared, after: Timestamp) -> Option<Timestamp> {
    if shared.kind != Kind::Calendar || shared.schedule.never_matches() {
        return None;
    }
    let local = zones.get(shared.zone)?;
    rule::next_due(&shared.schedule, shared.style, &local.zone, local.set, after)
}
