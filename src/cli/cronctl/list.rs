//! `cronctl list`: one line for each job.

use super::cli::{given, value};
use super::connection::Connection;
use super::error::Error;
use super::exit_status::ExitStatus;
use super::job_text;
use super::output::Output;
use super::screen::{Cell, Column, Screen, Table};
use super::source::{self, Listed};
use super::stderr::to_stderr;
use super::system_state::SystemState;
use crate::crontab::{Form, printable};
use crate::scheduler::{Event, JobId, Live, Now, Owner, Scheduler, Source};
use crate::varlink::Time;
use crate::varlink::cron::{Filter, Job, List, ListArguments};
use clap::ArgMatches;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Jobs whose last run is looked up in the history: what fits on a screen.
const LOOKED_UP: usize = 50;

const COLUMNS: [Column; 6] = [
    Column { heading: "JOB", most: 40 },
    Column { heading: "SCHEDULE", most: 24 },
    Column { heading: "LAST", most: 36 },
    Column { heading: "NEXT", most: 12 },
    Column { heading: "STATE", most: 32 },
    Column { heading: "COMMAND", most: 200 },
];

/// The last column, of which a beginning is enough.
const COMMAND: usize = 5;

pub(super) fn run(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let names = names(matches);
    let user = value::<String>(matches, "user").cloned();
    let mut daemon = match Connection::open(system) {
        Ok(daemon) => daemon,
        Err(error) => {
            list_tables(&names, user.as_deref(), given(matches, "json"), system, out)?;
            out.flush()?;
            return Err(error);
        }
    };
    let jobs = (!names.is_empty()).then_some(names);
    let filter = Some(Filter { jobs, user, ..Filter::default() });
    let screen = Screen::of(out, system);
    let mut table = Table::new(&screen, &COLUMNS, "").cutting_first(COMMAND);
    let mut history = daemon.history();
    let mut left = LOOKED_UP;
    let json = given(matches, "json");
    let mut count = 0;
    daemon.call_more("List", &ListArguments { filter }, |page: serde_json::Value| {
        let mut page = page;
        add_last_runs(&mut page, &mut history, &mut left);
        if json {
            out.json(&page)?;
            return out.flush().map(|()| true);
        }
        let list: List = serde_json::from_value(page).map_err(|why| Error::NoAnswer { message: why.to_string() })?;
        count += list.jobs.len();
        list.jobs.iter().for_each(|job| table.add(row(job, &screen)));
        table.print(out).map(|()| true)
    })?;
    if count == 0 && !json && out.is_terminal() {
        to_stderr("cronctl: there are no jobs that you may see\n");
    }
    Ok(ExitStatus::Success)
}

/// The jobs on the command line.
pub(super) fn names(matches: &ArgMatches) -> Vec<String> {
    let names = matches.get_many::<String>("jobs").into_iter().flatten();
    names.map(|job| job_text::qualified(job, matches)).collect()
}

/// Puts the last runs that the daemon does not know, because it was started later, into a page of jobs.
fn add_last_runs(page: &mut serde_json::Value, history: &mut Option<Connection>, left: &mut usize) {
    let Some(jobs) = page.get_mut("jobs").and_then(serde_json::Value::as_array_mut) else { return };
    for job in jobs.iter_mut().take(*left) {
        *left -= 1;
        let is_unknown = job.get("last").is_none_or(serde_json::Value::is_null);
        let (Some(history), Some(name)) = (history.as_mut(), job.get("job").and_then(|name| name.as_str())) else {
            continue;
        };
        if is_unknown
            && let Some(record) = job_text::last_run(history, name)
            && let (Ok(last), Some(job)) = (serde_json::to_value(job_text::outcome_of(&record)), job.as_object_mut())
        {
            job.insert("last".to_owned(), last);
        }
    }
}

fn row(job: &Job, screen: &Screen) -> Vec<Cell> {
    vec![
        Cell::of(&job.job),
        Cell::of(&job.schedule),
        job_text::last(job, screen),
        Cell::of(&job.next.map_or_else(|| "-".to_owned(), |next| screen.relative(next))),
        job_text::state(job, screen),
        Cell::of(&job.command),
    ]
}

