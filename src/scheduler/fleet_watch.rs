//! Claimed slots of which nobody will report the end: their node was lost, or an earlier daemon of this node has never started them. And the
//! keys of runs in progress.

use super::action::Action;
use super::fleet::{Fleet, LEASE_MS, MarkState, Purpose, RunKeys, Transaction};
use super::fleet_events::REQUEST_MS;
use super::fleet_slots::RANK_MS;
use super::job_id::JobId;
use super::jobs::{FleetActiveRun, runs_alone};
use super::now::Now;
use super::run_id::RunId;
use super::slot_claim::SlotClaim;
use super::state::Scheduler;
use crate::crontab::{FleetMode, Policy};
use crate::schedule::Timestamp;

/// So much longer than its lease and the grace period of its job a node must be gone to be lost. Milliseconds.
const MARGIN_MS: i64 = 5_000;

impl Scheduler {
    /// How long a node must be gone to be lost with its run of a job. Milliseconds.
    pub(super) fn lost_after_ms(policy: &Policy) -> i64 {
        LEASE_MS.saturating_add(i64::from(policy.grace).saturating_mul(1_000)).saturating_add(MARGIN_MS)
    }

    /// Checks whether the run that the mark of a job names is lost.
    pub(super) fn watch_fleet_mark(&mut self, id: &JobId, now: Now, actions: &mut Vec<Action>) {
        let Some(fleet) = &mut self.fleet else { return };
        if !fleet.link.is_up(now.elapsed_ms) {
            return;
        }
        let Some(known) = fleet.cache.mark(id) else { return };
        let Some(mark) = known.value.as_ref().filter(|mark| mark.is_open()) else { return };
        let slot = Timestamp(mark.slot);
        if let Some(own) = fleet.own_claim(known) {
            let is_reported = fleet.has_report(id, slot.0) || fleet.is_concluding(own);
            let is_waiting = is_reported || self.earlier.has_unclaimed(id);
            if !is_waiting && !self.jobs.has_slot(id, slot) {
                self.lose(id, Some((slot, own.run)), now, actions);
            }
            return;
        }
        let (node, instance, state) = (mark.node.clone(), mark.instance().to_owned(), mark.state);
        let Some(policy) = self.jobs.policy(id).filter(|_| self.jobs.entry(id).is_some()) else { return };
        let (rule, is_enabled, lost_after_ms) =
            (policy.fleet.clone(), policy.is_enabled, Scheduler::lost_after_ms(policy));
        let Some(rank) = fleet.rank(id, &rule) else { return };
        let Some(gone_ms) = fleet.cache.gone_since(&node, &instance, now.elapsed_ms) else { return };
        let wait_ms = i64::try_from(rank).unwrap_or(i64::MAX).saturating_mul(RANK_MS);
        let ready_ms = gone_ms.saturating_add(lost_after_ms).saturating_add(wait_ms);
        if now.elapsed_ms < ready_ms {
            return fleet.wake(id, ready_ms);
        }
        let takes_over = rule.mode == FleetMode::OneWithFailover && state == MarkState::Claimed && is_enabled;
        if !takes_over {
            return self.lose(id, None, now, actions);
        }
        if self.jobs.has_slot(id, slot) || fleet.is_skewed(now) {
            return;
        }
        self.with_jobs(now, actions, |jobs, context| jobs.take_over(id, slot, context));
        if !self.jobs.has_slot(id, slot) {
            // It may not run here now.
            if let Some(fleet) = &mut self.fleet {
                fleet.wake(id, now.elapsed_ms.saturating_add(LEASE_MS));
            }
        }
    }

    /// Claims of this node that a later one has replaced, and of which there is no run, are lost.
    pub(super) fn report_replaced_marks(&mut self) {
        let Some(fleet) = &mut self.fleet else { return };
        for (id, known) in fleet.cache.take_replaced() {
            let own = fleet.own_claim(&known).zip(known.value.as_ref().map(|mark| mark.slot));
            let Some((claim, slot)) = own else { continue };
            let is_waiting = fleet.has_report(&id, slot) || fleet.claims.get(claim.run).is_some();
            if !is_waiting && !self.jobs.has_slot(&id, Timestamp(slot)) && !self.earlier.has_unclaimed(&id) {
                let report = fleet.lost_report(slot, claim.run, claim.number);
                fleet.add_report(id, report);
            }
        }
    }

    /// Sets the marks that the engine has lost, as it was restored from a snapshot, to what this node has seen.
    pub(super) fn raise_marks(&mut self, now: Now, actions: &mut Vec<Action>) {
        let Some(fleet) = &self.fleet else { return };
        let ids: Vec<JobId> = fleet.cache.minimum_marks().filter(|id| self.jobs.entry(id).is_some()).cloned().collect();
        for id in ids {
            self.ask(Purpose::Raise(id.clone()), now, actions, |fleet| fleet.plan_raise(&id));
        }
    }

