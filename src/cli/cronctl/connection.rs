//! Finds a daemon that answers, and calls its methods.

use super::error::Error;
use super::output::Output;
use super::stderr::to_stderr;
use super::system_state::SystemState;
use crate::config::sockets::{CONTROL, HISTORY, sockets_of_standalone};
use crate::control::{Client, ClientError};
use crate::crontab::printable;
use crate::profile::ProfileName;
use crate::sys::files::reason;
use crate::varlink::{Call, CallError, Reply, ReplyError, cron, history, service};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Jobs that are examined for a name like one that does not exist.
const MOST_COMPARED: usize = 20_000;
/// How many similar names are suggested, and how similar they must be (0 to 1).
const MOST_SIMILAR: usize = 3;
const LEAST_SIMILARITY: f64 = 0.7;

/// Timeouts for replies of the daemon: for most calls, and for calls that are answered only when they have been carried out.
const TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const LONG_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the recorder may take to answer at all.
const RECORDER_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to a daemon, or to its recorder.
#[derive(Debug)]
pub(super) struct Connection {
    client: Client,
    directory: PathBuf,
    socket: &'static str,
    interface: &'static str,
    is_root: bool,
}

impl Connection {
    /// Connects to the daemon: with --run-dir to that one, else to the caller's standalone daemon, else to the system's. A daemon that is stopped
    /// lets everybody connect: replies are waited for ten seconds.
    pub(super) fn open(system: &SystemState) -> Result<Connection, Error> {
        let mut found: Option<Connection> = None;
        let mut failure = None;
        for directory in directories(system) {
            let path = directory.join(CONTROL);
            match Client::connect(&path) {
                // The first one answers.
                Ok(_) if found.is_some() => {
                    if let Some(connection) = &found {
                        let (own, other) = (connection.directory.display(), directory.display());
                        to_stderr(&format!(
                            "cronctl: your own daemon in {own} answers; for the one in {other} add {}\n",
                            option_for(&directory, system)
                        ));
                    }
                    break;
                }
                Ok(client) => found = Some(Connection::new(client, &directory, system.is_root())),
                Err(why) => failure = Some((path, why)),
            }
        }
        let advice = || match system.settings.profile.profile {
            ProfileName::Debian => "is it running? see: systemctl status cron",
            ProfileName::Cronie => "is it running? see: systemctl status crond",
        };
        let found = found.ok_or_else(|| {
            let (path, why) = failure.unwrap_or_else(|| (PathBuf::from(CONTROL), io::ErrorKind::NotFound.into()));
            Error::NoDaemon { path, why: reason(&why), advice: advice().to_owned() }
        })?;
        found.set_timeout(TIMEOUT)?;
        Ok(found)
    }

    fn new(client: Client, directory: &Path, is_root: bool) -> Connection {
        let directory = directory.to_owned();
        Connection { client, directory, socket: CONTROL, interface: cron::INTERFACE, is_root }
    }

    /// A further connection to the same daemon.
    pub(super) fn another(&self) -> Result<Connection, Error> {
        let path = self.directory.join(self.socket);
        let Ok(client) = Client::connect(&path) else { return Err(Error::DaemonGone) };
        let other = Connection { client, directory: self.directory.clone(), ..*self };
        other.set_timeout(TIMEOUT)?;
        Ok(other)
    }

    /// A connection to the recorder of this daemon. None: nobody answers. It may be stopped, or have just been started: that takes five seconds.
    pub(super) fn history(&self) -> Option<Connection> {
        self.history_within(RECORDER_TIMEOUT)
    }

    /// The same, if it answers in that time.
    pub(super) fn history_within(&self, timeout: Duration) -> Option<Connection> {
        let client = Client::connect_answering(&self.directory.join(HISTORY), timeout).ok()?;
        let directory = self.directory.clone();
        let history = Connection { client, directory, socket: HISTORY, interface: history::INTERFACE, ..*self };
        history.set_timeout(TIMEOUT).ok()?;
        Some(history)
    }

    /// Limits how long the next replies are waited for.
    pub(super) fn set_timeout(&self, timeout: Duration) -> Result<(), Error> {
        self.client.set_timeout(Some(timeout)).map_err(|why| self.error(why.into()))
    }

