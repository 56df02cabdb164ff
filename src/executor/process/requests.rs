//! Handles the requests of a main and sends it events.

use super::context::ExecutorError;
use super::mains::Connection;
use super::state::ExecutorState;
use crate::executor::job::Job;
use crate::executor::wire::{EndMethod, ExecutorEvent, ExecutorRequest, RunOfJob};
use crate::report::Level;
use crate::scheduler::{MailResult, RunId, RunRequest, RunResult};
use crate::sys::clock;
use crate::sys::process::Ask;

impl ExecutorState {
    /// Handles the requests of the connected main.
    pub(super) fn handle_main(&mut self) -> Result<(), ExecutorError> {
        let is_open = self.mains.fill().unwrap_or(false);
        while let Some(request) = self.mains.next_request()? {
            let may_start = self.mains.has_own();
            match request {
                ExecutorRequest::Hello { protocol } => self.take_version(protocol),
                ExecutorRequest::Start { start, wants_pid } if may_start => self.take_start(start, wants_pid),
                ExecutorRequest::Start { .. } => {}
                ExecutorRequest::FollowUp(follow_up) if may_start => self.take_follow_up(follow_up),
                ExecutorRequest::FollowUp(_) => {}
                ExecutorRequest::Conclude { run, is_mailed } => self.conclude(run, is_mailed),
                ExecutorRequest::StopStarting => self.stop_starting(),
                ExecutorRequest::FollowOutput { run, follower } => self.follow_output(run, follower),
                ExecutorRequest::StopFollowing { follower } => self.mains.stop_following(follower),
                ExecutorRequest::Signal { run, signal } => self.signal_run(run, signal),
                ExecutorRequest::ReportProcesses => self.report_processes(),
                ExecutorRequest::ExtendRuns { runs, end_by_ms } => self.extend_runs(&runs, end_by_ms),
                ExecutorRequest::End { run, why } => self.end_run(run, why, clock::monotonic_ms()),
                ExecutorRequest::EndLost { run, processes, grace_s } => {
                    self.end_lost(run, processes, grace_s, clock::monotonic_ms());
                }
                ExecutorRequest::EndAll(EndMethod::WithGrace) => self.end_all(Ask::Terminate),
                ExecutorRequest::EndAll(EndMethod::AtOnce) => self.end_all(Ask::Kill),
                ExecutorRequest::LogState => self.log_state(),
                ExecutorRequest::ReopenLog => self.context.log.reopen(),
            }
        }
        if !is_open {
            self.lose_main();
        }
        Ok(())
    }

    fn lose_main(&mut self) {
        let could_decide = self.mains.has_later_of_same_version();
        match self.mains.lose(&self.context) {
            Connection::OwnLost => {
                self.stop_starting();
                self.keep_for_later_main(clock::monotonic_ms());
            }
            Connection::LaterLost if could_decide => self.expect_later_main(clock::monotonic_ms()),
            Connection::LaterLost | Connection::Open => {}
        }
    }

    /// Handles the version of a later main. A main of the same version gets the processes of the running jobs.
    fn take_version(&mut self, protocol: u32) {
        if self.mains.set_version(protocol) {
            self.expect_later_main(clock::monotonic_ms());
            let running = self.jobs.running.values().filter(|job| job.result.is_none());
            self.starts.new_processes = running.filter_map(Job::run_process).collect();
            self.report_processes();
        } else {
            // That main does not know the request with which it would decide.
            self.decide_alone();
        }
    }

    /// Reports to main which starts have been begun, so that it can request others. Which processes have been started is reported with that or
    /// with another event, or when it has waited for a second: most jobs have ended by then, and main need not be woken twice.
    pub(super) fn report_begun(&mut self, now_ms: i64) {
        let has_queued_events = self.mains.wants_to_write();
        let has_waited = self.starts.report_processes_ms.is_some_and(|until| until <= now_ms);
        if !self.starts.begun.is_empty() || !self.starts.new_processes.is_empty() && (has_queued_events || has_waited) {
            self.report_processes();
        }
    }

    fn report_processes(&mut self) {
        let runs = std::mem::take(&mut self.starts.begun);
        let processes = std::mem::take(&mut self.starts.new_processes);
        self.starts.report_processes_ms = None;
        self.mains.send_to_same_version(&ExecutorEvent::Accepted { runs, processes });
    }

    /// Records the result of a run and sends it to this main or the next one.
    pub(super) fn report_end(&mut self, result: RunResult) {
        self.journal.journal().ended(&result);
        self.starts.new_processes.retain(|process| process.run != result.run);
        if self.starts.new_processes.is_empty() {
            self.starts.report_processes_ms = None;
        }
        self.mains.report(ExecutorEvent::Ended(Box::new(result)));
    }

    /// Records that the end of a run is logged and its output has been handled.
    pub(super) fn report_mail(&mut self, run: RunId, mail: MailResult) {
        self.journal.journal().reported(run, mail.clone());
        if mail != MailResult::NotWanted {
            self.mains.report(ExecutorEvent::Mailed { run, mail });
        }
    }

    /// Sends queued events to the connected main without blocking.
    pub(super) fn flush_main(&mut self) -> Result<(), ExecutorError> {
        if let Some(why) = self.mains.take_queue_error() {
            self.context.log.own(Level::Warning, "WARNING", &format!("an event was not sent to the daemon: {why}"));
        }
        if self.mains.flush(&self.context, &mut self.journal).is_err() {
            // Requests that the main sent before may still be in the socket.
            self.handle_main()?;
            if self.mains.has_own() {
                self.lose_main();
            }
            self.mains.forget_peer();
        }
        Ok(())
    }

    /// Accepts connections of later mains. While the executor's own main is connected, no other main can be a later one.
    pub(super) fn accept_main(&mut self) -> Result<(), ExecutorError> {
        while let Some(socket) = self.mains.accept(&self.context) {
            self.handle_main()?;
            if self.mains.has_own() {
                continue;
            }
            // The main reads the journal after it has received the list of runs.
            self.journal.flush(&mut self.context);
            let running = self.jobs.running.values().filter(|job| job.result.is_none()).map(|job| {
                let RunRequest { run, scheduled_at, .. } = *job.start;
                (RunOfJob { run, job: job.start.job.clone(), scheduled_at, cause: None }, job.pid.unwrap_or(0))
            });
            // A main whose greeting fails connects again.
            let _ = self.mains.greet(&self.context, socket, running);
        }
        Ok(())
    }

    /// Ends every job and gives up starts that are waiting.
    fn end_all(&mut self, ask: Ask) {
        self.end_all_jobs(ask, clock::monotonic_ms());
        self.end_follow_ups(ask);
        self.stop_starting();
    }

    /// Begins the journal and the socket for later mains, if they do not exist yet.
    pub(super) fn begin_journal(&mut self) {
        if let Some(listener) = self.journal.begin(&mut self.context) {
            self.mains.listen_on(listener);
        }
    }

    /// Sends the last results and writes the journal, before the executor ends.
    pub(super) fn finish_mains(&mut self) {
        let _ = self.flush_main();
        self.mains.note_unsent(&mut self.journal);
        self.journal.flush(&mut self.context);
    }
}
