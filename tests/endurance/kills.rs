//! Main, executor and recorder are killed at random moments, thousands of times, while jobs are due in each minute of a clock that
//! the test sets. No slot is lost, none runs twice, and each run has one row in the history, which is true.
//!
//! The clock is set forward by a minute in each round, so that there is always work: as long as the jobs of the minutes before have begun, for a
//! restart makes up three minutes. The moments of the kills are random; all else waits for events: the daemon's READY, its timer, the
//! ends of processes.
//!
//! An executor that is killed takes with it what it alone knew. What that is, its journal says in that moment: of a run without an end there, nobody
//! sees the end, and its row says `lost`; of an end without a report, nobody knows whether the mail went out. All else is known, whatever is
//! killed.

use crate::common::clock::now;
use crate::common::{Deadline, Implementation, World};
use crate::fake::{Clock, VARIABLES};
use crate::soak_machine::recorded;
use crate::world;
use cronwheel::executor::read_journal;
use cronwheel::schedule::Timestamp;
use cronwheel::sys::host;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How many kills there are on all machines, unless the variable CRONWHEEL_KILLS says so.
const KILLS: usize = 2000;
/// Without that variable, a machine that is so busy that they take longer has fewer kills. In seconds.
const KILLS_LIMIT_S: u64 = 300;
const MACHINES: usize = 4;

/// Each run appends to it when it begins and when it ends, the mailer for each mail, and the test when a round begins.
const LEDGER: &str = "/run/ledger";
const NOTIFY_SOCKET: &str = "/run/notify";
const STDERR: &str = "/run/stderr";
const DATABASE: &str = "/var/lib/cronwheel/history/history.db";
/// A mailer that appends the mail's run in one write.
const MAILER: &str = "#!/bin/sh
while read -r line; do
    case $line in 'mail of '*) echo \"mail ${line#mail of }\" >>/run/ledger ;; esac
done
";

/// Jobs of each minute, how a run of them ends, and what only their command has.
const JOBS: [(&str, &str, &str); 4] = [
    ("quick", "ok", ": quick;"),
    ("failing", "failed", ": failing;"),
    ("slow", "ok", ": slow;"),
    ("lenient", "ok", ": lenient;"),
];
const TABLE: &str = "\
CRON_NAME=quick
* * * * * root : quick; echo begin $CRON_RUN_ID $CRON_JOB $CRON_SCHEDULED_AT >>/run/ledger; echo end $CRON_RUN_ID >>/run/ledger
CRON_NAME=failing
* * * * * root : failing; echo begin $CRON_RUN_ID $CRON_JOB $CRON_SCHEDULED_AT >>/run/ledger; echo mail of $CRON_RUN_ID; echo end $CRON_RUN_ID >>/run/ledger; exit 3
CRON_NAME=slow
* * * * * root : slow; echo begin $CRON_RUN_ID $CRON_JOB $CRON_SCHEDULED_AT >>/run/ledger; sleep 0.3; echo end $CRON_RUN_ID >>/run/ledger
CRON_NAME=lenient
CRON_SUCCESS=0,5
* * * * * root : lenient; echo begin $CRON_RUN_ID $CRON_JOB $CRON_SCHEDULED_AT >>/run/ledger; sleep 0.1; echo end $CRON_RUN_ID >>/run/ledger; exit 5
";

/// Kills of executors after which a daemon does not start another one, within ten minutes.
const EXECUTORS_OF_A_DAEMON: usize = 3;
/// A restart makes up what was due in the last three minutes: so many minutes may pass before the jobs of one of them begin.
const UNHANDLED: i64 = 2;
/// A busy machine may take so long for what is over in a moment otherwise. In seconds.
const PATIENCE_S: u64 = 120;
/// The directory of the executors' journals.
const RUN_DIRECTORY: &str = "/run/cronwheel";

#[test]
fn main_and_recorder_are_killed_on_a_first_machine() {
    let Some(world) = world!(Implementation::OursDebian, ["sqlite3"]) else { return };
    Machine::boot(world, 1).run(&[Victim::Main, Victim::Main, Victim::Recorder]);
}

