//! `cronctl next`: lists the next runs of entries.

use super::batch::{self, BatchError};
use super::cli::{given, value};
use super::connection::Connection;
use super::error::Error;
use super::exit_status::ExitStatus;
use super::output::Output;
use super::schedule_diagnostics;
use super::screen::Screen;
use super::source::{self, Listed};
use super::starts;
use super::system_state::SystemState;
use super::upcoming::{Recurring, Upcoming};
use crate::crontab::printable;
use crate::schedule::{JitterKey, Schedule, Timestamp, Zone};
use clap::ArgMatches;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

/// The default number of runs.
const COUNT: u64 = 10;

/// Runs `cronctl next`: prints the next runs of entries.
pub(super) fn run(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    if given(matches, "batch") {
        return answer_questions(matches, system, out);
    }
    let query = RunQuery::of(matches, system);
    if query.until.is_some_and(|until| until < query.from) && query.is_from_given {
        return Err(Error::Backwards);
    }
    match value::<String>(matches, "expr") {
        Some(expression) => list_expression(expression, &query, system, out),
        None => match starts::daemon(matches, system) {
            Some(mut daemon) => list_starts(&mut daemon, &query, system, out),
            None => list_tables(&source::of(matches, system)?, &query, system, out),
        },
    }
}

/// Lists the next starts as the daemon reports them.
fn list_starts(
    daemon: &mut Connection,
    query: &RunQuery,
    system: &SystemState,
    out: &mut Output,
) -> Result<ExitStatus, Error> {
    let screen = Screen::of(out, system);
    starts::fetch(daemon, None, query.from, query.until, query.count, |reply, start| {
        if query.json {
            return out.json(reply);
        }
        write_run(start.at.timestamp(), start.user.as_bytes(), start.command.as_bytes(), &screen, out)
    })?;
    Ok(ExitStatus::Success)
}

/// Writes a line of text about a run. All are in one zone, whatever the zones of the entries are.
fn write_run(at: Timestamp, user: &[u8], command: &[u8], screen: &Screen, out: &mut Output) -> Result<(), Error> {
    let far_off = if out.is_terminal() { format!("  {:<7}", screen.far_off(at)) } else { String::new() };
    let at = screen.zone.to_rfc3339(at);
    out.line(format_args!("{at}{far_off}  {}  {}", printable(user), printable(command)))
}

/// The runs to list, and the output format.
struct RunQuery {
    from: Timestamp,
    is_from_given: bool,
    until: Option<Timestamp>,
    count: u64,
    json: bool,
}

impl RunQuery {
    fn of(matches: &ArgMatches, system: &SystemState) -> RunQuery {
        RunQuery {
            from: system.moment(matches, "from").unwrap_or_else(|| system.now()),
            is_from_given: system.moment(matches, "from").is_some(),
            until: system.moment(matches, "until"),
            count: value(matches, "count").copied().unwrap_or(COUNT),
            json: given(matches, "json"),
        }
    }

