//! What follows from a notice or an end: commands of the owner (hooks), and requests to web services (pings).

use super::job_id::JobId;
use super::jobs::{Notice, NoticeEvent};
use super::run_id::RunId;
use super::run_record::{Outcome, Trigger};
use crate::crontab::{Hooks, Ping, SharedBytes};
use crate::schedule::Timestamp;

/// Something that the executor runs as the owner of a job, beside the job's runs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FollowUp<S> {
    /// The job, as a request for a run of it.
    pub start: S,
    /// The run whose output it may read.
    pub output_of: Option<RunId>,
    /// The command to run or the URL to call.
    pub task: FollowUpTask,
}

/// The command or the URL of a [`FollowUp`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum FollowUpTask {
    /// Run a command of the crontab.
    Hook {
        /// The word that the hook finds in `CRON_EVENT`.
        event: String,
        /// The command, for the shell as it stands.
        command: SharedBytes,
        /// Variables beside those of the job.
        variables: Vec<(String, String)>,
    },
    /// Call the URL of a web service (`CRON_PING`).
    Ping {
        /// The event that is reported: `start`, `ok` or `fail`.
        event: String,
        /// The URL, http or https, as it is called.
        url: String,
        /// Identifies the slot: all calls for it have the same id.
        slot: String,
        /// Whether the end of the output is sent.
        with_output: bool,
    },
}

impl FollowUpTask {
    /// What it is, for the history: `failure`, `ping ok`.
    pub fn name(&self) -> String {
        match self {
            FollowUpTask::Hook { event, .. } => event.clone(),
            FollowUpTask::Ping { event, .. } => format!("ping {event}"),
        }
    }
}

/// The events that are reported to a web service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PingEvent {
    Start,
    Ok,
    Fail,
}

/// The command for an event.
pub(super) fn hook(hooks: &Hooks, event: NoticeEvent) -> Option<SharedBytes> {
    let command = match event {
        NoticeEvent::Failure => &hooks.failure,
        NoticeEvent::Success => &hooks.success,
        NoticeEvent::Recovery => &hooks.recovery,
        NoticeEvent::Late => &hooks.late,
    };
    command.as_ref().map(|command| command.to_vec().into())
}

/// The variables that a hook gets beside those of the job.
pub(super) fn variables(notice: &Notice) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    let mut set = |name: &str, value: String| variables.push((name.to_owned(), value));
    set("CRON_EVENT", notice.event.as_str().to_owned());
    set("CRON_JOB", notice.job.as_str().to_owned());
    set("CRON_FAILURES", notice.failures.to_string());
    let Some(record) = &notice.record else { return variables };
    if let Some(run) = record.run {
        set("CRON_RUN_ID", run.0.to_string());
    }
    set("CRON_SCHEDULED_AT", record.scheduled_at.to_string());
    set("CRON_TRIGGER", record.trigger.as_str().to_owned());
    set("CRON_ATTEMPT", record.attempt.to_string());
    set("CRON_OUTCOME", record.outcome.as_str().to_owned());
    if let Some(status) = record.outcome.exit_status() {
        set("CRON_EXIT_CODE", status.to_string());
    }
    if let Outcome::Signal { number, .. } = &record.outcome {
        set("CRON_SIGNAL", number.to_string());
    }
    let at = |ms: i64| Timestamp(ms.div_euclid(1_000)).to_string();
    if let Some(started_ms) = record.started_at_ms {
        set("CRON_STARTED_AT", at(started_ms));
    }
    if let Some(ended_ms) = record.ended_at_ms {
        set("CRON_ENDED_AT", at(ended_ms));
    }
    if let (Some(started_ms), Some(ended_ms)) = (record.started_at_ms, record.ended_at_ms) {
        set("CRON_DURATION_S", (ended_ms - started_ms).max(0).div_euclid(1_000).to_string());
    }
    variables
}

/// The call of a web service. Each manual run is a slot of its own.
pub(super) fn ping(
    ping: &Ping,
    event: PingEvent,
    job: &JobId,
    slot: Timestamp,
    (trigger, run): (Trigger, Option<RunId>),
) -> FollowUpTask {
    let (word, url) = match event {
        PingEvent::Start => ("start", with_path(&ping.url, "/start")),
        PingEvent::Ok => ("ok", ping.url.to_string()),
        PingEvent::Fail => ("fail", with_path(&ping.url, "/fail")),
    };
    let by_hand = run.filter(|_| trigger.is_manual()).map(|run| format!(" by hand {run}")).unwrap_or_default();
    let slot = format!("{job} {slot}{by_hand}");
    let with_output = ping.with_output && event != PingEvent::Start;
    FollowUpTask::Ping { event: word.to_owned(), url, slot, with_output }
}

/// The URL with more at the end of its path, before the query.
fn with_path(url: &str, more: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (path, query) = url.split_at(end);
    format!("{}{more}{query}", path.strip_suffix('/').unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_url_grows_before_its_query() {
        for (url, expected) in [
            ("https://h/uuid", "https://h/uuid/fail"),
            ("https://h/uuid/", "https://h/uuid/fail"),
            ("https://h/uuid?a=b/c", "https://h/uuid/fail?a=b/c"),
            ("http://h", "http://h/fail"),
        ] {
            assert_eq!(with_path(url, "/fail"), expected);
        }
    }
}
