//! Executors of earlier daemons. Those that live are connected and report the ends of their runs. For those that are dead, their journal says which
//! runs keep running, and the processes of these are watched.

use super::reactor::{Interest, Reactor, Token};
use crate::executor::{
    EndMethod, ExitedExecutor, LostProcesses, OldExecutor, RunOfJob, Sessions, UnresponsiveExecutor,
};
use crate::scheduler::{EndReason, RunId};
use crate::sys::clock;
use crate::sys::pidfd;
use crate::sys::process::Pid;
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
    pub(super) dead: BTreeMap<u64, ExitedExecutor>,
    /// Executors by id that live and cannot be reached.
    pub(super) silent: BTreeMap<u64, UnresponsiveExecutor>,
    /// Runs of dead and silent executors that are in progress, by the event sources of their processes.
    pub(super) watched: BTreeMap<Token, WatchedRun>,
    /// Watched runs whose processes have ended in this turn of the loop.
    pub(super) ended: Vec<Token>,
    next_id: u64,
    /// When executors and processes are checked that report nothing (milliseconds of the monotonic clock).
    pub(super) check_at_ms: Option<i64>,
}

/// What came of the request to end a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RequestedEnd {
    /// The request was passed to the executor of the run, or the run has ended.
    Sent,
    /// The executor of the run is dead or cannot be reached: the executor of this main has to end the run.
    Lost(LostRunProcesses),
    /// The executor of the run does not know the request.
    OtherVersion,
    /// No executor of an earlier main has this run.
    NotTheirs(EndReason),
}

/// The processes of a run that no executor waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LostRunProcesses {
    pub(super) run: RunOfJob,
    pub(super) processes: LostProcesses,
}

/// A run whose process is watched, as no executor waits for it.
#[derive(Debug)]
pub(super) struct WatchedRun {
    /// The id of the executor that started the run.
    pub(super) executor: u64,
    pub(super) run: RunOfJob,
    /// The descriptor of one of its processes; none: the kernel has no such descriptors, and the process is checked from time to time.
    pub(super) process: Option<OwnedFd>,
    /// When its time is over (milliseconds of the monotonic clock). None: it has no limit, or its end was requested.
    pub(super) times_out_at_ms: Option<i64>,
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

    /// Has one of their runs ended.
    pub(super) fn end_run(&mut self, run: RunId, why: EndReason) -> RequestedEnd {
        let has_run = |executor: &&mut OldExecutor| executor.running().any(|running| running.run == run);
        if let Some(executor) = self.connected.values_mut().find(has_run) {
            return if executor.end(run, why) { RequestedEnd::Sent } else { RequestedEnd::OtherVersion };
        }
        let Some(watched) = self.watched.values().find(|watched| watched.run.run == run) else {
            return RequestedEnd::NotTheirs(why);
        };
        self.processes_of(watched).map_or(RequestedEnd::Sent, RequestedEnd::Lost)
    }

    /// The connected executor that has this run.
    pub(super) fn executor_of(&mut self, run: RunId) -> Option<&mut OldExecutor> {
        self.connected.values_mut().find(|executor| executor.running().any(|running| running.run == run))
    }

    /// Requests that no more output is sent to a follower.
    pub(super) fn stop_following(&mut self, follower: u64) {
        self.connected.values_mut().for_each(|executor| executor.stop_following(follower));
    }

    /// Ends all jobs of the connected ones. Returns the runs that the executor of this main has to end.
    pub(super) fn end_all(&mut self, method: EndMethod) -> Vec<LostRunProcesses> {
        self.connected.values_mut().for_each(|executor| executor.end_all(method));
        self.watched.values().filter_map(|watched| self.processes_of(watched)).collect()
    }

    fn processes_of(&self, watched: &WatchedRun) -> Option<LostRunProcesses> {
        let (executor, run) = (watched.executor, watched.run.run);
        let of_dead = self.dead.get(&executor).and_then(|dead| dead.open_runs().processes_of(run));
        let processes = of_dead.or_else(|| self.silent.get(&executor)?.open_runs().processes_of(run))?;
        Some(LostRunProcesses { run: watched.run.clone(), processes })
    }

    /// A process of a watched run, if one is still there.
    pub(super) fn process_of(&self, watched: &WatchedRun, sessions: &Sessions) -> Option<Pid> {
        let (executor, run) = (watched.executor, watched.run.run);
        let of_dead = self.dead.get(&executor).and_then(|dead| dead.open_runs().process_of(run, sessions));
        of_dead.or_else(|| self.silent.get(&executor)?.open_runs().process_of(run, sessions))
    }

    /// Journals without names, which only a program that is executed in place of this one can read again.
    pub(super) fn nameless_journals(&self) -> impl Iterator<Item = &File> {
        self.dead.values().filter_map(ExitedExecutor::nameless_journal)
    }

    /// An id for a dead or silent executor.
    pub(super) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Schedules a check in at most `ms` milliseconds.
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
    ) -> bool {
        let token = reactor.new_token();
        let mut watched = WatchedRun { executor, run: run.clone(), process: None, times_out_at_ms: None };
        let process = loop {
            let process = pidfd::open(pid).ok();
            // If it ended before its descriptor was opened, the descriptor may be another process's.
            match self.process_of(&watched, &Sessions::default()) {
                Some(now) if now == pid => break process,
                Some(other) => pid = other,
                None => return false,
            }
        };
        watched.process = process.filter(|process| reactor.add_as(token, process, Interest::Readable, handler).is_ok());
        if watched.process.is_none() {
            self.check_within(CHECK_PROCESSES_MS);
        }
        self.watched.insert(token, watched);
        true
    }

    /// Limits the time of a watched run.
    pub(super) fn set_timeout(&mut self, run: RunId, at_ms: i64) {
        for watched in self.watched.values_mut().filter(|watched| watched.run.run == run) {
            watched.times_out_at_ms = Some(at_ms);
        }
        self.check_within((at_ms - clock::monotonic_ms()).max(0));
    }

    /// The processes that are left of the watched runs whose time is over, once for each run; the others are checked when theirs is.
    pub(super) fn take_timed_out(&mut self, now_ms: i64) -> Vec<LostRunProcesses> {
        let mut timed_out = Vec::new();
        for (token, watched) in &mut self.watched {
            if watched.times_out_at_ms.take_if(|at| *at <= now_ms).is_some() {
                timed_out.push(*token);
            }
        }
        let timed_out = timed_out.iter().filter_map(|token| self.processes_of(self.watched.get(token)?)).collect();
        if let Some(next) = self.watched.values().filter_map(|watched| watched.times_out_at_ms).min() {
            self.check_within(next - now_ms);
        }
        timed_out
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
