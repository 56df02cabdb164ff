//! Job policies that meet: pairs of rules as tables of cases.

use crate::outcomes::{Day, expect, line, outcomes, scenario};
use crate::setup::{Machine, commands, ended, set_delay, source, started, table, time};
use cronwheel::schedule::Timestamp;
use cronwheel::scheduler::{
    Action, AtStop, EndReason, Event, JobId, ManualStart, NoticeEvent, Outcome, RunId, RunOutcome, RunResult, Scenario,
    Simulated, SkipReason, simulate,
};

const OVERLAPS: [&str; 4] = ["allow", "skip", "queue", "replace"];

// Overlap and retry.

#[test]
fn a_retry_that_runs_counts_for_overlap() {
    let first = "a 00:10 schedule#1 00:10-00:16 failed 1";
    let retry = "a 00:10 retry#2 00:21-00:27 ok 0";
    for (overlap, expected) in OVERLAPS.into_iter().zip([
        [first, retry, "a 00:25 schedule#1 00:25-00:31 ok 0"],
        [first, retry, "a 00:25 skipped still running"],
        [first, retry, "a 00:25 schedule#1 00:27-00:33 ok 0"],
        [first, "a 00:10 retry#2 00:21-00:25 replaced", "a 00:25 schedule#1 00:25-00:31 ok 0"],
    ]) {
        let crontab = format!("CRON_NAME=a\nCRON_OVERLAP={overlap}\nCRON_RETRY=3,5m\n10,25 0 * * * a\n");
        let day = Day {
            crontab: &crontab,
            until: "01:00",
            durations: &[("a", 360)],
            exits: &[("a", &[1, 0])],
            ..Day::default()
        };
        expect(&day, &expected);
    }
}

#[test]
fn a_slot_that_came_during_the_run_leaves_its_retries_unless_it_has_begun() {
    let failed = "a 00:10 schedule#1 00:10-00:30 failed 1";
    for (overlap, expected) in OVERLAPS.into_iter().zip([
        &[failed, "a 00:20 schedule#1 00:20-00:40 ok 0"] as &[&str],
        &[failed, "a 00:10 retry#2 00:35-00:55 ok 0", "a 00:20 skipped still running"],
        &[failed, "a 00:10 retry#2 00:35-00:55 ok 0", "a 00:20 schedule#1 00:55-01:15 ok 0"],
        &["a 00:10 schedule#1 00:10-00:20 replaced", "a 00:20 schedule#1 00:20-00:40 ok 0"],
    ]) {
        let crontab = format!("CRON_NAME=a\nCRON_OVERLAP={overlap}\nCRON_RETRY=1,5m\n10,20 0 * * * a\n");
        let day = Day {
            crontab: &crontab,
            until: "02:00",
            durations: &[("a", 1_200)],
            exits: &[("a", &[1, 0])],
            ..Day::default()
        };
        expect(&day, expected);
    }
}

#[test]
fn under_queue_the_newest_slot_waits_for_all_retries() {
    let crontab = "CRON_NAME=a\nCRON_OVERLAP=queue\nCRON_RETRY=2,10m\n10,15,25 0 * * * a\n";
    expect(
        &Day { crontab, until: "01:00", exits: &[("a", &[1, 1, 1, 0])], ..Day::default() },
        &[
            "a 00:10 schedule#1 00:10-00:10 failed 1",
            "a 00:10 retry#2 00:20-00:20 failed 1",
            "a 00:10 retry#3 00:40-00:40 failed 1",
            "a 00:15 skipped superseded",
            "a 00:25 schedule#1 00:40-00:40 ok 0",
        ],
    );
}

#[test]
fn a_retry_waits_for_a_run_by_hand_unless_overlap_is_allowed() {
    for overlap in OVERLAPS {
        let crontab = format!("CRON_NAME=a\nCRON_OVERLAP={overlap}\nCRON_RETRY=1,10m\n0 1 * * * a\n");
        let retry = match overlap {
            "allow" => "a 01:00 retry#2 01:15-01:20 ok 0",
            _ => "a 01:00 retry#2 01:17-01:22 ok 0",
        };
        let day = Day {
            crontab: &crontab,
            until: "02:00",
            durations: &[("a", 300)],
            exits: &[("a", &[1, 2, 0])],
            runs: &[("a", "01:12")],
            ..Day::default()
        };
        expect(&day, &["a 01:00 schedule#1 01:00-01:05 failed 1", "a 01:12 manual#1 01:12-01:17 failed 2", retry]);
    }
}

#[test]
fn what_was_ended_on_purpose_is_not_retried() {
    let crontab = "CRON_NAME=a\nCRON_OVERLAP=replace\nCRON_RETRY=3,1m\n10,20 0 * * * a\n";
    expect(
        &Day { crontab, until: "01:00", durations: &[("a", 1_200)], kills: &[("a", "00:25")], ..Day::default() },
        &["a 00:10 schedule#1 00:10-00:20 replaced", "a 00:20 schedule#1 00:20-00:25 killed"],
    );
}

// Catch-up and overlap.

#[test]
fn a_caught_up_slot_obeys_the_overlap_rule() {
    let first = "a 00:30 schedule#1 00:30-02:00 ok 0";
    for (overlap, expected) in OVERLAPS.into_iter().zip([
        [first, "a 01:30 catchup#1 01:40-03:10 ok 0", "a 02:30 schedule#1 02:30-04:00 ok 0"],
        [first, "a 01:30 catchup#1 02:00-03:30 ok 0", "a 02:30 skipped still running"],
        [first, "a 01:30 catchup#1 02:00-03:30 ok 0", "a 02:30 schedule#1 03:30-05:00 ok 0"],
        [
            "a 00:30 schedule#1 00:30-01:40 replaced",
            "a 01:30 catchup#1 01:40-02:30 replaced",
            "a 02:30 schedule#1 02:30-04:00 ok 0",
        ],
    ]) {
        let crontab = format!("CRON_NAME=a\nCRON_OVERLAP={overlap}\nCRON_CATCHUP=once\n30 0-2 * * * a\n");
        let down = &[("00:40", "01:40")];
        expect(
            &Day { crontab: &crontab, until: "06:00", durations: &[("a", 5_400)], down, ..Day::default() },
            &expected,
        );
    }
}

