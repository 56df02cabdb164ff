//! The event loop: turns ready event sources and expired timers into events for the scheduler, and carries out its actions.

use super::database::CrontabDatabase;
use super::debug::{Debug, Topic};
use super::job_state::{JobStateStore, StateLogLine};
use super::load_event::{EventSink, LoadEvent, LogLine};
use super::old_executors::{LostRunProcesses, RequestedEnd};
use super::reactor::Interest;
use super::state::{Daemon, Fatal, HeldReport, SchedulerDriver, Stopping, reap};
use crate::crontab::printable;
use crate::executor::{ExecutorEvent, ExecutorLinkError, OldExecutor};
use crate::report::{Ident, Level, Log, LogRecord, fields_of_start, format_count};
use crate::schedule::{Timestamp, Zone, Zones};
use crate::scheduler::{
    Absence, Action, AtStop, EndReason, EntryWarning, Event, FollowUp, Outcome, RunId, RunOutcome, RunRequest,
    RunResult, RunRules, SkipReason, StateChange,
};
use crate::sys::clock;
use crate::sys::error::os;
use crate::sys::files::reason;
use crate::sys::memory;
use crate::sys::signal::SignalEvent;
use crate::sys::timer::TimerEvent;
use std::sync::Arc;
use std::time::Duration;

/// Most actions carried out in one turn of the loop, so that a burst of starts does not delay other events.
const ACTIONS_A_TURN: usize = 256;
/// Most signals read in one turn; there are six kinds.
const SIGNALS_A_TURN: usize = 8;
/// The least time between two logs of the state. Each asks the executor, and starts behind many such requests would be late.
const STATE_LOG_MS: i64 = 1_000;

/// How long the end of the program waits for the state of jobs to be on the disk.
const STATE_FLUSH: Duration = Duration::from_secs(5);

/// Something that the loop does at moments of its own, without an event source.
struct TimedTask {
    /// When there is something to do next (milliseconds of the monotonic clock).
    next_ms: fn(&Daemon) -> Option<i64>,
    /// Does what is due at a moment of that clock. It is called in each turn of the loop.
    run: fn(&mut Daemon, i64),
}

/// All timed tasks, in the order in which they are done. A new one has a row here, and no other place in the loop.
const TIMED_TASKS: [TimedTask; 11] = [
    TimedTask { next_ms: |daemon| Some(daemon.database.next_deadline_ms()), run: Daemon::run_database },
    TimedTask { next_ms: |daemon| daemon.timers.watchdog_at, run: Daemon::feed_watchdog },
    TimedTask { next_ms: |daemon| daemon.timers.log_state_at, run: Daemon::log_requested_state },
    TimedTask { next_ms: |daemon| daemon.timers.log_retry_at, run: Daemon::flush_log },
    TimedTask { next_ms: |daemon| daemon.driver.scheduler.wake_at_elapsed_ms(), run: Daemon::wake_scheduler },
    TimedTask {
        next_ms: |daemon| daemon.control.next_deadline_ms(daemon.database.has_scheduled_reload()),
        run: Daemon::advance_control,
    },
    TimedTask { next_ms: |daemon| daemon.history.deadline_ms(), run: Daemon::run_history },
    TimedTask { next_ms: Daemon::fleet_deadline_ms, run: Daemon::run_fleet },
    TimedTask { next_ms: |daemon| daemon.executors.old.check_at_ms(), run: Daemon::check_old_executors },
    TimedTask { next_ms: |daemon| daemon.files.wake_ups.resume_at(), run: Daemon::resume_wake_ups },
    TimedTask { next_ms: |daemon| daemon.stopping.as_ref().and_then(Stopping::next), run: Daemon::advance_stop },
];

/// Forwards load events to the scheduler and the log.
struct LoadEventForwarder<'a> {
    driver: &'a mut SchedulerDriver,
    log: &'a mut Log,
    debug: Debug,
    /// Whether an event was forwarded.
    has_changes: bool,
    /// Whether a table was loaded or removed.
    has_loaded: bool,
}

