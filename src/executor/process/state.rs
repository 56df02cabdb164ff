//! The executor's state, with a part for each of its tasks.

use super::cgroups::Cgroups;
use super::children::Children;
use super::context::{Context, EventSource, ExecutorError, token};
use super::follow_ups::FollowUps;
use super::job_endings::Endings;
use super::kept_output::KeptOutput;
use super::late_jobs::LateJobs;
use super::mail::Mails;
use super::mains::MainConnections;
use super::pam::Pam;
use super::run_journal::RunJournal;
use super::running::RunningJobs;
use super::start_limiter::StartLimiter;
use super::starts::Starts;
use crate::executor::config::ExecutorConfig;
use crate::executor::environment::Inherited;
use crate::executor::exec_spec::{OriginalLimits, Reporter, Reports};
use crate::executor::job_log::JobLogger;
use crate::executor::link::Link;
use crate::executor::output;
use crate::executor::owner::OwnerMemory;
use crate::executor::relay::{LineFormat, Relay};
use crate::sys::contract::SingleThreaded;
use crate::sys::descriptor;
use crate::sys::error::os;
use crate::sys::poll::Poll;
use crate::sys::process::{self, DescriptorLimit};
use crate::sys::selinux::Policy;
use crate::sys::signal::Signals;
use crate::users::{User, UserCache, UserWithGroups};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// Descriptor limit of the executor. It needs one or two descriptors for each running job.
const DESCRIPTORS: u64 = 1 << 20;

/// What the executor knows: its jobs, mails, connections and limits.
pub(super) struct ExecutorState {
    pub(super) context: Context,
    pub(super) signals: Signals,
    /// The failures that children report before their exec.
    pub(super) reports: Reports,
    pub(super) mains: MainConnections,
    pub(super) journal: RunJournal,
    pub(super) starts: Starts,
    pub(super) pam: Pam,
    pub(super) children: Children,
    pub(super) jobs: RunningJobs,
    pub(super) cgroups: Cgroups,
    pub(super) endings: Endings,
    /// Jobs that have ended and whose background processes may still write.
    pub(super) late: LateJobs,
    pub(super) mails: Mails,
    pub(super) kept: KeptOutput,
    pub(super) follow_ups: FollowUps,
    pub(super) memory: OwnerMemory,
}

impl ExecutorState {
    pub(super) fn new(
        threads: SingleThreaded,
        config: ExecutorConfig,
        socket: OwnedFd,
        journal: Option<File>,
    ) -> Result<ExecutorState, ExecutorError> {
        let profile = config.profile.profile();
        let original_limits = OriginalLimits::own().map_err(os("reading the descriptor limit"))?;
        raise(original_limits.limit);
        if !config.standalone {
            process::enter(c"/").map_err(os("entering /"))?;
        }
        let caller = if config.standalone {
            process::adopt_orphans().map_err(os("adopting orphans"))?;
            Some(Rc::new(caller()))
        } else {
            None
        };
        let relay = config.standalone.then(|| Relay::new(LineFormat::of(&config)));
        let (reporter, reports) = Reporter::new().map_err(os("making a pipe"))?;
        let poll = Poll::new().map_err(os("making the poll"))?;
        let signals = Signals::new().map_err(os("listening to signals"))?;
        let main = Link::new(socket);
        poll.add(&main, token(EventSource::Main, 0)).map_err(os("waiting for main"))?;
        poll.add(&signals, token(EventSource::Signals, 0)).map_err(os("waiting for signals"))?;
        poll.add(&reports, token(EventSource::Reports, 0)).map_err(os("waiting for reports"))?;
        let mut log = JobLogger::new(&config);
        let writable = log.writable().map_err(os("making the log's poll"))?;
        poll.add(writable, token(EventSource::Log, 0)).map_err(os("waiting for the log"))?;
        let policy = if config.standalone { None } else { Policy::of_machine() };
        let users = if config.standalone { UserCache::default() } else { UserCache::new(policy) };
        let limiter = StartLimiter::new(config.starts_in_flight);
        Ok(ExecutorState {
            signals,
            reports,
            mains: MainConnections::new(main),
            journal: RunJournal::new(config.journal.clone(), journal),
            starts: Starts::new(limiter, users, caller),
            pam: Pam::default(),
            children: Children::new(),
            jobs: RunningJobs::new(relay),
            cgroups: Cgroups::default(),
            endings: Endings::default(),
            late: LateJobs::default(),
            mails: Mails::new(&threads, descriptor::dev_null().map_err(os("opening /dev/null"))?),
            kept: KeptOutput::default(),
            follow_ups: FollowUps::default(),
            memory: OwnerMemory::new(output::budget()),
            context: Context {
                policy,
                threads,
                config,
                profile,
                log,
                poll,
                inherited: Inherited::own(),
                original_limits,
                reporter,
                next_id: 0,
            },
        })
    }
}

/// Raises the descriptor limit of the executor as far as possible. Jobs get the original limit back.
fn raise(limit: DescriptorLimit) {
    let wanted = DescriptorLimit { soft: limit.hard.max(DESCRIPTORS), hard: limit.hard.max(DESCRIPTORS) };
    let possible = DescriptorLimit { soft: limit.hard, hard: limit.hard };
    // The higher limit is not needed before a thousand jobs run at once, and a start that finds no descriptor is retried.
    let _ = wanted.set().or_else(|_| possible.set());
}

/// The user whose identity `crond FILE` has, and so all its jobs.
fn caller() -> UserWithGroups {
    let user = User::of_caller();
    user.clone().with_groups().unwrap_or_else(|_| UserWithGroups { groups: vec![user.gid], user, context: None })
}
