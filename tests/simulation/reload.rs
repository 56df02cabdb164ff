//! Tables that come, change and go; runs in progress; delays and intervals.

use crate::outcomes::line;
use crate::setup::{Machine, commands, ended, set_delay, source, started, table, time};
use cronwheel::schedule::{Timestamp, Zone};
use cronwheel::scheduler::{
    Action, Event, Now, Owner, Pause, RunId, RunOutcome, Scheduler, SkipReason, Source, Trigger,
};
use std::collections::VecDeque;

const TEN: &str = "2026-05-01T10:00:00Z";

#[test]
fn a_reload_in_the_second_in_which_something_is_due_neither_loses_nor_doubles_it() {
    let text = "* * * * * min\n1 10 * * * f1001\n";
    let mut machine = Machine::with_table(text, TEN);
    machine.now.utc.0 += 60;
    machine.now.elapsed_ms += 60_000;
    let actions = machine.load("/spool/alice", text);
    assert_eq!(commands(&actions), ["f1001", "min"]);
    assert_eq!(machine.load("/spool/alice", text), []);
    assert_eq!(machine.tell(Event::Tick), []);
    assert_eq!(commands(&machine.run(60)), ["min"]);
}

#[test]
fn a_due_moment_is_handled_before_the_table_goes() {
    let mut machine = Machine::with_table("* * * * * min\n", TEN);
    machine.now.utc.0 += 60;
    machine.now.elapsed_ms += 60_000;
    let actions = machine.tell(Event::Unload { path: "/spool/alice".into() });
    assert_eq!(commands(&actions), ["min"]);
    assert_eq!(machine.run(600), []);
    assert_eq!(machine.scheduler.wake_at(), None);
    let summary = machine.scheduler.summary();
    assert_eq!((summary.tables, summary.entries, summary.timers), (0, 0, 0));
    assert_eq!(machine.scheduler.running(), 1);
}

#[test]
fn a_new_entry_is_armed_from_now_and_a_changed_one_too() {
    let mut machine = Machine::with_table("1 10 * * * one\n", TEN);
    machine.run(59);
    machine.load("/spool/alice", "1 10 * * * two\n0 10 * * * past\n");
    assert_eq!(commands(&machine.run(3600)), ["two"]);
}

#[test]
fn tables_start_in_the_order_of_loading_and_their_lines_from_the_last_to_the_first() {
    let mut machine = Machine::with_table("* * * * * a1\n*/1 * * * * a2\n* * * * * a3\n", TEN);
    machine.load("/spool/bob", "0-59 * * * * b1\n* * * * * b2\n");
    machine.load("/spool/carol", "* * * * * c1\n");
    assert_eq!(commands(&machine.run(60)), ["a3", "a2", "a1", "b2", "b1", "c1"]);
    machine.load("/spool/alice", "* * * * * a4\n");
    assert_eq!(commands(&machine.run(60)), ["a4", "b2", "b1", "c1"]);
}

#[test]
fn a_start_carries_all_that_the_executor_needs() {
    let text = "A=1\nB=2\n* * * * * -q -s echo a%b\nA=3\n*/1 * * * * other\n";
    let mut machine = Machine::with_table(text, TEN);
    let actions = machine.run(60);
    let found = started(&actions);
    let variables = |index: usize| -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        found[index].variables.iter().map(|(name, value)| (text(name), text(value))).collect()
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(variables(0), [pair("A", "3"), pair("B", "2")]);
    assert_eq!(variables(1), [pair("A", "1"), pair("B", "2")]);
    let start = found[1];
    assert_eq!((start.line, start.user.as_str(), &start.command[..]), (3, "alice", &b"echo a%b"[..]));
    assert_eq!((start.flags.quiet, start.flags.single, start.flags.mail_only_on_failure), (true, true, false));
    assert_eq!(start.source, source("/spool/alice"));
    assert_eq!(start.scheduled_at, time("2026-05-01T10:01:00Z").0);
}

#[test]
fn a_single_entry_does_not_overlap_itself_not_even_over_a_reload() {
    let text = "* * * * * -s job\n";
    let mut machine = Machine::with_table(text, TEN);
    let first = machine.run(60);
    let run = started(&first)[0].clone();
    let skipped = |actions: &[Action]| {
        actions.iter().filter(|a| matches!(a, Action::Skipped { why: SkipReason::StillRunning, .. })).count()
    };
    let second = machine.run(60);
    assert_eq!((started(&second).len(), skipped(&second)), (0, 1));
    machine.load("/spool/alice", &format!("# moved down\n{text}"));
    let third = machine.run(60);
    assert_eq!((started(&third).len(), skipped(&third)), (0, 0), "reported once as long as it lasts");
    machine.end(&run);
    let fourth = machine.run(60);
    assert_eq!((started(&fourth).len(), skipped(&fourth)), (1, 0));
    // Another command is another job.
    machine.load("/spool/alice", "* * * * * -s job2\n");
    assert_eq!(commands(&machine.run(60)), ["job2"]);
}

