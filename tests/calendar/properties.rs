//! Properties of the search for the next due moment.

use crate::reference::{beats, due};
use crate::spec::{Language, Spec};
use chrono::{DateTime, Utc};
use cronwheel::schedule::{HostKey, JitterKey, LocalMinute, Schedule, Timestamp, Zone};
use fastrand::Rng;
use std::str::FromStr;

const SEED: u64 = 20_261_122;
const DAY: i64 = 86_400;
const YEAR: i64 = 365 * DAY;

/// Zones with every kind of edge; the rules are made up, for edges that no government has thought of yet: three
/// minutes, four hours, summer time of an hour and a half, seconds.
fn zones() -> Vec<Zone> {
    const NAMES: [&str; 16] = [
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "America/Sao_Paulo",
        "Pacific/Apia",
        "Africa/Casablanca",
        "Antarctica/Troll",
        "Asia/Kathmandu",
        "Africa/Monrovia",
        "Pacific/Kwajalein",
        "Asia/Tehran",
        "America/St_Johns",
        "Europe/Dublin",
        "Africa/Cairo",
        "Asia/Pyongyang",
        "UTC",
    ];
    const RULES: [&str; 8] = [
        "AAA0BBB-0:03,M3.5.0,M10.5.0/2:03",
        "AAA0BBB-4,M3.5.0,M10.5.0/5",
        "AAA0BBB-3,M3.5.0,M10.5.0/5",
        "AAA0BBB-1,J60/2,J60/4",
        "AAA0BBB-1,J60/2,J60/3:30",
        "AAA0BBB-0:00:40,M3.5.0/2:00:10,M10.5.0/3:00:50",
        "AAA0BBB-2:10:20,M3.5.0/2:00:10,M10.5.0/3:00:50",
        "AAA5BBB,M3.2.0,M11.1.0",
    ];
    let named = NAMES.iter().map(|name| Zone::embedded(name).unwrap());
    named.chain(RULES.iter().map(|rule| Zone::from_posix(rule).unwrap())).collect()
}

/// A random second from 1970 to 2037.
fn moment(rng: &mut Rng) -> i64 {
    rng.i64(0..68 * YEAR)
}

/// A random window: half of them begin shortly before a change of the zone's offset.
fn window_start(rng: &mut Rng, zone: &Zone) -> i64 {
    let from = moment(rng);
    match zone.next_transition(Timestamp(from)).filter(|_| rng.bool()) {
        Some(change) => change.at.0 - rng.i64(0..4 * DAY),
        None => from,
    }
}

#[test]
fn the_next_due_moment_is_the_one_that_a_look_at_every_minute_of_400_days_finds() {
    let mut rng = Rng::with_seed(SEED);
    let mut cases = 0;
    for zone in zones() {
        for _ in 0..3 {
            let from = window_start(&mut rng, &zone);
            let to = from + 400 * DAY;
            // Two days ahead, so that no clock is held back when the comparison begins.
            let beats = beats(&zone, from - 2 * DAY, to);
            for _ in 0..15 {
                let spec = Spec::random(&mut rng, Language::Full);
                let schedule = spec.schedule();
                let due = due(&spec, &beats);
                for _ in 0..1000 {
                    let after = match due.len() {
                        // At a due moment, just before and just after it, and anywhere.
                        1.. if rng.bool() => (due[rng.usize(..due.len())] + rng.i64(-2..2)).clamp(from, to),
                        _ => rng.i64(from..to),
                    };
                    let wanted = due.get(due.partition_point(|at| *at <= after)).copied();
                    let found = schedule.next_after(Timestamp(after), &zone, None).map(|at| at.0);
                    assert_eq!(
                        found.filter(|at| *at <= to),
                        wanted,
                        "{:?} in {} after {} (seed {SEED})",
                        spec.text,
                        zone.name(),
                        Timestamp(after)
                    );
                    cases += 1;
                }
            }
        }
    }
    assert!(cases >= 1_000_000, "only {cases} cases");
}

#[test]
fn the_crate_cron_agrees_where_the_languages_coincide() {
    let mut rng = Rng::with_seed(SEED);
    let utc = Zone::utc();
    let end_of_crate = DateTime::parse_from_rfc3339("2101-01-01T00:00:00Z").unwrap().timestamp();
    let mut cases = 0;
    while cases < 1_000_000 {
        let spec = Spec::random(&mut rng, Language::Shared);
        let ours = spec.schedule();
        let theirs = cron::Schedule::from_str(&spec.for_crate_cron()).unwrap();
        let mut at = Timestamp(moment(&mut rng));
        let start: DateTime<Utc> = DateTime::from_timestamp(at.0, 0).unwrap();
        let mut iterator = theirs.after(&start);
        for _ in 0..40 {
            let found = ours.next_after(at, &utc, None).filter(|at| at.0 < end_of_crate);
            let wanted = iterator.next().map(|at| Timestamp(at.timestamp()));
            assert_eq!(found, wanted, "{:?} after {at} (seed {SEED})", spec.text);
            cases += 1;
            let Some(next) = found else { break };
            at = next;
        }
    }
}

