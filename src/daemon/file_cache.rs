//! The state in which the files of crontabs were read last: what is loaded, what was refused and reported, and so what has changed since.

use super::load_event::{EventSink, LoadEvent, LogLine};
use super::load_lines::{refusal_line, reload_line, report_diagnostics, skipped_line};
use crate::crontab::{KnownNames, Parsed};
use crate::profile::Profile;
use crate::report::Level;
use crate::schedule::HostKey;
use crate::scheduler::Source;
use crate::spool::{Found, Refusal, RefusalKind, ScanError, StateOf, TableFile, ThisMachine, Visitor, unreadable};
use crate::sys::clock;
use crate::sys::files::reason;
use crate::sys::stamp::Stamp;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

/// A file that was changed within this time before it was read may change again without another stamp, as the kernel's stamps advance by a clock
/// tick only. Nanoseconds.
const FRESH_NS: i64 = 50_000_000;

/// A directory that was changed within this time before it was listed is listed again by the next scan: the coarsest stamps, those of FAT, advance
/// by two seconds. Nanoseconds.
const DIRECTORY_TRUSTED_AFTER_NS: i64 = 10_000_000_000;

/// How thorough a scan of everything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Changed files are read. A directory whose own stamp is unchanged is not listed, as no name has come or gone.
    Changes,
    /// Changed files are read, and each directory is listed: on a network file system, for example, its stamp may not change with a name.
    Names,
    /// Every file is read, whether it has changed or not.
    Anew,
}

impl Depth {
    /// Which crontabs are loaded when such a scan has read them.
    pub fn load_rule(self) -> LoadRule {
        match self {
            Depth::Changes | Depth::Names => LoadRule::IfChanged,
            Depth::Anew => LoadRule::Always,
        }
    }
}

/// Which crontabs are loaded when they have been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoadRule {
    /// Files whose contents are not the loaded ones.
    IfChanged,
    /// All, as something that they depend on has changed.
    Always,
}

/// The files of crontabs as they were read last.
#[derive(Debug, Default)]
pub(super) struct FileCache {
    files: BTreeMap<String, CachedFile>,
    /// The paths of the files that may be accepted later without being changed.
    rejected_for_now: BTreeSet<String>,
    /// The paths that are symbolic links.
    links: BTreeSet<String>,
    /// The number of the current scan of everything.
    scan: u32,
    /// The stamps that directories had when all their files had been read.
    listed: BTreeMap<String, Stamp>,
    /// Directories that could not be listed, which has been reported.
    unlistable: BTreeSet<PathBuf>,
    /// Whether one of them is there, so that it may be listed when the reason has passed.
    has_unlistable: bool,
    /// Files of cron.d whose names are not those of tables, which has been reported, and the scan that found them last.
    skipped: BTreeMap<String, u32>,
    /// Makes the digests of contents that show changes.
    hasher: RandomState,
}

/// A file that was read or refused. There may be a hundred thousand.
#[derive(Debug)]
struct CachedFile {
    stamp: Stamp,
    /// The number of the scan that found it last.
    scan: u32,
    /// Whether it could not be judged in its present state yet, as the lookup of its user has not been answered.
    awaits_user: bool,
    extra: Option<Box<CachedExtra>>,
}

/// The part that few files have.
#[derive(Debug, Default, PartialEq)]
struct CachedExtra {
    /// Why it is not loaded; none: it is.
    refusal: Option<Refusal>,
    /// The digest of the content of a file that had just been changed when it was read, so that its stamp may stand for other contents, too.
    fresh: Option<u64>,
    /// The directories that a symbolic link leads through.
    link_directories: Vec<PathBuf>,
}

impl CachedFile {
    /// Whether the file is loaded as it is, having that stamp. If so, it counts as found by that scan.
    fn is_unchanged(&mut self, stamp: &Stamp, scan: u32) -> bool {
        let is_unchanged = self.is_loaded() && self.is_as_read(stamp);
        if is_unchanged {
            self.scan = scan;
        }
        is_unchanged
    }

    /// Whether the file was read in the state that has this stamp.
    fn is_as_read(&self, stamp: &Stamp) -> bool {
        self.stamp == *stamp && self.fresh().is_none()
    }

    fn is_loaded(&self) -> bool {
        self.refusal().is_none()
    }

