//! From text to schedule, and whole tables.

use crate::samples::{MIXED, with_seconds};
use crate::utc::Utc;
use cronwheel::crontab::{Context, Crontab, Form, KnownNames};
use cronwheel::profile::DEBIAN;
use cronwheel::schedule::{HostKey, JitterKey, Schedule, Zone};
use divan::{Bencher, black_box, counter::ItemsCount};
use std::fmt::Write as _;
use std::str::FromStr as _;

fn all(bencher: Bencher<'_, '_>, parse: impl Fn(&str) + Sync) {
    bencher.counter(ItemsCount::new(MIXED.len())).bench(|| MIXED.iter().for_each(|text| parse(black_box(text))));
}

#[divan::bench]
fn ours(bencher: Bencher<'_, '_>) {
    let seed = JitterKey { host: HostKey::default(), table: "alice", entry: b"" };
    all(bencher, |text| drop(black_box(Schedule::parse_prefix(text.as_bytes(), &seed))));
}

#[divan::bench]
fn saffron(bencher: Bencher<'_, '_>) {
    all(bencher, |text| drop(black_box(text.parse::<saffron::Cron>())));
}

#[divan::bench]
fn cron(bencher: Bencher<'_, '_>) {
    let texts: Vec<String> = MIXED.iter().map(|text| with_seconds(text)).collect();
    bencher.counter(ItemsCount::new(texts.len())).bench(|| {
        texts.iter().for_each(|text| drop(black_box(cron::Schedule::from_str(black_box(text)))));
    });
}

#[divan::bench]
fn croner(bencher: Bencher<'_, '_>) {
    all(bencher, |text| drop(black_box(croner::Cron::from_str(text))));
}

/// A table of 10,000 lines with commands of 60 bytes.
#[divan::bench]
fn table_of_ten_thousand_lines(bencher: Bencher<'_, '_>) {
    const LINES: usize = 10_000;
    let mut text = String::new();
    for number in 0..LINES {
        let schedule = MIXED[number % MIXED.len()];
        writeln!(text, "{schedule} /usr/local/bin/job-{number:06} --with some --arguments here=1234567")
            .expect("memory");
    }
    let zones = Utc(Zone::utc());
    let (form, host) = (Form::User, HostKey::default());
    let context = Context { form, dialect: &DEBIAN.dialect, name: "alice", host, known: KnownNames::of_zones(&zones) };
    bencher
        .counter(ItemsCount::new(LINES))
        .with_inputs(|| text.clone().into_bytes().into_boxed_slice())
        .bench_local_values(|bytes| Crontab::parse(&bytes, &context));
}
