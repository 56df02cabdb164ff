//! What events make of the rows, in whichever order they come; damage, retention, and what viewers see.

use super::event::{
    DaemonStarted, HistoryEvent, RecordedEntry, RecordedOutcome, RunDecided, RunEnded, RunRequested, Slots,
};
use super::journal::{JournaledEvent, Position};
use super::message::Retention;
use super::queries::{RunFilter, Viewer};
use super::schema;
use super::store::{Store, StoreError};
use crate::varlink::Time;
use rusqlite::Connection;

const EVERYTHING: Retention = Retention { days: 0, runs: 0, bytes: 0 };

fn store() -> Store {
    Store::in_memory().unwrap()
}

fn apply(store: &mut Store, events: Vec<HistoryEvent>) {
    let offset = store.position().unwrap().map_or(32, |position| position.offset) + 1;
    let events: Vec<JournaledEvent> =
        events.into_iter().map(|event| JournaledEvent { event: Some(event), bytes: Vec::new() }).collect();
    store.apply(&events, Position { generation: 1, offset }).unwrap();
}

fn entry(job: &str, owner: Option<u32>) -> RecordedEntry {
    RecordedEntry { job: job.into(), user: "u".into(), owner, source: "/t".into(), ..RecordedEntry::default() }
}

fn begun(run: u64, job: &str, at_ms: i64) -> HistoryEvent {
    let owner = job.starts_with("alice").then_some(1000).or(job.starts_with("bob").then_some(1001));
    begun_of(run, job, owner, at_ms)
}

fn begun_of(run: u64, job: &str, owner: Option<u32>, at_ms: i64) -> HistoryEvent {
    HistoryEvent::RunRequested(Box::new(RunRequested {
        run,
        entry: entry(job, owner),
        trigger: "schedule".into(),
        attempt: 1,
        scheduled_at_ms: at_ms,
        at_ms,
    }))
}

fn outcome(word: &str) -> RecordedOutcome {
    RecordedOutcome { outcome: word.into(), ..RecordedOutcome::default() }
}

fn ended(run: u64, word: &str) -> HistoryEvent {
    let ended = RunEnded { run, ended_at_ms: 5000, duration_ms: Some(1500), end: outcome(word), ..RunEnded::default() };
    HistoryEvent::RunEnded(Box::new(ended))
}

fn decided(run: u64, word: &str) -> HistoryEvent {
    HistoryEvent::RunDecided(RunDecided { run, ended_at_ms: 6000, end: outcome(word) })
}

fn daemon(at_ms: i64, boot: &str, live: &[u64], known: &[u64]) -> HistoryEvent {
    HistoryEvent::DaemonStarted(DaemonStarted {
        at_ms,
        boot: boot.into(),
        live: live.to_vec(),
        begun: known.to_vec(),
        begun_since_ms: 0,
        ..DaemonStarted::default()
    })
}

/// The outcomes of all rows, oldest first.
fn outcomes(store: &Store) -> Vec<String> {
    let rows = store.runs(Viewer::Everything, &RunFilter::default(), None, 1000).unwrap();
    rows.into_iter().rev().map(|row| row.record.outcome).collect()
}

