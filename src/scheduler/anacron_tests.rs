use super::*;
use crate::crontab::{Context, Crontab, Dialect, Form, Limits};
use crate::schedule::{HostKey, Zones};
use crate::scheduler::{Event, Now};
use std::collections::HashMap;
use std::sync::Arc;

/// A machine: stamps, the system's own lines, a clock.
struct Machine {
    anacron: Anacron,
    stamps: HashMap<Vec<u8>, Day>,
    lines: Scheduler,
    zone: Arc<Zone>,
    now: Timestamp,
    /// What ran, with the moment of its start.
    ran: Vec<(Timestamp, String)>,
    next_run: u64,
}

struct Seen<'a>(&'a HashMap<Vec<u8>, Day>, &'a Scheduler);

impl Evidence for Seen<'_> {
    fn stamp(&self, id: &[u8]) -> Option<Day> {
        self.0.get(id).copied()
    }
    fn regular(&self, directory: &str, after: Timestamp) -> Option<Timestamp> {
        self.1.runs_directory_after(directory, after)
    }
}

struct OnlyUtc;

impl Zones for OnlyUtc {
    fn named(&self, _: &str) -> Option<Arc<Zone>> {
        None
    }
    fn system(&self) -> Arc<Zone> {
        Zone::utc()
    }
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
};

fn moment(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn day(text: &str) -> Day {
    Day::parse(text.as_bytes()).unwrap()
}

impl Machine {
    fn new(tab: &str, now: &str) -> Machine {
        let (parsed, said) = Anacrontab::parse(tab.as_bytes(), "/etc/anacrontab", HostKey(1));
        assert!(said.is_empty(), "{said:?}");
        let mut anacron = Anacron::default();
        anacron.set_table(Some(parsed));
        let (now, zone) = (moment(now), Zone::utc());
        let lines = Scheduler::new(zone.clone(), Now { utc: now, elapsed_ms: 0 });
        Machine { anacron, stamps: HashMap::new(), lines, zone, now, ran: Vec::new(), next_run: 0 }
    }

    /// With Debian's lines in /etc/crontab.
    fn with_lines(mut self, text: &str) -> Machine {
        let context =
            Context { form: Form::System, dialect: &DIALECT, name: "/etc/crontab", host: HostKey(1), zones: &OnlyUtc };
        let table = Crontab::parse(text.as_bytes(), &context).unwrap().table;
        let source = Source { path: "/etc/crontab".into(), name: "*system*".into(), owner: Owner::System };
        self.lines.handle(Event::Load { source, table }, Now { utc: self.now, elapsed_ms: 0 });
        self
    }

    fn stamped(mut self, id: &str, on: &str) -> Machine {
        self.stamps.insert(id.into(), day(on));
        self
    }

    fn look(&mut self, occasion: Occasion) -> Vec<String> {
        let found = self.anacron.look(occasion, &Seen(&self.stamps, &self.lines), self.now, &self.zone);
        found.iter().map(|planned| String::from_utf8_lossy(&planned.job.id).into_owned()).collect()
    }

    /// Starts what may start now.
    fn take(&mut self) -> Option<(String, RunId)> {
        let planned = self.anacron.take_next(self.now)?;
        if !self.anacron.is_still_due(&planned, &Seen(&self.stamps, &self.lines), self.now, &self.zone) {
            return self.take();
        }
        self.next_run += 1;
        let run = RunId(self.next_run);
        self.anacron.started(&planned, run);
        let id = String::from_utf8_lossy(&planned.job.id).into_owned();
        self.ran.push((self.now, id.clone()));
        Some((id, run))
    }

    fn end(&mut self, run: RunId) {
        let ended = self.anacron.ended(run).expect("it runs");
        self.stamps.insert(ended.id, ended.day);
    }

    /// Lets time go on to `until`; every job takes `takes` seconds.
    fn live(&mut self, until: Timestamp, takes: i64) {
        let mut ends: Option<(Timestamp, RunId)> = None;
        loop {
            if let Some((_, run)) = ends.take_if(|(at, _)| *at <= self.now) {
                self.end(run);
            }
            if self.anacron.wants_to_look(self.now) {
                self.look(Occasion::Regular);
            }
            self.start_lines();
            if let Some((_, run)) = self.take() {
                ends = Some((Timestamp(self.now.0 + takes), run));
                continue;
            }
            let next = [self.anacron.wake_at(), ends.map(|(at, _)| at), self.lines.wake_at()];
            match next.into_iter().flatten().min().filter(|at| *at <= until) {
                Some(at) => self.now = at.max(self.now),
                None => break,
            }
        }
        if let Some((_, run)) = ends {
            self.end(run);
        }
        self.now = until;
    }

    /// A daemon's begin: nothing planned, a look at once.
    fn boot(&mut self) {
        let tab = self.anacron.tab.take();
        self.anacron = Anacron::default();
        self.anacron.set_table(tab);
        self.look(Occasion::Regular);
    }

    fn start_lines(&mut self) {
        let now = Now { utc: self.now, elapsed_ms: self.now.0 * 1000 };
        for action in self.lines.handle(Event::Tick, now) {
            if let crate::scheduler::Action::Start(start) = action {
                let today = Day::at(self.now, &self.zone);
                for id in self.anacron.counts_as_run_of(&start.command) {
                    self.ran.push((self.now, format!("line of {}", String::from_utf8_lossy(&id))));
                    self.stamps.insert(id, today);
                }
            }
        }
    }

    fn begin_lines(&mut self) {
        self.lines.handle(
            Event::Begin { boot: false, completed: None, started: Vec::new(), running: Vec::new() },
            Now { utc: self.now, elapsed_ms: self.now.0 * 1000 },
        );
    }
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
        assert_eq!(machine.look(Occasion::Regular).len(), usize::from(due), "{period} {stamp} {today}");
    }
    assert_eq!(
        Machine::new("@yearly 0 job true\n", "2026-11-22T12:00:00Z").look(Occasion::Regular),
        ["job"],
        "no stamp"
    );
}

