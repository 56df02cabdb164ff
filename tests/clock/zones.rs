//! The system's zone and zone files change under the running daemon; a zone that does not exist.

use crate::common::{Deadline, Implementation, World};
use crate::story::{Machine, choose_zone, of, time};
use crate::{story, world};
use std::fs;

const OWN_ZONES: &str = "/usr/share/zoneinfo/Test";

/// Installs a zone file that holds nothing but a rule, as a package manager does: by a rename.
fn install_zone(name: &str, rule: &str) {
    let mut header = b"TZif2".to_vec();
    header.extend([0; 15]);
    for count in [0u32, 0, 0, 0, 1, 4] {
        header.extend(count.to_be_bytes());
    }
    header.extend([0; 6]);
    header.extend(b"UTC\0");
    let file = [header.as_slice(), header.as_slice(), b"\n", rule.as_bytes(), b"\n"].concat();
    fs::create_dir_all(OWN_ZONES).expect(OWN_ZONES);
    fs::write(format!("{OWN_ZONES}/{name}.new"), file).expect("a zone file");
    fs::rename(format!("{OWN_ZONES}/{name}.new"), format!("{OWN_ZONES}/{name}")).expect("a zone file");
}

fn wait_until_armed(machine: &Machine, moment: &str) {
    let armed = || machine.clock.armed().filter(|armed| *armed == time(moment));
    Deadline::seconds(30).wait_for(&format!("the timer to be armed for {moment}"), armed);
}

#[test]
fn another_localtime_and_another_zone_file_count_without_a_restart() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    install_zone("Home", "HOM-1");
    install_zone("Own", "OWN-1");
    let lines = ["0 18 * * * six", "CRON_TZ=Test/Own", "0 9 * * * nine"];
    let machine = Machine::boot(world, "Asia/Kathmandu", &lines, "2026-05-01T10:00:30Z");
    wait_until_armed(&machine, "2026-05-01T12:15:00Z");
    // The link /etc/localtime leads elsewhere.
    choose_zone("Europe/Berlin");
    wait_until_armed(&machine, "2026-05-01T16:00:00Z");
    choose_zone("Test/Home");
    wait_until_armed(&machine, "2026-05-01T17:00:00Z");
    // The file that it leads to is replaced.
    install_zone("Home", "HOM-4");
    wait_until_armed(&machine, "2026-05-01T14:00:00Z");
    // A file that only a table names is looked at within ten minutes.
    install_zone("Far", "FAR+3");
    fs::rename(format!("{OWN_ZONES}/Far"), format!("{OWN_ZONES}/Own")).expect("a zone file");
    machine.clock.pass_to(time("2026-05-01T10:11:00Z"));
    machine.wait_until_idle();
    wait_until_armed(&machine, "2026-05-01T12:00:00Z");

    machine.run_to(time("2026-05-01T17:30:00Z"));
    let found = machine.ledger();
    assert_eq!((of(&found, "six"), of(&found, "nine")), (vec!["14:00".to_owned()], vec!["12:00".to_owned()]));
}

/// A table whose second half is in a zone that does not exist.
const NOWHERE: [&str; 4] = ["1 * * * * before", "CRON_TZ=Nowhere/Atall", "* * * * * never", "@reboot neither"];

#[test]
fn entries_in_a_zone_that_does_not_exist_never_run_and_are_reported() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    refused_at_install(&world);
    let machine = Machine::boot(world, "UTC", &NOWHERE, "2026-05-01T10:00:30Z");
    let told: Vec<String> =
        machine.world.log.lines().into_iter().filter(|line| line.contains("Nowhere/Atall")).collect();
    assert!(told.len() == 1 && told[0].contains("/etc/cron.d/story:4:9: error: "), "{told:#?}");
    machine.run_to(time("2026-05-01T10:05:30Z"));
    assert_eq!(machine.ledger(), ["10:01 before"]);
}

fn refused_at_install(world: &World) {
    let shown = world.crontab("alice", "0 1 * * * before\nCRON_TZ=Nowhere/Atall\n* * * * * never\n");
    assert_eq!(shown.code(), 1, "{shown:?}");
    assert!(shown.stderr.contains("-:2:9: error: ") && shown.stderr.contains("Nowhere/Atall"), "{shown:?}");
    assert_eq!(world.run_as("alice", "crontab -l").code(), 1, "nothing was installed");
}

#[test]
fn a_gap_of_a_custom_zone_moves_fixed_times_to_its_end() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    // Two hours ahead from the first of May at 10:03 on, an hour before that.
    install_zone("Gap", "WIN-1SUM-2,J121/10:03,J300/3");
    let story = story::Story {
        zone: "Test/Gap",
        lines: &["* * * * * min", "30 10 * * * f1030", "2 11 * * * f1102", "4 11 * * * f1104"],
        from: "2026-05-01T09:01:30Z",
        until: "2026-05-01T09:06:30Z",
        changes: &[],
    };
    let found = story.live(world);
    assert_eq!(of(&found, "min"), story::minutes("09:02", "09:06"));
    for (name, expected) in [("f1030", "09:03"), ("f1102", "09:03"), ("f1104", "09:04")] {
        assert_eq!(of(&found, name), [expected], "{name}");
    }
}
