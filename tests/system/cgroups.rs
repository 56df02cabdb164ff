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
