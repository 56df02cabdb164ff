//! How a slot or a run ended, as it is recorded.
//!
//! [`Trigger`] and [`SkipReason`] are also parts of the wire formats in `run_request` and `run_result`: their variants are never reordered.

use super::job_id::JobId;
use super::run_id::RunId;
use crate::schedule::Timestamp;
use serde::{Deserialize, Serialize};

/// One recorded outcome: of one run, of a slot without a run, or of several slots in a row that were skipped for the same reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The run. None: the slot had no run.
    pub run: Option<RunId>,
    /// The job that it is a record of.
    pub job: JobId,
    /// Line of its entry, from 1, when it was decided.
    pub line: u32,
    /// The slot, or the first of them (UTC, by the machine's clock).
    pub scheduled_at: Timestamp,
    /// What caused the run.
    pub trigger: Trigger,
    /// Which attempt for the slot, from 1; 0 where there was no run.
    pub attempt: u32,
    /// When the run began, milliseconds of UTC.
    pub started_at_ms: Option<i64>,
    /// When it ended, milliseconds of UTC.
    pub ended_at_ms: Option<i64>,
    /// How the run ended, or why there was none.
    pub outcome: Outcome,
    /// How many slots this stands for.
    pub count: u64,
    /// The last of several slots.
    pub until: Option<Timestamp>,
}

/// Why the end of a run was requested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndReason {
    /// A newer slot takes its place.
    Replaced,
    /// A user or root requested it. The value: the login name for the log.
    Killed(String),
}

/// The reason for which a run was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Trigger {
    /// The schedule of the entry.
    Schedule,
    /// `CRON_CATCHUP`: the slot was missed.
    CatchUp,
    /// `CRON_RETRY`: an attempt before it failed.
    Retry,
    /// A user or root requested it (`cronctl run`).
    Manual,
    /// `@after`: the jobs before it have succeeded.
    After,
    /// `@reboot`: the machine has started.
    Reboot,
    /// /etc/anacrontab: the job's period has passed.
    Anacron,
    /// `CRON_FLEET=one,failover`: the node that ran it was lost.
    Failover,
}

/// What has led to a run. Part of the format of the executor's journal: fields and triggers are neither removed nor reordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCause {
    /// The reason for which it was started.
    pub trigger: Trigger,
    /// The attempt for the slot, from 1.
    pub attempt: u32,
}

/// Why a run failed whose exit status counts as success, in the words of log, mail and history.
pub const OUTPUT_ON_STDERR: &str = "output on standard error";

/// Every way in which a slot or a run can end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The job exited with a status that counts as success.
    Ok {
        /// The exit status of the job.
        status: i32,
    },
    /// The job exited with another status, or wrote to standard error where that is a failure.
    Failed {
        /// The exit status of the job.
        status: i32,
        /// Whether the status counts as success, and only what the job wrote to standard error is the failure (`CRON_FAIL_ON=stderr`).
        #[serde(default)]
        is_by_stderr: bool,
    },
    /// A signal ended the job.
    Signal {
        /// The number of the signal.
        number: i32,
        /// Whether it left a core dump.
        core_dumped: bool,
    },
    /// The run was ended because it exceeded its time limit.
    Timeout,
    /// Somebody ended it, or cancelled the slot that waited.
    Killed {
        /// Who ended it, as the log names them.
        by: String,
    },
    /// The run was ended because the next slot was due.
    Replaced,
    /// The job could not be started.
    NotStarted {
        /// The step that failed and the system's reason.
        why: String,
    },
    /// Nobody knows how the run ended.
    Lost,
    /// The scheduler decided against a start.
    Skipped(SkipReason),
    /// The slot passed while nothing could be started.
    Missed(MissReason),
}

/// Why a slot was not started. The order is part of the executor's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SkipReason {
    /// A run of the job was running or waiting and the entry forbids overlap.
    StillRunning,
    /// A newer slot of the same entry took its place.
    Superseded,
    /// The entry was removed or changed while the slot waited.
    EntryRemoved,
    /// The daemon was stopped while the slot waited, and keeps no state.
    Stopped,
    /// `CRON_EXCEPT` excludes the day of the slot.
    Calendar,
    /// The job was paused.
    Paused,
    /// The engine of the fleet could not be reached.
    EngineAway,
}

/// Why a slot was missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MissReason {
    /// The daemon was not running.
    Down,
    /// The machine was asleep at the slot.
    Asleep,
    /// The clock was set forward.
    Clock,
    /// More slots were missed than are caught up.
    Limit,
    /// The slot was too old when it could have been caught up.
    MaxAge,
    /// No node of the fleet has claimed it.
    NoNode,
}

impl Trigger {
    /// Whether a user or root asked for the run.
    pub fn is_manual(self) -> bool {
        self == Trigger::Manual
    }

    /// The word for the log, the history and `CRON_TRIGGER`.
    pub fn as_str(self) -> &'static str {
        match self {
            Trigger::Schedule => "schedule",
            Trigger::CatchUp => "catchup",
            Trigger::Retry => "retry",
            Trigger::Manual => "manual",
            Trigger::After => "after",
            Trigger::Reboot => "reboot",
            Trigger::Anacron => "anacron",
            Trigger::Failover => "failover",
        }
    }
}

impl SkipReason {
    /// The words for the log and the history.
    pub fn as_str(self) -> &'static str {
        match self {
            SkipReason::Calendar => "calendar",
            SkipReason::Paused => "paused",
            SkipReason::StillRunning => "still running",
            SkipReason::Superseded => "superseded",
            SkipReason::EntryRemoved => "entry removed",
            SkipReason::Stopped => "stopped",
            SkipReason::EngineAway => "fleet away",
        }
    }
}

impl MissReason {
    /// The words for the log and the history.
    pub fn as_str(self) -> &'static str {
        match self {
            MissReason::Down => "down",
            MissReason::Asleep => "asleep",
            MissReason::Clock => "clock",
            MissReason::Limit => "limit",
            MissReason::MaxAge => "max-age",
            MissReason::NoNode => "no node",
        }
    }
}

impl Outcome {
    /// The word for the log and the history.
    pub fn as_str(&self) -> &'static str {
        match self {
            Outcome::Ok { .. } => "ok",
            Outcome::Failed { .. } => "failed",
            Outcome::Signal { .. } => "signal",
            Outcome::Timeout => "timeout",
            Outcome::Killed { .. } => "killed",
            Outcome::Replaced => "replaced",
            Outcome::NotStarted { .. } => "not started",
            Outcome::Lost => "lost",
            Outcome::Skipped(_) => "skipped",
            Outcome::Missed(_) => "missed",
        }
    }

    /// Why, where the outcome has a reason.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Outcome::Skipped(reason) => Some(reason.as_str()),
            Outcome::Missed(reason) => Some(reason.as_str()),
            Outcome::NotStarted { why } => Some(why),
            Outcome::Failed { is_by_stderr: true, .. } => Some(OUTPUT_ON_STDERR),
            Outcome::Ok { .. }
            | Outcome::Failed { .. }
            | Outcome::Signal { .. }
            | Outcome::Timeout
            | Outcome::Killed { .. }
            | Outcome::Replaced
            | Outcome::Lost => None,
        }
    }

    /// The exit status, where the job exited.
    pub fn exit_status(&self) -> Option<i32> {
        match self {
            Outcome::Ok { status } | Outcome::Failed { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether a further attempt may follow.
    pub fn is_failure(&self) -> bool {
        matches!(self, Outcome::Failed { .. } | Outcome::Signal { .. } | Outcome::Timeout | Outcome::NotStarted { .. })
    }
}
