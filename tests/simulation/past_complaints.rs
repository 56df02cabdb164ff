//! What users of other schedulers have complained about: here each of it must be impossible.
//!
//! That a timeout ends only the shell is the business of the executor: `executor::ends::at_its_timeout_a_job_is_ended_with_all_its_processes`,
//! and on the installed programs `system::ends::an_executor_whose_daemon_was_killed_ends_a_job_at_its_timeout`.

use crate::outcomes::{Day, expect, line, scenario};
use crate::setup::{Machine, command, ended, source, started, table};
use cronwheel::schedule::{Timestamp, Zone};
use cronwheel::scheduler::{
    Action, Event, FollowUpTask, JobId, ManualStart, NoticeEvent, Pause, RunId, RunOutcome, SavedState, Scheduler,
    Simulated, simulate,
};
use std::cell::Cell;

const MIDNIGHT: &str = "2026-05-01T00:00:00Z";
const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;

/// A daemon that can be killed at any moment, and what it has stored and reported.
struct Daemon {
    machine: Machine,
    crontab: String,
    saved: SavedState,
    completed: Option<Timestamp>,
    /// Runs that have not ended, with the commands.
    running: Vec<(RunId, JobId, String)>,
    notices: Vec<NoticeEvent>,
    pings: Vec<String>,
    mailed: Vec<bool>,
}

impl Daemon {
    fn new(crontab: &str) -> Daemon {
        let machine = Machine::with_table("", MIDNIGHT);
        let mut daemon = Daemon {
            completed: Some(machine.now.utc),
            machine,
            crontab: crontab.to_owned(),
            saved: SavedState::default(),
            running: Vec::new(),
            notices: Vec::new(),
            pings: Vec::new(),
            mailed: Vec::new(),
        };
        daemon.load(crontab);
        daemon
    }

    fn load(&mut self, crontab: &str) {
        crontab.clone_into(&mut self.crontab);
        let actions = self.machine.load("/spool/alice", crontab);
        self.take(actions);
    }

    fn tell(&mut self, event: Event) {
        let actions = self.machine.tell(event);
        self.take(actions);
    }

    fn take(&mut self, actions: Vec<Action>) {
        let starts = started(&actions).into_iter().map(|start| (start.run, start.job.clone(), command(start)));
        self.running.extend(starts);
        for action in actions {
            match action {
                Action::SaveState(change) => self.saved.apply(*change),
                Action::Completed(moment) => self.completed = Some(moment),
                Action::Notice(notice) => self.notices.push(notice.event),
                Action::Conclude { is_mailed, .. } => self.mailed.push(is_mailed),
                Action::FollowUp(follow_up) => {
                    if let FollowUpTask::Ping { url, .. } = follow_up.task {
                        self.pings.push(url);
                    }
                }
                _ => {}
            }
        }
    }

    /// Lets seconds pass one by one. Runs do not end meanwhile.
    fn pass(&mut self, seconds: i64) {
        for _ in 0..seconds {
            let actions = self.machine.tick_after(1);
            self.take(actions);
        }
    }

    /// Ends the run that has begun first.
    fn end(&mut self, outcome: RunOutcome) {
        let (run, ..) = self.running.remove(0);
        self.tell(ended(run, outcome));
    }

    /// Lets seconds pass in which each run exits at once with the next of these statuses, and then with the last.
    fn pass_with(&mut self, seconds: i64, statuses: &[i32]) {
        let mut statuses = statuses.iter().copied().peekable();
        for _ in 0..seconds {
            self.pass(1);
            while !self.running.is_empty() {
                let status = statuses.next_if(|_| true).unwrap_or(0);
                self.end(RunOutcome::Code(status));
            }
        }
    }

    /// Kills the daemon; after some seconds there is another one, with this crontab. Its executor has kept the runs.
    fn kill(&mut self, seconds: i64, crontab: &str) {
        crontab.clone_into(&mut self.crontab);
        self.machine.now.utc.0 += seconds;
        self.machine.now.elapsed_ms += seconds * 1_000;
        let mut scheduler = Scheduler::new(Zone::utc(), self.machine.now);
        scheduler.reserve_runs_from(self.machine.scheduler.next_run());
        self.machine.scheduler = scheduler;
        // The daemon reads what is stored before it loads the tables.
        let saved = Box::new(self.saved.clone());
        self.load(crontab);
        let running = self.running.iter().map(|(run, job, _)| (*run, job.clone())).collect();
        self.tell(Event::DaemonStarted { boot: false, completed: self.completed, started: Vec::new(), running, saved });
    }

