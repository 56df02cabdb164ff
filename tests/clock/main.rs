//! The built daemon, unchanged, while its clock goes through gaps and folds, is set, sleeps, and is looked at by one daemon
//! after another. What the preloaded clock covers is told in tests/README.md.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests, though not inside a #[test].

#[path = "../common/mod.rs"]
pub mod common;

mod anacron;
pub mod fake;
mod story;
mod zones;

use common::{Deadline, Implementation};
use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use story::{Change, Machine, Story, minutes, of, time};

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;

/// Jobs about the hour that Europe/Berlin skips and repeats, in its own time and in others.
const ABOUT_DAYLIGHT: &[&str] = &[
    "@reboot boot",
    "* * * * * min",
    "*/30 2 * * * wild2",
    "0 * * * * hourly",
    "59 1 * * * f0159",
    "0 2 * * * f0200",
    "30 2 * * * f0230",
    "59 2 * * * f0259",
    "0 3 * * * f0300",
    "15 3 * * * f0315",
    "CRON_TZ=UTC",
    "30 0,1 * * * u0030,0130",
    "CRON_TZ=America/New_York",
    "45 20 * * * n2045",
    "CRON_TZ=local",
    "RANDOM_DELAY=7",
    "30 2 * * * delayed",
];

/// Holds the starts of some jobs against the minutes (of UTC, as the clock showed them) that the rule gives.
fn assert_starts(found: &story::Starts, rule: &[(&str, &[&str])]) {
    for (name, expected) in rule {
        assert_eq!(of(found, name), *expected, "{name}");
    }
}

#[test]
fn through_a_gap_nothing_is_lost_and_nothing_doubled() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let story = Story {
        zone: "Europe/Berlin",
        lines: ABOUT_DAYLIGHT,
        from: "2026-03-29T00:40:30Z",
        until: "2026-03-29T01:30:30Z",
        changes: &[],
    };
    let found = story.live(world);
    assert_eq!(of(&found, "min"), minutes("00:41", "01:30"));
    assert_eq!(of(&found, "delayed").len(), 1);
    assert_starts(
        &found,
        &[
            ("boot", &["00:40"]),
            ("wild2", &[]),
            ("hourly", &["01:00"]),
            ("f0159", &["00:59"]),
            ("f0200", &["01:00"]),
            ("f0230", &["01:00"]),
            ("f0259", &["01:00"]),
            ("f0300", &["01:00"]),
            ("f0315", &["01:15"]),
            ("u0030,0130", &["01:30"]),
            ("n2045", &["00:45"]),
        ],
    );
}

#[test]
fn through_a_fold_nothing_is_lost_and_nothing_doubled() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let story = Story {
        zone: "Europe/Berlin",
        lines: ABOUT_DAYLIGHT,
        from: "2026-10-24T23:50:30Z",
        until: "2026-10-25T02:20:30Z",
        changes: &[],
    };
    let found = story.live(world);
    assert_eq!(of(&found, "min"), minutes("23:51", "02:20"));
    assert_eq!(of(&found, "delayed").len(), 1);
    assert_starts(
        &found,
        &[
            ("boot", &["23:50"]),
            ("wild2", &["00:00", "00:30", "01:00", "01:30"]),
            ("hourly", &["00:00", "01:00", "02:00"]),
            ("f0159", &["23:59"]),
            ("f0200", &["00:00"]),
            ("f0230", &["00:30"]),
            ("f0259", &["00:59"]),
            ("f0300", &["02:00"]),
            ("f0315", &["02:15"]),
            ("u0030,0130", &["00:30", "01:30"]),
            ("n2045", &["00:45"]),
        ],
    );
}

