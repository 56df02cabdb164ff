//! Messages for the user. A message that cannot be written never stops or undoes the operation.

use crate::sys::{descriptor, files};
use std::fs::File;
use std::io::{self, Write};

/// Writes a line to standard error. Nothing depends on it: where standard error takes nothing, the line is lost.
pub fn warn(line: &str) {
    let _ = write(true, &format!("{line}\n"));
}

/// Writes text to standard error as it is, under the same rule.
pub fn warn_raw(text: &str) {
    let _ = write(true, text);
}

/// Writes a line to standard output, under the same rule.
pub fn inform(line: &str) {
    let _ = write(false, &format!("{line}\n"));
}

/// Writes a line that the user needs to find their work again: to standard error, or to the terminal where standard error
/// takes nothing.
pub fn insist(line: &str) {
    let line = format!("{line}\n");
    if write(true, &line).is_err()
        && let Ok(mut terminal) = File::options().write(true).open("/dev/tty")
    {
        let _ = terminal.write_all(line.as_bytes());
    }
}

/// Writes a question to standard output. The answer counts even where nobody could read the question.
pub fn question(text: &str) {
    let _ = write(false, text);
}

fn write(to_stderr: bool, text: &str) -> io::Result<()> {
    files::write_all(descriptor::standard(to_stderr), text.as_bytes())
}
