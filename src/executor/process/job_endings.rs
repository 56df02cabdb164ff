//! The jobs that are being ended or signalled, and the steps by which that happens.

use crate::executor::job_processes::{Candidate, JobProcesses, ProcessTable};
use crate::scheduler::{RunId, Usage};
use crate::sys::cgroup::LeafCgroup;
use crate::sys::process::{Ask, OtherSignal, Status};
use crate::sys::process_list::{ProcessEntry, ProcessIdentity, ProcessWalk};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// Time between two walks in the grace period.
pub(super) const GRACE_WALK_MS: i64 = 500;
/// Time between two walks after KILL.
const KILL_WALK_MS: i64 = 50;
/// Maximum number of walks that stop processes before those that have been found are killed.
const STOP_WALKS: u32 = 20;
/// A job whose processes have been killed this often is given up: the kernel cannot end a process that waits for a device, for instance.
const KILL_WALKS: u32 = 200;
/// The limit of KILL walks if the number of the job's processes does not change.
const UNCHANGED_KILL_WALKS: u32 = 40;
/// How often the ends of leases are examined.
const LEASES_MS: i64 = 500;
/// Maximum number of signals for one job that wait for a walk. More are dropped.
const WAITING_SIGNALS: usize = 32;

/// The jobs that are being ended, and when others are to be.
#[derive(Default)]
pub(super) struct Endings {
    /// The ends of the jobs' timeouts (monotonic), with the job's number.
    pub(super) timeouts: BTreeSet<(i64, u64)>,
    /// The ends of the leases under which jobs run that fail over (CLOCK_BOOTTIME), by the job's number.
    pub(super) leases: BTreeMap<u64, i64>,
    pub(super) of_job: HashMap<u64, Ending>,
    pub(super) walk: Option<Walk>,
    pub(super) steps: VecDeque<Step>,
    /// The signals that wait for a walk, or for the end of one, with the job's number.
    pub(super) signals: HashMap<u64, RequestedSignals>,
}

/// A walk over the processes of the machine, which is not finished.
pub(super) struct Walk {
    pub(super) list: ProcessWalk,
    pub(super) entries: Vec<ProcessEntry>,
    /// The numbers of the jobs for whose endings it was begun.
    pub(super) jobs: Vec<u64>,
    /// The numbers of the jobs for whose signals it was begun.
    pub(super) signalled: Vec<u64>,
}

/// A piece of work that a finished walk leads to.
pub(super) enum Step {
    /// Add a process to the job, if it belongs to it.
    Confirm(u64, Candidate),
    /// Decide what comes next for the job.
    Decide(u64),
    Signal(ProcessIdentity, Ask),
    /// Add a process to those that get the requested signals of the job, if it belongs to it.
    ConfirmForSignal(u64, Candidate),
    /// Send the requested signals to the processes of the job.
    SendSignals(u64),
}

/// The ending of one job.
pub(super) struct Ending {
    /// The run, if another executor has left it.
    pub(super) lost: Option<RunId>,
    pub(super) processes: JobProcesses,
    /// The cgroup of the job, if it has one.
    pub(super) leaf: Option<LeafCgroup>,
    pub(super) phase: Phase,
    /// When the grace period ends (monotonic).
    pub(super) kill_at_ms: i64,
    /// When its processes are searched for again (monotonic). None: a walk or its steps are under way, or it has been given up.
    pub(super) walk_at_ms: Option<i64>,
    /// How the session leader ended, once it has.
    pub(super) leader: Option<Option<(Status, Usage)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Terminate,
    Grace,
    Stop {
        walks: u32,
    },
    Kill {
        walks: u32,
        /// Number of processes that were alive, and for how many walks.
        left: usize,
        unchanged: u32,
    },
    GivenUp,
}

impl Endings {
    /// When there is work next (monotonic). None if there is none.
    pub(super) fn next_ms(&self, now_ms: i64) -> Option<i64> {
        if self.walk.is_some() || !self.steps.is_empty() || !self.signals.is_empty() {
            return Some(now_ms);
        }
        let walks = self.of_job.values().filter_map(Ending::next_ms).min();
        // The wait is by another clock than these.
        let leases = (!self.leases.is_empty()).then_some(now_ms + LEASES_MS);
        self.timeouts.first().map(|(at, _)| *at).into_iter().chain(walks).chain(leases).min()
    }

    /// Ends the job when its time is over.
    pub(super) fn set_timeout(&mut self, id: u64, at_ms: i64) {
        self.timeouts.insert((at_ms, id));
    }