#[test]
fn while_missed_slots_run_one_by_one_regular_ones_obey_the_overlap_rule() {
    let first = "a 00:30 schedule#1 00:30-01:10 ok 0";
    let caught_up = ["a 01:30 catchup#1 03:40-04:20 ok 0", "a 02:30 catchup#1 04:20-05:00 ok 0"];
    let last = "a 03:30 catchup#1 05:00-05:40 ok 0";
    for (overlap, expected) in OVERLAPS.into_iter().zip([
        vec!["a 04:30 schedule#1 04:30-05:10 ok 0", last],
        vec!["a 04:30 skipped still running", last],
        vec![last, "a 04:30 schedule#1 05:40-06:20 ok 0"],
        vec![last, "a 04:30 schedule#1 05:40-06:20 ok 0"],
    ]) {
        let crontab = format!("CRON_NAME=a\nCRON_OVERLAP={overlap}\nCRON_CATCHUP=all\n30 0-4 * * * a\n");
        let down = &[("01:20", "03:40")];
        let day = Day { crontab: &crontab, until: "08:00", durations: &[("a", 2_400)], down, ..Day::default() };
        expect(&day, &[&[first][..], &caught_up, &expected].concat());
    }
}

#[test]
fn under_replace_every_missed_slot_of_all_runs_to_its_end() {
    let missed = ["a 01:00 catchup#1 01:35-02:05 ok 0", "a 01:30 catchup#1 02:05-02:35 ok 0"];
    for (mode, slots, runs, expected) in [
        // A slot that comes while the last one runs waits, and of those that wait the newest runs.
        (
            "all",
            "0,30 1,2 * * *",
            &[] as &[(&str, &str)],
            vec![missed[1], "a 02:00 skipped superseded", "a 02:30 schedule#1 02:35-03:05 ok 0"],
        ),
        ("all", "0,30 1 * * *", &[("a", "02:20")], vec![missed[1], "a 02:20 manual#1 02:35-03:05 ok 0"]),
        // With `once` the missed slot is one like others.
        (
            "once",
            "0,30 1 * * *",
            &[("a", "01:50")],
            vec!["a 01:30 catchup#1 01:35-01:50 replaced", "a 01:50 manual#1 01:50-02:20 ok 0"],
        ),
    ] {
        let crontab = format!("CRON_NAME=a\nCRON_OVERLAP=replace\nCRON_CATCHUP={mode}\n{slots} a\n");
        let first = if mode == "all" { missed[0] } else { "a 01:00 missed down" };
        let (down, durations) = (&[("00:50", "01:35")], &[("a", 1_800)]);
        expect(
            &Day { crontab: &crontab, until: "03:30", durations, down, runs, ..Day::default() },
            &[&[first][..], &expected].concat(),
        );
    }
}

#[test]
fn only_regular_slots_supersede_each_other() {
    let crontab = "CRON_NAME=a\nCRON_OVERLAP=queue\nCRON_CATCHUP=all\n0,5,10,15,20 1 * * * a\n";
    expect(
        &Day { crontab, until: "03:00", durations: &[("a", 900)], down: &[("00:50", "01:07")], ..Day::default() },
        &[
            "a 01:00 catchup#1 01:07-01:22 ok 0",
            "a 01:10 skipped superseded x2 to 01:15",
            "a 01:05 catchup#1 01:22-01:37 ok 0",
            "a 01:20 schedule#1 01:37-01:52 ok 0",
        ],
    );
}

#[test]
fn a_caught_up_slot_takes_the_place_of_a_pending_retry() {
    for overlap in OVERLAPS {
        let crontab =
            format!("CRON_NAME=a\nCRON_OVERLAP={overlap}\nCRON_CATCHUP=once\nCRON_RETRY=1,1h\n0,30 1 * * * a\n");
        expect(
            &Day {
                crontab: &crontab,
                until: "04:00",
                exits: &[("a", &[0, 1, 0])],
                down: &[("01:40", "01:50")],
                ..Day::default()
            },
            &[
                "a 01:00 schedule#1 01:00-01:00 ok 0",
                "a 01:30 schedule#1 01:30-01:30 failed 1",
                "a 01:30 retry#2 02:30-02:30 ok 0",
            ],
        );
        expect(
            &Day {
                crontab: &crontab,
                until: "04:00",
                exits: &[("a", &[1, 0])],
                down: &[("01:10", "01:50")],
                ..Day::default()
            },
            &["a 01:00 schedule#1 01:00-01:00 failed 1", "a 01:30 catchup#1 01:50-01:50 ok 0"],
        );
    }
}

// Replace and timeout.

#[test]
fn a_timeout_and_a_newer_slot_end_a_run_whichever_comes_first() {
    for (timeout, expected) in [
        ("10m", &["a 00:10 schedule#1 00:10-00:20 timeout", "a 00:20 schedule#1 00:20-00:30 timeout"] as &[&str]),
        ("15m", &["a 00:10 schedule#1 00:10-00:20 replaced", "a 00:20 schedule#1 00:20-00:30 replaced"]),
        (
            "7m",
            &[
                "a 00:10 schedule#1 00:10-00:17 timeout",
                "a 00:10 retry#2 00:18-00:20 replaced",
                "a 00:20 schedule#1 00:20-00:27 timeout",
                "a 00:20 retry#2 00:28-00:30 replaced",
            ],
        ),
    ] {
        let crontab =
            format!("CRON_NAME=a\nCRON_OVERLAP=replace\nCRON_TIMEOUT={timeout}\nCRON_RETRY=2,1m\n10,20,30 0 * * * a\n");
        expect(&Day { crontab: &crontab, until: "00:30", durations: &[("a", 1_800)], ..Day::default() }, expected);
    }
}

