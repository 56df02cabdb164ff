//! After an edit: when the entries run next that are new or changed. Only for people: nothing is printed without a terminal.

use super::check::{TextContext, lines_of};
use super::messages;
use super::session::Session;
use crate::config::calendars::SystemCalendars;
use crate::config::zones::SystemZones;
use crate::crontab::{Crontab, Entry, Policy, Timing, printable};
use crate::profile::shared;
use crate::schedule::{Day, Kind, Timestamp, Zone, Zones, duration_text};
use crate::sys::descriptor::StandardStream;
use crate::sys::{clock, descriptor, files};
use std::collections::HashSet;
use std::path::Path;

/// Most entries that are listed.
const MOST: usize = 10;

/// Most characters of a command that are shown.
const WIDEST: usize = 60;

/// Slots of an entry that are tried until one is not on an excepted day.
const MOST_EXCEPTED: usize = 1000;

/// Prints on standard error when the entries run next that `after` has and `before` has not.
pub fn print(session: &Session<'_>, before: &[u8], after: &[u8]) {
    if !files::is_terminal(descriptor::standard(StandardStream::Error)) {
        return;
    }
    let zones = SystemZones::open_for_names();
    let calendars = SystemCalendars::read(Path::new(shared::CALENDARS));
    let context = TextContext { session, zones: &zones, calendars: &calendars };
    let parse = |text| Crontab::parse(text, &context.get()).map(|parsed| parsed.table);
    let (Ok(before_table), Ok(table)) = (parse(before), parse(after)) else { return };
    let (old_lines, lines) = (lines_of(before), lines_of(after));
    let old: HashSet<_> = before_table.entries.iter().map(|entry| identity(&before_table, entry, &old_lines)).collect();
    let changed: Vec<&Entry> =
        table.entries.iter().filter(|entry| !old.contains(&identity(&table, entry, &lines))).collect();
    let system = zones.system();
    // The data of zones without files are not a part of this program.
    if changed.is_empty() || system.is_stand_in() {
        return;
    }
    let now = Timestamp(clock::wall().seconds);
    let what = if changed.len() == 1 {
        "next run of the new or changed entry"
    } else {
        "next runs of the new or changed entries"
    };
    let mut text = format!("{}: {what} (time zone {}):\n", session.program, printable(system.name().as_bytes()));
    for entry in changed.iter().take(MOST) {
        let command: String = printable(table.command(entry)).chars().take(WIDEST).collect();
        let policy = entry.policy();
        let timing = table.timing(entry);
        let unknown = timing.zone.as_deref().filter(|zone| zone.is_stand_in());
        let when = match unknown {
            Some(zone) => format!("by the time of {}", printable(zone.name().as_bytes())),
            None => when(timing, &policy, now, &system, |day| policy.except.has_day(day, calendars.calendars())),
        };
        text.push_str(&format!("  {when:<28}  {command}\n"));
    }
    if changed.len() > MOST {
        text.push_str(&format!("  and {} more\n", changed.len() - MOST));
    }
    messages::warn_raw(&text);
}

/// What stays as it is if an entry is not changed: its line, and when it is due by the settings above it.
fn identity<'a>(table: &'a Crontab, entry: &Entry, lines: &[&'a [u8]]) -> (&'a [u8], &'a Timing) {
    let index = usize::try_from(entry.line).unwrap_or(usize::MAX).saturating_sub(1);
    (lines.get(index).copied().unwrap_or_default(), table.timing(entry))
}

/// When an entry runs next, in words.
fn when(timing: &Timing, policy: &Policy, now: Timestamp, system: &Zone, is_excepted: impl Fn(Day) -> bool) -> String {
    if !policy.is_enabled {
        return "not enabled".to_owned();
    }
    match timing.schedule.kind() {
        Kind::Reboot => return "when the machine boots".to_owned(),
        Kind::After => {
            let jobs = timing.schedule.after().join(", ");
            return format!("after {}", printable(jobs.as_bytes()));
        }
        Kind::Interval { seconds } => return format!("in {}, then again", duration_text(seconds)),
        Kind::Calendar => {}
    }
    let zone = timing.zone.as_deref().unwrap_or(system);
    let delay = i64::from(timing.delay);
    let mut moment = now;
    for _ in 0..MOST_EXCEPTED {
        let Some(start) = timing.next_start(moment, system) else { return "never".to_owned() };
        // The day of the slot counts, not that of the delayed start.
        if !is_excepted(Day::at(Timestamp(start.0.saturating_sub(delay)), zone)) {
            return format!("{}  in {}", clock_text(start, system), distance(start.0.saturating_sub(now.0)));
        }
        moment = start;
    }
    "not soon".to_owned()
}

/// `2026-11-28 02:30`, with seconds if there are any.
fn clock_text(moment: Timestamp, zone: &Zone) -> String {
    let text = zone.to_rfc3339(moment);
    let local = text.get(..19).unwrap_or(&text).replace('T', " ");
    local.strip_suffix(":00").unwrap_or(&local).to_owned()
}

/// `40 s`, `12 min`, `5 h`, `3 d`.
fn distance(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crontab::{Context, Form, KnownNames};
    use crate::profile::DEBIAN;
    use crate::schedule::{HostKey, OnlyUtc};

    fn next(text: &str, excepted: &[&str]) -> String {
        let context = Context {
            form: Form::User,
            dialect: &DEBIAN.dialect,
            name: "ann",
            host: HostKey(1),
            known: KnownNames::of_zones(&OnlyUtc),
        };
        let table = Crontab::parse(text.as_bytes(), &context).unwrap().table;
        let days: Vec<Day> = excepted.iter().map(|day| Day::parse_iso(day.as_bytes()).unwrap()).collect();
        let now = Timestamp::parse_rfc3339("2026-11-27T14:00:00Z").unwrap();
        let entry = &table.entries[0];
        when(table.timing(entry), &entry.policy(), now, &Zone::utc(), |day| days.contains(&day))
    }

    #[test]
    fn each_kind_of_schedule_is_told_in_its_own_way() {
        for (text, excepted, wanted) in [
            ("30 2 * * * x\n", &[][..], "2026-11-28 02:30  in 12 h"),
            ("30 2 * * * x\n", &["2026-11-28"], "2026-11-29 02:30  in 36 h"),
            ("1 14 * * * x\n", &[], "2026-11-27 14:01  in 1 min"),
            ("0 0 1 1 * x\n", &[], "2027-01-01 00:00  in 34 d"),
            ("@every_second x\n", &[], "2026-11-27 14:00:01  in 1 s"),
            ("0 0 30 2 * x\n", &[], "never"),
            ("@reboot x\n", &[], "when the machine boots"),
            ("@5m x\n", &[], "in 5m, then again"),
            ("CRON_ENABLED=no\n@daily x\n", &[], "not enabled"),
            ("CRON_NAME=a\n@daily x\n", &[], "2026-11-28 00:00  in 10 h"),
        ] {
            assert_eq!(next(text, excepted), wanted, "{text}");
        }
    }
}
