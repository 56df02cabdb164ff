//! The executor and its mains: the one that forked it, a later one that takes it over, and the journal for those that come after.

use super::{ExecutorError, ExecutorState, Kind, os, token};
use crate::executor::config::JournalPlace;
use crate::executor::journal::Journal;
use crate::executor::link::{Link, WireError};
use crate::executor::run_directory::{ExecutorFiles, RunDirectoryError, own_uid};
use crate::executor::wire::{ExecutorEvent, ExecutorRequest, PROTOCOL, RunOfJob};
use crate::report::Level;
use crate::scheduler::{MailResult, RunId, RunRequest, RunResult};
use crate::sys::clock;
use crate::sys::host;
use crate::sys::local_socket::Listener;
use crate::sys::process::Ask;
use std::collections::VecDeque;
use std::fs::File;
use std::io;

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
    Nobody,
}

/// The connection to a main, the journal, and the results that no main has been told.
#[derive(Debug)]
pub(super) struct MainConnections {
    peer: Peer,
    /// Where later mains connect.
    listener: Option<Listener>,
    /// Until when no connections are accepted, after one could not be.
    listen_at_ms: Option<i64>,
    /// Results of runs and mails, each with the number of its message if it has been queued for the peer.
    unsent: VecDeque<(Option<u64>, ExecutorEvent)>,
    place: JournalPlace,
    /// The paths of the journal and the socket, where they have some.
    files: Option<ExecutorFiles>,
    journal: Journal,
    /// The journal has been begun, or it was tried.
    has_begun_journal: bool,
    /// It was logged that the journal cannot be written.
    has_told_trouble: bool,
    memory: Option<File>,
}

