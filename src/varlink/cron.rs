//! The interface `io.cronwheel.Cron`: what the daemon answers. The description beside this file is the contract; a test compares the two.

use super::time::Time;
use serde::{Deserialize, Serialize};

/// The name of the interface.
pub const INTERFACE: &str = "io.cronwheel.Cron";
/// The description of the interface, in the language of Varlink.
pub const DESCRIPTION: &str = include_str!("io.cronwheel.Cron.varlink");

/// The moment for which a run was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// The time of the slot.
    pub scheduled_at: Time,
    /// What asked for the run: `schedule`, `manual` and so on.
    pub trigger: String,
    /// Which attempt for the slot, from 1.
    pub attempt: u32,
}

/// A run in progress. The description calls it `ActiveRun`, since clients keep types and methods in one table and `Run` is a method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its number, which is unique on this host.
    pub run: u64,
    /// The job, `USER:NAME`.
    pub job: String,
    /// The slot: scheduled time, attempt and trigger.
    pub slot: Slot,
    /// When its process was started.
    pub started_at: Option<Time>,
    /// Process id of its session leader.
    pub pid: Option<u32>,
}

/// How a run or a slot ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The run, if there was one.
    pub run: Option<u64>,
    /// The slot, or the first of several.
    pub scheduled_at: Time,
    /// When its process was started.
    pub started_at: Option<Time>,
    /// When that process ended.
    pub ended_at: Option<Time>,
    /// `ok`, `failed`, `skipped` and so on.
    pub outcome: String,
    /// Why, where the outcome has a reason.
    pub reason: Option<String>,
    /// Its exit status, if it exited.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Which attempt for the slot; 0 without a run.
    pub attempt: u32,
    /// How many slots this stands for.
    pub count: u64,
    /// The last of several slots.
    pub until: Option<Time>,
}

/// A job and its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// `USER:NAME`.
    pub job: String,
    /// The user that it runs as.
    pub user: String,
    /// The part of `job` after the user.
    pub name: String,
    /// Whether the table gives it this name.
    pub named: bool,
    /// The file with its entry.
    pub source: String,
    /// The line of the entry, from 1.
    pub line: u32,
    /// `user`, `system`, `anacron` or `standalone`.
    pub kind: String,
    /// The schedule as it is written.
    pub schedule: String,
    /// The zone in which that is read.
    pub zone: String,
    /// The command as it is written.
    pub command: String,
    /// `idle`, `running`, `waiting`, `retrying`, `paused`, `disabled` or `removed`.
    pub state: String,
    /// Whether it has slots (`CRON_ENABLED`).
    pub enabled: bool,
    /// The end of its pause.
    pub paused_until: Option<Time>,
    /// The name of the user who paused it.
    pub paused_by: Option<String>,
    /// The note that was given with the pause.
    pub note: Option<String>,
    /// When it is to run next.
    pub next: Option<Time>,
    /// Its last outcome with a run, as far as the daemon knows it.
    pub last: Option<Outcome>,
    /// Failures in a row after which no retry followed.
    pub failures: u32,
    /// Whether a success is overdue (`CRON_LATE`).
    pub late: bool,
    /// The runs in progress.
    pub running: Vec<Run>,
    /// How many slots and manual runs wait.
    pub waiting: u32,
    /// When the next attempt follows a failure.
    pub retry_at: Option<Time>,
}

/// Selects jobs. A field that is left out selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Jobs by id, by a name that is unique, or by a unique beginning.
    #[serde(default)]
    pub jobs: Option<Vec<String>>,
    /// Only jobs that run as this user.
    #[serde(default)]
    pub user: Option<String>,
    /// Only jobs in this state.
    #[serde(default)]
    pub state: Option<String>,
    /// Only jobs of this file.
    #[serde(default)]
    pub source: Option<String>,
    /// Only jobs in any of these states, of which `failing` and `late` are two here. Only `List` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub states: Option<Vec<String>>,
}

/// The values that [`Filter::states`] may have.
pub const STATES: [&str; 9] =
    ["idle", "running", "waiting", "retrying", "paused", "disabled", "removed", "failing", "late"];

/// A table that is not used, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The file.
    pub source: String,
    /// Why it is not used: what was found, and where.
    pub reason: String,
}

