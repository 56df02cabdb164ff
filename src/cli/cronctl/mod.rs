//! The `cronctl` program: shows when entries run, checks crontabs, and explains schedules.
//!
//! Each verb has a file. `cli` defines the command line, `source` reads crontabs, `upcoming` lists runs in order of time,
//! and `batch` implements the line-by-line mode for programs with many questions.

mod batch;
mod check;
mod cli;
mod complaint;
mod error;
mod explain;
mod next;
mod output;
mod ping;
#[cfg(feature = "history")]
mod recorder;
mod settings;
mod simulate;
mod source;
mod stderr;
mod timeline;
mod upcoming;
mod values;
mod world;

pub use cli::command;

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
    /// The schedule or crontab has errors.
    Faulty,
}

impl Verdict {
    /// Combines two results: faulty if one of them is.
    fn and(self, other: Verdict) -> Verdict {
        if self == Verdict::Clean { other } else { self }
    }
}

/// Runs the program. The exit status is 0 for success, 1 for an error or a faulty schedule or crontab, 2 for a wrong command
/// line.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let [_, verb] = arguments.as_slice()
        && verb == ping::VERB
    {
        return ping::run();
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
        Err(error) => ExitCode::from(error.report()),
    }
}

/// Parses the command line and runs its verb.
fn answer(arguments: &[OsString], out: &mut Output) -> Result<Verdict, Error> {
    files::check_random_numbers().map_err(Error::NoRandomNumbers)?;
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
        "next" => next::run(matches, &world, out),
        "check" => check::run(matches, &world, out),
        "explain" => explain::run(matches, &world, out),
        "simulate" => simulate::run(matches, &world, out),
        _ => timeline::run(matches, &world, out),
    }
}
