//! Run, pause, resume, kill, reload.

use super::state::{Request, RunByHand};
use crate::control::{Access, May, Sees};
use crate::daemon::reactor::Token;
use crate::daemon::state::{Daemon, now};
use crate::report::{Ident, Level, LogRecord};
use crate::schedule::Timestamp;
use crate::scheduler::{Event, JobId, Killed, Pause, RefusedRun, RequestResult, RunId};
use crate::sys::local_socket::Peer;
use crate::sys::{clock, signal};
use crate::varlink::{CallError, Reply, cron};
use serde_json::json;

/// Seconds after which a refused request may be tried again.
const TRY_AGAIN_S: f64 = 1.0;

impl Daemon {
    /// Who somebody is, for log and state: login name, or the number where it has none in /etc/passwd.
    fn name_of(&mut self, peer: &Peer) -> String {
        self.database.name_of(peer.uid).unwrap_or_else(|| format!("uid {}", peer.uid))
    }

    /// Logs a request: `(alice) PAUSE (root:backup until ...)`.
    fn log_request(&mut self, by: &str, peer: &Peer, event: &str, detail: &str) {
        self.record_control(peer.uid, by, event, detail);
        let rest = format!(" by uid {}", peer.uid);
        self.log.write(&LogRecord {
            ident: Ident::Daemon,
            level: Level::Info,
            pid: None,
            user: by,
            event,
            detail: detail.as_bytes(),
            rest: &rest,
            run: None,
            fields: &[],
        });
    }

    /// Answers `Run`.
    pub(super) fn run_for_client(&mut self, token: Token, peer: &Peer, job: JobId, is_forced: bool, more: bool) {
        let by = self.name_of(peer);
        let force = if is_forced { ", forced" } else { "" };
        self.log_request(&by, peer, "RUN", &format!("{job}{force}"));
        let moment = now();
        let mut waited = RunByHand { job: job.clone(), asked_at: moment.utc, run: None, waits: more };
        self.planner.handle_at(Event::RunByHand { job: job.clone(), is_forced }, moment);
        match self.planner.scheduler.take_request_result() {
            Some(RequestResult::Accepted(run)) => {
                waited.run = run;
                let result = run.map(|run| cron::RunResult { run: run.0, outcome: None });
                match result {
                    Some(result) if !more => self.reply(token, &Reply::of(&result)),
                    Some(result) => {
                        self.control.requests.insert(token, Request::Run(waited));
                        self.reply(token, &Reply::continued(&result));
                    }
                    // It waits for another run or in its group, and gets its number when it begins.
                    None => {
                        self.control.requests.insert(token, Request::Run(waited));
                    }
                }
            }
            // The record of the refusal is among the actions and answers it.
            Some(RequestResult::Refused(RefusedRun::StillRunning)) => {
                self.control.requests.insert(token, Request::Run(waited));
            }
            Some(RequestResult::Refused(RefusedRun::TooMany)) => {
                self.refuse(token, cron::Error::Busy { retry_after: TRY_AGAIN_S })
            }
            _ => self.refuse(token, cron::Error::NoSuchJob { job: job.to_string() }),
        }
    }

    /// Answers `Pause`.
    pub(super) fn pause_for_client(
        &mut self,
        token: Token,
        peer: &Peer,
        jobs: Vec<JobId>,
        until: Timestamp,
        note: &str,
    ) {
        let is_by_root = self.control.rights.is_root(peer);
        if let Some(job) = jobs.iter().find(|job| !is_by_root && self.is_paused_by_root(job)) {
            let what = format!("{job} is paused by root, and only root can change that");
            return self.refuse(token, cron::Error::NotAllowed { what });
        }
        let by = self.name_of(peer);
        let mut paused = Vec::new();
        for job in jobs {
            let from = now().utc;
            let pause = Pause { from, until, by: by.clone(), note: note.to_owned(), is_by_root };
            self.notify_scheduler(Event::Pause { job: job.clone(), pause });
            if self.planner.scheduler.job_status(&job).pause.is_none() {
                continue;
            }
            let why = if note.is_empty() { String::new() } else { format!(": {note}") };
            self.log_request(&by, peer, "PAUSE", &format!("{job} until {until}{why}"));
            self.publish_about("pause", &job, None, &format!("paused until {until} by {by}{why}"));
            paused.push(job.to_string());
        }
        self.reply(token, &Reply::of(&cron::Paused { paused }));
    }

    fn is_paused_by_root(&self, job: &JobId) -> bool {
        self.planner.scheduler.job_status(job).pause.is_some_and(|pause| pause.is_by_root)
    }

    /// Answers `Resume`.
    pub(super) fn resume_for_client(&mut self, token: Token, peer: &Peer, jobs: Vec<JobId>) {
        let is_root = self.control.rights.is_root(peer);
        let is_single = jobs.len() == 1;
        let by = self.name_of(peer);
        let mut resumed = Vec::new();
        for job in jobs {
            if self.planner.scheduler.job_status(&job).pause.is_none() {
                continue;
            }
            if !is_root && self.is_paused_by_root(&job) {
                if is_single {
                    let what = format!("{job} is paused by root, and only root can change that");
                    return self.refuse(token, cron::Error::NotAllowed { what });
                }
                continue;
            }
            self.notify_scheduler(Event::Resume { job: job.clone() });
            self.log_request(&by, peer, "RESUME", job.as_str());
            self.publish_about("resume", &job, None, &format!("resumed by {by}"));
            resumed.push(job.to_string());
        }
        self.reply(token, &Reply::of(&cron::Resumed { resumed }));
    }

