//! Starts that have not begun: the queue in which they wait for the executor, and their runs.

use super::entries::Entries;
use super::queue_exits::QueueExits;
use super::run_id::RunId;
use super::run_record::EndReason;
use super::runs::{RunOrigin, Runs};
use super::start_queue::{EntryKey, QueueOwner, QueuedSlot, StartQueue};

/// The start queue, the runs that have not ended, and what their jobs do not know of them yet.
#[derive(Debug)]
pub(super) struct Starts {
    /// Starts that are due and not made yet.
    pub(super) queue: StartQueue,
    pub(super) runs: Runs,
    pub(super) exits: QueueExits,
}

impl Starts {
    /// An empty queue; ids of runs count from `next_id`.
    pub(super) fn new(next_id: u64) -> Starts {
        Starts { queue: StartQueue::default(), runs: Runs::new(next_id), exits: QueueExits::default() }
    }

    /// Queues a start of an entry without a policy, whose oldest start may be dropped for it.
    pub(super) fn queue_plain(&mut self, key: EntryKey, slot: QueuedSlot, entries: &Entries) {
        self.runs.insert(slot.run, RunOrigin::Plain(None));
        if let Some(superseded) = self.push(key, slot, entries) {
            self.runs.remove(&superseded);
        }
    }

    /// Queues a start that a job has decided on. A start that is dropped for it, or that no table has any more, is reported to its job later.
    pub(super) fn queue_managed(&mut self, key: EntryKey, slot: QueuedSlot, origin: RunOrigin, entries: &Entries) {
        if !entries.has_table(key) {
            return self.exits.unstartable.push(slot.run);
        }
        self.runs.insert(slot.run, origin);
        let superseded = self.push(key, slot, entries);
        self.exits.superseded.extend(superseded);
    }

    fn push(&mut self, key: EntryKey, slot: QueuedSlot, entries: &Entries) -> Option<RunId> {
        let by_seconds = entries.timer(key).is_some_and(|timer| timer.by_seconds);
        self.queue.push(self.owner(key, entries), key, slot, by_seconds)
    }

    /// Takes a run whose end was requested out of the queue. False: it is not there.
    pub(super) fn cancel(&mut self, key: EntryKey, run: RunId, why: &EndReason, entries: &Entries) -> bool {
        let is_queued = self.remove(key, run, entries);
        if is_queued {
            self.exits.ended.push((run, why.clone()));
        }
        is_queued
    }

    /// Drops a run whose end was requested and that was taken out of the queue, but not started.
    pub(super) fn cancel_claimed(&mut self, run: RunId, why: EndReason) {
        self.drop_claimed(run);
        self.exits.ended.push((run, why));
    }

    /// Drops a run that was taken out of the queue and is not started.
    pub(super) fn drop_claimed(&mut self, run: RunId) {
        self.queue.accepted(run);
        self.runs.remove(&run);
    }

    /// Takes a run out of the queue. False: it is not there.
    pub(super) fn remove(&mut self, key: EntryKey, run: RunId, entries: &Entries) -> bool {
        let is_queued = self.queue.is_waiting(key, run);
        if is_queued {
            self.queue.remove(&self.owner(key, entries), key, run);
            self.runs.remove(&run);
        }
        is_queued
    }

    /// Whose turn it is when an entry is due. Without limits there are no turns.
    fn owner(&self, key: EntryKey, entries: &Entries) -> QueueOwner {
        if self.queue.is_limited() { entries.queue_owner(key) } else { QueueOwner::Caller }
    }
}
