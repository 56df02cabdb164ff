//! Groups of jobs of which only some run at once: their members, the places that are taken, and the jobs that wait for a place.

use crate::scheduler::job_id::JobId;
use crate::scheduler::run_id::RunId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Members of a group that are examined to find one that allows another number of runs.
const MOST_EXAMINED: usize = 10_000;

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

/// Whether a run that begins has a place in the group of its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GroupPlace {
    Taken,
    /// The job has no group.
    None,
}

/// All groups that have members or runs.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: BTreeMap<GroupKey, Group>,
    /// Places that runs of earlier daemons have whose entries are not loaded.
    unclaimed: HashMap<RunId, GroupKey>,
    last_ticket: u64,
}

impl Groups {
    /// Makes a job a member that allows `slots` runs of the group at once.
    pub(super) fn join(&mut self, key: &GroupKey, job: &JobId, slots: u32) {
        self.groups.entry(key.clone()).or_default().join(job.clone(), slots);
    }

    pub(super) fn leave(&mut self, key: &GroupKey, job: &JobId) {
        if let Some(group) = self.groups.get_mut(key) {
            group.leave(job);
        }
        self.forget_if_empty(key);
    }

    /// Takes a place if one is free and no start waits for it.
    pub(super) fn try_enter(&mut self, key: &GroupKey) -> bool {
        self.groups.entry(key.clone()).or_default().try_enter()
    }

    /// Takes a place, free or not.
    pub(super) fn enter(&mut self, key: &GroupKey) {
        self.groups.entry(key.clone()).or_default().running += 1;
    }

    /// Gives back the place of a run that has ended.
    pub(super) fn exit(&mut self, key: &GroupKey) {
        if let Some(group) = self.groups.get_mut(key) {
            group.running = group.running.saturating_sub(1);
        }
        self.forget_if_empty(key);
    }

    /// Whether more run than may: an edit may have left fewer places than runs.
    pub(super) fn is_overfull(&self, key: &GroupKey) -> bool {
        self.groups.get(key).is_some_and(|group| group.running > group.limit())
    }

    /// Lets a job wait for a place. Returns its ticket: first come, first served.
    pub(super) fn wait(&mut self, key: &GroupKey, job: &JobId) -> u64 {
        self.last_ticket += 1;
        self.wait_with(key, self.last_ticket, job);
        self.last_ticket
    }

    /// Lets a job wait with a ticket that it has, from another group or from an earlier daemon.
    pub(super) fn wait_with(&mut self, key: &GroupKey, ticket: u64, job: &JobId) {
        self.groups.entry(key.clone()).or_default().queue.insert(ticket, job.clone());
    }

    /// Tickets up to this one have been given out by an earlier daemon.
    pub(super) fn skip_tickets(&mut self, upto: u64) {
        self.last_ticket = self.last_ticket.max(upto);
    }

    /// Gives up the ticket of a start that waited.
    pub(super) fn cancel(&mut self, key: &GroupKey, ticket: u64) {
        if let Some(group) = self.groups.get_mut(key) {
            group.queue.remove(&ticket);
        }
    }

    /// Takes out the first that waits, if there is a free place.
    pub(super) fn take_next(&mut self, key: &GroupKey) -> Option<(u64, JobId)> {
        self.groups.get_mut(key)?.take_next()
    }

    /// Members of a group that allow another number of runs, among the first `MOST_EXAMINED` members.
    pub(super) fn other_limits(&self, key: &GroupKey, slots: u32) -> impl Iterator<Item = (&JobId, u32)> {
        self.groups.get(key).into_iter().flat_map(move |group| group.other_limits(slots))
    }

    /// Reserves the place of a run of an earlier daemon until its entry is loaded.
    pub(super) fn reserve(&mut self, run: RunId, key: &GroupKey) {
        self.enter(key);
        self.unclaimed.insert(run, key.clone());
    }

    /// Gives up such a place. Returns its group.
    pub(super) fn release(&mut self, run: RunId) -> Option<GroupKey> {
        let key = self.unclaimed.remove(&run)?;
        self.exit(&key);
        Some(key)
    }

    fn forget_if_empty(&mut self, key: &GroupKey) {
        if self.groups.get(key).is_some_and(Group::is_empty) {
            self.groups.remove(key);
        }
    }
}

/// Who runs in a group and who waits.
#[derive(Debug, Default)]
struct Group {
    /// How many runs each member allows; the smallest holds.
    members: BTreeMap<JobId, u32>,
    /// How many members allow each number of runs.
    limits: BTreeMap<u32, usize>,
    running: u32,
    /// Who waits, by ticket: first come, first served.
    queue: BTreeMap<u64, JobId>,
}

impl Group {
    fn join(&mut self, job: JobId, slots: u32) {
        if let Some(old) = self.members.insert(job, slots) {
            self.forget_limit(old);
        }
        *self.limits.entry(slots).or_default() += 1;
    }

    /// Members that allow another number of runs, among the first `MOST_EXAMINED` members.
    fn other_limits(&self, slots: u32) -> impl Iterator<Item = (&JobId, u32)> {
        let most = if self.limits.len() > 1 { MOST_EXAMINED } else { 0 };
        self.members.iter().take(most).filter(move |(_, limit)| **limit != slots).map(|(job, limit)| (job, *limit))
    }

    fn leave(&mut self, job: &JobId) {
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

    /// Whether the group has no member, no run and no waiting start.
    fn is_empty(&self) -> bool {
        self.members.is_empty() && self.running == 0 && self.queue.is_empty()
    }

    /// Most runs at once. A group without members lets those that still wait go.
    fn limit(&self) -> u32 {
        self.limits.first_key_value().map_or(u32::MAX, |(slots, _)| *slots)
    }

    fn has_free_place(&self) -> bool {
        self.running < self.limit()
    }

    /// Takes a place if one is free and no start waits for it.
    fn try_enter(&mut self) -> bool {
        let may_enter = self.has_free_place() && self.queue.is_empty();
        if may_enter {
            self.running += 1;
        }
        may_enter
    }

    /// The first that waits, if there is a place.
    fn take_next(&mut self) -> Option<(u64, JobId)> {
        if self.has_free_place() { self.queue.pop_first() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_number_of_runs_holds_in_a_large_group() {
        // An examination of all members at each step would take hours.
        let job = |number: u32| JobId::named("alice", &number.to_string());
        let (mut group, members) = (Group::default(), 100_000);
        (0..members).for_each(|number| group.join(job(number), members));
        for number in 0..members {
            assert!(group.try_enter() && group.other_limits(members).next().is_none(), "{number}");
        }
        assert!(!group.try_enter());
        group.running = 0;
        for (slots, expected) in [(3, 3), (7, 7), (2, 2)] {
            group.join(job(0), slots);
            assert_eq!((group.limit(), group.other_limits(slots).count()), (expected, MOST_EXAMINED - 1));
        }
        group.leave(&job(0));
        group.leave(&job(0));
        assert_eq!((group.limit(), group.other_limits(members).count()), (members, 0));
        (1..members).for_each(|number| group.leave(&job(number)));
        assert_eq!(group.limit(), u32::MAX);
        assert!(group.is_empty());
    }
}
