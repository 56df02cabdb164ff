//! Hooks and pings: commands of the owner that are run, and web services that are called, when a run has ended. They run as the owner beside
//! the jobs, in bounded numbers and for a bounded time, and none of them delays a job.

use super::children::Child;
use super::context::{Context, EventSource, token};
use super::start::Refusal;
use super::state::ExecutorState;
use crate::executor::environment::{Variables, c_string};
use crate::executor::exec_spec::{ExecSpec, ExecStage, Failure, Stdio};
use crate::executor::job::Feed;
use crate::executor::job_log::JobRef;
use crate::executor::owner::{FairQueue, OwnerKey, owner_of};
use crate::report::Level;
use crate::scheduler::{FollowUp, FollowUpTask, JobId, RunId, RunRequest};
use crate::sys::created;
use crate::sys::descriptor;
use crate::sys::files;
use crate::sys::process::{self, Ask, Pid, Program, Status};
use crate::sys::user::User;
use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::rc::Rc;

/// Time limit of a hook, and of a ping with all its tries.
const LIMIT_MS: i64 = 60_000;
/// Maximum number of hooks of one user at once, the same for pings, and of all users together.
const OF_ONE: usize = 4;
const TOGETHER: usize = 64;
/// Maximum number of hooks of one user that wait, and the same for pings. More are dropped.
const WAITING_OF_ONE: usize = 16;
/// Bytes that are kept of what a hook or a ping prints.
const OUTPUT: usize = 4 << 10;
/// Pause after no process could be created.
const HOLD_MS: i64 = 1_000;
/// Maximum number of jobs of which it is remembered that their web service failed.
const FAILING: usize = 20_000;

/// The two kinds, which do not take each other's places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Hook,
    Ping,
}

impl Kind {
    fn of(task: &FollowUpTask) -> Kind {
        match task {
            FollowUpTask::Hook { .. } => Kind::Hook,
            FollowUpTask::Ping { .. } => Kind::Ping,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Hook => "hooks",
            Kind::Ping => "pings",
        }
    }
}

/// One that waits.
struct Queued {
    start: Box<RunRequest>,
    task: FollowUpTask,
    /// What it reads from standard input.
    input: Vec<u8>,
}

/// One that runs.
struct Running {
    kind: Kind,
    user: OwnerKey,
    start: Box<RunRequest>,
    /// The hook's command, or the job's where a web service is called.
    command: Vec<u8>,
    pid: Pid,
    feed: Option<Feed>,
    pipe: Option<OwnedFd>,
    output: Vec<u8>,
    since_ms: i64,
    timed_out: bool,
    spec: ExecSpec,
    failure: Option<String>,
}

/// The hooks and pings that wait and run.
#[derive(Default)]
pub(super) struct FollowUps {
    hooks: FairQueue<Queued>,
    pings: FairQueue<Queued>,
    running: HashMap<u64, Running>,
    /// How many of a user's were dropped since there was room for the last time.
    dropped: HashMap<(Kind, OwnerKey), u64>,
    /// Jobs whose web service has failed since it answered for the last time.
    failing: HashSet<JobId>,
    /// It has been logged that there is no program that calls web services.
    has_logged_lack: bool,
    held_until_ms: i64,
}

impl FollowUps {
    /// The number of those that wait or run.
    pub(super) fn len(&self) -> usize {
        self.hooks.len() + self.pings.len() + self.running.len()
    }

    fn queue(&mut self, kind: Kind) -> &mut FairQueue<Queued> {
        match kind {
            Kind::Hook => &mut self.hooks,
            Kind::Ping => &mut self.pings,
        }
    }

    /// The next one of a kind that may be started.
    fn next(&mut self, kind: Kind) -> Option<(OwnerKey, Queued)> {
        if self.running.len() >= TOGETHER {
            return None;
        }
        let mut busy: HashMap<OwnerKey, usize> = HashMap::new();
        for running in self.running.values().filter(|running| running.kind == kind) {
            *busy.entry(running.user.clone()).or_default() += 1;
        }
        self.queue(kind).pop_if(|user| busy.get(user).is_none_or(|count| *count < OF_ONE))
    }

    /// When the next timed work is due (monotonic).
    pub(super) fn next_ms(&self) -> Option<i64> {
        let ends = self.running.values().filter(|running| !running.timed_out).map(|one| one.since_ms + LIMIT_MS).min();
        let is_held = self.held_until_ms > 0 && self.hooks.len() + self.pings.len() > 0;
        ends.into_iter().chain(is_held.then_some(self.held_until_ms)).min()
    }

    /// Kills those that have exceeded their time limit.
    pub(super) fn end_overdue(&mut self, now_ms: i64) {
        for running in self.running.values_mut().filter(|one| !one.timed_out && one.since_ms + LIMIT_MS <= now_ms) {
            running.timed_out = true;
            end(running, Ask::Kill);
        }
    }

    /// Ends those that run.
    fn end_running(&self, ask: Ask) {
        self.running.values().for_each(|running| end(running, ask));
    }

    /// Goes on writing the standard input.
    pub(super) fn feed(&mut self, id: u64) {
        let Some(running) = self.running.get_mut(&id) else { return };
        if running.feed.as_mut().is_some_and(Feed::proceed) {
            running.feed = None;
        }
    }

    /// Reads output, of which the beginning is kept.
    pub(super) fn read(&mut self, context: &Context, id: u64) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let Some(pipe) = &running.pipe else { return };
        let mut buffer = [0; OUTPUT];
        match descriptor::read(pipe.as_fd(), &mut buffer) {
            Ok(count) if count > 0 => {
                let room = OUTPUT.saturating_sub(running.output.len());
                running.output.extend_from_slice(buffer.get(..count.min(room)).unwrap_or(&[]));
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Ok(_) | Err(_) => {
                let _ = context.poll.remove(pipe);
                running.pipe = None;
            }
        }
    }

    /// Records that the program could not be executed.
    pub(super) fn failed(&mut self, id: u64, failure: &Failure) {
        if failure.step == ExecStage::DirectoryInstead {
            return;
        }
        if let Some(running) = self.running.get_mut(&id) {
            running.failure = Some(failure.why(&running.spec));
        }
    }
}

/// Signals a process group. Its leader has not been reaped, so the process id is still its own.
fn end(running: &Running, ask: Ask) {
    let _ = process::signal_group(running.pid, ask).or_else(|_| process::signal(running.pid, ask));
}

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
    fn user_of(&mut self, start: &RunRequest) -> Result<Option<Rc<User>>, String> {
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
        user: &User,
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
        let pid = process::fork(|| {
            let failure = spec.exec(stdio, &self.context.reporter);
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
    fn follow_up_spec(&mut self, queued: &Queued, user: &User) -> Option<ExecSpec> {
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

impl Queued {
    fn command(&self) -> Vec<u8> {
        match &self.task {
            FollowUpTask::Hook { command, .. } => command.to_vec(),
            FollowUpTask::Ping { .. } => self.start.command.to_vec(),
        }
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
