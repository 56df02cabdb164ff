//! The tables as they were last seen: what is live, what was refused and said, and what has changed since.

use super::standalone_files::{StandaloneFiles, StandaloneFilesError};
use crate::crontab::{BAD_USER, Crontab, Diagnostic, NO_NEWLINE, Parsed, Severity, Unlisted};
use crate::profile::{Profile, ProfileName};
use crate::report::Level;
use crate::schedule::{HostKey, Zone, Zones};
use crate::scheduler::{Owner, Source};
use crate::spool::names::is_safe_component;
use crate::spool::{Finder, Found, Look, Refusal, RefusalKind, StateOf, TableFile, Visitor, unreadable};
use crate::sys::clock;
use crate::sys::files;
use crate::sys::stamp::Stamp;
use crate::users::DaemonUsers;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most lines that one table's faults may fill in the log at one load.
const MOST_SAID: usize = 20;
/// A file changed so shortly before it was read may change again without its stamp telling: the kernel's stamps advance
/// by a clock tick only. Nanoseconds.
const TOO_FRESH_NS: i64 = 50_000_000;

/// A directory changed so shortly before it was listed is listed again at the next look: the coarsest stamps, FAT's, advance
/// by two seconds. Nanoseconds.
const UNSETTLED_NS: i64 = 10_000_000_000;

/// How closely everything is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What has changed. A directory whose own stamp has not is not listed: no name has come or gone.
    Changes,
    /// The same, but each directory is listed: its stamp may not tell, on a network file system for example.
    Names,
    /// Everything is read anew.
    Anew,
}

/// What the loop is to do about a table.
#[derive(Debug)]
pub enum LoadEvent {
    /// Give it to the plan.
    Load {
        /// Where it came from.
        source: Source,
        /// What it holds.
        table: Crontab,
    },
    /// Take it from the plan.
    Unload {
        /// Its path.
        path: String,
    },
    /// Tell the plan that the system's zone is another one.
    SystemZone(Arc<Zone>),
    /// Log this.
    Tell(Told),
}

/// Who hears news, one after the other: a table that was read goes on at once, and a hundred thousand are never held twice.
pub trait EventSink {
    /// Takes one.
    fn push(&mut self, news: LoadEvent);
}

impl EventSink for Vec<LoadEvent> {
    fn push(&mut self, news: LoadEvent) {
        Vec::push(self, news);
    }
}

/// One line for the log, `(USER) EVENT (DETAIL)REST`; the event alone where there is no user.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// How loud.
    pub level: Level,
    /// Whom it is about.
    pub user: String,
    /// What happened.
    pub event: Cow<'static, str>,
    /// The particulars.
    pub detail: String,
    /// What the kernel said, behind a colon.
    pub rest: String,
    /// Line of the table that it is about.
    pub line: Option<usize>,
}

/// Where tables come from.
#[derive(Debug)]
pub enum Origin {
    /// The system's places.
    System(Finder),
    /// Files of the caller's.
    StandaloneFiles(StandaloneFiles),
}

/// All tables that were seen.
#[derive(Debug)]
pub struct Tables {
    origin: Origin,
    profile: &'static Profile,
    host: HostKey,
    users: DaemonUsers,
    seen: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    /// By path.
    known: BTreeMap<String, Known>,
    /// Those that are symbolic links.
    links: BTreeSet<String>,
    /// Number of the current look at everything.
    round: u32,
    /// The stamps of directories when all their tables had been seen.
    listed: BTreeMap<String, Stamp>,
    /// Directories that could not be listed, which has been said.
    unlistable: BTreeSet<PathBuf>,
    /// Why /etc/passwd could not be read, as it has been said.
    passwd_failure: Option<String>,
    /// Of contents, so that a few bytes of each are enough to know it again.
    hasher: RandomState,
}

/// What is remembered of a table. There may be a hundred thousand.
#[derive(Debug)]
struct Known {
    stamp: Stamp,
    /// The look at everything that saw it last.
    round: u32,
    /// Whether it is as it was because the answer who its user is has not come yet.
    awaits_user: bool,
    more: Option<Box<More>>,
}

/// What few tables have.
#[derive(Debug, Default, PartialEq)]
struct More {
    /// None: it is live.
    refusal: Option<Refusal>,
    /// The digest of its content, where the stamp does not vouch for that: it had just been changed.
    fresh: Option<u64>,
    /// Directories on the way of a symbolic link.
    watch: Vec<PathBuf>,
}

