//! The command line: one definition for parsing, `--help`, man page and completions.

use super::values;
use crate::profile::{ProfileName, shared};
use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, ValueHint, value_parser};
use std::ffi::OsString;

/// The command line of `cronctl`, with the paths of `profile` in its help.
pub fn command(profile: ProfileName) -> Command {
    without_verbs().subcommands(VERBS.map(|(_, define)| define(profile)))
}

/// The same for these arguments. If they begin with a verb, the definitions of the others are left out, because building
/// them takes longer than most answers.
pub(super) fn command_for(arguments: &[OsString], profile: ProfileName) -> Command {
    let first = arguments.get(1);
    match VERBS.iter().find(|(verb, _)| first.is_some_and(|first| first == verb)) {
        Some((_, define)) => without_verbs().subcommand(define(profile)),
        None => command(profile),
    }
}

/// A verb and its definition.
type Verb = (&'static str, fn(ProfileName) -> Command);

const VERBS: [Verb; 5] = [
    ("next", next),
    ("check", |_| check()),
    ("explain", |_| explain()),
    ("simulate", |_| simulate()),
    ("timeline", timeline),
];

fn without_verbs() -> Command {
    Command::new("cronctl")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Show when cron jobs run, check crontabs and explain schedules")
        .subcommand_required(true)
        .disable_help_subcommand(true)
        .args(everywhere())
        .after_help(EXAMPLES)
}

const EXAMPLES: &str = "\
Examples:
  cronctl next                              the next ten runs
  cronctl next --expr '30 2 * * mon-fri'    the next runs of a schedule
  cronctl check mytab                       errors and warnings in a file
  cronctl explain 30 2 '*' '*' mon-fri      what a schedule means
  cronctl timeline                          a diagram of the next day

Exit status: 0 success, 1 errors found, 2 wrong command line.";

fn next(profile: ProfileName) -> Command {
    Command::new("next")
        .about("Show when entries run next")
        .long_about(
            "Show when entries run next. Without --expr, --file or --user: the entries of all tables that the daemon would \
             load and that you may read. Prints one line for each run, sorted by time, in the time zone of the entry: TIME  \
             USER  COMMAND; with --expr the time only. Random delays are included.",
        )
        .args([
            Arg::new("expr")
                .long("expr")
                .value_name("EXPR")
                .allow_hyphen_values(true)
                .help("Use this schedule: five fields, a nickname such as @daily, or @quartz and seven fields"),
            file("Use the entries of this file, which has the format of a user's crontab; - means standard input"),
            system().requires("file").conflicts_with_all(["expr", "user"]),
            user(),
        ])
        .group(ArgGroup::new("source").args(["expr", "file", "user"]))
        .args([
            zone(),
            Arg::new("from")
                .long("from")
                .value_name("TIME")
                .value_parser(values::time)
                .help("Runs after this time (RFC 3339, exclusive); default: now"),
            Arg::new("until")
                .long("until")
                .value_name("TIME")
                .value_parser(values::time)
                .help("Runs until this time (RFC 3339, inclusive)"),
            Arg::new("count")
                .long("count")
                .value_name("N")
                .value_parser(value_parser!(u64))
                .help("Show at most N runs of all entries together; default: 10"),
            json("Print one JSON object for each run, with at (UTC), schedule, zone, user, command, source and line"),
            Arg::new("batch")
                .long("batch")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(["source", "system", "until", "json"])
                .help("Read queries from standard input, one JSON object on each line")
                .long_help(
                    "Read queries from standard input, one JSON object on each line: {\"id\":7,\"expr\":\"30 2 * * *\",\
                     \"tz\":\"Europe/Berlin\",\"from\":\"2026-03-28T12:00:00Z\",\"count\":5}. Each is answered by one line, in order: \
                     {\"id\":7,\"next\":[\"2026-03-29T01:00:00Z\",...]} or {\"id\":7,\"error\":\"...\"}. What a query leaves \
                     out is taken from --tz, --from and --count.",
                ),
        ])
        .args(places(profile))
        .after_help(
            "Examples:\n  \
             cronctl next --count 3\n  \
             cronctl next --expr @daily --tz Europe/Berlin --from 2026-03-28T12:00:00Z\n  \
             cronctl next --file /etc/cron.d/backup --system --json\n  \
             cronctl next --user alice --until 2026-12-24T18:00:00Z --count 1000",
        )
}

fn check() -> Command {
    Command::new("check")
        .about("Report errors and warnings in crontabs")
        .long_about(
            "Report errors and warnings in crontabs, on standard error. Standard output has one line for each file: \
             FILE: 3 entries, 0 errors, 1 warning. The exit status is 0 if there are only warnings.",
        )
        .args([
            system(),
            Arg::new("batch")
                .long("batch")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(["files", "system"])
                .help("Read tables from standard input, one JSON object on each line")
                .long_help(
                    "Read tables from standard input, one JSON object on each line: {\"id\":7,\"kind\":\"user\",\"text\":\"whole \
                     table\\n\"}, or \"line\", to which a newline is added; kind is user or system. Each is answered by one line, in \
                     order: {\"id\":7,\"ok\":true,\"entries\":3,\"warnings\":[...]} or \
                     {\"id\":7,\"ok\":false,\"entries\":2,\"errors\":[{\"line\":4,\"column\":3,\"message\":\"...\"}]}. \
                     At most 100 of each are listed; \"not_listed\":N counts the others.",
                ),
            Arg::new("files")
                .value_name("FILE")
                .num_args(1..)
                .required_unless_present("batch")
                .value_parser(value_parser!(std::path::PathBuf))
                .value_hint(ValueHint::FilePath)
                .help("Files to check, in the format of a user's crontab; - means standard input"),
        ])
        .after_help(
            "Examples:\n  \
             cronctl check mytab\n  \
             cronctl check --system /etc/crontab /etc/cron.d/*\n  \
             crontab -l | cronctl check -",
        )
}

fn explain() -> Command {
    Command::new("explain")
        .about("Explain a schedule in English and show its next runs")
        .long_about(
            "Explain in English what a schedule means, show its next five runs, and warn about what may surprise: DST \
             changes that affect it, dates that do not exist, two day fields of which only one must match.",
        )
        .args([
            Arg::new("expr")
                .value_name("EXPR")
                .num_args(1..)
                .required(true)
                .allow_negative_numbers(true)
                .value_parser(NonEmptyStringValueParser::new())
                .help("The schedule, quoted as one argument or as separate arguments; several schedules if each is quoted"),
            zone(),
            Arg::new("from")
                .long("from")
                .value_name("TIME")
                .value_parser(values::time)
                .help("Show runs after this time (RFC 3339); default: now"),
        ])
        .after_help(
            "Examples:\n  \
             cronctl explain '30 2 * * mon-fri'\n  \
             cronctl explain 0 4 1 '*' sun --tz America/New_York\n  \
             cronctl explain @weekly",
        )
}

fn simulate() -> Command {
    Command::new("simulate")
        .about("Show what the daemon would start during clock changes and restarts")
        .long_about(
            "Show what the daemon would start, with a simulated clock that begins at --from: through DST changes, through \
             steps of the clock (--step) and through times in which the daemon is stopped (--down). Nothing is executed. \
             Entries with @reboot run at --from. Prints one line for each start: TRUE-UTC  SHOWN-LOCAL  LINE  COMMAND; \
             SHOWN-LOCAL is the time that the machine's clock shows.",
        )
        .args([
            file("The file, in the format of a user's crontab; - means standard input").required(true),
            system(),
            zone().required(true),
            Arg::new("from")
                .long("from")
                .value_name("TIME")
                .required(true)
                .value_parser(values::time)
                .help("Start the simulated machine at this time (RFC 3339)"),
            Arg::new("until")
                .long("until")
                .value_name("TIME")
                .required(true)
                .value_parser(values::time)
                .help("Stop after this time (RFC 3339, inclusive)"),
            repeated("step", "TIME=DELTA", "At this true time set the clock forward or back: +2h, -90s, 1d")
                .value_parser(values::step),
            repeated("down", "TIME..TIME", "The daemon is stopped between these true times").value_parser(values::down),
            repeated("duration", "JOB=DUR", "How long the runs of a job last, like backup=90m (default: no time)")
                .value_parser(values::job_duration),
            repeated("exit", "JOB=CODE[,CODE...]", "Exit statuses of a job's runs in order, the last repeated (default: 0)")
                .value_parser(values::job_exits),
            repeated("pause", "JOB=TIME..TIME", "A job is paused between these true times")
                .value_parser(values::job_range),
            repeated("run", "JOB@TIME", "Somebody runs a job at this true time").value_parser(values::job_time),
            repeated("kill", "JOB@TIME", "Somebody ends a job's oldest run, else what waits, else its retry")
                .value_parser(values::job_time),
            Arg::new("outcomes")
                .long("outcomes")
                .action(ArgAction::SetTrue)
                .help("Print one JSON object for each outcome of a slot or a run instead of the starts"),
            json("Print one JSON object for each start, with at (UTC), shown, line and command"),
        ])
        .after_help(
            "Examples:\n  \
             cronctl simulate --file mytab --tz Europe/Berlin \\\n    \
             --from 2026-03-28T22:00:00Z --until 2026-03-29T04:00:00Z\n  \
             cronctl simulate --file mytab --tz UTC --from 2026-05-01T09:00:00Z --until 2026-05-01T14:00:00Z \\\n    \
             --step 2026-05-01T10:00:00Z=+2h --down 2026-05-01T12:00:00Z..2026-05-01T12:30:00Z",
        )
}

fn timeline(profile: ProfileName) -> Command {
    Command::new("timeline")
        .about("Draw a diagram of when entries run")
        .long_about(
            "Draw a diagram of when entries run: a row for each entry, the number of starts in each minute, the busiest \
             minutes and the idle times. Without --file or --user: all tables that the daemon would load and that you may read.",
        )
        .args([
            file("Use the entries of this file, which has the format of a user's crontab; - means standard input"),
            system().requires("file").conflicts_with_all(["user", "all"]),
            user(),
            Arg::new("all")
                .value_name("all")
                .value_parser(["all"])
                .help("Use all tables that you may read; this is the default"),
        ])
        .group(ArgGroup::new("source").args(["file", "user", "all"]))
        .args([
            zone(),
            Arg::new("from")
                .long("from")
                .value_name("TIME")
                .value_parser(values::time)
                .help("Begin at this time (RFC 3339); default: the start of the current hour"),
            Arg::new("until")
                .long("until")
                .value_name("TIME")
                .value_parser(values::time)
                .help("End before this time (RFC 3339); default: one day after --from"),
            Arg::new("svg")
                .long("svg")
                .value_name("FILE")
                .value_parser(value_parser!(std::path::PathBuf))
                .value_hint(ValueHint::FilePath)
                .help("Write the diagram to this file as SVG; - means standard output"),
        ])
        .args(places(profile))
        .after_help(
            "Examples:\n  \
             cronctl timeline\n  \
             cronctl timeline --file mytab --from 2026-11-22T00:00:00Z --until 2026-11-23T00:00:00Z\n  \
             cronctl timeline --svg week.svg --until 2026-11-29T00:00:00Z",
        )
}

/// The options of every verb.
fn everywhere() -> [Arg; 2] {
    [
        Arg::new("profile")
            .long("profile")
            .value_name("NAME")
            .global(true)
            .value_parser(["debian", "cronie"])
            .help("Behave like Debian's cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release"),
        Arg::new("config")
            .long("config")
            .value_name("FILE")
            .global(true)
            .value_parser(value_parser!(std::path::PathBuf))
            .value_hint(ValueHint::FilePath)
            .help(format!("Read the configuration from this file; default: {}", shared::CONFIG)),
    ]
}

/// The options for the paths of the daemon's files, with the same names as the daemon's.
fn places(profile: ProfileName) -> Vec<Arg> {
    let place = |name: &'static str, kind: &'static str, what: &str, default: &str| {
        Arg::new(name)
            .long(name)
            .value_name(kind)
            .value_parser(value_parser!(std::path::PathBuf))
            .value_hint(if kind == "DIR" { ValueHint::DirPath } else { ValueHint::FilePath })
            .hide_short_help(true)
            .help(format!("{what}; default: {default}"))
    };
    vec![
        place("spool", "DIR", "Directory of users' crontabs", profile.profile().spool),
        place("system-crontab", "FILE", "System crontab", shared::SYSTEM_CRONTAB),
        place("cron-d", "DIR", "Directory of system tables", shared::CRON_D),
        place("run-dir", "DIR", "Directory of the daemon's PID file, lock and sockets", shared::RUN_DIR),
        place("state-dir", "DIR", "Directory of the daemon's state of jobs", shared::STATE_DIR),
    ]
}

fn file(help: &'static str) -> Arg {
    Arg::new("file")
        .long("file")
        .value_name("FILE")
        .value_parser(value_parser!(std::path::PathBuf))
        .value_hint(ValueHint::FilePath)
        .help(help)
}

fn system() -> Arg {
    Arg::new("system")
        .long("system")
        .action(ArgAction::SetTrue)
        .help("The file has the format of /etc/crontab: each entry names a user before the command")
}

fn user() -> Arg {
    Arg::new("user")
        .long("user")
        .value_name("USER")
        .value_parser(NonEmptyStringValueParser::new())
        .value_hint(ValueHint::Username)
        .help("Use the entries of this user's crontab")
}

fn zone() -> Arg {
    Arg::new("tz")
        .long("tz")
        .value_name("ZONE")
        .value_parser(NonEmptyStringValueParser::new())
        .help("Use this IANA time zone instead of the system's")
}

/// An option that may be given several times.
fn repeated(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).action(ArgAction::Append).help(format!("{help}; may be repeated"))
}

