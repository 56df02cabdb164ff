//! `@after`: entries that run when others have ended well.

use crate::outcomes::{Day, expect};
use crate::setup::{Machine, commands, started};

/// `a` and `b` by the clock, `c` after both.
fn both(a: &str, b: &str) -> String {
    format!("CRON_NAME=a\n{a} * * * a\nCRON_NAME=b\n{b} * * * b\nCRON_NAME=c\n@after a,b c\n")
}

#[test]
fn a_chain_runs_one_after_the_other() {
    let crontab = "CRON_NAME=c\n@after b c\nCRON_NAME=b\n@after a b\nCRON_NAME=a\n0 1 * * * a\n";
    let durations = &[("a", 600), ("b", 300), ("c", 60)];
    let expected = &[
        "a 01:00 schedule#1 01:00-01:10 ok 0",
        "b 01:10 after#1 01:10-01:15 ok 0",
        "c 01:15 after#1 01:15-01:16 ok 0",
    ];
    expect(&Day { crontab, until: "23:00", durations, ..Day::default() }, expected);
    // Also where all of them take no time, or the daemon is restarted.
    expect(
        &Day { crontab, until: "23:00", ..Day::default() },
        &[
            "a 01:00 schedule#1 01:00-01:00 ok 0",
            "b 01:00 after#1 01:00-01:00 ok 0",
            "c 01:00 after#1 01:00-01:00 ok 0",
        ],
    );
    let down = &[("01:05", "01:06"), ("01:10", "01:10"), ("01:12", "01:13")];
    expect(&Day { crontab, until: "23:00", durations, down, ..Day::default() }, expected);
}

#[test]
fn all_named_jobs_must_have_ended_well_since_the_last_slot() {
    expect(
        &Day { crontab: &both("0 1,2,5", "0 3,4"), until: "06:00", ..Day::default() },
        &[
            "a 01:00 schedule#1 01:00-01:00 ok 0",
            "a 02:00 schedule#1 02:00-02:00 ok 0",
            "b 03:00 schedule#1 03:00-03:00 ok 0",
            "c 03:00 after#1 03:00-03:00 ok 0",
            "b 04:00 schedule#1 04:00-04:00 ok 0",
            "a 05:00 schedule#1 05:00-05:00 ok 0",
            "c 05:00 after#1 05:00-05:00 ok 0",
        ],
    );
}

#[test]
fn a_failure_takes_the_success_back_and_a_retry_gives_it_again() {
    let crontab = both("0 1,2,3", "30 2");
    let day = Day { crontab: &crontab, until: "04:00", exits: &[("a", &[0, 1, 0])], ..Day::default() };
    expect(
        &day,
        &[
            "a 01:00 schedule#1 01:00-01:00 ok 0",
            "a 02:00 schedule#1 02:00-02:00 failed 1",
            "b 02:30 schedule#1 02:30-02:30 ok 0",
            "a 03:00 schedule#1 03:00-03:00 ok 0",
            "c 03:00 after#1 03:00-03:00 ok 0",
        ],
    );
    // Also if it is not the last attempt.
    let retried = format!("CRON_RETRY=1,40m\n{crontab}");
    expect(
        &Day { crontab: &retried, until: "02:59", ..day },
        &[
            "a 01:00 schedule#1 01:00-01:00 ok 0",
            "a 02:00 schedule#1 02:00-02:00 failed 1",
            "b 02:30 schedule#1 02:30-02:30 ok 0",
            "a 02:00 retry#2 02:40-02:40 ok 0",
            "c 02:40 after#1 02:40-02:40 ok 0",
        ],
    );
    // A run that was ended on purpose neither gives nor takes.
    let killed = Day { durations: &[("a", 600)], kills: &[("a", "02:05")], exits: &[], until: "02:59", ..day };
    expect(
        &killed,
        &[
            "a 01:00 schedule#1 01:00-01:10 ok 0",
            "a 02:00 schedule#1 02:00-02:05 killed",
            "b 02:30 schedule#1 02:30-02:30 ok 0",
            "c 02:30 after#1 02:30-02:30 ok 0",
        ],
    );
}

#[test]
fn the_successes_are_used_up_whatever_becomes_of_the_slot() {
    let crontab = "CRON_NAME=a\n*/10 1 * * * a\nCRON_NAME=c\nCRON_OVERLAP=skip\n@after a c\n";
    let day = Day { crontab, until: "01:29", durations: &[("c", 900)], ..Day::default() };
    let of_a = ["a 01:00 schedule#1 01:00-01:00 ok 0", "a 01:10 schedule#1 01:10-01:10 ok 0"];
    let last_of_a = "a 01:20 schedule#1 01:20-01:20 ok 0";
    expect(
        &day,
        &[of_a[0], of_a[1], "c 01:00 after#1 01:00-01:15 ok 0", last_of_a, "c 01:10 after skipped still running"],
    );
    expect(
        &Day { pauses: &[("c", "00:50", "01:15")], until: "01:36", ..day },
        &[
            of_a[0],
            of_a[1],
            last_of_a,
            "c 01:00 after skipped paused x2 to 01:10",
            "a 01:30 schedule#1 01:30-01:30 ok 0",
            "c 01:20 after#1 01:20-01:35 ok 0",
            "c 01:30 after skipped still running",
        ],
    );
}

