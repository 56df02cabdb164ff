//! Asks yes-or-no questions on the terminal.

use super::messages;
use crate::sys::descriptor;
use crate::sys::descriptor::StandardStream;
use crate::sys::interrupts::{EndRequest, EndRequests};
use std::io;

/// The answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Yes,
    /// No, or standard input has ended.
    No,
    /// A signal asked the program to terminate.
    Ended(EndRequest),
}

/// A line of standard input, or the event that came first.
enum Reply {
    Line(Vec<u8>),
    End,
    Ended(EndRequest),
}

/// Asks on standard output and reads a line of standard input. None at its end.
pub fn ask(question: &str) -> Option<Vec<u8>> {
    messages::question(question);
    match read_line(None) {
        Reply::Line(line) => Some(line),
        Reply::End | Reply::Ended(_) => None,
    }
}

/// Asks on standard error, where the reference implementations ask nothing, until the answer begins with y or n.
pub fn confirm(question: &str, signals: &EndRequests) -> Answer {
    loop {
        messages::warn_raw(question);
        match read_line(Some(signals)) {
            Reply::Line(line) => match first(&line) {
                b'y' | b'Y' => return Answer::Yes,
                b'n' | b'N' => return Answer::No,
                _ => {}
            },
            Reply::End => return Answer::No,
            Reply::Ended(request) => return Answer::Ended(request),
        }
    }
}

/// Asks until the answer begins with y or n, and prints `again` on standard error after any other answer. The reference
/// implementations repeat the question for ever at the end of standard input; here that counts as no. With `signals`, one of
/// them ends the question.
pub fn yes_or_no(question: &str, repeat_question: bool, again: &str, signals: Option<&EndRequests>) -> Answer {
    messages::question(question);
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
        messages::warn_raw(again);
        if repeat_question {
            messages::question(question);
        }
    }
}

/// The first byte of an answer; a newline if the answer is empty.
pub fn first(answer: &[u8]) -> u8 {
    answer.first().copied().unwrap_or(b'\n')
}

/// Reads a line byte by byte, so that text after it is left for the next editor.
fn read_line(signals: Option<&EndRequests>) -> Reply {
    let mut line = Vec::new();
    loop {
        if let Some(request) = signals.and_then(|signals| signals.wait_for(descriptor::standard(StandardStream::Input)))
        {
            return Reply::Ended(request);
        }
        let mut byte = [0];
        match descriptor::read(descriptor::standard(StandardStream::Input), &mut byte) {
            Ok(0) if line.is_empty() => return Reply::End,
            Ok(0) => return Reply::Line(line),
            Ok(_) if byte == *b"\n" => return Reply::Line(line),
            // Answers are short. The rest of a long line is discarded.
            Ok(_) if line.len() < 80 => line.extend(byte),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Reply::End,
        }
    }
}
