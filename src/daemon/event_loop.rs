//! The daemon itself: its one loop turns readiness into events for the plan and performs what the plan answers.

use super::anacron::Work as AnacronWork;
use super::database::CrontabDatabase;
use super::debug::{Debug, Topic};
use super::old_executors::OldExecutors;
use super::record::Record as Completed;
use super::reexec::Execution;
use super::settings::Settings;
use super::stop::Stopping;
use super::tables::{EventSink, LoadEvent, Told};
use super::wake_ups::WakeUps;
use crate::executor::{Executor, ExecutorEvent, LaunchError, OldExecutor};
use crate::report::{Ident, Level, Log, Record, fields_of_start};
use crate::schedule::Timestamp;
use crate::scheduler::{Action, Event, Now, Occasion, RunId, RunOutcome, RunRequest, Scheduler, SkipReason};
use crate::sys::clock;
use crate::sys::lock::DaemonLock;
use crate::sys::memory;
use crate::sys::notify_socket::NotifySocket;
use crate::sys::poll::Poll;
use crate::sys::process;
use crate::sys::signal::{SignalEvent, Signals};
use crate::sys::timer::{Timer, TimerEvent};
use std::collections::VecDeque;
use std::io;

/// Most actions performed in one turn of the loop: a burst of starts must not keep it from hearing anything else.
const ACTIONS_A_TURN: usize = 256;
/// Most signals heard in one turn; there are six kinds.
const SIGNALS_A_TURN: usize = 8;

/// Most things heard of in one turn.
const READY_A_TURN: usize = 32;

/// What is waited for, as numbers for [`Poll`].
pub(super) mod number {
    pub const TIMER: u64 = 1;
    pub const SIGNALS: u64 = 2;
    pub const RUNNER: u64 = 3;
    pub const TABLES: u64 = 4;
    pub const NAMES: u64 = 5;
    pub const USERS: u64 = 6;
    pub const LOG: u64 = 7;
    pub const MOUNTS: u64 = 8;
    pub const WAKE_UPS: u64 = 9;
}

/// Why a running daemon had to end.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// Without its executor it can start nothing.
    #[error(transparent)]
    Runner(#[from] LaunchError),
    /// The kernel refused something that never fails on a healthy system.
    #[error("{doing}: {source}")]
    Os {
        /// What was being done.
        doing: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Turns a system's error into a fatal one.
pub(super) fn os(doing: &'static str) -> impl FnOnce(io::Error) -> Fatal {
    move |source| Fatal::Os { doing, source }
}

/// Everything that a daemon has in its hands.
#[derive(Debug)]
pub struct Daemon {
    pub(super) settings: Settings,
    pub(super) log: Log,
    pub(super) plan: Scheduler,
    pub(super) executor: Executor,
    /// Executors of earlier daemons.
    pub(super) old: OldExecutors,
    pub(super) execution: Execution,
    pub(super) library: CrontabDatabase,
    pub(super) manager: NotifySocket,
    pub(super) lock: Option<DaemonLock>,
    pub(super) completed: Option<Completed>,
    /// Anacron's work, if it is ours to do.
    pub(super) anacron: Option<AnacronWork>,
    /// Messages of `crontab`.
    pub(super) wake_ups: WakeUps,
    pub(super) poll: Poll,
    pub(super) signals: Signals,
    pub(super) timer: Timer,
    /// What the plan wants done and is not done yet.
    pub(super) todo: VecDeque<Action>,
    /// Everything due up to here will have been handed out when nothing is to be done or to be sent any more.
    pub(super) handing_out: Option<Timestamp>,
    pub(super) stopping: Option<Stopping>,
    pub(super) armed: Option<Timestamp>,
    pub(super) writing: bool,
    pub(super) watched: bool,
    pub(super) log_retry_at: Option<i64>,
    pub(super) watchdog_at: Option<i64>,
}

/// The moment, as the plan wants to be told it.
pub(super) fn now() -> Now {
    Now { utc: Timestamp(clock::wall().seconds), elapsed_ms: clock::monotonic_ms() }
}

/// Takes every child that has ended off the kernel's list; which they were.
pub(super) fn reap() -> Vec<u32> {
    std::iter::from_fn(process::reap).map(|(pid, _)| pid).collect()
}

/// Whom the library's news concern.
struct LoadEventForwarder<'a> {
    plan: &'a mut Scheduler,
    todo: &'a mut VecDeque<Action>,
    log: &'a mut Log,
    debug: Debug,
    /// Whether there were any.
    changed: bool,
}

impl EventSink for LoadEventForwarder<'_> {
    fn push(&mut self, news: LoadEvent) {
        self.changed = true;
        self.debug.tell_news(self.log, &news);
        let event = match news {
            LoadEvent::Load { source, table } => Event::Load { source, table },
            LoadEvent::Unload { path } => Event::Unload { path },
            LoadEvent::SystemZone(zone) => Event::SystemZone(zone),
            LoadEvent::Tell(told) => return tell(self.log, &told),
        };
        self.todo.extend(self.plan.handle(event, now()));
    }
}

