use super::*;
use crate::config::Places;
use crate::profile::CRONIE;
use crate::schedule::Zone;
use std::fs;
use std::sync::Arc;

struct OnlyUtc;

impl Zones for OnlyUtc {
    fn named(&self, _: &str) -> Option<Arc<Zone>> {
        None
    }
    fn system(&self) -> Arc<Zone> {
        Zone::utc()
    }
}

struct Scene {
    dir: tempfile::TempDir,
    tables: Tables,
}

impl Scene {
    fn new() -> Scene {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("cron.d")).unwrap();
        let places = Places {
            spool: dir.path().join("spool"),
            system_crontab: dir.path().join("crontab"),
            cron_d: dir.path().join("cron.d"),
        };
        // With any owner allowed, the test need not be root's.
        let finder = Finder::new(places, &CRONIE).any_owner_and_mode();
        Scene { tables: Tables::new(Origin::System(finder), &CRONIE, HostKey(1)), dir }
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
        let mut news = Vec::new();
        self.tables.rescan(depth, &OnlyUtc, &mut news);
        self.words(news)
    }

    /// Waits until no table is too fresh for its stamp to tell, and has the directory's stamp taken for settled.
    fn settle(&mut self) {
        while !self.tables.seen.known.values().all(|known| known.fresh().is_none()) {
            self.rescan();
        }
        let directory = crate::sys::files::open_dir(&self.path("")).unwrap();
        let stamp = Stamp::from(&crate::sys::files::stat(directory).unwrap());
        self.tables.seen.listed.insert(self.path("").to_str().unwrap().to_owned(), stamp);
    }

    fn look(&mut self, name: &str) -> Vec<String> {
        let (mut news, path) = (Vec::new(), self.path(name));
        self.tables.look(&path, &OnlyUtc, &mut news);
        self.words(news)
    }

    fn words(&self, news: Vec<LoadEvent>) -> Vec<String> {
        let dir = self.dir.path().display().to_string();
        news.into_iter().map(|news| word(news, &dir)).collect()
    }
}

fn word(news: LoadEvent, dir: &str) -> String {
    let text = match news {
        LoadEvent::Load { source, table } => format!("load {} {}", source.path, table.entries.len()),
        LoadEvent::SystemZone(zone) => format!("zone {}", zone.name()),
        LoadEvent::Unload { path } => format!("unload {path}"),
        LoadEvent::Tell(told) => format!("({}) {} ({}){}", told.user, told.event, told.detail, told.rest),
    };
    text.replace(dir, "")
}

const NONE: [&str; 0] = [];

#[test]
fn a_new_table_is_loaded_silently_and_a_changed_one_with_a_line() {
    let mut scene = Scene::new();
    assert_eq!(scene.rescan(), NONE);
    scene.save("a", "* * * * * root true\n");
    assert_eq!(scene.rescan(), ["load /cron.d/a 1"]);
    assert_eq!(scene.rescan(), NONE);
    scene.save("a", "* * * * * root true\n* * * * * root false\n");
    assert_eq!(scene.look("a"), ["(*system*) RELOAD (/cron.d/a)", "load /cron.d/a 2"]);
    assert_eq!(scene.look("a"), NONE);
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
        let news = scene.rescan();
        assert!(news.last().is_some_and(|last| last == "load /cron.d/a 1"), "{number}: {news:?}");
    }
}

#[test]
fn a_directory_whose_stamp_is_unchanged_is_not_listed_but_its_tables_are_looked_at() {
    let mut scene = Scene::new();
    for name in ["a", "b", "c"] {
        scene.save(name, "* * * * * root true\n");
    }
    scene.rescan();
    scene.settle();
    assert_eq!(scene.rescan(), NONE);
    fs::write(scene.path("a"), "").unwrap();
    assert_eq!(scene.rescan(), ["(*system*) RELOAD (/cron.d/a)", "load /cron.d/a 0"], "written in place");
    scene.settle();
    fs::remove_file(scene.path("b")).unwrap();
    scene.save("d", "");
    scene.save("c", "");
    let mut news = scene.rescan();
    news.sort();
    let replaced = ["(*system*) RELOAD (/cron.d/c)", "load /cron.d/c 0", "load /cron.d/d 0", "unload /cron.d/b"];
    assert_eq!(news, replaced);
    scene.settle();
    scene.save("e", "");
    scene.settle();
    assert_eq!(scene.rescan(), NONE, "a stamp that does not tell");
    assert_eq!(scene.rescan_to(Depth::Names), ["load /cron.d/e 0"]);
}

#[test]
fn a_table_that_could_not_be_looked_at_for_a_moment_is_found_again() {
    let mut scene = Scene::new();
    scene.save("a", "* * * * * root true\n");
    scene.rescan();
    scene.settle();
    let (mut news, path) = (Vec::new(), scene.path("a").display().to_string());
    scene.tables.seen.forget(&path, &mut news);
    assert_eq!(scene.words(news), ["unload /cron.d/a"]);
    assert_eq!(scene.rescan(), ["load /cron.d/a 1"]);
}

