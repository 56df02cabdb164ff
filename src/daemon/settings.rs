//! What the daemon is to do: command line, then /etc/cronwheel.toml, then the profile.

use super::cli::{self, Beforehand};
use super::debug::Debug;
use crate::executor::{Config as ExecutorConfig, JournalPlace, MAILER_LIMIT, Mailer, STARTS_IN_FLIGHT};
use crate::profile::{Profile, ProfileName, shared};
use crate::report::Target;
use crate::spool::{Finder, Places, ProfileError, choose_profile};
use crate::sys::files;
use clap::ArgMatches;
use std::ffi::OsString;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long running jobs may take to end in a standalone daemon that was told to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// What is asked of this start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The system's daemon.
    Daemon,
    /// Only the tables in these files, as the caller.
    Standalone(Vec<PathBuf>),
    /// Load, report, exit. With files: only those.
    Check(Vec<PathBuf>),
    /// Run what is due this minute, wait, exit.
    Now,
}

/// How changed tables are noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WatchMode {
    /// By inotify(7), and by a rescan each minute where a file system does not report every change.
    #[default]
    Auto,
    /// By inotify(7) and the rescan of every ten minutes.
    Inotify,
    /// By a rescan each minute.
    Poll,
}

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is asked of this start.
    pub mode: Mode,
    /// The profile's constants.
    pub site: &'static Profile,
    /// Where tables are.
    pub places: Places,
    /// Anacron jobs.
    pub anacrontab: PathBuf,
    /// The days on which they ran last.
    pub anacron_stamps: PathBuf,
    /// PID file, lock, markers.
    pub run_dir: PathBuf,
    /// Whether the command line asked for that run directory.
    pub run_dir_given: bool,
    /// Where to log, if anybody said.
    pub log: Option<Target>,
    /// What delivers mail, if anybody said.
    pub mailer: Option<Mailer>,
    /// Stay in the foreground.
    pub foreground: bool,
    /// See [`STOP_TIMEOUT`].
    pub stop_timeout: Duration,
    /// Most jobs on their way to their command at once.
    pub starts_in_flight: NonZeroUsize,
    /// Debian's `-L`.
    pub log_mask: u8,
    /// Debian's `-n`.
    pub full_host_name: bool,
    /// Debian's `-l`.
    pub lsb_names: bool,
    /// cronie's `-p`.
    pub permit_any: bool,
    /// cronie's `-s`.
    pub output_to_log: bool,
    /// How changed tables are noticed.
    pub watch: WatchMode,
    /// cronie's `-i`, or its `-c`.
    pub no_inotify: bool,
    /// cronie's `-P`.
    pub inherit_path: bool,
    /// cronie's `-c`.
    pub cluster: bool,
    /// `-x`.
    pub debug: Debug,
    /// Words of the command line that are no files to run.
    pub ignored: Vec<PathBuf>,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Asked {
    /// To do something.
    Run(Box<Settings>),
    /// To read a text.
    Page(String),
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The command line is wrong; clap's own words.
    #[error("{0}")]
    CommandLine(String),
    /// No profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The configuration cannot be read.
    #[error("reading {}: {source}", path.display())]
    Unreadable {
        /// The configuration's path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The configuration has something in it that is not understood.
    #[error("{}: {source}", path.display())]
    Malformed {
        /// The configuration's path.
        path: PathBuf,
        /// Where and what.
        source: Box<toml::de::Error>,
    },
    /// A length of time that is none.
    #[error("stop-timeout: expected a time like 90s, 5m or 1h, found {0:?}")]
    StopTimeout(String),
}

/// The configuration file: the long options' names.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    /// Read beforehand, by [`choose_profile`].
    #[serde(rename = "profile")]
    _profile: Option<String>,
    spool: Option<PathBuf>,
    #[serde(alias = "system_crontab")]
    system_crontab: Option<PathBuf>,
    #[serde(alias = "cron_d")]
    cron_d: Option<PathBuf>,
    #[serde(alias = "run_dir")]
    run_dir: Option<PathBuf>,
    /// Accepted, as it is for cronctl: the daemon keeps no history yet.
    #[serde(rename = "state-dir", alias = "state_dir")]
    _state_dir: Option<PathBuf>,
    anacrontab: Option<PathBuf>,
    #[serde(alias = "anacron_stamps")]
    anacron_stamps: Option<PathBuf>,
    log: Option<Target>,
    mailer: Option<String>,
    foreground: Option<bool>,
    watch: Option<WatchMode>,
    #[serde(alias = "stop_timeout")]
    stop_timeout: Option<String>,
    #[serde(alias = "starts_in_flight")]
    starts_in_flight: Option<NonZeroUsize>,
}

