//! Many tables: load, memory, a minute with nothing due, a minute with one job, one table replaced.

use crate::Extent;
use crate::between_minutes::WorkBetweenMinutes;
use crate::common::{Deadline, clock, log};
use crate::daemon::{Daemon, OURS_WITH_HISTORY, Running};
use crate::report::Report;
use crate::tables;
use nix::sys::signal::Signal;
use std::fs;
use std::process::Command;
use std::time::Duration;

/// Loads of the daemons that need seconds for one: their spread is 5 %.
const SLOW_LOADS: usize = 2;
const SLOW: [&str; 3] = ["Debian", "cronie", BUSYBOX];
/// It takes no table of more than 256 lines, and reads everything again in its first minute.
const BUSYBOX: &str = "busybox";
/// Scans of all entries, and replaced tables.
const SEVERAL: usize = 3;
/// Rescans; the first after a load takes a quarter more.
const LOOKS: usize = 7;
/// Seconds after which every daemon has begun the work of a minute.
const BEGUN: i64 = 4;

/// Measures all daemons, each with its own spool; `between_minutes` fills the time until a minute.
pub fn measure(all: &[Daemon], extent: Extent, between_minutes: &mut WorkBetweenMinutes<'_>, report: &mut Report) {
    let many_tables: Vec<Daemon> = all
        .iter()
        .filter(|daemon| !daemon.differs_in_jobs_only() && !daemon.is_standalone)
        .map(|daemon| daemon.with_place("many_tables"))
        .collect();
    small(&many_tables, report);
    let many_tables: Vec<Daemon> = many_tables.into_iter().filter(|daemon| daemon.name != OURS_WITH_HISTORY).collect();
    lines(&many_tables, extent, report);
    let running = large(&many_tables, extent, report);
    scan(&running, report);
    look(&running, report);
    if extent.quiet_minutes {
        quiet_minute(&running, between_minutes, report);
    }
    adopted(&running, report);
    replaced(&running, extent, between_minutes, report);
}

type Up<'a> = (&'a Daemon, Running, String);

fn small(many_tables: &[Daemon], report: &mut Report) {
    for daemon in many_tables {
        let spool = tables::spool(daemon, 10, tables::idle_table);
        let running = daemon.start(&spool, None);
        report.add("load 10 crontabs, CPU ms", daemon.name, running.cpu_ms());
        let resources = running.resources();
        report.add("10 crontabs, PSS KiB", daemon.name, resources.pss);
        report.add("10 crontabs, RSS KiB", daemon.name, resources.rss);
    }
}

/// Long tables for the cost of a line; one alone loads in milliseconds, most of which is the start.
const LONG_TABLES: usize = 10;

/// Rounds of this measurement.
const LINES_ROUNDS: usize = 4;

/// Measures the cost of a line: long tables less short ones.
fn lines(many_tables: &[Daemon], extent: Extent, report: &mut Report) {
    let load = |daemon: &Daemon, count: usize, text: fn(usize) -> String| {
        let spool = tables::spool(daemon, count, text);
        daemon.start(&spool, None).cpu_ms()
    };
    for _ in 0..extent.loads.min(LINES_ROUNDS) {
        for daemon in many_tables.iter().filter(|daemon| daemon.name != BUSYBOX) {
            report.add("load one crontab of 9,900 entries, CPU ms", daemon.name, load(daemon, 1, tables::long_table));
            let long = load(daemon, LONG_TABLES, tables::long_table);
            let short = load(daemon, LONG_TABLES, tables::idle_table);
            let more = (LONG_TABLES * (tables::LONG - tables::SHORT)) as f64;
            report.add("a line of ten such crontabs, CPU ns", daemon.name, (long - short) * 1e6 / more);
        }
    }
}

fn large<'a>(many_tables: &'a [Daemon], extent: Extent, report: &mut Report) -> Vec<Up<'a>> {
    let mut up = Vec::new();
    for left in (0..extent.loads).rev() {
        for daemon in many_tables.iter().filter(|daemon| left < SLOW_LOADS || !SLOW.contains(&daemon.name)) {
            eprintln!("load of {}, {left} more", daemon.name);
            let spool = tables::spool(daemon, extent.tables, tables::idle_table);
            let running = daemon.start(&spool, None);
            report.add("load many crontabs, CPU ms", daemon.name, running.cpu_ms());
            let resources = running.resources();
            report.add("many crontabs, PSS KiB", daemon.name, resources.pss);
            report.add("many crontabs, RSS KiB", daemon.name, resources.rss);
            if left == 0 {
                up.push((daemon, running, spool));
            }
        }
    }
    report.note(format!("many crontabs: {} crontabs of 10 entries", extent.tables));
    up
}

/// The time that the floor program measured for an operation on a directory of tables, in milliseconds of CPU.
fn floor_ms(what: &str, spool: &str) -> f64 {
    let output = Command::new("/usr/local/bin/mark").args([what, spool]).output().expect("the floor program");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    told.lines().next().and_then(|ns| ns.parse::<f64>().ok()).expect("nanoseconds") / 1e6
}

