//! The PAM monitor: a process of root that keeps a PAM session open around one job, hook or ping and closes it however the process ends.
//!
//! The template process forks it. It communicates with the executor over a socket. Each PAM monitor begins its own PAM transaction, so
//! libpam reads the service's files and loads the modules as they are at that moment, and errors are reported for the job in question.

use super::config::{CALL_URL, RETRY_MS};
use super::environment::{Variables, c_string};
use super::exec_spec::{
    ExecSpec, ExecStage, Failure, Identity, OriginalLimits, Reporter, Stdio, at, defaults, run_child,
};
use super::job::usage_of;
use super::job_cgroup;
use super::link::{Link, WireError};
use super::selinux::Label;
use crate::crontab::ResourceLimits;
use crate::profile::Profile;
use crate::scheduler::{Environment, RunId, SharedBytes, Usage};
use crate::sys::cgroup::{CgroupDescriptor, DelegatedCgroup, LeafCgroup};
use crate::sys::clock;
use crate::sys::contract::{FreshChild, SingleThreaded};
use crate::sys::descriptor;
use crate::sys::descriptor::Readiness;
use crate::sys::memory;
use crate::sys::pam::{self, Library, PamError, Session};
use crate::sys::process::{self, Pid, Program, Status};
use crate::sys::process_list::{self, ProcessIdentity};
use crate::sys::selinux::Policy;
use serde::de::DeserializeOwned;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Pause between two attempts to fork the job.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// The variables of a table, or of PAM, that a ping gets: proxies, and the certificates that are trusted.
const PING_VARIABLES: [&[u8]; 13] = [
    b"PATH",
    b"HOME",
    b"LOGNAME",
    b"http_proxy",
    b"https_proxy",
    b"all_proxy",
    b"no_proxy",
    b"HTTP_PROXY",
    b"HTTPS_PROXY",
    b"ALL_PROXY",
    b"NO_PROXY",
    b"SSL_CERT_FILE",
    b"SSL_CERT_DIR",
];

/// The request to a PAM monitor: the job and how to start it.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct MonitorRequest {
    /// The run that the cgroup is named for. None: a hook or a ping, which has no cgroup of its own.
    pub(super) run: Option<RunId>,
    pub(super) user: String,
    pub(super) identity: Identity,
    /// The SELinux context of the job, if the kernel has SELinux.
    pub(super) context: Option<CString>,
    /// The value of XDG_SESSION_CLASS in the crontab, which cronie passes to PAM.
    pub(super) session_class: Option<Vec<u8>>,
    pub(super) variables: Environment,
    pub(super) command: SharedBytes,
    /// The path of cronctl(1), which is run with the verb `call-url` instead of the shell. None: the shell runs the command.
    pub(super) call_url_program: Option<CString>,
    pub(super) runs_without_home: bool,
    pub(super) original_limits: OriginalLimits,
    pub(super) limits: ResourceLimits,
    /// The deadline of a fleet job's claim, see [`ExecSpec::start_by_ms`].
    pub(super) start_by_ms: Option<i64>,
}

/// A message from the PAM monitor to the executor.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum MonitorEvent {
    /// The PAM monitor could not be forked. Nothing has been started.
    NoMonitor {
        /// The errno value.
        number: i32,
    },
    /// A message of a PAM module for the log.
    Message(String),
    /// PAM refused the job. Nothing has been started.
    Refused {
        /// Whether opening the session failed, and not a step before it.
        session: bool,
        /// The text of pam_strerror(3).
        text: String,
        /// The function of libpam that failed, for example `pam_acct_mgmt`.
        doing: String,
    },
    /// The job's process has been started.
    Started {
        /// The process id of the job's session leader.
        pid: Pid,
        /// The process id with the start time, read before the process could be reaped.
        process: Option<ProcessIdentity>,
        /// Whether it has a cgroup of its own, which is named for its run.
        has_leaf: bool,
    },
    /// A step failed, in the PAM monitor or in the job's process.
    Failed {
        /// [`ExecStage`] as a number.
        step: u8,
        /// The errno value.
        number: i32,
    },
    /// The job ended.
    Ended {
        /// Exit status or signal.
        status: Status,
        /// The job's resource usage.
        usage: Usage,
        /// The variables that PAM added to the environment.
        variables: Environment,
    },
}

/// The state of a PAM monitor after its fork.
pub(super) struct PamMonitor<'a> {
    /// The loaded libpam. None if the system has no PAM.
    pub(super) library: Option<&'a Library>,
    pub(super) profile: &'a Profile,
    /// The SELinux policy, if the kernel has SELinux.
    pub(super) policy: Option<Policy>,
    /// The cgroup of the executor, if jobs have leaves below it.
    pub(super) cgroup: Option<&'a DelegatedCgroup>,
    /// The socket to the executor.
    pub(super) link: Link,
}

