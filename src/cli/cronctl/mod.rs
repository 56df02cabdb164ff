//! The `cronctl` program: says when entries run, what is wrong with a table, and what a schedule means.
//!
//! One file a verb; `cli` has their command lines, `source` the tables they are asked about, `upcoming` the runs in
//! order of time, `batch` the line by line forms for programs that ask a hundred thousand questions.

mod batch;
mod check;
mod cli;
mod complaint;
mod error;
mod explain;
mod next;
mod output;
mod settings;
mod simulate;
mod source;
mod timeline;
mod upcoming;
mod values;
mod world;

pub use cli::command;

use crate::sys::files;
use error::Error;
use output::Output;
use std::ffi::OsString;
use std::process::ExitCode;
use world::World;

/// How an answer turned out, when it could be given at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing to complain about (warnings do not count).
    Clean,
    /// Answered, but what was asked about has faults.
    Faulty,
}

impl Verdict {
    /// Faulty when either is.
    fn and(self, other: Verdict) -> Verdict {
        if self == Verdict::Clean { other } else { self }
    }
}

/// Runs the program. The exit status is 0 for success, 1 if what was asked about has faults, 2 for a wrong command line.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let mut out = Output::to_stdout();
    let answer = answer(&arguments, &mut out);
    // What was said before a failure is still worth reading.
    let flushed = out.flush();
    match answer.and_then(|verdict| flushed.map(|()| verdict)) {
        Ok(Verdict::Clean) => ExitCode::SUCCESS,
        Ok(Verdict::Faulty) => ExitCode::FAILURE,
        Err(error) => ExitCode::from(error.tell()),
    }
}

/// Reads the command line, then does what its verb says.
fn answer(arguments: &[OsString], out: &mut Output) -> Result<Verdict, Error> {
    files::check_random_numbers().map_err(Error::NoRandomNumbers)?;
    let site = settings::profile_for_help(arguments).profile();
    let matches = cli::command_for(arguments, site.profile).try_get_matches_from(arguments)?;
    let Some((verb, matches)) = matches.subcommand() else {
        return Ok(Verdict::Clean); // clap insists on a verb
    };
    let (config, warnings) = settings::resolve(matches)?;
    for warning in warnings {
        output::to_stderr(&format!("{warning}\n"));
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
