//! Answers the calls that change something: `Run`, `Pause`, `Resume`, `Kill` and `Reload`.

use super::jobs::Viewer;
use super::search::FoundJob;
use super::state::{AwaitedOutput, PauseRequest, PausingJobs, Request, RunByHand, WaitFor};
use crate::control::{Access, JobOwner, Permission, Rights, Visibility};
use crate::daemon::history_records::RequestAbout;
use crate::daemon::reactor::Token;
use crate::daemon::settings::Mode;
use crate::daemon::state::{Daemon, now};
use crate::report::{Ident, Level, LogRecord};
use crate::scheduler::{Event, JobId, Killed, ManualStart, Pause, PauseScope, RefusedRun, RunId};
use crate::sys::local_socket::Peer;
use crate::sys::{clock, process, signal};
use crate::varlink::{CallError, Reply, cron};

/// The number of paused or resumed jobs that count as one request.
const JOBS_OF_REQUEST: usize = 10;
/// Jobs that are paused or resumed in one turn of the loop.
const JOBS_PAUSED_AT_ONCE: usize = 20;
/// What the log names where a request is about all jobs.
const ALL_JOBS: &str = "all jobs";
/// Seconds after which a refused request may be tried again.
const TRY_AGAIN_S: f64 = 1.0;

impl Daemon {
    /// The name of a peer for log and state: its login name, or its user id if /etc/passwd does not have it.
    fn name_of(&mut self, peer: &Peer) -> String {
        self.database.name_of(peer.uid).unwrap_or_else(|| format!("uid {}", peer.uid))
    }

