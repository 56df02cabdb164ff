//! The running jobs and the reading of their output.

use crate::executor::job::{Job, Stream};
use crate::executor::relay::Relay;
use crate::sys::process::Ask;
use std::collections::{BTreeSet, HashMap};

/// Grace period after a job's end in which output of its background processes is still waited for.
pub(super) const GRACE_MS: i64 = 1000;
/// Maximum number of bytes that are read from one job's pipe before the other events are handled.
pub(super) const READ_SIZE: usize = 16 << 10;

/// The running jobs, and ended ones whose output is still waited for.
pub(super) struct RunningJobs {
    /// The jobs by their numbers.
    pub(super) running: HashMap<u64, Job>,
    /// The ends of the grace periods of ended jobs, and of the waiting of mails for late output (monotonic), with the job's number.
    pub(super) graces: BTreeSet<(i64, u64)>,
    /// The signal with which all jobs are ended, also those that are started from now on. None: they are not to end.
    pub(super) ending: Option<Ask>,
    /// Standalone mode: writes the output of jobs to standard output and error.
    pub(super) relay: Option<Relay>,
    /// Pipes that are not read until the relay accepts output again.
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
}
