//! All tables, zones and users, kept up to date: hears of changes, looks when it is time to, and says what is new.

use super::mounts::{MountWatch, Paths};
use super::settings::Settings;
use super::tables::{Depth, EventSink, LoadEvent, Tables, Told};
use super::watch::{Hints, WatchError, Watcher};
use crate::config::WatchMode;
use crate::config::zones::SystemZones;
use crate::report::Level;
use crate::schedule::Zones;
use crate::spool::watched_directories;
use crate::sys::clock;
use crate::sys::file_system::reports_changes;
use crate::sys::mount_table::MountTable;
use crate::sys::name_watch::Change;
use crate::users::Progress;
use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

/// Hints are gathered for so long before anybody looks, so that a burst of edits is looked at once.
const GATHER_MS: i64 = 3;
/// A file that is being written and not closed is looked at after this long all the same.
const UNSETTLED_MS: i64 = 1000;
/// The safety look: everything by stat(2), in case something was not heard.
const SAFETY_MS: i64 = 600_000;
/// Between two reloads that were asked for by signal.
const RELOAD_MS: i64 = 1000;
/// Most paths looked at in one turn of the loop.
const PATHS_A_TURN: usize = 64;
/// An empty file that was changed within this time is probably about to be filled. Nanoseconds.
const JUST_EMPTIED_NS: u64 = 200_000_000;

/// Where the system's zone is chosen.
const LOCALTIME: &str = "/etc/localtime";
/// Where local users are.
const PASSWD: &str = "/etc/passwd";

/// How changes are noticed.
#[derive(Debug)]
enum Noticing {
    /// By being told.
    Watching(Box<Watcher>),
    /// By looking each minute, because that was asked for.
    AskedToPoll,
    /// By looking each minute, because watching does not work now.
    Failed,
}

/// Tables and all that they depend on.
#[derive(Debug)]
pub struct CrontabDatabase {
    tables: Tables,
    zones: SystemZones,
    noticing: Noticing,
    watch: WatchMode,
    mounts: MountWatch,
    /// Whether a table may change without a report, since its file system does not report every change.
    misses_changes: bool,
    /// Paths to look at.
    queue: VecDeque<PathBuf>,
    unsettled: BTreeSet<PathBuf>,
    gather_until: Option<i64>,
    unsettled_until: Option<i64>,
    mend_at: Option<i64>,
    poll_at: Option<i64>,
    safety_at: i64,
    /// When leftovers in the spool are looked for again.
    leftovers_at: i64,
    reloaded_at: i64,
    reload_at: Option<i64>,
    /// Whether all has been looked at that was heard of.
    watch_anew: bool,
    /// The table of anacron jobs and the directory of their stamps, where they are ours to see to.
    anacron: Option<(PathBuf, PathBuf)>,
    /// One of these may have changed.
    anacron_hint: bool,
}

impl CrontabDatabase {
    /// Knows nothing yet.
    pub fn new(tables: Tables, settings: &Settings) -> CrontabDatabase {
        let now = clock::monotonic_ms();
        CrontabDatabase {
            tables,
            zones: SystemZones::open(),
            noticing: if settings.config.watch == WatchMode::Poll { Noticing::AskedToPoll } else { Noticing::Failed },
            watch: settings.config.watch,
            mounts: if settings.config.watch == WatchMode::Poll { MountWatch::default() } else { MountWatch::new() },
            misses_changes: false,
            queue: VecDeque::new(),
            unsettled: BTreeSet::new(),
            gather_until: None,
            unsettled_until: None,
            mend_at: None,
            poll_at: None,
            safety_at: now + SAFETY_MS,
            leftovers_at: now,
            reloaded_at: now - RELOAD_MS,
            reload_at: None,
            watch_anew: false,
            anacron: (!settings.is_standalone())
                .then(|| (settings.config.anacrontab.clone(), settings.config.anacron_stamps.clone())),
            anacron_hint: false,
        }
    }

    /// Whether the anacrontab or its stamps may have changed since this was last asked.
    pub fn take_anacron_hint(&mut self) -> bool {
        std::mem::take(&mut self.anacron_hint)
    }