    fn refusal(&self) -> Option<&Refusal> {
        self.extra.as_ref()?.refusal.as_ref()
    }

    fn fresh(&self) -> Option<u64> {
        self.extra.as_ref()?.fresh
    }

    fn link_directories(&self) -> &[PathBuf] {
        self.extra.as_ref().map_or(&[], |extra| &extra.link_directories)
    }

    /// Whether the file may be accepted later without being changed.
    fn is_rejected_for_now(&self) -> bool {
        self.awaits_user || self.refusal().is_some_and(|refusal| refusal.is_temporary())
    }
}

/// The profile, the host and the names that parsing depends on.
pub(super) struct TableReader<'a> {
    pub(super) profile: &'static Profile,
    pub(super) host: HostKey,
    pub(super) known: KnownNames<'a>,
    pub(super) machine: &'a ThisMachine,
}

impl TableReader<'_> {
    /// Reads and parses a crontab. Returns the digest of its bytes, too.
    fn read(&self, source: &Source, file: &TableFile, hasher: &RandomState) -> io::Result<(Parsed, u64)> {
        let mut digest = hasher.build_hasher();
        let parsed =
            file.parse(source, &self.profile.dialect, self.host, self.known, Some(self.machine), &mut |piece| {
                digest.write(piece)
            })?;
        Ok((parsed, digest.finish()))
    }
}

impl FileCache {
    /// Begins a scan of everything.
    pub(super) fn begin_scan(&mut self) {
        self.scan = self.scan.wrapping_add(1);
    }

