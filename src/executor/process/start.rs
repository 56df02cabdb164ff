//! Starts jobs: from a request to a running process.

use super::children::Child;
use super::context::{ExecutorError, Kind, job_ref, token};
use super::running::end_group;
use super::starts::QueuedStart;
use super::state::ExecutorState;
use crate::crontab::Command;
use crate::executor::config::RETRY_MS;
use crate::executor::exec_spec::{ExecSpec, child};
use crate::executor::job::{Feed, Job, Pipes};
use crate::executor::job_log::JobRef;
use crate::executor::journal::ProcessId;
use crate::executor::label::Label;
use crate::executor::link::Link;
use crate::executor::output::Output;
use crate::executor::owner::{OwnerKey, owner_of};
use crate::executor::wire::ExecutorEvent;
use crate::report::Level;
use crate::scheduler::{MailResult, Owner, RunOutcome, RunRequest, RunResult, SkipReason};
use crate::sys::clock;
use crate::sys::files::reason;
use crate::sys::host;
use crate::sys::process::{self, Pid};
use crate::users::{CacheAnswer, User, UserError, UserWithGroups};
use std::io;
use std::rc::Rc;

/// Most starts that are made before the loop turns to other events.
const BATCH: usize = 8;
/// How long PAM monitors that are behind are given before they are asked for more.
const BEHIND_MS: i64 = 10;
const FIRST_HOLD_MS: i64 = 50;
const LONGEST_HOLD_MS: i64 = 2_000;

impl ExecutorState {
    pub(super) fn take_start(&mut self, mut start: Box<RunRequest>, tell_pid: bool) {
        if self.starts.is_stopping {
            return self.refuse_start(&start);
        }
        let owner = owner_of(&start);
        if !self.memory.take_request(&owner, &mut start) {
            let why = "the commands and environments of this owner's running jobs take too much memory";
            return self.not_started(start, why.into());
        }
        self.starts.queue.push_back(owner, QueuedStart { start, tell_pid, tried_since_ms: None, is_begun: false });
    }

    /// A start that comes when no more are made. A main that is still there may be waiting for its end; the next one finds that it is not among
    /// those that were begun.
    pub(super) fn refuse_start(&mut self, start: &RunRequest) {
        if self.mains.has_own() {
            // Otherwise the next main makes it, or says why not.
            if self.context.config.standalone {
                let command = start.split(self.context.profile.backslash).shell;
                let user = if start.user.is_empty() { &start.source.name } else { &start.user };
                let about = JobRef { start, user, command: &command, pid: None };
                self.context.log.skipped(about, "the daemon was stopped while it waited for its start");
            }
            self.report_end(RunResult::of_outcome(
                start.run,
                RunOutcome::Skipped(SkipReason::Stopped),
                clock::wall_ms(),
            ));
        }
    }

    /// Makes no more starts. What waits is left to the next main, but for that of which main was told that it had begun.
    pub(super) fn stop_starting(&mut self) {
        self.starts.is_stopping = true;
        self.stop_waiting_for_identities();
        for queued in self.starts.queue.take_all() {
            if queued.is_begun {
                self.not_started(queued.start, "the daemon was stopped while there was no process to be had".into());
                continue;
            }
            self.refuse_start(&queued.start);
            self.memory.release_request(&queued.start);
        }
    }

    /// Those that waited for their owner to be looked up wait for their turn.
    pub(super) fn stop_waiting_for_identities(&mut self) {
        for queued in self.starts.waiting_for_identity.drain(..) {
            self.starts.queue.push_back(owner_of(&queued.start), queued);
        }
    }

