//! The crontabs of the system, or those in given files, and their changes since they were read last.

use super::file_cache::{Depth, FileCache, LoadRule, Scan, TableReader};
use super::load_event::{EventSink, LoadEvent, LogLine};
use super::standalone_files::{StandaloneFiles, StandaloneFilesError};
use crate::crontab::KnownNames;
use crate::profile::Profile;
use crate::report::Level;
use crate::schedule::HostKey;
use crate::spool::names::is_safe_component;
use crate::spool::{FileState, Finder, ScanOutcome, ThisMachine};
use crate::sys::files;
use crate::sys::stamp::Stamp;
use crate::users::DaemonUsers;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// Where crontabs are read from.
#[derive(Debug)]
pub enum Origin {
    /// The system's spool, cron.d and crontab.
    System(Finder),
    /// Files that the caller has named.
    StandaloneFiles(StandaloneFiles),
}

/// All crontabs of one origin.
#[derive(Debug)]
pub struct CrontabFiles {
    origin: Origin,
    profile: &'static Profile,
    host: HostKey,
    machine: ThisMachine,
    cache: FileCache,
    /// Why /etc/passwd could not be read, as it was reported last.
    passwd_failure: Option<String>,
    /// Whether the spool did not exist, which has been reported.
    is_spool_missing: bool,
    /// Whether a directory could not be opened, so that the files in it were not checked.
    has_unopened: bool,
}

impl CrontabFiles {
    /// The crontabs of that origin, none of which has been read yet.
    pub fn new(origin: Origin, profile: &'static Profile, host: HostKey) -> CrontabFiles {
        CrontabFiles {
            origin,
            profile,
            host,
            machine: ThisMachine::for_daemon(),
            cache: FileCache::default(),
            passwd_failure: None,
            is_spool_missing: false,
            has_unopened: false,
        }
    }

    /// The directories in which crontabs are, or that links to crontabs lead through.
    pub fn directories(&self) -> BTreeSet<PathBuf> {
        let mut directories: BTreeSet<PathBuf> = self.cache.link_directories().cloned().collect();
        match &self.origin {
            Origin::System(finder) => {
                let places = finder.places();
                directories.extend([places.spool.clone(), places.cron_d.clone()]);
            }
            Origin::StandaloneFiles(given) => {
                directories.extend(given.paths().iter().filter_map(|path| path.parent()).map(Path::to_owned));
            }
        }
        directories
    }

    /// The directories in which every file is a crontab.
    pub fn table_directories(&self) -> BTreeSet<PathBuf> {
        match &self.origin {
            Origin::System(finder) => BTreeSet::from([finder.places().spool.clone(), finder.places().cron_d.clone()]),
            Origin::StandaloneFiles(_) => BTreeSet::new(),
        }
    }

    /// The crontabs that are in other directories or are links.
    pub fn single_files(&self) -> Vec<PathBuf> {
        match &self.origin {
            Origin::System(finder) => self.cache.links().chain([finder.places().system_crontab.clone()]).collect(),
            Origin::StandaloneFiles(given) => self.cache.links().chain(given.paths().iter().cloned()).collect(),
        }
    }

