//! The keeper: root's process that holds a PAM session open around one job, and closes it whatever becomes of the job.
//!
//! It is forked by the template process. The order and the news go over a socket between runner and keeper. Each keeper begins a PAM transaction
//! of its own: libpam reads the service's files and loads the modules as they are at that moment, and reports faults for the job in question.

use super::environment::Variables;
use super::label::Label;
use super::recipe::{Failure, Identity, Recipe, Reporter, StartedWith, Stdio, Step, child, defaults};
use super::runner::RETRY_MS;
use super::wire::{Link, WireError};
use crate::profile::Profile;
use crate::scheduler::{Environment, SharedBytes};
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

/// How long a keeper waits between two tries to fork its job.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// What the keeper is to do.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct KeeperOrder {
    pub(super) user: String,
    pub(super) identity: Identity,
    /// The SELinux context of the job, where there is SELinux.
    pub(super) context: Option<CString>,
    /// cronie tells PAM this variable of the table.
    pub(super) session_class: Option<Vec<u8>>,
    pub(super) variables: Environment,
    pub(super) command: SharedBytes,
    pub(super) runs_without_home: bool,
    pub(super) started_with: StartedWith,
}

/// What the keeper tells.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum KeeperNews {
    /// There was no process to be had for the keeper itself; nothing has happened.
    NoKeeper {
        /// The kernel's number for why.
        number: i32,
    },
    /// A module wants somebody to know this.
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
    /// The job is there.
    Started(Pid),
    /// A step failed, in the keeper or in the job's process.
    Failed {
        /// [`Step`] as a number.
        step: u8,
        /// The kernel's number for why.
        number: i32,
    },
    /// The job ended; its environment had this of PAM.
    Ended {
        /// How.
        status: Status,
        /// What PAM added.
        variables: Environment,
    },
}

/// The keeper's own side, after its fork.
pub(super) struct Keeper<'a> {
    /// None: the system has no PAM.
    pub(super) library: Option<&'a Library>,
    pub(super) site: &'a Profile,
    /// Where the kernel has SELinux.
    pub(super) policy: Option<Policy>,
    /// The socket to the runner.
    pub(super) link: Link,
}

/// Why there is no job.
#[derive(Debug, thiserror::Error)]
enum KeeperError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the runner is gone")]
    Alone,
    #[error("{error}")]
    Pam { error: PamError, session: bool },
    #[error("a step failed")]
    Step(Failure),
}

impl From<Failure> for KeeperError {
    fn from(failure: Failure) -> KeeperError {
        KeeperError::Step(failure)
    }
}

impl<'a> Keeper<'a> {
    /// Does what the runner orders, with these ends of the job's pipes; gives the exit status.
    pub(super) fn run(&mut self, input: OwnedFd, output: OwnedFd) -> i32 {
        let news = match self.keep(input, output) {
            Ok(()) => return 0,
            Err(KeeperError::Pam { error, session }) => {
                KeeperNews::Refused { session, text: error.text, doing: error.doing.to_owned() }
            }
            Err(KeeperError::Step(failure)) => failed(&failure),
            Err(KeeperError::Wire(_) | KeeperError::Alone) => return 1,
        };
        self.tell(&news);
        1
    }

    /// The session around the job. Every way out drops the session, which closes it.
    fn keep(&mut self, input: OwnedFd, output: OwnedFd) -> Result<(), KeeperError> {
        process::default_signals();
        process::shrug_off_signals();
        process::unblock_signals().map_err(at(Step::Signals))?;
        process::set_name(c"crond: keeper");
        let order: KeeperOrder = self.hear()?;
        process::new_session().map_err(at(Step::Session))?;
        order.started_with.limit.set().map_err(at(Step::Limits))?;
        defaults(order.started_with)?;
        self.wear_label(&order)?;
        let session = self.open_session(&order)?;
        let (pam, identity) = result_of_session(session.as_ref(), &order)?;
        let recipe = recipe(&order, &pam, identity);
        let (reporter, reports) = Reporter::new().map_err(at(Step::Descriptors))?;
        let stdio = Stdio { input: input.as_fd(), output: output.as_fd(), error: output.as_fd() };
        let job = fork_patiently(|| child(&recipe, stdio, &reporter, self.site.profile)).map_err(at(Step::Fork))?;
        drop((input, output, reporter));
        self.tell(&KeeperNews::Started(job));
        // What the session took to open is free again, and the job may go on for weeks.
        memory::trim_memory();
        let status = process::wait(job).map_err(at(Step::Session))?;
        for (_, failure) in reports.take() {
            self.tell(&failed(&failure));
        }
        self.tell_messages(session.as_ref());
        self.tell(&KeeperNews::Ended { status, variables: pam.packed() });
        Ok(())
    }

