//! Reads the output of jobs, and logs and reports their ends.

use super::children::Child;
use super::context::{EventSource, job_ref, token};
use super::late_jobs::LateOutput;
use super::mail;
use super::running::{GRACE_MS, READ_SIZE};
use super::state::ExecutorState;
use crate::executor::exec_spec::{ExecStage, Failure};
use crate::executor::job::{Job, Stream};
use crate::executor::output::{Output, OutputLimits};
use crate::executor::relay::Relay;
use crate::report::Level;
use crate::scheduler::{RunOutcome, RunResult, Usage};
use crate::sys::clock;
use crate::sys::descriptor;
use crate::sys::files::reason;
use crate::sys::process::Status;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Number of reads that empty the largest pipe that a job can have requested (1 MiB, pipe(7)) and find its end.
const READS_OF_A_PIPE: usize = (1 << 20) / READ_SIZE + 1;

impl ExecutorState {
    /// Handles the failures that children have reported.
    pub(super) fn take_reports(&mut self) {
        for (pid, failure) in self.reports.take() {
            match self.children.get(&pid) {
                Some(Child::Job(id)) => self.job_failed(*id, &failure),
                Some(Child::Mailer(id)) => self.mails.failed(*id, &failure),
                Some(Child::FollowUp(id)) => self.follow_ups.failed(*id, &failure),
                None => {}
            }
        }
    }

    pub(super) fn job_failed(&mut self, id: u64, failure: &Failure) {
        if failure.step == ExecStage::Cgroup {
            return self.cgroups.log_error(&mut self.context, &failure.source);
        }
        let Some(job) = self.jobs.running.get(&id) else { return };
        let command = job.command(self.context.profile);
        let spec = self.context.job_spec(&job.start, &job.user, &command);
        if failure.step.is_limit() {
            let detail = spec.limit_text(failure.step);
            let rest = format!(": {}, running without it", reason(&failure.source));
            self.context.log.record(job_ref(job, &command), Level::Warning, "LIMIT FAILED", detail.as_bytes(), &rest);
        } else if failure.step == ExecStage::DirectoryInstead {
            let elsewhere = if self.context.config.standalone { "the current directory" } else { "/" };
            let rest = format!(": {}, running in {elsewhere}", reason(&failure.source));
            let job_ref = job_ref(job, &command);
            self.context.log.record(job_ref, Level::Warning, "CHDIR FAILED", spec.directory.as_bytes(), &rest);
        } else if let Some(job) = self.jobs.running.get_mut(&id) {
            job.failure = Some(failure.why(&spec));
        }
    }

    /// Reads a job's output once.
    pub(super) fn drain(&mut self, id: u64, stream: Stream) {
        if self.jobs.relay.as_ref().is_some_and(Relay::is_full) {
            return self.pause(id, stream);
        }
        self.read_some(id, stream);
        match self.jobs.running.get(&id).filter(|job| job.is_silent()) {
            Some(job) if job.result.is_some() => self.finish(id),
            Some(_) => {}
            None => self.end_late_if_silent(id),
        }
    }

    /// Reads once from a job's pipe. True if more may be available now.
    fn read_some(&mut self, id: u64, stream: Stream) -> bool {
        let Some(pipe) = job_with_pipe(&mut self.jobs.running, &mut self.late.jobs, id).map(|job| job.pipe(stream))
        else {
            return false;
        };
        let Some(open) = pipe.as_ref() else { return false };
        match read_once(open.as_fd(), &mut self.jobs.buffer) {
            ReadOnce::Some(count) => {
                let buffer = std::mem::take(&mut self.jobs.buffer);
                self.take_output(id, stream, buffer.get(..count).unwrap_or(&[]));
                self.jobs.buffer = buffer;
                true
            }
            ReadOnce::Nothing => false,
            ReadOnce::End => {
                // Another process of cronwheel may still have a copy of this descriptor, and then closing it would not deregister it.
                let _ = self.context.poll.remove(open);
                *pipe = None;
                false
            }
        }
    }

    fn take_output(&mut self, id: u64, stream: Stream, bytes: &[u8]) {
        let late = || self.late.jobs.get(&id).map(|late| &late.job);
        if let (Some(relay), Some(job)) = (&mut self.jobs.relay, self.jobs.running.get(&id).or_else(late)) {
            relay.push(id, &job.start, stream, bytes);
        }
        self.send_to_followers(id, stream, bytes);
        let Some(job) = self.jobs.running.get_mut(&id) else { return self.take_late_output(id, bytes) };
        if stream == Stream::Error {
            job.output.count_error(bytes.len());
        }
        let owner = job.owner.clone();
        job.output.push(bytes, &owner, &mut self.memory.output);
    }

    /// Stops reading a job's pipe until the relay accepts output again.
    fn pause(&mut self, id: u64, stream: Stream) {
        let job = job_with_pipe(&mut self.jobs.running, &mut self.late.jobs, id);
        let Some(pipe) = job.and_then(|job| job.pipe(stream).as_ref()) else { return };
        if self.context.poll.remove(pipe).is_ok() {
            self.jobs.paused.push((id, stream));
        }
    }

    /// Writes relayed output without blocking, and resumes reading pipes.
    pub(super) fn flush_relay(&mut self) {
        let Some(relay) = &mut self.jobs.relay else { return };
        relay.flush();
        if relay.is_full() {
            return;
        }
        for (id, stream) in std::mem::take(&mut self.jobs.paused) {
            let kind = if stream == Stream::Output { EventSource::Output } else { EventSource::Error };
            let job = job_with_pipe(&mut self.jobs.running, &mut self.late.jobs, id);
            if let Some(pipe) = job.and_then(|job| job.pipe(stream).as_ref()) {
                // A pipe that was registered before can be registered again.
                let _ = self.context.poll.add(pipe, token(kind, id));
            }
        }
    }

