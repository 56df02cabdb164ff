//! The cgroup of a job: a leaf below that of the executor, where that one is delegated.
//!
//! The first process of a job enters it before its exec, and no process of the user can leave it by itself. Executor and PAM monitors are in
//! none, so that they outlive the processes of the job.

use crate::scheduler::RunId;
use crate::sys::cgroup::{CgroupDescriptor, DelegatedCgroup, LeafCgroup};
use crate::sys::process::Pid;
use std::io;

/// How the names of all leaves begin.
pub(super) const PREFIX: &str = "cronwheel-run-";

/// The leaf of this run. It may not exist.
pub(super) fn leaf_of(cgroup: &DelegatedCgroup, run: RunId) -> LeafCgroup {
    cgroup.leaf(&format!("{PREFIX}{}", run.0))
}

/// Creates the leaf of this run.
pub(super) fn create(cgroup: &DelegatedCgroup, run: RunId) -> io::Result<(LeafCgroup, CgroupDescriptor)> {
    let leaf = leaf_of(cgroup, run);
    let cgroup_descriptor = leaf.create()?;
    Ok((leaf, cgroup_descriptor))
}

/// The leaf of a run whose executor is dead. None: the cgroup of this process is not delegated.
fn leaf_of_lost(run: RunId) -> Option<LeafCgroup> {
    DelegatedCgroup::own().map(|own| leaf_of(&own, run))
}

/// A process that is left in the cgroup of a run whose executor is dead.
pub(super) fn process_of_lost_run(run: RunId) -> Option<Pid> {
    leaf_of_lost(run)?.processes().first().copied()
}
