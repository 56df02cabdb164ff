//! The `crond` program: event loop, event sources, start-up, shutdown, crontab database.
//!
//! [`cli`] and `settings` resolve command line and configuration; `start` makes the daemon and `stop` ends it; `event_loop` turns what becomes
//! ready (clock, signals, the executor, changed crontabs) into events for the scheduler and carries out its answers. `database` holds the
//! crontabs that are loaded, `watch`, `mounts` and `wake_ups` notice changes, `takeover` and `reexec` carry runs over restarts, and
//! `anacron` reads and writes anacron's files.

mod anacron;
mod check;
pub mod cli;
mod database;
mod debug;
mod event_loop;
mod execution;
mod job_state;
mod job_state_file;
mod marker;
mod mounts;
mod now;
mod old_executors;
mod record;
mod reexec;
mod settings;
mod stamps;
mod standalone_files;
mod start;
mod state;
mod stop;
mod tables;
mod takeover;
mod wake_ups;
mod watch;

use crate::report::Target;
use crate::sys::daemon::{Inherited, ReadinessPipe, Role, StartupResult};
use crate::sys::notify_socket::NotifySocket;
use crate::sys::{daemon as process, descriptor, files, signal};
use execution::{Execution, Resumed};
use settings::{Asked, Mode, Settings, SettingsError};
use start::StartError;
use state::Fatal;
use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

/// Why the program ends without success.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// It was asked for something that it does not understand.
    #[error(transparent)]
    Asked(#[from] SettingsError),
    /// A daemon did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A daemon did not start, and told its caller why; no words: it died.
    #[error("{}", if .0.is_empty() { "the daemon died while it started" } else { .0 })]
    InBackground(String),
    /// A daemon had to end.
    #[error(transparent)]
    Fatal(#[from] Fatal),
    /// The kernel refused something.
    #[error("{doing}: {source}")]
    Os {
        /// What was being done.
        doing: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// Everything has been said.
    #[error("")]
    Told,
}

fn os(doing: &'static str) -> impl FnOnce(io::Error) -> Failure {
    move |source| Failure::Os { doing, source }
}

/// Runs it; the exit status is the program's.
pub fn main() -> ExitCode {
    // First of all, so that no signal can end us from here on.
    let blocked = signal::block();
    let (execution, resumed) = Execution::begin();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let name = start::program_name(arguments.first().map(OsString::as_os_str));
    match blocked.map_err(os("blocking signals")).and_then(|()| run(arguments, &name, execution, resumed)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Told) => ExitCode::FAILURE,
        Err(why) => {
            // There is no other place to report that standard error takes nothing.
            let line = format!("{name}: {}\n", why.to_string().trim_end());
            let _ = files::write_all(descriptor::standard(true), line.as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<OsString>, name: &str, execution: Execution, resumed: Option<Resumed>) -> Result<(), Failure> {
    process::fill_standard_streams().map_err(os("opening /dev/null"))?;
    files::check_random_numbers().map_err(os("asking the kernel for random numbers"))?;
    match Settings::from_arguments(arguments)? {
        Asked::Page(text) => {
            files::write_all(descriptor::standard(false), text.as_bytes()).map_err(os("writing to standard output"))
        }
        Asked::Run(settings) => match resumed {
            Some(resumed) => go_on(*settings, execution, resumed),
            None => act(*settings, name, execution),
        },
    }
}

/// Does what is asked.
fn act(settings: Settings, name: &str, execution: Execution) -> Result<(), Failure> {
    for word in &settings.ignored {
        // As all that follows, it does not depend on somebody who reads this.
        let line = format!("{name}: ignoring `{}`: -l and -N are about the system's tables\n", word.display());
        let _ = files::write_all(descriptor::standard(true), line.as_bytes());
    }
    process::close_inherited(if settings.is_standalone() { Inherited::KeptHere } else { Inherited::Closed });
    let manager = NotifySocket::take_from_environment();
    match settings.mode.clone() {
        Mode::Check(files) => match check::check(&settings, &files).map_err(os("reporting"))? {
            true => Ok(()),
            false => Err(Failure::Told),
        },
        Mode::Now => Ok(now::run(&settings, &manager)?),
        Mode::Standalone(_) => serve(settings, Begun::First(None), execution, manager),
        Mode::Daemon if settings.config.foreground => serve(settings, Begun::First(None), execution, manager),
        Mode::Daemon => serve_in_background(settings, execution, manager),
    }
}

/// Goes on in place of a program that lost its executor. All that it did not hand on is closed already.
fn go_on(settings: Settings, execution: Execution, resumed: Resumed) -> Result<(), Failure> {
    process::set_own_name(&start::program_name(std::env::args_os().next().as_deref()));
    if execution.in_background {
        std::env::set_current_dir("/").map_err(os("entering /"))?;
    }
    let manager = NotifySocket::take_from_environment();
    serve(settings, Begun::Again(resumed), execution, manager)
}

/// How a daemon begins.
enum Begun {
    /// For the first time; in the background its caller waits to be told.
    First(Option<ReadinessPipe>),
    /// In place of one that lost its executor.
    Again(Resumed),
}

/// The caller returns when the daemon is ready, or with its complaint.
fn serve_in_background(settings: Settings, execution: Execution, manager: NotifySocket) -> Result<(), Failure> {
    let logs_to_stderr = matches!(settings.log(), Some(Target::Stderr | Target::Json));
    match process::daemonize(logs_to_stderr).map_err(os("becoming a daemon"))? {
        Role::Caller(StartupResult::Ready) => Ok(()),
        Role::Caller(StartupResult::Failed(why)) => Err(Failure::InBackground(why)),
        Role::Daemon(promise) => serve(settings, Begun::First(Some(promise)), execution.in_background(), manager),
    }
}

fn serve(settings: Settings, begun: Begun, execution: Execution, manager: NotifySocket) -> Result<(), Failure> {
    let (promise, resumed) = match begun {
        Begun::First(promise) => (promise, None),
        Begun::Again(resumed) => (None, Some(resumed)),
    };
    let mut daemon = match start::start(settings, execution, resumed, manager) {
        Ok(daemon) => daemon,
        Err(why) => {
            let Some(promise) = promise else { return Err(why.into()) };
            promise.break_with(&why.to_string());
            return Err(Failure::Told);
        }
    };
    if let Some(promise) = promise {
        promise.keep();
    }
    daemon.tell_ready();
    daemon.run().map_err(|why| {
        daemon.recover(&why);
        daemon.die(&why);
        why.into()
    })
}
