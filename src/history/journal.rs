//! The journal of the history: a file in the run directory to which main appends [`HistoryEvent`]s, and from which the recorder reads them.
//!
//! It begins with a header: a mark, the generation, and the offset of the first event that is still in the file. An event is the length of its
//! JSON, the length of the bytes beside it, a checksum, the JSON, and the bytes. The checksum covers generation and offset, too, so that nothing
//! that was left from before counts. Numbers are little-endian.
//!
//! When the recorder has applied everything and the file has grown, main empties it and begins a new generation. While it never has applied
//! everything, what it has applied is cut out of the file (fallocate(2), FALLOC_FL_PUNCH_HOLE), so that the file takes no more memory than what is
//! still to be applied.
//!
//! What is still to be applied is limited. From the half on, output of jobs is left out. Users together have three quarters, one user a quarter of
//! these, so that neither can displace the events of root's jobs or of others'. For each run whose beginning is recorded there is space for its end, too,
//! so that no run stays without one.

use super::event::HistoryEvent;
use crate::sys::files;
use crate::sys::record_file::{OffsetReader, checksum, read_whole};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What may wait to be applied, in bytes.
const LARGEST: u64 = 16 << 20;
/// From here on output is left out.
const WITHOUT_OUTPUT: u64 = LARGEST / 2;
/// What all users but root may take of it.
const OF_USERS: u64 = LARGEST / 4 * 3;
/// What one of them may take of it.
const OF_ONE_USER: u64 = OF_USERS / 4;
/// So many bytes to be applied are no reason to limit single users.
const UNLIMITED: u64 = 1 << 20;
/// What is reserved for each of the two events of a run's end. Longer ones are taken all the same.
const OF_ONE_END: u64 = 512;
/// A file of this size is emptied when all of it is applied.
const EMPTIED_FROM: u64 = 1 << 20;
/// What is applied is cut out of the file in steps of this size.
const CUT_OUT_FROM: u64 = 1 << 20;

const MARK: &[u8; 8] = b"cwhist1\n";
const HEADER: u64 = 32;
const EVENT_HEADER: usize = 16;
/// No event is longer, its bytes included.
const LONGEST_EVENT: u64 = 4 << 20;

/// A position in the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The generation of the file, which is raised when the file begins anew.
    pub generation: u64,
    /// The offset in the file, in bytes.
    pub offset: u64,
}

/// The checksum of what is at a position, which it covers, too.
fn checksum_at(at: Position, [first, second]: [&[u8]; 2]) -> u64 {
    checksum([at.generation.to_le_bytes().as_slice(), at.offset.to_le_bytes().as_slice(), first, second])
}

fn number<const SIZE: usize>(bytes: &[u8], at: usize) -> Option<[u8; SIZE]> {
    bytes.get(at..at.checked_add(SIZE)?)?.try_into().ok()
}

/// The start of what is in a file: `Position { generation, offset }`. None: the file has no header, or a damaged one.
fn read_header(file: &File) -> io::Result<Option<Position>> {
    let mut header = [0; HEADER as usize];
    if !read_whole(&mut OffsetReader::new(file, 0), &mut header)? {
        return Ok(None);
    }
    let field = |at| number(&header, at).map(u64::from_le_bytes);
    let (Some(generation), Some(offset), Some(sum)) = (field(8), field(16), field(24)) else { return Ok(None) };
    let start = Position { generation, offset };
    let is_good = header.starts_with(MARK) && offset >= HEADER && sum == checksum_at(start, [MARK, &[]]);
    Ok(is_good.then_some(start))
}

fn write_header(file: &File, start: Position) -> io::Result<()> {
    let mut header = Vec::with_capacity(HEADER as usize);
    header.extend_from_slice(MARK);
    header.extend_from_slice(&start.generation.to_le_bytes());
    header.extend_from_slice(&start.offset.to_le_bytes());
    header.extend_from_slice(&checksum_at(start, [MARK, &[]]).to_le_bytes());
    file.write_all_at(&header, 0)
}

