//! `cronctl run`: runs a job now.

use super::cli::{given, value};
use super::connection::{Connection, LONG_TIMEOUT};
use super::error::Error;
use super::exit_status::ExitStatus;
use super::job_output::{self, JobOutput};
use super::job_text;
use super::logs;
use super::output::Output;
use super::past;
use super::stderr::to_stderr;
use super::system_state::SystemState;
use crate::crontab::printable;
use crate::sys::interrupts::EndRequests;
use crate::sys::poll::Poll;
use crate::varlink::cron::{Outcome, RunArguments, RunResult};
use clap::ArgMatches;

/// Exit statuses of `run --wait` that are not the job's.
const TIMED_OUT: u8 = 124;
const NOT_RUN: u8 = 125;
const SIGNALLED: u8 = 128;
/// The signal that ends a run which is killed.
const TERM: u8 = 15;
/// The exit status after an interrupt: 128 and SIGINT.
const INTERRUPTED: u8 = 130;

/// How long the beginning of a line waits for its end, in milliseconds.
const PARTIAL_LINE_MS: u64 = 500;

/// Numbers of descriptors in the epoll set.
const DAEMON: u64 = 0;
const SIGNALS: u64 = 1;

pub(super) fn run(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let Some(job) = value::<String>(matches, "job") else { return Ok(ExitStatus::Success) };
    let mut daemon = Connection::open(system)?;
    let job = job_text::qualified(job, matches);
    let json = given(matches, "json");
    let wants_output = given(matches, "wait") && !json;
    let force = given(matches, "force").then_some(true);
    let arguments = RunArguments { job: job.clone(), force, output: wants_output.then_some(true) };
    if given(matches, "wait") {
        return Waiting::new(daemon, json)?.wait(&arguments, out);
    }
    daemon.set_timeout(LONG_TIMEOUT)?;
    let reply: serde_json::Value = daemon.call("Run", &arguments)?;
    if json {
        out.json(&reply)?;
    }
    let result: RunResult =
        serde_json::from_value(reply).map_err(|why| Error::NoAnswer { message: why.to_string() })?;
    match result.outcome {
        Some(outcome) if result.run == 0 => {
            print_refusal(&job, &outcome);
            Ok(ExitStatus::Faulty)
        }
        _ if json => Ok(ExitStatus::Success),
        _ => {
            let run = result.run;
            out.line(format_args!(
                "run {run} of {} has begun; its output: cronctl logs -f {run}",
                printable(job.as_bytes())
            ))?;
            Ok(ExitStatus::Success)
        }
    }
}

fn print_refusal(job: &str, outcome: &Outcome) {
    let (job, why) = (printable(job.as_bytes()), printable(job_text::outcome(outcome).as_bytes()));
    let advice = match outcome.reason.as_deref() {
        Some("still running") => "; --force runs it beside that",
        Some("fleet away") => "; --force runs it all the same",
        _ => "",
    };
    to_stderr(&format!("cronctl: {job} was not run: {why}{advice}\n"));
}

/// A run whose end is waited for.
struct Waiting {
    daemon: Connection,
    json: bool,
    signals: EndRequests,
    poll: Poll,
    run: Option<u64>,
    output: JobOutput,
    /// Whether output has come with the replies, if only the empty part behind it. Where too many follow output none comes, nor from an earlier
    /// version of the daemon.
    is_followed: bool,
}

impl Waiting {
    fn new(daemon: Connection, json: bool) -> Result<Waiting, Error> {
        let signals = EndRequests::block().map_err(|error| Error::Output(error.into()))?;
        let poll = Poll::new().map_err(|error| Error::Output(error.into()))?;
        poll.add(&daemon, DAEMON).map_err(|error| Error::Output(error.into()))?;
        poll.add(&signals, SIGNALS).map_err(|error| Error::Output(error.into()))?;
        let output = JobOutput::new(true);
        Ok(Waiting { daemon, json, signals, poll, run: None, output, is_followed: false })
    }

