//! Job policies: what becomes of a slot, of a failure, of a run by hand, while other runs of the job or of its group go on.
//!
//! Only jobs that have a policy, a pause or a run by hand are known here; all others start at each slot. The rules are those of crontab(5),
//! JOB SETTINGS. Everything is pure: calls say what has happened, and a [`Turn`] collects what follows from it.

mod ends;
mod group;
mod job;
mod loading;
mod missed;
mod notices;
mod pause;
mod pause_of_all;
mod records;
mod requests;
mod restart;
mod retries;
mod slots;

pub(super) use group::GroupKey;
pub use job::EndReason;
pub(super) use job::{JobSpec, JobState};
pub use notices::{Notice, NoticeEvent};
pub use pause::Pause;
pub use pause_of_all::PauseScope;
pub(super) use pause_of_all::{PauseOfAll, PausesOfAll};
pub(super) use restart::RunStart;

use self::group::Group;
use self::job::{Item, Job};
use self::pause::Pauses;
use super::event::{Now, RunId, RunResult};
use super::follow_up::PingEvent;
use super::job_id::JobId;
use super::run_record::{RunRecord, SkipReason};
use super::start_queue::EntryKey;
use crate::schedule::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// All jobs that have a policy or a state, and their groups.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    jobs: BTreeMap<JobId, Job>,
    groups: BTreeMap<GroupKey, Group>,
    /// Pending retries by the milliseconds of the monotonic clock at which they are due.
    retries: BTreeSet<(i64, JobId)>,
    /// Expected successes by the moment until which they are expected.
    late: BTreeSet<(Timestamp, JobId)>,
    /// Rows of skipped slots whose records are not up to date, by the moment at which they are brought up to date.
    row_updates: BTreeSet<(Timestamp, JobId)>,
    pauses: Pauses,
    pauses_of_all: PausesOfAll,
    runs: HashMap<RunId, JobId>,
    /// Places in groups that runs of earlier daemons have whose entries are not loaded.
    unclaimed_places: HashMap<RunId, GroupKey>,
    /// For each job, the `@after` jobs that wait for it.
    dependents: BTreeMap<JobId, BTreeSet<JobId>>,
    next_ticket: u64,
    /// Entries are being exchanged: nothing goes on until all of them are known.
    is_changing: bool,
    /// Jobs and groups that may go on when the change is complete.
    changed_jobs: BTreeSet<JobId>,
    changed_groups: BTreeSet<GroupKey>,
    /// It is not known yet which retries of an earlier daemon are given up: none begins.
    pub(super) is_beginning: bool,
    /// Nothing is started any more.
    is_stopped: bool,
}

/// One call: when it is, and what follows from it.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pub(super) now: Now,
    /// The id that the next run will have.
    pub(super) next_run: &'a mut u64,
    pub(super) decisions: Vec<Decision>,
    /// Jobs whose state has changed.
    pub(super) changed: BTreeSet<JobId>,
    /// Jobs whose pause has begun or ended.
    pub(super) changed_pauses: BTreeSet<JobId>,
    /// Pauses of all that have begun, changed or ended.
    pub(super) changed_scopes: BTreeSet<PauseScope>,
    /// `@after` entries that are due, with the moment of the last end that they needed.
    pub(super) due_after: BTreeMap<JobId, Timestamp>,
}

/// What follows from a call.
#[derive(Debug, PartialEq)]
pub(super) enum Decision {
    /// Put this into the start queue.
    Start(PlannedRun),
    /// Have all processes of this run ended, for that reason.
    End { run: RunId, entry: Option<EntryKey>, why: EndReason },
    /// Record how a run or a slot has ended.
    Record(Box<RunRecord>),
    /// More slots of a row have been skipped, which has not ended: bring its record up to date.
    UpdateRow(Box<RunRecord>),
    /// A slot was left out for another reason than the one before: log it.
    LeftOut { entry: EntryKey, reason: SkipReason, scheduled_at: Timestamp },
    /// An `@N` entry counts from that moment.
    CountFrom(EntryKey, Timestamp),
    /// Notify the owner of the job.
    Notice(Box<Notice>),
    /// Call the job's web service.
    Ping(PingEvent, Box<RunRecord>),
    /// No attempt follows this run.
    Conclude { run: RunId, is_mailed: bool },
}

/// A run for the start queue.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PlannedRun {
    pub(super) job: JobId,
    pub(super) entry: EntryKey,
    pub(super) run: RunId,
    pub(super) item: Item,
}

/// Why a run by hand was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedRun {
    /// No such job, or its entry is gone.
    NoSuchJob,
    /// A run of it is running or waits, and overlap is forbidden. Recorded as skipped.
    StillRunning,
    /// Too many runs by hand wait.
    TooMany,
}

/// What a request to end a job has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killed {
    /// A run, which is being ended.
    Run(RunId),
    /// A slot that waited.
    Waiting,
    /// A further attempt after a failure.
    Retry,
    /// There is nothing that could end.
    Nothing,
}

impl<'a> Turn<'a> {
    pub(super) fn new(now: Now, next_run: &'a mut u64) -> Turn<'a> {
        Turn {
            now,
            next_run,
            decisions: Vec::new(),
            changed: BTreeSet::new(),
            changed_pauses: BTreeSet::new(),
            changed_scopes: BTreeSet::new(),
            due_after: BTreeMap::new(),
        }
    }

    fn allocate(&mut self) -> RunId {
        let run = RunId(*self.next_run);
        *self.next_run += 1;
        run
    }

    /// When a run ended, by the wall clock as it is now: the clock may have been set since.
    fn at(&self, ended: &RunResult) -> Timestamp {
        let ago_ms = ended.ended_elapsed_ms.map_or(0, |at| (self.now.elapsed_ms - at).max(0));
        Timestamp(self.now.utc.0 - ago_ms.div_euclid(1_000))
    }

    fn record(&mut self, record: RunRecord) {
        self.decisions.push(Decision::Record(Box::new(record)));
    }
}
