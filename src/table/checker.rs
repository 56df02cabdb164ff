//! A table that is only judged: it comes piece by piece, and nothing of it is kept but what is to be said.

use super::diagnostic::Diagnostic;
use super::parse::{Context, Reader};

/// Judges a table as [`Table::parse`](super::Table::parse) does.
pub struct Checker<'a> {
    reader: Reader<'a>,
}

impl<'a> Checker<'a> {
    /// Has seen nothing yet.
    pub fn new(context: &'a Context<'a>) -> Checker<'a> {
        Checker { reader: Reader::new(context) }
    }

    /// Judges the lines that end in this piece, and returns how many bytes they are. What is left of it is the beginning of a
    /// line and has to come again, in front of the next piece.
    pub fn lines(&mut self, piece: &[u8]) -> usize {
        let (lines, _) = piece.split_at(memchr::memrchr(b'\n', piece).map_or(0, |newline| newline + 1));
        self.reader.read(lines);
        lines.len()
    }

    /// Judges what stands behind the last newline. All that was said, in order of lines.
    pub fn finish(mut self, rest: &[u8]) -> Vec<Diagnostic> {
        self.reader.read(rest);
        self.reader.end_zoneless();
        self.reader.diagnostics
    }
}
