//! Fleet jobs (`CRON_FLEET=one`): each of their slots runs on one of several machines.
//!
//! | file | content |
//! |---|---|
//! | `message` | the interface to the engine: transactions, keys, answers |
//! | `key`, `value` | the keys of a fleet and their values |
//! | `settings` | what the configuration says of this node |

mod key;
mod message;
mod settings;
mod value;

pub use key::{FleetKey, OUTCOMES_KEPT};
pub use message::{
    CLAIM_MS, Change, Compare, FleetAnswer, FleetEntry, FleetEvent, FleetRequest, LEASE_MS, RENEW_MS, Transaction,
};
pub use settings::FleetSettings;
pub use value::{FleetOutcome, FleetPause, MOST_NODE_JOBS, Mark, MarkState, NodeJobs, NodeRecord, RunKey};
