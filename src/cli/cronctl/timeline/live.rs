//! The past as the history has it, and what is to come as the daemon says.

use crate::cli::cronctl::connection::Connection;
use crate::cli::cronctl::error::Error;
use crate::cli::cronctl::job_text;
use crate::cli::cronctl::starts;
use crate::cli::cronctl::stderr::to_stderr;
use crate::crontab::printable;
use crate::schedule::Timestamp;
use crate::timeline::{Builder, Range};
use crate::varlink::Time;
use crate::varlink::cron::{Filter, Status};
use crate::varlink::history::{Found, RunsArguments};
use serde_json::json;

/// Starts that the daemon is asked for at most, and rows of the history.
const MOST_STARTS: u64 = 100_000;
pub(super) const MOST_RUNS: u64 = 100_000;
/// Runs in progress, at most.
const MOST_RUNNING: u64 = 10_000;

/// Adds what the history has of a range, and of so many seconds before it, as such runs may last into the range: the newest, at most `limit`. Returns whether
/// that is all.
pub(in crate::cli::cronctl) fn add_past(
    history: &mut Connection,
    range: Range,
    before: i64,
    limit: u64,
    user: Option<&String>,
    builder: &mut Builder,
) -> Result<bool, Error> {
    builder.set_past_known();
    let time = |at: Timestamp| Some(Time::from(at).to_string());
    let ended = RunsArguments {
        user: user.cloned(),
        since: time(Timestamp(range.from.0 - before)),
        until: time(range.until),
        limit: Some(limit),
        ..RunsArguments::default()
    };
    // A run in progress may have been started long ago.
    let running = RunsArguments {
        user: user.cloned(),
        outcome: Some("running".to_owned()),
        limit: Some(MOST_RUNNING),
        ..RunsArguments::default()
    };
    let (mut count, mut is_complete) = (0, true);
    for (arguments, is_running) in [(ended, false), (running, true)] {
        history.call_more("Runs", &arguments, |Found { run }| {
            count += 1;
            if (run.outcome == "running") == is_running {
                let text = printable(job_text::outcome(&job_text::outcome_of(&run)).as_bytes());
                builder.add_record(&run, text);
            }
            Ok(true)
        })?;
        if !is_running {
            is_complete = count < limit;
        }
    }
    // Without an older row nothing says that the history had begun.
    let older = RunsArguments {
        user: user.cloned(),
        until: time(Timestamp(range.from.0 - before - 1)),
        limit: Some(1),
        ..RunsArguments::default()
    };
    let mut has_older = false;
    history.call_more("Runs", &older, |_: Found| {
        has_older = true;
        Ok(true)
    })?;
    builder.set_begin_of_past(is_complete && has_older);
    Ok(is_complete)
}

/// Adds what the daemon will start after now. Returns the time after which the tables say more,
/// if its answer ends before the range does.
pub(in crate::cli::cronctl) fn add_coming(
    daemon: &mut Connection,
    range: Range,
    now: Timestamp,
    user: Option<&String>,
    builder: &mut Builder,
) -> Result<Option<Timestamp>, Error> {
    // `until` is inclusive there, and `from` is not.
    let (from, until) = (now.max(Timestamp(range.from.0 - 1)), Timestamp(range.until.0 - 1));
    if from >= until {
        return Ok(None);
    }
    let filter = user.map(|user| Filter { user: Some(user.clone()), ..Filter::default() });
    let (mut count, mut last) = (0, from);
    starts::fetch(daemon, filter.as_ref(), from, Some(until), MOST_STARTS, |_, start| {
        (count, last) = (count + 1, start.at.timestamp());
        builder.add_start(start);
        Ok(())
    })?;
    if count < MOST_STARTS {
        return Ok(None);
    }
    let status: Status = daemon.call("Status", &json!({}))?;
    let asked = format!("cronctl: the daemon was asked for {MOST_STARTS} starts, the last at {last}");
    if status.standalone {
        // The tables of the system are not its own.
        to_stderr(&format!("{asked}: later ones are not shown; ask for a shorter time\n"));
        builder.set_known_until(last);
        return Ok(None);
    }
    to_stderr(&format!("{asked}: later ones are computed from the crontabs, without the daemon's state\n"));
    Ok(Some(last))
}