    fn restart(&mut self) {
        let crontab = self.crontab.clone();
        self.kill(5, &crontab);
    }

    fn running(&self) -> Vec<&str> {
        self.running.iter().map(|(.., command)| command.as_str()).collect()
    }
}

/// The outcomes of a day at each of whose starts the daemon finds the next of these crontabs.
fn outcomes_with(day: &Day<'_>, crontabs: &[&str]) -> Vec<String> {
    let starts = Cell::new(0);
    let tables = || {
        let text = crontabs[starts.get().min(crontabs.len() - 1)];
        starts.set(starts.get() + 1);
        vec![(source("/spool/alice"), table(text))]
    };
    let record = |simulated| match simulated {
        Simulated::Ended(record) => Some(line(&record)),
        Simulated::Started(_) | Simulated::Notice(_) => None,
    };
    simulate(scenario(day), tables).filter_map(record).collect()
}

#[test]
fn more_than_a_hundred_missed_starts_do_not_end_a_job() {
    let crontab = |mode| format!("CRON_NAME=a\nCRON_CATCHUP={mode}\n* * * * * a\n");
    let last = ["a 06:01 schedule#1 06:01-06:01 ok 0", "a 06:02 schedule#1 06:02-06:02 ok 0"];
    for (mode, of_the_gap) in
        [("none", vec!["a 00:02 missed down x356 to 05:57"]), ("once", vec!["a 00:02 missed down x357 to 05:58"])]
    {
        let day = Day { crontab: &crontab(mode), until: "06:02", down: &[("00:02", "06:00")], ..Day::default() };
        let found: Vec<String> = crate::outcomes::outcomes(&day).iter().map(line).collect();
        assert_eq!(found[1..=of_the_gap.len()], of_the_gap, "{mode}");
        assert_eq!(found[found.len() - 2..], last, "{mode}");
    }
    let day = Day { crontab: &crontab("all"), until: "23:30", down: &[("00:02", "23:00")], ..Day::default() };
    let found: Vec<String> = crate::outcomes::outcomes(&day).iter().map(line).collect();
    let caught_up = found.iter().filter(|line| line.contains(" catchup#1 ")).count();
    assert_eq!((caught_up, found[1].as_str()), (1_000, "a 00:02 missed limit x378 to 06:19"));
    assert_eq!(found.last().unwrap(), "a 23:30 schedule#1 23:30-23:30 ok 0");
}

#[test]
fn a_paused_job_does_not_count_as_missed() {
    for mode in ["none", "once", "all"] {
        let crontab = format!("CRON_NAME=a\nCRON_CATCHUP={mode}\n30 * * * * a\n");
        // Restarts after the pause, and a daemon that is away at its end.
        for down in [&[("03:10", "03:20"), ("03:22", "03:25")] as &[_], &[("02:40", "03:10"), ("03:12", "03:20")]] {
            let day =
                Day { crontab: &crontab, until: "03:40", down, pauses: &[("a", "01:00", "03:00")], ..Day::default() };
            expect(
                &day,
                &[
                    "a 00:30 schedule#1 00:30-00:30 ok 0",
                    "a 01:30 skipped paused x2 to 02:30",
                    "a 03:30 schedule#1 03:30-03:30 ok 0",
                ],
            );
        }
    }
    let mut daemon = Daemon::new("CRON_NAME=a\nCRON_LATE=5m\n30 * * * * a\n");
    let (from, until) = (daemon.machine.now.utc, Timestamp(daemon.machine.now.utc.0 + 2 * HOUR));
    let pause = Pause { from, until, by: "alice".into(), note: String::new(), is_by_root: false, source: None };
    daemon.tell(Event::Pause { job: JobId::named("alice", "a"), pause });
    daemon.pass_with(3 * HOUR, &[]);
    assert_eq!(daemon.notices, [NoticeEvent::Success], "neither late nor failed");
}

