//! Starts hooks and pings, and handles their ends.

use super::children::Child;
use super::context::{EventSource, token};
use super::follow_ups::{FAILING, HOLD_MS, Kind, LIMIT_MS, OF_ONE, Queued, Running, WAITING_OF_ONE};
use super::start::Refusal;
use super::state::ExecutorState;
use crate::executor::environment::{Variables, c_string};
use crate::executor::exec_spec::{ExecSpec, Stdio};
use crate::executor::job::Feed;
use crate::executor::job_log::JobRef;
use crate::executor::owner::{OwnerKey, owner_of};
use crate::report::Level;
use crate::scheduler::{FollowUp, FollowUpTask, RunId, RunRequest};
use crate::sys::created;
use crate::sys::descriptor;
use crate::sys::files;
use crate::sys::process::{self, Ask, Program, Status};
use crate::users::UserWithGroups;
use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::rc::Rc;

impl ExecutorState {
    /// Ends the hooks and pings that run, and gives up those that wait.
    pub(super) fn end_follow_ups(&mut self, ask: Ask) {
        self.follow_ups.end_running(ask);
        let waiting: Vec<Queued> = self.follow_ups.hooks.take_all().chain(self.follow_ups.pings.take_all()).collect();
        waiting.iter().for_each(|queued| self.memory.release_request(&queued.start));
    }

    /// Queues a hook or a ping, with the output that it reads.
    pub(super) fn take_follow_up(&mut self, follow_up: FollowUp<Box<RunRequest>>) {
        let FollowUp { mut start, output_of, task } = follow_up;
        let kind = Kind::of(&task);
        let user: OwnerKey = start.user.as_str().into();
        let has_room = self.follow_ups.queue(kind).len_of(&user) < WAITING_OF_ONE;
        if !has_room || !self.memory.take_request(&owner_of(&start), &mut start) {
            *self.follow_ups.dropped.entry((kind, user)).or_default() += 1;
            return;
        }
        let input = self.input(&task, output_of);
        self.follow_ups.queue(kind).push_back(user, Queued { start, task, input });
    }

    fn input(&self, task: &FollowUpTask, output_of: Option<RunId>) -> Vec<u8> {
        let output = || output_of.map(|run| self.tail_of(run)).unwrap_or_default();
        match task {
            FollowUpTask::Hook { .. } => output(),
            // URLs are secrets, so that they are not in a command line.
            FollowUpTask::Ping { url, slot, with_output } => {
                let body = if *with_output { output() } else { Vec::new() };
                [url.as_bytes(), b"\n", slot.as_bytes(), b"\n", &body].concat()
            }
        }
    }

    /// Starts those that wait, within the limits.
    pub(super) fn start_follow_ups(&mut self, now_ms: i64) {
        if self.follow_ups.held_until_ms > now_ms {
            return;
        }
        self.follow_ups.held_until_ms = 0;
        let mut postponed = Vec::new();
        for kind in [Kind::Hook, Kind::Ping] {
            while let Some((key, queued)) = self.follow_ups.next(kind) {
                let user = match self.user_of(&queued.start) {
                    Ok(Some(user)) => user,
                    // The answer, or the end of the pause, is an event after which this is tried again.
                    Ok(None) => {
                        postponed.push((kind, key, queued));
                        continue;
                    }
                    Err(why) => {
                        self.log_follow_up_failure(kind, &queued.start, &queued.command(), &why, "");
                        self.memory.release_request(&queued.start);
                        continue;
                    }
                };
                if self.start_follow_up(kind, &key, &queued, &user, now_ms).is_err() {
                    postponed.push((kind, key, queued));
                    break;
                }
                self.log_dropped(kind, &key);
            }
        }
        for (kind, key, queued) in postponed.into_iter().rev() {
            self.follow_ups.queue(kind).push_front(key, queued);
            self.follow_ups.held_until_ms = now_ms + HOLD_MS;
        }
    }

    /// The user as whom it runs. None: not known now.
    fn user_of(&mut self, start: &RunRequest) -> Result<Option<Rc<UserWithGroups>>, String> {
        if let Some(caller) = &self.starts.caller {
            return Ok(Some(caller.clone()));
        }
        match self.identify(start) {
            Ok(user) => Ok(user),
            Err(Refusal::Try(_)) => Ok(None),
            Err(Refusal::Nobody) => Err("unknown user".to_owned()),
            Err(Refusal::Never(why)) => Err(why),
        }
    }

    fn start_follow_up(
        &mut self,
        kind: Kind,
        key: &OwnerKey,
        queued: &Queued,
        user: &UserWithGroups,
        now_ms: i64,
    ) -> io::Result<()> {
        let Some(spec) = self.follow_up_spec(queued, user) else {
            self.memory.release_request(&queued.start);
            return Ok(());
        };
        let owner = spec.identity.as_ref().map(|identity| identity.uid);
        let (input, our_input) = created::pipe(owner)?;
        let (our_output, output) = created::pipe(owner)?;
        descriptor::set_nonblocking(our_output.as_fd(), true)?;
        let mut feed = Feed::new(our_input, queued.input.clone())?;
        let stdio = Stdio { input: input.as_fd(), output: output.as_fd(), error: output.as_fd() };
        let id = self.context.new_id();
        self.context.poll.add(&our_output, token(EventSource::FollowUpOutput, id))?;
        let pid = process::fork(&self.context.threads, |child| {
            let failure = spec.exec(&child, stdio, &self.context.reporter);
            self.context.reporter.send(&failure);
            127
        })?;
        let waits = !feed.proceed()
            && self.context.poll.add_for_writing(&feed.pipe, token(EventSource::FollowUpFeed, id)).is_ok();
        let running = Running {
            kind,
            user: key.clone(),
            start: queued.start.clone(),
            command: queued.command(),
            pid,
            feed: waits.then_some(feed),
            pipe: Some(our_output),
            output: Vec::new(),
            since_ms: now_ms,
            timed_out: false,
            spec,
            failure: None,
        };
        self.children.insert(pid, Child::FollowUp(id));
        self.follow_ups.running.insert(id, running);
        Ok(())
    }

