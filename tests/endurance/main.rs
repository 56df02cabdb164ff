//! Long runs: a soak, and processes that are killed all the time. See tests/README.md for their commands.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test program, helpers included.

#[path = "../common/mod.rs"]
pub mod common;
#[path = "../clock/fake.rs"]
pub mod fake;

mod kills;
mod soak;
mod soak_checks;
mod soak_machine;
