//! Five daemons and three members of etcd while members, nodes and links between them fail.

use crate::common::{Deadline, Implementation};
use crate::etcd::{NEEDS, etcdctl};
use crate::site::{Entry, Site, note};
use crate::world;
use nix::sys::signal::Signal::{SIGCONT, SIGSTOP};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long the faults go on, in seconds, in the long form.
const SECONDS: &str = "CRONWHEEL_FLEET_SECONDS";
/// The variable for the number of jobs with a slot each two seconds, and how many there are without it.
const JOBS: &str = "CRONWHEEL_FLEET_JOBS";
const FEW_JOBS: usize = 12;

const NODES: usize = 5;

fn tables(jobs: usize) -> String {
    let mut text = "SHELL=/bin/sh\n".to_owned();
    for job in 0..jobs {
        let second = job % 2;
        text += &format!(
            "CRON_NAME=short{job}\nCRON_FLEET=one\n@quartz {second}/2 * * * * * * root {}\n",
            note("ran", &format!("short{job}"))
        );
    }
    // One that runs for a while, so that it is lost with its node.
    let (begin, end) = (note("begin", "long"), note("end", "long"));
    text += &format!("CRON_NAME=long\nCRON_FLEET=one\n@quartz 0/10 * * * * * * root {begin}; sleep 4; {end}\n");
    // One that is started once more elsewhere when its node is lost. Not on the node that is suspended: its job goes on for a moment afterwards, which
    // only the fence can tell from the other one.
    let tick = note("tick", "over");
    text += &format!(
        "CRON_NAME=over\nCRON_FLEET=one,failover\nCRON_FLEET_NODES=!web5\nCRON_GRACE=1s\n\
         @quartz 0/20 * * * * * * root i=0; while [ $i -lt 14 ]; do {tick}; sleep 0.5; i=$((i + 1)); done\n"
    );
    text
}

/// A run of a job with failover that went on after another node has begun it.
fn overlapping(ledger: &[Entry]) -> Vec<Entry> {
    let mut latest: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for entry in ledger.iter().filter(|entry| entry.word == "tick") {
        let (fence, node) = latest.entry(&entry.slot).or_insert((entry.fence, &entry.node));
        match entry.fence.cmp(fence) {
            Ordering::Greater => (*fence, *node) = (entry.fence, &entry.node),
            Ordering::Equal if entry.node == *node => {}
            _ => wrong.push(entry.clone()),
        }
    }
    wrong
}

/// Each run that the ledger has twice.
pub fn doubled(ledger: &[Entry], word: &str) -> Vec<Entry> {
    let mut seen = BTreeSet::new();
    let runs = ledger.iter().filter(|entry| entry.word == word);
    runs.filter(|entry| !seen.insert((entry.job.clone(), entry.slot.clone()))).cloned().collect()
}

