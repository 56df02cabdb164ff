//! Slots about which a node has decided while the engine was away.

use crate::schedule::Timestamp;
use serde::{Deserialize, Serialize};

/// The slots of a job about which this node has decided without the engine, from the first to the last of them. The fleet gets to know of them
/// once the engine is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::scheduler) struct AwaySlots {
    pub(in crate::scheduler) first: Timestamp,
    pub(in crate::scheduler) last: Timestamp,
    /// Whether each has an outcome on this node (`CRON_FLEET_AWAY=run`). If not, those that no other node has claimed are skipped.
    pub(in crate::scheduler) are_decided: bool,
    /// Whether this daemon has decided about the last one, and not an earlier one.
    #[serde(skip)]
    pub(in crate::scheduler) is_of_this_daemon: bool,
}

impl AwaySlots {
    /// Whether a slot is among them.
    pub(in crate::scheduler) fn has(&self, slot: Timestamp) -> bool {
        (self.first..=self.last).contains(&slot)
    }
}
