//! All crontabs, with the zones and users that they depend on, kept up to date: scans files that may have changed, and reports changes as
//! [`LoadEvent`]s.

use super::change_watch::ChangeWatch;
use super::deadlines::{Deadlines, ms_to_end_of_minute, take_expired};
use super::file_cache::{Depth, LoadRule};
use super::load_event::{EventSink, LoadEvent, LogLine};
use super::mounts::Paths;
use super::scan_queue::{ScanQueue, may_still_be_written, was_just_emptied};
use super::settings::Settings;
use super::tables::CrontabFiles;
use super::watch::{Hints, Watcher};
use crate::config::calendars::SystemCalendars;
use crate::config::zones::SystemZones;
use crate::config::{FleetConfig, FleetPlace};
use crate::crontab::KnownNames;
use crate::profile::shared;
use crate::report::Level;
use crate::schedule::Zones;
use crate::spool::watched_directories;
use crate::sys::clock;
use crate::sys::mount_table::MountTable;
use crate::users::{DaemonUsers, Lookup, Progress, Users};
use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

/// Hints are gathered for so long before anything is scanned, so that a burst of edits is scanned once.
const GATHER_MS: i64 = 3;
/// A file that is being written and not closed is read after this time all the same.
const INCOMPLETE_MS: i64 = 1000;
/// The time between two rescans of everything with stat(2), in case a change was not reported.
const RESCAN_MS: i64 = 600_000;
/// How long after a scan a directory that could not be listed is tried again for the first time; then each minute.
const UNLISTABLE_MS: i64 = 2_000;
/// The least time between two reloads that were asked for by signal.
const RELOAD_MS: i64 = 1000;
/// Most paths scanned in one turn of the loop, and the time after which no further one is begun, so that due jobs do not wait for many changed
/// crontabs.
const PATHS_A_TURN: usize = 64;
const SCAN_TURN_MS: i64 = 10;

/// The link that selects the system's zone.
const LOCALTIME: &str = "/etc/localtime";
/// The file of local users.
const PASSWD: &str = "/etc/passwd";

/// The files of anacron's jobs, which are watched here and read elsewhere.
#[derive(Debug)]
struct AnacronPaths {
    table: PathBuf,
    stamps: PathBuf,
    /// Whether one of them may have changed.
    is_changed: bool,
}

/// The rescan of all known files, a few in each turn of the loop.
#[derive(Debug, Default)]
struct FileCheck {
    /// The last path that was checked.
    after: Option<String>,
    /// Whether another rescan follows, because one was requested during this one.
    is_followed: bool,
}

/// What crontabs refer to by name.
#[derive(Debug)]
struct KnownFiles {
    zones: SystemZones,
    calendars: SystemCalendars,
    fleet: Option<(FleetConfig, FleetPlace)>,
    /// The directories that were there when they were watched, see [`calendar_directories`].
    calendar_directories: Vec<PathBuf>,
}

impl KnownFiles {
    fn names(&self) -> KnownNames<'_> {
        let fleet = self.fleet.as_ref().map(|(_, place)| place.names());
        KnownNames { zones: &self.zones, calendars: Some(self.calendars.calendars()), fleet }
    }
}

/// Crontabs and all that they depend on.
#[derive(Debug)]
pub struct CrontabDatabase {
    tables: CrontabFiles,
    users: DaemonUsers,
    known: KnownFiles,
    watch: ChangeWatch,
    queue: ScanQueue,
    /// The rescan in progress. None: no rescan is in progress.
    file_check: Option<FileCheck>,
    deadlines: Deadlines,
    /// When a reload was carried out last (milliseconds of the monotonic clock).
    reloaded_at: i64,
    /// Whether what a reload has found is still being read.
    is_reloading: bool,
    /// Whether a directory could not be listed by the scan before, either.
    was_unlistable: bool,
    /// When left-over files in the spool are searched for again (milliseconds of the monotonic clock).
    clean_at: i64,
    /// None: a standalone daemon does not run anacron's jobs.
    anacron: Option<AnacronPaths>,
}

