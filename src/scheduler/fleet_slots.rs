//! Slots of fleet jobs. Each waits until it is the turn of this node, and is dropped when another has claimed it. Slots that no node has claimed
//! are caught up by one of them, by the rule of the job; and what is skipped is skipped once for all.

use super::action::Action;
use super::fleet::{PendingSkip, Purpose};
use super::fleet_events::{REQUEST_MS, spread_ms};
use super::job_id::JobId;
use super::missed_slots::MissedSlots;
use super::now::Now;
use super::run_record::{SkipReason, Trigger};
use super::slot_budget::SlotBudget;
use super::state::{Phase, Scheduler};
use crate::crontab::{CatchUpMode, FleetAway};
use crate::schedule::Timestamp;

/// So long after the one before it each further node tries to claim a slot. Milliseconds.
pub(super) const RANK_MS: i64 = 3_000;
/// So long the engine may be away before `CRON_FLEET_AWAY` decides about a slot. Milliseconds.
pub(super) const AWAY_MS: i64 = 10_000;
/// Slots of this age are not missed yet, as far as no newer one is due. Seconds.
const IN_PROGRESS: i64 = 60;
/// Missed slots of one job that `CRON_CATCHUP=all` makes up for.
const CAUGHT_UP: usize = 1_000;
/// A node whose clock is wrong looks again after this time. Milliseconds.
const SKEWED_MS: i64 = 5_000;

impl Scheduler {
    /// A slot of a fleet job has come.
    pub(super) fn add_fleet_slot(&mut self, id: &JobId, slot: Timestamp, now: Now, actions: &mut Vec<Action>) {
        let Some(policy) = self.jobs.policy(id) else { return };
        let Some(fleet) = self.fleet.as_mut().filter(|fleet| fleet.is_selected(&policy.fleet)) else { return };
        if !policy.is_enabled {
            return;
        }
        fleet.load.note(slot);
        fleet.add_slot(id, slot, now.elapsed_ms);
        self.look_at_fleet_job(id, now, actions);
    }

    /// Looks at the jobs for which it is time.
    pub(super) fn run_fleet_timers(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.phase != Phase::Running {
            return;
        }
        while let Some(id) = self.fleet.as_mut().and_then(|fleet| fleet.take_due(now.elapsed_ms)) {
            self.look_at_fleet_job(&id, now, actions);
        }
    }

    /// Does what can be done now for a job, and sees to it that it is looked at again in time.
    fn look_at_fleet_job(&mut self, id: &JobId, now: Now, actions: &mut Vec<Action>) {
        self.drive_claims(id, now, actions);
        self.drive_skips(id, now, actions);
        self.watch_fleet_mark(id, now, actions);
        self.drop_run_key(id, now, actions);
        while self.advance_fleet_slots(id, now, actions) {}
        if let Some(fleet) = &mut self.fleet {
            fleet.forget_if_idle(id);
        }
    }

    /// Handles the first slot of a job that waits, or a missed one before it. False: nothing more can be done now.
    fn advance_fleet_slots(&mut self, id: &JobId, now: Now, actions: &mut Vec<Action>) -> bool {
        let Some(fleet) = &mut self.fleet else { return false };
        let first = fleet.first_pending(id);
        let mark = fleet.cache.last_slot(id);
        if let Some(first) = first
            && (mark.is_some_and(|mark| mark >= first.slot.0) || self.jobs.entry(id).is_none())
        {
            fleet.drop_pending(id);
            return true;
        }
        let Some(policy) = self.jobs.policy(id).filter(|_| self.is_fleet_job_enabled(id)) else { return false };
        let (rule, catch_up) = (policy.fleet.clone(), policy.catch_up);
        let Some(fleet) = &mut self.fleet else { return false };
        if !fleet.link.is_up(now.elapsed_ms) {
            let Some(first) = first else { return false };
            let decides_ms = first.since_ms.max(fleet.link.away_since_ms()).saturating_add(AWAY_MS);
            if now.elapsed_ms < decides_ms {
                fleet.wake(id, decides_ms);
                return false;
            }
            fleet.drop_pending(id);
            match rule.away {
                FleetAway::Run => self.release_slot(id, first.slot, now, actions),
                // What is caught up later is not skipped.
                FleetAway::Skip if catch_up.mode != CatchUpMode::None && mark.is_some() => {}
                FleetAway::Skip => self.record_away(id, first.slot, Trigger::Schedule, now, actions),
            }
            return true;
        }
        if first.is_some() {
            // The lease may end unnoticed.
            let alive_until_ms = fleet.link.alive_until_ms();
            fleet.wake(id, alive_until_ms);
        }
        if fleet.is_skewed(now) {
            fleet.wake(id, now.elapsed_ms.saturating_add(SKEWED_MS));
            return false;
        }
        let Some(rank) = fleet.rank(id, &rule) else {
            if first.is_some() {
                fleet.drop_pending(id);
            }
            return first.is_some();
        };
        let wait_ms = i64::try_from(rank).unwrap_or(i64::MAX).saturating_mul(RANK_MS);
        if let Some(missed) = self.missed_by_fleet(id, first.map(|first| first.slot), now) {
            return self.catch_up_in_turn(id, missed, wait_ms, now, actions);
        }
        let Some(first) = first else { return false };
        let Some(fleet) = &mut self.fleet else { return false };
        let ready_ms = first.since_ms.saturating_add(wait_ms);
        let ready_ms = ready_ms.max(now.elapsed_ms.saturating_add(fleet.wait_for_clock_ms(first.slot, now)));
        if now.elapsed_ms < ready_ms {
            fleet.wake(id, ready_ms);
            return false;
        }
        fleet.drop_pending(id);
        self.release_slot(id, first.slot, now, actions);
        true
    }

