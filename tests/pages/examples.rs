//! The examples of crontab(5), JOB SETTINGS and RECIPES: each is a crontab without a complaint, or a calendar. So are the crontabs of
//! cronwheel-migrate(7).

use cronwheel::crontab::{Calendars, Context, Crontab, Form, KnownNames, parse_calendar};
use cronwheel::profile::{CRONIE, DEBIAN, Profile};
use cronwheel::schedule::{HostKey, Zone, Zones};
use std::sync::Arc;

struct Embedded;

impl Zones for Embedded {
    fn named(&self, name: &str) -> Option<Arc<Zone>> {
        Zone::embedded(name).map(Arc::new)
    }
    fn system(&self) -> Arc<Zone> {
        Zone::utc()
    }
}

/// The displayed blocks of a section of a page.
fn blocks(page: &str, section: &str) -> Vec<String> {
    let begin = page.find(&format!(".Sh {section}\n")).expect("the section");
    let text = &page[begin + 1..];
    let text = &text[..text.find("\n.Sh ").expect("a section after it")];
    let displays = text.split(".Bd -literal -offset indent\n").skip(1);
    displays.map(|display| display[..=display.find("\n.Ed").expect("its end")].replace("\\e", "\\")).collect()
}

#[test]
fn every_example_of_crontab_5_is_read_without_a_complaint() {
    let page = super::read("man/crontab.5");
    let blocks = [blocks(&page, "JOB SETTINGS"), blocks(&page, "RECIPES")].concat();
    assert!(blocks.len() >= 14, "{} examples", blocks.len());
    let (calendars, crontabs): (Vec<String>, Vec<String>) =
        blocks.into_iter().partition(|block| block.starts_with("# Public holidays"));
    let mut known = Calendars::default();
    for text in &calendars {
        known.insert("holidays", parse_calendar(text.as_bytes()).expect("a calendar"));
    }
    for (text, profile) in crontabs.iter().flat_map(|text| [(text, &DEBIAN), (text, &CRONIE)]) {
        is_read_without_a_complaint(text, Form::User, profile, Some(&known));
    }
}

fn is_read_without_a_complaint(text: &str, form: Form, profile: &Profile, calendars: Option<&Calendars>) {
    let known = KnownNames { zones: &Embedded, calendars, fleet: None };
    let context = Context { form, dialect: &profile.dialect, name: "ann", host: HostKey(1), known };
    let parsed = Crontab::parse(text.as_bytes(), &context).expect("memory");
    assert!(parsed.diagnostics.is_empty(), "{text}: {:#?}", parsed.diagnostics);
    assert!(!parsed.table.entries.is_empty(), "{text}");
}

#[test]
fn what_timers_and_yaml_become_is_read_without_a_complaint() {
    let page = super::read("man/cronwheel-migrate.7");
    for (section, form) in [("SYSTEMD TIMERS", Form::System), ("CRONSTABLE AND YACRON", Form::User)] {
        // What it was, and what it becomes.
        let blocks = blocks(&page, section);
        let [_, crontab] = &blocks[..] else { panic!("{section}: {} examples", blocks.len()) };
        for profile in [&DEBIAN, &CRONIE] {
            is_read_without_a_complaint(crontab, form, profile, None);
        }
    }
}
