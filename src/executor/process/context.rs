//! What every part of the executor process uses: settings, log, event queue, and what children need.

use crate::executor::config::Config;
use crate::executor::environment::{self, Inherited, Variables};
use crate::executor::exec_spec::{ExecSpec, Identity, Reporter, StartedWith};
use crate::executor::job::Job;
use crate::executor::job_log::{JobLogger, JobRef};
use crate::executor::link::WireError;
use crate::profile::Profile;
use crate::scheduler::RunRequest;
use crate::sys::poll::Poll;
use crate::sys::selinux::Policy;
use crate::users::{User, UserWithGroups};
use std::io;

/// What a number in the event queue stands for; the upper bits are the number of the job, mailer or lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
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
}

const KINDS: [Kind; 11] = [
    Kind::Main,
    Kind::Signals,
    Kind::Reports,
    Kind::Output,
    Kind::Error,
    Kind::Feed,
    Kind::LookUp,
    Kind::MailFeed,
    Kind::PamMonitor,
    Kind::Log,
    Kind::Listener,
];

pub(super) fn token(kind: Kind, id: u64) -> u64 {
    id << 4 | kind as u64
}

pub(super) fn of_token(token: u64) -> Option<(Kind, u64)> {
    let kind = KINDS.into_iter().find(|kind| *kind as u64 == token & 0xf)?;
    Some((kind, token >> 4))
}

/// Why the executor ends before its time.
#[derive(Debug, thiserror::Error)]
pub(in crate::executor) enum ExecutorError {
    #[error("{doing}: {source}")]
    Os { doing: &'static str, source: io::Error },
    #[error("hearing main: {0}")]
    Main(#[from] WireError),
}

pub(super) fn os(doing: &'static str) -> impl FnOnce(io::Error) -> ExecutorError {
    move |source| ExecutorError::Os { doing, source }
}

impl From<io::Error> for ExecutorError {
    fn from(source: io::Error) -> ExecutorError {
        os("talking to main")(source)
    }
}

/// What every part of the executor process uses.
pub(super) struct Context {
    pub(super) config: Config,
    pub(super) profile: &'static Profile,
    pub(super) log: JobLogger,
    pub(super) poll: Poll,
    /// The environment that the executor was started with.
    pub(super) inherited: Inherited,
    pub(super) started_with: StartedWith,
    /// Present where the kernel has SELinux.
    pub(super) policy: Option<Policy>,
    /// The end of the reports' pipe that children write to.
    pub(super) reporter: Reporter,
    pub(super) next_id: u64,
}

impl Context {
    /// A number for a job, a mailer or a lookup, which no other has had.
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

    /// What the child of a job needs to become its shell.
    pub(super) fn exec_spec(&self, start: &RunRequest, user: &UserWithGroups, command: &[u8]) -> ExecSpec {
        let mut spec = ExecSpec::of_shell(command, &self.environment(start, user), self.started_with);
        spec.identity = (!self.config.standalone).then(|| Identity::from(user));
        spec.runs_without_home = self.profile.runs_without_home || self.config.standalone;
        spec
    }
}

/// A job as the log names it.
pub(super) fn job_ref<'a>(job: &'a Job, command: &'a [u8]) -> JobRef<'a> {
    JobRef { start: &job.start, user: &job.user.name, command, pid: job.pid }
}
