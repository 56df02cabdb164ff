//! The executor process: starts jobs as told, drains their output within bounds, reaps them, has their output mailed, tells main what became of
//! them. One thread, one loop, and nothing in it waits for anybody.

mod finish;
mod late;
mod mail;
mod mains;
mod pam_jobs;
mod start;
mod start_limiter;

use super::config::Config;
use super::environment::Inherited;
use super::exec_spec::{Reporter, Reports, StartedWith};
use super::identity::Identities;
use super::job::{Job, Stream, usage_of};
use super::job_log::{JobLogger, JobRef};
use super::link::{Link, WireError};
use super::output;
use super::owner::{Interner, MemoryBudget, OwnerKey, Turns};
use super::relay::Relay;
use crate::profile::Profile;
use crate::report::Level;
use crate::scheduler::RunId;
use crate::sys::clock;
use crate::sys::descriptor;
use crate::sys::locale;
use crate::sys::memory;
use crate::sys::poll::Poll;
use crate::sys::process::{self, Ask, DescriptorLimit, Pid};
use crate::sys::selinux::Policy;
use crate::sys::signal::{SignalEvent, Signals};
use crate::sys::user::User;
use late::LateOutput;
use mail::{MailProcess, QueuedMail};
use mains::MainConnections;
use pam_jobs::Pam;
use start::QueuedStart;
use start_limiter::StartLimiter;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// How long the output of background processes is waited for after a job's own end.
const GRACE_MS: i64 = 1000;
/// How soon a standard output that took nothing is tried again.
const RELAY_MS: i64 = 20;
/// Most bytes taken from one job's pipe before the others have their turn.
const TURN: usize = 16 << 10;
/// Most things heard of in one turn of the loop.
const READY_A_TURN: usize = 64;
/// Bytes of commands, environments and standard input that are kept for the jobs of one owner, and of all together; what an owner may have
/// whatever the others have.
const HELD_PER_OWNER: usize = 32 << 20;
const HELD_TOGETHER: usize = 128 << 20;
const HELD_ALWAYS: usize = 2 << 20;
/// Descriptors that the executor may need: one or two for each running job.
const DESCRIPTORS: u64 = 1 << 20;

/// What a number in the poll stands for; the rest of the number says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Main,
    Signals,
    Reports,
    Output,
    Error,
    Feed,
    LookUp,
    MailFeed,
    PamMonitor,
    Log,
    Listener,
}

const KINDS: [Kind; 11] = [
    Kind::Main,
    Kind::Signals,
    Kind::Reports,
    Kind::Output,
    Kind::Error,
    Kind::Feed,
    Kind::LookUp,
    Kind::MailFeed,
    Kind::PamMonitor,
    Kind::Log,
    Kind::Listener,
];

fn token(kind: Kind, id: u64) -> u64 {
    id << 4 | kind as u64
}

fn of_token(token: u64) -> Option<(Kind, u64)> {
    let kind = KINDS.into_iter().find(|kind| *kind as u64 == token & 0xf)?;
    Some((kind, token >> 4))
}

/// Which child a process id belongs to.
#[derive(Clone, Copy, Debug)]
enum Child {
    Job(u64),
    Mailer(u64),
}