    /// Starts what waits, as far as the machine bears it.
    pub(super) fn start_pending(&mut self, now_ms: i64) -> Result<(), ExecutorError> {
        self.starts.has_more = false;
        if self.starts.queue.is_empty() || self.starts.held_until_ms > now_ms {
            return Ok(());
        }
        // A main that has been killed may have a successor already, which starts what is not begun now.
        self.handle_main()?;
        let mut room = self.starts.limiter.capacity(now_ms, self.starts.queue.len(), host::runnable);
        self.starts.users.refresh();
        self.pam.freshen(self.context.profile.pam_service);
        let mut cleared: Vec<ClearedStart> = Vec::with_capacity(BATCH.min(self.starts.queue.len()));
        while self.starts.held_until_ms <= now_ms {
            if cleared.len() == BATCH {
                self.starts.has_more = true;
                break;
            }
            let is_cleared = |owner: &OwnerKey| cleared.iter().any(|one| owner_of(&one.queued.start) == *owner);
            let next = match room {
                0 => self.starts.queue.pop_if(|owner| self.starts.limiter.has_reserve_for(owner) && !is_cleared(owner)),
                _ => self.starts.queue.pop_if(|_| true),
            };
            let Some((_, queued)) = next else { break };
            room = room.saturating_sub(1);
            cleared.extend(self.clear(queued, now_ms));
        }
        self.begin_journal();
        self.journal.note_intents(&mut self.context, cleared.iter().map(|one| &*one.queued.start));
        self.launch_all(cleared, now_ms);
        Ok(())
    }

    /// Finds out who the job is to run as, and in which context. None: it cannot be started, or not now.
    fn clear(&mut self, queued: QueuedStart, now_ms: i64) -> Option<ClearedStart> {
        let user = match &self.starts.caller {
            Some(caller) => caller.clone(),
            None => match self.identify(&queued.start) {
                Ok(Some(user)) => user,
                Ok(None) => {
                    self.starts.waiting_for_identity.push(queued);
                    return None;
                }
                Err(Refusal::Try(error)) => {
                    self.try_again(queued, &error, now_ms);
                    return None;
                }
                Err(Refusal::Nobody) => {
                    self.context.log.unknown_user(&queued.start.user);
                    self.not_started(queued.start, UserError::Unknown.to_string());
                    return None;
                }
                Err(Refusal::Never(why)) => {
                    self.not_started(queued.start, why);
                    return None;
                }
            },
        };
        let label = match self.context.policy.map(|policy| Label::of(policy, &queued.start)).transpose() {
            Ok(label) => label.flatten(),
            Err(error) => {
                self.not_started(queued.start, error.to_string());
                return None;
            }
        };
        let has_monitor = self.needs_monitor(&queued.start, &user);
        if has_monitor && self.monitors_are_behind() {
            self.starts.held_until_ms = now_ms + BEHIND_MS;
            self.starts.queue.push_front(owner_of(&queued.start), queued);
            return None;
        }
        Some(ClearedStart { queued, user, label, has_monitor })
    }

