//! Main's end of the executor: spawns it, sends it requests, and receives its events.

use super::config::{ExecutorConfig, JournalLocation};
use super::link::{Link, WireError};
use super::lost_processes::LostProcesses;
use super::process::run;
use super::wire::{EndMethod, ExecutorEvent, ExecutorRequest};
use crate::scheduler::{EndReason, FollowUp, RunId, RunRequest};
use crate::sys::contract::SingleThreaded;
use crate::sys::error::{self, os};
use crate::sys::{descriptor, handover, process};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

/// Why main can no longer use the connection to its executor.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorLinkError {
    /// A system call of the connection failed.
    #[error(transparent)]
    Os(#[from] error::Error),
    /// The executor sent bytes that are not a message.
    #[error("receiving from the executor: {0}")]
    Garbled(#[source] WireError),
    /// The executor has closed its end of the connection.
    #[error("the executor has ended")]
    Gone,
}

/// The executor process as main sees it.
#[derive(Debug)]
pub struct Executor {
    link: Link,
    pid: u32,
    /// The journal of runs, if it is a file without a name.
    journal: Option<File>,
    /// Why a request other than a start or follow-up was not queued.
    queue_error: Option<WireError>,
}

impl Executor {
    /// Forks the executor. Must be called before any crontab is read and before the lock is taken. Signals are blocked
    /// already.
    pub fn spawn(threads: &SingleThreaded, config: ExecutorConfig) -> Result<Executor, ExecutorLinkError> {
        let (ours, theirs) = descriptor::stream_pair().map_err(os("making the executor's socket"))?;
        let journal = match &config.journal {
            JournalLocation::Memory => Some(handover::memory_file().map_err(os("making the journal of runs"))?),
            JournalLocation::Nowhere | JournalLocation::Directory(_) => None,
        };
        let of_executor =
            journal.as_ref().map(File::try_clone).transpose().map_err(os("making the journal of runs"))?;
        let pid = process::fork(threads, |child| run(child, config, theirs, of_executor))
            .map_err(os("forking the executor"))?;
        Ok(Executor { link: Link::new(ours), pid, journal, queue_error: None })
    }

    /// The journal of runs, if it is a file without a name.
    pub fn journal(&self) -> Option<&File> {
        self.journal.as_ref()
    }

    /// The descriptor of the connection. It is readable when the executor has sent events; whether it is writable matters while
    /// [`Executor::wants_to_write`].
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }

    /// Queues a start, which [`Executor::flush`] sends. The executor reports the end of the run, and with `wants_pid` also its process,
    /// which costs the receiver one more wake-up.
    ///
    /// # Errors
    ///
    /// The request is too long, or there is no memory for it. The executor does not get it, and can still be used.
    pub fn start(&mut self, start: &RunRequest, wants_pid: bool) -> Result<(), WireError> {
        self.link.push(&ExecutorRequest::Start { start, wants_pid }).map(drop)
    }

    /// Queues a request to run a hook or to call a web service.
    ///
    /// # Errors
    ///
    /// As for [`Executor::start`].
    pub fn follow_up(&mut self, follow_up: &FollowUp<Box<RunRequest>>) -> Result<(), WireError> {
        let FollowUp { start, output_of, task } = follow_up;
        let request = ExecutorRequest::FollowUp(FollowUp { start, output_of: *output_of, task: task.clone() });
        self.link.push(&request).map(drop)
    }

    /// Queues the message that no attempt follows a run: its output is mailed or dropped.
    pub fn conclude(&mut self, run: RunId, is_mailed: bool) {
        self.queue(&ExecutorRequest::Conclude { run, is_mailed });
    }

    /// Queues a request to make no more starts. Starts that are waiting are given up.
    pub fn stop_starting(&mut self) {
        self.queue(&ExecutorRequest::StopStarting);
    }

    /// Queues a request to log the executor's state.
    pub fn log_state(&mut self) {
        self.queue(&ExecutorRequest::LogState);
    }

    /// Queues a request to end a run with all its processes: SIGTERM, and SIGKILL after its grace period.
    pub fn end(&mut self, run: RunId, why: EndReason) {
        self.queue(&ExecutorRequest::End { run, why });
    }

    /// Queues a request to end the processes of a run that another executor has left: SIGTERM, and SIGKILL after the grace period.
    pub fn end_lost(&mut self, run: RunId, processes: LostProcesses, grace_s: u32) {
        self.queue(&ExecutorRequest::EndLost { run, processes, grace_s });
    }

    /// Queues a request to send the output of a run as [`ExecutorEvent::OutputPart`] until it ends. `follower` is a number that the parts
    /// get.
    pub fn follow(&mut self, run: RunId, follower: u64) {
        self.queue(&ExecutorRequest::FollowOutput { run, follower });
    }

    /// Queues a request to send no more parts to a follower. Those that have been sent before still arrive, and the last part.
    pub fn stop_following(&mut self, follower: u64) {
        self.queue(&ExecutorRequest::StopFollowing { follower });
    }

    /// Queues a request to send a signal to all processes of a run. A run that has no process yet, or has ended, gets none, and real-time
    /// signals are not sent.
    pub fn signal(&mut self, run: RunId, signal: i32) {
        self.queue(&ExecutorRequest::Signal { run, signal });
    }

    /// Queues a request for the processes of running jobs that [`ExecutorEvent::Accepted`] has not reported yet.
    pub fn report_processes(&mut self) {
        self.queue(&ExecutorRequest::ReportProcesses);
    }

    /// Queues the message that runs of fleet jobs may continue until then, in milliseconds of CLOCK_BOOTTIME.
    pub fn extend(&mut self, runs: Vec<RunId>, end_by_ms: i64) {
        self.queue(&ExecutorRequest::ExtendRuns { runs, end_by_ms });
    }

    /// Queues a request to end every job with all its processes. Starts that are waiting are given up.
    pub fn end_all(&mut self, method: EndMethod) {
        self.queue(&ExecutorRequest::EndAll(method));
    }

    /// Queues a request to connect to the log again.
    pub fn reopen_log(&mut self) {
        self.queue(&ExecutorRequest::ReopenLog);
    }

    /// Whether requests are queued that have not been sent.
    pub fn wants_to_write(&self) -> bool {
        self.link.wants_to_write()
    }

    /// Sends queued requests as far as that does not block.
    pub fn flush(&mut self) -> Result<(), ExecutorLinkError> {
        self.link.flush().map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset => ExecutorLinkError::Gone,
            _ => os("sending to the executor")(error).into(),
        })
    }

    /// Receives events without blocking. Events that the executor sent before it ended are returned before [`ExecutorLinkError::Gone`].
    pub fn receive(&mut self) -> Result<Vec<ExecutorEvent>, ExecutorLinkError> {
        let open = self.link.fill().map_err(os("receiving from the executor"))?;
        let mut events = Vec::new();
        while let Some(event) = self.link.take().map_err(ExecutorLinkError::Garbled)? {
            events.push(event);
        }
        if open || !events.is_empty() { Ok(events) } else { Err(ExecutorLinkError::Gone) }
    }

    /// Closes the sending direction, after which the executor gets no more requests. It closes its end after its last job, mail and line of
    /// output, see [`Executor::is_done`].
    pub fn close(&self) -> Result<(), ExecutorLinkError> {
        Ok(descriptor::shut_down_writing(self.link.as_fd()).map_err(os("closing the executor's socket"))?)
    }

    /// Whether the executor has closed its end. It may still be running to read the output of background processes.
    pub fn is_done(&mut self) -> bool {
        while self.link.take::<ExecutorEvent>().is_ok_and(|event| event.is_some()) {}
        !self.link.fill().unwrap_or(false)
    }

    /// The process id of the running executor.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Why a request was not queued since the last call.
    pub fn take_queue_error(&mut self) -> Option<WireError> {
        self.queue_error.take()
    }

    fn queue(&mut self, request: &ExecutorRequest<&RunRequest>) {
        if let Err(error) = self.link.push(request) {
            self.queue_error.get_or_insert(error);
        }
    }
}
