//! Anacron jobs, lived through by the built daemon.

use crate::common::Implementation;
use crate::common::implementation::own;
use crate::fake::VARIABLES;
use crate::story::{Machine, time};
use crate::world;
use std::fs;

/// As on Debian: a line of the system table and a anacron job run the same directory.
const LINE: &str = "25 6 * * * root test -x /usr/sbin/anacron || { : /etc/cron.daily; /run/told line; }\n";
const JOBS: &str = "START_HOURS_RANGE=1-22\n\
    1 5 cron.daily : run-parts /etc/cron.daily; /run/told made-up\n\
    7 10 weekly /run/told weekly\n";

fn stamp(id: &str) -> String {
    fs::read_to_string(format!("/var/spool/anacron/{id}")).expect("a stamp")
}

#[test]
fn missed_days_are_caught_up_and_the_line_keeps_its_time() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let settings = VARIABLES.map(|(name, value)| format!("{name}={value}\n")).concat();
    for (path, text) in [("/etc/crontab", LINE), ("/etc/anacrontab", JOBS)] {
        fs::write(path, format!("{settings}{text}")).expect(path);
        own(path, 0, 0, 0o644);
    }
    fs::remove_file("/usr/sbin/anacron").ok();
    fs::create_dir_all("/var/spool/anacron").expect("a directory of stamps");
    for (id, day) in [("cron.daily", "20261118"), ("weekly", "20261116")] {
        fs::write(format!("/var/spool/anacron/{id}"), format!("{day}\n")).expect("a stamp");
    }
    // Off since the 18th, before this day's line.
    let machine = Machine::boot(world, "UTC", &[], "2026-11-22T05:00:30Z");
    machine.run_to(time("2026-11-22T06:00:00Z"));
    assert_eq!(machine.ledger(), ["05:05 made-up"]);
    assert_eq!(stamp("cron.daily"), "20261122\n");
    // On for a day; the week is over with the 23rd, in which the daemon first checks for a start at 1:01.
    machine.run_to(time("2026-11-24T05:00:30Z"));
    assert_eq!(machine.ledger(), ["05:05 made-up", "06:25 line", "01:11 weekly", "06:25 line"]);
    assert_eq!((stamp("cron.daily"), stamp("weekly")), ("20261123\n".to_owned(), "20261123\n".to_owned()));
    // Asleep at 6:25, for longer than cron makes up for.
    machine.reacts(|| machine.clock.set(5 * 3600));
    machine.run_to(time("2026-11-24T23:30:00Z"));
    let told = machine.ledger();
    assert_eq!(told[4..], ["10:05 made-up"]);
    assert_eq!(stamp("cron.daily"), "20261124\n");
    assert_eq!(machine.clock.armed(), Some(time("2026-11-25T00:01:00Z")), "the next check");
}
