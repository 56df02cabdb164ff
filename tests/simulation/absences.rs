//! Time in which nothing was handled: restarts, sleeps and steps of the clock, and what is known after them of the time before.

use crate::outcomes::{Day, expect, line};
use crate::setup::{Machine, commands, source, started, table, time, zone};
use cronwheel::schedule::Timestamp;
use cronwheel::scheduler::{
    Absence, Action, Event, FollowUpTask, JobId, ManualStart, NoticeEvent, Now, SavedState, Scheduler,
};

#[test]
fn slots_of_a_pause_around_a_restart_have_one_record() {
    let crontab = "CRON_NAME=a\n*/10 1 * * * a\n";
    let day = Day { crontab, until: "04:00", ..Day::default() };
    let runs = [
        "a 01:00 schedule#1 01:00-01:00 ok 0",
        "a 01:10 schedule#1 01:10-01:10 ok 0",
        "a 01:20 schedule#1 01:20-01:20 ok 0",
        "a 01:30 schedule#1 01:30-01:30 ok 0",
    ];
    let expected = [&runs[..], &["a 01:40 skipped paused x2 to 01:50"]].concat();
    let down = &[("01:50", "02:15"), ("03:00", "03:01")];
    expect(&Day { pauses: &[("a", "01:35", "01:51:40")], down, ..day }, &expected);
    let expected = [&runs[..], &["a 01:40 skipped paused", "a 01:50 missed down"]].concat();
    let down = &[("01:46", "02:15"), ("03:00", "03:01")];
    expect(&Day { pauses: &[("a", "01:35", "01:45")], down, ..day }, &expected);
}

#[test]
fn a_fixed_time_is_held_after_a_step_back_also_over_restarts() {
    let day =
        Day { crontab: "CRON_NAME=a\n0 1 * * * a\n", until: "06:00", steps: &[("01:05", -3_600)], ..Day::default() };
    let once = ["a 01:00 schedule#1 01:00-01:00 ok 0"];
    expect(&day, &once);
    expect(&Day { down: &[("01:31", "01:32")], ..day }, &once);
    expect(&Day { down: &[("01:31", "01:32"), ("01:40", "01:50"), ("01:58", "01:59")], ..day }, &once);
    expect(&Day { down: &[("01:04", "01:06"), ("01:31", "01:32")], ..day }, &once);
}

fn begin(completed: Option<Timestamp>, saved: SavedState) -> Event {
    let (started, running) = (Vec::new(), Vec::new());
    Event::DaemonStarted { boot: false, completed, started, running, saved: Box::new(saved) }
}

/// The actions of a daemon that begins at 10:00, ten hours after another one has ended, with that one's table and zone or others.
fn after_ten_hours(before: (&str, &str), after: (&str, &str)) -> Vec<Action> {
    let now = Now { utc: time("2026-05-01T00:00:00Z"), elapsed_ms: 0 };
    let mut first = Scheduler::new(zone(before.1), now);
    first.handle(Event::Load { source: source("/spool/alice"), table: table(before.0) }, now);
    first.handle(begin(None, SavedState::default()), now);
    let later = Now { utc: time("2026-05-01T10:00:00Z"), elapsed_ms: 36_000_000 };
    let mut second = Scheduler::new(zone(after.1), later);
    second.handle(Event::Load { source: source("/spool/alice"), table: table(after.0) }, later);
    second.handle(begin(Some(now.utc), first.saved_state()), later)
}

#[test]
fn nothing_is_owed_from_before_another_zone_and_blanks_make_no_other_schedule() {
    let (paris, york) = ("Europe/Paris", "America/New_York");
    let entry = "CRON_CATCHUP=once\n0 5 * * * a\n";
    let with_zone = "CRON_CATCHUP=once\nCRON_TZ=Europe/Paris\n0 5 * * * a\n";
    for (before, after, expected) in [
        ((entry, paris), (entry, paris), 1),
        ((entry, paris), ("CRON_CATCHUP=once\n0  5\t* * * a\n", paris), 1),
        ((entry, paris), ("CRON_CATCHUP=once\n1 5 * * * a\n", paris), 0),
        ((entry, paris), (entry, york), 0),
        ((with_zone, paris), (with_zone, york), 1),
    ] {
        let found = commands(&after_ten_hours(before, after));
        assert_eq!(found.len(), expected, "{before:?} {after:?}");
    }
}