/// An event with the bytes beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct JournaledEvent {
    /// The event. None: a kind of event that only a later version knows.
    pub event: Option<HistoryEvent>,
    /// The kept output of the run that the event is about; empty for most events.
    pub bytes: Vec<u8>,
}

/// The events of one read.
#[derive(Debug)]
pub struct Batch {
    /// The events in order.
    pub events: Vec<JournaledEvent>,
    /// The place behind the last of them.
    pub end: Position,
    /// Whether bytes follow that are no event: it is being written, or damaged.
    pub has_trailing_garbage: bool,
}

/// Reads events for the recorder.
#[derive(Debug)]
pub struct JournalReader {
    file: File,
}

impl JournalReader {
    /// A reader of that file.
    pub fn new(file: File) -> JournalReader {
        JournalReader { file }
    }

    /// Reads at most that many events and about that many bytes from `from` on, or from the start of the file if that is of another generation.
    /// None: the file is being emptied.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn read(&self, from: Option<Position>, most_events: usize, most_bytes: usize) -> io::Result<Option<Batch>> {
        let Some(start) = read_header(&self.file)? else { return Ok(None) };
        let length = self.file.metadata()?.len();
        let known = from.filter(|from| from.generation == start.generation && from.offset <= length);
        let begin = known.map_or(start, |known| known.max(start));
        let mut batch = Batch { events: Vec::new(), end: begin, has_trailing_garbage: false };
        let mut bytes = 0;
        while batch.events.len() < most_events && bytes < most_bytes {
            match read_event(&self.file, batch.end, length)? {
                Found::Event { json, bytes: beside, end } => {
                    bytes += json.len() + beside.len();
                    batch.end = end;
                    batch.events.push(JournaledEvent { event: serde_json::from_slice(&json).ok(), bytes: beside });
                }
                Found::End => break,
                Found::Unreadable => {
                    batch.has_trailing_garbage = true;
                    break;
                }
            }
        }
        Ok(Some(batch))
    }
}

enum Found {
    Event { json: Vec<u8>, bytes: Vec<u8>, end: Position },
    End,
    Unreadable,
}

fn read_event(file: &File, at: Position, length: u64) -> io::Result<Found> {
    if at.offset >= length {
        return Ok(Found::End);
    }
    let mut header = [0; EVENT_HEADER];
    let mut reader = OffsetReader::new(file, at.offset);
    if !read_whole(&mut reader, &mut header)? {
        return Ok(Found::Unreadable);
    }
    let (Some(json), Some(bytes), Some(sum)) = (
        number(&header, 0).map(u32::from_le_bytes),
        number(&header, 4).map(u32::from_le_bytes),
        number(&header, 8).map(u64::from_le_bytes),
    ) else {
        return Ok(Found::Unreadable);
    };
    let size = u64::from(json) + u64::from(bytes);
    let end = at.offset + EVENT_HEADER as u64 + size;
    if size == 0 || size > LONGEST_EVENT || end > length {
        return Ok(Found::Unreadable);
    }
    let mut content = vec![0; size as usize];
    if !read_whole(&mut reader, &mut content)? {
        return Ok(Found::Unreadable);
    }
    let beside = content.split_off(json as usize);
    if sum != checksum_at(at, [&content, &beside]) {
        return Ok(Found::Unreadable);
    }
    Ok(Found::Event { json: content, bytes: beside, end: Position { offset: end, ..at } })
}

/// Whose share of the journal an event takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Share {
    /// The daemon itself, root, and the tables of the system.
    Root,
    /// The owner of a user's crontab.
    User(u32),
}

/// The space of the journal that the events of a user take.
#[derive(Clone, Copy, Debug, Default)]
struct UsedSpace {
    /// Bytes of events that were written since the recorder was last up to date.
    written: u64,
    /// Bytes that are reserved for the ends of runs.
    reserved: u64,
}

/// A run whose beginning is in the journal.
#[derive(Clone, Copy, Debug)]
struct OpenRun {
    share: Share,
    /// Whether the executor's report of its end is still to come.
    is_running: bool,
    /// Whether what the rules of its entry make of it is still to come.
    is_undecided: bool,
}

