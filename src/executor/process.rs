//! The executor process: starts the jobs that main requests, reads their output within limits, reaps them, has their output mailed and
//! reports their results to main. It has one thread and one event loop, in which nothing blocks.
//!
//! | file | content |
//! |---|---|
//! | this file | the event loop |
//! | `state`, `context` | the executor's state, and the part of it that all files use |
//! | `mains`, `requests` | the connection to a main; its requests and the events that it gets |
//! | `queued_bytes` | how much output is queued for a main that does not read |
//! | `follow_output`, `followers` | output of running jobs for a main that follows it |
//! | `signals` | signals to the processes of a job that a main requests |
//! | `starts`, `start` | starts that wait; making a start: user, limits, process |
//! | `start_limiter` | how many processes are being started at once |
//! | `pam`, `pam_jobs` | the template process; jobs that need a PAM session |
//! | `running`, `children` | the running jobs; the child processes |
//! | `cgroups` | the cgroups of jobs, and those that are to be removed |
//! | `finish` | reading output, and what follows from the end of a job |
//! | `job_endings`, `endings` | jobs that are being ended, and the walks over their processes |
//! | `late_jobs`, `late` | jobs that have ended and whose background processes still write |
//! | `ended_run`, `kept_output`, `ended_output` | runs that have ended, their output while it is kept, and its mail |
//! | `follow_ups`, `run_follow_ups` | hooks and pings that wait and run; their starts and ends |
//! | `mail` | mailers and the mails that wait for one |
//! | `run_journal` | the journal of runs, for a later main |

mod cgroups;
mod children;
mod context;
mod ended_output;
mod ended_run;
mod endings;
mod finish;
mod follow_output;
mod follow_ups;
mod followers;
mod job_endings;
mod kept_output;
mod late;
mod late_jobs;
mod mail;
mod mains;
mod pam;
mod pam_jobs;
mod queued_bytes;
mod requests;
mod run_follow_ups;
mod run_journal;
mod running;
mod signals;
mod start;
mod start_limiter;
mod starts;
mod state;

use super::config::ExecutorConfig;
use super::job::{Stream, usage_of};
use super::job_log::JobLogger;
use super::relay::Relay;
use crate::profile::Profile;
use crate::report::{Level, format_count};
use crate::sys::clock;
use crate::sys::contract::FreshChild;
use crate::sys::descriptor;
use crate::sys::error::os;
use crate::sys::memory;
use crate::sys::process;
use crate::sys::signal::SignalEvent;
use children::Child;
use context::{EventSource, ExecutorError, of_token};
use state::ExecutorState;
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Retry interval for a standard output that accepted nothing.
const RELAY_MS: i64 = 20;
/// Maximum number of events that one iteration of the loop handles.
const READY_A_TURN: usize = 64;

/// Runs the executor after its fork and returns its exit status.
pub(super) fn run(child: FreshChild, config: ExecutorConfig, socket: OwnedFd, journal: Option<File>) -> i32 {
    let left = leave_main(&child, config.profile.profile(), &socket, journal.as_ref());
    // The log is opened only now, since all descriptors of main have been closed.
    let mut log = JobLogger::new(&config);
    let done = left
        .and_then(|()| ExecutorState::new(child.finish(), config, socket, journal))
        .and_then(|mut state| state.serve());
    match done {
        Ok(()) => 0,
        Err(error) => {
            log.own(Level::Error, "ERROR", &format!("the executor ends: {error}"));
            1
        }
    }
}

/// Leaves main's session, closes its descriptors and resets its signals.
fn leave_main(
    child: &FreshChild,
    profile: &Profile,
    socket: &OwnedFd,
    journal: Option<&File>,
) -> Result<(), ExecutorError> {
    // A session of its own keeps the signals of the terminal away. A new child does not lead a group yet, so this cannot fail.
    process::new_session().map_err(os("leaving the session"))?;
    process::default_signals();
    process::block_signals().map_err(os("blocking signals"))?;
    let kept: Vec<BorrowedFd<'_>> = [socket.as_fd()].into_iter().chain(journal.map(File::as_fd)).collect();
    descriptor::close_from(child, 3, &kept).map_err(os("closing descriptors"))?;
    process::set_name(&CString::new(format!("{}: executor", profile.daemon_tag)).unwrap_or_default());
    Ok(())
}

impl ExecutorState {
    fn serve(&mut self) -> Result<(), ExecutorError> {
        self.cgroups.begin(&mut self.context);
        memory::trim_memory();
        while self.mains.has_own() || !self.is_idle() {
            let timeout = self.timeout(clock::monotonic_ms());
            for ready in self.context.poll.wait::<READY_A_TURN>(timeout).map_err(os("waiting"))? {
                if let Some((kind, id)) = of_token(ready) {
                    self.ready(kind, id)?;
                }
            }
            let now = clock::monotonic_ms();
            self.end_graces(now);
            self.proceed_with_endings(now);
            self.mains.resume_listener(&self.context, now);
            if self.starts.users.give_up(now) {
                self.stop_waiting_for_identities();
            }
            self.stop_waiting_for_later_main(now);
            self.mails.end_overdue(now);
            self.follow_ups.end_overdue(now);
            self.start_pending(now)?;
            // The end of a run is recorded before a mailer or a hook says it to anybody: if this process is killed then, the next main knows it.
            self.journal.flush(&mut self.context);
            self.mails.send_queued(&mut self.context, &mut self.children, now);
            self.start_follow_ups(now);
            self.context.log.flush();
            self.flush_relay();
            self.report_begun(now);
            self.journal.flush(&mut self.context);
            self.flush_main()?;
            if !self.mains.has_own() && self.has_no_work() {
                self.mains.close_own();
            }
        }
        self.finish_mains();
        Ok(())
    }

