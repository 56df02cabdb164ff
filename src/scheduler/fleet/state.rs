//! The state of a node of a fleet: what it knows of the fleet, what it has asked the engine for, and what it still has to do.

use super::away::AwaySlots;
use super::cache::{FleetCache, Known};
use super::claims::{PendingClaim, PendingClaims};
use super::key::{FleetKey, OUTCOMES_KEPT};
use super::link::FleetLink;
use super::load::{DailyWarning, FleetLoad};
use super::message::{Change, FleetAnswer, FleetEntry, FleetRequest, Transaction};
use super::rank::rank;
use super::settings::FleetSettings;
use super::sweep::Sweep;
use super::value::{FleetOutcome, FleetPause, Mark, MarkState};
use crate::crontab::FleetRule;
use crate::schedule::Timestamp;
use crate::scheduler::job_id::JobId;
use crate::scheduler::now::Now;
use crate::scheduler::run_id::RunId;
use crate::scheduler::run_record::{RunRecord, SkipReason, Trigger};
use crate::scheduler::slot_claim::SlotClaim;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// Slots of one job that wait for their turn. Of more the oldest is dropped: other nodes have had time enough to claim it.
const MOST_PENDING: usize = 60;
/// How much later than the median of the fleet's clocks a slot may be when it is claimed. Milliseconds.
pub(in crate::scheduler) const AHEAD_MS: i64 = 5_000;
/// So long the engine may be away before `CRON_FLEET_AWAY` decides about a slot. Milliseconds.
pub(in crate::scheduler) const AWAY_MS: i64 = 10_000;
/// A node whose clock differs by more from the median is not in the fleet. Milliseconds.
pub(super) const MOST_SKEW_MS: i64 = 30_000;
/// Sleeps of the machine that are remembered. Messages are not older.
const MOST_SLEEPS: usize = 64;
/// Most ends that wait for the engine.
const MOST_REPORTS: usize = 10_000;
/// Most skips that wait for the engine. It gets to know of others as unclaimed.
const MOST_SKIPS: usize = 10_000;
/// So many skips of one user are removed at once where there are more, so that the user is not searched for with each new one.
const SKIPS_REMOVED: usize = 100;
/// Most slots that are examined in one turn; then further jobs wait for the next one. Each takes some 50 ns.
const MOST_EXAMINED: usize = 200_000;

/// A node of a fleet.
#[derive(Debug)]
pub(in crate::scheduler) struct Fleet {
    pub(in crate::scheduler) settings: FleetSettings,
    /// The instance of this node, the same for all daemons of a boot.
    pub(in crate::scheduler) instance: String,
    /// Draws random numbers, which must differ also between copies of this process.
    pub(in crate::scheduler) random: fn() -> u64,
    pub(in crate::scheduler) cache: FleetCache,
    pub(in crate::scheduler) link: FleetLink,
    /// Jobs of which slots wait for their turn, or that have a timer.
    pub(in crate::scheduler) jobs: BTreeMap<JobId, FleetJob>,
    wakes: BTreeSet<(i64, JobId)>,
    /// Runs that wait for their claims.
    pub(in crate::scheduler) claims: PendingClaims,
    /// Slots that are to be skipped for all.
    pub(in crate::scheduler) skips: BTreeMap<(JobId, Timestamp), PendingSkip>,
    /// Ends that the engine does not know yet, by the number of the claim.
    pub(in crate::scheduler) reports: BTreeMap<(JobId, u64), Report>,
    /// Jobs of which something else is to be saved than before.
    pub(in crate::scheduler) changed: BTreeSet<JobId>,
    /// Requests without an answer.
    requests: BTreeMap<u64, (Purpose, Transaction)>,
    /// How many of them there are of each purpose.
    asked: HashMap<Purpose, usize>,
    last_request: u64,
    /// Pauses and ends of pauses that somebody has asked for on this node, and that the engine does not know yet.
    pub(in crate::scheduler) wanted_pauses: BTreeMap<JobId, WantedPause>,
    /// The slots about which this node has decided while the engine was away.
    pub(super) away: BTreeMap<JobId, AwaySlots>,
    /// Slots that earlier daemons of this boot have begun, perhaps without a claim.
    pub(in crate::scheduler) begun_here: BTreeSet<(JobId, Timestamp)>,
    /// What jobs have asked for.
    pub(in crate::scheduler) tasks: VecDeque<FleetTask>,
    /// The value of the node key as it is to be, and of the jobs key.
    pub(in crate::scheduler) published: (String, String),
    /// For how long the machine has slept since the last event, in milliseconds.
    pub(in crate::scheduler) unnoted_sleep_ms: i64,
    /// The last sleeps: by when each had ended, and how long it was, in milliseconds.
    sleeps: VecDeque<(i64, i64)>,
    /// How many slots were examined in this turn, to find those that nobody has claimed.
    pub(in crate::scheduler) examined: usize,
    /// Whether the fleet jobs of the tables have changed since.
    pub(in crate::scheduler) has_new_jobs: bool,
    /// Runs by hand that are started although others are in progress.
    pub(in crate::scheduler) forced: BTreeSet<RunId>,
    pub(in crate::scheduler) load: FleetLoad,
    /// That there are more keys than are kept.
    pub(in crate::scheduler) excess_keys: DailyWarning,
    pub(in crate::scheduler) sweep: Sweep,
}

