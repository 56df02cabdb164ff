//! The `crond` program: event loop, event sources, start-up, shutdown, crontab database.
//!
//! Event sources that last as long as the daemon are added in `Daemon::add_sources` (`event_loop`). Those that come and go, such as connections,
//! the recorder or executors of earlier daemons, are added by the file that creates them. What has a deadline has a row in `TIMED_TASKS` (`event_loop`).
//! A new option is added in [`cli`] and `settings`.
//!
//! | file | content |
//! |---|---|
//! | this file | the modes of the program: in the background, in the foreground, `--check`, `-N` |
//! | [`cli`] | the definition of the command line |
//! | `settings` | the settings that result from command line, configuration file and profile |
//! | `start`, `stop` | start-up and shutdown |
//! | `state` | the state of a daemon |
//! | `event_loop` | turns ready event sources into events for the scheduler, and carries out its actions |
//! | `reactor` | event sources in an epoll set, with their handlers |
//! | `database` | all crontabs, kept up to date |
//! | `tables` | where crontabs come from, and scans of them |
//! | `file_cache` | the state in which each crontab was read last |
//! | `standalone_files` | crontabs that are named on the command line |
//! | `scan_queue`, `deadlines` | paths that wait for a scan; when the database has work |
//! | `change_watch` | how changes are noticed: with inotify(7), or by a scan every minute |
//! | `watch`, `mounts`, `wake_ups` | sources of changes: inotify(7), the mount table, messages of `crontab` |
//! | `load_event`, `load_lines` | results of loading, for the scheduler and for the log |
//! | `anacron`, `stamps`, `anacron_jobs` | the anacrontab and the stamps of its jobs, and what the event loop does with them |
//! | `record`, `marker` | what has been started, and that `@reboot` jobs have run, for a restart |
//! | `job_state`, `job_state_file` | the state of jobs in the state directory: the thread that writes it, and the format of the file |
//! | `control_socket`, `control`, `live_runs` | the control socket, and the runs and outcomes that it shows |
//! | `run_events` | what is noted, recorded and published when a run starts and ends |
//! | `metrics` | the counters of jobs for `Metrics` of the control socket |
//! | `takeover`, `old_executors` | the runs and executors of earlier daemons |
//! | `reexec`, `execution` | executing the program again after the loss of its executor, and the state that is passed on |
//! | `history`, `history_records` | the journal of the history with the recorder, which keeps it, and what is recorded |
//! | `fleet`, `fleet_events` | the agent of the fleet, and what the event loop does with it |
//! | `fleet_start` | what the agent is started from, and the check of the engine |
//! | `check`, `check_services`, `now` | `--check`: of crontabs, and of the services that the daemon uses; Debian's `-N` |
//! | `execute_as` | executes recorder and agent as another user |
//! | `debug` | cronie's `-x` |

mod anacron;
mod anacron_jobs;
mod change_watch;
mod check;
mod check_services;
pub mod cli;
mod control;
mod control_socket;
mod database;
mod deadlines;
mod debug;
mod event_loop;
mod execute_as;
mod execution;
mod file_cache;
mod fleet;
mod fleet_events;
mod fleet_start;
mod history;
mod history_records;
mod job_state;
mod job_state_file;
mod live_runs;
mod load_event;
mod load_lines;
mod marker;
mod metrics;
mod mounts;
mod now;
mod old_executors;
mod reactor;
mod record;
mod reexec;
mod run_events;
mod scan_queue;
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

#[doc(hidden)]
pub use job_state_file::rewrite as rewrite_state;

use crate::report::Target;
use crate::sys::contract::{ProgramStart, ProgramStartError, SingleThreaded};
use crate::sys::daemon::{Inherited, ReadinessPipe, Role, StartupResult};
use crate::sys::descriptor::StandardStream;
use crate::sys::error::{self, os};
use crate::sys::notify_socket::NotifySocket;
use crate::sys::process::set_umask;
use crate::sys::{daemon as process, descriptor, files, signal};
use crate::users::look_up_child;
use execution::{Execution, Resumed};
use settings::{Command, Mode, Settings, SettingsError};
use start::StartError;
use state::Fatal;
use std::ffi::OsString;
use std::process::ExitCode;

/// Why the program ends without success.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The command line or the configuration cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The process is not as it must be at the start of the program.
    #[error(transparent)]
    ProgramStart(#[from] ProgramStartError),
    /// The daemon did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The daemon in the background did not start, for this reason; without a reason: it died.
    #[error("{}", if .0.is_empty() { "the daemon died while it started" } else { .0 })]
    InBackground(String),
    /// The daemon had to end.
    #[error(transparent)]
    Fatal(#[from] Fatal),
    /// A system call of the start failed.
    #[error(transparent)]
    Os(#[from] error::Error),
    /// The failure has been reported already.
    #[error("")]
    Reported,
}

/// Runs the program and returns its exit status.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let name = start::program_name(arguments.first().map(OsString::as_os_str));
    if execute_as::is_meant(&arguments) {
        return fail(&name, &execute_as::execute(&arguments).to_string());
    }
    if look_up_child::is_meant(&arguments) {
        return look_up_child::answer(&arguments)
            .map_or_else(|why| fail(&name, &files::reason(&why)), |()| ExitCode::SUCCESS);
    }
    // Before anything else, so that no signal can end the process from here on.
    let blocked = signal::block();
    match blocked.map_err(os("blocking signals")).map_err(Failure::from).and_then(|()| run(arguments, &name)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Reported) => ExitCode::FAILURE,
        Err(why) => fail(&name, &why.to_string()),
    }
}

