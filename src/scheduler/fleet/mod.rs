//! Fleet jobs (`CRON_FLEET=one`): each of their slots runs on one of several machines.
//!
//! | file | content |
//! |---|---|
//! | `message` | the interface to the engine: transactions, keys, answers |
//! | `key`, `value` | the keys of a fleet and their values |
//! | `settings` | what the configuration says of this node |
//! | `away` | slots about which this node has decided while the engine was away |
//! | `claims` | the runs that wait for their claims |
//! | `cache` | what this node knows of the keys |
//! | `link` | the connection to the engine: whether this node may act for the fleet |
//! | `rank` | which node tries first |
//! | `view` | what is shown of the nodes; the repair of a mark |
//! | `plans` | the transactions |
//! | `load` | warnings of a fleet that is too large |
//! | `sweep` | jobs that no node has any more |
//! | `saved` | what a daemon leaves to the next one |
//! | `state` | all of it, with what waits for answers |
//!
//! The scheduler's parts `fleet_events`, `fleet_slots`, `fleet_claims` and `fleet_watch` decide with it.

mod away;
mod cache;
mod claims;
mod key;
mod link;
mod load;
mod message;
mod plans;
mod rank;
mod saved;
mod settings;
mod state;
mod sweep;
mod value;
mod view;

pub(super) use away::AwaySlots;
pub(super) use claims::PendingClaim;
pub(super) use plans::json;
pub(super) use saved::SavedFleetJob;
pub(super) use state::{
    AHEAD_MS, AWAY_MS, ClaimPlan, Fleet, FleetTask, PendingSkip, Purpose, Report, RunKeys, WantedPause, WithoutRun,
};

pub use cache::{MOST_JOBS as MOST_FLEET_JOBS, MOST_NODES as MOST_FLEET_NODES};
pub use key::{FleetKey, OUTCOMES_KEPT};
pub use load::{FleetExcess, MOST_SLOTS_A_MINUTE};
pub use message::{
    CLAIM_MS, Change, Compare, FleetAnswer, FleetEntry, FleetEvent, FleetRequest, LEASE_MS, RENEW_MS, Transaction,
};
pub use settings::FleetSettings;
pub use value::{FleetOutcome, FleetPause, MOST_NODE_JOBS, Mark, MarkState, NodeJobs, NodeRecord, RunKey};
pub use view::FleetNodeView;
