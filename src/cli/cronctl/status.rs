//! `cronctl status`: the daemon, and what fails; `cronctl ping`.

use super::cli::{given, value};
use super::connection::Connection;
use super::error::Error;
use super::exit_status::ExitStatus;
use super::job_text;
use super::output::Output;
use super::screen::{Screen, TextStyle};
use super::system_state::SystemState;
use crate::crontab::printable;
use crate::report::format_count;
use crate::varlink::cron::{Filter, Job, List, ListArguments, Status};
use clap::ArgMatches;
use serde_json::json;
use std::time::Duration;

/// Jobs of a kind that are named.
const NAMED: usize = 20;
/// How long `ping` waits for the daemon.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn ping(system: &SystemState) -> Result<ExitStatus, Error> {
    let mut daemon = Connection::open(system)?;
    daemon.set_timeout(TIMEOUT)?;
    let _: serde_json::Value = daemon.call_service("GetInfo", &json!({}))?;
    Ok(ExitStatus::Success)
}

pub(super) fn run(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let mut daemon = Connection::open(system)?;
    let reply: serde_json::Value = daemon.call("Status", &json!({}))?;
    let status: Status =
        serde_json::from_value(reply.clone()).map_err(|why| Error::NoAnswer { message: why.to_string() })?;
    let is_in_fleet = status.fleet.as_deref().is_none_or(|fleet| fleet == "up");
    let is_well = status.failing == 0 && status.late == 0 && status.refused.is_empty() && is_in_fleet;
    let exit_status = if is_well { ExitStatus::Success } else { ExitStatus::Faulty };
    if given(matches, "json") {
        out.json(&reply)?;
        return Ok(exit_status);
    }
    let screen = Screen::of(out, system);
    print(&status, &screen, out)?;
    out.flush()?;
    let user = value::<String>(matches, "user");
    if status.running > 0 {
        name_jobs(&mut daemon, "running", user, out, &screen)?;
    }
    if status.paused > 0 {
        name_jobs(&mut daemon, "paused", user, out, &screen)?;
    }
    if status.failing > 0 || status.late > 0 {
        name_failing(&mut daemon, user, out, &screen)?;
    }
    Ok(exit_status)
}

fn print(status: &Status, screen: &Screen, out: &mut Output) -> Result<(), Error> {
    let mut field = |name: &str, text: &str| out.line(format_args!("{name:<10} {text}"));
    let kind = if status.standalone { ", standalone" } else { "" };
    let since = format!("since {} ({})", screen.full(status.started_at), screen.relative(status.started_at));
    field("daemon", &format!("cronwheel {}, pid {}, {since}", printable(status.version.as_bytes()), status.pid))?;
    field("profile", &format!("{}{kind}", printable(status.profile.as_bytes())))?;
    let entries = format_count(status.entries as u64, "entry", "entries");
    field("tables", &format!("{} with {entries}", format_count(status.tables as u64, "table", "tables")))?;
    for refused in &status.refused {
        let text = format!("{}: {}", printable(refused.source.as_bytes()), printable(refused.reason.as_bytes()));
        field("refused", &screen.paint(TextStyle::Bad, &text))?;
    }
    let count = |style, number: usize, word: &str| {
        screen.paint(if number > 0 { style } else { TextStyle::Plain }, &format!("{number} {word}"))
    };
    let counts = [
        count(TextStyle::Good, status.running, "running"),
        count(TextStyle::Held, status.waiting, "waiting"),
        count(TextStyle::Held, status.paused, "paused"),
        count(TextStyle::Bad, status.failing, "failing"),
        count(TextStyle::Bad, status.late, "late"),
    ];
    field("jobs", &counts.join(", "))?;
    if let Some(until) = status.paused_all_until {
        let text =
            format!("until {} ({}), entries that are added included", screen.full(until), screen.relative(until));
        field("all paused", &screen.paint(TextStyle::Held, &text))?;
    }
    let next = status.next.map(|next| format!("{} ({})", screen.full(next), screen.relative(next)));
    field("next", &next.unwrap_or_else(|| "nothing is due".to_owned()))?;
    let history = printable(status.history.as_bytes());
    field("history", &if history == "on" { history } else { screen.paint(TextStyle::Held, &history) })?;
    if let Some(fleet) = &status.fleet {
        let fleet = printable(fleet.as_bytes());
        field("fleet", &if fleet == "up" { fleet } else { screen.paint(TextStyle::Bad, &format!("away: {fleet}")) })?;
    }
    if status.log_dropped > 0 {
        let lines = format_count(status.log_dropped, "line", "lines");
        field("log", &screen.paint(TextStyle::Bad, &format!("{lines} could not be written")))?;
    }
    if status.old_executors > 0 {
        let executors = format_count(status.old_executors as u64, "executor", "executors");
        field("executors", &format!("{executors} of earlier daemons, whose jobs still run"))?;
    }
    Ok(())
}

