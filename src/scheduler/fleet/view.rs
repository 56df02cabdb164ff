//! What is shown of the nodes, and in which order they try; the repair of a mark.

use super::key::FleetKey;
use super::message::{Change, Compare, Transaction};
use super::rank::{first, order};
use super::state::{Fleet, MOST_SKEW_MS};
use super::value::{Mark, MarkState};
use crate::crontab::FleetRule;
use crate::scheduler::job_id::JobId;
use crate::scheduler::now::Now;
use std::collections::BTreeMap;

/// A node of the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetNodeView {
    /// The name of the node, as `node` in `[fleet]` or its host name.
    pub node: String,
    /// Whether it is alive.
    pub is_alive: bool,
    /// The labels of the node, as in `[fleet]`.
    pub labels: Vec<String>,
    /// Its share of the jobs.
    pub weight: u32,
    /// Its version of cronwheel.
    pub version: String,
    /// How many fleet jobs it has.
    pub jobs: u32,
    /// The digest of these: nodes with the same tables have the same.
    pub digest: String,
    /// How far its clock is ahead of the median of the fleet, in milliseconds.
    pub offset_ms: Option<i64>,
    /// Whether the clock differs so much that the node is not in the fleet.
    pub is_skewed: bool,
    /// When it was last in contact with the engine as far as is known, in milliseconds of the monotonic clock.
    pub last_contact_ms: Option<i64>,
}

impl Fleet {
    /// Whether the node of this name is another machine.
    pub(in crate::scheduler) fn is_name_taken(&self) -> bool {
        let own = self.cache.node(&self.settings.node);
        let is_other = |instance: &str| instance != self.instance;
        own.is_some_and(|known| known.value.as_ref().is_none_or(|node| is_other(&node.instance)))
    }

    /// The nodes that are alive and those that went, by name.
    pub(in crate::scheduler) fn node_views(&self, now: Now) -> Vec<FleetNodeView> {
        // As the nodes have published them, this one included: they are more exact than the whole seconds that the scheduler decides by.
        let clocks: BTreeMap<&String, i64> = self.cache.clocks(now.elapsed_ms).collect();
        let mut sorted: Vec<i64> = clocks.values().copied().collect();
        sorted.sort_unstable();
        let median_ms = sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or_else(|| self.median_ms(now));
        let mut views = BTreeMap::new();
        for (node, record) in self.cache.nodes() {
            let is_own = *node == self.settings.node && record.instance == self.instance;
            let offset_ms = clocks.get(node).map(|at| at.saturating_sub(median_ms));
            let last_contact_ms = self.cache.clock_seen_ms(node);
            let view = FleetNodeView {
                node: node.clone(),
                is_alive: true,
                labels: record.labels.clone(),
                weight: record.weight,
                version: record.version.clone(),
                jobs: record.jobs,
                digest: record.digest.clone(),
                offset_ms,
                is_skewed: offset_ms.is_some_and(|offset| offset.abs() > MOST_SKEW_MS),
                last_contact_ms: if is_own { Some(now.elapsed_ms) } else { last_contact_ms },
            };
            views.insert(node.clone(), view);
        }
        for (node, since_ms) in self.cache.gone() {
            let gone =
                || FleetNodeView { node: node.clone(), last_contact_ms: Some(since_ms), ..FleetNodeView::default() };
            let view = views.entry(node.clone()).or_insert_with(gone);
            if !view.is_alive {
                view.last_contact_ms = view.last_contact_ms.max(Some(since_ms));
            }
        }
        views.into_values().collect()
    }

    /// The nodes that may run a job, the first to try first.
    pub(in crate::scheduler) fn order(&self, id: &JobId, rule: &FleetRule) -> Vec<String> {
        order(rule, id, self.cache.nodes())
    }

    /// The node that is the first to try. None: no node that is alive may run the job.
    pub(in crate::scheduler) fn first(&self, id: &JobId, rule: &FleetRule) -> Option<String> {
        first(rule, id, self.cache.nodes())
    }

    /// The mark of a job with this slot, if it has one: what is asked for. None: there is none, or no connection.
    pub(in crate::scheduler) fn plan_repair(&self, id: &JobId, slot: i64) -> Option<Transaction> {
        let known = self.cache.mark(id)?;
        let mark = known.value.as_ref()?;
        let key = FleetKey::Mark(id.clone()).to_string();
        let number = mark.number.saturating_add(1);
        // No run has the number 0.
        let nonce = format!("{}-0", self.instance);
        let new = Mark { slot, node: self.settings.node.clone(), nonce, state: MarkState::Ended, number };
        Some(Transaction {
            compares: vec![Compare { key: key.clone(), value: Some(known.text.clone()) }],
            changes: vec![Change { key, value: Some(new.to_string()), lease: None }],
        })
    }
}
