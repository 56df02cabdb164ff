//! Watches directories for changes with the crate `notify`.
//!
//! Directories are watched, never files, so that editors which save by renaming are noticed. An event is only a hint which path to scan: what
//! counts is what the scan finds. Files that are opened or read are left out of the mask: in /etc that is several events for each program that
//! starts anywhere on the machine.

use crate::sys::error::OsError;
use crate::sys::poll::Notifier;
use notify::event::{AccessKind, AccessMode, Event, EventKind, ModifyKind, RenameMode};
use notify::{EventKindMask, INotifyWatcher, RecursiveMode, Watcher as _};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// With more changed paths than this at once, everything is scanned.
const MOST_PATHS: usize = 10_000;

/// Creation, removal, moves, writing, new owners and modes.
const EVENT_KINDS: EventKindMask = EventKindMask::CORE.union(EventKindMask::ACCESS_CLOSE);

/// Paths that may have changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Paths that are complete: closed after writing, moved, removed.
    pub complete: BTreeSet<PathBuf>,
    /// Paths that are new or still being written.
    pub incomplete: BTreeSet<PathBuf>,
    /// Paths that were removed, moved away or unmounted; they are in `complete`, too.
    removed: BTreeSet<PathBuf>,
    /// Anything may have changed: events were lost.
    pub anything: bool,
    /// A watched directory is gone and not watched any more.
    pub lost_directory: bool,
    /// The thread of `notify` has ended: nothing is reported any more.
    pub has_ended: bool,
}

impl Hints {
    fn is_empty(&self) -> bool {
        *self == Hints::default()
    }

    fn add_complete(&mut self, path: PathBuf) {
        self.incomplete.remove(&path);
        self.complete.insert(path);
        self.limit();
    }

    fn add_incomplete(&mut self, path: PathBuf) {
        self.complete.remove(&path);
        self.incomplete.insert(path);
        self.limit();
    }

    fn limit(&mut self) {
        if self.complete.len() + self.incomplete.len() > MOST_PATHS {
            self.complete.clear();
            self.incomplete.clear();
            self.anything = true;
        }
    }

    /// Adds an event of `notify`. Returns whether it is of interest.
    fn add(&mut self, event: notify::Result<Event>) -> bool {
        let event = match event {
            Ok(event) if !event.need_rescan() => event,
            Ok(_) | Err(_) => {
                self.anything = true;
                return true;
            }
        };
        let (is_complete, is_removed) = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => (true, false),
            EventKind::Access(_) => return false,
            EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_)) => (false, false),
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => (true, true),
            EventKind::Any | EventKind::Modify(_) | EventKind::Other => (true, false),
        };
        for path in event.paths {
            if is_removed && self.removed.len() < MOST_PATHS {
                self.removed.insert(path.clone());
            }
            if is_complete { self.add_complete(path) } else { self.add_incomplete(path) }
        }
        true
    }

    /// Adds the other paths of each changed file in a directory that is watched under several names, as `notify` reports only one of them.
    fn add_aliases(&mut self, aliases: &HashMap<&Path, Vec<&Path>>) {
        if aliases.is_empty() {
            return;
        }
        let other_names = |path: &PathBuf| {
            let others = path.parent().and_then(|parent| aliases.get(parent)).into_iter().flatten();
            let others: Vec<PathBuf> = others.filter_map(|other| Some(other.join(path.file_name()?))).collect();
            others
        };
        let complete: Vec<PathBuf> = self.complete.iter().flat_map(other_names).collect();
        let incomplete: Vec<PathBuf> = self.incomplete.iter().flat_map(other_names).collect();
        incomplete.into_iter().for_each(|path| self.add_incomplete(path));
        complete.into_iter().for_each(|path| self.add_complete(path));
    }
}

/// What identifies a directory, as another one may take its name: its device and inode.
type Identity = (u64, u64);

