//! Scans of crontab directories: what is loaded, refused, removed and logged as files change.

use super::super::load_event::LoadEvent;
use super::super::load_lines::MOST_REPORTED;
use super::*;
use crate::config::Places;
use crate::crontab::KnownNames;
use crate::profile::CRONIE;
use crate::schedule::OnlyUtc;
use crate::sys::clock;
use std::fs;

struct Scene {
    dir: tempfile::TempDir,
    tables: CrontabFiles,
    users: DaemonUsers,
}

impl Scene {
    fn new() -> Scene {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("cron.d")).unwrap();
        fs::create_dir(dir.path().join("spool")).unwrap();
        let places = Places {
            spool: dir.path().join("spool"),
            system_crontab: dir.path().join("crontab"),
            cron_d: dir.path().join("cron.d"),
        };
        // With any owner allowed, the test need not be root's.
        let finder = Finder::new(places, &CRONIE).any_owner_and_mode();
        let tables = CrontabFiles::new(Origin::System(finder), &CRONIE, HostKey(1));
        Scene { tables, users: DaemonUsers::default(), dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("cron.d").join(name)
    }

    /// Writes a table as an editor does: a new file moved into place.
    fn save(&self, name: &str, text: &str) {
        let new = self.dir.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    fn rescan(&mut self) -> Vec<String> {
        self.rescan_to(Depth::Changes)
    }

    fn rescan_to(&mut self, depth: Depth) -> Vec<String> {
        let mut events = Vec::new();
        self.tables.rescan(depth, &mut self.users, KnownNames::of_zones(&OnlyUtc), &mut events);
        self.words(events)
    }

    /// Waits until the stamps of all files stand for their contents, and lets the stamp of the directory be trusted.
    fn let_stamps_age(&mut self) {
        while !self.tables.cache.trusts_all_stamps() {
            self.rescan();
        }
        let directory = crate::sys::files::open_dir(&self.path("")).unwrap();
        let stamp = Stamp::from(&crate::sys::files::stat(directory).unwrap());
        let directory = self.path("").to_str().unwrap().to_owned();
        self.tables.cache.set_listed(&directory, stamp);
    }

    fn scan(&mut self, name: &str) -> Vec<String> {
        let (mut events, path) = (Vec::new(), self.path(name));
        self.tables.scan_path(&path, LoadRule::IfChanged, &mut self.users, KnownNames::of_zones(&OnlyUtc), &mut events);
        self.words(events)
    }

    fn words(&self, events: Vec<LoadEvent>) -> Vec<String> {
        let dir = self.dir.path().display().to_string();
        events.into_iter().map(|event| word(event, &dir)).collect()
    }
}

fn word(event: LoadEvent, dir: &str) -> String {
    let text = match event {
        LoadEvent::Load { source, table } => format!("load {} {}", source.path, table.entries.len()),
        LoadEvent::Calendars(_) => "calendars".to_owned(),
        LoadEvent::SystemZone(zone) => format!("zone {}", zone.name()),
        LoadEvent::Unload { path } => format!("unload {path}"),
        LoadEvent::Log(line) => format!("({}) {} ({}){}", line.user, line.event, line.detail, line.rest),
    };
    text.replace(dir, "")
}

const NONE: [&str; 0] = [];
const NO_PATHS: Vec<PathBuf> = Vec::new();

#[test]
fn a_new_table_is_loaded_silently_and_a_changed_one_with_a_line() {
    let mut scene = Scene::new();
    assert_eq!(scene.rescan(), NONE);
    scene.save("a", "* * * * * root true\n");
    assert_eq!(scene.rescan(), ["load /cron.d/a 1"]);
    assert_eq!(scene.rescan(), NONE);
    scene.save("a", "* * * * * root true\n* * * * * root false\n");
    assert_eq!(scene.scan("a"), ["(*system*) RELOAD (/cron.d/a)", "load /cron.d/a 2"]);
    assert_eq!(scene.scan("a"), NONE);
    fs::remove_file(scene.path("a")).unwrap();
    assert_eq!(scene.rescan(), ["unload /cron.d/a"]);
    scene.save("a", "");
    assert_eq!(scene.rescan(), ["load /cron.d/a 0"]);
}

#[test]
fn a_table_written_twice_within_one_tick_of_the_clock_is_not_missed() {
    let mut scene = Scene::new();
    for number in 0..200 {
        let text = format!("{} * * * * root true\n", number % 10);
        fs::write(scene.path("a"), &text).unwrap();
        let events = scene.rescan();
        assert!(events.last().is_some_and(|last| last == "load /cron.d/a 1"), "{number}: {events:?}");
    }
}

#[test]
fn a_directory_whose_stamp_is_unchanged_is_not_listed_but_its_files_are_checked() {
    let mut scene = Scene::new();
    for name in ["a", "b", "c"] {
        scene.save(name, "* * * * * root true\n");
    }
    scene.rescan();
    scene.let_stamps_age();
    assert_eq!(scene.rescan(), NONE);
    fs::write(scene.path("a"), "").unwrap();
    assert_eq!(scene.rescan(), ["(*system*) RELOAD (/cron.d/a)", "load /cron.d/a 0"], "written in place");
    scene.let_stamps_age();
    fs::remove_file(scene.path("b")).unwrap();
    scene.save("d", "");
    scene.save("c", "");
    let mut events = scene.rescan();
    events.sort();
    let replaced = ["(*system*) RELOAD (/cron.d/c)", "load /cron.d/c 0", "load /cron.d/d 0", "unload /cron.d/b"];
    assert_eq!(events, replaced);
    scene.let_stamps_age();
    scene.save("e", "");
    scene.let_stamps_age();
    assert_eq!(scene.rescan(), NONE, "the directory's stamp did not change");
    assert_eq!(scene.rescan_to(Depth::Names), ["load /cron.d/e 0"]);
}

#[test]
fn a_table_whose_stat_failed_for_a_moment_is_found_again() {
    let mut scene = Scene::new();
    scene.save("a", "* * * * * root true\n");
    scene.rescan();
    scene.let_stamps_age();
    let (mut events, path) = (Vec::new(), scene.path("a").display().to_string());
    scene.tables.cache.remove(&path, &mut events);
    assert_eq!(scene.words(events), ["unload /cron.d/a"]);
    assert_eq!(scene.rescan(), ["load /cron.d/a 1"]);
}

#[test]
fn a_fault_is_reported_once_and_the_other_entries_run() {
    let mut scene = Scene::new();
    scene.save("a", "61 * * * * root true\n* * * * * root true\n");
    let events = scene.rescan();
    assert_eq!(events.len(), 3, "{events:?}");
    assert_eq!(events[0], "(CRON) bad minute (/cron.d/a)");
    assert!(events[1].starts_with("(*system*) ERROR (/cron.d/a:1:1: error: "), "{events:?}");
    assert_eq!(events[2], "load /cron.d/a 1");
    assert_eq!(scene.rescan(), NONE);
}

#[test]
fn a_limited_number_of_faults_is_logged() {
    let mut scene = Scene::new();
    scene.save("a", &"garbage\n".repeat(10_000));
    let events = scene.rescan();
    assert_eq!(events.len(), 2 * MOST_REPORTED + 2);
    assert_eq!(events[2 * MOST_REPORTED], "(*system*) WARNING (/cron.d/a: 9980 more faults, not listed)");
}

#[test]
fn a_refusal_is_reported_once_and_unloads_the_old_table() {
    let mut scene = Scene::new();
    scene.save("a", "* * * * * root true\n");
    scene.rescan();
    fs::remove_file(scene.path("a")).unwrap();
    fs::create_dir(scene.path("a")).unwrap();
    assert_eq!(scene.rescan(), ["(root) NOT REGULAR (/cron.d/a)", "unload /cron.d/a"]);
    assert_eq!(scene.rescan(), NONE);
    fs::remove_dir(scene.path("a")).unwrap();
    scene.save("a", "* * * * * root true\n");
    assert_eq!(scene.rescan(), ["load /cron.d/a 1"]);
}

#[test]
fn a_link_is_found_by_the_directories_that_it_leads_through() {
    let mut scene = Scene::new();
    let opt = scene.dir.path().join("opt");
    fs::create_dir(&opt).unwrap();
    std::os::unix::fs::symlink(opt.join("real"), scene.path("a")).unwrap();
    assert_eq!(scene.rescan().len(), 1, "a link that leads nowhere is reported");
    assert_eq!(scene.tables.rejected_for_now().collect::<Vec<_>>(), [scene.path("a")]);
    assert!(scene.tables.directories().contains(&opt));
    fs::write(opt.join("real"), "* * * * * root true\n").unwrap();
    assert_eq!(scene.tables.links_through(&opt), [scene.path("a")]);
    assert_eq!(scene.scan("a"), ["load /cron.d/a 1"]);
    assert!(scene.tables.rejected_for_now().next().is_none());
}

#[test]
fn standalone_files_are_read_again_when_they_change() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jobs");
    fs::write(&path, "* * * * * true\n").unwrap();
    let given = StandaloneFiles::new(std::slice::from_ref(&path)).unwrap();
    let mut tables = CrontabFiles::new(Origin::StandaloneFiles(given), &CRONIE, HostKey(1));
    let mut users = DaemonUsers::default();
    let mut rescan = |tables: &mut CrontabFiles| {
        let mut events = Vec::new();
        tables.rescan(Depth::Changes, &mut users, KnownNames::of_zones(&OnlyUtc), &mut events);
        events.into_iter().map(|event| word(event, &dir.path().display().to_string())).collect::<Vec<_>>()
    };
    assert_eq!(rescan(&mut tables), ["load /jobs 1"]);
    fs::write(&path, "* * * * * true\n* * * * * true\n").unwrap();
    assert_eq!(rescan(&mut tables).last().unwrap(), "load /jobs 2");
    fs::remove_file(&path).unwrap();
    assert_eq!(rescan(&mut tables).last().unwrap(), "unload /jobs");
}

