//! Checks a new crontab and shows all its faults at once.

use super::failure::Failure;
use super::messages;
use super::session::Session;
use crate::config::calendars::SystemCalendars;
use crate::config::zones::SystemZones;
use crate::crontab::{Context, Form, KnownNames, NO_NEWLINE, Parser};
use crate::profile::shared;
use crate::schedule::HostKey;
use crate::spool::parse;
use crate::sys::host;
use std::io::Read;
use std::path::Path;

/// Checks a crontab and writes every diagnostic to standard error. `size` is its size in bytes, 0 if unknown; `file` its
/// name in diagnostics; `closing` the reference implementation's line after the diagnostics of a faulty crontab.
pub fn check(
    session: &Session<'_>,
    source: &mut dyn Read,
    size: u64,
    file: &str,
    closing: &'static str,
) -> Result<(), Failure> {
    let zones = SystemZones::open_for_names();
    let calendars = SystemCalendars::read(Path::new(shared::CALENDARS));
    let context = Context {
        form: Form::User,
        dialect: &session.profile.dialect,
        name: &session.user.name,
        host: HostKey::of(&host::identity()),
        known: KnownNames { zones: &zones, calendars: Some(calendars.calendars()) },
    };
    let parser = Parser::new(&context).judging_only();
    let parsed =
        parse(source, size, parser, &mut |_| {}).map_err(|source| Failure::Input { path: file.into(), source })?;
    if let Some(most) = session.profile.dialect.limits.user_lines
        && parsed.newlines > most
    {
        let closing = format!("crontab is too long; maximum number of lines is {most}.");
        return Err(Failure::Faulty { closing });
    }
    let mut shown: String = parsed.diagnostics.iter().map(|diagnostic| diagnostic.picture(file)).collect();
    shown.push_str(&parsed.unlisted.line(file).unwrap_or_default());
    messages::warn_raw(&shown);
    match parsed.errors().last() {
        None => Ok(()),
        Some(last) => {
            let only_unfinished = last.bad == Some(NO_NEWLINE) && parsed.errors().all(|error| error.line == last.line);
            let closing = if only_unfinished { session.words.unfinished } else { closing };
            Err(Failure::Faulty { closing: closing.to_owned() })
        }
    }
}
