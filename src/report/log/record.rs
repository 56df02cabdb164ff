//! One record of the log.

use crate::scheduler::RunId;

/// The tag of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ident {
    /// `cron` or `crond`: records about the daemon itself.
    Daemon,
    /// `CRON` or `CROND`: records about one job.
    Child,
    /// `crontab`: records about uses of that command.
    Crontab,
}

/// The severity of a record, one of those of syslog(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The severity of the reference implementations' ordinary lines.
    Info,
    /// Something went wrong with a job or a crontab.
    Warning,
    /// Something does not work at all: a line of a crontab, or the daemon.
    Error,
}

/// One record: `(USER) EVENT (DETAIL)` in the reference implementations' form, and fields for JSON and the journal.
#[derive(Clone, Debug)]
pub struct LogRecord<'a> {
    /// Whose record it is, which selects the tag.
    pub ident: Ident,
    /// The severity of the record.
    pub level: Level,
    /// The process id to show. None: this process's own.
    pub pid: Option<u32>,
    /// In the first parentheses: a user, `CRON`, `*system*backup`. If it is empty, there are no parentheses and `event` is the
    /// whole text.
    pub user: &'a str,
    /// The event, a word in capitals like `CMD` and `RELOAD`, or a message.
    pub event: &'a str,
    /// In the second parentheses, any bytes. Control bytes are escaped as the profile's reference implementation does.
    pub detail: &'a [u8],
    /// The text after the second parentheses, with its leading blank or colon: ` exit 3 after 12.4s`, `: Permission denied`.
    pub rest: &'a str,
    /// The run that the record is about.
    pub run: Option<RunId>,
    /// Further fields for JSON and the journal (`exit_code`, `signal`, `duration_ms`, `scheduled_at`, `late_ms`, `source`,
    /// `line`, `command`, `job`).
    pub fields: &'a [(&'static str, serde_json::Value)],
}

impl<'a> LogRecord<'a> {
    /// An ordinary line of the daemon about itself: `(CRON) EVENT (DETAIL)`.
    pub fn daemon(event: &'a str, detail: &'a [u8]) -> LogRecord<'a> {
        LogRecord {
            ident: Ident::Daemon,
            level: Level::Info,
            pid: None,
            user: "CRON",
            event,
            detail,
            rest: "",
            run: None,
            fields: &[],
        }
    }
}
