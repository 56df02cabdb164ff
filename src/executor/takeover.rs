//! What an executor and a main that is not its own say to each other: the messages, and main's end of the connection.
//!
//! An executor whose main is gone goes on with its jobs. The next main connects to its socket, learns which runs go on, and is told their
//! ends; it hands the executor no starts. The two may be of different versions, so these messages never change: each is a frame of the
//! [`Link`] in postcard's form, both sides begin with a hello that has the version of the sender, variants are added at the end only, and
//! what is not understood is skipped.

use super::predecessors::RunOfJob;
use super::run_directory::{ExecutorFiles, own_uid};
use super::wire::Link;
use crate::scheduler::{JobId, RunId, RunOutcome, SkipReason};
use crate::sys::local_socket;
use crate::sys::process::Pid;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// The version that a hello has. It changes when variants are added.
pub(super) const PROTOCOL: u32 = 1;

/// What an executor tells a later main.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum TakeoverNotice {
    /// Comes first.
    Hello { protocol: u32 },
    /// This run goes on. Pid 0: it has no process yet.
    Running { run: u64, job: String, scheduled_at: i64, pid: u32 },
    /// All that go on have been told.
    Listed,
    /// This run has ended; perhaps before there was a main to be told.
    Ended { run: u64, end: TakeoverEnd, duration_ms: u64 },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum TakeoverEnd {
    Code(i32),
    Signal { number: i32, core_dumped: bool },
    NotStarted { why: String },
    Skipped,
    Lost,
}

/// What a later main asks of an executor.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum TakeoverOrder {
    /// Comes first.
    Hello { protocol: u32 },
    /// End every job: TERM, or with `hard` KILL, to its process group.
    EndAll { hard: bool },
    /// Connect to the log anew.
    ReopenLog,
    /// Write to the log what is going on.
    LogState,
}

impl From<&RunOutcome> for TakeoverEnd {
    fn from(end: &RunOutcome) -> TakeoverEnd {
        match end {
            RunOutcome::Code(code) => TakeoverEnd::Code(*code),
            RunOutcome::Signal { number, core_dumped } => {
                TakeoverEnd::Signal { number: *number, core_dumped: *core_dumped }
            }
            RunOutcome::NotStarted { why } => TakeoverEnd::NotStarted { why: why.clone() },
            RunOutcome::Skipped(_) => TakeoverEnd::Skipped,
            RunOutcome::Lost => TakeoverEnd::Lost,
        }
    }
}

impl From<TakeoverEnd> for RunOutcome {
    fn from(end: TakeoverEnd) -> RunOutcome {
        match end {
            TakeoverEnd::Code(code) => RunOutcome::Code(code),
            TakeoverEnd::Signal { number, core_dumped } => RunOutcome::Signal { number, core_dumped },
            TakeoverEnd::NotStarted { why } => RunOutcome::NotStarted { why },
            // An executor skips a start only when it was stopped.
            TakeoverEnd::Skipped => RunOutcome::Skipped(SkipReason::Stopped),
            TakeoverEnd::Lost => RunOutcome::Lost,
        }
    }
}

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
        executor.ask(&TakeoverOrder::Hello { protocol: PROTOCOL });
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
    pub fn receive(&mut self) -> Result<Vec<(RunId, RunOutcome)>, Closed> {
        let is_open = self.link.fill().unwrap_or(false);
        let mut ended = Vec::new();
        while let Some(notice) = self.link.take_known().map_err(|_| Closed)? {
            match notice {
                TakeoverNotice::Hello { .. } => {}
                TakeoverNotice::Running { run, job, scheduled_at, pid: _ } => {
                    let (run, job) = (RunId(run), JobId::of_text(job));
                    self.expected.remove(&run);
                    self.running.insert(run, RunOfJob { run, job, scheduled_at });
                }
                TakeoverNotice::Listed => {
                    self.has_listed = true;
                    // It knows nothing of the others: nobody will tell their ends.
                    ended.extend(std::mem::take(&mut self.expected).into_keys().map(|run| (run, RunOutcome::Lost)));
                }
                TakeoverNotice::Ended { run, end, .. } => {
                    self.expected.remove(&RunId(run));
                    self.running.remove(&RunId(run));
                    ended.push((RunId(run), end.into()));
                }
            }
        }
        if is_open || !ended.is_empty() { Ok(ended) } else { Err(Closed) }
    }

    /// Asks it to end every job.
    pub fn end_all(&mut self, hard: bool) {
        self.ask(&TakeoverOrder::EndAll { hard });
    }

    /// Asks it to connect to the log anew.
    pub fn reopen_log(&mut self) {
        self.ask(&TakeoverOrder::ReopenLog);
    }

    /// Asks it to write to the log what is going on.
    pub fn log_state(&mut self) {
        self.ask(&TakeoverOrder::LogState);
    }

    fn ask(&mut self, order: &TakeoverOrder) {
        // A few bytes now and then always fit; one that is gone is noticed when it is heard.
        let _ = self.link.push(order).map(|_| self.link.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_never_change() {
        // Executors and mains of other versions read these bytes.
        let job = "alice:job".to_owned();
        let notices = [
            TakeoverNotice::Hello { protocol: 1 },
            TakeoverNotice::Running { run: 300, job, scheduled_at: 60, pid: 7 },
            TakeoverNotice::Listed,
            TakeoverNotice::Ended { run: 1, end: TakeoverEnd::Code(3), duration_ms: 5 },
            TakeoverNotice::Ended { run: 1, end: TakeoverEnd::Signal { number: 9, core_dumped: true }, duration_ms: 5 },
            TakeoverNotice::Ended { run: 1, end: TakeoverEnd::NotStarted { why: "x".into() }, duration_ms: 5 },
            TakeoverNotice::Ended { run: 1, end: TakeoverEnd::Skipped, duration_ms: 5 },
            TakeoverNotice::Ended { run: 1, end: TakeoverEnd::Lost, duration_ms: 5 },
        ];
        let bytes = notices.map(|notice| postcard::to_stdvec(&notice).unwrap());
        let expected: [&[u8]; 8] = [
            &[0, 1],
            b"\x01\xac\x02\x09alice:job\x78\x07",
            &[2],
            &[3, 1, 0, 6, 5],
            &[3, 1, 1, 18, 1, 5],
            b"\x03\x01\x02\x01x\x05",
            &[3, 1, 3, 5],
            &[3, 1, 4, 5],
        ];
        assert_eq!(bytes.each_ref().map(Vec::as_slice), expected);
        let orders = [
            TakeoverOrder::Hello { protocol: 1 },
            TakeoverOrder::EndAll { hard: true },
            TakeoverOrder::ReopenLog,
            TakeoverOrder::LogState,
        ];
        let bytes = orders.map(|order| postcard::to_stdvec(&order).unwrap());
        assert_eq!(bytes.each_ref().map(Vec::as_slice), [&[0_u8, 1][..], &[1, 1], &[2], &[3]]);
    }
}