impl EventSink for LoadEventForwarder<'_> {
    fn push(&mut self, event: LoadEvent) {
        self.has_changes = true;
        self.debug.log_load_event(self.log, &event);
        self.has_loaded |= matches!(event, LoadEvent::Load { .. } | LoadEvent::Unload { .. });
        match event {
            LoadEvent::Load { source, table } => self.driver.handle(Event::Load { source, table }),
            LoadEvent::Unload { path } => self.driver.handle(Event::Unload { path }),
            LoadEvent::SystemZone(zone) => self.driver.handle(Event::SystemZone(zone)),
            LoadEvent::Calendars(calendars) => self.driver.handle(Event::Calendars(calendars)),
            LoadEvent::Log(line) => write_line(self.log, &line),
        }
    }
}

fn write_line(log: &mut Log, line: &LogLine) {
    let number = line.line.map(|number| ("line", number.into()));
    let fields: Vec<(&'static str, serde_json::Value)> = number.into_iter().collect();
    log.write(&LogRecord {
        ident: Ident::Daemon,
        level: line.level,
        pid: None,
        user: &line.user,
        event: &line.event,
        detail: line.detail.as_bytes(),
        rest: &line.rest,
        run: None,
        fields: &fields,
    });
}

impl Daemon {
    /// Adds the permanent event sources. To be called once.
    pub(super) fn add_sources(&mut self) -> Result<(), Fatal> {
        use Interest::{Exception, Readable};
        let (reactor, sources) = (&mut self.reactor, &self.sources);
        reactor
            .add(&self.driver.timer, Readable, |daemon, _| daemon.handle_timer())
            .map_err(os("waiting for the clock"))?;
        reactor
            .add(&sources.signals, Readable, |daemon, _| daemon.handle_signals())
            .map_err(os("waiting for signals"))?;
        let log = self.log.writable().map_err(os("making the log's poll"))?;
        reactor
            .add(log, Readable, |daemon, _| {
                daemon.log.handle_writable();
                Ok(())
            })
            .map_err(os("waiting for the log"))?;
        if let Some(mounts) = self.database.mount_table() {
            reactor
                .add(mounts, Exception, |daemon, _| {
                    daemon.database.handle_mount_change();
                    Ok(())
                })
                .map_err(os("waiting for mounts"))?;
        }
        if self.files.wake_ups.socket().is_some() {
            self.add_wake_ups().map_err(os("waiting for messages of crontab"))?;
        }
        self.add_control().map_err(os("waiting for the control socket"))?;
        Ok(self
            .reactor
            .add_as(self.sources.executor, self.executors.current.descriptor(), Readable, |daemon, _| {
                daemon.handle_executor()
            })
            .map_err(os("waiting for the executor"))?)
    }

    fn add_wake_ups(&mut self) -> std::io::Result<()> {
        let Some(socket) = self.files.wake_ups.socket() else { return Ok(()) };
        self.reactor.add_as(self.sources.wake_ups, socket, Interest::Readable, |daemon, _| {
            daemon.read_wake_ups();
            Ok(())
        })
    }

    /// Adds what the database waits for, as far as it is new: the watcher, and the lookup of users.
    fn add_database_sources(&mut self) {
        if let Some(watcher) = self.database.watcher() {
            // A watcher that was added already is refused, which changes nothing. A dropped one leaves the epoll set as its descriptors are closed.
            let _ = self.reactor.add_as(self.sources.watcher, watcher.notifier(), Interest::Readable, |daemon, _| {
                daemon.database.handle_changes();
                Ok(())
            });
        }
        if let Some(answer) = self.database.start_user_lookup() {
            // Without the answer, the crontabs that wait for it wait for the next scan.
            let _ = self.reactor.add_as(self.sources.user_lookup, answer, Interest::Readable, |daemon, _| {
                daemon.with_database(|database, _| database.handle_user_lookup());
                Ok(())
            });
        }
    }

    /// Runs until the daemon is to stop.
    ///
    /// # Errors
    ///
    /// The executor is lost, or a system call fails without which the loop cannot go on.
    pub fn run(&mut self) -> Result<(), Fatal> {
        loop {
            self.run_timers();
            if self.driver.actions.is_empty() && self.driver.scheduler.has_more() {
                self.driver.handle(Event::Tick);
            }
            self.perform()?;
            self.arm()?;
            if self.has_stopped() {
                return self.finish();
            }
            let timeout = self.poll_timeout();
            if timeout != Some(0) && std::mem::take(&mut self.has_spare_memory) {
                memory::trim_memory();
            }
            for token in self.reactor.wait(timeout).map_err(os("waiting"))? {
                if let Some(handler) = self.reactor.handler(token) {
                    handler(self, token)?;
                }
            }
        }
    }

    /// Lets the database do something, and forwards the load events that come of it.
    pub(super) fn with_database(&mut self, act: impl FnOnce(&mut CrontabDatabase, &mut dyn EventSink)) {
        let (driver, log, debug) = (&mut self.driver, &mut self.log, self.settings.debug);
        let mut forwarder = LoadEventForwarder { driver, log, debug, has_changes: false, has_loaded: false };
        act(&mut self.database, &mut forwarder);
        let LoadEventForwarder { has_changes, has_loaded, .. } = forwarder;
        if has_loaded {
            self.metrics.note_load(clock::wall_ms());
        }
        // What a table needed while it was read, and what a former one held, would else stay with the process.
        self.has_spare_memory |= has_changes;
        if has_changes && self.stopping.is_none() {
            self.report_status("");
            self.log_lack_of_state();
        }
        if self.database.take_anacron_change() {
            self.driver.handle(Event::AnacrontabChanged);
        }
        self.add_database_sources();
    }

    /// How many milliseconds the loop may wait.
    fn poll_timeout(&self) -> Option<u64> {
        if self.driver.has_work() {
            return Some(0);
        }
        let at = TIMED_TASKS.iter().filter_map(|timed| (timed.next_ms)(self)).min()?;
        Some(u64::try_from(at.saturating_sub(clock::monotonic_ms())).unwrap_or(0))
    }

    fn run_timers(&mut self) {
        let now_ms = clock::monotonic_ms();
        TIMED_TASKS.iter().for_each(|timed| (timed.run)(self, now_ms));
    }

    fn run_database(&mut self, now_ms: i64) {
        if self.database.next_deadline_ms() <= now_ms {
            let mut reloaded = false;
            self.with_database(|database, events| reloaded = database.run_timers(events));
            if reloaded {
                self.report_status("READY=1\n");
            }
        }
    }

    fn feed_watchdog(&mut self, now_ms: i64) {
        if self.timers.watchdog_at.is_some_and(|at| at <= now_ms) {
            self.files.manager.send("WATCHDOG=1");
            self.timers.watchdog_at = self.files.manager.watchdog_ms().and_then(|ms| now_ms.checked_add_unsigned(ms));
        }
    }

    fn log_requested_state(&mut self, now_ms: i64) {
        if self.timers.log_state_at.is_some_and(|at| at <= now_ms) {
            (self.timers.log_state_at, self.timers.state_logged_at) = (None, now_ms);
            self.log_state();
        }
    }

    fn flush_log(&mut self, now_ms: i64) {
        if self.timers.log_retry_at.is_none_or(|at| at <= now_ms) {
            self.log.flush();
            self.timers.log_retry_at = self.log.retry_ms().map(|ms| now_ms.saturating_add(ms));
        }
    }

    fn wake_scheduler(&mut self, now_ms: i64) {
        if self.driver.scheduler.wake_at_elapsed_ms().is_some_and(|at| at <= now_ms) {
            self.driver.handle(Event::Tick);
        }
    }

    /// Reads messages of `crontab`, and no more of them for a moment.
    fn read_wake_ups(&mut self) {
        for (user, sender) in self.files.wake_ups.read() {
            self.database.handle_wake_up(&user, sender);
        }
        if let Some(socket) = self.files.wake_ups.socket() {
            self.reactor.remove(socket, self.sources.wake_ups);
        }
        self.files.wake_ups.pause(clock::monotonic_ms());
    }

    /// Waits for messages again after the pause.
    fn resume_wake_ups(&mut self, now_ms: i64) {
        if self.files.wake_ups.take_resumption(now_ms) && self.add_wake_ups().is_err() {
            // The kernel has no memory for it. The next attempt follows the next pause.
            self.files.wake_ups.pause(now_ms);
        }
    }

    fn handle_timer(&mut self) -> Result<(), Fatal> {
        match self.driver.timer.read().map_err(os("reading the clock's timer"))? {
            TimerEvent::Nothing => {}
            TimerEvent::Due | TimerEvent::ClockSet => {
                self.driver.armed_for = None;
                self.driver.handle(Event::Tick);
            }
        }
        Ok(())
    }

    /// Arms the timer for the next due moment, again if the clock was set meanwhile, as another one may be next then.
    fn arm(&mut self) -> Result<(), Fatal> {
        loop {
            let due = self.driver.scheduler.wake_at();
            if due == self.driver.armed_for && due.is_some() {
                return Ok(());
            }
            self.driver.armed_for = due;
            self.debug_next(due);
            match self.driver.timer.arm(due.map(|due| due.0)).map_err(os("arming the clock's timer"))? {
                TimerEvent::ClockSet => self.driver.handle(Event::Tick),
                TimerEvent::Due | TimerEvent::Nothing => return Ok(()),
            }
        }
    }

    fn handle_signals(&mut self) -> Result<(), Fatal> {
        // A limited number, so that a flood of signals does not delay due jobs.
        for _ in 0..SIGNALS_A_TURN {
            let Some(signal) = self.sources.signals.read().map_err(os("reading signals"))? else { break };
            self.debug(Topic::Other, || format!("signal: {signal:?}"));
            match signal {
                SignalEvent::Reload => self.ask_for_reload(),
                SignalEvent::Stop => self.begin_to_stop(),
                SignalEvent::LogState => {
                    self.timers.log_state_at.get_or_insert(self.timers.state_logged_at + STATE_LOG_MS);
                }
                SignalEvent::Child => {
                    // For PID 1 these include the machine's orphans. Jobs are children of the executor and keep their status.
                    if reap().contains(&self.executors.current.pid()) {
                        return Err(ExecutorLinkError::Gone.into());
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn ask_for_reload(&mut self) {
        if self.stopping.is_none() && self.database.ask_for_reload() {
            self.metrics.note_load(clock::wall_ms());
            self.files.manager.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", clock::monotonic_us()));
            self.log.reopen();
            self.executors.current.reopen_log();
            self.executors.old.for_each(OldExecutor::reopen_log);
        }
    }

    pub(super) fn handle_executor(&mut self) -> Result<(), Fatal> {
        for event in self.executors.current.receive()? {
            self.handle_executor_event(event);
        }
        Ok(())
    }

    /// Handles an event of this daemon's executor, or one of an earlier daemon's that is about output or processes.
    pub(super) fn handle_executor_event(&mut self, event: ExecutorEvent) {
        match event {
            ExecutorEvent::Started { run, pid } => {
                self.debug(Topic::Processes, || format!("run {} has process {pid}", run.0));
            }
            ExecutorEvent::Accepted { runs, processes } => {
                for of in &processes {
                    self.runs.set_process(of.run, of.pid, of.started_at_ms);
                    self.measure_delay(of.run, of.started_at_ms);
                    self.record_process(of.run, of.started_at_ms);
                }
                self.driver.handle(Event::Accepted(runs));
            }
            ExecutorEvent::Ended(result) => self.handle_result(*result),
            ExecutorEvent::Mailed { run, mail } => self.record_mail(run, &mail),
            ExecutorEvent::FollowedUp { run, what, how, output } => self.record_follow_up(run, &what, &how, &output),
            ExecutorEvent::KeptOutput { run, head, tail, cut } => self.record_output(run, head, &tail, cut),
            ExecutorEvent::OutputPart { follower, stream, skipped, data, is_end } => {
                self.send_output_part(follower, stream, skipped, data, is_end);
            }
            // Answers to a daemon that takes an executor over.
            ExecutorEvent::Hello { .. } | ExecutorEvent::Running { .. } | ExecutorEvent::Listed => {}
        }
    }

    /// Counts how late the process of a first attempt was started.
    fn measure_delay(&mut self, run: RunId, started_at_ms: i64) {
        if let Some(run) = self.runs.get(run).filter(|run| run.attempt <= 1) {
            self.metrics.note_delay(&run.job, started_at_ms - run.scheduled_at.saturating_mul(1_000));
        }
    }

    /// Counts what a run has used that has ended.
    pub(super) fn measure_run(&mut self, result: &RunResult) {
        let Some(run) = self.runs.get(result.run) else { return };
        let is_start_known = run.started_at_ms.is_some();
        self.metrics.note_usage(&run.job, result);
        // The end of a short run may be reported before its begin.
        if let Some(started_at_ms) = result.started_at_ms.filter(|_| !is_start_known) {
            self.measure_delay(result.run, started_at_ms);
        }
    }

    /// Carries out a limited number of the scheduler's actions, and records what has been started.
    pub(super) fn perform(&mut self) -> Result<(), Fatal> {
        for _ in 0..ACTIONS_A_TURN {
            let Some(action) = self.driver.actions.pop_front() else { break };
            match action {
                Action::Start(mut start) => self.start(&mut start),
                Action::Skipped { start, why, count, first } => {
                    self.record_skipped(&start, why, count, first);
                    self.metrics.note_slots(&start.job, &Outcome::Skipped(why), first.0, count);
                    self.publish_skipped(&start, why);
                    self.log_skipped(&start, why, count, first);
                }
                Action::ReserveRuns(upto) => self.reserve_runs(upto),
                Action::Completed(upto) => self.driver.pending_completed = Some(upto),
                Action::Jumped { seconds, caught_up } => self.log_clock_jump(seconds, caught_up),
                Action::WasAway(absence) => self.log_absence(absence),
                Action::WarnOfEntry(warning) => self.log_entry_warning(&warning),
                Action::End { run, why } => self.end_run(run, why),
                Action::FollowUp(follow_up) => self.follow_up(&follow_up),
                Action::Conclude { run, is_mailed } => {
                    // An executor ignores runs that are not its own.
                    self.executors.current.conclude(run, is_mailed);
                    self.executors.old.for_each(|executor| executor.conclude(run, is_mailed));
                }
                Action::SaveState(change) => self.save_state(*change),
                Action::Record(record) => self.report_unless_held(HeldReport::Decided(record)),
                Action::UpdateRow(record) => {
                    self.metrics.note_outcome(&record);
                    self.record_outcome(&record);
                }
                Action::Notice(notice) => self.publish_notice(&notice),
                Action::ReadAnacrontab => self.load_anacrontab(),
                Action::AnacronJobDue { id, starts_at } => self.log_due_anacron_job(&id, starts_at),
                Action::PrepareAnacronJob { id } => self.prepare_anacron_job(&id),
                Action::WriteStamp { id, day, cause } => self.write_stamp(&id, day, cause),
                Action::Fleet(request) => self.request_of_fleet(&request),
                Action::ExtendRuns { runs, end_by_ms } => {
                    self.executors.old.for_each(|executor| executor.extend(runs.clone(), end_by_ms));
                    self.executors.current.extend(runs, end_by_ms);
                }
            }
        }
        self.flush_fleet();
        // Before the executor gets the start, so that the history knows every run.
        self.flush_history();
        if let Some(why) = self.executors.current.take_queue_error() {
            self.warn(&format!("a request to the executor was not sent: {why}"));
        }
        self.executors.current.flush()?;
        let wants_to_write = self.executors.current.wants_to_write();
        if wants_to_write != self.executors.is_writing {
            self.executors.is_writing = wants_to_write;
            self.reactor
                .set_writable(self.executors.current.descriptor(), self.sources.executor, wants_to_write)
                .map_err(os("waiting for the executor"))?;
        }
        self.commit_job_state();
        // A record that is ahead of the state of jobs would have a crash lose the slots between.
        if self.driver.actions.is_empty()
            && !wants_to_write
            && self.driver.pending_completed.is_some()
            && self.is_state_written()
        {
            self.record_completed();
            self.commit_job_state();
        }
        Ok(())
    }

    fn start(&mut self, start: &mut RunRequest) {
        self.record_start(start);
        if self.settings.debug.has(Topic::Test) {
            self.log_run(start, Level::Info, "TEST", " not started");
            self.handle_result(RunResult::of_outcome(start.run, RunOutcome::Code(0), clock::wall_ms()));
            return;
        }
        self.debug_start(start);
        self.note_start(start);
        if let Err(error) = self.executors.current.start(start, self.settings.debug.has(Topic::Processes)) {
            let why = format!("requesting its start: {error}");
            self.log_run(start, Level::Warning, "NOT STARTED", &format!(": {why}"));
            let outcome = RunOutcome::NotStarted { why };
            self.handle_result(RunResult::of_outcome(start.run, outcome, clock::wall_ms()));
            return;
        }
        if start.trigger.is_manual() {
            self.follow_run_by_hand(start);
        }
    }

    /// Has a run ended by the executor that it belongs to.
    fn end_run(&mut self, run: RunId, why: EndReason) {
        match self.executors.old.end_run(run, why) {
            RequestedEnd::Sent => {}
            RequestedEnd::Lost(left) => self.end_lost_run(left),
            RequestedEnd::NotTheirs(why) => self.executors.current.end(run, why),
            RequestedEnd::OtherVersion => {
                let detail = format!("run {} is not ended: its executor is of another version of this program", run.0);
                self.warn(&detail);
            }
        }
    }

    /// Has the processes ended that an executor has left.
    pub(super) fn end_lost_run(&mut self, LostRunProcesses { run, processes }: LostRunProcesses) {
        let known = self.driver.scheduler.find_jobs([&run.job]);
        let grace_s = known.get(&run.job).map_or_else(RunRules::default, |start| start.rules.clone()).grace;
        self.executors.current.end_lost(run.run, processes, grace_s);
    }

    /// Has a hook run, or a web service called.
    fn follow_up(&mut self, follow_up: &FollowUp<Box<RunRequest>>) {
        if !self.settings.debug.has(Topic::Test)
            && let Err(why) = self.executors.current.follow_up(follow_up)
        {
            self.warn(&format!("a hook or a web service of {} is not called: {why}", follow_up.start.job));
        }
    }

    fn record_completed(&mut self) {
        if let Some(upto) = self.driver.pending_completed.take() {
            self.record_end(upto);
        }
    }

    pub(super) fn log_skipped(&mut self, start: &RunRequest, why: SkipReason, count: u64, first: Timestamp) {
        let (level, reason) = match why {
            SkipReason::StillRunning => (Level::Warning, "the previous run is still running"),
            SkipReason::Calendar => (Level::Info, "the day is excepted"),
            SkipReason::Paused => (Level::Info, "the job is paused"),
            SkipReason::EngineAway => (Level::Warning, "the engine of the fleet cannot be reached"),
            SkipReason::Superseded => (Level::Info, "superseded by a later slot while it waited for its start"),
            SkipReason::EntryRemoved => (Level::Info, "the entry was removed or changed while it waited for its start"),
            SkipReason::Stopped => (Level::Info, "the daemon was stopped while it waited for its start"),
        };
        let slots = if count == 1 { String::new() } else { format!(" ({count} slots since {first})") };
        self.log_run(start, level, "SKIPPED", &format!(" {reason}{slots}"));
    }

    fn reserve_runs(&mut self, upto: RunId) {
        if let Some(store) = &self.files.job_state {
            store.set_reserved(upto);
        }
        if let Some(record) = &self.files.record
            && let Err(why) = record.write_reserved(upto)
        {
            self.warn(&format!("reserving run numbers: {}", reason(&why)));
        }
    }

    /// Keeps a change of the state of a job, from the end of this turn of the loop on.
    pub(super) fn save_state(&mut self, change: StateChange) {
        if let Some(store) = &mut self.files.job_state {
            store.add(change);
        }
    }

    /// Hands the changes of this turn over to the thread that keeps state.
    fn commit_job_state(&mut self) {
        if let Some(store) = &mut self.files.job_state {
            store.commit();
        }
    }

    /// Whether the next daemon finds what was handed over of the state of jobs, or never will.
    pub(super) fn is_state_written(&self) -> bool {
        self.files.job_state.as_ref().is_none_or(JobStateStore::is_written)
    }

    /// Whether the next daemon will find the state of jobs.
    pub(super) fn state_at_stop(&self) -> AtStop {
        match &self.files.job_state {
            Some(store) if store.is_kept() => AtStop::LeaveToNext,
            Some(_) | None => AtStop::Skip,
        }
    }

    /// Why the next daemon will not find the state of jobs. None: it will.
    pub(super) fn lack_of_state(&self) -> Option<String> {
        match &self.files.job_state {
            Some(store) => store.failure(),
            None => Some(self.files.why_no_state.clone()),
        }
    }

    /// Handles what the thread that keeps state has reported.
    pub(super) fn handle_job_state(&mut self) {
        let Some(store) = &self.files.job_state else { return };
        let (log_lines, stamp_results) = store.take_reports();
        log_lines.iter().for_each(|line| self.log_state_line(line));
        stamp_results.into_iter().for_each(|result| self.finish_stamp_task(result));
    }

    pub(super) fn log_state_line(&mut self, line: &StateLogLine) {
        match line {
            StateLogLine::Warning(text) => self.warn(text),
            StateLogLine::Info(text) => self.log_event("INFO", text),
        }
    }

    /// Logs once that a standalone daemon without a state directory keeps nothing, if that matters to some entry.
    pub(super) fn log_lack_of_state(&mut self) {
        let is_missed = self.settings.is_standalone()
            && self.files.job_state.is_none()
            && self.driver.scheduler.needs_saved_state();
        if is_missed && !self.is_lack_of_state_logged {
            self.is_lack_of_state_logged = true;
            let detail = "no --state-dir: retries, catch-up and other state of jobs last as long as this process";
            self.log_event("INFO", detail);
        }
    }

    /// Waits, for a limited time, until the state of jobs and stamps are on the disk, before this program ends.
    pub(super) fn flush_job_state(&mut self) {
        if let Some(store) = &mut self.files.job_state {
            store.flush(STATE_FLUSH);
        }
        self.handle_job_state();
        // The program ends. A stamp that could not be written in time must not make the history lose the end of its job.
        self.release_reports();
    }

    /// Writes a line that a load of crontabs or of the anacrontab has led to.
    pub(super) fn log_line(&mut self, line: &LogLine) {
        write_line(&mut self.log, line);
    }

    /// The system's time zone as it was read last.
    pub(super) fn zone_of_system(&self) -> Arc<Zone> {
        self.database.zones().system()
    }

    fn log_clock_jump(&mut self, seconds: i64, caught_up: usize) {
        let direction = if seconds < 0 { "back" } else { "forward" };
        let starts = if caught_up == 1 { "1 missed start is" } else { &format!("{caught_up} missed starts are") };
        let detail = format!("the clock went {direction} by {} s; {starts} caught up", seconds.unsigned_abs());
        self.log_event("INFO", &detail);
    }

    fn log_entry_warning(&mut self, EntryWarning { source, line, message }: &EntryWarning) {
        let line = LogLine {
            level: Level::Warning,
            user: source.name.clone(),
            event: "WARNING".into(),
            detail: format!("{}:{line}: {message}", source.path),
            rest: String::new(),
            line: usize::try_from(*line).ok(),
        };
        write_line(&mut self.log, &line);
    }

    fn log_absence(&mut self, Absence { seconds, slots, is_more, started }: Absence) {
        let more = if is_more { "more than " } else { "" };
        let passed = if slots == 1 { "1 slot passed".to_owned() } else { format!("{more}{slots} slots passed") };
        let starts = match started {
            0 => "none of them is".to_owned(),
            1 => "1 of them is".to_owned(),
            several => format!("{several} of them are"),
        };
        self.log_event("INFO", &format!("no daemon ran for {seconds} s; {passed}, {starts} started now"));
    }

    /// Writes a line about a run that is not in the executor's hands: skipped, lost, or not started.
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

    /// Writes the line `(CRON) EVENT (DETAIL)`.
    pub(super) fn log_event(&mut self, event: &str, detail: &str) {
        self.log.write(&LogRecord::daemon(event, detail.as_bytes()));
    }

    /// Writes the line `(CRON) WARNING (DETAIL)`.
    pub(super) fn warn(&mut self, detail: &str) {
        self.log.write(&LogRecord { level: Level::Warning, ..LogRecord::daemon("WARNING", detail.as_bytes()) });
    }

    /// Logs why the daemon ends although no stop was requested, and removes the PID file.
    pub fn die(&mut self, why: &Fatal) {
        self.flush_job_state();
        let detail = why.to_string();
        self.log.write(&LogRecord { level: Level::Error, ..LogRecord::daemon("DEATH", detail.as_bytes()) });
        self.log.flush();
        if let Some(lock) = &self.files.lock {
            lock.remove_pid_file();
        }
    }

    /// Writes a line about the state of the daemon, after USR1.
    fn log_state(&mut self) {
        let waiting = match self.driver.scheduler.waiting() {
            0 => String::new(),
            count => format!(", {count} due and not started"),
        };
        let old = match self.executors.old.len() {
            0 => String::new(),
            1 => ", 1 executor of an earlier daemon".to_owned(),
            count => format!(", {count} executors of earlier daemons"),
        };
        let state =
            format!("{}, {} started and not ended{waiting}{old}", self.state(), self.driver.scheduler.running());
        self.log_event("STATE", &state);
        self.executors.current.log_state();
        self.executors.old.for_each(OldExecutor::log_state);
    }

    /// The loaded crontabs and the next due moment in words.
    pub(super) fn state(&self) -> String {
        let summary = self.driver.scheduler.summary();
        let next = summary.next_due.map_or_else(|| "nothing due".to_owned(), |due| format!("next due {due}"));
        let tables = format_count(summary.tables, "table", "tables");
        let entries = format_count(summary.entries, "entry", "entries");
        let timers = format_count(summary.timers, "timer", "timers");
        format!("{tables}, {entries}, {timers}, {next}")
    }

    /// Sends the state to the service manager, after the assignments in `first`.
    pub(super) fn report_status(&self, first: &str) {
        if self.files.manager.is_wanted() {
            self.files.manager.send(&format!("{first}STATUS={}", self.state()));
        }
    }
}

/// Lines about what the daemon does, for `-x`.
impl Daemon {
    /// Writes a debug line about that topic, if it was asked for.
    pub(super) fn debug(&mut self, topic: Topic, text: impl FnOnce() -> String) {
        self.settings.debug.log(&mut self.log, topic, text);
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
