//! What the scheduler costs: memory for each entry, and its growth over reloads.
//! One test after the other in one process: memory is counted for all of it.

#![allow(clippy::expect_used, reason = "helpers of tests, though not inside a #[test]")]

#[path = "common/utc.rs"]
mod utc;

use cronwheel::crontab::{Context, Crontab, Form, KnownNames};
use cronwheel::profile::DEBIAN;
use cronwheel::schedule::{HostKey, Timestamp, Zone, Zones as _};
use cronwheel::scheduler::{Event, Now, Owner, Scheduler, Source};
use utc::Utc;

/// A generous bound for memory, in bytes an entry.
const MOST_BYTES: f64 = 400.0;

struct Daemon {
    scheduler: Scheduler,
    zones: Utc,
    now: Now,
}

impl Daemon {
    fn new() -> Daemon {
        let now = Now { utc: Timestamp(1_777_593_600), elapsed_ms: 0 };
        let zones = Utc(Zone::utc());
        let mut scheduler = Scheduler::new(zones.system(), now);
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
        Daemon { scheduler, zones, now }
    }

    fn load(&mut self, number: usize, text: &str) {
        let name = format!("user{number}");
        let owner = Owner::User { name: name.clone(), uid: 1000 + number as u32 };
        let source = Source { path: format!("/var/spool/cron/crontabs/{name}"), name: name.clone(), owner };
        let (form, host) = (Form::User, HostKey::default());
        let context =
            Context { form, dialect: &DEBIAN.dialect, name: &name, host, known: KnownNames::of_zones(&self.zones) };
        let table = Crontab::parse(text.as_bytes(), &context).expect("memory").table;
        self.scheduler.handle(Event::Load { source, table }, self.now);
    }
}

/// Ten entries with commands of 60 bytes, as a benchmark would have them.
fn ten_entries(number: usize) -> String {
    let line = |entry: usize| {
        let (minute, hour) = ((number * 7 + entry * 13) % 60, (number + entry * 5) % 24);
        format!("{minute} {hour} * * * /usr/local/bin/job-{number:06}-{entry} --with some --arguments here=1234567\n")
    };
    (0..10).map(line).collect()
}

/// Kilobytes of this process that are in memory and its own.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("RssAnon");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// The same with commands that have nothing in common.
fn unlike_entries(number: usize) -> String {
    let mut random = fastrand::Rng::with_seed(number as u64);
    let mut command = || (0..60).map(|_| random.alphanumeric()).collect::<String>();
    (0..10)
        .map(|entry| format!("{} {} * * * {}\n", (number * 7 + entry * 13) % 60, (number + entry * 5) % 24, command()))
        .collect()
}

/// Bytes an entry that 10,000 such tables take.
fn bytes_an_entry(daemon: &mut Daemon, table: fn(usize) -> String) -> f64 {
    daemon.load(0, &table(0));
    let before = resident();
    for number in 0..10_000 {
        daemon.load(number, &table(number));
    }
    let bytes = (resident() - before) as f64 * 1024.0 / 100_000.0;
    println!("{bytes:.1} bytes an entry");
    bytes
}

#[test]
fn memory_per_entry_is_small_and_does_not_grow() {
    let mut daemon = Daemon::new();
    let bytes = bytes_an_entry(&mut daemon, ten_entries);
    assert!(bytes <= MOST_BYTES, "{bytes} bytes an entry");
    // Beside the other, whose memory it must not find free.
    let bytes = bytes_an_entry(&mut Daemon::new(), unlike_entries);
    assert!(bytes <= MOST_BYTES, "{bytes} bytes an entry with commands that have nothing in common");

    for round in 0..3_000 {
        daemon.load(round % 1_000, &ten_entries(round));
    }
    let before = resident();
    for round in 0..100_000 {
        daemon.load(round % 1_000, &ten_entries(round));
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 2_048, "{grown} KiB more after 100,000 reloads");
    assert_eq!(daemon.scheduler.summary().entries, 100_000);
}
