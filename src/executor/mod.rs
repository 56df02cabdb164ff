//! Starts a job as its owner: runner, keeper, identity, PAM, output, mail.
//!
//! Main talks to the runner process through [`Executor`]; [`find_predecessors`] finds the runners of earlier mains, and what those that are
//! dead have left.

mod client;
mod environment;
mod identity;
mod job;
mod journal;
mod keeper;
mod label;
mod output;
mod owner;
mod predecessors;
mod recipe;
mod relay;
mod run_directory;
mod runner;
mod takeover;
mod tell;
mod template;
mod wire;

pub use client::{
    Config, Executor, ExecutorEvent, JournalPlace, LaunchError, MAILER_LIMIT, Mailer, STARTS_IN_FLIGHT, caller_name,
    falls_back_to_log,
};
pub use journal::KEPT_STARTS;
pub use predecessors::{
    AfterClose, DeadRunner, EarlierStart, Fate, Predecessors, Retried, RunOfJob, SilentRunner,
    find as find_predecessors, of_journals as predecessors_of_journals,
};
pub use run_directory::RunDirectoryError;
pub use takeover::{Closed, OldRunner};
