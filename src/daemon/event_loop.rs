//! The daemon itself: its one loop turns readiness into events for the plan and performs what the plan answers.

use super::database::CrontabDatabase;
use super::debug::{Debug, Topic};
use super::job_state::{JobStateStore, StateNews};
use super::state::{Daemon, Fatal, Stopping, now, number, os, reap};
use super::tables::{EventSink, LoadEvent, Told};
use crate::crontab::printable;
use crate::executor::{ExecutorEvent, LaunchError, OldExecutor};
use crate::report::{Ident, Level, Log, LogRecord, fields_of_start};
use crate::schedule::{Day, Timestamp, Zones};
use crate::scheduler::{
    Action, Event, Preparation, RunId, RunOutcome, RunRequest, RunResult, Scheduler, SkipReason, StampCause,
};
use crate::sys::clock;
use crate::sys::memory;
use crate::sys::signal::SignalEvent;
use crate::sys::timer::TimerEvent;
use std::collections::VecDeque;
use std::time::Duration;

/// Most actions performed in one turn of the loop: a burst of starts must not keep it from hearing anything else.
const ACTIONS_A_TURN: usize = 256;
/// Most signals heard in one turn; there are six kinds.
const SIGNALS_A_TURN: usize = 8;

/// Most things heard of in one turn.
const READY_A_TURN: usize = 32;
/// How long the end waits for a disk.
const STATE_FLUSH: Duration = Duration::from_secs(5);

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
    log.write(&LogRecord {
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
        let writable = self.log.writable().map_err(os("making the log's poll"))?;
        self.poll.add(writable, number::LOG).map_err(os("waiting for the log"))?;
        if let Some(mounts) = self.library.mount_table() {
            self.poll.add_for_exceptions(mounts, number::MOUNTS).map_err(os("waiting for mounts"))?;
        }
        if let Some(socket) = self.wake_ups.socket() {
            self.poll.add(socket, number::WAKE_UPS).map_err(os("waiting for messages of crontab"))?;
        }
        if let Some(store) = &self.job_state {
            self.poll
                .add(store.notifier(), number::JOB_STATE)
                .map_err(os("waiting for the thread that keeps state"))?;
        }
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
                    number::JOB_STATE => self.tell_job_state_news(),
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
            self.tell_lack_of_state();
        }
        if self.library.take_anacron_hint() {
            self.notify_scheduler(Event::AnacrontabChanged);
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
        let retry = self.plan.wake_at_elapsed_ms();
        let wishes =
            [retry, self.log_retry_at, self.watchdog_at, stopping, self.old.look_at_ms(), self.wake_ups.resume_at()];
        let at = wishes.into_iter().flatten().fold(self.library.next_deadline_ms(), i64::min);
        Some(u64::try_from(at.saturating_sub(clock::monotonic_ms())).unwrap_or(0))
    }

    /// Does what it is time for.
    fn run_timers(&mut self) -> Result<(), Fatal> {
        let now = clock::monotonic_ms();
        if self.plan.wake_at_elapsed_ms().is_some_and(|at| at <= now) {
            self.notify_scheduler(Event::Tick);
        }
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

    /// Reads messages of `crontab`, and no more of them for a moment.
    fn read_wake_ups(&mut self) {
        for (user, sender) in self.wake_ups.read() {
            self.library.note_wake_up(&user, sender);
        }
        if let Some(socket) = self.wake_ups.socket() {
            // It was added, so it can be removed.
            let _ = self.poll.remove(socket);
        }
        self.wake_ups.pause(clock::monotonic_ms());
    }

    /// Waits for messages again when the pause is over.
    fn resume_wake_ups(&mut self, now_ms: i64) {
        if self.wake_ups.take_resumption(now_ms)
            && let Some(socket) = self.wake_ups.socket()
            && self.poll.add(socket, number::WAKE_UPS).is_err()
        {
            // The kernel has no memory for it: the next attempt follows the next pause.
            self.wake_ups.pause(now_ms);
        }
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

    /// Arms the timer for what is due next. When the clock was set in this very moment something else may be next.
    fn arm(&mut self) -> Result<(), Fatal> {
        loop {
            let due = self.plan.wake_at();
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
                }
                ExecutorEvent::Begun { runs } => self.notify_scheduler(Event::Begun(runs)),
                ExecutorEvent::Ended(result) => self.ended(*result),
                // Nobody keeps the results of mails yet; the others are for the main that takes an executor over.
                ExecutorEvent::Mailed { .. }
                | ExecutorEvent::Hello { .. }
                | ExecutorEvent::Running { .. }
                | ExecutorEvent::Listed => {}
            }
        }
        Ok(())
    }

    pub(super) fn ended(&mut self, result: RunResult) {
        self.debug(Topic::Processes, || format!("run {} ended: {:?}", result.run.0, result.outcome));
        self.notify_scheduler(Event::RunEnded(Box::new(result)));
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
                Action::SaveState(change) => {
                    if let Some(store) = &mut self.job_state {
                        store.add(*change);
                    }
                }
                Action::End { .. } | Action::Record(_) | Action::Notice(_) => {}
                Action::ReadAnacrontab => self.load_anacrontab(),
                Action::AnacronJobDue { id, starts_at } => self.log_due_anacron_job(&id, starts_at),
                Action::PrepareAnacronJob { id } => self.prepare_anacron_job(&id),
                Action::WriteStamp { id, day, cause } => self.write_stamp(&id, day, cause),
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
        if let Some(store) = &mut self.job_state {
            store.commit();
        }
        Ok(())
    }

    fn start(&mut self, start: &RunRequest) {
        if self.settings.debug.has(Topic::Test) {
            self.log_run(start, Level::Info, "TEST", " not started");
            self.ended(RunResult::of_outcome(start.run, RunOutcome::Code(0), clock::wall_ms()));
            return;
        }
        self.debug_start(start);
        self.executor.start(start, self.settings.debug.has(Topic::Processes));
    }

    fn record_completed(&mut self) {
        if let Some(upto) = self.handing_out.take() {
            self.record_end(upto);
        }
    }

    pub(super) fn tell_skipped(&mut self, start: &RunRequest, why: SkipReason, count: u64, first: Timestamp) {
        let (level, reason) = match why {
            SkipReason::StillRunning => (Level::Warning, "the previous run is still running"),
            SkipReason::Calendar => (Level::Info, "the day is excepted"),
            SkipReason::Paused => (Level::Info, "the job is paused"),
            SkipReason::Superseded => (Level::Info, "superseded by a later slot while it waited for its start"),
            SkipReason::EntryRemoved => (Level::Info, "the entry was removed or changed while it waited for its start"),
            SkipReason::Stopped => (Level::Info, "the daemon was stopped while it waited for its start"),
        };
        let slots = if count == 1 { String::new() } else { format!(" ({count} slots since {first})") };
        self.log_run(start, level, "SKIPPED", &format!(" {reason}{slots}"));
    }

    fn reserve_runs(&mut self, upto: RunId) {
        if let Some(store) = &self.job_state {
            store.set_reserved(upto);
        }
        if let Some(record) = &self.completed
            && let Err(why) = record.write_reserved(upto)
        {
            self.warn(&format!("reserving run numbers: {why}"));
        }
    }

    fn tell_job_state_news(&mut self) {
        for news in self.job_state.as_ref().map(JobStateStore::take_news).unwrap_or_default() {
            self.tell_state_news(&news);
        }
    }

    pub(super) fn tell_state_news(&mut self, news: &StateNews) {
        match news {
            StateNews::Warning(text) => self.warn(text),
            StateNews::Info(text) => self.say("INFO", text),
        }
    }

    /// Says once that a standalone daemon without a state directory keeps nothing, if that matters to some entry.
    pub(super) fn tell_lack_of_state(&mut self) {
        if self.settings.is_standalone()
            && self.job_state.is_none()
            && !self.lack_of_state_told
            && self.plan.needs_saved_state()
        {
            self.lack_of_state_told = true;
            self.say("INFO", "no --state-dir: retries, catch-up and other state of jobs last as long as this process");
        }
    }

    /// Lets the state of jobs reach the disk, before this program ends.
    pub(super) fn flush_job_state(&mut self) {
        if let Some(store) = &mut self.job_state {
            store.flush(STATE_FLUSH);
        }
        self.tell_job_state_news();
    }

    fn tell_jump(&mut self, seconds: i64, made_up: usize) {
        let way = if seconds < 0 { "back" } else { "forward" };
        let detail = format!("the clock went {way} by {} s; {made_up} starts made up for", seconds.unsigned_abs());
        self.say("INFO", &detail);
    }

    /// Gives the scheduler the anacrontab and the stamps.
    pub(super) fn load_anacrontab(&mut self) {
        let Some(files) = &mut self.anacron else { return };
        let mut log_lines = Vec::new();
        let event = files.read(&self.settings, &mut log_lines);
        log_lines.iter().for_each(|line| tell(&mut self.log, line));
        self.notify_scheduler(event);
    }

    fn log_due_anacron_job(&mut self, id: &[u8], starts_at: Timestamp) {
        let zone = self.library.zones().system();
        let id = String::from_utf8_lossy(id);
        self.say("INFO", &format!("anacron job {id} is due, to start at {}", zone.to_rfc3339(starts_at)));
    }

    fn prepare_anacron_job(&mut self, id: &[u8]) {
        let prepared = self.anacron.as_ref().map_or(Ok(Preparation::NotOurs), |files| files.prepare(id));
        let preparation = prepared.unwrap_or_else(|why| {
            self.warn(&format!("{why}; the job is not started"));
            Preparation::Failed
        });
        self.notify_scheduler(Event::AnacronJobPrepared(preparation));
    }

    pub(super) fn write_stamp(&mut self, id: &[u8], day: Day, cause: StampCause) {
        if let Some(Err(why)) = self.anacron.as_ref().map(|files| files.write_stamp(id, day, cause)) {
            self.warn(&why.to_string());
        }
    }

    /// What became of one due moment that the executor never heard of.
    pub(super) fn log_run(&mut self, start: &RunRequest, level: Level, event: &str, rest: &str) {
        let backslash = self.settings.config.profile.backslash;
        let command = start.split(backslash).shell;
        let user = if start.user.is_empty() { &start.source.name } else { &start.user };
        let fields = fields_of_start(start, &command);
        self.log.write(&LogRecord {
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

    /// `(CRON) EVENT (DETAIL)`.
    pub(super) fn say(&mut self, event: &str, detail: &str) {
        self.log.write(&LogRecord::daemon(event, detail.as_bytes()));
    }

    /// The same when something is wrong.
    pub(super) fn warn(&mut self, detail: &str) {
        self.log.write(&LogRecord { level: Level::Warning, ..LogRecord::daemon("WARNING", detail.as_bytes()) });
    }

    /// Ends although nobody asked for it: says why, and takes the PID file away.
    pub fn die(&mut self, why: &Fatal) {
        self.flush_job_state();
        let detail = why.to_string();
        self.log.write(&LogRecord { level: Level::Error, ..LogRecord::daemon("DEATH", detail.as_bytes()) });
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

/// Debug lines.
impl Daemon {
    /// Writes a debug line about that topic, if it was asked for.
    fn debug(&mut self, topic: Topic, text: impl FnOnce() -> String) {
        self.settings.debug.tell(&mut self.log, topic, text);
    }

    /// Writes a debug line about what the timer waits for.
    fn debug_next(&mut self, due: Option<Timestamp>) {
        self.debug(Topic::Schedule, || due.map_or_else(|| "nothing due".to_owned(), |due| format!("next due {due}")));
        if self.settings.debug.has(Topic::Extended) {
            let state = self.state();
            self.debug(Topic::Schedule, || state);
        }
    }

    /// Writes a debug line about a job that is handed to the executor.
    fn debug_start(&mut self, start: &RunRequest) {
        self.debug(Topic::Processes, || {
            let (run, user, command) = (start.run.0, &start.user, printable(&start.command));
            format!("run {run} of {}:{} as {user}: {command}", start.source.path, start.line)
        });
    }
}
