//! Tests that changes during the first scan are not missed.

use super::super::scan_queue::JUST_EMPTIED_NS;
use super::super::settings::Command;
use super::super::tables::Origin;
use super::*;
use crate::profile::CRONIE;
use crate::schedule::HostKey;
use crate::sys::poll::Poll;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write as _;

/// Changes the crontab at that path.
type Change<'a> = &'a mut dyn FnMut(&Path);

/// Counts the entries of each loaded crontab, and changes one right after it was read.
struct ChangingSink<'a> {
    loaded: BTreeMap<String, usize>,
    /// A crontab and its change, which is made once.
    change: Option<(&'a str, Change<'a>)>,
}

impl EventSink for ChangingSink<'_> {
    fn push(&mut self, event: LoadEvent) {
        match event {
            LoadEvent::Load { source, table } => {
                self.loaded.insert(name(&source.path), table.entries.len());
                if let Some((_, change)) = self.change.take_if(|(which, _)| *which == name(&source.path)) {
                    change(Path::new(&source.path));
                }
            }
            LoadEvent::Unload { path } => {
                self.loaded.remove(&name(&path));
            }
            LoadEvent::SystemZone(_) | LoadEvent::Calendars(_) | LoadEvent::Log(_) => {}
        }
    }
}

fn name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

fn new_database(top: &Path) -> CrontabDatabase {
    let place = |name: &str| top.join(name).into_os_string();
    let mut line: Vec<OsString> = ["crond", "--profile", "cronie", "-p"].map(OsString::from).to_vec();
    for option in ["spool", "cron-d", "system-crontab"] {
        line.extend([format!("--{option}").into(), place(option)]);
    }
    let Ok(Command::Run(mut settings)) = Settings::from_arguments(line) else { panic!("a command line") };
    settings.config.anacrontab = top.join("anacrontab");
    settings.config.anacron_stamps = top.join("stamps");
    CrontabDatabase::new(CrontabFiles::new(Origin::System(settings.finder()), &CRONIE, HostKey(1)), &settings)
}

/// Opens a database of the crontabs `file` and `link` of one entry each, changes one as soon as it was read, and waits until as many crontabs and
/// entries are loaded as wanted.
fn open_and_change(which: &str, change: Change<'_>, wanted: (usize, usize)) {
    let top = tempfile::tempdir().unwrap();
    for (path, entries) in [("cron-d/file", 1), ("elsewhere/target", 1), ("elsewhere/longer", 2)] {
        let path = top.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, ENTRY.repeat(entries)).unwrap();
    }
    std::os::unix::fs::symlink("../elsewhere/target", top.path().join("cron-d/link")).unwrap();
    let mut database = new_database(top.path());
    let mut events = ChangingSink { loaded: BTreeMap::new(), change: Some((which, change)) };
    database.open(&mut events);
    let poll = Poll::new().unwrap();
    let watcher = database.watcher().unwrap();
    poll.add(watcher.notifier(), 1).unwrap();
    let end = clock::monotonic_ms() + 10_000;
    while (events.loaded.len(), events.loaded.values().sum::<usize>()) != wanted {
        let now = clock::monotonic_ms();
        assert!(now < end, "{:?}", events.loaded);
        let timeout = database.next_deadline_ms().min(end).saturating_sub(now).max(0);
        if poll.wait_for_any(Some(timeout as u64)).unwrap() {
            database.handle_changes();
        }
        database.run_timers(&mut events);
    }
}

const ENTRY: &str = "0 0 1 1 * root true\n";

fn longer(path: &Path) -> PathBuf {
    path.with_file_name("../elsewhere/longer")
}

#[test]
fn a_table_that_is_replaced_right_after_it_was_read_is_read_again() {
    open_and_change("file", &mut |path| fs::rename(longer(path), path).unwrap(), (2, 3));
}

#[test]
fn a_table_that_is_written_right_after_it_was_read_is_read_again_even_if_it_is_not_closed() {
    let mut open = None;
    let mut append = |path: &Path| {
        let file = open.insert(File::options().append(true).open(path).unwrap());
        file.write_all(ENTRY.as_bytes()).unwrap();
    };
    open_and_change("file", &mut append, (2, 3));
}

#[test]
fn a_table_that_is_created_or_removed_during_the_first_scan_is_noticed() {
    open_and_change("file", &mut |path| fs::remove_file(path).unwrap(), (1, 1));
    open_and_change("file", &mut |path| fs::rename(longer(path), path.with_file_name("new")).unwrap(), (3, 4));
}

