//! The parts of a table that are kept: its entries and settings.

use super::policy::Policy;
use super::shared_bytes::SharedBytes;
use crate::schedule::{Schedule, Timestamp, Zone};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Flags in front of an entry or its command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags {
    /// `-n `: mail only on failure.
    pub mail_only_on_failure: bool,
    /// `-q `, or `-` in front of the entry: no log of the run.
    pub quiet: bool,
    /// `-s `: no overlap with itself.
    pub single: bool,
}

/// One job line. A table can have millions of them, so what is long or rare is kept elsewhere.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Line in the table, counted from 1.
    pub line: u32,
    /// How many of the table's settings stand above it.
    pub settings: u32,
    /// When it is due: an index into [`Crontab::timings`].
    pub timing: u32,
    /// Flags before the command: `-n`, `-q`, `-s`.
    pub flags: Flags,
    /// The place of its command in [`Crontab::commands`].
    pub command: Range<u32>,
    /// The user that it runs as, in a system table.
    pub user: Option<Arc<str>>,
    /// The policy that the job settings above it and its flags make. None: the default.
    pub policy: Option<Arc<Policy>>,
    /// Its name and the jobs that it runs after. None: it has neither.
    pub links: Option<Box<Links>>,
}

/// What relates an entry to others by name.
#[derive(Clone, Debug, Default)]
pub struct Links {
    /// The name that `CRON_NAME` gives it.
    pub name: Option<Arc<str>>,
    /// The jobs that it runs after (`@after`): `NAME` in a user's table, `USER:NAME` in a system table.
    pub after: Box<[Arc<str>]>,
}

/// When an entry is due.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Timing {
    /// The schedule as it was parsed.
    pub schedule: Schedule,
    /// The zone of its `CRON_TZ`; none: the system's.
    pub zone: Option<Arc<Zone>>,
    /// Its drawn `RANDOM_DELAY` in seconds.
    pub delay: u32,
    /// The schedule as it stands in the table.
    pub text: SharedBytes,
}

/// One settings line, quotes taken off.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The name of the variable, as bytes.
    pub name: SharedBytes,
    /// The value, as bytes without the quotes.
    pub value: SharedBytes,
    /// Line in the table, counted from 1.
    pub line: u32,
}

/// The usable content of a table. Settings are kept as one list in file order; an entry sees the first `entry.settings` of them, the last
/// of a name counting.
#[derive(Clone, Debug, Default)]
pub struct Crontab {
    /// The usable entries in file order.
    pub entries: Vec<Entry>,
    /// The settings of variables in file order.
    pub settings: Vec<Setting>,
    /// When entries are due. Entries with equal timings share one, and each timing is of an entry.
    pub timings: Vec<Arc<Timing>>,
    /// The commands of all entries, one behind the other.
    pub commands: Vec<u8>,
}

impl Timing {
    /// The first start after `moment` (exclusive), the random delay included. None: the schedule ends, or it is not due by a clock.
    pub fn next_start(&self, moment: Timestamp, system_zone: &Zone) -> Option<Timestamp> {
        let delay = i64::from(self.delay);
        let zone = self.zone.as_deref().unwrap_or(system_zone);
        let due = self.schedule.next_after(Timestamp(moment.0.checked_sub(delay)?), zone, None)?;
        due.0.checked_add(delay).map(Timestamp)
    }
}

impl Entry {
    /// The policy that the job settings above it make.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.clone().unwrap_or_else(Policy::shared_default)
    }

    /// The name that `CRON_NAME` gives it.
    pub fn name(&self) -> Option<&str> {
        self.links.as_ref()?.name.as_deref()
    }

    /// The jobs that it runs after (`@after`).
    pub fn after(&self) -> &[Arc<str>] {
        self.links.as_ref().map_or(&[], |links| &links.after)
    }
}

impl Crontab {
    /// When an entry of this table is due: schedule, zone and delay.
    ///
    /// # Panics
    /// If the entry is of another table.
    pub fn timing(&self, entry: &Entry) -> &Arc<Timing> {
        &self.timings[entry.timing as usize]
    }

    /// The raw command of an entry of this table: `%` and backslashes untouched, flags taken off.
    pub fn command(&self, entry: &Entry) -> &[u8] {
        self.commands.get(entry.command.start as usize..entry.command.end as usize).unwrap_or_default()
    }

    /// The variables an entry sees: each name once with its last value, in the order of first appearance.
    pub fn variables(&self, entry: &Entry) -> Vec<(&[u8], &[u8])> {
        let seen = self.settings.get(..entry.settings as usize).unwrap_or(&self.settings);
        let mut variables: Vec<(&[u8], &[u8])> = Vec::new();
        let mut places: BTreeMap<&[u8], usize> = BTreeMap::new();
        for Setting { name, value, .. } in seen {
            let place = *places.entry(name).or_insert(variables.len());
            match variables.get_mut(place) {
                Some(variable) => variable.1 = value,
                None => variables.push((name, value)),
            }
        }
        variables
    }
}
