//! What programs of others collect: metrics and the calendar. Each text is read by a program that is not ours.

use crate::common::implementation::{needs, package};
use crate::common::{Deadline, Implementation, World};
use crate::{cronctl, json_lines, prepare, world};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

/// Prints type and name of each family, as OpenMetrics has them.
const FAMILIES: &str = r#"
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
for family in text_string_to_metric_families(open(sys.argv[1], newline="").read()):
    assert family.samples and family.documentation, family.name
    print(family.type, family.name)
"#;

/// Prints the events of a calendar, a line each.
const EVENTS: &str = r#"
import sys, icalendar
text = open(sys.argv[1], "rb").read()
assert all(len(line) <= 75 for line in text.split(b"\r\n")) and text.count(b"\n") == text.count(b"\r\n")
calendar = icalendar.Calendar.from_ical(text)
assert not calendar.errors and calendar["VERSION"] == "2.0" and "cronwheel" in calendar["PRODID"]
uids = set()
for event in calendar.walk("VEVENT"):
    assert not event.errors and event["DTSTAMP"] and event["UID"] not in uids
    uids.add(event["UID"])
    start, duration = event.decoded("DTSTART"), event.get("DURATION")
    print(event["SUMMARY"], start.isoformat(), duration.dt.total_seconds() if duration else "-",
          event["UID"].split("@")[0], ",".join(event["CATEGORIES"].cats), event["DESCRIPTION"].replace("\n", "|"), sep="\t")
"#;

fn python(world: &World, program: &str, file: &str) -> String {
    fs::write("/run/reader.py", program).unwrap();
    world.run(&format!("{}/bin/python /run/reader.py {file}", needs().join("pypi").display())).ok()
}

/// Fails if promtool has anything to say about a text.
fn promtool(world: &World, file: &str) {
    let promtool = package("prometheus").join("usr/bin/promtool");
    let shown = world.run(&format!("{} check metrics <{file}", promtool.display()));
    assert!(shown.code() == 0 && shown.stdout.is_empty() && shown.stderr.is_empty(), "{shown:?}");
}

/// The value of a series, whose labels are given as they are written.
fn value(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("cronwheel_")?.strip_prefix(series))?;
    line.trim().parse().ok()
}

const HELLO: &str = "name=\"hello\",user=\"alice\",source=\"/var/spool/cron/crontabs/alice\"";