#[test]
fn an_interval_counts_from_the_end_of_the_run_however_it_ended() {
    let ends = [
        RunOutcome::Code(0),
        RunOutcome::Signal { number: 9, core_dumped: false },
        RunOutcome::NotStarted { why: "fork: Resource temporarily unavailable".into() },
        RunOutcome::Lost,
    ];
    let text = "@30 job\n";
    let mut machine = Machine::with_table(text, TEN);
    assert_eq!(machine.scheduler.wake_at(), Some(time("2026-05-01T10:00:30Z")));
    for end in ends {
        let actions = machine.run(30);
        assert_eq!(commands(&actions), ["job"]);
        assert_eq!(machine.run(100), [], "not while it runs");
        machine.load("/spool/alice", text);
        assert_eq!(machine.run(100), [], "not while it runs, a reload notwithstanding");
        let run = started(&actions)[0].run;
        machine.tell(ended(run, end));
        machine.run(10);
        machine.load("/spool/alice", text);
        assert_eq!(machine.run(19), [], "a reload does not make it wait longer or shorter");
    }
}

#[test]
fn an_interval_that_waits_never_waits_longer_because_the_clock_was_set() {
    // Ten seconds have passed of the hundred.
    for (step, expected) in
        [(0, 90), (-40, 90), (-HOUR, 90), (-5 * HOUR, 90), (30, 60), (90, 0), (HOUR, 0), (5 * HOUR, 0)]
    {
        let mut machine = Machine::with_table("@100 job\n", TEN);
        machine.run(10);
        machine.now.utc.0 += step;
        let at_once = machine.tell(Event::Tick);
        assert_eq!(commands(&at_once).len(), usize::from(expected == 0), "a step of {step} s");
        assert_eq!(commands(&machine.run((expected - 1).max(0))), [""; 0], "a step of {step} s");
        let later = machine.run(i64::from(expected > 0));
        let starts: Vec<_> = started(&at_once).into_iter().chain(started(&later)).cloned().collect();
        let [start] = <[_; 1]>::try_from(starts).expect("one start");
        machine.end(&start);
        // The next wait is counted from the end, by the clock as it is now.
        assert_eq!(machine.scheduler.wake_at().map(|at| at.0), Some(machine.now.utc.0 + 100));
    }
}

#[test]
fn an_interval_does_not_start_while_it_runs_whatever_the_clock_does() {
    for step in [-HOUR, -30, 30, HOUR, 80 * 365 * 24 * HOUR] {
        let mut machine = Machine::with_table("@100 job\n", TEN);
        let actions = machine.run(100);
        assert_eq!(commands(&actions), ["job"]);
        machine.now.utc.0 += step;
        assert_eq!(commands(&machine.tell(Event::Tick)), [""; 0]);
        assert_eq!(commands(&machine.run(2 * HOUR)), [""; 0], "a step of {step} s");
        machine.end(started(&actions)[0]);
        assert_eq!(commands(&machine.run(100)), ["job"]);
    }
}

#[test]
fn a_delayed_start_survives_reloads_and_steps_and_comes_once() {
    let delayed = |command: &str| {
        let mut table = table(&format!("0 10 * * * {command}\n"));
        set_delay(&mut table, 0, 600);
        table
    };
    let load = |machine: &mut Machine, command: &str| {
        machine.tell(Event::Load { source: source("/spool/alice"), table: delayed(command) })
    };
    let step = |machine: &mut Machine, seconds: i64| {
        machine.now.utc.0 += seconds;
        machine.tell(Event::Tick)
    };
    let begun = || {
        let mut machine = Machine::with_table("", "2026-05-01T09:59:00Z");
        load(&mut machine, "job");
        assert_eq!(commands(&machine.run(120)), Vec::<String>::new());
        machine
    };
    let mut machine = begun();
    load(&mut machine, "job");
    assert_eq!(commands(&machine.run(8 * 60)), Vec::<String>::new());
    assert_eq!(commands(&machine.run(HOUR)), ["job"]);

    let mut machine = begun();
    load(&mut machine, "other");
    assert_eq!(commands(&machine.run(HOUR)), Vec::<String>::new(), "a changed entry is armed from now");

    let mut machine = begun();
    assert_eq!(commands(&step(&mut machine, HOUR)), ["job"], "overdue after a step forward");
    assert_eq!(commands(&machine.run(HOUR)), Vec::<String>::new());

    let mut machine = begun();
    assert_eq!(commands(&step(&mut machine, -HOUR)), Vec::<String>::new());
    assert_eq!(commands(&machine.run(9 * 60)), ["job"], "a step back does not make it wait longer");
    assert_eq!(commands(&machine.run(2 * HOUR)), Vec::<String>::new(), "and its moment is not repeated");
}

