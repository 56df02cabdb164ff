//! Tells what happened: syslog, the journal, stderr, JSON lines, mail.

mod count;
mod log;
pub mod mail;

pub use count::format_count;
pub use log::{Ident, Level, Log, LogRecord, Target, fields_of_start};
