//! The data of a timeline: rows of entries over cells of time, starts per minute, crowded minutes and quiet times.

use crate::cli::cronctl::source::Job;
use crate::crontab::printable;
use crate::report::format_count;
use crate::schedule::{Timestamp, Zone};
use std::sync::Arc;

const MINUTE: i64 = 60;

/// A half-open range of time, from whole minute to whole minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    /// The first second of the range.
    pub(super) from: Timestamp,
    /// The first second after it.
    pub(super) until: Timestamp,
}

/// The chart, independent of its output format.
#[derive(Debug)]
pub(super) struct Chart {
    /// The range of time that it shows.
    pub(super) range: Range,
    /// The zone of its labels.
    pub(super) zone: Arc<Zone>,
    /// Entries that run within the range.
    pub(super) rows: Vec<Row>,
    /// The number of entries that do not.
    pub(super) idle: usize,
    /// The number of starts of all entries in each minute.
    pub(super) minutes: Vec<u32>,
    /// For each cell, the highest number of starts in one of its minutes.
    pub(super) peaks: Vec<u32>,
}

/// The label of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    /// The user that the entry runs as.
    pub(super) user: String,
    /// The schedule as it is written.
    pub(super) schedule: String,
    /// The command as it is written.
    pub(super) command: String,
}

/// The row of one entry.
#[derive(Debug)]
pub(super) struct Row {
    /// The label of the row.
    pub(super) label: Label,
    /// The number of starts in each cell.
    pub(super) cells: Vec<u32>,
}

/// A minute with many starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crowded {
    /// The index of the minute in the range.
    pub(super) minute: usize,
    /// The number of starts in it.
    pub(super) starts: u32,
}

/// A tick on the time axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tick {
    /// The index of the minute in the range.
    pub(super) minute: usize,
    /// `03:00`, or `Mon 23` at the beginning of a day.
    pub(super) label: String,
    /// Whether a day begins here.
    pub(super) is_midnight: bool,
}

impl Range {
    /// Its length in minutes.
    pub(super) fn minutes(self) -> usize {
        usize::try_from((self.until.0 - self.from.0) / MINUTE).unwrap_or(0)
    }

    /// The first second of the minute with that index.
    pub(super) fn moment(self, minute: usize) -> Timestamp {
        Timestamp(self.from.0 + i64::try_from(minute).unwrap_or(i64::MAX / MINUTE) * MINUTE)
    }

    /// The index of the minute that contains a time.
    fn minute_of(self, at: Timestamp) -> usize {
        usize::try_from((at.0 - self.from.0) / MINUTE).unwrap_or(0)
    }
}

impl Label {
    /// The label of an entry.
    pub(super) fn of(job: &Job<'_>) -> Label {
        Label {
            user: printable(job.user().as_bytes()),
            schedule: printable(job.schedule_text().as_bytes()),
            command: printable(job.command_bytes()),
        }
    }
}

impl Chart {
    /// Counts the starts of all entries, each with its label and its starts from the beginning of the range on.
    pub(super) fn of<S: Iterator<Item = Timestamp>>(
        jobs: impl Iterator<Item = (Label, S)>,
        range: Range,
        cells: usize,
        zone: Arc<Zone>,
    ) -> Chart {
        let mut chart =
            Chart { range, zone, rows: Vec::new(), idle: 0, minutes: vec![0; range.minutes()], peaks: Vec::new() };
        for (label, starts) in jobs {
            match chart.row(label, starts, cells) {
                Some(row) => chart.rows.push(row),
                None => chart.idle += 1,
            }
        }
        let mut peaks = vec![0; cells];
        for (minute, starts) in chart.minutes.iter().enumerate() {
            if let Some(peak) = peaks.get_mut(cell_of(minute, chart.minutes.len(), cells)) {
                *peak = (*peak).max(*starts);
            }
        }
        chart.peaks = peaks;
        chart
    }

