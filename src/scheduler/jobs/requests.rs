//! Requests of users: manual runs and kills.

use super::group::GroupPlace;
use super::job::{Item, Waiting};
use super::registry::Jobs;
use crate::crontab::Overlap;
use crate::scheduler::event::ManualStart;
use crate::scheduler::job_id::JobId;
use crate::scheduler::policy_context::PolicyContext;
use crate::scheduler::run_id::RunId;
use crate::scheduler::run_record::{EndReason, Outcome, SkipReason, Trigger};

/// Manual runs of one job that wait.
const WAITING_BY_HAND: usize = 16;

/// Why a manual run was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedRun {
    /// No such job, or its entry is gone.
    NoSuchJob,
    /// A run of it is running or waits, and overlap is forbidden. Recorded as skipped.
    StillRunning,
    /// Too many manual runs wait.
    TooMany,
}

/// What a request to end a job has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killed {
    /// A run, which is being ended.
    Run(RunId),
    /// A slot that waited.
    Waiting,
    /// A further attempt after a failure.
    Retry,
    /// There is nothing that could end.
    Nothing,
}

impl Jobs {
    /// Runs a job now. Returns the run, unless it waits.
    ///
    /// # Errors
    ///
    /// Why it does not run.
    pub(in crate::scheduler) fn run_by_hand(
        &mut self,
        id: &JobId,
        start: ManualStart,
        context: &mut PolicyContext<'_>,
    ) -> Result<Option<RunId>, RefusedRun> {
        let Some(job) = self.jobs.get_mut(id).filter(|job| job.spec.entry.is_some()) else {
            return Err(RefusedRun::NoSuchJob);
        };
        let (scheduled_at, trigger) = (context.now.utc, Trigger::Manual);
        let item =
            Item { scheduled_at, trigger, is_caught_up: false, is_manual: true, attempt: 1, number: 0, claim: None };
        context.note_change(id);
        if start == ManualStart::Forced {
            let group = job.spec.group.as_ref();
            group.iter().for_each(|group| self.groups.enter(group));
            let place = if group.is_some() { GroupPlace::Taken } else { GroupPlace::None };
            let is_of_fleet = self.is_of_fleet(id);
            let run = self.begin(id, item, place, context);
            run.iter().filter(|_| is_of_fleet).for_each(|run| context.note_forced(*run));
            return Ok(run);
        }
        let is_busy = job.is_busy();
        let by_hand = job.state.waiting.iter().filter(|waiting| waiting.item.is_manual).count();
        if by_hand >= WAITING_BY_HAND {
            return Err(RefusedRun::TooMany);
        }
        match job.spec.policy.overlap {
            Overlap::Skip if is_busy => {
                self.record_without_run(id, &item, Outcome::Skipped(SkipReason::StillRunning), context);
                Err(RefusedRun::StillRunning)
            }
            Overlap::Queue | Overlap::Replace if is_busy => {
                let replaces = job.spec.policy.overlap == Overlap::Replace
                    && job.state.waiting.is_empty()
                    && !job.is_catching_up_all();
                job.state.waiting.push(Waiting { item, ticket: None });
                if replaces {
                    self.end_runs(id, &EndReason::Replaced, context);
                }
                Ok(None)
            }
            Overlap::Allow | Overlap::Skip | Overlap::Queue | Overlap::Replace => {
                Ok(self.enter_group(id, item, context))
            }
        }
    }

    /// Ends the oldest run of a job, else cancels what waits, else its retry.
    pub(in crate::scheduler) fn kill(&mut self, id: &JobId, by: &str, context: &mut PolicyContext<'_>) -> Killed {
        let Some(job) = self.jobs.get_mut(id) else { return Killed::Nothing };
        context.note_change(id);
        let why = EndReason::Killed(by.to_owned());
        if let Some(run) = job.state.running.iter_mut().find(|run| run.ending.is_none()) {
            run.ending = Some(why.clone());
            let (run, entry) = (run.run, job.spec.entry);
            context.end(run, entry, why);
            return Killed::Run(run);
        }
        if !job.state.waiting.is_empty() {
            let waiting = job.state.waiting.remove(0);
            self.cancel_tickets(id, std::slice::from_ref(&waiting));
            self.record_cancelled(id, &waiting.item, by, context);
            self.start_waiting_of_job(id, context);
            self.count_from_end(id, context.now.utc, context);
            return Killed::Waiting;
        }
        if self.drop_retry(id, context) {
            self.start_waiting_of_job(id, context);
            return Killed::Retry;
        }
        Killed::Nothing
    }

    /// Ends one run of a job, on request.
    pub(in crate::scheduler) fn kill_run(&mut self, run: RunId, by: &str, context: &mut PolicyContext<'_>) -> bool {
        let Some(id) = self.runs.get(&run).cloned() else { return false };
        let Some(job) = self.jobs.get_mut(&id) else { return false };
        let entry = job.spec.entry;
        let Some(active) = job.state.running.iter_mut().find(|active| active.run == run) else { return false };
        if active.ending.is_none() {
            let why = EndReason::Killed(by.to_owned());
            active.ending = Some(why.clone());
            context.note_change(&id);
            context.end(run, entry, why);
        }
        true
    }
}
