//! Anacron jobs in the event loop: carries out the scheduler's actions on the anacrontab and the stamps, and reports the end of a job when its stamp
//! is on the disk. A job whose end was reported does not run again on that day, even if the machine crashes.

use super::debug::Topic;
use super::job_state::JobStateStore;
use super::stamps::{StampResult, StampTask};
use super::state::{Daemon, HeldReport};
use crate::schedule::{Day, Timestamp};
use crate::scheduler::{Action, Event, Preparation, RunResult, StampCause};

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

    /// Handles the end of a run. If it leads to a stamp, it is reported when that is written.
    pub(super) fn handle_result(&mut self, result: RunResult) {
        self.debug(Topic::Processes, || format!("run {} ended: {:?}", result.run.0, result.outcome));
        let rules = self.runs.get(result.run).and_then(|run| self.driver.scheduler.rules_of_job(&run.job));
        let is_managed = self.driver.scheduler.is_managed_run(result.run);
        let queued = self.driver.actions.len();
        self.driver.handle(Event::RunEnded(Box::new(result.clone())));
        let is_stamp = |action: &Action| matches!(action, Action::WriteStamp { cause: StampCause::Ended, .. });
        let is_stamped = self.driver.actions.iter().skip(queued).any(is_stamp);
        let report = HeldReport::Ended { result: Box::new(result), rules, is_managed };
        if is_stamped && self.files.job_state.is_some() {
            self.held_reports.push(report);
        } else {
            self.report(report);
        }
    }

    /// Records and publishes an outcome, or does that later if the stamp of its run is being written.
    pub(super) fn report_unless_held(&mut self, report: HeldReport) {
        let run = report.run();
        if run.is_some() && self.held_reports.iter().any(|held| held.run() == run) {
            self.held_reports.push(report);
        } else {
            self.report(report);
        }
    }

    fn report(&mut self, report: HeldReport) {
        match report {
            HeldReport::Ended { result, rules, is_managed } => {
                self.record_result(&result, rules.as_ref());
                self.measure_run(&result);
                self.publish_end(&result, is_managed);
            }
            HeldReport::Decided(record) => {
                self.publish_outcome(&record);
                self.record_outcome(&record);
            }
        }
    }

    /// Reports what has waited for stamps.
    pub(super) fn release_reports(&mut self) {
        for report in std::mem::take(&mut self.held_reports) {
            self.report(report);
        }
    }
}