#[test]
fn a_run_is_one_row_whatever_comes_twice_or_late() {
    for (events, expected) in [
        (vec![begun(1, "a:b", 1)], "running"),
        (vec![begun(1, "a:b", 1), ended(1, "ok")], "ok"),
        (vec![begun(1, "a:b", 1), begun(1, "a:b", 1), ended(1, "ok"), ended(1, "ok")], "ok"),
        // The rules of the entry have the last word.
        (vec![begun(1, "a:b", 1), ended(1, "failed"), decided(1, "ok")], "ok"),
        (vec![begun(1, "a:b", 1), decided(1, "ok"), ended(1, "failed")], "ok"),
        (vec![begun(1, "a:b", 1), ended(1, "failed"), decided(1, "ok"), ended(1, "failed")], "ok"),
        // Nobody knows better than the executor that it has ended.
        (vec![begun(1, "a:b", 1), ended(1, "ok"), decided(1, "lost")], "ok"),
        (vec![begun(1, "a:b", 1), decided(1, "lost"), ended(1, "ok")], "ok"),
        (vec![begun(1, "a:b", 1), ended(1, "ok"), ended(1, "lost")], "ok"),
        (vec![begun(1, "a:b", 1), ended(1, "lost"), decided(1, "lost")], "lost"),
    ] {
        let (mut at_once, mut one_by_one) = (store(), store());
        apply(&mut at_once, events.clone());
        events.into_iter().for_each(|event| apply(&mut one_by_one, vec![event]));
        for store in [at_once, one_by_one] {
            assert_eq!(outcomes(&store), [expected]);
        }
    }
    // What the history is to keep nothing of has no row.
    let mut store = store();
    apply(&mut store, vec![ended(1, "ok"), decided(1, "ok")]);
    assert_eq!(outcomes(&store), [""; 0]);
}

#[test]
fn a_run_that_goes_on_has_the_time_of_its_start() {
    let mut store = store();
    let started = |at| HistoryEvent::RunStarted { run: 1, started_at_ms: at };
    // A second report changes nothing, and nothing is known of run 2.
    apply(&mut store, vec![begun(1, "a:b", 1_000), started(1_200), started(9_000)]);
    apply(&mut store, vec![HistoryEvent::RunStarted { run: 2, started_at_ms: 5 }]);
    let record = |store: &Store| {
        let rows = store.runs(Viewer::Everything, &RunFilter::default(), None, 10).unwrap();
        rows.into_iter().map(|row| (row.record.outcome, row.record.started_at)).collect::<Vec<_>>()
    };
    assert_eq!(record(&store), [("running".to_owned(), Some(Time::of_ms(1_200)))]);
    // An end that does not know it leaves it.
    apply(&mut store, vec![ended(1, "ok")]);
    assert_eq!(record(&store), [("ok".to_owned(), Some(Time::of_ms(1_200)))]);
}

#[test]
fn a_run_that_is_not_live_when_a_daemon_begins_is_lost_or_never_was() {
    let events = |known: &[u64]| {
        vec![daemon(1, "boot", &[], &[]), begun(1, "a:live", 2), begun(2, "a:gone", 3), daemon(9, "boot", &[1], known)]
    };
    let mut known = store();
    apply(&mut known, events(&[1, 2]));
    assert_eq!(outcomes(&known), ["running", "lost"]);
    // No executor has ever begun it: its slot is handed out again.
    let mut never_begun = store();
    apply(&mut never_begun, events(&[1]));
    assert_eq!(outcomes(&never_begun), ["running"]);
    apply(&mut never_begun, vec![ended(1, "ok"), daemon(20, "other boot", &[], &[])]);
    assert_eq!(outcomes(&never_begun), ["ok"]);
    apply(&mut known, vec![daemon(20, "other boot", &[], &[])]);
    assert_eq!(outcomes(&known), ["lost", "lost"]);
}

#[test]
fn the_time_between_two_daemons_is_one_row() {
    let mut store = store();
    apply(&mut store, vec![daemon(1_000, "boot", &[], &[]), begun(1, "a:b", 2_000), daemon(9_000, "boot", &[1], &[])]);
    apply(&mut store, vec![HistoryEvent::DaemonEnded { at_ms: 10_000 }, daemon(11_000, "boot", &[], &[1])]);
    apply(&mut store, vec![daemon(20_000, "next", &[], &[])]);
    let mut statement = store.connection().prepare("SELECT began_at, ended_at, cause FROM downtimes").unwrap();
    let rows: Vec<(i64, i64, String)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let expected = [(2_000, 9_000, "killed"), (10_000, 11_000, "stopped"), (11_000, 20_000, "machine down")];
    assert_eq!(rows, expected.map(|(from, to, cause)| (from, to, cause.to_owned())));
}

