//! The state of jobs: daemons that are killed, files that are cut, directories that cannot be written.

use crate::common::clock::{now, wait_until};
use crate::common::{Daemon, Deadline, Implementation, World};
use crate::{CANARY, wait_for_song, world};
use nix::sys::signal::Signal;
use std::fs;

const LEDGER: &str = "/run/ledger";
const STATE: &str = "/var/lib/cronwheel/state";
const RECORD: &str = "/run/cronwheel.completed";

fn lines(path: &str) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}

fn wait_for_lines(path: &str, count: usize) {
    Deadline::seconds(120).wait_for(&format!("{count} lines in {path}"), || (lines(path) >= count).then_some(()));
}

/// A schedule that comes once, in so many seconds, and when that is.
fn once_in(seconds: u64) -> (String, u64) {
    let due = now().as_secs() + seconds;
    (format!("@quartz {} {} {} * * * *", due % 60, due / 60 % 60, due / 3600 % 24), due)
}

fn kill(mut daemon: Daemon) {
    daemon.signal(Signal::SIGKILL);
    daemon.end(Deadline::seconds(60));
}

fn logged(world: &World, part: &str) -> usize {
    world.log.lines().iter().filter(|line| line.contains(part)).count()
}

#[test]
fn a_retry_comes_though_the_daemon_is_killed_between_the_attempts() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let (schedule, _) = once_in(5);
    world.drop_in("retry", &format!("CRON_TZ=UTC\nCRON_RETRY=1,10s\n{schedule} root echo run >>{LEDGER}; exit 3\n"));
    let daemon = world.start_daemon(&[]);
    wait_for_lines(LEDGER, 1);
    let is_pending = || fs::read_to_string(STATE).is_ok_and(|text| text.contains(r#""stage":"Pause""#)).then_some(());
    Deadline::seconds(60).wait_for("the retry in the state file", is_pending);
    kill(daemon);
    let daemon = world.start_daemon(&[]);
    wait_for_lines(LEDGER, 2);
    world.drop_in("canary", CANARY);
    wait_for_song();
    assert!(daemon.stop().success());
    assert_eq!(lines(LEDGER), 2);
}

#[test]
fn a_job_that_must_not_overlap_does_not_overlap_over_a_killed_daemon() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let command = format!("echo run >>{LEDGER}; while [ ! -e /run/go ]; do sleep 0.1; done");
    world.drop_in("single", &format!("CRON_OVERLAP=skip\n@every_second root {command}\n"));
    world.drop_in("canary", CANARY);
    let daemon = world.start_daemon(&[]);
    wait_for_lines(LEDGER, 1);
    kill(daemon);
    let daemon = world.start_daemon(&[]);
    for _ in 0..3 {
        wait_for_song();
    }
    assert_eq!(lines(LEDGER), 1);
    fs::write("/run/go", "").unwrap();
    wait_for_lines(LEDGER, 2);
    assert!(daemon.stop().success());
}

#[test]
fn a_state_file_that_was_cut_costs_one_log_line_and_no_job() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("canary", CANARY);
    let daemon = world.start_daemon(&[]);
    wait_for_song();
    assert!(daemon.stop().success());
    let state = fs::read(STATE).unwrap();
    fs::write(STATE, &state[..state.len() - 5]).unwrap();
    let daemon = world.start_daemon(&[]);
    wait_for_song();
    assert!(daemon.stop().success());
    assert_eq!(logged(&world, "is damaged from line"), 1);
    assert_eq!(fs::read(format!("{STATE}.damaged")).unwrap(), &state[..state.len() - 5]);
}

#[test]
fn a_state_directory_that_cannot_be_written_costs_one_log_line_and_no_job() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("canary", CANARY);
    world.run("mkdir -p /var/lib/cronwheel && mount -t tmpfs -o ro,mode=711 none /var/lib/cronwheel").ok();
    let daemon = world.start_daemon(&[]);
    for _ in 0..3 {
        wait_for_song();
    }
    assert!(daemon.stop().success());
    assert_eq!(logged(&world, &format!("writing {STATE}: Read-only file system")), 1);
}

#[test]
fn a_slot_that_was_missed_over_a_boot_is_caught_up_once() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let (schedule, due) = once_in(25);
    let entries =
        format!("{schedule} root echo run >>/run/plain\nCRON_CATCHUP=once\n{schedule} root echo run >>{LEDGER}\n");
    world.drop_in("owed", &format!("CRON_TZ=UTC\n{entries}"));
    world.drop_in("canary", CANARY);
    let daemon = world.start_daemon(&[]);
    wait_for_song();
    assert!(daemon.stop().success());
    wait_until(due + 1);
    for _ in 0..2 {
        // What a boot leaves of the run directory.
        fs::remove_file(RECORD).unwrap();
        let daemon = world.start_daemon(&[]);
        wait_for_lines(LEDGER, 1);
        wait_for_song();
        assert!(daemon.stop().success());
        assert_eq!((lines(LEDGER), lines("/run/plain")), (1, 0));
    }
}
