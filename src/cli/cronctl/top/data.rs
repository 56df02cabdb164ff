//! What the daemon and the history say, and what is asked of the daemon.

use super::state::{Log, State, has_text};
use crate::cli::cronctl::connection::Connection;
use crate::cli::cronctl::error::Error;
use crate::cli::cronctl::job_output;
use crate::cli::cronctl::logs;
use crate::cli::cronctl::screen::{Screen, TextStyle};
use crate::cli::cronctl::timeline::add_past;
use crate::cli::cronctl::{job_text, starts};
use crate::crontab::printable;
use crate::schedule::{Timestamp, Zone};
use crate::timeline::{Builder, Grouping, Range, Timeline};
use crate::varlink::Time;
use crate::varlink::cron::{
    Event, EventsArguments, Filter, Job, KillArguments, Killed, List, ListArguments, NextArguments, NextStart,
    OutputArguments, OutputPart, PauseArguments, Paused, ResumeArguments, Resumed, RunArguments, RunResult,
};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// With more jobs than this, only the matches of a search are listed, or without one the jobs that fail, run, wait or are due next.
pub(super) const MOST_LISTED: usize = 1_000;
/// Of these, jobs that come next.
const NEXT_JOBS: u64 = 100;
/// The states of the others, as the daemon's filter has them.
const PRESSING: [&str; 5] = ["failing", "late", "running", "waiting", "retrying"];
/// Changed jobs that are asked for by name. If more have changed, all are asked for.
const MOST_CHANGED: usize = 200;
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long a pause lasts, in seconds.
const PAUSE: i64 = 3_600;
/// The timeline shows half an hour of the past and of what is to come, in seconds.
const HALF: i64 = 1_800;
/// Rows of the history and starts that it is made of.
const MOST_RUNS: u64 = 2_000;
const MOST_STARTS: u64 = 20_000;

/// The connections of `cronctl top` to a daemon: for calls, for events, and for output.
pub(super) struct Daemon {
    calls: Connection,
    /// The connection on which events arrive.
    pub(super) events: Connection,
    /// The connection on which the output of a run arrives.
    pub(super) output: Option<Connection>,
    user: Option<String>,
    /// Which jobs were asked for last.
    listed: Listed,
    /// Whether the user has more jobs than are listed at once. The daemon's figures are of all users.
    has_user_many: bool,
    changed: BTreeSet<String>,
    is_all_changed: bool,
}

/// The jobs that are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Listed {
    All,
    /// Those that fail, run, wait or come next.
    Pressing,
    /// Jobs whose name or command contains this text.
    Matching(String),
}

impl Listed {
    /// Those that are to be listed, with the number of all entries if the jobs of all users are listed, or else with whether the user has many.
    fn wanted(state: &State, user_has_many: Option<bool>) -> Listed {
        let entries = state.status.as_ref().map_or(0, |status| status.entries);
        match (entries > MOST_LISTED && user_has_many.unwrap_or(true), state.filter.as_str()) {
            (false, _) => Listed::All,
            (true, "") => Listed::Pressing,
            (true, text) => Listed::Matching(text.to_owned()),
        }
    }
}

impl Daemon {
    /// Connects, and asks for events.
    pub(super) fn new(calls: Connection, user: Option<String>) -> Result<Daemon, Error> {
        calls.set_timeout(TIMEOUT)?;
        let mut events = calls.another()?;
        let filter = Some(Filter { user: user.clone(), ..Filter::default() });
        events.begin("Events", &EventsArguments { filter })?;
        let (listed, changed) = (Listed::All, BTreeSet::new());
        let has_user_many = false;
        Ok(Daemon { calls, events, output: None, user, listed, has_user_many, changed, is_all_changed: true })
    }

    /// Connects anew to the same daemon, or to the one that is there now.
    pub(super) fn reconnect(&self) -> Result<Daemon, Error> {
        Daemon::new(self.calls.another()?, self.user.clone())
    }