/// The watched directories, and what has changed in them.
#[derive(Debug)]
pub struct Watcher {
    /// The watcher of the library. None only while this value is dropped.
    notify: Option<INotifyWatcher>,
    hints: Arc<Mutex<Hints>>,
    notifier: Notifier,
    watched: BTreeMap<PathBuf, Identity>,
}

impl Drop for Watcher {
    /// `notify` panics there if its thread has ended, as it does where poll(2) finds no memory.
    fn drop(&mut self) {
        let notify = self.notify.take();
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(notify)));
    }
}

/// What the thread of `notify` has. Dropping it, with the thread, reports its end.
struct Reporter {
    hints: Arc<Mutex<Hints>>,
    notifier: Notifier,
}

impl Reporter {
    fn report(&self, event: notify::Result<Event>) {
        let mut hints = lock(&self.hints);
        let is_first = hints.is_empty();
        if hints.add(event) && is_first {
            self.notifier.notify();
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        let mut hints = lock(&self.hints);
        (hints.anything, hints.has_ended) = (true, true);
        self.notifier.notify();
    }
}

/// Why the kernel does not report changes.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The thread of `notify` has ended.
    #[error("the thread that watches has ended")]
    Ended,
    /// The watcher or its notifier could not be made.
    #[error("starting to watch: {0}")]
    Start(OsError),
    /// A directory could not be watched.
    #[error("watching {}: {source}", path.display())]
    Directory {
        /// The directory that could not be watched.
        path: PathBuf,
        /// The reason as `notify` or the kernel has it.
        source: OsError,
    },
}

fn os_error(error: notify::Error) -> OsError {
    OsError::from(match error.kind {
        notify::ErrorKind::Io(error) => error,
        _ => io::Error::other(error.to_string()),
    })
}

impl Watcher {
    /// A watcher of no directory. It starts a thread.
    ///
    /// # Errors
    ///
    /// The kernel has no inotify instance or descriptor left for this user.
    pub fn new() -> Result<Watcher, WatchError> {
        let notifier = Notifier::new().map_err(|error| WatchError::Start(error.into()))?;
        let hints = Arc::new(Mutex::new(Hints::default()));
        let reporter = Reporter { hints: hints.clone(), notifier: notifier.clone() };
        let handler = move |event: notify::Result<Event>| reporter.report(event);
        let config = notify::Config::default().with_event_kinds(EVENT_KINDS);
        let notify = INotifyWatcher::new(handler, config).map_err(|error| WatchError::Start(os_error(error)))?;
        Ok(Watcher { notify: Some(notify), hints, notifier, watched: BTreeMap::new() })
    }

    /// Readable when there are hints.
    pub fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// Takes the hints that have arrived so far.
    pub fn take(&mut self) -> Hints {
        self.notifier.answer();
        let mut hints = std::mem::take(&mut *lock(&self.hints));
        hints.add_aliases(&self.aliases());
        hints.lost_directory = self.forget(&hints.removed);
        hints
    }

    /// Watches exactly these directories from now on: `wanted`, for each of them that is missing the nearest existing one above it, and `busy` as
    /// far as they exist. Returns whether a wanted directory is watched now that was not before: earlier changes in it were not reported.
    ///
    /// # Errors
    ///
    /// A directory that exists cannot be watched.
    pub fn watch(&mut self, wanted: &BTreeSet<PathBuf>, busy: &BTreeSet<PathBuf>) -> Result<bool, WatchError> {
        self.drop_replaced();
        let mut above = BTreeSet::new();
        let mut has_new = false;
        for directory in wanted {
            loop {
                if self.watch_directory(directory)? {
                    has_new = true;
                }
                if self.watched.contains_key(directory) {
                    break;
                }
                let Some(nearest) = nearest_above(directory) else { break };
                self.watch_directory(nearest)?;
                above.insert(nearest.to_owned());
                // If it has appeared before its parent was watched, no event is to come.
                if identity(directory).is_none() && nearest_above(directory) == Some(nearest) {
                    break;
                }
            }
        }
        for directory in busy {
            self.watch_directory(directory)?;
        }
        let is_unwanted = |path: &&PathBuf| !wanted.contains(*path) && !busy.contains(*path) && !above.contains(*path);
        let unwanted: Vec<PathBuf> = self.watched.keys().filter(is_unwanted).cloned().collect();
        unwanted.iter().for_each(|path| self.unwatch(path));
        Ok(has_new)
    }

