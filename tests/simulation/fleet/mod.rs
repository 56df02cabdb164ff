//! A fleet of three to seven nodes, each with its own scheduler, and an engine in memory: skewed and stepping clocks, stopped and suspended
//! nodes, cut links, lost and late messages, crashes between any two steps, also with the loss of state that was not on the disk, runs by hand,
//! pauses, watermarks that are repaired, an engine that is full or restored from a snapshot. No slot may start twice, and each slot that is due has
//! one outcome.
//!
//! `CRONWHEEL_HISTORIES=100000 cargo test --release --test simulation fleet` tries many; a fault names its seed, and
//! `CRONWHEEL_FIRST_HISTORY=SEED CRONWHEEL_HISTORIES=1` tries that one alone and shows what happened.

mod cases;
mod daemons;
mod network;
mod rules;

use crate::fleet_engine::{Engine, next_number};
use crate::histories::first_history;
use crate::setup::{cause_of, source, table, time};
use cronwheel::schedule::{Timestamp, Zone};
use cronwheel::scheduler::{
    Action, EarlierRun, Event, FleetAnswer, FleetEntry, FleetEvent, FleetKey, FleetOutcome, FleetRequest, FleetRun,
    FleetSettings, JobId, ManualStart, Mark, MarkState, Now, OUTCOMES_KEPT, Pause, RENEW_MS, RunId, RunOutcome,
    RunRecord, RunRequest, RunResult, SavedState, Scheduler, Transaction, Trigger,
};
use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

/// What the monotonic clock of a machine shows at its boot.
const BOOTED_MS: i64 = 1_000_000;
/// The slots lie before this. Milliseconds since the beginning, as all times here that are not said to be others.
const LAST_SLOT_MS: i64 = 14 * 60_000;
/// From then on nothing more happens, and everything comes to its end.
const QUIET_MS: i64 = 15 * 60_000;
/// All nodes have the same pauses.
const PAUSES_MS: i64 = QUIET_MS + 110_000;
/// When all pauses are over, and the last slot of each job after that.
const PAUSED_UNTIL_MS: i64 = 17 * 60_000 + 20_000;
const FINAL_SLOT_MS: i64 = 18 * 60_000;
const UNTIL_MS: i64 = 22 * 60_000;
/// Where much has to be caught up, one after the other, until then at the latest.
const LAST_MS: i64 = 200 * 60_000;

struct Run {
    request: RunRequest,
    started: i64,
    ends: i64,
    status: i32,
    /// When the executor ends it.
    deadline: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Works,
    /// Main is stopped.
    Stopped,
    /// The machine sleeps.
    Asleep,
}

struct Node {
    name: String,
    plan: Option<Scheduler>,
    /// What its clock is ahead of the true time.
    skew: i64,
    /// For how long it has slept.
    slept: i64,
    boot: u64,
    condition: Condition,
    /// Since when, if it does not work.
    stopped_at: i64,
    /// What has come in the meantime.
    inbox: Vec<Event>,
    saved: SavedState,
    /// What was saved in the last seconds: since when, and the rest of it. The newest may not be on the disk yet.
    versions: VecDeque<(i64, SavedState, Option<Timestamp>)>,
    /// Whether it has lost state that was not on the disk with the runs that were going on.
    has_lost_state: bool,
    daemons: u64,
    completed: Option<Timestamp>,
    next_run: u64,
    running: BTreeMap<RunId, Run>,
    begun: Vec<(i64, EarlierRun)>,
    undelivered: Vec<(EarlierRun, RunResult)>,
    /// What daemons of this boot were told of ends.
    delivered: Vec<(EarlierRun, RunResult)>,
    connection: Option<Connection>,
    /// Whether its link is cut from it to the engine, and from the engine to it.
    cut: (bool, bool),
    /// Counts connections, so that messages of old ones are known.
    connections: u64,
    wakes: u64,
    /// What is done of the actions of the next turn, before it crashes.
    crash: Option<Crash>,
}

struct Connection {
    number: u64,
    lease: u64,
    /// The place in the engine's log up to which the watch has shown everything.
    seen: usize,
    heard: i64,
    asked: BTreeMap<u64, FleetRequest>,
    is_watch_under_way: bool,
}

#[derive(Clone, Copy, Debug)]
struct Crash {
    actions: usize,
    is_written: bool,
    is_reboot: bool,
    /// What was saved in so many milliseconds before is lost.
    lost_ms: i64,
    /// The node comes back with another name.
    is_renamed: bool,
    down: i64,
}

