//! The plan itself: what it holds, and how an event is handled.

use super::anacron::Anacron;
use super::event::{Action, Event, Now, Preparation, RunId, RunRequest, SkipReason};
use super::job_id::JobId;
use super::live_table::LiveCrontab;
use super::rule;
use super::start_queue::{Dropped, HandoverLimits, NextStart, QueueOwner, QueuedSlot, SkippedRow, StartQueue};
use super::tables::Tables;
use super::timers::{Shared, Timers};
use super::wheel::{Timer, Wheel};
use super::zones::Zones;
use crate::schedule::{Kind, Timestamp, Zone};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// How many starts one event's answer has at the most, and about how many bytes are read and copied for them.
const STARTS_AT_ONCE: usize = 256;
const BYTES_AT_ONCE: usize = 1 << 20;

/// Run ids that are reserved at a time. What a daemon that is killed has reserved and not used is never used.
const RUNS_RESERVED: u64 = 100_000;

/// What may be with the executor and not begun. The limits of an owner keep what is on its way to the executor short, so that another owner's
/// start is never behind many; those for all bound the memory that it takes in both processes.
const HANDOVER_LIMITS: HandoverLimits =
    HandoverLimits { starts_per_owner: 32, bytes_per_owner: 1 << 20, starts: 2048, bytes: 32 << 20 };

/// All live tables, their timers, and the runs that are going on.
#[derive(Debug)]
pub struct Scheduler {
    pub(super) zones: Zones,
    pub(super) timers: Timers,
    pub(super) tables: Tables,
    pub(super) wheel: Wheel,
    /// The tables that have a waiting start, by its second.
    pub(super) alarms: BTreeSet<(Timestamp, u32)>,
    /// Runs that wait for their start or go on; those of entries that must know when they end, with table and entry.
    pub(super) runs: BTreeMap<RunId, Option<(u32, u32)>>,
    /// The clock at the last event.
    pub(super) last: Now,
    /// Every due moment up to here has been handled. Ahead of the clock for a while after it was set back by seconds.
    pub(super) upto: Timestamp,
    pub(super) phase: Phase,
    /// Starts that are due and not made yet.
    pub(super) queue: StartQueue,
    /// What an earlier daemon has started of that which is due at the begin, with how often.
    already_started: HashMap<(JobId, Timestamp), u32>,
    /// The jobs of the anacrontab.
    pub(super) anacron: Anacron,
    /// As whom a standalone daemon runs its jobs.
    pub(super) caller: String,
    pub(super) next_run: u64,
    /// Ids up to here, exclusive, are reserved. None: nothing outlives this plan, so they need not be.
    reserved: Option<u64>,
    /// The moment of the last [`Action::Completed`].
    recorded: Option<Timestamp>,
    /// Whether that was before [`Scheduler::upto`].
    held_back: bool,
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
/// table the last line first, as both reference implementations have it (cron.c `find_jobs` walks a list that was built by prepending).
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

impl Scheduler {
    /// An empty plan whose system zone is `zone`.
    pub fn new(zone: Arc<Zone>, now: Now) -> Scheduler {
        Scheduler {
            zones: Zones::new(zone),
            timers: Timers::default(),
            tables: Tables::default(),
            wheel: Wheel::new(now.utc),
            alarms: BTreeSet::new(),
            runs: BTreeMap::new(),
            last: now,
            upto: now.utc,
            phase: Phase::Loading,
            queue: StartQueue::default(),
            already_started: HashMap::new(),
            anacron: Anacron::default(),
            caller: String::new(),
            next_run: now.utc.0.max(0).unsigned_abs() * 1000,
            reserved: None,
            recorded: None,
            held_back: false,
            next_order: 0,
            dues: Vec::new(),
            expired: Vec::new(),
        }
    }

