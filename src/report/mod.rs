//! Reports what happened: to syslog, the journal, standard error, as JSON lines, and by mail.

mod count;
mod log;
pub mod mail;
pub mod text;

pub use count::format_count;
pub use log::{Ident, Level, Log, LogRecord, Target, ZoneSource, fields_of_start};
