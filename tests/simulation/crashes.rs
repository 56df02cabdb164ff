//! Faults that random histories have found, each as its smallest case: crashes, clock steps and edits.

use crate::machine::{Found, Happening, History, Line, Machine, Version};
use crate::outcomes::{line, moment};
use crate::setup::table;
use cronwheel::schedule::Zone;
use cronwheel::scheduler::JobId;

fn id(name: &str) -> JobId {
    JobId::named("alice", name)
}

fn at(text: &str) -> i64 {
    moment(text).0 - moment("00:00").0
}

/// A table whose entries may do anything: the records are compared, and not the rules.
fn version(text: &str) -> Version {
    let names = text.lines().filter_map(|line| line.strip_prefix("CRON_NAME="));
    let line = |name| Line {
        id: id(name),
        every: None,
        is_fixed: false,
        overlap: "allow",
        retries: 9,
        group: None,
        is_enabled: true,
    };
    Version { text: text.to_owned(), table: table(text), lines: names.map(line).collect() }
}

/// What a history leads to. `happenings` with the time of the day.
#[track_caller]
fn found(
    tables: &[&str],
    durations: &[(&str, i64)],
    exits: &[(&str, &[i32])],
    happenings: &[(&str, Happening)],
    until: &str,
) -> Found {
    let history = History {
        records_all: true,
        versions: tables.iter().map(|text| version(text)).collect(),
        durations: durations.iter().map(|(name, seconds)| (id(name), *seconds)).collect(),
        exits: exits.iter().map(|(name, exits)| (id(name), exits.to_vec())).collect(),
        happenings: happenings.iter().map(|(text, happening)| (at(text), happening.clone())).collect(),
        until: at(until),
    };
    let found = Machine::new(&history, &Zone::utc(), moment("00:00")).run();
    assert!(found.faults.is_empty(), "{:?}\n{}", found.faults, found.text(0));
    found
}

/// What is recorded without the notices.
#[track_caller]
fn expect(
    tables: &[&str],
    durations: &[(&str, i64)],
    exits: &[(&str, &[i32])],
    happenings: &[(&str, Happening)],
    until: &str,
    expected: &[&str],
) {
    let found = found(tables, durations, exits, happenings, until);
    let records: Vec<String> = found.records().map(line).collect();
    assert_eq!(records, expected, "\nfound:\n{}\n", records.join("\n"));
}

/// A crash after everything was carried out.
fn crash(down: i64) -> Happening {
    Happening::Crash { is_complete: true, is_written: true, sent: 0, down }
}

/// A crash in a turn of which the state was not written, but the starts were sent.
fn unwritten(down: i64) -> Happening {
    Happening::Crash { is_complete: false, is_written: false, sent: 9, down }
}

/// A crash in a turn of which the state was written, and nothing was sent.
fn unsent(down: i64) -> Happening {
    Happening::Crash { is_complete: false, is_written: true, sent: 0, down }
}

#[test]
fn a_slot_that_was_left_out_is_not_looked_at_again_after_a_crash() {
    let crontab = "CRON_NAME=a\nCRON_OVERLAP=skip\nCRON_CATCHUP=all\n10,15 0 * * * a\n";
    for down in [0, 60] {
        expect(
            &[crontab],
            &[("a", 400)],
            &[],
            &[("00:17", crash(down))],
            "01:00",
            &["a 00:10 schedule#1 00:10-00:16:40 ok 0", "a 00:15 skipped still running"],
        );
        // The record of the slot was written, and that everything was handled was not.
        expect(
            &[crontab],
            &[("a", 330)],
            &[],
            &[("00:15", unsent(down))],
            "01:00",
            &["a 00:10 schedule#1 00:10-00:15:30 ok 0", "a 00:15 skipped still running"],
        );
    }
}

