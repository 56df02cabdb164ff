//! The state of a node of a fleet: what it knows of the fleet, what it has asked the engine for, and what it still has to do.

use super::cache::{FleetCache, Known};
use super::key::FleetKey;
use super::link::FleetLink;
use super::message::{Change, Compare, FleetAnswer, FleetEntry, FleetRequest, Transaction};
use super::rank::rank;
use super::settings::FleetSettings;
use super::value::{FleetOutcome, FleetPause, Mark, MarkState, NodeRecord, RunKey};
use crate::crontab::FleetRule;
use crate::schedule::Timestamp;
use crate::scheduler::job_id::JobId;
use crate::scheduler::now::Now;
use crate::scheduler::run_id::RunId;
use crate::scheduler::run_record::{RunRecord, SkipReason, Trigger};
use crate::scheduler::run_request::RunRequest;
use crate::scheduler::slot_claim::SlotClaim;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Slots of one job that wait for their turn. Of more the oldest is dropped: other nodes have had time enough to claim it.
const MOST_PENDING: usize = 60;
/// How much later than the median of the fleet's clocks a slot may be when it is claimed. Milliseconds.
const AHEAD_MS: i64 = 5_000;
/// A node whose clock differs by more from the median is not in the fleet. Milliseconds.
pub(super) const MOST_SKEW_MS: i64 = 30_000;
/// Sleeps of the machine that are remembered. Messages are not older.
const MOST_SLEEPS: usize = 64;
/// Most ends that wait for the engine.
const MOST_REPORTS: usize = 10_000;

/// A node of a fleet.
#[derive(Debug)]
pub(in crate::scheduler) struct Fleet {
    pub(in crate::scheduler) settings: FleetSettings,
    /// The instance of this node, the same for all daemons of a boot.
    pub(in crate::scheduler) instance: String,
    pub(in crate::scheduler) cache: FleetCache,
    pub(in crate::scheduler) link: FleetLink,
    /// Jobs of which slots wait for their turn, or for which this node has to do something at a known moment.
    pub(in crate::scheduler) jobs: BTreeMap<JobId, FleetJob>,
    wakes: BTreeSet<(i64, JobId)>,
    /// Runs that wait for their claims.
    pub(in crate::scheduler) claims: BTreeMap<RunId, PendingClaim>,
    /// Slots that are to be skipped for all.
    pub(in crate::scheduler) skips: BTreeMap<(JobId, Timestamp), PendingSkip>,
    /// Ends that the engine does not know yet, by the number of the claim.
    pub(in crate::scheduler) reports: BTreeMap<(JobId, u64), Report>,
    /// Requests without an answer.
    requests: BTreeMap<u64, (Purpose, Transaction)>,
    last_request: u64,
    /// Pauses that somebody has asked for on this node, as they are to be. None: the pause is to end.
    pub(in crate::scheduler) wanted_pauses: BTreeMap<JobId, Option<FleetPause>>,
    /// The last slots that this node has run without a claim, as the engine was away.
    pub(in crate::scheduler) run_unclaimed: BTreeMap<JobId, i64>,
    /// What jobs have asked for.
    pub(in crate::scheduler) tasks: VecDeque<FleetTask>,
    /// The value of the node key as it is to be, and of the jobs key.
    pub(in crate::scheduler) published: (String, String),
    /// For how long the machine has slept since the last event, in milliseconds.
    pub(in crate::scheduler) unnoted_sleep_ms: i64,
    /// The last sleeps: by when each had ended, and how long it was, in milliseconds.
    sleeps: VecDeque<(i64, i64)>,
    /// Whether the fleet jobs of the tables have changed since.
    pub(in crate::scheduler) has_new_jobs: bool,
}

/// What is known of a job beside the keys.
#[derive(Debug, Default)]
pub(in crate::scheduler) struct FleetJob {
    /// Slots that wait for their turn, oldest first.
    pub(in crate::scheduler) pending: VecDeque<PendingSlot>,
    wake_ms: Option<i64>,
}

/// A slot that waits for the turn of this node.
#[derive(Clone, Copy, Debug)]
pub(in crate::scheduler) struct PendingSlot {
    pub(in crate::scheduler) slot: Timestamp,
    /// Since when, in milliseconds of the monotonic clock.
    pub(in crate::scheduler) since_ms: i64,
}