#[test]
fn slots_in_a_row_without_a_run_are_one_row() {
    let slots = |count: u64, first_ms: i64, last_ms: i64, word: &str| {
        let end = RecordedOutcome { reason: Some(word.into()), ..outcome("skipped") };
        let entry = entry("alice:a", Some(1000));
        HistoryEvent::Slots(Box::new(Slots { entry, trigger: "schedule".into(), first_ms, last_ms, count, end }))
    };
    let mut store = store();
    apply(&mut store, vec![slots(1, 60, 60, "paused"), slots(5, 60, 300, "paused"), slots(5, 60, 300, "paused")]);
    apply(&mut store, vec![slots(1, 60, 60, "paused"), slots(1, 360, 360, "still running")]);
    let rows = store.runs(Viewer::Owner(1000), &RunFilter::default(), None, 10).unwrap();
    let shown: Vec<_> =
        rows.iter().map(|row| (row.record.count, row.record.until.map(|until| until.0 / 1000))).collect();
    assert_eq!(shown, [(1, None), (5, Some(300))]);
    // An entry that is gone is described by its last row.
    let gone = Slots {
        entry: RecordedEntry { job: "alice:a".into(), ..RecordedEntry::default() },
        count: 1,
        first_ms: 900,
        ..Slots::default()
    };
    apply(&mut store, vec![HistoryEvent::Slots(Box::new(gone))]);
    let newest = &store.runs(Viewer::Owner(1000), &RunFilter::default(), None, 1).unwrap()[0].record;
    assert_eq!((newest.source.as_str(), newest.user.as_str()), ("/t", "u"));
}

#[test]
fn output_is_kept_with_its_run_and_events_of_later_versions_are_skipped() {
    let mut store = store();
    apply(&mut store, vec![begun(7, "alice:a", 1)]);
    let output = |run| HistoryEvent::Output { run, head: 4, cut: 9 };
    let events = [
        JournaledEvent { event: Some(output(7)), bytes: b"headtail".to_vec() },
        JournaledEvent { event: None, bytes: Vec::new() },
        JournaledEvent { event: Some(output(8)), bytes: b"x".to_vec() },
    ];
    store.apply(&events, Position { generation: 1, offset: 99 }).unwrap();
    let found = store.output(Viewer::Owner(1000), 7).unwrap().unwrap();
    assert_eq!((found.head.as_slice(), found.tail.as_slice(), found.cut), (b"head".as_slice(), b"tail".as_slice(), 9));
    assert_eq!(store.position().unwrap(), Some(Position { generation: 1, offset: 99 }));
}

#[test]
fn an_owner_sees_the_rows_of_the_own_crontab_only() {
    let mut store = store();
    apply(&mut store, vec![begun(1, "alice:a", 1), begun(2, "bob:b", 2), begun(3, "root:c", 3), ended(1, "ok")]);
    let jobs = |viewer| {
        let rows = store.runs(viewer, &RunFilter::default(), None, 10).unwrap();
        rows.into_iter().map(|row| row.record.job).collect::<Vec<_>>()
    };
    assert_eq!(jobs(Viewer::Everything), ["root:c", "bob:b", "alice:a"]);
    assert_eq!(jobs(Viewer::Owner(1000)), ["alice:a"]);
    assert_eq!(jobs(Viewer::Owner(7)), [""; 0]);
    for (viewer, run, is_seen) in [
        (Viewer::Owner(1000), 1, true),
        (Viewer::Owner(1000), 2, false),
        (Viewer::Owner(0), 3, false),
        (Viewer::Everything, 3, true),
    ] {
        assert_eq!(store.run(viewer, run).unwrap().is_some(), is_seen, "{viewer:?} {run}");
        assert_eq!(store.output(viewer, run).unwrap().is_some(), is_seen, "{viewer:?} {run}");
    }
    assert!(store.summary(Viewer::Owner(1001), "alice:a").unwrap().is_none());
    let summary = store.summary(Viewer::Owner(1000), "alice:a").unwrap().unwrap();
    assert_eq!((summary.runs, summary.ok, summary.mean), (1, 1, Some(1.5)));
    // Where a run of somebody else lies in the order is not to be seen either.
    let before = |run| RunFilter { before: Some(run), ..RunFilter::default() };
    assert_eq!(store.runs(Viewer::Owner(1000), &before(3), None, 10).unwrap().len(), 0);
    assert_eq!(store.runs(Viewer::Everything, &before(3), None, 10).unwrap().len(), 2);
    // A job of that name was somebody else's once.
    apply(&mut store, vec![begun_of(4, "alice:a", Some(1001), 4), ended(4, "ok")]);
    assert_eq!(store.summary(Viewer::Owner(1000), "alice:a").unwrap().unwrap().runs, 1);
    assert_eq!(store.summary(Viewer::Everything, "alice:a").unwrap().unwrap().runs, 2);
}

