//! The plan under an invented clock: what a daemon would start while the clock is set, while it is down, and when it
//! comes back. `cronctl simulate` prints it and tests hold it against the rule.

use super::event::{Action, Event, Now, RunOutcome, RunRequest, RunResult, Source};
use super::state::Scheduler;
use crate::crontab::Crontab;
use crate::schedule::{Timestamp, Zone};
use std::collections::VecDeque;
use std::sync::Arc;

/// What happens to the machine. All times are true ones, as a clock that nobody sets would show them.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The system's zone.
    pub zone: Arc<Zone>,
    /// The machine boots and the daemon starts here: `@reboot` entries run, and what is due in this very second counts as done.
    pub from: Timestamp,
    /// The last second looked at.
    pub until: Timestamp,
    /// From each of these seconds on, the clock shows so many seconds more (or less) than before.
    pub steps: Vec<(Timestamp, i64)>,
    /// The daemon is asked to stop at the first second of each, before anything that is due in it, and is started again at
    /// the second one. They may touch and overlap. Where one covers `from`, the machine boots without its daemon, and the
    /// first start after it is the boot's.
    pub down: Vec<(Timestamp, Timestamp)>,
}

/// One start in a simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// When it was in truth.
    pub at: Timestamp,
    /// What the machine's clock showed.
    pub shown: Timestamp,
    /// What was started.
    pub start: RunRequest,
}

/// The starts of a scenario in order of time; jobs take no time at all.
#[derive(Debug)]
pub struct Simulation<F> {
    scenario: Scenario,
    tables: F,
    changes: VecDeque<(Timestamp, Change)>,
    /// The daemon's plan, while it runs.
    plan: Option<Scheduler>,
    /// Whether a daemon has run since the boot.
    booted: bool,
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
pub fn simulate<F: Fn() -> Vec<(Source, Crontab)>>(scenario: Scenario, tables: F) -> Simulation<F> {
    let steps = scenario.steps.iter().map(|&(at, seconds)| (at, Change::Step(seconds)));
    let down = joined(&scenario.down);
    let stops = down.iter().flat_map(|&(stop, start)| [(stop, Change::Stop), (start, Change::Start)]);
    let mut changes: Vec<_> =
        steps.chain(stops).filter(|(at, _)| (scenario.from..=scenario.until).contains(at)).collect();
    changes.sort();
    let down_at_first = down.iter().any(|&(stop, start)| stop <= scenario.from && scenario.from < start);
    let mut simulation = Simulation {
        at: scenario.from,
        scenario,
        tables,
        changes: changes.into(),
        plan: None,
        booted: false,
        ahead: 0,
        completed: None,
        found: VecDeque::new(),
    };
    if !down_at_first {
        simulation.start_daemon();
    }
    simulation
}

/// Down times that touch are one.
fn joined(down: &[(Timestamp, Timestamp)]) -> Vec<(Timestamp, Timestamp)> {
    let mut down = down.to_vec();
    down.sort();
    let mut joined: Vec<(Timestamp, Timestamp)> = Vec::new();
    for (stop, start) in down {
        match joined.last_mut() {
            Some((_, last)) if stop <= *last => *last = start.max(*last),
            _ => joined.push((stop, start)),
        }
    }
    joined
}

impl<F: Fn() -> Vec<(Source, Crontab)>> Simulation<F> {
    fn now(&self) -> Now {
        let elapsed = self.at.0.saturating_sub(self.scenario.from.0);
        Now { utc: Timestamp(self.at.0.saturating_add(self.ahead)), elapsed_ms: elapsed.saturating_mul(1_000) }
    }

    fn start_daemon(&mut self) {
        let boot = !std::mem::replace(&mut self.booted, true);
        let mut plan = Scheduler::new(self.scenario.zone.clone(), self.now());
        for (source, table) in (self.tables)() {
            plan.handle(Event::Load { source, table }, self.now());
        }
        self.plan = Some(plan);
        self.tell(Event::Begin { boot, completed: self.completed, started: Vec::new(), running: Vec::new() });
    }

    /// Tells the plan an event, and that every job it starts has ended at once.
    fn tell(&mut self, event: Event) {
        let now = self.now();
        let Some(plan) = &mut self.plan else { return };
        for action in plan.handle(event, now) {
            if let Action::Start(start) = action {
                let result = RunResult::of_outcome(start.run, RunOutcome::Code(0), now.utc.0.saturating_mul(1000));
                plan.handle(Event::RunEnded(Box::new(result)), now);
                self.found.push_back(Started { at: self.at, shown: now.utc, start: *start });
            }
        }
    }

    /// Goes on to the next second in which something happens. False at the end.
    fn go_on(&mut self) -> bool {
        let wake = self.plan.as_ref().and_then(Scheduler::wake_at);
        let wake = wake.map(|shown| Timestamp(shown.0.saturating_sub(self.ahead).max(self.at.0 + 1)));
        let change = self.changes.front().map(|(at, _)| *at);
        let Some(next) = [wake, change].into_iter().flatten().min().filter(|at| *at <= self.scenario.until) else {
            return false;
        };
        let last_shown = Timestamp((next.0 - 1).saturating_add(self.ahead));
        self.at = next;
        if change != Some(next) {
            self.tell(Event::Tick);
            return true;
        }
        match self.changes.pop_front() {
            Some((_, Change::Stop)) if self.plan.take().is_some() => self.completed = Some(last_shown),
            Some((_, Change::Step(seconds))) => {
                self.ahead = self.ahead.saturating_add(seconds);
                self.tell(Event::Tick);
            }
            Some((_, Change::Start)) if self.plan.is_none() => self.start_daemon(),
            Some(_) | None => {}
        }
        true
    }
}

impl<F: Fn() -> Vec<(Source, Crontab)>> Iterator for Simulation<F> {
    type Item = Started;

    fn next(&mut self) -> Option<Started> {
        while self.found.is_empty() && self.go_on() {}
        self.found.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn down_times_that_touch_are_one() {
        let times = |times: &[(i64, i64)]| -> Vec<_> {
            times.iter().map(|&(stop, start)| (Timestamp(stop), Timestamp(start))).collect()
        };
        assert_eq!(joined(&times(&[(50, 60), (10, 20), (20, 30), (12, 15)])), times(&[(10, 30), (50, 60)]));
    }
}
