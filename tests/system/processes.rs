//! What the process list shows.

use crate::common::machine::Process;
use crate::common::{Deadline, Subject, World};
use crate::world;
use std::process::Stdio;

const JOBS: usize = 5;

#[test]
fn five_running_jobs_are_five_processes_and_no_zombie_stays() {
    let Some(world) = world!(Subject::OursDebian) else { return };
    // Without a session to hold open, no job needs a keeper.
    std::fs::remove_file("/etc/pam.d/cron").expect("the service");
    assert_eq!(beside_the_jobs(&world).len(), 2, "the daemon and its runner");
}

#[test]
fn with_a_pam_session_each_job_has_a_keeper() {
    let Some(world) = world!(Subject::OursDebian) else { return };
    let beside = beside_the_jobs(&world);
    // The daemon, its runner, and for each job the process that closes its session; at most one more, which they come from.
    assert!((2..=2 + JOBS + 1).contains(&beside.len()), "{beside:#?}");
}

#[test]
fn a_simple_command_is_run_without_its_shell_where_the_configuration_says_so() {
    let Some(world) = world!(Subject::OursDebian) else { return };
    world.drop_in("sleep", "@reboot alice /bin/sleep 1000\n@reboot alice /bin/sleep 1001; true\n");
    std::fs::write("/tmp/table", "@reboot /bin/sleep 1000\n@reboot /bin/sleep 1001; true\n").expect("a table");
    let with_shells =
        ["/bin/sh -c /bin/sleep 1000", "/bin/sh -c /bin/sleep 1001; true", "/bin/sleep 1000", "/bin/sleep 1001"];
    for (setting, expected) in [
        ("", &with_shells[..]),
        ("simple-commands = 'shell'\n", &with_shells),
        ("simple-commands = 'direct'\n", &with_shells[1..]),
    ] {
        std::fs::write("/etc/cronwheel.toml", setting).expect("the configuration");
        assert_eq!(jobs_of(&world, "exec /usr/sbin/cron -f"), expected, "{setting}");
        assert_eq!(jobs_of(&world, "exec env -i PATH=/usr/bin:/bin /usr/sbin/cron /tmp/table"), expected, "{setting}");
    }
    std::fs::write("/etc/cronwheel.toml", "simple-commands = 'drect'\n").expect("the configuration");
    let refused = world.run("cron --check");
    assert_eq!(refused.code(), 1);
    for part in ["/etc/cronwheel.toml", "line 1", "unknown variant `drect`, expected `shell` or `direct`"] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
}

/// The command lines of the jobs that this daemon starts, once both sleep; daemon and jobs are gone after.
fn jobs_of(world: &World, daemon: &str) -> Vec<String> {
    std::fs::remove_file(world.subject.reboot_marker()).ok();
    let mut daemon = world.command_as("root", daemon).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it");
    let sleeps = |line: &String| line.contains("/bin/sleep");
    let is_asleep = |line: &&String| line.starts_with("/bin/sleep");
    let lines = || world.processes().into_iter().map(|process| process.line).filter(sleeps).collect::<Vec<_>>();
    let mut found = Deadline::seconds(20).wait_for("both jobs", || {
        let lines = lines();
        (lines.iter().filter(is_asleep).count() == 2).then_some(lines)
    });
    found.sort_unstable();
    daemon.kill().expect("its end");
    daemon.wait().expect("its end");
    world.run("pkill -x sleep").ok();
    Deadline::seconds(20).wait_for("everything to be gone", || world.processes().is_empty().then_some(()));
    found
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
    Deadline::seconds(20).wait_for("the jobs and their keepers to be gone", || {
        let left = world.processes();
        let resting = left.len() <= 3 && left.iter().all(|process| process.state != 'Z' && !is_job(process));
        resting.then_some(())
    });
    assert!(daemon.stop().success());
    Deadline::seconds(20).wait_for("everything to be gone", || world.processes().is_empty().then_some(()));
    beside
}