#[test]
fn the_second_of_two_changes_with_the_same_stamp_counts() {
    let mut scene = Scene::new();
    let path = scene.path("a");
    let mut take = |text: &str, stamp: Option<Stamp>| {
        fs::write(&path, text).unwrap();
        let Origin::System(finder) = &scene.tables.origin else { panic!("tables of the system") };
        let ScanOutcome::Table(mut found) = finder.scan_path(&path, &mut scene.users) else { panic!("a table") };
        found.stamp = stamp.unwrap_or(found.stamp);
        let (used, mut events) = (found.stamp, Vec::new());
        let reader = TableReader {
            profile: scene.tables.profile,
            host: scene.tables.host,
            known: KnownNames::of_zones(&OnlyUtc),
            machine: &ThisMachine::for_daemon(),
        };
        scene.tables.cache.update(found, &reader, LoadRule::IfChanged, &mut events);
        (used, events.into_iter().filter(|event| matches!(event, LoadEvent::Load { .. })).count())
    };
    let just_now = |stamp: Stamp| Stamp { ctime_ns: clock::wall().as_ns(), ..stamp };
    let (stamp, loads) = take("1 * * * * root true\n", None);
    assert_eq!(loads, 1);
    // As on a file system whose stamps advance by whole ticks of the clock.
    let fresh = just_now(stamp);
    take("2 * * * * root true\n", Some(fresh));
    assert_eq!(take("3 * * * * root true\n", Some(fresh)).1, 1);
    assert_eq!(take("3 * * * * root true\n", Some(fresh)).1, 0, "the content is the same");
    // An old stamp stands for the content.
    let old = Stamp { ctime_ns: fresh.ctime_ns - 10_000_000_000, ..fresh };
    assert_eq!(take("4 * * * * root true\n", Some(old)).1, 1);
    assert_eq!(take("4 * * * * root true\n", Some(old)).1, 0);
    // A scan of everything must not pass over a file that could have changed either.
    take("5 * * * * root true\n", Some(just_now(stamp)));
    let path = scene.path("a").display().to_string();
    assert!(scene.tables.cache.fresh(&path).is_some());
}

