//! The names of cronwheel's processes in the process list.

use crate::common::machine::Process;
use crate::common::{Deadline, Implementation, World};
use crate::world;

const JOBS: usize = 5;

#[test]
fn five_running_jobs_are_five_processes_and_no_zombie_stays() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    // Without a session to hold open, no job needs a PAM monitor.
    std::fs::remove_file("/etc/pam.d/cron").expect("the service");
    assert_eq!(beside_the_jobs(&world).len(), 2, "the daemon and its executor");
}

#[test]
fn with_a_pam_session_each_job_has_a_monitor() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let beside = beside_the_jobs(&world);
    // The daemon, its executor, and for each job the process that closes its session; at most one more, which they come from.
    assert!((2..=2 + JOBS + 1).contains(&beside.len()), "{beside:#?}");
}

/// Starts the daemon and five jobs, and returns what runs beside the jobs; everything must be gone after.
fn beside_the_jobs(world: &World) -> Vec<Process> {
    world.drop_in("five", &"@reboot alice exec sleep 1000\n".repeat(JOBS));
    let daemon = world.start_daemon(&[]);
    let is_job = |process: &Process| process.line == "sleep 1000";
    let running = Deadline::seconds(20).wait_for("five jobs", || {
        let all = world.processes();
        (all.iter().filter(|process| is_job(process)).count() == JOBS).then_some(all)
    });
    let beside: Vec<Process> = running.iter().filter(|process| !is_job(process)).cloned().collect();
    assert!(beside.iter().all(|process| process.line.starts_with("/usr/sbin/cron")), "{beside:#?}");
    assert!(running.iter().all(|process| process.state != 'Z'), "{running:#?}");

    world.run("pkill -x sleep").ok();
    Deadline::seconds(20).wait_for("the jobs and their monitors to be gone", || {
        let left = world.processes();
        let resting = left.len() <= 3 && left.iter().all(|process| process.state != 'Z' && !is_job(process));
        resting.then_some(())
    });
    assert!(daemon.stop().success());
    Deadline::seconds(20).wait_for("everything to be gone", || world.processes().is_empty().then_some(()));
    beside
}
