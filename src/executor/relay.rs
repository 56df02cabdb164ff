//! Standalone mode: writes the output of jobs to standard output and standard error, in complete lines and without blocking.
//!
//! The lines are written as the jobs write them, since log collectors parse them; or with the job's name in front of each; or as JSON objects.

use super::config::ExecutorConfig;
use super::job::Stream;
use crate::report::Target;
use crate::schedule::Timestamp;
use crate::scheduler::{JobId, RunId, RunRequest};
use crate::sys::descriptor::StandardStream;
use crate::sys::{clock, descriptor};
use std::borrow::Cow;
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
    stream: StandardStream,
    waiting: Vec<u8>,
    written: usize,
}

/// How the output lines of jobs are written to standard output (`crond FILE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineFormat {
    /// As the job has written them.
    Raw,
    /// `backup: TEXT`.
    Prefixed,
    /// One JSON object for each line.
    Json,
}

impl LineFormat {
    /// The format that the settings ask for.
    pub(super) fn of(config: &ExecutorConfig) -> LineFormat {
        match config.log {
            Target::Json => LineFormat::Json,
            _ if config.prefix_output => LineFormat::Prefixed,
            _ => LineFormat::Raw,
        }
    }
}

/// The relay of both streams, with the incomplete lines of jobs.
#[derive(Debug)]
pub(super) struct Relay {
    format: LineFormat,
    streams: [RelayedStream; 2],
    /// By the number of the run, and its stream.
    partial: HashMap<(u64, Stream), PartialLine>,
    /// Whether complete lines are kept as they are until more of the stream has been written.
    has_held: [bool; 2],
}

/// The output of one stream of a job that is not a complete line yet, or that is held because too much waits for the reader.
#[derive(Debug)]
struct PartialLine {
    line: Vec<u8>,
    /// Whether the output has ended.
    is_ended: bool,
    job: JobId,
    run: RunId,
    table: String,
    number: u32,
}

/// A line of output as JSON.
#[derive(serde::Serialize)]
struct OutputLine<'a> {
    time: String,
    level: &'static str,
    event: &'static str,
    job: &'a str,
    run_id: u64,
    source: &'a str,
    line: u32,
    stream: &'static str,
    output: Cow<'a, str>,
}

impl Relay {
    pub(super) fn new(format: LineFormat) -> Relay {
        let streams = [StandardStream::Output, StandardStream::Error];
        let streams = streams.map(|stream| RelayedStream { stream, waiting: Vec::new(), written: 0 });
        Relay { format, streams, partial: HashMap::new(), has_held: [false; 2] }
    }

    /// Appends output of a run of a job. `id` is the number of the run here.
    pub(super) fn push(&mut self, id: u64, start: &RunRequest, stream: Stream, bytes: &[u8]) {
        let partial = self.partial.entry((id, stream)).or_insert_with(|| PartialLine {
            line: Vec::new(),
            is_ended: false,
            job: start.job.clone(),
            run: start.run,
            table: start.source.path.clone(),
            number: start.line,
        });
        partial.line.extend_from_slice(bytes);
        partial.is_ended = false;
        let [output, errors] = &mut self.streams;
        let [output_held, errors_held] = &mut self.has_held;
        let (to, held) = match stream {
            Stream::Output => (output, output_held),
            Stream::Error => (errors, errors_held),
        };
        *held |= partial.format(self.format, to);
    }

    /// Ends the output of a run. An incomplete last line gets a newline.
    pub(super) fn end(&mut self, id: u64) {
        for stream in [Stream::Output, Stream::Error] {
            let Some(partial) = self.partial.get_mut(&(id, stream)) else { continue };
            partial.is_ended = true;
            if partial.line.last().is_some_and(|last| *last != b'\n') {
                partial.line.push(b'\n');
            }
        }
        self.format_held(|number| number == id);
    }

