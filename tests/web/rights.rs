//! What root, a user and a reader see and can do.

use crate::client::Site;
use crate::common::{Deadline, Implementation};
use crate::{prepare, world};

#[test]
fn the_page_can_do_what_its_user_can_do() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    let own = Site::signed_in(&world, "alice", "");
    let jobs = own.get("/jobs").body;
    assert!(jobs.contains("alice:</span>hello") && !jobs.contains("nightly"), "{jobs}");
    assert_eq!(own.get("/job/bob:nightly").status, 404);
    let page = own.get("/job/alice:hello").body;
    // With a script there are buttons, without one the commands.
    for text in [
        "data-post=\"/api/run\"",
        "data-post=\"/api/pause\"",
        "cronctl run alice:hello",
        "cronctl pause alice:hello --for 1h",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(own.post("/api/run", "{\"job\":\"alice:endless\"}").message().starts_with("Started alice:endless as run "));
    own.wait_for("/", "endless");
    let page = own.wait_for("/job/alice:endless", "data-post=\"/api/kill\"").body;
    assert!(page.contains("End the run"), "{page}");
    // The run that is shown, whatever the job has begun meanwhile.
    assert!(page.contains("data-body=\"{&quot;run&quot;:"), "{page}");
    assert!(own.post("/api/kill", "{\"job\":\"alice:endless\"}").message().ends_with("is being ended."));
    own.wait_for("/job/alice:endless", "killed by");
    assert_eq!(
        own.post("/api/pause", "{\"job\":\"alice:hello\",\"for\":\"2h\",\"note\":\"why\"}").message(),
        "Paused alice:hello."
    );
    let page = own.wait_for("/job/alice:hello", "Paused by alice").body;
    assert!(page.contains(": why") && page.contains("data-post=\"/api/resume\""), "{page}");
    assert_eq!(own.post("/api/pause", "{\"job\":\"alice:hello\",\"for\":\"soon\"}").status, 400);
    assert_eq!(own.post("/api/resume", "{\"job\":\"alice:hello\"}").message(), "Resumed alice:hello.");
    assert_eq!(own.post("/api/run", "{\"job\":\"bob:nightly\"}").status, 404);

    // The user of an entry in a system table sees it and can end its runs.
    world.run("cronctl run bob:nightly").ok();
    let other = Site::signed_in(&world, "bob", "");
    let page = other.wait_for("/job/bob:nightly", "data-post=\"/api/kill\"").body;
    assert!(!page.contains("data-post=\"/api/run\"") && page.contains("to root only"), "{page}");
    assert_eq!(other.get("/job/alice:hello").status, 404);
    assert_eq!(other.post("/api/run", "{\"job\":\"bob:nightly\"}").status, 403);
    assert_eq!(other.post("/api/kill", "{\"job\":\"bob:nightly\"}").status, 200);

    let root = Site::signed_in(&world, "root", "");
    let page = root.get("/job/bob:nightly").body;
    assert!(page.contains("data-post=\"/api/run\"") && page.contains("/etc/cron.d/site"), "{page}");
}

#[test]
fn read_only_is_read_only() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    let site = Site::signed_in(&world, "root", "--read-only");
    let page = site.get("/job/alice:hello").body;
    assert!(page.contains("read-only") && !page.contains("data-post") && !page.contains("cronctl run"), "{page}");
    for (path, body) in [
        ("/api/run", "{\"job\":\"alice:hello\"}"),
        ("/api/pause", "{\"job\":\"alice:hello\"}"),
        ("/api/resume", "{\"job\":\"alice:hello\"}"),
        ("/api/kill", "{\"job\":\"alice:hello\"}"),
    ] {
        let answer = site.post(path, body);
        assert_eq!((answer.status, answer.message().as_str()), (403, "This page is read-only."), "{path}");
    }
    assert_eq!(world.run("cronctl history --json").stdout, "");
}

#[test]
fn a_page_of_one_user_has_no_jobs_of_others() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    world.run("cronctl run bob:nightly").ok();
    assert_eq!(world.run("cronctl run --wait alice:fails").code(), 3);
    let all = Site::signed_in(&world, "root", "");
    let shown = all.wait_for("/", "1</b> <span>running").body;
    assert!(shown.contains("<b>6</b> <span>jobs") && shown.contains("bob:nightly"), "{shown}");
    let only = Site::signed_in(&world, "root", "--user alice");
    let shown = only.get("/").body;
    assert!(shown.contains("<b>0</b> <span>running") && shown.contains("<b>5</b> <span>jobs"), "{shown}");
    assert!(shown.contains("<b>1</b> <span>failing") && shown.contains("only jobs of alice"), "{shown}");
    // The history hears of the run a moment later than the daemon.
    let run = Deadline::seconds(60).wait_for("the run in the history", || {
        let rows = world.run("cronctl history bob:nightly --json").ok();
        rows.split("\"run\":").find_map(|rest| rest.split([',', '}']).next()?.trim().parse::<u64>().ok())
    });
    for path in ["/", "/jobs", "/jobs?sort=name", "/jobs?user=bob", "/timeline", "/metrics", "/calendar.ics"] {
        let page = only.get(path);
        assert!(page.status == 200 && !page.body.contains("nightly"), "{path}: {page:?}");
    }
    assert_eq!((only.get("/job/bob:nightly").status, only.get(&format!("/run/{run}")).status), (404, 404));
    assert_eq!((only.get("/job/alice:hello").status, all.get(&format!("/run/{run}")).status), (200, 200));
    assert_eq!(only.get(&format!("/run/{run}/output")).status, 404);
    for (path, body) in [
        ("/api/run", "{\"job\":\"bob:nightly\"}".to_owned()),
        ("/api/pause", "{\"job\":\"bob:nightly\"}".to_owned()),
        ("/api/resume", "{\"job\":\"bob:nightly\"}".to_owned()),
        ("/api/kill", "{\"run\":0,\"job\":\"bob:nightly\"}".to_owned()),
        ("/api/kill", format!("{{\"run\":{run}}}")),
    ] {
        let answer = only.post(path, &body);
        assert_eq!(answer.status, 404, "{path} {body}: {answer:?}");
    }
    let still = all.get("/job/bob:nightly").body;
    assert!(still.contains("running") && !still.contains("Paused by"), "{still}");
    assert_eq!(only.post("/api/pause", "{\"job\":\"alice:hello\"}").status, 200);
}