    /// Removes what is kept of jobs that no node has had for a month. One node does it, and only where all have the same jobs.
    pub(super) fn sweep_fleet(&mut self, now: Now, actions: &mut Vec<Action>) {
        const MOST_AT_ONCE: usize = 100;
        let Some(fleet) = &mut self.fleet else { return };
        if !fleet.link.is_up(now.elapsed_ms) || fleet.is_skewed(now) || !fleet.sweep.is_due(now.elapsed_ms) {
            return;
        }
        let own = fleet.cache.node(&fleet.settings.node).and_then(|known| known.value.as_ref());
        let digest = own.map(|own| own.digest.clone()).unwrap_or_default();
        let is_first = fleet.cache.nodes().next().is_some_and(|(node, _)| *node == fleet.settings.node);
        let is_same = fleet.cache.nodes().all(|(_, node)| node.digest == digest);
        let mut absent = Vec::new();
        if is_first && is_same {
            let marks = fleet.cache.marks().filter(|(id, _)| self.jobs.entry(id).is_none());
            absent.extend(marks.filter_map(|(id, known)| Some((id.clone(), known.value.as_ref()?.slot))));
        }
        let old = fleet.sweep.note(absent, now.utc.0, now.elapsed_ms);
        for id in old.into_iter().take(MOST_AT_ONCE) {
            self.ask(Purpose::Sweep(id.clone()), now, actions, |fleet| fleet.plan_sweep(&id));
        }
    }

    /// Asks for what is planned, unless that is asked for already.
    fn ask(
        &mut self,
        purpose: Purpose,
        now: Now,
        actions: &mut Vec<Action>,
        plan: impl FnOnce(&Fleet) -> Option<Transaction>,
    ) {
        let Some(fleet) = self.fleet.as_mut().filter(|fleet| !fleet.is_asked(&purpose)) else { return };
        let Some(transaction) = plan(fleet) else { return };
        let request = fleet.request(purpose, transaction, now.elapsed_ms.saturating_add(REQUEST_MS));
        actions.extend(request.map(|request| Action::Fleet(Box::new(request))));
    }

    fn lose(&mut self, id: &JobId, own: Option<(Timestamp, RunId)>, now: Now, actions: &mut Vec<Action>) {
        self.ask(Purpose::Lose(id.clone(), own), now, actions, |fleet| fleet.plan_lose(id));
    }

    /// Runs of an earlier daemon may have been claimed without its having written that.
    pub(super) fn adopt_claims(&mut self, now: Now, actions: &mut Vec<Action>) {
        let Some(fleet) = &self.fleet else { return };
        let open = fleet.cache.marks().filter(|(_, known)| known.value.as_ref().is_some_and(|mark| mark.is_open()));
        let claims = open.filter_map(|(id, known)| Some((id.clone(), fleet.own_claim(known)?)));
        // Those of this daemon are not started yet.
        let claims: Vec<(JobId, SlotClaim)> =
            claims.filter(|(_, claim)| fleet.claims.get(claim.run).is_none()).collect();
        self.with_jobs(now, actions, |jobs, context| {
            claims.iter().for_each(|(id, claim)| jobs.adopt_claim(id, *claim, context));
        });
    }

    /// Writes keys of runs in progress under the lease of this connection.
    pub(super) fn keep_run_keys(&mut self, keys: RunKeys<'_>, now: Now, actions: &mut Vec<Action>) {
        let Some(fleet) = &self.fleet else { return };
        let is_wanted = |run: &FleetActiveRun<'_>| match keys {
            RunKeys::All => true,
            RunKeys::Missing => fleet.cache.run(run.job).is_none(),
            RunKeys::OfJob(id) => run.job == id,
        };
        let runs = self.jobs.fleet_runs().filter(|run| runs_alone(run.policy) && is_wanted(run));
        // A run by hand has claimed no slot, and another perhaps neither.
        let claim = |run: &FleetActiveRun<'_>| run.claim.filter(|claim| claim.fence > 0);
        let runs: Vec<_> = runs.map(|run| (run.job.clone(), run.run, run.slot, claim(&run))).collect();
        let Some(fleet) = &mut self.fleet else { return };
        for (id, run, slot, claim) in runs {
            if matches!(keys, RunKeys::Missing) && fleet.is_asked(&Purpose::Run(id.clone())) {
                continue;
            }
            let Some(transaction) = fleet.plan_keep_key(&id, slot.0, run, claim) else { continue };
            let expires_ms = now.elapsed_ms.saturating_add(REQUEST_MS);
            let request = fleet.request(Purpose::Run(id), transaction, expires_ms);
            actions.extend(request.map(|request| Action::Fleet(Box::new(request))));
        }
    }

    /// Removes the key of a run of this node that has ended.
    pub(super) fn drop_run_key(&mut self, id: &JobId, now: Now, actions: &mut Vec<Action>) {
        let is_active = |run: RunId| self.jobs.owns(run);
        let Some(fleet) = &self.fleet else { return };
        let is_reported = fleet.reports_of(id).next().is_some();
        if is_reported || !fleet.link.is_up(now.elapsed_ms) || fleet.is_asked(&Purpose::Run(id.clone())) {
            return;
        }
        let Some(transaction) = fleet.plan_drop_key(id, is_active) else { return };
        let Some(fleet) = &mut self.fleet else { return };
        let request = fleet.request(Purpose::Run(id.clone()), transaction, now.elapsed_ms.saturating_add(REQUEST_MS));
        actions.extend(request.map(|request| Action::Fleet(Box::new(request))));
    }
}