/// Reports a failure on standard error.
fn fail(name: &str, why: &str) -> ExitCode {
    // If standard error fails, there is nothing left to report to.
    let _ = files::write_all(
        descriptor::standard(StandardStream::Error),
        format!("{name}: {}\n", why.trim_end()).as_bytes(),
    );
    ExitCode::FAILURE
}

fn run(arguments: Vec<OsString>, name: &str) -> Result<(), Failure> {
    let start = ProgramStart::begin()?;
    let (execution, resumed) = Execution::begin(&start);
    process::fill_standard_streams().map_err(os("opening /dev/null"))?;
    files::check_random_numbers().map_err(os("asking the kernel for random numbers"))?;
    match Settings::from_arguments(arguments)? {
        Command::Page(text) => Ok(files::write_all(descriptor::standard(StandardStream::Output), text.as_bytes())
            .map_err(os("writing to standard output"))?),
        Command::Run(settings) => match resumed {
            Some(resumed) => resume(*settings, execution, resumed, start.finish()),
            None => run_mode(*settings, name, execution, start),
        },
    }
}

/// Runs the program in the mode that was asked for.
fn run_mode(settings: Settings, name: &str, execution: Execution, start: ProgramStart) -> Result<(), Failure> {
    for word in &settings.ignored {
        // The daemon runs even if nobody can read this.
        let line = format!("{name}: ignoring `{}`: -l and -N apply to system tables only\n", word.display());
        let _ = files::write_all(descriptor::standard(StandardStream::Error), line.as_bytes());
    }
    let inherited = if settings.is_standalone() { Inherited::KeptHere } else { Inherited::Closed };
    let threads = process::close_inherited(start, inherited);
    let manager = NotifySocket::take_from_environment(&threads);
    match settings.mode.clone() {
        Mode::Check(files) => match check::check(&settings, &files).map_err(os("reporting"))? {
            true => Ok(()),
            false => Err(Failure::Reported),
        },
        Mode::Now => Ok(now::run(&settings, &manager, &threads)?),
        Mode::Standalone(_) => serve(settings, Begin::First(None), execution, manager, threads),
        Mode::Daemon if settings.config.foreground => {
            // In the background the umask is left behind, too: the modes of files are those that are asked for.
            set_umask(0o022);
            serve(settings, Begin::First(None), execution, manager, threads)
        }
        Mode::Daemon => serve_in_background(settings, execution, manager, threads),
    }
}

/// Continues in place of a program that lost its executor. Descriptors that were not handed on are closed already.
fn resume(settings: Settings, execution: Execution, resumed: Resumed, threads: SingleThreaded) -> Result<(), Failure> {
    process::set_own_name(&start::program_name(std::env::args_os().next().as_deref()));
    if execution.in_background {
        std::env::set_current_dir("/").map_err(os("entering /"))?;
    }
    let manager = NotifySocket::take_from_environment(&threads);
    serve(settings, Begin::Again(resumed), execution, manager, threads)
}

/// Whether this program is the first of its daemon.
enum Begin {
    /// For the first time. In the background its caller waits at the pipe until it is ready.
    First(Option<ReadinessPipe>),
    /// In place of a program that lost its executor.
    Again(Resumed),
}

/// Runs a daemon in the background. The caller returns when it is ready, or with the reason why it did not start.
fn serve_in_background(
    settings: Settings,
    execution: Execution,
    manager: NotifySocket,
    threads: SingleThreaded,
) -> Result<(), Failure> {
    let logs_to_stderr = matches!(settings.log(), Some(Target::Stderr | Target::Json));
    match process::daemonize(&threads, logs_to_stderr).map_err(os("becoming a daemon"))? {
        Role::Caller(StartupResult::Ready) => Ok(()),
        Role::Caller(StartupResult::Failed(why)) => Err(Failure::InBackground(why)),
        Role::Daemon(pipe) => serve(settings, Begin::First(Some(pipe)), execution.in_background(), manager, threads),
    }
}

fn serve(
    settings: Settings,
    begin: Begin,
    execution: Execution,
    manager: NotifySocket,
    threads: SingleThreaded,
) -> Result<(), Failure> {
    let (pipe, resumed) = match begin {
        Begin::First(pipe) => (pipe, None),
        Begin::Again(resumed) => (None, Some(resumed)),
    };
    let mut daemon = match start::start(settings, execution, resumed, manager, threads) {
        Ok(daemon) => daemon,
        Err(why) => {
            let Some(pipe) = pipe else { return Err(why.into()) };
            pipe.report_failure(&why.to_string());
            return Err(Failure::Reported);
        }
    };
    if let Some(pipe) = pipe {
        pipe.report_ready();
    }
    daemon.report_ready();
    daemon.run().map_err(|why| {
        daemon.recover(&why);
        daemon.die(&why);
        why.into()
    })
}
