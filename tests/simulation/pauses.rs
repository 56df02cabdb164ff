//! Pauses of all jobs, rows of slots that are skipped in them, and what a kill takes.

use crate::setup::{Machine, commands, source, started, table, zone};
use cronwheel::schedule::Timestamp;
use cronwheel::scheduler::{Action, Event, JobId, Pause, PauseScope, SavedState, Scheduler, StateChange};

const TEN: &str = "2026-05-01T10:00:00Z";
const ONE: &str = "CRON_NAME=a\n* * * * * a\n";
const TWO: &str = "CRON_NAME=a\n* * * * * a\nCRON_NAME=b\n* * * * * b\n";

fn pause(machine: &Machine, seconds: i64, is_by_root: bool) -> Pause {
    let from = machine.now.utc;
    Pause {
        from,
        until: Timestamp(from.0 + seconds),
        by: "somebody".into(),
        note: String::new(),
        is_by_root,
        source: None,
    }
}

/// Pauses all jobs as the daemon does: the entries that are added later, and then each of those that are there.
fn pause_all(machine: &mut Machine, scope: PauseScope, seconds: i64, jobs: &[&str]) -> Vec<Action> {
    let pause = pause(machine, seconds, scope == PauseScope::Everybody);
    let mut actions = machine.tell(Event::PauseAll { scope, pause: pause.clone() });
    for job in jobs {
        actions.extend(machine.tell(Event::Pause { job: JobId::named("alice", job), pause: pause.clone() }));
    }
    actions
}

#[test]
fn entries_that_are_added_while_all_are_paused_are_paused_until_all_are_resumed() {
    for (scope, covers) in
        [(PauseScope::Everybody, true), (PauseScope::User(1000), true), (PauseScope::User(1001), false)]
    {
        let mut machine = Machine::with_table(ONE, TEN);
        pause_all(&mut machine, scope, 3_600, if covers { &["a"] } else { &[] });
        machine.load("/spool/alice", TWO);
        machine.load("/spool/new", "* * * * * c\n");
        let mut ran = commands(&machine.run(60));
        ran.sort();
        assert_eq!(ran, if covers { vec![] } else { vec!["a", "b", "c"] }, "{scope:?}");
        assert_eq!(machine.scheduler.pause_of_all(scope).map(|pause| pause.by.as_str()), Some("somebody"));
        machine.tell(Event::ResumeAll { scope });
        assert_eq!(machine.scheduler.pause_of_all(scope), None);
        for job in machine.scheduler.paused_jobs().cloned().collect::<Vec<_>>() {
            machine.tell(Event::Resume { job });
        }
        machine.load("/spool/alice", &format!("{TWO}CRON_NAME=d\n* * * * * d\n"));
        let mut ran = commands(&machine.run(60));
        ran.sort();
        assert_eq!(ran, ["a", "b", "c", "d"], "{scope:?}");
    }
}

#[test]
fn a_pause_of_all_ends_at_its_time_also_for_what_was_added() {
    let mut machine = Machine::with_table(ONE, TEN);
    pause_all(&mut machine, PauseScope::Everybody, 90, &["a"]);
    machine.load("/spool/alice", TWO);
    assert_eq!(commands(&machine.run(89)), [""; 0]);
    let mut ran = commands(&machine.run(31));
    ran.sort();
    assert_eq!(ran, ["a", "b"]);
    assert_eq!(machine.scheduler.pause_of_all(PauseScope::Everybody), None);
    machine.load("/spool/alice", &format!("{TWO}CRON_NAME=d\n* * * * * d\n"));
    assert_eq!(commands(&machine.run(60)).len(), 3);
}

#[test]
fn a_job_that_is_resumed_by_itself_stays_resumed() {
    let mut machine = Machine::with_table(TWO, TEN);
    pause_all(&mut machine, PauseScope::User(1000), 3_600, &["a", "b"]);
    let job = JobId::named("alice", "b");
    machine.tell(Event::Resume { job: job.clone() });
    machine.tell(Event::LeftOutOfPauses { job, is_by_root: false });
    machine.load("/spool/alice", &format!("# moved\n{TWO}"));
    assert_eq!(commands(&machine.run(60)), ["b"]);
}

