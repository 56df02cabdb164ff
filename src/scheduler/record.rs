//! What is kept of an entry beside its timer: a few bytes, and of its command what no command before it has.
//!
//! Line, and how many of the settings it sees with its flags, are numbers of seven bits a byte, the lowest first, the
//! top bit telling that more follow. In a system table the user's name follows, its length in a byte. Then the command.
//!
//! Crontabs repeat themselves: the paths that commands begin with, the files that they write to at their end. So a command is
//! either kept in full, after a zero, or as what it does not share with the last one kept in full, its model: how many bytes
//! before this number the model begins, how many bytes the two have in common at the beginning and at the end, and what
//! stands between those. A newline ends both kinds: so the records stand in the order of the file, in which they are written
//! fastest, and need not be found in it.

use super::digest::DigestKey;
use super::environment::Environment;
use crate::crontab::{Crontab, Entry, Flags};
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::ops::Range;

/// One entry's record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    /// Line in the file, from 1.
    pub(super) line: u32,
    /// How many of the table's settings it sees: those above it.
    pub(super) settings: u32,
    pub(super) flags: Flags,
    /// Whom a system table's entry names; else empty.
    pub(super) user: &'a [u8],
    /// The text that holds the record, and where in it the command is told.
    text: &'a [u8],
    command_at: usize,
}

/// A raw command in pieces, the outer ones from its model.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Command<'a>([&'a [u8]; 3]);

impl Command<'_> {
    /// In one piece.
    pub(super) fn to_vec(self) -> Vec<u8> {
        self.0.concat()
    }
}

const MAIL_ONLY_ON_FAILURE: u64 = 1;
const QUIET: u64 = 2;
const SINGLE: u64 = 4;
const FLAG_BITS: u32 = 3;

/// Bytes that a command must have in common with its model: what tells so takes four or five.
const WORTH_SHARING: usize = 8;

/// The text of a table while its records are written.
#[derive(Debug)]
pub(super) struct Writer {
    text: Vec<u8>,
    /// Where in it the last command is that is kept in full.
    model: Range<usize>,
    /// Whether the table's entries name users.
    with_user: bool,
}

impl Writer {
    /// Writes behind what stands in front of the records.
    pub(super) fn after(text: Vec<u8>, with_user: bool) -> Writer {
        Writer { text, model: 0..0, with_user }
    }

    /// Appends the record of an entry of a table that was read; where it begins.
    pub(super) fn push(&mut self, table: &Crontab, entry: &Entry) -> usize {
        let user = if self.with_user { table.user(entry) } else { &[] };
        self.append(entry.line, settings_and_flags(entry.settings, entry.flags), user, table.command(entry))
    }

    fn append(&mut self, line: u32, settings_and_flags: u64, user: &[u8], command: &[u8]) -> usize {
        let place = self.text.len();
        write_number(u64::from(line), &mut self.text);
        write_number(settings_and_flags, &mut self.text);
        if self.with_user {
            // No table names a user of more than 255 bytes: see `can_be_user` in the language.
            self.text.push(user.len() as u8);
            self.text.extend_from_slice(user);
        }
        self.append_command(command);
        self.text.push(b'\n');
        place
    }

    fn append_command(&mut self, command: &[u8]) {
        let model = self.text.get(self.model.clone()).unwrap_or_default();
        let start = common_start(model, command);
        let (rest_of_model, rest) = (&model[start..], &command[start..]);
        let end = common_end(rest_of_model, rest);
        if start + end < WORTH_SHARING {
            self.text.push(0);
            self.model = self.text.len()..self.text.len() + command.len();
            self.text.extend_from_slice(command);
            return;
        }
        for number in [self.text.len() - self.model.start, start, end] {
            write_number(number as u64, &mut self.text);
        }
        self.text.extend_from_slice(&rest[..rest.len() - end]);
    }

    /// The whole text.
    pub(super) fn finish(self) -> Vec<u8> {
        self.text
    }
}

impl<'a> Record<'a> {
    /// Reads the record that a [`Writer`] has begun at that place of a text. None: there is none.
    pub(super) fn read(text: &'a [u8], place: usize, with_user: bool) -> Option<Record<'a>> {
        let mut bytes = text.get(place..)?;
        let line = read_number(&mut bytes)? as u32;
        let settings_and_flags = read_number(&mut bytes)?;
        let flag = |bit: u64| settings_and_flags & bit != 0;
        let flags =
            Flags { mail_only_on_failure: flag(MAIL_ONLY_ON_FAILURE), quiet: flag(QUIET), single: flag(SINGLE) };
        let user;
        (user, bytes) = match with_user {
            true => {
                let (&len, rest) = bytes.split_first()?;
                rest.split_at_checked(usize::from(len))?
            }
            false => (&bytes[..0], bytes),
        };
        let (settings, command_at) = ((settings_and_flags >> FLAG_BITS) as u32, text.len() - bytes.len());
        Some(Record { line, settings, flags, user, text, command_at })
    }

    /// The raw command.
    pub(super) fn command(&self) -> Command<'a> {
        read_command(self.text, self.command_at).unwrap_or_default()
    }
}

