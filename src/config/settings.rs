//! The configuration of a program: the command line's values, else those of /etc/cronwheel.toml, else the profile's.

use super::file::{LogTarget, Values, WatchMode};
use super::fleet::FleetConfig;
use crate::profile::{Profile, ProfileName, shared};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

/// How long running jobs may take to end in a standalone daemon that was told to stop, unless it is configured.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// How many jobs have metrics of their own, unless it is configured.
const METRICS_JOBS: usize = 2_000;

/// Paths of the crontabs of the system and its users.
#[derive(Clone, Debug)]
pub struct Places {
    /// Directory of the users' tables, one file a user.
    pub spool: PathBuf,
    /// The system table, usually /etc/crontab.
    pub system_crontab: PathBuf,
    /// Directory of further system tables, usually /etc/cron.d.
    pub cron_d: PathBuf,
}

/// The configuration of all programs.
#[derive(Clone, Debug)]
pub struct Config {
    /// What follows from the reference implementation that is replaced.
    pub profile: &'static Profile,
    /// Paths of the crontabs of the system and its users.
    pub places: Places,
    /// PID file, lock, sockets, markers.
    pub run_dir: PathBuf,
    /// The directory of files that must outlive a boot.
    pub state_dir: PathBuf,
    /// The table of anacron jobs, usually /etc/anacrontab.
    pub anacrontab: PathBuf,
    /// The days on which they ran last.
    pub anacron_stamps: PathBuf,
    /// Where to log. `None`: the program decides.
    pub log: Option<LogTarget>,
    /// Command that delivers mail, or `off`; `None`: the program decides.
    pub mailer: Option<String>,
    /// Whether the daemon stays in the foreground.
    pub foreground: bool,
    /// Group whose members may do with jobs what root may.
    pub control_group: Option<String>,
    /// Group whose members see all jobs.
    pub view_group: Option<String>,
    /// How the daemon notices changed crontabs.
    pub watch: WatchMode,
    /// How long running jobs may take to end in a standalone daemon that was told to stop.
    pub stop_timeout: Duration,
    /// Most jobs whose processes are being started at once; `None`: the executor's default.
    pub starts_in_flight: Option<NonZeroUsize>,
    /// What the history of runs keeps.
    pub history: HistoryConfig,
    /// Most jobs with metrics of their own.
    pub metrics_jobs: usize,
    /// The fleet that this machine belongs to.
    pub fleet: Option<FleetConfig>,
}

/// What the history of runs keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryConfig {
    /// Whether a history is kept.
    pub is_kept: bool,
    /// Days for which rows are kept.
    pub days: u32,
    /// Bytes that are kept of the beginning of a run's output, and as many of its end.
    pub output: u64,
    /// Rows that are kept for each job.
    pub runs: u32,
    /// Bytes of the database.
    pub size: u64,
}

impl HistoryConfig {
    fn resolve(file: &Values) -> HistoryConfig {
        HistoryConfig {
            is_kept: file.history.unwrap_or(true),
            days: file.history_days.map_or(90, NonZeroU32::get),
            output: file.history_output.unwrap_or(32 << 10),
            runs: file.history_runs.map_or(1_000, NonZeroU32::get),
            size: file.history_size.unwrap_or(1 << 30),
        }
    }
}

impl Config {
    /// Combines the values: those of the command line override the file's, which override the profile's.
    pub fn resolve(profile: ProfileName, given: Values, file: Values) -> Config {
        let profile = profile.profile();
        let history = HistoryConfig::resolve(&file);
        let path =
            |given: Option<PathBuf>, file: Option<PathBuf>, usual: &str| given.or(file).unwrap_or_else(|| usual.into());
        Config {
            profile,
            places: Places {
                spool: path(given.spool, file.spool, profile.spool),
                system_crontab: path(given.system_crontab, file.system_crontab, shared::SYSTEM_CRONTAB),
                cron_d: path(given.cron_d, file.cron_d, shared::CRON_D),
            },
            run_dir: path(given.run_dir, file.run_dir, shared::RUN_DIR),
            state_dir: path(given.state_dir, file.state_dir, shared::STATE_DIR),
            anacrontab: path(given.anacrontab, file.anacrontab, shared::ANACRONTAB),
            anacron_stamps: path(given.anacron_stamps, file.anacron_stamps, shared::ANACRON_STAMPS),
            log: given.log.or(file.log),
            mailer: given.mailer.or(file.mailer),
            foreground: given.foreground.or(file.foreground).unwrap_or(false),
            control_group: file.control_group,
            view_group: file.view_group,
            watch: given.watch.or(file.watch).unwrap_or_default(),
            stop_timeout: given.stop_timeout.or(file.stop_timeout).unwrap_or(STOP_TIMEOUT),
            history,
            metrics_jobs: file.metrics_jobs.map_or(METRICS_JOBS, |jobs| jobs.get() as usize),
            starts_in_flight: given.starts_in_flight.or(file.starts_in_flight),
            fleet: file.fleet,
        }
    }

    /// Makes all paths absolute, for a program that leaves its directory.
    pub fn make_paths_absolute(&mut self) {
        let Config { places, run_dir, state_dir, anacrontab, anacron_stamps, .. } = self;
        let Places { spool, system_crontab, cron_d } = places;
        for path in [spool, system_crontab, cron_d, run_dir, state_dir, anacrontab, anacron_stamps] {
            if let Ok(absolute) = std::path::absolute(&*path) {
                *path = absolute;
            }
        }
    }
}