/// Why the PAM monitor could not start or watch the job.
#[derive(Debug, thiserror::Error)]
enum MonitorError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the executor is gone")]
    ExecutorGone,
    #[error("{error}")]
    Pam { error: PamError, session: bool },
    #[error("a step failed")]
    ExecStage(Failure),
}

impl From<Failure> for MonitorError {
    fn from(failure: Failure) -> MonitorError {
        MonitorError::ExecStage(failure)
    }
}

impl<'a> PamMonitor<'a> {
    /// Handles the executor's request with these ends of the job's pipes. Returns the exit status.
    pub(super) fn run(&mut self, threads: &SingleThreaded, ends: [OwnedFd; 3]) -> i32 {
        let event = match self.run_session(threads, ends) {
            Ok(()) => return 0,
            Err(MonitorError::Pam { error, session }) => {
                MonitorEvent::Refused { session, text: error.text, doing: error.doing.to_owned() }
            }
            Err(MonitorError::ExecStage(failure)) => failed(&failure),
            Err(MonitorError::Wire(_) | MonitorError::ExecutorGone) => return 1,
        };
        self.send(&event);
        1
    }

    /// Opens the session, runs the job and closes the session. Every return drops the session, which closes it.
    fn run_session(&mut self, threads: &SingleThreaded, ends: [OwnedFd; 3]) -> Result<(), MonitorError> {
        process::default_signals();
        process::ignore_end_requests();
        process::unblock_signals().map_err(at(ExecStage::Signals))?;
        process::set_name(c"crond: pam");
        let request: MonitorRequest = self.receive()?;
        process::new_session().map_err(at(ExecStage::Session))?;
        request.original_limits.limit.set().map_err(at(ExecStage::Limits))?;
        defaults(request.original_limits)?;
        self.set_exec_context(&request)?;
        let session = self.open_session(&request)?;
        let (pam, identity) = result_of_session(session.as_ref(), &request)?;
        let (reporter, reports) = Reporter::new().map_err(at(ExecStage::Descriptors))?;
        let (leaf, cgroup_descriptor) = request.run.and_then(|run| self.create_leaf(run)).unzip();
        let spec = ExecSpec { cgroup_descriptor, ..spec(&request, &pam, identity) };
        let [input, output, error] = ends.each_ref().map(AsFd::as_fd);
        let stdio = Stdio { input, output, error };
        let job = fork_with_retries(threads, |child| run_child(&child, &spec, stdio, &reporter, self.profile.profile))
            .map_err(at(ExecStage::Fork))
            .inspect_err(|_| remove(leaf.as_ref()))?;
        drop((ends, reporter, spec));
        let process = process_list::identity(job);
        self.send(&MonitorEvent::Started { pid: job, process, has_leaf: leaf.is_some() });
        // Memory that was needed to open the session is free again, and the job may run for weeks.
        memory::trim_memory();
        let (status, used) = process::wait_with_usage(job).map_err(at(ExecStage::Session))?;
        for (_, failure) in reports.take() {
            self.send(&failed(&failure));
        }
        self.send_messages(session.as_ref());
        self.send(&MonitorEvent::Ended { status, usage: usage_of(used), variables: pam.packed() });
        Ok(())
    }

    /// Sets the SELinux context before the session is opened, so that a module of the session (pam_selinux) can override it. The job
    /// inherits it.
    fn set_exec_context(&self, request: &MonitorRequest) -> Result<(), MonitorError> {
        let Some((policy, context)) = self.policy.zip(request.context.clone()) else { return Ok(()) };
        Ok(Label::sent(policy, context).set_exec_context().map_err(at(ExecStage::Label))?)
    }