#[test]
fn a_stamp_names_the_day_of_the_look_and_not_that_of_the_end() {
    let mut machine = Machine::new("1 10 job true\n", "2026-11-22T23:55:00Z");
    machine.look(Occasion::Regular);
    machine.now = moment("2026-11-23T00:05:00Z");
    let (_, run) = machine.take().expect("its time has come");
    assert_eq!(machine.look(Occasion::Change), [] as [&str; 0], "a job that runs is not started again");
    machine.end(run);
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
        assert_eq!(machine.look(Occasion::Regular).len(), usize::from(starts), "{setting} {now}");
    }
    let mut machine = Machine::new("START_HOURS_RANGE=3-22\n1 5 job true\n", "2026-11-22T00:30:00Z");
    machine.look(Occasion::Regular);
    machine.live(moment("2026-11-22T23:00:00Z"), 60);
    assert_eq!(machine.ran, [(moment("2026-11-22T03:06:00Z"), "job".to_owned())], "left for the first look in them");
}

#[test]
fn a_random_delay_counts_for_the_hours_and_for_the_start() {
    let tab = "RANDOM_DELAY=45\nSTART_HOURS_RANGE=3-22\n1 5 job true\n";
    let mut machine = Machine::new(tab, "2026-11-22T04:00:00Z");
    machine.look(Occasion::Regular);
    machine.live(moment("2026-11-22T05:00:00Z"), 1);
    let [(at, _)] = machine.ran.as_slice() else { panic!("{:?}", machine.ran) };
    let minutes = (at.0 - moment("2026-11-22T04:00:00Z").0) / 60;
    assert!((5..=50).contains(&minutes), "{minutes}");
}

#[test]
fn jobs_run_one_after_the_other_by_their_delays() {
    let tab = "1 10 third x\n1 5 first x\n1 5 second x\n7 25 fourth x\n";
    let mut machine = Machine::new(tab, "2026-11-22T12:00:00Z");
    assert_eq!(machine.look(Occasion::Regular), ["first", "second", "third", "fourth"]);
    machine.live(moment("2026-11-22T15:00:00Z"), 4 * 60);
    let ran: Vec<(String, &str)> = machine.ran.iter().map(|(at, id)| (at.to_string(), id.as_str())).collect();
    let at = |time: &str| format!("2026-11-22T{time}:00Z");
    assert_eq!(ran, [(at("12:05"), "first"), (at("12:09"), "second"), (at("12:13"), "third"), (at("12:25"), "fourth")]);
}

