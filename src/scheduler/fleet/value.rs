//! The values of the keys of a fleet.

use crate::scheduler::job_id::JobId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Most bytes of a mark that is read.
const LONGEST_MARK: usize = 1_024;

/// The watermark of a job: the last slot that was claimed, by whom, and how that went on. As text
/// `SLOT NODE NONCE STATE NUMBER`, the slot with 20 digits. It only ever grows; two marks with the same text are the same claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The slot, seconds of UTC.
    pub slot: i64,
    /// The node that has claimed it.
    pub node: String,
    /// `INSTANCE-TOKEN-RUN`: the instance of the node, a random number of the claim, and the id of the run there. Marks that claim no run
    /// have no token: `INSTANCE-RUN`.
    pub nonce: String,
    /// What has become of it.
    pub state: MarkState,
    /// The number of the claim among all of the job.
    pub number: u64,
}

/// What has become of a claimed slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MarkState {
    /// Its node is starting it, runs it or will retry it.
    Claimed,
    /// The same on a second node, after the first was lost (`failover`).
    Second,
    /// It has an outcome.
    Ended,
    /// Its node was lost, and nobody knows how it ended.
    Lost,
}

impl MarkState {
    const WORDS: [(&str, MarkState); 4] = [
        ("claimed", MarkState::Claimed),
        ("second", MarkState::Second),
        ("ended", MarkState::Ended),
        ("lost", MarkState::Lost),
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        MarkState::WORDS.iter().find(|(_, state)| *state == self).map_or("", |(word, _)| word)
    }
}

impl Mark {
    /// A mark from its text. None: it is none.
    pub fn of_text(text: &str) -> Option<Mark> {
        if text.len() > LONGEST_MARK {
            return None;
        }
        let mut parts = text.split(' ');
        let slot = parts.next().filter(|slot| slot.len() == 20 && slot.bytes().all(|byte| byte.is_ascii_digit()))?;
        let (slot, node, nonce) = (slot.parse().ok()?, parts.next()?.to_owned(), parts.next()?.to_owned());
        let word = parts.next()?;
        let state = MarkState::WORDS.iter().find(|(other, _)| *other == word)?.1;
        let number = parts.next()?.parse().ok()?;
        parts.next().is_none().then_some(Mark { slot, node, nonce, state, number })
    }

    /// Whether its node may still have something to do for it.
    pub fn is_open(&self) -> bool {
        matches!(self.state, MarkState::Claimed | MarkState::Second)
    }

    /// The run of its node that has claimed it.
    pub fn run(&self) -> Option<u64> {
        self.nonce.rsplit_once('-').and_then(|(_, run)| run.parse().ok())
    }

    /// The instance of the node that has claimed it.
    pub fn instance(&self) -> &str {
        self.nonce.split_once('-').map_or("", |(instance, _)| instance)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mark { slot, node, nonce, state, number } = self;
        write!(f, "{slot:020} {node} {nonce} {} {number}", state.as_str())
    }
}

/// What a node publishes of itself (JSON).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeRecord {
    /// The boot of the machine; daemons that follow each other within one have the same.
    pub instance: String,
    /// The labels that `CRON_FLEET_NODES` may name.
    pub labels: Vec<String>,
    /// Its share of the jobs, at least 1.
    pub weight: u32,
    /// The version of cronwheel.
    pub version: String,
    /// How many fleet jobs it has.
    pub jobs: u32,
    /// A digest of them: nodes with the same tables have the same.
    pub digest: String,
}

/// The fleet jobs of a node, each with a digest of what its entry says, so that tables that differ are seen (JSON: an object).
pub type NodeJobs = BTreeMap<JobId, String>;

/// Most fleet jobs that a node publishes.
pub const MOST_NODE_JOBS: usize = 20_000;

/// A run in progress, for overlap `skip` and for `failover` (JSON).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunKey {
    /// The node that runs it.
    pub node: String,
    /// The nonce of its claim.
    pub nonce: String,
    /// Its slot, or when it was asked for; seconds of UTC.
    pub slot: i64,
}

/// The last pause of a job, in force or over (JSON). The key is changed and never deleted while the job is there: each change has a higher
/// number, so that no value comes twice and a change that is executed a second time, however late, changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetPause {
    /// When it began, seconds of UTC.
    pub from: i64,
    /// When it ends or was ended, seconds of UTC.
    pub until: i64,
    /// Who has asked for it, by login name.
    pub by: String,
    /// Why, in their words.
    pub note: String,
    /// Whether they may control every job: then only such users may end it.
    pub is_by_root: bool,
    /// The node on which it was asked for.
    pub node: String,
    /// Whether somebody has ended it before its time.
    #[serde(default)]
    pub is_ended: bool,
    /// The number of the change among all pauses and ends of pauses of the job.
    #[serde(default)]
    pub number: u64,
}

impl FleetPause {
    /// Whether it is that pause, perhaps ended or prolonged since.
    pub fn is_same(&self, other: &FleetPause) -> bool {
        (self.from, &self.by, &self.node) == (other.from, &other.by, &other.node)
    }
}

/// How a slot of a fleet job has ended (JSON).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetOutcome {
    /// The slot, seconds of UTC.
    pub slot: i64,
    /// The node that has run it.
    pub node: String,
    /// The id of the last run for it there. None: it was not started.
    pub run: Option<u64>,
    /// The attempt that this is the outcome of, from 1; 0 without a run.
    pub attempt: u32,
    /// When that run began, milliseconds of UTC.
    pub started_at_ms: Option<i64>,
    /// When it ended, milliseconds of UTC.
    pub ended_at_ms: Option<i64>,
    /// `running` until it has ended; then the word of [`crate::scheduler::Outcome`].
    pub outcome: String,
    /// Its reason or exit status, if there is one.
    pub detail: Option<String>,
    /// The fence of the claim: its revision. None: nothing was claimed for it.
    pub fence: Option<u64>,
    /// How many slots this stands for, if it is not one.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u64,
    /// The last of several slots, seconds of UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
}

fn one() -> u64 {
    1
}

fn is_one(count: &u64) -> bool {
    *count == 1
}
