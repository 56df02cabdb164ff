//! `cronctl pause`, `resume`, `kill` and `reload`.

use super::cli::{given, value};
use super::connection::{Connection, LONG_TIMEOUT};
use super::error::Error;
use super::exit_status::ExitStatus;
use super::job_text;
use super::list;
use super::output::Output;
use super::screen::Screen;
use super::stderr::to_stderr;
use super::system_state::SystemState;
use crate::crontab::printable;
use crate::report::format_count;
use crate::schedule::Timestamp;
use crate::varlink::Time;
use crate::varlink::cron::{
    Filter, KillArguments, Killed, List, ListArguments, PauseArguments, Paused, ReloadArguments, Reloaded,
    ResumeArguments, Resumed,
};
use clap::ArgMatches;

/// How long a pause is if nothing else is said, in seconds.
const USUAL_PAUSE: u32 = 3_600;
/// Jobs that one call names. The daemon takes 500, and 64 KiB.
const NAMED_AT_ONCE: usize = 200;

pub(super) fn pause(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let mut daemon = Connection::open(system)?;
    let length = value::<u32>(matches, "for").copied().unwrap_or(USUAL_PAUSE);
    let until = system.moment(matches, "until").unwrap_or(Timestamp(system.now().0 + i64::from(length)));
    let note = value::<String>(matches, "note").cloned();
    let until_text = Time::from(until).to_string();
    let arguments = |jobs, all| PauseArguments { jobs, all, until: until_text.clone(), note: note.clone() };
    let (mut paused, mut warning) = (Vec::new(), None);
    for JobsOfCall { jobs, all } in jobs_by_call(&mut daemon, matches)? {
        daemon.set_timeout(LONG_TIMEOUT)?;
        let reply: Paused = daemon.call("Pause", &arguments(jobs, all))?;
        paused.extend(reply.paused);
        warning = reply.warning.or(warning);
    }
    if given(matches, "json") {
        out.json(&Paused { paused, warning })?;
        return Ok(ExitStatus::Success);
    }
    let screen = Screen::of(out, system);
    let until = Time::from(until);
    let until = format!("until {} ({})", screen.full(until), screen.relative(until));
    let exit_status = print_changed("paused", &paused, &until, out)?;
    if given(matches, "all") && value::<String>(matches, "user").is_none() {
        out.line(format_args!("entries that are added {until} are paused, too"))?;
    }
    if let Some(warning) = warning {
        out.flush()?;
        to_stderr(&format!("cronctl: {}\n", printable(warning.as_bytes())));
    }
    Ok(exit_status)
}

pub(super) fn resume(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let mut daemon = Connection::open(system)?;
    let (mut resumed, mut lifted, mut kept) = (Vec::new(), None, None);
    for JobsOfCall { jobs, all } in jobs_by_call(&mut daemon, matches)? {
        daemon.set_timeout(LONG_TIMEOUT)?;
        let reply: Resumed = daemon.call("Resume", &ResumeArguments { jobs, all })?;
        resumed.extend(reply.resumed);
        (lifted, kept) = (reply.all, reply.kept);
    }
    if given(matches, "json") {
        out.json(&Resumed { resumed, all: lifted, kept })?;
        return Ok(ExitStatus::Success);
    }
    let is_all_lifted = lifted == Some(true);
    let kept = kept.filter(|kept| *kept > 0);
    if !resumed.is_empty() || !(is_all_lifted || kept.is_some()) {
        print_changed("resumed", &resumed, "", out)?;
    }
    if is_all_lifted {
        out.line(format_args!("the pause of all jobs is ended, also for entries that are added"))?;
    }
    if let Some(kept) = kept {
        let jobs = format_count(kept, "job", "jobs");
        out.line(format_args!("{jobs} not resumed: paused by root, and only root can change that"))?;
    }
    Ok(ExitStatus::Success)
}

/// The jobs of one call: their names, or all.
struct JobsOfCall {
    jobs: Vec<String>,
    all: Option<bool>,
}

