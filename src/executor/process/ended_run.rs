//! A run that has ended, with its output: what becomes of that is decided by the rules of its job and, where these say so, by main.

use crate::crontab::{MailRule, duration_text};
use crate::executor::environment::Variables;
use crate::executor::job::Job;
use crate::executor::job_log::JobRef;
use crate::executor::output::Output;
use crate::executor::owner::{MemoryBudget, OwnerKey};
use crate::profile::Profile;
use crate::scheduler::{RunId, RunOutcome, RunRequest, RunResult, RunRules};
use crate::users::UserWithGroups;
use std::rc::Rc;

/// A run that has ended, with its output.
pub(super) struct EndedRun {
    pub(super) start: Box<RunRequest>,
    pub(super) owner: OwnerKey,
    pub(super) user: Rc<UserWithGroups>,
    pub(super) pam_variables: Option<Variables>,
    pub(super) result: RunResult,
    /// Its output; with earlier attempts for the same slot, that of all of them, each under a line that says how it ended.
    pub(super) output: Output,
    /// Whether it, or an earlier attempt, has written anything.
    pub(super) has_output: bool,
    has_attempt_lines: bool,
}

/// What becomes of the output of a run that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// It is mailed.
    Mail,
    /// It is kept until the next attempt ends, or main says what becomes of it.
    Hold,
    /// It is not needed any more.
    Drop,
}

impl EndedRun {
    /// Takes the output of a job that has ended. None: it has not.
    pub(super) fn of(job: &mut Job) -> Option<EndedRun> {
        let result = job.result.clone()?;
        let output = std::mem::take(&mut job.output);
        Some(EndedRun {
            start: job.start.clone(),
            owner: job.owner.clone(),
            user: job.user.clone(),
            pam_variables: job.pam_variables.clone(),
            result,
            has_output: output.total() > 0,
            output,
            has_attempt_lines: false,
        })
    }

    /// The command up to the first `%`.
    pub(super) fn command(&self, profile: &Profile) -> Vec<u8> {
        self.start.split(profile.backslash).shell
    }

    /// How log records refer to it.
    pub(super) fn job_ref<'a>(&'a self, command: &'a [u8]) -> JobRef<'a> {
        JobRef { start: &self.start, user: &self.user.name, command, pid: self.result.pid }
    }

    /// Whether it ended well by the rules of its job.
    pub(super) fn is_success(&self) -> bool {
        is_success(&self.start.rules, &self.result)
    }

    /// How it ended, as the mail says it.
    pub(super) fn status(&self) -> String {
        let timeout = self.start.rules.timeout.filter(|_| self.result.is_timeout);
        match (&self.result.outcome, timeout) {
            (_, Some(seconds)) => format!("timeout after {}", duration_text(seconds)),
            (RunOutcome::Code(code), None) => format!("exit {code}"),
            (RunOutcome::Signal { number, .. }, None) => format!("signal {number}"),
            (RunOutcome::NotStarted { why }, None) => format!("not started: {why}"),
            (RunOutcome::Skipped(reason), None) => format!("skipped: {}", reason.as_str()),
            (RunOutcome::Lost, None) => "lost".to_owned(),
        }
    }

    /// Whether the executor alone does not know what becomes of the output.
    pub(super) fn awaits_decision(&self) -> bool {
        let rules = &self.start.rules;
        rules.waits_for_decision || (rules.retries_left > 0 && !self.is_success())
    }

    /// What becomes of the output. Without its main the executor holds nothing, since nobody would decide.
    pub(super) fn delivery(&self, decision: Option<bool>, has_main: bool) -> Delivery {
        let rules = &self.start.rules;
        let is_success = self.is_success();
        let waits = self.awaits_decision();
        let is_due = match decision {
            Some(is_mailed) => is_mailed,
            None if waits && has_main => return Delivery::Hold,
            None if waits => false,
            None => match rules.mail {
                MailRule::Output => true,
                MailRule::Failure => !is_success,
                MailRule::Never | MailRule::Change => false,
            },
        };
        let is_spared = self.start.flags.mail_only_on_failure && is_success;
        let has_text = self.has_output || self.is_mailed_without_output();
        if is_due && !is_spared && has_text { Delivery::Mail } else { Delivery::Drop }
    }

    /// Whether the end alone is worth a mail. With the flag `-n` there is none without output.
    pub(super) fn is_mailed_without_output(&self) -> bool {
        let rule = self.start.rules.mail;
        !self.start.flags.mail_only_on_failure && matches!(rule, MailRule::Failure | MailRule::Change)
    }

    /// Puts the output of earlier attempts before this one's.
    pub(super) fn follow(&mut self, earlier: Option<EndedRun>, memory: &mut MemoryBudget) {
        let mut all = Output::default();
        if let Some(mut earlier) = earlier {
            earlier.begin_with_attempt_line(memory);
            self.has_output |= earlier.has_output;
            all = std::mem::take(&mut earlier.output);
        }
        self.begin_with_attempt_line(memory);
        all.push(&self.output.text(), &self.owner, memory);
        self.output.release(&self.owner, memory);
        self.output = all;
    }

    fn begin_with_attempt_line(&mut self, memory: &mut MemoryBudget) {
        if std::mem::replace(&mut self.has_attempt_lines, true) {
            return;
        }
        let mut text = self.output.text();
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        self.output.release(&self.owner, memory);
        let line = format!("attempt {}: {}\n", self.start.attempt, self.status());
        self.output.push(line.as_bytes(), &self.owner, memory);
        self.output.push(&text, &self.owner, memory);
    }

    /// The run.
    pub(super) fn run(&self) -> RunId {
        self.start.run
    }
}

/// Whether a result is a success by the rules of the job.
pub(super) fn is_success(rules: &RunRules, result: &RunResult) -> bool {
    let RunOutcome::Code(status) = result.outcome else { return false };
    let is_quiet = !rules.fails_on_stderr || result.output.stderr_bytes == 0;
    rules.success.contains(status) && is_quiet && !result.is_timeout
}
