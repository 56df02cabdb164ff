//! Tables of cases: steps of the clock, sleeps, late loops, gaps and folds.

use crate::setup::{Machine, clock, commands, ended, started, starts, zone};
use cronwheel::schedule::{Timestamp, Zone};
use cronwheel::scheduler::{Action, Event, RunOutcome, RunRequest};

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// Wildcards: min, ten, w17. Fixed: the others, named by their times.
const MIXED: &str = "\
* * * * * min
*/10 * * * * ten
17 * * * * w17
3 10 * * * f1003
5 10 * * * f1005
30 12 * * * f1230
4 13 * * * f1304
5 7 * * * f0705
3 7 * * * f0703
";

#[test]
fn a_step_starts_what_the_rule_says() {
    let cases: &[(i64, &[&str])] = &[
        (2 * 60, &["10:03:30 min", "10:03:30 f1005", "10:03:30 min", "10:04:00 min"]),
        (5 * 60 + 30, &["10:03:30 min", "10:03:30 f1005", "10:04:30 ten", "10:04:30 min"]),
        (10 * 60, &["10:03:30 min", "10:03:30 f1005", "10:04:00 min"]),
        (2 * HOUR + 59 * 60, &["10:03:30 min", "10:03:30 f1005", "10:03:30 f1230", "10:04:00 min"]),
        (3 * HOUR, &["10:03:30 min", "10:03:30 f1005", "10:03:30 f1230", "10:04:00 f1304", "10:04:00 min"]),
        (3 * HOUR + 60, &["10:03:30 f1304", "10:03:30 min", "10:04:00 min"]),
        (20, &["10:03:40 min", "10:04:40 f1005", "10:04:40 min"]),
        (40, &["10:03:30 min", "10:04:20 f1005", "10:04:20 min"]),
        (-20, &["10:04:20 min"]),
        (-59, &[]),
        (-60, &["10:03:30 min", "10:04:00 min"]),
        (-59 * 60, &["10:03:30 min", "10:04:00 min"]),
        (-(2 * HOUR + 59 * 60), &["10:03:30 min", "10:04:00 min"]),
        (-(3 * HOUR + 60), &["10:03:30 min", "10:04:00 f0703", "10:04:00 min"]),
        (-730 * DAY, &["10:03:30 f1003", "10:03:30 min", "10:04:00 min"]),
        (80 * 365 * DAY, &["10:03:30 f1003", "10:03:30 min", "10:04:00 min"]),
    ];
    for (seconds, expected) in cases {
        let steps = [("2026-05-01T10:03:30Z", *seconds)];
        let found = starts(&Zone::utc(), MIXED, "2026-05-01T10:03:10Z", "2026-05-01T10:04:40Z", &steps, &[]);
        assert_eq!(found, *expected, "a step of {seconds} s");
    }
}

#[test]
fn a_step_on_the_full_minute_never_showed_the_minute_it_left() {
    let steps = [("2026-05-01T10:00:00Z", 2 * HOUR)];
    let text = "* * * * * min\n0 10 * * * f10\n0 12 * * * f12\n";
    let found = starts(&Zone::utc(), text, "2026-05-01T09:59:30Z", "2026-05-01T10:01:00Z", &steps, &[]);
    assert_eq!(found, ["10:00:00 min", "10:00:00 f10", "10:00:00 f12", "10:01:00 min"]);
}

#[test]
fn after_a_step_back_fixed_times_wait_until_the_clock_has_caught_up() {
    let text = "5 10 * * * ran\n40 10 * * * comes\n";
    for (seconds, expected) in [
        (-60 * 60, vec!["10:05:00 ran", "11:40:00 comes"]),
        (-(2 * HOUR + 59 * 60), vec!["10:05:00 ran", "13:39:00 comes"]),
        (-(3 * HOUR + 60), vec!["10:05:00 ran", "13:06:00 ran", "13:41:00 comes"]),
        (60 * 60, vec!["10:05:00 ran", "10:30:00 comes"]),
    ] {
        let steps = [("2026-05-01T10:30:00Z", seconds)];
        let found = starts(&Zone::utc(), text, "2026-05-01T10:00:00Z", "2026-05-01T15:00:00Z", &steps, &[]);
        assert_eq!(found, expected, "a step of {seconds} s");
    }
}

