//! Why no answer could be given.

use super::output::to_stderr;
use crate::config::ConfigError;
use std::io;
use std::path::PathBuf;

/// Everything that ends `cronctl` early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The command line is wrong, or asks for help.
    #[error("{}", first_paragraph(.0))]
    CommandLine(#[from] clap::Error),
    /// A zone on the command line that nobody knows.
    #[error("--tz: there is no time zone {name:?}")]
    UnknownZone {
        /// As it was given.
        name: String,
    },
    /// A range of time that ends before it begins.
    #[error("--until is before --from")]
    Backwards,
    /// More time than a picture can show.
    #[error("the range is longer than {days} days")]
    TooLong {
        /// Most days.
        days: i64,
    },
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A table cannot be read.
    #[error("reading {name}: {source}")]
    Read {
        /// The file, or `standard input`.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A user has no table.
    #[error("no crontab for {user}")]
    NoTable {
        /// Login name.
        user: String,
    },
    /// Somebody else's table.
    #[error("only root may read the table of {user}")]
    NotYours {
        /// Login name.
        user: String,
    },
    /// A file name where a login name belongs.
    #[error("{user:?} is no user's name")]
    NoUser {
        /// As it was given.
        user: String,
    },
    /// A table that the daemon does not load.
    #[error("not loaded: {said}")]
    Refused {
        /// As the daemon's log has it.
        said: String,
    },
    /// `crontab -l` did not tell the table.
    #[error("crontab -l: {said}")]
    Crontab {
        /// What it said on standard error.
        said: String,
    },
    /// `crontab` could not be started.
    #[error("starting crontab -l: {0}")]
    NoCrontab(io::Error),
    /// The picture could not be written.
    #[error("writing {}: {source}", .path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Nothing random is to be had.
    #[error("asking the kernel for random numbers: {0}")]
    NoRandomNumbers(io::Error),
    /// The answer could not be written.
    #[error("writing the answer: {0}")]
    Output(io::Error),
}

impl Error {
    /// Says it on standard error in one line and gives the exit status. A reader that has gone away is no error to
    /// speak of, and help is no error at all.
    pub(super) fn tell(&self) -> u8 {
        match self {
            Error::CommandLine(error) if !error.use_stderr() => match error.print() {
                Ok(()) => 0,
                Err(error) => Error::Output(error).tell(),
            },
            Error::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            error => {
                to_stderr(&format!("cronctl: {error}\n"));
                error.status()
            }
        }
    }

    fn status(&self) -> u8 {
        match self {
            Error::CommandLine(_) | Error::UnknownZone { .. } | Error::Backwards | Error::TooLong { .. } => 2,
            Error::Config(_)
            | Error::Read { .. }
            | Error::NoTable { .. }
            | Error::NotYours { .. }
            | Error::NoUser { .. }
            | Error::Refused { .. }
            | Error::Crontab { .. }
            | Error::NoCrontab(_)
            | Error::Picture { .. }
            | Error::NoRandomNumbers(_)
            | Error::Output(_) => 1,
        }
    }
}

/// What clap says up to the first empty line, as one line: the usage that follows is what `--help` is for.
fn first_paragraph(error: &clap::Error) -> String {
    let text = error.to_string();
    let paragraph: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let line = paragraph.join(" ");
    line.strip_prefix("error: ").map_or(line.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_command_line_is_told_in_one_line() {
        let error = crate::cli::cronctl::command(crate::profile::ProfileName::Debian)
            .try_get_matches_from(["cronctl", "simulate", "--file", "x"])
            .expect_err("--from is missing");
        let told = Error::from(error).to_string();
        assert!(!told.contains('\n') && !told.starts_with("error:") && told.contains("--from"), "{told}");
    }
}
