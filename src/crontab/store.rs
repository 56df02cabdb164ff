//! The parts of a table that are kept: its entries and settings.

use super::policy::Policy;
use super::shared_bytes::SharedBytes;
use crate::schedule::{Schedule, Timestamp, Zone};
use std::collections::HashMap;
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

/// One job line. Equal commands, users and timings of a table share one allocation.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Line in the table, counted from 1.
    pub line: u32,
    /// How many of the table's settings stand above it.
    pub settings: u32,
    /// Flags before the command: `-n`, `-q`, `-s`.
    pub flags: Flags,
    /// When it is due: schedule, zone and delay.
    pub timing: Arc<Timing>,
    /// The user that it runs as, in a system table.
    pub user: Option<Arc<str>>,
    /// The raw command: `%` and backslashes untouched, flags taken off.
    pub command: SharedBytes,
    /// The policy that the job settings above it make.
    pub policy: Arc<Policy>,
    /// The name that `CRON_NAME` gives it.
    pub name: Option<Arc<str>>,
    /// The jobs that it runs after (`@after`): `NAME` in a user's table, `USER:NAME` in a system table.
    pub after: Option<Arc<[Arc<str>]>>,
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

impl Crontab {
    /// The variables an entry sees: each name once with its last value, in the order of first appearance.
    pub fn variables(&self, entry: &Entry) -> Vec<(&[u8], &[u8])> {
        let seen = self.settings.get(..entry.settings as usize).unwrap_or(&self.settings);
        let mut variables: Vec<(&[u8], &[u8])> = Vec::new();
        let mut places: HashMap<&[u8], usize> = HashMap::new();
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
