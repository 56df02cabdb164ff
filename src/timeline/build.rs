//! Collects what a timeline shows, in bounded memory: past runs first, then what is to come.

use super::axis::Range;
use super::model::{
    BINS, Coming, Grouping, HiddenRows, OutcomeClass, Overlap, PastRun, Row, RowLabel, Timeline, minutes_between,
};
use crate::schedule::{Timestamp, Zone};
use crate::varlink::cron::NextStart;
use crate::varlink::history::RunRecord;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Past runs that are kept one by one. Further ones are counted only.
const MOST_RUNS: usize = 200_000;
/// Parts of the range for which a schedule with very many starts is examined, at least.
const LEAST_PARTS: usize = 24;
/// So many runs of a job the history keeps if nothing else is set: of a job with so many there may have been more.
const RUNS_KEPT: u64 = 1_000;

/// Collects a timeline. Rows of the history must be added before coming starts, so that jobs that have failed get a row.
#[derive(Debug)]
pub struct Builder {
    range: Range,
    now: Timestamp,
    /// The names of the only jobs that are shown. None: all are.
    only: Option<BTreeSet<String>>,
    knows_past: bool,
    zone: Arc<Zone>,
    grouping: Grouping,
    most_rows: usize,
    rows: Vec<Row>,
    /// The rows by their keys.
    places: HashMap<String, usize>,
    /// The numbers of jobs by their names.
    jobs: HashMap<String, u32>,
    /// Of each job that has ended, by its number: how many rows the history has, and the oldest of them.
    ended: HashMap<u32, (u64, Timestamp)>,
    /// The part of the range of which everything is known.
    known: Range,
    /// The keys of rows that are not shown.
    hidden: HashSet<String>,
    others: HiddenRows,
    idle: u64,
    runs: usize,
    is_past_chosen: bool,
    minutes: Vec<u32>,
    /// Differences of the number of runs in progress, by minute.
    busy: Vec<i64>,
    /// Differences of estimated starts a minute. Empty: nothing is estimated.
    rates: Vec<f64>,
}

impl Builder {
    /// An empty timeline with that many rows at most.
    pub fn new(range: Range, now: Timestamp, zone: Arc<Zone>, grouping: Grouping, most_rows: usize) -> Builder {
        let minutes = range.minutes();
        Builder {
            range,
            now,
            only: None,
            knows_past: false,
            zone,
            grouping,
            most_rows,
            rows: Vec::new(),
            places: HashMap::new(),
            jobs: HashMap::new(),
            ended: HashMap::new(),
            known: range,
            hidden: HashSet::new(),
            others: HiddenRows::default(),
            idle: 0,
            runs: 0,
            is_past_chosen: false,
            minutes: vec![0; minutes],
            busy: vec![0; minutes + 1],
            rates: Vec::new(),
        }
    }

    /// Leaves out all jobs but those with these names.
    pub fn set_jobs(&mut self, jobs: BTreeSet<String>) {
        self.only = Some(jobs);
    }

    fn is_left_out(&self, job: &str) -> bool {
        self.only.as_ref().is_some_and(|only| !only.contains(job))
    }

    /// Says that the past is that of the history, even if it has no rows.
    pub fn set_past_known(&mut self) {
        self.knows_past = true;
    }

    /// Says, after the rows of the history, whether it has older ones. Otherwise nothing is known of the time before its first row.
    pub fn set_begin_of_past(&mut self, has_older: bool) {
        let first = self.ended.values().map(|(_, oldest)| *oldest).min();
        let begin = if has_older { self.range.from } else { first.unwrap_or(self.now) };
        let full = self.ended.values().filter(|(rows, _)| *rows >= RUNS_KEPT).map(|(_, oldest)| *oldest).max();
        self.set_known_from(full.map_or(begin, |full| full.max(begin)));
    }

    /// Says that nothing is known of the time before.
    pub fn set_known_from(&mut self, at: Timestamp) {
        self.known.from = at.clamp(self.range.from, self.range.until);
    }

    /// Says that nothing is known of the time after.
    pub fn set_known_until(&mut self, at: Timestamp) {
        self.known.until = at.clamp(self.known.from, self.range.until);
    }

