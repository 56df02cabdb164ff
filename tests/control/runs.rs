//! Runs by hand, their output and their ends.

use crate::common::{Deadline, Implementation};
use crate::{cronctl, json, json_lines, prepare, wait_for_state, world};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

#[test]
fn run_and_wait_has_the_output_and_the_exit_status_of_the_job() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let daemon = prepare(&world);
    for (job, status, out, err) in [
        // The daemon reads both from one pipe.
        ("hello", 0, "hello\noops\n", ""),
        ("fails", 3, "bad\n", ""),
        ("slow", 0, "begun\ndone\n", ""),
        ("dies", 128 + 11, "", "cronctl: dies: ended by SIGSEGV\n"),
        ("limited", 124, "", "cronctl: limited: timeout\n"),
    ] {
        let shown = cronctl(&world, "alice", &format!("run --wait {job}"));
        assert_eq!((shown.code(), shown.stdout.as_str(), shown.stderr.as_str()), (status, out, err), "{job}");
    }
    // A job that ends within milliseconds may have ended for the executor before its output is asked for, and not yet for the daemon.
    for run in 1..=40 {
        let shown = cronctl(&world, "alice", "run --wait fails");
        assert_eq!((shown.stdout.as_str(), shown.stderr.as_str()), ("bad\n", ""), "run {run}");
    }
    // Once it runs, it is not run a second time beside itself, unless that is forced.
    let run = json(&cronctl(&world, "alice", "run --json endless"))["run"].as_u64().unwrap();
    wait_for_state(&world, "endless", "running");
    let refused = cronctl(&world, "alice", "run --wait endless");
    assert!(refused.code() == 125 && refused.stderr.contains("--force"), "{refused:?}");
    assert_eq!(cronctl(&world, "alice", "run endless").code(), 1);
    assert_eq!(cronctl(&world, "alice", "run --force endless").code(), 0);
    assert!(cronctl(&world, "alice", "list endless").ok().contains(" ×2"));
    // The whole, as JSON.
    let shown = cronctl(&world, "alice", "run --wait --json fails");
    let replies = json_lines(&shown);
    assert!(shown.code() == 3 && replies.len() == 2, "{shown:?}");
    assert!(replies[0]["outcome"].is_null() && replies[1]["outcome"]["exit_code"] == 3);
    // A signal, and the end.
    cronctl(&world, "alice", &format!("kill --signal CONT {run}")).ok();
    cronctl(&world, "alice", &format!("kill {run}")).ok();
    Deadline::seconds(10).wait_for("one run", || {
        let list = json(&cronctl(&world, "alice", "list --json endless"));
        (list["jobs"][0]["running"].as_array().unwrap().len() == 1).then_some(())
    });
    cronctl(&world, "alice", "kill endless").ok();
    wait_for_state(&world, "endless", "idle");
    let ended = Deadline::seconds(10).wait_for("the history", || {
        let rows = json_lines(&cronctl(&world, "alice", "history endless --outcome killed --json"));
        (rows.len() == 2).then_some(rows)
    });
    assert_eq!(ended[0]["run"]["user"], "alice");
    assert!(daemon.stop().success());
    assert_eq!(cronctl(&world, "alice", "run --wait hello").code(), 3);
}

#[test]
fn an_interrupt_ends_the_waiting_and_not_the_job() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    let mut waiting = world
        .command_as("alice", "exec cronctl run --wait endless")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(waiting.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    kill(Pid::from_raw(i32::try_from(waiting.id()).unwrap()), Signal::SIGINT).unwrap();
    let ended = waiting.wait_with_output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.signal() == Some(2) && told.contains("is still running; to end it: cronctl kill "), "{told}");
    wait_for_state(&world, "endless", "running");
    cronctl(&world, "alice", told.split("to end it: cronctl ").nth(1).unwrap()).ok();
    wait_for_state(&world, "endless", "idle");
}

#[test]
fn logs_show_the_last_run_and_follow_one_that_goes_on() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    for (arguments, told) in
        [("logs hello", "has not run"), ("logs 1", "there is no run 1"), ("logs helo", "alice:hello")]
    {
        let shown = cronctl(&world, "alice", arguments);
        assert!(shown.code() == 4 && shown.stderr.contains(told), "{shown:?}");
    }
    cronctl(&world, "alice", "run --wait hello").ok();
    let logs = cronctl(&world, "alice", "logs hello").ok();
    assert!(logs.contains("hello\n") && logs.contains("oops\n"), "{logs}");
    let run = json(&cronctl(&world, "alice", "run --json slow"))["run"].as_u64().unwrap();
    let mut follower = world
        .command_as("alice", "exec cronctl logs -f slow")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    // It is shown while the job runs, not at its end.
    assert!(json(&cronctl(&world, "alice", "list --json slow"))["jobs"][0]["state"] == "running");
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "done\n");
    assert!(follower.wait().unwrap().success());
    assert_eq!(cronctl(&world, "alice", &format!("logs {run}")).ok(), "begun\ndone\n");
    // Raw in a pipe, harmless on a terminal.
    cronctl(&world, "alice", "run --wait colours").ok();
    assert_eq!(cronctl(&world, "alice", "logs colours").ok(), "\x1b[31mred\x1b[0m\nno end");
    let shown = world.run_as("alice", "script -qec 'cronctl logs colours' /dev/null").ok();
    assert_eq!(shown, "\\x1b[31mred\\x1b[0m\r\nno end\r\n");
}

#[test]
fn logs_say_that_a_job_without_a_history_has_none() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    world.crontab("alice", "CRON_NAME=secret\nCRON_HISTORY=off\n@daily echo x\n").ok();
    wait_for_state(&world, "alice:secret", "idle");
    cronctl(&world, "alice", "run --wait secret").ok();
    let shown = cronctl(&world, "alice", "logs secret");
    let told = "the history keeps nothing of secret (CRON_HISTORY=off)";
    assert!(shown.code() == 4 && shown.stderr.contains(told), "{shown:?}");
}
