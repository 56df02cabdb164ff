//! Starts a job as its owner: runner, keeper, identity, PAM, output, mail.
//!
//! Main talks to the runner process through [`Runner`]; [`take_leftovers`] gives what an earlier runner had to tell when its main was gone.

mod client;
mod environment;
mod identity;
mod job;
mod keeper;
mod label;
mod modules;
mod outcome;
mod output;
mod owner;
mod recipe;
mod relay;
mod runner;
mod simple;
mod tell;
mod wire;

pub use client::{
    Config, LaunchError, MAILER_LIMIT, Mailer, Notice, Runner, STARTS_IN_FLIGHT, SimpleCommands, caller_name,
    falls_back_to_log,
};
pub use outcome::{LeftRun, Leftovers, OutcomeError, take_leftovers};
