//! Anacron jobs in the event loop: carries out the scheduler's actions on the anacrontab and the stamps.

use super::job_state::JobStateStore;
use super::stamps::{StampResult, StampTask};
use super::state::Daemon;
use crate::schedule::{Day, Timestamp};
use crate::scheduler::{Action, Event, Preparation, StampCause};

impl Daemon {
    /// Gives the scheduler the anacrontab and the stamps.
    pub(super) fn load_anacrontab(&mut self) {
        let unwritten = self.files.job_state.as_ref().map(JobStateStore::unwritten_stamps).unwrap_or_default();
        let Some(files) = &mut self.files.anacron else { return };
        let mut log_lines = Vec::new();
        let event = files.read(&self.settings, &unwritten, &mut log_lines);
        log_lines.iter().for_each(|line| self.log_line(line));
        self.driver.handle(event);
    }

    pub(super) fn log_due_anacron_job(&mut self, id: &[u8], starts_at: Timestamp) {
        let zone = self.zone_of_system();
        let id = String::from_utf8_lossy(id);
        self.log_event("INFO", &format!("anacron job {id} is due, to start at {}", zone.to_rfc3339(starts_at)));
    }

    pub(super) fn prepare_anacron_job(&mut self, id: &[u8]) {
        match self.files.anacron.as_ref().and_then(|files| files.task_before_start(id)) {
            Some(task) => self.begin_stamp_task(task),
            None => self.driver.handle(Event::AnacronJobPrepared(Preparation::NotOurs)),
        }
    }

    pub(super) fn write_stamp(&mut self, id: &[u8], day: Day, cause: StampCause) {
        if let Some(task) = self.files.anacron.as_ref().and_then(|files| files.task_after_run(id, day, cause)) {
            self.begin_stamp_task(task);
        }
    }

    fn begin_stamp_task(&mut self, task: StampTask) {
        match &self.files.job_state {
            Some(store) => store.add_stamp_task(task),
            // The state directory cannot be used, which was logged. The event loop waits for the disk then.
            None => self.finish_stamp_task(task.carry_out()),
        }
    }

    pub(super) fn finish_stamp_task(&mut self, result: StampResult) {
        match result {
            StampResult::Prepared(Ok(stamp)) => {
                self.driver.handle(Event::AnacronJobPrepared(Preparation::Ready { stamp }));
            }
            StampResult::Prepared(Err(why)) => {
                self.warn(&format!("{why}; the job is not started"));
                self.driver.handle(Event::AnacronJobPrepared(Preparation::Failed));
            }
            StampResult::Written(written) => {
                if let Err(why) = written {
                    self.warn(&why.to_string());
                }
                // The stamp of a run that has just ended may not be queued yet.
                let is_queued = |action: &Action| matches!(action, Action::WriteStamp { cause: StampCause::Ended, .. });
                let has_queued = self.driver.actions.iter().any(is_queued);
                if !has_queued && self.files.job_state.as_ref().is_none_or(|store| store.unwritten_stamps().is_empty())
                {
                    self.release_reports();
                }
            }
        }
    }
}
