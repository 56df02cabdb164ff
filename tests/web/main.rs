//! `cronctl web` with the installed daemon on a private machine: pages, rights, sockets, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test program, helpers included.

#[path = "../common/mod.rs"]
pub mod common;

mod browsers;
mod client;
mod exports;
mod pages;
mod programs;
mod refusals;
mod rights;
mod screenshots;
mod sockets;

use common::{Deadline, World};

/// Where the pictures of the README are.
pub const SCREENSHOTS: &str = "contrib/screenshots";

/// The crontab of alice in these tests.
pub const TABLE: &str = "\
CRON_NAME=hello
0 0 1 1 * echo hello; echo oops >&2
CRON_NAME=fails
0 0 1 1 * echo bad; exit 3
CRON_NAME=slow
0 0 1 1 * echo begun; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo done
CRON_NAME=endless
0 0 1 1 * echo begun; sleep 600
CRON_NAME=hostile
0 0 1 1 * printf '\\033[31m<script>alert(1)</script>\\033[0m\\n'
";

/// A table of the system with jobs that come soon, one of alice and one of bob.
pub const SHARED_JOBS: &str = "CRON_NAME=daily\n30 2 * * * alice true\nCRON_NAME=often\n*/5 * * * * bob true\n";

/// A machine with a daemon, a history, alice's table and one of the system with a job that runs as bob.
pub fn prepare(world: &World) -> common::Daemon {
    world.crontab("alice", TABLE).ok();
    world.drop_in("site", "CRON_NAME=nightly\n0 0 1 1 * bob sleep 600\n");
    start(world, 6)
}

/// Starts a daemon with a history, and waits until it has so many jobs at least.
pub fn start(world: &World, jobs: usize) -> common::Daemon {
    for user in ["_cronwheel", "_cronwheel-web"] {
        // It may be there already.
        world.run(&format!(
            "useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin {user}"
        ));
    }
    let daemon = world.start_daemon(&[]);
    Deadline::seconds(20).wait_for("the tables", || {
        let shown = world.run("cronctl list --json").stdout;
        let list: serde_json::Value = serde_json::from_str(shown.lines().next()?).ok()?;
        (list["jobs"].as_array()?.len() >= jobs).then_some(())
    });
    daemon
}

/// The same with ten thousand jobs more.
pub fn prepare_many(world: &World) -> common::Daemon {
    let mut table = String::new();
    for number in 0..10_000 {
        table += &format!(
            "CRON_NAME=job-{number}\n{} {} * * * alice /usr/local/bin/job --number {number}\n",
            number % 60,
            number % 24
        );
    }
    world.drop_in("many", &table);
    let daemon = prepare(world);
    Deadline::seconds(60).wait_for("all jobs", || {
        let status: serde_json::Value = serde_json::from_str(&world.run("cronctl status --json").stdout).ok()?;
        (status["entries"].as_u64()? >= 10_006).then_some(())
    });
    daemon
}
