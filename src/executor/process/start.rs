//! Starts jobs: from a request to a running process.

use super::children::Child;
use super::context::{Context, EventSource, ExecutorError, job_ref, token};
use super::kept_output::TAIL;
use super::mail;
use super::starts::QueuedStart;
use super::state::ExecutorState;
use crate::crontab::{Command, MailRule};
use crate::executor::config::RETRY_MS;
use crate::executor::exec_spec::{CLAIM_EXPIRED, ExecSpec, run_child};
use crate::executor::job::{Feed, Job, Pipes};
use crate::executor::job_log::JobRef;
use crate::executor::journal::ProcessId;
use crate::executor::link::Link;
use crate::executor::output::{Output, OutputLimits};
use crate::executor::owner::{OwnerKey, owner_of};
use crate::executor::selinux::Label;
use crate::executor::wire::ExecutorEvent;
use crate::report::Level;
use crate::scheduler::{Owner, RunOutcome, RunRequest, RunResult, SkipReason};
use crate::sys::cgroup::LeafCgroup;
use crate::sys::clock;
use crate::sys::files::reason;
use crate::sys::host;
use crate::sys::process::{self, Pid};
use crate::sys::process_list::{self, ProcessIdentity};
use crate::users::{CacheAnswer, User, UserError, UserWithGroups};
use std::io;
use std::rc::Rc;

/// Maximum number of starts before the loop handles other events.
const BATCH: usize = 8;
/// Pause when the template has unread requests for PAM monitors.
pub(super) const BEHIND_MS: i64 = 10;
const FIRST_BACKOFF_MS: i64 = 50;
const LONGEST_BACKOFF_MS: i64 = 2_000;
/// For so long a process is not reported to main unless another event is.
const PROCESSES_UNREPORTED_MS: i64 = 1_000;

/// Whether the claim of a fleet job is too old, as the machine has slept since or the start was held up, or its lease is at its end.
fn is_claim_expired(start: &RunRequest) -> bool {
    start.fleet.is_some_and(|fleet| clock::boot_ms() >= fleet.latest_start_ms())
}

impl ExecutorState {
    pub(super) fn take_start(&mut self, mut start: Box<RunRequest>, wants_pid: bool) {
        if self.starts.is_stopping {
            return self.refuse_start(&start);
        }
        let owner = owner_of(&start);
        if !self.memory.take_request(&owner, &mut start) {
            let why = "the commands and environments of this owner's running jobs take too much memory";
            let result = self.report_not_started(&start, why.into());
            // The request is not charged to its owner. So it is not held, the rules alone decide about the mail, and that does not need the
            // standard input.
            (start.rules.retries_left, start.rules.waits_for_decision) = (0, false);
            (start.command, start.literal) = (start.split(self.context.profile.backslash).shell.into(), true);
            let user = self.known_user(&start);
            return self.finish_not_started(start, result, user, None);
        }
        self.starts.queue.push_back(owner, QueuedStart { start, wants_pid, tried_since_ms: None, is_begun: false });
    }

    /// Refuses a start after starting has been stopped. A main that is still connected may wait for its result. The next main finds that it
    /// was not begun.
    pub(super) fn refuse_start(&mut self, start: &RunRequest) {
        self.mains.end_output(start.run);
        if self.mains.has_own() {
            // Without its own main the next main starts the run or reports why not.
            if self.context.config.standalone {
                let command = start.split(self.context.profile.backslash).shell;
                let user = if start.user.is_empty() { &start.source.name } else { &start.user };
                let job_ref = JobRef { start, user, command: &command, pid: None };
                self.context.log.skipped(job_ref, "the daemon was stopped while it waited for its start");
            }
            self.report_end(RunResult::of_outcome(
                start.run,
                RunOutcome::Skipped(SkipReason::Stopped),
                clock::wall_ms(),
            ));
        }
    }

    /// Stops starting. Waiting starts are left to the next main, except those that have been reported to main as begun.
    pub(super) fn stop_starting(&mut self) {
        self.starts.is_stopping = true;
        self.stop_waiting_for_identities();
        for queued in self.starts.queue.take_all() {
            if queued.is_begun {
                let why = "the daemon was stopped while there was no process to be had";
                let user = self.known_user(&queued.start);
                self.not_started(queued.start, why.into(), user);
                continue;
            }
            self.refuse_start(&queued.start);
            self.memory.release_request(&queued.start);
        }
    }

