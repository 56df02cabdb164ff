//! Describes a schedule in an English sentence.
//!
//! The sentences are read by programs too: a test takes them apart again and compares the result with the schedule. So each form says all,
//! and says it in one way only.

mod dates;
mod lists;
mod times;

use super::bits::bits;
use super::calendar::{Form, Schedule};
use super::days::Days;
use super::dst_policy::DstPolicy;
use super::duration::in_words;
use super::fields::Fields;
use super::jitter::RandomValues;
use super::parse::Prefix;
use super::quartz::Quartz;
use cron::TimeUnitSpec;
pub use lists::join_with_or;
use lists::{Run, and, ends, even_steps, lower_first, ordinal, runs};
use times::Times;

/// Describes the schedule: `At 02:30 every weekday`.
pub fn explain(schedule: &Schedule) -> String {
    match &schedule.0 {
        Form::Plain(fields) => five_fields(schedule, fields, &Days::default()),
        Form::Shaped(shaped) => five_fields(schedule, &shaped.0, &shaped.1),
        Form::Quartz(quartz) => seven_fields(quartz),
        Form::EverySecond => "Every second".to_owned(),
        Form::Interval(seconds) => format!("{} after the end of the previous run", in_words(*seconds)),
        Form::Reboot => "Once after each boot".to_owned(),
        Form::After(jobs) => {
            let have = if jobs.len() == 1 { "has" } else { "have" };
            format!("When {} {have} ended successfully", and(jobs.iter().map(|job| job.to_string())))
        }
    }
}

/// Describes a schedule as it is written. Values that are drawn for each entry (`~`) are described as such, and a range that runs backwards
/// is named.
pub fn explain_as_written(prefix: &Prefix) -> String {
    let (fields, days) = match &prefix.schedule.0 {
        Form::Plain(fields) => (fields, &Days::default()),
        Form::Shaped(shaped) => (&shaped.0, &shaped.1),
        Form::Quartz(_) | Form::EverySecond | Form::Interval(_) | Form::Reboot | Form::After(_) => {
            return explain(&prefix.schedule);
        }
    };
    match prefix.reversed.as_deref() {
        Some(range) if prefix.schedule.never_matches() && empty_unit(fields, days).is_some() => {
            format!("Never, because the range {range} runs backwards")
        }
        _ => with_drawn(prefix, fields, days),
    }
}

fn five_fields(schedule: &Schedule, fields: &Fields, days: &Days) -> String {
    if let Some(unit) = empty_unit(fields, days).filter(|_| schedule.never_matches()) {
        return format!("Never, because the range of {unit} runs backwards");
    }
    let sentence = sentence(&[0], fields, days, None);
    if schedule.never_matches() { never(&sentence) } else { sentence }
}

/// The first unit of which no value matches.
fn empty_unit(fields: &Fields, days: &Days) -> Option<&'static str> {
    let is_empty = [
        ("minutes", fields.minutes == 0),
        ("hours", fields.hours == 0),
        ("months", fields.months == 0),
        ("days of the month", fields.days == 0 && !days.has_dates()),
        ("days of the week", fields.weekdays == 0 && !days.has_weekdays()),
    ];
    is_empty.into_iter().find(|(_, is_empty)| *is_empty).map(|(unit, _)| unit)
}

fn never(sentence: &str) -> String {
    format!("Never, because there is no such date: {}", lower_first(sentence))
}

/// The sentence for fields of which none is empty.
fn sentence(seconds: &[u32], fields: &Fields, days: &Days, years: Option<String>) -> String {
    let every_day = dates::is_every_day(fields);
    let times = Times::of(seconds, &minutes(fields), &hours(fields), every_day && years.is_none());
    let (blank, days) = match dates::days(fields, days) {
        Some(days) => (if times.is_clock { " " } else { ", " }, days),
        None if times.is_clock => (" ", "every day".to_owned()),
        None => ("", String::new()),
    };
    let years = years.map(|years| format!(", {years}")).unwrap_or_default();
    format!("{}{blank}{days}{years}", times.text)
}

fn minutes(fields: &Fields) -> Vec<u32> {
    (0..60).filter(|minute| fields.minutes >> minute & 1 == 1).collect()
}

fn hours(fields: &Fields) -> Vec<u32> {
    bits(fields.hours).collect()
}

