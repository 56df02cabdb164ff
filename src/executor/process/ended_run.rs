//! A run that has ended, with its output. The rules of its job decide about its mail and, where they need earlier outcomes, main does.

use crate::crontab::{MailRule, printable};
use crate::executor::environment::Variables;
use crate::executor::job::Job;
use crate::executor::job_log::JobRef;
use crate::executor::output::Output;
use crate::executor::owner::{MemoryBudget, OwnerKey, OwnerMemory};
use crate::profile::Profile;
use crate::schedule::duration_text;
use crate::scheduler::{EndReason, OUTPUT_ON_STDERR, Outcome, RunId, RunOutcome, RunRequest, RunResult};
use crate::users::UserWithGroups;
use std::rc::Rc;

/// A run that has ended, with its output.
pub(super) struct EndedRun {
    pub(super) start: Box<RunRequest>,
    pub(super) owner: OwnerKey,
    pub(super) user: Rc<UserWithGroups>,
    pub(super) pam_variables: Option<Variables>,
    pub(super) result: RunResult,
    /// Why its end was requested. None: the job has ended by itself, or because its time was over.
    end_reason: Option<EndReason>,
    /// The output of the run; with earlier attempts for the same slot, that of all of them, each under a line that says how it ended.
    pub(super) output: Output,
    /// Whether it, or an earlier attempt, has written anything.
    pub(super) has_output: bool,
    has_attempt_lines: bool,
}

/// What becomes of the output of a run that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Mail,
    /// The output is kept until the next attempt ends, or main decides about it.
    Hold,
    /// The output is not needed any more.
    Drop,
}