#[test]
fn a_new_schedule_has_no_slots_before_its_load_after_a_crash_either() {
    let text = |minutes: &str| format!("CRON_NAME=a\n{minutes} 0 * * * a\n");
    expect(
        &[&text("10,20"), &text("12,20")],
        &[],
        &[],
        &[("00:12:30", Happening::Edit(1)), ("00:13", crash(0))],
        "01:00",
        &["a 00:10 schedule#1 00:10-00:10 ok 0", "a 00:20 schedule#1 00:20-00:20 ok 0"],
    );
}

#[test]
fn nothing_is_owed_from_before_catch_up_was_asked_for_again() {
    let text = |mode: &str| format!("CRON_NAME=a\nCRON_CATCHUP={mode}\n*/10 * * * * a\n");
    for also in [crash(0), Happening::Start] {
        expect(
            &[&text("all"), &text("none"), &text("all")],
            &[],
            &[],
            &[
                ("00:12", Happening::Edit(1)),
                ("00:13", also),
                ("00:15", Happening::Stop),
                ("00:41", Happening::Edit(2)),
                ("00:42", Happening::Start),
            ],
            "00:50",
            &["a 00:10 schedule#1 00:10-00:10 ok 0", "a 00:50 schedule#1 00:50-00:50 ok 0"],
        );
    }
}

#[test]
fn nothing_is_owed_from_before_a_daemon_that_found_the_entry_without_catch_up() {
    let text = |mode: &str| format!("CRON_NAME=a\nCRON_CATCHUP={mode}\n*/10 * * * * a\n");
    expect(
        &[&text("all"), &text("none"), &text("all")],
        &[],
        &[],
        &[
            ("00:12", Happening::Stop),
            ("00:13", Happening::Edit(1)),
            ("00:14", Happening::Start),
            ("00:25", Happening::Stop),
            ("00:26", Happening::Edit(2)),
            ("00:27", Happening::Start),
        ],
        "00:30",
        &[
            "a 00:10 schedule#1 00:10-00:10 ok 0",
            "a 00:20 schedule#1 00:20-00:20 ok 0",
            "a 00:30 schedule#1 00:30-00:30 ok 0",
        ],
    );
}

#[test]
fn what_an_edit_puts_into_a_group_keeps_its_place_over_a_crash() {
    let text = |group: &str| {
        format!(
            "CRON_GROUP=g\nCRON_NAME=a\nCRON_OVERLAP=queue\n5,20 0 * * * a\nCRON_NAME=c\n15 0 * * * c\n\
             CRON_GROUP={group}\nCRON_NAME=b\n5,10 0 * * * b\n"
        )
    };
    for down in [0, 60] {
        expect(
            &[&text("default"), &text("g")],
            &[("a", 1_200), ("b", 600)],
            &[],
            &[("00:12", Happening::Edit(1)), ("00:21", crash(down))],
            "02:00",
            &[
                "b 00:05 schedule#1 00:05-00:15 ok 0",
                "a 00:05 schedule#1 00:05-00:25 ok 0",
                "b 00:10 schedule#1 00:25-00:35 ok 0",
                "c 00:15 schedule#1 00:35-00:35 ok 0",
                "a 00:20 schedule#1 00:35-00:55 ok 0",
            ],
        );
    }
}

#[test]
fn a_result_that_comes_again_is_not_recorded_again() {
    let crontab = "CRON_NAME=a\nCRON_RETRY=1,1m\n10 0 * * * a\n";
    for down in [0, 30] {
        expect(
            &[crontab],
            &[("a", 120)],
            &[("a", &[1, 0])],
            &[("00:12", unsent(down))],
            "01:00",
            &["a 00:10 schedule#1 00:10-00:12 failed 1", "a 00:10 retry#2 00:13-00:15 ok 0"],
        );
    }
}

#[test]
fn a_result_that_comes_again_after_the_clock_was_set_back_is_not_recorded_again() {
    let crontab = "CRON_NAME=a\n10 0 * * * a\nCRON_NAME=b\n15 0 * * * b\n";
    expect(
        &[crontab],
        &[("a", 1_080), ("b", 3_000)],
        &[],
        &[("00:20", Happening::Step(-1_140)), ("00:28", unsent(0))],
        "00:28:30",
        &["a 00:10 schedule#1 00:10-00:28 ok 0"],
    );
}

