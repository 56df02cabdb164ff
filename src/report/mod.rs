//! Tells what happened: syslog, stderr, JSON lines, mail.

mod log;
pub mod mail;

pub use log::{Ident, Level, Log, Record, Target};
