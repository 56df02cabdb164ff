//! The recorder: reads the journal, applies it to the database, and reports to main how far it has come.

use super::journal::{JournalReader, Position};
use super::message::{LONGEST_LINE, PROTOCOL, RecorderMessage, RecorderSettings, protocol_of};
use super::store::{Opened, Store, StoreError};
use crate::sys::error::OsError;
use crate::sys::{clock, descriptor, files, process_lock, state_file};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Events wait so long for others, in milliseconds, so that one transaction takes many.
const BATCH_MS: i64 = 100;
/// Most events and bytes in a transaction.
const BATCH_EVENTS: usize = 500;
const BATCH_BYTES: usize = 4 << 20;
/// A power cut loses no more than what was applied in this time, in milliseconds.
const SYNC_MS: i64 = 1_000;
/// How soon a database that fails is tried again, in milliseconds.
const RETRY_MS: i64 = 5_000;
/// Bytes in the journal that cannot be read for so long are damaged, in milliseconds.
const UNREADABLE_MS: i64 = 5_000;
/// The time between two checks for rows to be deleted, and between two steps of deletion.
const TRIM_MS: i64 = 60_000;
const TRIM_STEP_MS: i64 = 20;
/// The time between two attempts to take the lock of the database.
const LOCK_MS: u64 = 20;
/// After so many of them it is said what is waited for.
const LOCK_WARNING: u32 = 250;

const LOCK: &str = "history.lock";

/// The reasons for which the recorder ends.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// Main has not sent what it begins with.
    #[error("this is started by crond")]
    NotStartedByMain,
    /// Main is of another version, and was told so.
    #[error("this recorder uses version {PROTOCOL} of the protocol, the daemon version {protocol}")]
    OtherVersion {
        /// The version of main.
        protocol: u32,
    },
    /// A system call failed.
    #[error("{0}")]
    Io(#[source] OsError),
    /// The database is of a later version.
    #[error("{0}")]
    Off(String),
}

impl From<io::Error> for RecorderError {
    fn from(error: io::Error) -> RecorderError {
        RecorderError::Io(error.into())
    }
}

/// Whether main still holds its end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MainState {
    /// Main is there: continue.
    Open,
    /// Apply what is left with [`Recorder::finish`], and end.
    Closed,
}

/// The state of the process that applies the journal: nothing in it is lost when it is killed, as the next one reads on where the database says.
#[derive(Debug)]
pub struct Recorder {
    main: OwnedFd,
    settings: RecorderSettings,
    journal: JournalReader,
    /// The database; none while it cannot be opened.
    store: Option<Store>,
    /// The lock that says that this process writes to the database.
    _lock: Option<File>,
    applied: Option<Position>,
    /// When the journal is read next, milliseconds of the monotonic clock.
    apply_at: Option<i64>,
    /// When the journal was read last, milliseconds of the monotonic clock.
    read_at: i64,
    /// When what was applied is brought to the disk.
    sync_at: Option<i64>,
    trim_at: i64,
    /// Since when the journal cannot be read behind what is applied.
    unreadable_since: Option<(Position, i64)>,
    /// Whether it was reported that the database fails.
    is_failing: bool,
}

impl Recorder {
    /// Receives what main begins with. Returns the listening socket, too, if there is one.
    ///
    /// # Errors
    ///
    /// This process was not started by main.
    pub fn begin(main: OwnedFd) -> Result<(Recorder, Option<OwnedFd>), RecorderError> {
        descriptor::set_nonblocking(main.as_fd(), false)?;
        let received = descriptor::receive_descriptors(main.as_fd())?.ok_or(RecorderError::NotStartedByMain)?;
        let mut received = received.into_iter();
        let journal = received.next().ok_or(RecorderError::NotStartedByMain)?;
        let listener = received.next();
        let line = read_line(main.as_fd())?;
        let protocol = protocol_of(&line).ok_or(RecorderError::NotStartedByMain)?;
        if protocol != PROTOCOL {
            let why = "cronctl on the disk is of another version than the running daemon: restart the daemon";
            send(&main, &RecorderMessage::Off(why.to_owned()))?;
            return Err(RecorderError::OtherVersion { protocol });
        }
        let settings: RecorderSettings = serde_json::from_slice(&line).map_err(|_| RecorderError::NotStartedByMain)?;
        let recorder = Recorder {
            main,
            settings,
            journal: JournalReader::new(journal.into()),
            store: None,
            _lock: None,
            applied: None,
            apply_at: Some(0),
            read_at: 0,
            sync_at: None,
            trim_at: clock::monotonic_ms() + TRIM_STEP_MS,
            unreadable_since: None,
            is_failing: false,
        };
        Ok((recorder, listener))
    }

    /// Waits for an earlier recorder to end, and opens the database.
    ///
    /// # Errors
    ///
    /// The kernel refuses a lock, main is gone, or the database is of another version.
    pub fn open_database(&mut self) -> Result<(), RecorderError> {
        self.take_lock()?;
        self.open()
    }

