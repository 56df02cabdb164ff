//! Tells what happened: syslog, the journal, stderr, JSON lines, mail.

mod log;
pub mod mail;

pub use log::{Ident, Level, Log, LogRecord, Target, fields_of_start};