    /// It is the turn of this node: the job decides what becomes of the slot.
    fn release_slot(&mut self, id: &JobId, slot: Timestamp, now: Now, actions: &mut Vec<Action>) {
        let Some(key) = self.jobs.entry(id) else { return };
        let is_excepted = self.is_excepted(id, key, slot);
        let is_paused = self.is_paused_in_fleet(id, slot, now);
        self.with_jobs(now, actions, |jobs, turn| match is_paused {
            true => turn.skip_in_fleet(id, slot, Trigger::Schedule, SkipReason::Paused),
            false => jobs.handle_slot(id, slot, Trigger::Schedule, is_excepted, turn),
        });
    }

    /// The slot that is to be caught up next: one after the mark and before the slots in progress. None: none, or the job catches up none.
    fn missed_by_fleet(&self, id: &JobId, before: Option<Timestamp>, now: Now) -> Option<Timestamp> {
        let catch_up = self.jobs.policy(id)?.catch_up;
        if catch_up.mode == CatchUpMode::None {
            return None;
        }
        let fleet = self.fleet.as_ref()?;
        fleet.cache.mark(id)?.value.as_ref()?;
        let last = fleet.cache.last_slot(id)?;
        let run_here = fleet.run_unclaimed.get(id).copied().unwrap_or(i64::MIN);
        let oldest = now.utc.0.saturating_sub(i64::from(catch_up.max_age));
        let to = before.unwrap_or(Timestamp(now.utc.0.saturating_sub(IN_PROGRESS)));
        let mut slots = self.unclaimed_slots(id, Timestamp(last.max(oldest).max(run_here)), to).slots;
        slots.retain(|slot| !fleet.begun_here.contains(&(id.clone(), *slot)));
        match catch_up.mode {
            CatchUpMode::None => None,
            CatchUpMode::Once => slots.last().copied(),
            CatchUpMode::All => slots.get(slots.len().saturating_sub(CAUGHT_UP)).copied(),
        }
    }

    /// The slots of a job between two moments, both excluded, since it has had its schedule.
    fn unclaimed_slots(&self, id: &JobId, from: Timestamp, to: Timestamp) -> MissedSlots {
        let none = MissedSlots { slots: Vec::new(), older: None };
        let Some(key) = self.jobs.entry(id) else { return none };
        let Some((_, first_seen)) = self.first_seen.get(id) else { return none };
        let from = from.max(*first_seen);
        if from >= to {
            return none;
        }
        self.missed_slots(id, key, from, to, &mut SlotBudget::default())
    }

