//! Parsing, next occurrences and the wheel by themselves, beside the crates `cron`, `croner` and `saffron`.
//!
//! `cargo bench --bench schedule [-- FILTER]`. Each figure is for one item: a schedule, an occurrence, a line, a timer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test program, though not inside a #[test].

mod next;
mod parse;
mod samples;
#[path = "../../common/utc.rs"]
mod utc;
mod wheel;

fn main() {
    divan::main();
}
