//! Faults of the fleet that were found, each with the least that shows it: nodes with their schedulers, and the engine in memory.

use crate::fleet_engine::Engine;
use crate::setup::{source, table, time};
use cronwheel::schedule::{Timestamp, Zone};
use cronwheel::scheduler::{
    Action, Event, FleetAnswer, FleetEvent, FleetKey, FleetOutcome, FleetPause, FleetRequest, FleetSettings, JobId,
    Now, Outcome, Pause, RunId, RunOutcome, RunRecord, RunRequest, RunResult, SavedState, Scheduler,
};

/// A node, whose engine answers at once while it can be reached.
struct Node {
    plan: Scheduler,
    name: &'static str,
    text: String,
    saved: SavedState,
    /// Seconds since the beginning.
    at: i64,
    is_connected: bool,
    /// Requests that get no answer, although they are carried out.
    is_deaf: bool,
    /// Requests are refused, as the engine is full.
    is_full: bool,
    started: Vec<RunRequest>,
    records: Vec<RunRecord>,
    asked: Vec<FleetRequest>,
}

/// One second before the first slot.
fn begin() -> Timestamp {
    Timestamp(time("2026-05-01T00:00:00Z").0 - 1)
}

fn job() -> JobId {
    JobId::named("alice", "a")
}

fn slot(minute: i64) -> i64 {
    begin().0 + 1 + 60 * minute
}

impl Node {
    fn new(name: &'static str, settings: &str) -> Node {
        let text = format!("CRON_NAME=a\nCRON_FLEET=one\n{settings}* * * * * a\n");
        Node::of(name, text, SavedState::default(), 0)
    }

    fn of(name: &'static str, text: String, saved: SavedState, at: i64) -> Node {
        let now = Node::moment(at);
        let mut plan = Scheduler::new(Zone::utc(), now);
        plan.set_caller("alice");
        let settings = FleetSettings {
            node: name.to_owned(),
            labels: Vec::new(),
            weight: 1,
            version: "1".to_owned(),
            fresh_instance: format!("{name}{at}"),
        };
        plan.set_fleet(settings, crate::fleet_engine::next_number);
        plan.reserve_runs_from(RunId(1 + 1_000 * at.unsigned_abs()));
        plan.handle(Event::Load { source: source("/spool/alice"), table: table(&text) }, now);
        let (started, records, asked) = (Vec::new(), Vec::new(), Vec::new());
        let kept = saved.clone();
        let mut node = Node {
            plan,
            name,
            text,
            saved,
            at,
            is_connected: false,
            is_deaf: false,
            is_full: false,
            started,
            records,
            asked,
        };
        let (completed, started, running) = (Some(now.utc), Vec::new(), Vec::new());
        let engine = &mut Engine::default();
        node.tell(Event::DaemonStarted { boot: false, completed, started, running, saved: Box::new(kept) }, engine);
        node
    }

    fn moment(at: i64) -> Now {
        Now { utc: Timestamp(begin().0 + at), elapsed_ms: 1_000_000 + 1_000 * at }
    }

    /// Gives it an event, and does what it wants.
    fn tell(&mut self, event: Event, engine: &mut Engine) {
        let mut events = vec![event];
        while !events.is_empty() {
            let actions = self.plan.handle_all(std::mem::take(&mut events), Node::moment(self.at));
            for action in actions {
                match action {
                    Action::SaveState(change) => self.saved.apply(*change),
                    Action::Start(start) => self.started.push(*start),
                    Action::Record(record) => self.records.push(*record),
                    Action::Fleet(request) => events.extend(self.ask(*request, engine)),
                    _ => {}
                }
            }
        }
    }

    fn ask(&mut self, request: FleetRequest, engine: &mut Engine) -> Option<Event> {
        if !self.is_connected {
            return None;
        }
        let id = request.id;
        let answer = match self.is_full {
            true => FleetAnswer::Failed { why: "no space".to_owned() },
            false => engine.execute(&request.transaction),
        };
        self.asked.push(request);
        (!self.is_deaf).then_some(Event::Fleet(FleetEvent::Answered { id, answer }))
    }

