//! A limit on the messages of one kind that are queued for a main and that it has not read.

use std::collections::VecDeque;

/// The messages of one kind that are queued on a link, and the most bytes that they may have.
#[derive(Debug)]
pub(super) struct QueuedBytes {
    most: usize,
    /// The numbers of the queued messages, in order, and their bytes.
    messages: VecDeque<(u64, usize)>,
    bytes: usize,
}

impl QueuedBytes {
    /// No messages. Together they may have that many bytes.
    pub(super) fn new(most: usize) -> QueuedBytes {
        QueuedBytes { most, messages: VecDeque::new(), bytes: 0 }
    }

    /// Whether a message of that many bytes may be queued.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.bytes.saturating_add(bytes) <= self.most
    }

    /// The bytes of all queued messages.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a message that has been queued, with its number on the link.
    pub(super) fn add(&mut self, number: u64, bytes: usize) {
        self.messages.push_back((number, bytes));
        self.bytes += bytes;
    }

    /// Forgets the messages that have been sent. `sent` is the number of messages of all kinds that the link has sent.
    pub(super) fn forget_sent(&mut self, sent: u64) {
        while let Some((_, bytes)) = self.messages.front().filter(|(number, _)| *number < sent) {
            self.bytes -= bytes;
            self.messages.pop_front();
        }
    }

    /// Forgets all messages, with the link.
    pub(super) fn clear(&mut self) {
        *self = QueuedBytes::new(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_again_when_messages_have_been_sent() {
        let mut queued = QueuedBytes::new(100);
        queued.add(3, 60);
        queued.add(7, 40);
        assert!(queued.has_room(0) && !queued.has_room(1));
        queued.forget_sent(3);
        assert!(!queued.has_room(1));
        queued.forget_sent(4);
        assert!(queued.has_room(60) && !queued.has_room(61));
        queued.forget_sent(8);
        assert!(queued.has_room(100) && !queued.has_room(101));
        queued.add(9, 100);
        queued.clear();
        assert!(queued.has_room(100));
    }
}
