//! The output of the verbs that show jobs.

use crate::common::{Deadline, Implementation};
use crate::{TABLE, cronctl, json, json_lines, prepare, wait_for_state, world};
use cronwheel::control::Client;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

#[test]
fn a_failing_job_is_found_explained_and_paused() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    assert_eq!(cronctl(&world, "alice", "status").code(), 0);
    assert_eq!(cronctl(&world, "alice", "run --wait fails").code(), 3);
    let status = cronctl(&world, "alice", "status");
    assert!(status.code() == 1 && status.stdout.contains("\nfailing    alice:fails, failed (exit 3)"), "{status:?}");
    assert_eq!(json(&cronctl(&world, "alice", "status --json"))["failing"], 1);
    Deadline::seconds(10).wait_for("the history", || {
        let shown = cronctl(&world, "alice", "show fails").ok();
        shown.contains("1 since ").then_some(())
    });
    let shown = cronctl(&world, "alice", "show fails").ok();
    for text in
        ["alice:fails\n", "  schedule     0 0 1 1 *\n", ", line 7\n", "0 ok (0.0%), 1 failed", "failed (exit 3)"]
    {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let history = cronctl(&world, "alice", "history fails").ok();
    assert!(history.starts_with("RUN ") && history.lines().count() == 2 && history.ends_with("failed (exit 3)\n"));
    assert!(cronctl(&world, "alice", "why fails now").ok().contains("does not run then"));
    assert!(cronctl(&world, "alice", "why fails '2027-01-01 00:00'").ok().contains("runs at 2027-01-01"));
    assert!(json(&cronctl(&world, "alice", "why fails --json"))["steps"].is_array());
    let paused = cronctl(&world, "alice", "pause fails hello --for 2h --note 'disk is full'").ok();
    assert!(paused.starts_with("paused alice:fails until ") && paused.ends_with("(in 2 h)\n"), "{paused}");
    assert!(cronctl(&world, "alice", "list fails").ok().contains("paused until "));
    assert!(cronctl(&world, "alice", "status").stdout.contains("by alice: disk is full"));
    assert_eq!(json(&cronctl(&world, "alice", "resume --all --json"))["resumed"].as_array().unwrap().len(), 2);
    assert!(cronctl(&world, "alice", "resume fails").ok().contains("none of them is paused"));
    let ambiguous = cronctl(&world, "root", "show alice:");
    assert!(ambiguous.code() == 4 && ambiguous.stderr.contains("alice:hello, alice:fails"), "{ambiguous:?}");
}

#[test]
fn a_list_fits_the_terminal_and_is_coloured_only_there() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    assert_eq!(cronctl(&world, "alice", "run --wait fails").code(), 3);
    let on_terminal =
        |words: &str| world.run_as("alice", &format!("TERM=xterm {words} script -qec 'cronctl list' /dev/null")).ok();
    let list = on_terminal("COLUMNS=60");
    let plain = list.replace("\x1b[1m", "").replace("\x1b[31m", "").replace("\x1b[0m", "");
    assert!(list.contains("\x1b[31mfailed") && plain.lines().all(|line| line.chars().count() <= 60), "{plain}");
    assert!(!on_terminal("NO_COLOR=1").contains('\x1b'));
    assert!(!cronctl(&world, "alice", "list").ok().contains('\x1b'));
    let list = json(&cronctl(&world, "alice", "list --json --user alice"));
    assert_eq!(list["jobs"].as_array().unwrap().len(), 7);
}

#[test]
fn the_history_tells_a_later_daemon_how_the_last_run_ended() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let daemon = prepare(&world);
    assert_eq!(cronctl(&world, "alice", "run --wait fails").code(), 3);
    assert!(daemon.stop().success());
    let _daemon = prepare(&world);
    Deadline::seconds(20).wait_for("the last run in the list", || {
        cronctl(&world, "alice", "list fails").stdout.contains("failed (exit 3) ").then_some(())
    });
    assert_eq!(cronctl(&world, "alice", "logs fails").ok(), "bad\n");
}

