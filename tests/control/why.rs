//! What `why`, `next` and `list` say of the past and of what is to come.

use crate::common::{Deadline, Implementation, World};
use crate::{TABLE, cronctl, json, json_lines, prepare, wait_for_state, world};
use serde_json::Value;

/// The rows of a job in the history, the oldest first.
fn rows(world: &World, job: &str) -> Vec<Value> {
    let shown = cronctl(world, "alice", &format!("history {job} --limit 1000 --json"));
    let mut rows: Vec<Value> = json_lines(&shown).into_iter().map(|row| row["run"].clone()).collect();
    rows.reverse();
    rows
}

/// Replaces alice's table by one job, and waits until the daemon has it.
fn one_job(world: &World, name: &str, lines: &str) {
    world.crontab("alice", &format!("CRON_NAME={name}\n{lines}\n")).ok();
    Deadline::seconds(20)
        .wait_for(name, || (cronctl(world, "alice", &format!("list {name}")).code() == 0).then_some(()));
}

/// A moment in the history, so many seconds later, as `cronctl` takes it.
fn later(time: &Value, seconds: i64) -> String {
    let time = chrono::DateTime::parse_from_rfc3339(time.as_str().unwrap()).unwrap();
    (time + chrono::TimeDelta::seconds(seconds)).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[test]
fn why_names_the_run_that_was_going_on() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    one_job(&world, "long", "CRON_OVERLAP=skip\n@every_second sleep 8");
    let running = Deadline::seconds(30)
        .wait_for("a run", || rows(&world, "long").into_iter().find(|row| row["outcome"] == "running"));
    // The daemon alone knows it while the run is in progress.
    let asked = later(&running["scheduled_at"], 3);
    let why = Deadline::seconds(30).wait_for("the moment", || {
        let why = json(&cronctl(&world, "alice", &format!("why long {asked} --json")));
        (!why["verdict"].as_str()?.starts_with("it runs at")).then_some(why)
    });
    let verdict = why["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("it did not run: a run that began at 2"), "{why}");
    assert!(verdict.ends_with(" was still running, and overlap is skip"), "{why}");
    // And the history later.
    Deadline::seconds(40).wait_for("the skipped slots in the history", || {
        let end = rows(&world, "long").into_iter().find(|row| row["run"] == running["run"])?;
        let skipped = rows(&world, "long").into_iter().any(|row| row["reason"] == "still running");
        (end["outcome"] == "ok" && skipped).then_some(())
    });
    world.crontab("alice", "CRON_NAME=long\nCRON_OVERLAP=skip\n@every_second true\n").ok();
    let shown = cronctl(&world, "alice", &format!("why long {asked}")).ok();
    let first = shown.lines().next().unwrap();
    assert!(first.starts_with("it did not run: a run that began at 2"), "{shown}");
    assert!(first.ends_with(" was still running, and overlap is skip"), "{shown}");
    assert!(shown.contains("  running ") && shown.contains(" and ended at "), "{shown}");
    let ran = cronctl(&world, "alice", &format!("why long {}", later(&running["scheduled_at"], 0))).ok();
    assert!(ran.starts_with("it ran at ") && ran.lines().next().unwrap().ends_with(": ok"), "{ran}");
}

#[test]
fn why_says_that_no_daemon_ran_and_what_catch_up_made_of_it() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let daemon = prepare(&world);
    let table = "CRON_NAME=none\n@every_second true\nCRON_NAME=once\nCRON_CATCHUP=once\n@quartz */5 * * * * * * true\n";
    world.crontab("alice", table).ok();
    Deadline::seconds(30)
        .wait_for("runs", || (!rows(&world, "none").is_empty() && !rows(&world, "once").is_empty()).then_some(()));
    assert!(daemon.stop().success());
    let stopped = world.run("date -u +%Y-%m-%dT%H:%M:%SZ").ok();
    // A slot of each before, and another one of each behind it.
    let middle = later(&Value::from(stopped.trim()), 8);
    world.run("sleep 17").ok();
    let _daemon = world.start_daemon(&[]);
    let first_line = |job: &str| {
        let shown = cronctl(&world, "alice", &format!("why {job} {middle}"));
        shown.stdout.lines().next().unwrap_or_default().to_owned()
    };
    let down =
        |line: &str| line.contains("no daemon ran from 2") && line.contains(" to 2") && line.contains(" (stopped)");
    // Of slots by seconds only the newest of those that are due at the start runs.
    let end = ", and a newer slot took its place while it waited";
    let none =
        Deadline::seconds(30).wait_for("the interval", || Some(first_line("none")).filter(|line| line.ends_with(end)));
    assert!(none.starts_with("it did not run: ") && down(&none), "{none}");
    let once = Deadline::seconds(30).wait_for("the missed slots", || {
        Some(first_line("once"))
            .filter(|line| line.ends_with("catch-up left this slot out and ran the latest one only"))
    });
    assert!(down(&once), "{once}");
    let caught_up = Deadline::seconds(30).wait_for("the latest slot", || {
        rows(&world, "once").into_iter().find(|row| row["trigger"] == "catchup" && row["outcome"] == "ok")
    });
    let shown = cronctl(&world, "alice", &format!("why once {}", later(&caught_up["scheduled_at"], 0))).ok();
    let first = shown.lines().next().unwrap();
    assert!(down(first) && first.contains("; catch-up: it ran at ") && first.ends_with(": ok"), "{shown}");
    // Other times are not in that interval.
    let downtimes = cronctl(&world, "alice", "why none +1h").ok();
    assert!(!downtimes.contains("no daemon ran"), "{downtimes}");
}

