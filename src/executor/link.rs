//! Messages over a stream socket: a length of four bytes (little endian), then the message in the format of postcard. Sending and receiving
//! never block.

use crate::crontab::LARGEST_ENVIRONMENT;
use crate::sys::error::OsError;
use crate::sys::retry::retry_on_shortage;
use crate::sys::{descriptor, files};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Maximum length of a message. The longest is the start of a job: its environment and its command, with the input behind `%`. The parser
/// bounds the environment. A line of a system table may be as long as the table.
const LONGEST: usize = LARGEST_ENVIRONMENT + LONGEST_COMMAND + OTHER_FIELDS;

/// Maximum length of a command: a system table may consist of one line, and is limited to that size.
const LONGEST_COMMAND: usize = 64 << 20;

/// Bytes for everything else in a start: names, paths and rules.
const OTHER_FIELDS: usize = 1 << 20;

/// Capacity of a new message's buffer: most are shorter.
const INITIAL_CAPACITY: usize = 128;

/// Most bytes that one system call reads.
const BYTES_PER_READ: usize = 4096;

/// Most messages that one system call sends.
const MESSAGES_PER_CALL: usize = 64;

/// Why a connection cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Reading from the socket or writing to it failed.
    #[error("using the socket: {0}")]
    Io(#[source] OsError),
    /// The bytes are no message of this type.
    #[error("reading a message: {0}")]
    Message(#[from] postcard::Error),
    /// There is no memory for a message.
    #[error("no memory for a message")]
    NoMemory,
    /// The length of a message is beyond the longest one.
    #[error("expected a message of at most {LONGEST} bytes, found one of {0} bytes")]
    Length(usize),
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> WireError {
        WireError::Io(error.into())
    }
}

/// The bytes of a message that is being written. A lack of memory does not end the process.
struct Frame {
    bytes: Vec<u8>,
    /// Bytes are missing, for which there was no memory.
    is_out_of_memory: bool,
}

impl Extend<u8> for Frame {
    fn extend<T: IntoIterator<Item = u8>>(&mut self, bytes: T) {
        let bytes = bytes.into_iter();
        let wanted = bytes.size_hint().0;
        self.is_out_of_memory = self.is_out_of_memory || self.bytes.try_reserve(wanted).is_err();
        if !self.is_out_of_memory {
            self.bytes.extend(bytes);
        }
    }
}

/// One end of the socket, with the queue of outgoing messages and the incomplete incoming ones.
#[derive(Debug)]
pub struct Link {
    socket: OwnedFd,
    /// Messages that have not been sent. `begun` bytes of the first one have been.
    outgoing: VecDeque<Vec<u8>>,
    begun: usize,
    /// How many messages have been sent in full.
    sent: u64,
    incoming: Vec<u8>,
    /// Offset of the next message in `incoming`.
    next: usize,
}

impl Link {
    /// A connection over this socket, with nothing queued.
    pub fn new(socket: OwnedFd) -> Link {
        Link { socket, outgoing: VecDeque::new(), begun: 0, sent: 0, incoming: Vec::new(), next: 0 }
    }

    /// Queues a message and returns its number. It has been sent once `Link::sent` is greater.
    ///
    /// # Errors
    ///
    /// [`WireError::Length`]: it is too long. [`WireError::NoMemory`]: there is no memory for it. The connection can still be used.
    pub fn push<T: Serialize>(&mut self, message: &T) -> Result<u64, WireError> {
        let mut frame = Frame { bytes: Vec::with_capacity(INITIAL_CAPACITY), is_out_of_memory: false };
        frame.extend([0; 4]);
        let Frame { bytes: mut frame, is_out_of_memory } = postcard::to_extend(message, frame)?;
        if is_out_of_memory {
            return Err(WireError::NoMemory);
        }
        let length = frame.len() - 4;
        let announced = u32::try_from(length).ok().filter(|_| length <= LONGEST).ok_or(WireError::Length(length))?;
        for (to, from) in frame.iter_mut().zip(announced.to_le_bytes()) {
            *to = from;
        }
        self.outgoing.push_back(frame);
        Ok(self.sent + self.outgoing.len() as u64 - 1)
    }

    /// How many messages have been sent in full since the start.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn wants_to_write(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Sends queued messages as far as that does not block, many with one system call.
    ///
    /// # Errors
    ///
    /// The socket fails. The connection is of no more use.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.wants_to_write() {
            match retry_on_shortage(|| self.send_some()) {
                Ok(count) => self.forget_sent(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn send_some(&self) -> io::Result<usize> {
        let messages = self.outgoing.iter().take(MESSAGES_PER_CALL);
        let mut pieces: Vec<IoSlice<'_>> = messages.map(|frame| IoSlice::new(frame)).collect();
        if let Some(first) = pieces.first_mut() {
            first.advance(self.begun);
        }
        descriptor::send(self.socket.as_fd(), &pieces)
    }

    fn forget_sent(&mut self, count: usize) {
        self.begun += count;
        while let Some(length) = self.outgoing.front().map(Vec::len).filter(|&length| length <= self.begun) {
            self.begun -= length;
            self.outgoing.pop_front();
            self.sent += 1;
        }
    }

    /// Reads all available bytes. False if the other side has closed the connection and everything it sent has been read. Messages that are
    /// complete can still be taken.
    ///
    /// # Errors
    ///
    /// The socket fails. The connection is of no more use.
    pub fn fill(&mut self) -> io::Result<bool> {
        loop {
            match retry_on_shortage(|| files::read_on(self.socket.as_fd(), &mut self.incoming, BYTES_PER_READ)) {
                Ok(0) => return Ok(false),
                // A shorter read has emptied the socket, and later data or the end makes it readable again.
                Ok(count) if count < BYTES_PER_READ => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the next complete message.
    ///
    /// # Errors
    ///
    /// The message cannot be decoded, or is too long.
    pub fn take<T: DeserializeOwned>(&mut self) -> Result<Option<T>, WireError> {
        let waiting = self.incoming.get(self.next..).unwrap_or(&[]);
        let Some((announced, rest)) = waiting.split_first_chunk::<4>() else {
            self.forget_taken();
            return Ok(None);
        };
        let length = u32::from_le_bytes(*announced) as usize;
        if length > LONGEST {
            return Err(WireError::Length(length));
        }
        let Some(message) = rest.get(..length) else {
            self.forget_taken();
            return Ok(None);
        };
        let message = postcard::from_bytes(message)?;
        self.next += 4 + length;
        Ok(Some(message))
    }

    /// Takes the next complete message that can be decoded. Others are skipped.
    ///
    /// # Errors
    ///
    /// The message is too long.
    pub fn take_known<T: DeserializeOwned>(&mut self) -> Result<Option<T>, WireError> {
        loop {
            let waiting = self.incoming.get(self.next..).unwrap_or(&[]);
            let length = waiting.split_first_chunk::<4>().map(|(announced, _)| u32::from_le_bytes(*announced) as usize);
            match (self.take(), length) {
                (Err(WireError::Message(_)), Some(length)) => self.next += 4 + length,
                (taken, _) => return taken,
            }
        }
    }

    fn forget_taken(&mut self) {
        self.incoming.drain(..self.next.min(self.incoming.len()));
        self.next = 0;
        if self.incoming.is_empty() {
            self.incoming = Vec::new();
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Link, Link) {
        let (a, b) = descriptor::stream_pair().unwrap();
        (Link::new(a), Link::new(b))
    }

    #[test]
    fn messages_larger_than_the_socket_takes_arrive_whole_and_in_order() {
        let (mut here, mut there) = pair();
        let long = vec![7_u8; 3 << 20];
        assert_eq!(here.push(&long).unwrap(), 0);
        assert_eq!(here.push(&vec![1_u8]).unwrap(), 1);
        let mut got: Vec<Vec<u8>> = Vec::new();
        while got.len() < 2 {
            here.flush().unwrap();
            assert!(there.fill().unwrap());
            while let Some(message) = there.take().unwrap() {
                got.push(message);
            }
        }
        assert_eq!(got, [long, vec![1]]);
        assert_eq!(here.sent(), 2);
        assert!(!here.wants_to_write() && there.incoming.capacity() == 0);
    }

    #[test]
    fn the_longest_start_of_a_crontab_can_be_sent_and_a_longer_message_is_refused() {
        use crate::scheduler::Environment;
        let limits = [&crate::profile::DEBIAN, &crate::profile::CRONIE].map(|profile| profile.dialect.limits);
        let longest = limits.iter().map(|limits| limits.system_bytes.max(limits.user_bytes)).max().unwrap();
        let value = vec![b'v'; LARGEST_ENVIRONMENT];
        let start = crate::scheduler::RunRequest {
            command: vec![b'c'; longest as usize].as_slice().into(),
            variables: Environment::of([(b"VARIABLE".as_slice(), value.as_slice())]),
            ..crate::executor::test_request::request(1)
        };
        let (mut here, mut there) = pair();
        here.push(&start).unwrap();
        let received = loop {
            here.flush().unwrap();
            assert!(there.fill().unwrap());
            if let Some(received) = there.take::<crate::scheduler::RunRequest>().unwrap() {
                break received;
            }
        };
        assert!(received == start, "the start has changed on its way");
        assert!(matches!(here.push(&vec![7_u8; LONGEST]), Err(WireError::Length(_))));
        assert!(!here.wants_to_write());
        assert_eq!(here.push(&1_u8).unwrap(), 1);
        here.flush().unwrap();
        there.fill().unwrap();
        assert_eq!(there.take::<u8>().unwrap(), Some(1));
    }

    #[test]
    fn a_message_that_finds_no_memory_is_refused_and_the_next_one_is_sent() {
        let (mut here, mut there) = pair();
        let long = vec![7_u8; 1 << 20];
        let refused = crate::sys::allocator_tests::without_large(1 << 16, || here.push(&long));
        assert!(matches!(refused, Err(WireError::NoMemory)), "{refused:?}");
        here.push(&1_u8).unwrap();
        here.flush().unwrap();
        there.fill().unwrap();
        assert_eq!(there.take::<u8>().unwrap(), Some(1));
    }

    #[test]
    fn bytes_that_find_no_memory_stay_in_the_socket() {
        let (mut here, mut there) = pair();
        let long = vec![7_u8; 100_000];
        here.push(&long).unwrap();
        here.flush().unwrap();
        let filled = crate::sys::allocator_tests::without_large(1 << 14, || there.fill());
        assert_eq!(filled.unwrap_err().kind(), io::ErrorKind::OutOfMemory);
        while there.incoming.len() < 100_000 {
            here.flush().unwrap();
            assert!(there.fill().unwrap());
        }
        assert_eq!(there.take::<Vec<u8>>().unwrap(), Some(long));
    }

    #[test]
    fn a_thousand_messages_that_go_in_a_few_pieces_arrive_in_order() {
        let (mut here, mut there) = pair();
        let all: Vec<Vec<u8>> = (0..1000_usize).map(|number| vec![number as u8; number]).collect();
        for message in &all {
            here.push(message).unwrap();
        }
        let mut got: Vec<Vec<u8>> = Vec::new();
        while got.len() < all.len() {
            here.flush().unwrap();
            assert!(there.fill().unwrap());
            while let Some(message) = there.take().unwrap() {
                got.push(message);
            }
        }
        assert_eq!((got, here.sent()), (all, 1000));
    }

    #[test]
    fn messages_that_are_not_understood_can_be_skipped() {
        let (mut here, mut there) = pair();
        for message in [&[0_u8, 1][..], &[9, 9, 9], &[], &[0, 0]] {
            descriptor::send(
                here.as_fd(),
                &[IoSlice::new(&(message.len() as u32).to_le_bytes()), IoSlice::new(message)],
            )
            .unwrap();
        }
        here.push(&Some(true)).unwrap();
        here.flush().unwrap();
        there.fill().unwrap();
        let mut taken = Vec::new();
        while let Some(message) = there.take_known::<Option<bool>>().unwrap() {
            taken.push(message);
        }
        assert_eq!(taken, [None, None, Some(true)]);
    }

    #[test]
    fn what_came_before_the_end_can_still_be_taken() {
        let (mut here, mut there) = pair();
        here.push(&5_u32).unwrap();
        here.flush().unwrap();
        drop(here);
        assert!(there.fill().unwrap());
        assert!(!there.fill().unwrap());
        assert_eq!(there.take::<u32>().unwrap(), Some(5));
        assert_eq!(there.take::<u32>().unwrap(), None);
    }

    #[test]
    fn a_peer_that_is_gone_is_an_error_and_no_signal() {
        let (mut here, there) = pair();
        drop(there);
        here.push(&1_u8).unwrap();
        assert_eq!(here.flush().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn an_absurd_length_is_refused() {
        let (here, mut there) = pair();
        descriptor::send(here.as_fd(), &[IoSlice::new(&u32::MAX.to_le_bytes())]).unwrap();
        there.fill().unwrap();
        assert!(matches!(there.take::<u8>(), Err(WireError::Length(_))));
    }
}
