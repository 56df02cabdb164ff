//! /etc/cronwheel.toml: its keys and values, and errors in them.

use super::fault::{Expected, position, shown, unknown_key};
use super::fleet::{self, FleetConfig};
use crate::crontab::Severity;
use crate::profile::{ProfileName, shared};
use crate::schedule::{DurationForm, parse_duration};
use crate::sys::error::OsError;
use crate::sys::files;
use std::io;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::de::{DeTable, DeValue};

/// All keys in alphabetical order. They are the long options of `crond`, and what has no option.
const KEYS: [&str; 22] = [
    "anacron-stamps",
    "anacrontab",
    "control-group",
    "cron-d",
    "foreground",
    "history",
    "history-days",
    "history-output",
    "history-runs",
    "history-size",
    "log",
    "mailer",
    "metrics-jobs",
    "profile",
    "run-dir",
    "spool",
    "starts-in-flight",
    "state-dir",
    "stop-timeout",
    "system-crontab",
    "view-group",
    "watch",
];

/// The keys of the file outside of its sections, in alphabetical order.
pub fn keys() -> &'static [&'static str] {
    &KEYS
}

/// How the daemon notices changed crontabs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WatchMode {
    /// By inotify(7), and by a rescan each minute where a file system does not report every change.
    #[default]
    Auto,
    /// By inotify(7) and the rescan of every ten minutes.
    Inotify,
    /// By a rescan each minute.
    Poll,
}

impl WatchMode {
    /// The mode of that name.
    pub fn named(name: &str) -> Option<WatchMode> {
        match name {
            "auto" => Some(WatchMode::Auto),
            "inotify" => Some(WatchMode::Inotify),
            "poll" => Some(WatchMode::Poll),
            _ => None,
        }
    }
}

/// Where the daemon logs (key `log`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// The system's log, by its socket /dev/log.
    Syslog,
    /// The systemd journal, with fields.
    Journal,
    /// Lines of text on standard error.
    Stderr,
    /// JSON lines on standard error.
    Json,
}

impl LogTarget {
    /// The target of that name.
    pub fn named(name: &str) -> Option<LogTarget> {
        match name {
            "syslog" => Some(LogTarget::Syslog),
            "journal" => Some(LogTarget::Journal),
            "stderr" => Some(LogTarget::Stderr),
            "json" => Some(LogTarget::Json),
            _ => None,
        }
    }
}

/// The values that the file or a command line sets. `None`: not set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Which reference implementation is being replaced.
    pub profile: Option<ProfileName>,
    /// Directory of users' crontabs, one file a user.
    pub spool: Option<PathBuf>,
    /// The system crontab, usually /etc/crontab.
    pub system_crontab: Option<PathBuf>,
    /// Directory of further system tables, usually /etc/cron.d.
    pub cron_d: Option<PathBuf>,
    /// Directory for PID file, lock, sockets and markers.
    pub run_dir: Option<PathBuf>,
    /// Directory of the state of jobs.
    pub state_dir: Option<PathBuf>,
    /// The table of anacron jobs, usually /etc/anacrontab.
    pub anacrontab: Option<PathBuf>,
    /// Directory of the days on which anacron jobs ran last.
    pub anacron_stamps: Option<PathBuf>,
    /// Where the daemon logs.
    pub log: Option<LogTarget>,
    /// Command that delivers mail, or `off`.
    pub mailer: Option<String>,
    /// Whether the daemon stays in the foreground.
    pub foreground: Option<bool>,
    /// Group whose members may do with jobs what root may.
    pub control_group: Option<String>,
    /// Group whose members see all jobs.
    pub view_group: Option<String>,
    /// How the daemon notices changed crontabs.
    pub watch: Option<WatchMode>,
    /// How long running jobs may take to end in a standalone daemon that was told to stop.
    pub stop_timeout: Option<Duration>,
    /// Most jobs whose processes are being started at once.
    pub starts_in_flight: Option<NonZeroUsize>,
    /// Whether a history of runs is kept.
    pub history: Option<bool>,
    /// Days for which rows of the history are kept.
    pub history_days: Option<NonZeroU32>,
    /// Bytes that are kept of the beginning of a run's output, and as many of its end.
    pub history_output: Option<u64>,
    /// Rows of the history that are kept for each job.
    pub history_runs: Option<NonZeroU32>,
    /// Bytes of the history's database.
    pub history_size: Option<u64>,
    /// Most jobs with metrics of their own.
    pub metrics_jobs: Option<NonZeroU32>,
    /// The section `[fleet]`.
    pub fleet: Option<FleetConfig>,
}

