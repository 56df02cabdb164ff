//! The errors of `cronctl`, and how they are printed.

use super::stderr::to_stderr;
use crate::config::ConfigError;
use crate::scheduler::JobId;
use crate::sys::error::OsError;
use std::io;
use std::path::PathBuf;

/// Why `cronctl` failed; the text is printed after the program's name.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The command line is wrong, or asks for help.
    #[error("{}", first_paragraph(.0))]
    CommandLine(#[from] clap::Error),
    /// The zone of `--tz` is unknown.
    #[error("--tz: there is no time zone {name:?}")]
    UnknownZone {
        /// The name that was given.
        name: String,
    },
    /// The range of time ends before it begins.
    #[error("--until is before --from")]
    Backwards,
    /// A range in the value of an option ends before it begins.
    #[error("--{option}: the range ends before it begins")]
    RangeBackwards {
        /// The option without its dashes.
        option: &'static str,
    },
    /// A job on the command line that the table does not have, or that may be several.
    #[error("--{option} {job}: {}", candidates(.found))]
    Job {
        /// The option without its dashes.
        option: &'static str,
        /// The name that was given.
        job: String,
        /// The jobs that it may mean.
        found: Vec<JobId>,
    },
    /// The range of time is too long for a timeline.
    #[error("the range is longer than {days} days")]
    TooLong {
        /// The maximum length in days.
        days: i64,
    },
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A crontab cannot be read.
    #[error("reading {name}: {source}")]
    Read {
        /// The file, or `standard input`.
        name: String,
        source: OsError,
    },
    /// The file is an anacrontab, whose entries have no schedule.
    #[error(
        "{}: an anacrontab says after how many days its jobs are due, and not when; cronctl list shows when the daemon \
         starts them, cronctl check PATH checks the file",
        .path.display()
    )]
    Anacrontab { path: PathBuf },
    /// The user has no crontab.
    #[error("no crontab for {user}")]
    NoTable { user: String },
    /// The crontab belongs to another user.
    #[error("only root may read the table of {user}")]
    NotYours { user: String },
    /// The name cannot be that of a user.
    #[error("{user:?} is not the name of a user")]
    NoUser {
        /// The name that was given.
        user: String,
    },
    /// The daemon does not load the crontab.
    #[error("not loaded: {message}")]
    Refused {
        /// The reason in the wording of the daemon's log.
        message: String,
    },
    /// `crontab -l`, which reads the user's table, failed.
    #[error("crontab -l: {message}")]
    Crontab {
        /// What `crontab` wrote to standard error.
        message: String,
    },
    /// `crontab` could not be started.
    #[error("starting crontab -l: {0}")]
    NoCrontab(OsError),
    /// A file could not be written.
    #[error("writing {}: {source}", .path.display())]
    WriteFile { path: PathBuf, source: OsError },
    #[error("no daemon answers at {}: {why}; {advice}", .path.display())]
    NoDaemon {
        /// The socket that was tried last.
        path: PathBuf,
        /// The error of the system call in words, or `no reply in time`.
        why: String,
        /// The command or the setting that helps.
        advice: String,
    },
    /// The daemon has ended meanwhile.
    #[error("the daemon has closed the connection; see cronctl status")]
    DaemonGone,
    /// The daemon has no job of that name, or none that the caller may see.
    #[error("{message}")]
    NoSuchJob {
        /// The name, and which names are like it.
        message: String,
    },
    /// The daemon refuses the request, or the run that it names does not exist.
    #[error("{message}")]
    Denied {
        /// The daemon's reason, and who may do it.
        message: String,
    },
    /// The daemon cannot use a value of the request.
    #[error("{message}")]
    WrongRequest {
        /// The expected and the given value.
        message: String,
    },
    /// The daemon is busy, or its reply is not one of this version's interface.
    #[error("{message}")]
    NoAnswer {
        /// The daemon's reason, or the fault of its reply.
        message: String,
    },
    /// `cronctl top` has no terminal as its standard input or output.
    #[cfg(feature = "top")]
    #[error("top needs a terminal as its standard input and output; cronctl list and cronctl status need none")]
    NoTerminal,
    /// Options of `web` that do not go together.
    #[cfg(feature = "web")]
    #[error("{message}")]
    WebOptions {
        /// The options that exclude each other, and which of them to leave out.
        message: &'static str,
    },
    /// The web page cannot be served.
    #[cfg(feature = "web")]
    #[error("{message}")]
    Web {
        /// Why not, and what to do.
        message: String,
    },
    /// The kernel provides no random numbers.
    #[error("asking the kernel for random numbers: {0}")]
    NoRandomNumbers(OsError),
    /// The answer could not be written.
    #[error("writing the answer: {0}")]
    Output(OsError),
}

