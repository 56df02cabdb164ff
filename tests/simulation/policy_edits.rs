//! What an edit of a policy, a boot and the stop of the daemon mean for runs, retries and slots that are there already.

use crate::setup::{Machine, commands, ended, started, time};
use cronwheel::schedule::{Timestamp, Zone};
use cronwheel::scheduler::{
    Action, AtStop, Event, JobId, MissReason, Now, Outcome, RunOutcome, RunRecord, Scheduler, SkipReason, Trigger,
};

const TEN: &str = "2026-05-01T10:00:00Z";
const ALICE: &str = "/spool/alice";

fn records(actions: &[Action]) -> Vec<&RunRecord> {
    let records = actions.iter().filter_map(|action| match action {
        Action::Record(record) => Some(&**record),
        _ => None,
    });
    records.collect()
}

/// Another daemon with a table, which an earlier one has left its state.
fn next_daemon(before: &Machine, text: &str, is_boot: bool) -> (Machine, Vec<Action>) {
    let mut saved = before.scheduler.saved_state();
    if is_boot {
        saved.set_of_other_boot();
        saved.set_before_boot();
    }
    let now = Now { utc: Timestamp(before.now.utc.0 + 30), elapsed_ms: before.now.elapsed_ms + 30_000 };
    let mut machine = Machine { scheduler: Scheduler::new(Zone::utc(), now), now };
    machine.load(ALICE, text);
    let (started, running) = (Vec::new(), Vec::new());
    let begin = Event::DaemonStarted { boot: is_boot, completed: None, started, running, saved: Box::new(saved) };
    let mut actions = machine.tell(begin);
    actions.extend(machine.tell(Event::Tick));
    (machine, actions)
}

#[test]
fn a_run_of_an_entry_without_a_policy_counts_when_it_gets_one() {
    for policy in ["CRON_OVERLAP=skip", "CRON_OVERLAP=skip\nCRON_GROUP=g"] {
        let mut machine = Machine::with_table("* * * * * a\n", TEN);
        let first = started(&machine.run(60))[0].clone();
        assert!(records(&machine.load(ALICE, &format!("{policy}\n* * * * * a\n"))).is_empty());
        assert_eq!(commands(&machine.run(60)), [""; 0], "{policy}: it goes on");
        let actions = machine.end(&first);
        let [record] = records(&actions)[..] else { panic!("{actions:?}") };
        assert_eq!(record.run, Some(first.run));
        assert_eq!(record.scheduled_at, time("2026-05-01T10:01:00Z"));
        assert_eq!((record.trigger, &record.outcome), (Trigger::Schedule, &Outcome::Ok { status: 0 }));
        let last = machine.run(60);
        assert_eq!(commands(&last), ["a"], "{policy}");
        let outcomes = records(&last).into_iter().map(|record| &record.outcome).collect::<Vec<_>>();
        assert_eq!(outcomes, [&Outcome::Skipped(SkipReason::StillRunning)]);
    }
}

#[test]
fn a_run_of_an_entry_without_a_policy_holds_its_place_in_the_group_that_it_gets() {
    let mut machine = Machine::with_table("1 10 * * * a\n2 10 * * * b\n", TEN);
    let first = started(&machine.run(60))[0].clone();
    machine.load(ALICE, "CRON_GROUP=g\n1 10 * * * a\n2 10 * * * b\n");
    assert_eq!(commands(&machine.run(60)), [""; 0], "the place is taken");
    assert_eq!(commands(&machine.end(&first)), ["b"]);
}

