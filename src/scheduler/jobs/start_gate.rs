//! Whether waiting starts may begin now, and which jobs and groups have to be checked again when they may.

use super::group::GroupKey;
use crate::scheduler::job_id::JobId;
use std::collections::BTreeSet;

/// Whether what waits may be started now.
#[derive(Debug, Default)]
pub(super) struct StartGate {
    /// Entries are being exchanged: runs could be started by the places that their entries had before.
    is_changing: bool,
    /// Whether nothing is started any more, because the daemon stops.
    is_stopped: bool,
    /// No later attempt would ever begin: nothing is started any more, and the next daemon will know of none, or all runs are being ended.
    pub(super) has_no_more_attempts: bool,
    /// Whether retries are held back, because it is not known yet which of an earlier daemon's are dropped.
    pub(super) holds_retries: bool,
    jobs: BTreeSet<JobId>,
    groups: BTreeSet<GroupKey>,
}

impl StartGate {
    /// Whether what waits may be started.
    pub(super) fn is_open(&self) -> bool {
        !self.is_stopped && !self.is_changing
    }

    /// Whether a start that waits for a run of this job may begin now. If not, the job is noted to be checked again.
    pub(super) fn admits_job(&mut self, id: &JobId) -> bool {
        if self.is_changing {
            self.note_job(id);
        }
        self.is_open()
    }

    /// Whether a start that waits in this group may begin now. If not, the group is noted to be checked again.
    pub(super) fn admits_group(&mut self, key: &GroupKey) -> bool {
        if self.is_changing {
            self.note_group(key);
        }
        self.is_open()
    }

    /// Something of this job may be started at the next opportunity.
    pub(super) fn note_job(&mut self, id: &JobId) {
        self.jobs.insert(id.clone());
    }

    /// Something may be started in this group at the next opportunity.
    pub(super) fn note_group(&mut self, key: &GroupKey) {
        self.groups.insert(key.clone());
    }

    /// Takes out the jobs and groups that have to be checked again.
    pub(super) fn take_noted(&mut self) -> (BTreeSet<JobId>, BTreeSet<GroupKey>) {
        (std::mem::take(&mut self.jobs), std::mem::take(&mut self.groups))
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    pub(super) fn stop(&mut self) {
        self.is_stopped = true;
    }

    pub(super) fn begin_change(&mut self) {
        self.is_changing = true;
    }

    pub(super) fn end_change(&mut self) {
        self.is_changing = false;
    }
}