    /// Waits for the next replies without a limit: they come when something happens.
    pub(super) fn wait_for_events(&self) -> Result<(), Error> {
        self.client.set_timeout(None).map_err(|why| self.error(why.into()))
    }

    /// Calls a method that has one reply.
    pub(super) fn call<T: DeserializeOwned>(&mut self, method: &str, arguments: &impl Serialize) -> Result<T, Error> {
        let called = self.client.call(&self.name_of(method), arguments);
        called.map_err(|error| self.error(error))
    }

    /// Calls a method that every service has.
    pub(super) fn call_service<T: DeserializeOwned>(
        &mut self,
        method: &str,
        arguments: &impl Serialize,
    ) -> Result<T, Error> {
        let called = self.client.call(&format!("{}.{method}", service::INTERFACE), arguments);
        called.map_err(|error| self.error(error))
    }

    /// Calls a method that has several replies, and passes each to `take`, which says whether more are wanted. If not, the connection is of
    /// no more use.
    pub(super) fn call_more<T: DeserializeOwned>(
        &mut self,
        method: &str,
        arguments: &impl Serialize,
        mut take: impl FnMut(T) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let mut taken = Ok(true);
        let called = self.client.call_more(&self.name_of(method), arguments, |reply: T| {
            taken = take(reply);
            matches!(taken, Ok(true))
        });
        taken?;
        called.map_err(|error| self.error(error))
    }

    /// Calls a method and prints its reply.
    pub(super) fn print(&mut self, method: &str, arguments: &impl Serialize, out: &mut Output) -> Result<(), Error> {
        let reply: Value = self.call(method, arguments)?;
        out.json(&reply)
    }

    /// Calls a method that has several replies and prints each as it arrives.
    pub(super) fn print_more(
        &mut self,
        method: &str,
        arguments: &impl Serialize,
        out: &mut Output,
    ) -> Result<(), Error> {
        self.call_more(method, arguments, |reply: Value| {
            out.json(&reply)?;
            out.flush()?;
            Ok(true)
        })
    }

    /// Sends a call that has several replies, which [`Connection::receive`] takes.
    pub(super) fn begin(&mut self, method: &str, arguments: &impl Serialize) -> Result<(), Error> {
        let call = Call { more: true, ..Call::new(self.name_of(method), arguments) };
        self.client.send(&call).map_err(|why| self.error(why.into()))
    }

    /// Takes a reply that has arrived, and whether more follow. None: no reply has arrived yet.
    pub(super) fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<(Option<T>, bool)>, Error> {
        let received: Result<Option<Reply>, ClientError> = self.client.try_receive();
        let Some(reply) = received.map_err(|error| self.error(error))? else { return Ok(None) };
        if reply.is_empty() {
            return Ok(Some((None, reply.continues)));
        }
        let result = reply.result().map_err(|error| self.error(error.into()))?;
        Ok(Some((Some(result), reply.continues)))
    }

    /// Finds a job by its id, by a name that is unique, or by a unique beginning.
    pub(super) fn find(&mut self, job: &str) -> Result<cron::Job, Error> {
        let filter = cron::Filter { jobs: Some(vec![job.to_owned()]), ..cron::Filter::default() };
        let list: cron::List = self.call("List", &cron::ListArguments { filter: Some(filter) })?;
        list.jobs.into_iter().next().ok_or_else(|| self.no_such_job(job))
    }

    fn name_of(&self, method: &str) -> String {
        format!("{}.{method}", self.interface)
    }

    fn error(&self, error: ClientError) -> Error {
        match error {
            ClientError::Closed => Error::DaemonGone,
            ClientError::Io(why) if why.kind() == io::ErrorKind::WouldBlock => Error::NoDaemon {
                path: self.directory.join(self.socket),
                why: "no reply in time".to_owned(),
                advice: "it may be busy, or be stopped by a signal".to_owned(),
            },
            ClientError::Io(why)
                if matches!(why.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) =>
            {
                Error::DaemonGone
            }
            ClientError::Io(_) | ClientError::Reply(ReplyError::Unexpected { .. }) => unexpected(&error.to_string()),
            ClientError::Reply(ReplyError::Refused(CallError::Cron(error))) => self.refusal(error),
            ClientError::Reply(ReplyError::Refused(CallError::InvalidParameter { .. })) => {
                Error::WrongRequest { message: printable(error.to_string().as_bytes()) }
            }
            ClientError::Reply(ReplyError::Refused(_)) => unexpected(&error.to_string()),
        }
    }

