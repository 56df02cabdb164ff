//! Daemons that are stopped or killed, with thousands of starts on their way and with jobs that go on.

use crate::common::clock::now;
use crate::common::machine::Process;
use crate::common::{Daemon, Deadline, Implementation, World};
use crate::world;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::PermissionsExt;

const JOBS: usize = 3000;
/// Each job writes its number here.
const LEDGER: &str = "/run/ledger";
const JOURNALS: &str = "/run/cronwheel";

fn ledger() -> Vec<usize> {
    let text = fs::read_to_string(LEDGER).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Three thousand jobs of three users that are due at once, in a few seconds.
fn prepare_burst(world: &World) {
    File::create(LEDGER).unwrap().set_permissions(fs::Permissions::from_mode(0o666)).unwrap();
    let due = now().as_secs() + 4;
    let (second, minute, hour) = (due % 60, due / 60 % 60, due / 3600 % 24);
    let user = |number: usize| ["alice", "bob", "root"][number % 3];
    let line = |number| format!("@quartz {second} {minute} {hour} * * * * {} echo {number} >>{LEDGER}\n", user(number));
    world.drop_in("burst", &format!("CRON_TZ=UTC\n{}", (0..JOBS).map(line).collect::<String>()));
}

fn wait_for_jobs(count: usize) {
    Deadline::seconds(120).wait_for(&format!("{count} jobs"), || (ledger().len() >= count).then_some(()));
}

/// The executor that belongs to this daemon.
fn executor_of(world: &World, daemon: &Daemon) -> u32 {
    let is_executor = |process: &Process| process.parent == daemon.pid() && process.name == "cron: executor";
    let found = || world.processes().into_iter().find(is_executor).map(|process| process.pid);
    Deadline::seconds(20).wait_for("the executor", found)
}

fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
}

/// How many lines of the log say that a start or an end was lost.
fn lost(world: &World) -> usize {
    world.log.lines().iter().filter(|line| line.contains(") LOST (")).count()
}

/// The jobs of the burst of which the log says that they were lost.
fn lost_jobs(world: &World) -> BTreeSet<usize> {
    let number = |line: &String| line.split(") LOST (echo ").nth(1)?.split(' ').next()?.parse().ok();
    world.log.lines().iter().filter_map(number).collect()
}

/// Stops the daemon when it has nothing more to start, and makes sure that each job has run once; so many may be lost, and recorded as that.
fn assert_each_ran_once(world: &World, daemon: Daemon, lost_at_most: usize) {
    let is_done = || state(world, &daemon).contains(" 0 started and not ended").then_some(());
    Deadline::seconds(120).wait_for("every job to end", is_done);
    assert!(!state(world, &daemon).contains("due and not started"));
    assert!(daemon.stop().success());
    let no_cron = || world.processes().iter().all(|process| !process.name.starts_with("cron")).then_some(());
    Deadline::seconds(30).wait_for("every executor to end", no_cron);
    let mut runs: BTreeMap<usize, usize> = BTreeMap::new();
    ledger().into_iter().for_each(|number| *runs.entry(number).or_default() += 1);
    let twice: Vec<_> = runs.iter().filter(|(_, count)| **count != 1).collect();
    assert!(twice.is_empty(), "more than once: {twice:?}");
    let missing: BTreeSet<usize> = (0..JOBS).filter(|number| !runs.contains_key(number)).collect();
    assert!(missing.len() <= lost_at_most && missing.is_subset(&lost_jobs(world)), "missing: {missing:?}");
}

#[test]
fn jobs_of_a_burst_run_once_each_when_the_daemon_is_stopped_in_its_midst() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare_burst(&world);
    for jobs in [300, 900, 1500] {
        let daemon = world.start_daemon(&["-L", "0"]);
        wait_for_jobs(jobs);
        assert!(daemon.stop().success());
    }
    let last = world.start_daemon(&["-L", "0"]);
    assert_each_ran_once(&world, last, 0);
}

#[test]
fn jobs_of_a_burst_run_once_each_when_the_daemon_is_killed_in_its_midst() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare_burst(&world);
    for jobs in [300, 900, 1500] {
        let mut daemon = world.start_daemon(&["-L", "0"]);
        wait_for_jobs(jobs);
        daemon.signal(Signal::SIGKILL);
        daemon.end(Deadline::seconds(20));
    }
    let last = world.start_daemon(&["-L", "0"]);
    assert_each_ran_once(&world, last, 0);
}

