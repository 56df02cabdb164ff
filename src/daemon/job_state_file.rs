//! The format of the state file: text, one record a line, the first one a header. A line is a checksum in 16 hexadecimal digits, a blank, JSON,
//! and a newline. A checksum covers the one before it, too, so that a line counts only behind the lines that it was written behind.
//!
//! The record of a line is a list of changes that were decided together: a file that ends in the middle of a line has lost all of them.

use crate::schedule::Timestamp;
use crate::scheduler::{RunId, SavedState, StateChange};
use crate::sys::record_file::checksum;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const FORMAT: &str = "cronwheel state";
/// Files with a greater version are left alone.
const VERSION: u32 = 1;
const CHECKSUM_DIGITS: usize = 16;

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: String,
    version: u32,
    /// The boot in which the file was begun: times of the monotonic clock count in that one only.
    #[serde(default)]
    boot: String,
}

/// One item of a record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Item {
    Change(StateChange),
    /// Everything due up to here was handled.
    Handled(Timestamp),
    /// Up to which run number, exclusive, numbers are reserved.
    Reserved(RunId),
}

/// The content of a state file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) saved: SavedState,
    pub(super) reserved: Option<RunId>,
    /// The line, from 1, from which on the file is not what was written.
    pub(super) damaged_at: Option<usize>,
    /// How many items were left out, as they are of a kind that only a later version knows.
    pub(super) left_out: usize,
}

/// A file of a version that is not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NewerVersion(pub(super) u32);

/// Writes lines, one behind the other.
#[derive(Debug, Default)]
pub(super) struct LineWriter {
    checksum: u64,
}

impl LineWriter {
    /// The first line of a file.
    pub(super) fn header(&mut self, boot: &str) -> serde_json::Result<String> {
        *self = LineWriter::default();
        let header = Header { format: FORMAT.to_owned(), version: VERSION, boot: boot.to_owned() };
        Ok(self.line(&serde_json::to_string(&header)?))
    }

    /// The line of a record whose items are in JSON already.
    pub(super) fn record<'a>(&mut self, items: impl Iterator<Item = &'a str>) -> String {
        self.line(&format!("[{}]", items.collect::<Vec<_>>().join(",")))
    }

    pub(super) fn line(&mut self, json: &str) -> String {
        self.checksum = checksum([self.checksum.to_le_bytes().as_slice(), json.as_bytes()]);
        format!("{:016x} {json}\n", self.checksum)
    }
}

/// Reads a file that was written in the boot `boot` or before. What stands in front of the first damage counts.
pub(super) fn decode(bytes: &[u8], boot: &str) -> Result<Content, NewerVersion> {
    let mut content = Content::default();
    let mut before = 0;
    let mut has_header = false;
    for (line, number) in bytes.split_inclusive(|byte| *byte == b'\n').zip(1..) {
        let Some(json) = checked(line, &mut before) else {
            content.damaged_at = Some(number);
            return Ok(content);
        };
        let is_read = if has_header { read_record(json, &mut content) } else { read_header(json, boot, &mut content)? };
        if !is_read {
            content.damaged_at = Some(number);
            return Ok(content);
        }
        has_header = true;
    }
    if !has_header {
        content.damaged_at = Some(1);
    }
    Ok(content)
}

/// Reads a state file, and writes what it holds as a new one; for tests/fuzz. The new file, and the line from which on the old one is damaged.
///
/// # Errors
///
/// The version of a file that is not known here.
pub fn rewrite(bytes: &[u8], boot: &str) -> Result<(String, Option<usize>), u32> {
    let content = decode(bytes, boot).map_err(|NewerVersion(version)| version)?;
    let changes = content.saved.changes().map(Item::Change);
    let rest = [content.saved.handled().map(Item::Handled), content.reserved.map(Item::Reserved)];
    let items = changes.chain(rest.into_iter().flatten()).filter_map(|item| serde_json::to_string(&item).ok());
    let mut writer = LineWriter::default();
    let mut text = writer.header(boot).unwrap_or_default();
    for item in items {
        text.push_str(&writer.record([item.as_str()].into_iter()));
    }
    Ok((text, content.damaged_at))
}