impl CrontabDatabase {
    /// A database that is empty until [`CrontabDatabase::open`] is called.
    pub fn new(tables: CrontabFiles, settings: &Settings) -> CrontabDatabase {
        let now = clock::monotonic_ms();
        let anacron = (!settings.is_standalone()).then(|| AnacronPaths {
            table: settings.config.anacrontab.clone(),
            stamps: settings.config.anacron_stamps.clone(),
            is_changed: false,
        });
        let users = DaemonUsers::default();
        let zones = SystemZones::open();
        let fleet = settings.config.fleet.clone().map(|fleet| {
            let place = fleet.place(&zones);
            (fleet, place)
        });
        CrontabDatabase {
            tables,
            users,
            known: KnownFiles {
                zones,
                calendars: SystemCalendars::new(shared::CALENDARS.into()),
                fleet,
                calendar_directories: Vec::new(),
            },
            watch: ChangeWatch::new(settings.config.watch),
            queue: ScanQueue::default(),
            file_check: None,
            deadlines: Deadlines::new(now + RESCAN_MS),
            reloaded_at: now - RELOAD_MS,
            is_reloading: false,
            was_unlistable: false,
            clean_at: now,
            anacron,
        }
    }

    /// Starts to watch and reads everything. What changes meanwhile is reported and scanned again.
    pub fn open(&mut self, events: &mut dyn EventSink) {
        self.watch.start();
        self.watch_directories(events);
        let watched = self.tables.directories();
        self.remove_leftovers(events);
        self.refresh_calendars(events);
        self.tables.rescan(Depth::Names, &mut self.users, self.known.names(), events);
        // Links may lead to directories that were not watched while they were read.
        self.watch_directories(events);
        let directories = self.tables.directories();
        let links = directories.difference(&watched).flat_map(|directory| self.tables.links_through(directory));
        self.queue.push(links);
        self.finish_rescan();
    }

    /// Whether the anacrontab or its stamps may have changed since the last call.
    pub fn take_anacron_change(&mut self) -> bool {
        self.anacron.as_mut().is_some_and(|anacron| std::mem::take(&mut anacron.is_changed))
    }

    /// The zones as they were read last.
    pub fn zones(&self) -> &SystemZones {
        &self.known.zones
    }

    /// The watcher, if changes are reported. Its notifier is an event source.
    pub fn watcher(&self) -> Option<&Watcher> {
        self.watch.watcher()
    }

    /// The mount table, if its changes are to be waited for.
    pub fn mount_table(&self) -> Option<&MountTable> {
        self.watch.mount_table()
    }

    /// The user id of a login name, if that is known already.
    pub fn uid(&mut self, name: &str) -> Option<u32> {
        match self.users.uid(name) {
            Lookup::Known(uid) => Some(uid),
            Lookup::Unknown | Lookup::NotYet => None,
        }
    }

    /// A login name of a user id, if /etc/passwd has one.
    pub fn name_of(&mut self, uid: u32) -> Option<String> {
        self.users.name_of(uid)
    }

    /// The files that are not loaded, and why.
    pub fn refused(&self) -> Vec<(String, String)> {
        self.tables.refused()
    }

    /// Does at once what was asked for: a reload, and scans of what has changed. [`CrontabDatabase::has_scanned_all`] says when they are done.
    pub fn run_due_scans(&mut self, events: &mut dyn EventSink) {
        let now = clock::monotonic_ms();
        if take_expired(&mut self.deadlines.reload, i64::MAX) {
            self.begin_reload(now, events);
            self.rescan(LoadRule::IfChanged, events);
        }
        self.scan_queue(now, events);
    }

    /// Whether no crontab that is known to have changed is still to be read.
    pub fn has_scanned_all(&self) -> bool {
        self.queue.is_empty() && self.file_check.is_none()
    }

    fn begin_reload(&mut self, now: i64, events: &mut dyn EventSink) {
        (self.reloaded_at, self.is_reloading) = (now, true);
        self.users.refresh();
        self.refresh_zones(events);
    }

    /// Whether a reload has just been completed, and none is to follow.
    fn take_completed_reload(&mut self) -> bool {
        let is_completed = self.is_reloading && self.has_scanned_all() && self.deadlines.reload.is_none();
        self.is_reloading &= !is_completed;
        is_completed
    }

    /// The id of a local user.
    pub fn local_uid(&mut self, name: &str) -> Option<u32> {
        self.users.local_uid(name)
    }

