//! Start-up: makes a daemon that is ready from its settings.

use super::anacron::AnacronFiles;
use super::control::Control;
use super::control_socket;
use super::database::CrontabDatabase;
use super::execution::{Execution, Resumed};
use super::fleet::Fleet;
use super::fleet_events::{random_number, settings_of_node};
use super::history::{History, run_numbers};
use super::job_state::{self, OpenedState};
use super::live_runs::LiveRuns;
use super::marker::{self, Reboot};
use super::metrics::Metrics;
use super::old_executors::OldExecutors;
use super::reactor::{Interest, Reactor};
use super::record::{RebootJobs, StartRecord};
use super::settings::{Mode, Settings, version};
use super::standalone_files::{StandaloneFiles, StandaloneFilesError};
use super::state::{Daemon, DaemonFiles, Executors, Fatal, InternalTimers, SchedulerDriver, Sources, now, reap};
use super::tables::{CrontabFiles, Origin};
use super::takeover::EarlierRuns;
use super::wake_ups::WakeUps;
use crate::config::zones::{SystemZones, current_zone};
use crate::executor::{
    EarlierStart, Executor, ExecutorLinkError, KEPT_STARTS, Predecessors, falls_back_to_log, find_predecessors,
    predecessors_of_journals,
};
use crate::history::event::DaemonStarted;
use crate::profile::{ProfileName, shared};
use crate::report::{Level, Log, LogRecord, Target};
use crate::schedule::{HostKey, Timestamp, Zones};
use crate::scheduler::{EarlierRun, Event, RunId, SavedState, Scheduler};
use crate::sys::clock;
use crate::sys::contract::SingleThreaded;
use crate::sys::error::{self, os};
use crate::sys::files::reason;
use crate::sys::host::{self, Boot};
use crate::sys::lock::{DaemonLock, LockError};
use crate::sys::notify_socket::NotifySocket;
use crate::sys::process::own_uid;
use crate::sys::signal::Signals;
use crate::sys::state_file;
use crate::sys::timer::Timer;
use crate::users::caller_name;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The version of cronie in the first log line of the `cronie` profile.
const CRONIE_VERSION: &str = "1.7.2";

/// If a daemon was stopped before it had started all `@reboot` jobs, the next one starts them if it begins within this number of seconds.
const REBOOT_REACH: i64 = 500;
// The journals must keep the starts for as long.
const _: () = assert!(KEPT_STARTS > REBOOT_REACH);

