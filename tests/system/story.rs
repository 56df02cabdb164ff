//! The whole way: tables of all three kinds, an edit, the minute, the mail, the log.

use crate::common::clock::{now, wait_until};
use crate::common::implementation::own;
use crate::common::machine::install_dma;
use crate::common::{Deadline, Implementation, World};
use crate::world;
use std::fs;

#[test]
fn an_edit_counts_at_once_its_job_runs_on_the_minute_and_its_output_arrives_by_mail() {
    let Some(world) = world!(Implementation::OursDebian, ["dma"]) else { return };
    the_story(&world);
}

#[test]
fn an_edit_counts_at_once_in_the_cronie_profile_too() {
    let Some(world) = world!(Implementation::OursCronie, ["dma"]) else { return };
    the_story(&world);
}

fn the_story(world: &World) {
    install_dma(world);
    fs::write("/etc/crontab", "* * * * * bob id -un >/tmp/of-bob\n").expect("/etc/crontab");
    world.drop_in("package", "* * * * * root id -un >/tmp/of-root\n");
    assert!(world.crontab("alice", "@yearly old\n").status.success());
    let daemon = world.start_daemon(&[]);

    // Room for the edit before the next minute begins.
    let second = now().as_secs() % 60;
    if second > 50 {
        wait_until(now().as_secs() + 60 - second);
    }
    fs::write("/home/alice/editor", EDITOR).expect("an editor");
    own("/home/alice/editor", 0, 0, 0o755);
    let edited = world.run_as("alice", "EDITOR=$HOME/editor crontab -e");
    assert!(edited.status.success(), "{edited:?}");
    world.log.wait_for("(alice) RELOAD (", Deadline::seconds(5));
    let minute = now().as_secs() / 60 * 60 + 60;

    let mail = world.wait_for_file("/var/mail/alice", Deadline::seconds(90));
    let wait = Deadline::seconds(20);
    assert_eq!(world.wait_for_file("/tmp/of-bob", wait), "bob\n");
    assert_eq!(world.wait_for_file("/tmp/of-root", wait), "root\n");
    assert!(mail.contains("\nhello from alice in /home/alice\n"), "{mail}");
    assert!(mail.contains("\nSubject: Cron <alice@"), "{mail}");
    let started: u64 = mail.lines().find_map(|line| line.strip_prefix("at ")).expect("a time").parse().expect("a time");
    assert!((minute..minute + 2).contains(&started), "due at {minute}, ran at {started}");

    assert!(daemon.stop().success());
    let log = world.log.lines();
    for told in [
        "(alice) BEGIN EDIT (alice)",
        "(alice) REPLACE (alice)",
        "(alice) END EDIT (alice)",
        "(alice) CMD (",
        "(bob) CMD (",
    ] {
        assert!(log.iter().any(|line| line.contains(told)), "{told} in {log:#?}");
    }
}

/// Done within the second: Debian's own `crontab` would not see that the file has changed.
const EDITOR: &str = r#"#!/bin/sh
echo '* * * * * echo hello from $LOGNAME in $PWD; date +at" "\%s' >"$1"
"#;
