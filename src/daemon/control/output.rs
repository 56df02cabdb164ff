//! The output of runs, as the executor sends it.

use super::state::Request;
use crate::daemon::reactor::Token;
use crate::daemon::state::Daemon;
use crate::scheduler::RunId;
use crate::varlink::{Reply, cron};

impl Daemon {
    /// Has the executor send the output of a run.
    pub(super) fn follow_output(&mut self, run: RunId, follower: u64) {
        self.executors.current.follow(run, follower);
    }

    /// Has the executor send no more of it.
    pub(super) fn stop_following(&mut self, follower: u64) {
        self.executors.current.stop_following(follower);
    }

    /// Sends a signal to the processes of a run.
    pub(super) fn signal_run(&mut self, run: RunId, number: i32) {
        self.executors.current.signal(run, number);
    }
}
