//! `cronctl run`: runs a job now.

use super::Verdict;
use super::cli::{given, value};
use super::connection::Connection;
use super::error::Error;
use super::job_output::{self, JobOutput};
use super::job_text;
use super::logs;
use super::output::Output;
use super::past;
use super::stderr::to_stderr;
use super::world::World;
use crate::crontab::printable;
use crate::sys::interrupts::EndRequests;
use crate::sys::poll::Poll;
use crate::varlink::cron::{Outcome, OutputArguments, OutputPart, RunArguments, RunResult};
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
const PATIENCE_MS: u64 = 500;

/// Numbers of descriptors in the epoll set.
const DAEMON: u64 = 0;
const OUTPUT: u64 = 1;
const SIGNALS: u64 = 2;

/// Runs `cronctl run`.
pub(super) fn run(matches: &ArgMatches, world: &World, out: &mut Output) -> Result<Verdict, Error> {
    let Some(job) = value::<String>(matches, "job") else { return Ok(Verdict::Clean) };
    let mut daemon = Connection::open(world)?;
    let job = job_text::qualified(job, matches);
    let arguments = RunArguments { job: job.clone(), force: given(matches, "force").then_some(true) };
    let json = given(matches, "json");
    if given(matches, "wait") {
        return Waiting::new(daemon, json)?.wait(&arguments, out);
    }
    let reply: serde_json::Value = daemon.call("Run", &arguments)?;
    if json {
        out.json(&reply)?;
    }
    let result: RunResult =
        serde_json::from_value(reply).map_err(|why| Error::NoAnswer { message: why.to_string() })?;
    match result.outcome {
        Some(outcome) if result.run == 0 => {
            tell_refusal(&job, &outcome);
            Ok(Verdict::Faulty)
        }
        _ if json => Ok(Verdict::Clean),
        _ => {
            let run = result.run;
            out.line(format_args!(
                "run {run} of {} has begun; its output: cronctl logs -f {run}",
                printable(job.as_bytes())
            ))?;
            Ok(Verdict::Clean)
        }
    }
}

fn tell_refusal(job: &str, outcome: &Outcome) {
    let (job, why) = (printable(job.as_bytes()), printable(job_text::outcome(outcome).as_bytes()));
    let advice = if outcome.reason.as_deref() == Some("still running") { "; --force runs it beside that" } else { "" };
    to_stderr(&format!("cronctl: {job} was not run: {why}{advice}\n"));
}

/// A run whose end is waited for.
struct Waiting {
    daemon: Connection,
    json: bool,
    signals: EndRequests,
    poll: Poll,
    run: Option<u64>,
    /// The connection on which the output arrives, if it is still to come.
    live: Option<Connection>,
    output: JobOutput,
    /// Whether any output has arrived.
    has_output: bool,
    /// Whether there was nobody to ask for the output, because the run had ended before.
    has_missed_output: bool,
}

impl Waiting {
    fn new(daemon: Connection, json: bool) -> Result<Waiting, Error> {
        let signals = EndRequests::block().map_err(|error| Error::Output(error.into()))?;
        let poll = Poll::new().map_err(|error| Error::Output(error.into()))?;
        poll.add(&daemon, DAEMON).map_err(|error| Error::Output(error.into()))?;
        poll.add(&signals, SIGNALS).map_err(|error| Error::Output(error.into()))?;
        let output = JobOutput::new(true);
        let (has_output, has_missed_output) = (false, false);
        Ok(Waiting { daemon, json, signals, poll, run: None, live: None, output, has_output, has_missed_output })
    }