#[test]
fn what_a_user_has_paused_goes_on_being_paused_when_the_pause_of_root_is_over() {
    let mut machine = Machine::with_table(ONE, TEN);
    pause_all(&mut machine, PauseScope::Everybody, 90, &["a"]);
    // The known jobs of the user are paused by root already.
    pause_all(&mut machine, PauseScope::User(1000), 200, &[]);
    assert_eq!(commands(&machine.run(180)), [""; 0]);
    assert_eq!(commands(&machine.run(60)), ["a"]);
}

#[test]
fn a_pause_of_all_outlives_a_restart_and_covers_what_was_added_meanwhile() {
    let mut saved = SavedState::default();
    let mut keep = |actions: Vec<Action>| {
        for action in actions {
            if let Action::SaveState(change) = action {
                saved.apply(*change);
            }
        }
    };
    let mut machine = Machine::with_table(TWO, TEN);
    keep(pause_all(&mut machine, PauseScope::User(1000), 3_600, &["a", "b"]));
    let job = JobId::named("alice", "b");
    keep(machine.tell(Event::Resume { job: job.clone() }));
    keep(machine.tell(Event::LeftOutOfPauses { job, is_by_root: false }));
    let now = machine.now;
    for text in [TWO.to_owned(), format!("{TWO}CRON_NAME=c\n* * * * * c\n* * * * * d\n")] {
        let mut scheduler = Scheduler::new(zone("UTC"), now);
        scheduler.handle(Event::Load { source: source("/spool/alice"), table: table(&text) }, now);
        let (started, running) = (Vec::new(), Vec::new());
        let saved = Box::new(saved.clone());
        scheduler.handle(Event::DaemonStarted { boot: false, completed: Some(now.utc), started, running, saved }, now);
        let mut machine = Machine { scheduler, now };
        assert_eq!(commands(&machine.run(60)), ["b"]);
        // A table that comes later, too.
        machine.load("/spool/late", "* * * * * late\n");
        assert_eq!(commands(&machine.run(60)), ["b"]);
        assert!(machine.scheduler.pause_of_all(PauseScope::User(1000)).is_some());
        let again = machine.scheduler.saved_state();
        assert_eq!(again.changes().filter(|change| change.key().1 == "pause-of-all").count(), 1);
    }
}

/// The pauses of single jobs in a state.
fn saved_pauses(saved: &SavedState) -> Vec<StateChange> {
    saved.changes().filter(|change| change.key().1 == "pause").collect()
}

fn apply(saved: &mut SavedState, actions: Vec<Action>) {
    for action in actions {
        if let Action::SaveState(change) = action {
            saved.apply(*change);
        }
    }
}

#[test]
fn a_pause_of_all_keeps_nothing_of_entries_that_are_gone() {
    let mut saved = SavedState::default();
    let mut machine = Machine::with_table(ONE, TEN);
    apply(&mut saved, pause_all(&mut machine, PauseScope::Everybody, 3_600, &["a"]));
    for number in 0..20 {
        let actions = machine.load("/spool/alice", &format!("{ONE}CRON_NAME=n{number}\n* * * * * n\n"));
        apply(&mut saved, actions);
        assert_eq!(saved_pauses(&saved).len(), 2, "{number}");
    }
    let actions = machine.tell(Event::Unload { path: "/spool/alice".into() });
    apply(&mut saved, actions);
    assert_eq!((saved_pauses(&saved), machine.scheduler.paused_jobs().count()), (vec![], 0));
    // It comes back while all are paused, and after that.
    machine.load("/spool/alice", ONE);
    assert_eq!(commands(&machine.run(60)), [""; 0]);
    machine.tell(Event::Unload { path: "/spool/alice".into() });
    machine.tell(Event::ResumeAll { scope: PauseScope::Everybody });
    machine.load("/spool/alice", ONE);
    assert_eq!(commands(&machine.run(60)), ["a"]);
}