    /// Takes the events that have arrived, and notes which jobs they are about.
    pub(super) fn take_events(&mut self) -> Result<(), Error> {
        while let Some((event, continues)) = self.events.receive::<Event>()? {
            match event.and_then(|event| event.job) {
                Some(job) if self.changed.len() < MOST_CHANGED => drop(self.changed.insert(job)),
                _ => self.is_all_changed = true,
            }
            if !continues {
                return Err(Error::DaemonGone);
            }
        }
        Ok(())
    }

    /// Whether something has changed since the last [`Daemon::refresh`], or other jobs are to be listed.
    pub(super) fn has_changes(&self, state: &State) -> bool {
        self.is_all_changed || !self.changed.is_empty() || self.are_others_wanted(state)
    }

    /// Whether other jobs are to be listed than those that were asked for last.
    pub(super) fn are_others_wanted(&self, state: &State) -> bool {
        self.listed != self.wanted(state)
    }

    fn wanted(&self, state: &State) -> Listed {
        Listed::wanted(state, self.user.as_ref().map(|_| self.has_user_many))
    }

    /// Whether only some jobs are listed, which are asked for anew after each change.
    pub(super) fn is_filtered(&self) -> bool {
        self.listed != Listed::All
    }

    /// Notes that nothing is known for sure.
    pub(super) fn forget_all(&mut self) {
        self.is_all_changed = true;
    }

