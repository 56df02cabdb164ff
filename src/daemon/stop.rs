//! Coming to an end. The system's daemon leaves running jobs to its executor and ends at once; a standalone one, or one that is
//! the first process of a container, waits for them, since nobody would be left to.

use super::job_state::JobStateStore;
use super::settings::Settings;
use super::state::{Daemon, Fatal, Stopping, os, reap};
use crate::schedule::Timestamp;
use crate::scheduler::Event;
use crate::sys::clock;
use crate::sys::poll::Poll;

/// From TERM to KILL.
const KILL_AFTER_MS: i64 = 10_000;
/// How long an executor that is behind may take to be handed the last starts, and at the end to finish its output.
const LAST_WORDS_MS: i64 = 5000;

/// Whether running jobs are waited for.
fn waits_for_jobs(settings: &Settings) -> bool {
    settings.is_standalone() || std::process::id() == 1
}

impl Daemon {
    /// TERM or INT: nothing more starts. Told again, it no longer waits patiently.
    pub(super) fn begin_to_stop(&mut self) {
        let now_ms = clock::monotonic_ms();
        match self.stopping {
            None => {
                self.manager.tell("STOPPING=1");
                // Nothing more is started, here or by the executor; the record says from when on.
                let keeps_jobs = self.job_state.as_ref().is_some_and(JobStateStore::is_kept);
                self.notify_scheduler(Event::Stop { is_recorded: self.completed.is_some(), keeps_jobs });
                self.executor.stop_starting();
                self.stopping = Some(if waits_for_jobs(&self.settings) {
                    let poll_timeout = i64::try_from(self.settings.config.stop_timeout.as_millis()).unwrap_or(i64::MAX);
                    Stopping::Waiting(now_ms.saturating_add(poll_timeout))
                } else {
                    Stopping::AtOnce
                });
            }
            Some(Stopping::Waiting(_)) => self.stopping = Some(Stopping::Waiting(now_ms)),
            Some(Stopping::AtOnce | Stopping::Asked(_) | Stopping::Killed) => {}
        }
    }

    /// Ends jobs whose time is over.
    pub(super) fn advance_stop(&mut self, now_ms: i64) {
        match self.stopping {
            Some(Stopping::Waiting(at)) if at <= now_ms => {
                let jobs = self.plan.running();
                if jobs > 0 {
                    let (noun, them) = if jobs == 1 { ("job", "it") } else { ("jobs", "them") };
                    self.warn(&format!("{jobs} {noun} still running; terminating {them}"));
                    self.end_all_jobs(false);
                }
                self.stopping = Some(Stopping::Asked(now_ms + KILL_AFTER_MS));
            }
            Some(Stopping::Asked(at)) if at <= now_ms => {
                self.end_all_jobs(true);
                self.stopping = Some(Stopping::Killed);
            }
            _ => {}
        }
    }

    fn end_all_jobs(&mut self, hard: bool) {
        self.executor.end_all(hard);
        self.old.end_all(hard);
    }

    /// Whether all that was to be waited for has come to its end.
    pub(super) fn has_stopped(&self) -> bool {
        match self.stopping {
            None => false,
            Some(Stopping::AtOnce) => true,
            Some(Stopping::Waiting(_) | Stopping::Asked(_) | Stopping::Killed) => {
                self.todo.is_empty() && self.plan.running() == 0
            }
        }
    }

    /// Hands over what is left, records it, and puts everything away.
    pub(super) fn finish(&mut self) -> Result<(), Fatal> {
        let give_up_at = clock::monotonic_ms() + LAST_WORDS_MS;
        self.hand_over(give_up_at)?;
        // Ends that it has told already are told to no later daemon, and an anacron job needs its stamp. One that is gone tells nothing.
        if self.handle_executor().is_ok() {
            self.perform()?;
        }
        let handed_over = self.todo.is_empty() && !self.executor.wants_to_write();
        if handed_over {
            self.record_end(self.plan.completed());
        } else {
            self.warn("the executor did not take the last starts in time");
        }
        if waits_for_jobs(&self.settings) {
            self.wait_for_executor(give_up_at)?;
        }
        self.flush_job_state();
        // cronie's words; Debian's cron ends without a line, which leaves a reader of the log guessing.
        self.say("INFO", "Shutting down");
        self.log.flush();
        if let Some(lock) = &self.lock {
            lock.remove_pid_file();
        }
        Ok(())
    }

    fn hand_over(&mut self, give_up_at: i64) -> Result<(), Fatal> {
        loop {
            self.perform()?;
            let left = give_up_at - clock::monotonic_ms();
            if self.todo.is_empty() && !self.executor.wants_to_write() || left <= 0 {
                return Ok(());
            }
            if self.todo.is_empty() {
                self.poll.wait_for_any(Some(left.unsigned_abs())).map_err(os("waiting for the executor"))?;
                self.handle_executor()?;
            }
        }
    }

    pub(super) fn record_end(&mut self, upto: Timestamp) {
        if let Some(store) = &mut self.job_state {
            store.set_handled(upto);
        }
        if let Some(record) = &self.completed
            && let Err(why) = record.write(upto)
        {
            self.warn(&format!("writing what was started: {why}"));
        }
    }

    /// Lets the executor pass on the last output of the last job.
    fn wait_for_executor(&mut self, give_up_at: i64) -> Result<(), Fatal> {
        let pid = self.executor.pid();
        self.executor.close()?;
        // Nothing else is heard any more.
        let poll = Poll::new().map_err(os("making the event queue"))?;
        poll.add(self.executor.descriptor(), 0).map_err(os("waiting for the executor"))?;
        poll.add(&self.signals, 1).map_err(os("waiting for signals"))?;
        while !reap().contains(&pid) && !self.executor.is_done() {
            let left = give_up_at - clock::monotonic_ms();
            if left <= 0 {
                break;
            }
            poll.wait_for_any(Some(left.unsigned_abs())).map_err(os("waiting for the executor"))?;
            while let Ok(Some(_)) = self.signals.read() {}
        }
        Ok(())
    }
}
