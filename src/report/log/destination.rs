//! Where the log is written without blocking: a socket of syslog or of the journal, or standard error.

use super::journal;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, sendmsg, socket,
};
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// Bytes that are sent of a line that is too long for a datagram.
const CUT: usize = 8192;
/// Bytes that a pipe reported as writable accepts without blocking (PIPE_BUF of POSIX, Linux's value).
const PIECE: usize = 4096;

/// Where records are written, with its connection.
#[derive(Debug)]
pub(super) enum Destination {
    Socket(Socket),
    Stderr(io::Stderr),
}

/// The protocol on a socket.
#[derive(Clone, Copy, Debug)]
enum Protocol {
    /// Syslog lines: one per datagram, or on a stream each followed by a NUL.
    Syslog,
    /// The journal's native protocol, one entry per datagram.
    Journal,
}

/// A log daemon's socket and the connection to it, if there is one.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
    protocol: Protocol,
    connection: Option<Connection>,
}

#[derive(Debug)]
enum Connection {
    Datagrams(OwnedFd),
    /// `written` bytes of the current line have been sent.
    Stream {
        socket: OwnedFd,
        written: usize,
    },
}

/// The result of one attempt to send.
pub(super) enum SendResult {
    Whole,
    /// Only this many bytes were sent.
    Part(usize),
    /// The reader is behind, or there is none. A part already sent is remembered, so the same record must be sent next.
    NotNow,
    /// This record can never be sent.
    Never,
}

impl Destination {
    /// Lines to a syslog daemon's socket, which need not exist yet.
    pub(super) fn syslog(path: impl Into<PathBuf>) -> Destination {
        Destination::Socket(Socket::new(path.into(), Protocol::Syslog))
    }

    /// Entries to the journal's socket.
    pub(super) fn journal(path: impl Into<PathBuf>) -> Destination {
        Destination::Socket(Socket::new(path.into(), Protocol::Journal))
    }

    /// Whether there is a reader.
    pub(super) fn answers(&self) -> bool {
        match self {
            Destination::Socket(socket) => socket.connection.is_some(),
            Destination::Stderr(_) => true,
        }
    }

    /// The descriptor to wait for until it is writable.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Destination::Socket(socket) => match socket.connection.as_ref()? {
                Connection::Datagrams(socket) | Connection::Stream { socket, .. } => Some(socket.as_fd()),
            },
            Destination::Stderr(stderr) => Some(stderr.as_fd()),
        }
    }

    /// Closes the connection and connects again.
    pub(super) fn reopen(&mut self) {
        if let Destination::Socket(socket) = self {
            socket.connect();
        }
    }

    /// Sends as much as possible without blocking.
    pub(super) fn try_send(&mut self, record: &[u8]) -> SendResult {
        match self {
            Destination::Socket(socket) => socket.try_send(record),
            Destination::Stderr(stderr) => write_piecewise(stderr, record),
        }
    }

    /// To be called if a record that was sent in part is dropped: closes the stream, so that the next record does not follow
    /// half a line.
    pub(super) fn give_up_part(&mut self) {
        if let Destination::Socket(socket) = self
            && let Some(Connection::Stream { written: 1.., .. }) = socket.connection
        {
            socket.connection = None;
        }
    }
}

impl Socket {
    fn new(path: PathBuf, protocol: Protocol) -> Socket {
        let mut socket = Socket { path, protocol, connection: None };
        socket.connect();
        socket
    }

    fn connect(&mut self) {
        self.connection = Connection::open(&self.path).ok();
    }

    fn try_send(&mut self, record: &[u8]) -> SendResult {
        if let Some(connection) = &mut self.connection {
            match connection.send(record, self.protocol) {
                // The reader is gone and may have been restarted, so connect once more.
                Err(_) => self.connection = None,
                Ok(sent) => return sent,
            }
        }
        self.connect();
        match &mut self.connection {
            Some(connection) => connection.send(record, self.protocol).unwrap_or(SendResult::NotNow),
            None => SendResult::NotNow,
        }
    }
}

