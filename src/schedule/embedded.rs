//! The zone data that `chrono-tz` carries in the program.
//!
//! The crate answers "which offset at this moment" but does not list its changes, so they are found by asking day by
//! day and halving the days on which the answer differs.

use super::rule::drop_repeats;
use super::zone::History;
use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;
use std::str::FromStr;

/// 1900-01-01: nobody's clock followed a zone before.
const FROM_DAY: i64 = -25_567;
/// 2101-01-01: the crate's lists end in 2100.
const TO_DAY: i64 = 47_847;

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
    Some(History { first, changes, rule: None })
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