impl Values {
    /// Sets a known key; what was expected if the value is of another kind.
    fn set(&mut self, key: &str, value: &DeValue<'_>) -> Result<(), Expected> {
        let path = || value.as_str().map(PathBuf::from).ok_or(Expected("a path in quotes"));
        let name = || value.as_str().unwrap_or_default();
        let group = || value.as_str().map(str::to_owned).ok_or(Expected("the name of a group in quotes"));
        match key {
            "spool" => self.spool = Some(path()?),
            "system-crontab" => self.system_crontab = Some(path()?),
            "cron-d" => self.cron_d = Some(path()?),
            "run-dir" => self.run_dir = Some(path()?),
            "state-dir" => self.state_dir = Some(path()?),
            "anacrontab" => self.anacrontab = Some(path()?),
            "anacron-stamps" => self.anacron_stamps = Some(path()?),
            "control-group" => self.control_group = Some(group()?),
            "view-group" => self.view_group = Some(group()?),
            "mailer" => {
                self.mailer = Some(value.as_str().ok_or(Expected("a command in quotes, or \"off\""))?.to_owned());
            }
            "profile" => {
                let expected = Expected("\"debian\" or \"cronie\"");
                self.profile = Some(ProfileName::named(name()).ok_or(expected)?);
            }
            "log" => {
                let expected = Expected("\"syslog\", \"journal\", \"stderr\" or \"json\"");
                self.log = Some(LogTarget::named(name()).ok_or(expected)?);
            }
            "watch" => {
                let expected = Expected("\"auto\", \"inotify\" or \"poll\"");
                self.watch = Some(WatchMode::named(name()).ok_or(expected)?);
            }
            "foreground" => self.foreground = Some(value.as_bool().ok_or(Expected("true or false"))?),
            "stop-timeout" => {
                let expected = Expected("a time in quotes, like \"90s\", \"5m\" or \"1h\"");
                self.stop_timeout = Some(parse_time(name()).ok_or(expected)?);
            }
            "starts-in-flight" => {
                let number =
                    value.as_integer().and_then(|number| usize::from_str_radix(number.as_str(), number.radix()).ok());
                let number = number.and_then(NonZeroUsize::new);
                self.starts_in_flight = Some(number.ok_or(Expected("a whole number from 1"))?);
            }
            "history" => self.history = Some(value.as_bool().ok_or(Expected("true or false"))?),
            "history-days" => self.history_days = Some(whole_number(value)?),
            "history-runs" => self.history_runs = Some(whole_number(value)?),
            "history-output" => self.history_output = Some(size(value)?),
            "history-size" => self.history_size = Some(size(value)?),
            "metrics-jobs" => self.metrics_jobs = Some(whole_number(value)?),
            // Every name in `KEYS` is above; a test sets each of them.
            _ => {}
        }
        Ok(())
    }
}

fn whole_number(value: &DeValue<'_>) -> Result<NonZeroU32, Expected> {
    let number = value.as_integer().and_then(|number| u32::from_str_radix(number.as_str(), number.radix()).ok());
    number.and_then(NonZeroU32::new).ok_or(Expected("a whole number from 1"))
}

fn size(value: &DeValue<'_>) -> Result<u64, Expected> {
    let number = value.as_integer().and_then(|number| u64::from_str_radix(number.as_str(), number.radix()).ok());
    number
        .or_else(|| parse_size(value.as_str()?))
        .ok_or(Expected("a number of bytes, or a size in quotes like \"32K\", \"64M\" or \"1G\""))
}

/// Something in the file that is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    /// The known key whose value is wrong; none for an unknown key.
    key: Option<&'static str>,
    /// Line and column, counted from 1; columns in characters.
    position: (usize, usize),
    message: String,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The command line asks for a profile that does not exist.
    #[error("--profile: unknown profile `{0}`; there are debian and cronie")]
    UnknownProfile(String),
    /// The file exists, or was asked for, and cannot be read.
    #[error("reading {}: {source}", path.display())]
    Unreadable {
        /// The configuration file that cannot be read.
        path: PathBuf,
        /// The reason as the kernel gives it.
        source: OsError,
    },
    /// Something in the file is not understood: `FILE:LINE:COLUMN: error: MESSAGE`.
    #[error("{0}")]
    Faulty(String),
}

/// The file as it was read.
#[derive(Debug, Default)]
pub struct ConfigFile {
    path: PathBuf,
    values: Values,
    faults: Vec<Fault>,
}

