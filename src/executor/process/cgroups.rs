//! The cgroups of jobs, if there are any, and the cgroups that are to be removed.

use super::context::{Context, EventSource, token};
use crate::executor::job_cgroup::{self, PREFIX};
use crate::report::Level;
use crate::scheduler::RunId;
use crate::sys::cgroup::{CgroupDescriptor, CgroupEvents, DelegatedCgroup, LeafCgroup};
use crate::sys::files::reason;
use std::collections::HashMap;
use std::io;

/// The cgroup of the executor and those of its jobs.
#[derive(Default)]
pub(super) struct Cgroups {
    /// The cgroup of the executor. None: no cgroup is delegated, and jobs stay in that of the executor.
    own: Option<DelegatedCgroup>,
    /// Leaves of ended jobs in which processes are left, by the numbers of their event sources.
    occupied: HashMap<u64, (LeafCgroup, CgroupEvents)>,
    /// Whether it has been logged that a job has no cgroup of its own.
    has_logged_error: bool,
}

impl Cgroups {
    /// Finds out whether jobs have cgroups, and removes those that earlier executors have left.
    pub(super) fn begin(&mut self, context: &mut Context) {
        self.own = DelegatedCgroup::own();
        // What cannot be listed stays; it does no harm.
        let left = self.own().and_then(|own| own.leaves(PREFIX).ok());
        left.into_iter().flatten().for_each(|leaf| self.end(context, Some(leaf)));
    }

    /// Creates the cgroup of a run. None: the run stays in the cgroup of the executor.
    pub(super) fn create(&mut self, context: &mut Context, run: RunId) -> Option<(LeafCgroup, CgroupDescriptor)> {
        let created = job_cgroup::create(self.own()?, run);
        created.inspect_err(|error| self.log_error(context, error)).ok()
    }

    /// Removes the cgroup of a job that has ended, now or when its last process has ended.
    pub(super) fn end(&mut self, context: &mut Context, leaf: Option<LeafCgroup>) {
        let Some(leaf) = leaf.filter(|leaf| leaf.remove().is_err()) else { return };
        // A leaf that cannot be watched is removed by the next executor.
        let Ok(events) = leaf.events() else { return };
        let id = context.new_id();
        if context.poll.add_for_exceptions(&events, token(EventSource::Cgroup, id)).is_ok() {
            self.occupied.insert(id, (leaf, events));
            self.check(context, id);
        }
    }

    /// The cgroup of the executor, if jobs have leaves below it.
    pub(super) fn own(&self) -> Option<&DelegatedCgroup> {
        self.own.as_ref()
    }

    /// The leaf of a run.
    pub(super) fn leaf_of(&self, run: RunId) -> Option<LeafCgroup> {
        self.own().map(|own| job_cgroup::leaf_of(own, run))
    }

    /// Removes a leaf whose state has changed, if no process is left in it.
    pub(super) fn check(&mut self, context: &Context, id: u64) {
        let Some((leaf, events)) = self.occupied.get(&id) else { return };
        // A cgroup whose state cannot be read has been removed.
        if !events.is_populated().unwrap_or(false) {
            // If this fails, the next executor removes it.
            let _ = leaf.remove();
            // A child that has not executed its program may have a copy of the descriptor, and then closing it would not deregister it.
            let _ = context.poll.remove(events);
            self.occupied.remove(&id);
        }
    }

    /// Logs the first failure to give a job a cgroup of its own.
    pub(super) fn log_error(&mut self, context: &mut Context, error: &io::Error) {
        if !std::mem::replace(&mut self.has_logged_error, true) {
            let text = format!("a job has no cgroup of its own: {}", reason(error));
            context.log.own(Level::Warning, "WARNING", &text);
        }
    }
}