const HOUR: i64 = 3_600;

#[test]
fn thousands_of_intervals_that_differ_in_their_last_bytes_wait_on_over_reloads() {
    const JOBS: usize = 9_000;
    let long = "x".repeat(900);
    let table = |from: usize| (from..from + JOBS).map(|job| format!("@2h {long}{job:06}\n")).collect::<String>();
    let mut machine = Machine::with_table(&table(0), TEN);
    machine.run(HOUR);
    // Half of them are others now, and count from here.
    machine.load("/spool/alice", &table(JOBS / 2));
    assert_eq!(commands(&machine.run(HOUR)).len(), JOBS / 2);
    machine.load("/spool/alice", &table(JOBS / 2));
    assert_eq!(commands(&machine.run(HOUR)).len(), JOBS / 2);
}

#[test]
fn an_end_of_an_unknown_run_is_ignored() {
    let mut machine = Machine::with_table("* * * * * min\n", TEN);
    assert_eq!(machine.tell(ended(RunId(7), RunOutcome::Lost)), []);
    let actions = machine.run(60);
    assert_eq!(machine.scheduler.running(), 1);
    let start = started(&actions)[0].clone();
    machine.end(&start);
    machine.end(&start);
    assert_eq!(machine.scheduler.running(), 0);
}

#[test]
fn a_thousand_users_share_the_timers_of_their_schedules() {
    let mut machine = Machine::with_table("0 3 * * * a\n", TEN);
    for user in 0..1000 {
        machine.load(
            &format!("/spool/u{user}"),
            "0 3 * * * a\n@daily b\n0 0 * * * c\nCRON_TZ=Asia/Kathmandu\n0 3 * * * d\n",
        );
    }
    let summary = machine.scheduler.summary();
    assert_eq!((summary.tables, summary.entries, summary.timers), (1001, 4001, 3));
    assert_eq!(machine.scheduler.entries().count(), 4001);
    let entry = machine.scheduler.entries().find(|entry| *entry.command() == *b"d").unwrap();
    assert_eq!(entry.next_start(), Some(time("2026-05-01T21:15:00Z")));
    assert_eq!((entry.line(), entry.user()), (5, "alice"));
    for user in 0..1000 {
        machine.tell(Event::Unload { path: format!("/spool/u{user}") });
    }
    let summary = machine.scheduler.summary();
    assert_eq!((summary.tables, summary.entries, summary.timers), (1, 1, 1));
}

#[test]
fn the_end_of_a_run_whose_table_is_gone_concerns_no_table_that_came_after() {
    let (others, single) = ("@100 other\n", "* * * * * -s single\n");
    let mut machine = Machine::with_table("@30 job\n", TEN);
    let actions = machine.run(30);
    assert_eq!(commands(&actions), ["job"]);
    let run = started(&actions)[0].clone();
    machine.tell(Event::Unload { path: "/spool/alice".into() });
    // It may get whatever the scheduler kept the other table by.
    machine.load("/spool/bob", others);
    machine.run(50);
    machine.end(&run);
    assert_eq!(commands(&machine.run(49)), [""; 0]);
    let actions = machine.run(1);
    assert_eq!(commands(&actions), ["other"], "a hundred seconds from its load");
    assert_eq!(commands(&machine.run(500)), [""; 0], "it runs");

    let mut machine = Machine::with_table(single, TEN);
    let actions = machine.run(60);
    let run = started(&actions)[0].clone();
    machine.tell(Event::Unload { path: "/spool/alice".into() });
    let owner = Owner::User { name: "bob".into(), uid: 1001 };
    let source = Source { path: "/spool/bob".into(), name: "bob".into(), owner };
    machine.tell(Event::Load { source, table: table(single) });
    assert_eq!(commands(&machine.run(60)), ["single"], "another table's run is none of its own");
    machine.end(&run);
    assert_eq!(commands(&machine.run(60)), [""; 0], "its own run still goes on");
}

