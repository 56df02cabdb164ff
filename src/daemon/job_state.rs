//! The state of jobs that the next daemon needs, kept in the state directory by a thread of its own, so that the event loop never waits for a disk.
//!
//! The event loop hands over the changes of each turn. Both sides share the live content, of which the thread writes what has changed: so nothing
//! that waits can grow beyond the live content, however slow the disk is. The file is appended to, and written anew at the start, after an
//! error, and when most of it is out of date.
//!
//! The same thread works on the stamps of anacron's jobs.

use super::job_state_file::{Content, Item, LineWriter, NewerVersion, decode};
use super::stamps::{StampResult, StampStep, StampTask};
use crate::report::format_count;
use crate::schedule::{Day, Timestamp};
use crate::scheduler::{RunId, SavedState, StateChange};
use crate::sys::created::{self, CreatedFile, FoundDirectory, UNTRUSTED};
use crate::sys::files::{self, Links, reason};
use crate::sys::poll::Notifier;
use crate::sys::{clock, process_lock, state_file};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The user whose jobs have a share of their own.
const ROOT: &str = "root";

const NAME: &str = "state";
/// The name under which the newest damaged file is put aside.
const DAMAGED: &str = "state.damaged";
const NEW: &str = "state.new";
const LOCK: &str = "state.lock";
/// Others must reach what is below the directory, and need not read the directory itself.
const DIRECTORY_MODE: u32 = 0o711;

/// A larger file is not read. The thread writes at most twice what may be kept, and what one batch adds.
const LONGEST_FILE: usize = 160 << 20;
/// A smaller file is never written anew.
const SHORTEST_COMPACTED: u64 = 1 << 20;
/// Pause after an error, and least time between two syncs, in milliseconds.
const RETRY_MS: i64 = 60_000;
const SYNC_MS: i64 = 1_000;
/// Changed keys that are remembered one by one; with more the file is written anew.
const MOST_CHANGED: usize = 100_000;

/// How much state is kept, so that no user can make the file grow.
#[derive(Clone, Copy, Debug)]
struct Limits {
    records_per_user: usize,
    bytes_per_user: usize,
    /// For root's jobs, which are those of the system's tables.
    bytes_of_root: usize,
    /// Bytes for the jobs of all users but root.
    bytes_of_users: usize,
}

const LIMITS: Limits =
    Limits { records_per_user: 20_000, bytes_per_user: 8 << 20, bytes_of_root: 16 << 20, bytes_of_users: 32 << 20 };

