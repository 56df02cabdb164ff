//! Settings that main passes to an executor when it forks it.

use crate::profile::ProfileName;
use crate::report::Target;
use crate::report::mail::SENDMAIL;
use crate::sys::files;
use std::ffi::CStr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// The internal verb of cronctl that calls a web service.
pub const CALL_URL: &CStr = c"call-url";

/// Default time limit of a mailer. It is longer than a mail server waits for another server's greeting (RFC 5321, 4.5.3.2: five minutes),
/// so that only a mailer that hangs reaches it.
pub const MAILER_LIMIT: Duration = Duration::from_secs(600);

/// Default maximum number of processes that are being started at once. A higher number gains nothing, since these already occupy the
/// processors, and each takes memory and processor time from everything else on the machine.
pub const STARTS_IN_FLIGHT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// How long a start is retried while the system has no process or descriptor left.
pub(super) const RETRY_MS: i64 = 60_000;

/// The program that delivers mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mailer {
    /// The sendmail command line of the profile.
    Sendmail,
    /// A command line. The command finds the recipients in the headers of the message, as `sendmail -t` does.
    Command(String),
    /// No mailer. Output is dropped unless it goes to the log (cronie's `-m off`).
    Off,
}

/// Settings that main passes to an executor when it forks it.
#[derive(Clone, Debug)]
pub struct ExecutorConfig {
    /// Selects the behaviour of Debian's cron or of cronie.
    pub profile: ProfileName,
    /// The target of the log.
    pub log: Target,
    /// The program that delivers mail.
    pub mailer: Mailer,
    /// How long a mailer may take before it is killed.
    pub mailer_limit: Duration,
    /// Write output to the log instead of mailing it (cronie's `-s`).
    pub output_to_log: bool,
    /// Standalone mode: jobs run as the caller and with the caller's environment. Their output is written line by line to stdout and
    /// stderr.
    pub standalone: bool,
    /// Standalone mode: put the name of the job in front of each line of output. With [`Target::Json`] the lines are JSON objects instead.
    pub prefix_output: bool,
    /// Debian's `-L` mask: 1 starts, 2 ends, 4 failures, 8 with pid.
    pub log_mask: u8,
    /// Use the full host name in the Subject of mails (Debian's `-n`).
    pub full_host_name: bool,
    /// Pass the daemon's PATH to jobs (cronie's `-P`).
    pub inherit_path: bool,
    /// Maximum number of processes that are being started at once. Further starts wait in their order.
    pub starts_in_flight: NonZeroUsize,
    /// The location of the journal of runs.
    pub journal: JournalLocation,
}

/// The location of an executor's journal of runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum JournalLocation {
    /// No journal: later mains know nothing of the runs.
    #[default]
    Nowhere,
    /// A file in this directory, beside the socket to which a later main connects.
    Directory(PathBuf),
    /// A memory file that main shares. Only a program that main executes in its place can read it.
    Memory,
}

/// Whether output goes to the log because there is no mailer. cronie decides this once, when it starts, and logs it.
pub fn falls_back_to_log(config: &ExecutorConfig) -> bool {
    let cronie = config.profile == ProfileName::Cronie && config.mailer == Mailer::Sendmail;
    cronie && !config.standalone && !config.output_to_log && !files::is_executable(SENDMAIL)
}
