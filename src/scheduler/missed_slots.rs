//! Slots that were missed because the daemon was down or the clock went forward: finds them, and decides about them and about retries.

use super::action::Action;
use super::job_id::JobId;
use super::jobs::{CAUGHT_UP, OlderSlots};
use super::now::Now;
use super::run_record::MissReason;
use super::slot_budget::SlotBudget;
use super::start_queue::EntryKey;
use super::state::Scheduler;
use crate::crontab::CatchUpMode;
use crate::schedule::Timestamp;
use std::collections::{BTreeSet, HashMap};

/// Where an entry has more missed slots than may be examined, the latest within this many seconds, or twice, four times as many.
const LATEST_WINDOW: i64 = 60;

/// The slots of an entry that were missed.
#[derive(Debug)]
pub(super) struct MissedSlots {
    /// The latest ones, oldest first: those that may have to be caught up.
    pub(super) slots: Vec<Timestamp>,
    /// The slots before them, if there were too many to examine each.
    pub(super) older: Option<OlderSlots>,
}

impl MissedSlots {
    /// The first and the last of them, and how many they are.
    pub(super) fn row(&self) -> Option<(Timestamp, Timestamp, u64)> {
        let first = self.older.as_ref().map(|older| older.first).or(self.slots.first().copied())?;
        let last = self.slots.last().copied().or(self.older.as_ref().map(|older| older.last))?;
        Some((first, last, self.older.as_ref().map_or(0, |older| older.count).saturating_add(self.slots.len() as u64)))
    }
}

impl Scheduler {
    /// Catches up slots between `from` and `to`, both excluded, that were missed for that reason. `self.due.collected` has what the rules for
    /// clock changes and restarts start of them.
    pub(super) fn handle_gap(
        &mut self,
        from: Timestamp,
        to: Timestamp,
        why: MissReason,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let mut started: HashMap<EntryKey, Vec<Timestamp>> = HashMap::new();
        for due in &self.due.collected {
            started.entry((due.table, due.entry)).or_default().push(due.scheduled_at);
        }
        let mut entries: Vec<(u32, u32, EntryKey, JobId)> = Vec::new();
        for (number, table) in self.entries.tables.iter() {
            for (&entry, id) in &table.managed {
                let catches_up = table.policy(entry).catch_up.mode != CatchUpMode::None;
                if (catches_up || self.records_all) && !self.jobs.is_of_fleet(id) {
                    entries.push((table.order, table.line(entry), (number, entry), id.clone()));
                }
            }
        }
        entries.sort();
        let mut caught_up: BTreeSet<EntryKey> = BTreeSet::new();
        let mut budget = if self.records_all { SlotBudget::unlimited() } else { SlotBudget::default() };
        for (_, _, key, id) in entries {
            let first_seen = self.first_seen.get(&id).map_or(from, |(_, at)| *at);
            let missed_since = self.earlier.missed_since.get(&id).map_or(from, |since| from.min(*since));
            let mut missed = self.missed_slots(&id, key, missed_since.max(first_seen), to, &mut budget);
            let catches_up = self.jobs.policy(&id).is_some_and(|policy| policy.catch_up.mode != CatchUpMode::None);
            if catches_up {
                caught_up.insert(key);
            }
            let is_started = |slot: &Timestamp| started.get(&key).is_some_and(|slots| slots.contains(slot));
            let has_begun = |slot: &Timestamp| self.earlier.already_started.contains_key(&(id.clone(), *slot));
            missed.slots.retain(|slot| (catches_up || !is_started(slot)) && !has_begun(slot));
            self.catch_up_slots(&id, key, missed, why, now, actions);
        }
        self.due.collected.retain(|due| due.scheduled_at >= to || !caught_up.contains(&(due.table, due.entry)));
    }

