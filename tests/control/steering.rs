//! Pauses of all jobs, kills, and the output of runs by hand from its first byte on.

use crate::common::{Deadline, Implementation};
use crate::{TABLE, cronctl, json, json_lines, prepare, wait_for_state, world};
use cronwheel::control::Client;
use cronwheel::varlink::Call;
use std::path::Path;

/// The state of a job, as root sees it. None: there is no such job.
fn state(world: &crate::common::World, job: &str) -> Option<String> {
    let list = json_lines(&cronctl(world, "root", "list --json")).into_iter().next()?;
    let found = list["jobs"].as_array()?.iter().find(|found| found["job"] == job)?["state"].as_str()?.to_owned();
    Some(found)
}

#[test]
fn pause_all_covers_entries_that_are_added_later_also_over_a_restart() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let daemon = prepare(&world);
    let shown = cronctl(&world, "alice", "pause --all --for 2h --note moving").ok();
    let last = shown.lines().last().unwrap();
    assert!(
        last.starts_with("entries that are added until 20") && last.ends_with(" (in 2 h) are paused, too"),
        "{shown}"
    );
    world.crontab("alice", &format!("{TABLE}CRON_NAME=later\n@every_second echo ran >>/tmp/later\n")).ok();
    wait_for_state(&world, "alice:later", "paused");
    // Jobs of others are not alice's to pause.
    assert_eq!(state(&world, "bob:nightly").as_deref(), Some("idle"));
    let list = cronctl(&world, "alice", "list later").ok();
    assert!(list.contains("paused until "), "{list}");
    let why = cronctl(&world, "alice", "why later").ok();
    assert!(why.contains("paused until ") && why.contains("by alice: moving"), "{why}");
    let status = cronctl(&world, "alice", "status");
    assert!(status.stdout.contains("\nall paused until "), "{status:?}");
    assert!(json(&cronctl(&world, "alice", "status --json"))["paused_all_until"].is_string());
    assert!(json(&cronctl(&world, "bob", "status --json"))["paused_all_until"].is_null());

    // Over a restart, with an entry that is added while no daemon is there.
    assert!(daemon.stop().success());
    world.crontab("alice", &format!("{TABLE}CRON_NAME=later\n@every_second true\nCRON_NAME=away\n@hourly true\n")).ok();
    let _daemon = world.start_daemon(&[]);
    for job in ["alice:later", "alice:away", "alice:hello"] {
        wait_for_state(&world, job, "paused");
    }
    assert!(!std::path::Path::new("/tmp/later").exists());
    assert!(cronctl(&world, "alice", "status").stdout.contains("\nall paused until "));

    // Who is resumed alone stays resumed.
    assert_eq!(cronctl(&world, "alice", "resume away").ok(), "resumed alice:away\n");
    cronctl(&world, "root", "reload").ok();
    world.crontab("alice", &format!("{TABLE}CRON_NAME=away\n@hourly true\nCRON_NAME=newest\n@hourly true\n")).ok();
    wait_for_state(&world, "alice:newest", "paused");
    assert_eq!(state(&world, "alice:away").as_deref(), Some("idle"));

    // Undone by the same who began it.
    cronctl(&world, "alice", "resume --all").ok();
    assert!(!cronctl(&world, "alice", "status").stdout.contains("paused until"));
    world.crontab("alice", &format!("{TABLE}CRON_NAME=last\n@hourly true\n")).ok();
    wait_for_state(&world, "alice:last", "idle");

    // What root has paused a user does not resume, also where it was added later.
    cronctl(&world, "root", "pause --all").ok();
    world.crontab("alice", &format!("{TABLE}CRON_NAME=last\n@hourly true\nCRON_NAME=of-root\n@hourly true\n")).ok();
    world.drop_in("other", "CRON_NAME=system\n@hourly bob true\n");
    for job in ["alice:of-root", "bob:system"] {
        wait_for_state(&world, job, "paused");
    }
    cronctl(&world, "alice", "resume --all").ok();
    assert_eq!(cronctl(&world, "alice", "resume of-root").code(), 4);
    assert_eq!(state(&world, "alice:of-root").as_deref(), Some("paused"));
    cronctl(&world, "root", "resume --all").ok();
    for job in ["alice:of-root", "bob:system", "bob:nightly"] {
        wait_for_state(&world, job, "idle");
    }
}

