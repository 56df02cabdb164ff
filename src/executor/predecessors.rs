//! Finds the executors of earlier mains, once when main starts: those that are still running, and the journals of dead ones.

use super::journal::{
    JournalContent, JournalError, JournaledFollowUp, JournaledRun, KEPT_STARTS, append_handled, read,
};
use super::lost_processes::{self, LostProcesses, Sessions};
use super::run_directory::{ExecutorFiles, JournalState, RunDirectoryError, executors};
use super::takeover::OldExecutor;
use super::wire::RunOfJob;
use crate::scheduler::{JobId, MailResult, RunId, RunResult};
use crate::sys::clock;
use crate::sys::poll::Poll;
use crate::sys::process::Pid;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

/// How long main waits for the answers of all executors together.
const TIMEOUT_MS: i64 = 2000;
/// Pause before another attempt to connect to an executor.
const RETRY_MS: i64 = 20;

/// A start that an earlier main requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierStart {
    /// The id of the run.
    pub run: RunId,
    /// The job that it is a run of.
    pub job: JobId,
    /// The scheduled time, in seconds of UTC.
    pub scheduled_at: i64,
    /// Whether this is an `@reboot` run.
    pub at_reboot: bool,
    /// The result of the run, if it has one: an earlier main may have received it just before it was killed.
    pub result: Option<RunResult>,
    /// Whether that result has been sent to an earlier main, so that it is not sent again.
    pub is_delivered: bool,
    /// What became of its mail, if that is known: the same holds for it.
    pub mail: Option<MailResult>,
}

/// Executors and journals of earlier mains.
#[derive(Debug, Default)]
pub struct Predecessors {
    /// Executors that are still running.
    pub executors: Vec<OldExecutor>,
    /// Journals of executors that are dead.
    pub dead: Vec<ExitedExecutor>,
    /// Starts that may be due again after a restart and must not be repeated.
    pub started: Vec<EarlierStart>,
    /// Runs whose result no main has received. They are still running, or their results follow. A run may be listed twice.
    pub undelivered: Vec<RunOfJob>,
    /// Runs of living executors that are still running.
    pub running: Vec<RunOfJob>,
    /// Hooks and pings that have ended in the last minutes: an earlier main may not have recorded that.
    pub follow_ups: Vec<JournaledFollowUp>,
    /// Errors of files that could not be read and were removed.
    pub errors: Vec<RunDirectoryError>,
    /// Executors that are alive but cannot be reached.
    pub silent: Vec<UnresponsiveExecutor>,
    /// Executors that are connected but have not listed their runs in time.
    pub slow: Vec<Pid>,
}

/// An executor that is or may be alive and to which there is no connection. Only the executor writes to its journal.
#[derive(Debug)]
pub struct UnresponsiveExecutor {
    files: ExecutorFiles,
    /// Runs without a delivered result, as read from the journal.
    open: OpenRuns,
    /// Runs that main considers lost although the journal has them as running.
    lost: Vec<RunId>,
}

/// The state of an executor that could not be reached before.
#[derive(Debug)]
pub enum Retried {
    /// The executor still cannot be reached.
    Silent(UnresponsiveExecutor),
    /// The executor has accepted the connection.
    Connected(OldExecutor),
    /// The executor is dead and has left a journal.
    Dead(ExitedExecutor),
    /// The executor and its journal are gone, and none of its runs is known to be running.
    Gone,
}

impl UnresponsiveExecutor {
    fn new(files: ExecutorFiles, content: Option<JournalContent>) -> UnresponsiveExecutor {
        let runs = content.unwrap_or_default().runs.into_iter();
        UnresponsiveExecutor {
            files,
            open: OpenRuns(runs.filter(|(_, run)| !run.is_delivered).collect()),
            lost: Vec::new(),
        }
    }

    /// The process id of the executor.
    pub fn pid(&self) -> Pid {
        self.files.pid
    }

    /// The runs without a delivered result.
    pub fn open_runs(&self) -> &OpenRuns {
        &self.open
    }

    /// Records that the results of these runs are not waited for any more.
    pub fn mark_handled(&mut self, runs: &[RunId]) {
        self.lost.extend(runs.iter().filter(|run| self.open.0.remove(*run).is_some()));
    }

