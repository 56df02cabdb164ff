//! The profile and the paths of the daemon's files: from the command line, else from the settings file, else from the
//! profile.

use super::cli::value;
use super::error::Error;
use crate::profile::{Profile, ProfileName, shared};
use crate::spool::{Places, choose_profile};
use crate::sys::files;
use clap::ArgMatches;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The settings of this call.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The constants of the profile.
    pub(super) profile: &'static Profile,
    /// The paths of crontabs.
    pub(super) places: Places,
}

/// The keys of the settings file that cronctl uses; the daemon has more.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    spool: Option<PathBuf>,
    #[serde(alias = "system_crontab")]
    system_crontab: Option<PathBuf>,
    #[serde(alias = "cron_d")]
    cron_d: Option<PathBuf>,
}

impl Settings {
    /// Combines the command line with the settings file.
    pub(super) fn resolve(matches: &ArgMatches) -> Result<Settings, Error> {
        let asked_for = value::<PathBuf>(matches, "config").map(PathBuf::as_path);
        let file = read(asked_for)?;
        let config = asked_for.unwrap_or(Path::new(shared::CONFIG));
        let profile = choose_profile(value::<String>(matches, "profile").map(String::as_str), config)?.profile();
        let usual = Places::of(profile);
        let place = |option: &str, key: Option<PathBuf>, usual: PathBuf| {
            value::<PathBuf>(matches, option).cloned().or(key).unwrap_or(usual)
        };
        let places = Places {
            spool: place("spool", file.spool, usual.spool),
            system_crontab: place("system-crontab", file.system_crontab, usual.system_crontab),
            cron_d: place("cron-d", file.cron_d, usual.cron_d),
        };
        Ok(Settings { profile, places })
    }
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
    let config = Path::new(after("--config").unwrap_or(shared::CONFIG));
    choose_profile(after("--profile"), config).unwrap_or(ProfileName::Cronie)
}

/// Reads the settings file. The default one may be missing; one from the command line must exist.
fn read(asked_for: Option<&Path>) -> Result<File, Error> {
    let path = asked_for.unwrap_or(Path::new(shared::CONFIG));
    let text = match files::read_text(path, shared::LARGEST_CONFIG) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && asked_for.is_none() => return Ok(File::default()),
        Err(source) => return Err(Error::Settings { path: path.to_owned(), source }),
    };
    toml::from_str(&text).map_err(|source| Error::BadSettings { path: path.to_owned(), source: Box::new(source) })
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
