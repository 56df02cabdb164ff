//! Main's end of the executor: spawns it, sends it requests, and receives its events.

use super::config::{Config, JournalPlace};
use super::link::Link;
use super::process::run;
use super::wire::{ExecutorEvent, ExecutorRequest};
use crate::scheduler::RunRequest;
use crate::sys::{descriptor, handover, process};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

/// Why the executor cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A system call failed.
    #[error("{doing}: {source}")]
    Os {
        /// `forking the executor`.
        doing: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// What it sent is no message.
    #[error("hearing the executor: {0}")]
    Garbled(String),
    /// The executor ended.
    #[error("the executor has ended")]
    Gone,
}

fn os(doing: &'static str) -> impl FnOnce(std::io::Error) -> LaunchError {
    move |source| LaunchError::Os { doing, source }
}

/// As whom `crond FILE` runs its jobs.
pub fn caller_name() -> String {
    super::process::caller().map(|user| user.user.name).unwrap_or_default()
}

/// The executor process as main sees it.
#[derive(Debug)]
pub struct Executor {
    link: Link,
    pid: u32,
    /// Its journal, where that has no name.
    journal: Option<File>,
}

impl Executor {
    /// Forks the executor. To be called single-threaded, before any table is read and before the lock is taken; signals are blocked already.
    pub fn spawn(config: Config) -> Result<Executor, LaunchError> {
        let (ours, theirs) = descriptor::stream_pair().map_err(os("making the executor's socket"))?;
        let journal = match &config.journal {
            JournalPlace::Memory => Some(handover::memory_file().map_err(os("making the journal of runs"))?),
            JournalPlace::Nowhere | JournalPlace::Directory(_) => None,
        };
        let of_executor =
            journal.as_ref().map(File::try_clone).transpose().map_err(os("making the journal of runs"))?;
        let pid = process::fork(|| run(config, theirs, of_executor)).map_err(os("forking the executor"))?;
        Ok(Executor { link: Link::new(ours), pid, journal })
    }

    /// The journal of its runs, where that has no name.
    pub fn journal(&self) -> Option<&File> {
        self.journal.as_ref()
    }

    /// Readable when the executor has something to tell; writable matters while [`Executor::wants_to_write`].
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }

    /// Queues a start; sent by [`Executor::flush`]. Its end is told, and with `tell_pid` its process, too, which takes the receiver one more
    /// wake-up.
    pub fn start(&mut self, start: &RunRequest, tell_pid: bool) {
        self.queue(&ExecutorRequest::Start { start, tell_pid });
    }

    /// Queues that no more starts are made: what waits to be started is given up.
    pub fn stop_starting(&mut self) {
        self.queue(&ExecutorRequest::StopStarting);
    }

    /// Queues that the executor writes to the log what is going on.
    pub fn log_state(&mut self) {
        self.queue(&ExecutorRequest::LogState);
    }

    /// Queues the end of every job: TERM, or with `hard` KILL, to each job's process group. What waits to be started is given up.
    pub fn end_all(&mut self, hard: bool) {
        self.queue(&ExecutorRequest::EndAll { hard });
    }

    /// Queues that the executor connects to the log anew.
    pub fn reopen_log(&mut self) {
        self.queue(&ExecutorRequest::ReopenLog);
    }

    /// Whether something is queued.
    pub fn wants_to_write(&self) -> bool {
        self.link.wants_to_write()
    }

    /// Sends what can be sent without blocking.
    pub fn flush(&mut self) -> Result<(), LaunchError> {
        self.link.flush().map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset => LaunchError::Gone,
            _ => os("telling the executor")(error),
        })
    }

    /// Takes what has been told, without blocking. What the executor told before its end is given first.
    pub fn receive(&mut self) -> Result<Vec<ExecutorEvent>, LaunchError> {
        let open = self.link.fill().map_err(os("hearing the executor"))?;
        let mut notices = Vec::new();
        while let Some(notice) = self.link.take().map_err(|error| LaunchError::Garbled(error.to_string()))? {
            notices.push(notice);
        }
        if open || !notices.is_empty() { Ok(notices) } else { Err(LaunchError::Gone) }
    }

    /// Tells the executor that there is nothing more to come. With its last job, mail and line of output it closes its end, see
    /// [`Executor::is_done`].
    pub fn close(&self) -> Result<(), LaunchError> {
        descriptor::shut_down_writing(self.link.as_fd()).map_err(os("closing the executor's socket"))
    }

    /// Whether the executor has closed its end. It may stay to read what background processes write.
    pub fn is_done(&mut self) -> bool {
        while self.link.take::<ExecutorEvent>().is_ok_and(|notice| notice.is_some()) {}
        !self.link.fill().unwrap_or(false)
    }

    /// The executor's process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    fn queue(&mut self, order: &ExecutorRequest<&RunRequest>) {
        // Only a message beyond the wire's bound can fail here, and no table may hold a command a thousandth as long.
        if let Err(error) = self.link.push(order) {
            debug_assert!(false, "{error}");
        }
    }
}