#[test]
fn metrics_count_runs_and_are_understood_by_prometheus() {
    let Some(world) = world!(Implementation::OursDebian, ["prometheus", "pypi"]) else { return };
    let _daemon = prepare(&world);
    let metrics = |user: &str, options: &str| cronctl(&world, user, &format!("metrics {options}")).ok();
    let before = metrics("alice", "");
    let runs = |text: &str, outcome: &str| value(text, &format!("job_runs_total{{{HELLO},outcome=\"{outcome}\"}}"));
    assert_eq!(
        (runs(&before, "ok"), runs(&before, "failed"), runs(&before, "not started")),
        (Some(0.0), Some(0.0), Some(0.0))
    );
    assert_eq!(value(&before, "up"), Some(1.0));
    assert_eq!(value(&before, &format!("job_last_success_timestamp_seconds{{{HELLO}}}")), Some(0.0));
    let next = value(&before, &format!("job_next_run_timestamp_seconds{{{HELLO}}}")).unwrap();
    assert!(next > 1.7e9, "{next}");

    cronctl(&world, "alice", "run --wait hello").ok();
    assert_eq!(cronctl(&world, "alice", "run --wait dies").code(), 139);
    cronctl(&world, "alice", "run endless").ok();
    cronctl(&world, "alice", "pause hello").ok();
    let endless = HELLO.replace("hello", "endless");
    let after = Deadline::seconds(20).wait_for("the endless job", || {
        let after = metrics("alice", "");
        (value(&after, &format!("job_running{{{endless}}}")) == Some(1.0)).then_some(after)
    });
    assert_eq!(runs(&after, "ok"), Some(1.0));
    for (series, wanted) in [
        ("job_duration_seconds_count", 1.0),
        ("job_start_delay_seconds_count", 1.0),
        ("job_last_run_success", 1.0),
        ("job_paused", 1.0),
        ("job_enabled", 1.0),
        ("job_late", 0.0),
    ] {
        assert_eq!(value(&after, &format!("{series}{{{HELLO}}}")), Some(wanted), "{series}");
    }
    let dies = HELLO.replace("hello", "dies");
    assert_eq!(value(&after, &format!("job_last_run_exit_code{{{dies}}}")), Some(139.0));
    assert!(value(&after, &format!("job_last_failure_timestamp_seconds{{{dies}}}")) > Some(1.7e9));
    assert!(value(&after, &format!("job_last_run_max_rss_bytes{{{dies}}}")) > Some(4096.0));
    assert!(after.contains(&format!("job_info{{{endless},schedule=\"0 0 1 1 *\",zone=")), "{after}");
    assert!(after.contains(",overlap=\"skip\"} 1\n"), "{after}");
    // It has not ended, and does not begin again.
    assert_eq!(cronctl(&world, "alice", "run --wait endless").code(), 125);
    let skipped = metrics("alice", "");
    let of_endless = |outcome: &str| value(&skipped, &format!("job_runs_total{{{endless},outcome=\"{outcome}\"}}"));
    assert_eq!((of_endless("skipped"), of_endless("ok"), of_endless("killed")), (Some(1.0), Some(0.0), Some(0.0)));
    assert_eq!(value(&skipped, &format!("job_duration_seconds_count{{{endless}}}")), Some(0.0));

    // Whose jobs they see is a matter of rights.
    assert!(!after.contains("nightly") && metrics("root", "").contains("name=\"nightly\",user=\"bob\""));
    assert!(metrics("bob", "").contains("nightly") && !metrics("bob", "").contains("hello"));
    assert!(!metrics("root", "--user bob").contains("hello"));
    assert_eq!((value(&after, "entries"), value(&after, "tables{state=\"loaded\"}")), (Some(7.0), Some(1.0)));
    let pages = json_lines(&cronctl(&world, "alice", "metrics --json"));
    assert!(pages[0]["jobs"].as_array().unwrap().len() == 7 && pages[0]["daemon"]["loaded"] == 1, "{pages:?}");

    for format in ["common", "openmetrics", "prometheus"] {
        fs::write("/run/metrics", metrics("root", &format!("--format {format}"))).unwrap();
        // A counter is written in another way there.
        if format != "openmetrics" {
            promtool(&world, "/run/metrics");
        }
        if format != "prometheus" {
            let families = python(&world, FAMILIES, "/run/metrics");
            let counter =
                if format == "common" { "unknown cronwheel_job_runs_total" } else { "counter cronwheel_job_runs" };
            for family in [counter, "histogram cronwheel_job_duration_seconds", "gauge cronwheel_job_late"] {
                assert!(families.lines().any(|line| line == family), "{family}: {families}");
            }
        }
    }
}

#[test]
fn series_go_with_their_entries_and_their_number_has_a_limit() {
    let Some(world) = world!(Implementation::OursDebian, ["prometheus", "pypi"]) else { return };
    fs::write("/etc/cronwheel.toml", "metrics-jobs = 3\n").unwrap();
    let _daemon = prepare(&world);
    let metrics = |user: &str| cronctl(&world, user, "metrics").ok();
    let count = |text: &str| text.matches("\ncronwheel_job_late{").count();
    cronctl(&world, "alice", "run --wait colours").ok();
    cronctl(&world, "alice", "run --wait hello").ok();
    let text = metrics("alice");
    assert_eq!(count(&text), 4, "{text}");
    // Beyond the limit; its run is a part of the sum.
    assert!(!text.contains("\"colours\""));
    let other = "name=\"other\",user=\"\",source=\"\"";
    assert_eq!(value(&text, &format!("job_runs_total{{{other},outcome=\"ok\"}}")), Some(1.0));
    assert_eq!(value(&text, &format!("job_enabled{{{other}}}")), Some(4.0));
    fs::write("/run/metrics", &text).unwrap();
    promtool(&world, "/run/metrics");
    python(&world, FAMILIES, "/run/metrics");

    world.crontab("alice", "CRON_NAME=hello\n0 0 1 1 * echo hello; echo oops >&2\n").ok();
    let text = Deadline::seconds(20).wait_for("the new table", || {
        let text = metrics("alice");
        (count(&text) == 1).then_some(text)
    });
    // What was counted goes on over an edit, and ends with the entry.
    let runs = |text: &str| value(text, &format!("job_runs_total{{{HELLO},outcome=\"ok\"}}"));
    assert_eq!(runs(&text), Some(1.0));
    world.crontab("alice", "CRON_NAME=later\n0 0 1 1 * true\n").ok();
    Deadline::seconds(20).wait_for("its end", || runs(&metrics("alice")).is_none().then_some(()));
    // Its counts are dropped when two have seen all entries and not this one.
    metrics("root");
    metrics("root");
    world.crontab("alice", "CRON_NAME=hello\n0 0 1 1 * echo hello; echo oops >&2\n").ok();
    Deadline::seconds(20).wait_for("a new one", || (runs(&metrics("alice")) == Some(0.0)).then_some(()));
}

