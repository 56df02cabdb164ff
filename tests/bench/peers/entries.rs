//! Ours with a very large database: load, memory, and whether a job costs more than with a small one.

use crate::Extent;
use crate::between_minutes::WorkBetweenMinutes;
use crate::burst::{wait_for_marks, with_jobs};
use crate::daemon::Daemon;
use crate::report::{Part, Report};
use crate::tables;
use std::fmt::Write as _;
use std::fs;

/// Seconds from the start to the jobs: a million entries are loaded by then.
const LEAD: i64 = 4;
/// Time limit of a round, in seconds.
const TURN: i64 = 20;
/// The number of jobs that are due.
const JOBS: usize = 100;
/// The number of entries in the small load.
const FEW: usize = 1_000;

/// Plans rounds in which 100 jobs are due, with 1,000 entries loaded and with `extent.entries`.
pub fn plan<'a>(all: &'a [Daemon], extent: Extent, between_minutes: &mut WorkBetweenMinutes<'a>) {
    let Some(ours) = all.iter().find(|daemon| daemon.name == "ours") else { return };
    for _ in 0..extent.rounds {
        between_minutes.add(Part::Entries, TURN, move |report| {
            let (few, many) = (round(ours, FEW, report), round(ours, extent.entries, report));
            let line = (many - few) * 1e6 / (extent.entries - FEW) as f64;
            report.add(&format!("a line among {} in cron.d, CPU ns", extent.entries), ours.name, line);
            put(0);
        });
    }
}

/// Returns the CPU of the load, in milliseconds.
fn round(ours: &Daemon, entries: usize, report: &mut Report) -> f64 {
    eprintln!("{entries} entries of {}", ours.name);
    put(entries);
    let due = tables::now() + LEAD;
    let (running, file) = with_jobs(ours, due, JOBS, "");
    let loaded = running.cpu_ms();
    report.add(&format!("{entries} entries in cron.d: load, CPU ms"), ours.name, loaded);
    report.add(&format!("{entries} entries in cron.d: PSS KiB"), ours.name, running.resources().pss);
    let started = wait_for_marks(&file, due, JOBS).len() as f64;
    running.wait_until_idle();
    let job = (running.cpu_ms() - loaded) / started;
    report.add(&format!("{JOBS} jobs due among {entries} entries: CPU ms per job"), ours.name, job);
    loaded
}

/// Writes tables of at most 100,000 lines each.
pub fn put(entries: usize) {
    const A_TABLE: usize = 100_000;
    for old in fs::read_dir("/etc/cron.d").expect("/etc/cron.d").flatten() {
        fs::remove_file(old.path()).expect("an old table");
    }
    let mut entry = 0;
    while entry < entries {
        let mut text = String::new();
        for _ in 0..A_TABLE.min(entries - entry) {
            let (minute, hour) = tables::minute_and_hour(tables::now() + 3600 * 6 + entry as i64 * 60 % (12 * 3600));
            writeln!(
                text,
                "{minute} {hour} * * * root /usr/local/bin/job-{entry:07} --with some --arguments here=1234567"
            )
            .expect("memory");
            entry += 1;
        }
        fs::write(format!("/etc/cron.d/table-{entry}"), text).expect("a table");
    }
}
