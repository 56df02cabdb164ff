//! Lists a crontab (`-l`).

use super::failure::Failure;
use super::header;
use super::session::Session;
use crate::crontab::printable_lines;
use crate::profile::ProfileName;
use crate::sys::descriptor::StandardStream;
use crate::sys::{descriptor, files};

const COMMENT_COLOR: &[u8] = b"\x1b[34;1m";
const ERROR_COLOR: &[u8] = b"\x1b[31;1m";
const RESET_COLOR: &[u8] = b"\x1b[0m";

/// Lists the crontab byte for byte. On a terminal, control characters are escaped.
pub fn list(session: &Session<'_>) -> Result<(), Failure> {
    session.log("LIST", &session.user.name);
    let name = &session.user.name;
    let Some(standing) = session.read_table()? else {
        return Err(Failure::NoTable { user: name.clone() });
    };
    let table = shown_part(session, &standing.bytes);
    let text = if !files::is_terminal(descriptor::standard(StandardStream::Output)) {
        table.to_vec()
    } else if session.profile.profile == ProfileName::Cronie && session.inherited.variable("NO_COLOR").is_none() {
        colored(table)
    } else {
        printable_lines(table).into_bytes()
    };
    write_out(session, &text)
}

/// The crontab as the user wrote it.
pub fn shown_part<'t>(session: &Session<'_>, table: &'t [u8]) -> &'t [u8] {
    if session.profile.profile == ProfileName::Debian && !wants_header(session) {
        header::without(table)
    } else {
        table
    }
}

/// Whether the header is shown: CRONTAB_NOHEADER begins with `N` or `n`.
fn wants_header(session: &Session<'_>) -> bool {
    let value = session.inherited.variable("CRONTAB_NOHEADER");
    value.and_then(|value| value.as_encoded_bytes().first()).is_some_and(|first| first.eq_ignore_ascii_case(&b'N'))
}

fn write_out(session: &Session<'_>, text: &[u8]) -> Result<(), Failure> {
    files::write_all(descriptor::standard(StandardStream::Output), text)
        .map_err(|source| Failure::Output { program: session.program.to_owned(), source: source.into() })
}

/// cronie's colours: for comments, and for a last line without a newline.
fn colored(table: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(table.len() + 64);
    for line in table.split_inclusive(|b| *b == b'\n') {
        let (body, end) = line.strip_suffix(b"\n").map_or((line, b"".as_slice()), |body| (body, b"\n"));
        if body.first() == Some(&b'#') {
            text.extend([COMMENT_COLOR, printable_lines(body).as_bytes(), RESET_COLOR].concat());
        } else {
            text.extend(printable_lines(body).into_bytes());
        }
        text.extend(end);
    }
    if table.last().is_some_and(|last| *last != b'\n') {
        text.push(b'\n');
        text.extend([ERROR_COLOR, b"No end-of-line character at the end of file", RESET_COLOR, b"\n"].concat());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_blue_and_an_unfinished_line_is_told_in_red() {
        assert_eq!(String::from_utf8(colored(b"# c\nx # d\n")).unwrap(), "\u{1b}[34;1m# c\u{1b}[0m\nx # d\n");
        assert_eq!(
            String::from_utf8(colored(b"x")).unwrap(),
            "x\n\u{1b}[31;1mNo end-of-line character at the end of file\u{1b}[0m\n"
        );
    }
}
