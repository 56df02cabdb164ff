//! The runs that wait for their claims.

use crate::scheduler::job_id::JobId;
use crate::scheduler::run_id::RunId;
use crate::scheduler::run_record::Trigger;
use crate::scheduler::run_request::RunRequest;
use std::collections::{BTreeMap, BTreeSet};

/// A run that waits for its claim.
#[derive(Debug)]
pub(in crate::scheduler) struct PendingClaim {
    pub(in crate::scheduler) start: Box<RunRequest>,
    /// A random number that makes the claim differ from one of a copy of this machine, which has the same instance and the same runs.
    pub(in crate::scheduler) token: u64,
    /// When it was first asked for, in milliseconds of the monotonic clock.
    pub(in crate::scheduler) since_ms: i64,
    /// The request that has not been answered.
    pub(in crate::scheduler) request: Option<u64>,
    /// How often it was answered.
    pub(in crate::scheduler) tries: u32,
    /// Whether the engine was there and refused to change anything when it was last asked for.
    pub(in crate::scheduler) has_failed: bool,
    /// Then it is not asked for again before that, in milliseconds of the monotonic clock.
    pub(in crate::scheduler) retry_ms: i64,
    /// The numbers of the claims that were asked for, and of which it is not certain that they were not made.
    pub(in crate::scheduler) unsure: Vec<u64>,
    /// The one of them that no request before the last one was for.
    pub(in crate::scheduler) newly_unsure: Option<u64>,
    /// Whether a request of an earlier connection had no answer: the run key may be under the lease of that.
    pub(in crate::scheduler) has_old_request: bool,
}

/// The runs that wait for their claims, by run and by job.
#[derive(Debug, Default)]
pub(in crate::scheduler) struct PendingClaims {
    runs: BTreeMap<RunId, PendingClaim>,
    of_jobs: BTreeMap<JobId, BTreeSet<RunId>>,
}

impl PendingClaim {
    /// A run that is to be claimed.
    pub(in crate::scheduler) fn new(start: Box<RunRequest>, token: u64, since_ms: i64) -> PendingClaim {
        PendingClaim {
            start,
            token,
            since_ms,
            request: None,
            tries: 0,
            has_failed: false,
            retry_ms: since_ms,
            unsure: Vec::new(),
            newly_unsure: None,
            has_old_request: false,
        }
    }

    /// Whether it is for a slot, and not taken over from another node.
    pub(in crate::scheduler) fn is_of_slot(&self) -> bool {
        !self.start.trigger.is_manual() && self.start.trigger != Trigger::Failover
    }
}

impl PendingClaims {
    /// Adds a run.
    pub(in crate::scheduler) fn insert(&mut self, run: RunId, claim: PendingClaim) {
        self.of_jobs.entry(claim.start.job.clone()).or_default().insert(run);
        self.runs.insert(run, claim);
    }

    /// Takes a run out.
    pub(in crate::scheduler) fn remove(&mut self, run: RunId) -> Option<PendingClaim> {
        let claim = self.runs.remove(&run)?;
        if let Some(runs) = self.of_jobs.get_mut(&claim.start.job) {
            runs.remove(&run);
            if runs.is_empty() {
                self.of_jobs.remove(&claim.start.job);
            }
        }
        Some(claim)
    }

    /// A run that waits.
    pub(in crate::scheduler) fn get(&self, run: RunId) -> Option<&PendingClaim> {
        self.runs.get(&run)
    }

    /// The same, to change it. Its job stays.
    pub(in crate::scheduler) fn get_mut(&mut self, run: RunId) -> Option<&mut PendingClaim> {
        self.runs.get_mut(&run)
    }

    /// All runs that wait, to change them.
    pub(in crate::scheduler) fn values_mut(&mut self) -> impl Iterator<Item = &mut PendingClaim> {
        self.runs.values_mut()
    }

    /// The jobs of which runs wait.
    pub(in crate::scheduler) fn jobs(&self) -> impl Iterator<Item = &JobId> {
        self.of_jobs.keys()
    }

    /// The runs of a job that wait.
    pub(in crate::scheduler) fn of_job(&self, id: &JobId) -> impl Iterator<Item = (RunId, &PendingClaim)> {
        let runs = self.of_jobs.get(id).into_iter().flatten();
        runs.filter_map(|run| Some((*run, self.runs.get(run)?)))
    }
}