fn read_command(text: &[u8], place: usize) -> Option<Command<'_>> {
    let mut bytes = text.get(place..)?;
    let back = read_number(&mut bytes)? as usize;
    if back == 0 {
        return Some(Command([up_to_newline(bytes)?, &[], &[]]));
    }
    let model = up_to_newline(text.get(place.checked_sub(back)?..)?)?;
    let start = model.get(..read_number(&mut bytes)? as usize)?;
    let end = model.get(model.len().checked_sub(read_number(&mut bytes)? as usize)?..)?;
    Some(Command([start, up_to_newline(bytes)?, end]))
}

fn up_to_newline(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(..memchr::memchr(b'\n', bytes)?)
}

/// How many bytes two texts have in common at their beginning.
fn common_start(one: &[u8], other: &[u8]) -> usize {
    let (mut left, mut others) = (one, other);
    while let (Some((word, rest)), Some((other, rest_of_other))) =
        (left.split_first_chunk(), others.split_first_chunk())
    {
        let differ = u64::from_le_bytes(*word) ^ u64::from_le_bytes(*other);
        if differ != 0 {
            return one.len() - left.len() + differ.trailing_zeros() as usize / 8;
        }
        (left, others) = (rest, rest_of_other);
    }
    one.len() - left.len() + left.iter().zip(others).take_while(|(one, other)| one == other).count()
}

