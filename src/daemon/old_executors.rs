//! Executors of earlier mains: those that live are connected and tell the ends of their runs; of those that are dead the journal says which
//! runs went on, and these are watched as processes.

use crate::executor::{DeadExecutor, OldExecutor, RunOfJob, SilentExecutor};
use crate::scheduler::RunId;
use crate::sys::clock;
use crate::sys::pidfd;
use crate::sys::poll::Poll;
use crate::sys::process::{self, Ask, Pid};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;

/// The same for processes where the kernel has no way to wait for them.
pub(super) const LOOK_AT_PROCESSES_MS: i64 = 5000;
/// Numbers in the poll from here on are ours.
const FIRST_NUMBER: u64 = 1 << 32;

/// All of them.
#[derive(Debug)]
pub(super) struct OldExecutors {
    pub(super) boot_id: String,
    /// By their numbers in the poll.
    pub(super) executors: BTreeMap<u64, OldExecutor>,
    /// Those that have closed their connection and have not ended yet.
    pub(super) closing: Vec<OldExecutor>,
    pub(super) dead: BTreeMap<u64, DeadExecutor>,
    /// Those that live and cannot be reached.
    pub(super) silent: BTreeMap<u64, SilentExecutor>,
    /// Runs of dead ones that go on.
    pub(super) watched: BTreeMap<u64, WatchedRun>,
    /// Watched ones whose processes have ended in this turn of the loop.
    pub(super) ended: Vec<u64>,
    next_number: u64,
    pub(super) look_at_ms: Option<i64>,
}

/// What came of the request to end a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestedEnd {
    /// It was passed on.
    Sent,
    /// The executor of the run does not know the request.
    OtherVersion,
    /// No executor of an earlier main has this run.
    NotTheirs,
}

/// A run whose process has nobody else who waits for it.
#[derive(Debug)]
pub(super) struct WatchedRun {
    pub(super) executor: u64,
    pub(super) run: RunOfJob,
    /// None: the kernel has none.
    pub(super) process: Option<OwnedFd>,
}

impl OldExecutors {
    /// None, in this boot.
    pub(super) fn new(boot_id: &str) -> OldExecutors {
        OldExecutors {
            boot_id: boot_id.to_owned(),
            executors: BTreeMap::new(),
            closing: Vec::new(),
            dead: BTreeMap::new(),
            silent: BTreeMap::new(),
            watched: BTreeMap::new(),
            ended: Vec::new(),
            next_number: FIRST_NUMBER,
            look_at_ms: None,
        }
    }

    /// How many live.
    pub(super) fn len(&self) -> usize {
        self.executors.len() + self.closing.len() + self.silent.len()
    }

    /// When something is to be looked at.
    pub(super) fn look_at_ms(&self) -> Option<i64> {
        self.look_at_ms
    }

    /// Calls that for each that lives.
    pub(super) fn for_each(&mut self, act: impl FnMut(&mut OldExecutor)) {
        self.executors.values_mut().for_each(act);
    }

    /// Has one of their runs ended. If the executor is dead, its process group gets TERM.
    pub(super) fn end_run(&mut self, run: RunId) -> RequestedEnd {
        let has_run = |executor: &&mut OldExecutor| executor.running().any(|running| running.run == run);
        if let Some(executor) = self.executors.values_mut().find(has_run) {
            return if executor.end(run) { RequestedEnd::Sent } else { RequestedEnd::OtherVersion };
        }
        let Some(watched) = self.watched.values().find(|watched| watched.run.run == run) else {
            return RequestedEnd::NotTheirs;
        };
        // Read right before the signal, so that the number is not another process's by then.
        if let Some(pid) = self.process_of(watched) {
            // A group that is gone is what is wanted.
            let _ = process::signal_group(pid, Ask::Terminate);
        }
        RequestedEnd::Sent
    }

    /// Ends all their jobs: TERM, or with `hard` KILL, to their process groups.
    pub(super) fn end_all(&mut self, hard: bool) {
        self.executors.values_mut().for_each(|executor| executor.end_all(hard));
        let ask = if hard { Ask::Kill } else { Ask::Terminate };
        for watched in self.watched.values() {
            // Asked for each right before its signal, so that the number is not another process's by then.
            if let Some(pid) = self.process_of(watched) {
                // A group that is gone is what is wanted.
                let _ = process::signal_group(pid, ask);
            }
        }
    }

    /// The process of a watched run, if it is still there.
    pub(super) fn process_of(&self, watched: &WatchedRun) -> Option<Pid> {
        let (executor, run) = (watched.executor, watched.run.run);
        let of_dead = self.dead.get(&executor).and_then(|dead| dead.process_of(run));
        of_dead.or_else(|| self.silent.get(&executor)?.process_of(run))
    }

    /// Journals without names, which only a program that is executed in our place can read again.
    pub(super) fn nameless_journals(&self) -> impl Iterator<Item = &File> {
        self.dead.values().filter_map(DeadExecutor::nameless_journal)
    }

    pub(super) fn new_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    pub(super) fn look_within(&mut self, ms: i64) {
        let at = clock::monotonic_ms() + ms;
        self.look_at_ms = Some(self.look_at_ms.map_or(at, |known| known.min(at)));
    }

    /// Watches a run whose process nobody else waits for; whether it is still there.
    pub(super) fn watch(
        &mut self,
        poll: &Poll,
        executor: u64,
        run: &RunOfJob,
        pid: Pid,
        process_of: impl Fn(RunId) -> Option<Pid>,
    ) -> bool {
        let number = self.new_number();
        let process = pidfd::open(pid).ok();
        // It may have ended before its descriptor was opened, which is another process's then.
        if process_of(run.run) != Some(pid) {
            return false;
        }
        let process = process.filter(|process| poll.add(process, number).is_ok());
        if process.is_none() {
            self.look_within(LOOK_AT_PROCESSES_MS);
        }
        self.watched.insert(number, WatchedRun { executor, run: run.clone(), process });
        true
    }
}
