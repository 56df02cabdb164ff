//! Buffered standard output.

use super::error::Error;
use std::fmt;
use std::io::{self, IsTerminal, Write};

/// Buffers output and writes it in large pieces.
pub(super) struct Output {
    stdout: io::Stdout,
    buffer: Vec<u8>,
}

/// Bytes that are buffered before they are written.
const PIECE: usize = 64 << 10;

impl Output {
    /// Creates an empty buffer for standard output.
    pub(super) fn to_stdout() -> Output {
        Output { stdout: io::stdout(), buffer: Vec::new() }
    }

    /// Whether standard output is a terminal.
    pub(super) fn is_terminal(&self) -> bool {
        self.stdout.is_terminal()
    }

    /// The buffer, to append output. Call [`Output::spill`] from time to time.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Appends a text without a newline.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Error> {
        self.buffer.extend_from_slice(text.as_bytes());
        self.spill()
    }

    /// Appends a formatted line and a newline.
    pub(super) fn line(&mut self, line: fmt::Arguments<'_>) -> Result<(), Error> {
        // Writing to a Vec cannot fail.
        let _ = self.buffer.write_fmt(line);
        self.buffer.push(b'\n');
        self.spill()
    }

    /// Appends a value as one line of JSON.
    pub(super) fn json(&mut self, value: &impl serde::Serialize) -> Result<(), Error> {
        serde_json::to_writer(&mut self.buffer, value).map_err(|error| Error::Output(error.into()))?;
        self.buffer.push(b'\n');
        self.spill()
    }

    /// Writes the buffer if it is large.
    pub(super) fn spill(&mut self) -> Result<(), Error> {
        if self.buffer.len() < PIECE { Ok(()) } else { self.flush() }
    }

    /// Writes what is buffered to standard output.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        let written = self.stdout.write_all(&self.buffer).and_then(|()| self.stdout.flush());
        self.buffer.clear();
        written.map_err(|error| Error::Output(error.into()))
    }
}
