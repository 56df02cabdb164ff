//! Records on their way to the log: written at once, or kept in a bounded queue, or counted as lost.

use super::destination::{Destination, Sent};
use crate::sys::poll::Poll;
use std::collections::VecDeque;
use std::io;

/// Most records that wait for a log that does not take them.
const MOST_RECORDS: usize = 4096;
/// Most bytes that wait for it.
const MOST_BYTES: usize = 1 << 20;
/// How soon a reader that was behind is tried again, and at most how late one that takes nothing at all; milliseconds.
const SOONEST_MS: i64 = 20;
const LATEST_MS: i64 = 1000;

/// A place for records, with its queue.
#[derive(Debug)]
pub(super) struct Sink {
    destination: Destination,
    /// Readable when the place has room for what waits, if anybody wants to know.
    room: Option<Poll>,
    /// Whether it said so and yet nothing went: then only time helps.
    room_lies: bool,
    queue: VecDeque<Vec<u8>>,
    queued_bytes: usize,
    lost: u64,
    /// Milliseconds until what waits is to be tried again: doubled as long as nothing goes.
    retry_ms: i64,
}

impl Sink {
    /// Nothing waits yet.
    pub(super) fn new(destination: Destination) -> Sink {
        let queue = VecDeque::new();
        Sink { destination, room: None, room_lies: false, queue, queued_bytes: 0, lost: 0, retry_ms: SOONEST_MS }
    }

    /// Goes on with another destination, which nothing waits for yet.
    pub(super) fn move_to(&mut self, destination: Destination) {
        self.destination = destination;
    }

    /// What becomes readable when something that waits can be written. Not every place can tell: [`Sink::retry_ms`] holds too.
    pub(super) fn room(&mut self) -> io::Result<&Poll> {
        let room = match self.room.take() {
            Some(room) => room,
            None => Poll::new()?,
        };
        Ok(self.room.insert(room))
    }

    /// Whether something waits to be written or told.
    pub(super) fn waits(&self) -> bool {
        !self.queue.is_empty() || self.lost > 0
    }

    /// In how many milliseconds what waits is to be tried again.
    pub(super) fn retry_ms(&self) -> i64 {
        self.retry_ms
    }

    /// Writes one record now, or keeps it behind those that wait already, or counts it as lost.
    pub(super) fn send(&mut self, mut line: Vec<u8>) {
        if self.queue.is_empty() {
            match self.destination.try_send(&line) {
                Sent::Whole => return,
                Sent::Part(written) => drop(line.drain(..written)),
                Sent::NotNow => {}
                Sent::Never => {
                    self.lost += 1;
                    return;
                }
            }
        }
        if self.queue.len() >= MOST_RECORDS || self.queued_bytes + line.len() > MOST_BYTES {
            self.lost += 1;
            if self.queue.is_empty() {
                self.destination.give_up_part();
            }
            return;
        }
        self.queued_bytes += line.len();
        self.queue.push_back(line);
        if self.queue.len() == 1 {
            self.watch_room();
        }
    }

    /// Writes what waits until it is done or the reader takes no more.
    pub(super) fn flush(&mut self) {
        let before = self.queued_bytes;
        // A descriptor that is closed while it is waited for could not be taken out any more.
        self.leave_room();
        self.write_queue();
        let goes = self.queued_bytes < before;
        self.room_lies &= !goes;
        self.retry_ms = if goes { SOONEST_MS } else { (self.retry_ms * 2).min(LATEST_MS) };
        self.watch_room();
    }

    /// The same when the place is said to have room.
    pub(super) fn handle_writable(&mut self) {
        // What was written since it was said may have taken it; if it is still said, something goes, or it is not true.
        let says_so = |room: &Poll| room.wait_for_any(Some(0)).is_ok_and(|ready| ready);
        self.room_lies = self.room.as_ref().is_some_and(says_so);
        self.flush();
    }

    fn watch_room(&self) {
        if let (Some(room), false, false) = (&self.room, self.room_lies, self.queue.is_empty())
            && let Some(descriptor) = self.destination.descriptor()
        {
            // A regular file cannot be waited for, and need not be.
            let _ = room.add_for_writing(descriptor, 0);
        }
    }

    fn leave_room(&self) {
        if let (Some(room), Some(descriptor)) = (&self.room, self.destination.descriptor()) {
            // It need not be there.
            let _ = room.remove(descriptor);
        }
    }

    fn write_queue(&mut self) {
        while let Some(line) = self.queue.front_mut() {
            match self.destination.try_send(line) {
                Sent::Whole => {
                    self.queued_bytes -= line.len();
                    self.queue.pop_front();
                }
                Sent::Part(written) => {
                    self.queued_bytes -= written;
                    line.drain(..written);
                }
                Sent::NotNow => return,
                Sent::Never => {
                    self.lost += 1;
                    self.queued_bytes -= line.len();
                    self.queue.pop_front();
                }
            }
        }
    }

