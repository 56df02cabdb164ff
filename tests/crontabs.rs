//! The crontabs that come with cronwheel, each read without a complaint: a warning counts as one.

#![allow(clippy::expect_used, reason = "a test that cannot read its files has failed")]

use cronwheel::crontab::{Anacrontab, Context, Crontab, Form, KnownNames, Parsed, Period};
use cronwheel::profile::{CRONIE, DEBIAN, Profile};
use cronwheel::schedule::{HostKey, Zone, Zones};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The zones that come with the program.
struct Embedded;

impl Zones for Embedded {
    fn named(&self, name: &str) -> Option<Arc<Zone>> {
        Zone::embedded(name).map(Arc::new)
    }
    fn system(&self) -> Arc<Zone> {
        Zone::utc()
    }
}

/// File, form, jobs in it.
const TABLES: &[(&str, Form, usize)] = &[
    ("quickstart.crontab", Form::User, 5),
    ("examples/backups.crontab", Form::User, 5),
    ("examples/environment.crontab", Form::User, 4),
    ("examples/mail.crontab", Form::User, 4),
    ("examples/random-delay.crontab", Form::User, 5),
    ("examples/time-zones.crontab", Form::User, 7),
    ("debian/crontab", Form::System, 4),
    ("debian/cron.d/.placeholder", Form::System, 0),
    ("cronie/crontab", Form::System, 0),
    ("cronie/cron.d/0hourly", Form::System, 1),
    ("cronie/cron.d/dailyjobs", Form::System, 3),
];

/// A table of the other language.
const ANACRONTAB: &str = "cronie/anacrontab";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crontabs")
}

fn read(file: &str, form: Form, profile: &Profile) -> Parsed {
    let text = fs::read(folder().join(file)).expect("a crontab of ours can be read");
    let context = Context {
        form,
        dialect: &profile.dialect,
        name: file,
        host: HostKey(1),
        known: KnownNames::of_zones(&Embedded),
    };
    Crontab::parse(&text, &context).expect("memory")
}

#[test]
fn every_crontab_of_ours_is_read_without_a_complaint() {
    for profile in [&DEBIAN, &CRONIE] {
        for &(file, form, jobs) in TABLES {
            let parsed = read(file, form, profile);
            let said: String = parsed.diagnostics.iter().map(|said| said.picture(file)).collect();
            assert!(said.is_empty(), "{}:\n{said}", profile.name);
            assert_eq!(parsed.table.entries.len(), jobs, "{file}");
        }
    }
}

#[test]
fn no_crontab_of_ours_is_left_out() {
    let mut found = Vec::new();
    collect(&folder(), &mut found);
    let known: Vec<&str> = TABLES.iter().map(|table| table.0).chain([ANACRONTAB]).collect();
    for path in &found {
        let name = path.strip_prefix(folder()).expect("inside").to_string_lossy();
        assert!(known.contains(&&*name), "{name} is in no test");
    }
    assert_eq!(found.len(), known.len());
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("crontabs can be listed") {
        let path = entry.expect("crontabs can be listed").path();
        if path.is_dir() { collect(&path, into) } else { into.push(path) }
    }
}

/// Packages and scripts know these times: they must be those of the reference implementations.
#[test]
fn the_system_tables_keep_the_reference_times() {
    let times = |file: &str, profile: &Profile| -> BTreeMap<String, String> {
        let parsed = read(file, Form::System, profile);
        let table = &parsed.table;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).split_whitespace().collect::<Vec<_>>().join(" ");
        let parts = |command: &str| {
            let at = command.find("/etc/cron.").expect("it runs a folder of scripts");
            command[at..].trim_end_matches("; }").to_owned()
        };
        table.entries.iter().map(|e| (parts(&text(table.command(e))), text(&table.timing(e).text))).collect()
    };
    let wanted = |rows: &[(&str, &str)]| rows.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let debian: BTreeMap<String, String> = wanted(&[
        ("/etc/cron.hourly", "17 * * * *"),
        ("/etc/cron.daily", "25 6 * * *"),
        ("/etc/cron.weekly", "47 6 * * 7"),
        ("/etc/cron.monthly", "52 6 1 * *"),
    ]);
    assert_eq!(times("debian/crontab", &DEBIAN), debian);
    assert_eq!(times("cronie/cron.d/0hourly", &CRONIE), wanted(&[("/etc/cron.hourly", "01 * * * *")]));
}

#[test]
fn the_anacrontab_keeps_the_reference_periods_delays_and_hours() {
    let text = fs::read(folder().join(ANACRONTAB)).expect("the anacrontab can be read");
    let (tab, said) = Anacrontab::parse(&text, ANACRONTAB, HostKey(1));
    assert!(said.is_empty(), "{said:?}");
    let jobs: Vec<(&[u8], Period)> = tab.jobs.iter().map(|job| (job.id.as_slice(), job.period)).collect();
    let wanted: [(&[u8], Period); 3] =
        [(b"cron.daily", Period::Days(1)), (b"cron.weekly", Period::Days(7)), (b"cron.monthly", Period::Month)];
    assert_eq!(jobs, wanted);
    assert_eq!(tab.hours.range, Some(3..22));
    let [daily, weekly, monthly] = [0, 1, 2].map(|job| tab.jobs[job].delay / 60);
    assert!((5..=50).contains(&daily), "{daily}");
    assert_eq!((weekly - daily, monthly - daily), (20, 40));
}
