//! Anacron jobs on a simulated machine: periods, delays, hours, stamps and restarts.

use super::*;
use crate::crontab::MailRule;
use crate::crontab::{Context, Crontab, Dialect, Form, KnownNames, Limits};
use crate::schedule::{HostKey, OnlyUtc};
use crate::scheduler::{
    AtStop, Event, ManualStart, Now, Owner, Pause, PauseScope, Preparation, RunCause, RunRecord, RunResult, Scheduler,
};
use std::collections::VecDeque;

/// A machine: the files of anacron's jobs, the system's own lines, a clock.
struct Machine {
    scheduler: Scheduler,
    tab: Option<Arc<Anacrontab>>,
    stamps: BTreeMap<Vec<u8>, Day>,
    is_on_battery: bool,
    /// The stamps of these cannot be written.
    unwritable: Vec<Vec<u8>>,
    zone: Arc<Zone>,
    now: Timestamp,
    found: Vec<String>,
    running: Vec<RunRequest>,
    /// What ran, with the moment of its start.
    ran: Vec<(Timestamp, String)>,
    records: Vec<RunRecord>,
}

const DIALECT: Dialect = Dialect {
    limits: Limits {
        command: 998,
        user_lines: None,
        user_entries: None,
        user_settings: None,
        user_bytes: 1 << 20,
        system_bytes: 1 << 20,
        header_lines: 0,
    },
    refuse_unsafe_mailto: true,
    address_marks: b"@",
};

