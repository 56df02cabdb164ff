//! Moments at which something is due for jobs, in order.

use crate::scheduler::job_id::JobId;
use std::collections::BTreeSet;

/// Moments at which something is due for jobs. `T` is a time of the wall clock or of the monotonic one.
#[derive(Debug)]
pub(super) struct Deadlines<T>(BTreeSet<(T, JobId)>);

impl<T> Default for Deadlines<T> {
    fn default() -> Deadlines<T> {
        Deadlines(BTreeSet::new())
    }
}

impl<T: Copy + Ord> Deadlines<T> {
    pub(super) fn add(&mut self, at: T, id: &JobId) {
        self.0.insert((at, id.clone()));
    }

    pub(super) fn remove(&mut self, at: T, id: &JobId) {
        self.0.remove(&(at, id.clone()));
    }

    /// The earliest moment, also if it has passed. None: nothing is due.
    pub(super) fn next(&self) -> Option<T> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes out the first that is due.
    pub(super) fn take_due(&mut self, now: T) -> Option<(T, JobId)> {
        self.next().is_some_and(|at| at <= now).then(|| self.0.pop_first())?
    }
}