#[test]
fn a_resume_of_all_holds_for_tables_that_are_loaded_late() {
    let mut saved = SavedState::default();
    let mut first = Machine::with_table(TWO, TEN);
    apply(&mut saved, pause_all(&mut first, PauseScope::Everybody, 3_600, &["a", "b"]));
    let own = Pause { note: "mine".into(), ..pause(&first, 7_200, true) };
    let b = JobId::named("alice", "b");
    apply(&mut saved, first.tell(Event::Pause { job: b.clone(), pause: own }));
    apply(&mut saved, first.tell(Event::LeftOutOfPauses { job: b, is_by_root: true }));
    let now = first.now;
    let mut scheduler = Scheduler::new(zone("UTC"), now);
    let (started, running) = (Vec::new(), Vec::new());
    let begin = Event::DaemonStarted {
        boot: false,
        completed: Some(now.utc),
        started,
        running,
        saved: Box::new(saved.clone()),
    };
    apply(&mut saved, scheduler.handle(begin, now));
    assert_eq!(saved_pauses(&saved).len(), 2);
    let mut machine = Machine { scheduler, now };
    apply(&mut saved, machine.tell(Event::ResumeAll { scope: PauseScope::Everybody }));
    assert_eq!(saved_pauses(&saved).len(), 1);
    machine.load("/spool/alice", TWO);
    assert_eq!(commands(&machine.run(60)), ["a"]);
}

#[test]
fn a_user_cannot_take_a_job_out_of_a_pause_of_root() {
    let mut machine = Machine::with_table(ONE, TEN);
    let job = JobId::named("alice", "a");
    let own = pause(&machine, 600, false);
    machine.tell(Event::Pause { job: job.clone(), pause: own });
    machine.tell(Event::Unload { path: "/spool/alice".into() });
    pause_all(&mut machine, PauseScope::Everybody, 3_600, &[]);
    machine.load("/spool/alice", ONE);
    assert!(machine.scheduler.job_status(&job).pause.is_some_and(|pause| pause.is_by_root));
    for (is_by_root, expected) in [(false, true), (true, false)] {
        machine.tell(Event::LeftOutOfPauses { job: job.clone(), is_by_root });
        machine.tell(Event::Unload { path: "/spool/alice".into() });
        machine.tell(Event::Resume { job: job.clone() });
        machine.load("/spool/alice", ONE);
        assert_eq!(machine.scheduler.job_status(&job).pause.is_some(), expected, "{is_by_root}");
    }
}

#[test]
fn the_own_pause_of_a_job_of_a_late_table_is_the_one_that_is_saved() {
    let mut saved = SavedState::default();
    let mut first = Machine::with_table(ONE, TEN);
    apply(&mut saved, pause_all(&mut first, PauseScope::User(1000), 60, &[]));
    let job = JobId::named("alice", "a");
    let own = pause(&first, 7_200, false);
    apply(&mut saved, first.tell(Event::Pause { job, pause: own }));
    let now = first.now;
    let mut scheduler = Scheduler::new(zone("UTC"), now);
    let (started, running) = (Vec::new(), Vec::new());
    let begin = Event::DaemonStarted {
        boot: false,
        completed: Some(now.utc),
        started,
        running,
        saved: Box::new(saved.clone()),
    };
    apply(&mut saved, scheduler.handle(begin, now));
    let mut machine = Machine { scheduler, now };
    apply(&mut saved, machine.load("/spool/alice", ONE));
    assert_eq!(saved_pauses(&saved), saved_pauses(&machine.scheduler.saved_state()));
    assert_eq!(commands(&machine.run(600)), [""; 0]);
}

#[test]
fn a_job_without_a_name_stays_paused_when_its_table_is_removed_and_installed_again() {
    let mut machine = Machine::with_table("* * * * * plain\n* * * * * other\n", TEN);
    let job = JobId::derive("user", "alice", b"plain", 1);
    let pause = pause(&machine, 3_600, false);
    machine.tell(Event::Pause { job, pause });
    assert_eq!(commands(&machine.run(60)), ["other"]);
    machine.tell(Event::Unload { path: "/spool/alice".into() });
    machine.load("/spool/alice", "* * * * * plain\n* * * * * other\n");
    assert_eq!(commands(&machine.run(60)), ["other"]);
}

