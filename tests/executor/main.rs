//! The executor as a black box: orders in, processes, notices, log lines and mail out. As root, each test on a machine of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test program, helpers included.
#![allow(unsafe_code)] // Only to set what the executor is started with: its environment, an ignored signal.

#[path = "../common/mod.rs"]
pub mod common;

mod cgroups;
mod ends;
mod environment;
mod harness;
mod jobs;
mod mail;
mod output;
mod pam;
mod pressure;