    /// Whether a file was read or refused.
    pub(super) fn contains(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Whether a file was read in the state that has this stamp.
    pub(super) fn is_as_read(&self, path: &str, stamp: &Stamp) -> bool {
        self.files.get(path).is_some_and(|file| file.is_as_read(stamp))
    }

    /// Notes that the current scan has found a file unchanged.
    pub(super) fn mark_found(&mut self, path: &str) {
        if let Some(file) = self.files.get_mut(path) {
            file.scan = self.scan;
        }
    }

    /// The files that are symbolic links.
    pub(super) fn links(&self) -> impl Iterator<Item = PathBuf> {
        self.links.iter().map(PathBuf::from)
    }

    /// The directories that symbolic links lead through.
    pub(super) fn link_directories(&self) -> impl Iterator<Item = &PathBuf> {
        let links = self.links.iter().filter_map(|path| self.files.get(path));
        links.flat_map(|link| link.link_directories())
    }

    /// The files that are symbolic links leading through that directory.
    pub(super) fn links_through(&self, directory: &Path) -> Vec<PathBuf> {
        let leads_through = |path: &&String| {
            let link = self.files.get(*path);
            link.is_some_and(|link| link.link_directories().iter().any(|through| through == directory))
        };
        self.links.iter().filter(leads_through).map(PathBuf::from).collect()
    }

    /// The files that are not loaded, and why.
    pub(super) fn refused(&self) -> Vec<(String, String)> {
        let refused = self.files.iter().filter_map(|(path, file)| Some((path.clone(), file.refusal()?)));
        refused.map(|(path, refusal)| (path, refusal.reason())).collect()
    }

    /// The files that may be accepted later without being changed.
    pub(super) fn rejected_for_now(&self) -> impl Iterator<Item = PathBuf> {
        self.rejected_for_now.iter().map(PathBuf::from)
    }

    /// Takes the state in which a file was found: reads it unless it is as it was, and reports what has changed.
    pub(super) fn update(
        &mut self,
        found: Found,
        reader: &TableReader<'_>,
        rule: LoadRule,
        events: &mut dyn EventSink,
    ) {
        let Found { source, stamp, content, watch } = found;
        // The file is closed before its crontab is passed on, so that its bytes are not in memory any more.
        let content = content.and_then(|file| {
            reader
                .read(&source, &file, &self.hasher)
                .map_err(|error| unreadable(&source, &error, reader.profile.profile))
        });
        if let (Err(refusal), Some(file)) = (&content, self.files.get_mut(&source.path)) {
            if refusal.kind == RefusalKind::UserNotYetKnown {
                // The earlier answer about the user counts until the next one comes.
                (file.scan, file.awaits_user) = (self.scan, true);
                self.rejected_for_now.insert(source.path);
                return;
            }
            if refusal.is_momentary && file.is_loaded() {
                // Nothing is known of the file, so that what was loaded stays. Without its stamp it is read as soon as that is possible.
                (file.scan, file.stamp) = (self.scan, Stamp::default());
                if self.rejected_for_now.insert(source.path)
                    && let Some(line) = refusal_line(reader.profile, refusal)
                {
                    events.push(LoadEvent::Log(line));
                }
                return;
            }
        }
        let before = self.files.remove(&source.path);
        let was_loaded = before.as_ref().is_some_and(CachedFile::is_loaded);
        let before = before.filter(|file| file.stamp == stamp);
        if watch.is_empty() {
            self.links.remove(&source.path);
        } else {
            self.links.insert(source.path.clone());
        }
        let mut extra = CachedExtra { link_directories: watch, ..CachedExtra::default() };
        let path = source.path.clone();
        let is_fresh = stamp.ctime_ns > clock::wall().as_ns() - FRESH_NS;
        match content {
            Ok((parsed, digest)) => {
                let before = before.filter(|_| was_loaded);
                let digest_before = before.as_ref().and_then(CachedFile::fresh);
                // Equal stamps mean equal contents, unless the stamp was too fresh when the file was read.
                let is_unchanged = before.is_some() && digest_before.is_none_or(|before| before == digest);
                extra.fresh = is_fresh.then_some(digest);
                if !is_unchanged {
                    if was_loaded {
                        events.push(LoadEvent::Log(reload_line(reader.profile, &source)));
                    }
                    let mut lines = Vec::new();
                    report_diagnostics(reader.profile, &source, &parsed.diagnostics, parsed.unlisted, &mut lines);
                    lines.into_iter().for_each(|line| events.push(LoadEvent::Log(line)));
                }
                if !is_unchanged || rule == LoadRule::Always {
                    events.push(LoadEvent::Load { source, table: parsed.table });
                }
            }
            Err(refusal) => {
                if before.as_ref().and_then(CachedFile::refusal) != Some(&refusal)
                    && let Some(line) = refusal_line(reader.profile, &refusal)
                {
                    events.push(LoadEvent::Log(line));
                }
                if was_loaded {
                    events.push(LoadEvent::Unload { path: source.path });
                }
                extra.refusal = Some(refusal);
            }
        }
        let extra = (extra != CachedExtra::default()).then(|| Box::new(extra));
        let file = CachedFile { stamp, scan: self.scan, awaits_user: false, extra };
        if file.is_rejected_for_now() {
            self.rejected_for_now.insert(path.clone());
        } else {
            self.rejected_for_now.remove(&path);
        }
        self.files.insert(path, file);
    }

    /// Has the next scan list all directories.
    pub(super) fn forget_listed(&mut self) {
        self.listed.clear();
    }

    /// Drops a file that is gone.
    pub(super) fn remove(&mut self, path: &str, events: &mut dyn EventSink) {
        // The file may still exist and stat(2) have failed. Then its directory has to be listed to find it again.
        self.forget_listed();
        self.links.remove(path);
        self.rejected_for_now.remove(path);
        if self.files.remove(path).is_some_and(|file| file.is_loaded()) {
            events.push(LoadEvent::Unload { path: path.to_owned() });
        }
    }

    /// The files with paths behind this one, in order, each with whether it is loaded in the state that has a stamp.
    pub(super) fn loaded_after<'a>(
        &'a self,
        path: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a str, impl Fn(&Stamp) -> bool + 'a)> {
        let from = path.map_or(Bound::Unbounded, Bound::Excluded);
        let files = self.files.range::<str, _>((from, Bound::Unbounded));
        files.map(|(path, file)| (path.as_str(), |stamp: &Stamp| file.is_loaded() && file.is_as_read(stamp)))
    }

    /// The files that the current scan did not find, except in directories that could not be listed.
    pub(super) fn unfound(&self) -> Vec<String> {
        let is_listed = |path: &str| Path::new(path).parent().is_none_or(|parent| !self.unlistable.contains(parent));
        let unfound = self.files.iter().filter(|(_, file)| file.scan != self.scan).map(|(path, _)| path);
        unfound.filter(|path| is_listed(path)).cloned().collect()
    }

