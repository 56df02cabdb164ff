//! The executor's connection to a main: the main that forked this executor, or a later main that has taken it over.

use super::context::{Context, EventSource, ExecutorError, token};
use super::followers::{self, Followers};
use super::queued_bytes::QueuedBytes;
use super::run_journal::RunJournal;
use crate::executor::link::{Link, WireError};
use crate::executor::output::Excerpt;
use crate::executor::wire::{ExecutorEvent, ExecutorRequest, OutputStream, PROTOCOL, RunOfJob};
use crate::scheduler::{RunId, RunRequest};
use crate::sys::clock;
use crate::sys::local_socket::Listener;
use crate::sys::process;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

/// Pause after a connection could not be accepted.
const LISTEN_AGAIN_MS: i64 = 500;

/// The main that is connected, if any.
#[derive(Debug)]
enum Peer {
    /// The main that forked this executor. It may request starts.
    Own(Link),
    /// The main after it has closed its sending direction. The connection is closed after the last job, mail and line of output.
    OwnClosing(Link),
    /// A later main. It may not request starts.
    Later(Link),
    Nobody,
}

/// The connection to a main, and the results that have not been sent to any main.
#[derive(Debug)]
pub(super) struct MainConnections {
    peer: Peer,
    /// The socket to which later mains connect.
    listener: Option<Listener>,
    /// When connections are accepted again after an error (monotonic).
    listen_at_ms: Option<i64>,
    /// Results of runs and mails. Each has the number of its message if it is queued for the peer.
    unsent: VecDeque<(Option<u64>, ExecutorEvent)>,
    /// The output for the history that is queued for the peer.
    kept_output: QueuedBytes,
    followers: Followers,
    /// Whether a later main has this executor's version.
    has_same_version: bool,
    /// Why an event could not be queued, until it is logged.
    queue_error: Option<WireError>,
}

/// Most bytes of output for the history that wait for main to read them. More is left out.
const KEPT_OUTPUT_WAITING: usize = 4 << 20;

/// The state of the connection after its peer has closed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    Open,
    /// The executor's own main is gone or requests nothing more. Nothing more is started.
    OwnLost,
    /// A later main has closed the connection.
    LaterLost,
}

impl MainConnections {
    pub(super) fn new(own: Link) -> MainConnections {
        MainConnections {
            peer: Peer::Own(own),
            listener: None,
            listen_at_ms: None,
            unsent: VecDeque::new(),
            kept_output: QueuedBytes::new(KEPT_OUTPUT_WAITING),
            followers: Followers::default(),
            has_same_version: false,
            queue_error: None,
        }
    }

    /// Whether the main that forked this executor is connected and may request starts.
    pub(super) fn has_own(&self) -> bool {
        matches!(self.peer, Peer::Own(_))
    }

    fn link(&mut self) -> Option<&mut Link> {
        match &mut self.peer {
            Peer::Own(link) | Peer::OwnClosing(link) | Peer::Later(link) => Some(link),
            Peer::Nobody => None,
        }
    }

    /// Queues an event for the executor's own main, if that is connected.
    pub(super) fn send_to_own(&mut self, event: &ExecutorEvent) {
        if let Peer::Own(link) = &mut self.peer
            && let Err(error) = link.push(event)
        {
            self.queue_error.get_or_insert(error);
        }
    }

    /// The connection to a main of the same version, which knows all events.
    fn link_of_same_version(&mut self) -> Option<&mut Link> {
        match &mut self.peer {
            Peer::Own(link) => Some(link),
            Peer::Later(link) if self.has_same_version => Some(link),
            Peer::Later(_) | Peer::OwnClosing(_) | Peer::Nobody => None,
        }
    }

    /// Records the version of a later main. True if it is this executor's.
    pub(super) fn set_version(&mut self, protocol: u32) -> bool {
        self.has_same_version = protocol == PROTOCOL && matches!(self.peer, Peer::Later(_));
        self.has_same_version
    }

    /// Whether a later main is connected that has this executor's version.
    pub(super) fn has_later_of_same_version(&self) -> bool {
        self.has_same_version
    }

