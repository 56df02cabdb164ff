//! Turns the zone data of the crate `chrono-tz` into one table of bytes.
//!
//! The crate's own tables are full of pointers: a megabyte that every start of every program would have to relocate and
//! hold in memory of its own. It answers "which offset at this moment" but does not list its changes, so they are found
//! by asking day by day and halving the days on which the answer differs. Its lists end with the year 2100.
//!
//! The format, little endian: the number of zones (4 bytes), for each zone in order of names where its name and where
//! its changes begin and how many they are (3 times 4 bytes), the changes, 12 bytes each (the moment, 8 bytes, `i64::MIN`
//! for the first; the offset that holds from then on, 4 bytes), the names, each ended by a newline.

#![allow(clippy::expect_used)] // What goes wrong here ends the build, with these words.

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use std::collections::HashMap;
use std::path::Path;

/// 1900-01-01: nobody's clock followed a zone before.
const FROM_DAY: i64 = -25_567;
/// 2101-01-01: the crate's lists end in 2100.
const TO_DAY: i64 = 47_847;

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    let directory = std::env::var_os("OUT_DIR").expect("cargo names a directory for what is built");
    std::fs::write(Path::new(&directory).join("zones"), table()).expect("the directory can be written");
}

fn table() -> Vec<u8> {
    let mut zones: Vec<Tz> = TZ_VARIANTS.to_vec();
    zones.sort_by_key(|zone| zone.name());
    let (mut index, mut names) = (Vec::new(), Vec::new());
    let mut changes: Vec<(i64, i32)> = Vec::new();
    let mut known: HashMap<Vec<(i64, i32)>, usize> = HashMap::new();
    for zone in &zones {
        let found = history(*zone);
        let count = found.len();
        // Many names are of the same zone.
        let first = *known.entry(found).or_insert_with_key(|found| {
            changes.extend(found);
            changes.len() - count
        });
        index.extend([names.len(), first, count]);
        names.extend_from_slice(zone.name().as_bytes());
        names.push(b'\n');
    }
    let mut bytes = Vec::new();
    let number = |number: usize| u32::try_from(number).expect("a table of less than 4 GiB").to_le_bytes();
    bytes.extend(number(zones.len()));
    index.into_iter().for_each(|place| bytes.extend(number(place)));
    for (at, offset) in changes {
        bytes.extend(at.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
    }
    bytes.extend(names);
    bytes
}

/// The offset before the first change, then every change.
fn history(zone: Tz) -> Vec<(i64, i32)> {
    let mut before = offset(zone, FROM_DAY * 86_400);
    let mut changes = vec![(i64::MIN, before)];
    for day in FROM_DAY + 1..=TO_DAY {
        let after = offset(zone, day * 86_400);
        if after != before {
            changes.push((change_between(zone, (day - 1) * 86_400, day * 86_400, before), after));
            before = after;
        }
    }
    changes
}

fn offset(zone: Tz, at: i64) -> i32 {
    let at = DateTime::from_timestamp(at, 0).expect("a moment within these centuries");
    zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()
}

/// The first second after `from` (where `before` holds) up to `to` (where it does not) with another offset.
fn change_between(zone: Tz, mut from: i64, mut to: i64, before: i32) -> i64 {
    while to - from > 1 {
        let middle = from + (to - from) / 2;
        if offset(zone, middle) == before { from = middle } else { to = middle }
    }
    to
}