    fn wait(mut self, arguments: &RunArguments, out: &mut Output) -> Result<Verdict, Error> {
        // Connected already when the run begins, so that little time passes until its output is asked for.
        let mut spare = if self.json { None } else { Some(self.daemon.another()?) };
        self.daemon.begin("Run", arguments)?;
        let mut outcome = None;
        while outcome.is_none() || self.live.is_some() {
            if let Some(request) = self.signals.arrived() {
                self.output.finish()?;
                self.tell_how_to_kill(&arguments.job);
                drop(self.signals);
                request.end_program();
                return Ok(Verdict::Status(INTERRUPTED));
            }
            while let Some((result, _)) = self.daemon_reply(outcome.is_some())? {
                if self.json {
                    out.json(&result)?;
                    out.flush()?;
                }
                self.run = Some(result.run).filter(|run| *run != 0);
                outcome = result.outcome;
                if let (Some(run), Some(mut live)) = (self.run, spare.take()) {
                    live.begin("Output", &OutputArguments { run, follow: Some(true) })?;
                    self.poll.add(&live, OUTPUT).map_err(|error| Error::Output(error.into()))?;
                    self.live = Some(live);
                }
                if outcome.is_some() {
                    break;
                }
            }
            self.take_output()?;
            if outcome.is_some() && self.live.is_none() {
                break;
            }
            if !self.poll.wait_for_any(Some(PATIENCE_MS)).map_err(|error| Error::Output(error.into()))? {
                self.output.flush()?;
            }
        }
        self.output.finish()?;
        if !self.json && !self.has_output {
            self.print_missed_output();
        }
        Ok(outcome.map_or(Verdict::Clean, |outcome| self.verdict(&arguments.job, &outcome)))
    }

    /// A reply about the run. `is_over`: the last one has been taken.
    fn daemon_reply(&mut self, is_over: bool) -> Result<Option<(RunResult, bool)>, Error> {
        if is_over {
            return Ok(None);
        }
        Ok(self.daemon.receive::<RunResult>()?.and_then(|(result, continues)| Some((result?, continues))))
    }

    fn take_output(&mut self) -> Result<(), Error> {
        while let Some(live) = &mut self.live {
            match live.receive::<OutputPart>() {
                Ok(None) => return Ok(()),
                Ok(Some((part, continues))) => {
                    if let Some(part) = part {
                        self.has_output |= !part.data.is_empty();
                        self.output.write(&part)?;
                    }
                    if continues {
                        continue;
                    }
                }
                // There is no such run any more.
                Err(Error::Denied { .. }) => self.has_missed_output = true,
                Err(error) => return Err(error),
            }
            let _ = self.poll.remove(&*live);
            self.live = None;
        }
        Ok(())
    }

    /// Prints from the history what the run wrote before it could be asked for. A run that has ended for the executor, and not yet for the
    /// daemon, is followed to an end without any output, as one that wrote nothing: only the history tells them apart.
    fn print_missed_output(&mut self) {
        let Some(run) = self.run else { return };
        let printed = past::open(&mut self.daemon)
            .and_then(|mut history| logs::ended_output(&mut history, run))
            .and_then(|output| job_output::print_kept(&output));
        if let Err(error) = printed
            && self.has_missed_output
        {
            to_stderr(&format!("cronctl: the output of run {run} is not shown: {error}\n"));
        }
    }

    fn tell_how_to_kill(&self, job: &str) {
        let what = match self.run {
            Some(run) => format!("run {run} goes on; to end it: cronctl kill {run}"),
            None => {
                let job = printable(job.as_bytes());
                format!("{job} waits and will be run; to cancel that: cronctl kill {job}")
            }
        };
        to_stderr(&format!("cronctl: {what}\n"));
    }

    fn verdict(&self, job: &str, outcome: &Outcome) -> Verdict {
        let status = exit_status(outcome);
        if status == NOT_RUN && self.run.is_none() {
            tell_refusal(job, outcome);
        } else if outcome.exit_code.is_none() {
            let (job, how) = (printable(job.as_bytes()), printable(job_text::outcome(outcome).as_bytes()));
            to_stderr(&format!("cronctl: {job}: {how}\n"));
        }
        Verdict::Status(status)
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
