//! The targets: each reads any bytes as one of the inputs of the programs and asserts what must be true of the result. A target that finds a
//! fault panics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a target that finds a fault panics")]

mod access;
mod anacrontab;
mod calendar;
#[path = "../../differential/classic.rs"]
mod classic;
mod command;
mod config;
mod daemon_state;
mod executor_journal;
mod history_journal;
#[cfg(feature = "web")]
mod http;
mod input;
mod mail;
mod schedule;
mod settings;
mod table;
mod varlink;
mod wire;
mod zone;

/// A function that feeds one input to the code under test.
pub type Target = fn(&[u8]);

/// All targets with their names, which are those of their corpora.
pub const TARGETS: &[(&str, Target)] = &[
    ("access", access::run),
    ("anacrontab", anacrontab::run),
    ("calendar", calendar::run),
    ("command", command::run),
    ("config", config::run),
    ("daemon_state", daemon_state::run),
    ("executor_journal", executor_journal::run),
    ("history_journal", history_journal::run),
    #[cfg(feature = "web")]
    ("http", http::run),
    ("mail", mail::run),
    ("schedule", schedule::run),
    ("settings", settings::run),
    ("table", table::run),
    ("varlink", varlink::run),
    ("wire", wire::run),
    ("zone", zone::run),
];

pub fn named(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