impl ConfigFile {
    /// Reads the file that was asked for, else /etc/cronwheel.toml, which may be missing.
    ///
    /// # Errors
    /// A file that cannot be read or is not TOML. Wrong keys and values are kept for [`ConfigFile::check`].
    pub fn read(asked_for: Option<&Path>) -> Result<ConfigFile, ConfigError> {
        let path = asked_for.unwrap_or(Path::new(shared::CONFIG));
        match files::read_text(path, shared::LARGEST_CONFIG) {
            Ok(text) => ConfigFile::parse(path, &text),
            Err(missing) if missing.kind() == io::ErrorKind::NotFound && asked_for.is_none() => {
                Ok(ConfigFile { path: path.to_owned(), ..ConfigFile::default() })
            }
            Err(source) => Err(ConfigError::Unreadable { path: path.to_owned(), source: source.into() }),
        }
    }

    /// Parses the text of a file that has this path.
    ///
    /// # Errors
    /// A text that is not TOML. Wrong keys and values are kept for [`ConfigFile::check`].
    #[doc(hidden)]
    pub fn parse(path: &Path, text: &str) -> Result<ConfigFile, ConfigError> {
        let mut file = ConfigFile { path: path.to_owned(), ..ConfigFile::default() };
        let table = DeTable::parse(text).map_err(|error| {
            let place = error.span().unwrap_or_default();
            let message = format!("this is not TOML: {}", error.message().lines().next().unwrap_or_default());
            let fault = Fault { key: None, position: position(text, place.start), message };
            ConfigError::Faulty(file.line(&fault, Severity::Error))
        })?;
        let mut set: Vec<&str> = Vec::new();
        let all_keys: Vec<&str> = KEYS.into_iter().chain([fleet::SECTION]).collect();
        for (key, value) in table.get_ref() {
            let name = key.get_ref().as_ref();
            if name == fleet::SECTION {
                match fleet::parse(text, key.span(), value.get_ref()) {
                    Ok(config) => file.values.fleet = Some(config),
                    Err(faults) => file.faults.extend(faults.into_iter().map(|(place, message)| {
                        let key = Some(fleet::SECTION);
                        Fault { key, position: position(text, place.start), message }
                    })),
                }
                continue;
            }
            // Words may be parted by either character.
            let known = KEYS.iter().copied().find(|known| *known == name.replace('_', "-"));
            let fault = match known {
                None => Some((key.span(), unknown_key(name, &all_keys))),
                Some(known) if set.contains(&known) => Some((key.span(), format!("{known} is set twice"))),
                Some(known) => {
                    set.push(known);
                    let outcome = file.values.set(known, value.get_ref());
                    outcome.err().map(|Expected(expected)| {
                        let found = shown(text, value.span());
                        (value.span(), format!("{known}: expected {expected}, found {found}"))
                    })
                }
            };
            if let Some((span, message)) = fault {
                file.faults.push(Fault { key: known, position: position(text, span.start), message });
            }
        }
        file.faults.sort_by_key(|fault| fault.position);
        Ok(file)
    }

    /// The profile: the command line's, else the file's, else the one of os-release(5), else cronie.
    ///
    /// # Errors
    /// A name that no profile has.
    pub fn profile(&self, given: Option<&str>) -> Result<ProfileName, ConfigError> {
        match self.faults.iter().find(|fault| fault.key == Some("profile")) {
            Some(fault) if given.is_none() => Err(ConfigError::Faulty(self.line(fault, Severity::Error))),
            _ => self.profile_despite_faults(given),
        }
    }

    /// Checks all keys, for the daemon, which does not start with a faulty file.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.faults.first().map_or(Ok(()), |fault| Err(ConfigError::Faulty(self.line(fault, Severity::Error))))
    }

    /// All faults, a line each, for a report. The values that have none are used.
    pub fn faults(&self) -> impl Iterator<Item = String> {
        self.faults.iter().map(|fault| self.line(fault, Severity::Error))
    }

    /// The profile as [`ConfigFile::profile`] finds it, without regard to a wrong value in the file.
    ///
    /// # Errors
    /// The command line asks for a profile that does not exist.
    pub fn profile_despite_faults(&self, given: Option<&str>) -> Result<ProfileName, ConfigError> {
        match (given, self.values.profile) {
            (Some(name), _) => named_profile(name),
            (None, Some(profile)) => Ok(profile),
            (None, None) => Ok(profile_of_system()),
        }
    }

    /// Checks the keys that a program uses. Returns the faults of the others as warnings.
    ///
    /// # Errors
    /// The first wrong value of a key that is used.
    pub fn check_only(&self, used: &[&str]) -> Result<Vec<String>, ConfigError> {
        match self.faults.iter().find(|fault| fault.key.is_some_and(|key| used.contains(&key))) {
            Some(fault) => Err(ConfigError::Faulty(self.line(fault, Severity::Error))),
            None => Ok(self.faults.iter().map(|fault| self.line(fault, Severity::Warning)).collect()),
        }
    }

    /// The values that the file sets.
    pub fn into_values(self) -> Values {
        self.values
    }

    fn line(&self, Fault { position: (line, column), message, .. }: &Fault, severity: Severity) -> String {
        format!("{}:{line}:{column}: {severity}: {message}", self.path.display())
    }
}

