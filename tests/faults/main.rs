//! System calls that fail: `crontab`, main, executor and recorder with an error or a kill at each of their calls, as strace injects them.
//!
//! A run of the suite takes a sample: see `plan.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test program, helpers included.

#[path = "../common/mod.rs"]
pub mod common;

mod commands;
mod daemon;
mod plan;