    /// Catches up a missed slot, once it is the turn of this node and no other is being caught up. False: not yet.
    fn catch_up_in_turn(
        &mut self,
        id: &JobId,
        slot: Timestamp,
        wait_ms: i64,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> bool {
        let is_busy = self.jobs.is_catching_up(id);
        let Some(fleet) = &mut self.fleet else { return false };
        let Some(known) = fleet.cache.mark(id) else { return false };
        let is_open = known.value.as_ref().is_some_and(|mark| mark.is_open());
        let is_asked = fleet.skips.keys().any(|(other, _)| other == id)
            || fleet.claims.values().any(|claim| claim.start.job == *id);
        // The end of a run, an answer or another mark lets it be looked at again.
        if is_busy || is_open || is_asked {
            return false;
        }
        let ready_ms = known.seen_ms.saturating_add(wait_ms).saturating_add(spread_ms(id));
        if now.elapsed_ms < ready_ms {
            fleet.wake(id, ready_ms);
            return false;
        }
        let Some(key) = self.jobs.entry(id) else { return false };
        let is_excepted = self.is_excepted(id, key, slot);
        self.with_jobs(now, actions, |jobs, turn| jobs.catch_up_for_fleet(id, slot, is_excepted, turn));
        false
    }

    /// Whether a slot is in a pause of the whole fleet.
    fn is_paused_in_fleet(&self, id: &JobId, slot: Timestamp, now: Now) -> bool {
        let pause = self.fleet.as_ref().and_then(|fleet| fleet.cache.pause(id)?.value.as_ref());
        pause.is_some_and(|pause| {
            let covers = |at: Timestamp| (pause.from..pause.until).contains(&at.0);
            covers(slot) || covers(now.utc)
        })
    }

    /// Records that the engine was away at a slot.
    pub(super) fn record_away(
        &mut self,
        id: &JobId,
        slot: Timestamp,
        trigger: Trigger,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        self.with_jobs(now, actions, |jobs, turn| {
            jobs.record_fleet_skip(id, slot, trigger, SkipReason::EngineAway, turn);
        });
    }
}

/// Skips for the whole fleet.
impl Scheduler {
    /// A slot is to be skipped for all.
    pub(super) fn begin_skip(
        &mut self,
        (id, slot): (&JobId, Timestamp),
        trigger: Trigger,
        reason: SkipReason,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let run = self.starts.runs.allocate();
        let Some(fleet) = &mut self.fleet else { return };
        let skip = PendingSkip { reason, trigger, run, since_ms: now.elapsed_ms, request: None, previous: None };
        fleet.skips.entry((id.clone(), slot)).or_insert(skip);
        self.drive_skip(id, slot, false, now, actions);
    }

    fn drive_skips(&mut self, id: &JobId, now: Now, actions: &mut Vec<Action>) {
        let skips = self.fleet.iter().flat_map(|fleet| fleet.skips.keys().filter(|(other, _)| other == id));
        let slots: Vec<Timestamp> = skips.map(|(_, slot)| *slot).collect();
        for slot in slots {
            self.drive_skip(id, slot, false, now, actions);
        }
    }

    /// Asks for a skip, or records it when it is done.
    pub(super) fn drive_skip(
        &mut self,
        id: &JobId,
        slot: Timestamp,
        has_failed: bool,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let key = (id.clone(), slot);
        let Some(fleet) = &mut self.fleet else { return };
        let Some(skip) = fleet.skips.get(&key).filter(|skip| skip.request.is_none()) else { return };
        let (run, reason, trigger) = (skip.run, skip.reason, skip.trigger);
        let is_up = fleet.link.is_up(now.elapsed_ms);
        let decides_ms = skip.since_ms.max(fleet.link.away_since_ms()).saturating_add(AWAY_MS);
        if has_failed || (!is_up && now.elapsed_ms >= decides_ms) {
            fleet.skips.remove(&key);
            return self.with_jobs(now, actions, |jobs, turn| {
                jobs.record_fleet_skip(id, slot, trigger, reason, turn);
            });
        }
        if !is_up {
            return fleet.wake(id, decides_ms);
        }
        match fleet.plan_skip(id, slot.0, run, reason) {
            None => {
                fleet.skips.remove(&key);
                fleet.wake(id, now.elapsed_ms);
            }
            Some(None) => {
                let previous = fleet.skips.remove(&key).and_then(|skip| skip.previous);
                fleet.wake(id, now.elapsed_ms);
                self.record_unclaimed(id, previous, slot, now, actions);
                self.with_jobs(now, actions, |jobs, turn| {
                    jobs.record_fleet_skip(id, slot, trigger, reason, turn);
                });
            }
            Some(Some((transaction, previous))) => {
                let expires_ms = now.elapsed_ms.saturating_add(REQUEST_MS);
                let request = fleet.request(Purpose::Skip(id.clone(), slot), transaction, expires_ms);
                if let (Some(skip), Some(request)) = (fleet.skips.get_mut(&key), &request) {
                    (skip.request, skip.previous) = (Some(request.id), previous);
                }
                actions.extend(request.map(|request| Action::Fleet(Box::new(request))));
            }
        }
    }

    /// This node has claimed a slot. Those between the mark before it and that slot are nobody's.
    pub(super) fn record_unclaimed(
        &mut self,
        id: &JobId,
        previous: Option<i64>,
        slot: Timestamp,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let Some(previous) = previous else { return };
        let MissedSlots { slots, older } = self.unclaimed_slots(id, Timestamp(previous), slot);
        let first = older.as_ref().map(|older| older.first).or(slots.first().copied());
        let last = slots.last().copied().or(older.as_ref().map(|older| older.last));
        if let (Some(first), Some(last)) = (first, last) {
            let count = older.map_or(0, |older| older.count).saturating_add(slots.len() as u64);
            self.with_jobs(now, actions, |jobs, turn| jobs.record_fleet_misses(id, (first, last, count), turn));
        }
    }
}
