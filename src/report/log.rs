//! The log: one record in, one line out, to the place that was asked for. Never blocks, never fails the caller.
//!
//! What cannot be written at once is kept in a bounded queue; what does not fit there is counted, and the count is told
//! as soon as something can be written again.

mod line;
mod sink;

use crate::plan::RunId;
use crate::site::Site;
use crate::sys::clock;
use sink::Sink;

/// Where the log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
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
    /// Something does not work at all: a line of a table, or the daemon.
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
    /// What follows the second parentheses, its leading blank or colon included: ` exit 3 after 12.4s`, `: Permission denied`.
    pub rest: &'a str,
    /// The run it is about.
    pub run: Option<RunId>,
    /// More fields for JSON (`exit_code`, `signal`, `duration_ms`, `scheduled_at`, `late_ms`, `source`, `line`, `command`, `job`).
    pub fields: &'a [(&'static str, serde_json::Value)],
}

/// An open log.
#[derive(Debug)]
pub struct Log {
    target: Target,
    site: &'static Site,
    sink: Sink,
}

impl Log {
    /// Opens it; a /dev/log that is not there yet is no error (tried again at each record).
    pub fn open(target: Target, site: &'static Site) -> Log {
        let sink = match target {
            Target::Syslog => Sink::to_socket("/dev/log"),
            Target::Stderr | Target::Json => Sink::to_stderr(),
        };
        Log { target, site, sink }
    }

    /// Whether /dev/log answers: without it a daemon in the foreground logs to standard error.
    pub fn syslog_answers() -> bool {
        Sink::to_socket("/dev/log").answers()
    }

    /// Writes a record: never blocks, counts what had to be dropped and says so when it can again.
    pub fn write(&mut self, record: &Record<'_>) {
        self.flush();
        let line = self.format(record);
        self.sink.send(line);
    }

    /// Connects anew (HUP, a restarted syslog daemon).
    pub fn reopen(&mut self) {
        self.sink.reopen();
        self.flush();
    }

    /// Whether records wait because the log could not take them; [`Log::flush`] tries again.
    pub fn waits(&self) -> bool {
        self.sink.waits()
    }

    /// In how many milliseconds [`Log::flush`] is to be called for what waits, if anything does.
    pub fn retry_ms(&self) -> Option<i64> {
        self.sink.waits().then(|| self.sink.retry_ms())
    }

    /// Writes what waits, as far as that does not block, and tells how many records were lost.
    pub fn flush(&mut self) {
        if !self.sink.waits() {
            return;
        }
        self.sink.flush();
        if let Some(lost) = self.sink.take_lost() {
            let detail = format!("{lost} log records lost: the log did not take them");
            let told = self.format(&Record {
                ident: Ident::Daemon,
                level: Level::Warning,
                pid: None,
                user: "CRON",
                event: "WARNING",
                detail: detail.as_bytes(),
                rest: "",
                run: None,
                fields: &[],
            });
            self.sink.send(told);
        }
    }

    fn format(&self, record: &Record<'_>) -> Vec<u8> {
        let tag = match record.ident {
            Ident::Daemon => self.site.daemon_tag,
            Ident::Child => self.site.child_tag,
            Ident::Crontab => "crontab",
        };
        let pid = record.pid.unwrap_or_else(std::process::id);
        let now = clock::wall();
        match self.target {
            Target::Syslog => line::syslog(record, tag, pid, &clock::local(now.seconds)),
            Target::Stderr => line::text(record, tag, pid, &clock::local(now.seconds)),
            Target::Json => line::json(record, pid, now),
        }
    }
}

impl<'a> Record<'a> {
    /// An ordinary line of the daemon about itself: `(CRON) INFO (DETAIL)`.
    pub fn daemon(event: &'a str, detail: &'a [u8]) -> Record<'a> {
        Record {
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
