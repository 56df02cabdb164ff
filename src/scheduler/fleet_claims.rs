//! Claims of runs of fleet jobs: a run that leaves the start queue is claimed before it goes to the executor, and the end of its slot is
//! reported to the engine.

use super::action::Action;
use super::fleet::{
    CLAIM_MS, ClaimPlan, Fleet, FleetAnswer, FleetOutcome, MarkState, PendingClaim, Purpose, Report, RunKeys,
};
use super::fleet_events::REQUEST_MS;
use super::fleet_slots::RANK_MS;
use super::job_id::JobId;
use super::jobs::{FleetActiveRun, runs_alone, runs_when_away};
use super::now::Now;
use super::run_id::RunId;
use super::run_record::{Outcome, RunRecord, SkipReason, Trigger};
use super::run_request::{FleetRun, RunRequest};
use super::saved::StateChange;
use super::slot_claim::SlotClaim;
use super::state::{Phase, Scheduler};
use crate::crontab::FleetMode;
use crate::schedule::Timestamp;

/// Before a claim that the engine has refused to make is asked for again. Milliseconds.
const CLAIM_RETRY_MS: i64 = 1_000;
/// How often a claim is made again because the keys were others than expected.
const MOST_TRIES: u32 = 20;

impl Scheduler {
    /// Whether a start needs a claim: it is a slot of a fleet job, or a run by hand of one that allows no other run at the same time.
    pub(super) fn needs_claim(&mut self, start: &RunRequest) -> bool {
        if !self.jobs.is_of_fleet(&start.job) || !self.jobs.owns(start.run) {
            return false;
        }
        let is_forced = self.fleet.as_mut().is_some_and(|fleet| fleet.forced.remove(&start.run));
        !start.trigger.is_manual() || (!is_forced && self.jobs.policy(&start.job).is_some_and(runs_alone))
    }

    /// A run by hand of a fleet job is started without a claim: its outcome is for the fleet nevertheless.
    pub(super) fn note_unclaimed(&mut self, start: &RunRequest, now: Now, actions: &mut Vec<Action>) {
        if start.trigger.is_manual() && self.jobs.is_of_fleet(&start.job) {
            let (run, claim) = (start.run, SlotClaim::by_hand(start.run));
            self.with_jobs(now, actions, |jobs, context| jobs.note_claimed(run, Some(claim), context));
        }
    }

    /// A run has left the start queue: its slot is claimed.
    pub(super) fn begin_claim(&mut self, start: Box<RunRequest>, now: Now, actions: &mut Vec<Action>) {
        let run = start.run;
        let Some(fleet) = &mut self.fleet else { return };
        let token = (fleet.random)();
        fleet.claims.insert(run, PendingClaim::new(start, token, now.elapsed_ms));
        self.drive_claim(run, now, actions);
    }

    /// Continues the claims of a job that wait for something.
    pub(super) fn drive_claims(&mut self, id: &JobId, now: Now, actions: &mut Vec<Action>) {
        let claims = self.fleet.iter().flat_map(|fleet| fleet.claims.of_job(id));
        let runs: Vec<RunId> = claims.map(|(run, _)| run).collect();
        for run in runs {
            self.drive_claim(run, now, actions);
        }
    }

    /// The answer to a claim.
    pub(super) fn take_claim_answer(&mut self, run: RunId, answer: &FleetAnswer, now: Now, actions: &mut Vec<Action>) {
        let Some(fleet) = &mut self.fleet else { return };
        let Some(claim) = fleet.claims.get_mut(run) else { return };
        claim.request = None;
        claim.tries += 1;
        let found = fleet.cache.mark(&claim.start.job).and_then(|known| known.value.as_ref());
        claim.has_failed = matches!(answer, FleetAnswer::Failed { .. });
        let newly_unsure = claim.newly_unsure.take();
        match answer {
            FleetAnswer::Failed { .. } => {
                claim.unsure.retain(|number| Some(*number) != newly_unsure);
                claim.retry_ms = now.elapsed_ms.saturating_add(CLAIM_RETRY_MS);
            }
            // Another has made the claim of that number.
            FleetAnswer::Refused { .. } => claim
                .unsure
                .retain(|number| found.is_none_or(|mark| mark.number != *number || mark.instance() == fleet.instance)),
            FleetAnswer::Done { .. } | FleetAnswer::Unknown => {}
        }
        match answer {
            // If it was made after all, the slot is lost.
            FleetAnswer::Unknown => self.drop_claim(run, now, actions),
            FleetAnswer::Refused { .. } if claim.tries >= MOST_TRIES => self.drop_claim(run, now, actions),
            FleetAnswer::Done { .. } | FleetAnswer::Refused { .. } | FleetAnswer::Failed { .. } => {
                self.drive_claim(run, now, actions);
            }
        }
    }

