//! Sends a signal to all processes of a job on request.
//!
//! The processes are searched for in the same walk over /proc as those of jobs that are being ended, see `endings`.

use super::job_endings::RequestedSignals;
use super::state::ExecutorState;
use crate::scheduler::RunId;
use crate::sys::process::{self, Ask, OtherSignal};

impl ExecutorState {
    /// Sends a signal to all processes of a run's job. Nothing happens if the run has no process yet, or has ended.
    pub(super) fn signal_run(&mut self, run: RunId, number: i32) {
        let Some(signal) = OtherSignal::of_number(number) else { return };
        let Some((id, job)) = self.jobs.running.iter().find(|(_, job)| job.start.run == run) else { return };
        if job.pid.is_none() || job.result.is_some() {
            return;
        }
        let (id, leaf, processes) = (*id, job.leaf.clone(), self.processes_of(job));
        self.endings.signals.entry(id).or_insert_with(|| RequestedSignals::new(processes, leaf)).add(signal);
    }

    /// Sends requested signals to the session leaders alone, as the list of processes cannot be read now.
    pub(super) fn signal_leaders(&mut self) {
        for requested in std::mem::take(&mut self.endings.signals).into_values() {
            self.endings.steps.extend(requested.send_steps());
        }
    }

    /// Signals the process groups of jobs, where there is no /proc.
    pub(super) fn signal_groups(&mut self) {
        for (id, requested) in std::mem::take(&mut self.endings.signals) {
            let job = self.jobs.running.get(&id).filter(|job| job.result.is_none());
            let Some(pid) = job.and_then(|job| job.pid) else { continue };
            for signal in requested.signals {
                let ask = Ask::Other(signal);
                // The group may have ended meanwhile.
                let _ = process::signal_group(pid, ask).or_else(|_| process::signal(pid, ask));
            }
        }
    }
}