#[test]
fn a_run_whose_time_is_over_before_the_newer_slot_comes_has_timed_out() {
    let text = "CRON_NAME=a\nCRON_OVERLAP=replace\nCRON_TIMEOUT=599s\nCRON_RETRY=3,1s\n*/10 * * * * a\n";
    for (is_timeout, outcome, notice) in
        [(true, Outcome::Timeout, Some(NoticeEvent::Failure)), (false, Outcome::Replaced, None)]
    {
        let mut machine = Machine::with_table(text, "2026-05-01T10:00:00Z");
        let run = started(&machine.run(600))[0].run;
        // The executor ends it; it goes on in its grace.
        assert!(machine.run(600).contains(&Action::End { run, why: EndReason::Replaced }));
        machine.run(3);
        let end = RunOutcome::Signal { number: 9, core_dumped: false };
        let result = RunResult { is_timeout, ..RunResult::of_outcome(run, end, machine.now.utc.0 * 1_000) };
        let actions = machine.tell(Event::RunEnded(Box::new(result)));
        let found = actions.iter().find_map(|action| match action {
            Action::Record(record) => Some(record.outcome.clone()),
            _ => None,
        });
        assert_eq!(found, Some(outcome));
        assert_eq!(notices(&actions).into_iter().next().map(|(_, event)| event), notice);
        assert_eq!(started(&actions).iter().map(|start| start.attempt).collect::<Vec<_>>(), [1], "the newer slot");
        assert_eq!(commands(&machine.run(300)), [""; 0], "no retry of the older one");
    }
}

#[test]
fn a_timeout_counts_from_the_start_of_each_attempt_and_not_of_the_slot() {
    let crontab = "CRON_NAME=a\nCRON_OVERLAP=queue\nCRON_TIMEOUT=15m\n10,20 0 * * * a\n";
    expect(
        &Day { crontab, until: "01:00", durations: &[("a", 1_800)], ..Day::default() },
        &["a 00:10 schedule#1 00:10-00:25 timeout", "a 00:20 schedule#1 00:25-00:40 timeout"],
    );
    let crontab = "CRON_GROUP=g\nCRON_TIMEOUT=15m\nCRON_OVERLAP=replace\nCRON_NAME=b\n5 0 * * * b\nCRON_NAME=a\n10,15 0 * * * a\n";
    expect(
        &Day { crontab, until: "01:00", durations: &[("a", 1_800), ("b", 840)], ..Day::default() },
        &[
            "b 00:05 schedule#1 00:05-00:19 ok 0",
            "a 00:10 skipped superseded",
            "a 00:15 schedule#1 00:19-00:34 timeout",
        ],
    );
}

// Pause and retry.

#[test]
fn a_retry_waits_for_the_end_of_a_pause_in_which_no_slot_has_passed() {
    let failed = "a 01:00 schedule#1 01:00-01:00 failed 1";
    for overlap in OVERLAPS {
        for down in [&[] as &[(&str, &str)], &[("01:07", "01:08")], &[("01:25", "01:27")]] {
            let crontab = format!("CRON_NAME=a\nCRON_OVERLAP={overlap}\nCRON_RETRY=1,10m\n0 1 * * * a\n");
            let with_slot = crontab.replace("0 1 *", "0,20 1 *");
            let pauses = &[("a", "01:05", "01:30")];
            let day = Day { until: "01:50", exits: &[("a", &[1, 0])], pauses, down, ..Day::default() };
            expect(&Day { crontab: &crontab, ..day }, &[failed, "a 01:00 retry#2 01:30-01:30 ok 0"]);
            expect(&Day { crontab: &with_slot, ..day }, &[failed, "a 01:20 skipped paused"]);
        }
    }
}

#[test]
fn excepted_slots_and_slots_from_before_the_failure_leave_a_retry() {
    // In Tokyo the second of May begins at 15:00.
    let crontab = "CRON_TZ=Asia/Tokyo\nCRON_EXCEPT=2026-05-02\nCRON_NAME=a\nCRON_RETRY=1,20m\n50 * * * * a\n";
    let day = Day { crontab, until: "17:20", exits: &[("a", &[0, 1, 0])], ..Day::default() };
    let crontab_from_13 = crontab.replace("50 *", "50 22-23,0-1");
    let day = Day { crontab: &crontab_from_13, ..day };
    let expected = |retry: &str| {
        vec![
            "a 13:50 schedule#1 13:50-13:50 ok 0".to_owned(),
            "a 14:50 schedule#1 14:50-14:50 failed 1".to_owned(),
            format!("a 14:50 retry#2 {retry} ok 0"),
            "a 15:50 skipped calendar x2 to 16:50".to_owned(),
        ]
    };
    let found = |day: &Day<'_>| outcomes(day).iter().map(line).collect::<Vec<_>>();
    assert_eq!(found(&day), expected("15:10-15:10"), "the retry of an earlier day goes on");
    let late = crontab_from_13.replace("20m", "90m");
    assert_eq!(found(&Day { crontab: &late, ..day }), expected("16:20-16:20"), "an excepted slot gives no retry up");
    let day = Day { crontab: &crontab_from_13, until: "17:20", exits: &[("a", &[0, 1, 0])], ..Day::default() };
    let paused = Day { pauses: &[("a", "15:00", "16:10")], ..day };
    assert_eq!(found(&paused), expected("16:10-16:10"), "nor does it in a pause");
    let day = Day { crontab: &crontab_from_13, until: "17:20", exits: &[("a", &[0, 1, 0])], ..Day::default() };
    let down = Day { down: &[("15:00", "16:10")], ..day };
    assert_eq!(found(&down), expected("16:10-16:10"), "nor while the daemon is down");

    // The slot of 00:20 passes in the pause, or without a daemon, while the run of 00:10 goes on, which then fails.
    let crontab = "CRON_NAME=a\nCRON_RETRY=1,1m\n10,20 0 * * * a\n";
    let (failed, retry) = ("a 00:10 schedule#1 00:10-00:25 failed 1", "a 00:10 retry#2 00:30-00:45 ok 0");
    let day = || Day { crontab, until: "01:00", durations: &[("a", 900)], exits: &[("a", &[1, 0])], ..Day::default() };
    expect(&Day { pauses: &[("a", "00:15", "00:30")], ..day() }, &[failed, retry, "a 00:20 skipped paused"]);
    expect(&Day { down: &[("00:15", "00:30")], ..day() }, &[failed, "a 00:20 missed down", retry]);
}

