//! `cronctl fleet`, `cronctl list --fleet` and `cronctl history --fleet`: the nodes of the fleet, its jobs, and their outcomes on all nodes.

use super::cli::{given, value};
use super::connection::Connection;
use super::error::Error;
use super::exit_status::ExitStatus;
use super::job_text;
use super::list;
use super::output::Output;
use super::screen::{Cell, Column, Screen, Table, TextStyle};
use super::stderr::to_stderr;
use super::system_state::SystemState;
use crate::crontab::printable;
use crate::report::format_count;
use crate::schedule::rounded_duration;
use crate::varlink::cron::{
    Filter, Fleet, FleetHistory, FleetJob, FleetJobs, FleetJobsArguments, FleetNode, FleetOutcome, FleetReset,
    JobArguments,
};
use clap::ArgMatches;
use serde_json::json;

/// Jobs that differ between nodes and are named.
const NAMED: usize = 20;
/// The most seconds that a clock may be off without a warning.
const CLOCK_NOTED: f64 = 1.0;

const NODES: [Column; 8] = [
    Column { heading: "NODE", most: 40 },
    Column { heading: "STATE", most: 20 },
    Column { heading: "CLOCK", most: 10 },
    Column { heading: "JOBS", most: 6 },
    Column { heading: "CONTACT", most: 12 },
    Column { heading: "VERSION", most: 16 },
    Column { heading: "WEIGHT", most: 6 },
    Column { heading: "LABELS", most: 80 },
];

const JOBS: [Column; 7] = [
    Column { heading: "JOB", most: 40 },
    Column { heading: "FLEET", most: 12 },
    Column { heading: "LAST", most: 12 },
    Column { heading: "ON", most: 24 },
    Column { heading: "STATE", most: 32 },
    Column { heading: "NEXT ON", most: 24 },
    Column { heading: "NODES", most: 60 },
];

const OUTCOMES: [Column; 7] = [
    Column { heading: "DUE", most: 19 },
    Column { heading: "AGO", most: 12 },
    Column { heading: "NODE", most: 40 },
    Column { heading: "RUN", most: 20 },
    Column { heading: "TOOK", most: 10 },
    Column { heading: "OUTCOME", most: 60 },
    Column { heading: "FENCE", most: 20 },
];

pub(super) fn run(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let mut daemon = Connection::open(system)?;
    if let Some(job) = value::<String>(matches, "job") {
        return reset(&mut daemon, &job_text::qualified(job, matches), given(matches, "json"), out);
    }
    let reply: serde_json::Value = daemon.call("Fleet", &json!({}))?;
    let fleet: Fleet =
        serde_json::from_value(reply.clone()).map_err(|why| Error::NoAnswer { message: why.to_string() })?;
    let is_well = fleet.engine != "away" && fleet.warnings.is_empty() && fleet.differing == 0;
    let exit_status = if is_well { ExitStatus::Success } else { ExitStatus::Faulty };
    if given(matches, "json") {
        out.json(&reply)?;
        return Ok(exit_status);
    }
    if fleet.name.is_none() {
        out.line(format_args!(
            "no fleet is set up: every job of this machine runs on this machine (cronwheel-fleet(7))"
        ))?;
        return Ok(exit_status);
    }
    let screen = Screen::of(out, system);
    print(&fleet, &screen, out)?;
    if fleet.differing > 0 {
        let filter = Filter { user: value::<String>(matches, "user").cloned(), ..Filter::default() };
        name_differing(&mut daemon, &fleet, filter, &screen, out)?;
    }
    Ok(exit_status)
}

