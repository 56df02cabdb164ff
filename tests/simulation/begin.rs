//! Restarts, `@reboot`, and the record of what was handed out.

use crate::setup::{
    Machine, cause_of, clock, command, commands, ended, set_delay, source, started, starts, table, time, zone,
};
use cronwheel::schedule::{Timestamp, Zone};
use cronwheel::scheduler::{
    Action, AtStop, EarlierRun, Event, JobId, NoticeEvent, Now, Outcome, RunId, RunOutcome, RunRequest, SavedState,
    Scheduler,
};
use std::collections::BTreeSet;

/// A daemon that begins at `at` with the record of an earlier one.
fn begin(text: &str, at: &str, boot: bool, completed: Option<Timestamp>) -> (Scheduler, Vec<Action>) {
    let now = Now { utc: time(at), elapsed_ms: 0 };
    let mut scheduler = Scheduler::new(Zone::utc(), now);
    scheduler.handle(Event::Load { source: source("/spool/alice"), table: table(text) }, now);
    let actions = scheduler.handle(
        Event::DaemonStarted { boot, completed, started: Vec::new(), running: Vec::new(), saved: Box::default() },
        now,
    );
    (scheduler, actions)
}

#[test]
fn reboot_entries_run_once_and_only_at_a_boot() {
    let text = "@reboot first\n* * * * * min\n@reboot second\n";
    let (mut scheduler, actions) = begin(text, "2026-05-01T10:00:00Z", true, None);
    assert_eq!(commands(&actions), ["second", "first"]);
    assert!(started(&actions).iter().all(|start| start.at_reboot));
    assert_eq!(actions.last(), Some(&Action::Completed(time("2026-05-01T10:00:00Z"))));
    let now = Now { utc: time("2026-05-01T10:00:01Z"), elapsed_ms: 1_000 };
    let again = scheduler.handle(Event::Load { source: source("/spool/alice"), table: table(text) }, now);
    assert_eq!(commands(&again), [""; 0]);
    let (_, actions) = begin(text, "2026-05-01T10:00:00Z", false, None);
    assert_eq!(commands(&actions), [""; 0]);
}

#[test]
fn a_begin_is_recorded_though_nothing_starts() {
    let (_, actions) = begin("0 12 * * * noon\n", "2026-05-01T10:00:30Z", false, None);
    assert_eq!(actions, [Action::Completed(time("2026-05-01T10:00:30Z"))]);
}

#[test]
fn a_zone_that_is_named_before_the_begin_is_the_one_that_holds() {
    let now = Now { utc: time("2026-05-01T10:00:30Z"), elapsed_ms: 0 };
    for record in [None, Some(time("2026-05-01T09:59:30Z"))] {
        let mut scheduler = Scheduler::new(Zone::utc(), now);
        scheduler.handle(
            Event::Load { source: source("/spool/alice"), table: table("0 12 * * * made-up\n1 12 * * * f1201\n") },
            now,
        );
        assert_eq!(scheduler.handle(Event::SystemZone(zone("Europe/Berlin")), now), []);
        let actions = scheduler.handle(
            Event::DaemonStarted {
                boot: false,
                completed: record,
                started: Vec::new(),
                running: Vec::new(),
                saved: Box::default(),
            },
            now,
        );
        assert_eq!(commands(&actions), if record.is_some() { vec!["made-up"] } else { vec![] });
        assert_eq!(scheduler.wake_at(), Some(time("2026-05-01T10:01:00Z")));
    }
}

#[test]
fn a_crash_at_any_second_neither_loses_nor_doubles_a_minute() {
    // A frequent job, a rare one, and one that waits for its delay; the record is what the last start left.
    let begin_at = time("2026-05-01T09:59:30Z").0;
    for (second, length) in (0..100).flat_map(|second| [1, 20, 59, 60, 61, 150].map(|length| (second, length))) {
        let mut found = Vec::new();
        let mut record = None;
        let mut begin = |from: i64, until: i64| {
            let mut delayed = table("1 10 * * * rare\n0 10 * * * delayed\n*/2 * * * * often\n");
            set_delay(&mut delayed, 1, 95);
            let now = |at: i64| Now { utc: Timestamp(at), elapsed_ms: (at - begin_at) * 1_000 };
            let mut scheduler = Scheduler::new(Zone::utc(), now(from));
            scheduler.handle(Event::Load { source: source("/spool/alice"), table: delayed }, now(from));
            let mut actions = scheduler.handle(
                Event::DaemonStarted {
                    boot: false,
                    completed: record,
                    started: Vec::new(),
                    running: Vec::new(),
                    saved: Box::default(),
                },
                now(from),
            );
            while let Some(wake) = scheduler.wake_at().filter(|wake| wake.0 <= until) {
                actions.extend(scheduler.handle(Event::Tick, now(wake.0)));
            }
            found.extend(commands(&actions));
            let mut recorded = actions.iter().filter_map(|action| match action {
                Action::Completed(upto) => Some(*upto),
                _ => None,
            });
            record = recorded.next_back().or(record);
        };
        begin(begin_at, begin_at + second);
        begin(begin_at + second + length, begin_at + 390);
        found.sort();
        let expected = ["delayed", "often", "often", "often", "often", "rare"];
        assert_eq!(found, expected, "killed after {second} s for {length} s");
    }
}