#[test]
fn a_retry_that_waits_in_a_group_waits_for_the_end_of_a_pause_too() {
    let crontab = "CRON_GROUP=g\nCRON_RETRY=1,1m\nCRON_NAME=a\n10 0 * * * a\nCRON_NAME=b\n10 0 * * * b\n";
    let day = |pauses| Day {
        crontab,
        until: "01:00",
        durations: &[("b", 600)],
        exits: &[("a", &[1, 0])],
        pauses,
        ..Day::default()
    };
    let (failed, other) = ("a 00:10 schedule#1 00:10-00:10 failed 1", "b 00:10 schedule#1 00:10-00:20 ok 0");
    expect(&day(&[("a", "00:15", "00:30")]), &[failed, other, "a 00:10 retry#2 00:30-00:30 ok 0"]);
    expect(&day(&[("a", "00:15", "00:18")]), &[failed, other, "a 00:10 retry#2 00:20-00:20 ok 0"]);
}

// Group and queue.

#[test]
fn a_newer_slot_takes_the_place_of_the_older_one_in_the_group() {
    for overlap in ["queue", "replace"] {
        let crontab = format!(
            "CRON_GROUP=g\nCRON_NAME=c\n5 0 * * * c\nCRON_NAME=b\n12 0 * * * b\nCRON_OVERLAP={overlap}\nCRON_NAME=a\n10,15 0 * * * a\n"
        );
        let durations: &[(&str, i64)] = &[("a", 60), ("b", 60), ("c", 1_200)];
        let expected = &[
            "c 00:05 schedule#1 00:05-00:25 ok 0",
            "a 00:10 skipped superseded",
            "a 00:15 schedule#1 00:25-00:26 ok 0",
            "b 00:12 schedule#1 00:26-00:27 ok 0",
        ];
        // Over a restart, too.
        for down in [&[] as &[(&str, &str)], &[("00:11", "00:11:30"), ("00:13", "00:14"), ("00:20", "00:22")]] {
            expect(&Day { crontab: &crontab, until: "01:00", durations, down, ..Day::default() }, expected);
        }
    }
}

#[test]
fn under_skip_a_slot_that_waits_in_the_group_is_still_running() {
    let crontab = "CRON_GROUP=g\nCRON_NAME=b\n5 0 * * * b\nCRON_OVERLAP=skip\nCRON_NAME=a\n10,15 0 * * * a\n";
    expect(
        &Day { crontab, until: "01:00", durations: &[("b", 1_200)], ..Day::default() },
        &[
            "b 00:05 schedule#1 00:05-00:25 ok 0",
            "a 00:15 skipped still running",
            "a 00:10 schedule#1 00:25-00:25 ok 0",
        ],
    );
}

#[test]
fn of_an_entry_that_allows_overlap_sixty_slots_wait_in_a_group() {
    let crontab = "CRON_GROUP=g\nCRON_NAME=b\n0 1 * * * b\nCRON_NAME=a\n* 1-2 * * * a\n";
    let found: Vec<String> = outcomes(&Day { crontab, until: "04:00", durations: &[("b", 6_000)], ..Day::default() })
        .iter()
        .map(line)
        .collect();
    let of_a: Vec<&String> = found.iter().filter(|line| line.starts_with("a ")).collect();
    let superseded: Vec<&&String> = of_a.iter().filter(|line| line.contains("superseded")).collect();
    assert_eq!(superseded, [&"a 01:00 skipped superseded x40 to 01:39"], "{found:#?}");
    assert_eq!(of_a.iter().filter(|line| line.contains(" 02:40-02:40 ok")).count(), 61, "{found:#?}");
}

#[test]
fn the_smallest_number_of_slots_holds_for_a_group() {
    let crontab = "CRON_GROUP=g,3\nCRON_NAME=a\n0 1 * * * a\nCRON_NAME=b\n0 1 * * * b\nCRON_GROUP=g,1\nCRON_NAME=c\n30 1 * * * c\n";
    expect(
        &Day { crontab, until: "01:20", durations: &[("a", 300), ("b", 300)], ..Day::default() },
        &["a 01:00 schedule#1 01:00-01:05 ok 0", "b 01:00 schedule#1 01:05-01:10 ok 0"],
    );
}

#[test]
fn runs_by_hand_wait_in_order_of_arrival_and_no_slot_supersedes_them() {
    let crontab = "CRON_NAME=a\nCRON_OVERLAP=queue\n10,14,18 0 * * * a\n";
    let runs = &[("a", "00:12"), ("a", "00:16")];
    expect(
        &Day { crontab, until: "02:00", durations: &[("a", 900)], runs, ..Day::default() },
        &[
            "a 00:10 schedule#1 00:10-00:25 ok 0",
            "a 00:12 manual#1 00:25-00:40 ok 0",
            "a 00:14 skipped superseded",
            "a 00:18 schedule#1 00:40-00:55 ok 0",
            "a 00:16 manual#1 00:55-01:10 ok 0",
        ],
    );
}