    /// Whether no job, mail, start or line of output is left.
    fn has_no_work(&self) -> bool {
        let mails = self.mails.waiting() + self.mails.mailers();
        let follow_ups = self.follow_ups.len();
        // The processes of its own runs are among the running jobs.
        let endings = self.endings.of_job.len();
        self.starts.len() + mails + follow_ups + self.jobs.running.len() + endings == 0
            && self.jobs.relay.as_ref().is_none_or(Relay::is_empty)
    }

    /// Whether, in addition, no background process of an ended job can write any more (one that writes to a closed pipe is killed by that), and
    /// no output waits for a later main.
    fn is_idle(&self) -> bool {
        self.has_no_work() && self.late.jobs.is_empty() && !self.kept.holds_output()
    }

    /// Milliseconds until the next timed work. None if there is none.
    fn timeout(&self, now_ms: i64) -> Option<u64> {
        let log = self.context.log.retry_ms().map(|ms| now_ms + ms);
        let relay = self.jobs.relay.as_ref().is_some_and(|relay| !relay.is_empty()).then_some(now_ms + RELAY_MS);
        [
            self.jobs.graces.first().map(|(until, _)| *until),
            self.starts.users.next_deadline(),
            self.starts.next_start(now_ms),
            self.starts.report_processes_ms,
            self.mails.next_ms(),
            self.follow_ups.next_ms(),
            self.kept.undecided_until_ms.filter(|_| self.kept.holds_output()),
            self.mains.listen_at_ms(),
            self.endings.next_ms(now_ms),
            log,
            relay,
        ]
        .into_iter()
        .flatten()
        .min()
        .map(|until| u64::try_from(until.saturating_sub(now_ms)).unwrap_or(0))
    }

    fn ready(&mut self, kind: EventSource, id: u64) -> Result<(), ExecutorError> {
        match kind {
            EventSource::Main => self.handle_main()?,
            EventSource::Signals => self.handle_signals()?,
            EventSource::Reports => self.take_reports(),
            EventSource::Log => self.context.log.handle_writable(),
            EventSource::Output => self.drain(id, Stream::Output),
            EventSource::Error => self.drain(id, Stream::Error),
            EventSource::Feed => self.feed(id),
            EventSource::LookUp => {
                if self.starts.users.read_answer(id) {
                    self.stop_waiting_for_identities();
                }
            }
            EventSource::MailFeed => self.mails.feed(id),
            EventSource::FollowUpFeed => self.follow_ups.feed(id),
            EventSource::FollowUpOutput => self.follow_ups.read(&self.context, id),
            EventSource::Cgroup => self.cgroups.check(&self.context, id),
            EventSource::PamMonitor => self.handle_monitor(id),
            EventSource::Listener => self.accept_main()?,
        }
        Ok(())
    }

    fn log_state(&mut self) {
        let state = [
            format_count(self.jobs.running.len(), "job", "jobs"),
            format_count(self.mails.mailers(), "mailer", "mailers"),
            format_count(self.mails.waiting(), "mail", "mails") + " waiting for a mailer",
        ];
        self.context.log.own(Level::Info, "STATE", &format!("executor: {}", state.join(", ")));
    }

    fn handle_signals(&mut self) -> Result<(), ExecutorError> {
        let mut children = false;
        while let Some(signal) = self.signals.read().map_err(os("reading signals"))? {
            match signal {
                SignalEvent::Child => children = true,
                // An executor ends with its last job, and its main decides about that.
                SignalEvent::Stop => self.stop_holding_output(),
                SignalEvent::Reload | SignalEvent::LogState => {}
            }
        }
        if children {
            while let Some(pid) = process::ended_child() {
                // A child writes its report before it ends, so the report has arrived. The process id still belongs to that child.
                self.take_reports();
                let (status, used) = process::wait_with_usage(pid).map_err(os("waiting for a child"))?;
                match self.children.remove(&pid) {
                    Some(Child::Job(id)) => {
                        self.leader_ended(id, Some((status, usage_of(used))), clock::monotonic_ms())
                    }
                    Some(Child::Mailer(id)) => self.mailer_ended(id, status),
                    Some(Child::FollowUp(id)) => self.follow_up_ended(id, Some(status)),
                    // A user lookup, or an orphan that this process has adopted.
                    None => {}
                }
            }
        }
        Ok(())
    }
}