/// How far main has decided about the mail of a run that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MailDecision {
    /// Main has decided, by the rules about changes of the outcome.
    Made {
        /// Whether the output is mailed, as far as the rules of the job allow it.
        is_mailed: bool,
    },
    /// The output can be held until main decides.
    Pending,
    /// The rules of the job decide at once: too much is held for its owner, or no later main is waited for any more.
    RulesAlone,
    /// The executor's main has gone, and a later one can decide if no attempt follows.
    LaterMain,
    /// There will be no main that decides.
    NoMain,
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
            end_reason: job.end_reason.clone(),
            has_output: output.total() > 0,
            output,
            has_attempt_lines: false,
        })
    }

    /// A run that has got no process.
    pub(super) fn not_started(
        start: Box<RunRequest>,
        owner: OwnerKey,
        user: Rc<UserWithGroups>,
        result: RunResult,
        end_reason: Option<EndReason>,
    ) -> EndedRun {
        EndedRun {
            start,
            owner,
            user,
            pam_variables: None,
            result,
            end_reason,
            output: Output::default(),
            has_output: false,
            has_attempt_lines: false,
        }
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
        self.start.rules.is_success(&self.result)
    }

    /// The outcome that the scheduler records, too.
    fn outcome(&self) -> Outcome {
        self.start.rules.outcome(&self.result, self.end_reason.as_ref())
    }

    /// Whether a further attempt may follow. None follows a run that is lost or was ended on request.
    fn may_be_retried(&self) -> bool {
        self.start.rules.retries_left > 0 && self.outcome().is_failure()
    }

    /// Whether `CRON_MAIL=failure` mails it.
    fn is_failure(&self) -> bool {
        let outcome = self.outcome();
        outcome.is_failure() || outcome == Outcome::Lost
    }

    /// How it ended, as the mail says it.
    pub(super) fn status(&self) -> String {
        let end = self.status_of_process();
        match self.outcome() {
            Outcome::Killed { by } => format!("killed by {}, {end}", printable(by.as_bytes())),
            Outcome::Replaced => format!("replaced by a newer run, {end}"),
            _ => end,
        }
    }

    fn status_of_process(&self) -> String {
        let timeout = self.start.rules.timeout.filter(|_| self.result.is_timeout);
        match (&self.result.outcome, timeout) {
            (_, Some(seconds)) => format!("timeout after {}", duration_text(seconds)),
            // The words of the log.
            (RunOutcome::Code(code), None) if self.start.rules.success.contains(*code) && !self.is_success() => {
                OUTPUT_ON_STDERR.to_owned()
            }
            (RunOutcome::Code(code), None) => format!("exit {code}"),
            (RunOutcome::Signal { number, .. }, None) => format!("signal {number}"),
            (RunOutcome::NotStarted { why }, None) => format!("not started: {why}"),
            (RunOutcome::Skipped(reason), None) => format!("skipped: {}", reason.as_str()),
            (RunOutcome::Lost, None) => "lost".to_owned(),
        }
    }

    /// Whether main or a later attempt decides about the mail.
    pub(super) fn awaits_decision(&self) -> bool {
        let rules = &self.start.rules;
        rules.waits_for_decision || self.may_be_retried()
    }

    /// Whether a later main can decide about the output. It does not join output with that of another attempt, which it starts itself.
    pub(super) fn can_wait_for_later_main(&self) -> bool {
        let rules = &self.start.rules;
        rules.waits_for_decision && !self.may_be_retried()
    }

    /// Whether the output is mailed, dropped, or kept until main decides.
    pub(super) fn delivery(&self, decision: MailDecision) -> Delivery {
        let rules = &self.start.rules;
        let (is_success, is_failure) = (self.is_success(), self.is_failure());
        let waits = self.awaits_decision();
        let is_due = match decision {
            MailDecision::Made { is_mailed } => is_mailed,
            MailDecision::Pending if waits => return Delivery::Hold,
            MailDecision::LaterMain if self.can_wait_for_later_main() => return Delivery::Hold,
            MailDecision::LaterMain | MailDecision::NoMain if waits => false,
            MailDecision::Pending | MailDecision::RulesAlone | MailDecision::LaterMain | MailDecision::NoMain => {
                match rules.mail {
                    MailRule::Output => true,
                    MailRule::Failure => is_failure,
                    MailRule::Never => false,
                    // Only main knows whether anything has changed. A superfluous mail is better than none.
                    MailRule::Change => waits && (self.has_output || !is_success),
                }
            }
        };
        let is_spared = self.start.flags.mail_only_on_failure && !is_failure;
        let has_text = self.has_output || self.is_mailed_without_output();
        if is_due && !is_spared && has_text { Delivery::Mail } else { Delivery::Drop }
    }

    /// Whether the end alone is worth a mail. With the flag `-n` there is none without output.
    pub(super) fn is_mailed_without_output(&self) -> bool {
        let rule = self.start.rules.mail;
        !self.start.flags.mail_only_on_failure && matches!(rule, MailRule::Failure | MailRule::Change)
    }

    /// Puts the output of earlier attempts before this one's, and releases what else is kept of them.
    pub(super) fn follow(&mut self, earlier: Option<EndedRun>, memory: &mut OwnerMemory) {
        let mut all = Output::with_limits(self.output.limits());
        if let Some(mut earlier) = earlier {
            earlier.begin_with_attempt_line(&mut memory.output);
            self.has_output |= earlier.has_output;
            all = std::mem::take(&mut earlier.output);
            memory.release_request(&earlier.start);
        }
        self.begin_with_attempt_line(&mut memory.output);
        all.push(&self.output.text(), &self.owner, &mut memory.output);
        self.output.release(&self.owner, &mut memory.output);
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

    pub(super) fn run(&self) -> RunId {
        self.start.run
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::executor::output;
    use crate::executor::owner::owner_of;
    use crate::executor::test_request::request;
    use crate::scheduler::{Environment, RunRequest, RunRules, Trigger};
    use crate::users::User;

    /// A failed attempt of alice's job, charged to the budgets.
    pub(in crate::executor::process) fn attempt(
        number: u32,
        command: &str,
        text: &str,
        memory: &mut OwnerMemory,
    ) -> EndedRun {
        let mut start = Box::new(RunRequest {
            command: command.into(),
            variables: Environment::of([(b"NAME".as_slice(), command.as_bytes())]),
            trigger: if number == 1 { Trigger::Schedule } else { Trigger::Retry },
            attempt: number,
            rules: RunRules { retries_left: 3_u32.saturating_sub(number), ..RunRules::default() },
            ..request(u64::from(number))
        });
        let owner = owner_of(&start);
        assert!(memory.take_request(&owner, &mut start));
        let mut output = Output::default();
        output.push(text.as_bytes(), &owner, &mut memory.output);
        let user = User::of_caller();
        EndedRun {
            result: RunResult::of_outcome(start.run, RunOutcome::Code(1), 0),
            start,
            owner,
            user: Rc::new(UserWithGroups { groups: vec![user.gid], user, context: None }),
            pam_variables: None,
            end_reason: None,
            has_output: output.total() > 0,
            output,
            has_attempt_lines: false,
        }
    }

    #[test]
    fn attempts_with_other_commands_leave_nothing_charged_when_the_last_is_released() {
        let mut memory = OwnerMemory::new(output::budget());
        let first = attempt(1, "first", "one", &mut memory);
        let mut second = attempt(2, "second command", "two\n", &mut memory);
        second.follow(Some(first), &mut memory);
        let mut third = attempt(3, "third", "", &mut memory);
        third.follow(Some(second), &mut memory);
        assert_eq!(
            String::from_utf8_lossy(&third.output.text()),
            "attempt 1: exit 1\none\nattempt 2: exit 1\ntwo\nattempt 3: exit 1\n"
        );
        third.output.release(&third.owner, &mut memory.output);
        memory.release_request(&third.start);
        assert_eq!((memory.output.total(), memory.requests.total()), (0, 0));
    }

    #[test]
    fn what_cannot_be_held_is_mailed_by_the_rules_alone() {
        use MailDecision::{LaterMain, NoMain, Pending, RulesAlone};
        let mut memory = OwnerMemory::new(output::budget());
        let mut with = |mail, text: &str, status| {
            let mut run = attempt(1, "x", text, &mut memory);
            (run.start.rules.mail, run.start.rules.waits_for_decision) = (mail, true);
            run.start.rules.retries_left = 0;
            run.result.outcome = RunOutcome::Code(status);
            let delivery = [Pending, LaterMain, RulesAlone, NoMain].map(|decision| run.delivery(decision));
            run.start.rules.retries_left = 1;
            let is_kept = run.delivery(LaterMain) == Delivery::Hold;
            assert_eq!(is_kept, run.is_success(), "an attempt that another follows does not wait for a later main");
            delivery
        };
        let mailed = [Delivery::Hold, Delivery::Hold, Delivery::Mail, Delivery::Drop];
        let dropped = [Delivery::Hold, Delivery::Hold, Delivery::Drop, Delivery::Drop];
        assert_eq!(with(MailRule::Output, "out", 1), mailed);
        assert_eq!(with(MailRule::Output, "", 1), dropped);
        assert_eq!(with(MailRule::Failure, "", 1), mailed);
        assert_eq!(with(MailRule::Failure, "out", 0), dropped);
        assert_eq!(with(MailRule::Change, "out", 0), mailed);
        assert_eq!(with(MailRule::Change, "", 1), mailed);
        assert_eq!(with(MailRule::Change, "", 0), dropped);
        assert_eq!(with(MailRule::Never, "out", 1), dropped);
    }

    #[test]
    fn with_the_flag_for_it_only_failures_are_mailed() {
        let mut memory = OwnerMemory::new(output::budget());
        for (status, expected) in [(0, Delivery::Drop), (1, Delivery::Mail)] {
            let mut run = attempt(1, "x", "out", &mut memory);
            (run.start.flags.mail_only_on_failure, run.start.rules.retries_left) = (true, 0);
            run.result.outcome = RunOutcome::Code(status);
            for decision in [MailDecision::RulesAlone, MailDecision::Made { is_mailed: true }] {
                assert_eq!(run.delivery(decision), expected, "exit {status}, {decision:?}");
            }
        }
    }

    #[test]
    fn a_run_ended_on_request_is_no_failure_whoever_decides_about_its_mail() {
        let mut memory = OwnerMemory::new(output::budget());
        for (reason, status) in [
            (EndReason::Killed("bob".to_owned()), "killed by bob, signal 15"),
            (EndReason::Replaced, "replaced by a newer run, signal 15"),
        ] {
            let mut run = attempt(1, "x", "out", &mut memory);
            run.end_reason = Some(reason);
            run.result.outcome = RunOutcome::Signal { number: 15, core_dumped: false };
            assert_eq!(run.status(), status);
            for (mail, expected) in [
                (MailRule::Output, Delivery::Mail),
                (MailRule::Failure, Delivery::Drop),
                (MailRule::Change, Delivery::Drop),
                (MailRule::Never, Delivery::Drop),
            ] {
                run.start.rules.mail = mail;
                for retries_left in [0, 2] {
                    run.start.rules.retries_left = retries_left;
                    assert!(!run.awaits_decision(), "no retry follows a run that was ended on request");
                    for decision in [MailDecision::Pending, MailDecision::RulesAlone, MailDecision::NoMain] {
                        assert_eq!(run.delivery(decision), expected, "{mail:?}, {retries_left} retries, {decision:?}");
                    }
                }
                // With CRON_ALERT main decides, by the same outcome.
                (run.start.rules.waits_for_decision, run.start.rules.retries_left) = (true, 0);
                assert_eq!(run.delivery(MailDecision::Pending), Delivery::Hold);
                assert_eq!(
                    run.delivery(MailDecision::RulesAlone) == Delivery::Mail,
                    mail != MailRule::Never && mail != MailRule::Failure
                );
                run.start.rules.waits_for_decision = false;
            }
        }
    }

    #[test]
    fn a_lost_run_is_mailed_as_a_failure_and_no_attempt_follows_it() {
        let mut memory = OwnerMemory::new(output::budget());
        let mut run = attempt(1, "x", "", &mut memory);
        run.result.outcome = RunOutcome::Lost;
        (run.start.rules.mail, run.start.rules.retries_left) = (MailRule::Failure, 2);
        assert!(!run.awaits_decision());
        assert_eq!(run.delivery(MailDecision::Pending), Delivery::Mail);
    }
}
