//! The output of runs, as the executor sends it.

use crate::daemon::state::Daemon;
use crate::scheduler::RunId;

impl Daemon {
    /// Has the executor send the output of a run.
    pub(super) fn follow_output(&mut self, _run: RunId, _follower: u64) {}

    /// Has the executor send no more of it.
    pub(super) fn stop_following(&mut self, _follower: u64) {}

    /// Sends a signal to the processes of a run.
    pub(super) fn signal_run(&mut self, _run: RunId, _number: i32) {}
}