    /// How many lines were lost, once everything that waited is out; then counting begins anew.
    pub(super) fn take_lost(&mut self) -> Option<u64> {
        (self.queue.is_empty() && self.lost > 0).then(|| std::mem::take(&mut self.lost))
    }

    /// Forgets the connection and makes another.
    pub(super) fn reopen(&mut self) {
        self.leave_room();
        self.destination.reopen();
        self.watch_room();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use std::path::PathBuf;

    fn socket() -> (tempfile::TempDir, PathBuf, UnixDatagram) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let reader = UnixDatagram::bind(&path).unwrap();
        reader.set_nonblocking(true).unwrap();
        (dir, path, reader)
    }

    fn heard(reader: &UnixDatagram) -> Vec<String> {
        let mut buffer = vec![0; 1 << 18];
        std::iter::from_fn(|| reader.recv(&mut buffer).ok().map(|n| String::from_utf8_lossy(&buffer[..n]).into_owned()))
            .collect()
    }

    #[test]
    fn a_reader_that_never_reads_costs_lines_but_no_time_and_the_loss_is_told() {
        let (_dir, path, reader) = socket();
        let mut sink = Sink::new(Destination::syslog(&path));
        let sent = MOST_RECORDS * 2;
        for number in 0..sent {
            sink.send(format!("{number}").into_bytes());
        }
        assert!(sink.waits() && sink.take_lost().is_none(), "the loss is told only after what waited");
        let mut lines = heard(&reader);
        while !sink.queue.is_empty() {
            sink.flush();
            lines.extend(heard(&reader));
        }
        let lost = sink.take_lost().unwrap();
        assert_eq!(lines.len() as u64 + lost, sent as u64);
        assert!(lines.iter().enumerate().all(|(index, line)| line == &index.to_string()), "in order, from the first");
        assert!(!sink.waits());
    }

    #[test]
    fn what_waits_is_written_as_soon_as_the_reader_makes_room() {
        let (_dir, path, reader) = socket();
        let mut sink = full(&path, 0);
        let mut sent = 0;
        while sink.queue.len() < 3 {
            assert!(!has_room(&sink), "nobody waits for it, or there is none");
            sink.send(format!("{sent}").into_bytes());
            sent += 1;
        }
        let mut lines = Vec::new();
        while sink.waits() {
            assert!(!has_room(&sink));
            lines.extend(heard(&reader));
            assert!(has_room(&sink));
            sink.handle_writable();
        }
        assert!(!has_room(&sink));
        lines.extend(heard(&reader));
        assert!(lines.into_iter().eq((0..sent).map(|number| number.to_string())));
    }

    /// A sink that can tell when there is room, with so many records that wait for it.
    fn full(path: &PathBuf, waiting: usize) -> Sink {
        let mut sink = Sink::new(Destination::syslog(path));
        sink.room().unwrap();
        while sink.queue.len() < waiting {
            sink.send(b"line".to_vec());
        }
        sink
    }

    fn has_room(sink: &Sink) -> bool {
        sink.room.as_ref().unwrap().wait_for_any(Some(0)).unwrap()
    }

    #[test]
    fn room_that_was_taken_before_it_was_heard_of_is_waited_for_again() {
        let (_dir, path, reader) = socket();
        let mut sink = full(&path, 1000);
        heard(&reader);
        assert!(has_room(&sink));
        sink.flush();
        assert!(!sink.queue.is_empty(), "more than the reader takes at once");
        sink.handle_writable();
        heard(&reader);
        assert!(has_room(&sink));
    }

    #[test]
    fn room_that_is_none_is_asked_for_by_time_until_something_goes() {
        let (_dir, path, reader) = socket();
        let mut sink = full(&path, 2);
        let (liar, _peer) = UnixDatagram::pair().unwrap();
        sink.room().unwrap().add_for_writing(&liar, 0).unwrap();
        sink.handle_writable();
        sink.room().unwrap().remove(&liar).unwrap();
        heard(&reader);
        assert!(!has_room(&sink), "it is not waited for");
        sink.flush();
        assert!(sink.queue.is_empty() && !sink.room_lies);
    }

    #[test]
    fn a_log_that_comes_later_gets_what_was_said_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut sink = Sink::new(Destination::syslog(&path));
        assert!(!sink.destination.answers());
        sink.send(b"early".to_vec());
        let reader = UnixDatagram::bind(&path).unwrap();
        reader.set_nonblocking(true).unwrap();
        sink.flush();
        assert_eq!(heard(&reader), ["early"]);
    }

    #[test]
    fn a_restarted_log_daemon_loses_nothing() {
        let (_dir, path, reader) = socket();
        let mut sink = Sink::new(Destination::syslog(&path));
        sink.send(b"one".to_vec());
        assert_eq!(heard(&reader), ["one"]);
        drop(reader);
        std::fs::remove_file(&path).unwrap();
        sink.send(b"two".to_vec());
        let reader = UnixDatagram::bind(&path).unwrap();
        reader.set_nonblocking(true).unwrap();
        sink.flush();
        sink.send(b"three".to_vec());
        assert_eq!(heard(&reader), ["two", "three"]);
    }
}
