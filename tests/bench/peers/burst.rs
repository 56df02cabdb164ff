//! Many jobs due at once: how late, how fast, at what price; and many that stay.

use crate::Extent;
use crate::common::clock::{Deadline, wait_until};
use crate::contestant::{BySeconds, Contestant, Running};
use crate::report::Report;
use crate::tables;
use std::fs;

/// Seconds from the start of a contestant to its jobs.
const LEAD: i64 = 4;
/// Seconds that a burst of ours or the floor takes at most, from its start.
const TURN: i64 = 16;

/// A peer at each full minute; ours and the floor in turn in the seconds between.
pub fn measure(all: &[Contestant], extent: Extent, report: &mut Report) {
    let (free, peers): (Vec<_>, Vec<_>) = all.iter().partition(|one| one.by_seconds.is_some());
    let mut turns = free.iter().cycle();
    for peer in (0..extent.bursts).flat_map(|_| &peers) {
        let minute = tables::next_minute(tables::now() + LEAD);
        while tables::now() + TURN < minute - LEAD {
            if let Some(one) = turns.next() {
                burst(one, tables::now() + LEAD, extent.jobs, report);
            }
        }
        wait_until((minute - LEAD) as u64);
        burst(peer, minute, extent.jobs, report);
    }
    report.note(format!("a burst: {} jobs in {} crontabs", extent.jobs, extent.jobs / 10));
    for one in free.iter().filter(|one| one.by_seconds == Some(BySeconds::Quartz)) {
        stay(one, extent.jobs, report);
    }
}

/// Starts a contestant whose tables hold so many jobs for one second; returns it with the file of their marks.
fn with_jobs(one: &Contestant, due: i64, jobs: usize, flags: &str) -> (Running, String) {
    let file = tables::fresh_marks(one.name);
    let (minute, hour) = tables::minute_and_hour(due);
    let when = match one.by_seconds {
        Some(BySeconds::Quartz) => format!("@quartz {} {minute} {hour} * * * *", due % 60),
        Some(BySeconds::Flag) | None => format!("{minute} {hour} * * *"),
    };
    let line = format!("{when} /usr/local/bin/mark --mark {file} {flags}\n");
    let spool = tables::spool(one, jobs / 10, |_| format!("SHELL=/bin/sh\nMAILTO=\"\"\n{}", line.repeat(10)));
    (one.start(&spool, Some(due)), file)
}

fn burst(one: &Contestant, due: i64, jobs: usize, report: &mut Report) {
    eprintln!("burst of {}", one.name);
    let (running, file) = with_jobs(one, due, jobs, "");
    let idle = running.cpu_ms();
    let late = wait_for_marks(&file, due, jobs);
    running.settle();
    let cpu = running.cpu_ms() - idle;
    report.add("burst: jobs started", one.name, late.len() as f64);
    let (Some(first), Some(median), Some(last)) = (late.first(), late.get(late.len() / 2), late.last()) else { return };
    report.add("burst: first late by ms", one.name, first * 1000.0);
    report.add("burst: median late by ms", one.name, median * 1000.0);
    report.add("burst: last late by ms", one.name, last * 1000.0);
    report.add("burst: jobs started per s", one.name, late.len() as f64 / (last - first));
    report.add("burst: CPU ms per job", one.name, cpu / late.len() as f64);
}

/// Memory and processes that the daemon has for each job that goes on.
fn stay(one: &Contestant, jobs: usize, report: &mut Report) {
    eprintln!("staying jobs of {}", one.name);
    let due = tables::now() + LEAD;
    let (running, file) = with_jobs(one, due, jobs, "--stay");
    let before = running.held();
    let started = wait_for_marks(&file, due, jobs).len() as f64;
    running.settle();
    let after = running.held();
    report.add("running jobs: started", one.name, started);
    report.add("running jobs: PSS KiB each", one.name, (after.pss - before.pss) / started);
    report.add("running jobs: processes each", one.name, (after.processes - before.processes) / started);
}

fn wait_for_marks(file: &str, due: i64, jobs: usize) -> Vec<f64> {
    let all = || (fs::metadata(file).ok()?.len() >= jobs as u64 * 8).then_some(());
    Deadline::seconds(45).try_wait_for(all);
    tables::marks(file, due)
}
