//! Ends jobs with all their processes: at their timeouts, on request, and when the daemon stops.
//!
//! An ending begins with TERM to every process of the job. After the grace period the remaining processes are stopped, since a stopped
//! process can neither fork nor lose its children. When a walk finds no further process, all are killed. The job counts as ended when none of them is left.
//! /proc is read and processes are signalled in slices, so that neither many processes nor a job that forks without end keep the executor
//! from its other work.

use super::context::job_ref;
use super::job_endings::{Ending, GRACE_WALK_MS, Phase, RequestedSignals, Step, Walk};
use super::state::ExecutorState;
use crate::executor::job::Job;
use crate::executor::job_processes::{JobProcesses, ProcessTable};
use crate::executor::lost_processes::LostProcesses;
use crate::report::Level;
use crate::scheduler::{EndReason, RunId, Usage};
use crate::sys::cgroup::LeafCgroup;
use crate::sys::clock;
use crate::sys::process::{self, Ask, Status};
use crate::sys::process_list::{self, ProcessWalk};
use std::collections::BTreeSet;
use std::io;

/// Maximum number of names of /proc that are read before the other events are handled.
const NAMES_A_TURN: usize = 256;
/// Maximum number of processes that are confirmed or signalled before the other events are handled.
const STEPS_A_TURN: usize = 128;

impl ExecutorState {
    /// Ends a run on request. One that waits for its start is not started.
    pub(super) fn end_run(&mut self, run: RunId, why: EndReason, now_ms: i64) {
        match self.jobs.running.iter().find(|(_, job)| job.start.run == run).map(|(id, _)| *id) {
            Some(id) => {
                // A run that a newer one would replace while it is ended because its time is over counts as a timeout.
                if let Some(job) = self.jobs.running.get_mut(&id)
                    && job.result.is_none()
                    && !(job.is_timeout && why == EndReason::Replaced)
                {
                    job.end_reason = Some(why);
                }
                self.end_job(id, None, now_ms);
            }
            None if self.starts.len() > 0 => drop(self.starts.cancelled.insert(run, Some(why))),
            // The run has ended.
            None => {}
        }
    }

    /// Ends every job that is running, and those that are about to be started.
    pub(super) fn end_all_jobs(&mut self, ask: Ask, now_ms: i64) {
        self.jobs.ending = Some(ask);
        let running: Vec<u64> = self.jobs.running.keys().copied().collect();
        for id in running {
            self.end_job(id, Some(ask), now_ms);
        }
    }

    /// Begins to end a job: TERM, and KILL after its grace period, or KILL at once.
    pub(super) fn end_job(&mut self, id: u64, ask: Option<Ask>, now_ms: i64) {
        let Some(job) = self.jobs.running.get(&id).filter(|job| job.result.is_none()) else { return };
        let processes = self.processes_of(job);
        let Some(job) = self.jobs.running.get_mut(&id) else { return };
        let grace_ms = if ask == Some(Ask::Kill) { 0 } else { i64::from(job.start.rules.grace) * 1000 };
        let kill_at_ms = now_ms + grace_ms;
        if let Some(ending) = self.endings.of_job.get_mut(&id) {
            ending.kill_at_ms = ending.kill_at_ms.min(kill_at_ms);
            return;
        }
        if job.pid.is_none() {
            job.ends_at_start = true;
            return;
        }
        let ending = Ending {
            lost: None,
            processes,
            leaf: job.leaf.clone(),
            phase: Phase::Terminate,
            kill_at_ms,
            walk_at_ms: Some(now_ms),
            leader: None,
        };
        self.endings.of_job.insert(id, ending);
    }

    /// Ends the processes of a run that another executor has left: TERM, and KILL after the grace period. They are not children of this process.
    pub(super) fn end_lost(&mut self, run: RunId, processes: LostProcesses, grace_s: u32, now_ms: i64) {
        let kill_at_ms = now_ms + i64::from(grace_s) * 1000;
        if let Some(ending) = self.endings.of_job.values_mut().find(|ending| ending.lost == Some(run)) {
            ending.kill_at_ms = ending.kill_at_ms.min(kill_at_ms);
            return;
        }
        let ending = Ending {
            lost: Some(run),
            processes: JobProcesses::of_lost(processes),
            leaf: self.cgroups.leaf_of(run),
            phase: Phase::Terminate,
            kill_at_ms,
            walk_at_ms: Some(now_ms),
            // Nobody waits for its end.
            leader: Some(None),
        };
        let id = self.context.new_id();
        self.endings.of_job.insert(id, ending);
    }

    /// The processes of a job, of which the session leader is known.
    pub(super) fn processes_of(&self, job: &Job) -> JobProcesses {
        // Its entry in /proc could perhaps not be read when it was started. A child of this process has not been reaped, so this is its own.
        let own = || job.pid.filter(|pid| self.children.contains_key(pid)).and_then(process_list::identity);
        job.process.or_else(own).map(JobProcesses::of_leader).unwrap_or_default()
    }

