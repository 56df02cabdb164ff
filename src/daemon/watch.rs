//! Hears of changes: tables through the crate `notify`, /etc and the way to missing directories through [`NameWatch`].
//!
//! Directories are watched, never files, so that editors which save by renaming are heard. What is heard is only a hint
//! where to look; the looking decides.

use crate::sys::name_watch::{Change, Hearing, NameWatch};
use crate::sys::poll::Notifier;
use notify::event::{AccessKind, AccessMode, Event, EventKind, ModifyKind};
use notify::{INotifyWatcher, RecursiveMode, Watcher as _};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// More paths than this at once are one look at everything.
const MOST_PATHS: usize = 10_000;

/// What may have changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Paths that are complete: closed after writing, moved, removed.
    pub settled: BTreeSet<PathBuf>,
    /// Paths that somebody is still writing.
    pub unsettled: BTreeSet<PathBuf>,
    /// Anything.
    pub anything: bool,
    /// A watched directory came or went.
    pub directories: bool,
}

impl Hints {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Hints::default()
    }

    fn settle(&mut self, path: PathBuf) {
        self.unsettled.remove(&path);
        self.settled.insert(path);
        self.bound();
    }

    fn unsettle(&mut self, path: PathBuf) {
        self.settled.remove(&path);
        self.unsettled.insert(path);
        self.bound();
    }

    fn bound(&mut self) {
        if self.settled.len() + self.unsettled.len() > MOST_PATHS {
            self.settled.clear();
            self.unsettled.clear();
            self.anything = true;
        }
    }

    /// Takes in what `notify` says; whether it matters.
    fn hear(&mut self, said: notify::Result<Event>) -> bool {
        let event = match said {
            Ok(event) => event,
            Err(_) => {
                self.anything = true;
                return true;
            }
        };
        if event.need_rescan() {
            self.anything = true;
            return true;
        }
        let settled = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
            // Somebody reads, perhaps we.
            EventKind::Access(_) => return false,
            EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_)) => false,
            EventKind::Any | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
        };
        for path in event.paths {
            if settled { self.settle(path) } else { self.unsettle(path) }
        }
        true
    }
}

/// What identifies a watched directory: another one under the same name has to be watched anew.
type Identity = (u64, u64);

/// The watcher of tables.
#[derive(Debug)]
pub struct Watcher {
    tables: INotifyWatcher,
    names: NameWatch,
    hints: Arc<Mutex<Hints>>,
    notifier: Notifier,
    watched: BTreeMap<PathBuf, Identity>,
    /// Directories to be watched by name, such as /etc.
    busy: BTreeSet<PathBuf>,
    /// Names that changed in directories that are not watched by name any more.
    earlier: Vec<Change>,
}

/// Why changes are not heard of.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The watcher or its notifier could not be made.
    #[error("starting to watch: {0}")]
    Start(io::Error),
    /// A directory could not be watched.
    #[error("watching {}: {reason}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What `notify` or the kernel said.
        reason: String,
    },
}

impl Watcher {
    /// Watches nothing yet. `busy`: directories that are watched by name and only looked at for what has changed.
    pub fn new(busy: BTreeSet<PathBuf>) -> Result<Watcher, WatchError> {
        let notifier = Notifier::new().map_err(WatchError::Start)?;
        let hints = Arc::new(Mutex::new(Hints::default()));
        let names = NameWatch::new().map_err(WatchError::Start)?;
        let (ring, hear) = (notifier.clone(), hints.clone());
        let handler = move |said: notify::Result<Event>| {
            // A lock for each access would cost more than the access is worth.
            if matches!(&said, Ok(event) if is_mere_access(&event.kind)) {
                return;
            }
            let mut hints = locked(&hear);
            let first = hints.is_empty();
            if hints.hear(said) && first {
                ring.ring();
            }
        };
        let tables = INotifyWatcher::new(handler, notify::Config::default())
            .map_err(|why| WatchError::Start(io::Error::other(why.to_string())))?;
        Ok(Watcher { tables, names, hints, notifier, watched: BTreeMap::new(), busy, earlier: Vec::new() })
    }

    /// Readable when there are hints about tables.
    pub fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// Readable when there are changes of names.
    pub fn names(&self) -> &NameWatch {
        &self.names
    }

    /// The paths of all that was heard of so far.
    pub fn take(&mut self) -> Hints {
        self.notifier.answer();
        std::mem::take(&mut *locked(&self.hints))
    }