    /// What is executed. None: there is no program that calls web services.
    fn follow_up_spec(&mut self, queued: &Queued, user: &UserWithGroups) -> Option<ExecSpec> {
        match &queued.task {
            FollowUpTask::Hook { command, variables, .. } => {
                let mut environment = self.context.environment(&queued.start, user);
                let shell = queued.start.split(self.context.profile.backslash).shell;
                environment.set_unless_there("CRON_COMMAND", &shell);
                for (name, value) in variables {
                    environment.set_unless_there(name, value.as_bytes());
                }
                let mut spec = self.context.exec_spec(&queued.start, user, command);
                let shell = c_string(&[environment.get("SHELL").unwrap_or(b"/bin/sh")]);
                let arguments = vec![shell.clone(), c"-c".to_owned(), c_string(&[command])];
                spec.program = Program::new(shell, arguments, environment.strings());
                spec.limits = queued.start.rules.limits;
                spec.runs_without_home = true;
                Some(spec)
            }
            FollowUpTask::Ping { .. } => {
                let Some(program) = cronctl() else {
                    if !std::mem::replace(&mut self.follow_ups.has_logged_lack, true) {
                        let detail = "cronctl is not installed: no web services are called (CRON_PING)";
                        self.context.log.own(Level::Warning, "WARNING", detail);
                    }
                    return None;
                };
                let mut spec = self.context.exec_spec(&queued.start, user, b"");
                // Certificates and proxies are the system's and the table's; a table's PATH or LD_PRELOAD is the owner's own affair.
                let environment: Variables = self.context.environment(&queued.start, user);
                let path = c_string(&[program.as_os_str().as_bytes()]);
                let arguments: Vec<CString> = vec![c"cronctl".to_owned(), c"ping".to_owned()];
                spec.program = Program::new(path, arguments, environment.strings());
                spec.runs_without_home = true;
                Some(spec)
            }
        }
    }

    /// Handles the end of a hook or a ping.
    pub(super) fn follow_up_ended(&mut self, id: u64, status: Status) {
        self.follow_ups.read(&self.context, id);
        let Some(running) = self.follow_ups.running.remove(&id) else { return };
        let how = match (&running.failure, status) {
            (Some(why), _) => format!("could not be started: {why}"),
            (None, _) if running.timed_out => format!("was killed after {} s", LIMIT_MS / 1000),
            (None, Status::Code(code)) => format!("exit {code}"),
            (None, Status::Signal { number, .. }) => format!("signal {number}"),
        };
        self.memory.release_request(&running.start);
        let is_failure = running.failure.is_some() || running.timed_out || !status.is_success();
        match (running.kind, is_failure) {
            (Kind::Ping, false) => drop(self.follow_ups.failing.remove(&running.start.job)),
            (Kind::Hook, false) => {}
            (kind, true) => {
                let text = String::from_utf8_lossy(&running.output);
                let why = if kind == Kind::Ping { text.lines().next().unwrap_or("") } else { "" };
                self.log_follow_up_failure(kind, &running.start, &running.command, &how, why);
            }
        }
    }

    /// Logs a hook that failed, or the first call of an incident that failed.
    fn log_follow_up_failure(&mut self, kind: Kind, start: &RunRequest, command: &[u8], how: &str, why: &str) {
        let is_known = kind == Kind::Ping && self.follow_ups.failing.contains(&start.job);
        if is_known || (kind == Kind::Ping && self.follow_ups.failing.len() >= FAILING) {
            return;
        }
        let user = if start.user.is_empty() { &start.source.name } else { &start.user };
        let job_ref = JobRef { start, user, command, pid: None };
        match kind {
            Kind::Hook => self.context.log.say(job_ref, Level::Warning, "HOOK FAILED", command, &format!(" {how}")),
            Kind::Ping => {
                self.follow_ups.failing.insert(start.job.clone());
                let rest = format!(" {}", if why.is_empty() { how } else { why });
                self.context.log.say(job_ref, Level::Warning, "PING FAILED", start.job.as_str().as_bytes(), &rest);
            }
        }
    }

    /// Logs how many were dropped, as soon as there is room again.
    fn log_dropped(&mut self, kind: Kind, user: &OwnerKey) {
        let Some(count) = self.follow_ups.dropped.remove(&(kind, user.clone())) else { return };
        let name = kind.name();
        let detail = format!("{count} {name} were dropped, because {OF_ONE} ran and {WAITING_OF_ONE} waited");
        self.context.log.say_as_daemon(user, "WARNING", &detail);
    }
}

/// The installed `cronctl`: beside this program, or in the `bin` directory beside its directory.
fn cronctl() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let directory = own.parent()?;
    let beside = [directory.join("cronctl"), directory.join("../bin/cronctl")];
    let places = beside.into_iter().chain(["/usr/bin/cronctl".into(), "/usr/local/bin/cronctl".into()]);
    places.into_iter().find(|path| path.to_str().is_some_and(files::is_executable))
}