/// The executor's state.
struct ExecutorState {
    config: Config,
    site: &'static Profile,
    tell: JobLogger,
    poll: Poll,
    signals: Signals,
    mains: MainConnections,
    inherited: Inherited,
    started_with: StartedWith,
    /// Where the kernel has SELinux.
    policy: Option<Policy>,
    /// Who runs everything, standalone.
    caller: Option<Rc<User>>,
    identities: Identities,
    reporter: Reporter,
    reports: Reports,
    next_id: u64,
    pending: Turns<QueuedStart>,
    /// Starts were left for the next turn of the loop although there is room for them.
    has_more_starts: bool,
    /// Runs whose start has been begun since main was told last.
    begun: Vec<RunId>,
    /// No more starts are made.
    is_stopping: bool,
    /// Commands and environments of the jobs, and the bound on them and on what is still to be fed to jobs.
    interner: Interner,
    held: MemoryBudget,
    waiting_for_identity: Vec<QueuedStart>,
    flight: StartLimiter,
    held_until_ms: i64,
    hold_ms: i64,
    stopping: Option<Ask>,
    jobs: HashMap<u64, Job>,
    children: HashMap<Pid, Child>,
    /// Until when the output of ended jobs is waited for, and mail for late output.
    graces: BTreeSet<(i64, u64)>,
    pam: Pam,
    /// Jobs that have ended and whose background processes may still write.
    late: HashMap<u64, LateOutput>,
    /// The same by their owners.
    late_of_owner: HashMap<OwnerKey, BTreeSet<u64>>,
    /// Owners of whom it was said that pipes of such jobs are closed.
    told_of_closing: HashSet<OwnerKey>,
    /// Standalone.
    relay: Option<Relay>,
    /// Pipes that are not read until the relay has room again.
    paused: Vec<(u64, Stream)>,
    queued_mails: Turns<QueuedMail>,
    mailings: HashMap<u64, MailProcess>,
    mail_held_until_ms: i64,
    /// It was said that mail has been waiting for long.
    mail_waits_told: bool,
    /// Owners of whom mail is dropped, as too much of it waits.
    dropping_mail: HashSet<OwnerKey>,
    charset: String,
    /// /dev/null.
    nowhere: OwnedFd,
    budget: MemoryBudget,
    buffer: Vec<u8>,
}

