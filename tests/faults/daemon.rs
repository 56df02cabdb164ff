//! The daemon's processes with an error at each of their system calls, while they load tables, start jobs, are asked, reload and stop: they
//! go on or end as documented, no job runs with other ids than its user's, and afterwards the jobs of every user run.

use crate::common::{Deadline, Implementation, World};
use crate::plan::{self, ERRORS, Fault, Injection, Plan};
use crate::world;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, getgrouplist};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

const USERS: [&str; 3] = ["root", "alice", "bob"];
const TRACE: &str = "/run/trace";
const JOB: &str = "/run/job";
/// A job: a line of its run and its ids for the ledger of its user, in one write.
const SCRIPT: &str = "line=\"$CRON_RUN_ID\"\nwhile read -r name ids; do case $name in Uid:|Gid:|Groups:|CapEff:) \
                      line=\"$line $name $ids\";; esac; done </proc/self/status\necho $line >>/run/ledgers/$1\n";

fn prepare(world: &World) {
    // It may be there already.
    world.run("useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin _cronwheel");
    fs::write(JOB, SCRIPT).unwrap();
    fs::create_dir("/run/ledgers").unwrap();
    fs::set_permissions("/run/ledgers", fs::Permissions::from_mode(0o1777)).unwrap();
    world.drop_in("root", &format!("@every_second root sh {JOB} root\n"));
    for user in ["alice", "bob"] {
        world.crontab(user, &format!("@every_second sh {JOB} {user}\n")).ok();
    }
}

fn ledger(user: &str) -> String {
    fs::read_to_string(format!("/run/ledgers/{user}")).unwrap_or_default()
}

/// The line that a job of this user writes, without the number of its run.
fn expected(user: &str) -> String {
    let account = User::from_name(user).unwrap().unwrap();
    let groups = getgrouplist(&CString::new(user).unwrap(), account.gid).unwrap();
    let mut groups: Vec<u32> = groups.iter().map(|group| group.as_raw()).collect();
    groups.sort_unstable();
    groups.dedup();
    let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
    let (uid, gid) = (account.uid, account.gid);
    let capabilities = if user == "root" { capabilities() } else { "0000000000000000".to_owned() };
    format!(
        "Uid: {uid} {uid} {uid} {uid} Gid: {gid} {gid} {gid} {gid} Groups: {} CapEff: {capabilities}",
        groups.join(" ")
    )
}

/// Those of this process, which is root.
fn capabilities() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap().trim().to_owned()
}

/// What is wrong in the ledgers: runs with other ids than their user's, and runs that were made twice.
fn wrong_lines() -> Vec<String> {
    let mut wrong = Vec::new();
    let mut runs = BTreeSet::new();
    for user in USERS {
        let right = expected(user);
        for line in ledger(user).lines() {
            let (run, ids) = line.split_once(' ').unwrap_or((line, ""));
            if ids != right {
                wrong.push(format!("{user}: {line}; expected {right}"));
            }
            if !runs.insert(run.to_owned()) {
                wrong.push(format!("{user}: run {run} twice"));
            }
        }
    }
    wrong
}

/// Waits until a job of each user has run that had not run before.
fn all_run(seconds: u64) -> Result<(), String> {
    let before = USERS.map(|user| ledger(user).lines().count());
    let behind = || {
        let behind = USERS.iter().zip(before).filter(|(user, before)| ledger(user).lines().count() <= *before);
        behind.map(|(user, _)| (*user).to_owned()).collect::<Vec<_>>()
    };
    let all = Deadline::seconds(seconds).try_wait_for(|| behind().is_empty().then_some(()));
    all.ok_or_else(|| format!("no job runs of {}", behind().join(" and ")))
}

/// The users of the runs after this one of which the history says that they did not end well, and the last run that it knows.
fn bad_ends(world: &World, after: u64) -> (BTreeSet<String>, u64) {
    let text = world.run("timeout 5 cronctl history --json --limit 200 2>/dev/null").stdout;
    let rows = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let runs = rows.filter_map(|row| Some((row["run"].as_u64()?, row))).filter(|(run, _)| *run > after);
    let (mut users, mut last) = (BTreeSet::new(), after);
    for (run, row) in runs {
        last = last.max(run);
        if !matches!(row["outcome"].as_str(), None | Some("ok" | "skipped" | "missed")) {
            users.extend(row["user"].as_str().map(str::to_owned));
        }
    }
    (users, last)
}