    /// Queues an event for a main of the same version, if one is connected.
    pub(super) fn send_to_same_version(&mut self, event: &ExecutorEvent) {
        if let Some(link) = self.link_of_same_version()
            && let Err(error) = link.push(event)
        {
            self.queue_error.get_or_insert(error);
        }
    }

    /// Whether an event waits for being sent to the main.
    pub(super) fn wants_to_write(&mut self) -> bool {
        self.link().is_some_and(|link| link.wants_to_write())
    }

    /// Whether the main follows the output of a run.
    pub(super) fn has_followers(&self) -> bool {
        !self.followers.is_empty()
    }

    /// Adds a follower and sends it what was written before.
    pub(super) fn follow(&mut self, number: u64, run: RunId, so_far: Option<Excerpt>) {
        self.with_followers(|followers, link| followers.add(link, number, run, so_far));
    }

    /// Tells main that there is nothing to be followed.
    pub(super) fn refuse_follower(&mut self, number: u64) {
        self.with_followers(|_, link| followers::refuse(link, number));
    }

    /// Sends the last part to a follower, as main wants no more.
    pub(super) fn stop_following(&mut self, number: u64) {
        self.with_followers(|followers, link| followers.remove(link, number));
    }

    /// Sends output of a run to its followers.
    pub(super) fn send_output(&mut self, run: RunId, stream: OutputStream, bytes: &[u8]) {
        self.with_followers(|followers, link| followers.send(link, run, stream, bytes));
    }

    /// Tells the followers of a run that its output has ended.
    pub(super) fn end_output(&mut self, run: RunId) {
        if self.has_followers() {
            self.with_followers(|followers, link| followers.end(link, run));
        }
    }

    fn with_followers(&mut self, act: impl FnOnce(&mut Followers, &mut Link)) {
        let mut followers = std::mem::take(&mut self.followers);
        if let Some(link) = self.link_of_same_version() {
            act(&mut followers, link);
        }
        self.followers = followers;
    }

    /// Queues what the history keeps of a run's output for a main of the same version, if that is connected and has read enough of what came
    /// before.
    pub(super) fn send_kept_output(&mut self, run: RunId, excerpt: Excerpt) {
        let Excerpt { head, tail, cut } = excerpt;
        let bytes = head.len() + tail.len();
        if self.kept_output.has_room(bytes)
            && let Some(link) = self.link_of_same_version()
            && let Ok(number) = link.push(&ExecutorEvent::KeptOutput { run, head, tail, cut })
        {
            self.kept_output.add(number, bytes);
        }
    }

    /// Queues an event for the peer and returns the number of the message.
    fn push(&mut self, event: &ExecutorEvent) -> Option<u64> {
        match &mut self.peer {
            Peer::Own(link) | Peer::Later(link) => match link.push(event) {
                Ok(number) => Some(number),
                Err(error) => {
                    self.queue_error.get_or_insert(error);
                    None
                }
            },
            Peer::OwnClosing(_) | Peer::Nobody => None,
        }
    }

    /// Why an event could not be queued since the last call.
    pub(super) fn take_queue_error(&mut self) -> Option<WireError> {
        self.queue_error.take()
    }

    /// Queues an event that is sent to the next main if this one does not receive it.
    pub(super) fn report(&mut self, event: ExecutorEvent) {
        let number = self.push(&event);
        self.unsent.push_back((number, event));
    }

    /// Forgets the peer. Events that it may not have read are sent to the next one.
    pub(super) fn forget_peer(&mut self) {
        self.peer = Peer::Nobody;
        self.kept_output.clear();
        self.followers = Followers::default();
        self.has_same_version = false;
        self.unsent.iter_mut().for_each(|(number, _)| *number = None);
    }

