//! Starts a job as its owner: runner, keeper, identity, PAM, output, mail.
//!
//! Main talks to the runner process through [`Runner`]; [`take_leftovers`] gives what an earlier runner had to tell when its main was gone.

mod client;
mod environment;
mod identity;
mod job;
mod outcome;
mod output;
mod recipe;
mod runner;
mod tell;
mod wire;

pub use client::{Config, LaunchError, Mailer, Notice, Runner};
pub use outcome::{LeftRun, Leftovers, OutcomeError, take_leftovers};
