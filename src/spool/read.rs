//! Reads a crontab file in pieces of bounded size and passes them to the parser.

use crate::crontab::{Context, Crontab, Dialect, KnownNames, Machine, OutOfMemory, Parsed, Parser};
use crate::schedule::HostKey;
use crate::scheduler::{Owner, Source};
use crate::sys::{files, memory};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

/// The maximum number of bytes per read.
const PIECE: usize = 64 << 10;

/// An open crontab file that has passed the checks but has not been read yet.
#[derive(Debug)]
pub struct TableFile {
    file: File,
    size: u64,
}

impl TableFile {
    /// Wraps an open file. `size` is its size in bytes, 0 if unknown.
    pub fn new(file: OwnedFd, size: u64) -> TableFile {
        TableFile { file: file.into(), size }
    }

    /// Reads and parses the crontab. Each piece of the file is passed to `see`. Warnings that depend on the machine need `machine`.
    ///
    /// # Errors
    /// Errors of read(2), or [`io::ErrorKind::OutOfMemory`] if there is not enough memory for the crontab.
    pub fn parse(
        &self,
        source: &Source,
        dialect: &Dialect,
        host: HostKey,
        known: KnownNames<'_>,
        machine: Option<&dyn Machine>,
        see: &mut dyn FnMut(&[u8]),
    ) -> io::Result<Parsed> {
        let (name, is_installed) = match &source.owner {
            Owner::User { name, .. } => (name, true),
            Owner::System | Owner::Caller => (&source.path, false),
        };
        let context = Context { form: source.owner.form(), dialect, name, host, known };
        let parser = Parser::new(&context);
        let parser = if is_installed { parser.of_installed() } else { parser };
        let parser = if let Some(machine) = machine { parser.on_machine(machine) } else { parser };
        let parsed = parse(&mut &self.file, self.size, parser, see)?;
        reserve_for_loading(&parsed.table)?;
        Ok(parsed)
    }

    /// Reads the whole file, for files that are not crontabs.
    ///
    /// # Errors
    /// Errors of read(2), or [`io::ErrorKind::FileTooLarge`] if there are more than `most` bytes.
    pub fn bytes(&self, most: usize) -> io::Result<Vec<u8>> {
        files::read_to_end(&self.file, self.size, most)
    }
}

/// Reads and parses a crontab to its end, or until it is too large. `size` is the expected size in bytes, 0 if unknown.
///
/// # Errors
/// Errors of read(2), or [`io::ErrorKind::OutOfMemory`] if there is not enough memory for the crontab.
pub fn parse(
    source: &mut dyn Read,
    size: u64,
    mut parser: Parser<'_>,
    see: &mut dyn FnMut(&[u8]),
) -> io::Result<Parsed> {
    let out_of_memory = |_: OutOfMemory| io::Error::from(io::ErrorKind::OutOfMemory);
    parser.expect_size(size);
    // One byte more than expected, so that one read suffices to see the end of a small file.
    let room = usize::try_from(size).unwrap_or(PIECE).saturating_add(1);
    let mut piece = vec![0; if size == 0 { PIECE } else { room.min(PIECE) }];
    let mut seen = 0;
    loop {
        let length = fill(source, &mut piece, size - seen.min(size))?;
        let read = piece.get(..length).unwrap_or_default();
        see(read);
        parser.feed(read).map_err(out_of_memory)?;
        seen += length as u64;
        if length < piece.len() || parser.is_too_large() {
            return parser.finish().map_err(out_of_memory);
        }
    }
}

/// Reads until the buffer is full, the file ends, or one read has returned exactly the expected rest.
fn fill(source: &mut dyn Read, room: &mut [u8], rest: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(free) = room.get_mut(filled..).filter(|free| !free.is_empty()) {
        match source.read(free) {
            Ok(0) => break,
            Ok(read) if filled == 0 && read as u64 == rest && read < free.len() => return Ok(read),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Fails if there is too little memory to make a table live.
///
/// The scheduler makes many small allocations for a table, and none of them can fail by itself. So an upper bound of their total is
/// allocated here and freed at once. That is enough because the daemon loads a table in its only thread, right after this. An entry takes
/// less than `EACH` bytes beside what the parser has made of it, its timer and the lists that it is in included.
fn reserve_for_loading(table: &Crontab) -> io::Result<()> {
    const EACH: usize = 256;
    /// Below this number of bytes, no check is made.
    const LITTLE: usize = 1 << 20;
    let needed = table.entries.len().saturating_mul(EACH);
    if needed < LITTLE { Ok(()) } else { memory::reserve(needed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crontab::Form;
    use crate::profile::DEBIAN;
    use crate::schedule::{HostKey, OnlyUtc};

    fn context() -> Context<'static> {
        Context {
            form: Form::System,
            dialect: &DEBIAN.dialect,
            name: "t",
            host: HostKey(0),
            known: KnownNames::of_zones(&OnlyUtc),
        }
    }

    /// Gives a text in reads of one size, each second of which is interrupted, and counts them.
    struct Slow<'a> {
        text: &'a [u8],
        at_once: usize,
        reads: usize,
    }

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.reads += 1;
            if self.reads.is_multiple_of(2) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let length = self.at_once.min(into.len()).min(self.text.len());
            let (now, later) = self.text.split_at(length);
            into[..length].copy_from_slice(now);
            self.text = later;
            Ok(length)
        }
    }

    #[test]
    fn a_table_is_the_same_however_its_reads_are_cut() {
        let long = format!("# {}\n@daily root long\n", "x".repeat(300_000));
        let context = context();
        for text in ["", "@daily root a\nA=b\n@daily root c\n", long.as_str(), "@daily root no-newline"] {
            let whole = Crontab::parse(text.as_bytes(), &context).unwrap();
            for (at_once, size) in [(1, 0), (7, text.len()), (usize::MAX, text.len()), (usize::MAX, 0), (100, 3)] {
                let mut slow = Slow { text: text.as_bytes(), at_once, reads: 0 };
                let mut seen = Vec::new();
                let parser = Parser::new(&context);
                let parsed = parse(&mut slow, size as u64, parser, &mut |piece| seen.extend_from_slice(piece)).unwrap();
                assert_eq!(seen, text.as_bytes());
                assert_eq!(format!("{:?}", parsed.table), format!("{:?}", whole.table));
                assert_eq!(parsed.newlines, whole.newlines);
                assert_eq!(parsed.diagnostics, whole.diagnostics);
            }
        }
    }

    #[test]
    fn a_small_file_takes_one_read_and_one_that_is_too_large_no_more() {
        let mut small = Slow { text: b"@daily root a\n", at_once: usize::MAX, reads: 0 };
        parse(&mut small, 14, Parser::new(&context()), &mut |_| {}).unwrap();
        assert_eq!(small.reads, 1);
        let mut large = Slow { text: &[0; 200_000], at_once: usize::MAX, reads: 0 };
        let parsed = parse(&mut large, 65 << 20, Parser::new(&context()), &mut |_| {}).unwrap();
        assert_eq!((large.reads, parsed.errors().count()), (1, 1));
    }
}