    /// Takes an event and returns what is to be done about it, in order. Whatever is due up to `now` is started
    /// first, so that no event can lose a due moment.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        // Before anything is started, as that may count as a run and change the stamps.
        match &event {
            Event::LoadAnacrontab { source, table, stamps, .. } => self.anacron.load(source, table, stamps),
            Event::AnacronJobPrepared(Preparation::Ready { stamp }) => self.anacron.take_stamp(*stamp),
            _ => {}
        }
        match self.phase {
            Phase::Running => {
                self.follow_clock(now, &mut actions);
                self.hand_over(now.utc, &mut actions);
            }
            Phase::Loading | Phase::Stopped => self.upto = now.utc,
        }
        self.last = now;
        // From the begin on there is a record, so that a daemon that is killed before its first start is made up for too.
        let must_record = matches!(event, Event::Begin { .. } | Event::Stop { .. });
        match event {
            Event::Begin { boot, completed, started, running } => {
                self.anacron.begin(running.iter().map(|(run, _)| run));
                self.adopt(running);
                for start in started {
                    *self.already_started.entry(start).or_default() += 1;
                }
                self.begin(boot, completed, now.utc, &mut actions);
                self.already_started.clear();
            }
            Event::Tick => {}
            Event::Load { source, table } => self.load(source, table, now.utc, &mut actions),
            Event::Unload { path } => self.unload(&path, &mut actions),
            Event::SystemZone(zone) => self.change_system_zone(zone, now.utc, &mut actions),
            Event::LoadAnacrontab { is_on_battery, .. } => self.check_anacron(is_on_battery, now.utc, &mut actions),
            Event::AnacrontabChanged => self.anacron.note_change(),
            Event::AnacronJobPrepared(preparation) => self.start_prepared(preparation, now.utc, &mut actions),
            Event::EarlierRuns(runs) => self.anacron.add_earlier_runs(&runs, &self.zones.system()),
            Event::RunEnded(result) => {
                self.anacron.ended(result.run, &result.outcome, &mut actions);
                self.ended(result.run, result.outcome, now.utc);
            }
            Event::Begun(runs) => runs.into_iter().for_each(|run| self.queue.begun(run)),
            Event::Stop { is_recorded } => self.stop(is_recorded, &mut actions),
        }
        if self.phase == Phase::Running {
            self.hand_over(now.utc, &mut actions);
        }
        self.ask_for_anacron(now.utc, &mut actions);
        // Reserved before any is used; a part is left for the starts of the next event's answer.
        if self.reserved.is_some_and(|reserved| self.next_run.saturating_add(RUNS_RESERVED / 2) > reserved) {
            let reserved = self.next_run.saturating_add(RUNS_RESERVED);
            self.reserved = Some(reserved);
            actions.insert(0, Action::ReserveRuns(RunId(reserved)));
        }
        // Everything due before the first start that has not begun has an outcome.
        let completed = self.completed();
        let has_started = actions.iter().any(|action| matches!(action, Action::Start(_)));
        let was_held_back = self.held_back && self.recorded.is_some_and(|last| last < completed);
        if must_record || has_started || was_held_back {
            self.held_back = completed < self.upto;
            self.recorded = Some(completed);
            actions.push(Action::Completed(completed));
        }
        actions
    }

    /// When the next [`Event::Tick`] is wanted; none while nothing is due ever.
    pub fn wake_at(&self) -> Option<Timestamp> {
        if self.phase != Phase::Running {
            return None;
        }
        [self.next_due(), self.anacron.wake_at()].into_iter().flatten().min()
    }

    /// When the next entry of a crontab is due.
    fn next_due(&self) -> Option<Timestamp> {
        let alarm = self.alarms.first().map(|(at, _)| *at).filter(|_| self.phase == Phase::Running);
        let timer = self.wheel.next_due().filter(|_| self.phase == Phase::Running);
        [timer, alarm].into_iter().flatten().min()
    }

    /// Everything that was due up to here has been begun by the executor, or has another outcome.
    pub fn completed(&self) -> Timestamp {
        match self.queue.first_unstarted() {
            Some(first) => self.upto.min(Timestamp(first.0 - 1)),
            None => self.upto,
        }
    }

