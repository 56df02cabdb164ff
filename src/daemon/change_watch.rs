//! How changes of crontabs are noticed: by inotify(7) and changes of the mount table, or by scanning each minute.

use super::mounts::{MountWatch, Paths};
use super::watch::{Hints, WatchError, Watcher};
use crate::config::WatchMode;
use crate::sys::file_system::reports_changes;
use crate::sys::mount_table::MountTable;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Whether changes of crontabs are reported by the kernel.
#[derive(Debug)]
enum State {
    Watching(Box<Watcher>),
    /// Changes are not to be reported: `watch = "poll"` in the configuration.
    Off,
    /// The kernel reports no changes at the moment; the watch is set up again later.
    Failed,
}

/// The watcher of directories and the mount table, or the reason to poll.
#[derive(Debug)]
pub struct ChangeWatch {
    mode: WatchMode,
    state: State,
    mounts: MountWatch,
    /// Whether a crontab may change without a report, since its file system does not report every change.
    misses_changes: bool,
    /// Whether other directories may have to be watched, and everything is to be scanned.
    is_stale: bool,
    /// Whether the last attempt to watch has failed.
    is_failing: bool,
    /// Why it failed, until that is taken.
    failure: Option<WatchError>,
}

impl ChangeWatch {
    /// Watches nothing until [`ChangeWatch::start`] and [`ChangeWatch::update`] are called.
    pub fn new(mode: WatchMode) -> ChangeWatch {
        let (state, mounts) = match mode {
            WatchMode::Poll => (State::Off, MountWatch::default()),
            WatchMode::Auto | WatchMode::Inotify => (State::Failed, MountWatch::new()),
        };
        ChangeWatch { mode, state, mounts, misses_changes: false, is_stale: false, is_failing: false, failure: None }
    }

    /// The watcher, if changes are reported. Its notifier is an event source.
    pub fn watcher(&self) -> Option<&Watcher> {
        match &self.state {
            State::Watching(watcher) => Some(watcher),
            State::Off | State::Failed => None,
        }
    }

    /// The mount table, if its changes are to be waited for.
    pub fn mount_table(&self) -> Option<&MountTable> {
        self.mounts.table()
    }

    /// Makes the watcher where it is missing and the settings want one.
    pub fn start(&mut self) {
        if matches!(self.state, State::Failed) {
            match Watcher::new() {
                Ok(watcher) => self.state = State::Watching(Box::new(watcher)),
                Err(why) => self.fail(why),
            }
        }
    }

    /// Watches the directories of these paths and nothing else; `wanted` are those of crontabs. Returns whether one of them is watched now that was
    /// not before. Later changes are those since this call.
    pub fn update(&mut self, paths: &Paths, wanted: &BTreeSet<PathBuf>) -> bool {
        self.is_stale = false;
        self.mounts.is_unchanged(paths);
        self.misses_changes = self.mounts.has_mounted_tables() || may_miss_changes(paths, wanted);
        let State::Watching(watcher) = &mut self.state else { return false };
        match watcher.watch(wanted, &paths.directories) {
            Ok(has_more) => {
                self.is_failing = false;
                has_more
            }
            Err(why) => {
                self.fail(why);
                false
            }
        }
    }

    /// Why watching has failed, if that is new: each attempt of many that fail has the same reason.
    pub fn take_failure(&mut self) -> Option<WatchError> {
        self.failure.take()
    }

    fn fail(&mut self, why: WatchError) {
        self.state = State::Failed;
        if !std::mem::replace(&mut self.is_failing, true) {
            self.failure = Some(why);
        }
    }

    /// Takes what was reported so far.
    pub fn take_hints(&mut self) -> Option<Hints> {
        let State::Watching(watcher) = &mut self.state else { return None };
        let hints = watcher.take();
        self.is_stale |= hints.anything || hints.lost_directory;
        if hints.has_ended {
            self.fail(WatchError::Ended);
        }
        Some(hints)
    }

    /// Notes that other directories may have to be watched.
    pub fn mark_stale(&mut self) {
        self.is_stale = true;
    }

    /// Whether directories may have to be watched, or events were lost, since the last update.
    pub fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// Whether every change is reported.
    pub fn reports_everything(&self) -> bool {
        self.watcher().is_some() && !self.misses_changes
    }

    /// Whether everything is to be scanned each minute.
    pub fn must_poll(&self) -> bool {
        self.watcher().is_none() || (self.misses_changes && self.mode == WatchMode::Auto)
    }

    /// Asks for a check whether something was mounted over the watched paths.
    pub fn ask_for_mount_check(&mut self) {
        self.mounts.ask_for_check();
    }

    /// When that check is due (milliseconds of the monotonic clock).
    pub fn mount_check_at(&self) -> Option<i64> {
        self.mounts.check_at()
    }

    /// Checks whether something was mounted over these paths; if so, everything is to be scanned.
    pub fn check_mounts(&mut self, paths: &Paths) {
        self.is_stale |= !self.mounts.is_unchanged(paths);
    }
}

/// Whether a crontab may change without a report.
fn may_miss_changes(paths: &Paths, wanted: &BTreeSet<PathBuf>) -> bool {
    let parents = paths.files.iter().filter_map(|file| file.parent());
    let mut places = wanted.iter().map(PathBuf::as_path).chain(parents).chain(paths.files.iter().map(PathBuf::as_path));
    !places.all(|path: &Path| reports_changes(path))
}
