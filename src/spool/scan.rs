//! Finds crontabs: all of them, or the one at a path.

use super::check::{Strictness, check, refusal};
use super::find::{Found, RefusalKind};
use super::install::is_temporary;
use super::links::watched_directories;
use super::names::{DropInNames, is_user_table};
use super::read::TableFile;
use super::selinux;
use crate::config::Places;
use crate::profile::{Profile, ProfileName};
use crate::scheduler::{Owner, Source};
use crate::sys::error::OsError;
use crate::sys::files::{self, Links, Stat};
use crate::sys::selinux::Policy;
use crate::sys::stamp::Stamp;
use crate::sys::state_file;
use crate::users::{Lookup, Users};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// cronie's file in the spool that names the host of a cluster whose daemon runs the users' crontabs.
pub const CLUSTER_HOST_FILE: &str = ".cron.hostname";

/// Finds crontabs by the profile's rules.
#[derive(Debug)]
pub struct Finder {
    places: Places,
    profile: &'static Profile,
    names: DropInNames,
    strictness: Strictness,
    cluster: bool,
    policy: Option<Policy>,
}

/// Receives the results of a scan.
pub trait Visitor {
    /// Whether a table of that path was ever reported. One that was not is opened without checking the name first.
    fn knows(&self, _path: &str) -> bool {
        false
    }
    /// Receives the path of a table before its file is opened. Returns whether the file is left out of this scan, as the visitor scans it later.
    fn defers(&mut self, _path: &str) -> bool {
        false
    }
    /// Whether the table of that path is loaded in exactly this state; then it is neither opened nor reported. Called once for
    /// each table whose file may be used.
    fn has(&mut self, path: &str, stamp: &Stamp) -> bool;
    /// Receives a crontab that is new or has changed, or that may not be used.
    fn found(&mut self, found: Found);
    /// Returns the names of the tables of a directory that have changed since they were reported, so that the directory need not be
    /// listed: `state` reads the present state of each. The path of the directory ends with a slash. None: the directory, which has
    /// this stamp, must be listed, since names may have come or gone.
    fn changed_tables(&mut self, _directory: &str, _stamp: &Stamp, _state: &mut StateOf<'_>) -> Option<Vec<String>> {
        None
    }
    /// Receives the path of a file in cron.d whose name is not that of a table, and the rule for names. Hidden files are not reported: they
    /// are there for package managers and editors.
    fn skipped(&mut self, _path: &str, _rule: &'static str) {}
    /// Called when all tables of a directory that had this stamp have been reported.
    fn listed(&mut self, _directory: &str, _stamp: Stamp) {}
}

/// Returns the stamp of the crontab of that name, if it is a regular file that may be used.
pub type StateOf<'a> = dyn FnMut(&str) -> Option<Stamp> + 'a;

/// The result of checking one path.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // One lives for a moment, on the stack.
pub enum ScanOutcome {
    /// A crontab, usable or refused.
    Table(Found),
    /// There is no file, or it has been removed.
    Gone(String),
    /// The path is not one at which crontabs are loaded.
    NoTable,
    /// Its directory could not be opened, so that nothing is known of the file.
    Unopened(ScanError),
}

/// The state of a file at which a crontab may be, by stat(2) alone.
#[derive(Debug, PartialEq, Eq)]
pub enum FileState {
    /// It may be used, and has this stamp.
    Usable(Stamp),
    /// There is none, or it may not be used.
    Unusable,
    /// Its directory could not be opened, so that nothing is known of it.
    Unknown,
}

/// A directory that could not be listed.
#[derive(Debug, thiserror::Error)]
#[error("listing {}: {source}", path.display())]
pub struct ScanError {
    /// The path of the directory.
    pub path: PathBuf,
    /// The error from opening or reading it.
    pub source: OsError,
}

/// The kind of location of a crontab, which decides its name and the rules that apply.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Spool,
    SystemCrontab,
    DropIn,
}

