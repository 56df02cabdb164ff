//! The live tables in a compact form: for each one block of text, one array of 24-byte entries, its settings once.

use super::event::{Owner, RunId, Source, Start};
use super::timers::{Moved, Timers};
use super::wheel::Timer;
use super::zones::{SYSTEM, Zones};
use crate::schedule::Timestamp;
use crate::table::{Flags, Form, Table};
use std::collections::hash_map::RandomState;
use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::ops::Range;

/// One live table.
#[derive(Debug)]
pub(super) struct LiveTable {
    /// Its place among the tables, from 0, in the order in which they were first loaded.
    pub(super) order: u32,
    /// Path, name, owner's name, users, settings and commands, one after the other.
    text: Box<[u8]>,
    path_end: u32,
    name_end: u32,
    owner_end: u32,
    owner: OwnerKind,
    users: Box<[(u32, u32)]>,
    settings: Box<[Setting]>,
    /// By timer, and within a timer in file order.
    entries: Box<[LiveEntry]>,
    /// What some entries carry beyond the table; most tables have none.
    pub(super) carried: Option<Box<Carried>>,
    next_same_hash: u32,
}

#[derive(Clone, Copy, Debug)]
enum OwnerKind {
    User(u32),
    System,
    Caller,
}

/// Where a setting's name and value stand in the text: the value follows the name.
#[derive(Clone, Copy, Debug)]
struct Setting {
    name: u32,
    value: u32,
    end: u32,
}

/// One entry. Its command ends where the next entry's begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct LiveEntry {
    timer: u32,
    /// Where the table's mark stands in the timer's set; counts for the first of the table's entries on that timer.
    place: u32,
    command: u32,
    /// Line in the file, from 1.
    pub(super) line: u32,
    settings: u32,
    user_and_flags: u32,
}

const MAIL_ONLY_ON_FAILURE: u32 = 1;
const QUIET: u32 = 2;
const SINGLE: u32 = 4;
const FLAG_BITS: u32 = 3;

/// The state of entries that have one.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// Starts that wait for a delay or an interval to pass.
    pub(super) waiting: BTreeSet<Waiting>,
    /// Runs going on, by entry: of entries that must not overlap, or count from the end of a run.
    pub(super) running: BTreeSet<(u32, RunId)>,
}

/// A start that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Waiting {
    /// When it is to be started.
    pub(super) at: Timestamp,
    /// Which entry of the table.
    pub(super) entry: u32,
}

/// A table made ready, but not live yet.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) table: LiveTable,
    /// The timers that were made for it.
    pub(super) new_timers: Vec<Timer>,
}

impl LiveEntry {
    pub(super) fn timer(&self) -> Timer {
        Timer(self.timer)
    }

    pub(super) fn flags(&self) -> Flags {
        Flags {
            mail_only_on_failure: self.user_and_flags & MAIL_ONLY_ON_FAILURE != 0,
            quiet: self.user_and_flags & QUIET != 0,
            single: self.user_and_flags & SINGLE != 0,
        }
    }
}

