//! What is recorded. The journal has each event as JSON: a later version may add fields, which an earlier one ignores, and gives those that an earlier
//! version did not write their defaults. The names in the journal stay, so that a later version reads what an earlier one has left.

use crate::scheduler::{Outcome, Owner, RunRecord, RunRequest, RunResult, RunRules};
use serde::{Deserialize, Serialize};

/// Something that is recorded. Times are milliseconds of Unix time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum HistoryEvent {
    /// A daemon has started: runs of earlier ones that it does not name are over, and the time in which there was none is known.
    #[serde(rename = "daemon-begun")]
    DaemonStarted(DaemonStarted),
    /// The daemon ends on request, not by a fault.
    DaemonEnded {
        /// The time of the end; none ran from here to the next [`HistoryEvent::DaemonStarted`].
        at_ms: i64,
    },
    /// A run is handed to the executor.
    #[serde(rename = "run-begun")]
    RunRequested(Box<RunRequested>),
    /// The process of a run was started.
    RunStarted {
        /// The number of the run.
        run: u64,
        /// When the process was started, milliseconds of Unix time.
        started_at_ms: i64,
    },
    /// A run has ended, as the executor saw it. The rules of its entry may have it end otherwise: then [`HistoryEvent::RunDecided`] follows.
    RunEnded(Box<RunEnded>),
    /// How a run has ended by the rules of its entry.
    RunDecided(RunDecided),
    /// The output of a run is complete. The bytes beside the event are its first and its last ones.
    Output {
        /// The number of the run that wrote it.
        run: u64,
        /// How many of the bytes are the first ones.
        head: u32,
        /// How many bytes between the first and the last ones are left out.
        cut: u64,
    },
    /// What became of the mail with a run's output.
    Mailed {
        /// The number of the run whose output it was.
        run: u64,
        /// `sent`, `dropped`, or why it failed.
        mail: String,
    },
    /// What became of a hook or a call of a web service after a run.
    FollowedUp {
        /// The number of the run.
        run: u64,
        /// `failure: exit 0`, and behind a newline the beginning of what it has written.
        text: String,
    },
    /// Slots passed without a run.
    Slots(Box<Slots>),
    /// Somebody has run, paused, resumed or killed jobs, or had tables read again.
    Control {
        /// When the request was carried out.
        at_ms: i64,
        /// The user who asked, as the kernel says it of the connection.
        uid: u32,
        /// The login name of that user, or `uid N` if there is none.
        by: String,
        /// `run`, `pause`, `resume`, `kill` or `reload`.
        action: String,
        /// The job, if it is about one.
        job: Option<String>,
        /// The run, if it is about one.
        run: Option<u64>,
        /// What else is to be known: a note, the end of a pause.
        text: String,
    },
}

/// The start of a daemon, and what it knows of the time before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStarted {
    /// When the daemon started, milliseconds of Unix time.
    pub at_ms: i64,
    /// The kernel's id of this boot.
    pub boot: String,
    /// The version of the program.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Everything due up to here was handled by an earlier daemon, seconds of UTC.
    #[serde(default)]
    pub handled_until: Option<i64>,
    /// Whether it continues in the place of a program that lost its executor.
    #[serde(default)]
    pub is_resumed: bool,
    /// Runs in progress, or whose ends will be reported.
    #[serde(default)]
    pub live: Vec<u64>,
    /// Runs that executors of this boot have begun in the last minutes.
    #[serde(default)]
    pub begun: Vec<u64>,
    /// Runs that were requested after this, in milliseconds of Unix time, and that no executor has begun, never ran.
    #[serde(default)]
    pub begun_since_ms: i64,
}

/// What is known of a run when it is handed to the executor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRequested {
    /// The number of the run.
    pub run: u64,
    /// The entry as it is now: it may be changed before the run ends.
    #[serde(flatten)]
    pub entry: RecordedEntry,
    /// What caused the run: `schedule`, `manual` and the others of [`crate::scheduler::Trigger`].
    pub trigger: String,
    /// Which attempt for its slot, from 1.
    pub attempt: u32,
    /// The slot that it was started for, however late that was.
    pub scheduled_at_ms: i64,
    /// When main handed the run to the executor, milliseconds of Unix time.
    pub at_ms: i64,
}

/// An entry of a crontab, as it is recorded with each of its runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedEntry {
    /// The full id of the job, `USER:NAME`.
    pub job: String,
    /// The user that the job runs as.
    pub user: String,
    /// The id of that user, if it is known.
    pub uid: Option<u32>,
    /// The owner of the crontab: who may see the record. None: a system table.
    pub owner: Option<u32>,
    /// The path of the crontab. Empty: the entry is gone, and the job's last row describes it.
    pub source: String,
    /// The line in it, from 1.
    pub line: u32,
    /// The command, with U+FFFD for what is not UTF-8.
    pub command: String,
}

/// The end of a run as the executor saw it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunEnded {
    /// The number of the run.
    pub run: u64,
    /// When its process was started, milliseconds of Unix time.
    pub started_at_ms: Option<i64>,
    /// When it ended, milliseconds of Unix time.
    pub ended_at_ms: i64,
    /// How long it ran by a clock that is never set.
    pub duration_ms: Option<u64>,
    /// CPU time in user mode, microseconds.
    pub user_us: Option<u64>,
    /// CPU time in the kernel, microseconds.
    pub system_us: Option<u64>,
    /// Largest resident set, KiB.
    pub max_rss_kib: Option<u64>,
    /// Bytes that the run wrote.
    pub output_bytes: u64,
    /// Whether the rules of its entry were known, so that `ok` and `failed` are final.
    #[serde(default)]
    pub is_by_rules: bool,
    /// How it ended, as far as the rules of its entry are known.
    #[serde(flatten)]
    pub end: RecordedOutcome,
}

