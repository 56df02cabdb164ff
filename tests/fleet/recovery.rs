//! An engine that is restored from a snapshot, and a node that is renamed.

use crate::cluster::doubled;
use crate::common::{Deadline, Implementation};
use crate::etcd::{NEEDS, etcdctl};
use crate::site::{Site, note};
use crate::world;
use serde_json::Value;
use std::collections::BTreeSet;

/// The slots of a job that have been begun.
fn slots(site: &Site, job: &str) -> BTreeSet<String> {
    let ledger = site.ledger();
    ledger.into_iter().filter(|entry| entry.job == job && entry.word == "ran").map(|entry| entry.slot).collect()
}

fn outcome(site: &Site, job: &str, slot: &str) -> Option<Value> {
    let at = chrono::DateTime::parse_from_rfc3339(slot).expect(slot).timestamp();
    let prefix = format!("/cronwheel/prod/outcome/root:{job}/");
    let found = etcdctl(&site.endpoints(), &["get", "--prefix", "--print-value-only", &prefix]);
    let outcomes = found.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).expect(line));
    outcomes.into_iter().find(|outcome: &Value| outcome["slot"] == at)
}

#[test]
fn after_a_restored_snapshot_no_slot_runs_again_that_a_living_node_has_seen() {
    let Some(world) = world!(Implementation::OursDebian, NEEDS) else { return };
    let mut site = Site::new(&world, 1, 2, 1 << 30);
    // What was claimed after the snapshot is missed as far as etcd knows.
    let table = format!(
        "SHELL=/bin/sh\nCRON_CATCHUP=all\nCRON_NAME=often\nCRON_FLEET=one\n@quartz 0/2 * * * * * * root {}\n",
        note("ran", "often")
    );
    for node in 1..=2 {
        site.add_node(node, 0, "", &[("jobs", &table)]);
        site.start(node);
    }
    (1..=2).for_each(|node| site.wait_connected(node, 0));
    let wait_for_runs = |site: &Site, count: usize| {
        let found =
            Deadline::seconds(60).try_wait_for(|| Some(slots(site, "often")).filter(|slots| slots.len() >= count));
        found.unwrap_or_else(|| panic!("{}\n{}", site.log(1), site.log(2)))
    };
    wait_for_runs(&site, 2);
    site.save_snapshot();
    let at_snapshot = slots(&site, "often").len();
    let before = wait_for_runs(&site, at_snapshot + 4);
    site.kill_member(1);
    let connections = [1, 2].map(|node| site.connections(node));
    site.restore_snapshot();
    site.start_member(1);
    for node in 1..=2 {
        site.wait_connected(node, connections[node - 1]);
    }
    let newest = before.last().expect("a slot").clone();
    let ledger = Deadline::seconds(60).wait_for("runs after that", || {
        let newer = slots(&site, "often").into_iter().filter(|slot| *slot > newest).count();
        (newer >= 4).then(|| site.ledger())
    });
    assert_eq!(doubled(&ledger, "ran"), [], "{}\n{}", site.log(1), site.log(2));
}

#[test]
fn a_node_that_is_renamed_reports_the_end_of_what_it_runs() {
    let Some(world) = world!(Implementation::OursDebian, NEEDS) else { return };
    let mut site = Site::new(&world, 1, 2, 1 << 30);
    // It runs for longer than after that a node is lost which is gone.
    let table = format!(
        "SHELL=/bin/sh\nCRON_NAME=long\nCRON_FLEET=one\nCRON_GRACE=1s\nCRON_FLEET_NODES=!web1\nCRON_OVERLAP=skip\n\
         @quartz 0 * * * * * * root {}; sleep 40\n",
        note("ran", "long")
    );
    for node in 1..=2 {
        site.add_node(node, 0, "", &[("jobs", &table)]);
        site.start(node);
    }
    (1..=2).for_each(|node| site.wait_connected(node, 0));
    let slot = Deadline::seconds(90).wait_for("a run", || slots(&site, "long").pop_first());
    let connections = site.connections(2);
    site.stop(2);
    site.rename(2, "web3");
    site.start(2);
    site.wait_connected(2, connections);
    let ended = Deadline::seconds(90)
        .wait_for("its end", || outcome(&site, "long", &slot).filter(|outcome| outcome["outcome"] != "running"));
    assert_eq!((&ended["outcome"], &ended["node"]), (&"ok".into(), &"web3".into()), "{}\n{}", site.log(1), site.log(2));
    assert_eq!(doubled(&site.ledger(), "ran"), []);
}
