//! The `cronctl` program: shows and controls the jobs of a daemon, shows when entries run, checks crontabs, and explains schedules.
//!
//! Each verb has a file: `past` is that of `history`, and `job_control` that of `pause`, `resume`, `kill` and `reload`; `fleet` is also that of
//! `list --fleet` and `history --fleet`. `cli` defines the command
//! line, `exit_status` and `error` the exit statuses. `source` reads crontabs, `upcoming` lists runs in order of time, and `batch` implements the
//! line-by-line mode for programs with many questions. `connection` finds a daemon and calls it, and `starts` asks it for coming starts. `screen`
//! has columns, colours and relative times, `job_text` texts about jobs. `job_output` writes the output of jobs, and `sandbox` restricts the verbs
//! that serve others. [`crate::timeline`] draws what `timeline` and `top` show.

mod batch;
mod calendar;
mod call_url;
mod check;
mod cli;
mod connection;
mod error;
mod events;
mod exit_status;
mod explain;
mod fleet;
#[cfg(feature = "fleet")]
mod fleet_agent;
mod job_control;
mod job_output;
mod job_text;
mod list;
mod logs;
mod metrics;
mod next;
mod output;
mod past;
#[cfg(feature = "history")]
mod recorder;
mod run;
#[cfg(feature = "sandbox")]
pub mod sandbox;
mod schedule_diagnostics;
mod screen;
mod settings;
mod show;
mod simulate;
mod source;
mod starts;
mod status;
mod stderr;
mod system_state;
mod timeline;
#[cfg(feature = "top")]
mod top;
mod unread;
mod upcoming;
mod values;
#[cfg(feature = "web")]
mod web;
mod why;

pub use cli::command;

use crate::profile::ProfileName;
use crate::sys::files;
use error::Error;
use exit_status::ExitStatus;
use output::Output;
use std::ffi::OsString;
#[cfg(feature = "history")]
use std::path::Path;
use std::process::ExitCode;
use stderr::to_stderr;
use system_state::SystemState;

/// The internal verb that prints the names of jobs, for completions.
const JOB_NAMES: &str = "job-names";

/// Runs the program. The exit status is 0 for success, 1 for an error, a faulty schedule or crontab, or something that is not well, 2 for a
/// wrong command line, 3 if no daemon answers, 4 if something is not allowed or not found; that of `run --wait` is the job's.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let [_, verb] = arguments.as_slice()
        && verb.as_encoded_bytes() == call_url::VERB.to_bytes()
    {
        return call_url::run();
    }
    #[cfg(feature = "fleet")]
    if let [_, verb] = arguments.as_slice()
        && verb == fleet_agent::VERB
    {
        return fleet_agent::run();
    }
    #[cfg(feature = "history")]
    if let [_, verb] = arguments.as_slice()
        && verb == recorder::VERB
    {
        return recorder::run();
    }
    #[cfg(feature = "history")]
    if let [_, verb, directory] = arguments.as_slice()
        && verb == recorder::VERB
    {
        return recorder::check(Path::new(directory));
    }
    let mut out = Output::to_stdout();
    let answer = answer(&arguments, &mut out);
    // Output from before the failure is still useful.
    let flushed = out.flush();
    match answer.and_then(|status| flushed.map(|()| status)) {
        Ok(status) => ExitCode::from(status),
        Err(error) => ExitCode::from(error.report()),
    }
}

/// Parses the command line and runs its verb.
fn answer(arguments: &[OsString], out: &mut Output) -> Result<ExitStatus, Error> {
    files::check_random_numbers().map_err(|error| Error::NoRandomNumbers(error.into()))?;
    if arguments.get(1).is_some_and(|verb| verb == JOB_NAMES) {
        let matches = cli::command_for(&["cronctl".into(), "ping".into()], ProfileName::Cronie);
        let matches = matches.try_get_matches_from(["cronctl", "ping"])?;
        let (config, _) = settings::resolve(&matches)?;
        return list::print_names(&SystemState::open(config, &matches)?, out);
    }
    let arguments = &*cli::without_help_verb(arguments);
    let profile = settings::profile_for_help(arguments).profile();
    let matches = cli::command_for(arguments, profile.profile).try_get_matches_from(arguments)?;
    let Some((verb, matches)) = matches.subcommand() else {
        return Ok(ExitStatus::Success); // clap insists on a verb
    };
    let (config, warnings) = settings::resolve(matches)?;
    for warning in warnings {
        to_stderr(&format!("{warning}\n"));
    }
    let system = SystemState::open(config, matches)?;
    match verb {
        "fleet" => fleet::run(matches, &system, out),
        "list" if cli::given(matches, "fleet") => fleet::list(matches, &system, out),
        "history" if cli::given(matches, "fleet") => fleet::history(matches, &system, out),
        "list" => list::run(matches, &system, out),
        "status" => status::run(matches, &system, out),
        "show" => show::run(matches, &system, out),
        "history" => past::run(matches, &system, out),
        "logs" => logs::run(matches, &system, out),
        "why" => why::run(matches, &system, out),
        "events" => events::run(matches, &system, out),
        "calendar" => calendar::run(matches, &system, out),
        "metrics" => metrics::run(matches, &system, out),
        "run" => run::run(matches, &system, out),
        "pause" => job_control::pause(matches, &system, out),
        "resume" => job_control::resume(matches, &system, out),
        "kill" => job_control::kill(matches, &system, out),
        "reload" => job_control::reload(matches, &system, out),
        "ping" => status::ping(&system),
        "next" => next::run(matches, &system, out),
        "check" => check::run(matches, &system, out),
        "explain" => explain::run(matches, &system, out),
        "simulate" => simulate::run(matches, &system, out),
        #[cfg(feature = "top")]
        "top" => top::run(matches, &system, out),
        #[cfg(feature = "web")]
        "web" => web::run(matches, &system, out),
        _ => timeline::run(matches, &system, out),
    }
}