    /// Adds a row of the history. `text` says how it ended.
    pub fn add_record(&mut self, record: &RunRecord, text: String) {
        if self.is_left_out(&record.job) {
            return;
        }
        let class = OutcomeClass::of(&record.outcome);
        let from = record.started_at.unwrap_or(record.scheduled_at).timestamp();
        let last = record.ended_at.or(record.until).map(|at| at.timestamp());
        let until = match class {
            OutcomeClass::Running => self.now,
            _ => last.unwrap_or(from),
        };
        let until = until.max(from);
        let label = RowLabel::of_record(record);
        let (job, next) = (label.key(Grouping::Job), u32::try_from(self.jobs.len()).unwrap_or(u32::MAX));
        let job = *self.jobs.entry(job).or_insert(next);
        if class != OutcomeClass::Running {
            let (rows, oldest) = self.ended.entry(job).or_insert((0, from));
            (*rows, *oldest) = (*rows + 1, from.min(*oldest));
        }
        if until < self.range.from || from >= self.range.until {
            return;
        }
        let has_run = record.run.is_some();
        if has_run {
            self.count(from, 1);
            self.note_busy(from, until);
        }
        let duration = record.duration.filter(|_| has_run);
        let run = PastRun { from, until, class, text, run: record.run, duration, count: record.count.max(1), job };
        let row = self.any_row(&label);
        if self.runs >= MOST_RUNS {
            self.note_hidden_run(&run);
            return;
        }
        self.runs += 1;
        if let Some(row) = self.rows.get_mut(row) {
            row.runs.push(run);
        }
    }

    /// Adds a start that is still to come.
    pub fn add_start(&mut self, start: &NextStart) {
        self.choose_past();
        let at = start.at.timestamp();
        if !self.range.has(at) || self.is_left_out(&start.job) {
            return;
        }
        self.count(at, 1);
        let row = self.row(&RowLabel::of_start(start));
        self.add_coming(row, at, at, 1);
    }

    /// Adds the starts of an entry after `after`, of which `next` gives the first one after a moment. If the entry has no start, it is counted as
    /// idle. `like` entries have the same starts; with `label` None all of them are without a row. At most about `at_most` starts are examined;
    /// beyond that they are estimated.
    pub fn add_schedule(
        &mut self,
        label: Option<&RowLabel>,
        like: u32,
        after: Timestamp,
        at_most: usize,
        mut next: impl FnMut(Timestamp) -> Option<Timestamp>,
    ) {
        self.choose_past();
        let until = self.range.until;
        let mut at = next(after).filter(|at| *at < until);
        if at.is_none() {
            self.idle += u64::from(like);
            return;
        }
        let row = label.and_then(|label| self.row(label));
        if label.is_none() {
            self.others.rows += u64::from(like);
        }
        let parts = BINS.min(at_most / 2).max(LEAST_PARTS);
        let in_a_part = (at_most / parts).max(2);
        let (mut part, mut first, mut taken) = (usize::MAX, after, 0);
        while let Some(start) = at {
            let here = self.range.cell_of(start, parts);
            if here != part {
                (part, first, taken) = (here, start, 0);
            }
            taken += 1;
            self.count(start, like);
            self.add_coming(row, start, start, like.into());
            at = if taken < in_a_part {
                next(start)
            } else {
                let end = self.range.cell_start(here + 1, parts).min(until);
                self.estimate(row, start, end, (start.0 - first.0) / (taken as i64 - 1).max(1), like);
                next(Timestamp(end.0 - 1))
            }
            .filter(|at| *at < until);
        }
    }

    /// Whether a moment is in the range.
    pub fn has(&self, at: Timestamp) -> bool {
        self.range.has(at)
    }