/// What happens at a moment.
enum What {
    Wake(usize, u64),
    Connect(usize, u64),
    /// The listing arrives.
    Listed(usize, u64, u64, i64, Vec<FleetEntry>, usize),
    Renew(usize, u64),
    RenewArrives(usize, u64, i64, i64),
    Renewed(usize, u64, i64),
    /// A transaction arrives at the engine. The number is that of the connection, if an answer can be sent.
    Arrives(usize, u64, u64, Transaction),
    Resend(usize, u64, u64),
    Answer(usize, u64, u64, FleetAnswer),
    Watch(usize, u64),
    Silence(usize, u64),
    Begins(usize, u64, Box<RunRequest>, i64, Option<i64>),
    Ends(usize, u64, RunId),
    Start(usize),
    Happens(Happening),
}

#[derive(Clone, Debug)]
enum Happening {
    Crash(usize, Crash),
    Cut(usize, bool, bool),
    Heal(usize),
    Condition(usize, Condition),
    Step(usize, i64),
    EngineDown(bool),
    /// The engine has no space: it can be read, and nothing is changed.
    EngineFull(bool),
    Pause(usize, JobId, i64),
    Resume(usize, JobId),
    ComparePauses,
    /// The watermark of a job is in the future, as the clocks were wrong.
    Ahead(JobId, i64),
    Reset(usize, JobId),
    /// The engine is stopped, and comes back with the keys that it had at the moment of the snapshot.
    Snapshot,
    Restore,
    RunByHand(usize, JobId, ManualStart),
}

struct Fleet {
    seed: u64,
    random: Rng,
    at: i64,
    nodes: Vec<Node>,
    engine: Engine,
    is_engine_down: bool,
    is_engine_full: bool,
    events: BTreeMap<(i64, u64), What>,
    numbers: u64,
    text: String,
    jobs: BTreeMap<JobId, Job>,
    /// For each slot its starts: node, request, from when to when.
    starts: BTreeMap<(JobId, i64), Vec<Start>>,
    records: Vec<(usize, RunRecord)>,
    faults: Vec<String>,
    story: Vec<String>,
    delay: i64,
    has_crashed: bool,
    snapshot: Option<Engine>,
    /// Whether the engine has lost keys.
    is_restored: bool,
    /// For jobs whose watermark was in the future: after which slot, and up to which.
    ahead: BTreeMap<JobId, (i64, i64)>,
    /// Runs by hand that have ended.
    by_hand: usize,
    is_told: bool,
}

#[derive(Clone, Debug)]
struct Job {
    /// The slots that are due, seconds of UTC.
    due: Vec<i64>,
    fails_over: bool,
    runs_when_away: bool,
    is_alone: bool,
    duration: i64,
    fails: u8,
}

struct Start {
    node: usize,
    boot: u64,
    run: RunId,
    attempt: u32,
    from: i64,
    to: Option<i64>,
}

fn base_ms() -> i64 {
    time("2026-05-01T00:00:00Z").0 * 1_000
}

impl Run {
    /// Whether it keeps others of the job from starting: not a run by hand that was forced.
    fn is_of(&self, job: &JobId) -> bool {
        self.request.job == *job && self.request.fleet.is_some()
    }

    fn is_slot_of(&self, job: &JobId) -> bool {
        self.is_of(job) && self.request.trigger != Trigger::Manual
    }
}

impl Node {
    fn elapsed(&self, at: i64) -> i64 {
        at - self.slept + BOOTED_MS
    }

    fn now(&self, at: i64) -> Now {
        Now { utc: Timestamp((base_ms() + at + self.skew).div_euclid(1_000)), elapsed_ms: self.elapsed(at) }
    }
}

