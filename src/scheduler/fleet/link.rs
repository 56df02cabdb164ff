//! The connection to the engine: whether this node may act for the fleet now.

use super::message::LEASE_MS;

/// So much before its lease can end a node counts itself dead. Milliseconds.
const MARGIN_MS: i64 = 1_000;

/// The connection to the engine.
#[derive(Debug, Default)]
pub(in crate::scheduler) struct FleetLink {
    lease: Option<u64>,
    is_listed: bool,
    /// Whether the node key is there under the lease.
    is_published: bool,
    /// Since when, in milliseconds of the monotonic clock.
    published_ms: i64,
    /// When the last renewal of the lease was sent that has succeeded.
    renewed_ms: i64,
    /// When the engine was last known to be there and not to be there, in milliseconds of the monotonic clock.
    away_since_ms: i64,
}

impl FleetLink {
    /// No connection yet.
    pub(in crate::scheduler) fn new(now_ms: i64) -> FleetLink {
        FleetLink { away_since_ms: now_ms, ..FleetLink::default() }
    }

    /// A connection begins.
    pub(in crate::scheduler) fn begin(&mut self, lease: u64, sent_ms: i64) {
        *self = FleetLink {
            lease: Some(lease),
            renewed_ms: sent_ms,
            away_since_ms: self.away_since_ms,
            ..FleetLink::default()
        };
    }

    /// All keys have come.
    pub(in crate::scheduler) fn note_listed(&mut self) {
        self.is_listed = self.lease.is_some();
    }

    /// The node key has been written.
    pub(in crate::scheduler) fn note_published(&mut self, now_ms: i64) {
        if !self.is_published {
            self.published_ms = now_ms;
        }
        self.is_published = self.is_listed;
    }

    /// Since when this node acts for the fleet, in milliseconds of the monotonic clock. Only while it may.
    pub(in crate::scheduler) fn published_ms(&self) -> i64 {
        self.published_ms
    }

    /// The lease was renewed.
    pub(in crate::scheduler) fn renew(&mut self, sent_ms: i64) {
        self.renewed_ms = self.renewed_ms.max(sent_ms);
    }

    /// The machine has slept: its lease went on meanwhile, and the monotonic clock did not.
    pub(in crate::scheduler) fn note_sleep(&mut self, slept_ms: i64) {
        self.renewed_ms = self.renewed_ms.saturating_sub(slept_ms);
    }

    /// The connection has ended.
    pub(in crate::scheduler) fn end(&mut self, now_ms: i64) {
        // What nobody has noticed before counts from the end of the lease.
        let since = if self.is_published { now_ms.min(self.alive_until_ms()) } else { self.away_since_ms };
        *self = FleetLink::new(since);
    }

    /// The lease, while requests can be made.
    pub(in crate::scheduler) fn lease(&self) -> Option<u64> {
        self.lease.filter(|_| self.is_listed)
    }

    /// Until when the node is alive for the others in any case, less a margin.
    pub(in crate::scheduler) fn alive_until_ms(&self) -> i64 {
        self.renewed_ms.saturating_add(LEASE_MS - MARGIN_MS)
    }

    /// Whether the node key is there under the lease of this connection.
    pub(in crate::scheduler) fn is_published(&self) -> bool {
        self.is_published
    }

    /// Whether the node may act for the fleet.
    pub(in crate::scheduler) fn is_up(&self, now_ms: i64) -> bool {
        self.is_published && now_ms < self.alive_until_ms()
    }

    /// Since when it may not. Only while it may not.
    pub(in crate::scheduler) fn away_since_ms(&self) -> i64 {
        if self.is_published { self.alive_until_ms() } else { self.away_since_ms }
    }
}
