//! Finds live entries by the ids of their jobs.

use super::job_id::JobId;
use super::run_id::RunId;
use super::run_request::{RunRequest, RunRules};
use super::start_queue::ANACRON;
use super::state::Scheduler;
use crate::crontab::HistoryRule;
use crate::schedule::Timestamp;
use std::collections::{BTreeSet, HashMap, HashSet};

impl Scheduler {
    /// What the history keeps of the runs of a job.
    pub fn history_rule(&self, job: &JobId) -> HistoryRule {
        self.jobs.policy(job).map_or_else(HistoryRule::default, |policy| policy.history)
    }

    /// The rules by which the runs of a managed job end.
    pub fn rules_of_job(&self, job: &JobId) -> Option<RunRules> {
        self.jobs.policy(job).map(RunRules::of)
    }

    /// The request that would start a managed job, if its entry is still there.
    pub fn request_of_job(&self, job: &JobId) -> Option<RunRequest> {
        self.entries.request(self.jobs.entry(job)?, RunId(0), Timestamp(0), false)
    }

    /// The request that would start each of these jobs, as far as they are still in a table.
    pub fn find_jobs<'a>(&self, jobs: impl IntoIterator<Item = &'a JobId>) -> HashMap<JobId, RunRequest> {
        let wanted: HashSet<&JobId> = jobs.into_iter().collect();
        let users: BTreeSet<&str> = wanted.iter().map(|job| job.user()).collect();
        let mut found = HashMap::new();
        if wanted.is_empty() {
            return found;
        }
        for (&number, job) in self.entries.anacron.all_ids().iter().filter(|(_, job)| wanted.contains(job)) {
            let start = self.entries.request((ANACRON, number), RunId(0), Timestamp(0), false);
            found.extend(start.map(|start| (job.clone(), start)));
        }
        for (number, table) in self.entries.tables.iter() {
            for entry in 0..table.entries().len() as u32 {
                let user = table.user(entry);
                let user = if user.is_empty() { self.entries.caller.as_str() } else { user };
                if !users.contains(user) {
                    continue;
                }
                let Some(job) = self.entries.id_of(table, entry).filter(|job| wanted.contains(job)) else { continue };
                let start = table.start(entry, RunId(0), &self.entries.caller, Timestamp(0), false);
                let rules = self.entries.rules((number, entry));
                found.extend(start.map(|start| (job.clone(), RunRequest { job, rules, ..start })));
            }
        }
        found
    }

    /// A job by its id, its name where that is unique, or a unique beginning of either.
    ///
    /// # Errors
    ///
    /// The jobs that it may mean: none or several.
    pub fn find_job(&self, text: &str) -> Result<JobId, Vec<JobId>> {
        let mut ids: Vec<JobId> = Vec::new();
        for (_, table) in self.entries.tables.iter() {
            let entries = 0..table.entries().len() as u32;
            ids.extend(entries.filter_map(|entry| self.entries.id_of(table, entry)));
        }
        if let Some(id) = ids.iter().find(|id| id.as_str() == text) {
            return Ok(id.clone());
        }
        let named: Vec<&JobId> = ids.iter().filter(|id| id.name() == text).collect();
        let begins = |id: &&JobId| id.as_str().starts_with(text) || id.name().starts_with(text);
        let found = if named.is_empty() { ids.iter().filter(begins).collect() } else { named };
        match found.as_slice() {
            [only] => Ok((*only).clone()),
            many => Err(many.iter().map(|id| (*id).clone()).collect()),
        }
    }
}