    /// Handles the end of a job's session leader.
    pub(super) fn leader_ended(&mut self, id: u64, ended: Option<(Status, Usage)>, now_ms: i64) {
        self.endings.leases.remove(&id);
        if let Some(timeout_ms) = self.jobs.running.get(&id).and_then(Job::timeout_ms) {
            self.endings.timeouts.remove(&(timeout_ms, id));
        }
        if !self.endings.take_leader_end(id, ended, now_ms) {
            self.job_ended(id, ended);
        }
    }

    /// Ends jobs whose time is over, and continues with those that are being ended.
    pub(super) fn proceed_with_endings(&mut self, now_ms: i64) {
        while let Some((at, id)) = self.endings.timeouts.first().copied().filter(|(at, _)| *at <= now_ms) {
            self.endings.timeouts.remove(&(at, id));
            if !self.endings.of_job.contains_key(&id) {
                if let Some(job) = self.jobs.running.get_mut(&id) {
                    job.is_timeout = true;
                }
                self.end_job(id, None, now_ms);
            }
        }
        self.end_runs_without_lease(now_ms);
        self.take_steps(now_ms);
        let has_work = !self.endings.of_job.is_empty() || !self.endings.signals.is_empty();
        if !self.endings.steps.is_empty() || !has_work {
            return;
        }
        match self.endings.walk.take() {
            Some(walk) => self.continue_walk(walk, now_ms),
            None => self.begin_walk(now_ms),
        }
    }

    /// Ends the runs of fleet jobs that fail over and whose lease is at its end.
    fn end_runs_without_lease(&mut self, now_ms: i64) {
        if self.endings.leases.is_empty() {
            return;
        }
        let now_boot_ms = clock::boot_ms();
        let is_over = |end_by_ms: &i64| *end_by_ms <= now_boot_ms;
        let over: Vec<u64> =
            self.endings.leases.iter().filter(|(_, end_by_ms)| is_over(end_by_ms)).map(|(id, _)| *id).collect();
        for id in over {
            self.endings.leases.remove(&id);
            if !self.endings.of_job.contains_key(&id) {
                if let Some(job) = self.jobs.running.get_mut(&id) {
                    job.is_timeout = true;
                }
                self.end_job(id, None, now_ms);
            }
        }
    }

    /// The lease of the machine was renewed: runs of fleet jobs may continue until its new end.
    pub(super) fn extend_runs(&mut self, runs: &[RunId], end_by_ms: i64) {
        let runs: BTreeSet<RunId> = runs.iter().copied().collect();
        for (id, job) in &mut self.jobs.running {
            let Some(fleet) = job.start.fleet.as_mut().filter(|_| runs.contains(&job.start.run)) else { continue };
            if fleet.end_by_ms.is_some() {
                fleet.end_by_ms = Some(end_by_ms);
                // One that is being ended is not in it any more.
                self.endings.leases.entry(*id).and_modify(|until| *until = end_by_ms);
            }
        }
    }

    /// Begins a walk for the jobs whose processes are to be searched for now.
    fn begin_walk(&mut self, now_ms: i64) {
        let mut jobs = Vec::new();
        for (id, ending) in &mut self.endings.of_job {
            if ending.phase == Phase::Grace && ending.kill_at_ms <= now_ms {
                (ending.phase, ending.walk_at_ms) = (Phase::Stop { walks: 0 }, Some(now_ms));
                ending.freeze_leaf();
            }
            if ending.walk_at_ms.is_some_and(|at| at <= now_ms) {
                ending.walk_at_ms = None;
                jobs.push(*id);
            }
        }
        if jobs.is_empty() && self.endings.signals.is_empty() {
            return;
        }
        match ProcessWalk::begin() {
            Ok(list) => {
                let signalled = self.endings.signals.keys().copied().collect();
                self.endings.walk = Some(Walk { list, entries: Vec::new(), jobs, signalled });
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
                jobs.into_iter().for_each(|id| self.end_group(id, now_ms));
                self.signal_groups();
            }
            Err(_) => {
                self.walk_later(&jobs, now_ms);
                self.signal_leaders();
            }
        }
    }

    /// The list of processes cannot be read now, for want of descriptors for instance.
    fn walk_later(&mut self, jobs: &[u64], now_ms: i64) {
        for id in jobs {
            if let Some(ending) = self.endings.of_job.get_mut(id) {
                ending.walk_at_ms = Some(now_ms + GRACE_WALK_MS);
            }
        }
    }

