//! Zones from rules, files and the program's own copy.

use super::{CYCLE_SECONDS, Zone};
use crate::schedule::Timestamp;
use std::collections::HashSet;

fn moment(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

/// Asserts the first transitions after a moment, as `(first second, seconds east of UTC before, and after)`.
#[track_caller]
fn transitions(zone: &Zone, after: &str, wanted: &[(&str, i32, i32)]) {
    let mut at = moment(after);
    for (when, before, after) in wanted {
        let found = zone.next_transition(at).unwrap();
        assert_eq!((found.at, found.before, found.after), (moment(when), *before, *after), "{}", zone.name());
        assert_eq!((zone.offset_at(Timestamp(found.at.0 - 1)), zone.offset_at(found.at)), (*before, *after));
        at = found.at;
    }
}

#[test]
fn a_rule_holds_in_every_year() {
    let zone = Zone::from_posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    for (after, spring, autumn) in [
        ("2027-01-01T00:00:00Z", "2027-03-28T01:00:00Z", "2027-10-31T01:00:00Z"),
        ("2427-01-01T00:00:00Z", "2427-03-28T01:00:00Z", "2427-10-31T01:00:00Z"),
        ("9999-01-01T00:00:00Z", "9999-03-28T01:00:00Z", "9999-10-31T01:00:00Z"),
        ("1900-01-01T00:00:00Z", "1900-03-25T01:00:00Z", "1900-10-28T01:00:00Z"),
        ("0001-01-01T00:00:00Z", "0001-03-25T01:00:00Z", "0001-10-28T01:00:00Z"),
    ] {
        transitions(&zone, after, &[(spring, 3600, 7200), (autumn, 7200, 3600)]);
    }
}

#[test]
fn rules_of_every_form_are_read() {
    for (rule, after, wanted) in [
        // South of the equator summer lasts over the new year.
        ("AEST-10AEDT,M10.1.0,M4.1.0/3", "2027-01-01T00:00:00Z", ("2027-04-03T16:00:00Z", 39_600, 36_000)),
        // Hours beyond the day, before and after it (RFC 8536, 3.3.1).
        ("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2027-01-01T00:00:00Z", ("2027-03-28T01:00:00Z", -7200, -3600)),
        ("IST-2IDT,M3.4.4/26,M10.5.0", "2027-01-01T00:00:00Z", ("2027-03-26T00:00:00Z", 7200, 10_800)),
        // Days of the year, without and with the leap day.
        ("AAA0BBB,J60/0,J300", "2028-01-01T00:00:00Z", ("2028-03-01T00:00:00Z", 0, 3600)),
        ("AAA0BBB,59/0,300", "2028-01-01T00:00:00Z", ("2028-02-29T00:00:00Z", 0, 3600)),
        // Summer time that is behind.
        ("IST-1GMT0,M10.5.0,M3.5.0/1", "2027-01-01T00:00:00Z", ("2027-03-28T01:00:00Z", 0, 3600)),
        // Without dates, those of the United States hold.
        ("EST5EDT", "2027-01-01T00:00:00Z", ("2027-03-14T07:00:00Z", -18_000, -14_400)),
    ] {
        transitions(&Zone::from_posix(rule).unwrap(), after, &[wanted]);
    }
    for (rule, offset) in [("UTC0", 0), ("<+0545>-5:45", 20_700), ("XXX3EDT4,0/0,J365/23", -14_400)] {
        let zone = Zone::from_posix(rule).unwrap();
        assert_eq!(zone.offset_at(moment("2027-07-01T00:00:00Z")), offset, "{rule}");
    }
    for rule in ["", "Nowhere", "Mars/Olympus", "CET-1CEST,M13.5.0,M10.5.0", "CET-1CEST,", "UTC0\nUTC1", "é1"] {
        assert!(Zone::from_posix(rule).is_err(), "{rule}");
    }
}

#[test]
fn summer_time_that_never_ends_has_no_transitions() {
    let zone = Zone::from_posix("EST5EDT4,0/0,J365/25").unwrap();
    assert_eq!(zone.offset_at(moment("2027-01-01T05:00:00Z")), -14_400);
    assert_eq!(zone.offset_at(moment("2027-07-01T00:00:00Z")), -14_400);
    assert!(zone.next_transition(moment("2027-01-01T00:00:00Z")).is_none());
}

#[test]
fn the_table_repeats_without_a_seam() {
    for rule in ["CET-1CEST,M3.5.0,M10.5.0/3", "AEST-10AEDT,M10.1.0,M4.1.0/3", "AAA0BBB,59/0,300"] {
        let zone = Zone::from_posix(rule).unwrap();
        let start = moment("1990-01-01T00:00:00Z");
        let mut at = start;
        let mut count = 0;
        while let Some(here) = zone.next_transition(at).filter(|here| here.at.0 < start.0 + 2 * CYCLE_SECONDS) {
            let later = zone.next_transition(Timestamp(at.0 + CYCLE_SECONDS)).unwrap();
            assert_eq!(later.at.0 - here.at.0, CYCLE_SECONDS, "{rule} after {at}");
            assert_eq!((later.before, later.after), (here.before, here.after), "{rule} after {at}");
            assert!(here.before != here.after && here.at > at);
            count += 1;
            at = here.at;
        }
        assert_eq!(count, 1600, "{rule}");
    }
}

#[test]
fn moments_are_written_with_the_offset_of_the_zone() {
    for (zone, at, text) in [
        ("Europe/Berlin", "2026-11-22T09:15:00Z", "2026-11-22T10:15:00+01:00"),
        ("America/New_York", "2026-07-01T00:00:00Z", "2026-06-30T20:00:00-04:00"),
        ("Asia/Kathmandu", "2026-07-01T00:00:00Z", "2026-07-01T05:45:00+05:45"),
        ("America/St_Johns", "2026-01-01T00:00:00Z", "2025-12-31T20:30:00-03:30"),
        // The form has no seconds in an offset: the moment must be right all the same.
        ("Africa/Monrovia", "1971-01-01T00:00:00Z", "1970-12-31T23:16:00-00:44"),
    ] {
        let zone = Zone::embedded(zone).unwrap();
        assert_eq!(zone.to_rfc3339(moment(at)), text);
        assert_eq!(moment(text), moment(at));
    }
    assert_eq!(Zone::utc().to_rfc3339(Timestamp(0)), "1970-01-01T00:00:00+00:00");
    for (at, text) in [(i64::MAX, "@9223372036854775807"), (i64::MIN, "@-9223372036854775808")] {
        assert_eq!(Zone::from_posix("AAA-14").unwrap().to_rfc3339(Timestamp(at)), text);
    }
}

#[test]
fn local_minutes_are_rounded_down() {
    let monrovia = Zone::embedded("Africa/Monrovia").unwrap();
    // -0:44:30: clocks show 23:15:30 of the day before.
    assert_eq!(monrovia.local_minute(Timestamp(0)).0, -45);
    assert_eq!(monrovia.local_minute(Timestamp(30)).0, -44);
}

#[test]
fn zones_with_the_same_name_and_offsets_are_equal() {
    let berlin = Zone::embedded("Europe/Berlin").unwrap();
    assert_eq!(berlin, Zone::embedded("Europe/Berlin").unwrap());
    assert_ne!(berlin, Zone::embedded("Europe/Madrid").unwrap());
    let zones: HashSet<Zone> =
        ["Europe/Berlin", "Europe/Berlin", "Europe/Vienna"].map(|name| Zone::embedded(name).unwrap()).into();
    assert_eq!(zones.len(), 2);
    assert!(Zone::embedded("Europe/Nowhere").is_none());
}

#[test]
fn bytes_that_are_no_zone_are_an_error_that_names_it() {
    for bytes in [&b""[..], b"TZif", b"TZif2\0\0\0", b"# tzdb data for Africa", &[0xff; 4096]] {
        let error = Zone::from_tzif("Europe/Berlin", bytes).unwrap_err().to_string();
        assert!(error.starts_with("the zone data of Europe/Berlin are not usable: "), "{error}");
    }
}

#[test]
fn embedded_zones_are_found_by_their_exact_names_only() {
    assert!(Zone::embedded("Europe/Berlin").is_some());
    for name in ["europe/berlin", "Europe/BERLIN", "Europe", "", "No/Such"] {
        assert!(Zone::embedded(name).is_none(), "{name:?}");
    }
}

#[test]
fn a_rule_holds_from_the_last_change_of_its_file_on_even_if_that_changes_the_name_only() {
    // From 2015 to 2018 the clocks stood at UTC-4 all year; in March 2018 AST became EDT, which is the last change in the file.
    let zone = Zone::embedded("America/Grand_Turk").unwrap();
    let changes = [("2015-03-08T07:00:00Z", -18_000, -14_400), ("2018-11-04T06:00:00Z", -14_400, -18_000)];
    transitions(&zone, "2015-01-01T00:00:00Z", &changes);
}

/// A TZif file with one change, to an offset of an hour.
fn file_with_change(at: i64) -> Vec<u8> {
    let header = |counts: [u32; 6]| {
        let mut header = b"TZif2".to_vec();
        header.extend_from_slice(&[0; 15]);
        header.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
        header
    };
    let mut file = header([0, 0, 0, 0, 1, 4]);
    file.extend_from_slice(b"\0\0\0\0\0\0UTC\0");
    file.extend(header([0, 0, 0, 1, 2, 8]));
    file.extend_from_slice(&at.to_be_bytes());
    file.extend_from_slice(b"\x01\0\0\0\0\0\0\0\0\x0e\x10\0\x04UTC\0ONE\0\n\n");
    file
}

#[test]
fn a_file_that_counts_leap_seconds_is_read_without_them() {
    let mut file = file_with_change(100_000_001);
    // The number of leap seconds in the second header, and behind the names the first one, of 1972.
    file[82..86].copy_from_slice(&1_u32.to_be_bytes());
    let end = file.len() - 2;
    file.splice(end..end, [78_796_800_i64.to_be_bytes().as_slice(), &1_i32.to_be_bytes()].concat());
    let zone = Zone::from_tzif("right/Away", &file).unwrap();
    assert_eq!([99_999_999, 100_000_000].map(|at| zone.offset_at(Timestamp(at))), [0, 3600]);
}

#[test]
fn an_offset_is_as_large_as_the_format_allows() {
    for (offset, is_read) in [(93_600, true), (-93_600, true), (93_601, false), (-93_601, false)] {
        let mut file = file_with_change(0);
        let at = file.windows(4).position(|bytes| bytes == 3_600_i32.to_be_bytes()).unwrap();
        file[at..at + 4].copy_from_slice(&i32::to_be_bytes(offset));
        match Zone::from_tzif("Far/Away", &file) {
            Ok(zone) => assert_eq!((is_read, zone.offset_at(Timestamp(0))), (true, offset)),
            Err(refused) => assert!(!is_read && refused.to_string().contains("26 hours"), "{offset}: {refused}"),
        }
    }
}

#[test]
fn a_change_is_as_far_away_as_sums_allow() {
    // The last one is that of old files: when the universe began.
    for at in [0, 1 << 59, -(1 << 59)] {
        let zone = Zone::from_tzif("Far/Away", &file_with_change(at)).unwrap();
        assert_eq!((zone.offset_at(Timestamp(at - 1)), zone.offset_at(Timestamp(at))), (0, 3600), "{at}");
    }
    for at in [i64::MAX, i64::MIN, i64::MIN + 60, i64::MAX / 2] {
        let refused = Zone::from_tzif("Far/Away", &file_with_change(at)).unwrap_err().to_string();
        assert!(refused.contains("billion years"), "{at}: {refused}");
    }
}
