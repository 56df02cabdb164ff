//! The configuration of a call: command line, then configuration file, then the profile's own.

use super::cli::value;
use super::error::Error;
use crate::config::{Config, ConfigFile, Values};
use crate::profile::ProfileName;
use clap::ArgMatches;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The keys of the configuration that matter here; wrong values of others are for the daemon to refuse.
const USED: [&str; 5] = ["profile", "spool", "system-crontab", "cron-d", "run-dir"];

/// The configuration of this call, and warnings about what the configuration file says otherwise.
pub(super) fn resolve(matches: &ArgMatches) -> Result<(Config, Vec<String>), Error> {
    let path = |option: &str| value::<PathBuf>(matches, option).cloned();
    let file = ConfigFile::read(path("config").as_deref())?;
    let profile = file.profile(value::<String>(matches, "profile").map(String::as_str))?;
    let warnings = file.check_only(&USED)?;
    let given = Values {
        spool: path("spool"),
        system_crontab: path("system-crontab"),
        cron_d: path("cron-d"),
        run_dir: path("run-dir"),
        ..Values::default()
    };
    Ok((Config::resolve(profile, given, file.into_values()), warnings))
}

/// The profile whose paths `--help` shows, found without parsing the command line, because `--help` must work whatever else
/// is wrong.
pub(super) fn profile_for_help(arguments: &[OsString]) -> ProfileName {
    let after = |option: &str| {
        arguments.iter().enumerate().find_map(|(at, argument)| {
            let rest = argument.to_str()?.strip_prefix(option)?;
            match rest.strip_prefix('=') {
                Some(value) => Some(value),
                None if rest.is_empty() => arguments.get(at + 1)?.to_str(),
                None => None,
            }
        })
    };
    let file = ConfigFile::read(after("--config").map(Path::new)).unwrap_or_default();
    file.profile(after("--profile")).unwrap_or(ProfileName::Cronie)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_seen_before_the_command_line_is_read() {
        for (arguments, profile) in [
            (vec!["cronctl", "--profile", "debian", "next"], ProfileName::Debian),
            (vec!["cronctl", "next", "--profile=debian", "--help"], ProfileName::Debian),
            (vec!["cronctl", "--profile", "cronie", "--bad"], ProfileName::Cronie),
        ] {
            let arguments: Vec<OsString> = arguments.into_iter().map(OsString::from).collect();
            assert_eq!(profile_for_help(&arguments), profile, "{arguments:?}");
        }
    }
}
