//! The `crontab` program: see [`cronwheel::cli::crontab`].

fn main() -> std::process::ExitCode {
    cronwheel::cli::crontab::main()
}