#[test]
fn what_has_changed_is_found_without_being_read() {
    let mut scene = Scene::new();
    for name in ["a", "b", "c", "d"] {
        scene.save(name, "1 * * * * root true\n");
    }
    scene.rescan();
    scene.let_stamps_age();
    scene.save("b", "1 * * * * root true\n2 * * * * root true\n");
    fs::remove_file(scene.path("c")).unwrap();
    scene.save("e", "1 * * * * root true\n");
    let mut events: Vec<LoadEvent> = Vec::new();
    let known = KnownNames::of_zones(&OnlyUtc);
    let listed = scene.tables.list(Depth::Names, &mut scene.users, known, &mut events);
    let listed: BTreeSet<PathBuf> = listed.into_iter().collect();
    assert_eq!(listed, ["c", "e"].map(|name| scene.path(name)).into(), "new and gone");
    assert_eq!(scene.words(events), NONE);
    // One file is examined in each turn. The one that is gone counts as changed, too.
    let (mut after, mut turns, mut changed) = (None, 0, BTreeSet::new());
    loop {
        let found = scene.tables.check_some(after.as_deref(), &mut scene.users, |count| count == 1);
        turns += 1;
        changed.extend(found.0);
        match found.1 {
            Some(last) => after = Some(last),
            None => break,
        }
    }
    assert_eq!((turns, changed), (5, ["b", "c"].map(|name| scene.path(name)).into()));
    assert_eq!(scene.scan("b"), ["(*system*) RELOAD (/cron.d/b)", "load /cron.d/b 2"]);
    assert_eq!(scene.scan("c"), ["unload /cron.d/c"]);
    assert_eq!(scene.scan("e"), ["load /cron.d/e 1"]);
    let all = scene.tables.list(Depth::Anew, &mut scene.users, known, &mut Vec::new());
    assert_eq!(all.len(), 4);
}

