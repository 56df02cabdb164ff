//! Which entries are managed, that is, have a policy, a name or an interval, or were controlled by a request: what their loading, change and
//! removal means for their jobs.

use super::action::Action;
use super::entries::table_owner;
use super::job_id::JobId;
use super::jobs::{AdoptedRun, JobSpec};
use super::live::EntryCursor;
use super::live_table::LiveCrontab;
use super::naming::{NameChanges, NamedEntries};
use super::now::Now;
use super::run_record::RunCause;
use super::runs::{RunOrigin, StartedRun};
use super::saved::StateChange;
use super::state::{Phase, Scheduler};
use crate::crontab::{CatchUpMode, FleetMode, Policy};
use crate::schedule::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

impl Scheduler {
    /// Exchanges entries: nothing is started before all of them are known.
    pub(super) fn change_entries(
        &mut self,
        now: Now,
        actions: &mut Vec<Action>,
        change: impl FnOnce(&mut Scheduler, &mut Vec<Action>),
    ) {
        self.jobs.begin_change();
        change(self, actions);
        self.with_jobs(now, actions, |jobs, context| jobs.end_change(context));
    }

    /// Registers the managed entries of a table that has just become live under this number. `old` are the managed entries of the table that it
    /// replaces, and `released` the names that the replaced table had wanted.
    pub(super) fn manage(
        &mut self,
        number: u32,
        old: BTreeMap<u32, JobId>,
        released: BTreeSet<JobId>,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let mut names = self.claim_names(number);
        names.extend(released);
        let has_earlier_copies = self.has_earlier_copies(number);
        let Some(table) = self.entries.tables.get(number) else { return };
        let is_all_paused = self.jobs.is_all_paused(table_owner(table), now.utc);
        let name_changes = NameChanges { names, copies: self.copies_of(table.source()) };
        let mut wanted = Vec::new();
        let with_state: BTreeSet<&JobId> = old.values().filter(|id| self.jobs.has_pause_or_state(id)).collect();
        for entry in 0..table.entries().len() as u32 {
            let is_interval = table.is_interval(entry);
            // Somebody may have paused a job that has no policy, or run it by hand.
            let derived = || table.job_id(entry, &self.entries.caller);
            let has_pause_or_state =
                || derived().is_some_and(|id| with_state.contains(&id) || self.jobs.paused(&id).is_some());
            // Another entry may have been given the name that this one has from its command.
            let may_be_renamed = has_earlier_copies || self.names.has_like_derived(self.entries.user_of(table, entry));
            let may_have_pause_or_state =
                !with_state.is_empty() || self.jobs.has_pauses_of(self.entries.user_of(table, entry));
            let is_renamed = || self.resolve((number, entry)) != derived();
            if self.records_all
                || is_interval
                || table.is_managed(entry)
                || is_all_paused
                || (may_have_pause_or_state && has_pause_or_state())
                || (may_be_renamed && is_renamed())
            {
                wanted.push((entry, self.entries.spec(table, (number, entry), is_interval)));
            }
        }
        let named = self.name_entries(number, wanted, old, &name_changes, actions);
        self.install_jobs(named, now, actions);
        self.restore_late_table(number, now, actions);
    }