    /// Calls PAM in the order of the reference implementations: account, credentials, session. The user's groups are set before the
    /// credentials, which may add groups.
    fn open_session(&self, request: &MonitorRequest) -> Result<Option<Session<'a>>, MonitorError> {
        let Some(library) = self.library else { return Ok(None) };
        let account = |error| MonitorError::Pam { error, session: false };
        let user = CString::new(request.user.as_str()).unwrap_or_default();
        let [before, from_then_on] = self.profile.pam_tags;
        pam::log_as(before);
        let service = CString::new(self.profile.pam_service).unwrap_or_default();
        let mut session = Session::begin(library, &service).map_err(account)?;
        session.set_user(&user).map_err(account)?;
        session.set_terminal(c"cron").map_err(account)?;
        session.account().map_err(account)?;
        process::set_groups(&request.identity.groups).map_err(at(ExecStage::Groups))?;
        process::set_group_ids(request.identity.gid).map_err(at(ExecStage::GroupId))?;
        session.establish_credentials().map_err(account)?;
        if let Some(class) = &request.session_class {
            let setting = c_string(&[b"XDG_SESSION_CLASS=", class]);
            session.put_variable(&setting).map_err(account)?;
        }
        session.open().map_err(|error| MonitorError::Pam { error, session: true })?;
        pam::log_as(from_then_on);
        Ok(Some(session))
    }

    /// Creates the cgroup of the job. None if jobs have none, or if the session has moved this process to another one: that of a user's session
    /// belongs to the manager of sessions.
    fn create_leaf(&mut self, run: RunId) -> Option<(LeafCgroup, CgroupDescriptor)> {
        let cgroup = self.cgroup.filter(|cgroup| cgroup.is_own())?;
        match job_cgroup::create(cgroup, run) {
            Ok(created) => Some(created),
            Err(error) => {
                self.send(&failed(&at(ExecStage::Cgroup)(error)));
                None
            }
        }
    }

    fn send_messages(&mut self, session: Option<&Session<'_>>) {
        for message in session.map(Session::take_messages).unwrap_or_default() {
            self.send(&MonitorEvent::Message(message));
        }
    }

    /// Waits for one message from the executor.
    fn receive<T: DeserializeOwned>(&mut self) -> Result<T, MonitorError> {
        loop {
            if let Some(message) = self.link.take()? {
                return Ok(message);
            }
            descriptor::wait_for(self.link.as_fd(), Readiness::Readable).map_err(WireError::from)?;
            if !self.link.fill().map_err(WireError::from)? {
                return self.link.take()?.ok_or(MonitorError::ExecutorGone);
            }
        }
    }

    /// Sends an event and waits until it is sent. If the executor is gone, the job and its session still continue.
    pub(super) fn send(&mut self, event: &MonitorEvent) {
        if self.link.push(event).is_err() {
            return;
        }
        while self.link.flush().is_ok() && self.link.wants_to_write() {
            if descriptor::wait_for(self.link.as_fd(), Readiness::Writable).is_err() {
                return;
            }
        }
    }
}

/// Forks. If the system has no process left, it retries for as long as the executor would.
fn fork_with_retries(threads: &SingleThreaded, mut body: impl FnMut(FreshChild) -> i32) -> io::Result<Pid> {
    let until_ms = clock::monotonic_ms() + RETRY_MS;
    loop {
        match process::fork(threads, &mut body) {
            Err(_) if clock::monotonic_ms() < until_ms => std::thread::sleep(RETRY_PAUSE),
            forked => return forked,
        }
    }
}

/// The results of the PAM session: variables, and the groups of this process, which may include further groups than the user's own.
fn result_of_session(
    session: Option<&Session<'_>>,
    request: &MonitorRequest,
) -> Result<(Variables, Identity), MonitorError> {
    let Some(session) = session else { return Ok((Variables::default(), request.identity.clone())) };
    let strings = session.variables();
    let pam = Variables::from_strings(strings.iter().map(|string| string.as_bytes()));
    let groups = process::own_groups().map_err(at(ExecStage::Groups))?;
    Ok((pam, Identity { groups, ..request.identity.clone() }))
}

fn remove(leaf: Option<&LeafCgroup>) {
    // What is left there is removed by the next executor.
    let _ = leaf.map(LeafCgroup::remove);
}

fn failed(failure: &Failure) -> MonitorEvent {
    MonitorEvent::Failed { step: failure.step as u8, number: failure.source.raw_os_error().unwrap_or(0) }
}

/// The specification for the job's child. The variables of cron override those of PAM.
pub(super) fn spec(request: &MonitorRequest, pam: &Variables, identity: Identity) -> ExecSpec {
    let variables = pam.clone().overlaid(&Variables::unpacked(&request.variables));
    let mut spec = ExecSpec::of_shell(&request.command, &variables, request.original_limits);
    spec.identity = Some(identity);
    spec.runs_without_home = request.runs_without_home;
    spec.sets_defaults = false;
    spec.limits = request.limits;
    spec.start_by_ms = request.start_by_ms;
    if let Some(path) = &request.call_url_program {
        let arguments = vec![c"cronctl".to_owned(), CALL_URL.to_owned()];
        spec.program = Program::new(path.clone(), arguments, ping_variables(&variables).strings());
    }
    spec
}

/// The variables that a ping gets. The program needs no others, and those of the dynamic linker (`LD_PRELOAD`) could replace its code.
fn ping_variables(variables: &Variables) -> Variables {
    let mut kept = Variables::default();
    for (name, value) in variables.iter().filter(|(name, _)| PING_VARIABLES.iter().any(|known| known == name)) {
        kept.set(name, value);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_gets_proxies_and_nothing_of_the_dynamic_linker() {
        let strings =
            ["PATH=/bin", "LD_PRELOAD=/tmp/x.so", "https_proxy=http://p:1", "LD_AUDIT=y", "SECRET=z", "HOME=/h"];
        let variables = Variables::from_strings(strings.iter().map(|string| string.as_bytes()));
        assert_eq!(ping_variables(&variables).strings(), [c"PATH=/bin", c"https_proxy=http://p:1", c"HOME=/h"]);
    }
}
