//! The `crond` program: see [`cronwheel::crond`].

fn main() -> std::process::ExitCode {
    cronwheel::crond::main()
}