/// A job and a part of its state.
type Key = (Box<str>, &'static str);

/// The records and bytes that the jobs of one user take.
#[derive(Clone, Copy, Debug, Default)]
struct UserSpace {
    records: usize,
    bytes: usize,
    /// Whether it was said that there is too much.
    is_limit_logged: bool,
}

/// The live content of the file: the latest state of each job.
#[derive(Debug)]
struct Live {
    limits: Limits,
    /// Each part as the JSON of its item.
    items: BTreeMap<Key, Arc<str>>,
    users: HashMap<Box<str>, UserSpace>,
    bytes: usize,
    handled: Option<Timestamp>,
    reserved: Option<RunId>,
}

/// Whether a change fits into the limits of its user, and is kept.
#[derive(Debug, PartialEq, Eq)]
enum Kept {
    Yes,
    /// The user has too much; the first time it is to be said.
    TooMuch {
        is_first: bool,
    },
}

impl Live {
    fn new(limits: Limits) -> Live {
        Live { limits, items: BTreeMap::new(), users: HashMap::new(), bytes: 0, handled: None, reserved: None }
    }

    /// Takes a change. Where it is too much, nothing is kept of that part: an old state would be a wrong one.
    fn apply(&mut self, change: StateChange) -> (Key, Kept) {
        let (job, part) = change.key();
        let (key, user) = ((Box::from(job), part), Box::<str>::from(change.user()));
        let is_removal = change.is_removal();
        self.remove(&key, &user);
        let Some(item) = (!is_removal).then(|| serde_json::to_string(&Item::Change(change)).ok()).flatten() else {
            return (key, Kept::Yes);
        };
        let size = item.len() + key.0.len();
        let is_root = &*user == ROOT;
        let most = if is_root { self.limits.bytes_of_root } else { self.limits.bytes_per_user };
        // The common limit is for users: root's share is not theirs.
        let is_full = !is_root && self.bytes_of_users() + size > self.limits.bytes_of_users;
        let space = self.users.entry(user).or_default();
        if space.records >= self.limits.records_per_user || space.bytes + size > most || is_full {
            let is_first = !std::mem::replace(&mut space.is_limit_logged, true);
            return (key, Kept::TooMuch { is_first });
        }
        space.records += 1;
        space.bytes += size;
        self.bytes += size;
        self.items.insert(key.clone(), item.into());
        (key, Kept::Yes)
    }

    /// What the jobs of all users but root take.
    fn bytes_of_users(&self) -> usize {
        self.bytes - self.users.get(ROOT).map_or(0, |space| space.bytes)
    }

    fn remove(&mut self, key: &Key, user: &str) {
        let Some(item) = self.items.remove(key) else { return };
        let size = item.len() + key.0.len();
        self.bytes -= size;
        if let Some(space) = self.users.get_mut(user) {
            space.records -= 1;
            space.bytes -= size;
            if space.records == 0 && !space.is_limit_logged {
                self.users.remove(user);
            }
        }
    }
}

/// What the event loop and the writing thread share.
#[derive(Debug)]
struct Shared {
    live: Live,
    changed: BTreeSet<Key>,
    has_new_numbers: bool,
    is_rewritten: bool,
    is_ended: bool,
    is_failing: bool,
    /// Why, or why it was failing last.
    failure: String,
    /// The number of commits so far.
    last_commit: u64,
    /// The last commit that is in the file after a sync.
    synced_commit: u64,
    /// The last commit with changes of jobs.
    last_job_commit: u64,
    /// The last commit that is in the file, synced or not.
    appended_commit: u64,
    /// Whether the loop waits for that.
    wants_wake_up: bool,
    wants_sync: bool,
    log_lines: Vec<StateLogLine>,
    /// Work on stamps, in its order. The first one may be being done; it stays here until it is done.
    stamp_tasks: VecDeque<StampTask>,
    stamp_results: Vec<StampResult>,
}

/// What the writing thread wants in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StateLogLine {
    /// A line for the log at the level of a warning.
    Warning(String),
    /// A line for the log at the level of an information.
    Info(String),
}

#[derive(Debug)]
struct Exchange {
    shared: Mutex<Shared>,
    /// Signalled when there is something to write.
    work: Condvar,
    /// Signalled when something was written or could not be written.
    done: Condvar,
}

