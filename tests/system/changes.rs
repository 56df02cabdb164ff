//! Changes of tables that are easily missed.

use crate::common::implementation::own;
use crate::common::{Deadline, Implementation};
use crate::world;
use nix::sys::signal::Signal;
use std::fs;

/// The kernel's bound on events that wait for one reader.
const BOUND: &str = "/proc/sys/fs/inotify/max_queued_events";

#[test]
fn a_change_of_the_system_table_counts_when_the_kernel_has_dropped_its_event() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    fs::write("/etc/crontab", "@every_second root echo >>/run/before\n").expect("/etc/crontab");
    own("/etc/crontab", 0, 0, 0o644);
    // Otherwise the rescan of each minute finds the change, since the private machine is an overlay.
    let daemon = world.start_daemon(&["--watch", "inotify"]);
    world.wait_for_file("/run/before", Deadline::seconds(20));
    let bound: usize = fs::read_to_string(BOUND).expect(BOUND).trim().parse().expect("a number");
    // While the daemon cannot read, more names come and go in /etc than the kernel keeps events of.
    daemon.signal(Signal::SIGSTOP);
    Deadline::seconds(20).wait_for("the daemon to stand still", || {
        world.processes().iter().any(|process| process.pid == daemon.pid() && process.state == 'T').then_some(())
    });
    for number in 0..bound {
        let path = format!("/etc/event-{number}");
        fs::write(&path, "").expect("a file");
        fs::remove_file(&path).expect("a file");
    }
    fs::write("/etc/crontab", "@every_second root echo >>/run/after\n").expect("/etc/crontab");
    daemon.signal(Signal::SIGCONT);
    world.wait_for_file("/run/after", Deadline::seconds(60));
    assert!(daemon.stop().success());
}
