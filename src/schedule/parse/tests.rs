//! The language as tables: what is taken, what it means, what is said about the rest.

use crate::schedule::{DstPolicy, HostKey, JitterKey, Kind, Prefix, Schedule, ScheduleError};

fn jitter_key(entry: &str) -> JitterKey<'_> {
    JitterKey { host: HostKey(7), table: "alice", entry: entry.as_bytes() }
}

#[track_caller]
fn read(text: &str) -> Prefix {
    Schedule::parse(text, &jitter_key(text)).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

#[track_caller]
fn fault(text: &str) -> ScheduleError {
    match Schedule::parse(text, &jitter_key(text)) {
        Ok(prefix) => panic!("{text} was taken as {:?}", prefix.schedule),
        Err(fault) => fault,
    }
}

/// Asserts that two spellings are one schedule.
#[track_caller]
fn same(one: &str, other: &str) {
    assert_eq!(read(one).schedule, read(other).schedule, "{one} and {other}");
}

#[test]
fn spellings_of_one_schedule_are_equal() {
    for (one, other) in [
        ("005 * * * *", "5 * * * *"),
        ("0-59/15 0 * * *", "0,15,30,45 0 * * *"),
        ("0 0 * jan-mar *", "0 0 * 1-3 *"),
        ("0 0 * JAN,Feb,mAr *", "0 0 * 1,2,3 *"),
        ("0 0 * * sun", "0 0 * * 7"),
        ("0 0 * * 0", "0 0 * * 7"),
        ("0 0 * * 0-7", "0 0 * * 0-6"),
        ("0 0 * * 5-0", "0 0 * * 5-7"),
        ("0 0 * * fri-sun", "0 0 * * 5,6,0"),
        ("0 0 * * sat-sun", "0 0 * * 6,0"),
        ("0 0 * * 7-0", "0 0 * * 0"),
        ("0 0 * * 5-0/2", "0 0 * * 5,7"),
        ("0 0 * * mon-fri/2", "0 0 * * 1,3,5"),
        ("0 0 * * mon,3-5,sat", "0 0 * * 1,3,4,5,6"),
        ("5-5 * * * *", "5 * * * *"),
        ("*/60 * * * *", "*/1000 * * * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        ("@every_minute", "* * * * *"),
        ("@60", "@1m"),
        ("@3600s", "@1h"),
        ("@24h", "@1d"),
        ("0 0 L-0 * *", "0 0 L * *"),
        ("0 0 * * friL", "0 0 * * 5L"),
        ("0 0 * * FRI#2", "0 0 * * 5#2"),
        ("0 0 * * 7#1", "0 0 * * sun#1"),
        ("\t0  0\t* * *  ", "0 0 * * *"),
        ("@quartz 0 0 12 * * ? *", "@quartz  0 0  12 * * ? *"),
    ] {
        same(one, other);
    }
}

#[test]
fn a_field_is_a_star_when_its_first_character_is_one() {
    for (text, style) in [
        ("* 2 * * *", DstPolicy::Wildcard),
        ("*/5 2 * * *", DstPolicy::Wildcard),
        ("*,1 2 * * *", DstPolicy::Wildcard),
        ("5 */2 * * *", DstPolicy::Wildcard),
        ("1,* 2 * * *", DstPolicy::Fixed),
        ("0-59 2 * * *", DstPolicy::Fixed),
        ("0-59/5 0-23 * * *", DstPolicy::Fixed),
        ("~ 2 * * *", DstPolicy::Fixed),
        ("@hourly", DstPolicy::Wildcard),
        ("@every_minute", DstPolicy::Wildcard),
        ("@every_second", DstPolicy::Wildcard),
        ("@daily", DstPolicy::Fixed),
        ("@weekly", DstPolicy::Fixed),
        ("@yearly", DstPolicy::Fixed),
        ("@quartz 0 30 2 * * * *", DstPolicy::Fixed),
        ("@quartz 0 */5 * * * * *", DstPolicy::Wildcard),
    ] {
        assert_eq!(read(text).schedule.style(), style, "{text}");
    }
}

#[test]
fn both_day_fields_count_when_one_begins_with_a_star_and_either_does_otherwise() {
    // In November 2026 the 1st is a Sunday.
    for (text, days) in [
        ("0 0 13 * 5", vec![6, 13, 20, 27]),
        ("0 0 14 * 5", vec![6, 13, 14, 20, 27]),
        ("0 0 */2 * 1", vec![9, 23]),
        ("0 0 *,10 * 1", vec![2, 9, 16, 23, 30]),
        ("0 0 1-31 * 1", (1..=30).collect()),
        ("0 0 1,* * 1", (1..=30).collect()),
        ("0 0 10-16 * */1", vec![10, 11, 12, 13, 14, 15, 16]),
        ("0 0 1-7 * *,1", vec![1, 2, 3, 4, 5, 6, 7]),
        ("0 0 * * *", (1..=30).collect()),
        ("0 0 L * *", vec![30]),
        ("0 0 L-2 * *", vec![28]),
        ("0 0 L-29 * *", vec![1]),
        ("0 0 L,15,L-1 * *", vec![15, 29, 30]),
        ("0 0 1W * *", vec![2]),
        ("0 0 28W * *", vec![27]),
        ("0 0 29W * *", vec![30]),
        ("0 0 15W,LW * *", vec![16, 30]),
        ("0 0 31W * *", vec![]),
        ("0 0 * * friL", vec![27]),
        ("0 0 * * mon#1,mon#5", vec![2, 30]),
        ("0 0 * * sun#5", vec![29]),
        ("0 0 * * tue#5", vec![]),
        ("0 0 * * wed,friL", vec![4, 11, 18, 25, 27]),
        // The shapes are no stars: either field may match.
        ("0 0 L * fri#2", vec![13, 30]),
        ("0 0 */2 * fri#2", vec![13]),
        ("0 0 */2 * mon#1", vec![]),
        ("0 0 L * */2", vec![]),
        ("0 0 L-1 * */2", vec![29]),
    ] {
        let schedule = read(text).schedule;
        let november = chrono::NaiveDate::from_ymd_opt(2026, 11, 1).unwrap();
        let midnight = |day: i64| {
            let day = november + chrono::TimeDelta::days(day - 1);
            crate::schedule::LocalMinute(day.and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp() / 60)
        };
        let found: Vec<i64> = (1..=30).filter(|day| schedule.matches(midnight(*day))).collect();
        assert_eq!(found, days, "{text}");
        // The search finds the same days.
        let mut searched = Vec::new();
        let mut at = schedule.next_match(crate::schedule::LocalMinute(midnight(1).0 - 1));
        while let Some(next) = at.filter(|next| *next <= midnight(30)) {
            searched.push((next.0 - midnight(1).0) / 1440 + 1);
            at = schedule.next_match(next);
        }
        assert_eq!(searched, days, "{text}, searched");
    }
}

#[test]
fn a_fault_has_a_place_and_says_what_was_expected_and_what_was_found() {
    for (text, at, expected, found) in [
        ("0 24 * * *", 2..4, "an hour from 0 to 23", "24"),
        ("60 * * * *", 0..2, "a minute from 0 to 59", "60"),
        ("5;10 * * * *", 1..4, "a blank or a comma after the minute", ";10"),
        ("1.5 * * * *", 1..3, "a blank or a comma after the minute", ".5"),
        ("5. * * * *", 1..2, "a blank or a comma after the minute", "."),
        ("1-2-3 * * * *", 3..5, "a blank or a comma after the minute", "-3"),
        ("*foo * * * *", 1..4, "a blank or a comma after the minute", "foo"),
        ("*- * * * *", 1..2, "a blank or a comma after the minute", "-"),
        ("*/2/3 * * * *", 3..5, "a blank or a comma after the minute", "/3"),
        ("5x * * * *", 0..2, "a minute from 0 to 59", "5x"),
        ("-5 * * * *", 0..2, "a minute from 0 to 59", "-5"),
        ("70-5 * * * *", 0..2, "a minute from 0 to 59", "70"),
        ("5-70 * * * *", 2..4, "a minute from 0 to 59", "70"),
        ("99999999999999999999 * * * *", 0..20, "a minute from 0 to 59", "99999999999999999999"),
        ("4294967296 * * * *", 0..10, "a minute from 0 to 59", "4294967296"),
        ("1,,2 * * * *", 2..3, "a minute from 0 to 59", ","),
        (",1 * * * *", 0..1, "a minute from 0 to 59", ","),
        ("1, * * * *", 2..2, "a minute from 0 to 59", "a blank"),
        ("5/15 * * * *", 0..4, "a range or * before a step", "5/15"),
        ("*/0 * * * *", 2..3, "a step of at least 1", "0"),
        ("*/ * * * *", 2..2, "a step of at least 1", "a blank"),
        ("*/x * * * *", 2..3, "a step of at least 1", "x"),
        ("*/4294967296 * * * *", 2..12, "a step of at least 1", "4294967296"),
        ("0 0 0 * *", 4..5, "a day of the month from 1 to 31", "0"),
        ("0 0 32 * *", 4..6, "a day of the month from 1 to 31", "32"),
        ("0 0 * 13 *", 6..8, "a month from 1 to 12 or jan to dec", "13"),
        ("0 0 * * 8", 8..9, "a day of the week from 0 to 7 or sun to sat", "8"),
        ("0 0 * * sunday", 8..14, "a day of the week from 0 to 7 or sun to sat", "sunday"),
        ("0 0 * * 1#6", 10..11, "a number from 1 to 5 behind #", "6"),
        ("0 0 * * 1#0", 10..11, "a number from 1 to 5 behind #", "0"),
        ("0 0 * * 1#", 10..10, "a number from 1 to 5 behind #", "the end of the line"),
        ("0 0 L-31 * *", 4..8, "a day before the last, L-1 to L-30", "L-31"),
        ("0 0 * * L", 8..9, "a day of the week from 0 to 7 or sun to sat", "L"),
        ("0 0 15WX * *", 4..8, "L, L-3, 15W or LW as a day of the month, 5L or 5#2 as a day of the week", "15WX"),
        ("30~10 * * * *", 0..5, "a range for a random value, the lower value first", "30~10"),
        ("", 0..0, "a minute from 0 to 59", "the end of the line"),
        ("0 0 * *", 7..7, "a day of the week from 0 to 7 or sun to sat", "the end of the line"),
        ("  0 24 * * *", 4..6, "an hour from 0 to 23", "24"),
        ("0 0 * * * *", 10..11, "the end of the schedule", "*"),
        ("@Daily", 0..6, "a nickname such as @daily", "@Daily"),
        ("@fortnightly", 0..12, "a nickname such as @daily", "@fortnightly"),
        ("@", 0..1, "a nickname such as @daily", "@"),
        ("@0", 0..2, "an interval of at least one second: @30s, @5m, @2h or @1d", "@0"),
        ("@5x", 0..3, "an interval of at least one second: @30s, @5m, @2h or @1d", "@5x"),
        ("@99999999d", 0..10, "an interval of at least one second: @30s, @5m, @2h or @1d", "@99999999d"),
        ("@quartz 0 0 12 * *", 18..18, QUARTZ, "the end of the line"),
        ("@quartz 0 0 24 * * ? *", 12..14, "an hour from 0 to 23", "24"),
        ("@quartz 0 0 12 L * ? *", 15..16, "a day of the month from 1 to 31", "L"),
        ("é * * * *", 0..2, "a minute from 0 to 59", "é"),
        ("\u{1} * * * *", 0..1, "a minute from 0 to 59", "\\x01"),
    ] {
        let fault = fault(text);
        assert_eq!((fault.span.clone(), &*fault.expected, &*fault.found), (at, expected, found), "{text}");
    }
}

const QUARTZ: &str = "seven fields: second, minute, hour, day of the month, month, day of the week, year";

#[test]
fn bytes_that_are_no_text_are_a_fault_and_not_a_panic() {
    for bytes in
        [&b"\xff * * * *"[..], b"* * * * \xc3", b"@\xff", b"@quartz \xff * * * * * *", b"0 0 * * 5#\x00", b"~\xff"]
    {
        assert!(Schedule::parse_prefix(bytes, &jitter_key("")).is_err(), "{bytes:?}");
    }
}

#[test]
fn likely_intentions_get_a_help_line() {
    for (text, help) in [
        ("0 24 * * *", "midnight is hour 0"),
        ("60 * * * *", "use minute 0 for the top of the hour"),
        ("0 0 * * sunday", "write sun"),
        ("0 0 * january *", "write jan"),
        ("5/15 * * * *", "write 5-59/15"),
        ("0 4/6 * * *", "write 4-23/6"),
        ("0 0 * * 1/2", "write 1-6/2"),
        ("*/0 * * * *", "for every minute leave the step out"),
        ("5/0 * * * *", "write 5-59/N for every N-th from 5 on, N being 1 or more"),
        ("0 0 ? * 1", "write * for any value"),
        ("H * * * *", "write ~ for a random value that stays the same for this entry"),
        ("0 0 0 * *", "the first day of a month is 1; the last is L"),
        ("0 0 * 0 *", "January is month 1"),
        ("0 0 * * 8", "Sunday is 0 or 7, Saturday is 6"),
        ("0 0 * * L", "write friL for the last Friday of the month"),
        ("0 30 2 * * * true", "a schedule has no field for seconds in front; @quartz and seven fields have one"),
        ("0 */5 * * * *", "a schedule has no field for seconds in front; @quartz and seven fields have one"),
        ("0 0 * *", "a schedule has five fields: minute, hour, day of the month, month, day of the week"),
        ("0 0 * * /bin/true", "a schedule has five fields: minute, hour, day of the month, month, day of the week"),
        ("@Daily", "nicknames are written in lower case: @daily"),
        ("@minutely", "write @every_minute"),
    ] {
        assert_eq!(fault(text).help.as_deref(), Some(help), "{text}");
    }
}

#[test]
fn odd_schedules_are_taken_with_a_caution() {
    for (text, at, message) in [
        ("*/60 * * * *", 0..4, "the step 60 is beyond the range: only 0 matches"),
        ("0-5/10 * * * *", 0..6, "the step 10 is beyond the range: only 0 matches"),
        ("0 0 */31 * *", 4..8, "the step 31 is beyond the range: only 1 matches"),
        ("5-0 * * * *", 0..3, "this schedule never matches: the range 5-0 runs backwards and matches nothing"),
        ("50-10,3 * * * *", 0..5, "the range 50-10 runs backwards and matches nothing"),
        ("0 0 * * 5-1", 8..11, "this schedule never matches: the range 5-1 runs backwards and matches nothing"),
        ("0 0 30 2 *", 0..10, "this schedule never matches"),
        (" 0 0 31 4,6,9,11 *", 1..18, "this schedule never matches"),
        ("0 0 31W 2 *", 0..11, "this schedule never matches"),
        ("0 0 L-30 2 *", 0..12, "this schedule never matches"),
        ("@quartz 0 0 0 30 2 ? *", 0..22, "this schedule never matches"),
    ] {
        let warnings = read(text).warnings;
        assert_eq!(warnings.len(), 1, "{text}: {warnings:?}");
        assert_eq!((warnings[0].span.clone(), &*warnings[0].message), (at, message), "{text}");
    }
    assert_eq!(read("50-10,3 * * * *").warnings[0].help.as_deref(), Some("write 50-59,0-10 to go past the end"));
    for text in
        ["*/59 * * * *", "0 0 31 2 1", "0 0 29 2 1", "0 0 29 2 */7", "0 0 * * */7", "@reboot", "@5", "0 0 31 * *"]
    {
        let prefix = read(text);
        assert!(prefix.warnings.is_empty() && !prefix.schedule.never_matches(), "{text}: {:?}", prefix.warnings);
    }
    assert!(read("0 0 31 2 *").schedule.never_matches());
}

#[test]
fn a_prefix_ends_with_the_last_byte_of_the_schedule() {
    for (text, len) in [
        ("0 0 * * * /bin/true", 9),
        ("0\t0 *  * mon-fri\troot x", 16),
        ("@daily  cmd", 6),
        ("@5m cmd", 3),
        ("@quartz 0 0 12 * * ? * cmd", 22),
        ("* * * * *", 9),
    ] {
        assert_eq!(Schedule::parse_prefix(text.as_bytes(), &jitter_key(text)).unwrap().len, len, "{text}");
    }
}

#[test]
fn families_are_told_apart() {
    for (text, kind) in [
        ("* * * * *", Kind::Calendar),
        ("@every_second", Kind::Calendar),
        ("@quartz 0 0 12 * * ? *", Kind::Calendar),
        ("@reboot", Kind::Reboot),
        ("@after backup", Kind::After),
        ("@after  backup,root:upload", Kind::After),
        ("@30", Kind::Interval { seconds: 30 }),
        ("@30s", Kind::Interval { seconds: 30 }),
        ("@5m", Kind::Interval { seconds: 300 }),
        ("@2h", Kind::Interval { seconds: 7200 }),
        ("@1d", Kind::Interval { seconds: 86_400 }),
    ] {
        assert_eq!(read(text).schedule.kind(), kind, "{text}");
    }
}

/// Numbers beside the bounds of integer types, and what some parsers take for a number.
fn numbers_of_bad_intent() -> Vec<String> {
    let bounds = [31, 32, 63, 64].into_iter().flat_map(|bits| [-1, 0, 1].map(|beside| (1i128 << bits) + beside));
    let mut numbers: Vec<String> = bounds.map(|number| number.to_string()).collect();
    numbers.extend(["-1", "+5", "1e9", "0x10", "\u{663}"].map(str::to_owned));
    numbers.push("9".repeat(10_000));
    numbers
}

#[test]
fn a_huge_number_is_refused_in_every_place_and_a_huge_step_matches_the_first_value_only() {
    let in_field = |place: usize, field: &str| {
        let mut fields = ["*"; 5];
        fields[place] = field;
        fields.join(" ")
    };
    for number in numbers_of_bad_intent() {
        for place in 0..5 {
            for field in ["N", "1-N", "N-5", "1,N", "1~N", "N~5", "1-N/2", "L-N", "NW", "NL", "N#1", "1#N"] {
                let text = in_field(place, &field.replace('N', &number));
                assert!(Schedule::parse(&text, &jitter_key(&text)).is_err(), "{text:.100}");
            }
            for (step, first) in [("*/N", "*/1000"), ("1-5/N", "1-5/1000"), ("1-1/N", "1")] {
                let text = in_field(place, &step.replace('N', &number));
                let Ok(prefix) = Schedule::parse(&text, &jitter_key(&text)) else { continue };
                assert!(number.parse::<u32>().is_ok(), "{text:.100}");
                assert_eq!(prefix.schedule, read(&in_field(place, first)).schedule, "{text:.100}");
            }
            let text = in_field(place, &format!("~/{number}"));
            if let Ok(prefix) = Schedule::parse(&text, &jitter_key(&text)) {
                assert!(number.parse::<u32>().is_ok() && !prefix.schedule.never_matches(), "{text:.100}");
            }
        }
        for text in ["@N", "@Ns", "@Nd"].map(|text| text.replace('N', &number)) {
            let Ok(prefix) = Schedule::parse(&text, &jitter_key(&text)) else { continue };
            let Kind::Interval { seconds } = prefix.schedule.kind() else { panic!("{text:.100}") };
            assert_eq!(Ok(seconds), number.parse(), "{text:.100}");
        }
    }
}

/// The minutes of an hour (and, for the other fields, whatever `at` picks) that a schedule matches.
fn minutes(schedule: &Schedule) -> Vec<i64> {
    (0..60).filter(|minute| schedule.matches(crate::schedule::LocalMinute(*minute))).collect()
}

#[test]
fn sunday_is_drawn_as_often_as_every_other_day() {
    for job in 0..100 {
        let entry = format!("job {job}");
        let drawn = |text: &str| {
            let seed = JitterKey { host: HostKey(7), table: "alice", entry: entry.as_bytes() };
            Schedule::parse(text, &seed).unwrap().schedule
        };
        assert_eq!(drawn("0 0 * * 0~7"), drawn("0 0 * * 0~6"), "{entry}");
    }
}

#[test]
fn draws_stay_in_their_range_and_keep_their_spacing() {
    let mut seen = std::collections::BTreeSet::new();
    let mut pairs = 0;
    for job in 0..500 {
        let draw = |text: &str| {
            let entry = format!("{text} job {job}");
            let prefix =
                Schedule::parse(text, &JitterKey { host: HostKey(7), table: "alice", entry: entry.as_bytes() });
            minutes(&prefix.unwrap().schedule)
        };
        for (text, range) in
            [("~ * * * *", 0..=59), ("10~20 * * * *", 10..=20), ("50~ * * * *", 50..=59), ("~5 * * * *", 0..=5)]
        {
            let drawn = draw(text);
            assert!(drawn.len() == 1 && range.contains(&drawn[0]), "{text}: {drawn:?}");
            assert_eq!(drawn, draw(text), "{text} is stable");
        }
        seen.extend(draw("~ * * * *"));
        for (text, step) in [("~/20 * * * *", 20), ("0~59/20 * * * *", 20)] {
            let drawn = draw(text);
            assert_eq!(drawn, [drawn[0], drawn[0] + step, drawn[0] + 2 * step], "{text}");
        }
        let two = draw("0~29,0~29 * * * *");
        assert!(!two.is_empty() && two.len() <= 2 && two.iter().all(|minute| *minute < 30), "{two:?}");
        pairs += usize::from(two.len() == 2);
    }
    assert!(
        pairs > 450,
        "two draws of one field are equal as often as chance has it, not {} times of 500",
        500 - pairs
    );
    assert_eq!(seen.len(), 60, "every minute is drawn for some entry");
}
