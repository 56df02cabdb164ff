//! Starts hooks and pings, and handles their ends.

use super::children::Child;
use super::context::{EventSource, token};
use super::follow_ups::{BACKOFF_MS, FollowUpKind, LIMIT_MS, QueuedFollowUp, RunningFollowUp, WAITING_OF_ONE};
use super::start::{BEHIND_MS, StartError};
use super::state::ExecutorState;
use crate::executor::environment::{self, Variables, c_string, set_unless_in_table};
use crate::executor::exec_spec::{ExecSpec, Failure, Stdio};
use crate::executor::job::Feed;
use crate::executor::job_log::JobRef;
use crate::executor::link::Link;
use crate::executor::owner::{OwnerKey, owner_of};
use crate::executor::pam_monitor::{self, MonitorEvent, MonitorRequest};
use crate::executor::selinux::Label;
use crate::executor::wire::ExecutorEvent;
use crate::report::Level;
use crate::scheduler::{FollowUp, FollowUpTask, RunId, RunRequest};
use crate::sys::clock;
use crate::sys::created;
use crate::sys::descriptor;
use crate::sys::files;
use crate::sys::process::{self, Ask, Pid, Status};
use crate::users::UserWithGroups;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

impl ExecutorState {
    /// Ends the hooks and pings that run, and gives up those that wait.
    pub(super) fn end_follow_ups(&mut self, ask: Ask) {
        self.follow_ups.end_running(ask);
        let waiting: Vec<QueuedFollowUp> =
            self.follow_ups.hooks.take_all().chain(self.follow_ups.pings.take_all()).collect();
        for queued in &waiting {
            self.report_follow_up(&queued.start, &queued.task, "not started: the daemon is ending its jobs", &[]);
            self.memory.release_request(&queued.start);
        }
    }

    /// Queues a hook or a ping, with the output that it reads.
    pub(super) fn take_follow_up(&mut self, follow_up: FollowUp<Box<RunRequest>>) {
        let FollowUp { mut start, output_of, task } = follow_up;
        let kind = FollowUpKind::of(&task);
        let owner = owner_of(&start);
        if self.follow_ups.queue(kind).len_of(&owner) >= WAITING_OF_ONE {
            self.follow_ups.dropped.entry((kind, owner)).or_default().for_the_queue += 1;
            self.report_follow_up(&start, &task, "dropped: too many wait", &[]);
            return;
        }
        if !self.memory.take_request(&owner, &mut start) {
            self.follow_ups.dropped.entry((kind, owner)).or_default().for_memory += 1;
            self.report_follow_up(&start, &task, "dropped: too little memory", &[]);
            return;
        }
        let input = self.input(&task, output_of);
        self.follow_ups.queue(kind).push_back(owner, QueuedFollowUp { start, task, input });
    }

    fn input(&self, task: &FollowUpTask, output_of: Option<RunId>) -> Vec<u8> {
        let output = || output_of.map(|run| self.tail_of(run)).unwrap_or_default();
        match task {
            FollowUpTask::Hook { .. } => output(),
            // URLs are secrets, so that they are not in a command line.
            FollowUpTask::Ping { url, slot, with_output, .. } => {
                let body = if *with_output { output() } else { Vec::new() };
                [url.as_bytes(), b"\n", slot.as_bytes(), b"\n", &body].concat()
            }
        }
    }

