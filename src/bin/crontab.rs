//! The `crontab` program: see [`cronwheel::crontab`].

fn main() -> std::process::ExitCode {
    cronwheel::crontab::main()
}
