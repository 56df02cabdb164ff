//! Any bytes as the state file of the daemon. An input is the text of the file's records, one a line; the checksums are put in front of them here, so
//! that what is inside is read, too. What a file holds can be written as a new file that holds the same, damage is found at its line, and what
//! stands in front of it counts.

use super::input::Input;
use cronwheel::daemon::rewrite_state;
use cronwheel::sys::record_file::checksum;

const BOOT: &str = "4e3f27bb-1b62-4f7a-8d52-0123456789ab";

pub fn run(input: &[u8]) {
    // As it is, which is hardly ever a file.
    let _ = rewrite_state(input, BOOT);
    let mut input = Input(input);
    let (damage, bits) = (input.byte(), input.byte());
    let header = format!(r#"{{"format":"cronwheel state","version":1,"boot":"{BOOT}"}}"#);
    let lines: Vec<&[u8]> = input.0.split(|byte| *byte == b'\n').collect();
    let with_header = bits & 1 == 0;
    let records: Vec<&[u8]> = Some(header.as_bytes()).filter(|_| with_header).into_iter().chain(lines).collect();
    let file = file_of(&records);
    let (text, damaged_at) = match rewrite_state(&file, BOOT) {
        Ok(found) => found,
        Err(version) => {
            assert!(version > 1 && !with_header);
            return;
        }
    };
    assert!(damaged_at.is_none_or(|line| (1..=records.len()).contains(&line)));
    assert_eq!(rewrite_state(text.as_bytes(), BOOT), Ok((text.clone(), None)), "written again, it is another");
    // The records in front of the damage are what counts.
    if let Some(line) = damaged_at.filter(|line| *line > 1) {
        assert_eq!(rewrite_state(&file_of(&records[..line - 1]), BOOT), Ok((text, None)));
    }
    // A byte is changed.
    let mut changed = file;
    let at = usize::from(damage) * 7 % changed.len();
    let line = changed[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
    changed[at] ^= 1 << (bits >> 5);
    match rewrite_state(&changed, BOOT) {
        Ok((_, damaged_at)) => assert!(damaged_at.is_some_and(|found| found <= line), "the damage is not found"),
        Err(_) => assert!(!with_header),
    }
}

/// A file of these records.
fn file_of(records: &[&[u8]]) -> Vec<u8> {
    let (mut file, mut before) = (Vec::new(), 0_u64);
    for json in records {
        before = checksum([before.to_le_bytes().as_slice(), json]);
        file.extend_from_slice(format!("{before:016x} ").as_bytes());
        file.extend_from_slice(json);
        file.push(b'\n');
    }
    file
}
