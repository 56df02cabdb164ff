//! The log: one record in, one line out, to the place that was asked for. Never blocks, never fails the caller.

use crate::plan::RunId;
use crate::site::Site;

/// Where the log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Target {
    /// The /dev/log socket, RFC 3164 form, facility cron.
    Syslog,
    /// Lines on standard error.
    Stderr,
    /// JSON lines on standard error.
    Json,
}

/// Under which tag it is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ident {
    /// `cron` or `crond`.
    Daemon,
    /// `CRON` or `CROND`: whatever concerns one job.
    Child,
    /// `crontab`.
    Crontab,
}

/// How loud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// As the incumbents' ordinary lines.
    Info,
    /// Something went wrong with a job or a table.
    Warning,
    /// Something went wrong with the daemon.
    Error,
}

/// One thing to tell: `(USER) EVENT (DETAIL)` in the incumbents' form, and fields for JSON.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// Tag.
    pub ident: Ident,
    /// Loudness.
    pub level: Level,
    /// The process id to show; none: our own.
    pub pid: Option<u32>,
    /// In the first parentheses: a user, `CRON`, `*system*backup`. Empty: no parentheses, `event` is the whole text.
    pub user: &'a str,
    /// `CMD`, `RELOAD`.
    pub event: &'a str,
    /// In the second parentheses, any bytes; control bytes are escaped as the profile's incumbent does.
    pub detail: &'a [u8],
    /// The run it is about.
    pub run: Option<RunId>,
    /// More fields for JSON (`exit_code`, `signal`, `duration_ms`, `scheduled_at`, `late_ms`, `source`, `line`, `command`, `job`).
    pub fields: &'a [(&'static str, serde_json::Value)],
}

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("opening the log: {0}")]
pub struct LogError(#[from] std::io::Error);

/// An open log.
#[derive(Debug)]
pub struct Log {}

impl Log {
    /// Opens it; a /dev/log that is not there yet is no error (tried again at each record).
    pub fn open(target: Target, site: &'static Site) -> Log {
        let _ = (target, site);
        todo!()
    }
    /// Writes a record: never blocks, counts what had to be dropped and says so when it can again.
    pub fn write(&mut self, record: &Record<'_>) {
        let _ = record;
        todo!()
    }
    /// Connects anew (HUP, a restarted syslog daemon).
    pub fn reopen(&mut self) {
        todo!()
    }
}
