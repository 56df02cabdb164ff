//! The interned timers: one for each distinct (schedule, zone, delay), however many entries share it.

use super::digest::{ByDigest, DigestKey};
use super::wheel::Timer;
use super::zones::{ZoneId, Zones};
use crate::schedule::{DstPolicy, Kind, Schedule};
use std::hash::BuildHasher;

/// What entries share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) schedule: Schedule,
    pub(super) zone: ZoneId,
    /// Seconds from the due moment to the start.
    pub(super) delay: u32,
    pub(super) kind: Kind,
    pub(super) style: DstPolicy,
    /// Due at seconds rather than at whole minutes.
    pub(super) by_seconds: bool,
    /// The tables that have entries on it, each once.
    tables: TableSet,
    /// The next timer whose key has the same hash.
    next_same_hash: u32,
}

/// Mostly one table, sometimes ten thousand.
#[derive(Debug)]
enum TableSet {
    One(u32),
    /// In order of their numbers, so that each is found without a look at all.
    Many(Vec<u32>),
}

/// All timers by id and by key.
#[derive(Debug, Default)]
pub(super) struct Timers {
    slots: Vec<Option<Shared>>,
    free: Vec<u32>,
    /// The first timer of each hash of a key.
    by_hash: ByDigest,
    key: DigestKey,
}

const NONE: u32 = u32::MAX;

impl Timers {
    pub(super) fn get(&self, timer: Timer) -> Option<&Shared> {
        self.slots.get(timer.0 as usize)?.as_ref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Timer, &Shared)> {
        (0..).map(Timer).zip(&self.slots).filter_map(|(timer, slot)| Some((timer, slot.as_ref()?)))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn hash(&self, schedule: &Schedule, zone: ZoneId, delay: u32) -> u32 {
        self.key.hash_one((schedule, u64::from(zone.0) << 32 | u64::from(delay))) as u32
    }

    /// The timer of that key, and whether it is new. A new one has no tables yet and keeps its zone.
    pub(super) fn intern(&mut self, schedule: &Schedule, zone: ZoneId, delay: u32, zones: &mut Zones) -> (Timer, bool) {
        let hash = self.hash(schedule, zone, delay);
        let first = self.by_hash.get(&hash).copied().unwrap_or(NONE);
        let mut at = first;
        while let Some(shared) = self.get(Timer(at)) {
            if shared.zone == zone && shared.delay == delay && shared.schedule == *schedule {
                return (Timer(at), false);
            }
            at = shared.next_same_hash;
        }
        zones.keep(zone);
        let shared = Shared {
            schedule: schedule.clone(),
            zone,
            delay,
            kind: schedule.kind(),
            style: schedule.style(),
            by_seconds: schedule.has_seconds(),
            tables: TableSet::Many(Vec::new()),
            next_same_hash: first,
        };
        let timer = self.put(shared);
        self.by_hash.insert(hash, timer.0);
        (timer, true)
    }

    fn put(&mut self, shared: Shared) -> Timer {
        if let Some(free) = self.free.pop() {
            self.slots[free as usize] = Some(shared);
            return Timer(free);
        }
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact(self.slots.len() / 8 + 16);
        }
        self.slots.push(Some(shared));
        Timer(self.slots.len() as u32 - 1)
    }

    /// Frees a timer that no table uses.
    pub(super) fn free_if_unused(&mut self, timer: Timer, zones: &mut Zones) -> bool {
        let Some(shared) = self.get(timer).filter(|shared| shared.tables.as_slice().is_empty()) else { return false };
        let (zone, next) = (shared.zone, shared.next_same_hash);
        let hash = self.hash(&shared.schedule, zone, shared.delay);
        match self.by_hash.get(&hash).copied() {
            Some(first) if first == timer.0 && next == NONE => {
                self.by_hash.remove(&hash);
            }
            Some(first) if first == timer.0 => {
                self.by_hash.insert(hash, next);
            }
            Some(first) => self.unchain(first, timer.0, next),
            None => {}
        }
        self.slots[timer.0 as usize] = None;
        self.free.push(timer.0);
        zones.release(zone);
        true
    }

    fn unchain(&mut self, first: u32, gone: u32, next: u32) {
        let mut at = first;
        while let Some(shared) = self.slots.get_mut(at as usize).and_then(Option::as_mut) {
            if shared.next_same_hash == gone {
                shared.next_same_hash = next;
                return;
            }
            at = shared.next_same_hash;
        }
    }

    /// Notes that a table has entries on a timer.
    pub(super) fn subscribe(&mut self, timer: Timer, table: u32) {
        if let Some(shared) = self.slots.get_mut(timer.0 as usize).and_then(Option::as_mut) {
            shared.tables.insert(table);
        }
    }

    /// Takes the note back.
    pub(super) fn unsubscribe(&mut self, timer: Timer, table: u32) {
        if let Some(shared) = self.slots.get_mut(timer.0 as usize).and_then(Option::as_mut) {
            shared.tables.remove(table);
        }
    }
}

impl Shared {
    /// The tables that have entries on it.
    pub(super) fn tables(&self) -> &[u32] {
        self.tables.as_slice()
    }
}

impl TableSet {
    fn as_slice(&self) -> &[u32] {
        match self {
            TableSet::One(table) => std::slice::from_ref(table),
            TableSet::Many(tables) => tables,
        }
    }

    fn insert(&mut self, table: u32) {
        match self {
            TableSet::Many(tables) if tables.is_empty() => *self = TableSet::One(table),
            TableSet::One(first) => *self = TableSet::Many(vec![table.min(*first), table.max(*first)]),
            // Tables are loaded in order of their numbers.
            TableSet::Many(tables) if tables.last().is_some_and(|last| *last < table) => {
                make_room(tables);
                tables.push(table);
            }
            TableSet::Many(tables) => {
                if let Err(place) = tables.binary_search(&table) {
                    make_room(tables);
                    tables.insert(place, table);
                }
            }
        }
    }

    fn remove(&mut self, table: u32) {
        match self {
            TableSet::One(only) if *only == table => *self = TableSet::Many(Vec::new()),
            TableSet::One(_) => {}
            TableSet::Many(tables) => {
                if let Ok(place) = tables.binary_search(&table) {
                    tables.remove(place);
                }
                if tables.capacity() > 16 && tables.len() < tables.capacity() / 4 {
                    tables.shrink_to(tables.len() * 2);
                }
            }
        }
    }
}

/// Makes room for one more, and not for twice as many.
fn make_room(tables: &mut Vec<u32>) {
    if tables.len() == tables.capacity() {
        tables.reserve_exact(tables.len() / 4 + 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_tables_holds_each_once_in_order() {
        let mut set = TableSet::Many(Vec::new());
        [7, 3, 9, 3].into_iter().for_each(|table| set.insert(table));
        assert_eq!(set.as_slice(), [3, 7, 9]);
        [8, 3, 9].into_iter().for_each(|table| set.remove(table));
        assert_eq!(set.as_slice(), [7]);
        [8, 7].into_iter().for_each(|table| set.remove(table));
        assert!(set.as_slice().is_empty());
        set.insert(5);
        set.remove(4);
        assert_eq!(set.as_slice(), [5]);
    }
}
