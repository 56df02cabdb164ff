//! Databases that are damaged, newer, or on a full file system.

use crate::common::{Deadline, Implementation};
use crate::world;
use crate::{DATABASE, JOB, add_account, wait_for_recorder, wait_for_runs};

#[test]
fn a_damaged_database_is_put_aside_with_one_line_in_the_log() {
    let Some(world) = world!(Implementation::OursDebian, ["sqlite3"]) else { return };
    add_account(&world);
    world.drop_in("job", JOB);
    let daemon = world.start_daemon(&[]);
    wait_for_runs(&world, 2);
    assert!(daemon.stop().success());
    Deadline::seconds(20).wait_for("the recorder's end", || crate::recorder(&world).is_none().then_some(()));
    world.run(&format!("dd if=/dev/urandom of={DATABASE} bs=1k seek=5 count=8 conv=notrunc")).ok();
    let daemon = world.start_daemon(&[]);
    world.log.wait_for(
        "the database was damaged: it is now /var/lib/cronwheel/history/history.db.corrupt-",
        Deadline::seconds(20),
    );
    wait_for_runs(&world, 2);
    assert!(daemon.stop().success());
}

#[test]
fn a_database_of_a_later_version_is_left_alone_and_jobs_run() {
    let Some(world) = world!(Implementation::OursDebian, ["sqlite3"]) else { return };
    add_account(&world);
    world.drop_in("job", "@every_second root date >>/run/ran\n");
    world.run("mkdir -p /var/lib/cronwheel/history && chown _cronwheel /var/lib/cronwheel/history").ok();
    world
        .run(&format!("runuser -u _cronwheel -- sqlite3 {DATABASE} 'CREATE TABLE future (x); PRAGMA user_version = 9'"))
        .ok();
    let before = world.run(&format!("sha256sum {DATABASE}")).ok();
    let daemon = world.start_daemon(&[]);
    world.log.wait_for("no history is kept: the database is of version 9", Deadline::seconds(20));
    world.wait_for_file("/run/ran", Deadline::seconds(20));
    assert!(daemon.stop().success());
    assert_eq!(world.run(&format!("sha256sum {DATABASE}")).ok(), before);
}

#[test]
fn rows_wait_while_the_file_system_is_full_and_none_is_lost() {
    let Some(world) = world!(Implementation::OursDebian, ["sqlite3"]) else { return };
    add_account(&world);
    world.drop_in("job", "CRON_NAME=job\n@every_second root echo run >>/run/ran\n");
    world
        .run("mkdir -p /var/lib/cronwheel/history && mount -t tmpfs -o size=400k tmpfs /var/lib/cronwheel/history")
        .ok();
    world.run("chown _cronwheel /var/lib/cronwheel/history && chmod 700 /var/lib/cronwheel/history").ok();
    let daemon = world.start_daemon(&[]);
    wait_for_runs(&world, 2);
    world.run("dd if=/dev/zero of=/var/lib/cronwheel/history/filler bs=1k 2>/dev/null; true").ok();
    world.log.wait_for("the history cannot be written: no space left on its file system", Deadline::seconds(60));
    let ran = || std::fs::read_to_string("/run/ran").unwrap_or_default().lines().count();
    let before = ran();
    Deadline::seconds(30).wait_for("further runs", || (ran() >= before + 4).then_some(()));
    world.run("rm /var/lib/cronwheel/history/filler").ok();
    world.log.wait_for("the history is written again", Deadline::seconds(30));
    assert!(daemon.stop().success());
    Deadline::seconds(20).wait_for("the recorder's end", || crate::recorder(&world).is_none().then_some(()));
    let count = ran();
    let rows = crate::rows(&world, "SELECT count(*) FROM runs WHERE job = 'root:job'");
    assert_eq!(rows, [count.to_string()]);
}

#[test]
fn a_recorder_that_is_killed_is_started_again_without_a_copy_of_the_daemon() {
    let Some(world) = world!(Implementation::OursDebian, ["sqlite3", "strace"]) else { return };
    add_account(&world);
    world.drop_in("job", JOB);
    let daemon = world.start_daemon(&[]);
    let first = wait_for_recorder(&world);
    wait_for_runs(&world, 1);
    let trace = "/run/trace";
    let mut strace = std::process::Command::new("strace")
        .args(["-q", "-e", "trace=clone,clone3,fork,vfork", "-o", trace, "-p", &daemon.pid().to_string()])
        .spawn()
        .unwrap();
    Deadline::seconds(20).wait_for("strace", || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
        (!status.contains("TracerPid:\t0\n")).then_some(())
    });
    world.run(&format!("kill -9 {first}")).ok();
    world.log.wait_for("the recorder of the history has ended; it is started again", Deadline::seconds(20));
    let second =
        Deadline::seconds(20).wait_for("another recorder", || crate::recorder(&world).filter(|pid| *pid != first));
    wait_for_runs(&world, 4);
    assert_ne!(first, second);
    // The daemon shares its memory with the new process until that executes its program.
    strace.kill().unwrap();
    strace.wait().unwrap();
    let forks = std::fs::read_to_string(trace).unwrap();
    let forks: Vec<&str> = forks.lines().filter(|line| line.contains("(")).collect();
    assert!(!forks.is_empty() && forks.iter().all(|line| line.contains("CLONE_VM|CLONE_VFORK")), "{forks:?}");
    let status = std::fs::read_to_string(format!("/proc/{second}/status")).unwrap();
    let account = world.run("id -u _cronwheel").ok();
    assert!(status.contains(&format!("Uid:\t{0}\t{0}\t{0}\t{0}", account.trim())) && status.contains("Groups:\t \n"));
    assert!(daemon.stop().success());
}

#[test]
fn sqlite_is_linked_into_cronctl_only() {
    let has_sqlite = |program: &str| {
        let bytes = std::fs::read(program).unwrap();
        bytes.windows(15).any(|window| window == b"SQLite format 3")
    };
    assert!(has_sqlite(env!("CARGO_BIN_EXE_cronctl")));
    assert!(!has_sqlite(env!("CARGO_BIN_EXE_crond")) && !has_sqlite(env!("CARGO_BIN_EXE_crontab")));
}