impl Finder {
    /// A finder with the profile's rules.
    pub fn new(places: Places, profile: &'static Profile) -> Finder {
        Finder {
            places,
            profile,
            names: DropInNames::of(profile.profile),
            strictness: Strictness::Profile,
            cluster: false,
            policy: None,
        }
    }
    /// Debian's `-l`: drop-in names of the Linux Standard Base.
    pub fn lsb_names(mut self) -> Finder {
        self.names = DropInNames::Lsb;
        self
    }
    /// cronie's `-p`: any owner, mode and number of links.
    pub fn any_owner_and_mode(mut self) -> Finder {
        self.strictness = Strictness::AnyOwnerAndMode;
        self
    }
    /// cronie's `-c`: uses users' crontabs only if [`CLUSTER_HOST_FILE`] names this host.
    pub fn cluster(mut self) -> Finder {
        self.cluster = true;
        self
    }
    /// Refuses crontabs whose labels do not permit their jobs, if the kernel has SELinux.
    pub fn with_label_check(mut self) -> Finder {
        self.policy = Policy::of_machine();
        self
    }
    /// The paths that it scans.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Scans all tables: the system table, drop-ins, the users' tables. A place that does not exist holds none. One that cannot be
    /// listed is an error, and the other places are scanned nevertheless. A table is gone if it was loaded and is neither asked
    /// for nor reported, unless its directory is among the errors.
    pub fn scan(&self, users: &mut dyn Users, visitor: &mut dyn Visitor) -> Vec<ScanError> {
        let mut errors = Vec::new();
        self.scan_system_crontab(users, visitor, &mut errors);
        self.scan_directory(Place::DropIn, users, visitor, &mut errors);
        if self.runs_user_tables() {
            self.scan_directory(Place::Spool, users, visitor, &mut errors);
        }
        errors
    }

    /// Checks one path in the form that a watcher reports: the directory as configured, and a name in it. The file is always
    /// opened.
    pub fn scan_path(&self, path: &Path, users: &mut dyn Users) -> ScanOutcome {
        self.place_of(path).map_or(ScanOutcome::NoTable, |place| self.scan_path_in(place, path, users))
    }

    /// Opens a root-owned file at another path, with the rules for the system crontab. None if it does not exist.
    pub fn open_as_system(&self, path: &Path) -> Option<Found> {
        match self.scan_path_in(Place::SystemCrontab, path, &mut NoUsers) {
            ScanOutcome::Table(found) => Some(found),
            ScanOutcome::Gone(_) | ScanOutcome::NoTable | ScanOutcome::Unopened(_) => None,
        }
    }

    fn scan_path_in(&self, place: Place, path: &Path, users: &mut dyn Users) -> ScanOutcome {
        let (Some(directory), Some(name)) = (directory_of(path), path.file_name()) else { return ScanOutcome::NoTable };
        let Some((path, name)) = path.to_str().zip(name.to_str().and_then(c_name)) else { return ScanOutcome::NoTable };
        let directory = match files::open_dir(directory) {
            Ok(opened) => opened,
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => return ScanOutcome::Gone(path.to_owned()),
            Err(source) => {
                return ScanOutcome::Unopened(ScanError { path: directory.to_owned(), source: source.into() });
            }
        };
        struct SingleTable(Option<Found>);
        impl Visitor for SingleTable {
            fn has(&mut self, _: &str, _: &Stamp) -> bool {
                false
            }
            fn found(&mut self, found: Found) {
                self.0 = Some(found);
            }
        }
        let mut one = SingleTable(None);
        self.examine(place, path.to_owned(), directory.as_fd(), &name, users, &mut one);
        one.0.map_or_else(|| ScanOutcome::Gone(path.to_owned()), ScanOutcome::Table)
    }