impl Settings {
    /// Understands the arguments (the program's name first).
    pub fn from_arguments(arguments: Vec<OsString>) -> Result<Asked, SettingsError> {
        let before = Beforehand::scan(arguments.get(1..).unwrap_or_default());
        let config = before.config.clone().unwrap_or_else(|| shared::CONFIG.into());
        let profile = match choose_profile(before.profile.as_deref(), &config) {
            Ok(profile) => profile,
            Err(_) if before.page => ProfileName::Cronie,
            Err(why) => return Err(why.into()),
        };
        let given = match cli::command(profile).try_get_matches_from(&arguments) {
            Ok(given) => given,
            Err(page) if page.kind() == clap::error::ErrorKind::DisplayHelp => {
                return Ok(Asked::Page(page.to_string()));
            }
            Err(wrong) => return Err(SettingsError::CommandLine(wrong.to_string())),
        };
        if given.get_flag("version") {
            return Ok(Asked::Page(format!("{}\n", version())));
        }
        let file = read(&config, before.config.is_some())?;
        Ok(Asked::Run(Box::new(Settings::resolve(&given, file, profile.profile())?)))
    }

    fn resolve(given: &ArgMatches, file: File, site: &'static Profile) -> Result<Settings, SettingsError> {
        // A daemon leaves its directory, so that relative paths must be understood before.
        let path = |name: &str, from_file: Option<PathBuf>| {
            let path = given.get_one::<PathBuf>(name).cloned().or(from_file);
            path.map(|path| std::path::absolute(&path).unwrap_or(path))
        };
        let has = |name: &str| given.try_get_one::<bool>(name).ok().flatten().copied().unwrap_or(false);
        let text = |name: &str| given.try_get_one::<String>(name).ok().flatten().cloned();
        let debug = Debug::of(given.get_many::<String>("debug").into_iter().flatten().map(String::as_str));
        let standard = Places::of(site);
        let files: Vec<PathBuf> = given.get_many("FILE").map(|files| files.cloned().collect()).unwrap_or_default();
        // These are about the system's tables, so that Debian's meaning of further words is meant: none.
        let for_the_system = has("lsb-names") || has("now");
        let (files, ignored) = if for_the_system && !has("check") { (Vec::new(), files) } else { (files, Vec::new()) };
        let mode = match () {
            () if has("check") => Mode::Check(files),
            () if !files.is_empty() => Mode::Standalone(files),
            () if has("now") => Mode::Now,
            () => Mode::Daemon,
        };
        let run_dir = path("run-dir", file.run_dir);
        let debug_log = debug.is_on().then_some(Target::Stderr);
        let log = given.get_one::<String>("log").and_then(|name| target(name)).or(debug_log).or(file.log);
        let mailer = text("mailer").or_else(|| text("mail-command")).or(file.mailer);
        let no_inotify = has("no-inotify") || has("cluster");
        let watch = text("watch").and_then(|name| watch_mode(&name)).or(no_inotify.then_some(WatchMode::Poll));
        let stop_timeout = match text("stop-timeout").or(file.stop_timeout) {
            Some(text) => parse_time(&text).ok_or(SettingsError::StopTimeout(text))?,
            None => STOP_TIMEOUT,
        };
        Ok(Settings {
            mode,
            site,
            places: Places {
                spool: path("spool", file.spool).unwrap_or(standard.spool),
                system_crontab: path("system-crontab", file.system_crontab).unwrap_or(standard.system_crontab),
                cron_d: path("cron-d", file.cron_d).unwrap_or(standard.cron_d),
            },
            anacrontab: file.anacrontab.unwrap_or_else(|| shared::ANACRONTAB.into()),
            anacron_stamps: file.anacron_stamps.unwrap_or_else(|| shared::ANACRON_STAMPS.into()),
            run_dir_given: given.get_one::<PathBuf>("run-dir").is_some(),
            run_dir: run_dir.unwrap_or_else(|| shared::RUN_DIR.into()),
            log,
            mailer: mailer.map(|name| if name == "off" { Mailer::Off } else { Mailer::Command(name) }),
            foreground: has("foreground") || debug.is_on() || file.foreground.unwrap_or(false),
            stop_timeout,
            starts_in_flight: file.starts_in_flight.unwrap_or(STARTS_IN_FLIGHT),
            log_mask: given.try_get_one::<u8>("log-mask").ok().flatten().copied().unwrap_or(1),
            full_host_name: has("full-host-name"),
            lsb_names: has("lsb-names"),
            permit_any: has("permit-any"),
            output_to_log: has("output-to-log"),
            watch: watch.or(file.watch).unwrap_or_default(),
            no_inotify,
            inherit_path: has("inherit-path"),
            cluster: has("cluster"),
            debug,
            ignored,
        })
    }