/// A run that waits for its claim.
#[derive(Debug)]
pub(in crate::scheduler) struct PendingClaim {
    pub(in crate::scheduler) start: Box<RunRequest>,
    /// When it was first asked for, in milliseconds of the monotonic clock.
    pub(in crate::scheduler) since_ms: i64,
    /// The request that has not been answered.
    pub(in crate::scheduler) request: Option<u64>,
    /// The slot of the mark that it replaces.
    pub(in crate::scheduler) previous: Option<i64>,
    /// How often it was refused.
    pub(in crate::scheduler) tries: u32,
}

/// A slot that is to be skipped for the whole fleet.
#[derive(Debug)]
pub(in crate::scheduler) struct PendingSkip {
    pub(in crate::scheduler) reason: SkipReason,
    pub(in crate::scheduler) trigger: Trigger,
    /// The id that it has in the mark; no run has it.
    pub(in crate::scheduler) run: RunId,
    pub(in crate::scheduler) since_ms: i64,
    pub(in crate::scheduler) request: Option<u64>,
    pub(in crate::scheduler) previous: Option<i64>,
}

/// The end of a claimed slot, for the engine.
#[derive(Debug)]
pub(in crate::scheduler) struct Report {
    pub(in crate::scheduler) claim: SlotClaim,
    pub(in crate::scheduler) outcome: FleetOutcome,
    pub(in crate::scheduler) state: MarkState,
    pub(in crate::scheduler) request: Option<u64>,
}

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::scheduler) enum Purpose {
    /// The node key.
    Publish,
    /// The claim of a run.
    Claim(RunId),
    /// The claim of a slot that is skipped.
    Skip(JobId, Timestamp),
    /// The end of a claimed slot.
    Report(JobId, u64),
    /// The mark of a node that is gone becomes `lost`, or that of a slot of this node whose run was perhaps never started.
    Lose(JobId, Option<(Timestamp, RunId)>),
    /// The run key of a job is removed, or written again under another lease.
    Run(JobId),
    /// The mark of a job, whose slot is in the future, is set to now.
    Repair(JobId),
    /// The pause of a job.
    Pause(JobId),
}

/// What the jobs have decided that concerns the fleet.
#[derive(Debug)]
pub(in crate::scheduler) enum FleetTask {
    /// A slot is to be skipped.
    Skip(JobId, Timestamp, Trigger, SkipReason),
    /// No attempt follows for a claimed slot.
    Conclude(SlotClaim, Box<RunRecord>),
    /// A run has ended.
    RunEnded(JobId),
}

/// What is to be done about a claim, by what is known of the keys.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::scheduler) enum ClaimPlan {
    /// Ask for this. The slot of the mark that it replaces.
    Send(Transaction, Option<i64>),
    /// It has been made.
    Ours(SlotClaim),
    /// The slot is another node's, or over.
    Taken,
    /// A run goes on, and overlap is forbidden.
    Busy,
}

impl Fleet {
    /// A node without a connection.
    pub(in crate::scheduler) fn new(settings: FleetSettings, instance: String, now_ms: i64) -> Fleet {
        Fleet {
            settings,
            instance,
            cache: FleetCache::default(),
            link: FleetLink::new(now_ms),
            jobs: BTreeMap::new(),
            wakes: BTreeSet::new(),
            claims: BTreeMap::new(),
            skips: BTreeMap::new(),
            reports: BTreeMap::new(),
            requests: BTreeMap::new(),
            last_request: 0,
            wanted_pauses: BTreeMap::new(),
            run_unclaimed: BTreeMap::new(),
            tasks: VecDeque::new(),
            published: (String::new(), String::new()),
            unnoted_sleep_ms: 0,
            sleeps: VecDeque::new(),
            has_new_jobs: true,
        }
    }

    /// Notes a sleep of the machine: leases and claims have gone on meanwhile, and the monotonic clock has not.
    pub(in crate::scheduler) fn note_sleep(&mut self, now_ms: i64) {
        let slept_ms = std::mem::take(&mut self.unnoted_sleep_ms);
        if slept_ms == 0 {
            return;
        }
        self.link.note_sleep(slept_ms);
        self.claims.values_mut().for_each(|claim| claim.since_ms = claim.since_ms.saturating_sub(slept_ms));
        self.sleeps.push_back((now_ms, slept_ms));
        if self.sleeps.len() > MOST_SLEEPS {
            self.sleeps.pop_front();
        }
    }

