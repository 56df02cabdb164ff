//! Any bytes as a calendar file: the days are those of its lines, in order and apart from each other, or the first faulty line is named.

use cronwheel::crontab::{Calendars, parse_calendar};
use cronwheel::schedule::Day;

pub fn run(input: &[u8]) {
    let found = parse_calendar(input);
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let wanted: Vec<Option<Vec<(Day, Day)>>> = lines.iter().map(|line| days(line)).collect();
    match &found {
        Err(fault) => {
            let first = wanted.iter().position(Option::is_none);
            assert_eq!(first.map(|index| index + 1), Some(fault.line));
            assert!(fault.to_string().lines().count() == 1);
        }
        Ok(merged) => {
            assert!(merged.iter().all(|(first, last)| first <= last));
            assert!(merged.is_sorted_by(|before, after| before.1 < after.0), "{merged:?}");
            let mut calendars = Calendars::default();
            calendars.insert("fuzz", merged.clone());
            let ranges: Vec<(Day, Day)> = wanted.into_iter().flat_map(|days| days.expect("no faulty line")).collect();
            for day in ranges.iter().flat_map(|(first, last)| [*first, *last]) {
                assert!(calendars.has_day("fuzz", day));
            }
            for (first, last) in merged {
                assert!(ranges.iter().any(|range| range.0 == *first) && ranges.iter().any(|range| range.1 == *last));
            }
            assert!(!calendars.has_day("other", Day::parse_iso(b"2026-11-27").unwrap()));
        }
    }
}

/// The days of a line; none for a line without any. `None`: it is faulty.
fn days(line: &[u8]) -> Option<Vec<(Day, Day)>> {
    let end = line.iter().position(|byte| *byte == b'#').unwrap_or(line.len());
    let text = line[..end].trim_ascii();
    if text.is_empty() {
        return Some(Vec::new());
    }
    let day = |text: &[u8]| Day::parse_iso(text).filter(|_| text.len() == 10);
    let (first, last) = match text.len() {
        22 if &text[10..12] == b".." => (day(&text[..10])?, day(&text[12..])?),
        _ => (day(text)?, day(text)?),
    };
    (first <= last).then(|| vec![(first, last)])
}
