//! What happens in the daemon when a run starts and ends and when its outcome is decided: the runs in progress, the metrics and the history are
//! brought up to date, and clients of the control socket are informed.
//!
//! The end of an anacron job is reported when its stamp is on the disk: a job whose end was reported does not run again on that day, even if
//! the machine crashes.

use super::control::EventJob;
use super::debug::Topic;
use super::state::{Daemon, HeldReport};
use crate::executor::RunOfJob;
use crate::scheduler::{Action, Event, RunRecord, RunRequest, RunResult, StampCause, Trigger};

impl Daemon {
    /// Notes the runs of an earlier daemon that have not ended.
    pub(super) fn note_earlier_runs(&mut self, running: &[RunOfJob]) {
        let known = self.driver.scheduler.find_jobs(running.iter().map(|run| &run.job));
        for run in running {
            if let Some(like) = known.get(&run.job) {
                self.runs.add_earlier(run, like);
            }
        }
    }

    /// Notes that a run is handed over to the executor.
    pub(super) fn note_start(&mut self, start: &RunRequest) {
        self.runs.add(start);
        if start.trigger == Trigger::Retry {
            self.metrics.note_retry(&start.job);
        }
        self.publish_start(start);
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

    /// Reports what has waited for stamps, once none is left to be written.
    pub(super) fn release_reports(&mut self) {
        for report in std::mem::take(&mut self.held_reports) {
            self.report(report);
        }
    }

    fn report(&mut self, report: HeldReport) {
        match report {
            HeldReport::Ended { result, rules, is_managed } => {
                self.record_result(&result, rules.as_ref());
                self.measure_run(&result);
                self.note_end(&result, is_managed);
            }
            HeldReport::Decided(record) => {
                let of_run = record.run.and_then(|run| self.runs.take_ended(run));
                let job = of_run.as_ref().map(EventJob::run).or_else(|| self.event_job(&record.job));
                self.note_outcome(&record);
                self.publish_outcome(&record, job.as_ref());
                self.record_outcome(&record);
            }
        }
    }

    /// Notes that a run has ended. If it is managed, the scheduler decides about its outcome by the policy of its job.
    fn note_end(&mut self, result: &RunResult, is_managed: bool) {
        let Some(run) = self.runs.remove(result.run) else { return };
        if is_managed {
            return self.runs.keep_ended(result.run, run);
        }
        let record = run.record(result);
        self.note_outcome(&record);
        self.publish_outcome(&record, Some(&EventJob::run(&run)));
    }

    fn note_outcome(&mut self, record: &RunRecord) {
        let entries = self.driver.scheduler.summary().entries;
        self.runs.note_outcome(record, entries);
        self.metrics.note_outcome(record);
        self.metrics.limit(entries);
    }
}