#[test]
fn what_waits_in_the_start_queue_goes_with_its_table() {
    let at = |text: &str, elapsed_ms| Now { utc: time(text), elapsed_ms };
    let (loaded, due) = (at("2026-05-01T10:00:30Z", 0), at("2026-05-01T10:01:00Z", 30_000));
    let mut scheduler = Scheduler::new(Zone::utc(), loaded);
    scheduler.limit_handover();
    let load = |path: &str, line: &str| Event::Load { source: source(path), table: table(&line.repeat(100)) };
    scheduler.handle(load("/spool/alice", "* * * * * job\n"), loaded);
    scheduler.handle(
        Event::DaemonStarted {
            boot: false,
            completed: None,
            started: Vec::new(),
            running: Vec::new(),
            saved: Box::default(),
        },
        loaded,
    );
    let first = scheduler.handle(Event::Tick, due);
    assert!(scheduler.waiting() > 0);
    scheduler.handle(Event::Unload { path: "/spool/alice".into() }, due);
    assert_eq!(scheduler.waiting(), 0);
    // It may get whatever the scheduler kept the other table by.
    scheduler.handle(load("/spool/bob", "0 0 1 1 * other\n"), due);
    for start in started(&first) {
        let after = scheduler.handle(ended(start.run, RunOutcome::Code(0)), due);
        assert_eq!(commands(&after), [""; 0]);
    }
}

#[test]
fn a_delayed_start_is_scheduled_for_the_moment_with_its_delay() {
    let delayed = || {
        let mut table = table("0 10 * * * job\n");
        set_delay(&mut table, 0, 60);
        Event::Load { source: source("/spool/alice"), table }
    };
    let due = Some(time("2026-05-01T10:01:00Z").0);
    let scheduled_at = |actions: &[Action]| started(actions).first().map(|start| start.scheduled_at);
    // On time, and by a loop that comes late.
    for seconds in [120, 90, 60] {
        let mut machine = Machine::with_table("", "2026-05-01T09:59:00Z");
        machine.tell(delayed());
        assert_eq!(scheduled_at(&machine.run(60)), None);
        assert_eq!(scheduled_at(&machine.tick_after(seconds)), due, "{seconds} s later");
    }
    // Neither its moment nor its delay was seen.
    let mut machine = Machine::with_table("", "2026-05-01T09:59:00Z");
    machine.tell(delayed());
    assert_eq!(scheduled_at(&machine.tick_after(180)), due);
    // Made up for by the next daemon.
    let now = cronwheel::scheduler::Now { utc: time("2026-05-01T10:02:00Z"), elapsed_ms: 5_000_000 };
    let mut machine =
        Machine { scheduler: cronwheel::scheduler::Scheduler::new(cronwheel::schedule::Zone::utc(), now), now };
    machine.tell(delayed());
    let completed = Some(time("2026-05-01T09:59:59Z"));
    let actions = machine.tell(Event::DaemonStarted {
        boot: false,
        completed,
        started: Vec::new(),
        running: Vec::new(),
        saved: Box::default(),
    });
    assert_eq!(scheduled_at(&actions), due);
}

#[test]
fn a_job_that_waits_in_a_group_goes_on_when_it_belongs_to_it_no_more() {
    let group = "CRON_GROUP=g\nCRON_NAME=a\n* * * * * a\n";
    let mut machine = Machine::with_table(&format!("{group}CRON_NAME=b\n* * * * * b\n"), TEN);
    assert_eq!(commands(&machine.run(60)), ["a"]);
    let actions = machine.load("/spool/alice", &format!("{group}CRON_GROUP=default\nCRON_NAME=b\n* * * * * b\n"));
    assert_eq!(commands(&actions), ["b"]);
}

#[test]
fn what_a_reload_lets_go_on_is_started_as_the_entry_that_it_is() {
    let all = "CRON_GROUP=g,1\nCRON_NAME=a\n* * * * * a\nCRON_GROUP=g,2\nCRON_NAME=b\n* * * * * b\n";
    let mut machine = Machine::with_table(all, TEN);
    assert_eq!(commands(&machine.run(60)), ["a"]);
    // Without the first entry the group has two places, and another entry has the place in the file that the second one had.
    let left = "CRON_GROUP=g,2\nCRON_NAME=b\n* * * * * b\n@daily other\n";
    assert_eq!(commands(&machine.load("/spool/alice", left)), ["b"]);
}

