//! The plan under an invented clock: what a daemon would start while the clock is set, while it is down, and when it
//! comes back. `cronctl simulate` prints it and tests hold it against the rule.

use super::event::{Action, End, Event, Now, Source, Start};
use super::state::Plan;
use crate::schedule::{Timestamp, Zone};
use crate::table::Table;
use std::collections::VecDeque;
use std::sync::Arc;

/// What happens to the machine. All times are true ones, as a clock that nobody sets would show them.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The system's zone.
    pub zone: Arc<Zone>,
    /// The daemon starts here, at boot: `@reboot` entries run, and what is due in this very second counts as done.
    pub from: Timestamp,
    /// The last second looked at.
    pub until: Timestamp,
    /// From each of these seconds on, the clock shows so many seconds more (or less) than before.
    pub steps: Vec<(Timestamp, i64)>,
    /// The daemon is asked to stop at the first second of each and is started again at the second one, without a boot.
    pub down: Vec<(Timestamp, Timestamp)>,
}

/// One start in a simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// When it was in truth.
    pub at: Timestamp,
    /// What the machine's clock showed.
    pub shown: Timestamp,
    /// Seconds east of UTC of the system's zone at the moment that the clock showed.
    pub offset: i32,
    /// What was started.
    pub start: Start,
}

/// The starts of a scenario in order of time; jobs take no time at all.
#[derive(Debug)]
pub struct Simulation<F> {
    scenario: Scenario,
    tables: F,
    changes: VecDeque<(Timestamp, Change)>,
    plan: Option<Plan>,
    /// The true time.
    at: Timestamp,
    /// What the clock shows more than the true time.
    ahead: i64,
    /// What the last daemon left in its record when it was stopped.
    completed: Option<Timestamp>,
    found: VecDeque<Started>,
}

/// What happens in one second happens in this order: a stop is still told by the old clock, a start by the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Stop,
    Step(i64),
    Start,
}

/// Prepares a simulation. `tables` gives the tables that a daemon finds when it starts, in order.
pub fn simulate<F: Fn() -> Vec<(Source, Table)>>(scenario: Scenario, tables: F) -> Simulation<F> {
    let steps = scenario.steps.iter().map(|&(at, seconds)| (at, Change::Step(seconds)));
    let stops = scenario.down.iter().flat_map(|&(stop, start)| [(stop, Change::Stop), (start, Change::Start)]);
    let mut changes: Vec<_> =
        steps.chain(stops).filter(|(at, _)| (scenario.from..=scenario.until).contains(at)).collect();
    changes.sort();
    let down_at_first = scenario.down.iter().any(|&(stop, start)| stop <= scenario.from && scenario.from < start);
    let mut simulation = Simulation {
        at: scenario.from,
        scenario,
        tables,
        changes: changes.into(),
        plan: None,
        ahead: 0,
        completed: None,
        found: VecDeque::new(),
    };
    if !down_at_first {
        simulation.start_daemon(true);
    }
    simulation
}

impl<F: Fn() -> Vec<(Source, Table)>> Simulation<F> {
    fn now(&self) -> Now {
        Now { utc: Timestamp(self.at.0 + self.ahead), elapsed_ms: (self.at.0 - self.scenario.from.0) * 1_000 }
    }

    fn start_daemon(&mut self, boot: bool) {
        let mut plan = Plan::new(self.scenario.zone.clone(), self.now());
        for (source, table) in (self.tables)() {
            plan.handle(Event::Load { source, table }, self.now());
        }
        self.plan = Some(plan);
        self.tell(Event::Begin { boot, completed: self.completed });
    }

    /// Tells the plan an event, and that every job it starts has ended at once.
    fn tell(&mut self, event: Event) {
        let now = self.now();
        let Some(plan) = &mut self.plan else { return };
        for action in plan.handle(event, now) {
            if let Action::Start(start) = action {
                plan.handle(Event::Ended { run: start.run, end: End::Code(0) }, now);
                let offset = self.scenario.zone.offset_at(now.utc);
                self.found.push_back(Started { at: self.at, shown: now.utc, offset, start: *start });
            }
        }
    }

    /// Goes on to the next second in which something happens. False at the end.
    fn go_on(&mut self) -> bool {
        let wake = self.plan.as_ref().and_then(Plan::wake_at);
        let wake = wake.map(|shown| Timestamp((shown.0 - self.ahead).max(self.at.0 + 1)));
        let change = self.changes.front().map(|(at, _)| *at);
        let Some(next) = [wake, change].into_iter().flatten().min().filter(|at| *at <= self.scenario.until) else {
            return false;
        };
        let last_shown = Timestamp(next.0 - 1 + self.ahead);
        self.at = next;
        if change != Some(next) {
            self.tell(Event::Tick);
            return true;
        }
        match self.changes.pop_front() {
            Some((_, Change::Stop)) if self.plan.take().is_some() => self.completed = Some(last_shown),
            Some((_, Change::Step(seconds))) => {
                self.ahead += seconds;
                self.tell(Event::Tick);
            }
            Some((_, Change::Start)) if self.plan.is_none() => self.start_daemon(false),
            Some(_) | None => {}
        }
        true
    }
}

impl<F: Fn() -> Vec<(Source, Table)>> Iterator for Simulation<F> {
    type Item = Started;

    fn next(&mut self) -> Option<Started> {
        while self.found.is_empty() && self.go_on() {}
        self.found.pop_front()
    }
}