/// A pause, or the end of one, that somebody has asked for on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::scheduler) struct WantedPause {
    /// The pause. None: the pause is to end.
    pub(in crate::scheduler) pause: Option<FleetPause>,
    /// When it was asked for, seconds of UTC.
    pub(in crate::scheduler) at: i64,
    /// The number of the pause that this node knew then. 0: it knew none.
    pub(in crate::scheduler) known: u64,
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

/// Slots that pass without a run, for the whole fleet. They are kept by the last of them.
#[derive(Debug)]
pub(in crate::scheduler) struct PendingSkip {
    pub(in crate::scheduler) what: WithoutRun,
    pub(in crate::scheduler) trigger: Trigger,
    /// The first of them.
    pub(in crate::scheduler) first: Timestamp,
    /// How many they are.
    pub(in crate::scheduler) count: u64,
    /// The slot of the mark when they were found to be nobody's. What is found again where that has changed.
    pub(in crate::scheduler) after: Option<i64>,
    /// The id that they have in the mark; no run has it.
    pub(in crate::scheduler) run: RunId,
    pub(in crate::scheduler) since_ms: i64,
    /// Whether the engine was there and refused to change anything when it was last asked for.
    pub(in crate::scheduler) has_failed: bool,
    /// Then it is not asked for again before that, in milliseconds of the monotonic clock.
    pub(in crate::scheduler) retry_ms: i64,
    pub(in crate::scheduler) request: Option<u64>,
}

/// Why slots pass without a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::scheduler) enum WithoutRun {
    /// They are skipped by a rule.
    Skipped(SkipReason),
    /// No node has claimed them.
    Unclaimed,
    /// They have their outcomes on this node, which has decided about them while the engine was away.
    Decided,
}

/// The end of a claimed slot, for the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::scheduler) struct Report {
    pub(in crate::scheduler) claim: SlotClaim,
    pub(in crate::scheduler) outcome: FleetOutcome,
    pub(in crate::scheduler) state: MarkState,
    #[serde(skip)]
    pub(in crate::scheduler) request: Option<u64>,
}

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    /// The mark of a job that the engine has lost is set to the slot that this node has seen.
    Raise(JobId),
    /// What is kept of a job that no node has any more is removed.
    Sweep(JobId),
    /// The pause of a job.
    Pause(JobId),
}

/// Which keys of runs in progress are written again.
#[derive(Clone, Copy, Debug)]
pub(in crate::scheduler) enum RunKeys<'a> {
    /// All: the connection is a new one.
    All,
    /// Those that are not there, as they were under the lease of an earlier connection.
    Missing,
    /// Those of a job.
    OfJob(&'a JobId),
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
    /// Ask for this.
    Send {
        transaction: Transaction,
        /// The number of the claim. None: no slot is claimed by it.
        number: Option<u64>,
    },
    /// It has been made.
    Ours(SlotClaim),
    /// The slot is another node's, or over.
    Taken,
    /// A run is in progress, and overlap is forbidden.
    Busy,
}

impl WithoutRun {
    /// The rule by which they are skipped.
    pub(in crate::scheduler) fn reason(self) -> Option<SkipReason> {
        match self {
            WithoutRun::Skipped(reason) => Some(reason),
            WithoutRun::Unclaimed | WithoutRun::Decided => None,
        }
    }
}