#[test]
fn the_record_of_skipped_slots_is_brought_up_to_date_once_a_minute_while_they_go_on() {
    let mut machine = Machine::with_table("CRON_NAME=a\n@every_second a\n", TEN);
    machine.tell(Event::Pause { job: JobId::named("alice", "a"), pause: pause(&machine, 3_600, false) });
    let began = machine.now.utc.0;
    let mut updates = Vec::new();
    let mut records = 0;
    for _ in 0..200 {
        for action in machine.run(1) {
            match action {
                Action::UpdateRow(record) => {
                    updates.push((machine.now.utc.0 - began, record.count, record.until.map(|until| until.0 - began)));
                }
                Action::Record(_) => records += 1,
                _ => {}
            }
        }
    }
    let expected = [61, 121, 181].map(|at: i64| (at, at.unsigned_abs() - 1, Some(at - 1)));
    assert!(updates.len() == 3 && records == 0, "{updates:?}");
    for ((at, count, until), (expected_at, expected_count, expected_until)) in updates.iter().zip(expected) {
        assert!((at - expected_at).abs() <= 1 && count.abs_diff(expected_count) <= 1, "{updates:?}");
        assert!((until.unwrap() - expected_until.unwrap()).abs() <= 1, "{updates:?}");
    }
    // Where nothing is skipped, nothing is brought up to date, and nobody wakes for it.
    let mut machine = Machine::with_table("CRON_NAME=a\n0 * * * * a\n", TEN);
    machine.tell(Event::Pause { job: JobId::named("alice", "a"), pause: pause(&machine, 2 * 86_400, false) });
    let updates = machine.run(3_700).into_iter().filter(|action| matches!(action, Action::UpdateRow(_))).count();
    assert_eq!(updates, 0);
    assert_eq!(machine.scheduler.wake_at().unwrap().0 % 3_600, 0);
}

#[test]
fn each_kill_takes_a_run_that_does_not_end_yet_then_what_waits() {
    let mut machine = Machine::with_table("CRON_NAME=a\n* * * * * a\n", TEN);
    let runs: Vec<_> = (0..2).map(|_| started(&machine.run(60))[0].run).collect();
    let kill = |machine: &mut Machine| {
        let by = "alice".to_owned();
        let actions = machine.tell(Event::Kill { job: JobId::named("alice", "a"), by });
        actions.into_iter().find_map(|action| match action {
            Action::End { run, .. } => Some(run),
            _ => None,
        })
    };
    assert!(!machine.scheduler.is_being_ended(runs[0]));
    assert_eq!(kill(&mut machine), Some(runs[0]));
    assert!(machine.scheduler.is_being_ended(runs[0]) && !machine.scheduler.is_being_ended(runs[1]));
    assert_eq!(kill(&mut machine), Some(runs[1]));
    assert_eq!(kill(&mut machine), None);
}

#[test]
fn a_pause_by_name_stays_with_the_table_of_the_entry() {
    let other = "CRON_NAME=a\n* * * * * other\n";
    let mut machine = Machine::with_table(ONE, TEN);
    let pause = pause(&machine, 3_600, false);
    machine.tell(Event::Pause { job: JobId::named("alice", "a"), pause: pause.clone() });
    // Taken away and put back, it is the same entry.
    machine.tell(Event::Unload { path: "/spool/alice".to_owned() });
    machine.load("/spool/alice", ONE);
    assert_eq!(commands(&machine.run(60)), [""; 0]);
    // Another table has the name, too: it gets it when the first one is gone, and not the pause.
    machine.load("/spool/z", other);
    assert_eq!(commands(&machine.run(60)), ["other"]);
    let actions = machine.tell(Event::Unload { path: "/spool/alice".to_owned() });
    let is_forgotten = |action: &Action| matches!(action, Action::SaveState(change) if change.key() == ("alice:a", "pause") && change.is_removal());
    assert!(actions.iter().any(is_forgotten), "{actions:?}");
    assert_eq!(commands(&machine.run(60)), ["other"]);
    assert_eq!(machine.scheduler.paused_jobs().count(), 0);

    // The same if the tables were exchanged while no daemon was there.
    let mut machine = Machine::with_table(ONE, TEN);
    let mut saved = SavedState::default();
    for action in machine.tell(Event::Pause { job: JobId::named("alice", "a"), pause }) {
        if let Action::SaveState(change) = action {
            saved.apply(*change);
        }
    }
    for (path, text, expected) in [("/spool/alice", ONE, vec![]), ("/spool/z", other, vec!["other"])] {
        let mut next = Scheduler::new(zone("UTC"), machine.now);
        next.handle(Event::Load { source: source(path), table: table(text) }, machine.now);
        let saved = Box::new(saved.clone());
        let (started, running) = (Vec::new(), Vec::new());
        next.handle(
            Event::DaemonStarted { boot: false, completed: Some(machine.now.utc), started, running, saved },
            machine.now,
        );
        let mut later = machine.now;
        later.utc = Timestamp(later.utc.0 + 60);
        later.elapsed_ms += 60_000;
        assert_eq!(commands(&next.handle(Event::Tick, later)), expected, "{path}");
    }
}
