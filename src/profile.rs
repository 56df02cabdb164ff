//! What differs between Debian's cron and cronie, as constants: paths, ids, wording. One field a difference.
#![forbid(unsafe_code)]

use crate::crontab::{Backslash, Dialect, Limits};
use std::ffi::CStr;

/// Which reference implementation is being replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProfileName {
    /// Debian's cron package, 3.0pl1-162.
    Debian,
    /// cronie as on Fedora and RHEL, 1.7.2.
    Cronie,
}

/// Everything that depends on the profile.
#[derive(Debug)]
pub struct Profile {
    /// The profile it is for.
    pub profile: ProfileName,
    /// Its name for `--profile`.
    pub name: &'static str,
    /// The users' tables.
    pub spool: &'static str,
    /// Where the daemon's log names a users' table from: Debian's daemon stands there.
    pub log_base: &'static str,
    /// The daemon's log tag; a job's process logs under its upper-case form.
    pub daemon_tag: &'static str,
    /// The log tag of the process that starts a job.
    pub child_tag: &'static str,
    /// The `@reboot` marker's file name in the run directory.
    pub reboot_marker: &'static str,
    /// The PAM service of a job.
    pub pam_service: &'static str,
    /// The tag under which PAM's modules log, up to the opened session and from then on.
    pub pam_tags: [&'static CStr; 2],
    /// Whether root's jobs in system tables go without PAM (cronie).
    pub pam_skips_root_system_jobs: bool,
    /// `PATH` of a job when nothing sets it.
    pub default_path: &'static str,
    /// Whether a job gets `USER` (cronie).
    pub sets_user: bool,
    /// Whether a job is started in `/` when its HOME cannot be entered (Debian), or not at all (cronie).
    pub runs_without_home: bool,
    /// Whether a job's mail waits until its background processes have closed its output (cronie).
    pub mail_waits_for_pipe: bool,
    /// Whether anybody may use crontab(1) when neither allow nor deny exists.
    pub open_to_all: bool,
    /// `\\` before the first `%`.
    pub backslash: Backslash,
    /// The language's bounds.
    pub dialect: Dialect,
}

/// Debian's cron package.
pub static DEBIAN: Profile = Profile {
    profile: ProfileName::Debian,
    name: "debian",
    spool: "/var/spool/cron/crontabs",
    log_base: "/var/spool/cron/",
    daemon_tag: "cron",
    child_tag: "CRON",
    reboot_marker: "crond.reboot",
    pam_service: "cron",
    pam_tags: [c"CRON", c"CRON"],
    pam_skips_root_system_jobs: false,
    default_path: "/usr/bin:/bin",
    sets_user: false,
    runs_without_home: true,
    mail_waits_for_pipe: false,
    open_to_all: true,
    backslash: Backslash::Halved,
    dialect: Dialect {
        limits: Limits {
            command: 998,
            user_lines: Some(10_000),
            user_entries: None,
            user_settings: None,
            user_bytes: 16 << 20,
            system_bytes: 64 << 20,
            header_lines: 3,
        },
        refuse_unsafe_mailto: true,
    },
};

/// cronie as on Fedora and RHEL.
pub static CRONIE: Profile = Profile {
    profile: ProfileName::Cronie,
    name: "cronie",
    spool: "/var/spool/cron",
    log_base: "",
    daemon_tag: "crond",
    child_tag: "CROND",
    reboot_marker: "cron.reboot",
    pam_service: "crond",
    pam_tags: [c"crond", c"CROND"],
    pam_skips_root_system_jobs: true,
    default_path: "/usr/bin:/bin:/usr/sbin:/sbin",
    sets_user: true,
    runs_without_home: false,
    mail_waits_for_pipe: true,
    open_to_all: false,
    backslash: Backslash::Kept,
    dialect: Dialect {
        limits: Limits {
            command: 131_071,
            user_lines: None,
            user_entries: Some(10_000),
            user_settings: Some(1_000),
            user_bytes: 16 << 20,
            system_bytes: 64 << 20,
            header_lines: 0,
        },
        refuse_unsafe_mailto: false,
    },
};

/// The system tables and lists that both reference implementations share.
pub mod shared {
    /// The system table.
    pub const SYSTEM_CRONTAB: &str = "/etc/crontab";
    /// Drop-in tables.
    pub const CRON_D: &str = "/etc/cron.d";
    /// Who may use crontab(1).
    pub const ALLOW: &str = "/etc/cron.allow";
    /// Who may not.
    pub const DENY: &str = "/etc/cron.deny";
    /// PID file, lock, markers.
    pub const RUN_DIR: &str = "/run";
    /// The directory in the run directory that holds journals of runs and sockets.
    pub const RUNNERS: &str = "cronwheel";
    /// The PID file's name in the run directory.
    pub const PID_FILE: &str = "crond.pid";
    /// The name in the run directory of the socket at which `crontab` wakes the daemon.
    pub const WAKE_SOCKET: &str = "cronwheel.wake";
    /// History.
    pub const STATE_DIR: &str = "/var/lib/cronwheel";
    /// Anacron jobs.
    pub const ANACRONTAB: &str = "/etc/anacrontab";
    /// The days on which they ran last.
    pub const ANACRON_STAMPS: &str = "/var/spool/anacron";
    /// The program that sees to them where it is installed.
    pub const ANACRON: &str = "/usr/sbin/anacron";
    /// Where both reference implementations read whether those jobs run on battery too.
    pub const ANACRON_DEFAULTS: &str = "/etc/default/anacron";
    /// Settings of our own.
    pub const CONFIG: &str = "/etc/cronwheel.toml";
    /// Most bytes of them, and of any other file of settings: a larger one is refused.
    pub const LARGEST_CONFIG: usize = 1 << 20;
}

impl ProfileName {
    /// The profile of that name.
    pub fn named(name: &str) -> Option<ProfileName> {
        [&DEBIAN, &CRONIE].into_iter().find(|profile| profile.name == name).map(|profile| profile.profile)
    }

    /// Its constants.
    pub fn profile(self) -> &'static Profile {
        match self {
            ProfileName::Debian => &DEBIAN,
            ProfileName::Cronie => &CRONIE,
        }
    }

    /// What os-release(5) says: `ID` or `ID_LIKE` naming Debian gives Debian, everything else cronie.
    pub fn from_os_release(text: &str) -> ProfileName {
        let debian = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .filter(|(key, _)| matches!(*key, "ID" | "ID_LIKE"))
            .flat_map(|(_, value)| value.trim_matches(['"', '\'']).split_whitespace())
            .any(|word| word == "debian");
        if debian { ProfileName::Debian } else { ProfileName::Cronie }
    }
}
