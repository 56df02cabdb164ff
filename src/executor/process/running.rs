//! Jobs that have been started, and the output that is read of them.

use crate::executor::job::{Job, Stream};
use crate::executor::relay::Relay;
use crate::sys::process::{self, Ask};
use std::collections::{BTreeSet, HashMap};

/// How long the output of background processes is waited for after a job's own end.
pub(super) const GRACE_MS: i64 = 1000;
/// Most bytes taken from one job's pipe before the others have their turn.
pub(super) const READ_SIZE: usize = 16 << 10;

/// All of them.
pub(super) struct RunningJobs {
    /// By their numbers.
    pub(super) running: HashMap<u64, Job>,
    /// Until when (monotonic) the output of ended jobs is waited for, and mail for late output.
    pub(super) graces: BTreeSet<(i64, u64)>,
    /// All jobs are to end: how they are asked to.
    pub(super) ending: Option<Ask>,
    /// Standalone: where their output goes.
    pub(super) relay: Option<Relay>,
    /// Pipes that are not read until the relay has room again.
    pub(super) paused: Vec<(u64, Stream)>,
    pub(super) buffer: Vec<u8>,
}

impl RunningJobs {
    pub(super) fn new(relay: Option<Relay>) -> RunningJobs {
        RunningJobs {
            running: HashMap::new(),
            graces: BTreeSet::new(),
            ending: None,
            relay,
            paused: Vec::new(),
            buffer: vec![0; READ_SIZE],
        }
    }

    /// Ends every job's process group, and that of each that is started from now on.
    pub(super) fn end_all(&mut self, ask: Ask) {
        self.ending = Some(ask);
        for job in self.running.values().filter(|job| job.result.is_none()) {
            end_group(job, ask);
        }
    }
}

/// Ends a job's process group. It is not known to have ended, so the id is still the job's; a group that is gone is what was wanted.
pub(super) fn end_group(job: &Job, ask: Ask) {
    if let Some(pid) = job.pid {
        let _ = process::signal_group(pid, ask).or_else(|_| process::signal(pid, ask));
    }
}
