//! The examples of crontab(5), JOB SETTINGS and RECIPES: each is a crontab without a complaint, or a calendar.

use cronwheel::crontab::{Calendars, Context, Crontab, Form, KnownNames, parse_calendar};
use cronwheel::profile::{CRONIE, DEBIAN};
use cronwheel::schedule::{HostKey, Zone, Zones};
use std::sync::Arc;

struct OnlyUtc;

impl Zones for OnlyUtc {
    fn named(&self, _: &str) -> Option<Arc<Zone>> {
        None
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
        let known = KnownNames { zones: &OnlyUtc, calendars: Some(&known) };
        let context = Context { form: Form::User, dialect: &profile.dialect, name: "ann", host: HostKey(1), known };
        let parsed = Crontab::parse(text.as_bytes(), &context).expect("memory");
        assert!(parsed.diagnostics.is_empty(), "{text}: {:#?}", parsed.diagnostics);
        assert!(!parsed.table.entries.is_empty(), "{text}");
    }
}
