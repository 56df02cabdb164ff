//! Describes a schedule in an English sentence.

use super::bits::bits;
use super::calendar::{Form, Schedule};
use super::days::Days;
use super::dst_policy::DstPolicy;
use super::fields::{ALL_DAYS, ALL_MONTHS, ALL_WEEKDAYS, DayRule, Fields};
use super::quartz::Quartz;
use cron::TimeUnitSpec;

const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// Monday to Friday, as bits.
const WORKING_DAYS: u8 = 0b011_1110;
/// At most this many times of day are listed individually.
const MOST_TIMES: usize = 6;

/// Describes the schedule: `At 02:30 on every weekday`.
pub fn explain(schedule: &Schedule) -> String {
    match &schedule.0 {
        Form::Plain(fields) => five_fields(schedule, fields, &Days::default()),
        Form::Shaped(shaped) => five_fields(schedule, &shaped.0, &shaped.1),
        Form::Quartz(quartz) => seven_fields(quartz),
        Form::EverySecond => "Every second".to_owned(),
        Form::Interval(seconds) => format!("{} after the end of the previous run", duration(*seconds)),
        Form::Reboot => "Once after each boot".to_owned(),
        Form::After(jobs) => {
            let have = if jobs.len() == 1 { "has" } else { "have" };
            format!("When {} {have} ended successfully", and(jobs.iter().map(|job| job.to_string())))
        }
    }
}

fn five_fields(schedule: &Schedule, fields: &Fields, days: &Days) -> String {
    let time = Time::of(fields);
    let sentence = format!("{}{}", time.text, when(fields, days, time.is_clock));
    if schedule.never_matches() { never(&sentence) } else { sentence }
}

fn never(sentence: &str) -> String {
    format!("Never, because there is no such date: {}", lower_first(sentence))
}

/// The part about the time of day.
struct Time {
    text: String,
    /// Whether the text names times of day, so that "every day" has to be added.
    is_clock: bool,
}

impl Time {
    fn of(fields: &Fields) -> Time {
        let minutes: Vec<u32> = (0..60).filter(|minute| fields.minutes >> minute & 1 == 1).collect();
        let hours: Vec<u32> = bits(fields.hours).collect();
        if !minutes.is_empty() && minutes.len() * hours.len() <= MOST_TIMES {
            let times = hours.iter().flat_map(|hour| minutes.iter().map(move |minute| clock(*hour, *minute)));
            return Time { text: format!("At {}", and(times)), is_clock: true };
        }
        let text = match even_step(&minutes, 60) {
            Some(step) => every_step(step, &minutes, &hours),
            None => format!("At {} past {}", numbers("minute", &minutes), past(&hours)),
        };
        Time { text, is_clock: false }
    }
}

/// Describes minutes that are evenly spaced over the whole hour.
fn every_step(step: u32, minutes: &[u32], hours: &[u32]) -> String {
    let (first, last) = ends(minutes);
    let every = if step == 1 { "Every minute".to_owned() } else { format!("Every {step} minutes") };
    let from_minute = if first == 0 { String::new() } else { format!(" from minute {first}") };
    match run(hours) {
        _ if hours.len() == 24 && first == 0 => every,
        _ if hours.len() == 24 => format!("{every}{from_minute} past every hour"),
        Some((from, to)) => format!("{every} from {} to {}", clock(from, first), clock(to, last)),
        None => format!("{every}{from_minute} past {}", past(hours)),
    }
}

/// `every hour`, `every 2nd hour`, `every hour from 9 to 17`, `hours 1, 5 and 6`.
fn past(hours: &[u32]) -> String {
    let (first, _) = ends(hours);
    match (even_step(hours, 24), run(hours)) {
        (Some(1), _) => "every hour".to_owned(),
        (Some(step), _) if first == 0 => format!("every {} hour", ordinal(step)),
        (Some(step), _) => format!("every {} hour from hour {first}", ordinal(step)),
        (None, Some((from, to))) if to - from >= 2 => format!("every hour from {from} to {to}"),
        (None, _) => numbers("hour", hours),
    }
}