    fn connect(&mut self, engine: &mut Engine) {
        (self.is_connected, self.is_deaf) = (true, false);
        let (lease, sent_ms) = (engine.grant(1_000 * self.at), Node::moment(self.at).elapsed_ms);
        self.tell(Event::Fleet(FleetEvent::Listing { lease, sent_ms }), engine);
        self.tell(Event::Fleet(FleetEvent::Entries(engine.list())), engine);
        self.tell(Event::Fleet(FleetEvent::Listed), engine);
    }

    fn disconnect(&mut self, engine: &mut Engine) {
        self.is_connected = false;
        self.tell(Event::Fleet(FleetEvent::Away), engine);
    }

    /// Goes on second by second, with renewals and what the watch shows.
    fn run_until(&mut self, at: i64, engine: &mut Engine) {
        while self.at < at {
            self.at += 1;
            self.renew(engine);
            self.watch(engine);
            self.tell(Event::Tick, engine);
        }
    }

    fn renew(&mut self, engine: &mut Engine) {
        if self.is_connected && self.at % 5 == 0 {
            let sent_ms = Node::moment(self.at).elapsed_ms;
            self.tell(Event::Fleet(FleetEvent::Renewed { sent_ms }), engine);
        }
    }

    fn watch(&mut self, engine: &mut Engine) {
        if self.is_connected {
            self.tell(Event::Fleet(FleetEvent::Entries(engine.list())), engine);
        }
    }

    /// Goes on by a second, and does not see what the watch shows.
    fn run_unseen(&mut self, engine: &mut Engine) {
        self.at += 1;
        self.renew(engine);
        self.tell(Event::Tick, engine);
    }

    fn end(&mut self, run: RunId, engine: &mut Engine) {
        let ended_at_ms = Node::moment(self.at).utc.0 * 1_000;
        let result = RunResult::of_outcome(run, RunOutcome::Code(0), ended_at_ms);
        self.tell(Event::RunEnded(Box::new(result)), engine);
    }

    /// The daemon is killed, and another one follows.
    fn restart(self) -> Node {
        let records = self.records.clone();
        Node { records, ..Node::of(self.name, self.text, self.saved, self.at) }
    }

    /// The outcomes that it has recorded of a slot.
    fn outcomes(&self, slot: i64) -> Vec<&Outcome> {
        let of_slot = |record: &&RunRecord| {
            let until = record.until.unwrap_or(record.scheduled_at);
            (record.scheduled_at.0..=until.0).contains(&slot)
        };
        self.records.iter().filter(of_slot).map(|record| &record.outcome).collect()
    }
}

/// The outcomes of a slot that the engine has.
fn outcomes(engine: &Engine, slot: i64) -> Vec<String> {
    let all = (0..20).filter_map(|number| engine.get(&FleetKey::Outcome(job(), number)));
    let all = all.map(|text| serde_json::from_str::<FleetOutcome>(text).expect("an outcome"));
    let of_slot = all.filter(|outcome| (outcome.slot..=outcome.until.unwrap_or(outcome.slot)).contains(&slot));
    of_slot.map(|outcome| format!("{} {}", outcome.outcome, outcome.detail.unwrap_or_default())).collect()
}

fn pause(engine: &Engine) -> Option<FleetPause> {
    engine.get(&FleetKey::Pause(job())).map(|text| serde_json::from_str(text).expect("a pause"))
}

#[test]
fn an_end_that_etcd_has_not_been_told_is_reported_after_a_restart() {
    let engine = &mut Engine::default();
    let mut node = Node::new("n1", "");
    node.connect(engine);
    node.run_until(2, engine);
    let run = node.started.first().expect("a start").run;
    node.disconnect(engine);
    node.end(run, engine);
    let mut node = node.restart();
    node.connect(engine);
    node.run_until(50, engine);
    assert_eq!(outcomes(engine, slot(0)), ["ok 0"]);
    assert_eq!(node.outcomes(slot(0)), [&Outcome::Ok { status: 0 }]);
}