    /// Watches a directory if it exists. Returns whether it was not watched before.
    fn watch_directory(&mut self, directory: &Path) -> Result<bool, WatchError> {
        let Some(identity) = identity(directory) else { return Ok(false) };
        if self.watched.contains_key(directory) {
            return Ok(false);
        }
        let Some(notify) = &mut self.notify else { return Ok(false) };
        match notify.watch(directory, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.watched.insert(directory.to_owned(), identity);
                Ok(true)
            }
            // The directory was removed before it could be watched.
            Err(error) if matches!(error.kind, notify::ErrorKind::PathNotFound) => Ok(false),
            Err(error) => Err(WatchError::Directory { path: directory.to_owned(), source: os_error(error) }),
        }
    }

    /// Drops the watches of directories that are not at their paths any more.
    fn drop_replaced(&mut self) {
        let is_replaced = |(path, watched): &(&PathBuf, &Identity)| identity(path) != Some(**watched);
        let replaced: Vec<PathBuf> = self.watched.iter().filter(is_replaced).map(|(path, _)| path.clone()).collect();
        replaced.iter().for_each(|path| self.unwatch(path));
    }

    fn unwatch(&mut self, path: &Path) {
        // The kernel and `notify` may have dropped the watch with the directory.
        let _ = self.notify.as_mut().map(|notify| notify.unwatch(path));
        self.watched.remove(path);
    }

    /// Drops the watches of removed directories, under all their names, and of those below them, as `notify` does: the next directory of the same
    /// name may even have the same inode. Returns whether there were any.
    fn forget(&mut self, removed: &BTreeSet<PathBuf>) -> bool {
        let is_below = |path: &Path| path.ancestors().any(|path| removed.contains(path));
        let identities: BTreeSet<Identity> =
            self.watched.iter().filter(|(path, _)| is_below(path)).map(|(_, identity)| *identity).collect();
        let lost = self.watched.iter().filter(|(_, identity)| identities.contains(identity));
        let lost: Vec<PathBuf> = lost.map(|(path, _)| path.clone()).collect();
        lost.iter().for_each(|path| self.unwatch(path));
        !lost.is_empty()
    }

    /// For each directory that is watched under several names, its other names.
    fn aliases(&self) -> HashMap<&Path, Vec<&Path>> {
        let mut names: HashMap<Identity, Vec<&Path>> = HashMap::new();
        for (path, identity) in &self.watched {
            names.entry(*identity).or_default().push(path);
        }
        let groups = names.into_values().filter(|group| group.len() > 1);
        let pairs = groups.flat_map(|group| {
            let others = |path: &Path| group.iter().copied().filter(|other| *other != path).collect();
            group.iter().map(|path| (*path, others(path))).collect::<Vec<_>>()
        });
        pairs.collect()
    }
}

/// Locks the hints. A thread that panicked while it held them leaves nothing worse than incomplete hints.
fn lock(hints: &Mutex<Hints>) -> MutexGuard<'_, Hints> {
    hints.lock().unwrap_or_else(PoisonError::into_inner)
}

fn identity(directory: &Path) -> Option<Identity> {
    let metadata = std::fs::metadata(directory).ok().filter(std::fs::Metadata::is_dir)?;
    Some((metadata.dev(), metadata.ino()))
}

fn nearest_above(directory: &Path) -> Option<&Path> {
    directory.ancestors().skip(1).find(|above| above.is_dir())
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
