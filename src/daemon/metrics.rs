//! The counters of jobs, for `Metrics` of the control socket: a sink of the records of runs and slots.
//!
//! Only jobs that have run, or whose slots were left out, since the daemon began take memory here.

use crate::scheduler::{JobId, Outcome, RunRecord, RunResult};
use crate::varlink::{Time, cron};
use std::collections::HashMap;

/// Upper bounds of the histogram of durations, in milliseconds: from a tenth of a second to six hours.
const DURATION_BOUNDS_MS: [u64; 12] =
    [100, 500, 1_000, 5_000, 15_000, 60_000, 300_000, 900_000, 1_800_000, 3_600_000, 10_800_000, 21_600_000];
/// Upper bounds of the histogram of start delays, in milliseconds: from a millisecond to an hour.
const DELAY_BOUNDS_MS: [u64; 12] = [1, 5, 10, 50, 100, 500, 1_000, 5_000, 30_000, 60_000, 600_000, 3_600_000];
/// Ranges of either histogram: one more than bounds.
const RANGES: usize = DURATION_BOUNDS_MS.len() + 1;

/// The outcomes, in the order in which they are counted.
const OUTCOMES: [&str; 10] =
    ["ok", "failed", "signal", "timeout", "killed", "replaced", "not started", "lost", "skipped", "missed"];

/// Exit statuses of runs that did not exit, as those of `cronctl run --wait`.
const TIMED_OUT: i32 = 124;
const NOT_RUN: i32 = 125;
const SIGNALLED: i32 = 128;
const TERM: i32 = 15;

/// Counts that are kept beside one for each live entry: those that were changed longest ago are dropped when there are more.
const SPARE: usize = 1_000;

/// What is counted of all jobs, and of the daemon itself.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    jobs: HashMap<JobId, Box<JobCounters>>,
    /// When tables were last loaded, removed, or read again on request (milliseconds of UTC).
    loaded_at_ms: i64,
    /// Counts the changes, so that the counts that were changed longest ago are known.
    changes: u64,
    /// The newest survey that has been completed.
    surveyed: u64,
    /// What was counted of jobs that are not among the unlisted ones any more. It stays in their sums, which never fall.
    remainder: JobCounters,
    /// Rows of slots without a run that an earlier daemon began, as [`JobCounters::row`]: the slots that it counted.
    restored_rows: HashMap<JobId, (i64, u32)>,
}

/// What is counted of a job, or of several.
#[derive(Clone, Debug, Default)]
pub(super) struct JobCounters {
    outcomes: [u32; OUTCOMES.len()],
    retries: u32,
    duration: Histogram,
    delay: Histogram,
    cpu_us: u64,
    max_rss_kib: Option<u64>,
    last_run: Option<LastRun>,
    last_success_ms: Option<i64>,
    last_failure_ms: Option<i64>,
    /// The row of slots without a run that was counted last: its first slot, and how many of it were counted.
    row: Option<(i64, u32)>,
    /// When this was changed, and when its entry was last seen, by the count of changes.
    changed: u64,
    seen: u64,
    /// Whether it was summed with the unlisted jobs when its entry was last seen.
    is_unlisted: bool,
}

#[derive(Clone, Copy, Debug)]
struct LastRun {
    ended_at_ms: i64,
    exit_code: i32,
    is_success: bool,
}

#[derive(Clone, Debug, Default)]
struct Histogram {
    counts: [u32; RANGES],
    sum_ms: u64,
}

impl Histogram {
    fn add(&mut self, ms: u64, bounds: &[u64; RANGES - 1]) {
        let range = bounds.partition_point(|bound| *bound < ms);
        if let Some(count) = self.counts.get_mut(range) {
            *count = count.saturating_add(1);
        }
        self.sum_ms = self.sum_ms.saturating_add(ms);
    }

    fn merge(&mut self, other: &Histogram) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(more);
        }
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
    }

    fn shown(&self) -> cron::Histogram {
        cron::Histogram { counts: self.counts.map(u64::from).to_vec(), sum: self.sum_ms as f64 / 1e3 }
    }
}

