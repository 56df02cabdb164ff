//! Main's end of the executor: spawning it, telling it what to start, hearing what became of it.

use super::process::run;
use super::wire::Link;
use crate::profile::ProfileName;
use crate::report::Target;
use crate::report::mail::SENDMAIL;
use crate::scheduler::{RunId, RunOutcome, RunRequest};
use crate::sys::{descriptor, handover, process};
use std::fs::File;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::Duration;

/// How long a mailer may take, unless told otherwise: longer than a mail server's own poll_timeout with another server's greeting (RFC 5321,
/// 4.5.3.2: five minutes), so that only one that hangs is hit.
pub const MAILER_LIMIT: Duration = Duration::from_secs(600);

/// Most processes on their way to their command at once, unless told otherwise. More gain nothing, as the processors are busy with
/// these; each takes memory and its turn at the processor from everything else on the machine.
pub const STARTS_IN_FLIGHT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// What delivers mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mailer {
    /// The profile's sendmail command line.
    Sendmail,
    /// This command instead, told the recipients as `sendmail -t` is: by the message's headers.
    Command(String),
    /// None: output is dropped, unless it goes to the log (cronie's `-m off`).
    Off,
}

/// What an executor is told once, at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Profile.
    pub profile: ProfileName,
    /// Where its log lines go.
    pub log: Target,
    /// Mail.
    pub mailer: Mailer,
    /// How long a mailer may take before it is killed.
    pub mailer_limit: Duration,
    /// Output to the log instead of mail (cronie `-s`).
    pub output_to_log: bool,
    /// Standalone: jobs run as the caller with the caller's environment, output line by line to stdout and stderr.
    pub standalone: bool,
    /// Debian's `-L` mask: 1 starts, 2 ends, 4 failures, 8 with pid.
    pub log_mask: u8,
    /// Debian's `-n`: the full host name in Subject.
    pub full_host_name: bool,
    /// cronie's `-P`: jobs get the daemon's PATH.
    pub inherit_path: bool,
    /// Most processes on their way to their command at once; what is due beyond that waits, in order.
    pub starts_in_flight: NonZeroUsize,
    /// Where it keeps its journal of runs.
    pub journal: JournalPlace,
}

/// Where an executor keeps its journal of runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum JournalPlace {
    /// Nowhere: whatever comes after it knows nothing of its runs.
    #[default]
    Nowhere,
    /// In this directory, together with the socket on which a later main can reach it.
    Directory(PathBuf),
    /// In memory that main shares: only a program that is executed in main's place can know it.
    Memory,
}

/// What the executor tells.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ExecutorEvent {
    /// A job has been started of which that was to be told.
    Started {
        /// The run.
        run: RunId,
        /// Pid of the job's session leader.
        pid: u32,
    },
    /// These starts have been begun, or it was found that they cannot be made.
    Begun {
        /// The runs that have been begun.
        runs: Vec<RunId>,
    },
    /// A run ended (after the job ended; mail may still be on its way).
    Ended {
        /// The run.
        run: RunId,
        /// The outcome of the run.
        end: RunOutcome,
        /// How long it ran.
        duration_ms: u64,
    },
}

/// What main tells the executor. Main lends it the start, the executor is given one of its own.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum ExecutorRequest<S> {
    /// Start this.
    Start {
        /// What.
        start: S,
        /// Tell of its process as soon as it is there.
        tell_pid: bool,
    },
    /// Make no more starts.
    StopStarting,
    /// Write to the log what is going on.
    LogState,
    /// End every job: TERM, or with `hard` KILL, to its process group. Nothing more is started.
    EndAll {
        /// KILL.
        hard: bool,
    },
    /// Connect to the log anew.
    ReopenLog,
}

/// Why the executor is not there or not heard.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A system call failed.
    #[error("{doing}: {source}")]
    Os {
        /// `forking the executor`.
        doing: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// What it said is no message.
    #[error("hearing the executor: {0}")]
    Garbled(String),
    /// The executor ended.
    #[error("the executor has ended")]
    Gone,
}

fn os(doing: &'static str) -> impl FnOnce(std::io::Error) -> LaunchError {
    move |source| LaunchError::Os { doing, source }
}

/// Whether output should go to the log because there is no mailer: cronie decides so once, at its start, and says so.
pub fn falls_back_to_log(config: &Config) -> bool {
    let cronie = config.profile == ProfileName::Cronie && config.mailer == Mailer::Sendmail;
    cronie && !config.standalone && !config.output_to_log && !crate::sys::files::is_executable(SENDMAIL)
}