    /// Tries again to connect to the executor.
    pub fn retry(self, boot_id: &str) -> Retried {
        let gone = |silent: UnresponsiveExecutor| {
            if silent.open.0.is_empty() { Retried::Gone } else { Retried::Silent(silent) }
        };
        match self.files.inspect(boot_id, now()) {
            Ok(Some(JournalState { is_alive: false, content: Ok(content), file })) => {
                let UnresponsiveExecutor { files, lost, .. } = self;
                let mut dead = ExitedExecutor::new(Some(files), file, content);
                // If this cannot be written, the next main records them as lost again.
                let _ = dead.mark_handled(&lost);
                Retried::Dead(dead)
            }
            Ok(Some(JournalState { is_alive: false, content: Err(error), .. })) if error.is_of_content() => {
                let _ = self.files.discard();
                gone(self)
            }
            Ok(None) => gone(self),
            Ok(Some(_)) | Err(_) => match OldExecutor::connect(self.files.clone()) {
                Ok(mut executor) => {
                    let open = self.open.0.iter().filter(|(_, known)| known.result.is_none());
                    executor.add_expected_runs(open.map(|(run, known)| run_of_job(*run, known)));
                    Retried::Connected(executor)
                }
                Err(_) => Retried::Silent(self),
            },
        }
    }
}

/// The runs in a journal that a main still has to handle.
#[derive(Debug, Default)]
pub struct OpenRuns(BTreeMap<RunId, JournaledRun>);

impl OpenRuns {
    /// Each run and its state.
    pub fn run_states(&self) -> Vec<(RunOfJob, LostRunState)> {
        let sessions = Sessions::default();
        let run_state = |run: RunId, known: &JournaledRun| match (&known.result, known.process) {
            (Some(result), _) => LostRunState::Ended { result: result.clone(), is_reported: known.mail.is_some() },
            (None, Some(_)) => self.process_of(run, &sessions).map_or(LostRunState::Gone, LostRunState::Running),
            (None, None) => LostRunState::UnknownProcess,
        };
        self.0.iter().map(|(run, known)| (run_of_job(*run, known), run_state(*run, known))).collect()
    }

    /// A process of that run: its session leader or, after the leader's end, another process in its cgroup or session. None: all are gone.
    pub fn process_of(&self, run: RunId, sessions: &Sessions) -> Option<Pid> {
        lost_processes::process_of(self.0.get(&run)?.process?, run, sessions)
    }

    /// The processes of that run, if it has been started.
    pub fn processes_of(&self, run: RunId) -> Option<LostProcesses> {
        Some(lost_processes::processes_of(self.0.get(&run)?.process?, run))
    }

    /// When that run was started, in seconds of UTC.
    pub fn begun_at(&self, run: RunId) -> Option<i64> {
        self.0.get(&run).map(|known| known.begun_at)
    }
}

/// The journal of a dead executor, and the runs that main still has to handle.
#[derive(Debug)]
pub struct ExitedExecutor {
    /// None: the journal is a file without a name.
    files: Option<ExecutorFiles>,
    file: File,
    valid_length: u64,
    /// Runs whose result was not delivered or not reported.
    open: OpenRuns,
    /// Until when its starts are needed, in seconds of UTC.
    kept_until: i64,
}

/// The state of a run whose executor died or cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LostRunState {
    /// The journal has the result of the run.
    Ended {
        /// The result of the run.
        result: RunResult,
        /// Whether the end is logged and the output has been handled.
        is_reported: bool,
    },
    /// This process is still running.
    Running(Pid),
    /// No process of the run is left.
    Gone,
    /// The executor died while it started the run.
    UnknownProcess,
}

impl ExitedExecutor {
    fn new(files: Option<ExecutorFiles>, file: File, content: JournalContent) -> ExitedExecutor {
        let kept_until = content.runs.values().map(|run| run.last_step_at().saturating_add(KEPT_STARTS)).max();
        let open = OpenRuns(content.runs.into_iter().filter(|(_, run)| run.is_open()).collect());
        ExitedExecutor { files, file, valid_length: content.valid_length, open, kept_until: kept_until.unwrap_or(0) }
    }

    /// The runs whose result was not delivered or not reported.
    pub fn open_runs(&self) -> &OpenRuns {
        &self.open
    }

    /// Records that these runs have been handled.
    pub fn mark_handled(&mut self, runs: &[RunId]) -> Result<(), RunDirectoryError> {
        let known = runs.iter().filter_map(|run| Some((*run, self.open.0.get(run)?)));
        let written = append_handled(&self.file, &mut self.valid_length, known);
        runs.iter().for_each(|run| drop(self.open.0.remove(run)));
        let path = self.files.as_ref().map(ExecutorFiles::journal).unwrap_or_default();
        written.map_err(|source| RunDirectoryError::Journal { path, source })
    }

