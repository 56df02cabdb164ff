//! All live tables, by number and by path.

use super::live_table::LiveCrontab;
use super::timers::Timers;
use super::wheel::Timer;
use std::collections::HashMap;

/// All live tables by number and by path.
#[derive(Debug, Default)]
pub(super) struct Tables {
    slots: Vec<Option<LiveCrontab>>,
    free: Vec<u32>,
    by_path: HashMap<String, u32>,
    entries: usize,
}

impl Tables {
    pub(super) fn get(&self, number: u32) -> Option<&LiveCrontab> {
        self.slots.get(number as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut LiveCrontab> {
        self.slots.get_mut(number as usize)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &LiveCrontab)> {
        (0..).zip(&self.slots).filter_map(|(number, slot)| Some((number, slot.as_ref()?)))
    }

    /// Live tables.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Live entries.
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    /// The number of the table with that path.
    pub(super) fn find(&self, path: &str) -> Option<u32> {
        self.by_path.get(path).copied()
    }

    /// Makes a table live under a number that is free, or a new one, and marks it on its timers.
    pub(super) fn add(&mut self, table: LiveCrontab, timers: &mut Timers) -> u32 {
        let number = match self.free.pop() {
            Some(free) => free,
            None => {
                if self.slots.len() == self.slots.capacity() {
                    self.slots.reserve_exact(self.slots.len() / 8 + 4);
                }
                self.slots.push(None);
                self.slots.len() as u32 - 1
            }
        };
        self.by_path.insert(table.source().path.clone(), number);
        table.timers().for_each(|timer| timers.subscribe(timer, number));
        self.entries += table.entries().len();
        self.slots[number as usize] = Some(table);
        number
    }

    /// Takes a table out and its marks off the timers. Timers that it was the last to use are in `unused`.
    pub(super) fn take(&mut self, number: u32, timers: &mut Timers, unused: &mut Vec<Timer>) -> Option<LiveCrontab> {
        let table = self.slots.get_mut(number as usize)?.take()?;
        self.free.push(number);
        self.entries -= table.entries().len();
        self.by_path.remove(&table.source().path);
        for timer in table.timers() {
            timers.unsubscribe(timer, number);
            if timers.get(timer).is_some_and(|shared| shared.tables().is_empty()) {
                unused.push(timer);
            }
        }
        Some(table)
    }
}
