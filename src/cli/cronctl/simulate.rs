//! `cronctl simulate`: lists the runs that the daemon would start over clock changes and restarts.

use super::cli::{given, value};
use super::error::Error;
use super::exit_status::ExitStatus;
use super::output::Output;
use super::source::{self, Listed};
use super::system_state::SystemState;
use super::values::{Step, TimeArgument, TimeRange};
use crate::crontab::{Crontab, Form, printable};
use crate::schedule::{Timestamp, Zone};
use crate::scheduler::{
    Event, JobScenario, Now, Owner, RunRecord, Scenario, Scheduler, Simulated, Source, Started, simulate,
};
use clap::ArgMatches;
use std::borrow::Cow;
use std::sync::Arc;

/// How long a simulation lasts without `--until`, in seconds.
const DAY: i64 = 24 * 3600;

/// Runs `cronctl simulate`: prints what would run in a span of time.
pub(super) fn run(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let from = system.moment(matches, "from").unwrap_or_else(|| system.now());
    let until = system.moment(matches, "until").unwrap_or(Timestamp(from.0.saturating_add(DAY)));
    if until < from {
        return Err(Error::Backwards);
    }
    let json = given(matches, "json");
    let zone = Arc::clone(system.system_zone());
    let user = value::<String>(matches, "user");
    let listed = match (user, source::path(matches)) {
        (Some(user), _) => source::table_of(user, system)?,
        (None, Some(path)) => source::file(path, given(matches, "system"), system)?,
        (None, None) => return Ok(ExitStatus::Success), // clap insists on one of them
    };
    let steps = matches.get_many::<Step>("step").into_iter().flatten();
    let steps = steps.map(|step| (system.resolve(step.at), step.by));
    let down = matches.get_many::<TimeRange>("down").into_iter().flatten();
    let down = down.map(|down| range("down", *down, system)).collect::<Result<_, _>>()?;
    let caller = user.cloned().unwrap_or_else(|| system.caller());
    let jobs = jobs(matches, &listed, &caller, system)?;
    let records_all = given(matches, "outcomes");
    let steps = steps.collect();
    let scenario = Scenario { zone: zone.clone(), from, until, steps, down, caller, jobs, records_all };
    for simulated in simulate(scenario, || vec![load(&listed, user.is_some())]) {
        match simulated {
            Simulated::Started(started) if !records_all => print(&started, &zone, json, out)?,
            Simulated::Ended(record) if records_all => out.json(&OutcomeLine::of(&record))?,
            Simulated::Started(_) | Simulated::Ended(_) | Simulated::Notice(_) => {}
        }
    }
    Ok(source::report_errors(std::slice::from_ref(&listed)))
}

/// The ends of a range of true time.
fn range(option: &'static str, range: TimeRange, system: &SystemState) -> Result<(Timestamp, Timestamp), Error> {
    let (from, until) = (system.resolve(range.from), system.resolve(range.until));
    if until < from { Err(Error::RangeBackwards { option }) } else { Ok((from, until)) }
}

/// Loads the crontab as the daemon does at each start.
fn load(listed: &Listed, is_installed: bool) -> (Source, Crontab) {
    let owner = match listed.form {
        Form::System => Owner::System,
        // Its jobs have the names that the daemon gives them, which do not depend on the number.
        _ if is_installed => Owner::User { name: listed.owner.clone(), uid: 0 },
        _ => Owner::Caller,
    };
    let source = Source { path: listed.name.clone(), name: listed.owner.clone(), owner };
    (source, listed.table.clone())
}

/// How jobs behave and what people do, by the options.
fn jobs(matches: &ArgMatches, listed: &Listed, caller: &str, system: &SystemState) -> Result<JobScenario, Error> {
    let mut finder = Scheduler::new(Arc::clone(system.system_zone()), Now { utc: Timestamp(0), elapsed_ms: 0 });
    finder.set_caller(caller);
    finder.record_all(true);
    let (source, table) = load(listed, value::<String>(matches, "user").is_some());
    finder.handle(Event::Load { source, table }, Now { utc: Timestamp(0), elapsed_ms: 0 });
    let find = |option: &'static str, job: &str| {
        finder.find_job(job).map_err(|found| Error::Job { option, job: job.to_owned(), found })
    };
    let mut jobs = JobScenario { calendars: system.calendars().clone(), ..JobScenario::default() };
    for (job, seconds) in matches.get_many::<(String, i64)>("duration").into_iter().flatten() {
        jobs.durations.insert(find("duration", job)?, *seconds);
    }
    for (job, exits) in matches.get_many::<(String, Vec<i32>)>("exit").into_iter().flatten() {
        jobs.exits.insert(find("exit", job)?, exits.clone());
    }
    for (job, pause) in matches.get_many::<(String, TimeRange)>("pause").into_iter().flatten() {
        let (from, until) = range("pause", *pause, system)?;
        jobs.pauses.push((find("pause", job)?, from, until));
    }
    for (job, at) in matches.get_many::<(String, TimeArgument)>("run").into_iter().flatten() {
        jobs.runs.push((find("run", job)?, system.resolve(*at)));
    }
    for (job, at) in matches.get_many::<(String, TimeArgument)>("kill").into_iter().flatten() {
        jobs.kills.push((find("kill", job)?, system.resolve(*at)));
    }
    Ok(jobs)
}

/// One outcome as it is printed in JSON.
#[derive(serde::Serialize)]
struct OutcomeLine<'a> {
    job: &'a str,
    scheduled_at: String,
    trigger: &'static str,
    attempt: u32,
    started_at: Option<String>,
    ended_at: Option<String>,
    outcome: &'static str,
    exit_code: Option<i32>,
    reason: Option<&'a str>,
    line: u32,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

impl OutcomeLine<'_> {
    fn of(record: &RunRecord) -> OutcomeLine<'_> {
        let moment = |ms: i64| Timestamp(ms.div_euclid(1_000)).to_string();
        OutcomeLine {
            job: record.job.as_str(),
            scheduled_at: record.scheduled_at.to_string(),
            trigger: record.trigger.as_str(),
            attempt: record.attempt,
            started_at: record.started_at_ms.map(moment),
            ended_at: record.ended_at_ms.map(moment),
            outcome: record.outcome.as_str(),
            exit_code: record.outcome.exit_status(),
            reason: record.outcome.reason(),
            line: record.line,
            count: record.count,
            until: record.until.map(|until| until.to_string()),
        }
    }
}

/// A start for JSON output.
#[derive(serde::Serialize)]
struct StartLine<'a> {
    at: String,
    shown: String,
    line: u32,
    command: Cow<'a, str>,
}

fn print(Started { at, shown, start }: &Started, zone: &Zone, json: bool, out: &mut Output) -> Result<(), Error> {
    let (at, shown) = (at.to_string(), zone.to_rfc3339(*shown));
    if json {
        out.json(&StartLine { at, shown, line: start.line, command: String::from_utf8_lossy(&start.command) })
    } else {
        out.line(format_args!("{at}  {shown}  {}  {}", start.line, printable(&start.command)))
    }
}
