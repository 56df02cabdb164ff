//! The events that the scheduler handles and the actions that it asks for, with what describes a start and an end.

use super::environment::Environment;
use super::follow_up::FollowUp;
use super::job_id::JobId;
use super::jobs::{EndReason, Notice, Pause, PauseScope};
pub use super::run_id::RunId;
use super::run_record::{Outcome, RunRecord, SkipReason, Trigger};
use super::saved::{SavedState, StateChange};
use crate::crontab::{
    Anacrontab, Backslash, Calendars, Command, Crontab, ExitStatuses, Flags, Form, HistoryRule, MailRule, Policy,
    ResourceLimits, SharedBytes,
};
use crate::schedule::{Day, Timestamp, Zone};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The moment at which an event is handled, as the loop read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The wall clock, whole seconds of UTC.
    pub utc: Timestamp,
    /// Milliseconds of a clock that is never set and stands still while the machine sleeps (CLOCK_MONOTONIC). The
    /// difference to `utc` tells a step or a sleep.
    pub elapsed_ms: i64,
}

/// Whose table it is, which decides as whom its entries run.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Owner {
    /// A table of the spool, which belongs to one user.
    User {
        /// Login name, which is the file's name.
        name: String,
        /// The file's owner; a job runs only while the user still has this uid, or when it is 0.
        uid: u32,
    },
    /// /etc/crontab or a file of /etc/cron.d: the entry names its user.
    System,
    /// `crond FILE`: everything runs as the caller.
    Caller,
}

/// Where a live table came from. The path is its identity.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Source {
    /// The path of the file.
    pub path: String,
    /// What the log calls it: the user's name, `*system*` or `*system*backup`.
    pub name: String,
    /// Whose table it is.
    pub owner: Owner,
}

/// Something that has happened and that the scheduler must know.
#[derive(Debug)]
pub enum Event {
    /// The daemon has loaded its tables and begins. Comes once, after the first `Load`s.
    Begin {
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
        /// Its entries and settings, parsed.
        table: Crontab,
    },
    /// A table is gone or refused.
    Unload {
        /// The path of the table, which identifies it.
        path: String,
    },
    /// The anacrontab and the stamps of its jobs were read: before [`Event::Begin`] where the daemon does anacron's work, and for each
    /// [`Action::ReadAnacrontab`].
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
    /// The answer to [`Action::PrepareAnacronJob`].
    AnacronJobPrepared(Preparation),
    /// Runs that executors of earlier daemons have begun in the last minutes, ended ones included. Comes before [`Event::Begin`]. A run that the
    /// saved state has and these do not was requested and never begun.
    EarlierStarts(BTreeSet<RunId>),
    /// Runs of an earlier daemon whose results have not been delivered to it: they go on, or their ends follow. Comes before
    /// [`Event::Begin`].
    EarlierRuns(Vec<EarlierRun>),
    /// The system's time zone is another one now.
    SystemZone(Arc<Zone>),
    /// The calendars that `CRON_EXCEPT` may name, instead of those before.
    Calendars(Calendars),
    /// A run ended, in whichever way.
    RunEnded(Box<RunResult>),
    /// The executor has begun these starts, or found out that they cannot be made: it has room for as many others.
    Begun(Vec<RunId>),
    /// Somebody wants a run of a job now.
    RunByHand {
        /// The job that is to run.
        job: JobId,
        /// Whether overlap and group rules are set aside.
        is_forced: bool,
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
    /// Somebody ends one run.
    KillRun {
        /// The job that it is a run of.
        job: JobId,
        /// The run that is to end.
        run: RunId,
        /// Who asked for it, by login name.
        by: String,
    },
    /// Somebody ends a job's oldest run, or cancels what waits, or its retry.
    Kill {
        /// The job of which something is to end.
        job: JobId,
        /// Who asked for it, by login name.
        by: String,
    },
    /// Start nothing more. What is due and has not been handed over is left to the next daemon, or, where there is nothing that the next one
    /// could know it by, skipped.
    Stop {
        /// Whether the next daemon can know what has not been started.
        is_recorded: bool,
        /// Whether the next daemon gets the saved state of the jobs: what waits by their policies and their retries wait on.
        keeps_jobs: bool,
    },
}

/// Whether an anacron job can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preparation {
    /// Its stamp can be written after it.
    Ready {
        /// The day on the stamp now.
        stamp: Option<Day>,
    },
    /// Its stamp cannot be written: the job is not started, as nobody would know that it has run.
    Failed,
    /// anacron itself has been installed.
    NotOurs,
}

