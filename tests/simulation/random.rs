//! Random sequences of everything that can happen to a clock and a daemon, against the reference.

use crate::reference::{Job, Reference};
use crate::setup::{ended, retime, source, started, table, zone};
use cronwheel::crontab::Crontab;
use cronwheel::schedule::{HostKey, JitterKey, Schedule, Timestamp, Zone};
use cronwheel::scheduler::{Action, Event, Now, RunOutcome, Scheduler};
use std::sync::Arc;

/// Schedules, mostly about the hours in which clocks change.
const SCHEDULES: &[&str] = &[
    "* * * * *",
    "*/7 * * * *",
    "30 * * * *",
    "*/10 2 * * *",
    "0-59/20 1-3 * * *",
    "30 2 * * *",
    "0 3 * * *",
    "15 2 * * *",
    "59 1 * * *",
    "0,30 1,2,3 * * *",
    "45 0-23 * * *",
    "5 * * * 0",
    "10 4 * * 0",
    "0 0 * * *",
    "0 12 1 * *",
];

/// Zone, and moments around which things are tried: both changes of a year, and days without one.
const PLACES: &[(&str, &[&str])] = &[
    ("UTC", &["2026-03-01T00:00:00Z"]),
    ("Europe/Berlin", &["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z", "2026-06-01T00:00:00Z"]),
    ("America/New_York", &["2026-03-08T07:00:00Z", "2026-11-01T06:00:00Z"]),
    ("Australia/Lord_Howe", &["2026-04-04T15:00:00Z", "2026-10-03T15:30:00Z"]),
    ("Pacific/Apia", &["2011-12-30T10:00:00Z"]),
    ("Antarctica/Troll", &["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"]),
];

