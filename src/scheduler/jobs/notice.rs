//! Notices to the owner of a job: of failures, recoveries and late jobs.

use crate::schedule::Timestamp;
use crate::scheduler::job_id::JobId;
use crate::scheduler::run_record::RunRecord;

/// An event that the owner has asked to be notified of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The event that the owner is notified of.
    pub event: NoticeEvent,
    /// The job that it concerns.
    pub job: JobId,
    /// The run that it is about; none for a slot without a success.
    pub record: Option<RunRecord>,
    /// Final failures in a row, this one included.
    pub failures: u32,
    /// For [`NoticeEvent::Late`]: until when a success was expected (UTC).
    pub expected_until: Option<Timestamp>,
}

/// The events that an owner can be notified of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoticeEvent {
    /// A final failure, as `CRON_ALERT` counts them.
    Failure,
    /// A run for a slot was a success.
    Success,
    /// The first success after a failure notice.
    Recovery,
    /// No success in the time of `CRON_LATE`.
    Late,
}

impl NoticeEvent {
    /// The word for it in `CRON_EVENT`.
    pub fn as_str(self) -> &'static str {
        match self {
            NoticeEvent::Failure => "failure",
            NoticeEvent::Success => "success",
            NoticeEvent::Recovery => "recovery",
            NoticeEvent::Late => "late",
        }
    }
}
