//! Checks a new table and shows all its faults at once.

use super::failure::Failure;
use super::session::Session;
use crate::schedule::HostKey;
use crate::site::Profile;
use crate::sys::host;
use crate::sys::zoneinfo::SystemZones;
use crate::table::{Context, Form, Severity, Table};
use std::io::Write;

/// Checks a table; every diagnostic goes to standard error. `file` is what the table is called in them, `closing` the
/// incumbent's line under a faulty one.
pub fn check(session: &Session<'_>, text: &[u8], file: &str, closing: &'static str) -> Result<(), Failure> {
    if let Some(most) = session.site.dialect.limits.user_lines
        && memchr::memchr_iter(b'\n', text).count() > most
    {
        let closing = format!("crontab is too long; maximum number of lines is {most}.");
        return Err(Failure::Faulty { closing });
    }
    let zones = SystemZones::open();
    let context = Context {
        form: Form::User,
        dialect: &session.site.dialect,
        name: &session.user.name,
        host: HostKey::of(&host::identity()),
        zones: &zones,
    };
    let ending = Ending::of(text, session.site.profile);
    let mut source = text.to_vec();
    if ending == Ending::Excused {
        source.push(b'\n');
    }
    let parsed = Table::parse(source.into_boxed_slice(), &context);
    let mut shown = String::new();
    for diagnostic in &parsed.diagnostics {
        shown.push_str(&diagnostic.picture(file));
    }
    // Standard error that takes nothing cannot be told of.
    let _ = std::io::stderr().write_all(shown.as_bytes());
    let errors: Vec<_> = parsed.diagnostics.iter().filter(|d| d.severity == Severity::Error).collect();
    if errors.is_empty() {
        return Ok(());
    }
    let last_line = memchr::memchr_iter(b'\n', text).count() + 1;
    let only_unfinished = ending == Ending::Missing && errors.iter().all(|error| error.line == last_line);
    let closing = if only_unfinished { session.words.unfinished } else { closing };
    Err(Failure::Faulty { closing: closing.to_owned() })
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
    fn of(text: &[u8], profile: Profile) -> Ending {
        let last = text.rsplit(|b| *b == b'\n').next().unwrap_or_default();
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
            assert_eq!(Ending::of(text.as_bytes(), Profile::Debian), debian, "{text:?} in debian");
            assert_eq!(Ending::of(text.as_bytes(), Profile::Cronie), cronie, "{text:?} in cronie");
        }
    }
}
