//! No run is lost or doubled at any change of any zone's offset from 1970 to 2037.

use crate::reference::{beats, due};
use crate::spec::{Language, Spec};
use cronwheel::schedule::{Timestamp, Transition, Zone};
use fastrand::Rng;
use std::collections::HashSet;

const SEED: u64 = 19_702_037;
const HOUR: i64 = 3600;
/// 1970-01-01 and 2038-01-01.
const YEARS: std::ops::Range<i64> = 0..2_145_916_800;

/// The changes of a zone in those years.
fn changes(zone: &Zone) -> Vec<Transition> {
    let mut changes = Vec::new();
    let mut at = Timestamp(YEARS.start);
    while let Some(change) = zone.next_transition(at).filter(|change| YEARS.contains(&change.at.0)) {
        changes.push(change);
        at = change.at;
    }
    changes
}

#[test]
fn around_every_change_of_every_zone_the_runs_are_those_of_the_rule() {
    let mut rng = Rng::with_seed(SEED);
    let mut schedules: Vec<Spec> = Vec::new();
    // Schedules that have something to do within hours; most random ones have not.
    while schedules.len() < 160 {
        let spec = Spec::random(&mut rng, Language::Full);
        let fields: Vec<&str> = spec.text.split(' ').collect();
        if fields[2] == "*" && fields[3] == "*" && fields[4] == "*" {
            schedules.push(spec);
        }
    }
    let mut seen = HashSet::new();
    let mut cases = 0;
    for name in chrono_tz::TZ_VARIANTS {
        let zone = Zone::embedded(name.name()).unwrap();
        let changes = changes(&zone);
        let key: Vec<(i64, i32, i32)> =
            changes.iter().map(|change| (change.at.0, change.before, change.after)).collect();
        if !seen.insert(key) {
            continue;
        }
        for change in changes {
            let (from, to) = (change.at.0 - 4 * HOUR, change.at.0 + 4 * HOUR);
            let beats = beats(&zone, from - 4 * HOUR, to);
            for _ in 0..24 {
                let spec = &schedules[rng.usize(..schedules.len())];
                let schedule = spec.schedule();
                let mut at = Timestamp(from);
                for wanted in due(spec, &beats).into_iter().filter(|at| *at > from) {
                    let found = schedule.next_after(at, &zone, None);
                    assert_eq!(found, Some(Timestamp(wanted)), "{:?} in {name} after {at} (seed {SEED})", spec.text);
                    at = Timestamp(wanted);
                    cases += 1;
                }
                let rest = schedule.next_after(at, &zone, None);
                assert!(rest.is_none_or(|next| next.0 > to), "{:?} in {name} after {at} (seed {SEED})", spec.text);
                cases += 1;
            }
        }
    }
    assert!(cases >= 1_000_000, "only {cases} cases");
}