    /// The zones as they are now.
    pub fn zones(&self) -> &SystemZones {
        &self.zones
    }

    /// Starts to watch, quietly, reads everything, and then watches in earnest: the thread of `notify` is woken for each file
    /// that is opened, which would cost more than the reading. What changed meanwhile was heard of and is looked at again.
    pub fn open(&mut self, news: &mut dyn EventSink) {
        if matches!(self.noticing, Noticing::Failed) {
            self.try_to_watch(news, true);
        }
        let watched_quietly = self.tables.directories();
        self.remove_leftovers(news);
        self.tables.rescan(Depth::Names, &self.zones, news);
        self.watch_directories(news);
        self.handle_name_changes(news);
        self.finish_looking();
        // Links lead to directories in which nobody was listening while they were read.
        let beyond = self.tables.directories();
        let links = beyond.difference(&watched_quietly).flat_map(|directory| self.tables.led_through(directory));
        self.queue.extend(links);
    }

    /// The watcher, if there is one. Its notifier and its name watch are event sources.
    pub fn watcher(&self) -> Option<&Watcher> {
        match &self.noticing {
            Noticing::Watching(watcher) => Some(watcher),
            Noticing::AskedToPoll | Noticing::Failed => None,
        }
    }

    /// The mount table, if its changes are to be waited for.
    pub fn mount_table(&self) -> Option<&MountTable> {
        self.mounts.table()
    }

    /// The tables' users, whose answers are to be waited for.
    pub fn users(&mut self) -> &mut crate::users::DaemonUsers {
        self.tables.users()
    }

    /// When [`CrontabDatabase::attend`] wants to be called at the latest (milliseconds of the monotonic clock).
    pub fn next_deadline_ms(&self) -> i64 {
        if !self.queue.is_empty() {
            return i64::MIN;
        }
        let wishes = [self.gather_until, self.unsettled_until, self.mend_at, self.poll_at, self.reload_at];
        let wishes = wishes.into_iter().chain([self.tables.users_deadline_ms(), self.mounts.check_at()]);
        wishes.flatten().fold(self.safety_at, i64::min)
    }

    /// Handles the watcher's notification: collects further changes for a moment.
    pub fn handle_crontab_changes(&mut self) {
        // It does not ring again before the hints are taken.
        if let Some(watcher) = self.watcher() {
            watcher.notifier().answer();
        }
        self.gather_until.get_or_insert(clock::monotonic_ms() + GATHER_MS);
    }

    /// Names changed in a directory that is watched for names.
    pub fn handle_name_changes(&mut self, news: &mut dyn EventSink) {
        let Noticing::Watching(watcher) = &mut self.noticing else { return };
        let changes = match watcher.changed_names() {
            Ok(changes) => changes,
            Err(_) => vec![Change::Anything],
        };
        let (mut zone, mut users) = (false, false);
        let zone_directories = watched_directories(Path::new(LOCALTIME));
        let tables = self.tables.directories();
        for change in changes {
            match change {
                Change::Anything => {
                    (zone, users) = (true, true);
                    self.anacron_hint = true;
                    self.watch_anew = true;
                }
                Change::Directory(_) => self.watch_anew = true,
                Change::Made(path) if self.tables.system_crontab() == Some(&path) => {
                    self.unsettled.insert(path);
                    self.gather_until.get_or_insert(clock::monotonic_ms() + GATHER_MS);
                }
                Change::Name(path) if self.tables.system_crontab() == Some(&path) => {
                    self.unsettled.remove(&path);
                    self.queue.push_back(path);
                }
                Change::Name(path) if is_in(&path, &tables) => {
                    self.queue.extend(path.parent().map(|parent| self.tables.led_through(parent)).unwrap_or_default());
                    self.queue.push_back(path);
                }
                Change::Made(path) if is_in(&path, &tables) => {
                    self.unsettled.insert(path);
                    self.gather_until.get_or_insert(clock::monotonic_ms() + GATHER_MS);
                }
                Change::Name(path) | Change::Made(path) => {
                    if let Some((table, stamps)) = &self.anacron {
                        self.anacron_hint |= path == *table || path.parent() == Some(stamps);
                        // The stamps are watched while there is a table.
                        self.watch_anew |= path == *table || path == *stamps;
                    }
                    zone |= path == Path::new(LOCALTIME)
                        || path.parent().is_some_and(|parent| zone_directories.iter().any(|way| way == parent));
                    users |= path == Path::new(PASSWD);
                    // Something on the way to a missing directory, perhaps.
                    self.watch_anew |= tables.iter().any(|wanted| wanted.starts_with(&path));
                }
            }
        }
        if zone {
            self.look_at_zones(news);
        }
        if users {
            self.mend(news);
        }
        if self.watch_anew {
            self.gather_until.get_or_insert(clock::monotonic_ms() + GATHER_MS);
        }
    }

