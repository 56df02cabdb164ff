//! Jobs that are ended with all their processes, by the installed programs.

use crate::common::machine::Process;
use crate::common::{Daemon, Deadline, Implementation, World};
use crate::world;
use nix::sys::signal::Signal;
use std::fs;
use std::process::{Child, Command, Stdio};

/// Ignores TERM, as does a grandchild in another session.
const STUBBORN: &str = "trap '' TERM; setsid sh -c 'sleep 1000; :' & echo >>/run/begun; sleep 1001; sleep 1002";

fn sleeps(world: &World) -> Vec<Process> {
    let is_sleep = |process: &Process| process.line.starts_with("sleep 100") && process.state != 'Z';
    world.processes().into_iter().filter(is_sleep).collect()
}

fn begun() -> usize {
    fs::read_to_string("/run/begun").unwrap_or_default().lines().count()
}

fn wait_for_job(world: &World) {
    Deadline::seconds(20).wait_for("the job's processes", || (sleeps(world).len() == 2).then_some(()));
}

#[test]
fn an_executor_whose_daemon_was_killed_ends_a_job_at_its_timeout() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("long", &format!("CRON_TIMEOUT=4s\nCRON_GRACE=1s\n@reboot root {STUBBORN}\n"));
    let mut daemon = world.start_daemon(&[]);
    wait_for_job(&world);
    daemon.signal(Signal::SIGKILL);
    daemon.end(Deadline::seconds(20));
    world.log.wait_for("(root) FAILED (trap '' TERM; setsid", Deadline::seconds(20));
    assert!(world.log.lines().iter().any(|line| line.ends_with(") timeout after 4s")), "{:#?}", world.log.lines());
    assert_eq!(sleeps(&world), []);
    let no_cron = || world.processes().iter().all(|process| !process.name.starts_with("cron")).then_some(());
    Deadline::seconds(20).wait_for("the executor's end", no_cron);
}

#[test]
fn replace_ends_a_run_with_all_its_processes_before_the_next_one_starts_also_after_a_restart() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("long", &format!("CRON_OVERLAP=replace\nCRON_GRACE=1s\n@every_second root {STUBBORN}\n"));
    let mut daemon = world.start_daemon(&[]);
    let wait_for_runs = |count: usize| {
        Deadline::seconds(60).wait_for("further runs", || {
            let lines: Vec<String> = sleeps(&world).into_iter().map(|process| process.line).collect();
            let of_one = |line: &str| lines.iter().filter(|other| *other == line).count() <= 1;
            assert!(of_one("sleep 1000") && of_one("sleep 1001"), "{lines:?}");
            (begun() >= count).then_some(())
        });
    };
    wait_for_runs(3);
    daemon.signal(Signal::SIGKILL);
    daemon.end(Deadline::seconds(20));
    let before = begun();
    daemon = world.start_daemon(&[]);
    wait_for_runs(before + 3);
    assert!(daemon.stop().success());
}

struct Standalone(Child);

impl Drop for Standalone {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_standalone_daemon_that_is_stopped_ends_its_jobs_with_all_their_processes() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    fs::write("/tmp/table", format!("CRON_GRACE=1s\n@reboot {STUBBORN}\n")).unwrap();
    let daemon = Command::new("/usr/sbin/cron")
        .args(["--stop-timeout", "1s", "./table"])
        .current_dir("/tmp")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut daemon = Standalone(daemon);
    wait_for_job(&world);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(daemon.0.id()).unwrap()), Signal::SIGTERM).unwrap();
    let ended = Deadline::seconds(20).wait_for("its end", || daemon.0.try_wait().unwrap());
    assert_eq!((ended.code(), sleeps(&world)), (Some(0), Vec::new()));
}

#[test]
fn a_job_fails_by_what_its_crontab_counts_as_failure() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let table = "CRON_SUCCESS=0,24\n@reboot exit 24\n@reboot exit 23\nCRON_FAIL_ON=stderr\n@reboot echo oops >&2\n\
                 CRON_LIMITS=nice=9 io=idle\n@reboot (nice; ionice -p $$; echo $CRON_JOB $CRON_TRIGGER $CRON_ATTEMPT) >out\n";
    world.crontab("alice", table).ok();
    let daemon: Daemon = world.start_daemon(&["-L", "3"]);
    world.log.wait_for("(alice) FAILED (exit 23) exit 23 after", Deadline::seconds(20));
    world.log.wait_for("(alice) FAILED (echo oops >&2) output on standard error after", Deadline::seconds(20));
    world.log.wait_for("(alice) END (exit 24)", Deadline::seconds(20));
    world.log.wait_for("(alice) END ((nice", Deadline::seconds(20));
    let out = fs::read_to_string("/home/alice/out").unwrap();
    assert!(out.starts_with("9\nidle\nalice:"), "{out}");
    assert!(out.ends_with(" reboot 1\n"), "{out}");
    assert!(!world.log.lines().iter().any(|line| line.contains("FAILED (exit 24)")), "{:#?}", world.log.lines());
    assert!(daemon.stop().success());
}

/// The process that starts jobs.
fn executor(world: &World) -> u32 {
    let is_executor = |process: &Process| process.name == "cron: executor";
    let found = || world.processes().into_iter().find(is_executor).map(|process| process.pid);
    Deadline::seconds(20).wait_for("the executor", found)
}

fn send(pid: u32, signal: Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
}

#[test]
fn a_job_whose_executor_was_killed_is_ended_with_all_its_processes_at_its_timeout() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("long", &format!("CRON_TIMEOUT=6s\nCRON_GRACE=1s\n@reboot root {STUBBORN}\n"));
    let daemon = world.start_daemon(&[]);
    wait_for_job(&world);
    send(executor(&world), Signal::SIGKILL);
    world.log.wait_for(") LOST (trap '' TERM; setsid", Deadline::seconds(30));
    assert_eq!(sleeps(&world), []);
    assert!(daemon.stop().success());
}

#[test]
fn a_job_goes_on_without_its_executor_until_its_session_is_empty() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let job = "trap '' TERM; echo >>/run/begun; sleep 1000 & sleep 1001";
    world.drop_in("long", &format!("CRON_OVERLAP=skip\nCRON_TIMEOUT=8s\nCRON_GRACE=1s\n@every_second root {job}\n"));
    let daemon = world.start_daemon(&[]);
    wait_for_job(&world);
    send(executor(&world), Signal::SIGKILL);
    let of_line = |line: &str| sleeps(&world).into_iter().find(|process| process.line == line).unwrap();
    // The session leader ends, and one of its processes goes on.
    let waited_for = of_line("sleep 1001");
    send(waited_for.parent, Signal::SIGKILL);
    send(waited_for.pid, Signal::SIGKILL);
    let left = of_line("sleep 1000").pid;
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(begun(), 1, "it still counts for the overlap rule");
    world.log.wait_for(") LOST (trap '' TERM; echo", Deadline::seconds(30));
    Deadline::seconds(20).wait_for("the next run", || (begun() > 1).then_some(()));
    assert!(sleeps(&world).iter().all(|process| process.pid != left));
    assert!(daemon.stop().success());
}
