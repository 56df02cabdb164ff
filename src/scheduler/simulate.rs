//! The scheduler under a simulated clock: what a daemon would start while the clock is set, while it is down, and when it comes back, and
//! how every slot would end. `cronctl simulate` prints it, and tests compare it with the rules.

use super::action::Action;
use super::event::{AtStop, Event, ManualStart};
use super::job_id::JobId;
use super::jobs::{Notice, Pause};
use super::now::Now;
use super::run_id::RunId;
use super::run_record::RunRecord;
use super::run_request::RunRequest;
use super::run_result::{RunOutcome, RunResult};
use super::saved::SavedState;
use super::source::Source;
use super::state::Scheduler;
use crate::crontab::{Calendars, Crontab};
use crate::schedule::{Timestamp, Zone};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// Events of the simulated machine. All times are those of a clock that is never set.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The zone of entries without `CRON_TZ`.
    pub zone: Arc<Zone>,
    /// The machine boots and the daemon starts here: `@reboot` entries run, and what is due in this very second counts as done.
    pub from: Timestamp,
    /// The last second of the simulation.
    pub until: Timestamp,
    /// From each of these seconds on, the clock shows that many seconds more (or less) than before.
    pub steps: Vec<(Timestamp, i64)>,
    /// Times without a daemon. It is asked to stop at the first second of each, before anything that is due in it, and is started again at
    /// the second one. They may touch and overlap. If one covers `from`, the machine boots without its daemon, and the first start after it
    /// is the first of the boot.
    pub down: Vec<(Timestamp, Timestamp)>,
    /// The user that a standalone table runs as.
    pub caller: String,
    /// How jobs behave and what people do.
    pub jobs: JobScenario,
    /// Whether every slot gets a recorded outcome, also of entries without a policy.
    pub records_all: bool,
}

/// How the jobs of a scenario behave, and what is asked of the daemon.
#[derive(Clone, Debug, Default)]
pub struct JobScenario {
    /// How long the runs of a job last, in seconds; all others take no time.
    pub durations: HashMap<JobId, i64>,
    /// The exit statuses of a job's runs in the order of their starts; the last is repeated; all others exit with 0.
    pub exits: HashMap<JobId, Vec<i32>>,
    /// Pauses, from a second to before another.
    pub pauses: Vec<(JobId, Timestamp, Timestamp)>,
    /// Manual runs, with their moments.
    pub runs: Vec<(JobId, Timestamp)>,
    /// Kills of a job's oldest run, else of what waits, else of its retry.
    pub kills: Vec<(JobId, Timestamp)>,
    /// The calendars that `CRON_EXCEPT` may name.
    pub calendars: Calendars,
}

/// One start in a simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// The true time of the start, whatever the clock shows.
    pub at: Timestamp,
    /// The time that the machine's clock showed.
    pub shown: Timestamp,
    /// The request as the executor would get it.
    pub start: RunRequest,
}

/// An item of a simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Simulated {
    /// A job was started.
    Started(Box<Started>),
    /// An outcome. Its starts and ends are true times.
    Ended(Box<RunRecord>),
    /// A notice to the owner.
    Notice(Box<Notice>),
}

/// The starts and outcomes of a scenario in the order in which they are decided.
#[derive(Debug)]
pub struct Simulation<F> {
    scenario: Scenario,
    tables: F,
    changes: VecDeque<(Timestamp, Change)>,
    /// The daemon's scheduler, while it runs.
    scheduler: Option<Scheduler>,
    /// Whether a daemon has run since the boot.
    has_booted: bool,
    at: Timestamp,
    /// How many seconds the clock shows more than the true time.
    ahead: i64,
    /// Up to when the last daemon had handled everything.
    completed: Option<Timestamp>,
    /// What the state file of a daemon would hold.
    saved: SavedState,
    next_run: u64,
    running: BTreeMap<RunId, SimulatedRun>,
    /// The number of runs of each job that have begun.
    begun: HashMap<JobId, usize>,
    found: VecDeque<Simulated>,
    is_over: bool,
}

/// A run of a job that takes time.
#[derive(Clone, Debug)]
struct SimulatedRun {
    job: JobId,
    started: Timestamp,
    /// The true second in which it ends.
    ends: Timestamp,
    outcome: RunOutcome,
    is_timeout: bool,
}

/// A change in a simulation. Changes of one second happen in this order: a stop sees the clock before a step, a start the one after it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Stop,
    Step(i64),
    Start,
    Kill(JobId),
    Pause(JobId, Timestamp),
    Run(JobId),
}

/// The signal that ends a job.
const TERM: i32 = 15;

