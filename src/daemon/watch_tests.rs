//! Watches of directories: which changes of files and paths are reported.

use super::*;
use crate::sys::poll::Poll;
use std::fs;

struct Scene {
    top: tempfile::TempDir,
    watcher: Watcher,
    wanted: BTreeSet<PathBuf>,
}

impl Scene {
    fn new(directory: &str) -> Scene {
        let top = tempfile::tempdir().unwrap();
        let wanted = BTreeSet::from([top.path().join(directory)]);
        Scene { watcher: Watcher::new().unwrap(), wanted, top }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.top.path().join(name)
    }

    fn watch(&mut self) -> bool {
        self.watcher.watch(&self.wanted, &BTreeSet::new()).unwrap()
    }

    /// Collects hints until there are the wanted ones: events arrive in their order.
    fn hints_until(&mut self, is_last: impl Fn(&Hints) -> bool) -> Hints {
        let poll = Poll::new().unwrap();
        poll.add(self.watcher.notifier(), 1).unwrap();
        let mut all = Hints::default();
        while !is_last(&all) {
            assert!(poll.wait_for_any(Some(10_000)).unwrap(), "missing hints: {all:?}");
            let more = self.watcher.take();
            all.complete.extend(more.complete);
            all.incomplete.extend(more.incomplete);
            all.removed.extend(more.removed);
            all.anything |= more.anything;
            all.lost_directory |= more.lost_directory;
        }
        all
    }

    fn hints_until_settled(&mut self, last: &Path) -> Hints {
        self.hints_until(|hints| hints.complete.contains(last))
    }
}

#[test]
fn saved_files_are_reported_and_read_files_are_not() {
    let mut scene = Scene::new("tables");
    let dir = scene.path("tables");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("read"), "").unwrap();
    assert!(scene.watch());
    fs::read(dir.join("read")).unwrap();
    fs::write(scene.path("new"), "x").unwrap();
    fs::rename(scene.path("new"), dir.join("moved")).unwrap();
    fs::write(dir.join("written"), "x").unwrap();
    let hints = scene.hints_until_settled(&dir.join("written"));
    assert!(hints.complete.contains(&dir.join("moved")), "{hints:?}");
    assert!(!hints.complete.contains(&dir.join("read")), "{hints:?}");
    assert!(!scene.watch(), "it is watched already");
}

#[test]
fn reading_wakes_nobody() {
    let mut scene = Scene::new("tables");
    let dir = scene.path("tables");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("read"), "").unwrap();
    scene.watch();
    let handled_events = Arc::new(Mutex::new(Vec::new()));
    let seen = handled_events.clone();
    // The same mask as that of the watcher, whose handler would drop such events.
    let config = notify::Config::default().with_event_kinds(EVENT_KINDS);
    let handler = move |event: notify::Result<Event>| seen.lock().unwrap().push(event.unwrap().kind);
    let mut notify = INotifyWatcher::new(handler, config).unwrap();
    notify.watch(&dir, RecursiveMode::NonRecursive).unwrap();
    for _ in 0..1000 {
        fs::read(dir.join("read")).unwrap();
    }
    fs::remove_file(dir.join("read")).unwrap();
    scene.hints_until_settled(&dir.join("read"));
    let deadline = crate::sys::clock::monotonic_ms() + 10_000;
    while handled_events.lock().unwrap().is_empty() && crate::sys::clock::monotonic_ms() < deadline {
        std::thread::yield_now();
    }
    let kinds = handled_events.lock().unwrap().clone();
    assert!(matches!(kinds[..], [EventKind::Remove(_)]), "{kinds:?}");
}