impl Known {
    /// Whether it is live in the state that has this stamp; it is then seen in this look.
    fn is_still(&mut self, stamp: &Stamp, round: u32) -> bool {
        let unchanged = self.is_live() && self.stamp == *stamp && self.fresh().is_none();
        if unchanged {
            self.round = round;
        }
        unchanged
    }

    fn is_live(&self) -> bool {
        self.refusal().is_none()
    }

    fn refusal(&self) -> Option<&Refusal> {
        self.more.as_ref()?.refusal.as_ref()
    }

    fn fresh(&self) -> Option<u64> {
        self.more.as_ref()?.fresh
    }

    fn watch(&self) -> &[PathBuf] {
        self.more.as_ref().map_or(&[], |more| &more.watch)
    }
}

impl Tables {
    /// None seen yet.
    pub fn new(origin: Origin, profile: &'static Profile, host: HostKey) -> Tables {
        Tables { origin, profile, host, users: DaemonUsers::default(), seen: Seen::default() }
    }

    /// Who knows the users; its questions have to be carried by the loop.
    pub fn users(&mut self) -> &mut DaemonUsers {
        &mut self.users
    }

    /// When a query about users will have to be given up (milliseconds of the monotonic clock).
    pub fn users_deadline_ms(&self) -> Option<i64> {
        self.users.deadline_ms()
    }

