//! Warnings about entries that depend on other tables: unknown names, cycles, and limits of groups.

use super::action::Action;
use super::job_id::JobId;
use super::jobs::GroupKey;
use super::state::Scheduler;
use std::collections::BTreeSet;

/// Most names after `@after` that are followed to find out whether one job waits for itself.
const MOST_OF_JOB: usize = 10_000;
/// Most such names for all jobs of one load, or of start-up.
const MOST_OF_LOAD: usize = 50_000;

impl Scheduler {
    /// Says what is wrong with these jobs, whose entries have just been loaded: names after `@after` that no job has, cycles, and groups with
    /// different numbers of runs.
    pub(super) fn report_faults(&self, ids: &[JobId], actions: &mut Vec<Action>) {
        let mut groups: BTreeSet<(GroupKey, u32)> = BTreeSet::new();
        let mut budget = MOST_OF_LOAD;
        for id in ids {
            let Some(key) = self.jobs.entry(id) else { continue };
            for message in self.find_after_faults(id, &mut budget) {
                actions.extend(self.entries.entry_warning(key, message));
            }
            let Some(spec) = self.entries.spec_at(key) else { continue };
            let Some((group, slots)) = spec.group.zip(spec.policy.group.as_ref().map(|group| group.slots)) else {
                continue;
            };
            if groups.insert((group.clone(), slots))
                && let Some((other, limit)) = self.jobs.other_limit(id)
            {
                let runs = |slots: u32| if slots == 1 { "1 run".to_owned() } else { format!("{slots} runs") };
                let place = self.entries.path_at(other);
                let (here, there) = (runs(slots), runs(limit));
                let name = &group.name;
                let message = format!(
                    "the group {name} has {here} at once here, and {there} in {place}; the smallest number holds"
                );
                actions.extend(self.entries.entry_warning(key, message));
            }
        }
    }

    /// What is wrong with the names that an entry waits for. Where all of a cycle is in one table, its parser has spoken.
    fn find_after_faults(&self, id: &JobId, budget: &mut usize) -> Vec<String> {
        let needed = self.jobs.needed(id);
        let unknown = needed.iter().filter(|needed| self.jobs.entry(needed).is_none());
        let mut faults: Vec<String> = unknown
            .map(|needed| format!("@after: no job has the name {needed}; the entry waits until one has it"))
            .collect();
        if let Some(last) = self.find_cycle(id, budget) {
            faults.push(format!("@after: {id} waits for {last}, which waits for {id}: neither ever runs"));
        }
        faults
    }

    /// The last job of a cycle of jobs of several tables that wait for each other, from that one on. The budget is the number of names that
    /// may still be followed: where it is used up, a cycle stays unknown.
    fn find_cycle(&self, id: &JobId, budget: &mut usize) -> Option<JobId> {
        let least = budget.saturating_sub(MOST_OF_JOB);
        let own = self.jobs.entry(id)?.0;
        let mut seen: BTreeSet<(JobId, bool)> = BTreeSet::new();
        let mut open: Vec<(JobId, bool)> = vec![(id.clone(), false)];
        while let Some((job, is_elsewhere)) = open.pop() {
            for needed in self.jobs.needed(&job) {
                if *budget == least {
                    return None;
                }
                *budget -= 1;
                if needed == id {
                    if is_elsewhere {
                        return Some(job);
                    }
                    continue;
                }
                let is_elsewhere = is_elsewhere || self.jobs.entry(needed).is_some_and(|entry| entry.0 != own);
                if seen.insert((needed.clone(), is_elsewhere)) {
                    open.push((needed.clone(), is_elsewhere));
                }
            }
        }
        None
    }
}