/// Why a daemon could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another daemon runs, or the run directory cannot be used.
    #[error("{}{source}", already(source))]
    Lock {
        /// Why the lock was not taken.
        #[from]
        source: LockError,
    },
    /// The system's daemon was started by another user than root, and could not do what only root may.
    #[error("must be root; `crond FILE` runs a table as yourself ({why})")]
    NotRoot {
        /// The step of the start that failed.
        why: Box<StartError>,
    },
    /// The executor could not be started.
    #[error(transparent)]
    Executor(#[from] ExecutorLinkError),
    /// A crontab on the command line cannot be read.
    #[error(transparent)]
    StandaloneFiles(#[from] StandaloneFilesError),
    /// The event loop could not be set up.
    #[error(transparent)]
    Loop(#[from] Fatal),
    /// A system call of the start failed.
    #[error(transparent)]
    Os(#[from] error::Error),
}

fn already(why: &LockError) -> String {
    match why {
        LockError::AlreadyRunning { pid: Some(pid), .. } => format!("already running as process {pid}: "),
        LockError::AlreadyRunning { pid: None, .. } => "already running: ".to_owned(),
        LockError::Os(_) => String::new(),
    }
}

/// Starts a daemon: loads the crontabs, takes over earlier runs and lets the scheduler begin.
pub(super) fn start(
    settings: Settings,
    execution: Execution,
    resumed: Option<Resumed>,
    manager: NotifySocket,
    threads: SingleThreaded,
) -> Result<Daemon, StartError> {
    let needs_root = !settings.is_standalone();
    start_as_caller(settings, execution, resumed, manager, threads).map_err(|why| match why {
        StartError::Lock { source: LockError::AlreadyRunning { .. } } => why,
        why if needs_root && own_uid() != 0 => StartError::NotRoot { why: Box::new(why) },
        why => why,
    })
}

fn start_as_caller(
    settings: Settings,
    execution: Execution,
    resumed: Option<Resumed>,
    manager: NotifySocket,
    threads: SingleThreaded,
) -> Result<Daemon, StartError> {
    let target = log_target(&settings, &manager);
    let mut log = Log::open(target, settings.config.profile);
    log.stamp_in(Box::new(current_zone()));
    let origin = origin(&settings)?;
    let mut config = settings.executor_config(target);
    let lacks_mailer = falls_back_to_log(&config);
    config.output_to_log |= lacks_mailer;
    let executor = Executor::spawn(&threads, config)?;
    let mut resumed = resumed;
    let held = resumed.as_mut().map(|resumed| std::mem::take(&mut resumed.locks));
    let is_first = held.is_none();
    let lock = take_lock(&settings, held, &mut log)?;
    if is_first {
        log_start(&settings, execution.in_background, lacks_mailer, lock.as_ref(), &mut log);
    }
    if let Some(detail) = SystemZones::open().fault_of_tz().filter(|_| is_first) {
        log.write(&LogRecord { level: Level::Warning, ..LogRecord::daemon("WARNING", detail.as_bytes()) });
    }
    // An executor may have died before this program was executed in place of another.
    reap();

    let boot = host::boot();
    let record = open_record(&settings, &boot, &mut log);
    let host = HostKey::of(&host::identity());
    let anacron = AnacronFiles::new(&settings, host);
    let wake_ups = listen_for_wake_ups(&threads, &settings, &mut log);
    let control = open_control(&settings, &threads, &mut log);
    let history = History::open(&settings, &threads, control.has_socket());
    let tables = CrontabFiles::new(origin, settings.config.profile, host);
    let database = CrontabDatabase::new(tables, &settings);
    let mut scheduler = Scheduler::new(database.zones().system(), now());
    let fleet = Fleet::open(&settings, database.zones());
    if settings.config.fleet.is_some() {
        // Before tables are loaded.
        let random = os("asking the kernel for random numbers");
        scheduler.set_fleet(settings_of_node(&settings, fleet.node()).map_err(random)?, random_number);
    }
    scheduler.limit_handover();
    if settings.is_standalone() {
        scheduler.set_caller(&caller_name());
    }
    let reserved = record.as_ref().and_then(StartRecord::read_reserved);
    let reserved = reserved.max(resumed.as_ref().map(|resumed| resumed.next_run));
    // A signal that the program before this one has read would else be lost.
    let log_state_at = resumed.as_ref().and_then(|resumed| resumed.must_log_state.then(clock::monotonic_ms));
    let timers = InternalTimers { log_state_at, ..InternalTimers::default() };
    let driver = SchedulerDriver::new(scheduler, Timer::new().map_err(os("making the clock's timer"))?);
    let mut reactor = Reactor::new().map_err(os("making the event queue"))?;
    let signals = Signals::new().map_err(os("listening for signals"))?;
    let mut daemon = Daemon {
        log,
        driver,
        executors: Executors { current: executor, is_writing: false, old: OldExecutors::new(&boot.id) },
        execution,
        database,
        files: DaemonFiles { lock, record, job_state: None, why_no_state: String::new(), anacron, wake_ups, manager },
        history,
        fleet,
        control,
        runs: LiveRuns::default(),
        metrics: Metrics::default(),
        sources: Sources::new(signals, &mut reactor),
        reactor,
        timers,
        has_spare_memory: true,
        held_reports: Vec::new(),
        is_lack_of_state_logged: false,
        stopping: None,
        settings,
    };
    daemon.add_sources()?;
    // A small process is forked faster.
    daemon.run_history(clock::monotonic_ms());
    // Watching directories and keeping state start a thread each.
    threads.end();
    let saved = daemon.open_job_state(&boot, reserved)?;
    daemon.with_database(CrontabDatabase::open);
    daemon.log_watching();
    daemon.log_lack_of_entries();
    daemon.begin(&boot, resumed, saved);
    Ok(daemon)
}

/// The target of the log: as the settings have it, else the system's log, else standard error in the foreground, or the journal if that reads
/// standard error.
pub(super) fn log_target(settings: &Settings, manager: &NotifySocket) -> Target {
    let is_foreground = settings.config.foreground || matches!(settings.mode, Mode::Standalone(_) | Mode::Now);
    let to_stderr = settings.is_standalone() || (is_foreground && !Log::syslog_answers());
    match settings.log() {
        // Nobody would read it.
        Some(Target::Syslog) if is_foreground && !Log::syslog_answers() => Target::Stderr,
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
            given.check_readable()?;
            Ok(Origin::StandaloneFiles(given))
        }
        Mode::Daemon | Mode::Check(_) | Mode::Now => Ok(Origin::System(settings.finder())),
    }
}

/// Takes the lock of the run directory. A program that was executed anew has it already. A standalone daemon needs none unless it was given a run
/// directory.
fn take_lock(settings: &Settings, held: Option<Vec<OwnedFd>>, log: &mut Log) -> Result<Option<DaemonLock>, StartError> {
    if settings.is_standalone() && !settings.run_dir_given {
        return Ok(None);
    }
    let state_dir = (!settings.is_standalone() || settings.state_dir_given).then_some(&*settings.config.state_dir);
    let taken = match held.filter(|held| !held.is_empty()) {
        Some(held) => DaemonLock::resume(&settings.config.run_dir, shared::PID_FILE, held),
        None => {
            // The state directory may be locked in the place of a read-only run directory. Its faults are logged when the state is opened.
            let _ = state_dir.map(job_state::make_directory);
            DaemonLock::take(&settings.config.run_dir, shared::PID_FILE, state_dir)
        }
    };
    match taken {
        Ok(lock) => Ok(Some(lock)),
        Err(why) => {
            // The program says it on standard error as well.
            if !log.is_on_stderr() {
                let death = LogRecord { level: Level::Error, ..LogRecord::daemon("DEATH", &[]) };
                log.write(&LogRecord { detail: why.to_string().as_bytes(), ..death });
            }
            Err(why.into())
        }
    }
}

/// Writes the first lines of the log as the reference implementations do.
fn log_start(settings: &Settings, in_background: bool, lacks_mailer: bool, lock: Option<&DaemonLock>, log: &mut Log) {
    let mut say = |event: &str, detail: &str| log.write(&LogRecord::daemon(event, detail.as_bytes()));
    if settings.is_standalone() {
        say("STARTUP", &version());
        return;
    }
    match settings.config.profile.profile {
        ProfileName::Debian => {
            if let Some(descriptor) = lock.and_then(DaemonLock::descriptor) {
                say("INFO", &format!("pidfile fd = {descriptor}"));
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
    if lock.is_some_and(DaemonLock::is_read_only) {
        let run_dir = settings.config.run_dir.display();
        let lacks = "jobs run, but there is no PID file, and a restart does not know what was started; use --run-dir";
        say("WARNING", &format!("the run directory {run_dir} is read-only: {lacks}"));
    }
    if lock.is_some_and(|lock| lock.is_second_possible) {
        let run_dir = settings.config.run_dir.display();
        let why = "and there is no state directory that only its owner can read";
        let effect = "a second daemon would start and run each job again";
        say("WARNING", &format!("an unprivileged user holds a lock on {run_dir}, {why}: {effect}"));
    } else if lock.is_some_and(|lock| lock.pidfile_lock_contested) {
        say("WARNING", "an unprivileged user holds a lock on the PID file; it is ignored");
    }
}

/// Opens the record of the system's daemon. Without it, no missed run is caught up after a restart.
fn open_record(settings: &Settings, boot: &Boot, log: &mut Log) -> Option<StartRecord> {
    if settings.is_standalone() {
        return None;
    }
    match StartRecord::open(&settings.config.run_dir, boot) {
        Ok(record) => Some(record),
        Err(why) => {
            let detail = format!("opening the record of what was started: {}", reason(&why));
            log.write(&LogRecord { level: Level::Warning, ..LogRecord::daemon("WARNING", detail.as_bytes()) });
            None
        }
    }
}

/// Opens the durable state of jobs. A standalone daemon keeps it only where the command line names a directory.
fn open_job_state(settings: &Settings, boot: &Boot) -> OpenedState {
    match &settings.mode {
        Mode::Standalone(_) if !settings.state_dir_given => {
            OpenedState { why_not: "crond was started without --state-dir".to_owned(), ..OpenedState::default() }
        }
        Mode::Standalone(_) | Mode::Daemon => job_state::open(&settings.config.state_dir, &boot.id),
        Mode::Now | Mode::Check(_) => OpenedState::default(),
    }
}

/// The first run id: after those that an earlier daemon has reserved. Without a record it is the time in milliseconds, which no earlier daemon can
/// have reached unless it started a thousand jobs in each second. A reservation that is centuries ahead is damaged.
fn first_run(reserved: Option<RunId>) -> RunId {
    const CENTURIES_AHEAD: u64 = 10_000_000_000_000;
    let now = clock::wall();
    let by_time = now.seconds.max(0).unsigned_abs() * 1000 + u64::from(now.nanos / 1_000_000);
    let reserved = reserved.map(|reserved| reserved.0).filter(|reserved| *reserved < by_time + CENTURIES_AHEAD);
    RunId(reserved.map_or(by_time, |reserved| reserved.max(by_time)))
}

/// Opens the socket on which `crontab` reports changes to the system's daemon. Without it, they are noticed in the other ways.
fn listen_for_wake_ups(threads: &SingleThreaded, settings: &Settings, log: &mut Log) -> WakeUps {
    if settings.is_standalone() {
        return WakeUps::default();
    }
    let path = settings.config.run_dir.join(shared::WAKE_SOCKET);
    WakeUps::listen(threads, &path).unwrap_or_else(|why| {
        let detail = format!("making the socket {}: {}; crontab cannot wake the daemon", path.display(), reason(&why));
        log.write(&LogRecord { level: Level::Warning, ..LogRecord::daemon("WARNING", detail.as_bytes()) });
        WakeUps::default()
    })
}

/// Opens the control socket. Without it the daemon runs its jobs all the same.
fn open_control(settings: &Settings, threads: &SingleThreaded, log: &mut Log) -> Control {
    let (rights, trouble) = control_socket::rights(settings);
    let server = control_socket::open(settings, threads);
    let failure = server.as_ref().err().map(|why| {
        let is_second = settings.is_standalone() && !settings.run_dir_given;
        let is_taken = why.source.kind() == std::io::ErrorKind::AddrInUse;
        let advice = if is_second && is_taken { " unless it is given a --run-dir of its own" } else { "" };
        format!("{why}; cronctl cannot control this daemon{advice}")
    });
    // A second standalone daemon of a user has no socket, which is no fault.
    let level = if settings.is_standalone() { Level::Info } else { Level::Warning };
    for text in trouble.into_iter().chain(failure) {
        log.write(&LogRecord { level, ..LogRecord::daemon("WARNING", text.as_bytes()) });
    }
    Control::new(server.ok(), rights, clock::wall_ms())
}

impl Daemon {
    /// Logs that the files on the command line give a standalone daemon nothing to do.
    fn log_lack_of_entries(&mut self) {
        if let Mode::Standalone(files) = &self.settings.mode
            && self.driver.scheduler.entries().next().is_none()
        {
            let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            let verb = if files.len() == 1 { "has" } else { "have" };
            self.warn(&format!("{} {verb} no entries: nothing runs until there are some", files.join(", ")));
        }
    }

    /// Logs how changes are noticed, in the words of cronie.
    fn log_watching(&mut self) {
        if self.settings.config.profile.profile == ProfileName::Debian || self.settings.is_standalone() {
            return;
        }
        match (self.database.watcher().is_some(), self.settings.no_inotify) {
            (true, _) => self.log_event("INFO", "running with inotify support"),
            (false, true) => self.log_event("No inotify - daemon runs with -i or -c option", ""),
            (false, false) => self.log_event("INFO", "running without inotify support"),
        }
    }

    /// Reads the durable state of jobs and begins to keep it, in a thread of its own.
    fn open_job_state(&mut self, boot: &Boot, reserved: Option<RunId>) -> Result<SavedState, Fatal> {
        let OpenedState { store, mut saved, reserved: saved_reserved, log_lines, why_not } =
            open_job_state(&self.settings, boot);
        self.driver.scheduler.reserve_runs_from(first_run(reserved.max(saved_reserved)));
        if let Some(store) = &store {
            self.reactor
                .add(store.notifier(), Interest::Readable, |daemon, _| {
                    daemon.handle_job_state();
                    Ok(())
                })
                .map_err(os("waiting for the thread that keeps state"))?;
        }
        (self.files.job_state, self.files.why_no_state) = (store, why_not);
        log_lines.iter().for_each(|line| self.log_state_line(line));
        // Another cron has run since: what it handled is unknown.
        if self.files.lock.as_ref().is_some_and(|lock| lock.foreign_daemon_ran) {
            saved.forget_handled();
        }
        Ok(saved)
    }

    /// Lets the scheduler begin: with `@reboot` jobs if this is the first daemon of a boot, or if the last one has not started all of them.
    fn begin(&mut self, boot: &Boot, resumed: Option<Resumed>, mut saved: SavedState) {
        let is_boot = resumed.is_none() && (self.settings.is_standalone() || self.is_first_of_boot(boot));
        let is_resumed = resumed.is_some();
        let resumed_at = resumed.as_ref().map(|resumed| resumed.completed);
        let reboot_jobs = match &resumed {
            Some(resumed) => resumed.reboot_jobs,
            None => self.files.record.as_ref().and_then(StartRecord::read_reboot),
        };
        let found = self.find_predecessors(boot, resumed);
        let has_journals = !found.executors.is_empty() || !found.dead.is_empty() || !found.silent.is_empty();
        let knows_starts = has_journals || (self.files.lock.is_some() && found.errors.is_empty());
        let completed = self.completed_before().max(resumed_at);
        // Before the first starts, which may count as runs of anacron's jobs, and before results of runs that have no stamp yet.
        self.load_anacrontab();
        let undelivered = found.undelivered.iter().map(|run| EarlierRun {
            run: run.run,
            job: run.job.clone(),
            scheduled_at: Timestamp(run.scheduled_at),
            cause: run.cause,
        });
        let begun_run = |start: &EarlierStart| EarlierRun {
            run: start.run,
            job: start.job.clone(),
            scheduled_at: Timestamp(start.scheduled_at),
            cause: start.cause,
        };
        // An earlier daemon has received these results and was killed before it had saved what follows from them.
        let is_unsaved = |start: &&EarlierStart| start.is_delivered && saved.lacks_end_of(&begun_run(start));
        let unsaved: Vec<&EarlierStart> = found.started.iter().filter(is_unsaved).collect();
        let unsaved_runs = unsaved.iter().map(|start| begun_run(start));
        self.driver.handle(Event::EarlierRuns(undelivered.chain(unsaved_runs).collect()));
        self.driver.handle(Event::EarlierStarts(found.started.iter().map(begun_run).collect()));
        let live = run_numbers(found.undelivered.iter().chain(&found.running));
        let begun = found.started.iter().map(|start| start.run.0).collect();
        self.record_begin(DaemonStarted {
            at_ms: clock::wall_ms(),
            boot: boot.id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            handled_until: completed.map(|completed| completed.0),
            is_resumed,
            live,
            begun,
            // Without a directory for journals it is unknown which runs have begun. An executor that has begun nothing has no journal.
            begun_since_ms: if knows_starts { clock::wall_ms() - KEPT_STARTS * 1000 } else { i64::MAX },
        });
        self.record_earlier_results(&found.started);
        for result in unsaved.into_iter().filter_map(|start| start.result.clone()) {
            self.driver.handle(Event::RunEnded(Box::new(result)));
        }
        self.record_earlier_follow_ups(&found.follow_ups);
        let EarlierRuns { started, running } = self.take_over(found);
        self.note_earlier_runs(&running);
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
        let is_by_hand = |start: &EarlierStart| start.cause.is_some_and(|cause| cause.trigger.is_manual());
        let slots = started.into_iter().filter(|start| !is_by_hand(start));
        let started = slots.filter_map(|start| match start.at_reboot {
            false => Some((start.job, Timestamp(start.scheduled_at))),
            // `@reboot` jobs are due when the scheduler begins.
            true => unfinished.map(|_| (start.job, moment.utc)),
        });
        let (started, running) = (started.collect(), running.into_iter().map(|run| (run.run, run.job)).collect());
        let boot = is_boot || unfinished.is_some();
        if is_boot {
            saved.set_before_boot();
        }
        self.metrics.restore_rows(saved.rows_of_slots());
        let begin = Event::DaemonStarted { boot, completed, started, running, saved: Box::new(saved) };
        self.driver.handle_at(begin, moment);
        self.report_status("");
        self.log_lack_of_state();
    }

    fn record_reboot(&mut self, jobs: RebootJobs) {
        self.execution.reboot_jobs = Some(jobs);
        if let Some(Err(why)) = self.files.record.as_ref().map(|record| record.write_reboot(jobs)) {
            self.warn(&format!("writing when @reboot jobs became due: {}", reason(&why)));
        }
    }

    /// Finds the executors and journals of earlier daemons.
    fn find_predecessors(&self, boot: &Boot, resumed: Option<Resumed>) -> Predecessors {
        match resumed {
            _ if self.files.lock.is_some() => find_predecessors(&self.settings.executors(), &boot.id),
            Some(resumed) => predecessors_of_journals(resumed.journals, &boot.id),
            None => Predecessors::default(),
        }
    }

    fn is_first_of_boot(&mut self, boot: &Boot) -> bool {
        let debian = self.settings.config.profile.profile == ProfileName::Debian;
        let path = self.settings.config.run_dir.join(self.settings.config.profile.reboot_marker);
        let is_boot = match marker::set_for_boot(&path, boot) {
            Reboot::First => true,
            Reboot::Done => false,
            Reboot::Unknown(why) => {
                self.warn(&format!("marking {} for this boot: {}; @reboot jobs are run", path.display(), reason(&why)));
                true
            }
        };
        match (is_boot, debian) {
            (true, true) => self.log_event("INFO", "Running @reboot jobs"),
            (false, true) => self.log_event("INFO", "Skipping @reboot jobs -- not system startup"),
            (false, false) => self.log_event("INFO", "@reboot jobs will be run at computer's startup."),
            (true, false) => {}
        }
        is_boot
    }

    /// The moment up to which earlier daemons of this boot have started everything due. None if another cron has run meanwhile, which has started what
    /// was due since.
    fn completed_before(&mut self) -> Option<Timestamp> {
        let recorded = self.files.record.as_ref()?.read();
        let by_old_version = take_started_by_old_version(&self.settings.config.run_dir);
        let recorded = recorded.filter(|_| !self.files.lock.as_ref().is_some_and(|lock| lock.foreign_daemon_ran));
        recorded.map(|recorded| by_old_version.map_or(recorded, |moment| recorded.max(moment)))
    }

    /// Reports to the service manager that the daemon is ready.
    pub fn report_ready(&mut self) {
        self.report_status("READY=1\n");
        let period = self.files.manager.watchdog_ms();
        self.timers.watchdog_at = period.and_then(|ms| clock::monotonic_ms().checked_add_unsigned(ms));
    }
}

/// Reads the latest started moment from the files that version 0.1 has left in a directory of its own, and removes them.
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
    // A link is not followed. Files that cannot be removed do no harm.
    let _ = fs::remove_dir_all(&directory);
    latest
}

/// The name under which the program was called, for messages.
pub fn program_name(argument: Option<&std::ffi::OsStr>) -> String {
    let name = argument.and_then(|argument| Path::new(argument).file_name());
    name.map_or_else(|| "crond".to_owned(), |name| name.to_string_lossy().into_owned())
}