#[test]
fn a_run_whose_start_was_not_written_is_the_one_of_its_slot() {
    let crontab = "CRON_NAME=a\nCRON_OVERLAP=queue\nCRON_RETRY=1,1m\n10 0 * * * a\n";
    // It goes on, or has ended when the next daemon comes, which executors remember for some minutes only.
    for down in [0, 60, 300, 1_200] {
        let retry = if down <= 120 {
            "00:13-00:15"
        } else if down == 300 {
            "00:15-00:17"
        } else {
            "00:30-00:32"
        };
        expect(
            &[crontab],
            &[("a", 120)],
            &[("a", &[1, 0])],
            &[("00:10", unwritten(down))],
            "01:00",
            &["a 00:10 schedule#1 00:10-00:12 failed 1", &format!("a 00:10 retry#2 {retry} ok 0")],
        );
    }
}

#[test]
fn what_was_started_when_the_daemon_was_killed_does_not_wait_any_more() {
    let crontab = "CRON_NAME=a\nCRON_OVERLAP=queue\n10,15 0 * * * a\n";
    expect(
        &[crontab],
        &[("a", 600)],
        &[],
        &[("00:20", unwritten(30))],
        "01:00",
        &["a 00:10 schedule#1 ?-00:20:30 lost", "a 00:15 schedule#1 00:20-00:30 ok 0"],
    );
    let crontab = "CRON_NAME=a\nCRON_RETRY=2,1m\n10 0 * * * a\n";
    expect(
        &[crontab],
        &[("a", 120)],
        &[("a", &[1, 1, 0])],
        &[("00:13", unwritten(30))],
        "01:00",
        &[
            "a 00:10 schedule#1 00:10-00:12 failed 1",
            "a 00:10 retry#2 00:13-00:15 failed 1",
            "a 00:10 retry#3 00:17-00:19 ok 0",
        ],
    );
}

#[test]
fn a_slot_that_comes_again_as_the_clock_was_set_back_is_not_taken_for_the_run_of_the_first_time() {
    expect(
        &["CRON_GROUP=g,1\nCRON_NAME=a\n3 * * * * a\nCRON_NAME=b\n4 * * * * b\n"],
        &[("a", 100), ("b", 1000)],
        &[],
        &[("00:05", Happening::Step(-180)), ("00:06:30", Happening::Stop), ("00:06:40", Happening::Start)],
        "00:50",
        &[
            "a 00:03 schedule#1 00:03-00:04:40 ok 0",
            "b 00:04 schedule#1 00:04:40-00:21:20 ok 0",
            "a 00:03 schedule#1 00:21:20-00:23 ok 0",
            "b 00:04 schedule#1 00:23-00:39:40 ok 0",
        ],
    );
}

#[test]
fn a_run_by_hand_whose_start_was_not_written_stays_one() {
    let crontab = "CRON_NAME=a\n10 0 * * * a\n";
    expect(
        &[crontab],
        &[("a", 120)],
        &[],
        &[("00:05:01", Happening::Run(id("a"))), ("00:05:01", unwritten(30))],
        "01:00",
        &["a 00:05:01 manual#1 00:05:01-00:07:01 ok 0", "a 00:10 schedule#1 00:10-00:12 ok 0"],
    );
}

#[test]
fn a_run_that_was_to_end_when_the_daemon_was_killed_is_ended_by_the_next_one() {
    let crontab = "CRON_NAME=a\nCRON_OVERLAP=replace\n10,15 0 * * * a\n";
    expect(
        &[crontab],
        &[("a", 1_200)],
        &[],
        &[("00:15", unsent(30))],
        "01:00",
        &["a 00:10 schedule#1 00:10-00:15:30 replaced", "a 00:15 schedule#1 00:15:30-00:35:30 ok 0"],
    );
}