    /// Continues a claim, by what is known of the keys.
    fn drive_claim(&mut self, run: RunId, now: Now, actions: &mut Vec<Action>) {
        if self.phase != Phase::Running {
            return;
        }
        let Some(fleet) = &self.fleet else { return };
        let Some(claim) = fleet.claims.get(run) else { return };
        let id = claim.start.job.clone();
        let Some(policy) = self.jobs.policy(&id) else { return self.drop_claim(run, now, actions) };
        let expires_ms = claim.since_ms.saturating_add(CLAIM_MS);
        if now.elapsed_ms >= expires_ms {
            return match !fleet.link.is_up(now.elapsed_ms) || claim.has_failed {
                true => self.drop_away(run, now, actions),
                false => self.drop_claim(run, now, actions),
            };
        }
        if claim.request.is_some() {
            // The watch may show the claim before the answer does.
            let shown = fleet.shown_claim(claim).filter(|_| fleet.link.is_up(now.elapsed_ms));
            return match shown {
                Some(found) => self.start_claimed(run, Some(found), now, actions),
                None => fleet_wake_at(&mut self.fleet, &id, expires_ms),
            };
        }
        let is_up = fleet.link.is_up(now.elapsed_ms);
        if !is_up || claim.has_failed {
            let decides_ms = fleet.decides_ms(claim.since_ms, now.elapsed_ms);
            if now.elapsed_ms >= decides_ms {
                return match runs_when_away(policy) {
                    true => self.start_claimed(run, None, now, actions),
                    false => self.drop_away(run, now, actions),
                };
            }
            let asks_again_ms = if is_up { claim.retry_ms } else { decides_ms };
            if now.elapsed_ms < asks_again_ms {
                return fleet_wake_at(&mut self.fleet, &id, asks_again_ms.min(decides_ms).min(expires_ms));
            }
        }
        let slot = Timestamp(claim.start.scheduled_at);
        let is_of_slot = claim.is_of_slot();
        // What was perhaps claimed before counts only if it was.
        let earlier = self.jobs.claim_of_run(run);
        if is_of_slot && earlier.is_none_or(SlotClaim::is_unsure) {
            // Slots are claimed in their order, and none is left out.
            if fleet.has_older(&id, slot) || self.settle_before(&id, slot, now, actions) {
                return fleet_wake_at(&mut self.fleet, &id, expires_ms);
            }
        }
        let Some(policy) = self.jobs.policy(&id) else { return };
        let Some(fleet) = &self.fleet else { return };
        let Some(claim) = fleet.claims.get(run) else { return };
        let lost_before_ms = now.elapsed_ms.saturating_sub(Scheduler::lost_after_ms(policy));
        let needs_key = runs_alone(policy);
        let is_active = |run| self.jobs.owns(run);
        match fleet.plan_claim(claim, earlier, needs_key, lost_before_ms, is_active) {
            ClaimPlan::Ours(found) => self.start_claimed(run, Some(found), now, actions),
            ClaimPlan::Taken => self.drop_claim(run, now, actions),
            ClaimPlan::Busy => self.drop_busy(run, now, actions),
            ClaimPlan::Send { transaction, number } => {
                let Some(fleet) = &mut self.fleet else { return };
                let request = fleet.request(Purpose::Claim(run), transaction, expires_ms);
                if let (Some(claim), Some(request)) = (fleet.claims.get_mut(run), &request) {
                    claim.request = Some(request.id);
                    claim.newly_unsure = number.filter(|number| !claim.unsure.contains(number));
                    claim.unsure.extend(claim.newly_unsure);
                }
                actions.extend(request.map(|request| Action::Fleet(Box::new(request))));
                fleet.wake(&id, expires_ms);
            }
        }
    }