    /// Gives jobs their new policies and entries, and forgets those that have none any more.
    pub(super) fn install_jobs(&mut self, named: NamedEntries, now: Now, actions: &mut Vec<Action>) {
        let NamedEntries { specs, gone, passed } = named;
        self.forget_first_seen(&passed, actions);
        specs.iter().for_each(|(id, _)| self.earlier.note_known(id));
        let asks = |spec: &JobSpec| !spec.after.is_empty() || spec.group.is_some();
        let in_question: Vec<JobId> = specs.iter().filter(|(_, spec)| asks(spec)).map(|(id, _)| id.clone()).collect();
        let zone = self.entries.timing.zones.system();
        let is_in_fleet = self.fleet.is_some();
        for (id, spec) in specs.iter().filter(|(_, spec)| has_missed_slots(&spec.policy, is_in_fleet)) {
            let Some((number, entry)) = spec.entry else { continue };
            let Some(table) = self.entries.tables.get(number) else { continue };
            let digest = table.schedule_digest(entry, zone.name());
            let is_same = self.first_seen.get(id).is_some_and(|(known, _)| *known == digest);
            if !is_same {
                self.first_seen.insert(id.clone(), (digest, now.utc));
                // Before start-up is complete the saved state may know an earlier moment.
                if self.phase != Phase::Loading {
                    actions.push(save_first_seen(id, Some((digest, now.utc))));
                }
            }
        }
        // No slot counts as missed from before a setting that is taken away and comes back, whether or not a daemon has begun between.
        let is_known = |id: &JobId| self.first_seen.contains_key(id);
        let without = specs.iter().filter(|(id, spec)| !has_missed_slots(&spec.policy, is_in_fleet) && is_known(id));
        let without: Vec<JobId> = without.map(|(id, _)| id.clone()).collect();
        let foreign: BTreeSet<JobId> = specs
            .iter()
            .filter(|(id, spec)| {
                self.jobs.paused(id).is_some_and(|pause| self.entries.is_of_other_table(pause, spec.entry))
            })
            .map(|(id, _)| id.clone())
            .collect();
        let added: BTreeSet<JobId> = match self.starts.runs.len() {
            0 => BTreeSet::new(),
            _ => specs.iter().map(|(id, _)| id).filter(|id| self.jobs.entry(id).is_none()).cloned().collect(),
        };
        self.note_fleet_jobs();
        self.with_jobs(now, actions, |jobs, context| {
            passed.iter().for_each(|id| jobs.unregister(id, context));
            for (id, spec) in specs {
                let may_be_paused = jobs.is_all_paused(spec.table_owner, context.now.utc);
                jobs.register(id.clone(), spec, context);
                if foreign.contains(&id) {
                    jobs.resume(&id, context);
                }
                if may_be_paused {
                    jobs.pause_if_covered(&id, context);
                }
            }
            gone.iter().for_each(|id| jobs.unregister(id, context));
        });
        self.adopt_plain_runs(&added, now, actions);
        self.forget_first_seen(&gone, actions);
        self.forget_first_seen(&without, actions);
        // Before start-up is complete other tables are still to come.
        match self.phase {
            Phase::Loading => self.unchecked.extend(in_question),
            Phase::Running | Phase::Stopped => self.report_faults(&in_question, actions),
        }
    }

    /// The entries of a table that is not live any more are gone.
    pub(super) fn unmanage(&mut self, table: &LiveCrontab, now: Now, actions: &mut Vec<Action>) {
        let gone: Vec<JobId> = table.managed.values().cloned().collect();
        if !gone.is_empty() {
            self.with_jobs(now, actions, |jobs, context| gone.iter().for_each(|id| jobs.unregister(id, context)));
            self.forget_first_seen(&gone, actions);
            self.note_fleet_jobs();
        }
    }

    /// The system's zone is another one: entries without a zone of their own have another schedule from now on.
    pub(super) fn note_system_zone(&mut self, now: Now, actions: &mut Vec<Action>) {
        let zone = self.entries.timing.zones.system();
        for (_, table) in self.entries.tables.iter() {
            for (&entry, id) in &table.managed {
                let Some(seen) = self.first_seen.get_mut(id) else { continue };
                let digest = table.schedule_digest(entry, zone.name());
                if digest != seen.0 {
                    *seen = (digest, now.utc);
                    if self.phase != Phase::Loading {
                        actions.push(save_first_seen(id, Some(*seen)));
                    }
                }
            }
        }
    }

    /// Missed slots of an entry count anew when it comes back.
    fn forget_first_seen(&mut self, gone: &[JobId], actions: &mut Vec<Action>) {
        for id in gone {
            // Before start-up is complete nothing is saved: the saved state has not been read.
            if self.first_seen.remove(id).is_some() && self.phase != Phase::Loading {
                actions.push(save_first_seen(id, None));
            }
        }
    }

