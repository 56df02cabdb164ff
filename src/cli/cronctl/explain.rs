//! `cronctl explain`: describes a schedule in English and lists its next five runs.

use super::cli::{given, value};
use super::error::Error;
use super::exit_status::ExitStatus;
use super::output::Output;
use super::schedule_diagnostics;
use super::source;
use super::stderr::to_stderr;
use super::system_state::SystemState;
use super::upcoming::{Recurring, Upcoming};
use crate::crontab::{Crontab, Diagnostic, Form, Machine, Parsed, Parser, Severity, printable};
use crate::schedule::{self, JitterKey, Kind, Prefix, Schedule, Timestamp, Zone};
use crate::spool::parse;
use clap::ArgMatches;

/// The number of runs that are shown.
const RUNS: usize = 5;
/// The file name in diagnostics about a line.
const NAME: &str = "line";

/// Runs `cronctl explain`: prints schedules in words.
pub(super) fn run(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    if let Some(user) = value::<String>(matches, "user") {
        return explain_table(user, matches, system, out);
    }
    let words: Vec<&str> = matches.get_many::<String>("expr").into_iter().flatten().map(String::as_str).collect();
    let from = system.moment(matches, "from").unwrap_or_else(|| system.now());
    let mut exit_status = ExitStatus::Success;
    if given(matches, "json") {
        for expression in expressions(&words, system) {
            exit_status = exit_status.and(explain_in_json(&expression, from, system, out)?);
        }
        return Ok(exit_status);
    }
    for (nth, expression) in expressions(&words, system).iter().enumerate() {
        if nth > 0 {
            out.text("\n")?;
        }
        exit_status = exit_status.and(explain(expression, from, system, out)?);
    }
    Ok(exit_status)
}

/// Explains the entries of a user's crontab, each in the zone that its table sets.
fn explain_table(
    user: &str,
    matches: &ArgMatches,
    system: &SystemState,
    out: &mut Output,
) -> Result<ExitStatus, Error> {
    let from = system.moment(matches, "from").unwrap_or_else(|| system.now());
    let json = given(matches, "json");
    let listed = source::table_of(user, system)?;
    for (nth, job) in listed.jobs(system).enumerate() {
        let entry = job.recurring();
        let schedule_text = job.schedule_text();
        let line = usize::try_from(job.entry.line).ok();
        let of_line = |found: &&Diagnostic| found.severity == Severity::Warning && Some(found.line) == line;
        let warnings: Vec<&Diagnostic> = listed.diagnostics.iter().filter(of_line).collect();
        if json {
            let mut explained = Explained {
                line: Some(job.entry.line),
                command: Some(job.command().into_owned()),
                user: Some(job.user().to_owned()),
                ..Explained::of(&schedule_text, &entry, schedule::explain(entry.schedule), from)
            };
            explained.warnings.extend(warnings.iter().map(|warning| warning.message.clone()));
            out.json(&explained)?;
            continue;
        }
        if nth > 0 {
            out.text("\n")?;
        }
        let (schedule_text, command) = (printable(schedule_text.as_bytes()), printable(job.command_bytes()));
        out.line(format_args!("Line {}: {schedule_text}  {command}", job.entry.line))?;
        out.line(format_args!("{}", schedule::explain(entry.schedule)))?;
        let condition = condition(entry.schedule);
        show_runs(&entry, condition, from, out)?;
        show_warnings(entry.schedule, &warnings, entry.zone, from, out)?;
    }
    Ok(source::report_errors(std::slice::from_ref(&listed)))
}

/// An explanation for JSON output.
#[derive(Default, serde::Serialize)]
struct Explained {
    expr: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    explanation: String,
    zone: String,
    next: Vec<String>,
    warnings: Vec<String>,
}

impl Explained {
    fn of(expr: &str, entry: &Recurring<'_>, explanation: String, from: Timestamp) -> Explained {
        let next = Upcoming::after(from, std::slice::from_ref(entry)).take(RUNS).map(|(at, _)| at.to_string());
        Explained {
            expr: expr.trim().to_owned(),
            explanation,
            zone: entry.zone.name().to_owned(),
            next: next.collect(),
            warnings: schedule::dst_warnings(entry.schedule, entry.zone, from),
            ..Explained::default()
        }
    }
}

