//! Main's end of the runner: spawning it, telling it what to start, hearing what became of it.

use crate::plan::{End, RunId, Start};
use crate::report::Target;
use crate::site::Profile;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

/// What delivers mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mailer {
    /// The profile's sendmail command line.
    Sendmail,
    /// This command instead, told the recipients as `sendmail -t` is: by the message's headers.
    Command(String),
    /// None: output goes to the log (cronie's `-m off`, `-s`).
    Off,
}

/// What a runner is told once, at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Profile.
    pub profile: Profile,
    /// Where its log lines go.
    pub log: Target,
    /// Mail.
    pub mailer: Mailer,
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
    /// The run directory, where outcomes are left when main is gone.
    pub run_dir: PathBuf,
}

/// What the runner tells.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Notice {
    /// A job has been started.
    Started {
        /// Which.
        run: RunId,
        /// Pid of the job's session leader.
        pid: u32,
    },
    /// A run ended (after the job ended; mail may still be on its way).
    Ended {
        /// Which.
        run: RunId,
        /// How.
        end: End,
        /// How long it ran.
        duration_ms: u64,
    },
}

/// Why the runner is not there or not heard.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A system call failed.
    #[error("{doing}: {source}")]
    Os {
        /// `forking the runner`.
        doing: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The runner ended.
    #[error("the runner has ended")]
    Gone,
}

/// The runner process as main sees it.
#[derive(Debug)]
pub struct Runner {}

impl Runner {
    /// Forks the runner. To be called single-threaded, before any table is read and before the lock is taken; signals are blocked already.
    pub fn spawn(config: Config) -> Result<Runner, LaunchError> {
        let _ = config;
        todo!()
    }
    /// Readable when the runner has something to tell; writable matters while [`Runner::wants_to_write`].
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        todo!()
    }
    /// Queues a start; sent by [`Runner::flush`].
    pub fn start(&mut self, start: &Start) {
        let _ = start;
        todo!()
    }
    /// Whether something is queued.
    pub fn wants_to_write(&self) -> bool {
        todo!()
    }
    /// Sends what can be sent without blocking.
    pub fn flush(&mut self) -> Result<(), LaunchError> {
        todo!()
    }
    /// Takes what has been told, without blocking.
    pub fn receive(&mut self) -> Result<Vec<Notice>, LaunchError> {
        todo!()
    }
    /// Asks the runner whether that user exists now (NSS, in a child with a time limit). Answered by a later notice.
    pub fn pid(&self) -> u32 {
        todo!()
    }
}