#[test]
fn due_moments_are_strictly_increasing_and_none_lies_between() {
    let mut rng = Rng::with_seed(SEED);
    let zones = zones();
    let mut cases = 0;
    while cases < 1_000_000 {
        let zone = &zones[rng.usize(..zones.len())];
        let spec = Spec::random(&mut rng, Language::Full);
        let schedule = spec.schedule();
        let mut at = Timestamp(window_start(&mut rng, zone));
        for _ in 0..25 {
            cases += 1;
            let Some(next) = schedule.next_after(at, zone, None) else { break };
            assert!(next > at, "{:?} in {} after {at}: {next} (seed {SEED})", spec.text, zone.name());
            // Whoever asks from anywhere in between, or from one second before, hears the same.
            for between in [rng.i64(at.0..next.0), next.0 - 1] {
                let again = schedule.next_after(Timestamp(between), zone, None);
                assert_eq!(again, Some(next), "{:?} in {} after {between} (seed {SEED})", spec.text, zone.name());
            }
            at = next;
        }
    }
}

#[test]
fn whatever_text_comes_the_answer_has_its_place_in_it() {
    const PIECES: [&str; 40] = [
        "*",
        "*",
        "*",
        " ",
        " ",
        " ",
        " ",
        "\t",
        ",",
        "-",
        "/",
        "~",
        "#",
        "L",
        "W",
        "LW",
        "0",
        "5",
        "7",
        "31",
        "59",
        "60",
        "99",
        "mon",
        "fri",
        "jan",
        "sunday",
        "@",
        "@daily",
        "@quartz",
        "@5m",
        "?",
        "H",
        "%",
        ";",
        "é",
        "\u{0}",
        "4294967296",
        "2027",
        "x",
    ];
    let mut rng = Rng::with_seed(SEED);
    let mut taken = 0;
    for _ in 0..1_000_000 {
        let text: String = (0..rng.usize(1..14)).map(|_| PIECES[rng.usize(..PIECES.len())]).collect();
        let seed = JitterKey { host: HostKey(7), table: "alice", entry: text.as_bytes() };
        match Schedule::parse_prefix(text.as_bytes(), &seed) {
            Ok(prefix) => {
                taken += 1;
                assert!(prefix.len <= text.len() && text.is_char_boundary(prefix.len), "{text:?} (seed {SEED})");
                let mut spans = prefix.warnings.iter().map(|warning| &warning.span);
                assert!(spans.all(|span| text.get(span.clone()).is_some()), "{text:?} (seed {SEED})");
                // The schedule ends where it says: what follows has no part in it.
                let again = Schedule::parse_prefix(&text.as_bytes()[..prefix.len], &seed).unwrap();
                assert_eq!(again.schedule, prefix.schedule, "{text:?} (seed {SEED})");
                let never = prefix.schedule.never_matches();
                assert!(!never || !prefix.warnings.is_empty(), "{text:?} never matches, unsaid (seed {SEED})");
            }
            Err(fault) => {
                assert!(text.get(fault.span.clone()).is_some(), "{text:?}: {fault:?} (seed {SEED})");
                assert!(!fault.expected.is_empty() && !fault.found.is_empty(), "{text:?}: {fault:?} (seed {SEED})");
            }
        }
    }
    assert!(taken > 1000, "only {taken} of the texts were schedules");
}

#[test]
fn the_calendar_alone_agrees_with_the_sets() {
    let mut rng = Rng::with_seed(SEED);
    let mut cases = 0;
    while cases < 1_000_000 {
        let spec = Spec::random(&mut rng, Language::Full);
        let schedule = spec.schedule();
        let mut minute = moment(&mut rng) / 60;
        for _ in 0..100 {
            let at = DateTime::from_timestamp(minute * 60, 0).unwrap();
            let wanted = spec.has_time((minute % 1440) as u32) && spec.has_date(at.date_naive());
            assert_eq!(schedule.matches(LocalMinute(minute)), wanted, "{:?} at {at} (seed {SEED})", spec.text);
            let next = schedule.next_match(LocalMinute(minute - 1)).map(|next| next.0);
            assert_eq!(next == Some(minute), wanted, "{:?} at {at} (seed {SEED})", spec.text);
            // Half of the minutes are matches, half are a random way behind one.
            minute = next.unwrap_or(minute) + if rng.bool() { 0 } else { rng.i64(1..5000) };
            cases += 1;
        }
    }
}
