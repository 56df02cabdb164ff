//! A main whose executor has died executes its program anew in the same process: an executor can be forked only by a process that has read no
//! table yet. The locks are handed on, so that no other daemon can start meanwhile.

use super::event_loop::{Daemon, Fatal};
use super::record::RebootJobs;
use super::settings::Mode;
use crate::schedule::Timestamp;
use crate::scheduler::{Action, Event, RunId};
use crate::sys::files::reason;
use crate::sys::process::{self, Program};
use crate::sys::{clock, handover};
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// The variable in which the next program finds what is handed on to it.
const VARIABLE: &str = "CRONWHEEL_HANDOVER";
/// Most times in so many milliseconds.
const MOST_TIMES: usize = 3;
const WITHIN_MS: i64 = 600_000;
const PROGRAM: &str = "/proc/self/exe";

/// What is handed on, as text.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Text {
    /// The process: anybody else who finds the variable in the environment is not meant.
    pid: u32,
    in_background: bool,
    /// When the program was executed anew, milliseconds of the monotonic clock.
    times_ms: Vec<i64>,
    /// Descriptors of the locks.
    locks: Vec<i32>,
    /// Descriptors of journals without names.
    journals: Vec<i32>,
    completed: i64,
    /// See [`RebootJobs`].
    reboot_jobs: Option<(i64, i64)>,
    next_run: u64,
    /// The directory in which the first program was started: relative paths in the arguments are meant from there.
    directory: Vec<u8>,
}

/// What the program before this one has handed on.
#[derive(Debug)]
pub(super) struct Resumed {
    /// Locks, see [`crate::sys::lock::DaemonLock::resume`].
    pub(super) locks: Vec<OwnedFd>,
    /// Journals of executors that died, where they have no names.
    pub(super) journals: Vec<File>,
    /// Everything due up to here has been started.
    pub(super) completed: Timestamp,
    /// When `@reboot` jobs became due.
    pub(super) reboot_jobs: Option<RebootJobs>,
    /// Where run ids go on.
    pub(super) next_run: RunId,
}

/// How this program came to be executed, to be known when it has to be again.
#[derive(Debug, Default)]
pub(super) struct Execution {
    pub(super) in_background: bool,
    /// When `@reboot` jobs became due, if it is known.
    pub(super) reboot_jobs: Option<RebootJobs>,
    times_ms: Vec<i64>,
    directory: PathBuf,
}

impl Execution {
    /// The first one, or what was handed on. To be called at the start of main, before anything of ours is open.
    pub(super) fn begin() -> (Execution, Option<Resumed>) {
        let found = handover::take_variable(VARIABLE).and_then(|text| serde_json::from_slice(text.as_bytes()).ok());
        let resumed = found.filter(|text: &Text| text.pid == process::own_pid()).and_then(|text| {
            let numbers: Vec<i32> = text.locks.iter().chain(&text.journals).copied().collect();
            let mut descriptors = handover::take(&numbers)?;
            let journals = descriptors.split_off(text.locks.len()).into_iter().map(File::from).collect();
            Some((text, descriptors, journals))
        });
        let Some((text, locks, journals)) = resumed else {
            let directory = std::env::current_dir().unwrap_or_else(|_| "/".into());
            return (Execution { directory, ..Execution::default() }, None);
        };
        let directory = PathBuf::from(OsString::from_vec(text.directory));
        // Without it, relative paths do not lead anywhere, which is found out when they are followed.
        let _ = std::env::set_current_dir(&directory);
        let (completed, next_run) = (Timestamp(text.completed), RunId(text.next_run));
        let reboot_jobs = text.reboot_jobs;
        let reboot_jobs =
            reboot_jobs.map(|(first, last)| RebootJobs { first: Timestamp(first), last: Timestamp(last) });
        let execution =
            Execution { in_background: text.in_background, reboot_jobs, times_ms: text.times_ms, directory };
        (execution, Some(Resumed { locks, journals, completed, reboot_jobs, next_run }))
    }

    /// The same, in the background.
    pub(super) fn in_background(self) -> Execution {
        Execution { in_background: true, ..self }
    }

    /// The last times that the program was executed anew.
    fn recent(&self, now_ms: i64) -> Vec<i64> {
        self.times_ms.iter().copied().filter(|at| now_ms - at < WITHIN_MS).collect()
    }
}