#[test]
fn a_restart_makes_up_for_three_minutes_at_most_and_repeats_nothing() {
    let text = "* * * * * min\n0 10 * * * f1000\n";
    for (completed, at, expected) in [
        ("2026-05-01T09:59:58Z", "2026-05-01T10:00:01Z", vec!["f1000", "min"]),
        ("2026-05-01T10:00:00Z", "2026-05-01T10:00:01Z", vec![]),
        ("2026-05-01T10:00:00Z", "2026-05-01T10:00:00Z", vec![]),
        ("2026-05-01T09:59:30Z", "2026-05-01T10:02:10Z", vec!["f1000", "min", "min", "min"]),
        ("2026-05-01T08:00:00Z", "2026-05-01T10:02:10Z", vec!["f1000", "min", "min", "min"]),
        ("2026-05-01T08:00:00Z", "2026-05-01T10:03:10Z", vec!["min", "min", "min"]),
        ("1970-01-01T00:00:00Z", "2026-05-01T10:00:30Z", vec!["min", "min", "f1000", "min"]),
        ("2026-05-01T12:00:00Z", "2026-05-01T10:00:30Z", vec![]),
    ] {
        let (_, actions) = begin(text, at, false, Some(time(completed)));
        assert_eq!(commands(&actions), expected, "{completed} to {at}");
    }
    let (_, actions) = begin(text, "2026-05-01T10:00:30Z", false, None);
    assert_eq!(commands(&actions), [""; 0]);
}

#[test]
fn a_daemon_that_finds_a_record_from_the_future_repeats_nothing_of_it() {
    // The clock went back by 20 seconds between two daemons: the minute 10:01 was handed out already.
    let (scheduler, _) = begin("* * * * * min\n", "2026-05-01T10:00:50Z", false, Some(time("2026-05-01T10:01:10Z")));
    assert_eq!(scheduler.wake_at(), Some(time("2026-05-01T10:02:00Z")));
    // By an hour: wildcards go on, fixed times are held.
    let text = "30 10 * * * held\n5 11 * * * comes\n";
    let (scheduler, _) = begin(text, "2026-05-01T10:00:00Z", false, Some(time("2026-05-01T11:00:00Z")));
    assert_eq!(scheduler.wake_at(), Some(time("2026-05-01T11:05:00Z")));
    let (scheduler, _) = begin("* * * * * min\n", "2026-05-01T10:00:00Z", false, Some(time("2026-05-01T11:00:00Z")));
    assert_eq!(scheduler.wake_at(), Some(time("2026-05-01T10:01:00Z")));
}

#[test]
fn a_restart_at_any_second_neither_loses_nor_doubles_a_minute() {
    for second in 0..60 {
        for length in [1, 2, 5, 59, 60, 61, 120, 179] {
            let stop = time("2026-05-01T10:00:00Z").0 + second;
            let down = [(Timestamp(stop).to_string(), Timestamp(stop + length).to_string())];
            let down: Vec<_> = down.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            let text = "* * * * * min\n1 10 * * * f1001\n";
            let (from, until) = ("2026-05-01T09:59:30Z", "2026-05-01T10:10:30Z");
            let found = starts(&Zone::utc(), text, from, until, &[], &down);
            let fixed = found.iter().filter(|line| line.ends_with("f1001")).count();
            assert_eq!((found.len(), fixed), (12, 1), "stopped at second {second} for {length} s: {found:?}");
        }
    }
}

#[test]
fn nothing_starts_while_the_daemon_is_down_or_after_it_was_told_to_stop() {
    let down = [("2026-05-01T10:00:30Z", "2026-05-01T10:08:30Z")];
    let found = starts(&Zone::utc(), "* * * * * min\n", "2026-05-01T09:59:30Z", "2026-05-01T10:09:00Z", &[], &down);
    let at_start = "10:08:30 min";
    assert_eq!(found, ["10:00:00 min", at_start, at_start, at_start, "10:09:00 min"]);

    let mut machine = Machine::with_table("* * * * * min\n", "2026-05-01T10:00:00Z");
    assert_eq!(commands(&machine.run(60)), ["min"]);
    machine.tell(Event::Stop { queue: AtStop::LeaveToNext, jobs: AtStop::LeaveToNext });
    assert_eq!(machine.scheduler.wake_at(), None);
    assert_eq!(machine.tick_after(600), []);
}

