//! The state of a daemon. What it does is in `event_loop`, and in a file of its own for each larger matter.

use super::anacron::AnacronFiles;
use super::database::CrontabDatabase;
use super::execution::Execution;
use super::job_state::JobStateStore;
use super::old_executors::OldExecutors;
use super::record::CompletedFile;
use super::settings::Settings;
use super::wake_ups::WakeUps;
use crate::executor::{Executor, LaunchError};
use crate::report::Log;
use crate::schedule::Timestamp;
use crate::scheduler::{Action, Now, Scheduler};
use crate::sys::clock;
use crate::sys::lock::DaemonLock;
use crate::sys::notify_socket::NotifySocket;
use crate::sys::poll::Poll;
use crate::sys::process;
use crate::sys::signal::Signals;
use crate::sys::timer::Timer;
use std::collections::VecDeque;
use std::io;

/// The numbers of the event sources in the [`Poll`].
pub(super) mod number {
    pub const TIMER: u64 = 1;
    pub const SIGNALS: u64 = 2;
    pub const RUNNER: u64 = 3;
    pub const TABLES: u64 = 4;
    pub const NAMES: u64 = 5;
    pub const USERS: u64 = 6;
    pub const LOG: u64 = 7;
    pub const MOUNTS: u64 = 8;
    pub const WAKE_UPS: u64 = 9;
    pub const JOB_STATE: u64 = 10;
}

/// Why a running daemon had to end.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// Without its executor it can start nothing.
    #[error(transparent)]
    Runner(#[from] LaunchError),
    /// The kernel refused something that never fails on a healthy system.
    #[error("{doing}: {source}")]
    Os {
        /// What was being done.
        doing: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Turns a system's error into a fatal one.
pub(super) fn os(doing: &'static str) -> impl FnOnce(io::Error) -> Fatal {
    move |source| Fatal::Os { doing, source }
}

/// State of the event loop.
#[derive(Debug)]
pub struct Daemon {
    pub(super) settings: Settings,
    pub(super) log: Log,
    pub(super) plan: Scheduler,
    pub(super) executor: Executor,
    /// Executors of earlier daemons.
    pub(super) old: OldExecutors,
    pub(super) execution: Execution,
    pub(super) library: CrontabDatabase,
    pub(super) manager: NotifySocket,
    pub(super) lock: Option<DaemonLock>,
    pub(super) completed: Option<CompletedFile>,
    /// What the next daemon must know about jobs; none where it is not kept.
    pub(super) job_state: Option<JobStateStore>,
    /// Whether it was said that a standalone daemon keeps none.
    pub(super) lack_of_state_told: bool,
    /// The files of anacron's jobs, if this daemon runs them.
    pub(super) anacron: Option<AnacronFiles>,
    /// Messages of `crontab`.
    pub(super) wake_ups: WakeUps,
    pub(super) poll: Poll,
    pub(super) signals: Signals,
    pub(super) timer: Timer,
    /// What the plan wants done and is not done yet.
    pub(super) todo: VecDeque<Action>,
    /// Everything due up to here will have been handed out when nothing is to be done or to be sent any more.
    pub(super) handing_out: Option<Timestamp>,
    pub(super) stopping: Option<Stopping>,
    pub(super) armed: Option<Timestamp>,
    pub(super) writing: bool,
    pub(super) watched: bool,
    pub(super) log_retry_at: Option<i64>,
    pub(super) watchdog_at: Option<i64>,
}

/// How far a daemon that was asked to stop has come.
#[derive(Debug)]
pub enum Stopping {
    /// Nothing is waited for.
    AtOnce,
    /// Running jobs may end by themselves until then.
    Waiting(i64),
    /// They were asked to end and may until then.
    Asked(i64),
    /// They were killed.
    Killed,
}

impl Stopping {
    /// When something is to be done about it.
    pub fn next(&self) -> Option<i64> {
        match self {
            Stopping::Waiting(at) | Stopping::Asked(at) => Some(*at),
            Stopping::AtOnce | Stopping::Killed => None,
        }
    }
}

/// The moment at which an event is handled.
pub(super) fn now() -> Now {
    Now { utc: Timestamp(clock::wall().seconds), elapsed_ms: clock::monotonic_ms() }
}

/// Reaps every child that has ended; gives their process ids.
pub(super) fn reap() -> Vec<u32> {
    std::iter::from_fn(process::reap).map(|(pid, _)| pid).collect()
}
