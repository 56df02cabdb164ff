//! The transactions that a node asks for, each made so that a second execution changes nothing.

use super::cache::Known;
use super::claims::PendingClaim;
use super::key::{FleetKey, OUTCOMES_KEPT};
use super::message::{Change, Compare, Transaction};
use super::state::{ClaimPlan, Fleet, PendingSkip, Report, WithoutRun};
use super::value::{FleetOutcome, FleetPause, Mark, MarkState, NodeRecord, RunKey};
use crate::scheduler::job_id::JobId;
use crate::scheduler::run_id::RunId;
use crate::scheduler::run_record::{MissReason, Trigger};
use crate::scheduler::slot_claim::{BY_HAND, SlotClaim};

impl Fleet {
    fn compare(key: &FleetKey, value: Option<&str>) -> Compare {
        Compare { key: key.to_string(), value: value.map(str::to_owned) }
    }

    /// The node key, unless it is as it should be. None: a node of this name is there that is another one.
    pub(in crate::scheduler) fn plan_publish(&self) -> Option<Transaction> {
        let lease = self.link.lease()?;
        let known = self.cache.node(&self.settings.node);
        let is_other =
            |known: &Known<NodeRecord>| known.value.as_ref().is_none_or(|node| node.instance != self.instance);
        if known.is_some_and(is_other) {
            return None;
        }
        let key = FleetKey::Node(self.settings.node.clone());
        let change = |key: &FleetKey, value: &str| Change {
            key: key.to_string(),
            value: Some(value.to_owned()),
            lease: Some(lease),
        };
        let jobs = FleetKey::Jobs(self.settings.node.clone());
        Some(Transaction {
            compares: vec![Fleet::compare(&key, known.map(|known| known.text.as_str()))],
            changes: vec![change(&key, &self.published.0), change(&jobs, &self.published.1)],
        })
    }

    /// What is to be done about the claim of a run. `needs_key`: overlap is forbidden, or the run fails over. A
    /// node that is gone counts as lost if that was known at `lost_before_ms`. `is_active` says whether a run of this node is in progress.
    pub(in crate::scheduler) fn plan_claim(
        &self,
        claim: &PendingClaim,
        earlier: Option<SlotClaim>,
        needs_key: bool,
        lost_before_ms: i64,
        is_active: impl Fn(RunId) -> bool,
    ) -> ClaimPlan {
        let Some(lease) = self.link.lease() else { return ClaimPlan::Taken };
        let start = &claim.start;
        let nonce = self.nonce(start.run, Some(claim.token));
        let (job, slot, run) = (&start.job, start.scheduled_at, start.run);
        if start.trigger.is_manual() {
            return self.plan_hand_run(claim, nonce, lease, is_active);
        }
        let is_over = self.cache.minimum_mark(job).is_some_and(|minimum_mark| minimum_mark.slot >= slot);
        if is_over || self.cache.has_no_space_for(job) {
            return ClaimPlan::Taken;
        }
        let mark_key = FleetKey::Mark(job.clone());
        let known = self.cache.mark(job);
        let mark = known.and_then(|known| known.value.as_ref());
        if known.is_some() && mark.is_none() {
            return ClaimPlan::Taken;
        }
        let own = known.and_then(|known| self.own_claim(known));
        let is_open = mark.is_some_and(Mark::is_open);
        let is_same_slot = mark.is_some_and(|mark| mark.slot == slot);
        // Not that of a copy of this machine, which has the same runs.
        let is_this_claim = mark.is_some_and(|mark| mark.nonce == nonce);
        let mut compares = vec![Fleet::compare(&mark_key, known.map(|known| known.text.as_str()))];
        let mut changes = Vec::new();
        let mut new_number = None;
        // What was perhaps claimed before counts only if it was.
        let made = |claim: SlotClaim| match claim.is_unsure() {
            true => own.filter(|own| own.run == claim.run),
            false => Some(claim),
        };
        match (earlier.and_then(made), start.trigger) {
            // A further attempt: the claim is still there.
            (Some(claim), _) => {
                if !is_same_slot || !is_open || own.is_none_or(|own| own.run != claim.run) {
                    return ClaimPlan::Taken;
                }
                if !needs_key || self.has_run_key(job, run) {
                    return ClaimPlan::Ours(claim);
                }
            }
            (None, Trigger::Failover) => {
                let Some(lost) = mark.filter(|_| is_same_slot && is_open) else { return ClaimPlan::Taken };
                if let Some(own) = own {
                    return if is_this_claim { ClaimPlan::Ours(own) } else { ClaimPlan::Taken };
                }
                let node = self.cache.node(&lost.node);
                let gone_ms = self.cache.gone_ms(lost.instance());
                if lost.state != MarkState::Claimed || gone_ms.is_none_or(|at| at > lost_before_ms) {
                    return ClaimPlan::Taken;
                }
                let node_key = FleetKey::Node(lost.node.clone());
                compares.push(Fleet::compare(&node_key, node.map(|known| known.text.as_str())));
                new_number = Some(lost.number);
                let second = Mark { state: MarkState::Second, ..self.mark_of(slot, nonce.clone(), lost.number) };
                changes.push(put(&mark_key, second.to_string(), None));
                changes.push(self.running_outcome(job, slot, run, lost.number));
            }
            (None, _) => {
                if let Some(own) = own.filter(|_| is_this_claim && is_same_slot && is_open) {
                    return ClaimPlan::Ours(own);
                }
                if mark.is_some_and(|mark| mark.slot >= slot) {
                    return ClaimPlan::Taken;
                }
                let number = mark.map_or(0, |mark| mark.number).saturating_add(1);
                new_number = Some(number);
                changes.push(put(&mark_key, self.mark_of(slot, nonce.clone(), number).to_string(), None));
                changes.push(self.running_outcome(job, slot, run, number));
            }
        }
        if needs_key {
            let run_key = FleetKey::Run(job.clone());
            let other = self.cache.run(job);
            if let Some(active) = other.filter(|other| !self.is_own_ended(other, &is_active)) {
                return self.plan_busy(&run_key, active, claim);
            }
            compares.push(Fleet::compare(&run_key, other.map(|other| other.text.as_str())));
            changes.push(put(&run_key, self.run_key(slot, nonce), Some(lease)));
        }
        ClaimPlan::Send { transaction: Transaction { compares, changes }, number: new_number }
    }