impl Connection {
    /// Tries datagrams first, as syslog(3) does; some older daemons listen for streams.
    fn open(path: &PathBuf) -> nix::Result<Connection> {
        let address = UnixAddr::new(path)?;
        let open = |kind| {
            // Non-blocking, so that connecting to a stream does not wait for the daemon.
            let socket = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
            connect(socket.as_raw_fd(), &address).map(|()| socket)
        };
        match open(SockType::Datagram) {
            Err(Errno::EPROTOTYPE) => open(SockType::Stream).map(|socket| Connection::Stream { socket, written: 0 }),
            opened => opened.map(Connection::Datagrams),
        }
    }

    /// Tries to send once. After an error the connection cannot be used any more.
    fn send(&mut self, record: &[u8], protocol: Protocol) -> nix::Result<SendResult> {
        let sent = match (self, protocol) {
            (Connection::Datagrams(socket), Protocol::Syslog) => send_line(socket, record),
            (Connection::Datagrams(socket), Protocol::Journal) => send_entry(socket, record),
            (Connection::Stream { socket, written }, Protocol::Syslog) => write_line(socket, record, written),
            // The listener is not a journal.
            (Connection::Stream { .. }, Protocol::Journal) => Ok(SendResult::Never),
        };
        match sent {
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::EINTR) => Ok(SendResult::NotNow),
            sent => sent,
        }
    }
}

fn send(socket: &OwnedFd, parts: &[&[u8]], with: Option<&OwnedFd>) -> nix::Result<usize> {
    let parts: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let descriptors: Vec<i32> = with.into_iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let rights = if with.is_some() { &rights[..] } else { &[] };
    sendmsg::<()>(socket.as_raw_fd(), &parts, rights, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT, None)
}

fn send_line(socket: &OwnedFd, line: &[u8]) -> nix::Result<SendResult> {
    match send(socket, &[line], None) {
        Err(Errno::EMSGSIZE) => send(socket, &[line.get(..CUT).unwrap_or(line)], None),
        sent => sent,
    }
    .map(|_| SendResult::Whole)
}

fn send_entry(socket: &OwnedFd, entry: &[u8]) -> nix::Result<SendResult> {
    match send(socket, &[entry], None) {
        Err(Errno::EMSGSIZE | Errno::ENOBUFS) => {
            let Ok(memory) = journal::sealed(entry) else { return Ok(SendResult::Never) };
            send(socket, &[], Some(&memory))
        }
        sent => sent,
    }
    .map(|_| SendResult::Whole)
}

/// The line and a NUL, as syslog(3) ends a record on a stream.
fn write_line(socket: &OwnedFd, line: &[u8], written: &mut usize) -> nix::Result<SendResult> {
    while *written <= line.len() {
        *written += send(socket, &[line.get(*written..).unwrap_or_default(), &[0]], None)?;
    }
    *written = 0;
    Ok(SendResult::Whole)
}

