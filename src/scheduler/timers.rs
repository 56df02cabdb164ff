//! The interned timers: one for each distinct (schedule, zone, delay), however many entries share it.

use super::wheel::Timer;
use super::zones::{ZoneId, Zones};
use crate::crontab::Timing;
use crate::schedule::{DstPolicy, Kind, Schedule};
use std::collections::HashMap;
use std::sync::Arc;

/// What all entries of a timer have in common.
#[derive(Debug)]
pub(super) struct Shared {
    /// The timing of the first entry. The text of others may differ.
    timing: Arc<Timing>,
    pub(super) zone: ZoneId,
    pub(super) kind: Kind,
    pub(super) style: DstPolicy,
    /// Whether it is due at seconds instead of whole minutes.
    pub(super) by_seconds: bool,
    /// The tables that have entries on it, each once.
    tables: TableSet,
}

/// Numbers of tables: mostly one, sometimes ten thousand.
#[derive(Debug)]
enum TableSet {
    One(u32),
    /// In order, so that one is found by binary search.
    Many(Vec<u32>),
}

/// All timers by id and by key.
#[derive(Debug, Default)]
pub(super) struct Timers {
    slots: Vec<Option<Shared>>,
    free: Vec<u32>,
    by_key: HashMap<Key, Timer>,
}

/// Schedule, zone, and the seconds from the due moment to the start.
type Key = (Schedule, ZoneId, u32);

impl Timers {
    pub(super) fn get(&self, timer: Timer) -> Option<&Shared> {
        self.slots.get(timer.0 as usize)?.as_ref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Timer, &Shared)> {
        (0..).map(Timer).zip(&self.slots).filter_map(|(timer, slot)| Some((timer, slot.as_ref()?)))
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The timer of a timing in that zone, and whether it is new. A new one has no tables yet and keeps its zone.
    pub(super) fn intern(&mut self, timing: &Arc<Timing>, zone: ZoneId, zones: &mut Zones) -> (Timer, bool) {
        let key = (timing.schedule.clone(), zone, timing.delay);
        if let Some(&known) = self.by_key.get(&key) {
            return (known, false);
        }
        zones.keep(zone);
        let timer = self.put(Shared {
            timing: timing.clone(),
            zone,
            kind: timing.schedule.kind(),
            style: timing.schedule.style(),
            by_seconds: timing.schedule.has_seconds(),
            tables: TableSet::Many(Vec::new()),
        });
        self.by_key.insert(key, timer);
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
        let (key, zone) = ((shared.schedule().clone(), shared.zone, shared.delay()), shared.zone);
        self.by_key.remove(&key);
        self.slots[timer.0 as usize] = None;
        self.free.push(timer.0);
        zones.release(zone);
        true
    }

    /// Notes that a table has entries on a timer.
    pub(super) fn subscribe(&mut self, timer: Timer, table: u32) {
        if let Some(shared) = self.slots.get_mut(timer.0 as usize).and_then(Option::as_mut) {
            shared.tables.insert(table);
        }
    }

    /// Notes that a table has no entries on a timer any more.
    pub(super) fn unsubscribe(&mut self, timer: Timer, table: u32) {
        if let Some(shared) = self.slots.get_mut(timer.0 as usize).and_then(Option::as_mut) {
            shared.tables.remove(table);
        }
    }
}

impl Shared {
    pub(super) fn schedule(&self) -> &Schedule {
        &self.timing.schedule
    }

    /// Seconds from the due moment to the start.
    pub(super) fn delay(&self) -> u32 {
        self.timing.delay
    }

    pub(super) fn timing(&self) -> &Arc<Timing> {
        &self.timing
    }

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
                reserve_one(tables);
                tables.push(table);
            }
            TableSet::Many(tables) => {
                if let Err(place) = tables.binary_search(&table) {
                    reserve_one(tables);
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

/// Reserves memory for one more, without doubling the capacity.
fn reserve_one(tables: &mut Vec<u32>) {
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
