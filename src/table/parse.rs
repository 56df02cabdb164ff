//! From the bytes of a table to its entries and settings.

use super::diagnostic::Diagnostic;
use crate::schedule::{HostKey, Schedule, Seed, Zone, Zones};
use std::sync::Arc;

/// Whether entries name a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A user's own table: `m h dom mon dow command`.
    User,
    /// /etc/crontab and /etc/cron.d: `m h dom mon dow user command`.
    System,
}

/// Bounds of a table, as the profile's incumbent has them; beyond them is an error, never a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a command.
    pub command: usize,
    /// Most lines of a user table, if bounded.
    pub user_lines: Option<usize>,
    /// Most entries of a user table, if bounded.
    pub user_entries: Option<usize>,
    /// Most settings of a user table, if bounded.
    pub user_settings: Option<usize>,
    /// Most bytes of any table.
    pub bytes: usize,
}

/// What of the language depends on the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Bounds.
    pub limits: Limits,
    /// Whether a MAILTO that is unsafe as a mailer's argument is refused at install (Debian since -187).
    pub refuse_unsafe_mailto: bool,
}

/// What a table is read with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// User or system form.
    pub form: Form,
    /// The profile's language details.
    pub dialect: &'a Dialect,
    /// The table's name for stable draws: a user's name, or the path of a system table.
    pub name: &'a str,
    /// This host, for stable draws.
    pub host: HostKey,
    /// Known time zones.
    pub zones: &'a dyn Zones,
}

/// A table and everything that was said about it.
#[derive(Debug)]
pub struct Parsed {
    /// What of it runs.
    pub table: Table,
    /// Errors and warnings in order of lines. A missing final newline is an error here (`crontab` refuses); the
    /// daemon runs the last line all the same.
    pub diagnostics: Vec<Diagnostic>,
}

/// Flags in front of an entry or its command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `-n `: mail only on failure.
    pub mail_only_on_failure: bool,
    /// `-q `, or `-` in front of the entry: no log of the run.
    pub quiet: bool,
    /// `-s `: no overlap with itself.
    pub single: bool,
}

/// One job line. Texts are ranges of the table's source.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When.
    pub schedule: Schedule,
    /// Where the schedule's text stands.
    pub schedule_text: (u32, u32),
    /// Where the user's name stands; empty in user form.
    pub user_text: (u32, u32),
    /// Where the raw command stands, `%` and backslashes untouched, flags taken off.
    pub command_text: (u32, u32),
    /// Line, counted from 1.
    pub line: u32,
    /// How many of the table's settings stand above it.
    pub settings: u32,
    /// Index into [`Table::zones`] of its `CRON_TZ`, if it has one.
    pub zone: Option<u16>,
    /// Its drawn `RANDOM_DELAY` in seconds.
    pub delay: u32,
    /// Flags.
    pub flags: Flags,
}

/// One settings line: name and value as ranges into [`Table::unquoted`].
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Offset and length of the name.
    pub name: (u32, u32),
    /// Offset and length of the value, quotes taken off.
    pub value: (u32, u32),
    /// Line, counted from 1.
    pub line: u32,
}

/// What runs of a table. Settings are kept as a list in file order; an entry sees the first `entry.settings` of them,
/// the last of a name counting.
#[derive(Debug, Default)]
pub struct Table {
    /// The bytes of the file.
    pub source: Box<[u8]>,
    /// Entries in file order.
    pub entries: Vec<Entry>,
    /// Settings in file order.
    pub settings: Vec<Setting>,
    /// Names and values of settings, quotes taken off.
    pub unquoted: Vec<u8>,
    /// Zones that `CRON_TZ` names.
    pub zones: Vec<Arc<Zone>>,
}

impl Table {
    /// Reads a table. Never fails: what cannot be used is in the diagnostics.
    pub fn parse(source: Box<[u8]>, context: &Context<'_>) -> Parsed {
        let _ = (source, context, Seed { host: context.host, table: context.name, entry: b"" });
        todo!()
    }
    /// The raw command of an entry.
    pub fn command(&self, entry: &Entry) -> &[u8] {
        let _ = entry;
        todo!()
    }
    /// The user an entry of a system table names; empty in user form.
    pub fn user(&self, entry: &Entry) -> &[u8] {
        let _ = entry;
        todo!()
    }
    /// The text of an entry's schedule.
    pub fn schedule_text(&self, entry: &Entry) -> &[u8] {
        let _ = entry;
        todo!()
    }
    /// The variables an entry sees: each name once with its last value, in the order of first appearance.
    pub fn variables(&self, entry: &Entry) -> Vec<(&[u8], &[u8])> {
        let _ = entry;
        todo!()
    }
}