    /// Counts the starts of one entry. None if there are none in the range.
    fn row(&mut self, label: Label, starts: impl Iterator<Item = Timestamp>, cells: usize) -> Option<Row> {
        let until = self.range.until;
        let mut starts = starts.take_while(|at| *at < until).peekable();
        starts.peek()?;
        let mut counted = vec![0; cells];
        for at in starts {
            let minute = self.range.minute_of(at);
            if let Some(starts) = self.minutes.get_mut(minute) {
                *starts += 1;
            }
            if let Some(starts) = counted.get_mut(cell_of(minute, self.minutes.len(), cells)) {
                *starts += 1;
            }
        }
        Some(Row { label, cells: counted })
    }

    /// The highest number of starts in a minute.
    pub(super) fn most(&self) -> u32 {
        self.minutes.iter().copied().max().unwrap_or(0)
    }

    /// The number of starts of all entries.
    pub(super) fn total(&self) -> u64 {
        self.minutes.iter().map(|starts| u64::from(*starts)).sum()
    }

    /// The length of a cell in minutes.
    pub(super) fn minutes_per_cell(&self) -> f64 {
        self.minutes.len() as f64 / self.peaks.len().max(1) as f64
    }

    /// The cell of a minute.
    pub(super) fn cell_of(&self, minute: usize) -> usize {
        cell_of(minute, self.minutes.len(), self.peaks.len())
    }

    /// The number of starts from which a minute is crowded: at least two, half of the maximum, and twice the average.
    pub(super) fn crowd(&self) -> u32 {
        let minutes = u64::try_from(self.minutes.len()).unwrap_or(u64::MAX).max(1);
        let twice_average = u32::try_from((2 * self.total()).div_ceil(minutes)).unwrap_or(u32::MAX);
        self.most().div_ceil(2).max(twice_average).max(2)
    }

    /// The most crowded minutes, in descending order of starts.
    pub(super) fn crowded(&self, most: usize) -> Vec<Crowded> {
        let crowd = self.crowd();
        let mut found: Vec<Crowded> = self
            .minutes
            .iter()
            .enumerate()
            .filter(|(_, starts)| **starts >= crowd)
            .map(|(minute, starts)| Crowded { minute, starts: *starts })
            .collect();
        found.sort_by_key(|crowded| (std::cmp::Reverse(crowded.starts), crowded.minute));
        found.truncate(most);
        found
    }

    /// The longest times without a start, in order of time, as ranges of minutes. They last at least a hundredth of the
    /// chart, and five minutes.
    pub(super) fn quiet(&self, most: usize) -> Vec<std::ops::Range<usize>> {
        let least = (self.minutes.len() / 100).max(5);
        let mut found = Vec::new();
        let mut begin = 0;
        for (minute, starts) in self.minutes.iter().chain([&1]).enumerate() {
            if *starts > 0 {
                if minute - begin >= least {
                    found.push(begin..minute);
                }
                begin = minute + 1;
            }
        }
        found.sort_by_key(|quiet| (std::cmp::Reverse(quiet.len()), quiet.start));
        found.truncate(most);
        found.sort_by_key(|quiet| quiet.start);
        found
    }

    /// Ticks for the axis at round local times, at most `most` of them.
    pub(super) fn ticks(&self, most: usize) -> Vec<Tick> {
        const STEPS: [i64; 14] = [1, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1_440, 2_880, 10_080, 40_320];
        let length = self.minutes.len();
        let fits = |step: &&i64| usize::try_from(**step).is_ok_and(|step| length / step <= most.max(1));
        let step = STEPS.iter().find(fits).copied().unwrap_or(40_320);
        (0..length)
            .filter_map(|minute| {
                let local = self.zone.local_minute(self.range.moment(minute)).0;
                (local.rem_euclid(step) == 0).then(|| self.tick(minute, local))
            })
            .collect()
    }

    fn tick(&self, minute: usize, local: i64) -> Tick {
        let is_midnight = local.rem_euclid(1_440) == 0;
        let label = if is_midnight { self.day(minute) } else { self.time(minute) };
        Tick { minute, label, is_midnight }
    }

    /// The local time of a minute: `03:00`.
    pub(super) fn time(&self, minute: usize) -> String {
        let shown = self.zone.to_rfc3339(self.range.moment(minute));
        shown.get(11..16).unwrap_or_default().to_owned()
    }