#[test]
fn times_are_those_of_the_job_and_nothing_is_claimed_of_a_run_that_is_not_known() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    one_job(&world, "york", "CRON_TZ=America/New_York\n0 3 * * * true");
    // 3 o'clock there, long before the daemon was started.
    let past = cronctl(&world, "alice", "why york 2025-01-15T08:00:00Z").ok();
    assert!(past.starts_with("by its schedule it was due then, and the history has no run of it\n"), "{past}");
    assert!(past.contains("due at 2025-01-15T03:00:00-05:00"), "{past}");
    cronctl(&world, "alice", "run --wait york").ok();
    cronctl(&world, "alice", "pause york --for 1h").ok();
    let paused = Deadline::seconds(20).wait_for("the history", || {
        Some(cronctl(&world, "alice", "why york").ok()).filter(|shown| shown.contains("  history "))
    });
    assert!(paused.starts_with("it is paused until "), "{paused}");
    for text in [past, paused] {
        assert!(!text.contains("+00:00") && !text.contains("Z\n") && !text.contains("Z by"), "{text}");
        assert!(text.contains("-05:00") || text.contains("-04:00"), "{text}");
    }
}

#[test]
fn why_explains_the_exit_statuses_of_the_shell() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    for (name, command, status, cause) in [
        ("missing", "no-such-program", 127, "the shell did not find a command"),
        ("denied", "/etc/passwd", 126, "may not execute it"),
    ] {
        one_job(&world, name, &format!("0 0 1 1 * {command}"));
        assert_eq!(cronctl(&world, "alice", &format!("run --wait {name}")).code(), status);
        let shown = Deadline::seconds(20).wait_for("the history", || {
            Some(cronctl(&world, "alice", &format!("why {name}")).ok()).filter(|shown| shown.contains("  output "))
        });
        assert!(shown.contains(&format!("  cause     exit status {status}: ")) && shown.contains(cause), "{shown}");
        assert!(shown.contains(command) && shown.contains("(exit "), "{shown}");
    }
}