impl Fleet {
    fn new(seed: u64, is_told: bool) -> Fleet {
        let mut random = Rng::with_seed(seed);
        let (mut text, mut jobs) = (String::new(), BTreeMap::new());
        for name in ["a", "b", "c"].iter().take(random.usize(1..=3)) {
            let fails_over = random.u8(..3) == 0;
            let is_alone = fails_over || random.bool();
            let runs_when_away = random.u8(..6) == 0;
            let fails = if random.u8(..3) == 0 { 2 } else { 0 };
            let _ = writeln!(text, "CRON_NAME={name}");
            let _ = writeln!(text, "CRON_FLEET={}", if fails_over { "one,failover" } else { "one" });
            let _ = writeln!(text, "CRON_OVERLAP={}", if is_alone { "skip" } else { "allow" });
            let _ = writeln!(text, "CRON_FLEET_AWAY={}", if runs_when_away { "run" } else { "skip" });
            let _ = writeln!(text, "CRON_CATCHUP={}", ["none", "once", "all"][random.usize(..3)]);
            let _ = writeln!(text, "CRON_RETRY={},{}s", if fails > 0 { 2 } else { 0 }, random.u32(1..40));
            let every = [1, 1, 2, 5][random.usize(..4)];
            let _ = writeln!(text, "0-13/{every},18 0 1 5 * {name}");
            let due = (0..14).step_by(every).chain([18]).map(|minute| base_ms() / 1_000 + 60 * minute).collect();
            let duration = [100, 5_000, 50_000, 130_000][random.usize(..4)];
            let job = Job { due, fails_over, runs_when_away, is_alone, duration, fails };
            jobs.insert(JobId::named("alice", name), job);
        }
        let nodes = (0..random.usize(3..=7)).map(|number| Node {
            name: format!("n{number}"),
            plan: None,
            skew: match random.u8(..4) {
                0 => random.i64(-20_000..20_000),
                _ => random.i64(-900..900),
            },
            slept: 0,
            boot: 1,
            condition: Condition::Works,
            stopped_at: 0,
            inbox: Vec::new(),
            saved: SavedState::default(),
            versions: VecDeque::new(),
            has_lost_state: false,
            daemons: 0,
            completed: None,
            next_run: 1 + 1_000_000 * number as u64,
            running: BTreeMap::new(),
            begun: Vec::new(),
            undelivered: Vec::new(),
            delivered: Vec::new(),
            connection: None,
            cut: (false, false),
            connections: 0,
            wakes: 0,
            crash: None,
        });
        let nodes: Vec<Node> = nodes.collect();
        let delay = [5, 50, 400, 3_000][random.usize(..4)];
        Fleet {
            seed,
            random,
            at: -120_000,
            nodes,
            engine: Engine::default(),
            is_engine_down: false,
            is_engine_full: false,
            events: BTreeMap::new(),
            numbers: 0,
            text,
            jobs,
            starts: BTreeMap::new(),
            records: Vec::new(),
            faults: Vec::new(),
            story: Vec::new(),
            delay,
            has_crashed: false,
            snapshot: None,
            is_restored: false,
            ahead: BTreeMap::new(),
            by_hand: 0,
            is_told,
        }
    }

    fn tell(&mut self, text: impl FnOnce() -> String) {
        if self.is_told {
            self.story.push(format!("{:>8.3} {}", self.at as f64 / 1_000.0, text()));
        }
    }

    fn push(&mut self, at: i64, what: What) {
        self.numbers += 1;
        self.events.insert((at.max(self.at), self.numbers), what);
    }

    /// The time of a message on its way.
    fn latency(&mut self) -> i64 {
        let most = if self.random.u8(..20) == 0 { self.delay * 4 } else { self.delay };
        self.random.i64(1..=most)
    }

