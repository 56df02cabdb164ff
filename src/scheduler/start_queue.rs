//! Starts that are due and not made yet. Owners take turns, so that a job is delayed by jobs of its own owner only.
//!
//! A start waits here, as a few numbers, until the executor has room for it; the request is made only then. So the queue is small, starts
//! of an entry that is gone can be dropped, and nothing of it outlives a stop of the daemon.

use super::run_id::RunId;
use crate::schedule::Timestamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The maximum number of waiting slots of one entry with a schedule by minutes. With a schedule by seconds it is one.
const SLOTS_BY_MINUTES: usize = 60;
/// The number of waiting slots of one owner above which each of its entries may have only one, so that the queue is no longer than the
/// number of entries.
const SLOTS_OF_OWNER: usize = 20_000;

/// The owner of starts, which take turns. A user's crontab and the system's entries that run as that user are different owners: neither
/// delays the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum QueueOwner {
    /// A user's crontab, by login name.
    User(Arc<str>),
    /// Entries of system tables that run as this user.
    System(Arc<str>),
    /// Everything in a standalone daemon.
    Caller,
}

/// An entry of a live table: the table's number and the entry's index.
pub(super) type EntryKey = (u32, u32);

/// The number of the anacrontab, whose jobs are entries, too. No crontab has it.
pub(super) const ANACRON: u32 = u32::MAX;

/// One slot that waits to be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueuedSlot {
    pub(super) run: RunId,
    /// When it became due to be started.
    pub(super) at: Timestamp,
    pub(super) scheduled_at: Timestamp,
    pub(super) at_reboot: bool,
}

/// Slots of one entry in a row that were skipped for the same reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SkippedRow {
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) count: u64,
    /// The run of the last of them.
    pub(super) run: RunId,
}

/// Limits on the starts that have been handed over to the executor and not begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct HandoverLimits {
    /// Number of starts for each owner.
    pub(super) starts_per_owner: usize,
    /// Size for each owner, in bytes. One start may always be handed over.
    pub(super) bytes_per_owner: usize,
    /// Number of starts for all owners together.
    pub(super) starts: usize,
    /// Size for all owners together, in bytes.
    pub(super) bytes: usize,
}

/// The queue. Without limits for the handover everything is handed over at once.
#[derive(Debug, Default)]
pub(super) struct StartQueue {
    limits: Option<HandoverLimits>,
    owners: BTreeMap<QueueOwner, OwnerQueue>,
    /// Owners that have something to hand over and room for it, in the order of their turns.
    turns: VecDeque<QueueOwner>,
    entries: BTreeMap<EntryKey, EntryQueue>,
    /// Starts that have been handed over and not begun.
    handed_over: BTreeMap<RunId, HandedOver>,
    handed_over_bytes: usize,
    waiting: usize,
    /// Every start that has not begun, by the moment at which it became due.
    unstarted: BTreeSet<(Timestamp, RunId)>,
}

#[derive(Debug, Default)]
struct OwnerQueue {
    /// The entry of each slot that waits.
    entries: VecDeque<EntryKey>,
    has_turn: bool,
    handed_over: usize,
    handed_over_bytes: usize,
}

#[derive(Debug, Default)]
struct EntryQueue {
    slots: VecDeque<QueuedSlot>,
    superseded: Option<SkippedRow>,
}

#[derive(Debug)]
struct HandedOver {
    owner: QueueOwner,
    at: Timestamp,
    bytes: usize,
}

/// A slot whose turn it is, and the slots of its entry before it that were superseded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NextStart {
    pub(super) owner: QueueOwner,
    pub(super) entry: EntryKey,
    pub(super) slot: QueuedSlot,
    pub(super) superseded: Option<SkippedRow>,
}

/// What is dropped with an entry: its waiting runs, and the row of skipped slots for the record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) entry: EntryKey,
    pub(super) runs: Vec<RunId>,
    pub(super) row: Option<SkippedRow>,
    pub(super) superseded: Option<SkippedRow>,
}

impl SkippedRow {
    fn of(slot: &QueuedSlot) -> SkippedRow {
        SkippedRow { first: slot.scheduled_at, last: slot.scheduled_at, count: 1, run: slot.run }
    }

    fn add(row: &mut Option<SkippedRow>, slot: &QueuedSlot) {
        match row {
            Some(row) => {
                row.last = slot.scheduled_at;
                row.count += 1;
                row.run = slot.run;
            }
            None => *row = Some(SkippedRow::of(slot)),
        }
    }
}

