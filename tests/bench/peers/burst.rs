//! Many jobs due at once: how late, how fast, at what price; one job due alone; and many that stay.

use crate::Extent;
use crate::common::clock::{Deadline, wait_until};
use crate::contestant::{BySeconds, Contestant, Running, WITHOUT_SHELL};
use crate::report::Report;
use crate::tables;
use std::fs;

/// Seconds from the start of a contestant to its jobs.
const LEAD: i64 = 4;
/// Seconds that a burst of ours or the floor takes at most, from its start: a lead, its jobs, and some for every thousand.
const TURN: i64 = 12;
const TURN_A_THOUSAND: i64 = 3;
/// The same when it is only one.
const SHORT_LEAD: i64 = 2;
/// Most jobs that stay with a keeper each.
const STAYING_KEPT: usize = 1_000;

/// A peer at each full minute; ours and the floor in turn in the seconds between.
pub fn measure(all: &[Contestant], extent: Extent, report: &mut Report) {
    let (free, peers): (Vec<_>, Vec<_>) = all.iter().partition(|one| one.by_seconds.is_some());
    for one in (0..extent.singles).flat_map(|_| &free).filter(|one| one.name != WITHOUT_SHELL) {
        single(one, report);
    }
    for &(jobs, most) in extent.bursts {
        let turn = TURN + TURN_A_THOUSAND * jobs as i64 / 1000;
        let mut turns = free.iter().cycle();
        for peer in peers.iter().take(most) {
            let minute = tables::next_minute(tables::now() + LEAD);
            while tables::now() + turn < minute - LEAD {
                if let Some(one) = turns.next() {
                    burst(one, tables::now() + LEAD, jobs, report);
                }
            }
            wait_until((minute - LEAD) as u64);
            burst(peer, minute, jobs, report);
        }
        // One of each in any case, however few seconds were between.
        for one in &free {
            burst(one, tables::now() + LEAD, jobs, report);
        }
    }
    report.note("a burst: jobs in crontabs of 10".to_owned());
    for one in free.iter().filter(|one| one.by_seconds == Some(BySeconds::Quartz)) {
        stay(one, if one.name == "ours" { extent.staying } else { extent.staying.min(STAYING_KEPT) }, report);
    }
}

/// Starts a contestant whose tables hold so many jobs for one second; returns it with the file of their marks.
pub fn with_jobs(one: &Contestant, due: i64, jobs: usize, flags: &str) -> (Running, String) {
    let file = tables::fresh_marks(one.name);
    let (minute, hour) = tables::minute_and_hour(due);
    let when = match one.by_seconds {
        Some(BySeconds::Quartz) => format!("@quartz {} {minute} {hour} * * * *", due % 60),
        Some(BySeconds::Flag) | None => format!("{minute} {hour} * * *"),
    };
    let line = format!("{when} /usr/local/bin/mark --mark {file} {flags}\n");
    let a_table = jobs.min(10);
    let text = format!("SHELL=/bin/sh\nMAILTO=\"\"\n{}", line.repeat(a_table));
    let spool = tables::spool(one, jobs / a_table, |_| text.clone());
    (one.start(&spool, Some(due)), file)
}

fn single(one: &Contestant, report: &mut Report) {
    let due = tables::now() + SHORT_LEAD;
    let (_running, file) = with_jobs(one, due, 1, "");
    if let Some(late) = wait_for_marks(&file, due, 1).first() {
        report.add("one job due: late by ms", one.name, late * 1000.0);
    }
}

fn burst(one: &Contestant, due: i64, jobs: usize, report: &mut Report) {
    eprintln!("burst of {jobs}, {}", one.name);
    let (running, file) = with_jobs(one, due, jobs, "");
    let idle = running.cpu_ms();
    let late = wait_for_marks(&file, due, jobs);
    running.settle();
    let cpu = running.cpu_ms() - idle;
    let mut add = |what: &str, value: f64| report.add(&format!("{jobs} jobs: {what}"), one.name, value);
    add("started", late.len() as f64);
    let (Some(first), Some(median), Some(last)) = (late.first(), late.get(late.len() / 2), late.last()) else { return };
    add("first late by ms", first * 1000.0);
    add("median late by ms", median * 1000.0);
    add("last late by ms", last * 1000.0);
    add("started per s", late.len() as f64 / (last - first));
    add("CPU ms per job", cpu / late.len() as f64);
}

/// Memory and processes that the daemon has for each job that goes on.
fn stay(one: &Contestant, jobs: usize, report: &mut Report) {
    eprintln!("{jobs} staying jobs of {}", one.name);
    let due = tables::now() + LEAD;
    let (running, file) = with_jobs(one, due, jobs, "--stay");
    let before = running.held();
    let started = wait_for_marks(&file, due, jobs).len() as f64;
    running.settle();
    let after = running.held();
    report.add("jobs running at once", one.name, started);
    report.add("a running job: PSS KiB", one.name, (after.pss - before.pss) / started);
    report.add("a running job: processes of the daemon", one.name, (after.processes - before.processes) / started);
}

/// Waits for so many jobs to have begun, and gives how late each was, in order, in seconds.
pub fn wait_for_marks(file: &str, due: i64, jobs: usize) -> Vec<f64> {
    let all = || (fs::metadata(file).ok()?.len() >= jobs as u64 * 8).then_some(());
    Deadline::seconds(45).try_wait_for(all);
    tables::marks(file, due)
}