/// One of the daemon's processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Process {
    Main,
    /// With all that it starts: templates, PAM monitors, children that become jobs, and mailers.
    Executor,
    Recorder,
}

impl Process {
    fn pid(self, world: &World, main: u32) -> Option<u32> {
        let processes = world.processes();
        let children = processes.iter().filter(|process| process.parent == main && process.state != 'Z');
        let is_recorder = |line: &str| line.ends_with("cronctl recorder");
        match self {
            Process::Main => Some(main),
            Process::Executor => children.clone().find(|child| !is_recorder(&child.line)).map(|child| child.pid),
            Process::Recorder => children.clone().find(|child| is_recorder(&child.line)).map(|child| child.pid),
        }
    }
}

/// What the daemon writes to standard error goes to a file, since its executor, which outlives it, would keep a pipe open.
const WORDS: &str = "/run/words";

/// A daemon under test; killed when dropped.
struct Main(Child);

impl Main {
    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn is_alive(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    fn words() -> String {
        fs::read_to_string(WORDS).unwrap_or_default()
    }
}

impl Drop for Main {
    fn drop(&mut self) {
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

/// Starts the daemon, and waits until jobs of all users run.
fn start(world: &World) -> Main {
    let mut command = Command::new(world.implementation.daemon());
    command.arg(world.implementation.foreground()).stdin(Stdio::null()).stdout(Stdio::null());
    let main = Main(command.stderr(fs::File::create(WORDS).unwrap()).spawn().unwrap());
    all_run(20).unwrap_or_else(|why| panic!("{why}: {}\n{}", Main::words(), world.log.lines().join("\n")));
    main
}

/// An strace that is attached to a process; it lets go when it is dropped.
struct Tracer(Child);

impl Tracer {
    /// Attaches to a process, to what descends from it if it is the executor, and to all that they start.
    fn attach(world: &World, process: Process, pid: u32, options: &[String]) -> Tracer {
        let _ = fs::remove_file(TRACE);
        let (mut pids, processes) = (vec![pid], world.processes());
        for other in processes.iter().filter(|other| other.pid > pid && other.state != 'Z') {
            if process == Process::Executor && pids.contains(&other.parent) {
                pids.push(other.pid);
            }
        }
        let strace = Command::new("strace")
            .args(["-f", "-qq", "-o", TRACE])
            .args(options)
            .args(pids.iter().flat_map(|pid| ["-p".to_owned(), pid.to_string()]))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut tracer = Tracer(strace);
        Deadline::seconds(20).wait_for("strace to attach", || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let is_over = tracer.0.try_wait().unwrap().is_some();
            (is_over || status.contains(&format!("TracerPid:\t{}\n", tracer.0.id()))).then_some(())
        });
        tracer
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // With this signal it detaches from everything first: a process that is killed in its stead would be left in the middle of a call.
        // It has ended with its process, perhaps.
        let _ = kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM);
        if Deadline::seconds(10).try_wait_for(|| self.0.try_wait().unwrap()).is_none() {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }
}

fn trace() -> String {
    fs::read_to_string(TRACE).unwrap_or_default()
}

/// What goes on while a fault is due: a table changes, the daemon is asked for a reload, for its jobs and for rows of the history.
struct Work<'a> {
    world: &'a World,
    number: Cell<u32>,
}

impl Work<'_> {
    fn disturb(&self, main: u32) {
        let number = self.number.replace(self.number.get() + 1);
        self.world.drop_in("changing", &format!("# {number}\n@every_second bob true {number}\n"));
        if number.is_multiple_of(3) {
            let _ = kill(Pid::from_raw(main.cast_signed()), Signal::SIGHUP);
        }
        // Whether it gets an answer is its own affair.
        let _ = self.world.run("timeout 5 cronctl list >/dev/null 2>&1; timeout 5 cronctl history >/dev/null 2>&1");
    }
}

