//! The runner's part in jobs with a PAM session: which need one, handing them to a keeper, hearing of them.

use super::start::{Launched, Pending};
use super::{Kind, State, token};
use crate::executor::environment::Variables;
use crate::executor::keeper::{KeeperNews, KeeperOrder};
use crate::executor::label::Label;
use crate::executor::recipe::{Failure, Identity, Recipe};
use crate::executor::tell::About;
use crate::executor::template::Template;
use crate::profile::{Profile, ProfileName};
use crate::report::Level;
use crate::scheduler::{Owner, RunRequest};
use crate::sys::clock;
use crate::sys::pam;
use crate::sys::selinux::Policy;
use crate::sys::user::User;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Where distributions have libpam; on Debian in a directory below that is named for the architecture.
const LIBRARY_DIRECTORIES: [&str; 4] = ["/usr/lib64", "/usr/lib", "/lib64", "/lib"];

/// Whether there is PAM for jobs, and the template that keepers are forked from.
#[derive(Default)]
pub(super) struct Pam {
    has_service: bool,
    template: Option<Template>,
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

    fn template(&mut self, site: &Profile, policy: Option<Policy>) -> io::Result<&Template> {
        if self.template.is_none() {
            self.library = library_files();
            self.template = Some(Template::fork(site, policy)?);
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

impl State {
    /// Whether those who fork keepers have as much to do as they can.
    pub(super) fn keepers_are_behind(&self) -> bool {
        self.pam.template.as_ref().is_some_and(Template::is_behind)
    }

    /// Whether the job's start goes through PAM.
    pub(super) fn needs_keeper(&self, start: &RunRequest, user: &User) -> bool {
        let spared = self.site.pam_skips_root_system_jobs && start.source.owner == Owner::System && user.uid == 0;
        self.pam.has_service && !self.config.standalone && !spared
    }

    /// Hands the job to a keeper. An error means that nothing has happened and it can be tried again.
    pub(super) fn hand_to_keeper(
        &mut self,
        start: &RunRequest,
        user: Rc<User>,
        label: Option<Label>,
    ) -> io::Result<(Option<Recipe>, Launched)> {
        let command = start.split(self.site.backslash);
        let context = label.map(|label| label.context().clone());
        let order = KeeperOrder { context, ..self.keeper_order(start, &user, &command.shell) };
        let (id, pipes) = self.open_pipes(&user)?;
        let made = self.pam.template(self.site, self.policy)?.make_keeper(pipes.stdio());
        let mut keeper = made.inspect_err(|_| self.pam.template = None)?;
        keeper.push(&order).map_err(io::Error::other)?;
        keeper.flush()?;
        self.poll.add(&keeper, token(Kind::Keeper, id))?;
        self.poll.want_writable(&keeper, token(Kind::Keeper, id), keeper.wants_to_write())?;
        Ok((None, Launched { id, keeper: Some(keeper), user, pipes, command }))
    }

    fn keeper_order(&self, start: &RunRequest, user: &User, command: &[u8]) -> KeeperOrder {
        let variables = self.environment(start, user);
        KeeperOrder {
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

    /// Takes what a keeper tells, and sends it what it has not got yet.
    pub(super) fn hear_keeper(&mut self, id: u64) {
        let Some(keeper) = self.jobs.get_mut(&id).and_then(|job| job.keeper.as_mut()) else { return };
        let mut open = keeper.fill().unwrap_or(false);
        if keeper.wants_to_write() {
            open &= keeper.flush().is_ok();
            let _ = self.poll.want_writable(&*keeper, token(Kind::Keeper, id), keeper.wants_to_write());
        }
        while let Some(keeper) = self.jobs.get_mut(&id).and_then(|job| job.keeper.as_mut()) {
            match keeper.take() {
                Ok(Some(news)) => self.keeper_told(id, news),
                Ok(None) if open => return,
                Ok(None) | Err(_) => return self.keeper_is_done(id, None),
            }
        }
    }

    fn keeper_told(&mut self, id: u64, news: KeeperNews) {
        match news {
            KeeperNews::NoKeeper { number } => self.try_keeper_again(id, &io::Error::from_raw_os_error(number)),
            KeeperNews::Started(pid) => self.started(id, pid),
            KeeperNews::Message(text) => self.pam_said(id, "pam_message", &text),
            KeeperNews::Refused { session, text, doing } => self.pam_refused(id, session, &text, &doing),
            KeeperNews::Failed { step, number } => {
                if let Some(failure) = Failure::of_numbers(step, number) {
                    self.job_failed(id, &failure);
                }
            }
            KeeperNews::Ended { status, variables } => {
                if let Some(job) = self.jobs.get_mut(&id) {
                    job.pam_variables = Some(Variables::unpacked(&variables));
                }
                self.keeper_is_done(id, Some(status));
            }
        }
    }

    /// There was no process for the keeper: nothing has happened, the start is as it was.
    fn try_keeper_again(&mut self, id: u64, error: &io::Error) {
        let Some(job) = self.jobs.remove(&id) else { return };
        self.flight.end(id);
        self.held.give_back(&job.owner, job.input_size);
        self.try_again(Pending::again(job), error, clock::monotonic_ms());
    }

    /// The keeper has said its last; it closes the session by itself.
    fn keeper_is_done(&mut self, id: u64, status: Option<crate::sys::process::Status>) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.keeper = None;
        }
        self.job_ended(id, status);
    }

    /// PAM's refusal in the words of the profile's incumbent; the start's own line follows.
    fn pam_refused(&mut self, id: u64, session: bool, text: &str, doing: &str) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.failure = Some(format!("{doing}: {text}"));
        let Some(job) = self.jobs.get(&id) else { return };
        let command = job.command(self.site);
        let about = State::about(job, &command);
        match self.site.profile {
            ProfileName::Debian => self.tell.say(About { user: "", ..about }, Level::Error, text, b"", ""),
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
        let about = About { user: "CRON", ..State::about(job, &command) };
        self.tell.say(about, Level::Info, event, text.as_bytes(), "");
    }
}