#[test]
fn a_pause_of_a_job_without_a_policy_outlives_a_reload() {
    let mut machine = Machine::with_table("* * * * * job\n", TEN);
    let job = machine.scheduler.find_job("job").unwrap();
    let (from, until) = (machine.now.utc, Timestamp(machine.now.utc.0 + 3_600));
    let pause = Pause { from, until, by: "alice".into(), note: String::new(), is_by_root: false, source: None };
    machine.tell(Event::Pause { job, pause });
    assert_eq!(commands(&machine.run(60)), [""; 0]);
    machine.load("/spool/alice", "# moved down\n* * * * * job\n");
    assert_eq!(commands(&machine.run(60)), [""; 0]);
}

#[test]
fn the_latest_missed_slot_is_caught_up_however_many_were_missed() {
    for (schedule, last) in [("* * * * *", 60), ("@every_second", 1)] {
        let text = format!("CRON_CATCHUP=once\nCRON_OVERLAP=skip\n{schedule} job\n");
        let mut machine = Machine::with_table(&text, TEN);
        machine.now.utc = Timestamp(machine.now.utc.0 + 400 * 86_400);
        let actions = machine.tell(Event::Tick);
        let found = started(&actions);
        let caught_up: Vec<_> = found.iter().filter(|start| start.trigger == Trigger::CatchUp).collect();
        assert_eq!(caught_up.len(), 1, "{schedule}");
        assert_eq!(caught_up[0].scheduled_at, machine.now.utc.0 - last, "{schedule}");
    }
}

#[test]
fn the_output_of_a_run_is_decided_about_although_its_settings_are_gone() {
    for setting in ["CRON_ALERT=2", "CRON_RETRY=1", "CRON_MAIL=change"] {
        let mut machine = Machine::with_table(&format!("CRON_NAME=a\n{setting}\n* * * * * a\n"), TEN);
        let actions = machine.run(60);
        let start = started(&actions)[0];
        // The executor holds its output until the end is concluded.
        assert!(start.rules.retries_left > 0 || start.rules.waits_for_decision, "{setting}");
        let run = start.run;
        machine.load("/spool/alice", "CRON_NAME=a\n* * * * * a\n");
        let actions = machine.tell(ended(run, RunOutcome::Code(1)));
        assert!(actions.contains(&Action::Conclude { run, is_mailed: true }), "{setting}: {actions:?}");
    }
}

#[test]
fn a_retry_that_is_given_up_with_its_entry_runs_the_hook_of_that_entry() {
    let settings = "CRON_ON_FAILURE=tell\nCRON_PING=http://h/p\nCRON_NAME=a\nCRON_RETRY=1,10m\n";
    let other = "CRON_NAME=b\n0 0 1 1 * b\n";
    for after in [Some(other.to_owned()), Some(format!("{settings}CRON_NAME=c\n0 0 1 1 * a\n")), None] {
        let mut machine = Machine::with_table(&format!("{settings}* * * * * a\n{other}"), TEN);
        let actions = machine.run(60);
        let run = started(&actions)[0].run;
        let failed = machine.tell(ended(run, RunOutcome::Code(1)));
        assert!(!failed.iter().any(|action| matches!(action, Action::FollowUp(_))), "{failed:?}");
        let removed = match &after {
            Some(text) => machine.load("/spool/alice", text),
            None => machine.tell(Event::Unload { path: "/spool/alice".into() }),
        };
        let follow_ups = removed.iter().filter_map(|action| match action {
            Action::FollowUp(follow_up) => Some(&**follow_up),
            _ => None,
        });
        let follow_ups: Vec<_> = follow_ups.collect();
        let names: Vec<String> = follow_ups.iter().map(|follow_up| follow_up.task.name()).collect();
        assert_eq!(names, ["failure", "ping fail"], "{after:?}");
        let start = &follow_ups[0].start;
        assert_eq!((start.run, start.job.as_str(), start.attempt), (run, "alice:a", 1));
        assert!(removed.contains(&Action::Conclude { run, is_mailed: true }), "{removed:?}");
        // Nothing of it is left.
        assert!(!machine.run(3_600).iter().any(|action| matches!(action, Action::FollowUp(_))));
    }
}

/// The follow-ups among some actions, with the job that each is of.
fn follow_ups(actions: &[Action]) -> Vec<(String, String)> {
    let follow_ups = actions.iter().filter_map(|action| match action {
        Action::FollowUp(follow_up) => Some((follow_up.start.job.to_string(), follow_up.task.name())),
        _ => None,
    });
    follow_ups.collect()
}

