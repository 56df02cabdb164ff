//! `cronctl timeline`: draws a chart of when entries run.

mod chart;
mod svg;
mod terminal;

use super::Verdict;
use super::cli::value;
use super::error::Error;
use super::output::Output;
use super::source::{self, Listed};
use super::world::World;
use crate::schedule::Timestamp;
use chart::{Chart, Range};
use clap::ArgMatches;
use std::path::{Path, PathBuf};

/// The longest range that is drawn. In a longer one, minutes could not be distinguished.
const MOST_DAYS: i64 = 400;
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Draws on the terminal or to an SVG file.
pub(super) fn run(matches: &ArgMatches, world: &World, out: &mut Output) -> Result<Verdict, Error> {
    let range = range(matches, world)?;
    let tables = source::of(matches, world)?;
    match value::<PathBuf>(matches, "svg") {
        Some(path) => write_svg(path, &chart(&tables, range, world, svg::cells(range)), out)?,
        None => {
            let terminal = terminal::Terminal::of(out);
            let layout = terminal.layout(&labels(&tables, world), range.minutes());
            out.text(&terminal::draw(&chart(&tables, range, world, layout.cells), &layout, terminal))?;
        }
    }
    Ok(source::complain(&tables))
}

/// The range to draw, in whole minutes. The default is a day from the start of the current hour.
fn range(matches: &ArgMatches, world: &World) -> Result<Range, Error> {
    let whole_minute = |moment: Timestamp| moment.0.div_euclid(MINUTE) * MINUTE;
    let this_hour = || world.now().0.div_euclid(HOUR) * HOUR;
    let from = world.moment(matches, "from").map_or_else(this_hour, whole_minute);
    let until = world.moment(matches, "until").map_or(from + DAY, whole_minute);
    match until - from {
        ..=0 => Err(Error::Backwards),
        length if length > MOST_DAYS * DAY => Err(Error::TooLong { days: MOST_DAYS }),
        _ => Ok(Range { from: Timestamp(from), until: Timestamp(until) }),
    }
}

fn labels(tables: &[Listed], world: &World) -> Vec<chart::Label> {
    tables.iter().flat_map(|listed| listed.jobs(world)).map(|job| chart::Label::of(&job)).collect()
}

fn chart(tables: &[Listed], range: Range, world: &World, cells: usize) -> Chart {
    let jobs = tables.iter().flat_map(|listed| listed.jobs(world));
    Chart::of(jobs, range, cells, std::sync::Arc::clone(world.system_zone()))
}

fn write_svg(path: &Path, chart: &Chart, out: &mut Output) -> Result<(), Error> {
    let svg = svg::draw(chart);
    if path == Path::new("-") {
        return out.text(&svg);
    }
    std::fs::write(path, svg).map_err(|source| Error::WriteSvg { path: path.to_owned(), source })
}
