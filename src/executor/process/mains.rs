//! The executor and its mains: the one that it belongs to, the one that comes after it, and the journal for those that come later.

use super::{ExecutorError, ExecutorState, Kind, os, token};
use crate::executor::client::{ExecutorEvent, ExecutorRequest, JournalPlace};
use crate::executor::journal::Journal;
use crate::executor::run_directory::{ExecutorFiles, RunDirectoryError, own_uid};
use crate::executor::takeover::{PROTOCOL, TakeoverEnd, TakeoverNotice, TakeoverOrder};
use crate::executor::wire::{Link, WireError};
use crate::report::Level;
use crate::scheduler::{RunId, RunOutcome, RunRequest};
use crate::sys::clock;
use crate::sys::host;
use crate::sys::local_socket::Listener;
use crate::sys::process::Ask;
use std::collections::VecDeque;
use std::fs::File;
use std::io;

/// How long no connections are taken after one could not be.
const LISTEN_AGAIN_MS: i64 = 500;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EndedRun {
    pub(super) run: RunId,
    pub(super) end: RunOutcome,
    pub(super) duration_ms: u64,
}

impl EndedRun {
    pub(super) fn of(start: &RunRequest, end: RunOutcome, duration_ms: u64) -> EndedRun {
        EndedRun { run: start.run, end, duration_ms }
    }
}

/// Who is told.
#[derive(Debug)]
enum Listening {
    /// The main that this executor belongs to.
    Own(Link),
    /// A later one.
    Later(Link),
    /// Nobody.
    Nobody,
}

/// The connections, the journal, and what no main has been told.
#[derive(Debug)]
pub(super) struct MainConnections {
    listening: Listening,
    /// Its own main is there, and may order starts.
    has_own: bool,
    /// Where later ones come to.
    listener: Option<Listener>,
    /// Until when no connections are taken, after one could not be.
    listen_at_ms: Option<i64>,
    /// Ends, each with the number of the message that tells it, if it has been put into words.
    untold: VecDeque<(Option<u64>, EndedRun)>,
    place: JournalPlace,
    /// The names of the journal and the socket, where they have some.
    files: Option<ExecutorFiles>,
    journal: Journal,
    /// The journal has been begun, or it was tried.
    has_begun_journal: bool,
    /// It was said that the journal cannot be written.
    has_told_trouble: bool,
    memory: Option<File>,
}

impl MainConnections {
    pub(super) fn new(own: Link, place: JournalPlace, memory: Option<File>) -> MainConnections {
        MainConnections {
            listening: Listening::Own(own),
            has_own: true,
            listener: None,
            listen_at_ms: None,
            untold: VecDeque::new(),
            place,
            files: None,
            journal: Journal::default(),
            has_begun_journal: false,
            has_told_trouble: false,
            memory,
        }
    }

    /// Whether the main that this executor belongs to is there.
    pub(super) fn has_own(&self) -> bool {
        self.has_own
    }

    fn link(&mut self) -> Option<(&mut Link, Kind)> {
        match &mut self.listening {
            Listening::Own(link) => Some((link, Kind::Main)),
            Listening::Later(link) => Some((link, Kind::LaterMain)),
            Listening::Nobody => None,
        }
    }

    /// Tells its own main, if it is there.
    pub(super) fn tell_own(&mut self, notice: &ExecutorEvent) {
        if let Listening::Own(link) = &mut self.listening
            && self.has_own
        {
            // A notice is far below the wire's bound.
            let _ = link.push(notice);
        }
    }

    fn push_end(&mut self, ended: &EndedRun) -> Option<u64> {
        let EndedRun { run, end, duration_ms } = ended;
        let pushed = match &mut self.listening {
            Listening::Own(link) if self.has_own => {
                link.push(&ExecutorEvent::Ended { run: *run, end: end.clone(), duration_ms: *duration_ms })
            }
            Listening::Later(link) => {
                let (run, end, duration_ms) = (run.0, TakeoverEnd::from(end), *duration_ms);
                link.push(&TakeoverNotice::Ended { run, end, duration_ms })
            }
            Listening::Own(_) | Listening::Nobody => return None,
        };
        pushed.ok()
    }

    fn tell_end(&mut self, ended: EndedRun) {
        self.journal.ended(ended.run, &ended.end, ended.duration_ms);
        let number = self.push_end(&ended);
        self.untold.push_back((number, ended));
    }

    /// Whoever listened is gone: what it may not have read is told to the next one.
    fn forget_listener(&mut self) {
        self.listening = Listening::Nobody;
        self.untold.iter_mut().for_each(|(number, _)| *number = None);
    }

    /// Notes what has been written into the socket. Whether the main reads it there is not known.
    fn forget_told(&mut self) {
        let Some((link, _)) = self.link() else { return };
        let sent = link.sent();
        let is_sent = |(number, _): &(Option<u64>, EndedRun)| number.is_some_and(|number| number < sent);
        while self.untold.front().is_some_and(is_sent) {
            if let Some((_, ended)) = self.untold.pop_front() {
                self.journal.delivered(ended.run);
            }
        }
    }
}