#[test]
fn a_retry_of_one_is_one_further_attempt() {
    for attempts in 0..4 {
        for overlap in ["allow", "skip", "queue", "replace"] {
            let crontab = format!(
                "CRON_NAME=a\nCRON_OVERLAP={overlap}\nCRON_RETRY={attempts},1m,1m\nCRON_TIMEOUT=3m\n0 * * * * a\n"
            );
            // Attempts that fail at once, and attempts whose time is over; with a daemon that is always there, and with restarts.
            for (durations, seconds) in [(&[] as &[(&str, i64)], 60), (&[("a", 600)], 240)] {
                for down in [
                    &[] as &[(&str, &str)],
                    &[("01:00:30", "01:00:40"), ("01:01:10", "01:01:20"), ("01:02", "01:02:30")],
                ] {
                    let day = Day {
                        crontab: &crontab,
                        until: "01:59",
                        durations,
                        exits: &[("a", &[1])],
                        down,
                        ..Day::default()
                    };
                    let runs = crate::outcomes::outcomes(&day);
                    assert_eq!(runs.len(), 1 + attempts, "{crontab} {runs:?}");
                    let first = runs[0].started_at_ms.unwrap();
                    let last = runs[attempts].started_at_ms.unwrap();
                    let waited = (last - first) / 1_000 - attempts as i64 * seconds;
                    assert!((0..60).contains(&waited), "{crontab} {runs:?}");
                }
            }
        }
    }
}

#[test]
fn a_run_that_was_lost_blocks_no_later_slot() {
    for overlap in ["skip", "queue", "replace"] {
        let crontab = format!("CRON_NAME=a\nCRON_OVERLAP={overlap}\nCRON_GROUP=g\nCRON_RETRY=3\n*/10 * * * * a\n");
        for is_restarted in [false, true] {
            let mut daemon = Daemon::new(&crontab);
            daemon.pass(11 * MINUTE);
            assert_eq!(daemon.running(), ["a"]);
            if is_restarted {
                daemon.restart();
            }
            daemon.end(RunOutcome::Lost);
            daemon.pass(5 * MINUTE);
            assert_eq!(daemon.running(), [""; 0], "lost runs are not retried");
            assert_eq!(daemon.notices, [NoticeEvent::Failure]);
            daemon.pass(5 * MINUTE);
            assert_eq!(daemon.running(), ["a"], "{overlap}");
        }
    }
}

#[test]
fn the_ban_on_overlap_is_not_forgotten_over_a_restart() {
    for (overlap, running_at_last) in [("skip", 1), ("queue", 1), ("replace", 1), ("allow", 4)] {
        let crontab = format!("CRON_NAME=a\nCRON_OVERLAP={overlap}\n*/10 * * * * a\n");
        let mut daemon = Daemon::new(&crontab);
        daemon.pass(11 * MINUTE);
        for _ in 0..3 {
            daemon.restart();
            daemon.pass(10 * MINUTE - 5);
        }
        assert_eq!(daemon.running().len(), running_at_last, "{overlap}");
        // What waits starts when the run has ended, and not before.
        daemon.end(RunOutcome::Code(0));
        let waits = ["queue", "replace"].contains(&overlap);
        assert_eq!(daemon.running().len(), running_at_last - usize::from(!waits), "{overlap}");
    }
    // The same where the daemon is away at the slot.
    let crontab = "CRON_NAME=a\nCRON_OVERLAP=skip\nCRON_CATCHUP=all\n*/10 * * * * a\n";
    let down = &[("00:15", "00:30")];
    expect(
        &Day { crontab, until: "01:04", durations: &[("a", 1_500)], down, ..Day::default() },
        &[
            "a 00:10 schedule#1 00:10-00:35 ok 0",
            "a 00:30 skipped still running",
            "a 00:20 catchup#1 00:35-01:00 ok 0",
            "a 00:40 skipped still running x2 to 00:50",
        ],
    );
}