#[test]
fn jobs_of_a_burst_run_once_each_when_the_executor_is_killed_in_its_midst() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare_burst(&world);
    let mut daemon = world.start_daemon(&["-L", "0"]);
    for jobs in [300, 900, 1500] {
        wait_for_jobs(jobs);
        send(executor_of(&world, &daemon), Signal::SIGKILL);
    }
    // At most those on their way to their process at each of the three moments.
    assert_each_ran_once_by(&world, &mut daemon);
    assert_each_ran_once(&world, daemon, 3 * 128);
}

/// The program that was executed anew is the same process, under its old name.
fn assert_each_ran_once_by(world: &World, daemon: &mut Daemon) {
    let executor = executor_of(world, daemon);
    assert!(daemon.is_alive() && executor != daemon.pid());
    let pid = daemon.pid();
    // It sets its name soon after it was executed.
    let name = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    Deadline::seconds(20).wait_for("its name", || (name().trim() == "cron").then_some(()));
    assert_eq!(fs::read_to_string("/run/crond.pid").unwrap().trim(), pid.to_string());
    let environment = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    // The kernel shows what the program was started with; its own children show what it has now.
    assert!(environment.contains("CRONWHEEL_HANDOVER="), "{environment}");
}

#[test]
fn jobs_of_a_burst_run_once_each_when_daemon_and_executor_are_killed_in_its_midst() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare_burst(&world);
    for jobs in [300, 900] {
        let mut daemon = world.start_daemon(&["-L", "0"]);
        wait_for_jobs(jobs);
        let executor = executor_of(&world, &daemon);
        send(daemon.pid(), Signal::SIGSTOP);
        send(executor, Signal::SIGKILL);
        daemon.signal(Signal::SIGKILL);
        daemon.end(Deadline::seconds(20));
    }
    let last = world.start_daemon(&["-L", "0"]);
    assert_each_ran_once(&world, last, 2 * 128);
}

#[test]
fn jobs_of_a_boot_run_once_each_when_the_daemon_is_stopped_or_killed_in_their_midst() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    File::create(LEDGER).unwrap().set_permissions(fs::Permissions::from_mode(0o666)).unwrap();
    let line = |number| format!("@reboot {} echo {number} >>{LEDGER}\n", ["alice", "bob", "root"][number % 3]);
    world.drop_in("boot", &(0..JOBS).map(line).collect::<String>());
    for (jobs, signal) in [(300, Signal::SIGTERM), (900, Signal::SIGKILL)] {
        let mut daemon = world.start_daemon(&["-L", "0"]);
        wait_for_jobs(jobs);
        daemon.signal(signal);
        daemon.end(Deadline::seconds(20));
    }
    let daemon = world.start_daemon(&["-L", "0"]);
    wait_for_jobs(1500);
    send(executor_of(&world, &daemon), Signal::SIGKILL);
    wait_for_jobs(1600);
    assert_each_ran_once(&world, daemon, 128);
    // And not again.
    let daemon = world.start_daemon(&["-L", "0"]);
    assert!(state(&world, &daemon).contains(" 0 started and not ended"));
    assert_eq!(ledger().len() + lost_jobs(&world).difference(&ledger().into_iter().collect()).count(), JOBS);
}

/// The status lines of the log.
fn states(world: &World) -> Vec<String> {
    world.log.lines().into_iter().filter(|line| line.contains("(CRON) STATE (") && line.contains(" table")).collect()
}

/// The status line that SIGUSR1 logs.
fn state(world: &World, daemon: &Daemon) -> String {
    let before = states(world).len();
    daemon.signal(Signal::SIGUSR1);
    Deadline::seconds(20).wait_for("the state", || states(world).split_off(before).pop())
}

#[test]
fn a_state_that_was_asked_for_is_logged_although_the_executor_is_lost_before_that() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let daemon = world.start_daemon(&[]);
    // The daemon finds both signals at once: the request, and the end of its child.
    daemon.signal(Signal::SIGSTOP);
    let executor = executor_of(&world, &daemon);
    send(executor, Signal::SIGKILL);
    daemon.signal(Signal::SIGUSR1);
    daemon.signal(Signal::SIGCONT);
    world.log.wait_for("executing the program anew", Deadline::seconds(20));
    Deadline::seconds(20).wait_for("the state", || states(&world).pop());
    assert!(daemon.stop().success());
}

