//! The job policies as tables of cases: slots, ends and the expected records.

use crate::outcomes::{Day, expect, scenario};
use crate::setup::{source, table};
use cronwheel::scheduler::{NoticeEvent, Simulated, simulate};

#[test]
fn skip_leaves_slots_out_while_a_run_goes_on() {
    let crontab = "CRON_NAME=a\nCRON_OVERLAP=skip\n*/10 * * * * a\n";
    expect(
        &Day { crontab, until: "00:40", durations: &[("a", 25 * 60)], ..Day::default() },
        &["a 00:10 schedule#1 00:10-00:35 ok 0", "a 00:20 skipped still running x2 to 00:30"],
    );
}

#[test]
fn a_run_that_ends_in_the_second_of_a_slot_is_over() {
    for overlap in ["skip", "queue", "replace"] {
        let crontab = format!("CRON_NAME=a\nCRON_OVERLAP={overlap}\n*/10 * * * * a\n");
        expect(
            &Day { crontab: &crontab, until: "00:20", durations: &[("a", 600)], ..Day::default() },
            &["a 00:10 schedule#1 00:10-00:20 ok 0"],
        );
    }
}

#[test]
fn queue_keeps_the_newest_slot() {
    let crontab = "CRON_NAME=a\nCRON_OVERLAP=queue\n*/10 * * * * a\n";
    expect(
        &Day { crontab, until: "01:00", durations: &[("a", 25 * 60)], ..Day::default() },
        &[
            "a 00:10 schedule#1 00:10-00:35 ok 0",
            "a 00:20 skipped superseded",
            "a 00:30 schedule#1 00:35-01:00 ok 0",
            "a 00:40 skipped superseded",
        ],
    );
}

#[test]
fn replace_ends_the_run_and_starts_the_new_slot() {
    let crontab = "CRON_NAME=a\nCRON_OVERLAP=replace\n*/10 * * * * a\n";
    expect(
        &Day { crontab, until: "00:35", durations: &[("a", 25 * 60)], ..Day::default() },
        &["a 00:10 schedule#1 00:10-00:20 replaced", "a 00:20 schedule#1 00:20-00:30 replaced"],
    );
}

#[test]
fn retries_pause_and_double_up_to_the_maximum() {
    let crontab = "CRON_NAME=a\nCRON_RETRY=4,1m,3m\n0 * * * * a\n";
    expect(
        &Day { crontab, until: "01:30", exits: &[("a", &[1])], ..Day::default() },
        &[
            "a 01:00 schedule#1 01:00-01:00 failed 1",
            "a 01:00 retry#2 01:01-01:01 failed 1",
            "a 01:00 retry#3 01:03-01:03 failed 1",
            "a 01:00 retry#4 01:06-01:06 failed 1",
            "a 01:00 retry#5 01:09-01:09 failed 1",
        ],
    );
}

#[test]
fn retry_1_makes_one_further_attempt() {
    let crontab = "CRON_NAME=a\nCRON_RETRY=1\n0 * * * * a\n";
    expect(
        &Day { crontab, until: "01:30", exits: &[("a", &[7])], ..Day::default() },
        &["a 01:00 schedule#1 01:00-01:00 failed 7", "a 01:00 retry#2 01:00:30-01:00:30 failed 7"],
    );
}

#[test]
fn a_newer_slot_gives_a_pending_retry_up_but_with_queue_it_waits() {
    for (overlap, expected) in [
        ("allow", &["a 00:10 schedule#1 00:10-00:10 failed 1", "a 00:20 schedule#1 00:20-00:20 ok 0"] as &[&str]),
        ("skip", &["a 00:10 schedule#1 00:10-00:10 failed 1", "a 00:20 schedule#1 00:20-00:20 ok 0"]),
        ("replace", &["a 00:10 schedule#1 00:10-00:10 failed 1", "a 00:20 schedule#1 00:20-00:20 ok 0"]),
        (
            "queue",
            &[
                "a 00:10 schedule#1 00:10-00:10 failed 1",
                "a 00:10 retry#2 00:25-00:25 ok 0",
                "a 00:20 schedule#1 00:25-00:25 ok 0",
            ],
        ),
    ] {
        let crontab = format!("CRON_NAME=a\nCRON_OVERLAP={overlap}\nCRON_RETRY=1,15m\n10,20 0 * * * a\n");
        let day = Day { crontab: &crontab, until: "00:40", exits: &[("a", &[1, 0])], ..Day::default() };
        expect(&day, expected);
    }
}