/// Writes to standard error as much as it accepts without blocking. The descriptor must stay in blocking mode, because the
/// mode belongs to the terminal or pipe, which other processes share.
fn write_piecewise(stderr: &io::Stderr, line: &[u8]) -> SendResult {
    let mut stderr = stderr.lock();
    let mut written = 0;
    while let Some(rest) = line.get(written..).filter(|rest| !rest.is_empty()) {
        let mut room = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
        if !matches!(poll(&mut room, PollTimeout::ZERO), Ok(1)) {
            return if written == 0 { SendResult::NotNow } else { SendResult::Part(written) };
        }
        match stderr.write(rest.get(..PIECE).unwrap_or(rest)) {
            Ok(bytes) => written += bytes,
            Err(why) if matches!(why.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS | libc::EINTR)) => {
                return if written == 0 { SendResult::NotNow } else { SendResult::Part(written) };
            }
            // There is no reader left (EPIPE, or EIO of a terminal that was hung up), so the line counts as written.
            Err(_) => return SendResult::Whole,
        }
    }
    SendResult::Whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::sys::socket::{ControlMessageOwned, recvmsg};
    use std::io::Read;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    fn place_for(name: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        (directory, path)
    }

    #[test]
    fn a_line_too_long_for_a_datagram_is_cut() {
        let (_directory, path) = place_for("log");
        let reader = UnixDatagram::bind(&path).unwrap();
        assert!(matches!(Destination::syslog(&path).try_send(&vec![b'x'; 4 << 20]), SendResult::Whole));
        assert_eq!(reader.recv(&mut vec![0; 1 << 16]).unwrap(), CUT);
    }

    #[test]
    fn an_entry_too_long_for_a_datagram_comes_whole_in_a_sealed_file() {
        let (_directory, path) = place_for("socket");
        let reader = UnixDatagram::bind(&path).unwrap();
        let entry = vec![b'x'; 4 << 20];
        assert!(matches!(Destination::journal(&path).try_send(&entry), SendResult::Whole));
        let mut control = nix::cmsg_space!(i32);
        let received = recvmsg::<()>(reader.as_raw_fd(), &mut [], Some(&mut control), MsgFlags::empty()).unwrap();
        let Some(ControlMessageOwned::ScmRights(numbers)) = received.cmsgs().unwrap().next() else { panic!() };
        let file = std::fs::File::open(format!("/proc/self/fd/{}", numbers[0])).unwrap();
        let seals = SealFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GET_SEALS).unwrap());
        let all = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SEAL;
        assert!(seals.contains(all), "nobody can change it any more: {seals:?}");
        let mut whole = Vec::new();
        { &file }.read_to_end(&mut whole).unwrap();
        assert!(whole == entry);
    }

    #[test]
    fn a_log_daemon_that_listens_for_a_stream_gets_lines_with_a_nul_behind_each() {
        let (_directory, path) = place_for("log");
        let listener = UnixListener::bind(&path).unwrap();
        let mut place = Destination::syslog(&path);
        let long = vec![b'x'; 4 << 20];
        assert!(matches!(place.try_send(b"one"), SendResult::Whole));
        assert!(matches!(place.try_send(&long), SendResult::NotNow), "more than the socket holds");
        let mut stream = listener.accept().unwrap().0;
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            all
        });
        for line in [&long[..], b"two"] {
            // Retry until the reader has made room.
            while !matches!(place.try_send(line), SendResult::Whole) {
                std::thread::yield_now();
            }
        }
        drop(place);
        let all = reader.join().unwrap();
        let lines: Vec<&[u8]> = all.split(|byte| *byte == 0).collect();
        assert!(lines == [b"one", &long[..], b"two", b""]);
    }

    #[test]
    fn half_a_line_never_stands_in_front_of_another() {
        let (_directory, path) = place_for("log");
        let listener = UnixListener::bind(&path).unwrap();
        let mut place = Destination::syslog(&path);
        assert!(matches!(place.try_send(&vec![b'x'; 4 << 20]), SendResult::NotNow));
        place.give_up_part();
        assert!(matches!(place.try_send(b"next"), SendResult::Whole));
        drop(place);
        let mut text = String::new();
        listener.accept().unwrap();
        listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
        assert_eq!(text, "next\0");
    }

    #[test]
    fn a_stream_daemon_that_accepts_nobody_holds_nobody_up() {
        let (_directory, path) = place_for("log");
        let _listener = UnixListener::bind(&path).unwrap();
        // At some point its backlog is full, and connecting fails at once.
        let places: Vec<Destination> = std::iter::repeat_with(|| Destination::syslog(&path)).take(6000).collect();
        assert!(places.iter().any(|place| !place.answers()) && places[0].answers());
    }
}