/// How often each system call is made in three seconds of that work.
fn counts(world: &World, process: Process, main: u32, work: &Work<'_>) -> BTreeMap<String, usize> {
    let pid = process.pid(world, main).expect("the process");
    let tracer = Tracer::attach(world, process, pid, &[]);
    for _ in 0..3 {
        work.disturb(main);
        let _ = all_run(3);
    }
    drop(tracer);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    // With `-f` a line begins with a process id, and each process counts by itself.
    let mut of_each: BTreeMap<(String, String), usize> = BTreeMap::new();
    for line in trace().lines() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
        if call.is_empty()
            || !call.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        {
            continue;
        }
        let count = of_each.entry((pid.to_owned(), call.to_owned())).or_default();
        *count += 1;
        let most = counts.entry(call.to_owned()).or_default();
        *most = (*most).max(*count);
    }
    counts
}

/// Calls that no error is injected at: the kernel returns none, or they do not return.
const WITHOUT_ERRORS: [&str; 11] = [
    "exit",
    "exit_group",
    "brk",
    "rt_sigreturn",
    "restart_syscall",
    "vfork",
    "getrandom",
    // They never fail, and a shell that root starts sets its ids to what they return.
    "getuid",
    "getgid",
    "geteuid",
    "getegid",
];

/// Each error once for each call, at one of its first calls in turn.
fn faults(counts: &BTreeMap<String, usize>, random: &mut fastrand::Rng) -> Vec<Fault> {
    let calls = counts.iter().filter(|(call, _)| !WITHOUT_ERRORS.contains(&call.as_str()));
    let each = calls.flat_map(|(call, count)| ERRORS.iter().map(move |error| (call.clone(), *count, *error)));
    each.map(|(call, count, error)| {
        let when = random.usize(1..=count.clamp(1, 8));
        Fault { call, when, injection: Injection::Error(error) }
    })
    .collect()
}

/// How a daemon under faults has fared.
#[derive(Default, Debug)]
struct Tally {
    reached: usize,
    /// Faults at calls that were not made while they were due.
    unreached: Vec<String>,
    new_main: usize,
    new_process: usize,
    /// How often a run of a user did not end well, which the log has said.
    bad_ends: usize,
    /// Log lines without numbers, and the fault that each came with first.
    lines: BTreeMap<String, String>,
    wrong: Vec<String>,
}

impl Tally {
    fn take_lines(&mut self, lines: &[String], fault: &Fault) {
        for line in lines {
            let text = line.split_once(": ").map_or(line.as_str(), |(_, text)| text);
            let text: String = text.chars().map(|c| if c.is_ascii_digit() { 'N' } else { c }).collect();
            self.lines.entry(text).or_insert_with(|| fault.to_string());
        }
    }

    fn report(&self, what: &str) {
        let Tally { reached, unreached, new_main, new_process, bad_ends, .. } = self;
        println!(
            "{what}: {reached} faults injected, {} not reached ({}); the daemon ended {new_main} times and was started anew, \
             the process was another one {new_process} times, runs of {bad_ends} users did not end well and the log says so",
            unreached.len(),
            unreached.join(", "),
        );
        if std::env::var_os("CRONWHEEL_FAULTS_MESSAGES").is_some() {
            self.lines.iter().for_each(|(line, fault)| println!("{line} ({fault})"));
        }
        assert!(self.wrong.is_empty(), "{} faults:\n{}", self.wrong.len(), self.wrong.join("\n"));
        // What is done meanwhile is not the same each time, so that a call may not be made.
        // A sample has a few faults only: of these three may be such.
        let is_enough = *reached > 0 && unreached.len() <= 3 + (reached + unreached.len()) / 4;
        assert!(is_enough, "{reached} faults were injected, {} were not reached", unreached.len());
    }
}