    /// Queues the starts again that waited for a user lookup.
    pub(super) fn stop_waiting_for_identities(&mut self) {
        for queued in self.starts.waiting_for_identity.drain(..) {
            self.starts.queue.push_back(owner_of(&queued.start), queued);
        }
    }

    /// Starts queued runs within the limit of the start limiter.
    pub(super) fn start_pending(&mut self, now_ms: i64) -> Result<(), ExecutorError> {
        self.starts.has_more = false;
        if self.starts.len() == 0 {
            self.starts.cancelled.clear();
        }
        if self.starts.queue.is_empty() || self.starts.backoff_until_ms > now_ms {
            return Ok(());
        }
        // A main that was killed may already have a successor, which starts the runs that are not begun now.
        self.handle_main()?;
        let mut capacity = self.starts.limiter.capacity(now_ms, self.starts.queue.len(), host::runnable);
        self.starts.users.refresh();
        self.pam.refresh_template(self.context.profile.pam_service);
        let mut resolved: Vec<ResolvedStart> = Vec::with_capacity(BATCH.min(self.starts.queue.len()));
        while self.starts.backoff_until_ms <= now_ms {
            if resolved.len() == BATCH {
                self.starts.has_more = true;
                break;
            }
            let owner_is_served = |owner: &OwnerKey| resolved.iter().any(|one| owner_of(&one.queued.start) == *owner);
            let next = match capacity {
                0 => self
                    .starts
                    .queue
                    .pop_if(|owner| self.starts.limiter.has_reserve_for(owner) && !owner_is_served(owner)),
                _ => self.starts.queue.pop_if(|_| true),
            };
            let Some((_, queued)) = next else { break };
            capacity = capacity.saturating_sub(1);
            resolved.extend(self.resolve(queued, now_ms));
        }
        self.begin_journal();
        self.journal.note_intents(&mut self.context, resolved.iter().map(|one| &*one.queued.start));
        self.launch_all(resolved, now_ms);
        Ok(())
    }

    /// Looks up the user and the SELinux context of a start. None if it cannot be started, or not now.
    fn resolve(&mut self, queued: QueuedStart, now_ms: i64) -> Option<ResolvedStart> {
        if let Some(end_reason) = self.starts.cancelled.remove(&queued.start.run) {
            let user = self.known_user(&queued.start);
            let result = self.report_not_started(&queued.start, "it was to be ended before it had a process".into());
            self.finish_not_started(queued.start, result, user, end_reason);
            return None;
        }
        let user = match &self.starts.caller {
            Some(caller) => caller.clone(),
            None => match self.identify(&queued.start) {
                Ok(Some(user)) => user,
                Ok(None) => {
                    self.starts.waiting_for_identity.push(queued);
                    return None;
                }
                Err(StartError::Temporary(error)) => {
                    self.try_again(queued, &error, now_ms);
                    return None;
                }
                Err(StartError::UnknownUser) => {
                    self.context.log.unknown_user(&queued.start.user);
                    self.not_started(queued.start, UserError::Unknown.to_string(), None);
                    return None;
                }
                Err(StartError::Permanent(why)) => {
                    self.not_started(queued.start, why, None);
                    return None;
                }
            },
        };
        let label = match self.context.policy.map(|policy| Label::of(policy, &queued.start, &user)).transpose() {
            Ok(label) => label.flatten(),
            Err(error) => {
                self.not_started(queued.start, error.to_string(), Some(user));
                return None;
            }
        };
        let has_monitor = self.needs_monitor(&queued.start, &user);
        if has_monitor && self.monitors_are_behind() {
            self.starts.backoff_until_ms = now_ms + BEHIND_MS;
            self.starts.queue.push_front(owner_of(&queued.start), queued);
            return None;
        }
        Some(ResolvedStart { queued, user, label, has_monitor })
    }

    /// Passes the jobs of a batch to PAM monitors or forks them. When a resource is exhausted, the remaining starts are put back in their
    /// order.
    fn launch_all(&mut self, resolved: Vec<ResolvedStart>, now_ms: i64) {
        let (mut to_fork, mut failed, mut put_back) = (Vec::with_capacity(resolved.len()), None, Vec::new());
        for ResolvedStart { queued, user, label, has_monitor } in resolved {
            if is_claim_expired(&queued.start) {
                self.not_started(queued.start, CLAIM_EXPIRED.into(), Some(user));
                continue;
            }
            if has_monitor && self.monitors_are_behind() {
                self.starts.backoff_until_ms = now_ms + BEHIND_MS;
            }
            if failed.is_some() || self.starts.backoff_until_ms > now_ms {
                put_back.push(queued);
                continue;
            }
            let prepared = if has_monitor {
                self.hand_to_monitor(&queued.start, user, label)
            } else {
                self.prepare_fork(&queued.start, user, label)
            };
            match prepared {
                Ok(prepared) if has_monitor => self.add_job(prepared, queued, None, now_ms),
                Ok(prepared) => to_fork.push((queued, prepared)),
                Err(error) => failed = Some((queued, error)),
            }
        }
        for queued in put_back.into_iter().rev() {
            self.put_back(queued);
        }
        if let Some((queued, error)) = failed {
            self.try_again(queued, &error, now_ms);
        }
        self.fork_all(to_fork, now_ms);
    }

