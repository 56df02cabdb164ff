//! The crontab language: bytes in, entries and diagnostics out.
//!
//! Every line of a table becomes an entry, a setting, a comment or a diagnostic; a bad line costs only itself.
#![forbid(unsafe_code)]

mod command;
mod diagnostic;
mod parse;

pub use command::{Backslash, Command};
pub use diagnostic::{Diagnostic, Severity};
pub use parse::{Context, Dialect, Entry, Flags, Form, Limits, Parsed, Setting, Table};
