//! The crontab language: bytes in, entries and diagnostics out.
//!
//! Every line of a crontab becomes an entry, a setting, a comment or a diagnostic; an error in one line does not affect the others. [`Parser`]
//! takes a crontab in pieces, so that no file has to be in memory as a whole.
//!
//! | file | content |
//! |---|---|
//! | `parse`, `line`, `context` | the parser; lines and the steps by which one is read; what a crontab is read with |
//! | `entry`, `command`, `form` | job lines; the command and its standard input; user and system crontabs |
//! | `setting`, `environment` | `NAME=VALUE` lines, with a row for each name that has a meaning; the size of the environment |
//! | `job_setting`, `job_scope`, `duration` | the settings `CRON_...`, one row each; which of them hold for an entry; durations as text |
//! | `policy`, `fleet_rule`, `after` | what these settings and `@after` make of an entry |
//! | `lints`, `policy_warnings`, `spelling` | probable mistakes, one row each; policies that do not suit the schedule; similar words |
//! | `diagnostic`, `excerpt` | a message about a line, with its place; the piece of the line that it shows |
//! | `store`, `intern`, `shared_bytes`, `memory` | the parsed crontab; sharing of equal parts; allocations that may fail |
//! | `calendar` | calendar files, for `CRON_EXCEPT` |
//! | `anacrontab` | the other language, that of /etc/anacrontab |
#![forbid(unsafe_code)]

mod after;
mod anacrontab;
mod calendar;
mod command;
mod context;
mod diagnostic;
mod duration;
mod entry;
mod environment;
mod excerpt;
mod fleet_rule;
mod form;
mod intern;
mod job_scope;
mod job_setting;
mod line;
mod lints;
mod memory;
mod parse;
mod policy;
mod policy_warnings;
mod setting;
mod shared_bytes;
mod spelling;
mod store;

#[cfg(test)]
mod cases_tests;
#[cfg(test)]
mod fleet_tests;
#[cfg(test)]
mod job_setting_tests;
#[cfg(test)]
mod lints_tests;
#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod tables_tests;

pub use crate::schedule::{printable, printable_lines};
pub use anacrontab::{AnacronJob, Anacrontab, Hours, LARGEST_ANACRONTAB, Period};
pub use calendar::{Calendars, FaultyCalendar, parse_calendar};
pub use command::{Backslash, Command};
pub use context::{Context, Dialect, FleetNames, KnownNames, Limits, Machine};
pub use diagnostic::{Diagnostic, Severity};
pub use duration::parse as parse_duration;
pub use entry::BAD_USER;
pub use environment::LARGEST_ENVIRONMENT;
pub use excerpt::{fit_width, terminal_width};
pub use fleet_rule::{FleetAway, FleetMode, FleetOrder, FleetRule, NodeSelection};
pub use form::Form;
pub use job_setting::{Applies, JobSetting, is_calendar_name, is_hidden_from_jobs, is_job_setting, job_settings};
pub use memory::OutOfMemory;
pub use parse::{MOST_LISTED, NO_NEWLINE, Parsed, Parser, Unlisted};
pub use policy::{
    Alert, CatchUp, CatchUpMode, Exceptions, ExitStatuses, Group, HistoryRule, Hooks, IoClass, MailRule, Overlap, Ping,
    Policy, ResourceLimits, Retry,
};
pub use setting::{is_safe_address, settings};
pub use shared_bytes::SharedBytes;
pub use store::{Crontab, Entry, Flags, Links, Setting, Timing};
