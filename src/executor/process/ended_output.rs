//! Mails, keeps or drops the output of ended runs, by the rules of their jobs and the decisions of main.

use super::ended_run::{Delivery, EndedRun, MailDecision};
use super::kept_output::{KeptRun, TAIL};
use super::mail::MailContent;
use super::state::ExecutorState;
use crate::executor::job::Job;
use crate::executor::owner::owner_of;
use crate::report::Level;
use crate::scheduler::{EndReason, MailResult, RunId, RunRequest, RunResult};
use crate::sys::clock;
use crate::users::UserWithGroups;
use std::rc::Rc;

/// How long output waits for a main that decides about it, after the executor's own has gone. After that the rules of the job decide.
const LATER_MAIN_MS: i64 = 60 * 60 * 1000;

impl ExecutorState {
    /// Logs, mails, holds or drops the output of a job that has ended.
    pub(super) fn finish_output(&mut self, job: &mut Job) {
        let Some(run) = EndedRun::of(job) else { return };
        if self.context.config.output_to_log {
            self.mails.log_output(&mut self.context, &run);
        }
        self.finish_run(run);
    }

    /// Mails, holds or drops the end of a run that has got no process, and the output of the attempt before it. If the user is not known, the
    /// mail can be sent only as the user of that attempt.
    pub(super) fn finish_not_started(
        &mut self,
        start: Box<RunRequest>,
        result: RunResult,
        user: Option<Rc<UserWithGroups>>,
        end_reason: Option<EndReason>,
    ) {
        self.finish_earlier_attempts(&start);
        let owner = owner_of(&start);
        let earlier = self.kept.earlier(&start).and_then(|kept| kept.ended.as_ref());
        let earlier_user = earlier.filter(|ended| ended.owner == owner).map(|ended| ended.user.clone());
        match user.or(earlier_user) {
            Some(user) => self.finish_run(EndedRun::not_started(start, owner, user, result, end_reason)),
            None => {
                if let Some(held) = self.kept.remove_earlier(&start).and_then(|kept| self.take_ended(kept)) {
                    self.mail_or_drop(held, MailDecision::RulesAlone);
                }
                self.report_mail(start.run, MailResult::NotWanted);
                self.memory.release_request(&start);
            }
        }
    }

    fn finish_run(&mut self, mut run: EndedRun) {
        let has_main = self.mains.has_own();
        let decided = self.kept.decisions.remove(&run.run());
        let keeps_tail = decided.is_none() && has_main && run.start.rules.keeps_output;
        let tail = if keeps_tail { run.output.tail(TAIL) } else { Vec::new() };
        self.follow_earlier(&mut run);
        let is_full = !self.kept.has_capacity(&run.owner);
        let decision = match decided {
            Some(is_mailed) => MailDecision::Made { is_mailed },
            None if !has_main && !self.may_have_later_main() => MailDecision::NoMain,
            None if is_full => MailDecision::RulesAlone,
            None if has_main => MailDecision::Pending,
            None if self.waits_for_later_main() => MailDecision::LaterMain,
            None => MailDecision::RulesAlone,
        };
        if is_full && decision == MailDecision::RulesAlone && (run.awaits_decision() || !tail.is_empty()) {
            self.log_full(&run);
        }
        let mut kept = KeptRun::of(&run.start, run.owner.clone());
        if decision == MailDecision::Pending && self.memory.output.has_capacity(&kept.owner, tail.len()) {
            self.memory.output.take(&kept.owner, tail.len());
            kept.tail = tail;
        }
        let id = run.run();
        match run.delivery(decision) {
            Delivery::Mail => self.mail(run),
            Delivery::Hold => {
                if decision == MailDecision::LaterMain {
                    // A later main that is connected can end before it decides.
                    self.kept.undecided_until_ms.get_or_insert(clock::monotonic_ms() + LATER_MAIN_MS);
                }
                kept.ended = Some(run);
            }
            Delivery::Drop => {
                let is_undecided = matches!(decision, MailDecision::LaterMain | MailDecision::NoMain);
                if is_undecided && run.awaits_decision() && run.has_output {
                    self.log_undecided(&run);
                }
                self.discard_output(run);
            }
        }
        if !kept.tail.is_empty() || kept.ended.is_some() {
            let before = self.kept.insert(id, kept);
            self.drop_kept(before);
        }
    }

