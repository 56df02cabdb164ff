//! A main whose executor has died executes its program anew in the same process: an executor can be forked only by a process that has read no
//! table yet. The locks are handed on, so that no other daemon can start meanwhile.

use super::execution::{HandedOn, VARIABLE};
use super::settings::Mode;
use super::state::{Daemon, Fatal};
use crate::scheduler::{Action, Event};
use crate::sys::files::reason;
use crate::sys::process::{self, Program};
use crate::sys::{clock, handover};
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Most times that the program is executed anew within ten minutes.
const MOST_TIMES: usize = 3;
const PROGRAM: &str = "/proc/self/exe";

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
        self.notify_scheduler(Event::Stop { is_recorded: true, keeps_jobs: self.job_state.is_some() });
        for action in std::mem::take(&mut self.todo) {
            match action {
                Action::Skipped { start, why, count, first } => self.tell_skipped(&start, why, count, first),
                Action::SaveState(change) => {
                    if let Some(store) = &mut self.job_state {
                        store.add(*change);
                    }
                }
                Action::WriteStamp { id, day, cause } => self.write_stamp(&id, day, cause),
                _ => {}
            }
        }
        let completed = self.plan.completed();
        self.record_end(completed);
        self.flush_job_state();
        let keep = |descriptor| handover::keep_on_exec(descriptor).map_err(os("handing on a descriptor"));
        let locks = self.lock.iter().flat_map(|lock| lock.held()).map(keep).collect::<Result<Vec<i32>, _>>()?;
        let journals = self.executor.journal().into_iter().chain(self.old.nameless_journals());
        let journals = journals.map(|file| keep(file.as_fd())).collect::<Result<Vec<i32>, _>>()?;
        let text = HandedOn {
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
