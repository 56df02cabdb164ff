//! `cronctl` and the daemon that it asks, as installed on a private machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test program, helpers included.

#[path = "../common/mod.rs"]
pub mod common;

mod exports;
mod rights;
mod runs;
mod steering;
mod top;
mod views;
mod why;

use common::{Deadline, Shown, World};
use serde_json::Value;

/// The crontab of alice in these tests.
pub const TABLE: &str = "\
CRON_NAME=hello
0 0 1 1 * echo hello; echo oops >&2
CRON_NAME=fails
0 0 1 1 * echo bad; exit 3
CRON_NAME=slow
0 0 1 1 * echo begun; sleep 3; echo done
CRON_NAME=endless
CRON_OVERLAP=skip
0 0 1 1 * echo begun; sleep 600
CRON_OVERLAP=
CRON_NAME=dies
0 0 1 1 * kill -SEGV $$
CRON_NAME=limited
CRON_TIMEOUT=1s
0 0 1 1 * sleep 600
CRON_TIMEOUT=
CRON_NAME=colours
0 0 1 1 * printf '\\033[31mred\\033[0m\\nno end'
";

/// A machine with a daemon, a history, alice's table and one of the system with a job that runs as bob.
pub fn prepare(world: &World) -> common::Daemon {
    // It may be there already.
    world.run("useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin _cronwheel");
    world.crontab("alice", TABLE).ok();
    world.drop_in("site", "CRON_NAME=nightly\n0 0 1 1 * bob sleep 600\n");
    let daemon = world.start_daemon(&[]);
    Deadline::seconds(20).wait_for("the tables", || {
        let jobs = try_json(&cronctl(world, "root", "list --json"))?;
        (jobs["jobs"].as_array()?.len() >= 8).then_some(())
    });
    daemon
}

/// Runs `cronctl` as a user.
pub fn cronctl(world: &World, user: &str, arguments: &str) -> Shown {
    world.run_as(user, &format!("cronctl {arguments}"))
}

/// What `cronctl` prints as JSON, a value a line.
pub fn json_lines(shown: &Shown) -> Vec<Value> {
    shown
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {shown:?}")))
        .collect()
}

/// The same where it is one line.
pub fn json(shown: &Shown) -> Value {
    match json_lines(shown).as_slice() {
        [only] => only.clone(),
        _ => panic!("{shown:?}"),
    }
}

fn try_json(shown: &Shown) -> Option<Value> {
    serde_json::from_str(shown.stdout.lines().next()?).ok()
}

/// Waits until the state of a job is this, as root sees it.
pub fn wait_for_state(world: &World, job: &str, state: &str) {
    Deadline::seconds(20).wait_for(&format!("{job} to be {state}"), || {
        let list = try_json(&cronctl(world, "root", &format!("list --json {job}")))?;
        (list["jobs"][0]["state"] == state).then_some(())
    });
}
