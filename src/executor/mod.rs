//! Starts a job as its owner: executor, PAM monitor, identity, PAM, output, mail.
//!
//! *Main* is the daemon's main process, which knows the crontabs and decides what is to be started; it forks the executor process, which
//! starts it. A *later main* is that of a restarted daemon: it takes over the executor that the earlier one has left with its jobs.
//!
//! Main communicates with the executor process through [`Executor`]. [`find_predecessors`] finds executors of earlier mains, and the
//! journals of dead ones.
//!
//! | file | runs in | content |
//! |---|---|---|
//! | `client`, `config` | main | the connection to the executor, and its settings |
//! | `predecessors`, `takeover` | main | executors of earlier mains |
//! | `lost_processes` | main | the processes of runs whose executor is dead |
//! | `link`, `wire` | both | messages between main and executor |
//! | `journal`, `run_directory` | both | the journals of runs, and the directory with them |
//! | `process` | executor | the event loop and everything that it does |
//! | `job`, `job_log`, `output`, `relay` | executor | a job, its log records, its kept output, its relayed output |
//! | `job_processes`, `job_cgroup` | executor | which processes belong to a job; the cgroup of a job |
//! | `owner` | executor | turns and memory limits by owner |
//! | `environment`, `selinux` | executor | a job's environment and SELinux context |
//! | `template`, `pam_monitor` | their own | the process that forks PAM monitors; the process that keeps a PAM session open |
//! | `exec_spec` | job | from the fork to the exec |

mod client;
mod config;
mod environment;
mod exec_spec;
mod job;
mod job_cgroup;
mod job_log;
mod job_processes;
mod journal;
mod link;
mod lost_processes;
mod output;
mod owner;
mod pam_monitor;
mod predecessors;
mod process;
mod relay;
mod run_directory;
mod selinux;
mod takeover;
mod template;
#[cfg(test)]
mod test_request;
mod wire;

pub use client::{Executor, ExecutorLinkError};
pub use config::{
    CALL_URL, ExecutorConfig, JournalLocation, MAILER_LIMIT, Mailer, STARTS_IN_FLIGHT, falls_back_to_log,
};
#[doc(hidden)]
pub use journal::{JournalContent, JournalError, JournaledRun, compact as compact_journal, read as read_journal};
pub use journal::{JournaledFollowUp, KEPT_STARTS};
#[doc(hidden)]
pub use link::{Link, WireError};
pub use lost_processes::{LostProcesses, Sessions};
pub use predecessors::{
    AfterClose, EarlierStart, ExitedExecutor, LostRunState, OpenRuns, Predecessors, Retried, UnresponsiveExecutor,
    find as find_predecessors, of_journals as predecessors_of_journals,
};
pub use run_directory::RunDirectoryError;
pub use takeover::{Closed, OldExecutor};
#[doc(hidden)]
pub use wire::ExecutorRequest;
pub use wire::{EndMethod, ExecutorEvent, OutputStream, RunOfJob, RunProcess};