/// The number of runs that the daemon reports as started and not ended.
fn running(world: &World, daemon: &Daemon) -> usize {
    let state = state(world, daemon);
    state.split(" started and not ended").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

const MAILER: &str = "#!/bin/sh\ncat >>/run/mails\n";

/// A job that must not overlap, and that goes on until it is let go; it leaves a mark when it begins and has output.
fn prepare_single_job(world: &World) {
    fs::write("/usr/sbin/sendmail", MAILER).unwrap();
    fs::set_permissions("/usr/sbin/sendmail", fs::Permissions::from_mode(0o755)).unwrap();
    File::create("/run/begun").unwrap();
    let job = "echo >>/run/begun; until test -e /run/go; do sleep 0.1; done; echo done; exit 7";
    world.drop_in("single", &format!("@every_second root -s {job}\n@every_second root echo >>/run/canary\n"));
}

fn begun() -> usize {
    fs::read_to_string("/run/begun").unwrap().lines().count()
}

/// Waits for some seconds as the daemon counts them.
fn wait_for_seconds(count: usize) {
    let runs = || fs::read_to_string("/run/canary").unwrap_or_default().lines().count();
    let before = runs();
    Deadline::seconds(60).wait_for("some seconds", || (runs() >= before + count).then_some(()));
}

#[test]
fn a_job_that_goes_on_over_a_restart_is_known_is_not_overlapped_and_its_end_comes() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare_single_job(&world);
    let mut daemon = world.start_daemon(&[]);
    Deadline::seconds(20).wait_for("the job", || (begun() == 1).then_some(()));
    for signal in [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGKILL] {
        daemon.signal(signal);
        daemon.end(Deadline::seconds(20));
        daemon = world.start_daemon(&[]);
        wait_for_seconds(3);
        assert_eq!(begun(), 1);
        assert!((1..=2).contains(&running(&world, &daemon)), "the job, and perhaps another for a moment");
        world.log.wait_for(", 1 executor of an earlier daemon", Deadline::seconds(10));
    }
    File::create("/run/go").unwrap();
    world.log.wait_for("exit 7) exit 7 after", Deadline::seconds(20));
    assert!(world.wait_for_file("/run/mails", Deadline::seconds(20)).contains("\ndone\n"));
    // Now another may run.
    Deadline::seconds(20).wait_for("the next one", || (begun() > 1).then_some(()));
    assert_eq!(lost(&world), 0);
    assert!(daemon.stop().success());
}

#[test]
fn a_job_that_outlives_its_executor_is_not_overlapped_and_recorded_as_lost_when_it_has_ended() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    for service in ["/etc/pam.d/cron", "none"] {
        fs::remove_file("/run/go").ok();
        if service == "none" {
            // Without a session there is no process between the executor and the job.
            fs::remove_file("/etc/pam.d/cron").unwrap();
        }
        prepare_single_job(&world);
        let daemon = world.start_daemon(&[]);
        Deadline::seconds(20).wait_for("the job", || (begun() == 1).then_some(()));
        let before = lost(&world);
        for _ in 0..2 {
            send(executor_of(&world, &daemon), Signal::SIGKILL);
            wait_for_seconds(3);
            assert_eq!(begun(), 1);
            assert!((1..=2).contains(&running(&world, &daemon)));
        }
        let lost_jobs = || {
            let lines = world.log.lines();
            let of_job = |line: &&String| line.contains("(root) LOST (echo >>/run/begun;");
            lines.iter().filter(of_job).count()
        };
        let told_before = lost_jobs();
        File::create("/run/go").unwrap();
        Deadline::seconds(20).wait_for("the job's end in the log", || (lost_jobs() == told_before + 1).then_some(()));
        Deadline::seconds(20).wait_for("the next one", || (begun() > 1).then_some(()));
        assert!(lost(&world) <= before + 1 + 2 * 2, "others were lost that had ended");
        assert!(daemon.stop().success());
        let no_cron = || world.processes().iter().all(|process| !process.name.starts_with("cron")).then_some(());
        Deadline::seconds(30).wait_for("every executor to end", no_cron);
    }
}