#[test]
fn under_allow_the_failure_of_an_older_slot_is_final() {
    let crontab = "CRON_NAME=a\nCRON_RETRY=3,1m\n10,20 0 * * * a\n";
    expect(
        &Day { crontab, until: "01:00", durations: &[("a", 900)], exits: &[("a", &[1, 0])], ..Day::default() },
        &["a 00:10 schedule#1 00:10-00:25 failed 1", "a 00:20 schedule#1 00:20-00:35 ok 0"],
    );
}

#[test]
fn a_timeout_ends_an_attempt_and_is_retried() {
    let crontab = "CRON_NAME=a\nCRON_TIMEOUT=5m\nCRON_RETRY=1,1m\n0 * * * * a\n";
    expect(
        &Day { crontab, until: "01:30", durations: &[("a", 3_000)], ..Day::default() },
        &["a 01:00 schedule#1 01:00-01:05 timeout", "a 01:00 retry#2 01:06-01:11 timeout"],
    );
    let day = Day { crontab, until: "01:30", durations: &[("a", 300)], ..Day::default() };
    expect(&day, &["a 01:00 schedule#1 01:00-01:05 ok 0"]);
}

#[test]
fn other_statuses_can_be_a_success() {
    let crontab = "CRON_NAME=a\nCRON_SUCCESS=0,24\nCRON_RETRY=2\n0 * * * * a\n";
    let day = Day { crontab, until: "01:30", exits: &[("a", &[24])], ..Day::default() };
    expect(&day, &["a 01:00 schedule#1 01:00-01:00 ok 24"]);
}

#[test]
fn a_group_runs_in_order_of_arrival_and_a_timeout_does_not_count_the_wait() {
    let crontab = "CRON_GROUP=g\nCRON_TIMEOUT=10m\nCRON_NAME=a\n0 * * * * a\nCRON_NAME=b\n0 * * * * b\n";
    expect(
        &Day { crontab, until: "01:30", durations: &[("a", 600), ("b", 600)], ..Day::default() },
        &["a 01:00 schedule#1 01:00-01:10 ok 0", "b 01:00 schedule#1 01:10-01:20 ok 0"],
    );
    let two = crontab.replace("=g\n", "=g,2\n");
    expect(
        &Day { crontab: &two, until: "01:30", durations: &[("a", 600), ("b", 600)], ..Day::default() },
        &["a 01:00 schedule#1 01:00-01:10 ok 0", "b 01:00 schedule#1 01:00-01:10 ok 0"],
    );
}

#[test]
fn a_replaced_run_passes_its_place_in_the_group_on() {
    let crontab = "CRON_GROUP=g\nCRON_OVERLAP=replace\nCRON_NAME=a\n*/10 * * * * a\nCRON_NAME=b\n15 * * * * b\n";
    expect(
        &Day { crontab, until: "00:29", durations: &[("a", 660)], ..Day::default() },
        &["a 00:10 schedule#1 00:10-00:20 replaced"],
    );
}

#[test]
fn a_slot_queued_behind_its_own_run_gets_its_place_in_the_group_when_that_ends() {
    let crontab = "CRON_GROUP=g\nCRON_OVERLAP=queue\nCRON_NAME=a\n10,15 0 * * * a\nCRON_NAME=b\n17 0 * * * b\n";
    expect(
        &Day { crontab, until: "01:00", durations: &[("a", 600), ("b", 60)], ..Day::default() },
        &[
            "a 00:10 schedule#1 00:10-00:20 ok 0",
            "b 00:17 schedule#1 00:20-00:21 ok 0",
            "a 00:15 schedule#1 00:21-00:31 ok 0",
        ],
    );
}

