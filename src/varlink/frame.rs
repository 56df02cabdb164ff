//! Takes a stream of bytes apart into messages.

use memchr::memchr;

/// The byte behind each message.
const END: u8 = 0;

/// A message is longer than is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of more than {limit} bytes")]
pub struct TooLong {
    /// Most bytes of a message.
    pub limit: usize,
}

/// Collects the bytes that arrive on one connection until messages are complete.
#[derive(Debug)]
pub struct FrameReader {
    buffer: Vec<u8>,
    /// So many bytes at the front were looked at and have no end of a message.
    searched: usize,
    limit: usize,
}

impl FrameReader {
    /// A reader for messages of at most `limit` bytes.
    pub fn new(limit: usize) -> FrameReader {
        FrameReader { buffer: Vec::new(), searched: 0, limit }
    }

    /// Adds bytes that have arrived. What is kept is never more than a message of the largest size and these bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete message, without its end.
    ///
    /// # Errors
    ///
    /// The message is too long, complete or not. The connection is of no more use.
    pub fn next_message(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        let end = memchr(END, self.buffer.get(self.searched..).unwrap_or_default()).map(|at| self.searched + at);
        if end.unwrap_or(self.buffer.len()) > self.limit {
            return Err(TooLong { limit: self.limit });
        }
        let Some(end) = end else {
            self.searched = self.buffer.len();
            return Ok(None);
        };
        let rest = self.buffer.split_off(end + 1);
        let mut message = std::mem::replace(&mut self.buffer, rest);
        message.pop();
        self.searched = 0;
        Ok(Some(message))
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether no byte waits.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Whether a message has begun to arrive.
    pub fn has_begun(&self) -> bool {
        !self.buffer.is_empty()
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
                reader.push(piece);
                while let Some(message) = reader.next_message().unwrap() {
                    messages.push(message);
                }
            }
            assert_eq!(messages, [b"one".as_slice(), b"two", b"", b"three"]);
            assert!(!reader.has_begun());
        }
    }

    #[test]
    fn a_message_of_the_largest_size_is_taken_and_a_longer_one_is_not() {
        let mut reader = FrameReader::new(4);
        reader.push(b"four\0five5");
        assert_eq!(reader.next_message(), Ok(Some(b"four".to_vec())));
        assert_eq!(reader.next_message(), Err(TooLong { limit: 4 }));
        let mut reader = FrameReader::new(4);
        reader.push(b"five5\0");
        assert_eq!(reader.next_message(), Err(TooLong { limit: 4 }));
    }
}
