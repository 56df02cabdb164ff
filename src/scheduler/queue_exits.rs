//! Runs that have left the start queue without a start, until their jobs are informed.

use super::run_id::RunId;
use super::run_record::EndReason;

/// Runs that have left the start queue without a start, until their jobs are informed.
#[derive(Debug, Default)]
pub(super) struct QueueExits {
    /// Runs that newer slots have pushed out.
    pub(super) superseded: Vec<RunId>,
    /// Runs whose entries are gone.
    pub(super) unstartable: Vec<RunId>,
    /// Runs whose end was requested while they waited.
    pub(super) ended: Vec<(RunId, EndReason)>,
}

/// Why a run has left the start queue.
pub(super) enum QueueExit {
    Superseded(RunId),
    Unstartable(RunId),
    Ended(RunId, EndReason),
}

impl QueueExits {
    /// Takes out one of them.
    pub(super) fn pop(&mut self) -> Option<QueueExit> {
        let superseded = self.superseded.pop().map(QueueExit::Superseded);
        superseded
            .or_else(|| self.unstartable.pop().map(QueueExit::Unstartable))
            .or_else(|| self.ended.pop().map(|(run, why)| QueueExit::Ended(run, why)))
    }
}
