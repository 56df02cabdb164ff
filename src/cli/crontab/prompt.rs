//! Questions on the terminal.

use super::tell;
use crate::sys::descriptor;
use crate::sys::interrupts::{EndRequest, EndRequests};
use std::io;

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    Yes,
    /// No, or nobody is there to answer.
    No,
    /// A signal asked the program to end meanwhile.
    Ended(EndRequest),
}

/// A line of standard input, or what came instead.
enum Reply {
    Line(Vec<u8>),
    End,
    Ended(EndRequest),
}

/// Asks on standard output and takes the first line of standard input; none at its end.
pub fn ask(question: &str) -> Option<Vec<u8>> {
    tell::question(question);
    match read_line(None) {
        Reply::Line(line) => Some(line),
        Reply::End | Reply::Ended(_) => None,
    }
}

/// Asks until the answer begins with y or n, with `again` on standard error after each other answer. The reference implementations ask for
/// ever when nobody can answer; here that is a no. With `signals`, one of them ends the question.
pub fn yes_or_no(question: &str, repeat_question: bool, again: &str, signals: Option<&EndRequests>) -> Answer {
    tell::question(question);
    loop {
        match read_line(signals) {
            Reply::Line(line) => match first(&line) {
                b'y' | b'Y' => return Answer::Yes,
                b'n' | b'N' => return Answer::No,
                _ => {}
            },
            Reply::End => return Answer::No,
            Reply::Ended(request) => return Answer::Ended(request),
        }
        tell::warn_raw(again);
        if repeat_question {
            tell::question(question);
        }
    }
}

/// The first byte of an answer, a newline if it is empty.
pub fn first(answer: &[u8]) -> u8 {
    answer.first().copied().unwrap_or(b'\n')
}

/// Reads a line byte by byte: what follows it is the next editor's.
fn read_line(signals: Option<&EndRequests>) -> Reply {
    let mut line = Vec::new();
    loop {
        if let Some(request) = signals.and_then(|signals| signals.wait_for(descriptor::standard_input())) {
            return Reply::Ended(request);
        }
        let mut byte = [0];
        match descriptor::read(descriptor::standard_input(), &mut byte) {
            Ok(0) if line.is_empty() => return Reply::End,
            Ok(0) => return Reply::Line(line),
            Ok(_) if byte == *b"\n" => return Reply::Line(line),
            // An answer is short; the rest of a long line is read and dropped.
            Ok(_) if line.len() < 80 => line.extend(byte),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Reply::End,
        }
    }
}