#[test]
fn a_delayed_start_is_not_lost_by_a_restart() {
    let now = |at: &str| Now { utc: time(at), elapsed_ms: 0 };
    let mut delayed = table("0 10 * * * job\n");
    set_delay(&mut delayed, 0, 600);
    let begin_at = now("2026-05-01T10:05:00Z");
    let mut scheduler = Scheduler::new(Zone::utc(), begin_at);
    scheduler.handle(Event::Load { source: source("/spool/alice"), table: delayed }, begin_at);
    let completed = Some(time("2026-05-01T10:04:30Z"));
    assert_eq!(
        commands(&scheduler.handle(
            Event::DaemonStarted {
                boot: false,
                completed,
                started: Vec::new(),
                running: Vec::new(),
                saved: Box::default()
            },
            begin_at
        )),
        [""; 0]
    );
    assert_eq!(scheduler.wake_at().map(clock), Some("10:10:00".into()));
    let later = Now { utc: time("2026-05-01T10:10:00Z"), elapsed_ms: 300_000 };
    let actions = scheduler.handle(Event::Tick, later);
    assert_eq!(commands(&actions), ["job"]);
    assert_eq!(started(&actions)[0].scheduled_at, later.utc.0);
}

#[test]
fn a_delayed_start_is_not_lost_by_a_restart_with_a_clock_that_was_set_back() {
    for (at, due) in [("2026-05-01T10:04:10Z", "10:10:00"), ("2026-05-01T09:04:30Z", "09:10:00")] {
        let mut delayed = table("0 10 * * * job\n");
        set_delay(&mut delayed, 0, 600);
        let now = Now { utc: time(at), elapsed_ms: 0 };
        let mut scheduler = Scheduler::new(Zone::utc(), now);
        scheduler.handle(Event::Load { source: source("/spool/alice"), table: delayed }, now);
        let completed = Some(time("2026-05-01T10:04:30Z"));
        assert_eq!(
            commands(&scheduler.handle(
                Event::DaemonStarted {
                    boot: false,
                    completed,
                    started: Vec::new(),
                    running: Vec::new(),
                    saved: Box::default()
                },
                now
            )),
            [""; 0]
        );
        assert_eq!(scheduler.wake_at().map(clock), Some(due.into()), "{at}");
    }
}