/// The user who has most of these jobs.
fn busiest_user<'a>(jobs: impl Iterator<Item = &'a JobId>) -> Option<&'a str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    jobs.for_each(|job| *counts.entry(job.user()).or_default() += 1);
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(user, _)| user)
}

/// The order in which reports are given up: those of claims that were perhaps never made come first, then the oldest.
fn order_of_loss(report: &Report) -> (bool, u64) {
    (!report.claim.is_unsure(), report.claim.number)
}

impl Fleet {
    /// A node without a connection.
    pub(in crate::scheduler) fn new(
        settings: FleetSettings,
        instance: String,
        random: fn() -> u64,
        now_ms: i64,
    ) -> Fleet {
        Fleet {
            settings,
            instance,
            random,
            cache: FleetCache::default(),
            link: FleetLink::new(now_ms),
            jobs: BTreeMap::new(),
            wakes: BTreeSet::new(),
            claims: PendingClaims::default(),
            skips: BTreeMap::new(),
            reports: BTreeMap::new(),
            changed: BTreeSet::new(),
            requests: BTreeMap::new(),
            asked: HashMap::new(),
            last_request: 0,
            wanted_pauses: BTreeMap::new(),
            away: BTreeMap::new(),
            begun_here: BTreeSet::new(),
            tasks: VecDeque::new(),
            published: (String::new(), String::new()),
            unnoted_sleep_ms: 0,
            sleeps: VecDeque::new(),
            examined: 0,
            has_new_jobs: true,
            forced: BTreeSet::new(),
            load: FleetLoad::default(),
            excess_keys: DailyWarning::default(),
            sweep: Sweep::default(),
        }
    }

