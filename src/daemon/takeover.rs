//! How a daemon takes over the runs of earlier daemons: at its start, and while the executors and processes that it has found come to their end.

use super::old_executors::{LOOK_AT_PROCESSES_MS, WatchedRun};
use super::state::{Daemon, now};
use crate::executor::{
    AfterClose, DeadExecutor, EarlierStart, Fate, OldExecutor, Predecessors, Retried, RunDirectoryError, RunOfJob,
    SilentExecutor,
};
use crate::report::{Ident, Level, LogRecord};
use crate::scheduler::{JobId, RunId, RunOutcome, RunRequest, RunResult};
use crate::sys::clock;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How soon something that nobody tells of is looked at again.
const LOOK_AGAIN_MS: i64 = 200;
/// How often it is looked whether journals are needed any more.
const CLEAN_MS: i64 = 60_000;
/// How soon an executor that cannot be reached is tried again.
const RETRY_SILENT_MS: i64 = 5000;

const UNKNOWN_END: &str = ": the process that starts jobs died before it; how it ended is not known";
const UNKNOWN_END_OF_SILENT: &str = ": the process that starts jobs cannot be reached; how it ended is not known";
const UNKNOWN_START_OF_SILENT: &str = ": the process that starts jobs cannot be reached; it may have run";
const UNKNOWN_START: &str = ": the process that starts jobs died while it started it; it may have run";

