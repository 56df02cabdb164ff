//! The `crond` program.

/// Runs it; the exit status is the program's.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(1)
}
