//! The cgroups of jobs under the installed daemon.

use crate::common::cgroup::{TestCgroup, cgroup_of};
use crate::common::machine::Process;
use crate::common::{Deadline, Implementation};
use crate::world;
use nix::sys::signal::Signal;

/// Leaves session, group and parent at once and ignores TERM.
const STRAY: &str = "perl -MPOSIX=setsid -e '$SIG{TERM} = \"IGNORE\"; fork and exit; setsid; fork and exit; setsid; exec \"sleep\", \"1000\"'";

#[test]
fn an_executor_whose_daemon_was_killed_ends_also_a_process_that_has_left_everything_but_the_cgroup() {
    let Some(world) = world!(Implementation::OursDebian, ["perl", "setfattr"]) else { return };
    let group = TestCgroup::enter_delegated(&world);
    world.drop_in("long", &format!("CRON_TIMEOUT=4s\nCRON_GRACE=1s\n@reboot alice {STRAY}; sleep 1001\n"));
    let mut daemon = world.start_daemon(&[]);
    let sleeps = || -> Vec<Process> {
        let all = world.processes().into_iter();
        all.filter(|process| process.name == "sleep" && process.state != 'Z').collect()
    };
    Deadline::seconds(20).wait_for("the job's processes", || (sleeps().len() == 2).then_some(()));
    let leaf = group.below();
    assert!(leaf.len() == 1 && leaf[0].starts_with("cronwheel-run-"), "{leaf:?}");
    for process in world.processes() {
        let is_jobs = !process.line.starts_with("/usr/sbin/cron");
        let expected = if is_jobs { format!("{}/{}", group.name(), leaf[0]) } else { group.name() };
        assert_eq!(cgroup_of(&process.pid.to_string()), expected, "{process:?}");
    }
    daemon.signal(Signal::SIGKILL);
    daemon.end(Deadline::seconds(20));
    world.log.wait_for("timeout after 4s", Deadline::seconds(20));
    assert_eq!(sleeps(), []);
    group.wait_until_empty();
}

#[test]
fn a_run_whose_executor_was_killed_goes_on_until_no_process_is_left_in_its_cgroup() {
    let Some(world) = world!(Implementation::OursDebian, ["perl", "setfattr"]) else { return };
    let _group = TestCgroup::enter_delegated(&world);
    let job = format!("echo >>/tmp/begun; {STRAY}; until [ -e /tmp/go ]; do sleep 0.1; done");
    world.drop_in("long", &format!("CRON_OVERLAP=skip\n@every_second root {job}\n"));
    let daemon = world.start_daemon(&[]);
    let strays = || world.processes().iter().filter(|process| process.line == "sleep 1000").count();
    let begun = || std::fs::read_to_string("/tmp/begun").unwrap_or_default().lines().count();
    Deadline::seconds(20).wait_for("the stray", || (strays() == 1).then_some(()));
    world.run("pkill -KILL -x 'cron: executor'").ok();
    // The daemon executes itself anew, and finds the run.
    std::fs::write("/tmp/go", "").unwrap();
    let leader = |process: &Process| process.line.contains("until [ -e /tmp/go ]");
    Deadline::seconds(20).wait_for("the leader's end", || (!world.processes().iter().any(leader)).then_some(()));
    // Further slots pass.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!((begun(), strays()), (1, 1), "{:#?}", world.log.lines());
    assert!(!world.log.lines().iter().any(|line| line.contains("LOST")), "{:#?}", world.log.lines());
    std::fs::remove_file("/tmp/go").unwrap();
    world.run("pkill -KILL -f -x 'sleep 1000'").ok();
    world.log.wait_for("(root) LOST (echo >>/tmp/begun;", Deadline::seconds(20));
    Deadline::seconds(20).wait_for("the next run", || (begun() == 2).then_some(()));
    std::fs::write("/tmp/go", "").unwrap();
    assert!(daemon.stop().success());
}
