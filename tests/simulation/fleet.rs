//! A fleet of three to seven nodes, each with its own scheduler, and an engine in memory: skewed and stepping clocks, stopped and suspended
//! nodes, cut links, lost and late messages, crashes between any two steps. No slot may start twice, and each claimed slot has one outcome.
//!
//! `CRONWHEEL_HISTORIES=100000 cargo test --release --test simulation fleet` tries many; a fault names its seed, and
//! `CRONWHEEL_FIRST_HISTORY=SEED CRONWHEEL_HISTORIES=1` tries that one alone and shows what happened.

use crate::fleet_engine::Engine;
use crate::histories::first_history;
use crate::setup::{source, table, time};
use cronwheel::schedule::{Timestamp, Zone};
use cronwheel::scheduler::{
    Action, EarlierRun, Event, FleetAnswer, FleetEntry, FleetEvent, FleetKey, FleetOutcome, FleetRequest,
    FleetSettings, JobId, Mark, Now, RENEW_MS, RunId, RunOutcome, RunRecord, RunRequest, RunResult, SavedState,
    Scheduler, Transaction, Trigger,
};
use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

/// What the monotonic clock of a machine shows at its boot.
const BOOTED_MS: i64 = 1_000_000;
/// The slots lie before this. Milliseconds since the beginning, as all times here that are not said to be others.
const LAST_SLOT_MS: i64 = 14 * 60_000;
/// From then on nothing more happens, and everything comes to its end.
const QUIET_MS: i64 = 15 * 60_000;
const UNTIL_MS: i64 = 22 * 60_000;

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
    completed: Option<Timestamp>,
    next_run: u64,
    running: BTreeMap<RunId, Run>,
    begun: Vec<(i64, EarlierRun)>,
    undelivered: Vec<(EarlierRun, RunResult)>,
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
}

struct Fleet {
    seed: u64,
    random: Rng,
    at: i64,
    nodes: Vec<Node>,
    engine: Engine,
    is_engine_down: bool,
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
    is_told: bool,
}

#[derive(Clone, Debug)]
struct Job {
    fails_over: bool,
    runs_when_away: bool,
    is_alone: bool,
    duration: i64,
    fails: u8,
}

struct Start {
    node: usize,
    run: RunId,
    attempt: u32,
    from: i64,
    to: Option<i64>,
}

