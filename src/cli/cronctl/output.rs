//! Standard output: buffered, and quiet when the reader has gone away.

use super::error::Error;
use std::fmt;
use std::io::{self, IsTerminal, Write};

/// Collects the answer and writes it in large pieces.
pub(super) struct Output {
    stdout: io::Stdout,
    buffer: Vec<u8>,
}

/// So much is kept back before it is written.
const PIECE: usize = 64 << 10;

impl Output {
    /// Standard output.
    pub(super) fn to_stdout() -> Output {
        Output { stdout: io::stdout(), buffer: Vec::new() }
    }

    /// Whether a person looks at it.
    pub(super) fn is_terminal(&self) -> bool {
        self.stdout.is_terminal()
    }

    /// The buffer to write a piece of the answer into; to be followed by [`Output::spill`] now and then.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Adds text.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Error> {
        self.buffer.extend_from_slice(text.as_bytes());
        self.spill()
    }

    /// Adds a formatted line.
    pub(super) fn line(&mut self, line: fmt::Arguments<'_>) -> Result<(), Error> {
        // Writing to a Vec cannot fail.
        let _ = self.buffer.write_fmt(line);
        self.buffer.push(b'\n');
        self.spill()
    }

    /// Adds a value as one line of JSON.
    pub(super) fn json(&mut self, value: &impl serde::Serialize) -> Result<(), Error> {
        serde_json::to_writer(&mut self.buffer, value).map_err(|error| Error::Output(error.into()))?;
        self.buffer.push(b'\n');
        self.spill()
    }

    /// Writes what has been collected when it is much.
    pub(super) fn spill(&mut self) -> Result<(), Error> {
        if self.buffer.len() < PIECE { Ok(()) } else { self.flush() }
    }

    /// Writes all that has been collected.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        let written = self.stdout.write_all(&self.buffer).and_then(|()| self.stdout.flush());
        self.buffer.clear();
        written.map_err(Error::Output)
    }
}
