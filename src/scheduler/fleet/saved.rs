//! What a daemon leaves to the next one of a fleet job, also of one that is in no table any more.

use super::state::{Fleet, Report, WantedPause};
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
        };
        (!saved.is_empty()).then_some(saved)
    }

    /// The jobs of which something is to be saved.
    pub(in crate::scheduler) fn saved_jobs(&self) -> impl Iterator<Item = (JobId, SavedFleetJob)> {
        let ids: BTreeSet<&JobId> =
            self.reports.keys().map(|(id, _)| id).chain(self.wanted_pauses.keys()).collect();
        ids.into_iter().filter_map(|id| Some((id.clone(), self.saved(id)?)))
    }

    /// Takes what an earlier daemon has left of a job.
    pub(in crate::scheduler) fn restore(&mut self, id: &JobId, saved: SavedFleetJob) {
        if let Some(wanted) = saved.wanted_pause {
            self.wanted_pauses.entry(id.clone()).or_insert(wanted);
        }
        for report in saved.reports {
            // Reports that this daemon has added are newer.
            self.reports.entry((id.clone(), report.claim.number)).or_insert(report);
        }
    }
}
