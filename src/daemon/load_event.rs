//! The results of loading crontabs: changes for the scheduler, and lines for the log.

use crate::crontab::{Calendars, Crontab};
use crate::report::Level;
use crate::schedule::Zone;
use crate::scheduler::Source;
use std::borrow::Cow;
use std::sync::Arc;

/// A change of the loaded crontabs or a line for the log.
#[derive(Debug)]
pub enum LoadEvent {
    /// A crontab is new or changed.
    Load { source: Source, table: Crontab },
    /// A crontab is gone or is not accepted any more.
    Unload {
        /// The path of its file.
        path: String,
    },
    /// The system's time zone has changed.
    SystemZone(Arc<Zone>),
    /// The calendars have been read, or have changed.
    Calendars(Calendars),
    /// A line to be logged.
    Log(LogLine),
}

/// Takes load events one by one: each crontab is passed on when it has been read, so that many are never in memory twice.
pub trait EventSink {
    /// Handles one event, before the next crontab is read.
    fn push(&mut self, event: LoadEvent);
}

impl EventSink for Vec<LoadEvent> {
    fn push(&mut self, event: LoadEvent) {
        Vec::push(self, event);
    }
}

/// A line of the log, `(USER) EVENT (DETAIL)REST`; the event alone where the user is empty.
#[derive(Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The severity of the line.
    pub level: Level,
    /// The user in the line.
    pub user: String,
    /// The event, a word in capitals or a message.
    pub event: Cow<'static, str>,
    /// The text in the second parentheses.
    pub detail: String,
    /// The kernel's reason after a colon, or nothing.
    pub rest: String,
    /// The line of the crontab that it is about.
    pub line: Option<usize>,
}

impl LogLine {
    /// A line about the daemon itself: `(CRON) EVENT (DETAIL)`.
    pub fn of_daemon(level: Level, event: &'static str, detail: String) -> LogLine {
        let (user, rest) = ("CRON".to_owned(), String::new());
        LogLine { level, user, event: event.into(), detail, rest, line: None }
    }

    /// The line with the kernel's reason added.
    pub fn with_reason(self, reason: &str) -> LogLine {
        LogLine { rest: format!(": {reason}"), ..self }
    }
}
