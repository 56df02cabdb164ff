//! The content of the web pages.

use crate::client::{Site, read_events};
use crate::common::{Deadline, Implementation, clock};
use crate::{prepare, prepare_many, world};
use nix::sys::signal::Signal;
use std::collections::HashSet;
use std::fs;

#[test]
fn each_page_shows_what_the_daemon_knows() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let mut daemon = prepare(&world);
    let site = Site::signed_in(&world, "root", "");
    world.run("cronctl run --wait alice:hello").ok();
    world.run("cronctl run --wait alice:fails");
    world.run("cronctl pause bob:nightly --note 'the <b>disk</b> is replaced'").ok();
    // The recorder writes rows within a moment.
    let overview = site.wait_for("/", "failed (exit 3)").body;
    let (attention, running) = (overview.find("Needs attention").unwrap(), overview.find(">Running<").unwrap());
    assert!(attention < running, "what fails comes first");
    for text in [
        "alice:</span>fails",
        "bob:</span>nightly",
        "the &lt;b&gt;disk&lt;/b&gt; is replaced",
        "<b>1</b> <span>failing",
    ] {
        assert!(overview.contains(text), "{text}: {overview}");
    }
    let jobs = site.get("/jobs").body;
    for text in ["alice:</span>hello", "alice:</span>slow", "bob:</span>nightly", "1–6 of 6 jobs", "0 0 1 1 *"] {
        assert!(jobs.contains(text), "{text}: {jobs}");
    }
    for (search, there, missing) in [
        ("q=HELLO", "alice:</span>hello", "alice:</span>fails"),
        ("state=failing", "alice:</span>fails", "alice:</span>hello"),
        ("state=paused", "bob:</span>nightly", "alice:</span>hello"),
        ("user=bob", "bob:</span>nightly", "alice:</span>hello"),
        ("q=no-such-job-here", "No job matches", "alice:</span>hello"),
    ] {
        let found = site.get(&format!("/jobs?{search}")).body;
        assert!(found.contains(there) && !found.contains(missing), "{search}: {found}");
    }
    let by_name = site.get("/jobs?sort=name").body;
    let at = |name: &str| by_name.find(name).unwrap_or_else(|| panic!("{name}: {by_name}"));
    assert!(at("</span>endless") < at("</span>fails") && at("</span>fails") < at("</span>nightly"));

    let job = site.wait_for("/job/alice:hello", "hello\noops\n").body;
    for text in
        ["At 00:00", "/var/spool/cron/crontabs/alice", ", line ", "crontab -u alice -e", "Run now", "<svg", "100.0% ok"]
    {
        assert!(job.contains(text), "{text}: {job}");
    }
    let run = job.split("/run/").nth(1).unwrap().split('"').next().unwrap();
    let run = site.get(&format!("/run/{run}"));
    for text in ["echo hello; echo oops &gt;&amp;2", "manual", "oops\n", "Ended"] {
        assert!(run.body.contains(text), "{text}: {run:?}");
    }
    for (path, text) in [
        ("/timeline", "Timeline"),
        ("/timeline?length=30d", "aria-current=\"true\">1 month"),
        ("/fleet", "No fleet is set up"),
        ("/check", "cronctl explain"),
    ] {
        let page = site.get(path);
        assert!(page.status == 200 && page.body.contains(text), "{path}: {page:?}");
    }
    assert_eq!((site.get("/healthz").status, site.get("/healthz").body.as_str()), (200, "ok\n"));

    // Every page says that the daemon is stopped, and how it is started.
    daemon.signal(Signal::SIGTERM);
    daemon.end(Deadline::seconds(20));
    for path in ["/", "/jobs", "/job/alice:hello", "/run/1", "/timeline", "/fleet", "/check"] {
        let page = site.get(path);
        let says = page.body.contains("The daemon does not answer") && page.body.contains("systemctl start cron");
        assert!(page.status == 503 && says, "{path}: {page:?}");
    }
    assert_eq!(site.get("/healthz").status, 503);
}