#[test]
fn a_job_of_every_minute_never_pauses_longer_when_the_clock_goes_back() {
    for seconds in [-60, -61, -90, -59 * 60, -(2 * HOUR + 59 * 60), -(3 * HOUR + 60), -730 * DAY] {
        for second in [0, 1, 29, 30, 31, 59] {
            let step = format!("2026-05-01T10:03:{second:02}Z");
            let found = starts(
                &Zone::utc(),
                "* * * * * c\n",
                "2026-05-01T10:00:00Z",
                "2026-05-01T10:10:00Z",
                &[(&step, seconds)],
                &[],
            );
            let second_of =
                |line: &String| line[3..5].parse::<i64>().unwrap() * 60 + line[6..8].parse::<i64>().unwrap();
            let times: Vec<i64> = found.iter().map(second_of).collect();
            assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= 60), "{seconds} s at {step}: {found:?}");
        }
    }
}

#[test]
fn small_steps_of_the_clock_neither_lose_nor_double_anything() {
    let steps: Vec<(String, i64)> = (0..50)
        .map(|n| (format!("2026-05-01T10:{n:02}:{:02}Z", (n * 7) % 60), [3, -3, 7, -7, 2, -2, 11, -11][n % 8]))
        .collect();
    let steps: Vec<(&str, i64)> = steps.iter().map(|(at, seconds)| (at.as_str(), *seconds)).collect();
    let found = starts(&Zone::utc(), "* * * * * c\n", "2026-05-01T09:59:50Z", "2026-05-01T10:59:50Z", &steps, &[]);
    assert_eq!(found.len(), 60);
}

#[test]
fn a_small_step_back_in_a_time_that_comes_again_neither_loses_nor_doubles_anything() {
    for seconds in [-1, -20, -45, -59] {
        for second in ["00", "01", "29", "30", "59"] {
            let small = format!("2026-05-01T10:37:{second}Z");
            let steps = [("2026-05-01T10:30:30Z", -HOUR / 2), (small.as_str(), seconds)];
            let found =
                starts(&Zone::utc(), "* * * * * c\n", "2026-05-01T10:00:10Z", "2026-05-01T11:00:10Z", &steps, &[]);
            // 10:01 to 10:30, the minute that the first step leads to, and the same again; the clock that was set back by more than ten seconds
            // does not show 10:30 a second time before the end.
            let expected = if seconds < -10 { 60 } else { 61 };
            assert_eq!(found.len(), expected, "{seconds} s at {small}: {found:?}");
        }
    }
}

#[test]
fn after_a_step_back_the_slot_that_came_last_is_retried_and_not_the_one_with_the_latest_time() {
    // 120 seconds back, 10:00 is due once more.
    for (back, slots) in [(45, &["10:01:00", "10:02:00"][..]), (120, &["10:01:00", "10:02:00", "10:00:00"])] {
        let mut machine = Machine::with_table("CRON_RETRY=1,2s\n* * * * * c\n", "2026-05-01T10:00:10Z");
        let mut actions = machine.run(140);
        machine.now.utc.0 -= back;
        actions.extend(machine.tell(Event::Tick));
        let starts: Vec<RunRequest> = started(&actions).into_iter().cloned().collect();
        assert_eq!(starts.iter().map(|start| clock(Timestamp(start.scheduled_at))).collect::<Vec<_>>(), slots);
        for start in &starts {
            machine.tell(ended(start.run, RunOutcome::Code(1)));
            let actions = machine.tick_after(3);
            let retried: Vec<(i64, u32)> =
                started(&actions).into_iter().map(|start| (start.scheduled_at, start.attempt)).collect();
            let is_last = start.run == starts[starts.len() - 1].run;
            assert_eq!(retried, if is_last { vec![(start.scheduled_at, 2)] } else { vec![] }, "{back}");
        }
    }
}

#[test]
fn a_sleep_is_a_step_forward_and_is_logged() {
    let mut machine = Machine::with_table(MIXED, "2026-05-01T10:03:10Z");
    machine.now.utc.0 += 600;
    let actions = machine.tell(Event::Tick);
    assert_eq!(commands(&actions), ["min", "f1005"]);
    assert!(actions.contains(&Action::Jumped { seconds: 600, caught_up: 1 }), "{actions:?}");
    assert_eq!(actions.last(), Some(&Action::Completed(machine.now.utc)));
}