#[test]
fn rows_are_filtered_and_paged_newest_first() {
    let mut store = store();
    for run in 1..=10 {
        apply(
            &mut store,
            vec![begun(run, "alice:a", run as i64 * 1000), ended(run, if run % 2 == 0 { "ok" } else { "failed" })],
        );
    }
    let runs = |filter: RunFilter, after, most| {
        let rows = store.runs(Viewer::Everything, &filter, after, most).unwrap();
        rows.into_iter().filter_map(|row| row.record.run).collect::<Vec<_>>()
    };
    let filter = RunFilter::default;
    assert_eq!(runs(filter(), None, 3), [10, 9, 8]);
    let third = store.runs(Viewer::Everything, &filter(), None, 3).unwrap().pop().map(|row| row.place);
    assert_eq!(runs(filter(), third, 2), [7, 6]);
    assert_eq!(runs(RunFilter { outcome: Some("failed".into()), ..filter() }, None, 2), [9, 7]);
    assert_eq!(runs(RunFilter { since_ms: Some(3000), until_ms: Some(5000), ..filter() }, None, 9), [4, 3]);
    assert_eq!(runs(RunFilter { before: Some(3), ..filter() }, None, 9), [2, 1]);
    assert_eq!(runs(RunFilter { user: Some("nobody".into()), ..filter() }, None, 9), [0_u64; 0]);
}

#[test]
fn a_later_page_reads_no_row_of_the_pages_before_it() {
    let mut store = store();
    apply(&mut store, (1..=5000).map(|run| begun(run, "alice:a", run as i64)).collect());
    let page = store.runs(Viewer::Everything, &RunFilter::default(), None, 4990).unwrap();
    for filter in [
        RunFilter { since_ms: Some(0), until_ms: Some(9000), ..RunFilter::default() },
        RunFilter { before: Some(5000), ..RunFilter::default() },
    ] {
        let place = page.last().map(|row| row.place);
        // A time limit of 0 is looked at after a thousand steps.
        let rows = store.ask(0, |store| store.runs(Viewer::Everything, &filter, place, 2)).unwrap();
        assert_eq!(rows.iter().filter_map(|row| row.record.run).collect::<Vec<_>>(), [10, 9], "{filter:?}");
    }
}

#[test]
fn a_question_that_takes_too_long_is_interrupted() {
    let mut store = store();
    apply(&mut store, (1..=5000).map(|run| begun(run, "alice:a", run as i64)).collect());
    let nobody = RunFilter { job: Some("alice:a".into()), user: Some("nobody".into()), ..RunFilter::default() };
    let ask = |until_ms| store.ask(until_ms, |store| store.runs(Viewer::Everything, &nobody, None, 10));
    let refused = ask(0).unwrap_err();
    assert_eq!(refused.sqlite_error_code(), Some(rusqlite::ErrorCode::OperationInterrupted));
    assert_eq!(ask(i64::MAX).unwrap().len(), 0);
    // Nothing is left of the limit.
    apply(&mut store, (1..=5000).map(|run| ended(run, "ok")).collect());
}