    /// Before the session, so that a module of it (pam_selinux) has the last word; the job inherits it.
    fn wear_label(&self, order: &KeeperOrder) -> Result<(), KeeperError> {
        let Some((policy, context)) = self.policy.zip(order.context.clone()) else { return Ok(()) };
        Ok(Label::sent(policy, context).wear().map_err(at(Step::Label))?)
    }

    /// Account, credentials, session, in the incumbents' order; the groups of the user come before her credentials, which may add to them.
    fn open_session(&self, order: &KeeperOrder) -> Result<Option<Session<'a>>, KeeperError> {
        let Some(library) = self.library else { return Ok(None) };
        let account = |error| KeeperError::Pam { error, session: false };
        let user = CString::new(order.user.as_str()).unwrap_or_default();
        let [before, from_then_on] = self.site.pam_tags;
        pam::log_as(before);
        let service = CString::new(self.site.pam_service).unwrap_or_default();
        let mut session = Session::begin(library, &service).map_err(account)?;
        session.set_user(&user).map_err(account)?;
        session.set_terminal(c"cron").map_err(account)?;
        session.account().map_err(account)?;
        process::set_groups(&order.identity.groups).map_err(at(Step::Groups))?;
        process::set_group_ids(order.identity.gid).map_err(at(Step::GroupId))?;
        session.establish_credentials().map_err(account)?;
        if let Some(class) = &order.session_class {
            let setting = super::environment::c_string(&[b"XDG_SESSION_CLASS=", class]);
            session.put_variable(&setting).map_err(account)?;
        }
        session.open().map_err(|error| KeeperError::Pam { error, session: true })?;
        pam::log_as(from_then_on);
        Ok(Some(session))
    }

    fn tell_messages(&mut self, session: Option<&Session<'_>>) {
        for message in session.map(Session::take_messages).unwrap_or_default() {
            self.tell(&KeeperNews::Message(message));
        }
    }

    /// Waits for a message.
    fn hear<T: DeserializeOwned>(&mut self) -> Result<T, KeeperError> {
        loop {
            if let Some(message) = self.link.take()? {
                return Ok(message);
            }
            descriptor::wait_for(self.link.as_fd(), false).map_err(WireError::Io)?;
            if !self.link.fill().map_err(WireError::Io)? {
                return self.link.take()?.ok_or(KeeperError::Alone);
            }
        }
    }

    /// Tells, waiting until it is sent. A runner that is gone is no reason to leave the job or its session.
    pub(super) fn tell(&mut self, news: &KeeperNews) {
        if self.link.push(news).is_err() {
            return;
        }
        while self.link.flush().is_ok() && self.link.wants_to_write() {
            if descriptor::wait_for(self.link.as_fd(), true).is_err() {
                return;
            }
        }
    }
}

/// Forks, and when there is no process to be had tries again for as long as the runner would.
fn fork_patiently(mut body: impl FnMut() -> i32) -> io::Result<Pid> {
    let until_ms = clock::monotonic_ms() + RETRY_MS;
    loop {
        match process::fork(&mut body) {
            Err(_) if clock::monotonic_ms() < until_ms => std::thread::sleep(RETRY_PAUSE),
            forked => return forked,
        }
    }
}

/// What PAM made: variables, and groups beyond the user's own.
fn result_of_session(session: Option<&Session<'_>>, order: &KeeperOrder) -> Result<(Variables, Identity), KeeperError> {
    let Some(session) = session else { return Ok((Variables::default(), order.identity.clone())) };
    let strings = session.variables();
    let pam = Variables::from_strings(strings.iter().map(|string| string.as_bytes()));
    let groups = process::own_groups().map_err(at(Step::Groups))?;
    Ok((pam, Identity { groups, ..order.identity.clone() }))
}

fn at(step: Step) -> impl FnOnce(io::Error) -> Failure {
    move |source| Failure { step, source }
}

fn failed(failure: &Failure) -> KeeperNews {
    KeeperNews::Failed { step: failure.step as u8, number: failure.source.raw_os_error().unwrap_or(0) }
}

/// The job's recipe: cron's variables have the last word over PAM's.
pub(super) fn recipe(order: &KeeperOrder, pam: &Variables, identity: Identity) -> Recipe {
    let variables = pam.clone().overlaid(&Variables::unpacked(&order.variables));
    let mut recipe = Recipe::of_shell(&order.command, &variables, order.started_with);
    recipe.identity = Some(identity);
    recipe.runs_without_home = order.runs_without_home;
    recipe.sets_defaults = false;
    recipe
}