    /// A run of the job is in progress as far as is known. That of another node may have ended, and the watch may not have shown that yet: the engine is
    /// asked before the slot counts as skipped.
    fn plan_busy(&self, run_key: &FleetKey, active: &Known<RunKey>, claim: &PendingClaim) -> ClaimPlan {
        let is_own = active.value.as_ref().is_some_and(|key| self.own_run(&key.nonce).is_some());
        let is_confirmed = claim.tries > 0 && !claim.has_failed;
        if is_own || is_confirmed {
            return ClaimPlan::Busy;
        }
        let compares = vec![Fleet::compare(run_key, Some(&active.text))];
        ClaimPlan::Send { transaction: Transaction { compares, changes: Vec::new() }, number: None }
    }

    /// What is to be done before a run by hand is started of which no other may be in progress: it takes the run key.
    fn plan_hand_run(
        &self,
        claim: &PendingClaim,
        nonce: String,
        lease: u64,
        is_active: impl Fn(RunId) -> bool,
    ) -> ClaimPlan {
        let start = &claim.start;
        let (job, run) = (&start.job, start.run);
        let other = self.cache.run(job);
        let is_this_run = |known: &&Known<RunKey>| known.value.as_ref().is_some_and(|key| key.nonce == nonce);
        if let Some(own) = other.filter(is_this_run) {
            return ClaimPlan::Ours(SlotClaim { fence: own.revision, ..SlotClaim::by_hand(run) });
        }
        let key = FleetKey::Run(job.clone());
        if let Some(active) = other.filter(|other| !self.is_own_ended(other, &is_active)) {
            return self.plan_busy(&key, active, claim);
        }
        let compares = vec![Fleet::compare(&key, other.map(|other| other.text.as_str()))];
        let changes = vec![put(&key, self.run_key(start.scheduled_at, nonce), Some(lease))];
        ClaimPlan::Send { transaction: Transaction { compares, changes }, number: None }
    }

    /// The claim of a start, as the mark shows it before the answer has come.
    pub(in crate::scheduler) fn shown_claim(&self, claim: &PendingClaim) -> Option<SlotClaim> {
        let start = &claim.start;
        let known = self.cache.mark(&start.job)?;
        let nonce = self.nonce(start.run, Some(claim.token));
        let is_of_start = |mark: &&Mark| mark.slot == start.scheduled_at && mark.is_open() && mark.nonce == nonce;
        known.value.as_ref().filter(is_of_start)?;
        self.own_claim(known)
    }