fn base_ms() -> i64 {
    time("2026-05-01T00:00:00Z").0 * 1_000
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
            let _ = writeln!(text, "0-13/{every} 0 1 5 * {name}");
            let duration = [100, 5_000, 50_000, 130_000][random.usize(..4)];
            let job = Job { fails_over, runs_when_away, is_alone, duration, fails };
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
            completed: None,
            next_run: 1 + 1_000_000 * number as u64,
            running: BTreeMap::new(),
            begun: Vec::new(),
            undelivered: Vec::new(),
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
            match random.u8(..6) {
                0 | 1 => {
                    let crash = Crash {
                        actions: random.usize(..6),
                        is_written: random.bool(),
                        is_reboot: random.u8(..3) == 0,
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
                _ => {
                    happens.push((from, Happening::EngineDown(true)));
                    happens.push((to, Happening::EngineDown(false)));
                }
            }
        }
        for (at, happening) in happens {
            self.push(at.min(QUIET_MS), What::Happens(happening));
        }
        for node in 0..self.nodes.len() {
            self.push(-120_000 + 10 * node as i64, What::Start(node));
        }
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
            if self.at > UNTIL_MS {
                break;
            }
            self.step(what);
        }
        self.check();
        self
    }

    fn step(&mut self, what: What) {
        match what {
            What::Wake(node, number) => {
                if self.nodes[node].wakes == number {
                    self.turn(node, vec![Event::Tick]);
                }
            }
            What::Start(node) => self.start(node),
            What::Connect(node, number) => self.connect(node, number),
            What::Listed(node, number, lease, sent_ms, entries, seen) => {
                let of = &mut self.nodes[node];
                if of.connections != number || of.plan.is_none() || of.cut.1 {
                    return;
                }
                let (heard, asked) = (self.at, BTreeMap::new());
                of.connection = Some(Connection { number, lease, seen, heard, asked, is_watch_under_way: false });
                let parts = entries.chunks(7).map(|part| Event::Fleet(FleetEvent::Entries(part.to_vec())));
                let begin = Event::Fleet(FleetEvent::Listing { lease, sent_ms });
                let events: Vec<Event> =
                    [begin].into_iter().chain(parts).chain([Event::Fleet(FleetEvent::Listed)]).collect();
                events.into_iter().for_each(|event| self.turn(node, vec![event]));
                self.push(self.at, What::Renew(node, number));
                self.push(self.at + 6_000, What::Silence(node, number));
                self.show_changes();
            }
            What::Renew(node, number) => {
                let of = &self.nodes[node];
                let Some(connection) = of.connection.as_ref().filter(|other| other.number == number) else { return };
                // Main asks for it: not one that is stopped.
                if of.condition == Condition::Works {
                    let (lease, clock, sent) = (connection.lease, base_ms() + self.at + of.skew, of.elapsed(self.at));
                    if !of.cut.0 {
                        let at = self.at + self.latency();
                        self.push(at, What::RenewArrives(node, lease, clock, sent));
                    }
                }
                self.push(self.at + RENEW_MS, What::Renew(node, number));
            }
            What::RenewArrives(node, lease, clock, sent) => {
                if self.is_engine_down {
                    return;
                }
                let name = self.nodes[node].name.clone();
                if self.engine.renew(lease, self.at) {
                    self.engine.put_clock(&name, clock, lease);
                    self.show_changes();
                    if !self.nodes[node].cut.1 {
                        let at = self.at + self.latency();
                        self.push(at, What::Renewed(node, lease, sent));
                    }
                } else if self.has_lease(node, lease) {
                    self.disconnect(node);
                }
            }
            What::Renewed(node, lease, sent_ms) => {
                if self.has_lease(node, lease) {
                    let at = self.at;
                    if let Some(connection) = &mut self.nodes[node].connection {
                        connection.heard = at;
                    }
                    self.turn(node, vec![Event::Fleet(FleetEvent::Renewed { sent_ms })]);
                }
            }
            What::Arrives(node, number, id, transaction) => {
                if self.is_engine_down {
                    return;
                }
                let answer = self.engine.execute(&transaction);
                self.show_changes();
                if !self.nodes[node].cut.1 && self.random.u8(..30) > 0 {
                    let at = self.at + self.latency();
                    self.push(at, What::Answer(node, number, id, answer));
                }
            }
            What::Resend(node, number, id) => self.send(node, number, id),
            What::Answer(node, number, id, answer) => {
                let at = self.at;
                let Some(connection) = self.nodes[node].connection.as_mut().filter(|other| other.number == number)
                else {
                    return;
                };
                connection.heard = at;
                if connection.asked.remove(&id).is_some() {
                    self.tell(|| format!("n{node} answer {id} {answer:?}"));
                    self.turn(node, vec![Event::Fleet(FleetEvent::Answered { id, answer })]);
                }
            }
            What::Watch(node, number) => {
                let at = self.at;
                let of = &mut self.nodes[node];
                let Some(connection) = of.connection.as_mut().filter(|other| other.number == number) else { return };
                connection.is_watch_under_way = false;
                if of.cut.1 || self.is_engine_down {
                    return;
                }
                connection.heard = at;
                let entries = self.engine.watch(connection.seen);
                connection.seen = self.engine.log.len();
                if !entries.is_empty() {
                    self.turn(node, vec![Event::Fleet(FleetEvent::Entries(entries))]);
                }
            }
            What::Silence(node, number) => {
                let Some(connection) = self.nodes[node].connection.as_ref().filter(|other| other.number == number)
                else {
                    return;
                };
                if self.at - connection.heard > 6_000 {
                    return self.disconnect(node);
                }
                self.push(self.at + 1_000, What::Silence(node, number));
            }
            What::Begins(node, boot, start, start_by, end_by) => self.execute(node, boot, start, start_by, end_by),
            What::Ends(node, boot, run) => self.end(node, boot, run),
            What::Happens(happening) => self.happen(happening),
        }
    }

    fn has_lease(&self, node: usize, lease: u64) -> bool {
        self.nodes[node].connection.as_ref().is_some_and(|connection| connection.lease == lease)
    }

    /// Lets the watches show what has changed.
    fn show_changes(&mut self) {
        for node in 0..self.nodes.len() {
            let is_behind = |connection: &&mut Connection| {
                !connection.is_watch_under_way && connection.seen < self.engine.log.len()
            };
            let Some(connection) = self.nodes[node].connection.as_mut().filter(is_behind) else { continue };
            connection.is_watch_under_way = true;
            let number = connection.number;
            let at = self.at + self.latency();
            self.push(at, What::Watch(node, number));
        }
    }

    fn connect(&mut self, node: usize, number: u64) {
        let of = &self.nodes[node];
        if of.connections != number || of.plan.is_none() || of.connection.is_some() {
            return;
        }
        let works = of.condition == Condition::Works && of.cut == (false, false) && !self.is_engine_down;
        if !works {
            let at = self.at + self.random.i64(500..3_000);
            return self.push(at, What::Connect(node, number));
        }
        let sent_ms = of.elapsed(self.at);
        let lease = self.engine.grant(self.at);
        let (entries, seen) = (self.engine.list(), self.engine.log.len());
        let at = self.at + self.latency();
        self.push(at, What::Listed(node, number, lease, sent_ms, entries, seen));
        // If that is lost.
        self.push(self.at + 10_000, What::Connect(node, number));
    }

    fn disconnect(&mut self, node: usize) {
        self.tell(|| format!("n{node} away"));
        self.nodes[node].connection = None;
        self.reconnect(node);
        self.turn(node, vec![Event::Fleet(FleetEvent::Away)]);
    }

    fn reconnect(&mut self, node: usize) {
        self.nodes[node].connections += 1;
        let number = self.nodes[node].connections;
        let at = self.at + self.random.i64(10..2_000);
        self.push(at, What::Connect(node, number));
    }

    /// The agent sends a request, and again until there is an answer.
    fn send(&mut self, node: usize, number: u64, id: u64) {
        let of = &mut self.nodes[node];
        let elapsed = of.elapsed(self.at);
        let Some(connection) = of.connection.as_mut().filter(|other| other.number == number) else { return };
        let Some(request) = connection.asked.get(&id) else { return };
        if elapsed >= request.expires_ms {
            connection.asked.remove(&id);
            return self.turn(node, vec![Event::Fleet(FleetEvent::Answered { id, answer: FleetAnswer::Unknown })]);
        }
        let transaction = request.transaction.clone();
        if !of.cut.0 && self.random.u8(..30) > 0 {
            let at = self.at + self.latency();
            self.push(at, What::Arrives(node, number, id, transaction));
        }
        let at = self.at + self.random.i64(1_000..4_000);
        self.push(at, What::Resend(node, number, id));
    }
}

