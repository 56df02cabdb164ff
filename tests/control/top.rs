//! `cronctl top` on a terminal of 80 columns and 24 rows.

use crate::common::{Deadline, Implementation, World};
use crate::{cronctl, json, json_lines, prepare, wait_for_state, world};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Stdio};

/// Starts a command line on a terminal; see screen.py.
fn start(world: &World, user: &str, line: &str, steps: &[(&str, &str)]) -> Child {
    std::fs::write("/run/screen.py", include_str!("screen.py")).unwrap();
    let steps = serde_json::to_string(steps).unwrap();
    let command = format!("LANG=C.UTF-8 TERM=xterm python3 /run/screen.py '{steps}' {line}");
    world.command_as(user, &command).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
}

fn finish(child: Child) -> Value {
    let output = child.wait_with_output().unwrap();
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(shown["failed"].is_null(), "{}\n{}", shown["failed"], shown["last"].as_str().unwrap());
    assert_eq!(shown["unknown"], Value::Array(vec![]), "escapes that the terminal does not have");
    shown
}

fn top(world: &World, user: &str, steps: &[(&str, &str)]) -> Value {
    finish(start(world, user, "cronctl top", steps))
}

/// The terminal is as it was before.
fn assert_restored(shown: &Value, status: i64) {
    let state = ["status", "modes_restored", "is_other_screen", "has_cursor"].map(|name| shown[name].clone());
    let wanted = [Value::from(status), true.into(), false.into(), true.into()];
    assert_eq!(state, wanted, "{}", shown["last"].as_str().unwrap());
}

#[test]
fn the_screen_has_jobs_failing_ones_first_and_keys_run_pause_show_and_end_them() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    assert_eq!(cronctl(&world, "alice", "run --wait fails").code(), 3);
    let shown = top(
        &world,
        "alice",
        &[
            // The failing job is first, and selected.
            ("alice:fails", "/"),
            ("Filter: ", "endless"),
            ("Filter: endless_", "\r"),
            ("Esc shows all", "r"),
            ("1 running", "\r"),
            ("begun", "q"),
            ("alice:endless", "k"),
            ("(y/n)", "n"),
            ("!(y/n)", "p"),
            ("is paused until ", "u"),
            ("is resumed", "k"),
            ("(y/n)", "y"),
            ("killed", "\u{1b}"),
            ("alice:hello", "?"),
            ("end its oldest run", " "),
            ("Enter output", "q"),
        ],
    );
    assert_restored(&shown, 0);
    let first: Vec<&str> = shown["screens"][0].as_str().unwrap().lines().collect();
    assert!(first[1].starts_with("1 failing") && first[2].starts_with("JOB "), "{first:#?}");
    assert!(first[3].starts_with("alice:fails ") && first[3].contains("failed (exit 3)"), "{first:#?}");
    assert!(first.iter().all(|line| line.chars().count() <= 80) && first.len() == 24);
    // Bob's job is not shown to alice; the timeline has the run.
    assert!(!first.iter().any(|line| line.contains("bob:")), "{first:#?}");
    assert!(first.iter().any(|line| line.starts_with("starts a minute")), "{first:#?}");
    let running = shown["screens"][4].as_str().unwrap();
    assert!(running.contains("of alice:endless has begun") && running.contains("1 running"), "{running}");
    let question = shown["screens"][7].as_str().unwrap();
    assert!(question.contains("End run ") && question.contains("of alice:endless?"), "{question}");
    wait_for_state(&world, "alice:endless", "idle");
    let rows = Deadline::seconds(10).wait_for("the history", || {
        let rows = json_lines(&cronctl(&world, "alice", "history endless --json"));
        (rows.first()?["run"]["outcome"] == "killed").then_some(rows)
    });
    assert_eq!(rows.len(), 1, "one key is one run: {rows:?}");
}

#[test]
fn the_terminal_is_given_back_after_signals_and_while_it_is_stopped() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    for (key, status) in [("q", 0), ("\u{3}", 0), ("@TERM", 128 + 15), ("@HUP", 128 + 1), ("@INT", 128 + 2)] {
        let shown = top(&world, "alice", &[("alice:hello", key)]);
        assert_restored(&shown, status);
    }
    // Ctrl-Z, and the signal.
    for key in ["\u{1a}", "@TSTP"] {
        let shown = top(
            &world,
            "alice",
            &[("alice:hello", key), ("alice:hello", "?"), ("this help", "x"), ("Enter output", "q")],
        );
        let stopped =
            shown["screens"].as_array().unwrap().iter().find(|screen| screen.as_str().unwrap().starts_with("stopped"));
        assert_eq!(stopped.unwrap(), "stopped [true, false]");
        assert_restored(&shown, 0);
    }
}

