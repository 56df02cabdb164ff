//! Missed slots of tables that are loaded only some time after the daemon's start, because their user was not known or their file system was not
//! mounted. The moment since when their slots were missed is kept until then. They are caught up with as if the table had been loaded at once.

use super::action::Action;
use super::earlier::LateTables;
use super::job_id::JobId;
use super::managed::save_first_seen;
use super::now::Now;
use super::run_record::MissReason;
use super::saved::StateChange;
use super::slot_budget::SlotBudget;
use super::start_queue::EntryKey;
use super::state::{Gap, Scheduler};
use crate::schedule::Timestamp;
use std::collections::btree_map::Entry;

impl Scheduler {
    /// At start-up: keeps what tables need that will be loaded later. `gap` is the time without a daemon. Since when their slots
    /// were missed is saved, since the next daemon may not find them either.
    pub(super) fn expect_late_tables(&mut self, gap: Option<&Gap>, actions: &mut Vec<Action>) {
        let unclaimed = &mut self.earlier.unclaimed;
        if let Some(gap) = gap {
            for id in unclaimed.first_seen.keys() {
                if let Entry::Vacant(vacant) = unclaimed.missed_since.entry(id.clone()) {
                    vacant.insert(gap.from);
                    actions.push(save_missed_since(id, Some(gap.from)));
                }
            }
        }
        let is_late = |job: &JobId| unclaimed.missed_since.contains_key(job);
        self.earlier.late_tables = (!unclaimed.missed_since.is_empty()).then(|| LateTables {
            started: self.earlier.already_started.keys().filter(|(job, _)| is_late(job)).cloned().collect(),
            budget: SlotBudget::default(),
        });
    }

    /// Forgets the missed slots of entries of a table, or of all, that are loaded and do not catch up: they start at their slots from now on.
    pub(super) fn forget_missed(&mut self, only: Option<u32>, actions: &mut Vec<Action>) {
        if self.earlier.unclaimed.first_seen.is_empty() {
            return;
        }
        let mut found: Vec<JobId> = Vec::new();
        for (_, table) in self.entries.tables.iter().filter(|(number, _)| only.is_none_or(|only| only == *number)) {
            let ids = (0..table.entries().len() as u32).filter_map(|entry| self.entries.id_of(table, entry));
            found.extend(ids.filter(|id| self.earlier.unclaimed.first_seen.contains_key(id)));
        }
        for id in found {
            if self.earlier.unclaimed.first_seen.remove(&id).is_some() {
                actions.push(save_first_seen(&id, None));
            }
            if self.earlier.unclaimed.missed_since.remove(&id).is_some() {
                actions.push(save_missed_since(&id, None));
            }
        }
    }

    /// Catches up the missed slots of a table that has just been loaded, if it was not live since start-up. Its entries count from when they
    /// were first seen by an earlier daemon. Each is examined once.
    pub(super) fn catch_up_late_table(&mut self, number: u32, was_live: bool, now: Now, actions: &mut Vec<Action>) {
        let Some(table) = self.entries.tables.get(number).filter(|_| !self.earlier.unclaimed.first_seen.is_empty())
        else {
            return;
        };
        let mut late: Vec<(EntryKey, JobId, Timestamp)> = Vec::new();
        let unclaimed = &mut self.earlier.unclaimed;
        for (&entry, id) in &table.managed {
            let Some(saved) = unclaimed.first_seen.remove(id) else { continue };
            let missed_since = unclaimed.missed_since.remove(id);
            if missed_since.is_some() {
                actions.push(save_missed_since(id, None));
            }
            match self.first_seen.get_mut(id) {
                Some(seen) if !was_live && seen.0 == saved.0 => {
                    *seen = saved;
                    actions.push(save_first_seen(id, Some(saved)));
                    late.extend(missed_since.map(|since| ((number, entry), id.clone(), since.max(saved.1))));
                }
                // The schedule is another one, or the setting is new: no slot of before was missed.
                Some(_) => {}
                None => actions.push(save_first_seen(id, None)),
            }
        }
        self.forget_missed(Some(number), actions);
        let Some(mut tables) = self.earlier.late_tables.take() else { return };
        // The timers of a new table begin after this moment.
        let to = Timestamp(self.progress.upto.min(now.utc).0 + 1);
        for (key, id, from) in late {
            let mut missed = self.missed_slots(&id, key, from, to, &mut tables.budget);
            missed.slots.retain(|slot| {
                let start = (id.clone(), *slot);
                !tables.started.contains(&start) && !self.earlier.already_started.contains_key(&start)
            });
            self.catch_up_slots(&id, key, missed, MissReason::Down, now, actions);
        }
        self.earlier.late_tables = Some(tables);
    }
}

/// The action that saves since when slots of a job were missed whose table is loaded late.
pub(super) fn save_missed_since(id: &JobId, since: Option<Timestamp>) -> Action {
    Action::SaveState(Box::new(StateChange::missed_since(id.clone(), since)))
}
