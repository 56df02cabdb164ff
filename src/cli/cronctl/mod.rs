//! The `cronctl` program: shows and controls the jobs of a daemon, shows when entries run, checks crontabs, and explains schedules.
//!
//! Each verb has a file, `past` that of `history`, `steer` those of `pause`, `resume`, `kill` and `reload`. `cli` defines the command line,
//! `source` reads crontabs, `upcoming` lists runs in order of time, and `batch` implements the line-by-line mode for programs with many
//! questions. `connection` finds a daemon and calls it, `screen` has columns, colours and relative times, `starts` asks it for coming starts, `job_text` has what is said of jobs,
//! and `job_output` writes what jobs have written.

mod batch;
mod call_url;
mod check;
mod cli;
mod complaint;
mod connection;
mod error;
mod events;
mod explain;
mod job_output;
mod job_text;
mod list;
mod logs;
mod next;
mod output;
mod past;
#[cfg(feature = "history")]
mod recorder;
mod run;
mod screen;
mod settings;
mod show;
mod simulate;
mod source;
mod starts;
mod status;
mod stderr;
mod steer;
mod timeline;
mod upcoming;
mod values;
#[cfg(feature = "web")]
mod web;
mod why;
mod world;

pub use cli::command;

use crate::profile::ProfileName;
use crate::sys::files;
use error::Error;
use output::Output;
use std::ffi::OsString;
#[cfg(feature = "history")]
use std::path::Path;
use std::process::ExitCode;
use stderr::to_stderr;
use world::World;

/// The result of a verb that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// No errors (warnings do not count).
    Clean,
    /// The schedule or crontab has errors, or something is not well.
    Faulty,
    /// The exit status of a job.
    Status(u8),
}

impl Verdict {
    /// Combines two results: faulty if one of them is.
    fn and(self, other: Verdict) -> Verdict {
        if self == Verdict::Clean { other } else { self }
    }
}

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
    match answer.and_then(|verdict| flushed.map(|()| verdict)) {
        Ok(Verdict::Clean) => ExitCode::SUCCESS,
        Ok(Verdict::Faulty) => ExitCode::FAILURE,
        Ok(Verdict::Status(status)) => ExitCode::from(status),
        Err(error) => ExitCode::from(error.report()),
    }
}

/// Parses the command line and runs its verb.
fn answer(arguments: &[OsString], out: &mut Output) -> Result<Verdict, Error> {
    files::check_random_numbers().map_err(|error| Error::NoRandomNumbers(error.into()))?;
    if arguments.get(1).is_some_and(|verb| verb == JOB_NAMES) {
        let matches = cli::command_for(&["cronctl".into(), "ping".into()], ProfileName::Cronie);
        let matches = matches.try_get_matches_from(["cronctl", "ping"])?;
        let (config, _) = settings::resolve(&matches)?;
        return list::print_names(&World::open(config, &matches)?, out);
    }
    let arguments = &*cli::without_help_verb(arguments);
    let profile = settings::profile_for_help(arguments).profile();
    let matches = cli::command_for(arguments, profile.profile).try_get_matches_from(arguments)?;
    let Some((verb, matches)) = matches.subcommand() else {
        return Ok(Verdict::Clean); // clap insists on a verb
    };
    let (config, warnings) = settings::resolve(matches)?;
    for warning in warnings {
        to_stderr(&format!("{warning}\n"));
    }
    let world = World::open(config, matches)?;
    match verb {
        "list" => list::run(matches, &world, out),
        "status" => status::run(matches, &world, out),
        "show" => show::run(matches, &world, out),
        "history" => past::run(matches, &world, out),
        "logs" => logs::run(matches, &world, out),
        "why" => why::run(matches, &world, out),
        "events" => events::run(matches, &world, out),
        "run" => run::run(matches, &world, out),
        "pause" => steer::pause(matches, &world, out),
        "resume" => steer::resume(matches, &world, out),
        "kill" => steer::kill(matches, &world, out),
        "reload" => steer::reload(matches, &world, out),
        "ping" => status::ping(&world),
        "next" => next::run(matches, &world, out),
        "check" => check::run(matches, &world, out),
        "explain" => explain::run(matches, &world, out),
        "simulate" => simulate::run(matches, &world, out),
        #[cfg(feature = "web")]
        "web" => web::run(matches, &world, out),
        _ => timeline::run(matches, &world, out),
    }
}
