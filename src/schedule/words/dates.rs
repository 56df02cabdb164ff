//! The part of a sentence about the days.

use super::super::bits::bits;
use super::super::days::Days;
use super::super::fields::{ALL_DAYS, ALL_MONTHS, ALL_WEEKDAYS, DayRule, Fields};
use super::lists::{and, cyclic_runs, join_with_or, numbers, ordinal};

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
const PLACES: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];
/// Monday to Friday, as bits.
const WORKING_DAYS: u8 = 0b011_1110;

/// Whether every day of every year is meant.
pub(super) fn is_every_day(fields: &Fields) -> bool {
    fields.months == ALL_MONTHS && is_any_day(fields)
}

fn is_any_day(fields: &Fields) -> bool {
    let (by_date, by_weekday) = (fields.days != ALL_DAYS, fields.weekdays != ALL_WEEKDAYS);
    match fields.rule {
        DayRule::Every => true,
        DayRule::Either => !by_date || !by_weekday,
        DayRule::Weekly | DayRule::Both => !by_date && !by_weekday,
    }
}

/// Describes the days. None: every day, which need not be said.
pub(super) fn days(fields: &Fields, days: &Days) -> Option<String> {
    let has_dates = fields.days != 0 || days.has_dates();
    let has_weekdays = fields.weekdays != 0 || days.has_weekdays();
    let (by_date, by_weekday) = (fields.days != ALL_DAYS, fields.weekdays != ALL_WEEKDAYS);
    Some(match (by_date, by_weekday, fields.rule) {
        _ if is_every_day(fields) => return None,
        _ if is_any_day(fields) => format!("every day {}", in_months(fields.months)),
        (true, true, DayRule::Either) => {
            let dates = has_dates.then(|| on_dates(fields, days));
            let weekdays = has_weekdays.then(|| on_weekdays(fields, days));
            dates.into_iter().chain(weekdays).collect::<Vec<_>>().join(" and ")
        }
        (true, true, _) => format!("{}, only if it is {}", on_dates(fields, days), is_weekday(fields.weekdays, days)),
        (true, false, _) => on_dates(fields, days),
        (false, _, _) => on_weekdays(fields, days),
    })
}

/// `on day 13 of every month`, `on the last day of February`, `on 1 June`.
fn on_dates(fields: &Fields, days: &Days) -> String {
    let plain: Vec<u32> = bits(fields.days).collect();
    if let ([day], true, 1) = (plain.as_slice(), !days.has_dates(), fields.months.count_ones()) {
        let month = bits(u32::from(fields.months)).map(month).next().unwrap_or_default();
        return format!("on {day} {month}");
    }
    let plain = (!plain.is_empty()).then(|| numbers("day", &plain));
    let from_end = bits(days.from_end).map(|before| match before {
        0 => "the last day".to_owned(),
        1 => "the day before the last day".to_owned(),
        _ => format!("the {} day before the last day", ordinal(before)),
    });
    let nearest = bits(days.nearest).map(|day| format!("the weekday nearest to day {day}"));
    let last_weekday = days.last_weekday.then(|| "the last weekday".to_owned());
    let dates = and(plain.into_iter().chain(nearest).chain(from_end).chain(last_weekday));
    format!("on {dates} {}", of_months(fields.months))
}

/// `every weekday`, `every Monday and Friday`, `every Monday in June`, `on the last Friday of every month`.
fn on_weekdays(fields: &Fields, days: &Days) -> String {
    let plain = (fields.weekdays != 0).then(|| {
        let names = format!("every {}", weekday_names(fields.weekdays));
        if fields.months == ALL_MONTHS { names } else { format!("{names} {}", in_months(fields.months)) }
    });
    let shaped = days.has_weekdays().then(|| format!("on {} {}", and(shaped_weekdays(days)), of_months(fields.months)));
    plain.into_iter().chain(shaped).collect::<Vec<_>>().join(" and ")
}

fn shaped_weekdays(days: &Days) -> Vec<String> {
    let places = PLACES.iter().zip(days.nth).chain([(&"last", days.last)]);
    places
        .flat_map(|(place, set)| bits(u32::from(set)).map(move |day| format!("the {place} {}", weekday(day))))
        .collect()
}

/// The condition on a date if both day fields must match: `a Monday`, `a weekday`, `a Monday or the last Friday of the month`.
fn is_weekday(weekdays: u8, days: &Days) -> String {
    if weekdays == WORKING_DAYS && !days.has_weekdays() {
        return "a weekday".to_owned();
    }
    let plain = bits(u32::from(weekdays)).map(|day| format!("a {}", weekday(day)));
    let shaped = shaped_weekdays(days).into_iter().map(|day| format!("{day} of the month"));
    join_with_or(plain.chain(shaped))
}

/// `weekday`, `Monday`, `day from Monday to Thursday`, `day from Friday to Monday`, `Saturday and Sunday`.
fn weekday_names(set: u8) -> String {
    let from_monday: Vec<u32> = (1..=7).filter(|day| set >> (day % 7) & 1 == 1).collect();
    match (set, cyclic_runs(&from_monday, 1, 7).as_slice()) {
        (WORKING_DAYS, _) => "weekday".to_owned(),
        (_, [run]) if run.is_range(7) => format!("day from {} to {}", weekday(run.first), weekday(run.last)),
        _ => and(from_monday.iter().map(|day| weekday(*day).to_owned())),
    }
}

fn weekday(day: u32) -> &'static str {
    WEEKDAYS.get(day as usize % 7).copied().unwrap_or_default()
}

/// `in January and July`, `from November to February`, `in January and from March to June`.
fn in_months(months: u16) -> String {
    month_parts(months, "in", "from")
}

/// `of every month`, `of January and July`, `of every month from March to June`.
fn of_months(months: u16) -> String {
    if months == ALL_MONTHS { "of every month".to_owned() } else { month_parts(months, "of", "of every month from") }
}

fn month_parts(months: u16, before_name: &str, before_range: &str) -> String {
    let set: Vec<u32> = bits(u32::from(months)).collect();
    let (ranges, single): (Vec<_>, Vec<_>) = cyclic_runs(&set, 1, 12).into_iter().partition(|run| run.is_range(12));
    let mut single: Vec<u32> = single
        .into_iter()
        .flat_map(|run| (0..run.count(12) as u32).map(move |nth| (run.first + nth - 1) % 12 + 1))
        .collect();
    single.sort_unstable();
    let names = (!single.is_empty()).then(|| format!("{before_name} {}", and(single.into_iter().map(month))));
    let ranges = ranges.into_iter().map(|run| format!("{before_range} {} to {}", month(run.first), month(run.last)));
    names.into_iter().chain(ranges).collect::<Vec<_>>().join(" and ")
}

fn month(month: u32) -> String {
    MONTHS.get((month as usize).wrapping_sub(1)).copied().unwrap_or_default().to_owned()
}
