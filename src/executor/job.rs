//! A job that has been started, its pipes, and its standard input.

use super::environment::Variables;
use super::exec_spec::Stdio;
use super::link::Link;
use super::output::Output;
use super::owner::OwnerKey;
use super::wire::RunProcess;
use crate::profile::Profile;
use crate::scheduler::{EndReason, RunOutcome, RunRequest, RunResult, Usage};
use crate::sys::cgroup::LeafCgroup;
use crate::sys::clock;
use crate::sys::created;
use crate::sys::descriptor;
use crate::sys::process::{Pid, ResourceUsage, Status};
use crate::sys::process_list::ProcessIdentity;
use crate::users::UserWithGroups;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// One of the two streams that a job writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stream {
    /// Standard output, and standard error unless that has its own pipe.
    Output,
    /// Standard error, if it has its own pipe.
    Error,
}

/// A job that has been started, until its result and its output have been handled.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) start: Box<RunRequest>,
    pub(super) owner: OwnerKey,
    /// Main wants to know the process id as soon as there is one.
    pub(super) wants_pid: bool,
    /// The time of the first failed attempt to start it (monotonic).
    pub(super) tried_since_ms: Option<i64>,
    pub(super) user: Rc<UserWithGroups>,
    /// The session leader. None until the PAM monitor has started it.
    pub(super) pid: Option<Pid>,
    /// The process id with its start time, if that could be read.
    pub(super) process: Option<ProcessIdentity>,
    /// The cgroup of the job, if it has one of its own. It exists until the job has ended, and longer if processes are left in it.
    pub(super) leaf: Option<LeafCgroup>,
    /// Whether the job is to be ended as soon as it has a process.
    pub(super) ends_at_start: bool,
    /// Whether the job's processes are or were ended because it exceeded its time limit.
    pub(super) is_timeout: bool,
    /// Why main has asked for its end, before it ended by itself and before its time was over.
    pub(super) end_reason: Option<EndReason>,
    /// The connection to the PAM monitor, if there is a PAM session.
    pub(super) monitor: Option<Link>,
    /// When the process was started or the attempt was made: monotonic milliseconds, and milliseconds of Unix time.
    pub(super) started_ms: i64,
    pub(super) started_at_ms: i64,
    pub(super) output: Output,
    /// The read ends of the output pipes. None once the end of the output has been read.
    pub(super) pipe: Option<OwnedFd>,
    pub(super) error_pipe: Option<OwnedFd>,
    pub(super) feed: Option<Feed>,
    /// Size of the standard input in bytes.
    pub(super) input_size: usize,
    /// The failed step before exec, if the job was not started.
    pub(super) failure: Option<String>,
    /// The result, once the job has ended.
    pub(super) result: Option<RunResult>,
    /// Until when remaining output is waited for after the job's end (monotonic).
    pub(super) grace_ms: i64,
    /// The variables that PAM added to the environment.
    pub(super) pam_variables: Option<Variables>,
}

impl Job {
    /// The command up to the first `%`, as the log and the mail show it.
    pub(super) fn command(&self, profile: &Profile) -> Vec<u8> {
        self.start.split(profile.backslash).shell
    }

    /// The process of the job, if it has one.
    pub(super) fn run_process(&self) -> Option<RunProcess> {
        let started_at_ms = self.started_at_ms;
        self.pid.map(|pid| RunProcess { run: self.start.run, pid, started_at_ms })
    }

    pub(super) fn pipe(&mut self, stream: Stream) -> &mut Option<OwnedFd> {
        match stream {
            Stream::Output => &mut self.pipe,
            Stream::Error => &mut self.error_pipe,
        }
    }

    /// Whether all output pipes have been read to their end.
    pub(super) fn is_silent(&self) -> bool {
        self.pipe.is_none() && self.error_pipe.is_none()
    }

    /// When its time is over (monotonic), if it has a process and a timeout.
    pub(super) fn timeout_ms(&self) -> Option<i64> {
        let timeout = self.start.rules.timeout.filter(|_| self.pid.is_some())?;
        Some(self.started_ms + i64::from(timeout) * 1000)
    }

    /// Whether the job has ended in a way that its entry counts as success.
    pub(super) fn has_succeeded(&self) -> bool {
        self.result.as_ref().is_some_and(|result| self.start.rules.is_success(result))
    }

    /// Records the end of the job. `ended` is None if the PAM monitor ended without reporting a status.
    pub(super) fn end(&mut self, ended: Option<(Status, Usage)>, now_ms: i64) -> &RunResult {
        let outcome = match (self.failure.take(), ended) {
            (Some(why), _) => RunOutcome::NotStarted { why },
            (None, Some((Status::Code(code), _))) => RunOutcome::Code(code),
            (None, Some((Status::Signal { number, core_dumped }, _))) => RunOutcome::Signal { number, core_dumped },
            (None, None) if self.pid.is_none() => RunOutcome::NotStarted { why: "the PAM monitor ended".into() },
            (None, None) => RunOutcome::Lost,
        };
        let is_timeout = self.is_timeout && matches!(outcome, RunOutcome::Code(_) | RunOutcome::Signal { .. });
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
            is_timeout,
            ended_elapsed_ms: Some(now_ms),
            output_digest: self.output.digest(),
        })
    }
}

/// Converts the kernel's resource usage to that of a run's result.
pub(super) fn usage_of(used: ResourceUsage) -> Usage {
    let ResourceUsage { user_us, system_us, max_rss_kib } = used;
    Usage { user_us, system_us, max_rss_kib }
}

/// Data that is still to be written to a process's standard input.
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

    /// Writes as much as fits into the pipe. True when everything is written or the reader has closed the pipe.
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

/// The pipes of a job: the child's ends and the executor's ends.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) input: OwnedFd,
    pub(super) output: OwnedFd,
    /// Only if standard error has its own pipe.
    pub(super) error: Option<OwnedFd>,
    pub(super) our_input: OwnedFd,
    pub(super) our_output: OwnedFd,
    pub(super) our_error: Option<OwnedFd>,
}

impl Pipes {
    /// Opens the pipes. With an owner they belong to that user, whose job can then open them again as /dev/stdin, /dev/stdout and
    /// /dev/stderr.
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
