//! Jobs in cgroups of their own, where the executor's is delegated, and what that changes when they are ended.

use crate::common::cgroup::{TestCgroup, cgroup_of};
use crate::common::{Deadline, Implementation, World};
use crate::harness::{Harness, PERMISSIVE, config, describe_services, read, start};
use crate::world;
use cronwheel::profile::ProfileName;
use cronwheel::scheduler::{RunOutcome, RunRequest, RunRules};
use std::fs;

/// Leaves session, group and parent at once and ignores TERM.
const STRAY: &str = "perl -MPOSIX=setsid -e '$SIG{TERM} = \"IGNORE\"; fork and exit; setsid; fork and exit; setsid; exec \"sleep\", \"1000\"'";

fn script(text: &str) -> String {
    fs::write("/home/alice/script", text).unwrap();
    ". ./script".to_owned()
}

fn with_timeout(start: RunRequest, timeout: u32, grace: u32) -> RunRequest {
    RunRequest { rules: RunRules { timeout: Some(timeout), grace, ..RunRules::default() }, ..start }
}

fn sleeps(world: &World) -> usize {
    world.processes().iter().filter(|process| process.name == "sleep" && process.state != 'Z').count()
}

fn warnings(world: &World) -> Vec<String> {
    world.log.lines().into_iter().filter(|line| line.contains("no cgroup of its own")).collect()
}

/// Starts a job with a stray process, checks in which cgroups all processes are, and returns how many are left after its timeout.
fn strays_left(world: &World, group: &TestCgroup, services: &str, leaf: &str) -> usize {
    describe_services(services);
    let mut harness = Harness::of(config(ProfileName::Debian));
    let command =
        script(&format!("{STRAY}\nuntil pgrep -fx 'sleep 1000'; do sleep 0.01; done\n: >ready\nexec sleep 1001"));
    harness.start(&with_timeout(start(7, "alice", &command), 2, 1));
    Deadline::seconds(20).wait_for("the stray", || fs::exists("/home/alice/ready").unwrap().then_some(()));
    // Whatever has ended waits in its cgroup to be reaped.
    for process in world.processes().into_iter().filter(|process| process.state != 'Z') {
        let is_jobs = matches!(process.name.as_str(), "sleep" | "bash" | "sh");
        let expected = if is_jobs { format!("{}{leaf}", group.name()) } else { group.name() };
        assert_eq!(cgroup_of(&process.pid.to_string()), expected, "{process:?}");
    }
    let result = harness.result_of(7);
    assert!(result.is_timeout && (2000..8000).contains(&result.duration_ms), "{result:?}");
    fs::remove_file("/home/alice/ready").unwrap();
    sleeps(world)
}

#[test]
fn a_process_that_has_left_session_group_and_parent_is_ended_with_its_job_and_the_cgroup_is_removed() {
    let Some(world) = world!(Implementation::OursDebian, ["perl", "setfattr"]) else { return };
    let group = TestCgroup::enter_delegated(&world);
    for services in ["", PERMISSIVE] {
        assert_eq!(strays_left(&world, &group, services, "/cronwheel-run-7"), 0, "{:#?}", world.processes());
        group.wait_until_empty();
    }
    assert_eq!(warnings(&world), [""; 0]);
}

#[test]
fn where_the_cgroup_is_not_delegated_jobs_stay_in_it() {
    let Some(world) = world!(Implementation::OursDebian, ["perl"]) else { return };
    let group = TestCgroup::enter(&world);
    for services in ["", PERMISSIVE] {
        assert_eq!(strays_left(&world, &group, services, ""), 1, "{:#?}", world.processes());
        world.run("pkill -KILL -x sleep").ok();
        assert!(group.below().is_empty());
    }
    assert_eq!(warnings(&world), [""; 0]);
}

#[test]
fn a_job_whose_session_has_moved_to_another_cgroup_stays_there() {
    let Some(world) = world!(Implementation::OursDebian, ["setfattr"]) else { return };
    let group = TestCgroup::enter_delegated(&world);
    let scope = group.add("session.scope");
    // As the manager of sessions does it: the process that opens the session is moved.
    let text = format!("#!/bin/sh\n[ $PAM_TYPE = close_session ] || echo $PPID >{}/cgroup.procs\n", scope.display());
    fs::write("/usr/local/bin/move", text).unwrap();
    world.run("chmod 755 /usr/local/bin/move").ok();
    describe_services(&format!("{PERMISSIVE}session required pam_exec.so /usr/local/bin/move\n"));
    let mut harness = Harness::of(config(ProfileName::Debian));
    assert_eq!(harness.run("alice", "cat /proc/self/cgroup >out"), RunOutcome::Code(0));
    assert!(read("/home/alice/out").contains(&format!("0::{}/session.scope\n", group.name())));
    assert_eq!(group.below(), ["session.scope"]);
    assert_eq!(warnings(&world), [""; 0]);
}

