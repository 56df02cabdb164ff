//! The executor's way from an order to a started job.

use super::{Child, ExecutorError, ExecutorState, Kind, end_group, token};
use crate::crontab::Command;
use crate::executor::config::RETRY_MS;
use crate::executor::environment::{self, Variables};
use crate::executor::exec_spec::{ExecSpec, Identity, child};
use crate::executor::identity::{Asked, IdentityError};
use crate::executor::job::{Feed, Job, Pipes};
use crate::executor::job_log::JobRef;
use crate::executor::journal::ProcessId;
use crate::executor::label::Label;
use crate::executor::link::Link;
use crate::executor::output::Output;
use crate::executor::owner::{OwnerKey, owner_of};
use crate::executor::wire::ExecutorEvent;
use crate::report::Level;
use crate::scheduler::{Environment, MailResult, Owner, RunOutcome, RunRequest, RunResult, SkipReason};
use crate::sys::clock;
use crate::sys::files::reason;
use crate::sys::host;
use crate::sys::process::{self, Pid};
use crate::sys::user::User;
use std::io;
use std::rc::Rc;

/// Most starts before the loop looks at everything else.
const BATCH: usize = 8;
/// How long PAM monitors that are behind are given before they are asked for more.
const BEHIND_MS: i64 = 10;
const FIRST_HOLD_MS: i64 = 50;
const LONGEST_HOLD_MS: i64 = 2_000;

impl ExecutorState {
    pub(super) fn take_start(&mut self, start: Box<RunRequest>, tell_pid: bool) {
        if self.is_stopping {
            return self.refuse_start(&start);
        }
        let owner = owner_of(&start);
        // The command counts twice, as part of it may be the job's standard input.
        let size = 2 * start.command.len() + start.variables.bytes().len();
        if !self.held.has_room(&owner, size) {
            let why = "the commands and environments of this owner's running jobs take too much memory";
            return self.not_started(start, why.into());
        }
        let mut start = start;
        start.command = self.interner.intern(&owner, start.command, &mut self.held);
        let variables = self.interner.intern(&owner, start.variables.bytes().clone(), &mut self.held);
        start.variables = Environment::with_bytes(variables);
        self.pending.push_back(owner, QueuedStart { start, tell_pid, tried_since_ms: None, is_begun: false });
    }

    /// Forgets what is kept for a start that is done with.
    pub(super) fn release(&mut self, start: &RunRequest) {
        self.interner.release(&start.command, &mut self.held);
        self.interner.release(start.variables.bytes(), &mut self.held);
    }

    /// A start that comes when no more are made. A main that is still there may be waiting for its end; the next one finds that it is not among
    /// those that were begun.
    pub(super) fn refuse_start(&mut self, start: &RunRequest) {
        if self.mains.has_own() {
            // Otherwise the next main makes it, or says why not.
            if self.config.standalone {
                let command = start.split(self.site.backslash).shell;
                let user = if start.user.is_empty() { &start.source.name } else { &start.user };
                let about = JobRef { start, user, command: &command, pid: None };
                self.tell.skipped(about, "the daemon was stopped while it waited for its start");
            }
            self.tell_end(RunResult::of_outcome(start.run, RunOutcome::Skipped(SkipReason::Stopped), clock::wall_ms()));
        }
    }

    /// Makes no more starts. What waits is left to the next main, but for that of which main was told that it had begun.
    pub(super) fn stop_starting(&mut self) {
        self.is_stopping = true;
        self.stop_waiting_for_identities();
        for pending in self.pending.take_all() {
            if pending.is_begun {
                self.not_started(pending.start, "the daemon was stopped while there was no process to be had".into());
                continue;
            }
            self.refuse_start(&pending.start);
            self.release(&pending.start);
        }
    }

    /// Those that waited for their owner to be looked up wait for their turn.
    pub(super) fn stop_waiting_for_identities(&mut self) {
        for pending in self.waiting_for_identity.drain(..) {
            self.pending.push_back(owner_of(&pending.start), pending);
        }
    }

    /// When the next start may be made, if one waits.
    pub(super) fn next_start(&self, now_ms: i64) -> Option<i64> {
        let room = if self.has_more_starts { now_ms } else { self.flight.next_room(now_ms) };
        (!self.pending.is_empty()).then(|| room.max(self.held_until_ms))
    }

