//! The daemon and its history, as the handlers of pages ask them: blocking, on threads of their own.

use crate::config::sockets::{CONTROL, HISTORY};
use crate::control::{Client, ClientError, NextPages};
use crate::crontab::printable;
use crate::schedule::Timestamp;
use crate::sys::files::reason;
use crate::varlink::history::{self, Found, RunRecord, RunsArguments};
use crate::varlink::{CallError, ReplyError, cron, service};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a reply is waited for.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the recorder may take to answer at all: a page says what else is known.
const RECORDER_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Running jobs among which a run is searched for that the history does not have.
pub const MOST_RUNNING: usize = 1_000;

/// Why a page cannot be shown, or something cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// No daemon answers.
    #[error("no daemon answers: {0}")]
    Down(String),
    /// There is no such thing, or the caller may not know of it.
    #[error("{0}")]
    NotFound(String),
    /// The caller may not do it.
    #[error("{0}")]
    Denied(String),
    /// The request cannot be used.
    #[error("{0}")]
    Wrong(String),
    /// The daemon or this server has too many requests.
    #[error("{0}")]
    Busy(String),
    /// The daemon has answered something else.
    #[error("{0}")]
    Unexpected(String),
}

/// A connection to the daemon, or to its recorder.
#[derive(Debug)]
pub struct Backend {
    client: Client,
    directory: PathBuf,
    interface: &'static str,
    /// Whose jobs are asked for. None: all that this process may see.
    user: Option<String>,
    /// Why there is no history, once that is known.
    no_history: Option<PageError>,
}

impl Backend {
    /// Connects to the first daemon that answers in one of these directories.
    ///
    /// # Errors
    ///
    /// None does.
    pub fn open(directories: &[PathBuf]) -> Result<Backend, PageError> {
        let mut failure = None;
        for directory in directories {
            match Client::connect(&directory.join(CONTROL)) {
                Ok(client) => return Backend::new(client, directory, cron::INTERFACE),
                Err(why) => failure = Some(format!("{}: {}", directory.join(CONTROL).display(), reason(&why))),
            }
        }
        Err(PageError::Down(failure.unwrap_or_else(|| CONTROL.to_owned())))
    }

    fn new(client: Client, directory: &Path, interface: &'static str) -> Result<Backend, PageError> {
        let failed = |why: io::Error| PageError::Down(reason(&why));
        client.set_timeout(Some(TIMEOUT)).map_err(failed)?;
        Ok(Backend { client, directory: directory.to_owned(), interface, user: None, no_history: None })
    }

    /// Asks for the jobs of this user only, if there is one.
    pub fn of_user(self, user: Option<String>) -> Backend {
        Backend { user, ..self }
    }

    /// A filter for the jobs that are asked for.
    pub fn filter(&self, filter: cron::Filter) -> cron::Filter {
        cron::Filter { user: self.user.clone().or(filter.user), ..filter }
    }

    /// The same for rows of the history.
    pub fn rows(&self, arguments: &RunsArguments) -> RunsArguments {
        RunsArguments { user: self.user.clone().or(arguments.user.clone()), ..arguments.clone() }
    }

