//! The timeline, and what programs fetch: metrics and the calendar.

use crate::client::{Answer, Site};
use crate::common::{Deadline, Implementation};
use crate::{SHARED_JOBS, prepare, world};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

/// What stands between two texts, each time.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> Vec<&'a str> {
    text.split(begin).skip(1).filter_map(|rest| rest.split_once(end)).map(|(found, _)| found).collect()
}

#[test]
fn the_timeline_is_a_picture_with_the_same_facts_as_a_table() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("shared", SHARED_JOBS);
    let _daemon = prepare(&world);
    let site = Site::signed_in(&world, "root", "");
    world.run("cronctl run --wait alice:hello").ok();
    world.run("cronctl run --wait alice:fails");
    world.run("cronctl run alice:endless").ok();
    let page = Deadline::seconds(20).wait_for("the runs", || {
        let page = site.get("/timeline").body;
        ["failed (exit 3)", "alice:</span>hello", "alice:</span>endless"]
            .iter()
            .all(|text| page.contains(text))
            .then_some(page)
    });
    let drawings = between(&page, "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"tl\"", "</svg>");
    assert_eq!(drawings.len(), 1, "{page}");
    let drawing = drawings[0];
    assert!(drawing.split('>').next().unwrap().contains("role=\"img\""), "{drawing}");
    for id in ["labelledby", "describedby"] {
        let id = between(drawing, &format!("aria-{id}=\""), "\"")[0];
        assert_eq!(page.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
    }
    // The policy allows no style but that of the style sheet.
    for forbidden in [" style=", "<style", "<script", " onload"] {
        assert!(!drawing.contains(forbidden), "{forbidden}: {drawing}");
    }
    let table = page.split_once("The same as a table").unwrap().1;
    let rows = between(table, "<tr><td", "</tr>");
    for (name, what) in [
        ("alice:hello", "ok, took"),
        ("alice:fails", "failed (exit 3)"),
        ("alice:endless", "running"),
        ("bob:often", "start"),
    ] {
        let facts = between(table, &format!("<details data-of=\"{name}\""), "</details>");
        assert!(facts.len() == 1 && facts[0].contains(what), "{name}: {what}: {table}");
        let summary = table.split_once("<details").unwrap().0;
        assert_eq!(summary.matches(&format!("href=\"/job/{name}\"")).count(), 1, "{name}: {table}");
        let job = name.split_once(':').unwrap().1;
        assert!(drawing.contains(&format!(":{job}</text>")), "{job}: {drawing}");
    }
    // Each mark of the drawing has a fact of the table.
    let marks = between(drawing, "rx=\"1.5\"><title>", "</title>");
    assert!(!marks.is_empty());
    for (when, what) in marks.iter().filter_map(|mark| mark.split_once(": ")) {
        assert!(rows.iter().any(|row| row.contains(when) && row.contains(what)), "{when}: {what}: {table}");
    }

    // Lengths and rows can be chosen, and each choice keeps the other one.
    for length in ["1h", "6h", "1d", "3d", "7d", "30d"] {
        assert!(page.contains(&format!("href=\"/timeline?length={length}&amp;by=job\"")), "{length}: {page}");
        for by in ["job", "user"] {
            let page = site.get(&format!("/timeline?length={length}&by={by}"));
            let chosen = between(&page.body, "aria-current=\"true\">", "<");
            let rows = if by == "job" { "Jobs" } else { "Users" };
            assert!(page.status == 200 && chosen.len() == 2 && chosen[1] == rows, "{length}, {by}: {chosen:?}");
            let is_by_job = page.body.contains(":often</text>");
            assert_eq!(is_by_job, by == "job", "{length}, {by}: {}", page.body);
        }
    }
    let by_user = site.get("/timeline?length=1d&by=user").body;
    assert!(by_user.contains(">alice</text>") && by_user.contains(">bob</text>"), "{by_user}");
    assert!(by_user.contains("href=\"/timeline?length=3d&amp;by=user\""), "{by_user}");
    let unknown = site.get("/timeline?length=forever&by=%3Cb%3E");
    assert!(unknown.status == 200 && unknown.body.contains("aria-current=\"true\">6 hours"), "{unknown:?}");

    let own = Site::signed_in(&world, "alice", "");
    let page = own.get("/timeline?length=3d").body;
    assert!(page.contains(":daily</text>") && !page.contains("often"), "{page}");
}

