//! Any bytes as the command of an entry: what the shell gets and what the command reads are what a second, slower reading gives, which goes
//! through the text byte by byte with the states that crontab(5) describes.

use cronwheel::crontab::{Backslash, Command};

pub fn run(input: &[u8]) {
    // The parser refuses both in a command.
    let raw: Vec<u8> = input.iter().copied().filter(|byte| *byte != 0 && *byte != b'\n').collect();
    for backslash in [Backslash::Halved, Backslash::Kept] {
        let found = Command::split(&raw, backslash);
        assert_eq!(found, slowly(&raw, backslash), "{} {backslash:?}", raw.escape_ascii());
        let read = found.stdin.as_deref().unwrap_or_default();
        assert!(found.shell.len() + read.len() <= raw.len() + 1);
        if backslash == Backslash::Kept && found.stdin.is_none() {
            // Nothing is lost: escaped again, it is the same.
            let again: Vec<u8> = escape(&found.shell);
            assert_eq!(Command::split(&again, backslash).shell, found.shell);
        }
    }
}

fn slowly(raw: &[u8], backslash: Backslash) -> Command {
    let (mut shell, mut at) = (Vec::new(), 0);
    let mut behind = None;
    while at < raw.len() {
        match (raw[at], raw.get(at + 1)) {
            (b'\\', Some(b'%')) => shell.push(b'%'),
            (b'\\', Some(b'\\')) if backslash == Backslash::Halved => shell.push(b'\\'),
            (b'\\', Some(b'\\')) => shell.extend_from_slice(b"\\\\"),
            (b'%', _) => {
                behind = Some(&raw[at + 1..]);
                break;
            }
            (other, _) => {
                shell.push(other);
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    Command { shell, stdin: behind.map(stdin_slowly) }
}

fn stdin_slowly(text: &[u8]) -> Vec<u8> {
    let (mut stdin, mut is_escaped) = (Vec::new(), false);
    for byte in text {
        match byte {
            b'%' if is_escaped => stdin.push(b'%'),
            _ if is_escaped => stdin.push(b'\\'),
            _ => {}
        }
        match byte {
            b'%' if !is_escaped => stdin.push(b'\n'),
            b'%' | b'\\' => {}
            other => stdin.push(*other),
        }
        is_escaped = *byte == b'\\';
    }
    if is_escaped {
        stdin.push(b'\\');
    }
    if stdin.last().is_some_and(|last| *last != b'\n') {
        stdin.push(b'\n');
    }
    stdin
}

/// The text of a command for which the shell gets `shell`.
fn escape(shell: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for byte in shell {
        if *byte == b'%' {
            text.push(b'\\');
        }
        text.push(*byte);
    }
    text
}
