//! What changes while everything is read for the first time is not missed.

use super::super::settings::Asked;
use super::super::tables::Origin;
use super::*;
use crate::profile::CRONIE;
use crate::schedule::HostKey;
use crate::sys::poll::Poll;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write as _;

/// What is done to the table of that path.
type Meddle<'a> = &'a mut dyn FnMut(&Path);

/// Keeps the number of entries of each live table, and meddles with one that was just read.
struct Meddler<'a> {
    live: BTreeMap<String, usize>,
    /// Which table, and what is done to it; once.
    meddle: Option<(&'a str, Meddle<'a>)>,
}

impl EventSink for Meddler<'_> {
    fn push(&mut self, news: LoadEvent) {
        match news {
            LoadEvent::Load { source, table } => {
                self.live.insert(name(&source.path), table.entries.len());
                if let Some((_, meddle)) = self.meddle.take_if(|(which, _)| *which == name(&source.path)) {
                    meddle(Path::new(&source.path));
                }
            }
            LoadEvent::Unload { path } => {
                self.live.remove(&name(&path));
            }
            LoadEvent::SystemZone(_) | LoadEvent::Tell(_) => {}
        }
    }
}

fn name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

fn library(top: &Path) -> CrontabDatabase {
    let place = |name: &str| top.join(name).into_os_string();
    let mut line: Vec<OsString> = ["crond", "--profile", "cronie", "-p"].map(OsString::from).to_vec();
    for option in ["spool", "cron-d", "system-crontab"] {
        line.extend([format!("--{option}").into(), place(option)]);
    }
    let Ok(Asked::Run(mut settings)) = Settings::from_arguments(line) else { panic!("a command line") };
    settings.config.anacrontab = top.join("anacrontab");
    settings.config.anacron_stamps = top.join("stamps");
    CrontabDatabase::new(Tables::new(Origin::System(settings.finder()), &CRONIE, HostKey(1)), &settings)
}

/// Opens the library over the tables `file` and `link` of one entry each, lets `meddle` do its work as soon as that one was
/// read, and waits until as many tables and entries are live as wanted.
fn meddled_with(which: &str, meddle: Meddle<'_>, wanted: (usize, usize)) {
    let top = tempfile::tempdir().unwrap();
    for (path, entries) in [("cron-d/file", 1), ("elsewhere/target", 1), ("elsewhere/longer", 2)] {
        let path = top.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, ENTRY.repeat(entries)).unwrap();
    }
    std::os::unix::fs::symlink("../elsewhere/target", top.path().join("cron-d/link")).unwrap();
    let mut library = library(top.path());
    let mut news = Meddler { live: BTreeMap::new(), meddle: Some((which, meddle)) };
    library.open(&mut news);
    let poll = Poll::new().unwrap();
    let watcher = library.watcher().unwrap();
    poll.add(watcher.notifier(), 1).unwrap();
    poll.add(watcher.names(), 2).unwrap();
    let end = clock::monotonic_ms() + 10_000;
    while (news.live.len(), news.live.values().sum::<usize>()) != wanted {
        let now = clock::monotonic_ms();
        assert!(now < end, "{:?}", news.live);
        let poll_timeout = library.next_deadline_ms().min(end).saturating_sub(now).max(0);
        for number in poll.wait::<4>(Some(poll_timeout as u64)).unwrap() {
            if number == 1 { library.handle_crontab_changes() } else { library.handle_name_changes(&mut news) }
        }
        library.attend(&mut news);
    }
}

const ENTRY: &str = "0 0 1 1 * root true\n";

fn longer(path: &Path) -> PathBuf {
    path.with_file_name("../elsewhere/longer")
}

#[test]
fn a_table_that_is_replaced_right_after_it_was_read_is_read_again() {
    meddled_with("file", &mut |path| fs::rename(longer(path), path).unwrap(), (2, 3));
}

#[test]
fn a_table_that_is_written_right_after_it_was_read_is_read_again_even_if_nobody_closes_it() {
    let mut open = None;
    let mut append = |path: &Path| {
        let file = open.insert(File::options().append(true).open(path).unwrap());
        file.write_all(ENTRY.as_bytes()).unwrap();
    };
    meddled_with("file", &mut append, (2, 3));
}

#[test]
fn a_table_that_comes_or_goes_meanwhile_is_noticed() {
    meddled_with("file", &mut |path| fs::remove_file(path).unwrap(), (1, 1));
    meddled_with("file", &mut |path| fs::rename(longer(path), path.with_file_name("new")).unwrap(), (3, 4));
}

#[test]
fn what_a_link_leads_to_may_change_before_anybody_listens_there() {
    let mut replace = |path: &Path| fs::rename(longer(path), path.with_file_name("../elsewhere/target")).unwrap();
    meddled_with("link", &mut replace, (2, 3));
}

/// Lets the library hear and look for so long, or until as many entries are live as wanted.
fn attend_for(library: &mut CrontabDatabase, news: &mut Meddler<'_>, poll: &Poll, ms: i64, wanted: Option<usize>) {
    let end = clock::monotonic_ms() + ms;
    while wanted.is_none_or(|wanted| news.live.values().sum::<usize>() != wanted) {
        let now = clock::monotonic_ms();
        if now >= end {
            break;
        }
        let poll_timeout = library.next_deadline_ms().min(end).saturating_sub(now).max(0);
        for number in poll.wait::<4>(Some(poll_timeout as u64)).unwrap() {
            if number == 1 { library.handle_crontab_changes() } else { library.handle_name_changes(news) }
        }
        library.attend(news);
    }
}

#[test]
fn a_table_that_an_editor_empties_before_it_writes_it_stays_live_meanwhile() {
    for _ in 0..20 {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("cron-d/file");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, ENTRY).unwrap();
        let mut library = library(top.path());
        let mut news = Meddler { live: BTreeMap::new(), meddle: None };
        library.open(&mut news);
        let poll = Poll::new().unwrap();
        poll.add(library.watcher().unwrap().notifier(), 1).unwrap();
        poll.add(library.watcher().unwrap().names(), 2).unwrap();
        assert_eq!(news.live.values().sum::<usize>(), 1);
        File::create(&path).unwrap();
        let emptied = clock::monotonic_ms();
        attend_for(&mut library, &mut news, &poll, 300, Some(0));
        let looked_too_late = clock::monotonic_ms() - emptied >= JUST_EMPTIED_NS as i64 / 1_000_000;
        if news.live.values().sum::<usize>() == 0 {
            assert!(looked_too_late, "the empty table is taken at once");
            // The machine was busy, so that this showed nothing.
            continue;
        }
        fs::write(&path, ENTRY.repeat(2)).unwrap();
        attend_for(&mut library, &mut news, &poll, 10_000, Some(2));
        assert_eq!(news.live.values().sum::<usize>(), 2);
        return;
    }
    panic!("the machine is too busy for this test");
}