#[test]
fn the_slots_that_passed_without_a_daemon_are_counted() {
    let absence = |text: &str| {
        let actions = after_ten_hours((text, "Europe/Paris"), (text, "Europe/Paris"));
        actions.into_iter().find_map(|action| match action {
            Action::WasAway(absence) => Some(absence),
            _ => None,
        })
    };
    let ten_hours = |slots, started| Some(Absence { seconds: 36_000, slots, is_more: false, started });
    for (text, expected) in [
        ("", None),
        ("0 1 2 3 * a\n", None),
        ("*/10 * * * * a\n*/10 * * * * b\n", ten_hours(2 * 59, 0)),
        // 11:59 in Paris is a minute ago.
        ("59 11 * * * a\n", ten_hours(1, 1)),
        ("CRON_CATCHUP=once\n59 11 * * * a\n", None),
        ("CRON_ENABLED=no\n59 11 * * * a\n", None),
    ] {
        assert_eq!(absence(text), expected, "{text}");
    }
    assert!(absence("@every_second a\n").is_none_or(|absence| absence.slots <= 100_000));
}

#[test]
fn slots_in_a_sleep_of_the_machine_are_missed_because_of_it() {
    for (slept_ms, expected) in [(0, "a 01:00 missed clock"), (7_199_000, "a 01:00 missed asleep")] {
        let mut machine =
            Machine::with_table("CRON_CATCHUP=once\nCRON_NAME=a\n0 1,2 * * * a\n", "2026-05-01T00:30:00Z");
        machine.scheduler.note_sleep(slept_ms);
        machine.now.utc.0 += 7_200;
        machine.now.elapsed_ms += 1_000;
        let actions = machine.tell(Event::Tick);
        let records = actions.iter().filter_map(|action| match action {
            Action::Record(record) => Some(line(record)),
            _ => None,
        });
        assert_eq!(records.collect::<Vec<_>>(), [expected]);
        assert_eq!(started(&actions).len(), 1);
    }
}

#[test]
fn a_success_is_not_late_once_the_setting_is_gone() {
    let with = "CRON_LATE=10m\nCRON_NAME=a\n0 1 * * * a\n";
    let without = "CRON_NAME=a\n0 1 * * * a\n";
    for (text, expected) in [(with, 1), (without, 0)] {
        let mut machine = Machine::with_table(with, "2026-05-01T00:59:50Z");
        assert_eq!(started(&machine.run(60)).len(), 1);
        machine.load("/spool/alice", text);
        let is_late = |action: &&Action| matches!(action, Action::Notice(notice) if notice.event == NoticeEvent::Late);
        assert_eq!(machine.run(1_200).iter().filter(is_late).count(), expected, "{text}");
    }
}

#[test]
fn each_run_by_hand_is_a_slot_of_its_own_for_a_web_service() {
    let mut machine = Machine::with_table("CRON_PING=http://h/id\nCRON_NAME=a\n0 1 * * * a\n", "2026-05-01T00:59:50Z");
    let mut slots = Vec::new();
    for _ in 0..2 {
        let actions = machine.tell(Event::RunByHand { job: JobId::named("alice", "a"), start: ManualStart::Forced });
        let ended = machine.end(started(&actions)[0]);
        let pings: Vec<String> = actions
            .into_iter()
            .chain(ended)
            .filter_map(|action| match action {
                Action::FollowUp(follow_up) => match follow_up.task {
                    FollowUpTask::Ping { slot, .. } => Some(slot),
                    FollowUpTask::Hook { .. } => None,
                },
                _ => None,
            })
            .collect();
        assert!(pings.len() == 2 && pings[0] == pings[1], "{pings:?}");
        slots.extend(pings.into_iter().next());
    }
    assert_ne!(slots[0], slots[1]);
}

#[test]
fn a_step_back_in_a_time_that_the_clock_has_shown_by_mistake_holds_nothing() {
    let crontab = "0 1 * * * a\n";
    let at = |text: &str, elapsed_ms| Now { utc: time(text), elapsed_ms };
    // The clock showed 2030, and went back by an hour there.
    let mut now = at("2030-05-01T01:30:00Z", 0);
    let mut first = Scheduler::new(zone("UTC"), now);
    first.handle(Event::Load { source: source("/spool/alice"), table: table(crontab) }, now);
    first.handle(begin(None, SavedState::default()), now);
    now = at("2030-05-01T00:30:00Z", 1_000);
    first.handle(Event::Tick, now);
    let saved = first.saved_state();
    let steps = |saved: &SavedState| saved.changes().filter(|change| change.key().1 == "steps-back").count();
    assert_eq!(steps(&saved), 1);
    // The next daemon begins with the right time, after a boot.
    for (text, is_held) in [("2026-05-01T00:59:30Z", false), ("2030-05-01T00:59:30Z", true)] {
        let now = at(text, 0);
        let mut scheduler = Scheduler::new(zone("UTC"), now);
        scheduler.handle(Event::Load { source: source("/spool/alice"), table: table(crontab) }, now);
        scheduler.handle(begin(None, saved.clone()), now);
        let mut machine = Machine { scheduler, now };
        assert_eq!(commands(&machine.run(60)).is_empty(), is_held, "{text}");
        assert_eq!(steps(&machine.scheduler.saved_state()), usize::from(is_held), "{text}");
    }
}