#[test]
fn the_rows_of_a_user_are_found_by_an_index_also_in_a_database_of_an_earlier_version() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Store::open(directory.path(), 1).unwrap().store;
    // What this version has added.
    store.connection().execute_batch("DROP INDEX runs_by_user; PRAGMA user_version = 2").unwrap();
    apply(&mut store, (1..=5000).map(|run| begun(run, "bob:a", run as i64)).collect());
    store.connection().execute_batch("UPDATE runs SET user = 'v' WHERE run = 7").unwrap();
    let of_user = RunFilter { user: Some("v".into()), ..RunFilter::default() };
    // A time limit of 0 is examined after a thousand steps.
    let ask =
        |store: &Store| store.ask(0, |store| store.runs(Viewer::Everything, &of_user, None, 10)).map(|rows| rows.len());
    assert!(ask(&store).is_err());
    drop(store);
    let store = Store::open(directory.path(), 1).unwrap().store;
    assert_eq!(ask(&store).unwrap(), 1);
    assert_eq!(schema::version(store.connection()).unwrap(), schema::VERSION);
}

#[test]
fn a_daemon_that_knows_the_rules_corrects_what_one_that_was_killed_has_recorded() {
    let end_by_rules = |word: &str| {
        let HistoryEvent::RunEnded(end) = ended(1, word) else { unreachable!() };
        HistoryEvent::RunEnded(Box::new(RunEnded { is_by_rules: true, ..*end }))
    };
    for (first, decided_as, last, expected) in
        [("failed", None, "ok", "ok"), ("ok", None, "failed", "failed"), ("signal", Some("killed"), "failed", "killed")]
    {
        let mut store = store();
        apply(&mut store, vec![begun(1, "alice:a", 1), ended(1, first)]);
        apply(&mut store, decided_as.map(|word| decided(1, word)).into_iter().collect());
        apply(&mut store, vec![end_by_rules(last)]);
        // One that does not know them changes nothing.
        apply(&mut store, vec![ended(1, first)]);
        assert_eq!(outcomes(&store).len(), 1);
        assert!(outcomes(&store)[0].contains(expected), "{:?}", outcomes(&store));
    }
}

#[test]
fn what_becomes_of_hooks_is_added_once_each_and_bounded() {
    let mut store = store();
    let hook = |text: &str| HistoryEvent::FollowedUp { run: 1, text: text.to_owned() };
    apply(
        &mut store,
        vec![begun(1, "alice:a", 1), ended(1, "failed"), hook("failure: exit 0\ntold"), hook("ping fail: exit 1")],
    );
    // The executor has reported it to a second daemon, too.
    apply(&mut store, vec![hook("failure: exit 0\ntold")]);
    let hooks = |store: &Store| store.run(Viewer::Owner(1000), 1).unwrap().unwrap().record.hooks.unwrap();
    assert_eq!(hooks(&store), "failure: exit 0\ntold\nping fail: exit 1");
    for number in 0..100 {
        apply(&mut store, vec![hook(&format!("late: {number}{}", "x".repeat(4_000)))]);
    }
    assert!((32 << 10..40 << 10).contains(&hooks(&store).len()));
}

fn trim(store: &mut Store, keep: Retention, now_ms: i64) {
    for _ in 0..10_000 {
        if !store.trim(keep, now_ms).unwrap() {
            return;
        }
    }
    panic!("no end");
}

#[test]
fn a_step_gives_back_many_free_pages() {
    let mut store = store();
    apply(&mut store, (1..=2000).map(|run| begun(run, "alice:many", run as i64)).collect());
    store.connection().execute_batch("DELETE FROM runs").unwrap();
    let free =
        |store: &Store| -> i64 { store.connection().query_row("PRAGMA freelist_count", [], |row| row.get(0)).unwrap() };
    let before = free(&store);
    assert!(before > 50, "{before}");
    store.trim(EVERYTHING, 0).unwrap();
    assert_eq!(free(&store), (before - 200).max(0));
}

