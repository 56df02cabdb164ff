//! Runs of fleet jobs: they are claimed before they start, dropped if another node has their slot, or taken over from a node that was lost.

use super::job::{ActiveRun, Item, Job};
use super::registry::Jobs;
use crate::crontab::{FleetAway, FleetMode, Overlap, Policy};
use crate::schedule::Timestamp;
use crate::scheduler::job_id::JobId;
use crate::scheduler::policy_context::PolicyContext;
use crate::scheduler::run_id::RunId;
use crate::scheduler::run_record::{MissReason, Outcome, RunRecord, SkipReason, Trigger};
use crate::scheduler::slot_claim::SlotClaim;

/// A run of a fleet job that is in progress.
#[derive(Clone, Copy, Debug)]
pub(in crate::scheduler) struct FleetActiveRun<'a> {
    pub(in crate::scheduler) job: &'a JobId,
    pub(in crate::scheduler) run: RunId,
    pub(in crate::scheduler) slot: Timestamp,
    pub(in crate::scheduler) claim: Option<SlotClaim>,
    pub(in crate::scheduler) policy: &'a Policy,
    pub(in crate::scheduler) is_by_hand: bool,
}

/// Whether a node starts slots of a job without a claim while the engine is away. What may fail over never is.
pub(in crate::scheduler) fn runs_when_away(policy: &Policy) -> bool {
    policy.fleet.away == FleetAway::Run && policy.fleet.mode != FleetMode::OneWithFailover
}

/// Whether only one run of a job may be in progress in the fleet.
pub(in crate::scheduler) fn runs_alone(policy: &Policy) -> bool {
    policy.overlap == Overlap::Skip || policy.fleet.mode == FleetMode::OneWithFailover
}

impl Jobs {
    /// The machine is a node of a fleet.
    pub(in crate::scheduler) fn set_in_fleet(&mut self) {
        self.is_in_fleet = true;
    }

    fn active(&self, run: RunId) -> Option<&ActiveRun> {
        self.jobs.get(self.runs.get(&run)?)?.state.running.iter().find(|active| active.run == run)
    }

    /// The claim under which a run is to be started, if its slot has one.
    pub(in crate::scheduler) fn claim_of_run(&self, run: RunId) -> Option<SlotClaim> {
        self.active(run)?.item.claim
    }

    /// A run is started, with a claim or without. Returns its job.
    pub(in crate::scheduler) fn note_claimed(
        &mut self,
        run: RunId,
        claim: Option<SlotClaim>,
        context: &mut PolicyContext<'_>,
    ) {
        let Some(id) = self.runs.get(&run).cloned() else { return };
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let policy = job.spec.policy.clone();
        let Some(active) = job.state.running.iter_mut().find(|active| active.run == run) else { return };
        active.is_queued = false;
        active.item.claim = claim.or(active.item.claim);
        let (slot, is_first) = (active.item.scheduled_at, active.item.attempt == 1 && !active.item.is_manual);
        context.note_change(&id);
        if is_first {
            self.expect_success(&id, &policy, slot);
        }
    }

    /// A mark shows that the slot of a run is claimed for it. An earlier daemon may have written it, and not its state.
    pub(in crate::scheduler) fn adopt_claim(&mut self, id: &JobId, claim: SlotClaim, context: &mut PolicyContext<'_>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let active = job.state.running.iter_mut().find(|active| active.run == claim.run);
        if let Some(active) = active.filter(|active| active.item.claim.is_none_or(SlotClaim::is_unsure)) {
            (active.item.claim, active.is_queued) = (Some(claim), false);
            context.note_change(id);
        }
    }

    /// The slot of a run that waited for its claim is another node's: nothing is recorded here.
    pub(in crate::scheduler) fn drop_taken(&mut self, run: RunId, context: &mut PolicyContext<'_>) {
        let Some((id, active)) = self.take_run(run) else { return };
        context.note_change(&id);
        if let Some(failure) = &active.failure {
            self.conclude_attempts(&id, failure, context);
        }
        self.free_place(active.place.as_ref());
        self.start_waiting_of_job(&id, context);
        self.forget_if_idle(&id);
    }

    /// Whether this node has something to do for a slot: a run that waits or is in progress, or a further attempt.
    pub(in crate::scheduler) fn has_slot(&self, id: &JobId, slot: Timestamp) -> bool {
        let is_of_slot = |item: &Item| !item.is_manual && item.scheduled_at == slot;
        self.jobs.get(id).is_some_and(|job| {
            job.state.running.iter().any(|active| is_of_slot(&active.item))
                || job.state.retry.as_ref().is_some_and(|retry| is_of_slot(&retry.item))
        })
    }

    /// Whether a slot waits on this node, in the start queue or for another run.
    pub(in crate::scheduler) fn has_waiting_slot(&self, id: &JobId, slot: Timestamp) -> bool {
        let is_of_slot = |item: &Item| !item.is_manual && item.scheduled_at == slot;
        self.jobs.get(id).is_some_and(|job| {
            job.state.running.iter().any(|active| active.is_queued && is_of_slot(&active.item))
                || job.state.waiting.iter().any(|waiting| is_of_slot(&waiting.item))
        })
    }

