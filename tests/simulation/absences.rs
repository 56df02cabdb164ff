//! Time in which nothing was handled: restarts, sleeps and steps of the clock, and what is known after them of the time before.

use crate::outcomes::{Day, expect};

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