#[test]
fn the_target_of_a_link_may_change_before_its_directory_is_watched() {
    let mut replace = |path: &Path| fs::rename(longer(path), path.with_file_name("../elsewhere/target")).unwrap();
    open_and_change("link", &mut replace, (2, 3));
}

/// Runs the database for so many milliseconds, or until as many entries are loaded as wanted.
fn run_for(database: &mut CrontabDatabase, events: &mut ChangingSink<'_>, poll: &Poll, ms: i64, wanted: Option<usize>) {
    let end = clock::monotonic_ms() + ms;
    while wanted.is_none_or(|wanted| events.loaded.values().sum::<usize>() != wanted) {
        let now = clock::monotonic_ms();
        if now >= end {
            break;
        }
        let timeout = database.next_deadline_ms().min(end).saturating_sub(now).max(0);
        if poll.wait_for_any(Some(timeout as u64)).unwrap() {
            database.handle_changes();
        }
        database.run_timers(events);
    }
}

#[test]
fn a_table_that_an_editor_empties_before_it_writes_it_stays_loaded_meanwhile() {
    for _ in 0..20 {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("cron-d/file");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, ENTRY).unwrap();
        let mut database = new_database(top.path());
        let mut events = ChangingSink { loaded: BTreeMap::new(), change: None };
        database.open(&mut events);
        let poll = Poll::new().unwrap();
        poll.add(database.watcher().unwrap().notifier(), 1).unwrap();
        assert_eq!(events.loaded.values().sum::<usize>(), 1);
        File::create(&path).unwrap();
        let emptied = clock::monotonic_ms();
        run_for(&mut database, &mut events, &poll, 300, Some(0));
        let scanned_too_late = clock::monotonic_ms() - emptied >= JUST_EMPTIED_NS as i64 / 1_000_000;
        if events.loaded.values().sum::<usize>() == 0 {
            assert!(scanned_too_late, "the empty table is taken at once");
            // The machine was too busy for a result.
            continue;
        }
        fs::write(&path, ENTRY.repeat(2)).unwrap();
        run_for(&mut database, &mut events, &poll, 10_000, Some(2));
        assert_eq!(events.loaded.values().sum::<usize>(), 2);
        return;
    }
    panic!("the machine is too busy for this test");
}

#[test]
fn a_reload_of_many_changed_tables_gives_way_after_each_few_and_ends_with_the_last() {
    const TABLES: usize = 3 * PATHS_A_TURN + 7;
    let top = tempfile::tempdir().unwrap();
    let path = |number: usize| top.path().join(format!("cron-d/table-{number}"));
    fs::create_dir_all(top.path().join("cron-d")).unwrap();
    (0..TABLES).for_each(|number| fs::write(path(number), ENTRY).unwrap());
    let mut database = new_database(top.path());
    let mut events = ChangingSink { loaded: BTreeMap::new(), change: None };
    database.open(&mut events);
    assert_eq!(events.loaded.len(), TABLES);
    (1..TABLES).for_each(|number| fs::write(path(number), ENTRY.repeat(2)).unwrap());
    fs::remove_file(path(0)).unwrap();
    fs::write(path(TABLES), ENTRY.repeat(2)).unwrap();
    assert!(database.ask_for_reload());
    let mut turns = 0;
    loop {
        let before = events.loaded.values().sum::<usize>();
        let is_completed = database.run_timers(&mut events);
        turns += 1;
        let loaded = events.loaded.values().sum::<usize>();
        assert!(loaded - before.min(loaded) <= 2 * PATHS_A_TURN, "{before} and {loaded} entries in one turn");
        if is_completed {
            assert_eq!((loaded, events.loaded.len()), (2 * TABLES, TABLES));
            assert!(database.has_scanned_all());
            break;
        }
        assert!(turns < 100, "{loaded} entries loaded");
    }
    assert!(turns > 3, "all in {turns} turns");
    assert!(!database.run_timers(&mut events), "it is reported once");
    // Without changes, all files are examined, a few in each turn. A further scan that is asked for meanwhile follows.
    fs::write(path(1), ENTRY).unwrap();
    database.rescan(LoadRule::IfChanged, &mut events);
    let mut turns = 0;
    while !database.has_scanned_all() {
        if turns == 1 {
            database.rescan(LoadRule::IfChanged, &mut events);
        }
        database.run_timers(&mut events);
        turns += 1;
    }
    let of_one = TABLES.div_ceil(PATHS_A_TURN);
    assert!((2 * of_one..100).contains(&turns), "{turns} turns");
    assert_eq!(events.loaded.values().sum::<usize>(), 2 * TABLES - 1);
}
