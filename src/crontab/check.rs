//! Checks a new table and shows all its faults at once.

use super::failure::Failure;
use super::session::Session;
use crate::schedule::HostKey;
use crate::site::Profile;
use crate::sys::host;
use crate::sys::zoneinfo::SystemZones;
use crate::table::{Checker, Context, Diagnostic, Form, Severity};
use std::io::{self, Read, Write};

/// Bytes read at a time: few enough that the memory is not what checking a long table costs most.
const PIECE: usize = 32 * 1024;

/// Checks a table; every diagnostic goes to standard error. `file` is what the table is called in them, `closing` the
/// incumbent's line under a faulty one. Nothing of the table is kept.
pub fn check(session: &Session<'_>, source: &mut dyn Read, file: &str, closing: &'static str) -> Result<(), Failure> {
    let zones = SystemZones::open();
    let context = Context {
        form: Form::User,
        dialect: &session.site.dialect,
        name: &session.user.name,
        host: HostKey::of(&host::identity()),
        zones: &zones,
    };
    let Checked { diagnostics, newlines, ending } = read(session, source, file, &context)?;
    if let Some(most) = session.site.dialect.limits.user_lines
        && newlines > most
    {
        let closing = format!("crontab is too long; maximum number of lines is {most}.");
        return Err(Failure::Faulty { closing });
    }
    let mut shown = String::new();
    for diagnostic in &diagnostics {
        shown.push_str(&diagnostic.picture(file));
    }
    // Standard error that takes nothing cannot be told of.
    let _ = std::io::stderr().write_all(shown.as_bytes());
    let mut errors = diagnostics.iter().filter(|said| said.severity == Severity::Error).peekable();
    if errors.peek().is_none() {
        return Ok(());
    }
    let only_unfinished = ending == Ending::Missing && errors.all(|error| error.line == newlines + 1);
    let closing = if only_unfinished { session.words.unfinished } else { closing };
    Err(Failure::Faulty { closing: closing.to_owned() })
}

/// What was seen of a table.
struct Checked {
    diagnostics: Vec<Diagnostic>,
    newlines: usize,
    ending: Ending,
}

/// Reads a table to its end and judges it on the way.
fn read(session: &Session<'_>, source: &mut dyn Read, file: &str, context: &Context<'_>) -> Result<Checked, Failure> {
    let most = session.site.dialect.limits.bytes;
    let mut checker = Checker::new(context);
    let mut buffer = vec![0; PIECE];
    let (mut filled, mut taken, mut newlines) = (0, 0, 0);
    loop {
        let room = buffer.get_mut(filled..).unwrap_or_default();
        let read = fill(source, room).map_err(|source| Failure::Input { path: file.into(), source })?;
        let is_last = read < room.len();
        filled += read;
        if taken + filled > most {
            return Err(Failure::InputTooLarge { path: file.into(), most });
        }
        let piece = buffer.get(..filled).unwrap_or_default();
        let lines = checker.lines(piece);
        let (judged, rest) = piece.split_at(lines);
        newlines += memchr::memchr_iter(b'\n', judged).count();
        if is_last {
            let ending = Ending::of(rest, session.site.profile);
            let last = if ending == Ending::Excused { &[rest, b"\n"].concat() } else { rest };
            return Ok(Checked { diagnostics: checker.finish(last), newlines, ending });
        }
        buffer.copy_within(lines..filled, 0);
        (filled, taken) = (filled - lines, taken + lines);
        if filled == buffer.len() {
            // A line that is longer than that.
            buffer.resize(2 * filled, 0);
        }
    }
}

/// Reads until the room is full or nothing more comes; how many bytes.
fn fill(source: &mut dyn Read, room: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = room.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// How a table ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// With a newline, or it is empty.
    Whole,
    /// In the middle of a line that means something.
    Missing,
    /// In the middle of a comment or of blanks, which Debian's crontab lets pass.
    Excused,
}

impl Ending {
    /// Of a table with these bytes behind its last newline.
    fn of(last: &[u8], profile: Profile) -> Ending {
        if last.is_empty() {
            return Ending::Whole;
        }
        let start = last.iter().find(|b| !matches!(b, b' ' | b'\t'));
        match (profile, start) {
            (Profile::Debian, None | Some(b'#')) => Ending::Excused,
            (Profile::Debian | Profile::Cronie, _) => Ending::Missing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_lets_a_comment_or_blanks_at_the_end_go_without_a_newline() {
        for (text, debian, cronie) in [
            ("", Ending::Whole, Ending::Whole),
            ("* * * * * x\n", Ending::Whole, Ending::Whole),
            ("* * * * * x", Ending::Missing, Ending::Missing),
            ("* * * * * x\n# c", Ending::Excused, Ending::Missing),
            ("  # c", Ending::Excused, Ending::Missing),
            ("A=b\n \t", Ending::Excused, Ending::Missing),
            ("A=b", Ending::Missing, Ending::Missing),
        ] {
            let last = text.rsplit('\n').next().unwrap().as_bytes();
            assert_eq!(Ending::of(last, Profile::Debian), debian, "{text:?} in debian");
            assert_eq!(Ending::of(last, Profile::Cronie), cronie, "{text:?} in cronie");
        }
    }
}
