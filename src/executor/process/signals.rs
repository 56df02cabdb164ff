//! Sends a signal to all processes of a job on request, and decides nothing else.
//!
//! The processes are looked for in the same walk over /proc as those of jobs that are being ended, see `endings`.

use super::job_endings::Step;
use super::state::ExecutorState;
use crate::executor::job_processes::{JobProcesses, ProcessTable};
use crate::scheduler::RunId;
use crate::sys::cgroup::LeafCgroup;
use crate::sys::process::{self, Ask, OtherSignal};

/// Maximum number of signals for one job that wait for a walk. More are dropped.
const WAITING: usize = 32;

/// Signals that are to be sent to the processes of a job.
pub(super) struct RequestedSignals {
    pub(super) processes: JobProcesses,
    leaf: Option<LeafCgroup>,
    signals: Vec<OtherSignal>,
}

impl RequestedSignals {
    /// Looks for the processes of the job in a finished walk, and returns the steps that follow.
    pub(super) fn steps(&mut self, id: u64, table: &ProcessTable) -> Vec<Step> {
        let in_cgroup = self.leaf.as_ref().map(LeafCgroup::processes).unwrap_or_default();
        let candidates = self.processes.update(table, &in_cgroup).into_iter();
        candidates.map(|candidate| Step::ConfirmForSignal(id, candidate)).chain([Step::SendSignals(id)]).collect()
    }

    /// The signals to the processes that have been found.
    pub(super) fn send_steps(&self) -> impl Iterator<Item = Step> {
        let to_all = |signal: &OtherSignal| {
            let ask = Ask::Other(*signal);
            self.processes.alive().map(move |process| Step::Signal(process, ask))
        };
        self.signals.iter().flat_map(to_all)
    }
}

impl ExecutorState {
    /// Sends a signal to all processes of a run's job. Nothing happens if the run has no process yet, or has ended.
    pub(super) fn signal_run(&mut self, run: RunId, number: i32) {
        let Some(signal) = OtherSignal::of_number(number) else { return };
        let Some((id, job)) = self.jobs.running.iter().find(|(_, job)| job.start.run == run) else { return };
        if job.pid.is_none() || job.result.is_some() {
            return;
        }
        let (id, leaf, processes) = (*id, job.leaf.clone(), self.processes_of(job));
        let new = || RequestedSignals { processes, leaf, signals: Vec::new() };
        let requested = self.endings.signals.entry(id).or_insert_with(new);
        if requested.signals.len() < WAITING {
            requested.signals.push(signal);
        }
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
