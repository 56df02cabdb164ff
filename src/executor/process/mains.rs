//! The executor's connection to a main: the one that forked it, or a later one that takes it over.

use super::context::{Context, EventSource, ExecutorError, token};
use super::run_journal::RunJournal;
use crate::executor::link::{Link, WireError};
use crate::executor::run_directory::own_uid;
use crate::executor::wire::{ExecutorEvent, ExecutorRequest, PROTOCOL, RunOfJob};
use crate::scheduler::RunRequest;
use crate::sys::clock;
use crate::sys::local_socket::Listener;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

/// How long no connections are taken after one could not be.
const LISTEN_AGAIN_MS: i64 = 500;

/// The main that is connected.
#[derive(Debug)]
enum Peer {
    /// The main that this executor belongs to. It may order starts.
    Own(Link),
    /// The same, once it has nothing more to say. The connection shows it when the last job, mail and line of output are done with.
    OwnClosing(Link),
    /// A later one, which may order no starts.
    Later(Link),
    /// None is connected.
    Nobody,
}

/// The connection to a main, and the results that no main has been told.
#[derive(Debug)]
pub(super) struct MainConnections {
    peer: Peer,
    /// Where later mains connect.
    listener: Option<Listener>,
    /// Until when no connections are accepted, after one could not be.
    listen_at_ms: Option<i64>,
    /// Results of runs and mails, each with the number of its message if it has been queued for the peer.
    unsent: VecDeque<(Option<u64>, ExecutorEvent)>,
}

/// What became of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    Open,
    /// Its own main is gone, or has nothing more to say: nothing more is started.
    OwnLost,
    /// A later main is gone.
    LaterLost,
}

impl MainConnections {
    pub(super) fn new(own: Link) -> MainConnections {
        MainConnections { peer: Peer::Own(own), listener: None, listen_at_ms: None, unsent: VecDeque::new() }
    }

    /// Whether the main that this executor belongs to is there and may order starts.
    pub(super) fn has_own(&self) -> bool {
        matches!(self.peer, Peer::Own(_))
    }

    fn link(&mut self) -> Option<&mut Link> {
        match &mut self.peer {
            Peer::Own(link) | Peer::OwnClosing(link) | Peer::Later(link) => Some(link),
            Peer::Nobody => None,
        }
    }

    /// Queues an event for its own main, if it is there.
    pub(super) fn send_to_own(&mut self, event: &ExecutorEvent) {
        if let Peer::Own(link) = &mut self.peer {
            // An event is far below the longest message.
            let _ = link.push(event);
        }
    }

    /// Queues an event for the peer; gives the number of the message.
    fn push(&mut self, event: &ExecutorEvent) -> Option<u64> {
        match &mut self.peer {
            Peer::Own(link) | Peer::Later(link) => link.push(event).ok(),
            Peer::OwnClosing(_) | Peer::Nobody => None,
        }
    }

    /// Queues an event that the next main must be told if this one is not.
    pub(super) fn report(&mut self, event: ExecutorEvent) {
        let number = self.push(&event);
        self.unsent.push_back((number, event));
    }

    /// The peer is gone: what it may not have read is told to the next one.
    pub(super) fn forget_peer(&mut self) {
        self.peer = Peer::Nobody;
        self.unsent.iter_mut().for_each(|(number, _)| *number = None);
    }

    /// Notes what has been written into the socket. Whether the main reads it there is not known.
    fn forget_sent(&mut self, journal: &mut RunJournal) {
        let Some(sent) = self.link().map(|link| link.sent()) else { return };
        let is_sent = |(number, _): &(Option<u64>, ExecutorEvent)| number.is_some_and(|number| number < sent);
        while self.unsent.front().is_some_and(is_sent) {
            if let Some((_, ExecutorEvent::Ended(result))) = self.unsent.pop_front() {
                journal.journal().delivered(result.run);
            }
        }
    }

    /// Takes in what the main has sent. What it asked before it closed the connection can still be taken.
    pub(super) fn fill(&mut self) -> io::Result<bool> {
        match &mut self.peer {
            Peer::Own(link) | Peer::Later(link) => link.fill(),
            Peer::OwnClosing(_) | Peer::Nobody => Ok(true),
        }
    }

