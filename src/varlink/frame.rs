//! Takes a stream of bytes apart into messages.

use memchr::memchr;

/// The byte behind each message.
const END: u8 = 0;

/// Why a stream of bytes cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A message is longer than is allowed.
    #[error("a message of more than {limit} bytes")]
    TooLong {
        /// Most bytes of a message.
        limit: usize,
    },
    /// There is no memory for what has arrived.
    #[error("no memory for a message")]
    OutOfMemory,
}

impl From<std::collections::TryReserveError> for FrameError {
    fn from(_: std::collections::TryReserveError) -> FrameError {
        FrameError::OutOfMemory
    }
}

/// Collects the bytes that arrive on one connection until messages are complete.
#[derive(Debug)]
pub struct FrameReader {
    buffer: Vec<u8>,
    /// So many bytes at the front are of messages that were taken.
    taken: usize,
    /// So many bytes at the front were examined and have no further end of a message.
    searched: usize,
    limit: usize,
}

impl FrameReader {
    /// A reader for messages of at most `limit` bytes.
    pub fn new(limit: usize) -> FrameReader {
        FrameReader { buffer: Vec::new(), taken: 0, searched: 0, limit }
    }

    /// Adds bytes that have arrived. What is kept is never more than a message of the largest size and these bytes.
    ///
    /// # Errors
    ///
    /// There is no memory for them. The connection is of no more use.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        self.buffer.drain(..self.taken.min(self.buffer.len()));
        self.searched = self.searched.saturating_sub(self.taken);
        self.taken = 0;
        self.buffer.try_reserve(bytes.len())?;
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// The next complete message, without its end.
    ///
    /// # Errors
    ///
    /// The message is too long, complete or not, or there is no memory for it. The connection is of no more use.
    pub fn next_message(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        let end = memchr(END, self.buffer.get(self.searched..).unwrap_or_default()).map(|at| self.searched + at);
        let waiting = self.buffer.get(self.taken..end.unwrap_or(self.buffer.len())).unwrap_or_default();
        if waiting.len() > self.limit {
            return Err(FrameError::TooLong { limit: self.limit });
        }
        let Some(end) = end else {
            self.searched = self.buffer.len();
            return Ok(None);
        };
        let mut message = Vec::new();
        message.try_reserve_exact(waiting.len())?;
        message.extend_from_slice(waiting);
        (self.taken, self.searched) = (end + 1, end + 1);
        if self.taken == self.buffer.len() {
            // A connection that waits keeps no memory.
            *self = FrameReader::new(self.limit);
        }
        Ok(Some(message))
    }

    /// The number of bytes that are buffered.
    pub fn len(&self) -> usize {
        self.buffer.len() - self.taken
    }

    /// Whether no byte is buffered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a message has begun to arrive.
    pub fn has_begun(&self) -> bool {
        !self.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_complete_however_they_arrive() {
        let bytes = b"one\0two\0\0three\0";
        for size in 1..=bytes.len() {
            let mut reader = FrameReader::new(5);
            let mut messages = Vec::new();
            for piece in bytes.chunks(size) {
                reader.push(piece).unwrap();
                while let Some(message) = reader.next_message().unwrap() {
                    messages.push(message);
                }
            }
            assert_eq!(messages, [b"one".as_slice(), b"two", b"", b"three"]);
            assert!(!reader.has_begun());
        }
    }

    #[test]
    fn what_finds_no_memory_is_an_error() {
        use crate::sys::allocator_tests::failing;
        let message = vec![b'x'; 60_000];
        let bytes = [message.as_slice(), b"\0", &message, b"\0"].concat();
        let read = || {
            let mut reader = FrameReader::new(64 << 10);
            for piece in bytes.chunks(16 << 10) {
                reader.push(piece)?;
            }
            Ok((reader.next_message()?, reader.next_message()?))
        };
        let failed = (1..).take_while(|number| failing(*number, 1 << 10, read) == Err(FrameError::OutOfMemory)).count();
        assert!(failed >= 2, "{failed} allocations");
        assert_eq!(read(), Ok((Some(message.clone()), Some(message))));
    }

    #[test]
    fn a_message_of_the_largest_size_is_taken_and_a_longer_one_is_not() {
        let mut reader = FrameReader::new(4);
        reader.push(b"four\0five5").unwrap();
        assert_eq!(reader.next_message(), Ok(Some(b"four".to_vec())));
        assert_eq!(reader.next_message(), Err(FrameError::TooLong { limit: 4 }));
        let mut reader = FrameReader::new(4);
        reader.push(b"five5\0").unwrap();
        assert_eq!(reader.next_message(), Err(FrameError::TooLong { limit: 4 }));
    }
}
