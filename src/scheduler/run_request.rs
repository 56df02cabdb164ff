//! The request to the executor to start one job.
//!
//! Wire format (postcard) between a daemon and an executor of the same version: see `executor::wire`.

use super::environment::Environment;
use super::job_id::JobId;
use super::run_id::RunId;
use super::run_record::{EndReason, Outcome, Trigger};
use super::run_result::{RunOutcome, RunResult};
use super::source::Source;
use crate::crontab::{
    Backslash, Command, ExitStatuses, Flags, HistoryRule, MailRule, Policy, ResourceLimits, SharedBytes,
};

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
    /// Whom it runs as: the entry's user in a system table, else the table's owner; empty for [`super::Owner::Caller`].
    pub user: String,
    /// The raw command, `%` and all.
    pub command: SharedBytes,
    /// Whether the shell gets the command as it stands: `%` means nothing in an anacrontab.
    pub literal: bool,
    /// The variables that the crontab sets for the entry.
    pub variables: Environment,
    /// The options of cronie and Debian before the command: `-n`, `-q` and `-s`.
    #[serde(with = "flags")]
    pub flags: Flags,
    /// The moment it was due, seconds of UTC.
    pub scheduled_at: i64,
    /// Whether it is an `@reboot` start.
    pub at_reboot: bool,
    /// What caused the run.
    pub trigger: Trigger,
    /// Which attempt for its slot, from 1.
    pub attempt: u32,
    /// The rules that the executor applies while the run is in progress and when it ends.
    pub rules: RunRules,
    /// The claim of a fleet job. None: the run was started without a claim.
    pub fleet: Option<FleetRun>,
}

/// The claim under which a run of a fleet job is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FleetRun {
    /// `CRON_FENCE`: the revision of the claim. None: the run was started without one, as the engine was away (`CRON_FLEET_AWAY`).
    pub fence: Option<u64>,
    /// The run is not executed later than this, in milliseconds: of the monotonic clock in an action of the scheduler, of the clock that also
    /// counts the sleep of the machine (CLOCK_BOOTTIME) in a request to the executor. Main converts it.
    pub start_by_ms: i64,
    /// With `failover`: when the executor ends the run, in milliseconds of the same clock, unless main extends it.
    pub end_by_ms: Option<i64>,
}

impl FleetRun {
    /// The latest moment of the exec, in milliseconds of the clock of its times: what has expired then is the claim or the lease.
    pub fn latest_start_ms(self) -> i64 {
        self.end_by_ms.map_or(self.start_by_ms, |end_by_ms| end_by_ms.min(self.start_by_ms))
    }
}

/// The part of a job's policy that the executor carries out, also while the daemon is away.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RunRules {
    /// Seconds after which the run is ended. None: it has no time limit.
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
    /// Whether a hook or ping follows the end, which needs the end of the output.
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

    /// The outcome of a run by these rules. `ending` is why its end was requested, if it was.
    pub fn outcome(&self, result: &RunResult, ending: Option<&EndReason>) -> Outcome {
        match (&result.outcome, ending) {
            (RunOutcome::Lost, _) => Outcome::Lost,
            (RunOutcome::Skipped(reason), _) => Outcome::Skipped(*reason),
            (_, Some(EndReason::Killed(by))) => Outcome::Killed { by: by.clone() },
            // If its time was over, it was being ended when the newer slot came.
            (_, Some(EndReason::Replaced)) if !result.is_timeout => Outcome::Replaced,
            (RunOutcome::NotStarted { why }, _) => Outcome::NotStarted { why: why.clone() },
            _ if result.is_timeout => Outcome::Timeout,
            (RunOutcome::Code(status), _) if self.is_success(result) => Outcome::Ok { status: *status },
            (RunOutcome::Code(status), _) => {
                Outcome::Failed { status: *status, is_by_stderr: self.success.contains(*status) }
            }
            (RunOutcome::Signal { number, core_dumped }, _) => {
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