#[test]
fn a_restart_runs_nothing_again_and_what_runs_is_waited_for() {
    let mut machine = Machine::new("1 0 a x\n1 0 b x\n", "2026-11-22T12:00:00Z");
    machine.look(Occasion::Regular);
    let (id, run) = machine.take().expect("a is due");
    assert_eq!(id, "a");
    let running = machine.anacron.running().cloned().expect("it runs");
    // Another daemon, while the job goes on.
    machine.boot();
    machine.anacron.inherit(Running { run: None, ..running });
    assert_eq!(machine.look(Occasion::Regular), [] as [&str; 0], "all that is due is planned or runs");
    assert_eq!(machine.anacron.wake_at(), Some(Timestamp(machine.now.0 + INHERITED_LOOK)));
    assert!(machine.take().is_none(), "one after the other");
    assert!(machine.anacron.ended(run).is_none(), "that run was another daemon's");
    let ended = machine.anacron.inherited_ended().expect("it was inherited");
    machine.stamps.insert(ended.id, ended.day);
    machine.look(Occasion::Regular);
    machine.live(moment("2026-11-22T13:30:00Z"), 1);
    machine.boot();
    machine.live(moment("2026-11-22T15:30:00Z"), 1);
    let ids: Vec<&str> = machine.ran.iter().map(|(_, id)| id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
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
        machine.look(Occasion::Regular);
        machine.now = moment(jump);
        machine.look(Occasion::Jump);
        machine.live(Timestamp(machine.now.0 + 3600), 1);
        assert_eq!(machine.ran, [(moment(starts), "job".to_owned())], "{jump}");
        assert_eq!(machine.stamps[b"job".as_slice()], Day::at(machine.now, &machine.zone), "{jump}");
    }
    let mut machine = Machine::new("START_HOURS_RANGE=8-18\n1 30 job true\n", "2026-11-22T12:00:00Z");
    machine.look(Occasion::Regular);
    machine.now = moment("2026-11-22T20:00:00Z");
    assert_eq!(machine.look(Occasion::Jump), [] as [&str; 0]);
    machine.live(moment("2026-11-23T07:00:00Z"), 1);
    assert_eq!(machine.ran, [], "woken outside of the hours");
}

#[test]
fn what_cannot_be_started_waits_for_the_next_regular_look() {
    let mut machine = Machine::new("1 0 job true\n", "2026-11-22T12:00:00Z");
    machine.look(Occasion::Regular);
    machine.anacron.take_next(machine.now).expect("it is due");
    machine.anacron.set_aside(b"job");
    assert_eq!(machine.look(Occasion::Change), [] as [&str; 0]);
    assert_eq!(machine.anacron.wake_at(), Some(moment("2026-11-22T12:01:00Z")));
    assert_eq!(machine.look(Occasion::Regular), ["job"]);
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
        machine.look(Occasion::Regular);
        assert_eq!(machine.anacron.wake_at(), Some(moment(next)), "{now}");
    }
    machine.zone = Arc::new(Zone::embedded("Asia/Kolkata").unwrap());
    machine.now = moment("2026-11-22T12:00:00Z");
    machine.look(Occasion::Regular);
    assert_eq!(machine.anacron.wake_at(), Some(moment("2026-11-22T12:31:00Z")), "18:01 there");
    machine.anacron.set_table(None);
    assert_eq!(machine.look(Occasion::Regular), [] as [&str; 0]);
    assert_eq!(machine.anacron.wake_at(), None);
}

#[test]
fn a_changed_table_drops_what_is_no_longer_in_it() {
    let mut machine = Machine::new("1 10 a x\n1 20 b x\n", "2026-11-22T12:00:00Z");
    machine.look(Occasion::Regular);
    let (tab, _) = Anacrontab::parse(b"1 10 a y\n1 20 b x\n", "/etc/anacrontab", HostKey(1));
    machine.anacron.set_table(Some(tab));
    machine.now = moment("2026-11-22T12:05:00Z");
    assert_eq!(machine.look(Occasion::Change), ["a"], "another command, planned anew; b waits as before");
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

fn debian(now: &str) -> Machine {
    let mut machine = Machine::new(TAB, now).with_lines(LINES);
    machine.begin_lines();
    machine
}

#[test]
fn a_line_of_a_system_table_is_in_charge_on_a_machine_that_is_on() {
    let mut machine = debian("2025-12-31T20:00:00Z")
        .stamped("cron.daily", "20251231")
        .stamped("cron.weekly", "20251228")
        .stamped("cron.monthly", "20251201");
    machine.boot();
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
        let mut machine = Machine::new(&tab, boots).with_lines(&lines).stamped("cron.daily", stamp);
        machine.begin_lines();
        machine.boot();
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