    /// Whether the spool does not exist.
    pub fn is_spool_missing(&self) -> bool {
        let spool = self.places.spool.symlink_metadata();
        spool.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    /// Whether this host runs the users' crontabs (cronie's cluster).
    pub fn runs_user_tables(&self) -> bool {
        !self.cluster || self.is_cluster_host().unwrap_or(false)
    }

    /// Removes temporary files of interrupted installations from the spool: regular files with the names that crontab gives
    /// them, last written before `before_ns` (nanoseconds since 1970). Returns how many were removed.
    pub fn remove_leftovers(&self, before_ns: i64) -> Result<usize, ScanError> {
        let error = |source: io::Error| ScanError { path: self.places.spool.clone(), source: source.into() };
        let directory = match files::open_dir(&self.places.spool) {
            Ok(directory) => directory,
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(source) => return Err(error(source)),
        };
        let mut stale = Vec::new();
        let list = directory.try_clone().map_err(error)?;
        files::names(list, &mut |name, _| {
            if is_temporary(name.to_bytes(), self.profile.profile) {
                stale.push(name.to_owned());
            }
        })
        .map_err(error)?;
        stale.retain(|name| {
            files::stat_at(&directory, name.as_c_str()).is_ok_and(|stat| stat.is_regular() && stat.mtime_ns < before_ns)
                && files::unlink_at(&directory, name).is_ok()
        });
        Ok(stale.len())
    }

    fn is_cluster_host(&self) -> io::Result<bool> {
        const LONGEST: usize = 4096;
        let text = state_file::read(&self.places.spool.join(CLUSTER_HOST_FILE), LONGEST)?;
        let named = text.split(|b| *b == b'\n').next().unwrap_or_default();
        Ok(named == files::host_name()?)
    }

    fn place_of(&self, path: &Path) -> Option<Place> {
        if path == self.places.system_crontab {
            return Some(Place::SystemCrontab);
        }
        let directory = path.parent()?;
        let name = path.file_name()?.as_encoded_bytes();
        if directory == self.places.cron_d {
            return self.admits(Place::DropIn, name).then_some(Place::DropIn);
        }
        (directory == self.places.spool && self.admits(Place::Spool, name) && self.runs_user_tables())
            .then_some(Place::Spool)
    }

    fn admits(&self, place: Place, name: &[u8]) -> bool {
        match place {
            Place::SystemCrontab => true,
            Place::DropIn => self.names.admit(name),
            Place::Spool => is_user_table(name, self.profile.profile),
        }
    }

    fn scan_system_crontab(&self, users: &mut dyn Users, visitor: &mut dyn Visitor, errors: &mut Vec<ScanError>) {
        let path = &self.places.system_crontab;
        let (Some(directory), Some(name)) = (directory_of(path), path.file_name()) else { return };
        let Some((path_text, name)) = path.to_str().zip(name.to_str().and_then(c_name)) else { return };
        match files::open_dir(directory) {
            Ok(fd) if files::stat_at(&fd, name.as_c_str()).is_ok() && visitor.defers(path_text) => {}
            Ok(fd) => self.examine(Place::SystemCrontab, path_text.to_owned(), fd.as_fd(), &name, users, visitor),
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {}
            Err(source) => errors.push(ScanError { path: directory.to_path_buf(), source: source.into() }),
        }
    }

    fn scan_directory(
        &self,
        place: Place,
        users: &mut dyn Users,
        visitor: &mut dyn Visitor,
        errors: &mut Vec<ScanError>,
    ) {
        let path = if place == Place::Spool { &self.places.spool } else { &self.places.cron_d };
        let Some(prefix) = path.to_str() else { return };
        let prefix = [prefix, if prefix.ends_with('/') { "" } else { "/" }].concat();
        let mut list = || -> io::Result<()> {
            let directory = files::open_dir(path)?;
            let stamp = Stamp::from(&files::stat(&directory)?);
            let mut state = |name: &str| self.state(place, directory.as_fd(), name, users);
            if let Some(changed) = visitor.changed_tables(&prefix, &stamp, &mut state) {
                for name in changed.iter().filter_map(|name| c_name(name)) {
                    let path = [&prefix, text(&name).unwrap_or_default()].concat();
                    self.examine(place, path, directory.as_fd(), &name, users, visitor);
                }
                return Ok(());
            }
            files::names(directory.try_clone()?, &mut |name, is_regular| {
                if !self.admits(place, name.to_bytes()) {
                    if place == Place::DropIn && !name.to_bytes().starts_with(b".") && is_file(&directory, name) {
                        let path = [&prefix, name.to_string_lossy().as_ref()].concat();
                        visitor.skipped(&path, self.names.rule());
                    }
                    return;
                }
                // A name that is not UTF-8 is not a user's, and paths here are text.
                let Some(file_name) = text(name) else { return };
                let path = [&prefix, file_name].concat();
                if visitor.defers(&path) {
                    return;
                }
                let scan = if is_regular && !visitor.knows(&path) { Self::open_new } else { Self::examine };
                scan(self, place, path, directory.as_fd(), name, users, visitor);
            })?;
            visitor.listed(&prefix, stamp);
            Ok(())
        };
        match list() {
            Ok(()) => {}
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {}
            Err(source) => errors.push(ScanError { path: path.clone(), source: source.into() }),
        }
    }

    /// Scans single files, those of one directory after each other.
    pub fn file_states(&self) -> FileStates<'_> {
        FileStates { finder: self, directory: None }
    }

    /// The stamp of a file that may be used as a crontab, or of the file that a link leads to, by the rules of [`Finder::open`]. None if it may not
    /// be used.
    fn state(&self, place: Place, directory: BorrowedFd<'_>, name: &str, users: &mut dyn Users) -> Option<Stamp> {
        let at_name = files::stat_at(directory, name).ok()?;
        let stat = if at_name.is_symlink() {
            self.links(place, &at_name).ok().filter(|links| *links == Links::Followed)?;
            files::stat_through_link(directory, name).ok()?
        } else {
            at_name
        };
        if !stat.is_regular() {
            return None;
        }
        let uid = match place {
            Place::Spool => match users.uid(name) {
                Lookup::Known(uid) => Some(uid),
                Lookup::Unknown | Lookup::NotYet => return None,
            },
            Place::SystemCrontab | Place::DropIn => None,
        };
        self.check(&stat, uid).ok()?;
        Some(Stamp::from(&stat))
    }

