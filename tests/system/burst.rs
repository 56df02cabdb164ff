//! Ten thousand jobs due in one second: the daemon hears everything else while they start.

use crate::common::clock::now;
use crate::common::{Deadline, Implementation};
use crate::world;
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

const JOBS: usize = 10_000;

/// Each job leaves a byte here.
const STARTED: &str = "/run/started";

fn started() -> usize {
    fs::metadata(STARTED).map_or(0, |file| file.len() as usize)
}

/// What was asked has just been answered: most of the burst was still to come.
fn assert_most_are_still_to_come(answered: &str) {
    let started = started();
    assert!(started < JOBS / 2, "{answered}: {started} jobs had started");
}

#[test]
fn signals_edits_and_the_end_are_not_kept_waiting_by_ten_thousand_jobs() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let manager = UnixDatagram::bind("/run/notify").expect("a socket");
    manager.set_read_timeout(Some(Duration::from_secs(20))).expect("poll_timeout");
    let hear = |what: &str| {
        let mut packet = [0; 4096];
        loop {
            let size = manager.recv(&mut packet).unwrap_or_else(|e| panic!("waiting for {what}: {e}"));
            if String::from_utf8_lossy(&packet[..size]).contains(what) {
                return;
            }
        }
    };
    let due = now().as_secs() + 5;
    let line = format!("@quartz {} {} {} * * * * root echo >> {STARTED}\n", due % 60, due / 60 % 60, due / 3600 % 24);
    world.drop_in("burst", &format!("CRON_TZ=UTC\n{}", line.repeat(JOBS)));
    world.drop_in("other", "0 0 1 1 * root true\n");
    let daemon = world.start_daemon_with(&[], &[("NOTIFY_SOCKET", "/run/notify")]);
    hear("READY=1");
    Deadline::seconds(30).wait_for("the first job", || (started() > 0).then_some(()));

    daemon.signal(Signal::SIGUSR1);
    world.log.wait_for("(CRON) STATE (", Deadline::seconds(20));
    assert_most_are_still_to_come("USR1");
    daemon.signal(Signal::SIGHUP);
    hear("RELOADING=1");
    hear("READY=1");
    assert_most_are_still_to_come("HUP");
    world.drop_in("other", "0 0 2 2 * root true\n");
    world.log.wait_for("(*system*other) RELOAD (/etc/cron.d/other)", Deadline::seconds(20));
    assert_most_are_still_to_come("an edit");
    assert!(daemon.stop().success());
    assert_most_are_still_to_come("TERM");
    // What has not begun is left to the next daemon.
    let next = world.start_daemon(&[]);
    Deadline::seconds(120).wait_for("every job", || (started() == JOBS).then_some(()));
    assert!(next.stop().success());
    let no_cron = || world.processes().iter().all(|process| !process.name.starts_with("cron")).then_some(());
    Deadline::seconds(30).wait_for("every executor to end", no_cron);
    assert_eq!(started(), JOBS, "no job twice");
    let held_up: Vec<_> =
        world.log.lines().into_iter().filter(|line| line.contains("starting jobs is delayed")).collect();
    assert!(held_up.is_empty(), "the machine had enough of us: {held_up:#?}");
}