    /// Starts a lookup of users that crontabs wait for. The descriptor becomes readable with the answer.
    pub fn start_user_lookup(&mut self) -> Option<BorrowedFd<'_>> {
        self.users.start_query()
    }

    /// When [`CrontabDatabase::run_timers`] is to be called at the latest (milliseconds of the monotonic clock).
    pub fn next_deadline_ms(&self) -> i64 {
        if !self.has_scanned_all() || (self.is_reloading && self.deadlines.reload.is_none()) {
            return i64::MIN;
        }
        let others = [self.users.deadline_ms(), self.watch.mount_check_at()];
        others.into_iter().flatten().fold(self.deadlines.next(), i64::min)
    }

    /// Handles the watcher's notification: gathers further changes for a moment.
    pub fn handle_changes(&mut self) {
        // The watcher does not notify again before the hints are taken.
        if let Some(watcher) = self.watcher() {
            watcher.notifier().answer();
        }
        self.gather(clock::monotonic_ms());
    }

    /// Handles an answer about users, or a part of it.
    pub fn handle_user_lookup(&mut self) {
        if self.users.read_answer() == Progress::Answered {
            self.queue_rejected();
        }
    }

    /// Handles a change of the mount table.
    pub fn handle_mount_change(&mut self) {
        self.watch.ask_for_mount_check();
    }

    /// Handles a message that the crontab of `user` may have changed, from a process of the user `sender`.
    pub fn handle_wake_up(&mut self, user: &str, sender: u32) {
        self.queue.push(self.tables.changed_user_table(user, sender));
        self.watch.ask_for_mount_check();
    }

    /// Schedules a reload: at once, or a second after the last. False if one is scheduled already.
    pub fn ask_for_reload(&mut self) -> bool {
        let is_new = self.deadlines.reload.is_none();
        self.deadlines.reload.get_or_insert(self.reloaded_at + RELOAD_MS);
        is_new
    }

    /// Whether a reload is scheduled that has not begun.
    pub fn has_scheduled_reload(&self) -> bool {
        self.deadlines.reload.is_some()
    }

    /// Does what has become due. Returns whether a reload is completed by that.
    pub fn run_timers(&mut self, events: &mut dyn EventSink) -> bool {
        let now = clock::monotonic_ms();
        let is_reload = take_expired(&mut self.deadlines.reload, now);
        if is_reload {
            self.begin_reload(now, events);
        }
        if take_expired(&mut self.deadlines.gather, now)
            && let Some(hints) = self.watch.take_hints()
        {
            self.sort_hints(hints, now, events);
        }
        if take_expired(&mut self.deadlines.incomplete, now) {
            let incomplete = self.queue.incomplete();
            incomplete.into_iter().for_each(|path| self.enqueue(path));
        }
        if self.users.deadline_ms().is_some_and(|at| at <= now) {
            self.users.give_up();
            self.queue_rejected();
        }
        if take_expired(&mut self.deadlines.retry_rejected, now) {
            self.retry_rejected();
        }
        let is_rescan = self.deadlines.rescan <= now;
        if is_rescan {
            self.users.refresh();
            self.refresh_zones(events);
            self.watch.start();
        }
        if self.watch.mount_check_at().is_some_and(|at| at <= now) {
            let paths = self.paths();
            self.watch.check_mounts(&paths);
        }
        if is_reload || is_rescan || take_expired(&mut self.deadlines.poll, now) || self.watch.is_stale() {
            self.rescan(LoadRule::IfChanged, events);
        }
        self.scan_queue(now, events);
        self.take_completed_reload()
    }

    /// Watches the directories of crontabs, lists them and begins a rescan of all files. What has changed is queued. If a crontab that is read then
    /// leads to further directories, [`CrontabDatabase::scan_queue`] has all of this done again.
    fn rescan(&mut self, rule: LoadRule, events: &mut dyn EventSink) {
        self.remove_leftovers(events);
        self.refresh_calendars(events);
        self.watch_directories(events);
        let depth = match (rule, self.watch.reports_everything()) {
            (LoadRule::Always, _) => Depth::Anew,
            (LoadRule::IfChanged, true) => Depth::Changes,
            (LoadRule::IfChanged, false) => Depth::Names,
        };
        let listed = self.tables.list(depth, &mut self.users, self.known.names(), events);
        self.queue.push_found(listed, depth.load_rule());
        match &mut self.file_check {
            _ if depth == Depth::Anew => {}
            Some(check) => check.is_followed = true,
            check @ None => *check = Some(FileCheck::default()),
        }
        self.finish_rescan();
    }

    /// Checks a few files for changes that the watcher has not reported.
    fn advance_file_check(&mut self, stop_at: i64) {
        let Some(FileCheck { after, is_followed }) = self.file_check.take() else { return };
        let is_enough = |count| count >= PATHS_A_TURN || clock::monotonic_ms() >= stop_at;
        let (changed, after) = self.tables.check_some(after.as_deref(), &mut self.users, is_enough);
        self.queue.push_found(changed, LoadRule::IfChanged);
        self.file_check = match after {
            Some(after) => Some(FileCheck { after: Some(after), is_followed }),
            None => is_followed.then(FileCheck::default),
        };
    }

    /// Removes what a killed crontab command has left in the spool, at most once in ten minutes.
    fn remove_leftovers(&mut self, events: &mut dyn EventSink) {
        let now = clock::monotonic_ms();
        if self.clean_at <= now {
            self.clean_at = now + RESCAN_MS;
            self.tables.remove_leftovers(clock::wall().seconds, events);
        }
    }

    /// Sets the deadlines that follow a scan of everything.
    fn finish_rescan(&mut self) {
        let now = clock::monotonic_ms();
        if let Some(anacron) = &mut self.anacron {
            anacron.is_changed = true;
        }
        self.deadlines.rescan = now + RESCAN_MS;
        let end_of_minute = now + ms_to_end_of_minute();
        // At first it may have been a lack of descriptors or memory that has passed already.
        let first_retry = if self.was_unlistable { i64::MAX } else { now + UNLISTABLE_MS };
        self.was_unlistable = self.tables.has_unlistable();
        let retry = self.was_unlistable.then(|| end_of_minute.min(first_retry));
        let poll = self.watch.must_poll().then_some(end_of_minute);
        self.deadlines.poll = [retry, poll].into_iter().flatten().min();
        self.schedule_retry(now);
    }

    /// Returns whether a directory of crontabs is watched now that was not before.
    fn watch_directories(&mut self, events: &mut dyn EventSink) -> bool {
        let paths = self.paths();
        let mut has_more = self.watch.update(&paths, &self.tables.directories());
        // A directory of calendars can appear before its parent is watched, and a calendar before its directory is: such changes are not reported.
        while self.known.calendar_directories != calendar_directories() {
            self.known.calendar_directories = calendar_directories();
            has_more |= self.watch.update(&self.paths(), &self.tables.directories());
            self.refresh_calendars(events);
        }
        if let Some(why) = self.watch.take_failure() {
            let detail = format!("{why}; checking crontabs for changes every minute instead");
            events.push(LoadEvent::Log(LogLine::of_daemon(Level::Warning, "WARNING", detail)));
        }
        has_more
    }

    /// The paths that the crontabs depend on.
    fn paths(&self) -> Paths {
        let mut directories = self.tables.directories();
        directories.extend(self.busy_directories());
        let anacrontab = self.anacron.iter().map(|anacron| anacron.table.clone());
        let files = self.tables.single_files().into_iter().chain(anacrontab).collect();
        Paths { directories, table_directories: self.tables.table_directories(), files }
    }

    /// Directories in which a few names matter and much else changes.
    fn busy_directories(&self) -> BTreeSet<PathBuf> {
        let anacrontab = self.anacron.as_ref().map(|anacron| anacron.table.as_path());
        let files = [Some(Path::new(LOCALTIME)), self.tables.system_crontab(), anacrontab].into_iter().flatten();
        let parents = files.filter_map(Path::parent).map(Path::to_owned);
        // Stamps count only while there is a table.
        let stamps = self.anacron.iter().filter(|anacron| anacron.table.exists()).map(|anacron| anacron.stamps.clone());
        parents.chain(stamps).chain(calendar_directories()).chain(watched_directories(Path::new(LOCALTIME))).collect()
    }

    /// Turns reported changes into paths to scan, and refreshes what else they concern.
    fn sort_hints(&mut self, hints: Hints, now: i64, events: &mut dyn EventSink) {
        let Hints { complete, incomplete, anything, .. } = hints;
        let directories = self.tables.directories();
        let zone_directories = watched_directories(Path::new(LOCALTIME));
        let calendar_directory = Path::new(shared::CALENDARS);
        let (mut zones_changed, mut users_changed, mut calendars_changed) = (anything, anything, anything);
        if let Some(anacron) = &mut self.anacron {
            anacron.is_changed |= anything;
        }
        let complete = complete.into_iter().map(|path| (path, true));
        for (path, is_complete) in complete.chain(incomplete.into_iter().map(|path| (path, false))) {
            let parent = path.parent();
            zones_changed |= path == Path::new(LOCALTIME)
                || parent.is_some_and(|parent| zone_directories.iter().any(|directory| directory == parent));
            users_changed |= path == Path::new(PASSWD);
            calendars_changed |= parent == Some(calendar_directory);
            // The directory may be new.
            if calendar_directory.starts_with(&path) {
                self.watch.mark_stale();
            }
            if let Some(anacron) = &mut self.anacron {
                let is_directory = path == anacron.stamps;
                anacron.is_changed |= path == anacron.table || parent == Some(&anacron.stamps);
                if is_directory || path == anacron.table {
                    self.watch.mark_stale();
                }
            }
            let is_table = self.tables.system_crontab() == Some(&path)
                || parent.is_some_and(|parent| directories.contains(parent));
            // A directory of crontabs, or one above it.
            if directories.iter().any(|directory| directory.starts_with(&path)) {
                self.watch.mark_stale();
            } else if is_table && !is_complete && may_still_be_written(&path) {
                self.queue.push_incomplete(path, LoadRule::IfChanged);
            } else if is_table {
                self.enqueue(path);
            }
        }
        if self.queue.has_incomplete() {
            self.deadlines.incomplete.get_or_insert(now + INCOMPLETE_MS);
        }
        if zones_changed {
            self.refresh_zones(events);
        }
        if calendars_changed {
            self.refresh_calendars(events);
        }
        if users_changed {
            self.retry_rejected();
        }
    }

    /// Queues a path, and the links that lead through its directory.
    fn enqueue(&mut self, path: PathBuf) {
        let links = path.parent().map(|parent| self.tables.links_through(parent)).unwrap_or_default();
        self.queue.push(links);
        self.queue.push([path]);
    }

    fn scan_queue(&mut self, now: i64, events: &mut dyn EventSink) {
        let directories_before = self.tables.directories();
        let stop_at = clock::monotonic_ms() + SCAN_TURN_MS;
        self.advance_file_check(stop_at);
        for _ in 0..PATHS_A_TURN {
            let Some((path, rule)) = self.queue.pop() else { break };
            if was_just_emptied(&path) {
                self.queue.push_incomplete(path, rule);
                self.deadlines.incomplete.get_or_insert(now + INCOMPLETE_MS);
                continue;
            }
            self.tables.scan_path(&path, rule, &mut self.users, self.known.names(), events);
            if clock::monotonic_ms() >= stop_at {
                break;
            }
        }
        if self.tables.take_unopened() {
            let end_of_minute = clock::monotonic_ms() + ms_to_end_of_minute();
            self.deadlines.poll = Some(self.deadlines.poll.map_or(end_of_minute, |poll| poll.min(end_of_minute)));
        }
        if self.tables.directories() != directories_before {
            self.watch.mark_stale();
            self.gather(now);
        }
        self.schedule_retry(now);
    }

    fn gather(&mut self, now: i64) {
        self.deadlines.gather.get_or_insert(now + GATHER_MS);
    }

    /// Reads the zones again. All crontabs are read again when one has changed, as a crontab's own zones are part of it.
    fn refresh_zones(&mut self, events: &mut dyn EventSink) {
        if self.known.zones.refresh() {
            if let Some((fleet, place)) = &mut self.known.fleet {
                *place = fleet.place(&self.known.zones);
            }
            events.push(LoadEvent::SystemZone(self.known.zones.system()));
            self.rescan(LoadRule::Always, events);
        }
    }

    /// Reads the calendars again. What is newly wrong with them is logged.
    fn refresh_calendars(&mut self, events: &mut dyn EventSink) {
        let calendars = &mut self.known.calendars;
        let Some(faults) = calendars.refresh() else { return };
        for detail in faults {
            events.push(LoadEvent::Log(LogLine::of_daemon(Level::Warning, "WARNING", detail)));
        }
        events.push(LoadEvent::Calendars(calendars.calendars().clone()));
    }

    /// Tries crontabs again that were rejected for a reason that may have passed, with the users as they are now.
    fn retry_rejected(&mut self) {
        self.deadlines.retry_rejected = None;
        self.users.refresh();
        self.queue_rejected();
    }

    fn queue_rejected(&mut self) {
        self.queue.push_found(self.tables.rejected_for_now(), LoadRule::IfChanged);
    }

    fn schedule_retry(&mut self, now: i64) {
        if self.tables.rejected_for_now().next().is_none() {
            self.deadlines.retry_rejected = None;
        } else {
            self.deadlines.retry_rejected.get_or_insert(now + ms_to_end_of_minute());
        }
    }
}

/// The directory of calendars and its parent, as far as they are there.
fn calendar_directories() -> Vec<PathBuf> {
    let calendars = Path::new(shared::CALENDARS);
    calendars.parent().into_iter().chain([calendars]).filter(|path| path.is_dir()).map(Path::to_owned).collect()
}

#[cfg(test)]
#[path = "database_tests.rs"]
mod tests;
