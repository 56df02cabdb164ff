//! The programs as installed, on a private machine: see `tests/README.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test program, helpers included.

#[path = "../common/mod.rs"]
pub mod common;

mod anacron;
mod burst;
mod calendars;
mod cgroups;
mod changes;
mod ends;
mod faults;
mod log;
mod notices;
mod packages;
mod processes;
mod selinux;
mod story;
mod varlink;

use common::Implementation;

#[test]
fn the_reference_runs_on_the_private_machine_as_it_does_on_a_real_one() {
    let Some(world) = world!(Implementation::Debian) else { return };
    assert!(world.crontab("alice", "@daily true\n").status.success());
    assert!(world.run_as("alice", "crontab -l").ok().ends_with("@daily true\n"));
    let daemon = world.start_daemon(&[]);
    let names: Vec<String> = world.processes().into_iter().map(|process| process.line).collect();
    assert_eq!(names, ["/usr/sbin/cron -f"]);
    assert!(!daemon.stop().success());
    let log = world.log.lines();
    assert!(log.iter().any(|line| line.ends_with(": (alice) REPLACE (alice)")), "{log:#?}");
}