#[test]
fn tables_stay_loaded_while_their_directory_cannot_be_opened() {
    let mut scene = Scene::new();
    for name in ["a", "b"] {
        scene.save(name, "1 * * * * root true\n");
    }
    scene.rescan();
    scene.let_stamps_age();
    // A file in the place of the directory: opening it fails, also for root.
    let (directory, aside) = (scene.dir.path().join("cron.d"), scene.dir.path().join("aside"));
    fs::rename(&directory, &aside).unwrap();
    fs::write(&directory, "").unwrap();
    let mut events: Vec<LoadEvent> = Vec::new();
    let known = KnownNames::of_zones(&OnlyUtc);
    assert_eq!(scene.tables.list(Depth::Changes, &mut scene.users, known, &mut events), NO_PATHS);
    assert_eq!(scene.words(events), ["(CRON) OPENDIR FAILED (/cron.d): Not a directory"]);
    assert!(!scene.tables.take_unopened());
    assert_eq!(scene.tables.check_some(None, &mut scene.users, |_| false), (NO_PATHS, None));
    assert!(scene.tables.take_unopened() && !scene.tables.take_unopened());
    assert_eq!(scene.scan("a"), NONE);
    assert!(scene.tables.take_unopened());
    fs::remove_file(&directory).unwrap();
    assert_eq!(scene.scan("a"), ["unload /cron.d/a"], "no directory, no table");
    fs::rename(&aside, &directory).unwrap();
    assert_eq!(scene.tables.check_some(None, &mut scene.users, |_| false), (NO_PATHS, None));
    assert_eq!(scene.rescan(), ["load /cron.d/a 1"]);
    assert!(!scene.tables.take_unopened());
}

#[test]
fn a_new_table_whose_directory_could_not_be_opened_is_found_by_the_next_scan() {
    let mut scene = Scene::new();
    scene.save("a", "1 * * * * root true\n");
    // The directory counts as listed, as it does when a scan has queued the new table.
    scene.let_stamps_age();
    let top = scene.dir.path().to_owned();
    let aside = top.with_extension("aside");
    fs::rename(&top, &aside).unwrap();
    fs::write(&top, "").unwrap();
    let unopened = scene.scan("a");
    fs::remove_file(&top).unwrap();
    fs::rename(&aside, &top).unwrap();
    assert_eq!(unopened, NONE);
    assert_eq!(scene.rescan(), ["load /cron.d/a 1"]);
}

#[test]
fn a_linked_table_counts_as_changed_only_if_the_file_behind_the_link_has_changed() {
    let mut scene = Scene::new();
    let real = scene.dir.path().join("real");
    let other = scene.dir.path().join("other");
    fs::write(&real, "1 * * * * root true\n").unwrap();
    fs::write(&other, "1 * * * * root true\n2 * * * * root true\n").unwrap();
    std::os::unix::fs::symlink(&real, scene.path("a")).unwrap();
    assert_eq!(scene.rescan(), ["load /cron.d/a 1"]);
    scene.let_stamps_age();
    let check = |scene: &mut Scene| scene.tables.check_some(None, &mut scene.users, |_| false).0;
    assert_eq!(check(&mut scene), NO_PATHS);
    fs::write(&real, "3 * * * * root true\n").unwrap();
    assert_eq!(check(&mut scene), [scene.path("a")], "written in place");
    scene.scan("a");
    scene.let_stamps_age();
    assert_eq!(check(&mut scene), NO_PATHS);
    fs::remove_file(scene.path("a")).unwrap();
    std::os::unix::fs::symlink(&other, scene.path("a")).unwrap();
    assert_eq!(check(&mut scene), [scene.path("a")], "another file");
    assert_eq!(scene.scan("a"), ["(*system*) RELOAD (/cron.d/a)", "load /cron.d/a 2"]);
    fs::remove_file(&other).unwrap();
    assert_eq!(check(&mut scene), [scene.path("a")], "nothing");
}