impl Error {
    /// Prints the error on standard error in one line and returns the exit status. A closed pipe and `--help` are not
    /// errors.
    pub(super) fn report(&self) -> u8 {
        match self {
            Error::CommandLine(error) if !error.use_stderr() => match error.print() {
                Ok(()) => 0,
                Err(error) => Error::Output(error.into()).report(),
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
            #[cfg(feature = "top")]
            Error::NoTerminal => 2,
            Error::CommandLine(_)
            | Error::UnknownZone { .. }
            | Error::Backwards
            | Error::RangeBackwards { .. }
            | Error::Job { .. }
            | Error::WrongRequest { .. }
            | Error::TooLong { .. } => 2,
            Error::NoDaemon { .. } | Error::DaemonGone => 3,
            Error::Denied { .. } | Error::NoSuchJob { .. } => 4,
            Error::Config(_)
            | Error::Read { .. }
            | Error::Anacrontab { .. }
            | Error::NoTable { .. }
            | Error::NotYours { .. }
            | Error::NoUser { .. }
            | Error::Refused { .. }
            | Error::Crontab { .. }
            | Error::NoCrontab(_)
            | Error::WriteFile { .. }
            | Error::NoAnswer { .. }
            | Error::NoRandomNumbers(_)
            | Error::Output(_) => 1,
            #[cfg(feature = "web")]
            Error::WebOptions { .. } => 2,
            #[cfg(feature = "web")]
            Error::Web { .. } => 1,
        }
    }
}

/// What to say of a job that is not one.
fn candidates(found: &[JobId]) -> String {
    const SHOWN: usize = 10;
    let names: Vec<&str> = found.iter().take(SHOWN).map(JobId::as_str).collect();
    match found.len() {
        0 => "no such job in this table".to_owned(),
        n if n > SHOWN => format!("may be {} and {} more", names.join(", "), n - SHOWN),
        _ => format!("may be {}", names.join(", ")),
    }
}

/// The first paragraph of clap's message and its tip as one line, without the usage text that follows.
fn first_paragraph(error: &clap::Error) -> String {
    let text = error.to_string();
    let mut paragraphs = text.split("\n\n").map(|paragraph| {
        let lines: Vec<&str> = paragraph.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines.join(" ")
    });
    let line = paragraphs.next().unwrap_or_default();
    let line = line.strip_prefix("error: ").map_or(line.clone(), str::to_owned);
    // The library's advice for passing an option as a value would mislead.
    let tip = |paragraph: String| {
        paragraph.strip_prefix("tip: ").filter(|tip| !tip.starts_with("to pass ")).map(str::to_owned)
    };
    match paragraphs.find_map(tip) {
        Some(tip) => format!("{line}; {tip}"),
        None if error.kind() == clap::error::ErrorKind::InvalidSubcommand => {
            format!("{line}; cronctl help lists the verbs")
        }
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_command_line_is_told_in_one_line() {
        let error = crate::cli::cronctl::command(crate::profile::ProfileName::Debian)
            .try_get_matches_from(["cronctl", "simulate"])
            .expect_err("FILE is missing");
        let told = Error::from(error).to_string();
        assert!(!told.contains('\n') && !told.starts_with("error:") && told.contains("--file"), "{told}");
    }

    #[test]
    fn a_verb_that_is_like_none_leads_to_the_list_of_them() {
        let told = |verb: &str| {
            let command = crate::cli::cronctl::command(crate::profile::ProfileName::Debian);
            Error::from(command.try_get_matches_from(["cronctl", verb]).expect_err("no such verb")).to_string()
        };
        assert!(told("xyzzy").ends_with("; cronctl help lists the verbs"), "{}", told("xyzzy"));
        assert!(
            told("histroy").contains("'history'") && !told("histroy").contains("cronctl help"),
            "{}",
            told("histroy")
        );
    }
}