    /// Handles the end of a job's process.
    pub(super) fn job_ended(&mut self, id: u64, ended: Option<(Status, Usage)>) {
        self.starts.limiter.end(id);
        let now = clock::monotonic_ms();
        // The output is read first, so that the result counts all of it.
        self.drain_fully(id);
        let Some(job) = self.jobs.running.get_mut(&id) else { return };
        let (leaf, result) = (job.leaf.take(), job.end(ended, now).clone());
        self.cgroups.end(&mut self.context, leaf);
        self.report_end(result);
        let finished = self.jobs.running.get(&id).is_some_and(|job| job.is_silent());
        if finished {
            self.finish(id);
        } else {
            if let Some(job) = self.jobs.running.get_mut(&id) {
                job.grace_ms = now + GRACE_MS;
            }
            self.jobs.graces.insert((now + GRACE_MS, id));
        }
    }

    /// Reads everything from the pipes of a job that has ended. Its own output is there, and is no more than a pipe holds.
    fn drain_fully(&mut self, id: u64) {
        for stream in [Stream::Output, Stream::Error] {
            let _ = (0..READS_OF_A_PIPE).find(|_| !self.read_some(id, stream));
        }
    }

    /// Stops waiting for output of jobs whose grace period is over.
    pub(super) fn end_graces(&mut self, now_ms: i64) {
        while let Some((until, id)) = self.jobs.graces.first().copied() {
            if until > now_ms {
                return;
            }
            self.jobs.graces.pop_first();
            if self.jobs.running.contains_key(&id) {
                self.finish(id);
            } else {
                self.mail_without_the_rest(id);
            }
        }
    }

    /// Logs the end of a job and has its output mailed. Output that background processes write later is late output.
    pub(super) fn finish(&mut self, id: u64) {
        let Some(mut job) = self.jobs.running.remove(&id) else { return };
        self.jobs.graces.remove(&(job.grace_ms, id));
        if let Some(relay) = &mut self.jobs.relay {
            relay.end(id);
            // A job's output comes before what the log says of its end.
            relay.flush();
        }
        let Some(RunResult { outcome: end, duration_ms, is_timeout, .. }) = job.result.clone() else { return };
        let command = job.command(self.context.profile);
        if let Some(why) = &job.end_reason {
            self.context.log.ended_on_request(job_ref(&job, &command), why, &end, duration_ms);
        } else if !job.has_succeeded() {
            self.context.log.failed(job_ref(&job, &command), &end, is_timeout, duration_ms);
        }
        let history = self.report_output(&job);
        if job.is_silent() {
            self.mains.end_output(job.start.run);
        }
        let mail_waits =
            !job.is_silent() && self.context.profile.mail_waits_for_pipe && mail::is_wanted(&self.context, &job);
        if !mail_waits {
            self.finish_output(&mut job);
        }
        let job_ref = job_ref(&job, &command);
        if !matches!(end, RunOutcome::NotStarted { .. }) {
            self.context.log.finished(job_ref, &end, duration_ms);
        }
        self.memory.requests.give_back(&job.owner, job.input_size);
        job.input_size = 0;
        if mail_waits {
            return self.wait_with_mail(id, job, history);
        }
        if job.is_silent() { self.memory.release_request(&job.start) } else { self.read_on(id, job, history) }
    }

    /// Sends main what the history keeps of the output of a job that has ended. Returns the same, to be continued with late output.
    fn report_output(&mut self, job: &Job) -> Option<Output> {
        let most = job.start.rules.history_output;
        let excerpt = job.output.excerpt(most);
        let continued = (!job.is_silent() && most > 0).then(|| match &excerpt {
            Some(excerpt) => Output::from_excerpt(excerpt, most, &job.owner, &mut self.memory.output),
            None => Output::with_limits(OutputLimits::of_excerpts(most, 0)),
        });
        if let Some(excerpt) = excerpt {
            self.mains.send_kept_output(job.start.run, excerpt);
        }
        continued
    }
}

impl ExecutorState {
    /// Handles the end of a mailer.
    pub(super) fn mailer_ended(&mut self, id: u64, status: Status) {
        if let Some((start, mail)) = self.mails.ended(&mut self.context, &mut self.memory, id, status) {
            self.report_mail(start.run, mail);
            self.memory.release_request(&start);
        }
    }
}

/// The job with this number: a running one, or an ended one whose background processes may still write.
fn job_with_pipe<'a>(
    jobs: &'a mut HashMap<u64, Job>,
    late: &'a mut HashMap<u64, LateOutput>,
    id: u64,
) -> Option<&'a mut Job> {
    jobs.get_mut(&id).or_else(|| late.get_mut(&id).map(|late| &mut late.job))
}

enum ReadOnce {
    Some(usize),
    Nothing,
    End,
}

fn read_once(pipe: BorrowedFd<'_>, buffer: &mut [u8]) -> ReadOnce {
    debug_assert_eq!(buffer.len(), READ_SIZE);
    match descriptor::read(pipe, buffer) {
        Ok(0) => ReadOnce::End,
        Ok(count) => ReadOnce::Some(count),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => ReadOnce::Nothing,
            _ => ReadOnce::End,
        },
    }
}