    fn take_lock(&mut self) -> io::Result<()> {
        let Some(directory) = &self.settings.directory else { return Ok(()) };
        let path = directory.join(LOCK);
        // Without a lock file there is no database either: opening that reports it.
        let Ok(file) = state_file::open_or_create(&path) else { return Ok(()) };
        let mut tries = 0;
        while !process_lock::take(&file)? {
            tries += 1;
            if tries == LOCK_WARNING {
                self.report(&RecorderMessage::Warning(format!(
                    "waiting for another process that has {} locked",
                    path.display()
                )))?;
            }
            std::thread::sleep(std::time::Duration::from_millis(LOCK_MS));
        }
        self._lock = Some(file);
        Ok(())
    }

    /// Opens the database. If that fails, it is tried again later.
    fn open(&mut self) -> Result<(), RecorderError> {
        let opened = match &self.settings.directory {
            Some(directory) => Store::open(directory, clock::wall().seconds),
            None => Store::in_memory().map(|store| Opened { store, put_aside: None }),
        };
        match opened {
            Ok(Opened { store, put_aside }) => {
                if let Some(path) = put_aside {
                    let text =
                        format!("the database was damaged: it is now {}, and a new one is begun", path.display());
                    self.report(&RecorderMessage::Warning(text))?;
                }
                self.applied = store.position().unwrap_or_default();
                // Main knows only what a recorder has reported. If each main is killed before that, the journal would grow until it is full.
                if let Some(applied) = self.applied {
                    self.report(&RecorderMessage::Applied(applied))?;
                }
                let searched = self.store.insert(store).find_full_jobs(self.settings.retention);
                Ok(searched.or_else(|error| self.fail(&error))?)
            }
            Err(error @ StoreError::Newer(_)) => {
                self.report(&RecorderMessage::Off(error.to_string()))?;
                Err(RecorderError::Off(error.to_string()))
            }
            Err(error) => {
                self.fail(&error)?;
                Ok(())
            }
        }
    }

