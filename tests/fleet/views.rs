//! What people see of a fleet: two daemons of alice with one etcd.

use crate::common::{Deadline, Implementation, World};
use crate::etcd::{NEEDS, Running, Single, etcdctl};
use crate::world;
use serde_json::Value;
use std::fs;
use std::process::Stdio;

/// A job that runs often, one that only `a` has, and one that the nodes have with different commands.
const TABLE_OF_A: &str = "CRON_TZ=UTC\nCRON_FLEET=one\nCRON_NAME=tick\n@quartz */2 * * * * ?  echo tick $CRON_FENCE\n\
                          CRON_NAME=only\n0 0 1 1 *  true\nCRON_NAME=differs\n0 0 1 1 *  echo a\nCRON_NAME=alone\nCRON_OVERLAP=skip\n0 0 1 1 *  until [ -e /run/alone-may-end ]; do sleep 0.2; done\nCRON_OVERLAP=default\nCRON_FLEET=each\nCRON_NAME=own\n0 0 1 1 *  true\n";
const TABLE_OF_B: &str = "CRON_TZ=UTC\nCRON_FLEET=one\nCRON_NAME=tick\n@quartz */2 * * * * ?  echo tick $CRON_FENCE\n\
                          CRON_NAME=differs\n0 0 1 1 *  echo b\nCRON_NAME=alone\nCRON_OVERLAP=skip\n0 0 1 1 *  until [ -e /run/alone-may-end ]; do sleep 0.2; done\n";

fn start_node(world: &World, node: &str, table: &str, endpoint: &str) -> Running {
    let place = format!("/home/alice/{node}");
    world.run_as("alice", &format!("mkdir -p {place}")).ok();
    let config = format!(
        "[fleet]\nname = 'test'\nnode = '{node}'\nendpoints = ['{endpoint}']\nzone = 'UTC'\nlabels = ['of-{node}']\n"
    );
    fs::write(format!("{place}/cronwheel.toml"), config).unwrap();
    fs::write(format!("{place}/table"), table).unwrap();
    let line = format!(
        "exec /usr/sbin/cron --config {place}/cronwheel.toml --run-dir {place} --state-dir {place} {place}/table"
    );
    let log = fs::File::create(format!("/run/{node}.log")).unwrap();
    Running::start(world.command_as("alice", &line).stdout(log.try_clone().unwrap()).stderr(Stdio::from(log)))
}

/// What a verb prints, asked as alice of node a, once it has what is wanted.
fn shows(world: &World, verb: &str, wanted: &str) -> String {
    let ask = || world.run_as("alice", &format!("cronctl {verb} --run-dir /home/alice/a 2>&1")).stdout.clone();
    let found = Deadline::seconds(60).try_wait_for(|| {
        let text = ask();
        text.contains(wanted).then_some(text)
    });
    found.unwrap_or_else(|| {
        let logs: Vec<String> =
            ["a", "b"].map(|node| fs::read_to_string(format!("/run/{node}.log"))).map(Result::unwrap_or_default).into();
        panic!("{verb} does not show {wanted}: {}\n{}", ask(), logs.join("\n"))
    })
}

fn json(world: &World, verb: &str) -> Value {
    let shown = world.run_as("alice", &format!("cronctl {verb} --json --run-dir /home/alice/a"));
    serde_json::from_str(shown.stdout.lines().next().expect("a reply")).expect("JSON")
}

