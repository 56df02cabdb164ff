//! A job that has been started, its pipes, and its standard input.

use super::environment::Variables;
use super::exec_spec::Stdio;
use super::link::Link;
use super::output::Output;
use super::owner::OwnerKey;
use crate::profile::Profile;
use crate::scheduler::{RunOutcome, RunRequest, RunResult, Usage};
use crate::sys::clock;
use crate::sys::created;
use crate::sys::descriptor;
use crate::sys::process::{Pid, ResourceUsage, Status};
use crate::users::UserWithGroups;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// One of the two streams that a job writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// What it writes to standard output; to standard error, too, unless that is kept apart.
    Output,
    /// What it writes to standard error, where that is kept apart.
    Error,
}

/// A job that has been started.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) start: Box<RunRequest>,
    pub(super) owner: OwnerKey,
    /// Main wants to be told of its process.
    pub(super) tell_pid: bool,
    /// When it was first tried in vain to start it.
    pub(super) tried_since_ms: Option<i64>,
    pub(super) user: Rc<UserWithGroups>,
    /// The session leader; none while its PAM monitor has not started it.
    pub(super) pid: Option<Pid>,
    /// The PAM monitor of its PAM session.
    pub(super) monitor: Option<Link>,
    /// When its process was started, or the attempt was made: by the monotonic clock, and in milliseconds of Unix time.
    pub(super) started_ms: i64,
    pub(super) started_at_ms: i64,
    pub(super) output: Output,
    /// Our ends of its output pipes, until they are closed.
    pub(super) pipe: Option<OwnedFd>,
    pub(super) error_pipe: Option<OwnedFd>,
    pub(super) feed: Option<Feed>,
    /// Bytes of its standard input.
    pub(super) input_size: usize,
    /// Why the job was not started, once a step before its exec has failed.
    pub(super) failure: Option<String>,
    /// Its result, once it has ended.
    pub(super) result: Option<RunResult>,
    /// Until when its output is waited for after its end.
    pub(super) grace_ms: i64,
    /// The variables that PAM added to its environment.
    pub(super) pam_variables: Option<Variables>,
}

impl Job {
    /// The command up to the first `%`, as the log and the mail show it.
    pub(super) fn command(&self, site: &Profile) -> Vec<u8> {
        self.start.split(site.backslash).shell
    }

    pub(super) fn pipe(&mut self, stream: Stream) -> &mut Option<OwnedFd> {
        match stream {
            Stream::Output => &mut self.pipe,
            Stream::Error => &mut self.error_pipe,
        }
    }

    /// Whether nothing more can come from it.
    pub(super) fn is_silent(&self) -> bool {
        self.pipe.is_none() && self.error_pipe.is_none()
    }

    /// Notes that it ended. `ended` is none for a PAM monitor that cannot say how.
    pub(super) fn end(&mut self, ended: Option<(Status, Usage)>, now_ms: i64) -> &RunResult {
        let outcome = match (self.failure.take(), ended) {
            (Some(why), _) => RunOutcome::NotStarted { why },
            (None, Some((Status::Code(code), _))) => RunOutcome::Code(code),
            (None, Some((Status::Signal { number, core_dumped }, _))) => RunOutcome::Signal { number, core_dumped },
            (None, None) if self.pid.is_none() => RunOutcome::NotStarted { why: "the PAM monitor ended".into() },
            (None, None) => RunOutcome::Lost,
        };
        self.feed = None;
        self.result.insert(RunResult {
            run: self.start.run,
            outcome,
            started_at_ms: self.pid.map(|_| self.started_at_ms),
            ended_at_ms: clock::wall_ms(),
            duration_ms: now_ms.saturating_sub(self.started_ms).unsigned_abs(),
            pid: self.pid,
            usage: ended.map(|(_, usage)| usage),
            output: self.output.counts(),
        })
    }
}

/// What the kernel reports, in the form of a result.
pub(super) fn usage_of(used: ResourceUsage) -> Usage {
    let ResourceUsage { user_us, system_us, max_rss_kib } = used;
    Usage { user_us, system_us, max_rss_kib }
}

/// What is still to be written to a process's standard input.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) pipe: OwnedFd,
    data: Vec<u8>,
    written: usize,
}

impl Feed {
    pub(super) fn new(pipe: OwnedFd, data: Vec<u8>) -> io::Result<Feed> {
        descriptor::set_nonblocking(pipe.as_fd(), true)?;
        Ok(Feed { pipe, data, written: 0 })
    }

    /// Writes what fits; true when it is done, or nobody reads any more.
    pub(super) fn proceed(&mut self) -> bool {
        loop {
            let rest = self.data.get(self.written..).unwrap_or(&[]);
            if rest.is_empty() {
                return true;
            }
            match descriptor::write(self.pipe.as_fd(), rest) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return true,
            }
        }
    }
}

/// The pipes of a job: the child's ends and ours.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) input: OwnedFd,
    pub(super) output: OwnedFd,
    /// Only where standard error is kept apart.
    pub(super) error: Option<OwnedFd>,
    pub(super) our_input: OwnedFd,
    pub(super) our_output: OwnedFd,
    pub(super) our_error: Option<OwnedFd>,
}

impl Pipes {
    /// With an owner, whose job may open them again as /dev/stdin, /dev/stdout and /dev/stderr.
    pub(super) fn open(error_apart: bool, owner: Option<u32>) -> io::Result<Pipes> {
        let (input, our_input) = created::pipe(owner)?;
        let (our_output, output) = created::pipe(owner)?;
        descriptor::set_nonblocking(our_output.as_fd(), true)?;
        let (our_error, error) = if error_apart {
            let (ours, theirs) = created::pipe(owner)?;
            descriptor::set_nonblocking(ours.as_fd(), true)?;
            (Some(ours), Some(theirs))
        } else {
            (None, None)
        };
        Ok(Pipes { input, output, error, our_input, our_output, our_error })
    }

    pub(super) fn stdio(&self) -> Stdio<'_> {
        let error = self.error.as_ref().unwrap_or(&self.output);
        Stdio { input: self.input.as_fd(), output: self.output.as_fd(), error: error.as_fd() }
    }
}
