//! Days on which a zone's clocks skip or repeat, as tables: schedule, the moment after which to look, the runs.

use super::ClockStep;
use crate::schedule::{HostKey, JitterKey, LocalMinute, Schedule, Timestamp, Zone};
use std::sync::Arc;

fn schedule(text: &str) -> Schedule {
    Schedule::parse(text, &JitterKey { host: HostKey(7), table: "alice", entry: text.as_bytes() }).unwrap().schedule
}

fn zone(name: &str) -> Arc<Zone> {
    match name {
        "UTC" => Zone::utc(),
        _ => Arc::new(Zone::embedded(name).unwrap()),
    }
}

fn moment(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

/// Asserts the first runs after a moment; all are written in the zone's own time.
#[track_caller]
fn runs(text: &str, zone_name: &str, after: &str, wanted: &[&str]) {
    let (schedule, zone) = (schedule(text), zone(zone_name));
    let mut at = moment(after);
    let mut found = Vec::new();
    while found.len() < wanted.len() {
        let Some(next) = schedule.next_after(at, &zone, None) else { break };
        found.push(zone.to_rfc3339(next));
        at = next;
    }
    assert_eq!(found, wanted, "{text} in {zone_name} after {after}");
}

#[test]
fn berlin_skips_from_two_to_three_in_march() {
    const ZONE: &str = "Europe/Berlin";
    for (text, wanted) in [
        // A fixed time inside the gap runs when the gap ends.
        ("30 2 * * *", ["2027-03-27T02:30:00+01:00", "2027-03-28T03:00:00+02:00", "2027-03-29T02:30:00+02:00"]),
        // Two of them make one instant, and it coincides with the one at 03:00 itself.
        ("0,30 2,3 * * *", ["2027-03-27T03:30:00+01:00", "2027-03-28T03:00:00+02:00", "2027-03-28T03:30:00+02:00"]),
        // A wildcard in the gap is lost.
        ("*/30 2 * * *", ["2027-03-27T02:00:00+01:00", "2027-03-27T02:30:00+01:00", "2027-03-29T02:00:00+02:00"]),
        ("30 2-3 * * *", ["2027-03-27T02:30:00+01:00", "2027-03-27T03:30:00+01:00", "2027-03-28T03:00:00+02:00"]),
        (
            "@quartz 0 30 2 * * * *",
            ["2027-03-27T02:30:00+01:00", "2027-03-28T03:00:00+02:00", "2027-03-29T02:30:00+02:00"],
        ),
    ] {
        let after = if text.starts_with("0,30") { "2027-03-27T03:00:00+01:00" } else { "2027-03-26T12:00:00+01:00" };
        runs(text, ZONE, after, &wanted);
    }
    runs(
        "*/30 * * * *",
        ZONE,
        "2027-03-28T01:30:00+01:00",
        &["2027-03-28T03:00:00+02:00", "2027-03-28T03:30:00+02:00"],
    );
    runs("@hourly", ZONE, "2027-03-28T01:00:00+01:00", &["2027-03-28T03:00:00+02:00", "2027-03-28T04:00:00+02:00"]);
}

#[test]
fn berlin_repeats_from_two_to_three_in_october() {
    const ZONE: &str = "Europe/Berlin";
    const NOON: &str = "2027-10-30T12:00:00+02:00";
    runs("30 2 * * *", ZONE, NOON, &["2027-10-31T02:30:00+02:00", "2027-11-01T02:30:00+01:00"]);
    runs("0 2,3 * * *", ZONE, NOON, &["2027-10-31T02:00:00+02:00", "2027-10-31T03:00:00+01:00"]);
    runs(
        "*/30 2 * * *",
        ZONE,
        NOON,
        &[
            "2027-10-31T02:00:00+02:00",
            "2027-10-31T02:30:00+02:00",
            "2027-10-31T02:00:00+01:00",
            "2027-10-31T02:30:00+01:00",
            "2027-11-01T02:00:00+01:00",
        ],
    );
    runs("@quartz 0 30 2 * * * *", ZONE, NOON, &["2027-10-31T02:30:00+02:00", "2027-11-01T02:30:00+01:00"]);
    runs("@quartz 59 59 2 * * * *", ZONE, "2027-10-31T02:30:00+01:00", &["2027-11-01T02:59:59+01:00"]);
}

#[test]
fn a_wildcard_second_or_minute_of_quartz_goes_on_through_the_repeated_hour() {
    const ZONE: &str = "Europe/Berlin";
    runs(
        "@quartz 0 */30 2 * * ?",
        ZONE,
        "2027-10-31T02:00:00+02:00",
        &[
            "2027-10-31T02:30:00+02:00",
            "2027-10-31T02:00:00+01:00",
            "2027-10-31T02:30:00+01:00",
            "2027-11-01T02:00:00+01:00",
        ],
    );
    runs(
        "@quartz */30 * * * * * *",
        ZONE,
        "2027-10-31T02:59:30+02:00",
        &["2027-10-31T02:00:00+01:00", "2027-10-31T02:00:30+01:00"],
    );
    runs("@quartz * 59 2 * * * 2028", ZONE, "2027-10-31T02:00:00+02:00", &["2028-01-01T02:59:00+01:00"]);
    // What is skipped is due when the gap ends, as for all of them.
    runs(
        "@quartz 0 */30 2 * * ?",
        ZONE,
        "2027-03-27T02:30:00+01:00",
        &["2027-03-28T03:00:00+02:00", "2027-03-29T02:00:00+02:00"],
    );
    runs(
        "@quartz 30 * * * * ?",
        ZONE,
        "2027-03-28T01:59:30+01:00",
        &["2027-03-28T03:00:00+02:00", "2027-03-28T03:00:30+02:00"],
    );
    // An hour alone does not.
    runs("@quartz 0 30 * * * ?", ZONE, "2027-10-31T02:30:00+02:00", &["2027-10-31T03:30:00+01:00"]);
}

#[test]
fn each_zone_keeps_its_own_time_line() {
    runs("30 2 * * *", "America/New_York", "2027-03-13T12:00:00-05:00", &["2027-03-14T03:00:00-04:00"]);
    runs(
        "30 1 * * *",
        "America/New_York",
        "2027-11-06T12:00:00-04:00",
        &["2027-11-07T01:30:00-04:00", "2027-11-08T01:30:00-05:00"],
    );
    // Half an hour: 02:00 to 02:30 is missing in October, 01:30 to 02:00 comes twice in April.
    runs("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00+10:30", &["2026-10-04T02:30:00+11:00"]);
    runs(
        "45 1 * * *",
        "Australia/Lord_Howe",
        "2027-04-03T12:00:00+11:00",
        &["2027-04-04T01:45:00+11:00", "2027-04-05T01:45:00+10:30"],
    );
    runs(
        "*/15 * * * *",
        "Australia/Lord_Howe",
        "2027-04-04T01:45:00+11:00",
        &["2027-04-04T01:30:00+10:30", "2027-04-04T01:45:00+10:30", "2027-04-04T02:00:00+10:30"],
    );
    // Midnight itself was skipped.
    runs(
        "0 0 * * *",
        "America/Sao_Paulo",
        "2018-11-03T12:00:00-03:00",
        &["2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"],
    );
    runs(
        "30 23 * * *",
        "America/Sao_Paulo",
        "2018-02-17T12:00:00-02:00",
        &["2018-02-17T23:30:00-02:00", "2018-02-18T23:30:00-03:00"],
    );
    runs("30 2 * * *", "Africa/Casablanca", "2026-03-21T12:00:00Z", &["2026-03-22T03:00:00+01:00"]);
    // Two hours of difference.
    runs(
        "30 1,2 * * *",
        "Antarctica/Troll",
        "2027-03-27T12:00:00Z",
        &["2027-03-28T03:00:00+02:00", "2027-03-29T01:30:00+02:00"],
    );
    runs(
        "30 2 * * *",
        "Antarctica/Troll",
        "2027-10-30T12:00:00Z",
        &["2027-10-31T02:30:00+02:00", "2027-11-01T02:30:00+00:00"],
    );
    runs("0 0 * * *", "Asia/Kathmandu", "2027-01-01T00:00:00Z", &["2027-01-02T00:00:00+05:45"]);
    // 5:30 became 5:45.
    runs("10 0 * * *", "Asia/Kathmandu", "1985-12-31T12:00:00+05:30", &["1986-01-01T00:15:00+05:45"]);
}

#[test]
fn beyond_three_hours_nothing_is_made_up_for_or_held() {
    // Samoa had no 30 December 2011.
    runs(
        "30 12 * * *",
        "Pacific/Apia",
        "2011-12-29T00:00:00-10:00",
        &["2011-12-29T12:30:00-10:00", "2011-12-31T12:30:00+14:00"],
    );
    runs(
        "0 0 * * *",
        "Pacific/Apia",
        "2011-12-29T00:00:00-10:00",
        &["2011-12-31T00:00:00+14:00", "2012-01-01T00:00:00+14:00"],
    );
    // Kwajalein had 21 August 1993 not at all.
    runs(
        "30 12 * * *",
        "Pacific/Kwajalein",
        "1993-08-20T00:00:00-12:00",
        &["1993-08-20T12:30:00-12:00", "1993-08-22T12:30:00+12:00"],
    );
    // @quartz makes up for a gap of any size.
    runs(
        "@quartz 0 30 12 * * * *",
        "Pacific/Apia",
        "2011-12-29T13:00:00-10:00",
        &["2011-12-31T00:00:00+14:00", "2011-12-31T12:30:00+14:00"],
    );
}

#[test]
fn a_minute_in_progress_begins_at_the_transition() {
    // Liberia went from -0:44:30 to 0 at local midnight of 7 January 1972: clocks showed 00:44:30 at once.
    const ZONE: &str = "Africa/Monrovia";
    let posix = Zone::embedded(ZONE).unwrap();
    assert_eq!(posix.offset_at(moment("1972-01-07T00:44:29Z")), -2670);
    runs("10 0 * * *", ZONE, "1972-01-06T12:00:00Z", &["1972-01-07T00:44:30+00:00", "1972-01-08T00:10:00+00:00"]);
    runs("44 * * * *", ZONE, "1972-01-07T00:30:00Z", &["1972-01-07T00:44:30+00:00", "1972-01-07T01:44:00+00:00"]);
    runs("* * * * *", ZONE, "1972-01-07T00:43:31Z", &["1972-01-07T00:44:30+00:00", "1972-01-07T00:45:00+00:00"]);
}

#[test]
fn small_gaps_replay_everything() {
    // A made-up zone whose clocks go forward by three minutes at 02:00 of 28 March and back in October.
    let zone = Zone::from_posix("AAA0BBB-0:03,M3.5.0,M10.5.0/2:03").unwrap();
    let schedule = schedule("*/2 2 * * *");
    let next = |after: &str| zone.to_rfc3339(schedule.next_after(moment(after), &zone, None).unwrap());
    assert_eq!(next("2027-03-28T01:59:00Z"), "2027-03-28T02:03:00+00:03");
    assert_eq!(next("2027-03-28T02:00:00Z"), "2027-03-28T02:04:00+00:03");
}

#[test]
fn minutes_that_were_shown_before_the_clock_was_set_back_are_done_for_fixed_schedules() {
    let zone = zone("Europe/Berlin");
    let done = zone.local_minute(moment("2027-06-01T12:00:00+02:00"));
    let after = moment("2027-06-01T10:30:00+02:00");
    for (text, wanted) in [
        ("0 11 * * *", "2027-06-02T11:00:00+02:00"),
        ("0 12 * * *", "2027-06-02T12:00:00+02:00"),
        ("1 12 * * *", "2027-06-01T12:01:00+02:00"),
        ("0 * * * *", "2027-06-01T11:00:00+02:00"),
        ("* 11 * * *", "2027-06-01T11:00:00+02:00"),
        ("@every_second", "2027-06-01T10:30:01+02:00"),
        ("@quartz 0 0 11 * * * *", "2027-06-02T11:00:00+02:00"),
        ("@quartz 30 0 12 * * * *", "2027-06-02T12:00:30+02:00"),
    ] {
        let next = schedule(text).next_after(after, &zone, Some(done)).unwrap();
        assert_eq!(zone.to_rfc3339(next), wanted, "{text}");
    }
}

#[test]
fn sparse_and_impossible_dates_are_found_or_given_up_in_one_cycle() {
    runs(
        "0 0 29 2 */7",
        "Europe/Berlin",
        "2026-01-01T00:00:00Z",
        &["2032-02-29T00:00:00+01:00", "2060-02-29T00:00:00+01:00"],
    );
    runs("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", &["2104-02-29T00:00:00+00:00"]);
    assert_eq!(schedule("0 0 30 2 *").next_after(moment("2026-01-01T00:00:00Z"), &zone("Europe/Berlin"), None), None);
    assert_eq!(schedule("@reboot").next_after(moment("2026-01-01T00:00:00Z"), &Zone::utc(), None), None);
    // Always in the gap of a zone that has one for ever: never run, and said so in bounded time.
    let zone = Zone::from_posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    assert_eq!(schedule("* 2 25-31 3 */7").next_after(moment("2026-01-01T00:00:00Z"), &zone, None), None);
    let far = schedule("30 2 25-31 3 */7").next_after(moment("9000-01-01T00:00:00Z"), &zone, None).unwrap();
    assert_eq!(zone.to_rfc3339(far), "9000-03-30T03:00:00+02:00");
}

#[test]
fn the_next_month_is_that_of_the_next_year_whichever_month_it_is_now() {
    runs("0 0 1 6 *", "UTC", "2026-12-15T00:00:00Z", &["2027-06-01T00:00:00+00:00", "2028-06-01T00:00:00+00:00"]);
    runs("0 0 1 1 *", "UTC", "2026-05-15T00:00:00Z", &["2027-01-01T00:00:00+00:00", "2028-01-01T00:00:00+00:00"]);
    runs("0 0 1 1 *", "UTC", "2026-12-15T00:00:00Z", &["2027-01-01T00:00:00+00:00"]);
}

#[test]
fn a_range_of_one_value_is_that_value() {
    runs(
        "@quartz 0 5-5 0 * * *",
        "UTC",
        "2026-12-15T00:00:00Z",
        &["2026-12-15T00:05:00+00:00", "2026-12-16T00:05:00+00:00"],
    );
}

#[test]
fn an_interval_is_as_long_as_it_says() {
    runs("@90s", "UTC", "2026-12-15T00:00:00Z", &["2026-12-15T00:01:30+00:00", "2026-12-15T00:03:00+00:00"]);
}

#[test]
fn the_calendar_alone_knows_no_zone() {
    let at = |text: &str| LocalMinute(moment(text).0 / 60);
    let daily = schedule("30 2 * * *");
    assert!(daily.matches(at("2027-03-28T02:30:00Z")));
    assert!(!daily.matches(at("2027-03-28T02:31:00Z")));
    assert_eq!(daily.next_match(at("2027-03-28T02:30:00Z")), Some(at("2027-03-29T02:30:00Z")));
    let quartz = schedule("@quartz 15 30 2 * * * *");
    assert!(quartz.matches(at("2027-03-28T02:30:00Z")));
    assert_eq!(quartz.next_match(at("2027-03-28T02:30:00Z")), Some(at("2027-03-29T02:30:00Z")));
    assert_eq!(schedule("@reboot").next_match(at("2027-03-28T02:30:00Z")), None);
}

#[test]
fn the_cases_of_the_step_rule_have_their_edges_where_the_references_have_them() {
    for (minutes, expected) in [
        (1, ClockStep::Small),
        (2, ClockStep::Small),
        (5, ClockStep::Small),
        (6, ClockStep::Forward),
        (180, ClockStep::Forward),
        (181, ClockStep::Jump),
        (0, ClockStep::Back),
        (-179, ClockStep::Back),
        (-180, ClockStep::Jump),
        (1_000_000, ClockStep::Jump),
        (-1_000_000, ClockStep::Jump),
    ] {
        assert_eq!(ClockStep::of(minutes), expected, "{minutes}");
    }
}

/// A zone whose clocks go forward by so many minutes at 02:00 of 28 March 2027, and back by as many on 31 October, to 02:00.
fn zone_with_steps_of(minutes: i64) -> Zone {
    let (hours, rest) = (minutes / 60, minutes % 60);
    Zone::from_posix(&format!("AAA0BBB-{hours}:{rest:02},M3.5.0,M10.5.0/{}:{rest:02}", hours + 2)).unwrap()
}

#[test]
fn gaps_and_folds_of_all_sizes_follow_the_step_rule() {
    // Minutes of the gap; whether a wildcard inside it is made up for, whether a fixed time is.
    for (minutes, wildcard, fixed) in [
        (1, true, true),
        (4, true, true),
        (5, false, true),
        (60, false, true),
        (179, false, true),
        (180, false, false),
        (181, false, false),
    ] {
        let zone = zone_with_steps_of(minutes);
        let transition = moment("2027-03-28T02:00:00Z");
        let is_due_at_once = |text: &str| {
            let next = schedule(text).next_after(moment("2027-03-28T01:30:00Z"), &zone, None);
            next == Some(transition)
        };
        // The first minute of the gap.
        assert_eq!(is_due_at_once("0 2 28 3 *"), fixed, "a fixed time in a gap of {minutes} minutes");
        assert_eq!(is_due_at_once("0 */2 28 3 *"), wildcard, "a wildcard in a gap of {minutes} minutes");
    }
    // Minutes of the fold; whether a fixed time inside it comes a second time.
    for (minutes, repeated) in [(1, false), (60, false), (179, false), (180, false), (181, true), (240, true)] {
        let zone = zone_with_steps_of(minutes);
        // The local 02:00 of that day: once before the clocks go back, and again at the moment in which they do.
        let first = Timestamp(moment("2027-10-31T02:00:00Z").0 - minutes * 60);
        let next = |after: Timestamp| schedule("0 2 31 10 *").next_after(after, &zone, None).unwrap();
        assert_eq!(next(moment("2027-10-30T12:00:00Z")), first, "a fold of {minutes} minutes");
        let second = next(first) == moment("2027-10-31T02:00:00Z");
        assert_eq!(second, repeated, "a fold of {minutes} minutes");
    }
}

#[test]
fn what_was_done_before_a_set_clock_is_not_repeated_by_a_jump_of_the_zone() {
    // The clocks of the zone go back from 05:01 to 02:00, further than fixed times are held.
    let zone = zone_with_steps_of(181);
    let local = |text: &str| LocalMinute(moment(text).0 / 60);
    // Everything up to 04:00 was done before the clock was set back.
    let done = Some(local("2027-10-31T04:00:00Z"));
    let after = moment("2027-10-31T01:59:00Z");
    for (text, wanted) in [
        ("0 2 * * *", "2027-11-01T02:00:00+00:00"),
        ("0 4 * * *", "2027-11-01T04:00:00+00:00"),
        ("0 * * * *", "2027-10-31T02:00:00+00:00"),
    ] {
        let next = schedule(text).next_after(after, &zone, done).unwrap();
        assert_eq!(zone.to_rfc3339(next), wanted, "{text}");
    }
    let next = schedule("0 2 * * *").next_after(after, &zone, Some(local("2027-10-31T01:59:00Z"))).unwrap();
    assert_eq!(zone.to_rfc3339(next), "2027-10-31T02:00:00+00:00");
}