    /// Logs a request: `(alice) PAUSE (root:backup until ...)`.
    fn log_request(&mut self, by: &str, peer: &Peer, event: &str, about: RequestAbout<'_>, detail: &str) {
        self.record_control((peer.uid, by), event, about, detail);
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

    /// Answers `Run`: starts the job, or queues it behind the running one.
    pub(super) fn run_for_client(
        &mut self,
        token: Token,
        peer: &Peer,
        found: &FoundJob,
        is_forced: bool,
        wait: WaitFor,
    ) {
        self.make_managed(found);
        let job = found.id.clone();
        let by = self.name_of(peer);
        let force = if is_forced { ", forced" } else { "" };
        self.log_request(&by, peer, "RUN", RequestAbout::job(&job), &format!("{job}{force}"));
        let moment = now();
        let (waits, output) = match wait {
            WaitFor::Start => (false, AwaitedOutput::None),
            WaitFor::OutputAndEnd if found.access.sees == Visibility::All => (true, AwaitedOutput::Wanted),
            WaitFor::End | WaitFor::OutputAndEnd => (true, AwaitedOutput::None),
        };
        let mut waited = RunByHand { job: job.clone(), asked_at: moment.utc, run: None, waits, output };
        let start = if is_forced { ManualStart::Forced } else { ManualStart::ByRules };
        match self.driver.request(|scheduler| scheduler.run_by_hand(&job, start, moment)) {
            Ok(run) => {
                waited.run = run;
                let result = run.map(|run| cron::RunResult { run: run.0, outcome: None, output: None });
                match result {
                    Some(result) if !waits => self.reply(token, &Reply::of(&result)),
                    Some(result) => {
                        self.control.requests.insert(token, Request::Run(waited));
                        self.reply(token, &Reply::continued(&result));
                    }
                    // The run waits for another run or in its group, and gets its number when it begins.
                    None => {
                        self.control.requests.insert(token, Request::Run(waited));
                    }
                }
            }
            // The record of the refusal is among the actions and answers it.
            Err(RefusedRun::StillRunning) => {
                self.control.requests.insert(token, Request::Run(waited));
            }
            Err(RefusedRun::TooMany) => self.refuse(token, cron::Error::Busy { retry_after: TRY_AGAIN_S }),
            Err(RefusedRun::NoSuchJob) => self.refuse(token, cron::Error::NoSuchJob { job: job.to_string() }),
        }
    }

    /// Begins to pause or resume jobs.
    pub(super) fn begin_pausing(
        &mut self,
        token: Token,
        peer: &Peer,
        jobs: Vec<FoundJob>,
        request: PauseRequest,
        is_all: bool,
    ) {
        // Each group of these jobs is as much work as a request.
        let now_ms = clock::monotonic_ms();
        if let Some(server) = &mut self.control.server {
            server.charge(peer.uid, jobs.len() / JOBS_OF_REQUEST, now_ms);
        }
        let is_refused = |job: &&FoundJob| !self.control.rights.is_root(peer) && self.is_paused_by_root(&job.id);
        if !is_all && let Some(job) = jobs.iter().find(is_refused) {
            let what = paused_by_root(&job.id);
            return self.refuse(token, cron::Error::NotAllowed { what });
        }
        // One line a request, however many jobs it names.
        let (what, only) = match jobs.as_slice() {
            _ if is_all => (ALL_JOBS.to_owned(), None),
            [only] => (only.id.to_string(), Some(only.id.clone())),
            _ => (format!("{} jobs", jobs.len()), None),
        };
        let unlogged = match &request {
            // The line for all jobs has been written.
            PauseRequest::Pause { .. } if is_all => None,
            PauseRequest::Resume { had_pause_of_all: true } if is_all => None,
            PauseRequest::Pause { .. } => {
                let about = only.as_ref().map_or_else(RequestAbout::default, RequestAbout::job);
                self.log_pause_request(peer, about, &what, &request);
                None
            }
            // Perhaps none of them is paused.
            PauseRequest::Resume { .. } => Some((what, only)),
        };
        let peer = peer.clone();
        let pausing = PausingJobs { peer, jobs, request, is_all, unlogged, done: Vec::new(), left_out: 0 };
        self.control.requests.insert(token, Request::PauseJobs(Box::new(pausing)));
    }

    /// Pauses or resumes all jobs that are added from now on. Those that are there follow one by one.
    pub(super) fn pause_later_entries(&mut self, peer: &Peer, request: &mut PauseRequest) {
        let scope = self.pause_scope(peer);
        if let PauseRequest::Resume { had_pause_of_all } = request {
            *had_pause_of_all = scope.is_some_and(|scope| self.driver.scheduler.pause_of_all(scope).is_some());
        }
        if !matches!(request, PauseRequest::Resume { had_pause_of_all: false }) {
            self.log_pause_request(peer, RequestAbout::default(), ALL_JOBS, request);
        }
        let Some(scope) = scope else { return };
        let (by, is_by_root) = (self.name_of(peer), self.control.rights.is_root(peer));
        self.driver.handle(match request {
            PauseRequest::Pause { until, note } => {
                let pause = Pause { from: now().utc, until: *until, by, note: note.clone(), is_by_root, source: None };
                Event::PauseAll { scope, pause }
            }
            PauseRequest::Resume { .. } => Event::ResumeAll { scope },
        });
    }

    fn log_pause_request(&mut self, peer: &Peer, about: RequestAbout<'_>, what: &str, request: &PauseRequest) {
        let (event, rest) = match request {
            PauseRequest::Pause { until, note } if note.is_empty() => ("PAUSE", format!(" until {until}")),
            PauseRequest::Pause { until, note } => ("PAUSE", format!(" until {until}: {note}")),
            PauseRequest::Resume { .. } => ("RESUME", String::new()),
        };
        let by = self.name_of(peer);
        self.log_request(&by, peer, event, about, &format!("{what}{rest}"));
    }

    /// Pauses or resumes a few jobs, and replies after the last one.
    pub(super) fn advance_pausing(&mut self, token: Token, mut pausing: PausingJobs) {
        let is_root = self.control.rights.is_root(&pausing.peer);
        let by = self.name_of(&pausing.peer);
        for _ in 0..JOBS_PAUSED_AT_ONCE {
            let Some(job) = pausing.jobs.pop() else {
                let reply = match pausing.request {
                    PauseRequest::Pause { .. } => {
                        let warning = self
                            .lack_of_state()
                            .map(|why| format!("this pause will be forgotten when crond restarts: {why}"));
                        Reply::of(&cron::Paused { paused: pausing.done, warning })
                    }
                    PauseRequest::Resume { had_pause_of_all } => {
                        let all = pausing.is_all.then_some(had_pause_of_all);
                        let kept = pausing.is_all.then_some(pausing.left_out);
                        Reply::of(&cron::Resumed { resumed: pausing.done, all, kept })
                    }
                };
                return self.reply(token, &reply);
            };
            if !is_root && self.is_paused_by_root(&job.id) {
                if pausing.is_all {
                    pausing.left_out += 1;
                    continue;
                }
                let what = paused_by_root(&job.id);
                return self.refuse(token, cron::Error::NotAllowed { what });
            }
            if self.pause_or_resume(&job, &pausing.request, &by, is_root) {
                if let Some((what, only)) = pausing.unlogged.take() {
                    let about = only.as_ref().map_or_else(RequestAbout::default, RequestAbout::job);
                    self.log_pause_request(&pausing.peer, about, &what, &pausing.request);
                }
                if !pausing.is_all {
                    self.driver.handle(Event::LeftOutOfPauses { job: job.id.clone(), is_by_root: is_root });
                }
                pausing.done.push(job.id.to_string());
            }
        }
        self.control.requests.insert(token, Request::PauseJobs(Box::new(pausing)));
    }

    /// Pauses or resumes a job. Returns whether it was.
    fn pause_or_resume(&mut self, job: &FoundJob, request: &PauseRequest, by: &str, is_by_root: bool) -> bool {
        let FoundJob { id, .. } = job;
        match request {
            PauseRequest::Pause { until, note } => {
                self.make_managed(job);
                let pause = Pause {
                    from: now().utc,
                    until: *until,
                    by: by.to_owned(),
                    note: note.clone(),
                    is_by_root,
                    source: None,
                };
                self.driver.handle(Event::Pause { job: id.clone(), pause });
                let is_paused = self.driver.scheduler.job_status(id).pause.is_some();
                if is_paused {
                    self.publish_about("pause", id, None, &format!("paused until {until}"));
                }
                is_paused
            }
            PauseRequest::Resume { .. } => {
                if self.driver.scheduler.job_status(id).pause.is_none() {
                    return false;
                }
                self.driver.handle(Event::Resume { job: id.clone() });
                self.publish_about("resume", id, None, "resumed");
                true
            }
        }
    }

    /// Makes a job managed whose place is known, so that the scheduler need not search for it.
    fn make_managed(&mut self, job: &FoundJob) {
        if let Some(place) = job.place {
            let actions = self.driver.scheduler.manage_entry(place, &job.id, now());
            self.driver.queue(actions);
        }
    }

    /// The scope of a pause of all jobs by this peer.
    pub(super) fn pause_scope(&self, peer: &Peer) -> Option<PauseScope> {
        let rights = self.control.rights;
        let (owner, scope) = match self.settings.mode {
            _ if rights.is_root(peer) => return Some(PauseScope::Everybody),
            Mode::Standalone(_) => (JobOwner::Standalone(process::own_uid()), PauseScope::Everybody),
            _ => (JobOwner::User(peer.uid), PauseScope::User(peer.uid)),
        };
        (rights.access(peer, owner).may >= Permission::All).then_some(scope)
    }

    fn is_paused_by_root(&self, job: &JobId) -> bool {
        self.driver.scheduler.job_status(job).pause.is_some_and(|pause| pause.is_by_root)
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
        if access.sees == Visibility::Nothing {
            return Err(unknown());
        }
        if access.may < Permission::Kill {
            let what = format!("runs of {job} can be ended by the user that they run as and by root only");
            return Err(cron::Error::NotAllowed { what }.into());
        }
        let by = self.name_of(&peer);
        if let Some(name) = &arguments.signal {
            let invalid = || CallError::InvalidParameter { parameter: format!("signal: {name:?} is no signal") };
            let number = signal::number_of(name).ok_or_else(invalid)?;
            let about = RequestAbout { job: Some(&job), run: Some(run) };
            self.log_request(&by, &peer, "KILL", about, &format!("{job} run {run} signal {name}"));
            if !self.signal_run(run, number) {
                let what = format!("run {run} gets no signal: its executor is of another version of this program");
                return Err(cron::Error::NotAllowed { what }.into());
            }
            self.publish_about("kill", &job, Some(run), &format!("sent {name}"));
            self.reply(token, &Reply::of(&cron::Killed { run: Some(run.0) }));
            return Ok(());
        }
        match self.driver.request(|scheduler| scheduler.kill_run(&job, run, &by, now())) {
            Killed::Run(_) => {
                let about = RequestAbout { job: Some(&job), run: Some(run) };
                self.log_request(&by, &peer, "KILL", about, &format!("{job} run {run}"));
                self.publish_about("kill", &job, Some(run), "being ended");
                self.reply(token, &Reply::of(&cron::Killed { run: Some(run.0) }));
                Ok(())
            }
            Killed::Waiting | Killed::Retry | Killed::Nothing => Err(unknown()),
        }
    }

    fn access_to_run(&mut self, peer: &Peer, run: RunId) -> Access {
        let Some(live) = self.runs.get(run) else { return Access::NOTHING };
        let (owner, user) = (live.source.owner.clone(), live.user.clone());
        Viewer::new(peer, self.control.rights, &mut self.database).access(&owner, &user)
    }

    /// Whether a peer may see the output of a run.
    pub(super) fn may_see_output(&mut self, peer: &Peer, run: RunId) -> bool {
        self.access_to_run(peer, run).sees == Visibility::All
    }

    /// Answers `Kill` of a job: its oldest run whose end was not requested yet, else its waiting start, else its retry.
    pub(super) fn cancel_for_client(&mut self, token: Token, peer: &Peer, job: &JobId) {
        let running: Vec<RunId> = self.runs.of_job(job).map(|(run, _)| run).collect();
        let next = running.iter().copied().find(|run| !self.driver.scheduler.is_being_ended(*run));
        if let Some(run) = next {
            let arguments = cron::KillArguments { run: run.0, signal: None, job: None };
            if let Err(error) = self.kill_run_of_client(token, &arguments) {
                self.refuse(token, error);
            }
            return;
        }
        let by = self.name_of(peer);
        let killed = match self.driver.request(|scheduler| scheduler.kill(job, &by, now())) {
            Killed::Run(run) => Some(run),
            Killed::Waiting | Killed::Retry => None,
            // All that is left are runs that end already.
            Killed::Nothing => match running.first() {
                Some(run) => return self.reply(token, &Reply::of(&cron::Killed { run: Some(run.0) })),
                None => return self.refuse(token, cron::Error::NoSuchRun { run: 0 }),
            },
        };
        let about = RequestAbout { run: killed, ..RequestAbout::job(job) };
        self.log_request(&by, peer, "KILL", about, job.as_str());
        self.publish_about("kill", job, killed, if killed.is_some() { "being ended" } else { "cancelled" });
        self.reply(token, &Reply::of(&cron::Killed { run: killed.map(|run| run.0) }));
    }

    /// Answers `Reload`: root has all tables read again, or that of one user, and others their own.
    pub(super) fn reload_for_client(
        &mut self,
        token: Token,
        arguments: cron::ReloadArguments,
    ) -> Result<(), CallError> {
        let peer = self.peer(token)?;
        let by = self.name_of(&peer);
        if let Err(retry_after) = self.control.take_reload(peer.uid, clock::monotonic_ms()) {
            return Err(cron::Error::Busy { retry_after }.into());
        }
        let is_root = self.control.rights.is_root(&peer);
        let user = arguments.user.or_else(|| (!is_root).then(|| by.clone()));
        match &user {
            None => self.ask_for_reload(),
            // The files of a standalone daemon are those of its user.
            Some(user) if *user == by && self.is_own_standalone(&peer) => self.ask_for_reload(),
            Some(user) if is_root => self.database.handle_wake_up(user, 0),
            Some(user) if *user == by => self.database.handle_wake_up(user, peer.uid),
            Some(user) => {
                let what = format!("only root and {user} can have the crontab of {user} read again");
                return Err(cron::Error::NotAllowed { what }.into());
            }
        }
        self.control.requests.insert(token, Request::Reload);
        self.with_database(|database, events| database.run_due_scans(events));
        let what = match &user {
            None => "all tables".to_owned(),
            Some(user) if *user == by => "own table".to_owned(),
            Some(user) => format!("table of {user}"),
        };
        self.log_request(&by, &peer, "RELOAD", RequestAbout::default(), &what);
        Ok(())
    }

    /// Answers the clients that wait for changed tables to be read, once that is done.
    pub(super) fn answer_reloads(&mut self) {
        let is_reload = |request: &Request| matches!(request, Request::Reload);
        let is_reading = self.database.has_scheduled_reload() || !self.database.has_scanned_all();
        if is_reading || !self.control.requests.values().any(is_reload) {
            return;
        }
        let waiting = self.control.requests.iter().filter(|(_, request)| is_reload(request));
        for token in waiting.map(|(token, _)| *token).collect::<Vec<_>>() {
            // A closed connection gets no answer.
            let Ok(peer) = self.peer(token) else { continue };
            let by = self.name_of(&peer);
            self.publish("reload", None, None, None, &format!("requested by {by}"));
            let summary = self.driver.scheduler.summary();
            let sees_all = self.control.rights.sees_all(&peer) || self.is_own_standalone(&peer);
            let (tables, entries) = match sees_all {
                true => (summary.tables, summary.entries),
                false => self.own_tables(&peer),
            };
            self.reply(token, &Reply::of(&cron::Reloaded { tables, entries }));
            self.answer_calls(token);
        }
    }

    /// Whether this is a standalone daemon of the peer's user.
    pub(super) fn is_own_standalone(&self, peer: &Peer) -> bool {
        self.settings.is_standalone() && Rights::is_known(peer) && peer.uid == process::own_uid()
    }

    /// The numbers of crontabs and entries of a peer.
    fn own_tables(&self, peer: &Peer) -> (usize, usize) {
        use crate::scheduler::Owner;
        let is_own = |owner: &Owner| matches!(owner, Owner::User { uid, .. } if *uid == peer.uid);
        let own: Vec<&str> = self
            .driver
            .scheduler
            .entries()
            .filter(|live| is_own(&live.source().owner))
            .map(|live| live.source().path.as_str())
            .collect();
        (usize::from(!own.is_empty()), own.len())
    }
}

/// Why a peer may not pause or resume a job.
fn paused_by_root(id: &JobId) -> String {
    format!("{id} is paused by root, and only root can change that")
}