#[test]
fn ids_of_runs_are_reserved_before_they_are_used() {
    let at = Now { utc: time("2026-05-01T10:00:00Z"), elapsed_ms: 0 };
    let mut scheduler = Scheduler::new(Zone::utc(), at);
    scheduler.reserve_runs_from(RunId(7_000));
    let load = Event::Load { source: source("/spool/alice"), table: table("@every_second job\n") };
    let begin = Event::DaemonStarted {
        boot: false,
        completed: None,
        started: Vec::new(),
        running: Vec::new(),
        saved: Box::default(),
    };
    let ticks = (1..200_000).map(|second| (Event::Tick, second));
    let (mut reserved, mut used) = (RunId(7_000), Vec::new());
    for (event, second) in [(load, 0), (begin, 0)].into_iter().chain(ticks) {
        let now = Now { utc: Timestamp(at.utc.0 + second), elapsed_ms: second * 1_000 };
        for action in scheduler.handle(event, now) {
            match action {
                Action::ReserveRuns(upto) => reserved = upto,
                Action::Start(start) => {
                    assert!(
                        start.run < reserved,
                        "{:?} is used and only what is below {reserved:?} is reserved",
                        start.run
                    );
                    used.push(start.run);
                }
                _ => {}
            }
        }
    }
    assert!(used.len() > 190_000 && used.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn starts_that_end_without_having_been_begun_make_room_for_others() {
    let at = Now { utc: time("2026-05-01T10:00:30Z"), elapsed_ms: 0 };
    let mut scheduler = Scheduler::new(Zone::utc(), at);
    scheduler.limit_handover();
    scheduler.handle(Event::Load { source: source("/spool/alice"), table: table(&"* * * * * job\n".repeat(100)) }, at);
    scheduler.handle(
        Event::DaemonStarted {
            boot: false,
            completed: None,
            started: Vec::new(),
            running: Vec::new(),
            saved: Box::default(),
        },
        at,
    );
    let due = Now { utc: time("2026-05-01T10:01:00Z"), elapsed_ms: 30_000 };
    let (mut starts, mut actions) = (0, scheduler.handle(Event::Tick, due));
    while !actions.is_empty() {
        let runs: Vec<RunId> = started(&actions).iter().map(|start| start.run).collect();
        starts += runs.len();
        actions = runs.into_iter().flat_map(|run| scheduler.handle(ended(run, RunOutcome::Code(0)), due)).collect();
        actions.retain(|action| matches!(action, Action::Start(_)));
    }
    assert_eq!((starts, scheduler.waiting(), scheduler.running()), (100, 0, 0));
}

const DAILY: &str = "30 4 * * * plain\nCRON_CATCHUP=once\n30 4 * * * owed\n";

/// What the first daemon of a boot starts in half an hour, with a watermark and what `then` gives back of the saved state.
fn first_of_boot(saved: Box<SavedState>, at: &str) -> Vec<String> {
    let now = Now { utc: time(at), elapsed_ms: 60_000 };
    let mut machine = Machine { scheduler: Scheduler::new(Zone::utc(), now), now };
    machine.load("/spool/alice", DAILY);
    let (started, running) = (Vec::new(), Vec::new());
    let mut actions = machine.tell(Event::DaemonStarted { boot: true, completed: None, started, running, saved });
    actions.extend(machine.run(1_800));
    commands(&actions)
}

#[test]
fn after_a_boot_only_entries_that_catch_up_make_up_for_what_was_missed() {
    let machine = Machine::with_table(DAILY, "2026-05-01T04:00:00Z");
    let saved_up_to = |handled: &str| {
        let mut saved = machine.scheduler.saved_state();
        saved.set_handled(time(handled));
        Box::new(saved)
    };
    let begin = |handled, at| first_of_boot(saved_up_to(handled), at);
    assert_eq!(begin("2026-05-01T04:10:00Z", "2026-05-01T12:00:00Z"), ["owed"]);
    // In the very second of the slot.
    assert_eq!(begin("2026-05-01T04:10:00Z", "2026-05-01T04:30:00Z"), ["owed"]);
    // It was handled; and a watermark later than now counts as now.
    assert!(begin("2026-05-01T04:30:00Z", "2026-05-01T12:00:00Z").is_empty());
    assert!(begin("2026-05-09T00:00:00Z", "2026-05-01T12:00:00Z").is_empty());
    // Nothing is known of before.
    assert!(first_of_boot(Box::default(), "2026-05-01T12:00:00Z").is_empty());
}

/// A machine that begins at noon without any table, after one with this table that went down at that time.
fn without_tables(text: &str, down_from: &str) -> Machine {
    let first = Machine::with_table(text, down_from);
    let saved = saved_and_read(&first);
    let now = Now { utc: time("2026-05-01T12:00:00Z"), elapsed_ms: first.now.elapsed_ms + 60_000 };
    let mut second = Machine { scheduler: Scheduler::new(Zone::utc(), now), now };
    second.scheduler.reserve_runs_from(first.scheduler.next_run());
    let (completed, started, running) = (Some(first.now.utc), Vec::new(), Vec::new());
    second.tell(Event::DaemonStarted { boot: false, completed, started, running, saved });
    second
}

/// What actions start, each with its slot.
fn slots(actions: &[Action]) -> Vec<String> {
    let line = |start: &&RunRequest| format!("{} {}", command(start), clock(Timestamp(start.scheduled_at)));
    started(actions).iter().map(line).collect()
}

#[test]
fn a_table_that_is_loaded_late_catches_up_once() {
    let text = "30 4 * * * plain\nCRON_CATCHUP=once\n30 4,10 * * * owed\n";
    for (down_from, minutes, expected) in [
        ("2026-05-01T04:00:00Z", 10, &["owed 10:30:00"] as &[&str]),
        ("2026-05-01T04:30:00Z", 10, &["owed 10:30:00"]),
        // It was handled.
        ("2026-05-01T10:30:00Z", 10, &[]),
        // Its state was kept for an hour.
        ("2026-05-01T04:00:00Z", 59, &["owed 10:30:00"]),
        ("2026-05-01T04:00:00Z", 61, &[]),
    ] {
        let mut machine = without_tables(text, down_from);
        assert!(slots(&machine.run(minutes * 60)).is_empty());
        let actions = machine.load("/spool/alice", text);
        assert_eq!(slots(&actions), expected, "{down_from} {minutes}");
        started(&actions).iter().for_each(|start| drop(machine.end(start)));
        // Not again: after another load, after the table was gone, and after a restart.
        assert!(slots(&machine.load("/spool/alice", text)).is_empty());
        machine.tell(Event::Unload { path: "/spool/alice".into() });
        assert!(slots(&machine.load("/spool/alice", text)).is_empty());
        let (mut next, actions) = successor(&machine, text, &[]);
        assert!(slots(&actions).is_empty());
        assert!(slots(&next.run(60)).is_empty());
    }
}

#[test]
fn a_late_table_is_owed_what_it_would_have_been_owed_at_the_begin() {
    let text = "CRON_CATCHUP=all\nCRON_NAME=a\n0,30 10 * * * a\n";
    let missed = &["a 10:00:00", "a 10:30:00"] as &[&str];
    for (then, expected) in [
        (text, missed),
        // Another schedule, or a zone: it counts anew.
        ("CRON_CATCHUP=all\nCRON_NAME=a\n0,31 10 * * * a\n", &[]),
        ("CRON_TZ=Asia/Tokyo\nCRON_CATCHUP=all\nCRON_NAME=a\n0,30 10 * * * a\n", &[]),
        ("CRON_NAME=a\n0,30 10 * * * a\n", &[]),
        // The other rules hold.
        ("CRON_CATCHUP=all,1h45m\nCRON_NAME=a\n0,30 10 * * * a\n", &["a 10:30:00"]),
        ("CRON_EXCEPT=2026-05-01\nCRON_CATCHUP=all\nCRON_NAME=a\n0,30 10 * * * a\n", &[]),
    ] {
        let mut machine = without_tables(text, "2026-05-01T09:00:00Z");
        let mut actions = machine.load("/spool/alice", then);
        let runs: Vec<RunId> = started(&actions).iter().map(|start| start.run).collect();
        actions.extend(runs.into_iter().flat_map(|run| machine.tell(ended(run, RunOutcome::Code(0)))));
        assert_eq!(slots(&actions), expected, "{then}");
    }
    // What passed between the begin and the load was missed, too; the entry goes on with the slot after that.
    let text = "CRON_CATCHUP=once\n*/10 12 * * * a\n";
    let mut machine = without_tables(text, "2026-05-01T09:00:00Z");
    machine.run(600);
    assert_eq!(slots(&machine.load("/spool/alice", text)), ["a 12:10:00"]);
    assert_eq!(slots(&machine.run(600)), ["a 12:20:00"]);
    // A setting that is new in a table that was there has missed nothing.
    let mut machine = without_tables(text, "2026-05-01T09:00:00Z");
    machine.run(600);
    machine.load("/spool/alice", "*/10 12 * * * a\n");
    assert!(slots(&machine.load("/spool/alice", text)).is_empty());
}

#[test]
fn a_late_table_is_owed_the_same_if_the_daemon_is_restarted_before_it_is_loaded() {
    let text = "CRON_CATCHUP=all\nCRON_NAME=a\n0 10,12,13 * * * a\n";
    let mut machine = without_tables(text, "2026-05-01T09:00:00Z");
    for _ in 0..2 {
        machine.run(1_200);
        machine = successor_without_tables(&machine);
    }
    let expected = ["a 10:00:00", "a 12:00:00"];
    // It is loaded while the daemon runs, or found by the next one.
    let (mut next, actions) = successor(&machine, text, &[]);
    assert_eq!(run_all(&mut next, actions), expected);
    let actions = machine.load("/spool/alice", text);
    assert_eq!(run_all(&mut machine, actions), expected);
    // Not again.
    let (mut last, actions) = successor(&machine, text, &[]);
    assert!(slots(&actions).is_empty() && slots(&last.run(600)).is_empty());
    assert_eq!(slots(&last.run(1_200)), ["a 13:00:00"]);
}

/// What is started, one run after the other.
fn run_all(machine: &mut Machine, actions: Vec<Action>) -> Vec<String> {
    let (mut found, mut next) = (Vec::new(), actions);
    while !next.is_empty() {
        found.extend(slots(&next));
        let runs: Vec<RunId> = started(&next).iter().map(|start| start.run).collect();
        next = runs.into_iter().flat_map(|run| machine.tell(ended(run, RunOutcome::Code(0)))).collect();
    }
    found
}

/// The daemon that follows a machine's at once and finds no table.
fn successor_without_tables(first: &Machine) -> Machine {
    let mut second = Machine { scheduler: Scheduler::new(Zone::utc(), first.now), now: first.now };
    second.scheduler.reserve_runs_from(first.scheduler.next_run());
    let (completed, started, running, saved) = (Some(first.now.utc), Vec::new(), Vec::new(), saved_and_read(first));
    second.tell(Event::DaemonStarted { boot: false, completed, started, running, saved });
    second
}

#[test]
fn what_an_earlier_daemon_has_started_is_not_caught_up_by_a_late_table() {
    let text = "CRON_CATCHUP=all\nCRON_NAME=a\n0,30 10 * * * a\n";
    let first = Machine::with_table(text, "2026-05-01T09:00:00Z");
    let now = Now { utc: time("2026-05-01T12:00:00Z"), ..first.now };
    let mut second = Machine { scheduler: Scheduler::new(Zone::utc(), now), now };
    let started = vec![(JobId::named("alice", "a"), time("2026-05-01T10:00:00Z"))];
    let (completed, saved) = (Some(first.now.utc), saved_and_read(&first));
    second.tell(Event::DaemonStarted { boot: false, completed, started, running: Vec::new(), saved });
    second.run(60);
    assert_eq!(slots(&second.load("/spool/alice", text)), ["a 10:30:00"]);
}

#[test]
fn a_run_of_which_nobody_tells_after_a_boot_does_not_hold_its_job_up() {
    let text = "CRON_OVERLAP=skip\n* * * * * single\n";
    let mut first = Machine::with_table(text, "2026-05-01T04:00:30Z");
    assert_eq!(commands(&first.run(60)), ["single"]);
    let saved = Box::new(first.scheduler.saved_state());
    let now = Now { utc: time("2026-05-01T05:00:30Z"), elapsed_ms: 60_000 };
    let mut second = Machine { scheduler: Scheduler::new(Zone::utc(), now), now };
    second.load("/spool/alice", text);
    let begin = Event::DaemonStarted { boot: true, completed: None, started: Vec::new(), running: Vec::new(), saved };
    let actions = second.tell(begin);
    let is_lost = |action: &Action| matches!(action, Action::Record(record) if record.outcome == Outcome::Lost);
    assert!(actions.iter().any(is_lost), "{actions:?}");
    assert_eq!(commands(&second.run(60)), ["single"]);
}

#[test]
fn a_run_that_ended_before_the_begin_is_retried_by_the_policy_of_its_job() {
    let text = "CRON_RETRY=1,30s\n0 4 * * * again\n";
    let mut first = Machine::with_table(text, "2026-05-01T03:59:30Z");
    let actions = first.run(40);
    let run = started(&actions).first().expect("a start").run;
    let saved = Box::new(first.scheduler.saved_state());
    let mut second = Machine { scheduler: Scheduler::new(Zone::utc(), first.now), now: first.now };
    second.load("/spool/alice", text);
    second.tell(ended(run, RunOutcome::Code(3)));
    let completed = Some(first.now.utc);
    second.tell(Event::DaemonStarted { boot: false, completed, started: Vec::new(), running: Vec::new(), saved });
    assert_eq!(second.scheduler.wake_at_elapsed_ms(), Some(first.now.elapsed_ms + 30_000));
    assert_eq!(commands(&second.tick_after(30)), ["again"]);
}

#[test]
fn a_pending_retry_goes_by_the_wall_clock_after_a_boot_and_by_the_clock_of_that_boot_after_a_restart() {
    let text = "CRON_RETRY=1,1m\n0 4 * * * again\n";
    let mut first = Machine::with_table(text, "2026-05-01T03:59:30Z");
    let run = started(&first.run(40)).first().expect("a start").run;
    first.now.utc = Timestamp(first.now.utc.0 + 1);
    first.tell(ended(run, RunOutcome::Code(3)));
    let due = first.now.utc.0 + 60;
    let mut saved = first.scheduler.saved_state();
    saved.set_of_other_boot();
    let now = Now { utc: Timestamp(due - 40), elapsed_ms: 5_000 };
    saved.convert_to_boot(now.utc, now.elapsed_ms);
    // What the daemon of this boot stores before and after its begin.
    let mut stored = SavedState::default();
    saved.changes().for_each(|change| stored.apply(change));
    for seconds in [0, 10] {
        let now = Now { utc: Timestamp(now.utc.0 + seconds), elapsed_ms: now.elapsed_ms + seconds * 1_000 };
        let mut next = Machine { scheduler: Scheduler::new(Zone::utc(), now), now };
        next.load("/spool/alice", text);
        let (completed, started, running) = (Some(now.utc), Vec::new(), Vec::new());
        let saved = Box::new(stored.clone());
        next.tell(Event::DaemonStarted { boot: false, completed, started, running, saved });
        assert_eq!(next.scheduler.wake_at_elapsed_ms(), Some(45_000), "{seconds}");
    }
}

/// The saved state of a machine, as the next daemon reads it.
fn saved_and_read(machine: &Machine) -> Box<SavedState> {
    let saved = machine.scheduler.saved_state();
    let mut read = SavedState::default();
    for change in saved.changes() {
        let text = serde_json::to_string(&change).unwrap();
        read.apply(serde_json::from_str(&text).unwrap());
    }
    read.set_handled(machine.now.utc);
    let mut expected = saved;
    expected.set_handled(machine.now.utc);
    assert_eq!(read, expected);
    Box::new(read)
}

/// A start as an executor's journal has it.
fn journaled(start: &RunRequest) -> EarlierRun {
    let scheduled_at = Timestamp(start.scheduled_at);
    EarlierRun { run: start.run, job: start.job.clone(), scheduled_at, cause: cause_of(start) }
}

/// The daemon that follows a machine's at once, after executors have begun these runs.
fn successor(first: &Machine, text: &str, begun: &[EarlierRun]) -> (Machine, Vec<Action>) {
    let mut second = Machine { scheduler: Scheduler::new(Zone::utc(), first.now), now: first.now };
    second.scheduler.reserve_runs_from(first.scheduler.next_run());
    second.load("/spool/alice", text);
    second.tell(Event::EarlierStarts(begun.to_vec()));
    let (completed, saved) = (Some(first.now.utc), saved_and_read(first));
    let actions =
        second.tell(Event::DaemonStarted { boot: false, completed, started: Vec::new(), running: Vec::new(), saved });
    (second, actions)
}

fn notices(actions: &[Action]) -> Vec<(NoticeEvent, u32)> {
    let notice = |action: &Action| match action {
        Action::Notice(notice) => Some((notice.event, notice.failures)),
        _ => None,
    };
    actions.iter().filter_map(notice).collect()
}

#[test]
fn an_attempt_that_was_requested_and_never_begun_is_begun_by_the_next_daemon() {
    let text = "CRON_RETRY=2,30s\nCRON_OVERLAP=skip\n0 4 * * * again\n";
    let mut first = Machine::with_table(text, "2026-05-01T03:59:30Z");
    let run = journaled(started(&first.run(40)).first().expect("a start"));
    first.tell(ended(run.run, RunOutcome::Code(3)));
    let second_run = started(&first.tick_after(30)).first().expect("a retry").run;
    let (mut second, actions) = successor(&first, text, &[run]);
    let again: Vec<(u32, &[u8])> = started(&actions).iter().map(|start| (start.attempt, &*start.command)).collect();
    assert_eq!(again, [(2, &b"again"[..])]);
    let again = started(&actions)[0].run;
    assert_ne!(again, second_run);
    assert_eq!(notices(&second.tell(ended(again, RunOutcome::Code(3)))), []);
    let actions = second.tick_after(60);
    let last = started(&actions).first().expect("the last attempt").run;
    assert_eq!(notices(&second.tell(ended(last, RunOutcome::Code(3)))), [(NoticeEvent::Failure, 1)]);
}

#[test]
fn what_a_killed_daemon_has_not_handed_over_is_started_however_long_it_was_down() {
    let text: String = (0..40).map(|number| format!("CRON_NAME=n{number}\n0 4 * * * n{number}\n")).collect();
    let mut first = Machine::with_table(&text, "2026-05-01T03:59:30Z");
    first.scheduler.limit_handover();
    // What one owner may have with the executor.
    let handed_over: BTreeSet<RunId> = started(&first.run(40)).iter().map(|start| start.run).collect();
    assert_eq!(handed_over.len(), 32);
    for (minutes, boot, lost) in [(1, false, 0), (60, false, 32), (1, true, 32)] {
        let now =
            Now { utc: Timestamp(first.now.utc.0 + minutes * 60), elapsed_ms: first.now.elapsed_ms + minutes * 60_000 };
        let mut second = Machine { scheduler: Scheduler::new(Zone::utc(), now), now };
        second.scheduler.reserve_runs_from(first.scheduler.next_run());
        second.load("/spool/alice", &text);
        second.tell(Event::EarlierStarts(Vec::new()));
        let (completed, started, running) = (Some(first.now.utc), Vec::new(), Vec::new());
        let saved = saved_and_read(&first);
        let actions = second.tell(Event::DaemonStarted { boot, completed, started, running, saved });
        assert_eq!(slots(&actions).len(), 40 - lost, "{minutes} {boot}");
        let is_lost = |action: &&Action| matches!(action, Action::Record(record) if record.outcome == Outcome::Lost);
        assert_eq!(actions.iter().filter(is_lost).count(), lost, "{minutes} {boot}");
    }
}

#[test]
fn an_attempt_that_was_begun_and_whose_end_nobody_saw_is_lost() {
    let text = "CRON_RETRY=2,30s\n0 4 * * * again\n";
    let mut first = Machine::with_table(text, "2026-05-01T03:59:30Z");
    let run = journaled(started(&first.run(40)).first().expect("a start"));
    first.tell(ended(run.run, RunOutcome::Code(3)));
    let second_run = journaled(started(&first.tick_after(30)).first().expect("a retry"));
    let (mut second, actions) = successor(&first, text, &[run, second_run]);
    assert_eq!((started(&actions).len(), notices(&actions)), (0, vec![(NoticeEvent::Failure, 1)]));
    assert!(started(&second.run(3_600)).is_empty());
}

#[test]
fn an_end_that_a_killed_daemon_received_and_did_not_save_is_no_lost_run() {
    let text = "CRON_RETRY=2,30s\n0 4 * * * again\n";
    let mut first = Machine::with_table(text, "2026-05-01T03:59:30Z");
    let run = journaled(started(&first.run(40)).first().expect("a start"));
    let lacks = |saved: &SavedState, run: &EarlierRun| saved.lacks_end_of(run);
    let saved = saved_and_read(&first);
    assert!(lacks(&saved, &run));
    let mut second = Machine { scheduler: Scheduler::new(Zone::utc(), first.now), now: first.now };
    second.scheduler.reserve_runs_from(first.scheduler.next_run());
    second.load("/spool/alice", text);
    second.tell(Event::EarlierStarts(vec![run.clone()]));
    second.tell(Event::EarlierRuns(vec![run.clone()]));
    second.tell(ended(run.run, RunOutcome::Code(3)));
    let (completed, started_before, running) = (Some(first.now.utc), Vec::new(), Vec::new());
    let actions = second.tell(Event::DaemonStarted { boot: false, completed, started: started_before, running, saved });
    let outcomes: Vec<&Outcome> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Record(record) => Some(&record.outcome),
            _ => None,
        })
        .collect();
    assert_eq!(outcomes, [&Outcome::Failed { status: 3, is_by_stderr: false }]);
    let pending = saved_and_read(&second);
    assert!(!lacks(&pending, &run), "the state with the retry has the end");
    let again = second.tick_after(30);
    let again = started(&again).first().copied().expect("the retry");
    assert_eq!(again.attempt, 2);
    assert!(lacks(&pending, &journaled(again)) && !lacks(&SavedState::default(), &journaled(again)));
}

