//! One live table: where it came from, what it holds, and the timers of its entries.

use super::environment::Environment;
use super::job_id::JobId;
use super::run_id::RunId;
use super::run_record::Trigger;
use super::run_request::{RunRequest, RunRules};
use super::source::{Owner, Source};
use super::stable_digest::StableDigest;
use super::start_queue::QueueOwner;
use super::timers::Timers;
use super::wheel::Timer;
use super::zones::{SYSTEM, Zones};
use crate::crontab::{Crontab, Entry, Policy, SharedBytes};
use crate::schedule::{Kind, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// One live table. Its entries are named by their index in file order.
#[derive(Debug)]
pub(super) struct LiveCrontab {
    source: Source,
    table: Crontab,
    /// For each timing of the table, its timer.
    timers: Vec<Timer>,
    /// The entries by timer, and within a timer in file order.
    by_timer: Vec<u32>,
    /// Entries whose user and command an entry above them has, too, each with its place among those, from 2.
    repeats: Vec<(u32, u32)>,
    /// The size of all settings, in bytes.
    settings_size: usize,
    /// The jobs of entries that have a policy, a name or an interval, or that were paused or run by hand.
    pub(super) managed: BTreeMap<u32, JobId>,
    /// The state of entries beyond the table. Most tables have none.
    pub(super) entry_state: Option<Box<EntryState>>,
    /// The place of the table among all tables, from 0, in the order in which they were first loaded.
    pub(super) order: u32,
}

/// The state of entries beyond the table.
#[derive(Debug, Default)]
pub(super) struct EntryState {
    /// Starts that wait for a delay or an interval to pass.
    pub(super) waiting: BTreeSet<Waiting>,
}

/// A start that waits for a delay or an interval to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Waiting {
    /// When it is to be started.
    pub(super) at: Timestamp,
    pub(super) entry: u32,
}

/// The entries whose user and command an entry above them has, too, each with its place among those, from 2.
///
/// They are found by sorting, since a map of two million commands would take more memory than the entries.
fn repeats(table: &Crontab) -> Vec<(u32, u32)> {
    let key = |entry: u32| {
        let entry = table.entries.get(entry as usize)?;
        Some((entry.user.as_deref(), table.command(entry)))
    };
    // Digests with a secret key keep the map below small: most commands of a table are unlike any other.
    let hasher = RandomState::new();
    let mut digests: Vec<(u64, u32)> =
        table.entries.iter().zip(0..).map(|(entry, index)| (hasher.hash_one(table.command(entry)), index)).collect();
    digests.sort_unstable();
    let mut repeats = Vec::new();
    for equal in digests.chunk_by(|(one, _), (other, _)| one == other).filter(|equal| equal.len() > 1) {
        let mut counts = HashMap::new();
        for &(_, entry) in equal {
            let count = counts.entry(key(entry)).or_insert(0);
            *count += 1;
            if *count > 1 {
                repeats.push((entry, *count));
            }
        }
    }
    repeats.sort_unstable();
    repeats.shrink_to_fit();
    repeats
}

impl LiveCrontab {
    /// Makes a live table of a parsed one and interns its timers and zones. Also returns the timers that are new.
    pub(super) fn new(
        source: Source,
        mut table: Crontab,
        timers: &mut Timers,
        zones: &mut Zones,
    ) -> (LiveCrontab, Vec<Timer>) {
        let mut new_timers = Vec::new();
        let mut timer_of = Vec::with_capacity(table.timings.len());
        for timing in &mut table.timings {
            let zone = timing.zone.as_ref().map_or(SYSTEM, |zone| zones.find_or_add(zone));
            let (timer, is_new) = timers.intern(timing, zone, zones);
            if is_new {
                new_timers.push(timer);
            } else if let Some(shared) = timers.get(timer)
                && *shared.timing() == *timing
            {
                // Another table has brought the same.
                *timing = Arc::clone(shared.timing());
            }
            timer_of.push(timer);
        }
        let mut by_timer: Vec<u32> = (0..table.entries.len() as u32).collect();
        let timer = |entry: u32| timer_of.get(table.entries.get(entry as usize)?.timing as usize).map(|timer| timer.0);
        by_timer.sort_by_cached_key(|&entry| timer(entry));
        let repeats = repeats(&table);
        let settings_size = table.settings.iter().map(|setting| setting.name.len() + setting.value.len()).sum();
        (
            LiveCrontab {
                source,
                table,
                timers: timer_of,
                by_timer,
                repeats,
                settings_size,
                managed: BTreeMap::new(),
                entry_state: None,
                order: 0,
            },
            new_timers,
        )
    }

