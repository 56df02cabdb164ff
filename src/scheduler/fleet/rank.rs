//! Which node tries first to claim a slot. That decides only who is the first to try: who runs is decided by the claim.

use super::value::NodeRecord;
use crate::crontab::{FleetOrder, FleetRule};
use crate::scheduler::job_id::JobId;
use siphasher::sip::SipHasher24;
use std::hash::Hasher;

/// What the nodes are put in order by for a job. None: the node may not run it.
fn key<'a>(
    rule: &FleetRule,
    job: &JobId,
    (node, record): (&'a String, &'a NodeRecord),
) -> Option<(usize, u64, &'a String)> {
    let place = rule.nodes.as_ref().map_or(Some(0), |nodes| nodes.place(node, &record.labels))?;
    let place = if rule.order == FleetOrder::First { place } else { 0 };
    Some((place, distance(job, node, record.weight), node))
}

/// The rank of a node for a job among the nodes that are alive, from 0. None: it may not run it, or is not among them.
pub(in crate::scheduler) fn rank<'a>(
    rule: &FleetRule,
    job: &JobId,
    own: &str,
    nodes: impl Iterator<Item = (&'a String, &'a NodeRecord)>,
) -> Option<usize> {
    let keys: Vec<_> = nodes.filter_map(|node| key(rule, job, node)).collect();
    let mine = keys.iter().find(|(_, _, node)| *node == own)?;
    Some(keys.iter().filter(|other| *other < mine).count())
}

/// The nodes that may run a job, the first to try first.
pub(in crate::scheduler) fn order<'a>(
    rule: &FleetRule,
    job: &JobId,
    nodes: impl Iterator<Item = (&'a String, &'a NodeRecord)>,
) -> Vec<String> {
    let mut keys: Vec<_> = nodes.filter_map(|node| key(rule, job, node)).collect();
    keys.sort();
    keys.into_iter().map(|(_, _, node)| node.clone()).collect()
}

/// The node that is the first to try. None: no node may run the job.
pub(in crate::scheduler) fn first<'a>(
    rule: &FleetRule,
    job: &JobId,
    nodes: impl Iterator<Item = (&'a String, &'a NodeRecord)>,
) -> Option<String> {
    nodes.filter_map(|node| key(rule, job, node)).min().map(|(_, _, node)| node.clone())
}

/// The weighted rendezvous hash: the smallest is first. A node of twice the weight is first for twice as many jobs.
fn distance(job: &JobId, node: &str, weight: u32) -> u64 {
    let mut hasher = SipHasher24::new();
    hasher.write(job.as_str().as_bytes());
    hasher.write(&[0]);
    hasher.write(node.as_bytes());
    // Uniform in (0, 1): the negative logarithm over the weight is exponential with that rate, and its least is of a node with the
    // probability of its share.
    let uniform = ((hasher.finish() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    (-uniform.ln() / f64::from(weight.max(1)) * 1e15) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn nodes(weights: &[u32]) -> BTreeMap<String, NodeRecord> {
        let node = |(number, weight): (usize, &u32)| {
            (format!("n{number}"), NodeRecord { weight: *weight, ..NodeRecord::default() })
        };
        weights.iter().enumerate().map(node).collect()
    }

    #[test]
    fn jobs_are_spread_by_weight_and_a_node_that_goes_moves_only_its_own() {
        let all = nodes(&[1, 1, 2]);
        let mut without = all.clone();
        without.remove("n1");
        let rule = FleetRule::default();
        let mut counts = BTreeMap::new();
        for number in 0..4_000 {
            let job = JobId::named("alice", &number.to_string());
            let first = |nodes: &BTreeMap<String, NodeRecord>| {
                nodes.keys().find(|node| rank(&rule, &job, node, nodes.iter()) == Some(0)).cloned().unwrap()
            };
            let mut ranks: Vec<_> = all.keys().filter_map(|node| rank(&rule, &job, node, all.iter())).collect();
            ranks.sort_unstable();
            assert_eq!(ranks, [0, 1, 2]);
            let node = first(&all);
            assert!(node == "n1" || first(&without) == node);
            *counts.entry(node).or_insert(0) += 1;
        }
        assert!((850..1150).contains(&counts["n0"]) && (1850..2150).contains(&counts["n2"]), "{counts:?}");
    }
}
