//! The caller, the user whose crontab is concerned, and privileges: the context of every operation.

use super::cli::{Operation, Request};
use super::failure::Failure;
use super::messages;
use super::selinux::{self, CallersContext};
use super::words::Words;
use crate::config::Config;
use crate::profile::{Profile, ProfileName, shared};
use crate::report::{Ident, Level, Log, LogRecord, Target};
use crate::spool::access::{AccessDecision, Lists, may_use};
use crate::spool::install::{CurrentTable, Spool, SpoolError};
use crate::sys::audit;
use crate::sys::files::reason;
use crate::sys::identity::{Identity, Inherited};
use crate::sys::passwd;
use crate::sys::wake_socket::wake;
use crate::users::User;
use std::path::{Path, PathBuf};

/// The context of one call of crontab(1).
pub struct Session<'a> {
    /// The name by which the program was called.
    pub program: &'a str,
    /// The constants of the profile.
    pub profile: &'static Profile,
    /// The wording of the profile.
    pub words: &'static Words,
    /// The caller's privileges and those of the set-id program.
    pub identity: &'a Identity,
    /// The caller's environment, umask and limits.
    pub inherited: &'a Inherited,
    /// The login name of the caller.
    pub caller: String,
    /// The user whose crontab is concerned: the caller, or the user of `-u`.
    pub user: User,
    /// The caller's SELinux context, with `-s`.
    pub context: Option<CallersContext>,
    spool: PathBuf,
    run_dir: PathBuf,
}