    /// The name service has something to say.
    pub fn handle_user_lookups(&mut self, news: &mut dyn EventSink) {
        if self.tables.users().read_answer() == Progress::Answered {
            self.look_at_mendable(news);
        }
    }

    /// The mount table has changed.
    pub fn note_mount_change(&mut self) {
        self.mounts.ask_for_check();
    }

    /// That user's table may have changed, says the user of that id.
    pub fn note_wake_up(&mut self, user: &str, sender: u32) {
        self.queue.extend(self.tables.changed_user_table(user, sender));
        self.mounts.ask_for_check();
    }

    /// A reload is asked for: at once, or a second after the last. False if it is on its way already.
    pub fn ask_for_reload(&mut self) -> bool {
        let is_new = self.reload_at.is_none();
        self.reload_at.get_or_insert(self.reloaded_at + RELOAD_MS);
        is_new
    }

    /// Does what it is time for; whether a reload was among it.
    pub fn attend(&mut self, news: &mut dyn EventSink) -> bool {
        let now = clock::monotonic_ms();
        let is_time = |wish: Option<i64>| wish.is_some_and(|at| at <= now);
        let reload = is_time(self.reload_at);
        if reload {
            self.reload_at = None;
            self.reloaded_at = now;
            self.tables.users().refresh();
            self.look_at_zones(news);
        }
        if is_time(self.gather_until) {
            self.gather_until = None;
            self.sort_hints(now);
        }
        if is_time(self.unsettled_until) {
            self.unsettled_until = None;
            self.queue.extend(std::mem::take(&mut self.unsettled));
        }
        if self.tables.users().deadline_ms().is_some_and(|at| at <= now) {
            self.tables.users().give_up();
            self.look_at_mendable(news);
        }
        if is_time(self.mend_at) {
            self.mend(news);
        }
        if self.safety_at <= now {
            self.tables.users().refresh();
            self.look_at_zones(news);
            if matches!(self.noticing, Noticing::Failed) {
                self.try_to_watch(news, false);
            }
        }
        if is_time(self.mounts.check_at()) {
            let paths = self.paths();
            self.watch_anew |= !self.mounts.is_unchanged(&paths);
        }
        if reload || self.safety_at <= now || is_time(self.poll_at) || self.watch_anew {
            self.look_at_everything(false, news);
            // What the watcher read meanwhile is not announced again.
            self.handle_name_changes(news);
        }
        self.look_at_queue(now, news);
        reload
    }

    /// Makes the watcher, if the system lets us. What fails is said when it is new.
    fn try_to_watch(&mut self, news: &mut dyn EventSink, say_failure: bool) {
        let made = Watcher::new(self.busy_directories()).and_then(|mut watcher| {
            watcher.watch_quietly(&self.tables.directories())?;
            Ok(watcher)
        });
        match made {
            Ok(watcher) => self.noticing = Noticing::Watching(Box::new(watcher)),
            Err(why) if say_failure => self.stop_watching(&why, news),
            Err(_) => {}
        }
    }