    /// Whether this node is catching up a slot of a job.
    pub(in crate::scheduler) fn is_catching_up(&self, id: &JobId) -> bool {
        self.jobs.get(id).is_some_and(|job| {
            job.has_caught_up_waiting()
                || job.state.running.iter().any(|active| active.item.is_caught_up)
                || job.state.retry.as_ref().is_some_and(|retry| retry.item.is_caught_up)
        })
    }

    /// Catches up one slot that the fleet has missed.
    pub(in crate::scheduler) fn catch_up_for_fleet(
        &mut self,
        id: &JobId,
        slot: Timestamp,
        is_excepted: bool,
        context: &mut PolicyContext<'_>,
    ) {
        let Some(policy) = self.jobs.get(id).map(|job| job.spec.policy.clone()) else { return };
        let is_paused = self.pauses.was_paused(id, slot) || self.pauses.is_paused(id, context.now.utc);
        if is_excepted {
            context.skip_in_fleet(id, slot, Trigger::CatchUp, SkipReason::Calendar);
        } else if is_paused {
            context.skip_in_fleet(id, slot, Trigger::CatchUp, SkipReason::Paused);
        } else {
            self.start_caught_up(id, slot, &policy, context);
        }
    }

    /// Starts a slot once more whose node was lost. Nothing is started while a run of the job is in progress here.
    pub(in crate::scheduler) fn take_over(&mut self, id: &JobId, slot: Timestamp, context: &mut PolicyContext<'_>) {
        let is_possible = |job: &Job| job.spec.policy.is_enabled && job.spec.entry.is_some() && !job.is_busy();
        let is_paused = self.pauses.is_paused(id, context.now.utc);
        if is_paused || self.gate.is_stopped() || !self.jobs.get(id).is_some_and(is_possible) {
            return;
        }
        let (trigger, is_caught_up) = (Trigger::Failover, false);
        let item =
            Item { scheduled_at: slot, trigger, is_caught_up, is_manual: false, attempt: 1, number: 0, claim: None };
        self.enter_group(id, item, context);
    }

    /// Records that slots were skipped, here or for the whole fleet: the first, the last and how many they are.
    pub(in crate::scheduler) fn record_fleet_skip(
        &mut self,
        id: &JobId,
        (first, last, count): (Timestamp, Timestamp, u64),
        trigger: Trigger,
        reason: SkipReason,
        context: &mut PolicyContext<'_>,
    ) {
        context.note_change(id);
        self.add_to_row(id, reason, trigger, (first, last), count, context);
    }

    /// Records slots that no node has claimed.
    pub(in crate::scheduler) fn record_fleet_misses(
        &mut self,
        id: &JobId,
        slots: (Timestamp, Timestamp, u64),
        context: &mut PolicyContext<'_>,
    ) {
        self.record_slots(id, Outcome::Missed(MissReason::NoNode), Trigger::Schedule, slots, context);
    }

    /// Records that a claimed slot of this node was perhaps never started.
    pub(in crate::scheduler) fn record_fleet_loss(
        &mut self,
        id: &JobId,
        slot: Timestamp,
        run: RunId,
        context: &mut PolicyContext<'_>,
    ) {
        let Some(line) = self.jobs.get(id).map(|job| job.spec.line) else { return };
        context.record(RunRecord {
            run: Some(run),
            job: id.clone(),
            line,
            scheduled_at: slot,
            trigger: Trigger::Schedule,
            attempt: 1,
            started_at_ms: None,
            ended_at_ms: Some(context.now.utc.0.saturating_mul(1_000)),
            outcome: Outcome::Lost,
            count: 1,
            until: None,
        });
    }

    /// Another node has claimed a newer slot: no further attempt follows for an older one.
    pub(in crate::scheduler) fn note_newer_slot(
        &mut self,
        id: &JobId,
        slot: Timestamp,
        context: &mut PolicyContext<'_>,
    ) {
        let is_older = |job: &Job| {
            let retry = job.state.retry.as_ref().filter(|retry| !retry.item.is_manual);
            job.spec.policy.overlap != Overlap::Queue && retry.is_some_and(|retry| retry.item.scheduled_at < slot)
        };
        if self.jobs.get(id).is_some_and(is_older) {
            self.drop_retry(id, context);
            self.start_waiting_of_job(id, context);
        }
    }

    /// The runs of fleet jobs that have been started and have not ended.
    pub(in crate::scheduler) fn fleet_runs(&self) -> impl Iterator<Item = FleetActiveRun<'_>> {
        let jobs = self.jobs.iter().filter(|(_, job)| job.spec.policy.fleet.mode != FleetMode::Each);
        jobs.flat_map(|(id, job)| {
            let runs = job.state.running.iter().filter(|active| !active.is_queued);
            runs.map(move |active| FleetActiveRun {
                job: id,
                run: active.run,
                slot: active.item.scheduled_at,
                claim: active.item.claim,
                policy: &job.spec.policy,
                is_by_hand: active.item.is_manual,
            })
        })
    }

    /// The fleet jobs that are entries.
    pub(in crate::scheduler) fn fleet_jobs(&self) -> impl Iterator<Item = (&JobId, &Policy)> {
        let is_of_fleet = |job: &Job| job.spec.entry.is_some() && job.spec.policy.fleet.mode != FleetMode::Each;
        self.jobs.iter().filter(move |(_, job)| is_of_fleet(job)).map(|(id, job)| (id, &*job.spec.policy))
    }
}