impl OpenRun {
    fn reserve(self) -> u64 {
        OF_ONE_END * (u64::from(self.is_running) + u64::from(self.is_undecided))
    }
}

/// The writing end of the journal, which main holds.
#[derive(Debug)]
pub struct JournalWriter {
    file: File,
    /// The position of the next write.
    end: Position,
    /// The offset up to which the recorder has applied events.
    applied: u64,
    /// The offset up to which applied events are removed from the file.
    cut_out: u64,
    /// Events that are not written yet.
    buffer: Vec<u8>,
    /// The number of events in `buffer`.
    buffered: u64,
    shares: HashMap<Share, UsedSpace>,
    /// Bytes that all users but root take together.
    of_users: u64,
    /// Runs whose ends are still to come.
    open_runs: HashMap<u64, OpenRun>,
    /// Bytes that are reserved for the ends of `open_runs`.
    reserved: u64,
    dropped: u64,
}

/// What a journal contained when it was opened.
#[derive(Debug, PartialEq, Eq)]
pub enum FoundJournal {
    /// The file was empty.
    New,
    /// An earlier daemon has written it.
    Earlier,
    /// It is no journal, or damaged, and must be put aside.
    Unusable,
}

impl JournalWriter {
    /// Takes an open file over: an empty one, or the one of an earlier daemon, whose events are kept. An incomplete event at its end is cut off.
    /// `now_ms` makes the number of a new generation.
    ///
    /// # Errors
    ///
    /// The file cannot be read or written.
    pub fn open(file: File, now_ms: i64) -> io::Result<(JournalWriter, FoundJournal)> {
        let length = file.metadata()?.len();
        let header = read_header(&file)?;
        let mut writer = JournalWriter {
            file,
            end: Position::default(),
            applied: HEADER,
            cut_out: HEADER,
            buffer: Vec::new(),
            buffered: 0,
            shares: HashMap::new(),
            of_users: 0,
            open_runs: HashMap::new(),
            reserved: 0,
            dropped: 0,
        };
        let found = match header {
            Some(start) => {
                let mut end = start;
                while let Found::Event { end: next, .. } = read_event(&writer.file, end, length)? {
                    end = next;
                }
                if end.offset < length {
                    writer.file.set_len(end.offset)?;
                }
                (writer.end, writer.applied, writer.cut_out) = (end, start.offset, start.offset);
                FoundJournal::Earlier
            }
            // Less than a header is what a daemon leaves that is killed while it begins a generation.
            None if length < HEADER => {
                writer.begin_generation(now_ms)?;
                FoundJournal::New
            }
            None => FoundJournal::Unusable,
        };
        Ok((writer, found))
    }

    fn begin_generation(&mut self, now_ms: i64) -> io::Result<()> {
        let generation = (self.end.generation + 1).max(now_ms.max(0).unsigned_abs());
        let start = Position { generation, offset: HEADER };
        self.file.set_len(0)?;
        write_header(&self.file, start)?;
        (self.end, self.applied, self.cut_out) = (start, HEADER, HEADER);
        self.forget_shares();
        Ok(())
    }

    /// Forgets what was taken, as the recorder is up to date. The space for the ends of running runs stays reserved.
    fn forget_shares(&mut self) {
        // Not every run has both events, and there is space for the second one now.
        let is_ended = |run: &&OpenRun| !(run.is_running && run.is_undecided);
        self.reserved -= self.open_runs.values().filter(is_ended).map(|run| run.reserve()).sum::<u64>();
        self.open_runs.retain(|_, run| !is_ended(&&*run));
        self.shares.clear();
        self.of_users = 0;
        for run in self.open_runs.values().filter(|run| run.share != Share::Root) {
            self.shares.entry(run.share).or_default().reserved += run.reserve();
            self.of_users += run.reserve();
        }
    }

