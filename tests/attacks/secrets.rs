//! What other users must not learn or change: whether files exist, what is in tables, the owners of files that links lead to.

use super::common::{Deadline, Implementation, World};
use super::{CANARY, wait_for_canary};
use crate::world;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

#[test]
fn what_is_said_about_a_command_does_not_tell_whether_its_program_exists() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.run_as("bob", "mkdir -m 700 private && cp /bin/true private/there").ok();
    let said = |name: &str| -> String {
        let path = format!("/home/bob/private/{name}");
        let table = format!("@daily {path}\n@daily {path} with arguments\nSHELL={path}\n@daily true\n");
        let mut all = String::new();
        world.run_with_input("alice", "cat >table", table.as_bytes()).ok();
        for line in [
            "crontab -n table",
            "cronctl check table",
            "crontab table",
            "crontab -l",
            "EDITOR=true crontab -e",
            "EDITOR='touch -d tomorrow' crontab -e",
        ] {
            let shown = world.run_as("alice", line);
            all += &format!("{line}: {}\n{}{}", shown.code(), shown.stdout, shown.stderr);
        }
        let shown = world.on_terminal("alice", "exec env EDITOR='sh -c \"echo >>\\$1\" sh' crontab -e", &[]);
        all += &format!("on a terminal: {}\n{}", shown.code(), shown.stdout);
        world.run_as("alice", "crontab -r").ok();
        // Names of temporary files differ at each run.
        let mut words: Vec<String> = all.replace(name, "NAME").split("/tmp/crontab.").map(str::to_owned).collect();
        words.iter_mut().skip(1).for_each(|word| drop(word.drain(..6)));
        words.concat()
    };
    assert_eq!(said("there"), said("other"));
}

/// What must not change of a file.
fn identity(path: &str) -> (u64, u32, u32, u32, u64) {
    let stat = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    (stat.ino(), stat.uid(), stat.gid(), stat.mode(), stat.size())
}

#[test]
fn links_that_the_group_crontab_puts_into_the_spool_lead_neither_daemon_nor_crontab_to_other_files() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    // Where the kernel protects hard links, the group may not make any: the test makes them as root.
    fs::write("/var/spool/cron/secret", "* * * * * secret\n").unwrap();
    world.run("chmod 640 /var/spool/cron/secret; chgrp shadow /var/spool/cron/secret").ok();
    let spool = world.implementation.spool();
    let plant = format!(
        "cd {spool} && rm -rf tmp.* alice bob && ln -s /etc/shadow alice && ln /var/spool/cron/secret bob && \
         ln -s /etc/shadow tmp.aaaaaa && ln /var/spool/cron/secret tmp.bbbbbb && mkdir tmp.cccccc && \
         ln -s /etc/shadow tmp.cccccc/x && mkfifo tmp.dddddd && touch -h -d '2 days ago' tmp.*"
    );
    let before = [identity("/etc/shadow"), identity("/var/spool/cron/secret")];
    world.drop_in("canary", CANARY);
    for round in 0..10 {
        world.run(&plant).ok();
        let daemon = world.start_daemon(&[]);
        wait_for_canary();
        for user in ["alice", "bob"] {
            for line in ["crontab -l", "EDITOR=cat crontab -e"] {
                let shown = world.run_as(user, line);
                assert!(!shown.stdout.contains("secret") && !shown.stdout.contains("root:"), "{line}: {shown:?}");
            }
            // What it replaces is the link, never what it leads to.
            world.run_with_input(user, "crontab -", b"@daily true\n");
            world.run_as(user, "crontab -r");
        }
        let after = [identity("/etc/shadow"), identity("/var/spool/cron/secret")];
        assert_eq!(after, before, "round {round}");
        assert!(daemon.stop().success());
    }
    // A name that changes between a file of alice's and a link, while the daemon loads it and crontab replaces it.
    let swap = format!(
        "cd {spool}; until test -e /tmp/enough; do ln -sfn /etc/shadow x; mv -f x alice 2>/dev/null; \
         echo '@daily true' >y; chown alice y; chmod 600 y; mv -f y alice; done"
    );
    let mut swapper = world.command_as("root", &swap).stdin(Stdio::null()).spawn().unwrap();
    let daemon = world.start_daemon(&[]);
    for _ in 0..60 {
        let shown = world.run_as("alice", "crontab -l; echo '@daily own' | crontab -");
        assert!(!shown.stdout.contains("root:"), "{shown:?}");
        world.run(&format!("kill -HUP {}", daemon.pid())).ok();
    }
    fs::write("/tmp/enough", "").unwrap();
    swapper.wait().unwrap();
    assert_eq!(identity("/etc/shadow"), before[0]);
    assert!(!world.log.lines().iter().any(|line| line.contains("root:")), "nothing of it is logged");
    assert!(daemon.stop().success());
}

fn no_file_that_others_can_read_has_a_table(world: &World) {
    // Bob looks at all that he can read, again and again.
    let sweep = "until test -e /tmp/enough; do \
                 timeout 20 find /tmp /run /var /home /dev/shm -xdev -type f -newer /run/begun -size -100k -readable \
                 -exec grep -l SECRET {} + 2>/dev/null >>/run/found; echo >>/run/sweeps; done";
    fs::write("/run/begun", "").unwrap();
    for name in ["/run/found", "/run/sweeps"] {
        fs::write(name, "").unwrap();
        world.run(&format!("chown bob {name}")).ok();
    }
    let mut sweeper = world.command_as("bob", sweep).stdin(Stdio::null()).spawn().unwrap();
    let sweeps = || fs::read_to_string("/run/sweeps").unwrap().len();
    let daemon = world.start_daemon(&[]);
    world.run_as("alice", "umask 077; echo '@daily SECRET' >table; echo 'echo @hourly SECRET >>$1' >editor").ok();
    let (mut operations, deadline) = (0, Deadline::seconds(240));
    while operations < 100 || sweeps() < 5 {
        assert!(!deadline.passed(), "{operations} operations and {} sweeps in four minutes", sweeps());
        world.run_as("alice", "umask 000; crontab table").ok();
        world.run_as("alice", "umask 000; crontab - <table").ok();
        world.run_as("alice", "umask 000; EDITOR='sh /home/alice/editor' crontab -e").ok();
        world.run_as("alice", "umask 000; crontab -l >/dev/null").ok();
        world.run_as(
            "alice",
            "umask 000; EDITOR='sh -c \"echo bad >>\\$1; exit 1\" sh' crontab -e </dev/null; crontab -r",
        );
        operations += 6;
    }
    // The sweep finds what can be found.
    fs::write("/tmp/control", "SECRET\n").unwrap();
    let before = sweeps();
    Deadline::seconds(60).wait_for("two sweeps", || (sweeps() >= before + 2).then_some(()));
    fs::write("/tmp/enough", "").unwrap();
    sweeper.wait().unwrap();
    let found = fs::read_to_string("/run/found").unwrap();
    assert!(found.contains("/tmp/control\n"), "the test shows nothing: {found}");
    let others: Vec<&str> = found.lines().filter(|path| *path != "/tmp/control").collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(daemon.stop().success());
}

#[test]
fn while_tables_are_installed_and_edited_no_other_user_can_read_them_anywhere() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    no_file_that_others_can_read_has_a_table(&world);
}

#[test]
fn in_the_cronie_profile_no_other_user_can_read_a_table_or_its_backup_anywhere() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    no_file_that_others_can_read_has_a_table(&world);
}