impl Exchange {
    /// The shared state. A thread that panicked has left complete values.
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The durable state as the event loop uses it: changes are passed to a thread that writes them.
#[derive(Debug)]
pub(super) struct JobStateStore {
    exchange: Arc<Exchange>,
    notifier: Notifier,
    /// Changes of the turn of the loop.
    changes: Vec<StateChange>,
    handled: Option<Timestamp>,
    thread: Option<JoinHandle<()>>,
    _lock: Option<File>,
}

/// What a daemon finds in its state directory.
#[derive(Debug, Default)]
pub(super) struct OpenedState {
    /// None: nothing can be kept, for a reason that is among the lines for the log.
    pub(super) store: Option<JobStateStore>,
    pub(super) saved: SavedState,
    pub(super) reserved: Option<RunId>,
    pub(super) log_lines: Vec<StateLogLine>,
    /// Why nothing is kept, where there is no store.
    pub(super) why_not: String,
}

/// Reads the state that is in a directory, which is made if it is missing, and begins to keep it there.
pub(super) fn open(directory: &Path, boot: &str) -> OpenedState {
    let mut log_lines = Vec::new();
    let mut warn = |text: String| log_lines.push(StateLogLine::Warning(text));
    let nothing = |why_not: String| {
        let log_lines = vec![StateLogLine::Warning(format!("{why_not}; {NOT_KEPT}"))];
        OpenedState { log_lines, why_not, ..OpenedState::default() }
    };
    let path = directory.join(NAME);
    // A directory that cannot be made now may exist when the thread tries again.
    if make_directory(directory).is_err()
        && created::inspect_directory(directory, Links::Followed).is_ok_and(|found| found == FoundDirectory::Untrusted)
    {
        return nothing(format!("the state directory {}: {UNTRUSTED}", directory.display()));
    }
    let lock = match lock(directory) {
        Ok(Some(lock)) => Some(lock),
        Ok(None) => {
            return nothing(format!("another daemon uses the state directory {}", directory.display()));
        }
        // Nothing can be written there by anybody.
        Err(_) => None,
    };
    let content = match read(&path, boot) {
        Ok(Some(Ok(content))) => content,
        Ok(Some(Err(NewerVersion(version)))) => {
            return nothing(format!(
                "{} has the newer version {version}: it is neither used nor changed",
                path.display()
            ));
        }
        Ok(None) => Content::default(),
        Err(error) => {
            let kept = put_aside(directory);
            warn(format!("reading {}: {}{kept}; jobs begin without it", path.display(), reason(&error)));
            Content::default()
        }
    };
    if let Some(line) = content.damaged_at {
        let kept = put_aside(directory);
        warn(format!("{} is damaged from line {line} on{kept}; the lines before it are used", path.display()));
    }
    if content.left_out > 0 {
        let items = format_count(content.left_out, "item", "items");
        warn(format!("{} has {items} of a later version, which are ignored", path.display()));
    }
    let Content { mut saved, reserved, .. } = content;
    // The thread writes it as a state of this boot.
    saved.convert_to_boot(Timestamp(clock::wall().seconds), clock::monotonic_ms());
    let started = JobStateStore::start(directory, boot, &saved, reserved, lock, LIMITS);
    let mut why_not = String::new();
    let store = started.map_err(|error| {
        why_not = format!("starting the thread that keeps state: {}", reason(&error));
        warn(format!("{why_not}; {NOT_KEPT}"));
    });
    OpenedState { store: store.ok(), saved, reserved, log_lines, why_not }
}

const NOT_KEPT: &str = "the state of jobs lasts as long as this process";

/// Makes the directory, which may be a symbolic link to another file system. Whoever may write there could give root's jobs a state.
pub(super) fn make_directory(directory: &Path) -> io::Result<()> {
    created::make_trusted_directory(directory, DIRECTORY_MODE, Links::Followed)
}

/// Takes the lock of the directory. None: another process holds it.
fn lock(directory: &Path) -> io::Result<Option<File>> {
    let file = state_file::open_or_create(&directory.join(LOCK))?;
    Ok(process_lock::take(&file)?.then_some(file))
}

type Read = Option<Result<Content, NewerVersion>>;

fn read(path: &Path, boot: &str) -> io::Result<Read> {
    match state_file::read(path, LONGEST_FILE) {
        Ok(bytes) => Ok(Some(decode(&bytes, boot))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Keeps a copy of the newest damaged file, and returns what the warning says of it. The file itself stays until a new one replaces it: its good
/// lines would be lost if the new one could not be written.
fn put_aside(directory: &Path) -> String {
    let aside = directory.join(DAMAGED);
    let removed = fs::remove_file(&aside).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    });
    match removed.and_then(|()| fs::hard_link(directory.join(NAME), &aside)) {
        Ok(()) => format!(" and kept as {}", aside.display()),
        Err(_) => String::new(),
    }
}

impl JobStateStore {
    fn start(
        directory: &Path,
        boot: &str,
        saved: &SavedState,
        reserved: Option<RunId>,
        lock: Option<File>,
        limits: Limits,
    ) -> io::Result<JobStateStore> {
        let mut live = Live::new(limits);
        (live.handled, live.reserved) = (saved.handled(), reserved);
        for change in saved.changes() {
            live.apply(change);
        }
        let shared = Shared {
            live,
            changed: BTreeSet::new(),
            has_new_numbers: false,
            is_rewritten: true,
            is_ended: false,
            is_failing: false,
            failure: String::new(),
            last_commit: 1,
            synced_commit: 0,
            last_job_commit: 1,
            appended_commit: 0,
            wants_wake_up: false,
            wants_sync: false,
            log_lines: Vec::new(),
            stamp_tasks: VecDeque::new(),
            stamp_results: Vec::new(),
        };
        let exchange = Arc::new(Exchange { shared: Mutex::new(shared), work: Condvar::new(), done: Condvar::new() });
        let notifier = Notifier::new()?;
        let writer = Writer {
            exchange: exchange.clone(),
            notifier: notifier.clone(),
            directory: directory.to_owned(),
            boot: boot.to_owned(),
            file: None,
            lines: LineWriter::default(),
            length: 0,
            synced_at: None,
            is_synced: true,
        };
        let thread = thread::Builder::new().name("job state".to_owned()).spawn(move || writer.run())?;
        Ok(JobStateStore { exchange, notifier, changes: Vec::new(), handled: None, thread: Some(thread), _lock: lock })
    }

    /// Becomes readable when there are lines for the log, or results of work on stamps.
    pub(super) fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// Takes the messages for the log, and the results of work on stamps.
    pub(super) fn take_reports(&self) -> (Vec<StateLogLine>, Vec<StampResult>) {
        self.notifier.answer();
        let mut shared = self.exchange.lock();
        (std::mem::take(&mut shared.log_lines), std::mem::take(&mut shared.stamp_results))
    }

    /// Has the thread work on a stamp. A stamp that is to be written twice is written once, with the later day.
    pub(super) fn add_stamp_task(&self, task: StampTask) {
        let mut shared = self.exchange.lock();
        let is_write = |step: StampStep| matches!(step, StampStep::Write(_));
        // The first one may be being done.
        let same = shared.stamp_tasks.iter_mut().skip(1).find(|other| other.id == task.id && is_write(other.step));
        match same.filter(|_| is_write(task.step)) {
            Some(same) => same.step = task.step,
            None => shared.stamp_tasks.push_back(task),
        }
        self.exchange.work.notify_one();
    }

    /// The days of stamps that are not on the disk yet, by the identifiers of their jobs.
    pub(super) fn unwritten_stamps(&self) -> HashMap<Vec<u8>, Day> {
        let shared = self.exchange.lock();
        let unwritten = shared.stamp_tasks.iter().filter_map(|task| match task.step {
            StampStep::Write(day) => Some((task.id.clone(), day)),
            StampStep::Prepare => None,
        });
        unwritten.collect()
    }

    /// Keeps a change from the next [`JobStateStore::commit`] on.
    pub(super) fn add(&mut self, change: StateChange) {
        self.changes.push(change);
    }

    /// Keeps that everything due up to there was handled, from the next [`JobStateStore::commit`] on.
    pub(super) fn set_handled(&mut self, handled: Timestamp) {
        self.handled = Some(handled);
    }

    /// Keeps a reservation of run numbers.
    pub(super) fn set_reserved(&self, upto: RunId) {
        let mut shared = self.exchange.lock();
        shared.live.reserved = Some(upto);
        shared.has_new_numbers = true;
        shared.last_commit += 1;
        self.exchange.work.notify_one();
    }

    /// Hands over what was added, all of it together.
    pub(super) fn commit(&mut self) {
        if self.changes.is_empty() && self.handled.is_none() {
            return;
        }
        let mut shared = self.exchange.lock();
        if !self.changes.is_empty() {
            shared.last_job_commit = shared.last_commit + 1;
        }
        for change in self.changes.drain(..) {
            let user = change.user().to_owned();
            let (key, kept) = shared.live.apply(change);
            if kept == (Kept::TooMuch { is_first: true }) {
                let text = format!(
                    "the jobs of {user} have more state than is kept; some of it lasts as long as this process"
                );
                shared.log_lines.push(StateLogLine::Warning(text));
                self.notifier.notify();
            }
            if shared.changed.len() < MOST_CHANGED {
                shared.changed.insert(key);
            } else {
                shared.changed.clear();
                shared.is_rewritten = true;
            }
        }
        if let Some(handled) = self.handled.take().filter(|handled| shared.live.handled != Some(*handled)) {
            shared.live.handled = Some(handled);
            shared.has_new_numbers = true;
        }
        shared.last_commit += 1;
        self.exchange.work.notify_one();
    }

    /// Whether a daemon that follows this one after a crash would find all changes, or never will. If not, the notifier becomes readable
    /// when they are written.
    pub(super) fn is_written(&self) -> bool {
        let mut shared = self.exchange.lock();
        let is_written =
            self.changes.is_empty() && (shared.is_failing || shared.appended_commit >= shared.last_job_commit);
        shared.wants_wake_up |= !is_written;
        is_written
    }

    /// Whether the next daemon will find what is handed over.
    pub(super) fn is_kept(&self) -> bool {
        !self.exchange.lock().is_failing
    }

    /// Why the next daemon will not find what is handed over. None: it will.
    pub(super) fn failure(&self) -> Option<String> {
        let shared = self.exchange.lock();
        shared.is_failing.then(|| shared.failure.clone())
    }

    /// Waits until everything is on the disk, but not longer than that.
    pub(super) fn flush(&mut self, at_most: Duration) {
        self.commit();
        let mut shared = self.exchange.lock();
        shared.wants_sync = true;
        let last_commit = shared.last_commit;
        self.exchange.work.notify_one();
        let is_waiting = |shared: &mut Shared| {
            (shared.synced_commit < last_commit && !shared.is_failing) || !shared.stamp_tasks.is_empty()
        };
        // What is not written by then is lost with this process.
        let _ = self.exchange.done.wait_timeout_while(shared, at_most, is_waiting);
    }
}

impl Drop for JobStateStore {
    fn drop(&mut self) {
        self.exchange.lock().is_ended = true;
        self.exchange.work.notify_one();
        // A thread that hangs in a write must not keep the process.
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished) {
            let _ = thread.join();
        }
    }
}

/// Writes the state file, in a thread of its own.
#[derive(Debug)]
struct Writer {
    exchange: Arc<Exchange>,
    notifier: Notifier,
    directory: PathBuf,
    boot: String,
    /// None: it has to be written anew.
    file: Option<File>,
    lines: LineWriter,
    length: u64,
    /// When it was synced, in milliseconds of the monotonic clock, and whether nothing was written since.
    synced_at: Option<i64>,
    is_synced: bool,
}

/// What the thread writes in one go.
#[derive(Debug)]
enum Batch {
    /// The whole live content, which replaces the file.
    All(Vec<Arc<str>>),
    /// Changes, which are appended to the file as one record.
    Changes(Vec<Arc<str>>),
    /// Nothing, but it is time for a sync.
    Sync,
    /// The next work on a stamp.
    Stamp(StampTask),
}

impl Writer {
    fn run(mut self) {
        let mut retry_at_ms: Option<i64> = None;
        while let Some((batch, last_commit)) = self.next_batch(retry_at_ms) {
            let written = match batch {
                Batch::All(items) => self.write_all(&items),
                Batch::Changes(items) => self.append(&items),
                Batch::Sync => Ok(()),
                Batch::Stamp(task) => {
                    self.report_stamp(task.carry_out());
                    continue;
                }
            };
            let wants_sync = self.exchange.lock().take_sync_request(last_commit);
            let written = written.and_then(|()| self.sync(wants_sync));
            retry_at_ms = written.is_err().then(|| clock::monotonic_ms().saturating_add(RETRY_MS));
            self.report_write(written, last_commit);
        }
    }

