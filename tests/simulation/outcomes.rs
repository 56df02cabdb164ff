//! What becomes of every slot of a small crontab, as compact lines.

use crate::setup::{clock, source, table, time};
use cronwheel::crontab::{Calendars, parse_calendar};
use cronwheel::schedule::{Timestamp, Zone};
use cronwheel::scheduler::{JobId, JobScenario, RunRecord, Scenario, Simulated, simulate};

/// A day in the life of a crontab. Times are `HH:MM` or `HH:MM:SS` of 2026-05-01, UTC.
#[derive(Clone, Copy, Default)]
pub struct Day<'a> {
    /// The crontab of alice.
    pub crontab: &'a str,
    /// The last second, from midnight on.
    pub until: &'a str,
    /// Seconds that the runs of a job last.
    pub durations: &'a [(&'a str, i64)],
    /// The exit statuses of the runs of a job, in their order.
    pub exits: &'a [(&'a str, &'a [i32])],
    pub pauses: &'a [(&'a str, &'a str, &'a str)],
    pub runs: &'a [(&'a str, &'a str)],
    pub kills: &'a [(&'a str, &'a str)],
    pub down: &'a [(&'a str, &'a str)],
    pub steps: &'a [(&'a str, i64)],
    /// Calendars: the name and the text of the file.
    pub calendars: &'a [(&'a str, &'a str)],
}

pub fn moment(text: &str) -> Timestamp {
    let seconds = if text.len() == 5 { ":00" } else { "" };
    time(&format!("2026-05-01T{text}{seconds}Z"))
}

/// The scenario of a day, with an outcome for every slot.
pub fn scenario(day: &Day<'_>) -> Scenario {
    let id = |name: &str| JobId::named("alice", name);
    Scenario {
        zone: Zone::utc(),
        from: moment("00:00"),
        until: moment(day.until),
        steps: day.steps.iter().map(|(at, by)| (moment(at), *by)).collect(),
        down: day.down.iter().map(|(stop, start)| (moment(stop), moment(start))).collect(),
        caller: "alice".into(),
        jobs: JobScenario {
            durations: day.durations.iter().map(|(job, seconds)| (id(job), *seconds)).collect(),
            exits: day.exits.iter().map(|(job, exits)| (id(job), exits.to_vec())).collect(),
            pauses: day.pauses.iter().map(|(job, from, until)| (id(job), moment(from), moment(until))).collect(),
            runs: day.runs.iter().map(|(job, at)| (id(job), moment(at))).collect(),
            kills: day.kills.iter().map(|(job, at)| (id(job), moment(at))).collect(),
            calendars: day.calendars.iter().fold(Calendars::default(), |mut calendars, (name, days)| {
                calendars.insert(name, parse_calendar(days.as_bytes()).expect("a calendar"));
                calendars
            }),
        },
        records_all: true,
    }
}

/// Every outcome of a day.
pub fn outcomes(day: &Day<'_>) -> Vec<RunRecord> {
    let tables = || vec![(source("/spool/alice"), table(day.crontab))];
    let record = |simulated| match simulated {
        Simulated::Ended(record) => Some(*record),
        Simulated::Started(_) | Simulated::Notice(_) => None,
    };
    simulate(scenario(day), tables).filter_map(record).collect()
}

/// `job 01:00 schedule#1 01:00-01:10 ok 0` for a run, `job 01:00 skipped paused x3 to 03:00` for slots without one.
pub fn line(record: &RunRecord) -> String {
    let short = |at: Timestamp| {
        let text = clock(at);
        text.strip_suffix(":00").map(str::to_owned).unwrap_or(text)
    };
    let (job, slot) = (record.job.name(), short(record.scheduled_at));
    let moment = |ms: Option<i64>| ms.map_or("?".to_owned(), |ms| short(Timestamp(ms / 1_000)));
    let status = record.outcome.exit_status().map(|status| format!(" {status}")).unwrap_or_default();
    let outcome = record.outcome.as_str();
    let reason = record.outcome.reason().map(|reason| format!(" {reason}")).unwrap_or_default();
    let trigger = record.trigger.as_str();
    if record.attempt > 0 {
        let (begin, end) = (moment(record.started_at_ms), moment(record.ended_at_ms));
        return format!("{job} {slot} {trigger}#{} {begin}-{end} {outcome}{status}{reason}", record.attempt);
    }
    let trigger = if trigger == "schedule" { String::new() } else { format!(" {trigger}") };
    match record.until {
        Some(until) => format!("{job} {slot}{trigger} {outcome}{reason} x{} to {}", record.count, short(until)),
        None => format!("{job} {slot}{trigger} {outcome}{reason}"),
    }
}

/// Compares the outcomes of a day with lines.
#[track_caller]
pub fn expect(day: &Day<'_>, expected: &[&str]) {
    let found: Vec<String> = outcomes(day).iter().map(line).collect();
    assert_eq!(found, expected, "\nfound:\n{}\n", found.join("\n"));
}
