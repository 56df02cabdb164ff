//! Many tables: what they take to load and to hold, a minute with nothing due, one with a single job, one table replaced.

use crate::Extent;
use crate::common::clock;
use crate::contestant::{Contestant, Running, WITHOUT_SHELL};
use crate::report::Report;
use crate::tables;
use std::time::Duration;

/// Measures all, each with a spool of its own.
pub fn measure(all: &[Contestant], extent: Extent, report: &mut Report) {
    let crowd: Vec<&Contestant> =
        all.iter().filter(|one| one.name != "ours+PAM" && one.name != WITHOUT_SHELL).collect();
    small(&crowd, report);
    let running = large(&crowd, extent, report);
    if extent.quiet_minutes {
        quiet_minute(&running, report);
    }
    replaced(&running, extent, report);
}

type Up<'a> = (&'a Contestant, Running, String);

fn small(crowd: &[&Contestant], report: &mut Report) {
    for one in crowd {
        let spool = tables::spool(one, 10, tables::idle_table);
        let running = one.start(&spool, None);
        report.add("load 10 crontabs, CPU ms", one.name, running.cpu_ms());
        let held = running.held();
        report.add("10 crontabs, PSS KiB", one.name, held.pss);
        report.add("10 crontabs, RSS KiB", one.name, held.rss);
    }
    for one in crowd {
        let spool = tables::spool(one, 1, tables::long_table);
        let running = one.start(&spool, None);
        report.add("load one crontab of 9,900 entries, CPU ms", one.name, running.cpu_ms());
    }
}

fn large<'a>(crowd: &[&'a Contestant], extent: Extent, report: &mut Report) -> Vec<Up<'a>> {
    let mut up = Vec::new();
    for round in 1..=extent.loads {
        for &one in crowd {
            eprintln!("load of {}, round {round}", one.name);
            let spool = tables::spool(one, extent.tables, tables::idle_table);
            let running = one.start(&spool, None);
            report.add("load the crowd, CPU ms", one.name, running.cpu_ms());
            let held = running.held();
            report.add("the crowd, PSS KiB", one.name, held.pss);
            report.add("the crowd, RSS KiB", one.name, held.rss);
            if round == extent.loads {
                up.push((one, running, spool));
            }
        }
    }
    report.note(format!("the crowd: {} crontabs of 10 entries", extent.tables));
    up
}

/// CPU and wake-ups from a second before a minute to half a minute after it, nothing being due.
fn quiet_minute(up: &[Up<'_>], report: &mut Report) {
    let minute = minute_ahead(2);
    pause_until(minute - 2);
    let before: Vec<_> = up.iter().map(|(_, running, _)| (running.cpu_ms(), running.held().sleeps)).collect();
    pause_until(minute + 40);
    for ((one, running, _), (cpu, sleeps)) in up.iter().zip(before) {
        report.add("minute with nothing due, CPU ms", one.name, running.cpu_ms() - cpu);
        report.add("minute with nothing due, sleeps", one.name, running.held().sleeps - sleeps);
    }
}

/// One table is replaced; its new job is due in the next minute and the one after.
fn replaced(up: &[Up<'_>], extent: Extent, report: &mut Report) {
    let first = minute_ahead(12);
    let second = first + 60;
    for (one, running, spool) in up {
        let file = tables::fresh_marks(one.name);
        let ((minute, hour), (next, _)) = (tables::minute_and_hour(first), tables::minute_and_hour(second));
        let job = format!("{minute},{next} {hour} * * * /usr/local/bin/mark --mark {file}\n");
        let before = running.cpu_ms();
        tables::put(one, spool, 1, &(tables::idle_table(1) + &job));
        std::thread::sleep(Duration::from_millis(500));
        report.add("one table replaced: CPU ms at once", one.name, running.cpu_ms() - before);
    }
    let mut minutes = Vec::new();
    if extent.quiet_minutes {
        minutes.push((first, "minute after a table was replaced"));
    }
    if extent.quiet_minutes && tables::minute_and_hour(first).1 == tables::minute_and_hour(second).1 {
        minutes.push((second, "minute with one job"));
    }
    for (minute, what) in minutes {
        pause_until(minute - 2);
        let before: Vec<f64> = up.iter().map(|(_, running, _)| running.cpu_ms()).collect();
        pause_until(minute + 35);
        for ((one, running, _), before) in up.iter().zip(before) {
            report.add(&format!("{what}: CPU ms"), one.name, running.cpu_ms() - before);
            let late = tables::marks(&format!("{}/{}", tables::MARKS, one.name), minute);
            if let Some(late) = late.into_iter().find(|late| *late >= 0.0) {
                report.add(&format!("{what}: job late by ms"), one.name, late * 1000.0);
            }
        }
    }
}

/// The next minute that is at least so many seconds away.
fn minute_ahead(seconds: i64) -> i64 {
    tables::next_minute(tables::now() + seconds)
}

fn pause_until(second: i64) {
    clock::wait_until(second as u64);
}
