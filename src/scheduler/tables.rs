//! All live tables, by number and by path.

use super::live_table::LiveCrontab;
use super::timers::Timers;
use super::wheel::Timer;
use std::collections::HashMap;

/// All live tables by number and by path.
#[derive(Debug, Default)]
pub(super) struct LiveTables {
    /// The tables at their numbers.
    tables: Vec<Option<LiveCrontab>>,
    /// Numbers that no table has any more.
    free: Vec<u32>,
    by_path: HashMap<String, u32>,
    entries: usize,
    /// How many tables have been loaded that were not live before.
    loaded: u32,
}

impl LiveTables {
    pub(super) fn get(&self, number: u32) -> Option<&LiveCrontab> {
        self.tables.get(number as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut LiveCrontab> {
        self.tables.get_mut(number as usize)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &LiveCrontab)> {
        (0..).zip(&self.tables).filter_map(|(number, table)| Some((number, table.as_ref()?)))
    }

    /// The number of live tables.
    pub(super) fn len(&self) -> usize {
        self.tables.len() - self.free.len()
    }

    /// The number of live entries.
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    /// The number of the table with this path.
    pub(super) fn find(&self, path: &str) -> Option<u32> {
        self.by_path.get(path).copied()
    }

    /// The place of a table that has not been live before, from 0.
    pub(super) fn next_order(&mut self) -> u32 {
        self.loaded += 1;
        self.loaded - 1
    }

    /// Makes a table live under a free number or a new one, and subscribes it to its timers.
    pub(super) fn add(&mut self, table: LiveCrontab, timers: &mut Timers) -> u32 {
        let number = match self.free.pop() {
            Some(free) => free,
            None => {
                if self.tables.len() == self.tables.capacity() {
                    self.tables.reserve_exact(self.tables.len() / 8 + 4);
                }
                self.tables.push(None);
                self.tables.len() as u32 - 1
            }
        };
        self.by_path.insert(table.source().path.clone(), number);
        table.timers().for_each(|timer| timers.subscribe(timer, number));
        self.entries += table.entries().len();
        self.tables[number as usize] = Some(table);
        number
    }

    /// Removes a table and unsubscribes it from its timers. Timers that no other table uses are added to `unused`.
    pub(super) fn take(&mut self, number: u32, timers: &mut Timers, unused: &mut Vec<Timer>) -> Option<LiveCrontab> {
        let table = self.tables.get_mut(number as usize)?.take()?;
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