#[test]
fn a_retry_in_a_full_group_is_pending_and_a_newer_slot_gives_it_up() {
    let crontab = "CRON_GROUP=g\nCRON_RETRY=1,1m\nCRON_NAME=a\n10,13 0 * * * a\nCRON_NAME=b\n10 0 * * * b\n";
    expect(
        &Day { crontab, until: "00:40", durations: &[("b", 600)], exits: &[("a", &[1, 0])], ..Day::default() },
        &[
            "a 00:10 schedule#1 00:10-00:10 failed 1",
            "b 00:10 schedule#1 00:10-00:20 ok 0",
            "a 00:13 schedule#1 00:20-00:20 ok 0",
        ],
    );
}

#[test]
fn in_a_pause_nothing_starts_but_by_hand() {
    let crontab = "CRON_NAME=a\n0 * * * * a\n";
    expect(
        &Day { crontab, until: "04:00", pauses: &[("a", "01:00", "03:00")], runs: &[("a", "01:30")], ..Day::default() },
        &[
            "a 01:30 manual#1 01:30-01:30 ok 0",
            "a 01:00 skipped paused x2 to 02:00",
            "a 03:00 schedule#1 03:00-03:00 ok 0",
            "a 04:00 schedule#1 04:00-04:00 ok 0",
        ],
    );
}

#[test]
fn a_retry_waits_for_the_end_of_a_pause_unless_a_slot_passed_in_it() {
    let crontab = "CRON_NAME=a\nCRON_RETRY=1,10m\n0 * * * * a\n";
    let exits: &[(&str, &[i32])] = &[("a", &[1, 0])];
    expect(
        &Day { crontab, until: "01:50", exits, pauses: &[("a", "01:05", "01:30")], ..Day::default() },
        &["a 01:00 schedule#1 01:00-01:00 failed 1", "a 01:00 retry#2 01:30-01:30 ok 0"],
    );
    for overlap in ["allow", "queue"] {
        let crontab = format!("CRON_OVERLAP={overlap}\n{crontab}");
        expect(
            &Day { crontab: &crontab, until: "02:50", exits, pauses: &[("a", "01:05", "02:30")], ..Day::default() },
            &["a 01:00 schedule#1 01:00-01:00 failed 1", "a 02:00 skipped paused"],
        );
    }
}

#[test]
fn a_waiting_slot_is_skipped_when_a_pause_begins_and_the_run_goes_on() {
    let crontab = "CRON_NAME=a\nCRON_OVERLAP=queue\n10,20 0 * * * a\n";
    expect(
        &Day {
            crontab,
            until: "01:00",
            durations: &[("a", 1_800)],
            pauses: &[("a", "00:25", "00:30")],
            ..Day::default()
        },
        &["a 00:10 schedule#1 00:10-00:40 ok 0", "a 00:20 skipped paused"],
    );
}

#[test]
fn runs_by_hand_follow_the_overlap_rule_and_count_for_it() {
    let day = |crontab, runs| Day { crontab, until: "01:00", durations: &[("a", 600)], runs, ..Day::default() };
    expect(
        &day("CRON_NAME=a\nCRON_OVERLAP=skip\n10 0 * * * a\n", &[("a", "00:05"), ("a", "00:07")]),
        &["a 00:07 manual skipped still running", "a 00:05 manual#1 00:05-00:15 ok 0", "a 00:10 skipped still running"],
    );
    expect(
        &day("CRON_NAME=a\nCRON_OVERLAP=queue\n10 0 * * * a\n", &[("a", "00:05"), ("a", "00:07")]),
        &[
            "a 00:05 manual#1 00:05-00:15 ok 0",
            "a 00:07 manual#1 00:15-00:25 ok 0",
            "a 00:10 schedule#1 00:25-00:35 ok 0",
        ],
    );
    expect(
        &day("CRON_NAME=a\nCRON_OVERLAP=replace\n10 0 * * * a\n", &[("a", "00:05"), ("a", "00:07")]),
        &[
            "a 00:05 manual#1 00:05-00:07 replaced",
            "a 00:07 manual#1 00:07-00:10 replaced",
            "a 00:10 schedule#1 00:10-00:20 ok 0",
        ],
    );
    expect(
        &day("CRON_NAME=a\n10 0 * * * a\n", &[("a", "00:05"), ("a", "00:07")]),
        &[
            "a 00:05 manual#1 00:05-00:15 ok 0",
            "a 00:07 manual#1 00:07-00:17 ok 0",
            "a 00:10 schedule#1 00:10-00:20 ok 0",
        ],
    );
}