impl LiveTable {
    /// Packs a table that was read, and interns its timers and zones.
    pub(super) fn pack(source: &Source, table: &Table, timers: &mut Timers, zones: &mut Zones) -> Packed {
        // Exact sizes from the start: what is shrunk later leaves holes between thousands of tables.
        let settings_len: usize =
            table.settings.iter().map(|s| table.assignment(s)).map(|(n, v)| n.len() + v.len()).sum();
        let commands_len: usize = table.entries.iter().map(|entry| table.command(entry).len()).sum();
        let names_len = source.path.len() + source.name.len();
        let mut text = Vec::with_capacity(names_len + settings_len + commands_len);
        let path_end = append(&mut text, source.path.as_bytes()).end;
        let name_end = append(&mut text, source.name.as_bytes()).end;
        let (owner, owner_name) = match &source.owner {
            Owner::User { name, uid } => (OwnerKind::User(*uid), name.as_str()),
            Owner::System => (OwnerKind::System, ""),
            Owner::Caller => (OwnerKind::Caller, ""),
        };
        // A user's table is called by the user's name: one copy serves both.
        let owner_end = if owner_name == source.name { name_end } else { append(&mut text, owner_name.as_bytes()).end };
        let settings = pack_settings(table, &mut text);
        let (interned, new_timers) = intern_timers(table, timers, zones);
        let (mut users, entries) = (Vec::new(), pack_entries(table, &interned, &mut text));
        let mut known: HashMap<&[u8], u32> = HashMap::new();
        let mut live = Vec::with_capacity(entries.len() + 1);
        let commands_end = text.len();
        for (mut entry, index) in entries {
            let name = table.user(&table.entries[index]);
            if source.owner.form() == Form::System {
                let user = *known.entry(name).or_insert_with(|| {
                    let span = append(&mut text, name);
                    users.push((span.start, span.end));
                    users.len() as u32 - 1
                });
                entry.user_and_flags |= user << FLAG_BITS;
            }
            live.push(entry);
        }
        // One more entry, not counted, tells where the last command ends.
        live.push(LiveEntry {
            timer: u32::MAX,
            place: 0,
            command: commands_end as u32,
            line: 0,
            settings: 0,
            user_and_flags: 0,
        });
        let table = LiveTable {
            order: 0,
            text: text.into_boxed_slice(),
            path_end,
            name_end,
            owner_end,
            owner,
            users: users.into_boxed_slice(),
            settings,
            entries: live.into_boxed_slice(),
            carried: None,
            next_same_hash: NONE,
        };
        Packed { table, new_timers }
    }