#[test]
fn a_file_of_metrics_is_replaced_and_says_that_no_daemon_answers() {
    let Some(world) = world!(Implementation::OursDebian, ["prometheus", "pypi"]) else { return };
    let daemon = prepare(&world);
    fs::write("/run/kept", "kept\n").unwrap();
    symlink("/run/kept", "/run/cron.prom").unwrap();
    let shown = world.run("cd /run && umask 077 && cronctl metrics --output cron.prom");
    assert!(shown.code() == 0 && shown.stdout.is_empty(), "{shown:?}");
    let found = fs::symlink_metadata("/run/cron.prom").unwrap();
    assert!(found.is_file() && found.permissions().mode() & 0o7777 == 0o644, "{found:?}");
    assert_eq!(fs::read_to_string("/run/kept").unwrap(), "kept\n");
    assert!(fs::read_to_string("/run/cron.prom").unwrap().ends_with("\n# EOF\n"));
    let failed = cronctl(&world, "alice", "metrics --output /run/cron.prom");
    assert!(failed.code() == 1 && failed.stderr.contains("writing /run/cron.prom: Permission denied"), "{failed:?}");
    assert!(daemon.stop().success());
    let shown = world.run("cronctl metrics --output /run/cron.prom");
    assert!(shown.code() == 3 && shown.stdout.is_empty() && shown.stderr.contains("no daemon answers"), "{shown:?}");
    let text = fs::read_to_string("/run/cron.prom").unwrap();
    assert!(value(&text, "up") == Some(0.0) && !text.contains("job"), "{text}");
    promtool(&world, "/run/cron.prom");
    assert_eq!(python(&world, FAMILIES, "/run/cron.prom"), "gauge cronwheel_up\n");
    let shown = cronctl(&world, "alice", "metrics");
    assert!(shown.code() == 3 && value(&shown.stdout, "up") == Some(0.0), "{shown:?}");
    let left = fs::read_dir("/run")
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".new."));
    assert_eq!(left.count(), 0, "a temporary file is left");
}

