//! The `cronctl` program: see [`cronwheel::cronctl`].

fn main() -> std::process::ExitCode {
    cronwheel::cronctl::main()
}