/// Daemons and executors.
impl Fleet {
    fn start(&mut self, node: usize) {
        if self.nodes[node].plan.is_some() {
            return;
        }
        self.tell(|| format!("n{node} starts"));
        let of = &mut self.nodes[node];
        of.condition = Condition::Works;
        let now = of.now(self.at);
        let mut plan = Scheduler::new(Zone::utc(), now);
        plan.set_caller("alice");
        plan.set_fleet(FleetSettings {
            node: of.name.clone(),
            labels: Vec::new(),
            weight: 1,
            version: "1".to_owned(),
            fresh_instance: format!("{node:x}b{:x}", of.boot),
        });
        plan.reserve_runs_from(RunId(of.next_run));
        let loaded = plan.handle(Event::Load { source: source("/spool/alice"), table: table(&self.text) }, now);
        let mut earlier: Vec<EarlierRun> = of
            .running
            .iter()
            .map(|(run, of)| EarlierRun {
                run: *run,
                job: of.request.job.clone(),
                scheduled_at: Timestamp(of.request.scheduled_at),
            })
            .collect();
        let undelivered = std::mem::take(&mut of.undelivered);
        earlier.extend(undelivered.iter().map(|(run, _)| run.clone()));
        let known: Vec<EarlierRun> =
            of.begun.iter().filter(|(at, _)| self.at - at < 500_000).map(|(_, run)| run.clone()).collect();
        let started = known.iter().map(|run| (run.job.clone(), run.scheduled_at)).collect();
        plan.handle(Event::EarlierRuns(earlier), now);
        plan.handle(Event::EarlierStarts(known), now);
        let running = of.running.iter().map(|(run, of)| (*run, of.request.job.clone())).collect();
        let mut saved = of.saved.clone();
        let is_boot = of.completed.is_none();
        if is_boot {
            saved.set_of_other_boot();
        }
        let saved = Box::new(saved);
        let begin = Event::Begin { boot: is_boot, completed: of.completed, started, running, saved };
        of.plan = Some(plan);
        let ends: Vec<Event> = undelivered.into_iter().map(|(_, end)| Event::RunEnded(Box::new(end))).collect();
        self.perform(node, loaded, None);
        self.turn(node, ends.into_iter().chain([begin]).collect());
        self.reconnect(node);
    }

