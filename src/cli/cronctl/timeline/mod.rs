//! `cronctl timeline`: draws when jobs ran and when they will run.

mod live;
mod tables;

use super::cli::{given, value};
use super::connection::Connection;
use super::error::Error;
use super::exit_status::ExitStatus;
use super::output::Output;
use super::screen::{self, Screen};
use super::source;
use super::starts;
use super::stderr::to_stderr;
use super::system_state::SystemState;
use crate::schedule::Timestamp;
use crate::timeline::{Builder, Fact, Grouping, Range, SvgOptions, TextOptions, Timeline, facts, svg, text};
use crate::varlink::Time;
use clap::ArgMatches;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) use live::add_past;

/// The longest range that is drawn.
const MOST_DAYS: i64 = 400;
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// How much of the past is shown if nothing else is said.
const PAST: i64 = 6 * HOUR;
/// Rows that are drawn if nothing else is said.
const ROWS: u64 = 200;
/// The width without a terminal.
const USUAL_WIDTH: usize = 80;
const SVG_WIDTH: u32 = 1_280;

/// Draws on the terminal or to an SVG file, or prints the facts as JSON.
pub(super) fn run(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let mut daemon = starts::daemon_for_user(matches, system);
    let mut history = daemon.as_ref().and_then(Connection::history);
    let range = range(matches, system, history.is_some())?;
    let grouping = match value::<String>(matches, "by").map(String::as_str) {
        Some("user") => Grouping::User,
        _ => Grouping::Job,
    };
    let most_rows = value::<u64>(matches, "rows").copied().unwrap_or(ROWS);
    let most_rows = usize::try_from(most_rows).unwrap_or(usize::MAX);
    let mut builder = Builder::new(range, system.now(), Arc::clone(system.system_zone()), grouping, most_rows);
    let is_live = daemon.is_some();
    // What the daemon does not say is computed from the tables.
    let missing = match &mut daemon {
        Some(daemon) => {
            let user = value::<String>(matches, "user");
            if let Some(history) = &mut history {
                let is_complete = add_past(history, range, DAY, live::MOST_RUNS, user, &mut builder)?;
                if !is_complete {
                    to_stderr(
                        "cronctl: the history has more than 100,000 rows of this time: the oldest are not shown\n",
                    );
                }
            } else {
                builder.set_known_from(system.now());
            }
            live::add_coming(daemon, range, system.now(), user, &mut builder)?
        }
        None => Some(Timestamp(range.from.0 - 1)),
    };
    let tables = match missing {
        Some(after) => {
            let tables = source::of(matches, system)?;
            tables::add(&tables, after, most_rows, system, &mut builder);
            tables
        }
        None => Vec::new(),
    };
    let timeline = builder.finish();
    if given(matches, "json") {
        print_json(&timeline, is_live, out)?;
    } else if let Some(path) = value::<PathBuf>(matches, "svg") {
        write_svg(path, &timeline, out)?;
    } else {
        print_text(&timeline, system, out)?;
    }
    Ok(source::report_errors(&tables))
}

/// The range to draw, in whole minutes. The default is a day, of which a quarter is past if the history is known, else from the start of the
/// current hour.
fn range(matches: &ArgMatches, system: &SystemState, has_history: bool) -> Result<Range, Error> {
    let this_hour = system.now().0.div_euclid(HOUR) * HOUR;
    let begin = || if has_history { this_hour - PAST } else { this_hour };
    let until = system.moment(matches, "until");
    let from = system.moment(matches, "from").unwrap_or_else(|| Timestamp(begin()));
    let until = until.unwrap_or(Timestamp(from.0.saturating_add(DAY)));
    let minute = |at: Timestamp| at.0.div_euclid(MINUTE);
    match (minute(until) - minute(from)).saturating_mul(MINUTE) {
        ..=0 => Err(Error::Backwards),
        length if length > MOST_DAYS * DAY => Err(Error::TooLong { days: MOST_DAYS }),
        _ => Ok(Range::of(from, until)),
    }
}

fn print_text(timeline: &Timeline, system: &SystemState, out: &mut Output) -> Result<(), Error> {
    let screen = Screen::of(out, system);
    let options =
        TextOptions { width: screen.width.unwrap_or(USUAL_WIDTH), charset: screen::charset(), is_complete: true };
    for line in text(timeline, &options) {
        let painted = line.iter().map(|span| screen.paint(screen::ink_of(span.role), &span.text));
        out.line(format_args!("{}", painted.collect::<String>()))?;
    }
    Ok(())
}

fn write_svg(path: &Path, timeline: &Timeline, out: &mut Output) -> Result<(), Error> {
    let svg = svg(timeline, &SvgOptions { width: SVG_WIDTH, id: "timeline".to_owned(), is_file: true });
    if path == Path::new("-") {
        return out.text(&svg);
    }
    std::fs::write(path, svg).map_err(|source| Error::WriteFile { path: path.to_owned(), source: source.into() })
}

/// The first line of JSON: what is shown.
#[derive(Serialize)]
struct Summary<'a> {
    kind: &'static str,
    from: String,
    until: String,
    now: String,
    zone: &'a str,
    source: &'static str,
    has_past: bool,
    is_estimated: bool,
    starts: u64,
    most_in_a_minute: u32,
    rows: usize,
    rows_not_shown: u64,
    idle: u64,
}

/// Each further line: a fact, and the row that it is about.
#[derive(Serialize)]
struct FactLine<'a> {
    kind: &'static str,
    at: String,
    until: Option<String>,
    user: Option<&'a str>,
    job: Option<&'a str>,
    command: Option<&'a str>,
    source: Option<&'a str>,
    line: Option<u32>,
    count: u64,
    run: Option<u64>,
    what: &'a str,
}

fn print_json(timeline: &Timeline, is_live: bool, out: &mut Output) -> Result<(), Error> {
    let time = |at| Time::from(at).to_string();
    out.json(&Summary {
        kind: "range",
        from: time(timeline.range.from),
        until: time(timeline.range.until),
        now: time(timeline.now),
        zone: timeline.zone.name(),
        source: if is_live { "daemon" } else { "crontabs" },
        has_past: timeline.has_past(),
        is_estimated: timeline.is_estimated,
        starts: timeline.total(),
        most_in_a_minute: timeline.most(),
        rows: timeline.rows.len(),
        rows_not_shown: timeline.others.rows,
        idle: timeline.idle,
    })?;
    for Fact { kind, row, from, until, count, run, what, .. } in &facts(timeline) {
        let label = row.and_then(|row| timeline.rows.get(row)).map(|row| &row.label);
        // A row of a user is of many jobs.
        let of_job = label.filter(|_| !timeline.is_by_user);
        out.json(&FactLine {
            kind: kind.word(),
            at: time(*from),
            until: until.map(time),
            user: label.map(|label| label.user.as_str()),
            job: of_job.map(|label| label.job.as_str()).filter(|job| !job.is_empty()),
            command: of_job.map(|label| label.command.as_str()),
            source: of_job.map(|label| label.source.as_str()),
            line: of_job.map(|label| label.line),
            count: *count,
            run: *run,
            what,
        })?;
    }
    Ok(())
}
