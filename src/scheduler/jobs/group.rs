//! Groups of jobs of which only some run at once.

use crate::scheduler::job_id::JobId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Members of a group that are looked at to find one that allows another number of runs.
const MOST_LOOKED_AT: usize = 10_000;

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
    /// How many members allow each number of runs.
    limits: BTreeMap<u32, usize>,
    running: u32,
    /// Who waits, by ticket: first come, first served.
    queue: BTreeMap<u64, JobId>,
}

impl Group {
    pub(in crate::scheduler) fn join(&mut self, job: JobId, slots: u32) {
        if let Some(old) = self.members.insert(job, slots) {
            self.forget_limit(old);
        }
        *self.limits.entry(slots).or_default() += 1;
    }

    /// Members that allow another number of runs, among those that are looked at.
    pub(in crate::scheduler) fn other_limits(&self, slots: u32) -> impl Iterator<Item = (&JobId, u32)> {
        let most = if self.limits.len() > 1 { MOST_LOOKED_AT } else { 0 };
        self.members.iter().take(most).filter(move |(_, limit)| **limit != slots).map(|(job, limit)| (job, *limit))
    }

    pub(in crate::scheduler) fn leave(&mut self, job: &JobId) {
        if let Some(slots) = self.members.remove(job) {
            self.forget_limit(slots);
        }
    }

    fn forget_limit(&mut self, slots: u32) {
        if let Some(members) = self.limits.get_mut(&slots) {
            *members -= 1;
            if *members == 0 {
                self.limits.remove(&slots);
            }
        }
    }

    /// Whether nobody is in it.
    pub(in crate::scheduler) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.running == 0 && self.queue.is_empty()
    }

    /// Most runs at once. A group without members lets those that still wait go.
    fn limit(&self) -> u32 {
        self.limits.first_key_value().map_or(u32::MAX, |(slots, _)| *slots)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_number_of_runs_holds_in_a_large_group() {
        // Each look at all members would make this take hours.
        let job = |number: u32| JobId::named("alice", &number.to_string());
        let (mut group, members) = (Group::default(), 100_000);
        (0..members).for_each(|number| group.join(job(number), members));
        for number in 0..members {
            assert!(group.try_enter() && group.other_limits(members).next().is_none(), "{number}");
        }
        assert!(!group.try_enter());
        (0..members).for_each(|_| group.exit());
        for (slots, expected) in [(3, 3), (7, 7), (2, 2)] {
            group.join(job(0), slots);
            assert_eq!((group.limit(), group.other_limits(slots).count()), (expected, MOST_LOOKED_AT - 1));
        }
        group.leave(&job(0));
        group.leave(&job(0));
        assert_eq!((group.limit(), group.other_limits(members).count()), (members, 0));
        (1..members).for_each(|number| group.leave(&job(number)));
        assert_eq!(group.limit(), u32::MAX);
        assert!(group.is_empty());
    }
}
