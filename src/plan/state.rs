//! The plan itself.

use super::event::{Action, End, Event, Now, RunId, Skip, Source};
use super::rule::{self, Pace, SetClock};
use super::tables::{Carried, LiveTable, Tables, Waiting};
use super::timers::{Shared, Timers};
use super::wheel::{Timer, Wheel};
use super::zones::{SYSTEM, ZoneId, Zones};
use crate::schedule::{Kind, LocalMinute, Style, Timestamp, Zone};
use crate::table::Table;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// All live tables, their timers, and the runs that are going on.
#[derive(Debug)]
pub struct Plan {
    zones: Zones,
    timers: Timers,
    tables: Tables,
    wheel: Wheel,
    /// The tables that have a [`Waiting`] start, by its second.
    alarms: BTreeSet<(Timestamp, u32)>,
    /// Runs going on; those of entries that must know when they end, with table and entry.
    runs: HashMap<RunId, Option<(u32, u32)>>,
    /// The clock at the last event.
    last: Now,
    /// Every due moment up to here has been handled. Ahead of the clock for a while after it was set back by seconds.
    upto: Timestamp,
    phase: Phase,
    next_run: u64,
    next_order: u32,
    dues: Vec<Due>,
    expired: Vec<(Timestamp, Timer)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
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
    /// Runs going on.
    pub running: usize,
    /// The next due moment.
    pub next_due: Option<Timestamp>,
}

/// A live entry, for questions.
#[derive(Clone, Copy, Debug)]
pub struct Live<'a> {
    plan: &'a Plan,
    table: &'a LiveTable,
    index: u32,
    shared: &'a Shared,
}

/// An entry that is due now. The order of the fields is the order of the starts: tables in order of loading, within a
/// table the last line first, as both incumbents have it (cron.c `find_jobs` walks a list that was built by prepending).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Timestamp,
    /// Minutes before the minute in progress, negative; wildcards come before what is made up for.
    rank: i64,
    order: u32,
    line: Reverse<u32>,
    table: u32,
    entry: u32,
    scheduled_at: Timestamp,
}

/// The differences of wall clock and elapsed time below this are rounding and jitter, not a step. Milliseconds.
const STEP_MS: i64 = 2_000;
/// Less than a full minute back repeats nothing. Seconds.
const SHORT_BACK: i64 = 60;
/// Jumps from this many seconds on are told.
const WORTH_TELLING: i64 = 60;
/// After a restart, what was due within so many seconds is made up for.
const RESTART_REACH: i64 = 180;

