//! Errors and warnings about the text of a schedule, with their positions.

use std::ops::Range;

/// A schedule that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}")]
pub struct ScheduleError {
    /// The invalid bytes, as offsets into the text that was parsed.
    pub span: Range<usize>,
    /// What was expected: `an hour from 0 to 23`.
    pub expected: String,
    /// What was found: `24`, `the end of the line`.
    pub found: String,
    /// A suggestion, if there is one: `midnight is hour 0`.
    pub help: Option<String>,
    /// The message of both reference implementations: `bad hour`.
    pub reference_message: &'static str,
}

/// A warning: the schedule is valid, but probably not what the author meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleWarning {
    /// The bytes that the warning is about, as offsets into the text that was parsed.
    pub span: Range<usize>,
    /// One sentence: `this schedule never matches`.
    pub message: String,
    /// A suggestion, if there is one.
    pub help: Option<String>,
}
