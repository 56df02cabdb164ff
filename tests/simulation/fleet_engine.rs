//! An engine of a fleet in memory, with the transactions, leases and watch of etcd.

use cronwheel::scheduler::{FleetAnswer, FleetEntry, FleetKey, LEASE_MS, Transaction};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that no other claim of this process has.
pub fn next_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

#[derive(Clone)]
struct Value {
    text: String,
    revision: u64,
    lease: Option<u64>,
}

/// Keys with revisions, under leases.
#[derive(Clone, Default)]
pub struct Engine {
    keys: BTreeMap<String, Value>,
    /// When each lease ends, in milliseconds of true time.
    leases: BTreeMap<u64, i64>,
    pub revision: u64,
    /// Every change, in order.
    pub log: Vec<FleetEntry>,
    next_lease: u64,
}

impl Engine {
    /// A new lease.
    pub fn grant(&mut self, at: i64) -> u64 {
        self.next_lease += 1;
        self.leases.insert(self.next_lease, at + LEASE_MS);
        self.next_lease
    }

    /// Renews a lease. False: it is gone.
    pub fn renew(&mut self, lease: u64, at: i64) -> bool {
        self.leases.get_mut(&lease).map(|until| *until = at + LEASE_MS).is_some()
    }

    /// All leases last longer, as after the election of a leader.
    pub fn extend_leases(&mut self, at: i64) {
        self.leases.values_mut().for_each(|until| *until = at + LEASE_MS);
    }

    /// Has the keys and leases of an earlier moment.
    pub fn restore(&mut self, snapshot: Engine, at: i64) {
        (self.keys, self.leases, self.revision) = (snapshot.keys, snapshot.leases, snapshot.revision);
        self.extend_leases(at);
    }

    /// When the next lease ends.
    pub fn next_end(&self) -> Option<i64> {
        self.leases.values().min().copied()
    }

    /// Removes what is under leases that have ended.
    pub fn expire(&mut self, at: i64) {
        let ended: Vec<u64> = self.leases.iter().filter(|(_, until)| **until <= at).map(|(lease, _)| *lease).collect();
        for lease in ended {
            self.leases.remove(&lease);
            let keys = self.keys.iter().filter(|(_, value)| value.lease == Some(lease));
            let keys: Vec<String> = keys.map(|(key, _)| key.clone()).collect();
            if !keys.is_empty() {
                self.revision += 1;
                keys.into_iter().for_each(|key| self.set(key, None, None));
            }
        }
    }

    fn set(&mut self, key: String, text: Option<String>, lease: Option<u64>) {
        let revision = self.revision;
        match &text {
            Some(text) => drop(self.keys.insert(key.clone(), Value { text: text.clone(), revision, lease })),
            None => drop(self.keys.remove(&key)),
        }
        self.log.push(FleetEntry { key, value: text, revision });
    }

    /// Executes a transaction.
    pub fn execute(&mut self, transaction: &Transaction) -> FleetAnswer {
        let found = |key: &String| {
            let value = self.keys.get(key);
            let revision = value.map_or(self.revision, |value| value.revision);
            FleetEntry { key: key.clone(), value: value.map(|value| value.text.clone()), revision }
        };
        let holds = transaction.compares.iter().all(|compare| found(&compare.key).value == compare.value);
        if !holds {
            let found = transaction.compares.iter().map(|compare| found(&compare.key)).collect();
            return FleetAnswer::Refused { found };
        }
        let is_lease_gone = |lease: Option<u64>| lease.is_some_and(|lease| !self.leases.contains_key(&lease));
        if transaction.changes.iter().any(|change| is_lease_gone(change.lease)) {
            return FleetAnswer::Failed { why: "the lease is gone".to_owned() };
        }
        self.revision += 1;
        for change in &transaction.changes {
            self.set(change.key.clone(), change.value.clone(), change.lease);
        }
        FleetAnswer::Done { revision: self.revision }
    }

    /// Writes a key, whatever it is.
    pub fn put(&mut self, key: &FleetKey, text: &str) {
        self.revision += 1;
        self.set(key.to_string(), Some(text.to_owned()), None);
    }

    /// Writes the clock of a node with a renewal.
    pub fn put_clock(&mut self, node: &str, clock_ms: i64, lease: u64) {
        self.revision += 1;
        self.set(FleetKey::Clock(node.to_owned()).to_string(), Some(clock_ms.to_string()), Some(lease));
    }

    /// What is listed.
    pub fn list(&self) -> Vec<FleetEntry> {
        let is_watched = |key: &str| FleetKey::WATCHED.iter().any(|kind| key.starts_with(kind));
        let keys = self.keys.iter().filter(|(key, _)| is_watched(key));
        keys.map(|(key, value)| FleetEntry {
            key: key.clone(),
            value: Some(value.text.clone()),
            revision: value.revision,
        })
        .collect()
    }

    /// What the watch shows from a place in the log on.
    pub fn watch(&self, from: usize) -> Vec<FleetEntry> {
        let is_watched = |entry: &&FleetEntry| FleetKey::WATCHED.iter().any(|kind| entry.key.starts_with(kind));
        self.log.iter().skip(from).filter(is_watched).cloned().collect()
    }

    /// A key as it is.
    pub fn get(&self, key: &FleetKey) -> Option<&str> {
        self.keys.get(&key.to_string()).map(|value| value.text.as_str())
    }
}