#[test]
fn output_is_followed_and_events_arrive_while_a_page_is_open() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    let site = Site::signed_in(&world, "alice", "");
    let threads = || fs::read_dir(format!("/proc/{}/task", site.pid())).unwrap().count();
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", site.pid())).unwrap().count();
    Deadline::seconds(20).wait_for("the threads of the first page to end", || (threads() == 1).then_some(()));
    let idle = descriptors();
    let told = site.post("/api/run", "{\"job\":\"alice:slow\"}").message();
    assert!(told.starts_with("Started alice:slow as run "), "{told}");
    let run = told.trim_end_matches('.').rsplit(' ').next().unwrap().to_owned();
    // The page has it without a script, too.
    let page = site.wait_for(&format!("/run/{run}"), "begun").body;
    assert!(page.contains(&format!("data-follow=\"/run/{run}/output\"")), "{page}");
    // The daemon may hear of the process a moment later.
    let page = site.wait_for(&format!("/run/{run}"), "<dt>Process</dt>").body;
    for fact in ["<dt>Started</dt>", "<dt>Running for</dt>"] {
        assert!(page.contains(fact), "{fact}: {page}");
    }
    assert!(!page.contains("0 bytes"), "{page}");
    let followed = read_events(&site, &format!("/run/{run}/output"), |text| {
        if text.contains("begun") {
            fs::write("/tmp/go", "").unwrap();
        }
        text.contains("event: end")
    });
    assert!(followed.contains("begun") && followed.contains("done"), "{followed}");
    let mut is_started = false;
    let happened = read_events(&site, "/events", |text| {
        if text.contains("retry:") && !std::mem::replace(&mut is_started, true) {
            site.post("/api/run", "{\"job\":\"alice:hello\"}");
        }
        text.contains("\"start\"") && text.contains("\"end\"")
    });
    assert!(happened.contains("alice:hello"), "{happened}");
    // However fast pages are opened and left, they share one connection to the daemon, which accepts few of a user.
    for _ in 0..20 {
        read_events(&site, "/events", |text| text.contains("retry:"));
    }
    assert!(descriptors() <= idle + 6, "{} and {idle} descriptors", descriptors());
    // Without a page nothing is asked: no connection to the daemon stays.
    Deadline::seconds(60).wait_for("the connections to end", || (descriptors() <= idle).then_some(()));
}

#[test]
fn lines_are_checked_and_tables_stay_as_they_are() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    let before = fs::read("/var/spool/cron/crontabs/alice").unwrap();
    let site = Site::signed_in(&world, "root", "--read-only");
    for (line, system, texts) in [
        ("30 2 * * mon-fri /usr/local/bin/x", false, ["At 02:30", "Next runs"].as_slice()),
        ("0 24 * * * x", false, &["expected an hour from 0 to 23, found 24", "^^", "Midnight is hour 0"]),
        ("0 4 * * * bob echo <i>", true, &["bob", "echo &lt;i&gt;"]),
        ("0 4 * * * nobody-here true", true, &["there is no user nobody-here"]),
        ("# comment", false, &["not an entry"]),
    ] {
        let body = serde_json::json!({ "line": line, "system": system }).to_string();
        let answer = site.post("/api/check", &body);
        assert_eq!(answer.status, 200, "{line}: {answer:?}");
        for text in texts {
            assert!(answer.body.contains(text), "{line}: {text}: {answer:?}");
        }
    }
    assert_eq!(site.post("/api/check", "{\"line\":\"a\\nb\"}").status, 400);
    // All of that from inside the sandbox, in which users are looked up, too.
    let status = fs::read_to_string(format!("/proc/{}/status", site.pid())).unwrap();
    assert!(status.contains("\nSeccomp:\t2\n") && status.contains("\nNoNewPrivs:\t1\n"), "{status}");
    // The zone of the job is that of CRON_TZ.
    let zoned = "{\"line\":\"0 3 * * * true\",\"zone\":\"Asia/Tokyo\"}";
    let zoned = site.post("/api/check", zoned).body;
    assert!(zoned.contains("the line is read in Asia/Tokyo"), "{zoned}");
    let unknown = site.post("/api/check", "{\"line\":\"0 3 * * * true\",\"zone\":\"Nowhere\"}").body;
    assert!(unknown.contains("There is no time zone Nowhere."), "{unknown}");
    assert_eq!(fs::read("/var/spool/cron/crontabs/alice").unwrap(), before);
}