#[test]
fn an_executor_that_is_killed_again_and_again_ends_the_daemon_without_a_trace() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("canary", "@every_second root echo >>/run/canary\n@reboot root echo >>/run/reboot\n");
    let mut daemon = world.start_daemon(&[]);
    for _ in 0..3 {
        wait_for_seconds(2);
        send(executor_of(&world, &daemon), Signal::SIGKILL);
    }
    wait_for_seconds(2);
    assert_eq!(fs::read_to_string("/run/reboot").unwrap().lines().count(), 1);
    send(executor_of(&world, &daemon), Signal::SIGKILL);
    assert_eq!(daemon.end(Deadline::seconds(20)).code(), Some(1));
    world.log.wait_for("(CRON) DEATH (", Deadline::seconds(10));
    assert!(!fs::exists("/run/crond.pid").unwrap());
}

/// Restarts the daemon while the executor of the job cannot answer.
fn restart_beside_a_stopped_executor(world: &World, daemon: &mut Daemon, before_the_start: impl FnOnce()) -> u32 {
    let executor = executor_of(world, daemon);
    send(executor, Signal::SIGSTOP);
    daemon.signal(Signal::SIGKILL);
    daemon.end(Deadline::seconds(20));
    before_the_start();
    *daemon = world.start_daemon(&[]);
    executor
}

#[test]
fn the_files_of_a_living_executor_stay_when_its_journal_cannot_be_read() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare_single_job(&world);
    let mut daemon = world.start_daemon(&[]);
    Deadline::seconds(20).wait_for("the job", || (begun() == 1).then_some(()));
    let executor = executor_of(&world, &daemon);
    daemon.signal(Signal::SIGKILL);
    daemon.end(Deadline::seconds(20));
    // The byte that names the version of the format.
    world
        .run(&format!(
            "cd {JOURNALS} && printf '\\377' | dd of=$(ls executor-{executor}-*.journal) bs=1 seek=7 conv=notrunc"
        ))
        .ok();
    daemon = world.start_daemon(&[]);
    world.log.wait_for("not a journal of this version", Deadline::seconds(20));
    wait_for_seconds(3);
    assert_eq!(begun(), 1, "the executor tells by itself what goes on");
    assert_eq!(world.run(&format!("cd {JOURNALS} && ls | grep -c '^executor-{executor}-'")).ok().trim(), "2");
    File::create("/run/go").unwrap();
    Deadline::seconds(20).wait_for("the next one", || (begun() > 1).then_some(()));
    assert!(daemon.stop().success());
}

#[test]
fn a_job_of_an_executor_that_cannot_be_reached_ends_with_its_process() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    fs::remove_file("/etc/pam.d/cron").unwrap();
    prepare_single_job(&world);
    let mut daemon = world.start_daemon(&[]);
    Deadline::seconds(20).wait_for("the job", || (begun() == 1).then_some(()));
    // A connection to a stopped executor waits in its queue; without the socket there is none at all.
    let remove_socket = || drop(world.run(&format!("rm {JOURNALS}/*.sock")).ok());
    let executor = restart_beside_a_stopped_executor(&world, &mut daemon, remove_socket);
    wait_for_seconds(3);
    assert_eq!(begun(), 1);
    File::create("/run/go").unwrap();
    world.log.wait_for("(root) LOST (echo >>/run/begun;", Deadline::seconds(20));
    Deadline::seconds(20).wait_for("the next one", || (begun() > 1).then_some(()));
    assert!(world.run(&format!("ls {JOURNALS}/executor-{executor}-*.journal")).ok().contains("journal"));
    send(executor, Signal::SIGKILL);
    assert!(daemon.stop().success());
}

#[test]
fn a_job_that_ends_just_before_its_executor_dies_is_recorded() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    fs::remove_file("/etc/pam.d/cron").unwrap();
    // A process in the background keeps the output open, so that the end is logged a second later.
    world.drop_in("short", "@reboot root sleep 30 & exit 6\n");
    let daemon = world.start_daemon(&["-L", "0"]);
    let is_ended = || {
        let state = state(&world, &daemon);
        (state.contains(" 0 started and not ended") && world.processes().iter().any(|one| one.name == "sleep"))
            .then_some(())
    };
    Deadline::seconds(20).wait_for("its end", is_ended);
    send(executor_of(&world, &daemon), Signal::SIGKILL);
    world.log.wait_for("(root) ENDED (sleep 30 & exit 6) exit 6;", Deadline::seconds(20));
    assert!(daemon.stop().success());
}