#[test]
fn the_cgroup_of_a_job_is_removed_when_its_last_process_has_ended_also_by_a_later_executor() {
    let Some(world) = world!(Implementation::OursDebian, ["perl", "setfattr"]) else { return };
    let group = TestCgroup::enter_delegated(&world);
    describe_services("");
    let mut harness = Harness::of(config(ProfileName::Debian));
    let stray = script(&format!("{STRAY}\nuntil pgrep -fx 'sleep 1000'; do sleep 0.01; done"));
    harness.start(&start(8, "alice", &stray));
    assert_eq!(harness.end_of(8), RunOutcome::Code(0));
    // The job has ended, and what it has left in the background runs on.
    assert_eq!((group.below(), sleeps(&world)), (vec!["cronwheel-run-8".to_owned()], 1));
    world.run("pkill -KILL -x sleep").ok();
    group.wait_until_empty();

    harness.start(&start(9, "alice", &stray));
    assert_eq!(harness.end_of(9), RunOutcome::Code(0));
    group.add("cronwheel-run-10");
    group.add("other");
    world.run(&format!("kill -KILL {}", harness.executor.pid())).ok();
    let mut harness = Harness::of(config(ProfileName::Debian));
    assert_eq!(harness.run("alice", "true"), RunOutcome::Code(0));
    let below = || -> Vec<String> {
        let mut names = group.below();
        names.sort();
        names
    };
    Deadline::seconds(20).wait_for("all but the populated one to be removed", || {
        (below() == ["cronwheel-run-9", "other"]).then_some(())
    });
    world.run("pkill -KILL -x sleep").ok();
    Deadline::seconds(20).wait_for("that one, too", || (below() == ["other"]).then_some(()));
}

#[test]
fn a_job_that_forks_without_end_and_leaves_its_sessions_is_ended() {
    let Some(world) = world!(Implementation::OursDebian, ["perl", "setfattr"]) else { return };
    let group = TestCgroup::enter_delegated(&world);
    // At most 100 processes of alice, by the kernel's limit, without which nothing is started, and each ends by itself after 30 seconds.
    let bomb = "exec prlimit --nproc=100:100 perl -MPOSIX=setsid -e '$SIG{TERM} = \"IGNORE\"; $SIG{CHLD} = \"IGNORE\"; my ($first, $end) = ($$, time + 30); \
                while (time < $end) { my $p = fork; if (!defined $p) { select undef, undef, undef, 0.01 } \
                elsif (!$p) { setsid } elsif ($$ != $first && rand() < 0.5) { exit } }'";
    for services in ["", PERMISSIVE] {
        describe_services(services);
        let mut harness = Harness::of(config(ProfileName::Debian));
        harness.start(&with_timeout(start(1, "alice", &script(bomb)), 1, 1));
        let result = harness.result_of(1);
        assert!(result.is_timeout && result.duration_ms < 20_000, "{result:?}");
        assert_eq!(world.run("pgrep -u alice -r D,R,S,T -c .").stdout.trim(), "0", "{:#?}", world.processes());
        assert_eq!(harness.run("bob", "exit 3"), RunOutcome::Code(3));
        group.wait_until_empty();
    }
}

#[test]
fn where_no_cgroup_can_be_made_jobs_run_without_and_one_line_says_so() {
    let Some(world) = world!(Implementation::OursDebian, ["setfattr"]) else { return };
    let group = TestCgroup::enter_delegated(&world);
    world.run(&format!("echo 0 >/sys/fs/cgroup{}/cgroup.max.descendants", group.name())).ok();
    for services in ["", PERMISSIVE] {
        describe_services(services);
        let before = warnings(&world).len();
        let mut harness = Harness::of(config(ProfileName::Debian));
        for _ in 0..3 {
            assert_eq!(harness.run("alice", "cat /proc/self/cgroup >out"), RunOutcome::Code(0));
            assert!(read("/home/alice/out").contains(&format!("0::{}\n", group.name())));
        }
        world.log.wait_for("a job has no cgroup of its own: Resource temporarily unavailable", Deadline::seconds(20));
        assert_eq!(warnings(&world).len(), before + 1, "{:#?}", world.log.lines());
    }
}
