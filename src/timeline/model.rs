//! The model of a timeline: its rows with their runs, starts and overlaps.

use super::axis::{ClockChange, DAY, MINUTE, Range, local};
use crate::crontab::printable;
use crate::schedule::{Timestamp, Zone};
use crate::varlink::cron::NextStart;
use crate::varlink::history::RunRecord;
use chrono::Timelike;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Parts into which the range is divided for counting coming starts of a row.
pub(super) const BINS: usize = 1_440;
/// Quiet times shorter than this are not listed, in minutes.
const LEAST_QUIET: usize = 5;

/// What has a row of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// A row for each job.
    Job,
    /// A row for each user, with all jobs of theirs.
    User,
}

/// What a row is called. All texts are harmless on terminals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowLabel {
    /// The user that the job runs as.
    pub user: String,
    /// The name of the job, if it is known.
    pub job: String,
    /// The schedule as it is written, if it is known.
    pub schedule: String,
    /// The command as it is written.
    pub command: String,
    /// The file of the entry. Rows are in the order of files and lines.
    pub source: String,
    /// The line of the entry, from 1.
    pub line: u32,
}

/// What a timeline shows, independent of how it is drawn.
#[derive(Debug)]
pub struct Timeline {
    /// The range of time that it shows.
    pub range: Range,
    /// The current time.
    pub now: Timestamp,
    /// Whether the past is that of the history. Otherwise it is what the schedules say.
    pub knows_past: bool,
    /// The zone of its labels.
    pub zone: Arc<Zone>,
    /// The changes of the clocks in the range.
    pub changes: Vec<ClockChange>,
    /// Whether rows are users and not jobs.
    pub is_by_user: bool,
    /// The rows, in the order of their tables or of the names of users.
    pub rows: Vec<Row>,
    /// What has no row of its own, as there are too many.
    pub others: HiddenRows,
    /// How many entries do nothing in the range.
    pub idle: u64,
    /// Whether counts of frequent starts are estimates.
    pub is_estimated: bool,
    /// The part of the range of which everything is known: neither before the history begins, nor after the last start that was asked for.
    pub(super) known: Range,
    /// The starts in each minute.
    pub(super) minutes: Vec<u32>,
    /// For each minute, how many runs are known to be in progress in it.
    pub(super) busy: Vec<u32>,
}

/// What rows that are not shown have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HiddenRows {
    /// The number of these rows.
    pub rows: u64,
    /// The number of their runs in the past.
    pub runs: u64,
    /// The number of those runs that failed.
    pub failed: u64,
    /// The number of their coming starts.
    pub starts: u64,
}

/// The row of a job or a user.
#[derive(Clone, Debug)]
pub struct Row {
    /// The name of the job or user.
    pub label: RowLabel,
    /// Past and running runs, in order of their starts.
    pub runs: Vec<PastRun>,
    /// Coming starts, in order of time, those of one bin together.
    pub(super) coming: Vec<Coming>,
    /// The times in which runs of one job overlap.
    pub overlaps: Vec<Overlap>,
}

/// A run, or a slot without one.
#[derive(Clone, Debug, PartialEq)]
pub struct PastRun {
    /// When it started, or was due.
    pub from: Timestamp,
    /// Its end. Of a running one: now, or the end of what is known.
    pub until: Timestamp,
    /// What kind of end it has.
    pub class: OutcomeClass,
    /// How it ended, in words: `ok`, `failed (exit 3)`, `skipped: still running`.
    pub text: String,
    /// Its number, if there was a run.
    pub run: Option<u64>,
    /// Its duration in seconds.
    pub duration: Option<f64>,
    /// The slots that it stands for.
    pub count: u64,
    /// Which of the jobs of its row it is of.
    pub(super) job: u32,
}

/// What kind of end a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutcomeClass {
    /// The run succeeded.
    Ok,
    /// The run has not ended.
    Running,
    /// The slot had no run, or its run was ended for another one: skipped, missed, replaced.
    Skipped,
    /// It failed, timed out, was killed, was lost or could not be started.
    Failed,
}

/// Coming starts that are close together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Coming {
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) count: u64,
}

/// A time in which several runs of one job overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// When the second run starts.
    pub from: Timestamp,
    /// When only one run is left.
    pub until: Timestamp,
    /// The most runs at a time.
    pub runs: u32,
}

/// A minute in which many start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowded {
    /// Its first second; the first of several at the same time of the day.
    pub at: Timestamp,
    /// The starts in it; the most of several.
    pub starts: u32,
    /// The number of days on which the minute is crowded.
    pub days: u32,
}

impl RowLabel {
    /// The label of a row of the history.
    pub fn of_record(record: &RunRecord) -> RowLabel {
        RowLabel {
            user: printable(record.user.as_bytes()),
            job: printable(record.job.as_bytes()),
            schedule: String::new(),
            command: printable(record.command.as_bytes()),
            source: record.source.clone(),
            line: record.line,
        }
    }