#[test]
fn sixteen_runs_by_hand_wait_and_further_ones_are_refused() {
    let mut machine = Machine::with_table("CRON_OVERLAP=queue\nCRON_NAME=a\n@daily a\n", "2026-05-01T10:00:00Z");
    let by_hand = |_| Event::RunByHand { job: JobId::named("alice", "a"), start: ManualStart::ByRules };
    let mut actions: Vec<Action> = (0..30).map(by_hand).flat_map(|event| machine.tell(event)).collect();
    let mut runs = 0;
    while let Some(run) = started(&actions).first().copied().cloned() {
        runs += 1;
        actions = machine.end(&run);
        actions.extend(machine.run(30));
    }
    assert_eq!(runs, 1 + 16);
}

#[test]
fn a_forced_run_by_hand_goes_past_overlap_and_group() {
    for overlap in OVERLAPS {
        let text = format!("CRON_GROUP=g\nCRON_OVERLAP={overlap}\nCRON_NAME=a\n* * * * * a\n");
        let mut machine = Machine::with_table(&text, "2026-05-01T10:00:00Z");
        let first = started(&machine.run(60))[0].clone();
        let job = JobId::named("alice", "a");
        let actions = machine.tell(Event::RunByHand { job, start: ManualStart::Forced });
        assert_eq!(commands(&actions), ["a"], "{overlap}");
        assert!(!actions.iter().any(|action| matches!(action, Action::End { .. })));
        // The place that it has taken beyond the limit counts until it ends.
        let by_hand = started(&actions)[0].run;
        machine.end(&first);
        assert_eq!(commands(&machine.run(30)), [""; 0]);
        machine.tell(ended(by_hand, RunOutcome::Code(0)));
        assert_eq!(commands(&machine.run(30)), ["a"], "{overlap}");
    }
}

// Except and catch-up.

#[test]
fn excepted_slots_are_not_owed() {
    // In Tokyo the second of May begins at 15:00.
    let text = |mode: &str, days: &str| {
        format!("CRON_TZ=Asia/Tokyo\nCRON_EXCEPT={days}\nCRON_CATCHUP={mode}\nCRON_NAME=a\n30 22-23,0-1 * * * a\n")
    };
    let down = &[("13:00", "17:00")];
    for (mode, days, expected) in [
        (
            "once",
            "2026-05-01",
            &["a 13:30 skipped calendar x2 to 14:30", "a 15:30 missed down", "a 16:30 catchup#1 17:00-17:00 ok 0"]
                as &[&str],
        ),
        (
            "once",
            "2026-05-02",
            &["a 13:30 missed down", "a 15:30 skipped calendar x2 to 16:30", "a 14:30 catchup#1 17:00-17:00 ok 0"],
        ),
        (
            "all",
            "2026-05-01",
            &[
                "a 13:30 skipped calendar x2 to 14:30",
                "a 15:30 catchup#1 17:00-17:00 ok 0",
                "a 16:30 catchup#1 17:00-17:00 ok 0",
            ],
        ),
        ("all", "2026-05-01..2026-05-02", &["a 13:30 skipped calendar x4 to 16:30"]),
        ("none", "2026-05-01", &["a 13:30 skipped calendar x2 to 14:30", "a 15:30 missed down x2 to 16:30"]),
    ] {
        expect(&Day { crontab: &text(mode, days), until: "18:00", down, ..Day::default() }, expected);
    }
}

#[test]
fn a_slot_that_is_owed_runs_on_an_excepted_day() {
    let crontab = "CRON_TZ=Asia/Tokyo\nCRON_EXCEPT=2026-05-02\nCRON_CATCHUP=all\nCRON_OVERLAP=queue\nCRON_NAME=a\n30,40 23 * * * a\n";
    expect(
        &Day { crontab, until: "17:00", durations: &[("a", 1_800)], down: &[("14:00", "15:10")], ..Day::default() },
        &["a 14:30 catchup#1 15:10-15:40 ok 0", "a 14:40 catchup#1 15:40-16:10 ok 0"],
    );
    expect(
        &Day { crontab, until: "17:00", durations: &[("a", 2_400)], ..Day::default() },
        &["a 14:30 schedule#1 14:30-15:10 ok 0", "a 14:40 schedule#1 15:10-15:50 ok 0"],
    );
}

#[test]
fn the_day_of_a_slot_is_that_before_its_random_delay() {
    // Due at 14:59 and 15:59, an hour later each; in Tokyo the second of May begins at 15:00.
    let text = "CRON_TZ=Asia/Tokyo\nCRON_EXCEPT=2026-05-02\nCRON_CATCHUP=all\nCRON_NAME=a\n59 23,0 * * * a\n";
    for down in [vec![], vec![("15:30", "17:30")]] {
        let tables = || {
            let mut table = table(text);
            set_delay(&mut table, 0, 3_600);
            vec![(source("/spool/alice"), table)]
        };
        let day = Day { until: "18:00", down: &down, ..Day::default() };
        let found: Vec<String> = simulate(scenario(&day), tables).filter_map(record).collect();
        let start = if down.is_empty() { "schedule#1 15:59-15:59" } else { "catchup#1 17:30-17:30" };
        let mut expected = [format!("a 15:59 {start} ok 0"), "a 16:59 skipped calendar".to_owned()];
        if !down.is_empty() {
            expected.reverse();
        }
        assert_eq!(found, expected);
    }
}

