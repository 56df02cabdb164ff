//! What is said of jobs and of the ends of their runs.

use super::cli::value;
use super::connection::Connection;
use super::screen::{Cell, Screen, TextStyle};
pub(super) use crate::report::text::{outcome, outcome_of};
use crate::schedule::rounded_duration;
use crate::varlink::cron::{Job, Outcome};
use crate::varlink::history::{Found, RunRecord, RunsArguments};
use clap::ArgMatches;

/// Rows of the history that are examined for the last run of a job; others are of slots without a run.
const LOOKED_AT: u64 = 20;

/// The name of a job with the user of --user, if it has none.
pub(super) fn qualified(job: &str, matches: &ArgMatches) -> String {
    match value::<String>(matches, "user") {
        Some(user) if !job.contains(':') => format!("{user}:{job}"),
        _ => job.to_owned(),
    }
}

/// The state of a job: `running 12s`, `retry in 30s`, `paused until 14:00`.
pub(super) fn state(job: &Job, screen: &Screen) -> Cell {
    let (style, text) = match job.state.as_str() {
        "running" => {
            let since = job.running.iter().filter_map(|run| run.started_at).min();
            let since = since.map(|at| format!(" {}", rounded_duration(screen.seconds_since(at)))).unwrap_or_default();
            let times = if job.running.len() > 1 { format!(" ×{}", job.running.len()) } else { String::new() };
            (TextStyle::Good, format!("running{since}{times}"))
        }
        "paused" => {
            let until = job.paused_until.map(|until| format!(" until {}", screen.clock(until))).unwrap_or_default();
            (TextStyle::Held, format!("paused{until}"))
        }
        "retrying" => (
            TextStyle::Held,
            match job.retry_at {
                Some(at) => format!("retry in {}", rounded_duration((at.timestamp().0 - screen.now.0).max(0) as f64)),
                None => "retry".to_owned(),
            },
        ),
        "waiting" if job.waiting > 1 => (TextStyle::Held, format!("waiting ×{}", job.waiting)),
        other => (TextStyle::Plain, other.to_owned()),
    };
    if job.late { Cell::painted(TextStyle::Bad, &format!("{text}, late")) } else { Cell::painted(style, &text) }
}

/// The colour of an outcome.
pub(super) fn outcome_style(outcome: &str) -> TextStyle {
    match outcome {
        "ok" => TextStyle::Plain,
        "running" => TextStyle::Good,
        "skipped" | "missed" | "replaced" => TextStyle::Held,
        _ => TextStyle::Bad,
    }
}

/// Outcome, when, and how long it took: `ok 3 min ago (12s)`.
pub(super) fn last(job: &Job, screen: &Screen) -> Cell {
    let Some(last) = &job.last else { return Cell::of("-") };
    let at = last.ended_at.or(last.started_at).unwrap_or(last.scheduled_at);
    let took = seconds(last).map(|took| format!(" ({})", rounded_duration(took))).unwrap_or_default();
    Cell::painted(outcome_style(&last.outcome), &format!("{} {}{took}", outcome(last), screen.relative(at)))
}

/// How long a run took by the clock.
pub(super) fn seconds(outcome: &Outcome) -> Option<f64> {
    let (started, ended) = (outcome.started_at?, outcome.ended_at?);
    Some((ended.0.saturating_sub(started.0)).max(0) as f64 / 1e6)
}

/// The last run of a job in the history that has ended.
pub(super) fn last_run(history: &mut Connection, job: &str) -> Option<RunRecord> {
    let arguments = RunsArguments { job: Some(job.to_owned()), limit: Some(LOOKED_AT), ..RunsArguments::default() };
    let mut last = None;
    let found = history.call_more("Runs", &arguments, |Found { run }| {
        if last.is_none() && run.run.is_some() && run.outcome != "running" {
            last = Some(run);
        }
        Ok(true)
    });
    found.ok().and(last)
}