#[test]
fn what_comes_due_while_a_stopped_daemon_ends_is_left_to_the_next_one() {
    let mut machine = Machine::with_table("0 4 * * * four\n", "2026-05-01T03:59:30Z");
    machine.run(20);
    machine.tell(Event::Stop { queue: AtStop::LeaveToNext, jobs: AtStop::LeaveToNext });
    let stopped_at = machine.now.utc;
    assert!(started(&machine.run(60)).is_empty());
    assert_eq!(machine.scheduler.completed(), stopped_at);
}

#[test]
fn a_slot_that_a_killed_daemon_has_started_again_is_not_started_a_third_time() {
    let text = "CRON_NAME=job\n0 4 * * * job\n";
    let mut first = Machine::with_table(text, "2026-05-01T03:59:30Z");
    let never_begun = started(&first.run(40)).first().expect("a start").run;
    let (_, actions) = successor(&first, text, &[]);
    let again = journaled(started(&actions).first().expect("the slot again"));
    assert_ne!(again.run, never_begun);
    // The second daemon was killed before the state with that run was written.
    let (mut third, actions) = successor(&first, text, &[again]);
    assert_eq!(started(&actions).len(), 0);
    assert!(started(&third.run(3_600)).is_empty());
}

#[test]
fn streaks_alerts_late_deadlines_and_outputs_outlive_a_daemon() {
    // A failure without a notice is not mailed, and the one with the notice is compared with the last slot before the incident.
    let text = "CRON_ALERT=2,3h\nCRON_LATE=90m\nCRON_MAIL=change\n0 * * * * job\n";
    let mut machine = Machine::with_table(text, "2026-05-01T03:59:30Z");
    let mut found = Vec::new();
    let mut mailed = Vec::new();
    for hour in 4..10 {
        let actions = machine.run(40);
        found.extend(notices(&actions).into_iter().map(|(event, failures)| (hour, event, failures)));
        let run = started(&actions).first().expect("a start").run;
        (machine, _) = successor_with(&machine, text, run);
        let actions = machine.tell(ended(run, RunOutcome::Code(i32::from(hour < 9))));
        found.extend(notices(&actions).into_iter().map(|(event, failures)| (hour, event, failures)));
        mailed.extend(actions.iter().filter_map(|action| match action {
            Action::Conclude { is_mailed, .. } => Some((hour, *is_mailed)),
            _ => None,
        }));
        let actions = machine.run(3_560);
        found.extend(notices(&actions).into_iter().map(|(event, failures)| (hour, event, failures)));
    }
    use NoticeEvent::{Failure, Late, Recovery, Success};
    let expected = [(5, Failure, 2), (5, Late, 2), (8, Failure, 5), (9, Success, 0), (9, Recovery, 0)];
    assert_eq!(found, expected);
    let changed: Vec<i32> = mailed.iter().filter(|(_, is_mailed)| *is_mailed).map(|(hour, _)| *hour).collect();
    assert_eq!((mailed.len(), changed), (6, vec![5, 9]));
}

/// The same with one run in progress.
fn successor_with(first: &Machine, text: &str, run: RunId) -> (Machine, Vec<Action>) {
    let mut second = Machine { scheduler: Scheduler::new(Zone::utc(), first.now), now: first.now };
    second.scheduler.reserve_runs_from(first.scheduler.next_run());
    second.load("/spool/alice", text);
    let job = first.scheduler.find_job("alice:").expect("one job");
    let (completed, saved, running) = (Some(first.now.utc), saved_and_read(first), vec![(run, job)]);
    let actions = second.tell(Event::DaemonStarted { boot: false, completed, started: Vec::new(), running, saved });
    (second, actions)
}