#[test]
fn a_slot_that_was_run_without_a_claim_is_known_to_the_next_daemon_and_to_the_fleet() {
    let engine = &mut Engine::default();
    let mut node = Node::new("n1", "CRON_FLEET_AWAY=run\nCRON_CATCHUP=all\n");
    node.connect(engine);
    node.run_until(2, engine);
    let run = node.started.first().expect("a start").run;
    node.end(run, engine);
    node.disconnect(engine);
    node.run_until(95, engine);
    let run = node.started.last().expect("a start").run;
    assert_eq!(node.started.len(), 2);
    node.end(run, engine);
    let mut node = node.restart();
    node.run_until(100, engine);
    node.connect(engine);
    node.run_until(118, engine);
    assert_eq!(node.started.len(), 0);
    assert_eq!(node.outcomes(slot(1)), [&Outcome::Ok { status: 0 }]);
    assert_eq!(outcomes(engine, slot(1)), [""; 0]);
    let mark = engine.get(&FleetKey::Mark(job())).and_then(cronwheel::scheduler::Mark::of_text).expect("a mark");
    assert_eq!(mark.slot, slot(1));
}

#[test]
fn pauses_that_were_asked_for_while_etcd_was_away_survive_a_restart_and_come_once() {
    let engine = &mut Engine::default();
    let mut node = Node::new("n1", "");
    node.connect(engine);
    node.disconnect(engine);
    let (from, until) = (Timestamp(slot(0)), Timestamp(slot(10)));
    let (by, note) = ("alice".to_owned(), String::new());
    let asked = Pause { from, until, by, note, is_by_root: false, source: None };
    node.run_until(1, engine);
    node.tell(Event::Pause { job: job(), pause: asked }, engine);
    let mut node = node.restart();
    node.asked.clear();
    node.connect(engine);
    assert_eq!(pause(engine).map(|pause| (pause.from, pause.is_ended)), Some((slot(0), false)));
    let begin = node.asked.iter().find(|request| request.transaction.changes[0].key.starts_with("pause/")).cloned();
    node.disconnect(engine);
    node.run_until(5, engine);
    node.tell(Event::Resume { job: job() }, engine);
    let mut node = node.restart();
    node.connect(engine);
    assert_eq!(pause(engine).map(|pause| pause.is_ended), Some(true));
    // The agent may carry out a transaction once more, however late.
    engine.execute(&begin.expect("a request").transaction);
    assert_eq!(pause(engine).map(|pause| pause.is_ended), Some(true));
    // Another node that was away has the pause still, and learns of its end.
    assert!(node.plan.job_status(&job()).pause.is_none());
}

#[test]
fn a_pause_that_was_asked_for_on_another_node_meanwhile_is_not_ended_by_an_older_request() {
    let engine = &mut Engine::default();
    let pause_of = |by: &str, from: i64| Event::Pause {
        job: job(),
        pause: Pause {
            from: Timestamp(from),
            until: Timestamp(slot(10)),
            by: by.to_owned(),
            note: String::new(),
            is_by_root: false,
            source: None,
        },
    };
    let (mut one, mut other) = (Node::new("n1", ""), Node::new("n2", ""));
    one.connect(engine);
    other.connect(engine);
    one.run_until(1, engine);
    one.tell(pause_of("alice", slot(0)), engine);
    one.disconnect(engine);
    one.run_until(5, engine);
    one.tell(Event::Resume { job: job() }, engine);
    other.run_until(20, engine);
    other.tell(pause_of("bob", slot(0) + 19), engine);
    one.run_until(30, engine);
    one.connect(engine);
    one.run_until(32, engine);
    assert_eq!(pause(engine).map(|pause| (pause.by, pause.is_ended)), Some(("bob".to_owned(), false)));
    assert_eq!(one.plan.job_status(&job()).pause.map(|pause| pause.by), Some("bob".to_owned()));
    other.tell(Event::Resume { job: job() }, engine);
    one.run_until(34, engine);
    assert!(one.plan.job_status(&job()).pause.is_none() && other.plan.job_status(&job()).pause.is_none());
}

