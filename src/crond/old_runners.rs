//! Runners of earlier mains: those that live are connected and tell the ends of their runs; of those that are dead the journal says which
//! runs went on, and these are watched as processes.

use super::daemon::{Daemon, now};
use crate::launch::{AfterClose, DeadRunner, EarlierStart, Fate, OldRunner, Predecessors, RunDirectoryError, RunOfJob};
use crate::plan::{End, RunId, Start};
use crate::report::{Ident, Level, Record};
use crate::sys::clock;
use crate::sys::pidfd;
use crate::sys::poll::Poll;
use crate::sys::process::{self, Ask};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;

/// How soon something that nobody tells of is looked at again.
const LOOK_AGAIN_MS: i64 = 200;
/// The same for processes where the kernel has no way to wait for them.
const LOOK_AT_PROCESSES_MS: i64 = 5000;
/// How often it is looked whether journals are needed any more.
const CLEAN_MS: i64 = 60_000;
/// Numbers in the poll from here on are ours.
const FIRST_NUMBER: u64 = 1 << 32;

const UNKNOWN_END: &str = ": the process that starts jobs died before it; how it ended is not known";
const UNKNOWN_START: &str = ": the process that starts jobs died while it started it; it may have run";

/// All of them.
#[derive(Debug)]
pub(super) struct OldRunners {
    boot_id: String,
    /// By their numbers in the poll.
    runners: BTreeMap<u64, OldRunner>,
    /// Those that have closed their connection and have not ended yet.
    closing: Vec<OldRunner>,
    dead: BTreeMap<u64, DeadRunner>,
    /// Runs of dead ones that go on.
    watched: BTreeMap<u64, WatchedRun>,
    next_number: u64,
    look_at_ms: Option<i64>,
}

/// A run whose process has nobody else who waits for it.
#[derive(Debug)]
struct WatchedRun {
    runner: u64,
    run: RunOfJob,
    /// None: the kernel has none.
    process: Option<OwnedFd>,
}

/// A run that ended unseen.
#[derive(Debug)]
struct LostRun {
    run: RunOfJob,
    /// What is said of it.
    rest: &'static str,
}

impl OldRunners {
    /// None, in this boot.
    pub(super) fn new(boot_id: &str) -> OldRunners {
        OldRunners {
            boot_id: boot_id.to_owned(),
            runners: BTreeMap::new(),
            closing: Vec::new(),
            dead: BTreeMap::new(),
            watched: BTreeMap::new(),
            next_number: FIRST_NUMBER,
            look_at_ms: None,
        }
    }

    /// How many live.
    pub(super) fn len(&self) -> usize {
        self.runners.len() + self.closing.len()
    }

    /// When something is to be looked at.
    pub(super) fn look_at_ms(&self) -> Option<i64> {
        self.look_at_ms
    }

    /// Calls that for each that lives.
    pub(super) fn for_each(&mut self, act: impl FnMut(&mut OldRunner)) {
        self.runners.values_mut().for_each(act);
    }

    /// Ends all their jobs: TERM, or with `hard` KILL, to their process groups.
    pub(super) fn end_all(&mut self, hard: bool) {
        self.runners.values_mut().for_each(|runner| runner.end_all(hard));
        let ask = if hard { Ask::Kill } else { Ask::Terminate };
        let process = |watched: &WatchedRun| self.dead.get(&watched.runner)?.process_of(watched.run.run);
        for pid in self.watched.values().filter_map(process) {
            // It was there a moment ago; a group that is gone is what is wanted.
            let _ = process::signal_group(pid, ask);
        }
    }

    /// Journals without names, which only a program that is executed in our place can read again.
    pub(super) fn nameless_journals(&self) -> impl Iterator<Item = &File> {
        self.dead.values().filter_map(DeadRunner::nameless_journal)
    }