    /// Which names have changed in busy directories, or on the way to missing ones.
    pub fn changed_names(&mut self) -> io::Result<Vec<Change>> {
        let mut changes = std::mem::take(&mut self.earlier);
        changes.extend(self.names.read()?);
        for change in &changes {
            if let Change::Directory(path) = change {
                // Its watch is gone with it, even if the next directory of that name cannot be told from it by number.
                let _ = self.tables.unwatch(path);
                self.watched.remove(path);
            }
        }
        Ok(changes)
    }

    /// Watches these directories by name until [`Watcher::watch`] is called: what changes in them is heard, and that each of
    /// thousands of tables is read for the first time is not. Those that are missing are left out.
    pub fn watch_quietly(&mut self, wanted: &BTreeSet<PathBuf>) -> Result<(), WatchError> {
        let mut there = wanted.iter().filter(|directory| directory.is_dir());
        there.try_for_each(|directory| self.watch_names(directory, Hearing::Writing))
    }

    /// Watches exactly these directories from now on; for each that is missing the nearest one above it, until it appears.
    /// Whether one is watched now that was not before: what happened in it earlier was not heard.
    pub fn watch(&mut self, wanted: &BTreeSet<PathBuf>) -> Result<bool, WatchError> {
        self.drop_unwanted(wanted);
        let mut above = BTreeSet::new();
        let mut news = false;
        // `notify` does not pass on that a directory was unmounted. First of all, since watches by name of the same
        // directories take the place of these.
        for directory in wanted.iter().filter(|directory| directory.is_dir()) {
            self.watch_names(directory, Hearing::Removal)?;
        }
        for directory in wanted {
            loop {
                if let Some(identity) = identity(directory) {
                    news |= self.watch_table_directory(directory, identity)?;
                    break;
                }
                let Some(nearest) = directory.ancestors().skip(1).find(|above| above.is_dir()) else { break };
                self.watch_names(nearest, Hearing::Names)?;
                above.insert(nearest.to_owned());
                // It may have appeared between the question and the watch: then there is no event to come.
                if identity(directory).is_none() && still_nearest(directory, nearest) {
                    break;
                }
            }
        }
        for directory in self.busy.clone() {
            if directory.is_dir() {
                self.watch_names(&directory, Hearing::Names)?;
            }
        }
        self.earlier.extend(self.names.read().unwrap_or_else(|_| vec![Change::Anything]));
        let busy = &self.busy;
        self.names.retain(|path| busy.contains(path) || above.contains(path) || wanted.contains(path));
        Ok(news)
    }

    /// Changes the directories that are watched by name.
    pub fn set_busy(&mut self, busy: BTreeSet<PathBuf>) {
        self.busy = busy;
    }

    fn drop_unwanted(&mut self, wanted: &BTreeSet<PathBuf>) {
        let gone = |(path, watched): (&PathBuf, &Identity)| {
            (!wanted.contains(path) || identity(path) != Some(*watched)).then(|| path.clone())
        };
        let unwanted: Vec<PathBuf> = self.watched.iter().filter_map(gone).collect();
        for path in unwanted {
            // The kernel has forgotten a removed directory itself, and `notify` may have, too.
            let _ = self.tables.unwatch(&path);
            self.watched.remove(&path);
        }
    }

