//! Entries that are removed, or get another id, while a failed run has not had its last attempt: the failure becomes final, and its hook and
//! ping go out as they would have.

use super::job_id::JobId;
use super::run_id::RunId;
use super::run_request::RunRequest;
use super::start_queue::{ANACRON, EntryKey};
use super::state::Scheduler;
use crate::schedule::Timestamp;

impl Scheduler {
    /// Keeps what is needed for the last notices of the jobs of a table for as long as the table is exchanged.
    pub(super) fn note_leaving(&mut self, number: Option<u32>) {
        self.entries.leaving.clear();
        let ids = match number {
            Some(ANACRON) => Some(self.entries.anacron.all_ids()),
            Some(number) => self.entries.tables.get(number).map(|table| &table.managed),
            None => None,
        };
        let Some((number, ids)) = number.zip(ids) else { return };
        let requests = ids.iter().filter_map(|(&entry, id)| self.leaving_request((number, entry), id));
        self.entries.leaving = requests.collect();
    }

    /// Keeps the request of an entry of another table that is about to get another id than `id`.
    pub(super) fn note_renamed(&mut self, key: EntryKey, id: &JobId) {
        let request = self.leaving_request(key, id);
        self.entries.leaving.extend(request);
    }

    fn leaving_request(&self, key: EntryKey, id: &JobId) -> Option<(JobId, RunRequest)> {
        let request = || self.entries.request(key, RunId(0), Timestamp(0), false);
        self.jobs.has_pending_attempt(id).then(request).flatten().map(|request| (id.clone(), request))
    }
}