/// Attaches to a process and injects one fault after the other into a daemon that goes on.
fn inject(world: &World, process: Process, seconds: u64) {
    let mut daemon = start(world);
    let work = Work { world, number: Cell::new(0) };
    let counts = counts(world, process, daemon.pid(), &work);
    let mut random = fastrand::Rng::with_seed(plan::seed());
    let faults = faults(&counts, &mut random);
    let what = format!("{process:?} with {} different calls", counts.len());
    let (mut tally, mut known) = (Tally::default(), 0);
    for fault in Plan::new(&what, faults, seconds) {
        let seen = world.log.lines().len();
        // A recorder that has ended is started again after a pause that grows to a minute.
        let Some(pid) = Deadline::seconds(90).try_wait_for(|| process.pid(world, daemon.pid())) else {
            tally.wrong.push(format!("{fault}: before it, {process:?} was gone"));
            daemon = start(world);
            continue;
        };
        let tracer = Tracer::attach(world, process, pid, &fault.options());
        for _ in 0..2 {
            if trace().contains("(INJECTED)") {
                break;
            }
            work.disturb(daemon.pid());
            Deadline::seconds(2).try_wait_for(|| trace().contains("(INJECTED)").then_some(()));
        }
        let is_reached = trace().contains("(INJECTED)");
        drop(tracer);
        if is_reached {
            tally.reached += 1;
        } else {
            tally.unreached.push(fault.to_string());
        }
        let went_on = all_run(15);
        let lines = world.log.lines();
        let new_lines = &lines[seen.min(lines.len())..];
        tally.take_lines(new_lines, &fault);
        let log = || new_lines.iter().filter(|line| !line.contains(") CMD (")).cloned().collect::<Vec<_>>().join("\n");
        if !daemon.is_alive() {
            tally.new_main += 1;
            // It says why it ends: in its log, or where it cannot write that, on standard error.
            let words = Main::words();
            if !log().contains("DEATH") && words.trim().is_empty() {
                tally.wrong.push(format!("{fault}: the daemon ended without a word:\n{}", log()));
            }
            tally.wrong.push(format!("{fault}: the daemon ended: {words}\n{}", log()));
            daemon = start(world);
        } else if let Err(why) = went_on {
            tally.wrong.push(format!("{fault}: {why}:\n{}", log()));
            daemon = start_anew(world, daemon);
        }
        if process.pid(world, daemon.pid()) != Some(pid) {
            tally.new_process += 1;
            if process == Process::Executor {
                tally.wrong.push(format!("{fault}: the executor is another one:\n{}", log()));
                // Main executes itself only so often.
                daemon = start_anew(world, daemon);
            }
        }
        let wrong = wrong_lines();
        tally.wrong.extend(wrong.iter().map(|wrong| format!("{fault}: {wrong}")));
        let (users, last) = bad_ends(world, known);
        known = last;
        let has_line = |user: &String| {
            let of_user = format!("({user}) ");
            let is_about =
                |line: &&String| [") FAILED (", ") NOT STARTED (", ") LOST ("].iter().any(|event| line.contains(event));
            world.log.lines()[seen..].iter().filter(is_about).any(|line| line.contains(&of_user))
        };
        for user in users.iter().filter(|user| !has_line(user)) {
            tally
                .wrong
                .push(format!("{fault}: a run of {user} did not end well and the log does not say so:\n{}", log()));
        }
        tally.bad_ends += users.len();
        if log().contains("panicked") {
            tally.wrong.push(format!("{fault}: a panic:\n{}", log()));
        }
        for user in USERS {
            let _ = fs::remove_file(format!("/run/ledgers/{user}"));
        }
    }
    kill(Pid::from_raw(daemon.pid().cast_signed()), Signal::SIGTERM).unwrap();
    let end = Deadline::seconds(20).wait_for("the daemon's end", || daemon.0.try_wait().unwrap());
    assert!(end.success(), "{end}");
    tally.report(&what);
}

fn start_anew(world: &World, daemon: Main) -> Main {
    drop(daemon);
    // What the executor of a killed main does is not what is tested here.
    world.run("pkill -KILL -P 1 -x cron; true");
    start(world)
}