#[test]
fn nodes_jobs_and_outcomes_are_shown_and_a_watermark_in_the_future_is_repaired() {
    let Some(world) = world!(Implementation::OursDebian, NEEDS) else { return };
    let mut etcd = Single::start("one", 2379, "http", &[]);
    etcd.wait();
    let _a = start_node(&world, "a", TABLE_OF_A, &etcd.endpoint);
    let _b = start_node(&world, "b", TABLE_OF_B, &etcd.endpoint);

    // Both nodes, and the jobs that are not the same on them.
    let shown = shows(&world, "fleet", "differing  alice:differs: the entries differ");
    for text in [
        "fleet      test, this node is a",
        "engine     up",
        "4 fleet jobs, 2 not the same on all nodes",
        "of-a",
        "of-b",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert!(shown.contains("differing  alice:only: only on a"), "{shown}");
    assert_eq!(world.run_as("alice", "cronctl fleet --run-dir /home/alice/a").code(), 1, "tables differ");
    let fleet = json(&world, "fleet");
    let states: Vec<&str> =
        fleet["nodes"].as_array().unwrap().iter().map(|node| node["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["here", "up"], "{fleet}");

    // Who ran what.
    shows(&world, "history --fleet tick", "ok");
    let outcomes = json(&world, "history --fleet tick");
    let outcomes = outcomes["outcomes"].as_array().unwrap();
    let slots: Vec<&str> = outcomes.iter().map(|outcome| outcome["scheduled_at"].as_str().unwrap()).collect();
    assert!(slots.windows(2).all(|pair| pair[0] > pair[1]), "newest first, each once: {slots:?}");
    assert!(outcomes.iter().all(|outcome| ["a", "b"].contains(&outcome["node"].as_str().unwrap())), "{outcomes:?}");
    let listed = json(&world, "list --fleet");
    let jobs = listed["jobs"].as_array().unwrap();
    assert_eq!(jobs.len(), 4, "the job for each node is none: {listed}");
    let tick = jobs.iter().find(|job| job["job"] == "alice:tick").unwrap();
    assert_eq!((&tick["known_on"], &tick["differs"]), (&serde_json::json!(["a", "b"]), &false.into()), "{tick}");
    let next = tick["next_node"].as_str().unwrap();
    assert!(shows(&world, "list --fleet", "alice:only").contains(next));
    let why = shows(&world, "why tick", "claim");
    assert!(why.contains("one; this node is a; they try in the order") && why.contains("outcome"), "{why}");

    // A pause holds on all nodes, and ends on all.
    world.run_as("alice", "cronctl pause tick --run-dir /home/alice/b").ok();
    shows(&world, "list tick", "paused until");
    world.run_as("alice", "cronctl resume tick --run-dir /home/alice/a").ok();
    let is_resumed = || json(&world, "list tick")["jobs"][0]["paused_until"].is_null().then_some(());
    Deadline::seconds(30).wait_for("the end of the pause", is_resumed);

    // A run by hand: no other may go on in the fleet meanwhile, and its outcome is known everywhere.
    world.run_as("alice", "cronctl run alone --run-dir /home/alice/a").ok();
    let key = "/cronwheel/test/run/alice:alone";
    let is_held =
        || etcdctl(&etcd.endpoint, &["get", "--print-value-only", key]).contains("\"node\":\"a\"").then_some(());
    Deadline::seconds(20).wait_for("the key of the run", is_held);
    let shown = world.run_as("alice", "cronctl run alone --wait --run-dir /home/alice/b 2>&1");
    assert!(shown.code() != 0 && shown.stdout.contains("still running"), "{}", shown.stdout);
    fs::write("/run/alone-may-end", "").unwrap();
    let shown = shows(&world, "history --fleet alone", "ok");
    assert!(shown.contains(" a "), "{shown}");
    let is_free = || etcdctl(&etcd.endpoint, &["get", "--print-value-only", key]).trim().is_empty().then_some(());
    Deadline::seconds(20).wait_for("the key to go", is_free);

    // A mark that a wrong clock has made.
    etcdctl(&etcd.endpoint, &["put", "/cronwheel/test/mark/alice:differs", "00000000009999999999 b 0-1 ended 5"]);
    shows(&world, "fleet", "cronctl fleet reset alice:differs");
    let shown = world.run_as("alice", "cronctl fleet reset differs --run-dir /home/alice/a").ok();
    assert!(shown.contains("is set to now"), "{shown}");
    let mark = etcdctl(&etcd.endpoint, &["get", "--print-value-only", "/cronwheel/test/mark/alice:differs"]);
    assert!(mark.starts_with("0000000000") && !mark.starts_with("00000000009999999999"), "{mark}");
    let shown = world.run_as("alice", "cronctl fleet reset differs --run-dir /home/alice/a").ok();
    assert!(shown.contains("nothing to repair"), "{shown}");

    // The engine is away.
    etcd.process.kill();
    let shown = shows(&world, "fleet", "engine     away since");
    assert!(shown.contains("this node is a"), "{shown}");
    let shown = world.run_as("alice", "cronctl history --fleet tick --run-dir /home/alice/a 2>&1");
    assert!(
        shown.code() == 1 && shown.stdout.contains("the engine of the fleet (etcd) does not answer"),
        "{}",
        shown.stdout
    );
    assert!(world.run_as("alice", "cronctl list --fleet --run-dir /home/alice/a").ok().contains("alice:tick"));
}

#[test]
fn without_a_fleet_that_is_said() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("own", "CRON_FLEET=one\n0 0 1 1 * root true\n");
    let _daemon = world.start_daemon(&[]);
    assert!(world.run("cronctl fleet").ok().starts_with("no fleet is set up"));
    assert_eq!(world.run("cronctl fleet --json").ok().matches("\"engine\":\"off\"").count(), 1);
    assert_eq!(world.run("cronctl list --fleet --json").ok(), "{\"jobs\":[]}\n");
    let shown = world.run("cronctl fleet reset root 2>&1");
    assert!(shown.code() == 1 && shown.stdout.contains("no fleet is set up"), "{}", shown.stdout);
    let shown = world.run("cronctl history --fleet 2>&1");
    assert_eq!(shown.code(), 2, "it needs a job: {}", shown.stdout);
}
