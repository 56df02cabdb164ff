//! The differences between Debian's cron and cronie as constants: paths, names and rules. Each difference has a field.
#![forbid(unsafe_code)]

use crate::crontab::{Backslash, Dialect, Limits};
use std::ffi::CStr;

/// The reference implementation that is being replaced.
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
    /// The reference implementation that it describes.
    pub profile: ProfileName,
    /// The name by which `--profile` selects it.
    pub name: &'static str,
    /// The directory of the users' crontabs.
    pub spool: &'static str,
    /// The prefix that the daemon's log omits from paths of users' crontabs. It is the working directory of Debian's daemon.
    pub log_base: &'static str,
    /// The daemon's log tag; a job's process logs under its upper-case form.
    pub daemon_tag: &'static str,
    /// The log tag for records about jobs.
    pub child_tag: &'static str,
    /// The `@reboot` marker's file name in the run directory.
    pub reboot_marker: &'static str,
    /// The PAM service of a job.
    pub pam_service: &'static str,
    /// The tag under which PAM's modules log, up to the opened session and from then on.
    pub pam_tags: [&'static CStr; 2],
    /// Whether root's jobs in system crontabs run without PAM (cronie).
    pub pam_skips_root_system_jobs: bool,
    /// `PATH` of a job when nothing sets it.
    pub default_path: &'static str,
    /// Whether a job gets `USER` (cronie).
    pub sets_user: bool,
    /// Whether a job whose HOME cannot be entered is started in `/` (Debian) or not at all (cronie).
    pub runs_without_home: bool,
    /// Whether a job's mail waits until its background processes have closed its output (cronie).
    pub mail_waits_for_pipe: bool,
    /// Whether everybody may use crontab(1) if neither cron.allow nor cron.deny exists.
    pub open_to_all: bool,
    /// The treatment of `\\` before the first `%` of a command.
    pub backslash: Backslash,
    /// The limits of the crontab language.
    pub dialect: Dialect,
}

/// The constants of Debian's cron package.
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
        address_marks: b"@!:%-.,_+=/",
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
        address_marks: b"@!:%-.,_+",
    },
};

/// The paths that both reference implementations share, and those of this project.
pub mod shared {
    /// The path of the system crontab.
    pub const SYSTEM_CRONTAB: &str = "/etc/crontab";
    /// The directory of drop-in crontabs.
    pub const CRON_D: &str = "/etc/cron.d";
    /// The directory of calendars that `CRON_EXCEPT` names.
    pub const CALENDARS: &str = "/etc/cronwheel/calendars";
    /// The list of users who may use crontab(1).
    pub const ALLOW: &str = "/etc/cron.allow";
    /// The list of users who may not.
    pub const DENY: &str = "/etc/cron.deny";
    /// The directory of the PID file, the lock and markers.
    pub const RUN_DIR: &str = "/run";
    /// The directory in the run directory that holds journals of runs and sockets.
    pub const RUNNERS: &str = "cronwheel";
    /// The PID file's name in the run directory.
    pub const PID_FILE: &str = "crond.pid";
    /// The name in the run directory of the socket at which `crontab` wakes the daemon.
    pub const WAKE_SOCKET: &str = "cronwheel.wake";
    /// The directory for permanent state.
    pub const STATE_DIR: &str = "/var/lib/cronwheel";
    /// The table of anacron jobs.
    pub const ANACRONTAB: &str = "/etc/anacrontab";
    /// The directory of files with the days on which anacron jobs last ran.
    pub const ANACRON_STAMPS: &str = "/var/spool/anacron";
    /// The anacron program. If it is installed, it runs these jobs.
    pub const ANACRON: &str = "/usr/sbin/anacron";
    /// The file that says whether these jobs run on battery power too.
    pub const ANACRON_DEFAULTS: &str = "/etc/default/anacron";
    /// The configuration file of this project.
    pub const CONFIG: &str = "/etc/cronwheel.toml";
    /// The maximum size of a configuration file in bytes. A larger one is refused.
    pub const LARGEST_CONFIG: usize = 1 << 20;
}

impl ProfileName {
    /// Looks up a profile by its name for `--profile`.
    pub fn named(name: &str) -> Option<ProfileName> {
        [&DEBIAN, &CRONIE].into_iter().find(|profile| profile.name == name).map(|profile| profile.profile)
    }

    /// The constants of this profile.
    pub fn profile(self) -> &'static Profile {
        match self {
            ProfileName::Debian => &DEBIAN,
            ProfileName::Cronie => &CRONIE,
        }
    }

    /// The profile for a system, from the text of os-release(5): Debian if `ID` or `ID_LIKE` contains `debian`, cronie
    /// otherwise.
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