#[test]
fn why_of_a_job_that_is_not_read_shows_the_line_or_the_file() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let daemon = prepare(&world);
    world.drop_in("faulty", "CRON_NAME=weekly\n0 24 * * * root true\n");
    world.drop_in("dotted.cron", "0 1 * * * root true\n");
    let line = "/etc/cron.d/faulty:2:3: error: expected an hour from 0 to 23, found 24\n";
    let note = "the lines above are not loaded, and the job may be in one of them\n";
    for (user, job, expected) in [
        ("root", "weekly", line),
        ("alice", "weekly", line),
        ("root", "dotted.cron", "/etc/cron.d/dotted.cron: not read: rename it: "),
    ] {
        let shown = cronctl(&world, user, &format!("why {job}"));
        assert_eq!(shown.code(), 4, "{shown:?}");
        assert!(shown.stderr.contains(expected) && shown.stderr.ends_with(note), "{shown:?}");
    }
    let unknown = cronctl(&world, "root", "why unheard-of");
    assert!(unknown.stderr.starts_with("cronctl: there is no job unheard-of; "), "{unknown:?}");
    world.run("cp /etc/cron.d/site /var/spool/cron/crontabs/bob; chown bob:crontab /var/spool/cron/crontabs/bob").ok();
    world.run("chmod 640 /var/spool/cron/crontabs/bob").ok();
    let refused = cronctl(&world, "root", "why bob:backup");
    let reason = "/var/spool/cron/crontabs/bob: not read: (bob) INSECURE MODE (mode 0600 expected) ";
    assert!(refused.stderr.contains(reason) && refused.stderr.ends_with(note), "{refused:?}");
    assert!(daemon.stop().success());
}

#[test]
fn days_that_are_left_out_pauses_and_disabled_entries_have_no_next_run() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let daemon = prepare(&world);
    let day = |days: u32| world.run(&format!("date -u -d '+{days} days' +%F")).ok().trim().to_owned();
    world.run("mkdir -p /etc/cronwheel/calendars").ok();
    world.run(&format!("echo {}..{} >/etc/cronwheel/calendars/week", day(0), day(7))).ok();
    let table = format!(
        "{TABLE}CRON_TZ=UTC\nCRON_NAME=daily\nCRON_EXCEPT=week\n* * * * * true\nCRON_EXCEPT=default\nCRON_NAME=every\n\
         * * * * * true\nCRON_ENABLED=no\nCRON_NAME=off\n* * * * * true\n"
    );
    world.crontab("alice", &table).ok();
    wait_for_state(&world, "alice:off", "disabled");
    cronctl(&world, "alice", "pause every --for 3h").ok();
    let first = format!("{}T00:00:00", day(8));
    let next = |job: &str, from: &str| {
        let shown =
            json_lines(&cronctl(&world, "alice", &format!("next --json --count 5000 --from {from} --until +9d")));
        let found = shown.into_iter().find(|start| start["job"] == job);
        found.map(|start| start["at"].as_str().unwrap().to_owned())
    };
    let in_list = |job: &str| json(&cronctl(&world, "alice", &format!("list --json {job}")))["jobs"][0]["next"].clone();
    assert!(next("alice:daily", "+7d").unwrap().starts_with(&first));
    assert!(in_list("daily").as_str().unwrap().starts_with(&first));
    assert!(cronctl(&world, "alice", "why daily").ok().starts_with(&format!("it runs next at {first}")));
    let tomorrow = cronctl(&world, "alice", &format!("why daily {}", day(1))).ok();
    assert!(tomorrow.starts_with("it does not run then: CRON_EXCEPT has the day"), "{tomorrow}");
    let shown = cronctl(&world, "alice", "show daily --json");
    assert!(json(&shown)["next"][0].as_str().unwrap().starts_with(&first), "{shown:?}");
    let until = json(&cronctl(&world, "alice", "list --json every"))["jobs"][0]["paused_until"].clone();
    for at in [next("alice:every", "now").unwrap(), in_list("every").as_str().unwrap().to_owned()] {
        assert!(at.as_str() >= until.as_str().unwrap(), "{at} {until}");
        assert!(at < later(&until, 61), "{at} {until}");
    }
    let paused = cronctl(&world, "alice", "why every +1h").ok();
    assert!(paused.starts_with("it does not run then: it is paused until "), "{paused}");
    assert_eq!((next("alice:off", "now"), in_list("off")), (None, Value::Null));

    // Without a daemon the tables say the same.
    assert!(daemon.stop().success());
    world.run_with_input("alice", "cat >/tmp/table", table.as_bytes()).ok();
    let of_file =
        json_lines(&cronctl(&world, "alice", "next --file /tmp/table --json --count 5000 --from +7d --until +9d"));
    let line = |start: &Value| table.lines().nth(start["line"].as_u64().unwrap() as usize - 3).unwrap().to_owned();
    let daily = of_file.iter().find(|start| line(start).contains("daily")).unwrap();
    assert!(daily["at"].as_str().unwrap().starts_with(&first), "{daily}");
    let last = table.lines().count() as u64;
    assert!(of_file.iter().all(|start| start["line"] != last), "{last}");
    let list: Value =
        serde_json::from_str(cronctl(&world, "alice", "list --json").stdout.lines().next().unwrap()).unwrap();
    let found = list["jobs"].as_array().unwrap().iter().find(|job| job["job"] == "alice:daily").unwrap();
    assert!(found["next"].as_str().unwrap().starts_with(&first), "{found}");
}