    /// Whether everything has been written.
    pub(super) fn is_empty(&self) -> bool {
        self.streams.iter().all(|out| out.waiting.is_empty()) && self.has_held == [false; 2]
    }

    /// Whether no more output should be read from jobs for now.
    pub(super) fn is_full(&self) -> bool {
        self.streams.iter().any(RelayedStream::is_full) || self.has_held != [false; 2]
    }

    /// Writes as much as possible without blocking.
    pub(super) fn flush(&mut self) {
        self.streams.iter_mut().for_each(RelayedStream::flush);
        while self.streams.iter().zip(self.has_held).any(|(stream, has_held)| has_held && !stream.is_full()) {
            self.has_held = [false; 2];
            self.format_held(|_| true);
            self.streams.iter_mut().for_each(RelayedStream::flush);
        }
    }

    /// Formats complete lines of these runs up to the bound of what waits.
    fn format_held(&mut self, is_meant: impl Fn(u64) -> bool) {
        let Relay { format, streams: [output, errors], has_held: [output_held, errors_held], .. } = self;
        self.partial.retain(|(id, stream), partial| {
            if !is_meant(*id) {
                return true;
            }
            let (to, held) = match stream {
                Stream::Output => (&mut *output, &mut *output_held),
                Stream::Error => (&mut *errors, &mut *errors_held),
            };
            *held |= partial.format(*format, to);
            !(partial.is_ended && partial.line.is_empty())
        });
    }
}

impl PartialLine {
    /// Formats its complete lines, or a line that is too long, up to the bound of what waits. True if some are left.
    fn format(&mut self, format: LineFormat, to: &mut RelayedStream) -> bool {
        let end = match memchr::memrchr(b'\n', &self.line) {
            Some(end) => end + 1,
            None if self.line.len() > LONGEST_LINE => self.line.len(),
            None => return false,
        };
        let rest = self.line.split_off(end);
        let mut lines = std::mem::replace(&mut self.line, rest);
        let formatted = format.write(&lines, self, to);
        if formatted >= lines.len() {
            return false;
        }
        lines.drain(..formatted);
        lines.append(&mut self.line);
        self.line = lines;
        true
    }
}

impl LineFormat {
    /// Writes lines, or a piece of one that is too long, until the stream is full. Returns how many bytes of them it has written: what is added to
    /// each line can be far longer than the line.
    fn write(self, lines: &[u8], of: &PartialLine, stream: &mut RelayedStream) -> usize {
        let mut formatted = 0;
        let limit = stream.written.saturating_add(MOST_WAITING);
        let RelayedStream { stream, waiting: to, .. } = stream;
        match self {
            LineFormat::Raw => {
                to.extend_from_slice(lines);
                formatted = lines.len();
            }
            LineFormat::Prefixed => {
                for line in lines.split_inclusive(|byte| *byte == b'\n') {
                    if to.len() > limit {
                        break;
                    }
                    formatted += line.len();
                    let line = line.strip_suffix(b"\n").unwrap_or(line);
                    to.extend_from_slice(of.job.name().as_bytes());
                    to.extend_from_slice(b": ");
                    to.extend_from_slice(line);
                    to.push(b'\n');
                }
            }
            LineFormat::Json => {
                let now = clock::wall_ms();
                let time = Timestamp(now.div_euclid(1000)).to_string();
                let time = format!("{}.{:03}Z", time.trim_end_matches('Z'), now.rem_euclid(1000));
                for line in lines.split_inclusive(|byte| *byte == b'\n') {
                    if to.len() > limit {
                        break;
                    }
                    formatted += line.len();
                    let line = line.strip_suffix(b"\n").unwrap_or(line);
                    let object = OutputLine {
                        time: time.clone(),
                        level: "info",
                        event: "OUTPUT",
                        job: of.job.as_str(),
                        run_id: of.run.0,
                        source: &of.table,
                        line: of.number,
                        stream: if *stream == StandardStream::Error { "stderr" } else { "stdout" },
                        output: String::from_utf8_lossy(line),
                    };
                    // Writing into memory cannot fail, and all keys are text.
                    let _ = serde_json::to_writer(&mut *to, &object);
                    to.push(b'\n');
                }
            }
        }
        formatted
    }
}