    /// Estimates starts with a distance of `gap` seconds between a start and the end of a part.
    fn estimate(&mut self, row: Option<usize>, start: Timestamp, end: Timestamp, gap: i64, like: u32) {
        let gap = gap.max(1);
        let more = (end.0 - 1 - start.0) / gap;
        let (Some(from), true) = (self.range.minute_of(Timestamp(start.0 + gap)), more > 0) else { return };
        if self.rates.is_empty() {
            self.rates = vec![0.0; self.minutes.len() + 1];
        }
        let to = self.range.minute_of(end).unwrap_or(self.minutes.len()).max(from + 1);
        let rate = f64::from(like) * more as f64 / (to - from) as f64;
        if let Some(difference) = self.rates.get_mut(from) {
            *difference += rate;
        }
        if let Some(difference) = self.rates.get_mut(to) {
            *difference -= rate;
        }
        let count = more.unsigned_abs() * u64::from(like);
        if row.is_none() {
            self.others.starts += count;
            return;
        }
        // A row has a mark for each bin.
        let (first, last) =
            (self.range.cell_of(Timestamp(start.0 + gap), BINS), self.range.cell_of(Timestamp(end.0 - 1), BINS));
        let bins = (last - first + 1) as u64;
        for (number, bin) in (first..=last).enumerate() {
            let at = self.range.cell_start(bin, BINS).max(Timestamp(start.0 + 1));
            let share = |bins_before: u64| {
                u64::try_from(u128::from(count) * u128::from(bins_before) / u128::from(bins)).unwrap_or(0)
            };
            match share(number as u64 + 1) - share(number as u64) {
                0 => {}
                starts => self.add_coming(row, at, at, starts),
            }
        }
    }

    /// Returns the timeline of everything that was added.
    pub fn finish(mut self) -> Timeline {
        self.choose_past();
        let is_estimated = !self.rates.is_empty();
        // Less than a start a minute becomes one in some minutes.
        let (mut rate, mut due) = (0.0, 0.0);
        for (starts, difference) in self.minutes.iter_mut().zip(&self.rates) {
            rate += difference;
            due += f64::max(rate, 0.0);
            let whole = due.floor();
            due -= whole;
            *starts = starts.saturating_add(whole as u32);
        }
        let mut going = 0;
        let busy = self.busy.iter().take(self.minutes.len()).map(|difference| {
            going += difference;
            u32::try_from(going).unwrap_or(0)
        });
        let busy = busy.collect();
        for row in &mut self.rows {
            row.runs.sort_by_key(|run| (run.from, run.until));
            row.overlaps = overlaps(&row.runs);
            // A user has the starts of one entry after those of another.
            row.coming.sort_by_key(|coming| coming.first);
        }
        self.rows.sort_by(|one, other| order(one, self.grouping).cmp(&order(other, self.grouping)));
        self.others.rows += self.hidden.len() as u64;
        Timeline {
            range: self.range,
            now: self.now,
            knows_past: self.knows_past,
            changes: self.range.changes(&self.zone),
            zone: self.zone,
            is_by_user: self.grouping == Grouping::User,
            rows: self.rows,
            others: self.others,
            idle: self.idle,
            is_estimated,
            known: self.known,
            minutes: self.minutes,
            busy,
        }
    }

    fn count(&mut self, at: Timestamp, starts: u32) {
        if let Some(minute) = self.range.minute_of(at).and_then(|minute| self.minutes.get_mut(minute)) {
            *minute = minute.saturating_add(starts);
        }
    }

    fn note_busy(&mut self, from: Timestamp, until: Timestamp) {
        let Some((first, last)) = minutes_between(self.range, from, until) else { return };
        for (minute, difference) in [(first, 1), (last + 1, -1)] {
            if let Some(busy) = self.busy.get_mut(minute) {
                *busy += difference;
            }
        }
    }

    /// The row with that label, which is made if it is not there.
    fn any_row(&mut self, label: &RowLabel) -> usize {
        let key = label.key(self.grouping);
        if let Some(row) = self.places.get(&key) {
            return *row;
        }
        let row = self.rows.len();
        if self.grouping == Grouping::Job {
            // The same entry without the name of its job.
            self.places.insert(label.place(), row);
        }
        self.rows.push(Row { label: label.clone(), runs: Vec::new(), coming: Vec::new(), overlaps: Vec::new() });
        self.places.insert(key, row);
        row
    }

    /// The same, unless there are too many rows.
    fn row(&mut self, label: &RowLabel) -> Option<usize> {
        let key = label.key(self.grouping);
        if let Some(row) = self.places.get(&key) {
            // The history does not know schedules.
            if let Some(known) =
                self.rows.get_mut(*row).map(|row| &mut row.label).filter(|known| known.schedule.is_empty())
            {
                known.schedule.clone_from(&label.schedule);
            }
            return Some(*row);
        }
        if self.rows.len() >= self.most_rows {
            self.hidden.insert(key);
            return None;
        }
        Some(self.any_row(label))
    }

