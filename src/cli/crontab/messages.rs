//! Messages for the user. A failure to write one does not stop or undo the operation.

use crate::sys::descriptor::StandardStream;
use crate::sys::{descriptor, files};
use std::fs::File;
use std::io::{self, Write};

/// Writes a line to standard error. Errors are ignored.
pub fn warn(line: &str) {
    let _ = write(StandardStream::Error, &format!("{line}\n"));
}

/// Writes text to standard error unchanged. Errors are ignored.
pub fn warn_raw(text: &str) {
    let _ = write(StandardStream::Error, text);
}

/// Writes a line to standard output. Errors are ignored.
pub fn inform(line: &str) {
    let _ = write(StandardStream::Output, &format!("{line}\n"));
}

/// Writes a line that the user needs to find an edit again: to standard error, or to the terminal if that fails.
pub fn warn_or_use_terminal(line: &str) {
    let line = format!("{line}\n");
    if write(StandardStream::Error, &line).is_err()
        && let Ok(mut terminal) = File::options().write(true).open("/dev/tty")
    {
        let _ = terminal.write_all(line.as_bytes());
    }
}

/// Writes a question to standard output. Errors are ignored, and the answer is read anyway.
pub fn question(text: &str) {
    let _ = write(StandardStream::Output, text);
}

fn write(to: StandardStream, text: &str) -> io::Result<()> {
    files::write_all(descriptor::standard(to), text.as_bytes())
}
