//! What is kept of an entry beside its timer: a few bytes in front of its command.
//!
//! Line, and how many of the settings it sees with its flags, are numbers of seven bits a byte, the lowest first, the
//! top bit telling that more follow. In a system table the user's name follows, its length in a byte. Then the command, which
//! a newline ends: so the records stand in the order of the file, in which they are written fastest, and need not be found in it.

use crate::table::{Entry, Flags, Table};
use std::collections::HashMap;

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
    /// Reads what [`Records::add`] has written and what other records may follow.
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

/// Where the records of a table are written.
pub(super) enum Records {
    /// To a text of their own.
    Apart(Vec<u8>),
    /// Over the source from its beginning, so far up to here. It has the memory already that the text would take first, which
    /// is worth it where that is many pages.
    InPlace(usize),
}

impl Records {
    /// Writes the next entry's record; where it begins. The source holds the entry's line, and those below it, as they were.
    pub(super) fn add(&mut self, entry: &Entry, with_user: bool, source: &mut [u8]) -> usize {
        match self {
            Records::Apart(text) => {
                let at = text.len();
                write(entry, with_user, source, text);
                at
            }
            Records::InPlace(end) => {
                let at = *end;
                match write_in_place(entry, with_user, source, at) {
                    Some(next) => *end = next,
                    None => {
                        let mut text = source.get(..at).unwrap_or_default().to_vec();
                        write(entry, with_user, source, &mut text);
                        *self = Records::Apart(text);
                    }
                }
                at
            }
        }
    }

    /// The text with the records alone.
    pub(super) fn into_text(self, source: &mut Box<[u8]>) -> Vec<u8> {
        match self {
            Records::Apart(text) => text,
            Records::InPlace(end) => {
                let mut text = std::mem::take(source).into_vec();
                text.truncate(end);
                text
            }
        }
    }
}

/// Appends an entry's record to a text.
#[inline]
fn write(entry: &Entry, with_user: bool, source: &[u8], text: &mut Vec<u8>) {
    head(entry, with_user, |byte| text.push(byte));
    if with_user {
        text.extend_from_slice(source.get(entry.user(source)).unwrap_or_default());
    }
    text.extend_from_slice(source.get(entry.command()).unwrap_or_default());
    text.push(b'\n');
}

/// Writes an entry's record over the source, at a place that is not beyond the entry's line, and not beyond its end. Where
/// the record ends. None, and nothing is written: there is no room in front of the command or behind it.
fn write_in_place(entry: &Entry, with_user: bool, source: &mut [u8], at: usize) -> Option<usize> {
    let (mut bytes, mut len) = ([0; LONGEST_HEAD], 0);
    head(entry, with_user, |byte| {
        bytes[len] = byte;
        len += 1;
    });
    let (head, command) = (bytes.get(..len)?, entry.command());
    let user = if with_user { entry.user(source) } else { command.start..command.start };
    // The newline of the line itself, which the last one may lack.
    if at + head.len() > user.start || source.len() <= command.end {
        return None;
    }
    let (user_at, command_at) = (at + head.len(), at + head.len() + user.len());
    let end = command_at + command.len();
    source.get_mut(at..user_at)?.copy_from_slice(head);
    source.copy_within(user, user_at);
    source.copy_within(command, command_at);
    *source.get_mut(end)? = b'\n';
    Some(end + 1)
}

/// The bytes in front of the user's name or the command.
#[inline]
fn head(entry: &Entry, with_user: bool, mut push: impl FnMut(u8)) {
    for mut number in [u64::from(entry.line), settings_and_flags(entry.settings, entry.flags)] {
        while number >= 0x80 {
            push(number as u8 | 0x80);
            number >>= 7;
        }
        push(number as u8);
    }
    if with_user {
        // No table names a user of more than 255 bytes: see `can_be_user` in the language.
        push(entry.user_len() as u8);
    }
}

/// The most bytes of it: numbers of 32 and 35 bits, and a length.
const LONGEST_HEAD: usize = 11;

fn number_len(number: u64) -> usize {
    (u64::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
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
        + entry.command().len()
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
    let mut place_of: HashMap<&[u8], usize> = HashMap::new();
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
    use crate::schedule::{HostKey, Zone, Zones};
    use crate::table::{Context, Form};
    use std::sync::Arc;

    struct NoZones;

    impl Zones for NoZones {
        fn named(&self, _: &str) -> Option<Arc<Zone>> {
            None
        }
        fn system(&self) -> Arc<Zone> {
            Zone::utc()
        }
    }

    fn parsed(form: Form, text: &str) -> Table {
        let (dialect, host) = (&crate::site::CRONIE.dialect, HostKey(1));
        Table::parse(text.as_bytes().into(), &Context { form, dialect, name: "ann", host, zones: &NoZones }).table
    }

    /// Line, settings, flags, user and command.
    type Row = (u32, u32, Flags, String, String);

    /// Writes all records of a table and reads them again; and whether they are in its source.
    fn rows(mut records: Records, form: Form, text: &str) -> (Vec<Row>, bool) {
        let (with_user, Table { mut source, entries, .. }) = (form == Form::System, parsed(form, text));
        let starts: Vec<usize> = entries.iter().map(|entry| records.add(entry, with_user, &mut source)).collect();
        let in_place = matches!(records, Records::InPlace(_));
        let text = records.into_text(&mut source);
        let ends = starts.iter().skip(1).copied().chain([text.len()]);
        let lens: Vec<usize> = starts.iter().zip(ends).map(|(start, end)| end - start).collect();
        assert_eq!(lens, entries.iter().map(|entry| len(entry, with_user)).collect::<Vec<_>>());
        let string = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let row = |start: &usize| {
            let read = Record::read(&text[*start..], with_user).unwrap();
            (read.line, read.settings, read.flags, string(read.user), string(read.command))
        };
        (starts.iter().map(row).collect(), in_place)
    }

    #[test]
    fn records_are_read_as_they_were_written_apart_or_in_place() {
        let text = "# first\n@1 root a\nA=1\n* * * * * root echo \u{e9}\n  5 4 * * * daemon -n -q -s b c\n@daily  x y\n\n-@2 z d\n";
        let all = Flags { mail_only_on_failure: true, quiet: true, single: true };
        let (none, quiet) = (Flags::default(), Flags { quiet: true, ..Flags::default() });
        let wanted = [
            (2, 0, none, "root", "a"),
            (4, 1, none, "root", "echo \u{e9}"),
            (5, 1, all, "daemon", "b c"),
            (6, 1, none, "x", "y"),
            (8, 1, quiet, "z", "d"),
        ];
        let wanted = wanted
            .map(|(line, settings, flags, user, command)| (line, settings, flags, user.to_owned(), command.to_owned()));
        for (records, in_place) in [(Records::Apart(Vec::new()), false), (Records::InPlace(0), true)] {
            assert_eq!(rows(records, Form::System, text), (wanted.to_vec(), in_place));
        }
    }

    #[test]
    fn records_that_have_no_room_in_place_are_written_apart() {
        let unended = "* * * * * a\n* * * * * b".to_owned();
        // Shorter schedules than the numbers of line and settings, until nothing is left of what the settings took.
        let dense = format!("{}{}", "A=b\n".repeat(17), "@1 x\n".repeat(1_000));
        for text in [unended, dense] {
            let (wanted, _) = rows(Records::Apart(Vec::new()), Form::User, &text);
            assert_eq!(rows(Records::InPlace(0), Form::User, &text), (wanted, false));
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
