//! From settings to a daemon that is ready.

use super::anacron::AnacronFiles;
use super::database::CrontabDatabase;
use super::execution::{Execution, Resumed};
use super::job_state::{self, OpenedState};
use super::marker::{self, Reboot};
use super::old_executors::OldExecutors;
use super::record::{CompletedFile, RebootJobs};
use super::settings::{Mode, Settings, version};
use super::standalone_files::{StandaloneFiles, StandaloneFilesError};
use super::state::{Daemon, Fatal, now, reap};
use super::tables::{Origin, Tables};
use super::takeover::EarlierRuns;
use super::wake_ups::WakeUps;
use crate::executor::{
    Executor, KEPT_STARTS, LaunchError, Predecessors, RunOfJob, caller_name, falls_back_to_log, find_predecessors,
    predecessors_of_journals,
};
use crate::profile::{ProfileName, shared};
use crate::report::{Level, Log, LogRecord, Target};
use crate::schedule::{HostKey, Timestamp, Zones};
use crate::scheduler::{EarlierRun, Event, RunId, SavedState, Scheduler};
use crate::sys::clock;
use crate::sys::files::reason;
use crate::sys::host::{self, Boot};
use crate::sys::lock::{DaemonLock, LockError};
use crate::sys::notify_socket::NotifySocket;
use crate::sys::poll::Poll;
use crate::sys::signal::Signals;
use crate::sys::state_file;
use crate::sys::timer::Timer;
use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The reference implementation's version that the `cronie` profile stands in for, as its first log line tells it.
const CRONIE_VERSION: &str = "1.7.2";

/// Within so many seconds of their boot, `@reboot` jobs that a daemon was stopped before it started them are started by the next.
const REBOOT_REACH: i64 = 500;
// The journals must know all of them for as long.
const _: () = assert!(KEPT_STARTS > REBOOT_REACH);