    /// Records the end of a job's session leader. True if the job's other processes are being ended, so that it has not ended yet.
    pub(super) fn take_leader_end(&mut self, id: u64, ended: Option<(Status, Usage)>, now_ms: i64) -> bool {
        let Some(ending) = self.of_job.get_mut(&id) else { return false };
        ending.leader = Some(ended);
        if ending.phase == Phase::GivenUp {
            self.of_job.remove(&id);
            return false;
        }
        if ending.walk_at_ms.is_some() {
            ending.walk_at_ms = Some(now_ms);
        }
        true
    }
}

impl Ending {
    /// Whether the session leader has ended and no other process is left.
    fn is_over(&self, alive: usize) -> bool {
        alive == 0 && self.leader.is_some() && !self.leaf.as_ref().is_some_and(LeafCgroup::is_populated)
    }

    /// Stops the processes in the job's cgroup, which neither fork nor lose their children from then on.
    pub(super) fn freeze_leaf(&self) {
        // Without this, they are stopped one by one.
        let _ = self.leaf.as_ref().map(LeafCgroup::freeze);
    }

    /// Kills the processes in the job's cgroup.
    pub(super) fn kill_leaf(&self) {
        // Without this, they are killed one by one.
        let _ = self.leaf.as_ref().map(LeafCgroup::kill);
    }

    fn next_ms(&self) -> Option<i64> {
        let grace = (self.phase == Phase::Grace).then_some(self.kill_at_ms);
        self.walk_at_ms.map(|at| grace.map_or(at, |grace| grace.min(at)))
    }

    /// Decides what comes next after a walk, and appends the signals to be sent. True if the job's processes are gone or given up.
    pub(super) fn decide(&mut self, now_ms: i64, steps: &mut VecDeque<Step>) -> bool {
        let alive = self.processes.alive().count();
        let mut signal_all = |processes: &JobProcesses, ask| {
            steps.extend(processes.alive().map(|process| Step::Signal(process, ask)));
        };
        match self.phase {
            Phase::Terminate => {
                signal_all(&self.processes, Ask::Terminate);
                signal_all(&self.processes, Ask::Continue);
                self.phase = Phase::Grace;
                self.walk_at_ms = Some(now_ms + GRACE_WALK_MS);
            }
            Phase::Grace if self.is_over(alive) => return true,
            Phase::Grace => self.walk_at_ms = Some(now_ms + GRACE_WALK_MS),
            Phase::Stop { walks } => {
                let before = steps.len();
                steps.extend(self.processes.not_stopped().map(|process| Step::Signal(process, Ask::Stop)));
                let has_new = steps.len() > before;
                self.processes.mark_stopped();
                self.phase = match has_new && walks < STOP_WALKS {
                    true => Phase::Stop { walks: walks + 1 },
                    false => {
                        self.kill_leaf();
                        steps.extend(self.processes.alive().map(|process| Step::Signal(process, Ask::Kill)));
                        Phase::Kill { walks: 0, left: alive, unchanged: 0 }
                    }
                };
                self.walk_at_ms = Some(now_ms);
            }
            Phase::Kill { .. } if self.is_over(alive) => return true,
            Phase::Kill { walks, left, unchanged } => {
                let unchanged = if left == alive { unchanged + 1 } else { 0 };
                if walks >= KILL_WALKS || unchanged >= UNCHANGED_KILL_WALKS {
                    (self.phase, self.walk_at_ms) = (Phase::GivenUp, None);
                    return true;
                }
                signal_all(&self.processes, Ask::Kill);
                self.kill_leaf();
                self.phase = Phase::Kill { walks: walks + 1, left: alive, unchanged };
                self.walk_at_ms = Some(now_ms + KILL_WALK_MS);
            }
            Phase::GivenUp => return self.leader.is_some(),
        }
        false
    }
}

/// Signals that are to be sent to the processes of a job.
pub(super) struct RequestedSignals {
    pub(super) processes: JobProcesses,
    leaf: Option<LeafCgroup>,
    pub(super) signals: Vec<OtherSignal>,
}

impl RequestedSignals {
    /// No signals yet, for a job of which these processes are known.
    pub(super) fn new(processes: JobProcesses, leaf: Option<LeafCgroup>) -> RequestedSignals {
        RequestedSignals { processes, leaf, signals: Vec::new() }
    }

    pub(super) fn add(&mut self, signal: OtherSignal) {
        if self.signals.len() < WAITING_SIGNALS {
            self.signals.push(signal);
        }
    }

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
