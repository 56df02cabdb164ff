//! Applies pauses: waiting slots are skipped and retries wait. When a pause ends, jobs start again.

use super::job::{RetryStage, Waiting};
use super::pause::{Pause, PauseScope, PausesOfAll};
use super::registry::Jobs;
use crate::schedule::Timestamp;
use crate::scheduler::job_id::JobId;
use crate::scheduler::policy_context::PolicyContext;
use crate::scheduler::run_record::SkipReason;

impl Jobs {
    /// Pauses a job from now on: what waits for a slot is skipped.
    pub(in crate::scheduler) fn pause(&mut self, id: &JobId, pause: Pause, context: &mut PolicyContext<'_>) {
        self.pauses.insert(id.clone(), pause);
        context.changed_pauses.insert(id.clone());
        self.skip_waiting(id, context);
    }

    /// A pause has begun, or the daemon has in a pause: waiting slots are skipped, and a retry waits.
    pub(in crate::scheduler) fn skip_waiting(&mut self, id: &JobId, context: &mut PolicyContext<'_>) {
        if !self.pauses.is_paused(id, context.now.utc) {
            return;
        }
        context.note_change(id);
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
        if let (Some(ticket), Some(group)) = (ticket, job.spec.group.as_ref()) {
            self.groups.cancel(group, ticket);
        }
        self.cancel_tickets(id, &slots);
        let has_skipped = !slots.is_empty();
        for waiting in slots {
            self.skip(id, &waiting.item, SkipReason::Paused, context);
        }
        self.start_waiting_of_job(id, context);
        if has_skipped {
            self.count_from_end(id, context.now.utc, context);
        }
    }

    /// Ends a pause before its time.
    pub(in crate::scheduler) fn resume(&mut self, id: &JobId, context: &mut PolicyContext<'_>) -> bool {
        let was_paused = self.pauses.remove(id);
        if was_paused {
            self.end_pause(id, context);
        }
        was_paused
    }

    /// When the next pause ends.
    pub(in crate::scheduler) fn next_pause_end(&self) -> Option<Timestamp> {
        self.pauses.next_end()
    }

    /// Ends the pauses that are over.
    pub(in crate::scheduler) fn end_pauses(&mut self, context: &mut PolicyContext<'_>) {
        context.changed_scopes.extend(self.pauses.take_ended_of_all(context.now.utc).into_keys());
        for id in self.pauses.take_ended(context.now.utc) {
            match self.covering_pause(&id, context.now.utc) {
                Some(pause) => {
                    self.pauses.insert(id.clone(), pause);
                    context.changed_pauses.insert(id);
                }
                None => {
                    if !self.jobs.contains_key(&id) {
                        self.pauses.forget_past(&id);
                    }
                    self.end_pause(&id, context);
                }
            }
        }
    }

    fn end_pause(&mut self, id: &JobId, context: &mut PolicyContext<'_>) {
        context.changed_pauses.insert(id.clone());
        let Some(retry) = self.jobs.get(id).and_then(|job| job.state.retry.as_ref()) else { return };
        if retry.has_slot_passed {
            self.drop_retry(id, context);
        }
        self.start_waiting_of_job(id, context);
    }
}

/// Pauses of all jobs of a user or of all users.
impl Jobs {
    /// Pauses what is added to these jobs from now on. Those that are known already are paused one by one.
    pub(in crate::scheduler) fn pause_all(&mut self, scope: PauseScope, pause: Pause, context: &mut PolicyContext<'_>) {
        self.pauses.pause_all(scope, pause);
        context.changed_scopes.insert(scope);
    }

    /// Takes a pause of all back. Whoever may control every job ends those of users, too. Returns those that have ended.
    pub(in crate::scheduler) fn resume_all(
        &mut self,
        scope: PauseScope,
        context: &mut PolicyContext<'_>,
    ) -> PausesOfAll {
        let ended = self.pauses.resume_all(scope);
        context.changed_scopes.extend(ended.keys());
        ended
    }

    /// An entry is gone: a pause that it had because all are paused is given again when it comes back.
    pub(super) fn forget_pauses(&mut self, id: &JobId, context: &mut PolicyContext<'_>) {
        self.pauses.forget_past(id);
        let Some(owner) = self.jobs.get(id).map(|job| job.spec.table_owner) else { return };
        if self.pauses.is_given(id, owner) {
            self.pauses.remove(id);
            context.changed_pauses.insert(id.clone());
        }
    }

    /// Somebody has paused or resumed a job by itself: no active pause of all jobs that they may end holds for it any more.
    pub(in crate::scheduler) fn exempt_from_pauses(
        &mut self,
        id: &JobId,
        is_by_root: bool,
        context: &mut PolicyContext<'_>,
    ) {
        let Some(owner) = self.jobs.get(id).map(|job| job.spec.table_owner) else { return };
        context.changed_scopes.extend(self.pauses.exempt(id, owner, is_by_root));
    }

    /// Pauses a job that a pause of all covers, unless it is paused. The pause of root replaces another one, which the user can end.
    pub(in crate::scheduler) fn pause_if_covered(&mut self, id: &JobId, context: &mut PolicyContext<'_>) {
        if let Some(pause) = self.covering_pause(id, context.now.utc)
            && self.pauses.get(id).is_none_or(|own| pause.is_by_root && !own.is_by_root)
        {
            self.pause(id, pause, context);
        }
    }

    /// The pause that a job has because all are paused.
    fn covering_pause(&self, id: &JobId, now: Timestamp) -> Option<Pause> {
        self.pauses.covering(id, self.jobs.get(id)?.spec.table_owner, now)
    }

    /// Whether some pause of all covers the tables of this owner now. None: system tables.
    pub(in crate::scheduler) fn is_all_paused(&self, owner: Option<u32>, now: Timestamp) -> bool {
        self.pauses.is_all_paused(owner, now)
    }
}

/// Questions, and pauses of earlier daemons.
impl Jobs {
    /// The pause of a job.
    pub(in crate::scheduler) fn paused(&self, id: &JobId) -> Option<&Pause> {
        self.pauses.get(id)
    }

    /// Whether a moment was in a pause of the job.
    pub(in crate::scheduler) fn was_paused(&self, id: &JobId, moment: Timestamp) -> bool {
        self.pauses.was_paused(id, moment)
    }

    /// The pauses of single jobs, for the state file and for questions.
    pub(in crate::scheduler) fn pauses(&self) -> impl Iterator<Item = (&JobId, &Pause)> {
        self.pauses.iter()
    }

    /// Whether jobs of a user are paused.
    pub(in crate::scheduler) fn has_pauses_of(&self, user: &str) -> bool {
        self.pauses.has_of(user)
    }

    /// The active pause of all jobs with this scope.
    pub(in crate::scheduler) fn pause_of_scope(&self, scope: PauseScope) -> Option<&Pause> {
        self.pauses.of_scope(scope)
    }

    /// All pauses of all, for the state file.
    pub(in crate::scheduler) fn pauses_of_all(&self) -> &PausesOfAll {
        self.pauses.all()
    }

    /// Gives back a pause of an earlier daemon.
    pub(in crate::scheduler) fn restore_pause(&mut self, id: JobId, pause: Pause) {
        self.pauses.insert(id, pause);
    }

    /// Takes the pauses of all that an earlier daemon has left.
    pub(in crate::scheduler) fn restore_pauses_of_all(&mut self, saved: PausesOfAll) {
        self.pauses.restore_all(saved);
    }
}