    /// Takes the directories that could not be listed. Each is reported once.
    pub(super) fn report_unlistable(&mut self, errors: &[ScanError], events: &mut dyn EventSink) {
        for error in errors.iter().filter(|error| !self.unlistable.contains(&error.path)) {
            let line = LogLine::of_daemon(Level::Warning, "OPENDIR FAILED", error.path.display().to_string());
            events.push(LoadEvent::Log(line.with_reason(&reason(&error.source))));
        }
        self.unlistable = errors.iter().map(|error| error.path.clone()).collect();
        self.has_unlistable = errors.iter().any(|error| error.source.kind() != std::io::ErrorKind::NotFound);
    }

    /// Whether a directory that is there could not be listed by the last scan.
    pub(super) fn has_unlistable(&self) -> bool {
        self.has_unlistable
    }
}

/// A scan of all places of crontabs.
pub(super) struct Scan<'a> {
    pub(super) cache: &'a mut FileCache,
    pub(super) reader: TableReader<'a>,
    pub(super) depth: Depth,
    /// Where the paths of files are added that are not known yet, or all with [`Depth::Anew`]. They are examined later, and so are those that are
    /// known. None: all are examined during the scan, and read if they have changed.
    pub(super) listed: Option<&'a mut Vec<PathBuf>>,
    pub(super) events: &'a mut dyn EventSink,
}

impl Visitor for Scan<'_> {
    fn knows(&self, path: &str) -> bool {
        self.cache.contains(path)
    }

    fn defers(&mut self, path: &str) -> bool {
        let Some(listed) = &mut self.listed else { return false };
        if !self.cache.contains(path) || self.depth == Depth::Anew {
            listed.push(PathBuf::from(path));
        }
        self.cache.mark_found(path);
        true
    }

    fn has(&mut self, path: &str, stamp: &Stamp) -> bool {
        let FileCache { files, scan, .. } = &mut *self.cache;
        let file = files.get_mut(path).filter(|_| self.depth != Depth::Anew);
        file.is_some_and(|file| file.is_unchanged(stamp, *scan))
    }

    fn found(&mut self, found: Found) {
        self.cache.update(found, &self.reader, self.depth.load_rule(), self.events);
    }

    fn changed_tables(&mut self, directory: &str, stamp: &Stamp, state: &mut StateOf<'_>) -> Option<Vec<String>> {
        let FileCache { files, scan, listed, .. } = &mut *self.cache;
        if self.depth != Depth::Changes || listed.get(directory) != Some(stamp) {
            return None;
        }
        let mut changed = Vec::new();
        let from_directory = (Bound::Included(directory), Bound::Unbounded);
        for (path, file) in files.range_mut::<str, _>(from_directory) {
            let Some(name) = path.strip_prefix(directory) else { break };
            // Files in a directory below this one do not belong to it.
            if name.contains('/') {
                continue;
            }
            if self.listed.is_some() {
                file.scan = *scan;
            } else if !state(name).is_some_and(|stamp| file.is_unchanged(&stamp, *scan)) {
                changed.push(name.to_owned());
            }
        }
        Some(changed)
    }

    fn skipped(&mut self, path: &str, rule: &'static str) {
        if self.cache.skipped.insert(path.to_owned(), self.cache.scan).is_none() {
            self.events.push(LoadEvent::Log(skipped_line(path, rule)));
        }
    }

    fn listed(&mut self, directory: &str, stamp: Stamp) {
        let scan = self.cache.scan;
        self.cache.skipped.retain(|path, found| *found == scan || !path.starts_with(directory));
        if stamp.ctime_ns < clock::wall().as_ns() - DIRECTORY_TRUSTED_AFTER_NS {
            self.cache.listed.insert(directory.to_owned(), stamp);
        }
    }
}

#[cfg(test)]
impl FileCache {
    /// Whether all files are old enough for their stamps to stand for their contents.
    pub(super) fn trusts_all_stamps(&self) -> bool {
        self.files.values().all(|file| file.fresh().is_none())
    }

    /// The digest of a file that had just been changed when it was read.
    pub(super) fn fresh(&self, path: &str) -> Option<u64> {
        self.files.get(path).and_then(CachedFile::fresh)
    }

    /// Lets a directory count as listed in the state that has this stamp.
    pub(super) fn set_listed(&mut self, directory: &str, stamp: Stamp) {
        self.listed.insert(directory.to_owned(), stamp);
    }
}
