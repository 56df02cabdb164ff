//! Finding live entries by the jobs that they are.

use super::event::{RunId, RunRequest, RunRules};
use super::job_id::JobId;
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
        self.request(self.jobs.entry(job)?, RunId(0), Timestamp(0), false)
    }

    /// The request that would start each of these jobs, as far as they are still in a table.
    pub fn find_jobs<'a>(&self, jobs: impl IntoIterator<Item = &'a JobId>) -> HashMap<JobId, RunRequest> {
        let wanted: HashSet<&JobId> = jobs.into_iter().collect();
        let users: BTreeSet<&str> = wanted.iter().map(|job| job.user()).collect();
        let mut found = HashMap::new();
        if wanted.is_empty() {
            return found;
        }
        for (&number, job) in self.anacron.all_ids().iter().filter(|(_, job)| wanted.contains(job)) {
            let start = self.request((ANACRON, number), RunId(0), Timestamp(0), false);
            found.extend(start.map(|start| (job.clone(), start)));
        }
        for (number, table) in self.tables.iter() {
            for entry in 0..table.entries().len() as u32 {
                let user = table.user(entry);
                let user = if user.is_empty() { self.settings.caller.as_str() } else { user };
                if !users.contains(user) {
                    continue;
                }
                let Some(job) = self.id_of(table, entry).filter(|job| wanted.contains(job)) else { continue };
                let start = table.start(entry, RunId(0), &self.settings.caller, Timestamp(0), false);
                let rules = self.rules((number, entry));
                found.extend(start.map(|start| (job.clone(), RunRequest { job, rules, ..start })));
            }
        }
        found
    }
}