/// Why the program was not executed anew.
#[derive(Debug, thiserror::Error)]
enum ReexecError {
    #[error("it was {MOST_TIMES} times within ten minutes already")]
    TooOften,
    #[error("{} cannot be read twice", .0.display())]
    ReadOnce(PathBuf),
    #[error("{doing}: {}", reason(source))]
    Os { doing: &'static str, source: io::Error },
}

fn os(doing: &'static str) -> impl FnOnce(io::Error) -> ReexecError {
    move |source| ReexecError::Os { doing, source }
}

impl Daemon {
    /// Where it is the executor that is lost, executes the program anew, and comes back only when that fails.
    pub(super) fn recover(&mut self, why: &Fatal) {
        if !matches!(why, Fatal::Runner(_)) || self.stopping.is_some() {
            return;
        }
        if let Err(error) = self.execute_anew(why) {
            self.warn(&format!("the program is not executed anew: {error}"));
        }
    }

    fn execute_anew(&mut self, why: &Fatal) -> Result<(), ReexecError> {
        let now_ms = clock::monotonic_ms();
        let mut times_ms = self.execution.recent(now_ms);
        if times_ms.len() >= MOST_TIMES {
            return Err(ReexecError::TooOften);
        }
        times_ms.push(now_ms);
        if let Mode::Standalone(files) = &self.settings.mode
            && let Some(file) = files.iter().find(|file| !file.is_file())
        {
            return Err(ReexecError::ReadOnce(file.clone()));
        }
        // Nothing more is started by this image. What it gave up before is recorded now; what waits is found by the next one.
        self.notify_scheduler(Event::Stop { is_recorded: true });
        for action in std::mem::take(&mut self.todo) {
            match action {
                Action::Skipped { start, why, count, first } => self.tell_skipped(&start, why, count, first),
                Action::WriteStamp { id, day, cause } => self.write_stamp(&id, day, cause),
                _ => {}
            }
        }
        let completed = self.plan.completed();
        self.record_end(completed);
        let keep = |descriptor| handover::keep_on_exec(descriptor).map_err(os("handing on a descriptor"));
        let locks = self.lock.iter().flat_map(|lock| lock.held()).map(keep).collect::<Result<Vec<i32>, _>>()?;
        let journals = self.executor.journal().into_iter().chain(self.old.nameless_journals());
        let journals = journals.map(|file| keep(file.as_fd())).collect::<Result<Vec<i32>, _>>()?;
        let text = Text {
            pid: process::own_pid(),
            in_background: self.execution.in_background,
            times_ms,
            locks,
            journals,
            completed: completed.0,
            reboot_jobs: self.execution.reboot_jobs.map(|jobs| (jobs.first.0, jobs.last.0)),
            next_run: self.plan.next_run().0,
            directory: self.execution.directory.as_os_str().as_bytes().to_vec(),
        };
        let text = serde_json::to_string(&text).map_err(io::Error::from).map_err(os("handing on the state"))?;
        self.warn(&format!("{why}: executing the program anew"));
        self.log.flush();
        let error = self.program(&text).exec();
        for descriptor in self.lock.iter().flat_map(|lock| lock.held()) {
            // The process ends next.
            let _ = handover::close_on_exec(descriptor);
        }
        Err(os("executing /proc/self/exe")(error))
    }

    fn program(&self, text: &str) -> Program {
        let string = |bytes: &OsStr| CString::new(bytes.as_bytes()).ok();
        let variable =
            |name: &OsStr, value: &OsStr| string(&[name, OsStr::new("="), value].into_iter().collect::<OsString>());
        let of_manager = self.manager.variables().iter().map(|(name, value)| (OsString::from(name), value.clone()));
        let ours = [(OsString::from(VARIABLE), OsString::from(text))];
        let environment = std::env::vars_os().chain(of_manager).chain(ours);
        let environment = environment.filter_map(|(name, value)| variable(&name, &value)).collect();
        let arguments = std::env::args_os().filter_map(|argument| string(&argument)).collect();
        Program::new(string(OsStr::new(PROGRAM)).unwrap_or_default(), arguments, environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_times_of_the_last_ten_minutes_count() {
        let execution = Execution { times_ms: vec![0, 100_000, 650_000], ..Execution::default() };
        assert_eq!(execution.recent(650_001), [100_000, 650_000]);
        assert_eq!(execution.recent(600_000 - 1).len(), 3);
    }
}
