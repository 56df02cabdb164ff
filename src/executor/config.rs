//! What an executor is told once, at its start.

use crate::profile::ProfileName;
use crate::report::Target;
use crate::report::mail::SENDMAIL;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// How long a mailer may take, unless told otherwise: longer than a mail server's own poll_timeout with another server's greeting (RFC 5321,
/// 4.5.3.2: five minutes), so that only one that hangs is hit.
pub const MAILER_LIMIT: Duration = Duration::from_secs(600);

/// Most processes on their way to their command at once, unless told otherwise. More gain nothing, as the processors are busy with
/// these; each takes memory and its turn at the processor from everything else on the machine.
pub const STARTS_IN_FLIGHT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// How long a start is tried again while the system has no process or descriptor left.
pub(super) const RETRY_MS: i64 = 60_000;

/// What delivers mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mailer {
    /// The profile's sendmail command line.
    Sendmail,
    /// This command instead, told the recipients as `sendmail -t` is: by the message's headers.
    Command(String),
    /// None: output is dropped, unless it goes to the log (cronie's `-m off`).
    Off,
}

/// What an executor is told once, at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whose behaviour it follows: Debian's cron or cronie.
    pub profile: ProfileName,
    /// Where its log lines go.
    pub log: Target,
    /// The program that delivers mail.
    pub mailer: Mailer,
    /// How long a mailer may take before it is killed.
    pub mailer_limit: Duration,
    /// Output to the log instead of mail (cronie `-s`).
    pub output_to_log: bool,
    /// Standalone: jobs run as the caller with the caller's environment, output line by line to stdout and stderr.
    pub standalone: bool,
    /// Debian's `-L` mask: 1 starts, 2 ends, 4 failures, 8 with pid.
    pub log_mask: u8,
    /// Debian's `-n`: the full host name in Subject.
    pub full_host_name: bool,
    /// cronie's `-P`: jobs get the daemon's PATH.
    pub inherit_path: bool,
    /// Most processes on their way to their command at once; what is due beyond that waits, in order.
    pub starts_in_flight: NonZeroUsize,
    /// Where it keeps its journal of runs.
    pub journal: JournalLocation,
}

/// Where an executor keeps its journal of runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum JournalLocation {
    /// Nowhere: whatever comes after it knows nothing of its runs.
    #[default]
    Nowhere,
    /// In this directory, together with the socket on which a later main can reach it.
    Directory(PathBuf),
    /// In memory that main shares: only a program that is executed in main's place can know it.
    Memory,
}

/// Whether output should go to the log because there is no mailer: cronie decides so once, at its start, and says so.
pub fn falls_back_to_log(config: &Config) -> bool {
    let cronie = config.profile == ProfileName::Cronie && config.mailer == Mailer::Sendmail;
    cronie && !config.standalone && !config.output_to_log && !crate::sys::files::is_executable(SENDMAIL)
}