    /// Whether a slot that this machine has claimed before its last boot is handled by the others: they take it over, or record it as lost.
    pub(in crate::scheduler) fn is_left_to_others(&self, job: &JobId, report: &Report) -> bool {
        let is_of_report = |mark: &Mark| {
            mark.is_open()
                && mark.number == report.claim.number
                && mark.node == self.settings.node
                && mark.instance() != self.instance
        };
        let mark = self.cache.mark(job).and_then(|known| known.value.as_ref());
        report.state == MarkState::Lost && mark.is_some_and(is_of_report)
    }

    /// That a claim which was perhaps made is lost: its run is not started.
    pub(in crate::scheduler) fn lost_report(&self, slot: i64, run: RunId, number: u64) -> Report {
        let outcome = FleetOutcome { outcome: "lost".to_owned(), ..self.outcome(slot, run) };
        Report { claim: SlotClaim { run, number, fence: 0 }, outcome, state: MarkState::Lost, request: None }
    }

    fn mark_of(&self, slot: i64, nonce: String, number: u64) -> Mark {
        Mark { slot, node: self.settings.node.clone(), nonce, state: MarkState::Claimed, number }
    }

    fn run_key(&self, slot: i64, nonce: String) -> String {
        json(&RunKey { node: self.settings.node.clone(), nonce, slot })
    }

    /// Whether the run key of a job is that of a run.
    pub(in crate::scheduler) fn has_run_key(&self, job: &JobId, run: RunId) -> bool {
        let key = self.cache.run(job).and_then(|known| known.value.as_ref());
        key.is_some_and(|key| self.own_run(&key.nonce) == Some(run))
    }

    /// Whether a run key is of a run of this node that has ended.
    fn is_own_ended(&self, known: &Known<RunKey>, is_active: &impl Fn(RunId) -> bool) -> bool {
        let run = known.value.as_ref().and_then(|key| self.own_run(&key.nonce));
        run.is_some_and(|run| !is_active(run))
    }

    fn outcome(&self, slot: i64, run: RunId) -> FleetOutcome {
        FleetOutcome {
            slot,
            node: self.settings.node.clone(),
            run: Some(run.0),
            attempt: 1,
            started_at_ms: None,
            ended_at_ms: None,
            outcome: "running".to_owned(),
            detail: None,
            fence: None,
            count: 1,
            until: None,
        }
    }

    fn running_outcome(&self, job: &JobId, slot: i64, run: RunId, number: u64) -> Change {
        put(&outcome_key(job, number), json(&self.outcome(slot, run)), None)
    }

    /// What is asked for so that slots up to `slot` pass without a run. None: they are another node's, or over; with `Some(None)` this node has
    /// done it.
    pub(in crate::scheduler) fn plan_skip(
        &self,
        job: &JobId,
        slot: i64,
        skip: &PendingSkip,
    ) -> Option<Option<Transaction>> {
        let key = FleetKey::Mark(job.clone());
        let known = self.cache.mark(job);
        let mark = known.and_then(|known| known.value.as_ref());
        if known.is_some() && mark.is_none() {
            return None;
        }
        if let Some(mark) = mark.filter(|mark| mark.slot >= slot) {
            let is_ours = mark.slot == slot && self.own_run(&mark.nonce) == Some(skip.run);
            return is_ours.then_some(None);
        }
        if self.cache.minimum_mark(job).is_some_and(|minimum_mark| minimum_mark.slot >= slot) {
            return None;
        }
        let number = mark.map_or(0, |mark| mark.number).saturating_add(1);
        let new = Mark { state: MarkState::Ended, ..self.mark_of(slot, self.nonce(skip.run, None), number) };
        let words = match skip.what {
            WithoutRun::Skipped(reason) => Some(("skipped", reason.as_str())),
            WithoutRun::Unclaimed => Some(("missed", MissReason::NoNode.as_str())),
            WithoutRun::Decided => None,
        };
        let outcome = words.map(|(word, detail)| FleetOutcome {
            run: None,
            attempt: 0,
            outcome: word.to_owned(),
            detail: Some(detail.to_owned()),
            count: skip.count,
            until: (skip.count > 1).then_some(slot),
            ..self.outcome(skip.first.0, skip.run)
        });
        let outcome = outcome.map(|outcome| put(&outcome_key(job, number), json(&outcome), None));
        Some(Some(Transaction {
            compares: vec![Fleet::compare(&key, known.map(|known| known.text.as_str()))],
            changes: [put(&key, new.to_string(), None)].into_iter().chain(outcome).collect(),
        }))
    }

