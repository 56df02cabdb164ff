//! How a run has ended: what the executor reports to the daemon, field by field as it is sent and kept in journals.
//!
//! Wire format (postcard): an executor and a daemon of another version may exchange these, and journals keep them. Fields and variants are
//! neither removed nor reordered; new variants are added at the end. `executor::wire` says which messages they are part of.

use super::run_id::RunId;
use super::run_record::SkipReason;

/// How a due moment ended: each has exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum RunOutcome {
    /// The job exited with this status.
    Code(i32),
    /// A signal ended the job.
    Signal {
        /// The number of the signal.
        number: i32,
        /// Whether it left a core.
        core_dumped: bool,
    },
    /// The job could not be started.
    NotStarted {
        /// What was being done and what came of it: `setuid 1000: Resource temporarily unavailable`.
        why: String,
    },
    /// The scheduler decided against a start.
    Skipped(SkipReason),
    /// The executor was lost, and the outcome is unknown.
    Lost,
}

/// Everything that is known of a run that has ended. The executor sends it to the daemon and keeps it in its journal as it is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RunResult {
    /// The id of the run.
    pub run: RunId,
    /// How the run ended, or why there was none.
    pub outcome: RunOutcome,
    /// When the job's process was started, in milliseconds of Unix time. None: it never had a process, or the time is unknown.
    pub started_at_ms: Option<i64>,
    /// When it ended, or when that became known, in milliseconds of Unix time.
    pub ended_at_ms: i64,
    /// How long it ran by a clock that is never set, in milliseconds.
    pub duration_ms: u64,
    /// Process id of the job's session leader, if it had one.
    pub pid: Option<u32>,
    /// What it used, if the kernel reported it.
    pub usage: Option<Usage>,
    /// What it had written when it ended.
    pub output: OutputCounts,
    /// Whether it was ended because its time was over.
    pub is_timeout: bool,
    /// When it ended, in milliseconds of the monotonic clock of this boot, if that is known.
    pub ended_elapsed_ms: Option<i64>,
    /// A digest of what it had written, where the next run's mail depends on it.
    pub output_digest: Option<u64>,
}

impl RunResult {
    /// The result of a run of which nothing but its outcome is known.
    pub fn of_outcome(run: RunId, outcome: RunOutcome, ended_at_ms: i64) -> RunResult {
        RunResult {
            run,
            outcome,
            started_at_ms: None,
            ended_at_ms,
            duration_ms: 0,
            pid: None,
            usage: None,
            output: OutputCounts::default(),
            is_timeout: false,
            ended_elapsed_ms: None,
            output_digest: None,
        }
    }
}

/// What a job's process, and the children that it waited for, used (getrusage(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Usage {
    /// CPU time in user mode, in microseconds.
    pub user_us: u64,
    /// CPU time in the kernel, in microseconds.
    pub system_us: u64,
    /// Largest resident set of one of these processes, in KiB; at least that of the process that started the job.
    pub max_rss_kib: u64,
}

/// How much a job wrote to its standard output and standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OutputCounts {
    /// All bytes that it wrote to both.
    pub bytes: u64,
    /// Bytes of these that were not kept for the mail or the log.
    pub dropped_bytes: u64,
    /// Bytes of these that came from standard error, where that has a pipe of its own.
    pub stderr_bytes: u64,
}

/// What became of the mail with a run's output. It is known after the run's result, as a mailer may take its time.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum MailResult {
    /// There was no output, or the rules of the job send no mail.
    NotWanted,
    /// The mailer took it and exited with status 0.
    Sent,
    /// The mailer failed, or could not be started.
    Failed {
        /// Why: `the mailer was killed after 600 s`.
        why: String,
    },
    /// The mail was dropped because too many mails of its owner waited.
    Dropped,
}