/// The jobs that are meant, in pieces that one call takes.
fn jobs_by_call(daemon: &mut Connection, matches: &ArgMatches) -> Result<Vec<JobsOfCall>, Error> {
    let mut names = list::names(matches);
    if given(matches, "all") {
        let Some(user) = value::<String>(matches, "user") else {
            return Ok(vec![JobsOfCall { jobs: Vec::new(), all: Some(true) }]);
        };
        let filter = Filter { user: Some(user.clone()), ..Filter::default() };
        daemon.call_more("List", &ListArguments { filter: Some(filter) }, |list: List| {
            names.extend(list.jobs.into_iter().map(|job| job.job));
            Ok(true)
        })?;
    }
    Ok(names.chunks(NAMED_AT_ONCE).map(|jobs| JobsOfCall { jobs: jobs.to_vec(), all: None }).collect())
}

fn print_changed(verb: &str, jobs: &[String], more: &str, out: &mut Output) -> Result<ExitStatus, Error> {
    /// Jobs that are named one by one.
    const MOST: usize = 20;
    match jobs {
        [] if verb == "resumed" => out.line(format_args!("no job was resumed: none of them is paused"))?,
        [] => out.line(format_args!("no job was {verb}"))?,
        few if few.len() <= MOST => {
            for job in few {
                out.line(format_args!("{}", format!("{verb} {} {more}", printable(job.as_bytes())).trim_end()))?;
            }
        }
        many => {
            let count = format_count(many.len() as u64, "job", "jobs");
            out.line(format_args!("{}", format!("{verb} {count} {more}").trim_end()))?;
        }
    }
    Ok(ExitStatus::Success)
}

pub(super) fn kill(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let Some(what) = value::<String>(matches, "job") else { return Ok(ExitStatus::Success) };
    let mut daemon = Connection::open(system)?;
    let signal = value::<String>(matches, "signal").cloned();
    let (run, job) = match what.parse::<u64>() {
        Ok(run) => (run, None),
        Err(_) => {
            let job = daemon.find(&job_text::qualified(what, matches))?;
            match (&signal, job.running.iter().map(|run| run.run).min()) {
                (Some(_), Some(run)) => (run, Some(job.job)),
                (Some(_), None) => {
                    let message = format!("{} does not run", printable(job.job.as_bytes()));
                    return Err(Error::Denied { message });
                }
                // The daemon knows which of its runs are being ended already.
                (None, _) => (0, Some(job.job)),
            }
        }
    };
    let arguments = KillArguments { run, signal: signal.clone(), job: job.clone().filter(|_| run == 0) };
    let reply: serde_json::Value = daemon.call("Kill", &arguments)?;
    if given(matches, "json") {
        out.json(&reply)?;
        return Ok(ExitStatus::Success);
    }
    let of = job.as_ref().map(|job| format!(" of {}", printable(job.as_bytes()))).unwrap_or_default();
    // A daemon of an earlier version does not say which run it was.
    let Killed { run: ended } = serde_json::from_value(reply).unwrap_or_default();
    match (signal, ended.or(Some(run).filter(|run| *run > 0))) {
        (Some(signal), _) => out.line(format_args!("sent {} to run {run}{of}", printable(signal.as_bytes())))?,
        (None, None) => out.line(format_args!("cancelled the next start{of}"))?,
        (None, Some(run)) => out.line(format_args!("run {run}{of} is being ended"))?,
    }
    Ok(ExitStatus::Success)
}

pub(super) fn reload(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let mut daemon = Connection::open(system)?;
    daemon.set_timeout(LONG_TIMEOUT)?;
    let arguments = ReloadArguments { user: value::<String>(matches, "user").cloned() };
    if given(matches, "json") {
        daemon.print("Reload", &arguments, out)?;
        return Ok(ExitStatus::Success);
    }
    let Reloaded { tables, entries } = daemon.call("Reload", &arguments)?;
    let (tables, entries) =
        (format_count(tables as u64, "table", "tables"), format_count(entries as u64, "entry", "entries"));
    out.line(format_args!("{tables} with {entries}"))?;
    Ok(ExitStatus::Success)
}