    /// The journal, if it is a file without a name.
    pub fn nameless_journal(&self) -> Option<&File> {
        self.files.is_none().then_some(&self.file)
    }

    /// Whether the journal is not needed any more at `now`, seconds of UTC.
    pub fn is_done(&self, now: i64) -> bool {
        self.open.0.is_empty() && self.kept_until < now
    }

    /// The time after which its starts are not needed any more, if all its runs have been handled.
    pub fn kept_until(&self) -> Option<i64> {
        self.open.0.is_empty().then_some(self.kept_until)
    }

    /// Removes the journal and the executor's other files.
    pub fn remove(self) -> Result<(), RunDirectoryError> {
        self.files.map_or(Ok(()), |files| files.discard())
    }
}

/// The state of an executor that has closed its connection.
#[derive(Debug)]
pub enum AfterClose {
    /// The executor is still alive, perhaps only for a moment.
    StillThere,
    /// The executor has left no journal.
    Nothing,
    /// The executor is dead and has left a journal.
    Dead(ExitedExecutor),
}

impl OldExecutor {
    /// Finds out what the executor has left after it has closed its connection.
    pub fn after_close(&self, boot_id: &str) -> Result<AfterClose, RunDirectoryError> {
        Ok(match self.files.inspect(boot_id, now())? {
            None => AfterClose::Nothing,
            Some(JournalState { is_alive: true, .. }) => AfterClose::StillThere,
            Some(JournalState { content, file, .. }) => {
                AfterClose::Dead(ExitedExecutor::new(Some(self.files.clone()), file, content?))
            }
        })
    }

    /// Drops a connection that cannot be registered with epoll.
    pub fn disconnect(self, boot_id: &str) -> UnresponsiveExecutor {
        let content = self.files.inspect(boot_id, now()).ok().flatten().and_then(|found| found.content.ok());
        UnresponsiveExecutor::new(self.files, content)
    }
}

fn run_of_job(run: RunId, known: &JournaledRun) -> RunOfJob {
    RunOfJob { run, job: known.job.clone(), scheduled_at: known.scheduled_at }
}

fn now() -> i64 {
    clock::wall().seconds
}

/// Reads journals without names, which the program that ran in this process before has passed on.
pub fn of_journals(files: Vec<File>, boot_id: &str) -> Predecessors {
    let mut found = Predecessors::default();
    for file in files {
        match read(&file, boot_id, now()) {
            Ok(content) => {
                found.started.extend(starts_of(&content));
                found.follow_ups.extend(content.follow_ups.iter().cloned());
                found.undelivered.extend(undelivered(&content));
                found.dead.push(ExitedExecutor::new(None, file, content));
            }
            Err(source) => {
                found.errors.push(RunDirectoryError::Journal { path: "of the program before".into(), source });
            }
        }
    }
    found
}

fn starts_of(content: &JournalContent) -> impl Iterator<Item = EarlierStart> {
    content.runs.iter().map(|(id, run)| EarlierStart {
        run: *id,
        job: run.job.clone(),
        scheduled_at: run.scheduled_at,
        at_reboot: run.at_reboot,
        result: run.result.clone(),
        is_delivered: run.is_delivered,
        mail: run.mail.clone(),
    })
}

fn undelivered(content: &JournalContent) -> impl Iterator<Item = RunOfJob> {
    content.runs.iter().filter(|(_, known)| !known.is_delivered).map(|(run, known)| run_of_job(*run, known))
}

/// Finds executors of earlier mains and waits a limited time for their answers. Their journals are read only after that, when they have
/// noticed that their main is gone and start nothing more.
pub fn find(directory: &Path, boot_id: &str) -> Predecessors {
    let mut found = Predecessors::default();
    let listed = match executors(directory) {
        Ok(listed) => listed,
        Err(error) => {
            found.errors.push(error);
            return found;
        }
    };
    let (dead, connected, silent) = connect_all(listed, boot_id, &mut found.errors);
    for (files, file, content) in dead {
        adopt_exited(&mut found, files, file, content);
    }
    for executor in connected {
        adopt_running(&mut found, executor, boot_id);
    }
    for files in silent {
        let content = match files.inspect(boot_id, now()) {
            Ok(None) => continue,
            Ok(Some(found)) => found.content,
            Err(error) => Err(error),
        };
        let content = content.map_err(|error| found.errors.push(error)).ok();
        found.started.extend(content.iter().flat_map(starts_of));
        found.follow_ups.extend(content.iter().flat_map(|content| content.follow_ups.iter().cloned()));
        found.undelivered.extend(content.iter().flat_map(undelivered));
        found.silent.push(UnresponsiveExecutor::new(files, content));
    }
    found
}