fn pause(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

#[test]
fn no_slot_runs_twice_whatever_fails() {
    let Some(world) = world!(Implementation::OursDebian, NEEDS) else { return };
    let mut site = Site::new(&world, 3, NODES, 1 << 30);
    let jobs = std::env::var(JOBS).ok().map_or(FEW_JOBS, |count| count.parse().expect(JOBS));
    let tables = tables(jobs);
    for node in 1..=NODES {
        // One clock is twenty seconds ahead, one is two seconds behind.
        let skew = [0, 0, 0, -2, 20][node - 1];
        site.add_node(node, skew, "", &[("jobs", &tables)]);
        site.start(node);
    }
    (1..=NODES).for_each(|node| site.wait_connected(node, 0));
    let long = std::env::var(SECONDS).ok().map(|seconds| seconds.parse::<u64>().expect(SECONDS));
    let end = Deadline::seconds(long.unwrap_or(1));
    loop {
        one_round_of_faults(&mut site);
        if end.passed() {
            break;
        }
    }
    // Everything is mended: all take part again, and every slot is run.
    for node in 1..=NODES {
        Deadline::seconds(60).wait_for("the nodes", || is_connected(&site, node).then_some(()));
    }
    let before = site.ledger().len();
    Deadline::seconds(30)
        .wait_for("runs after the faults", || (site.ledger().len() >= before + 2 * jobs).then_some(()));

    let ledger = site.ledger();
    let logs: String = (1..=NODES).map(|node| format!("web{node}:\n{}\n", site.log(node))).collect();
    assert_eq!(doubled(&ledger, "ran"), [], "{logs}");
    assert_eq!(doubled(&ledger, "begin"), [], "{logs}");
    assert_eq!(overlapping(&ledger), [], "{logs}");
    // Each slot of it was begun at most twice.
    let mut begun: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for entry in ledger.iter().filter(|entry| entry.word == "tick") {
        begun.entry(&entry.slot).or_default().insert(entry.fence);
    }
    assert!(!begun.is_empty() && begun.values().all(|fences| fences.len() <= 2), "{begun:?}\n{logs}");
    let second = begun.values().filter(|fences| fences.len() == 2).count();
    eprintln!("{second} of {} slots with failover were begun once more", begun.len());
    // Each node has run some, and fences grow with the slots of a job.
    let nodes: BTreeSet<&str> = ledger.iter().map(|entry| entry.node.as_str()).collect();
    assert_eq!(nodes.len(), NODES, "{nodes:?}");
    let mut last: BTreeMap<&str, (&str, u64)> = BTreeMap::new();
    let mut by_slot: Vec<&Entry> = ledger.iter().filter(|entry| entry.word == "ran").collect();
    by_slot.sort_by_key(|entry| (&entry.job, &entry.slot));
    for entry in by_slot {
        let (slot, fence) = last.insert(&entry.job, (&entry.slot, entry.fence)).unwrap_or_default();
        assert!(fence < entry.fence, "{entry:?} comes after {slot} with the fence {fence}");
    }
    // Most slots have been run although so much has failed.
    let slots: BTreeSet<i64> =
        ledger.iter().filter(|entry| entry.word == "ran").map(|entry| seconds(&entry.slot)).collect();
    let (first, latest) = (*slots.first().unwrap(), *slots.last().unwrap());
    let due = usize::try_from(latest - first + 1).unwrap() / 2 * jobs;
    let ran = ledger.iter().filter(|entry| entry.word == "ran").count();
    eprintln!("{ran} of {due} slots were run, none of them twice, in {} s", latest - first);
    // By clocks that are right, and faults included.
    let is_right = |entry: &&Entry| entry.word == "ran" && ["web1", "web2", "web3"].contains(&entry.node.as_str());
    let mut late: Vec<i64> =
        ledger.iter().filter(is_right).map(|entry| entry.at_ms - seconds(&entry.slot) * 1_000).collect();
    late.sort_unstable();
    let at = |part: usize| late[(late.len() * part / 100).min(late.len() - 1)];
    eprintln!("started late by {} ms (median), {} ms (90 %), {} ms (99 %)", at(50), at(90), at(99));
    eprintln!("the database has {} KiB", site.database_size(1) / 1024);
    assert!(ran * 2 > due, "{ran} of {due} slots were run\n{logs}");
    // What was begun and did not end is named as lost, with its node.
    let word = |word: &str| -> BTreeSet<(String, String)> {
        let of = ledger.iter().filter(|entry| entry.job == "long" && entry.word == word);
        of.map(|entry| (entry.slot.clone(), entry.node.clone())).collect()
    };
    // The last one may still run.
    let mut unended: Vec<(String, String)> = word("begin").difference(&word("end")).cloned().collect();
    unended.retain(|(slot, _)| seconds(slot) + 60 < latest);
    let outcomes =
        etcdctl(&site.endpoints(), &["get", "--prefix", "--print-value-only", "/cronwheel/prod/outcome/root:long/"]);
    let outcomes: Vec<serde_json::Value> =
        outcomes.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).expect(line)).collect();
    // The last twenty are kept.
    for (slot, node) in unended.iter().rev().take(5) {
        let is_named = |outcome: &serde_json::Value| {
            outcome["slot"] == seconds(slot) && outcome["node"] == node.as_str() && outcome["outcome"] == "lost"
        };
        assert!(outcomes.iter().any(is_named), "{slot} on {node}: {outcomes:#?}\n{logs}");
    }
}

/// A slot as the job has it, in seconds.
fn seconds(slot: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(slot).unwrap_or_else(|why| panic!("{slot}: {why}")).timestamp()
}

fn is_connected(site: &Site, node: usize) -> bool {
    let log = site.log(node);
    match (log.rfind("connected to the engine of the fleet"), log.rfind("is away: ")) {
        (Some(connected), Some(away)) => connected > away,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

/// About a minute.
fn one_round_of_faults(site: &mut Site) {
    pause(4);
    // The leader of etcd dies, and comes back later.
    let leader = site.leader();
    site.kill_member(leader);
    pause(5);
    // A node loses its agent, and another one can send nothing.
    site.kill_agent(3);
    site.cut_requests(2);
    pause(3);
    site.start_member(leader);
    // A node's daemon is stopped past its lease while its executor and its agent go on.
    site.signal_daemon(1, SIGSTOP);
    pause(5);
    // The answers to a node are lost: what it asks for is done.
    site.cut_answers(4);
    pause(8);
    site.mend(2);
    pause(5);
    site.mend(4);
    site.signal_daemon(1, SIGCONT);
    // All of a node stands still, as if it was suspended.
    site.suspend(5);
    pause(3);
    // Etcd has no majority for a moment.
    let stopped: Vec<usize> = (1..=3).filter(|member| *member != site.leader()).collect();
    stopped.iter().for_each(|member| site.signal_member(*member, SIGSTOP));
    pause(3);
    stopped.iter().for_each(|member| site.signal_member(*member, SIGCONT));
    // A node crashes with its jobs, in the middle of a long one if it has that.
    let running = site.ledger().iter().rev().find(|entry| entry.word == "begin").map(|entry| entry.node.clone());
    let victim =
        running.and_then(|node| node.strip_prefix("web")?.parse().ok()).filter(|node| [2, 3, 4].contains(node));
    let victim: usize = victim.unwrap_or(3);
    site.crash(victim);
    pause(12);
    site.resume(5);
    site.start(victim);
    pause(3);
}
