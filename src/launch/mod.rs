//! Starts a job as its owner: runner, keeper, identity, PAM, output, mail.

mod client;

pub use client::{Config, LaunchError, Mailer, Notice, Runner};