    fn slice(&self, span: Range<u32>) -> &[u8] {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    fn string(&self, span: Range<u32>) -> String {
        String::from_utf8_lossy(self.slice(span)).into_owned()
    }

    pub(super) fn path(&self) -> &[u8] {
        self.slice(0..self.path_end)
    }

    /// Where it came from.
    pub(super) fn source(&self) -> Source {
        let name = self.string(self.path_end..self.name_end);
        let owner = match self.owner {
            OwnerKind::User(uid) => Owner::User { name: self.owner_name(), uid },
            OwnerKind::System => Owner::System,
            OwnerKind::Caller => Owner::Caller,
        };
        Source { path: self.string(0..self.path_end), name, owner }
    }

    /// Whether it is one of the system's tables.
    pub(super) fn is_of_the_system(&self) -> bool {
        matches!(self.owner, OwnerKind::System)
    }

    fn owner_name(&self) -> String {
        let own = self.name_end..self.owner_end;
        self.string(if own.is_empty() { self.path_end..self.name_end } else { own })
    }

    /// Its entries, ordered by timer and then by line.
    pub(super) fn entries(&self) -> &[LiveEntry] {
        self.entries.split_last().map_or(&[], |(_, entries)| entries)
    }

    /// The indexes of its entries on a timer.
    pub(super) fn on_timer(&self, timer: Timer) -> Range<u32> {
        let start = self.entries().partition_point(|entry| entry.timer < timer.0);
        let len = self.entries()[start..].iter().take_while(|entry| entry.timer == timer.0).count();
        start as u32..(start + len) as u32
    }

    /// The timers it has entries on, each once, with the index of the first entry.
    fn groups(&self) -> impl Iterator<Item = (usize, Timer)> {
        let first = |&(index, entry): &(usize, &LiveEntry)| {
            index == 0 || self.entries.get(index - 1).is_some_and(|previous| previous.timer != entry.timer)
        };
        self.entries().iter().enumerate().filter(first).map(|(index, entry)| (index, entry.timer()))
    }

    /// The raw command of an entry.
    pub(super) fn command(&self, entry: u32) -> &[u8] {
        let index = entry as usize;
        match (self.entries.get(index), self.entries.get(index + 1)) {
            (Some(entry), Some(next)) => self.slice(entry.command..next.command),
            _ => &[],
        }
    }

    /// Whom an entry runs as; empty for the caller.
    pub(super) fn user(&self, entry: &LiveEntry) -> String {
        match self.owner {
            OwnerKind::User(_) => self.owner_name(),
            OwnerKind::Caller => String::new(),
            OwnerKind::System => {
                let (start, end) =
                    self.users.get((entry.user_and_flags >> FLAG_BITS) as usize).copied().unwrap_or_default();
                self.string(start..end)
            }
        }
    }

    /// The variables an entry sees: each name once with its last value, in the order of first appearance.
    fn variables(&self, entry: &LiveEntry) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut variables: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut place_of: HashMap<&[u8], usize> = HashMap::new();
        for setting in self.settings.iter().take(entry.settings as usize) {
            let (name, value) = (self.slice(setting.name..setting.value), self.slice(setting.value..setting.end));
            match place_of.get(name).and_then(|&place| variables.get_mut(place)) {
                Some(variable) => variable.1 = value.to_vec(),
                None => {
                    place_of.insert(name, variables.len());
                    variables.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        variables
    }

    /// What the runner must know to start an entry.
    pub(super) fn start(&self, entry: u32, run: RunId, scheduled_at: Timestamp, at_reboot: bool) -> Option<Start> {
        let live = self.entries().get(entry as usize)?;
        Some(Start {
            run,
            source: self.source(),
            line: live.line,
            user: self.user(live),
            command: self.command(entry).to_vec(),
            literal: false,
            variables: self.variables(live),
            flags: live.flags(),
            scheduled_at: scheduled_at.0,
            at_reboot,
        })
    }

    /// Whether an entry of this table is the same job as one of another: same schedule, zone, delay, user, command,
    /// flags, and the settings it sees.
    fn same_job(&self, mine: u32, other: &LiveTable, theirs: u32) -> bool {
        let (Some(a), Some(b)) = (self.entries().get(mine as usize), other.entries().get(theirs as usize)) else {
            return false;
        };
        a.timer == b.timer
            && a.flags() == b.flags()
            && self.command(mine) == other.command(theirs)
            && self.user(a) == other.user(b)
            && self.variables(a) == other.variables(b)
    }

    /// For each of the `old` table's entries in question, the entry of this one that is the same job. Equal jobs of one
    /// table are told apart by their order.
    pub(super) fn successors_of(&self, old: &LiveTable, in_question: &BTreeSet<u32>) -> HashMap<u32, u32> {
        let mut taken = BTreeSet::new();
        let mut successors = HashMap::new();
        for &entry in in_question {
            let Some(live) = old.entries().get(entry as usize) else { continue };
            let mut candidates = self.on_timer(live.timer());
            if let Some(same) = candidates.find(|&mine| !taken.contains(&mine) && self.same_job(mine, old, entry)) {
                taken.insert(same);
                successors.insert(entry, same);
            }
        }
        successors
    }
}

fn append(text: &mut Vec<u8>, bytes: &[u8]) -> Range<u32> {
    let start = text.len() as u32;
    text.extend_from_slice(bytes);
    start..text.len() as u32
}

fn pack_settings(table: &Table, text: &mut Vec<u8>) -> Box<[Setting]> {
    let pack = |setting: &crate::table::Setting| {
        let (name, value) = table.assignment(setting);
        let (name, value) = (append(text, name), append(text, value));
        Setting { name: name.start, value: value.start, end: value.end }
    };
    table.settings.iter().map(pack).collect()
}

/// The timer of each entry, and those of them that did not exist before.
fn intern_timers(table: &Table, timers: &mut Timers, zones: &mut Zones) -> (Vec<Timer>, Vec<Timer>) {
    let zone_ids: Vec<_> = table.zones.iter().map(|zone| zones.find_or_add(zone)).collect();
    let mut new = Vec::new();
    let interned = table.entries.iter().map(|entry| {
        let zone = entry.zone.and_then(|index| zone_ids.get(usize::from(index))).copied().unwrap_or(SYSTEM);
        let (timer, is_new) = timers.intern(&entry.schedule, zone, entry.delay, zones);
        if is_new {
            new.push(timer);
        }
        timer
    });
    (interned.collect(), new)
}

/// The entries in order of their timers with their indexes in the file, their commands laid out in that order.
fn pack_entries(table: &Table, timers: &[Timer], text: &mut Vec<u8>) -> Vec<(LiveEntry, usize)> {
    let mut order: Vec<u32> = (0..table.entries.len() as u32).collect();
    order.sort_by_key(|&index| timers[index as usize]);
    let pack = |index: u32| {
        let entry = &table.entries[index as usize];
        let flag = |set: bool, bit: u32| if set { bit } else { 0 };
        let packed = LiveEntry {
            timer: timers[index as usize].0,
            place: 0,
            command: append(text, table.command(entry)).start,
            line: entry.line,
            settings: entry.settings,
            user_and_flags: flag(entry.flags.mail_only_on_failure, MAIL_ONLY_ON_FAILURE)
                | flag(entry.flags.quiet, QUIET)
                | flag(entry.flags.single, SINGLE),
        };
        (packed, index as usize)
    };
    order.into_iter().map(pack).collect()
}

/// All live tables by number and by path.
#[derive(Debug, Default)]
pub(super) struct Tables {
    slots: Vec<Option<LiveTable>>,
    free: Vec<u32>,
    by_hash: HashMap<u64, u32>,
    hasher: RandomState,
    entries: usize,
}

const NONE: u32 = u32::MAX;

impl Tables {
    pub(super) fn get(&self, number: u32) -> Option<&LiveTable> {
        self.slots.get(number as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut LiveTable> {
        self.slots.get_mut(number as usize)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &LiveTable)> {
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
        let mut at = *self.by_hash.get(&self.hasher.hash_one(path.as_bytes()))?;
        while let Some(table) = self.get(at) {
            if table.path() == path.as_bytes() {
                return Some(at);
            }
            at = table.next_same_hash;
        }
        None
    }

    /// Makes a table live under a number that is free, or a new one, and marks it on its timers.
    pub(super) fn add(&mut self, mut table: LiveTable, timers: &mut Timers) -> u32 {
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
        let hash = self.hasher.hash_one(table.path());
        table.next_same_hash = self.by_hash.insert(hash, number).unwrap_or(NONE);
        let groups: Vec<_> = table.groups().collect();
        for (index, timer) in groups {
            table.entries[index].place = timers.subscribe(timer, number);
        }
        self.entries += table.entries().len();
        self.slots[number as usize] = Some(table);
        number
    }

    /// Takes a table out and its marks off the timers. Timers that it was the last to use are in `unused`.
    pub(super) fn take(&mut self, number: u32, timers: &mut Timers, unused: &mut Vec<Timer>) -> Option<LiveTable> {
        let table = self.slots.get_mut(number as usize)?.take()?;
        self.free.push(number);
        self.entries -= table.entries().len();
        self.forget_path(&table, number);
        for (index, timer) in table.groups() {
            if let Some(Moved { table, place }) = timers.unsubscribe(timer, table.entries[index].place)
                && let Some(moved) = self.get_mut(table)
            {
                let first = moved.on_timer(timer).start as usize;
                moved.entries[first].place = place;
            }
            if timers.get(timer).is_some_and(|shared| shared.tables().is_empty()) {
                unused.push(timer);
            }
        }
        Some(table)
    }

    fn forget_path(&mut self, table: &LiveTable, number: u32) {
        let hash = self.hasher.hash_one(table.path());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_takes_24_bytes_beside_its_command() {
        assert_eq!(size_of::<LiveEntry>(), 24);
    }
}
