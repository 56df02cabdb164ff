//! Who asks, whose table it is about, and with which rights: what every operation needs.

use super::cli::{Operation, Request};
use super::failure::Failure;
use super::label::{self, CallersContext};
use super::tell;
use super::words::Words;
use crate::config::Config;
use crate::profile::{Profile, ProfileName, shared};
use crate::report::{Ident, Level, Log, Record, Target};
use crate::spool::access::{Lists, Ruling, may_use};
use crate::spool::install::{Spool, SpoolError, Standing};
use crate::sys::audit;
use crate::sys::files::reason;
use crate::sys::identity::{Identity, Inherited};
use crate::sys::passwd::{self, Account};
use crate::sys::wake_socket::wake;
use std::path::{Path, PathBuf};

/// One call of crontab(1).
pub struct Session<'a> {
    /// How it was called.
    pub program: &'a str,
    /// The profile's constants.
    pub site: &'static Profile,
    /// The profile's wording.
    pub words: &'static Words,
    /// The caller's rights and the lent ones.
    pub identity: &'a Identity,
    /// The caller's environment, umask and limits.
    pub inherited: &'a Inherited,
    /// The caller's login name.
    pub caller: String,
    /// Whose table it is: the caller's, or with `-u` another user's.
    pub user: Account,
    /// With `-s`: the caller's SELinux context.
    pub context: Option<CallersContext>,
    spool: PathBuf,
    run_dir: PathBuf,
}

impl<'a> Session<'a> {
    /// Settles who asks for whom.
    pub fn open(
        program: &'a str,
        config: &Config,
        identity: &'a Identity,
        inherited: &'a Inherited,
        request: &Request,
    ) -> Result<Session<'a>, Failure> {
        let site = config.site;
        let look_up_failed =
            |name: &str, source| Failure::LookUp { program: program.to_owned(), name: name.to_owned(), source };
        let uid = identity.caller_uid();
        let caller = passwd::by_uid(uid)
            .map_err(|source| look_up_failed(&uid.to_string(), source))?
            .ok_or_else(|| Failure::NoAccount { program: program.to_owned() })?;
        let user = match &request.user {
            None => caller.clone(),
            Some(_) if !label::may_act_for_others() => return Err(Failure::DeniedBySelinux),
            Some(name) => {
                let name = name.to_string_lossy();
                if !identity.is_root() && (site.profile == ProfileName::Cronie || *name != *caller.name) {
                    // Debian's crontab says of a name that nobody has that it is unknown, root or not.
                    let known = passwd::by_name(&name).map_err(|source| look_up_failed(&name, source))?;
                    if known.is_some() || site.profile == ProfileName::Cronie {
                        return Err(Failure::NotPrivileged);
                    }
                }
                passwd::by_name(&name)
                    .map_err(|source| look_up_failed(&name, source))?
                    .ok_or_else(|| Failure::UnknownUser { program: program.to_owned(), name: name.into_owned() })?
            }
        };
        let spool = request.spool.clone().unwrap_or_else(|| config.places.spool.clone());
        let run_dir = request.run_dir.clone().unwrap_or_else(|| config.run_dir.clone());
        let words = Words::of(site.profile);
        let context = request.selinux.then(CallersContext::find).transpose()?;
        let caller = caller.name;
        let session = Session { program, site, words, identity, inherited, caller, user, spool, run_dir, context };
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

    /// Asks cron.allow and cron.deny. Debian's crontab asks them for the table's user, root's calls for others included;
    /// cronie for the caller.
    pub fn check_allowed(&self) -> Result<(), Failure> {
        let (name, is_root) = match self.site.profile {
            ProfileName::Debian => (self.user.name.as_str(), self.user.name == "root"),
            ProfileName::Cronie => (self.caller.as_str(), self.identity.is_root()),
        };
        let unreadable = match is_root {
            true => return Ok(()),
            false => match self.raised(|| may_use(name, &Lists::default(), self.site.open_to_all))? {
                Ruling::Allowed => return Ok(()),
                Ruling::Denied => String::new(),
                Ruling::Unreadable { path, source } if source.kind() == std::io::ErrorKind::FileTooLarge => {
                    format!("{}: {}\n", path.display(), reason(&source))
                }
                Ruling::Unreadable { path, source } if self.site.profile == ProfileName::Debian => {
                    // What is no file at all it takes for an empty list.
                    source
                        .raw_os_error()
                        .map_or_else(String::new, |_| format!("{}: {}\n", path.display(), reason(&source)))
                }
                Ruling::Unreadable { .. } => String::new(),
            },
        };
        self.log("AUTH", "crontab command not allowed");
        // Whoever may not write to the audit trail (set-gid, as on Debian) has the log's line.
        let _ = self.raised(|| audit::refused(audit::Kind::Start, "cron deny"))?;
        let (user, program) = (self.user.name.clone(), self.program.to_owned());
        Err(match self.site.profile {
            ProfileName::Debian if self.identity.is_root() => Failure::TargetNotAllowed { user, program },
            ProfileName::Debian | ProfileName::Cronie => Failure::NotAllowed { unreadable, user, program },
        })
    }

    /// Does something with the lent rights.
    pub fn raised<T>(&self, act: impl FnOnce() -> T) -> Result<T, Failure> {
        self.identity.raised(act).map_err(|source| Failure::Identity { program: self.program.to_owned(), source })
    }

    /// Does something to the spool with the lent rights.
    pub fn with_spool<T>(&self, act: impl FnOnce(&Spool) -> Result<T, SpoolError>) -> Result<T, Failure> {
        self.raised(|| Spool::open(&self.spool, self.site).and_then(|spool| act(&spool)))?
            .map_err(|source| self.spool_failure(source))
    }

    /// The table as it stands; none if there is none.
    pub fn read_table(&self) -> Result<Option<Standing>, Failure> {
        let owner = (!self.identity.is_root()).then_some(self.user.uid);
        self.with_spool(|spool| spool.read(&self.user.name, owner))
    }

    /// Makes a missing spool, as both reference implementations do when they run as root, and says so.
    pub fn make_missing_spool(&self) -> Result<(), Failure> {
        if self.identity.lent_uid() != 0 || !self.raised(|| is_missing(&self.spool))? {
            return Ok(());
        }
        let group = match self.site.profile {
            ProfileName::Debian => passwd::group_id("crontab").ok().flatten(),
            ProfileName::Cronie => None,
        };
        self.raised(|| Spool::create(&self.spool, self.site, group))?.map_err(|source| self.spool_failure(source))?;
        tell::warn(&format!("{}: created", self.spool.display()));
        Ok(())
    }

    fn spool_failure(&self, source: SpoolError) -> Failure {
        let debian = self.site.profile == ProfileName::Debian;
        Failure::Spool { program: self.program.to_owned(), profile_spool: debian.then(|| self.spool.clone()), source }
    }

    /// The spool's path.
    pub fn spool_path(&self) -> &Path {
        &self.spool
    }

    /// Tells the daemon that the table has changed, for where inotify(7) reports nothing.
    pub fn wake_daemon(&self) {
        // Without a daemon there is nobody to tell, and a busy one notices the change in another way.
        let _ = wake(&self.run_dir.join(shared::WAKE_SOCKET), &self.user.name);
    }

    /// The uid that a new table must be given, if it is not made with it.
    pub fn give_to(&self) -> Option<u32> {
        (self.identity.lent_uid() != self.user.uid).then_some(self.user.uid)
    }

    /// Tells the log what was done: `(CALLER) EVENT (DETAIL)`.
    pub fn log(&self, event: &str, detail: &str) {
        Log::open(Target::Syslog, self.site).write(&Record {
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
