//! Parses zone files and rules with the crate `tz-rs`, and computes the changes that a rule makes in one calendar cycle.

use super::civil::{self, Date};
use super::history::{CYCLE_SECONDS, History, WIDEST_OFFSET};
use tz::TimeZone;
use tz::timezone::{AlternateTime, RuleDay, TransitionRule};

/// Why a file or a rule cannot be used as a zone.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The crate `tz-rs` cannot parse the rule.
    #[error(transparent)]
    Unreadable(#[from] tz::error::TzError),
    /// An offset outside the -25 to +26 hours of RFC 8536.
    #[error("an offset from UTC is more than 26 hours")]
    TooFarFromUtc,
    /// A change at a moment with which no sum could be made. Old files have one when the universe began, which is far from that.
    #[error("a change of the offset is more than 70 billion years away")]
    TooFarAway,
    /// A rule may only contain printable ASCII characters.
    #[error("it is not a word of printable characters")]
    NotAWord,
}

/// The farthest change, in seconds from 1970.
const FARTHEST: u64 = i64::MAX as u64 / 4;

/// Parses a TZif file (RFC 8536).
pub(super) fn read_tzif(bytes: &[u8]) -> Result<History, Unusable> {
    let zone = TimeZone::from_tz_data(bytes)?;
    let zone = zone.as_ref();
    let offset_of = |index: usize| zone.local_time_types().get(index).map_or(0, |kind| kind.ut_offset());
    let changes: Vec<(i64, i32)> = zone
        .transitions()
        .iter()
        .map(|change| {
            (unix_time(change.unix_leap_time(), zone.leap_seconds()), offset_of(change.local_time_type_index()))
        })
        .collect();
    let (first, rule) = match zone.extra_rule() {
        Some(TransitionRule::Alternate(rule)) => (offset_of(0), Some(*rule)),
        Some(TransitionRule::Fixed(kind)) if changes.is_empty() => (kind.ut_offset(), None),
        Some(TransitionRule::Fixed(_)) | None => (offset_of(0), None),
    };
    if first.abs() > WIDEST_OFFSET || changes.iter().any(|(_, offset)| offset.abs() > WIDEST_OFFSET) {
        return Err(Unusable::TooFarFromUtc);
    }
    if changes.iter().any(|(at, _)| at.unsigned_abs() > FARTHEST) {
        return Err(Unusable::TooFarAway);
    }
    Ok(History { first, changes, rule })
}

/// Zone files of the "right" kind count leap seconds; the system clock does not.
fn unix_time(leap_time: i64, leaps: &[tz::timezone::LeapSecond]) -> i64 {
    let passed = leaps.iter().rev().find(|leap| leap.unix_leap_time() < leap_time);
    leap_time.saturating_sub(passed.map_or(0, |leap| i64::from(leap.correction())))
}

/// Parses a POSIX `TZ` rule. If it has no dates for the changes, those of the United States apply, as in glibc.
pub(super) fn read_posix(rule: &str) -> Result<History, Unusable> {
    read_footer(rule).or_else(|reason| read_footer(&format!("{rule},M3.2.0,M11.1.0")).map_err(|_| reason))
}

/// `tz-rs` accepts the hours that RFC 8536 allows (-167 to 167) only in the footer of a version 3 file. So this builds such
/// a file: two headers with one offset of zero and its name each, then the footer.
fn read_footer(rule: &str) -> Result<History, Unusable> {
    if rule.is_empty() || !rule.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Unusable::NotAWord);
    }
    let mut file = Vec::new();
    for _ in 0..2 {
        file.extend_from_slice(b"TZif3");
        file.extend_from_slice(&[0; 15]);
        // The counts: UT and standard indicators, leap seconds, changes, offsets, bytes of names.
        for count in [0u32, 0, 0, 0, 1, 4] {
            file.extend_from_slice(&count.to_be_bytes());
        }
        file.extend_from_slice(&[0; 6]);
        file.extend_from_slice(b"UTC\0");
    }
    file.push(b'\n');
    file.extend_from_slice(rule.as_bytes());
    file.push(b'\n');
    read_tzif(&file)
}

