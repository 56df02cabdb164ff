//! State that all parts of the executor process use: settings, log, epoll set, and what children need.

use crate::executor::config::ExecutorConfig;
use crate::executor::environment::{self, Inherited, Variables};
use crate::executor::exec_spec::{ExecSpec, Identity, OriginalLimits, Reporter};
use crate::executor::job::Job;
use crate::executor::job_log::{JobLogger, JobRef};
use crate::executor::link::WireError;
use crate::profile::Profile;
use crate::scheduler::{FleetRun, RunRequest};
use crate::sys::contract::SingleThreaded;
use crate::sys::error::{self, os};
use crate::sys::poll::Poll;
use crate::sys::selinux::Policy;
use crate::users::{User, UserWithGroups};
use std::io;

/// The source of an event. A token of the epoll set consists of the source (the lower four bits) and the number of the job, mailer or
/// lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventSource {
    Main,
    Signals,
    Reports,
    Output,
    Error,
    Feed,
    LookUp,
    MailFeed,
    PamMonitor,
    Log,
    Listener,
    FollowUpFeed,
    FollowUpOutput,
    Cgroup,
}

const EVENT_SOURCES: [EventSource; 14] = [
    EventSource::Main,
    EventSource::Signals,
    EventSource::Reports,
    EventSource::Output,
    EventSource::Error,
    EventSource::Feed,
    EventSource::LookUp,
    EventSource::MailFeed,
    EventSource::PamMonitor,
    EventSource::Log,
    EventSource::Listener,
    EventSource::FollowUpFeed,
    EventSource::FollowUpOutput,
    EventSource::Cgroup,
];

pub(super) fn token(kind: EventSource, id: u64) -> u64 {
    id << 4 | kind as u64
}

pub(super) fn of_token(token: u64) -> Option<(EventSource, u64)> {
    let kind = EVENT_SOURCES.into_iter().find(|kind| *kind as u64 == token & 0xf)?;
    Some((kind, token >> 4))
}

/// A fatal error of the executor.
#[derive(Debug, thiserror::Error)]
pub(in crate::executor) enum ExecutorError {
    #[error(transparent)]
    Os(#[from] error::Error),
    #[error("receiving from main: {0}")]
    Main(#[from] WireError),
}

impl From<io::Error> for ExecutorError {
    fn from(source: io::Error) -> ExecutorError {
        os("sending to main")(source).into()
    }
}

/// State that all parts of the executor process use.
pub(super) struct Context {
    /// Proof that this process has one thread.
    pub(super) threads: SingleThreaded,
    pub(super) config: ExecutorConfig,
    pub(super) profile: &'static Profile,
    pub(super) log: JobLogger,
    pub(super) poll: Poll,
    /// The environment that the executor was started with.
    pub(super) inherited: Inherited,
    pub(super) original_limits: OriginalLimits,
    /// The SELinux policy, if the kernel has SELinux.
    pub(super) policy: Option<Policy>,
    /// The pipe on which children report failures before their exec.
    pub(super) reporter: Reporter,
    pub(super) next_id: u64,
}

impl Context {
    /// Returns a new number for a job, a mailer or a lookup.
    pub(super) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// The environment of a job without what PAM adds.
    pub(super) fn environment(&self, start: &RunRequest, user: &User) -> Variables {
        if self.config.standalone {
            environment::of_caller(user, &start.variables, &self.inherited)
        } else {
            environment::of_cron(self.profile, user, &start.variables, &self.inherited, self.config.inherit_path)
        }
    }

    /// The environment of a job without what PAM adds, with the variables about its run. These are in no mail's headers.
    pub(super) fn job_environment(&self, start: &RunRequest, user: &UserWithGroups) -> Variables {
        let mut variables = self.environment(start, user);
        environment::add_run_variables(&mut variables, start);
        variables
    }

    /// The specification for a child that executes the job's shell with the job's environment and limits.
    pub(super) fn job_spec(&self, start: &RunRequest, user: &UserWithGroups, command: &[u8]) -> ExecSpec {
        let mut spec = ExecSpec::of_shell(command, &self.job_environment(start, user), self.original_limits);
        self.set_identity(&mut spec, user);
        spec.limits = start.rules.limits;
        spec.start_by_ms = start.fleet.map(FleetRun::latest_start_ms);
        spec
    }

    /// The specification for a child that executes the job's shell with what its mailer has, too.
    pub(super) fn exec_spec(&self, start: &RunRequest, user: &UserWithGroups, command: &[u8]) -> ExecSpec {
        let mut spec = ExecSpec::of_shell(command, &self.environment(start, user), self.original_limits);
        self.set_identity(&mut spec, user);
        spec
    }

    fn set_identity(&self, spec: &mut ExecSpec, user: &UserWithGroups) {
        spec.identity = (!self.config.standalone).then(|| Identity::from(user));
        spec.runs_without_home = self.profile.runs_without_home || self.config.standalone;
    }
}

/// How log records refer to a job.
pub(super) fn job_ref<'a>(job: &'a Job, command: &'a [u8]) -> JobRef<'a> {
    JobRef { start: &job.start, user: &job.user.name, command, pid: job.pid }
}