impl JobCounters {
    /// Adds what was counted of another job.
    pub(super) fn merge(&mut self, other: &JobCounters) {
        for (count, more) in self.outcomes.iter_mut().zip(other.outcomes) {
            *count = count.saturating_add(more);
        }
        self.retries = self.retries.saturating_add(other.retries);
        self.duration.merge(&other.duration);
        self.delay.merge(&other.delay);
        self.cpu_us = self.cpu_us.saturating_add(other.cpu_us);
        self.max_rss_kib = self.max_rss_kib.max(other.max_rss_kib);
        self.last_success_ms = self.last_success_ms.max(other.last_success_ms);
        self.last_failure_ms = self.last_failure_ms.max(other.last_failure_ms);
        if other.last_run.map(|last| last.ended_at_ms) > self.last_run.map(|last| last.ended_at_ms) {
            self.last_run = other.last_run;
        }
    }

    /// What was counted, for a reply.
    pub(super) fn shown(&self) -> cron::JobCounts {
        let occurred = OUTCOMES.iter().zip(self.outcomes).filter(|(_, count)| *count > 0);
        let shown = |outcome: &str, count| cron::OutcomeCount { outcome: outcome.to_owned(), count: u64::from(count) };
        cron::JobCounts {
            runs: occurred.map(|(outcome, count)| shown(outcome, count)).collect(),
            retries: u64::from(self.retries),
            duration: self.duration.shown(),
            start_delay: self.delay.shown(),
            cpu: self.cpu_us as f64 / 1e6,
            max_rss: self.max_rss_kib.map(|kib| kib.saturating_mul(1024)),
            last_run: self.last_run.map(|last| Time::of_ms(last.ended_at_ms)),
            last_success: self.last_success_ms.map(Time::of_ms),
            last_failure: self.last_failure_ms.map(Time::of_ms),
            exit_code: self.last_run.map(|last| last.exit_code),
            success: self.last_run.is_some_and(|last| last.is_success),
        }
    }

    /// The sums of several jobs, which have no exit status.
    pub(super) fn shown_of_several(&self) -> cron::JobCounts {
        cron::JobCounts { exit_code: None, success: false, ..self.shown() }
    }

    fn add_outcome(&mut self, outcome: &Outcome, count: u32) {
        let number = OUTCOMES.iter().position(|word| *word == outcome.as_str());
        if let Some(counted) = number.and_then(|number| self.outcomes.get_mut(number)) {
            *counted = counted.saturating_add(count);
        }
    }
}

impl Metrics {
    /// The bounds of the histograms, for a page of jobs.
    pub(super) fn empty_page() -> cron::Metrics {
        let seconds = |bounds: [u64; RANGES - 1]| bounds.iter().map(|ms| *ms as f64 / 1e3).collect();
        cron::Metrics {
            duration_bounds: seconds(DURATION_BOUNDS_MS),
            start_delay_bounds: seconds(DELAY_BOUNDS_MS),
            ..cron::Metrics::default()
        }
    }

    /// What was counted of a job, if anything was.
    pub(super) fn of_job(&self, job: &JobId) -> Option<&JobCounters> {
        self.jobs.get(job).map(|counters| &**counters)
    }

    /// When tables were last loaded.
    pub(super) fn loaded_at(&self) -> Time {
        Time::of_ms(self.loaded_at_ms)
    }

    /// Tables were loaded or removed, or read again on request.
    pub(super) fn note_load(&mut self, at_ms: i64) {
        self.loaded_at_ms = at_ms;
    }

    /// An attempt follows a failure.
    pub(super) fn note_retry(&mut self, job: &JobId) {
        let counters = self.counters(job);
        counters.retries = counters.retries.saturating_add(1);
    }

    /// The process of a first attempt was started so long after its slot.
    pub(super) fn note_delay(&mut self, job: &JobId, delay_ms: i64) {
        self.counters(job).delay.add(u64::try_from(delay_ms).unwrap_or(0), &DELAY_BOUNDS_MS);
    }

