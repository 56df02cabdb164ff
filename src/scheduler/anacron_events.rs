//! How the scheduler handles the events of anacron jobs.

use super::anacron::SystemLines;
use super::event::{Action, Now, Owner, Preparation, RunRequest, Source};
use super::naming::Touched;
use super::run_record::Trigger;
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
        let is_same = self.anacron.has(source, table);
        self.anacron.load(source, table, stamps);
        if is_same {
            return;
        }
        let mut names = self.release_names(ANACRON);
        self.change_entries(now, actions, |scheduler, actions| {
            names.extend(scheduler.claim_names(ANACRON));
            let (wanted, old) = (scheduler.anacron.specs(), scheduler.anacron.all_ids().clone());
            let touched = Touched { names, copies: Vec::new() };
            let named = scheduler.name_entries(ANACRON, wanted, old, &touched, actions);
            scheduler.install_jobs(named, now, actions);
            scheduler.take_up_state(ANACRON, now, actions);
        });
    }

    /// Asks for what has to be known before the next step of an anacron job. Everything else that can be handed over comes first, so that a
    /// line of a system table that counts as a run has been counted.
    pub(super) fn ask_for_anacron(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        if self.phase == Phase::Running && !self.queue.has_next() {
            actions.extend(self.anacron.next_question(&self.jobs, now));
        }
    }

    /// Makes the check for which the anacrontab was read.
    pub(super) fn check_anacron(&mut self, is_on_battery: bool, now: Timestamp, actions: &mut Vec<Action>) {
        if self.phase == Phase::Running {
            let TimingState { timers, zones, .. } = &self.timing;
            let lines = SystemLines { tables: &self.tables, timers, zones, jobs: &self.jobs };
            self.anacron.check(is_on_battery, lines, now, &zones.system(), actions);
        }
    }

    /// Starts the anacron job that was prepared, if it can be and is still due.
    pub(super) fn start_prepared(&mut self, preparation: Preparation, now: Now, actions: &mut Vec<Action>) {
        match preparation {
            Preparation::Failed => self.anacron.fail_start(),
            Preparation::Ready { .. } if self.phase == Phase::Running => {
                let TimingState { timers, zones, .. } = &self.timing;
                let lines = SystemLines { tables: &self.tables, timers, zones, jobs: &self.jobs };
                let Some((id, slot)) = self.anacron.take_start(lines, now.utc, &zones.system()) else { return };
                self.starting_at = now.utc;
                self.progress.has_decided = true;
                self.with_jobs(now, actions, |jobs, turn| jobs.slot(&id, slot, Trigger::Anacron, false, turn));
                self.report_queue_exits(now, actions);
                if !self.jobs.is_occupied(&id) {
                    self.anacron.left_out(&id);
                }
            }
            Preparation::Ready { .. } | Preparation::NotOurs => self.anacron.drop_start(),
        }
    }

    /// Counts a start of a system table as the run of an anacron job, if it is one.
    pub(super) fn count_for_anacron(&mut self, start: &RunRequest, now: Timestamp, actions: &mut Vec<Action>) {
        if self.anacron.is_active() && start.source.owner == Owner::System {
            self.anacron.count_line(&start.command, Day::at(now, &self.timing.zones.system()), actions);
        }
    }
}