/// Describes five fields with drawn values: in words of their own if only times are drawn, else by an example.
fn with_drawn(prefix: &Prefix, fields: &Fields, days: &Days) -> String {
    let plain = explain(&prefix.schedule);
    let day_words = dates::days(fields, days);
    let (hours, any_hour) = (hours(fields), fields.hours.count_ones() == 24);
    match prefix.drawn.as_slice() {
        [] => plain,
        [minute] if minute.is_only_value_of("minute") => {
            let (low, high) = (minute.low, minute.high);
            let drawn = if minute.is_any() { "a minute" } else { &format!("a minute from {low} to {high}") };
            match hours.as_slice() {
                _ if any_hour => {
                    format!("Once an hour, at {drawn} fixed for each entry{}", after_comma(day_words.as_deref()))
                }
                [hour] => {
                    let day_words = day_words.unwrap_or_else(|| "every day".to_owned());
                    format!(
                        "Once from {hour:02}:{low:02} to {hour:02}:{high:02} {day_words}, at a minute fixed for each entry"
                    )
                }
                _ => format!(
                    "Once an hour in {}, at {drawn} fixed for each entry{}",
                    lists::numbers("hour", &hours),
                    after_comma(day_words.as_deref())
                ),
            }
        }
        [minute, hour] if minute.is_only_value_of("minute") && minute.is_any() && hour.is_only_value_of("hour") => {
            let when = day_words.unwrap_or_else(|| "a day".to_owned());
            let from = match hour.is_any() {
                true => String::new(),
                false => format!(" from {:02}:00 to {:02}:59", hour.low, hour.high),
            };
            format!("Once {when}, at a time{from} fixed for each entry")
        }
        [minutes] if minutes.unit == "minute" && minutes.is_any() && minutes.is_alone && any_hour => match minutes.step
        {
            Some(step) if 60 % step == 0 => format!(
                "{}, at an offset fixed for each entry{}",
                lists::every(step, "minute"),
                after_comma(day_words.as_deref())
            ),
            _ => example(&prefix.drawn, &plain),
        },
        drawn => example(drawn, &plain),
    }
}

fn after_comma(words: Option<&str>) -> String {
    words.map(|words| format!(", {words}")).unwrap_or_default()
}

fn example(drawn: &[RandomValues], sentence: &str) -> String {
    let values = and(drawn.iter().map(|drawn| {
        let article = if drawn.unit == "hour" { "an" } else { "a" };
        let every = drawn.step.map(|step| format!(", every {step}")).unwrap_or_default();
        format!("{article} {} from {} to {}{every}", drawn.unit, drawn.name(drawn.low), drawn.name(drawn.high))
    }));
    format!("With {values}, fixed for each entry; for example {}", lower_first(sentence))
}

/// Describes a `@quartz` schedule: the same, with seconds at the beginning and years at the end.
fn seven_fields(quartz: &Quartz) -> String {
    let schedule = quartz.schedule();
    let set = |unit: &dyn Fn(u32) -> bool, to: u32| {
        (0..to).filter(|value| unit(*value)).fold(0u64, |set, bit| set | 1 << bit)
    };
    let fields = Fields::new(
        set(&|value| schedule.minutes().includes(value), 60),
        set(&|value| schedule.hours().includes(value), 24) as u32,
        set(&|value| schedule.days_of_month().includes(value), 32) as u32,
        set(&|value| schedule.months().includes(value), 13) as u16,
        // Quartz counts the days of the week from Sunday, 1.
        (set(&|value| schedule.days_of_week().includes(value), 8) >> 1) as u8,
        true,
        DstPolicy::Fixed,
    );
    let seconds: Vec<u32> = schedule.seconds().iter().collect();
    let sentence = sentence(&seconds, &fields, &Days::default(), in_years(schedule));
    if quartz.next(i64::MIN).is_none() { never(&sentence) } else { sentence }
}

/// `in 2027 and 2029`, `from 2027 to 2030`, `in 2027 and from 2030 to 2035`, `every 2nd year from 2020 to 2100`.
fn in_years(schedule: &cron::Schedule) -> Option<String> {
    if schedule.years().is_all() {
        return None;
    }
    let years: Vec<u32> = schedule.years().iter().collect();
    if let Some(step) = even_steps(&years) {
        let (first, last) = ends(&years);
        return Some(format!("every {} year from {first} to {last}", ordinal(step)));
    }
    let (ranges, single): (Vec<Run>, Vec<Run>) = runs(&years).into_iter().partition(|run| run.first < run.last);
    let names = (!single.is_empty()).then(|| format!("in {}", and(single.iter().map(|run| run.first.to_string()))));
    let ranges = ranges.iter().map(|run| format!("from {} to {}", run.first, run.last));
    Some(names.into_iter().chain(ranges).collect::<Vec<_>>().join(" and "))
}

#[cfg(test)]
mod tests;
