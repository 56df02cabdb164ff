//! The faults that were reproduced on Debian 12's own cron, each of them a thing that must not happen here.

use crate::common::clock::{now, wait_until};
use crate::common::implementation::own;
use crate::common::{Deadline, Implementation, World};
use crate::world;
use std::fs;
use std::process::{Command, Stdio};

/// The next minute, waited for when it is too near to get ready for.
fn next_minute() -> u64 {
    let second = now().as_secs() % 60;
    if second > 50 {
        wait_until(now().as_secs() + 60 - second);
    }
    now().as_secs() / 60 * 60 + 60
}

/// Waits for the minute, and for the canary to run in it.
fn run_through(world: &World, minute: u64) {
    wait_until(minute);
    let shown = format!("{:02}", minute / 60 % 60);
    Deadline::seconds(30).wait_for("the canary", || {
        fs::read_to_string("/run/canary").unwrap_or_default().lines().any(|line| line == shown).then_some(())
    });
    Deadline::seconds(30).wait_for("the jobs to end", || {
        world.processes().iter().all(|process| !process.line.starts_with("/bin/sh -c")).then_some(())
    });
}

#[test]
fn tables_survive_unknown_users_hard_links_equal_times_and_lost_homes() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("canary", "* * * * * root date +\\%M >>/run/canary\n");
    world.drop_in("late", "* * * * * carol id -un >>/tmp/carol\n* * * * * root echo ran >>/tmp/beside-carol\n");
    fs::write("/etc/crontab", "* * * * * root echo ran >>/tmp/linked\n").expect("/etc/crontab");
    fs::hard_link("/etc/crontab", "/etc/second-link").expect("a link");
    world.drop_in("home", "HOME=/nowhere\n* * * * * alice pwd >>/tmp/lost\n");
    world.drop_in("renamed", "* * * * * root echo old >>/tmp/renamed\n");
    let first = next_minute();
    let _daemon = world.start_daemon(&[]);

    run_through(&world, first);
    assert_eq!(world.run("cat /tmp/beside-carol").stdout, "ran\n", "fault 1: an unknown user stops the jobs of others");
    assert_eq!(world.run("cat /tmp/linked").stdout, "ran\n", "fault 5: a second link to /etc/crontab silences it");
    assert_eq!(world.run("cat /tmp/lost").stdout, "/\n", "fault 7: without a home a job stands in the spool");

    world.run("useradd --no-create-home --home-dir /tmp carol").ok();
    fs::write("/etc/new", "* * * * * root echo new >>/tmp/renamed\n").expect("a table");
    world.run("touch -r /etc/cron.d/renamed /etc/new && mv /etc/new /etc/cron.d/renamed").ok();
    run_through(&world, first + 60);
    assert_eq!(world.run("cat /tmp/carol").stdout, "carol\n", "fault 1: creating the user does not make the job run");
    assert_eq!(world.run("cat /tmp/renamed").stdout, "old\nnew\n", "fault 3: a table with an equal time is not loaded");
}

#[test]
fn an_edit_that_is_saved_within_the_second_is_installed() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    for round in 0..3 {
        let edited = world.run_as("alice", &format!("EDITOR='echo \"@daily true {round}\" >' crontab -e"));
        assert!(edited.status.success(), "{edited:?}");
        let table = world.run_as("alice", "crontab -l").ok();
        assert!(table.ends_with(&format!("@daily true {round}\n")), "fault 2: {table}");
    }
}

#[test]
fn no_user_can_keep_the_daemon_from_starting() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    // What the daemon leaves readable is what a user can lock.
    let daemon = world.start_daemon(&[]);
    let files =
        world.run_as("alice", "find /run -maxdepth 2 -type f -readable -newer /proc/1 2>/dev/null; true").stdout;
    daemon.stop();
    for file in files.lines().chain(["/run/crond.pid"]).filter(|file| file.contains("cron")) {
        fs::write(file, "").expect("a file of the daemon's");
        own(file, 0, 0, 0o644);
        let mut locker = world.command_as("alice", &format!("exec flock {file} sleep 1000"));
        let mut locker = locker.stdin(Stdio::null()).spawn().expect("flock, of util-linux");
        Deadline::seconds(10)
            .wait_for("the lock", || fs::read_to_string("/proc/locks").expect("locks").contains("FLOCK").then_some(()));
        let mut daemon = world.start_daemon(&[]);
        assert!(daemon.is_alive(), "fault 4: {file} is locked by a user");
        daemon.stop();
        locker.kill().expect("the locker");
        locker.wait().expect("the locker");
    }
}

#[test]
fn no_descriptor_or_ignored_signal_of_the_caller_reaches_a_job() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in(
        "inherited",
        "@reboot alice (exec ls /proc/self/fd >/tmp/fds); grep -E '^Sig(Ign|Blk)' /proc/$$/status | cut -c 9- >/tmp/signals; echo done >/tmp/done\n",
    );
    // Descriptors on a secret, and the signals that a shell's background processes ignore.
    let line = "trap '' INT QUIT HUP PIPE; exec 5</etc/shadow 7</etc/shadow; exec /usr/sbin/cron -f";
    let mut daemon = Command::new("sh").args(["-c", line]).stdin(Stdio::null()).spawn().expect("sh");
    world.wait_for_file("/tmp/done", Deadline::seconds(20));
    daemon.kill().expect("the daemon");
    daemon.wait().expect("the daemon");
    assert_eq!(world.run("cat /tmp/fds").stdout, "0\n1\n2\n3\n", "fault 6: descriptors (3 is the listed directory)");
    let signals = world.run("cat /tmp/signals").stdout;
    assert!(signals.lines().all(|mask| mask.trim().chars().all(|digit| digit == '0')), "fault 6: signals: {signals}");
}

#[test]
fn the_daemon_leaves_a_sane_marker_and_no_pid_file() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let daemon = world.start_daemon(&[]);
    world.log.wait_for("@reboot jobs", Deadline::seconds(20));
    let mode = world.run("stat -c %a /run/crond.reboot").ok();
    assert!(daemon.stop().success());
    assert!(!fs::exists("/run/crond.pid").expect("/run"), "fault 8: the PID file stays");
    assert!(["600\n", "644\n"].contains(&mode.as_str()), "fault 9: the marker's mode is {mode}");
}
