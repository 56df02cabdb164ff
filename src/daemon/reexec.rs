//! A daemon whose executor has died calls exec on its own program to get a new executor: a fork of a process that has read crontabs would give
//! the executor a copy of all users' tables. The locks are passed on, so that no other daemon can start meanwhile.

use super::execution::{HandoverState, VARIABLE};
use super::record::StartRecord;
use super::settings::Mode;
use super::state::{Daemon, Fatal, HeldReport};
use crate::scheduler::{Action, AtStop, Event};
use crate::sys::error::{self, os};
use crate::sys::process::{self, Program};
use crate::sys::{clock, handover};
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// How often the program may be executed anew within ten minutes.
const MOST_TIMES: usize = 3;
const PROGRAM: &str = "/proc/self/exe";

/// Why the program was not executed anew.
#[derive(Debug, thiserror::Error)]
enum ReexecError {
    #[error("it was {MOST_TIMES} times within ten minutes already")]
    TooOften,
    #[error("{} cannot be read twice", .0.display())]
    ReadOnce(PathBuf),
    #[error(transparent)]
    Os(#[from] error::Error),
}

impl Daemon {
    /// Executes the program anew if the executor is lost. Returns only if that fails or is not the reason.
    pub(super) fn recover(&mut self, why: &Fatal) {
        if !matches!(why, Fatal::Executor(_)) || self.stopping.is_some() {
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
        // This program starts nothing more. Runs that it has given up are logged now; the next program finds the waiting ones.
        self.driver.handle(Event::Stop { queue: AtStop::LeaveToNext, jobs: self.state_at_stop() });
        for action in std::mem::take(&mut self.driver.actions) {
            match action {
                Action::Skipped { start, why, count, first } => {
                    self.record_skipped(&start, why, count, first);
                    self.log_skipped(&start, why, count, first);
                }
                Action::Record(record) => self.report_unless_held(HeldReport::Decided(record)),
                Action::SaveState(change) => self.save_state(*change),
                Action::WriteStamp { id, day, cause } => self.write_stamp(&id, day, cause),
                _ => {}
            }
        }
        self.flush_history();
        self.flush_job_state();
        self.flush_history();
        let completed = if self.is_state_written() {
            let completed = self.driver.scheduler.completed();
            self.record_end(completed);
            self.flush_job_state();
            completed
        } else {
            // The record must not be ahead of the state.
            let recorded = self.files.record.as_ref().and_then(StartRecord::read);
            recorded.unwrap_or_else(|| self.driver.scheduler.completed())
        };
        let keep = |descriptor| handover::keep_on_exec(descriptor).map_err(os("handing on a descriptor"));
        let locks = self.files.lock.iter().flat_map(|lock| lock.held()).map(keep).collect::<Result<Vec<i32>, _>>()?;
        let journals = self.executors.current.journal().into_iter().chain(self.executors.old.nameless_journals());
        let journals = journals.map(|file| keep(file.as_fd())).collect::<Result<Vec<i32>, _>>()?;
        let text = HandoverState {
            pid: process::own_pid(),
            in_background: self.execution.in_background,
            times_ms,
            locks,
            journals,
            completed: completed.0,
            reboot_jobs: self.execution.reboot_jobs.map(|jobs| (jobs.first.0, jobs.last.0)),
            next_run: self.driver.scheduler.next_run().0,
            must_log_state: self.timers.log_state_at.is_some(),
            directory: self.execution.directory.as_os_str().as_bytes().to_vec(),
        };
        let text = serde_json::to_string(&text).map_err(io::Error::from).map_err(os("handing on the state"))?;
        self.warn(&format!("{why}: executing the program anew"));
        self.log.flush();
        let error = self.program(&text).exec();
        for descriptor in self.files.lock.iter().flat_map(|lock| lock.held()) {
            // If that fails, the process ends next all the same.
            let _ = handover::close_on_exec(descriptor);
        }
        Err(os("executing /proc/self/exe")(error).into())
    }

    fn program(&self, text: &str) -> Program {
        let string = |bytes: &OsStr| CString::new(bytes.as_bytes()).ok();
        let variable =
            |name: &OsStr, value: &OsStr| string(&[name, OsStr::new("="), value].into_iter().collect::<OsString>());
        let of_manager =
            self.files.manager.variables().iter().map(|(name, value)| (OsString::from(name), value.clone()));
        let ours = [(OsString::from(VARIABLE), OsString::from(text))];
        let environment = std::env::vars_os().chain(of_manager).chain(ours);
        let environment = environment.filter_map(|(name, value)| variable(&name, &value)).collect();
        let arguments = std::env::args_os().filter_map(|argument| string(&argument)).collect();
        Program::new(string(OsStr::new(PROGRAM)).unwrap_or_default(), arguments, environment)
    }
}
