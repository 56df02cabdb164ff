//! The settings of the daemon: from the command line, else from /etc/cronwheel.toml, else from the profile.

use super::cli::{self, EarlyOptions};
use super::debug::Debug;
use crate::config::sockets::sockets_of_standalone;
use crate::config::{Config, ConfigError, ConfigFile, LogTarget, Values, WatchMode, parse_time};
use crate::executor::{ExecutorConfig, JournalLocation, MAILER_LIMIT, Mailer, STARTS_IN_FLIGHT};
use crate::profile::{ProfileName, shared};
use crate::report::Target;
use crate::spool::Finder;
use crate::sys::process;
use clap::ArgMatches;
use std::ffi::OsString;
use std::path::PathBuf;

/// What this call of `crond` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Run the jobs of the system's crontabs.
    Daemon,
    /// Run the jobs of these files, as the caller.
    Standalone(Vec<PathBuf>),
    /// Read the system's crontabs, or only these files, report their faults, and exit.
    Check(Vec<PathBuf>),
    /// Run the jobs that are due in this minute, wait for them, and exit.
    Now,
}

/// The settings of the program.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What this call of `crond` is to do.
    pub mode: Mode,
    /// The configuration file with the command line's overrides.
    pub config: Config,
    /// Whether the command line named the run directory.
    pub run_dir_given: bool,
    /// Whether the command line named the state directory.
    pub state_dir_given: bool,
    /// Debian's `-L`: which events of jobs are logged, as a sum.
    pub log_mask: u8,
    /// Debian's `-n`: whether mail names the fully qualified host.
    pub full_host_name: bool,
    /// Debian's `-l`: whether files with LSB names are read.
    pub lsb_names: bool,
    /// cronie's `-p`: whether crontabs may have any owner, mode and number of links.
    pub permit_any: bool,
    /// cronie's `-s`: whether output of jobs is logged instead of mailed.
    pub output_to_log: bool,
    /// Whether a standalone daemon puts the name of the job in front of each line of output.
    pub prefix_output: bool,
    /// cronie's `-i`, or its `-c`: whether inotify is not used.
    pub no_inotify: bool,
    /// cronie's `-P`: whether jobs get the daemon's PATH.
    pub inherit_path: bool,
    /// cronie's `-c`: whether users' crontabs run on one host of a cluster only.
    pub cluster: bool,
    /// The topics that `-x` names.
    pub debug: Debug,
    /// Arguments that are not run as files.
    pub ignored: Vec<PathBuf>,
    /// The faults of the configuration file, with which only `--check` continues.
    pub config_faults: Vec<String>,
}

/// The request of a command line.
#[derive(Debug)]
pub enum Command {
    /// Run with these settings.
    Run(Box<Settings>),
    /// Print this text and exit.
    Page(String),
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The command line is wrong, in the words of the parser.
    #[error("{0}")]
    CommandLine(String),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The stop timeout is not a length of time.
    #[error("stop-timeout: expected a time like 90s, 5m or 1h, found {0:?}")]
    StopTimeout(String),
}

impl Settings {
    /// Resolves the arguments, of which the first is the program's name.
    ///
    /// # Errors
    ///
    /// The command line or the configuration file is wrong.
    pub fn from_arguments(arguments: Vec<OsString>) -> Result<Command, SettingsError> {
        let before = EarlyOptions::scan(arguments.get(1..).unwrap_or_default());
        // `--help` works whatever is wrong with the configuration.
        let mut config_faults = Vec::new();
        let file = match ConfigFile::read(before.config.as_deref()) {
            Err(_) if before.page => ConfigFile::default(),
            Err(fault) if before.check => {
                config_faults.push(fault.to_string());
                ConfigFile::default()
            }
            file => file?,
        };
        let profile = match before.check {
            true => file.profile_despite_faults(before.profile.as_deref()),
            false => file.profile(before.profile.as_deref()),
        };
        let profile = match profile {
            Err(_) if before.page => ProfileName::Cronie,
            profile => profile?,
        };
        let given = match cli::command(profile).try_get_matches_from(&arguments) {
            Ok(given) => given,
            Err(page) if page.kind() == clap::error::ErrorKind::DisplayHelp => {
                return Ok(Command::Page(page.to_string()));
            }
            Err(wrong) => return Err(SettingsError::CommandLine(cli::describe(&wrong))),
        };
        if given.get_flag("version") {
            return Ok(Command::Page(format!("{}\n", version())));
        }
        if given.get_flag("check") {
            config_faults.extend(file.faults());
        } else {
            file.check()?;
        }
        let settings = Settings::resolve(&given, file.into_values(), profile)?;
        Ok(Command::Run(Box::new(Settings { config_faults, ..settings })))
    }