    /// Whether only given files are run.
    pub fn is_standalone(&self) -> bool {
        matches!(self.mode, Mode::Standalone(_))
    }

    /// Who finds the system's tables.
    pub fn finder(&self) -> Finder {
        let mut finder = Finder::new(self.places.clone(), self.site).minds_labels();
        if self.lsb_names {
            finder = finder.lsb_names();
        }
        if self.permit_any {
            finder = finder.any_owner_and_mode();
        }
        if self.cluster {
            finder = finder.cluster();
        }
        finder
    }

    /// What the executor is told.
    pub fn executor_config(&self, log: Target) -> ExecutorConfig {
        let standalone = self.is_standalone();
        ExecutorConfig {
            profile: self.site.profile,
            log,
            mailer: self.mailer.clone().unwrap_or(if standalone { Mailer::Off } else { Mailer::Sendmail }),
            mailer_limit: MAILER_LIMIT,
            output_to_log: self.output_to_log,
            standalone,
            log_mask: self.log_mask,
            full_host_name: self.full_host_name,
            inherit_path: self.inherit_path,
            starts_in_flight: self.starts_in_flight,
            journal: match &self.mode {
                Mode::Standalone(_) if !self.run_dir_given => JournalPlace::Memory,
                Mode::Standalone(_) | Mode::Daemon => JournalPlace::Directory(self.executors()),
                Mode::Now | Mode::Check(_) => JournalPlace::Nowhere,
            },
        }
    }

    /// Where journals of runs and sockets are.
    pub fn executors(&self) -> PathBuf {
        self.run_dir.join(shared::RUNNERS)
    }
}

/// Name and version of the program.
pub fn version() -> String {
    format!("cronwheel {}", env!("CARGO_PKG_VERSION"))
}

/// A missing file says nothing, unless it was asked for.
fn read(path: &Path, asked_for: bool) -> Result<File, SettingsError> {
    let text = match files::read_text(path, shared::LARGEST_CONFIG) {
        Ok(text) => text,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound && !asked_for => return Ok(File::default()),
        Err(source) => return Err(SettingsError::Unreadable { path: path.to_owned(), source }),
    };
    toml::from_str(&text).map_err(|source| SettingsError::Malformed { path: path.to_owned(), source: Box::new(source) })
}

fn target(name: &str) -> Option<Target> {
    match name {
        "syslog" => Some(Target::Syslog),
        "journal" => Some(Target::Journal),
        "stderr" => Some(Target::Stderr),
        "json" => Some(Target::Json),
        _ => None,
    }
}

fn watch_mode(name: &str) -> Option<WatchMode> {
    match name {
        "auto" => Some(WatchMode::Auto),
        "inotify" => Some(WatchMode::Inotify),
        "poll" => Some(WatchMode::Poll),
        _ => None,
    }
}

