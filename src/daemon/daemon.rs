//! The daemon itself: its one loop turns readiness into events for the plan and performs what the plan answers.

use super::anacron::Work as AnacronWork;
use super::debug::{Debug, Topic};
use super::library::Library;
use super::old_runners::OldRunners;
use super::record::Record as Completed;
use super::reexec::Execution;
use super::settings::Settings;
use super::stop::Stopping;
use super::tables::{Hearer, News, Told};
use super::wake_ups::WakeUps;
use crate::executor::{Executor, ExecutorEvent, LaunchError, OldRunner};
use crate::report::{Ident, Level, Log, Record, fields_of_start};
use crate::schedule::Timestamp;
use crate::scheduler::{Action, Event, Now, Occasion, RunId, RunOutcome, RunRequest, Scheduler, SkipReason};
use crate::sys::clock;
use crate::sys::lock::DaemonLock;
use crate::sys::memory;
use crate::sys::notify_socket::NotifySocket;
use crate::sys::poll::Poll;
use crate::sys::process;
use crate::sys::signal::{Heard, Signals};
use crate::sys::timer::{Rang, Timer};
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
    /// Without its runner it can start nothing.
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
    pub(super) runner: Executor,
    /// Runners of earlier daemons.
    pub(super) old: OldRunners,
    pub(super) execution: Execution,
    pub(super) library: Library,
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
struct Audience<'a> {
    plan: &'a mut Scheduler,
    todo: &'a mut VecDeque<Action>,
    log: &'a mut Log,
    debug: Debug,
    /// Whether there were any.
    changed: bool,
}

