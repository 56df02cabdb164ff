//! What the threads of an agent share: the engine, the requests that wait, and the socket to main.

use super::batch;
use super::etcd::Etcd;
use super::message::{AgentMessage, LONGEST_LINE};
use super::queue::TransactionQueue;
use crate::scheduler::{FleetEntry, FleetEvent, FleetRequest};
use crate::sys::descriptor;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Most bytes of the keys and values of one message. As JSON they are six times as long at most, and each has names and numbers beside them.
const MOST_BYTES: usize = LONGEST_LINE / 8;
/// What those count as.
const BYTES_OF_ENTRY: usize = 16;

/// What the threads work on.
pub(super) struct Connection {
    pub(super) engine: Etcd,
    /// What comes before each key.
    pub(super) prefix: String,
    pub(super) node: String,
    pub(super) lease: u64,
    main: OwnedFd,
    /// Held while a message is written. False: the connection is lost, and nothing more is said.
    is_open: Mutex<bool>,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

/// What main has asked for.
#[derive(Default)]
struct Waiting {
    transactions: TransactionQueue,
    reads: VecDeque<Read>,
    is_renewal_wanted: bool,
    has_ended: bool,
}

/// Keys that are to be read.
pub(super) struct Read {
    pub(super) id: u64,
    pub(super) prefix: String,
    pub(super) limit: u32,
}

/// What a thread is to do.
pub(super) enum Task {
    Transact(Vec<FleetRequest>),
    Read(Read),
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole at each moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    pub(super) fn new(engine: Etcd, prefix: String, node: String, lease: u64, main: OwnedFd) -> Connection {
        Connection {
            engine,
            prefix,
            node,
            lease,
            main,
            is_open: Mutex::new(true),
            waiting: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Says something to main. Waits until main reads.
    pub(super) fn say(&self, message: &AgentMessage) {
        let mut is_open = locked(&self.is_open);
        if *is_open && write(&self.main, message).is_err() {
            *is_open = false;
            self.end();
        }
    }

    /// Answers a read. Keys that are too long for one message count as not read.
    pub(super) fn say_found(&self, id: u64, entries: Option<Vec<FleetEntry>>) {
        let mut is_open = locked(&self.is_open);
        if !*is_open {
            return;
        }
        let written = match write(&self.main, &AgentMessage::Found { id, entries }) {
            Err(why) if why.kind() == io::ErrorKind::InvalidData => {
                write(&self.main, &AgentMessage::Found { id, entries: None })
            }
            written => written,
        };
        if written.is_err() {
            *is_open = false;
            self.end();
        }
    }

    /// Passes keys on, in messages that are not too long.
    pub(super) fn say_entries(&self, entries: Vec<FleetEntry>) {
        let (mut part, mut bytes) = (Vec::new(), 0);
        for entry in entries {
            let size = BYTES_OF_ENTRY + entry.key.len() + entry.value.as_ref().map_or(0, String::len);
            if bytes + size > MOST_BYTES && !part.is_empty() {
                self.say(&AgentMessage::Event(FleetEvent::Entries(std::mem::take(&mut part))));
                bytes = 0;
            }
            bytes += size;
            part.push(entry);
        }
        if !part.is_empty() {
            self.say(&AgentMessage::Event(FleetEvent::Entries(part)));
        }
    }

    /// Says that the connection is lost, and ends the agent.
    pub(super) fn lose(&self, why: String) {
        let mut is_open = locked(&self.is_open);
        if std::mem::replace(&mut *is_open, false) {
            // Main notices the end otherwise.
            let _ = write(&self.main, &AgentMessage::Lost(why));
        }
        self.end();
    }

    /// Ends the threads that wait for tasks, and the one that reads what main sends.
    pub(super) fn end(&self) {
        locked(&self.waiting).has_ended = true;
        self.changed.notify_all();
        let _ = descriptor::shut_down(self.main.as_fd());
    }

    pub(super) fn has_ended(&self) -> bool {
        locked(&self.waiting).has_ended
    }

    /// The key without what comes before each of this fleet.
    pub(super) fn own_key<'a>(&self, key: &'a [u8]) -> Option<&'a str> {
        std::str::from_utf8(key.strip_prefix(self.prefix.as_bytes())?).ok()
    }

    pub(super) fn add_transaction(&self, request: FleetRequest) {
        locked(&self.waiting).transactions.push(request);
        self.changed.notify_all();
    }

    pub(super) fn add_read(&self, read: Read) {
        locked(&self.waiting).reads.push_back(read);
        self.changed.notify_all();
    }

    pub(super) fn add_renewal(&self) {
        locked(&self.waiting).is_renewal_wanted = true;
        self.changed.notify_all();
    }

    /// Waits for something to do. None: the agent ends.
    pub(super) fn next_task(&self) -> Option<Task> {
        let mut waiting = locked(&self.waiting);
        loop {
            if waiting.has_ended {
                return None;
            }
            let transactions = batch::take(&mut waiting.transactions);
            if !transactions.is_empty() {
                return Some(Task::Transact(transactions));
            }
            if let Some(read) = waiting.reads.pop_front() {
                return Some(Task::Read(read));
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until the lease is to be renewed. False: the agent ends.
    pub(super) fn next_renewal(&self) -> bool {
        let mut waiting = locked(&self.waiting);
        loop {
            if waiting.has_ended {
                return false;
            }
            if std::mem::take(&mut waiting.is_renewal_wanted) {
                return true;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Writes a message to main.
///
/// # Errors
/// `InvalidData`: the message is too long, and nothing of it was written. Else main is gone.
pub(super) fn write(main: &OwnedFd, message: &AgentMessage) -> io::Result<()> {
    let mut line = serde_json::to_vec(message).map_err(io::Error::from)?;
    line.push(b'\n');
    if line.len() > LONGEST_LINE {
        // Main would end the connection.
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut rest = &line[..];
    while !rest.is_empty() {
        match descriptor::send(main.as_fd(), &[IoSlice::new(rest)]) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    Ok(())
}