/// Whole lives of main under faults, from its first call to its last.
fn inject_into_lives(world: &World, seconds: u64) {
    let run = |options: &[String]| -> (Option<i32>, String, bool) {
        let _ = fs::remove_file(TRACE);
        let _ = fs::remove_file("/run/crond.pid");
        let mut strace = Command::new("strace")
            .args(["-qq", "-o", TRACE])
            .args(options)
            .args([world.implementation.daemon(), world.implementation.foreground()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(WORDS).unwrap())
            .spawn()
            .unwrap();
        let tracer = strace.id();
        // At first strace has children with which it tries what the kernel can do.
        let main = || {
            let processes = world.processes().into_iter();
            let mut children = processes.filter(|process| process.parent == tracer && process.name == "cron");
            children.next().map(|process| process.pid)
        };
        let main_pid = Deadline::seconds(10).try_wait_for(main);
        let counts = USERS.map(|user| ledger(user).lines().count());
        let has_run = || USERS.iter().zip(counts).all(|(user, count)| ledger(user).lines().count() > count);
        let mut ended = None;
        let did_run = Deadline::seconds(15).try_wait_for(|| {
            ended = strace.try_wait().unwrap();
            (ended.is_some() || has_run()).then_some(())
        });
        let did_run = did_run.is_some() && ended.is_none();
        if let (None, Some(pid)) = (ended, main_pid) {
            world.drop_in("changing", "@every_second bob true\n");
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGHUP);
            let _ = world.run("timeout 5 cronctl list >/dev/null 2>&1");
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM);
        }
        let status = Deadline::seconds(20).try_wait_for(|| strace.try_wait().unwrap());
        if status.is_none() {
            if let Some(pid) = main_pid {
                let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
            }
            let _ = strace.kill();
            strace.wait().unwrap();
        }
        let code = status.map(|status| {
            use std::os::unix::process::ExitStatusExt as _;
            status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
        });
        (code, Main::words(), did_run)
    };
    let sound = run(&[]);
    assert_eq!((sound.0, sound.2), (Some(0), true), "{sound:?}");
    let text = trace();
    let names = plan::calls(&text);
    let own = names.iter().position(|call| *call == "rt_sigprocmask").unwrap_or(0);
    println!("main makes {} calls in a life, {own} before it blocks signals", names.len());
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for name in &names {
        *counts.entry((*name).to_owned()).or_default() += 1;
    }
    let mut random = fastrand::Rng::with_seed(plan::seed());
    // libc blocks signals around what starts threads and programs, and does not look at the result: with its arguments the call never fails.
    let left_out = |call: &str| WITHOUT_ERRORS.contains(&call) || ["execve", "rt_sigprocmask"].contains(&call);
    let calls = counts.iter().filter(|(call, _)| !left_out(call));
    let faults: Vec<Fault> = calls
        .flat_map(|(call, count)| ERRORS.map(|error| (call.clone(), *count, error)))
        .map(|(call, count, error)| Fault { call, when: random.usize(1..=count), injection: Injection::Error(error) })
        .collect();
    let what = format!("lives of main with {} different calls", counts.len());
    let (mut tally, mut refusals) = (Tally::default(), BTreeMap::new());
    for fault in Plan::new(&what, faults, seconds) {
        let seen = world.log.lines().len();
        let (code, words, did_run) = run(&fault.options());
        let is_reached = trace().contains("(INJECTED)");
        if is_reached {
            tally.reached += 1;
        } else {
            tally.unreached.push(fault.to_string());
        }
        let position = names.iter().enumerate().filter(|(_, call)| **call == fault.call).nth(fault.when - 1);
        let is_before = position.is_some_and(|(at, _)| at < own);
        let lines = world.log.lines();
        let new_lines = &lines[seen.min(lines.len())..];
        tally.take_lines(new_lines, &fault);
        let log: Vec<&str> = new_lines.iter().map(String::as_str).filter(|line| !line.contains(") CMD (")).collect();
        let log = log.join("\n");
        match code {
            Some(0) if did_run => {}
            // It says why.
            Some(1) if !words.trim().is_empty() || log.contains("DEATH") => {
                let said = words.lines().last().unwrap_or_default().to_owned();
                refusals.entry(said).or_insert_with(|| fault.to_string());
            }
            _ if is_before => {}
            _ => tally.wrong.push(format!("{fault}: status {code:?}, jobs of all ran: {did_run}: {words}\n{log}")),
        }
        if words.contains("panicked") && !is_before {
            tally.wrong.push(format!("{fault}: a panic: {words}"));
        }
        tally.wrong.extend(wrong_lines().iter().map(|wrong| format!("{fault}: {wrong}")));
        world.run("pkill -KILL -x cron; true");
        for user in USERS {
            let _ = fs::remove_file(format!("/run/ledgers/{user}"));
        }
    }
    println!("{what}: it refused to start or ended with a message in {} ways", refusals.len());
    if std::env::var_os("CRONWHEEL_FAULTS_MESSAGES").is_some() {
        refusals.iter().for_each(|(said, fault)| println!("ended: {said} ({fault})"));
    }
    tally.report(&what);
}

