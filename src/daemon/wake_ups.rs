//! Messages of `crontab` about changed crontabs, for file systems on which inotify(7) reports nothing.
//!
//! Any user may send messages, so their cost is limited: a few are read at once, and then none for a moment. A message leads to a scan of the sender's
//! own crontab. A message that is lost among many delays no change that is noticed otherwise.

use crate::sys::contract::SingleThreaded;
use crate::sys::wake_socket::WakeSocket;
use std::io;
use std::path::Path;

/// Most messages that are read at once.
const MESSAGES_AT_ONCE: usize = 64;
/// The pause after that. Milliseconds.
const PAUSE_MS: i64 = 100;

/// The socket for messages, and the pauses in reading it.
#[derive(Debug, Default)]
pub struct WakeUps {
    /// The socket. None: messages are not accepted.
    socket: Option<WakeSocket>,
    /// When the pause ends (milliseconds of the monotonic clock); none: there is no pause.
    resume_at: Option<i64>,
}

impl WakeUps {
    /// Opens a socket at that path.
    ///
    /// # Errors
    ///
    /// The socket cannot be created.
    pub fn listen(threads: &SingleThreaded, path: &Path) -> io::Result<WakeUps> {
        Ok(WakeUps { socket: Some(WakeSocket::bind(threads, path)?), resume_at: None })
    }

    /// The socket, if messages are accepted.
    pub fn socket(&self) -> Option<&WakeSocket> {
        self.socket.as_ref()
    }

    /// Reads a few messages: each the user whose crontab may have changed, and the user id of the sender.
    pub fn read(&self) -> Vec<(String, u32)> {
        let messages = (0..MESSAGES_AT_ONCE).map_while(|_| self.socket.as_ref()?.receive().ok()?);
        messages.filter_map(|message| Some((message.user, message.sender?))).collect()
    }

    /// Stops reading messages for `PAUSE_MS`, so that a flood of them costs little.
    pub fn pause(&mut self, now_ms: i64) {
        self.resume_at = Some(now_ms + PAUSE_MS);
    }

    /// Ends the pause if its time is over. Returns whether it was.
    pub fn take_resumption(&mut self, now_ms: i64) -> bool {
        self.resume_at.take_if(|at| *at <= now_ms).is_some()
    }

    /// When the pause ends (milliseconds of the monotonic clock).
    pub fn resume_at(&self) -> Option<i64> {
        self.resume_at
    }
}