    /// The directories in which tables, or links to them, stand.
    pub fn directories(&self) -> BTreeSet<PathBuf> {
        let links = self.seen.links.iter().filter_map(|path| self.seen.known.get(path));
        let mut directories: BTreeSet<PathBuf> = links.flat_map(|known| known.watch().iter().cloned()).collect();
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

    /// The directories in which every file is a table.
    pub fn table_directories(&self) -> BTreeSet<PathBuf> {
        match &self.origin {
            Origin::System(finder) => BTreeSet::from([finder.places().spool.clone(), finder.places().cron_d.clone()]),
            Origin::StandaloneFiles(_) => BTreeSet::new(),
        }
    }

    /// The tables that stand in other directories, or are links to there.
    pub fn single_files(&self) -> Vec<PathBuf> {
        let links = self.seen.links.iter().map(PathBuf::from);
        match &self.origin {
            Origin::System(finder) => links.chain([finder.places().system_crontab.clone()]).collect(),
            Origin::StandaloneFiles(given) => links.chain(given.paths().iter().cloned()).collect(),
        }
    }

    /// The path of a user's table, if its file is not as it was read and belongs to that sender; root may name any. What
    /// is gone has no owner.
    pub fn changed_user_table(&self, user: &str, sender: u32) -> Option<PathBuf> {
        let Origin::System(finder) = &self.origin else { return None };
        if !is_safe_component(user, self.profile.profile) {
            return None;
        }
        let spool = &finder.places().spool;
        let path = spool.join(user);
        let known = self.seen.known.get(path.to_str()?);
        match files::open_place(spool).and_then(|spool| files::stat_at(spool, user)) {
            Ok(file) if sender != 0 && file.uid != sender => None,
            Ok(file) => {
                let now = Stamp::from(&file);
                let is_as_read = known.is_some_and(|known| known.stamp == now && known.fresh().is_none());
                (!is_as_read).then_some(path)
            }
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => known.map(|_| path),
            Err(_) => None,
        }
    }

    /// The system's own table, which stands in a directory where much else happens.
    pub fn system_crontab(&self) -> Option<&Path> {
        match &self.origin {
            Origin::System(finder) => Some(&finder.places().system_crontab),
            Origin::StandaloneFiles(_) => None,
        }
    }

    /// The tables that were refused for a reason that may pass without a change of their files.
    pub fn mendable(&self) -> Vec<PathBuf> {
        let may_mend =
            |known: &Known| known.awaits_user || known.refusal().is_some_and(|refusal| refusal.kind.may_mend_itself());
        self.seen.known.iter().filter(|(_, known)| may_mend(known)).map(|(path, _)| PathBuf::from(path)).collect()
    }

    /// Looks at everything again; what has not changed is not read, unless everything is to be.
    pub fn rescan(&mut self, depth: Depth, zones: &dyn Zones, news: &mut dyn EventSink) {
        self.seen.round = self.seen.round.wrapping_add(1);
        let anew = depth == Depth::Anew;
        let reader = Reader { profile: self.profile, host: self.host, zones };
        match &self.origin {
            Origin::System(finder) => {
                let mut visitor = Scan { seen: &mut self.seen, reader, depth, news };
                let errors = finder.scan(&mut self.users, &mut visitor);
                let unlistable = errors.iter().map(|error| error.path.clone()).collect();
                for error in errors.iter().filter(|error| !self.seen.unlistable.contains(&error.path)) {
                    news.push(LoadEvent::Tell(Told {
                        level: Level::Warning,
                        user: "CRON".to_owned(),
                        event: "OPENDIR FAILED".into(),
                        detail: error.path.display().to_string(),
                        rest: format!(": {}", crate::sys::files::reason(&error.source)),
                        line: None,
                    }));
                }
                self.seen.unlistable = unlistable;
            }
            Origin::StandaloneFiles(given) => {
                for path in given.paths() {
                    let name = path.to_string_lossy();
                    let now = given.stamp(path);
                    let unchanged = |known: &Known| now.is_none_or(|now| now == known.stamp && known.fresh().is_none());
                    match self.seen.known.get_mut(&*name) {
                        Some(known) if path.exists() && !anew && unchanged(known) => known.round = self.seen.round,
                        _ => match given.open(path) {
                            Ok(found) => self.seen.take(found, &reader, anew, news),
                            Err(_) if !self.seen.known.contains_key(&*name) => {}
                            Err(error) => news.push(LoadEvent::Tell(given_failed(&error))),
                        },
                    }
                }
            }
        }
        let failure = self.users.file_failure().map(str::to_owned);
        if failure != self.seen.passwd_failure {
            if let Some(why) = &failure {
                let detail = format!("{why}; the name service is asked for all users");
                news.push(LoadEvent::Tell(Told {
                    level: Level::Warning,
                    user: "CRON".to_owned(),
                    event: "WARNING".into(),
                    detail,
                    rest: String::new(),
                    line: None,
                }));
            }
            self.seen.passwd_failure = failure;
        }
        self.seen.drop_unseen(news);
    }

    /// Removes temporary files of interrupted installations that are older than an hour; `now` in seconds since 1970.
    pub fn remove_leftovers(&self, now: i64, news: &mut dyn EventSink) {
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
        news.push(LoadEvent::Tell(Told {
            level: Level::Info,
            user: "CRON".to_owned(),
            event: "INFO".into(),
            detail,
            rest: String::new(),
            line: None,
        }));
    }

    /// Looks at one path that something happened to. Paths that can be no table are passed over.
    pub fn look(&mut self, path: &Path, zones: &dyn Zones, news: &mut dyn EventSink) {
        let reader = Reader { profile: self.profile, host: self.host, zones };
        match &self.origin {
            Origin::System(finder) => match finder.look(path, &mut self.users) {
                Look::Table(found) => self.seen.take(found, &reader, false, news),
                Look::Gone(path) => self.seen.forget(&path, news),
                Look::NoTable => {}
            },
            Origin::StandaloneFiles(given) => {
                if given.paths().iter().any(|given| given == path) {
                    match given.open(path) {
                        Ok(found) => self.seen.take(found, &reader, false, news),
                        Err(error) => {
                            news.push(LoadEvent::Tell(given_failed(&error)));
                            self.seen.forget(&path.to_string_lossy(), news);
                        }
                    }
                }
            }
        }
    }

    /// The paths of tables that are symbolic links leading through that directory.
    pub fn led_through(&self, directory: &Path) -> Vec<PathBuf> {
        let leads = |path: &&String| {
            self.seen
                .known
                .get(*path)
                .is_some_and(|known| known.watch().iter().any(|on_the_way| on_the_way == directory))
        };
        self.seen.links.iter().filter(leads).map(PathBuf::from).collect()
    }
}

fn given_failed(error: &StandaloneFilesError) -> Told {
    Told {
        level: Level::Warning,
        user: "CRON".to_owned(),
        event: "CAN'T OPEN".into(),
        detail: error.path.display().to_string(),
        rest: format!(": {}", crate::sys::files::reason(&error.source)),
        line: None,
    }
}

/// What a table is read with.
struct Reader<'a> {
    profile: &'static Profile,
    host: HostKey,
    zones: &'a dyn Zones,
}

impl Reader<'_> {
    /// Reads a table; with a digest of its bytes.
    fn read(&self, source: &Source, file: &TableFile, key: &RandomState) -> io::Result<(Parsed, u64)> {
        let mut digest = key.build_hasher();
        let parsed =
            file.parse(source, &self.profile.dialect, self.host, self.zones, &mut |piece| digest.write(piece))?;
        Ok((parsed, digest.finish()))
    }
}

/// One look at everything.
struct Scan<'a> {
    seen: &'a mut Seen,
    reader: Reader<'a>,
    depth: Depth,
    news: &'a mut dyn EventSink,
}