    /// Opens a file that the directory lists as regular and that is not known yet. If opening fails, or it is a link, the
    /// full check follows.
    fn open_new(
        &self,
        place: Place,
        path: String,
        directory: BorrowedFd<'_>,
        name: &CStr,
        users: &mut dyn Users,
        visitor: &mut dyn Visitor,
    ) {
        let source = self.source(place, path, name);
        let open = || {
            let fd = files::open_at(directory, name, Links::Refused).ok()?;
            let stat = files::stat(&fd).ok()?;
            Some((fd, stat))
        };
        match self.expected_owner(&source, users).ok().and_then(|uid| Some((uid, open()?))) {
            Some((uid, opened)) => self.report(source, uid, opened, Vec::new(), users, visitor),
            None => self.examine(place, source.path, directory, name, users, visitor),
        }
    }

    /// Checks one name and reports it, unless there is no file or the visitor has the same state already.
    fn examine(
        &self,
        place: Place,
        path: String,
        directory: BorrowedFd<'_>,
        name: &CStr,
        users: &mut dyn Users,
        visitor: &mut dyn Visitor,
    ) {
        let source = self.source(place, path, name);
        let at_name = match files::stat_at(directory, name) {
            Ok(stat) => stat,
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                return self.refuse(RefusalKind::CannotStat, Some(&error), source, Stamp::default(), vec![], visitor);
            }
        };
        let watch = if at_name.is_symlink() { watched_directories(Path::new(&source.path)) } else { Vec::new() };
        let uid = match self.expected_owner(&source, users) {
            Ok(uid) => uid,
            Err(kind) => return self.refuse(kind, None, source, Stamp::from(&at_name), watch, visitor),
        };
        // A file that is not a link is checked and compared without opening it. So a scan without changes is cheap and
        // causes no events for watchers of the directory.
        if !at_name.is_symlink()
            && self.check(&at_name, uid).is_ok()
            && visitor.has(&source.path, &Stamp::from(&at_name))
        {
            return;
        }
        let (fd, stat) = match self.open(place, directory, name, &at_name) {
            Ok(opened) => opened,
            Err((kind, error)) => {
                return self.refuse(kind, error.as_ref(), source, Stamp::from(&at_name), watch, visitor);
            }
        };
        if at_name.is_symlink() && self.check(&stat, uid).is_ok() && visitor.has(&source.path, &Stamp::from(&stat)) {
            return;
        }
        self.report(source, uid, (fd, stat), watch, users, visitor);
    }

    /// Checks an open file and reports it.
    fn report(
        &self,
        mut source: Source,
        uid: Option<u32>,
        (fd, stat): (OwnedFd, Stat),
        watch: Vec<PathBuf>,
        users: &mut dyn Users,
        visitor: &mut dyn Visitor,
    ) {
        let stamp = Stamp::from(&stat);
        if let Err(kind) = self.check(&stat, uid) {
            return self.refuse(kind, None, source, stamp, watch, visitor);
        }
        if let Some(Err(why)) = self.policy.map(|policy| selinux::admits(&policy, &fd, &source, users)) {
            let mut refusal = refusal(RefusalKind::Unauthorized, &source, None, self.profile.profile);
            refusal.error = why.to_string();
            return visitor.found(Found { source, stamp, content: Err(refusal), watch });
        }
        // If any owner is accepted, the crontab belongs to the user whose name it has.
        if let Owner::User { uid, .. } = &mut source.owner
            && self.strictness == Strictness::Profile
        {
            *uid = stat.uid;
        }
        visitor.found(Found { source, stamp, content: Ok(TableFile::new(fd, stat.size)), watch });
    }

    fn check(&self, stat: &Stat, uid: Option<u32>) -> Result<(), RefusalKind> {
        check(stat, uid, self.profile.profile, self.strictness)
    }

    /// The uid that must own a user's crontab; none for a system crontab.
    fn expected_owner(&self, source: &Source, users: &mut dyn Users) -> Result<Option<u32>, RefusalKind> {
        let Owner::User { name, .. } = &source.owner else { return Ok(None) };
        match users.uid(name) {
            Lookup::Known(uid) => Ok(Some(uid)),
            Lookup::Unknown => Err(RefusalKind::Orphan),
            Lookup::NotYet => Err(RefusalKind::UserNotYetKnown),
        }
    }

    /// Whether a file may be opened through a link. Debian's cron refuses all links in the spool, and elsewhere those that are not root's.
    fn links(&self, place: Place, at_name: &Stat) -> Result<Links, RefusalKind> {
        match (self.profile.profile, place) {
            (ProfileName::Debian, Place::Spool) => Ok(Links::Refused),
            (ProfileName::Debian, Place::SystemCrontab | Place::DropIn) if at_name.is_symlink() && at_name.uid != 0 => {
                Err(RefusalKind::WrongLinkOwner)
            }
            (ProfileName::Debian | ProfileName::Cronie, _) => Ok(Links::Followed),
        }
    }

    fn open(
        &self,
        place: Place,
        directory: BorrowedFd<'_>,
        name: &CStr,
        at_name: &Stat,
    ) -> Result<(OwnedFd, Stat), (RefusalKind, Option<io::Error>)> {
        let links = self.links(place, at_name).map_err(|kind| (kind, None))?;
        let fd = files::open_at(directory, name, links).map_err(|error| {
            let is_followed_link = at_name.is_symlink() && links == Links::Followed;
            (if is_followed_link { RefusalKind::CannotOpenLink } else { RefusalKind::CannotOpen }, Some(error))
        })?;
        let stat = files::stat(&fd).map_err(|error| (RefusalKind::CannotStat, Some(error)))?;
        Ok((fd, stat))
    }

    fn refuse(
        &self,
        kind: RefusalKind,
        error: Option<&io::Error>,
        source: Source,
        stamp: Stamp,
        watch: Vec<PathBuf>,
        visitor: &mut dyn Visitor,
    ) {
        let refusal = refusal(kind, &source, error, self.profile.profile);
        visitor.found(Found { source, stamp, content: Err(refusal), watch });
    }

    fn source(&self, place: Place, path: String, name: &CStr) -> Source {
        let file_name = text(name).unwrap_or_default();
        let (name, owner) = match place {
            Place::Spool => (file_name.to_owned(), Owner::User { name: file_name.to_owned(), uid: 0 }),
            Place::DropIn if self.profile.profile == ProfileName::Debian => {
                (format!("*system*{file_name}"), Owner::System)
            }
            Place::SystemCrontab | Place::DropIn => ("*system*".to_owned(), Owner::System),
        };
        Source { path, name, owner }
    }
}