    /// A run has ended and used this. How that counts is reported later.
    pub(super) fn note_usage(&mut self, job: &JobId, result: &RunResult) {
        if result.started_at_ms.is_none() {
            return;
        }
        let counters = self.counters(job);
        counters.duration.add(result.duration_ms, &DURATION_BOUNDS_MS);
        if let Some(usage) = result.usage {
            let cpu_us = usage.user_us.saturating_add(usage.system_us);
            counters.cpu_us = counters.cpu_us.saturating_add(cpu_us);
            counters.max_rss_kib = Some(usage.max_rss_kib);
        }
    }

    /// A run, or a slot without one, has ended.
    pub(super) fn note_outcome(&mut self, record: &RunRecord) {
        if record.run.is_none() && record.trigger.is_manual() {
            // A manual run that was refused is not part of a row of skipped slots, and does not end it.
            return self.counters(&record.job).add_outcome(&record.outcome, 1);
        }
        if record.run.is_none() {
            return self.note_slots(&record.job, &record.outcome, record.scheduled_at.0, record.count);
        }
        let ended_at_ms = record.ended_at_ms.unwrap_or_else(|| record.scheduled_at.0.saturating_mul(1_000));
        let is_success = matches!(record.outcome, Outcome::Ok { .. });
        let counters = self.counters(&record.job);
        counters.add_outcome(&record.outcome, 1);
        // An earlier run may end after a later one.
        if counters.last_run.is_none_or(|last| last.ended_at_ms <= ended_at_ms) {
            let exit_code = exit_code(&record.outcome);
            counters.last_run = Some(LastRun { ended_at_ms, exit_code, is_success });
        }
        if is_success {
            counters.last_success_ms = counters.last_success_ms.max(Some(ended_at_ms));
        } else if record.outcome.is_failure() {
            counters.last_failure_ms = counters.last_failure_ms.max(Some(ended_at_ms));
        }
    }

    /// Slots had no run: so many of a row that begins with the slot `first`. While the row grows it is reported again, each time as a
    /// whole.
    pub(super) fn note_slots(&mut self, job: &JobId, outcome: &Outcome, first: i64, count: u64) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let restored = self.restored_rows.remove(job);
        let counters = self.counters(job);
        let counted = counters.row.or(restored).filter(|(of, _)| *of == first).map_or(0, |(_, counted)| counted);
        counters.add_outcome(outcome, count.saturating_sub(counted));
        counters.row = Some((first, count.max(counted)));
    }

    /// An earlier daemon has left these rows of slots without a run: the first slot of each, and how many slots it has.
    pub(super) fn restore_rows<'a>(&mut self, rows: impl Iterator<Item = (&'a JobId, i64, u64)>) {
        let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
        self.restored_rows = rows.map(|(job, first, slots)| (job.clone(), (first, count(slots)))).collect();
    }

    /// Drops what was counted of the jobs that changed longest ago, where there are more than twice the number of live entries, `entries`, and
    /// some spare ones.
    pub(super) fn limit(&mut self, entries: usize) {
        if self.jobs.len() <= 2 * entries + SPARE {
            return;
        }
        let mut changes: Vec<u64> = self.jobs.values().map(|counters| counters.changed).collect();
        changes.sort_unstable_by(|one, other| other.cmp(one));
        if let Some(oldest) = changes.get(entries + SPARE / 2).copied() {
            self.retain(|counters| counters.changed > oldest);
        }
    }

    /// Begins a survey of all live entries. Returns the number for [`Metrics::note_seen`].
    pub(super) fn begin_survey(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }

    /// The entry of a job was seen. Of several surveys at once, the one that began last counts.
    pub(super) fn note_seen(&mut self, job: &JobId, survey: u64, is_unlisted: bool) {
        let Some(counters) = self.jobs.get_mut(job) else { return };
        if counters.is_unlisted && !is_unlisted {
            self.remainder.merge(counters);
        }
        (counters.seen, counters.is_unlisted) = (counters.seen.max(survey), is_unlisted);
    }

    /// Drops what was counted of jobs whose entries are gone: two surveys in succession have not seen them. A table that is exchanged while
    /// one goes on may be passed over by it.
    pub(super) fn end_survey(&mut self, survey: u64) {
        let since = self.surveyed.min(survey);
        self.surveyed = self.surveyed.max(survey);
        self.retain(|counters| counters.seen >= since || counters.changed > since);
    }

    /// What was counted of jobs that are not among the unlisted ones any more.
    pub(super) fn remainder(&self) -> &JobCounters {
        &self.remainder
    }

    fn retain(&mut self, is_kept: impl Fn(&JobCounters) -> bool) {
        let remainder = &mut self.remainder;
        self.jobs.retain(|_, counters| {
            let is_kept = is_kept(counters);
            if !is_kept && counters.is_unlisted {
                remainder.merge(counters);
            }
            is_kept
        });
    }

    fn counters(&mut self, job: &JobId) -> &mut JobCounters {
        self.changes += 1;
        let counters = self.jobs.entry(job.clone()).or_default();
        counters.changed = self.changes;
        counters
    }
}

