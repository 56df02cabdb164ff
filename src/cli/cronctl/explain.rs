//! `cronctl explain`: describes a schedule in English and lists its next five runs.

use super::Verdict;
use super::complaint;
use super::error::Error;
use super::output::Output;
use super::upcoming::{Recurring, Upcoming};
use super::world::World;
use crate::schedule::{self, Caution, Kind, Schedule, Seed, Timestamp};
use clap::ArgMatches;

/// The number of runs that are shown.
const RUNS: usize = 5;

/// Runs `cronctl explain`: prints schedules in words.
pub(super) fn run(matches: &ArgMatches, world: &World, out: &mut Output) -> Result<Verdict, Error> {
    let words: Vec<&str> = matches.get_many::<String>("expr").into_iter().flatten().map(String::as_str).collect();
    let from = world.moment(matches, "from").unwrap_or_else(|| world.now());
    let mut verdict = Verdict::Clean;
    for (nth, expression) in expressions(&words, world).iter().enumerate() {
        if nth > 0 {
            out.text("\n")?;
        }
        verdict = verdict.and(explain(expression, from, world, out)?);
    }
    Ok(verdict)
}

/// The arguments as one schedule. If together they are not a schedule but each of them is, as several.
fn expressions(words: &[&str], world: &World) -> Vec<String> {
    let joined = words.join(" ");
    let could_be_one = |word: &&str| word.trim().contains(char::is_whitespace) || word.starts_with('@');
    let several = words.len() > 1 && words.iter().all(could_be_one);
    if several && Schedule::parse(&joined, &seed(&joined, world)).is_err() {
        words.iter().map(|word| (*word).to_owned()).collect()
    } else {
        vec![joined]
    }
}

fn seed<'a>(expression: &'a str, world: &World) -> Seed<'a> {
    Seed { host: world.host(), table: "", entry: expression.as_bytes() }
}

fn explain(expression: &str, from: Timestamp, world: &World, out: &mut Output) -> Result<Verdict, Error> {
    let (schedule, cautions) = match Schedule::parse(expression, &seed(expression, world)) {
        Ok(prefix) => (prefix.schedule, prefix.cautions),
        Err(fault) => {
            complaint::tell_fault(expression, fault);
            return Ok(Verdict::Faulty);
        }
    };
    out.line(format_args!("{}", schedule::explain(&schedule)))?;
    show_runs(&schedule, from, world, out)?;
    show_warnings(&schedule, &cautions, from, world, out)?;
    Ok(Verdict::Clean)
}

fn show_runs(schedule: &Schedule, from: Timestamp, world: &World, out: &mut Output) -> Result<(), Error> {
    let zone = world.system_zone();
    let entry = [Recurring { schedule, zone, delay: 0 }];
    let mut runs = Upcoming::after(from, &entry).take(RUNS).map(|(at, _)| at).peekable();
    if runs.peek().is_none() {
        return Ok(());
    }
    let condition = match schedule.kind() {
        Kind::Calendar | Kind::Reboot | Kind::After => "",
        Kind::Interval { .. } => ", if each run takes no time",
    };
    out.line(format_args!("\nNext runs in {}{condition}:", zone.name()))?;
    for at in runs {
        out.line(format_args!("  {}", zone.to_rfc3339(at)))?;
    }
    Ok(())
}

fn show_warnings(
    schedule: &Schedule,
    cautions: &[Caution],
    from: Timestamp,
    world: &World,
    out: &mut Output,
) -> Result<(), Error> {
    let ahead = schedule::dst_warnings(schedule, world.system_zone(), from);
    let either_day = schedule.either_day_is_enough();
    if cautions.is_empty() && ahead.is_empty() && !either_day {
        return Ok(());
    }
    out.text("\n")?;
    if either_day {
        out.text(
            "Warning: both day fields are given, and either is enough: it runs on every day that one of them names\n",
        )?;
    }
    for Caution { message, help, .. } in cautions {
        out.line(format_args!("Warning: {message}"))?;
        if let Some(help) = help {
            out.line(format_args!("  {help}"))?;
        }
    }
    for sentence in ahead {
        out.line(format_args!("Warning: {sentence}"))?;
    }
    Ok(())
}
