//! `@quartz` and seven fields (second, minute, hour, day of month, month, day of week, year), parsed and searched by the
//! crate `cron`.
//!
//! Three things that Quartz accepts are rewritten for the crate: no year, a step without a range (`/5`), and a range that goes past the end
//! (`22-2`, `fri-mon`). Its `L`, `W` and `#` are not supported; [`advice`] says what to write instead.

use super::dst_policy::DstPolicy;
use super::unit::{HOUR, MINUTE, MONTH, Unit, WEEKDAY};
use chrono::{DateTime, Utc};
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// A seven-field schedule. Two are equal if their texts are equal, whitespace ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Quartz {
    schedule: cron::Schedule,
    style: DstPolicy,
    repeats_in_folds: bool,
}

/// The first second of 1970: the crate supports no earlier year.
const FIRST_SECOND: i64 = 0;
/// The first second of 2101: the crate supports no later year than 2100.
const END: i64 = 4_133_980_800;

/// The number of fields, the year included.
pub(super) const FIELDS: usize = 7;
/// The position of the day of the month among the fields.
const DAY: usize = 3;
/// The position of the day of the week among the fields.
const DAY_OF_WEEK: usize = 5;
/// The position of the year among the fields.
const YEAR: usize = 6;

impl Quartz {
    /// Parses seven fields, or six without a year.
    pub fn parse(fields: &[&str]) -> Result<Quartz, cron::error::Error> {
        let mut rewritten: Vec<String> =
            fields.iter().enumerate().map(|(index, field)| rewrite(index, field)).collect();
        if rewritten.len() == YEAR {
            rewritten.push("*".to_owned());
        }
        let schedule = cron::Schedule::from_str(&rewritten.join(" "))?;
        let is_wild = |field: &String| field.starts_with('*');
        let style = if rewritten.iter().take(3).any(is_wild) { DstPolicy::Wildcard } else { DstPolicy::Fixed };
        Ok(Quartz { schedule, style, repeats_in_folds: rewritten.iter().take(2).any(is_wild) })
    }

    /// The policy for clock changes. As for any schedule, it depends on whether a field finer than the day begins with `*`.
    pub fn style(&self) -> DstPolicy {
        self.style
    }

    /// Whether times that local clocks show twice are due twice: the second or the minute begins with `*`, so that the schedule goes on
    /// through the repeated hour.
    pub fn repeats_in_folds(&self) -> bool {
        self.repeats_in_folds
    }

    /// The schedule in the crate's own form.
    pub fn schedule(&self) -> &cron::Schedule {
        &self.schedule
    }

    /// The first local second after `after` (exclusive) that matches, without regard to a zone.
    pub fn next(&self, after: i64) -> Option<i64> {
        // Local time is passed as if it were UTC: only the crate's calendar is used, zones are handled by [`super::wall`].
        let after: DateTime<Utc> = DateTime::from_timestamp(after.clamp(FIRST_SECOND - 1, END), 0)?;
        self.schedule.after(&after).next().map(|at| at.timestamp())
    }
}

impl Hash for Quartz {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.schedule.source().hash(state);
    }
}

/// Whether a word can only be the seventh field. A command begins differently.
pub(super) fn is_year(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_digit() || "*?/".contains(first))
        && word.chars().all(|c| c.is_ascii_digit() || "*?,-/".contains(c))
}

/// What to write for a field that has `L`, `W` or `#`, of six or seven fields. `is_usable` says whether five fields are a schedule that can match.
pub(super) fn advice(fields: &[&str], is_usable: impl Fn(&str) -> bool) -> Option<String> {
    let field = |index: usize| fields.get(index).copied().unwrap_or("*");
    let has = |index: usize, letters: &str| field(index).contains(|c: char| letters.contains(c.to_ascii_uppercase()));
    let is_shape = |item: &str| {
        let item = item.to_ascii_uppercase();
        item.ends_with('L') && WEEKDAY.value_of(item.as_bytes()).is_none() || item.contains('#')
    };
    let has_shape = has(DAY, "LW") || field(DAY_OF_WEEK).split(',').any(is_shape);
    if !has_shape {
        return None;
    }
    let any = |text: &str| if text == "?" { "*".to_owned() } else { text.to_owned() };
    let weekdays: Option<Vec<String>> = field(DAY_OF_WEEK).split(',').map(from_sunday_0).collect();
    let is_plain = field(0) == "0" && matches!(field(YEAR), "*" | "?");
    let proposal = weekdays.filter(|_| is_plain).map(|weekdays| {
        let days = [field(1), field(2), field(DAY), field(4)].map(any).join(" ");
        format!("{days} {}", weekdays.join(","))
    });
    Some(match proposal.filter(|proposal| is_usable(proposal)) {
        Some(proposal) => format!("@quartz has no L, W and #, five fields have: {proposal}"),
        None => "@quartz has no L, W and #, five fields have, without seconds and years: 0 12 L * *".to_owned(),
    })
}

/// An item of the day of the week, Sunday being 1, with Sunday as 0.
fn from_sunday_0(item: &str) -> Option<String> {
    // Alone it is the last day of the week, a Saturday.
    if item.eq_ignore_ascii_case("L") {
        return Some("6".to_owned());
    }
    let is_number = item.starts_with(|first: char| first.is_ascii_digit());
    if !is_number {
        return Some(if item == "?" { "*".to_owned() } else { item.to_owned() });
    }
    if item.contains(['-', '/']) {
        return None;
    }
    let end = item.find(|c: char| !c.is_ascii_digit()).unwrap_or(item.len());
    let (number, rest) = item.split_at_checked(end)?;
    let weekday = number.parse::<u32>().ok()?.checked_sub(1)?;
    Some(format!("{weekday}{rest}"))
}

/// A field as the crate reads it.
fn rewrite(index: usize, field: &str) -> String {
    let items = field.split(',').map(|item| match item.strip_prefix('/') {
        Some(step) => format!("*/{step}"),
        None => past_the_end(index, item).unwrap_or_else(|| item.to_owned()),
    });
    items.collect::<Vec<_>>().join(",")
}

/// The values of a range that goes past the end of its unit, as a list.
fn past_the_end(index: usize, item: &str) -> Option<String> {
    const DAYS: (u32, u32) = (1, 31);
    let (min, max, unit): (u32, u32, Option<&Unit>) = match index {
        0 | 1 => (MINUTE.min, MINUTE.max, None),
        2 => (HOUR.min, HOUR.max, None),
        DAY => (DAYS.0, DAYS.1, None),
        4 => (MONTH.min, MONTH.max, Some(&MONTH)),
        DAY_OF_WEEK => (1, 7, Some(&WEEKDAY)),
        _ => return None,
    };
    let (range, step) = item.split_once('/').unwrap_or((item, "1"));
    let (low, high) = range.split_once('-')?;
    let value = |text: &str| {
        let named = unit.and_then(|unit| Some(unit.value_of(text.as_bytes())? - unit.min + min));
        named.or_else(|| text.parse().ok()).filter(|value| (min..=max).contains(value))
    };
    let (low, high) = (value(low)?, value(high)?);
    let step = step.parse::<u32>().ok().filter(|step| *step > 0)?;
    if low <= high {
        return None;
    }
    let count = max - min + 1;
    let values = (low..=high + count).step_by(usize::try_from(step).ok()?);
    let values: Vec<String> = values.map(|value| ((value - min) % count + min).to_string()).collect();
    Some(values.join(","))
}