impl StartQueue {
    pub(super) fn set_limits(&mut self, limits: HandoverLimits) {
        self.limits = Some(limits);
    }

    pub(super) fn is_limited(&self) -> bool {
        self.limits.is_some()
    }

    /// How many slots wait for their turn.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// When the first start that has not begun became due, handed over or not.
    pub(super) fn first_unstarted(&self) -> Option<Timestamp> {
        self.unstarted.first().map(|(at, _)| *at)
    }

    /// Queues a slot behind the others of its owner. If its entry has the maximum number already, the slot takes the place of the oldest,
    /// whose run is returned.
    pub(super) fn push(
        &mut self,
        owner: QueueOwner,
        entry: EntryKey,
        slot: QueuedSlot,
        by_seconds: bool,
    ) -> Option<RunId> {
        self.unstarted.insert((slot.at, slot.run));
        let queue = self.entries.entry(entry).or_default();
        // A schedule by seconds may also name moments that are minutes apart: those are kept as others are.
        let is_close = |oldest: &QueuedSlot| slot.scheduled_at.0 - oldest.scheduled_at.0 < 60;
        let has_one_slot = by_seconds && queue.slots.front().is_some_and(is_close);
        let is_owner_full = self.owners.get(&owner).is_some_and(|owner| owner.entries.len() >= SLOTS_OF_OWNER);
        let most = if has_one_slot || is_owner_full { 1 } else { SLOTS_BY_MINUTES };
        queue.slots.push_back(slot);
        if queue.slots.len() > most {
            // One at a time: an owner that has become full keeps the slots that its entries have.
            let oldest = queue.slots.pop_front()?;
            SkippedRow::add(&mut queue.superseded, &oldest);
            self.unstarted.remove(&(oldest.at, oldest.run));
            return Some(oldest.run);
        }
        self.waiting += 1;
        self.owners.entry(owner.clone()).or_default().entries.push_back(entry);
        self.give_turn(owner);
        None
    }

    /// How many slots of an entry wait for their turn.
    pub(super) fn slots_of(&self, entry: EntryKey) -> usize {
        self.entries.get(&entry).map_or(0, |queue| queue.slots.len())
    }

    /// Whether a run waits here for an entry.
    pub(super) fn is_waiting(&self, entry: EntryKey, run: RunId) -> bool {
        self.entries.get(&entry).is_some_and(|queue| queue.slots.iter().any(|slot| slot.run == run))
    }

    /// Takes out one run that waits for an entry of that owner.
    pub(super) fn remove(&mut self, owner: &QueueOwner, entry: EntryKey, run: RunId) {
        let Some(queue) = self.entries.get_mut(&entry) else { return };
        let Some(place) = queue.slots.iter().position(|slot| slot.run == run) else { return };
        if let Some(slot) = queue.slots.remove(place) {
            self.unstarted.remove(&(slot.at, slot.run));
        }
        if queue.slots.is_empty() {
            self.entries.remove(&entry);
        }
        self.waiting -= 1;
        // The owner's list has one place for each slot of the entry; which of them goes makes no difference.
        if let Some(queue) = self.owners.get_mut(owner)
            && let Some(place) = queue.entries.iter().rposition(|other| *other == entry)
        {
            queue.entries.remove(place);
        }
        self.give_turn(owner.clone());
    }

    /// Takes the slot whose turn it is, if the executor has room for one. The caller hands it over and says so with [`StartQueue::handed_over`].
    pub(super) fn pop(&mut self) -> Option<NextStart> {
        if let Some(limits) = self.limits
            && (self.handed_over.len() >= limits.starts || self.handed_over_bytes >= limits.bytes)
        {
            return None;
        }
        let owner = self.turns.pop_front()?;
        let queue = self.owners.get_mut(&owner)?;
        queue.has_turn = false;
        let entry = queue.entries.pop_front()?;
        let of_entry = self.entries.get_mut(&entry)?;
        let slot = of_entry.slots.pop_front()?;
        let superseded = of_entry.superseded.take();
        if of_entry.slots.is_empty() {
            self.entries.remove(&entry);
        }
        self.waiting -= 1;
        Some(NextStart { owner, entry, slot, superseded })
    }