/// A run of an earlier daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierRun {
    /// The id of the run.
    pub run: RunId,
    /// The job that it is a run of.
    pub job: JobId,
    /// The moment for which it was started.
    pub scheduled_at: Timestamp,
}

/// How a due moment ended: each has exactly one of these.
///
/// Wire format (postcard), also between versions of the program: fields and variants are neither removed nor reordered; see
/// `executor::wire`.
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
    /// The executor was lost; nobody knows.
    Lost,
}

/// Everything that is known of a run that has ended. The executor sends it to the daemon and keeps it in its journal as it is.
///
/// Wire format (postcard), also between versions of the program: fields and variants are neither removed nor reordered; see
/// `executor::wire`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RunResult {
    /// The id of the run.
    pub run: RunId,
    /// How the run ended, or why there was none.
    pub outcome: RunOutcome,
    /// When the job's process was started, in milliseconds of Unix time. None: it never had a process, or nobody knows.
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
///
/// Wire format (postcard), also between versions of the program: fields and variants are neither removed nor reordered; see
/// `executor::wire`.
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
///
/// Wire format (postcard), also between versions of the program: fields and variants are neither removed nor reordered; see
/// `executor::wire`.
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
    /// There was nothing to be mailed, or nobody wanted it.
    NotWanted,
    /// The mailer took it and exited with status 0.
    Sent,
    /// The mailer failed, or could not be started.
    Failed {
        /// Why: `the mailer was killed after 600 s`.
        why: String,
    },
    /// It was given up because too many mails of its owner waited.
    Dropped,
}

/// Everything that the executor must know to start one job.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RunRequest {
    /// The id that the run will have.
    pub run: RunId,
    /// The job that it is a run of.
    pub job: JobId,
    /// The table that the entry is in.
    pub source: Source,
    /// Line in the table, counted from 1.
    pub line: u32,
    /// Whom it runs as: the entry's user in a system table, else the table's owner; empty for [`Owner::Caller`].
    pub user: String,
    /// The raw command, `%` and all.
    pub command: SharedBytes,
    /// Whether the shell gets the command as it stands: `%` means nothing in an anacrontab.
    pub literal: bool,
    /// The table's variables for it.
    pub variables: Environment,
    /// Log only at the end of trouble, mail only on failure.
    #[serde(with = "flags")]
    pub flags: Flags,
    /// The moment it was due, seconds of UTC.
    pub scheduled_at: i64,
    /// Whether it is an `@reboot` start.
    pub at_reboot: bool,
    /// What asked for the run.
    pub trigger: Trigger,
    /// Which attempt for its slot, from 1.
    pub attempt: u32,
    /// What the executor has to see to while it runs and when it ends.
    pub rules: RunRules,
}

/// The part of a job's policy that the executor carries out, also while the daemon is away.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RunRules {
    /// Seconds that it may run.
    pub timeout: Option<u32>,
    /// Seconds between TERM and KILL when it is ended.
    pub grace: u32,
    /// Exit statuses that count as success.
    pub success: ExitStatuses,
    /// Whether anything on standard error is a failure.
    pub fails_on_stderr: bool,
    /// When its output is mailed.
    pub mail: MailRule,
    /// Limits on what it may use.
    pub limits: ResourceLimits,
    /// How many attempts may follow if this one fails.
    pub retries_left: u32,
    /// Whether the scheduler decides whether the output is mailed.
    pub waits_for_decision: bool,
    /// Whether a hook or a service is told of the end, so that the end of the output is needed.
    pub keeps_output: bool,
    /// How many bytes the history gets of the beginning of the output, and how many of its end. 0: it gets no output.
    pub history_output: u32,
}

/// The default of [`RunRules::history_output`] for an entry whose output the history keeps.
pub const HISTORY_OUTPUT: u32 = 32 << 10;