fn record(simulated: Simulated) -> Option<String> {
    match simulated {
        Simulated::Ended(record) => Some(line(&record)),
        Simulated::Started(_) | Simulated::Notice(_) => None,
    }
}

// Pause and catch-up.

#[test]
fn a_pause_leaves_out_what_waits_to_be_caught_up() {
    let crontab = "CRON_NAME=a\nCRON_CATCHUP=all\n30 * * * * a\n";
    let day = |pauses| Day {
        crontab,
        until: "04:20",
        durations: &[("a", 300)],
        down: &[("00:20", "03:40")],
        pauses,
        ..Day::default()
    };
    expect(
        &day(&[("a", "03:42", "03:50")]),
        &["a 00:30 catchup#1 03:40-03:45 ok 0", "a 01:30 catchup skipped paused x3 to 03:30"],
    );
    // It has begun when the daemon starts.
    expect(&day(&[("a", "03:35", "03:50")]), &["a 00:30 skipped paused x4 to 03:30"]);
}

// A stop of the daemon and everything.

#[test]
fn what_waits_goes_on_after_a_stop_as_without_one() {
    let group = "CRON_GROUP=g\nCRON_NAME=b\n5 0 * * * b\nCRON_NAME=a\n10 0 * * * a\nCRON_NAME=c\n11 0 * * * c\n";
    let retry = "CRON_GROUP=g\nCRON_RETRY=1,1m\nCRON_NAME=a\n10 0 * * * a\nCRON_NAME=b\n10 0 * * * b\n";
    let queue = "CRON_NAME=a\nCRON_OVERLAP=queue\nCRON_TIMEOUT=11m\n10,15 0 * * * a\n";
    let exits: &[(&str, &[i32])] = &[("a", &[1, 0])];
    let durations: &[(&str, i64)] = &[("a", 600), ("b", 900), ("c", 60)];
    let runs = &[("a", "00:16"), ("a", "00:18")];
    for day in [
        Day { crontab: group, durations, ..Day::default() },
        Day { crontab: retry, exits, durations: &[("b", 900)], ..Day::default() },
        Day { crontab: queue, durations, runs, ..Day::default() },
        Day { crontab: queue, durations: &[("a", 1_200)], kills: &[("a", "00:40")], ..Day::default() },
        Day { crontab: "CRON_NAME=a\nCRON_RETRY=2,20m\n10 0 * * * a\n", exits: &[("a", &[1])], ..Day::default() },
        Day {
            crontab: "CRON_NAME=a\nCRON_RETRY=2,20m\n@5m a\n",
            exits: &[("a", &[1, 0])],
            until: "00:40",
            ..Day::default()
        },
        Day { crontab: queue, durations, pauses: &[("a", "00:12", "00:17")], ..Day::default() },
    ] {
        let until = if day.until.is_empty() { "01:30" } else { day.until };
        let day = Day { until, ..day };
        let without: Vec<String> = outcomes(&day).iter().map(line).collect();
        assert!(!without.is_empty());
        for down in [
            &[("00:12:30", "00:13:30")] as &[(&str, &str)],
            &[("00:19:30", "00:19:40"), ("00:20", "00:20"), ("00:25", "00:25")],
            &[("00:11:30", "00:11:40"), ("00:12:30", "00:12:40"), ("00:19:10", "00:19:50"), ("00:31:10", "00:33")],
        ] {
            let with: Vec<String> = outcomes(&Day { down, ..day }).iter().map(line).collect();
            assert_eq!(with, without, "{} {down:?}", day.crontab);
        }
    }
}

#[test]
fn a_run_reaches_its_timeout_without_a_daemon() {
    let crontab = "CRON_NAME=a\nCRON_TIMEOUT=10m\nCRON_RETRY=1,1m\n10 0 * * * a\n";
    expect(
        &Day { crontab, until: "01:00", durations: &[("a", 1_200)], down: &[("00:15", "00:30")], ..Day::default() },
        &["a 00:10 schedule#1 00:10-00:20 timeout", "a 00:10 retry#2 00:30-00:40 timeout"],
    );
}

#[test]
fn slots_that_wait_to_be_caught_up_wait_on_over_a_stop() {
    let crontab = "CRON_NAME=a\nCRON_CATCHUP=all\n0,10,20,30 1 * * * a\n";
    let down = &[("00:50", "01:35"), ("01:36", "01:37"), ("01:45", "01:46")];
    expect(
        &Day { crontab, until: "03:00", durations: &[("a", 300)], down, ..Day::default() },
        &[
            "a 01:00 catchup#1 01:35-01:40 ok 0",
            "a 01:10 catchup#1 01:40-01:45 ok 0",
            "a 01:20 catchup#1 01:46-01:51 ok 0",
            "a 01:30 catchup#1 01:51-01:56 ok 0",
        ],
    );
}

/// A machine after ten: `a` and `b` run, a slot of `a` waits for its run, `c` in the group, and `d` for its retry.
fn waiting_machine() -> Machine {
    let text = "CRON_OVERLAP=queue\nCRON_NAME=a\n0,5 10 * * * a\nCRON_GROUP=g\nCRON_NAME=b\n0 10 * * * b\nCRON_NAME=c\n0 10 * * * c\n\
                CRON_NAME=d\nCRON_RETRY=1,1h\nCRON_GROUP=default\n0 10 * * * d\n";
    let mut machine = Machine::with_table(text, "2026-05-01T09:59:00Z");
    let actions = machine.run(60);
    assert_eq!(commands(&actions), ["a", "b", "d"]);
    let of_d = started(&actions)[2].run;
    assert!(notices(&machine.tell(ended(of_d, RunOutcome::Code(1)))).is_empty());
    machine.run(310);
    machine
}