    /// Gives a node events, and does what it wants.
    fn turn(&mut self, node: usize, events: Vec<Event>) {
        let of = &mut self.nodes[node];
        if of.plan.is_none() {
            return;
        }
        if of.condition != Condition::Works {
            return of.inbox.extend(events);
        }
        let now = of.now(self.at);
        let Some(plan) = &mut of.plan else { return };
        let actions = plan.handle_all(events, now);
        let crash = of.crash.take_if(|crash| actions.len() > crash.actions);
        self.perform(node, actions, crash);
        if let Some(crash) = crash {
            return self.crash(node, crash);
        }
        self.set_alarm(node);
    }

    fn set_alarm(&mut self, node: usize) {
        let of = &mut self.nodes[node];
        let Some(plan) = &of.plan else { return };
        of.wakes += 1;
        let by_clock = plan.wake_at().map(|at| at.0 * 1_000 - base_ms() - of.skew);
        let elapsed = plan.wake_at_elapsed_ms().map(|at| at - BOOTED_MS + of.slept);
        let number = of.wakes;
        if let Some(at) = [by_clock, elapsed].into_iter().flatten().min() {
            let late = if self.random.u8(..10) == 0 { self.random.i64(..300) } else { 0 };
            self.push(at.max(self.at + 1) + late, What::Wake(node, number));
        }
    }

    fn perform(&mut self, node: usize, actions: Vec<Action>, crash: Option<Crash>) {
        let most = crash.map_or(usize::MAX, |crash| crash.actions);
        let is_written = crash.is_none_or(|crash| crash.is_written);
        for (number, action) in actions.into_iter().enumerate() {
            let is_lost = number >= most;
            match action {
                Action::ReserveRuns(upto) => self.nodes[node].next_run = upto.0,
                Action::SaveState(change) if is_written && !is_lost => self.nodes[node].saved.apply(*change),
                Action::Completed(upto) if is_written && !is_lost => {
                    self.nodes[node].completed = Some(upto);
                    self.nodes[node].saved.set_handled(upto);
                }
                _ if is_lost => {}
                Action::Start(start) => self.hand_over(node, start),
                Action::Fleet(request) => self.ask(node, *request),
                Action::ExtendRuns { runs, end_by_ms } => {
                    let (until, boot) = (end_by_ms - BOOTED_MS + self.nodes[node].slept, self.nodes[node].boot);
                    for run in runs {
                        let of = self.nodes[node].running.get_mut(&run);
                        if let Some(of) = of.filter(|of| of.deadline.is_some()) {
                            of.deadline = Some(until);
                        }
                        self.push(until, What::Ends(node, boot, run));
                    }
                }
                Action::End { run, .. } => {
                    let (at, boot) = (self.at, self.nodes[node].boot);
                    if let Some(of) = self.nodes[node].running.get_mut(&run) {
                        of.ends = at;
                        self.push(at, What::Ends(node, boot, run));
                    }
                }
                Action::Record(record) => {
                    self.tell(|| {
                        format!("n{node} records {} {} {:?}", record.job, record.scheduled_at, record.outcome)
                    });
                    self.records.push((node, *record));
                }
                _ => {}
            }
        }
    }

    fn ask(&mut self, node: usize, request: FleetRequest) {
        self.tell(|| format!("n{node} asks {} {:?}", request.id, request.transaction));
        // The agent may have given up its connection, and main does not know that yet.
        let Some(connection) = &mut self.nodes[node].connection else { return };
        let (number, id) = (connection.number, request.id);
        connection.asked.insert(id, request);
        self.send(node, number, id);
    }

    /// A start is on its way to the executor.
    fn hand_over(&mut self, node: usize, start: Box<RunRequest>) {
        let Some(claim) = start.fleet else { return self.faults.push(format!("{} has no claim", start.job)) };
        let of = &self.nodes[node];
        let (boot, convert) = (of.boot, |at: i64| at - BOOTED_MS + of.slept);
        let (start_by, end_by) = (convert(claim.start_by_ms), claim.end_by_ms.map(convert));
        let late = if self.random.u8(..40) == 0 { self.random.i64(..40_000) } else { self.random.i64(..20) };
        self.push(self.at + late, What::Begins(node, boot, start, start_by, end_by));
    }

