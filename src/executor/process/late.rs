//! Late output: what background processes of a job write after its command has ended. It is read until they close the pipe, so that writing
//! neither blocks nor kills them.

use super::context::job_ref;
use super::late_jobs::LateOutput;
use super::mail;
use super::state::ExecutorState;
use crate::executor::job::{Job, Stream};
use crate::executor::output::Output;
use crate::executor::owner::OwnerKey;
use crate::report::Level;
use crate::sys::clock;
use std::collections::BTreeSet;

/// How long a mail waits for late output, if the profile does so.
const LONGEST_WAIT_MS: i64 = 3_600_000;
/// Maximum number of bytes of one run's late output that are logged.
const MOST_LOGGED: usize = 1 << 20;
/// Maximum number of ended jobs of one owner whose pipes are kept open.
const MOST_LATE: usize = 1000;
/// Closing pipes is logged again once an owner has had no more ended jobs than this with open pipes.
const CALM: usize = MOST_LATE / 2;
/// Maximum length of a line. Longer lines are logged in pieces.
const LONGEST_LINE: usize = 64 << 10;

impl ExecutorState {
    /// Delays the mail of a job until its pipes are closed, but no longer than an hour.
    pub(super) fn wait_with_mail(&mut self, id: u64, job: Job, history: Option<Output>) {
        let until_ms = clock::monotonic_ms() + LONGEST_WAIT_MS;
        self.jobs.graces.insert((until_ms, id));
        self.limit_late_jobs(&job.owner);
        self.late.of_owner.entry(job.owner.clone()).or_default().insert(id);
        self.late.jobs.insert(id, LateOutput { mail_until_ms: Some(until_ms), ..LateOutput::new(job, history) });
    }

    /// Continues to read the output of background processes of a job whose mail is being sent or that has none.
    pub(super) fn read_on(&mut self, id: u64, job: Job, history: Option<Output>) {
        let is_mailed_without = mail::is_wanted(&self.context, &job);
        self.limit_late_jobs(&job.owner);
        self.late.of_owner.entry(job.owner.clone()).or_default().insert(id);
        self.late.jobs.insert(id, LateOutput { is_mailed_without, ..LateOutput::new(job, history) });
    }

    /// Handles late output. In standalone mode the relay has it already.
    pub(super) fn take_late_output(&mut self, id: u64, bytes: &[u8]) {
        let Some(late) = self.late.jobs.get_mut(&id) else { return };
        if let Some(history) = &mut late.history {
            history.output.push(bytes, &late.job.owner, &mut self.memory.output);
        }
        if late.mail_until_ms.is_some() {
            let owner = late.job.owner.clone();
            late.job.output.push(bytes, &owner, &mut self.memory.output);
        } else if self.context.config.output_to_log {
            let is_short = !self.memory.output.has_capacity(&late.job.owner, bytes.len());
            self.memory.output.take(&late.job.owner, bytes.len());
            late.line.extend_from_slice(bytes);
            self.log_lines(id, is_short);
        } else if late.is_mailed_without && !late.has_logged {
            late.has_logged = true;
            let command = late.job.command(self.context.profile);
            let job_ref = job_ref(&late.job, &command);
            let detail = b"processes in the background still write after the command's end: that is not mailed";
            self.context.log.record(job_ref, Level::Info, "MAIL", detail, "");
        }
    }

    /// Logs complete lines of late output, and with `even_unended` also an incomplete last line.
    fn log_lines(&mut self, id: u64, even_unended: bool) {
        let Some(late) = self.late.jobs.get_mut(&id) else { return };
        let whole = match memchr::memrchr(b'\n', &late.line) {
            _ if even_unended => late.line.len(),
            Some(end) => end + 1,
            None if late.line.len() > LONGEST_LINE => late.line.len(),
            None => return,
        };
        let begun = late.line.split_off(whole);
        let lines = std::mem::replace(&mut late.line, begun);
        self.memory.output.give_back(&late.job.owner, lines.len());
        let before = late.logged;
        late.logged = before.saturating_add(lines.len());
        let command = late.job.command(self.context.profile);
        let job_ref = job_ref(&late.job, &command);
        if late.logged <= MOST_LOGGED {
            self.context.log.output(job_ref, &lines);
        } else if before <= MOST_LOGGED {
            self.context.log.output(job_ref, b"[... further output of processes in the background is not logged ...]");
        }
    }

    /// Forgets a job whose last background process has closed its output. A mail that has waited for that is sent.
    pub(super) fn end_late_if_silent(&mut self, id: u64) {
        if !self.late.jobs.get(&id).is_some_and(|late| late.job.is_silent()) {
            return;
        }
        if self.late.jobs.get(&id).is_some_and(|late| !late.line.is_empty()) {
            self.log_lines(id, true);
        }
        if let Some(relay) = &mut self.jobs.relay {
            relay.end(id);
        }
        self.mail_late(id);
        if let Some(mut late) = self.late.jobs.remove(&id) {
            self.report_late_output(&mut late);
            self.mains.end_output(late.job.start.run);
            self.memory.release_request(&late.job.start);
            if let Some(of_owner) = self.late.of_owner.get_mut(&late.job.owner) {
                of_owner.remove(&id);
                if of_owner.len() <= CALM {
                    self.late.logged_closing.remove(&late.job.owner);
                }
                if of_owner.is_empty() {
                    self.late.of_owner.remove(&late.job.owner);
                }
            }
        }
    }

    /// Sends main what the history keeps of a job's output once more if late output has been added to it.
    fn report_late_output(&mut self, late: &mut LateOutput) {
        let LateOutput { job, history: Some(history), .. } = late else { return };
        if history.has_more()
            && let Some(excerpt) = history.output.excerpt(job.start.rules.history_output)
        {
            self.mains.send_kept_output(job.start.run, excerpt);
        }
        history.output.release(&job.owner, &mut self.memory.output);
    }

    /// If the owner has too many ended jobs with open pipes, closes those of the job that was started first. Each uses a descriptor and the
    /// memory of a start.
    fn limit_late_jobs(&mut self, owner: &OwnerKey) {
        let of_owner = self.late.of_owner.get(owner).filter(|of_owner| of_owner.len() >= MOST_LATE);
        let Some(oldest) = of_owner.and_then(BTreeSet::first).copied() else { return };
        if let Some(late) = self.late.jobs.get_mut(&oldest) {
            if self.late.logged_closing.insert(owner.clone()) {
                let command = late.job.command(self.context.profile);
                let job_ref = job_ref(&late.job, &command);
                let detail = format!(
                    "the background processes of more than {MOST_LATE} ended jobs still have their output open: \
                     it is closed, beginning with the job that was started first"
                );
                self.context.log.record(job_ref, Level::Warning, "WARNING", detail.as_bytes(), "");
            }
            for stream in [Stream::Output, Stream::Error] {
                if let Some(pipe) = late.job.pipe(stream).take() {
                    let _ = self.context.poll.remove(&pipe);
                }
            }
        }
        self.end_late_if_silent(oldest);
    }

    /// Sends a mail that has waited long enough for late output.
    pub(super) fn mail_without_the_rest(&mut self, id: u64) {
        self.mail_late(id);
        if let Some(late) = self.late.jobs.get_mut(&id) {
            late.is_mailed_without = true;
        }
    }

    fn mail_late(&mut self, id: u64) {
        let Some(mut late) = self.late.jobs.remove(&id) else { return };
        if let Some(until_ms) = late.mail_until_ms.take() {
            self.jobs.graces.remove(&(until_ms, id));
            self.finish_output(&mut late.job);
        }
        self.late.jobs.insert(id, late);
    }
}