fn notices(actions: &[Action]) -> Vec<(String, NoticeEvent)> {
    let notice = |action: &Action| match action {
        Action::Notice(notice) => Some((notice.job.name().to_owned(), notice.event)),
        _ => None,
    };
    actions.iter().filter_map(notice).collect()
}

#[test]
fn what_waits_when_its_entry_goes_or_nothing_is_kept_is_skipped() {
    for (event, reason) in [
        (Event::Stop { queue: AtStop::Skip, jobs: AtStop::Skip }, SkipReason::Stopped),
        (Event::Unload { path: "/spool/alice".into() }, SkipReason::EntryRemoved),
    ] {
        let mut machine = waiting_machine();
        let actions = machine.tell(event);
        let record = |action: &Action| match action {
            Action::Record(record) => Some((record.job.name().to_owned(), record.outcome.clone())),
            _ => None,
        };
        let records: Vec<(String, Outcome)> = actions.iter().filter_map(record).collect();
        let skipped = |job: &str| (job.to_owned(), Outcome::Skipped(reason));
        assert_eq!(records, [skipped("a"), skipped("c")]);
        assert_eq!(notices(&actions), [("d".to_owned(), NoticeEvent::Failure)], "the failure is final");
        // Nothing is started any more, not even when the runs have ended.
        let job = JobId::named("alice", "a");
        assert_eq!(commands(&machine.tell(Event::RunByHand { job, start: ManualStart::Forced })), [""; 0]);
        for run in 0..10 {
            let first = machine.scheduler.next_run().0 - 10;
            assert_eq!(commands(&machine.tell(ended(RunId(first + run), RunOutcome::Code(1)))), [""; 0]);
        }
        assert_eq!(machine.scheduler.running(), 0);
        assert_eq!(commands(&machine.run(86_400)), [""; 0]);
    }
}

#[test]
fn a_retry_that_is_given_up_is_reported_at_that_moment() {
    let mut machine = Machine::with_table("CRON_RETRY=1,1h\nCRON_NAME=a\n0,30 10 * * * a\n", "2026-05-01T09:59:00Z");
    let run = started(&machine.run(60))[0].run;
    assert!(notices(&machine.tell(ended(run, RunOutcome::Code(1)))).is_empty());
    assert!(notices(&machine.run(1_799)).is_empty());
    let actions = machine.run(1);
    assert_eq!(notices(&actions), [("a".to_owned(), NoticeEvent::Failure)]);
    assert_eq!(commands(&actions), ["a"]);
}

#[test]
fn a_retry_goes_by_a_clock_that_nobody_sets() {
    let crontab = "CRON_NAME=a\nCRON_RETRY=1,30m\n0 1 * * * a\n";
    for seconds in [-7_200, -30, 30, 1_200, 7_200] {
        let steps = &[("01:10", seconds)];
        let found = outcomes(&Day { crontab, until: "01:40", exits: &[("a", &[1, 0])], steps, ..Day::default() });
        assert_eq!(line(&found[1]), "a 01:00 retry#2 01:30-01:30 ok 0", "a step of {seconds} s");
    }
}

// The order within one second.

#[test]
fn what_happens_in_one_second_has_an_order() {
    let day = |crontab, exits, pauses, runs, kills| Day {
        crontab,
        until: "00:50",
        durations: &[("a", 300)],
        exits,
        pauses,
        runs,
        kills,
        ..Day::default()
    };
    let failing: &[(&str, &[i32])] = &[("a", &[1, 0])];
    // A retry that is due comes before the slot, and a run by hand after it.
    let skip = "CRON_NAME=a\nCRON_OVERLAP=skip\nCRON_RETRY=1,5m\n10,20 0 * * * a\n";
    let (failed, retry) = ("a 00:10 schedule#1 00:10-00:15 failed 1", "a 00:10 retry#2 00:20-00:25 ok 0");
    expect(&day(skip, failing, &[], &[], &[]), &[failed, retry, "a 00:20 skipped still running"]);
    expect(
        &day(skip, &[], &[], &[("a", "00:20")], &[]),
        &[
            "a 00:10 schedule#1 00:10-00:15 ok 0",
            "a 00:20 manual skipped still running",
            "a 00:20 schedule#1 00:20-00:25 ok 0",
        ],
    );
    // A retry comes before the beginning of a pause and after the end of one, a slot after both.
    expect(&day(skip, failing, &[("a", "00:20", "00:30")], &[], &[]), &[failed, retry, "a 00:20 skipped paused"]);
    expect(
        &day(skip, failing, &[("a", "00:16", "00:20")], &[], &[]),
        &[failed, retry, "a 00:20 skipped still running"],
    );
    // The end of a run comes before a kill, and a kill before the retry that is due and the slot.
    let once = "CRON_NAME=a\nCRON_RETRY=1,5m\n10 0 * * * a\n";
    expect(&day(once, &[], &[], &[], &[("a", "00:15")]), &["a 00:10 schedule#1 00:10-00:15 ok 0"]);
    expect(&day(once, failing, &[], &[], &[("a", "00:20")]), &[failed]);
    let replace = "CRON_NAME=a\nCRON_OVERLAP=replace\n10,14 0 * * * a\n";
    expect(
        &day(replace, &[], &[], &[], &[("a", "00:14")]),
        &["a 00:10 schedule#1 00:10-00:14 killed", "a 00:14 schedule#1 00:14-00:19 ok 0"],
    );
}