fn print(fleet: &Fleet, screen: &Screen, out: &mut Output) -> Result<(), Error> {
    let text = |text: &str| printable(text.as_bytes());
    let mut field = |name: &str, text: &str| out.line(format_args!("{name:<10} {text}"));
    let name = fleet.name.as_deref().unwrap_or_default();
    let here = fleet.node.as_deref().map(|node| format!(", this node is {}", text(node))).unwrap_or_default();
    field("fleet", &format!("{}{here}", text(name)))?;
    let engine = match (fleet.engine.as_str(), fleet.since) {
        ("up", _) => screen.paint(TextStyle::Good, "up"),
        (word, since) => {
            let since = since.map(|at| format!(" since {} ({})", screen.full(at), screen.relative(at)));
            let why = fleet.why.as_deref().map(|why| format!(": {}", text(why))).unwrap_or_default();
            screen.paint(TextStyle::Bad, &format!("{}{}{why}", text(word), since.unwrap_or_default()))
        }
    };
    field("engine", &engine)?;
    let differing = match fleet.differing {
        0 => String::new(),
        count => screen.paint(TextStyle::Held, &format!(", {count} not the same on all nodes")),
    };
    field("jobs", &format!("{}{differing}", format_count(fleet.jobs as u64, "fleet job", "fleet jobs")))?;
    for warning in &fleet.warnings {
        field("warning", &screen.paint(TextStyle::Bad, &text(warning)))?;
    }
    if fleet.nodes.is_empty() {
        return Ok(());
    }
    out.line(format_args!(""))?;
    let mut table = Table::new(screen, &NODES, "");
    fleet.nodes.iter().for_each(|node| table.add(node_row(node, screen)));
    table.print(out)
}

fn node_row(node: &FleetNode, screen: &Screen) -> Vec<Cell> {
    let state = match node.state.as_str() {
        "here" | "up" => Cell::painted(TextStyle::Good, &node.state),
        "clock" => Cell::painted(TextStyle::Bad, "wrong clock"),
        other => Cell::painted(TextStyle::Bad, other),
    };
    let clock = match node.clock_offset {
        None => Cell::of("-"),
        Some(offset) => {
            let style = if offset.abs() > CLOCK_NOTED { TextStyle::Bad } else { TextStyle::Plain };
            Cell::painted(style, &offset_text(offset))
        }
    };
    // Of a node that is gone nothing else is known.
    let number = |number: String| Cell::of(if node.state == "gone" { "-" } else { &number });
    vec![
        Cell::of(&node.node),
        state,
        clock,
        number(node.jobs.to_string()),
        Cell::of(&node.contact.map_or_else(|| "-".to_owned(), |at| screen.relative(at))),
        Cell::of(&node.version),
        number(node.weight.to_string()),
        Cell::of(&node.labels.join(", ")),
    ]
}

/// `+0.1s`.
fn offset_text(seconds: f64) -> String {
    // Not -0.0.
    let tenths = (seconds * 10.0).round() / 10.0 + 0.0;
    format!("{tenths:+.1}s")
}

/// Names the jobs that are not the same on all nodes, and where they are.
fn name_differing(
    daemon: &mut Connection,
    fleet: &Fleet,
    filter: Filter,
    screen: &Screen,
    out: &mut Output,
) -> Result<(), Error> {
    let up = fleet.nodes.iter().filter(|node| node.state != "gone").count();
    let mut named = 0;
    out.line(format_args!(""))?;
    daemon.call_more("FleetJobs", &FleetJobsArguments { filter: Some(filter) }, |page: FleetJobs| {
        for job in &page.jobs {
            let Some(difference) = difference(job, up) else { continue };
            if named == NAMED {
                out.line(format_args!("{:<10} and more: cronctl list --fleet", ""))?;
                return Ok(false);
            }
            named += 1;
            let text = format!("{}: {difference}", printable(job.job.as_bytes()));
            out.line(format_args!("{:<10} {}", "differing", screen.paint(TextStyle::Held, &text)))?;
        }
        Ok(true)
    })
}

/// How the tables of the nodes differ about a job, of which so many are up. None: they do not.
fn difference(job: &FleetJob, up: usize) -> Option<String> {
    match (job.known_count >= up, job.differs) {
        (true, false) => None,
        (true, true) => Some("the entries differ".to_owned()),
        (false, false) => Some(format!("only on {}", known_on(job))),
        (false, true) => Some(format!("only on {}, and the entries differ", known_on(job))),
    }
}

