//! The fleet jobs of the nodes of the fleet, compared.

use crate::scheduler::{FleetNodeView, FleetView, JobId, NodeJobs};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Different tables that are read and compared with that of this node.
const MOST_TABLES: usize = 4;
/// Names of nodes that are listed with a job.
const MOST_NAMED: usize = 20;

/// The tables of other nodes that have been read, by digest.
#[derive(Debug, Default)]
pub(super) struct NodeTables {
    /// None: what was read is no table.
    by_digest: BTreeMap<String, Option<Arc<NodeJobs>>>,
}

/// The nodes that are alive, those with the same table together.
#[derive(Clone, Debug, Default)]
pub(super) struct TableGroups(Vec<TableGroup>);

#[derive(Clone, Debug)]
struct TableGroup {
    nodes: Vec<String>,
    /// None: it is not known.
    jobs: Option<Arc<NodeJobs>>,
}

/// Where a fleet job is in the tables.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Presence<'a> {
    /// The first nodes that have it, by name, at most [`MOST_NAMED`]. Nodes whose tables are not known count as having it.
    pub(super) first_nodes: Vec<&'a str>,
    /// How many nodes have it.
    pub(super) count: usize,
    /// Whether the tables say different things of it.
    pub(super) differs: bool,
}

/// The digest of the table of this node.
fn own_digest(view: &FleetView) -> Option<&str> {
    let own = view.nodes.iter().find(|node| node.is_alive && node.node == view.node && !view.is_name_taken);
    own.map(|node| node.digest.as_str())
}

impl NodeTables {
    /// Forgets tables that no node has any more.
    pub(super) fn keep_only(&mut self, nodes: &[FleetNodeView]) {
        self.by_digest.retain(|digest, _| nodes.iter().any(|node| node.is_alive && node.digest == *digest));
    }

    /// A node whose table is to be read, with its digest. None: all that are compared are known.
    pub(super) fn missing<'a>(&self, view: &'a FleetView) -> Option<(&'a str, &'a str)> {
        let own = own_digest(view);
        let is_missing = |node: &&FleetNodeView| {
            node.is_alive && Some(node.digest.as_str()) != own && !self.by_digest.contains_key(&node.digest)
        };
        let node = view.nodes.iter().find(is_missing).filter(|_| self.by_digest.len() < MOST_TABLES)?;
        Some((&node.node, &node.digest))
    }

    /// Takes a table that was read.
    pub(super) fn add(&mut self, digest: String, value: Option<&str>) {
        let jobs = value.and_then(|text| serde_json::from_str(text).ok());
        self.by_digest.insert(digest, jobs.map(Arc::new));
    }

    /// The tables of all nodes. `own`: that of this node.
    pub(super) fn groups(&self, view: &FleetView, own: NodeJobs) -> TableGroups {
        let mut groups: BTreeMap<&str, TableGroup> = BTreeMap::new();
        let own_digest = own_digest(view);
        let own = Arc::new(own);
        for node in view.nodes.iter().filter(|node| node.is_alive) {
            let group = groups.entry(&node.digest).or_insert_with(|| TableGroup {
                nodes: Vec::new(),
                jobs: match own_digest {
                    Some(digest) if digest == node.digest => Some(Arc::clone(&own)),
                    _ => self.by_digest.get(&node.digest).cloned().flatten(),
                },
            });
            group.nodes.push(node.node.clone());
        }
        let mut groups: Vec<TableGroup> = groups.into_values().collect();
        if own_digest.is_none() {
            groups.push(TableGroup { nodes: vec![view.node.clone()], jobs: Some(own) });
        }
        TableGroups(groups)
    }
}

impl TableGroups {
    /// All jobs of the known tables; one that is in several comes several times.
    pub(super) fn jobs(&self) -> impl Iterator<Item = &JobId> {
        self.0.iter().filter_map(|group| group.jobs.as_deref()).flat_map(BTreeMap::keys)
    }

