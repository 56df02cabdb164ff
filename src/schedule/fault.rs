//! What is wrong, or merely odd, about a written schedule: always with its place.

use std::ops::Range;

/// A schedule that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}")]
pub struct Fault {
    /// The offending bytes, as offsets into the text that was parsed.
    pub span: Range<usize>,
    /// What would have been right: `an hour from 0 to 23`.
    pub expected: String,
    /// What stood there: `24`, `the end of the line`.
    pub found: String,
    /// A likely intention, if one is known: `midnight is hour 0`.
    pub help: Option<String>,
    /// What both reference implementations say of it: `bad hour`.
    pub bad: &'static str,
}

/// A schedule that can be used but probably does not mean what its writer thinks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caution {
    /// The bytes it is about, as offsets into the text that was parsed.
    pub span: Range<usize>,
    /// One sentence: `this schedule never matches`.
    pub message: String,
    /// What to write instead, if that is known.
    pub help: Option<String>,
}