fn named_profile(name: &str) -> Result<ProfileName, ConfigError> {
    ProfileName::named(name).ok_or_else(|| ConfigError::UnknownProfile(name.to_owned()))
}

/// The profile of os-release(5), else cronie.
fn profile_of_system() -> ProfileName {
    /// Where os-release(5) is, first found wins.
    const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];
    let system = OS_RELEASE.iter().find_map(|path| files::read_file(Path::new(path), shared::LARGEST_CONFIG).ok());
    system.map_or(ProfileName::Cronie, |text| ProfileName::from_os_release(&String::from_utf8_lossy(&text)))
}

/// `90s`, `5m`, `1h`, `2d`; a bare number is seconds.
pub fn parse_time(text: &str) -> Option<Duration> {
    parse_duration(text.as_bytes(), DurationForm::OneUnitOrSeconds).ok().map(Duration::from_secs)
}

/// `32K`, `64M`, `1G`, in powers of 1024; a bare number is bytes.
pub fn parse_size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text.get(digits.len()..)? {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> ConfigFile {
        ConfigFile::parse(Path::new("/c"), text).unwrap()
    }

    #[test]
    fn each_key_is_set_under_both_spellings() {
        let value = |key: &str| match key {
            "foreground" | "history" => "true",
            "history-days" | "history-runs" | "metrics-jobs" => "7",
            "history-output" | "history-size" => "'3M'",
            "log" => "'json'",
            "profile" => "'debian'",
            "starts-in-flight" => "0x10",
            "stop-timeout" => "'5m'",
            "watch" => "'poll'",
            _ => "'/x'",
        };
        for key in KEYS {
            let dashes = file(&format!("{key} = {}\n", value(key)));
            assert!(dashes.faults.is_empty() && dashes.values != Values::default(), "{key}: {dashes:?}");
            let underscores = file(&format!("{} = {}\n", key.replace('-', "_"), value(key)));
            assert_eq!((underscores.values, underscores.faults), (dashes.values, Vec::new()), "{key}");
        }
        assert_eq!(file("starts-in-flight = 0x10").values.starts_in_flight, NonZeroUsize::new(16));
        assert!(KEYS.is_sorted());
    }

    #[test]
    fn what_is_not_understood_is_told_with_its_place_what_was_found_and_what_to_do() {
        for (text, told) in [
            ("spol = '/a'\n", "/c:1:1: error: unknown key spol; did you mean spool?"),
            ("# é\n é = 1", "/c:2:2: error: this is not TOML: "),
            ("'\u{e9}' = 1\n", "/c:1:1: error: unknown key \u{e9}; the keys are anacron-stamps, anacrontab, "),
            ("\n  Mailer = 'x'", "/c:2:3: error: unknown key Mailer; did you mean mailer?"),
            ("foo = 1", "/c:1:1: error: unknown key foo; the keys are "),
            ("lgo = 1", "/c:1:1: error: unknown key lgo; did you mean log?"),
            ("simple-commands = 'direct'", "/c:1:1: error: unknown key simple-commands; the keys are anacron-stamps, "),
            ("watch = 'closely'", "/c:1:9: error: watch: expected \"auto\", \"inotify\" or \"poll\", found 'closely'"),
            ("starts-in-flight = 0", "/c:1:20: error: starts-in-flight: expected a whole number from 1, found 0"),
            ("spool = 3", "/c:1:9: error: spool: expected a path in quotes, found 3"),
            ("run-dir = '/a'\nrun_dir = '/b'\n", "/c:2:1: error: run-dir is set twice"),
            ("[log]\nto = 'x'", "/c:1:1: error: log: expected \"syslog\", \"journal\", \"stderr\" or \"json\", found "),
            ("stop-timeout = '5y'", "found '5y'"),
            ("mailer = true", "/c:1:10: error: mailer: expected a command in quotes, or \"off\", found true"),
            ("profile = \"vixie\"", "/c:1:11: error: profile: expected \"debian\" or \"cronie\", found \"vixie\""),
            ("[flet]\nname = 'a'", "/c:1:2: error: unknown key flet; did you mean fleet?"),
            ("[fleet]\nnam = 'a'", "/c:2:1: error: [fleet]: unknown key nam; did you mean name?"),
            ("\"a\\u001b[2J\" = 1", "/c:1:1: error: unknown key a\\x1b[2J; the keys are "),
            ("spool = \n", "/c:1:9: error: this is not TOML: "),
        ] {
            let checked = ConfigFile::parse(Path::new("/c"), text).and_then(|file| file.check());
            let error = checked.unwrap_err().to_string();
            assert!(error.contains(told) && !error.contains('\n'), "{text:?}: {error}");
        }
        let long = format!("spool = [{}]", "'/x', ".repeat(1000));
        assert!(file(&long).check().unwrap_err().to_string().len() < 200);
    }

    #[test]
    fn faults_are_in_the_order_of_the_file() {
        let error = file("zzzzzzz = 1\naaaaaaa = 1\n").check().unwrap_err().to_string();
        assert!(error.starts_with("/c:1:1: error: unknown key zzzzzzz"), "{error}");
    }

    #[test]
    fn a_program_minds_only_the_values_that_it_uses_and_warns_of_the_others() {
        let file = file("spol = '/a'\nwatch = 'closely'\n");
        assert_eq!(
            file.check_only(&["profile", "spool"]).unwrap(),
            [
                "/c:1:1: warning: unknown key spol; did you mean spool?",
                "/c:2:9: warning: watch: expected \"auto\", \"inotify\" or \"poll\", found 'closely'"
            ]
        );
        assert!(file.check_only(&["watch"]).is_err());
    }

    #[test]
    fn the_option_wins_over_the_file_and_a_wrong_name_is_an_error() {
        let cronie = file("profile = 'cronie'\n");
        assert_eq!(cronie.profile(None).unwrap(), ProfileName::Cronie);
        assert_eq!(cronie.profile(Some("debian")).unwrap(), ProfileName::Debian);
        assert_eq!(
            cronie.profile(Some("bcron")).unwrap_err().to_string(),
            "--profile: unknown profile `bcron`; there are debian and cronie"
        );
        let wrong = file("profile = 'vixie'\n");
        assert!(matches!(wrong.profile(None), Err(ConfigError::Faulty(_))));
        assert_eq!(wrong.profile(Some("debian")).unwrap(), ProfileName::Debian);
    }

    #[test]
    fn os_release_decides_where_nobody_else_does() {
        for (text, profile) in [
            ("ID=debian\n", ProfileName::Debian),
            ("ID=ubuntu\nID_LIKE=debian\n", ProfileName::Debian),
            ("ID=\"linuxmint\"\nID_LIKE=\"ubuntu debian\"\n", ProfileName::Debian),
            ("ID=fedora\n", ProfileName::Cronie),
            ("", ProfileName::Cronie),
        ] {
            assert_eq!(ProfileName::from_os_release(text), profile, "{text:?}");
        }
    }

    #[test]
    fn a_file_that_is_no_file_or_too_large_or_missing_is_an_error_without_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cronwheel.toml");
        let missing = ConfigFile::read(Some(&path)).unwrap_err().to_string();
        assert_eq!(missing, format!("reading {}: No such file or directory", path.display()));
        assert!(matches!(ConfigFile::read(Some(dir.path())), Err(ConfigError::Unreadable { .. })));
        std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let large = ConfigFile::read(Some(&path)).unwrap_err().to_string();
        assert!(large.ends_with("cronwheel.toml: larger than 1048576 bytes"), "{large}");
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("30", Some(30)),
            ("32K", Some(32 << 10)),
            ("1G", Some(1 << 30)),
            ("1g", None),
            ("", None),
            ("99999999999T", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text:?}");
        }
        assert_eq!(file("history-size = 4096\nhistory-output = '1K'").values.history_size, Some(4096));
        let error = file("history-days = 0").check().unwrap_err().to_string();
        assert!(error.contains("history-days: expected a whole number from 1, found 0"), "{error}");
    }

    #[test]
    fn times_have_units() {
        for (text, seconds) in [
            ("30", Some(30)),
            ("90s", Some(90)),
            ("5m", Some(300)),
            ("2h", Some(7200)),
            ("x", None),
            ("5y", None),
            ("", None),
        ] {
            assert_eq!(parse_time(text), seconds.map(Duration::from_secs), "{text:?}");
        }
    }
}