    /// Hands the jobs of a batch to PAM monitors or forks them. When something is short, those after it wait, in their order.
    fn launch_all(&mut self, cleared: Vec<ClearedStart>, now_ms: i64) {
        let (mut to_fork, mut failed, mut put_back) = (Vec::with_capacity(cleared.len()), None, Vec::new());
        for ClearedStart { queued, user, label, has_monitor } in cleared {
            if has_monitor && self.monitors_are_behind() {
                self.starts.held_until_ms = now_ms + BEHIND_MS;
            }
            if failed.is_some() || self.starts.held_until_ms > now_ms {
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

    /// Has a start wait again that was about to be made.
    fn put_back(&mut self, queued: QueuedStart) {
        if !queued.is_begun {
            self.journal.journal().withdraw(queued.start.run);
        }
        self.starts.queue.push_front(owner_of(&queued.start), queued);
    }

    /// Forks the jobs of a batch one right after the other: a fork makes the process's memory shared, and every page that it then writes to
    /// is copied, so it writes as little as possible between two of them.
    fn fork_all(&mut self, prepared: Vec<(QueuedStart, PreparedStart)>, now_ms: i64) {
        let forked: Vec<io::Result<Pid>> = prepared.iter().map(|(_, prepared)| self.fork(prepared)).collect();
        let mut refused = Vec::new();
        for ((queued, prepared), forked) in prepared.into_iter().zip(forked) {
            match forked {
                Ok(pid) => {
                    self.children.insert(pid, Child::Job(prepared.id));
                    self.add_job(prepared, queued, Some(pid), now_ms);
                }
                Err(error) => refused.push((queued, error)),
            }
        }
        // In their old order, before all that came later.
        for (queued, error) in refused.into_iter().rev() {
            self.try_again(queued, &error, now_ms);
        }
    }

    /// Forks a job, standalone too. There posix_spawn(3) would do, but for three things: it cannot give the child another descriptor limit than
    /// ours, it resets no real-time signal of libc's own, and its one error does not say whether the home directory or the shell is missing.
    fn fork(&self, prepared: &PreparedStart) -> io::Result<Pid> {
        let Starter::Fork(spec) = &prepared.starter else { return Err(io::ErrorKind::InvalidInput.into()) };
        let stdio = prepared.pipes.stdio();
        process::fork(|| child(spec, stdio, &self.context.reporter, self.context.profile.profile))
    }

    /// Who the job's owner is now. None: it is being asked for.
    fn identify(&mut self, start: &RunRequest) -> Result<Option<Rc<UserWithGroups>>, Refusal> {
        let id = self.context.new_id();
        let user = match self.starts.users.user(&start.user, id)? {
            CacheAnswer::Known(answer) => answer.map_err(Refusal::of)?,
            CacheAnswer::Waiting => {
                if let Some(pipe) = self.starts.users.pipe(id) {
                    self.context.poll.add(pipe, token(Kind::LookUp, id))?;
                }
                return Ok(None);
            }
        };
        match start.source.owner {
            // A table that root put there in the user's name is the user's.
            Owner::User { uid, .. } if uid != user.uid && uid != 0 => Err(Refusal::Never(format!(
                "the table belongs to uid {uid}, but {} is uid {} now",
                user.name, user.uid
            ))),
            Owner::User { .. } | Owner::System | Owner::Caller => Ok(Some(user)),
        }
    }

    /// There was no process or descriptor to be had: soon again, in the order of the orders, for a minute.
    pub(super) fn try_again(&mut self, mut queued: QueuedStart, error: &io::Error, now_ms: i64) {
        let since = *queued.tried_since_ms.get_or_insert(now_ms);
        if now_ms - since < RETRY_MS {
            self.put_back(queued);
            self.hold(error, now_ms);
        } else {
            self.not_started(queued.start, format!("starting the process: {}", reason(error)));
        }
    }

    /// Makes no start for a while, longer each time in a row.
    fn hold(&mut self, error: &io::Error, now_ms: i64) {
        if self.starts.hold_ms == 0 {
            self.context.log.own(Level::Warning, "WARNING", &format!("starting jobs is held up: {}", reason(error)));
        }
        self.starts.hold_ms = (self.starts.hold_ms * 2).clamp(FIRST_HOLD_MS, LONGEST_HOLD_MS);
        self.starts.held_until_ms = now_ms + self.starts.hold_ms;
    }

    /// Prepares a job that the executor forks. An error means that nothing has happened and it can be tried again.
    fn prepare_fork(
        &mut self,
        start: &RunRequest,
        user: Rc<UserWithGroups>,
        label: Option<Label>,
    ) -> io::Result<PreparedStart> {
        let command = start.split(self.context.profile.backslash);
        let spec = ExecSpec { label, ..self.context.exec_spec(start, &user, &command.shell) };
        let (id, pipes) = self.open_pipes(&user)?;
        Ok(PreparedStart { id, user, pipes, command, starter: Starter::Fork(spec) })
    }

    /// Pipes for a job, ours waited for, and the job's number.
    pub(super) fn open_pipes(&mut self, user: &User) -> io::Result<(u64, Pipes)> {
        let standalone = self.context.config.standalone;
        let pipes = Pipes::open(standalone, (!standalone).then_some(user.uid))?;
        let id = self.context.new_id();
        self.context.poll.add(&pipes.our_output, token(Kind::Output, id))?;
        if let Some(error) = &pipes.our_error {
            self.context.poll.add(error, token(Kind::Error, id))?;
        }
        Ok((id, pipes))
    }

    /// Takes a job among those that run; `pid` is none when a PAM monitor sees to it.
    fn add_job(&mut self, prepared: PreparedStart, queued: QueuedStart, pid: Option<Pid>, now_ms: i64) {
        let PreparedStart { id, user, pipes, command, starter } = prepared;
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
        let job = Job {
            start: queued.start,
            owner,
            tell_pid: queued.tell_pid,
            tried_since_ms: queued.tried_since_ms,
            user,
            pid: None,
            monitor,
            started_ms: clock::monotonic_ms(),
            started_at_ms: clock::wall_ms(),
            output: Output::default(),
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
        if let Some(pid) = pid {
            self.started(id, pid);
        }
        self.begin_feed(id);
    }

    /// The job's process is there.
    pub(super) fn started(&mut self, id: u64, pid: Pid) {
        (self.starts.hold_ms, self.starts.held_until_ms) = (0, 0);
        let Some(job) = self.jobs.running.get_mut(&id) else { return };
        job.pid = Some(pid);
        (job.started_ms, job.started_at_ms) = (clock::monotonic_ms(), clock::wall_ms());
        self.starts.limiter.has_process(id, job.started_ms);
        let run = job.start.run;
        if job.tell_pid {
            // A notice is far below the wire's bound.
            self.mains.tell_own(&ExecutorEvent::Started { run: job.start.run, pid });
        }
        let command = job.command(self.context.profile);
        self.context.log.started(job_ref(job, &command));
        if let Some(ask) = self.jobs.ending {
            end_group(job, ask);
        }
        if let Some(started) = host::process_started(pid).and_then(|started| started.parse().ok()) {
            self.journal.journal().has_process(run, ProcessId { pid, started });
        }
    }

    fn begin_feed(&mut self, id: u64) {
        let Some(job) = self.jobs.running.get_mut(&id) else { return };
        let Some(feed) = &mut job.feed else { return };
        // What cannot be waited for is not fed further: the job sees the end of its input.
        if feed.proceed() || self.context.poll.add_for_writing(&feed.pipe, token(Kind::Feed, id)).is_err() {
            job.feed = None;
        }
    }

    pub(super) fn feed(&mut self, id: u64) {
        let Some(job) = self.jobs.running.get_mut(&id) else { return };
        if job.feed.as_mut().is_some_and(Feed::proceed) {
            job.feed = None;
        }
    }

    /// A due moment that ends without a process.
    pub(super) fn not_started(&mut self, start: Box<RunRequest>, why: String) {
        let command = start.split(self.context.profile.backslash).shell;
        let user = if start.user.is_empty() { "CRON" } else { start.user.as_str() };
        self.context.log.not_started(JobRef { start: &start, user, command: &command, pid: None }, &why);
        self.starts.begun.push(start.run);
        self.begin_journal();
        self.journal.journal().intend(&start, clock::wall().seconds);
        self.report_end(RunResult::of_outcome(start.run, RunOutcome::NotStarted { why }, clock::wall_ms()));
        self.report_mail(start.run, MailResult::NotWanted);
        self.memory.release_request(&start);
    }
}

/// Why the user of a job is not known.
enum Refusal {
    /// No user has that name.
    Nobody,
    /// The start is given up, for this reason.
    Never(String),
    /// The system had no process or descriptor left: to be tried again.
    Try(io::Error),
}

impl Refusal {
    fn of(error: UserError) -> Refusal {
        match error {
            UserError::Unknown => Refusal::Nobody,
            UserError::Failed(_) | UserError::TimedOut => Refusal::Never(error.to_string()),
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        Refusal::Try(error)
    }
}

/// A start of which the user and the context are known.
struct ClearedStart {
    queued: QueuedStart,
    user: Rc<UserWithGroups>,
    label: Option<Label>,
    /// A PAM monitor starts it.
    has_monitor: bool,
}

/// A start with everything that its job needs.
pub(super) struct PreparedStart {
    /// The job's number.
    pub(super) id: u64,
    pub(super) user: Rc<UserWithGroups>,
    pub(super) pipes: Pipes,
    pub(super) command: Command,
    pub(super) starter: Starter,
}

/// Who makes the job's process.
pub(super) enum Starter {
    /// The executor, by a fork.
    Fork(ExecSpec),
    /// The PAM monitor at the other end.
    Monitor(Link),
}
