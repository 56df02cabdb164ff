//! The `crond` program.

pub mod cli;
mod marker;
mod record;
mod settings;
mod users;

/// Runs it; the exit status is the program's.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(1)
}