#[test]
fn a_late_loop_makes_up_for_what_it_missed_within_the_rule() {
    for (late, expected) in [
        (55, vec!["min"]),
        (60 + 55, vec!["min", "f1005", "min"]),
        (4 * 60 + 30, vec!["min", "f1005", "min", "min", "min"]),
        (5 * 60 + 30, vec!["min", "f1005", "min", "min", "min", "min"]),
        (6 * 60 + 30, vec!["f1005", "min"]),
        (7 * 60, vec!["f1005", "ten", "min"]),
        (60 * 60, vec!["f1005", "min"]),
        (4 * HOUR + 56 * 60 + 55, vec!["ten", "min"]),
    ] {
        let mut machine = Machine::with_table(MIXED, "2026-05-01T10:03:10Z");
        let actions = machine.tick_after(late);
        assert_eq!(commands(&actions), expected, "{late} s late");
        assert!(!actions.iter().any(|action| matches!(action, Action::Jumped { .. })), "no step happened");
    }
}

#[test]
fn schedules_with_seconds_go_on_from_the_second_a_step_leads_to() {
    let text = "@every_second tick\n@quartz 30 * * * * * * half\n";
    let steps = [("2026-05-01T10:00:02Z", 90)];
    let found = starts(&Zone::utc(), text, "2026-05-01T10:00:00Z", "2026-05-01T10:00:03Z", &steps, &[]);
    assert_eq!(found, ["10:00:01 tick", "10:00:02 tick", "10:00:03 tick"]);
    let steps = [("2026-05-01T10:00:02Z", 88)];
    let found = starts(&Zone::utc(), text, "2026-05-01T10:00:00Z", "2026-05-01T10:00:03Z", &steps, &[]);
    assert_eq!(found, ["10:00:01 tick", "10:00:02 half", "10:00:02 tick", "10:00:03 tick"]);
    let steps = [("2026-05-01T10:00:02Z", -3_600)];
    let found = starts(&Zone::utc(), text, "2026-05-01T10:00:00Z", "2026-05-01T10:00:03Z", &steps, &[]);
    assert_eq!(found, ["10:00:01 tick", "10:00:02 tick", "10:00:03 tick"]);
}

#[test]
fn schedules_with_seconds_make_up_for_nothing_and_repeat_no_second_of_a_short_step() {
    let text = "@every_second tick\n@quartz 0/10 * * * * * * ten\n";
    for (step, ticks, tens) in
        [(0, 60, 6), (600, 60, 6), (4 * HOUR, 60, 6), (-HOUR, 60, 6), (-4 * HOUR, 60, 6), (-20, 40, 4)]
    {
        let (from, until) = ("2026-05-01T10:00:05Z", "2026-05-01T10:01:05Z");
        let found = starts(&Zone::utc(), text, from, until, &[("2026-05-01T10:00:30Z", step)], &[]);
        let count = |name: &str| found.iter().filter(|line| line.ends_with(name)).count();
        assert_eq!((count("tick"), count("ten")), (ticks, tens), "a step of {step} s: {found:?}");
    }
}

const DAYLIGHT: &str = "\
30 2 * * * fixed
*/30 * * * * half
30 * * * * hourly
0,30 2 * * * two
*/30 2 * * * wild
";

#[test]
fn a_gap_makes_up_for_fixed_times_at_its_end_each_once() {
    let expected =
        ["01:00:00 half", "01:00:00 two", "01:00:00 two", "01:00:00 fixed", "01:30:00 hourly", "01:30:00 half"];
    let (from, until) = ("2026-03-29T00:45:00Z", "2026-03-29T01:35:00Z");
    assert_eq!(starts(&zone("Europe/Berlin"), DAYLIGHT, from, until, &[], &[]), expected);
    let own = format!("CRON_TZ=Europe/Berlin\n{DAYLIGHT}");
    assert_eq!(starts(&zone("Asia/Kathmandu"), &own, from, until, &[], &[]), expected);
}

#[test]
fn a_fold_repeats_wildcards_and_not_fixed_times() {
    let expected = [
        "00:30:00 wild",
        "00:30:00 two",
        "00:30:00 hourly",
        "00:30:00 half",
        "00:30:00 fixed",
        "01:00:00 wild",
        "01:00:00 half",
        "01:30:00 wild",
        "01:30:00 hourly",
        "01:30:00 half",
        "02:00:00 half",
    ];
    let (from, until) = ("2026-10-25T00:25:00Z", "2026-10-25T02:05:00Z");
    assert_eq!(starts(&zone("Europe/Berlin"), DAYLIGHT, from, until, &[], &[]), expected);
    let own = format!("CRON_TZ=Europe/Berlin\n{DAYLIGHT}");
    assert_eq!(starts(&zone("Asia/Kathmandu"), &own, from, until, &[], &[]), expected);
}

