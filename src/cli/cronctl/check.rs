//! `cronctl check`: reports errors and warnings in crontabs.

use super::batch::{self, BatchError};
use super::cli::{given, value};
use super::error::Error;
use super::exit_status::ExitStatus;
use super::output::Output;
use super::source::{self, Listed};
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
pub(super) fn run(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    if given(matches, "batch") {
        batch::answer_lines(out, |line, into| answer(line, system, into))?;
        return Ok(ExitStatus::Success);
    }
    let (is_system, json) = (given(matches, "system"), given(matches, "json"));
    if let Some(user) = value::<String>(matches, "user") {
        let listed = source::table_of(user, system)?;
        return Checked::of(&listed).print(json, out);
    }
    let mut exit_status = ExitStatus::Success;
    for path in matches.get_many::<PathBuf>("files").into_iter().flatten() {
        if source::is_anacrontab(path, system) {
            exit_status = exit_status.and(check_anacrontab(path, json, system, out)?);
            continue;
        }
        match source::file(path, is_system, system) {
            Ok(listed) => exit_status = exit_status.and(Checked::of(&listed).print(json, out)?),
            // A missing file does not prevent the check of the others.
            Err(error) => {
                error.report();
                exit_status = ExitStatus::Faulty;
            }
        }
    }
    Ok(exit_status)
}

/// Checks a table of anacron's jobs.
fn check_anacrontab(path: &Path, json: bool, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let name = path.display().to_string();
    // The daemon refuses a larger one.
    let text = match files::read_file(path, LARGEST_ANACRONTAB) {
        Ok(text) => text,
        Err(source) => {
            Error::Read { name, source: source.into() }.report();
            return Ok(ExitStatus::Faulty);
        }
    };
    let (table, diagnostics) = Anacrontab::parse(&text, &name, system.host());
    let checked =
        Checked { name: &name, entries: table.jobs.len(), diagnostics: &diagnostics, unlisted: Unlisted::default() };
    checked.print(json, out)
}

/// A table that has been checked.
struct Checked<'a> {
    name: &'a str,
    entries: usize,
    diagnostics: &'a [Diagnostic],
    unlisted: Unlisted,
}

/// What `cronctl check --json` prints about one file.
#[derive(serde::Serialize)]
struct CheckedLine<'a> {
    file: &'a str,
    ok: bool,
    entries: usize,
    errors: Vec<Place<'a>>,
    warnings: Vec<Place<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    not_listed: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl<'a> Checked<'a> {
    fn of(listed: &'a Listed) -> Checked<'a> {
        let (entries, diagnostics) = (listed.table.entries.len(), listed.diagnostics.as_slice());
        Checked { name: &listed.name, entries, diagnostics, unlisted: listed.unlisted }
    }

    fn print(&self, json: bool, out: &mut Output) -> Result<ExitStatus, Error> {
        let Checked { name, entries, diagnostics, unlisted } = *self;
        let listed = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
        let (errors, warnings) = (listed + unlisted.errors, diagnostics.len() - listed + unlisted.warnings);
        if json {
            out.json(&CheckedLine {
                file: name,
                ok: errors == 0,
                entries,
                errors: places(diagnostics, Severity::Error),
                warnings: places(diagnostics, Severity::Warning),
                not_listed: unlisted.errors + unlisted.warnings,
            })?;
        } else {
            for diagnostic in diagnostics {
                to_stderr(&diagnostic.picture(name));
            }
            if let Some(line) = unlisted.line(name) {
                to_stderr(&line);
            }
            let entries = format_count(entries, "entry", "entries");
            let error_count = format_count(errors, "error", "errors");
            let warnings = format_count(warnings, "warning", "warnings");
            out.line(format_args!("{}: {entries}, {error_count}, {warnings}", printable(name.as_bytes())))?;
        }
        // Flush, so that each crontab's line follows its diagnostics where both streams have the same destination.
        out.flush()?;
        Ok(if errors == 0 { ExitStatus::Success } else { ExitStatus::Faulty })
    }
}

/// The diagnostics of one severity, for JSON output.
fn places(diagnostics: &[Diagnostic], severity: Severity) -> Vec<Place<'_>> {
    let chosen = diagnostics.iter().filter(|d| d.severity == severity);
    chosen.map(|d| Place { line: d.line, column: d.column, message: &d.message }).collect()
}

/// A crontab to check. Members are parsed separately, so that the answer to an invalid query has its id.
#[derive(serde::Deserialize)]
struct BatchQuery<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    line: Option<&'a RawValue>,
}

/// A diagnostic in the output of `--json`.
#[derive(serde::Serialize)]
struct Place<'a> {
    line: usize,
    column: usize,
    message: &'a str,
}

fn answer(line: &[u8], system: &SystemState, into: &mut Vec<u8>) {
    match batch::object::<BatchQuery<'_>>(line) {
        Ok(query) => match check_table(&query, system) {
            Ok(checked) => write_answer(query.id, &checked, into),
            Err(error) => batch::refuse(query.id, &error, into),
        },
        Err(error) => batch::refuse(None, &error, into),
    }
}

/// The entries and the diagnostics of one crontab of a batch.
struct CheckedTable {
    entries: usize,
    diagnostics: Vec<Diagnostic>,
    unlisted: Unlisted,
}

fn check_table(query: &BatchQuery<'_>, system: &SystemState) -> Result<CheckedTable, BatchError> {
    let text = batch::member::<String>(query.text, "text", "a string")?;
    let line = batch::member::<String>(query.line, "line", "a string")?;
    let source = match (text, line) {
        (Some(text), None) => text,
        (None, Some(line)) => line + "\n",
        (None, None) => return Err(BatchError::Missing("text")),
        (Some(_), Some(_)) => return Err(BatchError::TwoTexts),
    };
    let form = match batch::member::<Cow<'_, str>>(query.kind, "kind", "a string")?.as_deref() {
        None | Some("user") => Form::User,
        Some("system") => Form::System,
        Some(other) => return Err(BatchError::Kind(other.to_owned())),
    };
    let context = system.context(form, "");
    let mut parser = Parser::new(&context).on_machine(system.machine());
    parser.feed(source.as_bytes())?;
    let parsed = parser.finish()?;
    Ok(CheckedTable { entries: parsed.table.entries.len(), diagnostics: parsed.diagnostics, unlisted: parsed.unlisted })
}

fn write_answer(id: Option<&RawValue>, checked: &CheckedTable, into: &mut Vec<u8>) {
    let CheckedTable { entries, diagnostics, unlisted } = checked;
    let errors = places(diagnostics, Severity::Error);
    let ok = errors.is_empty();
    let (name, places) = if ok { ("warnings", places(diagnostics, Severity::Warning)) } else { ("errors", errors) };
    let more = if ok { unlisted.warnings } else { unlisted.errors };
    batch::begin(id, into);
    into.extend_from_slice(format!(",\"ok\":{ok},\"entries\":{entries},\"{name}\":").as_bytes());
    batch::value(&places, into);
    if more > 0 {
        into.extend_from_slice(format!(",\"not_listed\":{more}").as_bytes());
    }
    into.extend_from_slice(b"}\n");
}