const TOKEN: &str = "0123456789abcdef0123";

/// What a program gets that sends these header lines.
fn fetch(site: &Site, path: &str, headers: &str) -> Answer {
    site.send(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}Connection: close\r\n\r\n", site.host))
}

#[test]
fn programs_fetch_metrics_and_the_calendar() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("shared", SHARED_JOBS);
    let mut daemon = prepare(&world);
    let file = "/home/alice/token";
    fs::write(file, format!("{TOKEN}\n")).unwrap();
    world.run(&format!("chown alice: {file}")).ok();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    let site = Site::signed_in(&world, "alice", &format!("--token-file {file}"));
    let cookie = format!("Cookie: {}\r\n", site.cookie);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    world.run_as("alice", "cronctl run --wait hello").ok();
    Deadline::seconds(20).wait_for("the run in the metrics", || {
        let metrics = fetch(&site, "/metrics", &cookie).body;
        let mut lines = metrics.lines().filter(|line| line.starts_with("cronwheel_job_runs_total{"));
        lines
            .find(|line| line.contains("name=\"hello\"") && line.contains("outcome=\"ok\"") && line.ends_with(" 1"))?;
        Some(())
    });
    for headers in [&cookie, &bearer] {
        let plain = fetch(&site, "/metrics", headers);
        assert_eq!(
            (plain.status, plain.header("content-type")),
            (200, Some("text/plain; version=0.0.4; charset=utf-8"))
        );
        let open =
            fetch(&site, "/metrics", &format!("{headers}Accept: application/openmetrics-text; version=1.0.0\r\n"));
        assert_eq!(
            (open.status, open.header("content-type")),
            (200, Some("application/openmetrics-text; version=1.0.0; charset=utf-8"))
        );
        assert!(open.body.ends_with("\n# EOF\n"), "{open:?}");
        for metrics in [&plain.body, &open.body] {
            assert!(metrics.contains("\ncronwheel_up 1\n"), "{metrics}");
            assert!(!metrics.contains("nightly") && !metrics.contains("often"), "jobs of others: {metrics}");
        }

        let calendar = fetch(&site, "/calendar.ics", headers);
        assert_eq!((calendar.status, calendar.header("content-type")), (200, Some("text/calendar; charset=utf-8")));
        let text = &calendar.body;
        assert!(text.starts_with("BEGIN:VCALENDAR\r\n") && text.ends_with("\r\nEND:VCALENDAR\r\n"), "{text}");
        // Each of 30 days has one run at 02:30, but perhaps today.
        let runs = between(text, "SUMMARY:alice:daily\r\n", "END:VEVENT").len();
        assert!((29..=30).contains(&runs), "{runs}: {text}");
        assert!(text.contains("T023000Z\r\n") && !text.contains("often"), "{text}");
    }
    for (path, headers, status) in [
        ("/metrics", String::new(), 401),
        ("/calendar.ics", String::new(), 401),
        ("/metrics", format!("Authorization: Basic {TOKEN}\r\n"), 401),
        ("/metrics", format!("Authorization: Bearer {TOKEN}0\r\n"), 401),
        ("/calendar.ics", format!("{bearer}{bearer}"), 401),
        ("/timeline", bearer.clone(), 401),
    ] {
        let answer = fetch(&site, path, &headers);
        let is_silent = ["cronwheel_up", "VCALENDAR", "alice:"].iter().all(|text| !answer.body.contains(text));
        assert!(answer.status == status && is_silent, "{path}: {headers}: {answer:?}");
    }

    daemon.signal(Signal::SIGTERM);
    daemon.end(Deadline::seconds(20));
    for headers in [bearer.clone(), format!("{bearer}Accept: application/openmetrics-text\r\n")] {
        let metrics = fetch(&site, "/metrics", &headers);
        assert!(metrics.status == 200 && metrics.body.ends_with("\ncronwheel_up 0\n# EOF\n"), "{metrics:?}");
        assert!(!metrics.body.contains("hello"), "{metrics:?}");
    }
    assert_eq!(fetch(&site, "/calendar.ics", &bearer).status, 503);
}
