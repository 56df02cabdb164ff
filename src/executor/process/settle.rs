//! Decides what becomes of the output of ended runs, by the rules of their jobs and by what main says.

use super::ended_run::{Delivery, EndedRun};
use super::kept_output::{MOST, TAIL};
use super::state::ExecutorState;
use crate::executor::job::Job;
use crate::report::Level;
use crate::scheduler::{MailResult, RunId};

impl ExecutorState {
    /// Logs, mails, holds or drops the output of a job that has ended.
    pub(super) fn settle_output(&mut self, job: &mut Job) {
        let Some(mut run) = EndedRun::of(job) else { return };
        if self.context.config.output_to_log {
            self.mails.log_output(&mut self.context, &run);
        }
        let decision = self.kept.decisions.remove(&run.run());
        if decision.is_none() && run.start.rules.keeps_output && self.mains.has_own() {
            self.keep_tail(&run);
        }
        if run.start.attempt > 1 && !run.start.trigger.is_manual() {
            let earlier = self.kept.take_earlier(&run.start.job, run.start.scheduled_at, run.start.attempt);
            if let Some(earlier) = &earlier {
                self.report_mail(earlier.run(), MailResult::NotWanted);
            }
            run.follow(earlier, &mut self.memory);
        }
        match run.delivery(decision, self.mains.has_own() && self.kept.mails.len() < MOST) {
            Delivery::Mail => self.mail(run),
            Delivery::Hold => {
                self.kept.mails.insert(run.run(), run);
            }
            Delivery::Drop => {
                if decision.is_none() && run.awaits_decision() && run.has_output {
                    self.log_undecided(&run);
                }
                self.drop_output(run);
            }
        }
    }

    fn log_undecided(&mut self, run: &EndedRun) {
        let command = run.command(self.context.profile);
        let detail = b"the daemon ended before it was known whether this run's output is mailed: it is not";
        self.context.log.say(run.job_ref(&command), Level::Info, "MAIL", detail, "");
    }

    fn keep_tail(&mut self, run: &EndedRun) {
        let tail = run.output.tail(TAIL);
        if !tail.is_empty() && self.kept.tails.len() < MOST && self.memory.output.has_capacity(&run.owner, tail.len()) {
            self.memory.output.take(&run.owner, tail.len());
            self.kept.tails.insert(run.run(), (run.owner.clone(), tail));
        }
    }

    /// The end of the output of a run that has ended, if it is kept.
    pub(super) fn tail_of(&self, run: RunId) -> Vec<u8> {
        if let Some((_, tail)) = self.kept.tails.get(&run) {
            return tail.clone();
        }
        self.unsettled(run).map(|job| job.output.tail(TAIL)).unwrap_or_default()
    }

    /// An ended job whose output is not complete.
    fn unsettled(&self, run: RunId) -> Option<&Job> {
        let late = self.late.jobs.values().filter(|late| late.mail_until_ms.is_some()).map(|late| &late.job);
        self.jobs.running.values().chain(late).find(|job| job.start.run == run && job.result.is_some())
    }

    /// No attempt follows this run, and everything that needs its output has been requested.
    pub(super) fn conclude(&mut self, run: RunId, is_mailed: bool) {
        if let Some((owner, tail)) = self.kept.tails.remove(&run) {
            self.memory.output.give_back(&owner, tail.len());
        }
        if let Some(held) = self.kept.mails.remove(&run) {
            match held.delivery(Some(is_mailed), true) {
                Delivery::Mail => self.mail(held),
                Delivery::Hold | Delivery::Drop => self.drop_output(held),
            }
        } else if let Some(job) = self.unsettled(run) {
            // Where main decides about nothing but what is kept for hooks, the rules decide about the mail.
            let rules = &job.start.rules;
            if rules.waits_for_decision || rules.retries_left > 0 {
                self.kept.decisions.insert(run, is_mailed);
            }
        }
    }

    /// Nobody will decide about what is kept any more.
    pub(super) fn forget_kept_output(&mut self) {
        for (_, (owner, tail)) in std::mem::take(&mut self.kept.tails) {
            self.memory.output.give_back(&owner, tail.len());
        }
        self.kept.decisions.clear();
        for (_, held) in std::mem::take(&mut self.kept.mails) {
            if held.has_output {
                self.log_undecided(&held);
            }
            self.drop_output(held);
        }
    }

    fn mail(&mut self, mut run: EndedRun) {
        let draft = self.mails.draft(&mut self.context, &run);
        run.output.release(&run.owner, &mut self.memory.output);
        self.send_mail(&run, draft);
        self.memory.release_request(&run.start);
    }

    fn drop_output(&mut self, mut run: EndedRun) {
        run.output.release(&run.owner, &mut self.memory.output);
        self.report_mail(run.run(), MailResult::NotWanted);
        self.memory.release_request(&run.start);
    }
}