    /// A moment of the monotonic clock as it would be if that had gone on in sleeps since.
    pub(in crate::scheduler) fn before_sleeps(&self, at_ms: i64) -> i64 {
        let since = self.sleeps.iter().filter(|(ended_ms, _)| at_ms <= *ended_ms);
        at_ms.saturating_sub(since.map(|(_, slept_ms)| slept_ms).sum())
    }

    /// Lets a job be looked at at that moment, unless it is looked at earlier.
    pub(in crate::scheduler) fn wake(&mut self, id: &JobId, at_ms: i64) {
        let job = self.jobs.entry(id.clone()).or_default();
        if job.wake_ms.is_some_and(|known| known <= at_ms) {
            return;
        }
        if let Some(old) = job.wake_ms.replace(at_ms) {
            self.wakes.remove(&(old, id.clone()));
        }
        self.wakes.insert((at_ms, id.clone()));
    }

    /// Takes out a job that is to be looked at.
    pub(in crate::scheduler) fn take_due(&mut self, now_ms: i64) -> Option<JobId> {
        let (_, id) = self.wakes.first().is_some_and(|(at, _)| *at <= now_ms).then(|| self.wakes.pop_first())??;
        if let Some(job) = self.jobs.get_mut(&id) {
            job.wake_ms = None;
        }
        Some(id)
    }

    /// When the next job is to be looked at.
    pub(in crate::scheduler) fn next_wake_ms(&self) -> Option<i64> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// Forgets what is known of a job of which nothing waits.
    pub(in crate::scheduler) fn forget_if_idle(&mut self, id: &JobId) {
        if self.jobs.get(id).is_some_and(|job| job.pending.is_empty() && job.wake_ms.is_none()) {
            self.jobs.remove(id);
        }
    }

    /// Adds a slot that has come.
    pub(in crate::scheduler) fn add_slot(&mut self, id: &JobId, slot: Timestamp, now_ms: i64) {
        let pending = &mut self.jobs.entry(id.clone()).or_default().pending;
        let place = pending.partition_point(|other| other.slot < slot);
        if pending.get(place).is_some_and(|other| other.slot == slot) {
            return;
        }
        pending.insert(place, PendingSlot { slot, since_ms: now_ms });
        if pending.len() > MOST_PENDING {
            pending.pop_front();
        }
    }

    /// The first slot that waits.
    pub(in crate::scheduler) fn first_pending(&self, id: &JobId) -> Option<PendingSlot> {
        self.jobs.get(id)?.pending.front().copied()
    }

    /// Takes it out.
    pub(in crate::scheduler) fn drop_pending(&mut self, id: &JobId) {
        if let Some(job) = self.jobs.get_mut(id) {
            job.pending.pop_front();
        }
    }

    /// The rank of this node for a job. None: it may not run it.
    pub(in crate::scheduler) fn rank(&self, id: &JobId, rule: &FleetRule) -> Option<usize> {
        rank(rule, id, &self.settings.node, self.cache.nodes())
    }

    /// Whether this node may run jobs of that rule.
    pub(in crate::scheduler) fn is_selected(&self, rule: &FleetRule) -> bool {
        rule.nodes.as_ref().is_none_or(|nodes| nodes.place(&self.settings.node, &self.settings.labels).is_some())
    }

    /// The median of the clocks of the nodes, milliseconds of UTC. Of an even number the earlier one.
    pub(super) fn median_ms(&self, now: Now) -> i64 {
        let others = self.cache.clocks(now.elapsed_ms).filter(|(node, _)| **node != self.settings.node);
        // Our own is known in whole seconds.
        let own = now.utc.0.saturating_mul(1_000).saturating_add(500);
        let mut clocks: Vec<i64> = others.map(|(_, at)| at).chain([own]).collect();
        clocks.sort_unstable();
        clocks.get((clocks.len() - 1) / 2).copied().unwrap_or(own)
    }

    /// For how many milliseconds a slot may not be claimed yet.
    pub(in crate::scheduler) fn wait_for_clock_ms(&self, slot: Timestamp, now: Now) -> i64 {
        (slot.0.saturating_mul(1_000) - self.median_ms(now) - AHEAD_MS).max(0)
    }