/// The runs without a result in the journal of a living executor.
fn without_end(content: &JournalContent) -> impl Iterator<Item = RunOfJob> {
    content.runs.iter().filter(|(_, known)| known.result.is_none()).map(|(run, known)| run_of_job(*run, known))
}

type Connected = (Vec<(ExecutorFiles, File, JournalContent)>, Vec<OldExecutor>, Vec<ExecutorFiles>);

/// Sorts executors into dead ones, connected ones and those that cannot be reached.
fn connect_all(listed: Vec<ExecutorFiles>, boot_id: &str, errors: &mut Vec<RunDirectoryError>) -> Connected {
    let until_ms = clock::monotonic_ms() + TIMEOUT_MS;
    let (mut dead, mut connected, mut left): (Vec<_>, Vec<OldExecutor>, _) = (Vec::new(), Vec::new(), listed);
    loop {
        for files in std::mem::take(&mut left) {
            match files.inspect(boot_id, now()) {
                Ok(None) => {}
                Ok(Some(JournalState { is_alive: false, content: Ok(content), file })) => {
                    dead.push((files, file, content))
                }
                // Only errors of the content are final. Others may not occur on the next attempt.
                Ok(Some(JournalState { is_alive: false, content: Err(error), .. })) | Err(error)
                    if error.is_of_content() =>
                {
                    errors.push(error);
                    errors.extend(files.discard().err());
                }
                // The executor is alive, or that is not known. It can list its runs itself, whatever its journal contains.
                Ok(Some(_)) | Err(_) => match OldExecutor::connect(files.clone()) {
                    Ok(executor) => connected.push(executor),
                    Err(_) => left.push(files),
                },
            }
        }
        let poll_timeout_ms = until_ms - clock::monotonic_ms();
        let has_answered = |executor: &OldExecutor| executor.has_listed();
        if poll_timeout_ms <= 0 || (left.is_empty() && connected.iter().all(has_answered)) {
            return (dead, connected, left);
        }
        let poll_timeout_ms = if left.is_empty() { poll_timeout_ms } else { poll_timeout_ms.min(RETRY_MS) };
        wait_for_answers(&mut connected, &mut left, poll_timeout_ms);
    }
}

/// Waits for answers. An executor that closes its connection is inspected again.
fn wait_for_answers(connected: &mut Vec<OldExecutor>, left: &mut Vec<ExecutorFiles>, poll_timeout_ms: i64) {
    let Ok(poll) = Poll::new() else { return };
    for executor in connected.iter().filter(|executor| !executor.has_listed()) {
        let _ = poll.add(executor.descriptor(), 0);
    }
    let _ = poll.wait_for_any(Some(poll_timeout_ms.unsigned_abs()));
    connected.retain_mut(|executor| {
        let is_open = executor.has_listed() || executor.receive_list().is_ok();
        if !is_open {
            left.push(executor.files.clone());
        }
        is_open
    });
}

fn adopt_exited(found: &mut Predecessors, files: ExecutorFiles, file: File, content: JournalContent) {
    if content.is_of_another_boot {
        found.errors.extend(files.discard().err());
        return;
    }
    if content.is_damaged {
        let source = JournalError::Damaged;
        found.errors.push(RunDirectoryError::Journal { path: files.journal(), source });
    }
    found.started.extend(starts_of(&content));
    found.follow_ups.extend(content.follow_ups.iter().cloned());
    found.undelivered.extend(undelivered(&content));
    found.dead.push(ExitedExecutor::new(Some(files), file, content));
}

fn adopt_running(found: &mut Predecessors, mut executor: OldExecutor, boot_id: &str) {
    let content = match executor.files.inspect(boot_id, now()) {
        Ok(Some(found)) => found.content.map(Some),
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    };
    // What the executor reports counts even if its journal cannot be read.
    let content = content.unwrap_or_else(|error| {
        found.errors.push(error);
        None
    });
    found.started.extend(content.iter().flat_map(starts_of));
    found.undelivered.extend(content.iter().flat_map(undelivered).chain(executor.running().cloned()));
    if !executor.has_listed() {
        found.slow.push(executor.pid());
        executor.add_expected_runs(content.iter().flat_map(without_end));
    }
    found.running.extend(executor.running().cloned());
    found.executors.push(executor);
}