#[test]
fn a_run_by_hand_obeys_the_overlap_rule_and_counts() {
    let day =
        |crontab, runs| Day { crontab, until: "00:25", durations: &[("a", 900), ("b", 60)], runs, ..Day::default() };
    // It is refused while the job runs, and a slot is skipped while it goes on.
    expect(
        &day("CRON_NAME=a\nCRON_OVERLAP=skip\n*/10 * * * * a\n", &[("a", "00:05"), ("a", "00:12")]),
        &["a 00:12 manual skipped still running", "a 00:05 manual#1 00:05-00:20 ok 0", "a 00:10 skipped still running"],
    );
    // It takes a place in the group, and waits for one.
    expect(
        &day("CRON_GROUP=g\nCRON_NAME=a\n@daily a\nCRON_NAME=b\n10 0 * * * b\n", &[("a", "00:05"), ("b", "00:12")]),
        &[
            "a 00:05 manual#1 00:05-00:20 ok 0",
            "b 00:10 schedule#1 00:20-00:21 ok 0",
            "b 00:12 manual#1 00:21-00:22 ok 0",
        ],
    );
    // It counts for the streak of failures.
    let mut daemon = Daemon::new("CRON_NAME=a\nCRON_ALERT=2\n0 * * * * a\n");
    daemon.pass_with(61 * MINUTE, &[1]);
    assert_eq!(daemon.notices, []);
    daemon.tell(Event::RunByHand { job: JobId::named("alice", "a"), start: ManualStart::ByRules });
    daemon.end(RunOutcome::Code(1));
    assert_eq!(daemon.notices, [NoticeEvent::Failure]);
    daemon.tell(Event::RunByHand { job: JobId::named("alice", "a"), start: ManualStart::ByRules });
    daemon.end(RunOutcome::Code(0));
    assert_eq!(daemon.notices[1..], [NoticeEvent::Success, NoticeEvent::Recovery]);
}

#[test]
fn a_missed_slot_is_caught_up_once_however_many_restarts_follow() {
    let down = &[("01:00", "02:00"), ("02:01", "02:02"), ("02:03", "02:04"), ("02:10", "02:20")];
    for (duration, end) in [(0, "02:00"), (150, "02:02:30"), (900, "02:15")] {
        for mode in ["once", "all"] {
            for overlap in ["allow", "skip", "queue", "replace"] {
                let crontab = format!("CRON_NAME=a\nCRON_CATCHUP={mode}\nCRON_OVERLAP={overlap}\n30 1 * * * a\n");
                let day =
                    Day { crontab: &crontab, until: "03:00", durations: &[("a", duration)], down, ..Day::default() };
                expect(&day, &[&format!("a 01:30 catchup#1 02:00-{end} ok 0")]);
            }
        }
    }
    // Nor if the daemon is killed, with the run or without.
    for is_ended in [false, true] {
        let mut daemon = Daemon::new("CRON_NAME=a\nCRON_CATCHUP=all\n30 * * * * a\n");
        daemon.pass(MINUTE);
        let crontab = daemon.crontab.clone();
        daemon.kill(HOUR, &crontab);
        assert_eq!(daemon.running(), ["a"]);
        if is_ended {
            daemon.end(RunOutcome::Code(0));
        }
        for _ in 0..5 {
            daemon.restart();
            daemon.pass(MINUTE);
        }
        assert_eq!(daemon.running().len(), usize::from(!is_ended));
    }
}

#[test]
fn an_edit_of_the_schedule_makes_up_for_nothing() {
    for mode in ["once", "all"] {
        let text =
            |settings: &str, schedule: &str| format!("{settings}CRON_NAME=a\nCRON_CATCHUP={mode}\n{schedule} a\n");
        let old = text("", "30 * * * *");
        let day = Day { until: "04:35", down: &[("01:00", "04:10")], ..Day::default() };
        let first = "a 00:30 schedule#1 00:30-00:30 ok 0";
        // Edited while the daemon is away: neither slots of the old schedule nor of the new one are owed, nor if its zone is another one.
        let found = outcomes_with(&day, &[&old, &text("", "15 * * * *")]);
        assert_eq!(found, [first, "a 04:15 schedule#1 04:15-04:15 ok 0"], "{mode}");
        let found = outcomes_with(&day, &[&old, &text("CRON_TZ=Asia/Kolkata\n", "30 * * * *")]);
        assert_eq!(found, [first], "{mode}");
        // Other edits leave what is owed.
        let found = outcomes_with(&day, &[&old, &text("# moved\nCRON_TIMEOUT=1h\nA=b\n", "30 * * * *")]);
        assert_eq!(found.last().unwrap(), "a 04:30 schedule#1 04:30-04:30 ok 0", "{mode}");
        assert!(found.contains(&"a 03:30 catchup#1 04:10-04:10 ok 0".to_owned()), "{mode}: {found:?}");
        // Edited while it is there: nothing at once, and only later slots are owed.
        let mut daemon = Daemon::new(&old);
        daemon.pass_with(HOUR, &[]);
        let new = text("", "15 * * * *");
        daemon.load(&new);
        assert_eq!(daemon.running(), [""; 0]);
        daemon.kill(10 * MINUTE, &new);
        assert_eq!(daemon.running(), [""; 0], "{mode}");
        daemon.kill(10 * MINUTE, &new);
        assert_eq!(daemon.running(), ["a"], "{mode}");
    }
}