/// Prepares a simulation. `tables` gives the tables that a daemon finds when it starts, in order.
pub fn simulate<F: Fn() -> Vec<(Source, Crontab)>>(scenario: Scenario, tables: F) -> Simulation<F> {
    let steps = scenario.steps.iter().map(|&(at, seconds)| (at, Change::Step(seconds)));
    let down = joined(&scenario.down);
    let stops = down.iter().flat_map(|&(stop, start)| [(stop, Change::Stop), (start, Change::Start)]);
    let jobs = &scenario.jobs;
    let kills = jobs.kills.iter().map(|(job, at)| (*at, Change::Kill(job.clone())));
    // A pause that has begun before is in force at the start.
    let pauses = jobs.pauses.iter().filter(|(_, _, until)| *until > scenario.from);
    let pauses = pauses.map(|(job, from, until)| ((*from).max(scenario.from), Change::Pause(job.clone(), *until)));
    let runs = jobs.runs.iter().map(|(job, at)| (*at, Change::Run(job.clone())));
    let mut changes: Vec<_> = steps
        .chain(stops)
        .chain(kills)
        .chain(pauses)
        .chain(runs)
        .filter(|(at, _)| (scenario.from..=scenario.until).contains(at))
        .collect();
    changes.sort();
    let down_at_first = down.iter().any(|&(stop, start)| stop <= scenario.from && scenario.from < start);
    let mut simulation = Simulation {
        at: scenario.from,
        next_run: 1,
        scenario,
        tables,
        changes: changes.into(),
        scheduler: None,
        has_booted: false,
        ahead: 0,
        completed: None,
        saved: SavedState::default(),
        running: BTreeMap::new(),
        begun: HashMap::new(),
        found: VecDeque::new(),
        is_over: false,
    };
    if !down_at_first {
        simulation.pause_from_begin();
        simulation.start_daemon(Vec::new());
    }
    simulation
}

