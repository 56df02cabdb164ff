//! Entries that are removed while another attempt is pending: the last failure becomes final, and its hook and ping go out as they would have.

use super::job_id::JobId;
use super::run_id::RunId;
use super::state::Scheduler;
use crate::schedule::Timestamp;

impl Scheduler {
    /// Keeps what is needed for the last notices of the jobs of a table that have an attempt pending, for as long as the table is exchanged.
    pub(super) fn note_leaving(&mut self, number: Option<u32>) {
        self.entries.leaving.clear();
        let Some((number, table)) = number.and_then(|number| Some((number, self.entries.tables.get(number)?))) else {
            return;
        };
        let has_retry = |id: &JobId| self.jobs.status(id).1.is_some();
        let jobs = table.managed.iter().filter(|(_, id)| has_retry(id)).filter_map(|(entry, id)| {
            let request = self.entries.request((number, *entry), RunId(0), Timestamp(0), false)?;
            Some((id.clone(), request))
        });
        self.entries.leaving = jobs.collect();
    }
}
