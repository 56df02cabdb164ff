//! Main's connection to an executor of an earlier main.
//!
//! An executor whose main is gone goes on with its jobs. The next main connects to its socket, learns which runs go on, and is told their
//! results; it hands the executor no starts. The two may be of different versions, see [`super::wire`].

use super::link::Link;
use super::run_directory::{ExecutorFiles, own_uid};
use super::wire::{ExecutorEvent, ExecutorRequest, PROTOCOL, RunOfJob};
use crate::scheduler::{RunId, RunOutcome, RunResult};
use crate::sys::clock;
use crate::sys::local_socket;
use crate::sys::process::Pid;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// An executor of an earlier main, connected.
#[derive(Debug)]
pub struct OldExecutor {
    link: Link,
    pub(super) files: ExecutorFiles,
    /// The runs that go on.
    running: BTreeMap<RunId, RunOfJob>,
    /// Runs that its journal has, until it has told whether they go on.
    expected: BTreeMap<RunId, RunOfJob>,
    has_listed: bool,
}

/// An old executor has closed the connection.
#[derive(Debug, thiserror::Error)]
#[error("the executor has closed the connection")]
pub struct Closed;

impl OldExecutor {
    /// Connects to it, if it is a process of our own user.
    pub(super) fn connect(files: ExecutorFiles) -> io::Result<OldExecutor> {
        let (socket, uid) = local_socket::connect(&files.socket())?;
        if uid != own_uid() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut executor = OldExecutor {
            link: Link::new(socket),
            files,
            running: BTreeMap::new(),
            expected: BTreeMap::new(),
            has_listed: false,
        };
        executor.ask(&ExecutorRequest::Hello { protocol: PROTOCOL });
        Ok(executor)
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        self.files.pid
    }

    /// Becomes readable when it has something to tell.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }

    /// Whether it has told all runs that go on.
    pub(super) fn has_listed(&self) -> bool {
        self.has_listed
    }

    /// Runs that go on, if it does not tell otherwise.
    pub(super) fn expect(&mut self, runs: impl Iterator<Item = RunOfJob>) {
        let untold = runs.filter(|run| !self.running.contains_key(&run.run));
        self.expected.extend(untold.map(|run| (run.run, run)));
    }

    /// The runs that go on, as far as it has told or is expected to tell.
    pub fn running(&self) -> impl Iterator<Item = &RunOfJob> {
        self.running.values().chain(self.expected.values())
    }

    /// Takes what it has told, and gives the runs that have ended.
    pub fn receive(&mut self) -> Result<Vec<RunResult>, Closed> {
        let is_open = self.link.fill().unwrap_or(false);
        let mut ended = Vec::new();
        while let Some(event) = self.link.take_known().map_err(|_| Closed)? {
            match event {
                ExecutorEvent::Running { run, pid: _ } => {
                    self.expected.remove(&run.run);
                    self.running.insert(run.run, run);
                }
                ExecutorEvent::Listed => {
                    self.has_listed = true;
                    // It knows nothing of the others: nobody will tell their results.
                    let lost = std::mem::take(&mut self.expected).into_keys();
                    ended.extend(lost.map(|run| RunResult::of_outcome(run, RunOutcome::Lost, clock::wall_ms())));
                }
                ExecutorEvent::Ended(result) => {
                    self.expected.remove(&result.run);
                    self.running.remove(&result.run);
                    ended.push(*result);
                }
                // Nothing depends on the version yet, and nobody keeps the results of mails. The others are for its own main.
                ExecutorEvent::Hello { .. }
                | ExecutorEvent::Mailed { .. }
                | ExecutorEvent::Started { .. }
                | ExecutorEvent::Begun { .. } => {}
            }
        }
        if is_open || !ended.is_empty() { Ok(ended) } else { Err(Closed) }
    }

    /// Asks it to end every job.
    pub fn end_all(&mut self, hard: bool) {
        self.ask(&ExecutorRequest::EndAll { hard });
    }

    /// Asks it to connect to the log anew.
    pub fn reopen_log(&mut self) {
        self.ask(&ExecutorRequest::ReopenLog);
    }

    /// Asks it to write to the log what is going on.
    pub fn log_state(&mut self) {
        self.ask(&ExecutorRequest::LogState);
    }

    fn ask(&mut self, request: &ExecutorRequest<()>) {
        // A few bytes now and then always fit; one that is gone is noticed when it is heard.
        let _ = self.link.push(request).map(|_| self.link.flush());
    }
}