    fn new_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn look_within(&mut self, ms: i64) {
        let at = clock::monotonic_ms() + ms;
        self.look_at_ms = Some(self.look_at_ms.map_or(at, |known| known.min(at)));
    }

    /// Watches a run of a dead runner.
    fn watch(&mut self, poll: &Poll, runner: u64, run: RunOfJob, pid: u32) {
        let number = self.new_number();
        let process = pidfd::open(pid).ok().filter(|process| poll.add(process, number).is_ok());
        if process.is_none() {
            self.look_within(LOOK_AT_PROCESSES_MS);
        }
        self.watched.insert(number, WatchedRun { runner, run, process });
    }
}

/// What a plan that begins is told of earlier daemons.
#[derive(Debug, Default)]
pub(super) struct EarlierRuns {
    /// Starts that must not be repeated.
    pub(super) started: Vec<EarlierStart>,
    /// Runs that go on.
    pub(super) running: Vec<RunOfJob>,
}

impl Daemon {
    /// Takes over what earlier daemons have left. The tables are loaded, and the plan has not begun.
    pub(super) fn take_over(&mut self, found: Predecessors) -> EarlierRuns {
        for trouble in &found.troubles {
            self.warn(&trouble.to_string());
        }
        for pid in &found.silent {
            self.warn(&format!(
                "the runner {pid} of an earlier daemon does not answer; its jobs are those in its journal"
            ));
        }
        for runner in found.runners {
            let number = self.old.new_number();
            match self.poll.add(runner.descriptor(), number) {
                Ok(()) => drop(self.old.runners.insert(number, runner)),
                Err(why) => self.warn(&format!("waiting for the runner of an earlier daemon: {why}")),
            }
        }
        let mut running = found.running;
        for dead in found.dead {
            running.extend(self.take_dead(dead));
        }
        EarlierRuns { started: found.started, running }
    }