    /// How many runs have been handed over and have not ended.
    pub fn running(&self) -> usize {
        self.runs.len().saturating_sub(self.queue.waiting())
    }

    /// How many due starts wait for their turn.
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// Whether more starts can be handed over at once than one event's answer may have: another [`Event::Tick`] gives them.
    pub fn has_more(&self) -> bool {
        self.phase == Phase::Running && self.queue.has_next()
    }

    /// Keeps starts that the executor has no room for, and takes turns between their owners.
    pub fn limit_handover(&mut self) {
        self.queue.set_limits(HANDOVER_LIMITS);
    }

    /// Says as whom a standalone daemon runs its jobs.
    pub fn set_caller(&mut self, name: &str) {
        name.clone_into(&mut self.caller);
    }

    /// Counts runs from `first`, and asks for a reservation ([`Action::ReserveRuns`]) before ids are used.
    pub fn reserve_runs_from(&mut self, first: RunId) {
        self.next_run = first.0;
        self.reserved = Some(first.0);
    }

    /// The id that the next run will have.
    pub fn next_run(&self) -> RunId {
        RunId(self.next_run)
    }

    /// Counts.
    pub fn summary(&self) -> Summary {
        Summary {
            tables: self.tables.len(),
            entries: self.tables.entries(),
            timers: self.timers.len(),
            next_due: self.next_due(),
        }
    }
}

/// Starting.
impl Scheduler {
    /// Starts what was collected, in order.
    pub(super) fn fire(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let mut dues = std::mem::take(&mut self.dues);
        dues.sort_unstable();
        for due in dues.drain(..) {
            self.start(&due, false, actions);
        }
        self.dues = dues;
        debug_assert!(self.alarms.first().is_none_or(|(at, _)| *at > now));
    }

    /// Queues the start of one entry, or says why not. Arguments: table, entry, when it became due, when it was scheduled.
    pub(super) fn start(&mut self, due: &Due, at_reboot: bool, actions: &mut Vec<Action>) {
        let (number, entry) = (due.table, due.entry);
        let run = RunId(self.next_run);
        let Some(table) = self.tables.get_mut(number) else { return };
        let Some(shared) = table.timer(entry).and_then(|timer| self.timers.get(timer)) else { return };
        let (by_seconds, is_interval) = (shared.by_seconds, matches!(shared.kind, Kind::Interval { .. }));
        if !self.already_started.is_empty()
            && let Some(job) = table.job_id(entry, &self.caller)
            && let Some(count) = self.already_started.get_mut(&(job, due.scheduled_at))
            && *count > 0
        {
            *count -= 1;
            return;
        }
        self.next_run += 1;
        let is_single = table.flags(entry).single;
        if is_single && table.carried.as_ref().is_some_and(|carried| carried.is_running(entry)) {
            if let Some(start) = table.start(entry, run, &self.caller, due.scheduled_at, at_reboot).map(Box::new) {
                let (first, count) = (due.scheduled_at, 1);
                actions.push(Action::Skipped { start, why: SkipReason::StillRunning, count, first });
            }
            return;
        }
        let must_know = is_single || is_interval;
        if must_know {
            table.carried.get_or_insert_default().running.insert((entry, run));
        }
        let owner = if self.queue.is_limited() { table.queue_owner(entry) } else { QueueOwner::Caller };
        self.runs.insert(run, must_know.then_some((number, entry)));
        let slot = QueuedSlot { run, at: due.at, scheduled_at: due.scheduled_at, at_reboot };
        if let Some(superseded) = self.queue.push(owner, (number, entry), slot, by_seconds) {
            self.runs.remove(&superseded);
        }
    }