    fn resolve(given: &ArgMatches, file: Values, profile: ProfileName) -> Result<Settings, SettingsError> {
        let path = |name: &str| given.get_one::<PathBuf>(name).cloned();
        let has = |name: &str| given.try_get_one::<bool>(name).ok().flatten().copied().unwrap_or(false);
        let text = |name: &str| given.try_get_one::<String>(name).ok().flatten().cloned();
        let debug = Debug::of(given.get_many::<String>("debug").into_iter().flatten().map(String::as_str));
        let files: Vec<PathBuf> = given.get_many("FILE").map(|files| files.cloned().collect()).unwrap_or_default();
        // These options concern the system's crontabs, and Debian's cron ignores further arguments.
        let for_the_system = has("lsb-names") || has("now");
        let (files, ignored) = if for_the_system && !has("check") { (Vec::new(), files) } else { (files, Vec::new()) };
        let mode = match () {
            () if has("check") => Mode::Check(files),
            () if !files.is_empty() => Mode::Standalone(files),
            () if has("now") => Mode::Now,
            () => Mode::Daemon,
        };
        let no_inotify = has("no-inotify") || has("cluster");
        let stop_timeout = match text("stop-timeout") {
            Some(text) => Some(parse_time(&text).ok_or(SettingsError::StopTimeout(text))?),
            None => None,
        };
        let debug_log = debug.is_on().then_some(LogTarget::Stderr);
        let watch = text("watch").and_then(|name| WatchMode::named(&name));
        let values = Values {
            spool: path("spool"),
            system_crontab: path("system-crontab"),
            cron_d: path("cron-d"),
            run_dir: path("run-dir"),
            state_dir: path("state-dir"),
            log: text("log").and_then(|name| LogTarget::named(&name)).or(debug_log),
            mailer: text("mailer").or_else(|| text("mail-command")),
            foreground: (has("foreground") || debug.is_on()).then_some(true),
            watch: watch.or(no_inotify.then_some(WatchMode::Poll)),
            stop_timeout,
            ..Values::default()
        };
        let mut config = Config::resolve(profile, values, file);
        // A daemon changes to the root directory.
        config.make_paths_absolute();
        Ok(Settings {
            mode,
            config,
            run_dir_given: path("run-dir").is_some(),
            state_dir_given: path("state-dir").is_some(),
            log_mask: given.try_get_one::<u8>("log-mask").ok().flatten().copied().unwrap_or(1),
            full_host_name: has("full-host-name"),
            lsb_names: has("lsb-names"),
            permit_any: has("permit-any"),
            output_to_log: has("output-to-log"),
            prefix_output: has("prefix"),
            no_inotify,
            inherit_path: has("inherit-path"),
            cluster: has("cluster"),
            debug,
            ignored,
            config_faults: Vec::new(),
        })
    }

    /// Whether only the files on the command line are run.
    pub fn is_standalone(&self) -> bool {
        matches!(self.mode, Mode::Standalone(_))
    }

    /// The log destination of the command line or the configuration file. None: neither sets one.
    pub fn log(&self) -> Option<Target> {
        self.config.log.map(|log| match log {
            LogTarget::Syslog => Target::Syslog,
            LogTarget::Journal => Target::Journal,
            LogTarget::Stderr => Target::Stderr,
            LogTarget::Json => Target::Json,
        })
    }

