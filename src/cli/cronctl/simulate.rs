//! `cronctl simulate`: lists the runs that the daemon would start over clock changes and restarts.

use super::Verdict;
use super::cli::{given, value};
use super::error::Error;
use super::output::Output;
use super::source::{self, Listed};
use super::values::{Down, Step};
use super::world::World;
use crate::crontab::{Crontab, Form, printable};
use crate::schedule::{Timestamp, Zone};
use crate::scheduler::{Owner, Scenario, Source, Started, simulate};
use clap::ArgMatches;
use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

/// Runs `cronctl simulate`.
pub(super) fn run(matches: &ArgMatches, world: &World, out: &mut Output) -> Result<Verdict, Error> {
    let (Some(&from), Some(&until)) = (value::<Timestamp>(matches, "from"), value::<Timestamp>(matches, "until"))
    else {
        return Ok(Verdict::Clean); // clap insists on both
    };
    if until < from {
        return Err(Error::Backwards);
    }
    let Some(path) = value::<PathBuf>(matches, "file") else {
        return Ok(Verdict::Clean); // and on this
    };
    let json = given(matches, "json");
    let zone = Arc::clone(world.system_zone());
    let listed = source::file(path, source::form(matches), world)?;
    let steps = matches.get_many::<Step>("step").into_iter().flatten().map(|step| (step.at, step.by));
    let down = matches.get_many::<Down>("down").into_iter().flatten().map(|down| (down.from, down.until));
    let scenario = Scenario { zone: zone.clone(), from, until, steps: steps.collect(), down: down.collect() };
    for started in simulate(scenario, || vec![load(&listed)]) {
        print(&started, &zone, json, out)?;
    }
    Ok(source::complain(std::slice::from_ref(&listed)))
}

/// Loads the crontab as the daemon does at each start.
fn load(listed: &Listed) -> (Source, Crontab) {
    let owner = if listed.form == Form::System { Owner::System } else { Owner::Caller };
    let source = Source { path: listed.name.clone(), name: listed.owner.clone(), owner };
    (source, listed.table.clone())
}

/// A start for JSON output.
#[derive(serde::Serialize)]
struct Told<'a> {
    at: String,
    shown: String,
    line: u32,
    command: Cow<'a, str>,
}

fn print(Started { at, shown, start }: &Started, zone: &Zone, json: bool, out: &mut Output) -> Result<(), Error> {
    let (at, shown) = (at.to_string(), zone.to_rfc3339(*shown));
    if json {
        out.json(&Told { at, shown, line: start.line, command: String::from_utf8_lossy(&start.command) })
    } else {
        out.line(format_args!("{at}  {shown}  {}  {}", start.line, printable(&start.command)))
    }
}
