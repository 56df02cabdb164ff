//! Entries that are removed while another attempt is pending: the last failure becomes final, and its hook and ping go out as they would have.

use super::event::{RunId, RunRequest};
use super::job_id::JobId;
use super::state::Scheduler;
use crate::crontab::Policy;
use crate::schedule::Timestamp;

impl Scheduler {
    /// Keeps what is needed for the last notices of the jobs of a table that have an attempt pending, for as long as the table is exchanged.
    pub(super) fn note_leaving(&mut self, number: Option<u32>) {
        self.leaving.clear();
        let Some((number, table)) = number.and_then(|number| Some((number, self.tables.get(number)?))) else { return };
        let has_retry = |id: &JobId| self.jobs.status(id).1.is_some();
        let jobs = table.managed.iter().filter(|(_, id)| has_retry(id)).filter_map(|(entry, id)| {
            let request = self.request((number, *entry), RunId(0), Timestamp(0), false)?;
            let policy = self.jobs.policy(id)?.clone();
            Some((id.clone(), (request, policy)))
        });
        self.leaving = jobs.collect();
    }

    /// What a job asks for, also while it is removed.
    pub(super) fn policy_of(&self, id: &JobId) -> Option<&Policy> {
        self.jobs.policy(id).or_else(|| self.leaving.get(id).map(|(_, policy)| policy))
    }

    /// The request for a run of a job, also while it is removed.
    pub(super) fn request_of(&self, id: &JobId, run: RunId, scheduled_at: Timestamp) -> Option<RunRequest> {
        match self.jobs.entry(id) {
            Some(entry) => self.request(entry, run, scheduled_at, false),
            None => {
                let (request, _) = self.leaving.get(id)?;
                Some(RunRequest { run, scheduled_at: scheduled_at.0, ..request.clone() })
            }
        }
    }
}