/// `minute 5`, `minutes 0 and 30`, `every minute from 0 to 15`, `every 7th minute from 0 to 56`.
fn numbers(unit: &str, values: &[u32]) -> String {
    let (first, last) = ends(values);
    match (values, even_distance(values)) {
        ([], _) => format!("no {unit}"),
        ([one], _) => format!("{unit} {one}"),
        (_, Some(1)) if values.len() >= 3 => format!("every {unit} from {first} to {last}"),
        (_, Some(step)) if values.len() > 4 => format!("every {} {unit} from {first} to {last}", ordinal(step)),
        _ => format!("{unit}s {}", and(values.iter().map(u32::to_string))),
    }
}

/// The part about the days, with a leading blank.
fn when(fields: &Fields, days: &Days, is_clock: bool) -> String {
    let by_date = fields.days != ALL_DAYS;
    let by_weekday = fields.weekdays != ALL_WEEKDAYS;
    match (by_date, by_weekday, fields.rule) {
        (_, _, DayRule::Every) | (false, false, _) => every_day(fields.months, is_clock),
        (false, _, DayRule::Either) | (_, false, DayRule::Either) => every_day(fields.months, is_clock),
        (true, false, _) => format!(" {}", on_dates(fields, days)),
        (false, true, _) => format!(" {}", on_weekdays(fields, days)),
        (true, true, DayRule::Either) => format!(" {} or {}", on_dates(fields, days), on_weekdays(fields, days)),
        (true, true, _) => format!(" {}, only if it is {}", on_dates(fields, days), is_weekday(fields.weekdays, days)),
    }
}

fn every_day(months: u16, is_clock: bool) -> String {
    match (is_clock, months == ALL_MONTHS) {
        (true, true) => " every day".to_owned(),
        (true, false) => format!(" every day in {}", month_names(months)),
        (false, true) => String::new(),
        (false, false) => format!(" in {}", month_names(months)),
    }
}

/// `on day 13 of the month`, `on the last day of February`.
fn on_dates(fields: &Fields, days: &Days) -> String {
    let plain: Vec<u32> = bits(fields.days).collect();
    if let ([day], true, 1) = (plain.as_slice(), days.is_empty(), fields.months.count_ones()) {
        return format!("on {day} {}", month_names(fields.months));
    }
    let plain = (!plain.is_empty()).then(|| match (even_distance(&plain), ends(&plain)) {
        (Some(1), (first, last)) if plain.len() >= 3 => format!("days {first} to {last}"),
        _ => numbers("day", &plain),
    });
    let from_end = bits(days.from_end).map(|before| match before {
        0 => "the last day".to_owned(),
        1 => "the day before the last day".to_owned(),
        _ => format!("the {} day before the last day", ordinal(before)),
    });
    let nearest = bits(days.nearest).map(|day| format!("the weekday nearest to day {day}"));
    let last_weekday = days.last_weekday.then(|| "the last weekday".to_owned());
    format!(
        "on {} {}",
        and(plain.into_iter().chain(nearest).chain(from_end).chain(last_weekday)),
        of_months(fields.months)
    )
}

/// `on every weekday`, `on Monday and Friday`, `on the last Friday of the month`, `on Monday in June`.
fn on_weekdays(fields: &Fields, days: &Days) -> String {
    let plain = (fields.weekdays != 0).then(|| weekday_names(fields.weekdays));
    if !days.has_weekdays() {
        let months =
            if fields.months == ALL_MONTHS { String::new() } else { format!(" in {}", month_names(fields.months)) };
        return format!("on {}{months}", plain.unwrap_or_else(|| "no day of the week".to_owned()));
    }
    format!("on {} {}", and(plain.into_iter().chain(shaped_weekdays(days))), of_months(fields.months))
}

fn shaped_weekdays(days: &Days) -> Vec<String> {
    const PLACES: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];
    let places = PLACES.iter().zip(days.nth).chain([(&"last", days.last)]);
    places
        .flat_map(|(place, set)| bits(u32::from(set)).map(move |day| format!("the {place} {}", weekday(day))))
        .collect()
}

/// The condition on a date if both day fields must match: `a Monday`, `a weekday`, `a Monday or a Friday`.
fn is_weekday(weekdays: u8, days: &Days) -> String {
    if weekdays == WORKING_DAYS && !days.has_weekdays() {
        return "a weekday".to_owned();
    }
    let plain = bits(u32::from(weekdays)).map(|day| format!("a {}", weekday(day)));
    or(plain.chain(shaped_weekdays(days)))
}