/// Why the executor ends before its time.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExecutorError {
    #[error("{doing}: {source}")]
    Os { doing: &'static str, source: io::Error },
    #[error("hearing main: {0}")]
    Main(#[from] WireError),
}

fn os(doing: &'static str) -> impl FnOnce(io::Error) -> ExecutorError {
    move |source| ExecutorError::Os { doing, source }
}

/// The executor, from its fork to its end; gives its exit status.
pub(super) fn run(config: Config, socket: OwnedFd, journal: Option<File>) -> i32 {
    let left = leave_main(config.profile.profile(), &socket, journal.as_ref());
    // Only now: what main had open is closed.
    let mut tell = JobLogger::new(&config);
    let done = left.and_then(|()| ExecutorState::new(config, socket, journal)).and_then(|mut state| state.serve());
    match done {
        Ok(()) => 0,
        Err(error) => {
            tell.own(Level::Error, "ERROR", &format!("the executor ends: {error}"));
            1
        }
    }
}

/// Leaves everything behind that is main's: its terminal, descriptors and signals.
fn leave_main(site: &Profile, socket: &OwnedFd, journal: Option<&File>) -> Result<(), ExecutorError> {
    // Its own session keeps the terminal's signals away. A fresh child leads no group yet, so this cannot fail.
    process::new_session().map_err(os("leaving the session"))?;
    process::default_signals();
    process::block_signals().map_err(os("blocking signals"))?;
    let kept: Vec<BorrowedFd<'_>> = [socket.as_fd()].into_iter().chain(journal.map(File::as_fd)).collect();
    descriptor::close_from(3, &kept).map_err(os("closing descriptors"))?;
    process::set_name(&CString::new(format!("{}: executor", site.daemon_tag)).unwrap_or_default());
    Ok(())
}

impl ExecutorState {
    fn new(config: Config, socket: OwnedFd, journal: Option<File>) -> Result<ExecutorState, ExecutorError> {
        let site = config.profile.profile();
        let started_with = StartedWith::own().map_err(os("reading the descriptor limit"))?;
        raise(started_with.limit);
        if !config.standalone {
            process::enter(c"/").map_err(os("entering /"))?;
        }
        let caller = if config.standalone {
            process::adopt_orphans().map_err(os("adopting orphans"))?;
            Some(Rc::new(caller()?))
        } else {
            None
        };
        let relay = config.standalone.then(Relay::new);
        let (reporter, reports) = Reporter::new().map_err(os("making a pipe"))?;
        let poll = Poll::new().map_err(os("making the poll"))?;
        let signals = Signals::new().map_err(os("listening to signals"))?;
        let main = Link::new(socket);
        poll.add(&main, token(Kind::Main, 0)).map_err(os("waiting for main"))?;
        poll.add(&signals, token(Kind::Signals, 0)).map_err(os("waiting for signals"))?;
        poll.add(&reports, token(Kind::Reports, 0)).map_err(os("waiting for reports"))?;
        let mut tell = JobLogger::new(&config);
        let room = tell.room().map_err(os("making the log's poll"))?;
        poll.add(room, token(Kind::Log, 0)).map_err(os("waiting for the log"))?;
        Ok(ExecutorState {
            tell,
            mains: MainConnections::new(main, config.journal.clone(), journal),
            policy: if config.standalone { None } else { Policy::of_machine() },
            identities: if config.standalone { Identities::default() } else { Identities::new() },
            flight: StartLimiter::new(config.starts_in_flight),
            config,
            site,
            poll,
            signals,
            inherited: Inherited::own(),
            started_with,
            caller,
            reporter,
            reports,
            next_id: 0,
            pending: Turns::default(),
            has_more_starts: false,
            begun: Vec::new(),
            is_stopping: false,
            interner: Interner::default(),
            held: MemoryBudget::new(HELD_PER_OWNER, HELD_TOGETHER, HELD_ALWAYS),
            waiting_for_identity: Vec::new(),
            held_until_ms: 0,
            hold_ms: 0,
            stopping: None,
            jobs: HashMap::new(),
            children: HashMap::new(),
            graces: BTreeSet::new(),
            pam: Pam::default(),
            late: HashMap::new(),
            late_of_owner: HashMap::new(),
            told_of_closing: HashSet::new(),
            relay,
            paused: Vec::new(),
            queued_mails: Turns::default(),
            mailings: HashMap::new(),
            mail_held_until_ms: 0,
            mail_waits_told: false,
            dropping_mail: HashSet::new(),
            charset: locale::charset(),
            nowhere: descriptor::nowhere().map_err(os("opening /dev/null"))?,
            budget: output::budget(),
            buffer: vec![0; TURN],
        })
    }

    fn serve(&mut self) -> Result<(), ExecutorError> {
        memory::trim_memory();
        while self.mains.has_own() || !self.is_idle() {
            let timeout = self.timeout(clock::monotonic_ms());
            for ready in self.poll.wait::<READY_A_TURN>(timeout).map_err(os("waiting"))? {
                if let Some((kind, id)) = of_token(ready) {
                    self.ready(kind, id)?;
                }
            }
            let now = clock::monotonic_ms();
            self.end_graces(now);
            self.resume_listener(now);
            if self.identities.give_up(now) {
                self.stop_waiting_for_identities();
            }
            self.end_late_mailers(now);
            self.start_pending(now)?;
            self.send_queued_mails(now);
            self.tell.flush();
            self.flush_relay();
            self.tell_begun();
            self.flush_journal();
            self.flush_main()?;
            if !self.mains.has_own() && self.has_no_work() {
                self.close_main();
            }
        }
        self.settle_mains();
        Ok(())
    }

    /// Whether no job, no mail, no start and no line of output is left.
    fn has_no_work(&self) -> bool {
        let starts = self.pending.len() + self.waiting_for_identity.len();
        let mails = self.queued_mails.len() + self.mailings.len();
        starts + mails + self.jobs.len() == 0 && self.relay.as_ref().is_none_or(Relay::is_empty)
    }

    /// Whether no background process of an ended job can write any more, either: one that does when nobody reads is killed by that.
    fn is_idle(&self) -> bool {
        self.has_no_work() && self.late.is_empty()
    }

    /// How long nothing has to be done unless something becomes ready.
    fn timeout(&self, now_ms: i64) -> Option<u64> {
        let log = self.tell.retry_ms().map(|ms| now_ms + ms);
        let relay = self.relay.as_ref().is_some_and(|relay| !relay.is_empty()).then_some(now_ms + RELAY_MS);
        [
            self.graces.first().map(|(until, _)| *until),
            self.identities.next_deadline(),
            self.next_start(now_ms),
            self.next_mail(),
            self.listen_at_ms(),
            log,
            relay,
        ]
        .into_iter()
        .flatten()
        .min()
        .map(|until| u64::try_from(until.saturating_sub(now_ms)).unwrap_or(0))
    }

    fn ready(&mut self, kind: Kind, id: u64) -> Result<(), ExecutorError> {
        match kind {
            Kind::Main => self.handle_main()?,
            Kind::Signals => self.handle_signals()?,
            Kind::Reports => self.take_reports(),
            Kind::Log => self.tell.handle_writable(),
            Kind::Output => self.drain(id, Stream::Output),
            Kind::Error => self.drain(id, Stream::Error),
            Kind::Feed => self.feed(id),
            Kind::LookUp => {
                if self.identities.readable(id) {
                    self.stop_waiting_for_identities();
                }
            }
            Kind::MailFeed => self.feed_mailer(id),
            Kind::PamMonitor => self.handle_monitor(id),
            Kind::Listener => self.accept_main()?,
        }
        Ok(())
    }

    /// Writes what is going on to the log.
    fn log_state(&mut self) {
        let count = |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
        let state = [
            count(self.jobs.len(), "job", "jobs"),
            count(self.mailings.len(), "mailer", "mailers"),
            count(self.queued_mails.len(), "mail", "mails") + " waiting for a mailer",
        ];
        self.tell.own(Level::Info, "STATE", &format!("executor: {}", state.join(", ")));
    }

    fn handle_signals(&mut self) -> Result<(), ExecutorError> {
        let mut children = false;
        // TERM and the like are meant for main: an executor ends with its last job.
        while let Some(heard) = self.signals.read().map_err(os("reading signals"))? {
            children |= heard == SignalEvent::Child;
        }
        if children {
            while let Some(pid) = process::ended_child() {
                // A child's report is written before its end, so it is here by now; and the id is still that child's.
                self.take_reports();
                let (status, used) = process::wait_with_usage(pid).map_err(os("waiting for a child"))?;
                match self.children.remove(&pid) {
                    Some(Child::Job(id)) => self.job_ended(id, Some((status, usage_of(used)))),
                    Some(Child::Mailer(id)) => self.mailer_ended(id, status),
                    // A look-up, or an orphan that was given to us.
                    None => {}
                }
            }
        }
        Ok(())
    }

    /// Ends every job's process group and gives up what waits.
    fn end_all(&mut self, ask: Ask) {
        self.stopping = Some(ask);
        for job in self.jobs.values().filter(|job| job.result.is_none()) {
            end_group(job, ask);
        }
        self.stop_starting();
    }

    fn about<'a>(job: &'a Job, command: &'a [u8]) -> JobRef<'a> {
        JobRef { start: &job.start, user: &job.user.name, command, pid: job.pid }
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

/// Ends a job's process group. It is not known to have ended, so the id is still the job's; a group that is gone is what was wanted.
fn end_group(job: &Job, ask: Ask) {
    if let Some(pid) = job.pid {
        let _ = process::signal_group(pid, ask).or_else(|_| process::signal(pid, ask));
    }
}

/// As many descriptors as we may have; jobs get back what the daemon was started with.
fn raise(limit: DescriptorLimit) {
    let wanted = DescriptorLimit { soft: limit.hard.max(DESCRIPTORS), hard: limit.hard.max(DESCRIPTORS) };
    let possible = DescriptorLimit { soft: limit.hard, hard: limit.hard };
    // Neither is needed before a thousand jobs run at once; then a start that finds no descriptor is tried again.
    let _ = wanted.set().or_else(|_| possible.set());
}

/// Who `crond FILE` runs everything as. An id without a name is possible in a container.
pub(super) fn caller() -> Result<User, ExecutorError> {
    let ids = process::own_ids().map_err(os("reading our ids"))?;
    let [uid, ..] = ids.users;
    let [gid, ..] = ids.groups;
    let known = User::look_up_id(uid).ok().flatten();
    Ok(known.unwrap_or_else(|| User {
        name: std::env::var("LOGNAME").unwrap_or_else(|_| uid.to_string()),
        uid,
        gid,
        home: b"/".to_vec(),
        groups: vec![gid],
    }))
}