fn json(help: &'static str) -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help(help)
}

/// Whether a switch was given. False for verbs without it.
pub(super) fn given(matches: &ArgMatches, name: &str) -> bool {
    matches!(matches.try_get_one::<bool>(name), Ok(Some(true)))
}

/// The value of an option, if it was given. None for verbs without it.
pub(super) fn value<'a, T: Clone + Send + Sync + 'static>(matches: &'a ArgMatches, name: &str) -> Option<&'a T> {
    matches.try_get_one::<T>(name).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent_in_both_profiles() {
        for profile in [ProfileName::Debian, ProfileName::Cronie] {
            command(profile).debug_assert();
        }
    }

    #[test]
    fn a_verb_alone_is_what_it_is_among_the_others() {
        let told = |command: Command, arguments: &[OsString]| {
            command.try_get_matches_from(arguments).map_err(|page| page.to_string()).map(|_| ())
        };
        for profile in [ProfileName::Debian, ProfileName::Cronie] {
            for (verb, _) in VERBS {
                for word in ["--help", "-h", "--nonsense", "--config", "--profile=x", "next", "help"] {
                    let arguments = ["cronctl", verb, word].map(OsString::from);
                    let (alone, among) = (command_for(&arguments, profile), command(profile));
                    assert_eq!(alone.get_subcommands().count(), 1, "{verb}");
                    assert_eq!(told(alone, &arguments), told(among, &arguments), "{verb} {word}");
                }
            }
            let other_first = ["cronctl", "--profile", "debian", "next"].map(OsString::from);
            assert_eq!(command_for(&other_first, profile).get_subcommands().count(), VERBS.len());
        }
    }

    #[test]
    fn every_option_has_a_sentence() {
        for verb in command(ProfileName::Debian).get_subcommands() {
            for option in verb.get_arguments() {
                assert!(option.get_help().is_some(), "{} {}", verb.get_name(), option.get_id());
            }
            assert!(verb.get_after_help().is_some_and(|text| text.to_string().starts_with("Examples:")));
        }
    }
}