    /// Fails unless jobs of this user are shown on this page (`cronctl web --user`).
    ///
    /// # Errors
    ///
    /// Only jobs of another user are shown.
    pub fn require_shown(&self, user: &str) -> Result<(), PageError> {
        match &self.user {
            Some(wanted) if wanted != user => {
                Err(PageError::NotFound(format!("only jobs of {} are shown here", printable(wanted.as_bytes()))))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The name of a job, after a check that this page may show it; with `cronctl web --user` the unique name.
    ///
    /// # Errors
    ///
    /// There is no such job, or it runs as another user.
    pub fn shown_job(&self, name: String) -> Result<String, PageError> {
        if self.user.is_none() {
            return Ok(name);
        }
        let filter = cron::Filter { jobs: Some(vec![name.clone()]), ..cron::Filter::default() };
        let job = self.jobs(filter, 1)?.pop();
        let job = job.ok_or_else(|| PageError::NotFound(format!("there is no job {}", printable(name.as_bytes()))))?;
        self.require_shown(&job.user)?;
        Ok(job.job)
    }

    /// Fails unless a run is of a job that this page may show.
    ///
    /// # Errors
    ///
    /// There is no such run, or it is of a job that runs as another user.
    pub fn require_shown_run(&mut self, run: u64) -> Result<(), PageError> {
        if self.user.is_none() {
            return Ok(());
        }
        match self.history().and_then(|mut history| history.call::<Found>("Run", &history::RunArguments { run })) {
            Ok(Found { run }) => return self.require_shown(&run.user),
            Err(PageError::NotFound(_)) => {}
            Err(fault) => return Err(fault),
        }
        let filter = cron::Filter { state: Some("running".to_owned()), ..cron::Filter::default() };
        let jobs = self.jobs(filter, MOST_RUNNING)?;
        let is_shown = jobs.iter().flat_map(|job| &job.running).any(|going_on| going_on.run == run);
        is_shown.then_some(()).ok_or_else(|| PageError::NotFound(format!("there is no run {run}")))
    }

    /// A connection to the recorder of the same daemon.
    ///
    /// # Errors
    ///
    /// There is no history, and why.
    pub fn history(&mut self) -> Result<Backend, PageError> {
        if let Some(fault) = &self.no_history {
            return Err(fault.clone());
        }
        let why = match Client::connect_answering(&self.directory.join(HISTORY), RECORDER_TIMEOUT) {
            Ok(client) => {
                let history = Backend::new(client, &self.directory, history::INTERFACE)?;
                return Ok(history.of_user(self.user.clone()));
            }
            Err(why) => reason(&why),
        };
        let status: cron::Status = self.call("Status", &json!({}))?;
        let why = if status.history == "on" { format!("its recorder does not answer: {why}") } else { status.history };
        let fault = PageError::NotFound(format!("there is no history: {}", printable(why.as_bytes())));
        self.no_history = Some(fault.clone());
        Err(fault)
    }

    /// Calls a method that has one reply.
    ///
    /// # Errors
    ///
    /// The daemon refuses, or does not answer.
    pub fn call<T: DeserializeOwned>(&mut self, method: &str, arguments: &impl Serialize) -> Result<T, PageError> {
        self.client.call(&format!("{}.{method}", self.interface), arguments).map_err(fault)
    }

    /// Asks the service what it is, which shows that it answers.
    ///
    /// # Errors
    ///
    /// It does not answer.
    pub fn get_info<T: DeserializeOwned>(&mut self) -> Result<T, PageError> {
        self.client.call(&format!("{}.GetInfo", service::INTERFACE), &json!({})).map_err(fault)
    }

    /// Calls a method that has several replies, and passes each to `take`, which says whether more are wanted. If not, the connection is of no
    /// more use.
    ///
    /// # Errors
    ///
    /// The daemon refuses, or does not answer.
    pub fn call_more<T: DeserializeOwned>(
        &mut self,
        method: &str,
        arguments: &impl Serialize,
        take: impl FnMut(T) -> bool,
    ) -> Result<(), PageError> {
        self.client.call_more(&format!("{}.{method}", self.interface), arguments, take).map_err(fault)
    }

    /// A further connection to the same daemon.
    ///
    /// # Errors
    ///
    /// It does not answer any more.
    pub fn another(&self) -> Result<Backend, PageError> {
        Ok(Backend::open(std::slice::from_ref(&self.directory))?.of_user(self.user.clone()))
    }

    /// The connection itself, for replies that come over a long time.
    pub fn into_client(self) -> Client {
        self.client
    }

    /// The jobs of a filter, at most so many.
    ///
    /// # Errors
    ///
    /// As [`Backend::call_more`].
    pub fn jobs(&self, filter: cron::Filter, most: usize) -> Result<Vec<cron::Job>, PageError> {
        let mut found = Vec::new();
        let arguments = cron::ListArguments { filter: Some(self.filter(filter)) };
        // The rest of a long list is not waited for.
        self.another()?.call_more("List", &arguments, |list: cron::List| {
            let room = most - found.len();
            found.extend(list.jobs.into_iter().take(room));
            found.len() < most
        })?;
        Ok(found)
    }

    /// Passes the coming starts after `from` and up to `until` to `take`, in order of time, at most `most`. Returns the time of the last start if
    /// there may be more.
    ///
    /// # Errors
    ///
    /// As [`Backend::call_more`].
    pub fn starts(
        &mut self,
        from: Timestamp,
        until: Timestamp,
        most: u64,
        mut take: impl FnMut(&cron::NextStart),
    ) -> Result<Option<Timestamp>, PageError> {
        let mut pages = NextPages::new(Some(self.filter(cron::Filter::default())), from, Some(until), most);
        while let Some(arguments) = pages.next_page() {
            self.call_more("Next", &arguments, |start: cron::NextStart| {
                if pages.takes(&start) {
                    take(&start);
                }
                true
            })?;
        }
        Ok(pages.last_if_more())
    }

    /// What `Status` says, with the figures of the jobs that are asked for.
    ///
    /// # Errors
    ///
    /// As [`Backend::call_more`].
    pub fn status(&mut self) -> Result<cron::Status, PageError> {
        let status: cron::Status = self.call("Status", &json!({}))?;
        if self.user.is_none() {
            return Ok(status);
        }
        let arguments = cron::ListArguments { filter: Some(self.filter(cron::Filter::default())) };
        let none =
            cron::Status { entries: 0, running: 0, waiting: 0, paused: 0, failing: 0, late: 0, next: None, ..status };
        let mut counted = none;
        self.call_more("List", &arguments, |list: cron::List| {
            for job in list.jobs {
                counted.entries += 1;
                counted.running += job.running.len();
                counted.waiting += job.waiting as usize;
                counted.paused += usize::from(job.paused_until.is_some());
                counted.failing += usize::from(job.failures > 0);
                counted.late += usize::from(job.late);
                counted.next = [counted.next, job.next].into_iter().flatten().min();
            }
            true
        })?;
        Ok(counted)
    }

    /// Rows of the history, newest first.
    ///
    /// # Errors
    ///
    /// As [`Backend::call_more`].
    pub fn runs(&mut self, arguments: &RunsArguments) -> Result<Vec<RunRecord>, PageError> {
        let mut found = Vec::new();
        let arguments = self.rows(arguments);
        self.call_more("Runs", &arguments, |Found { run }| {
            found.push(run);
            true
        })?;
        Ok(found)
    }
}

/// What the end of a call means for a page.
pub fn fault(error: ClientError) -> PageError {
    match error {
        ClientError::Closed => PageError::Down("the daemon has closed the connection".to_owned()),
        ClientError::Io(why) if why.kind() == io::ErrorKind::WouldBlock => {
            PageError::Down("no reply in time".to_owned())
        }
        ClientError::Io(why) => PageError::Down(why.to_string()),
        ClientError::Reply(ReplyError::Refused(CallError::Cron(error))) => {
            let text = printable(error.to_string().as_bytes());
            match error {
                cron::Error::NoSuchRun { run: 0 } => {
                    PageError::NotFound("nothing of this job runs or waits".to_owned())
                }
                cron::Error::NoSuchJob { .. } | cron::Error::NoSuchRun { .. } | cron::Error::Ambiguous { .. } => {
                    PageError::NotFound(text)
                }
                cron::Error::NotAllowed { .. } => PageError::Denied(text),
                cron::Error::InvalidTime { .. } => PageError::Wrong(text),
                cron::Error::Busy { .. } | cron::Error::FleetAway { .. } => PageError::Busy(text),
            }
        }
        ClientError::Reply(ReplyError::Refused(CallError::InvalidParameter { parameter })) => {
            PageError::Wrong(printable(parameter.as_bytes()))
        }
        ClientError::Reply(error) => PageError::Unexpected(printable(error.to_string().as_bytes())),
    }
}
