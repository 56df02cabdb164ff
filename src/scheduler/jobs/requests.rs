//! What people ask for: runs by hand, kills and pauses.

use super::job::{EndReason, Item, RetryStage, Waiting};
use super::pause::Pause;
use super::{Decision, Jobs, Killed, RefusedRun, Turn};
use crate::crontab::Overlap;
use crate::schedule::Timestamp;
use crate::scheduler::event::RunId;
use crate::scheduler::job_id::JobId;
use crate::scheduler::run_record::{Outcome, SkipReason, Trigger};

/// Runs by hand of one job that wait.
const WAITING_BY_HAND: usize = 16;

impl Jobs {
    /// Runs a job now.
    ///
    /// # Errors
    ///
    /// Why it does not run.
    pub(in crate::scheduler) fn run_by_hand(
        &mut self,
        id: &JobId,
        is_forced: bool,
        turn: &mut Turn<'_>,
    ) -> Result<Option<RunId>, RefusedRun> {
        let Some(job) = self.jobs.get(id).filter(|job| job.spec.entry.is_some()) else {
            return Err(RefusedRun::NoSuchJob);
        };
        let (scheduled_at, trigger) = (turn.now.utc, Trigger::Manual);
        let item = Item { scheduled_at, trigger, is_caught_up: false, is_manual: true, attempt: 1, number: 0 };
        turn.changed.insert(id.clone());
        let next = RunId(*turn.next_run);
        if is_forced {
            let group = job.spec.group.clone();
            if let Some(group) = &group {
                self.groups.entry(group.clone()).or_default().enter();
            }
            self.begin(id, item, group.is_some(), turn);
            return Ok(Some(next));
        }
        let is_busy = job.is_busy();
        let by_hand = job.state.waiting.iter().filter(|waiting| waiting.item.is_manual).count();
        if by_hand >= WAITING_BY_HAND {
            return Err(RefusedRun::TooMany);
        }
        match job.spec.policy.overlap {
            Overlap::Skip if is_busy => {
                self.record_without_run(id, &item, Outcome::Skipped(SkipReason::StillRunning), turn);
                return Err(RefusedRun::StillRunning);
            }
            Overlap::Queue | Overlap::Replace if is_busy => {
                let replaces = job.spec.policy.overlap == Overlap::Replace
                    && job.state.waiting.is_empty()
                    && !job.is_catching_up_all();
                if let Some(job) = self.jobs.get_mut(id) {
                    job.state.waiting.push(Waiting { item, ticket: None });
                }
                if replaces {
                    self.end_runs(id, &EndReason::Replaced, turn);
                }
            }
            Overlap::Allow | Overlap::Skip | Overlap::Queue | Overlap::Replace => {
                self.enter_group(id, item, turn);
            }
        }
        Ok((*turn.next_run > next.0).then_some(next))
    }

    /// Ends the oldest run of a job, else cancels what waits, else its retry.
    pub(in crate::scheduler) fn kill(&mut self, id: &JobId, by: &str, turn: &mut Turn<'_>) -> Killed {
        let Some(job) = self.jobs.get_mut(id) else { return Killed::Nothing };
        turn.changed.insert(id.clone());
        let why = EndReason::Killed(by.to_owned());
        if let Some(run) = job.state.running.iter_mut().find(|run| run.ending.is_none()) {
            run.ending = Some(why.clone());
            let (run, entry) = (run.run, job.spec.entry);
            turn.decisions.push(Decision::End { run, entry, why });
            return Killed::Run(run);
        }
        if !job.state.waiting.is_empty() {
            let waiting = job.state.waiting.remove(0);
            self.cancel_tickets(id, std::slice::from_ref(&waiting));
            self.record_cancelled(id, &waiting.item, by, turn);
            self.start_waiting_of_job(id, turn);
            self.count_from_end(id, turn.now.utc, turn);
            return Killed::Waiting;
        }
        if self.give_up_retry(id, turn) {
            self.start_waiting_of_job(id, turn);
            return Killed::Retry;
        }
        Killed::Nothing
    }

