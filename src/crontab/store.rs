//! What is kept of a table: its bytes, and where in them the entries and settings are.

use crate::schedule::{Schedule, Zone};
use std::collections::HashMap;
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

/// One job line. Its texts stay in the table's source: ask [`Crontab::command`], [`Crontab::user`] and
/// [`Crontab::schedule_text`]. A machine may hold a hundred thousand of these, so they are kept small.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When.
    pub schedule: Schedule,
    /// Line, counted from 1.
    pub line: u32,
    /// How many of the table's settings stand above it.
    pub settings: u32,
    /// Its drawn `RANDOM_DELAY` in seconds.
    pub delay: u32,
    /// Index into [`Crontab::zones`] of its `CRON_TZ`, if it has one.
    pub zone: Option<u16>,
    /// Flags.
    pub flags: Flags,
    /// Bytes of the user's name. It begins at the first byte after the schedule that is not blank.
    pub(super) user_len: u8,
    /// Where its other texts are.
    pub(super) text: Text,
}

/// Where the schedule and the command of an entry are in the table's source.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Text {
    /// First byte of the schedule.
    pub at: u32,
    /// Bytes of the command.
    pub command_len: u32,
    /// Bytes of the schedule.
    pub schedule_len: u16,
    /// From the first byte of the schedule to the first of the command.
    pub command_at: u16,
}

/// One settings line: where its name and value are in the table's source, quotes taken off.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub(super) name: (u32, u32),
    pub(super) value: (u32, u32),
    /// Line, counted from 1.
    pub line: u32,
}

/// There is not enough memory for what has to be kept of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("out of memory")]
pub struct OutOfMemory;

impl From<std::collections::TryReserveError> for OutOfMemory {
    fn from(_: std::collections::TryReserveError) -> OutOfMemory {
        OutOfMemory
    }
}

/// As `extend_from_slice`, but that a failed allocation is an error.
pub(super) fn append(to: &mut Vec<u8>, bytes: &[u8]) -> Result<(), OutOfMemory> {
    reserve(to, bytes.len())?;
    to.extend_from_slice(bytes);
    Ok(())
}

/// As `push`, but that a failed allocation is an error.
pub(super) fn push<T>(to: &mut Vec<T>, item: T) -> Result<(), OutOfMemory> {
    reserve(to, 1)?;
    to.push(item);
    Ok(())
}

/// Makes room for more items. What is large grows by an eighth, not to the double, and only while some megabytes stay free: the
/// small allocations of a parser, each bounded, cannot fail singly.
fn reserve<T>(to: &mut Vec<T>, more: usize) -> Result<(), OutOfMemory> {
    const LARGE: usize = 1 << 20;
    const HEADROOM: usize = 8 << 20;
    if to.capacity() - to.len() >= more {
        return Ok(());
    }
    if to.capacity() * size_of::<T>() < LARGE {
        return Ok(to.try_reserve(more)?);
    }
    let mut headroom: Vec<u8> = Vec::new();
    headroom.try_reserve_exact(HEADROOM)?;
    Ok(to.try_reserve_exact(more.max(to.len() / 8))?)
}

/// What runs of a table. Settings are kept as a list in file order; an entry sees the first `entry.settings` of them,
/// the last of a name counting.
#[derive(Clone, Debug, Default)]
pub struct Crontab {
    /// The lines of the file that are entries or settings, each with a newline.
    pub source: Vec<u8>,
    /// Entries in file order.
    pub entries: Vec<Entry>,
    /// Settings in file order.
    pub settings: Vec<Setting>,
    /// Zones that `CRON_TZ` names.
    pub zones: Vec<Arc<Zone>>,
}

impl Entry {
    /// Bytes of the user's name; none in user form.
    pub fn user_len(&self) -> usize {
        usize::from(self.user_len)
    }

    /// Bytes of the raw command.
    pub fn command_len(&self) -> usize {
        self.text.command_len as usize
    }
}

impl Crontab {
    /// The raw command of an entry: `%` and backslashes untouched, flags taken off.
    pub fn command(&self, entry: &Entry) -> &[u8] {
        let start = entry.text.at as usize + usize::from(entry.text.command_at);
        self.piece(start, entry.text.command_len as usize)
    }

    /// The user an entry of a system table names; empty in user form.
    pub fn user(&self, entry: &Entry) -> &[u8] {
        let schedule_end = entry.text.at as usize + usize::from(entry.text.schedule_len);
        let blanks = self.source.get(schedule_end..).unwrap_or_default();
        let blanks = blanks.iter().take_while(|&&byte| super::line::is_blank(byte)).count();
        self.piece(schedule_end + blanks, usize::from(entry.user_len))
    }

    /// The text of an entry's schedule.
    pub fn schedule_text(&self, entry: &Entry) -> &[u8] {
        self.piece(entry.text.at as usize, usize::from(entry.text.schedule_len))
    }

    /// Name and value of a setting.
    pub fn assignment(&self, setting: &Setting) -> (&[u8], &[u8]) {
        let text = |(start, len): (u32, u32)| self.piece(start as usize, len as usize);
        (text(setting.name), text(setting.value))
    }

    /// The variables an entry sees: each name once with its last value, in the order of first appearance.
    pub fn variables(&self, entry: &Entry) -> Vec<(&[u8], &[u8])> {
        let seen = self.seen_by(entry);
        let mut variables: Vec<(&[u8], &[u8])> = Vec::with_capacity(seen.len());
        let mut places: HashMap<&[u8], usize> = HashMap::with_capacity(seen.len());
        for (name, value) in seen.iter().map(|setting| self.assignment(setting)) {
            let place = *places.entry(name).or_insert(variables.len());
            match variables.get_mut(place) {
                Some(variable) => variable.1 = value,
                None => variables.push((name, value)),
            }
        }
        variables
    }

    /// The value an entry sees of one variable.
    pub fn variable(&self, entry: &Entry, name: &[u8]) -> Option<&[u8]> {
        self.seen_by(entry)
            .iter()
            .rev()
            .map(|setting| self.assignment(setting))
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v)
    }

    /// The place of an entry's user in its line, and the line, for a diagnostic about a user that does not exist.
    pub fn user_in_line(&self, entry: &Entry) -> (&[u8], Range<usize>) {
        let user = self.user(entry);
        let schedule_at = entry.text.at as usize;
        let line_at = memchr::memrchr(b'\n', self.piece(0, schedule_at)).map_or(0, |newline| newline + 1);
        let rest = self.source.get(line_at..).unwrap_or_default();
        let line = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())];
        let after = schedule_at - line_at + usize::from(entry.text.schedule_len);
        let blanks = line.iter().skip(after).take_while(|&&byte| super::line::is_blank(byte)).count();
        (line, after + blanks..after + blanks + user.len())
    }

    fn seen_by(&self, entry: &Entry) -> &[Setting] {
        self.settings.get(..entry.settings as usize).unwrap_or(&self.settings)
    }

    fn piece(&self, start: usize, len: usize) -> &[u8] {
        self.source.get(start..start.saturating_add(len)).unwrap_or_default()
    }
}