    /// Waits for something to do. None: the daemon has ended.
    fn next_batch(&self, retry_at_ms: Option<i64>) -> Option<(Batch, u64)> {
        let mut shared = self.exchange.lock();
        loop {
            let now_ms = clock::monotonic_ms();
            if shared.is_ended {
                return None;
            }
            if let Some(task) = shared.stamp_tasks.front() {
                return Some((Batch::Stamp(task.clone()), shared.last_commit));
            }
            let sync_at = (!self.is_synced).then(|| self.synced_at.map_or(now_ms, |at| at.saturating_add(SYNC_MS)));
            match retry_at_ms {
                Some(at) if at > now_ms => {}
                _ => {
                    let last_commit = shared.last_commit;
                    let too_long = (shared.live.bytes as u64).saturating_mul(2).max(SHORTEST_COMPACTED);
                    let has_work = shared.is_rewritten || !shared.changed.is_empty() || shared.has_new_numbers;
                    if shared.is_rewritten || retry_at_ms.is_some() || (has_work && self.length > too_long) {
                        return Some((Batch::All(shared.take_all()), last_commit));
                    }
                    if has_work {
                        return Some((Batch::Changes(shared.take_changes()), last_commit));
                    }
                    if shared.wants_sync || sync_at.is_some_and(|at| at <= now_ms) {
                        return Some((Batch::Sync, last_commit));
                    }
                }
            }
            let wake_at = retry_at_ms.or(sync_at);
            shared = match wake_at {
                Some(at) => {
                    let wait = Duration::from_millis(at.saturating_sub(now_ms).max(1).unsigned_abs());
                    self.exchange.work.wait_timeout(shared, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.exchange.work.wait(shared).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Reports to the event loop the result of writing the changes up to number `last_commit`.
    fn report_write(&mut self, written: io::Result<()>, last_commit: u64) {
        let path = self.directory.join(NAME);
        let mut shared = self.exchange.lock();
        let log_lines = match &written {
            Ok(()) if shared.is_failing => {
                Some(StateLogLine::Info(format!("the state of jobs is kept in {} again", path.display())))
            }
            Err(error) if !shared.is_failing => {
                Some(StateLogLine::Warning(format!("writing {}: {}; {NOT_KEPT}", path.display(), reason(error))))
            }
            _ => None,
        };
        shared.is_failing = written.is_err();
        if let Err(error) = &written {
            shared.failure = format!("writing {}: {}", path.display(), reason(error));
        }
        if written.is_ok() {
            shared.appended_commit = last_commit;
        }
        if written.is_ok() && self.is_synced {
            shared.synced_commit = last_commit;
        }
        if std::mem::take(&mut shared.wants_wake_up) {
            self.notifier.notify();
        }
        if written.is_err() {
            self.file = None;
            self.is_synced = true;
            shared.is_rewritten = true;
        }
        if let Some(log_lines) = log_lines {
            shared.log_lines.push(log_lines);
            self.notifier.notify();
        }
        self.exchange.done.notify_all();
    }

    /// Reports to the event loop the result of the first work on a stamp.
    fn report_stamp(&self, result: StampResult) {
        let mut shared = self.exchange.lock();
        shared.stamp_tasks.pop_front();
        shared.stamp_results.push(result);
        self.notifier.notify();
        self.exchange.done.notify_all();
    }

    /// Puts a new file in the place of the old one.
    fn write_all(&mut self, items: &[Arc<str>]) -> io::Result<()> {
        let new = self.directory.join(NEW);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        make_directory(&self.directory)?;
        let file: File = CreatedFile::create(&new)?.into();
        let mut out = io::BufWriter::new(&file);
        let mut length = 0;
        let header = self.lines.header(&self.boot)?;
        let records =
            std::iter::once(header).chain(items.iter().map(|item| self.lines.record(std::iter::once(&**item))));
        for line in records {
            out.write_all(line.as_bytes())?;
            length += line.len() as u64;
        }
        out.flush()?;
        drop(out);
        file.sync_all()?;
        fs::rename(&new, self.directory.join(NAME))?;
        files::sync(files::open_dir(&self.directory)?)?;
        (self.file, self.length) = (Some(file), length);
        (self.synced_at, self.is_synced) = (Some(clock::monotonic_ms()), true);
        Ok(())
    }

    fn append(&mut self, items: &[Arc<str>]) -> io::Result<()> {
        let Some(mut file) = self.file.as_ref() else { return Err(io::Error::other("the file is not open")) };
        let line = self.lines.record(items.iter().map(|item| &**item));
        self.is_synced = false;
        self.length += line.len() as u64;
        file.write_all(line.as_bytes())
    }

    /// Syncs what was written, at once if that is wanted, else when the last time is long enough ago.
    fn sync(&mut self, is_wanted: bool) -> io::Result<()> {
        let now_ms = clock::monotonic_ms();
        let is_time = self.synced_at.is_none_or(|at| at.saturating_add(SYNC_MS) <= now_ms);
        if self.is_synced || !(is_wanted || is_time) {
            return Ok(());
        }
        if let Some(file) = &self.file {
            file.sync_data()?;
        }
        (self.synced_at, self.is_synced) = (Some(now_ms), true);
        Ok(())
    }
}

impl Shared {
    /// Whether a sync is requested. The request stays if more has been handed over since.
    fn take_sync_request(&mut self, last_commit: u64) -> bool {
        let wants_sync = self.wants_sync;
        self.wants_sync &= self.last_commit != last_commit;
        wants_sync
    }

    fn take_all(&mut self) -> Vec<Arc<str>> {
        self.changed.clear();
        (self.is_rewritten, self.has_new_numbers) = (false, false);
        self.numbers().into_iter().chain(self.live.items.values().cloned()).collect()
    }

    fn take_changes(&mut self) -> Vec<Arc<str>> {
        let mut items: Vec<Arc<str>> = Vec::new();
        for (job, part) in std::mem::take(&mut self.changed) {
            match self.live.items.get(&(job.clone(), part)) {
                Some(item) => items.push(item.clone()),
                None => items.extend(removal(&job, part)),
            }
        }
        if std::mem::take(&mut self.has_new_numbers) {
            items.extend(self.numbers());
        }
        items
    }

    fn numbers(&self) -> Vec<Arc<str>> {
        let handled = self.live.handled.map(Item::Handled);
        let reserved = self.live.reserved.map(Item::Reserved);
        let items = handled.into_iter().chain(reserved);
        items.filter_map(|item| serde_json::to_string(&item).ok()).map(Arc::from).collect()
    }
}

fn removal(job: &str, part: &str) -> Option<Arc<str>> {
    let item = serde_json::json!({ "change": { "job": job, "part": { part: null } } });
    serde_json::to_string(&item).ok().map(Arc::from)
}

#[cfg(test)]
mod tests {
    use super::super::stamps::Stamps;
    use super::*;
    use crate::sys::created::CreatedDirectory;
    use std::os::unix::fs::MetadataExt;

    const WAIT: Duration = Duration::from_secs(30);

    fn change(job: &str, at: i64) -> StateChange {
        serde_json::from_str(&format!(r#"{{"job":"{job}","part":{{"first-seen":[7,{at}]}}}}"#)).unwrap()
    }

    fn start(directory: &Path, limits: Limits) -> JobStateStore {
        JobStateStore::start(directory, "boot", &SavedState::default(), None, None, limits).unwrap()
    }

    fn content(directory: &Path) -> Content {
        read(&directory.join(NAME), "boot").unwrap().unwrap().unwrap()
    }

    #[test]
    fn what_was_flushed_is_found_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let mut expected = SavedState::default();
        let mut store = start(dir.path(), LIMITS);
        for at in 0..20 {
            for job in ["alice:a", "bob:b"] {
                store.add(change(job, at));
                expected.apply(change(job, at));
            }
            store.commit();
        }
        store.add(change("bob:b", 0).to_removal());
        expected.apply(change("bob:b", 0).to_removal());
        store.set_handled(Timestamp(77));
        expected.set_handled(Timestamp(77));
        store.set_reserved(RunId(5));
        store.flush(WAIT);
        assert!(store.is_written());
        assert_eq!(
            content(dir.path()),
            Content { saved: expected.clone(), reserved: Some(RunId(5)), damaged_at: None, left_out: 0 }
        );
        drop(store);
        let opened = open(dir.path(), "boot");
        assert_eq!((opened.saved, opened.reserved, opened.log_lines), (expected.clone(), Some(RunId(5)), Vec::new()));
        let mut again = opened.store.unwrap();
        again.flush(WAIT);
        assert_eq!(content(dir.path()).saved, expected);
    }

    #[test]
    fn stamps_are_written_in_their_order_and_count_as_unwritten_until_then() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = start(&dir.path().join("state"), LIMITS);
        let stamps = Stamps::new(&dir.path().join("stamps"));
        let day = |text: &[u8]| Day::parse(text).unwrap();
        let (first, last) = (day(b"20261126"), day(b"20261127"));
        let task = |id: &[u8], step| StampTask { stamps: stamps.clone(), id: id.to_owned(), step };
        for step in [StampStep::Write(first), StampStep::Write(last), StampStep::Prepare] {
            store.add_stamp_task(task(b"job", step));
        }
        store.add_stamp_task(task(b"not/a/name", StampStep::Write(last)));
        assert!(store.unwritten_stamps().get(b"job".as_slice()).is_none_or(|day| [first, last].contains(day)));
        store.flush(WAIT);
        assert_eq!(store.unwritten_stamps(), HashMap::new());
        assert_eq!(stamps.read(b"job"), Some(last));
        let (_, results) = store.take_reports();
        assert!(results.iter().any(|result| matches!(result, StampResult::Prepared(Ok(Some(day))) if *day == last)));
        assert!(matches!(results.last(), Some(StampResult::Written(Err(_)))), "{results:?}");
    }

    #[test]
    fn the_loop_is_woken_when_a_change_that_it_waits_for_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = start(dir.path(), LIMITS);
        store.flush(WAIT);
        store.take_reports();
        for at in 0..100 {
            store.add(change("alice:a", at));
            assert!(!store.is_written(), "it is not even handed over");
            store.commit();
            while !store.is_written() {
                let poll = crate::sys::poll::Poll::new().unwrap();
                poll.add(store.notifier(), 0).unwrap();
                assert!(poll.wait_for_any(Some(30_000)).unwrap());
                store.take_reports();
            }
            let mut expected = SavedState::default();
            expected.apply(change("alice:a", at));
            assert_eq!(content(dir.path()).saved, expected);
        }
    }

    #[test]
    fn a_file_of_old_records_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = start(dir.path(), LIMITS);
        let mut largest = 0;
        for round in 0..40 {
            for number in 0..1_000 {
                store.add(change(&format!("alice:job-{number}"), round));
            }
            store.flush(WAIT);
            largest = largest.max(fs::metadata(dir.path().join(NAME)).unwrap().len());
        }
        // Forty rounds of 80 kB are more than 3 MB.
        assert!((SHORTEST_COMPACTED..SHORTEST_COMPACTED + (200 << 10)).contains(&largest), "{largest}");
        assert_eq!(content(dir.path()).saved.len(), 1_000);
    }

    #[test]
    fn one_user_cannot_make_it_grow_without_bound() {
        let dir = tempfile::tempdir().unwrap();
        let limits =
            Limits { records_per_user: 10, bytes_per_user: 2_000, bytes_of_root: 4_000, bytes_of_users: 10_000 };
        let mut store = start(dir.path(), limits);
        for number in 0..100 {
            store.add(change(&format!("alice:{number}"), 1));
        }
        store.add(change("bob:b", 1));
        store.flush(WAIT);
        assert_eq!(content(dir.path()).saved.len(), 11);
        let (log_lines, _) = store.take_reports();
        assert!(
            matches!(log_lines.as_slice(), [StateLogLine::Warning(text)] if text.contains("alice")),
            "{log_lines:?}"
        );
        // What is too long now is not kept in its old form.
        let long = "x".repeat(3_000);
        let pause = |pause: &str| serde_json::from_str(&format!(r#"{{"job":"bob:b","part":{{"pause":{pause}}}}}"#));
        let short = pause(r#"{"from":0,"until":9,"by":"bob","note":"","is_by_root":false}"#).unwrap();
        store.add(short);
        store.flush(WAIT);
        assert_eq!(content(dir.path()).saved.len(), 12);
        store.add(pause(&format!(r#"{{"from":0,"until":9,"by":"bob","note":"{long}","is_by_root":false}}"#)).unwrap());
        store.flush(WAIT);
        assert_eq!(content(dir.path()).saved.len(), 11);
    }

    #[test]
    fn a_damaged_file_is_put_aside_and_a_newer_one_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = start(dir.path(), LIMITS);
        store.add(change("alice:a", 1));
        store.flush(WAIT);
        store.add(change("alice:a", 2));
        store.flush(WAIT);
        drop(store);
        let path = dir.path().join(NAME);
        let bytes = fs::read(&path).unwrap();
        let cut = &bytes[..bytes.len() - 3];
        fs::write(&path, cut).unwrap();
        let opened = open(dir.path(), "boot");
        assert_eq!((opened.saved.len(), opened.log_lines.len()), (1, 1), "{:?}", opened.log_lines);
        assert_eq!(fs::read(dir.path().join(DAMAGED)).unwrap(), cut);
        // The thread must not write once more.
        let mut store = opened.store.unwrap();
        store.flush(WAIT);
        drop(store);
        let newer = LineWriter::default().line(r#"{"format":"cronwheel state","version":9}"#);
        fs::write(&path, &newer).unwrap();
        let opened = open(dir.path(), "boot");
        assert!(opened.store.is_none() && opened.log_lines.len() == 1, "{:?}", opened.log_lines);
        assert_eq!(fs::read_to_string(&path).unwrap(), newer);
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("state-dir");
        let opened = open(&inner, "boot");
        assert!(opened.store.is_some() && opened.log_lines.is_empty());
        assert_eq!(fs::metadata(&inner).unwrap().mode() & 0o7777, DIRECTORY_MODE);
        let open_to_all = dir.path().join("open-to-all");
        CreatedDirectory::create(&open_to_all).unwrap().set_mode(0o777).unwrap();
        let opened = open(&open_to_all, "boot");
        assert!(opened.store.is_none() && opened.log_lines.len() == 1, "{:?}", opened.log_lines);
    }
}
