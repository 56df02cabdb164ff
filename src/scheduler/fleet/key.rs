//! The keys of a fleet. The agent puts `/cronwheel/NAME/` of the fleet before each of them.

use crate::scheduler::job_id::JobId;
use std::fmt;

/// How many outcomes of the slots of a job are kept, and how many of its runs by hand on any node.
pub const OUTCOMES_KEPT: u64 = 20;

/// A key of a fleet, as text `KIND/REST`.
///
/// `node`, `clock`, `mark`, `run` and `pause` are listed and watched by every node; `jobs` and `outcome` are only read when somebody asks for
/// them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FleetKey {
    /// What a node is ([`super::NodeRecord`]). Under the node's lease: it exists while the node is alive.
    Node(String),
    /// The fleet jobs of a node ([`super::NodeJobs`]). Under the node's lease.
    Jobs(String),
    /// The clock of a node, milliseconds of UTC as decimal digits. Under the node's lease. The agent writes it with each renewal.
    Clock(String),
    /// The watermark of a job ([`super::Mark`]).
    Mark(JobId),
    /// The run of a job that is in progress ([`super::RunKey`]): of a job with overlap `skip` or with `failover`. Under the lease of its node.
    Run(JobId),
    /// The pause of a job for the whole fleet ([`super::FleetPause`]).
    Pause(JobId),
    /// An outcome of a job ([`super::FleetOutcome`]). The number is that of its claim modulo [`OUTCOMES_KEPT`], or of a run by hand that
    /// of the run modulo the same, and as much more.
    Outcome(JobId, u64),
}

impl FleetKey {
    /// The kinds of keys that are listed and watched.
    pub const WATCHED: [&str; 5] = ["node/", "clock/", "mark/", "run/", "pause/"];

    /// A key from its text. None: this version does not know it.
    pub fn of_text(text: &str) -> Option<FleetKey> {
        let (kind, rest) = text.split_once('/').filter(|(_, rest)| !rest.is_empty())?;
        let job = || JobId::of_text(rest.to_owned());
        Some(match kind {
            "node" => FleetKey::Node(rest.to_owned()),
            "jobs" => FleetKey::Jobs(rest.to_owned()),
            "clock" => FleetKey::Clock(rest.to_owned()),
            "mark" => FleetKey::Mark(job()),
            "run" => FleetKey::Run(job()),
            "pause" => FleetKey::Pause(job()),
            "outcome" => {
                let (job, number) = rest.rsplit_once('/')?;
                FleetKey::Outcome(JobId::of_text(job.to_owned()), number.parse().ok()?)
            }
            _ => return None,
        })
    }
}

impl FleetKey {
    /// The job that it belongs to.
    pub(super) fn into_job(self) -> Option<JobId> {
        match self {
            FleetKey::Mark(job) | FleetKey::Run(job) | FleetKey::Pause(job) | FleetKey::Outcome(job, _) => Some(job),
            FleetKey::Node(_) | FleetKey::Jobs(_) | FleetKey::Clock(_) => None,
        }
    }
}

impl fmt::Display for FleetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FleetKey::Node(node) => write!(f, "node/{node}"),
            FleetKey::Jobs(node) => write!(f, "jobs/{node}"),
            FleetKey::Clock(node) => write!(f, "clock/{node}"),
            FleetKey::Mark(job) => write!(f, "mark/{job}"),
            FleetKey::Run(job) => write!(f, "run/{job}"),
            FleetKey::Pause(job) => write!(f, "pause/{job}"),
            FleetKey::Outcome(job, number) => write!(f, "outcome/{job}/{number:02}"),
        }
    }
}
