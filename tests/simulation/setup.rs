//! Tables, zones and clocks for the tests.

use cronwheel::crontab::{Context, Crontab, Form, KnownNames, Severity, Timing};
use cronwheel::profile::DEBIAN;
use cronwheel::schedule::{HostKey, Timestamp, Zone, Zones};
use cronwheel::scheduler::{
    Action, Event, JobScenario, Now, Owner, RunCause, RunId, RunOutcome, RunRequest, RunResult, Scenario, Scheduler,
    Simulated, Source, simulate,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The zones that the program carries; the system's is UTC.
struct Embedded;

impl Zones for Embedded {
    fn named(&self, name: &str) -> Option<Arc<Zone>> {
        // To make one takes a millisecond; the tests ask a hundred thousand times.
        static MADE: Mutex<BTreeMap<String, Arc<Zone>>> = Mutex::new(BTreeMap::new());
        let mut made = MADE.lock().unwrap();
        if let Some(zone) = made.get(name) {
            return Some(zone.clone());
        }
        let zone = Arc::new(Zone::embedded(name)?);
        made.insert(name.to_owned(), zone.clone());
        Some(zone)
    }
    fn system(&self) -> Arc<Zone> {
        Zone::utc()
    }
}

pub fn zone(name: &str) -> Arc<Zone> {
    Embedded.named(name).expect("a zone that chrono-tz carries")
}

pub fn time(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).expect("an RFC 3339 time")
}

pub fn source(path: &str) -> Source {
    let owner = Owner::User { name: "alice".into(), uid: 1000 };
    Source { path: path.into(), name: "alice".into(), owner }
}

/// A user's table without faults.
pub fn table(text: &str) -> Crontab {
    parse(text, Form::User)
}

/// The same for one of the system.
pub fn system_table(text: &str) -> Crontab {
    parse(text, Form::System)
}

fn parse(text: &str, form: Form) -> Crontab {
    let context = Context {
        form,
        dialect: &DEBIAN.dialect,
        name: "alice",
        host: HostKey::default(),
        known: KnownNames::of_zones(&Embedded),
    };
    let parsed = Crontab::parse(text.as_bytes(), &context).expect("memory");
    let faults: Vec<_> = parsed.diagnostics.iter().filter(|found| found.severity == Severity::Error).collect();
    assert!(faults.is_empty(), "{faults:?}");
    parsed.table
}

/// Changes when an entry is due.
pub fn retime(table: &mut Crontab, entry: usize, change: impl FnOnce(&mut Timing)) {
    let index = table.entries[entry].timing;
    if table.entries.iter().filter(|other| other.timing == index).count() == 1 {
        return change(Arc::make_mut(&mut table.timings[index as usize]));
    }
    let mut timing = Timing::clone(&table.timings[index as usize]);
    change(&mut timing);
    table.entries[entry].timing = table.timings.len() as u32;
    table.timings.push(Arc::new(timing));
}

/// Gives an entry a delay in seconds.
pub fn set_delay(table: &mut Crontab, entry: usize, delay: u32) {
    retime(table, entry, |timing| timing.delay = delay);
}

/// What `HH:MM:SS command` is started from `from` to `until`, in true UTC.
pub fn starts(
    zone: &Arc<Zone>,
    text: &str,
    from: &str,
    until: &str,
    steps: &[(&str, i64)],
    down: &[(&str, &str)],
) -> Vec<String> {
    let scenario = Scenario {
        zone: zone.clone(),
        from: time(from),
        until: time(until),
        steps: steps.iter().map(|(at, seconds)| (time(at), *seconds)).collect(),
        down: down.iter().map(|(stop, start)| (time(stop), time(start))).collect(),
        caller: String::new(),
        jobs: JobScenario::default(),
        records_all: false,
    };
    let tables = || vec![(source("/spool/alice"), table(text))];
    let line = |simulated| match simulated {
        Simulated::Started(started) => Some(format!("{} {}", clock(started.at), command(&started.start))),
        Simulated::Ended(_) | Simulated::Notice(_) => None,
    };
    simulate(scenario, tables).filter_map(line).collect()
}

pub fn clock(at: Timestamp) -> String {
    at.to_string()[11..19].to_owned()
}

pub fn command(start: &RunRequest) -> String {
    String::from_utf8_lossy(&start.command).into_owned()
}

/// A scheduler with its clock: the machine of a test.
pub struct Machine {
    pub scheduler: Scheduler,
    pub now: Now,
}

impl Machine {
    /// A daemon that has begun with a table, UTC being the system's zone.
    pub fn with_table(text: &str, at: &str) -> Machine {
        let now = Now { utc: time(at), elapsed_ms: 5_000_000 };
        let mut machine = Machine { scheduler: Scheduler::new(Zone::utc(), now), now };
        machine.load("/spool/alice", text);
        machine.tell(Event::DaemonStarted {
            boot: false,
            completed: None,
            started: Vec::new(),
            running: Vec::new(),
            saved: Box::default(),
        });
        machine
    }

    pub fn tell(&mut self, event: Event) -> Vec<Action> {
        self.scheduler.handle(event, self.now)
    }

    pub fn load(&mut self, path: &str, text: &str) -> Vec<Action> {
        self.tell(Event::Load { source: source(path), table: table(text) })
    }

    /// Lets seconds pass without an event, then sends one tick.
    pub fn tick_after(&mut self, seconds: i64) -> Vec<Action> {
        self.now.utc.0 += seconds;
        self.now.elapsed_ms += seconds * 1_000;
        self.tell(Event::Tick)
    }

    /// Lets seconds pass, with a tick whenever the scheduler asks for one.
    pub fn run(&mut self, seconds: i64) -> Vec<Action> {
        let until = self.now.utc.0 + seconds;
        let mut actions = Vec::new();
        while let Some(wake) = self.scheduler.wake_at().filter(|wake| wake.0 <= until) {
            actions.extend(self.tick_after(wake.0 - self.now.utc.0));
        }
        actions.extend(self.tick_after(until - self.now.utc.0));
        actions
    }

    pub fn end(&mut self, start: &RunRequest) -> Vec<Action> {
        self.tell(ended(start.run, RunOutcome::Code(0)))
    }
}

/// The starts among some actions.
pub fn started(actions: &[Action]) -> Vec<&RunRequest> {
    let starts = actions.iter().filter_map(|action| match action {
        Action::Start(start) => Some(start.as_ref()),
        _ => None,
    });
    starts.collect()
}

/// The commands of the starts among the actions.
pub fn commands(actions: &[Action]) -> Vec<String> {
    started(actions).into_iter().map(command).collect()
}

/// A run ended in this way; nothing else is known of it.
/// What an executor keeps of the cause of a run.
pub fn cause_of(start: &RunRequest) -> Option<RunCause> {
    Some(RunCause { trigger: start.trigger, attempt: start.attempt })
}

pub fn ended(run: RunId, outcome: RunOutcome) -> Event {
    Event::RunEnded(Box::new(RunResult::of_outcome(run, outcome, 0)))
}