#[test]
fn main_and_recorder_are_killed_on_a_second_machine() {
    let Some(world) = world!(Implementation::OursDebian, ["sqlite3"]) else { return };
    Machine::boot(world, 2).run(&[Victim::Main, Victim::Main, Victim::Main, Victim::Recorder]);
}

#[test]
fn all_processes_are_killed_on_a_first_machine() {
    let Some(world) = world!(Implementation::OursDebian, ["sqlite3"]) else { return };
    Machine::boot(world, 3).run(&[Victim::Main, Victim::Main, Victim::Executor, Victim::Recorder]);
}

#[test]
fn all_processes_are_killed_on_a_second_machine() {
    let Some(world) = world!(Implementation::OursDebian, ["sqlite3"]) else { return };
    Machine::boot(world, 4).run(&[Victim::Main, Victim::Executor]);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Victim {
    Main,
    Executor,
    Recorder,
}

struct Machine {
    world: World,
    clock: Clock,
    random: fastrand::Rng,
    ledger: File,
    /// Reads what jobs append to it.
    ledger_reader: File,
    /// The latest minute of which a job has begun, or that the daemon is known to have handled.
    handled: i64,
    notified: UnixDatagram,
    main: Child,
    /// Whether the daemon has said READY since it was started, or since its executor was killed.
    is_ready: bool,
    /// The minutes for which jobs were due, each with its round.
    minutes: BTreeMap<i64, usize>,
    last_minute: i64,
    /// How many executors of this daemon were killed.
    executors_of_daemon: usize,
    /// What was gone with the killed executors.
    gone: Gone,
    killed: BTreeMap<Victim, usize>,
    round: usize,
    /// Writes to the log, too.
    log_socket: UnixDatagram,
}

fn start() -> Child {
    Command::new(Implementation::OursDebian.daemon())
        .args([Implementation::OursDebian.foreground(), "--mailer", "/run/mailer"])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("NOTIFY_SOCKET", NOTIFY_SOCKET)
        .envs(VARIABLES)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(OpenOptions::new().create(true).append(true).open(STDERR).unwrap())
        .spawn()
        .expect("the daemon")
}

impl Machine {
    fn boot(world: World, seed: u64) -> Machine {
        world
            .run("useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin _cronwheel")
            .ok();
        fs::write("/run/mailer", MAILER).unwrap();
        fs::write("/etc/cronwheel.toml", "history-runs = 100000\n").unwrap();
        world.run("chmod 755 /run/mailer && ln -sfn /usr/share/zoneinfo/UTC /etc/localtime").ok();
        world.drop_in("jobs", TABLE);
        let ledger = OpenOptions::new().create(true).append(true).open(LEDGER).unwrap();
        let notified = UnixDatagram::bind(NOTIFY_SOCKET).unwrap();
        let clock = Clock::new(i64::try_from(now().as_secs()).unwrap() / 60 * 60 - 30);
        let main = start();
        let mut machine = Machine {
            world,
            clock,
            random: fastrand::Rng::with_seed(seed),
            ledger,
            ledger_reader: File::open(LEDGER).unwrap(),
            handled: 0,
            notified,
            main,
            is_ready: false,
            minutes: BTreeMap::new(),
            last_minute: 0,
            executors_of_daemon: 0,
            gone: Gone::default(),
            killed: BTreeMap::new(),
            round: 0,
            log_socket: UnixDatagram::unbound().unwrap(),
        };
        machine.wait_until_handled();
        machine.last_minute = machine.handled;
        machine
    }

    fn run(mut self, victims: &[Victim]) {
        let given: Option<usize> = std::env::var("CRONWHEEL_KILLS").ok().map(|kills| kills.parse().expect("a number"));
        let kills = given.unwrap_or(KILLS) / MACHINES;
        let began = now();
        let may_go_on = || given.is_some() || (now() - began).as_secs() < KILLS_LIMIT_S;
        while self.killed.values().sum::<usize>() < kills && may_go_on() {
            self.round += 1;
            writeln!(self.ledger, "round").unwrap();
            self.note(&format!("round {}: minute {}", self.round, Timestamp(self.minute() * 60)));
            // Two of three restarts are finished before something else is killed.
            if self.random.u8(0..3) > 0 {
                self.wait_until_ready();
            }
            self.read_ledger();
            if self.minute() >= self.handled + UNHANDLED {
                self.wait_until_handled();
            }
            self.pass_a_minute();
            std::thread::sleep(Duration::from_micros(self.random.u64(0..30_000)));
            let victim = victims[self.random.usize(0..victims.len())];
            self.kill(victim);
        }
        let seconds = (now() - began).as_secs();
        println!("killed in {seconds} s: {:?}; minutes: {}", self.killed, self.minutes.len());
        assert!(!self.killed.is_empty(), "nothing was killed in {seconds} s");
        self.end();
    }

    /// Waits for the READY of a daemon that was started, or has another executor.
    fn wait_until_ready(&mut self) {
        self.notified.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let deadline = Deadline::seconds(PATIENCE_S);
        let mut message = [0; 4096];
        while !self.is_ready {
            if let Ok(size) = self.notified.recv(&mut message) {
                self.is_ready = String::from_utf8_lossy(&message[..size]).contains("READY=1");
            } else if let Some(status) = self.main.try_wait().unwrap() {
                self.give_up(&format!("the daemon has ended with {status}"));
            } else if deadline.passed() {
                self.give_up("no READY in time");
            }
        }
    }

    /// The log without what jobs do.
    fn log(&self) -> Vec<String> {
        let noise = [") CMD (", ") FAILED (", ") LOST (", "runuser", "pidfile fd", "@reboot jobs"];
        let lines = self.world.log.lines();
        lines.into_iter().filter(|line| !noise.iter().any(|part| line.contains(part))).collect()
    }

    /// Prints the log of these rounds and those about them.
    fn print_log(&self, rounds: &BTreeSet<usize>) {
        let mut is_shown = false;
        for line in self.world.log.lines().iter().filter(|line| !line.contains("runuser")) {
            if let Some((_, round)) = line.split_once(" test: round ") {
                let round: usize = round.split(':').next().unwrap_or_default().parse().unwrap();
                is_shown = (round.saturating_sub(2)..=round + 3).any(|round| rounds.contains(&round));
            }
            if is_shown {
                println!("{line}");
            }
        }
    }

    /// Fails with what the daemon has said last.
    fn give_up(&self, why: &str) -> ! {
        let log = self.log();
        let stderr = fs::read_to_string(STDERR).unwrap_or_default();
        panic!("{why}: {:?}, {stderr}\n{:#?}", self.killed, &log[log.len().saturating_sub(30)..]);
    }

    /// Forgets what a daemon that is gone now has said.
    fn forget_readiness(&mut self) {
        self.is_ready = false;
        self.notified.set_nonblocking(true).unwrap();
        let mut message = [0; 4096];
        while self.notified.recv(&mut message).is_ok() {}
        self.notified.set_nonblocking(false).unwrap();
    }

    /// The minute that the clock shows, counted from 1970.
    fn minute(&self) -> i64 {
        self.clock.shows().div_euclid(60)
    }

    /// Reads which slots have begun since it was last called.
    fn read_ledger(&mut self) {
        let mut text = String::new();
        self.ledger_reader.read_to_string(&mut text).unwrap();
        let slots = text.lines().filter_map(|line| line.strip_prefix("begin ")?.rsplit(' ').next());
        let minutes = slots.filter_map(|slot| Some(Timestamp::parse_rfc3339(slot).ok()?.0.div_euclid(60)));
        self.handled = minutes.max().unwrap_or(0).max(self.handled);
    }

    /// Waits until the daemon has recorded that all that was due is begun or saved. What it has only begun to do is not: if it is killed then, the
    /// next one makes it up, unless more than three minutes have passed.
    fn wait_until_handled(&mut self) {
        self.wait_until_ready();
        let minute = self.minute();
        let is_recorded = || {
            // Nobody else wakes the daemon when time goes by.
            if self.clock.armed().is_some_and(|armed| armed <= self.clock.shows()) {
                self.clock.expire_timer();
            }
            recorded().filter(|recorded| *recorded >= minute * 60)
        };
        Deadline::seconds(PATIENCE_S).wait_for("the record of what was started", is_recorded);
        self.handled = minute;
    }

    /// Sets the clock forward by a minute: a jump of up to five minutes leaves out no slot. Time that passes for both clocks would be seen as a
    /// step by a daemon that reads one of them before and the other one after it.
    fn pass_a_minute(&mut self) {
        self.clock.set(60);
        self.note_minutes();
    }

    /// Notes the minutes that have begun.
    fn note_minutes(&mut self) {
        let round = self.round;
        self.minutes.extend((self.last_minute + 1..=self.minute()).map(|minute| (minute, round)));
        self.last_minute = self.minute();
    }

    /// Writes to the log what the test does.
    fn note(&self, text: &str) {
        self.log_socket.send_to(format!("<13>test: {text}").as_bytes(), "/dev/log").unwrap();
    }

    fn kill(&mut self, victim: Victim) {
        self.note(&format!("killing {victim:?} of {}, ready {}", self.main.id(), self.is_ready));
        let is_killed = match victim {
            Victim::Main => {
                self.main.kill().unwrap();
                self.main.wait().unwrap();
                self.forget_readiness();
                self.main = start();
                self.executors_of_daemon = 0;
                true
            }
            Victim::Executor => self.kill_executor(),
            Victim::Recorder => self.child(|line| line.ends_with("cronctl recorder")).is_some_and(end),
        };
        if is_killed {
            *self.killed.entry(victim).or_default() += 1;
        }
    }

    fn kill_executor(&mut self) -> bool {
        if self.executors_of_daemon >= EXECUTORS_OF_A_DAEMON || !self.is_ready {
            return false;
        }
        let Some(executor) = self.child(|line| !line.contains("cronctl")) else { return false };
        // It writes nothing more to its journal while that is read.
        if kill(pid_of(executor), Signal::SIGSTOP).is_err() {
            return false;
        }
        Deadline::seconds(PATIENCE_S).wait_for("the executor's stop", || is_stopped(executor).then_some(()));
        self.gone.take_up(executor);
        self.forget_readiness();
        self.executors_of_daemon += 1;
        end(executor)
    }

    /// The first child of main whose arguments are accepted.
    fn child(&self, accepts: impl Fn(&str) -> bool) -> Option<u32> {
        let main = self.main.id();
        let children = fs::read_to_string(format!("/proc/{main}/task/{main}/children")).ok()?;
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(|pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            !line.is_empty() && accepts(line.trim_end())
        })
    }

    /// Lets everything end, and compares.
    fn end(mut self) {
        Deadline::seconds(PATIENCE_S)
            .wait_for("the middle of a minute", || (5..50).contains(&(self.clock.shows() % 60)).then_some(()));
        self.note_minutes();
        self.wait_until_handled();
        self.world.run("rm /etc/cron.d/jobs").ok();
        let query = |sql: &str| -> Vec<String> {
            let line = format!("cd / && runuser -u _cronwheel -- sqlite3 -readonly {DATABASE} \"{sql}\"");
            self.world.run(&line).stdout.lines().map(str::to_owned).collect()
        };
        let has_jobs = || self.world.processes().iter().any(|process| process.line.contains("CRON_RUN_ID"));
        Deadline::seconds(PATIENCE_S).wait_for("the jobs' ends", || (!has_jobs()).then_some(()));
        let is_complete = || query("SELECT count(*) FROM runs WHERE outcome = 'running'") == ["0"];
        Deadline::seconds(PATIENCE_S).try_wait_for(|| is_complete().then_some(()));
        kill(pid_of(self.main.id()), Signal::SIGTERM).unwrap();
        assert!(self.main.wait().unwrap().success());
        let has_recorder = || self.world.processes().iter().any(|process| process.line.ends_with("cronctl recorder"));
        Deadline::seconds(PATIENCE_S).wait_for("the recorder's end", || (!has_recorder()).then_some(()));
        let rows = query("SELECT run, job, scheduled_at / 60000, outcome, ifnull(mail, '') FROM runs");
        self.compare(&rows);
    }

    fn compare(&self, rows: &[String]) {
        let text = fs::read_to_string(LEDGER).unwrap();
        let ledger = Ledger::read(&text);
        let mut wrong = ledger.wrong.clone();
        let mut slots: HashMap<(String, i64), Vec<&String>> = HashMap::new();
        let mut is_recorded: HashSet<u64> = HashSet::new();
        let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
        let mut rounds: BTreeSet<usize> = BTreeSet::new();
        for row in rows {
            let parts: Vec<&str> = row.split('|').collect();
            let [run, job, minute, outcome, mail] = parts[..] else { panic!("{row}") };
            slots.entry((job.to_owned(), minute.parse().unwrap())).or_default().push(row);
            *outcomes.entry(outcome).or_default() += 1;
            let Ok(run) = run.parse::<u64>() else {
                wrong.push(format!("a slot without a run: {row}"));
                continue;
            };
            if !is_recorded.insert(run) {
                wrong.push(format!("two rows of a run: {row}"));
            }
            let noted = ledger.runs.get(&run);
            let mails = ledger.mails.get(&run).copied().unwrap_or(0);
            if let Err(why) = self.judge(run, job, outcome, (mails, mail), noted) {
                rounds.extend(noted.map(|noted| noted.begin));
                wrong.push(format!("{why}: {noted:?}, {mails} mails, and the row is {row}"));
            }
        }
        for run in ledger.runs.keys().filter(|run| !is_recorded.contains(run)) {
            rounds.insert(ledger.runs[run].begin);
            wrong.push(format!("run {run} without a row: {:?}", ledger.runs[run]));
        }
        for (name, ..) in JOBS {
            for (minute, round) in &self.minutes {
                let found = slots.remove(&(format!("root:{name}"), *minute)).unwrap_or_default();
                if found.len() != 1 {
                    rounds.insert(*round);
                    let runs = found.iter().filter_map(|row| row.split('|').next()?.parse::<u64>().ok());
                    rounds.extend(runs.filter_map(|run| Some(ledger.runs.get(&run)?.begin)));
                    wrong.push(format!("{name} at {}: {found:?}", Timestamp(minute * 60)));
                }
            }
        }
        wrong.extend(slots.keys().map(|slot| format!("not due: {slot:?}")));
        self.compare_log(&ledger, &mut wrong);
        println!(
            "{} slots, {} runs, {} rows: {outcomes:?}; {} mails; {} ends and {} mails were gone with their executor",
            self.minutes.len() * JOBS.len(),
            ledger.runs.len(),
            rows.len(),
            ledger.mails.len(),
            self.gone.unseen.len(),
            self.gone.unreported.len(),
        );
        if !wrong.is_empty() {
            self.print_log(&rounds);
        }
        assert!(wrong.is_empty(), "{} wrong: {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    }

    /// Whether a row says what its run, the mailer and the journals of killed executors say.
    fn judge(
        &self,
        run: u64,
        job: &str,
        outcome: &str,
        (mails, mail): (usize, &str),
        noted: Option<&Noted<'_>>,
    ) -> Result<(), &'static str> {
        let Some((_, usual, _)) = JOBS.iter().find(|(name, ..)| job.strip_prefix("root:") == Some(*name)) else {
            return Err("no such job");
        };
        let is_unseen = self.gone.unseen.contains(&run);
        if outcome != if is_unseen { "lost" } else { usual } {
            return Err("the outcome is not that of the run");
        }
        let has_ended = noted.is_some_and(|noted| noted.end.is_some() && noted.job == job);
        // The process of an unseen run may not have come to say that it begins.
        if !has_ended && !is_unseen {
            return Err("the run has not noted its end");
        }
        let is_right = match (*usual == "failed", is_unseen, self.gone.unreported.contains(&run)) {
            (false, ..) | (true, true, _) => mails == 0 && mail.is_empty(),
            // The mailer goes on without the executor, or had not been started.
            (true, false, true) => mails <= 1 && mail.is_empty(),
            (true, false, false) => mails == 1 && mail == "sent",
        };
        if is_right { Ok(()) } else { Err("the mail is not that of the row") }
    }

    /// Each run has a line in the log for its start and, if it fails, one for its end, but those whose executor was killed before it could write
    /// them.
    fn compare_log(&self, ledger: &Ledger<'_>, wrong: &mut Vec<String>) {
        let lines = self.world.log.lines();
        for (name, usual, mark) in JOBS {
            let count = |event: &str| lines.iter().filter(|line| line.contains(event) && line.contains(mark)).count();
            let job = format!("root:{name}");
            let runs: Vec<u64> =
                ledger.runs.iter().filter(|(_, noted)| noted.job == job).map(|(run, _)| *run).collect();
            let of = |gone: &HashSet<u64>| runs.iter().filter(|run| gone.contains(run)).count();
            let (unseen, unreported) = (of(&self.gone.unseen), of(&self.gone.unreported));
            // Some of the unseen ones have not noted their begin.
            let starts = (runs.len() - unseen, runs.len() + self.gone.unseen.len());
            let failures = if usual == "failed" { (runs.len() - unseen - unreported, runs.len()) } else { (0, 0) };
            for (event, (least, most)) in [(") CMD (", starts), (") FAILED (", failures)] {
                let found = count(event);
                if !(least..=most).contains(&found) {
                    wrong.push(format!("{found} lines {event:?} of {name}, and not {least} to {most}"));
                }
            }
        }
    }
}

/// What only the killed executors knew.
#[derive(Debug, Default)]
struct Gone {
    /// Runs that have been started, and whose end the executor had not recorded.
    unseen: HashSet<u64>,
    /// Runs whose end it had recorded, but not what became of the mail.
    unreported: HashSet<u64>,
}

impl Gone {
    /// Adds what the journal of a stopped executor lacks. An executor that has started nothing has no journal.
    fn take_up(&mut self, executor: u32) {
        let started = host::process_started(executor).expect("the executor");
        let Ok(journal) = File::open(format!("{RUN_DIRECTORY}/executor-{executor}-{started}.journal")) else { return };
        // Nothing is too old to be kept for somebody who lives in 1970.
        let content = read_journal(&journal, &host::boot().id, 0).expect("a journal");
        assert!(!content.is_of_another_boot && !content.is_damaged, "the journal of {executor}");
        for (run, known) in content.runs {
            match (known.result, known.mail) {
                (None, _) => drop(self.unseen.insert(run.0)),
                (Some(_), None) => drop(self.unreported.insert(run.0)),
                (Some(_), Some(_)) => {}
            }
        }
    }
}

fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T"))
}

fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap())
}

fn end(pid: u32) -> bool {
    kill(pid_of(pid), Signal::SIGKILL).is_ok()
}

/// A run as it has noted itself: the rounds of its begin and its end.
#[derive(Clone, Debug)]
struct Noted<'a> {
    job: &'a str,
    begin: usize,
    end: Option<usize>,
}

/// What runs, the mailer and the test have noted.
#[derive(Debug, Default)]
struct Ledger<'a> {
    runs: HashMap<u64, Noted<'a>>,
    mails: HashMap<u64, usize>,
    wrong: Vec<String>,
}

impl<'a> Ledger<'a> {
    fn read(text: &'a str) -> Ledger<'a> {
        let mut ledger = Ledger::default();
        let mut round = 0;
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let run = words.get(1).and_then(|run| run.parse::<u64>().ok());
            match (words[0], run, words.get(2)) {
                ("round", None, None) => round += 1,
                ("mail", Some(run), None) => *ledger.mails.entry(run).or_default() += 1,
                ("begin", Some(run), Some(job)) => {
                    if ledger.runs.insert(run, Noted { job, begin: round, end: None }).is_some() {
                        ledger.wrong.push(format!("begun twice: {line}"));
                    }
                }
                ("end", Some(run), None) if ledger.runs.contains_key(&run) => {
                    let noted = ledger.runs.get_mut(&run).unwrap();
                    if noted.end.replace(round).is_some() {
                        ledger.wrong.push(format!("ended twice: {line}"));
                    }
                }
                _ => ledger.wrong.push(format!("in the ledger: {line:?}")),
            }
        }
        ledger
    }
}
