//! Tables that Debian's packages ship.

use crate::common::implementation::package;
use crate::common::{Deadline, Implementation};
use crate::world;
use std::fs;
use std::path::Path;

/// Packages of Debian 12 with a file in /etc/cron.d, and how many jobs are in it, counted by eye.
const TABLES: [(&str, usize); 23] = [
    ("amavisd-new", 2),
    ("anacron", 1),
    ("atop", 1),
    ("awstats", 2),
    ("certbot", 1),
    ("clamav-unofficial-sigs", 1),
    ("cron-apt", 1),
    ("debarchiver", 1),
    ("dma", 1),
    ("e2fsprogs", 2),
    ("ganeti", 4),
    ("leafnode", 1),
    ("logcheck", 2),
    ("mailman3", 2),
    ("mdadm", 1),
    ("munin", 4),
    ("munin-node", 1),
    ("ntpsec", 1),
    ("php-common", 1),
    ("roundcube-core", 2),
    ("rsnapshot", 0),
    ("sysstat", 2),
    ("tiger", 1),
];

#[test]
fn every_table_of_a_debian_package_loads_with_all_its_jobs() {
    let Some(world) = world!(Implementation::OursDebian, TABLES.map(|(name, _)| name)) else { return };
    for (name, jobs) in TABLES {
        for table in tables_of(name) {
            fs::copy(&table, Path::new("/etc/cron.d").join(table.file_name().expect("a name"))).expect("a table");
        }
        let files: Vec<String> = tables_of(name).iter().map(|table| table.display().to_string()).collect();
        assert!(!files.is_empty(), "{name} ships no table: run tests/install-needs");
        let shown = world.run(&format!("cronctl check --system {}", files.join(" ")));
        assert!(shown.status.success(), "{name}: {shown:?}");
        let found: usize = shown
            .stdout
            .lines()
            .filter_map(|line| line.rsplit_once(": ")?.1.split(' ').next()?.parse::<usize>().ok())
            .sum();
        assert_eq!(found, jobs, "{name}: {shown:?}");
    }
    let daemon = world.start_daemon(&[]);
    world.log.wait_for("@reboot jobs", Deadline::seconds(20));
    daemon.stop();
    let complaints: Vec<String> =
        world.log.lines().into_iter().filter(|line| line.contains("ERROR") || line.contains("rror:")).collect();
    assert_eq!(complaints, [] as [&str; 0]);
}

fn tables_of(name: &str) -> Vec<std::path::PathBuf> {
    let folder = package(name).join("etc/cron.d");
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries.map(|entry| entry.expect("an entry").path()).filter(|path| !path.ends_with(".placeholder")).collect()
}
