//! `cronctl show`: everything about a job.

use super::cli::{given, value};
use super::connection::Connection;
use super::error::Error;
use super::exit_status::ExitStatus;
use super::job_text;
use super::output::Output;
use super::past;
use super::screen::{Column, Screen, Table, TextStyle};
use super::system_state::SystemState;
use crate::crontab::printable;
use crate::schedule::rounded_duration;
use crate::varlink::cron::{JobArguments, NameValue, Show};
use crate::varlink::history::{Found, RunsArguments, Summary, SummaryArguments};
use clap::ArgMatches;

/// How many past runs are shown.
const RUNS: u64 = 10;

/// The columns of `history`; that of the job is empty.
const COLUMNS: [Column; 5] = [
    Column { heading: "RUN", most: 20 },
    Column { heading: "DUE", most: 19 },
    Column { heading: "AGO", most: 12 },
    Column { heading: "TOOK", most: 10 },
    Column { heading: "OUTCOME", most: 60 },
];

pub(super) fn run(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let Some(job) = value::<String>(matches, "job") else { return Ok(ExitStatus::Success) };
    let mut daemon = Connection::open(system)?;
    let arguments = JobArguments { job: job_text::qualified(job, matches) };
    if given(matches, "json") {
        daemon.print("Show", &arguments, out)?;
        return Ok(ExitStatus::Success);
    }
    let show: Show = daemon.call("Show", &arguments)?;
    let screen = Screen::of(out, system);
    print(&show, &screen, out)?;
    out.flush()?;
    match past::open(&mut daemon) {
        Ok(mut history) => print_past(&mut history, &show.job.job, &screen, out)?,
        Err(error) => out.line(format_args!("  {:<12} {error}", "runs"))?,
    }
    Ok(ExitStatus::Success)
}

fn print(show: &Show, screen: &Screen, out: &mut Output) -> Result<(), Error> {
    let job = &show.job;
    out.line(format_args!("{}", screen.paint(TextStyle::Heading, &printable(job.job.as_bytes()))))?;
    let mut field = |name: &str, text: &str| out.line(format_args!("  {name:<12} {text}"));
    let text = |text: &str| printable(text.as_bytes());
    field("command", &text(&job.command))?;
    field("user", &text(&job.user))?;
    field("table", &format!("{}, line {}", text(&job.source), job.line))?;
    if !job.schedule.is_empty() {
        field("schedule", &text(&job.schedule))?;
    }
    if show.explanation != job.schedule {
        field("", &text(&show.explanation))?;
    }
    if !job.zone.is_empty() {
        field("time zone", &text(&job.zone))?;
    }
    let (state, style) = job_text::state(job, screen).into_parts();
    field("state", &screen.paint(style, &state))?;
    if let Some(by) = &job.paused_by {
        let note = job.note.as_ref().map(|note| format!(": {}", text(note))).unwrap_or_default();
        field("paused by", &format!("{}{note}", text(by)))?;
    }
    for run in &job.running {
        let since = run.started_at.map(|at| format!(", started {}", screen.relative(at))).unwrap_or_default();
        let pid = run.pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
        field("run", &format!("{}{since}{pid}", run.run))?;
    }
    if let Some(last) = &job.last {
        let (last, style) = (job_text::outcome(last), job_text::outcome_style(&last.outcome));
        field("last", &screen.paint(style, &text(&last)))?;
    }
    if job.failures > 1 {
        field("failures", &screen.paint(TextStyle::Bad, &format!("{} in a row", job.failures)))?;
    }
    for (number, next) in show.next.iter().enumerate() {
        let name = if number == 0 { "next" } else { "" };
        field(name, &format!("{} ({})", screen.full(*next), screen.relative(*next)))?;
    }
    for (name, values) in [("settings", &show.settings), ("environment", &show.environment)] {
        for (number, NameValue { name: variable, value }) in values.iter().enumerate() {
            field(if number == 0 { name } else { "" }, &format!("{}={}", text(variable), text(value)))?;
        }
    }
    for warning in &show.warnings {
        field("warning", &screen.paint(TextStyle::Held, &text(warning)))?;
    }
    Ok(())
}

fn print_past(history: &mut Connection, job: &str, screen: &Screen, out: &mut Output) -> Result<(), Error> {
    let summary: Summary = match history.call("Summary", &SummaryArguments { job: job.to_owned() }) {
        Ok(summary) => summary,
        // It has not run.
        Err(Error::Denied { .. } | Error::NoSuchJob { .. }) => {
            return out.line(format_args!("  {:<12} none in the history", "runs"));
        }
        Err(error) => return Err(error),
    };
    out.line(format_args!("  {:<12} {}", "runs", summary_text(&summary, screen)))?;
    let arguments = RunsArguments { job: Some(job.to_owned()), limit: Some(RUNS), ..RunsArguments::default() };
    let mut table = Table::new(screen, &COLUMNS, "    ");
    let mut count = 0;
    history.call_more("Runs", &arguments, |Found { run }| {
        let mut row = past::row(&run, screen);
        row.remove(1);
        table.add(row);
        count += 1;
        Ok(true)
    })?;
    if count > 0 { table.print(out) } else { Ok(()) }
}

fn summary_text(summary: &Summary, screen: &Screen) -> String {
    if summary.runs == 0 {
        return "none in the history".to_owned();
    }
    let rate = summary.ok as f64 * 100.0 / summary.runs as f64;
    let since = summary.since.map(|since| format!(" since {}", screen.full(since))).unwrap_or_default();
    let took = match (summary.mean, summary.longest) {
        (Some(mean), Some(longest)) => {
            format!("; they took {} on average, {} at most", rounded_duration(mean), rounded_duration(longest))
        }
        _ => String::new(),
    };
    format!("{}{since}, {} ok ({rate:.1}%), {} failed{took}", summary.runs, summary.ok, summary.failures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Timestamp, Zone};

    #[test]
    fn the_past_in_a_line() {
        let screen = Screen { width: None, has_colours: false, now: Timestamp(0), zone: Zone::utc() };
        let mut summary = Summary {
            runs: 8,
            ok: 7,
            failures: 1,
            mean: Some(2.5),
            longest: Some(61.0),
            since: Some(crate::varlink::Time(0)),
        };
        assert_eq!(
            summary_text(&summary, &screen),
            "8 since 1970-01-01 00:00:00, 7 ok (87.5%), 1 failed; they took 2.5s on average, 1m01s at most"
        );
        summary.runs = 0;
        assert_eq!(summary_text(&summary, &screen), "none in the history");
    }
}