    /// The path of a user's crontab if it has changed since it was read and the user with the id `sender` owns it. Root may name any user. A removed
    /// file has no owner.
    pub fn changed_user_table(&self, user: &str, sender: u32) -> Option<PathBuf> {
        let Origin::System(finder) = &self.origin else { return None };
        if !is_safe_component(user, self.profile.profile) {
            return None;
        }
        let spool = &finder.places().spool;
        let path = spool.join(user);
        let name = path.to_str()?;
        let is_changed = match files::open_place(spool).and_then(|spool| files::stat_at(spool, user)) {
            Ok(file) if sender != 0 && file.uid != sender => false,
            Ok(file) => !self.cache.is_as_read(name, &Stamp::from(&file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.cache.contains(name),
            Err(_) => false,
        };
        is_changed.then_some(path)
    }

    /// The system's crontab, which is in a directory where much else changes.
    pub fn system_crontab(&self) -> Option<&Path> {
        match &self.origin {
            Origin::System(finder) => Some(&finder.places().system_crontab),
            Origin::StandaloneFiles(_) => None,
        }
    }

    /// The files that are not loaded, and why.
    pub fn refused(&self) -> Vec<(String, String)> {
        self.cache.refused()
    }

    /// The crontabs that were rejected for a reason that may pass without a change of their files, such as an unknown user.
    pub fn rejected_for_now(&self) -> impl Iterator<Item = PathBuf> {
        self.cache.rejected_for_now()
    }

    /// The crontabs that are symbolic links leading through that directory.
    pub fn links_through(&self, directory: &Path) -> Vec<PathBuf> {
        self.cache.links_through(directory)
    }

    /// Scans everything, reads what has changed, and reports it.
    pub fn rescan(&mut self, depth: Depth, users: &mut DaemonUsers, known: KnownNames<'_>, events: &mut dyn EventSink) {
        self.scan(depth, users, known, None, events);
        for path in self.cache.unfound() {
            self.cache.remove(&path, events);
        }
    }

    /// Lists everything without looking at the files. Returns the paths of those that are new or gone, or of all with [`Depth::Anew`], for
    /// [`CrontabFiles::scan_path`]; [`CrontabFiles::check_some`] finds those that have changed. Standalone files, which are few, are read at once.
    pub fn list(
        &mut self,
        depth: Depth,
        users: &mut DaemonUsers,
        known: KnownNames<'_>,
        events: &mut dyn EventSink,
    ) -> Vec<PathBuf> {
        let mut listed = Vec::new();
        self.scan(depth, users, known, Some(&mut listed), events);
        let gone = self.cache.unfound();
        match &self.origin {
            Origin::System(_) => listed.extend(gone.into_iter().map(PathBuf::from)),
            Origin::StandaloneFiles(_) => gone.iter().for_each(|path| self.cache.remove(path, events)),
        }
        listed
    }

    /// Looks at known files, without opening them, from the first one behind a path on. It stops at the last file, or when `is_enough` returns true
    /// for the number of files examined. Returns the paths of those that have changed or may not be used as they are, and the last path that was
    /// examined if more follow. A file whose directory cannot be opened counts as unchanged; see [`CrontabFiles::take_unopened`].
    pub fn check_some(
        &mut self,
        after: Option<&str>,
        users: &mut DaemonUsers,
        is_enough: impl Fn(usize) -> bool,
    ) -> (Vec<PathBuf>, Option<String>) {
        let mut changed = Vec::new();
        let Origin::System(finder) = &self.origin else { return (changed, None) };
        let mut states = finder.file_states();
        for (count, (path, is_loaded_as)) in self.cache.loaded_after(after).enumerate() {
            match states.state(Path::new(path), users) {
                FileState::Usable(stamp) if is_loaded_as(&stamp) => {}
                FileState::Usable(_) | FileState::Unusable => changed.push(PathBuf::from(path)),
                FileState::Unknown => self.has_unopened = true,
            }
            if is_enough(count + 1) {
                return (changed, Some(path.to_owned()));
            }
        }
        (changed, None)
    }

    /// Whether a directory could not be opened since the last call, so that a change of a file in it may have been missed.
    pub fn take_unopened(&mut self) -> bool {
        std::mem::take(&mut self.has_unopened)
    }

    /// Whether a directory that is there could not be listed by the last scan.
    pub fn has_unlistable(&self) -> bool {
        self.cache.has_unlistable()
    }

    fn scan(
        &mut self,
        depth: Depth,
        users: &mut DaemonUsers,
        known: KnownNames<'_>,
        listed: Option<&mut Vec<PathBuf>>,
        events: &mut dyn EventSink,
    ) {
        self.cache.begin_scan();
        let reader = TableReader { profile: self.profile, host: self.host, known, machine: &self.machine };
        match &self.origin {
            Origin::System(finder) => {
                let mut scan = Scan { cache: &mut self.cache, reader, depth, listed, events };
                let errors = finder.scan(users, &mut scan);
                self.cache.report_unlistable(&errors, events);
                let was_missing = std::mem::replace(&mut self.is_spool_missing, finder.is_spool_missing());
                if self.is_spool_missing && !was_missing && finder.runs_user_tables() {
                    events.push(LoadEvent::Log(missing_spool(&finder.places().spool)));
                }
            }
            Origin::StandaloneFiles(given) => {
                for path in given.paths() {
                    let name = path.to_string_lossy();
                    // A file that cannot be read twice has no stamp and counts as unchanged.
                    let is_unchanged = |cache: &FileCache| {
                        let stamp = given.stamp(path);
                        path.exists() && stamp.is_none_or(|stamp| cache.is_as_read(&name, &stamp))
                    };
                    if self.cache.contains(&name) && depth != Depth::Anew && is_unchanged(&self.cache) {
                        self.cache.mark_found(&name);
                        continue;
                    }
                    match given.open(path) {
                        Ok(found) => self.cache.update(found, &reader, depth.load_rule(), events),
                        Err(_) if !self.cache.contains(&name) => {}
                        Err(error) => events.push(LoadEvent::Log(standalone_failure(&error))),
                    }
                }
            }
        }
        self.report_passwd_failure(users, events);
    }

    fn report_passwd_failure(&mut self, users: &DaemonUsers, events: &mut dyn EventSink) {
        let failure = users.file_failure().map(str::to_owned);
        if failure == self.passwd_failure {
            return;
        }
        if let Some(why) = &failure {
            let detail = format!("{why}; all users are looked up by the name service");
            events.push(LoadEvent::Log(LogLine::of_daemon(Level::Warning, "WARNING", detail)));
        }
        self.passwd_failure = failure;
    }

    /// Removes temporary files of interrupted installations that are older than an hour; `now` in seconds since 1970.
    pub fn remove_leftovers(&self, now: i64, events: &mut dyn EventSink) {
        const OLD: i64 = 3600;
        let Origin::System(finder) = &self.origin else { return };
        let before_ns = now.saturating_sub(OLD).saturating_mul(1_000_000_000);
        let spool = finder.places().spool.display();
        // A spool that cannot be listed is reported by the scan.
        let detail = match finder.remove_leftovers(before_ns) {
            Ok(0) | Err(_) => return,
            Ok(1) => format!("removed a temporary file of an interrupted crontab from {spool}"),
            Ok(many) => format!("removed {many} temporary files of interrupted crontabs from {spool}"),
        };
        events.push(LoadEvent::Log(LogLine::of_daemon(Level::Info, "INFO", detail)));
    }

    /// Scans one path that may have changed. A path that can be no crontab is ignored, unless it was one, and so is one whose directory cannot be opened;
    /// see [`CrontabFiles::take_unopened`].
    pub fn scan_path(
        &mut self,
        path: &Path,
        rule: LoadRule,
        users: &mut DaemonUsers,
        known: KnownNames<'_>,
        events: &mut dyn EventSink,
    ) {
        let reader = TableReader { profile: self.profile, host: self.host, known, machine: &self.machine };
        match &self.origin {
            Origin::System(finder) => match finder.scan_path(path, users) {
                ScanOutcome::Table(found) => self.cache.update(found, &reader, rule, events),
                ScanOutcome::Gone(path) => self.cache.remove(&path, events),
                ScanOutcome::Unopened(_) => {
                    // The file may be a new one, which only a listing finds.
                    self.cache.forget_listed();
                    self.has_unopened = true;
                }
                // cronie's cluster has another host run the users' crontabs now.
                ScanOutcome::NoTable => match path.to_str() {
                    Some(path) if self.cache.contains(path) => self.cache.remove(path, events),
                    Some(_) | None => {}
                },
            },
            Origin::StandaloneFiles(given) => {
                if !given.paths().iter().any(|given| given == path) {
                    return;
                }
                match given.open(path) {
                    Ok(found) => self.cache.update(found, &reader, rule, events),
                    Err(error) => {
                        events.push(LoadEvent::Log(standalone_failure(&error)));
                        self.cache.remove(&path.to_string_lossy(), events);
                    }
                }
            }
        }
    }
}

/// A missing spool is no error, as it may be made later, but until then no user has a crontab. The words are those of cronie.
fn missing_spool(spool: &Path) -> LogLine {
    let line = LogLine::of_daemon(Level::Warning, "OPENDIR FAILED", spool.display().to_string());
    line.with_reason(&files::reason(&io::Error::from_raw_os_error(libc::ENOENT)))
}

fn standalone_failure(error: &StandaloneFilesError) -> LogLine {
    let line = LogLine::of_daemon(Level::Warning, "CAN'T OPEN", error.path.display().to_string());
    line.with_reason(&files::reason(&error.source))
}

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;
