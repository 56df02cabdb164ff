//! The recorder in its sandbox; tests/attacks/sandbox.rs has what the sandbox denies.

use crate::common::{Deadline, Implementation};
use crate::world;
use crate::{DATABASE, JOB, add_account, rows, wait_for_recorder, wait_for_rows, wait_for_runs};
use std::process::Command;

fn status(pid: u32, field: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    text.lines().find_map(|line| line.strip_prefix(field)).unwrap().trim().to_owned()
}

#[test]
fn an_old_and_large_database_is_brought_up_to_date_and_shrinks_inside_the_sandbox() {
    let Some(world) = world!(Implementation::OursDebian, ["sqlite3"]) else { return };
    add_account(&world);
    world.drop_in("job", JOB);
    let daemon = world.start_daemon(&[]);
    wait_for_runs(&world, 1);
    assert!(daemon.stop().success());
    Deadline::seconds(20).wait_for("the recorder's end", || crate::recorder(&world).is_none().then_some(()));
    // The index of the last version is made of more than SQLite keeps in memory, so that it needs a temporary file. The rows are too old to be kept.
    let script = "DROP INDEX runs_by_user; PRAGMA user_version = 2; PRAGMA secure_delete = 0;
        WITH RECURSIVE count(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM count WHERE x < 30000)
        INSERT INTO runs (job, user, source, line, command, trigger, attempt, scheduled_at, outcome, recorded_at, size)
            SELECT 'old', printf('%.250c%d', 'u', x), 'file', 1, 'true', 'schedule', 1, x, 'ok', x, 300 FROM count;";
    world
        .run_with_input("root", &format!("cd / && runuser -u _cronwheel -- sqlite3 {DATABASE}"), script.as_bytes())
        .ok();
    let size = || std::fs::metadata(DATABASE).unwrap().len();
    let before = size();
    assert!(before > 10 << 20, "{before}");
    let daemon = world.start_daemon(&[]);
    wait_for_rows(&world, "SELECT count(*) FROM runs WHERE job = 'old'", |rows| rows == ["0"]);
    wait_for_runs(&world, 2);
    Deadline::seconds(60).wait_for("a smaller database", || (size() < before / 10).then_some(()));
    assert_eq!(rows(&world, "PRAGMA user_version"), ["3"]);
    assert_eq!(
        (status(wait_for_recorder(&world), "Seccomp:"), status(wait_for_recorder(&world), "NoNewPrivs:")),
        ("2".into(), "1".into())
    );
    let unwanted: Vec<String> =
        world.log.lines().into_iter().filter(|line| line.contains("history") && line.contains("cannot")).collect();
    assert_eq!(unwanted, [] as [String; 0]);
    let left = world.run("ls -A /var/lib/cronwheel/history").ok();
    assert!(left.lines().all(|name| name.starts_with("history.")), "{left}");
    assert!(daemon.stop().success());
}

#[test]
fn without_seccomp_one_line_says_so_and_the_history_goes_on() {
    let Some(world) = world!(Implementation::OursDebian, ["sqlite3", "strace"]) else { return };
    add_account(&world);
    world.drop_in("job", JOB);
    let daemon = world.start_daemon(&[]);
    let first = wait_for_recorder(&world);
    wait_for_runs(&world, 1);
    // As on a kernel without filters, and without Landlock.
    let calls = ["seccomp:error=EINVAL", "landlock_create_ruleset:error=EOPNOTSUPP"];
    let mut strace = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=seccomp,landlock_create_ruleset"])
        .args(calls.iter().flat_map(|call| ["-e".to_owned(), format!("inject={call}")]))
        .args(["-p", &daemon.pid().to_string()])
        .spawn()
        .unwrap();
    Deadline::seconds(20).wait_for("strace", || (status(daemon.pid(), "TracerPid:") != "0").then_some(()));
    world.run(&format!("kill -9 {first}")).ok();
    let line = "the sandbox of the recorder of the history is incomplete: its system calls are not filtered (seccomp): Invalid argument";
    world.log.wait_for(line, Deadline::seconds(30));
    let second =
        Deadline::seconds(20).wait_for("another recorder", || crate::recorder(&world).filter(|pid| *pid != first));
    wait_for_runs(&world, 4);
    assert_eq!(status(second, "Seccomp:"), "0");
    assert_eq!(world.log.lines().iter().filter(|line| line.contains("sandbox")).count(), 1);
    strace.kill().unwrap();
    strace.wait().unwrap();
    assert!(daemon.stop().success());
}