    /// What is asked for to report an end.
    pub(in crate::scheduler) fn plan_report(&self, job: &JobId, report: &Report) -> Transaction {
        let SlotClaim { run, number, .. } = report.claim;
        let key = FleetKey::Mark(job.clone());
        let own = self.cache.mark(job).and_then(|known| Some((known.value.as_ref()?, known)));
        // What is known of a run from before the last boot counts, too. If it is lost, the others handle it.
        let is_of_report = |mark: &Mark| match mark.instance() == self.instance {
            true => mark.run() == Some(run.0),
            false => mark.run() == Some(run.0) && mark.node == self.settings.node && report.state != MarkState::Lost,
        };
        // Of a claim that was perhaps made the number is not certain, but no other has its nonce.
        let is_number = |mark: &Mark| mark.number == number || mark.instance() == self.instance;
        let own = own.filter(|(mark, _)| is_number(mark) && mark.is_open() && is_of_report(mark));
        let outcome_key = outcome_key(job, own.map_or(number, |(mark, _)| mark.number));
        let outcome = put(&outcome_key, json(&report.outcome), None);
        let mut transaction = match own {
            _ if report.claim.is_by_hand() => Transaction { compares: Vec::new(), changes: vec![outcome] },
            Some((mark, known)) => {
                let ended = Mark { state: report.state, ..mark.clone() };
                Transaction {
                    compares: vec![Fleet::compare(&key, Some(&known.text))],
                    changes: vec![put(&key, ended.to_string(), None), outcome],
                }
            }
            // A newer slot has been claimed since, or the run counts as lost.
            None => {
                let running = json(&self.outcome(report.outcome.slot, run));
                let mut compares = vec![Fleet::compare(&outcome_key, Some(&running))];
                let known = self.cache.mark(job);
                if known.and_then(|known| known.value.as_ref()).is_none_or(|mark| mark.number < number) {
                    // The claim is not known to have been made: the answer tells.
                    compares.push(Fleet::compare(&key, known.map(|known| known.text.as_str())));
                }
                Transaction { compares, changes: vec![outcome] }
            }
        };
        let last_run = report.outcome.run.map_or(run, RunId);
        if self.has_run_key(job, last_run)
            && let Some(known) = self.cache.run(job)
        {
            let key = FleetKey::Run(job.clone());
            transaction.compares.push(Fleet::compare(&key, Some(&known.text)));
            transaction.changes.push(Change { key: key.to_string(), value: None, lease: None });
        }
        transaction
    }

    /// The mark of a slot whose run nobody will report becomes `lost`. For another node only as long as that is not back.
    pub(in crate::scheduler) fn plan_lose(&self, job: &JobId) -> Option<Transaction> {
        let known = self.cache.mark(job)?;
        let mark = known.value.as_ref().filter(|mark| mark.is_open())?;
        let key = FleetKey::Mark(job.clone());
        let mut compares = vec![Fleet::compare(&key, Some(&known.text))];
        if self.own_claim(known).is_none() {
            let node = self.cache.node(&mark.node);
            if self.cache.has_instance(mark.instance()) {
                return None;
            }
            compares.push(Fleet::compare(&FleetKey::Node(mark.node.clone()), node.map(|known| known.text.as_str())));
        }
        let lost = Mark { state: MarkState::Lost, ..mark.clone() };
        let outcome = FleetOutcome {
            node: mark.node.clone(),
            run: mark.run(),
            outcome: "lost".to_owned(),
            fence: Some(known.revision),
            ..self.outcome(mark.slot, RunId(0))
        };
        let changes =
            vec![put(&key, lost.to_string(), None), put(&outcome_key(job, mark.number), json(&outcome), None)];
        Some(Transaction { compares, changes })
    }

    /// The run key of a run in progress is written again under the lease of this connection. None: it is another's.
    pub(in crate::scheduler) fn plan_keep_key(
        &self,
        job: &JobId,
        slot: i64,
        run: RunId,
        claim: Option<SlotClaim>,
    ) -> Option<Transaction> {
        let lease = self.link.lease()?;
        let key = FleetKey::Run(job.clone());
        let known = self.cache.run(job);
        if known.is_some() && !self.has_run_key(job, run) {
            return None;
        }
        let mut compares = vec![Fleet::compare(&key, known.map(|known| known.text.as_str()))];
        if let Some(claim) = claim {
            let mark = self.cache.mark(job)?;
            let own = self.own_claim(mark).filter(|own| own.run == claim.run);
            own.filter(|_| mark.value.as_ref().is_some_and(Mark::is_open))?;
            compares.push(Fleet::compare(&FleetKey::Mark(job.clone()), Some(&mark.text)));
        }
        Some(Transaction { compares, changes: vec![put(&key, self.run_key(slot, self.nonce(run, None)), Some(lease))] })
    }