#[test]
fn old_rows_and_rows_above_the_number_for_a_job_are_deleted() {
    let mut store = store();
    let day = 86_400_000;
    let events =
        (1..=2000).map(|run| begun(run, if run <= 1900 { "alice:many" } else { "bob:few" }, run as i64 * day / 100));
    apply(&mut store, events.collect());
    let others = (1..=2000).filter(|run| *run != 5).map(|run| ended(run, "ok"));
    apply(&mut store, others.collect());
    trim(&mut store, Retention { runs: 300, ..EVERYTHING }, 0);
    // The run in progress stays.
    assert_eq!(outcomes(&store).len(), 300 + 100 + 1);
    trim(&mut store, Retention { days: 2, ..EVERYTHING }, 20 * day);
    assert_eq!(outcomes(&store).len(), 200 + 1 + 1);
    let bytes: i64 = store.connection().query_row("SELECT sum(bytes) FROM owners", [], |row| row.get(0)).unwrap();
    let sizes: i64 = store.connection().query_row("SELECT sum(size) FROM runs", [], |row| row.get(0)).unwrap();
    assert_eq!(bytes, sizes);
}

#[test]
fn a_full_database_takes_from_the_owner_with_most() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Store::open(directory.path(), 1).unwrap().store;
    let output = |run| JournaledEvent {
        event: Some(HistoryEvent::Output { run, head: 30_000, cut: 0 }),
        bytes: vec![b'x'; 30_000],
    };
    for run in 1..=200 {
        let job = if run % 20 == 0 { "bob:b" } else { "alice:a" };
        apply(&mut store, vec![begun(run, job, run as i64), ended(run, "ok")]);
        store.apply(&[output(run)], Position { generation: 1, offset: 100 + run }).unwrap();
    }
    let file = directory.path().join("history.db");
    trim(&mut store, Retention { bytes: 2 << 20, ..EVERYTHING }, 0);
    let count = |viewer| store.runs(viewer, &RunFilter::default(), None, 1000).unwrap().len();
    assert_eq!(count(Viewer::Owner(1001)), 10, "the other owner keeps all rows");
    assert!((10..60).contains(&count(Viewer::Owner(1000))), "{}", count(Viewer::Owner(1000)));
    store.connection().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let size = std::fs::metadata(file).unwrap().len();
    assert!(size < 3 << 20, "{size}");
}

fn control(uid: u32, text: &str) -> HistoryEvent {
    HistoryEvent::Control {
        at_ms: 1,
        uid,
        by: "u".into(),
        action: "run".into(),
        job: None,
        run: None,
        text: text.into(),
    }
}

#[test]
fn what_somebody_asks_for_displaces_nothing_of_others() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Store::open(directory.path(), 1).unwrap().store;
    apply(&mut store, (1..=100).flat_map(|run| [begun(run, "bob:b", run as i64), ended(run, "ok")]).collect());
    apply(&mut store, vec![control(1001, "of bob")]);
    let text = "x".repeat(2000);
    apply(&mut store, (0..3000).map(|_| control(1000, &text)).collect());
    let actions = |store: &Store, uid: u32| -> i64 {
        store.connection().query_row("SELECT count(*) FROM actions WHERE uid = ?1", [uid], |row| row.get(0)).unwrap()
    };
    assert_eq!((actions(&store, 1000), actions(&store, 1001)), (super::store::MOST_ACTIONS, 1));
    trim(&mut store, Retention { bytes: 1 << 20, ..EVERYTHING }, 0);
    assert_eq!((outcomes(&store).len(), actions(&store, 1001)), (100, 1));
    assert!((1..600).contains(&actions(&store, 1000)), "{}", actions(&store, 1000));
    let bytes: i64 = store.connection().query_row("SELECT sum(bytes) FROM owners", [], |row| row.get(0)).unwrap();
    let sql = "SELECT (SELECT sum(size) FROM runs) + (SELECT sum(size) FROM actions)";
    let sizes: i64 = store.connection().query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(bytes, sizes);
}