    /// The connection to main: when it is readable, [`Recorder::handle_main`] is to be called.
    pub fn main(&self) -> BorrowedFd<'_> {
        self.main.as_fd()
    }

    /// The settings that main has sent at the beginning.
    pub fn settings(&self) -> &RecorderSettings {
        &self.settings
    }

    pub(super) fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// Reads what main has sent, all of which means that the journal has grown: it is read soon.
    ///
    /// # Errors
    ///
    /// The connection fails.
    pub fn handle_main(&mut self) -> io::Result<MainState> {
        let mut bytes = [0; 512];
        let count = descriptor::read(self.main.as_fd(), &mut bytes)?;
        if count == 0 {
            return Ok(MainState::Closed);
        }
        let soon = clock::monotonic_ms() + BATCH_MS;
        self.apply_at = Some(self.apply_at.map_or(soon, |at| at.min(soon)));
        Ok(MainState::Open)
    }

    /// How many milliseconds may pass until [`Recorder::run_timers`] has something to do.
    pub fn timeout_ms(&self) -> u64 {
        let at = [self.apply_at, self.sync_at].into_iter().flatten().fold(self.trim_at, i64::min);
        u64::try_from(at - clock::monotonic_ms()).unwrap_or(0)
    }

    /// Applies the journal and deletes old rows, if it is time for that.
    ///
    /// # Errors
    ///
    /// The journal cannot be read, main is gone, or the database is of another version.
    pub fn run_timers(&mut self) -> Result<(), RecorderError> {
        let now = clock::monotonic_ms();
        if self.apply_at.is_some_and(|at| at <= now) {
            self.apply_at = None;
            if self.store.is_none() {
                self.open()?;
            }
            if self.apply_batch(now)? {
                self.apply_at = Some(now);
            }
        } else if self.sync_at.is_some_and(|at| at <= now) {
            self.sync_at = None;
            let synced = self.store.as_ref().map_or(Ok(()), Store::sync);
            synced.or_else(|error| self.fail(&error))?;
        } else if self.trim_at <= now {
            self.trim(now)?;
        }
        Ok(())
    }

    /// Applies everything that is in the journal, after main has closed its end. What cannot be applied stays in the journal.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub fn finish(&mut self) -> Result<(), RecorderError> {
        while self.store.is_some() && self.apply_batch(clock::monotonic_ms())? {}
        Ok(())
    }

    /// Applies some events if the journal has not been read for a while. What fails is tried again, and reported, by [`Recorder::run_timers`].
    pub(super) fn catch_up(&mut self) {
        let now = clock::monotonic_ms();
        if self.is_failing || now - self.read_at < BATCH_MS {
            return;
        }
        if !matches!(self.apply_batch(now), Ok(false)) {
            self.apply_at = Some(now);
        }
    }

    /// Applies some events. Returns whether there may be more.
    fn apply_batch(&mut self, now: i64) -> Result<bool, RecorderError> {
        self.read_at = now;
        let Some(store) = &mut self.store else { return Ok(false) };
        let Some(batch) = self.journal.read(self.applied, BATCH_EVENTS, BATCH_BYTES)? else { return Ok(false) };
        if Some(batch.end) == self.applied || batch.events.is_empty() {
            self.applied = Some(batch.end);
            if batch.has_trailing_garbage {
                self.check_unreadable(batch.end, now)?;
            }
            return Ok(false);
        }
        self.unreadable_since = None;
        match store.apply(&batch.events, batch.end) {
            Ok(()) => {
                self.applied = Some(batch.end);
                self.sync_at.get_or_insert(now + SYNC_MS);
                if std::mem::take(&mut self.is_failing) {
                    self.report(&RecorderMessage::Info("the history is written again".to_owned()))?;
                }
                self.report(&RecorderMessage::Applied(batch.end))?;
                Ok(true)
            }
            Err(error) => {
                self.fail(&error)?;
                Ok(false)
            }
        }
    }

    fn check_unreadable(&mut self, end: Position, now: i64) -> io::Result<()> {
        let since = self.unreadable_since.filter(|(at, _)| *at == end).map(|(_, since)| since);
        if since.is_some_and(|since| now - since >= UNREADABLE_MS) {
            self.unreadable_since = None;
            return self.report(&RecorderMessage::Damaged(end));
        }
        self.unreadable_since = Some((end, since.unwrap_or(now)));
        self.apply_at = Some(now + UNREADABLE_MS / 5);
        Ok(())
    }

    /// Takes note of a failure of the database: a damaged one is opened again, which puts it aside; everything else is tried again later.
    fn fail(&mut self, error: &StoreError) -> io::Result<()> {
        self.apply_at = Some(clock::monotonic_ms() + RETRY_MS);
        if error.is_damage() && self.store.take().is_some() {
            self.apply_at = Some(clock::monotonic_ms());
            return Ok(());
        }
        if !std::mem::replace(&mut self.is_failing, true) {
            let text =
                format!("the history cannot be written: {}; what happens waits in the run directory", error.brief());
            self.report(&RecorderMessage::Warning(text))?;
        }
        Ok(())
    }

    fn trim(&mut self, now: i64) -> Result<(), RecorderError> {
        let Some(store) = &mut self.store else {
            self.trim_at = now + TRIM_MS;
            return Ok(());
        };
        match store.trim(self.settings.retention, clock::wall_ms()) {
            Ok(true) => self.trim_at = now + TRIM_STEP_MS,
            Ok(false) => self.trim_at = now + TRIM_MS,
            Err(error) => {
                self.trim_at = now + TRIM_MS;
                self.fail(&error)?;
            }
        }
        Ok(())
    }

    /// Has main log something at level info.
    ///
    /// # Errors
    ///
    /// The connection fails.
    pub fn inform(&self, text: String) -> io::Result<()> {
        self.report(&RecorderMessage::Info(text))
    }

    /// Sends a message to main.
    fn report(&self, message: &RecorderMessage) -> io::Result<()> {
        send(&self.main, message)
    }
}

fn send(main: &OwnedFd, message: &RecorderMessage) -> io::Result<()> {
    let mut line = serde_json::to_vec(message).map_err(io::Error::from)?;
    line.push(b'\n');
    match files::write_all(main, &line) {
        // Main is gone: that is noticed when its end is read.
        Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => Ok(()),
        written => written,
    }
}

fn read_line(from: BorrowedFd<'_>) -> Result<Vec<u8>, RecorderError> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < LONGEST_LINE {
        if descriptor::read(from, &mut byte)? == 0 {
            return Err(RecorderError::NotStartedByMain);
        }
        if byte == *b"\n" {
            return Ok(line);
        }
        line.extend_from_slice(&byte);
    }
    Err(RecorderError::NotStartedByMain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_recorder_of_another_version_than_main_says_so_and_ends() {
        // What a later version may send, and what one from before there were numbers sends.
        for (settings, version) in [("{\"protocol\":9999,\"directories\":[]}\n", 9999), ("{\"directory\":null}\n", 0)] {
            let (main, recorder) = UnixStream::pair().unwrap();
            let journal = tempfile::tempfile().unwrap();
            descriptor::send_descriptors(main.as_fd(), &[journal.as_fd()]).unwrap();
            files::write_all(&main, settings.as_bytes()).unwrap();
            let refused = Recorder::begin(recorder.into()).map(drop);
            assert!(
                matches!(refused, Err(RecorderError::OtherVersion { protocol }) if protocol == version),
                "{refused:?}"
            );
            match serde_json::from_slice(&read_line(main.as_fd()).unwrap()).unwrap() {
                RecorderMessage::Off(why) => assert!(why.contains("restart the daemon"), "{why}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