fn moment(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn day(text: &str) -> Day {
    Day::parse(text.as_bytes()).unwrap()
}

fn source() -> Source {
    Source { path: "/etc/anacrontab".into(), name: "*system*".into(), owner: Owner::System }
}

fn parse(tab: &str) -> Arc<Anacrontab> {
    let (parsed, said) = Anacrontab::parse(tab.as_bytes(), "/etc/anacrontab", HostKey(1));
    assert!(said.is_empty(), "{said:?}");
    Arc::new(parsed)
}

impl Machine {
    /// A machine whose daemon has not begun yet.
    fn new(tab: &str, now: &str) -> Machine {
        let (now, zone) = (moment(now), Zone::utc());
        Machine {
            scheduler: Scheduler::new(zone.clone(), Now { utc: now, elapsed_ms: now.0 * 1000 }),
            tab: Some(parse(tab)),
            stamps: BTreeMap::new(),
            is_on_battery: false,
            unwritable: Vec::new(),
            zone,
            now,
            found: Vec::new(),
            running: Vec::new(),
            ran: Vec::new(),
            records: Vec::new(),
        }
    }

    fn stamped(mut self, id: &str, on: &str) -> Machine {
        self.stamps.insert(id.into(), day(on));
        self
    }

    fn loaded(&self) -> Event {
        let (table, stamps) = (self.tab.clone(), self.stamps.clone());
        Event::LoadAnacrontab { source: source(), table, stamps, is_on_battery: self.is_on_battery }
    }

    /// Handles an event and does what is asked for, as the daemon does.
    fn handle(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.scheduler.handle(event, Now { utc: self.now, elapsed_ms: self.now.0 * 1000 }) {
                match action {
                    Action::ReadAnacrontab => events.push_back(self.loaded()),
                    Action::AnacronJobDue { id, .. } => self.found.push(text(&id)),
                    Action::PrepareAnacronJob { id } => {
                        let ready = Preparation::Ready { stamp: self.stamps.get(&id).copied() };
                        let is_writable = !self.unwritable.contains(&id);
                        events.push_back(Event::AnacronJobPrepared(if is_writable {
                            ready
                        } else {
                            Preparation::Failed
                        }));
                    }
                    Action::WriteStamp { id, day, cause } => {
                        if cause == StampCause::RegularLine {
                            self.ran.push((self.now, format!("line of {}", text(&id))));
                        }
                        self.stamps.insert(id, day);
                    }
                    Action::Start(start) if start.source == source() => {
                        self.ran.push((self.now, start.job.as_str().trim_start_matches("root:").to_owned()));
                        self.running.push(*start);
                    }
                    Action::Start(start) => {
                        events.push_back(Event::RunEnded(Box::new(RunResult::of_outcome(
                            start.run,
                            RunOutcome::Code(0),
                            0,
                        ))));
                    }
                    Action::Record(record) => self.records.push(*record),
                    Action::WasAway(_)
                    | Action::UpdateRow(_)
                    | Action::Jumped { .. }
                    | Action::Completed(_)
                    | Action::SaveState(_)
                    | Action::Notice(_)
                    | Action::Conclude { .. }
                    | Action::Skipped { .. } => {}
                    Action::WarnOfEntry(_) => {}
                    Action::FollowUp(_)
                    | Action::ReserveRuns(_)
                    | Action::End { .. }
                    | Action::Fleet(_)
                    | Action::ExtendRuns { .. } => {
                        panic!("{action:?}")
                    }
                }
            }
        }
    }

    /// The start of a daemon, with these lines in /etc/crontab.
    fn boot_with(&mut self, lines: &str) {
        self.boot_after(lines, Vec::new(), &[]);
    }

    fn boot(&mut self) {
        self.boot_with("");
    }

    /// The start of a daemon after another one, whose runs `earlier` have no results yet; those of `is_running` are in progress.
    fn boot_after(&mut self, lines: &str, earlier: Vec<EarlierRun>, is_running: &[RunId]) {
        let reached = self.scheduler.next_run();
        self.scheduler = Scheduler::new(self.zone.clone(), Now { utc: self.now, elapsed_ms: self.now.0 * 1000 });
        self.scheduler.starts.runs.next_id = self.scheduler.starts.runs.next_id.max(reached.0);
        let context = Context {
            form: Form::System,
            dialect: &DIALECT,
            name: "/etc/crontab",
            host: HostKey(1),
            known: KnownNames::of_zones(&OnlyUtc),
        };
        let table = Crontab::parse(lines.as_bytes(), &context).unwrap().table;
        self.handle(Event::Load { source: Source { path: "/etc/crontab".into(), ..source() }, table });
        self.handle(self.loaded());
        let running = earlier.iter().filter(|run| is_running.contains(&run.run));
        let running = running.map(|run| (run.run, run.job.clone())).collect();
        self.handle(Event::EarlierRuns(earlier));
        self.running.retain(|start| is_running.contains(&start.run));
        self.handle(Event::DaemonStarted {
            boot: false,
            completed: None,
            started: Vec::new(),
            running,
            saved: Box::default(),
        });
    }

    /// Begins, and gives what is found due.
    fn found_at_boot(&mut self) -> Vec<String> {
        self.boot();
        std::mem::take(&mut self.found)
    }

    /// Something has changed; gives what is newly found due.
    fn change(&mut self) -> Vec<String> {
        self.found.clear();
        self.handle(Event::AnacrontabChanged);
        std::mem::take(&mut self.found)
    }

    /// Sets the clock; gives what is newly found due.
    fn jump(&mut self, to: &str) -> Vec<String> {
        let before = self.now;
        self.now = moment(to);
        self.found.clear();
        // Elapsed time continues from where it was.
        self.scheduler.progress.last.elapsed_ms = (self.now.0 - 1) * 1000;
        assert_ne!(before, self.now);
        self.handle(Event::Tick);
        std::mem::take(&mut self.found)
    }

    fn end(&mut self, end: RunOutcome) {
        let start = self.running.pop().expect("a run");
        self.handle(Event::RunEnded(Box::new(RunResult::of_outcome(start.run, end, 0))));
    }

    /// Lets time pass without an end of runs in progress.
    fn live_without_ends(&mut self, until: Timestamp) {
        while let Some(at) = self.scheduler.wake_at().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.handle(Event::Tick);
        }
        self.now = until;
    }

    /// Lets time pass to `until`; every job takes `takes` seconds.
    fn live(&mut self, until: Timestamp, takes: i64) {
        let mut ends: Option<Timestamp> = None;
        loop {
            if ends.take_if(|at| *at <= self.now).is_some() {
                self.end(RunOutcome::Code(0));
            }
            if ends.is_none() && !self.running.is_empty() {
                assert_eq!(self.running.len(), 1, "one after the other");
                ends = Some(Timestamp(self.now.0 + takes));
            }
            let next = [self.scheduler.wake_at(), ends].into_iter().flatten().min();
            match next.filter(|at| *at <= until) {
                Some(at) => self.now = at.max(self.now),
                None => break,
            }
            self.handle(Event::Tick);
        }
        if ends.is_some() {
            self.end(RunOutcome::Code(0));
        }
        self.now = until;
    }

    fn wake_at(&self) -> Option<Timestamp> {
        self.scheduler.entries.anacron.wake_at(&self.scheduler.jobs)
    }
}

fn text(id: &[u8]) -> String {
    String::from_utf8_lossy(id).into_owned()
}