/// An item of a list of names and values, such as an environment variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameValue {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// The result of `Status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the daemon.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// `debian` or `cronie`.
    pub profile: String,
    /// Whether it runs the tables on its command line only.
    pub standalone: bool,
    /// When the daemon was started.
    pub started_at: Time,
    /// Tables that are loaded. Here and below only what the caller may see counts.
    pub tables: usize,
    /// The number of their entries.
    pub entries: usize,
    /// Tables that are not used.
    pub refused: Vec<Refused>,
    /// Runs in progress.
    pub running: usize,
    /// Slots and manual runs that wait.
    pub waiting: usize,
    /// Paused jobs.
    pub paused: usize,
    /// Jobs whose last run failed.
    pub failing: usize,
    /// Jobs of which a success is overdue.
    pub late: usize,
    /// When something is to run next.
    pub next: Option<Time>,
    /// `on`, or why there is no history.
    pub history: String,
    /// Lines of the log that were lost.
    pub log_dropped: u64,
    /// Executors of earlier daemons whose jobs keep running.
    pub old_executors: usize,
    /// Until when all jobs of the caller are paused, entries that are added included.
    #[serde(default)]
    pub paused_all_until: Option<Time>,
    /// `up`, or why this machine takes no part in its fleet. None: no fleet is set up.
    #[serde(default)]
    pub fleet: Option<String>,
}

/// The arguments of `List`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListArguments {
    /// Selects jobs; all if it is left out.
    #[serde(default)]
    pub filter: Option<Filter>,
}

/// The result of `List`: a page of jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// In the order of their tables.
    pub jobs: Vec<Job>,
}

/// The arguments of `Show`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobArguments {
    /// The job by id, by a name that is unique, or by a unique beginning.
    pub job: String,
}

/// The result of `Show`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Show {
    /// The job.
    pub job: Job,
    /// Its schedule in words.
    pub explanation: String,
    /// The settings in force that differ from the default.
    pub settings: Vec<NameValue>,
    /// The variables that its table gives it.
    pub environment: Vec<NameValue>,
    /// Its next starts, at most five.
    pub next: Vec<Time>,
    /// The warnings of the parser about its line, one text each.
    pub warnings: Vec<String>,
}

/// The arguments of `Next`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextArguments {
    /// Selects jobs; all if it is left out.
    #[serde(default)]
    pub filter: Option<Filter>,
    /// Starts after this moment; now if it is left out.
    #[serde(default)]
    pub from: Option<String>,
    /// Starts up to this moment.
    #[serde(default)]
    pub until: Option<String>,
    /// How many starts of all jobs together; 10 if it is left out.
    #[serde(default)]
    pub count: Option<u64>,
    /// At most how many starts of each job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_job: Option<u64>,
}

/// One result of `Next`: a start that is to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextStart {
    /// When it is due to be started.
    pub at: Time,
    /// The job.
    pub job: String,
    /// The user that the job runs as.
    pub user: String,
    /// Its command.
    pub command: String,
    /// Its schedule as it is written.
    pub schedule: String,
    /// The zone in which that is read.
    pub zone: String,
    /// The file with its entry.
    pub source: String,
    /// The line of the entry, from 1.
    pub line: u32,
}

/// The arguments of `Why`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyArguments {
    /// The job.
    pub job: String,
    /// The moment; if it is left out, the last slot and the next.
    #[serde(default)]
    pub at: Option<String>,
}

/// The result of `Why`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// The answer in a sentence.
    pub verdict: String,
    /// The rules that were applied, in order, up to the one that decided.
    pub steps: Vec<WhyStep>,
    /// The slot in the minute that was asked for: the last one up to the moment, else the first. None: the entry is not due then, or no moment
    /// was given.
    #[serde(default)]
    pub slot: Option<Time>,
    /// What the entry does at a slot while a run is in progress: `allow`, `skip`, `queue` or `replace`.
    #[serde(default)]
    pub overlap: Option<String>,
    /// What it does with missed slots: `none`, `once` or `all`.
    #[serde(default)]
    pub catch_up: Option<String>,
}

/// The verdict about a moment in the past at which the job was due, and of which the daemon does not know what became of it. The history may know.
pub const WAS_DUE: &str = "by its schedule it was due then";

/// One rule and what it said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyStep {
    /// The rule.
    pub rule: String,
    /// The result of the rule for this job, as a sentence.
    pub result: String,
}

/// The arguments of `Run`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunArguments {
    /// The job.
    pub job: String,
    /// Whether overlap and group rules are set aside.
    #[serde(default)]
    pub force: Option<bool>,
    /// Whether the output is wanted, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<bool>,
}

