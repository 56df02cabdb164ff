//! Paths to be scanned: at once, or when they have been written to the end.

use super::file_cache::LoadRule;
use crate::sys::clock;
use std::collections::{BTreeMap, VecDeque};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// An empty file that was changed within this time is probably about to be filled. Nanoseconds.
pub(super) const JUST_EMPTIED_NS: u64 = 200_000_000;

/// Queue of paths: those that are ready to be scanned, and files that are still being written.
#[derive(Debug, Default)]
pub struct ScanQueue {
    ready: VecDeque<PathBuf>,
    /// What a scan of everything has found, to be read after the paths of which a change was reported.
    found: BTreeMap<PathBuf, LoadRule>,
    /// Files that are still being written, and how they are to be read then.
    incomplete: BTreeMap<PathBuf, LoadRule>,
}

impl ScanQueue {
    /// Adds paths that are complete.
    pub fn push(&mut self, paths: impl IntoIterator<Item = PathBuf>) {
        for path in paths {
            match self.incomplete.remove(&path) {
                Some(LoadRule::Always) => self.push_found([path], LoadRule::Always),
                Some(LoadRule::IfChanged) | None => self.ready.push_back(path),
            }
        }
    }

    /// Adds paths that a scan of everything has found. Those that are there already stay there once.
    pub fn push_found(&mut self, paths: impl IntoIterator<Item = PathBuf>, rule: LoadRule) {
        for path in paths {
            let known = self.found.entry(path).or_insert(rule);
            *known = rule.max(*known);
        }
    }

    /// Adds a path that waits until it is added as complete, and keeps how it is to be read.
    pub fn push_incomplete(&mut self, path: PathBuf, rule: LoadRule) {
        let known = self.incomplete.entry(path).or_insert(rule);
        *known = rule.max(*known);
    }

    /// Takes the next path that is complete.
    pub fn pop(&mut self) -> Option<(PathBuf, LoadRule)> {
        self.ready.pop_front().map(|path| (path, LoadRule::IfChanged)).or_else(|| self.found.pop_first())
    }

    /// The files that are still being written.
    pub fn incomplete(&self) -> Vec<PathBuf> {
        self.incomplete.keys().cloned().collect()
    }

    /// Whether no path is complete.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.found.is_empty()
    }

    /// Whether files are still being written.
    pub fn has_incomplete(&self) -> bool {
        !self.incomplete.is_empty()
    }
}

/// Whether a process may still have a new or changed file open for writing: a regular file with one name. A link of either kind is complete.
pub fn may_still_be_written(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|file| file.is_file() && file.nlink() == 1)
}

/// Whether a file is empty since a moment ago: an editor is writing it in place, and the old crontab stays live meanwhile.
pub fn was_just_emptied(path: &Path) -> bool {
    let now_ns = clock::wall().as_ns();
    let changed_ns = |file: &Metadata| file.ctime().saturating_mul(1_000_000_000).saturating_add(file.ctime_nsec());
    std::fs::symlink_metadata(path)
        .is_ok_and(|file| file.is_file() && file.len() == 0 && now_ns.abs_diff(changed_ns(&file)) < JUST_EMPTIED_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_to_be_read_anew_is_so_when_it_is_complete() {
        let (mut queue, path) = (ScanQueue::default(), PathBuf::from("/t"));
        queue.push_incomplete(path.clone(), LoadRule::Always);
        queue.push_incomplete(path.clone(), LoadRule::IfChanged);
        assert!(queue.is_empty() && queue.incomplete() == [path.clone()]);
        queue.push([path.clone()]);
        assert_eq!(queue.pop(), Some((path.clone(), LoadRule::Always)));
        assert!(!queue.has_incomplete() && queue.is_empty());
        queue.push([path.clone()]);
        assert_eq!(queue.pop(), Some((path, LoadRule::IfChanged)));
    }
}
