//! `cronctl calendar`: coming runs for calendar programs.

use super::cli::{given, value};
use super::connection::Connection;
use super::error::Error;
use super::exit_status::ExitStatus;
use super::list;
use super::output::Output;
use super::source;
use super::stderr::to_stderr;
use super::system_state::SystemState;
use crate::sys::files;
use crate::varlink::cron::{Filter, List, ListArguments, NextArguments, NextStart};
use crate::varlink::history::{Summary, SummaryArguments};
use crate::web::calendar::{ASKED_OF_DAY, Calendar, Daemon, DayRange, MOST_EVENTS, MOST_JOBS, NamedJob, days};
use clap::ArgMatches;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// The days of a calendar.
const DAYS: u32 = 30;
/// The daemon answers a hundred questions a second. After so many questions there is a pause before each further one.
const UNPACED: usize = 50;
const PACE: Duration = Duration::from_millis(12);
/// Jobs whose mean duration is looked up in the history, which answers a hundred questions a second.
const LOOKED_UP: usize = 90;

pub(super) fn run(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let count = value::<u32>(matches, "days").copied().unwrap_or(DAYS);
    let ranges = days(system.now(), count, system.system_zone());
    let query = Query { names: list::names(matches), user: value::<String>(matches, "user").cloned() };
    let json = given(matches, "json");
    let host = String::from_utf8_lossy(&files::host_name().unwrap_or_default()).into_owned();
    let mut calendar = Calendar::new(if host.is_empty() { "localhost" } else { &host }, system.now());
    let (mut history, mut has_begun) = (None, false);
    match Connection::open(system) {
        Ok(mut daemon) => {
            let jobs = (!query.names.is_empty()).then(|| query.names.clone());
            let filter = Filter { jobs, user: query.user.clone(), ..Filter::default() };
            let mut asked = CountingDaemon { daemon: &mut daemon, questions: 0 };
            for range in ranges {
                let (starts, takes_more) = calendar.ask_day(range, &filter, json, &mut asked)?;
                // The other days take a while where there are very many jobs. Nothing is printed if the question itself is wrong.
                if !json && !std::mem::replace(&mut has_begun, true) {
                    out.text(&calendar.head())?;
                    out.flush()?;
                }
                starts.iter().try_for_each(|start| out.json(start))?;
                if !takes_more {
                    break;
                }
            }
            history = daemon.history();
        }
        Err(error) => {
            to_stderr(&format!("cronctl: {error}\ncronctl: computed from the crontabs, without the daemon's state\n"));
            query.compute(ranges, &mut calendar, json.then_some(&mut *out), system)?;
        }
    }
    if let Some(day) = calendar.cut_at() {
        to_stderr(&format!("cronctl: more than {MOST_EVENTS} runs: the calendar ends before or on {day}\n"));
    }
    if !json {
        let durations = history.map(|history| durations(history, &calendar.jobs(LOOKED_UP))).unwrap_or_default();
        out.text(&if has_begun { calendar.rest(&durations) } else { calendar.text(&durations) })?;
    }
    Ok(ExitStatus::Success)
}

/// The daemon, and how often it was asked.
struct CountingDaemon<'a> {
    daemon: &'a mut Connection,
    questions: usize,
}

impl Daemon for CountingDaemon<'_> {
    type Error = Error;

    fn starts(&mut self, arguments: &NextArguments) -> Result<Vec<NextStart>, Error> {
        self.questions += 1;
        if self.questions > UNPACED {
            std::thread::sleep(PACE);
        }
        let mut starts = Vec::new();
        self.daemon.call_more("Next", arguments, |start: NextStart| {
            starts.push(start);
            Ok(true)
        })?;
        Ok(starts)
    }

    fn jobs(&mut self, filter: &Filter) -> Result<Vec<NamedJob>, Error> {
        let mut jobs = Vec::new();
        let arguments = ListArguments { filter: Some(filter.clone()) };
        // After an answer that is not read to its end, a connection is of no more use.
        self.daemon.another()?.call_more("List", &arguments, |list: List| {
            jobs.extend(list.jobs.into_iter().map(NamedJob::from));
            Ok(jobs.len() < MOST_JOBS)
        })?;
        jobs.truncate(MOST_JOBS);
        Ok(jobs)
    }
}

/// The names and the user of the jobs that are wanted.
struct Query {
    names: Vec<String>,
    user: Option<String>,
}

impl Query {
    /// Adds what the tables say that the caller may read.
    fn compute(
        &self,
        ranges: impl Iterator<Item = DayRange>,
        calendar: &mut Calendar,
        mut out: Option<&mut Output>,
        system: &SystemState,
    ) -> Result<(), Error> {
        let tables = source::all(system)?;
        let scheduler = list::scheduler_of(&tables, system);
        let mut wanted = BTreeSet::new();
        for name in &self.names {
            wanted.insert(scheduler.find_job(name).map_err(|found| list::not_one(name, &found))?);
        }
        for range in ranges {
            let mut starts = Vec::new();
            for live in scheduler.entries().filter(|live| live.policy().is_enabled) {
                let user = live.user_or_caller();
                let Some(id) = live.id().filter(|id| self.names.is_empty() || wanted.contains(id)) else { continue };
                if self.user.as_deref().is_some_and(|wanted| wanted != user) {
                    continue;
                }
                let of_day = live.coming_starts(&id, range.from).take_while(|at| *at <= range.until);
                starts.extend(of_day.take(ASKED_OF_DAY).map(|at| NextStart {
                    at: at.into(),
                    job: id.to_string(),
                    user: user.to_owned(),
                    command: String::from_utf8_lossy(live.command()).into_owned(),
                    schedule: live.schedule_text(),
                    zone: live.zone().map(|zone| zone.name().to_owned()).unwrap_or_default(),
                    source: live.source().path.clone(),
                    line: live.line(),
                }));
            }
            starts.sort_by_key(|start| start.at);
            if let Some(out) = out.as_deref_mut() {
                starts.iter().try_for_each(|start| out.json(start))?;
            }
            if !calendar.add_day(range, starts) {
                break;
            }
        }
        Ok(())
    }
}

/// The mean durations of these jobs, as far as the history has them.
fn durations(mut history: Connection, jobs: &[String]) -> HashMap<String, f64> {
    let mut durations = HashMap::new();
    for job in jobs {
        match history.call::<Summary>("Summary", &SummaryArguments { job: job.clone() }) {
            Ok(summary) => durations.extend(summary.mean.map(|mean| (job.clone(), mean))),
            // It has not run.
            Err(Error::Denied { .. } | Error::NoSuchJob { .. }) => {}
            // The others are written without.
            Err(_) => break,
        }
    }
    durations
}
