//! Requests of users: runs by hand, kills and pauses.

use super::action::Action;
use super::anacron::JobActivity;
use super::event::ManualStart;
use super::job_id::JobId;
use super::jobs::{Killed, Pause, PauseScope, RefusedRun};
use super::now::Now;
use super::progress::TurnChanges;
use super::run_id::RunId;
use super::saved::StateChange;
use super::start_queue::ANACRON;
use super::state::Scheduler;
use std::collections::BTreeSet;

/// The result of a request, and the actions that it leads to.
#[derive(Debug)]
pub struct Answer<T> {
    /// The result of the request.
    pub result: T,
    /// What the daemon must do, in order. It includes what was due before the request.
    pub actions: Vec<Action>,
}

/// The requests that return an [`Answer`].
impl Scheduler {
    /// Runs a job now. The run has no id yet where it waits.
    pub fn run_by_hand(
        &mut self,
        job: &JobId,
        start: ManualStart,
        now: Now,
    ) -> Answer<Result<Option<RunId>, RefusedRun>> {
        let mut actions = Vec::new();
        let gap = self.follow_time(now, &mut actions);
        self.run_policy_timers(now, &mut actions);
        self.start_due(gap, now, &mut actions);
        let result = self.start_by_hand(job, start, now, &mut actions);
        self.finish(TurnChanges::default(), now, &mut actions);
        Answer { result, actions }
    }

    /// Ends a job's oldest run, else cancels what waits, else its retry.
    pub fn kill(&mut self, job: &JobId, by: &str, now: Now) -> Answer<Killed> {
        self.kill_with(now, |scheduler, actions| scheduler.kill_job(job, by, now, actions))
    }

    /// Ends one run of a job.
    pub fn kill_run(&mut self, job: &JobId, run: RunId, by: &str, now: Now) -> Answer<Killed> {
        self.kill_with(now, |scheduler, actions| match scheduler.end_run(job, run, by, now, actions) {
            true => Killed::Run(run),
            false => Killed::Nothing,
        })
    }

    /// Kills come before what is due in their second.
    fn kill_with(&mut self, now: Now, kill: impl FnOnce(&mut Scheduler, &mut Vec<Action>) -> Killed) -> Answer<Killed> {
        let mut actions = Vec::new();
        let gap = self.follow_time(now, &mut actions);
        let result = kill(self, &mut actions);
        self.run_policy_timers(now, &mut actions);
        self.start_due(gap, now, &mut actions);
        self.finish(TurnChanges::default(), now, &mut actions);
        Answer { result, actions }
    }
}

/// How the requests are carried out.
impl Scheduler {
    /// Runs a job now, with overlap and group rules unless it is forced.
    pub(super) fn start_by_hand(
        &mut self,
        id: &JobId,
        start: ManualStart,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Result<Option<RunId>, RefusedRun> {
        if !self.manage_job(id, now, actions) {
            return Err(RefusedRun::NoSuchJob);
        }
        let result = self.with_jobs(now, actions, |jobs, context| jobs.run_by_hand(id, start, context));
        // A run by hand is a previous run, too: an `@N` entry counts from its end.
        if let Some(key) = self.jobs.entry(id).filter(|_| self.jobs.is_occupied(id))
            && self.entries.interval(key).is_some()
        {
            self.stop_waiting(key);
        }
        result
    }

    /// Pauses a job, if there is one.
    pub(super) fn pause(&mut self, id: &JobId, pause: Pause, now: Now, actions: &mut Vec<Action>) {
        if self.manage_job(id, now, actions) {
            let source =
                self.jobs.entry(id).and_then(|key| self.entries.source_at(key)).map(|source| source.path.clone());
            self.with_jobs(now, actions, |jobs, context| jobs.pause(id, Pause { source, ..pause }, context));
        }
    }

    /// Ends a pause before its time.
    pub(super) fn resume(&mut self, id: &JobId, now: Now, actions: &mut Vec<Action>) {
        self.with_jobs(now, actions, |jobs, context| jobs.resume(id, context));
        if self.jobs.entry(id).is_some_and(|entry| entry.0 == ANACRON) {
            self.entries.anacron.note_resumed();
        }
    }

    /// Takes a pause of all back, also from jobs whose tables are not loaded yet.
    pub(super) fn resume_all(&mut self, scope: PauseScope, now: Now, actions: &mut Vec<Action>) {
        let ended = self.with_jobs(now, actions, |jobs, context| jobs.resume_all(scope, context));
        let unclaimed = &mut self.earlier.unclaimed.pauses;
        let is_given = |(id, pause): &(&JobId, &Pause)| ended.values().any(|all| all.has_given(id, pause));
        let given: Vec<JobId> = unclaimed.iter().filter(is_given).map(|(id, _)| id.clone()).collect();
        for id in given {
            unclaimed.remove(&id);
            actions.push(Action::SaveState(Box::new(StateChange::pause(id, None))));
        }
    }

    /// Ends one run of a job. False: it does not go on.
    pub(super) fn end_run(&mut self, id: &JobId, run: RunId, by: &str, now: Now, actions: &mut Vec<Action>) -> bool {
        if self.starts.runs.get(&run).is_none() {
            return false;
        }
        // The run of an entry without a policy becomes one of a managed job, so that its outcome is `killed`.
        if !self.jobs.owns(run) {
            self.manage_job(id, now, actions);
            self.adopt_plain_runs(&BTreeSet::from([id.clone()]), now, actions);
            if !self.jobs.owns(run) {
                return false;
            }
        }
        self.with_jobs(now, actions, |jobs, context| jobs.kill_run(run, by, context))
    }

    /// Ends a job's oldest run, else cancels what waits, else its retry.
    pub(super) fn kill_job(&mut self, id: &JobId, by: &str, now: Now, actions: &mut Vec<Action>) -> Killed {
        self.with_jobs(now, actions, |jobs, context| jobs.kill(id, by, context))
    }
}