#[test]
fn what_results_from_before_the_begin_let_go_on_starts_once() {
    let crontab = "CRON_NAME=a\nCRON_OVERLAP=queue\n10,15 0 * * * a\n";
    expect(
        &[crontab],
        &[("a", 600)],
        &[],
        &[("00:18", Happening::Stop), ("00:25", Happening::Start)],
        "01:00",
        &["a 00:10 schedule#1 00:10-00:20 ok 0", "a 00:15 schedule#1 00:25-00:35 ok 0"],
    );
}

#[test]
fn what_an_entry_that_went_while_the_daemon_was_down_has_left_gets_its_outcomes() {
    let crontab = "CRON_NAME=a\nCRON_OVERLAP=queue\n10,15 0 * * * a\n";
    let other = "CRON_NAME=b\n0 5 * * * b\n";
    let edit = |number| Happening::Edit(number);
    expect(
        &[crontab, other],
        &[("a", 900)],
        &[],
        &[("00:18", Happening::Stop), ("00:19", edit(1)), ("00:20", Happening::Start), ("00:40", crash(0))],
        "03:00",
        &["a 00:10 schedule#1 00:10-00:25 ok 0", "a 00:15 skipped entry removed"],
    );
    // It comes back, and its run has ended well meanwhile.
    expect(
        &[crontab, other, crontab],
        &[("a", 900)],
        &[],
        &[("00:18", Happening::Stop), ("00:19", edit(1)), ("00:20", Happening::Start), ("00:50", edit(2))],
        "03:00",
        &["a 00:10 schedule#1 00:10-00:25 ok 0", "a 00:15 schedule#1 00:50-01:05 ok 0"],
    );
}

#[test]
fn a_retry_is_given_up_whose_pause_with_a_slot_ended_while_the_daemon_was_down() {
    let crontab = "CRON_NAME=a\nCRON_OVERLAP=queue\nCRON_RETRY=1,1m\n10,30 0 * * * a\n";
    expect(
        &[crontab],
        &[("a", 600)],
        &[("a", &[1, 0])],
        &[
            ("00:15", Happening::Run(id("a"))),
            ("00:22", Happening::Pause(id("a"), 1_200)),
            ("00:29", Happening::Run(id("a"))),
            ("00:32", Happening::Stop),
            ("00:50", Happening::Start),
        ],
        "02:00",
        &[
            "a 00:10 schedule#1 00:10-00:20 failed 1",
            "a 00:15 manual#1 00:20-00:30 ok 0",
            "a 00:29 manual#1 00:30-00:40 ok 0",
            "a 00:30 skipped paused",
        ],
    );
}

#[test]
fn fixed_times_that_the_clock_has_left_out_are_caught_up() {
    let crontab = "CRON_NAME=a\nCRON_CATCHUP=all\n0,30 0-2 * * * a\n";
    expect(
        &[crontab],
        &[],
        &[],
        &[("00:40", Happening::Step(3_600))],
        "01:10",
        &[
            "a 00:30 schedule#1 00:30-00:30 ok 0",
            "a 01:00 catchup#1 00:40-00:40 ok 0",
            "a 01:30 catchup#1 00:40-00:40 ok 0",
            "a 02:00 schedule#1 01:00-01:00 ok 0",
        ],
    );
}

#[test]
fn skipped_slots_that_a_jump_of_the_clock_has_had_recorded_are_not_recorded_again() {
    let crontab = "CRON_NAME=a\n*/10 * * * * a\n";
    expect(
        &[crontab],
        &[],
        &[],
        &[
            ("00:05", Happening::Pause(id("a"), 900)),
            ("00:25", Happening::Step(3_600)),
            ("00:26", Happening::Stop),
            ("00:27", Happening::Start),
        ],
        "00:40",
        &[
            "a 00:10 skipped paused",
            "a 00:20 schedule#1 00:20-00:20 ok 0",
            "a 00:30 missed clock x6 to 01:20",
            "a 01:30 schedule#1 00:30-00:30 ok 0",
            "a 01:40 schedule#1 00:40-00:40 ok 0",
        ],
    );
}

