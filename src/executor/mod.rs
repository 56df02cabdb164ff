//! Starts a job as its owner: executor, PAM monitor, identity, PAM, output, mail.
//!
//! Main communicates with the executor process through [`Executor`]. [`find_predecessors`] finds executors of earlier mains, and the
//! journals of dead ones.

mod client;
mod config;
mod environment;
mod exec_spec;
mod job;
mod job_cgroup;
mod job_log;
mod job_processes;
mod journal;
mod label;
mod link;
mod output;
mod owner;
mod pam_monitor;
mod predecessors;
mod process;
mod relay;
mod run_directory;
mod takeover;
mod template;
mod wire;

pub use client::{Executor, LaunchError, caller_name};
pub use config::{Config, JournalLocation, MAILER_LIMIT, Mailer, STARTS_IN_FLIGHT, falls_back_to_log};
pub use job_cgroup::{process_of_lost_run, signal_lost_run};
pub use journal::KEPT_STARTS;
pub use predecessors::{
    AfterClose, DeadExecutor, EarlierStart, Fate, Predecessors, Retried, SilentExecutor, find as find_predecessors,
    of_journals as predecessors_of_journals,
};
pub use run_directory::RunDirectoryError;
pub use takeover::{Closed, OldExecutor};
pub use wire::{ExecutorEvent, RunOfJob};
