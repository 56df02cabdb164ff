//! Bursts of jobs: delay, rate and CPU; a single due job; memory for jobs that keep running.

use crate::Extent;
use crate::between_minutes::WorkBetweenMinutes;
use crate::common::clock::{Deadline, wait_until};
use crate::daemon::{BySeconds, Daemon, OURS_WITH_HISTORY, Running};
use crate::report::{Part, Report};
use crate::tables;
use std::fs;

/// Seconds between the start of a daemon and its due jobs.
const LEAD: i64 = 3;
/// The same for a single job.
const SHORT_LEAD: i64 = 2;
/// Time limit of a measurement, in seconds, and what each thousand jobs add to it.
const TURN: i64 = 5;
const TURN_A_THOUSAND: i64 = 2;
/// Implementations that are measured in several alternating rounds.
const FINELY: [&str; 5] = ["floor", "floor-fork", "ours", "ours FILE", OURS_WITH_HISTORY];
/// Rounds of bursts with PAM.
const FEW_ROUNDS: usize = 2;
/// Most jobs that keep running with a PAM monitor each.
const STAYING_KEPT: usize = 1_000;
/// From this number of jobs on, only peers with PAM take part, and no floor program that forks.
const MANY: usize = 5_000;

/// Plans what ours and the floor program can do at any second; they alternate, so that a round is measured under the same load.
pub fn plan<'a>(all: &'a [Daemon], extent: Extent, between_minutes: &mut WorkBetweenMinutes<'a>) {
    let free = || all.iter().filter(|daemon| daemon.by_seconds.is_some());
    let takes_part = |daemon: &Daemon, jobs: usize| jobs < MANY || !daemon.name.ends_with("-fork");
    for _ in 0..extent.rounds {
        for daemon in free().filter(|daemon| ["floor", "ours", "ours+PAM"].contains(&daemon.name)) {
            between_minutes.add(Part::Burst, TURN, |report| single(daemon, report));
        }
    }
    for &jobs in extent.bursts {
        let turn = turn(jobs);
        for round in 0..extent.rounds {
            let group: Vec<_> =
                free().filter(|daemon| FINELY.contains(&daemon.name) && takes_part(daemon, jobs)).collect();
            between_minutes.add(Part::Burst, group.len() as i64 * turn, move |report| {
                group.into_iter().for_each(|daemon| burst(daemon, tables::now() + LEAD, jobs, report));
            });
            for daemon in free().filter(|daemon| daemon.pam && round < FEW_ROUNDS) {
                between_minutes.add(Part::Burst, turn, move |report| burst(daemon, tables::now() + LEAD, jobs, report));
            }
        }
    }
    for daemon in free().filter(|daemon| daemon.by_seconds == Some(BySeconds::Quartz)) {
        let jobs = if daemon.name == "ours" { extent.staying } else { extent.staying.min(STAYING_KEPT) };
        between_minutes.add(Part::Burst, 2 * turn(jobs), move |report| stay(daemon, jobs, report));
    }
}

fn turn(jobs: usize) -> i64 {
    TURN + TURN_A_THOUSAND * jobs as i64 / 1000
}

/// Measures one peer at each full minute.
pub fn measure(all: &[Daemon], extent: Extent, between_minutes: &mut WorkBetweenMinutes<'_>, report: &mut Report) {
    report.note("a burst: jobs in crontabs of 10, standalone in one".to_owned());
    let peers = || all.iter().filter(|daemon| daemon.by_seconds.is_none());
    for &jobs in extent.bursts {
        for peer in peers().filter(|daemon| jobs < MANY || daemon.pam).take(extent.peers) {
            let mut minute = 0;
            while minute - LEAD < tables::now() {
                minute = tables::next_minute(tables::now() + LEAD);
                between_minutes.fill(minute - LEAD - 1, report);
            }
            wait_until((minute - LEAD) as u64);
            burst(peer, minute, jobs, report);
        }
    }
}

/// Starts a daemon with `jobs` jobs due in the second `due`; returns it with the file in which they record their starts.
pub fn with_jobs(daemon: &Daemon, due: i64, jobs: usize, flags: &str) -> (Running, String) {
    let file = tables::fresh_marks(daemon);
    let descriptors = tables::fresh_descriptors(daemon);
    let (minute, hour) = tables::minute_and_hour(due);
    let when = match daemon.by_seconds {
        Some(BySeconds::Quartz) => format!("@quartz {} {minute} {hour} * * * *", due % 60),
        Some(BySeconds::Flag) | None => format!("{minute} {hour} * * *"),
    };
    let line = format!("{when} /usr/local/bin/mark --mark {file} {flags}\n");
    let another = format!("{when} /usr/local/bin/mark --descriptors {descriptors}\n");
    let a_table = if daemon.is_standalone { jobs } else { jobs.min(10) };
    let text = format!("SHELL=/bin/sh\nMAILTO=\"\"\n{}", line.repeat(a_table));
    // In a burst, one job more records how many descriptors it inherited.
    let spool = tables::spool(daemon, jobs / a_table, |table| match table {
        0 if jobs > 1 => text.clone() + &another,
        _ => text.clone(),
    });
    (daemon.start(&spool, Some(due)), file)
}

fn single(daemon: &Daemon, report: &mut Report) {
    let due = tables::now() + SHORT_LEAD;
    let (_running, file) = with_jobs(daemon, due, 1, "");
    if let Some(late) = wait_for_marks(&file, due, 1).first() {
        report.add("one job due: late by ms", daemon.name, late * 1000.0);
    }
}

fn burst(daemon: &Daemon, due: i64, jobs: usize, report: &mut Report) {
    eprintln!("burst of {jobs}, {}", daemon.name);
    let (running, file) = with_jobs(daemon, due, jobs, "");
    let (idle, pid) = (running.cpu_ms(), last_pid());
    let late = wait_for_marks(&file, due, jobs);
    running.wait_until_idle();
    let (cpu, forks) = (running.cpu_ms() - idle, (last_pid() - pid).rem_euclid(MOST_PIDS));
    let mut add = |what: &str, value: f64| report.add(&format!("{jobs} jobs: {what}"), daemon.name, value);
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

/// Process ids wrap around after this number.
const MOST_PIDS: i64 = 32_768;

/// The newest process id of this PID namespace.
fn last_pid() -> i64 {
    let text = fs::read_to_string("/proc/loadavg").expect("/proc");
    text.split_whitespace().next_back().and_then(|pid| pid.parse().ok()).expect("a pid")
}

/// Measures the daemon's memory and processes for each running job.
fn stay(daemon: &Daemon, jobs: usize, report: &mut Report) {
    eprintln!("{jobs} staying jobs of {}", daemon.name);
    let due = tables::now() + LEAD;
    let (running, file) = with_jobs(daemon, due, jobs, "--stay");
    let before = running.resources();
    let started = wait_for_marks(&file, due, jobs).len() as f64;
    running.wait_until_idle();
    let after = running.resources();
    report.add("jobs running at once", daemon.name, started);
    report.add("a running job: PSS KiB", daemon.name, (after.pss - before.pss) / started);
    report.add("a running job: processes of the daemon", daemon.name, (after.processes - before.processes) / started);
}

/// Waits until `jobs` jobs have started; returns the delay of each in seconds, sorted.
pub fn wait_for_marks(file: &str, due: i64, jobs: usize) -> Vec<f64> {
    let all = || (fs::metadata(file).ok()?.len() >= jobs as u64 * 8).then_some(());
    Deadline::seconds(45).try_wait_for(all);
    tables::marks(file, due)
}
