//! One live table in a compact form: one block of text, and a few bytes for each entry that tell its timer and its place there.
//!
//! The text holds the file's name, then what the log calls the table and its owner's name, unless they are the same; then
//! the settings; then one record for each entry, in file order.

use super::digest::DigestKey;
use super::event::{Owner, RunId, RunRequest, Source};
use super::job_id::JobId;
use super::record::{self, Record, Writer};
use super::start_queue::QueueOwner;
use super::timers::Timers;
use super::wheel::Timer;
use super::zones::{SYSTEM, Zones};
use crate::crontab::{Crontab, Flags, Form};
use crate::schedule::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

/// One live table.
#[derive(Debug)]
pub(super) struct LiveCrontab {
    /// The directory's path up to the last slash, which thousands of tables share.
    directory: Arc<String>,
    text: Box<[u8]>,
    /// By timer, and within a timer in file order.
    entries: Box<[LiveEntry]>,
    /// What some entries carry beyond the table; most tables have none.
    pub(super) carried: Option<Box<EntryState>>,
    /// Its place among the tables, from 0, in the order in which they were first loaded.
    pub(super) order: u32,
    owner: OwnerKind,
    /// Where the parts of the text end, each beginning where the one before ends.
    file_end: u32,
    name_end: u32,
    owner_end: u32,
    settings_end: u32,
    /// The next table whose path has the same hash.
    pub(super) next_same_hash: u32,
}

#[derive(Clone, Copy, Debug)]
enum OwnerKind {
    User(u32),
    System,
    Caller,
}

/// One entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct LiveEntry {
    timer: u32,
    /// Where its record begins.
    record: u32,
    /// Its place, from 1, among the entries of the table with the same user and command.
    position: u32,
}

/// The state of entries that have one.
#[derive(Debug, Default)]
pub(super) struct EntryState {
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
    pub(super) table: LiveCrontab,
    /// The timers that were made for it.
    pub(super) new_timers: Vec<Timer>,
}

/// The value of [`LiveCrontab::next_same_hash`] that names no table.
pub(super) const NONE: u32 = u32::MAX;

impl LiveEntry {
    pub(super) fn timer(&self) -> Timer {
        Timer(self.timer)
    }
}

/// A path as a directory, its last slash included, and the name in it.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.split_at(memchr::memrchr(b'/', path.as_bytes()).map_or(0, |slash| slash + 1))
}

/// Sorts the entries of a table, which are in file order, by timer and within a timer in file order.
fn by_timer(mut entries: Vec<LiveEntry>) -> Vec<LiveEntry> {
    let timers = entries.iter().map(|entry| entry.timer);
    let (Some(first), Some(last)) = (timers.clone().min(), timers.clone().max()) else { return entries };
    let span = (last - first) as usize;
    if span > entries.len() {
        // Both in one number: that is sorted several times as fast.
        entries.sort_unstable_by_key(|entry| u64::from(entry.timer) << 32 | u64::from(entry.record));
        return entries;
    }
    // Many entries on few timers: counted, each timer's place is known, and nothing is compared.
    let mut places = vec![0; span + 1];
    timers.for_each(|timer| places[(timer - first) as usize] += 1);
    let mut next = 0;
    for place in &mut places {
        next += std::mem::replace(place, next);
    }
    let mut sorted = entries.clone();
    for entry in entries {
        let place = &mut places[(entry.timer - first) as usize];
        sorted[*place] = entry;
        *place += 1;
    }
    sorted
}