impl RunRules {
    /// The rules of a policy. The daemon replaces the default of [`RunRules::history_output`] by its setting.
    pub fn of(policy: &Policy) -> RunRules {
        RunRules {
            timeout: policy.timeout,
            grace: policy.grace,
            success: policy.success,
            fails_on_stderr: policy.fails_on_stderr,
            mail: policy.mail,
            limits: policy.limits,
            retries_left: policy.retry.attempts,
            waits_for_decision: policy.alert.is_some() || policy.mail == MailRule::Change,
            keeps_output: !policy.hooks.is_empty() || policy.ping.as_ref().is_some_and(|ping| ping.with_output),
            history_output: match policy.history {
                HistoryRule::Full => HISTORY_OUTPUT,
                HistoryRule::NoOutput | HistoryRule::Off => 0,
            },
        }
    }

    /// How a run has ended by these rules, unless somebody or a newer slot has ended it.
    pub fn outcome(&self, result: &RunResult) -> Outcome {
        match &result.outcome {
            RunOutcome::Lost => Outcome::Lost,
            RunOutcome::Skipped(reason) => Outcome::Skipped(*reason),
            RunOutcome::NotStarted { why } => Outcome::NotStarted { why: why.clone() },
            RunOutcome::Code(_) | RunOutcome::Signal { .. } if result.is_timeout => Outcome::Timeout,
            RunOutcome::Code(status) if self.is_success(result) => Outcome::Ok { status: *status },
            RunOutcome::Code(status) => Outcome::Failed { status: *status },
            RunOutcome::Signal { number, core_dumped } => {
                Outcome::Signal { number: *number, core_dumped: *core_dumped }
            }
        }
    }

    /// Whether a result is a success.
    pub fn is_success(&self, result: &RunResult) -> bool {
        let RunOutcome::Code(status) = result.outcome else { return false };
        let is_quiet = !self.fails_on_stderr || result.output.stderr_bytes == 0;
        self.success.contains(status) && is_quiet && !result.is_timeout
    }
}

impl Default for RunRules {
    fn default() -> RunRules {
        RunRules::of(&Policy::default())
    }
}

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
    /// Read the anacrontab and the stamps, and answer with [`Event::LoadAnacrontab`].
    ReadAnacrontab,
    /// An anacron job was found due: say so.
    AnacronJobDue {
        /// The job's identifier in the anacrontab.
        id: Vec<u8>,
        /// When it is to start.
        starts_at: Timestamp,
    },
    /// Make sure that the stamp of this anacron job can be written, and answer with [`Event::AnacronJobPrepared`].
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
        /// What counts as the run.
        cause: StampCause,
    },
    /// Run ids up to this one, exclusive, are about to be used: write that down, so that no later daemon uses them again.
    ReserveRuns(RunId),
    /// Everything due up to here has been handed out: write the record.
    Completed(Timestamp),
    /// Something is wrong with an entry: say so.
    Complain(Box<EntryComplaint>),
    /// Slots passed while no daemon was there: say so.
    WasAway(Absence),
    /// The clock jumped: say so.
    Jumped {
        /// Seconds, positive forward; a sleep counts as forward.
        seconds: i64,
        /// Missed starts that are caught up because of it.
        caught_up: usize,
    },
}

/// What is wrong with an entry because of other tables, or of others in its own that only a daemon knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryComplaint {
    /// The table that the entry is in.
    pub source: Source,
    /// Its line there, from 1.
    pub line: u32,
    /// What was expected and what was found.
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

impl RunRequest {
    /// Whether it is a further attempt for its slot.
    pub fn is_further_attempt(&self) -> bool {
        self.attempt > 1 && !self.trigger.is_manual()
    }

    /// What the shell gets, and what the job reads on standard input.
    pub fn split(&self, backslash: Backslash) -> Command {
        match self.literal {
            true => Command { shell: self.command.to_vec(), stdin: None },
            false => Command::split(&self.command, backslash),
        }
    }
}

/// The form of table an owner has.
impl Owner {
    /// User form or system form.
    pub fn form(&self) -> Form {
        match self {
            Owner::System => Form::System,
            Owner::User { .. } | Owner::Caller => Form::User,
        }
    }
}

mod flags {
    use crate::crontab::Flags;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(flags: &Flags, to: S) -> Result<S::Ok, S::Error> {
        (flags.mail_only_on_failure, flags.quiet, flags.single).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Flags, D::Error> {
        let (mail_only_on_failure, quiet, single) = Deserialize::deserialize(from)?;
        Ok(Flags { mail_only_on_failure, quiet, single })
    }
}
