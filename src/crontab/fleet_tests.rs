//! What the settings of a fleet make of entries, and what is said about them.

use super::cases_tests::{Embedded, context, parse};
use super::*;
use crate::profile::DEBIAN;
use crate::schedule::{HostKey, Zones};

/// What is said about an entry below a setting.
fn said(settings: &str, entry: &str) -> Vec<String> {
    let parsed = parse(Form::User, &DEBIAN, format!("{settings}\n{entry}\n").as_bytes());
    parsed.diagnostics.iter().map(|said| format!("{}|{}", said.message, said.help.as_deref().unwrap_or(""))).collect()
}

#[test]
fn what_does_not_go_with_a_fleet_is_told() {
    let daily = "30 2 * * * x";
    for (settings, entry, told) in [
        ("CRON_FLEET=one", "@reboot x", "expected a schedule with times for CRON_FLEET=one, found @reboot"),
        ("CRON_FLEET=one", "@every_second x", "CRON_FLEET=one, found @every_second"),
        ("CRON_FLEET=one", "@300 x", "CRON_FLEET=one, found an interval"),
        ("CRON_FLEET=one,failover", daily, "allows only one run at a time"),
        ("CRON_FLEET=one,failover\nCRON_OVERLAP=skip\nCRON_FLEET_AWAY=run", daily, "CRON_FLEET_AWAY=run has no effect"),
        ("CRON_FLEET=one\nCRON_OVERLAP=queue", daily, "CRON_OVERLAP=queue acts on each machine alone"),
        ("CRON_FLEET=one\nCRON_GROUP=disk,1", daily, "CRON_GROUP acts on each machine alone"),
        ("CRON_FLEET_ORDER=first", daily, "needs the order of CRON_FLEET_NODES"),
        ("CRON_FLEET=two", daily, "expected each, one or one,failover, found two"),
        ("CRON_FLEET_AWAY=home=web1", daily, "expected skip or run, found home=web1|a job of one machine alone"),
    ] {
        let said = said(settings, entry);
        assert!(said.len() == 1 && said[0].contains(told), "{settings} {entry}: {said:?}");
    }
    for settings in
        ["CRON_FLEET=one", "CRON_FLEET=one\nCRON_OVERLAP=skip", "CRON_FLEET=one,failover\nCRON_OVERLAP=skip"]
    {
        assert_eq!(said(settings, daily), [""; 0], "{settings}");
    }
}

#[test]
fn a_users_table_has_a_limited_number_of_entries_of_a_fleet_and_the_rest_of_it_runs() {
    let text = format!("CRON_FLEET=one\n{}CRON_FLEET=each\n1 2 3 4 5 y\n", "1 2 3 4 5 x\n".repeat(1_002));
    let parsed = parse(Form::User, &DEBIAN, text.as_bytes());
    let lines: Vec<usize> = parsed.errors().map(|error| error.line).collect();
    assert_eq!((lines, parsed.table.entries.len()), (vec![1_002, 1_003], 1_001));
    let system = text.replace(" 5 ", " 5 root ");
    assert_eq!(parse(Form::System, &DEBIAN, system.as_bytes()).errors().count(), 0);
}

#[test]
fn an_entry_of_a_fleet_is_drawn_for_the_fleet_and_has_its_zone() {
    let zone = Embedded.named("Asia/Tokyo").expect("the zone");
    let schedules = |host: u64, text: &str| {
        let mut context = context(Form::User, &DEBIAN);
        context.host = HostKey(host);
        context.known.fleet = Some(FleetNames { key: HostKey(99), zone: &zone });
        let parsed = Crontab::parse(text.as_bytes(), &context).expect("memory");
        assert!(parsed.is_ok(), "{:?}", parsed.diagnostics);
        let timing = parsed.table.timing(parsed.table.entries.first().expect("an entry")).clone();
        (timing.schedule.clone(), timing.zone.as_ref().map(|zone| zone.name().to_owned()))
    };
    let (own, of_fleet) = ("~ ~ * * * x\n", "CRON_FLEET=one\n~ ~ * * * x\n");
    assert_ne!(schedules(1, own).0, schedules(2, own).0);
    assert_eq!(schedules(1, of_fleet).0, schedules(2, of_fleet).0);
    assert_eq!(schedules(1, own).1, None);
    assert_eq!(schedules(1, of_fleet).1.as_deref(), Some("Asia/Tokyo"));
    assert_eq!(schedules(1, &format!("CRON_TZ=UTC\n{of_fleet}")).1.as_deref(), Some("UTC"));
}