/// As whom `crond FILE` runs its jobs.
pub fn caller_name() -> String {
    super::process::caller().map(|user| user.name).unwrap_or_default()
}

/// The executor process as main sees it.
#[derive(Debug)]
pub struct Executor {
    link: Link,
    pid: u32,
    /// Its journal, where that has no name.
    journal: Option<File>,
}

impl Executor {
    /// Forks the executor. To be called single-threaded, before any table is read and before the lock is taken; signals are blocked already.
    pub fn spawn(config: Config) -> Result<Executor, LaunchError> {
        let (ours, theirs) = descriptor::stream_pair().map_err(os("making the executor's socket"))?;
        let journal = match &config.journal {
            JournalPlace::Memory => Some(handover::memory_file().map_err(os("making the journal of runs"))?),
            JournalPlace::Nowhere | JournalPlace::Directory(_) => None,
        };
        let of_executor =
            journal.as_ref().map(File::try_clone).transpose().map_err(os("making the journal of runs"))?;
        let pid = process::fork(|| run(config, theirs, of_executor)).map_err(os("forking the executor"))?;
        Ok(Executor { link: Link::new(ours), pid, journal })
    }

    /// The journal of its runs, where that has no name.
    pub fn journal(&self) -> Option<&File> {
        self.journal.as_ref()
    }

    /// Readable when the executor has something to tell; writable matters while [`Executor::wants_to_write`].
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }

    /// Queues a start; sent by [`Executor::flush`]. Its end is told, and with `tell_pid` its process, too, which takes the receiver one more
    /// wake-up.
    pub fn start(&mut self, start: &RunRequest, tell_pid: bool) {
        self.queue(&ExecutorRequest::Start { start, tell_pid });
    }

    /// Queues that no more starts are made: what waits to be started is given up.
    pub fn stop_starting(&mut self) {
        self.queue(&ExecutorRequest::StopStarting);
    }

    /// Queues that the executor writes to the log what is going on.
    pub fn log_state(&mut self) {
        self.queue(&ExecutorRequest::LogState);
    }

    /// Queues the end of every job: TERM, or with `hard` KILL, to each job's process group. What waits to be started is given up.
    pub fn end_all(&mut self, hard: bool) {
        self.queue(&ExecutorRequest::EndAll { hard });
    }

    /// Queues that the executor connects to the log anew.
    pub fn reopen_log(&mut self) {
        self.queue(&ExecutorRequest::ReopenLog);
    }

    /// Whether something is queued.
    pub fn wants_to_write(&self) -> bool {
        self.link.wants_to_write()
    }

    /// Sends what can be sent without blocking.
    pub fn flush(&mut self) -> Result<(), LaunchError> {
        self.link.flush().map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset => LaunchError::Gone,
            _ => os("telling the executor")(error),
        })
    }

    /// Takes what has been told, without blocking. What the executor told before its end is given first.
    pub fn receive(&mut self) -> Result<Vec<ExecutorEvent>, LaunchError> {
        let open = self.link.fill().map_err(os("hearing the executor"))?;
        let mut notices = Vec::new();
        while let Some(notice) = self.link.take().map_err(|error| LaunchError::Garbled(error.to_string()))? {
            notices.push(notice);
        }
        if open || !notices.is_empty() { Ok(notices) } else { Err(LaunchError::Gone) }
    }

    /// Tells the executor that there is nothing more to come. With its last job, mail and line of output it closes its end, see
    /// [`Executor::is_done`].
    pub fn close(&self) -> Result<(), LaunchError> {
        descriptor::shut_down_writing(self.link.as_fd()).map_err(os("closing the executor's socket"))
    }

    /// Whether the executor has closed its end. It may stay to read what background processes write.
    pub fn is_done(&mut self) -> bool {
        while self.link.take::<ExecutorEvent>().is_ok_and(|notice| notice.is_some()) {}
        !self.link.fill().unwrap_or(false)
    }

    /// The executor's process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    fn queue(&mut self, order: &ExecutorRequest<&RunRequest>) {
        // Only a message beyond the wire's bound can fail here, and no table may hold a command a thousandth as long.
        if let Err(error) = self.link.push(order) {
            debug_assert!(false, "{error}");
        }
    }
}