#[test]
fn each_kill_of_a_job_takes_another_run_and_then_what_waits() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    world
        .crontab(
            "alice",
            "CRON_GRACE=600s\nCRON_NAME=stubborn\n@daily trap '' TERM; echo >/tmp/deaf-$CRON_RUN_ID; sleep 600 & wait; wait\n\
             CRON_NAME=queued\nCRON_OVERLAP=queue\n@daily trap '' TERM; echo >/tmp/deaf-$CRON_RUN_ID; sleep 600 & wait; wait\n",
        )
        .ok();
    wait_for_state(&world, "alice:queued", "idle");
    // A run that is ended before it ignores the signal does not go on.
    let run = |job: &str| {
        let run = json(&cronctl(&world, "alice", &format!("run --json {job}")))["run"].as_u64().unwrap();
        world.wait_for_file(&format!("/tmp/deaf-{run}"), Deadline::seconds(20));
        run
    };
    let (first, second) = (run("stubborn"), run("stubborn"));
    for run in [first, second, first] {
        // When all of its runs end already, that is said again of the oldest.
        let shown = cronctl(&world, "alice", "kill stubborn").ok();
        assert_eq!(shown, format!("run {run} of alice:stubborn is being ended\n"));
    }
    // A run that ends on request is no failure.
    cronctl(&world, "root", &format!("kill --signal KILL {second}")).ok();
    let ended = world.log.wait_for("(alice) ENDED (trap '' TERM; ", Deadline::seconds(20));
    assert!(ended.starts_with("cron.info ") && ended.contains(") killed by alice, signal 9 after "), "{ended}");
    assert!(!world.log.lines().iter().any(|line| line.contains("FAILED (trap")), "{:#?}", world.log.lines());
    let first = run("queued");
    // A second run by hand waits for the first; nobody waits for it.
    let mut waiting = world.command_as("alice", "exec cronctl run --wait queued").spawn().unwrap();
    Deadline::seconds(20).wait_for("the second run to wait", || {
        let list = json(&cronctl(&world, "alice", "list --json queued"));
        (list["jobs"][0]["waiting"] == 1).then_some(())
    });
    assert_eq!(cronctl(&world, "alice", "kill queued").ok(), format!("run {first} of alice:queued is being ended\n"));
    assert_eq!(cronctl(&world, "alice", "kill queued").ok(), "cancelled the next start of alice:queued\n");
    assert_eq!(waiting.wait().unwrap().code(), Some(143));
    assert_eq!(json(&cronctl(&world, "alice", "kill --json queued"))["run"], first);
    for job in ["stubborn", "queued"] {
        cronctl(&world, "root", &format!("kill --signal KILL alice:{job}")).ok();
    }
}

#[test]
fn no_byte_of_a_run_that_is_waited_for_is_missed_however_early_it_was_written() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    world
        .crontab(
            "alice",
            "CRON_NAME=short\nCRON_HISTORY=no-output\n@daily echo first\n\
             CRON_NAME=long\n@daily seq 1 40000\n\
             CRON_NAME=streams\nCRON_FAIL_ON=stderr\n@daily echo out; echo err >&2\n",
        )
        .ok();
    wait_for_state(&world, "alice:streams", "idle");
    for _ in 0..20 {
        // The history has no output of it, so that nothing else can tell.
        assert_eq!(cronctl(&world, "alice", "run --wait short").ok(), "first\n");
    }
    let expected: String = (1..=40_000).map(|number| format!("{number}\n")).collect();
    let shown = cronctl(&world, "alice", "run --wait long").ok();
    assert!(shown == expected, "{} of {} bytes", shown.len(), expected.len());
    let shown = cronctl(&world, "alice", "run --wait streams");
    assert_eq!((shown.stdout.as_str(), shown.stderr.lines().next()), ("out\n", Some("err")), "{shown:?}");
    // As JSON, a call with output has it between the run and its outcome.
    let shown = cronctl(&world, "alice", "run --wait --json short");
    assert!(json_lines(&shown).iter().all(|reply| reply.get("output").is_none()), "{shown:?}");
}

#[test]
fn after_a_pause_of_very_many_jobs_verbs_wait_until_they_are_answered() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let many: String = (0..2_000).map(|number| format!("CRON_NAME=job-{number}\n0 0 1 1 * alice true\n")).collect();
    world.drop_in("many", &many);
    let _daemon = prepare(&world);
    let pause = || cronctl(&world, "root", "pause --all --for 1h");
    // A call that is made once is refused, if it is made within the second that the pause has used up: on a busy machine it may come later.
    Deadline::seconds(60).wait_for("a refusal", || {
        assert_eq!(pause().code(), 0);
        let mut client = Client::connect(Path::new("/run/cronwheel/io.cronwheel.Cron")).unwrap();
        client.send(&Call::new("io.cronwheel.Cron.Status", &serde_json::json!({}))).unwrap();
        (client.receive().unwrap().error.as_deref() == Some("io.cronwheel.Cron.Busy")).then_some(())
    });
    for verb in ["ping", "list hello", "status", "show hello", "next", "why hello", "metrics", "resume alice:hello"] {
        assert_eq!(pause().code(), 0, "before {verb}");
        let shown = cronctl(&world, "root", verb);
        assert!(shown.code() == 0 && shown.stderr.is_empty(), "{verb}: {shown:?}");
    }
}
