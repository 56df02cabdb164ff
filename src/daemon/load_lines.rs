//! Lines of the log about crontabs that are loaded or refused.

use super::load_event::LogLine;
use crate::crontab::{BAD_USER, Diagnostic, NO_NEWLINE, Severity, Unlisted, printable};
use crate::profile::{Profile, ProfileName};
use crate::report::Level;
use crate::scheduler::{Owner, Source};
use crate::spool::Refusal;
use std::borrow::Cow;

/// Most lines that the faults of one crontab may fill in the log at one load.
pub(super) const MOST_REPORTED: usize = 20;

/// Reports that a changed crontab was read.
pub(super) fn reload_line(profile: &Profile, source: &Source) -> LogLine {
    LogLine {
        level: Level::Info,
        user: source.name.clone(),
        event: "RELOAD".into(),
        detail: logged_path(profile, &source.path),
        rest: String::new(),
        line: None,
    }
}

/// Reports a file of cron.d that is not read.
pub(super) fn skipped_line(path: &str, rule: &str) -> LogLine {
    LogLine::of_daemon(Level::Warning, "WARNING", skipped(path, rule))
}

/// Says that a file of cron.d is not read, and why.
pub(super) fn skipped(path: &str, rule: &str) -> String {
    format!("{} is not read: {rule}", printable(path.as_bytes()))
}

/// A crontab's path as the reference implementation's log names it.
fn logged_path(profile: &Profile, path: &str) -> String {
    path.strip_prefix(profile.log_base).unwrap_or(path).to_owned()
}

/// Reports why a crontab is refused, at the reference implementations' level: an error where the kernel gave a reason, else information (cronie misc.c).
pub(super) fn refusal_line(profile: &Profile, refusal: &Refusal) -> Option<LogLine> {
    refusal.text().map(|_| LogLine {
        level: if refusal.error.is_empty() { Level::Info } else { Level::Error },
        user: refusal.user.clone(),
        event: refusal.event.into(),
        detail: logged_path(profile, &refusal.detail),
        rest: if refusal.error.is_empty() { String::new() } else { format!(": {}", refusal.error) },
        line: None,
    })
}

/// Reports the faults of a crontab, a limited number of them: for each the reference implementation's message, and ours with its place.
pub(super) fn report_diagnostics(
    profile: &Profile,
    source: &Source,
    diagnostics: &[Diagnostic],
    unlisted: Unlisted,
    lines: &mut Vec<LogLine>,
) {
    let log_line = |level, event: &'static str, detail, line| LogLine {
        level,
        user: source.name.clone(),
        event: event.into(),
        detail,
        rest: String::new(),
        line,
    };
    let diagnostics: Vec<&Diagnostic> = diagnostics.iter().filter(|diagnostic| !diagnostic.is_not_logged).collect();
    for diagnostic in diagnostics.iter().take(MOST_REPORTED) {
        lines.extend(diagnostic.reference_message.and_then(|message| reference_line(profile, source, message)));
        let (level, event) = match diagnostic.severity {
            Severity::Error => (Level::Error, "ERROR"),
            Severity::Warning => (Level::Warning, "WARNING"),
        };
        lines.push(log_line(level, event, diagnostic.one_line(&source.path), Some(diagnostic.line)));
    }
    match diagnostics.len().saturating_sub(MOST_REPORTED) + unlisted.total() {
        0 => {}
        more => {
            let what = if more == 1 { "fault" } else { "faults" };
            let detail = format!("{}: {more} more {what}, not listed", source.path);
            lines.push(log_line(Level::Warning, "WARNING", detail, None));
        }
    }
}

/// The message of the profile's reference implementation about a faulty line (Debian's user.c, cronie's `log_it` of the same place), as far as it is
/// true here: Debian's cron adds that it ignores the whole crontab.
fn reference_line(profile: &Profile, source: &Source, message: &'static str) -> Option<LogLine> {
    let line = |level, user: &str, event: Cow<'static, str>, detail| {
        Some(LogLine { level, user: user.to_owned(), event, detail, rest: String::new(), line: None })
    };
    match (profile.profile, &source.owner) {
        (_, Owner::Caller) => None,
        // cronie takes the text for a user's name and then finds no command.
        (ProfileName::Cronie, _) if message == BAD_USER => {
            line(Level::Info, "CRON", "bad command".into(), source.path.clone())
        }
        (ProfileName::Cronie, _) => line(Level::Info, "CRON", message.into(), source.path.clone()),
        (ProfileName::Debian, _) if message == NO_NEWLINE => None,
        (ProfileName::Debian, Owner::System) => {
            let text = format!("Error: {message}; while reading {}", source.path);
            line(Level::Error, "", text.into(), String::new())
        }
        (ProfileName::Debian, Owner::User { name, .. }) => {
            let text = format!("Error: {message}; while reading crontab for user {name}");
            line(Level::Error, "", text.into(), String::new())
        }
    }
}
