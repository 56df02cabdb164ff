//! How the scheduler handles the events of anacron jobs.

use super::action::Action;
use super::anacron::{JobActivity, SystemLines};
use super::event::Preparation;
use super::naming::NameChanges;
use super::now::Now;
use super::run_record::Trigger;
use super::run_request::RunRequest;
use super::source::{Owner, Source};
use super::start_queue::ANACRON;
use super::state::{Phase, Scheduler};
use super::timing::TimingState;
use crate::crontab::Anacrontab;
use crate::schedule::{Day, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Scheduler {
    /// Takes the table in force and the stamps of its jobs.
    pub(super) fn load_anacron(
        &mut self,
        source: &Source,
        table: &Option<Arc<Anacrontab>>,
        stamps: &BTreeMap<Vec<u8>, Day>,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let is_same = self.entries.anacron.has(source, table);
        if !is_same {
            self.note_leaving(Some(ANACRON));
        }
        self.entries.anacron.load(source, table, stamps);
        if is_same {
            return;
        }
        let mut names = self.release_names(ANACRON);
        self.change_entries(now, actions, |scheduler, actions| {
            names.extend(scheduler.claim_names(ANACRON));
            let (wanted, old) = (scheduler.entries.anacron.specs(), scheduler.entries.anacron.all_ids().clone());
            let name_changes = NameChanges { names, copies: Vec::new() };
            let named = scheduler.name_entries(ANACRON, wanted, old, &name_changes, actions);
            scheduler.install_jobs(named, now, actions);
            scheduler.restore_late_table(ANACRON, now, actions);
        });
        self.entries.leaving.clear();
    }

    /// Asks for what has to be known before the next step of an anacron job. Everything else that can be handed over comes first, so that a
    /// line of a system table that counts as a run has been counted.
    pub(super) fn ask_for_anacron(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        if self.phase == Phase::Running && !self.starts.queue.has_next() {
            actions.extend(self.entries.anacron.next_question(&self.jobs, now));
        }
    }

    /// Makes the check for which the anacrontab was read.
    pub(super) fn check_anacron(&mut self, is_on_battery: bool, now: Timestamp, actions: &mut Vec<Action>) {
        if self.phase == Phase::Running {
            let TimingState { timers, zones, .. } = &self.entries.timing;
            let lines = SystemLines { tables: &self.entries.tables, timers, zones, jobs: &self.jobs };
            self.entries.anacron.check(is_on_battery, lines, now, &zones.system(), actions);
        }
    }

    /// Starts the anacron job that was prepared, if it can be and is still due.
    pub(super) fn start_prepared(&mut self, preparation: Preparation, now: Now, actions: &mut Vec<Action>) {
        match preparation {
            Preparation::Failed => self.entries.anacron.fail_start(),
            Preparation::Ready { .. } if self.phase == Phase::Running => {
                let TimingState { timers, zones, .. } = &self.entries.timing;
                let lines = SystemLines { tables: &self.entries.tables, timers, zones, jobs: &self.jobs };
                let Some((id, slot)) = self.entries.anacron.take_start(lines, now.utc, &zones.system()) else { return };
                self.progress.has_decided = true;
                self.with_jobs(now, actions, |jobs, context| {
                    jobs.handle_slot(&id, slot, Trigger::Anacron, false, context)
                });
                if !self.jobs.is_occupied(&id) {
                    self.entries.anacron.postpone(&id);
                }
            }
            Preparation::Ready { .. } | Preparation::NotOurs => self.entries.anacron.drop_start(),
        }
    }

    /// Counts a start of a system table as the run of an anacron job, if it is one.
    pub(super) fn count_for_anacron(&mut self, start: &RunRequest, now: Timestamp, actions: &mut Vec<Action>) {
        if self.entries.anacron.is_active() && start.source.owner == Owner::System {
            self.entries.anacron.count_line(&start.command, Day::at(now, &self.entries.timing.zones.system()), actions);
        }
    }
}