#[test]
fn main_survives_an_error_of_any_call() {
    let Some(world) = world!(Implementation::OursDebian, ["strace"]) else { return };
    prepare(&world);
    inject(&world, Process::Main, 15);
}

#[test]
fn the_executor_survives_an_error_of_any_call_and_no_job_has_wrong_ids() {
    let Some(world) = world!(Implementation::OursDebian, ["strace"]) else { return };
    prepare(&world);
    inject(&world, Process::Executor, 15);
}

#[test]
fn an_error_of_any_call_of_the_recorder_costs_no_job() {
    let Some(world) = world!(Implementation::OursDebian, ["strace"]) else { return };
    prepare(&world);
    inject(&world, Process::Recorder, 10);
}

#[test]
fn main_starts_and_stops_or_says_why_not_whatever_call_fails() {
    let Some(world) = world!(Implementation::OursDebian, ["strace"]) else { return };
    prepare(&world);
    inject_into_lives(&world, 15);
}

#[test]
fn a_table_that_cannot_be_read_for_a_moment_keeps_its_jobs_and_is_read_when_it_can_be() {
    let Some(world) = world!(Implementation::OursDebian, ["strace"]) else { return };
    prepare(&world);
    let daemon = start(&world);
    let tracer = Tracer::attach(&world, Process::Main, daemon.pid(), &["--inject=openat:error=EIO".to_owned()]);
    world.crontab("alice", &format!("@every_second sh {JOB} alice\n@every_second echo new >>/run/ledgers/new\n")).ok();
    world.log.wait_for("(alice) CAN'T OPEN (crontabs/alice): Input/output error", Deadline::seconds(20));
    all_run(20).unwrap();
    assert!(!fs::exists("/run/ledgers/new").unwrap());
    drop(tracer);
    // It is tried again at the end of the minute.
    world.log.wait_for("(alice) RELOAD (crontabs/alice)", Deadline::seconds(90));
    Deadline::seconds(20).wait_for("the new entry", || fs::exists("/run/ledgers/new").unwrap().then_some(()));
    all_run(20).unwrap();
    assert_eq!(wrong_lines(), Vec::<String>::new());
}

#[test]
fn the_clocks_timer_is_one_that_a_sleep_and_a_set_clock_end() {
    let Some(world) = world!(Implementation::OursDebian, ["strace"]) else { return };
    prepare(&world);
    let mut command = Command::new("strace");
    command.args(["-qq", "-o", TRACE, "-etrace=timerfd_create,timerfd_settime", "cron", "-f"]);
    let mut strace = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    all_run(20).unwrap();
    world.run("pkill -TERM -o -x cron").ok();
    Deadline::seconds(20).wait_for("the daemon's end", || strace.try_wait().unwrap());
    let text = trace();
    assert!(text.contains("timerfd_create(CLOCK_REALTIME, "), "{text}");
    // A timer of CLOCK_MONOTONIC, or a relative one, would be late by as long as the machine slept.
    let armed: Vec<&str> = text.lines().filter(|line| line.starts_with("timerfd_settime(")).collect();
    let is_right = |line: &&str| line.contains("TFD_TIMER_ABSTIME|TFD_TIMER_CANCEL_ON_SET");
    assert!(armed.len() > 2 && armed.iter().all(is_right), "{text}");
}
