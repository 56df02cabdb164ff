//! A line of a crontab: what is wrong with it, what it means, and when it would run.

use super::app::App;
use super::page::{Nav, Page, View, sentence, shown};
use crate::config::calendars::SystemCalendars;
use crate::config::zones::SystemZones;
use crate::crontab::{Context, Diagnostic, Form, KnownNames, Parsed, Parser, Severity, printable};
use crate::profile::shared;
use crate::schedule::{self, HostKey, JitterKey, Kind, Schedule, Timestamp, Zone, Zones};
use crate::spool::ThisMachine;
use crate::sys::host;
use crate::varlink::Time;
use maud::{Markup, html};
use std::path::Path;

/// The number of runs that are shown.
const RUNS: usize = 5;
/// The longest line that is checked.
pub const LONGEST: usize = 16 << 10;
/// The name of the file in diagnostics.
const NAME: &str = "line";

/// The page with an empty form.
pub fn page() -> Page {
    let body = html! {
        div.title { h1 { "Check a line" } p.quiet { "What a line of a crontab means, and when it would run. Nothing is installed." } }
        section aria-label="Line" { (form("", false, false, None)) }
    };
    Page::of(Nav::Check, "Check a line", body)
}

/// A form for a line, which the script sends; with the time zone in which it is read, unless that is the system's.
pub fn form(line: &str, is_system: bool, is_folded: bool, zone: Option<&str>) -> Markup {
    let inner = html! {
        form.check hidden data-needs-script="" data-check="/api/check" {
            @if let Some(zone) = zone { input type="hidden" name="zone" value=(zone); }
            label.field for="check-line" { "Line" }
            textarea #check-line name="line" rows="2" spellcheck="false" autocapitalize="off" autocomplete="off" maxlength=(LONGEST) placeholder="30 2 * * mon-fri /usr/local/bin/backup" { (shown(line)) }
            p.buttons {
                label.nowrap { input type="checkbox" name="system" checked[is_system]; " names a user, as in /etc/crontab" }
                button type="submit" { "Check this line" }
            }
            div.result aria-live="polite" {}
        }
        noscript { p.quiet { "The form needs JavaScript. The same by hand:" } pre.command tabindex="0" aria-label="Command" { "cronctl explain '30 2 * * mon-fri /usr/local/bin/backup'" } }
    };
    if is_folded {
        html! { details { summary { "Check a changed line" } (inner) } }
    } else {
        inner
    }
}

/// What is to be said of a line that is read in a time zone, else that of the system.
pub fn result(app: &App, line: &str, is_system: bool, zone: Option<&str>) -> Markup {
    let view = View::of(app);
    let zones = SystemZones::open();
    let zone = match zone.filter(|zone| !zone.is_empty()) {
        None => zones.system(),
        Some(name) => match zones.named(name) {
            Some(zone) => zone,
            None => return html! { p.mark-bad { "There is no time zone " (shown(name)) "." } },
        },
    };
    let calendars = SystemCalendars::read(Path::new(shared::CALENDARS));
    let machine = ThisMachine::for_commands();
    let host = HostKey::of(&host::identity());
    let known = KnownNames { zones: &zones, calendars: Some(calendars.calendars()), fleet: None };
    let form = if is_system { Form::System } else { Form::User };
    let context = Context { form, dialect: &app.profile.dialect, name: &app.user.name, host, known };
    let line = line.trim();
    let mut parser = Parser::new(&context).on_machine(&machine);
    let fed = parser.feed(format!("{line}\n").as_bytes());
    let parsed = match fed.and_then(|()| parser.finish()) {
        Ok(parsed) => parsed,
        Err(why) => return html! { p.mark-bad { (sentence(&why.to_string())) } },
    };
    let Parsed { table, diagnostics, .. } = parsed;
    let is_faulty = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    html! {
        @for diagnostic in &diagnostics { (picture(diagnostic)) }
        @if !is_faulty && table.entries.is_empty() { p { "This is not an entry: a comment, a setting or an empty line." } }
        @for entry in table.entries.iter().filter(|_| !is_faulty) {
            (meaning(&view, line, host, &zone))
            dl.facts {
                @if let Some(user) = &entry.user { dt { "Runs as" } dd { (shown(user)) } }
                dt { "Command" } dd { code { (printable(table.command(entry))) } }
            }
            (runs(&view, line, host, &zone))
        }
    }
}

fn picture(diagnostic: &Diagnostic) -> Markup {
    let (class, mark, sign) = match diagnostic.severity {
        Severity::Error => ("error", "mark-bad", "✕"),
        Severity::Warning => ("warning", "mark-held", "!"),
    };
    let picture = diagnostic.picture(NAME);
    // The first line is said above in other words, and the number of the line says nothing here.
    let lines: Vec<&str> =
        picture.lines().skip(1).take(2).filter_map(|line| line.split_once("| ").map(|(_, rest)| rest)).collect();
    html! {
        div class={ "diagnostic " (class) } {
            p { span class=(mark) { span.sign aria-hidden="true" { (sign) } " " (diagnostic.severity) ": " } (diagnostic.message) }
            pre { (lines.join("\n")) }
            @if let Some(help) = &diagnostic.help { p.quiet { (sentence(help)) } }
        }
    }
}

fn jitter_key(line: &str, host: HostKey) -> JitterKey<'_> {
    JitterKey { host, table: "", entry: line.as_bytes() }
}

fn meaning(view: &View<'_>, line: &str, host: HostKey, zone: &Zone) -> Markup {
    let Ok((prefix, _)) = Schedule::parse_line(line, &jitter_key(line, host)) else { return html! {} };
    let mut warnings = schedule::dst_warnings(&prefix.schedule, zone, view.now);
    warnings.truncate(4);
    html! {
        p.words { (sentence(&schedule::explain_as_written(&prefix))) }
        @for warning in warnings { div.diagnostic.warning { p { span.mark-held { span.sign aria-hidden="true" { "! " } "DST: " } (shown(&warning)) } } }
    }
}

fn runs(view: &View<'_>, line: &str, host: HostKey, zone: &Zone) -> Markup {
    let Ok((prefix, _)) = Schedule::parse_line(line, &jitter_key(line, host)) else { return html! {} };
    let mut at = view.now;
    let next = std::iter::from_fn(|| {
        at = prefix.schedule.next_after(at, zone, None)?;
        Some(at)
    });
    let next: Vec<Timestamp> = next.take(RUNS).collect();
    let condition = match prefix.schedule.kind() {
        _ if !prefix.drawn.is_empty() => ", for example: each entry gets values of its own",
        Kind::Calendar | Kind::Reboot | Kind::After => "",
        Kind::Interval { .. } => ", if each run takes no time",
    };
    html! {
        @if !next.is_empty() {
            p { "Next runs" (condition) @if zone.name() != view.app.zone.name() { " (the line is read in " (shown(zone.name())) ", times are in " (view.app.zone.name()) ")" } ":" }
            ul.plain { @for at in next { li { (view.moment(Time::from(at))) " " span.quiet { (view.time(Time::from(at))) } } } }
        }
    }
}