/// Lists the entries of the crontabs themselves, without a daemon.
fn list_tables(
    names: &[String],
    user: Option<&str>,
    json: bool,
    system: &SystemState,
    out: &mut Output,
) -> Result<(), Error> {
    let tables = source::all(system)?;
    let scheduler = scheduler_of(&tables, system);
    let mut wanted = BTreeSet::new();
    for name in names {
        let found = scheduler.find_job(name);
        wanted.insert(found.map_err(|found| not_one(name, &found))?);
    }
    let jobs: Vec<Job> = scheduler
        .entries()
        .filter_map(|live| job_of(&live, system))
        .filter(|(id, job)| (names.is_empty() || wanted.contains(id)) && user.is_none_or(|user| user == job.user))
        .map(|(_, job)| job)
        .collect();
    if json {
        return out.json(&List { jobs });
    }
    let screen = Screen::of(out, system);
    let mut table = Table::new(&screen, &COLUMNS, "").cutting_first(COMMAND);
    jobs.iter().for_each(|job| table.add(row(job, &screen)));
    table.print(out)
}

/// What to say of a name that no job or several have.
pub(super) fn not_one(name: &str, found: &[JobId]) -> Error {
    let name = printable(name.as_bytes());
    let found: Vec<&str> = found.iter().take(10).map(JobId::as_str).collect();
    let message = match found.as_slice() {
        [] => format!("there is no job {name} in the tables that you may read"),
        found => format!("{name} may be any of: {}", found.join(", ")),
    };
    Error::Denied { message }
}

/// The tables as the daemon has them, so that its jobs have their names.
pub(super) fn scheduler_of(tables: &[Listed], system: &SystemState) -> Scheduler {
    let now = Now { utc: system.now(), elapsed_ms: 0 };
    let mut scheduler = Scheduler::new(Arc::clone(system.system_zone()), now);
    scheduler.set_caller(&system.caller());
    scheduler.handle(Event::Calendars(system.calendars().clone()), now);
    for listed in tables {
        let owner = match listed.form {
            Form::System => Owner::System,
            // The names of jobs do not depend on the number.
            _ => Owner::User { name: listed.owner.clone(), uid: 0 },
        };
        let source = Source { path: listed.name.clone(), name: listed.owner.clone(), owner };
        scheduler.handle(Event::Load { source, table: listed.table.clone() }, now);
    }
    scheduler
}

fn job_of(live: &Live<'_>, system: &SystemState) -> Option<(JobId, Job)> {
    let id = live.id()?;
    let policy = live.policy();
    let kind = if live.source().owner == Owner::System { "system" } else { "user" };
    let next = live.coming_starts(&id, system.now()).next();
    let job = Job {
        job: id.to_string(),
        user: live.user_or_caller().to_owned(),
        name: id.name().to_owned(),
        named: live.is_named(&id),
        source: live.source().path.clone(),
        line: live.line(),
        kind: kind.to_owned(),
        schedule: live.schedule_text(),
        zone: live.zone().map(|zone| zone.name().to_owned()).unwrap_or_default(),
        command: String::from_utf8_lossy(live.command()).into_owned(),
        state: if policy.is_enabled { "idle" } else { "disabled" }.to_owned(),
        enabled: policy.is_enabled,
        paused_until: None,
        paused_by: None,
        note: None,
        next: next.map(Time::from),
        last: None,
        failures: 0,
        late: false,
        running: Vec::new(),
        waiting: 0,
        retry_at: None,
    };
    Some((id, job))
}

/// Prints the names by which jobs can be meant, for completions.
pub(super) fn print_names(system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    /// More are of no use to anybody who presses a key.
    const MOST: usize = 2_000;
    let mut daemon = Connection::open(system)?;
    let mut count = 0;
    daemon.call_more("List", &ListArguments::default(), |list: List| {
        count += list.jobs.len();
        for job in list.jobs.iter().filter(|job| !job.job.contains(char::is_whitespace)) {
            out.line(format_args!("{}", printable(job.job.as_bytes())))?;
        }
        Ok(count < MOST)
    })?;
    Ok(ExitStatus::Success)
}
