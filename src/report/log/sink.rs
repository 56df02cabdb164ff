//! Where the bytes of a log go: a datagram socket or standard error, neither of which may ever hold us up.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

/// Most records that wait for a log that does not take them.
const MOST_RECORDS: usize = 4096;
/// Most bytes that wait for it.
const MOST_BYTES: usize = 1 << 20;
/// What of a record is sent when the whole is more than the socket takes.
const CUT: usize = 8192;
/// A pipe that reports room takes this much without blocking (POSIX: PIPE_BUF, here Linux's).
const PIECE: usize = 4096;
/// How soon a reader that was behind is tried again, and at most how late one that takes nothing at all; milliseconds.
const SOONEST_MS: i64 = 20;
const LATEST_MS: i64 = 1000;

/// A place for lines, with its queue.
#[derive(Debug)]
pub(super) struct Sink {
    place: Place,
    queue: VecDeque<Vec<u8>>,
    queued_bytes: usize,
    lost: u64,
    /// Milliseconds until what waits is to be tried again: doubled as long as nothing goes.
    retry_ms: i64,
}

#[derive(Debug)]
enum Place {
    Socket { path: PathBuf, connection: Option<UnixDatagram> },
    Stderr,
}

/// What became of one try.
enum Sent {
    Whole,
    /// So many bytes of it.
    Part(usize),
    /// Not now: the reader is behind, or there is none.
    NotNow,
}

impl Sink {
    /// Datagrams to that socket; it need not be there yet.
    pub(super) fn to_socket(path: &str) -> Sink {
        Sink::new(Place::Socket { path: path.into(), connection: connect(path.as_ref()).ok() })
    }

    /// Lines on standard error.
    pub(super) fn to_stderr() -> Sink {
        Sink::new(Place::Stderr)
    }

    fn new(place: Place) -> Sink {
        Sink { place, queue: VecDeque::new(), queued_bytes: 0, lost: 0, retry_ms: SOONEST_MS }
    }

    /// Whether there is a reader.
    pub(super) fn answers(&self) -> bool {
        match &self.place {
            Place::Socket { connection, .. } => connection.is_some(),
            Place::Stderr => true,
        }
    }

    /// Whether something waits to be written or told.
    pub(super) fn waits(&self) -> bool {
        !self.queue.is_empty() || self.lost > 0
    }

    /// In how many milliseconds what waits is to be tried again.
    pub(super) fn retry_ms(&self) -> i64 {
        self.retry_ms
    }

    /// Writes one line now, or keeps it behind those that wait already, or counts it as lost.
    pub(super) fn send(&mut self, mut line: Vec<u8>) {
        if self.queue.is_empty() {
            match self.place.try_send(&line) {
                Sent::Whole => return,
                Sent::Part(written) => drop(line.drain(..written)),
                Sent::NotNow => {}
            }
        }
        if self.queue.len() >= MOST_RECORDS || self.queued_bytes + line.len() > MOST_BYTES {
            self.lost += 1;
            return;
        }
        self.queued_bytes += line.len();
        self.queue.push_back(line);
    }

    /// Writes what waits until it is done or the reader takes no more.
    pub(super) fn flush(&mut self) {
        let before = self.queued_bytes;
        self.write_queue();
        self.retry_ms = if self.queued_bytes < before { SOONEST_MS } else { (self.retry_ms * 2).min(LATEST_MS) };
    }

    fn write_queue(&mut self) {
        while let Some(line) = self.queue.front_mut() {
            match self.place.try_send(line) {
                Sent::Whole => {
                    self.queued_bytes -= line.len();
                    self.queue.pop_front();
                }
                Sent::Part(written) => {
                    self.queued_bytes -= written;
                    line.drain(..written);
                }
                Sent::NotNow => return,
            }
        }
    }

    /// How many lines were lost, once everything that waited is out; then counting begins anew.
    pub(super) fn take_lost(&mut self) -> Option<u64> {
        (self.queue.is_empty() && self.lost > 0).then(|| std::mem::take(&mut self.lost))
    }

    /// Forgets the connection and makes another.
    pub(super) fn reopen(&mut self) {
        if let Place::Socket { path, connection } = &mut self.place {
            *connection = connect(path).ok();
        }
    }
}

impl Place {
    fn try_send(&mut self, line: &[u8]) -> Sent {
        match self {
            Place::Socket { path, connection } => {
                if let Some(socket) = connection {
                    match send_datagram(socket, line) {
                        Ok(()) => return Sent::Whole,
                        Err(why) if is_full(&why) => return Sent::NotNow,
                        // The reader is gone, perhaps restarted: one new try.
                        Err(_) => *connection = None,
                    }
                }
                *connection = connect(path).ok();
                match connection.as_ref().map(|socket| send_datagram(socket, line)) {
                    Some(Ok(())) => Sent::Whole,
                    Some(Err(_)) | None => Sent::NotNow,
                }
            }
            Place::Stderr => write_piecewise(line),
        }
    }
}

fn connect(path: &std::path::Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    Ok(socket)
}

fn send_datagram(socket: &UnixDatagram, line: &[u8]) -> io::Result<()> {
    match socket.send(line) {
        Err(why) if why.raw_os_error() == Some(libc::EMSGSIZE) => {
            socket.send(line.get(..CUT).unwrap_or(line)).map(drop)
        }
        sent => sent.map(drop),
    }
}

fn is_full(why: &io::Error) -> bool {
    matches!(why.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS | libc::EINTR))
}

/// Writes to standard error only what it takes without blocking. The descriptor itself must stay in blocking mode: the
/// mode belongs to the terminal or pipe, which we share with others.
fn write_piecewise(line: &[u8]) -> Sent {
    let mut stderr = io::stderr().lock();
    let mut written = 0;
    while let Some(rest) = line.get(written..).filter(|rest| !rest.is_empty()) {
        let mut room = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
        if !matches!(poll(&mut room, PollTimeout::ZERO), Ok(1)) {
            return if written == 0 { Sent::NotNow } else { Sent::Part(written) };
        }
        match stderr.write(rest.get(..PIECE).unwrap_or(rest)) {
            Ok(bytes) => written += bytes,
            // Nobody can be told any more (EPIPE, EIO of a terminal that was hung up): the line counts as written.
            Err(why) if !is_full(&why) => return Sent::Whole,
            Err(_) => return if written == 0 { Sent::NotNow } else { Sent::Part(written) },
        }
    }
    Sent::Whole
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut sink = Sink::to_socket(path.to_str().unwrap());
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
        assert!(lines.iter().enumerate().all(|(place, line)| line == &place.to_string()), "in order, from the first");
        assert!(!sink.waits());
    }

    #[test]
    fn a_log_that_comes_later_gets_what_was_said_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut sink = Sink::to_socket(path.to_str().unwrap());
        assert!(!sink.answers());
        sink.send(b"early".to_vec());
        let reader = UnixDatagram::bind(&path).unwrap();
        reader.set_nonblocking(true).unwrap();
        sink.flush();
        assert_eq!(heard(&reader), ["early"]);
    }

    #[test]
    fn a_restarted_log_daemon_loses_nothing() {
        let (_dir, path, reader) = socket();
        let mut sink = Sink::to_socket(path.to_str().unwrap());
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

    #[test]
    fn a_record_too_long_for_a_datagram_is_cut() {
        let (_dir, path, reader) = socket();
        let mut sink = Sink::to_socket(path.to_str().unwrap());
        sink.send(vec![b'x'; 4 << 20]);
        assert_eq!(heard(&reader), ["x".repeat(CUT)]);
    }
}