    /// Hands a run over to the executor, with its claim or, as the engine is away, without.
    fn start_claimed(&mut self, run: RunId, claim: Option<SlotClaim>, now: Now, actions: &mut Vec<Action>) {
        let Some(fleet) = &mut self.fleet else { return };
        let Some(PendingClaim { mut start, since_ms, unsure, has_old_request, .. }) = fleet.claims.remove(run) else {
            return;
        };
        let alive_until_ms = fleet.link.alive_until_ms();
        let policy = self.jobs.policy(&start.job);
        let is_by_hand = start.trigger.is_manual();
        let fails_over = policy.is_some_and(|policy| policy.fleet.mode == FleetMode::OneWithFailover) && !is_by_hand;
        start.fleet = Some(FleetRun {
            fence: claim.or(self.jobs.claim_of_run(run)).map(|claim| claim.fence).filter(|fence| *fence > 0),
            start_by_ms: since_ms.saturating_add(CLAIM_MS),
            end_by_ms: fails_over.then_some(alive_until_ms),
        });
        let is_without = claim.is_none() && !is_by_hand;
        // It was perhaps made all the same: then its end is reported.
        let unsure = unsure.last().map(|number| SlotClaim { run, number: *number, fence: 0 });
        let claim = claim.or(is_by_hand.then(|| SlotClaim::by_hand(run))).or(self.jobs.claim_of_run(run)).or(unsure);
        let id = start.job.clone();
        fleet.wake(&id, now.elapsed_ms);
        if is_without {
            self.decide_away(&id, Timestamp(start.scheduled_at), now, actions);
        }
        self.with_jobs(now, actions, |jobs, context| jobs.note_claimed(run, claim, context));
        if has_old_request {
            self.keep_run_keys(RunKeys::OfJob(&id), now, actions);
        }
        // A daemon that follows after a crash has to know the claim of what may have been started.
        let state = self.jobs.saved(&id).cloned();
        actions.push(Action::SaveState(Box::new(StateChange::state(id.clone(), state))));
        let ping = self.start_ping(&start);
        actions.push(Action::Start(start));
        actions.extend(ping);
    }

    /// Drops a run whose slot is another node's.
    fn drop_claim(&mut self, run: RunId, now: Now, actions: &mut Vec<Action>) {
        if self.drop_by_hand(run, SkipReason::EngineAway, now, actions) {
            return;
        }
        let Some(claim) = self.fleet.as_mut().and_then(|fleet| fleet.give_up_claim(run)) else { return };
        self.starts.drop_claimed(run);
        self.with_jobs(now, actions, |jobs, context| jobs.drop_taken(run, context));
        // What was taken over is not driven again at once.
        let pause_ms = if claim.start.trigger == Trigger::Failover { RANK_MS } else { 0 };
        fleet_wake_at(&mut self.fleet, &claim.start.job, now.elapsed_ms.saturating_add(pause_ms));
    }

    /// Drops a run by hand. False: it is none.
    fn drop_by_hand(&mut self, run: RunId, why: SkipReason, now: Now, actions: &mut Vec<Action>) -> bool {
        let Some(fleet) = &mut self.fleet else { return false };
        if !fleet.claims.get(run).is_some_and(|claim| claim.start.trigger.is_manual()) {
            return false;
        }
        fleet.claims.remove(run);
        self.starts.drop_claimed(run);
        self.with_jobs(now, actions, |jobs, context| jobs.drop_queued(run, why, context));
        true
    }

    /// Job, slot and trigger of a run that waits for its claim. None: it is a further attempt, or is taken over from another node.
    fn first_attempt(&self, run: RunId) -> Option<(JobId, Timestamp, Trigger)> {
        let start = &self.fleet.as_ref()?.claims.get(run)?.start;
        let is_first = start.attempt == 1 && start.trigger != Trigger::Failover;
        is_first.then(|| (start.job.clone(), Timestamp(start.scheduled_at), start.trigger))
    }

    /// Drops a run because a run of the job is in progress in the fleet.
    fn drop_busy(&mut self, run: RunId, now: Now, actions: &mut Vec<Action>) {
        if self.drop_by_hand(run, SkipReason::StillRunning, now, actions) {
            return;
        }
        let skipped = self.first_attempt(run);
        self.drop_claim(run, now, actions);
        if let Some((id, slot, trigger)) = skipped {
            self.begin_skip((&id, slot), trigger, SkipReason::StillRunning, now, actions);
        }
    }

