//! Which entry has which name: the same in whatever order tables are loaded.

use crate::setup::{Machine, command, commands, ended, source, started, system_table, table, time};
use cronwheel::schedule::Zone;
use cronwheel::scheduler::{Action, Event, JobId, Now, Owner, RunOutcome, Scheduler, Source};
use std::collections::BTreeMap;

fn now() -> Now {
    Now { utc: time("2026-05-01T00:00:00Z"), elapsed_ms: 0 }
}

/// A scheduler with these tables of alice, and the warnings about them.
struct Names {
    scheduler: Scheduler,
    warnings: Vec<String>,
    is_standalone: bool,
}

impl Names {
    fn new(is_standalone: bool) -> Names {
        let mut scheduler = Scheduler::new(Zone::utc(), now());
        scheduler.set_caller("alice");
        let (started, running) = (Vec::new(), Vec::new());
        scheduler.handle(
            Event::DaemonStarted { boot: false, completed: None, started, running, saved: Box::default() },
            now(),
        );
        Names { scheduler, warnings: Vec::new(), is_standalone }
    }

    fn tell(&mut self, event: Event) {
        for action in self.scheduler.handle(event, now()) {
            if let Action::WarnOfEntry(warning) = action {
                self.warnings.push(format!("{}:{}", warning.source.path, warning.line));
            }
        }
    }

    fn load(&mut self, path: &str, text: &str) {
        let source = match self.is_standalone {
            true => Source { path: path.into(), name: "alice".into(), owner: Owner::Caller },
            false => source(path),
        };
        self.tell(Event::Load { source, table: table(text) });
    }

    fn unload(&mut self, path: &str) {
        self.tell(Event::Unload { path: path.to_owned() });
    }

    /// The name of each entry, by its table and line.
    fn names(&self) -> BTreeMap<String, String> {
        let name = |live: cronwheel::scheduler::Live<'_>| {
            let id = live.id().expect("an id");
            assert_eq!(self.scheduler.find_entry(&id).map(|live| live.line()), Some(live.line()), "{id}");
            assert_eq!(self.scheduler.find_job(id.as_str()), Ok(id.clone()));
            (format!("{}:{}", live.source().path, live.line()), id.name().to_owned())
        };
        self.scheduler.entries().map(name).collect()
    }
}

/// The names after loading two tables in either order, which must not matter.
fn names_of(is_standalone: bool, tables: [(&str, &str); 2]) -> (BTreeMap<String, String>, Names) {
    let [one, other] = tables;
    let mut first = Names::new(is_standalone);
    first.load(one.0, one.1);
    first.load(other.0, other.1);
    let mut second = Names::new(is_standalone);
    second.load(other.0, other.1);
    second.load(one.0, one.1);
    assert_eq!(first.names(), second.names());
    assert_eq!(first.warnings, second.warnings);
    (first.names(), first)
}

fn derived(command: &str) -> String {
    JobId::derive("user", "alice", command.as_bytes(), 1).name().to_owned()
}

#[test]
fn of_equal_names_the_first_table_by_path_keeps_it_and_a_warning_says_so() {
    let (names, mut live) =
        names_of(false, [("/a", "CRON_NAME=dup\n0 1 * * * one\n"), ("/b", "\nCRON_NAME=dup\n0 1 * * * two\n")]);
    assert_eq!((&*names["/a:2"], &*names["/b:3"]), ("dup", &*derived("two")));
    assert_eq!(live.warnings, ["/b:3"]);
    // The name is free at once when its holder is gone.
    live.unload("/a");
    assert_eq!(live.names()["/b:3"], "dup");
    live.load("/a", "CRON_NAME=other\n0 1 * * * one\n");
    assert_eq!(live.names()["/b:3"], "dup");
    live.load("/a", "CRON_NAME=dup\n0 1 * * * one\n");
    assert_eq!((&*live.names()["/a:2"], &*live.names()["/b:3"]), ("dup", &*derived("two")));
}

#[test]
fn a_name_that_another_entry_has_from_its_command_is_taken() {
    let named = format!("CRON_NAME={}\n0 1 * * * one\n", derived("two"));
    let plain = "0 1 * * * two\n";
    let (names, mut live) = names_of(false, [("/a", &named), ("/b", plain)]);
    assert_eq!((names["/a:2"].clone(), names["/b:1"].clone()), (derived("two"), format!("{}-2", derived("two"))));
    live.unload("/a");
    assert_eq!(live.names()["/b:1"], derived("two"));
    let (names, _) = names_of(false, [("/a", plain), ("/b", &named)]);
    assert_eq!((names["/a:1"].clone(), names["/b:2"].clone()), (derived("two"), derived("one")));
}

