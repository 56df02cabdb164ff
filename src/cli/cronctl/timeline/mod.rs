//! `cronctl timeline`: draws a chart of when entries run.

mod chart;
mod svg;
mod terminal;

use super::Verdict;
use super::cli::{given, value};
use super::connection::Connection;
use super::error::Error;
use super::next;
use super::output::Output;
use super::source::{self, Listed};
use super::starts;
use super::stderr::to_stderr;
use super::system_state::SystemState;
use crate::crontab::printable;
use crate::schedule::Timestamp;
use chart::{Chart, Label, Range};
use clap::ArgMatches;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The longest range that is drawn. In a longer one, minutes could not be distinguished.
const MOST_DAYS: i64 = 400;
/// Starts that the daemon is asked for at most.
const MOST_STARTS: u64 = 100_000;
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Draws on the terminal or to an SVG file.
pub(super) fn run(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<Verdict, Error> {
    let range = range(matches, system)?;
    if given(matches, "json") {
        return next::print_range(matches, range.from, range.until, system, out);
    }
    let live = match starts::daemon(matches, system) {
        Some(mut daemon) => live_rows(&mut daemon, range)?,
        None => None,
    };
    let (tables, rows) = match live {
        Some(rows) => (Vec::new(), Some(rows)),
        None => (source::of(matches, system)?, None),
    };
    let labels: Vec<Label> = match &rows {
        Some(rows) => rows.iter().map(|row| row.label.clone()).collect(),
        None => tables.iter().flat_map(|listed| listed.jobs(system)).map(|job| Label::of(&job)).collect(),
    };
    let draw = |cells| match &rows {
        Some(rows) => {
            let rows = rows.iter().map(|row| (row.label.clone(), row.starts.iter().copied()));
            Chart::of(rows, range, cells, std::sync::Arc::clone(system.system_zone()))
        }
        None => chart(&tables, range, system, cells),
    };
    match value::<PathBuf>(matches, "svg") {
        Some(path) => write_svg(path, &draw(svg::cells(range)), out)?,
        None => {
            let terminal = terminal::Terminal::of(out);
            let layout = terminal.layout(&labels, range.minutes());
            out.text(&terminal::draw(&draw(layout.cells), &layout, terminal))?;
        }
    }
    Ok(source::complain(&tables))
}

/// A job with its starts, as the daemon has them.
struct LiveRow {
    label: Label,
    starts: Vec<Timestamp>,
}

/// The jobs that the daemon starts in that range. None: too many to be asked for.
fn live_rows(daemon: &mut Connection, range: Range) -> Result<Option<Vec<LiveRow>>, Error> {
    let (mut rows, mut count) = (BTreeMap::new(), 0);
    // `until` is inclusive there, and `from` is not.
    let (from, until) = (Timestamp(range.from.0 - 1), Timestamp(range.until.0 - 1));
    starts::fetch(daemon, from, Some(until), MOST_STARTS, |_, start| {
        count += 1;
        let place = (start.source.clone(), start.line, start.job.clone());
        let row = rows.entry(place).or_insert_with(|| LiveRow {
            label: Label {
                user: printable(start.user.as_bytes()),
                schedule: printable(start.schedule.as_bytes()),
                command: printable(start.command.as_bytes()),
            },
            starts: Vec::new(),
        });
        row.starts.push(start.at.timestamp());
        Ok(())
    })?;
    if count < MOST_STARTS {
        return Ok(Some(rows.into_values().collect()));
    }
    to_stderr(
        "cronctl: the daemon has too many starts in this time for one query: computed from the crontabs, without the daemon's \
         state\n",
    );
    Ok(None)
}

/// The range to draw, in whole minutes. The default is a day from the start of the current hour.
fn range(matches: &ArgMatches, system: &SystemState) -> Result<Range, Error> {
    let whole_minute = |moment: Timestamp| moment.0.div_euclid(MINUTE) * MINUTE;
    let this_hour = || system.now().0.div_euclid(HOUR) * HOUR;
    let from = system.moment(matches, "from").map_or_else(this_hour, whole_minute);
    let until = system.moment(matches, "until").map_or(from + DAY, whole_minute);
    match until - from {
        ..=0 => Err(Error::Backwards),
        length if length > MOST_DAYS * DAY => Err(Error::TooLong { days: MOST_DAYS }),
        _ => Ok(Range { from: Timestamp(from), until: Timestamp(until) }),
    }
}

fn chart(tables: &[Listed], range: Range, system: &SystemState, cells: usize) -> Chart {
    let jobs = tables.iter().flat_map(|listed| listed.jobs(system)).map(|job| {
        let entry = job.recurring();
        // The range includes its first second.
        let first = entry.start_after(Timestamp(range.from.0 - 1));
        (Label::of(&job), std::iter::successors(first, move |at| entry.start_after(*at)))
    });
    Chart::of(jobs, range, cells, std::sync::Arc::clone(system.system_zone()))
}

fn write_svg(path: &Path, chart: &Chart, out: &mut Output) -> Result<(), Error> {
    let svg = svg::draw(chart);
    if path == Path::new("-") {
        return out.text(&svg);
    }
    std::fs::write(path, svg).map_err(|source| Error::WriteFile { path: path.to_owned(), source: source.into() })
}