/// A run that ended unseen.
#[derive(Debug)]
struct LostRun {
    run: RunOfJob,
    /// What is said of it.
    rest: &'static str,
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
        for trouble in &found.errors {
            self.warn(&trouble.to_string());
        }
        for pid in found.slow.iter().copied().chain(found.silent.iter().map(SilentExecutor::pid)) {
            self.warn(&format!(
                "the executor {pid} of an earlier daemon does not answer; its jobs are those in its journal"
            ));
        }
        let mut running = found.running;
        for executor in found.executors {
            let told: Vec<RunId> = executor.running().map(|run| run.run).collect();
            if let Some(silent) = self.hear_from(executor) {
                running.retain(|run| !told.contains(&run.run));
                running.extend(self.take_silent(silent));
            }
        }
        for silent in found.silent {
            running.extend(self.take_silent(silent));
        }
        for dead in found.dead {
            running.extend(self.take_dead(dead));
        }
        EarlierRuns { started: found.started, running }
    }

    /// Waits for what a connected executor tells. One that cannot be waited for is given back as one that cannot be reached.
    fn hear_from(&mut self, executor: OldExecutor) -> Option<SilentExecutor> {
        let number = self.old.new_number();
        match self.poll.add(executor.descriptor(), number) {
            Ok(()) => {
                self.old.executors.insert(number, executor);
                None
            }
            Err(why) => {
                self.warn(&format!("waiting for the executor of an earlier daemon: {why}"));
                Some(executor.disconnect(&self.old.boot_id))
            }
        }
    }

    /// Watches the runs of an executor that cannot be reached; gives those that go on.
    fn take_silent(&mut self, mut silent: SilentExecutor) -> Vec<RunOfJob> {
        let number = self.old.new_number();
        let (mut running, mut lost, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        for (run, fate) in silent.open_runs() {
            match fate {
                Fate::Ended { result, .. } => ended.push(result),
                Fate::GoesOn(pid) => {
                    if self.old.watch(&self.poll, number, &run, pid, |run| silent.process_of(run)) {
                        running.push(run);
                    } else {
                        lost.push(LostRun { run, rest: UNKNOWN_END_OF_SILENT });
                    }
                }
                Fate::Gone => lost.push(LostRun { run, rest: UNKNOWN_END_OF_SILENT }),
                Fate::NeverSeen => lost.push(LostRun { run, rest: UNKNOWN_START_OF_SILENT }),
            }
        }
        let settled: Vec<RunId> = lost.iter().map(|lost| lost.run.run).collect();
        silent.settle(&settled);
        self.old.silent.insert(number, silent);
        self.old.look_within(RETRY_SILENT_MS);
        self.tell_lost(lost);
        ended.into_iter().for_each(|result| self.ended(result));
        running
    }

    /// Tries again to reach those that could not be reached.
    fn retry_silent(&mut self) {
        for (number, silent) in std::mem::take(&mut self.old.silent) {
            match silent.retry(&self.old.boot_id) {
                Retried::Silent(silent) => {
                    self.old.silent.insert(number, silent);
                    self.old.look_within(RETRY_SILENT_MS);
                }
                Retried::Connected(executor) => {
                    self.stop_watching(number);
                    // The plan knows those that go on already, here and below.
                    if let Some(silent) = self.hear_from(executor) {
                        self.take_silent(silent);
                    }
                }
                Retried::Dead(dead) => {
                    self.stop_watching(number);
                    self.take_dead(dead);
                }
                // Its processes are still watched.
                Retried::Gone => {}
            }
        }
    }

    /// Somebody else tells the ends of this executor's runs now.
    fn stop_watching(&mut self, executor: u64) {
        let (poll, watched) = (&self.poll, &mut self.old.watched);
        watched.retain(|_, watched| {
            let is_kept = watched.executor != executor;
            if let Some(process) = watched.process.as_ref().filter(|_| !is_kept) {
                let _ = poll.remove(process);
            }
            is_kept
        });
    }

    /// Records what became of the runs of a dead executor; gives those that go on.
    fn take_dead(&mut self, mut dead: DeadExecutor) -> Vec<RunOfJob> {
        let number = self.old.new_number();
        let (mut running, mut lost, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        for (run, fate) in dead.open_runs() {
            match fate {
                Fate::Ended { result, is_reported } => ended.push((run, result, is_reported)),
                Fate::GoesOn(pid) => {
                    if self.old.watch(&self.poll, number, &run, pid, |run| dead.process_of(run)) {
                        running.push(run);
                    } else {
                        lost.push(LostRun { run, rest: UNKNOWN_END });
                    }
                }
                Fate::Gone => lost.push(LostRun { run, rest: UNKNOWN_END }),
                Fate::NeverSeen => lost.push(LostRun { run, rest: UNKNOWN_START }),
            }
        }
        let settled: Vec<RunId> =
            lost.iter().map(|lost| lost.run.run).chain(ended.iter().map(|(run, ..)| run.run)).collect();
        let written = dead.settle(&settled);
        self.warn_of(written);
        self.old.dead.insert(number, dead);
        self.tell_lost(lost);
        self.tell_unreported(
            ended.iter().filter(|(.., is_reported)| !is_reported).map(|(run, result, _)| (run, &result.outcome)),
        );
        ended.into_iter().for_each(|(_, result, _)| self.ended(result));
        self.clean_up();
        running
    }

    fn warn_of(&mut self, done: Result<(), RunDirectoryError>) {
        if let Err(trouble) = done {
            self.warn(&trouble.to_string());
        }
    }

    /// Something has come from one of them, or a watched process has ended.
    pub(super) fn hear_old_executors(&mut self, number: u64) {
        if let Some(executor) = self.old.executors.get_mut(&number) {
            match executor.receive() {
                Ok(ended) => ended.into_iter().for_each(|result| self.ended(result)),
                Err(_) => {
                    if let Some(executor) = self.old.executors.remove(&number) {
                        let _ = self.poll.remove(executor.descriptor());
                        self.look_after(executor);
                    }
                }
            }
        } else {
            self.old.ended.push(number);
        }
    }

    /// Looks what an executor has left that has closed its connection.
    fn look_after(&mut self, executor: OldExecutor) {
        match executor.after_close(&self.old.boot_id) {
            Ok(AfterClose::StillThere) => {
                self.old.closing.push(executor);
                self.old.look_within(LOOK_AGAIN_MS);
            }
            Ok(AfterClose::Dead(dead)) => {
                // Their plan knows those that go on already.
                self.take_dead(dead);
            }
            Ok(AfterClose::Nothing) => self.forget_runs_of(&executor),
            Err(trouble) => {
                self.warn(&trouble.to_string());
                self.forget_runs_of(&executor);
            }
        }
    }

    /// Nobody knows what becomes of the runs of an executor that has left no journal.
    fn forget_runs_of(&mut self, executor: &OldExecutor) {
        let lost = executor.running().map(|run| LostRun { run: run.clone(), rest: UNKNOWN_END });
        let lost = lost.collect();
        self.tell_lost(lost);
    }

    /// Records the watched runs of which the processes have ended since the last turn of the loop: all at once, as one search of the tables
    /// takes as long as they are.
    fn end_watched(&mut self) {
        let mut lost = Vec::new();
        let mut settled: BTreeMap<u64, Vec<RunId>> = BTreeMap::new();
        for number in std::mem::take(&mut self.old.ended) {
            let Some(WatchedRun { executor, run, .. }) = self.old.watched.remove(&number) else { continue };
            settled.entry(executor).or_default().push(run.run);
            let rest = if self.old.silent.contains_key(&executor) { UNKNOWN_END_OF_SILENT } else { UNKNOWN_END };
            lost.push(LostRun { run, rest });
        }
        if lost.is_empty() {
            return;
        }
        for (executor, runs) in settled {
            if let Some(dead) = self.old.dead.get_mut(&executor) {
                let written = dead.settle(&runs);
                self.warn_of(written);
            } else if let Some(silent) = self.old.silent.get_mut(&executor) {
                silent.settle(&runs);
            }
        }
        self.tell_lost(lost);
        self.clean_up();
    }

    /// Does what nobody asks for.
    pub(super) fn attend_old_executors(&mut self, now_ms: i64) {
        if self.old.look_at_ms.is_none_or(|at| at > now_ms) {
            self.end_watched();
            return;
        }
        self.old.look_at_ms = None;
        for executor in std::mem::take(&mut self.old.closing) {
            self.look_after(executor);
        }
        self.retry_silent();
        let goes_on = |watched: &WatchedRun| self.old.process_of(watched).is_some();
        let unwatched: Vec<(u64, bool)> = self
            .old
            .watched
            .iter()
            .filter(|(_, watched)| watched.process.is_none())
            .map(|(number, watched)| (*number, goes_on(watched)))
            .collect();
        for (number, goes_on) in unwatched {
            if goes_on { self.old.look_within(LOOK_AT_PROCESSES_MS) } else { self.old.ended.push(number) }
        }
        self.end_watched();
        self.clean_up();
    }

    /// Removes journals that nobody needs any more.
    fn clean_up(&mut self) {
        let now = now().utc.0;
        let watched: BTreeSet<u64> = self.old.watched.values().map(|watched| watched.executor).collect();
        let is_done =
            |(number, dead): (&u64, &DeadExecutor)| (dead.is_done(now) && !watched.contains(number)).then_some(*number);
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
        for LostRun { run, rest } in lost {
            self.tell_of_run(&known, &run, "LOST", rest);
            self.ended(RunResult::of_outcome(run.run, RunOutcome::Lost, clock::wall_ms()));
        }
    }

    /// Records runs that ended just before their executor died, so that it had no time to log that or to deliver their output.
    fn tell_unreported<'a>(&mut self, runs: impl Iterator<Item = (&'a RunOfJob, &'a RunOutcome)>) {
        let runs: Vec<_> = runs.collect();
        if runs.is_empty() {
            return;
        }
        let known = self.plan.find_jobs(runs.iter().map(|(run, _)| &run.job));
        for (run, end) in runs {
            let how = match end {
                RunOutcome::Code(code) => format!("exit {code}"),
                RunOutcome::Signal { number, .. } => format!("signal {number}"),
                RunOutcome::NotStarted { why } => format!("not started: {why}"),
                RunOutcome::Skipped(_) | RunOutcome::Lost => continue,
            };
            let rest =
                format!(" {how}; the process that starts jobs died before it had reported that: output may be lost");
            self.tell_of_run(&known, run, "ENDED", &rest);
        }
    }

    fn tell_of_run(&mut self, known: &HashMap<JobId, RunRequest>, of: &RunOfJob, event: &'static str, rest: &str) {
        let RunOfJob { run, job, scheduled_at } = of;
        match known.get(job) {
            Some(start) => {
                let start = RunRequest { run: *run, scheduled_at: *scheduled_at, ..start.clone() };
                self.log_run(&start, Level::Warning, event, rest);
            }
            None => self.log.write(&LogRecord {
                ident: Ident::Daemon,
                level: Level::Warning,
                pid: None,
                user: job.user(),
                event,
                detail: job.as_str().as_bytes(),
                rest,
                run: Some(*run),
                fields: &[],
            }),
        }
    }
}