#[test]
fn a_pause_holds_although_the_clock_is_set_back_to_before_it() {
    let crontab = "CRON_NAME=a\n*/10 * * * * a\n";
    expect(
        &[crontab],
        &[],
        &[],
        &[("00:45", Happening::Pause(id("a"), 600)), ("00:46", Happening::Step(-1_800))],
        "01:30",
        &[
            "a 00:10 schedule#1 00:10-00:10 ok 0",
            "a 00:20 schedule#1 00:20-00:20 ok 0",
            "a 00:30 schedule#1 00:30-00:30 ok 0",
            "a 00:40 schedule#1 00:40-00:40 ok 0",
            "a 00:20 skipped paused x4 to 00:50",
            "a 01:00 schedule#1 01:30-01:30 ok 0",
        ],
    );
}

#[test]
fn a_slot_waits_that_replaces_a_run_in_a_group_with_too_many() {
    let settings = |group: &str| format!("CRON_GROUP={group}\nCRON_NAME=b\nCRON_OVERLAP=allow\n5 0 * * * b\n");
    let a = "CRON_GROUP=g\nCRON_NAME=a\nCRON_OVERLAP=replace\n10,20 0 * * * a\n";
    expect(
        &[&format!("{a}{}", settings("default")), &format!("{a}{}", settings("g"))],
        &[("a", 900), ("b", 1_200)],
        &[],
        &[("00:15", Happening::Edit(1))],
        "01:00",
        &[
            "a 00:10 schedule#1 00:10-00:20 replaced",
            "b 00:05 schedule#1 00:05-00:25 ok 0",
            "a 00:20 schedule#1 00:25-00:40 ok 0",
        ],
    );
}

#[test]
fn what_a_pause_of_another_job_lets_go_on_at_the_begin_starts_once() {
    let text = |places: u32| {
        let entry =
            |name: &str, minute: u32| format!("CRON_GROUP=g,{places}\nCRON_NAME={name}\n{minute} 0 * * * {name}\n");
        format!("{}{}{}", entry("a", 5), entry("b", 10), entry("c", 50))
    };
    // The edit makes room for the slot that waits.
    expect(
        &[&text(1), &text(2)],
        &[("a", 3_000), ("b", 600)],
        &[],
        &[
            ("00:11", Happening::Pause(id("c"), 600)),
            ("00:12", Happening::Stop),
            ("00:13", Happening::Edit(1)),
            ("00:14", Happening::Start),
        ],
        "02:00",
        &[
            "b 00:10 schedule#1 00:14-00:24 ok 0",
            "c 00:50 schedule#1 00:50-00:50 ok 0",
            "a 00:05 schedule#1 00:05-00:55 ok 0",
        ],
    );
}

#[test]
fn a_retry_that_waits_in_its_group_is_given_up_if_a_slot_passes_while_the_daemon_is_down() {
    let crontab = "CRON_GROUP=g\nCRON_NAME=a\nCRON_RETRY=1,1m\n10,30 0 * * * a\nCRON_NAME=b\n11 0 * * * b\n";
    expect(
        &[crontab],
        &[("a", 60), ("b", 1_200)],
        &[("a", &[1])],
        &[("00:20", Happening::Stop), ("00:40", Happening::Start)],
        "02:00",
        &["a 00:10 schedule#1 00:10-00:11 failed 1", "b 00:11 schedule#1 00:11-00:31 ok 0", "a 00:30 missed down"],
    );
}

#[test]
fn a_retry_that_waits_in_its_group_begins_if_the_group_goes_while_the_daemon_is_down() {
    let text = |group: &str| {
        format!(
            "CRON_GROUP={group}\nCRON_NAME=a\nCRON_RETRY=1,1m\n10 0 * * * a\n\
             CRON_GROUP=g\nCRON_NAME=b\n11 0 * * * b\n"
        )
    };
    expect(
        &[&text("g"), &text("default")],
        &[("a", 60), ("b", 1_200)],
        &[("a", &[1, 0])],
        &[("00:20", Happening::Stop), ("00:21", Happening::Edit(1)), ("00:22", Happening::Start)],
        "02:00",
        &[
            "a 00:10 schedule#1 00:10-00:11 failed 1",
            "a 00:10 retry#2 00:22-00:23 ok 0",
            "b 00:11 schedule#1 00:11-00:31 ok 0",
        ],
    );
}