/// How a run or a slot ended, in the words of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedOutcome {
    /// `ok`, `failed` and so on.
    pub outcome: String,
    /// The reason of the outcome, or who ended the run.
    pub reason: Option<String>,
    /// The exit status, if it exited.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

/// How a run has ended by the rules of its entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunDecided {
    /// The number of the run.
    pub run: u64,
    /// When it ended; the time of its slot if that is not known.
    pub ended_at_ms: i64,
    /// The outcome by the rules of the entry.
    #[serde(flatten)]
    pub end: RecordedOutcome,
}

/// Slots that passed without a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    /// The entry that they are slots of.
    #[serde(flatten)]
    pub entry: RecordedEntry,
    /// What would have asked for a run.
    pub trigger: String,
    /// The first slot, milliseconds of Unix time.
    pub first_ms: i64,
    /// The last slot, milliseconds of Unix time.
    pub last_ms: i64,
    /// How many slots, the first and the last included.
    pub count: u64,
    /// Why nothing ran, as an outcome.
    #[serde(flatten)]
    pub end: RecordedOutcome,
}

impl RecordedEntry {
    /// The entry of a start. `uid` is the id of the user that it runs as, if main knows it.
    pub fn of(start: &RunRequest, uid: Option<u32>) -> RecordedEntry {
        let owner = match &start.source.owner {
            Owner::User { uid, .. } => Some(*uid),
            Owner::System => None,
            // A standalone daemon belongs to its caller, as do all its jobs.
            Owner::Caller => uid,
        };
        RecordedEntry {
            job: start.job.as_str().to_owned(),
            user: if start.user.is_empty() { start.job.user().to_owned() } else { start.user.clone() },
            uid: owner.or(uid),
            owner,
            source: start.source.path.clone(),
            line: start.line,
            command: String::from_utf8_lossy(&start.command).into_owned(),
        }
    }
}

impl RunRequested {
    /// A start that is handed over now.
    pub fn of(start: &RunRequest, uid: Option<u32>, at_ms: i64) -> RunRequested {
        RunRequested {
            run: start.run.0,
            entry: RecordedEntry::of(start, uid),
            trigger: start.trigger.as_str().to_owned(),
            attempt: start.attempt,
            scheduled_at_ms: start.scheduled_at.saturating_mul(1000),
            at_ms,
        }
    }
}

impl RunEnded {
    /// What the executor has reported, by the rules of the run, if they are known.
    pub fn of(result: &RunResult, rules: Option<&RunRules>) -> RunEnded {
        RunEnded {
            is_by_rules: rules.is_some(),
            run: result.run.0,
            started_at_ms: result.started_at_ms,
            ended_at_ms: result.ended_at_ms,
            duration_ms: result.started_at_ms.map(|_| result.duration_ms),
            user_us: result.usage.map(|usage| usage.user_us),
            system_us: result.usage.map(|usage| usage.system_us),
            max_rss_kib: result.usage.map(|usage| usage.max_rss_kib),
            output_bytes: result.output.bytes,
            end: RecordedOutcome::of(&rules.unwrap_or(&RunRules::default()).outcome(result, None)),
        }
    }
}

impl RecordedOutcome {
    /// An outcome by the rules of the entry.
    pub fn of(outcome: &Outcome) -> RecordedOutcome {
        let by = match outcome {
            Outcome::Killed { by } => Some(format!("by {by}")),
            _ => None,
        };
        let signal = match outcome {
            Outcome::Signal { number, .. } => Some(*number),
            _ => None,
        };
        RecordedOutcome {
            outcome: outcome.as_str().to_owned(),
            reason: outcome.reason().map(str::to_owned).or(by),
            exit_code: outcome.exit_status(),
            signal,
        }
    }
}

impl RunDecided {
    /// The record of a run. None for slots without a run.
    pub fn of(record: &RunRecord) -> Option<RunDecided> {
        let ended_at_ms = record.ended_at_ms.unwrap_or_else(|| record.scheduled_at.0.saturating_mul(1000));
        Some(RunDecided { run: record.run?.0, ended_at_ms, end: RecordedOutcome::of(&record.outcome) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::{RunId, RunOutcome};

    #[test]
    fn events_are_read_back_and_fields_of_later_versions_are_ignored() {
        let result = RunResult::of_outcome(RunId(7), RunOutcome::Code(3), 5000);
        let event = HistoryEvent::RunEnded(Box::new(RunEnded::of(&result, None)));
        let text = serde_json::to_string(&event).unwrap();
        assert!(text.contains(r#""event":"run-ended""#) && text.contains(r#""outcome":"failed""#), "{text}");
        assert_eq!(serde_json::from_str::<HistoryEvent>(&text).unwrap(), event);
        let later = text.replacen('{', r#"{"color":"red","#, 1);
        assert_eq!(serde_json::from_str::<HistoryEvent>(&later).unwrap(), event);
    }

    #[test]
    fn outcomes_have_the_words_of_the_log() {
        for (outcome, expected) in [
            (RunOutcome::Code(0), ("ok", None, Some(0), None)),
            (RunOutcome::Code(2), ("failed", None, Some(2), None)),
            (RunOutcome::Signal { number: 9, core_dumped: false }, ("signal", None, None, Some(9))),
            (RunOutcome::NotStarted { why: "fork".into() }, ("not started", Some("fork"), None, None)),
            (RunOutcome::Lost, ("lost", None, None, None)),
        ] {
            let result = RunResult::of_outcome(RunId(1), outcome, 0);
            let ended = RunEnded::of(&result, None).end;
            let shown = (ended.outcome.as_str(), ended.reason.as_deref(), ended.exit_code, ended.signal);
            assert_eq!(shown, expected);
        }
    }
}