    /// Has `run` be what is still to come of a run. None: nothing.
    fn set_open_run(&mut self, number: u64, run: Option<OpenRun>) {
        let before = match run {
            Some(run) => self.open_runs.insert(number, run),
            None => self.open_runs.remove(&number),
        };
        let (more, less) = (run.map_or(0, OpenRun::reserve), before.map_or(0, OpenRun::reserve));
        self.reserved = (self.reserved + more).saturating_sub(less);
        for (changed, more, less) in [(run, more, 0), (before, 0, less)] {
            let Some(OpenRun { share: share @ Share::User(_), .. }) = changed else { continue };
            let taken = self.shares.entry(share).or_default();
            taken.reserved = (taken.reserved + more).saturating_sub(less);
            self.of_users = (self.of_users + more).saturating_sub(less);
        }
    }

    /// Reserves space for the end of a run that begins, and releases the space of an end that is written.
    fn note_open_runs(&mut self, share: Share, event: &HistoryEvent) {
        let begun = |share| OpenRun { share, is_running: true, is_undecided: true };
        match event {
            HistoryEvent::RunRequested(run) => self.set_open_run(run.run, Some(begun(share))),
            // An earlier daemon has recorded their beginnings.
            HistoryEvent::DaemonStarted(daemon) => {
                daemon.live.iter().for_each(|run| self.set_open_run(*run, Some(begun(Share::Root))));
            }
            HistoryEvent::RunEnded(ended) => {
                let left = self.open_runs.get(&ended.run).map(|run| OpenRun { is_running: false, ..*run });
                self.set_open_run(ended.run, left.filter(|run| run.is_undecided));
            }
            HistoryEvent::RunDecided(decided) => {
                let left = self.open_runs.get(&decided.run).map(|run| OpenRun { is_undecided: false, ..*run });
                self.set_open_run(decided.run, left.filter(|run| run.is_running));
            }
            _ => {}
        }
    }

    /// Whether space is reserved for an event.
    fn has_reserve(&self, event: &HistoryEvent) -> bool {
        match event {
            HistoryEvent::RunEnded(ended) => self.open_runs.get(&ended.run).is_some_and(|run| run.is_running),
            HistoryEvent::RunDecided(decided) => self.open_runs.get(&decided.run).is_some_and(|run| run.is_undecided),
            _ => false,
        }
    }

    /// The file, for the recorder.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// How many bytes wait to be applied, those to be written included.
    pub fn waiting(&self) -> u64 {
        self.end.offset.saturating_sub(self.applied) + self.buffer.len() as u64
    }

    /// Whether there is space for output of jobs.
    pub fn has_room_for_output(&self) -> bool {
        self.waiting() < WITHOUT_OUTPUT
    }

