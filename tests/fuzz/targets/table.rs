//! Any bytes as a table: no panic, and every entry and every diagnostic belongs to a line.
#![no_main]

use cronwheel::schedule::{HostKey, Zone, Zones};
use cronwheel::profile::{CRONIE, DEBIAN};
use cronwheel::crontab::{Command, Context, KnownNames, Form, Crontab};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

/// One zone is enough to tell known from unknown.
struct Utc;

impl Zones for Utc {
    fn named(&self, name: &str) -> Option<Arc<Zone>> {
        (name == "UTC").then(Zone::utc)
    }
    fn system(&self) -> Arc<Zone> {
        Zone::utc()
    }
}

fuzz_target!(|text: &[u8]| {
    let lines = text.split(|&byte| byte == b'\n').count();
    for profile in [&DEBIAN, &CRONIE] {
        for form in [Form::User, Form::System] {
            let context = Context { form, dialect: &profile.dialect, name: "fuzz", host: HostKey(1), known: KnownNames::of_zones(&Utc) };
            let parsed = Crontab::parse(text, &context).expect("memory");
            for diagnostic in &parsed.diagnostics {
                assert!(diagnostic.line <= lines && diagnostic.column >= 1);
                assert_eq!(diagnostic.one_line("fuzz").lines().count(), 1);
                assert!(diagnostic.picture("fuzz").ends_with('\n'));
            }
            for entry in &parsed.table.entries {
                let raw = parsed.table.command(entry);
                assert!(!raw.is_empty() && entry.line as usize <= lines);
                assert!(Command::split(raw, profile.backslash).shell.len() <= raw.len());
                assert_eq!(entry.user.is_none(), form == Form::User);
                parsed.table.variables(entry);
            }
        }
    }
});