    /// Asks the daemon for its status and for the jobs that have changed.
    pub(super) fn refresh(&mut self, state: &mut State) -> Result<(), Error> {
        state.status = Some(self.calls.call("Status", &json!({}))?);
        let is_all_changed = std::mem::take(&mut self.is_all_changed);
        self.has_user_many &= !is_all_changed;
        let mut wanted = self.wanted(state);
        let is_same = wanted == self.listed && wanted == Listed::All;
        let changed: Vec<String> = std::mem::take(&mut self.changed).into_iter().collect();
        if !is_all_changed && is_same {
            let filter = Filter { jobs: Some(changed), ..self.filter() };
            match self.calls.call::<List>("List", &ListArguments { filter: Some(filter) }) {
                Ok(list) => {
                    state.update_jobs(list.jobs);
                    return Ok(());
                }
                // One of them is no more: all are asked for.
                Err(Error::Denied { .. } | Error::NoSuchJob { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let mut jobs = self.list_wanted(&wanted)?;
        if wanted == Listed::All && jobs.len() >= MOST_LISTED {
            self.has_user_many = self.user.is_some();
            let fewer = self.wanted(state);
            if fewer != wanted {
                jobs = self.list_wanted(&fewer)?;
                wanted = fewer;
            }
        }
        state.has_more = jobs.len() >= MOST_LISTED;
        if wanted == Listed::Pressing {
            let next = self.next_jobs(&jobs)?;
            jobs.extend(next);
        }
        state.is_filtered = wanted != Listed::All;
        state.set_jobs(jobs);
        self.listed = wanted;
        Ok(())
    }

    fn filter(&self) -> Filter {
        Filter { user: self.user.clone(), ..Filter::default() }
    }

    fn list_wanted(&self, wanted: &Listed) -> Result<Vec<Job>, Error> {
        match wanted {
            Listed::All => self.list(self.filter(), |_| true),
            Listed::Matching(text) => {
                let text = text.to_lowercase();
                self.list(self.filter(), |job| has_text(job, &text))
            }
            Listed::Pressing => {
                let states = Some(PRESSING.map(str::to_owned).to_vec());
                self.list(Filter { states, ..self.filter() }, |_| true)
            }
        }
    }

    /// The first [`MOST_LISTED`] jobs of a filter that are wanted.
    fn list(&self, filter: Filter, is_wanted: impl Fn(&Job) -> bool) -> Result<Vec<Job>, Error> {
        let mut jobs: Vec<Job> = Vec::new();
        // After an answer that is not read to its end, a connection is of no more use.
        let mut connection = self.calls.another()?;
        connection.set_timeout(TIMEOUT)?;
        connection.call_more("List", &ListArguments { filter: Some(filter) }, |list: List| {
            let most = MOST_LISTED - jobs.len();
            jobs.extend(list.jobs.into_iter().filter(&is_wanted).take(most));
            Ok(jobs.len() < MOST_LISTED)
        })?;
        Ok(jobs)
    }

    /// The jobs that come next, without those that are known.
    fn next_jobs(&mut self, known: &[Job]) -> Result<Vec<Job>, Error> {
        let known: BTreeSet<&str> = known.iter().map(|job| job.job.as_str()).collect();
        let arguments = NextArguments {
            filter: Some(self.filter()),
            count: Some(NEXT_JOBS),
            per_job: Some(1),
            ..NextArguments::default()
        };
        let mut names = Vec::new();
        self.calls.call_more("Next", &arguments, |start: NextStart| {
            names.extend(Some(start.job).filter(|job| !known.contains(job.as_str())));
            Ok(true)
        })?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let filter = Filter { jobs: Some(names), ..self.filter() };
        match self.calls.call::<List>("List", &ListArguments { filter: Some(filter) }) {
            Ok(list) => Ok(list.jobs),
            // One of them has been removed meanwhile; an event says so.
            Err(Error::Denied { .. } | Error::NoSuchJob { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The timeline of the hour around now, of all jobs or of these, and until when the coming starts are known if there are too many.
    pub(super) fn timeline(
        &mut self,
        now: Timestamp,
        zone: &Arc<Zone>,
        rows: usize,
        jobs: Option<BTreeSet<String>>,
    ) -> Result<(Timeline, Option<Timestamp>), Error> {
        let range = Range::of(Timestamp(now.0 - HALF), Timestamp(now.0 + HALF));
        let mut builder = Builder::new(range, now, Arc::clone(zone), Grouping::Job, rows);
        if let Some(jobs) = jobs {
            builder.set_jobs(jobs);
        }
        if let Some(mut history) = self.calls.history_within(TIMEOUT) {
            history.set_timeout(TIMEOUT)?;
            // The newest are enough.
            let _ = add_past(&mut history, range, HALF, MOST_RUNS, self.user.as_ref(), &mut builder)?;
        } else {
            builder.set_known_from(now);
        }
        let filter = self.user.clone().map(|user| Filter { user: Some(user), ..Filter::default() });
        let (mut count, mut last) = (0, now);
        starts::fetch(&mut self.calls, filter.as_ref(), now, Some(range.until), MOST_STARTS, |_, start| {
            builder.add_start(start);
            (count, last) = (count + 1, start.at.timestamp());
            Ok(())
        })?;
        let known_until = (count >= MOST_STARTS).then_some(last);
        if let Some(last) = known_until {
            builder.set_known_until(last);
        }
        Ok((builder.finish(), known_until))
    }

    /// Runs a job, and says what came of it.
    pub(super) fn run(&mut self, job: &str) -> Result<(TextStyle, String), Error> {
        let arguments = RunArguments { job: job.to_owned(), force: None, output: None };
        let result: RunResult = self.calls.call("Run", &arguments)?;
        let job = printable(job.as_bytes());
        Ok(match result.outcome {
            Some(outcome) if result.run == 0 => {
                (TextStyle::Held, format!("{job} was not run: {}", printable(job_text::outcome(&outcome).as_bytes())))
            }
            _ if result.run == 0 => (TextStyle::Held, format!("{job} waits")),
            _ => (TextStyle::Good, format!("run {} of {job} has begun", result.run)),
        })
    }

    pub(super) fn pause(&mut self, job: &str, screen: &Screen) -> Result<(TextStyle, String), Error> {
        let until = Time::from(Timestamp(screen.now.0 + PAUSE));
        let arguments = PauseArguments { jobs: vec![job.to_owned()], all: None, until: until.to_string(), note: None };
        let Paused { paused, .. } = self.calls.call("Pause", &arguments)?;
        self.changed.extend(paused);
        Ok((TextStyle::Held, format!("{} is paused until {}", printable(job.as_bytes()), screen.clock(until))))
    }

    pub(super) fn resume(&mut self, job: &str) -> Result<(TextStyle, String), Error> {
        let arguments = ResumeArguments { jobs: vec![job.to_owned()], all: None };
        let Resumed { resumed, .. } = self.calls.call("Resume", &arguments)?;
        let what = if resumed.is_empty() { "is not paused" } else { "is resumed" };
        self.changed.extend(resumed);
        Ok((TextStyle::Good, format!("{} {what}", printable(job.as_bytes()))))
    }

    /// Ends a run of a job, not a later one. None: cancels what waits of it.
    pub(super) fn kill(&mut self, job: &str, run: Option<u64>) -> Result<(TextStyle, String), Error> {
        let only = run.is_none().then(|| job.to_owned());
        let arguments = KillArguments { run: run.unwrap_or(0), signal: None, job: only };
        let Killed { run } = self.calls.call("Kill", &arguments)?;
        self.changed.insert(job.to_owned());
        let job = printable(job.as_bytes());
        Ok((
            TextStyle::Held,
            match run {
                Some(run) => format!("run {run} of {job} is being ended"),
                None => format!("the next start of {job} is cancelled"),
            },
        ))
    }

    /// Opens the output of the run of a job that is in progress, else of its last.
    pub(super) fn open_log(&mut self, job: &Job) -> Result<Log, Error> {
        let running = job.running.iter().map(|run| run.run).max();
        let mut log = Log { job: printable(job.job.as_bytes()), ..Log::default() };
        if let Some(run) = running {
            let mut output = self.calls.another()?;
            output.begin("Output", &OutputArguments { run, follow: Some(true) })?;
            self.output = Some(output);
            return Ok(Log { run, is_live: true, ..log });
        }
        let nothing = || Error::Denied { message: format!("{} has not run", printable(job.job.as_bytes())) };
        let mut history = self.calls.history_within(TIMEOUT).ok_or_else(nothing)?;
        history.set_timeout(TIMEOUT)?;
        let last = job.last.as_ref().and_then(|last| last.run);
        let last = last.or_else(|| job_text::last_run(&mut history, &job.job).and_then(|record| record.run));
        log.run = last.ok_or_else(nothing)?;
        add_kept(&mut history, &mut log)?;
        Ok(log)
    }

    /// Adds output that has arrived to a log.
    pub(super) fn take_output(&mut self, log: &mut Log) -> Result<(), Error> {
        let Some(output) = &mut self.output else { return Ok(()) };
        loop {
            let received = match output.receive::<OutputPart>() {
                // The run has ended before its output was asked for.
                Err(Error::Denied { .. } | Error::NoSuchJob { .. }) if log.lines.is_empty() => {
                    (self.output, log.is_live) = (None, false);
                    let Some(mut history) = self.calls.history_within(TIMEOUT) else { return Ok(()) };
                    history.set_timeout(TIMEOUT)?;
                    return add_kept(&mut history, log);
                }
                received => received?,
            };
            let Some((part, continues)) = received else { return Ok(()) };
            if let Some(part) = part {
                let bytes = job_output::decoded(&part.data, part.base64)?;
                log.add(&bytes);
            }
            if !continues {
                log.end();
                self.output = None;
                return Ok(());
            }
        }
    }
}

/// Adds what the history has kept of the output of a run, which may have ended a moment ago.
fn add_kept(history: &mut Connection, log: &mut Log) -> Result<(), Error> {
    let output = logs::ended_output(history, log.run)?;
    log.add(&job_output::kept(&output)?);
    log.end();
    Ok(())
}
