//! Which `@after` jobs wait for which jobs.

use crate::scheduler::job_id::JobId;
use std::collections::{BTreeMap, BTreeSet};

/// For each job, the `@after` jobs that wait for it.
#[derive(Debug, Default)]
pub(super) struct Dependents(BTreeMap<JobId, BTreeSet<JobId>>);

impl Dependents {
    /// Registers a job that waits for the jobs of `needed`.
    pub(super) fn add(&mut self, id: &JobId, needed: &[JobId]) {
        for needed in needed {
            self.0.entry(needed.clone()).or_default().insert(id.clone());
        }
    }

    /// A job waits for these no longer.
    pub(super) fn remove(&mut self, id: &JobId, needed: &[JobId]) {
        for needed in needed {
            if let Some(dependents) = self.0.get_mut(needed) {
                dependents.remove(id);
                if dependents.is_empty() {
                    self.0.remove(needed);
                }
            }
        }
    }

    /// The jobs that wait for a job.
    pub(super) fn of(&self, id: &JobId) -> Vec<JobId> {
        self.0.get(id).into_iter().flatten().cloned().collect()
    }
}