fn name_jobs(
    daemon: &mut Connection,
    state: &str,
    user: Option<&String>,
    out: &mut Output,
    screen: &Screen,
) -> Result<(), Error> {
    let filter = Filter { state: Some(state.to_owned()), user: user.cloned(), ..Filter::default() };
    let mut named = 0;
    // The rest of the list is not waited for.
    daemon.another()?.call_more("List", &ListArguments { filter: Some(filter) }, |list: List| {
        for job in list.jobs {
            if named == NAMED {
                out.line(format_args!("{:<10} and more: cronctl list", ""))?;
                return Ok(false);
            }
            named += 1;
            let style = if state == "paused" { TextStyle::Held } else { TextStyle::Good };
            out.line(format_args!("{state:<10} {}", screen.paint(style, &detail(&job, state, screen))))?;
        }
        Ok(true)
    })
}

fn detail(job: &Job, state: &str, screen: &Screen) -> String {
    let name = printable(job.job.as_bytes());
    if state == "paused" {
        let until = job.paused_until.map(|until| format!(" until {}", screen.clock(until))).unwrap_or_default();
        let by = job.paused_by.as_ref().map(|by| format!(" by {}", printable(by.as_bytes()))).unwrap_or_default();
        let note = job.note.as_ref().map(|note| format!(": {}", printable(note.as_bytes()))).unwrap_or_default();
        return format!("{name}{until}{by}{note}");
    }
    let runs: Vec<String> = job.running.iter().map(|run| format!("run {}", run.run)).collect();
    let since = job.running.iter().filter_map(|run| run.started_at).min();
    let since = since.map(|at| format!(", started {}", screen.relative(at))).unwrap_or_default();
    format!("{name} ({}{since})", runs.join(", "))
}

/// Names the jobs that fail or are late. All are examined.
fn name_failing(
    daemon: &mut Connection,
    user: Option<&String>,
    out: &mut Output,
    screen: &Screen,
) -> Result<(), Error> {
    let filter = Filter { user: user.cloned(), ..Filter::default() };
    let mut named = 0;
    daemon.another()?.call_more("List", &ListArguments { filter: Some(filter) }, |list: List| {
        for job in list.jobs.iter().filter(|job| job.failures > 0 || job.late) {
            if named == NAMED {
                out.line(format_args!("{:<10} and more: cronctl history --outcome failed", ""))?;
                return Ok(false);
            }
            named += 1;
            let last = match &job.last {
                Some(last) => {
                    let at = last.ended_at.unwrap_or(last.scheduled_at);
                    format!(", {} {}", printable(job_text::outcome(last).as_bytes()), screen.relative(at))
                }
                None => String::new(),
            };
            let times = if job.failures > 1 { format!(", {} times in a row", job.failures) } else { String::new() };
            let text = format!("{}{last}{times}", printable(job.job.as_bytes()));
            let word = if job.failures > 0 { "failing" } else { "late" };
            out.line(format_args!("{word:<10} {}", screen.paint(TextStyle::Bad, &text)))?;
        }
        Ok(true)
    })?;
    if named > 0 {
        out.line(format_args!("\nWhat they wrote: cronctl logs JOB; more about one: cronctl show JOB"))?;
    }
    Ok(())
}
