//! Watches changes of names in directories that many programs read, such as /etc, without events for the reads.
//!
//! The crate `notify` also requests an event for every open(2). In /etc that is several for each program that starts anywhere on the
//! machine. Here only changes are requested.

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Which changes of a directory are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// Only that the directory itself is removed, moved or unmounted.
    Removal,
    /// Also names that are created or removed, and files that are closed after writing.
    Names,
    /// Also files that are being written.
    Writing,
}

/// An inotify instance and its watched directories.
#[derive(Debug)]
pub struct NameWatch {
    inotify: Inotify,
    directories: BTreeMap<PathBuf, WatchDescriptor>,
}

/// A reported change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The name was replaced, removed, written to the end or given another owner or mode.
    Name(PathBuf),
    /// The name is new, or its file is being written and has not been closed yet.
    Made(PathBuf),
    /// The directory itself is gone, moved or unmounted, and not watched any more.
    Directory(PathBuf),
    /// The kernel's queue has overflowed, so anything may have changed.
    Anything,
}

/// Maximum number of reads in one call.
const READS: usize = 16;

impl NameWatch {
    /// Creates an instance without watches.
    pub fn new() -> io::Result<NameWatch> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        Ok(NameWatch { inotify, directories: BTreeMap::new() })
    }

    /// Watches a directory. If it is watched already, the watch is renewed, since another directory may have taken its name.
    pub fn watch(&mut self, directory: &Path, hearing: Hearing) -> io::Result<()> {
        // An unmount is always reported.
        let mut flags = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_ONLYDIR;
        if hearing != Hearing::Removal {
            flags |= AddWatchFlags::IN_CREATE
                | AddWatchFlags::IN_DELETE
                | AddWatchFlags::IN_MOVE
                | AddWatchFlags::IN_CLOSE_WRITE
                | AddWatchFlags::IN_ATTRIB;
        }
        if hearing == Hearing::Writing {
            flags |= AddWatchFlags::IN_MODIFY;
        }
        let watch = self.inotify.add_watch(directory, flags)?;
        if let Some(before) = self.directories.insert(directory.to_owned(), watch)
            && before != watch
        {
            self.remove(before);
        }
        Ok(())
    }

    /// Stops watching the directories for which `wanted` is false.
    pub fn retain(&mut self, mut wanted: impl FnMut(&Path) -> bool) {
        let unwanted: Vec<PathBuf> = self.directories.keys().filter(|path| !wanted(path)).cloned().collect();
        for path in unwanted {
            if let Some(watch) = self.directories.remove(&path) {
                self.remove(watch);
            }
        }
    }

    /// The changes, oldest first. If there are very many, the last one is [`Change::Anything`] and the rest is left for the next call.
    pub fn read(&mut self) -> io::Result<Vec<Change>> {
        let mut changes = Vec::new();
        for _ in 0..READS {
            let events = match self.inotify.read_events() {
                Ok(events) => events,
                Err(Errno::EAGAIN) => return Ok(changes),
                Err(Errno::EINTR) => continue,
                Err(why) => return Err(why.into()),
            };
            for event in events {
                if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                    changes.push(Change::Anything);
                    continue;
                }
                // Two paths of one directory share a watch, and each is reported.
                let directories: Vec<PathBuf> = self
                    .directories
                    .iter()
                    .filter(|(_, watch)| **watch == event.wd)
                    .map(|(path, _)| path.clone())
                    .collect();
                for directory in directories {
                    changes.push(match &event.name {
                        Some(name) if event.mask.intersects(AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MODIFY) => {
                            Change::Made(directory.join(name))
                        }
                        Some(name) => Change::Name(directory.join(name)),
                        None if event.mask.intersects(gone()) => {
                            self.directories.remove(&directory);
                            Change::Directory(directory)
                        }
                        None => continue,
                    });
                }
            }
        }
        changes.push(Change::Anything);
        Ok(changes)
    }

    fn remove(&self, watch: WatchDescriptor) {
        if !self.directories.values().any(|kept| *kept == watch) {
            // The kernel may have removed it already, with the directory.
            let _ = self.inotify.rm_watch(watch);
        }
    }
}

fn gone() -> AddWatchFlags {
    AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_IGNORED | AddWatchFlags::IN_UNMOUNT
}

impl AsFd for NameWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn changes_are_told_and_reading_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "x").unwrap();
        let mut watch = NameWatch::new().unwrap();
        watch.watch(dir.path(), Hearing::Names).unwrap();
        fs::read(&file).unwrap();
        assert_eq!(watch.read().unwrap(), []);
        fs::write(&file, "y").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        assert_eq!(watch.read().unwrap(), [Change::Name(file), Change::Made(link)]);
    }

    #[test]
    fn a_file_that_is_written_and_not_closed_is_told_where_that_was_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        let mut open = fs::File::create(&file).unwrap();
        let mut watch = NameWatch::new().unwrap();
        for (hearing, heard) in [(Hearing::Names, vec![]), (Hearing::Writing, vec![Change::Made(file)])] {
            watch.watch(dir.path(), hearing).unwrap();
            std::io::Write::write_all(&mut open, b"x").unwrap();
            assert_eq!(watch.read().unwrap(), heard, "{hearing:?}");
        }
    }

    #[test]
    fn of_more_than_one_look_takes_anything_may_have_happened() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = NameWatch::new().unwrap();
        watch.watch(dir.path(), Hearing::Names).unwrap();
        for number in 0..3_000 {
            fs::create_dir(dir.path().join(number.to_string())).unwrap();
        }
        assert_eq!(watch.read().unwrap().last(), Some(&Change::Anything));
        while watch.read().unwrap().last() == Some(&Change::Anything) {}
        assert_eq!(watch.read().unwrap(), []);
    }

    #[test]
    fn a_directory_that_goes_is_told_once_and_its_successor_can_be_watched() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("dir");
        fs::create_dir(&dir).unwrap();
        let mut watch = NameWatch::new().unwrap();
        watch.watch(&dir, Hearing::Names).unwrap();
        fs::rename(&dir, top.path().join("elsewhere")).unwrap();
        assert_eq!(watch.read().unwrap(), [Change::Directory(dir.clone())]);
        fs::create_dir(&dir).unwrap();
        watch.watch(&dir, Hearing::Names).unwrap();
        fs::write(dir.join("file"), "").unwrap();
        assert!(watch.read().unwrap().contains(&Change::Name(dir.join("file"))));
        watch.retain(|_| false);
        watch.read().unwrap();
        fs::write(dir.join("file"), "").unwrap();
        assert_eq!(watch.read().unwrap(), []);
    }
}