/// The nodes that have a job: `web1, web2 and 20 more`.
fn known_on(job: &FleetJob) -> String {
    let named = job.known_on.join(", ");
    let others = job.known_count.saturating_sub(job.known_on.len());
    printable(if others > 0 { format!("{named} and {others} more") } else { named }.as_bytes())
}

fn reset(daemon: &mut Connection, job: &str, is_json: bool, out: &mut Output) -> Result<ExitStatus, Error> {
    let reset: FleetReset = daemon.call("FleetReset", &JobArguments { job: job.to_owned() })?;
    if is_json {
        out.json(&reset)?;
        return Ok(ExitStatus::Success);
    }
    let job = printable(job.as_bytes());
    match (reset.repaired, reset.slot) {
        (true, Some(slot)) => out.line(format_args!("{job}: the watermark was at {slot} and is set to now"))?,
        (true, None) => out.line(format_args!("{job}: the watermark is set to now"))?,
        (false, Some(slot)) => out.line(format_args!("{job}: nothing to repair, the watermark is at {slot}"))?,
        (false, None) => out.line(format_args!("{job}: nothing to repair, no slot has been claimed"))?,
    }
    Ok(ExitStatus::Success)
}

pub(super) fn list(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let mut daemon = Connection::open(system)?;
    let names = list::names(matches);
    let jobs = (!names.is_empty()).then_some(names);
    let filter = Filter { jobs, user: value::<String>(matches, "user").cloned(), ..Filter::default() };
    let arguments = FleetJobsArguments { filter: Some(filter) };
    if given(matches, "json") {
        daemon.print_more("FleetJobs", &arguments, out)?;
        return Ok(ExitStatus::Success);
    }
    let screen = Screen::of(out, system);
    let mut table = Table::new(&screen, &JOBS, "");
    let mut count = 0;
    daemon.call_more("FleetJobs", &arguments, |page: FleetJobs| {
        count += page.jobs.len();
        page.jobs.iter().for_each(|job| table.add(job_row(job, &screen)));
        table.print(out).map(|()| true)
    })?;
    if count == 0 && out.is_terminal() {
        to_stderr("cronctl: there are no fleet jobs (CRON_FLEET=one) that you may see\n");
    }
    Ok(ExitStatus::Success)
}

fn job_row(job: &FleetJob, screen: &Screen) -> Vec<Cell> {
    let state = match (job.paused_until, job.state.as_deref()) {
        (Some(until), _) => Cell::painted(TextStyle::Held, &format!("paused until {}", screen.clock(until))),
        (None, Some("claimed")) => Cell::painted(TextStyle::Good, "running"),
        (None, Some("second")) => Cell::painted(TextStyle::Held, "running again (failover)"),
        (None, Some("lost")) => Cell::painted(TextStyle::Bad, "lost"),
        (None, Some(other)) => Cell::of(other),
        (None, None) => Cell::of("-"),
    };
    let or_none = |text: &Option<String>| Cell::of(text.as_deref().unwrap_or("-"));
    let known = known_on(job);
    vec![
        Cell::of(&job.job),
        if job.fleet.is_empty() { Cell::painted(TextStyle::Held, "not here") } else { Cell::of(&job.fleet) },
        Cell::of(&job.slot.map_or_else(|| "-".to_owned(), |slot| screen.relative(slot))),
        or_none(&job.node),
        state,
        or_none(&job.next_node),
        if job.differs { Cell::painted(TextStyle::Held, &format!("{known} (differ)")) } else { Cell::of(&known) },
    ]
}