    /// The runs to list, in order of time.
    fn runs<'a>(&self, entries: &'a [Recurring<'a>]) -> impl Iterator<Item = (Timestamp, usize)> + 'a {
        let until = self.until;
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        Upcoming::after(self.from, entries)
            .take(count)
            .take_while(move |(at, _)| until.is_none_or(|until| *at <= until))
    }
}

/// A run for JSON output.
#[derive(serde::Serialize)]
struct Run<'a> {
    at: String,
    schedule: Cow<'a, str>,
    zone: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

fn list_expression(
    expression: &str,
    query: &RunQuery,
    system: &SystemState,
    out: &mut Output,
) -> Result<ExitStatus, Error> {
    let jitter_key = JitterKey { host: system.host(), table: "", entry: expression.as_bytes() };
    let prefix = match Schedule::parse(expression, &jitter_key) {
        Ok(prefix) => prefix,
        Err(fault) => {
            schedule_diagnostics::print_error(expression, fault);
            return Ok(ExitStatus::Faulty);
        }
    };
    schedule_diagnostics::print_warnings(expression, prefix.warnings);
    let zone = system.system_zone();
    let entry = [Recurring::of_schedule(&prefix.schedule, zone)];
    for (at, _) in query.runs(&entry) {
        if query.json {
            let schedule = Cow::Borrowed(expression.trim());
            let (user, command, source, line) = (None, None, None, None);
            out.json(&Run { at: at.to_string(), schedule, zone: zone.name(), user, command, source, line })?;
        } else {
            out.line(format_args!("{}", zone.to_rfc3339(at)))?;
        }
    }
    Ok(ExitStatus::Success)
}

fn list_tables(
    tables: &[Listed],
    query: &RunQuery,
    system: &SystemState,
    out: &mut Output,
) -> Result<ExitStatus, Error> {
    let jobs: Vec<_> = tables.iter().flat_map(|listed| listed.jobs(system)).collect();
    let entries: Vec<_> = jobs.iter().map(|job| job.recurring()).collect();
    let screen = Screen::of(out, system);
    for (at, index) in query.runs(&entries) {
        let Some(job) = jobs.get(index) else { continue };
        if query.json {
            out.json(&Run {
                at: at.to_string(),
                schedule: job.schedule_text(),
                zone: job.zone.name(),
                user: Some(job.user().into()),
                command: Some(job.command()),
                source: Some(&job.listed.name),
                line: Some(job.entry.line),
            })?;
        } else {
            write_run(at, job.user().as_bytes(), job.command_bytes(), &screen, out)?;
        }
    }
    Ok(source::report_errors(tables))
}

/// A query in batch mode. Members are parsed separately, so that the answer to an invalid query has its id.
#[derive(serde::Deserialize)]
struct BatchQuery<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    expr: Option<&'a RawValue>,
    #[serde(borrow)]
    tz: Option<&'a RawValue>,
    #[serde(borrow)]
    from: Option<&'a RawValue>,
    #[serde(borrow)]
    count: Option<&'a RawValue>,
}

/// State that is shared by all questions.
struct Answerer<'a> {
    system: &'a SystemState,
    zones: HashMap<String, Arc<Zone>>,
    from: Option<Timestamp>,
    count: u64,
}

fn answer_questions(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let mut answerer = Answerer {
        system,
        zones: HashMap::new(),
        from: system.moment(matches, "from"),
        count: value(matches, "count").copied().unwrap_or(COUNT),
    };
    batch::answer_lines(out, |line, into| match batch::object::<BatchQuery<'_>>(line) {
        Ok(query) => {
            let begun = into.len();
            if let Err(error) = answerer.answer(&query, into) {
                into.truncate(begun);
                batch::refuse(query.id, &error, into);
            }
        }
        Err(error) => batch::refuse(None, &error, into),
    })?;
    Ok(ExitStatus::Success)
}

impl Answerer<'_> {
    fn answer(&mut self, query: &BatchQuery<'_>, into: &mut Vec<u8>) -> Result<(), BatchError> {
        let text = batch::member::<Cow<'_, str>>(query.expr, "expr", "a string")?;
        let text = text.ok_or(BatchError::Missing("expr"))?;
        let zone = match batch::member::<Cow<'_, str>>(query.tz, "tz", "a string")? {
            Some(name) => self.zone(&name)?,
            None => Arc::clone(self.system.system_zone()),
        };
        let mut after = match batch::member::<Cow<'_, str>>(query.from, "from", "a string")? {
            Some(from) => Timestamp::parse_rfc3339(&from)?,
            None => self.from.unwrap_or_else(|| self.system.now()),
        };
        let count = batch::member::<u64>(query.count, "count", "a whole number")?.unwrap_or(self.count);
        let jitter_key = JitterKey { host: self.system.host(), table: "", entry: text.as_bytes() };
        let schedule = Schedule::parse(&text, &jitter_key)
            .map_err(|fault| BatchError::Schedule(schedule_diagnostics::sentence(&fault)))?
            .schedule;

        batch::begin(query.id, into);
        into.extend_from_slice(b",\"next\":[");
        for listed in 0..count {
            let Some(due) = schedule.next_after(after, &zone, None) else { break };
            if listed > 0 {
                into.push(b',');
            }
            // Writing to a Vec cannot fail.
            let _ = write!(into, "\"{due}\"");
            after = due;
        }
        into.extend_from_slice(b"]}\n");
        Ok(())
    }

    /// Looks up a zone. Each name is looked up once.
    fn zone(&mut self, name: &str) -> Result<Arc<Zone>, BatchError> {
        if let Some(zone) = self.zones.get(name) {
            return Ok(Arc::clone(zone));
        }
        let zone = self.system.zone(name).ok_or_else(|| BatchError::UnknownZone(name.to_owned()))?;
        self.zones.insert(name.to_owned(), Arc::clone(&zone));
        Ok(zone)
    }
}
