//! `cronctl logs`: the output of a run.

use super::cli::{given, value};
use super::connection::Connection;
use super::error::Error;
use super::exit_status::ExitStatus;
use super::job_output::{self, JobOutput};
use super::job_text;
use super::output::Output;
use super::past;
use super::system_state::SystemState;
use crate::crontab::printable;
use crate::sys::clock;
use crate::sys::poll::Poll;
use crate::varlink::cron::{JobArguments, OutputArguments, OutputPart, Show};
use crate::varlink::history::{self, Found, RunArguments};
use clap::ArgMatches;

/// How long the beginning of a line waits for its end, in milliseconds.
const PARTIAL_LINE_MS: u64 = 500;
/// How long the history may take to note that a run was started, and that it has ended, in milliseconds.
const NOTED_MS: i64 = 500;
const ENDED_MS: i64 = 2_000;
/// How often it is asked for that, in milliseconds.
const RETRY_MS: u64 = 50;

pub(super) fn run(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let Some(given_job) = value::<String>(matches, "job") else { return Ok(ExitStatus::Success) };
    let (follow, json) = (given(matches, "follow"), given(matches, "json"));
    let mut daemon = Connection::open(system)?;
    let job = job_text::qualified(given_job, matches);
    let (run, job) = match given_job.parse::<u64>() {
        Ok(run) => (run, None),
        Err(_) => (latest_run(&mut daemon, &job)?, Some(job)),
    };
    let arguments = OutputArguments { run, follow: Some(follow) };
    if follow {
        daemon.wait_for_events()?;
    }
    let shown = if json { daemon.print_more("Output", &arguments, out) } else { show_live(&mut daemon, &arguments) };
    match shown {
        Err(Error::Denied { .. } | Error::NoSuchJob { .. }) => {}
        shown => return shown.map(|()| ExitStatus::Success),
    }
    let mut history = past::open(&mut daemon)?;
    let shown = match json {
        true => history.print("Output", &RunArguments { run }, out),
        false => ended_output(&mut history, run).and_then(|output| job_output::print_kept(&output)),
    };
    match (shown, job) {
        (Err(Error::Denied { .. } | Error::NoSuchJob { .. }), Some(job)) if has_no_history(&mut daemon, &job) => {
            let job = printable(job.as_bytes());
            let message = format!(
                "the history keeps nothing of {job} (CRON_HISTORY=off): its output is shown only while it runs, by cronctl logs -f"
            );
            Err(Error::Denied { message })
        }
        (shown, _) => shown.map(|()| ExitStatus::Success),
    }
}

/// Whether the settings of a job say that the history has none of its runs.
fn has_no_history(daemon: &mut Connection, job: &str) -> bool {
    let show: Result<Show, Error> = daemon.call("Show", &JobArguments { job: job.to_owned() });
    show.is_ok_and(|show| show.settings.iter().any(|setting| setting.name == "CRON_HISTORY" && setting.value == "off"))
}

/// The run of a job that is in progress, else its last.
fn latest_run(daemon: &mut Connection, job: &str) -> Result<u64, Error> {
    let no_run = |job: &str| Error::Denied { message: format!("{job} has not run; cronctl why says when it will") };
    let name = match daemon.find(job) {
        Ok(found) => {
            let running = found.running.iter().map(|run| run.run).max();
            if let Some(run) = running.or_else(|| found.last.as_ref().and_then(|last| last.run)) {
                return Ok(run);
            }
            found.job
        }
        // The history may know a job that is no more.
        Err(error @ (Error::Denied { .. } | Error::NoSuchJob { .. })) => {
            let Some(mut history) = daemon.history() else { return Err(error) };
            return job_text::last_run(&mut history, job).and_then(|record| record.run).ok_or(error);
        }
        Err(error) => return Err(error),
    };
    let mut history = past::open(daemon)?;
    job_text::last_run(&mut history, &name).and_then(|record| record.run).ok_or_else(|| no_run(&name))
}

/// Shows the output of a run in progress, as it arrives.
fn show_live(daemon: &mut Connection, arguments: &OutputArguments) -> Result<(), Error> {
    let mut output = JobOutput::new(false);
    let poll = Poll::new().map_err(|error| Error::Output(error.into()))?;
    poll.add(&*daemon, 0).map_err(|error| Error::Output(error.into()))?;
    daemon.begin("Output", arguments)?;
    loop {
        match daemon.receive::<OutputPart>()? {
            Some((part, continues)) => {
                part.map(|part| output.write(&part)).transpose()?;
                if !continues {
                    return output.finish();
                }
            }
            None => {
                if !poll.wait_for_any(Some(PARTIAL_LINE_MS)).map_err(|error| Error::Output(error.into()))? {
                    output.flush()?;
                }
            }
        }
    }
}

/// The kept output of a run that has ended, perhaps a moment ago.
pub(super) fn ended_output(history: &mut Connection, run: u64) -> Result<history::Output, Error> {
    let begun = clock::monotonic_ms();
    loop {
        let waited = clock::monotonic_ms() - begun;
        let found: Result<Found, Error> = history.call("Run", &RunArguments { run });
        match found {
            Ok(Found { run: record }) if waited >= ENDED_MS || record.outcome != "running" => {
                return history.call("Output", &RunArguments { run });
            }
            Err(error) if waited >= NOTED_MS || !matches!(error, Error::Denied { .. } | Error::NoSuchJob { .. }) => {
                return Err(error);
            }
            Ok(_) | Err(_) => std::thread::sleep(std::time::Duration::from_millis(RETRY_MS)),
        }
    }
}