    /// Records which results have been written to the socket. Whether the main reads them is not known.
    fn forget_sent(&mut self, journal: &mut RunJournal) {
        let Some(sent) = self.link().map(|link| link.sent()) else { return };
        self.kept_output.forget_sent(sent);
        if self.has_followers() {
            self.with_followers(Followers::forget_sent);
        }
        let is_sent = |(number, _): &(Option<u64>, ExecutorEvent)| number.is_some_and(|number| number < sent);
        while self.unsent.front().is_some_and(is_sent) {
            match self.unsent.pop_front() {
                Some((_, ExecutorEvent::Ended(result))) => journal.journal().delivered(result.run),
                Some((_, event)) => note_follow_up(&event, journal),
                None => {}
            }
        }
    }

    /// Records for a later main what no main has received, before the executor ends. The results of runs and mails are recorded already.
    pub(super) fn note_unsent(&self, journal: &mut RunJournal) {
        self.unsent.iter().for_each(|(_, event)| note_follow_up(event, journal));
    }

    /// Receives what the main has sent. Requests that came before the end of the connection can still be taken.
    pub(super) fn fill(&mut self) -> io::Result<bool> {
        match &mut self.peer {
            Peer::Own(link) | Peer::Later(link) => link.fill(),
            Peer::OwnClosing(_) | Peer::Nobody => Ok(true),
        }
    }

    /// Takes the next complete request. Messages of a later main, which may have another version, are skipped if they cannot be decoded.
    pub(super) fn next_request(&mut self) -> Result<Option<ExecutorRequest<Box<RunRequest>>>, ExecutorError> {
        match &mut self.peer {
            Peer::Own(link) => Ok(link.take()?),
            Peer::Later(link) => Ok(link.take_known().unwrap_or(None)),
            Peer::OwnClosing(_) | Peer::Nobody => Ok(None),
        }
    }

    /// Handles the end of the main's requests. The connection to the executor's own main stays open until the last job, mail and line of
    /// output, which a main that waits for that notices.
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

    /// Closes the connection to the executor's own main.
    pub(super) fn close_own(&mut self) {
        if matches!(self.peer, Peer::OwnClosing(_)) {
            self.forget_peer();
        }
    }

    /// Sends queued events to the connected main without blocking. An error means that the main has closed the connection.
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

    /// Accepts connections of later mains on this socket.
    pub(super) fn listen_on(&mut self, listener: Listener) {
        self.listener = Some(listener);
    }

    /// Accepts a pending connection, if there is one. Only processes of this user may connect.
    pub(super) fn accept(&mut self, context: &Context) -> Option<OwnedFd> {
        loop {
            match self.listener.as_ref()?.accept() {
                Ok((socket, uid)) if uid == process::own_uid() => return Some(socket),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(_) => {
                    self.pause_listener(context);
                    return None;
                }
            }
        }
    }

    /// Makes a later main the peer. Sends it the list of running runs and the results that no main has received.
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

    /// Stops accepting connections for a moment. A connection that cannot be accepted, for lack of a descriptor for instance, stays
    /// pending, and the loop would spin.
    fn pause_listener(&mut self, context: &Context) {
        if let Some(listener) = &self.listener
            && context.poll.remove(listener).is_ok()
        {
            self.listen_at_ms = Some(clock::monotonic_ms() + LISTEN_AGAIN_MS);
        }
    }

    /// When connections are accepted again (monotonic). None if they are accepted now.
    pub(super) fn listen_at_ms(&self) -> Option<i64> {
        self.listen_at_ms
    }

    /// Accepts connections again after the pause.
    pub(super) fn resume_listener(&mut self, context: &Context, now_ms: i64) {
        if self.listen_at_ms.is_none_or(|at| at > now_ms) {
            return;
        }
        let Some(listener) = &self.listener else { return };
        let is_registered = context.poll.add(listener, token(EventSource::Listener, 0)).is_ok();
        self.listen_at_ms = (!is_registered).then_some(now_ms + LISTEN_AGAIN_MS);
    }
}

/// Records the end of a hook or a ping. It may have been sent to a main that is killed before it has recorded it in the history.
fn note_follow_up(event: &ExecutorEvent, journal: &mut RunJournal) {
    if let ExecutorEvent::FollowedUp { run, what, how, output } = event {
        journal.journal().followed_up(*run, what, how, output);
    }
}
