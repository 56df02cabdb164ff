//! Ten years of some two thousand schedules, and of every nickname, as recorded: a change of any run shows up here.
//!
//! To record them anew after an intended change, and to see in the diff which schedules it touches:
//!
//! ```text
//! CRONWHEEL_GOLDENS=write cargo test --test calendar goldens
//! ```

use crate::spec::{Language, Spec, parse};
use cronwheel::schedule::{Timestamp, Zone};
use fastrand::Rng;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

const SEED: u64 = 2_000;
/// 2020-01-01 and 2030-01-01.
const YEARS: (i64, i64) = (1_577_836_800, 1_893_456_000);
const RANDOM: usize = 1_900;
const NAMED: &[&str] = &[
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
    "@reboot",
    "@every_minute",
    "@86400",
    "@90m",
    "@5h",
    "@2d",
    "@quartz 0 30 2 * * ? *",
    "@quartz 15,45 0 0 1 1 ? 2021-2025",
    "@quartz 0 0 12 ? * MON-FRI *",
    "0 0 29 2 1",
    "0 0 29 2 */7",
    "0 0 13 * 5",
    "30 2 * * 1-5",
    "0 0 30 2 *",
    "0 0 L * *",
    "0 0 LW * *",
    "0 0 15W * *",
    "0 0 * * friL",
    "0 0 * * fri#2",
];
const ZONES: &[&str] =
    &["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Casablanca"];
const HEAD: &str = "# schedule | zone | runs from 2020 through 2029 | FNV-1a of their seconds of UTC | first | last
# Written by tests/calendar/goldens.rs, which says how to write it anew.
";

/// The runs of one schedule, boiled down.
fn line(text: &str, zone: &Zone) -> String {
    let schedule = parse(text);
    let (mut count, mut hash) = (0u32, 0xcbf2_9ce4_8422_2325u64);
    let (mut first, mut at) = (None, Timestamp(YEARS.0 - 1));
    while let Some(next) = schedule.next_after(at, zone, None).filter(|next| next.0 < YEARS.1) {
        for byte in next.0.to_le_bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        count += 1;
        first.get_or_insert(next.0);
        at = next;
    }
    let first = first.map_or("-".to_owned(), |first| first.to_string());
    let last = if count > 0 { at.0.to_string() } else { "-".to_owned() };
    format!("{text} | {} | {count} | {:08x} | {first} | {last}", zone.name(), hash as u32 ^ (hash >> 32) as u32)
}

/// The schedules: those with a name, and random ones that do not fill the day.
fn schedules() -> Vec<(String, &'static str)> {
    let mut schedules: Vec<(String, &str)> = NAMED
        .iter()
        .flat_map(|text| ["Europe/Berlin", "America/New_York"].map(|zone| ((*text).to_owned(), zone)))
        .collect();
    let mut rng = Rng::with_seed(SEED);
    while schedules.len() < RANDOM + 2 * NAMED.len() + 100 {
        let spec = Spec::random(&mut rng, Language::Full);
        let times = (0..1440).filter(|minute| spec.has_time(*minute)).count();
        if times <= 60 && spec.text.len() < 40 {
            schedules.push((spec.text, ZONES[rng.usize(..ZONES.len())]));
        }
    }
    schedules
}

#[test]
fn ten_years_of_two_thousand_schedules_run_as_recorded() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/calendar/goldens.txt");
    let zones: HashMap<&str, Zone> = ZONES.iter().map(|name| (*name, Zone::embedded(name).unwrap())).collect();
    let lines = schedules().into_iter().map(|(text, zone)| line(&text, &zones[zone]));
    if std::env::var("CRONWHEEL_GOLDENS").is_ok_and(|value| value == "write") {
        let mut file = HEAD.to_owned();
        lines.for_each(|line| writeln!(file, "{line}").unwrap());
        std::fs::write(&path, file).unwrap();
        return;
    }
    let recorded = std::fs::read_to_string(&path).unwrap();
    let recorded: Vec<&str> = recorded.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(recorded.len() >= 2_000, "only {} schedules are recorded", recorded.len());
    let lines: Vec<String> = lines.collect();
    assert_eq!(lines.len(), recorded.len(), "schedules");
    for (line, recorded) in lines.iter().zip(recorded) {
        assert_eq!(line, recorded);
    }
}

#[test]
fn every_second_is_every_second() {
    let (schedule, zone) = (parse("@every_second"), Zone::embedded("Europe/Berlin").unwrap());
    // Through the hour that Berlin skips.
    let gap = 1_806_195_600;
    assert!(
        (gap - 3600..gap + 3600).all(|at| schedule.next_after(Timestamp(at), &zone, None) == Some(Timestamp(at + 1)))
    );
}