/// The JSON of a line that is as it was written.
fn checked<'a>(line: &'a [u8], before: &mut u64) -> Option<&'a [u8]> {
    let (digits, rest) = line.split_at_checked(CHECKSUM_DIGITS)?;
    let json = rest.strip_prefix(b" ")?.strip_suffix(b"\n")?;
    let sum = checksum([before.to_le_bytes().as_slice(), json]);
    if digits != format!("{sum:016x}").as_bytes() {
        return None;
    }
    *before = sum;
    Some(json)
}

fn read_header(json: &[u8], boot: &str, content: &mut Content) -> Result<bool, NewerVersion> {
    let Ok(header) = serde_json::from_slice::<Header>(json) else { return Ok(false) };
    if header.format != FORMAT {
        return Ok(false);
    }
    if header.version > VERSION {
        return Err(NewerVersion(header.version));
    }
    if header.boot != boot {
        content.saved.set_of_other_boot();
    }
    Ok(true)
}

fn read_record(json: &[u8], content: &mut Content) -> bool {
    let Some(items) = items_of(json, &mut content.left_out) else { return false };
    for item in items {
        match item {
            Item::Change(change) => content.saved.apply(change),
            Item::Handled(handled) => content.saved.set_handled(handled),
            Item::Reserved(reserved) => content.reserved = Some(reserved),
        }
    }
    true
}

/// The items of a record, without those of kinds that are not known here: a later version has written them before this one was installed again.
/// None: it is no record.
fn items_of(json: &[u8], left_out: &mut usize) -> Option<Vec<Item>> {
    if let Ok(items) = serde_json::from_slice(json) {
        return Some(items);
    }
    let mut known = Vec::new();
    for item in serde_json::from_slice::<Vec<Value>>(json).ok()? {
        if is_unknown(&item) {
            *left_out += 1;
        } else {
            known.push(serde_json::from_value(item).ok()?);
        }
    }
    Some(known)
}

