//! The daemon's side of the history: writes events to the journal, starts the recorder and starts it again.
//!
//! Nothing here waits: an event is put into a buffer, and one write(2) at the end of a turn of the loop appends them to the journal. The recorder
//! reads it when it gets to that; see [`crate::history`].

use super::control_socket::{self, make_socket_directory};
use super::execute_as;
use super::reactor::{Interest, Reactor, Token};
use super::settings::Settings;
use crate::config::sockets::HISTORY;
use crate::control::Rights;
use crate::crontab::printable;
use crate::executor::RunOfJob;
use crate::history::event::HistoryEvent;
use crate::history::journal::{FoundJournal, JournalWriter, Share};
use crate::history::message::{
    JOURNAL_HAS_GROWN, LONGEST_LINE, PROTOCOL, RecorderMessage, RecorderSettings, Retention, VERB,
};
use crate::report::{Level, format_count};
use crate::scheduler::RunId;
use crate::sys::contract::SingleThreaded;
use crate::sys::created::{self, CreatedDirectory};
use crate::sys::error::{PathError, os_at};
use crate::sys::files::{self, Links, reason};
use crate::sys::local_socket::Listener;
use crate::sys::{clock, descriptor, handover, state_file};
use crate::users::local_account;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The user that the recorder of the system's daemon runs as.
pub(super) const ACCOUNT: &str = "_cronwheel";
/// The name of the journal in the run directory.
const JOURNAL: &str = "history.journal";
/// The name of the directory of the database in the state directory.
pub(super) const DIRECTORY: &str = "history";
/// The mode of the state directory; those of its files are narrower.
const STATE_DIRECTORY_MODE: u32 = 0o711;

/// How soon the recorder is started again, in milliseconds: doubled from one to the other.
const FIRST_PAUSE_MS: i64 = 1_000;
const LONGEST_PAUSE_MS: i64 = 300_000;
/// A recorder that has run for so long was healthy.
const HEALTHY_MS: i64 = 60_000;
/// Most lines of one recorder that go into the log.
const MOST_LINES: u32 = 100;
/// Most characters of such a line.
const LONGEST_TEXT: usize = 300;
/// How long the end of a daemon waits for the recorder where nothing would be left to run it.
const LAST_WAIT_MS: i64 = 3_000;
/// What a database in memory may take.
const BYTES_IN_MEMORY: u64 = 64 << 20;
/// Connections closed in a turn of the loop while no recorder runs.
const CLOSED_A_TURN: usize = 16;
/// Of how many runs it is known whose share of the journal they take.
const MOST_SHARES: usize = 4_096;

/// The history as the daemon has it.
#[derive(Debug)]
pub(super) struct History {
    /// The journal and the recorder. None: there is no history.
    open: Option<OpenHistory>,
    /// Why there is none, or `on`.
    state: String,
    /// Lines that are still to be logged.
    lines: Vec<(Level, String)>,
    /// Whose share of the journal the last runs take.
    shares: BTreeMap<RunId, Share>,
}

#[derive(Debug)]
struct OpenHistory {
    journal: JournalWriter,
    listener: Option<Listener>,
    /// The listener as an event source while no recorder accepts connections.
    refusing: Option<Token>,
    /// Whether connections could not be closed since the recorder was last tried.
    is_refusing_off: bool,
    recorder: Recorder,
    /// Why the last recorder ended or was not started, until another one works.
    problem: Option<String>,
    program: PathBuf,
    /// User id and group id of the recorder. None: those of this process.
    account: Option<(u32, u32)>,
    settings: RecorderSettings,
    /// How many bytes of the beginning, and how many of the end of a run's output are kept.
    output: u32,
    pause_ms: i64,
    is_failure_logged: bool,
    /// Events that were dropped because the journal was full: since when the recorder was last up to date, and in all.
    dropped: u64,
    dropped_in_all: u64,
}

#[derive(Debug)]
enum Recorder {
    /// The recorder is started at this time, milliseconds of the monotonic clock.
    Waiting(i64),
    Running(RunningRecorder),
}

