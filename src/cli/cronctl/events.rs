//! `cronctl events`: what happens, a line for each event.

use super::cli::{given, value};
use super::connection::Connection;
use super::error::Error;
use super::exit_status::ExitStatus;
use super::job_text;
use super::list;
use super::output::Output;
use super::past;
use super::screen::{Screen, TextStyle};
use super::system_state::SystemState;
use crate::crontab::printable;
use crate::varlink::cron::{Event, EventsArguments, Filter};
use crate::varlink::history::{Found, RunRecord, RunsArguments};
use clap::ArgMatches;

/// Rows of the history that past events are made of, for each job.
const ROWS: u64 = 50;

pub(super) fn run(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let mut daemon = Connection::open(system)?;
    let names = list::names(matches);
    let user = value::<String>(matches, "user").cloned();
    let json = given(matches, "json");
    let screen = Screen::of(out, system);
    if !given(matches, "follow") {
        for event in past_events(&mut daemon, &names, user)? {
            if json { out.json(&event)? } else { out.text(&line(&event, &screen))? }
        }
        return Ok(ExitStatus::Success);
    }
    daemon.wait_for_events()?;
    let jobs = (!names.is_empty()).then_some(names);
    let filter = Some(Filter { jobs, user, ..Filter::default() });
    let arguments = EventsArguments { filter };
    if json {
        daemon.print_more("Events", &arguments, out)?;
        return Ok(ExitStatus::Success);
    }
    daemon.call_more("Events", &arguments, |event: Event| {
        out.text(&line(&event, &screen))?;
        out.flush()?;
        Ok(true)
    })?;
    Ok(ExitStatus::Success)
}

/// The last starts and ends in the history, the oldest first.
fn past_events(daemon: &mut Connection, names: &[String], user: Option<String>) -> Result<Vec<Event>, Error> {
    let mut history = past::open(daemon)?;
    let mut jobs = Vec::new();
    for name in names {
        jobs.push(Some(past::full_name(daemon, &mut history, name)?));
    }
    if jobs.is_empty() {
        jobs.push(None);
    }
    let mut events = Vec::new();
    for job in jobs {
        let arguments = RunsArguments { job, user: user.clone(), limit: Some(ROWS), ..RunsArguments::default() };
        history.call_more("Runs", &arguments, |Found { run }| {
            events.extend(events_of(&run));
            Ok(true)
        })?;
    }
    events.sort_by_key(|event| event.at);
    Ok(events)
}

/// The events that a row of the history stands for.
fn events_of(record: &RunRecord) -> Vec<Event> {
    let outcome = job_text::outcome_of(record);
    let event = |at, name: &str, outcome, text| Event {
        at,
        event: name.to_owned(),
        job: Some(record.job.clone()),
        run: record.run,
        outcome,
        text,
    };
    let mut events = Vec::new();
    if record.run.is_some() {
        let at = record.started_at.unwrap_or(record.scheduled_at);
        events.push(event(at, "start", None, format!("started for {}", record.scheduled_at.timestamp())));
    }
    if record.outcome != "running" {
        let name = match record.outcome.as_str() {
            "skipped" => "skip",
            "missed" => "missed",
            _ => "end",
        };
        let at = record.ended_at.unwrap_or(record.scheduled_at);
        let text = job_text::outcome(&outcome);
        events.push(event(at, name, Some(outcome), text));
    }
    events
}

fn line(event: &Event, screen: &Screen) -> String {
    let text = |text: &str| printable(text.as_bytes());
    let style = match (&event.outcome, event.event.as_str()) {
        (Some(outcome), _) => job_text::outcome_style(&outcome.outcome),
        (None, "start") => TextStyle::Good,
        (None, "pause") => TextStyle::Held,
        (None, "late") => TextStyle::Bad,
        (None, _) => TextStyle::Plain,
    };
    let run = event.run.map(|run| format!(" (run {run})")).unwrap_or_default();
    let job = event.job.as_deref().unwrap_or("-");
    let name = screen.paint(style, &format!("{:<7}", text(&event.event)));
    format!("{}  {name} {}{run}  {}\n", screen.full(event.at), text(job), text(&event.text))
}