    fn refusal(&self, error: cron::Error) -> Error {
        let message = printable(error.to_string().as_bytes());
        match error {
            cron::Error::NoSuchJob { job } => self.no_such_job(&job),
            cron::Error::NoSuchRun { run: 0 } => {
                Error::Denied { message: "nothing of this job runs or waits".to_owned() }
            }
            cron::Error::NoSuchRun { run } => {
                Error::Denied { message: format!("there is no run {run}{}", self.others()) }
            }
            cron::Error::Ambiguous { .. } | cron::Error::NotAllowed { .. } => Error::Denied { message },
            cron::Error::InvalidTime { .. } => Error::WrongRequest { message },
            cron::Error::Busy { .. } | cron::Error::FleetAway { .. } => Error::NoAnswer { message },
        }
    }

    /// What to say of a job that does not exist: which names are like it.
    pub(super) fn no_such_job(&self, job: &str) -> Error {
        let similar = self.another().and_then(|connection| connection.similar(job)).unwrap_or_default();
        let advice = match similar.as_slice() {
            [] => "; cronctl list shows those there are".to_owned(),
            names => format!("; did you mean {}?", names.join(" or ")),
        };
        let job = printable(job.as_bytes());
        Error::NoSuchJob { message: format!("there is no job {job}{advice}{}", self.others()) }
    }

    /// That others' jobs are not shown.
    fn others(&self) -> &'static str {
        if self.is_root { "" } else { " (jobs of other users are shown to root only)" }
    }

    fn similar(mut self, wanted: &str) -> Result<Vec<String>, Error> {
        let socket = (CONTROL, cron::INTERFACE);
        if (self.socket, self.interface) != socket {
            return Ok(Vec::new());
        }
        let (mut found, mut seen) = (Vec::new(), 0);
        self.call_more("List", &cron::ListArguments::default(), |list: cron::List| {
            seen += list.jobs.len();
            for job in list.jobs {
                let likeness = [&job.job, &job.name].map(|name| strsim::normalized_damerau_levenshtein(name, wanted));
                let likeness = likeness.into_iter().fold(0.0, f64::max);
                if likeness >= LEAST_SIMILARITY || job.name.contains(wanted) {
                    found.push((likeness, printable(job.job.as_bytes())));
                }
            }
            Ok(seen < MOST_COMPARED)
        })?;
        // A job that has left its table is listed while it runs, and cannot be named otherwise.
        found.retain(|(_, name)| name != wanted);
        found.sort_by(|one, other| other.0.total_cmp(&one.0));
        Ok(found.into_iter().take(MOST_SIMILAR).map(|(_, name)| name).collect())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.client.as_fd()
    }
}

fn unexpected(why: &str) -> Error {
    Error::NoAnswer { message: printable(why.as_bytes()) }
}

/// The directories in which sockets are searched for, in this order.
pub(super) fn directories(system: &SystemState) -> Vec<PathBuf> {
    let of_system = system.settings.sockets();
    if system.run_dir_given {
        return vec![of_system];
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let uid = system.uid();
    let mut directories = Vec::new();
    // The daemon may have been started in a session with a runtime directory or in one without.
    let own = [sockets_of_standalone(uid, runtime.as_deref()), sockets_of_standalone(uid, None)];
    for directory in own.into_iter().filter(|directory| is_safe(directory, uid)).chain([of_system]) {
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    directories
}

/// Whether a directory belongs to this user and nobody else can write to it. Others can make directories below /tmp.
fn is_safe(directory: &Path, uid: u32) -> bool {
    fs::symlink_metadata(directory).is_ok_and(|found| found.is_dir() && found.mode() & 0o022 == 0 && found.uid() == uid)
}

/// The option with which the daemon of a directory is reached.
fn option_for(directory: &Path, system: &SystemState) -> String {
    let given = if *directory == system.settings.sockets() { &system.settings.run_dir } else { directory };
    format!("--run-dir {}", given.display())
}
