//! Checks a new crontab and shows all its faults at once.

use super::failure::Failure;
use super::messages;
use super::session::Session;
use crate::config::calendars::SystemCalendars;
use crate::config::zones::SystemZones;
use crate::crontab::{
    Context, Diagnostic, Form, KnownNames, NO_NEWLINE, Parsed, Parser, Severity, printable, terminal_width,
};
use crate::profile::shared;
use crate::report::format_count;
use crate::schedule::HostKey;
use crate::spool::{ThisMachine, parse};
use crate::sys::descriptor;
use crate::sys::descriptor::StandardStream;
use crate::sys::host;
use crate::sys::terminal::{self, Size};
use std::io::Read;
use std::path::Path;

/// Rows of a screen that the reference implementation's closing line and its question take.
const CLOSING_ROWS: usize = 2;

/// What a user's crontab is checked with.
pub struct TextContext<'a> {
    pub session: &'a Session<'a>,
    pub zones: &'a SystemZones,
    pub calendars: &'a SystemCalendars,
}

impl TextContext<'_> {
    /// The context that the parser gets for a user's crontab.
    pub fn get(&self) -> Context<'_> {
        let known = KnownNames { zones: self.zones, calendars: Some(self.calendars.calendars()), fleet: None };
        let session = self.session;
        Context {
            form: Form::User,
            dialect: &session.profile.dialect,
            name: &session.user.name,
            host: HostKey::of(&host::identity()),
            known,
        }
    }
}

/// The warnings about a crontab without errors.
#[derive(Debug)]
pub struct Warnings {
    /// The lines that there are warnings about, counted from 1, in order.
    pub lines: Vec<usize>,
    /// Whether there are more warnings than are listed.
    pub has_more: bool,
}

/// Checks a crontab and writes every diagnostic to standard error. `size` is its size in bytes, 0 if unknown; `file` its
/// name in diagnostics; `closing` the reference implementation's line after the diagnostics of a faulty crontab.
pub fn check(
    session: &Session<'_>,
    source: &mut dyn Read,
    size: u64,
    file: &str,
    closing: &'static str,
) -> Result<Warnings, Failure> {
    let zones = SystemZones::open_for_names();
    let calendars = SystemCalendars::read(Path::new(shared::CALENDARS));
    let machine = ThisMachine::for_commands();
    let context = TextContext { session, zones: &zones, calendars: &calendars };
    let context = context.get();
    let parser = Parser::new(&context).check_only().on_machine(&machine);
    let parsed = parse(source, size, parser, &mut |_| {})
        .map_err(|source| Failure::Input { path: file.into(), source: source.into() })?;
    if let Some(most) = session.profile.dialect.limits.user_lines
        && parsed.newlines > most
    {
        let closing = format!("crontab is too long; maximum number of lines is {most}.");
        return Err(Failure::Faulty { closing, line: None });
    }
    let mut shown: String = parsed.diagnostics.iter().map(|diagnostic| diagnostic.picture(file)).collect();
    shown.push_str(&parsed.unlisted.line(file).unwrap_or_default());
    if terminal::size(descriptor::standard(StandardStream::Error))
        .is_some_and(|screen| rows(&shown, screen) > usize::from(screen.rows))
    {
        shown.push_str(&count_line(file, &parsed));
    }
    messages::warn_raw(&shown);
    match parsed.errors().last() {
        None => Ok(Warnings {
            lines: parsed.warnings().map(|warning| warning.line).collect(),
            has_more: parsed.unlisted.warnings > 0,
        }),
        Some(last) => {
            let only_unfinished =
                last.reference_message == Some(NO_NEWLINE) && parsed.errors().all(|error| error.line == last.line);
            let closing = if only_unfinished { session.words.unfinished } else { closing };
            let line = parsed.errors().map(|error| error.line).next();
            Err(Failure::Faulty { closing: closing.to_owned(), line })
        }
    }
}

/// Whether there are more warnings about a text than are listed.
pub fn has_unlisted_warnings(session: &Session<'_>, text: &[u8]) -> bool {
    let zones = SystemZones::open_for_names();
    let calendars = SystemCalendars::read(Path::new(shared::CALENDARS));
    let machine = ThisMachine::for_commands();
    let context = TextContext { session, zones: &zones, calendars: &calendars };
    let context = context.get();
    let parser = Parser::new(&context).check_only().on_machine(&machine);
    let parsed = parse(&mut &*text, text.len() as u64, parser, &mut |_| {});
    parsed.is_ok_and(|parsed| parsed.unlisted.warnings > 0)
}

/// The lines of a text, without their newlines.
pub fn lines_of(text: &[u8]) -> Vec<&[u8]> {
    text.split(|byte| *byte == b'\n').collect()
}

/// The rows of a screen that a text and what follows it take.
fn rows(text: &str, screen: Size) -> usize {
    let columns = usize::from(screen.columns);
    text.lines().map(|line| terminal_width(line).div_ceil(columns).max(1)).sum::<usize>() + CLOSING_ROWS
}

/// `FILE: 12 errors, 3 warnings`.
fn count_line(file: &str, parsed: &Parsed) -> String {
    let count = |severity: Severity, unlisted: usize| {
        let has_severity = |diagnostic: &&Diagnostic| diagnostic.severity == severity;
        parsed.diagnostics.iter().filter(has_severity).count() + unlisted
    };
    let errors = count(Severity::Error, parsed.unlisted.errors);
    let warnings = count(Severity::Warning, parsed.unlisted.warnings);
    format!(
        "{}: {}, {}\n",
        printable(file.as_bytes()),
        format_count(errors, "error", "errors"),
        format_count(warnings, "warning", "warnings")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_count_as_a_terminal_wraps_lines() {
        let screen = Size { columns: 10, rows: 24 };
        for (text, count) in [("", 0), ("a\n", 1), ("a\n\nb\n", 3), ("0123456789\n", 1), ("0123456789a\n", 2)] {
            assert_eq!(rows(text, screen), count + CLOSING_ROWS, "{text:?}");
        }
    }
}