pub(super) fn history(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let Some(job) = value::<String>(matches, "job") else { return Ok(ExitStatus::Success) };
    let mut daemon = Connection::open(system)?;
    let arguments = JobArguments { job: job_text::qualified(job, matches) };
    if given(matches, "json") {
        daemon.print("FleetHistory", &arguments, out)?;
        return Ok(ExitStatus::Success);
    }
    let found: FleetHistory = daemon.call("FleetHistory", &arguments)?;
    let screen = Screen::of(out, system);
    let mut table = Table::new(&screen, &OUTCOMES, "");
    found.outcomes.iter().for_each(|outcome| table.add(outcome_row(outcome, &screen)));
    if found.outcomes.is_empty() {
        if out.is_terminal() {
            to_stderr("cronctl: the fleet has no outcome of this job yet\n");
        }
        return Ok(ExitStatus::Success);
    }
    table.print(out)?;
    Ok(ExitStatus::Success)
}

fn outcome_row(outcome: &FleetOutcome, screen: &Screen) -> Vec<Cell> {
    let took = outcome.started_at.zip(outcome.ended_at);
    let took = took.map(|(began, ended)| rounded_duration(ended.0.saturating_sub(began.0).max(0) as f64 / 1e6));
    let mut text = outcome_text(outcome);
    if outcome.attempt > 1 {
        text += &format!(", attempt {}", outcome.attempt);
    }
    let number = |number: Option<u64>| Cell::of(&number.map_or_else(|| "-".to_owned(), |number| number.to_string()));
    vec![
        Cell::of(&screen.full(outcome.scheduled_at)),
        Cell::of(&screen.relative(outcome.started_at.unwrap_or(outcome.scheduled_at))),
        Cell::of(&outcome.node),
        number(outcome.run),
        Cell::of(&took.unwrap_or_else(|| "-".to_owned())),
        Cell::painted(job_text::outcome_style(&outcome.outcome), &text),
        number(outcome.fence),
    ]
}

/// `ok`, `failed (exit 3)`, `skipped: paused`.
pub(super) fn outcome_text(outcome: &FleetOutcome) -> String {
    let word = &outcome.outcome;
    match outcome.detail.as_deref() {
        Some("0") if word == "ok" => word.clone(),
        Some(status) if status.bytes().all(|byte| byte.is_ascii_digit()) => format!("{word} (exit {status})"),
        Some(detail) => format!("{word}: {detail}"),
        None => word.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::varlink::Time;

    #[test]
    fn differences_between_tables_are_named() {
        for (known_on, known_count, differs, expected) in [
            (&["web1", "web2", "web3"][..], 3, false, None),
            (&["web1", "web2", "web3"], 3, true, Some("the entries differ")),
            (&["web1", "web2"], 2, false, Some("only on web1, web2")),
            (&["web2"], 1, true, Some("only on web2, and the entries differ")),
            (&["web1"], 2, false, Some("only on web1 and 1 more")),
        ] {
            let known_on: Vec<String> = known_on.iter().map(|node| (*node).to_owned()).collect();
            let job = FleetJob { known_on, known_count, differs, ..FleetJob::default() };
            assert_eq!(difference(&job, 3).as_deref(), expected, "{job:?}");
        }
    }

    #[test]
    fn outcomes_are_told_as_those_of_one_machine_are() {
        let outcome = |word: &str, detail: Option<&str>| FleetOutcome {
            scheduled_at: Time(0),
            node: "web1".to_owned(),
            run: None,
            attempt: 0,
            started_at: None,
            ended_at: None,
            outcome: word.to_owned(),
            detail: detail.map(str::to_owned),
            fence: None,
        };
        for (word, detail, text) in [
            ("ok", Some("0"), "ok"),
            ("failed", Some("3"), "failed (exit 3)"),
            ("skipped", Some("paused"), "skipped: paused"),
            ("lost", None, "lost"),
        ] {
            assert_eq!(outcome_text(&outcome(word, detail)), text);
        }
    }

    #[test]
    fn clock_offsets_have_a_sign_and_tenths() {
        for (seconds, text) in [(0.0, "+0.0s"), (-0.04, "+0.0s"), (1.26, "+1.3s"), (-31.0, "-31.0s")] {
            assert_eq!(offset_text(seconds), text);
        }
    }
}
