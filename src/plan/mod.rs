//! Decides: which tables are live, what is due, what may start, what an ended run means.
//!
//! A pure state machine: [`Plan::handle`] takes an event and the time and returns what is to be done.
#![forbid(unsafe_code)]

mod event;
mod rule;
mod simulate;
mod state;
mod tables;
mod timers;
mod wheel;
mod zones;

pub use event::{Action, End, Event, Now, Owner, RunId, Skip, Source, Start};
pub use simulate::{Scenario, Simulation, Started, simulate};
pub use state::{Live, Plan, Summary};
