//! Shutdown. The system's daemon leaves running jobs to its executor and ends at once. A standalone daemon, or one that is the first process of a
//! container, waits for them, as nothing would be left to do so.

use super::settings::Settings;
use super::state::{Daemon, Fatal, Stopping, reap};
use crate::executor::EndMethod;
use crate::report::format_count;
use crate::schedule::{Timestamp, duration_text};
use crate::scheduler::{AtStop, Event, RunRules};
use crate::sys::clock;
use crate::sys::error::os;
use crate::sys::files::reason;
use crate::sys::poll::Poll;

/// The time from TERM to KILL. Milliseconds.
const KILL_AFTER_MS: i64 = 10_000;
/// How long the executor may take to receive the last starts and to finish its output. Milliseconds.
const FINISH_MS: i64 = 5000;
/// Most jobs that are named when a shutdown waits for them.
const MOST_NAMED: usize = 5;
/// How long an executor may take to end once it has closed its end. Milliseconds.
const EXIT_MS: i64 = 500;

/// Whether running jobs are waited for.
fn waits_for_jobs(settings: &Settings) -> bool {
    settings.is_standalone() || std::process::id() == 1
}

impl Daemon {
    /// Begins to stop after TERM or INT: nothing more is started. A second signal ends the wait for running jobs.
    pub(super) fn begin_to_stop(&mut self) {
        let now_ms = clock::monotonic_ms();
        match self.stopping {
            None => {
                self.files.manager.send("STOPPING=1");
                // The scheduler and the executor start nothing more, and the record says from when on.
                let queue = if self.files.record.is_some() { AtStop::LeaveToNext } else { AtStop::Skip };
                self.driver.handle(Event::Stop { queue, jobs: self.state_at_stop() });
                self.executors.current.stop_starting();
                self.stopping = Some(if waits_for_jobs(&self.settings) {
                    self.log_wait();
                    let timeout_ms = i64::try_from(self.settings.config.stop_timeout.as_millis()).unwrap_or(i64::MAX);
                    Stopping::Waiting(now_ms.saturating_add(timeout_ms))
                } else {
                    Stopping::AtOnce
                });
            }
            Some(Stopping::Waiting(_)) => self.stopping = Some(Stopping::Waiting(now_ms)),
            Some(Stopping::AtOnce | Stopping::Terminating(_) | Stopping::Killed) => {}
        }
    }

    /// Logs what the shutdown waits for.
    fn log_wait(&mut self) {
        let mut names: Vec<&str> = self.runs.iter().map(|(_, run)| run.job.name()).collect();
        let jobs = names.len();
        if jobs == 0 {
            return;
        }
        names.truncate(MOST_NAMED);
        let more = if jobs > MOST_NAMED { format!(" and {} more", jobs - MOST_NAMED) } else { String::new() };
        let (jobs, them) = (format_count(jobs, "job", "jobs"), if jobs == 1 { "it" } else { "them" });
        let seconds = u32::try_from(self.settings.config.stop_timeout.as_secs()).unwrap_or(u32::MAX);
        let text = format!(
            "stopping: waiting up to {} for {jobs} to end: {}{more}; a second signal terminates {them} at once",
            duration_text(seconds),
            names.join(", ")
        );
        self.log_event("INFO", &text);
    }

    /// Terminates the running jobs when their time has expired, and kills them when that did not help.
    pub(super) fn advance_stop(&mut self, now_ms: i64) {
        match self.stopping {
            Some(Stopping::Waiting(at)) if at <= now_ms => {
                let jobs = self.driver.scheduler.running();
                if jobs > 0 {
                    let (noun, them) = if jobs == 1 { ("job", "it") } else { ("jobs", "them") };
                    self.warn(&format!("{jobs} {noun} still running; terminating {them}"));
                    self.end_jobs(EndMethod::WithGrace);
                }
                self.stopping = Some(Stopping::Terminating(now_ms + KILL_AFTER_MS));
            }
            Some(Stopping::Terminating(at)) if at <= now_ms => {
                self.end_jobs(EndMethod::AtOnce);
                self.stopping = Some(Stopping::Killed);
            }
            _ => {}
        }
    }

