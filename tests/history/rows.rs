//! What rows say of runs, and who may see them.

use crate::common::{Deadline, Implementation};
use crate::world;
use crate::{JOB, add_account, ask, call, connect, recorder, rows, wait_for_recorder, wait_for_rows, wait_for_runs};
use std::fs;

#[test]
fn a_row_tells_what_became_of_hooks_and_pings() {
    let Some(world) = world!(Implementation::OursDebian, ["sqlite3"]) else { return };
    add_account(&world);
    world
        .crontab(
            "alice",
            "CRON_NAME=job\nCRON_ON_FAILURE=echo told; exit 4\nCRON_ON_SUCCESS=true\nCRON_PING=http://127.0.0.1:1/x\n@reboot exit 1\n\
             CRON_ON_FAILURE=default\nCRON_NAME=good\n@reboot true\nCRON_ON_SUCCESS=default\nCRON_NAME=plain\n@reboot true\n\
             CRON_HISTORY=no-output\nCRON_ON_FAILURE=cat\nCRON_NAME=private\n@reboot echo secret; exit 1\n",
        )
        .ok();
    let _daemon = world.start_daemon(&[]);
    let hooks = |job: &str, is_complete: fn(&[String]) -> bool| {
        wait_for_rows(&world, &format!("SELECT hooks FROM runs WHERE job = 'alice:{job}'"), is_complete).join("\n")
    };
    // The pings are tried three times within a minute.
    let of_job = hooks("job", |rows| rows.len() >= 6);
    for text in ["failure: exit 4\ntold", "ping start: exit 1\n", "ping fail: exit 1\n"] {
        assert!(of_job.contains(text), "{text}: {of_job}");
    }
    assert_eq!(hooks("good", |rows| rows.len() == 1 && !rows[0].is_empty()), "success: exit 0");
    assert_eq!(hooks("private", |rows| rows.len() == 1 && !rows[0].is_empty()), "failure: exit 0");
    assert_eq!(rows(&world, "SELECT hooks IS NULL FROM runs WHERE job = 'alice:plain'"), ["1"]);
    let shown = world.run_as("alice", "cronctl history --json good").ok();
    assert!(shown.contains(r#""hooks":"success: exit 0""#), "{shown}");
}

#[test]
fn debians_sqlite3_reads_a_row_for_each_run_and_each_row_of_skipped_slots() {
    let Some(world) = world!(Implementation::OursDebian, ["sqlite3", "python3"]) else { return };
    add_account(&world);
    world
        .crontab(
            "alice",
            "CRON_NAME=good\n@every_second echo hello\n\
        CRON_NAME=bad\n@reboot exit 7\nCRON_NAME=lenient\nCRON_SUCCESS=0,7\n@reboot exit 7\nCRON_SUCCESS=default\n\
        CRON_NAME=slow\nCRON_OVERLAP=skip\n@every_second sleep 4\nCRON_OVERLAP=default\n\
        CRON_NAME=secret\nCRON_HISTORY=off\n@every_second true\n",
        )
        .ok();
    world.drop_in("system", "CRON_NAME=killed\n@reboot root kill -9 $$\nCRON_NAME=nobody\n@reboot bob true\n");
    let daemon = world.start_daemon(&[]);
    let pid = wait_for_recorder(&world);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let account = world.run("id -u _cronwheel").ok();
    assert!(
        status.contains(&format!("Uid:\t{0}\t{0}\t{0}\t{0}", account.trim())) && status.contains("Groups:\t \n"),
        "{status}"
    );
    assert_eq!(
        world.run("stat -c '%U %a' /var/lib/cronwheel /var/lib/cronwheel/history").ok(),
        "root 711\n_cronwheel 700\n"
    );
    let first = |job: &str| {
        let sql = format!(
            "SELECT outcome, reason, exit_code, signal, trigger FROM runs WHERE job = '{job}' AND outcome <> 'running'"
        );
        wait_for_rows(&world, &sql, |rows| !rows.is_empty()).remove(0)
    };
    assert_eq!(first("alice:good"), "ok||0||schedule");
    assert_eq!(first("alice:bad"), "failed||7||reboot");
    assert_eq!(first("alice:lenient"), "ok||7||reboot");
    assert_eq!(first("root:killed"), "signal|||9|reboot");
    let skipped = wait_for_rows(
        &world,
        "SELECT count, until - scheduled_at FROM runs WHERE outcome = 'skipped' AND count > 1",
        |rows| !rows.is_empty(),
    );
    assert!(skipped[0] == "3|2000" || skipped[0] == "4|3000", "{skipped:?}");
    assert_eq!(rows(&world, "SELECT count(*) FROM runs WHERE job = 'alice:secret'"), ["0"]);

    let kept = "SELECT cast(output_head AS TEXT), output_bytes, output_cut FROM runs WHERE job = 'alice:good' AND output_head IS NOT NULL";
    assert_eq!(wait_for_rows(&world, kept, |rows| rows.len() > 2)[..2], ["hello", "|6|0"]);

    // Who may see what.
    let runs = r#"{"method":"io.cronwheel.History.Runs","more":true,"parameters":{"limit":500}}"#;
    let of_root = call(&world, "root", runs);
    assert!(of_root.len() > 5 && of_root.iter().any(|reply| reply.contains("root:killed")), "{of_root:#?}");
    let of_alice = call(&world, "alice", runs);
    assert!(of_alice.len() > 5 && of_alice.iter().all(|reply| reply.contains(r#""job":"alice:"#)), "{of_alice:#?}");
    assert_eq!(call(&world, "bob", runs), [r#"{"parameters":{}}"#]);
    let of_job = r#"{"method":"io.cronwheel.History.Runs","parameters":{"job":"alice:bad"}}"#;
    assert!(call(&world, "alice", of_job)[0].contains(r#""exit_code":7"#));
    for user in ["bob", "_cronwheel"] {
        assert!(call(&world, user, of_job)[0].contains("io.cronwheel.Cron.NoSuchJob"), "{user}");
    }
    let run = rows(&world, "SELECT run FROM runs WHERE job = 'alice:bad'").remove(0);
    for method in ["Run", "Output"] {
        let message = format!(r#"{{"method":"io.cronwheel.History.{method}","parameters":{{"run":{run}}}}}"#);
        assert!(!call(&world, "alice", &message)[0].contains("error"), "{method}");
        assert!(call(&world, "bob", &message)[0].contains("io.cronwheel.Cron.NoSuchRun"), "{method}");
    }
    let summary = r#"{"method":"io.cronwheel.History.Summary","parameters":{"job":"alice:bad"}}"#;
    assert!(call(&world, "alice", summary)[0].contains(r#""failures":1"#));
    assert!(call(&world, "bob", summary)[0].contains("NoSuchJob"));

    // Several calls over one connection, and hostile ones.
    let mut socket = connect();
    assert!(ask(&mut socket, r#"{"method":"org.varlink.service.GetInfo"}"#).contains("io.cronwheel.History"));
    let description =
        r#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"io.cronwheel.History"}}"#;
    assert!(ask(&mut socket, description).contains("method Summary"));
    assert!(ask(&mut socket, r#"{"method":"io.cronwheel.History.Nothing"}"#).contains("MethodNotFound"));
    assert!(
        ask(&mut socket, r#"{"method":"io.cronwheel.History.Runs","parameters":{"since":"yesterday"}}"#)
            .contains("InvalidTime")
    );
    assert_eq!(ask(&mut socket, "no json"), "");
    assert!(daemon.stop().success());
    let gone = || recorder(&world).is_none().then_some(());
    Deadline::seconds(20).wait_for("the recorder's end", gone);
    assert_eq!(rows(&world, "SELECT count(*) FROM daemons WHERE ended_at IS NOT NULL"), ["1"]);
}

#[test]
fn without_the_account_or_cronctl_jobs_run_and_one_line_says_that_there_is_no_history() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("job", "@every_second root date >>/run/ran\n");
    let daemon = world.start_daemon(&[]);
    world.log.wait_for("no history is kept: there is no user _cronwheel", Deadline::seconds(20));
    world.wait_for_file("/run/ran", Deadline::seconds(20));
    assert_eq!(recorder(&world), None);
    assert!(daemon.stop().success());
    add_account(&world);
    world.run("mv /usr/bin/cronctl /usr/bin/cronctl.gone").ok();
    let daemon = world.start_daemon(&[]);
    world.log.wait_for("no history is kept: cronctl is not installed", Deadline::seconds(20));
    assert!(daemon.stop().success());
}

#[test]
fn a_recorder_that_cannot_start_is_a_line_in_the_log_and_is_tried_again() {
    let Some(world) = world!(Implementation::OursDebian, ["sqlite3"]) else { return };
    add_account(&world);
    // Its user may not execute it.
    world.run("chmod 700 /usr/bin/cronctl").ok();
    world.drop_in("job", "@every_second root date >>/run/ran\n");
    let daemon = world.start_daemon(&[]);
    world.wait_for_file("/run/ran", Deadline::seconds(20));
    let line = world.log.wait_for("starting the recorder of the history: ", Deadline::seconds(20));
    assert!(line.ends_with("; it is tried again)") && line.contains("Permission denied"), "{line}");
    let checked = world.run("cron --check 2>&1").stdout;
    let (problem, why) = ("the recorder cannot be started: ", "bin/cronctl: Permission denied; no history is kept");
    assert!(checked.contains(problem) && checked.contains(why), "{checked}");
    // Nobody waits for a recorder that does not run, however long it takes until it is tried again.
    let deadline = Deadline::seconds(60);
    for _ in 0..20 {
        let shown = world.run("cronctl history");
        assert_eq!(shown.code(), 1, "{shown:?}");
        // It does not run, or is just being tried again.
        assert!(
            shown.stderr.contains("there is no history: the recorder ") && shown.stderr.contains("Permission denied"),
            "{shown:?}"
        );
    }
    assert!(!deadline.passed(), "twenty answers take a minute");
    let status = world.run("cronctl status");
    assert!(status.stdout.contains("history    the recorder "), "{status:?}");
    world.run("chmod 755 /usr/bin/cronctl").ok();
    wait_for_rows(&world, "SELECT count(*) FROM runs WHERE outcome = 'ok'", |rows| {
        rows.first().is_some_and(|row| row != "0")
    });
    Deadline::seconds(20).wait_for("the history to be on", || {
        world.run("cronctl status").stdout.contains("history    on\n").then_some(())
    });
    assert!(daemon.stop().success());
}

#[test]
fn a_daemon_or_a_recorder_that_is_stopped_is_not_waited_for_without_end() {
    let Some(world) = world!(Implementation::OursDebian, ["sqlite3"]) else { return };
    add_account(&world);
    world.drop_in("job", JOB);
    let daemon = world.start_daemon(&[]);
    wait_for_runs(&world, 1);
    let recorder = wait_for_recorder(&world);
    world.run(&format!("kill -STOP {recorder}")).ok();
    let shown = world.run("timeout 30 cronctl history");
    assert_eq!(shown.code(), 1, "{shown:?}");
    assert!(shown.stderr.contains("there is no history: its recorder does not answer"), "{shown:?}");
    for verb in ["list", "show root:job", "why root:job"] {
        let shown = world.run(&format!("timeout 30 cronctl {verb}")).ok();
        assert!(shown.contains("job"), "{shown}");
    }
    world.run(&format!("kill -CONT {recorder}; kill -STOP {}", daemon.pid())).ok();
    let shown = world.run("timeout 60 cronctl status");
    world.run(&format!("kill -CONT {}", daemon.pid())).ok();
    assert_eq!(shown.code(), 3, "{shown:?}");
    assert!(shown.stderr.contains("no reply in time"), "{shown:?}");
    world.run("cronctl history").ok();
    assert!(daemon.stop().success());
}

#[test]
fn what_became_of_a_hook_reaches_the_history_once_whatever_becomes_of_the_daemon() {
    let Some(world) = world!(Implementation::OursDebian, ["sqlite3"]) else { return };
    add_account(&world);
    let hook = "CRON_ON_SUCCESS=echo told; until test -e /run/go; do sleep 0.1; done; rm /run/go; exit 7\n";
    world.drop_in("job", &format!("{hook}CRON_NAME=job\n0 0 1 1 * root true\n"));
    let mut daemon = world.start_daemon(&[]);
    Deadline::seconds(20).wait_for("the job", || (world.run("cronctl run --wait job").code() == 0).then_some(()));
    let hooks = "SELECT hooks FROM runs ORDER BY run";
    let expected = "success: exit 7";
    let has_hooks =
        |count: usize| move |rows: &[String]| rows.iter().filter(|row| row.starts_with(expected)).count() == count;
    // The main that is told has been killed: the next one is told.
    let is_running = || world.processes().iter().any(|process| process.line.contains("sleep 0.1"));
    Deadline::seconds(20).wait_for("the hook", || is_running().then_some(()));
    daemon.signal(nix::sys::signal::Signal::SIGSTOP);
    world.run("touch /run/go").ok();
    Deadline::seconds(20).wait_for("the end of the hook", || (!is_running()).then_some(()));
    // The executor has written it to the socket of the daemon that does not read it.
    world.log.wait_for("HOOK FAILED", Deadline::seconds(20));
    daemon.signal(nix::sys::signal::Signal::SIGKILL);
    daemon.end(Deadline::seconds(20));
    let daemon = world.start_daemon(&[]);
    wait_for_rows(&world, hooks, has_hooks(1));
    assert!(daemon.stop().success());
    // And each further daemon that finds it in the journal tells the recorder in vain.
    let daemon = world.start_daemon(&[]);
    wait_for_recorder(&world);
    world.run("touch /run/go; cronctl run --wait job").ok();
    let rows = wait_for_rows(&world, "SELECT count(*) FROM runs WHERE outcome = 'ok' AND hooks IS NOT NULL", |rows| {
        rows == ["2"]
    });
    assert_eq!(rows, ["2"]);
    let all = wait_for_rows(&world, "SELECT length(hooks) - length(replace(hooks, 'exit 7', '')) FROM runs", |_| true);
    assert_eq!(all, ["6", "6"], "each once");
    assert!(daemon.stop().success());
}

/// Fills the table with a thousand rows of a job.
const FILL: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
    INSERT INTO runs (run, job, user, source, line, command, trigger, attempt, scheduled_at, outcome, recorded_at, size)
    SELECT i, 'root:many', 'root', '/t', 1, 'true', 'schedule', 1, strftime('%s') * 1000, 'ok', 0, 250 FROM n";

#[test]
fn a_long_answer_comes_in_pieces_and_a_crowd_of_clients_does_not_keep_root_out() {
    let Some(world) = world!(Implementation::OursDebian, ["sqlite3", "python3"]) else { return };
    add_account(&world);
    let daemon = world.start_daemon(&[]);
    wait_for_rows(&world, "SELECT count(*) FROM daemons", |rows| rows == ["1"]);
    world.run(&format!("cd / && runuser -u _cronwheel -- sqlite3 {} \"{FILL}\"", crate::DATABASE)).ok();
    let replies = call(
        &world,
        "root",
        r#"{"method":"io.cronwheel.History.Runs","more":true,"parameters":{"job":"root:many","limit":950}}"#,
    );
    let runs: Vec<String> = replies
        .iter()
        .map(|reply| reply.split(r#""run":{"#).nth(1).unwrap().split(r#""run":"#).nth(1).unwrap())
        .map(|rest| rest.split([',', '}']).next().unwrap().to_owned())
        .collect();
    let expected: Vec<String> = (51..=1000).rev().map(|run: u64| run.to_string()).collect();
    assert_eq!(runs, expected);
    let (last, others) = replies.split_last().unwrap();
    assert!(!last.contains("continues") && others.iter().all(|reply| reply.contains(r#""continues":true"#)));

    // A hundred connections of one user, some with half a request.
    let crowd = format!(
        "exec python3 -c 'import socket,time
c=[socket.socket(socket.AF_UNIX) for _ in range(100)]
for s in c:
  s.connect(\"{}\")
for s in c:
  try: s.sendall(b\"x\" * 1000)
  except OSError: pass
open(\"/tmp/crowd\",\"w\").write(\"there\")
time.sleep(100)'",
        crate::SOCKET
    );
    let mut crowd = world.command_as("alice", &crowd).spawn().unwrap();
    world.wait_for_file("/tmp/crowd", Deadline::seconds(20));
    let mut socket = connect();
    assert!(ask(&mut socket, r#"{"method":"org.varlink.service.GetInfo"}"#).contains("io.cronwheel.History"));
    let of_alice = call(&world, "alice", r#"{"method":"org.varlink.service.GetInfo"}"#);
    assert!(of_alice[0].contains("io.cronwheel.Cron.Busy"), "{of_alice:?}");
    assert_eq!(call(&world, "bob", r#"{"method":"io.cronwheel.History.Runs"}"#), [r#"{"parameters":{}}"#]);
    crowd.kill().unwrap();
    crowd.wait().unwrap();
    assert!(daemon.stop().success());
}

#[test]
fn a_standalone_daemon_keeps_its_history_in_memory_for_its_caller() {
    let Some(world) = world!(Implementation::OursDebian, ["python3"]) else { return };
    fs::write("/tmp/table", "CRON_NAME=hello\n@every_second echo hello\n").unwrap();
    let mut daemon = world.command_as("alice", "exec /usr/sbin/cron /tmp/table >/tmp/out 2>&1").spawn().unwrap();
    wait_for_recorder(&world);
    let uid = world.run("id -u alice").ok();
    let socket = format!("/tmp/cronwheel-{}/io.cronwheel.History", uid.trim());
    let runs = r#"{"method":"io.cronwheel.History.Runs","more":true}"#;
    let has_rows = || {
        let replies = crate::call_at(&world, "alice", &socket, runs);
        (replies.len() > 2 && replies.iter().any(|reply| reply.contains(r#""outcome":"ok""#))).then_some(())
    };
    Deadline::seconds(20).wait_for("rows", has_rows);
    world.run(&format!("kill {}", daemon.id())).ok();
    daemon.wait().unwrap();
    Deadline::seconds(20).wait_for("the recorder's end", || recorder(&world).is_none().then_some(()));
    assert!(
        !fs::exists("/var/lib/cronwheel/history").unwrap()
            && !world.run("ls -A /home/alice").stdout.contains("history")
    );
}