#[test]
fn whatever_lies_where_journals_are_expected_the_daemon_starts_and_its_jobs_run() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("canary", "@every_second root echo >>/run/canary\n");
    fs::create_dir(JOURNALS).unwrap();
    for line in [
        "mkfifo executor-1-1.journal executor-2-2.sock",
        "ln -s /dev/zero executor-2-2.journal",
        "mkdir -p executor-3-3.journal/x",
        "head -c 100000 /dev/urandom >executor-4-4.journal",
        "truncate -s 1T executor-5-5.journal",
        "printf 'cwruns\\0\\1' >executor-6-6.journal",
        ": >executor-7-7.journal",
    ] {
        world.run(&format!("cd {JOURNALS} && {line}")).ok();
    }
    fs::create_dir("/run/crond.outcomes").unwrap();
    world.run("cd /run/crond.outcomes && mkfifo 1.started 2-1.json && ln -s /dev/zero 3.started").ok();
    let mut daemon = world.start_daemon(&[]);
    wait_for_seconds(2);
    assert!(daemon.is_alive());
    let left = world.run(&format!("ls {JOURNALS}")).ok();
    assert_eq!(left.lines().filter(|name| name.ends_with(".journal")).count(), 1, "only its own: {left}");
    assert!(!fs::exists("/run/crond.outcomes").unwrap());
    let told = world.log.lines().iter().filter(|line| line.contains("WARNING") && line.contains("journal")).count();
    assert!((1..=7).contains(&told), "{:#?}", world.log.lines());
    assert!(daemon.stop().success());
}

#[test]
fn where_no_journal_can_be_kept_jobs_run_and_the_log_says_so_once() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("canary", "@every_second root echo >>/run/canary\n");
    fs::create_dir(JOURNALS).unwrap();
    fs::set_permissions(JOURNALS, fs::Permissions::from_mode(0o777)).unwrap();
    let daemon = world.start_daemon(&[]);
    wait_for_seconds(3);
    assert!(daemon.stop().success());
    let told =
        world.log.lines().iter().filter(|line| line.contains("(CRON) ERROR (using /run/cronwheel: expected")).count();
    assert_eq!(told, 1, "{:#?}", world.log.lines());
}

#[test]
fn a_standalone_daemon_whose_executor_is_killed_goes_on_without_repeating_anything() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let table =
        "@reboot echo >>/run/reboot\n@every_second date +\\%s >>/run/canary\n@reboot sleep 1000\n@reboot sleep 1001\n";
    fs::write("/tmp/table", table).unwrap();
    let mut daemon = std::process::Command::new("/usr/sbin/cron")
        .args(["--stop-timeout", "1s", "./table"])
        .current_dir("/tmp")
        .stderr(File::create("/run/stderr").unwrap())
        .spawn()
        .unwrap();
    let executor = || {
        let is_executor = |process: &Process| process.parent == daemon.id() && process.name.ends_with(": executor");
        Deadline::seconds(20).wait_for("the executor", || world.processes().into_iter().find(is_executor)).pid
    };
    for _ in 0..3 {
        wait_for_seconds(2);
        send(executor(), Signal::SIGKILL);
    }
    wait_for_seconds(2);
    let seconds = fs::read_to_string("/run/canary").unwrap();
    let seconds: Vec<u64> = seconds.lines().map(|line| line.parse().unwrap()).collect();
    // A start that was on its way when the executor was killed may be lost.
    let missing = (seconds[seconds.len() - 1] - seconds[0] + 1) as usize - seconds.len();
    assert!(missing <= 3, "{seconds:?}");
    assert_eq!(fs::read_to_string("/run/reboot").unwrap().lines().count(), 1);
    world.run("pkill -f '^sleep 1000'").ok();
    Deadline::seconds(20).wait_for("the lost job", || {
        fs::read_to_string("/run/stderr").unwrap().contains("LOST (sleep 1000)").then_some(())
    });
    let is_socket = |entry: fs::DirEntry| entry.file_type().unwrap().is_socket();
    let left = || fs::read_dir(JOURNALS).unwrap().map(Result::unwrap);
    assert!(left().all(is_socket), "nothing but the sockets is in the file system");
    // Nobody is left to wait for the other one but the daemon, which ends it.
    send(daemon.id(), Signal::SIGTERM);
    assert_eq!(Deadline::seconds(20).wait_for("its end", || daemon.try_wait().unwrap()).code(), Some(0));
    assert!(!world.processes().iter().any(|process| process.name == "sleep"));
    assert_eq!(left().count(), 0);
}
