//! What is kept of an entry beside its timer: a few bytes in front of its command.
//!
//! Line, and how many of the settings it sees with its flags, are numbers of seven bits a byte, the lowest first, the
//! top bit telling that more follow. In a system table the user's name follows, its length in a byte. Then the command, which
//! a newline ends: so the records stand in the order of the file, in which they are written fastest, and need not be found in it.

use crate::table::{Entry, Flags, Table};
use std::collections::BTreeMap;

/// One entry's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// Line in the file, from 1.
    pub(super) line: u32,
    /// How many of the table's settings it sees: those above it.
    pub(super) settings: u32,
    pub(super) flags: Flags,
    /// Whom a system table's entry names; else empty.
    pub(super) user: &'a [u8],
    /// Whether the table's entries name users.
    pub(super) with_user: bool,
    /// The raw command.
    pub(super) command: &'a [u8],
}

const MAIL_ONLY_ON_FAILURE: u64 = 1;
const QUIET: u64 = 2;
const SINGLE: u64 = 4;
const FLAG_BITS: u32 = 3;

impl<'a> Record<'a> {
    /// Of an entry of a table that was read.
    pub(super) fn of(table: &'a Table, entry: &Entry, with_user: bool) -> Record<'a> {
        Record {
            line: entry.line,
            settings: entry.settings,
            flags: entry.flags,
            user: if with_user { table.user(entry) } else { &[] },
            with_user,
            command: table.command(entry),
        }
    }

    /// Appends it to a text.
    pub(super) fn write(&self, text: &mut Vec<u8>) {
        write_number(u64::from(self.line), text);
        write_number(settings_and_flags(self.settings, self.flags), text);
        if self.with_user {
            // No table names a user of more than 255 bytes: see `can_be_user` in the language.
            text.push(self.user.len() as u8);
            text.extend_from_slice(self.user);
        }
        text.extend_from_slice(self.command);
        text.push(b'\n');
    }

    /// Reads what [`Record::write`] has written and what other records may follow.
    pub(super) fn read(mut bytes: &'a [u8], with_user: bool) -> Option<Record<'a>> {
        let line = read_number(&mut bytes)? as u32;
        let settings_and_flags = read_number(&mut bytes)?;
        let flag = |bit: u64| settings_and_flags & bit != 0;
        let flags =
            Flags { mail_only_on_failure: flag(MAIL_ONLY_ON_FAILURE), quiet: flag(QUIET), single: flag(SINGLE) };
        let (user, command) = match with_user {
            true => {
                let (&len, rest) = bytes.split_first()?;
                rest.split_at_checked(usize::from(len))?
            }
            false => (&bytes[..0], bytes),
        };
        let command = command.get(..memchr::memchr(b'\n', command)?)?;
        Some(Record { line, settings: (settings_and_flags >> FLAG_BITS) as u32, flags, user, with_user, command })
    }
}

fn number_len(number: u64) -> usize {
    (u64::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
}

fn write_number(mut number: u64, text: &mut Vec<u8>) {
    while number >= 0x80 {
        text.push(number as u8 | 0x80);
        number >>= 7;
    }
    text.push(number as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn settings_and_flags(settings: u32, flags: Flags) -> u64 {
    let flag = |set: bool, bit: u64| if set { bit } else { 0 };
    u64::from(settings) << FLAG_BITS
        | flag(flags.mail_only_on_failure, MAIL_ONLY_ON_FAILURE)
        | flag(flags.quiet, QUIET)
        | flag(flags.single, SINGLE)
}

/// Bytes that the record of an entry takes.
pub(super) fn len(entry: &Entry, with_user: bool) -> usize {
    let user = if with_user { 1 + entry.user_len() } else { 0 };
    number_len(u64::from(entry.line))
        + number_len(settings_and_flags(entry.settings, entry.flags))
        + user
        + entry.command_len()
        + 1
}

/// Bytes that [`write_settings`] writes.
pub(super) fn settings_len(table: &Table) -> usize {
    let assignments = table.settings.iter().map(|setting| table.assignment(setting));
    assignments.map(|(name, value)| name.len() + value.len() + 2).sum()
}

/// Appends a table's settings to a text: name and value, a newline behind each, which neither can hold.
pub(super) fn write_settings(table: &Table, text: &mut Vec<u8>) {
    for (name, value) in table.settings.iter().map(|setting| table.assignment(setting)) {
        for part in [name, b"\n", value, b"\n"] {
            text.extend_from_slice(part);
        }
    }
}

/// The first of settings that were so written.
pub(super) fn first_settings(settings: &[u8], count: u32) -> &[u8] {
    let Some(last) = (2 * count as usize).checked_sub(1) else { return &[] };
    let end = memchr::memchr_iter(b'\n', settings).nth(last).map_or(settings.len(), |newline| newline + 1);
    settings.get(..end).unwrap_or_default()
}

/// The variables in settings that were so written: each name once with its last value, in the order of first appearance.
pub(super) fn variables(settings: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut variables: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut place_of: BTreeMap<&[u8], usize> = BTreeMap::new();
    let mut parts = settings.split(|&byte| byte == b'\n');
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let quiet = Flags { quiet: true, ..Flags::default() };
        let all = Flags { mail_only_on_failure: true, quiet: true, single: true };
        for (line, settings, flags, user, bytes) in [
            (1, 0, Flags::default(), None, 2),
            (10, 1, quiet, None, 2),
            (127, 15, quiet, None, 2),
            (128, 16, all, None, 4),
            (u32::MAX, u32::MAX, all, None, 10),
            (3, 0, Flags::default(), Some("root"), 7),
            (3, 0, Flags::default(), Some(""), 3),
        ] {
            let (with_user, user) = (user.is_some(), user.unwrap_or_default().as_bytes());
            let record = Record { line, settings, flags, user, with_user, command: b"echo \xff" };
            let mut text = Vec::new();
            record.write(&mut text);
            assert_eq!(text.len(), bytes + 7, "{record:?}");
            text.extend_from_slice(b"\x01\x00next\n");
            assert_eq!(Record::read(&text, with_user), Some(record));
        }
    }

    #[test]
    fn a_cut_record_is_none() {
        assert_eq!(Record::read(&[], false), None);
        assert_eq!(Record::read(&[1, 0x80], false), None);
        assert_eq!(Record::read(&[1, 0, 5, b'r'], true), None);
        assert_eq!(Record::read(&[0xff; 20], false), None);
        assert_eq!(Record::read(b"\x01\x00no end", false), None);
    }

    #[test]
    fn the_first_settings_are_cut_behind_their_values() {
        let settings = b"A\n1\nB\n\nC\n3\n";
        for (count, first) in [(0, ""), (1, "A\n1\n"), (2, "A\n1\nB\n\n"), (3, "A\n1\nB\n\nC\n3\n")] {
            assert_eq!(first_settings(settings, count), first.as_bytes());
        }
        assert_eq!(first_settings(settings, 4), settings);
    }

    #[test]
    fn a_variable_has_its_last_value_at_its_first_place() {
        let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        assert_eq!(variables(b""), []);
        assert_eq!(variables(b"A\n1\nB\n\nA\n2\n"), [pair("A", "2"), pair("B", "")]);
        assert_eq!(variables(b"\nx\n"), [pair("", "x")]);
    }
}
