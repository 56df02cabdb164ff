//! The command line: one definition for parsing, `--help`, man page and completions.
//!
//! | file | verbs |
//! |---|---|
//! | `tables` | those that need no daemon |
//! | `jobs` | those that show what the daemon and the history know |
//! | `control` | those that change something |
//!
//! `options` has the arguments that several verbs share.

mod control;
mod jobs;
mod options;
mod tables;

use crate::profile::{ProfileName, shared};
use clap::{Arg, ArgMatches, Command, ValueHint, value_parser};
use std::borrow::Cow;
use std::ffi::OsString;

/// The command line of `cronctl`, with the paths of `profile` in its help.
pub fn command(profile: ProfileName) -> Command {
    without_verbs().subcommands(VERBS.iter().map(|(_, define)| define(profile)))
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

/// `cronctl help` is `cronctl --help`, and `cronctl help VERB` is `cronctl VERB --help`.
pub(super) fn without_help_verb(arguments: &[OsString]) -> Cow<'_, [OsString]> {
    match arguments {
        [program, help, verb @ ..] if help == "help" => {
            let help = OsString::from("--help");
            [program].into_iter().chain(verb.first()).cloned().chain([help]).collect::<Vec<_>>().into()
        }
        _ => arguments.into(),
    }
}

/// A verb and its definition.
type Verb = (&'static str, fn(ProfileName) -> Command);

const VERBS: &[Verb] = &[
    ("list", jobs::list),
    ("status", |_| jobs::status()),
    ("show", |_| jobs::show()),
    ("history", |_| jobs::history()),
    ("logs", |_| jobs::logs()),
    ("why", |_| jobs::why()),
    ("events", |_| jobs::events()),
    ("metrics", |_| jobs::metrics()),
    ("calendar", jobs::calendar),
    ("fleet", |_| jobs::fleet()),
    #[cfg(feature = "top")]
    ("top", |_| jobs::top()),
    ("run", |_| control::run()),
    ("pause", |_| control::pause()),
    ("resume", |_| control::resume()),
    ("kill", |_| control::kill()),
    ("reload", |_| control::reload()),
    ("ping", |_| jobs::ping()),
    ("next", tables::next),
    ("check", |_| tables::check()),
    ("explain", |_| tables::explain()),
    ("simulate", |_| tables::simulate()),
    ("timeline", tables::timeline),
    #[cfg(feature = "web")]
    ("web", |_| control::web()),
];

fn without_verbs() -> Command {
    Command::new("cronctl")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Show and control cron jobs, check crontabs and explain schedules")
        .subcommand_required(true)
        .disable_help_subcommand(true)
        .args(everywhere())
        .after_help(EXAMPLES)
}

const EXAMPLES: &str = "\
Examples:
  cronctl list                              all jobs: last run, next run, state
  cronctl status                            the daemon, and what fails
  cronctl top                               the same live, with keys to run, pause and end jobs
  cronctl logs -f backup                    the output of a job, as it is written
  cronctl why backup                        why a job ran, or did not run
  cronctl run --wait backup                 run a job now
  cronctl pause backup --for 2h             start it no more for two hours
  cronctl next                              the next ten runs
  cronctl check mytab                       errors and warnings in a file
  cronctl explain 30 2 '*' '*' mon-fri      what a schedule means
  cronctl help next                         what a command takes, with examples

Exit status: 0 success, 1 errors found, 2 wrong command line, 3 no daemon answers, 4 not allowed or not found.";

/// The options that every verb has.
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
            for (verb, _) in VERBS.iter().copied() {
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
            assert!(verb.get_after_help().is_some_and(|text| text.to_string().starts_with("Example")));
        }
    }
}