/// The states of single files by stat(2) alone, without opening them.
#[derive(Debug)]
pub struct FileStates<'a> {
    finder: &'a Finder,
    /// The directory of the last one, open, or why it is not.
    directory: Option<(PathBuf, io::Result<OwnedFd>)>,
}

impl FileStates<'_> {
    /// The state of the file at a path in the form of [`Finder::scan_path`].
    pub fn state(&mut self, path: &Path, users: &mut dyn Users) -> FileState {
        let place = self.finder.place_of(path);
        let names = directory_of(path).zip(path.file_name().and_then(|name| name.to_str()));
        let (Some(place), Some((parent, name))) = (place, names) else { return FileState::Unusable };
        let (_, directory) = match self.directory.take().filter(|(last, _)| last == parent) {
            Some(same) => self.directory.insert(same),
            None => self.directory.insert((parent.to_owned(), files::open_dir(parent))),
        };
        match directory {
            Ok(directory) => {
                let stamp = self.finder.state(place, directory.as_fd(), name, users);
                stamp.map_or(FileState::Unusable, FileState::Usable)
            }
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => FileState::Unusable,
            Err(_) => FileState::Unknown,
        }
    }
}

/// For tables that no user owns: nobody is known, and nothing is read.
#[derive(Debug)]
struct NoUsers;

impl Users for NoUsers {
    fn uid(&mut self, _: &str) -> Lookup {
        Lookup::Unknown
    }
}

/// The directory that a file is in, also for a mere name.
fn directory_of(path: &Path) -> Option<&Path> {
    path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
}

/// Whether something in a directory could be read as a file: it is no directory.
fn is_file(directory: impl AsFd, name: &CStr) -> bool {
    files::stat_at(directory, name).is_ok_and(|stat| !stat.is_directory())
}

/// A name as the kernel takes it; none if it holds a NUL.
fn c_name(name: &str) -> Option<std::ffi::CString> {
    std::ffi::CString::new(name).ok()
}

/// A kernel's name as text; none if it is not UTF-8, which no table's name is.
fn text(name: &CStr) -> Option<&str> {
    name.to_str().ok()
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
