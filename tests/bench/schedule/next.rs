//! When next: successive occurrences from the start of 2026, in UTC and in a zone with summer time.

use crate::samples::{MIXED, SPARSE, with_seconds};
use chrono::{DateTime, TimeZone, Utc};
use cronwheel::schedule::{HostKey, JitterKey, Schedule, Timestamp, Zone};
use divan::{Bencher, black_box, counter::ItemsCount};
use std::str::FromStr as _;
use std::sync::Arc;

/// 2026-01-01 00:00 UTC.
const START: i64 = 1_767_225_600;
/// Occurrences of each schedule.
const EACH: usize = 100;

fn all<S: Sync, T: Clone + Sync>(
    bencher: Bencher<'_, '_>,
    schedules: &[S],
    start: T,
    next: impl Fn(&S, &T) -> Option<T> + Sync,
) {
    bencher.counter(ItemsCount::new(schedules.len() * EACH)).bench(|| {
        for schedule in schedules {
            let mut at = start.clone();
            for _ in 0..EACH {
                match next(schedule, black_box(&at)) {
                    Some(found) => at = found,
                    None => break,
                }
            }
            black_box(at);
        }
    });
}

fn berlin() -> Arc<Zone> {
    Arc::new(Zone::embedded("Europe/Berlin").expect("a zone"))
}

fn start<Z: TimeZone>(zone: &Z) -> DateTime<Z> {
    zone.timestamp_opt(START, 0).single().expect("a moment")
}

fn ours(bencher: Bencher<'_, '_>, texts: &[&str], zone: &Zone) {
    let seed = JitterKey { host: HostKey::default(), table: "alice", entry: b"" };
    let parse = |text: &&str| Schedule::parse(text, &seed).expect("a schedule").schedule;
    let schedules: Vec<Schedule> = texts.iter().map(parse).collect();
    all(bencher, &schedules, Timestamp(START), |schedule, at| schedule.next_after(*at, zone, None));
}

fn cron<Z: TimeZone + Sync>(bencher: Bencher<'_, '_>, texts: &[&str], zone: &Z)
where
    Z::Offset: Sync,
{
    let parse = |text: &&str| cron::Schedule::from_str(&with_seconds(text)).expect("a schedule");
    let schedules: Vec<cron::Schedule> = texts.iter().map(parse).collect();
    all(bencher, &schedules, start(zone), |schedule, at| schedule.after(at).next());
}

fn croner<Z: TimeZone + Sync>(bencher: Bencher<'_, '_>, texts: &[&str], zone: &Z)
where
    Z::Offset: Sync,
{
    let parse = |text: &&str| croner::Cron::from_str(text).expect("a schedule");
    let schedules: Vec<croner::Cron> = texts.iter().map(parse).collect();
    all(bencher, &schedules, start(zone), |schedule, at| schedule.find_next_occurrence(at, false).ok());
}

#[divan::bench]
fn utc_ours(bencher: Bencher<'_, '_>) {
    ours(bencher, &MIXED, &Zone::utc());
}

#[divan::bench]
fn utc_saffron(bencher: Bencher<'_, '_>) {
    let schedules: Vec<saffron::Cron> = MIXED.iter().filter_map(|text| text.parse().ok()).collect();
    all(bencher, &schedules, start(&Utc), |schedule, at| schedule.next_after(*at));
}

#[divan::bench]
fn utc_cron(bencher: Bencher<'_, '_>) {
    cron(bencher, &MIXED, &Utc);
}

#[divan::bench(sample_count = 10)]
fn utc_croner(bencher: Bencher<'_, '_>) {
    croner(bencher, &MIXED, &Utc);
}

#[divan::bench]
fn berlin_ours(bencher: Bencher<'_, '_>) {
    ours(bencher, &MIXED, &berlin());
}

#[divan::bench]
fn berlin_cron(bencher: Bencher<'_, '_>) {
    cron(bencher, &MIXED, &chrono_tz::Europe::Berlin);
}

#[divan::bench(sample_count = 10)]
fn berlin_croner(bencher: Bencher<'_, '_>) {
    croner(bencher, &MIXED, &chrono_tz::Europe::Berlin);
}

#[divan::bench(args = SPARSE)]
fn sparse_utc_ours(bencher: Bencher<'_, '_>, text: &str) {
    ours(bencher, &[text], &Zone::utc());
}

#[divan::bench(args = SPARSE)]
fn sparse_berlin_ours(bencher: Bencher<'_, '_>, text: &str) {
    ours(bencher, &[text], &berlin());
}

#[divan::bench(args = SPARSE, sample_count = 10)]
fn sparse_utc_croner(bencher: Bencher<'_, '_>, text: &str) {
    croner(bencher, &[text], &Utc);
}