fn final_failure(job: &str) -> Vec<(String, String)> {
    ["failure", "ping fail"].map(|name| (job.to_owned(), name.to_owned())).to_vec()
}

#[test]
fn a_last_attempt_in_the_start_queue_that_is_given_up_with_its_entry_runs_the_hook() {
    let many = "2 10 * * * other\n".repeat(100);
    let settings = "CRON_ON_FAILURE=tell\nCRON_PING=http://h/p\nCRON_NAME=a\nCRON_RETRY=1,90s\n";
    for after in [Some("0 0 1 1 * b\n"), None] {
        let mut machine = Machine::with_table(&format!("{many}{settings}1 10 * * * a\n"), TEN);
        machine.scheduler.limit_handover();
        let actions = machine.run(60);
        let run = started(&actions)[0].run;
        machine.tell(ended(run, RunOutcome::Code(1)));
        // The other jobs take all places that their owner has.
        let actions = machine.run(120);
        assert!(machine.scheduler.waiting() > 0 && !commands(&actions).contains(&"a".to_owned()), "{actions:?}");
        let removed = match after {
            Some(text) => machine.load("/spool/alice", text),
            None => machine.tell(Event::Unload { path: "/spool/alice".into() }),
        };
        assert_eq!(follow_ups(&removed), final_failure("alice:a"), "{after:?}");
    }
}

#[test]
fn each_slot_that_waits_after_a_step_has_one_outcome_when_its_entry_goes_and_comes_back() {
    // The other jobs take all places that their owner has.
    let without = "* * * * * other\n".repeat(40);
    let with = format!("{without}CRON_NAME=v\n* * * * * v\n");
    for is_back_at_once in [true, false] {
        let mut machine = Machine::with_table(&without, TEN);
        machine.scheduler.limit_handover();
        machine.scheduler.record_all(true);
        let mut actions = machine.load("/spool/alice", &with);
        actions.extend(machine.run(90));
        machine.now.utc.0 += 240;
        actions.extend(machine.tell(Event::Tick));
        assert!(!commands(&actions).contains(&"v".to_owned()), "{actions:?}");
        // It has waited since 10:01, and it is 10:05:30.
        let removed = machine.load("/spool/alice", &without);
        assert_eq!(outcomes_of("v", &removed), ["v 10:01 skipped entry removed x5 to 10:05"]);
        if is_back_at_once {
            actions.extend(machine.load("/spool/alice", &with));
        }
        actions.extend(machine.run(60));
        if !is_back_at_once {
            actions.extend(machine.load("/spool/alice", &with));
        }
        actions.extend(machine.run(60));
        let mut runs: VecDeque<RunId> = started(&actions).iter().map(|start| start.run).collect();
        while let Some(run) = runs.pop_front() {
            let after = machine.tell(ended(run, RunOutcome::Code(0)));
            runs.extend(started(&after).iter().map(|start| start.run));
            actions.extend(after);
        }
        let expected: &[&str] = if is_back_at_once { &["v 10:06", "v 10:07"] } else { &["v 10:07"] };
        let found = outcomes_of("v", &actions);
        let slots: Vec<&str> = found.iter().map(|line| line.split(" schedule#1 ").next().unwrap()).collect();
        assert_eq!(slots, expected, "{found:?}");
    }
}

/// The outcomes of a job among some actions, one a line.
fn outcomes_of(job: &str, actions: &[Action]) -> Vec<String> {
    let records = actions.iter().filter_map(|action| match action {
        Action::Record(record) if record.job.name() == job => Some(line(record)),
        _ => None,
    });
    records.collect()
}

#[test]
fn a_retry_that_is_given_up_with_the_name_of_its_entry_runs_the_hook_of_that_entry() {
    let settings = "CRON_ON_FAILURE=tell\nCRON_PING=http://h/p\nCRON_NAME=a\nCRON_RETRY=1,10m\n";
    let mut machine = Machine::with_table(&format!("{settings}1 10 * * * a\n"), TEN);
    let actions = machine.run(60);
    let run = started(&actions)[0].run;
    machine.tell(ended(run, RunOutcome::Code(1)));
    // An earlier table has the name from now on.
    let changed = machine.load("/a", "CRON_NAME=a\n0 0 1 1 * b\n");
    assert_eq!(follow_ups(&changed), final_failure("alice:a"));
}