/// A result of `Run`: first the run, then what it writes, then its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunResult {
    /// Its number. 0: there is none, the outcome says why, or it waits for another run.
    pub run: u64,
    /// Its outcome, once it has ended.
    pub outcome: Option<Outcome>,
    /// A part of what it writes. The first one is empty, and says that all others will come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputPart>,
}

/// The arguments of `Pause`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseArguments {
    /// The jobs.
    #[serde(default)]
    pub jobs: Vec<String>,
    /// Whether everything that the caller may pause is meant.
    #[serde(default)]
    pub all: Option<bool>,
    /// The first moment after the pause.
    pub until: String,
    /// The reason, as the user who pauses them has written it.
    #[serde(default)]
    pub note: Option<String>,
}

/// The result of `Pause`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// The jobs that are paused now.
    pub paused: Vec<String>,
    /// What the caller has to know: the pause is not kept over a restart, and why.
    #[serde(default)]
    pub warning: Option<String>,
}

/// The arguments of `Resume`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeArguments {
    /// The jobs.
    #[serde(default)]
    pub jobs: Vec<String>,
    /// Whether everything that the caller may resume is meant.
    #[serde(default)]
    pub all: Option<bool>,
}

/// The result of `Resume`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// The jobs whose pause was ended.
    pub resumed: Vec<String>,
    /// Whether a pause of all jobs was ended, which entries that are added would have got, too.
    #[serde(default)]
    pub all: Option<bool>,
    /// Where all are meant: how many stay paused, because root has paused them.
    #[serde(default)]
    pub kept: Option<u64>,
}

/// The result of `Kill`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Killed {
    /// The run that is being ended, or got the signal. None: a waiting slot or a pending retry was cancelled.
    #[serde(default)]
    pub run: Option<u64>,
}

/// The arguments of `Kill`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillArguments {
    /// The run that is to end; 0: see `job`.
    pub run: u64,
    /// A signal that is sent to the job's processes instead of ending them: `HUP`, `SIGHUP` or `1`.
    #[serde(default)]
    pub signal: Option<String>,
    /// With run 0: the job whose oldest run, waiting slot or pending retry is meant.
    #[serde(default)]
    pub job: Option<String>,
}

/// The arguments of `Reload`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadArguments {
    /// Only the crontab of this user. Everybody but root can mean their own only.
    #[serde(default)]
    pub user: Option<String>,
}

/// The result of `Reload`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Tables that are loaded.
    pub tables: usize,
    /// The number of their entries.
    pub entries: usize,
}

/// The arguments of `Events`.
pub type EventsArguments = ListArguments;

/// One result of `Events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When the event happened.
    pub at: Time,
    /// `start`, `end`, `skip`, `missed`, `pause`, `resume`, `kill`, `reload` or `late`.
    pub event: String,
    /// The job that it is about.
    pub job: Option<String>,
    /// The run that it is about.
    pub run: Option<u64>,
    /// The outcome of the run, where the event is its end.
    pub outcome: Option<Outcome>,
    /// The event as one line of text for people.
    pub text: String,
}

/// The arguments of `Output`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputArguments {
    /// The run, which must be in progress.
    pub run: u64,
    /// Whether what it still writes is wanted, too.
    #[serde(default)]
    pub follow: Option<bool>,
}

/// One result of `Output`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputPart {
    /// `output` or `error`.
    pub stream: String,
    /// The bytes that were written: UTF-8, or base64 if `base64` is set.
    pub data: String,
    /// Whether `data` is in base64, as it is not UTF-8.
    pub base64: bool,
}

/// The arguments of `Metrics`.
pub type MetricsArguments = ListArguments;

/// A result of `Metrics`: a page of jobs, and on the last page the rest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Jobs in the order of their tables.
    pub jobs: Vec<JobMetrics>,
    /// The bounds of the histograms of durations, in seconds.
    pub duration_bounds: Vec<f64>,
    /// The bounds of the histograms of start delays, in seconds.
    pub start_delay_bounds: Vec<f64>,
    /// All jobs beyond the limit (`metrics-jobs`), if there are any.
    #[serde(default)]
    pub other: Option<OtherMetrics>,
    /// The daemon itself.
    #[serde(default)]
    pub daemon: Option<DaemonMetrics>,
}

