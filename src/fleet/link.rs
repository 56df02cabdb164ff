//! Main's end of the socket to the agent. Nothing here waits.

use super::message::{AgentMessage, LONGEST_LINE};
use crate::sys::descriptor;
use crate::sys::error::OsError;
use crate::sys::files;
use memchr::memchr;
use serde::Serialize;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Most bytes that wait for the agent.
const MOST_QUEUED: usize = 16 << 20;
/// Bytes that are read at once.
const READ: usize = 64 << 10;

/// Why the connection cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The socket fails.
    #[error("{0}")]
    Io(#[source] OsError),
    /// The agent has ended.
    #[error("it has ended")]
    Closed,
    /// What the agent has sent is no message, or too long.
    #[error("it has sent something that is no message")]
    Malformed,
}

/// The message was not queued: too much waits, or it is too long.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// The connection between main and agent: a line of JSON for each message.
#[derive(Debug)]
pub struct Link {
    socket: OwnedFd,
    outgoing: VecDeque<Vec<u8>>,
    /// How many bytes of the first message have been sent.
    begun: usize,
    queued: usize,
    incoming: Vec<u8>,
    /// How many bytes of `incoming` have no end of a line.
    searched: usize,
}

impl Link {
    /// A connection over a socket that does not block.
    pub fn new(socket: OwnedFd) -> Link {
        Link { socket, outgoing: VecDeque::new(), begun: 0, queued: 0, incoming: Vec::new(), searched: 0 }
    }

    /// Queues a message.
    ///
    /// # Errors
    /// The message is not queued.
    pub fn push<T: Serialize>(&mut self, message: &T) -> Result<(), Full> {
        let mut line = serde_json::to_vec(message).map_err(|_| Full)?;
        line.push(b'\n');
        if line.len() > LONGEST_LINE || self.queued + line.len() > MOST_QUEUED {
            return Err(Full);
        }
        self.queued += line.len();
        self.outgoing.push_back(line);
        Ok(())
    }

    /// Sends what the socket takes.
    ///
    /// # Errors
    /// The socket fails.
    pub fn flush(&mut self) -> Result<(), LinkError> {
        while let Some(first) = self.outgoing.front() {
            let rest = first.get(self.begun..).unwrap_or_default();
            match descriptor::send(self.socket.as_fd(), &[IoSlice::new(rest)]) {
                Ok(count) if count < rest.len() => self.begun += count,
                Ok(_) => {
                    self.queued = self.queued.saturating_sub(first.len());
                    self.outgoing.pop_front();
                    self.begun = 0;
                }
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(LinkError::Io(why.into())),
            }
        }
        Ok(())
    }

    /// Whether something waits to be sent.
    pub fn wants_to_write(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Reads once what has arrived, and returns the messages that are complete.
    ///
    /// # Errors
    /// The connection is of no use any more. Messages that came before are lost, as the end of the connection voids them.
    pub fn receive(&mut self) -> Result<Vec<AgentMessage>, LinkError> {
        match files::read_on(self.socket.as_fd(), &mut self.incoming, READ) {
            Ok(0) => return Err(LinkError::Closed),
            Ok(_) => {}
            Err(why) if matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(why) => return Err(LinkError::Io(why.into())),
        }
        let mut messages = Vec::new();
        let mut begin = 0;
        while let Some(length) = memchr(b'\n', self.incoming.get(self.searched..).unwrap_or_default()) {
            let end = self.searched + length;
            let line = self.incoming.get(begin..end).unwrap_or_default();
            messages.push(serde_json::from_slice(line).map_err(|_| LinkError::Malformed)?);
            begin = end + 1;
            self.searched = begin;
        }
        self.incoming.drain(..begin.min(self.incoming.len()));
        self.searched = self.incoming.len();
        if self.incoming.len() > LONGEST_LINE {
            return Err(LinkError::Malformed);
        }
        Ok(messages)
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
    use crate::fleet::message::AgentRequest;

    #[test]
    fn messages_arrive_whole_and_in_order_however_they_are_cut() {
        let (ours, theirs) = descriptor::stream_pair().unwrap();
        let mut link = Link::new(ours);
        assert_eq!(link.receive().unwrap(), []);
        files::write_all(&theirs, b"{\"info\":\"a\"}\n{\"in").unwrap();
        assert_eq!(link.receive().unwrap(), [AgentMessage::Info("a".into())]);
        files::write_all(&theirs, b"fo\":\"b\"}").unwrap();
        assert_eq!(link.receive().unwrap(), []);
        files::write_all(&theirs, b"\n{\"lost\":\"c\"}\n").unwrap();
        assert_eq!(link.receive().unwrap(), [AgentMessage::Info("b".into()), AgentMessage::Lost("c".into())]);
        files::write_all(&theirs, b"nothing\n").unwrap();
        assert!(matches!(link.receive(), Err(LinkError::Malformed)));
        drop(theirs);
        assert!(matches!(link.receive(), Err(LinkError::Closed)));
    }

    #[test]
    fn what_waits_is_limited_and_sent_when_there_is_room() {
        let (ours, theirs) = descriptor::stream_pair().unwrap();
        let mut link = Link::new(ours);
        let long = |length| AgentRequest::Read { id: 1, prefix: "x".repeat(length), limit: 1 };
        assert_eq!(link.push(&long(LONGEST_LINE)), Err(Full));
        let mut count = 0;
        while link.push(&long(1 << 20)).is_ok() {
            count += 1;
        }
        assert_eq!(count, 15);
        let (mut received, mut lines) = (Vec::new(), 0);
        while lines < count {
            link.flush().unwrap();
            let _ = files::read_on(theirs.as_fd(), &mut received, 1 << 20);
            lines += received.iter().filter(|byte| **byte == b'\n').count();
            received.clear();
        }
        assert!(!link.wants_to_write() && link.push(&AgentRequest::Renew).is_ok());
    }

    #[test]
    fn a_line_without_an_end_is_an_error() {
        let (ours, theirs) = descriptor::stream_pair().unwrap();
        let mut link = Link::new(ours);
        let piece = vec![b' '; 64 << 10];
        let failed = (0..=LONGEST_LINE / piece.len()).find_map(|_| {
            files::write_all(&theirs, &piece).unwrap();
            link.receive().err()
        });
        assert!(matches!(failed, Some(LinkError::Malformed)));
    }
}