    fn stop_watching(&mut self, why: &WatchError, news: &mut dyn EventSink) {
        self.noticing = Noticing::Failed;
        news.push(LoadEvent::Tell(Told {
            level: Level::Warning,
            user: "CRON".to_owned(),
            event: "WARNING".into(),
            detail: format!("{why}; looking for changed tables each minute instead"),
            rest: String::new(),
            line: None,
        }));
    }

    /// Directories in which a few names matter and much else happens.
    fn busy_directories(&self) -> BTreeSet<PathBuf> {
        let anacrontab = self.anacron.as_ref().map(|(table, _)| table.as_path());
        let parents = [Some(Path::new(LOCALTIME)), self.tables.system_crontab(), anacrontab].into_iter().flatten();
        let parents = parents.filter_map(Path::parent).map(Path::to_owned);
        let stamps = self.anacron.iter().filter(|(table, _)| table.exists()).map(|(_, stamps)| stamps.clone());
        parents.chain(stamps).chain(watched_directories(Path::new(LOCALTIME))).collect()
    }

    /// Watches what is to be watched now, and looks at everything; again for as long as that leads to more places.
    fn look_at_everything(&mut self, anew: bool, news: &mut dyn EventSink) {
        // Each round can find links that lead to further directories, which must be watched before they are read.
        const MOST_ROUNDS: usize = 4;
        self.remove_leftovers(news);
        for round in 0..MOST_ROUNDS {
            self.watch_anew = false;
            let more = self.watch_directories(news);
            if round > 0 && !more {
                break;
            }
            let depth = match self.watcher() {
                _ if anew && round == 0 => Depth::Anew,
                Some(_) if !self.misses_changes => Depth::Changes,
                Some(_) | None => Depth::Names,
            };
            self.tables.rescan(depth, &self.zones, news);
            if self.watcher().is_none() {
                break;
            }
        }
        self.finish_looking();
    }

    /// Removes what a killed crontab has left in the spool, at most once in ten minutes.
    fn remove_leftovers(&mut self, news: &mut dyn EventSink) {
        let now = clock::monotonic_ms();
        if self.leftovers_at <= now {
            self.leftovers_at = now + SAFETY_MS;
            self.tables.remove_leftovers(clock::wall().seconds, news);
        }
    }

    /// Plans the next looks after one at everything.
    fn finish_looking(&mut self) {
        let now = clock::monotonic_ms();
        self.anacron_hint = true;
        self.safety_at = now + SAFETY_MS;
        let polls = self.watcher().is_none() || (self.misses_changes && self.watch == WatchMode::Auto);
        self.poll_at = polls.then(|| now + ms_to_end_of_minute());
        self.plan_mending(now);
    }

    /// What the tables depend on.
    fn paths(&self) -> Paths {
        let mut directories = self.tables.directories();
        directories.extend(self.busy_directories());
        let anacrontab = self.anacron.iter().map(|(table, _)| table.clone());
        let files = self.tables.single_files().into_iter().chain(anacrontab).collect();
        Paths { directories, table_directories: self.tables.table_directories(), files }
    }

    /// Whether a table may change without a report.
    fn may_miss_changes(&self, paths: &Paths) -> bool {
        let mut places = self.tables.directories();
        places.extend(paths.files.iter().filter_map(|file| file.parent()).map(Path::to_owned));
        self.mounts.has_mounted_tables() || !places.iter().chain(&paths.files).all(|path| reports_changes(path))
    }

    /// Whether something is watched now that was not.
    fn watch_directories(&mut self, news: &mut dyn EventSink) -> bool {
        let paths = self.paths();
        // Later changes are those since now.
        self.mounts.is_unchanged(&paths);
        self.misses_changes = self.may_miss_changes(&paths);
        let (busy, wanted) = (self.busy_directories(), self.tables.directories());
        let Noticing::Watching(watcher) = &mut self.noticing else { return false };
        watcher.set_busy(busy);
        match watcher.watch(&wanted) {
            Ok(more) => more,
            Err(why) => {
                self.stop_watching(&why, news);
                false
            }
        }
    }