#[test]
fn a_missing_directory_is_awaited_step_by_step() {
    let mut scene = Scene::new("a/b/tables");
    assert!(!scene.watch());
    for (name, is_there) in [("a", false), ("a/b", false), ("a/b/tables", true)] {
        let path = scene.path(name);
        fs::create_dir(&path).unwrap();
        scene.hints_until(|hints| hints.incomplete.contains(&path));
        assert_eq!(scene.watch(), is_there, "{name}");
    }
    fs::rename(scene.path("a/b/tables"), scene.path("away")).unwrap();
    assert!(scene.hints_until(|hints| hints.lost_directory).complete.contains(&scene.path("a/b/tables")));
    assert!(!scene.watch());
    fs::rename(scene.path("away"), scene.path("a/b/tables")).unwrap();
    scene.hints_until_settled(&scene.path("a/b/tables"));
    assert!(scene.watch());
    let file = scene.path("a/b/tables/file");
    fs::write(&file, "").unwrap();
    scene.hints_until_settled(&file);
}

#[test]
fn a_removed_directory_is_reported_and_its_successor_can_be_watched() {
    let mut scene = Scene::new("tables");
    let dir = scene.path("tables");
    for _ in 0..3 {
        fs::create_dir(&dir).unwrap();
        assert!(scene.watch());
        fs::write(dir.join("file"), "").unwrap();
        scene.hints_until_settled(&dir.join("file"));
        fs::remove_dir_all(&dir).unwrap();
        scene.hints_until(|hints| hints.lost_directory);
    }
}

#[test]
fn a_watched_directory_below_one_that_is_moved_away_is_watched_again() {
    let mut scene = Scene::new("a/tables");
    scene.wanted.insert(scene.path("a"));
    scene.wanted.insert(scene.path("missing"));
    fs::create_dir_all(scene.path("a/tables")).unwrap();
    assert!(scene.watch());
    fs::rename(scene.path("a"), scene.path("away")).unwrap();
    scene.hints_until(|hints| hints.lost_directory);
    fs::rename(scene.path("away"), scene.path("a")).unwrap();
    scene.hints_until_settled(&scene.path("a"));
    assert!(scene.watch());
    let file = scene.path("a/tables/file");
    fs::write(&file, "").unwrap();
    scene.hints_until_settled(&file);
}

#[test]
fn a_directory_with_two_names_is_reported_under_both() {
    let mut scene = Scene::new("tables");
    fs::create_dir(scene.path("tables")).unwrap();
    std::os::unix::fs::symlink("tables", scene.path("alias")).unwrap();
    scene.wanted.insert(scene.path("alias"));
    assert!(scene.watch());
    fs::write(scene.path("tables/file"), "").unwrap();
    let both = [scene.path("alias/file"), scene.path("tables/file")];
    scene.hints_until(|hints| both.iter().all(|path| hints.complete.contains(path)));
    scene.wanted.remove(&scene.path("alias"));
    assert!(!scene.watch());
    fs::write(scene.path("tables/other"), "").unwrap();
    let hints = scene.hints_until_settled(&scene.path("tables/other"));
    assert!(!hints.complete.contains(&scene.path("alias/other")), "{hints:?}");
}

#[test]
fn a_written_file_settles_when_it_is_closed() {
    let path = PathBuf::from("/x");
    let event = |kind| Ok(Event::new(kind).add_path("/x".into()));
    let mut hints = Hints::default();
    assert!(hints.add(event(EventKind::Create(notify::event::CreateKind::File))));
    assert!(hints.incomplete.contains(&path) && hints.complete.is_empty());
    assert!(hints.add(event(EventKind::Access(AccessKind::Close(AccessMode::Write)))));
    assert!(hints.complete.contains(&path) && hints.incomplete.is_empty());
    assert!(!hints.add(event(EventKind::Access(AccessKind::Open(AccessMode::Any)))));
    assert!(hints.add(event(EventKind::Modify(ModifyKind::Data(notify::event::DataChange::Any)))));
    assert!(hints.incomplete.contains(&path) && hints.complete.is_empty(), "written once more");
}

#[test]
fn too_many_hints_and_lost_events_mean_that_anything_may_have_changed() {
    let mut hints = Hints::default();
    for number in 0..=MOST_PATHS {
        hints.add_complete(PathBuf::from(number.to_string()));
    }
    assert!(hints.anything && hints.complete.is_empty());
    let mut hints = Hints::default();
    let overflow = Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
    assert!(hints.add(Ok(overflow)) && hints.anything);
}