    /// The label of a start.
    pub fn of_start(start: &NextStart) -> RowLabel {
        RowLabel {
            user: printable(start.user.as_bytes()),
            job: printable(start.job.as_bytes()),
            schedule: printable(start.schedule.as_bytes()),
            command: printable(start.command.as_bytes()),
            source: start.source.clone(),
            line: start.line,
        }
    }

    /// The file and the line of the entry.
    pub(super) fn place(&self) -> String {
        format!("{}\n{}", self.source, self.line)
    }

    /// What rows of the same job or user have in common.
    pub(super) fn key(&self, grouping: Grouping) -> String {
        match grouping {
            Grouping::User => self.user.clone(),
            Grouping::Job if self.job.is_empty() => self.place(),
            Grouping::Job => self.job.clone(),
        }
    }
}

impl OutcomeClass {
    /// The class of an outcome as the history names it.
    pub fn of(outcome: &str) -> OutcomeClass {
        match outcome {
            "ok" => OutcomeClass::Ok,
            "running" => OutcomeClass::Running,
            "skipped" | "missed" | "replaced" => OutcomeClass::Skipped,
            _ => OutcomeClass::Failed,
        }
    }

    /// The word for it in legends.
    pub fn word(self) -> &'static str {
        match self {
            OutcomeClass::Ok => "ok",
            OutcomeClass::Running => "running",
            OutcomeClass::Skipped => "skipped or missed",
            OutcomeClass::Failed => "failed",
        }
    }
}

impl Row {
    /// How many coming starts it has. Before `now` these are starts that the schedule has.
    pub fn coming_starts(&self) -> u64 {
        self.coming.iter().map(|coming| coming.count).sum()
    }

    /// How many runs, and slots without one, it has.
    pub fn past_runs(&self) -> u64 {
        self.runs.iter().map(|run| run.count).sum()
    }

    /// The longest duration of a run in seconds.
    pub fn longest(&self) -> Option<f64> {
        self.runs.iter().filter_map(|run| run.duration).reduce(f64::max)
    }

    /// When the last run began, or the last slot without one was due.
    pub fn last_start(&self) -> Option<Timestamp> {
        self.runs.last().map(|run| run.from)
    }

    /// The first start that is still to come. None: nothing more is due in the range.
    pub fn next_start(&self) -> Option<Timestamp> {
        self.coming.first().map(|coming| coming.first)
    }

    /// How many runs are of this class.
    pub fn runs_of(&self, class: OutcomeClass) -> u64 {
        self.runs.iter().filter(|run| run.class == class).map(|run| run.count).sum()
    }
}

impl Timeline {
    /// The most starts in a minute.
    pub fn most(&self) -> u32 {
        self.minutes.iter().copied().max().unwrap_or(0)
    }

    /// The number of all starts in the range.
    pub fn total(&self) -> u64 {
        self.minutes.iter().map(|starts| u64::from(*starts)).sum()
    }

    /// Whether it shows a past that is known.
    pub fn has_past(&self) -> bool {
        self.knows_past && self.now > self.range.from
    }

    /// For each of so many cells the highest number of starts in one of its minutes.
    pub(super) fn peaks(&self, cells: usize) -> Vec<u32> {
        let mut peaks = vec![0_u32; cells.max(1)];
        for (minute, starts) in self.minutes.iter().enumerate().filter(|(_, starts)| **starts > 0) {
            if let Some(peak) = peaks.get_mut(self.range.cell_of(self.range.moment(minute), cells)) {
                *peak = (*peak).max(*starts);
            }
        }
        peaks
    }

    /// The number of starts from which a minute is crowded: at least two, half of the most, and twice the average.
    fn crowd(&self) -> u32 {
        let minutes = u64::try_from(self.minutes.len()).unwrap_or(u64::MAX).max(1);
        let twice_average = u32::try_from((2 * self.total()).div_ceil(minutes)).unwrap_or(u32::MAX);
        self.most().div_ceil(2).max(twice_average).max(2)
    }

    /// The most crowded minutes, in descending order of starts. On an axis of days, those at the same time of the day are one.
    pub fn crowded(&self, most: usize) -> Vec<Crowded> {
        let crowd = self.crowd();
        let found = self.minutes.iter().enumerate().filter(|(_, starts)| **starts >= crowd);
        let mut crowded: Vec<Crowded> = if self.range.seconds() <= DAY {
            found.map(|(minute, starts)| Crowded { at: self.range.moment(minute), starts: *starts, days: 1 }).collect()
        } else {
            let mut by_time: BTreeMap<u32, Crowded> = BTreeMap::new();
            for (minute, starts) in found {
                let at = self.range.moment(minute);
                let time = local(at, &self.zone).num_seconds_from_midnight();
                let same = by_time.entry(time).or_insert(Crowded { at, starts: 0, days: 0 });
                (same.starts, same.days) = (same.starts.max(*starts), same.days + 1);
            }
            by_time.into_values().collect()
        };
        crowded.sort_by_key(|crowded| (std::cmp::Reverse((crowded.starts, crowded.days)), crowded.at));
        crowded.truncate(most);
        crowded
    }

