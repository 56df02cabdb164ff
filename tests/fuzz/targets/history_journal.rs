//! Any bytes as the journal of the history. An input is a list of events in JSON, each with the bytes beside it. What is appended is what is read, in
//! any portions; a file that ends in the middle, or that has a changed byte, keeps the events in front of that; users cannot fill it.

use super::executor_journal::file_of;
use super::input::Input;
use cronwheel::history::event::HistoryEvent;
use cronwheel::history::journal::{Batch, FoundJournal, JournalReader, JournalWriter, JournaledEvent, Position, Share};
use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// What may wait to be applied, and a little more: ends of runs are taken in any case.
const LARGEST: u64 = 17 << 20;

pub fn run(input: &[u8]) {
    // As it is, which is hardly ever a journal.
    let any = file_of(&[input]);
    if let Some(batch) = JournalReader::new(any.try_clone().unwrap()).read(None, 100, 1 << 20).expect("a file") {
        assert!(batch.end.offset <= input.len() as u64);
    }
    JournalWriter::open(any, 5).expect("a file");

    let mut input = Input(input);
    let (cut, changed, portion) = (input.byte(), input.byte(), usize::from(input.byte()) + 1);
    let file = file_of(&[]);
    let (mut writer, found) = JournalWriter::open(file.try_clone().unwrap(), 5).expect("a file");
    assert_eq!(found, FoundJournal::New);
    let (mut appended, mut ends) = (Vec::new(), Vec::new());
    while !input.0.is_empty() {
        let line = input.until(b'\n');
        let (json, bytes) = line.split_at(line.iter().position(|byte| *byte == b'\t').unwrap_or(line.len()));
        let Ok(event) = serde_json::from_slice::<HistoryEvent>(json) else { continue };
        let share = if json.len() % 2 == 0 { Share::Root } else { Share::User(json.len() as u32) };
        writer.append(share, &event, bytes);
        writer.flush().expect("memory");
        if writer.take_dropped() == 0 {
            appended.push(JournaledEvent { event: Some(event), bytes: bytes.to_vec() });
            ends.push(file.metadata().unwrap().len());
        }
        assert!(writer.waiting() <= LARGEST);
    }
    assert_eq!(read_all(&file, portion), appended);
    let length = file.metadata().unwrap().len();

    // It ends in the middle: what is in front of that counts, and is gone on with.
    let part = 32 + u64::from(cut) * 31 % (length - 31);
    let whole = bytes_of(&file);
    let shorter = file_of(&[&whole[..part as usize]]);
    let complete = ends.iter().filter(|end| **end <= part).count();
    let (mut again, found) = JournalWriter::open(shorter.try_clone().unwrap(), 5).expect("a file");
    assert_eq!(found, FoundJournal::Earlier);
    let last = HistoryEvent::DaemonEnded { at_ms: 7 };
    again.append(Share::Root, &last, b"");
    again.flush().expect("memory");
    let mut wanted = appended[..complete].to_vec();
    wanted.push(JournaledEvent { event: Some(last), bytes: Vec::new() });
    assert_eq!(read_all(&shorter, portion), wanted);

    // A byte is changed: the event that has it and those behind it do not count.
    let at = u64::from(changed) * 37 % length;
    let mut other = whole;
    other[at as usize] ^= 0x10;
    let other = file_of(&[&other]);
    match JournalReader::new(other.try_clone().unwrap()).read(None, usize::MAX, usize::MAX).expect("a file") {
        None => assert!(at < 32, "the header is damaged"),
        Some(batch) => {
            let intact = ends.iter().filter(|end| **end <= at).count();
            assert!(at >= 32 && batch.events.len() == intact && batch.has_trailing_garbage);
        }
    }
}

fn bytes_of(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// All events, read so many at a time.
fn read_all(file: &File, portion: usize) -> Vec<JournaledEvent> {
    let reader = JournalReader::new(file.try_clone().unwrap());
    let (mut events, mut from): (Vec<JournaledEvent>, Option<Position>) = (Vec::new(), None);
    loop {
        let batch = reader.read(from, portion, 1 << 20).expect("a file").expect("a journal");
        let Batch { events: mut more, end, has_trailing_garbage } = batch;
        assert!(!has_trailing_garbage && more.len() <= portion);
        if more.is_empty() {
            return events;
        }
        events.append(&mut more);
        from = Some(end);
    }
}