    /// Records what became of the runs of a dead runner; gives those that go on.
    fn take_dead(&mut self, mut dead: DeadRunner) -> Vec<RunOfJob> {
        let number = self.old.new_number();
        let (mut running, mut lost, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        for (run, fate) in dead.open_runs() {
            match fate {
                Fate::Ended(end) => ended.push((run.run, end)),
                Fate::GoesOn(pid) => {
                    self.old.watch(&self.poll, number, run.clone(), pid);
                    running.push(run);
                }
                Fate::Gone => lost.push(LostRun { run, rest: UNKNOWN_END }),
                Fate::NeverSeen => lost.push(LostRun { run, rest: UNKNOWN_START }),
            }
        }
        let settled: Vec<RunId> =
            lost.iter().map(|lost| lost.run.run).chain(ended.iter().map(|(run, _)| *run)).collect();
        let written = dead.settle(&settled);
        self.warn_of(written);
        self.old.dead.insert(number, dead);
        self.tell_lost(lost);
        ended.into_iter().for_each(|(run, end)| self.ended(run, end));
        self.clean_up();
        running
    }

    fn warn_of(&mut self, done: Result<(), RunDirectoryError>) {
        if let Err(trouble) = done {
            self.warn(&trouble.to_string());
        }
    }

    /// Something has come from one of them, or a watched process has ended.
    pub(super) fn hear_old_runners(&mut self, number: u64) {
        if let Some(runner) = self.old.runners.get_mut(&number) {
            match runner.receive() {
                Ok(ended) => ended.into_iter().for_each(|(run, end)| self.ended(run, end)),
                Err(_) => {
                    if let Some(runner) = self.old.runners.remove(&number) {
                        let _ = self.poll.remove(runner.descriptor());
                        self.look_after(runner);
                    }
                }
            }
        } else {
            self.end_watched(number);
        }
    }

    /// Looks what a runner has left that has closed its connection.
    fn look_after(&mut self, runner: OldRunner) {
        match runner.after_close(&self.old.boot_id) {
            Ok(AfterClose::StillThere) => {
                self.old.closing.push(runner);
                self.old.look_within(LOOK_AGAIN_MS);
            }
            Ok(AfterClose::Dead(dead)) => {
                // Their plan knows those that go on already.
                self.take_dead(dead);
            }
            Ok(AfterClose::Nothing) => self.forget_runs_of(&runner),
            Err(trouble) => {
                self.warn(&trouble.to_string());
                self.forget_runs_of(&runner);
            }
        }
    }

    /// Nobody knows what becomes of the runs of a runner that has left no journal.
    fn forget_runs_of(&mut self, runner: &OldRunner) {
        let lost = runner.running().map(|run| LostRun { run: run.clone(), rest: UNKNOWN_END });
        let lost = lost.collect();
        self.tell_lost(lost);
    }

    /// A watched process has ended.
    fn end_watched(&mut self, number: u64) {
        let Some(WatchedRun { runner, run, .. }) = self.old.watched.remove(&number) else { return };
        if let Some(dead) = self.old.dead.get_mut(&runner) {
            let written = dead.settle(&[run.run]);
            self.warn_of(written);
        }
        self.tell_lost(vec![LostRun { run, rest: UNKNOWN_END }]);
        self.clean_up();
    }

    /// Does what nobody asks for.
    pub(super) fn attend_old_runners(&mut self, now_ms: i64) {
        if self.old.look_at_ms.is_none_or(|at| at > now_ms) {
            return;
        }
        self.old.look_at_ms = None;
        for runner in std::mem::take(&mut self.old.closing) {
            self.look_after(runner);
        }
        let (watched, dead) = (&self.old.watched, &self.old.dead);
        let goes_on = |watched: &WatchedRun| {
            dead.get(&watched.runner).is_some_and(|dead| dead.process_of(watched.run.run).is_some())
        };
        let unwatched: Vec<(u64, bool)> = watched
            .iter()
            .filter(|(_, watched)| watched.process.is_none())
            .map(|(number, watched)| (*number, goes_on(watched)))
            .collect();
        for (number, goes_on) in unwatched {
            if goes_on { self.old.look_within(LOOK_AT_PROCESSES_MS) } else { self.end_watched(number) }
        }
        self.clean_up();
    }

    /// Removes journals that nobody needs any more.
    fn clean_up(&mut self) {
        let now = now().utc.0;
        let is_watched = |number: u64| self.old.watched.values().any(|watched| watched.runner == number);
        let is_done =
            |(number, dead): (&u64, &DeadRunner)| (dead.is_done(now) && !is_watched(*number)).then_some(*number);
        let done: Vec<u64> = self.old.dead.iter().filter_map(is_done).collect();
        for dead in done.into_iter().filter_map(|number| self.old.dead.remove(&number)).collect::<Vec<_>>() {
            let removed = dead.remove();
            self.warn_of(removed);
        }
        if self.old.dead.values().any(|dead| dead.kept_until().is_some()) {
            self.old.look_within(CLEAN_MS);
        }
    }

    /// Records runs whose end nobody saw.
    fn tell_lost(&mut self, lost: Vec<LostRun>) {
        if lost.is_empty() {
            return;
        }
        let known = self.plan.find_jobs(lost.iter().map(|lost| &lost.run.job));
        for LostRun { run: RunOfJob { run, job, scheduled_at }, rest } in lost {
            match known.get(&job) {
                Some(start) => {
                    let start = Start { run, scheduled_at, ..start.clone() };
                    self.tell_about(&start, Level::Warning, "LOST", rest);
                }
                None => self.log.write(&Record {
                    ident: Ident::Daemon,
                    level: Level::Warning,
                    pid: None,
                    user: job.user(),
                    event: "LOST",
                    detail: job.as_str().as_bytes(),
                    rest,
                    run: Some(run),
                    fields: &[],
                }),
            }
            self.ended(run, End::Lost);
        }
    }
}