    /// Answers `Kill` of a run.
    pub(super) fn kill_run_of_client(
        &mut self,
        token: Token,
        arguments: &cron::KillArguments,
    ) -> Result<(), CallError> {
        let peer = self.peer(token)?;
        let run = RunId(arguments.run);
        let unknown = || CallError::from(cron::Error::NoSuchRun { run: arguments.run });
        let job = self.runs.get(run).map(|live| live.job.clone()).ok_or_else(unknown)?;
        let access = self.access_to_run(&peer, run);
        if access.sees == Sees::Nothing {
            return Err(unknown());
        }
        if access.may < May::Kill {
            let what = format!("runs of {job} can be ended by the user that they run as and by root only");
            return Err(cron::Error::NotAllowed { what }.into());
        }
        let by = self.name_of(&peer);
        if let Some(name) = &arguments.signal {
            let invalid = || CallError::InvalidParameter { parameter: format!("signal: {name:?} is no signal") };
            let number = signal::number_of(name).ok_or_else(invalid)?;
            self.log_request(&by, &peer, "KILL", &format!("{job} run {run} signal {name}"));
            if !self.signal_run(run, number) {
                let what = format!("run {run} gets no signal: its executor is of another version of this program");
                return Err(cron::Error::NotAllowed { what }.into());
            }
            self.publish_about("kill", &job, Some(run), &format!("sent {name} by {by}"));
            self.reply(token, &Reply::of(&json!({})));
            return Ok(());
        }
        self.notify_scheduler(Event::KillRun { job: job.clone(), run, by: by.clone() });
        match self.planner.scheduler.take_request_result() {
            Some(RequestResult::Killed(Killed::Run(_))) => {
                self.log_request(&by, &peer, "KILL", &format!("{job} run {run}"));
                self.publish_about("kill", &job, Some(run), &format!("being ended by {by}"));
                self.reply(token, &Reply::of(&json!({})));
                Ok(())
            }
            _ => Err(unknown()),
        }
    }

    fn access_to_run(&mut self, peer: &Peer, run: RunId) -> Access {
        let Some(live) = self.runs.get(run) else { return Access::NOTHING };
        let (owner, user) = (live.source.owner.clone(), live.user.clone());
        super::jobs::Viewer::new(peer, self.control.rights, &mut self.database).access(&owner, &user)
    }

    /// Whether somebody may see the output of a run.
    pub(super) fn may_see_output(&mut self, peer: &Peer, run: RunId) -> bool {
        self.access_to_run(peer, run).sees == Sees::All
    }

    /// Answers `Kill` of a job: its oldest run, else what waits, else its retry.
    pub(super) fn cancel_for_client(&mut self, token: Token, peer: &Peer, job: &JobId) {
        let running = self.runs.of_job(job).next().map(|(run, _)| run);
        if let Some(run) = running {
            let arguments = cron::KillArguments { run: run.0, signal: None, job: None };
            if let Err(error) = self.kill_run_of_client(token, &arguments) {
                self.refuse(token, error);
            }
            return;
        }
        let by = self.name_of(peer);
        self.notify_scheduler(Event::Kill { job: job.clone(), by: by.clone() });
        match self.planner.scheduler.take_request_result() {
            None | Some(RequestResult::Killed(Killed::Nothing)) => {
                self.refuse(token, cron::Error::NoSuchRun { run: 0 })
            }
            _ => {
                self.log_request(&by, peer, "KILL", job.as_str());
                self.publish_about("kill", job, None, &format!("cancelled by {by}"));
                self.reply(token, &Reply::of(&json!({})));
            }
        }
    }

    /// Answers `Reload`: root has all tables read again, and others their own.
    pub(super) fn reload_for_client(&mut self, token: Token) -> Result<(), CallError> {
        let peer = self.peer(token)?;
        let by = self.name_of(&peer);
        if self.control.rights.is_root(&peer) {
            self.ask_for_reload();
        } else {
            if let Err(retry_after) = self.control.take_reload(peer.uid, clock::monotonic_ms()) {
                return Err(cron::Error::Busy { retry_after }.into());
            }
            self.database.handle_wake_up(&by, peer.uid);
        }
        self.with_database(|database, events| database.run_due_scans(events));
        self.log_request(&by, &peer, "RELOAD", "all tables");
        self.publish("reload", None, None, None, &format!("asked for by {by}"));
        let summary = self.planner.scheduler.summary();
        let (tables, entries) = match self.control.rights.sees_all(&peer) {
            true => (summary.tables, summary.entries),
            false => self.own_tables(&peer),
        };
        self.reply(token, &Reply::of(&cron::Reloaded { tables, entries }));
        Ok(())
    }

    /// How many tables and entries somebody has.
    fn own_tables(&self, peer: &Peer) -> (usize, usize) {
        use crate::scheduler::Owner;
        let is_own = |owner: &Owner| matches!(owner, Owner::User { uid, .. } if *uid == peer.uid);
        let own: Vec<&str> = self
            .planner
            .scheduler
            .entries()
            .filter(|live| is_own(&live.source().owner))
            .map(|live| live.source().path.as_str())
            .collect();
        (usize::from(!own.is_empty()), own.len())
    }
}