#[test]
fn a_run_keeps_its_place_in_a_group_although_its_entry_goes_while_it_runs() {
    let entry = |name: &str, minute: u32| format!("CRON_GROUP=g\nCRON_NAME={name}\n{minute} 0 * * * {name}\n");
    let (a, b) = (entry("a", 5), entry("b", 10));
    let stop = [("00:12", Happening::Stop), ("00:14", Happening::Start)];
    // The entry goes before the stop, or while the daemon is down.
    for edit in ["00:11", "00:13"] {
        let happenings: Vec<_> = [(edit, Happening::Edit(1))].into_iter().chain(stop.clone()).collect();
        expect(
            &[&format!("{a}{b}"), &b],
            &[("a", 1_200), ("b", 600)],
            &[],
            &happenings,
            "02:00",
            &["b 00:10 schedule#1 00:25-00:35 ok 0", "a 00:05 schedule#1 00:05-00:25 ok 0"],
        );
    }
}

#[test]
fn a_run_by_hand_is_not_taken_for_a_slot_after_a_crash() {
    // In the second of a slot.
    let crontab = "CRON_NAME=a\n10,20 0 * * * a\n";
    let at_slot = [("00:10", Happening::Run(id("a"))), ("00:10", unwritten(0))];
    let both = ["a 00:10 schedule#1 00:10-00:11 ok 0", "a 00:10 manual#1 00:10-00:11 ok 0"];
    expect(&[crontab], &[("a", 60)], &[], &at_slot, "00:15", &both);
    // Of an entry without a calendar each moment may be a slot.
    for (schedule, overlap) in [("@30m", "replace"), ("@30m", "skip"), ("@after b", "replace"), ("@after b", "allow")] {
        let crontab =
            format!("CRON_NAME=b\n0 2 * * * b\nCRON_NAME=a\nCRON_OVERLAP={overlap}\nCRON_RETRY=2,30s\n{schedule} a\n");
        for down in [0, 40] {
            let by_hand = [("00:10", Happening::Run(id("a"))), ("00:10", unwritten(down))];
            let expected = ["a 00:10 manual#1 00:10-00:11 failed 1"];
            expect(&[&crontab], &[("a", 60)], &[("a", &[1])], &by_hand, "00:15", &expected);
        }
    }
}

#[test]
fn an_interval_that_has_passed_when_its_entry_is_enabled_is_due_in_that_second() {
    let text = |is_enabled| format!("CRON_NAME=a\nCRON_ENABLED={is_enabled}\n@20m a\n");
    for also in [crash(0), Happening::Start] {
        expect(
            &[&text("no"), &text("yes")],
            &[("a", 60)],
            &[],
            &[("00:51", Happening::Edit(1)), ("00:51", also)],
            "01:15",
            &["a 00:51 schedule#1 00:51-00:52 ok 0", "a 01:12 schedule#1 01:12-01:13 ok 0"],
        );
    }
}

#[test]
fn an_attempt_that_follows_at_once_is_no_further_slot_after_a_crash() {
    let crontab = "CRON_NAME=a\nCRON_RETRY=2,0s\n10 0 * * * a\n";
    let lost = Happening::Crash { is_complete: false, is_written: false, sent: 8, down: 0 };
    let found = found(&[crontab], &[("a", 30)], &[("a", &[1])], &[("00:10:30", lost)], "00:20");
    let expected = [
        "a 00:10 schedule#1 00:10-00:10:30 failed 1",
        "a 00:10 retry#2 00:10:30-00:11 failed 1",
        "a 00:10 retry#3 00:11-00:11:30 failed 1",
    ];
    let notice = format!("notice failure alice:a 1 {:?} None", Some(expected[2]));
    let expected: Vec<&str> = expected.into_iter().chain([notice.as_str()]).collect();
    assert_eq!(found.text(0).lines().collect::<Vec<_>>(), expected);
}