    /// Puts back a start that was about to be made.
    fn put_back(&mut self, queued: QueuedStart) {
        if !queued.is_begun {
            self.journal.journal().withdraw(queued.start.run);
        }
        self.starts.queue.push_front(owner_of(&queued.start), queued);
    }

    /// Forks the jobs of a batch one directly after the other. A fork shares the memory of the process, and each page that is written to
    /// afterwards is copied, so as little as possible is written between two forks.
    fn fork_all(&mut self, prepared: Vec<(QueuedStart, PreparedStart)>, now_ms: i64) {
        let forked: Vec<io::Result<Pid>> = prepared.iter().map(|(_, prepared)| self.create_process(prepared)).collect();
        let mut refused = Vec::new();
        for ((queued, prepared), forked) in prepared.into_iter().zip(forked) {
            match forked {
                Ok(pid) => {
                    self.children.insert(pid, Child::Job(prepared.id));
                    // The child has not been waited for, so this is its entry.
                    self.add_job(prepared, queued, Some((pid, process_list::identity(pid))), now_ms);
                }
                Err(error) => {
                    self.cgroups.end(&mut self.context, prepared.leaf);
                    refused.push((queued, error));
                }
            }
        }
        // These starts keep their order and stay ahead of later ones.
        for (queued, error) in refused.into_iter().rev() {
            self.try_again(queued, &error, now_ms);
        }
    }

    /// Starts the process of a job: a fork, and in standalone mode posix_spawn(3) where that can do it.
    fn create_process(&self, prepared: &PreparedStart) -> io::Result<Pid> {
        let Starter::Fork(spec) = &prepared.starter else { return Err(io::ErrorKind::InvalidInput.into()) };
        let stdio = prepared.pipes.stdio();
        let Context { threads, reporter, profile, config, .. } = &self.context;
        if config.standalone
            && let Some(pid) = spec.spawn(threads, stdio)
        {
            return Ok(pid);
        }
        process::fork(threads, |child| run_child(&child, spec, stdio, reporter, profile.profile))
    }

    /// Looks up the user of the job. None: the lookup is in progress.
    pub(super) fn identify(&mut self, start: &RunRequest) -> Result<Option<Rc<UserWithGroups>>, StartError> {
        let id = self.context.new_id();
        let user = match self.starts.users.user(&self.context.threads, &start.user, id)? {
            CacheAnswer::Known(answer) => answer.map_err(StartError::of)?,
            CacheAnswer::Waiting => {
                if let Some(pipe) = self.starts.users.pipe(id) {
                    self.context.poll.add(pipe, token(EventSource::LookUp, id))?;
                }
                return Ok(None);
            }
        };
        match start.source.owner {
            // A crontab that root has placed there under the user's name counts as the user's.
            Owner::User { uid, .. } if uid != user.uid && uid != 0 => Err(StartError::Permanent(format!(
                "the table belongs to uid {uid}, but {} is uid {} now",
                user.name, user.uid
            ))),
            Owner::User { .. } | Owner::System | Owner::Caller => Ok(Some(user)),
        }
    }

    /// Retries a start that failed for lack of processes or descriptors, in the order of the requests and for up to a minute.
    pub(super) fn try_again(&mut self, mut queued: QueuedStart, error: &io::Error, now_ms: i64) {
        let since = *queued.tried_since_ms.get_or_insert(now_ms);
        if now_ms - since < RETRY_MS {
            self.put_back(queued);
            self.hold(error, now_ms);
        } else {
            let user = self.known_user(&queued.start);
            self.not_started(queued.start, format!("starting the process: {}", reason(error)), user);
        }
    }