#[derive(Debug)]
struct RunningRecorder {
    socket: OwnedFd,
    token: Token,
    /// The part of a line that has arrived.
    unread: Vec<u8>,
    since_ms: i64,
    lines: u32,
}

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unavailable {
    #[error("this program was built without it")]
    NotBuilt,
    #[error("the configuration says so")]
    NotWanted,
    #[error("there is no user {ACCOUNT}")]
    NoAccount,
    #[error("cronctl is not installed")]
    NoProgram,
    #[error("{0}")]
    File(#[from] PathError),
}

impl History {
    /// Opens the journal and the socket. The recorder is started by [`History::run_timers`].
    pub(super) fn open(settings: &Settings, threads: &SingleThreaded, has_control_socket: bool) -> History {
        let mut lines = Vec::new();
        match OpenHistory::new(settings, threads, has_control_socket, &mut lines) {
            Ok(open) => History { open: Some(open), state: "on".to_owned(), lines, shares: BTreeMap::new() },
            Err(why) => {
                match why {
                    Unavailable::NotWanted => {}
                    Unavailable::NotBuilt => lines.push((Level::Info, format!("no history is kept: {why}"))),
                    _ => lines.push((Level::Warning, format!("no history is kept: {why}"))),
                }
                History { open: None, state: why.to_string(), lines, shares: BTreeMap::new() }
            }
        }
    }

    /// `on`, or why there is no history; with the number of events that were dropped because the journal was full.
    pub(super) fn state(&self) -> String {
        let state = self.open.as_ref().and_then(OpenHistory::problem).unwrap_or_else(|| self.state.clone());
        match self.dropped() {
            0 => state,
            dropped => format!("{state}, {} left out", format_count(dropped, "event", "events")),
        }
    }

    /// How many events were dropped because the journal was full.
    pub(super) fn dropped(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.dropped_in_all)
    }

    /// Records an event at the end of this turn of the loop.
    pub(super) fn record(&mut self, share: Share, event: &HistoryEvent, bytes: &[u8]) {
        if let Some(open) = &mut self.open {
            open.journal.append(share, event, bytes);
        }
    }

    /// Notes whose share a run takes.
    pub(super) fn add_share(&mut self, run: RunId, share: Share) {
        self.shares.insert(run, share);
        if self.shares.len() > MOST_SHARES {
            self.shares.pop_first();
        }
    }

    /// The share of the journal that a run's events take. An unknown run takes none of root's.
    pub(super) fn share_of_run(&self, run: RunId) -> Share {
        self.shares.get(&run).copied().unwrap_or(Share::User(u32::MAX))
    }

    /// The share of a run, if it is one of the last runs that were begun.
    pub(super) fn share_of_recent_run(&self, run: RunId) -> Option<Share> {
        self.shares.get(&run).copied()
    }

    /// How much of the beginning and of the end of a run's output is kept, in bytes.
    pub(super) fn output_bytes(&self) -> u32 {
        self.open.as_ref().map_or(0, |open| open.output)
    }

    pub(super) fn is_on(&self) -> bool {
        self.open.is_some()
    }

    /// Writes the recorded events to the journal, and wakes the recorder.
    pub(super) fn flush(&mut self) {
        let Some(open) = &mut self.open else { return };
        let written = open.journal.flush();
        if let Err(why) = &written
            && open.dropped == 0
        {
            let text = format!("writing the journal of the history: {}; what happens is left out", reason(why));
            self.lines.push((Level::Warning, text));
        }
        if matches!(written, Ok(true))
            && let Recorder::Running(recorder) = &open.recorder
        {
            // A full socket has enough of these, and the end of the recorder is noticed otherwise.
            let _ = descriptor::send(recorder.socket.as_fd(), &[io::IoSlice::new(JOURNAL_HAS_GROWN)]);
        }
        let dropped = open.journal.take_dropped();
        if dropped > 0 {
            if open.dropped == 0 && written.is_ok() {
                let text =
                    "the journal of the history is full: what happens is left out until the recorder has caught up";
                self.lines.push((Level::Warning, text.to_owned()));
            }
            open.dropped += dropped;
            open.dropped_in_all += dropped;
        }
    }

    /// When [`History::run_timers`] has something to do, milliseconds of the monotonic clock.
    pub(super) fn deadline_ms(&self) -> Option<i64> {
        match self.open.as_ref()?.recorder {
            Recorder::Waiting(at) => Some(at),
            Recorder::Running(_) => None,
        }
    }

    /// Starts the recorder if it is time for that. `handler` is called when it has sent something, and `refuse` when somebody connects while no
    /// recorder runs: [`History::refuse_clients`] is to be called then.
    pub(super) fn run_timers<H: Copy>(&mut self, now_ms: i64, reactor: &mut Reactor<H>, handler: H, refuse: H) {
        let Some(open) =
            self.open.as_mut().filter(|open| matches!(open.recorder, Recorder::Waiting(at) if at <= now_ms))
        else {
            if let Some(open) = &mut self.open {
                open.watch_listener(reactor, refuse);
            }
            return;
        };
        open.stop_refusing(reactor);
        match open.spawn(now_ms, reactor, handler) {
            Ok(running) => open.recorder = Recorder::Running(running),
            Err(why) => {
                let why = reason(&why);
                let text = format!("starting the recorder of the history: {why}");
                let line = open.note_failure(now_ms, why, text);
                self.lines.extend(line);
                open.watch_listener(reactor, refuse);
            }
        }
    }

    /// Closes connections that no recorder will answer, so that no client waits.
    pub(super) fn refuse_clients<H: Copy>(&mut self, reactor: &mut Reactor<H>) {
        let Some(open) = &mut self.open else { return };
        let Some(listener) = open.listener.as_ref().filter(|_| open.refusing.is_some()) else { return };
        for _ in 0..CLOSED_A_TURN {
            match listener.accept() {
                Ok(closed) => drop(closed),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) => {
                }
                // No descriptor is left. The listener stays readable, which would keep the loop busy.
                Err(_) => {
                    open.stop_refusing(reactor);
                    open.is_refusing_off = true;
                    return;
                }
            }
        }
    }

    /// Reads what the recorder has sent.
    pub(super) fn handle_recorder<H: Copy>(&mut self, now_ms: i64, reactor: &mut Reactor<H>) {
        let Some(open) = &mut self.open else { return };
        let Recorder::Running(running) = &mut open.recorder else { return };
        let is_open = match files::read_on(running.socket.as_fd(), &mut running.unread, LONGEST_LINE) {
            Ok(0) => false,
            Ok(_) => true,
            Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        };
        let mut messages = Vec::new();
        while let Some(end) = running.unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = running.unread.drain(..=end).collect();
            messages.extend(serde_json::from_slice::<RecorderMessage>(&line));
        }
        let is_sane = running.unread.len() < LONGEST_LINE;
        let (mut off, mut not_started) = (None, None);
        for message in messages {
            let may_log = match &mut open.recorder {
                Recorder::Running(running) if !matches!(message, RecorderMessage::Applied(_)) => {
                    running.lines = running.lines.saturating_add(1);
                    running.lines <= MOST_LINES
                }
                _ => false,
            };
            match message {
                RecorderMessage::Applied(upto) => {
                    open.problem = None;
                    // If that fails, it is done with the next message.
                    let _ = open.journal.applied(upto, clock::wall_ms());
                    if open.journal.waiting() == 0 && open.dropped > 0 {
                        let dropped = std::mem::take(&mut open.dropped);
                        let left_out = match dropped {
                            1 => "1 event was".to_owned(),
                            count => format!("{count} events were"),
                        };
                        self.lines.push((Level::Info, format!("the history has caught up; {left_out} left out")));
                    }
                }
                RecorderMessage::Damaged(at) => {
                    if open.journal.discard(at, clock::wall_ms()).unwrap_or(false) && may_log {
                        self.lines.push((
                            Level::Warning,
                            "the journal of the history was damaged; a new one is begun".to_owned(),
                        ));
                    }
                }
                RecorderMessage::Info(text) if may_log => self.lines.push((Level::Info, one_line(&text))),
                RecorderMessage::Warning(text) if may_log => self.lines.push((Level::Warning, one_line(&text))),
                RecorderMessage::Info(_) | RecorderMessage::Warning(_) => {}
                RecorderMessage::NotStarted(why) => not_started = Some(one_line(&why)),
                RecorderMessage::Off(why) => off = Some(one_line(&why)),
            }
        }
        // Whatever could not be started ends at once; its end may be noticed only later.
        if is_open && is_sane && off.is_none() && not_started.is_none() {
            return;
        }
        let Recorder::Running(running) = std::mem::replace(&mut open.recorder, Recorder::Waiting(i64::MAX)) else {
            return;
        };
        reactor.remove(&running.socket, running.token);
        if let Some(why) = off {
            self.lines.push((Level::Warning, format!("no history is kept: {why}")));
            (self.open, self.state) = (None, why);
            return;
        }
        if now_ms - running.since_ms >= HEALTHY_MS {
            (open.pause_ms, open.is_failure_logged) = (FIRST_PAUSE_MS, false);
        }
        let (why, text) = match not_started {
            Some(why) => (why.clone(), format!("starting the recorder of the history: {why}; it is tried again")),
            None => {
                ("it has ended".to_owned(), "the recorder of the history has ended; it is started again".to_owned())
            }
        };
        let line = open.note_failure(now_ms, why, text);
        self.lines.extend(line);
    }

    /// Takes the lines for the log.
    pub(super) fn take_lines(&mut self) -> Vec<(Level, String)> {
        std::mem::take(&mut self.lines)
    }

    /// Records that the daemon ends, and lets the recorder end. With `waits` it is waited for.
    pub(super) fn end(&mut self, waits: bool) {
        self.record(Share::Root, &HistoryEvent::DaemonEnded { at_ms: clock::wall_ms() }, &[]);
        self.flush();
        let Some(OpenHistory { recorder: Recorder::Running(recorder), .. }) = self.open.take() else { return };
        if !waits || descriptor::shut_down_writing(recorder.socket.as_fd()).is_err() {
            return;
        }
        let until_ms = clock::monotonic_ms() + LAST_WAIT_MS;
        let mut piece = [0; 4096];
        loop {
            match descriptor::read(recorder.socket.as_fd(), &mut piece) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left_ms = until_ms - clock::monotonic_ms();
                    if left_ms <= 0 || descriptor::wait_until(recorder.socket.as_fd(), left_ms).is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

/// What the recorder is started from.
#[derive(Debug)]
pub(super) struct RecorderStart {
    pub(super) program: PathBuf,
    /// User id and group id. None: those of this process.
    pub(super) account: Option<(u32, u32)>,
}

impl RecorderStart {
    /// Finds the program and the user of the recorder.
    pub(super) fn find(settings: &Settings) -> Result<RecorderStart, Unavailable> {
        if !cfg!(feature = "history") {
            return Err(Unavailable::NotBuilt);
        }
        if !settings.config.history.is_kept {
            return Err(Unavailable::NotWanted);
        }
        let account = match settings.is_standalone() {
            true => None,
            false => Some(local_account(ACCOUNT)?.filter(|(uid, _)| *uid != 0).ok_or(Unavailable::NoAccount)?),
        };
        Ok(RecorderStart { program: files::cronctl().ok_or(Unavailable::NoProgram)?, account })
    }
}

impl OpenHistory {
    fn new(
        settings: &Settings,
        threads: &SingleThreaded,
        has_control_socket: bool,
        lines: &mut Vec<(Level, String)>,
    ) -> Result<OpenHistory, Unavailable> {
        let RecorderStart { program, account } = RecorderStart::find(settings)?;
        let config = settings.config.history;
        let keeps = !settings.is_standalone() || settings.state_dir_given;
        let directory = keeps.then(|| settings.config.state_dir.join(DIRECTORY));
        if let Some(directory) = &directory {
            make_directory(&settings.config.state_dir, directory, account)?;
        }
        let journal = open_journal(settings, lines)?;
        let listener = listen(settings, threads, has_control_socket).map_err(|why| {
            lines.push((Level::Info, format!("{why}; the history cannot be queried")));
        });
        let bytes = if keeps { config.size } else { config.size.min(BYTES_IN_MEMORY) };
        let retention = Retention { days: config.days, runs: config.runs, bytes };
        // What is wrong with the groups is logged with the control socket.
        let (Rights { control_group, view_group }, _) = control_socket::rights(settings);
        Ok(OpenHistory {
            journal,
            listener: listener.ok(),
            refusing: None,
            is_refusing_off: false,
            recorder: Recorder::Waiting(0),
            problem: None,
            program,
            account,
            settings: RecorderSettings { protocol: PROTOCOL, directory, retention, control_group, view_group },
            output: u32::try_from(config.output).unwrap_or(u32::MAX),
            pause_ms: FIRST_PAUSE_MS,
            is_failure_logged: false,
            dropped: 0,
            dropped_in_all: 0,
        })
    }

    /// Starts the recorder (`cronctl recorder`) with the journal and the listening socket.
    fn spawn<H: Copy>(&self, now_ms: i64, reactor: &mut Reactor<H>, handler: H) -> io::Result<RunningRecorder> {
        let (ours, theirs) = descriptor::stream_pair()?;
        let journal = File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(self.journal.file())))?;
        let descriptors = std::iter::once(journal.as_fd()).chain(self.listener.as_ref().map(Listener::as_fd));
        descriptor::send_descriptors(ours.as_fd(), &descriptors.collect::<Vec<_>>())?;
        let mut line = serde_json::to_vec(&self.settings).map_err(io::Error::from)?;
        line.push(b'\n');
        files::write_all(&ours, &line)?;
        let mut command = match self.account {
            Some(ids) => execute_as::command(ids, &self.program),
            None => Command::new(&self.program),
        };
        command.arg(VERB).env_clear().current_dir("/");
        // The recorder can write nowhere else, so SQLite's temporary files are there, too.
        command.envs(self.settings.directory.iter().map(|directory| ("SQLITE_TMPDIR", directory)));
        command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        // The loop reaps all children.
        #[allow(clippy::zombie_processes)]
        let _child = command.spawn()?;
        let token = reactor.add(&ours, Interest::Readable, handler)?;
        Ok(RunningRecorder { socket: ours, token, unread: Vec::new(), since_ms: now_ms, lines: 0 })
    }

    /// Why queries of the history are not answered. None: the recorder answers them.
    fn problem(&self) -> Option<String> {
        let why = self.problem.as_ref()?;
        match &self.recorder {
            Recorder::Waiting(_) => Some(format!("the recorder does not run: {why}")),
            Recorder::Running(running) if clock::monotonic_ms() - running.since_ms < HEALTHY_MS => {
                Some(format!("the recorder is being started again: {why}"))
            }
            Recorder::Running(_) => None,
        }
    }

    /// Waits for connections, which no recorder accepts after a failure.
    fn watch_listener<H: Copy>(&mut self, reactor: &mut Reactor<H>, refuse: H) {
        let is_down = self.problem.is_some() && matches!(self.recorder, Recorder::Waiting(_));
        if let Some(listener) =
            self.listener.as_ref().filter(|_| is_down && self.refusing.is_none() && !self.is_refusing_off)
        {
            // Without it clients wait as long as they please.
            self.refusing = reactor.add(listener, Interest::Readable, refuse).ok();
        }
    }

    /// Leaves connections to the next recorder.
    fn stop_refusing<H: Copy>(&mut self, reactor: &mut Reactor<H>) {
        if let (Some(listener), Some(token)) = (&self.listener, self.refusing.take()) {
            reactor.remove(listener, token);
        }
        self.is_refusing_off = false;
    }

    /// Has the recorder started later. The first failure of an incident is a line for the log.
    fn note_failure(&mut self, now_ms: i64, why: String, text: String) -> Option<(Level, String)> {
        self.problem = Some(why);
        self.recorder = Recorder::Waiting(now_ms + self.pause_ms);
        self.pause_ms = (self.pause_ms * 2).min(LONGEST_PAUSE_MS);
        (!std::mem::replace(&mut self.is_failure_logged, true)).then_some((Level::Warning, text))
    }
}

