//! The `cronctl` program: see [`cronwheel::cli::cronctl`].

fn main() -> std::process::ExitCode {
    cronwheel::cli::cronctl::main()
}