#[test]
fn a_daemon_that_goes_away_is_told_and_connected_to_again() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let daemon = prepare(&world);
    let steps = [
        ("alice:hello", "+/tmp/shown"),
        ("the daemon is gone since ", "+/tmp/told"),
        ("!the daemon is gone", "?"),
        ("this help", " "),
        ("7 jobs", "r"),
        ("has begun", "q"),
    ];
    let view = start(&world, "alice", "cronctl top", &steps);
    Deadline::seconds(30).wait_for("the view", || Path::new("/tmp/shown").exists().then_some(()));
    assert!(daemon.stop().success());
    Deadline::seconds(30).wait_for("the message", || Path::new("/tmp/told").exists().then_some(()));
    let daemon = world.start_daemon(&[]);
    assert_restored(&finish(view), 0);
    // Without one it can be left, too, and it does not begin.
    let view = start(&world, "alice", "cronctl top", &[("alice:hello", "+/tmp/again"), ("the daemon is gone", "q")]);
    Deadline::seconds(30).wait_for("the view", || Path::new("/tmp/again").exists().then_some(()));
    assert!(daemon.stop().success());
    assert_restored(&finish(view), 0);
    assert_restored(&top(&world, "alice", &[]), 3);
}

#[test]
fn output_of_jobs_is_harmless_and_sizes_may_change() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    cronctl(&world, "alice", "run --wait colours");
    let shown = top(
        &world,
        "alice",
        &[
            ("alice:colours", "/colours\r"),
            ("Esc shows all", "l"),
            ("Output of run", "q"),
            ("Filter: colours", "=40x10"),
            ("alice:colou…", "=200x60"),
            ("COMMAND", "q"),
        ],
    );
    let log = shown["screens"][2].as_str().unwrap();
    assert!(log.contains("\\x1b[31mred\\x1b[0m\nno end"), "{log}");
    assert_restored(&shown, 0);
}

#[test]
fn without_a_terminal_it_says_so() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    let shown = cronctl(&world, "alice", "top </dev/null");
    assert!(shown.code() == 2 && shown.stderr.contains("needs a terminal"), "{shown:?}");
    let list = json(&cronctl(&world, "alice", "top --json </dev/null"));
    assert_eq!(list["jobs"].as_array().unwrap().len(), 7);
}

#[test]
fn with_very_many_jobs_those_that_fail_or_come_next_are_shown_and_a_text_finds_the_others() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let many: String =
        (0..3_000).map(|number| format!("CRON_NAME=job-{number}\n0 0 1 {} * alice true\n", 2 + number % 10)).collect();
    world.drop_in("many", &format!("{many}CRON_NAME=soon\n0 0 * * * alice true\n"));
    let _daemon = prepare(&world);
    assert_eq!(cronctl(&world, "alice", "run --wait fails").code(), 3);
    let shown = top(
        &world,
        "root",
        &[
            ("that fail, run, wait or are next", "/job-2999"),
            ("alice:job-2999", "\r"),
            ("Esc ends the search", "\u{1b}"),
            ("that fail, run, wait or are next", "q"),
        ],
    );
    assert_restored(&shown, 0);
    let lines = |screen: usize| shown["screens"][screen].as_str().unwrap().lines().skip(3).take(2).collect::<Vec<_>>();
    let first = lines(0);
    assert!(first[0].starts_with("alice:fails") && first[1].starts_with("alice:soon"), "{first:#?}");
    let found = lines(2);
    assert!(found[0].starts_with("alice:job-2999") && found[1].trim().is_empty(), "{found:#?}");
    // The few jobs of another user are all there.
    let shown = finish(start(&world, "root", "cronctl top --user bob", &[("bob:nightly", "q")]));
    assert_restored(&shown, 0);
    assert!(shown["screens"][0].as_str().unwrap().contains("bob:nightly"), "{shown:#}");
}