    /// Makes a job without a policy managed, because it is paused, run or ended on request. False: there is no such job.
    pub(super) fn manage_job(&mut self, id: &JobId, now: Now, actions: &mut Vec<Action>) -> bool {
        self.manage_jobs(&BTreeSet::from([id.clone()]), None, now, actions);
        self.jobs.entry(id).is_some()
    }

    /// Makes the job of the entry at that place managed, so that a request about it needs no search.
    pub fn manage_entry(&mut self, place: EntryCursor, id: &JobId, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        let EntryCursor { table: number, entry } = place;
        let Some(table) = self.entries.tables.get(number).filter(|_| self.jobs.entry(id).is_none()) else {
            return actions;
        };
        if (entry as usize) < table.entries().len() && self.entries.id_of(table, entry).as_ref() == Some(id) {
            let spec = self.entries.spec(table, (number, entry), false);
            if let Some(table) = self.entries.tables.get_mut(number) {
                table.managed.insert(entry, id.clone());
            }
            self.with_jobs(now, &mut actions, |jobs, context| jobs.register(id.clone(), spec, context));
            self.adopt_plain_runs(&BTreeSet::from([id.clone()]), now, &mut actions);
        }
        actions
    }

    /// Makes several jobs managed, in one search of one table or of all tables.
    pub(super) fn manage_jobs(
        &mut self,
        ids: &BTreeSet<JobId>,
        only: Option<u32>,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let mut missing: BTreeSet<&JobId> = ids.iter().filter(|id| self.jobs.entry(id).is_none()).collect();
        let mut found = Vec::new();
        for (number, table) in self.entries.tables.iter().filter(|(number, _)| only.is_none_or(|only| only == *number))
        {
            for entry in 0..table.entries().len() as u32 {
                if missing.is_empty() {
                    break;
                }
                if table.managed.contains_key(&entry) {
                    continue;
                }
                let id = self.entries.id_of(table, entry).filter(|id| missing.remove(id));
                found.extend(id.map(|id| (id, number, entry, self.entries.spec(table, (number, entry), false))));
            }
        }
        let added: BTreeSet<JobId> = found.iter().map(|(id, ..)| id.clone()).collect();
        for (id, number, entry, spec) in found {
            if let Some(table) = self.entries.tables.get_mut(number) {
                table.managed.insert(entry, id.clone());
            }
            self.with_jobs(now, actions, |jobs, context| jobs.register(id, spec, context));
        }
        self.adopt_plain_runs(&added, now, actions);
    }

    /// Jobs have become managed: their runs in progress count from now on for overlap and groups, and their ends are decided about.
    pub(super) fn adopt_plain_runs(&mut self, added: &BTreeSet<JobId>, now: Now, actions: &mut Vec<Action>) {
        if added.is_empty() {
            return;
        }
        for (run, StartedRun { job, scheduled_at, trigger }) in self.starts.runs.plain_runs(added) {
            let cause = Some(RunCause { trigger, attempt: 1 });
            let adopted = AdoptedRun { run, scheduled_at, cause, is_slot: true, is_unknown: true };
            if self.with_jobs(now, actions, |jobs, context| jobs.adopt(&adopted, &job, context)) {
                self.starts.runs.insert(run, RunOrigin::Managed { trigger, attempt: 1 });
            }
        }
    }
}

/// Whether it matters since when an entry with that policy has had its schedule.
fn has_missed_slots(policy: &Policy, is_in_fleet: bool) -> bool {
    policy.catch_up.mode != CatchUpMode::None || (is_in_fleet && policy.fleet.mode != FleetMode::Each)
}

/// The action that saves since when an entry with `CRON_CATCHUP` has had its schedule, with a digest of that.
pub(super) fn save_first_seen(id: &JobId, seen: Option<(u64, Timestamp)>) -> Action {
    Action::SaveState(Box::new(StateChange::first_seen(id.clone(), seen)))
}
