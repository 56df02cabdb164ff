//! Standalone mode: writes the output of jobs to standard output and standard error, in complete lines and without blocking.

use super::job::Stream;
use crate::sys::descriptor;
use std::collections::HashMap;
use std::io;

/// Maximum number of unwritten bytes. Above it the output of jobs is not read until the reader has caught up.
const MOST_WAITING: usize = 1 << 20;
/// Maximum length of a line. Longer lines are written in pieces.
const LONGEST_LINE: usize = 64 << 10;
/// Number of bytes that a writable pipe accepts at once (pipe(7)).
const PAGE: usize = 4096;

/// Standard output or standard error, and the data that is still to be written to it.
#[derive(Debug)]
struct RelayedStream {
    error: bool,
    waiting: Vec<u8>,
    written: usize,
}

/// Both streams and the incomplete lines of jobs.
#[derive(Debug)]
pub(super) struct Relay {
    streams: [RelayedStream; 2],
    begun: HashMap<(u64, bool), Vec<u8>>,
}

impl Relay {
    pub(super) fn new() -> Relay {
        let out = |error| RelayedStream { error, waiting: Vec::new(), written: 0 };
        Relay { streams: [out(false), out(true)], begun: HashMap::new() }
    }

    /// Appends output of a job.
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
        self.stream(error).waiting.extend_from_slice(&lines);
    }

    /// Ends the output of a job. An incomplete last line gets a newline.
    pub(super) fn end(&mut self, job: u64) {
        for error in [false, true] {
            if let Some(mut line) = self.begun.remove(&(job, error)).filter(|line| !line.is_empty()) {
                line.push(b'\n');
                self.stream(error).waiting.append(&mut line);
            }
        }
    }

    /// Whether everything has been written.
    pub(super) fn is_empty(&self) -> bool {
        self.streams.iter().all(|out| out.waiting.is_empty())
    }

    /// Whether no more output should be read from jobs for now.
    pub(super) fn is_full(&self) -> bool {
        self.streams.iter().any(|out| out.waiting.len() - out.written > MOST_WAITING)
    }

    /// Writes as much as possible without blocking.
    pub(super) fn flush(&mut self) {
        self.streams.iter_mut().for_each(RelayedStream::flush);
    }

    fn stream(&mut self, error: bool) -> &mut RelayedStream {
        let [output, errors] = &mut self.streams;
        if error { errors } else { output }
    }
}

impl RelayedStream {
    fn flush(&mut self) {
        let to = descriptor::standard(self.error);
        while let Some(rest) = self.waiting.get(self.written..).filter(|rest| !rest.is_empty()) {
            if !descriptor::takes_output(to) {
                return;
            }
            // At most a page, because standard output may be a pipe in blocking mode.
            match descriptor::write(to, rest.get(..PAGE).unwrap_or(rest)) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The reader is gone. As with any program whose output is closed, the rest is lost.
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
        let [output, errors] = &relay.streams;
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
