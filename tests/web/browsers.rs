//! The pages in Chromium.

use crate::client::Site;
use crate::common::implementation::package;
use crate::common::{Deadline, Implementation};
use crate::{prepare, world};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn a_browser_uses_every_page() {
    let Some(world) = world!(Implementation::OursDebian, ["chromium", "chromedriver", "python3", "axe-core"]) else {
        return;
    };
    let mut daemon = prepare(&world);
    let script = "#!/bin/sh\necho \"$1\" >/tmp/opened.new; mv /tmp/opened.new /tmp/opened\n";
    fs::write("/usr/local/bin/xdg-open", script).unwrap();
    fs::set_permissions("/usr/local/bin/xdg-open", fs::Permissions::from_mode(0o755)).unwrap();
    let site = Site::start(&world, "alice", "--open");
    let redirect = world.wait_for_file("/tmp/opened", Deadline::seconds(20)).trim().to_owned();
    fs::write("/run/browser.py", include_str!("browser.py")).unwrap();
    fs::copy(package("axe-core").join("axe.min.js"), "/run/axe.js").unwrap();
    fs::set_permissions("/run/axe.js", fs::Permissions::from_mode(0o644)).unwrap();
    let stopper = std::thread::spawn(move || {
        Deadline::seconds(400)
            .wait_for("the browser to come that far", || fs::exists("/tmp/stop").unwrap().then_some(()));
        daemon.signal(Signal::SIGTERM);
        daemon.end(Deadline::seconds(20));
    });
    let shots = std::env::var("SHOTS").unwrap_or_default();
    let used = world
        .run_as("alice", &format!("SHOTS={shots} python3 /run/browser.py {redirect} {} /run/axe.js 2>&1", site.host));
    assert_eq!(used.code(), 0, "{}", used.stdout);
    stopper.join().unwrap();
}
