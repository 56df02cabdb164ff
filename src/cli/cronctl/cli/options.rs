//! The arguments that several verbs share.

use crate::cli::cronctl::values;
use crate::profile::{ProfileName, shared};
use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, ValueHint, value_parser};

/// The options for the paths of the daemon's files, with the same names as the daemon's.
pub(super) fn places(profile: ProfileName) -> Vec<Arg> {
    vec![
        place("spool", "DIR", "Directory of users' crontabs", profile.profile().spool),
        place("system-crontab", "FILE", "System crontab", shared::SYSTEM_CRONTAB),
        place("cron-d", "DIR", "Directory of system tables", shared::CRON_D),
        run_dir(),
        place("state-dir", "DIR", "Directory of the daemon's state of jobs", shared::STATE_DIR),
    ]
}

/// An option for a path of the daemon.
fn place(name: &'static str, kind: &'static str, what: &str, default: &str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(kind)
        .value_parser(value_parser!(std::path::PathBuf))
        .value_hint(if kind == "DIR" { ValueHint::DirPath } else { ValueHint::FilePath })
        .hide_short_help(true)
        .help(format!("{what}; default: {default}"))
}

pub(super) fn run_dir() -> Arg {
    place("run-dir", "DIR", "Directory of the daemon's PID file, lock and sockets", shared::RUN_DIR)
}

/// The file of a verb that works on one.
pub(super) fn path() -> Arg {
    Arg::new("path")
        .value_name("FILE")
        .value_parser(value_parser!(std::path::PathBuf))
        .value_hint(ValueHint::FilePath)
        .help("Use the entries of this file; - means standard input")
        .long_help(
            "Use the entries of this file; - means standard input. /etc/crontab, files in a directory cron.d, and \
             tables in which the field behind each schedule is a user of this machine and not the name of a program \
             are read as system tables, and a message says so.",
        )
}

pub(super) fn file(help: &'static str) -> Arg {
    Arg::new("file")
        .long("file")
        .value_name("FILE")
        .value_parser(value_parser!(std::path::PathBuf))
        .value_hint(ValueHint::FilePath)
        .help(help)
}

pub(super) fn system() -> Arg {
    Arg::new("system")
        .long("system")
        .action(ArgAction::SetTrue)
        .help("The file has the format of /etc/crontab: each entry names a user before the command")
}

pub(super) fn user(help: &'static str) -> Arg {
    Arg::new("user")
        .long("user")
        .value_name("USER")
        .value_parser(NonEmptyStringValueParser::new())
        .value_hint(ValueHint::Username)
        .help(help)
}

/// An option whose value is a point in time, in any form of [`values::moment`].
pub(super) fn time(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("TIME").allow_hyphen_values(true).value_parser(values::moment).help(help)
}

/// An option without a value.
pub(super) fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

pub(super) fn zone() -> Arg {
    Arg::new("tz")
        .long("tz")
        .value_name("ZONE")
        .value_parser(NonEmptyStringValueParser::new())
        .help("Use this IANA time zone instead of the system's")
}

/// An option that may be given several times.
pub(super) fn repeated(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).action(ArgAction::Append).help(format!("{help}; may be repeated"))
}

pub(super) fn json(help: &'static str) -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help(help)
}