    /// A mark that the engine has lost, as it was restored from a snapshot, is set to the slot that this node has seen. None: it is not so.
    pub(in crate::scheduler) fn plan_raise(&self, job: &JobId) -> Option<Transaction> {
        let minimum_mark = self.cache.minimum_mark(job)?;
        let known = self.cache.mark(job);
        let mark = match known {
            Some(known) => Some(known.value.as_ref()?),
            None => None,
        };
        let number = minimum_mark.number.max(mark.map_or(0, |mark| mark.number)).saturating_add(1);
        let slot = minimum_mark.slot.max(mark.map_or(minimum_mark.slot, |mark| mark.slot));
        let raised = Mark { state: MarkState::Ended, ..self.mark_of(slot, self.nonce(RunId(0), None), number) };
        let key = FleetKey::Mark(job.clone());
        Some(Transaction {
            compares: vec![Fleet::compare(&key, known.map(|known| known.text.as_str()))],
            changes: vec![put(&key, raised.to_string(), None)],
        })
    }

    /// Everything that is kept of a job is removed. None: there is nothing.
    pub(in crate::scheduler) fn plan_sweep(&self, job: &JobId) -> Option<Transaction> {
        let known = self.cache.mark(job)?;
        let delete = |key: FleetKey| Change { key: key.to_string(), value: None, lease: None };
        let outcomes = (0..2 * OUTCOMES_KEPT).map(|number| FleetKey::Outcome(job.clone(), number));
        let keys = [FleetKey::Mark(job.clone()), FleetKey::Pause(job.clone())].into_iter().chain(outcomes);
        Some(Transaction {
            compares: vec![Fleet::compare(&FleetKey::Mark(job.clone()), Some(&known.text))],
            changes: keys.map(delete).collect(),
        })
    }

    /// What makes the pause of a job as somebody has asked for it. None: it is so, or somebody else has changed it later. Not where this version
    /// cannot read the pause ([`super::cache::FleetCache::is_pause_unreadable`]).
    pub(in crate::scheduler) fn plan_pause(&self, job: &JobId) -> Option<Transaction> {
        let wanted = self.wanted_pauses.get(job)?;
        let known = self.cache.pause(job);
        let old = match known {
            Some(known) => Some(known.value.as_ref()?),
            None => None,
        };
        // Where somebody has deleted the key, the numbers continue behind the one that was known.
        let number = old.map_or(wanted.known, |old| old.number);
        let changed_at = old.map(|old| if old.is_ended { old.until } else { old.from });
        // What the user has seen is changed whatever the clocks say.
        if number != wanted.known && changed_at.is_some_and(|at| at > wanted.at) {
            return None;
        }
        let number = number.saturating_add(1);
        let new = match &wanted.pause {
            Some(pause) if old.is_some_and(|old| old.is_same(pause) && (old.is_ended || old.until == pause.until)) => {
                return None;
            }
            Some(pause) => FleetPause { number, ..pause.clone() },
            None => {
                let old = old.filter(|old| !old.is_ended)?;
                FleetPause { until: old.until.min(wanted.at), is_ended: true, number, ..old.clone() }
            }
        };
        let key = FleetKey::Pause(job.clone());
        Some(Transaction {
            compares: vec![Fleet::compare(&key, known.map(|known| known.text.as_str()))],
            changes: vec![put(&key, json(&new), None)],
        })
    }

    /// The run key of a run of this node that has ended is removed. None: there is none.
    pub(in crate::scheduler) fn plan_drop_key(
        &self,
        job: &JobId,
        is_active: impl Fn(RunId) -> bool,
    ) -> Option<Transaction> {
        let known = self.cache.run(job).filter(|known| self.is_own_ended(known, &is_active))?;
        let key = FleetKey::Run(job.clone());
        Some(Transaction {
            compares: vec![Fleet::compare(&key, Some(&known.text))],
            changes: vec![Change { key: key.to_string(), value: None, lease: None }],
        })
    }
}

fn outcome_key(job: &JobId, number: u64) -> FleetKey {
    let first = if number >= BY_HAND { OUTCOMES_KEPT } else { 0 };
    FleetKey::Outcome(job.clone(), first + number % OUTCOMES_KEPT)
}

fn put(key: &FleetKey, value: String, lease: Option<u64>) -> Change {
    Change { key: key.to_string(), value: Some(value), lease }
}

/// A value as JSON. It has only strings and numbers, which cannot fail.
pub(in crate::scheduler) fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