    /// Whether the clock of this node differs too much from the others'.
    pub(in crate::scheduler) fn is_skewed(&self, now: Now) -> bool {
        (now.utc.0.saturating_mul(1_000) - self.median_ms(now)).abs() > MOST_SKEW_MS
    }

    /// The nonce of a run of this node.
    pub(in crate::scheduler) fn nonce(&self, run: RunId) -> String {
        format!("{}-{}", self.instance, run.0)
    }

    /// The run of this node with that nonce. None: it is another node's.
    pub(in crate::scheduler) fn own_run(&self, node: &str, nonce: &str) -> Option<RunId> {
        let run = nonce.strip_prefix(self.instance.as_str())?.strip_prefix('-')?;
        if node != self.settings.node {
            return None;
        }
        run.parse().ok().map(RunId)
    }

    /// The claim that a mark is, if it is one of this node.
    pub(in crate::scheduler) fn own_claim(&self, known: &Known<Mark>) -> Option<SlotClaim> {
        let mark = known.value.as_ref()?;
        let run = self.own_run(&mark.node, &mark.nonce)?;
        Some(SlotClaim { run, number: mark.number, fence: known.revision })
    }

    /// Makes a request. None: there is no connection.
    pub(in crate::scheduler) fn request(
        &mut self,
        purpose: Purpose,
        transaction: Transaction,
        expires_ms: i64,
    ) -> Option<FleetRequest> {
        self.link.lease()?;
        self.last_request += 1;
        self.requests.insert(self.last_request, (purpose, transaction.clone()));
        Some(FleetRequest { id: self.last_request, expires_ms, transaction })
    }

    /// Whether a request of that purpose has not been answered.
    pub(in crate::scheduler) fn is_asked(&self, purpose: &Purpose) -> bool {
        self.requests.values().any(|(other, _)| other == purpose)
    }

    /// Takes an answer, and what it shows of the keys. Returns what was asked for and why, and the keys that have changed.
    pub(in crate::scheduler) fn take_answer(
        &mut self,
        id: u64,
        answer: &FleetAnswer,
        now_ms: i64,
    ) -> Option<(Purpose, Transaction, Vec<FleetKey>)> {
        let (purpose, transaction) = self.requests.remove(&id)?;
        let entries: Vec<FleetEntry> = match answer {
            FleetAnswer::Done { revision } => {
                let entry = |change: Change| FleetEntry { key: change.key, value: change.value, revision: *revision };
                transaction.changes.iter().cloned().map(entry).collect()
            }
            // Only keys that were asked for.
            FleetAnswer::Refused { found } => {
                let is_asked = |entry: &&FleetEntry| transaction.compares.iter().any(|other| other.key == entry.key);
                found.iter().filter(is_asked).cloned().collect()
            }
            FleetAnswer::Failed { .. } | FleetAnswer::Unknown => Vec::new(),
        };
        let changed = entries.iter().filter_map(|entry| self.cache.apply(entry, now_ms)).collect();
        Some((purpose, transaction, changed))
    }

    /// The connection has ended: no request gets an answer any more.
    pub(in crate::scheduler) fn forget_requests(&mut self) {
        self.requests.clear();
        self.claims.values_mut().for_each(|claim| claim.request = None);
        self.skips.values_mut().for_each(|skip| skip.request = None);
        self.reports.values_mut().for_each(|report| report.request = None);
    }

    /// Keeps the end of a claimed slot until the engine has it.
    pub(in crate::scheduler) fn add_report(&mut self, job: JobId, report: Report) {
        if self.reports.len() >= MOST_REPORTS {
            self.reports.pop_first();
        }
        self.reports.insert((job, report.claim.number), report);
    }

    /// Whether the end of a slot has not reached the engine yet.
    pub(in crate::scheduler) fn has_report(&self, job: &JobId, slot: i64) -> bool {
        self.reports.range((job.clone(), 0)..=(job.clone(), u64::MAX)).any(|(_, report)| report.outcome.slot == slot)
    }
}