    /// Where the table came from.
    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// Whether it is one of the system's tables.
    pub(super) fn is_of_the_system(&self) -> bool {
        self.source.owner == Owner::System
    }

    /// The entries of the table, in file order.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.table.entries
    }

    /// The timer of an entry.
    pub(super) fn timer(&self, entry: u32) -> Option<Timer> {
        self.timers.get(self.entry(entry)?.timing as usize).copied()
    }

    /// The entries of the table that have this timer, in file order.
    pub(super) fn on_timer(&self, timer: Timer) -> impl Iterator<Item = u32> {
        let start = self.by_timer.partition_point(|&entry| self.timer(entry).is_some_and(|other| other.0 < timer.0));
        self.by_timer.iter().skip(start).copied().take_while(move |&entry| self.timer(entry) == Some(timer))
    }

    /// The timers it has entries on, each once.
    pub(super) fn timers(&self) -> impl Iterator<Item = Timer> {
        let groups = self.by_timer.chunk_by(|&one, &other| self.timer(one) == self.timer(other));
        groups.filter_map(|group| self.timer(*group.first()?))
    }

    fn entry(&self, entry: u32) -> Option<&Entry> {
        self.table.entries.get(entry as usize)
    }

    /// The line of an entry in the file, from 1.
    pub(super) fn line(&self, entry: u32) -> u32 {
        self.entry(entry).map_or(0, |entry| entry.line)
    }

    /// The place of an entry among those of the table that are due at once: those without a policy come first, the last line first.
    pub(super) fn start_order(&self, entry: u32) -> i64 {
        let line = i64::from(self.line(entry));
        if self.managed.contains_key(&entry) { line } else { -line }
    }

    /// The raw command of an entry.
    pub(super) fn command(&self, entry: u32) -> &[u8] {
        self.entry(entry).map_or(&[], |entry| self.table.command(entry))
    }

    /// Whether an entry asks for more than a start at each slot: it has job settings, the flag `-s`, a name or a list after `@after`.
    pub(super) fn is_managed(&self, entry: u32) -> bool {
        self.entry(entry).is_some_and(|entry| entry.policy.is_some() || entry.links.is_some())
    }

    /// Whether an entry counts from the end of its last run (`@N`).
    pub(super) fn is_interval(&self, entry: u32) -> bool {
        let timing = self.entry(entry).map(|entry| self.table.timing(entry));
        timing.is_some_and(|timing| matches!(timing.schedule.kind(), Kind::Interval { .. }))
    }

    /// What an entry's job settings and flags ask for.
    pub(super) fn policy(&self, entry: u32) -> Arc<Policy> {
        self.entry(entry).map(Entry::policy).unwrap_or_default()
    }

    /// A digest of when an entry is due: of the words of its schedule, its zone and its delay. It is kept in the state
    /// file, so that it must not change between versions. `system_zone` is
    /// that of entries without a zone of their own.
    pub(super) fn schedule_digest(&self, entry: u32, system_zone: &str) -> u64 {
        let Some(timing) = self.entry(entry).map(|entry| self.table.timing(entry)) else { return 0 };
        let zone = timing.zone.as_ref().map_or(system_zone, |zone| zone.name());
        let mut digest = StableDigest::new();
        digest.add(zone.as_bytes());
        digest.add_number(u64::from(timing.delay));
        for word in timing.text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
            digest.add(&word.to_ascii_lowercase());
        }
        digest.finish()
    }

    /// The schedule of an entry as it is written.
    pub(super) fn schedule_text(&self, entry: u32) -> &[u8] {
        self.entry(entry).map_or(&[], |entry| &self.table.timing(entry).text)
    }

    /// The variables that the table gives an entry.
    pub(super) fn variables(&self, entry: u32) -> Environment {
        self.entry(entry).map(|entry| Environment::of(self.table.variables(entry))).unwrap_or_default()
    }

    /// The name that an entry gives itself.
    pub(super) fn name(&self, entry: u32) -> Option<&str> {
        self.entry(entry)?.name()
    }

    /// The jobs that an `@after` entry waits for.
    pub(super) fn after(&self, entry: u32) -> &[Arc<str>] {
        self.entry(entry).map(Entry::after).unwrap_or_default()
    }

    /// The owner in whose turn an entry is started.
    pub(super) fn queue_owner(&self, entry: u32) -> QueueOwner {
        match &self.source.owner {
            Owner::User { name, .. } => QueueOwner::User(name.as_str().into()),
            Owner::System => QueueOwner::System(self.user(entry).into()),
            Owner::Caller => QueueOwner::Caller,
        }
    }

    /// Bytes of the table's settings, all of which may have to be read for one start.
    pub(super) fn settings_size(&self) -> usize {
        self.settings_size
    }

    /// The user that an entry runs as; empty for the caller.
    pub(super) fn user(&self, entry: u32) -> &str {
        match &self.source.owner {
            Owner::User { name, .. } => name,
            Owner::Caller => "",
            Owner::System => self.entry(entry).and_then(|entry| entry.user.as_deref()).unwrap_or_default(),
        }
    }

    /// The job that an entry describes. `caller` is the user that a standalone daemon runs its jobs as.
    pub(super) fn job_id(&self, entry: u32, caller: &str) -> Option<JobId> {
        let command = self.table.command(self.entry(entry)?);
        let path = &self.source.path;
        let (source, user) = match self.source.owner {
            Owner::User { .. } => ("user", self.user(entry)),
            Owner::System => (path.as_str(), self.user(entry)),
            Owner::Caller => (path.rsplit_once('/').map_or(path.as_str(), |(_, file)| file), caller),
        };
        Some(JobId::derive(source, user, command, self.position(entry)))
    }

    /// The place of an entry, from 1, among those of the table with the same user and command.
    fn position(&self, entry: u32) -> u32 {
        let found = self.repeats.binary_search_by_key(&entry, |(entry, _)| *entry);
        found.ok().and_then(|index| self.repeats.get(index)).map_or(1, |(_, position)| *position)
    }

    /// The request to start an entry. `caller` is the user that a standalone daemon runs its jobs as.
    pub(super) fn start(
        &self,
        entry: u32,
        run: RunId,
        caller: &str,
        scheduled_at: Timestamp,
        at_reboot: bool,
    ) -> Option<RunRequest> {
        let line = self.entry(entry)?;
        Some(RunRequest {
            run,
            job: self.job_id(entry, caller)?,
            source: self.source.clone(),
            line: line.line,
            user: self.user(entry).to_owned(),
            command: self.table.command(line).into(),
            literal: false,
            variables: Environment::of(self.table.variables(line)),
            flags: line.flags,
            scheduled_at: scheduled_at.0,
            at_reboot,
            trigger: Trigger::Schedule,
            attempt: 1,
            rules: RunRules::default(),
            fleet: None,
        })
    }

    /// For each of these entries a digest of what identifies its job apart from its timer: user, command, flags, and the settings it sees.
    fn jobs<'a>(
        &'a self,
        entries: impl Iterator<Item = u32> + 'a,
        hasher: &'a RandomState,
    ) -> impl Iterator<Item = (u32, u64)> + 'a {
        let seen = variables_digests(&self.table, hasher);
        entries.filter_map(move |index| {
            let entry = self.entry(index)?;
            let variables = seen.get(entry.settings as usize)?;
            Some((index, hasher.hash_one((self.user(index), self.table.command(entry), entry.flags, variables))))
        })
    }

    /// For each of the `old` table's entries in question, the entry of this table with the same job: same timer, user, command, flags, and
    /// settings that it sees. Equal jobs of one table are distinguished by their order. The time is linear in the number of entries, since
    /// ten thousand that differ in the last byte only can be waiting.
    pub(super) fn successors_of(&self, old: &LiveCrontab, in_question: &BTreeSet<u32>) -> BTreeMap<u32, u32> {
        let hasher = RandomState::new();
        let timer_of = |table: &LiveCrontab, entry: u32| table.timer(entry).map(|timer| timer.0);
        let timers: BTreeSet<u32> = in_question.iter().filter_map(|&entry| timer_of(old, entry)).collect();
        let candidates = timers.into_iter().flat_map(|timer| self.on_timer(Timer(timer)));
        let mut free: HashMap<(Option<u32>, u64), VecDeque<u32>> = HashMap::new();
        for (entry, job) in self.jobs(candidates, &hasher) {
            free.entry((timer_of(self, entry), job)).or_default().push_back(entry);
        }
        let successor = |(entry, job)| Some((entry, free.get_mut(&(timer_of(old, entry), job))?.pop_front()?));
        old.jobs(in_question.iter().copied(), &hasher).filter_map(successor).collect()
    }
}

