//! How times, durations and counts are said on a timeline.

use super::axis::{ClockChange, DAY, HOUR, MINUTE, Range, local};
use crate::schedule::{Timestamp, Zone};

/// A moment in local time: `03:00`, with the day on a longer axis, with the offset where local times come twice.
pub(super) fn when(at: Timestamp, range: Range, zone: &Zone, changes: &[ClockChange]) -> String {
    let form = match range.seconds() {
        ..=DAY => "%H:%M",
        seconds if seconds <= 60 * DAY => "%a %-d %b %H:%M",
        _ => "%-d %b %Y %H:%M",
    };
    local(at, zone).format(form).to_string() + &offset_where_ambiguous(at, zone, changes)
}

/// The same with seconds, for the times of runs.
pub(super) fn when_exactly(at: Timestamp, range: Range, zone: &Zone, changes: &[ClockChange]) -> String {
    let form = match range.seconds() {
        ..=DAY => "%H:%M:%S",
        _ => "%a %-d %b %H:%M:%S",
    };
    local(at, zone).format(form).to_string() + &offset_where_ambiguous(at, zone, changes)
}

/// The offset from UTC of a time that comes twice, else nothing: `+02`, `-03:30`.
fn offset_where_ambiguous(at: Timestamp, zone: &Zone, changes: &[ClockChange]) -> String {
    let is_ambiguous = |change: &ClockChange| change.repeated().is_some_and(|(from, until)| from <= at && at < until);
    if !changes.iter().any(is_ambiguous) {
        return String::new();
    }
    let minutes = zone.offset_at(at) / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    match (minutes.abs() / 60, minutes.abs() % 60) {
        (hours, 0) => format!("{sign}{hours:02}"),
        (hours, minutes) => format!("{sign}{hours:02}:{minutes:02}"),
    }
}

/// A moment with weekday and date: `Mon 2026-11-23 03:00`.
pub(super) fn date_and_time(at: Timestamp, zone: &Zone) -> String {
    local(at, zone).format("%a %Y-%m-%d %H:%M").to_string()
}

/// A day: `Sun 2026-03-29`.
pub(super) fn day(at: Timestamp, zone: &Zone) -> String {
    local(at, zone).format("%a %Y-%m-%d").to_string()
}

/// A time of the day: `03:00`.
pub(super) fn time(at: Timestamp, zone: &Zone) -> String {
    local(at, zone).format("%H:%M").to_string()
}

/// A long time: `50 min`, `3 h 20 min`, `2 d 5 h`.
pub(super) fn length(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / DAY, seconds % DAY / HOUR, seconds % HOUR / MINUTE);
    match (days, hours, minutes) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, 0, _) => format!("{days} d"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// A number with its noun, thousands separated: `1 start`, `12,345 starts`.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

/// `12,345`
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 start`, `3 starts`
pub(super) fn starts(number: u64) -> String {
    count(number, "start", "starts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_two_units_at_most() {
        let told = [3_000, 3_600, 12_000, 86_400, 180_000].map(length);
        assert_eq!(told, ["50 min", "1 h", "3 h 20 min", "1 d", "2 d 2 h"]);
    }

    #[test]
    fn thousands_are_separated() {
        assert_eq!([7, 999, 1_000, 1_234_567].map(thousands), ["7", "999", "1,000", "1,234,567"]);
        assert_eq!((starts(1), starts(2_000)), ("1 start".to_owned(), "2,000 starts".to_owned()));
    }

    #[test]
    fn a_time_that_comes_twice_is_told_with_its_offset() {
        let berlin = Zone::embedded("Europe/Berlin").unwrap();
        let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
        let range = Range { from: at("2026-10-24T22:00:00Z"), until: at("2026-10-25T04:00:00Z") };
        let changes = range.changes(&berlin);
        for (moment, told) in [
            ("2026-10-24T23:30:00Z", "01:30"),
            ("2026-10-25T00:30:00Z", "02:30+02"),
            ("2026-10-25T01:30:00Z", "02:30+01"),
            ("2026-10-25T02:00:00Z", "03:00"),
        ] {
            assert_eq!(when(at(moment), range, &berlin, &changes), told);
        }
    }
}
