//! Any bytes as the journal of an executor. An input is a list of records without their lengths and checksums, which are put in front of them here.
//! A journal that is compacted has the same runs, and of a damaged one the records in front of the damage count.

use super::input::Input;
use cronwheel::executor::{JournalContent, JournalError, KEPT_STARTS, compact_journal, read_journal};
use cronwheel::sys::record_file::checksum;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::Write as _;

const BOOT: &str = "4e3f27bb-1b62-4f7a-8d52-0123456789ab";
const MOST_FOLLOW_UPS: usize = 5_000;

pub fn run(input: &[u8]) {
    // As it is, which is hardly ever a journal.
    if let Ok(content) = read_journal(&file_of(&[input]), BOOT, 0) {
        assert!(content.is_damaged || content.is_of_another_boot || content.runs.is_empty() || input.len() > 48);
    }
    let mut input = Input(input);
    let (now, damage, bit) = (i64::from(input.number()), usize::from(input.byte()), input.byte() % 8);
    let mut parts = vec![header()];
    let mut records = 0;
    while !input.0.is_empty() {
        let length = usize::from(input.byte());
        let (record, rest) = input.0.split_at(length.min(input.0.len()));
        input.0 = rest;
        parts.push(framed(record));
        records += 1;
    }
    let bytes = parts.concat();
    let content = read(&bytes, now);
    assert!(!content.is_of_another_boot && content.runs.len() <= records);
    assert!(content.follow_ups.len() <= records.min(MOST_FOLLOW_UPS));
    assert!(content.follow_ups.iter().all(|told| told.ended_at > now - KEPT_STARTS));
    // Compacted, it has the runs that are still needed.
    if !content.is_damaged {
        let compacted = compact_journal(file_of(&[&bytes]), BOOT, now).expect("a journal");
        let again = read(&compacted, now);
        assert!(!again.is_damaged && again.runs.len() <= content.runs.len());
        let is_needed = |run: &cronwheel::executor::JournaledRun| {
            !run.is_delivered || run.mail.is_none() || run.begun_at > now - KEPT_STARTS
        };
        for (id, run) in &content.runs {
            let found = again.runs.get(id);
            assert!(found.is_some() || !is_needed(run), "{run:?} is lost");
            if let Some(found) = found {
                let end =
                    |run: &cronwheel::executor::JournaledRun| (run.result.clone(), run.is_delivered, run.mail.clone());
                assert_eq!((end(found), &found.job, found.begun_at), (end(run), &run.job, run.begun_at));
            }
        }
        assert_eq!(again.follow_ups, content.follow_ups);
        assert_eq!(compact_journal(file_of(&[&compacted]), BOOT, now).expect("a journal"), compacted);
    }
    // A damaged record, and what comes behind it, does not count.
    let at = 48 + damage * 13;
    if at < bytes.len() && at - 48 >= 2 {
        let mut changed = bytes;
        changed[at] ^= 1 << bit;
        let found = read(&changed, now);
        assert!(found.runs.len() <= records);
    }
    assert!(matches!(read_journal(&file_of(&[b"cwruns\0\x02", &[0; 100]]), BOOT, now), Err(JournalError::Foreign)));
}

fn read(bytes: &[u8], now: i64) -> JournalContent {
    read_journal(&file_of(&[bytes]), BOOT, now).expect("a journal of this boot")
}

fn header() -> Vec<u8> {
    let mut header = b"cwruns\0\x01".to_vec();
    header.extend_from_slice(BOOT.as_bytes());
    header.resize(48, 0);
    header
}

fn framed(record: &[u8]) -> Vec<u8> {
    let sum = checksum([record]) as u32;
    [&(record.len() as u16).to_le_bytes()[..], &sum.to_le_bytes(), record].concat()
}

/// A file without a name that has these bytes.
pub fn file_of(parts: &[&[u8]]) -> File {
    let mut file = File::from(memfd_create(c"fuzz", MFdFlags::MFD_CLOEXEC).expect("a file in memory"));
    parts.iter().for_each(|part| file.write_all(part).expect("memory"));
    file
}
