//! The zone data that the program carries, those of the crate `chrono-tz`, for machines without zone files.
//!
//! The crate returns the offset at a moment but does not list the changes, so they are searched for when a zone is first used. Its data end
//! with the year 2100; the rule behind the last decades is read off them and holds from then on.

use super::civil::{self, Date};
use super::history::History;
use super::rule::drop_repeats;
use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;
use tz::timezone::{AlternateTime, LocalTimeType, MonthWeekDay, RuleDay};

/// 1900-01-01: zones are not needed for earlier times.
const FROM: i64 = -2_208_988_800;
/// 2101-01-01: the crate's data end in 2100.
const TO: i64 = 4_133_980_800;
/// 2060-01-01: all later changes follow the present rules.
const RULED_FROM: i64 = 2_840_140_800;
/// Seconds between two samples: five days. An offset that holds for less time than that and gives way to the one before it is not found. The
/// shortest that a zone has had held for almost seven days. A table may name each of the 600 zones, so that their number counts.
const STEP: i64 = 5 * 86_400;

/// Whether there is a zone of that name.
pub(super) fn has(name: &str) -> bool {
    name.parse::<Tz>().is_ok()
}

/// The changes of a zone.
pub(super) fn history(name: &str) -> Option<History> {
    let zone: Tz = name.parse().ok()?;
    let (first, mut changes) = find_changes(|at| offset(zone, at), FROM, TO);
    drop_repeats(first, &mut changes);
    let rule = rule_behind(&changes);
    Some(History { first, changes, rule })
}

/// The zone's offset at a moment, in seconds east of UTC.
fn offset(zone: Tz, at: i64) -> i32 {
    let at = DateTime::from_timestamp(at, 0).unwrap_or_default();
    zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()
}

/// The offset at `from`, and all changes up to `to`: the first seconds with another offset, and that offset.
fn find_changes(offset: impl Fn(i64) -> i32, from: i64, to: i64) -> (i32, Vec<(i64, i32)>) {
    let first = offset(from);
    let (mut at, mut before, mut changes) = (from, first, Vec::new());
    while at < to {
        let next = (at + STEP).min(to);
        if offset(next) == before {
            at = next;
            continue;
        }
        // `before` holds at `same`, and not at `other`.
        let (mut same, mut other) = (at, next);
        while other - same > 1 {
            let middle = same + (other - same) / 2;
            if offset(middle) == before { same = middle } else { other = middle }
        }
        // The next change may come before the end of this step.
        (at, before) = (other, offset(other));
        changes.push((at, before));
    }
    (first, changes)
}

/// The rule that all late changes follow, two a year.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_that_follow_each_other_within_a_day_are_all_found() {
        const HOUR: i64 = 3600;
        for times in [
            vec![(10 * HOUR, 60), (11 * HOUR, 120)],
            vec![(10 * HOUR, 60), (10 * HOUR + STEP, 0)],
            vec![(10 * HOUR + 1, 60), (10 * HOUR + 2, 120), (10 * HOUR + 3, 180)],
            vec![(1, 60), (2 * STEP, 0)],
        ] {
            let offset = |at: i64| times.iter().rev().find(|(from, _)| *from <= at).map_or(0, |(_, offset)| *offset);
            assert_eq!(find_changes(offset, 0, 2 * STEP), (0, times.clone()));
        }
    }

    #[test]
    fn a_zone_is_asked_for_few_of_its_offsets_and_has_every_change() {
        for zone in chrono_tz::TZ_VARIANTS.into_iter().step_by(15) {
            let count = std::cell::Cell::new(0);
            let counted = |at| {
                count.set(count.get() + 1);
                offset(zone, at)
            };
            let (_, changes) = find_changes(counted, FROM, TO);
            assert!(count.get() < 30_000, "{zone}: {}", count.get());
            let (mut day, mut index) = (FROM, 0);
            while day < TO {
                while changes.get(index).is_some_and(|(at, _)| *at <= day) {
                    index += 1;
                }
                let known = index.checked_sub(1).map_or_else(|| offset(zone, FROM), |last| changes[last].1);
                assert_eq!(known, offset(zone, day), "{zone} at {day}");
                day += 86_400;
            }
        }
    }

    #[test]
    fn zones_of_the_crate_have_the_offsets_that_the_crate_tells() {
        let mut rng = fastrand::Rng::with_seed(2100);
        for zone in chrono_tz::TZ_VARIANTS.into_iter().step_by(20) {
            let ours = super::super::Zone::embedded(zone.name()).unwrap();
            // Up to 2100-01-01: the crate knows no later changes, and the rule does.
            for _ in 0..200 {
                let at = rng.i64(FROM..4_102_444_800);
                assert_eq!(ours.offset_at(super::super::Timestamp(at)), offset(zone, at), "{zone} at {at}");
            }
        }
    }
}