#[test]
fn four_steps_of_the_clock_and_a_sleep_do_what_the_rule_says() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let story = Story {
        zone: "Asia/Kathmandu",
        lines: &[
            "*/5 * * * * five",
            "CRON_TZ=UTC",
            "* * * * * min",
            "8 10 * * * f1008",
            "0 12 * * * f1200",
            "30 12 * * * f1230",
            "10 13 * * * f1310",
            "30 13 * * * f1330",
            "0 15 * * * f1500",
            "36 16 * * * f1636",
            "0 17 * * * f1700",
        ],
        from: "2026-05-01T10:00:30Z",
        until: "2026-05-01T11:35:30Z",
        changes: &[
            ("2026-05-01T10:05:30Z", Change::Set(10 * MINUTE)), // 10:05 to 10:15
            ("2026-05-01T10:10:30Z", Change::Set(2 * HOUR + 59 * MINUTE)), // 10:20 to 13:19
            ("2026-05-01T10:15:30Z", Change::Set(-59 * MINUTE)), // 13:24 to 12:25
            ("2026-05-01T11:25:30Z", Change::Set(3 * HOUR + MINUTE)), // 13:35 to 16:36
            ("2026-05-01T11:30:30Z", Change::Sleep(47 * MINUTE)), // 16:41 to 17:28
        ],
    };
    let found = story.live(world);
    let shown = [("10:01", "10:05"), ("10:15", "10:20"), ("13:19", "13:24"), ("12:25", "13:35"), ("16:36", "16:41")];
    let shown = shown.into_iter().chain([("17:28", "17:33")]).flat_map(|(from, to)| minutes(from, to));
    let shown: Vec<String> = shown.collect();
    assert_eq!(of(&found, "min"), shown);
    let fives: Vec<&String> = shown.iter().filter(|minute| minute.ends_with(['0', '5'])).collect();
    assert_eq!(of(&found, "five").iter().collect::<Vec<_>>(), fives);
    assert_starts(
        &found,
        &[
            ("f1008", &["10:15"]),
            ("f1200", &["13:19"]),
            ("f1230", &["13:19"]),
            ("f1310", &["13:19"]),
            ("f1330", &["13:30"]),
            ("f1500", &[]),
            ("f1636", &["16:36"]),
            ("f1700", &["17:28"]),
        ],
    );
}

/// The clock of a machine without a battery is set to 10:02:30 of 2026-05-01 two minutes after the boot.
fn assert_no_storm(world: common::World, from: &str, set_at: &str, until: &str) {
    let by = time("2026-05-01T10:02:30Z") - time(set_at);
    let story = Story {
        zone: "UTC",
        lines: &[
            "@reboot boot",
            "* * * * * min",
            "*/5 * * * * five",
            "30 2 * * * f0230",
            "3 10 * * * f1003",
            "0 0 1 1 * yearly",
            "CRON_CATCHUP=once",
            "0 3 * * * once",
        ],
        from,
        until,
        changes: &[(set_at, Change::Set(by))],
    };
    let found = story.live(world);
    assert_eq!(of(&found, "min"), [minutes("00:11", "00:12"), minutes("10:02", "10:05")].concat());
    assert_starts(
        &found,
        &[("boot", &["00:10"]), ("five", &["10:05"]), ("f0230", &[]), ("f1003", &["10:03"]), ("yearly", &[])],
    );
    assert!(of(&found, "once").len() <= 1, "{found:?}");
}

#[test]
fn a_clock_that_begins_in_1970_and_is_set_causes_no_storm_of_runs() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    assert_no_storm(world, "1970-01-02T00:10:30Z", "1970-01-02T00:12:30Z", "1970-01-02T00:15:30Z");
}

#[test]
fn a_clock_that_begins_in_2098_and_is_set_back_causes_no_storm_of_runs() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    assert_no_storm(world, "2098-01-02T00:10:30Z", "2098-01-02T00:12:30Z", "2098-01-02T00:15:30Z");
}

