//! The `crond` program: wires the world to the plan.
//!
//! [`cli`] and `settings` say what is asked; `start` makes a `daemon`, whose one loop hears the clock, signals, the runner and the
//! `library` of tables (which a `watch` keeps up to date), asks the plan, and does what it answers; `stop` ends it.

mod check;
pub mod cli;
mod daemon;
mod given;
mod library;
mod marker;
mod now;
mod record;
mod settings;
mod start;
mod stop;
mod tables;
mod users;
mod watch;

use crate::sys::daemon::{Inherited, Promise, Role, Verdict};
use crate::sys::notify_socket::NotifySocket;
use crate::sys::{daemon as process, signal};
use settings::{Asked, Mode, Settings};
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

/// Runs it; the exit status is the program's.
pub fn main() -> ExitCode {
    // First of all, so that no signal can end us from here on.
    let blocked = signal::block();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let name = start::program_name(arguments.first().map(OsString::as_os_str));
    let done = blocked
        .and_then(|()| process::fill_standard_streams())
        .map_err(|why| format!("starting: {why}"))
        .and_then(|()| Settings::from_arguments(arguments).map_err(|why| why.to_string()))
        .and_then(|asked| match asked {
            Asked::Page(text) => io::stdout().write_all(text.as_bytes()).map_err(|why| why.to_string()),
            Asked::Run(settings) => serve(*settings),
        });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            if !why.is_empty() {
                // Nobody can be told that nobody can be told.
                let _ = writeln!(io::stderr(), "{name}: {}", why.trim_end());
            }
            ExitCode::FAILURE
        }
    }
}

/// Does what is asked. An empty complaint has been made already.
fn serve(settings: Settings) -> Result<(), String> {
    process::close_inherited(if settings.is_standalone() { Inherited::KeptHere } else { Inherited::Closed });
    let manager = NotifySocket::take_from_environment();
    match settings.mode.clone() {
        Mode::Check(files) => match check::check(&settings, &files) {
            Ok(true) => Ok(()),
            Ok(false) => Err(String::new()),
            Err(why) => Err(format!("reporting: {why}")),
        },
        Mode::Now => now::run(&settings).map_err(|why| why.to_string()),
        Mode::Standalone(_) => run(settings, None, manager),
        Mode::Daemon if settings.foreground => run(settings, None, manager),
        Mode::Daemon => run_in_background(settings, manager),
    }
}

/// The caller returns when the daemon is ready, or with its complaint.
fn run_in_background(settings: Settings, manager: NotifySocket) -> Result<(), String> {
    let logs_to_stderr = matches!(settings.log, Some(crate::report::Target::Stderr | crate::report::Target::Json));
    match process::daemonize(logs_to_stderr).map_err(|why| format!("becoming a daemon: {why}"))? {
        Role::Caller(Verdict::Ready) => Ok(()),
        Role::Caller(Verdict::Failed(why)) if why.is_empty() => Err("the daemon died while it started".to_owned()),
        Role::Caller(Verdict::Failed(why)) => Err(why),
        Role::Daemon(promise) => run(settings, Some(promise), manager),
    }
}

fn run(settings: Settings, promise: Option<Promise>, manager: NotifySocket) -> Result<(), String> {
    let mut daemon = match start::start(settings, promise.is_some(), manager) {
        Ok(daemon) => daemon,
        Err(why) => {
            return match promise {
                Some(promise) => {
                    promise.break_with(&why.to_string());
                    Err(String::new())
                }
                None => Err(why.to_string()),
            };
        }
    };
    if let Some(promise) = promise {
        promise.keep();
    }
    daemon.tell_ready();
    daemon.run().map_err(|why| {
        daemon.tell_death(&why);
        why.to_string()
    })
}