    /// The next whole request. What a later main, perhaps of another version, says and is not understood is skipped.
    pub(super) fn next_request(&mut self) -> Result<Option<ExecutorRequest<Box<RunRequest>>>, ExecutorError> {
        match &mut self.peer {
            Peer::Own(link) => Ok(link.take()?),
            Peer::Later(link) => Ok(link.take_known().unwrap_or(None)),
            Peer::OwnClosing(_) | Peer::Nobody => Ok(None),
        }
    }

    /// The main is gone, or has nothing more to say. The connection to its own main stays open until the last job, mail and line of output
    /// are done with, which a main that waits for that sees.
    pub(super) fn lose(&mut self, context: &Context) -> Connection {
        match std::mem::replace(&mut self.peer, Peer::Nobody) {
            Peer::Own(link) => {
                let _ = context.poll.remove(&link);
                self.forget_peer();
                self.peer = Peer::OwnClosing(link);
                Connection::OwnLost
            }
            closing @ Peer::OwnClosing(_) => {
                self.peer = closing;
                Connection::Open
            }
            Peer::Later(_) | Peer::Nobody => {
                self.forget_peer();
                Connection::LaterLost
            }
        }
    }

    /// Closes the connection to its own main.
    pub(super) fn close_own(&mut self) {
        if matches!(self.peer, Peer::OwnClosing(_)) {
            self.forget_peer();
        }
    }

    /// Sends what can be sent to the main that is connected. An error means that it does not read any more.
    pub(super) fn flush(&mut self, context: &Context, journal: &mut RunJournal) -> io::Result<()> {
        let Some(link) = self.link() else { return Ok(()) };
        let wanted = link.wants_to_write();
        let sent = link.flush();
        self.forget_sent(journal);
        sent?;
        if wanted && let Peer::Own(link) | Peer::Later(link) = &self.peer {
            let _ = context.poll.want_writable(link, token(EventSource::Main, 0), link.wants_to_write());
        }
        Ok(())
    }

    /// Accepts connections of later mains here.
    pub(super) fn listen_on(&mut self, listener: Listener) {
        self.listener = Some(listener);
    }

    /// Accepts one connection, if one waits. Only processes of this user may connect.
    pub(super) fn accept(&mut self, context: &Context) -> Option<OwnedFd> {
        loop {
            match self.listener.as_ref()?.accept() {
                Ok((socket, uid)) if uid == own_uid() => return Some(socket),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(_) => {
                    self.pause_listener(context);
                    return None;
                }
            }
        }
    }

    /// Makes a later main the peer: tells it which runs are going on, and which results no main has been told.
    pub(super) fn greet(
        &mut self,
        context: &Context,
        socket: OwnedFd,
        running: impl Iterator<Item = (RunOfJob, u32)>,
    ) -> Result<(), WireError> {
        let link = Link::new(socket);
        context.poll.add(&link, token(EventSource::Main, 0))?;
        self.forget_peer();
        let greeted = self.push_greeting(link, running);
        if greeted.is_err() {
            self.forget_peer();
        }
        greeted
    }

    fn push_greeting(
        &mut self,
        mut link: Link,
        running: impl Iterator<Item = (RunOfJob, u32)>,
    ) -> Result<(), WireError> {
        link.push(&ExecutorEvent::Hello { protocol: PROTOCOL })?;
        for (run, pid) in running {
            link.push(&ExecutorEvent::Running { run, pid })?;
        }
        for (number, event) in &mut self.unsent {
            *number = Some(link.push(event)?);
        }
        link.push(&ExecutorEvent::Listed)?;
        self.peer = Peer::Later(link);
        Ok(())
    }

    /// Waits a moment before connections are taken again. One that cannot be taken, for lack of a descriptor for instance, stays ready, and
    /// the loop would never rest.
    fn pause_listener(&mut self, context: &Context) {
        if let Some(listener) = &self.listener
            && context.poll.remove(listener).is_ok()
        {
            self.listen_at_ms = Some(clock::monotonic_ms() + LISTEN_AGAIN_MS);
        }
    }

    /// When connections are to be taken again.
    pub(super) fn listen_at_ms(&self) -> Option<i64> {
        self.listen_at_ms
    }

    /// Takes connections again once the pause is over.
    pub(super) fn resume_listener(&mut self, context: &Context, now_ms: i64) {
        if self.listen_at_ms.is_none_or(|at| at > now_ms) {
            return;
        }
        let Some(listener) = &self.listener else { return };
        let is_registered = context.poll.add(listener, token(EventSource::Listener, 0)).is_ok();
        self.listen_at_ms = (!is_registered).then_some(now_ms + LISTEN_AGAIN_MS);
    }
}