    /// Hands over what the executor has room for, with a turn for each owner. What one call puts together is bounded, so that the event loop is
    /// never kept long.
    fn hand_over(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let (mut starts, mut bytes) = (0, 0);
        while !self.queue.is_limited() || (starts < STARTS_AT_ONCE && bytes < BYTES_AT_ONCE) {
            let Some(next) = self.queue.pop() else { return };
            let NextStart { owner, entry: (number, entry), slot, superseded } = next;
            let start = self
                .tables
                .get(number)
                .and_then(|table| table.start(entry, slot.run, &self.caller, slot.scheduled_at, slot.at_reboot));
            let Some(start) = start.map(Box::new) else {
                self.runs.remove(&slot.run);
                self.queue.not_handed_over(owner, &slot);
                continue;
            };
            if let Some(row) = superseded {
                actions.push(skipped(&start, row, SkipReason::Superseded));
            }
            let size = start.command.len() + start.variables.bytes().len();
            self.queue.handed_over(owner, &slot, size);
            starts += 1;
            bytes += size + self.tables.get(number).map_or(0, |table| table.settings_size());
            self.count_for_anacron(&start, now, actions);
            actions.push(Action::Start(start));
        }
    }

    /// Takes over runs of an earlier daemon: those of entries that must know when they end are known to them.
    fn adopt(&mut self, running: Vec<(RunId, JobId)>) {
        if running.is_empty() {
            return;
        }
        let mut entries: HashMap<JobId, (u32, u32)> = HashMap::new();
        for (number, table) in self.tables.iter() {
            for entry in 0..table.entries().len() as u32 {
                if let Some(job) = table.job_id(entry, &self.caller) {
                    entries.insert(job, (number, entry));
                }
            }
        }
        for (run, job) in running {
            let entry = entries.get(&job).copied();
            if let Some((number, entry)) = entry
                && let Some(table) = self.tables.get_mut(number)
            {
                table.carried.get_or_insert_default().running.insert((entry, run));
            }
            self.runs.insert(run, entry);
        }
    }

    /// Nothing more is started.
    fn stop(&mut self, is_recorded: bool, actions: &mut Vec<Action>) {
        self.phase = Phase::Stopped;
        // The next daemon does not know of these.
        for ((number, entry), row) in self.queue.take_superseded() {
            let start =
                self.tables.get(number).and_then(|table| table.start(entry, row.run, &self.caller, row.last, false));
            actions.extend(start.map(|start| skipped(&start, row, SkipReason::Superseded)));
        }
        if !is_recorded {
            for dropped in self.queue.drop_entries(None) {
                let Some(table) = self.tables.get(dropped.entry.0) else { continue };
                report_dropped(table, &self.caller, &dropped, SkipReason::Stopped, actions);
                for run in &dropped.runs {
                    self.runs.remove(run);
                }
            }
        }
    }
}

/// Records what waited for an entry that is gone or will not be started.
pub(super) fn report_dropped(
    table: &LiveCrontab,
    caller: &str,
    dropped: &Dropped,
    why: SkipReason,
    actions: &mut Vec<Action>,
) {
    let Some(row) = dropped.row else { return };
    let run = dropped.runs.last().copied().unwrap_or(RunId(0));
    let Some(start) = table.start(dropped.entry.1, run, caller, row.last, false).map(Box::new) else { return };
    if let Some(superseded) = dropped.superseded {
        actions.push(skipped(&start, superseded, SkipReason::Superseded));
    }
    actions.push(skipped(&start, row, why));
}

fn skipped(start: &RunRequest, row: SkippedRow, why: SkipReason) -> Action {
    let start = Box::new(RunRequest { run: row.run, scheduled_at: row.last.0, ..start.clone() });
    Action::Skipped { start, why, count: row.count, first: row.first }
}

/// The first due moment of a timer after `after`; none for what has no calendar.
pub(super) fn next_due(zones: &Zones, shared: &Shared, after: Timestamp) -> Option<Timestamp> {
    if shared.kind != Kind::Calendar || shared.schedule().never_matches() {
        return None;
    }
    let local = zones.get(shared.zone)?;
    rule::next_due(shared.schedule(), shared.style, &local.zone, local.set, after)
}
