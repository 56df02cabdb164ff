//! `cronctl history`: past runs, newest first.

use super::cli::{given, value};
use super::connection::Connection;
use super::error::Error;
use super::exit_status::ExitStatus;
use super::job_text;
use super::output::Output;
use super::screen::{Cell, Column, Screen, Table};
use super::stderr::to_stderr;
use super::system_state::SystemState;
use crate::crontab::printable;
use crate::schedule::rounded_duration;
use crate::varlink::Time;
use crate::varlink::cron::Status;
use crate::varlink::history::{Found, RunRecord, RunsArguments};
use clap::ArgMatches;
use serde_json::json;

/// Rows that are requested and printed at a time.
const PAGE: usize = 100;

const COLUMNS: [Column; 6] = [
    Column { heading: "RUN", most: 20 },
    Column { heading: "JOB", most: 40 },
    Column { heading: "DUE", most: 19 },
    Column { heading: "AGO", most: 12 },
    Column { heading: "TOOK", most: 10 },
    Column { heading: "OUTCOME", most: 60 },
];

pub(super) fn run(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let mut daemon = Connection::open(system)?;
    let mut history = open(&mut daemon)?;
    let job = value::<String>(matches, "job").map(|job| job_text::qualified(job, matches));
    let job = job.map(|job| full_name(&mut daemon, &mut history, &job)).transpose()?;
    let moment = |option| system.moment(matches, option).map(|at| Time::from(at).to_string());
    let arguments = RunsArguments {
        job,
        user: value::<String>(matches, "user").cloned(),
        outcome: value::<String>(matches, "outcome").cloned(),
        since: moment("since"),
        until: moment("until"),
        before: None,
        limit: value(matches, "limit").copied(),
    };
    let json = given(matches, "json");
    let screen = Screen::of(out, system);
    let mut table = Table::new(&screen, &COLUMNS, "");
    let (mut added, mut count) = (0, 0);
    let listed = history.call_more("Runs", &arguments, |reply: serde_json::Value| {
        count += 1;
        if json {
            return out.json(&reply).map(|()| true);
        }
        let Found { run } = serde::Deserialize::deserialize(reply)
            .map_err(|why: serde_json::Error| Error::NoAnswer { message: why.to_string() })?;
        table.add(row(&run, &screen));
        added += 1;
        if added == PAGE {
            added = 0;
            table.print(out)?;
        }
        Ok(true)
    });
    match listed {
        // The daemon knows the job, and the history does not yet.
        Err(Error::Denied { .. } | Error::NoSuchJob { .. }) if count == 0 => {}
        listed => listed?,
    }
    if added > 0 {
        table.print(out)?;
    }
    if count == 0 && !json && out.is_terminal() {
        to_stderr("cronctl: the history has nothing of this kind\n");
    }
    Ok(ExitStatus::Success)
}

/// The recorder of a daemon.
///
/// # Errors
///
/// There is no history, and why.
pub(super) fn open(daemon: &mut Connection) -> Result<Connection, Error> {
    if let Some(history) = daemon.history() {
        return Ok(history);
    }
    let status: Status = daemon.call("Status", &json!({}))?;
    let why = if status.history == "on" { "its recorder does not answer".to_owned() } else { status.history };
    Err(Error::NoAnswer { message: format!("there is no history: {}", printable(why.as_bytes())) })
}

/// The full name of a job. Jobs that are no more have to be named in full.
pub(super) fn full_name(daemon: &mut Connection, history: &mut Connection, job: &str) -> Result<String, Error> {
    let unknown = match daemon.find(job) {
        Ok(job) => return Ok(job.job),
        Err(error) => error,
    };
    let mut is_known = false;
    let arguments = RunsArguments { job: Some(job.to_owned()), limit: Some(1), ..RunsArguments::default() };
    let found = history.call_more("Runs", &arguments, |_: Found| {
        is_known = true;
        Ok(true)
    });
    if found.is_ok() && is_known { Ok(job.to_owned()) } else { Err(unknown) }
}

/// The columns of one row of the history.
pub(super) fn row(run: &RunRecord, screen: &Screen) -> Vec<Cell> {
    let outcome = job_text::outcome_of(run);
    let took = run.duration.or_else(|| job_text::seconds(&outcome));
    let text = match run.attempt {
        ..=1 => job_text::outcome(&outcome),
        attempt => format!("{}, attempt {attempt}", job_text::outcome(&outcome)),
    };
    vec![
        Cell::of(&run.run.map_or_else(|| "-".to_owned(), |run| run.to_string())),
        Cell::of(&run.job),
        Cell::of(&screen.full(run.scheduled_at)),
        Cell::of(&screen.relative(run.started_at.unwrap_or(run.scheduled_at))),
        Cell::of(&took.map_or_else(|| "-".to_owned(), rounded_duration)),
        Cell::painted(job_text::outcome_style(&run.outcome), &text),
    ]
}