#[test]
fn events_are_told_as_they_happen_and_from_the_history() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    let mut follower = world
        .command_as("alice", "exec cronctl events -f --json hello")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    // Nothing tells when it listens, so that the first pause may be missed.
    Deadline::seconds(20).wait_for("an event", || {
        cronctl(&world, "alice", "pause hello").ok();
        world.run("sleep 0.3").ok();
        follower.try_wait().unwrap().is_none().then_some(())
    });
    cronctl(&world, "alice", "run --wait fails");
    cronctl(&world, "alice", "run --wait hello").ok();
    let mut seen = Vec::new();
    while seen.last().is_none_or(|event| event != "end") {
        let event: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(event["job"], "alice:hello");
        seen.push(event["event"].as_str().unwrap().to_owned());
    }
    assert!(seen.ends_with(&["start".to_owned(), "end".to_owned()]), "{seen:?}");
    follower.kill().unwrap();
    follower.wait().unwrap();
    let past = Deadline::seconds(10).wait_for("the history", || {
        let past = json_lines(&cronctl(&world, "alice", "events --json"));
        (past.iter().filter(|event| event["event"] == "end").count() == 2).then_some(past)
    });
    assert!(past.len() == 4 && past[0]["event"] == "start", "{past:?}");
}

#[test]
fn next_and_timeline_ask_the_daemon_and_say_when_they_guess() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let daemon = prepare(&world);
    let starts = json_lines(&cronctl(&world, "alice", "next --json --count 3"));
    assert!(starts.len() == 3 && starts.iter().all(|start| start["job"].as_str().unwrap().starts_with("alice:")));
    assert!(cronctl(&world, "alice", "timeline --until +390d").ok().contains("echo hello"));
    timeline_has_past_and_future(&world);
    let names = world.run_as("alice", "cronctl job-names").ok();
    assert_eq!(names.lines().count(), 7, "{names}");
    assert!(daemon.stop().success());
    let shown = cronctl(&world, "alice", "next --count 3");
    assert!(shown.code() == 0 && shown.stderr.contains("computed from the crontabs"), "{shown:?}");
    assert_eq!(cronctl(&world, "alice", "ping").code(), 3);
}

#[test]
fn a_user_is_taken_by_the_verbs_that_work_on_tables() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    let tab = "/var/spool/cron/crontabs/alice";
    for user in ["alice", "root"] {
        let checked = cronctl(&world, user, "check --user alice");
        assert_eq!(checked.stdout, format!("{tab}: 7 entries, 0 errors, 2 warnings\n"));
        let explained = cronctl(&world, user, "explain --user alice").ok();
        // `crontab -l`, by which alice reads it, leaves the three lines out that `crontab` has put in front.
        let line = if user == "root" { 5 } else { 2 };
        let first = format!("Line {line}: 0 0 1 1 *  echo hello; echo oops >&2\n");
        assert!(explained.starts_with(&first), "{explained}");
        assert_eq!(json_lines(&cronctl(&world, user, "explain --user alice --json")).len(), 7);
        let range = "--tz UTC --from 2026-12-31T23:00:00Z --until 2027-01-01T01:00:00Z";
        let outcomes = json_lines(&cronctl(&world, user, &format!("simulate --user alice {range} --outcomes")));
        let jobs: Vec<&str> = outcomes.iter().map(|outcome| outcome["job"].as_str().unwrap()).collect();
        assert!(jobs.len() == 7 && jobs.contains(&"alice:hello"), "{jobs:?}");
        assert_eq!(cronctl(&world, user, "ping --user alice").ok(), "");
        // A second has to pass between two reloads of a user.
        Deadline::seconds(10)
            .wait_for("a reload", || (cronctl(&world, user, "reload --user alice").code() == 0).then_some(()));
    }
    for verb in ["check", "explain", "simulate --tz UTC --from now --until +1h"] {
        let refused = cronctl(&world, "bob", &format!("{verb} --user alice"));
        assert!(refused.code() != 0 && refused.stderr.contains("only root may read the table of alice"), "{refused:?}");
    }
    let refused = cronctl(&world, "bob", "reload --user alice");
    assert!(refused.code() == 4 && refused.stderr.contains("only root and alice can"), "{refused:?}");
}