    /// A turn begins. Notes a sleep of the machine: leases and claims have aged meanwhile, and the monotonic clock has
    /// not advanced.
    pub(in crate::scheduler) fn begin_turn(&mut self, now_ms: i64) {
        self.examined = 0;
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

    /// Sets the timer of a job, unless it expires earlier.
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

    /// Takes a job whose timer has expired. None: there is none, or enough was done in this turn, and the next one follows at once.
    pub(in crate::scheduler) fn take_due(&mut self, now_ms: i64) -> Option<JobId> {
        if self.has_examined_enough() {
            return None;
        }
        let (_, id) = self.wakes.first().is_some_and(|(at, _)| *at <= now_ms).then(|| self.wakes.pop_first())??;
        if let Some(job) = self.jobs.get_mut(&id) {
            job.wake_ms = None;
        }
        Some(id)
    }

    /// Whether so many slots were examined in this turn that further jobs wait for the next one.
    pub(in crate::scheduler) fn has_examined_enough(&self) -> bool {
        self.examined >= MOST_EXAMINED
    }

    /// When the next timer of a job expires.
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

    /// The same in seconds.
    pub(in crate::scheduler) fn median_s(&self, now: Now) -> i64 {
        self.median_ms(now).div_euclid(1_000)
    }

    /// For how many milliseconds a slot may not be claimed yet.
    pub(in crate::scheduler) fn wait_for_clock_ms(&self, slot: Timestamp, now: Now) -> i64 {
        slot.0.saturating_mul(1_000).saturating_sub(self.median_ms(now)).saturating_sub(AHEAD_MS).max(0)
    }

    /// Whether the clock of this node differs too much from the others'.
    pub(in crate::scheduler) fn is_skewed(&self, now: Now) -> bool {
        now.utc.0.saturating_mul(1_000).saturating_sub(self.median_ms(now)).saturating_abs() > MOST_SKEW_MS
    }

    /// The nonce of a run of this node. With the token of its claim, no copy of this machine has the same.
    pub(in crate::scheduler) fn nonce(&self, run: RunId, token: Option<u64>) -> String {
        match token {
            Some(token) => format!("{}-{token:016x}-{}", self.instance, run.0),
            None => format!("{}-{}", self.instance, run.0),
        }
    }

    /// The run of this machine with that nonce, also from before it was renamed, and whatever its token is. None: it is another machine's.
    pub(in crate::scheduler) fn own_run(&self, nonce: &str) -> Option<RunId> {
        let run = nonce.strip_prefix(self.instance.as_str())?.strip_prefix('-')?;
        let run = run.split_once('-').map_or(run, |(_, run)| run);
        run.parse().ok().map(RunId)
    }

    /// The claim that a mark is, if it is one of this node.
    pub(in crate::scheduler) fn own_claim(&self, known: &Known<Mark>) -> Option<SlotClaim> {
        let mark = known.value.as_ref()?;
        let run = self.own_run(&mark.nonce)?;
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
        *self.asked.entry(purpose.clone()).or_default() += 1;
        self.requests.insert(self.last_request, (purpose, transaction.clone()));
        Some(FleetRequest { id: self.last_request, expires_ms, transaction })
    }

    /// Whether a request of that purpose has not been answered.
    pub(in crate::scheduler) fn is_asked(&self, purpose: &Purpose) -> bool {
        self.asked.contains_key(purpose)
    }

    /// Takes an answer, and what it shows of the keys. Returns what was asked for and why, and the keys that have changed.
    pub(in crate::scheduler) fn take_answer(
        &mut self,
        id: u64,
        answer: &FleetAnswer,
        now_ms: i64,
    ) -> Option<(Purpose, Transaction, Vec<FleetKey>)> {
        let (purpose, transaction) = self.requests.remove(&id)?;
        if let Some(count) = self.asked.get_mut(&purpose) {
            *count -= 1;
            if *count == 0 {
                self.asked.remove(&purpose);
            }
        }
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
        self.asked.clear();
        for claim in self.claims.values_mut() {
            claim.has_old_request |= claim.request.take().is_some();
        }
        self.skips.values_mut().for_each(|skip| skip.request = None);
        self.reports.values_mut().for_each(|report| report.request = None);
    }

    /// Keeps the end of a claimed slot until the engine has it.
    pub(in crate::scheduler) fn add_report(&mut self, job: JobId, report: Report) {
        let is_by_hand = report.claim.is_by_hand();
        let of_kind = || self.reports_of(&job).filter(|other| other.claim.is_by_hand() == is_by_hand);
        // The engine keeps no more outcomes of the job.
        if of_kind().count() as u64 >= OUTCOMES_KEPT
            && let Some(number) = of_kind().min_by_key(|other| order_of_loss(other)).map(|other| other.claim.number)
        {
            self.remove_report(&job, number);
        }
        if self.reports.len() >= MOST_REPORTS {
            self.remove_report_of_busiest_user();
        }
        self.changed.insert(job.clone());
        self.reports.insert((job, report.claim.number), report);
    }

    /// Keeps slots that pass without a run, by the last of them, until the engine knows that. Where there are too many, some of the user who has
    /// most are removed: then a job of another user never waits for these.
    pub(in crate::scheduler) fn add_skip(&mut self, job: &JobId, last: Timestamp, skip: PendingSkip) {
        if self.skips.len() >= MOST_SKIPS
            && let Some(user) = busiest_user(self.skips.keys().map(|(job, _)| job)).map(str::to_owned)
        {
            let of_user = self.skips.iter().filter(|((job, _), skip)| job.user() == user && skip.request.is_none());
            let removed: Vec<_> = of_user.map(|(key, _)| key.clone()).take(SKIPS_REMOVED).collect();
            for key in removed {
                self.skips.remove(&key);
            }
        }
        if self.skips.len() < MOST_SKIPS {
            self.skips.entry((job.clone(), last)).or_insert(skip);
        }
    }

    /// Removes a report of the user who has most of them.
    fn remove_report_of_busiest_user(&mut self) {
        let Some(user) = busiest_user(self.reports.keys().map(|(job, _)| job)) else { return };
        let of_user = self.reports.iter().filter(|((job, _), _)| job.user() == user);
        let key = of_user.min_by_key(|(_, report)| order_of_loss(report)).map(|(key, _)| key);
        if let Some((job, number)) = key.cloned() {
            self.remove_report(&job, number);
        }
    }

    /// Keeps what somebody has asked for about the pause of a job, or forgets it. Returns what was kept before.
    pub(in crate::scheduler) fn want_pause(&mut self, job: &JobId, wanted: Option<WantedPause>) -> Option<WantedPause> {
        self.changed.insert(job.clone());
        match wanted {
            Some(wanted) => self.wanted_pauses.insert(job.clone(), wanted),
            None => self.wanted_pauses.remove(job),
        }
    }

    /// The engine knows an end, or does not want it.
    pub(in crate::scheduler) fn remove_report(&mut self, job: &JobId, number: u64) {
        if self.reports.remove(&(job.clone(), number)).is_some() {
            self.changed.insert(job.clone());
        }
    }

    /// The ends of a job that the engine does not know yet, oldest claim first.
    pub(in crate::scheduler) fn reports_of(&self, job: &JobId) -> impl Iterator<Item = &Report> {
        self.reports.range((job.clone(), 0)..=(job.clone(), u64::MAX)).map(|(_, report)| report)
    }

    /// Takes out a claim that is not carried on. If it is made all the same, its slot is lost.
    pub(in crate::scheduler) fn give_up_claim(&mut self, run: RunId) -> Option<PendingClaim> {
        let claim = self.claims.remove(run)?;
        for number in &claim.unsure {
            let job = &claim.start.job;
            if !self.reports.contains_key(&(job.clone(), *number)) {
                self.add_report(job.clone(), self.lost_report(claim.start.scheduled_at, run, *number));
            }
        }
        Some(claim)
    }

    /// When `CRON_FLEET_AWAY` decides about something that waits since then, as the engine is away or refuses to change anything. Milliseconds of
    /// the monotonic clock.
    pub(in crate::scheduler) fn decides_ms(&self, since_ms: i64, now_ms: i64) -> i64 {
        let is_up = self.link.is_up(now_ms);
        let since_ms = if is_up { since_ms } else { since_ms.max(self.link.away_since_ms()) };
        since_ms.saturating_add(AWAY_MS)
    }

    /// Whether something of a job that is about an older slot waits for the engine. Slots are claimed in their order.
    pub(in crate::scheduler) fn has_older(&self, id: &JobId, slot: Timestamp) -> bool {
        let is_older = |claim: &PendingClaim| claim.is_of_slot() && claim.start.scheduled_at < slot.0;
        self.skips.range((id.clone(), Timestamp(i64::MIN))..(id.clone(), slot)).next().is_some()
            || self.claims.of_job(id).any(|(_, claim)| is_older(claim))
    }

    /// Whether it was decided in this turn that no attempt follows for a claimed slot, so that its end is reported soon.
    pub(in crate::scheduler) fn is_concluding(&self, claim: SlotClaim) -> bool {
        let is_of_claim = |task: &FleetTask| matches!(task, FleetTask::Conclude(other, _) if other.run == claim.run);
        self.tasks.iter().any(is_of_claim)
    }

    /// Whether the end of a slot has not reached the engine yet.
    pub(in crate::scheduler) fn has_report(&self, job: &JobId, slot: i64) -> bool {
        self.reports_of(job).any(|report| report.outcome.slot == slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet() -> Fleet {
        Fleet::new(FleetSettings::default(), "a".to_owned(), || 0, 0)
    }

    #[test]
    fn skips_of_a_user_who_has_too_many_leave_room_for_those_of_others() {
        let mut fleet = fleet();
        let skip = |run: u64, request: Option<u64>| PendingSkip {
            what: WithoutRun::Unclaimed,
            trigger: Trigger::Schedule,
            first: Timestamp(0),
            count: 1,
            after: None,
            run: RunId(run),
            since_ms: 0,
            has_failed: false,
            retry_ms: 0,
            request,
        };
        let (mallory, alice) = (JobId::named("mallory", "a"), JobId::named("alice", "a"));
        for slot in 0..10_000 {
            // One has been asked for.
            fleet.add_skip(&mallory, Timestamp(slot), skip(1, (slot == 0).then_some(7)));
        }
        fleet.add_skip(&alice, Timestamp(5), skip(2, None));
        assert!(fleet.skips.contains_key(&(alice, Timestamp(5))) && fleet.skips.contains_key(&(mallory, Timestamp(0))));
        assert_eq!(fleet.skips.len(), MOST_SKIPS - SKIPS_REMOVED + 1);
    }

    #[test]
    fn jobs_wait_for_the_next_turn_where_much_was_examined_in_this_one() {
        let mut fleet = fleet();
        let jobs = ["a", "b"].map(|name| JobId::named("alice", name));
        jobs.iter().for_each(|job| fleet.wake(job, 10));
        assert_eq!(fleet.take_due(10), Some(jobs[0].clone()));
        fleet.examined = MOST_EXAMINED;
        assert_eq!((fleet.take_due(10), fleet.next_wake_ms()), (None, Some(10)));
        fleet.begin_turn(10);
        assert_eq!(fleet.take_due(10), Some(jobs[1].clone()));
    }
}
