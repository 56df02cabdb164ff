//! Questions on the terminal.

use std::io::{BufRead, Write};

/// Asks on standard output and takes the first line of standard input; none at its end.
pub fn ask(question: &str) -> Option<Vec<u8>> {
    print(question);
    answer()
}

/// Asks until the answer begins with y or n, with `again` on standard error after each other answer. The incumbents ask for
/// ever when nobody can answer; here that is a no.
pub fn yes_or_no(question: &str, repeat_question: bool, again: &str) -> bool {
    let mut reply = ask(question);
    loop {
        match reply.as_deref().map(first) {
            Some(b'y' | b'Y') => return true,
            Some(b'n' | b'N') | None => return false,
            Some(_) => {
                let _ = std::io::stderr().write_all(again.as_bytes());
                reply = if repeat_question { ask(question) } else { answer() };
            }
        }
    }
}

/// The first byte of an answer, a newline if it is empty.
pub fn first(answer: &[u8]) -> u8 {
    answer.first().copied().unwrap_or(b'\n')
}

fn print(text: &str) {
    // Whoever closed standard output does not want to be asked; the answer counts all the same.
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn answer() -> Option<Vec<u8>> {
    let mut line = Vec::new();
    match std::io::stdin().lock().read_until(b'\n', &mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(line),
    }
}
