//! The executor's part in jobs with a PAM session: which need one, handing them to a PAM monitor, hearing of them.

use super::start::{Launched, QueuedStart};
use super::{ExecutorState, Kind, token};
use crate::executor::environment::Variables;
use crate::executor::exec_spec::{ExecSpec, Failure, Identity};
use crate::executor::job_log::JobRef;
use crate::executor::label::Label;
use crate::executor::pam_monitor::{MonitorEvent, MonitorRequest};
use crate::executor::template::MonitorTemplate;
use crate::profile::{Profile, ProfileName};
use crate::report::Level;
use crate::scheduler::{Owner, RunRequest, Usage};
use crate::sys::clock;
use crate::sys::pam;
use crate::sys::process::Status;
use crate::sys::selinux::Policy;
use crate::sys::user::User;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Where distributions have libpam; on Debian in a directory below that is named for the architecture.
const LIBRARY_DIRECTORIES: [&str; 4] = ["/usr/lib64", "/usr/lib", "/lib64", "/lib"];

/// Whether there is PAM for jobs, and the template that PAM monitors are forked from.
#[derive(Default)]
pub(super) struct Pam {
    has_service: bool,
    template: Option<MonitorTemplate>,
    /// What libpam's file was when the template was made.
    library: Vec<Option<FileState>>,
}

/// Which file it is, its length, when it was changed.
type FileState = (u64, u64, i64, i64);

impl Pam {
    /// Looks again whether there is such a service. Lets go of a template that has an earlier version of libpam loaded: modules of another
    /// version may not work with it.
    pub(super) fn freshen(&mut self, service: &str) {
        self.has_service = pam::has_service(service);
        if self.template.is_some() && library_files() != self.library {
            self.template = None;
        }
    }