fn explain_in_json(
    expression: &str,
    from: Timestamp,
    system: &SystemState,
    out: &mut Output,
) -> Result<ExitStatus, Error> {
    let fault = |message: &str| serde_json::json!({ "expr": expression.trim(), "error": message });
    let (prefix, rest) = match Schedule::parse_line(expression, &jitter_key(expression, system)) {
        Ok(parsed) => parsed,
        Err(found) => {
            out.json(&fault(&schedule_diagnostics::sentence(&found)))?;
            return Ok(ExitStatus::Faulty);
        }
    };
    let rest = expression.get(rest..).unwrap_or_default();
    let line = if rest.is_empty() { None } else { Some(Line::read(expression, rest, system)?) };
    let diagnostics = line.iter().flat_map(|line| &line.diagnostics);
    if let Some(error) = diagnostics.clone().find(|diagnostic| diagnostic.severity == Severity::Error) {
        out.json(&fault(&error.message))?;
        return Ok(ExitStatus::Faulty);
    }
    let entry = Recurring::of_schedule(&prefix.schedule, system.system_zone());
    let mut explained = Explained::of(expression, &entry, schedule::explain_as_written(&prefix), from);
    explained.warnings.extend(diagnostics.map(|diagnostic| diagnostic.message.clone()));
    match &line {
        Some(line) => {
            let first = line.table.entries.first();
            explained.command = first.map(|entry| String::from_utf8_lossy(line.table.command(entry)).into_owned());
            explained.user = first.and_then(|entry| entry.user.as_deref().map(str::to_owned));
        }
        None => {
            let warnings = warnings_of_schedule(expression, &prefix, system)?;
            explained.warnings.extend(warnings.into_iter().map(|warning| warning.message));
        }
    }
    out.json(&explained)?;
    Ok(ExitStatus::Success)
}

/// The arguments as one schedule or line of a crontab. If together they are neither but each of them is, as several.
fn expressions(words: &[&str], system: &SystemState) -> Vec<String> {
    let joined = words.join(" ");
    let could_be_one = |word: &&str| word.trim().contains(char::is_whitespace) || word.starts_with('@');
    let several = words.len() > 1 && words.iter().all(could_be_one);
    if several && Schedule::parse(&joined, &jitter_key(&joined, system)).is_err() {
        words.iter().map(|word| (*word).to_owned()).collect()
    } else {
        vec![joined]
    }
}

fn jitter_key<'a>(expression: &'a str, system: &SystemState) -> JitterKey<'a> {
    JitterKey { host: system.host(), table: "", entry: expression.as_bytes() }
}

fn explain(expression: &str, from: Timestamp, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let (prefix, rest) = match Schedule::parse_line(expression, &jitter_key(expression, system)) {
        Ok(parsed) => parsed,
        Err(fault) => {
            schedule_diagnostics::print_error(expression, fault);
            return Ok(ExitStatus::Faulty);
        }
    };
    let rest = expression.get(rest..).unwrap_or_default();
    let line = if rest.is_empty() { None } else { Some(Line::read(expression, rest, system)?) };
    if let Some(exit_status) =
        line.as_ref().map(Line::report_errors).filter(|exit_status| *exit_status != ExitStatus::Success)
    {
        return Ok(exit_status);
    }
    out.line(format_args!("{}", schedule::explain_as_written(&prefix)))?;
    if let Some(line) = &line {
        line.show(out)?;
    }
    let condition = match prefix.drawn.is_empty() {
        false => " of an example (each entry gets values of its own)",
        true => condition(&prefix.schedule),
    };
    let zone = system.system_zone();
    show_runs(&Recurring::of_schedule(&prefix.schedule, zone), condition, from, out)?;
    // The warnings about a line have been printed.
    let warnings = if line.is_some() { Vec::new() } else { warnings_of_schedule(expression, &prefix, system)? };
    show_warnings(&prefix.schedule, &warnings.iter().collect::<Vec<_>>(), zone, from, out)?;
    Ok(ExitStatus::Success)
}