    fn execute(&mut self, node: usize, boot: u64, start: Box<RunRequest>, start_by: i64, end_by: Option<i64>) {
        let of = &mut self.nodes[node];
        if of.boot != boot {
            return;
        }
        if of.condition == Condition::Asleep {
            let at = self.at + 100;
            return self.push(at, What::Begins(node, boot, start, start_by, end_by));
        }
        let run = start.run;
        let known = EarlierRun { run, job: start.job.clone(), scheduled_at: Timestamp(start.scheduled_at) };
        of.begun.push((self.at, known));
        self.turn(node, vec![Event::Begun(vec![run])]);
        if self.at > start_by || end_by.is_some_and(|end_by| self.at >= end_by) {
            let why = "claim expired".to_owned();
            self.tell(|| format!("n{node} does not start {} {}", start.job, start.scheduled_at));
            return self.deliver(node, &start, RunOutcome::NotStarted { why }, None, false);
        }
        let slot = (start.job.clone(), start.scheduled_at);
        self.tell(|| format!("n{node} STARTS {} {} #{} run {}", start.job, start.scheduled_at, start.attempt, run.0));
        let started = Start { node, run, attempt: start.attempt, from: self.at, to: None };
        self.check_start(&start, &started);
        self.starts.entry(slot).or_default().push(started);
        let job = &self.jobs[&start.job];
        let status = i32::from(self.random.u8(..6) < job.fails);
        let ends = self.at + self.random.i64(1..=job.duration);
        let of = Run { request: *start, started: self.at, ends, status, deadline: end_by };
        let first = end_by.map_or(ends, |end_by| end_by.min(ends));
        self.nodes[node].running.insert(run, of);
        self.push(first, What::Ends(node, boot, run));
        self.push(ends, What::Ends(node, boot, run));
    }

    /// A run may have ended.
    fn end(&mut self, node: usize, boot: u64, run: RunId) {
        let of = &mut self.nodes[node];
        if of.boot != boot {
            return;
        }
        let Some(running) = of.running.get(&run) else { return };
        let is_over = running.deadline.is_some_and(|deadline| deadline <= self.at);
        if !is_over && running.ends > self.at {
            return;
        }
        if of.condition == Condition::Asleep {
            let at = self.at + 100;
            return self.push(at, What::Ends(node, boot, run));
        }
        let Some(ended) = of.running.remove(&run) else { return };
        // While the machine slept it did nothing, and its deadline comes first after that.
        let to = ended.deadline.map_or(self.at, |deadline| deadline.min(self.at));
        if let Some(starts) = self.starts.get_mut(&(ended.request.job.clone(), ended.request.scheduled_at))
            && let Some(start) = starts.iter_mut().find(|start| start.run == run)
        {
            start.to = Some(to);
        }
        let outcome = match is_over {
            true => RunOutcome::Signal { number: 15, core_dumped: false },
            false => RunOutcome::Code(ended.status),
        };
        self.tell(|| format!("n{node} ended run {} {outcome:?}", run.0));
        self.deliver(node, &ended.request, outcome, Some(ended.started), is_over);
    }

    fn deliver(&mut self, node: usize, request: &RunRequest, outcome: RunOutcome, started: Option<i64>, is_over: bool) {
        let mut result = RunResult::of_outcome(request.run, outcome, base_ms() + self.at);
        result.started_at_ms = started.map(|at| base_ms() + at);
        result.is_timeout = is_over;
        let of = &mut self.nodes[node];
        if of.plan.is_some() {
            return self.turn(node, vec![Event::RunEnded(Box::new(result))]);
        }
        let scheduled_at = Timestamp(request.scheduled_at);
        of.undelivered.push((EarlierRun { run: request.run, job: request.job.clone(), scheduled_at }, result));
    }