    /// Starts what waits, as far as the machine bears it.
    pub(super) fn start_pending(&mut self, now_ms: i64) -> Result<(), ExecutorError> {
        self.has_more_starts = false;
        if self.pending.is_empty() || self.held_until_ms > now_ms {
            return Ok(());
        }
        // A main that has been killed may have a successor already, which starts what is not begun now.
        self.handle_main()?;
        let mut room = self.flight.room(now_ms, self.pending.len(), host::runnable);
        self.identities.freshen();
        self.pam.freshen(self.site.pam_service);
        let mut cleared: Vec<Cleared> = Vec::with_capacity(BATCH.min(self.pending.len()));
        while self.held_until_ms <= now_ms {
            if cleared.len() == BATCH {
                self.has_more_starts = true;
                break;
            }
            let is_cleared = |owner: &OwnerKey| cleared.iter().any(|one| owner_of(&one.pending.start) == *owner);
            let next = match room {
                0 => self.pending.pop_if(|owner| self.flight.has_reserve_for(owner) && !is_cleared(owner)),
                _ => self.pending.pop_if(|_| true),
            };
            let Some((_, pending)) = next else { break };
            room = room.saturating_sub(1);
            cleared.extend(self.clear(pending, now_ms));
        }
        self.note_intents(cleared.iter().map(|one| &*one.pending.start));
        self.launch_all(cleared, now_ms);
        Ok(())
    }

    /// Finds out who the job is to run as, and in which context. None: it cannot be started, or not now.
    fn clear(&mut self, pending: QueuedStart, now_ms: i64) -> Option<Cleared> {
        let user = match &self.caller {
            Some(caller) => caller.clone(),
            None => match self.identify(&pending.start) {
                Ok(Some(user)) => user,
                Ok(None) => {
                    self.waiting_for_identity.push(pending);
                    return None;
                }
                Err(Refusal::Try(error)) => {
                    self.try_again(pending, &error, now_ms);
                    return None;
                }
                Err(Refusal::Nobody) => {
                    self.tell.unknown_user(&pending.start.user);
                    self.not_started(pending.start, IdentityError::Unknown.to_string());
                    return None;
                }
                Err(Refusal::Never(why)) => {
                    self.not_started(pending.start, why);
                    return None;
                }
            },
        };
        let label = match self.policy.map(|policy| Label::of(policy, &pending.start)).transpose() {
            Ok(label) => label.flatten(),
            Err(error) => {
                self.not_started(pending.start, error.to_string());
                return None;
            }
        };
        let is_kept = self.needs_monitor(&pending.start, &user);
        if is_kept && self.monitors_are_behind() {
            self.held_until_ms = now_ms + BEHIND_MS;
            self.pending.push_front(owner_of(&pending.start), pending);
            return None;
        }
        Some(Cleared { pending, user, label, is_kept })
    }

    /// Hands the jobs of a batch to PAM monitors or forks them. When something is short, those after it wait, in their order.
    fn launch_all(&mut self, cleared: Vec<Cleared>, now_ms: i64) {
        let (mut prepared, mut failed, mut put_back) = (Vec::with_capacity(cleared.len()), None, Vec::new());
        for Cleared { pending, user, label, is_kept } in cleared {
            if is_kept && self.monitors_are_behind() {
                self.held_until_ms = now_ms + BEHIND_MS;
            }
            if failed.is_some() || self.held_until_ms > now_ms {
                put_back.push(pending);
                continue;
            }
            let ready = if is_kept {
                self.hand_to_monitor(&pending.start, user, label)
            } else {
                self.prepare_fork(&pending.start, user, label)
            };
            match ready {
                Ok((Some(recipe), launched)) => prepared.push(Prepared { pending, recipe, launched }),
                Ok((None, launched)) => self.launched(launched, pending, None, now_ms),
                Err(error) => failed = Some((pending, error)),
            }
        }
        for pending in put_back.into_iter().rev() {
            self.put_back(pending);
        }
        if let Some((pending, error)) = failed {
            self.try_again(pending, &error, now_ms);
        }
        self.fork_all(prepared, now_ms);
    }

    /// Has a start wait again that was about to be made.
    fn put_back(&mut self, pending: QueuedStart) {
        if !pending.is_begun {
            self.journal().withdraw(pending.start.run);
        }
        self.pending.push_front(owner_of(&pending.start), pending);
    }

