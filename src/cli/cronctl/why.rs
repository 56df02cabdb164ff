//! `cronctl why`: why a job ran or did not run.

use super::Verdict;
use super::cli::{given, value};
use super::connection::Connection;
use super::error::Error;
use super::job_text;
use super::output::Output;
use super::screen::{Ink, Screen};
use super::system_state::SystemState;
use crate::crontab::printable;
use crate::schedule::{Timestamp, rounded_duration};
use crate::varlink::Time;
use crate::varlink::cron::{Why, WhyArguments};
use crate::varlink::history::{Found, RunRecord, RunsArguments};
use clap::ArgMatches;

/// Attempts of a slot that are shown.
const MOST: u64 = 20;

/// Runs `cronctl why`.
pub(super) fn run(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<Verdict, Error> {
    let Some(job) = value::<String>(matches, "job") else { return Ok(Verdict::Clean) };
    let mut daemon = Connection::open(system)?;
    let job = job_text::qualified(job, matches);
    let at = system.moment(matches, "time");
    let arguments = WhyArguments { job: job.clone(), at: at.map(|at| Time::from(at).to_string()) };
    if given(matches, "json") {
        daemon.print("Why", &arguments, out)?;
        return Ok(Verdict::Clean);
    }
    let why: Why = daemon.call("Why", &arguments)?;
    let screen = Screen::of(out, system);
    let rows = daemon.history().and_then(|mut history| {
        let job = daemon.find(&job).ok()?.job;
        rows_of(&mut history, &job, at)
    });
    out.line(format_args!("{}", screen.paint(Ink::Heading, &printable(why.verdict.as_bytes()))))?;
    let widest = why.steps.iter().map(|step| step.rule.len()).max().unwrap_or(0).max("history".len());
    for step in &why.steps {
        let (rule, result) = (printable(step.rule.as_bytes()), printable(step.result.as_bytes()));
        out.line(format_args!("  {rule:<widest$}  {result}"))?;
    }
    for (number, row) in rows.iter().flatten().enumerate() {
        let rule = if number == 0 { "history" } else { "" };
        let text = screen.paint(job_text::ink(&row.outcome), &printable(row_text(row, &screen).as_bytes()));
        out.line(format_args!("  {rule:<widest$}  {text}"))?;
    }
    Ok(Verdict::Clean)
}

/// The rows of the slot in that minute, the oldest first; without a time the newest row.
fn rows_of(history: &mut Connection, job: &str, at: Option<Timestamp>) -> Option<Vec<RunRecord>> {
    let minute = at.map(|at| at.0.div_euclid(60) * 60);
    let text = |seconds: i64| Time::from(Timestamp(seconds)).to_string();
    let arguments = RunsArguments {
        job: Some(job.to_owned()),
        since: minute.map(text),
        until: minute.map(|minute| text(minute + 60)),
        limit: Some(if at.is_some() { MOST } else { 1 }),
        ..RunsArguments::default()
    };
    let mut rows = Vec::new();
    let found = history.call_more("Runs", &arguments, |Found { run }| {
        rows.insert(0, run);
        Ok(true)
    });
    found.ok().map(|()| rows)
}

/// `run 12, due 2026-12-01 02:30:00: failed (exit 3) after 12s, attempt 2`.
fn row_text(row: &RunRecord, screen: &Screen) -> String {
    let outcome = job_text::outcome_of(row);
    let run = row.run.map(|run| format!("run {run}, ")).unwrap_or_default();
    let took = row.duration.or_else(|| job_text::seconds(&outcome));
    let took = took.map(|took| format!(" after {}", rounded_duration(took))).unwrap_or_default();
    let attempt = if row.attempt > 1 { format!(", attempt {}", row.attempt) } else { String::new() };
    let until = row.until.map(|until| format!(" to {}", screen.full(until))).unwrap_or_default();
    format!("{run}due {}{until}: {}{took}{attempt}", screen.full(row.scheduled_at), job_text::outcome(&outcome))
}