/// The transactions.
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
    /// node that is gone counts as lost if that was known at `lost_before_ms`. `is_active` says whether a run of this node goes on.
    pub(in crate::scheduler) fn plan_claim(
        &self,
        start: &RunRequest,
        earlier: Option<SlotClaim>,
        needs_key: bool,
        lost_before_ms: i64,
        is_active: impl Fn(RunId) -> bool,
    ) -> ClaimPlan {
        let Some(lease) = self.link.lease() else { return ClaimPlan::Taken };
        let (job, slot, run) = (&start.job, start.scheduled_at, start.run);
        let mark_key = FleetKey::Mark(job.clone());
        let known = self.cache.mark(job);
        let mark = known.and_then(|known| known.value.as_ref());
        if known.is_some() && mark.is_none() {
            return ClaimPlan::Taken;
        }
        let own = known.and_then(|known| self.own_claim(known));
        let is_open = mark.is_some_and(Mark::is_open);
        let is_same_slot = mark.is_some_and(|mark| mark.slot == slot);
        let mut compares = vec![Fleet::compare(&mark_key, known.map(|known| known.text.as_str()))];
        let mut changes = Vec::new();
        let mut previous = None;
        match (earlier, start.trigger) {
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
                    return if own.run == run { ClaimPlan::Ours(own) } else { ClaimPlan::Taken };
                }
                let node = self.cache.node(&lost.node);
                let gone_ms = self.cache.gone_ms(&lost.node, lost.instance());
                if lost.state != MarkState::Claimed || gone_ms.is_none_or(|at| at > lost_before_ms) {
                    return ClaimPlan::Taken;
                }
                let node_key = FleetKey::Node(lost.node.clone());
                compares.push(Fleet::compare(&node_key, node.map(|known| known.text.as_str())));
                let second = Mark { state: MarkState::Second, ..self.mark_of(slot, run, lost.number) };
                changes.push(put(&mark_key, second.to_string(), None));
                changes.push(self.running_outcome(job, slot, run, lost.number));
            }
            (None, _) => {
                if let Some(own) = own.filter(|own| own.run == run && is_same_slot && is_open) {
                    return ClaimPlan::Ours(own);
                }
                if mark.is_some_and(|mark| mark.slot >= slot) {
                    return ClaimPlan::Taken;
                }
                let number = mark.map_or(0, |mark| mark.number).saturating_add(1);
                previous = mark.map(|mark| mark.slot);
                changes.push(put(&mark_key, self.mark_of(slot, run, number).to_string(), None));
                changes.push(self.running_outcome(job, slot, run, number));
            }
        }
        if needs_key {
            let run_key = FleetKey::Run(job.clone());
            let other = self.cache.run(job);
            if other.is_some_and(|other| !self.is_own_ended(other, &is_active)) {
                return ClaimPlan::Busy;
            }
            compares.push(Fleet::compare(&run_key, other.map(|other| other.text.as_str())));
            changes.push(put(&run_key, self.run_key(slot, run), Some(lease)));
        }
        ClaimPlan::Send(Transaction { compares, changes }, previous)
    }

    fn mark_of(&self, slot: i64, run: RunId, number: u64) -> Mark {
        let (node, nonce) = (self.settings.node.clone(), self.nonce(run));
        Mark { slot, node, nonce, state: MarkState::Claimed, number }
    }

    fn run_key(&self, slot: i64, run: RunId) -> String {
        json(&RunKey { node: self.settings.node.clone(), nonce: self.nonce(run), slot })
    }

    /// Whether the run key of a job is that of a run.
    pub(in crate::scheduler) fn has_run_key(&self, job: &JobId, run: RunId) -> bool {
        let key = self.cache.run(job).and_then(|known| known.value.as_ref());
        key.is_some_and(|key| self.own_run(&key.node, &key.nonce) == Some(run))
    }

    /// Whether a run key is of a run of this node that has ended.
    fn is_own_ended(&self, known: &Known<RunKey>, is_active: &impl Fn(RunId) -> bool) -> bool {
        let run = known.value.as_ref().and_then(|key| self.own_run(&key.node, &key.nonce));
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
        }
    }

    fn running_outcome(&self, job: &JobId, slot: i64, run: RunId, number: u64) -> Change {
        put(&outcome_key(job, number), json(&self.outcome(slot, run)), None)
    }

    /// What is asked for to skip a slot for all. None: it is another node's, or over; with `Some(None)` this node has done it.
    pub(in crate::scheduler) fn plan_skip(
        &self,
        job: &JobId,
        slot: i64,
        run: RunId,
        reason: SkipReason,
    ) -> Option<Option<(Transaction, Option<i64>)>> {
        let key = FleetKey::Mark(job.clone());
        let known = self.cache.mark(job);
        let mark = known.and_then(|known| known.value.as_ref());
        if known.is_some() && mark.is_none() {
            return None;
        }
        if let Some(mark) = mark.filter(|mark| mark.slot >= slot) {
            let is_ours = mark.slot == slot && self.own_run(&mark.node, &mark.nonce) == Some(run);
            return is_ours.then_some(None);
        }
        let number = mark.map_or(0, |mark| mark.number).saturating_add(1);
        let new = Mark { state: MarkState::Ended, ..self.mark_of(slot, run, number) };
        let outcome = FleetOutcome {
            run: None,
            attempt: 0,
            outcome: "skipped".to_owned(),
            detail: Some(reason.as_str().to_owned()),
            ..self.outcome(slot, run)
        };
        let transaction = Transaction {
            compares: vec![Fleet::compare(&key, known.map(|known| known.text.as_str()))],
            changes: vec![put(&key, new.to_string(), None), put(&outcome_key(job, number), json(&outcome), None)],
        };
        Some(Some((transaction, mark.map(|mark| mark.slot))))
    }

    /// What is asked for to report an end. None: the engine has it, or does not want it.
    pub(in crate::scheduler) fn plan_report(&self, job: &JobId, report: &Report) -> Transaction {
        let SlotClaim { run, number, .. } = report.claim;
        let key = FleetKey::Mark(job.clone());
        let own = self.cache.mark(job).and_then(|known| Some((self.own_claim(known)?, known.value.as_ref()?, known)));
        let own = own.filter(|(claim, mark, _)| claim.run == run && claim.number == number && mark.is_open());
        let outcome_key = outcome_key(job, number);
        let outcome = put(&outcome_key, json(&report.outcome), None);
        let mut transaction = match own {
            Some((_, mark, known)) => {
                let ended = Mark { state: report.state, ..mark.clone() };
                Transaction {
                    compares: vec![Fleet::compare(&key, Some(&known.text))],
                    changes: vec![put(&key, ended.to_string(), None), outcome],
                }
            }
            // A newer slot has been claimed since, or the run counts as lost.
            None => {
                let running = json(&self.outcome(report.outcome.slot, run));
                Transaction { compares: vec![Fleet::compare(&outcome_key, Some(&running))], changes: vec![outcome] }
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
            if node.and_then(|known| known.value.as_ref()).is_some_and(|node| node.instance == mark.instance()) {
                return None;
            }
            compares.push(Fleet::compare(&FleetKey::Node(mark.node.clone()), node.map(|known| known.text.as_str())));
        }
        let lost = Mark { state: MarkState::Lost, ..mark.clone() };
        let run = mark.nonce.rsplit_once('-').and_then(|(_, run)| run.parse().ok());
        let outcome = FleetOutcome {
            node: mark.node.clone(),
            run,
            outcome: "lost".to_owned(),
            fence: Some(known.revision),
            ..self.outcome(mark.slot, RunId(0))
        };
        let changes =
            vec![put(&key, lost.to_string(), None), put(&outcome_key(job, mark.number), json(&outcome), None)];
        Some(Transaction { compares, changes })
    }

    /// The run key of a run that goes on is written again under the lease of this connection. None: it is another's.
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
        Some(Transaction { compares, changes: vec![put(&key, self.run_key(slot, run), Some(lease))] })
    }

    /// The pause of a job as somebody has asked for it. None: it is so.
    pub(in crate::scheduler) fn plan_pause(&self, job: &JobId) -> Option<Transaction> {
        let wanted = self.wanted_pauses.get(job)?.as_ref().map(json);
        let known = self.cache.pause(job).map(|known| known.text.clone());
        if known == wanted {
            return None;
        }
        let key = FleetKey::Pause(job.clone());
        Some(Transaction {
            compares: vec![Fleet::compare(&key, known.as_deref())],
            changes: vec![Change { key: key.to_string(), value: wanted, lease: None }],
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
    FleetKey::Outcome(job.clone(), number % super::key::OUTCOMES_KEPT)
}

fn put(key: &FleetKey, value: String, lease: Option<u64>) -> Change {
    Change { key: key.to_string(), value: Some(value), lease }
}

/// A value as JSON. It has only strings and numbers, which cannot fail.
pub(in crate::scheduler) fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