    /// How many events were dropped since the last call, because there was no space for them.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Adds an event to what the next [`JournalWriter::flush`] writes, if there is space. Bytes of output are left out first.
    pub fn append(&mut self, share: Share, event: &HistoryEvent, bytes: &[u8]) {
        let is_output = !bytes.is_empty();
        if is_output && !self.has_room_for_output() {
            return;
        }
        let Ok(json) = serde_json::to_vec(event) else { return };
        let size = (EVENT_HEADER + json.len() + bytes.len()) as u64;
        let with_end = size + if matches!(event, HistoryEvent::RunRequested(_)) { 2 * OF_ONE_END } else { 0 };
        if size > LONGEST_EVENT || !(self.has_reserve(event) || self.has_room(share, with_end)) {
            self.dropped += 1;
            return;
        }
        self.note_open_runs(share, event);
        if let Share::User(_) = share {
            self.shares.entry(share).or_default().written += size;
            self.of_users += size;
        }
        let at = Position { offset: self.end.offset + self.buffer.len() as u64, ..self.end };
        // Both are below the limit of an event.
        self.buffer.extend_from_slice(&(json.len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(&checksum_at(at, [&json, bytes]).to_le_bytes());
        self.buffer.extend_from_slice(&json);
        self.buffer.extend_from_slice(bytes);
        self.buffered += 1;
    }

    fn has_room(&self, share: Share, size: u64) -> bool {
        let waiting = self.waiting() + self.reserved + size;
        if waiting > LARGEST {
            return false;
        }
        match share {
            Share::Root => true,
            Share::User(_) if waiting <= UNLIMITED => true,
            Share::User(_) => {
                let own = self.shares.get(&share).map_or(0, |taken| taken.written + taken.reserved);
                own + size <= OF_ONE_USER && self.of_users + size <= OF_USERS
            }
        }
    }

    /// Writes what was added, with one system call. Returns whether there was anything.
    ///
    /// # Errors
    ///
    /// The file system is full, or fails. What was added is dropped, and counted.
    pub fn flush(&mut self) -> io::Result<bool> {
        if self.buffer.is_empty() {
            return Ok(false);
        }
        let written = self.file.write_all_at(&self.buffer, self.end.offset);
        let length = self.buffer.len() as u64;
        self.buffer.clear();
        let count = std::mem::take(&mut self.buffered);
        // A burst may have made it large.
        self.buffer.shrink_to(64 << 10);
        match written {
            Ok(()) => {
                self.end.offset += length;
                Ok(true)
            }
            Err(why) => {
                self.dropped += count;
                // The next write goes over a part that was written. If it cannot be cut off now, its checksum shows that it is not valid.
                let _ = self.file.set_len(self.end.offset);
                Err(why)
            }
        }
    }

    /// Takes note of how far the recorder has come, and gives memory back.
    ///
    /// # Errors
    ///
    /// The file cannot be changed.
    pub fn applied(&mut self, upto: Position, now_ms: i64) -> io::Result<()> {
        if upto.generation != self.end.generation || upto.offset > self.end.offset {
            return Ok(());
        }
        self.applied = self.applied.max(upto.offset);
        if self.waiting() == 0 {
            self.forget_shares();
            if self.end.offset >= EMPTIED_FROM {
                return self.begin_generation(now_ms);
            }
        } else if self.applied - self.cut_out >= CUT_OUT_FROM {
            write_header(&self.file, Position { offset: self.applied, ..self.end })?;
            // Where that cannot be done, the file is emptied when the recorder is up to date.
            let _ = files::punch_hole(&self.file, HEADER, self.applied - HEADER);
            self.cut_out = self.applied;
        }
        Ok(())
    }

    /// Drops everything that has not been applied, because it cannot be read.
    ///
    /// # Errors
    ///
    /// The file cannot be changed.
    pub fn discard(&mut self, at: Position, now_ms: i64) -> io::Result<bool> {
        if at.generation != self.end.generation {
            return Ok(false);
        }
        self.buffer.clear();
        self.buffered = 0;
        self.begin_generation(now_ms)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> File {
        tempfile::tempfile().unwrap()
    }

    fn event(at_ms: i64) -> HistoryEvent {
        HistoryEvent::DaemonEnded { at_ms }
    }

    fn writer(file: &File) -> JournalWriter {
        JournalWriter::open(file.try_clone().unwrap(), 1).unwrap().0
    }

    fn times(batch: &Batch) -> Vec<i64> {
        let time = |event: &JournaledEvent| match event.event {
            Some(HistoryEvent::DaemonEnded { at_ms }) => at_ms,
            _ => -1,
        };
        batch.events.iter().map(time).collect()
    }

    fn read(file: &File, from: Option<Position>) -> Batch {
        JournalReader::new(file.try_clone().unwrap()).read(from, 1000, 1 << 30).unwrap().unwrap()
    }

    #[test]
    fn events_are_read_in_order_and_from_where_the_reader_was() {
        let file = file();
        let mut writer = writer(&file);
        writer.append(Share::Root, &event(1), b"");
        writer.append(Share::Root, &event(2), b"beside");
        assert_eq!(times(&read(&file, None)), [0_i64; 0]);
        assert!(writer.flush().unwrap() && !writer.flush().unwrap());
        let first = read(&file, None);
        assert_eq!((times(&first), first.events[1].bytes.as_slice()), (vec![1, 2], b"beside".as_slice()));
        writer.append(Share::Root, &event(3), b"");
        writer.flush().unwrap();
        assert_eq!(times(&read(&file, Some(first.end))), [3]);
        let other_generation = Position { generation: 77, offset: first.end.offset };
        assert_eq!(times(&read(&file, Some(other_generation))), [1, 2, 3]);
    }

    #[test]
    fn a_journal_that_is_cut_at_any_byte_keeps_the_events_before() {
        let whole = file();
        let mut writer = writer(&whole);
        let mut ends = Vec::new();
        for number in 0..5 {
            writer.append(Share::Root, &event(number), &vec![b'x'; number as usize * 3]);
            writer.flush().unwrap();
            ends.push(writer.end.offset);
        }
        let mut bytes = vec![0; writer.end.offset as usize];
        whole.read_exact_at(&mut bytes, 0).unwrap();
        for length in 0..=bytes.len() {
            let cut = file();
            cut.write_all_at(&bytes[..length], 0).unwrap();
            let complete = ends.iter().filter(|end| **end <= length as u64).count();
            let (mut again, found) = JournalWriter::open(cut.try_clone().unwrap(), 5).unwrap();
            let expected = if length < HEADER as usize { FoundJournal::New } else { FoundJournal::Earlier };
            assert_eq!(found, expected, "{length}");
            again.append(Share::Root, &event(99), b"");
            again.flush().unwrap();
            let expected: Vec<i64> = (0..complete as i64).chain([99]).collect();
            assert_eq!(times(&read(&cut, None)), expected, "{length}");
        }
    }

    #[test]
    fn a_changed_byte_ends_what_can_be_read() {
        let file = file();
        let mut writer = writer(&file);
        for number in 0..3 {
            writer.append(Share::Root, &event(number), b"abc");
        }
        writer.flush().unwrap();
        for offset in HEADER..writer.end.offset {
            let mut byte = [0];
            file.read_exact_at(&mut byte, offset).unwrap();
            file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
            let batch = read(&file, None);
            assert!(batch.has_trailing_garbage && batch.events.len() < 3, "{offset}");
            assert_eq!(times(&batch), (0..batch.events.len() as i64).collect::<Vec<_>>(), "{offset}");
            file.write_all_at(&byte, offset).unwrap();
        }
        // A damaged header is no journal.
        file.write_all_at(b"X", 3).unwrap();
        assert_eq!(JournalWriter::open(file.try_clone().unwrap(), 1).unwrap().1, FoundJournal::Unusable);
    }

    #[test]
    fn a_journal_is_emptied_when_everything_is_applied_and_it_has_grown() {
        let file = file();
        let mut writer = writer(&file);
        writer.append(Share::Root, &event(1), &vec![0; EMPTIED_FROM as usize]);
        writer.flush().unwrap();
        let batch = read(&file, None);
        writer.append(Share::Root, &event(2), b"");
        writer.flush().unwrap();
        // There is more than was applied: only that is cut out.
        writer.applied(batch.end, 5).unwrap();
        assert_eq!(times(&read(&file, None)), [2]);
        assert_eq!(times(&read(&file, Some(batch.end))), [2]);
        let (again, found) = JournalWriter::open(file.try_clone().unwrap(), 5).unwrap();
        assert_eq!((found, again.end), (FoundJournal::Earlier, writer.end));
        let batch = read(&file, Some(batch.end));
        writer.applied(batch.end, 5).unwrap();
        assert_eq!(file.metadata().unwrap().len(), HEADER);
        writer.append(Share::Root, &event(3), b"");
        writer.flush().unwrap();
        assert_eq!(times(&read(&file, Some(batch.end))), [3]);
        // An answer about an earlier generation is too late.
        writer.applied(batch.end, 5).unwrap();
        assert_eq!(writer.waiting(), writer.end.offset - HEADER);
    }

    #[test]
    fn events_that_are_discarded_do_not_count_as_dropped_later() {
        let file = file();
        let mut writer = writer(&file);
        writer.append(Share::Root, &event(1), b"");
        assert!(writer.discard(writer.end, 5).unwrap());
        assert_eq!((writer.take_dropped(), writer.buffered, writer.waiting()), (0, 0, 0));
        writer.append(Share::Root, &event(2), b"");
        assert!(writer.flush().unwrap());
        assert_eq!(times(&read(&file, None)), [2]);
    }

    #[test]
    fn a_full_journal_leaves_output_out_first_and_keeps_a_share_for_root() {
        let file = file();
        let mut writer = writer(&file);
        let piece = vec![0; 60 << 10];
        let (mut of_alice, mut of_bob) = (0, 0);
        for _ in 0..1000 {
            writer.append(Share::User(1000), &event(1), &piece);
            writer.flush().unwrap();
        }
        assert!(writer.take_dropped() > 0);
        of_alice += writer.waiting();
        assert!(of_alice <= OF_ONE_USER && of_alice > OF_ONE_USER - (1 << 17), "{of_alice}");
        for uid in 1001..1010 {
            for _ in 0..1000 {
                writer.append(Share::User(uid), &event(1), &piece);
                writer.flush().unwrap();
            }
        }
        of_bob += writer.waiting() - of_alice;
        assert!(of_bob + of_alice <= OF_USERS, "{of_bob}");
        // Output ends at the half, events without output are still written.
        assert!(!writer.has_room_for_output());
        writer.take_dropped();
        writer.append(Share::Root, &event(2), &piece);
        assert_eq!((writer.take_dropped(), writer.buffered), (0, 0));
        writer.append(Share::Root, &event(2), b"");
        assert_eq!((writer.take_dropped(), writer.buffered), (0, 1));
        writer.flush().unwrap();
        while writer.take_dropped() == 0 {
            writer.append(Share::Root, &event(2), b"");
        }
        assert!(writer.waiting() <= LARGEST);
    }

    #[test]
    fn a_full_journal_has_room_for_the_ends_of_the_runs_in_it() {
        use super::super::event::{DaemonStarted, RunDecided, RunEnded, RunRequested};
        let file = file();
        let mut writer = writer(&file);
        let begun = |run| HistoryEvent::RunRequested(Box::new(RunRequested { run, ..RunRequested::default() }));
        let ended = |run| HistoryEvent::RunEnded(Box::new(RunEnded { run, ..RunEnded::default() }));
        let decided = |run| HistoryEvent::RunDecided(RunDecided { run, ..RunDecided::default() });
        let daemon = DaemonStarted { live: vec![7], ..DaemonStarted::default() };
        writer.append(Share::Root, &HistoryEvent::DaemonStarted(daemon), b"");
        let mut run = 100;
        while writer.take_dropped() == 0 {
            run += 1;
            writer.append(Share::User(1000), &begun(run), b"");
        }
        while writer.take_dropped() == 0 {
            writer.append(Share::Root, &event(1), b"");
        }
        writer.append(Share::User(1000), &ended(run), b"");
        assert_eq!(writer.take_dropped(), 1, "its beginning had no room");
        for number in (101..run).chain([7]) {
            writer.append(Share::User(1000), &ended(number), b"");
            writer.append(Share::User(1000), &decided(number), b"");
        }
        assert_eq!((writer.take_dropped(), writer.reserved, writer.open_runs.len()), (0, 0, 0));
        assert!(writer.waiting() <= LARGEST);
        // Runs in progress keep their space when everything is applied; ended ones do not.
        writer.flush().unwrap();
        writer.applied(writer.end, 5).unwrap();
        [begun(1), begun(2), ended(2)].iter().for_each(|event| writer.append(Share::User(1000), event, b""));
        assert_eq!((writer.reserved, writer.of_users > 3 * OF_ONE_END), (3 * OF_ONE_END, true));
        writer.flush().unwrap();
        writer.applied(writer.end, 5).unwrap();
        assert_eq!((writer.reserved, writer.of_users, writer.open_runs.len()), (2 * OF_ONE_END, 2 * OF_ONE_END, 1));
    }
}