impl Plan {
    /// An empty plan whose system zone is `zone`.
    pub fn new(zone: Arc<Zone>, now: Now) -> Plan {
        Plan {
            zones: Zones::new(zone),
            timers: Timers::default(),
            tables: Tables::default(),
            wheel: Wheel::new(now.utc),
            alarms: BTreeSet::new(),
            runs: HashMap::new(),
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
        match event {
            Event::Begin { boot, completed } => self.begin(boot, completed, now.utc, &mut actions),
            Event::Tick => {}
            Event::Load { source, table } => self.load(source, table, now.utc),
            Event::Unload { path } => self.unload(&path),
            Event::SystemZone(zone) => self.change_system_zone(zone, now.utc, &mut actions),
            Event::Ended { run, end } => self.ended(run, end, now.utc),
            Event::Stop => self.phase = Phase::Stopped,
        }
        if actions.iter().any(|action| matches!(action, Action::Start(_))) {
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

    /// Counts.
    pub fn summary(&self) -> Summary {
        Summary {
            tables: self.tables.len(),
            entries: self.tables.entries(),
            timers: self.timers.len(),
            running: self.runs.len(),
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

/// Following the clock.
impl Plan {
    /// Handles everything that the clock has brought since the last event.
    fn follow_clock(&mut self, now: Now, actions: &mut Vec<Action>) {
        let elapsed_ms = now.elapsed_ms - self.last.elapsed_ms;
        let step_ms = (now.utc.0 - self.last.utc.0) * 1_000 - elapsed_ms;
        if step_ms.abs() < STEP_MS && self.upto.0 - now.utc.0 < SHORT_BACK {
            self.advance(now.utc);
            return self.fire(now.utc, actions);
        }
        // What the clock showed before it was set is handled as it would have been without the step.
        let expected = Timestamp((self.last.utc.0 * 1_000 + elapsed_ms).div_euclid(1_000));
        let shown = Timestamp(expected.0 - 1);
        self.advance(shown);
        self.fire(shown, actions);
        self.hasten_waiting(step_ms.min(0).div_euclid(1_000));
        self.collect_waiting(now.utc);
        // Set back by less than a minute, it waits for the clock to come back to where it was: nothing is doubled.
        let behind = self.upto.max(expected).0 - now.utc.0;
        let made_up = if (1..SHORT_BACK).contains(&behind) { 0 } else { self.step(now.utc) };
        let seconds = step_ms / 1_000;
        if seconds.abs() >= WORTH_TELLING {
            actions.push(Action::Jumped { seconds, made_up });
        }
        self.fire(now.utc, actions);
    }

    /// Collects what was due up to `to` while the clock went on undisturbed, if late.
    fn advance(&mut self, to: Timestamp) {
        if to > self.upto {
            let mut expired = std::mem::take(&mut self.expired);
            self.wheel.expire(to, &mut expired);
            if let Some((first, _)) = expired.first() {
                let minutes = to.0.div_euclid(60) - first.0.div_euclid(60) + 1;
                for &(due, timer) in &expired {
                    self.replay(timer, due, to, minutes);
                }
            }
            expired.clear();
            self.expired = expired;
            self.upto = to;
        }
        self.collect_waiting(to);
    }

    /// Collects the due moments of a timer from `first` up to `to`, as far as the rule makes up for them when the loop
    /// is `minutes` late (1: on time), and arms it for the one after.
    fn replay(&mut self, timer: Timer, first: Timestamp, to: Timestamp, minutes: i64) {
        let Some(shared) = self.timers.get(timer) else { return };
        let Some(local) = self.zones.get(shared.zone) else { return };
        let next = |after| rule::next_due(&shared.schedule, shared.style, &local.zone, local.set, after);
        let replay_all =
            minutes <= rule::FEW_MINUTES || (minutes <= rule::MOST_MINUTES && shared.style == Style::Fixed);
        let only_after = match shared.by_seconds {
            true => Timestamp(to.0 - 1),
            false => Timestamp(minute_start(&local.zone, to).0 - 1),
        };
        let mut due = if replay_all || first > only_after { Some(first) } else { next(only_after) };
        let mut moments = Vec::new();
        while let Some(at) = due.filter(|at| *at <= to) {
            match shared.by_seconds {
                true => moments.push((at, 0)),
                false => {
                    let ranks = rule::ranks_at(&shared.schedule, shared.style, &local.zone, local.set, at);
                    moments.extend(ranks.into_iter().map(|rank| (at, rank)));
                }
            }
            due = next(at);
        }
        for (at, rank) in moments {
            self.collect(timer, at, rank, at, to);
        }
        if let Some(due) = due {
            self.wheel.arm(timer, due);
        }
    }

    /// Follows a step of the clock from [`Plan::upto`] to `to`. Returns how many starts are made up for.
    fn step(&mut self, to: Timestamp) -> usize {
        let from = self.upto;
        let mut courses = HashMap::new();
        for (id, local) in self.zones.iter_mut() {
            let before = rule::virtual_clock(&local.zone, local.set, from);
            let now = local.zone.local_minute(to);
            let in_same_minute = (0..SHORT_BACK).contains(&(to.0 - from.0)) && local.zone.local_minute(from) == now;
            let pace = (!in_same_minute).then(|| Pace::between(before, now));
            local.set_after(pace, before, now, to);
            courses.insert(id, Course { pace, before, now, handled: None });
        }
        let made_up = self.apply_courses(&courses, to);
        self.upto = to;
        self.arm_all(to);
        made_up
    }

    /// Collects what the rule gives for every timer of the zones in `courses`.
    fn apply_courses(&mut self, courses: &HashMap<ZoneId, Course>, to: Timestamp) -> usize {
        let mut found = Vec::new();
        for (timer, shared) in self.timers.iter().filter(|(_, shared)| shared.kind == Kind::Calendar) {
            let (Some(course), Some(local)) = (courses.get(&shared.zone), self.zones.get(shared.zone)) else {
                continue;
            };
            if shared.by_seconds {
                // Only the second in progress can be due.
                if shared.schedule.next_after(Timestamp(to.0 - 1), &local.zone, None) == Some(to) {
                    found.push((timer, 0, to));
                }
                continue;
            }
            let Some(pace) = course.pace else { continue };
            let current = minute_start(&local.zone, to);
            let ran = shared.style == Style::Wildcard && course.handled.is_some_and(|at| shared.schedule.matches(at));
            if ran {
                continue;
            }
            for (minute, rank) in pace.minutes_due(&shared.schedule, shared.style, course.before, course.now) {
                found.push((timer, rank, Timestamp(current.0 + (minute.0 - course.now.0) * 60)));
            }
        }
        let already = self.dues.len();
        for (timer, rank, scheduled_at) in found {
            self.collect(timer, to, rank, scheduled_at, to);
        }
        let made_up = |due: &&Due| due.rank < 0 && due.rank != rule::FIRST;
        self.dues.iter().skip(already).filter(made_up).count()
    }

    /// Arms every timer for its first due moment after `after`.
    fn arm_all(&mut self, after: Timestamp) {
        self.wheel.clear(after);
        for (timer, shared) in self.timers.iter() {
            if let Some(due) = next_due(&self.zones, shared, after) {
                self.wheel.arm(timer, due);
            }
        }
    }

    /// Collects the entries of a timer that was due at `base`: for now, or for when their delay has passed.
    fn collect(&mut self, timer: Timer, base: Timestamp, rank: i64, scheduled_at: Timestamp, now: Timestamp) {
        let Some(shared) = self.timers.get(timer) else { return };
        let delay = i64::from(shared.delay);
        let at = Timestamp(base.0 + delay);
        for &number in shared.tables() {
            let Some(table) = self.tables.get_mut(number) else { continue };
            let due = table.on_timer(timer);
            if at > now {
                self.alarms.insert((at, number));
                let carried = table.carried.get_or_insert_default();
                carried.waiting.extend(due.map(|entry| Waiting { at, entry }));
                continue;
            }
            let (order, entries) = (table.order, table.entries());
            self.dues.extend(due.filter_map(|entry| {
                let line = Reverse(entries.get(entry as usize)?.line);
                let scheduled_at = Timestamp(scheduled_at.0 + delay);
                Some(Due { at, rank, order, line, table: number, entry, scheduled_at })
            }));
        }
    }

    /// Starts what was collected, in order.
    fn fire(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let mut dues = std::mem::take(&mut self.dues);
        dues.sort_unstable();
        for due in dues.drain(..) {
            self.start(due.table, due.entry, due.scheduled_at, false, actions);
        }
        self.dues = dues;
        debug_assert!(self.alarms.first().is_none_or(|(at, _)| *at > now));
    }

    /// Starts one entry, or says why not.
    fn start(&mut self, number: u32, entry: u32, at: Timestamp, at_reboot: bool, actions: &mut Vec<Action>) {
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

/// Starts that wait for a delay or an interval.
impl Plan {
    /// Collects the waiting starts whose time has come.
    fn collect_waiting(&mut self, now: Timestamp) {
        while let Some(&(at, number)) = self.alarms.first().filter(|(at, _)| *at <= now) {
            self.alarms.pop_first();
            let Some(table) = self.tables.get_mut(number) else { continue };
            let order = table.order;
            while let Some(waiting) = table.carried.as_mut().and_then(|carried| carried.take_waiting(at)) {
                let line = Reverse(table.entries().get(waiting.entry as usize).map_or(0, |entry| entry.line));
                let (entry, scheduled_at) = (waiting.entry, waiting.at);
                self.dues.push(Due { at: waiting.at, rank: 0, order, line, table: number, entry, scheduled_at });
            }
            table.drop_empty_carried();
        }
    }

    /// After a step back by `back` seconds (negative), starts wait no longer than they would have without it.
    fn hasten_waiting(&mut self, back: i64) {
        if back == 0 {
            return;
        }
        let numbers: BTreeSet<u32> = self.alarms.iter().map(|(_, number)| *number).collect();
        self.alarms = self.alarms.iter().map(|(at, number)| (Timestamp(at.0 + back), *number)).collect();
        for number in numbers {
            if let Some(carried) = self.tables.get_mut(number).and_then(|table| table.carried.as_mut()) {
                let earlier = |waiting: &Waiting| Waiting { at: Timestamp(waiting.at.0 + back), ..*waiting };
                carried.waiting = carried.waiting.iter().map(earlier).collect();
            }
        }
    }

    /// Lets an entry wait for its start.
    fn wait(&mut self, number: u32, waiting: Waiting) {
        if let Some(table) = self.tables.get_mut(number) {
            table.carried.get_or_insert_default().waiting.insert(waiting);
            self.alarms.insert((waiting.at, number));
        }
    }

    /// A run ended: an interval counts from here.
    fn ended(&mut self, run: RunId, end: End, now: Timestamp) {
        // However it ended, it goes on no longer.
        let (End::Code(_) | End::Signal { .. } | End::NotStarted { .. } | End::Skipped(_) | End::Lost) = end;
        let Some(Some((number, entry))) = self.runs.remove(&run) else { return };
        let Some(table) = self.tables.get_mut(number) else { return };
        if let Some(carried) = table.carried.as_mut() {
            carried.running.remove(&(entry, run));
        }
        table.drop_empty_carried();
        if let Some(seconds) = self.interval(number, entry)
            && self.phase == Phase::Running
        {
            self.wait(number, Waiting { at: Timestamp(now.0 + seconds), entry });
        }
    }

    /// The seconds of an `@N` entry.
    fn interval(&self, number: u32, entry: u32) -> Option<i64> {
        let live = self.tables.get(number)?.entries().get(entry as usize)?;
        match self.timers.get(live.timer())?.kind {
            Kind::Interval { seconds } => Some(i64::from(seconds)),
            Kind::Calendar | Kind::Reboot => None,
        }
    }
}

/// Tables that come and go, and the begin.
impl Plan {
    fn begin(&mut self, boot: bool, completed: Option<Timestamp>, now: Timestamp, actions: &mut Vec<Action>) {
        if self.phase != Phase::Loading {
            return;
        }
        self.phase = Phase::Running;
        if boot {
            self.start_at_reboot(now, actions);
        }
        match completed {
            Some(completed) if completed > now => self.begin_before(completed, now),
            Some(completed) => self.begin_after(Timestamp(completed.0.max(now.0 - RESTART_REACH)), now),
            None => self.arm_all(now),
        }
        let numbers: Vec<u32> = self.tables.iter().map(|(number, _)| number).collect();
        for number in numbers {
            self.start_intervals(number, now);
        }
        self.fire(now, actions);
    }

    fn start_at_reboot(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let mut found: Vec<(u32, Reverse<u32>, u32, u32)> = Vec::new();
        for (timer, shared) in self.timers.iter().filter(|(_, shared)| shared.kind == Kind::Reboot) {
            for &number in shared.tables() {
                let Some(table) = self.tables.get(number) else { continue };
                let entries = (0..).zip(table.entries()).filter(|(_, entry)| entry.timer() == timer);
                found.extend(entries.map(|(index, entry)| (table.order, Reverse(entry.line), number, index)));
            }
        }
        found.sort_unstable();
        for (_, _, number, entry) in found {
            self.start(number, entry, now, true, actions);
        }
    }

    /// Begins after an earlier daemon that handed out everything up to `completed`, and makes up for what came since.
    fn begin_after(&mut self, completed: Timestamp, now: Timestamp) {
        self.wheel.clear(now);
        let timers: Vec<Timer> = self.timers.iter().map(|(timer, _)| timer).collect();
        for timer in timers {
            let Some(shared) = self.timers.get(timer) else { continue };
            // Its starts are due by their delay later than its moments.
            let earliest = Timestamp(completed.0 - i64::from(shared.delay));
            match next_due(&self.zones, shared, earliest) {
                Some(due) if due <= now => self.replay(timer, due, now, 1),
                Some(due) => self.wheel.arm(timer, due),
                None => {}
            }
        }
    }

    /// Begins after an earlier daemon whose clock was ahead of ours: nothing is repeated.
    fn begin_before(&mut self, completed: Timestamp, now: Timestamp) {
        if completed.0 - now.0 < SHORT_BACK {
            self.upto = completed;
            return self.arm_all(completed);
        }
        for (_, local) in self.zones.iter_mut() {
            let before = rule::virtual_clock(&local.zone, None, completed);
            let shown = local.zone.local_minute(now);
            local.set_after(Some(Pace::between(before, shown)), before, shown, now);
        }
        self.arm_all(now);
    }

    /// Takes a table over. Timers that are armed already stay as they are: an entry that is new is due at the
    /// same moments as one that was there before, since everything up to now has been handled.
    fn load(&mut self, source: Source, table: Table, now: Timestamp) {
        let packed = LiveTable::pack(&source, &table, &mut self.timers, &mut self.zones);
        drop(table);
        let mut unused = Vec::new();
        let old_number = self.tables.find(&source.path);
        let old = old_number.and_then(|number| self.take_table(number, &mut unused).map(|table| (number, table)));
        let mut fresh = packed.table;
        fresh.order = match &old {
            Some((_, old)) => old.order,
            None => {
                self.next_order += 1;
                self.next_order - 1
            }
        };
        let number = self.tables.add(fresh, &mut self.timers);
        if let Some((_, old)) = old {
            self.carry_over(&old, number);
        }
        self.free_unused(unused);
        if self.phase != Phase::Running {
            return;
        }
        for timer in packed.new_timers {
            if let Some(due) = self.timers.get(timer).and_then(|shared| next_due(&self.zones, shared, self.upto)) {
                self.wheel.arm(timer, due);
            }
        }
        self.start_intervals(number, now);
    }

    fn unload(&mut self, path: &str) {
        let Some(number) = self.tables.find(path) else { return };
        let mut unused = Vec::new();
        if let Some(carried) = self.take_table(number, &mut unused).and_then(|table| table.carried) {
            for (_, run) in carried.running {
                self.runs.insert(run, None);
            }
        }
        self.free_unused(unused);
    }

    fn take_table(&mut self, number: u32, unused: &mut Vec<Timer>) -> Option<LiveTable> {
        let table = self.tables.take(number, &mut self.timers, unused)?;
        for waiting in table.carried.iter().flat_map(|carried| &carried.waiting) {
            self.alarms.remove(&(waiting.at, number));
        }
        Some(table)
    }

    fn free_unused(&mut self, unused: Vec<Timer>) {
        for timer in unused {
            if self.timers.free_if_unused(timer, &mut self.zones) {
                self.wheel.cancel(timer);
            }
        }
    }

    /// Hands the running state of entries that are unchanged over to the table that replaced theirs.
    fn carry_over(&mut self, old: &LiveTable, number: u32) {
        let Some(carried) = &old.carried else { return };
        let Some(table) = self.tables.get_mut(number) else { return };
        let successors = table.successors_of(old, &carried.entries());
        for waiting in &carried.waiting {
            if let Some(&entry) = successors.get(&waiting.entry) {
                table.carried.get_or_insert_default().waiting.insert(Waiting { entry, ..*waiting });
                self.alarms.insert((waiting.at, number));
            }
        }
        for &(entry, run) in &carried.running {
            let successor = successors.get(&entry).copied();
            self.runs.insert(run, successor.map(|entry| (number, entry)));
            if let Some(entry) = successor {
                table.carried.get_or_insert_default().running.insert((entry, run));
            }
        }
    }

    /// Lets the `@N` entries of a table wait that neither wait nor run.
    fn start_intervals(&mut self, number: u32, now: Timestamp) {
        let Some(table) = self.tables.get(number) else { return };
        let idle = |entry: &u32| table.carried.as_ref().is_none_or(|carried| !carried.entries().contains(entry));
        let intervals: Vec<Waiting> = (0..table.entries().len() as u32)
            .filter_map(|entry| Some((entry, self.interval(number, entry)?)))
            .filter(|(entry, _)| idle(entry))
            .map(|(entry, seconds)| Waiting { at: Timestamp(now.0 + seconds), entry })
            .collect();
        for waiting in intervals {
            self.wait(number, waiting);
        }
    }

    /// The clocks of entries without a zone of their own show something else from now on. Unlike after a step, the
    /// minute in progress has been handled already, under the old zone's name for it.
    fn change_system_zone(&mut self, zone: Arc<Zone>, now: Timestamp, actions: &mut Vec<Action>) {
        let upto = self.upto;
        let Some(local) = self.zones.get_mut(SYSTEM) else { return };
        let before = rule::virtual_clock(&local.zone, local.set, upto);
        let handled = local.zone.local_minute(upto);
        let shown = zone.local_minute(upto);
        local.zone = zone;
        if self.phase != Phase::Running {
            local.set = None;
            return;
        }
        let pace = (handled != shown).then(|| Pace::between(before, shown));
        local.set_after(pace, before, shown, upto);
        let course = Course { pace, before, now: shown, handled: Some(handled) };
        self.apply_courses(&HashMap::from([(SYSTEM, course)]), upto);
        let _ = now;
        self.arm_all(upto);
        self.fire(now, actions);
    }
}

/// How one zone went through a step: no pace if it stayed in its minute.
#[derive(Clone, Copy, Debug)]
struct Course {
    pace: Option<Pace>,
    before: LocalMinute,
    now: LocalMinute,
    /// What the minute in progress was called when it was handled already.
    handled: Option<LocalMinute>,
}

impl super::zones::Local {
    /// Sets the virtual clock as the rule has it after a step to the moment `since`.
    fn set_after(&mut self, pace: Option<Pace>, before: LocalMinute, now: LocalMinute, since: Timestamp) {
        let shows = match pace {
            Some(Pace::Few | Pace::Hours | Pace::Jump) => now,
            Some(Pace::Back) | None => before,
        };
        self.set = Some(SetClock { shows, since });
    }
}

impl Carried {
    /// The entries that have any state.
    fn entries(&self) -> BTreeSet<u32> {
        let waiting = self.waiting.iter().map(|waiting| waiting.entry);
        waiting.chain(self.running.iter().map(|(entry, _)| *entry)).collect()
    }

    fn is_running(&self, entry: u32) -> bool {
        self.running.range((entry, RunId(0))..=(entry, RunId(u64::MAX))).next().is_some()
    }

    /// Takes out a start whose time has come.
    fn take_waiting(&mut self, now: Timestamp) -> Option<Waiting> {
        self.waiting.first().is_some_and(|waiting| waiting.at <= now).then(|| self.waiting.pop_first())?
    }
}

impl LiveTable {
    fn drop_empty_carried(&mut self) {
        self.carried.take_if(|carried| carried.waiting.is_empty() && carried.running.is_empty());
    }
}

impl<'a> Live<'a> {
    /// Where its table came from.
    pub fn source(&self) -> Source {
        self.table.source()
    }

    /// Line in the table, counted from 1.
    pub fn line(&self) -> u32 {
        self.table.entries().get(self.index as usize).map_or(0, |entry| entry.line)
    }

    /// Whom it runs as; empty for the caller.
    pub fn user(&self) -> String {
        self.table.entries().get(self.index as usize).map(|entry| self.table.user(entry)).unwrap_or_default()
    }

    /// The raw command.
    pub fn command(&self) -> &'a [u8] {
        self.table.command(self.index)
    }

    /// Its schedule.
    pub fn schedule(&self) -> &'a crate::schedule::Schedule {
        &self.shared.schedule
    }

    /// The zone its schedule is read in.
    pub fn zone(&self) -> Option<&'a Arc<Zone>> {
        self.plan.zones.get(self.shared.zone).map(|local| &local.zone)
    }

    /// Seconds that its starts come after its due moments.
    pub fn delay(&self) -> u32 {
        self.shared.delay
    }

    /// When it is to be started next.
    pub fn next_start(&self) -> Option<Timestamp> {
        let waiting = self.table.carried.iter().flat_map(|carried| &carried.waiting);
        let waiting = waiting.filter(|waiting| waiting.entry == self.index).map(|waiting| waiting.at).min();
        let timer = self.table.entries().get(self.index as usize)?.timer();
        let due = self.plan.wheel.due(timer).map(|due| Timestamp(due.0 + i64::from(self.shared.delay)));
        [waiting, due].into_iter().flatten().min()
    }
}

/// The first due moment of a timer after `after`; none for what has no calendar.
fn next_due(zones: &Zones, shared: &Shared, after: Timestamp) -> Option<Timestamp> {
    if shared.kind != Kind::Calendar || shared.schedule.never_matches() {
        return None;
    }
    let local = zones.get(shared.zone)?;
    rule::next_due(&shared.schedule, shared.style, &local.zone, local.set, after)
}

/// The second at which the zone's minute in progress began.
fn minute_start(zone: &Zone, at: Timestamp) -> Timestamp {
    Timestamp(at.0 - (at.0 + i64::from(zone.offset_at(at))).rem_euclid(60))
}