#[test]
fn restarts_at_any_moment_lose_and_double_nothing_but_what_the_rule_says() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let story = Story {
        zone: "Europe/Berlin",
        lines: &[
            "@reboot boot",
            "* * * * * min",
            "55 1 * * * f0155",
            "57 1 * * * f0157",
            "30 2 * * * f0230",
            "6 3 * * * f0306",
            "9 3 * * * f0309",
        ],
        from: "2026-03-29T00:50:30Z",
        until: "2026-03-29T01:13:30Z",
        changes: &[
            ("2026-03-29T00:52:20Z", Change::Restart(SIGTERM, 20, 0)),
            ("2026-03-29T00:54:30Z", Change::Restart(SIGKILL, 40, 0)),
            ("2026-03-29T00:56:58Z", Change::Restart(SIGTERM, 4, 0)),
            // Over the gap.
            ("2026-03-29T00:59:30Z", Change::Restart(SIGKILL, 50, 0)),
            // The clock is set back meanwhile.
            ("2026-03-29T01:02:30Z", Change::Restart(SIGTERM, 60, -20)),
            // Longer than is made up for: 01:06 and 01:07 are lost.
            ("2026-03-29T01:05:30Z", Change::Restart(SIGKILL, 300, 0)),
        ],
    };
    let found = story.live(world);
    let late = ["01:10", "01:10"].map(str::to_owned);
    let min: Vec<String> = [minutes("00:51", "01:05"), late.to_vec(), minutes("01:10", "01:13")].concat();
    assert_eq!(of(&found, "min"), min);
    assert_starts(
        &found,
        &[
            ("boot", &["00:50"]),
            ("f0155", &["00:55"]),
            ("f0157", &["00:57"]),
            ("f0230", &["01:00"]),
            ("f0306", &[]),
            ("f0309", &["01:10"]),
        ],
    );
}

#[test]
fn a_daemon_that_is_killed_before_its_first_start_has_left_a_record() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let story = Story {
        zone: "UTC",
        lines: &["1 10 * * * f1001"],
        from: "2026-05-01T10:00:30Z",
        until: "2026-05-01T10:01:30Z",
        changes: &[("2026-05-01T10:00:45Z", Change::Restart(SIGKILL, 25, 0))],
    };
    assert_eq!(story.live(world), ["10:01 f1001"]);
}

#[test]
fn a_step_of_the_clock_while_the_timer_is_armed_is_noticed() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let machine = Machine::boot(world, "UTC", &["0 12 * * * far"], "2026-05-01T10:00:30Z");
    machine.clock.set_on_arming(-40);
    machine.world.drop_in("interval", &story::table(&["@100 interval"]));
    // It was to come at 10:02:10; an interval waits no longer because the clock was set back.
    let early = time("2026-05-01T10:01:25Z")..time("2026-05-01T10:01:55Z");
    Deadline::seconds(30).wait_for("the timer to be armed for the earlier moment", || {
        machine.clock.armed().filter(|armed| early.contains(armed))
    });
    machine.run_to(time("2026-05-01T10:02:00Z"));
    assert_eq!(machine.ledger(), ["10:01 interval"]);
}

#[test]
fn what_was_due_while_another_cron_ran_is_not_caught_up() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let mut machine = Machine::boot(world, "UTC", &["* * * * * min"], "2026-05-01T10:00:30Z");
    machine.run_to(time("2026-05-01T10:01:30Z"));
    for (pid_file, expected) in [(None, 3), (Some("1\n"), 0)] {
        let before = machine.ledger().len();
        machine.daemon.signal(SIGTERM);
        machine.daemon.end(Deadline::seconds(30));
        if let Some(text) = pid_file {
            // As Debian's cron leaves it behind.
            std::fs::write("/run/crond.pid", text).unwrap();
        }
        machine.clock.pass_to(machine.clock.shows() + 3 * MINUTE);
        machine.daemon = story::start(&machine.world);
        machine.wait_until_idle();
        assert_eq!(machine.ledger().len() - before, expected, "{pid_file:?}: {:?}", machine.ledger());
    }
    // From then on as ever.
    let before = machine.ledger().len();
    machine.run_to(machine.clock.shows() + MINUTE);
    assert_eq!(machine.ledger().len(), before + 1);
}

#[test]
fn what_was_missed_while_the_daemon_was_down_is_caught_up_and_not_again_at_the_next_restart() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let story = Story {
        zone: "UTC",
        lines: &[
            "0 * * * * plain",
            "CRON_CATCHUP=once",
            "0 * * * * once",
            "CRON_CATCHUP=all",
            "0 * * * * each",
            "CRON_CATCHUP=all,90m",
            "0 * * * * recent",
        ],
        from: "2026-05-01T10:00:30Z",
        until: "2026-05-01T16:00:30Z",
        changes: &[
            // Until 15:40: three slots are missed.
            ("2026-05-01T12:30:00Z", Change::Restart(SIGKILL, 3 * HOUR + 10 * MINUTE, 0)),
            ("2026-05-01T15:45:00Z", Change::Restart(SIGTERM, 60, 0)),
            ("2026-05-01T15:50:00Z", Change::Restart(SIGKILL, 60, 0)),
        ],
    };
    let found = story.live(world);
    assert_starts(
        &found,
        &[
            ("plain", &["11:00", "12:00", "16:00"]),
            ("once", &["11:00", "12:00", "15:40", "16:00"]),
            ("each", &["11:00", "12:00", "15:40", "15:40", "15:40", "16:00"]),
            ("recent", &["11:00", "12:00", "15:40", "16:00"]),
        ],
    );
}

