//! A compiled schedule and the search for its next due moment.

use super::draw::Seed;
use super::fault::{Caution, Fault};
use super::time::{LocalMinute, Timestamp};
use super::zone::Zone;

/// When an entry is due: five fields, a nickname, `@quartz` and seven fields, `@N`, or `@reboot`. Equal schedules are
/// equal values, so that the plan can share one timer among them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Schedule {
    minutes: u64,
}

/// The families of schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Due at minutes (or seconds) of a calendar.
    Calendar,
    /// `@N`: so many seconds after the end of the previous run (first: after the table was loaded).
    Interval {
        /// Seconds, at least 1.
        seconds: u32,
    },
    /// `@reboot`: once per boot.
    Reboot,
}

/// How a schedule is treated when the clock jumps or a zone's offset changes (Vixie cron's rule, crontab(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// The minute or the hour field begins with `*` (`@hourly` and sub-minute schedules too): due whenever the clock on the wall says
    /// so, never made up for.
    Wildcard,
    /// Anything else: made up for after a jump of up to three hours forward, not repeated after one back.
    Fixed,
}

/// A schedule at the beginning of a text, and how much of the text it took.
#[derive(Clone, Debug)]
pub struct Prefix {
    /// The schedule.
    pub schedule: Schedule,
    /// Bytes taken, from the first of the text to the last of the schedule; the blank after it is not counted.
    pub len: usize,
    /// What is odd about it.
    pub cautions: Vec<Caution>,
}

impl Schedule {
    /// Reads the schedule that `text` (no leading blanks) begins with: five fields parted by blanks, or a nickname.
    pub fn parse_prefix(text: &[u8], seed: &Seed<'_>) -> Result<Prefix, Fault> {
        let _ = (text, seed);
        todo!()
    }
    /// Reads a text that is a schedule and nothing else (blanks around it are allowed).
    pub fn parse(text: &str, seed: &Seed<'_>) -> Result<Prefix, Fault> {
        let _ = (text, seed);
        todo!()
    }
    /// Its family.
    pub fn kind(&self) -> Kind {
        todo!()
    }
    /// How it is treated when the clock jumps.
    pub fn style(&self) -> Style {
        todo!()
    }
    /// Whether it can never be due (`0 0 30 2 *`). `@reboot` and `@N` are not such.
    pub fn never_matches(&self) -> bool {
        todo!()
    }
    /// The first moment strictly after `after` at which it is due in `zone`, the zone's own gaps and folds included:
    /// none for `@reboot`, and when nothing is due within one 400-year cycle. `@N`: `after` plus N.
    ///
    /// `done` tells that the zone's clocks have already shown that local minute, before somebody set the clock back: a
    /// [`Style::Fixed`] schedule is then not due at local minutes up to it.
    pub fn next_after(&self, after: Timestamp, zone: &Zone, done: Option<LocalMinute>) -> Option<Timestamp> {
        let _ = (after, zone, done);
        todo!()
    }
    /// Whether the fields match that local minute (for schedules with seconds: any second of it).
    pub fn matches(&self, at: LocalMinute) -> bool {
        let _ = at;
        todo!()
    }
    /// The first local minute strictly after `after` that the fields match, on the calendar alone.
    pub fn next_match(&self, after: LocalMinute) -> Option<LocalMinute> {
        let _ = after;
        todo!()
    }
}
