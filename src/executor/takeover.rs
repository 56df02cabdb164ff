//! Main's connection to an executor of an earlier main.
//!
//! An executor whose main is gone continues with its jobs. The next main connects to its socket, gets the list of runs that are still
//! running, and later their results. It requests no starts from it. The two may have different versions, see [`super::wire`].

use super::link::Link;
use super::run_directory::ExecutorFiles;
use super::wire::{EndMethod, ExecutorEvent, ExecutorRequest, PROTOCOL, RunOfJob};
use crate::scheduler::{EndReason, RunCause, RunId, RunOutcome, RunResult};
use crate::sys::clock;
use crate::sys::local_socket;
use crate::sys::process::{self, Pid};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// A connected executor of an earlier main.
#[derive(Debug)]
pub struct OldExecutor {
    link: Link,
    pub(super) files: ExecutorFiles,
    /// The runs that the executor has listed as running.
    running: BTreeMap<RunId, RunOfJob>,
    /// Runs without a result in its journal, until the executor has listed its runs.
    expected: BTreeMap<RunId, RunOfJob>,
    has_listed: bool,
    /// Results that came with the list: of runs that ended while no main was connected.
    earlier_results: Vec<RunResult>,
    /// The version that its `Hello` has.
    protocol: Option<u32>,
    /// Received events about output and processes.
    other_events: Vec<ExecutorEvent>,
}

/// An old executor has closed the connection.
#[derive(Debug, thiserror::Error)]
#[error("the executor has closed the connection")]
pub struct Closed;

impl OldExecutor {
    /// Connects to the executor if it is a process of the same user.
    pub(super) fn connect(files: ExecutorFiles) -> io::Result<OldExecutor> {
        let (socket, uid) = local_socket::connect(&files.socket())?;
        if uid != process::own_uid() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut executor = OldExecutor {
            link: Link::new(socket),
            files,
            running: BTreeMap::new(),
            expected: BTreeMap::new(),
            has_listed: false,
            earlier_results: Vec::new(),
            protocol: None,
            other_events: Vec::new(),
        };
        executor.ask(&ExecutorRequest::Hello { protocol: PROTOCOL });
        Ok(executor)
    }

    /// The process id of the executor.
    pub fn pid(&self) -> Pid {
        self.files.pid
    }

    /// A descriptor that becomes readable when the executor has sent events.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }

    /// Whether the executor has listed all its running runs.
    pub(super) fn has_listed(&self) -> bool {
        self.has_listed
    }

    /// Receives a part of the list of runs, and keeps the results that come with it.
    pub(super) fn receive_list(&mut self) -> Result<(), Closed> {
        let ended = self.receive()?;
        self.earlier_results.extend(ended);
        Ok(())
    }

    /// Takes the results of runs that had ended before the executor was connected.
    pub fn take_earlier_results(&mut self) -> Vec<RunResult> {
        std::mem::take(&mut self.earlier_results)
    }

    /// Adds runs that are taken as running until the executor has listed its runs.
    pub(super) fn add_expected_runs(&mut self, runs: impl Iterator<Item = RunOfJob>) {
        let unlisted = runs.filter(|run| !self.running.contains_key(&run.run));
        self.expected.extend(unlisted.map(|run| (run.run, run)));
    }

    /// Notes what has led to the runs in progress.
    pub(super) fn note_causes(&mut self, cause_of: impl Fn(RunId) -> Option<RunCause>) {
        for (run, known) in &mut self.running {
            known.cause = cause_of(*run);
        }
    }

    /// The runs in progress: listed by the executor, or expected.
    pub fn running(&self) -> impl Iterator<Item = &RunOfJob> {
        self.running.values().chain(self.expected.values())
    }

    /// Receives events and returns the results of runs that have ended.
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
                    // The executor does not know the others, so their results are lost.
                    let lost = std::mem::take(&mut self.expected).into_keys();
                    ended.extend(lost.map(|run| RunResult::of_outcome(run, RunOutcome::Lost, clock::wall_ms())));
                }
                ExecutorEvent::Ended(result) => {
                    self.expected.remove(&result.run);
                    self.running.remove(&result.run);
                    ended.push(*result);
                }
                ExecutorEvent::Hello { protocol } => self.protocol = Some(protocol),
                ExecutorEvent::Mailed { .. }
                | ExecutorEvent::FollowedUp { .. }
                | ExecutorEvent::Accepted { .. }
                | ExecutorEvent::KeptOutput { .. }
                | ExecutorEvent::OutputPart { .. } => self.other_events.push(event),
                // For the executor's own main.
                ExecutorEvent::Started { .. } => {}
            }
        }
        if is_open || !ended.is_empty() { Ok(ended) } else { Err(Closed) }
    }

    /// Takes the received events about mail, hooks, output and processes: [`ExecutorEvent::Mailed`], and from an executor of the same version
    /// [`ExecutorEvent::KeptOutput`], [`ExecutorEvent::OutputPart`], [`ExecutorEvent::FollowedUp`] and [`ExecutorEvent::Accepted`] with the
    /// processes of running jobs.
    pub fn take_other_events(&mut self) -> Vec<ExecutorEvent> {
        std::mem::take(&mut self.other_events)
    }

    /// Requests the output of one of its runs, see [`super::Executor::follow`]. False if it has another version.
    pub fn follow(&mut self, run: RunId, follower: u64) -> bool {
        self.ask_same_version(&ExecutorRequest::FollowOutput { run, follower })
    }

    /// Requests that no more parts are sent to a follower.
    pub fn stop_following(&mut self, follower: u64) {
        self.ask_same_version(&ExecutorRequest::StopFollowing { follower });
    }

    /// Requests that a signal is sent to all processes of one of its runs. False if it has another version.
    pub fn signal(&mut self, run: RunId, signal: i32) -> bool {
        self.ask_same_version(&ExecutorRequest::Signal { run, signal })
    }

    /// Requests the end of one of its runs. False if it has another version, which does not know such a request.
    pub fn end(&mut self, run: RunId, why: EndReason) -> bool {
        self.ask_same_version(&ExecutorRequest::End { run, why })
    }

    /// Decides about the mail of a run that has ended, see [`super::Executor::conclude`].
    pub fn conclude(&mut self, run: RunId, is_mailed: bool) {
        self.ask_same_version(&ExecutorRequest::Conclude { run, is_mailed });
    }

    /// Lets runs of fleet jobs keep running until then, see [`super::Executor::extend`].
    pub fn extend(&mut self, runs: Vec<RunId>, end_by_ms: i64) {
        self.ask_same_version(&ExecutorRequest::ExtendRuns { runs, end_by_ms });
    }

    /// Requests the end of every job.
    pub fn end_all(&mut self, method: EndMethod) {
        self.ask(&ExecutorRequest::EndAll(method));
    }

    /// Requests that the executor connects to the log again.
    pub fn reopen_log(&mut self) {
        self.ask(&ExecutorRequest::ReopenLog);
    }

    /// Requests that the executor logs its state.
    pub fn log_state(&mut self) {
        self.ask(&ExecutorRequest::LogState);
    }

    /// Sends a request that another version does not know. False if it has another version.
    fn ask_same_version(&mut self, request: &ExecutorRequest<()>) -> bool {
        let is_same_version = self.protocol == Some(PROTOCOL);
        if is_same_version {
            self.ask(request);
        }
        is_same_version
    }

    fn ask(&mut self, request: &ExecutorRequest<()>) {
        // A few bytes always fit into the socket. A closed connection is noticed when events are received.
        let _ = self.link.push(request).map(|_| self.link.flush());
    }
}