#[test]
fn a_run_by_hand_is_not_retried_and_gives_no_retry_up() {
    let crontab = "CRON_NAME=a\nCRON_OVERLAP=skip\nCRON_RETRY=1,10m\n0 1 * * * a\n";
    expect(
        &Day {
            crontab,
            until: "02:00",
            durations: &[("a", 300)],
            exits: &[("a", &[1, 2, 0])],
            runs: &[("a", "01:14")],
            ..Day::default()
        },
        &[
            "a 01:00 schedule#1 01:00-01:05 failed 1",
            "a 01:14 manual#1 01:14-01:19 failed 2",
            "a 01:00 retry#2 01:19-01:24 ok 0",
        ],
    );
}

#[test]
fn kill_ends_the_oldest_run_else_what_waits_else_the_retry() {
    let crontab = "CRON_NAME=a\nCRON_RETRY=3,1m\n0 1 * * * a\n";
    expect(
        &Day { crontab, until: "02:00", durations: &[("a", 600)], kills: &[("a", "01:03")], ..Day::default() },
        &["a 01:00 schedule#1 01:00-01:03 killed"],
    );
    expect(
        &Day { crontab, until: "02:00", exits: &[("a", &[1])], kills: &[("a", "01:00:30")], ..Day::default() },
        &["a 01:00 schedule#1 01:00-01:00 failed 1"],
    );
    let grouped = "CRON_GROUP=g\nCRON_NAME=b\n0 1 * * * b\nCRON_NAME=a\n0 1 * * * a\n";
    expect(
        &Day { crontab: grouped, until: "02:00", durations: &[("b", 600)], kills: &[("a", "01:03")], ..Day::default() },
        &["a 01:00 killed", "b 01:00 schedule#1 01:00-01:10 ok 0"],
    );
}

#[test]
fn a_missed_slot_is_caught_up_once_and_the_others_are_one_record() {
    let crontab = "CRON_NAME=a\nCRON_CATCHUP=once\n30 * * * * a\n";
    let down: &[(&str, &str)] = &[("02:00", "05:10"), ("05:20", "05:25")];
    expect(
        &Day { crontab, until: "05:40", down, ..Day::default() },
        &[
            "a 00:30 schedule#1 00:30-00:30 ok 0",
            "a 01:30 schedule#1 01:30-01:30 ok 0",
            "a 02:30 missed down x2 to 03:30",
            "a 04:30 catchup#1 05:10-05:10 ok 0",
            "a 05:30 schedule#1 05:30-05:30 ok 0",
        ],
    );
}

#[test]
fn all_missed_slots_are_caught_up_in_order_one_at_a_time() {
    let crontab = "CRON_NAME=a\nCRON_CATCHUP=all\nCRON_RETRY=1,1m\n30 * * * * a\n";
    expect(
        &Day {
            crontab,
            until: "04:20",
            durations: &[("a", 120)],
            exits: &[("a", &[0, 1, 0])],
            down: &[("01:00", "04:10")],
            ..Day::default()
        },
        &[
            "a 00:30 schedule#1 00:30-00:32 ok 0",
            "a 01:30 catchup#1 04:10-04:12 failed 1",
            "a 01:30 retry#2 04:13-04:15 ok 0",
            "a 02:30 catchup#1 04:15-04:17 ok 0",
            "a 03:30 catchup#1 04:17-04:19 ok 0",
        ],
    );
}

