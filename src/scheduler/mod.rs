//! Decides: which tables are live, what is due, what may start, what an ended run means.
//!
//! A pure state machine: [`Scheduler::handle`] takes an event and the time and returns what is to be done.
#![forbid(unsafe_code)]

mod anacron;
mod anacron_events;
mod clock;
mod environment;
mod event;
mod find_jobs;
mod job_id;
mod live;
mod live_table;
mod loading;
mod rule;
mod simulate;
mod start_queue;
mod state;
mod tables;
mod timers;
mod waiting;
mod wheel;
mod zones;

pub use crate::crontab::SharedBytes;
pub use environment::Environment;
pub use event::{
    Action, EarlierRun, Event, MailResult, Now, OutputCounts, Owner, Preparation, RunId, RunOutcome, RunRequest,
    RunResult, SkipReason, Source, StampCause, Usage,
};
pub use job_id::JobId;
pub use live::Live;
pub use simulate::{Scenario, Simulation, Started, simulate};
pub use state::{Scheduler, Summary};
/// The wheel by itself, for measurements.
#[doc(hidden)]
pub use wheel::{Timer, Wheel};