/// Measures the limit of a scan of all entries for due ones.
fn scan(up: &[Up<'_>], report: &mut Report) {
    let Some((floor, _, spool)) = up.iter().find(|(daemon, ..)| daemon.name == "floor") else { return };
    for _ in 0..SEVERAL {
        report.add("many crontabs scanned for what is due, CPU ms", floor.name, floor_ms("--scan", spool));
    }
}

/// Measures a rescan, which ours makes every ten minutes and at SIGHUP. The floor program calls stat for each file and does
/// nothing else.
fn look(up: &[Up<'_>], report: &mut Report) {
    let of = |name: &str| up.iter().find(|(daemon, ..)| daemon.name == name);
    let (Some((ours, running, _)), Some((floor, _, floors_spool))) = (of("ours"), of("floor")) else { return };
    for _ in 0..LOOKS {
        let before = running.cpu_ms();
        running.signal(Signal::SIGHUP);
        // It reloads once a second.
        std::thread::sleep(Duration::from_millis(1200));
        running.wait_until_idle();
        let spent = running.cpu_ms() - before;
        report.add("a rescan of many crontabs, CPU ms", ours.name, spent);
        report.add("an hour with nothing due (60 minutes, 6 rescans), CPU ms", ours.name, 6.0 * spent);
        report.add("a rescan of many crontabs, CPU ms", floor.name, floor_ms("--stat", floors_spool));
    }
}

/// Measures CPU and wake-ups around a full minute with nothing due.
fn quiet_minute(up: &[Up<'_>], between_minutes: &mut WorkBetweenMinutes<'_>, report: &mut Report) {
    let minute = minute_ahead(2);
    between_minutes.fill(minute - 2, report);
    let before: Vec<_> = up.iter().map(|(_, running, _)| (running.cpu_ms(), running.resources().sleeps)).collect();
    wait_past(minute, up);
    for ((daemon, running, _), (cpu, sleeps)) in up.iter().zip(before) {
        let spent = running.cpu_ms() - cpu;
        report.add("minute with nothing due, CPU ms", daemon.name, spent);
        report.add("minute with nothing due, sleeps", daemon.name, running.resources().sleeps - sleeps);
        if !["ours", BUSYBOX].contains(&daemon.name) {
            report.add("an hour with nothing due (60 minutes, 6 rescans), CPU ms", daemon.name, 60.0 * spent);
        }
    }
}

/// Measures how soon ours logs that it reloaded a replaced table.
fn adopted(up: &[Up<'_>], report: &mut Report) {
    let Some((ours, _, spool)) = up.iter().find(|(daemon, ..)| daemon.name == "ours") else { return };
    for number in 2..2 + SEVERAL {
        let text = tables::idle_table(number) + "# Replaced.\n";
        let heard = fs::metadata(log::FILE).expect("the log").len() as usize;
        let line = format!("(u{number}) RELOAD");
        let before = clock::now();
        tables::put(ours, spool, number, &text);
        let poll_timeout = Deadline::seconds(5);
        while !poll_timeout.passed() {
            let log = fs::read(log::FILE).expect("the log");
            if String::from_utf8_lossy(log.get(heard..).unwrap_or_default()).contains(&line) {
                let late = (clock::now() - before).as_secs_f64() * 1000.0;
                report.add("one table replaced: adopted after ms", ours.name, late);
                break;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

/// Replaces one table, whose new job is due in the next two minutes.
fn replaced(up: &[Up<'_>], extent: Extent, between_minutes: &mut WorkBetweenMinutes<'_>, report: &mut Report) {
    let first = minute_ahead(12);
    let second = first + 60;
    let mut files = Vec::new();
    for (daemon, running, spool) in up {
        let file = tables::fresh_marks(daemon);
        let ((minute, hour), (next, _)) = (tables::minute_and_hour(first), tables::minute_and_hour(second));
        let job = format!("{minute},{next} {hour} * * * /usr/local/bin/mark --mark {file}\n");
        let before = running.cpu_ms();
        tables::put(daemon, spool, 1, &(tables::idle_table(1) + &job));
        std::thread::sleep(Duration::from_millis(500));
        report.add("one table replaced: CPU ms at once", daemon.name, running.cpu_ms() - before);
        files.push(file);
    }
    let mut minutes = Vec::new();
    if extent.quiet_minutes {
        minutes.push((first, "minute after a table was replaced"));
    }
    if extent.quiet_minutes && tables::minute_and_hour(first).1 == tables::minute_and_hour(second).1 {
        minutes.push((second, "minute with one job"));
    }
    for (minute, what) in minutes {
        between_minutes.fill(minute - 2, report);
        let before: Vec<_> = up.iter().map(|(_, running, _)| (running.cpu_ms(), running.snapshot())).collect();
        wait_past(minute, up);
        for (((daemon, running, _), (cpu, snapshot)), file) in up.iter().zip(before).zip(&files) {
            report.add(&format!("{what}: CPU ms"), daemon.name, running.cpu_ms() - cpu);
            let (together, largest) = running.snapshot().since(&snapshot);
            report.add(&format!("{what}: CPU ms of processes that stay"), daemon.name, together);
            report.add(&format!("{what}: CPU ms of the process that has the tables"), daemon.name, largest);
            let late = tables::marks(file, minute);
            if let Some(late) = late.into_iter().find(|late| *late >= 0.0) {
                report.add(&format!("{what}: job late by ms"), daemon.name, late * 1000.0);
            }
        }
    }
}

/// Waits until the minute has begun and all daemons are idle again.
fn wait_past(minute: i64, up: &[Up<'_>]) {
    clock::wait_until((minute + BEGUN) as u64);
    up.iter().for_each(|(_, running, _)| running.wait_until_idle());
}

/// The next full minute that is at least `seconds` away.
fn minute_ahead(seconds: i64) -> i64 {
    tables::next_minute(tables::now() + seconds)
}