#[test]
fn a_job_is_due_when_its_days_have_passed() {
    for (period, stamp, today, due) in [
        ("1", "20261122", "2026-11-22", false),
        ("1", "20261121", "2026-11-22", true),
        ("1", "20261119", "2026-11-22", true),
        ("1", "20261023", "2026-11-22", true),
        ("@daily", "20261121", "2026-11-22", true),
        ("@daily", "20261122", "2026-11-22", false),
        ("7", "20261116", "2026-11-22", false),
        ("7", "20261115", "2026-11-22", true),
        ("@weekly", "20261116", "2026-11-22", false),
        ("@weekly", "20261101", "2026-11-22", true),
        ("30", "20261023", "2026-11-22", true),
        ("30", "20261024", "2026-11-22", false),
        // A clock that was wrong: the stamp is of a day to come.
        ("1", "20261123", "2026-11-22", true),
        ("@monthly", "20380101", "2026-11-22", true),
        // The same day of the next month.
        ("@monthly", "20261101", "2026-11-30", false),
        ("@monthly", "20261101", "2026-12-01", true),
        ("@monthly", "20261201", "2026-12-30", false),
        ("@monthly", "20261201", "2027-01-01", true),
        ("@monthly", "20260131", "2026-02-27", false),
        ("@monthly", "20260131", "2026-02-28", true),
        ("@monthly", "20240131", "2024-02-28", false),
        ("@monthly", "20240131", "2024-02-29", true),
        ("@monthly", "20260201", "2026-03-01", true),
        ("@monthly", "20260228", "2026-03-27", false),
        ("@monthly", "20260228", "2026-03-28", true),
        ("@yearly", "20250101", "2025-12-31", false),
        ("@yearly", "20250101", "2026-01-01", true),
        // As long as the last month or year was: anacron's rule, a day or more early after a short one.
        ("@monthly", "20260301", "2026-03-28", false),
        ("@monthly", "20260301", "2026-03-29", true),
        ("@yearly", "20240101", "2024-12-30", false),
        ("@yearly", "20240101", "2024-12-31", true),
    ] {
        let tab = format!("{period} 0 job true\n");
        let mut machine = Machine::new(&tab, &format!("{today}T12:00:00Z")).stamped("job", stamp);
        assert_eq!(machine.found_at_boot().len(), usize::from(due), "{period} {stamp} {today}");
    }
    assert_eq!(Machine::new("@yearly 0 job true\n", "2026-11-22T12:00:00Z").found_at_boot(), ["job"], "no stamp");
}

#[test]
fn a_stamp_names_the_day_of_the_look_and_not_that_of_the_end() {
    let mut machine = Machine::new("1 10 job true\n", "2026-11-22T23:55:00Z");
    machine.boot();
    machine.now = moment("2026-11-23T00:05:00Z");
    machine.handle(Event::Tick);
    assert_eq!(machine.running.len(), 1, "its time has come");
    assert_eq!(machine.change(), [] as [&str; 0], "a job that runs is not started again");
    machine.end(RunOutcome::Code(1));
    assert_eq!(machine.stamps[b"job".as_slice()], day("20261122"));
}

#[test]
fn jobs_start_in_their_hours_only() {
    for (setting, delay, now, starts) in [
        ("START_HOURS_RANGE=3-22", 5, "2026-11-22T02:01:00Z", false),
        ("START_HOURS_RANGE=3-22", 5, "2026-11-22T02:55:00Z", true),
        ("START_HOURS_RANGE=3-22", 5, "2026-11-22T02:54:59Z", false),
        ("START_HOURS_RANGE=3-22", 5, "2026-11-22T21:54:59Z", true),
        ("START_HOURS_RANGE=3-22", 5, "2026-11-22T21:55:00Z", false),
        ("START_HOURS_RANGE=0-24", 0, "2026-11-22T00:00:00Z", true),
        ("PREFERRED_HOUR=4", 0, "2026-11-22T03:59:59Z", false),
        ("PREFERRED_HOUR=4", 0, "2026-11-22T04:59:59Z", true),
        ("PREFERRED_HOUR=4", 0, "2026-11-22T05:00:00Z", false),
    ] {
        let mut machine = Machine::new(&format!("{setting}\n1 {delay} job true\n"), now);
        assert_eq!(machine.found_at_boot().len(), usize::from(starts), "{setting} {now}");
    }
    let mut machine = Machine::new("START_HOURS_RANGE=3-22\n1 5 job true\n", "2026-11-22T00:30:00Z");
    machine.boot();
    machine.live(moment("2026-11-22T23:00:00Z"), 60);
    assert_eq!(machine.ran, [(moment("2026-11-22T03:06:00Z"), "job".to_owned())], "left for the first check in them");
}

