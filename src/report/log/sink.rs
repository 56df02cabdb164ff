//! The queue in front of the log's destination: a record is written at once, queued within bounds, or counted as lost.

use super::destination::{Destination, SendResult};
use crate::sys::poll::Poll;
use std::collections::VecDeque;
use std::io;

/// The maximum number of queued records.
const MOST_RECORDS: usize = 4096;
/// The maximum total size of queued records in bytes.
const MOST_BYTES: usize = 1 << 20;
/// Bounds of the retry interval in milliseconds. It doubles as long as the reader accepts nothing.
const SOONEST_MS: i64 = 20;
const LATEST_MS: i64 = 1000;

/// A destination for records, with its queue.
#[derive(Debug)]
pub(super) struct Sink {
    destination: Destination,
    /// Becomes readable when the destination is writable and records are queued. Created when it is first asked for.
    writable: Option<Poll>,
    /// Set when the destination was reported as writable but accepted nothing. Then only the timed retry is used.
    is_spurious: bool,
    queue: VecDeque<Vec<u8>>,
    queued_bytes: usize,
    lost: u64,
    /// Milliseconds until writing queued records is to be retried. Doubled as long as nothing is accepted.
    retry_ms: i64,
}

impl Sink {
    /// A sink with an empty queue.
    pub(super) fn new(destination: Destination) -> Sink {
        let queue = VecDeque::new();
        Sink { destination, writable: None, is_spurious: false, queue, queued_bytes: 0, lost: 0, retry_ms: SOONEST_MS }
    }

    /// Switches to another destination. The queue must be empty.
    pub(super) fn move_to(&mut self, destination: Destination) {
        self.destination = destination;
    }

    /// A descriptor that becomes readable when queued records can be written. Not every destination supports this, so
    /// [`Sink::retry_ms`] applies too.
    pub(super) fn writable(&mut self) -> io::Result<&Poll> {
        let writable = match self.writable.take() {
            Some(writable) => writable,
            None => Poll::new()?,
        };
        Ok(self.writable.insert(writable))
    }

    /// Whether records are queued, or lost records are not reported yet.
    pub(super) fn waits(&self) -> bool {
        !self.queue.is_empty() || self.lost > 0
    }

    /// Milliseconds until writing queued records is to be retried.
    pub(super) fn retry_ms(&self) -> i64 {
        self.retry_ms
    }

    /// Writes one record, or appends it to the queue, or counts it as lost.
    pub(super) fn send(&mut self, mut line: Vec<u8>) {
        if self.queue.is_empty() {
            match self.destination.try_send(&line) {
                SendResult::Whole => return,
                SendResult::Part(written) => drop(line.drain(..written)),
                SendResult::NotNow => {}
                SendResult::Never => {
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
            self.watch_writable();
        }
    }

    /// Writes queued records until the queue is empty or the reader accepts no more.
    pub(super) fn flush(&mut self) {
        let before = self.queued_bytes;
        // Deregister first: a descriptor that is closed while registered could not be removed any more.
        self.unwatch_writable();
        self.write_queue();
        let goes = self.queued_bytes < before;
        self.is_spurious &= !goes;
        self.retry_ms = if goes { SOONEST_MS } else { (self.retry_ms * 2).min(LATEST_MS) };
        self.watch_writable();
    }

    /// The same after the destination was reported as writable.
    pub(super) fn handle_writable(&mut self) {
        // A write since the report may have used the room. If the destination still reports as writable but accepts nothing,
        // the report is spurious.
        let is_ready = |writable: &Poll| writable.wait_for_any(Some(0)).is_ok_and(|ready| ready);
        self.is_spurious = self.writable.as_ref().is_some_and(is_ready);
        self.flush();
    }

    fn watch_writable(&self) {
        if let (Some(writable), false, false) = (&self.writable, self.is_spurious, self.queue.is_empty())
            && let Some(descriptor) = self.destination.descriptor()
        {
            // A regular file cannot be registered with epoll and is always writable.
            let _ = writable.add_for_writing(descriptor, 0);
        }
    }

    fn unwatch_writable(&self) {
        if let (Some(writable), Some(descriptor)) = (&self.writable, self.destination.descriptor()) {
            // It may not be registered.
            let _ = writable.remove(descriptor);
        }
    }

    fn write_queue(&mut self) {
        while let Some(line) = self.queue.front_mut() {
            match self.destination.try_send(line) {
                SendResult::Whole => {
                    self.queued_bytes -= line.len();
                    self.queue.pop_front();
                }
                SendResult::Part(written) => {
                    self.queued_bytes -= written;
                    line.drain(..written);
                }
                SendResult::NotNow => return,
                SendResult::Never => {
                    self.lost += 1;
                    self.queued_bytes -= line.len();
                    self.queue.pop_front();
                }
            }
        }
    }

    /// The number of lost records, once the queue is empty; resets the counter.
    pub(super) fn take_lost(&mut self) -> Option<u64> {
        (self.queue.is_empty() && self.lost > 0).then(|| std::mem::take(&mut self.lost))
    }

    /// Closes the connection and connects again.
    pub(super) fn reopen(&mut self) {
        self.unwatch_writable();
        self.destination.reopen();
        self.watch_writable();
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
            assert!(!is_writable(&sink), "nobody waits for it, or there is none");
            sink.send(format!("{sent}").into_bytes());
            sent += 1;
        }
        let mut lines = Vec::new();
        while sink.waits() {
            assert!(!is_writable(&sink));
            lines.extend(heard(&reader));
            assert!(is_writable(&sink));
            sink.handle_writable();
        }
        assert!(!is_writable(&sink));
        lines.extend(heard(&reader));
        assert!(lines.into_iter().eq((0..sent).map(|number| number.to_string())));
    }

    /// A sink with a readiness descriptor and `waiting` queued records.
    fn full(path: &PathBuf, waiting: usize) -> Sink {
        let mut sink = Sink::new(Destination::syslog(path));
        sink.writable().unwrap();
        while sink.queue.len() < waiting {
            sink.send(b"line".to_vec());
        }
        sink
    }

    fn is_writable(sink: &Sink) -> bool {
        sink.writable.as_ref().unwrap().wait_for_any(Some(0)).unwrap()
    }

    #[test]
    fn room_that_was_taken_before_it_was_heard_of_is_waited_for_again() {
        let (_dir, path, reader) = socket();
        let mut sink = full(&path, 1000);
        heard(&reader);
        assert!(is_writable(&sink));
        sink.flush();
        assert!(!sink.queue.is_empty(), "more than the reader takes at once");
        sink.handle_writable();
        heard(&reader);
        assert!(is_writable(&sink));
    }

    #[test]
    fn room_that_is_none_is_asked_for_by_time_until_something_goes() {
        let (_dir, path, reader) = socket();
        let mut sink = full(&path, 2);
        let (liar, _peer) = UnixDatagram::pair().unwrap();
        sink.writable().unwrap().add_for_writing(&liar, 0).unwrap();
        sink.handle_writable();
        sink.writable().unwrap().remove(&liar).unwrap();
        heard(&reader);
        assert!(!is_writable(&sink), "it is not waited for");
        sink.flush();
        assert!(sink.queue.is_empty() && !sink.is_spurious);
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