    fn watch_table_directory(&mut self, directory: &Path, identity: Identity) -> Result<bool, WatchError> {
        if self.watched.get(directory) == Some(&identity) {
            return Ok(false);
        }
        match self.tables.watch(directory, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.watched.insert(directory.to_owned(), identity);
                Ok(true)
            }
            // Gone again; its parent will tell when it comes back.
            Err(why) if matches!(why.kind, notify::ErrorKind::PathNotFound) => Ok(false),
            Err(why) => Err(WatchError::Directory { path: directory.to_owned(), reason: why.to_string() }),
        }
    }

    fn watch_names(&mut self, directory: &Path, hearing: Hearing) -> Result<(), WatchError> {
        match self.names.watch(directory, hearing) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => {
                Err(WatchError::Directory { path: directory.to_owned(), reason: why.to_string() })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// The hints, whatever became of a thread that held them: they are only hints.
fn locked(hints: &Mutex<Hints>) -> MutexGuard<'_, Hints> {
    hints.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_mere_access(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if *access != AccessKind::Close(AccessMode::Write))
}

fn identity(directory: &Path) -> Option<Identity> {
    let metadata = std::fs::metadata(directory).ok().filter(std::fs::Metadata::is_dir)?;
    Some((metadata.dev(), metadata.ino()))
}

fn still_nearest(directory: &Path, nearest: &Path) -> bool {
    directory.ancestors().skip(1).find(|above| above.is_dir()) == Some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::poll::Poll;
    use std::fs;

    struct Scene {
        top: tempfile::TempDir,
        watcher: Watcher,
        wanted: BTreeSet<PathBuf>,
    }

    impl Scene {
        fn new(directory: &str) -> Scene {
            let top = tempfile::tempdir().unwrap();
            let wanted = BTreeSet::from([top.path().join(directory)]);
            Scene { watcher: Watcher::new(BTreeSet::new()).unwrap(), wanted, top }
        }
        fn path(&self, name: &str) -> PathBuf {
            self.top.path().join(name)
        }
        /// Waits for the first hint and then for the last: a file made last settles after all before it.
        fn hints_until(&mut self, last: &Path) -> Hints {
            let poll = Poll::new().unwrap();
            poll.add(self.watcher.notifier(), 1).unwrap();
            let mut all = Hints::default();
            while !all.settled.contains(last) && !all.anything {
                assert!(poll.wait_for_any(Some(10_000)).unwrap(), "no hint of {}: {all:?}", last.display());
                let more = self.watcher.take();
                all.settled.extend(more.settled);
                all.anything |= more.anything;
            }
            all
        }
    }

    #[test]
    fn saved_files_are_heard_of_and_read_ones_are_not() {
        let mut scene = Scene::new("tables");
        let dir = scene.path("tables");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("read"), "").unwrap();
        assert!(scene.watcher.watch(&scene.wanted).unwrap());
        fs::read(dir.join("read")).unwrap();
        fs::write(scene.path("new"), "x").unwrap();
        fs::rename(scene.path("new"), dir.join("moved")).unwrap();
        fs::write(dir.join("written"), "x").unwrap();
        let hints = scene.hints_until(&dir.join("written"));
        assert!(hints.settled.contains(&dir.join("moved")), "{hints:?}");
        assert!(!hints.settled.contains(&dir.join("read")), "{hints:?}");
        assert!(!scene.watcher.watch(&scene.wanted).unwrap(), "nothing new to watch");
    }

    #[test]
    fn a_missing_directory_is_awaited_step_by_step() {
        let mut scene = Scene::new("a/b/tables");
        assert!(!scene.watcher.watch(&scene.wanted).unwrap());
        for (name, there) in [("a", false), ("a/b", false), ("a/b/tables", true)] {
            let path = scene.path(name);
            fs::create_dir(&path).unwrap();
            assert_eq!(scene.watcher.changed_names().unwrap(), [Change::Made(path)]);
            assert_eq!(scene.watcher.watch(&scene.wanted).unwrap(), there, "{name}");
        }
        fs::rename(scene.path("a/b/tables"), scene.path("away")).unwrap();
        assert!(!scene.watcher.watch(&scene.wanted).unwrap());
        fs::rename(scene.path("away"), scene.path("a/b/tables")).unwrap();
        let tables = scene.path("a/b/tables");
        assert_eq!(scene.watcher.changed_names().unwrap(), [Change::Directory(tables.clone()), Change::Name(tables)]);
        assert!(scene.watcher.watch(&scene.wanted).unwrap());
        let file = scene.path("a/b/tables/file");
        fs::write(&file, "").unwrap();
        scene.hints_until(&file);
    }

    #[test]
    fn what_is_written_settles_when_it_is_closed() {
        let path = PathBuf::from("/x");
        let event = |kind| Ok(Event::new(kind).add_path("/x".into()));
        let mut hints = Hints::default();
        assert!(hints.hear(event(EventKind::Create(notify::event::CreateKind::File))));
        assert!(hints.unsettled.contains(&path) && hints.settled.is_empty());
        assert!(hints.hear(event(EventKind::Access(AccessKind::Close(AccessMode::Write)))));
        assert!(hints.settled.contains(&path) && hints.unsettled.is_empty());
        assert!(!hints.hear(event(EventKind::Access(AccessKind::Open(AccessMode::Any)))));
        assert!(hints.hear(event(EventKind::Modify(ModifyKind::Data(notify::event::DataChange::Any)))));
        assert!(hints.unsettled.contains(&path) && hints.settled.is_empty(), "written once more");
    }

    #[test]
    fn too_many_hints_are_one() {
        let mut hints = Hints::default();
        for number in 0..=MOST_PATHS {
            hints.settle(PathBuf::from(number.to_string()));
        }
        assert!(hints.anything && hints.settled.is_empty());
        let mut hints = Hints::default();
        let overflow = Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        assert!(hints.hear(Ok(overflow)) && hints.anything);
    }
}
