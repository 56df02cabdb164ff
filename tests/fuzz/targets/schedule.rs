//! Any text as a schedule: what crontab(5) describes means what a slow second reading of the page gives, in every zone, gaps and folds included;
//! of everything else, messages have their places in the text, and due moments lie ahead and can be asked for from anywhere.

use super::classic::{self, Classic, Fields};
use super::input::Input;
use crate::reference::{Beat, beats, due};
use crate::spec::Spec;
use chrono::Datelike;
use cronwheel::schedule::{
    HostKey, JitterKey, Kind, LocalMinute, Schedule, Timestamp, Zone, dst_warnings, explain, explain_as_written,
};
use std::sync::LazyLock;

const DAY: i64 = 86_400;
/// The days around a change of a zone's offset that are played minute by minute.
const WINDOW: i64 = 8 * DAY;

/// A zone with the beats of its clocks around a change.
struct Window {
    zone: Zone,
    from: i64,
    beats: Vec<Beat>,
}

static WINDOWS: LazyLock<Vec<Window>> = LazyLock::new(|| {
    let named =
        ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia", "UTC"];
    let rules =
        ["AAA0BBB-0:03,M3.5.0,M10.5.0/2:03", "AAA0BBB-4,M3.5.0,M10.5.0/5", "AAA0BBB-0:00:40,M3.5.0/2:00:10,M10.5.0/3"];
    let zones = named.iter().map(|name| Zone::embedded(name).unwrap());
    let mut windows = Vec::new();
    for zone in zones.chain(rules.iter().map(|rule| Zone::from_posix(rule).unwrap())) {
        // Two changes, one of each direction in most zones; Apia left out a whole day at the end of 2011.
        let mut at = Timestamp(if zone.name() == "Pacific/Apia" { 1_325_000_000 } else { 1_790_000_000 });
        for _ in 0..2 {
            let change = zone.next_transition(at).map_or(at, |change| change.at);
            let from = change.0 - WINDOW / 2;
            windows.push(Window { zone: zone.clone(), from, beats: beats(&zone, from - 2 * DAY, from + WINDOW) });
            at = change;
        }
    }
    windows
});

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let (window, after) = (input.byte(), input.number());
    let text = input.0;
    let window = &WINDOWS[usize::from(window) % WINDOWS.len()];
    let seed = JitterKey { host: HostKey(1), table: "fuzz", entry: text };
    let found = Schedule::parse_prefix(text, &seed);
    match &found {
        Ok(prefix) => {
            assert!(prefix.len <= text.len());
            assert!(
                prefix
                    .warnings
                    .iter()
                    .all(|warning| warning.span.start <= warning.span.end && warning.span.end <= text.len())
            );
            // The schedule ends where it says: what follows has no part in it.
            let again = Schedule::parse_prefix(&text[..prefix.len], &seed).expect("the same schedule");
            assert_eq!(again.schedule, prefix.schedule);
            let english = [explain(&prefix.schedule), explain_as_written(prefix)];
            assert!(english.iter().all(|words| !words.is_empty() && words.len() < 10_000 && !words.contains('\n')));
            moments(&prefix.schedule, window, Timestamp(i64::from(after)));
            if dst_warnings(&prefix.schedule, &window.zone, Timestamp(i64::from(after))).len() > 2 {
                panic!("more warnings than changes in a year");
            }
        }
        Err(fault) => {
            assert!(fault.span.start <= fault.span.end && fault.span.end <= text.len() + 1);
            assert!(!fault.expected.is_empty() && !fault.found.is_empty() && fault.found.len() < 500);
        }
    }
    if let Ok(text) = std::str::from_utf8(text)
        && !text.starts_with([' ', '\t'])
        && let Some(classic) = classic::read(text)
    {
        let prefix = found.unwrap_or_else(|fault| panic!("{text:?} is refused: {fault:?}"));
        assert!(text[prefix.len..].trim_matches([' ', '\t']).is_empty(), "{text:?} is read to {}", prefix.len);
        match classic {
            Classic::Reboot => assert_eq!(prefix.schedule.kind(), Kind::Reboot),
            Classic::Fields(fields) => equal(text, &prefix.schedule, &fields, window, i64::from(after)),
        }
    }
}

/// Whether due moments lie ahead, in order, with none between.
fn moments(schedule: &Schedule, window: &Window, after: Timestamp) {
    for after in [after, Timestamp(window.from + after.0 % WINDOW)] {
        let next = schedule.next_after(after, &window.zone, None);
        assert!(next.is_none_or(|next| next > after));
        if schedule.never_matches() || matches!(schedule.kind(), Kind::Reboot | Kind::After) {
            assert_eq!(next, None);
        }
        if let (Some(next), Kind::Calendar) = (next, schedule.kind()) {
            let between = Timestamp(after.0 + (next.0 - after.0) / 2);
            for from in [between, Timestamp(next.0 - 1)] {
                assert_eq!(schedule.next_after(from, &window.zone, None), Some(next), "after {from}");
            }
        }
    }
}

/// Whether a schedule has the minutes of the slow reading.
fn equal(text: &str, schedule: &Schedule, fields: &Fields, window: &Window, after: i64) {
    for minute in (0..200).map(|nth| after / 60 + nth * 7_919) {
        let at = chrono::DateTime::from_timestamp(minute * 60, 0).unwrap();
        let of_day = (minute % 1440) as u32;
        let wanted = fields.has_time(of_day / 60, of_day % 60)
            && fields.has_date(at.day(), at.month(), at.weekday().num_days_from_sunday());
        assert_eq!(schedule.matches(LocalMinute(minute)), wanted, "{text:?} at {at}");
    }
    // A field without values cannot be written in numbers.
    if fields.fields.iter().any(|field| field.values.is_empty()) {
        return;
    }
    let spec = Spec::read(&fields.in_numbers());
    let from = Timestamp(window.from);
    let found = std::iter::successors(schedule.next_after(from, &window.zone, None), |at| {
        schedule.next_after(*at, &window.zone, None)
    });
    let found: Vec<i64> = found.map(|at| at.0).take_while(|at| *at <= window.from + WINDOW).collect();
    let wanted: Vec<i64> = due(&spec, &window.beats).into_iter().filter(|at| *at > window.from).collect();
    assert_eq!(found, wanted, "{text:?}, which is {}, in {}", spec.text, window.zone.name());
}
