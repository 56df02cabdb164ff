//! The types here have the fields that the descriptions of the interfaces name, in the same order.

use super::{cron, history};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The fields of each type, and of the arguments and results of each method, by name, as a description has them.
fn fields_of(description: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let text: String =
        description.lines().map(|line| line.split('#').next().unwrap_or_default()).collect::<Vec<_>>().join(" ");
    let mut found = BTreeMap::new();
    for (keyword, suffixes) in [("type ", vec![""]), ("method ", vec!["(", ")"]), ("error ", vec!["!"])] {
        for part in text.split(keyword).skip(1) {
            let name: String = part.chars().take_while(|char| char.is_alphanumeric()).collect();
            let mut rest = part;
            for suffix in &suffixes {
                let (open, close) = group(rest);
                found.insert(format!("{name}{suffix}"), split(&rest[open + 1..close]));
                rest = &rest[close + 1..];
            }
        }
    }
    found
}

/// Where the first group of parentheses opens and closes.
fn group(text: &str) -> (usize, usize) {
    let open = text.find('(').unwrap();
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate().skip(open) {
        depth += i32::from(byte == b'(') - i32::from(byte == b')');
        if depth == 0 {
            return (open, at);
        }
    }
    panic!("no end of {text:?}")
}

/// Names and types of the fields in a group.
fn split(text: &str) -> Vec<(String, String)> {
    let (mut depth, mut fields, mut field) = (0, Vec::new(), String::new());
    for char in text.chars().chain([',']) {
        depth += i32::from(char == '(') - i32::from(char == ')');
        if char == ',' && depth == 0 {
            if let Some((name, kind)) = field.split_once(':') {
                fields.push((name.trim().to_owned(), kind.trim().to_owned()));
            }
            field.clear();
        } else {
            field.push(char);
        }
    }
    fields
}

/// A value of a type of a description.
fn value(kind: &str, types: &BTreeMap<String, Vec<(String, String)>>) -> Value {
    let kind = kind.trim_start_matches('?');
    match kind {
        "string" => Value::from("2026-11-27T10:15:00.000000Z"),
        "int" => Value::from(1),
        "float" => Value::from(1.5),
        "bool" => Value::from(true),
        _ => match kind.strip_prefix("[]") {
            Some(of) => Value::Array(vec![value(of, types)]),
            None if kind.starts_with('(') => object(&split(&kind[1..kind.len() - 1]), types),
            None => object(&types[kind], types),
        },
    }
}

fn object(fields: &[(String, String)], types: &BTreeMap<String, Vec<(String, String)>>) -> Value {
    let fields = fields.iter().map(|(name, kind)| (name.clone(), value(kind, types)));
    Value::Object(fields.collect::<Map<String, Value>>())
}

/// What `T` makes of a value with all fields of a type, and of one with those only that may not be left out.
fn check<T: Serialize + DeserializeOwned>(description: &str, name: &str) {
    let types = fields_of(description);
    let full = object(&types[name], &types);
    let read: T = serde_json::from_value(full.clone()).unwrap_or_else(|why| panic!("{name}: {why}"));
    assert_eq!(serde_json::to_value(&read).unwrap(), full, "{name}");
    let needed: Vec<(String, String)> =
        types[name].iter().filter(|(_, kind)| !kind.starts_with('?')).cloned().collect();
    serde_json::from_value::<T>(object(&needed, &types)).unwrap_or_else(|why| panic!("{name}: {why}"));
}

#[test]
fn the_types_have_the_fields_of_the_descriptions() {
    use cron::*;
    let cron = DESCRIPTION;
    check::<Slot>(cron, "Slot");
    check::<Run>(cron, "ActiveRun");
    check::<Outcome>(cron, "Outcome");
    check::<Job>(cron, "Job");
    check::<Filter>(cron, "Filter");
    check::<Status>(cron, "Status)");
    check::<ListArguments>(cron, "List(");
    check::<List>(cron, "List)");
    check::<JobArguments>(cron, "Show(");
    check::<Show>(cron, "Show)");
    check::<NextArguments>(cron, "Next(");
    check::<NextStart>(cron, "Next)");
    check::<WhyArguments>(cron, "Why(");
    check::<Why>(cron, "Why)");
    check::<RunArguments>(cron, "Run(");
    check::<RunResult>(cron, "Run)");
    check::<PauseArguments>(cron, "Pause(");
    check::<Paused>(cron, "Pause)");
    check::<ResumeArguments>(cron, "Resume(");
    check::<Resumed>(cron, "Resume)");
    check::<KillArguments>(cron, "Kill(");
    check::<Killed>(cron, "Kill)");
    check::<ReloadArguments>(cron, "Reload(");
    check::<Reloaded>(cron, "Reload)");
    check::<EventsArguments>(cron, "Events(");
    check::<Event>(cron, "Events)");
    check::<JobCounts>(cron, "JobCounts");
    check::<Histogram>(cron, "Histogram");
    check::<JobMetrics>(cron, "JobMetrics");
    check::<OtherMetrics>(cron, "OtherMetrics");
    check::<DaemonMetrics>(cron, "DaemonMetrics");
    check::<FleetMetrics>(cron, "FleetMetrics");
    check::<MetricsArguments>(cron, "Metrics(");
    check::<Metrics>(cron, "Metrics)");
    check::<OutputArguments>(cron, "Output(");
    check::<OutputPart>(cron, "Output)");
    check::<FleetNode>(cron, "FleetNode");
    check::<Fleet>(cron, "Fleet)");
    check::<FleetJob>(cron, "FleetJob");
    check::<FleetJobsArguments>(cron, "FleetJobs(");
    check::<FleetJobs>(cron, "FleetJobs)");
    check::<FleetOutcome>(cron, "FleetOutcome");
    check::<JobArguments>(cron, "FleetHistory(");
    check::<FleetHistory>(cron, "FleetHistory)");
    check::<JobArguments>(cron, "FleetReset(");
    check::<FleetReset>(cron, "FleetReset)");
    let history = history::DESCRIPTION;
    check::<history::RunRecord>(history, "RunRecord");
    check::<history::RunsArguments>(history, "Runs(");
    check::<history::Found>(history, "Runs)");
    check::<history::RunArguments>(history, "Run(");
    check::<history::Found>(history, "Run)");
    check::<history::Output>(history, "Output)");
    check::<history::SummaryArguments>(history, "Summary(");
    check::<history::Summary>(history, "Summary)");
    check::<history::DowntimesArguments>(history, "Downtimes(");
    check::<history::Downtimes>(history, "Downtimes)");
}

#[test]
fn the_errors_are_those_of_the_description() {
    let types = fields_of(cron::DESCRIPTION);
    let errors: Vec<&String> = types.keys().filter(|name| name.ends_with('!')).collect();
    assert_eq!(errors.len(), 7);
    for name in errors {
        let value = serde_json::json!({ name.trim_end_matches('!'): object(&types[name], &types) });
        let read: cron::Error = serde_json::from_value(value.clone()).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!(serde_json::to_value(&read).unwrap(), value);
    }
}