#[test]
fn a_random_delay_counts_for_the_hours_and_for_the_start() {
    let tab = "RANDOM_DELAY=45\nSTART_HOURS_RANGE=3-22\n1 5 job true\n";
    let mut machine = Machine::new(tab, "2026-11-22T04:00:00Z");
    machine.boot();
    machine.live(moment("2026-11-22T05:00:00Z"), 1);
    let [(at, _)] = machine.ran.as_slice() else { panic!("{:?}", machine.ran) };
    let minutes = (at.0 - moment("2026-11-22T04:00:00Z").0) / 60;
    assert!((5..=50).contains(&minutes), "{minutes}");
}

#[test]
fn jobs_run_one_after_the_other_by_their_delays() {
    let tab = "1 10 third x\n1 5 first x\n1 5 second x\n7 25 fourth x\n";
    let mut machine = Machine::new(tab, "2026-11-22T12:00:00Z");
    assert_eq!(machine.found_at_boot(), ["first", "second", "third", "fourth"]);
    machine.live(moment("2026-11-22T15:00:00Z"), 4 * 60);
    let ran: Vec<(String, &str)> = machine.ran.iter().map(|(at, id)| (at.to_string(), id.as_str())).collect();
    let at = |time: &str| format!("2026-11-22T{time}:00Z");
    assert_eq!(ran, [(at("12:05"), "first"), (at("12:09"), "second"), (at("12:13"), "third"), (at("12:25"), "fourth")]);
}

fn earlier(start: &RunRequest) -> EarlierRun {
    let cause = Some(RunCause { trigger: start.trigger, attempt: start.attempt });
    EarlierRun { run: start.run, job: start.job.clone(), scheduled_at: Timestamp(start.scheduled_at), cause }
}