#[test]
fn slots_that_are_too_old_paused_or_excepted_are_not_owed() {
    let crontab = "CRON_NAME=a\nCRON_CATCHUP=all,2h\n30 * * * * a\n";
    expect(
        &Day { crontab, until: "04:20", down: &[("01:00", "04:10")], ..Day::default() },
        &[
            "a 00:30 schedule#1 00:30-00:30 ok 0",
            "a 01:30 missed max-age",
            "a 02:30 catchup#1 04:10-04:10 ok 0",
            "a 03:30 catchup#1 04:10-04:10 ok 0",
        ],
    );
    expect(
        &Day {
            crontab: "CRON_NAME=a\nCRON_CATCHUP=all\n30 * * * * a\n",
            until: "04:20",
            down: &[("01:00", "04:10")],
            pauses: &[("a", "00:50", "03:00")],
            ..Day::default()
        },
        &[
            "a 00:30 schedule#1 00:30-00:30 ok 0",
            "a 01:30 skipped paused x2 to 02:30",
            "a 03:30 catchup#1 04:10-04:10 ok 0",
        ],
    );
}

#[test]
fn under_skip_a_caught_up_slot_waits_for_a_run_from_before() {
    let crontab = "CRON_NAME=a\nCRON_OVERLAP=skip\nCRON_CATCHUP=once\n30 * * * * a\n";
    expect(
        &Day { crontab, until: "03:20", durations: &[("a", 5_400)], down: &[("00:40", "01:40")], ..Day::default() },
        &["a 00:30 schedule#1 00:30-02:00 ok 0", "a 02:30 skipped still running"],
    );
}

#[test]
fn entries_without_catch_up_get_one_record_for_what_was_missed() {
    let crontab = "CRON_NAME=a\n30 * * * * a\n";
    expect(
        &Day { crontab, until: "04:20", down: &[("01:00", "04:10")], ..Day::default() },
        &["a 00:30 schedule#1 00:30-00:30 ok 0", "a 01:30 missed down x3 to 03:30"],
    );
    // Two hours forward are made up for, if they leave out a fixed time.
    expect(
        &Day { crontab: "CRON_NAME=a\n30 1 * * * a\n", until: "01:20", steps: &[("00:40", 7_200)], ..Day::default() },
        &["a 01:30 schedule#1 00:40-00:40 ok 0"],
    );
    let wildcard = "CRON_NAME=a\n30 * * * * a\nCRON_NAME=b\n*/30 * * * * b\n";
    expect(
        &Day { crontab: wildcard, until: "00:50", steps: &[("00:40", 4 * 3_600)], ..Day::default() },
        &[
            "a 00:30 schedule#1 00:30-00:30 ok 0",
            "b 00:30 schedule#1 00:30-00:30 ok 0",
            "a 01:30 missed clock x4 to 04:30",
            "b 01:00 missed clock x8 to 04:30",
        ],
    );
}

#[test]
fn a_run_goes_on_over_a_restart_and_its_retry_comes() {
    let crontab = "CRON_NAME=a\nCRON_RETRY=1,10m\n0 1 * * * a\n";
    let exits: &[(&str, &[i32])] = &[("a", &[1, 0])];
    let durations: &[(&str, i64)] = &[("a", 600)];
    for down in [("01:05", "01:15"), ("01:05", "01:07"), ("01:15", "01:18"), ("01:15", "01:20")] {
        expect(
            &Day { crontab, until: "02:00", durations, exits, down: &[down], ..Day::default() },
            &["a 01:00 schedule#1 01:00-01:10 failed 1", "a 01:00 retry#2 01:20-01:30 ok 0"],
        );
    }
    expect(
        &Day { crontab, until: "02:00", durations, exits, down: &[("01:15", "01:40")], ..Day::default() },
        &["a 01:00 schedule#1 01:00-01:10 failed 1", "a 01:00 retry#2 01:40-01:50 ok 0"],
    );
}

