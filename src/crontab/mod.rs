//! The crontab language: bytes in, entries and diagnostics out.
//!
//! Every line of a table becomes an entry, a setting, a comment or a diagnostic; an error in one line does not affect the others. [`Parser`] takes a table in
//! pieces, so that no file has to be in memory as a whole. A line is cut into its parts in `line`, a job line is read in `entry`, a
//! `NAME=VALUE` line in `setting` (where each name with a meaning has its row; those that make the [`Policy`] of the entries below have
//! theirs in `job_setting`), probable mistakes have a row each in `lints`, and whatever is wrong is a [`Diagnostic`] with its place. [`Anacrontab`] is the other language, that of
//! /etc/anacrontab.
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
