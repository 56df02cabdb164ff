//! A run of an earlier daemon.

use super::job_id::JobId;
use super::run_id::RunId;
use super::run_record::RunCause;
use crate::schedule::Timestamp;

/// A run of an earlier daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierRun {
    /// The id of the run.
    pub run: RunId,
    /// The job that it is a run of.
    pub job: JobId,
    /// The moment for which it was started.
    pub scheduled_at: Timestamp,
    /// What has led to it. None: an executor of an older version has started it, or its journal cannot be read.
    pub cause: Option<RunCause>,
}

impl EarlierRun {
    /// Whether it is known that it does not stand for a slot.
    pub(super) fn is_by_hand(&self) -> bool {
        self.cause.is_some_and(|cause| cause.trigger.is_manual())
    }
}
