//! Executors of earlier daemons. Those that live are connected and report the ends of their runs. For those that are dead, their journal says which
//! runs go on, and the processes of these are watched.

use super::reactor::{Interest, Reactor, Token};
use crate::executor::{DeadExecutor, OldExecutor, RunOfJob, SilentExecutor, signal_lost_run};
use crate::scheduler::RunId;
use crate::sys::clock;
use crate::sys::pidfd;
use crate::sys::process::{self, Ask, Pid};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;

/// The time between two checks of processes whose end the kernel cannot report.
pub(super) const CHECK_PROCESSES_MS: i64 = 5000;

/// The executors of earlier daemons and the runs that these have left.
#[derive(Debug)]
pub(super) struct OldExecutors {
    pub(super) boot_id: String,
    /// Connected executors by their event sources.
    pub(super) connected: BTreeMap<Token, OldExecutor>,
    /// Executors that have closed their connection and have not ended yet.
    pub(super) closing: Vec<OldExecutor>,
    pub(super) dead: BTreeMap<u64, DeadExecutor>,
    /// Executors by id that live and cannot be reached.
    pub(super) silent: BTreeMap<u64, SilentExecutor>,
    /// Runs of dead and silent executors that go on, by the event sources of their processes.
    pub(super) watched: BTreeMap<Token, WatchedRun>,
    /// Watched runs whose processes have ended in this turn of the loop.
    pub(super) ended: Vec<Token>,
    next_id: u64,
    /// When executors and processes are checked that report nothing (milliseconds of the monotonic clock).
    pub(super) check_at_ms: Option<i64>,
}

/// What came of the request to end a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestedEnd {
    /// The request was passed to the executor of the run.
    Sent,
    /// The executor of the run does not know the request.
    OtherVersion,
    /// No executor of an earlier main has this run.
    NotTheirs,
}

/// A run whose process is watched, as no executor waits for it.
#[derive(Debug)]
pub(super) struct WatchedRun {
    /// The id of its executor.
    pub(super) executor: u64,
    pub(super) run: RunOfJob,
    /// The descriptor of one of its processes; none: the kernel has no such descriptors, and the process is checked from time to time.
    pub(super) process: Option<OwnedFd>,
}

impl OldExecutors {
    /// No executors. Journals of another boot than `boot_id` do not count.
    pub(super) fn new(boot_id: &str) -> OldExecutors {
        OldExecutors {
            boot_id: boot_id.to_owned(),
            connected: BTreeMap::new(),
            closing: Vec::new(),
            dead: BTreeMap::new(),
            silent: BTreeMap::new(),
            watched: BTreeMap::new(),
            ended: Vec::new(),
            next_id: 0,
            check_at_ms: None,
        }
    }

    /// The number of executors that live.
    pub(super) fn len(&self) -> usize {
        self.connected.len() + self.closing.len() + self.silent.len()
    }

    /// When executors and processes are checked that report nothing (milliseconds of the monotonic clock).
    pub(super) fn check_at_ms(&self) -> Option<i64> {
        self.check_at_ms
    }

    /// Calls a function for each connected executor.
    pub(super) fn for_each(&mut self, act: impl FnMut(&mut OldExecutor)) {
        self.connected.values_mut().for_each(act);
    }

    /// Has one of their runs ended. If the executor is dead, its process group gets TERM.
    pub(super) fn end_run(&mut self, run: RunId) -> RequestedEnd {
        let has_run = |executor: &&mut OldExecutor| executor.running().any(|running| running.run == run);
        if let Some(executor) = self.connected.values_mut().find(has_run) {
            return if executor.end(run) { RequestedEnd::Sent } else { RequestedEnd::OtherVersion };
        }
        let Some(watched) = self.watched.values().find(|watched| watched.run.run == run) else {
            return RequestedEnd::NotTheirs;
        };
        // Read right before the signal, so that the number is not another process's by then.
        if let Some(pid) = self.process_of(watched) {
            // A group that is gone is what is wanted.
            let _ = process::signal_group(pid, Ask::Terminate);
            signal_lost_run(run, Ask::Terminate);
        }
        RequestedEnd::Sent
    }

    /// Sends TERM, or KILL if `hard`, to the process groups of all their jobs.
    pub(super) fn end_all(&mut self, hard: bool) {
        self.connected.values_mut().for_each(|executor| executor.end_all(hard));
        let ask = if hard { Ask::Kill } else { Ask::Terminate };
        for watched in self.watched.values() {
            // The process is looked up right before its signal, so that its id does not belong to another one by then.
            if let Some(pid) = self.process_of(watched) {
                // The group may have ended meanwhile.
                let _ = process::signal_group(pid, ask);
                signal_lost_run(watched.run.run, ask);
            }
        }
    }

    /// A process of a watched run, if one is still there.
    pub(super) fn process_of(&self, watched: &WatchedRun) -> Option<Pid> {
        let (executor, run) = (watched.executor, watched.run.run);
        let of_dead = self.dead.get(&executor).and_then(|dead| dead.process_of(run));
        of_dead.or_else(|| self.silent.get(&executor)?.process_of(run))
    }

    /// Journals without names, which only a program that is executed in place of this one can read again.
    pub(super) fn nameless_journals(&self) -> impl Iterator<Item = &File> {
        self.dead.values().filter_map(DeadExecutor::nameless_journal)
    }

    /// An id for a dead or silent executor.
    pub(super) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Schedules a check in so many milliseconds, or earlier.
    pub(super) fn check_within(&mut self, ms: i64) {
        let at = clock::monotonic_ms() + ms;
        self.check_at_ms = Some(self.check_at_ms.map_or(at, |earlier| earlier.min(at)));
    }

    /// Watches a process of a run; `handler` is called when it has ended. Returns whether the run has any.
    pub(super) fn watch<H: Copy>(
        &mut self,
        (reactor, handler): (&mut Reactor<H>, H),
        executor: u64,
        run: &RunOfJob,
        mut pid: Pid,
        process_of: impl Fn(RunId) -> Option<Pid>,
    ) -> bool {
        let token = reactor.new_token();
        let process = loop {
            let process = pidfd::open(pid).ok();
            // If it ended before its descriptor was opened, the descriptor may be another process's.
            match process_of(run.run) {
                Some(now) if now == pid => break process,
                Some(other) => pid = other,
                None => return false,
            }
        };
        let process = process.filter(|process| reactor.add_as(token, process, Interest::Readable, handler).is_ok());
        if process.is_none() {
            self.check_within(CHECK_PROCESSES_MS);
        }
        self.watched.insert(token, WatchedRun { executor, run: run.clone(), process });
        true
    }

    /// Takes the watched runs out whose processes have ended.
    pub(super) fn take_ended<H: Copy>(&mut self, reactor: &mut Reactor<H>) -> Vec<WatchedRun> {
        let ended = std::mem::take(&mut self.ended);
        let take = |token| {
            reactor.forget(token);
            self.watched.remove(&token)
        };
        ended.into_iter().filter_map(take).collect()
    }

    /// Stops watching the runs of an executor.
    pub(super) fn stop_watching<H: Copy>(&mut self, executor: u64, reactor: &mut Reactor<H>) {
        self.watched.retain(|token, watched| {
            let is_kept = watched.executor != executor;
            if let Some(process) = watched.process.as_ref().filter(|_| !is_kept) {
                reactor.remove(process, *token);
            }
            is_kept
        });
    }
}
