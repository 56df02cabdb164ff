//! What a daemon leaves to the next one of a fleet job, also of one that is in no table any more.

use super::away::AwaySlots;
use super::state::{Fleet, Report, WantedPause};
use crate::schedule::Timestamp;
use crate::scheduler::job_id::JobId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What is saved of a job. The fields keep their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::scheduler) struct SavedFleetJob {
    /// Ends of claimed slots that the engine does not know yet.
    pub(in crate::scheduler) reports: Vec<Report>,
    /// The pause, or the end of one, that the engine does not know yet.
    pub(in crate::scheduler) wanted_pause: Option<WantedPause>,
    /// The slots about which the node has decided while the engine was away.
    pub(in crate::scheduler) away: Option<AwaySlots>,
}

impl SavedFleetJob {
    /// Whether there is nothing to save.
    pub(in crate::scheduler) fn is_empty(&self) -> bool {
        *self == SavedFleetJob::default()
    }
}

impl Fleet {
    /// What is to be saved of a job. None: nothing is.
    pub(in crate::scheduler) fn saved(&self, id: &JobId) -> Option<SavedFleetJob> {
        let saved = SavedFleetJob {
            reports: self.reports_of(id).cloned().collect(),
            wanted_pause: self.wanted_pauses.get(id).cloned(),
            away: self.away.get(id).copied(),
        };
        (!saved.is_empty()).then_some(saved)
    }

    /// The jobs of which something is to be saved.
    pub(in crate::scheduler) fn saved_jobs(&self) -> impl Iterator<Item = (JobId, SavedFleetJob)> {
        let reported = self.reports.keys().map(|(id, _)| id);
        let ids: BTreeSet<&JobId> = reported.chain(self.wanted_pauses.keys()).chain(self.away.keys()).collect();
        ids.into_iter().filter_map(|id| Some((id.clone(), self.saved(id)?)))
    }

    /// Takes what an earlier daemon has left of a job.
    pub(in crate::scheduler) fn restore(&mut self, id: &JobId, saved: SavedFleetJob) {
        if let Some(wanted) = saved.wanted_pause {
            self.wanted_pauses.entry(id.clone()).or_insert(wanted);
        }
        if let Some(away) = saved.away {
            self.away.entry(id.clone()).or_insert(away);
        }
        for report in saved.reports {
            // Reports that this daemon has added are newer.
            self.reports.entry((id.clone(), report.claim.number)).or_insert(report);
        }
    }
}

/// Slots about which this node has decided while the engine was away.
impl Fleet {
    /// The slots of a job about which this node has decided without the engine.
    pub(in crate::scheduler) fn away_slots(&self, id: &JobId) -> Option<&AwaySlots> {
        self.away.get(id)
    }

    /// The jobs that have such slots.
    pub(in crate::scheduler) fn away_jobs(&self) -> impl Iterator<Item = &JobId> {
        self.away.keys()
    }

    /// Notes a slot about which this node decides without the engine.
    pub(in crate::scheduler) fn add_away_slot(&mut self, id: &JobId, slot: Timestamp, are_decided: bool) {
        let new = AwaySlots { first: slot, last: slot, are_decided, is_of_this_daemon: true };
        let old = self.away.get(id).filter(|old| old.are_decided == are_decided);
        let all = old.map_or(new, |old| AwaySlots { first: old.first.min(slot), last: old.last.max(slot), ..new });
        self.changed.insert(id.clone());
        self.away.insert(id.clone(), all);
    }

    /// The fleet knows of them.
    pub(in crate::scheduler) fn forget_away_slots(&mut self, id: &JobId) {
        if self.away.remove(id).is_some() {
            self.changed.insert(id.clone());
        }
    }

    /// A slot comes, perhaps once more as the clock was set back: it is not skipped because it came before.
    pub(in crate::scheduler) fn take_back_away_slots(&mut self, id: &JobId, from: Timestamp) {
        let Some(away) = self.away.get_mut(id).filter(|away| !away.are_decided && away.last >= from) else { return };
        away.last = Timestamp(from.0.saturating_sub(1));
        self.changed.insert(id.clone());
        if away.first > away.last {
            self.away.remove(id);
        }
    }
}
