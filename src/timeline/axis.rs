//! The axis of a timeline: a range of time, in the time of a zone whose clocks may change within it.

use crate::schedule::{Timestamp, Zone};
use chrono::{DateTime, NaiveDateTime};

pub(super) const MINUTE: i64 = 60;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// Changes of the clocks that are searched for in a range. Zones have two a year.
const MOST_CHANGES: usize = 32;

/// A half-open range of time, in whole minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Its first second.
    pub from: Timestamp,
    /// The first second after it.
    pub until: Timestamp,
}

/// A moment within a range at which the clocks are set forward or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockChange {
    /// The first second of the new offset.
    pub at: Timestamp,
    /// Seconds east of UTC before the change.
    pub before: i32,
    /// Seconds east of UTC from then on.
    pub after: i32,
}

impl Range {
    /// The range between two moments, extended to whole minutes. It lasts a minute at least.
    pub fn of(from: Timestamp, until: Timestamp) -> Range {
        let from = from.0.div_euclid(MINUTE) * MINUTE;
        let until = until.0.saturating_add(MINUTE - 1).div_euclid(MINUTE) * MINUTE;
        Range { from: Timestamp(from), until: Timestamp(until.max(from + MINUTE)) }
    }

    /// The length of the range in seconds.
    pub fn seconds(self) -> i64 {
        self.until.0 - self.from.0
    }

    /// The length of the range in whole minutes.
    pub fn minutes(self) -> usize {
        usize::try_from(self.seconds() / MINUTE).unwrap_or(0)
    }

    /// Whether a moment is in it.
    pub fn has(self, at: Timestamp) -> bool {
        self.from <= at && at < self.until
    }

    /// The beginning of a minute, counted from the beginning of the range.
    pub(super) fn moment(self, minute: usize) -> Timestamp {
        Timestamp(self.from.0.saturating_add(i64::try_from(minute).unwrap_or(i64::MAX / MINUTE) * MINUTE))
    }

    /// The minute of a moment, counted from the beginning of the range.
    pub(super) fn minute_of(self, at: Timestamp) -> Option<usize> {
        self.has(at).then(|| usize::try_from((at.0 - self.from.0) / MINUTE).unwrap_or(0))
    }

    /// The cell of a moment if the range is divided into `cells`. Moments outside have the nearest.
    pub(super) fn cell_of(self, at: Timestamp, cells: usize) -> usize {
        let cells = i64::try_from(cells).unwrap_or(i64::MAX).max(1);
        let offset = (at.0 - self.from.0).clamp(0, self.seconds() - 1);
        let cell = i128::from(offset) * i128::from(cells) / i128::from(self.seconds());
        usize::try_from(cell).unwrap_or(0)
    }

    /// The first second of a cell.
    pub(super) fn cell_start(self, cell: usize, cells: usize) -> Timestamp {
        let cell = i128::try_from(cell).unwrap_or(0);
        let cells = i128::try_from(cells).unwrap_or(1).max(1);
        let offset = (cell * i128::from(self.seconds()) + cells - 1) / cells;
        Timestamp(self.from.0.saturating_add(i64::try_from(offset).unwrap_or(0)))
    }

    /// How far a moment is from the beginning, as a share of the length. Moments outside are moved to the nearer end.
    pub(super) fn share(self, at: Timestamp) -> f64 {
        (at.0 - self.from.0).clamp(0, self.seconds()) as f64 / self.seconds() as f64
    }

    /// The changes of the clocks within it.
    pub fn changes(self, zone: &Zone) -> Vec<ClockChange> {
        let mut after = Timestamp(self.from.0 - 1);
        let mut found = Vec::new();
        while found.len() < MOST_CHANGES
            && let Some(next) = zone.next_transition(after).filter(|next| next.at < self.until && next.at > after)
        {
            if next.before != next.after {
                found.push(ClockChange { at: next.at, before: next.before, after: next.after });
            }
            after = next.at;
        }
        found
    }
}

impl ClockChange {
    /// Whether local times are left out. Otherwise some come twice.
    pub fn is_gap(self) -> bool {
        self.after > self.before
    }

    /// By how many seconds the clocks are set.
    pub fn size(self) -> i64 {
        i64::from(self.after.abs_diff(self.before))
    }

    /// The local times that are left out or come twice, from the first to the one behind the last: `02:00` and `03:00`.
    pub fn local_times(self) -> (String, String) {
        let low = i64::from(self.before.min(self.after));
        let at = |offset: i64| local_at(self.at.0 + offset).format("%H:%M").to_string();
        (at(low), at(low + self.size()))
    }

    /// The times that come twice: both passes. None for a gap.
    pub(super) fn repeated(self) -> Option<(Timestamp, Timestamp)> {
        (!self.is_gap()).then(|| (Timestamp(self.at.0 - self.size()), Timestamp(self.at.0 + self.size())))
    }
}

/// What the clocks of a zone show.
pub(super) fn local(at: Timestamp, zone: &Zone) -> NaiveDateTime {
    local_at(at.0.saturating_add(i64::from(zone.offset_at(at))))
}

fn local_at(seconds: i64) -> NaiveDateTime {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default().naive_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn every_second_has_a_cell_and_cells_begin_where_they_say() {
        for (minutes, cells) in [(60, 80), (1_440, 57), (10_080, 46), (1, 1), (527_040, 480)] {
            let range = Range { from: Timestamp(600), until: Timestamp(600 + minutes * 60) };
            for cell in 0..cells {
                let start = range.cell_start(cell, cells);
                assert_eq!(range.cell_of(start, cells), cell, "{minutes} over {cells}");
                assert!(cell == 0 || range.cell_of(Timestamp(start.0 - 1), cells) == cell - 1);
            }
        }
    }

    #[test]
    fn clock_changes_have_the_local_times_that_are_missing_or_come_twice() {
        let berlin = Zone::embedded("Europe/Berlin").unwrap();
        let year = Range { from: at("2026-01-01T00:00:00Z"), until: at("2027-01-01T00:00:00Z") };
        let changes = year.changes(&berlin);
        let told: Vec<_> = changes.iter().map(|change| (change.is_gap(), change.local_times())).collect();
        let hour = || ("02:00".to_owned(), "03:00".to_owned());
        assert_eq!(told, [(true, hour()), (false, hour())]);
        assert_eq!(changes[1].repeated(), Some((at("2026-10-25T00:00:00Z"), at("2026-10-25T02:00:00Z"))));
        assert_eq!(year.changes(&Zone::utc()), []);
        let howe = Zone::embedded("Australia/Lord_Howe").unwrap();
        assert_eq!(year.changes(&howe)[1].local_times(), ("02:00".to_owned(), "02:30".to_owned()));
    }
}