#[test]
fn a_damaged_database_is_put_aside_and_only_the_last_one_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    for now in [100, 200] {
        let mut store = Store::open(directory.path(), now).unwrap().store;
        apply(&mut store, (1..=500).map(|run| begun(run, "alice:a", 1)).collect());
        drop(store);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[5000..20_000].fill(0xaa);
        std::fs::write(&path, bytes).unwrap();
        let opened = Store::open(directory.path(), now).unwrap();
        let aside = opened.put_aside.clone().unwrap();
        assert!(aside.ends_with(format!("history.db.corrupt-{now}")) && aside.exists());
        assert_eq!(outcomes(&opened.store), [""; 0]);
        drop(opened);
        std::fs::remove_file(&path).unwrap();
    }
    let aside = |name: &std::ffi::OsStr| name.to_string_lossy().contains("corrupt");
    let names = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.filter(|name| aside(name)).collect::<Vec<_>>(), ["history.db.corrupt-200"]);
    // Something that is no database at all.
    std::fs::write(&path, vec![b'?'; 8192]).unwrap();
    assert!(Store::open(directory.path(), 300).unwrap().put_aside.is_some());
}

#[test]
fn a_database_of_a_later_version_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.db");
    drop(Store::open(directory.path(), 1).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 77).unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(Store::open(directory.path(), 1), Err(StoreError::Newer(77))));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

/// The figures for a million rows. Run with `cargo test --release --lib history -- --ignored --nocapture`.
#[test]
#[ignore = "takes a minute; for figures"]
fn a_million_rows() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Store::open(directory.path(), 1).unwrap().store;
    let day = 86_400_000_i64;
    let clock = crate::sys::clock::monotonic_us;
    let began = clock();
    for batch in 0..2_000_u64 {
        let runs = batch * 500 + 1..=batch * 500 + 500;
        let at = |run: u64| run as i64 * (90 * day / 1_000_000);
        let begins = runs.clone().map(|run| begun(run, &format!("alice:job{}", run % 1000), at(run)));
        let ends = runs.map(|run| ended(run, if run % 50 == 0 { "failed" } else { "ok" }));
        apply(&mut store, begins.chain(ends).collect());
    }
    println!(
        "written: {} s, {} MB",
        (clock() - began) / 1_000_000,
        std::fs::metadata(directory.path().join("history.db")).unwrap().len() >> 20
    );
    let measure = |what: &str, question: &dyn Fn() -> usize| {
        let began = clock();
        let count = question();
        println!("{what}: {count} rows, {} us", clock() - began);
    };
    let of_job = RunFilter { job: Some("alice:job7".into()), ..RunFilter::default() };
    for viewer in [Viewer::Everything, Viewer::Owner(1000)] {
        measure("last 50 of a job", &|| store.runs(viewer, &of_job, None, 50).unwrap().len());
        measure("last 50", &|| store.runs(viewer, &RunFilter::default(), None, 50).unwrap().len());
        let failed = RunFilter { outcome: Some("failed".into()), ..of_job.clone() };
        measure("last 50 failures of a job", &|| store.runs(viewer, &failed, None, 50).unwrap().len());
        measure("summary of a job", &|| {
            store.summary(viewer, "alice:job7").unwrap().map_or(0, |summary| summary.runs as usize)
        });
        let today = RunFilter { since_ms: Some(89 * day), ..RunFilter::default() };
        measure("a day", &|| store.runs(viewer, &today, None, 100_000).unwrap().len());
        let early = RunFilter { since_ms: Some(day), until_ms: Some(2 * day), ..RunFilter::default() };
        measure("an early day", &|| store.runs(viewer, &early, None, 50).unwrap().len());
    }
    measure("outcomes of a day", &|| {
        let sql = "SELECT outcome, count(*) FROM runs WHERE scheduled_at >= ?1 GROUP BY outcome";
        let mut statement = store.connection().prepare(sql).unwrap();
        statement.query_map([89 * day], |_| Ok(())).unwrap().count()
    });
    let began = clock();
    let mut longest = 0;
    for _ in 0..200 {
        let step = clock();
        store.trim(Retention { days: 30, runs: 500, bytes: 64 << 20 }, 90 * day).unwrap();
        longest = longest.max(clock() - step);
    }
    println!("200 steps of retention: {} ms, the longest {} us", (clock() - began) / 1000, longest);
}