#[test]
fn a_calendar_program_reads_the_coming_runs() {
    let Some(world) = world!(Implementation::OursDebian, ["pypi"]) else { return };
    let table = "CRON_TZ=UTC\nCRON_NAME=daily\n30 2 * * * echo a, b; echo 'é'\nCRON_NAME=often\n*/10 * * * * true\n\
                 CRON_NAME=off\nCRON_ENABLED=no\n0 3 * * * true\n";
    world.crontab("bob", table).ok();
    let daemon = prepare(&world);
    let calendar = |user: &str, options: &str| {
        let shown = cronctl(&world, user, &format!("calendar {options}"));
        assert!(shown.code() == 0, "{shown:?}");
        fs::write("/run/jobs.ics", &shown.stdout).unwrap();
        let events = python(&world, EVENTS, "/run/jobs.ics");
        let fields = |line: &str| line.split('\t').map(str::to_owned).collect::<Vec<String>>();
        (shown.stderr, events.lines().map(fields).collect::<Vec<_>>())
    };
    // As the mean duration comes from the history.
    cronctl(&world, "bob", "run --wait daily").ok();
    let (_, events) = Deadline::seconds(20).wait_for("the history", || {
        let found = calendar("bob", "--days 10");
        found.1.iter().any(|event| event[0] == "bob:daily" && event[2] == "1.0").then_some(found)
    });
    let of = |job: &str| events.iter().filter(|event| event[0] == job).cloned().collect::<Vec<_>>();
    let daily = of("bob:daily");
    assert!((9..=10).contains(&daily.len()), "{daily:?}");
    for event in &daily {
        assert!(event[1].ends_with("T02:30:00+00:00"), "{event:?}");
        assert_eq!(event[3], format!("{}T023000Z-bob:daily", event[1][..10].replace('-', "")));
        assert_eq!(event[4], "cron,bob");
        assert_eq!(event[5], "echo a, b; echo 'é'|30 2 * * * (UTC)|/var/spool/cron/crontabs/bob, line 6");
    }
    // Six times an hour: an event a day, but for what is left of the first and of the last.
    let often = of("bob:often");
    let whole = often.iter().filter(|event| !event[1].contains('T')).count();
    assert!((9..=10).contains(&whole) && often.len() - whole <= 24, "{often:?}");
    assert!(of("bob:off").is_empty() && of("alice:hello").is_empty());
    assert!(events.iter().all(|event| event[0].starts_with("bob:")), "{events:?}");
    let (_, again) = calendar("root", "--user bob --days 10 daily");
    assert!(again.iter().map(|event| &event[3]).eq(daily.iter().map(|event| &event[3])));
    assert_eq!(calendar("alice", "--days 5").1.len(), 0);
    assert_eq!(cronctl(&world, "alice", "calendar bob:daily").code(), 4);
    assert_eq!(cronctl(&world, "alice", "calendar --days 0").code(), 2);
    assert_eq!(json_lines(&cronctl(&world, "bob", "calendar --days 10 --json daily")).len(), daily.len());
    // So many questions that the daemon would refuse some of them.
    let (told, year) = calendar("bob", "--days 366 daily");
    assert!((365..=366).contains(&year.len()) && told.is_empty(), "{told}: {}", year.len());
    cronctl(&world, "bob", "pause daily --for 3d").ok();
    assert_eq!(calendar("bob", "--days 2 daily").1.len(), 0);

    // Too many for one calendar: whole days, and it says so.
    let many: String = (0..600).map(|number| format!("0 {} * * * echo {number}\n", number % 24)).collect();
    world.crontab("alice", &many).ok();
    Deadline::seconds(20).wait_for("the table", || {
        (json_lines(&cronctl(&world, "alice", "status --json"))[0]["entries"] == 600).then_some(())
    });
    let (told, events) = calendar("alice", "");
    assert!(told.contains("more than 10000 runs") && (9_000..=10_000).contains(&events.len()), "{told}");

    // More starts on a day than one answer of the daemon has: those of all jobs on all days all the same.
    // None of today: late on it each run would be an event, and they would be too many.
    let days = world.run("date -d '1 day' +%-d; date -d '2 days' +%-d").ok();
    let days = days.trim().replace('\n', ",");
    let often: String = (0..450).map(|number| format!("*/30 * {days} * * : {number}\n")).collect();
    world.crontab("alice", &(often + "CRON_NAME=evening\n55 23 * * * true\n")).ok();
    Deadline::seconds(20).wait_for("the table", || {
        (json_lines(&cronctl(&world, "alice", "status --json"))[0]["entries"] == 451).then_some(())
    });
    let (told, events) = calendar("alice", "--days 3");
    let whole = events.iter().filter(|event| !event[1].contains('T')).count();
    let evenings = events.iter().filter(|event| event[0] == "alice:evening").count();
    assert!(told.is_empty() && whole == 900 && (2..=3).contains(&evenings), "{told}: {whole}, {evenings}");
    let starts = json_lines(&cronctl(&world, "alice", "calendar --days 3 --json"));
    let times: Vec<&str> = starts.iter().map(|start| start["at"].as_str().unwrap()).collect();
    assert!(times.len() > 2 * 25 * 450 && times.is_sorted(), "{}", times.len());

    assert!(daemon.stop().success());
    let (told, events) = calendar("bob", "--days 10 daily");
    assert!(told.contains("computed from the crontabs") && (9..=10).contains(&events.len()), "{told}: {events:?}");
}