    fn continue_walk(&mut self, mut walk: Walk, now_ms: i64) {
        match walk.list.read_some(NAMES_A_TURN, &mut walk.entries) {
            Ok(true) => {
                self.endings.walk = Some(walk);
                return;
            }
            Ok(false) => {}
            Err(_) => {
                self.walk_later(&walk.jobs, now_ms);
                return self.signal_leaders();
            }
        }
        let table = ProcessTable::of(&walk.entries);
        for id in walk.signalled {
            let requested = self.endings.signals.get_mut(&id);
            self.endings.steps.extend(requested.into_iter().flat_map(|requested| requested.steps(id, &table)));
        }
        for id in walk.jobs {
            let Some(ending) = self.endings.of_job.get_mut(&id) else { continue };
            let in_cgroup = ending.leaf.as_ref().map(LeafCgroup::processes).unwrap_or_default();
            let candidates = ending.processes.update(&table, &in_cgroup);
            self.endings.steps.extend(candidates.into_iter().map(|candidate| Step::Confirm(id, candidate)));
            self.endings.steps.push_back(Step::Decide(id));
        }
    }

    fn take_steps(&mut self, now_ms: i64) {
        for _ in 0..STEPS_A_TURN {
            match self.endings.steps.pop_front() {
                None => return,
                Some(Step::Confirm(id, candidate)) => {
                    if let Some(ending) = self.endings.of_job.get_mut(&id) {
                        // A process that cannot be read now is found by the next walk.
                        ending.processes.confirm(candidate, |pid| process_list::entry(pid).ok().flatten());
                    }
                }
                Some(Step::ConfirmForSignal(id, candidate)) => {
                    if let Some(requested) = self.endings.signals.get_mut(&id) {
                        requested.processes.confirm(candidate, |pid| process_list::entry(pid).ok().flatten());
                    }
                }
                Some(Step::SendSignals(id)) => {
                    let requested = self.endings.signals.remove(&id);
                    self.endings.steps.extend(requested.iter().flat_map(RequestedSignals::send_steps));
                }
                Some(Step::Signal(process, ask)) => {
                    // A process that may not be signalled, by a security module for instance, is among those that are left at the end.
                    let _ = process_list::signal_exactly(process, ask);
                }
                Some(Step::Decide(id)) => {
                    let (endings, steps) = (&mut self.endings.of_job, &mut self.endings.steps);
                    if endings.get_mut(&id).is_some_and(|ending| ending.decide(now_ms, steps)) {
                        self.finish_ending(id);
                    }
                }
            }
        }
    }

    /// Reports the job as ended if its session leader has ended. Processes that are left could not be ended.
    fn finish_ending(&mut self, id: u64) {
        let Some(ending) = self.endings.of_job.get(&id) else { return };
        let in_cgroup = ending.leaf.as_ref().map_or(0, |leaf| leaf.processes().len());
        let (left, leader, lost) = (ending.processes.alive().count().max(in_cgroup), ending.leader, ending.lost);
        if left > 0 {
            let rest = match left {
                1 => "1 process of the job could not be killed".to_owned(),
                _ => format!("{left} processes of the job could not be killed"),
            };
            if let Some(run) = lost {
                self.context.log.own(Level::Warning, "KILL FAILED", &format!("run {}: {rest}", run.0));
            } else if let Some(job) = self.jobs.running.get(&id) {
                let command = job.command(self.context.profile);
                let rest = format!(": {rest}");
                self.context.log.record(job_ref(job, &command), Level::Warning, "KILL FAILED", &command, &rest);
            }
        }
        if let Some(ended) = leader {
            self.endings.of_job.remove(&id);
            self.job_ended(id, ended);
        }
    }

    /// Signals a job's process group, where there is no /proc. A PAM monitor takes notice of the end of its job by itself, and the process
    /// id may be another one's then: without /proc such a job is not signalled after its end has been reported.
    fn end_group(&mut self, id: u64, now_ms: i64) {
        let Some(ending) = self.endings.of_job.get_mut(&id) else { return };
        if let Some(ended) = ending.leader {
            self.endings.of_job.remove(&id);
            return self.job_ended(id, ended);
        }
        let ask = match ending.phase {
            Phase::Terminate => Some(Ask::Terminate),
            Phase::Stop { .. } | Phase::Kill { .. } => Some(Ask::Kill),
            Phase::Grace | Phase::GivenUp => None,
        };
        (ending.phase, ending.walk_at_ms) = match ending.phase {
            Phase::Terminate | Phase::Grace => (Phase::Grace, Some(now_ms + GRACE_WALK_MS)),
            Phase::Stop { .. } | Phase::Kill { .. } | Phase::GivenUp => (Phase::GivenUp, None),
        };
        if ask == Some(Ask::Kill) {
            ending.kill_leaf();
        }
        if let (Some(ask), Some(pid)) = (ask, self.jobs.running.get(&id).and_then(|job| job.pid)) {
            let _ = process::signal_group(pid, ask).or_else(|_| process::signal(pid, ask));
        }
    }
}