/// The metrics of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobMetrics {
    /// The user that it runs as.
    pub user: String,
    /// The part of its id after the user.
    pub name: String,
    /// The file with its entry.
    pub source: String,
    /// The schedule as it is written.
    pub schedule: String,
    /// The zone in which that is read.
    pub zone: String,
    /// `allow`, `skip`, `queue` or `replace` (`CRON_OVERLAP`).
    pub overlap: String,
    /// Whether it has slots (`CRON_ENABLED`).
    pub enabled: bool,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether a success is overdue (`CRON_LATE`).
    pub late: bool,
    /// Runs in progress.
    pub running: u64,
    /// When it is to run next.
    pub next: Option<Time>,
    /// What was counted. None: nothing of it has run or was skipped since the daemon began.
    pub counts: Option<JobCounts>,
}

/// What was counted of jobs since the daemon began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JobCounts {
    /// How many runs, or slots without a run, ended in each way. Outcomes that did not occur are left out.
    pub runs: Vec<OutcomeCount>,
    /// Attempts after a failure.
    pub retries: u64,
    /// The durations of runs, in seconds.
    pub duration: Histogram,
    /// How long after its slot the process of a first attempt was started.
    pub start_delay: Histogram,
    /// Seconds of CPU in all.
    pub cpu: f64,
    /// Largest resident set of a process of the last run, in bytes.
    pub max_rss: Option<u64>,
    /// When the last run ended.
    pub last_run: Option<Time>,
    /// When a run was last successful.
    pub last_success: Option<Time>,
    /// When a run last failed.
    pub last_failure: Option<Time>,
    /// Exit status of the last run, as that of `cronctl run --wait`.
    pub exit_code: Option<i32>,
    /// Whether the last run was successful.
    pub success: bool,
}

/// How often something ended in a way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeCount {
    /// `ok`, `failed`, `skipped` and so on.
    pub outcome: String,
    /// The number of runs or slots with this outcome.
    pub count: u64,
}

/// How many values were in each range.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// How many were within each bound and not within the one before, and last how many were beyond all bounds.
    pub counts: Vec<u64>,
    /// The sum of the values, in seconds.
    pub sum: f64,
}

/// The sums over the jobs that are not listed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OtherMetrics {
    /// The number of these jobs.
    pub jobs: u64,
    /// How many of them have slots.
    pub enabled: u64,
    /// How many of them are paused.
    pub paused: u64,
    /// Of how many a success is overdue.
    pub late: u64,
    /// Runs in progress.
    pub running: u64,
    /// When the first of them is to run next.
    pub next: Option<Time>,
    /// What was counted of them. The moments are the latest ones. There is no exit status.
    pub counts: JobCounts,
}

/// The metrics of the daemon itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DaemonMetrics {
    /// Its version.
    pub version: String,
    /// When tables were last loaded, removed or read again on request.
    pub loaded_at: Time,
    /// Tables that are loaded. Here and below only what the caller may see counts.
    pub loaded: u64,
    /// Tables that are not used.
    pub refused: u64,
    /// Entries of the tables.
    pub entries: u64,
    /// Events that the history has lost.
    pub history_dropped: u64,
    /// Lines that the log has lost.
    pub log_dropped: u64,
    /// Those of the fleet. None: no fleet is configured, or the caller may not see it.
    pub fleet: Option<FleetMetrics>,
}

/// The metrics of this node of the fleet, since the start of the daemon.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FleetMetrics {
    /// Whether the engine is there.
    pub engine_up: bool,
    /// How often it was lost.
    pub engine_losses: u64,
    /// How long its last answer took, in seconds. None: there is no connection.
    pub engine_seconds: Option<f64>,
    /// Requests that have no answer yet.
    pub waiting: u64,
    /// Claims that were made.
    pub won: u64,
    /// Claims that were refused: mostly another node was faster.
    pub refused: u64,
    /// Claims that failed, or whose answer is not known.
    pub failed: u64,
    /// How many seconds the clock of this node is ahead of the median of the fleet.
    pub clock_offset: Option<f64>,
}

/// A node of the fleet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FleetNode {
    /// The name of the node, as `node` in `[fleet]` or its host name.
    pub node: String,
    /// `here`, `up`, `gone` or `clock`: its clock is wrong, and it takes no part.
    pub state: String,
    /// The labels of the node, as in `[fleet]`.
    pub labels: Vec<String>,
    /// Its share of the jobs.
    pub weight: u32,
    /// The version of its daemon.
    pub version: String,
    /// How many seconds its clock is ahead of the median of the fleet.
    pub clock_offset: Option<f64>,
    /// How many fleet jobs its tables have.
    pub jobs: usize,
    /// When it last renewed its lease, as far as this node has seen it.
    pub contact: Option<Time>,
}