#[test]
fn a_day_of_change_has_each_fixed_time_once_wherever_it_is() {
    for (name, from, until) in [
        ("Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z"),
        ("Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z"),
        ("America/New_York", "2026-03-07T17:00:00Z", "2026-03-08T17:00:00Z"),
        ("America/New_York", "2026-10-31T17:00:00Z", "2026-11-01T17:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T02:00:00Z", "2026-04-05T02:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T02:00:00Z", "2026-10-04T02:00:00Z"),
    ] {
        for (hour, minute) in (0..4).flat_map(|hour| [0, 15, 29, 30, 59].map(|minute| (hour, minute))) {
            let text = format!("{minute} {hour} * * * f\nCRON_TZ={name}\n{minute} {hour} * * * own\n");
            let found = starts(&zone(name), &text, from, until, &[], &[]);
            assert_eq!(found.len(), 2, "{minute} {hour} in {name} on {until}: {found:?}");
        }
    }
}

#[test]
fn a_table_in_utc_is_untouched_by_the_repeated_hour_of_the_system() {
    let text = "CRON_TZ=UTC\n0,15,30,45 1 * * * job\n";
    let found = starts(&zone("Europe/London"), text, "2026-10-25T00:00:00Z", "2026-10-25T03:00:00Z", &[], &[]);
    assert_eq!(found, ["01:00:00 job", "01:15:00 job", "01:30:00 job", "01:45:00 job"]);
}

#[test]
fn a_new_system_zone_holds_at_once_and_follows_the_rule() {
    let text = "* * * * * min\n30 13 * * * f1330\n10 12 * * * f1210\nCRON_TZ=UTC\n30 11 * * * own\n";
    let mut machine = Machine::with_table(text, "2026-01-10T11:05:30Z");
    // One hour ahead: like a gap, and the minute in progress is not repeated.
    let actions = machine.tell(Event::SystemZone(zone("Europe/Berlin")));
    assert_eq!(commands(&actions), Vec::<String>::new());
    assert_eq!(commands(&machine.run(5 * 60)), ["min", "min", "min", "min", "f1210", "min"]);
    // And back: like a fold, f1210 is held until the clock is past what it has shown.
    let actions = machine.tell(Event::SystemZone(Zone::utc()));
    assert_eq!(commands(&actions), Vec::<String>::new());
    let later = machine.run(3 * HOUR);
    let fixed: Vec<_> = commands(&later).into_iter().filter(|command| command != "min").collect();
    assert_eq!(fixed, ["own", "f1330"]);
    assert_eq!(commands(&later).len(), 182);
}

#[test]
fn a_fold_shortly_after_a_step_back_does_not_shorten_how_long_fixed_times_wait() {
    // Berlin's clocks go from 03:00 back to 02:00 at 01:00 UTC. Half an hour after they were 03:30, they are set back to 00:31 of before that:
    // 179 minutes on the wall, 239 in UTC.
    let text = "10 3 * * * ran\n40 3 * * * comes\n";
    let steps = [("2026-10-25T02:30:00Z", -239 * 60)];
    let found = starts(&zone("Europe/Berlin"), text, "2026-10-25T00:00:00Z", "2026-10-25T08:00:00Z", &steps, &[]);
    assert_eq!(found, ["02:10:00 ran", "06:39:00 comes"]);
    // So it is for what is new more than three hours after the clock was set, and still before the time that it showed then.
    let zone = "CRON_TZ=Europe/Berlin\n";
    let mut machine = Machine::with_table(&format!("{zone}10 3 * * * ran\n"), "2026-10-25T02:00:00Z");
    assert_eq!(commands(&machine.run(30 * 60)), ["ran"]);
    machine.now.utc.0 -= 239 * 60;
    machine.tell(Event::Tick);
    assert_eq!(commands(&machine.run(3 * HOUR + 10 * 60)), [""; 0]);
    machine.load("/spool/alice", &format!("{zone}11 3 * * * held\n40 3 * * * comes\n"));
    assert_eq!(commands(&machine.run(2 * HOUR)), ["comes"]);
}