    /// Starts those that wait, within the limits.
    pub(super) fn start_follow_ups(&mut self, now_ms: i64) {
        if self.follow_ups.backoff_until_ms > now_ms {
            return;
        }
        self.follow_ups.backoff_until_ms = 0;
        if self.follow_ups.hooks.is_empty() && self.follow_ups.pings.is_empty() {
            return;
        }
        self.starts.users.refresh();
        self.pam.refresh_template(self.context.profile.pam_service);
        let mut postponed = Vec::new();
        for kind in [FollowUpKind::Hook, FollowUpKind::Ping] {
            while self.follow_ups.backoff_until_ms == 0
                && let Some((key, queued)) = self.follow_ups.next(kind)
            {
                let started = match self.resolve_follow_up(&queued.start) {
                    Ok(Some(resolved)) if resolved.has_monitor && self.monitors_are_behind() => {
                        self.follow_ups.backoff_until_ms = now_ms + BEHIND_MS;
                        Err(queued)
                    }
                    Ok(Some(resolved)) => {
                        self.start_follow_up(kind, &key, queued, &resolved, now_ms).inspect_err(|_| {
                            self.follow_ups.backoff_until_ms = now_ms + BACKOFF_MS;
                        })
                    }
                    // The answer is an event after which this is tried again.
                    Ok(None) => Err(queued),
                    Err(StartError::Temporary(_)) => {
                        self.follow_ups.backoff_until_ms = now_ms + BACKOFF_MS;
                        Err(queued)
                    }
                    Err(StartError::UnknownUser) => {
                        self.refuse_follow_up(kind, &queued, "unknown user");
                        Ok(())
                    }
                    Err(StartError::Permanent(why)) => {
                        self.refuse_follow_up(kind, &queued, &why);
                        Ok(())
                    }
                };
                match started {
                    Ok(()) => self.log_dropped(kind, &key),
                    Err(queued) => postponed.push((kind, key, queued)),
                }
            }
        }
        for (kind, key, queued) in postponed.into_iter().rev() {
            self.follow_ups.queue(kind).push_front(key, queued);
        }
    }

    fn refuse_follow_up(&mut self, kind: FollowUpKind, queued: &QueuedFollowUp, why: &str) {
        let how = format!("could not be started: {why}");
        self.log_follow_up_failure(kind, &queued.start, &queued.command(), &how, "");
        self.report_follow_up(&queued.start, &queued.task, &how, &[]);
        self.memory.release_request(&queued.start);
    }

    /// Looks up the user and the SELinux context, and whether PAM is asked, as for a job of that request. None: the lookup is in progress.
    fn resolve_follow_up(&mut self, start: &RunRequest) -> Result<Option<ResolvedFollowUp>, StartError> {
        let user = match &self.starts.caller {
            Some(caller) => caller.clone(),
            None => match self.identify(start)? {
                Some(user) => user,
                None => return Ok(None),
            },
        };
        let label = self.context.policy.map(|policy| Label::of(policy, start, &user)).transpose();
        let label = label.map_err(|error| StartError::Permanent(error.to_string()))?.flatten();
        let has_monitor = self.needs_monitor(start, &user);
        Ok(Some(ResolvedFollowUp { user, label, has_monitor }))
    }

    /// Starts a hook or a ping, or gives it back when a resource is exhausted.
    fn start_follow_up(
        &mut self,
        kind: FollowUpKind,
        key: &OwnerKey,
        queued: QueuedFollowUp,
        resolved: &ResolvedFollowUp,
        now_ms: i64,
    ) -> Result<(), QueuedFollowUp> {
        let Some(request) = self.follow_up_request(&queued, resolved) else {
            self.report_follow_up(&queued.start, &queued.task, "could not be started: cronctl is not installed", &[]);
            self.memory.release_request(&queued.start);
            return Ok(());
        };
        let Ok(started) = self.launch_follow_up(&queued.input, &request, resolved) else { return Err(queued) };
        let LaunchedFollowUp { id, pid, monitor, feed, pipe, spec } = started;
        if let Some(pid) = pid {
            self.children.insert(pid, Child::FollowUp(id));
        }
        let running = RunningFollowUp {
            kind,
            owner: key.clone(),
            queued,
            pid,
            process: None,
            monitor,
            ends_at_start: None,
            feed,
            pipe: Some(pipe),
            output: Vec::new(),
            since_ms: now_ms,
            timed_out: false,
            spec,
            failure: None,
        };
        self.follow_ups.running.insert(id, running);
        Ok(())
    }