impl<'a> Session<'a> {
    /// Determines the caller and the user whose crontab is concerned.
    pub fn open(
        program: &'a str,
        config: &Config,
        identity: &'a Identity,
        inherited: &'a Inherited,
        request: &Request,
    ) -> Result<Session<'a>, Failure> {
        let profile = config.profile;
        let look_up_failed =
            |name: &str, source| Failure::LookUp { program: program.to_owned(), name: name.to_owned(), source };
        let uid = identity.caller_uid();
        let caller = User::by_uid(uid)
            .map_err(|source| look_up_failed(&uid.to_string(), source.into()))?
            .ok_or_else(|| Failure::NoAccount { program: program.to_owned() })?;
        let user = match &request.user {
            None => caller.clone(),
            Some(_) if !selinux::may_act_for_others() => return Err(Failure::DeniedBySelinux),
            Some(name) => {
                let name = name.to_string_lossy();
                if !identity.is_root() && (profile.profile == ProfileName::Cronie || *name != *caller.name) {
                    // Debian's crontab reports an unknown user, whether the caller is root or not.
                    let known = User::by_name(&name).map_err(|source| look_up_failed(&name, source.into()))?;
                    if known.is_some() || profile.profile == ProfileName::Cronie {
                        return Err(Failure::NotPrivileged);
                    }
                }
                User::by_name(&name)
                    .map_err(|source| look_up_failed(&name, source.into()))?
                    .ok_or_else(|| Failure::UnknownUser { program: program.to_owned(), name: name.into_owned() })?
            }
        };
        let spool = request.spool.clone().unwrap_or_else(|| config.places.spool.clone());
        let run_dir = request.run_dir.clone().unwrap_or_else(|| config.run_dir.clone());
        let words = Words::of(profile.profile);
        let context = request.selinux.then(CallersContext::find).transpose()?;
        let caller = caller.name;
        let session = Session { program, profile, words, identity, inherited, caller, user, spool, run_dir, context };
        session.refuse_impossible_combinations(request)?;
        Ok(session)
    }

    fn refuse_impossible_combinations(&self, request: &Request) -> Result<(), Failure> {
        if matches!(request.operation, Operation::SetHost(_)) && !self.identity.is_root() {
            return Err(Failure::NotPrivilegedForHost);
        }
        let about_nobody =
            matches!(request.operation, Operation::SetHost(_) | Operation::ShowHost | Operation::Test(_));
        if about_nobody && request.user.is_some() { Err(Failure::UserWithHost) } else { Ok(()) }
    }

    /// Checks cron.allow and cron.deny. Debian's crontab checks the user whose crontab it is, even if root is the caller;
    /// cronie checks the caller.
    pub fn check_allowed(&self) -> Result<(), Failure> {
        let (name, is_root) = match self.profile.profile {
            ProfileName::Debian => (self.user.name.as_str(), self.user.name == "root"),
            ProfileName::Cronie => (self.caller.as_str(), self.identity.is_root()),
        };
        let unreadable = match is_root {
            true => return Ok(()),
            false => match self.raised(|| may_use(name, &Lists::default(), self.profile.open_to_all))? {
                AccessDecision::Allowed => return Ok(()),
                AccessDecision::Denied => String::new(),
                AccessDecision::Unreadable { path, source } if source.kind() == std::io::ErrorKind::FileTooLarge => {
                    format!("{}: {}\n", path.display(), reason(&source))
                }
                AccessDecision::Unreadable { path, source } if self.profile.profile == ProfileName::Debian => {
                    // Debian's crontab treats a list that is not a regular file as empty.
                    source
                        .raw_os_error()
                        .map_or_else(String::new, |_| format!("{}: {}\n", path.display(), reason(&source)))
                }
                AccessDecision::Unreadable { .. } => String::new(),
            },
        };
        self.log("AUTH", "crontab command not allowed");
        // A process that may not write to the audit trail (set-gid, as on Debian) has the line in the log.
        let _ = self.raised(|| audit::refused(audit::Kind::Start, "cron deny"))?;
        let (user, program) = (self.user.name.clone(), self.program.to_owned());
        Err(match self.profile.profile {
            ProfileName::Debian if self.identity.is_root() => Failure::TargetNotAllowed { user, program },
            ProfileName::Debian | ProfileName::Cronie => Failure::NotAllowed { unreadable, user, program },
        })
    }

    /// Runs a function with the privileges of the set-id program.
    pub fn raised<T>(&self, act: impl FnOnce() -> T) -> Result<T, Failure> {
        self.identity.raised(act).map_err(|source| Failure::Identity { program: self.program.to_owned(), source })
    }

    /// Runs a function on the spool with the privileges of the set-id program.
    pub fn with_spool<T>(&self, act: impl FnOnce(&Spool) -> Result<T, SpoolError>) -> Result<T, Failure> {
        self.raised(|| Spool::open(&self.spool, self.profile).and_then(|spool| act(&spool)))?
            .map_err(|source| self.spool_failure(source))
    }

    /// Reads the current crontab; none if there is none.
    pub fn read_table(&self) -> Result<Option<CurrentTable>, Failure> {
        let owner = (!self.identity.is_root()).then_some(self.user.uid);
        self.with_spool(|spool| spool.read(&self.user.name, owner))
    }

    /// Creates a missing spool, as both reference implementations do as root, and prints a message.
    pub fn make_missing_spool(&self) -> Result<(), Failure> {
        if self.identity.owner_uid() != 0 || !self.raised(|| is_missing(&self.spool))? {
            return Ok(());
        }
        let group = match self.profile.profile {
            ProfileName::Debian => passwd::group_id("crontab").ok().flatten(),
            ProfileName::Cronie => None,
        };
        self.raised(|| Spool::create(&self.spool, self.profile, group))?
            .map_err(|source| self.spool_failure(source))?;
        messages::warn(&format!("{}: created", self.spool.display()));
        Ok(())
    }

    fn spool_failure(&self, source: SpoolError) -> Failure {
        let debian = self.profile.profile == ProfileName::Debian;
        Failure::Spool { program: self.program.to_owned(), profile_spool: debian.then(|| self.spool.clone()), source }
    }

    /// The path of the spool directory.
    pub fn spool_path(&self) -> &Path {
        &self.spool
    }

    /// Notifies the daemon of the change, for file systems where inotify(7) does not report it.
    pub fn wake_daemon(&self) {
        // Errors are ignored: there may be no daemon, and a busy one notices the change by its rescan.
        let _ = wake(&self.run_dir.join(shared::WAKE_SOCKET), &self.user.name);
    }

    /// The uid that must own a new crontab, if the file is not created with it.
    pub fn give_to(&self) -> Option<u32> {
        (self.identity.owner_uid() != self.user.uid).then_some(self.user.uid)
    }

    /// Logs an event: `(CALLER) EVENT (DETAIL)`.
    pub fn log(&self, event: &str, detail: &str) {
        Log::open(Target::Syslog, self.profile).write(&LogRecord {
            ident: Ident::Crontab,
            level: Level::Info,
            pid: None,
            user: &self.caller,
            event,
            detail: detail.as_bytes(),
            rest: "",
            run: None,
            fields: &[],
        });
    }
}

fn is_missing(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}
