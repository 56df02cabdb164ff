//! Notices that a mount or an unmount has put another file under a watched path, which inotify(7) does not report.
//!
//! A change of the mount table, which any program on the machine may cause, leads to one check a second at most.

use crate::sys::clock;
use crate::sys::mount_table::{MountPoint, MountTable};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The least time between two checks. Milliseconds.
const PAUSE_MS: i64 = 1000;

/// The device and the inode of a file or directory.
pub type Identity = (u64, u64);

/// The paths that a daemon depends on.
#[derive(Debug, Default)]
pub struct Paths {
    pub directories: BTreeSet<PathBuf>,
    /// Directories in which every file is a crontab.
    pub table_directories: BTreeSet<PathBuf>,
    pub files: BTreeSet<PathBuf>,
}

/// The files at the watched paths, and the mount table.
#[derive(Debug, Default)]
pub struct MountWatch {
    /// The mount table; none: changes are not to be reported, or there is no /proc.
    table: Option<MountTable>,
    /// For each path the nearest existing one, from the path itself upwards, and its identity.
    identities: BTreeMap<PathBuf, (PathBuf, Identity)>,
    /// Crontabs that are mount points.
    mounted_tables: BTreeSet<MountPoint>,
    /// When a check is due (milliseconds of the monotonic clock).
    check_at: Option<i64>,
    /// When the last check was (milliseconds of the monotonic clock).
    checked_at: Option<i64>,
}

impl MountWatch {
    /// Opens the mount table. If that fails, mounts are not watched.
    pub fn new() -> MountWatch {
        MountWatch { table: MountTable::open().ok(), ..MountWatch::default() }
    }

    /// The mount table, an event source whose changes are exceptional conditions.
    pub fn table(&self) -> Option<&MountTable> {
        self.table.as_ref()
    }

    /// Schedules a check: now, or a second after the last one.
    pub fn ask_for_check(&mut self) {
        let earliest = self.checked_at.map_or(i64::MIN, |at| at.saturating_add(PAUSE_MS));
        self.check_at.get_or_insert(earliest.max(clock::monotonic_ms()));
    }

    /// When a check is due (milliseconds of the monotonic clock).
    pub fn check_at(&self) -> Option<i64> {
        self.check_at
    }

    /// Compares the files at these paths with those at the last call. Returns whether they are the same.
    pub fn is_unchanged(&mut self, paths: &Paths) -> bool {
        self.check_at = None;
        self.checked_at = Some(clock::monotonic_ms());
        let all = paths.directories.iter().chain(&paths.files);
        let identities = all.filter_map(|path| Some((path.clone(), nearest(path)?))).collect();
        let mounted_tables = self.find_mounted_tables(paths);
        let unchanged = (&identities, &mounted_tables) == (&self.identities, &self.mounted_tables);
        (self.identities, self.mounted_tables) = (identities, mounted_tables);
        unchanged
    }

    /// Whether a crontab is a mount point: a write to its file under another path is not reported to a watch on its directory.
    pub fn has_mounted_tables(&self) -> bool {
        !self.mounted_tables.is_empty()
    }

    fn find_mounted_tables(&mut self, paths: &Paths) -> BTreeSet<MountPoint> {
        let mut found = BTreeSet::new();
        let Some(table) = &mut self.table else { return found };
        // The kernel names mount points without symbolic links.
        let real = |paths: &BTreeSet<PathBuf>| -> BTreeSet<PathBuf> {
            paths.iter().filter_map(|path| std::fs::canonicalize(path).ok()).collect()
        };
        let (directories, files) = (real(&paths.table_directories), real(&paths.files));
        // Mount points that were read before a failure count. The next change or rescan is the next attempt.
        let _ = table.read(&mut |point| {
            let is_in_directory = point.path.parent().is_some_and(|parent| directories.contains(parent));
            if files.contains(&point.path) || (is_in_directory && point.path.is_file()) {
                found.insert(point);
            }
        });
        found
    }
}

/// The nearest existing path, from this one upwards, and its identity.
fn nearest(path: &Path) -> Option<(PathBuf, Identity)> {
    path.ancestors().find_map(|path| {
        let there = std::fs::metadata(path).ok()?;
        Some((path.to_owned(), (there.dev(), there.ino())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn another_directory_under_a_path_is_noticed_and_an_edit_is_not() {
        let top = tempfile::tempdir().unwrap();
        let (spool, missing) = (top.path().join("spool"), top.path().join("a/b"));
        fs::create_dir(&spool).unwrap();
        let directories = BTreeSet::from([spool.clone(), missing.clone()]);
        let paths = Paths { directories, ..Paths::default() };
        let mut watch = MountWatch::default();
        assert!(!watch.is_unchanged(&paths), "nothing was known");
        fs::write(spool.join("alice"), "").unwrap();
        assert!(watch.is_unchanged(&paths));
        fs::rename(&spool, top.path().join("old")).unwrap();
        fs::create_dir(&spool).unwrap();
        assert!(!watch.is_unchanged(&paths));
        fs::create_dir(top.path().join("a")).unwrap();
        assert!(!watch.is_unchanged(&paths), "the way to a missing one");
        fs::create_dir(&missing).unwrap();
        assert!(!watch.is_unchanged(&paths));
        assert!(watch.is_unchanged(&paths));
    }

    #[test]
    fn checks_come_one_a_second_at_most() {
        let mut watch = MountWatch::default();
        watch.ask_for_check();
        let first = watch.check_at().unwrap();
        assert!(first <= clock::monotonic_ms());
        watch.is_unchanged(&Paths::default());
        assert_eq!(watch.check_at(), None);
        for _ in 0..2 {
            watch.ask_for_check();
            assert!(watch.check_at().unwrap() >= first + PAUSE_MS);
        }
    }
}