impl RelayedStream {
    fn is_full(&self) -> bool {
        self.waiting.len() - self.written > MOST_WAITING
    }

    fn flush(&mut self) {
        if self.written > MOST_WAITING {
            self.waiting.drain(..self.written);
            self.written = 0;
        }
        let to = descriptor::standard(self.stream);
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
    use crate::executor::test_request::request;

    fn waiting(relay: &Relay) -> [&[u8]; 2] {
        let [output, errors] = &relay.streams;
        [&output.waiting, &errors.waiting]
    }

    fn start(run: u64, name: &str) -> RunRequest {
        RunRequest { job: JobId::named("alice", name), ..request(run) }
    }

    #[test]
    fn lines_of_two_jobs_are_not_mixed() {
        let (one, two) = (start(1, "one"), start(2, "two"));
        let written = |format| {
            let mut relay = Relay::new(format);
            relay.push(1, &one, Stream::Output, b"one ");
            relay.push(2, &two, Stream::Output, b"two\nthr");
            relay.push(1, &one, Stream::Error, b"oops\n");
            relay.push(1, &one, Stream::Output, b"more\n\n");
            relay.end(2);
            relay.end(1);
            waiting(&relay).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
        };
        assert_eq!(written(LineFormat::Raw), ["two\none more\n\nthr\n", "oops\n"]);
        assert_eq!(written(LineFormat::Prefixed), ["two: two\none: one more\none: \ntwo: thr\n", "one: oops\n"]);
        let [output, errors] = written(LineFormat::Json);
        let seen: Vec<[String; 3]> = output
            .lines()
            .chain(errors.lines())
            .map(|line| {
                let object: serde_json::Value = serde_json::from_str(line).unwrap();
                ["job", "stream", "output"].map(|key| object[key].as_str().unwrap().to_owned())
            })
            .collect();
        let expected = [
            ["alice:two", "stdout", "two"],
            ["alice:one", "stdout", "one more"],
            ["alice:one", "stdout", ""],
            ["alice:two", "stdout", "thr"],
            ["alice:one", "stderr", "oops"],
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_line_without_end_goes_out_in_pieces() {
        let mut relay = Relay::new(LineFormat::Raw);
        let one = start(1, "one");
        relay.push(1, &one, Stream::Output, &vec![b'x'; LONGEST_LINE]);
        assert!(relay.is_empty());
        relay.push(1, &one, Stream::Output, b"y");
        assert_eq!(waiting(&relay)[0].len(), LONGEST_LINE + 1);
        relay.push(1, &one, Stream::Output, &vec![b'x'; MOST_WAITING]);
        assert!(relay.is_full());
    }

    #[test]
    fn short_lines_are_bounded_as_they_are_written_and_none_is_lost() {
        let (mut relay, one) = (Relay::new(LineFormat::Json), start(1, "one"));
        let lines = 20_000;
        relay.push(1, &one, Stream::Output, &vec![b'\n'; lines]);
        relay.push(1, &one, Stream::Output, b"last");
        relay.end(1);
        let mut seen = Vec::new();
        while !relay.is_empty() {
            assert!(waiting(&relay)[0].len() < MOST_WAITING + 1000);
            assert_eq!(relay.is_full(), relay.has_held[0], "held lines are those that do not fit");
            seen.append(&mut relay.streams[0].waiting);
            relay.has_held = [false; 2];
            relay.format_held(|_| true);
        }
        let seen = String::from_utf8(seen).unwrap();
        assert_eq!(seen.lines().count(), lines + 1);
        assert!(seen.ends_with("\"output\":\"last\"}\n") && relay.partial.is_empty(), "{:?}", seen.lines().last());
    }
}