#[test]
fn a_fault_is_said_once_and_its_neighbours_run() {
    let mut scene = Scene::new();
    scene.save("a", "61 * * * * root true\n* * * * * root true\n");
    let news = scene.rescan();
    assert_eq!(news.len(), 3, "{news:?}");
    assert_eq!(news[0], "(CRON) bad minute (/cron.d/a)");
    assert!(news[1].starts_with("(*system*) ERROR (/cron.d/a:1:1: error: "), "{news:?}");
    assert_eq!(news[2], "load /cron.d/a 1");
    assert_eq!(scene.rescan(), NONE);
}

#[test]
fn faults_without_end_do_not_fill_the_log() {
    let mut scene = Scene::new();
    scene.save("a", &"rubbish\n".repeat(10_000));
    let news = scene.rescan();
    assert_eq!(news.len(), 2 * MOST_SAID + 2);
    assert_eq!(news[2 * MOST_SAID], "(*system*) WARNING (/cron.d/a: 9980 more faults, not listed)");
}

#[test]
fn a_refusal_is_said_once_and_ends_the_old_table() {
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
fn a_link_is_found_by_the_directories_on_its_way() {
    let mut scene = Scene::new();
    let opt = scene.dir.path().join("opt");
    fs::create_dir(&opt).unwrap();
    std::os::unix::fs::symlink(opt.join("real"), scene.path("a")).unwrap();
    assert_eq!(scene.rescan().len(), 1, "a link that leads nowhere is told");
    assert_eq!(scene.tables.mendable(), [scene.path("a")]);
    assert!(scene.tables.directories().contains(&opt));
    fs::write(opt.join("real"), "* * * * * root true\n").unwrap();
    assert_eq!(scene.tables.led_through(&opt), [scene.path("a")]);
    assert_eq!(scene.look("a"), ["load /cron.d/a 1"]);
    assert!(scene.tables.mendable().is_empty());
}

#[test]
fn given_files_are_read_again_when_they_change() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jobs");
    fs::write(&path, "* * * * * true\n").unwrap();
    let given = StandaloneFiles::new(std::slice::from_ref(&path)).unwrap();
    let mut tables = Tables::new(Origin::StandaloneFiles(given), &CRONIE, HostKey(1));
    let rescan = |tables: &mut Tables| {
        let mut news = Vec::new();
        tables.rescan(Depth::Changes, &OnlyUtc, &mut news);
        news.into_iter().map(|news| word(news, &dir.path().display().to_string())).collect::<Vec<_>>()
    };
    assert_eq!(rescan(&mut tables), ["load /jobs 1"]);
    fs::write(&path, "* * * * * true\n* * * * * true\n").unwrap();
    assert_eq!(rescan(&mut tables).last().unwrap(), "load /jobs 2");
    fs::remove_file(&path).unwrap();
    assert_eq!(rescan(&mut tables).last().unwrap(), "unload /jobs");
}

#[test]
fn of_two_changes_that_a_stamp_does_not_tell_apart_the_second_counts() {
    let mut scene = Scene::new();
    let path = scene.path("a");
    let mut take = |text: &str, stamp: Option<Stamp>| {
        fs::write(&path, text).unwrap();
        let Origin::System(finder) = &scene.tables.origin else { panic!("tables of the system") };
        let Look::Table(mut found) = finder.look(&path, &mut scene.tables.users) else { panic!("a table") };
        found.stamp = stamp.unwrap_or(found.stamp);
        let (used, mut news) = (found.stamp, Vec::new());
        let reader = Reader { profile: scene.tables.profile, host: scene.tables.host, zones: &OnlyUtc };
        scene.tables.seen.take(found, &reader, false, &mut news);
        (used, news.into_iter().filter(|news| matches!(news, LoadEvent::Load { .. })).count())
    };
    let just_now = |stamp: Stamp| Stamp { ctime_ns: clock::wall().as_ns(), ..stamp };
    let (stamp, loads) = take("1 * * * * root true\n", None);
    assert_eq!(loads, 1);
    // As on a file system whose stamps advance by whole ticks of the clock.
    let fresh = just_now(stamp);
    take("2 * * * * root true\n", Some(fresh));
    assert_eq!(take("3 * * * * root true\n", Some(fresh)).1, 1);
    assert_eq!(take("3 * * * * root true\n", Some(fresh)).1, 0, "the content is the same");
    // A stamp of long ago vouches for the content.
    let old = Stamp { ctime_ns: fresh.ctime_ns - 10_000_000_000, ..fresh };
    assert_eq!(take("4 * * * * root true\n", Some(old)).1, 1);
    assert_eq!(take("4 * * * * root true\n", Some(old)).1, 0);
    // A look at everything may not pass over what could have changed either.
    take("5 * * * * root true\n", Some(just_now(stamp)));
    let path = scene.path("a").display().to_string();
    assert!(scene.tables.seen.known.get(&path).unwrap().fresh().is_some());
}