#[test]
fn slots_that_pass_while_etcd_is_away_are_skipped_once_by_one_node() {
    let engine = &mut Engine::default();
    let (mut one, mut other) = (Node::new("n1", ""), Node::new("n2", ""));
    for node in [&mut one, &mut other] {
        node.connect(engine);
    }
    for at in 1..10 {
        one.run_until(at, engine);
        other.run_until(at, engine);
    }
    let first = if one.started.is_empty() { &mut other } else { &mut one };
    first.end(first.started[0].run, engine);
    for node in [&mut one, &mut other] {
        node.disconnect(engine);
        node.run_until(140, engine);
        node.connect(engine);
    }
    for at in 140..200 {
        one.run_until(at, engine);
        other.run_until(at, engine);
    }
    for minute in [1, 2] {
        assert_eq!(outcomes(engine, slot(minute)), ["skipped fleet away"], "{minute}");
    }
    // The record of a row is written when the next run begins.
    let now = Node::moment(200);
    let rows = [&mut one, &mut other].map(|node| node.plan.flush_rows(now));
    let is_row = |action: &&Action| matches!(action, Action::Record(record) if record.run.is_none());
    let flushed = rows.iter().flatten().filter(is_row).count();
    let recorded = one.outcomes(slot(1)).len() + other.outcomes(slot(1)).len();
    assert_eq!(flushed + recorded, 1);
}

#[test]
fn a_run_that_was_perhaps_claimed_before_etcd_went_away_has_one_outcome() {
    let engine = &mut Engine::default();
    let mut node = Node::new("n1", "CRON_FLEET_AWAY=run\n");
    node.connect(engine);
    node.is_deaf = true;
    node.run_until(2, engine);
    node.disconnect(engine);
    node.run_until(20, engine);
    let run = node.started.first().expect("a start without an answer").run;
    node.end(run, engine);
    node.connect(engine);
    node.run_until(55, engine);
    assert_eq!(outcomes(engine, slot(0)), ["ok 0"]);
    assert_eq!(node.outcomes(slot(0)), [&Outcome::Ok { status: 0 }]);
}

#[test]
fn a_full_engine_is_away_and_its_slots_are_not_lost_from_the_record() {
    let engine = &mut Engine::default();
    let mut node = Node::new("n1", "");
    node.connect(engine);
    node.run_until(2, engine);
    node.end(node.started[0].run, engine);
    node.is_full = true;
    node.run_until(100, engine);
    assert_eq!(node.started.len(), 1);
    node.is_full = false;
    node.run_until(130, engine);
    assert_eq!(outcomes(engine, slot(1)), ["skipped fleet away"]);
    assert_eq!(node.started.len(), 2);
}

#[test]
fn a_slot_is_started_by_one_of_two_copies_of_a_machine() {
    for settings in ["", "CRON_OVERLAP=skip\n", "CRON_FLEET=one,failover\nCRON_OVERLAP=skip\n"] {
        let engine = &mut Engine::default();
        // The same instance, and the same numbers of runs.
        let mut copies = [Node::new("n1", settings), Node::new("n1", settings)];
        copies.iter_mut().for_each(|node| node.connect(engine));
        for at in 1..=200 {
            // Both claim before either sees the claim of the other.
            copies.iter_mut().for_each(|node| node.run_unseen(engine));
            copies.iter_mut().for_each(|node| node.watch(engine));
            // A run ends after ten seconds.
            for node in &mut copies {
                if let Some(run) = node.started.last().filter(|run| run.scheduled_at == begin().0 + at - 9) {
                    node.end(run.run, engine);
                }
            }
        }
        let mut slots: Vec<i64> =
            copies.iter().flat_map(|node| node.started.iter().map(|start| start.scheduled_at)).collect();
        slots.sort_unstable();
        assert_eq!(slots, [0, 1, 2, 3].map(slot), "{settings}");
    }
}