    /// Drops a run because the engine is away.
    fn drop_away(&mut self, run: RunId, now: Now, actions: &mut Vec<Action>) {
        if self.drop_by_hand(run, SkipReason::EngineAway, now, actions) {
            return;
        }
        let skipped = self.first_attempt(run);
        self.drop_claim(run, now, actions);
        if let Some((id, slot, _)) = skipped {
            self.skip_away(&id, slot, now, actions);
        }
    }
}

/// Ends of claimed slots.
impl Scheduler {
    /// No attempt follows for a claimed slot: the engine gets its outcome.
    pub(super) fn report_end(&mut self, claim: SlotClaim, record: &RunRecord, now: Now, actions: &mut Vec<Action>) {
        let Some(fleet) = &mut self.fleet else { return };
        let state = if record.outcome == Outcome::Lost { MarkState::Lost } else { MarkState::Ended };
        let status = record.outcome.exit_status().map(|status| status.to_string());
        let outcome = FleetOutcome {
            slot: record.scheduled_at.0,
            node: fleet.settings.node.clone(),
            run: record.run.map(|run| run.0),
            attempt: record.attempt,
            started_at_ms: record.started_at_ms,
            ended_at_ms: record.ended_at_ms,
            outcome: record.outcome.as_str().to_owned(),
            detail: record.outcome.reason().map(str::to_owned).or(status),
            fence: Some(claim.fence).filter(|fence| *fence > 0),
            count: 1,
            until: None,
        };
        fleet.add_report(record.job.clone(), Report { claim, outcome, state, request: None });
        self.send_report(&record.job, claim.number, now, actions);
    }

    /// Sends the ends that the engine does not have yet.
    pub(super) fn send_reports(&mut self, now: Now, actions: &mut Vec<Action>) {
        let keys: Vec<(JobId, u64)> = self.fleet.iter().flat_map(|fleet| fleet.reports.keys().cloned()).collect();
        for (job, number) in keys {
            self.send_report(&job, number, now, actions);
        }
    }

    /// Sends an end that the engine does not have yet, unless that is done already.
    pub(super) fn send_report(&mut self, job: &JobId, number: u64, now: Now, actions: &mut Vec<Action>) {
        let Some(fleet) = self.fleet.as_mut().filter(|fleet| fleet.link.lease().is_some()) else { return };
        let key = (job.clone(), number);
        let Some(report) = fleet.reports.get(&key).filter(|report| report.request.is_none()) else { return };
        if fleet.is_left_to_others(job, report) {
            return fleet.remove_report(job, number);
        }
        let transaction = fleet.plan_report(job, report);
        let purpose = Purpose::Report(job.clone(), number);
        let request = fleet.request(purpose, transaction, now.elapsed_ms.saturating_add(REQUEST_MS));
        if let (Some(report), Some(request)) = (fleet.reports.get_mut(&key), &request) {
            report.request = Some(request.id);
        }
        actions.extend(request.map(|request| Action::Fleet(Box::new(request))));
    }

    /// The lease was renewed: runs that fail over may continue as long.
    pub(super) fn extend_runs(&mut self, actions: &mut Vec<Action>) {
        let Some(fleet) = &self.fleet else { return };
        if !fleet.link.is_published() {
            return;
        }
        let is_ours = |run: &FleetActiveRun<'_>| {
            let own = fleet.cache.mark(run.job).filter(|known| known.value.as_ref().is_some_and(|mark| mark.is_open()));
            let own = own.and_then(|known| fleet.own_claim(known));
            run.policy.fleet.mode == FleetMode::OneWithFailover
                && !run.is_by_hand
                && own.is_some_and(|own| run.claim.is_some_and(|claim| claim.run == own.run))
        };
        let runs: Vec<RunId> = self.jobs.fleet_runs().filter(is_ours).map(|run| run.run).collect();
        if !runs.is_empty() {
            actions.push(Action::ExtendRuns { runs, end_by_ms: fleet.link.alive_until_ms() });
        }
    }
}

fn fleet_wake_at(fleet: &mut Option<Fleet>, id: &JobId, at_ms: i64) {
    if let Some(fleet) = fleet {
        fleet.wake(id, at_ms);
    }
}
