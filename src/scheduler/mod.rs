//! Decides: which tables are live, what is due, what may start, what an ended run means.
//!
//! A pure state machine: [`Scheduler::handle`] takes an event and the time and returns what is to be done.
#![forbid(unsafe_code)]

mod anacron;
mod anacron_events;
mod clock;
mod digest;
mod environment;
mod event;
mod find_jobs;
mod job_id;
mod live;
mod live_table;
mod loading;
mod record;
mod rule;
mod shared_bytes;
mod simulate;
mod start_queue;
mod state;
mod tables;
mod timers;
mod waiting;
mod wheel;
mod zones;

pub use digest::DigestKey;
pub use environment::Environment;
pub use event::{
    Action, EarlierRun, Event, Now, Owner, Preparation, RunId, RunOutcome, RunRequest, SkipReason, Source, StampCause,
};
pub use job_id::JobId;
pub use live::Live;
pub use shared_bytes::SharedBytes;
pub use simulate::{Scenario, Simulation, Started, simulate};
pub use state::{Scheduler, Summary};
/// The wheel by itself, for measurements.
#[doc(hidden)]
pub use wheel::{Timer, Wheel};