#[test]
fn a_run_by_hand_of_a_named_job_counts_and_one_of_the_entry_uses_nothing_up() {
    let crontab = both("0 2", "0 3");
    expect(
        &Day { crontab: &crontab, until: "04:00", runs: &[("b", "00:30"), ("c", "01:00")], ..Day::default() },
        &[
            "b 00:30 manual#1 00:30-00:30 ok 0",
            "c 01:00 manual#1 01:00-01:00 ok 0",
            "a 02:00 schedule#1 02:00-02:00 ok 0",
            "c 02:00 after#1 02:00-02:00 ok 0",
            "b 03:00 schedule#1 03:00-03:00 ok 0",
        ],
    );
}

#[test]
fn an_end_without_a_daemon_starts_it_at_the_restart() {
    let crontab = both("0 1", "0 2");
    let day = Day { crontab: &crontab, until: "04:00", durations: &[("b", 1_200)], ..Day::default() };
    let (a, b) = ("a 01:00 schedule#1 01:00-01:00 ok 0", "b 02:00 schedule#1 02:00-02:20 ok 0");
    expect(&Day { down: &[("01:10", "01:20")], ..day }, &[a, b, "c 02:20 after#1 02:20-02:20 ok 0"]);
    expect(
        &Day { down: &[("01:10", "01:20"), ("02:10", "02:30")], ..day },
        &[a, b, "c 02:20 after#1 02:30-02:30 ok 0"],
    );
    // In a pause it is skipped then.
    let paused = Day { down: &[("02:10", "02:30")], pauses: &[("c", "02:15", "02:40")], ..day };
    expect(&paused, &[a, b, "c 02:20 after skipped paused"]);
}

#[test]
fn a_slot_after_others_has_retries_and_a_newer_one_gives_them_up() {
    let crontab = "CRON_NAME=a\n0 1,2 * * * a\nCRON_NAME=c\nCRON_RETRY=1,20m\n@after a c\n";
    expect(
        &Day { crontab, until: "03:00", exits: &[("c", &[1, 0])], ..Day::default() },
        &[
            "a 01:00 schedule#1 01:00-01:00 ok 0",
            "c 01:00 after#1 01:00-01:00 failed 1",
            "c 01:00 retry#2 01:20-01:20 ok 0",
            "a 02:00 schedule#1 02:00-02:00 ok 0",
            "c 02:00 after#1 02:00-02:00 ok 0",
        ],
    );
    let longer = crontab.replace("20m", "90m");
    expect(
        &Day { crontab: &longer, until: "03:00", exits: &[("c", &[1, 0])], ..Day::default() },
        &[
            "a 01:00 schedule#1 01:00-01:00 ok 0",
            "c 01:00 after#1 01:00-01:00 failed 1",
            "a 02:00 schedule#1 02:00-02:00 ok 0",
            "c 02:00 after#1 02:00-02:00 ok 0",
        ],
    );
}

#[test]
fn a_new_entry_counts_from_its_load_and_an_unchanged_one_goes_on() {
    let a = "CRON_NAME=a\n* * * * * a\n";
    let with = |last: &str| format!("{a}CRON_NAME=b\n30 10 * * * b\n{last}");
    let mut machine = Machine::with_table(&with(""), "2026-05-01T10:28:00Z");
    let minute = |machine: &mut Machine| {
        let actions = machine.run(60);
        let starts: Vec<_> = started(&actions).into_iter().cloned().collect();
        let ends: Vec<_> = starts.iter().flat_map(|start| machine.end(start)).collect();
        [commands(&actions), commands(&ends)].concat()
    };
    assert_eq!(minute(&mut machine), ["a"]);
    machine.load("/spool/alice", &with("CRON_NAME=c\n@after b,a c\n"));
    // The end of `a` from before the load would have done, together with that of `b`.
    machine.load(
        "/spool/alice",
        &format!("# moved\n{}", with("CRON_NAME=c\n@after b,a c\n").replace("* * * * * a", "31 10 * * * a")),
    );
    assert_eq!(minute(&mut machine), ["b"]);
    machine.load("/spool/alice", &with("CRON_NAME=c\n@after b,a c\n"));
    assert_eq!(minute(&mut machine), ["a", "c"]);
}
