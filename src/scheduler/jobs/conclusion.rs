//! Handles the end of the last attempt for a slot: notices, pings, `@after` jobs, the mail. Also sends notices of late jobs.

use super::job::Job;
use super::notice::{Notice, NoticeEvent};
use super::registry::Jobs;
use crate::crontab::{MailRule, Policy};
use crate::schedule::Timestamp;
use crate::scheduler::action::Action;
use crate::scheduler::follow_up::PingEvent;
use crate::scheduler::job_id::JobId;
use crate::scheduler::policy_context::PolicyContext;
use crate::scheduler::run_record::{Outcome, RunRecord};
use crate::scheduler::slot_claim::SlotClaim;

impl Jobs {
    /// The last attempt for a slot, or a run by hand, has ended.
    pub(super) fn conclude(
        &mut self,
        id: &JobId,
        record: &RunRecord,
        (output_digest, claim): (Option<u64>, Option<SlotClaim>),
        ended_at: Timestamp,
        context: &mut PolicyContext<'_>,
    ) {
        if let Some(claim) = claim {
            context.conclude_in_fleet(claim, record);
        }
        let Some(job) = self.jobs.get_mut(id) else { return };
        let policy = job.spec.policy.clone();
        let is_failure = record.outcome.is_failure() || record.outcome == Outcome::Lost;
        let mut is_silenced = false;
        match &record.outcome {
            Outcome::Ok { .. } => {
                let was_alerted = job.state.last_alert.take().is_some();
                job.state.failures = 0;
                job.state.is_late = false;
                self.set_late(id, None);
                self.notify(id, NoticeEvent::Success, record, context);
                if was_alerted {
                    self.notify(id, NoticeEvent::Recovery, record, context);
                }
                self.ping(id, PingEvent::Ok, record, context);
                self.note_success(id, ended_at, context);
            }
            _ if is_failure => {
                job.state.failures = job.state.failures.saturating_add(1);
                is_silenced = !is_alert_due(job, &policy, context.now.utc);
                if !is_silenced {
                    job.state.last_alert = Some(context.now.utc);
                    self.notify(id, NoticeEvent::Failure, record, context);
                }
                self.ping(id, PingEvent::Fail, record, context);
                self.note_failure(id, context);
            }
            _ => {}
        }
        let is_mailed = !is_silenced
            && match policy.mail {
                MailRule::Output => true,
                MailRule::Failure => is_failure,
                MailRule::Never => false,
                // A failure of which no mail is due is not compared with: the one that is mailed differs from the last slot before them.
                MailRule::Change => {
                    self.jobs.get_mut(id).is_some_and(|job| note_output(job, &record.outcome, output_digest))
                }
            };
        // The executor knows whether it waits for that: the settings may have changed since the start.
        if let Some(run) = record.run {
            context.actions.push(Action::Conclude { run, is_mailed });
        }
    }

    fn notify(&self, id: &JobId, event: NoticeEvent, record: &RunRecord, context: &mut PolicyContext<'_>) {
        let Some(job) = self.jobs.get(id) else { return };
        let (job_id, record, failures) = (id.clone(), Some(record.clone()), job.state.failures);
        context.notify(&job.spec, Notice { event, job: job_id, record, failures, expected_until: None });
    }

    fn ping(&self, id: &JobId, event: PingEvent, record: &RunRecord, context: &mut PolicyContext<'_>) {
        if let Some(job) = self.jobs.get(id) {
            context.ping(&job.spec, event, record);
        }
    }

    /// A job has ended well: `@after` jobs that wait for it come closer to their slot.
    fn note_success(&mut self, id: &JobId, ended_at: Timestamp, context: &mut PolicyContext<'_>) {
        for dependent in self.dependents.of(id) {
            let Some(job) = self.jobs.get_mut(&dependent) else { continue };
            context.note_change(&dependent);
            job.state.after_ok.insert(id.clone(), ended_at);
            if job.spec.after.iter().all(|needed| job.state.after_ok.contains_key(needed)) {
                let last = job.state.after_ok.values().copied().max().unwrap_or(ended_at);
                job.state.after_ok.clear();
                context.due_after.insert(dependent, last);
            }
        }
    }

    /// A run of a job has failed: what `@after` jobs knew of a success is void.
    pub(super) fn note_failure(&mut self, id: &JobId, context: &mut PolicyContext<'_>) {
        for dependent in self.dependents.of(id) {
            if let Some(job) = self.jobs.get_mut(&dependent) {
                job.state.after_ok.remove(id);
                context.note_change(&dependent);
            }
        }
    }

    /// A slot has come: a success is expected in time.
    pub(super) fn expect_success(&mut self, id: &JobId, policy: &Policy, slot: Timestamp) {
        let Some(seconds) = policy.late else { return };
        let is_expected = self.jobs.get(id).is_some_and(|job| job.state.late_at.is_some() || job.state.is_late);
        if !is_expected {
            self.set_late(id, Some(Timestamp(slot.0.saturating_add(i64::from(seconds)))));
        }
    }

    pub(super) fn set_late(&mut self, id: &JobId, late_at: Option<Timestamp>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        if let Some(old) = std::mem::replace(&mut job.state.late_at, late_at) {
            self.late.remove(old, id);
        }
        if let Some(late_at) = late_at {
            self.late.add(late_at, id);
        }
    }

    /// When the next success is expected at the latest.
    pub(in crate::scheduler) fn next_late(&self) -> Option<Timestamp> {
        self.late.next()
    }

    /// Notifies of successes that have not come in time, once until the next success.
    pub(in crate::scheduler) fn notify_late(&mut self, context: &mut PolicyContext<'_>) {
        while let Some((at, id)) = self.late.take_due(context.now.utc) {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            (job.state.late_at, job.state.is_late) = (None, true);
            context.note_change(&id);
            let (event, failures) = (NoticeEvent::Late, job.state.failures);
            context.notify(&job.spec, Notice { event, job: id, record: None, failures, expected_until: Some(at) });
        }
    }
}

/// Keeps the outcome and the output of a slot for `CRON_MAIL=change`. True if they differ from the previous slot's; before the first slot
/// they count as a success without output.
fn note_output(job: &mut Job, outcome: &Outcome, digest: Option<u64>) -> bool {
    let new = (outcome.as_str().to_owned(), digest);
    let ok = Outcome::Ok { status: 0 }.as_str();
    let old = job.state.last_output.replace(new.clone()).unwrap_or_else(|| (ok.to_owned(), None));
    old != new
}

fn is_alert_due(job: &Job, policy: &Policy, now: Timestamp) -> bool {
    let Some(alert) = policy.alert else { return true };
    match (job.state.last_alert, alert.repeat) {
        (None, _) => job.state.failures >= alert.failures,
        (Some(last), Some(repeat)) => now.0 - last.0 >= i64::from(repeat),
        (Some(_), None) => false,
    }
}
