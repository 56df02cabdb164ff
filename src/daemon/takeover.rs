//! How a daemon takes over the runs of earlier daemons: at its start, and until the executors and processes that it has found have ended.

use super::old_executors::{CHECK_PROCESSES_MS, WatchedRun};
use super::reactor::{Interest, Token};
use super::state::{Daemon, Fatal, Handler, now};
use crate::executor::{
    AfterClose, EarlierStart, ExitedExecutor, LostRunState, OldExecutor, Predecessors, Retried, RunDirectoryError,
    RunOfJob, Sessions, UnresponsiveExecutor,
};
use crate::report::{Ident, Level, LogRecord};
use crate::scheduler::{JobId, RunId, RunOutcome, RunRequest, RunResult};
use crate::sys::clock;
use crate::sys::files::reason;
use crate::sys::process::Pid;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How soon an executor that is about to end is checked again.
const CHECK_AGAIN_MS: i64 = 200;
/// The time between two checks whether journals are still needed.
const CLEAN_MS: i64 = 60_000;
/// How soon an executor that cannot be reached is tried again.
const RETRY_SILENT_MS: i64 = 5000;

const UNKNOWN_END: &str = ": the executor died while this job ran; its result is unknown";
const UNKNOWN_END_OF_SILENT: &str = ": the executor that ran this job cannot be reached; its result is unknown";
const UNKNOWN_START_OF_SILENT: &str =
    ": the executor that was starting this job cannot be reached; whether it ran is unknown";
const UNKNOWN_START: &str = ": the executor died while it was starting this job; whether it ran is unknown";

/// A run that ended while no daemon and no executor waited for it.
#[derive(Debug)]
struct LostRun {
    run: RunOfJob,
    /// The text behind its line in the log.
    rest: &'static str,
}

/// What the scheduler has to know of earlier daemons when it begins.
#[derive(Debug, Default)]
pub(super) struct EarlierRuns {
    /// Starts that must not be repeated.
    pub(super) started: Vec<EarlierStart>,
    pub(super) running: Vec<RunOfJob>,
}

impl Daemon {
    /// Takes over what earlier daemons have left. To be called when the crontabs are loaded and the scheduler has not begun.
    pub(super) fn take_over(&mut self, found: Predecessors) -> EarlierRuns {
        for trouble in &found.errors {
            self.warn(&trouble.to_string());
        }
        for pid in found.slow.iter().copied().chain(found.silent.iter().map(UnresponsiveExecutor::pid)) {
            self.warn(&format!(
                "the executor {pid} of an earlier daemon does not answer; its jobs are those in its journal"
            ));
        }
        let mut running = found.running;
        for executor in found.executors {
            let reported: Vec<RunId> = executor.running().map(|run| run.run).collect();
            if let Some(silent) = self.connect(executor) {
                running.retain(|run| !reported.contains(&run.run));
                running.extend(self.adopt_unresponsive(silent));
            }
        }
        for silent in found.silent {
            running.extend(self.adopt_unresponsive(silent));
        }
        for dead in found.dead {
            running.extend(self.adopt_exited(dead));
        }
        EarlierRuns { started: found.started, running }
    }

    /// Takes the results that a connected executor has kept, and waits for its messages. One that cannot be waited for is returned as one that cannot be reached.
    fn connect(&mut self, mut executor: OldExecutor) -> Option<UnresponsiveExecutor> {
        executor.take_earlier_results().into_iter().for_each(|result| self.handle_result(result));
        let handler: Handler = |daemon, token| daemon.handle_old_executor(token);
        match self.reactor.add(executor.descriptor(), Interest::Readable, handler) {
            Ok(token) => {
                self.executors.old.connected.insert(token, executor);
                None
            }
            Err(why) => {
                self.warn(&format!("waiting for the executor of an earlier daemon: {}", reason(&why)));
                Some(executor.disconnect(&self.executors.old.boot_id))
            }
        }
    }