/// The timeline has runs of the history, one that goes on, and starts of jobs that are not paused.
fn timeline_has_past_and_future(world: &crate::common::World) {
    cronctl(world, "alice", "run --wait hello").ok();
    assert_eq!(cronctl(world, "alice", "run --wait fails").code(), 3);
    cronctl(world, "alice", "run endless").ok();
    wait_for_state(world, "alice:endless", "running");
    let facts = Deadline::seconds(10).wait_for("the history", || {
        let facts = json_lines(&cronctl(world, "alice", "timeline --from -10m --until +10m --json"));
        (facts.iter().filter(|fact| fact["run"].is_u64()).count() == 3).then_some(facts)
    });
    assert_eq!((facts[0]["source"].as_str(), facts[0]["has_past"].as_bool()), (Some("daemon"), Some(true)));
    for (job, kind) in [("alice:hello", "ok"), ("alice:fails", "failed"), ("alice:endless", "running")] {
        assert!(facts.iter().any(|fact| fact["job"] == job && fact["kind"] == kind), "{job}: {facts:#?}");
    }
    let text = cronctl(world, "alice", "timeline --from -10m --until +10m").ok();
    assert!(text.contains("×") && text.contains("►") && text.contains("■━━ ok"), "{text}");
    // Rows of users.
    let by_user = cronctl(world, "root", "timeline --by user --from -10m --until +390d").ok();
    assert!(by_user.contains("\nalice ") && by_user.contains("\nbob "), "{by_user}");
    cronctl(world, "alice", "kill endless").ok();
    wait_for_state(world, "alice:endless", "idle");
}

#[test]
fn a_job_that_runs_alone_has_a_process_and_the_time_of_its_start() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    cronctl(&world, "alice", "run endless").ok();
    // Nothing else happens that the executor could report it with.
    let running = Deadline::seconds(10).wait_for("the process of the job", || {
        let jobs = json_lines(&cronctl(&world, "alice", "list endless --json"));
        let running = jobs[0]["jobs"][0]["running"][0].clone();
        running["pid"].is_i64().then_some(running)
    });
    assert!(running["started_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{running}");
    cronctl(&world, "alice", "kill endless").ok();
}

/// The jobs that `List` gives for these states, or why it does not.
fn in_states(states: &[&str]) -> Result<Vec<String>, String> {
    let socket = Path::new("/run/cronwheel/io.cronwheel.Cron");
    let mut jobs = Vec::new();
    let arguments = json!({ "filter": { "states": states } });
    let called = Client::connect(socket).unwrap().call_more("io.cronwheel.Cron.List", &arguments, |page: Value| {
        jobs.extend(page["jobs"].as_array().unwrap().iter().map(|job| job["job"].as_str().unwrap().to_owned()));
        true
    });
    called.map(|()| jobs).map_err(|why| why.to_string())
}

#[test]
fn the_list_of_jobs_in_some_states_has_all_of_these_and_no_others() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    assert_eq!(cronctl(&world, "alice", "run --wait fails").code(), 3);
    assert_eq!(cronctl(&world, "alice", "run endless").code(), 0);
    assert_eq!(cronctl(&world, "alice", "pause hello --for 1h").code(), 0);
    wait_for_state(&world, "alice:endless", "running");
    let jobs = |states: &[&str]| in_states(states).unwrap();
    assert_eq!(jobs(&["failing"]), ["alice:fails"]);
    assert_eq!(jobs(&["running", "running"]), ["alice:endless"]);
    let mut found = jobs(&["paused", "failing", "running"]);
    found.sort();
    assert_eq!(found, ["alice:endless", "alice:fails", "alice:hello"]);
    assert_eq!(jobs(&["removed"]), [""; 0]);
    assert_eq!(jobs(&[]), [""; 0]);
    // A run of a job whose entry is gone is found among those that run, and nowhere else.
    world.crontab("alice", &TABLE.replace("CRON_NAME=endless", "CRON_NAME=other")).ok();
    let removed =
        Deadline::seconds(20).wait_for("the table", || Some(jobs(&["removed"])).filter(|jobs| !jobs.is_empty()));
    assert_eq!(removed, ["alice:endless"]);
    let refused = in_states(&["asleep"]).unwrap_err();
    assert!(refused.contains("expected any of idle, running") && refused.contains("asleep"), "{refused}");
    world.crontab("bob", "CRON_NAME=often\nCRON_LATE=1s\n* * * * * exec sleep 600\n").ok();
    Deadline::seconds(90).wait_for("a late job", || Some(jobs(&["late"])).filter(|jobs| *jobs == ["bob:often"]));
}
