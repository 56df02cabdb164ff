//! Lines of a table, and the steps by which a line is read.

use super::memory::{OutOfMemory, append};

/// Most bytes of a line that is no comment. The longest entry has a schedule of [`u16::MAX`] bytes and a command of 131,071.
pub(super) const LONGEST_LINE: usize = 256 << 10;

/// One line of a table, without its newline.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// Its number, counted from 1.
    pub number: u32,
    /// Its bytes; a carriage return at the end is still there. Of a line that is too long only the beginning may be here.
    pub text: &'a [u8],
    /// How many bytes it has in the table.
    pub length: usize,
    /// Whether a newline ends it; only the last line of a table can lack one.
    pub ended: bool,
}

impl<'a> Line<'a> {
    /// The line with no more of its text than [`LONGEST_LINE`].
    pub fn cut(&self) -> Line<'a> {
        Line { text: self.text.get(..LONGEST_LINE).unwrap_or(self.text), ..*self }
    }
}

/// A line whose end has not come yet. What exceeds [`LONGEST_LINE`] is counted and not kept.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    text: Vec<u8>,
    length: usize,
}

impl Unfinished {
    /// Whether it has no bytes yet.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The bytes that are kept.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    pub fn push(&mut self, bytes: &[u8]) -> Result<(), OutOfMemory> {
        self.length += bytes.len();
        let room = LONGEST_LINE.saturating_sub(self.text.len());
        append(&mut self.text, bytes.get(..room).unwrap_or(bytes))
    }

    /// The line, now that it is known how it ends.
    pub fn line(&self, number: u32, ended: bool) -> Line<'_> {
        Line { number, text: &self.text, length: self.length, ended }
    }

    /// Empties it and keeps its memory.
    pub fn emptied(mut self) -> Unfinished {
        self.text.clear();
        Unfinished { text: self.text, length: 0 }
    }
}

/// The lines of a table, in order. Bytes after the last newline are a line of their own.
#[derive(Clone, Debug)]
pub(super) struct Lines<'a> {
    source: &'a [u8],
    at: usize,
    number: u32,
}

impl<'a> Lines<'a> {
    /// Iterates over the lines of `source`.
    pub fn of(source: &'a [u8]) -> Lines<'a> {
        Lines::after(0, source)
    }

    /// The lines of a piece of a table that follows after `lines` lines.
    pub fn after(lines: u32, piece: &'a [u8]) -> Lines<'a> {
        Lines { source: piece, at: 0, number: lines }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let start = self.at;
        let rest = self.source.get(start..).filter(|rest| !rest.is_empty())?;
        let newline = memchr::memchr(b'\n', rest);
        let len = newline.unwrap_or(rest.len());
        self.at = start + len + 1;
        self.number = self.number.saturating_add(1);
        Some(Line { number: self.number, text: &rest[..len], length: len, ended: newline.is_some() })
    }
}

/// Fields are parted by blanks and tabs, and by nothing else (misc.c, skip_comments; entry.c).
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// What C calls white space: the reference implementations use it around the `=` of a setting and at the end of its value (env.c).
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c)
}

/// The line without the carriage return that a CRLF line end leaves behind.
pub(super) fn without_cr(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// A reading position in a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the first byte of `text`.
    pub fn new(text: &'a [u8]) -> Cursor<'a> {
        Cursor { text, at: 0 }
    }

    /// Offset of the next byte.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The rest, which has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next byte, which stays unread.
    pub fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Advances by a number of bytes.
    pub fn advance(&mut self, bytes: usize) {
        self.at = self.text.len().min(self.at.saturating_add(bytes));
    }

    /// Goes past that byte if it is the next one.
    pub fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    /// Goes past bytes of a kind and returns them.
    pub fn take_while(&mut self, mut kind: impl FnMut(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let len = rest.iter().position(|&byte| !kind(byte)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    pub fn skip_blanks(&mut self) {
        while self.peek().is_some_and(is_blank) {
            self.at += 1;
        }
    }

    /// Reads up to the next blank.
    pub fn word(&mut self) -> &'a [u8] {
        self.take_while(|byte| !is_blank(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_belongs_to_one_line() {
        for (source, lines) in [
            ("", vec![]),
            ("\n", vec![("", true)]),
            ("a", vec![("a", false)]),
            ("a\n", vec![("a", true)]),
            ("a\n\nb", vec![("a", true), ("", true), ("b", false)]),
            ("a\r\n", vec![("a\r", true)]),
        ] {
            let found: Vec<_> =
                Lines::of(source.as_bytes()).map(|line| (String::from_utf8_lossy(line.text), line.ended)).collect();
            let wanted: Vec<_> = lines.into_iter().map(|(text, ended)| (text.into(), ended)).collect();
            assert_eq!(found, wanted, "{source:?}");
        }
    }

    #[test]
    fn of_a_line_in_pieces_no_more_is_kept_than_a_line_may_have() {
        let mut line = Unfinished::default();
        for length in [LONGEST_LINE - 1, 5, LONGEST_LINE, 7] {
            line.push(&vec![b'x'; length]).unwrap();
        }
        assert_eq!((line.text().len(), line.line(1, true).length), (LONGEST_LINE, 2 * LONGEST_LINE + 11));
    }
}
