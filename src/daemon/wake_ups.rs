//! Messages of `crontab` about changed tables, for where inotify(7) reports nothing.
//!
//! Any user may send them, so their cost is bounded: a few are read at once, and then none for a moment. A message leads
//! to a look at the sender's own table. One that is lost in a flood delays nothing that is noticed in another way.

use crate::sys::contract::SingleThreaded;
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
    /// Takes messages at a new socket of that path.
    pub fn listen(threads: &SingleThreaded, path: &Path) -> io::Result<WakeUps> {
        Ok(WakeUps { socket: Some(WakeSocket::bind(threads, path)?), resume_at: None })
    }

    /// The socket, if anybody may send messages.
    pub fn socket(&self) -> Option<&WakeSocket> {
        self.socket.as_ref()
    }

    /// Reads a few messages; gives the users whose tables may have changed, and who says so.
    pub fn read(&self) -> Vec<(String, u32)> {
        let messages = (0..MESSAGES_AT_ONCE).map_while(|_| self.socket.as_ref()?.receive().ok()?);
        messages.filter_map(|message| Some((message.user, message.sender?))).collect()
    }

    /// Reads no more messages for a moment.
    pub fn pause(&mut self, now_ms: i64) {
        self.resume_at = Some(now_ms + PAUSE_MS);
    }

    /// Whether the pause is over; then there is none any more.
    pub fn take_resumption(&mut self, now_ms: i64) -> bool {
        self.resume_at.take_if(|at| *at <= now_ms).is_some()
    }

    /// When the pause is over (milliseconds of the monotonic clock).
    pub fn resume_at(&self) -> Option<i64> {
        self.resume_at
    }
}