    /// Records that a slot was handed over to the executor, as this many bytes.
    pub(super) fn handed_over(&mut self, owner: QueueOwner, slot: &QueuedSlot, bytes: usize) {
        let Some(queue) = self.owners.get_mut(&owner) else { return };
        if self.limits.is_some() {
            queue.handed_over += 1;
            queue.handed_over_bytes += bytes;
            self.handed_over_bytes += bytes;
            self.handed_over.insert(slot.run, HandedOver { owner: owner.clone(), at: slot.at, bytes });
        } else {
            self.unstarted.remove(&(slot.at, slot.run));
        }
        self.give_turn(owner);
    }

    /// Records that a slot that was taken is not handed over after all.
    pub(super) fn not_handed_over(&mut self, owner: QueueOwner, slot: &QueuedSlot) {
        self.unstarted.remove(&(slot.at, slot.run));
        self.give_turn(owner);
    }

    /// Records that the executor has accepted a start, or has found out that it cannot be made.
    pub(super) fn accepted(&mut self, run: RunId) {
        let Some(HandedOver { owner, at, bytes }) = self.handed_over.remove(&run) else { return };
        self.unstarted.remove(&(at, run));
        self.handed_over_bytes -= bytes;
        if let Some(queue) = self.owners.get_mut(&owner) {
            queue.handed_over -= 1;
            queue.handed_over_bytes -= bytes;
        }
        self.give_turn(owner);
    }

    /// Whether [`StartQueue::pop`] would return a slot.
    pub(super) fn has_next(&self) -> bool {
        let has_room = self
            .limits
            .is_none_or(|limits| self.handed_over.len() < limits.starts && self.handed_over_bytes < limits.bytes);
        has_room && !self.turns.is_empty()
    }

    /// Takes out everything that waits for the entries of a table, or for `None` of all tables.
    pub(super) fn drop_entries(&mut self, table: Option<u32>) -> Vec<Dropped> {
        let is_meant = |entry: &EntryKey| table.is_none_or(|table| entry.0 == table);
        let keys: BTreeSet<EntryKey> = self.entries.keys().copied().filter(|entry| is_meant(entry)).collect();
        if keys.is_empty() {
            return Vec::new();
        }
        let owners: Vec<QueueOwner> = self.owners.keys().cloned().collect();
        for owner in owners {
            if let Some(queue) = self.owners.get_mut(&owner) {
                queue.entries.retain(|entry| !is_meant(entry));
            }
            self.give_turn(owner);
        }
        keys.into_iter().filter_map(|entry| self.drop_entry(entry)).collect()
    }

    fn drop_entry(&mut self, entry: EntryKey) -> Option<Dropped> {
        let queue = self.entries.remove(&entry)?;
        let mut row = None;
        for slot in &queue.slots {
            SkippedRow::add(&mut row, slot);
            self.unstarted.remove(&(slot.at, slot.run));
        }
        self.waiting -= queue.slots.len();
        Some(Dropped {
            entry,
            runs: queue.slots.iter().map(|slot| slot.run).collect(),
            row,
            superseded: queue.superseded,
        })
    }

    /// Moves what waits for entries of a table to the entries that replace them: `successors` maps old to new. Slots without a successor
    /// are dropped and returned.
    pub(super) fn move_entries(&mut self, table: u32, successors: &BTreeMap<u32, EntryKey>) -> Vec<Dropped> {
        let old: BTreeSet<EntryKey> = self.entries.keys().copied().filter(|entry| entry.0 == table).collect();
        if old.is_empty() {
            return Vec::new();
        }
        let moved: BTreeMap<EntryKey, EntryQueue> =
            old.iter().filter_map(|entry| Some((*successors.get(&entry.1)?, self.entries.remove(entry)?))).collect();
        let dropped: Vec<Dropped> = old.into_iter().filter_map(|entry| self.drop_entry(entry)).collect();
        self.entries.extend(moved);
        let owners: Vec<QueueOwner> = self.owners.keys().cloned().collect();
        for owner in owners {
            if let Some(queue) = self.owners.get_mut(&owner) {
                let mut entries = std::mem::take(&mut queue.entries);
                entries.retain_mut(|entry| match (entry.0 == table, successors.get(&entry.1)) {
                    (false, _) => true,
                    (true, Some(successor)) => {
                        *entry = *successor;
                        true
                    }
                    (true, None) => false,
                });
                queue.entries = entries;
            }
            self.give_turn(owner);
        }
        dropped
    }

