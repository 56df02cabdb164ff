//! `cronctl check`: reports errors and warnings in crontabs.

use super::Verdict;
use super::batch::{self, Unanswerable};
use super::cli::given;
use super::error::Error;
use super::output::Output;
use super::source;
use super::stderr::to_stderr;
use super::world::World;
use crate::crontab::{Crontab, Diagnostic, Entry, Form, MOST_LISTED, Severity, Unlisted, printable};
use crate::report::format_count;
use clap::ArgMatches;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::path::PathBuf;

/// Runs `cronctl check`: prints the diagnostics of crontabs.
pub(super) fn run(matches: &ArgMatches, world: &World, out: &mut Output) -> Result<Verdict, Error> {
    if given(matches, "batch") {
        batch::answer_lines(out, |line, into| answer(line, world, into))?;
        return Ok(Verdict::Clean);
    }
    let form = source::form(matches);
    let mut verdict = Verdict::Clean;
    for path in matches.get_many::<PathBuf>("files").into_iter().flatten() {
        let mut text = Vec::new();
        match source::file_seen(path, form, world, &mut |piece| text.extend_from_slice(piece)) {
            Ok(listed) => {
                let (name, entries) = (listed.name, listed.table.entries.len());
                let mut unlisted = listed.unlisted;
                let diagnostics = with_unknown_users(&text, &listed.table, listed.diagnostics, &mut unlisted, world);
                verdict = verdict.and(print(&name, entries, &diagnostics, unlisted, out)?);
            }
            // A missing file does not prevent the check of the others.
            Err(error) => {
                error.report();
                verdict = Verdict::Faulty;
            }
        }
    }
    Ok(verdict)
}

fn print(
    name: &str,
    entries: usize,
    diagnostics: &[Diagnostic],
    unlisted: Unlisted,
    out: &mut Output,
) -> Result<Verdict, Error> {
    for diagnostic in diagnostics {
        to_stderr(&diagnostic.picture(name));
    }
    if let Some(line) = unlisted.line(name) {
        to_stderr(&line);
    }
    let listed = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    let (errors, warnings) = (listed + unlisted.errors, diagnostics.len() - listed + unlisted.warnings);
    let (entries, error_count) = (format_count(entries, "entry", "entries"), format_count(errors, "error", "errors"));
    let warnings = format_count(warnings, "warning", "warnings");
    out.line(format_args!("{}: {entries}, {error_count}, {warnings}", printable(name.as_bytes())))?;
    // Flush, so that each crontab's line follows its diagnostics where both streams have the same destination.
    out.flush()?;
    Ok(if errors == 0 { Verdict::Clean } else { Verdict::Faulty })
}

/// Adds a warning for each entry whose user does not exist. It is only a warning because the daemon looks the user up at
/// each run, and the user may be created later. As for other warnings, only the first are listed.
fn with_unknown_users(
    text: &[u8],
    table: &Crontab,
    mut diagnostics: Vec<Diagnostic>,
    unlisted: &mut Unlisted,
    world: &World,
) -> Vec<Diagnostic> {
    let known = diagnostics.len();
    let mut lines = (1..).zip(text.split(|&byte| byte == b'\n'));
    for entry in &table.entries {
        let Some(user) = entry.user.as_deref().filter(|user| !world.is_user(user.as_bytes())) else { continue };
        if diagnostics.len() - known < MOST_LISTED {
            let line = lines.find(|(number, _)| *number == entry.line).map(|(_, line)| line);
            diagnostics.push(unknown_user(line.unwrap_or_default(), table, entry, user));
        } else {
            unlisted.warnings += 1;
        }
    }
    if diagnostics.len() > known {
        diagnostics.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
    }
    diagnostics
}

fn unknown_user(line: &[u8], table: &Crontab, entry: &Entry, user: &str) -> Diagnostic {
    let message = format!("there is no user {user}");
    let help = "it will run as soon as the user exists".to_owned();
    Diagnostic::new(Severity::Warning, entry.line, line, table.user_span(entry, line), &message, Some(help))
}

/// A crontab to check. Members are parsed separately, so that the answer to an invalid question has its id.
#[derive(serde::Deserialize)]
struct Question<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    line: Option<&'a RawValue>,
}

/// A diagnostic for JSON output.
#[derive(serde::Serialize)]
struct Place<'a> {
    line: usize,
    column: usize,
    message: &'a str,
}

fn answer(line: &[u8], world: &World, into: &mut Vec<u8>) {
    match batch::object::<Question<'_>>(line) {
        Ok(question) => match check_table(&question, world) {
            Ok(checked) => write_answer(question.id, &checked, into),
            Err(error) => batch::refuse(question.id, &error, into),
        },
        Err(error) => batch::refuse(None, &error, into),
    }
}

/// The result for one crontab.
struct CheckedTable {
    entries: usize,
    diagnostics: Vec<Diagnostic>,
    unlisted: Unlisted,
}

fn check_table(question: &Question<'_>, world: &World) -> Result<CheckedTable, Unanswerable> {
    let text = batch::member::<String>(question.text, "text", "a string")?;
    let line = batch::member::<String>(question.line, "line", "a string")?;
    let source = match (text, line) {
        (Some(text), None) => text,
        (None, Some(line)) => line + "\n",
        (None, None) => return Err(Unanswerable::Missing("text")),
        (Some(_), Some(_)) => return Err(Unanswerable::TwoTexts),
    };
    let form = match batch::member::<Cow<'_, str>>(question.kind, "kind", "a string")?.as_deref() {
        None | Some("user") => Form::User,
        Some("system") => Form::System,
        Some(other) => return Err(Unanswerable::Kind(other.to_owned())),
    };
    let parsed = Crontab::parse(source.as_bytes(), &world.context(form, ""))?;
    let mut unlisted = parsed.unlisted;
    let diagnostics = with_unknown_users(source.as_bytes(), &parsed.table, parsed.diagnostics, &mut unlisted, world);
    Ok(CheckedTable { entries: parsed.table.entries.len(), diagnostics, unlisted })
}

fn write_answer(id: Option<&RawValue>, checked: &CheckedTable, into: &mut Vec<u8>) {
    let CheckedTable { entries, diagnostics, unlisted } = checked;
    let of = |severity| -> Vec<Place<'_>> {
        let chosen = diagnostics.iter().filter(|d| d.severity == severity);
        chosen.map(|d| Place { line: d.line, column: d.column, message: &d.message }).collect()
    };
    let errors = of(Severity::Error);
    let ok = errors.is_empty();
    let (name, places) = if ok { ("warnings", of(Severity::Warning)) } else { ("errors", errors) };
    let more = if ok { unlisted.warnings } else { unlisted.errors };
    batch::begin(id, into);
    into.extend_from_slice(format!(",\"ok\":{ok},\"entries\":{entries},\"{name}\":").as_bytes());
    batch::value(&places, into);
    if more > 0 {
        into.extend_from_slice(format!(",\"not_listed\":{more}").as_bytes());
    }
    into.extend_from_slice(b"}\n");
}
