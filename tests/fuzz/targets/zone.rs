//! Any bytes as a TZif file, or any text as a POSIX rule: offsets stay within the bounds of RFC 8536, before the rule of the footer they are those of
//! the file's own table, transitions lie in order, and schedules find their way through the zone.

use cronwheel::schedule::{HostKey, JitterKey, Schedule, Timestamp, Zone};

const WIDEST: i32 = 26 * 3600;

pub fn run(input: &[u8]) {
    let zone = match std::str::from_utf8(input) {
        Ok(rule) if !input.starts_with(b"TZif") => Zone::from_posix(rule),
        _ => Zone::from_tzif("Fuzz/Zone", input),
    };
    let zone = match zone {
        Ok(zone) => zone,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    // The same bytes make the same zone.
    if input.starts_with(b"TZif") {
        assert_eq!(Zone::from_tzif("Fuzz/Zone", input).ok().as_ref(), Some(&zone));
        if let Some(changes) = table_of(input) {
            compare(&zone, &changes);
        }
    }
    for at in [i64::MIN / 1_000_000, -4_000_000_000, 0, 1_000_000_000, 1_790_000_000, 4_000_000_000, 100_000_000_000] {
        walk(&zone, Timestamp(at));
    }
}

fn walk(zone: &Zone, from: Timestamp) {
    let mut at = from;
    for _ in 0..20 {
        assert!(zone.offset_at(at).abs() <= WIDEST);
        assert!((zone.local_minute(at).0 - at.0.div_euclid(60)).abs() <= i64::from(WIDEST) / 60 + 1);
        assert!(zone.to_rfc3339(at).len() <= 40);
        let Some(next) = zone.next_transition(at) else { break };
        assert!(next.at > at && next.before.abs() <= WIDEST && next.after.abs() <= WIDEST);
        assert_eq!((zone.offset_at(Timestamp(next.at.0 - 1)), zone.offset_at(next.at)), (next.before, next.after));
        at = next.at;
    }
    for text in ["30 2 * * *", "*/7 * * * *", "0 0 1 1 *", "@quartz 30 30 2 * * ? *"] {
        let seed = JitterKey { host: HostKey(1), table: "fuzz", entry: text.as_bytes() };
        let schedule = Schedule::parse(text, &seed).unwrap().schedule;
        let mut at = from;
        for _ in 0..4 {
            let Some(next) = schedule.next_after(at, zone, None) else { break };
            assert!(next > at, "{text} after {at}");
            let found = schedule.next_after(Timestamp(next.0 - 1), zone, None);
            assert_eq!(found, Some(next), "{text} after {at}");
            at = next;
        }
    }
}

/// Compares with the table of the file, up to its last change.
fn compare(zone: &Zone, changes: &[(i64, i32)]) {
    for pair in changes.windows(2) {
        let [(from, offset), (to, _)] = pair else { continue };
        for at in [*from, from + (to - from) / 2, to - 1] {
            assert_eq!(zone.offset_at(Timestamp(at)), *offset, "at {at}");
        }
    }
}

/// The changes of a file without leap seconds, as RFC 8536 lays it out; of the version 2 part, if there is one.
fn table_of(bytes: &[u8]) -> Option<Vec<(i64, i32)>> {
    let count = |at: usize, index: usize| {
        let field = bytes.get(at + 20 + 4 * index..at + 24 + 4 * index)?;
        Some(u32::from_be_bytes(field.try_into().ok()?) as usize)
    };
    let counts = |at: usize| -> Option<[usize; 6]> {
        Some([count(at, 0)?, count(at, 1)?, count(at, 2)?, count(at, 3)?, count(at, 4)?, count(at, 5)?])
    };
    let (mut at, mut width) = (0, 4);
    if *bytes.get(4)? != 0 {
        let [ut, std, leap, time, kind, names] = counts(0)?;
        (at, width) = (44 + time * 5 + kind * 6 + names + leap * 8 + std + ut, 8);
    }
    let [_, _, leap, time, _, _] = counts(at)?;
    if leap > 0 {
        return None;
    }
    let times = at + 44;
    let (indices, kinds) = (times + time * width, times + time * (width + 1));
    (0..time)
        .map(|nth| {
            let moment = bytes.get(times + nth * width..times + (nth + 1) * width)?;
            let moment = match width {
                4 => i64::from(i32::from_be_bytes(moment.try_into().ok()?)),
                _ => i64::from_be_bytes(moment.try_into().ok()?),
            };
            let kind = kinds + usize::from(*bytes.get(indices + nth)?) * 6;
            Some((moment, i32::from_be_bytes(bytes.get(kind..kind + 4)?.try_into().ok()?)))
        })
        .collect()
}
