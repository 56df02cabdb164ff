//! The exit status of a verb that did not fail. The statuses of failures are those of [`super::error::Error`].

use std::process::ExitCode;

/// The exit status of a verb that did what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExitStatus {
    /// 0: no errors (warnings do not count).
    Success,
    /// 1: the schedule or crontab has errors, a run did not start, or the daemon reports a problem.
    Faulty,
    /// The exit status of a job (`cronctl run --wait`).
    OfJob(u8),
}

impl ExitStatus {
    /// Combines the statuses of two inputs: the first that is not success.
    pub(super) fn and(self, other: ExitStatus) -> ExitStatus {
        if self == ExitStatus::Success { other } else { self }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> ExitCode {
        match status {
            ExitStatus::Success => ExitCode::SUCCESS,
            ExitStatus::Faulty => ExitCode::FAILURE,
            ExitStatus::OfJob(status) => ExitCode::from(status),
        }
    }
}