    /// Pauses starting; the pause doubles with each failure in a row.
    fn hold(&mut self, error: &io::Error, now_ms: i64) {
        if self.starts.backoff_ms == 0 {
            self.context.log.own(Level::Warning, "WARNING", &format!("starting jobs is delayed: {}", reason(error)));
        }
        self.starts.backoff_ms = (self.starts.backoff_ms * 2).clamp(FIRST_BACKOFF_MS, LONGEST_BACKOFF_MS);
        self.starts.backoff_until_ms = now_ms + self.starts.backoff_ms;
    }

    /// Prepares a job that the executor forks. An error means that nothing has been started and the start can be retried.
    fn prepare_fork(
        &mut self,
        start: &RunRequest,
        user: Rc<UserWithGroups>,
        label: Option<Label>,
    ) -> io::Result<PreparedStart> {
        let command = start.split(self.context.profile.backslash);
        let (id, pipes) = self.open_pipes(start, &user)?;
        let (leaf, cgroup_descriptor) = self.cgroups.create(&mut self.context, start.run).unzip();
        let spec = ExecSpec { label, cgroup_descriptor, ..self.context.job_spec(start, &user, &command.shell) };
        Ok(PreparedStart { id, user, pipes, command, leaf, starter: Starter::Fork(spec) })
    }

    /// Opens and registers the pipes of a job and gives it a number. Standard error has its own pipe only where that is needed, since the order
    /// in which a job writes to two pipes is known only as far as they are read in between.
    pub(super) fn open_pipes(&mut self, start: &RunRequest, user: &User) -> io::Result<(u64, Pipes)> {
        let standalone = self.context.config.standalone;
        let pipes = Pipes::open(standalone || start.rules.fails_on_stderr, (!standalone).then_some(user.uid))?;
        let id = self.context.new_id();
        self.context.poll.add(&pipes.our_output, token(EventSource::Output, id))?;
        if let Some(error) = &pipes.our_error {
            self.context.poll.add(error, token(EventSource::Error, id))?;
        }
        Ok((id, pipes))
    }

    /// Adds a job to the running ones. `pid` is None if a PAM monitor starts it.
    fn add_job(
        &mut self,
        prepared: PreparedStart,
        queued: QueuedStart,
        process: Option<(Pid, Option<ProcessIdentity>)>,
        now_ms: i64,
    ) {
        let PreparedStart { id, user, pipes, command, leaf, starter } = prepared;
        let monitor = match starter {
            Starter::Monitor(link) => Some(link),
            Starter::Fork(_) => None,
        };
        let owner = owner_of(&queued.start);
        self.starts.limiter.begin(id, owner.clone(), now_ms);
        self.starts.begun.push(queued.start.run);
        let Pipes { our_input, our_output, our_error, .. } = pipes;
        let input_size = command.stdin.as_ref().map_or(0, Vec::len);
        self.memory.requests.take(&owner, input_size);
        let output = Output::with_limits(self.output_limits(&queued.start));
        let output = match queued.start.rules.mail {
            MailRule::Change => output.with_digest(),
            MailRule::Output | MailRule::Failure | MailRule::Never => output,
        };
        let job = Job {
            start: queued.start,
            owner,
            wants_pid: queued.wants_pid,
            tried_since_ms: queued.tried_since_ms,
            user,
            pid: None,
            process: None,
            leaf,
            ends_at_start: false,
            is_timeout: false,
            end_reason: None,
            monitor,
            started_ms: clock::monotonic_ms(),
            started_at_ms: clock::wall_ms(),
            output,
            pipe: Some(our_output),
            error_pipe: our_error,
            feed: command.stdin.and_then(|data| Feed::new(our_input, data).ok()),
            input_size,
            failure: None,
            result: None,
            grace_ms: 0,
            pam_variables: None,
        };
        self.jobs.running.insert(id, job);
        if let Some((pid, process)) = process {
            self.started(id, pid, process);
        }
        self.begin_feed(id);
    }

    /// How much of a run's output is kept: what a mail or the log may have of it, else what the history and hooks get.
    fn output_limits(&self, start: &RunRequest) -> OutputLimits {
        if mail::may_be_wanted(&self.context, start) {
            return OutputLimits::OF_MAIL;
        }
        OutputLimits::of_excerpts(start.rules.history_output, if start.rules.keeps_output { TAIL } else { 0 })
    }