/// Why a daemon could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another one runs, or the run directory is not usable.
    #[error("{}{source}", already(source))]
    Lock {
        /// The lock's own words.
        #[from]
        source: LockError,
    },
    /// The executor could not be made.
    #[error(transparent)]
    Runner(#[from] LaunchError),
    /// A given table cannot be read.
    #[error(transparent)]
    StandaloneFiles(#[from] StandaloneFilesError),
    /// The loop could not be set up.
    #[error(transparent)]
    Loop(#[from] Fatal),
    /// The kernel refused something.
    #[error("{doing}: {source}")]
    Os {
        /// What was being done.
        doing: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

fn already(why: &LockError) -> String {
    match why {
        LockError::AlreadyRunning { pid: Some(pid), .. } => format!("already running as process {pid}: "),
        LockError::AlreadyRunning { pid: None, .. } => "already running: ".to_owned(),
        LockError::Os { .. } => String::new(),
    }
}

fn os(doing: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::Os { doing, source }
}

/// Starts a daemon: after this it is ready, its first jobs among what it has to do.
pub(super) fn start(
    settings: Settings,
    execution: Execution,
    resumed: Option<Resumed>,
    manager: NotifySocket,
) -> Result<Daemon, StartError> {
    let target = log_target(&settings, &manager);
    let mut log = Log::open(target, settings.config.profile);
    let origin = origin(&settings)?;
    let mut config = settings.executor_config(target);
    let lacks_mailer = falls_back_to_log(&config);
    config.output_to_log |= lacks_mailer;
    let executor = Executor::spawn(config)?;
    let mut resumed = resumed;
    let held = resumed.as_mut().map(|resumed| std::mem::take(&mut resumed.locks));
    let is_first = held.is_none();
    let lock = take_lock(&settings, held, &mut log)?;
    if is_first {
        tell_start(&settings, execution.in_background, lacks_mailer, lock.as_ref(), &mut log);
    }
    // One that died before this program was executed, as the case may be.
    reap();

    let boot = host::boot();
    let completed = open_record(&settings, &boot, &mut log);
    let OpenedState { store, mut saved, reserved: saved_reserved, news } = open_job_state(&settings, &boot);
    if lock.as_ref().is_some_and(|lock| lock.foreign_daemon_ran) {
        saved.forget_handled();
    }
    let host = HostKey::of(&host::identity());
    let anacron = AnacronFiles::new(&settings, host);
    let wake_ups = listen_for_wake_ups(&settings, &mut log);
    let tables = Tables::new(origin, settings.config.profile, host);
    let library = CrontabDatabase::new(tables, &settings);
    let mut plan = Scheduler::new(library.zones().system(), now());
    plan.limit_handover();
    if settings.is_standalone() {
        plan.set_caller(&caller_name());
    }
    let reserved = completed.as_ref().and_then(CompletedFile::read_reserved);
    let reserved = reserved.max(saved_reserved);
    plan.reserve_runs_from(first_run(reserved.max(resumed.as_ref().map(|resumed| resumed.next_run))));
    let mut daemon = Daemon {
        log,
        plan,
        executor,
        old: OldExecutors::new(&boot.id),
        execution,
        library,
        manager,
        lock,
        completed,
        job_state: store,
        lack_of_state_told: false,
        anacron,
        wake_ups,
        poll: Poll::new().map_err(os("making the event queue"))?,
        signals: Signals::new().map_err(os("listening for signals"))?,
        timer: Timer::new().map_err(os("making the clock's timer"))?,
        todo: VecDeque::new(),
        handing_out: None,
        stopping: None,
        armed: None,
        writing: false,
        watched: false,
        log_retry_at: None,
        watchdog_at: None,
        settings,
    };
    daemon.register_sources()?;
    daemon.with_database(CrontabDatabase::open);
    daemon.tell_noticing();
    news.iter().for_each(|news| daemon.tell_state_news(news));
    daemon.begin(&boot, resumed, saved);
    Ok(daemon)
}

/// Where the log goes: as asked, else to the system's log, else, where somebody sees it, to standard error; to the
/// journal itself where standard error would only lead there.
pub(super) fn log_target(settings: &Settings, manager: &NotifySocket) -> Target {
    let seen = settings.config.foreground || matches!(settings.mode, Mode::Standalone(_) | Mode::Now);
    let to_stderr = settings.is_standalone() || (seen && !Log::syslog_answers());
    match settings.log() {
        Some(target) => target,
        None if to_stderr && manager.reads_stderr() && Log::journal_answers() => Target::Journal,
        None if to_stderr => Target::Stderr,
        None => Target::Syslog,
    }
}

fn origin(settings: &Settings) -> Result<Origin, StartError> {
    match &settings.mode {
        Mode::Standalone(files) => {
            let given = StandaloneFiles::new(files)?;
            given.require()?;
            Ok(Origin::StandaloneFiles(given))
        }
        Mode::Daemon | Mode::Check(_) | Mode::Now => Ok(Origin::System(settings.finder())),
    }
}

/// A standalone daemon takes no lock unless a run directory of its own was asked for.
/// A program that was executed anew has it already.
fn take_lock(settings: &Settings, held: Option<Vec<OwnedFd>>, log: &mut Log) -> Result<Option<DaemonLock>, StartError> {
    if settings.is_standalone() && !settings.run_dir_given {
        return Ok(None);
    }
    let taken = match held {
        Some(held) => DaemonLock::resume(&settings.config.run_dir, shared::PID_FILE, held),
        None => DaemonLock::take(&settings.config.run_dir, shared::PID_FILE),
    };
    match taken {
        Ok(lock) => Ok(Some(lock)),
        Err(why) => {
            let death = LogRecord { level: Level::Error, ..LogRecord::daemon("DEATH", &[]) };
            log.write(&LogRecord { detail: why.to_string().as_bytes(), ..death });
            Err(why.into())
        }
    }
}

/// The first lines in the log, as the reference implementations write them.
fn tell_start(settings: &Settings, in_background: bool, lacks_mailer: bool, lock: Option<&DaemonLock>, log: &mut Log) {
    let mut say = |event: &str, detail: &str| log.write(&LogRecord::daemon(event, detail.as_bytes()));
    if settings.is_standalone() {
        say("STARTUP", &version());
        return;
    }
    match settings.config.profile.profile {
        ProfileName::Debian => {
            if let Some(lock) = lock {
                say("INFO", &format!("pidfile fd = {}", lock.descriptor()));
            }
            if in_background {
                say("STARTUP", "fork ok");
            }
        }
        ProfileName::Cronie => {
            say("STARTUP", CRONIE_VERSION);
            if lacks_mailer {
                say("INFO", "Syslog will be used instead of sendmail.");
            }
        }
    }
    if lock.is_some_and(|lock| lock.pidfile_lock_contested) {
        say("WARNING", "somebody without privileges holds a lock on the PID file; it does not count");
    }
}

/// The record belongs to the system's daemon. Without it a restart makes up for nothing.
fn open_record(settings: &Settings, boot: &Boot, log: &mut Log) -> Option<CompletedFile> {
    if settings.is_standalone() {
        return None;
    }
    match CompletedFile::open(&settings.config.run_dir, boot) {
        Ok(record) => Some(record),
        Err(why) => {
            let detail = format!("opening the record of what was started: {why}");
            log.write(&LogRecord { level: Level::Warning, ..LogRecord::daemon("WARNING", detail.as_bytes()) });
            None
        }
    }
}

/// A standalone daemon keeps state only where it is told to.
fn open_job_state(settings: &Settings, boot: &Boot) -> OpenedState {
    match &settings.mode {
        Mode::Standalone(_) if !settings.state_dir_given => OpenedState::default(),
        Mode::Standalone(_) | Mode::Daemon => job_state::open(&settings.config.state_dir, &boot.id),
        Mode::Now | Mode::Check(_) => OpenedState::default(),
    }
}

/// Where run ids begin: after those that an earlier daemon has reserved. Without a record they begin at the time in milliseconds, which no
/// daemon of before can have reached unless it started a thousand jobs in each second of its life. A reservation that is centuries ahead is
/// damage.
fn first_run(reserved: Option<RunId>) -> RunId {
    const CENTURIES_AHEAD: u64 = 10_000_000_000_000;
    let now = clock::wall();
    let by_time = now.seconds.max(0).unsigned_abs() * 1000 + u64::from(now.nanos / 1_000_000);
    let reserved = reserved.map(|reserved| reserved.0).filter(|reserved| *reserved < by_time + CENTURIES_AHEAD);
    RunId(reserved.map_or(by_time, |reserved| reserved.max(by_time)))
}

/// Lets `crontab` tell the system's daemon of changed tables. Without it they are noticed in the other ways.
fn listen_for_wake_ups(settings: &Settings, log: &mut Log) -> WakeUps {
    if settings.is_standalone() {
        return WakeUps::default();
    }
    let path = settings.config.run_dir.join(shared::WAKE_SOCKET);
    WakeUps::listen(&path).unwrap_or_else(|why| {
        let detail = format!("making the socket {}: {}; crontab cannot wake the daemon", path.display(), reason(&why));
        log.write(&LogRecord { level: Level::Warning, ..LogRecord::daemon("WARNING", detail.as_bytes()) });
        WakeUps::default()
    })
}

impl Daemon {
    /// How changes are noticed, in cronie's words.
    fn tell_noticing(&mut self) {
        if self.settings.config.profile.profile == ProfileName::Debian || self.settings.is_standalone() {
            return;
        }
        match (self.library.watcher().is_some(), self.settings.no_inotify) {
            (true, _) => self.say("INFO", "running with inotify support"),
            (false, true) => self.say("No inotify - daemon runs with -i or -c option", ""),
            (false, false) => self.say("INFO", "running without inotify support"),
        }
    }

    /// Lets the plan begin, with `@reboot` jobs where this is the first daemon of a boot, or where the one before has not started all of them.
    fn begin(&mut self, boot: &Boot, resumed: Option<Resumed>, saved: SavedState) {
        let is_boot = resumed.is_none() && (self.settings.is_standalone() || self.claim_boot(boot));
        let resumed_at = resumed.as_ref().map(|resumed| resumed.completed);
        let reboot_jobs = match &resumed {
            Some(resumed) => resumed.reboot_jobs,
            None => self.completed.as_ref().and_then(CompletedFile::read_reboot),
        };
        let found = self.find_predecessors(boot, resumed);
        let has_journals = !found.executors.is_empty() || !found.dead.is_empty() || !found.silent.is_empty();
        let completed = self.completed_before().max(resumed_at);
        // Before the first starts, which may count as runs of anacron's jobs, and before the ends of runs that nobody has stamped yet.
        self.load_anacrontab();
        let undelivered = found.undelivered.iter();
        let undelivered = undelivered.map(|RunOfJob { run, job, scheduled_at }| EarlierRun {
            run: *run,
            job: job.clone(),
            scheduled_at: Timestamp(*scheduled_at),
        });
        self.notify_scheduler(Event::EarlierRuns(undelivered.collect()));
        self.notify_scheduler(Event::EarlierStarts(found.started.iter().map(|start| start.run).collect()));
        let EarlierRuns { started, running } = self.take_over(found);
        let moment = now();
        let is_unfinished = |jobs: &RebootJobs| {
            let is_recent = (0..REBOOT_REACH).contains(&(moment.utc.0 - jobs.first.0));
            has_journals && is_recent && completed.is_some_and(|completed| completed < jobs.last)
        };
        let unfinished = reboot_jobs.filter(|jobs| !is_boot && is_unfinished(jobs));
        if is_boot || unfinished.is_some() {
            let first = unfinished.map_or(moment.utc, |jobs| jobs.first);
            self.record_reboot(RebootJobs { first, last: moment.utc });
        }
        let started = started.into_iter().filter_map(|start| match start.at_reboot {
            false => Some((start.job, Timestamp(start.scheduled_at))),
            // They are due at the begin, whenever that is.
            true => unfinished.map(|_| (start.job, moment.utc)),
        });
        let (started, running) = (started.collect(), running.into_iter().map(|run| (run.run, run.job)).collect());
        let boot = is_boot || unfinished.is_some();
        let begin = Event::Begin { boot, completed, started, running, saved: Box::new(saved) };
        self.todo.extend(self.plan.handle(begin, moment));
        self.report_status("");
        self.tell_lack_of_state();
    }

    fn record_reboot(&mut self, jobs: RebootJobs) {
        self.execution.reboot_jobs = Some(jobs);
        if let Some(Err(why)) = self.completed.as_ref().map(|record| record.write_reboot(jobs)) {
            self.warn(&format!("writing when @reboot jobs became due: {why}"));
        }
    }

    /// What earlier daemons have left.
    fn find_predecessors(&self, boot: &Boot, resumed: Option<Resumed>) -> Predecessors {
        match resumed {
            _ if self.lock.is_some() => find_predecessors(&self.settings.executors(), &boot.id),
            Some(resumed) => predecessors_of_journals(resumed.journals, &boot.id),
            None => Predecessors::default(),
        }
    }

    fn claim_boot(&mut self, boot: &Boot) -> bool {
        let debian = self.settings.config.profile.profile == ProfileName::Debian;
        let path = self.settings.config.run_dir.join(self.settings.config.profile.reboot_marker);
        let is_boot = match marker::claim(&path, boot) {
            Reboot::First => true,
            Reboot::Done => false,
            Reboot::Unknown(why) => {
                self.warn(&format!("marking {} for this boot: {why}; @reboot jobs are run", path.display()));
                true
            }
        };
        match (is_boot, debian) {
            (true, true) => self.say("INFO", "Running @reboot jobs"),
            (false, true) => self.say("INFO", "Skipping @reboot jobs -- not system startup"),
            (false, false) => self.say("INFO", "@reboot jobs will be run at computer's startup."),
            (true, false) => {}
        }
        is_boot
    }

    /// Up to when everything due has been started by an earlier daemon of this boot, as its record says. None where another cron has run
    /// between, which has started what was due since.
    fn completed_before(&mut self) -> Option<Timestamp> {
        let recorded = self.completed.as_ref()?.read();
        let by_old_version = take_started_by_old_version(&self.settings.config.run_dir);
        let recorded = recorded.filter(|_| !self.lock.as_ref().is_some_and(|lock| lock.foreign_daemon_ran));
        recorded.map(|recorded| by_old_version.map_or(recorded, |moment| recorded.max(moment)))
    }

    /// Says that it is ready to whoever started it.
    pub fn tell_ready(&mut self) {
        self.report_status("READY=1\n");
        let period = self.manager.watchdog_ms();
        self.watchdog_at = period.and_then(|ms| clock::monotonic_ms().checked_add_unsigned(ms));
    }
}

/// Version 0.1 left files in a directory of its own: the latest due moment that an executor had started is read, everything is removed.
fn take_started_by_old_version(run_dir: &Path) -> Option<Timestamp> {
    const LONGEST: usize = 32;
    let directory = run_dir.join("crond.outcomes");
    let is_started = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "started");
    let read = |path: PathBuf| {
        let text = String::from_utf8(state_file::read(&path, LONGEST).ok()?).ok()?;
        text.trim().parse().ok().map(Timestamp)
    };
    let listed = fs::read_dir(&directory).ok()?;
    let latest = listed.flatten().map(|entry| entry.path()).filter(is_started).filter_map(read).max();
    // A link in its place is not followed. What cannot be removed does no harm.
    let _ = fs::remove_dir_all(&directory);
    latest
}

/// The name under which we were called, for messages.
pub fn program_name(argument: Option<&std::ffi::OsStr>) -> String {
    let name = argument.and_then(|argument| Path::new(argument).file_name());
    name.map_or_else(|| "crond".to_owned(), |name| name.to_string_lossy().into_owned())
}
