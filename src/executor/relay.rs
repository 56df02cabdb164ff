//! Standalone: what jobs write goes to our own standard output and standard error, whole lines at a time, and never so that we wait.

use super::job::Stream;
use crate::sys::descriptor;
use std::collections::HashMap;
use std::io;

/// Beyond this much unwritten, jobs have to wait until whoever reads us has caught up.
const MOST_WAITING: usize = 1 << 20;
/// A line longer than this goes out in pieces.
const LONGEST_LINE: usize = 64 << 10;
/// What a pipe with any room at all takes at once (pipe(7)).
const PAGE: usize = 4096;

/// One of our two standard streams, with what waits to be written to it.
#[derive(Debug)]
struct Out {
    error: bool,
    waiting: Vec<u8>,
    written: usize,
}

/// Both streams, and the unfinished lines of jobs.
#[derive(Debug)]
pub(super) struct Relay {
    outs: [Out; 2],
    begun: HashMap<(u64, bool), Vec<u8>>,
}

impl Relay {
    pub(super) fn new() -> Relay {
        let out = |error| Out { error, waiting: Vec::new(), written: 0 };
        Relay { outs: [out(false), out(true)], begun: HashMap::new() }
    }

    /// Takes what a job wrote.
    pub(super) fn push(&mut self, job: u64, stream: Stream, bytes: &[u8]) {
        let error = stream == Stream::Error;
        let line = self.begun.entry((job, error)).or_default();
        line.extend_from_slice(bytes);
        let whole = match memchr::memrchr(b'\n', line) {
            Some(end) => end + 1,
            None if line.len() > LONGEST_LINE => line.len(),
            None => return,
        };
        let begun = line.split_off(whole);
        let lines = std::mem::replace(line, begun);
        self.out(error).waiting.extend_from_slice(&lines);
    }

    /// A job writes no more: a line that it did not end is ended here.
    pub(super) fn end(&mut self, job: u64) {
        for error in [false, true] {
            if let Some(mut line) = self.begun.remove(&(job, error)).filter(|line| !line.is_empty()) {
                line.push(b'\n');
                self.out(error).waiting.append(&mut line);
            }
        }
    }

    /// Whether nothing waits to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.outs.iter().all(|out| out.waiting.is_empty())
    }

    /// Whether no more should be taken for now.
    pub(super) fn is_full(&self) -> bool {
        self.outs.iter().any(|out| out.waiting.len() - out.written > MOST_WAITING)
    }

    /// Writes what goes without waiting.
    pub(super) fn flush(&mut self) {
        self.outs.iter_mut().for_each(Out::flush);
    }

    fn out(&mut self, error: bool) -> &mut Out {
        let [output, errors] = &mut self.outs;
        if error { errors } else { output }
    }
}

impl Out {
    fn flush(&mut self) {
        let to = descriptor::standard(self.error);
        while let Some(rest) = self.waiting.get(self.written..).filter(|rest| !rest.is_empty()) {
            if !descriptor::takes_output(to) {
                return;
            }
            // No more than a page: our standard output may be somebody's pipe in blocking mode.
            match descriptor::write(to, rest.get(..PAGE).unwrap_or(rest)) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Nobody reads any more: as with any program whose output is closed, what it would have said is lost.
                Err(_) => break,
            }
        }
        (self.waiting, self.written) = (Vec::new(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(relay: &Relay) -> [&[u8]; 2] {
        let [output, errors] = &relay.outs;
        [&output.waiting, &errors.waiting]
    }

    #[test]
    fn lines_of_two_jobs_are_not_mixed() {
        let mut relay = Relay::new();
        relay.push(1, Stream::Output, b"one ");
        relay.push(2, Stream::Output, b"two\nthr");
        relay.push(1, Stream::Error, b"oops\n");
        relay.push(1, Stream::Output, b"more\n");
        relay.end(2);
        relay.end(1);
        assert_eq!(waiting(&relay), [&b"two\none more\nthr\n"[..], b"oops\n"]);
    }

    #[test]
    fn a_line_without_end_goes_out_in_pieces() {
        let mut relay = Relay::new();
        relay.push(1, Stream::Output, &vec![b'x'; LONGEST_LINE]);
        assert!(relay.is_empty());
        relay.push(1, Stream::Output, b"y");
        assert_eq!(waiting(&relay)[0].len(), LONGEST_LINE + 1);
        relay.push(1, Stream::Output, &vec![b'x'; MOST_WAITING]);
        assert!(relay.is_full());
    }
}