/// Changes a file through a mapping of it, for which the kernel has no event, and keeps it open.
const WRITE_UNHEARD: &str = "import mmap, sys
file = open('/etc/cron.d/story', 'r+b')
mapped = mmap.mmap(file.fileno(), 0)
place = mapped.find(b'0 12 ')
mapped[place:place + 5] = b'0 11 '
print('written', flush=True)
sys.stdin.read()
";

#[test]
fn a_change_without_an_event_is_found_by_the_rescan_of_every_ten_minutes() {
    let Some(world) = world!(Implementation::OursDebian, ["python3"]) else { return };
    // On file systems that report what they are asked to.
    for place in ["/etc", "/var/spool"] {
        world
            .run(&format!(
                "mkdir -p /run/real{place} && cp -a {place}/. /run/real{place} && mount --bind /run/real{place} {place}"
            ))
            .ok();
    }
    let machine = Machine::boot(world, "UTC", &["0 12 * * * noon"], "2026-05-01T10:00:30Z");
    let (noon, eleven) = (time("2026-05-01T12:00:00Z"), time("2026-05-01T11:00:00Z"));
    assert_eq!(machine.clock.armed(), Some(noon));
    let mut python = std::process::Command::new("python3")
        .args(["-c", WRITE_UNHEARD])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut word = [0; 7];
    std::io::Read::read_exact(python.stdout.as_mut().unwrap(), &mut word).unwrap();
    assert!(std::fs::read_to_string("/etc/cron.d/story").unwrap().contains("\n0 11 * * * root "));
    let pass = |seconds: i64| {
        machine.clock.pass_to(machine.clock.shows() + seconds);
        // Its question wakes the daemon up, which waits by the true clock.
        machine.wait_until_idle();
    };
    pass(9 * MINUTE);
    assert_eq!(machine.clock.armed(), Some(noon), "the change is heard of, the test shows nothing");
    pass(MINUTE + 1);
    Deadline::seconds(30).wait_for("the rescan", || (machine.clock.armed() == Some(eleven)).then_some(()));
    python.kill().unwrap();
    python.wait().unwrap();
}

#[test]
fn a_sleep_is_told_from_a_clock_that_was_set() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let lines = ["CRON_NAME=job", "CRON_CATCHUP=once", "*/10 * * * * caught"];
    let machine = Machine::boot(world, "UTC", &lines, "2026-05-01T10:01:30Z");
    let events = "/run/events";
    let mut follower = machine
        .world
        .command_as("root", &format!("exec cronctl events -f --json >{events} 2>&1"))
        .spawn()
        .expect("cronctl");
    let missed = || -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(events).unwrap_or_default();
        let events = text.lines().map(|line| serde_json::from_str(line).expect(line));
        events.filter(|event: &serde_json::Value| event["event"] == "missed").collect()
    };
    // Nothing tells when the follower listens.
    Deadline::seconds(20).wait_for("the follower", || {
        machine.world.run("cronctl reload");
        (!std::fs::read_to_string(events).unwrap_or_default().is_empty()).then_some(())
    });
    for (nth, reason) in ["asleep", "clock"].into_iter().enumerate() {
        machine.reacts(|| match reason {
            "asleep" => machine.clock.sleep(5 * HOUR),
            _ => machine.clock.set(5 * HOUR),
        });
        let found = Deadline::seconds(20).wait_for(reason, || missed().get(nth).cloned());
        let outcome = &found["outcome"];
        assert_eq!((&outcome["outcome"], &outcome["reason"]), (&"missed".into(), &reason.into()), "{found}");
        assert_eq!(outcome["count"], 29, "{found}");
    }
    // The latest slot has run both times.
    assert_eq!(machine.ledger(), ["15:01 caught", "20:01 caught"]);
    follower.kill().expect("the follower");
    follower.wait().expect("its end");
}
