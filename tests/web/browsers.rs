//! The pages in Chromium.

use crate::client::Site;
use crate::common::implementation::package;
use crate::common::{Deadline, Implementation, World};
use crate::{SHARED_JOBS, prepare, prepare_many, world};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

/// The programs and packages that a test with a browser needs.
pub const NEEDS: [&str; 4] = ["chromium", "chromedriver", "python3", "axe-core"];

/// Does a part of `browser.py` as a user. With SHOTS=1 and --nocapture it prints pictures of the pages, in base64.
pub fn browse(world: &World, user: &str, part: &str, start: &str, site: &Site, who: &str) {
    fs::write("/run/browser.py", include_str!("browser.py")).unwrap();
    fs::copy(package("axe-core").join("axe.min.js"), "/run/axe.js").unwrap();
    fs::set_permissions("/run/axe.js", fs::Permissions::from_mode(0o644)).unwrap();
    let shots = std::env::var("SHOTS").unwrap_or_default();
    let line = format!("SHOTS={shots} python3 /run/browser.py {part} '{start}' {} {who} 2>&1", site.host);
    let used = world.run_as(user, &line);
    assert_eq!(used.code(), 0, "{}", used.stdout);
    print!("{}", used.stdout);
}

#[test]
fn a_browser_uses_every_page() {
    let Some(world) = world!(Implementation::OursDebian, NEEDS) else { return };
    let mut daemon = prepare(&world);
    let script = "#!/bin/sh\necho \"$1\" >/tmp/opened.new; mv /tmp/opened.new /tmp/opened\n";
    fs::write("/usr/local/bin/xdg-open", script).unwrap();
    fs::set_permissions("/usr/local/bin/xdg-open", fs::Permissions::from_mode(0o755)).unwrap();
    let site = Site::start(&world, "alice", "--open");
    let redirect = world.wait_for_file("/tmp/opened", Deadline::seconds(20)).trim().to_owned();
    let stopper = std::thread::spawn(move || {
        Deadline::seconds(400)
            .wait_for("the browser to come that far", || fs::exists("/tmp/stop").unwrap().then_some(()));
        daemon.signal(Signal::SIGTERM);
        daemon.end(Deadline::seconds(20));
    });
    browse(&world, "alice", "pages", &format!("file://{redirect}"), &site, "");
    stopper.join().unwrap();
}

#[test]
fn a_browser_shows_each_user_what_they_may_see_and_do() {
    let Some(world) = world!(Implementation::OursDebian, NEEDS) else { return };
    world.drop_in("shared", SHARED_JOBS);
    let _daemon = prepare(&world);
    for (user, arguments, who) in [("root", "", "root"), ("alice", "", "alice"), ("root", "--read-only", "read-only")] {
        let site = Site::start(&world, user, arguments);
        browse(&world, user, "rights", &site.address, &site, who);
    }
}

#[test]
fn a_browser_goes_through_pages_of_ten_thousand_jobs() {
    let Some(world) = world!(Implementation::OursDebian, NEEDS) else { return };
    let _daemon = prepare_many(&world);
    let site = Site::start(&world, "root", "");
    browse(&world, "root", "many", &site.address, &site, "");
}