    fn crash(&mut self, node: usize, crash: Crash) {
        self.tell(|| format!("n{node} CRASHES {crash:?}"));
        self.has_crashed = true;
        let at = self.at;
        let of = &mut self.nodes[node];
        of.plan = None;
        of.connection = None;
        of.connections += 1;
        // Ends that have not been handled come again.
        for event in std::mem::take(&mut of.inbox) {
            if let Event::RunEnded(result) = event
                && let Some((_, run)) = of.begun.iter().find(|(_, run)| run.run == result.run)
            {
                of.undelivered.push((run.clone(), *result));
            }
        }
        if crash.is_reboot {
            of.boot += 1;
            of.completed = None;
            of.undelivered.clear();
            of.begun.clear();
            for (run, of) in std::mem::take(&mut of.running) {
                let starts = self.starts.get_mut(&(of.request.job.clone(), of.request.scheduled_at));
                if let Some(start) = starts.and_then(|starts| starts.iter_mut().find(|start| start.run == run)) {
                    start.to = Some(at);
                }
            }
        }
        self.push(at + crash.down, What::Start(node));
    }

    fn happen(&mut self, happening: Happening) {
        self.tell(|| format!("{happening:?}"));
        match happening {
            Happening::Crash(node, crash) => {
                if self.nodes[node].plan.is_some() && self.nodes[node].condition == Condition::Works {
                    self.nodes[node].crash = Some(crash);
                }
            }
            Happening::Cut(node, there, back) => self.nodes[node].cut = (there, back),
            Happening::Heal(node) => self.nodes[node].cut = (false, false),
            Happening::Condition(node, condition) => {
                let of = &mut self.nodes[node];
                if of.plan.is_none() || of.condition == condition {
                    return;
                }
                if condition == Condition::Works {
                    let was_asleep = of.condition == Condition::Asleep;
                    of.condition = condition;
                    let inbox = std::mem::take(&mut of.inbox);
                    if was_asleep {
                        let slept = self.at - of.stopped_at;
                        of.slept += slept;
                        if let Some(plan) = &mut of.plan {
                            plan.note_sleep(slept);
                        }
                    }
                    self.turn(node, vec![Event::Tick]);
                    inbox.into_iter().for_each(|event| self.turn(node, vec![event]));
                    return;
                }
                of.condition = condition;
                of.stopped_at = self.at;
            }
            Happening::Step(node, step) => {
                self.nodes[node].skew += step;
                self.turn(node, vec![Event::Tick]);
            }
            Happening::EngineDown(is_down) => {
                self.is_engine_down = is_down;
                if !is_down {
                    self.engine.extend_leases(self.at);
                    self.show_changes();
                }
            }
        }
    }
}

/// What must hold.
impl Fleet {
    fn fault(&mut self, text: String) {
        let at = self.at;
        self.faults.push(format!("{at}: {text}"));
        self.tell(|| format!("FAULT {text}"));
    }

    fn check_start(&mut self, start: &RunRequest, new: &Start) {
        let job = self.jobs[&start.job].clone();
        let told = format!("{} {} on n{}", start.job, Timestamp(start.scheduled_at), new.node);
        let before = self.starts.get(&(start.job.clone(), start.scheduled_at));
        let before: Vec<&Start> = before.iter().flat_map(|starts| starts.iter()).collect();
        let mut faults = Vec::new();
        let is_unclaimed = start.fleet.is_none_or(|claim| claim.fence.is_none());
        if is_unclaimed && !job.runs_when_away {
            faults.push(format!("{told} starts without a claim"));
        }
        if before.iter().any(|other| other.node == new.node && other.attempt >= new.attempt) {
            faults.push(format!("{told} starts a second time there"));
        }
        let others: BTreeSet<usize> = before.iter().map(|other| other.node).filter(|node| *node != new.node).collect();
        let may_be_elsewhere = job.runs_when_away
            || (job.fails_over && others.len() == 1 && start.trigger == Trigger::Failover)
            || (job.fails_over && others.len() == 1 && start.trigger == Trigger::Retry);
        if !others.is_empty() && !may_be_elsewhere {
            faults.push(format!("{told} starts a second time"));
        }
        let goes_on = |other: &&&Start| other.to.is_none_or(|to| to > new.from) && self.is_running(other);
        if !job.runs_when_away && before.iter().any(|other| goes_on(&other)) {
            faults.push(format!("{told} starts while its slot still runs"));
        }
        if job.is_alone && !job.runs_when_away && self.is_any_running(&start.job) {
            // A run whose node has lost its lease is not known to go on, unless it ends with the lease.
            let is_known = self.nodes.iter().any(|node| {
                node.connection.is_some()
                    && node.running.values().any(|run| run.request.job == start.job)
                    && self.engine.get(&FleetKey::Node(node.name.clone())).is_some()
                    && self.engine.get(&FleetKey::Run(start.job.clone())).is_some_and(|key| key.contains(&node.name))
            });
            if is_known || job.fails_over && self.is_any_executing(&start.job) {
                faults.push(format!("{told} overlaps another run"));
            }
        }
        faults.into_iter().for_each(|fault| self.fault(fault));
    }