    /// Puts the output of the attempt before this one first, if it is kept.
    fn follow_earlier(&mut self, run: &mut EndedRun) {
        if !run.start.is_further_attempt() {
            return;
        }
        self.finish_earlier_attempts(&run.start);
        let earlier = self.kept.remove_earlier(&run.start).and_then(|kept| self.take_ended(kept));
        match earlier {
            Some(earlier) if earlier.owner == run.owner => {
                self.report_mail(earlier.run(), MailResult::NotWanted);
                run.follow(Some(earlier), &mut self.memory);
            }
            // The entry has got another user since, who must not see the output.
            Some(earlier) => {
                self.mail_or_drop(earlier, MailDecision::RulesAlone);
                run.follow(None, &mut self.memory);
            }
            None => run.follow(None, &mut self.memory),
        }
    }

    /// Mails, holds or drops earlier attempts for the same slot whose output is still read, without the rest of it. They would be held for
    /// ever after the last attempt.
    fn finish_earlier_attempts(&mut self, start: &RunRequest) {
        if !start.is_further_attempt() {
            return;
        }
        let is_earlier = |job: &Job| {
            let RunRequest { job: id, scheduled_at, attempt, trigger, .. } = &*job.start;
            *scheduled_at == start.scheduled_at && *id == start.job && *attempt < start.attempt && !trigger.is_manual()
        };
        // The earliest attempt is the first: it ended first.
        loop {
            let earlier = self.unfinished().find(|(_, job)| is_earlier(job)).map(|(id, _)| id);
            let Some(id) = earlier else { return };
            if self.jobs.running.contains_key(&id) {
                self.finish(id);
            }
            if self.late.jobs.get(&id).is_some_and(|late| late.mail_until_ms.is_some()) {
                self.mail_without_the_rest(id);
            }
        }
    }

    fn mail_or_drop(&mut self, run: EndedRun, decision: MailDecision) {
        match run.delivery(decision) {
            Delivery::Mail => self.mail(run),
            Delivery::Hold | Delivery::Drop => self.discard_output(run),
        }
    }

    /// Releases the kept end of the output, and returns the run if its output is held.
    fn take_ended(&mut self, kept: KeptRun) -> Option<EndedRun> {
        self.memory.output.give_back(&kept.owner, kept.tail.len());
        kept.ended
    }

    fn drop_kept(&mut self, kept: Option<KeptRun>) {
        if let Some(ended) = kept.and_then(|kept| self.take_ended(kept)) {
            self.discard_output(ended);
        }
    }

    fn log_undecided(&mut self, run: &EndedRun) {
        let command = run.command(self.context.profile);
        let detail = b"the daemon ended before it was known whether this run's output is mailed: it is not";
        self.context.log.record(run.job_ref(&command), Level::Info, "MAIL", detail, "");
    }

    /// Logs that no more runs of an owner are kept, unless that has been logged and still holds.
    fn log_full(&mut self, run: &EndedRun) {
        if self.kept.note_full(&run.owner) {
            let command = run.command(self.context.profile);
            let detail = b"too many ended runs of this owner wait for a retry or a decision about their mail: \
                output is mailed at once and hooks get none, until fewer wait";
            self.context.log.record(run.job_ref(&command), Level::Warning, "MAIL", detail, "");
        }
    }

    /// The end of the output of a run that has ended, if it is kept.
    pub(super) fn tail_of(&self, run: RunId) -> Vec<u8> {
        if let Some(kept) = self.kept.get(run) {
            return kept.tail.clone();
        }
        self.unfinished_run(run).map(|job| job.output.tail(TAIL)).unwrap_or_default()
    }

    /// An ended job whose output is not complete.
    fn unfinished_run(&self, run: RunId) -> Option<&Job> {
        self.unfinished().map(|(_, job)| job).find(|job| job.start.run == run)
    }

    /// The ended jobs whose output is still waited for, with their numbers.
    fn unfinished(&self) -> impl Iterator<Item = (u64, &Job)> {
        self.jobs.graces.iter().filter_map(|(_, id)| {
            let job = self.jobs.running.get(id).or_else(|| self.late.jobs.get(id).map(|late| &late.job))?;
            Some((*id, job))
        })
    }