    /// Records that the job's process has been started.
    pub(super) fn started(&mut self, id: u64, pid: Pid, process: Option<ProcessIdentity>) {
        (self.starts.backoff_ms, self.starts.backoff_until_ms) = (0, 0);
        let Some(job) = self.jobs.running.get_mut(&id) else { return };
        (job.pid, job.process) = (Some(pid), process);
        (job.started_ms, job.started_at_ms) = (clock::monotonic_ms(), clock::wall_ms());
        self.starts.limiter.has_process(id, job.started_ms);
        let run = job.start.run;
        self.starts.new_processes.extend(job.run_process());
        self.starts.report_processes_ms.get_or_insert(job.started_ms + PROCESSES_UNREPORTED_MS);
        if job.wants_pid {
            // An event is far shorter than the longest message.
            self.mains.send_to_own(&ExecutorEvent::Started { run: job.start.run, pid });
        }
        let command = job.command(self.context.profile);
        self.context.log.started(job_ref(job, &command));
        if let Some(timeout_ms) = job.timeout_ms() {
            self.endings.set_timeout(id, timeout_ms);
        }
        if let Some(end_by_ms) = job.start.fleet.and_then(|fleet| fleet.end_by_ms) {
            self.endings.leases.insert(id, end_by_ms);
        }
        if let Some(ProcessIdentity { pid, started }) = process {
            self.journal.journal().has_process(run, ProcessId { pid, started });
        }
        if job.ends_at_start || self.jobs.ending.is_some() {
            self.end_job(id, self.jobs.ending, clock::monotonic_ms());
        }
    }

    fn begin_feed(&mut self, id: u64) {
        let Some(job) = self.jobs.running.get_mut(&id) else { return };
        let Some(feed) = &mut job.feed else { return };
        // If the pipe cannot be registered, it is closed and the job sees the end of its input.
        if feed.proceed() || self.context.poll.add_for_writing(&feed.pipe, token(EventSource::Feed, id)).is_err() {
            job.feed = None;
        }
    }

    pub(super) fn feed(&mut self, id: u64) {
        let Some(job) = self.jobs.running.get_mut(&id) else { return };
        if job.feed.as_mut().is_some_and(Feed::proceed) {
            job.feed = None;
        }
    }

    /// The user of a start. None: it cannot be run as that user, or the lookup is not complete.
    fn known_user(&mut self, start: &RunRequest) -> Option<Rc<UserWithGroups>> {
        match &self.starts.caller {
            Some(caller) => Some(caller.clone()),
            None => self.identify(start).ok().flatten(),
        }
    }

    /// Logs and reports a run that could not be started, and has that mailed by the rules of its job. `user` is None if it cannot be run as
    /// its user.
    fn not_started(&mut self, start: Box<RunRequest>, why: String, user: Option<Rc<UserWithGroups>>) {
        let result = self.report_not_started(&start, why);
        self.finish_not_started(start, result, user, None);
    }

    fn report_not_started(&mut self, start: &RunRequest, why: String) -> RunResult {
        let command = start.split(self.context.profile.backslash).shell;
        let user = if start.user.is_empty() { "CRON" } else { start.user.as_str() };
        self.context.log.not_started(JobRef { start, user, command: &command, pid: None }, &why);
        self.starts.begun.push(start.run);
        self.mains.end_output(start.run);
        self.begin_journal();
        self.journal.journal().intend(start, clock::wall().seconds);
        let result = RunResult::of_outcome(start.run, RunOutcome::NotStarted { why }, clock::wall_ms());
        self.report_end(result.clone());
        result
    }
}

/// Why a start cannot continue with the user's identity.
pub(super) enum StartError {
    /// No user has that name.
    UnknownUser,
    /// The start is given up for this reason.
    Permanent(String),
    /// The system had no process or descriptor left. The start is retried.
    Temporary(io::Error),
}

impl StartError {
    fn of(error: UserError) -> StartError {
        match error {
            UserError::Unknown => StartError::UnknownUser,
            UserError::Failed(_) | UserError::TimedOut => StartError::Permanent(error.to_string()),
        }
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> StartError {
        StartError::Temporary(error)
    }
}

/// A start whose user and SELinux context are known.
struct ResolvedStart {
    queued: QueuedStart,
    user: Rc<UserWithGroups>,
    label: Option<Label>,
    /// Whether a PAM monitor starts it.
    has_monitor: bool,
}

/// A start with everything that its job needs.
pub(super) struct PreparedStart {
    pub(super) id: u64,
    pub(super) user: Rc<UserWithGroups>,
    pub(super) pipes: Pipes,
    pub(super) command: Command,
    /// The cgroup of the job, if the executor has created one.
    pub(super) leaf: Option<LeafCgroup>,
    pub(super) starter: Starter,
}

/// How the job's process is started.
pub(super) enum Starter {
    /// The executor forks it.
    Fork(ExecSpec),
    /// The PAM monitor at the other end of the connection starts it.
    Monitor(Link),
}