/// Whether a later version has another kind of item, or of part of a job's state.
fn is_unknown(item: &Value) -> bool {
    let kind = |value: &Value| value.as_object().and_then(|object| object.keys().next().cloned());
    match kind(item).as_deref() {
        Some("change") => item
            .pointer("/change/part")
            .and_then(|part| part.as_str().map(str::to_owned).or_else(|| kind(part)))
            .is_some_and(|part| !StateChange::PARTS.contains(&part.as_str())),
        Some("handled" | "reserved") | None => false,
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = "4e3f27bb-1b62-4f7a-8d52-0123456789ab";

    fn first_seen(job: &str, at: i64) -> String {
        format!(r#"{{"change":{{"job":"{job}","part":{{"first-seen":[7,{at}]}}}}}}"#)
    }

    /// A small file, and what each number of its whole lines holds.
    fn file() -> (Vec<u8>, Vec<Content>) {
        let mut writer = LineWriter::default();
        let records = [
            vec![first_seen("alice:a", 1)],
            vec![first_seen("alice:a", 2), first_seen("bob:b", 3), r#"{"handled":60}"#.to_owned()],
            vec![r#"{"reserved":100000}"#.to_owned()],
            vec![
                r#"{"change":{"job":"alice:a","part":{"first-seen":null}}}"#.to_owned(),
                r#"{"handled":120}"#.to_owned(),
            ],
        ];
        let mut bytes = writer.header(BOOT).unwrap().into_bytes();
        let mut contents = vec![Content::default(), decode(&bytes, BOOT).unwrap()];
        for record in &records {
            bytes.extend(writer.record(record.iter().map(String::as_str)).into_bytes());
            contents.push(decode(&bytes, BOOT).unwrap());
        }
        assert!(contents.iter().skip(1).all(|content| content.damaged_at.is_none()));
        (bytes, contents)
    }

    fn whole_lines(bytes: &[u8]) -> usize {
        bytes.iter().filter(|byte| **byte == b'\n').count()
    }

    #[test]
    fn what_only_a_later_version_knows_is_left_out_and_the_rest_is_used() {
        let mut writer = LineWriter::default();
        let mut text = writer.header(BOOT).unwrap();
        let items = [
            r#"{"change":{"job":"alice:a","part":{"later":{"x":[1]}}}}"#.to_owned(),
            r#"{"change":{"job":"alice:a","part":"nothing"}}"#.to_owned(),
            r#"{"later":5}"#.to_owned(),
            first_seen("alice:a", 1),
        ];
        text += &writer.record(items.iter().map(String::as_str));
        text += &writer.record([r#"{"handled":60}"#].into_iter());
        let content = decode(text.as_bytes(), BOOT).unwrap();
        assert_eq!((content.left_out, content.damaged_at, content.saved.len()), (3, None, 1));
        assert_eq!(content.saved.handled(), Some(Timestamp(60)));
        for wrong in [r#"{"change":{"job":"alice:a","part":{"first-seen":"x"}}}"#, r#"{"handled":"x"}"#, "5"] {
            let mut writer = LineWriter::default();
            let text = writer.header(BOOT).unwrap() + &writer.record([wrong].into_iter());
            assert_eq!(decode(text.as_bytes(), BOOT).unwrap().damaged_at, Some(2), "{wrong}");
        }
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let (_, contents) = file();
        let last = contents.last().unwrap();
        assert_eq!((last.saved.len(), last.reserved), (1, Some(RunId(100_000))));
        let mut expected = SavedState::default();
        expected.apply(serde_json::from_str(r#"{"job":"bob:b","part":{"first-seen":[7,3]}}"#).unwrap());
        expected.set_handled(Timestamp(120));
        assert_eq!(last.saved, expected);
    }

    #[test]
    fn a_file_that_was_cut_anywhere_has_what_its_whole_lines_hold() {
        let (bytes, contents) = file();
        for length in 0..bytes.len() {
            let cut = &bytes[..length];
            let lines = whole_lines(cut);
            let found = decode(cut, BOOT).unwrap();
            let is_whole = length > 0 && cut.ends_with(b"\n");
            assert_eq!(found.damaged_at, (!is_whole).then_some(lines + 1), "{length} bytes");
            assert_eq!(Content { damaged_at: None, ..found }, contents[lines], "{length} bytes");
        }
    }

    #[test]
    fn a_file_with_a_flipped_bit_has_what_the_lines_before_it_hold() {
        let (bytes, contents) = file();
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[position] ^= 1 << bit;
                let lines = whole_lines(&bytes[..position]);
                let found = decode(&flipped, BOOT).unwrap();
                assert_eq!(found.damaged_at, Some(lines + 1), "bit {bit} of byte {position}");
                assert_eq!(Content { damaged_at: None, ..found }, contents[lines], "bit {bit} of byte {position}");
            }
        }
    }

    #[test]
    fn lines_in_another_order_do_not_count() {
        let (bytes, contents) = file();
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        let found = decode(&[lines[0], lines[2], lines[1]].concat(), BOOT).unwrap();
        assert_eq!((found.damaged_at, found.saved), (Some(2), contents[1].saved.clone()));
    }

    #[test]
    fn a_newer_version_and_another_boot_are_told() {
        let mut writer = LineWriter::default();
        let newer = writer.line(r#"{"format":"cronwheel state","version":2,"more":[]}"#);
        assert_eq!(decode(newer.as_bytes(), BOOT), Err(NewerVersion(2)));
        let mut expected = SavedState::default();
        assert_eq!(decode(writer.header(BOOT).unwrap().as_bytes(), BOOT).unwrap().saved, expected);
        expected.set_of_other_boot();
        assert_eq!(decode(writer.header(BOOT).unwrap().as_bytes(), "another").unwrap().saved, expected);
    }
}