    /// Where a job is.
    pub(super) fn presence(&self, id: &JobId) -> Presence<'_> {
        let (mut first_nodes, mut count, mut digests) = (Vec::new(), 0, BTreeSet::new());
        for group in &self.0 {
            let digest = match &group.jobs {
                Some(jobs) => jobs.get(id).map(Some),
                None => Some(None),
            };
            if let Some(digest) = digest {
                // The nodes of a group are in the order of their names.
                first_nodes.extend(group.nodes.iter().take(MOST_NAMED).map(String::as_str));
                count += group.nodes.len();
                digests.extend(digest);
            }
        }
        first_nodes.sort_unstable();
        first_nodes.truncate(MOST_NAMED);
        Presence { first_nodes, count, differs: digests.len() > 1 }
    }

    /// How many jobs there are, and how many of them are not on all nodes, or not everywhere the same.
    pub(super) fn counts(&self) -> (usize, usize) {
        let known: Vec<&NodeJobs> = self.0.iter().filter_map(|group| group.jobs.as_deref()).collect();
        let [first, others @ ..] = known.as_slice() else { return (0, 0) };
        if others.is_empty() {
            return (first.len(), 0);
        }
        let all: BTreeSet<&JobId> = self.jobs().collect();
        let is_same = |id: &&&JobId| {
            let digest = first.get(**id);
            digest.is_some() && others.iter().all(|jobs| jobs.get(**id) == digest)
        };
        (all.len(), all.len() - all.iter().filter(is_same).count())
    }

    /// How many nodes there are whose tables are not known.
    pub(super) fn unread(&self) -> usize {
        self.0.iter().filter(|group| group.jobs.is_none()).map(|group| group.nodes.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(nodes: &[(&str, &str, bool)]) -> FleetView {
        let node = |(node, digest, is_alive): &(&str, &str, bool)| FleetNodeView {
            node: (*node).to_owned(),
            digest: (*digest).to_owned(),
            is_alive: *is_alive,
            ..FleetNodeView::default()
        };
        let nodes = nodes.iter().map(node).collect();
        FleetView {
            node: "a".to_owned(),
            away_since_ms: None,
            is_name_taken: false,
            is_skewed: false,
            nodes,
            ahead: Vec::new(),
        }
    }

    fn jobs(jobs: &[(&str, &str)]) -> NodeJobs {
        jobs.iter().map(|(id, digest)| (JobId::of_text((*id).to_owned()), (*digest).to_owned())).collect()
    }

    #[test]
    fn tables_are_read_once_for_each_digest_and_compared() {
        let mut tables = NodeTables::default();
        let view = view(&[("a", "1", true), ("b", "1", true), ("c", "2", true), ("d", "2", true), ("e", "3", false)]);
        assert_eq!(tables.missing(&view), Some(("c", "2")));
        let theirs = jobs(&[("root:x", "0"), ("root:y", "9"), ("root:z", "0")]);
        tables.add("2".to_owned(), Some(&serde_json::to_string(&theirs).unwrap()));
        assert_eq!(tables.missing(&view), None);
        let groups = tables.groups(&view, jobs(&[("root:w", "0"), ("root:x", "0"), ("root:y", "0")]));
        assert_eq!((groups.counts(), groups.unread()), ((4, 3), 0));
        for (id, nodes, differs) in [
            ("root:w", &["a", "b"][..], false),
            ("root:x", &["a", "b", "c", "d"], false),
            ("root:y", &["a", "b", "c", "d"], true),
            ("root:z", &["c", "d"], false),
        ] {
            let expected = Presence { first_nodes: nodes.to_vec(), count: nodes.len(), differs };
            assert_eq!(groups.presence(&JobId::of_text(id.to_owned())), expected, "{id}");
        }
        tables.keep_only(&view.nodes[..2]);
        assert_eq!(tables.missing(&view), Some(("c", "2")));
    }

    #[test]
    fn a_table_that_cannot_be_read_is_not_compared_and_not_read_again() {
        let mut tables = NodeTables::default();
        let view = view(&[("a", "1", true), ("b", "2", true)]);
        tables.add("2".to_owned(), Some("rubbish"));
        assert_eq!(tables.missing(&view), None);
        let groups = tables.groups(&view, jobs(&[("root:x", "0")]));
        assert_eq!((groups.counts(), groups.unread()), ((1, 0), 1));
        assert!(!groups.presence(&JobId::of_text("root:x".to_owned())).differs);
    }

    #[test]
    fn only_a_few_different_tables_are_read() {
        let mut tables = NodeTables::default();
        let digests: Vec<String> = (0..10).map(|number| number.to_string()).collect();
        let nodes: Vec<(&str, &str, bool)> = digests.iter().map(|digest| (&**digest, &**digest, true)).collect();
        let view = view(&nodes);
        let mut count = 0;
        while let Some((_, digest)) = tables.missing(&view) {
            tables.add(digest.to_owned(), Some("{}"));
            count += 1;
        }
        assert_eq!(count, MOST_TABLES);
    }
}
