//! The zone data that the program carries: those of `chrono-tz`, made one table by `src/build.rs`, which describes it.
//!
//! They end with the year 2100; the rule behind the last decades is read off them and holds from then on.

use super::civil::{self, Date};
use super::history::History;
use super::rule::drop_repeats;
use tz::timezone::{AlternateTime, LocalTimeType, MonthWeekDay, RuleDay};

/// 2060-01-01: changes from here on are all made by today's rules.
const RULED_FROM: i64 = 2_840_140_800;

static TABLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/zones"));

/// Bytes of a zone in the index, and of a change.
const ZONE: usize = 12;
const CHANGE: usize = 12;

/// The changes of a zone.
pub(super) fn history(name: &str) -> Option<History> {
    let (zones, rest) = TABLE.split_first_chunk()?;
    let (index, rest) = rest.split_at_checked(u32::from_le_bytes(*zones) as usize * ZONE)?;
    let (index, _) = index.as_chunks::<ZONE>();
    let total = index.iter().map(|zone| place(zone, 1) + place(zone, 2)).max()?;
    let (changes, names) = rest.split_at_checked(total * CHANGE)?;
    let name_of = |zone: &[u8; ZONE]| names.get(place(zone, 0)..)?.split(|byte| *byte == b'\n').next();
    let at = index.binary_search_by(|zone| name_of(zone).cmp(&Some(name.as_bytes()))).ok()?;
    let (first, count) = (place(&index[at], 1), place(&index[at], 2));
    let (changes, _) = changes.as_chunks::<CHANGE>();
    let mut changes = changes.get(first..first + count)?.iter().map(change);
    let (_, first) = changes.next()?;
    let mut changes: Vec<(i64, i32)> = changes.collect();
    drop_repeats(first, &mut changes);
    let rule = rule_behind(&changes);
    Some(History { first, changes, rule })
}

/// One of the three numbers of a zone in the index.
fn place(zone: &[u8; ZONE], which: usize) -> usize {
    zone.as_chunks().0.get(which).map_or(0, |number| u32::from_le_bytes(*number) as usize)
}

/// A moment and the offset that holds from then on.
fn change([a, b, c, d, e, f, g, h, offset @ ..]: &[u8; CHANGE]) -> (i64, i32) {
    (i64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), i32::from_le_bytes(*offset))
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