    /// Forks the jobs of a batch one right after the other: a fork makes the process's memory shared, and every page that it then writes to
    /// is copied, so it writes as little as possible between two of them.
    fn fork_all(&mut self, prepared: Vec<Prepared>, now_ms: i64) {
        let forked: Vec<io::Result<Pid>> = prepared.iter().map(|one| self.fork(one)).collect();
        let mut refused = Vec::new();
        for (one, forked) in prepared.into_iter().zip(forked) {
            match forked {
                Ok(pid) => {
                    self.children.insert(pid, Child::Job(one.launched.id));
                    self.launched(one.launched, one.pending, Some(pid), now_ms);
                }
                Err(error) => refused.push((one.pending, error)),
            }
        }
        // In their old order, before all that came later.
        for (pending, error) in refused.into_iter().rev() {
            self.try_again(pending, &error, now_ms);
        }
    }

    fn fork(&self, one: &Prepared) -> io::Result<Pid> {
        let stdio = one.launched.pipes.stdio();
        process::fork(|| child(&one.recipe, stdio, &self.reporter, self.site.profile))
    }

    /// Who the job's owner is now. None: it is being asked for.
    fn identify(&mut self, start: &RunRequest) -> Result<Option<Rc<User>>, Refusal> {
        let id = self.new_id();
        let user = match self.identities.ask(&start.user, id)? {
            Asked::Known(answer) => answer.map_err(Refusal::of)?,
            Asked::Waiting => {
                if let Some(pipe) = self.identities.pipe(id) {
                    self.poll.add(pipe, token(Kind::LookUp, id))?;
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
    pub(super) fn try_again(&mut self, mut pending: QueuedStart, error: &io::Error, now_ms: i64) {
        let since = *pending.tried_since_ms.get_or_insert(now_ms);
        if now_ms - since < RETRY_MS {
            self.put_back(pending);
            self.hold(error, now_ms);
        } else {
            self.not_started(pending.start, format!("starting the process: {}", reason(error)));
        }
    }

    /// Makes no start for a while, longer each time in a row.
    fn hold(&mut self, error: &io::Error, now_ms: i64) {
        if self.hold_ms == 0 {
            self.tell.own(Level::Warning, "WARNING", &format!("starting jobs is held up: {}", reason(error)));
        }
        self.hold_ms = (self.hold_ms * 2).clamp(FIRST_HOLD_MS, LONGEST_HOLD_MS);
        self.held_until_ms = now_ms + self.hold_ms;
    }

    /// The environment of a job without PAM's part.
    pub(super) fn environment(&self, start: &RunRequest, user: &User) -> Variables {
        if self.config.standalone {
            environment::of_caller(user, &start.variables, &self.inherited)
        } else {
            environment::of_cron(self.site, user, &start.variables, &self.inherited, self.config.inherit_path)
        }
    }

    pub(super) fn recipe(&self, start: &RunRequest, user: &User, command: &[u8]) -> ExecSpec {
        let mut recipe = ExecSpec::of_shell(command, &self.environment(start, user), self.started_with);
        recipe.identity = (!self.config.standalone).then(|| Identity::from(user));
        recipe.runs_without_home = self.site.runs_without_home || self.config.standalone;
        recipe
    }

    /// Recipe and pipes of a job. An error means that nothing has happened and it can be tried again.
    fn prepare_fork(
        &mut self,
        start: &RunRequest,
        user: Rc<User>,
        label: Option<Label>,
    ) -> io::Result<(Option<ExecSpec>, Launched)> {
        let command = start.split(self.site.backslash);
        let recipe = ExecSpec { label, ..self.recipe(start, &user, &command.shell) };
        let (id, pipes) = self.open_pipes(&user)?;
        Ok((Some(recipe), Launched { id, monitor: None, user, pipes, command }))
    }

    /// Pipes for a job, ours waited for, and the job's number.
    pub(super) fn open_pipes(&mut self, user: &User) -> io::Result<(u64, Pipes)> {
        let standalone = self.config.standalone;
        let pipes = Pipes::open(standalone, (!standalone).then_some(user.uid))?;
        let id = self.new_id();
        self.poll.add(&pipes.our_output, token(Kind::Output, id))?;
        if let Some(error) = &pipes.our_error {
            self.poll.add(error, token(Kind::Error, id))?;
        }
        Ok((id, pipes))
    }

    /// Takes a job among those that run; `pid` is none when a PAM monitor sees to it.
    fn launched(&mut self, launched: Launched, pending: QueuedStart, pid: Option<Pid>, now_ms: i64) {
        let Launched { id, monitor, user, pipes, command } = launched;
        let owner = owner_of(&pending.start);
        self.flight.begin(id, owner.clone(), now_ms);
        self.begun.push(pending.start.run);
        let Pipes { our_input, our_output, our_error, .. } = pipes;
        let input_size = command.stdin.as_ref().map_or(0, Vec::len);
        self.held.take(&owner, input_size);
        let job = Job {
            start: pending.start,
            owner,
            tell_pid: pending.tell_pid,
            tried_since_ms: pending.tried_since_ms,
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
        self.jobs.insert(id, job);
        if let Some(pid) = pid {
            self.started(id, pid);
        }
        self.begin_feed(id);
    }

    /// The job's process is there.
    pub(super) fn started(&mut self, id: u64, pid: Pid) {
        (self.hold_ms, self.held_until_ms) = (0, 0);
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.pid = Some(pid);
        (job.started_ms, job.started_at_ms) = (clock::monotonic_ms(), clock::wall_ms());
        self.flight.has_process(id, job.started_ms);
        let run = job.start.run;
        if job.tell_pid {
            // A notice is far below the wire's bound.
            self.mains.tell_own(&ExecutorEvent::Started { run: job.start.run, pid });
        }
        let command = job.command(self.site);
        self.tell.started(ExecutorState::about(job, &command));
        if let Some(ask) = self.stopping {
            end_group(job, ask);
        }
        if let Some(started) = host::process_started(pid).and_then(|started| started.parse().ok()) {
            self.journal().has_process(run, ProcessId { pid, started });
        }
    }

    fn begin_feed(&mut self, id: u64) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(feed) = &mut job.feed else { return };
        // What cannot be waited for is not fed further: the job sees the end of its input.
        if feed.proceed() || self.poll.add_for_writing(&feed.pipe, token(Kind::Feed, id)).is_err() {
            job.feed = None;
        }
    }

    pub(super) fn feed(&mut self, id: u64) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if job.feed.as_mut().is_some_and(Feed::proceed) {
            job.feed = None;
        }
    }

    /// A due moment that ends without a process.
    pub(super) fn not_started(&mut self, start: Box<RunRequest>, why: String) {
        let command = start.split(self.site.backslash).shell;
        let user = if start.user.is_empty() { "CRON" } else { start.user.as_str() };
        self.tell.not_started(JobRef { start: &start, user, command: &command, pid: None }, &why);
        self.begun.push(start.run);
        self.note_not_started(&start);
        self.tell_end(RunResult::of_outcome(start.run, RunOutcome::NotStarted { why }, clock::wall_ms()));
        self.tell_mail(start.run, MailResult::NotWanted);
        self.release(&start);
    }
}

/// Why there is no owner to run as.
enum Refusal {
    /// Nobody has that name.
    Nobody,
    /// There will be none.
    Never(String),
    /// No process or descriptor was to be had.
    Try(io::Error),
}

impl Refusal {
    fn of(error: IdentityError) -> Refusal {
        match error {
            IdentityError::Unknown => Refusal::Nobody,
            IdentityError::Failed(_) | IdentityError::TimedOut => Refusal::Never(error.to_string()),
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        Refusal::Try(error)
    }
}

/// A start that has not been made yet.
#[derive(Debug)]
pub(super) struct QueuedStart {
    pub(super) start: Box<RunRequest>,
    /// Main wants to be told of its process.
    pub(super) tell_pid: bool,
    /// When it was first tried in vain.
    pub(super) tried_since_ms: Option<i64>,
    /// Main was told that it had begun.
    pub(super) is_begun: bool,
}

impl QueuedStart {
    /// The start of a job that has not come to have a process.
    pub(super) fn again(job: Job) -> QueuedStart {
        QueuedStart { start: job.start, tell_pid: job.tell_pid, tried_since_ms: job.tried_since_ms, is_begun: true }
    }
}

/// A start of which it is known who runs it, and how.
struct Cleared {
    pending: QueuedStart,
    user: Rc<User>,
    label: Option<Label>,
    /// A PAM monitor starts it.
    is_kept: bool,
}

/// A start that lacks nothing but the fork.
pub(super) struct Prepared {
    pub(super) pending: QueuedStart,
    pub(super) recipe: ExecSpec,
    pub(super) launched: Launched,
}

/// A job on its way.
pub(super) struct Launched {
    pub(super) id: u64,
    pub(super) monitor: Option<Link>,
    pub(super) user: Rc<User>,
    pub(super) pipes: Pipes,
    pub(super) command: Command,
}
