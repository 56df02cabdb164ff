//! Slots of fleet jobs. Each waits until it is the turn of this node, and is dropped when another has claimed it. Slots that no node has claimed
//! are caught up by one of them, by the rule of the job; and what is skipped is skipped once for all.

use super::action::Action;
use super::fleet::{AWAY_MS, AwaySlots, PendingSkip, Purpose, WithoutRun};
use super::fleet_events::{REQUEST_MS, spread_ms};
use super::job_id::JobId;
use super::jobs::runs_when_away;
use super::missed_slots::MissedSlots;
use super::now::Now;
use super::run_record::{SkipReason, Trigger};
use super::slot_budget::SlotBudget;
use super::state::{Phase, Scheduler};
use crate::crontab::CatchUpMode;
use crate::schedule::Timestamp;

/// So long after the one before it each further node tries to claim a slot. Milliseconds.
pub(super) const RANK_MS: i64 = 3_000;
/// Before a skip that the engine has refused is asked for again. Milliseconds.
const SKIP_RETRY_MS: i64 = 5_000;
/// Slots of this age are not missed yet, as far as no newer one is due. Seconds.
const IN_PROGRESS: i64 = 60;
/// Missed slots of one job that `CRON_CATCHUP=all` makes up for.
const CAUGHT_UP: usize = 1_000;
/// A node whose clock is wrong checks it again after this time. Milliseconds.
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
        fleet.take_back_away_slots(id, slot);
        fleet.add_slot(id, slot, now.elapsed_ms);
        match fleet.has_examined_enough() {
            true => fleet.wake(id, now.elapsed_ms),
            false => self.drive_fleet_job(id, now, actions),
        }
    }

    /// Drives the jobs whose timers have expired.
    pub(super) fn run_fleet_timers(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.phase != Phase::Running {
            return;
        }
        while let Some(id) = self.fleet.as_mut().and_then(|fleet| fleet.take_due(now.elapsed_ms)) {
            self.drive_fleet_job(&id, now, actions);
        }
    }

    /// Does what can be done now for a job, and schedules when it is to be driven again.
    fn drive_fleet_job(&mut self, id: &JobId, now: Now, actions: &mut Vec<Action>) {
        self.drive_claims(id, now, actions);
        self.drive_skips(id, now, actions);
        self.settle_away(id, now, actions);
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
        let (rule, runs_when_away) = (policy.fleet.clone(), runs_when_away(policy));
        let Some(fleet) = &mut self.fleet else { return false };
        if !fleet.link.is_up(now.elapsed_ms) {
            let Some(first) = first else { return false };
            let decides_ms = fleet.decides_ms(first.since_ms, now.elapsed_ms);
            if now.elapsed_ms < decides_ms {
                fleet.wake(id, decides_ms);
                return false;
            }
            fleet.drop_pending(id);
            match runs_when_away {
                true => self.release_slot(id, first.slot, now, actions),
                false => self.skip_away(id, first.slot, now, actions),
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
        self.with_jobs(now, actions, |jobs, context| match is_paused {
            true => context.skip_in_fleet(id, slot, Trigger::Schedule, SkipReason::Paused),
            false => jobs.handle_slot(id, slot, Trigger::Schedule, is_excepted, context),
        });
    }

    /// The slot that is to be caught up next: one after the mark and before the slots in progress. None: none, or the job catches up none.
    fn missed_by_fleet(&mut self, id: &JobId, before: Option<Timestamp>, now: Now) -> Option<Timestamp> {
        let catch_up = self.jobs.policy(id)?.catch_up;
        if catch_up.mode == CatchUpMode::None {
            return None;
        }
        let fleet = self.fleet.as_ref()?;
        fleet.cache.mark(id)?.value.as_ref()?;
        let last = fleet.cache.last_slot(id)?;
        let decided = fleet.away_slots(id).filter(|away| away.are_decided).map_or(i64::MIN, |away| away.last.0);
        let oldest = now.utc.0.saturating_sub(i64::from(catch_up.max_age));
        let to = before.unwrap_or(Timestamp(now.utc.0.saturating_sub(IN_PROGRESS)));
        let slots = self.unclaimed_slots(id, Timestamp(last.max(oldest).max(decided)), to).slots;
        match catch_up.mode {
            CatchUpMode::None => None,
            CatchUpMode::Once => slots.last().copied(),
            CatchUpMode::All => slots.get(slots.len().saturating_sub(CAUGHT_UP)).copied(),
        }
    }

    /// The slots of a job between two moments, both excluded, since it has had its schedule. What that costs counts in this turn.
    fn unclaimed_slots(&mut self, id: &JobId, from: Timestamp, to: Timestamp) -> MissedSlots {
        let none = MissedSlots { slots: Vec::new(), older: None };
        let Some(key) = self.jobs.entry(id) else { return none };
        let Some((_, first_seen)) = self.first_seen.get(id) else { return none };
        let from = from.max(*first_seen);
        if from >= to {
            return none;
        }
        let mut missed = self.missed_slots(id, key, from, to, &mut SlotBudget::default());
        if let Some(fleet) = &mut self.fleet {
            let older = missed.older.as_ref().map_or(0, |older| usize::try_from(older.count).unwrap_or(usize::MAX));
            fleet.examined = fleet.examined.saturating_add(missed.slots.len()).saturating_add(older);
            if !fleet.begun_here.is_empty() {
                missed.slots.retain(|slot| !fleet.begun_here.contains(&(id.clone(), *slot)));
            }
        }
        missed
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
        let is_asked = fleet.has_older(id, Timestamp(i64::MAX)) || fleet.claims.of_job(id).next().is_some();
        // The end of a run, an answer or another mark drives it again.
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
        let is_paused = self.is_paused_in_fleet(id, slot, now);
        self.with_jobs(now, actions, |jobs, context| match is_paused {
            true => context.skip_in_fleet(id, slot, Trigger::CatchUp, SkipReason::Paused),
            false => jobs.catch_up_for_fleet(id, slot, is_excepted, context),
        });
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
}

/// What is decided while the engine is away.
impl Scheduler {
    /// The engine is away at a slot, and the slot is not run without it. What is not caught up later is skipped, once the engine is back and
    /// unless another node has claimed it.
    pub(super) fn skip_away(&mut self, id: &JobId, slot: Timestamp, now: Now, actions: &mut Vec<Action>) {
        let Some(policy) = self.jobs.policy(id) else { return };
        let catches_up = policy.catch_up.mode != CatchUpMode::None;
        let Some(fleet) = &mut self.fleet else { return };
        if !catches_up || fleet.cache.mark(id).is_none() {
            fleet.add_away_slot(id, slot, false);
            self.settle_away(id, now, actions);
        }
    }

    /// A slot has an outcome on this node that the engine does not know, as it is away.
    pub(super) fn decide_away(&mut self, id: &JobId, slot: Timestamp, now: Now, actions: &mut Vec<Action>) {
        let Some(fleet) = &self.fleet else { return };
        let earlier =
            fleet.away_slots(id).filter(|away| away.are_decided && !away.is_of_this_daemon && away.last < slot);
        if let Some(last) = earlier.map(|away| away.last) {
            // This daemon has not seen those between.
            let mut missed = self.unclaimed_slots(id, last, slot);
            missed.slots.retain(|slot| !self.jobs.has_slot(id, *slot));
            if let Some((first, last, count)) = missed.row() {
                self.with_jobs(now, actions, |jobs, context| {
                    jobs.record_fleet_misses(id, (first, last, count), context)
                });
            }
        }
        if let Some(fleet) = &mut self.fleet {
            fleet.add_away_slot(id, slot, true);
        }
    }

    /// The engine is back: lets it know of what was decided while it was away.
    fn settle_away(&mut self, id: &JobId, now: Now, actions: &mut Vec<Action>) {
        let Some(fleet) = &mut self.fleet else { return };
        let Some(away) = fleet.away_slots(id).copied().filter(|_| !fleet.cache.is_mark_unreadable(id)) else { return };
        if fleet.cache.last_slot(id).is_some_and(|last| last >= away.last.0) {
            return fleet.forget_away_slots(id);
        }
        if !fleet.link.is_up(now.elapsed_ms) || fleet.has_older(id, Timestamp(i64::MAX)) {
            return;
        }
        // Others may still be about to claim them.
        let ready_ms = match away.are_decided {
            true => now.elapsed_ms,
            false => fleet.link.published_ms().saturating_add(AWAY_MS),
        };
        let ready_ms = ready_ms.max(now.elapsed_ms.saturating_add(fleet.wait_for_clock_ms(away.last, now)));
        if fleet.is_skewed(now) || now.elapsed_ms < ready_ms {
            return fleet.wake(id, ready_ms.max(now.elapsed_ms.saturating_add(1_000)));
        }
        if self.settle_before(id, Timestamp(away.last.0.saturating_add(1)), now, actions) {
            return;
        }
        match away.are_decided {
            true => self.begin_row(id, (away.first, away.last, 1), WithoutRun::Decided, now, actions),
            // They are no slots any more.
            false => {
                if let Some(fleet) = &mut self.fleet {
                    fleet.forget_away_slots(id);
                }
            }
        }
    }

    /// Slots after the mark of a job and before a moment that nobody has claimed get their outcome, so that the mark does not pass over them. True:
    /// that is under way.
    pub(super) fn settle_before(&mut self, id: &JobId, before: Timestamp, now: Now, actions: &mut Vec<Action>) -> bool {
        let Some(fleet) = self.fleet.as_ref().filter(|fleet| !fleet.cache.is_mark_unreadable(id)) else { return false };
        let away = fleet.away_slots(id).copied();
        let last = fleet.cache.last_slot(id).or(away.map(|away| away.first.0.saturating_sub(1)));
        let Some(last) = last else { return false };
        let mut missed = self.unclaimed_slots(id, Timestamp(last), before);
        let what = |slot: Timestamp| match away.filter(|away| away.has(slot)) {
            Some(AwaySlots { are_decided: true, .. }) => WithoutRun::Decided,
            Some(_) => WithoutRun::Skipped(SkipReason::EngineAway),
            None => WithoutRun::Unclaimed,
        };
        let first = missed.slots.iter().position(|slot| what(*slot) != WithoutRun::Decided);
        let of_row = match (&missed.older, first) {
            (Some(older), _) => what(older.last),
            (None, Some(first)) => {
                missed.slots.drain(..first);
                missed.slots.first().map_or(WithoutRun::Unclaimed, |slot| what(*slot))
            }
            (None, None) => return false,
        };
        let end = missed.slots.iter().position(|slot| what(*slot) != of_row).unwrap_or(missed.slots.len());
        missed.slots.truncate(end);
        // One that waits for its start on this node is not nobody's.
        if of_row != WithoutRun::Decided && missed.slots.iter().any(|slot| self.jobs.has_waiting_slot(id, *slot)) {
            if let Some(fleet) = &mut self.fleet {
                fleet.wake(id, now.elapsed_ms.saturating_add(1_000));
            }
            return true;
        }
        let Some(row) = missed.row() else { return false };
        self.begin_row(id, row, of_row, now, actions);
        true
    }

    /// Slots pass without a run: the first, the last and how many they are.
    fn begin_row(
        &mut self,
        id: &JobId,
        row: (Timestamp, Timestamp, u64),
        what: WithoutRun,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        self.begin_slots_without_run(id, row, Trigger::Schedule, what, now, actions);
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
        self.begin_slots_without_run(id, (slot, slot, 1), trigger, WithoutRun::Skipped(reason), now, actions);
    }

    fn begin_slots_without_run(
        &mut self,
        id: &JobId,
        (first, last, count): (Timestamp, Timestamp, u64),
        trigger: Trigger,
        what: WithoutRun,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let run = self.starts.runs.allocate();
        let Some(fleet) = &mut self.fleet else { return };
        let since_ms = now.elapsed_ms;
        let (has_failed, retry_ms, request) = (false, since_ms, None);
        let after = fleet.cache.last_slot(id);
        let skip = PendingSkip { what, trigger, first, count, after, run, since_ms, has_failed, retry_ms, request };
        fleet.add_skip(id, last, skip);
        self.drive_skip(id, last, false, now, actions);
    }

    fn drive_skips(&mut self, id: &JobId, now: Now, actions: &mut Vec<Action>) {
        let all = (id.clone(), Timestamp(i64::MIN))..=(id.clone(), Timestamp(i64::MAX));
        let skips = self.fleet.iter().flat_map(|fleet| fleet.skips.range(all.clone()));
        let slots: Vec<Timestamp> = skips.map(|((_, slot), _)| *slot).collect();
        for slot in slots {
            self.drive_skip(id, slot, false, now, actions);
        }
    }

    /// Asks for a skip, or records it when it is done. The older slots of the job come first.
    pub(super) fn drive_skip(
        &mut self,
        id: &JobId,
        slot: Timestamp,
        has_failed: bool,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let key = (id.clone(), slot);
        let runs_when_away = self.jobs.policy(id).is_some_and(runs_when_away);
        let Some(fleet) = &mut self.fleet else { return };
        let is_up = fleet.link.is_up(now.elapsed_ms);
        let Some(skip) = fleet.skips.get_mut(&key).filter(|skip| skip.request.is_none()) else { return };
        if has_failed {
            (skip.has_failed, skip.retry_ms) = (true, now.elapsed_ms.saturating_add(SKIP_RETRY_MS));
        }
        let (what, trigger, row) = (skip.what, skip.trigger, (skip.first, slot, skip.count));
        let (since_ms, retry_ms) = (skip.since_ms, skip.retry_ms);
        let is_waiting = !is_up || skip.has_failed;
        if is_waiting && let Some(reason) = what.reason().filter(|_| runs_when_away && row.2 == 1) {
            let decides_ms = fleet.decides_ms(since_ms, now.elapsed_ms);
            if now.elapsed_ms >= decides_ms {
                fleet.skips.remove(&key);
                fleet.wake(id, now.elapsed_ms);
                self.decide_away(id, slot, now, actions);
                return self.with_jobs(now, actions, |jobs, context| {
                    jobs.record_fleet_skip(id, row, trigger, reason, context);
                });
            }
            fleet.wake(id, decides_ms);
        }
        if !is_up {
            return;
        }
        if now.elapsed_ms < retry_ms {
            return fleet.wake(id, retry_ms);
        }
        let is_row = what.reason().is_none_or(|reason| reason == SkipReason::EngineAway);
        if fleet.has_older(id, slot) || (!is_row && self.settle_before(id, slot, now, actions)) {
            return;
        }
        let Some(fleet) = &mut self.fleet else { return };
        let Some(skip) = fleet.skips.get(&key) else { return };
        match fleet.plan_skip(id, slot.0, skip) {
            None => {
                fleet.skips.remove(&key);
                fleet.wake(id, now.elapsed_ms);
            }
            Some(None) => {
                fleet.skips.remove(&key);
                fleet.wake(id, now.elapsed_ms);
                self.with_jobs(now, actions, |jobs, context| match what {
                    WithoutRun::Skipped(reason) => jobs.record_fleet_skip(id, row, trigger, reason, context),
                    WithoutRun::Unclaimed => jobs.record_fleet_misses(id, row, context),
                    WithoutRun::Decided => {}
                });
            }
            // Others have claimed some of them since.
            Some(Some(_)) if is_row && skip.after != fleet.cache.last_slot(id) => {
                fleet.skips.remove(&key);
                fleet.wake(id, now.elapsed_ms);
            }
            Some(Some(transaction)) => {
                let expires_ms = now.elapsed_ms.saturating_add(REQUEST_MS);
                let request = fleet.request(Purpose::Skip(id.clone(), slot), transaction, expires_ms);
                if let (Some(skip), Some(request)) = (fleet.skips.get_mut(&key), &request) {
                    skip.request = Some(request.id);
                }
                actions.extend(request.map(|request| Action::Fleet(Box::new(request))));
            }
        }
    }
}
