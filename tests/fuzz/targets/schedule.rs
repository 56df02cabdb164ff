//! Any bytes as a schedule: no panic, places inside the text, and the next due moment lies ahead.
#![no_main]

use cronwheel::schedule::{HostKey, Kind, Schedule, Seed, Timestamp, Zone};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};

static BERLIN: LazyLock<Arc<Zone>> = LazyLock::new(|| Zone::embedded("Europe/Berlin").map_or_else(Zone::utc, Arc::new));

fuzz_target!(|input: (u32, &[u8])| {
    let (after, text) = (Timestamp(i64::from(input.0)), input.1);
    let seed = Seed { host: HostKey(1), table: "fuzz", entry: text };
    match Schedule::parse_prefix(text, &seed) {
        Ok(prefix) => {
            assert!(prefix.len <= text.len());
            assert!(prefix.cautions.iter().all(|caution| caution.span.end <= text.len()));
            let next = prefix.schedule.next_after(after, &BERLIN, None);
            assert!(next.is_none_or(|next| next > after));
            if prefix.schedule.never_matches() || matches!(prefix.schedule.kind(), Kind::Reboot | Kind::After) {
                assert_eq!(next, None);
            }
        }
        Err(fault) => {
            assert!(fault.span.start <= fault.span.end && fault.span.end <= text.len() + 1);
            assert!(!fault.expected.is_empty() && !fault.found.is_empty());
        }
    }
});