/// `90s`, `5m`, `1h`, `2d`; a bare number is seconds.
fn parse_time(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..)? {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(digits.parse::<u64>().ok()?.checked_mul(unit)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(line: &str) -> Settings {
        match Settings::from_arguments(line.split(' ').map(OsString::from).collect()) {
            Ok(Asked::Run(settings)) => *settings,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_command_line_wins_over_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("cronwheel.toml");
        std::fs::write(
            &config,
            "profile = 'cronie'\nspool = '/a'\nrun-dir = '/b'\ncron_d = '/c'\nlog = 'json'\nmailer = 'off'\nforeground = true\n\
             anacrontab = '/d'\nanacron-stamps = '/e'\nstarts-in-flight = 8\n\
             watch = 'inotify'\n",
        )
        .unwrap();
        let settings = settings(&format!("crond --config {} --spool /z --log stderr", config.display()));
        assert_eq!(settings.site.profile, ProfileName::Cronie);
        assert_eq!(settings.places.spool, Path::new("/z"));
        assert_eq!(settings.places.cron_d, Path::new("/c"));
        assert_eq!(
            (settings.anacrontab.as_path(), settings.anacron_stamps.as_path()),
            (Path::new("/d"), Path::new("/e"))
        );
        assert_eq!((settings.run_dir, settings.run_dir_given), ("/b".into(), false));
        assert_eq!((settings.log, settings.mailer), (Some(Target::Stderr), Some(Mailer::Off)));
        assert_eq!((settings.foreground, settings.starts_in_flight.get()), (true, 8));
        assert_eq!(settings.watch, WatchMode::Inotify);
        for (options, watch) in [
            ("-i", WatchMode::Poll),
            ("-c", WatchMode::Poll),
            ("--watch auto", WatchMode::Auto),
            ("-i --watch inotify", WatchMode::Inotify),
        ] {
            let line = format!("crond --config {} {options}", config.display());
            assert_eq!(self::settings(&line).watch, watch, "{options}");
        }
    }

    #[test]
    fn words_behind_debians_flags_for_the_system_are_no_files() {
        let file = |name: &str| vec![PathBuf::from(name)];
        for (words, mode, ignored) in [
            ("-f -l 8", Mode::Daemon, file("8")),
            ("8 -l", Mode::Daemon, file("8")),
            ("-N table", Mode::Now, file("table")),
            ("-f table", Mode::Standalone(file("table")), Vec::new()),
            ("-L 8 table", Mode::Standalone(file("table")), Vec::new()),
            ("table", Mode::Standalone(file("table")), Vec::new()),
            ("--check -l table", Mode::Check(file("table")), Vec::new()),
        ] {
            let settings = settings(&format!("cron --profile debian --config /dev/null {words}"));
            assert_eq!((settings.mode, settings.ignored), (mode, ignored), "{words}");
        }
        let settings = settings("crond --profile cronie --config /dev/null -n table");
        assert_eq!(settings.mode, Mode::Standalone(file("table")));
    }

    #[test]
    fn a_key_or_a_value_that_is_not_known_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("cronwheel.toml");
        for (text, named) in [
            ("spol = '/a'\n", "spol"),
            ("starts-in-flight = 0\n", "starts-in-flight"),
            ("watch = 'closely'\n", "unknown variant `closely`, expected one of `auto`, `inotify`, `poll`"),
            ("simple-commands = 'direct'\n", "unknown field `simple-commands`"),
        ] {
            std::fs::write(&config, text).unwrap();
            let line = ["crond".into(), "--profile=debian".into(), "--config".into(), config.clone().into()];
            let error = Settings::from_arguments(line.to_vec()).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains("cronwheel.toml"), "{error}");
        }
    }

    #[test]
    fn pages_are_given_even_when_the_configuration_is_broken() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("cronwheel.toml");
        std::fs::write(&config, "=").unwrap();
        for page in ["--help", "--version"] {
            let line = ["crond".into(), "--config".into(), config.clone().into(), page.into()];
            assert!(matches!(Settings::from_arguments(line.to_vec()), Ok(Asked::Page(_))), "{page}");
        }
    }

    #[test]
    fn what_is_asked_follows_from_files_and_flags() {
        let files = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        for (line, mode) in [
            ("crond --profile debian", Mode::Daemon),
            ("crond --profile debian -N", Mode::Now),
            ("crond --profile debian --check", Mode::Check(vec![])),
            ("crond --profile debian a b", Mode::Standalone(files(&["a", "b"]))),
            ("crond --profile debian --check a", Mode::Check(files(&["a"]))),
        ] {
            assert_eq!(settings(line).mode, mode, "{line}");
        }
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
