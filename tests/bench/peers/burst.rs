//! Many jobs due at once: how late, how fast, at what price; one job due alone; and many that stay.

use crate::Extent;
use crate::common::clock::{Deadline, wait_until};
use crate::contestant::{BySeconds, Contestant, Running};
use crate::gaps::Gaps;
use crate::report::{Part, Report};
use crate::tables;
use std::fs;

/// Seconds from the start of a contestant to its jobs.
const LEAD: i64 = 3;
/// The same when it is only one.
const SHORT_LEAD: i64 = 2;
/// Seconds that something takes at most: a lead and what comes after, and some for every thousand jobs.
const TURN: i64 = 5;
const TURN_A_THOUSAND: i64 = 2;
/// Ours and its limits, which are compared finely.
const FINELY: [&str; 3] = ["floor", "floor-fork", "ours"];
/// Bursts of those with PAM.
const FEW_ROUNDS: usize = 2;
/// Most jobs that stay with a PAM monitor each.
const STAYING_KEPT: usize = 1_000;
/// From here on only those whose jobs go through PAM take part, besides ours and the floors, and no floor that forks.
const MANY: usize = 5_000;

/// What ours and the floor do in any second: alternating, so that each round is of one time.
pub fn plan<'a>(all: &'a [Contestant], extent: Extent, gaps: &mut Gaps<'a>) {
    let free = || all.iter().filter(|one| one.by_seconds.is_some());
    let takes_part = |one: &Contestant, jobs: usize| jobs < MANY || !one.name.ends_with("-fork");
    for _ in 0..extent.rounds {
        for one in free().filter(|one| ["floor", "ours", "ours+PAM"].contains(&one.name)) {
            gaps.add(Part::Burst, TURN, |report| single(one, report));
        }
    }
    for &jobs in extent.bursts {
        let turn = turn(jobs);
        for round in 0..extent.rounds {
            let group: Vec<_> = free().filter(|one| FINELY.contains(&one.name) && takes_part(one, jobs)).collect();
            gaps.add(Part::Burst, group.len() as i64 * turn, move |report| {
                group.into_iter().for_each(|one| burst(one, tables::now() + LEAD, jobs, report));
            });
            for one in free().filter(|one| one.pam && round < FEW_ROUNDS) {
                gaps.add(Part::Burst, turn, move |report| burst(one, tables::now() + LEAD, jobs, report));
            }
        }
    }
    for one in free().filter(|one| one.by_seconds == Some(BySeconds::Quartz)) {
        let jobs = if one.name == "ours" { extent.staying } else { extent.staying.min(STAYING_KEPT) };
        gaps.add(Part::Burst, 2 * turn(jobs), move |report| stay(one, jobs, report));
    }
}

fn turn(jobs: usize) -> i64 {
    TURN + TURN_A_THOUSAND * jobs as i64 / 1000
}

/// A peer at each full minute.
pub fn measure(all: &[Contestant], extent: Extent, gaps: &mut Gaps<'_>, report: &mut Report) {
    report.note("a burst: jobs in crontabs of 10".to_owned());
    let peers = || all.iter().filter(|one| one.by_seconds.is_none());
    for &jobs in extent.bursts {
        for peer in peers().filter(|one| jobs < MANY || one.pam).take(extent.peers) {
            let mut minute = 0;
            while minute - LEAD < tables::now() {
                minute = tables::next_minute(tables::now() + LEAD);
                gaps.fill(minute - LEAD - 1, report);
            }
            wait_until((minute - LEAD) as u64);
            burst(peer, minute, jobs, report);
        }
    }
}

/// Starts a contestant whose tables hold so many jobs for one second; returns it with the file of their marks.
pub fn with_jobs(one: &Contestant, due: i64, jobs: usize, flags: &str) -> (Running, String) {
    let file = tables::fresh_marks(one);
    let descriptors = tables::fresh_descriptors(one);
    let (minute, hour) = tables::minute_and_hour(due);
    let when = match one.by_seconds {
        Some(BySeconds::Quartz) => format!("@quartz {} {minute} {hour} * * * *", due % 60),
        Some(BySeconds::Flag) | None => format!("{minute} {hour} * * *"),
    };
    let line = format!("{when} /usr/local/bin/mark --mark {file} {flags}\n");
    let another = format!("{when} /usr/local/bin/mark --descriptors {descriptors}\n");
    let a_table = jobs.min(10);
    let text = format!("SHELL=/bin/sh\nMAILTO=\"\"\n{}", line.repeat(a_table));
    // Where there are many, another more tells what it was given.
    let spool = tables::spool(one, jobs / a_table, |table| match table {
        0 if jobs > 1 => text.clone() + &another,
        _ => text.clone(),
    });
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
    let (idle, pid) = (running.cpu_ms(), last_pid());
    let late = wait_for_marks(&file, due, jobs);
    running.wait_until_idle();
    let (cpu, forks) = (running.cpu_ms() - idle, (last_pid() - pid).rem_euclid(MOST_PIDS));
    let mut add = |what: &str, value: f64| report.add(&format!("{jobs} jobs: {what}"), one.name, value);
    add("started", late.len() as f64);
    let (Some(first), Some(median), Some(last)) = (late.first(), late.get(late.len() / 2), late.last()) else { return };
    add("first late by ms", first * 1000.0);
    add("median late by ms", median * 1000.0);
    add("last late by ms", last * 1000.0);
    add("started per s", late.len() as f64 / (last - first));
    add("CPU ms per job", cpu / late.len() as f64);
    add("processes forked per job", forks as f64 / late.len() as f64);
    let descriptors = tables::numbers(&format!("{file}-descriptors"));
    descriptors.into_iter().for_each(|count| add("descriptors above 2 in a job", count as f64));
}

/// Pids begin anew after so many.
const MOST_PIDS: i64 = 32_768;

/// The last pid that was given to a process or thread of this world.
fn last_pid() -> i64 {
    let text = fs::read_to_string("/proc/loadavg").expect("/proc");
    text.split_whitespace().next_back().and_then(|pid| pid.parse().ok()).expect("a pid")
}

/// Memory and processes that the daemon has for each job that goes on.
fn stay(one: &Contestant, jobs: usize, report: &mut Report) {
    eprintln!("{jobs} staying jobs of {}", one.name);
    let due = tables::now() + LEAD;
    let (running, file) = with_jobs(one, due, jobs, "--stay");
    let before = running.held();
    let started = wait_for_marks(&file, due, jobs).len() as f64;
    running.wait_until_idle();
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