    /// Watches the runs of an executor that cannot be reached. Returns those still in progress.
    fn adopt_unresponsive(&mut self, silent: UnresponsiveExecutor) -> Vec<RunOfJob> {
        let id = self.executors.old.new_id();
        let (mut running, mut lost, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        let open = silent.open_runs().run_states();
        self.executors.old.silent.insert(id, silent);
        for (run, run_state) in open {
            match run_state {
                LostRunState::Ended { result, .. } => ended.push(result),
                LostRunState::Running(pid) => {
                    if self.watch_run(id, &run, pid) {
                        running.push(run);
                    } else {
                        lost.push(LostRun { run, rest: UNKNOWN_END_OF_SILENT });
                    }
                }
                LostRunState::Gone => lost.push(LostRun { run, rest: UNKNOWN_END_OF_SILENT }),
                LostRunState::UnknownProcess => lost.push(LostRun { run, rest: UNKNOWN_START_OF_SILENT }),
            }
        }
        let handled: Vec<RunId> = lost.iter().map(|lost| lost.run.run).collect();
        if let Some(silent) = self.executors.old.silent.get_mut(&id) {
            silent.mark_handled(&handled);
        }
        self.executors.old.check_within(RETRY_SILENT_MS);
        self.report_lost(lost);
        ended.into_iter().for_each(|result| self.handle_result(result));
        running
    }

    /// Tries again to reach silent executors.
    fn retry_silent(&mut self) {
        for (id, silent) in std::mem::take(&mut self.executors.old.silent) {
            match silent.retry(&self.executors.old.boot_id) {
                Retried::Silent(silent) => {
                    self.executors.old.silent.insert(id, silent);
                    self.executors.old.check_within(RETRY_SILENT_MS);
                }
                Retried::Connected(executor) => {
                    self.stop_watching(id);
                    // The scheduler knows the running ones already, here and below.
                    if let Some(silent) = self.connect(executor) {
                        self.adopt_unresponsive(silent);
                    }
                }
                Retried::Dead(dead) => {
                    self.stop_watching(id);
                    self.adopt_exited(dead);
                }
                // The processes of the run are still watched.
                Retried::Gone => {}
            }
        }
    }

    /// Stops watching the runs of an executor whose ends are reported otherwise from now on.
    fn stop_watching(&mut self, executor: u64) {
        self.executors.old.stop_watching(executor, &mut self.reactor);
    }

    /// Watches the process of a run. Returns whether it is still there.
    fn watch_run(&mut self, executor: u64, run: &RunOfJob, pid: Pid) -> bool {
        let handler: Handler = |daemon, token| {
            daemon.executors.old.ended.push(token);
            Ok(())
        };
        self.executors.old.watch((&mut self.reactor, handler), executor, run, pid)
    }

    /// Records the results of a dead executor's runs. Returns those still in progress.
    fn adopt_exited(&mut self, dead: ExitedExecutor) -> Vec<RunOfJob> {
        let id = self.executors.old.new_id();
        let (mut running, mut lost, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        let open = dead.open_runs().run_states();
        let begun: HashMap<RunId, i64> =
            open.iter().filter_map(|(run, _)| Some((run.run, dead.open_runs().begun_at(run.run)?))).collect();
        self.executors.old.dead.insert(id, dead);
        for (run, run_state) in open {
            match run_state {
                LostRunState::Ended { result, is_reported } => ended.push((run, result, is_reported)),
                LostRunState::Running(pid) => {
                    if self.watch_run(id, &run, pid) {
                        running.push(run);
                    } else {
                        lost.push(LostRun { run, rest: UNKNOWN_END });
                    }
                }
                LostRunState::Gone => lost.push(LostRun { run, rest: UNKNOWN_END }),
                LostRunState::UnknownProcess => lost.push(LostRun { run, rest: UNKNOWN_START }),
            }
        }
        let handled: Vec<RunId> =
            lost.iter().map(|lost| lost.run.run).chain(ended.iter().map(|(run, ..)| run.run)).collect();
        if let Some(dead) = self.executors.old.dead.get_mut(&id) {
            let written = dead.mark_handled(&handled);
            self.warn_if_failed(written);
        }
        self.report_lost(lost);
        self.log_unreported(
            ended.iter().filter(|(.., is_reported)| !is_reported).map(|(run, result, _)| (run, &result.outcome)),
        );
        ended.into_iter().for_each(|(_, result, _)| self.handle_result(result));
        self.clean_up();
        self.limit_lost_runs(&running, &begun);
        running
    }

    /// Ends runs of a dead executor when their time is over. `begun` has their starts, in seconds of UTC.
    fn limit_lost_runs(&mut self, runs: &[RunOfJob], begun: &HashMap<RunId, i64>) {
        let known = self.driver.scheduler.find_jobs(runs.iter().map(|run| &run.job));
        let (now, now_ms) = (now().utc.0, clock::monotonic_ms());
        for run in runs {
            let timeout = known.get(&run.job).and_then(|start| start.rules.timeout);
            if let (Some(timeout), Some(begun_at)) = (timeout, begun.get(&run.run)) {
                let left_s = begun_at.saturating_add(i64::from(timeout)).saturating_sub(now).max(0);
                self.executors.old.set_timeout(run.run, now_ms.saturating_add(left_s.saturating_mul(1000)));
            }
        }
    }

    fn warn_if_failed(&mut self, done: Result<(), RunDirectoryError>) {
        if let Err(trouble) = done {
            self.warn(&trouble.to_string());
        }
    }

    /// Handles messages of an earlier daemon's executor, or the end of its connection.
    fn handle_old_executor(&mut self, token: Token) -> Result<(), Fatal> {
        let Some(executor) = self.executors.old.connected.get_mut(&token) else { return Ok(()) };
        let received = executor.receive();
        for event in executor.take_other_events() {
            self.handle_executor_event(event);
        }
        match received {
            Ok(ended) => ended.into_iter().for_each(|result| self.handle_result(result)),
            Err(_) => {
                if let Some(executor) = self.executors.old.connected.remove(&token) {
                    self.reactor.remove(executor.descriptor(), token);
                    self.handle_closed_executor(executor);
                }
            }
        }
        Ok(())
    }

    /// Takes over what an executor has left that has closed its connection.
    fn handle_closed_executor(&mut self, executor: OldExecutor) {
        match executor.after_close(&self.executors.old.boot_id) {
            Ok(AfterClose::StillThere) => {
                self.executors.old.closing.push(executor);
                self.executors.old.check_within(CHECK_AGAIN_MS);
            }
            Ok(AfterClose::Dead(dead)) => {
                // The scheduler knows the running ones already.
                self.adopt_exited(dead);
            }
            Ok(AfterClose::Nothing) => self.lose_runs_of(&executor),
            Err(trouble) => {
                self.warn(&trouble.to_string());
                self.lose_runs_of(&executor);
            }
        }
    }

    /// Records the runs of an executor as lost that has left no journal.
    fn lose_runs_of(&mut self, executor: &OldExecutor) {
        let lost = executor.running().map(|run| LostRun { run: run.clone(), rest: UNKNOWN_END });
        let lost = lost.collect();
        self.report_lost(lost);
    }

    /// Records the watched runs whose processes have ended since the last turn of the loop: all at once, as each search for their jobs goes through
    /// all entries.
    fn end_watched(&mut self) {
        let mut lost = Vec::new();
        let mut handled: BTreeMap<u64, Vec<RunId>> = BTreeMap::new();
        let sessions = Sessions::default();
        for watched in self.executors.old.take_ended(&mut self.reactor) {
            // Other processes of the run may be left in its cgroup or its session.
            let left = self.executors.old.process_of(&watched, &sessions);
            let WatchedRun { executor, run, times_out_at_ms, .. } = watched;
            if left.is_some_and(|pid| self.watch_run(executor, &run, pid)) {
                times_out_at_ms.inspect(|at_ms| self.executors.old.set_timeout(run.run, *at_ms));
                continue;
            }
            handled.entry(executor).or_default().push(run.run);
            let rest =
                if self.executors.old.silent.contains_key(&executor) { UNKNOWN_END_OF_SILENT } else { UNKNOWN_END };
            lost.push(LostRun { run, rest });
        }
        if lost.is_empty() {
            return;
        }
        for (executor, runs) in handled {
            if let Some(dead) = self.executors.old.dead.get_mut(&executor) {
                let written = dead.mark_handled(&runs);
                self.warn_if_failed(written);
            } else if let Some(silent) = self.executors.old.silent.get_mut(&executor) {
                silent.mark_handled(&runs);
            }
        }
        self.report_lost(lost);
        self.clean_up();
    }

    /// Checks executors and processes that report nothing, when that is due, and records watched runs that have ended.
    pub(super) fn check_old_executors(&mut self, now_ms: i64) {
        if self.executors.old.check_at_ms.is_none_or(|at| at > now_ms) {
            self.end_watched();
            return;
        }
        self.executors.old.check_at_ms = None;
        for executor in std::mem::take(&mut self.executors.old.closing) {
            self.handle_closed_executor(executor);
        }
        self.retry_silent();
        for left in self.executors.old.take_timed_out(now_ms) {
            self.end_lost_run(left);
        }
        let sessions = Sessions::default();
        let goes_on = |watched: &WatchedRun| self.executors.old.process_of(watched, &sessions).is_some();
        let unwatched: Vec<(Token, bool)> = self
            .executors
            .old
            .watched
            .iter()
            .filter(|(_, watched)| watched.process.is_none())
            .map(|(token, watched)| (*token, goes_on(watched)))
            .collect();
        for (token, goes_on) in unwatched {
            if goes_on {
                self.executors.old.check_within(CHECK_PROCESSES_MS)
            } else {
                self.executors.old.ended.push(token)
            }
        }
        self.end_watched();
        self.clean_up();
    }

    /// Removes journals that are not needed any more.
    fn clean_up(&mut self) {
        let now = now().utc.0;
        let watched: BTreeSet<u64> = self.executors.old.watched.values().map(|watched| watched.executor).collect();
        let is_done = |(id, dead): (&u64, &ExitedExecutor)| (dead.is_done(now) && !watched.contains(id)).then_some(*id);
        let done: Vec<u64> = self.executors.old.dead.iter().filter_map(is_done).collect();
        for dead in done.into_iter().filter_map(|id| self.executors.old.dead.remove(&id)).collect::<Vec<_>>() {
            let removed = dead.remove();
            self.warn_if_failed(removed);
        }
        if self.executors.old.dead.values().any(|dead| dead.kept_until().is_some()) {
            self.executors.old.check_within(CLEAN_MS);
        }
    }

    /// Logs the runs whose end is unknown and passes them to the scheduler.
    fn report_lost(&mut self, lost: Vec<LostRun>) {
        if lost.is_empty() {
            return;
        }
        let known = self.driver.scheduler.find_jobs(lost.iter().map(|lost| &lost.run.job));
        for LostRun { run, rest } in lost {
            self.log_old_run(&known, &run, "LOST", rest);
            self.handle_result(RunResult::of_outcome(run.run, RunOutcome::Lost, clock::wall_ms()));
        }
    }

    /// Logs runs that ended just before their executor died, which had no time to log that or to deliver their output.
    fn log_unreported<'a>(&mut self, runs: impl Iterator<Item = (&'a RunOfJob, &'a RunOutcome)>) {
        let runs: Vec<_> = runs.collect();
        if runs.is_empty() {
            return;
        }
        let known = self.driver.scheduler.find_jobs(runs.iter().map(|(run, _)| &run.job));
        for (run, end) in runs {
            let how = match end {
                RunOutcome::Code(code) => format!("exit {code}"),
                RunOutcome::Signal { number, .. } => format!("signal {number}"),
                RunOutcome::NotStarted { why } => format!("not started: {why}"),
                RunOutcome::Skipped(_) | RunOutcome::Lost => continue,
            };
            let rest = format!(" {how}; the executor died before it had reported that: output may be lost");
            self.log_old_run(&known, run, "ENDED", &rest);
        }
    }

    fn log_old_run(&mut self, known: &HashMap<JobId, RunRequest>, of: &RunOfJob, event: &'static str, rest: &str) {
        let RunOfJob { run, job, scheduled_at, .. } = of;
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