/// What may be wrong with a schedule that stands alone: what `cronctl check` says of an entry with it. Only a calendar can be odd by itself.
fn warnings_of_schedule(expression: &str, prefix: &Prefix, system: &SystemState) -> Result<Vec<Diagnostic>, Error> {
    if prefix.schedule.kind() != Kind::Calendar {
        return Ok(Vec::new());
    }
    let command = "true";
    Ok(Line::read(&format!("{} {command}", expression.trim_ascii_end()), command, system)?.diagnostics)
}

/// A whole line of a crontab.
struct Line {
    table: Crontab,
    diagnostics: Vec<Diagnostic>,
}

impl Line {
    /// Reads a line as a crontab of its own. It is in system form if the word after the schedule is a user of this machine and another one
    /// follows.
    fn read(text: &str, rest: &str, system: &SystemState) -> Result<Line, Error> {
        let mut words = rest.split_ascii_whitespace();
        let is_user = |word: &str| system.machine().has_user(word.as_bytes()) == Some(true);
        let is_system = words.next().is_some_and(is_user) && words.next().is_some();
        let form = if is_system { Form::System } else { Form::User };
        let caller = system.caller();
        let context = system.context(form, &caller);
        let text = format!("{}\n", text.trim_ascii_start());
        let parsed = parse(&mut text.as_bytes(), 0, Parser::new(&context).on_machine(system.machine()), &mut |_| {})
            .map_err(|source| Error::Read { name: NAME.to_owned(), source: source.into() })?;
        let Parsed { table, diagnostics, .. } = parsed;
        Ok(Line { table, diagnostics })
    }

    /// Reports what is wrong with the line, or may be.
    fn report_errors(&self) -> ExitStatus {
        for diagnostic in &self.diagnostics {
            to_stderr(&diagnostic.picture(NAME));
        }
        let is_faulty = self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
        if is_faulty || self.table.entries.is_empty() { ExitStatus::Faulty } else { ExitStatus::Success }
    }

    /// Shows the command, the user that it runs as, and the meaning of its flags.
    fn show(&self, out: &mut Output) -> Result<(), Error> {
        for entry in &self.table.entries {
            out.line(format_args!("\nCommand: {}", printable(self.table.command(entry))))?;
            if let Some(user) = &entry.user {
                let user = printable(user.as_bytes());
                out.line(format_args!("User: {user}, since the word after the schedule is a user of this machine"))?;
            }
            let flags = [
                (entry.flags.mail_only_on_failure, "-n: its output is mailed only if it fails"),
                (entry.flags.quiet, "-q: its runs are not logged"),
                (entry.flags.single, "-s: it is not started while its previous run is still running"),
            ];
            for (_, meaning) in flags.into_iter().filter(|(is_set, _)| *is_set) {
                out.line(format_args!("Flag {meaning}"))?;
            }
        }
        Ok(())
    }
}

/// What the next runs depend on.
fn condition(schedule: &Schedule) -> &'static str {
    match schedule.kind() {
        Kind::Calendar | Kind::Reboot | Kind::After => "",
        Kind::Interval { .. } => ", if each run takes no time",
    }
}

fn show_runs(entry: &Recurring<'_>, condition: &str, from: Timestamp, out: &mut Output) -> Result<(), Error> {
    let runs = Upcoming::after(from, std::slice::from_ref(entry)).take(RUNS).map(|(at, _)| at);
    let runs: Vec<Timestamp> = runs.collect();
    if runs.is_empty() {
        return Ok(());
    }
    out.line(format_args!("\nNext runs in {}{condition}:", entry.zone.name()))?;
    for at in runs {
        out.line(format_args!("  {}", entry.zone.to_rfc3339(at)))?;
    }
    Ok(())
}

fn show_warnings(
    schedule: &Schedule,
    warnings: &[&Diagnostic],
    zone: &Zone,
    from: Timestamp,
    out: &mut Output,
) -> Result<(), Error> {
    let ahead = schedule::dst_warnings(schedule, zone, from);
    if warnings.is_empty() && ahead.is_empty() {
        return Ok(());
    }
    out.text("\n")?;
    for Diagnostic { message, help, .. } in warnings {
        out.line(format_args!("Warning: {message}"))?;
        if let Some(help) = help {
            out.line(format_args!("  {help}"))?;
        }
    }
    for sentence in ahead {
        out.line(format_args!("Warning: {sentence}"))?;
    }
    Ok(())
}