/// How many bytes two texts have in common at their end.
fn common_end(one: &[u8], other: &[u8]) -> usize {
    let (mut left, mut others) = (one, other);
    while let (Some((rest, word)), Some((rest_of_other, other))) = (left.split_last_chunk(), others.split_last_chunk())
    {
        let differ = u64::from_le_bytes(*word) ^ u64::from_le_bytes(*other);
        if differ != 0 {
            return one.len() - left.len() + differ.leading_zeros() as usize / 8;
        }
        (left, others) = (rest, rest_of_other);
    }
    one.len() - left.len() + left.iter().rev().zip(others.iter().rev()).take_while(|(one, other)| one == other).count()
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

/// Appends a table's settings to a text: name and value, a newline behind each, which neither can hold.
pub(super) fn write_settings(table: &Crontab, text: &mut Vec<u8>) {
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
pub(super) fn variables(settings: &[u8]) -> Environment {
    let mut variables: Vec<(&[u8], &[u8])> = Vec::new();
    let mut place_of: BTreeMap<&[u8], usize> = BTreeMap::new();
    let mut parts = settings.split(|&byte| byte == b'\n');
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        match place_of.get(name).and_then(|&place| variables.get_mut(place)) {
            Some(variable) => variable.1 = value,
            None => {
                place_of.insert(name, variables.len());
                variables.push((name, value));
            }
        }
    }
    Environment::of(variables)
}

/// Digests of the [`variables`] in the first settings, by how many of these they are, from none to all.
pub(super) fn variables_digests(settings: &[u8], key: &DigestKey) -> Vec<u64> {
    // Each variable's own digest with its place is a part of it, so that one that changes is exchanged.
    let mut variables: HashMap<&[u8], (usize, u64)> = HashMap::new();
    let mut digests = vec![0];
    let mut digest = 0;
    let mut parts = settings.split(|&byte| byte == b'\n');
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        let next_place = variables.len();
        let (place, part) = variables.entry(name).or_insert((next_place, 0));
        let now = key.hash_one((*place, name, value));
        digest ^= std::mem::replace(part, now) ^ now;
        digests.push(digest);
    }
    digests
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_FLAGS: Flags = Flags { mail_only_on_failure: false, quiet: false, single: false };

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let quiet = Flags { quiet: true, ..NO_FLAGS };
        let all = Flags { mail_only_on_failure: true, quiet: true, single: true };
        for (line, settings, flags, user, bytes) in [
            (1, 0, NO_FLAGS, None, 2),
            (10, 1, quiet, None, 2),
            (127, 15, quiet, None, 2),
            (128, 16, all, None, 4),
            (u32::MAX, u32::MAX, all, None, 10),
            (3, 0, NO_FLAGS, Some("root"), 7),
            (3, 0, NO_FLAGS, Some(""), 3),
        ] {
            let mut writer = Writer::after(b"names".to_vec(), user.is_some());
            let user = user.unwrap_or_default().as_bytes();
            let place = writer.append(line, settings_and_flags(settings, flags), user, b"echo \xff");
            let with_user = writer.with_user;
            let mut text = writer.finish();
            assert_eq!((place, text.len()), (5, 5 + bytes + 8), "line {line}");
            text.extend_from_slice(b"\x01\x00\x00next\n");
            let record = Record::read(&text, place, with_user).unwrap();
            assert_eq!((record.line, record.settings, record.flags, record.user), (line, settings, flags, user));
            assert_eq!(record.command().to_vec(), b"echo \xff");
        }
    }

    /// Writes commands one after the other; the bytes that each took, and each as it is read.
    fn there_and_back(commands: &[&[u8]]) -> (Vec<usize>, Vec<Vec<u8>>) {
        let mut writer = Writer::after(Vec::new(), false);
        let places: Vec<usize> = commands.iter().map(|command| writer.append(1, 0, &[], command)).collect();
        let text = writer.finish();
        let ends = places.iter().copied().skip(1).chain([text.len()]);
        let took = places.iter().zip(ends).map(|(start, end)| end - start).collect();
        let read = |place: &usize| Record::read(&text, *place, false).unwrap().command().to_vec();
        (took, places.iter().map(read).collect())
    }

    #[test]
    fn what_a_command_shares_with_its_model_is_kept_once() {
        let commands: [&[u8]; 8] = [
            b"/usr/bin/backup home >/dev/null 2>&1",
            b"/usr/bin/backup mail >/dev/null 2>&1",
            b"/usr/bin/backup home >/dev/null 2>&1",
            b"/usr/bin/backup  >/dev/null 2>&1",
            b"/usr/bin/backup home",
            b"true",
            b"/usr/bin/backup mail",
            b"/usr/bin/backup mail /usr/bin/backup mail",
        ];
        let (took, read) = there_and_back(&commands);
        assert_eq!(read, commands);
        assert_eq!(took, [40, 10, 6, 6, 6, 8, 24, 27]);
    }

    #[test]
    fn commands_of_all_kinds_are_read_as_they_were_written() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let words: [&[u8]; 6] = [b"/usr/bin/", b"aaaaaaaaaaaa", b"aaaa", b"x", b"\xff\x00\x80", b" >/dev/null"];
            let command = |random: &mut fastrand::Rng| {
                let count = random.usize(..6);
                (0..count).flat_map(|_| words[random.usize(..words.len())].to_vec()).collect::<Vec<u8>>()
            };
            let commands: Vec<Vec<u8>> = (0..12).map(|_| command(&mut random)).collect();
            let commands: Vec<&[u8]> = commands.iter().map(Vec::as_slice).collect();
            assert_eq!(there_and_back(&commands).1, commands);
        }
    }

    #[test]
    fn the_model_may_be_far_away() {
        let shared = b"/a/path/that/many/have ".as_slice();
        let commands: Vec<Vec<u8>> = (0..20_000).map(|n| [shared, n.to_string().as_bytes()].concat()).collect();
        let commands: Vec<&[u8]> = commands.iter().map(Vec::as_slice).collect();
        let (took, read) = there_and_back(&commands);
        assert!(read == commands);
        assert!(took.iter().skip(1).all(|&bytes| bytes <= 13), "{:?}", took.iter().max());
    }

    #[test]
    fn a_cut_record_is_none_and_a_cut_command_is_empty() {
        for (text, with_user) in
            [(b"".as_slice(), false), (&[1, 0x80], false), (&[1, 0, 5, b'r'], true), (&[0xff; 20], false)]
        {
            assert!(Record::read(text, 0, with_user).is_none(), "{text:?}");
        }
        for (text, place) in [
            (b"\x01\x00\x00no end".as_slice(), 0),
            (b"\x01\x00", 0),
            (b"\x01\x00\x07model before the text\n", 0),
            // More than the two bytes that the model has.
            (b"\x01\x00\x00ab\n\x01\x00\x05\x03\x00\n", 6),
            (b"\x01\x00\x00ab\n\x01\x00\x05\x00\x03\n", 6),
        ] {
            assert!(Record::read(text, place, false).unwrap().command().to_vec().is_empty(), "{text:?}");
        }
        let whole = b"\x01\x00\x00ab\n\x01\x00\x05\x02\x00c\n";
        assert_eq!(Record::read(whole, 6, false).unwrap().command().to_vec(), b"abc");
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
        let packed = |pairs: &[(&str, &str)]| {
            Environment::of(pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
        };
        assert_eq!(variables(b""), packed(&[]));
        assert_eq!(variables(b"A\n1\nB\n\nA\n2\n"), packed(&[("A", "2"), ("B", "")]));
        assert_eq!(variables(b"\nx\n"), packed(&[("", "x")]));
    }

    #[test]
    fn digests_of_variables_are_equal_where_the_variables_are() {
        let key = DigestKey::default();
        let texts: [&[u8]; 6] =
            [b"", b"A\n1\nB\n\nA\n2\n", b"A\n2\nB\n\n", b"B\n\nA\n2\n", b"A\n\nB\n2\n", b"A\n2\nA\n1\nA\n2\nB\n\n"];
        let mut all = Vec::new();
        for text in texts {
            let digests = variables_digests(text, &key).into_iter().enumerate();
            all.extend(digests.map(|(count, digest)| (variables(first_settings(text, count as u32)), digest)));
        }
        assert_eq!(all.len(), 1 + 4 + 3 + 3 + 3 + 5);
        for (one, digest) in &all {
            for (other, other_digest) in &all {
                assert_eq!(one == other, digest == other_digest, "{one:?} {other:?}");
            }
        }
    }
}