#[test]
fn entries_of_one_second_start_in_the_order_of_the_table_caught_up_ones_first() {
    let crontab = "CRON_GROUP=g\nCRON_NAME=a\n0,30 1 * * * a\nCRON_CATCHUP=once\nCRON_NAME=b\n0,30 1 * * * b\nCRON_NAME=c\n0,30 1 * * * c\n";
    let durations = &[("a", 60), ("b", 60), ("c", 60)];
    expect(
        &Day { crontab, until: "02:00", durations, down: &[("00:50", "01:30")], ..Day::default() },
        &[
            "a 01:00 missed down",
            "b 01:00 catchup#1 01:30-01:31 ok 0",
            "c 01:00 catchup#1 01:31-01:32 ok 0",
            "a 01:30 schedule#1 01:32-01:33 ok 0",
            "b 01:30 schedule#1 01:33-01:34 ok 0",
            "c 01:30 schedule#1 01:34-01:35 ok 0",
        ],
    );
}

// Entries that count from the last end.

#[test]
fn an_interval_counts_from_skipped_moments_and_from_runs_by_hand() {
    let day = Day { until: "00:37", durations: &[("a", 120)], ..Day::default() };
    expect(
        &Day { crontab: "CRON_NAME=a\n@10m a\n", pauses: &[("a", "00:05", "00:12")], ..day },
        &["a 00:10 skipped paused", "a 00:20 schedule#1 00:20-00:22 ok 0", "a 00:32 schedule#1 00:32-00:34 ok 0"],
    );
    expect(
        &Day { crontab: "CRON_NAME=a\nCRON_EXCEPT=2026-05-01\n@10m a\n", ..day },
        &["a 00:10 skipped calendar x3 to 00:30"],
    );
    for overlap in OVERLAPS {
        let crontab = format!("CRON_NAME=a\nCRON_OVERLAP={overlap}\n@10m a\n");
        expect(
            &Day { crontab: &crontab, runs: &[("a", "00:06")], ..day },
            &[
                "a 00:06 manual#1 00:06-00:08 ok 0",
                "a 00:18 schedule#1 00:18-00:20 ok 0",
                "a 00:30 schedule#1 00:30-00:32 ok 0",
            ],
        );
        // The run before has not ended when the moment would have come, whether the daemon is restarted meanwhile or not.
        for down in [&[] as &[(&str, &str)], &[("00:09:30", "00:09:40")]] {
            expect(
                &Day { crontab: &crontab, until: "00:27", runs: &[("a", "00:09")], down, ..day },
                &["a 00:09 manual#1 00:09-00:11 ok 0", "a 00:21 schedule#1 00:21-00:23 ok 0"],
            );
        }
    }
}

#[test]
fn an_interval_that_has_passed_when_its_retry_is_given_up_is_due_at_once() {
    let crontab = "CRON_NAME=a\nCRON_RETRY=1,1h\n@10m a\n";
    expect(
        &Day { crontab, until: "00:49", exits: &[("a", &[1, 0])], kills: &[("a", "00:35")], ..Day::default() },
        &[
            "a 00:10 schedule#1 00:10-00:10 failed 1",
            "a 00:35 schedule#1 00:35-00:35 ok 0",
            "a 00:45 schedule#1 00:45-00:45 ok 0",
        ],
    );
}

#[test]
fn an_interval_counts_from_the_load_of_its_entry_over_restarts() {
    let day = Day { crontab: "CRON_NAME=a\n@10m a\n", until: "00:19", ..Day::default() };
    for down in [&[] as &[(&str, &str)], &[("00:03", "00:04"), ("00:06", "00:09")]] {
        expect(&Day { down, ..day }, &["a 00:10 schedule#1 00:10-00:10 ok 0"]);
    }
    expect(&Day { down: &[("00:03", "00:15")], ..day }, &["a 00:15 schedule#1 00:15-00:15 ok 0"]);
}

// Records.

#[test]
fn what_is_not_owed_is_skipped_and_not_missed() {
    let crontab = "CRON_NAME=a\n30 * * * * a\n";
    expect(
        &Day {
            crontab,
            until: "05:20",
            down: &[("01:00", "05:10")],
            pauses: &[("a", "00:50", "03:00")],
            ..Day::default()
        },
        &[
            "a 00:30 schedule#1 00:30-00:30 ok 0",
            "a 01:30 skipped paused x2 to 02:30",
            "a 03:30 missed down x2 to 04:30",
        ],
    );
}

#[test]
fn a_run_by_hand_does_not_break_a_row_and_a_cancelled_retry_adds_no_record() {
    let crontab = "CRON_NAME=a\nCRON_OVERLAP=skip\nCRON_RETRY=2,10m\n*/10 0 * * * a\n";
    expect(
        &Day {
            crontab,
            until: "01:00",
            durations: &[("a", 1_260)],
            runs: &[("a", "00:25")],
            exits: &[("a", &[1])],
            kills: &[("a", "00:35")],
            ..Day::default()
        },
        &[
            "a 00:25 manual skipped still running",
            "a 00:10 schedule#1 00:10-00:31 failed 1",
            "a 00:20 skipped still running x2 to 00:30",
            "a 00:50 skipped still running",
        ],
    );
}

#[test]
fn the_slot_of_a_left_out_hour_is_the_moment_at_which_it_runs() {
    let crontab = "CRON_TZ=Europe/Amsterdam\nCRON_NAME=a\nCRON_OVERLAP=queue\n30 2 * * * a\n15 3 * * * b\n";
    let tables = || vec![(source("/spool/alice"), table(crontab))];
    let day = Day { crontab, until: "00:00", durations: &[("a", 1_800)], ..Day::default() };
    let gap = Scenario { from: time("2026-03-29T00:00:00Z"), until: time("2026-03-29T02:00:00Z"), ..scenario(&day) };
    let found: Vec<(String, Timestamp)> = simulate(gap, tables)
        .filter_map(|simulated| match simulated {
            Simulated::Ended(record) if record.job.name() == "a" => Some((line(&record), record.scheduled_at)),
            _ => None,
        })
        .collect();
    assert_eq!(found, [("a 01:00 schedule#1 01:00-01:30 ok 0".to_owned(), time("2026-03-29T01:00:00Z"))]);
}
