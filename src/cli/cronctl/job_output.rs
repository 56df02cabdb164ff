//! The output of jobs on its way to the caller: as it is to files and pipes, harmless and in whole lines to terminals.

use super::error::Error;
use crate::report::text;
use crate::varlink::cron::OutputPart;
use crate::varlink::history;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::io::{self, IsTerminal, Write};

/// Bytes of a line without an end that are kept back.
const LONGEST_LINE: usize = 64 << 10;

/// One of the two streams of a job.
#[derive(Debug, Default)]
struct Stream {
    /// The beginning of the line whose end has not arrived yet.
    begun: Vec<u8>,
}

/// Writes output of a job.
#[derive(Debug)]
pub(super) struct JobOutput {
    streams: [Stream; 2],
    /// Whether what the job writes to its standard error goes to standard error here.
    is_separate: bool,
    /// The stream whose line was begun on the terminal, or in the file.
    open_line: Option<usize>,
}

impl JobOutput {
    /// Both streams go to standard output, or each to its own.
    pub(super) fn new(is_separate: bool) -> JobOutput {
        JobOutput { streams: Default::default(), is_separate, open_line: None }
    }

    /// Writes the complete lines of one part of the output.
    pub(super) fn write(&mut self, part: &OutputPart) -> Result<(), Error> {
        let bytes = decoded(&part.data, part.base64)?;
        let number = usize::from(part.stream == "error");
        if self.is_separate && !is_terminal(number) {
            return put(number, &bytes);
        }
        let Some(stream) = self.streams.get_mut(number) else { return Ok(()) };
        stream.begun.extend_from_slice(&bytes);
        let end = match stream.begun.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => at + 1,
            None if stream.begun.len() > LONGEST_LINE => stream.begun.len(),
            None => return Ok(()),
        };
        let rest = stream.begun.split_off(end);
        let whole = std::mem::replace(&mut stream.begun, rest);
        self.show(number, &whole)
    }

    /// Writes what there is of lines that have not ended, because nothing has come for some time.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        for number in 0..self.streams.len() {
            let begun = self.streams.get_mut(number).map(|stream| std::mem::take(&mut stream.begun));
            if let Some(begun) = begun.filter(|begun| !begun.is_empty()) {
                self.show(number, &begun)?;
            }
        }
        Ok(())
    }

    /// Writes the rest, and ends a line that was begun on a terminal.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.flush()?;
        match self.open_line.take() {
            Some(number) if is_terminal(self.target(number)) => put(self.target(number), b"\n"),
            _ => Ok(()),
        }
    }

    fn show(&mut self, number: usize, bytes: &[u8]) -> Result<(), Error> {
        let target = self.target(number);
        if self.open_line.is_some_and(|open| open != number) && is_terminal(target) {
            // The line of the other stream is not continued by this one.
            put(target, b"\n")?;
        }
        self.open_line = (!bytes.ends_with(b"\n")).then_some(number);
        if is_terminal(target) { put(target, text::output(bytes).as_bytes()) } else { put(target, bytes) }
    }

    fn target(&self, number: usize) -> usize {
        if self.is_separate { number } else { 0 }
    }
}

/// The kept output of a run that has ended: its beginning, what was left out, its end.
pub(super) fn kept(output: &history::Output) -> Result<Vec<u8>, Error> {
    let mut bytes = decoded(&output.head, output.base64)?;
    if output.cut > 0 {
        if !bytes.ends_with(b"\n") {
            bytes.push(b'\n');
        }
        bytes.extend(format!("[... {} bytes were not kept ...]\n", output.cut).bytes());
    }
    bytes.extend(decoded(&output.tail, output.base64)?);
    Ok(bytes)
}

/// Writes kept output to standard output.
pub(super) fn print_kept(output: &history::Output) -> Result<(), Error> {
    let bytes = kept(output)?;
    let is_open = bytes.last().is_some_and(|last| *last != b'\n');
    match is_terminal(0) {
        true => put(0, (text::output(&bytes) + if is_open { "\n" } else { "" }).as_bytes()),
        false => put(0, &bytes),
    }
}

fn is_terminal(number: usize) -> bool {
    if number == 0 { io::stdout().is_terminal() } else { io::stderr().is_terminal() }
}

fn put(number: usize, bytes: &[u8]) -> Result<(), Error> {
    let written = if number == 0 {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush())
    } else {
        io::stderr().write_all(bytes)
    };
    written.map_err(|error| Error::Output(error.into()))
}

/// The bytes of output that was sent as text.
pub(super) fn decoded(data: &str, is_base64: bool) -> Result<Vec<u8>, Error> {
    if !is_base64 {
        return Ok(data.as_bytes().to_vec());
    }
    let wrong = |_| Error::NoAnswer { message: "the daemon has sent wrong base64".to_owned() };
    BASE64_STANDARD.decode(data).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_in_kept_output_is_told() {
        let output = |cut, tail: &str| history::Output { head: "head".into(), tail: tail.into(), cut, base64: false };
        assert_eq!(kept(&output(0, "")).unwrap(), b"head");
        assert_eq!(kept(&output(7, "tail\n")).unwrap(), b"head\n[... 7 bytes were not kept ...]\ntail\n");
    }
}