impl Visitor for Scan<'_> {
    fn knows(&self, path: &str) -> bool {
        self.seen.known.contains_key(path)
    }

    fn has(&mut self, path: &str, stamp: &Stamp) -> bool {
        let Seen { known, round, .. } = &mut *self.seen;
        let Some(known) = known.get_mut(path).filter(|_| self.depth != Depth::Anew) else { return false };
        known.is_still(stamp, *round)
    }

    fn found(&mut self, found: Found) {
        self.seen.take(found, &self.reader, self.depth == Depth::Anew, self.news);
    }

    fn revisit(&mut self, directory: &str, stamp: &Stamp, state: &mut StateOf<'_>) -> Option<Vec<String>> {
        let Seen { known, round, listed, .. } = &mut *self.seen;
        if self.depth != Depth::Changes || listed.get(directory) != Some(stamp) {
            return None;
        }
        let mut changed = Vec::new();
        let from_directory = (Bound::Included(directory), Bound::Unbounded);
        for (path, known) in known.range_mut::<str, _>(from_directory) {
            let Some(name) = path.strip_prefix(directory) else { break };
            // What is in a directory below this one does not belong to it.
            if !name.contains('/') && !state(name).is_some_and(|stamp| known.is_still(&stamp, *round)) {
                changed.push(name.to_owned());
            }
        }
        Some(changed)
    }

    fn listed(&mut self, directory: &str, stamp: Stamp) {
        if stamp.ctime_ns < clock::wall().as_ns() - UNSETTLED_NS {
            self.seen.listed.insert(directory.to_owned(), stamp);
        }
    }
}

impl Seen {
    /// Takes in what a table's file was found to be.
    fn take(&mut self, found: Found, reader: &Reader<'_>, anew: bool, news: &mut dyn EventSink) {
        let Found { source, stamp, content, watch } = found;
        if matches!(&content, Err(refusal) if refusal.kind == RefusalKind::UserNotYetKnown)
            && let Some(known) = self.known.get_mut(&source.path)
        {
            // What was known of the user holds until the answer comes.
            (known.round, known.awaits_user) = (self.round, true);
            return;
        }
        let before = self.known.remove(&source.path);
        let was_live = before.as_ref().is_some_and(Known::is_live);
        if watch.is_empty() {
            self.links.remove(&source.path);
        } else {
            self.links.insert(source.path.clone());
        }
        let mut now = Known { stamp, round: self.round, awaits_user: false, more: None };
        let mut more = More { watch, ..More::default() };
        let (path, fresh) = (source.path.clone(), is_fresh(&stamp));
        // Its file is closed before it goes on: the table itself is all that is in memory then.
        let content = content.and_then(|file| {
            reader
                .read(&source, &file, &self.hasher)
                .map_err(|error| unreadable(&source, &error, reader.profile.profile))
        });
        match content {
            Ok((parsed, content)) => {
                let before = before.filter(|known| was_live && known.stamp == stamp);
                let was_fresh = before.as_ref().and_then(Known::fresh);
                more.fresh = (was_fresh.is_some() || fresh).then_some(content);
                // Equal stamps, equal content, unless the stamp was too fresh to tell.
                let same = before.is_some() && (was_fresh.is_none() || was_fresh == more.fresh);
                more.fresh.take_if(|_| !fresh);
                if !same && was_live {
                    news.push(LoadEvent::Tell(reloaded(reader.profile, &source)));
                }
                if !same {
                    let mut told = Vec::new();
                    complain(reader.profile, &source, &parsed.diagnostics, parsed.unlisted, &mut told);
                    told.into_iter().for_each(|told| news.push(LoadEvent::Tell(told)));
                }
                if !same || anew {
                    news.push(LoadEvent::Load { source, table: parsed.table });
                }
            }
            Err(refusal) => {
                let said = before.filter(|known| known.stamp == stamp);
                if said.as_ref().and_then(Known::refusal) != Some(&refusal)
                    && let Some(told) = refusal_told(reader.profile, &refusal)
                {
                    news.push(LoadEvent::Tell(told));
                }
                if was_live {
                    news.push(LoadEvent::Unload { path: source.path });
                }
                more.refusal = Some(refusal);
            }
        }
        if more != More::default() {
            now.more = Some(Box::new(more));
        }
        self.known.insert(path, now);
    }

    /// Forgets a table that is gone.
    fn forget(&mut self, path: &str, news: &mut dyn EventSink) {
        // Perhaps it could only not be looked at.
        self.listed.clear();
        self.links.remove(path);
        if self.known.remove(path).is_some_and(|known| known.is_live()) {
            news.push(LoadEvent::Unload { path: path.to_owned() });
        }
    }

