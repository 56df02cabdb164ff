//! The runs that have not ended, and the last outcome of each job, as the control socket shows them.

use crate::executor::RunOfJob;
use crate::schedule::Timestamp;
use crate::scheduler::{JobId, RunId, RunRecord, RunRequest, RunResult, RunRules, SharedBytes, Source, Trigger};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Outcomes that are kept beside one for each live entry: those of jobs whose entries are gone are dropped when there are so many.
const SPARE: usize = 1_000;

/// A run that was handed over to an executor and has not ended.
#[derive(Clone, Debug)]
pub(super) struct LiveRun {
    pub(super) job: JobId,
    /// The user that it runs as; empty for the caller of a standalone daemon.
    pub(super) user: String,
    pub(super) source: Source,
    pub(super) line: u32,
    pub(super) command: SharedBytes,
    /// The time of its slot, in seconds of UTC.
    pub(super) scheduled_at: i64,
    pub(super) trigger: Trigger,
    pub(super) attempt: u32,
    /// Process id of its session leader, once it has one.
    pub(super) pid: Option<u32>,
    /// When its process was started, milliseconds of UTC.
    pub(super) started_at_ms: Option<i64>,
}

impl LiveRun {
    /// How it has ended, for a run of an entry without a policy.
    pub(super) fn record(&self, result: &RunResult) -> RunRecord {
        RunRecord {
            run: Some(result.run),
            job: self.job.clone(),
            line: self.line,
            scheduled_at: Timestamp(self.scheduled_at),
            trigger: self.trigger,
            attempt: self.attempt,
            started_at_ms: result.started_at_ms,
            ended_at_ms: Some(result.ended_at_ms),
            outcome: RunRules::default().outcome(result, None),
            count: 1,
            until: None,
        }
    }
}

/// The runs in progress, and last outcomes.
#[derive(Debug, Default)]
pub(super) struct LiveRuns {
    runs: BTreeMap<RunId, LiveRun>,
    by_job: HashMap<JobId, Vec<RunId>>,
    last: HashMap<JobId, RunRecord>,
    /// Runs that have ended and whose outcomes are being decided.
    ended: BTreeMap<RunId, LiveRun>,
    failing: HashSet<JobId>,
}

impl LiveRuns {
    /// Notes a run that is handed over to the executor.
    pub(super) fn add(&mut self, start: &RunRequest) {
        let run = LiveRun {
            job: start.job.clone(),
            user: start.user.clone(),
            source: start.source.clone(),
            line: start.line,
            command: start.command.clone(),
            scheduled_at: start.scheduled_at,
            trigger: start.trigger,
            attempt: start.attempt,
            pid: None,
            started_at_ms: None,
        };
        self.insert(start.run, run);
    }

    /// Notes a run of an earlier daemon, of a job that would be started by `like`.
    pub(super) fn add_earlier(&mut self, earlier: &RunOfJob, like: &RunRequest) {
        let (trigger, attempt) = earlier.cause.map_or((like.trigger, like.attempt), |of| (of.trigger, of.attempt));
        let scheduled_at = earlier.scheduled_at;
        self.add(&RunRequest { run: earlier.run, scheduled_at, trigger, attempt, ..like.clone() });
    }

    fn insert(&mut self, id: RunId, run: LiveRun) {
        self.by_job.entry(run.job.clone()).or_default().push(id);
        self.runs.insert(id, run);
    }

    /// Notes the process of a run.
    pub(super) fn set_process(&mut self, id: RunId, pid: u32, started_at_ms: i64) {
        if let Some(run) = self.runs.get_mut(&id) {
            (run.pid, run.started_at_ms) = (Some(pid), Some(started_at_ms));
        }
    }

    /// Forgets a run that has ended.
    pub(super) fn remove(&mut self, id: RunId) -> Option<LiveRun> {
        let run = self.runs.remove(&id)?;
        if let Some(runs) = self.by_job.get_mut(&run.job) {
            runs.retain(|other| *other != id);
            if runs.is_empty() {
                self.by_job.remove(&run.job);
            }
        }
        Some(run)
    }

    /// Keeps what is known of a run that has ended until its outcome is decided.
    pub(super) fn keep_ended(&mut self, id: RunId, run: LiveRun) {
        // Whatever was not decided by then never will be.
        if self.ended.len() > SPARE {
            self.ended.pop_first();
        }
        self.ended.insert(id, run);
    }

    /// Takes what is known of a run that has ended.
    pub(super) fn take_ended(&mut self, id: RunId) -> Option<LiveRun> {
        self.ended.remove(&id)
    }

    /// A run in progress.
    pub(super) fn get(&self, id: RunId) -> Option<&LiveRun> {
        self.runs.get(&id)
    }

    /// All runs in progress.
    pub(super) fn iter(&self) -> impl Iterator<Item = (RunId, &LiveRun)> {
        self.runs.iter().map(|(id, run)| (*id, run))
    }

    /// The runs of a job that are in progress, in the order of their starts.
    pub(super) fn of_job(&self, job: &JobId) -> impl Iterator<Item = (RunId, &LiveRun)> {
        self.by_job.get(job).into_iter().flatten().filter_map(|id| Some((*id, self.runs.get(id)?)))
    }

    /// Notes how a run ended. Outcomes of slots without a run do not replace those of runs. `entries` is the number of live entries.
    pub(super) fn note_outcome(&mut self, record: &RunRecord, entries: usize) {
        let is_of_run = record.run.is_some();
        if !is_of_run {
            return;
        }
        match record.outcome.is_failure() {
            true => self.failing.insert(record.job.clone()),
            false => self.failing.remove(&record.job),
        };
        if self.last.len() > 2 * entries + SPARE {
            // Whatever has run since is noted again at its next end.
            self.last.clear();
            self.failing.clear();
        }
        self.last.insert(record.job.clone(), record.clone());
    }

    /// How the last run of a job ended.
    pub(super) fn last(&self, job: &JobId) -> Option<&RunRecord> {
        self.last.get(job)
    }

    /// Whether the last run of a job failed.
    pub(super) fn is_failing(&self, job: &JobId) -> bool {
        self.failing.contains(job)
    }
}