    fn add_coming(&mut self, row: Option<usize>, first: Timestamp, last: Timestamp, count: u64) {
        let Some(row) = row.and_then(|row| self.rows.get_mut(row)) else {
            self.others.starts += count;
            return;
        };
        let bin = self.range.cell_of(first, BINS);
        match row.coming.last_mut().filter(|known| self.range.cell_of(known.first, BINS) == bin) {
            Some(known) => (known.last, known.count) = (known.last.max(last), known.count + count),
            None => row.coming.push(Coming { first, last, count }),
        }
    }

    fn note_hidden_run(&mut self, run: &PastRun) {
        self.others.runs += run.count;
        self.others.failed += if run.class == OutcomeClass::Failed { run.count } else { 0 };
    }

    /// Drops rows of the history if there are more than are shown. Rows with failures are kept first, then those with runs in progress or overlaps,
    /// then those with the latest runs.
    fn choose_past(&mut self) {
        if std::mem::replace(&mut self.is_past_chosen, true) || self.rows.len() <= self.most_rows {
            return;
        }
        let has = |row: &Row, class| row.runs.iter().any(|run| run.class == class);
        self.rows.sort_by_cached_key(|row| {
            let interest = (has(row, OutcomeClass::Failed), has(row, OutcomeClass::Running));
            std::cmp::Reverse((interest, row.runs.iter().map(|run| run.from).max()))
        });
        for row in self.rows.split_off(self.most_rows) {
            row.runs.iter().for_each(|run| self.note_hidden_run(run));
            self.hidden.insert(row.label.key(self.grouping));
        }
        let rows = self.rows.iter().enumerate();
        let keys = |(number, row): (usize, &Row)| [(row.label.key(self.grouping), number), (row.label.place(), number)];
        self.places = rows.flat_map(keys).collect();
    }
}

fn order(row: &Row, grouping: Grouping) -> (&str, u32, &str) {
    match grouping {
        Grouping::User => (&row.label.user, 0, ""),
        Grouping::Job => (&row.label.source, row.label.line, &row.label.job),
    }
}

