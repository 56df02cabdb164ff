//! The interface between the scheduler and the engine of a fleet (etcd, by way of the agent): transactions go there, keys and answers come
//! back.
//!
//! The engine is a store of keys with transactions, leases and a watch; it knows nothing of jobs. Everything that is decided is decided by the
//! scheduler, so that its simulation covers it.
//!
//! A connection goes like this. The agent asks for a lease of [`LEASE_MS`] and lists the keys of [`super::FleetKey::WATCHED`]; main tells the
//! scheduler [`FleetEvent::Listing`], then the keys as [`FleetEvent::Entries`] in parts, then [`FleetEvent::Listed`]. From then on changes that
//! the watch shows come as `Entries`, without a gap after the revision of the listing. Main, and not the agent by itself, has the lease renewed
//! each [`RENEW_MS`]: a main that hangs is no live node. With each renewal the agent writes the node's `clock` key. When the lease is gone, the
//! watch was silent for too long, or the agent has died, the scheduler gets [`FleetEvent::Away`], and a later connection begins anew with
//! another lease and another listing.

use super::key::FleetKey;
use serde::{Deserialize, Serialize};

/// How long a lease lasts after its last renewal. Milliseconds.
pub const LEASE_MS: i64 = 15_000;
/// How often it is renewed. Milliseconds.
pub const RENEW_MS: i64 = 5_000;
/// How long a claim may take, and how old it may be when its job is executed. Milliseconds.
pub const CLAIM_MS: i64 = 30_000;

/// A request of the scheduler to the engine. Each gets one [`FleetEvent::Answered`], unless [`FleetEvent::Away`] comes first: a request whose
/// answer has not come by then gets none.
///
/// The agent may execute a transaction more than once, on different connections, until it has an answer: each transaction is made so that a
/// second execution, also a late one, changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetRequest {
    /// Which request it is; never used again by a scheduler.
    pub id: u64,
    /// Until when an answer is of use, in milliseconds of the monotonic clock. Then the agent stops trying and answers
    /// [`FleetAnswer::Unknown`].
    pub expires_ms: i64,
    /// What is to be done.
    pub transaction: Transaction,
}

impl FleetRequest {
    /// The user whose job it is about. Empty: it is about no job.
    pub fn user(&self) -> String {
        let Transaction { compares, changes } = &self.transaction;
        let keys = compares.iter().map(|compare| &compare.key).chain(changes.iter().map(|change| &change.key));
        let job = keys.into_iter().find_map(|key| FleetKey::of_text(key)?.into_job());
        job.map(|job| job.user().to_owned()).unwrap_or_default()
    }
}

/// If all comparisons hold, all changes are made, at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// What must hold.
    pub compares: Vec<Compare>,
    /// What is changed then. No key comes twice.
    pub changes: Vec<Change>,
}

/// What a key must be for a transaction to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compare {
    /// The text of a [`super::FleetKey`].
    pub key: String,
    /// The value that it must have, byte for byte. None: there must be no such key.
    pub value: Option<String>,
}

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The text of a [`super::FleetKey`].
    pub key: String,
    /// Its new value. None: the key is deleted.
    pub value: Option<String>,
    /// The lease that it is under, as [`FleetEvent::Listing`] has named it. None: it stays until somebody deletes it.
    pub lease: Option<u64>,
}

/// What the engine says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FleetEvent {
    /// A connection begins. What was known of keys is void, and the keys that follow until [`FleetEvent::Listed`] are all there are.
    Listing {
        /// The lease of this connection. Another connection has another one.
        lease: u64,
        /// When the request for the lease was sent, in milliseconds of the monotonic clock.
        sent_ms: i64,
    },
    /// Keys as they are now, or as the watch shows them, in the order of their revisions.
    Entries(Vec<FleetEntry>),
    /// All keys have come.
    Listed,
    /// The lease was renewed.
    Renewed {
        /// When the request was sent, in milliseconds of the monotonic clock.
        sent_ms: i64,
    },
    /// The answer to a request.
    Answered {
        /// [`FleetRequest::id`].
        id: u64,
        /// What became of it.
        answer: FleetAnswer,
    },
    /// The engine cannot be reached, or the lease is gone. Until the next [`FleetEvent::Listing`] nothing else comes.
    Away,
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetEntry {
    /// The text of a [`super::FleetKey`].
    pub key: String,
    /// Its value. None: it was deleted. A value that is not UTF-8 comes with replacement characters.
    pub value: Option<String>,
    /// The revision of the change (etcd: `mod_revision`).
    pub revision: u64,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FleetAnswer {
    /// The comparisons held, and the changes have been made.
    Done {
        /// The revision of the changes.
        revision: u64,
    },
    /// A comparison did not hold, and nothing was changed by this execution; an earlier one of the same transaction may have changed the keys.
    Refused {
        /// The keys of the comparisons as they are, in their order.
        found: Vec<FleetEntry>,
    },
    /// The engine refuses the transaction: the lease is gone, the disk is full. No execution of it has changed anything, or will.
    Failed {
        /// Why, for the log.
        why: String,
    },
    /// There was no answer in time. The changes may have been made, or be made later.
    Unknown,
}