impl MainConnections {
    pub(super) fn new(own: Link, place: JournalPlace, memory: Option<File>) -> MainConnections {
        MainConnections {
            peer: Peer::Own(own),
            listener: None,
            listen_at_ms: None,
            unsent: VecDeque::new(),
            place,
            files: None,
            journal: Journal::default(),
            has_begun_journal: false,
            has_told_trouble: false,
            memory,
        }
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
    pub(super) fn tell_own(&mut self, event: &ExecutorEvent) {
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
    fn report(&mut self, event: ExecutorEvent) {
        let number = self.push(&event);
        self.unsent.push_back((number, event));
    }

    /// The peer is gone: what it may not have read is told to the next one.
    fn forget_peer(&mut self) {
        self.peer = Peer::Nobody;
        self.unsent.iter_mut().for_each(|(number, _)| *number = None);
    }

    /// Notes what has been written into the socket. Whether the main reads it there is not known.
    fn forget_sent(&mut self) {
        let Some(sent) = self.link().map(|link| link.sent()) else { return };
        let is_sent = |(number, _): &(Option<u64>, ExecutorEvent)| number.is_some_and(|number| number < sent);
        while self.unsent.front().is_some_and(is_sent) {
            if let Some((_, ExecutorEvent::Ended(result))) = self.unsent.pop_front() {
                self.journal.delivered(result.run);
            }
        }
    }
}

impl ExecutorState {
    /// Takes the requests of the main that is connected.
    pub(super) fn handle_main(&mut self) -> Result<(), ExecutorError> {
        if matches!(self.mains.peer, Peer::OwnClosing(_)) {
            return Ok(());
        }
        let Some(link) = self.mains.link() else { return Ok(()) };
        let is_open = link.fill().unwrap_or(false);
        while let Some(request) = self.next_request()? {
            let may_start = self.mains.has_own();
            match request {
                ExecutorRequest::Hello { .. } => {}
                ExecutorRequest::Start { start, tell_pid } if may_start => self.take_start(start, tell_pid),
                ExecutorRequest::Start { .. } => {}
                ExecutorRequest::StopStarting => self.stop_starting(),
                ExecutorRequest::EndAll { hard } => self.end_all(if hard { Ask::Kill } else { Ask::Terminate }),
                ExecutorRequest::LogState => self.log_state(),
                ExecutorRequest::ReopenLog => self.tell.reopen(),
            }
        }
        if !is_open {
            self.lose_main();
        }
        Ok(())
    }

    /// The next whole request. What a later main, perhaps of another version, says and is not understood is skipped.
    fn next_request(&mut self) -> Result<Option<ExecutorRequest<Box<RunRequest>>>, ExecutorError> {
        match &mut self.mains.peer {
            Peer::Own(link) => Ok(link.take()?),
            Peer::Later(link) => Ok(link.take_known().unwrap_or(None)),
            Peer::OwnClosing(_) | Peer::Nobody => Ok(None),
        }
    }

    /// The main is gone, or has nothing more to say: nothing more is started. The connection to its own main stays open until the last job,
    /// mail and line of output are done with, which a main that waits for that sees.
    fn lose_main(&mut self) {
        match std::mem::replace(&mut self.mains.peer, Peer::Nobody) {
            Peer::Own(link) => {
                let _ = self.poll.remove(&link);
                self.mains.forget_peer();
                self.mains.peer = Peer::OwnClosing(link);
                self.stop_starting();
            }
            closing @ Peer::OwnClosing(_) => self.mains.peer = closing,
            Peer::Later(_) | Peer::Nobody => self.mains.forget_peer(),
        }
    }

    /// Closes the connection to its own main.
    pub(super) fn close_main(&mut self) {
        if matches!(self.mains.peer, Peer::OwnClosing(_)) {
            self.mains.forget_peer();
        }
    }

    /// Tells main which starts have been begun, so that it can hand over others.
    pub(super) fn tell_begun(&mut self) {
        if !self.begun.is_empty() {
            let runs = std::mem::take(&mut self.begun);
            self.mains.tell_own(&ExecutorEvent::Begun { runs });
        }
    }

    /// Notes the result of a run, and tells it to this main or the next one.
    pub(super) fn tell_end(&mut self, result: RunResult) {
        self.mains.journal.ended(&result);
        self.mains.report(ExecutorEvent::Ended(Box::new(result)));
    }

    /// Notes that a run's end is in the log and its output where it is wanted.
    pub(super) fn tell_mail(&mut self, run: RunId, mail: MailResult) {
        self.mains.journal.reported(run, mail.clone());
        if mail != MailResult::NotWanted {
            self.mains.report(ExecutorEvent::Mailed { run, mail });
        }
    }

    /// Sends what can be sent to the main that is connected.
    pub(super) fn flush_main(&mut self) -> Result<(), ExecutorError> {
        let Some(link) = self.mains.link() else { return Ok(()) };
        let wanted = link.wants_to_write();
        let sent = link.flush();
        self.mains.forget_sent();
        if sent.is_err() {
            // What it ordered before may still lie in the socket.
            self.handle_main()?;
            if self.mains.has_own() {
                self.lose_main();
            }
            self.mains.forget_peer();
        } else if wanted && let Peer::Own(link) | Peer::Later(link) = &self.mains.peer {
            let _ = self.poll.want_writable(link, token(Kind::Main, 0), link.wants_to_write());
        }
        Ok(())
    }

    /// A later main connects. Nobody else may, and no main that comes while this executor's own is there can be a later one.
    pub(super) fn accept_main(&mut self) -> Result<(), ExecutorError> {
        while let Some(accepted) = self.mains.listener.as_ref().map(Listener::accept) {
            let (socket, uid) = match accepted {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(_) => {
                    self.pause_listener();
                    return Ok(());
                }
            };
            self.handle_main()?;
            if self.mains.has_own() || uid != own_uid() {
                continue;
            }
            // Before it reads the journal, which it does once it has been told what goes on.
            self.flush_journal();
            let link = Link::new(socket);
            if self.poll.add(&link, token(Kind::Main, 0)).is_err() {
                continue;
            }
            self.mains.forget_peer();
            self.mains.peer = Peer::Later(link);
            if self.greet_later_main().is_err() {
                self.mains.forget_peer();
            }
        }
        Ok(())
    }

    /// Waits a moment before connections are taken again. One that cannot be taken, for lack of a descriptor for instance, stays ready, and
    /// the loop would never rest.
    fn pause_listener(&mut self) {
        if let Some(listener) = &self.mains.listener
            && self.poll.remove(listener).is_ok()
        {
            self.mains.listen_at_ms = Some(clock::monotonic_ms() + LISTEN_AGAIN_MS);
        }
    }

    /// When connections are to be taken again.
    pub(super) fn listen_at_ms(&self) -> Option<i64> {
        self.mains.listen_at_ms
    }

    /// Takes connections again once the pause is over.
    pub(super) fn resume_listener(&mut self, now_ms: i64) {
        if self.mains.listen_at_ms.is_none_or(|at| at > now_ms) {
            return;
        }
        let Some(listener) = &self.mains.listener else { return };
        let is_heard = self.poll.add(listener, token(Kind::Listener, 0)).is_ok();
        self.mains.listen_at_ms = (!is_heard).then_some(now_ms + LISTEN_AGAIN_MS);
    }

    /// Tells a later main which runs are going on, and which results no main has been told.
    fn greet_later_main(&mut self) -> Result<(), WireError> {
        let Peer::Later(link) = &mut self.mains.peer else { return Ok(()) };
        link.push(&ExecutorEvent::Hello { protocol: PROTOCOL })?;
        for job in self.jobs.values().filter(|job| job.result.is_none()) {
            let RunRequest { run, scheduled_at, .. } = *job.start;
            let run = RunOfJob { run, job: job.start.job.clone(), scheduled_at };
            link.push(&ExecutorEvent::Running { run, pid: job.pid.unwrap_or(0) })?;
        }
        for (number, event) in &mut self.mains.unsent {
            *number = Some(link.push(event)?);
        }
        link.push(&ExecutorEvent::Listed)?;
        Ok(())
    }
}

/// The journal.
impl ExecutorState {
    /// Notes that the starts of these runs are about to be made; on the disk when this returns.
    pub(super) fn note_intents<'a>(&mut self, starts: impl Iterator<Item = &'a RunRequest>) {
        self.begin_journal();
        let now = clock::wall().seconds;
        starts.for_each(|start| self.mains.journal.intend(start, now));
        self.flush_journal();
    }

    /// The journal, to note something that may be written a little later.
    pub(super) fn journal(&mut self) -> &mut Journal {
        &mut self.mains.journal
    }

    /// Notes an end without a start.
    pub(super) fn note_not_started(&mut self, start: &RunRequest) {
        self.begin_journal();
        self.mains.journal.intend(start, clock::wall().seconds);
    }

    /// With the first start, so that an executor that starts nothing leaves nothing.
    fn begin_journal(&mut self) {
        if std::mem::replace(&mut self.mains.has_begun_journal, true) {
            return;
        }
        let boot_id = host::boot().id;
        let begun = match &self.mains.place {
            JournalPlace::Nowhere => return,
            JournalPlace::Memory => match self.mains.memory.take().map(|file| Journal::begin(file, &boot_id)) {
                Some(Ok(journal)) => Ok(journal),
                Some(Err(source)) => Err(RunDirectoryError::Journal { path: "in memory".into(), source }),
                None => return,
            },
            JournalPlace::Directory(directory) => {
                let files = ExecutorFiles::own(directory);
                let begun = files.begin_journal(&boot_id);
                self.mains.files = Some(files);
                begun
            }
        };
        match begun {
            Ok(journal) => {
                self.mains.journal = journal;
                if let Err(trouble) = self.listen() {
                    self.tell_trouble(&trouble);
                }
            }
            Err(trouble) => self.tell_trouble(&trouble),
        }
    }

    fn listen(&mut self) -> Result<(), RunDirectoryError> {
        let Some(files) = &self.mains.files else { return Ok(()) };
        let listener = files.listen()?;
        let path = files.socket();
        self.poll.add(&listener, token(Kind::Listener, 0)).map_err(|source| RunDirectoryError::Os {
            doing: "waiting for connections to",
            path,
            source,
        })?;
        self.mains.listener = Some(listener);
        Ok(())
    }

    /// Writes what was noted. A journal that cannot be written is no reason to start nothing.
    pub(super) fn flush_journal(&mut self) {
        let path = || self.mains.files.as_ref().map_or_else(|| "in memory".into(), ExecutorFiles::journal);
        if let Err(source) = self.mains.journal.flush() {
            let trouble = RunDirectoryError::Journal { path: path(), source };
            self.tell_trouble(&trouble);
        }
        if self.mains.journal.is_worth_compacting() {
            self.compact_journal();
        }
    }

    fn compact_journal(&mut self) {
        let now = clock::wall().seconds;
        let MainConnections { files, journal, .. } = &mut self.mains;
        let compacted = match files {
            Some(files) => files.compact(journal, now),
            None => journal
                .compacted(now)
                .and_then(|compacted| journal.rewrite(&compacted.bytes).map(|()| compacted))
                .map_err(|source| RunDirectoryError::Journal { path: "in memory".into(), source }),
        };
        match compacted {
            Ok(compacted) if compacted.lost_starts => {
                let detail = "the journal of runs is too long: a restart within the next minutes may repeat starts";
                self.tell.own(Level::Warning, "WARNING", detail);
            }
            Ok(_) => {}
            Err(trouble) => {
                // Not at each start again: when it has grown by as much once more.
                self.mains.journal.postpone_compacting();
                self.tell_trouble(&trouble);
            }
        }
    }

    fn tell_trouble(&mut self, trouble: &RunDirectoryError) {
        if !std::mem::replace(&mut self.mains.has_told_trouble, true) {
            let detail = format!("{trouble}: after a restart, starts may be repeated and running jobs are not known");
            self.tell.own(Level::Error, "ERROR", &detail);
        }
    }

    /// Whoever listens is sent the last ends, and the journal is whole: to be called at the end.
    pub(super) fn settle_mains(&mut self) {
        let _ = self.flush_main();
        self.flush_journal();
    }
}

impl From<std::io::Error> for ExecutorError {
    fn from(source: std::io::Error) -> ExecutorError {
        os("talking to main")(source)
    }
}