#[test]
fn a_retry_is_given_up_if_a_slot_passed_while_the_daemon_was_down() {
    let crontab = "CRON_NAME=a\nCRON_OVERLAP=queue\nCRON_RETRY=1,40m\n0,30 * * * * a\n";
    expect(
        &Day { crontab, until: "00:59", exits: &[("a", &[1, 0])], down: &[("00:40", "00:50")], ..Day::default() },
        &["a 00:30 schedule#1 00:30-00:30 failed 1"],
    );
    expect(
        &Day { crontab, until: "01:20", exits: &[("a", &[1, 0])], down: &[("00:40", "01:05")], ..Day::default() },
        &["a 00:30 schedule#1 00:30-00:30 failed 1", "a 01:00 missed down"],
    );
}

#[test]
fn a_waiting_slot_waits_on_over_a_restart() {
    let crontab = "CRON_NAME=a\nCRON_OVERLAP=queue\n10,20 0 * * * a\n";
    expect(
        &Day { crontab, until: "01:00", durations: &[("a", 1_200)], down: &[("00:25", "00:28")], ..Day::default() },
        &["a 00:10 schedule#1 00:10-00:30 ok 0", "a 00:20 schedule#1 00:30-00:50 ok 0"],
    );
    expect(
        &Day { crontab, until: "01:00", durations: &[("a", 1_200)], down: &[("00:25", "00:35")], ..Day::default() },
        &["a 00:10 schedule#1 00:10-00:30 ok 0", "a 00:20 schedule#1 00:35-00:55 ok 0"],
    );
}

#[test]
fn overlap_is_prevented_over_a_restart_too() {
    let crontab = "CRON_NAME=a\nCRON_OVERLAP=skip\n*/10 * * * * a\n";
    expect(
        &Day { crontab, until: "00:35", durations: &[("a", 1_800)], down: &[("00:15", "00:18")], ..Day::default() },
        &["a 00:20 skipped still running x2 to 00:30"],
    );
}

#[test]
fn an_excepted_day_has_no_runs_but_by_hand() {
    let crontab = "CRON_NAME=a\nCRON_EXCEPT=2026-05-01\n0 * * * * a\n";
    expect(
        &Day { crontab, until: "03:30", runs: &[("a", "01:30")], ..Day::default() },
        &["a 01:30 manual#1 01:30-01:30 ok 0", "a 01:00 skipped calendar x3 to 03:00"],
    );
}

#[test]
fn a_calendar_excepts_its_days_and_a_missing_one_none() {
    let crontab = "CRON_NAME=a\nCRON_EXCEPT=closed\n0 * * * * a\nCRON_NAME=b\nCRON_EXCEPT=missing\n0 2 * * * b\n";
    let calendars = [("closed", "# a week\n2026-04-28..2026-05-04\n"), ("others", "2026-05-01\n")];
    expect(
        &Day { crontab, until: "03:30", calendars: &calendars, ..Day::default() },
        &["b 02:00 schedule#1 02:00-02:00 ok 0", "a 01:00 skipped calendar x3 to 03:00"],
    );
}

#[test]
fn a_disabled_entry_has_no_slots_and_runs_by_hand() {
    let crontab = "CRON_NAME=a\nCRON_ENABLED=no\n0 * * * * a\n";
    let day = Day { crontab, until: "03:30", runs: &[("a", "01:30")], ..Day::default() };
    expect(&day, &["a 01:30 manual#1 01:30-01:30 ok 0"]);
}

