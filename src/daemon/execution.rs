//! The state that a program hands on to the one that is executed in its place; see `reexec`.

use super::record::RebootJobs;
use crate::schedule::Timestamp;
use crate::scheduler::RunId;
use crate::sys::contract::ProgramStart;
use crate::sys::handover;
use crate::sys::process;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// The environment variable with the state that is handed on.
pub(super) const VARIABLE: &str = "CRONWHEEL_HANDOVER";
/// How long an execution counts for the limit of executions. Milliseconds.
const WITHIN_MS: i64 = 600_000;

/// The state that is handed on, as the text of the variable.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct HandoverState {
    /// The id of the process. Another process that inherits the variable ignores it.
    pub(super) pid: u32,
    pub(super) in_background: bool,
    /// When the program was executed anew (milliseconds of the monotonic clock).
    pub(super) times_ms: Vec<i64>,
    /// The descriptors of the locks.
    pub(super) locks: Vec<i32>,
    /// The descriptors of journals without names.
    pub(super) journals: Vec<i32>,
    /// Everything due up to here has been started (seconds since 1970).
    pub(super) completed: i64,
    /// The moments of [`RebootJobs`] (seconds since 1970).
    pub(super) reboot_jobs: Option<(i64, i64)>,
    /// The id that the next run will have.
    pub(super) next_run: u64,
    /// Whether SIGUSR1 has come, and the state is still to be logged.
    pub(super) must_log_state: bool,
    /// The directory in which the first program was started, where relative paths in the arguments begin.
    pub(super) directory: Vec<u8>,
}

/// The state that the program before this one has handed on.
#[derive(Debug)]
pub(super) struct Resumed {
    /// The descriptors that hold the locks; see [`crate::sys::lock::DaemonLock::resume`].
    pub(super) locks: Vec<OwnedFd>,
    /// The nameless journals of executors that died.
    pub(super) journals: Vec<File>,
    /// Everything due up to here has been started.
    pub(super) completed: Timestamp,
    /// When `@reboot` jobs became due.
    pub(super) reboot_jobs: Option<RebootJobs>,
    /// The id that the next run will have.
    pub(super) next_run: RunId,
    /// Whether the state is still to be logged.
    pub(super) must_log_state: bool,
}

/// How this program was executed, for the case that it has to be executed anew.
#[derive(Debug, Default)]
pub(super) struct Execution {
    pub(super) in_background: bool,
    /// When `@reboot` jobs became due, if that is known.
    pub(super) reboot_jobs: Option<RebootJobs>,
    pub(super) times_ms: Vec<i64>,
    pub(super) directory: PathBuf,
}

impl Execution {
    /// Takes the state from the environment, if there is any.
    pub(super) fn begin(start: &ProgramStart) -> (Execution, Option<Resumed>) {
        let found = handover::take_variable(start.threads(), VARIABLE)
            .and_then(|text| serde_json::from_slice(text.as_bytes()).ok());
        let resumed = found.filter(|text: &HandoverState| text.pid == process::own_pid()).and_then(|text| {
            let numbers: Vec<i32> = text.locks.iter().chain(&text.journals).copied().collect();
            let mut descriptors = handover::take(start, &numbers)?;
            let journals = descriptors.split_off(text.locks.len()).into_iter().map(File::from).collect();
            Some((text, descriptors, journals))
        });
        let Some((text, locks, journals)) = resumed else {
            let directory = std::env::current_dir().unwrap_or_else(|_| "/".into());
            return (Execution { directory, ..Execution::default() }, None);
        };
        let directory = PathBuf::from(OsString::from_vec(text.directory));
        // If that fails, relative paths fail when they are opened.
        let _ = std::env::set_current_dir(&directory);
        let (completed, next_run) = (Timestamp(text.completed), RunId(text.next_run));
        let reboot_jobs = text.reboot_jobs;
        let reboot_jobs =
            reboot_jobs.map(|(first, last)| RebootJobs { first: Timestamp(first), last: Timestamp(last) });
        let execution =
            Execution { in_background: text.in_background, reboot_jobs, times_ms: text.times_ms, directory };
        let must_log_state = text.must_log_state;
        (execution, Some(Resumed { locks, journals, completed, reboot_jobs, next_run, must_log_state }))
    }

    /// Notes that the program runs in the background.
    pub(super) fn in_background(self) -> Execution {
        Execution { in_background: true, ..self }
    }

    /// When the program was executed anew within the last ten minutes.
    pub(super) fn recent(&self, now_ms: i64) -> Vec<i64> {
        self.times_ms.iter().copied().filter(|at| now_ms - at < WITHIN_MS).collect()
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