    /// Turns what was heard into paths to look at.
    fn sort_hints(&mut self, now: i64) {
        let Noticing::Watching(watcher) = &mut self.noticing else { return };
        let Hints { settled, unsettled, anything, directories } = watcher.take();
        self.watch_anew |= anything || directories;
        let wanted = self.tables.directories();
        for path in settled {
            self.unsettled.remove(&path);
            if wanted.contains(&path) {
                self.watch_anew = true;
                continue;
            }
            if let Some(parent) = path.parent() {
                self.queue.extend(self.tables.led_through(parent));
            }
            self.queue.push_back(path);
        }
        let being_written: BTreeSet<PathBuf> =
            std::mem::take(&mut self.unsettled).into_iter().chain(unsettled).collect();
        for path in being_written {
            if may_still_be_written(&path) {
                self.unsettled.insert(path);
            } else {
                self.queue.push_back(path);
            }
        }
        if !self.unsettled.is_empty() {
            self.unsettled_until.get_or_insert(now + UNSETTLED_MS);
        }
    }

    fn look_at_queue(&mut self, now: i64, news: &mut dyn EventSink) {
        let directories_before = self.tables.directories().len();
        for _ in 0..PATHS_A_TURN {
            let Some(path) = self.queue.pop_front() else { break };
            if was_just_emptied(&path) {
                self.unsettled.insert(path);
                self.unsettled_until.get_or_insert(now + UNSETTLED_MS);
                continue;
            }
            self.tables.look(&path, &self.zones, news);
        }
        if self.tables.directories().len() != directories_before {
            self.watch_anew = true;
            self.gather_until.get_or_insert(now + GATHER_MS);
        }
        self.plan_mending(now);
    }

    /// Reads the zones again; a table's own zones are part of it, so that all tables are read again when one has changed.
    fn look_at_zones(&mut self, news: &mut dyn EventSink) {
        if self.zones.refresh() {
            news.push(LoadEvent::SystemZone(self.zones.system()));
            self.look_at_everything(true, news);
        }
    }

    /// Looks again at what may mend itself, with the users as they are now.
    fn mend(&mut self, news: &mut dyn EventSink) {
        self.mend_at = None;
        self.tables.users().refresh();
        self.look_at_mendable(news);
    }

    fn look_at_mendable(&mut self, news: &mut dyn EventSink) {
        for path in self.tables.mendable() {
            self.tables.look(&path, &self.zones, news);
        }
        self.plan_mending(clock::monotonic_ms());
    }

    fn plan_mending(&mut self, now: i64) {
        if self.tables.mendable().is_empty() {
            self.mend_at = None;
        } else {
            self.mend_at.get_or_insert(now + ms_to_end_of_minute());
        }
    }
}

fn is_in(path: &Path, directories: &BTreeSet<PathBuf>) -> bool {
    path.parent().is_some_and(|parent| directories.contains(parent))
}

/// A regular file with one name: somebody may have opened it for writing. A link of either kind is complete.
fn may_still_be_written(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::symlink_metadata(path).is_ok_and(|file| file.is_file() && file.nlink() == 1)
}

/// Whether a file is empty since a moment ago: an editor that writes in place is at work, and the old table is the better one.
fn was_just_emptied(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let now_ns = clock::wall().as_ns();
    let changed_ns =
        |file: &std::fs::Metadata| file.ctime().saturating_mul(1_000_000_000).saturating_add(file.ctime_nsec());
    std::fs::symlink_metadata(path)
        .is_ok_and(|file| file.is_file() && file.len() == 0 && now_ns.abs_diff(changed_ns(&file)) < JUST_EMPTIED_NS)
}

/// To shortly before the next minute, so that what polling finds, and what has mended itself, counts for it, as with the
/// reference implementations.
fn ms_to_end_of_minute() -> i64 {
    const BEFORE_MS: i64 = 500;
    let now = clock::wall();
    let in_minute = now.seconds.rem_euclid(60) * 1000 + i64::from(now.nanos / 1_000_000);
    (60_000 - BEFORE_MS - in_minute).rem_euclid(60_000).max(1)
}

#[cfg(test)]
#[path = "database_tests.rs"]
mod tests;