#[test]
fn an_interval_counts_from_the_last_end_also_over_retries_and_restarts() {
    let crontab = "CRON_NAME=a\nCRON_RETRY=1,1m\n@10m a\n";
    expect(
        &Day { crontab, until: "00:35", durations: &[("a", 60)], exits: &[("a", &[1, 0])], ..Day::default() },
        &[
            "a 00:10 schedule#1 00:10-00:11 failed 1",
            "a 00:10 retry#2 00:12-00:13 ok 0",
            "a 00:23 schedule#1 00:23-00:24 ok 0",
            "a 00:34 schedule#1 00:34-00:35 ok 0",
        ],
    );
    let plain = "CRON_NAME=a\n@10m a\n";
    expect(
        &Day { crontab: plain, until: "00:26", down: &[("00:12", "00:15")], ..Day::default() },
        &["a 00:10 schedule#1 00:10-00:10 ok 0", "a 00:20 schedule#1 00:20-00:20 ok 0"],
    );
    expect(
        &Day { crontab: plain, until: "00:26", down: &[("00:12", "00:25")], ..Day::default() },
        &["a 00:10 schedule#1 00:10-00:10 ok 0", "a 00:25 schedule#1 00:25-00:25 ok 0"],
    );
}

#[test]
fn a_slot_in_a_pause_at_the_start_of_the_daemon_is_skipped() {
    let crontab = "CRON_NAME=a\n30 * * * * a\n";
    expect(
        &Day {
            crontab,
            until: "02:00",
            down: &[("01:00", "01:30")],
            pauses: &[("a", "00:50", "01:40")],
            ..Day::default()
        },
        &["a 00:30 schedule#1 00:30-00:30 ok 0", "a 01:30 skipped paused"],
    );
}

#[test]
fn an_interval_goes_on_after_a_waiting_slot_was_cancelled_or_left_out() {
    let crontab = "CRON_GROUP=g\nCRON_NAME=a\n9 0 * * * a\nCRON_NAME=b\n@10m b\n";
    let day = Day { crontab, until: "00:25", durations: &[("a", 300)], ..Day::default() };
    expect(
        &Day { kills: &[("b", "00:12")], ..day },
        &["b 00:10 killed", "a 00:09 schedule#1 00:09-00:14 ok 0", "b 00:22 schedule#1 00:22-00:22 ok 0"],
    );
    let day = Day { crontab, until: "00:25", durations: &[("a", 300)], ..Day::default() };
    expect(
        &Day { pauses: &[("b", "00:12", "00:13")], ..day },
        &["a 00:09 schedule#1 00:09-00:14 ok 0", "b 00:10 skipped paused", "b 00:22 schedule#1 00:22-00:22 ok 0"],
    );
}

#[test]
fn settings_without_an_effect_on_a_schedule_have_none() {
    let late = "CRON_LATE=10m\nCRON_EXCEPT=2026-05-01\nCRON_CATCHUP=all\n";
    for (entries, expected) in [
        ("CRON_NAME=a\n@reboot a\n", vec!["a 00:00 reboot#1 00:00-00:30 ok 0"]),
        (
            "CRON_NAME=a\n@reboot a\nCRON_NAME=b\n@after a b\n",
            vec!["a 00:00 reboot#1 00:00-00:30 ok 0", "b 00:30 after#1 00:30-00:30 ok 0"],
        ),
        // Days without runs hold for intervals.
        ("CRON_NAME=a\n@1h a\n", vec!["a 01:00 skipped calendar"]),
    ] {
        let crontab = format!("{late}{entries}");
        let day = Day { crontab: &crontab, until: "01:30", durations: &[("a", 1_800)], ..Day::default() };
        expect(&day, &expected);
    }
    let tables = |crontab: &str| vec![(source("/spool/alice"), table(crontab))];
    for (crontab, notices) in [
        ("CRON_LATE=10m\nCRON_NAME=a\n@30m a\n", 0),
        ("CRON_LATE=10m\nCRON_NAME=a\n@reboot a\n", 0),
        ("CRON_LATE=10m\nCRON_NAME=a\n0 1 * * * a\n", 1),
    ] {
        let day = Day { crontab, until: "02:00", durations: &[("a", 1_800)], ..Day::default() };
        let is_late = |simulated: &Simulated| match simulated {
            Simulated::Notice(notice) => notice.event == NoticeEvent::Late,
            Simulated::Started(_) | Simulated::Ended(_) => false,
        };
        let found = simulate(scenario(&day), || tables(crontab)).filter(is_late).count();
        assert_eq!(found, notices, "{crontab}");
    }
}
