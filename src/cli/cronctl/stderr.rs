//! Writes messages to standard error, for all verbs.

use std::io::{self, Write};

/// Writes a message to standard error. If that fails, there is nothing left to report to.
pub(super) fn to_stderr(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