impl Hearer for Audience<'_> {
    fn push(&mut self, news: News) {
        self.changed = true;
        self.debug.tell_news(self.log, &news);
        let event = match news {
            News::Load { source, table } => Event::Load { source, table },
            News::Unload { path } => Event::Unload { path },
            News::SystemZone(zone) => Event::SystemZone(zone),
            News::Tell(told) => return tell(self.log, &told),
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
    pub(super) fn wait_for_the_world(&mut self) -> Result<(), Fatal> {
        self.poll.add(&self.timer, number::TIMER).map_err(os("waiting for the clock"))?;
        self.poll.add(&self.signals, number::SIGNALS).map_err(os("waiting for signals"))?;
        let room = self.log.room().map_err(os("making the log's poll"))?;
        self.poll.add(room, number::LOG).map_err(os("waiting for the log"))?;
        if let Some(mounts) = self.library.mount_table() {
            self.poll.add_for_exceptions(mounts, number::MOUNTS).map_err(os("waiting for mounts"))?;
        }
        self.wake_ups.add_to(&self.poll).map_err(os("waiting for messages of crontab"))?;
        self.poll.add(self.runner.descriptor(), number::RUNNER).map_err(os("waiting for the runner"))
    }

    /// Runs until it is told to stop.
    pub fn run(&mut self) -> Result<(), Fatal> {
        // Whether what only the start needed has been given back.
        let mut settled = false;
        loop {
            self.keep_promises()?;
            if self.todo.is_empty() && self.plan.has_more() {
                self.tell_plan(Event::Tick);
            }
            self.perform()?;
            self.attend_anacron();
            self.arm()?;
            if self.has_stopped() {
                return self.finish();
            }
            let patience = self.patience();
            if patience != Some(0) && !std::mem::replace(&mut settled, true) {
                memory::trim_memory();
            }
            let ready = self.poll.wait::<READY_A_TURN>(patience).map_err(os("waiting"))?;
            for number in ready {
                match number {
                    number::TIMER => self.hear_clock()?,
                    number::SIGNALS => self.hear_signals()?,
                    number::RUNNER => self.hear_runner()?,
                    number::TABLES => self.library.hear_tables(),
                    number::NAMES => self.with_library(Library::hear_names),
                    number::USERS => self.with_library(Library::hear_users),
                    number::LOG => self.log.hear_room(),
                    number::MOUNTS => self.library.note_mount_change(),
                    number::WAKE_UPS => self.read_wake_ups(),
                    of_old_runner => self.hear_old_runners(of_old_runner),
                }
            }
        }
    }

    /// Tells the plan and keeps what it answers.
    pub(super) fn tell_plan(&mut self, event: Event) {
        let actions = self.plan.handle(event, now());
        self.todo.extend(actions);
    }

    /// Lets the library do something and spreads its news.
    pub(super) fn with_library(&mut self, act: impl FnOnce(&mut Library, &mut dyn Hearer)) {
        let (plan, todo, log, debug) = (&mut self.plan, &mut self.todo, &mut self.log, self.settings.debug);
        let mut audience = Audience { plan, todo, log, debug, changed: false };
        act(&mut self.library, &mut audience);
        let changed = audience.changed;
        if changed && self.stopping.is_none() {
            self.tell_state_to_manager("");
        }
        self.follow_watcher();
        if let Some(descriptor) = self.library.users().ask() {
            // Without the answer those tables wait for the next look.
            let _ = self.poll.add(descriptor, number::USERS);
        }
    }

    /// Waits for the watcher as soon as there is one. One that is gone has closed its descriptors, which ends the waiting.
    fn follow_watcher(&mut self) {
        let watcher = self.library.watcher();
        if let (Some(watcher), false) = (watcher, self.watched) {
            // A second registration of the same descriptor changes nothing.
            let _ = self.poll.add(watcher.bell(), number::TABLES);
            let _ = self.poll.add(watcher.names(), number::NAMES);
        }
        self.watched = watcher.is_some();
    }

    /// Milliseconds that may be waited.
    fn patience(&self) -> Option<u64> {
        if !self.todo.is_empty() || self.plan.has_more() {
            return Some(0);
        }
        let stopping = self.stopping.as_ref().and_then(Stopping::next);
        let wishes = [self.log_retry_at, self.watchdog_at, stopping, self.old.look_at_ms(), self.wake_ups.resume_at()];
        let at = wishes.into_iter().flatten().fold(self.library.attend_at(), i64::min);
        Some(u64::try_from(at.saturating_sub(clock::monotonic_ms())).unwrap_or(0))
    }

    /// Does what it is time for.
    fn keep_promises(&mut self) -> Result<(), Fatal> {
        let now = clock::monotonic_ms();
        if self.library.attend_at() <= now {
            let mut reloaded = false;
            self.with_library(|library, news| reloaded = library.attend(news));
            if reloaded {
                self.tell_state_to_manager("READY=1\n");
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
        self.attend_old_runners(now);
        self.resume_wake_ups(now);
        self.press_on_stopping(now);
        Ok(())
    }

    fn hear_clock(&mut self) -> Result<(), Fatal> {
        match self.timer.read().map_err(os("reading the clock's timer"))? {
            Rang::Nothing => {}
            Rang::Due | Rang::ClockSet => {
                self.armed = None;
                self.tell_plan(Event::Tick);
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
                Rang::ClockSet => self.tell_plan(Event::Tick),
                Rang::Due | Rang::Nothing => return Ok(()),
            }
        }
    }

    fn hear_signals(&mut self) -> Result<(), Fatal> {
        // A bounded number: somebody who keeps sending must not keep the clock waiting.
        for _ in 0..SIGNALS_A_TURN {
            let Some(heard) = self.signals.read().map_err(os("reading signals"))? else { break };
            self.debug(Topic::Other, || format!("signal: {heard:?}"));
            match heard {
                Heard::Reload => self.ask_for_reload(),
                Heard::Stop => self.begin_to_stop(),
                Heard::TellState => self.tell_state(),
                Heard::Child => {
                    // As PID 1 those are the machine's orphans, too. Jobs are the runner's children: no status of theirs is taken.
                    if reap().contains(&self.runner.pid()) {
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
            self.runner.reopen_log();
            self.old.for_each(OldRunner::reopen_log);
        }
    }

    pub(super) fn hear_runner(&mut self) -> Result<(), Fatal> {
        for notice in self.runner.receive()? {
            match notice {
                ExecutorEvent::Started { run, pid } => {
                    self.debug(Topic::Processes, || format!("run {} has process {pid}", run.0));
                    self.started_for_anacron(run, pid);
                }
                ExecutorEvent::Begun { runs } => self.tell_plan(Event::Begun(runs)),
                ExecutorEvent::Ended { run, end, duration_ms: _ } => self.ended(run, end),
            }
        }
        Ok(())
    }

    pub(super) fn ended(&mut self, run: RunId, end: RunOutcome) {
        self.debug(Topic::Processes, || format!("run {} ended: {end:?}", run.0));
        self.ended_for_anacron(run, &end);
        self.tell_plan(Event::Ended { run, end });
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
        self.runner.flush()?;
        let wants_to_write = self.runner.wants_to_write();
        if wants_to_write != self.writing {
            self.writing = wants_to_write;
            self.poll
                .want_writable(self.runner.descriptor(), number::RUNNER, wants_to_write)
                .map_err(os("waiting for the runner"))?;
        }
        if self.todo.is_empty() && !wants_to_write {
            self.record_completed();
        }
        Ok(())
    }

    fn start(&mut self, start: &RunRequest) {
        if self.settings.debug.has(Topic::Test) {
            self.tell_about(start, Level::Info, "TEST", " not started");
            self.ended(start.run, RunOutcome::Code(0));
            return;
        }
        self.debug_start(start);
        self.count_for_anacron(start);
        let tell_pid = self.settings.debug.has(Topic::Processes) || self.is_of_anacron(start.run);
        self.runner.start(start, tell_pid);
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
        self.tell_about(start, level, "SKIPPED", &format!(" {reason}{slots}"));
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

    /// What became of one due moment that the runner never heard of.
    pub(super) fn tell_about(&mut self, start: &RunRequest, level: Level, event: &str, rest: &str) {
        let backslash = self.settings.site.backslash;
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
            1 => ", 1 runner of an earlier daemon".to_owned(),
            count => format!(", {count} runners of earlier daemons"),
        };
        let state = format!("{}, {} started and not ended{waiting}{old}", self.state(), self.plan.running());
        self.say("STATE", &state);
        self.runner.log_state();
        self.old.for_each(OldRunner::log_state);
    }

    pub(super) fn state(&self) -> String {
        let summary = self.plan.summary();
        let next = summary.next_due.map_or_else(|| "nothing due".to_owned(), |due| format!("next due {due}"));
        let (tables, entries, timers) = (summary.tables, summary.entries, summary.timers);
        format!("{tables} tables, {entries} entries, {timers} timers, {next}")
    }

    /// The same for the service manager, behind what else there is to tell it.
    pub(super) fn tell_state_to_manager(&self, first: &str) {
        if self.manager.is_wanted() {
            self.manager.tell(&format!("{first}STATUS={}", self.state()));
        }
    }
}
