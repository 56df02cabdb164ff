//! Calendar files, which `CRON_EXCEPT` names.

use crate::common::{Deadline, Implementation};
use crate::world;
use std::fs;

const TABLE: &str = "CRON_TZ=UTC\nCRON_EXCEPT=closed\nCRON_NAME=job\n@every_second echo x >>/tmp/ran\n";

#[test]
fn a_calendar_stops_a_job_on_its_days_and_a_change_is_noticed() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.run("mkdir -p /etc/cronwheel/calendars && date -u +%F >/etc/cronwheel/calendars/closed").ok();
    let installed = world.crontab("alice", TABLE);
    assert_eq!((installed.code(), installed.stderr.as_str()), (0, ""));
    let daemon = world.start_daemon(&[]);
    world.drop_in("witness", "@every_second root echo x >>/run/witness\n");
    let seconds = || fs::read_to_string("/run/witness").map_or(0, |text| text.lines().count());
    Deadline::seconds(30).wait_for("three seconds", || (seconds() >= 3).then_some(()));
    assert!(!fs::exists("/tmp/ran").expect("/tmp"), "it ran on an excepted day");

    // A faulty file excepts nothing, and its text is nobody's business.
    fs::write("/etc/cronwheel/calendars/closed", "2026-01-01\nroot:secret\n").expect("a calendar");
    let line = world.log.wait_for("/etc/cronwheel/calendars/closed is not used", Deadline::seconds(30));
    assert!(line.contains("line 2: expected a date") && !line.contains("secret"), "{line}");
    world.wait_for_file("/tmp/ran", Deadline::seconds(30));

    // One that others may write does not count.
    world.run("date -u +%F >/etc/cronwheel/calendars/closed; chmod 666 /etc/cronwheel/calendars/closed").ok();
    world.log.wait_for("expected a file that only root may write, found mode 666", Deadline::seconds(30));
    assert!(daemon.stop().success());
}

#[test]
fn a_calendar_that_is_missing_is_a_warning_at_its_place_and_the_entry_runs() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let installed = world.crontab("alice", TABLE);
    assert_eq!(installed.code(), 0);
    assert!(
        installed.stderr.contains("-:2:13: warning: CRON_EXCEPT: there is no calendar closed"),
        "{}",
        installed.stderr
    );
    let daemon = world.start_daemon(&[]);
    world.wait_for_file("/tmp/ran", Deadline::seconds(30));
    // The directory is new, and so is the calendar.
    world.run("mkdir -p /etc/cronwheel/calendars && date -u +%F >/etc/cronwheel/calendars/closed").ok();
    world.drop_in("witness", "@every_second root wc -l </tmp/ran >>/run/witness\n");
    let counts = || fs::read_to_string("/run/witness").unwrap_or_default();
    Deadline::seconds(30).wait_for("two seconds without a run", || {
        let text = counts();
        let last: Vec<&str> = text.lines().rev().take(3).collect();
        (last.len() == 3 && last.iter().all(|count| *count == last[0])).then_some(())
    });
    assert!(daemon.stop().success());
}