/// Joins down times that touch.
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

    fn start_daemon(&mut self, others: Vec<Event>) {
        let boot = !std::mem::replace(&mut self.has_booted, true);
        let now = self.now();
        let mut scheduler = Scheduler::new(self.scenario.zone.clone(), now);
        scheduler.set_caller(&self.scenario.caller);
        scheduler.record_all(self.scenario.records_all);
        scheduler.set_next_run(RunId(self.next_run));
        scheduler.handle(Event::Calendars(self.scenario.jobs.calendars.clone()), now);
        for (source, table) in (self.tables)() {
            scheduler.handle(Event::Load { source, table }, now);
        }
        self.scheduler = Some(scheduler);
        let begin = Event::DaemonStarted {
            boot,
            completed: self.completed,
            started: Vec::new(),
            running: self.running.iter().map(|(run, simulated)| (*run, simulated.job.clone())).collect(),
            saved: Box::new(self.saved.clone()),
        };
        let events = self.take_ended().into_iter().chain([begin]).chain(others).collect();
        self.handle(events);
    }

    /// Stops the daemon and keeps what the next one has to know.
    fn stop_daemon(&mut self) {
        let Some(mut scheduler) = self.scheduler.take() else { return };
        // Nothing that is due in this second is seen any more.
        let Now { utc, elapsed_ms } = self.now();
        let before = Now { utc: Timestamp(utc.0 - 1), elapsed_ms: elapsed_ms - 1_000 };
        let actions = scheduler.handle(Event::Stop { queue: AtStop::LeaveToNext, jobs: AtStop::LeaveToNext }, before);
        self.perform(actions);
        self.completed = Some(before.utc);
        self.saved.set_handled(before.utc);
        self.next_run = scheduler.next_run().0;
    }

    /// Takes the ends of runs up to now, in their order.
    fn take_ended(&mut self) -> Vec<Event> {
        let mut ended: Vec<(Timestamp, RunId)> =
            self.running.iter().filter(|(_, run)| run.ends <= self.at).map(|(id, run)| (run.ends, *id)).collect();
        ended.sort_by_key(|(at, id)| (*at, self.running.get(id).is_some_and(|run| run.is_timeout), *id));
        ended.into_iter().filter_map(|(_, id)| self.end_event(id)).collect()
    }

    fn end_event(&mut self, id: RunId) -> Option<Event> {
        let run = self.running.remove(&id)?;
        let milliseconds = |at: Timestamp| at.0.saturating_mul(1_000);
        let mut result = RunResult::of_outcome(id, run.outcome, milliseconds(run.ends));
        result.started_at_ms = Some(milliseconds(run.started));
        result.is_timeout = run.is_timeout;
        result.ended_elapsed_ms = Some((run.ends.0 - self.scenario.from.0).saturating_mul(1_000));
        Some(Event::RunEnded(Box::new(result)))
    }

    /// Passes events to the scheduler, and then the ends of the runs that it has started and that take no time.
    fn handle(&mut self, mut events: Vec<Event>) {
        let now = self.now();
        loop {
            let Some(scheduler) = &mut self.scheduler else { return };
            let actions = scheduler.handle_all(events, now);
            self.perform(actions);
            events = self.take_ended();
            if events.is_empty() {
                return;
            }
        }
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Start(start) => self.begin(*start),
                Action::End { run, .. } => {
                    if let Some(run) = self.running.get_mut(&run) {
                        run.ends = self.at;
                        run.outcome = RunOutcome::Signal { number: TERM, core_dumped: false };
                        run.is_timeout = false;
                    }
                }
                Action::Record(record) => self.found.push_back(Simulated::Ended(record)),
                Action::Notice(notice) => self.found.push_back(Simulated::Notice(notice)),
                Action::SaveState(change) => self.saved.apply(*change),
                _ => {}
            }
        }
    }

    fn begin(&mut self, start: RunRequest) {
        let count = self.begun.entry(start.job.clone()).or_default();
        let status = self.scenario.jobs.exits.get(&start.job).and_then(|exits| exits.get(*count).or(exits.last()));
        *count += 1;
        let outcome = RunOutcome::Code(status.copied().unwrap_or(0));
        let duration = self.scenario.jobs.durations.get(&start.job).copied().unwrap_or(0);
        let timeout = start.rules.timeout.map(i64::from).filter(|timeout| *timeout < duration);
        let run = SimulatedRun {
            job: start.job.clone(),
            started: self.at,
            ends: Timestamp(self.at.0.saturating_add(timeout.unwrap_or(duration))),
            outcome: match timeout {
                Some(_) => RunOutcome::Signal { number: TERM, core_dumped: false },
                None => outcome,
            },
            is_timeout: timeout.is_some(),
        };
        self.running.insert(start.run, run);
        let started = Started { at: self.at, shown: self.now().utc, start };
        self.found.push_back(Simulated::Started(Box::new(started)));
    }

    /// Goes on to the next second in which something happens. False at the end.
    fn advance(&mut self) -> bool {
        let scheduler = self.scheduler.as_ref();
        let shown = scheduler.and_then(Scheduler::wake_at);
        let shown = shown.map(|shown| Timestamp(shown.0.saturating_sub(self.ahead).max(self.at.0 + 1)));
        let elapsed = scheduler.and_then(Scheduler::wake_at_elapsed_ms);
        let elapsed = elapsed.map(|ms| {
            let seconds = ms.div_euclid(1_000) + i64::from(ms.rem_euclid(1_000) > 0);
            Timestamp(self.scenario.from.0.saturating_add(seconds).max(self.at.0 + 1))
        });
        let end = self.running.values().map(|run| run.ends).min().filter(|_| self.scheduler.is_some());
        let change = self.changes.front().map(|(at, _)| *at);
        let Some(next) =
            [shown, elapsed, end, change].into_iter().flatten().min().filter(|at| *at <= self.scenario.until)
        else {
            return false;
        };
        self.at = next;
        let mut events = vec![Event::Tick];
        let mut starts = false;
        while self.changes.front().is_some_and(|(at, _)| *at <= next) {
            let Some((_, change)) = self.changes.pop_front() else { break };
            match change {
                Change::Stop => self.stop_daemon(),
                Change::Step(seconds) => self.ahead = self.ahead.saturating_add(seconds),
                Change::Start => starts = self.scheduler.is_none(),
                Change::Kill(job) => events.push(Event::Kill { job, by: self.scenario.caller.clone() }),
                Change::Pause(job, until) => {
                    let shown = |at: Timestamp| Timestamp(at.0.saturating_add(self.ahead));
                    let (from, until, by) = (shown(next), shown(until), self.scenario.caller.clone());
                    let pause = Pause { from, until, by, note: String::new(), is_by_root: false, source: None };
                    events.push(Event::Pause { job, pause });
                }
                Change::Run(job) => events.push(Event::RunByHand { job, start: ManualStart::ByRules }),
            }
        }
        if starts {
            self.start_daemon(events);
        } else if self.scheduler.is_some() {
            let ended = self.take_ended();
            self.handle(ended.into_iter().chain(events).collect());
        } else {
            self.pause_while_down(events);
        }
        true
    }

    /// Pauses that begin with the simulation hold for `@reboot` entries, too.
    fn pause_from_begin(&mut self) {
        let begin = self.now().utc;
        let (at, by) = (self.at, self.scenario.caller.clone());
        self.changes.retain(|(from, change)| match change {
            Change::Pause(job, until) if *from == at => {
                let pause = Pause {
                    from: begin,
                    until: *until,
                    by: by.clone(),
                    note: String::new(),
                    is_by_root: false,
                    source: None,
                };
                self.saved.pauses.insert(job.clone(), pause);
                false
            }
            _ => true,
        });
    }

    /// Adds pauses that begin while the daemon is down to the state, so that they hold when it is started again.
    fn pause_while_down(&mut self, events: Vec<Event>) {
        for event in events {
            if let Event::Pause { job, pause } = event {
                self.saved.pauses.insert(job, pause);
            }
        }
    }

    /// Records the rows of skipped slots that have not ended.
    fn finish(&mut self) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        self.at = self.scenario.until;
        let now = self.now();
        if let Some(scheduler) = &mut self.scheduler {
            let actions = scheduler.flush_rows(now);
            self.perform(actions);
        }
    }
}

impl<F: Fn() -> Vec<(Source, Crontab)>> Iterator for Simulation<F> {
    type Item = Simulated;

    fn next(&mut self) -> Option<Simulated> {
        while self.found.is_empty() {
            if !self.advance() {
                self.finish();
                return self.found.pop_front();
            }
        }
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