    /// Ends one run of a job, on somebody's request.
    pub(in crate::scheduler) fn kill_run(&mut self, run: RunId, by: &str, turn: &mut Turn<'_>) -> bool {
        let Some(id) = self.runs.get(&run).cloned() else { return false };
        let Some(job) = self.jobs.get_mut(&id) else { return false };
        let entry = job.spec.entry;
        let Some(active) = job.state.running.iter_mut().find(|active| active.run == run) else { return false };
        if active.ending.is_none() {
            let why = EndReason::Killed(by.to_owned());
            active.ending = Some(why.clone());
            turn.changed.insert(id);
            turn.decisions.push(Decision::End { run, entry, why });
        }
        true
    }

    /// Whether a run was told to end.
    pub(in crate::scheduler) fn is_being_ended(&self, run: RunId) -> bool {
        let job = self.runs.get(&run).and_then(|id| self.jobs.get(id));
        job.is_some_and(|job| job.state.running.iter().any(|active| active.run == run && active.ending.is_some()))
    }

    /// Pauses a job from now on: what waits for a slot is left out.
    pub(in crate::scheduler) fn pause(&mut self, id: &JobId, pause: Pause, turn: &mut Turn<'_>) {
        self.pauses.insert(id.clone(), pause);
        turn.changed_pauses.insert(id.clone());
        self.leave_out_waiting(id, turn);
    }

    /// A pause has begun, or the daemon has in a pause: waiting slots are left out, and a retry waits.
    pub(in crate::scheduler) fn leave_out_waiting(&mut self, id: &JobId, turn: &mut Turn<'_>) {
        if !self.pauses.is_paused(id, turn.now.utc) {
            return;
        }
        turn.changed.insert(id.clone());
        let Some(job) = self.jobs.get_mut(id) else { return };
        let (slots, others): (Vec<Waiting>, Vec<Waiting>) =
            std::mem::take(&mut job.state.waiting).into_iter().partition(|waiting| !waiting.item.is_manual);
        job.state.waiting = others;
        let mut ticket = None;
        if let Some(retry) = &mut job.state.retry {
            ticket = retry.ticket();
            if ticket.is_some() {
                retry.stage = RetryStage::OwnRun;
            }
        }
        if let (Some(ticket), Some(group)) = (ticket, job.spec.group.as_ref())
            && let Some(group) = self.groups.get_mut(group)
        {
            group.cancel(ticket);
        }
        self.cancel_tickets(id, &slots);
        let has_left_out = !slots.is_empty();
        for waiting in slots {
            self.leave_out(id, &waiting.item, SkipReason::Paused, turn);
        }
        self.start_waiting_of_job(id, turn);
        if has_left_out {
            self.count_from_end(id, turn.now.utc, turn);
        }
    }

    /// Ends a pause before its time.
    pub(in crate::scheduler) fn resume(&mut self, id: &JobId, turn: &mut Turn<'_>) -> bool {
        let was_paused = self.pauses.remove(id);
        if was_paused {
            self.end_pause(id, turn);
        }
        was_paused
    }

    /// When the next pause ends.
    pub(in crate::scheduler) fn next_pause_end(&self) -> Option<Timestamp> {
        self.pauses.next_end().into_iter().chain(self.next_end_of_scope()).min()
    }

    /// Ends the pauses that are over.
    pub(in crate::scheduler) fn end_pauses(&mut self, turn: &mut Turn<'_>) {
        self.end_scopes(turn);
        for id in self.pauses.take_ended(turn.now.utc) {
            match self.covering_pause(&id, turn.now.utc) {
                Some(pause) => {
                    self.pauses.insert(id.clone(), pause);
                    turn.changed_pauses.insert(id);
                }
                None => {
                    if !self.jobs.contains_key(&id) {
                        self.pauses.forget_past(&id);
                    }
                    self.end_pause(&id, turn);
                }
            }
        }
    }

    fn end_pause(&mut self, id: &JobId, turn: &mut Turn<'_>) {
        turn.changed_pauses.insert(id.clone());
        let Some(retry) = self.jobs.get(id).and_then(|job| job.state.retry.as_ref()) else { return };
        if retry.has_slot_passed {
            self.give_up_retry(id, turn);
        }
        self.start_waiting_of_job(id, turn);
    }
}
