//! The `crond` program: see [`cronwheel::daemon`].

fn main() -> std::process::ExitCode {
    cronwheel::daemon::main()
}
