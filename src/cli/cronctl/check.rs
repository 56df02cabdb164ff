//! `cronctl check`: reports errors and warnings in crontabs.

use super::Verdict;
use super::batch::{self, Unanswerable};
use super::cli::given;
use super::error::Error;
use super::output::Output;
use super::source;
use super::stderr::to_stderr;
use super::system_state::SystemState;
use crate::crontab::{Anacrontab, Diagnostic, Form, LARGEST_ANACRONTAB, Parser, Severity, Unlisted, printable};
use crate::report::format_count;
use crate::sys::files;
use clap::ArgMatches;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Runs `cronctl check`: prints the diagnostics of crontabs.
pub(super) fn run(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<Verdict, Error> {
    if given(matches, "batch") {
        batch::answer_lines(out, |line, into| answer(line, system, into))?;
        return Ok(Verdict::Clean);
    }
    let is_system = given(matches, "system");
    let mut verdict = Verdict::Clean;
    for path in matches.get_many::<PathBuf>("files").into_iter().flatten() {
        if source::is_anacrontab(path, system) {
            verdict = verdict.and(check_anacrontab(path, system, out)?);
            continue;
        }
        match source::file(path, is_system, system) {
            Ok(listed) => {
                let entries = listed.table.entries.len();
                verdict = verdict.and(print(&listed.name, entries, &listed.diagnostics, listed.unlisted, out)?);
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

/// Checks a table of anacron's jobs.
fn check_anacrontab(path: &Path, system: &SystemState, out: &mut Output) -> Result<Verdict, Error> {
    let name = path.display().to_string();
    // The daemon refuses a larger one.
    let text = match files::read_file(path, LARGEST_ANACRONTAB) {
        Ok(text) => text,
        Err(source) => {
            Error::Read { name, source: source.into() }.report();
            return Ok(Verdict::Faulty);
        }
    };
    let (table, diagnostics) = Anacrontab::parse(&text, &name, system.host());
    print(&name, table.jobs.len(), &diagnostics, Unlisted::default(), out)
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

fn answer(line: &[u8], system: &SystemState, into: &mut Vec<u8>) {
    match batch::object::<Question<'_>>(line) {
        Ok(question) => match check_table(&question, system) {
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

fn check_table(question: &Question<'_>, system: &SystemState) -> Result<CheckedTable, Unanswerable> {
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
    let context = system.context(form, "");
    let mut parser = Parser::new(&context).on_machine(system.machine());
    parser.feed(source.as_bytes())?;
    let parsed = parser.finish()?;
    Ok(CheckedTable { entries: parsed.table.entries.len(), diagnostics: parsed.diagnostics, unlisted: parsed.unlisted })
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