/// Makes the directory of the database, and the state directory, as far as they are missing. Nothing inside is opened.
fn make_directory(state: &Path, directory: &Path, account: Option<(u32, u32)>) -> Result<(), PathError> {
    let is_missing =
        |path: &Path| std::fs::symlink_metadata(path).is_err_and(|why| why.kind() == io::ErrorKind::NotFound);
    if is_missing(state) {
        let made = CreatedDirectory::create(state).and_then(|made| made.set_mode(STATE_DIRECTORY_MODE));
        made.map_err(os_at("making", state))?;
    }
    if is_missing(directory) {
        let made = CreatedDirectory::create(directory).and_then(|made| match account {
            Some((uid, gid)) => made.set_owner(uid, gid),
            None => Ok(()),
        });
        made.map_err(os_at("making", directory))?;
    }
    Ok(())
}

/// Opens the journal of an earlier daemon, or a new one. One that is no journal is put aside.
fn open_journal(settings: &Settings, lines: &mut Vec<(Level, String)>) -> Result<JournalWriter, PathError> {
    let now_ms = clock::wall_ms();
    if settings.is_standalone() && !settings.run_dir_given {
        let memory = Path::new("memory");
        let file = handover::memory_file().map_err(os_at("making a file in", memory))?;
        return Ok(JournalWriter::open(file, now_ms).map_err(os_at("making a journal in", memory))?.0);
    }
    let directory = settings.executors();
    created::make_trusted_directory(&directory, 0o755, Links::Refused).map_err(os_at("using", &directory))?;
    let path = directory.join(JOURNAL);
    let open = || match state_file::open_or_create(&path) {
        // Another kind of file is replaced. The caller holds the lock, so that no other daemon does the same.
        Err(error) if state_file::is_no_regular_file(&error) => {
            std::fs::remove_file(&path)?;
            state_file::open_or_create(&path)
        }
        opened => opened,
    };
    let opened = open().and_then(|file| JournalWriter::open(file, now_ms)).map_err(os_at("opening", &path))?;
    let (writer, FoundJournal::Unusable) = opened else { return Ok(opened.0) };
    drop(writer);
    let aside = directory.join(format!("{JOURNAL}.damaged"));
    std::fs::rename(&path, &aside).map_err(os_at("renaming", &path))?;
    lines.push((Level::Warning, format!("the journal of the history was damaged: it is now {}", aside.display())));
    Ok(open().and_then(|file| JournalWriter::open(file, now_ms)).map_err(os_at("opening", &path))?.0)
}

/// Opens the socket of the history.
fn listen(settings: &Settings, threads: &SingleThreaded, has_control_socket: bool) -> Result<Listener, PathError> {
    let directory = settings.sockets();
    make_socket_directory(&directory)?;
    let path = directory.join(HISTORY);
    // This daemon has the lock of the run directory, or the control socket beside this socket. So only the recorder of an earlier daemon can listen
    // here, or the recorder that this daemon had before it executed itself anew. Both end.
    if !settings.is_standalone() || settings.run_dir_given || has_control_socket {
        let _ = std::fs::remove_file(&path);
    }
    Listener::bind_for_all(threads, &path).map_err(os_at("making the socket", &path))
}

/// A text of another process as one line of the log.
fn one_line(text: &str) -> String {
    let end = text.char_indices().nth(LONGEST_TEXT).map_or(text.len(), |(at, _)| at);
    printable(text.get(..end).unwrap_or_default().as_bytes()).to_string()
}

pub(super) fn run_numbers<'a>(runs: impl Iterator<Item = &'a RunOfJob>) -> Vec<u64> {
    runs.map(|run| run.run.0).collect()
}
