//! Ours with a very large table in cron.d: what it takes to load, to hold, and whether a job costs more beside it.

use crate::Extent;
use crate::burst::{wait_for_marks, with_jobs};
use crate::contestant::Contestant;
use crate::gaps::Gaps;
use crate::report::{Part, Report};
use crate::tables;
use std::fmt::Write as _;
use std::fs;

/// Seconds from the start to the jobs: a million entries are loaded by then.
const LEAD: i64 = 4;
/// Seconds that a round takes at most.
const TURN: i64 = 20;
/// The number of jobs that are due.
const JOBS: usize = 100;
/// The number of entries in the small load.
const FEW: usize = 1_000;

/// A hundred jobs due beside a thousand entries and beside as many as there are to be, alternating.
pub fn plan<'a>(all: &'a [Contestant], extent: Extent, gaps: &mut Gaps<'a>) {
    let Some(ours) = all.iter().find(|one| one.name == "ours") else { return };
    for _ in 0..extent.rounds {
        gaps.add(Part::Entries, TURN, move |report| {
            let (few, many) = (round(ours, FEW, report), round(ours, extent.entries, report));
            let line = (many - few) * 1e6 / (extent.entries - FEW) as f64;
            report.add(&format!("a line among {} in cron.d, CPU ns", extent.entries), ours.name, line);
            put(0);
        });
    }
}

/// Gives what they take to load, in milliseconds.
fn round(ours: &Contestant, entries: usize, report: &mut Report) -> f64 {
    eprintln!("{entries} entries of {}", ours.name);
    put(entries);
    let due = tables::now() + LEAD;
    let (running, file) = with_jobs(ours, due, JOBS, "");
    let loaded = running.cpu_ms();
    report.add(&format!("{entries} entries in cron.d: load, CPU ms"), ours.name, loaded);
    report.add(&format!("{entries} entries in cron.d: PSS KiB"), ours.name, running.held().pss);
    let started = wait_for_marks(&file, due, JOBS).len() as f64;
    running.wait_until_idle();
    let job = (running.cpu_ms() - loaded) / started;
    report.add(&format!("{JOBS} jobs due among {entries} entries: CPU ms per job"), ours.name, job);
    loaded
}

/// Tables of a hundred thousand lines at most.
fn put(entries: usize) {
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