fn tell(log: &mut Log, told: &Told) {
    let line = told.line.map(|line| ("line", line.into()));
    let fields: Vec<(&'static str, serde_json::Value)> = line.into_iter().collect();
    log.write(&Record {
        ident: Ident::Daemon,
        level: told.level,
        pid: None,
        user: &told.user,
        event: &told.event,
        detail: told.detail.as_bytes(),
        rest: &told.rest,
        run: None,
        fields: &fields,
    });
}

impl Daemon {
    /// Registers everything that is there from the start. To be called once.
    pub(super) fn register_sources(&mut self) -> Result<(), Fatal> {
        self.poll.add(&self.timer, number::TIMER).map_err(os("waiting for the clock"))?;
        self.poll.add(&self.signals, number::SIGNALS).map_err(os("waiting for signals"))?;
        let room = self.log.room().map_err(os("making the log's poll"))?;
        self.poll.add(room, number::LOG).map_err(os("waiting for the log"))?;
        if let Some(mounts) = self.library.mount_table() {
            self.poll.add_for_exceptions(mounts, number::MOUNTS).map_err(os("waiting for mounts"))?;
        }
        self.wake_ups.add_to(&self.poll).map_err(os("waiting for messages of crontab"))?;
        self.poll.add(self.executor.descriptor(), number::RUNNER).map_err(os("waiting for the executor"))
    }

    /// Runs until it is told to stop.
    pub fn run(&mut self) -> Result<(), Fatal> {
        // Whether what only the start needed has been given back.
        let mut settled = false;
        loop {
            self.run_timers()?;
            if self.todo.is_empty() && self.plan.has_more() {
                self.notify_scheduler(Event::Tick);
            }
            self.perform()?;
            self.run_anacron();
            self.arm()?;
            if self.has_stopped() {
                return self.finish();
            }
            let poll_timeout = self.poll_timeout();
            if poll_timeout != Some(0) && !std::mem::replace(&mut settled, true) {
                memory::trim_memory();
            }
            let ready = self.poll.wait::<READY_A_TURN>(poll_timeout).map_err(os("waiting"))?;
            for number in ready {
                match number {
                    number::TIMER => self.handle_timer()?,
                    number::SIGNALS => self.handle_signals()?,
                    number::RUNNER => self.handle_executor()?,
                    number::TABLES => self.library.handle_crontab_changes(),
                    number::NAMES => self.with_database(CrontabDatabase::handle_name_changes),
                    number::USERS => self.with_database(CrontabDatabase::handle_user_lookups),
                    number::LOG => self.log.handle_writable(),
                    number::MOUNTS => self.library.note_mount_change(),
                    number::WAKE_UPS => self.read_wake_ups(),
                    of_old_executor => self.hear_old_executors(of_old_executor),
                }
            }
        }
    }

    /// Tells the plan and keeps what it answers.
    pub(super) fn notify_scheduler(&mut self, event: Event) {
        let actions = self.plan.handle(event, now());
        self.todo.extend(actions);
    }

    /// Lets the library do something and spreads its news.
    pub(super) fn with_database(&mut self, act: impl FnOnce(&mut CrontabDatabase, &mut dyn EventSink)) {
        let (plan, todo, log, debug) = (&mut self.plan, &mut self.todo, &mut self.log, self.settings.debug);
        let mut audience = LoadEventForwarder { plan, todo, log, debug, changed: false };
        act(&mut self.library, &mut audience);
        let changed = audience.changed;
        if changed && self.stopping.is_none() {
            self.report_status("");
        }
        self.register_watcher();
        if let Some(descriptor) = self.library.users().ask() {
            // Without the answer those tables wait for the next look.
            let _ = self.poll.add(descriptor, number::USERS);
        }
    }

    /// Waits for the watcher as soon as there is one. One that is gone has closed its descriptors, which ends the waiting.
    fn register_watcher(&mut self) {
        let watcher = self.library.watcher();
        if let (Some(watcher), false) = (watcher, self.watched) {
            // A second registration of the same descriptor changes nothing.
            let _ = self.poll.add(watcher.notifier(), number::TABLES);
            let _ = self.poll.add(watcher.names(), number::NAMES);
        }
        self.watched = watcher.is_some();
    }

    /// Milliseconds that may be waited.
    fn poll_timeout(&self) -> Option<u64> {
        if !self.todo.is_empty() || self.plan.has_more() {
            return Some(0);
        }
        let stopping = self.stopping.as_ref().and_then(Stopping::next);
        let wishes = [self.log_retry_at, self.watchdog_at, stopping, self.old.look_at_ms(), self.wake_ups.resume_at()];
        let at = wishes.into_iter().flatten().fold(self.library.next_deadline_ms(), i64::min);
        Some(u64::try_from(at.saturating_sub(clock::monotonic_ms())).unwrap_or(0))
    }

    /// Does what it is time for.
    fn run_timers(&mut self) -> Result<(), Fatal> {
        let now = clock::monotonic_ms();
        if self.library.next_deadline_ms() <= now {
            let mut reloaded = false;
            self.with_database(|library, news| reloaded = library.attend(news));
            if reloaded {
                self.report_status("READY=1\n");
            }
        }
        if self.watchdog_at.is_some_and(|at| at <= now) {
            self.manager.tell("WATCHDOG=1");
            self.watchdog_at = self.manager.watchdog_ms().and_then(|ms| now.checked_add_unsigned(ms));
        }
        if self.log_retry_at.is_none_or(|at| at <= now) {
            self.log.flush();
            self.log_retry_at = self.log.retry_ms().map(|ms| now.saturating_add(ms));
        }
        self.attend_old_executors(now);
        self.resume_wake_ups(now);
        self.advance_stop(now);
        Ok(())
    }

    fn handle_timer(&mut self) -> Result<(), Fatal> {
        match self.timer.read().map_err(os("reading the clock's timer"))? {
            TimerEvent::Nothing => {}
            TimerEvent::Due | TimerEvent::ClockSet => {
                self.armed = None;
                self.notify_scheduler(Event::Tick);
            }
        }
        Ok(())
    }

    /// When the plan, or anacron's work, wants to be asked next.
    fn due_next(&self) -> Option<Timestamp> {
        let jobs_by_days = self.anacron.as_ref().filter(|_| self.stopping.is_none()).and_then(AnacronWork::wake_at);
        [self.plan.wake_at(), jobs_by_days].into_iter().flatten().min()
    }

    /// Arms the timer for what is due next. When the clock was set in this very moment something else may be next.
    fn arm(&mut self) -> Result<(), Fatal> {
        loop {
            let due = self.due_next();
            if due == self.armed && due.is_some() {
                return Ok(());
            }
            self.armed = due;
            self.debug_next(due);
            match self.timer.arm(due.map(|due| due.0)).map_err(os("arming the clock's timer"))? {
                TimerEvent::ClockSet => self.notify_scheduler(Event::Tick),
                TimerEvent::Due | TimerEvent::Nothing => return Ok(()),
            }
        }
    }

    fn handle_signals(&mut self) -> Result<(), Fatal> {
        // A bounded number: somebody who keeps sending must not keep the clock waiting.
        for _ in 0..SIGNALS_A_TURN {
            let Some(heard) = self.signals.read().map_err(os("reading signals"))? else { break };
            self.debug(Topic::Other, || format!("signal: {heard:?}"));
            match heard {
                SignalEvent::Reload => self.ask_for_reload(),
                SignalEvent::Stop => self.begin_to_stop(),
                SignalEvent::TellState => self.tell_state(),
                SignalEvent::Child => {
                    // As PID 1 those are the machine's orphans, too. Jobs are the executor's children: no status of theirs is taken.
                    if reap().contains(&self.executor.pid()) {
                        return Err(LaunchError::Gone.into());
                    }
                }
            }
        }
        Ok(())
    }

    fn ask_for_reload(&mut self) {
        if self.stopping.is_none() && self.library.ask_for_reload() {
            self.manager.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", clock::monotonic_us()));
            self.log.reopen();
            self.executor.reopen_log();
            self.old.for_each(OldExecutor::reopen_log);
        }
    }

    pub(super) fn handle_executor(&mut self) -> Result<(), Fatal> {
        for notice in self.executor.receive()? {
            match notice {
                ExecutorEvent::Started { run, pid } => {
                    self.debug(Topic::Processes, || format!("run {} has process {pid}", run.0));
                    self.started_for_anacron(run, pid);
                }
                ExecutorEvent::Begun { runs } => self.notify_scheduler(Event::Begun(runs)),
                ExecutorEvent::Ended { run, end, duration_ms: _ } => self.ended(run, end),
            }
        }
        Ok(())
    }

    pub(super) fn ended(&mut self, run: RunId, end: RunOutcome) {
        self.debug(Topic::Processes, || format!("run {} ended: {end:?}", run.0));
        self.ended_for_anacron(run, &end);
        self.notify_scheduler(Event::Ended { run, end });
    }

    /// Performs what the plan wants, a bounded part of it, and records what has been handed out.
    pub(super) fn perform(&mut self) -> Result<(), Fatal> {
        for _ in 0..ACTIONS_A_TURN {
            let Some(action) = self.todo.pop_front() else { break };
            match action {
                Action::Start(start) => self.start(&start),
                Action::Skipped { start, why, count, first } => self.tell_skipped(&start, why, count, first),
                Action::ReserveRuns(upto) => self.reserve_runs(upto),
                Action::Completed(upto) => self.handing_out = Some(upto),
                Action::Jumped { seconds, made_up } => self.tell_jump(seconds, made_up),
            }
        }
        self.executor.flush()?;
        let wants_to_write = self.executor.wants_to_write();
        if wants_to_write != self.writing {
            self.writing = wants_to_write;
            self.poll
                .want_writable(self.executor.descriptor(), number::RUNNER, wants_to_write)
                .map_err(os("waiting for the executor"))?;
        }
        if self.todo.is_empty() && !wants_to_write {
            self.record_completed();
        }
        Ok(())
    }

    fn start(&mut self, start: &RunRequest) {
        if self.settings.debug.has(Topic::Test) {
            self.log_run(start, Level::Info, "TEST", " not started");
            self.ended(start.run, RunOutcome::Code(0));
            return;
        }
        self.debug_start(start);
        self.count_for_anacron(start);
        let tell_pid = self.settings.debug.has(Topic::Processes) || self.is_of_anacron(start.run);
        self.executor.start(start, tell_pid);
    }

    fn record_completed(&mut self) {
        if let Some(upto) = self.handing_out.take()
            && let Some(record) = &self.completed
            && let Err(why) = record.write(upto)
        {
            self.warn(&format!("writing what was started: {why}"));
        }
    }

    pub(super) fn tell_skipped(&mut self, start: &RunRequest, why: SkipReason, count: u64, first: Timestamp) {
        let (level, reason) = match why {
            SkipReason::StillRunning => (Level::Warning, "the previous run is still running"),
            SkipReason::Superseded => (Level::Info, "superseded by a later slot while it waited for its start"),
            SkipReason::EntryRemoved => (Level::Info, "the entry was removed or changed while it waited for its start"),
            SkipReason::Stopped => (Level::Info, "the daemon was stopped while it waited for its start"),
        };
        let slots = if count == 1 { String::new() } else { format!(" ({count} slots since {first})") };
        self.log_run(start, level, "SKIPPED", &format!(" {reason}{slots}"));
    }

    fn reserve_runs(&mut self, upto: RunId) {
        if let Some(record) = &self.completed
            && let Err(why) = record.write_reserved(upto)
        {
            self.warn(&format!("reserving run numbers: {why}"));
        }
    }

    fn tell_jump(&mut self, seconds: i64, made_up: usize) {
        let way = if seconds < 0 { "back" } else { "forward" };
        let detail = format!("the clock went {way} by {} s; {made_up} starts made up for", seconds.unsigned_abs());
        self.say("INFO", &detail);
        if let Some(work) = &mut self.anacron {
            work.ask_for_look(Occasion::Jump);
        }
    }

    /// What became of one due moment that the executor never heard of.
    pub(super) fn log_run(&mut self, start: &RunRequest, level: Level, event: &str, rest: &str) {
        let backslash = self.settings.config.site.backslash;
        let command = start.split(backslash).shell;
        let user = if start.user.is_empty() { &start.source.name } else { &start.user };
        let fields = fields_of_start(start, &command);
        self.log.write(&Record {
            ident: Ident::Daemon,
            level,
            pid: None,
            user,
            event,
            detail: &command,
            rest,
            run: Some(start.run),
            fields: &fields,
        });
    }

    pub(super) fn tell(&mut self, told: &Told) {
        tell(&mut self.log, told);
    }

    /// `(CRON) EVENT (DETAIL)`.
    pub(super) fn say(&mut self, event: &str, detail: &str) {
        self.log.write(&Record::daemon(event, detail.as_bytes()));
    }

    /// The same when something is wrong.
    pub(super) fn warn(&mut self, detail: &str) {
        self.log.write(&Record { level: Level::Warning, ..Record::daemon("WARNING", detail.as_bytes()) });
    }

    /// Ends although nobody asked for it: says why, and takes the PID file away.
    pub fn die(&mut self, why: &Fatal) {
        let detail = why.to_string();
        self.log.write(&Record { level: Level::Error, ..Record::daemon("DEATH", detail.as_bytes()) });
        self.log.flush();
        if let Some(lock) = &self.lock {
            lock.remove_pid_file();
        }
    }

    /// USR1: the live state, in one line.
    fn tell_state(&mut self) {
        let waiting = match self.plan.waiting() {
            0 => String::new(),
            count => format!(", {count} due and not started"),
        };
        let old = match self.old.len() {
            0 => String::new(),
            1 => ", 1 executor of an earlier daemon".to_owned(),
            count => format!(", {count} executors of earlier daemons"),
        };
        let state = format!("{}, {} started and not ended{waiting}{old}", self.state(), self.plan.running());
        self.say("STATE", &state);
        self.executor.log_state();
        self.old.for_each(OldExecutor::log_state);
    }

    pub(super) fn state(&self) -> String {
        let summary = self.plan.summary();
        let next = summary.next_due.map_or_else(|| "nothing due".to_owned(), |due| format!("next due {due}"));
        let (tables, entries, timers) = (summary.tables, summary.entries, summary.timers);
        format!("{tables} tables, {entries} entries, {timers} timers, {next}")
    }

    /// The same for the service manager, behind what else there is to tell it.
    pub(super) fn report_status(&self, first: &str) {
        if self.manager.is_wanted() {
            self.manager.tell(&format!("{first}STATUS={}", self.state()));
        }
    }
}