    fn end_jobs(&mut self, method: EndMethod) {
        let grace_s = match method {
            EndMethod::WithGrace => RunRules::default().grace,
            EndMethod::AtOnce => 0,
        };
        self.driver.scheduler.note_end_of_all();
        self.executors.current.end_all(method);
        for lost in self.executors.old.end_all(method) {
            self.executors.current.end_lost(lost.run.run, lost.processes, grace_s);
        }
    }

    /// Whether nothing is left to wait for.
    pub(super) fn has_stopped(&self) -> bool {
        match self.stopping {
            None => false,
            Some(Stopping::AtOnce) => true,
            Some(Stopping::Waiting(_) | Stopping::Terminating(_) | Stopping::Killed) => {
                self.driver.actions.is_empty() && self.driver.scheduler.running() == 0
            }
        }
    }

    /// Passes the last starts to the executor, records them, and removes the PID file.
    pub(super) fn finish(&mut self) -> Result<(), Fatal> {
        let give_up_at = clock::monotonic_ms() + FINISH_MS;
        self.hand_over(give_up_at)?;
        // Results that the executor has sent are sent to no later daemon, and an anacron job needs its stamp. A lost executor sends nothing more.
        if self.handle_executor().is_ok() {
            self.perform()?;
        }
        let handed_over = self.driver.actions.is_empty() && !self.executors.current.wants_to_write();
        self.flush_job_state();
        if !handed_over {
            self.warn("the executor did not take the last starts in time");
        } else if self.is_state_written() {
            self.record_end(self.driver.scheduler.completed());
        } else {
            // The record must not be ahead of the state.
            self.warn("the state of jobs was not written in time");
        }
        if waits_for_jobs(&self.settings) {
            self.wait_for_executor(give_up_at)?;
        }
        self.flush_job_state();
        self.history.end(waits_for_jobs(&self.settings));
        self.log_history();
        // As cronie does. Debian's cron logs nothing, so that its log does not show whether it was stopped.
        self.log_event("INFO", "Shutting down");
        self.log.flush();
        if let Some(lock) = &self.files.lock {
            lock.remove_pid_file();
        }
        Ok(())
    }

    fn hand_over(&mut self, give_up_at: i64) -> Result<(), Fatal> {
        loop {
            self.perform()?;
            let left = give_up_at - clock::monotonic_ms();
            if self.driver.actions.is_empty() && !self.executors.current.wants_to_write() || left <= 0 {
                return Ok(());
            }
            if self.driver.actions.is_empty() {
                self.reactor.wait_for_any(Some(left.unsigned_abs())).map_err(os("waiting for the executor"))?;
                self.handle_executor()?;
            }
        }
    }

    pub(super) fn record_end(&mut self, upto: Timestamp) {
        if let Some(store) = &mut self.files.job_state {
            store.set_handled(upto);
        }
        if let Some(record) = &self.files.record
            && let Err(why) = record.write(upto)
        {
            self.warn(&format!("writing what was started: {}", reason(&why)));
        }
    }

    /// Waits until the executor has passed on the output of the last job.
    fn wait_for_executor(&mut self, give_up_at: i64) -> Result<(), Fatal> {
        let pid = self.executors.current.pid();
        self.executors.current.close()?;
        // Other event sources are not handled any more.
        let poll = Poll::new().map_err(os("making the event queue"))?;
        poll.add(self.executors.current.descriptor(), 0).map_err(os("waiting for the executor"))?;
        poll.add(&self.sources.signals, 1).map_err(os("waiting for signals"))?;
        let (mut give_up_at, mut is_done) = (give_up_at, false);
        while !reap().contains(&pid) {
            // An executor that has closed its end mostly ends at once; it stays only for the output of background processes.
            if !is_done && self.executors.current.is_done() {
                is_done = true;
                poll.remove(self.executors.current.descriptor()).map_err(os("waiting for the executor"))?;
                give_up_at = give_up_at.min(clock::monotonic_ms() + EXIT_MS);
            }
            let left = give_up_at - clock::monotonic_ms();
            if left <= 0 {
                break;
            }
            poll.wait_for_any(Some(left.unsigned_abs())).map_err(os("waiting for the executor"))?;
            while let Ok(Some(_)) = self.sources.signals.read() {}
        }
        Ok(())
    }
}
