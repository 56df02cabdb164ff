//! The zone data that `chrono-tz` carries in the program.
//!
//! The crate answers "which offset at this moment" but does not list its changes, so they are found by asking day by
//! day and halving the days on which the answer differs. Its lists end with the year 2100; the rule behind the last
//! decades is read off them and holds from then on.

use super::civil::{self, Date};
use super::rule::drop_repeats;
use super::zone::History;
use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;
use std::str::FromStr;
use tz::timezone::{AlternateTime, LocalTimeType, MonthWeekDay, RuleDay};

/// 1900-01-01: nobody's clock followed a zone before.
const FROM_DAY: i64 = -25_567;
/// 2101-01-01: the crate's lists end in 2100.
const TO_DAY: i64 = 47_847;
/// 2060-01-01: changes from here on are all made by today's rules.
const RULED_FROM: i64 = 2_840_140_800;

/// The changes of a zone.
pub(super) fn history(name: &str) -> Option<History> {
    let zone = Tz::from_str(name).ok()?;
    let first = offset(zone, FROM_DAY * 86_400)?;
    let mut changes = Vec::new();
    let mut before = first;
    for day in FROM_DAY + 1..=TO_DAY {
        let after = offset(zone, day * 86_400)?;
        if after != before {
            changes.push((change_between(zone, (day - 1) * 86_400, day * 86_400, before)?, after));
            before = after;
        }
    }
    drop_repeats(first, &mut changes);
    let rule = rule_behind(&changes);
    Some(History { first, changes, rule })
}

fn offset(zone: Tz, at: i64) -> Option<i32> {
    let at = DateTime::from_timestamp(at, 0)?.naive_utc();
    Some(zone.offset_from_utc_datetime(&at).fix().local_minus_utc())
}

/// The first second after `from` (where `before` holds) up to `to` (where it does not) with another offset.
fn change_between(zone: Tz, mut from: i64, mut to: i64, before: i32) -> Option<i64> {
    while to - from > 1 {
        let middle = from + (to - from) / 2;
        if offset(zone, middle)? == before { from = middle } else { to = middle }
    }
    Some(to)
}

/// The rule that all late changes obey, two a year.
fn rule_behind(changes: &[(i64, i32)]) -> Option<AlternateTime> {
    let late = &changes[changes.partition_point(|(at, _)| *at < RULED_FROM)..];
    let standard = late.iter().map(|(_, offset)| *offset).min()?;
    let summer = late.iter().map(|(_, offset)| *offset).max()?;
    let moments = |to: i32, before: i32| -> Vec<i64> {
        late.iter().filter(|(_, offset)| *offset == to).map(|(at, _)| at + i64::from(before)).collect()
    };
    let (starts, ends) = (moments(summer, standard), moments(standard, summer));
    if starts.len() + ends.len() != late.len() || starts.len() < 40 || ends.len() < 40 {
        return None;
    }
    let (start, end) = (common_day(&starts)?, common_day(&ends)?);
    let kind = |offset: i32| LocalTimeType::with_ut_offset(offset).ok();
    AlternateTime::new(kind(standard)?, kind(summer)?, start.0, start.1, end.0, end.1).ok()
}

/// The day and the second of the day that all these local moments are. Midnight may be meant as the end of the day
/// before: "the first Saturday, 24:00" has no name as a Sunday.
fn common_day(moments: &[i64]) -> Option<(RuleDay, i32)> {
    [0, 1].into_iter().find_map(|days_before| {
        let first = *moments.first()? - days_before * 86_400;
        let second = first.rem_euclid(86_400);
        let (mut is_last, mut is_nth) = (true, true);
        let Date { month, day, .. } = Date::of(first.div_euclid(86_400) as i32);
        let (weekday, nth) = (civil::weekday(first.div_euclid(86_400) as i32), (day - 1) / 7);
        for moment in moments {
            let local = moment - days_before * 86_400;
            let number = local.div_euclid(86_400) as i32;
            let date = Date::of(number);
            if (local.rem_euclid(86_400), date.month, civil::weekday(number)) != (second, month, weekday) {
                return None;
            }
            is_nth &= (date.day - 1) / 7 == nth;
            is_last &= date.day + 7 > civil::month_length(date.year, month);
        }
        let week = if is_nth { nth + 1 } else { 5 };
        let day = MonthWeekDay::new(month as u8, week as u8, weekday as u8).ok().filter(|_| is_nth || is_last)?;
        Some((RuleDay::MonthWeekDay(day), (second + days_before * 86_400) as i32))
    })
}