    /// What will happen, beside the slots.
    fn plan(&mut self) {
        let random = &mut self.random;
        let moment = |random: &mut Rng| {
            let at = random.i64(-60_000..LAST_SLOT_MS);
            // Often about a slot.
            if random.bool() { at.div_euclid(60_000) * 60_000 + random.i64(-500..4_000) } else { at }
        };
        let mut happens = Vec::new();
        for _ in 0..random.usize(..6) {
            let (node, from) = (random.usize(..self.nodes.len()), moment(random));
            let to = from + [500, 5_000, 40_000, 200_000][random.usize(..4)];
            match random.u8(..7) {
                0 | 1 => {
                    let is_reboot = random.u8(..3) == 0;
                    let lost_ms = if is_reboot { [0, 500, 3_000] } else { [0, 0, 200] }[random.usize(..3)];
                    let crash = Crash {
                        actions: random.usize(..6),
                        is_written: random.bool(),
                        is_reboot,
                        lost_ms,
                        is_renamed: random.u8(..8) == 0,
                        down: random.i64(10..90_000),
                    };
                    happens.push((from, Happening::Crash(node, crash)));
                }
                2 => {
                    let (there, back) = [(true, true), (true, false), (false, true)][random.usize(..3)];
                    happens.push((from, Happening::Cut(node, there, back)));
                    happens.push((to, Happening::Heal(node)));
                }
                3 => {
                    let condition = if random.bool() { Condition::Stopped } else { Condition::Asleep };
                    happens.push((from, Happening::Condition(node, condition)));
                    happens.push((to, Happening::Condition(node, Condition::Works)));
                }
                4 => {
                    let most = [3_000, 20_000, 400_000][random.usize(..3)];
                    let step = random.i64(-most..most);
                    happens.push((from, Happening::Step(node, step)));
                    happens.push((to, Happening::Step(node, -step)));
                }
                5 => {
                    happens.push((from, Happening::EngineFull(true)));
                    happens.push((to, Happening::EngineFull(false)));
                }
                _ => {
                    happens.push((from, Happening::EngineDown(true)));
                    happens.push((to, Happening::EngineDown(false)));
                }
            }
        }
        for _ in 0..random.usize(..4) {
            let job = self.jobs.keys().nth(random.usize(..self.jobs.len())).cloned().expect("a job");
            let start = if random.u8(..4) == 0 { ManualStart::Forced } else { ManualStart::ByRules };
            happens.push((moment(random), Happening::RunByHand(random.usize(..self.nodes.len()), job, start)));
        }
        for _ in 0..random.usize(..3) {
            let job = self.jobs.keys().nth(random.usize(..self.jobs.len())).cloned().expect("a job");
            let (from, length) = (moment(random), random.i64(1_000..300_000));
            // Clocks differ by 20 seconds.
            let until = Some(from + length).filter(|until| *until < PAUSES_MS - 50_000).unwrap_or(PAUSED_UNTIL_MS);
            happens.push((from, Happening::Pause(random.usize(..self.nodes.len()), job.clone(), until)));
            if random.bool() {
                let at = from + random.i64(0..length);
                happens.push((at, Happening::Resume(random.usize(..self.nodes.len()), job)));
            }
        }
        if random.u8(..16) == 0 {
            let job = self.jobs.keys().next().cloned().expect("a job");
            let at = random.i64(60_000..LAST_SLOT_MS - 180_000);
            happens.push((at, Happening::Ahead(job.clone(), random.i64(120_000..240_000))));
            happens.push((at + random.i64(1_000..90_000), Happening::Reset(random.usize(..self.nodes.len()), job)));
        }
        if random.u8(..16) == 0 {
            let at = moment(random);
            let lost = random.i64(1_000..200_000);
            happens.push((at, Happening::Snapshot));
            happens.push((at + lost, Happening::EngineDown(true)));
            happens.push((at + lost + 20_000, Happening::Restore));
        }
        for (at, happening) in happens {
            self.push(at.min(QUIET_MS), What::Happens(happening));
        }
        self.push(PAUSES_MS, What::Happens(Happening::ComparePauses));
        for node in 0..self.nodes.len() {
            self.push(-120_000 + 10 * node as i64, What::Start(node));
        }
    }

    /// Whether all slots have been claimed, and have ended.
    fn is_over(&self) -> bool {
        let is_final = |job: &JobId| {
            let mark = self.engine.get(&FleetKey::Mark(job.clone())).and_then(Mark::of_text);
            mark.is_some_and(|mark| !mark.is_open() && mark.slot * 1_000 >= base_ms() + FINAL_SLOT_MS)
        };
        self.jobs.keys().all(is_final)
    }

    fn run(mut self) -> Fleet {
        self.plan();
        while let Some(((at, _), what)) = self.events.pop_first() {
            // Leases end on the way.
            while let Some(end) = self.engine.next_end().filter(|end| *end <= at && !self.is_engine_down) {
                self.at = end.max(self.at);
                self.engine.expire(self.at);
                self.show_changes();
            }
            self.at = at.max(self.at);
            if self.at > UNTIL_MS && (self.at > LAST_MS || self.is_over()) {
                break;
            }
            self.step(what);
        }
        self.check();
        self
    }
}

#[test]
fn no_slot_starts_twice_in_a_fleet_and_each_has_one_outcome() {
    let count = std::env::var("CRONWHEEL_HISTORIES").ok().and_then(|number| number.parse().ok()).unwrap_or(60);
    let mut broken = Vec::new();
    let (mut slots, mut starts, mut records, mut by_hand) = (0, 0, 0, 0);
    for seed in first_history()..first_history() + count {
        let fleet = Fleet::new(seed, false).run();
        if !fleet.faults.is_empty() {
            broken.push(seed);
        }
        slots += fleet.starts.len();
        starts += fleet.starts.values().map(Vec::len).sum::<usize>();
        records += fleet.records.len();
        by_hand += fleet.by_hand;
    }
    if let Some(first) = broken.first() {
        let told = Fleet::new(*first, true).run().told();
        panic!("{} histories break a rule: {:?}\n{told}", broken.len(), &broken[..broken.len().min(10)]);
    }
    eprintln!("{count} histories: {slots} slots in {starts} runs, {by_hand} runs by hand, {records} records");
    // Histories in which nothing is started prove nothing.
    assert!(slots > count as usize * 5 && starts >= slots && records >= slots / 2, "{slots} {starts} {records}");
}
