//! Queries about the state of a job.

use super::anacron::AnacronStatus;
use super::job_id::JobId;
use super::jobs::{Pause, PauseScope};
use super::run_id::RunId;
use super::state::Scheduler;
use crate::schedule::{Timestamp, Zone};
use std::sync::Arc;

/// The state of a job as far as its policy has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobStatus {
    /// The pause in force, also one that was asked for on another machine of the fleet.
    pub pause: Option<Pause>,
    /// Slots and manual runs that wait for another run or in the group.
    pub waiting: usize,
    /// When the next attempt follows a failure.
    pub retry_at: Option<Timestamp>,
    /// Final failures in a row.
    pub failures: u32,
    /// Whether a success is overdue (`CRON_LATE`).
    pub is_late: bool,
}

impl Scheduler {
    /// The state of a job.
    pub fn job_status(&self, id: &JobId) -> JobStatus {
        let own = self.jobs.paused(id).filter(|pause| pause.from <= self.progress.last.utc).cloned();
        let pause = own.or_else(|| self.fleet_pause(id));
        let (waiting, retry_at, failures, is_late) = self.jobs.status(id);
        JobStatus { pause, waiting, retry_at, failures, is_late }
    }

    /// Whether the scheduler decides about the end of a run ([`super::Action::Record`]).
    pub fn is_managed_run(&self, run: RunId) -> bool {
        self.jobs.owns(run)
    }

    /// Whether the end of a run was requested.
    pub fn is_being_ended(&self, run: RunId) -> bool {
        self.jobs.is_being_ended(run)
    }

    /// The jobs that are paused.
    pub fn paused_jobs(&self) -> impl Iterator<Item = &JobId> {
        self.jobs.pauses().filter(|(_, pause)| pause.from <= self.progress.last.utc).map(|(id, _)| id)
    }

    /// The pause of all jobs in a scope, which new entries get, too.
    pub fn pause_of_all(&self, scope: PauseScope) -> Option<&Pause> {
        self.jobs.pause_of_scope(scope)
    }

    /// Whether a moment of the past or the present was in a pause of the job.
    pub fn was_paused(&self, id: &JobId, moment: Timestamp) -> bool {
        self.jobs.was_paused(id, moment)
    }

    /// Whether the day of a slot is one of the exceptions of a job (`CRON_EXCEPT`).
    pub fn is_excepted_at(&self, id: &JobId, slot: Timestamp) -> bool {
        self.jobs.entry(id).is_some_and(|entry| self.is_excepted(id, entry, slot))
    }

    /// The jobs of the anacrontab.
    pub fn anacron_jobs(&self) -> Vec<AnacronStatus> {
        self.entries.anacron.jobs()
    }

    /// The user that a standalone daemon runs its jobs as; empty in another daemon.
    pub fn caller(&self) -> &str {
        &self.entries.caller
    }

    /// The system's time zone, in which entries without `CRON_TZ` run.
    pub fn system_zone(&self) -> Arc<Zone> {
        self.entries.timing.zones.system()
    }
}
