//! Messages of `crontab` about changed tables, for where inotify(7) reports nothing.
//!
//! Any user may send them, so their cost is bounded: a few are read at once, and then none for a moment. A message leads
//! to a look at the sender's own table. One that is lost in a flood delays nothing that is noticed in another way.

use super::event_loop::{Daemon, number};
use crate::sys::clock;
use crate::sys::poll::Poll;
use crate::sys::wake_socket::WakeSocket;
use std::io;
use std::path::Path;

/// Most messages that are read at once.
const MESSAGES_AT_ONCE: usize = 64;
/// For so long none is read after that.
const PAUSE_MS: i64 = 100;

/// Where messages come in.
#[derive(Debug, Default)]
pub struct WakeUps {
    /// None: nobody may send any.
    socket: Option<WakeSocket>,
    /// When the socket is to be waited for again (milliseconds of the monotonic clock).
    resume_at: Option<i64>,
}

impl WakeUps {
    /// Takes messages at a new socket of that path. To be called while there is one thread.
    pub fn listen(path: &Path) -> io::Result<WakeUps> {
        Ok(WakeUps { socket: Some(WakeSocket::bind(path)?), resume_at: None })
    }

    /// Waits for messages.
    pub fn add_to(&self, poll: &Poll) -> io::Result<()> {
        self.socket.as_ref().map_or(Ok(()), |socket| poll.add(socket, number::WAKE_UPS))
    }

    /// When [`Daemon::resume_wake_ups`] wants to be called.
    pub fn resume_at(&self) -> Option<i64> {
        self.resume_at
    }
}

impl Daemon {
    /// Reads messages, and no more of them for a moment.
    pub(super) fn read_wake_ups(&mut self) {
        let Some(socket) = &self.wake_ups.socket else { return };
        for _ in 0..MESSAGES_AT_ONCE {
            // A socket that cannot be read now is read after the pause.
            let Ok(Some(message)) = socket.receive() else { break };
            if let Some(sender) = message.sender {
                self.library.note_wake_up(&message.user, sender);
            }
        }
        // It was added, so it can be removed.
        let _ = self.poll.remove(socket);
        self.wake_ups.resume_at = Some(clock::monotonic_ms() + PAUSE_MS);
    }

    /// Waits for messages again when the pause is over.
    pub(super) fn resume_wake_ups(&mut self, now_ms: i64) {
        if self.wake_ups.resume_at.is_some_and(|at| at <= now_ms) {
            // Where the kernel has no memory for it, the next attempt follows the next pause.
            let added = self.wake_ups.add_to(&self.poll);
            self.wake_ups.resume_at = added.is_err().then_some(now_ms + PAUSE_MS);
        }
    }
}