impl ExecutorState {
    /// Hears its own main.
    pub(super) fn handle_main(&mut self) -> Result<(), ExecutorError> {
        let Listening::Own(link) = &mut self.mains.listening else { return Ok(()) };
        if !self.mains.has_own {
            return Ok(());
        }
        let is_open = link.fill().unwrap_or(false);
        while let Listening::Own(link) = &mut self.mains.listening
            && let Some(order) = link.take::<ExecutorRequest<Box<RunRequest>>>()?
        {
            match order {
                ExecutorRequest::Start { start, tell_pid } => self.take_start(start, tell_pid),
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

    /// Its own main is gone, or has nothing more to say: nothing more is started. The connection stays open until the last job, mail and
    /// line of output are done with, which a main that waits for that sees.
    fn lose_main(&mut self) {
        let Listening::Own(link) = &self.mains.listening else { return };
        let _ = self.poll.remove(link);
        self.mains.has_own = false;
        self.mains.untold.iter_mut().for_each(|(number, _)| *number = None);
        self.stop_starting();
    }

    /// Closes the connection to its own main.
    pub(super) fn close_main(&mut self) {
        if matches!(self.mains.listening, Listening::Own(_)) {
            self.mains.forget_listener();
        }
    }

    /// Tells main which starts have been begun, so that it can hand over others.
    pub(super) fn tell_begun(&mut self) {
        if !self.begun.is_empty() {
            let runs = std::mem::take(&mut self.begun);
            self.mains.tell_own(&ExecutorEvent::Begun { runs });
        }
    }

    /// Tells a main how a run ended, the next one if there is none now.
    pub(super) fn tell_end(&mut self, ended: EndedRun) {
        self.mains.tell_end(ended);
    }

    /// Sends what can be sent to whoever listens.
    pub(super) fn flush_main(&mut self) -> Result<(), ExecutorError> {
        let Some((link, kind)) = self.mains.link() else { return Ok(()) };
        let wanted = link.wants_to_write();
        let sent = link.flush();
        let wants = link.wants_to_write();
        self.mains.forget_told();
        if sent.is_err() {
            return self.lose_listener(kind);
        }
        // One that has nothing more to say is not waited for any more.
        let is_waited_for = kind == Kind::LaterMain || self.mains.has_own;
        if let Some((link, kind)) = self.mains.link().filter(|_| wanted && is_waited_for) {
            let _ = self.poll.want_writable(link, token(kind, 0), wants);
        }
        Ok(())
    }

    fn lose_listener(&mut self, kind: Kind) -> Result<(), ExecutorError> {
        if kind == Kind::Main {
            // What it ordered before may still lie in the socket.
            self.handle_main()?;
            if self.mains.has_own {
                self.lose_main();
            }
        }
        self.mains.forget_listener();
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
            if self.mains.has_own || uid != own_uid() {
                continue;
            }
            // Before it reads the journal, which it does once it has been told what goes on.
            self.flush_journal();
            let link = Link::new(socket);
            if self.poll.add(&link, token(Kind::LaterMain, 0)).is_err() {
                continue;
            }
            self.mains.forget_listener();
            self.mains.listening = Listening::Later(link);
            if self.greet_later_main().is_err() {
                self.mains.forget_listener();
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

    /// Tells a later main what goes on, and which ends no main has been told.
    fn greet_later_main(&mut self) -> Result<(), WireError> {
        let Listening::Later(link) = &mut self.mains.listening else { return Ok(()) };
        link.push(&TakeoverNotice::Hello { protocol: PROTOCOL })?;
        for job in self.jobs.values().filter(|job| job.ended.is_none()) {
            let (run, job_id, scheduled_at) = (job.start.run.0, job.start.job.to_string(), job.start.scheduled_at);
            let pid = job.pid.unwrap_or(0);
            link.push(&TakeoverNotice::Running { run, job: job_id, scheduled_at, pid })?;
        }
        for (_, ended) in std::mem::take(&mut self.mains.untold) {
            let number = self.mains.push_end(&ended);
            self.mains.untold.push_back((number, ended));
        }
        if let Listening::Later(link) = &mut self.mains.listening {
            link.push(&TakeoverNotice::Listed)?;
        }
        Ok(())
    }

    /// Hears a later main.
    pub(super) fn hear_later_main(&mut self) {
        let Listening::Later(link) = &mut self.mains.listening else { return };
        let is_open = link.fill().unwrap_or(false);
        while let Listening::Later(link) = &mut self.mains.listening
            && let Ok(Some(order)) = link.take_known::<TakeoverOrder>()
        {
            match order {
                TakeoverOrder::Hello { .. } => {}
                TakeoverOrder::EndAll { hard } => self.end_all(if hard { Ask::Kill } else { Ask::Terminate }),
                TakeoverOrder::ReopenLog => self.tell.reopen(),
                TakeoverOrder::LogState => self.log_state(),
            }
        }
        if !is_open {
            self.mains.forget_listener();
        }
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
