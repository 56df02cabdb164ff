//! The fields of a record as names and values, defined once for JSON lines and the journal.

use super::record::LogRecord;
use crate::schedule::Timestamp;
use crate::scheduler::RunRequest;
use serde_json::{Value as Json, json};
use std::borrow::Cow;

/// A value of a field.
#[derive(Debug, serde::Serialize)]
#[serde(untagged)]
pub(super) enum Value<'a> {
    /// Text, with replacement characters for invalid UTF-8.
    Text(Cow<'a, str>),
    Number(u64),
    Given(&'a Json),
}

impl Value<'_> {
    /// Text without quotes, other values as in JSON.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Value::Text(text) => Cow::Borrowed(text),
            Value::Number(number) => number.to_string().into(),
            Value::Given(Json::String(text)) => Cow::Borrowed(text),
            Value::Given(other) => other.to_string().into(),
        }
    }
}

/// The fields of a record in the order in which they are written, without empty ones.
pub(super) fn of<'a>(record: &'a LogRecord<'_>, pid: u32) -> impl Iterator<Item = (&'static str, Value<'a>)> {
    let text = |text: &'a str| (!text.is_empty()).then(|| Value::Text(text.into()));
    let own = [
        ("event", text(record.event)),
        ("user", text(record.user)),
        ("run_id", record.run.map(|run| Value::Number(run.0))),
        ("pid", Some(Value::Number(pid.into()))),
        ("detail", (!record.detail.is_empty()).then(|| Value::Text(String::from_utf8_lossy(record.detail)))),
        ("result", text(record.rest.trim_start_matches([':', ' ']))),
    ];
    let given = record.fields.iter().map(|(name, value)| (*name, Value::Given(value)));
    own.into_iter().filter_map(|(name, value)| Some((name, value?))).chain(given)
}

/// The fields that every record about one run has. The job has the name that `cronctl list` shows.
pub fn of_start(start: &RunRequest, command: &[u8]) -> Vec<(&'static str, Json)> {
    vec![
        ("job", json!(start.job.as_str())),
        ("command", json!(String::from_utf8_lossy(command))),
        ("scheduled_at", json!(Timestamp(start.scheduled_at).to_string())),
        ("source", json!(start.source.path)),
        ("line", json!(start.line)),
    ]
}
