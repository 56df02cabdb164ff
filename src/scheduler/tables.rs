//! All live tables, by number and by path.

use super::digest::{ByDigest, DigestKey};
use super::live_table::{LiveCrontab, NONE, split};
use super::timers::Timers;
use super::wheel::Timer;
use std::hash::BuildHasher;
use std::sync::Arc;

/// All live tables by number and by path.
#[derive(Debug, Default)]
pub(super) struct Tables {
    slots: Vec<Option<LiveCrontab>>,
    free: Vec<u32>,
    /// The first table of each hash of directory and name.
    by_hash: ByDigest,
    key: DigestKey,
    /// There are three, or as many as the files that a standalone daemon was given.
    directories: Vec<Arc<String>>,
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

    /// The one copy of the directory of a path.
    pub(super) fn directory_of(&mut self, path: &str) -> Arc<String> {
        let (directory, _) = split(path);
        if let Some(known) = self.directories.iter().find(|known| ***known == directory) {
            return known.clone();
        }
        let new = Arc::new(directory.to_owned());
        self.directories.push(new.clone());
        new
    }

    fn hash(&self, directory: &str, file: &[u8]) -> u32 {
        self.key.hash_one((directory, file)) as u32
    }

    /// The number of the table with that path.
    pub(super) fn find(&self, path: &str) -> Option<u32> {
        let (directory, file) = split(path);
        let mut at = *self.by_hash.get(&self.hash(directory, file.as_bytes()))?;
        while let Some(table) = self.get(at) {
            if table.file() == file.as_bytes() && table.directory() == directory {
                return Some(at);
            }
            at = table.next_same_hash;
        }
        None
    }

    /// Makes a table live under a number that is free, or a new one, and marks it on its timers.
    pub(super) fn add(&mut self, mut table: LiveCrontab, timers: &mut Timers) -> u32 {
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
        let hash = self.hash(table.directory(), table.file());
        table.next_same_hash = self.by_hash.insert(hash, number).unwrap_or(NONE);
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
        self.forget_path(&table, number);
        for timer in table.timers() {
            timers.unsubscribe(timer, number);
            if timers.get(timer).is_some_and(|shared| shared.tables().is_empty()) {
                unused.push(timer);
            }
        }
        Some(table)
    }

    fn forget_path(&mut self, table: &LiveCrontab, number: u32) {
        let hash = self.hash(table.directory(), table.file());
        let first = self.by_hash.get(&hash).copied().unwrap_or(NONE);
        if first != number {
            let mut at = first;
            while let Some(other) = self.get_mut(at) {
                if other.next_same_hash == number {
                    other.next_same_hash = table.next_same_hash;
                    return;
                }
                at = other.next_same_hash;
            }
        } else if table.next_same_hash == NONE {
            self.by_hash.remove(&hash);
        } else {
            self.by_hash.insert(hash, table.next_same_hash);
        }
    }
}