    /// No attempt follows this run, and everything that needs its output has been requested.
    pub(super) fn conclude(&mut self, run: RunId, is_mailed: bool) {
        if let Some(kept) = self.kept.remove(run) {
            if let Some(held) = self.take_ended(kept) {
                self.mail_or_drop(held, MailDecision::Made { is_mailed });
            }
        } else if let Some(job) = self.unfinished_run(run) {
            // Where main decides about nothing but what is kept for hooks, the rules decide about the mail.
            let rules = &job.start.rules;
            if rules.waits_for_decision || rules.retries_left > 0 {
                self.kept.decisions.insert(run, is_mailed);
            }
        }
    }

    /// Whether another main may decide about runs whose main has gone. A later daemon that runs tables in the foreground decides about its own runs
    /// only.
    fn may_have_later_main(&self) -> bool {
        !self.context.config.standalone
    }

    /// Whether the output of a run that ends now can wait for a later main.
    fn waits_for_later_main(&self) -> bool {
        let is_expected = self.kept.undecided_until_ms.is_some() || self.mains.has_later_of_same_version();
        is_expected && !self.kept.holds_nothing
    }

    /// Waits for a later main for some time, because one has connected or ended.
    pub(super) fn expect_later_main(&mut self, now_ms: i64) {
        let may_wait = self.may_have_later_main() && !self.kept.holds_nothing;
        self.kept.undecided_until_ms = may_wait.then_some(now_ms + LATER_MAIN_MS);
    }

    /// The executor's own main is gone. What a later one can decide about is kept for some time, everything else is not needed any more.
    pub(super) fn keep_for_later_main(&mut self, now_ms: i64) {
        self.expect_later_main(now_ms);
        let may_wait = self.kept.undecided_until_ms.is_some();
        for mut kept in self.kept.take_runs() {
            let Some(held) = kept.ended.take() else {
                self.drop_kept(Some(kept));
                continue;
            };
            if may_wait && held.can_wait_for_later_main() {
                let run = held.run();
                kept.ended = Some(held);
                self.kept.insert(run, kept);
                continue;
            }
            if held.has_output {
                self.log_undecided(&held);
            }
            self.drop_kept(Some(kept));
            self.discard_output(held);
        }
    }

    /// Mails or drops what waits for a later main by the rules of the jobs alone.
    pub(super) fn decide_alone(&mut self) {
        self.kept.undecided_until_ms = None;
        for kept in self.kept.take_runs() {
            if let Some(held) = self.take_ended(kept) {
                self.mail_or_drop(held, MailDecision::RulesAlone);
            }
        }
    }

    /// Something has asked this process to end, as at a shutdown. Without its own main, which has to end first, it waits for no later one.
    pub(super) fn stop_holding_output(&mut self) {
        if !self.mains.has_own() {
            self.kept.holds_nothing = true;
            self.decide_alone();
        }
    }

    /// Decides about what no later main has decided about in time.
    pub(super) fn stop_waiting_for_later_main(&mut self, now_ms: i64) {
        if self.kept.undecided_until_ms.is_some_and(|until| until <= now_ms) {
            self.decide_alone();
        }
    }

    fn mail(&mut self, mut run: EndedRun) {
        let content = self.mails.compose(&mut self.context, &run);
        run.output.release(&run.owner, &mut self.memory.output);
        self.send_mail(&run, content);
        self.memory.release_request(&run.start);
    }

    /// Queues the mail of a run, or records that there is none.
    fn send_mail(&mut self, ended: &EndedRun, content: Option<MailContent>) {
        let run = ended.run();
        let Some(content) = content else { return self.report_mail(run, MailResult::NotWanted) };
        if !self.mails.queue(&mut self.context, &mut self.memory, ended, content) {
            self.report_mail(run, MailResult::Dropped);
        }
    }

    fn discard_output(&mut self, mut run: EndedRun) {
        run.output.release(&run.owner, &mut self.memory.output);
        self.report_mail(run.run(), MailResult::NotWanted);
        self.memory.release_request(&run.start);
    }
}
