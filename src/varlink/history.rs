//! The interface `io.cronwheel.History`: what the recorder answers. The description beside this file is the contract; a test compares the two.

use super::time::Time;
use serde::{Deserialize, Serialize};

/// The name of the interface.
pub const INTERFACE: &str = "io.cronwheel.History";
/// The description of the interface, in the language of Varlink.
pub const DESCRIPTION: &str = include_str!("io.cronwheel.History.varlink");

/// One row of the history: a run, a slot without a run, or several slots that were left out for the same reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The number of the run. None: nothing ran in the slots.
    pub run: Option<u64>,
    /// The job, `USER:NAME`.
    pub job: String,
    /// The user that it ran as, or would have run as.
    pub user: String,
    /// The id that this user had then; 4294967295 if that was not known.
    pub uid: u32,
    /// The file with the entry.
    pub source: String,
    /// The line of the entry, from 1.
    pub line: u32,
    /// The command, with U+FFFD for what is not UTF-8.
    pub command: String,
    /// What asked for the run: `schedule`, `manual` and so on.
    pub trigger: String,
    /// Which attempt for the slot, from 1; 0 without a run.
    pub attempt: u32,
    /// The slot, or the first of several.
    pub scheduled_at: Time,
    /// When its process was started.
    pub started_at: Option<Time>,
    /// When that process ended.
    pub ended_at: Option<Time>,
    /// Seconds from start to end by a clock that is never set.
    pub duration: Option<f64>,
    /// `running`, or how it ended.
    pub outcome: String,
    /// Why, where the outcome has a reason.
    pub reason: Option<String>,
    /// Its exit status, if it exited.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Seconds of CPU in user mode.
    pub cpu_user: Option<f64>,
    /// Seconds of CPU in the kernel.
    pub cpu_system: Option<f64>,
    /// Largest resident set of one of its processes, in bytes.
    pub max_rss: Option<u64>,
    /// Bytes that it wrote.
    pub output_bytes: u64,
    /// What became of the mail: `sent`, or why not.
    pub mail: Option<String>,
    /// What became of hooks and pings, a line for each (`failure: exit 0`), and behind it the beginning of what it has written.
    pub hooks: Option<String>,
    /// How many slots this stands for.
    pub count: u64,
    /// The last of several slots.
    pub until: Option<Time>,
}

/// The arguments of `Runs`. What is left out does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunsArguments {
    /// Only of this job, by its full id.
    #[serde(default)]
    pub job: Option<String>,
    /// Only of jobs that run as this user.
    #[serde(default)]
    pub user: Option<String>,
    /// Only with this outcome.
    #[serde(default)]
    pub outcome: Option<String>,
    /// Only slots at this moment or later.
    #[serde(default)]
    pub since: Option<String>,
    /// Only slots before this moment.
    #[serde(default)]
    pub until: Option<String>,
    /// Only rows that come after this run in the order of rows, newest slots first.
    #[serde(default)]
    pub before: Option<u64>,
    /// At most so many; 50 if it is left out.
    #[serde(default)]
    pub limit: Option<u64>,
}

/// The arguments of `Run` and `Output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunArguments {
    /// The number of the run.
    pub run: u64,
}

/// The result of `Run`, and one of the results of `Runs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The row of the run, or of slots without one.
    pub run: RunRecord,
}

/// The result of `Output`: the beginning and the end of what a run wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// All of the output, or its first bytes.
    pub head: String,
    /// Its last bytes, if there is more than `head`.
    pub tail: String,
    /// How many bytes between the two were not kept.
    pub cut: u64,
    /// Whether both are in base64, as one of them is not UTF-8.
    pub base64: bool,
}

/// The arguments of `Summary`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryArguments {
    /// The job, by its full id.
    pub job: String,
}

/// The result of `Summary`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Runs in the history that have ended.
    pub runs: u64,
    /// The number of those that succeeded.
    pub ok: u64,
    /// The number of those that failed.
    pub failures: u64,
    /// Mean duration of those that succeeded, in seconds.
    pub mean: Option<f64>,
    /// Longest duration of these, in seconds.
    pub longest: Option<f64>,
    /// The first slot in the history.
    pub since: Option<Time>,
}

/// The arguments of `Downtimes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DowntimesArguments {
    /// Only intervals that ended after this moment.
    #[serde(default)]
    pub since: Option<String>,
    /// Only intervals that began before this moment.
    #[serde(default)]
    pub until: Option<String>,
}

/// An interval in which no daemon ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downtime {
    /// The last sign of life of the daemon before it.
    pub began_at: Time,
    /// When the daemon after it began.
    pub ended_at: Time,
    /// `stopped`, `killed`, or `machine down`.
    pub cause: String,
}

/// The result of `Downtimes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downtimes {
    /// The newest first.
    pub downtimes: Vec<Downtime>,
}
