//! Sends main the output of a run while it is written.

use super::followers::SO_FAR;
use super::state::ExecutorState;
use crate::executor::job::{Job, Stream};
use crate::executor::output::{Excerpt, Output};
use crate::executor::wire::OutputStream;
use crate::scheduler::RunId;

impl ExecutorState {
    /// Sends main the output of a run: what is kept of it, and from now on what is read.
    pub(super) fn follow_output(&mut self, run: RunId, follower: u64) {
        match self.output_so_far(run) {
            Some(so_far) => self.mains.follow(follower, run, so_far),
            None => self.mains.refuse_follower(follower),
        }
    }

    /// What is kept of the output of a run whose output has not ended, if there is any. None: there is no such run.
    fn output_so_far(&self, run: RunId) -> Option<Option<Excerpt>> {
        if let Some(job) = self.jobs.running.values().find(|job| job.start.run == run) {
            return Some(job.output.excerpt(SO_FAR));
        }
        if let Some(late) = self.late.jobs.values().find(|late| late.job.start.run == run) {
            // The output of the job is not there any more once it was mailed.
            let history: Option<&Output> = late.history.as_ref().map(|history| &history.output);
            let fuller = history.filter(|history| history.total() > late.job.output.total());
            return Some(fuller.unwrap_or(&late.job.output).excerpt(SO_FAR));
        }
        let mut waiting = self.starts.queue.iter().chain(&self.starts.waiting_for_identity);
        waiting.any(|queued| queued.start.run == run).then_some(None)
    }

    /// Sends output that has been read to the followers of its run.
    pub(super) fn send_to_followers(&mut self, id: u64, stream: Stream, bytes: &[u8]) {
        if !self.mains.has_followers() {
            return;
        }
        let late = || self.late.jobs.get(&id).map(|late| &late.job);
        let Some(Job { start, .. }) = self.jobs.running.get(&id).or_else(late) else { return };
        let stream = match stream {
            Stream::Output => OutputStream::Output,
            Stream::Error => OutputStream::Error,
        };
        self.mains.send_output(start.run, stream, bytes);
    }
}