#[test]
fn a_failed_attempt_is_not_reported_if_a_retry_succeeds() {
    let crontab = "CRON_MAIL=failure\nCRON_RETRY=2,1m\nCRON_NAME=a\nCRON_PING=https://h/a\n0 1 * * * a\n";
    for (statuses, notices, pings, mailed) in [
        (&[0] as &[i32], &[NoticeEvent::Success] as &[_], &["https://h/a/start", "https://h/a"] as &[&str], false),
        (&[1, 0], &[NoticeEvent::Success], &["https://h/a/start", "https://h/a"], false),
        (&[1, 1, 0], &[NoticeEvent::Success], &["https://h/a/start", "https://h/a"], false),
        (&[1, 1, 1], &[NoticeEvent::Failure], &["https://h/a/start", "https://h/a/fail"], true),
    ] {
        for is_restarted in [false, true] {
            let mut daemon = Daemon::new(crontab);
            daemon.pass(HOUR);
            for status in statuses {
                if is_restarted {
                    daemon.restart();
                }
                daemon.end(RunOutcome::Code(*status));
                if is_restarted {
                    daemon.restart();
                }
                daemon.pass(3 * MINUTE);
            }
            assert_eq!(daemon.running(), [""; 0]);
            assert_eq!((&daemon.notices[..], &daemon.mailed[..]), (notices, &[mailed][..]), "{statuses:?}");
            assert_eq!(daemon.pings, pings, "{statuses:?}");
        }
    }
}

#[test]
fn there_is_no_recovery_notice_without_a_failure_notice() {
    use NoticeEvent::{Failure, Recovery, Success};
    for (setting, statuses, expected) in [
        ("CRON_ALERT=3\n", &[1, 1, 0] as &[i32], &[Success] as &[NoticeEvent]),
        ("CRON_ALERT=3\n", &[1, 1, 0, 1, 1, 0], &[Success, Success]),
        ("CRON_ALERT=3\n", &[1, 1, 1, 0], &[Failure, Success, Recovery]),
        ("CRON_ALERT=3\n", &[1, 1, 1, 1, 0, 1, 0], &[Failure, Success, Recovery, Success]),
        ("CRON_ALERT=2,2h\n", &[1, 1, 1, 1, 0], &[Failure, Failure, Success, Recovery]),
        ("", &[1, 0], &[Failure, Success, Recovery]),
        ("CRON_RETRY=1,1m\n", &[1, 0, 0], &[Success, Success]),
    ] {
        for is_restarted in [false, true] {
            let mut daemon = Daemon::new(&format!("{setting}CRON_NAME=a\n0 * * * * a\n"));
            daemon.pass(30 * MINUTE);
            for status in statuses {
                while daemon.running.is_empty() {
                    daemon.pass(1);
                }
                if is_restarted {
                    daemon.restart();
                }
                daemon.end(RunOutcome::Code(*status));
                if is_restarted {
                    daemon.restart();
                }
            }
            assert_eq!(daemon.notices, expected, "{setting} {statuses:?}");
        }
    }
}

#[test]
fn recovery_and_late_notices_come_once_and_not_for_every_slot() {
    use NoticeEvent::{Failure, Late, Recovery, Success};
    for is_restarted in [false, true] {
        let mut daemon = Daemon::new("CRON_ALERT=1\nCRON_LATE=25m\nCRON_NAME=a\n*/10 * * * * a\n");
        let pass = |daemon: &mut Daemon, minutes: i64, status: i32| {
            for _ in 0..minutes {
                daemon.pass_with(MINUTE - 5, &[status; 10]);
                match is_restarted {
                    true => daemon.restart(),
                    false => daemon.pass_with(5, &[status; 10]),
                }
                while !daemon.running.is_empty() {
                    daemon.end(RunOutcome::Code(status));
                }
            }
            std::mem::take(&mut daemon.notices)
        };
        assert_eq!(pass(&mut daemon, 120, 1), [Failure, Late]);
        assert_eq!(pass(&mut daemon, 30, 0), [Success, Recovery, Success, Success]);
        // The next incident is reported anew.
        assert_eq!(pass(&mut daemon, 60, 1), [Failure, Late]);
        assert_eq!(pass(&mut daemon, 10, 0), [Success, Recovery]);
    }
}