    /// The local day of a minute: `Mon 23`.
    fn day(&self, minute: usize) -> String {
        let shown = self.zone.to_rfc3339(self.range.moment(minute));
        format!("{} {}", self.weekday(minute), shown.get(8..10).unwrap_or_default())
    }

    /// The local date and time of a minute: `Mon 2026-11-23 03:00`.
    pub(super) fn date_and_time(&self, minute: usize) -> String {
        let shown = self.zone.to_rfc3339(self.range.moment(minute));
        format!("{} {} {}", self.weekday(minute), shown.get(..10).unwrap_or_default(), self.time(minute))
    }

    /// The local time of a minute, with the day if the chart shows more than one.
    pub(super) fn when(&self, minute: usize) -> String {
        if self.minutes.len() > 1_440 {
            format!("{} {}", self.day(minute), self.time(minute))
        } else {
            self.time(minute)
        }
    }

    fn weekday(&self, minute: usize) -> &'static str {
        const NAMES: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]; // 1970-01-01 was a Thursday
        let day = self.zone.local_minute(self.range.moment(minute)).0.div_euclid(1_440).rem_euclid(7);
        usize::try_from(day).ok().and_then(|day| NAMES.get(day)).copied().unwrap_or_default()
    }
}

/// The cell of a minute if `minutes` are divided into `cells`.
fn cell_of(minute: usize, minutes: usize, cells: usize) -> usize {
    minute * cells / minutes.max(1)
}

/// Formats a duration: `50 min`, `3 h 20 min`.
pub(super) fn length(minutes: usize) -> String {
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

/// Formats a number of starts: `1 start`, `3 starts`.
pub(super) fn starts(number: impl Into<u64>) -> String {
    format_count(number.into(), "start", "starts")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(minutes: Vec<u32>) -> Chart {
        let range = Range { from: Timestamp(0), until: Timestamp(minutes.len() as i64 * 60) };
        Chart { range, zone: Zone::utc(), rows: vec![], idle: 0, peaks: vec![0; 80], minutes }
    }

    #[test]
    fn crowded_minutes_stand_out_from_their_neighbours() {
        let mut minutes = vec![1; 60];
        assert_eq!(chart(minutes.clone()).crowded(5), []);
        minutes[30] = 9;
        minutes[10] = 5;
        minutes[20] = 4;
        let found = chart(minutes).crowded(5);
        assert_eq!(found, [Crowded { minute: 30, starts: 9 }, Crowded { minute: 10, starts: 5 }]);
    }

    #[test]
    fn quiet_times_are_the_longest_without_a_start() {
        let mut minutes = vec![0; 60];
        for busy in [5, 6, 10, 40, 59] {
            minutes[busy] = 1;
        }
        assert_eq!(chart(minutes.clone()).quiet(2), [11..40, 41..59]);
        assert_eq!(chart(minutes).quiet(9), [0..5, 11..40, 41..59]);
        assert_eq!(chart(vec![1; 60]).quiet(3), []);
        let whole: Vec<_> = chart(vec![0; 60]).quiet(3).iter().map(|quiet| (quiet.start, quiet.end)).collect();
        assert_eq!(whole, [(0, 60)]);
    }

    #[test]
    fn ticks_stand_at_round_times_and_name_the_day_at_midnight() {
        let labels: Vec<String> = chart(vec![0; 2_880]).ticks(10).into_iter().map(|tick| tick.label).collect();
        assert_eq!(labels, ["Thu 01", "06:00", "12:00", "18:00", "Fri 02", "06:00", "12:00", "18:00"]);
    }

    #[test]
    fn every_minute_has_a_cell() {
        for (minutes, cells) in [(60, 80), (80, 80), (1_440, 57), (1, 1)] {
            let used: Vec<usize> = (0..minutes).map(|minute| cell_of(minute, minutes, cells)).collect();
            assert!(used.iter().all(|cell| *cell < cells) && used.is_sorted(), "{minutes} over {cells}");
        }
    }

    #[test]
    fn lengths_are_told_in_hours_and_minutes() {
        assert_eq!([50, 60, 200].map(length), ["50 min", "1 h", "3 h 20 min"]);
    }
}