/// The exit status of a run, or the one that `cronctl run --wait` has for its end.
fn exit_code(outcome: &Outcome) -> i32 {
    match outcome {
        Outcome::Ok { status } | Outcome::Failed { status, .. } => *status,
        Outcome::Signal { number, .. } => SIGNALLED.saturating_add(*number),
        Outcome::Timeout => TIMED_OUT,
        Outcome::Killed { .. } | Outcome::Replaced => SIGNALLED + TERM,
        Outcome::NotStarted { .. } | Outcome::Lost | Outcome::Skipped(_) | Outcome::Missed(_) => NOT_RUN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Timestamp;
    use crate::scheduler::{RunId, RunOutcome, SkipReason, Trigger, Usage};

    fn job(name: &str) -> JobId {
        JobId::named("alice", name)
    }

    fn record(run: Option<u64>, outcome: Outcome, at: i64, count: u64) -> RunRecord {
        RunRecord {
            run: run.map(RunId),
            job: job("x"),
            line: 1,
            scheduled_at: Timestamp(at),
            trigger: Trigger::Schedule,
            attempt: 1,
            started_at_ms: run.map(|_| at * 1_000),
            ended_at_ms: run.map(|_| at * 1_000 + 500),
            outcome,
            count,
            until: None,
        }
    }

    fn runs(metrics: &Metrics) -> Vec<(String, u64)> {
        let shown = metrics.of_job(&job("x")).unwrap().shown();
        shown.runs.into_iter().map(|run| (run.outcome, run.count)).collect()
    }

    #[test]
    fn runs_are_counted_by_outcome_with_what_they_used() {
        let mut metrics = Metrics::default();
        assert!(metrics.of_job(&job("x")).is_none());
        let mut result = RunResult::of_outcome(RunId(1), RunOutcome::Code(0), 60_500);
        (result.started_at_ms, result.duration_ms) = (Some(60_000), 500);
        result.usage = Some(Usage { user_us: 200_000, system_us: 50_000, max_rss_kib: 2 });
        metrics.note_delay(&job("x"), 7);
        metrics.note_usage(&job("x"), &result);
        metrics.note_outcome(&record(Some(1), Outcome::Ok { status: 0 }, 60, 1));
        metrics.note_retry(&job("x"));
        metrics.note_outcome(&record(Some(2), Outcome::Timeout, 120, 1));
        let shown = metrics.of_job(&job("x")).unwrap().shown();
        assert_eq!(runs(&metrics), [("ok".to_owned(), 1), ("timeout".to_owned(), 1)]);
        assert_eq!((shown.retries, shown.cpu, shown.max_rss), (1, 0.25, Some(2048)));
        assert_eq!((shown.exit_code, shown.success), (Some(124), false));
        assert_eq!(shown.last_success, Some(Time::of_ms(60_500)));
        assert_eq!((shown.last_failure, shown.last_run), (Some(Time::of_ms(120_500)), Some(Time::of_ms(120_500))));
        // A bound is a part of the range that it ends.
        assert_eq!((shown.duration.counts[1], shown.duration.sum), (1, 0.5));
        assert_eq!((shown.start_delay.counts[2], shown.start_delay.sum), (1, 0.007));
        assert_eq!(shown.duration.counts.len(), Metrics::empty_page().duration_bounds.len() + 1);
    }

    #[test]
    fn a_row_of_skipped_slots_is_counted_once_however_often_it_is_reported() {
        let mut metrics = Metrics::default();
        let skipped = Outcome::Skipped(SkipReason::Paused);
        metrics.note_slots(&job("x"), &skipped, 60, 1);
        metrics.note_outcome(&record(None, skipped.clone(), 60, 5));
        metrics.note_outcome(&record(None, skipped.clone(), 60, 7));
        assert_eq!(runs(&metrics), [("skipped".to_owned(), 7)]);
        metrics.note_outcome(&record(None, skipped.clone(), 600, 2));
        assert_eq!(runs(&metrics), [("skipped".to_owned(), 9)]);
        assert!(metrics.of_job(&job("x")).unwrap().shown().last_run.is_none());
        // A manual run that is refused does not end a row.
        metrics.note_outcome(&RunRecord { trigger: Trigger::Manual, ..record(None, skipped.clone(), 630, 1) });
        metrics.note_outcome(&record(None, skipped, 600, 3));
        assert_eq!(runs(&metrics), [("skipped".to_owned(), 11)]);
    }

    #[test]
    fn of_a_row_that_an_earlier_daemon_began_the_new_slots_are_counted() {
        let mut metrics = Metrics::default();
        metrics.restore_rows([(&job("x"), 60, 5)].into_iter());
        assert!(metrics.of_job(&job("x")).is_none());
        let skipped = Outcome::Skipped(SkipReason::Paused);
        metrics.note_outcome(&record(None, skipped.clone(), 60, 7));
        metrics.note_outcome(&record(None, skipped, 60, 8));
        assert_eq!(runs(&metrics), [("skipped".to_owned(), 3)]);
    }

    #[test]
    fn counts_go_with_their_entries_and_have_a_limit() {
        let mut metrics = Metrics::default();
        metrics.note_retry(&job("gone"));
        metrics.note_retry(&job("live"));
        let survey = metrics.begin_survey();
        metrics.note_seen(&job("live"), survey, false);
        metrics.note_seen(&job("gone"), survey, true);
        metrics.note_retry(&job("new"));
        metrics.end_survey(survey);
        // An entry that is passed over once may have been in a table that was exchanged.
        for retries in [0, 0, 1] {
            assert_eq!(metrics.remainder().shown().retries, retries);
            assert_eq!(metrics.of_job(&job("gone")).is_none(), retries == 1);
            let survey = metrics.begin_survey();
            metrics.note_seen(&job("live"), survey, false);
            metrics.note_seen(&job("new"), survey, false);
            metrics.end_survey(survey);
        }
        assert!(metrics.of_job(&job("live")).is_some() && metrics.of_job(&job("new")).is_some());
        for number in 0..5_000 {
            metrics.note_retry(&job(&number.to_string()));
            metrics.limit(10);
        }
        assert!(metrics.jobs.len() <= 20 + SPARE && metrics.of_job(&job("4999")).is_some());
        assert!(metrics.of_job(&job("0")).is_none());
    }

    #[test]
    fn counts_of_several_jobs_are_summed() {
        let mut metrics = Metrics::default();
        metrics.note_outcome(&record(Some(1), Outcome::Ok { status: 0 }, 60, 1));
        let one = metrics.of_job(&job("x")).unwrap();
        let mut all = JobCounters::default();
        all.merge(one);
        all.merge(one);
        let shown = all.shown_of_several();
        assert_eq!((shown.runs[0].count, shown.exit_code), (2, None));
        assert_eq!(shown.last_success, Some(Time::of_ms(60_500)));
    }
}
