//! The crontab language: bytes in, entries and diagnostics out.
//!
//! Every line of a table becomes an entry, a setting, a comment or a diagnostic; a bad line costs only itself.
//! [`Table::parse`] is the way in, [`Checker`] the one for a table that is only judged. A line is cut into its parts in `line`, a job line is read in `entry`, a
//! `NAME=VALUE` line in `setting` (where each name with a meaning has its row), and whatever is wrong is a
//! [`Diagnostic`] with its place. [`Anacrontab`] is the other language, that of /etc/anacrontab.
#![forbid(unsafe_code)]

mod anacrontab;
mod checker;
mod command;
mod diagnostic;
mod entry;
mod excerpt;
mod line;
mod parse;
mod setting;
mod store;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod random;
#[cfg(test)]
mod tables;

pub use anacrontab::{AnacronJob, Anacrontab, Hours, Period};
pub use checker::Checker;
pub use command::{Backslash, Command};
pub use diagnostic::{Diagnostic, Severity};
pub use entry::BAD_USER;
pub use excerpt::printable;
pub use parse::{Context, Dialect, Form, Limits, NO_NEWLINE, Parsed};
pub use setting::{is_safe_mailto, settings};
pub use store::{Entry, Flags, Setting, Table};