    /// Forks it, or passes it to a PAM monitor.
    fn launch_follow_up(
        &mut self,
        data: &[u8],
        request: &MonitorRequest,
        resolved: &ResolvedFollowUp,
    ) -> io::Result<LaunchedFollowUp> {
        let standalone = self.context.config.standalone;
        let mut spec = pam_monitor::spec(request, &Variables::default(), request.identity.clone());
        spec.identity = spec.identity.filter(|_| !standalone);
        let owner = spec.identity.as_ref().map(|identity| identity.uid);
        let (input, our_input) = created::pipe(owner)?;
        let (our_output, output) = created::pipe(owner)?;
        descriptor::set_nonblocking(our_output.as_fd(), true)?;
        let mut feed = Feed::new(our_input, data.to_vec())?;
        let stdio = Stdio { input: input.as_fd(), output: output.as_fd(), error: output.as_fd() };
        let id = self.context.new_id();
        self.context.poll.add(&our_output, token(EventSource::FollowUpOutput, id))?;
        let (pid, monitor) = if resolved.has_monitor {
            (None, Some(self.request_monitor(id, request, stdio)?))
        } else {
            spec.sets_defaults = true;
            spec.label.clone_from(&resolved.label);
            let pid = process::fork(&self.context.threads, |child| {
                let failure = spec.exec(&child, stdio, &self.context.reporter);
                self.context.reporter.send(&failure);
                127
            })?;
            (Some(pid), None)
        };
        let waits = !feed.proceed()
            && self.context.poll.add_for_writing(&feed.pipe, token(EventSource::FollowUpFeed, id)).is_ok();
        Ok(LaunchedFollowUp { id, pid, monitor, feed: waits.then_some(feed), pipe: our_output, spec })
    }

    /// What is executed. None: there is no program that calls web services.
    fn follow_up_request(&mut self, queued: &QueuedFollowUp, resolved: &ResolvedFollowUp) -> Option<MonitorRequest> {
        let ResolvedFollowUp { user, label, .. } = resolved;
        let context = label.as_ref().map(|label| label.context().clone());
        let mut environment = self.context.environment(&queued.start, user);
        match &queued.task {
            FollowUpTask::Hook { command, variables, .. } => {
                let shell = queued.start.split(self.context.profile.backslash).shell;
                environment::remove_hook_variables(&mut environment, &queued.start.variables);
                set_unless_in_table(&mut environment, &queued.start.variables, "CRON_COMMAND", &shell);
                for (name, value) in variables {
                    set_unless_in_table(&mut environment, &queued.start.variables, name, value.as_bytes());
                }
                let limits = queued.start.rules.limits;
                Some(MonitorRequest { context, limits, ..self.monitor_request(user, &environment, command) })
            }
            FollowUpTask::Ping { .. } => {
                let Some(program) = files::cronctl() else {
                    if !std::mem::replace(&mut self.follow_ups.has_logged_lack, true) {
                        let detail = "cronctl is not installed: no web services are called (CRON_PING)";
                        self.context.log.own(Level::Warning, "WARNING", detail);
                    }
                    return None;
                };
                let call_url_program = Some(c_string(&[program.as_os_str().as_bytes()]));
                Some(MonitorRequest { context, call_url_program, ..self.monitor_request(user, &environment, b"") })
            }
        }
    }

    /// Handles the end of a hook or a ping.
    pub(super) fn follow_up_ended(&mut self, id: u64, status: Option<Status>) {
        self.follow_ups.read(&self.context, id);
        let Some(running) = self.follow_ups.running.remove(&id) else { return };
        let how = match (&running.failure, status) {
            (Some(why), _) => format!("could not be started: {why}"),
            (None, _) if running.timed_out => format!("was killed after {} s", LIMIT_MS / 1000),
            (None, Some(Status::Code(code))) => format!("exit {code}"),
            (None, Some(Status::Signal { number, .. })) => format!("signal {number}"),
            (None, None) => "could not be started: the PAM monitor ended".to_owned(),
        };
        let start = &running.queued.start;
        let is_failure = running.failure.is_some() || running.timed_out || !status.is_some_and(Status::is_success);
        match (running.kind, is_failure) {
            (FollowUpKind::Ping, false) => self.follow_ups.failing.remove(&running.owner, &start.job),
            (FollowUpKind::Hook, false) => {}
            (kind, true) => {
                let text = String::from_utf8_lossy(&running.output);
                let why = if kind == FollowUpKind::Ping { text.lines().next().unwrap_or("") } else { "" };
                self.log_follow_up_failure(kind, start, &running.queued.command(), &how, why);
            }
        }
        self.report_follow_up(start, &running.queued.task, &how, &running.output);
        self.memory.release_request(start);
    }