#[test]
fn files_of_one_base_name_have_different_jobs() {
    let text = "0 1 * * * same\n0 2 * * * same\nCRON_NAME=n\n0 3 * * * same\n";
    let (names, mut live) = names_of(true, [("a/t", text), ("b/t", text)]);
    let base = |position| JobId::derive("t", "alice", b"same", position).name().to_owned();
    for (place, expected) in [
        ("a/t:1", base(1)),
        ("a/t:2", base(2)),
        ("a/t:4", "n".to_owned()),
        ("b/t:1", format!("{}-2", base(1))),
        ("b/t:2", format!("{}-2", base(2))),
        ("b/t:4", format!("{}-2", base(3))),
    ] {
        assert_eq!(names[place], expected, "{place}");
    }
    live.unload("a/t");
    assert_eq!(live.names()["b/t:1"], base(1));
    assert_eq!(live.names()["b/t:4"], "n");
}

/// The warnings about tables of the system that are loaded before the begin.
fn warnings(tables: &[(&str, &str)]) -> Vec<String> {
    let mut scheduler = Scheduler::new(Zone::utc(), now());
    let system = |path: &str| Source { path: path.into(), name: "*system*".into(), owner: Owner::System };
    let mut actions = Vec::new();
    for (path, text) in tables {
        actions.extend(scheduler.handle(Event::Load { source: system(path), table: system_table(text) }, now()));
    }
    let (started, running) = (Vec::new(), Vec::new());
    let begin = Event::DaemonStarted { boot: false, completed: None, started, running, saved: Box::default() };
    actions.extend(scheduler.handle(begin, now()));
    let warning = |action| match action {
        Action::WarnOfEntry(warning) => Some(format!("{}:{} {}", warning.source.path, warning.line, warning.message)),
        _ => None,
    };
    actions.into_iter().filter_map(warning).collect()
}

#[test]
fn jobs_of_other_tables_are_known_to_after_and_cycles_over_tables_are_found() {
    let base = ("/b", "CRON_NAME=base\n0 1 * * * alice x\n");
    assert_eq!(warnings(&[("/a", "@after alice:base alice y\n"), base]), [] as [&str; 0]);
    let [unknown] = warnings(&[("/a", "@after alice:bose alice y\n"), base]).try_into().expect("one warning");
    assert!(unknown.starts_with("/a:1 @after: no job has the name alice:bose"), "{unknown}");
    let cycle = warnings(&[
        ("/a", "CRON_NAME=one\n@after alice:two alice x\n"),
        ("/b", "CRON_NAME=two\n@after alice:one alice y\n"),
    ]);
    assert!(cycle.len() == 2 && cycle.iter().all(|text| text.contains("neither ever runs")), "{cycle:?}");
}

#[test]
fn a_long_chain_of_jobs_is_loaded_in_a_short_time() {
    // Each job needs the one before. To follow all of them from each would take an hour.
    let entry = |number: usize| match number {
        0 => "CRON_NAME=n0\n0 1 * * * alice x\n".to_owned(),
        _ => format!("CRON_NAME=n{number}\n@after alice:n{} alice x\n", number - 1),
    };
    let text: String = (0..50_000).map(entry).collect();
    assert_eq!(warnings(&[("/a", &text)]), [] as [&str; 0]);
}

#[test]
fn one_group_with_different_numbers_of_runs_is_a_warning() {
    let two = "CRON_GROUP=g,2\n0 1 * * * root x\n0 2 * * * root y\n";
    assert_eq!(warnings(&[("/a", two), ("/b", two)]), [] as [&str; 0]);
    let found = warnings(&[("/a", two), ("/b", "CRON_GROUP=g\n0 1 * * * root z\n")]);
    assert_eq!(
        found,
        [
            "/a:2 the group g has 2 runs at once here, and 1 run in /b; the smallest number holds",
            "/b:2 the group g has 1 run at once here, and 2 runs in /a; the smallest number holds",
        ]
    );
}

#[test]
fn a_name_passes_to_another_entry_without_what_waits_for_it() {
    let retried = "CRON_NAME=dup\nCRON_RETRY=1,60s\n0 0 * * * two\n";
    let other = "CRON_NAME=dup\nCRON_RETRY=1,60s\n0 1 * * * one\n";
    for is_given_up in [false, true] {
        let mut machine = Machine::with_table("", "2026-04-30T23:59:30Z");
        // The first by path has the name.
        let (path, path_of_other) = if is_given_up { ("/a", "/b") } else { ("/b", "/a") };
        if is_given_up {
            machine.load(path_of_other, other);
        }
        machine.load(path, retried);
        let actions = machine.run(60);
        let [run] = started(&actions).try_into().expect("one run");
        assert_eq!((command(run), run.job.name()), ("two".to_owned(), "dup"));
        machine.tell(ended(run.run, RunOutcome::Code(1)));
        if is_given_up {
            machine.load(path, &retried.replace("dup", "new"));
        } else {
            machine.load(path_of_other, other);
        }
        assert_eq!(commands(&machine.run(600)), [""; 0], "{is_given_up}");
        let found = commands(&machine.run(3_600));
        assert_eq!(found, ["one"], "{is_given_up}");
    }
}