/// All changes of a zone up to the end of one full cycle of its rule, and the time of the change at which that cycle begins (seconds since
/// 1970), if there is a rule.
pub(super) fn unroll(history: &History) -> (Vec<(i64, i32)>, Option<i64>) {
    let mut changes = history.changes.clone();
    let Some(rule) = &history.rule else {
        drop_repeats(history.first, &mut changes);
        return (changes, None);
    };
    let year_of = |t: i64| Date::of(t.div_euclid(86_400).clamp(-1_000_000, 1_000_000) as i32).year;
    let (from, to) = match (history.changes.first(), history.changes.last()) {
        (Some((first, _)), Some((last, _))) => (year_of(*first) - 1, year_of(*last) + 404),
        _ => (1968, 2374),
    };
    let ruled = changes_of(rule, from, to);
    // The rule holds from the last change of the file on, even if that changes the name of the time only.
    let last_explicit = history.changes.last().map_or(i64::MIN, |(at, _)| *at);
    changes.extend(ruled.iter().filter(|(at, _)| *at > last_explicit));
    if !history.changes.is_empty() {
        drop_repeats(history.first, &mut changes);
    }
    let agreeing = changes.iter().rev().zip(ruled.iter().rev()).take_while(|(a, b)| a == b).count();
    // Two changes later, nothing before the rule has an effect any more.
    let first = changes.len() - agreeing + 2;
    let Some(start) = changes.get(first).map(|(at, _)| *at) else { return (changes, None) };
    let count = changes[first..].iter().take_while(|(at, _)| *at < start + CYCLE_SECONDS).count();
    changes.truncate(first + count + 4);
    (changes, Some(start))
}

/// The changes that a rule makes from year `from` to year `to`.
fn changes_of(rule: &AlternateTime, from: i32, to: i32) -> Vec<(i64, i32)> {
    let (standard, summer) = (rule.std().ut_offset(), rule.dst().ut_offset());
    let mut changes = Vec::new();
    for year in from..=to + 1 {
        let at = |day: &RuleDay, second: i32, offset: i32| {
            i64::from(day_of(day, year)) * 86_400 + i64::from(second) - i64::from(offset)
        };
        // Each time of day refers to the offset in force before the change.
        changes.push((at(rule.dst_end(), rule.dst_end_time(), summer), false, standard));
        changes.push((at(rule.dst_start(), rule.dst_start_time(), standard), true, summer));
    }
    // If daylight saving time ends in the same second in which it next begins, it lasts all year.
    changes.sort_unstable();
    changes.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            *earlier = *later;
        }
        same
    });
    // The extra year covers changes whose local date is in it and whose UTC time is in the year before.
    let end = i64::from(Date { year: to + 1, month: 7, day: 1 }.day_number()) * 86_400;
    let changes = changes.into_iter().filter(|(at, _, _)| *at < end);
    let mut changes: Vec<(i64, i32)> = changes.map(|(at, _, offset)| (at, offset)).collect();
    changes.dedup_by_key(|(_, offset)| *offset);
    changes
}

/// The day (from 1970-01-01) that a rule names in a year.
fn day_of(day: &RuleDay, year: i32) -> i32 {
    let new_year = Date { year, month: 1, day: 1 }.day_number();
    match day {
        RuleDay::Julian1WithoutLeap(day) => {
            let day = i32::from(day.get());
            new_year + day - 1 + i32::from(civil::is_leap(year) && day >= 60)
        }
        RuleDay::Julian0WithLeap(day) => new_year + i32::from(day.get()),
        RuleDay::MonthWeekDay(day) => {
            let month = u32::from(day.month());
            let first = Date { year, month, day: 1 }.day_number();
            let days_until = (i32::from(day.week_day()) - civil::weekday(first) as i32).rem_euclid(7);
            let of_month = days_until + 7 * (i32::from(day.week()) - 1);
            let length = civil::month_length(year, month) as i32;
            first + if of_month < length { of_month } else { of_month - 7 }
        }
    }
}

/// Removes changes that only change the name of the time.
pub(super) fn drop_repeats(first: i32, changes: &mut Vec<(i64, i32)>) {
    let mut offset = first;
    changes.retain(|(_, next)| std::mem::replace(&mut offset, *next) != *next);
}