    /// Forgets what the current look at everything did not see, unless nobody could look.
    fn drop_unseen(&mut self, news: &mut dyn EventSink) {
        let listed = |path: &str| Path::new(path).parent().is_none_or(|parent| !self.unlistable.contains(parent));
        let unseen = self.known.iter().filter(|(_, known)| known.round != self.round).map(|(path, _)| path);
        let gone: Vec<String> = unseen.filter(|path| listed(path)).cloned().collect();
        for path in gone {
            self.forget(&path, news);
        }
    }
}

fn is_fresh(stamp: &Stamp) -> bool {
    stamp.ctime_ns > clock::wall().as_ns() - TOO_FRESH_NS
}

fn reloaded(profile: &Profile, source: &Source) -> Told {
    Told {
        level: Level::Info,
        user: source.name.clone(),
        event: "RELOAD".into(),
        detail: in_the_log(profile, &source.path),
        rest: String::new(),
        line: None,
    }
}

/// A table's path as the reference implementation's log names it.
fn in_the_log(profile: &Profile, path: &str) -> String {
    path.strip_prefix(profile.log_base).unwrap_or(path).to_owned()
}

/// Says why a table is refused, at the reference implementations' level: that of news, of errors where the kernel gave a reason (cronie misc.c).
pub(super) fn refusal_told(profile: &Profile, refusal: &Refusal) -> Option<Told> {
    refusal.text().map(|_| Told {
        level: if refusal.error.is_empty() { Level::Info } else { Level::Error },
        user: refusal.user.clone(),
        event: refusal.event.into(),
        detail: in_the_log(profile, &refusal.detail),
        rest: if refusal.error.is_empty() { String::new() } else { format!(": {}", refusal.error) },
        line: None,
    })
}

/// Says what is wrong with a table, but not without end: of each fault what the reference implementation says, and where it is.
pub(super) fn complain(
    profile: &Profile,
    source: &Source,
    diagnostics: &[Diagnostic],
    unlisted: Unlisted,
    news: &mut Vec<Told>,
) {
    let told = |level, event: &'static str, detail, line| Told {
        level,
        user: source.name.clone(),
        event: event.into(),
        detail,
        rest: String::new(),
        line,
    };
    let diagnostics: Vec<&Diagnostic> = diagnostics.iter().filter(|said| !said.aside).collect();
    for diagnostic in diagnostics.iter().take(MOST_SAID) {
        news.extend(diagnostic.bad.and_then(|bad| in_its_words(profile, source, bad)));
        let (level, event) = match diagnostic.severity {
            Severity::Error => (Level::Error, "ERROR"),
            Severity::Warning => (Level::Warning, "WARNING"),
        };
        news.push(told(level, event, diagnostic.one_line(&source.path), Some(diagnostic.line)));
    }
    match diagnostics.len().saturating_sub(MOST_SAID) + unlisted.total() {
        0 => {}
        more => {
            let what = if more == 1 { "fault" } else { "faults" };
            let detail = format!("{}: {more} more {what}, not listed", source.path);
            news.push(told(Level::Warning, "WARNING", detail, None));
        }
    }
}

/// What the profile's reference implementation says of a faulty line (Debian's user.c, cronie's `log_it` of the same place), as far as it is true here:
/// Debian's cron goes on to say that it ignores the whole table.
fn in_its_words(profile: &Profile, source: &Source, bad: &'static str) -> Option<Told> {
    let told = |level, user: &str, event: Cow<'static, str>, detail| {
        Some(Told { level, user: user.to_owned(), event, detail, rest: String::new(), line: None })
    };
    match (profile.profile, &source.owner) {
        (_, Owner::Caller) => None,
        // It takes whatever stands there for a user's name, and misses the command.
        (ProfileName::Cronie, _) if bad == BAD_USER => {
            told(Level::Info, "CRON", "bad command".into(), source.path.clone())
        }
        (ProfileName::Cronie, _) => told(Level::Info, "CRON", bad.into(), source.path.clone()),
        (ProfileName::Debian, _) if bad == NO_NEWLINE => None,
        (ProfileName::Debian, Owner::System) => {
            let text = format!("Error: {bad}; while reading {}", source.path);
            told(Level::Error, "", text.into(), String::new())
        }
        (ProfileName::Debian, Owner::User { name, .. }) => {
            let text = format!("Error: {bad}; while reading crontab for user {name}");
            told(Level::Error, "", text.into(), String::new())
        }
    }
}

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;