    /// The times of which it is not known what ran or will run, in order of time.
    pub fn unknown(&self) -> Vec<Range> {
        let Range { from, until } = self.range;
        let sides = [Range { from, until: self.known.from }, Range { from: self.known.until, until }];
        sides.into_iter().filter(|side| side.seconds() >= MINUTE).collect()
    }

    /// The times without a start and without a run, in order of time, as far as that is known. They last a hundredth of the range, and five minutes, at least.
    pub fn quiet(&self) -> Vec<Range> {
        let least = (self.minutes.len() / 100).max(LEAST_QUIET);
        let is_known = |minute| {
            let at = self.range.moment(minute);
            at.0 + MINUTE > self.known.from.0 && at < self.known.until
        };
        let minutes = self.minutes.iter().zip(&self.busy).enumerate();
        let is_busy = minutes.map(|(minute, (starts, runs))| *starts > 0 || *runs > 0 || !is_known(minute));
        let (mut found, mut begin) = (Vec::new(), 0);
        for (minute, is_busy) in is_busy.chain([true]).enumerate() {
            if is_busy {
                if minute - begin >= least {
                    found.push(Range { from: self.range.moment(begin), until: self.range.moment(minute) });
                }
                begin = minute + 1;
            }
        }
        found
    }

    /// The longest of the quiet times, in order of time.
    pub fn longest_quiet(&self, most: usize) -> Vec<Range> {
        let mut found = self.quiet();
        found.sort_by_key(|quiet| (std::cmp::Reverse(quiet.seconds()), quiet.from));
        found.truncate(most);
        found.sort_by_key(|quiet| quiet.from);
        found
    }

    /// The first second of what is to come.
    pub(super) fn future(&self) -> Timestamp {
        if self.knows_past { self.now.clamp(self.range.from, self.range.until) } else { self.range.from }
    }
}

/// The minutes from the one of `from` to the one of `until`, both included, which may be outside the range.
pub(super) fn minutes_between(range: Range, from: Timestamp, until: Timestamp) -> Option<(usize, usize)> {
    if until < range.from || from >= range.until {
        return None;
    }
    let last = Timestamp(range.until.0 - MINUTE);
    let first = range.minute_of(from.max(range.from))?;
    Some((first, range.minute_of(until.min(last)).unwrap_or(first).max(first)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(minutes: Vec<u32>) -> Timeline {
        let range = Range { from: Timestamp(0), until: Timestamp(minutes.len() as i64 * 60) };
        let busy = vec![0; minutes.len()];
        Timeline {
            range,
            now: Timestamp(-1),
            knows_past: false,
            zone: Zone::utc(),
            changes: vec![],
            is_by_user: false,
            rows: vec![],
            others: HiddenRows::default(),
            idle: 0,
            is_estimated: false,
            known: range,
            minutes,
            busy,
        }
    }

    #[test]
    fn crowded_minutes_stand_out_from_their_neighbours() {
        let mut minutes = vec![1; 60];
        assert_eq!(timeline(minutes.clone()).crowded(5), []);
        minutes[30] = 9;
        minutes[10] = 5;
        minutes[20] = 4;
        let found: Vec<_> = timeline(minutes).crowded(5).iter().map(|found| (found.at.0 / 60, found.starts)).collect();
        assert_eq!(found, [(30, 9), (10, 5)]);
    }

    #[test]
    fn crowded_minutes_at_the_same_time_of_several_days_are_one() {
        let mut minutes = vec![0; 7 * 1_440];
        (0..7).for_each(|day| minutes[day * 1_440 + 180] = 4 + u32::from(day == 3));
        minutes[500] = 4;
        let found: Vec<_> = timeline(minutes).crowded(5).iter().map(|f| (f.at.0 / 60, f.starts, f.days)).collect();
        assert_eq!(found, [(180, 5, 7), (500, 4, 1)]);
    }

    #[test]
    fn quiet_times_have_neither_starts_nor_runs() {
        let mut minutes = vec![0; 60];
        for busy in [5, 6, 10, 40, 59] {
            minutes[busy] = 1;
        }
        let told = |found: Vec<Range>| -> Vec<_> {
            found.iter().map(|quiet| (quiet.from.0 / 60, quiet.until.0 / 60)).collect()
        };
        let mut line = timeline(minutes);
        assert_eq!(told(line.longest_quiet(2)), [(11, 40), (41, 59)]);
        assert_eq!(told(line.quiet()), [(0, 5), (11, 40), (41, 59)]);
        line.busy[20] = 1;
        assert_eq!(told(line.longest_quiet(1)), [(21, 40)]);
        // What is not known is not called quiet.
        line.known = Range { from: Timestamp(8 * 60), until: Timestamp(50 * 60) };
        assert_eq!(told(line.quiet()), [(11, 20), (21, 40), (41, 50)]);
        assert_eq!(told(line.unknown()), [(0, 8), (50, 60)]);
        assert_eq!(told(timeline(vec![1; 60]).quiet()), []);
        assert_eq!(told(timeline(vec![0; 60]).quiet()), [(0, 60)]);
    }
}
