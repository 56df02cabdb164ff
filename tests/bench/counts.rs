//! Fixed work whose instructions `tests/bench/gate` counts: one function for each figure.
//!
//! `counts parse`, `counts load`, `counts next`, `counts wheel`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test program, though not inside a #[test].

#[path = "../common/utc.rs"]
mod utc;

use cronwheel::crontab::{Context, Crontab, Form, KnownNames, Parsed};
use cronwheel::profile::DEBIAN;
use cronwheel::schedule::{HostKey, JitterKey, Schedule, Timestamp, Zone, Zones as _};
use cronwheel::scheduler::{Event, Now, Owner, Scheduler, Source};
use std::fmt::Write as _;
use std::hint::black_box;
use utc::Utc;

/// 2026-05-01 00:00 UTC.
const START: i64 = 1_777_593_600;

fn main() {
    let zones = Utc(Zone::utc());
    match std::env::args().nth(1).as_deref() {
        Some("parse") => {
            let bytes = mixed_lines(10_000).into_bytes().into_boxed_slice();
            assert_eq!(count_parse(bytes, &zones).table.entries.len(), 10_000);
        }
        Some("load") => {
            let spool: Vec<Box<[u8]>> = (0..1_000).map(|number| ten_lines(number).into_bytes().into()).collect();
            assert_eq!(count_load(spool, &zones).summary().entries, 10_000);
        }
        Some("next") => {
            let berlin = Zone::embedded("Europe/Berlin").expect("a zone");
            assert_ne!(count_next(&schedules(), &berlin), 0);
        }
        Some("wheel") => {
            let mut scheduler = a_week_of_minutes(&zones);
            assert_eq!(count_wheel(&mut scheduler), 10_080);
        }
        // `cargo test` runs every bench target once.
        _ => {}
    }
}

#[inline(never)]
fn count_parse(bytes: Box<[u8]>, zones: &Utc) -> Parsed {
    let (form, host) = (Form::User, HostKey::default());
    Crontab::parse(
        &bytes,
        &Context { form, dialect: &DEBIAN.dialect, name: "alice", host, known: KnownNames::of_zones(zones) },
    )
    .expect("memory")
}

/// 1,000 tables of ten entries, from their bytes to a scheduler that begins.
#[inline(never)]
fn count_load(spool: Vec<Box<[u8]>>, zones: &Utc) -> Scheduler {
    let now = Now { utc: Timestamp(START), elapsed_ms: 0 };
    let mut scheduler = Scheduler::new(zones.system(), now);
    for (number, bytes) in spool.into_iter().enumerate() {
        let name = format!("user{number}");
        let (form, host) = (Form::User, HostKey::default());
        let context = Context { form, dialect: &DEBIAN.dialect, name: &name, host, known: KnownNames::of_zones(zones) };
        let table = Crontab::parse(&bytes, &context).expect("memory").table;
        let owner = Owner::User { name: name.clone(), uid: 1000 };
        let source = Source { path: format!("/var/spool/cron/crontabs/{name}"), name, owner };
        scheduler.handle(Event::Load { source, table }, now);
    }
    scheduler.handle(
        Event::DaemonStarted {
            boot: false,
            completed: None,
            started: Vec::new(),
            running: Vec::new(),
            saved: Box::default(),
        },
        now,
    );
    scheduler
}

/// 10,000 times the next due moment, in a zone with summer time.
#[inline(never)]
fn count_next(schedules: &[Schedule], zone: &Zone) -> i64 {
    let mut sum = 0;
    for schedule in schedules {
        let mut at = Timestamp(START);
        for _ in 0..10_000 / schedules.len() {
            at = schedule.next_after(black_box(at), zone, None).expect("a next one");
        }
        sum ^= at.0;
    }
    sum
}

/// Each minute of a week one timer expires and is armed for the week after.
#[inline(never)]
fn count_wheel(scheduler: &mut Scheduler) -> usize {
    let starts = |minute: i64| {
        let now = Now { utc: Timestamp(START + minute * 60), elapsed_ms: minute * 60_000 };
        scheduler.handle(Event::Tick, now).len() - 1
    };
    (1..=10_080).map(starts).sum()
}

const MIXED: [&str; 10] = [
    "*/5 * * * *",
    "17 * * * *",
    "25 6 * * *",
    "47 6 * * 7",
    "52 6 1 * *",
    "0,15,30,45 8-18 * * 1-5",
    "0 9-17/2 * * mon-fri",
    "30 4 1,15 * 5",
    "5 0 * 8 *",
    "0 0 29 2 *",
];

fn mixed_lines(lines: usize) -> String {
    let mut text = String::new();
    for number in 0..lines {
        let schedule = MIXED[number % MIXED.len()];
        writeln!(text, "{schedule} /usr/local/bin/job-{number:06} --with some --arguments here=1234567")
            .expect("memory");
    }
    text
}

fn ten_lines(number: usize) -> String {
    let mut text = "# Nightly work.\nSHELL=/bin/sh\nMAILTO=\"\"\n".to_owned();
    for entry in 0..10 {
        let (minute, hour) = ((number * 7 + entry * 13) % 60, (number + entry * 5) % 24);
        writeln!(
            text,
            "{minute} {hour} * * * /usr/local/bin/job-{number:06}-{entry} --with some --arguments here=1234567"
        )
        .expect("memory");
    }
    text
}

fn schedules() -> Vec<Schedule> {
    let seed = JitterKey { host: HostKey::default(), table: "alice", entry: b"" };
    MIXED.iter().map(|text| Schedule::parse(text, &seed).expect("a schedule").schedule).collect()
}

fn a_week_of_minutes(zones: &Utc) -> Scheduler {
    let mut text = String::new();
    for minute in 0..10_080 {
        let (minute, hour, weekday) = (minute % 60, minute / 60 % 24, minute / 1_440);
        writeln!(text, "{minute} {hour} * * {weekday} /usr/local/bin/job").expect("memory");
    }
    let now = Now { utc: Timestamp(START), elapsed_ms: 0 };
    let mut scheduler = Scheduler::new(zones.system(), now);
    let owner = Owner::User { name: "alice".to_owned(), uid: 1000 };
    let source = Source { path: "/var/spool/cron/crontabs/alice".to_owned(), name: "alice".to_owned(), owner };
    let (form, host) = (Form::System, HostKey::default());
    // As many lines as a user may not have.
    let context = Context { form, dialect: &DEBIAN.dialect, name: "alice", host, known: KnownNames::of_zones(zones) };
    let table = Crontab::parse(text.replace(" /usr", " root /usr").as_bytes(), &context).expect("memory").table;
    scheduler.handle(Event::Load { source: Source { owner: Owner::System, ..source }, table }, now);
    scheduler.handle(
        Event::DaemonStarted {
            boot: false,
            completed: None,
            started: Vec::new(),
            running: Vec::new(),
            saved: Box::default(),
        },
        now,
    );
    scheduler
}