#[test]
fn a_restart_runs_nothing_again_and_what_runs_is_waited_for() {
    let mut machine = Machine::new("1 0 a x\n1 0 b x\n", "2026-11-22T12:00:00Z");
    machine.boot();
    let running = machine.running.last().map(earlier).expect("a is due");
    // Another daemon, while the job is running.
    machine.boot_after("", vec![running.clone()], &[running.run]);
    machine.live_without_ends(moment("2026-11-22T12:30:00Z"));
    assert_eq!(machine.ran.len(), 1, "one after the other: {:?}", machine.ran);
    machine.end(RunOutcome::Code(0));
    assert_eq!(machine.stamps[b"a".as_slice()], day("20261122"));
    machine.live(moment("2026-11-22T13:30:00Z"), 1);
    machine.boot();
    machine.live(moment("2026-11-22T15:30:00Z"), 1);
    let ids: Vec<&str> = machine.ran.iter().map(|(_, id)| id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
}

#[test]
fn a_run_that_ended_between_two_daemons_has_its_stamp_with_the_day_on_which_it_was_due() {
    for (end, stamp) in [
        (RunOutcome::Code(1), Some("20261122")),
        (RunOutcome::Lost, Some("20261122")),
        (RunOutcome::NotStarted { why: "x".into() }, None),
    ] {
        let mut machine = Machine::new("1 10 a+b x\n1 0 c x\n", "2026-11-22T23:55:00Z").stamped("c", "20261122");
        machine.boot();
        machine.now = moment("2026-11-23T00:05:00Z");
        machine.handle(Event::Tick);
        let running = machine.running.last().map(earlier).expect("it is due");
        assert_eq!(running.job.as_str(), "root:a_b");
        machine.boot_after("", vec![running.clone()], &[]);
        let started: Vec<&str> = machine.ran.iter().map(|(_, id)| id.as_str()).collect();
        assert_eq!(started, ["a_b", "c"], "it keeps no other job waiting, and is not started again");
        machine.handle(Event::RunEnded(Box::new(RunResult::of_outcome(running.run, end, 0))));
        assert_eq!(machine.stamps.get(b"a+b".as_slice()).copied(), stamp.map(day));
    }
}

#[test]
fn an_earlier_run_whose_end_is_never_reported_does_not_keep_its_job_from_running_for_ever() {
    let mut machine = Machine::new("1 0 a x\n", "2026-11-22T12:00:00Z");
    machine.boot();
    let lost = machine.running.last().map(earlier).expect("a is due");
    machine.boot_after("", vec![lost], &[]);
    machine.live(moment("2026-11-22T14:00:00Z"), 1);
    let ran: Vec<String> = machine.ran.iter().map(|(at, _)| at.to_string()).collect();
    assert_eq!(ran, ["2026-11-22T12:00:00Z", "2026-11-22T12:01:00Z"]);
}

#[test]
fn a_jump_of_the_clock_neither_loses_nor_doubles_a_job() {
    for (jump, starts) in [
        ("2026-11-22T15:00:00Z", "2026-11-22T15:00:00Z"),
        ("2026-11-22T04:00:00Z", "2026-11-22T04:30:00Z"),
        ("2026-11-25T09:00:00Z", "2026-11-25T09:00:00Z"),
        ("2026-11-20T09:00:00Z", "2026-11-20T09:30:00Z"),
    ] {
        let mut machine = Machine::new("1 30 job true\n", "2026-11-22T12:00:00Z");
        machine.boot();
        machine.jump(jump);
        machine.live(Timestamp(machine.now.0 + 3600), 1);
        assert_eq!(machine.ran, [(moment(starts), "job".to_owned())], "{jump}");
        assert_eq!(machine.stamps[b"job".as_slice()], Day::at(machine.now, &machine.zone), "{jump}");
    }
    let mut machine = Machine::new("START_HOURS_RANGE=8-18\n1 30 job true\n", "2026-11-22T12:00:00Z");
    machine.boot();
    assert_eq!(machine.jump("2026-11-22T20:00:00Z"), [] as [&str; 0]);
    machine.live(moment("2026-11-23T07:00:00Z"), 1);
    assert_eq!(machine.ran, [], "woken outside of the hours");
}

#[test]
fn what_cannot_be_started_waits_for_the_next_regular_look() {
    for is_prepared in [false, true] {
        let mut machine = Machine::new("1 0 job true\n", "2026-11-22T12:00:00Z");
        if !is_prepared {
            machine.unwritable.push(b"job".to_vec());
        }
        assert_eq!(machine.found_at_boot(), ["job"]);
        if is_prepared {
            machine.end(RunOutcome::NotStarted { why: "x".into() });
        }
        assert_eq!(machine.running, []);
        assert_eq!(machine.change(), [] as [&str; 0]);
        assert_eq!(machine.wake_at(), Some(moment("2026-11-22T12:01:00Z")));
        machine.live(moment("2026-11-22T12:01:00Z"), 1);
        assert_eq!(machine.found, ["job"]);
    }
}

#[test]
fn on_battery_nothing_is_found_due_until_the_machine_is_off_it() {
    let mut machine = Machine::new("1 0 job true\n", "2026-11-22T12:00:00Z");
    machine.is_on_battery = true;
    assert_eq!(machine.found_at_boot(), [] as [&str; 0]);
    assert_eq!(machine.wake_at(), Some(moment("2026-11-22T12:01:00Z")));
    machine.live(moment("2026-11-22T12:30:00Z"), 1);
    machine.is_on_battery = false;
    assert_eq!(machine.change(), ["job"]);
}

#[test]
fn a_stopped_scheduler_starts_nothing_and_writes_the_stamp_of_what_ends() {
    let mut machine = Machine::new("1 0 a x\n1 0 b x\n", "2026-11-22T12:00:00Z");
    machine.boot();
    machine.handle(Event::Stop { queue: AtStop::LeaveToNext, jobs: AtStop::LeaveToNext });
    machine.end(RunOutcome::Code(0));
    machine.handle(Event::AnacrontabChanged);
    machine.handle(Event::Tick);
    assert_eq!((machine.ran.len(), machine.stamps.len(), machine.wake_at()), (1, 1, Some(machine.now)));
    assert_eq!(machine.scheduler.wake_at(), None);
}

#[test]
fn without_a_table_nothing_wakes_and_with_one_minute_1_does() {
    let mut machine = Machine::new("1 0 job true\n", "2026-11-22T12:00:00Z").stamped("job", "20261122");
    for (now, next) in [
        ("2026-11-22T12:00:00Z", "2026-11-22T12:01:00Z"),
        ("2026-11-22T12:00:59Z", "2026-11-22T12:01:00Z"),
        ("2026-11-22T12:01:00Z", "2026-11-22T13:01:00Z"),
        ("2026-11-22T12:59:00Z", "2026-11-22T13:01:00Z"),
    ] {
        machine.now = moment(now);
        machine.boot();
        assert_eq!(machine.wake_at(), Some(moment(next)), "{now}");
    }
    machine.zone = Arc::new(Zone::embedded("Asia/Kolkata").unwrap());
    machine.now = moment("2026-11-22T12:00:00Z");
    machine.boot();
    assert_eq!(machine.wake_at(), Some(moment("2026-11-22T12:31:00Z")), "18:01 there");
    assert_eq!(machine.scheduler.summary().next_due, None, "no crontab has an entry");
    machine.tab = None;
    assert_eq!(machine.change(), [] as [&str; 0]);
    assert_eq!((machine.wake_at(), machine.scheduler.wake_at()), (None, None));
}

#[test]
fn a_changed_table_drops_what_is_no_longer_in_it() {
    let mut machine = Machine::new("1 10 a x\n1 20 b x\n", "2026-11-22T12:00:00Z");
    machine.boot();
    machine.tab = Some(parse("1 10 a y\n1 20 b x\n"));
    machine.now = moment("2026-11-22T12:05:00Z");
    assert_eq!(machine.change(), ["a"], "another command, planned anew; b waits as before");
    machine.live(moment("2026-11-22T12:59:00Z"), 1);
    let starts: Vec<(String, &str)> = machine.ran.iter().map(|(at, id)| (at.to_string(), id.as_str())).collect();
    assert_eq!(starts, [("2026-11-22T12:15:00Z".into(), "a"), ("2026-11-22T12:20:00Z".into(), "b")]);
}

#[test]
fn a_command_names_a_directory_as_a_word_of_its_own() {
    for (command, named) in [
        ("run-parts /etc/cron.daily", true),
        ("test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }", true),
        ("run-parts '/etc/cron.daily/'", true),
        ("/etc/cron.daily/logrotate", false),
        ("run-parts /etc/cron.daily.d", false),
        ("run-parts /srv/etc/cron.daily", false),
        ("run-parts /etc/cron.weekly", false),
        ("/etc/cron.dailyish; ls /etc/cron.daily", true),
    ] {
        assert_eq!(names(command.as_bytes(), "/etc/cron.daily"), named, "{command}");
    }
}

/// Debian's lines, and Debian's anacrontab.
const LINES: &str = "25 6 * * * root test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }\n\
    47 6 * * 7 root test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.weekly; }\n\
    52 6 1 * * root test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.monthly; }\n";
const TAB: &str = "1 5 cron.daily run-parts --report /etc/cron.daily\n\
    7 10 cron.weekly run-parts --report /etc/cron.weekly\n\
    @monthly 15 cron.monthly run-parts --report /etc/cron.monthly\n";

#[test]
fn a_line_of_a_system_table_is_in_charge_on_a_machine_that_is_on() {
    let mut machine = Machine::new(TAB, "2025-12-31T20:00:00Z")
        .stamped("cron.daily", "20251231")
        .stamped("cron.weekly", "20251228")
        .stamped("cron.monthly", "20251201");
    machine.boot_with(LINES);
    machine.live(moment("2026-12-31T20:00:00Z"), 60);
    let count = |id: &str| machine.ran.iter().filter(|(_, ran)| ran == id).count();
    let counts = ["cron.daily", "cron.weekly", "cron.monthly"].map(|id| (count(&format!("line of {id}")), count(id)));
    assert_eq!(counts, [(365, 0), (52, 0), (12, 0)]);
}

#[test]
fn what_a_line_has_missed_is_made_up_for_once() {
    for (stamp, boots, ran) in [
        // Off at 6:25 of this day.
        ("20261121", "2026-11-22T09:00:00Z", vec!["2026-11-22T09:05:00Z cron.daily"]),
        // Off for days, on before 6:25: the days missed once, then the line for today.
        (
            "20261118",
            "2026-11-22T05:00:00Z",
            vec!["2026-11-22T05:05:00Z cron.daily", "2026-11-22T06:25:00Z line of cron.daily"],
        ),
        // Nothing missed.
        ("20261121", "2026-11-22T05:00:00Z", vec!["2026-11-22T06:25:00Z line of cron.daily"]),
        ("20261122", "2026-11-22T09:00:00Z", vec![]),
        // The line comes while the job waits.
        ("20261118", "2026-11-22T06:21:00Z", vec!["2026-11-22T06:25:00Z line of cron.daily"]),
    ] {
        let lines = LINES.lines().next().unwrap().to_owned() + "\n";
        let tab = TAB.lines().next().unwrap().to_owned() + "\n";
        let mut machine = Machine::new(&tab, boots).stamped("cron.daily", stamp);
        machine.boot_with(&lines);
        machine.live(moment("2026-11-22T23:00:00Z"), 60);
        let found: Vec<String> = machine.ran.iter().map(|(at, id)| format!("{at} {id}")).collect();
        assert_eq!(found, ran, "{stamp} {boots}");
    }
}

/// A laptop that is on in the office's hours of some days, without lines in a system table.
#[test]
fn a_year_on_a_machine_that_is_often_off() {
    let mut machine = Machine::new(TAB, "2026-01-01T00:00:00Z")
        .stamped("cron.daily", "20251231")
        .stamped("cron.weekly", "20251231")
        .stamped("cron.monthly", "20251201");
    let (mut random, mut days_on) = (fastrand::Rng::with_seed(7), 0);
    for number in 0..365 {
        if random.u8(0..4) == 0 {
            continue;
        }
        days_on += 1;
        let morning = moment("2026-01-01T08:00:00Z").0 + number * 86_400 + random.i64(0..7200);
        machine.now = Timestamp(morning);
        machine.boot();
        machine.live(Timestamp(morning + 8 * 3600), 300);
    }
    let of = |id: &str| -> Vec<i64> {
        machine.ran.iter().filter(|(_, ran)| ran == id).map(|(at, _)| at.0.div_euclid(86_400)).collect()
    };
    let daily = of("cron.daily");
    assert_eq!(daily.len(), days_on, "once on every day on which it was on");
    assert!(daily.windows(2).all(|days| days[0] < days[1]));
    let gaps = |days: &[i64]| days.windows(2).map(|days| days[1] - days[0]).collect::<Vec<_>>();
    let weekly = gaps(&of("cron.weekly"));
    assert!(weekly.len() > 40 && weekly.iter().all(|gap| (7..14).contains(gap)), "{weekly:?}");
    let monthly = gaps(&of("cron.monthly"));
    assert!(monthly.len() >= 10 && monthly.iter().all(|gap| (28..38).contains(gap)), "{monthly:?}");
}

/// Pauses a job for an hour.
fn pause(machine: &mut Machine, name: &str) {
    let (from, until) = (machine.now, Timestamp(machine.now.0 + 3_600));
    let pause = Pause { from, until, by: "root".into(), note: String::new(), is_by_root: true, source: None };
    machine.handle(Event::Pause { job: JobId::named("root", name), pause });
}

#[test]
fn a_job_has_the_policy_of_the_settings_above_it() {
    let tab =
        "CRON_TIMEOUT=2m\nCRON_RETRY=1,30s\nCRON_MAIL=failure\nCRON_LIMITS=nice=9\n1 0 a x\nCRON_RETRY=0\n1 0 b y\n";
    let mut machine = Machine::new(tab, "2026-11-22T12:00:00Z");
    machine.boot();
    let [start] = machine.running.as_slice() else { panic!("{:?}", machine.running) };
    let RunRules { timeout, retries_left, mail, limits, .. } = start.rules.clone();
    assert_eq!((timeout, retries_left, mail, limits.nice), (Some(120), 1, MailRule::Failure, Some(9)));
    machine.end(RunOutcome::Code(1));
    assert_eq!(machine.running, [], "b waits for the retry of a");
    machine.now = Timestamp(machine.now.0 + 30);
    machine.handle(Event::Tick);
    let [retry] = machine.running.as_slice() else { panic!("{:?}", machine.running) };
    assert_eq!((retry.job.as_str(), retry.attempt, retry.trigger), ("root:a", 2, Trigger::Retry));
    machine.end(RunOutcome::Code(0));
    assert_eq!(machine.running.len(), 1);
    machine.end(RunOutcome::Code(1));
    assert_eq!(machine.running, [], "b has no retry");
    let outcomes: Vec<(&str, &str, &str)> =
        machine.records.iter().map(|of| (of.job.name(), of.trigger.as_str(), of.outcome.as_str())).collect();
    assert_eq!(outcomes, [("a", "anacron", "failed"), ("a", "retry", "ok"), ("b", "anacron", "failed")]);
    assert_eq!(machine.stamps.len(), 2);
}

#[test]
fn a_job_that_is_not_enabled_runs_by_hand_only_and_that_counts_as_its_run() {
    let mut machine = Machine::new("CRON_ENABLED=no\n1 0 off x\nCRON_ENABLED=yes\n1 30 on y\n", "2026-11-22T12:00:00Z");
    assert_eq!(machine.found_at_boot(), ["on"]);
    for name in ["off", "on"] {
        machine.handle(Event::RunByHand { job: JobId::named("root", name), start: ManualStart::ByRules });
        let [start] = machine.running.as_slice() else { panic!("{:?}", machine.running) };
        assert_eq!((start.job.name(), start.trigger), (name, Trigger::Manual));
        machine.end(RunOutcome::Code(0));
        assert_eq!(machine.stamps[name.as_bytes()], day("20261122"));
    }
    machine.live(moment("2026-11-22T18:00:00Z"), 1);
    assert_eq!(machine.ran.len(), 2, "{:?}", machine.ran);
}

#[test]
fn a_paused_job_starts_after_the_pause() {
    let mut machine = Machine::new("1 5 job x\n1 10 other y\n", "2026-11-22T12:00:00Z");
    machine.boot();
    pause(&mut machine, "job");
    machine.live(moment("2026-11-22T12:20:00Z"), 1);
    assert_eq!(machine.ran, [(moment("2026-11-22T12:10:00Z"), "other".to_owned())]);
    let mut resumed = machine;
    resumed.handle(Event::Resume { job: JobId::named("root", "job") });
    assert_eq!(resumed.records.last().map(|record| record.outcome.as_str()), Some("ok"));
    resumed.live(moment("2026-11-22T12:40:00Z"), 1);
    assert_eq!(resumed.ran.last(), Some(&(moment("2026-11-22T12:25:00Z"), "job".to_owned())));
    // The pause ends by itself, and the next regular check finds the job.
    let mut machine = Machine::new("1 5 job x\n", "2026-11-22T12:00:00Z");
    machine.boot();
    pause(&mut machine, "job");
    machine.live(moment("2026-11-22T14:00:00Z"), 1);
    assert_eq!(machine.ran, [(moment("2026-11-22T13:06:00Z"), "job".to_owned())]);
    assert_eq!(machine.stamps[b"job".as_slice()], day("20261122"));
    let skipped = machine.records.iter().filter(|record| record.outcome.reason() == Some("paused"));
    assert!(skipped.map(|record| record.count).sum::<u64>() >= 1, "{:?}", machine.records);
}

#[test]
fn the_retry_of_a_paused_job_does_not_hold_the_others() {
    let mut machine = Machine::new("CRON_RETRY=1,30s\n1 0 a x\n1 1 b y\n", "2026-11-22T12:00:00Z");
    machine.boot();
    machine.end(RunOutcome::Code(1));
    pause(&mut machine, "a");
    machine.now = Timestamp(machine.now.0 + 120);
    machine.handle(Event::Tick);
    let running: Vec<&str> = machine.running.iter().map(|start| start.job.as_str()).collect();
    assert_eq!(running, ["root:b"]);
}

#[test]
fn ids_are_unique_though_identifiers_become_equal_names() {
    let mut machine = Machine::new("1 0 a:b@c x\n1 0 a_b_c y\n", "2026-11-22T12:00:00Z");
    machine.boot_with("CRON_NAME=a_b_c\n0 1 * * * root z\n");
    let anacron: Vec<String> = machine.scheduler.anacron_jobs().iter().map(|job| job.id.to_string()).collect();
    let entry = machine.scheduler.entries().next().and_then(|live| live.id()).expect("an entry").to_string();
    assert_eq!(anacron[0], "root:a_b_c");
    assert!(anacron[1].starts_with("root:y-") && entry.starts_with("root:z-"), "{anacron:?} {entry}");
    machine.tab = None;
    machine.change();
    let entry = machine.scheduler.entries().next().and_then(|live| live.id()).expect("an entry").to_string();
    assert_eq!(entry, "root:a_b_c", "the name is free again");
}

#[test]
fn all_jobs_start_after_a_pause_of_all() {
    let mut machine = Machine::new("1 5 daily a\n", "2026-11-22T10:00:00Z");
    machine.boot();
    let (from, until) = (machine.now, moment("2026-11-22T12:00:00Z"));
    let pause = Pause { from, until, by: "root".into(), note: String::new(), is_by_root: true, source: None };
    machine.handle(Event::PauseAll { scope: PauseScope::Everybody, pause: pause.clone() });
    machine.handle(Event::Pause { job: JobId::named("root", "daily"), pause });
    machine.live(moment("2026-11-22T11:59:59Z"), 1);
    assert!(machine.ran.is_empty(), "{:?}", machine.ran);
    machine.live(moment("2026-11-22T14:00:00Z"), 1);
    assert_eq!(machine.ran.len(), 1, "{:?}", machine.ran);
}