#[test]
fn ten_thousand_jobs_are_shown_in_pages() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare_many(&world);
    let site = Site::signed_in(&world, "root", "");
    // A machine may be busy with other tests, so that how long it takes is only told.
    let begun = clock::now();
    site.get("/jobs");
    println!("the first page of 10,000 jobs: {} ms", clock::now().saturating_sub(begun).as_millis());
    for path in ["/", "/jobs", "/jobs?page=200", "/jobs?q=job-77", "/jobs?sort=next&page=3", "/jobs?sort=name"] {
        let page = site.get(path);
        assert!(
            page.status == 200 && page.body.len() < 100 << 10,
            "{path}: {} bytes, {}",
            page.body.len(),
            page.status
        );
    }
    let page = site.get("/jobs?page=200").body;
    assert!(page.contains("job-9998") && page.contains("of 10006 jobs") && page.contains("page 200 of 201"), "{page}");
    assert!(site.get("/jobs?q=job-77").body.contains("of 111 jobs"));
    // From each page to the next, to the end: each job once.
    let (mut seen, mut pages, mut next) = (HashSet::new(), 0, Some("/jobs".to_owned()));
    while let Some(address) = next {
        let page = site.get(&address).body;
        pages += 1;
        for job in page.split("<a class=\"job\" href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(seen.insert(job.to_owned()), "{job} again on {address}");
        }
        let link = page.split_once("\" rel=\"next\"").and_then(|(before, _)| before.rsplit_once("href=\""));
        next = link.map(|(_, address)| address.replace("&amp;", "&"));
    }
    assert_eq!((pages, seen.len()), (201, 10_006));
    let behind = site.get("/jobs?page=202").body;
    assert!(behind.contains("There is no page 202") && behind.contains("/jobs?page=201"), "{behind}");
    // In an order, too, the last page can be reached, and each job is on one.
    let sorted = |page: usize| site.get(&format!("/jobs?sort=name&page={page}")).body;
    let jobs_of = |page: &str| -> Vec<String> {
        let links = page.split("<a class=\"job\" href=\"").skip(1);
        links.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
    };
    let (before, last) = (sorted(200), sorted(201));
    assert!(before.contains("page 200 of 201") && before.contains("page=201"), "{before}");
    assert!(last.contains("page 201 of 201") && !last.contains("rel=\"next\""), "{last}");
    assert_eq!((jobs_of(&before).len(), jobs_of(&last).len()), (50, 6));
    let end = [jobs_of(&before), jobs_of(&last)].concat();
    assert!(end.is_sorted() && end.last().is_some_and(|job| job.ends_with("bob:nightly")), "{end:?}");
    assert!(sorted(100_000).contains("There is no page 100000"));
    assert_eq!(site.get(&format!("/jobs?q={}", "x".repeat(300))).status, 400);
}

#[test]
fn a_timeline_asks_on_for_more_starts_and_says_what_is_left_out() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    let often: String = (0..60).map(|number| format!("CRON_NAME=often{number}\n* * * * * true\n")).collect();
    world.crontab("alice", &often).ok();
    let site = Site::signed_in(&world, "alice", "");
    site.wait_for("/job/alice:often59", "* * * * *");
    // 10,800 starts are more than one answer of the daemon has. Only before now nothing has started.
    let page = site.get("/timeline?length=6h").body;
    assert!(!page.contains("More starts are in this time"), "{page}");
    let table = page.split_once("id=\"facts\"").unwrap().1;
    assert!(!table.contains("nothing starts for") && table.matches("not known").count() == 1, "{table}");
    assert!(table.contains("<td>") && !table.contains("coming: "), "{table}");
    // Each row has its line and its facts, however many the first one has.
    for number in 0..59 {
        let (link, facts) = (format!("href=\"/job/alice:often{number}\""), format!("data-of=\"alice:often{number}\""));
        assert!(table.contains(&link) && table.contains(&facts), "{number}: {table}");
    }
    let page = site.get("/timeline?length=3d").body;
    assert!(page.contains("More starts are in this time than the 100000 that are shown, those until "), "{page}");
    let table = page.split_once("id=\"facts\"").unwrap().1;
    assert!(!table.contains("nothing starts for") && table.matches("not known").count() == 2, "{table}");
}
