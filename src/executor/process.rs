//! The executor process: starts jobs as told, drains their output within bounds, reaps them, has their output mailed, tells main what became of
//! them. One thread, one loop, and nothing in it waits for anybody.

mod children;
mod context;
mod finish;
mod late;
mod late_jobs;
mod mail;
mod mains;
mod pam;
mod pam_jobs;
mod requests;
mod run_journal;
mod running;
mod start;
mod start_limiter;
mod starts;
mod state;

use super::config::Config;
use super::job::{Stream, usage_of};
use super::job_log::JobLogger;
use super::relay::Relay;
use crate::profile::Profile;
use crate::report::Level;
use crate::sys::clock;
use crate::sys::descriptor;
use crate::sys::memory;
use crate::sys::process;
use crate::sys::signal::SignalEvent;
use children::Child;
use context::{ExecutorError, Kind, of_token, os};
use state::ExecutorState;
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub(super) use state::caller;

/// How soon a standard output that took nothing is tried again.
const RELAY_MS: i64 = 20;
/// Most things heard of in one turn of the loop.
const READY_A_TURN: usize = 64;

/// The executor, from its fork to its end; gives its exit status.
pub(super) fn run(config: Config, socket: OwnedFd, journal: Option<File>) -> i32 {
    let left = leave_main(config.profile.profile(), &socket, journal.as_ref());
    // Only now: what main had open is closed.
    let mut log = JobLogger::new(&config);
    let done = left.and_then(|()| ExecutorState::new(config, socket, journal)).and_then(|mut state| state.serve());
    match done {
        Ok(()) => 0,
        Err(error) => {
            log.own(Level::Error, "ERROR", &format!("the executor ends: {error}"));
            1
        }
    }
}

/// Leaves everything behind that is main's: its terminal, descriptors and signals.
fn leave_main(site: &Profile, socket: &OwnedFd, journal: Option<&File>) -> Result<(), ExecutorError> {
    // Its own session keeps the terminal's signals away. A fresh child leads no group yet, so this cannot fail.
    process::new_session().map_err(os("leaving the session"))?;
    process::default_signals();
    process::block_signals().map_err(os("blocking signals"))?;
    let kept: Vec<BorrowedFd<'_>> = [socket.as_fd()].into_iter().chain(journal.map(File::as_fd)).collect();
    descriptor::close_from(3, &kept).map_err(os("closing descriptors"))?;
    process::set_name(&CString::new(format!("{}: executor", site.daemon_tag)).unwrap_or_default());
    Ok(())
}

impl ExecutorState {
    fn serve(&mut self) -> Result<(), ExecutorError> {
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
            self.mains.resume_listener(&self.context, now);
            if self.starts.users.give_up(now) {
                self.stop_waiting_for_identities();
            }
            self.mails.end_overdue(now);
            self.start_pending(now)?;
            self.mails.send_queued(&mut self.context, &mut self.children, now);
            self.context.log.flush();
            self.flush_relay();
            self.report_begun();
            self.journal.flush(&mut self.context);
            self.flush_main()?;
            if !self.mains.has_own() && self.has_no_work() {
                self.mains.close_own();
            }
        }
        self.finish_mains();
        Ok(())
    }

    /// Whether no job, no mail, no start and no line of output is left.
    fn has_no_work(&self) -> bool {
        let mails = self.mails.waiting() + self.mails.mailers();
        self.starts.len() + mails + self.jobs.running.len() == 0 && self.jobs.relay.as_ref().is_none_or(Relay::is_empty)
    }

    /// Whether no background process of an ended job can write any more, either: one that does when nobody reads is killed by that.
    fn is_idle(&self) -> bool {
        self.has_no_work() && self.late.jobs.is_empty()
    }

    /// How long nothing has to be done unless something becomes ready.
    fn timeout(&self, now_ms: i64) -> Option<u64> {
        let log = self.context.log.retry_ms().map(|ms| now_ms + ms);
        let relay = self.jobs.relay.as_ref().is_some_and(|relay| !relay.is_empty()).then_some(now_ms + RELAY_MS);
        [
            self.jobs.graces.first().map(|(until, _)| *until),
            self.starts.users.next_deadline(),
            self.starts.next_start(now_ms),
            self.mails.next_ms(),
            self.mains.listen_at_ms(),
            log,
            relay,
        ]
        .into_iter()
        .flatten()
        .min()
        .map(|until| u64::try_from(until.saturating_sub(now_ms)).unwrap_or(0))
    }

    fn ready(&mut self, kind: Kind, id: u64) -> Result<(), ExecutorError> {
        match kind {
            Kind::Main => self.handle_main()?,
            Kind::Signals => self.handle_signals()?,
            Kind::Reports => self.take_reports(),
            Kind::Log => self.context.log.handle_writable(),
            Kind::Output => self.drain(id, Stream::Output),
            Kind::Error => self.drain(id, Stream::Error),
            Kind::Feed => self.feed(id),
            Kind::LookUp => {
                if self.starts.users.read_answer(id) {
                    self.stop_waiting_for_identities();
                }
            }
            Kind::MailFeed => self.mails.feed(id),
            Kind::PamMonitor => self.handle_monitor(id),
            Kind::Listener => self.accept_main()?,
        }
        Ok(())
    }

    /// Writes what is going on to the log.
    fn log_state(&mut self) {
        let count = |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
        let state = [
            count(self.jobs.running.len(), "job", "jobs"),
            count(self.mails.mailers(), "mailer", "mailers"),
            count(self.mails.waiting(), "mail", "mails") + " waiting for a mailer",
        ];
        self.context.log.own(Level::Info, "STATE", &format!("executor: {}", state.join(", ")));
    }

    fn handle_signals(&mut self) -> Result<(), ExecutorError> {
        let mut children = false;
        // TERM and the like are meant for main: an executor ends with its last job.
        while let Some(heard) = self.signals.read().map_err(os("reading signals"))? {
            children |= heard == SignalEvent::Child;
        }
        if children {
            while let Some(pid) = process::ended_child() {
                // A child's report is written before its end, so it is here by now; and the id is still that child's.
                self.take_reports();
                let (status, used) = process::wait_with_usage(pid).map_err(os("waiting for a child"))?;
                match self.children.remove(&pid) {
                    Some(Child::Job(id)) => self.job_ended(id, Some((status, usage_of(used)))),
                    Some(Child::Mailer(id)) => self.mailer_ended(id, status),
                    // A look-up, or an orphan that was given to us.
                    None => {}
                }
            }
        }
        Ok(())
    }
}
