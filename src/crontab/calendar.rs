//! Calendar files: the days without runs that `CRON_EXCEPT` names.

use crate::schedule::Day;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All calendars that `CRON_EXCEPT` may name, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calendars {
    days: BTreeMap<Arc<str>, Vec<(Day, Day)>>,
}

/// The first line of a calendar file that is neither a date nor a range of dates. The line's text is not kept: whoever reads the message
/// may not be allowed to read the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line}: expected a date such as 2026-12-24, or a range such as 2026-12-24..2026-12-31, found something else"
)]
pub struct FaultyCalendar {
    /// The line in the calendar file, counted from 1.
    pub line: usize,
}

impl Calendars {
    /// Adds a calendar, or replaces the one with that name.
    pub fn insert(&mut self, name: &str, days: Vec<(Day, Day)>) {
        self.days.insert(name.into(), days);
    }

    /// Whether there is a calendar of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.days.contains_key(name)
    }

    /// The names of all calendars.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.days.keys().map(|name| &**name)
    }

    /// Whether a calendar has that day. False if there is no such calendar.
    pub fn has_day(&self, name: &str, day: Day) -> bool {
        self.days.get(name).is_some_and(|days| ranges_have(days, day))
    }
}

/// Parses a calendar file: a date or a range of dates (`FIRST..LAST`, both included) a line; empty lines and what follows a `#` are ignored.
///
/// # Errors
/// The first faulty line.
pub fn parse_calendar(text: &[u8]) -> Result<Vec<(Day, Day)>, FaultyCalendar> {
    let mut days = Vec::new();
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let content = line.split(|&byte| byte == b'#').next().unwrap_or_default().trim_ascii();
        if !content.is_empty() {
            days.push(parse_days(content).ok_or(FaultyCalendar { line: index + 1 })?);
        }
    }
    Ok(merged(days))
}

/// Sorts ranges of days, and makes one of those that overlap.
pub(super) fn merged(mut days: Vec<(Day, Day)>) -> Vec<(Day, Day)> {
    days.sort();
    let mut merged: Vec<(Day, Day)> = Vec::with_capacity(days.len());
    for (first, last) in days {
        match merged.last_mut() {
            Some((_, end)) if first <= *end => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
}

/// Whether one of the ranges, as [`merged`] gives them, has that day.
pub(super) fn ranges_have(merged: &[(Day, Day)], day: Day) -> bool {
    let after = merged.partition_point(|(first, _)| *first <= day);
    after.checked_sub(1).and_then(|index| merged.get(index)).is_some_and(|(_, last)| day <= *last)
}

fn parse_days(text: &[u8]) -> Option<(Day, Day)> {
    let Some(dots) = memchr::memmem::find(text, b"..") else {
        let day = Day::parse_iso(text)?;
        return Some((day, day));
    };
    let (first, last) = (Day::parse_iso(text.get(..dots)?)?, Day::parse_iso(text.get(dots + 2..)?)?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        Day::parse_iso(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_calendar_has_its_dates_and_ranges() {
        let text = b"# public holidays\n2026-12-24\n\n 2026-12-30..2027-01-01 # a range\r\n";
        let mut calendars = Calendars::default();
        calendars.insert("holidays", parse_calendar(text).unwrap());
        for (date, is_there) in [
            ("2026-12-23", false),
            ("2026-12-24", true),
            ("2026-12-29", false),
            ("2026-12-30", true),
            ("2026-12-31", true),
            ("2027-01-01", true),
            ("2027-01-02", false),
        ] {
            assert_eq!(calendars.has_day("holidays", day(date)), is_there, "{date}");
        }
        assert!(!calendars.has_day("others", day("2026-12-24")));
        assert!(!calendars.contains("others"));
    }

    #[test]
    fn a_faulty_line_is_named_without_its_text() {
        for (text, line) in [
            ("2026-12-24\n2026-13-01\n", 2),
            ("2026-12-31..2026-12-24", 1),
            ("\n\nroot:secret:1\n", 3),
            ("2026-12-24 2026-12-25", 1),
            ("2026-12-24...2026-12-25", 1),
            ("24.12.2026", 1),
            ("\u{feff}2026-12-24", 1),
        ] {
            let error = parse_calendar(text.as_bytes()).unwrap_err();
            assert_eq!(error, FaultyCalendar { line }, "{text}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