#[test]
fn a_machine_that_is_set_back_starts_nothing_that_it_has_claimed_since() {
    let engine = &mut Engine::default();
    let (mut node, mut earlier) = (Node::new("n1", ""), Node::new("n1", ""));
    node.connect(engine);
    // As it was before the first slot, with its connection and its clock.
    earlier.connect(engine);
    node.run_until(30, engine);
    assert_eq!(node.started.len(), 1);
    (0..30).for_each(|_| earlier.run_unseen(engine));
    assert_eq!(earlier.started.len(), 0);
    earlier.run_until(70, engine);
    assert_eq!(earlier.started.iter().map(|start| start.scheduled_at).collect::<Vec<_>>(), [slot(1)]);
}

#[test]
fn a_slot_is_not_skipped_for_a_run_whose_end_the_watch_has_not_shown_yet() {
    let engine = &mut Engine::default();
    let settings = "CRON_OVERLAP=skip\nCRON_FLEET_NODES=n2,n1\nCRON_FLEET_ORDER=first\n";
    let (mut one, mut other) = (Node::new("n1", settings), Node::new("n2", settings));
    one.connect(engine);
    one.run_until(50, engine);
    other.run_until(50, engine);
    other.connect(engine);
    for at in 51..=59 {
        one.run_until(at, engine);
        other.run_until(at, engine);
    }
    one.end(one.started[0].run, engine);
    (0..2).for_each(|_| other.run_unseen(engine));
    assert_eq!(other.started.iter().map(|start| start.scheduled_at).collect::<Vec<_>>(), [slot(1)]);
    // This one goes on.
    for at in 62..=125 {
        one.run_until(at, engine);
        other.run_until(at, engine);
    }
    assert_eq!((one.started.len(), other.started.len()), (1, 1));
    let (now, rows) = (Node::moment(125), [&mut one, &mut other]);
    let rows = rows.map(|node| node.plan.flush_rows(now));
    let is_skip = |action: &&Action| matches!(action, Action::Record(record) if record.scheduled_at.0 == slot(2));
    assert_eq!(rows.iter().flatten().filter(is_skip).count(), 1);
}

#[test]
fn a_pause_that_was_asked_for_is_kept_while_the_one_in_etcd_cannot_be_read() {
    let engine = &mut Engine::default();
    let key = FleetKey::Pause(job());
    engine.put(&key, "{\"later\":1}");
    let mut node = Node::new("n1", "");
    node.connect(engine);
    let (from, until) = (Timestamp(slot(0)), Timestamp(slot(10)));
    let (by, note) = ("alice".to_owned(), String::new());
    node.run_until(1, engine);
    let asked = Pause { from, until, by, note, is_by_root: false, source: None };
    node.tell(Event::Pause { job: job(), pause: asked }, engine);
    node.run_until(20, engine);
    assert_eq!(engine.get(&key), Some("{\"later\":1}"));
    let mut node = node.restart();
    node.connect(engine);
    let ended = FleetPause {
        from: slot(0) - 100,
        until: slot(0) - 50,
        by: "bob".to_owned(),
        note: String::new(),
        is_by_root: false,
        node: "n2".to_owned(),
        is_ended: true,
        number: 4,
    };
    engine.put(&key, &serde_json::to_string(&ended).expect("JSON"));
    node.run_until(30, engine);
    let pause = pause(engine).expect("a pause");
    assert_eq!((pause.by.as_str(), pause.number), ("alice", 5));
}