/// `every weekday`, `Monday`, `Monday to Thursday`, `Saturday and Sunday`.
fn weekday_names(set: u8) -> String {
    let from_monday: Vec<u32> = (1..=7).filter(|day| set >> (day % 7) & 1 == 1).collect();
    match (set, run(&from_monday)) {
        (WORKING_DAYS, _) => "every weekday".to_owned(),
        (_, Some((from, to))) if to - from >= 2 => format!("every day from {} to {}", weekday(from), weekday(to)),
        _ => and(from_monday.iter().map(|day| weekday(*day).to_owned())),
    }
}

fn weekday(day: u32) -> &'static str {
    WEEKDAYS.get(day as usize % 7).copied().unwrap_or_default()
}

fn of_months(months: u16) -> String {
    if months == ALL_MONTHS { "of the month".to_owned() } else { format!("of {}", month_names(months)) }
}

/// `January`, `January and July`, `every month from June to August`, `every 3rd month from January`.
fn month_names(months: u16) -> String {
    let set: Vec<u32> = bits(u32::from(months)).collect();
    let name = |month: u32| MONTHS.get((month as usize).wrapping_sub(1)).copied().unwrap_or_default();
    match run(&set) {
        Some((from, to)) if to - from >= 2 => format!("every month from {} to {}", name(from), name(to)),
        _ if set.is_empty() => "no month".to_owned(),
        _ => and(set.iter().map(|month| name(*month).to_owned())),
    }
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
    let time = Time::of(&fields);
    let every_minute = time.text == "Every minute";
    let text = match (seconds.as_slice(), even_step(&seconds, 60)) {
        ([0], _) => time.text.clone(),
        (_, Some(1)) if every_minute => "Every second".to_owned(),
        (_, Some(1)) => format!("Every second, {}", lower_first(&time.text)),
        (_, Some(step)) if every_minute && seconds.first() == Some(&0) => format!("Every {step} seconds"),
        _ => format!("At {}, {}", numbers("second", &seconds), lower_first(&time.text)),
    };
    let sentence = format!("{text}{}{}", when(&fields, &Days::default(), time.is_clock), in_years(schedule));
    if quartz.next(i64::MIN).is_none() { never(&sentence) } else { sentence }
}

fn in_years(schedule: &cron::Schedule) -> String {
    if schedule.years().is_all() {
        return String::new();
    }
    let years: Vec<u32> = schedule.years().iter().collect();
    match run(&years) {
        Some((from, to)) if to > from => format!(" from {from} to {to}"),
        _ => format!(" in {}", and(years.iter().map(u32::to_string))),
    }
}

/// `30 seconds`, `5 minutes`, `1 hour`.
fn duration(seconds: u32) -> String {
    let (number, unit) = match seconds {
        _ if seconds.is_multiple_of(86_400) => (seconds / 86_400, "day"),
        _ if seconds.is_multiple_of(3600) => (seconds / 3600, "hour"),
        _ if seconds.is_multiple_of(60) => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

fn clock(hour: u32, minute: u32) -> String {
    format!("{hour:02}:{minute:02}")
}

fn ends(values: &[u32]) -> (u32, u32) {
    (values.first().copied().unwrap_or(0), values.last().copied().unwrap_or(0))
}

/// The distance between neighbouring values, if it is always the same.
fn even_distance(values: &[u32]) -> Option<u32> {
    let mut distances = values.windows(2).map(|pair| pair[1] - pair[0]);
    let first = distances.next()?;
    distances.all(|distance| distance == first).then_some(first)
}

/// The same, if the distance from the last value to the first one of the next unit is equal too.
fn even_step(values: &[u32], unit: u32) -> Option<u32> {
    let (first, last) = ends(values);
    even_distance(values).filter(|step| first + unit - last == *step)
}

/// The first and the last value, if there is no gap between them.
fn run(values: &[u32]) -> Option<(u32, u32)> {
    let (first, last) = ends(values);
    (!values.is_empty() && (last - first) as usize == values.len() - 1).then_some((first, last))
}

fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (1, rest) if rest != 11 => "st",
        (2, rest) if rest != 12 => "nd",
        (3, rest) if rest != 13 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

fn and(items: impl Iterator<Item = String>) -> String {
    joined(items, "and")
}

fn or(items: impl Iterator<Item = String>) -> String {
    joined(items, "or")
}

fn joined(items: impl Iterator<Item = String>, conjunction: &str) -> String {
    let items: Vec<String> = items.collect();
    match items.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} {conjunction} {last}", most.join(", ")),
    }
}

fn lower_first(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests;
