//! Groups of jobs of which only some run at once.

use crate::scheduler::job_id::JobId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Identifies a group: those of system tables are shared by all users.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "(Option<String>, String)", into = "(Option<String>, String)")]
pub(in crate::scheduler) struct GroupKey {
    /// The user whose crontab names it. None: a system table does, and the group spans all users.
    pub(in crate::scheduler) user: Option<Arc<str>>,
    pub(in crate::scheduler) name: Arc<str>,
}

impl From<(Option<String>, String)> for GroupKey {
    fn from((user, name): (Option<String>, String)) -> GroupKey {
        GroupKey { user: user.map(Arc::from), name: name.into() }
    }
}

impl From<GroupKey> for (Option<String>, String) {
    fn from(GroupKey { user, name }: GroupKey) -> (Option<String>, String) {
        (user.map(|user| user.to_string()), name.to_string())
    }
}

/// Who runs in a group and who waits.
#[derive(Debug, Default)]
pub(in crate::scheduler) struct Group {
    /// How many runs each member allows; the smallest holds.
    members: BTreeMap<JobId, u32>,
    running: u32,
    /// Who waits, by ticket: first come, first served.
    queue: BTreeMap<u64, JobId>,
}

impl Group {
    pub(in crate::scheduler) fn join(&mut self, job: JobId, slots: u32) {
        self.members.insert(job, slots);
    }

    /// A member that allows another number of runs.
    pub(in crate::scheduler) fn other_limits(&self, slots: u32) -> impl Iterator<Item = (&JobId, u32)> {
        self.members.iter().filter(move |(_, limit)| **limit != slots).map(|(job, limit)| (job, *limit))
    }

    pub(in crate::scheduler) fn leave(&mut self, job: &JobId) {
        self.members.remove(job);
    }

    /// Whether nobody is in it.
    pub(in crate::scheduler) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.running == 0 && self.queue.is_empty()
    }

    /// Most runs at once. A group without members lets those that still wait go.
    fn limit(&self) -> u32 {
        self.members.values().copied().min().unwrap_or(u32::MAX)
    }

    fn has_room(&self) -> bool {
        self.running < self.limit()
    }

    /// Whether more run than may.
    pub(in crate::scheduler) fn is_overfull(&self) -> bool {
        self.running > self.limit()
    }

    /// Takes a place if one is free and nobody waits for it.
    pub(in crate::scheduler) fn try_enter(&mut self) -> bool {
        let may_enter = self.has_room() && self.queue.is_empty();
        if may_enter {
            self.enter();
        }
        may_enter
    }

    /// Takes a place, free or not.
    pub(in crate::scheduler) fn enter(&mut self) {
        self.running += 1;
    }

    /// Gives back the place of a run that has ended.
    pub(in crate::scheduler) fn exit(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// Lets a job wait with that ticket.
    pub(in crate::scheduler) fn wait(&mut self, ticket: u64, job: JobId) {
        self.queue.insert(ticket, job);
    }

    /// Gives up the ticket of a start that waited.
    pub(in crate::scheduler) fn cancel(&mut self, ticket: u64) {
        self.queue.remove(&ticket);
    }

    /// The first that waits, if there is a place.
    pub(in crate::scheduler) fn next(&mut self) -> Option<(u64, JobId)> {
        if self.has_room() { self.queue.pop_first() } else { None }
    }
}
