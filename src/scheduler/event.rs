//! The events that the scheduler handles.

use super::earlier_run::EarlierRun;
use super::fleet::FleetEvent;
use super::job_id::JobId;
use super::jobs::{Pause, PauseScope};
use super::run_id::RunId;
use super::run_result::RunResult;
use super::saved::SavedState;
use super::source::Source;
use crate::crontab::{Anacrontab, Calendars, Crontab};
use crate::schedule::{Day, Timestamp, Zone};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Something that has happened and that the scheduler must know.
#[derive(Debug)]
pub enum Event {
    /// The daemon has started and loaded its tables. Comes once, after the first `Load`s.
    DaemonStarted {
        /// `@reboot` entries are to run.
        boot: bool,
        /// Everything due up to here was handed out by an earlier daemon of this boot; what was due after it and within the last three
        /// minutes is caught up. None: the current second counts as done, nothing is caught up.
        completed: Option<Timestamp>,
        /// What was started all the same although it was due later than that: jobs with the moments for which they were started. They are not
        /// started again.
        started: Vec<(JobId, Timestamp)>,
        /// Runs of an earlier daemon that still go on.
        running: Vec<(RunId, JobId)>,
        /// What it has left about its jobs.
        saved: Box<SavedState>,
    },
    /// The time has come that [`super::Scheduler::wake_at`] named, or the clock was set, or the machine woke up.
    Tick,
    /// A table is new or has changed (same path: replaces it).
    Load {
        /// Where the table came from.
        source: Source,
        /// The parsed entries and settings of the table.
        table: Crontab,
    },
    /// A table is gone or refused.
    Unload {
        /// The path of the table, which identifies it.
        path: String,
    },
    /// The anacrontab and the stamps of its jobs were read: before [`Event::DaemonStarted`] where the daemon does anacron's work, and for each
    /// [`super::Action::ReadAnacrontab`].
    LoadAnacrontab {
        /// Where the table comes from.
        source: Source,
        /// The table; none if there is none that may be used, or when anacron itself is installed.
        table: Option<Arc<Anacrontab>>,
        /// The day on the stamp of each job that has one.
        stamps: BTreeMap<Vec<u8>, Day>,
        /// Whether due jobs must wait because the machine runs on its battery.
        is_on_battery: bool,
    },
    /// The anacrontab or a stamp may have changed.
    AnacrontabChanged,
    /// The answer to [`super::Action::PrepareAnacronJob`].
    AnacronJobPrepared(Preparation),
    /// Runs that executors of earlier daemons have begun in the last minutes, ended ones included. Comes before [`Event::DaemonStarted`]. A run that the
    /// saved state has and these do not was requested and never begun, or its slot was begun as another run.
    EarlierStarts(Vec<EarlierRun>),
    /// Runs of an earlier daemon whose results have not been delivered to it: they go on, or their ends follow. Comes before
    /// [`Event::DaemonStarted`].
    EarlierRuns(Vec<EarlierRun>),
    /// The system's time zone is another one now.
    SystemZone(Arc<Zone>),
    /// The calendars that `CRON_EXCEPT` may name, instead of those before.
    Calendars(Calendars),
    /// A run ended, in whichever way.
    RunEnded(Box<RunResult>),
    /// The executor has accepted these starts: it is making them, or has found out that they cannot be made. It has room for as many others.
    Accepted(Vec<RunId>),
    /// Somebody wants a run of a job now.
    RunByHand {
        /// The job that is to run.
        job: JobId,
        /// Whether it keeps to the rules for overlap and groups.
        start: ManualStart,
    },
    /// Somebody pauses a job for a while or without an end.
    Pause {
        /// The job that is paused.
        job: JobId,
        /// From when to when, who and why.
        pause: Pause,
    },
    /// Somebody ends a pause before its time.
    Resume {
        /// The job whose pause ends.
        job: JobId,
    },
    /// Somebody pauses all jobs: entries that are added from now on are paused. The known ones get an [`Event::Pause`] each.
    PauseAll {
        /// The owners whose jobs are paused.
        scope: PauseScope,
        /// From when to when, who and why.
        pause: Pause,
    },
    /// Somebody takes that back. The known jobs get an [`Event::Resume`] each.
    ResumeAll {
        /// The owners whose jobs are resumed.
        scope: PauseScope,
    },
    /// Somebody has paused or resumed this job by itself: a pause of all that they may end does not hold for it any more.
    LeftOutOfPauses {
        /// The job that was paused or resumed by itself.
        job: JobId,
        /// Whether they may end pauses by root.
        is_by_root: bool,
    },
    /// A user or root ends a job's oldest run, or cancels its waiting start, or its retry.
    Kill {
        /// The job of which something is to end.
        job: JobId,
        /// The login name of the user who requested it.
        by: String,
    },
    /// The engine of the fleet says something.
    Fleet(FleetEvent),
    /// Start nothing more. What is due and has not been handed over is left to the next daemon, or, where there is nothing that the next one
    /// could know it by, skipped.
    Stop {
        /// What becomes of starts in the queue. The next daemon knows of them by the record of what was started.
        queue: AtStop,
        /// What becomes of what waits by the policies of jobs, and of their retries. The next daemon knows of them by the saved state.
        jobs: AtStop,
    },
}

/// Whether a run by hand keeps to the rules for overlap and groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManualStart {
    /// The run waits where a slot would wait, and is refused where a slot would be skipped.
    ByRules,
    /// The run starts at once, without the overlap and group rules.
    Forced,
}

/// What becomes at a stop of what has not been started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtStop {
    /// The next daemon will know of it, and starts it.
    LeaveToNext,
    /// No daemon will know of it: it is skipped.
    Skip,
}

/// Whether an anacron job can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preparation {
    /// The stamp of the job can be written after its run.
    Ready {
        /// The day on the stamp now.
        stamp: Option<Day>,
    },
    /// The stamp of the job cannot be written: the job is not started, as it would run again after a restart.
    Failed,
    /// anacron itself has been installed, and runs the job.
    NotOurs,
}
