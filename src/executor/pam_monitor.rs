//! The PAM monitor: root's process that holds a PAM session open around one job, and closes it whatever becomes of the job.
//!
//! It is forked by the template process. The request and the events go over a socket between executor and PAM monitor. Each PAM monitor begins a PAM transaction
//! of its own: libpam reads the service's files and loads the modules as they are at that moment, and reports faults for the job in question.

use super::config::RETRY_MS;
use super::environment::Variables;
use super::exec_spec::{ExecSpec, ExecStage, Failure, Identity, OriginalLimits, Reporter, Stdio, child, defaults};
use super::job::usage_of;
use super::label::Label;
use super::link::{Link, WireError};
use crate::profile::Profile;
use crate::scheduler::{Environment, SharedBytes, Usage};
use crate::sys::clock;
use crate::sys::descriptor;
use crate::sys::memory;
use crate::sys::pam::{self, Library, PamError, Session};
use crate::sys::process::{self, Pid, Status};
use crate::sys::selinux::Policy;
use serde::de::DeserializeOwned;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// How long a PAM monitor waits between two tries to fork its job.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// What a PAM monitor is told once: whose job it is to start, and how.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct MonitorRequest {
    pub(super) user: String,
    pub(super) identity: Identity,
    /// The SELinux context of the job, where there is SELinux.
    pub(super) context: Option<CString>,
    /// cronie tells PAM this variable of the table.
    pub(super) session_class: Option<Vec<u8>>,
    pub(super) variables: Environment,
    pub(super) command: SharedBytes,
    pub(super) runs_without_home: bool,
    pub(super) original_limits: OriginalLimits,
}

/// What the PAM monitor reports to the executor.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum MonitorEvent {
    /// There was no process to be had for the PAM monitor itself; nothing has happened.
    NoMonitor {
        /// The kernel's number for why.
        number: i32,
    },
    /// A PAM module's message for the log.
    Message(String),
    /// PAM refused; nothing is started.
    Refused {
        /// Whether it was the session, and not the account.
        session: bool,
        /// What pam_strerror says.
        text: String,
        /// `pam_acct_mgmt`.
        doing: String,
    },
    /// The job's process has been started.
    Started(Pid),
    /// A step failed, in the PAM monitor or in the job's process.
    Failed {
        /// [`ExecStage`] as a number.
        step: u8,
        /// The kernel's number for why.
        number: i32,
    },
    /// The job ended; its environment had this of PAM.
    Ended {
        /// Exit status or signal.
        status: Status,
        /// What the job used.
        usage: Usage,
        /// What PAM added.
        variables: Environment,
    },
}

/// The PAM monitor's own side, after its fork.
pub(super) struct PamMonitor<'a> {
    /// None: the system has no PAM.
    pub(super) library: Option<&'a Library>,
    pub(super) profile: &'a Profile,
    /// Where the kernel has SELinux.
    pub(super) policy: Option<Policy>,
    /// The socket to the executor.
    pub(super) link: Link,
}

/// Why there is no job.
#[derive(Debug, thiserror::Error)]
enum MonitorError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the executor is gone")]
    Alone,
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
    /// Does what the executor requests, with these ends of the job's pipes; gives the exit status.
    pub(super) fn run(&mut self, input: OwnedFd, output: OwnedFd) -> i32 {
        let event = match self.run_session(input, output) {
            Ok(()) => return 0,
            Err(MonitorError::Pam { error, session }) => {
                MonitorEvent::Refused { session, text: error.text, doing: error.doing.to_owned() }
            }
            Err(MonitorError::ExecStage(failure)) => failed(&failure),
            Err(MonitorError::Wire(_) | MonitorError::Alone) => return 1,
        };
        self.send(&event);
        1
    }

    /// The session around the job. Every way out drops the session, which closes it.
    fn run_session(&mut self, input: OwnedFd, output: OwnedFd) -> Result<(), MonitorError> {
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
        let spec = spec(&request, &pam, identity);
        let (reporter, reports) = Reporter::new().map_err(at(ExecStage::Descriptors))?;
        let stdio = Stdio { input: input.as_fd(), output: output.as_fd(), error: output.as_fd() };
        let job =
            fork_with_retries(|| child(&spec, stdio, &reporter, self.profile.profile)).map_err(at(ExecStage::Fork))?;
        drop((input, output, reporter));
        self.send(&MonitorEvent::Started(job));
        // What the session took to open is free again, and the job may go on for weeks.
        memory::trim_memory();
        let (status, used) = process::wait_with_usage(job).map_err(at(ExecStage::Session))?;
        for (_, failure) in reports.take() {
            self.send(&failed(&failure));
        }
        self.send_messages(session.as_ref());
        self.send(&MonitorEvent::Ended { status, usage: usage_of(used), variables: pam.packed() });
        Ok(())
    }

    /// Before the session, so that a module of it (pam_selinux) has the last word; the job inherits it.
    fn set_exec_context(&self, request: &MonitorRequest) -> Result<(), MonitorError> {
        let Some((policy, context)) = self.policy.zip(request.context.clone()) else { return Ok(()) };
        Ok(Label::sent(policy, context).set_exec_context().map_err(at(ExecStage::Label))?)
    }

    /// Account, credentials, session, in the reference implementations' order; the groups of the user come before the credentials, which may add to them.
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
            let setting = super::environment::c_string(&[b"XDG_SESSION_CLASS=", class]);
            session.put_variable(&setting).map_err(account)?;
        }
        session.open().map_err(|error| MonitorError::Pam { error, session: true })?;
        pam::log_as(from_then_on);
        Ok(Some(session))
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
            descriptor::wait_for(self.link.as_fd(), false).map_err(WireError::Io)?;
            if !self.link.fill().map_err(WireError::Io)? {
                return self.link.take()?.ok_or(MonitorError::Alone);
            }
        }
    }

    /// Sends an event, waiting until it is sent. An executor that is gone is no reason to leave the job or its session.
    pub(super) fn send(&mut self, event: &MonitorEvent) {
        if self.link.push(event).is_err() {
            return;
        }
        while self.link.flush().is_ok() && self.link.wants_to_write() {
            if descriptor::wait_for(self.link.as_fd(), true).is_err() {
                return;
            }
        }
    }
}

/// Forks, and when there is no process to be had tries again for as long as the executor would.
fn fork_with_retries(mut body: impl FnMut() -> i32) -> io::Result<Pid> {
    let until_ms = clock::monotonic_ms() + RETRY_MS;
    loop {
        match process::fork(&mut body) {
            Err(_) if clock::monotonic_ms() < until_ms => std::thread::sleep(RETRY_PAUSE),
            forked => return forked,
        }
    }
}

/// What the PAM session gave: variables, and groups beyond the user's own.
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

fn at(step: ExecStage) -> impl FnOnce(io::Error) -> Failure {
    move |source| Failure { step, source }
}

fn failed(failure: &Failure) -> MonitorEvent {
    MonitorEvent::Failed { step: failure.step as u8, number: failure.source.raw_os_error().unwrap_or(0) }
}

/// What the job's child needs: cron's variables have the last word over PAM's.
pub(super) fn spec(request: &MonitorRequest, pam: &Variables, identity: Identity) -> ExecSpec {
    let variables = pam.clone().overlaid(&Variables::unpacked(&request.variables));
    let mut spec = ExecSpec::of_shell(&request.command, &variables, request.original_limits);
    spec.identity = Some(identity);
    spec.runs_without_home = request.runs_without_home;
    spec.sets_defaults = false;
    spec
}
