//! How the scheduler handles the events of anacron jobs.

use super::anacron::SystemLines;
use super::event::{Action, Owner, Preparation, RunId, RunRequest};
use super::jobs::PauseScope;
use super::runs::RunOrigin;
use super::state::{Phase, Scheduler};
use crate::schedule::{Day, Timestamp};

impl Scheduler {
    /// Asks for what has to be known before the next step of an anacron job. Everything else that can be handed over comes first, so that a
    /// line of a system table that counts as a run has been counted.
    pub(super) fn ask_for_anacron(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        self.anacron.set_paused(self.jobs.pause_of_scope(PauseScope::Everybody).is_some());
        if self.phase == Phase::Running && !self.queue.has_next() {
            actions.extend(self.anacron.next_question(now));
        }
    }

    /// Makes the check for which the anacrontab was read.
    pub(super) fn check_anacron(&mut self, is_on_battery: bool, now: Timestamp, actions: &mut Vec<Action>) {
        if self.phase == Phase::Running {
            let lines = SystemLines { tables: &self.tables, timers: &self.timing.timers, zones: &self.timing.zones };
            self.anacron.check(is_on_battery, lines, now, &self.timing.zones.system(), actions);
        }
    }

    /// Starts the anacron job that was prepared, if it can be and is still due.
    pub(super) fn start_prepared(&mut self, preparation: Preparation, now: Timestamp, actions: &mut Vec<Action>) {
        match preparation {
            Preparation::Failed => self.anacron.fail_start(),
            Preparation::Ready { .. } if self.phase == Phase::Running => {
                let run = RunId(self.runs.next_id);
                let lines =
                    SystemLines { tables: &self.tables, timers: &self.timing.timers, zones: &self.timing.zones };
                if let Some(start) = self.anacron.start(run, lines, now, &self.timing.zones.system()) {
                    self.runs.add(RunOrigin::Plain);
                    actions.push(Action::Start(Box::new(start)));
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