#[test]
fn a_pause_that_is_not_kept_says_so_and_the_end_of_a_pause_of_all_is_told() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.run("useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin _cronwheel").ok();
    let daemon = world.start_daemon(&["--state-dir", "/proc/none"]);
    one_job(&world, "job", "0 0 1 1 * true");
    let forgotten = "cronctl: this pause will be forgotten when crond restarts: writing /proc/none/state: ";
    let paused = cronctl(&world, "alice", "pause job");
    assert!(paused.stdout.starts_with("paused alice:job until ") && paused.stderr.starts_with(forgotten), "{paused:?}");
    assert!(json(&cronctl(&world, "alice", "pause job --json"))["warning"].is_string());
    assert!(daemon.stop().success());
    let _daemon = world.start_daemon(&[]);
    one_job(&world, "job", "0 0 1 1 * true");
    let kept = cronctl(&world, "alice", "pause --all");
    assert_eq!(kept.stderr, "");

    // There is no job any more, and the pause of all is ended all the same.
    world.run_as("alice", "crontab -r").ok();
    Deadline::seconds(20)
        .wait_for("the end of the job", || (cronctl(&world, "alice", "list job").code() == 4).then_some(()));
    let ended = "the pause of all jobs is ended, also for entries that are added\n";
    assert_eq!(cronctl(&world, "alice", "resume --all").ok(), ended);
    assert_eq!(cronctl(&world, "alice", "resume --all").ok(), "no job was resumed: none of them is paused\n");
    one_job(&world, "job", "0 0 1 1 * true");
    cronctl(&world, "root", "pause --all").ok();
    let kept = cronctl(&world, "alice", "resume --all").ok();
    assert_eq!(kept, "1 job not resumed: paused by root, and only root can change that\n");
}

#[test]
fn the_reason_of_a_kill_is_the_same_text_everywhere() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    cronctl(&world, "alice", "run endless").ok();
    wait_for_state(&world, "alice:endless", "running");
    cronctl(&world, "root", "kill alice:endless").ok();
    wait_for_state(&world, "alice:endless", "idle");
    let last = json(&cronctl(&world, "alice", "list endless --json"))["jobs"][0]["last"].clone();
    assert_eq!((&last["outcome"], &last["reason"]), (&Value::from("killed"), &Value::from("by root")));
    Deadline::seconds(20).wait_for("the history", || {
        let row = rows(&world, "endless").pop()?;
        (row["outcome"] == last["outcome"] && row["reason"] == last["reason"]).then_some(())
    });
    assert!(cronctl(&world, "alice", "history endless").ok().contains("killed by root"));
}