impl LiveCrontab {
    /// Packs a table that was read, and interns its timers and zones. `directory` is that of its path.
    pub(super) fn pack(
        source: &Source,
        directory: Arc<String>,
        table: &Crontab,
        timers: &mut Timers,
        zones: &mut Zones,
    ) -> Packed {
        let (_, file) = split(&source.path);
        let (owner, owner_name) = match &source.owner {
            Owner::User { name, uid } => (OwnerKind::User(*uid), name.as_str()),
            Owner::System => (OwnerKind::System, ""),
            Owner::Caller => (OwnerKind::Caller, ""),
        };
        // A user's table is called by the user's name, and so is its file: one copy serves for all.
        let name = if source.name == file { "" } else { &source.name };
        let owner_name = if owner_name == source.name { "" } else { owner_name };

        // Most often more than is needed. What stays is a copy of the exact size: what is shrunk leaves holes between thousands of
        // tables.
        let mut text = Vec::with_capacity(table.source.len());
        let mut append = |part: &str| {
            text.extend_from_slice(part.as_bytes());
            text.len() as u32
        };
        let (file_end, name_end, owner_end) = (append(file), append(name), append(owner_name));
        record::write_settings(table, &mut text);
        let settings_end = text.len() as u32;

        let zone_ids: Vec<_> = table.zones.iter().map(|zone| zones.find_or_add(zone)).collect();
        let mut records = Writer::after(text, source.owner.form() == Form::System);
        let (mut entries, mut new_timers) = (Vec::with_capacity(table.entries.len()), Vec::new());
        let mut equal_before: HashMap<(&[u8], &[u8]), u32> = HashMap::new();
        for entry in &table.entries {
            let position = equal_before.entry((table.user(entry), table.command(entry))).or_default();
            *position += 1;
            let zone = entry.zone.and_then(|index| zone_ids.get(usize::from(index))).copied().unwrap_or(SYSTEM);
            let (timer, is_new) = timers.intern(&entry.schedule, zone, entry.delay, zones);
            if is_new {
                new_timers.push(timer);
            }
            entries.push(LiveEntry { timer: timer.0, record: records.push(table, entry) as u32, position: *position });
        }
        let entries = by_timer(entries);
        let table = LiveCrontab {
            directory,
            text: records.finish().as_slice().into(),
            entries: entries.into_boxed_slice(),
            carried: None,
            order: 0,
            owner,
            file_end,
            name_end,
            owner_end,
            settings_end,
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

    /// Its directory, the last slash included.
    pub(super) fn directory(&self) -> &str {
        &self.directory
    }

    /// Its file's name.
    pub(super) fn file(&self) -> &[u8] {
        self.slice(0..self.file_end)
    }

    /// Where it came from.
    pub(super) fn source(&self) -> Source {
        let owner = match self.owner {
            OwnerKind::User(uid) => Owner::User { name: self.owner_name(), uid },
            OwnerKind::System => Owner::System,
            OwnerKind::Caller => Owner::Caller,
        };
        let path = [self.directory(), &String::from_utf8_lossy(self.file())].concat();
        Source { path, name: self.name(), owner }
    }

    /// Whether it is one of the system's tables.
    pub(super) fn is_of_the_system(&self) -> bool {
        matches!(self.owner, OwnerKind::System)
    }

    fn name(&self) -> String {
        let own = self.file_end..self.name_end;
        self.string(if own.is_empty() { 0..self.file_end } else { own })
    }

    fn owner_name(&self) -> String {
        let own = self.name_end..self.owner_end;
        if own.is_empty() { self.name() } else { self.string(own) }
    }

    /// Its entries, ordered by timer and then by line.
    pub(super) fn entries(&self) -> &[LiveEntry] {
        &self.entries
    }

    /// The indexes of its entries on a timer.
    pub(super) fn on_timer(&self, timer: Timer) -> Range<u32> {
        let start = self.entries.partition_point(|entry| entry.timer < timer.0);
        let len = self.entries.iter().skip(start).take_while(|entry| entry.timer == timer.0).count();
        start as u32..(start + len) as u32
    }

    /// The timers it has entries on, each once.
    pub(super) fn timers(&self) -> impl Iterator<Item = Timer> {
        self.entries.chunk_by(|a, b| a.timer == b.timer).filter_map(|group| group.first()).map(LiveEntry::timer)
    }

    fn record(&self, entry: u32) -> Option<Record<'_>> {
        let place = self.entries.get(entry as usize)?.record as usize;
        Record::read(&self.text, place, self.is_of_the_system())
    }

    /// The line of an entry in the file, from 1.
    pub(super) fn line(&self, entry: u32) -> u32 {
        self.record(entry).map_or(0, |record| record.line)
    }

    /// The raw command of an entry.
    pub(super) fn command(&self, entry: u32) -> Vec<u8> {
        self.record(entry).map(|record| record.command().to_vec()).unwrap_or_default()
    }

    /// The flags of an entry.
    pub(super) fn flags(&self, entry: u32) -> Flags {
        self.record(entry).map(|record| record.flags).unwrap_or_default()
    }

    /// Whose turn it is when an entry is due.
    pub(super) fn queue_owner(&self, entry: u32) -> QueueOwner {
        match self.owner {
            OwnerKind::User(_) => QueueOwner::User(self.owner_name().into()),
            OwnerKind::System => QueueOwner::System(self.user(entry).into()),
            OwnerKind::Caller => QueueOwner::Caller,
        }
    }

    /// Bytes of the table's settings, all of which may have to be read for one start.
    pub(super) fn settings_size(&self) -> usize {
        (self.settings_end - self.owner_end) as usize
    }

    /// Whom an entry runs as; empty for the caller.
    pub(super) fn user(&self, entry: u32) -> String {
        match self.owner {
            OwnerKind::User(_) => self.owner_name(),
            OwnerKind::Caller => String::new(),
            OwnerKind::System => {
                self.record(entry).map_or_else(String::new, |record| String::from_utf8_lossy(record.user).into_owned())
            }
        }
    }

    /// The settings that an entry sees.
    fn settings(&self, record: &Record<'_>) -> &[u8] {
        record::first_settings(self.slice(self.owner_end..self.settings_end), record.settings)
    }

    /// The job that an entry is. `caller` is as whom a standalone daemon runs its jobs.
    pub(super) fn job_id(&self, entry: u32, caller: &str) -> Option<JobId> {
        let (user, command) = (self.user(entry), self.command(entry));
        let position = self.entries.get(entry as usize)?.position;
        let path = [self.directory(), &String::from_utf8_lossy(self.file())].concat();
        let (source, user) = match self.owner {
            OwnerKind::User(_) => ("user", user.as_str()),
            OwnerKind::System => (path.as_str(), user.as_str()),
            OwnerKind::Caller => (split(&path).1, caller),
        };
        Some(JobId::derive(source, user, &command, position))
    }

    /// What the executor must know to start an entry.
    /// `caller` is as whom a standalone daemon runs its jobs.
    pub(super) fn start(
        &self,
        entry: u32,
        run: RunId,
        caller: &str,
        scheduled_at: Timestamp,
        at_reboot: bool,
    ) -> Option<RunRequest> {
        let record = self.record(entry)?;
        Some(RunRequest {
            run,
            job: self.job_id(entry, caller)?,
            source: self.source(),
            line: record.line,
            user: self.user(entry),
            command: record.command().to_vec().into(),
            literal: false,
            variables: record::variables(self.settings(&record)),
            flags: record.flags,
            scheduled_at: scheduled_at.0,
            at_reboot,
        })
    }

    /// Digests of what makes each of these entries the job that it is, beside its timer: user, command, flags, and the settings it
    /// sees.
    fn jobs<'a>(
        &'a self,
        entries: impl Iterator<Item = u32> + 'a,
        key: &'a DigestKey,
    ) -> impl Iterator<Item = (u32, u64)> + 'a {
        let seen = record::variables_digests(self.slice(self.owner_end..self.settings_end), key);
        entries.filter_map(move |entry| {
            let record = self.record(entry)?;
            let variables = seen.get(record.settings as usize)?;
            Some((entry, key.hash_one((self.user(entry), record.command().to_vec(), record.flags, variables))))
        })
    }

    /// For each of the `old` table's entries in question, the entry of this one that is the same job: same timer, user, command,
    /// flags, and settings that it sees. Equal jobs of one table are told apart by their order. Takes a time that grows with the number of
    /// entries, not with its square, since a user can have ten thousand wait that are alike but for the last byte.
    pub(super) fn successors_of(&self, old: &LiveCrontab, in_question: &BTreeSet<u32>) -> BTreeMap<u32, u32> {
        let key = DigestKey::default();
        let timer_of = |table: &LiveCrontab, entry: u32| table.entries.get(entry as usize).map(|live| live.timer);
        let timers: BTreeSet<u32> = in_question.iter().filter_map(|&entry| timer_of(old, entry)).collect();
        let candidates = timers.into_iter().flat_map(|timer| self.on_timer(Timer(timer)));
        let mut free: HashMap<(Option<u32>, u64), VecDeque<u32>> = HashMap::new();
        for (entry, job) in self.jobs(candidates, &key) {
            free.entry((timer_of(self, entry), job)).or_default().push_back(entry);
        }
        let successor = |(entry, job)| Some((entry, free.get_mut(&(timer_of(old, entry), job))?.pop_front()?));
        old.jobs(in_question.iter().copied(), &key).filter_map(successor).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_in_order_of_their_timers_and_then_of_the_file_however_many_share_one() {
        let mut random = fastrand::Rng::with_seed(3);
        for (entries, timers) in [(0, 1), (1, 1), (10, 1_000_000), (300, 3), (300, 300), (300, 302)] {
            let entry = |record| LiveEntry { timer: 7 + random.u32(..timers), record, position: 1 };
            let packed: Vec<LiveEntry> = (0..entries).map(entry).collect();
            let mut sorted: Vec<(u32, u32)> = packed.iter().map(|entry| (entry.timer, entry.record)).collect();
            sorted.sort();
            let ordered = by_timer(packed);
            assert_eq!(ordered.iter().map(|entry| (entry.timer, entry.record)).collect::<Vec<_>>(), sorted);
        }
    }

    #[test]
    fn a_path_is_a_directory_and_a_name() {
        for (path, parts) in [("/a/b/c", ("/a/b/", "c")), ("/c", ("/", "c")), ("c", ("", "c"))] {
            assert_eq!(split(path), parts);
        }
    }
}