    /// Reports the result of a hook or a ping to main, for the history. One that belongs to no run has no row there. What it printed, which can be
    /// the output of the job, is left out where the history keeps no output of the job.
    fn report_follow_up(&mut self, start: &RunRequest, task: &FollowUpTask, how: &str, output: &[u8]) {
        if start.run != RunId(0) {
            let (what, how) = (task.name(), how.to_owned());
            let output = if start.rules.history_output > 0 { output.to_vec() } else { Vec::new() };
            self.mains.report(ExecutorEvent::FollowedUp { run: start.run, what, how, output });
        }
    }

    /// Handles an event of the PAM monitor of a hook or a ping.
    pub(super) fn handle_follow_up_event(&mut self, id: u64, event: MonitorEvent) {
        match event {
            MonitorEvent::NoMonitor { .. } => self.try_follow_up_again(id),
            MonitorEvent::Started { pid, process, .. } => self.follow_ups.started(id, pid, process),
            MonitorEvent::Message(text) => self.log_pam_message_of_follow_up(id, &text),
            MonitorEvent::Refused { text, doing, .. } => {
                if let Some(running) = self.follow_ups.running.get_mut(&id) {
                    running.failure = Some(format!("{doing}: {text}"));
                }
            }
            MonitorEvent::Failed { step, number } => {
                if let Some(failure) = Failure::of_numbers(step, number) {
                    self.follow_ups.failed(id, &failure);
                }
            }
            MonitorEvent::Ended { status, .. } => self.follow_up_ended(id, Some(status)),
        }
    }

    /// Puts one back whose PAM monitor could not be forked. Nothing has been started.
    fn try_follow_up_again(&mut self, id: u64) {
        let Some(running) = self.follow_ups.running.remove(&id) else { return };
        if running.ends_at_start.is_some() {
            let QueuedFollowUp { start, task, .. } = &running.queued;
            self.report_follow_up(start, task, "not started: the daemon is ending its jobs", &[]);
            return self.memory.release_request(start);
        }
        self.follow_ups.queue(running.kind).push_front(running.owner, running.queued);
        self.follow_ups.backoff_until_ms = clock::monotonic_ms() + BACKOFF_MS;
    }

    fn log_pam_message_of_follow_up(&mut self, id: u64, text: &str) {
        let Some(running) = self.follow_ups.running.get(&id) else { return };
        let command = running.queued.command();
        let job_ref = JobRef { start: &running.queued.start, user: "CRON", command: &command, pid: running.pid };
        self.context.log.record(job_ref, Level::Info, "pam_message", text.as_bytes(), "");
    }

    /// Logs a hook that failed, or the first call of an incident that failed.
    fn log_follow_up_failure(&mut self, kind: FollowUpKind, start: &RunRequest, command: &[u8], how: &str, why: &str) {
        let owner = owner_of(start);
        if kind == FollowUpKind::Ping && self.follow_ups.failing.contains(&owner, &start.job) {
            return;
        }
        let user = if start.user.is_empty() { &start.source.name } else { &start.user };
        let job_ref = JobRef { start, user, command, pid: None };
        match kind {
            FollowUpKind::Hook => {
                self.context.log.record(job_ref, Level::Warning, "HOOK FAILED", command, &format!(" {how}"))
            }
            FollowUpKind::Ping => {
                self.follow_ups.failing.add(owner, start.job.clone());
                let rest = format!(" {}", if why.is_empty() { how } else { why });
                self.context.log.record(job_ref, Level::Warning, "PING FAILED", start.job.as_str().as_bytes(), &rest);
            }
        }
    }

    /// Logs how many were dropped, as soon as there is room again.
    fn log_dropped(&mut self, kind: FollowUpKind, owner: &OwnerKey) {
        let Some(dropped) = self.follow_ups.dropped.remove(&(kind, owner.clone())) else { return };
        for detail in dropped.details(kind) {
            self.context.log.record_as_daemon(owner.trim_start_matches('/'), "WARNING", &detail);
        }
    }
}

/// A hook or a ping whose user and SELinux context are known.
struct ResolvedFollowUp {
    user: Rc<UserWithGroups>,
    label: Option<Label>,
    /// Whether a PAM monitor starts it.
    has_monitor: bool,
}

/// A hook or a ping that has been forked or passed to a PAM monitor.
struct LaunchedFollowUp {
    id: u64,
    pid: Option<Pid>,
    monitor: Option<Link>,
    feed: Option<Feed>,
    pipe: OwnedFd,
    spec: ExecSpec,
}