    fn template(&mut self, site: &Profile, policy: Option<Policy>) -> io::Result<&MonitorTemplate> {
        if self.template.is_none() {
            self.library = library_files();
            self.template = Some(MonitorTemplate::fork(site, policy)?);
        }
        self.template.as_ref().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

/// The state of each file that may be the installed libpam.
fn library_files() -> Vec<Option<FileState>> {
    let below = format!("{}-linux-gnu", std::env::consts::ARCH);
    let directories = LIBRARY_DIRECTORIES.iter().map(Path::new);
    let state = |path: PathBuf| {
        let found = fs::metadata(path.join("libpam.so.0")).ok()?;
        Some((found.ino(), found.size(), found.ctime(), found.ctime_nsec()))
    };
    directories.flat_map(|directory| [directory.join(&below), directory.to_owned()]).map(state).collect()
}

impl ExecutorState {
    /// Whether those who fork PAM monitors have as much to do as they can.
    pub(super) fn monitors_are_behind(&self) -> bool {
        self.pam.template.as_ref().is_some_and(MonitorTemplate::is_behind)
    }

    /// Whether the job's start goes through PAM.
    pub(super) fn needs_monitor(&self, start: &RunRequest, user: &User) -> bool {
        let spared = self.site.pam_skips_root_system_jobs && start.source.owner == Owner::System && user.uid == 0;
        self.pam.has_service && !self.config.standalone && !spared
    }

    /// Hands the job to a PAM monitor. An error means that nothing has happened and it can be tried again.
    pub(super) fn hand_to_monitor(
        &mut self,
        start: &RunRequest,
        user: Rc<User>,
        label: Option<Label>,
    ) -> io::Result<(Option<ExecSpec>, Launched)> {
        let command = start.split(self.site.backslash);
        let context = label.map(|label| label.context().clone());
        let order = MonitorRequest { context, ..self.monitor_order(start, &user, &command.shell) };
        let (id, pipes) = self.open_pipes(&user)?;
        let made = self.pam.template(self.site, self.policy)?.make_monitor(pipes.stdio());
        let mut monitor = made.inspect_err(|_| self.pam.template = None)?;
        monitor.push(&order).map_err(io::Error::other)?;
        monitor.flush()?;
        self.poll.add(&monitor, token(Kind::PamMonitor, id))?;
        self.poll.want_writable(&monitor, token(Kind::PamMonitor, id), monitor.wants_to_write())?;
        Ok((None, Launched { id, monitor: Some(monitor), user, pipes, command }))
    }

    fn monitor_order(&self, start: &RunRequest, user: &User, command: &[u8]) -> MonitorRequest {
        let variables = self.environment(start, user);
        MonitorRequest {
            user: user.name.clone(),
            identity: Identity::from(user),
            context: None,
            session_class: variables
                .get("XDG_SESSION_CLASS")
                .filter(|_| self.site.profile == ProfileName::Cronie)
                .map(<[u8]>::to_vec),
            variables: variables.packed(),
            command: command.into(),
            runs_without_home: self.site.runs_without_home,
            started_with: self.started_with,
        }
    }

    /// Takes what a PAM monitor tells, and sends it what it has not got yet.
    pub(super) fn handle_monitor(&mut self, id: u64) {
        let Some(monitor) = self.jobs.get_mut(&id).and_then(|job| job.monitor.as_mut()) else { return };
        let mut open = monitor.fill().unwrap_or(false);
        if monitor.wants_to_write() {
            open &= monitor.flush().is_ok();
            let _ = self.poll.want_writable(&*monitor, token(Kind::PamMonitor, id), monitor.wants_to_write());
        }
        while let Some(monitor) = self.jobs.get_mut(&id).and_then(|job| job.monitor.as_mut()) {
            match monitor.take() {
                Ok(Some(news)) => self.monitor_told(id, news),
                Ok(None) if open => return,
                Ok(None) | Err(_) => return self.monitor_is_done(id, None),
            }
        }
    }

    fn monitor_told(&mut self, id: u64, news: MonitorEvent) {
        match news {
            MonitorEvent::NoMonitor { number } => self.try_monitor_again(id, &io::Error::from_raw_os_error(number)),
            MonitorEvent::Started(pid) => self.started(id, pid),
            MonitorEvent::Message(text) => self.pam_said(id, "pam_message", &text),
            MonitorEvent::Refused { session, text, doing } => self.pam_refused(id, session, &text, &doing),
            MonitorEvent::Failed { step, number } => {
                if let Some(failure) = Failure::of_numbers(step, number) {
                    self.job_failed(id, &failure);
                }
            }
            MonitorEvent::Ended { status, usage, variables } => {
                if let Some(job) = self.jobs.get_mut(&id) {
                    job.pam_variables = Some(Variables::unpacked(&variables));
                }
                self.monitor_is_done(id, Some((status, usage)));
            }
        }
    }

    /// There was no process for the PAM monitor: nothing has happened, the start is as it was.
    fn try_monitor_again(&mut self, id: u64, error: &io::Error) {
        let Some(job) = self.jobs.remove(&id) else { return };
        self.flight.end(id);
        self.held.give_back(&job.owner, job.input_size);
        self.try_again(QueuedStart::again(job), error, clock::monotonic_ms());
    }

    /// The PAM monitor has said its last; it closes the session by itself.
    fn monitor_is_done(&mut self, id: u64, ended: Option<(Status, Usage)>) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.monitor = None;
        }
        self.job_ended(id, ended);
    }

    /// PAM's refusal in the words of the profile's reference implementation; the start's own line follows.
    fn pam_refused(&mut self, id: u64, session: bool, text: &str, doing: &str) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.failure = Some(format!("{doing}: {text}"));
        let Some(job) = self.jobs.get(&id) else { return };
        let command = job.command(self.site);
        let about = ExecutorState::about(job, &command);
        match self.site.profile {
            ProfileName::Debian => self.tell.say(JobRef { user: "", ..about }, Level::Error, text, b"", ""),
            ProfileName::Cronie => {
                let event =
                    if session { "FAILED to open PAM security session" } else { "FAILED to authorize user with PAM" };
                self.tell.say_as_daemon(about.user, "PAM ERROR", text);
                self.tell.say_as_daemon(about.user, event, text);
            }
        }
    }

    fn pam_said(&mut self, id: u64, event: &str, text: &str) {
        let Some(job) = self.jobs.get(&id) else { return };
        let command = job.command(self.site);
        let about = JobRef { user: "CRON", ..ExecutorState::about(job, &command) };
        self.tell.say(about, Level::Info, event, text.as_bytes(), "");
    }
}