/// At each index n a digest of the variables that the first n settings make.
fn variables_digests(table: &Crontab, hasher: &RandomState) -> Vec<u64> {
    // Each variable's own digest with its place is a part of it, so that one that changes is exchanged.
    let mut variables: HashMap<&SharedBytes, (usize, u64)> = HashMap::new();
    let mut digests = vec![0];
    let mut digest = 0;
    for setting in &table.settings {
        let next_place = variables.len();
        let (place, part) = variables.entry(&setting.name).or_insert((next_place, 0));
        let now = hasher.hash_one((*place, &setting.name, &setting.value));
        digest ^= std::mem::replace(part, now) ^ now;
        digests.push(digest);
    }
    digests
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crontab::{Context, Form, KnownNames};
    use crate::profile::DEBIAN;
    use crate::schedule::{HostKey, OnlyUtc, Zone};

    fn read(text: &str) -> Crontab {
        let (form, dialect) = (Form::System, &DEBIAN.dialect);
        let context = Context { form, dialect, name: "t", host: HostKey(0), known: KnownNames::of_zones(&OnlyUtc) };
        Crontab::parse(text.as_bytes(), &context).unwrap().table
    }

    fn live(text: &str, timers: &mut Timers) -> (LiveCrontab, Vec<Timer>) {
        let source = Source { path: "/etc/cron.d/t".to_owned(), name: "*system*t".to_owned(), owner: Owner::System };
        LiveCrontab::new(source, read(text), timers, &mut Zones::new(Zone::utc()))
    }

    #[test]
    fn the_entries_of_each_timer_are_in_file_order_however_many_share_one() {
        let mut random = fastrand::Rng::with_seed(3);
        for (entries, minutes) in [(0, 1), (1, 1), (10, 60), (300, 3), (300, 60)] {
            let minutes: Vec<u32> = (0..entries).map(|_| random.u32(..minutes)).collect();
            let text: String = minutes.iter().map(|minute| format!("{minute} * * * * root true\n")).collect();
            let mut timers = Timers::default();
            let (table, new) = live(&text, &mut timers);
            assert_eq!(table.timers().count(), new.len());
            assert_eq!(table.timers().map(|timer| table.on_timer(timer).count()).sum::<usize>(), minutes.len());
            for timer in table.timers() {
                let on_it: Vec<u32> = table.on_timer(timer).collect();
                let minute = minutes[on_it[0] as usize];
                let expected = (0..).zip(&minutes).filter(|(_, other)| **other == minute).map(|(index, _)| index);
                assert!(on_it.iter().copied().eq(expected));
            }
        }
    }

    #[test]
    fn an_entry_has_its_place_among_those_with_the_same_user_and_command() {
        let users = ["root", "alice"];
        let commands = ["true", "false", "true x"];
        let mut random = fastrand::Rng::with_seed(5);
        let jobs: Vec<(&str, &str)> =
            (0..500).map(|_| (users[random.usize(..2)], commands[random.usize(..3)])).collect();
        let text: String = jobs.iter().map(|(user, command)| format!("@daily {user} {command}\n")).collect();
        let (table, _) = live(&text, &mut Timers::default());
        for (index, job) in jobs.iter().enumerate() {
            let before = jobs[..index].iter().filter(|other| *other == job).count() as u32;
            assert_eq!(table.position(index as u32), before + 1, "entry {index}");
        }
    }

    #[test]
    fn equal_timings_of_two_tables_share_one_allocation() {
        let mut timers = Timers::default();
        let text = "0 5 * * * root true\n";
        let (one, _) = live(text, &mut timers);
        let (other, new) = live(text, &mut timers);
        assert!(new.is_empty());
        assert!(Arc::ptr_eq(&one.table.timings[0], &other.table.timings[0]));
        let (spelled_otherwise, new) = live("00 5 * * * root true\n", &mut timers);
        assert!(new.is_empty());
        assert_eq!(&*spelled_otherwise.table.timings[0].text, b"00 5 * * *");
    }

    #[test]
    fn digests_of_variables_are_equal_where_the_variables_are() {
        let hasher = RandomState::new();
        let texts = ["", "A=1\nB=\nA=2\n", "A=2\nB=\n", "B=\nA=2\n", "A=\nB=2\n", "A=2\nA=1\nA=2\nB=\n"];
        let mut all = Vec::new();
        for text in texts {
            let table = read(&(text.to_owned() + "@daily root true\n"));
            for (settings, digest) in (0..).zip(variables_digests(&table, &hasher)) {
                let entry = Entry { settings, ..table.entries[0].clone() };
                all.push((Environment::of(table.variables(&entry)), digest));
            }
        }
        assert_eq!(all.len(), 1 + 4 + 3 + 3 + 3 + 5);
        for (one, digest) in &all {
            for (other, other_digest) in &all {
                assert_eq!(one == other, digest == other_digest, "{one:?} {other:?}");
            }
        }
    }
}