struct Case {
    random: fastrand::Rng,
    zones: Vec<(&'static str, Arc<Zone>)>,
    /// All entries that a table of this case may hold.
    all: Vec<Job>,
    live: Vec<usize>,
    scheduler: Scheduler,
    reference: Reference,
    /// What the clock shows, and the clock that is never set.
    now: Now,
    /// The time in the start record of the daemon.
    recorded: Option<Timestamp>,
    log: Vec<String>,
}

impl Case {
    fn new(seed: u64, known: &[(&'static str, Arc<Zone>)]) -> Case {
        let mut random = fastrand::Rng::with_seed(seed);
        let system = random.usize(..known.len());
        let own = random.usize(..known.len());
        let zones = vec![known[system].clone(), known[own].clone()];
        let about = zones[random.usize(..2)].0;
        let moments = PLACES.iter().find(|(name, _)| *name == about).unwrap().1;
        let moment = Timestamp::parse_rfc3339(moments[random.usize(..moments.len())]).unwrap();
        let now =
            Now { utc: Timestamp(moment.0 + random.i64(-3 * 3_600..2 * 3_600)), elapsed_ms: random.i64(0..1 << 40) };
        let all: Vec<Job> = (0..8).map(|name| Case::job(&mut random, name)).collect();
        let live: Vec<usize> = (0..8).filter(|_| random.bool()).collect();
        let (reference, _) = Reference::begin(&[], Vec::new(), 0, None);
        let scheduler = Scheduler::new(zones[0].1.clone(), now);
        let mut case = Case { random, zones, all, live, scheduler, reference, now, recorded: None, log: Vec::new() };
        case.begin(None);
        case
    }

    fn job(random: &mut fastrand::Rng, name: usize) -> Job {
        let text = SCHEDULES[random.usize(..SCHEDULES.len())];
        let mut fields = text.split(' ');
        let wildcard = fields.next().unwrap().starts_with('*') || fields.next().unwrap().starts_with('*');
        let seed = JitterKey { host: HostKey::default(), table: "alice", entry: b"" };
        let schedule = Schedule::parse(text, &seed).unwrap().schedule;
        let delay = if random.u8(..4) == 0 { random.i64(1..900) } else { 0 };
        Job { name, schedule, wildcard, zone: random.usize(..2), delay, line: 0 }
    }

    /// The live jobs as the reference has them: those in the system's zone stand above those with their own.
    fn jobs(&self) -> Vec<Job> {
        let (system, own): (Vec<_>, Vec<_>) =
            self.live.iter().map(|name| self.all[*name].clone()).partition(|job| job.zone == 0);
        let jobs = system.into_iter().chain(own);
        jobs.enumerate().map(|(line, job)| Job { line, ..job }).collect()
    }

    fn table(&self) -> Crontab {
        let mut text = String::new();
        let jobs = self.jobs();
        for (index, job) in jobs.iter().enumerate() {
            if job.zone == 1 && (index == 0 || jobs[index - 1].zone == 0) {
                text += &format!("CRON_TZ={}\n", self.zones[1].0);
            }
            // The schedule is put in below: only the place in the table comes from the text.
            text += &format!("* * * * * {}\n", job.name);
        }
        let mut table = table(&text);
        for (entry, job) in jobs.iter().enumerate() {
            retime(&mut table, entry, |timing| {
                timing.schedule = job.schedule.clone();
                timing.delay = job.delay as u32;
            });
        }
        table
    }

    fn names(actions: &[Action]) -> Vec<usize> {
        let name = |start: &cronwheel::scheduler::RunRequest| String::from_utf8_lossy(&start.command).parse().unwrap();
        started(actions).into_iter().map(name).collect()
    }

    /// Tells the scheduler, ends all runs, and holds what it starts against what the reference says.
    fn tell(&mut self, event: Event, expected: Vec<usize>) {
        let actions = self.scheduler.handle(event, self.now);
        for action in &actions {
            if let Action::Completed(upto) = action {
                self.recorded = Some(*upto);
            }
        }
        for start in started(&actions) {
            self.scheduler.handle(ended(start.run, RunOutcome::Code(0)), self.now);
        }
        assert!(!actions.iter().any(|action| matches!(action, Action::Skipped { .. })));
        let jobs = self.jobs();
        let log = &self.log;
        assert_eq!(Case::names(&actions), expected, "at {}, {jobs:?}\n{log:#?}", self.now.utc);
    }

    fn begin(&mut self, completed: Option<Timestamp>) {
        let mut scheduler = Scheduler::new(self.zones[0].1.clone(), self.now);
        scheduler.handle(Event::Load { source: source("/spool/alice"), table: self.table() }, self.now);
        self.scheduler = scheduler;
        let zones: Vec<_> = self.zones.iter().map(|(_, zone)| zone.clone()).collect();
        let completed_at = completed.map(|at| at.0);
        let (reference, expected) = Reference::begin(&zones, self.jobs(), self.now.utc.0, completed_at);
        self.reference = reference;
        self.tell(
            Event::DaemonStarted {
                boot: false,
                completed,
                started: Vec::new(),
                running: Vec::new(),
                saved: Box::default(),
            },
            expected,
        );
    }

    fn pass(&mut self, seconds: i64) {
        self.now.utc.0 += seconds;
        self.now.elapsed_ms += seconds * 1_000;
    }

    /// The clock goes on without a step, with a tick whenever the scheduler asks for one.
    fn run(&mut self, seconds: i64) {
        self.log.push(format!("{} run {seconds}", self.now.utc));
        let until = self.now.utc.0 + seconds;
        loop {
            let wanted = self.scheduler.wake_at().map_or(until, |at| at.0.min(until));
            // The reference has a tick in each minute; the scheduler must have nothing due in those it does not ask for.
            while self.reference.next_tick() < wanted {
                let at = self.reference.next_tick();
                let missed = self.reference.tick(at);
                assert_eq!(missed, [0; 0], "missed at {}, {:?}\n{:#?}", Timestamp(at), self.jobs(), self.log);
            }
            self.pass(wanted - self.now.utc.0);
            let expected = self.reference.tick(wanted);
            self.tell(Event::Tick, expected);
            if wanted == until {
                return;
            }
        }
    }

    /// The daemon is stopped by a signal, or the machine is overloaded.
    fn stall(&mut self, seconds: i64) {
        self.log.push(format!("{} stall {seconds}", self.now.utc));
        self.pass(seconds);
        let expected = self.reference.tick(self.now.utc.0);
        self.tell(Event::Tick, expected);
    }

    fn step(&mut self, seconds: i64) {
        self.log.push(format!("{} step {seconds}", self.now.utc));
        let shown = self.now.utc.0 - 1;
        self.now.utc.0 += seconds;
        let expected = self.reference.step(shown, self.now.utc.0);
        self.tell(Event::Tick, expected);
    }

    /// Stopped by a signal, the daemon records how far it has come.
    fn restart(&mut self, seconds: i64, set: i64) {
        self.recorded = Some(self.now.utc);
        self.crash(seconds, set);
    }

    /// Killed, it leaves what it recorded with its last start.
    fn crash(&mut self, seconds: i64, set: i64) {
        self.log.push(format!("{} down {seconds}, clock set by {set}, record {:?}", self.now.utc, self.recorded));
        self.pass(seconds);
        self.now.utc.0 += set;
        self.begin(self.recorded);
    }

    fn reload(&mut self) {
        self.live = (0..8).filter(|_| self.random.bool()).collect();
        self.log.push(format!("{} reload {:?}", self.now.utc, self.live));
        let expected = self.reference.tick(self.now.utc.0);
        let jobs = self.jobs();
        self.tell(Event::Load { source: source("/spool/alice"), table: self.table() }, expected);
        self.reference.reload(jobs);
    }

    fn change_zone(&mut self, known: &[(&'static str, Arc<Zone>)]) {
        self.zones[0] = known[self.random.usize(..known.len())].clone();
        self.log.push(format!("{} zone {}", self.now.utc, self.zones[0].0));
        let expected = self.reference.change_zone(self.zones[0].1.clone(), self.now.utc.0);
        self.tell(Event::SystemZone(self.zones[0].1.clone()), expected);
    }

    fn seconds(&mut self) -> i64 {
        match self.random.u8(..6) {
            0 => self.random.i64(2..60),
            1 => self.random.i64(60..360),
            2 => self.random.i64(1..7) * 60,
            3 => self.random.i64(360..7_200),
            4 => self.random.i64(2..14_000),
            _ => self.random.i64(10_000..12_000),
        }
    }

    fn go(&mut self, known: &[(&'static str, Arc<Zone>)]) {
        for _ in 0..self.random.usize(2..7) {
            let run = self.random.i64(1..5_400);
            self.run(run);
            let seconds = self.seconds();
            match self.random.u8(..12) {
                0 | 1 => self.step(seconds),
                2..=4 => self.step(-seconds),
                5 => self.stall(seconds),
                6 => self.restart(seconds % 400 + 1, 0),
                7 => self.restart(seconds % 400 + 1, [-30, -600, -7_200, 30, 600][seconds as usize % 5]),
                8 => self.crash(seconds % 400 + 1, 0),
                9 => self.crash(seconds % 400 + 1, [-30, -600, -7_200, 30, 600][seconds as usize % 5]),
                10 => self.reload(),
                _ => self.change_zone(known),
            }
        }
        let run = self.random.i64(1..10_800);
        self.run(run);
    }
}

fn known_zones() -> Vec<(&'static str, Arc<Zone>)> {
    PLACES.iter().map(|(name, _)| (*name, zone(name))).collect()
}

/// Sequences in one run of the test; `SEQUENCES` in the environment asks for another number.
fn sequences() -> u64 {
    std::env::var("SEQUENCES").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000)
}

#[test]
fn every_due_moment_of_random_sequences_has_the_one_outcome_that_the_rule_gives() {
    let known = known_zones();
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let known = &known;
            scope.spawn(move || {
                for seed in (thread..sequences()).step_by(threads as usize) {
                    Case::new(seed, known).go(known);
                }
            });
        }
    });
}