/// The result of `Fleet`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fleet {
    /// The name of the fleet. None: no fleet is set up.
    pub name: Option<String>,
    /// The name of this node.
    pub node: Option<String>,
    /// `up`, `away`, or `off` where no fleet is set up.
    pub engine: String,
    /// Since when the engine is away.
    pub since: Option<Time>,
    /// Why it is away.
    pub why: Option<String>,
    /// The nodes, by name.
    pub nodes: Vec<FleetNode>,
    /// How many fleet jobs there are.
    pub jobs: usize,
    /// How many of them not all nodes have, or not all of them alike.
    pub differing: usize,
    /// What is wrong, in words.
    pub warnings: Vec<String>,
}

/// The arguments of `FleetJobs`.
pub type FleetJobsArguments = ListArguments;

/// A result of `FleetJobs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetJobs {
    /// Fleet jobs in the order of their names.
    pub jobs: Vec<FleetJob>,
}

/// A job of which each slot runs on one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetJob {
    /// `USER:NAME`.
    pub job: String,
    /// `one` or `one,failover`; empty if this node does not have it.
    pub fleet: String,
    /// Nodes whose tables have it, at most 20.
    pub known_on: Vec<String>,
    /// How many nodes have it.
    pub known_count: usize,
    /// Whether these tables do not all say the same of it.
    pub differs: bool,
    /// The node that is the first to try its next slot.
    pub next_node: Option<String>,
    /// The last slot that was claimed.
    pub slot: Option<Time>,
    /// The node that has claimed it.
    pub node: Option<String>,
    /// What became of it: `claimed`, `second` (claimed after the first node was lost), `ended` or `lost`.
    pub state: Option<String>,
    /// The end of its pause.
    pub paused_until: Option<Time>,
    /// Who paused it.
    pub paused_by: Option<String>,
    /// Why it is paused.
    pub note: Option<String>,
}

/// The result of `FleetHistory`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetHistory {
    /// The last outcomes of the job on all nodes, the newest first.
    pub outcomes: Vec<FleetOutcome>,
}

/// How a slot of a fleet job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetOutcome {
    /// The slot.
    pub scheduled_at: Time,
    /// The node that has run it.
    pub node: String,
    /// The number of the run on that node.
    pub run: Option<u64>,
    /// Which attempt this is the outcome of; 0 without a run.
    pub attempt: u32,
    /// When its process was started.
    pub started_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// `ok`, `failed`, `lost` and so on.
    pub outcome: String,
    /// Its reason or exit status.
    pub detail: Option<String>,
    /// `CRON_FENCE` of the run.
    pub fence: Option<u64>,
}

/// The result of `FleetReset`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetReset {
    /// The slot that the watermark had.
    pub slot: Option<Time>,
    /// Whether it was set to now. It is not if its slot is not in the future.
    pub repaired: bool,
}

/// The errors of the interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum Error {
    /// There is no such job, or the caller may not know of it.
    #[error("there is no job {job:?}")]
    NoSuchJob {
        /// The name in the call.
        job: String,
    },
    /// Several jobs may be meant.
    #[error("{job:?} may be any of: {}", candidates.join(", "))]
    Ambiguous {
        /// The name in the call.
        job: String,
        /// The jobs that the name may mean.
        candidates: Vec<String>,
    },
    /// There is no such run, or the caller may not know of it.
    #[error("there is no run {run}")]
    NoSuchRun {
        /// The number that was asked for.
        run: u64,
    },
    /// The caller may not do that.
    #[error("not allowed: {what}")]
    NotAllowed {
        /// The refused operation, and who may do it.
        what: String,
    },
    /// The daemon has too many calls to answer.
    #[error("the daemon is busy; try again in {retry_after} s")]
    Busy {
        /// Seconds after which another attempt makes sense.
        retry_after: f64,
    },
    /// There is no fleet, or its engine cannot be reached.
    #[error("{why}")]
    FleetAway {
        /// What is missing.
        why: String,
    },
    /// A time of the call cannot be used.
    #[error("expected {expected}, found {value:?}")]
    InvalidTime {
        /// The text in the call.
        value: String,
        /// The forms and times that can be used.
        expected: String,
    },
}