/// The times in which several of these runs, which are in order of their starts, are of the same job.
fn overlaps(runs: &[PastRun]) -> Vec<Overlap> {
    let mut edges: Vec<(u32, Timestamp, i32)> = Vec::new();
    for run in runs.iter().filter(|run| run.run.is_some() && run.until > run.from) {
        edges.extend([(run.job, run.from, 1), (run.job, run.until, -1)]);
    }
    // An end comes before a start in the same second.
    edges.sort_unstable();
    let (mut found, mut going) = (Vec::new(), 0);
    let mut open: Option<Overlap> = None;
    for (_, at, change) in edges {
        going += change;
        match (&mut open, u32::try_from(going)) {
            (None, Ok(runs @ 2..)) => open = Some(Overlap { from: at, until: at, runs }),
            (Some(overlap), Ok(runs @ 2..)) => overlap.runs = overlap.runs.max(runs),
            (Some(overlap), _) => {
                found.push(Overlap { until: at, ..*overlap });
                open = None;
            }
            (None, _) => {}
        }
    }
    found.sort_by_key(|overlap| overlap.from);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(minutes: i64) -> Range {
        Range { from: Timestamp(0), until: Timestamp(minutes * 60) }
    }

    fn run(job: u32, from: i64, until: i64) -> PastRun {
        let (from, until) = (Timestamp(from), Timestamp(until));
        let class = OutcomeClass::Ok;
        PastRun { from, until, class, text: "ok".into(), run: Some(1), duration: None, count: 1, job }
    }

    #[test]
    fn only_runs_of_one_job_overlap() {
        let runs = [run(1, 0, 100), run(2, 10, 50), run(1, 60, 200), run(1, 80, 90), run(1, 200, 300)];
        assert_eq!(overlaps(&runs), [Overlap { from: Timestamp(60), until: Timestamp(100), runs: 3 }]);
    }

    /// A schedule that is due every `every` seconds.
    fn regular(every: i64) -> impl FnMut(Timestamp) -> Option<Timestamp> {
        move |after| Some(Timestamp((after.0.div_euclid(every) + 1) * every))
    }

    fn label(line: u32) -> RowLabel {
        RowLabel { line, ..RowLabel::default() }
    }

    #[test]
    fn frequent_starts_are_estimated_beyond_a_number_and_are_about_right() {
        for (every, at_most) in [(60, 1_000_000), (60, 100), (300, 100), (3_600, 100), (61, 5_000)] {
            let range = range(7 * 1_440);
            let mut builder = Builder::new(range, Timestamp(0), Zone::utc(), Grouping::Job, 10);
            let mut calls = 0;
            let mut next = regular(every);
            builder.add_schedule(Some(&label(1)), 1, Timestamp(-1), at_most, |after| {
                calls += 1;
                next(after)
            });
            let line = builder.finish();
            let right = (range.seconds() / every) as f64;
            for found in [line.total() as f64, line.rows[0].coming_starts() as f64] {
                assert!((found - right).abs() <= right / 20.0 + 1.0, "{every} {at_most}: {found} for {right}");
            }
            assert!(calls <= at_most.max(LEAST_PARTS * 2) * 2 + 2, "{every} {at_most}: {calls} calls");
            assert_eq!(line.is_estimated, calls <= right as usize, "{every} {at_most}");
        }
    }

    fn record(job: &str, at: i64) -> RunRecord {
        let time = Timestamp(at);
        let text = serde_json::json!({
            "run": at, "job": job, "user": "alice", "uid": 1, "source": "/t", "line": 1, "command": "true", "trigger": "schedule",
            "attempt": 1, "scheduled_at": time.to_string(), "started_at": time.to_string(), "ended_at": time.to_string(), "outcome": "ok",
            "output_bytes": 0, "count": 1,
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn only_what_the_history_has_and_what_was_asked_for_is_known() {
        let known = |records: &[RunRecord], has_older: bool| {
            let mut builder = Builder::new(range(6_000), Timestamp(180_000), Zone::utc(), Grouping::Job, 10);
            builder.set_past_known();
            records.iter().for_each(|record| builder.add_record(record, "ok".into()));
            builder.set_begin_of_past(has_older);
            builder.set_known_until(Timestamp(300_000));
            builder.finish().known
        };
        let until = Timestamp(300_000);
        let one = [record("a", 90_000)];
        assert_eq!(known(&one, true), Range { from: Timestamp(0), until });
        assert_eq!(known(&one, false), Range { from: Timestamp(90_000), until });
        assert_eq!(known(&[], false), Range { from: Timestamp(180_000), until });
        // The history has dropped older runs of a job that has so many.
        let many: Vec<RunRecord> = (0..1_000).map(|n| record("often", 100_000 + n * 60)).collect();
        assert_eq!(known(&[one.to_vec(), many].concat(), true), Range { from: Timestamp(100_000), until });
    }

    #[test]
    fn only_jobs_that_are_wanted_have_rows() {
        let mut builder = Builder::new(range(60), Timestamp(3_600), Zone::utc(), Grouping::Job, 10);
        builder.set_jobs(["a".to_owned()].into());
        ["a", "b"].iter().for_each(|job| builder.add_record(&record(job, 600), "ok".into()));
        let line = builder.finish();
        assert_eq!((line.rows.len(), line.rows[0].label.job.as_str(), line.total()), (1, "a", 1));
    }

    #[test]
    fn rows_beyond_the_most_are_counted_together() {
        let mut builder = Builder::new(range(60), Timestamp(0), Zone::utc(), Grouping::Job, 2);
        for line in [1, 2, 3, 4] {
            builder.add_schedule(Some(&label(line)), 1, Timestamp(-1), 100, regular(600));
        }
        builder.add_schedule(None, 5, Timestamp(-1), 100, regular(1_800));
        builder.add_schedule(Some(&label(9)), 1, Timestamp(-1), 100, |_| None);
        let line = builder.finish();
        assert_eq!((line.rows.len(), line.others.rows, line.others.starts, line.idle), (2, 7, 22, 1));
        assert_eq!((line.total(), line.most()), (4 * 6 + 10, 9));
    }
}