#[test]
fn the_run_of_an_entry_without_a_policy_that_is_killed_has_its_own_slot() {
    let mut machine = Machine::with_table("* * * * * a\n", TEN);
    let first = started(&machine.run(60))[0].clone();
    machine.tick_after(20);
    let answer = machine.scheduler.kill_run(&first.job, first.run, "root", machine.now);
    assert!(answer.actions.iter().any(|action| matches!(action, Action::End { .. })), "{answer:?}");
    let actions = machine.tell(ended(first.run, RunOutcome::Signal { number: 15, core_dumped: false }));
    let [record] = records(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!(record.scheduled_at, time("2026-05-01T10:01:00Z"));
    assert_eq!(record.outcome, Outcome::Killed { by: "root".into() });
}

#[test]
fn a_job_that_was_running_when_the_machine_died_is_started_at_the_next_boot() {
    let text = "CRON_NAME=svc\n@reboot svc\n";
    for settings in ["", "CRON_OVERLAP=skip\n", "CRON_RETRY=2,1m\n"] {
        let text = format!("{settings}{text}");
        let mut machine = Machine::with_table("", TEN);
        machine.load(ALICE, &text);
        let (machine, actions) = next_daemon(&machine, &text, true);
        assert_eq!(commands(&actions), ["svc"], "{settings:?}: the first boot");
        let run = started(&actions)[0].run;
        let (_, actions) = next_daemon(&machine, &text, true);
        assert_eq!(commands(&actions), ["svc"], "{settings:?}: the next boot");
        let lost = records(&actions).into_iter().find(|record| record.run == Some(run)).map(|record| &record.outcome);
        assert_eq!(lost, Some(&Outcome::Lost), "{settings:?}");
    }
}

#[test]
fn nothing_follows_on_its_own_for_an_entry_that_is_disabled() {
    let on = "CRON_NAME=a\nCRON_RETRY=5,1m\nCRON_LATE=5m\n0 * * * * a\n";
    let off = format!("CRON_ENABLED=no\n{on}");
    let mut machine = Machine::with_table(on, "2026-05-01T09:59:00Z");
    let run = started(&machine.run(60))[0].run;
    machine.tell(ended(run, RunOutcome::Code(1)));
    let mut also = Machine::with_table(on, "2026-05-01T09:59:00Z");
    let other = started(&also.run(60))[0].run;
    // While the retry is pending, and before the failure.
    machine.load(ALICE, &off);
    also.load(ALICE, &off);
    also.tell(ended(other, RunOutcome::Code(1)));
    for machine in [&mut machine, &mut also] {
        let later = machine.run(1_800);
        assert_eq!(commands(&later), [""; 0]);
        assert!(!later.iter().any(|action| matches!(action, Action::FollowUp(_))), "{later:?}");
    }
    // Also after a restart in which that was edited.
    let mut machine = Machine::with_table(on, "2026-05-01T09:59:00Z");
    let run = started(&machine.run(60))[0].run;
    machine.tell(ended(run, RunOutcome::Code(1)));
    let (mut machine, actions) = next_daemon(&machine, &off, false);
    assert_eq!((commands(&actions), commands(&machine.run(1_800))), (vec![], vec![]));
}

#[test]
fn a_slot_that_waits_is_skipped_when_its_entry_is_disabled() {
    let on = "CRON_NAME=a\nCRON_OVERLAP=queue\n* * * * * a\n";
    let mut machine = Machine::with_table(on, TEN);
    let first = started(&machine.run(120))[0].clone();
    let actions = machine.load(ALICE, &format!("CRON_ENABLED=no\n{on}"));
    let is_skip = |action: &Action| matches!(action, Action::Skipped { why: SkipReason::EntryRemoved, count: 1, .. });
    assert_eq!(actions.iter().filter(|action| is_skip(action)).count(), 1, "{actions:?}");
    assert_eq!(commands(&machine.end(&first)), [""; 0]);
}

#[test]
fn a_retry_beyond_the_new_number_of_attempts_is_given_up() {
    let text = |retries: u32| format!("CRON_NAME=a\nCRON_RETRY={retries},1m\n0 * * * * a\n");
    for (retries, starts) in [(0, 0), (1, 1)] {
        let mut machine = Machine::with_table(&text(3), "2026-05-01T09:59:00Z");
        let run = started(&machine.run(60))[0].run;
        machine.tell(ended(run, RunOutcome::Code(1)));
        machine.load(ALICE, &text(retries));
        assert_eq!(commands(&machine.run(1_800)).len(), starts, "{retries} retries");
    }
}

#[test]
fn an_end_that_was_forgotten_by_an_edit_does_not_come_back() {
    let chain =
        |after: &str| format!("CRON_NAME=a\n1 10 * * * a\nCRON_NAME=b\n5 10 * * * b\nCRON_NAME=c\n@after {after} c\n");
    let mut machine = Machine::with_table(&chain("a,b"), TEN);
    let a = started(&machine.run(60))[0].clone();
    machine.end(&a);
    machine.load(ALICE, &chain("b"));
    machine.load(ALICE, &chain("a,b"));
    let b = started(&machine.run(240))[0].clone();
    machine.end(&b);
    assert_eq!(commands(&machine.run(60)), [""; 0], "a has not ended well since it is named again");
}

#[test]
fn a_run_that_the_stop_ends_is_not_retried() {
    let text = "CRON_NAME=a\nCRON_RETRY=3,5s\n* * * * * a\n";
    let failed = |machine: &mut Machine, run| machine.tell(ended(run, RunOutcome::Code(1)));
    // It is ended by the stop, and the next daemon will know of retries.
    let mut machine = Machine::with_table(text, TEN);
    let run = started(&machine.run(60))[0].run;
    machine.tell(Event::Stop { queue: AtStop::LeaveToNext, jobs: AtStop::LeaveToNext });
    machine.scheduler.note_end_of_all();
    let actions = failed(&mut machine, run);
    assert!(actions.iter().any(|action| matches!(action, Action::Conclude { .. })), "{actions:?}");
    let (mut next, actions) = next_daemon(&machine, text, false);
    assert_eq!((commands(&actions), commands(&next.run(20))), (vec![], vec![]));
    // It fails while the daemon waits for it, and no daemon will know of a retry: the failure is final.
    let mut machine = Machine::with_table(text, TEN);
    let run = started(&machine.run(60))[0].run;
    machine.tell(Event::Stop { queue: AtStop::Skip, jobs: AtStop::Skip });
    let actions = failed(&mut machine, run);
    assert!(actions.iter().any(|action| matches!(action, Action::Conclude { .. })), "{actions:?}");
}

#[test]
fn every_entry_catches_up_however_many_slots_its_owner_has_missed() {
    let mut text = String::new();
    for name in ["one", "two", "three"] {
        text += &format!("CRON_CATCHUP=all,60d\nCRON_NAME={name}\n* * * * * {name}\n");
    }
    text += "CRON_CATCHUP=once,60d\nCRON_NAME=four\n* * * * * four\n";
    let mut machine = Machine::with_table(&text, TEN);
    let days = 40;
    machine.now.utc.0 += days * 86_400;
    let mut actions = machine.tell(Event::Tick);
    let slots = u64::try_from(days * 1_440).unwrap();
    let (mut caught_up, mut missed) = (std::collections::BTreeMap::new(), std::collections::BTreeMap::new());
    loop {
        for start in started(&actions) {
            // The slot of this second is a regular one.
            if start.trigger == Trigger::CatchUp {
                *caught_up.entry(start.job.name().to_owned()).or_insert(0_u64) += 1;
            }
        }
        for record in records(&actions) {
            if matches!(record.outcome, Outcome::Missed(MissReason::Limit | MissReason::Asleep | MissReason::Clock)) {
                *missed.entry(record.job.name().to_owned()).or_insert(0) += record.count;
            }
        }
        let runs: Vec<_> = started(&actions).into_iter().cloned().collect();
        if runs.is_empty() {
            break;
        }
        actions = runs.iter().flat_map(|start| machine.end(start)).collect();
    }
    let of = |name: &str| (caught_up.get(name).copied().unwrap_or(0), missed.get(name).copied().unwrap_or(0));
    for name in ["one", "two", "three"] {
        let (ran, missed) = of(name);
        assert_eq!((ran, ran + missed), (1_000, slots - 1), "{name}");
    }
    let (ran, missed) = of("four");
    assert_eq!((ran, ran + missed), (1, slots - 1));
    assert_eq!(machine.scheduler.job_status(&JobId::named("alice", "one")).waiting, 0);
}