    fn is_running(&self, start: &Start) -> bool {
        self.nodes[start.node].running.get(&start.run).is_some_and(|run| {
            run.deadline.is_none_or(|deadline| deadline > self.at)
                || self.nodes[start.node].condition != Condition::Asleep
        })
    }

    fn is_any_running(&self, job: &JobId) -> bool {
        self.nodes.iter().any(|node| node.running.values().any(|run| run.request.job == *job))
    }

    fn is_any_executing(&self, job: &JobId) -> bool {
        self.nodes.iter().any(|node| {
            node.condition != Condition::Asleep
                && node
                    .running
                    .values()
                    .any(|run| run.request.job == *job && run.deadline.is_none_or(|deadline| deadline > self.at))
        })
    }

    /// Each claimed slot has one outcome.
    fn check(&mut self) {
        let mut outcomes: BTreeMap<(JobId, i64), BTreeMap<String, String>> = BTreeMap::new();
        let mut last_of_slot: HashMap<(JobId, i64), String> = HashMap::new();
        let mut claimed: BTreeSet<(JobId, i64)> = BTreeSet::new();
        for entry in &self.engine.log {
            match (FleetKey::of_text(&entry.key), &entry.value) {
                (Some(FleetKey::Outcome(job, _)), Some(text)) => {
                    let outcome: FleetOutcome = serde_json::from_str(text).expect("an outcome");
                    let slot = (job, outcome.slot);
                    if outcome.outcome != "running" {
                        let by = format!("{} {}", outcome.node, outcome.outcome);
                        outcomes.entry(slot.clone()).or_default().insert(by, text.clone());
                    }
                    last_of_slot.insert(slot, outcome.outcome);
                }
                (Some(FleetKey::Mark(job)), Some(text)) => {
                    let mark = Mark::of_text(text).expect("a mark");
                    claimed.insert((job, mark.slot));
                }
                _ => {}
            }
        }
        let mut faults = Vec::new();
        for slot in &claimed {
            let count = outcomes.get(slot).map_or(0, BTreeMap::len);
            let is_newest = claimed.range(slot..).filter(|other| other.0 == slot.0).nth(1).is_none();
            // An older claim whose node has crashed goes on as `running` in the list, which names the node.
            let may_be_open = !is_newest && self.has_crashed;
            if count != 1 && !(count == 0 && may_be_open) {
                faults.push(format!("{} {} has {count} outcomes: {:?}", slot.0, Timestamp(slot.1), outcomes.get(slot)));
            }
        }
        for ((job, slot), starts) in &self.starts {
            let is_claimed = claimed.contains(&(job.clone(), *slot));
            if !is_claimed && !self.jobs[job].runs_when_away {
                faults.push(format!("{job} {} was started {} times and never claimed", Timestamp(*slot), starts.len()));
            }
        }
        faults.into_iter().for_each(|fault| self.fault(fault));
    }

    fn told(&self) -> String {
        format!("seed {}\n{}\n{}\n{}", self.seed, self.faults.join("\n"), self.text, self.story.join("\n"))
    }
}

#[test]
fn no_slot_starts_twice_in_a_fleet_and_each_has_one_outcome() {
    let count = std::env::var("CRONWHEEL_HISTORIES").ok().and_then(|number| number.parse().ok()).unwrap_or(60);
    let mut broken = Vec::new();
    let (mut slots, mut starts, mut records) = (0, 0, 0);
    for seed in first_history()..first_history() + count {
        let fleet = Fleet::new(seed, false).run();
        if !fleet.faults.is_empty() {
            broken.push(seed);
        }
        slots += fleet.starts.len();
        starts += fleet.starts.values().map(Vec::len).sum::<usize>();
        records += fleet.records.len();
    }
    if let Some(first) = broken.first() {
        let told = Fleet::new(*first, true).run().told();
        panic!("{} histories break a rule: {:?}\n{told}", broken.len(), &broken[..broken.len().min(10)]);
    }
    // Histories in which nothing is started prove nothing.
    assert!(slots > count as usize * 5 && starts >= slots && records >= slots / 2, "{slots} {starts} {records}");
}
