//! The actions that the scheduler returns, and that the daemon carries out.

use super::fleet::FleetRequest;
use super::follow_up::FollowUp;
use super::jobs::Notice;
use super::run_id::RunId;
use super::run_record::{EndReason, RunRecord, SkipReason};
use super::run_request::RunRequest;
use super::saved::StateChange;
use super::source::Source;
use crate::schedule::{Day, Timestamp};

/// Something that the daemon must do, in the order of the answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Hand this to the executor.
    Start(Box<RunRequest>),
    /// A due moment, or several of one entry in a row, ended without a start.
    Skipped {
        /// What would have been started; of several, the last.
        start: Box<RunRequest>,
        /// Why there was no start.
        why: SkipReason,
        /// The number of due moments.
        count: u64,
        /// The first of them, seconds of UTC.
        first: Timestamp,
    },
    /// Have a run ended: all its processes, TERM first, KILL after its grace.
    End {
        /// The run that is to end.
        run: RunId,
        /// Why it ends, for its record.
        why: EndReason,
    },
    /// Keep this for the next daemon.
    SaveState(Box<StateChange>),
    /// Record how a run or a slot ended.
    Record(Box<RunRecord>),
    /// Bring the record of skipped slots up to date that will be recorded as a whole when others follow no more.
    UpdateRow(Box<RunRecord>),
    /// Notify the owner of a job.
    Notice(Box<Notice>),
    /// Run a hook, or call a web service.
    FollowUp(Box<FollowUp<Box<RunRequest>>>),
    /// No attempt follows this run, and everything that needs its output has been asked for: mail what is kept of it, or drop it.
    Conclude {
        /// The run of the last attempt.
        run: RunId,
        /// Whether it is mailed, as far as the rules for the output allow it.
        is_mailed: bool,
    },
    /// Read the anacrontab and the stamps, and answer with [`super::Event::LoadAnacrontab`].
    ReadAnacrontab,
    /// An anacron job was found due: say so.
    AnacronJobDue {
        /// The job's identifier in the anacrontab.
        id: Vec<u8>,
        /// When it is to start.
        starts_at: Timestamp,
    },
    /// Make sure that the stamp of this anacron job can be written, and answer with [`super::Event::AnacronJobPrepared`].
    PrepareAnacronJob {
        /// The job's identifier in the anacrontab.
        id: Vec<u8>,
    },
    /// Write that an anacron job has run.
    WriteStamp {
        /// The job's identifier in the anacrontab.
        id: Vec<u8>,
        /// The day of the run.
        day: Day,
        /// What happened, because of which the day is written.
        cause: StampCause,
    },
    /// Run ids up to this one, exclusive, are about to be used: write that down, so that no later daemon uses them again.
    ReserveRuns(RunId),
    /// Everything due up to here has been handed out: write the record.
    Completed(Timestamp),
    /// Ask the engine of the fleet for this. Where there is no connection (before [`super::FleetEvent::Listing`] and after
    /// [`super::FleetEvent::Away`]) none is asked for.
    Fleet(Box<FleetRequest>),
    /// These runs may continue until then, in milliseconds of the monotonic clock: the lease of the node was renewed. It replaces
    /// [`super::FleetRun::end_by_ms`] of their requests.
    ExtendRuns {
        /// The runs of jobs with `failover`.
        runs: Vec<RunId>,
        /// When the executor ends them unless they are extended again.
        end_by_ms: i64,
    },
    /// Something is wrong with an entry: say so.
    WarnOfEntry(Box<EntryWarning>),
    /// Slots passed while no daemon was running: log it.
    WasAway(Absence),
    /// The clock jumped: log it.
    Jumped {
        /// Seconds, positive forward; a sleep counts as forward.
        seconds: i64,
        /// Missed starts that are caught up because of it.
        caught_up: usize,
    },
}

/// A warning about an entry that only a daemon can give: because of other entries, or of its missed slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryWarning {
    /// The table that the entry is in.
    pub source: Source,
    /// The line of the entry in that file, from 1.
    pub line: u32,
    /// The text of the warning.
    pub message: String,
}

/// Slots that came while no daemon was there, of entries without `CRON_CATCHUP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    /// For how many seconds nothing was handled.
    pub seconds: i64,
    /// How many slots passed.
    pub slots: u64,
    /// Whether there were more, which were not counted.
    pub is_more: bool,
    /// How many of them start now, by the rule for restarts.
    pub started: usize,
}

/// What counts as the run of an anacron job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StampCause {
    /// The job itself has ended.
    Ended,
    /// A line of a system table starts the same directory. Such lines do nothing where anacron is installed: then nothing is written.
    RegularLine,
}