    /// Makes up for slots of an entry that were missed for that reason, oldest first.
    pub(super) fn catch_up_slots(
        &mut self,
        id: &JobId,
        key: EntryKey,
        missed: MissedSlots,
        why: MissReason,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        // What the fleet has missed is caught up by one of its nodes.
        if self.jobs.is_of_fleet(id) {
            return;
        }
        let MissedSlots { slots, older } = missed;
        let slots: Vec<(Timestamp, bool)> =
            slots.into_iter().map(|slot| (slot, self.is_excepted(id, key, slot))).collect();
        if let Some(OlderSlots { first, last, count, is_more: true }) = older {
            let message = format!(
                "more slots were missed than can be counted: all from {first} to {last}, at least {count}, are recorded as missed"
            );
            actions.extend(self.entries.entry_warning(key, message));
        }
        if slots.is_empty() && older.is_none() {
            return;
        }
        self.progress.has_decided = true;
        self.with_jobs(now, actions, |jobs, context| jobs.catch_up(id, older, &slots, why, context));
    }

    /// The slots of an entry that were missed between two moments. Where they are more than the budget allows, one by one only as many of the
    /// latest as may be caught up: no crontab may keep the daemon from its work for long.
    pub(super) fn missed_slots(
        &self,
        id: &JobId,
        key: EntryKey,
        from: Timestamp,
        to: Timestamp,
        budget: &mut SlotBudget,
    ) -> MissedSlots {
        let most = budget.left(id.user());
        let slots: Vec<Timestamp> = self.entries.slots_between(key, from, to).take(most + 1).collect();
        if slots.len() <= most {
            budget.spend(id.user(), slots.len());
            return MissedSlots { slots, older: None };
        }
        let mode = self.jobs.policy(id).map_or(CatchUpMode::None, |policy| policy.catch_up.mode);
        let wanted = match mode {
            CatchUpMode::None | CatchUpMode::Once => 1,
            CatchUpMode::All => CAUGHT_UP.min(most).max(1),
        };
        let (begin, slots) = self.latest_slots(key, from, to, wanted);
        budget.spend(id.user(), slots.len().min(most));
        // What lies before the first second of the window, which is excluded there.
        let end = Timestamp(begin.0.saturating_add(1));
        let most = budget.left_to_count(id.user());
        let mut older = self.entries.slots_between(key, from, end).take(most);
        let first = older.next();
        let (count, last) = older.fold((1, first), |(count, _), slot| (count + 1, Some(slot)));
        budget.count(id.user(), count);
        // Where none may be counted any more, its first slot is found all the same.
        let first = first.or_else(|| self.entries.slots_between(key, from, end).next());
        let older = first.map(|first| {
            let last = last.unwrap_or(first);
            let is_more = self.entries.slots_between(key, last, end).next().is_some();
            let last =
                if is_more { self.latest_slots(key, last, end, 1).1.last().copied().unwrap_or(last) } else { last };
            OlderSlots { first, last, count: count as u64, is_more }
        });
        MissedSlots { slots, older }
    }

    /// So many of the latest slots of an entry between two moments, or up to twice as many: those behind the moment that comes with them.
    fn latest_slots(
        &self,
        key: EntryKey,
        from: Timestamp,
        to: Timestamp,
        wanted: usize,
    ) -> (Timestamp, Vec<Timestamp>) {
        // A dense schedule has them in a window that is found by doubling it a few times.
        let mut window = LATEST_WINDOW;
        loop {
            let begin = from.max(Timestamp(to.0.saturating_sub(window)));
            let latest: Vec<Timestamp> = self.entries.slots_between(key, begin, to).collect();
            if latest.len() >= wanted || begin == from {
                return (begin, latest);
            }
            window = window.saturating_mul(2);
        }
    }

    /// Gives up pending retries of jobs of which a slot has passed between the failure and now.
    pub(super) fn drop_expired_retries(&mut self, now: Now, actions: &mut Vec<Action>) {
        let mut budget = SlotBudget::default();
        for (id, failed_at) in self.jobs.pending_retries() {
            let Some(key) = self.jobs.entry(&id) else { continue };
            let from = failed_at.max(self.earlier.down_since.unwrap_or(failed_at));
            let most = budget.left(id.user());
            let slots = self.entries.slots_between(key, from, now.utc).take(most);
            let mut looked_at = 0;
            let passed = slots.inspect(|_| looked_at += 1).find(|slot| !self.is_excepted(&id, key, *slot));
            budget.spend(id.user(), looked_at);
            if passed.is_some() {
                self.with_jobs(now, actions, |jobs, context| {
                    jobs.drop_retry(&id, context);
                });
            }
        }
    }
}