    fn wait(mut self, arguments: &RunArguments, out: &mut Output) -> Result<ExitStatus, Error> {
        self.daemon.begin("Run", arguments)?;
        let outcome = loop {
            if let Some(request) = self.signals.arrived() {
                self.output.finish()?;
                self.print_how_to_kill(&arguments.job);
                drop(self.signals);
                request.end_program();
                return Ok(ExitStatus::OfJob(INTERRUPTED));
            }
            if let Some(outcome) = self.take_replies(out)? {
                break outcome;
            }
            if !self.poll.wait_for_any(Some(PARTIAL_LINE_MS)).map_err(|error| Error::Output(error.into()))? {
                self.output.flush()?;
            }
        };
        self.output.finish()?;
        if !self.is_followed && !self.json {
            self.print_missed_output();
        }
        Ok(self.exit_status(&arguments.job, &outcome))
    }

    /// Takes what the daemon has sent. Returns how the run has ended, if that is among it.
    fn take_replies(&mut self, out: &mut Output) -> Result<Option<Outcome>, Error> {
        while let Some((result, _)) = self.daemon.receive::<RunResult>()? {
            let Some(result) = result else { continue };
            if self.json {
                out.json(&result)?;
                out.flush()?;
            }
            self.run = Some(result.run).filter(|run| *run != 0);
            if let Some(part) = &result.output {
                self.is_followed = true;
                self.output.write(part)?;
            }
            if result.outcome.is_some() {
                return Ok(result.outcome);
            }
        }
        Ok(None)
    }

    /// Prints from the history what the run wrote.
    fn print_missed_output(&mut self) {
        let Some(run) = self.run else { return };
        let printed = past::open(&mut self.daemon)
            .and_then(|mut history| logs::ended_output(&mut history, run))
            .and_then(|output| job_output::print_kept(&output));
        if let Err(error) = printed {
            to_stderr(&format!("cronctl: the output of run {run} is not shown: {error}\n"));
        }
    }

    fn print_how_to_kill(&self, job: &str) {
        let what = match self.run {
            Some(run) => format!("run {run} is still running; to end it: cronctl kill {run}"),
            None => {
                let job = printable(job.as_bytes());
                format!("{job} waits and will be run; to cancel that: cronctl kill {job}")
            }
        };
        to_stderr(&format!("cronctl: {what}\n"));
    }

    fn exit_status(&self, job: &str, outcome: &Outcome) -> ExitStatus {
        let status = exit_status(outcome);
        if status == NOT_RUN && self.run.is_none() {
            print_refusal(job, outcome);
        } else if outcome.exit_code.is_none() {
            let (job, how) = (printable(job.as_bytes()), printable(job_text::outcome(outcome).as_bytes()));
            to_stderr(&format!("cronctl: {job}: {how}\n"));
        }
        ExitStatus::OfJob(status)
    }
}

/// The exit status of `run --wait`: the job's own where it exited.
fn exit_status(outcome: &Outcome) -> u8 {
    match (outcome.outcome.as_str(), outcome.exit_code, outcome.signal) {
        (_, Some(code), _) => u8::try_from(code).unwrap_or(1),
        ("timeout", ..) => TIMED_OUT,
        (_, _, Some(signal)) => SIGNALLED.saturating_add(u8::try_from(signal).unwrap_or(0)),
        ("killed" | "replaced", ..) => SIGNALLED + TERM,
        ("ok", ..) => 0,
        _ => NOT_RUN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::varlink::Time;

    #[test]
    fn the_exit_status_is_that_of_the_job() {
        for (word, exit_code, signal, status) in [
            ("ok", Some(0), None, 0),
            // CRON_SUCCESS has it.
            ("ok", Some(3), None, 3),
            ("failed", Some(7), None, 7),
            ("failed", Some(255), None, 255),
            ("signal", None, Some(9), 137),
            ("timeout", None, None, 124),
            ("timeout", None, Some(15), 124),
            ("killed", None, None, 143),
            ("not started", None, None, 125),
            ("skipped", None, None, 125),
            ("lost", None, None, 125),
        ] {
            let outcome = Outcome {
                run: Some(1),
                scheduled_at: Time(0),
                started_at: None,
                ended_at: None,
                outcome: word.to_owned(),
                reason: None,
                exit_code,
                signal,
                attempt: 1,
                count: 1,
                until: None,
            };
            assert_eq!(exit_status(&outcome), status, "{word} {exit_code:?} {signal:?}");
        }
    }
}