    /// The finder of the system's crontabs, with the options that concern it.
    pub fn finder(&self) -> Finder {
        let mut finder = Finder::new(self.config.places.clone(), self.config.profile).with_label_check();
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

    /// The configuration of the executor.
    pub fn executor_config(&self, log: Target) -> ExecutorConfig {
        let standalone = self.is_standalone();
        ExecutorConfig {
            profile: self.config.profile.profile,
            log,
            mailer: match self.config.mailer.as_deref() {
                Some("off") => Mailer::Off,
                Some(command) => Mailer::Command(command.to_owned()),
                None if standalone => Mailer::Off,
                None => Mailer::Sendmail,
            },
            mailer_limit: MAILER_LIMIT,
            output_to_log: self.output_to_log,
            standalone,
            prefix_output: self.prefix_output,
            log_mask: self.log_mask,
            full_host_name: self.full_host_name,
            inherit_path: self.inherit_path,
            starts_in_flight: self.config.starts_in_flight.unwrap_or(STARTS_IN_FLIGHT),
            journal: match &self.mode {
                Mode::Standalone(_) if !self.run_dir_given => JournalLocation::Memory,
                Mode::Standalone(_) | Mode::Daemon => JournalLocation::Directory(self.executors()),
                Mode::Now | Mode::Check(_) => JournalLocation::Nowhere,
            },
        }
    }

    /// The directory of the control socket and of the socket of the history.
    pub fn sockets(&self) -> PathBuf {
        if self.is_standalone() && !self.run_dir_given {
            let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
            sockets_of_standalone(process::own_uid(), runtime.as_deref())
        } else {
            self.config.sockets()
        }
    }

    /// The directory of the executors' journals and sockets.
    pub fn executors(&self) -> PathBuf {
        self.config.run_dir.join(shared::RUNNERS)
    }
}

/// The name and version of the program.
pub fn version() -> String {
    format!("cronwheel {}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn settings(line: &str) -> Settings {
        match Settings::from_arguments(line.split(' ').map(OsString::from).collect()) {
            Ok(Command::Run(settings)) => *settings,
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
        assert_eq!(settings.config.profile.profile, ProfileName::Cronie);
        assert_eq!(settings.config.places.spool, Path::new("/z"));
        assert_eq!(settings.config.places.cron_d, Path::new("/c"));
        assert_eq!(
            (settings.config.anacrontab.as_path(), settings.config.anacron_stamps.as_path()),
            (Path::new("/d"), Path::new("/e"))
        );
        assert_eq!((settings.config.run_dir.as_path(), settings.run_dir_given), (Path::new("/b"), false));
        let executor = settings.executor_config(Target::Stderr);
        assert_eq!((settings.log(), executor.mailer), (Some(Target::Stderr), Mailer::Off));
        assert_eq!((settings.config.foreground, executor.starts_in_flight.get()), (true, 8));
        assert_eq!(settings.config.watch, WatchMode::Inotify);
        for (options, watch) in [
            ("-i", WatchMode::Poll),
            ("-c", WatchMode::Poll),
            ("--watch auto", WatchMode::Auto),
            ("-i --watch inotify", WatchMode::Inotify),
        ] {
            let line = format!("crond --config {} {options}", config.display());
            assert_eq!(self::settings(&line).config.watch, watch, "{options}");
        }
    }

    #[test]
    fn arguments_after_debians_flags_for_the_system_are_no_files() {
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
    fn an_unknown_key_or_value_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("cronwheel.toml");
        for (text, named) in [
            ("spol = '/a'\n", ":1:1: error: unknown key spol; did you mean spool?"),
            ("starts-in-flight = 0\n", "starts-in-flight"),
            ("watch = 'closely'\n", "expected \"auto\", \"inotify\" or \"poll\", found 'closely'"),
            ("simple-commands = 'direct'\n", "unknown key simple-commands"),
        ] {
            std::fs::write(&config, text).unwrap();
            let line = ["crond".into(), "--profile=debian".into(), "--config".into(), config.clone().into()];
            let error = Settings::from_arguments(line.to_vec()).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains("cronwheel.toml"), "{error}");
        }
    }

    #[test]
    fn a_check_reports_every_fault_of_the_configuration_and_uses_its_other_values() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("cronwheel.toml");
        let check = |text: &str| {
            std::fs::write(&config, text).unwrap();
            settings(&format!("crond --check --config {}", config.display()))
        };
        let checked = check("spol = '/a'\nprofile = 'vixie'\nspool = '/z'\nwatch = 'closely'\n");
        let places = [":1:1: error: unknown key spol", ":2:11: error: profile: ", ":4:9: error: watch: "];
        assert_eq!(checked.config_faults.len(), places.len());
        for (fault, place) in checked.config_faults.iter().zip(places) {
            assert!(fault.contains(place), "{fault}");
        }
        assert_eq!((checked.mode, checked.config.places.spool.as_path()), (Mode::Check(Vec::new()), Path::new("/z")));
        let checked = check("spool = \n");
        assert!(matches!(&checked.config_faults[..], [fault] if fault.contains("this is not TOML")));
    }

    #[test]
    fn pages_are_printed_even_if_the_configuration_is_broken() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("cronwheel.toml");
        std::fs::write(&config, "=").unwrap();
        for page in ["--help", "--version"] {
            let line = ["crond".into(), "--config".into(), config.clone().into(), page.into()];
            assert!(matches!(Settings::from_arguments(line.to_vec()), Ok(Command::Page(_))), "{page}");
        }
    }

    #[test]
    fn the_mode_follows_from_files_and_flags() {
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
}