    /// Takes the rows of superseded slots that have not been recorded yet.
    pub(super) fn take_superseded(&mut self) -> Vec<(EntryKey, SkippedRow)> {
        let rows = self.entries.iter_mut().filter_map(|(entry, queue)| Some((*entry, queue.superseded.take()?)));
        rows.collect()
    }

    /// The entries of a table for which something waits.
    pub(super) fn entries_of(&self, table: u32) -> BTreeSet<u32> {
        self.entries.keys().filter(|entry| entry.0 == table).map(|entry| entry.1).collect()
    }

    /// Gives an owner a turn if it has something to hand over and room for it. Forgets an owner without any starts.
    fn give_turn(&mut self, owner: QueueOwner) {
        let Some(queue) = self.owners.get_mut(&owner) else { return };
        let has_room = self.limits.is_none_or(|limits| {
            queue.handed_over < limits.starts_per_owner && queue.handed_over_bytes < limits.bytes_per_owner
        });
        match (queue.entries.is_empty(), queue.has_turn) {
            (false, false) if has_room => {
                queue.has_turn = true;
                self.turns.push_back(owner);
            }
            (true, has_turn) => {
                if has_turn {
                    queue.has_turn = false;
                    self.turns.retain(|other| *other != owner);
                }
                if self.owners.get(&owner).is_some_and(|queue| queue.handed_over == 0) {
                    self.owners.remove(&owner);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HandoverLimits =
        HandoverLimits { starts_per_owner: 2, bytes_per_owner: 1000, starts: 100, bytes: 10_000 };

    fn owner(name: &str) -> QueueOwner {
        QueueOwner::User(name.into())
    }

    fn slot(run: u64, at: i64) -> QueuedSlot {
        QueuedSlot { run: RunId(run), at: Timestamp(at), scheduled_at: Timestamp(at), at_reboot: false }
    }

    fn limited() -> StartQueue {
        let mut queue = StartQueue::default();
        queue.set_limits(LIMITS);
        queue
    }

    /// Hands over what may be handed over, as this many bytes each, and returns the runs.
    fn hand_over(queue: &mut StartQueue, bytes: usize) -> Vec<u64> {
        let mut runs = Vec::new();
        while let Some(next) = queue.pop() {
            runs.push(next.slot.run.0);
            queue.handed_over(next.owner, &next.slot, bytes);
        }
        runs
    }

    #[test]
    fn an_owner_with_much_does_not_delay_one_with_little() {
        let mut queue = limited();
        for run in 0..1000 {
            queue.push(owner("alice"), (0, run), slot(run.into(), 60), false);
        }
        assert_eq!(hand_over(&mut queue, 1), [0, 1]);
        queue.push(owner("bob"), (1, 0), slot(5000, 61), false);
        assert_eq!(hand_over(&mut queue, 1), [5000]);
        queue.accepted(RunId(0));
        queue.push(owner("bob"), (1, 1), slot(5001, 61), false);
        assert_eq!(hand_over(&mut queue, 1), [2, 5001]);
        assert_eq!((queue.waiting(), queue.first_unstarted()), (997, Some(Timestamp(60))));
    }

    #[test]
    fn large_starts_are_handed_over_one_by_one_and_small_ones_of_others_pass_them() {
        let mut queue = limited();
        for run in 0..3 {
            queue.push(owner("alice"), (0, run), slot(run.into(), 60), false);
            queue.push(owner("bob"), (1, run), slot(u64::from(run) + 10, 60), false);
        }
        assert_eq!(queue.pop().map(|next| next.slot.run), Some(RunId(0)));
        queue.handed_over(owner("alice"), &slot(0, 60), 5000);
        assert_eq!(hand_over(&mut queue, 1), [10, 11]);
        queue.accepted(RunId(0));
        assert_eq!(hand_over(&mut queue, 5000), [1]);
    }

    #[test]
    fn what_all_have_handed_over_is_bounded() {
        let mut queue = limited();
        for run in 0..200 {
            queue.push(owner(&format!("user{run}")), (run, 0), slot(run.into(), 60), false);
        }
        assert_eq!(hand_over(&mut queue, 1).len(), LIMITS.starts);
        assert!(!queue.has_next() && queue.waiting() == 100);
        queue.accepted(RunId(7));
        assert_eq!(hand_over(&mut queue, 1), [100]);
    }

    #[test]
    fn the_bytes_that_all_have_handed_over_are_bounded() {
        let mut queue = limited();
        for run in 0..5 {
            queue.push(owner(&format!("user{run}")), (run, 0), slot(run.into(), 60), false);
        }
        assert_eq!(hand_over(&mut queue, LIMITS.bytes / 2), [0, 1]);
        assert!(!queue.has_next() && queue.pop().is_none());
        for run in 0..3 {
            queue.accepted(RunId(run));
            assert_eq!(hand_over(&mut queue, LIMITS.bytes / 2), [run + 2]);
        }
    }

    #[test]
    fn of_a_schedule_by_seconds_one_slot_waits_and_of_others_sixty() {
        for (by_seconds, interval, most) in [(true, 1, 1), (false, 60, SLOTS_BY_MINUTES), (true, 60, SLOTS_BY_MINUTES)]
        {
            let mut queue = limited();
            // Two others are before it, so that all of its slots wait.
            for run in 0..2 {
                queue.push(owner("alice"), (0, run + 1), slot(run.into(), 0), false);
            }
            assert_eq!(hand_over(&mut queue, 1), [0, 1]);
            let given_up: Vec<u64> = (0..100_u32)
                .filter_map(|n| {
                    let at = i64::from(n) * interval;
                    queue.push(owner("alice"), (0, 0), slot(u64::from(n) + 10, at), by_seconds)
                })
                .map(|run| run.0)
                .collect();
            assert_eq!(given_up, (10..110 - most as u64).collect::<Vec<_>>());
            assert_eq!(queue.waiting(), most);
            queue.accepted(RunId(0));
            let next = queue.pop().unwrap();
            assert_eq!(next.slot.run, RunId(110 - most as u64));
            let last = Timestamp((99 - most as i64) * interval);
            let row = SkippedRow { first: Timestamp(0), last, count: 100 - most as u64, run: RunId(109 - most as u64) };
            assert_eq!(next.superseded, Some(row));
        }
    }

    #[test]
    fn what_waits_for_one_owner_is_bounded_whatever_the_schedules() {
        let mut queue = limited();
        for minute in 0..60_u32 {
            for entry in 0..1000 {
                let run = u64::from(minute * 1000 + entry);
                queue.push(owner("alice"), (0, entry), slot(run, i64::from(minute) * 60), false);
            }
        }
        assert_eq!(queue.waiting(), SLOTS_OF_OWNER);
        queue.push(owner("bob"), (1, 0), slot(70_000, 3600), false);
        assert_eq!(hand_over(&mut queue, 1), [40_000, 70_000, 40_001]);
    }

    #[test]
    fn two_slots_that_are_made_up_for_at_the_same_moment_both_wait() {
        let mut queue = limited();
        queue.push(owner("alice"), (0, 0), slot(1, 60), false);
        queue.push(owner("alice"), (0, 0), slot(2, 60), false);
        assert_eq!(hand_over(&mut queue, 1), [1, 2]);
    }

    #[test]
    fn entries_that_go_are_dropped_and_entries_that_move_keep_their_place() {
        let mut queue = limited();
        for run in 0..6_u32 {
            queue.push(owner("alice"), (run % 2, run / 2), slot(run.into(), 60), false);
        }
        // Entry 0 of table 1 has become entry 7 of table 9; the others of table 1 are gone.
        let dropped = queue.move_entries(1, &BTreeMap::from([(0, (9, 7))]));
        let runs: Vec<u64> = dropped.iter().flat_map(|dropped| &dropped.runs).map(|run| run.0).collect();
        assert_eq!(runs, [3, 5]);
        let next: Vec<EntryKey> = std::iter::from_fn(|| {
            let next = queue.pop()?;
            queue.handed_over(next.owner, &next.slot, 1);
            queue.accepted(next.slot.run);
            Some(next.entry)
        })
        .collect();
        assert_eq!(next, [(0, 0), (9, 7), (0, 1), (0, 2)]);
        queue.push(owner("alice"), (0, 0), slot(8, 120), false);
        queue.push(owner("bob"), (0, 1), slot(9, 120), false);
        assert_eq!(queue.drop_entries(Some(0)).len(), 2);
        assert_eq!((queue.waiting(), queue.first_unstarted(), queue.has_next()), (0, None, false));
        assert!(queue.owners.is_empty() && queue.entries.is_empty() && queue.handed_over.is_empty());
    }
}
