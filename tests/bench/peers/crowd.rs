//! Many tables: what they take to load and to hold, a minute with nothing due, one with a single job, one table replaced.

use crate::Extent;
use crate::common::{Deadline, clock, log};
use crate::contestant::{Contestant, Running};
use crate::gaps::Gaps;
use crate::report::Report;
use crate::tables;
use nix::sys::signal::Signal;
use std::fs;
use std::process::Command;
use std::time::Duration;

/// Those that need seconds to load the crowd are loaded so often: their spread is 5 %.
const SLOW_LOADS: usize = 2;
const SLOW: [&str; 3] = ["Debian", "cronie", BUSYBOX];
/// It takes no table of more than 256 lines, and reads everything again in its first minute, which is no minute like the others.
const BUSYBOX: &str = "busybox";
/// Scans of all entries, and tables replaced while it is waited for the log's line.
const SEVERAL: usize = 3;
/// Safety looks: the first after a load takes a quarter more, and one is over soon.
const LOOKS: usize = 7;
/// Seconds after a minute at which everybody has begun what the minute is to bring.
const BEGUN: i64 = 4;

/// Measures all, each with a spool of its own; while they wait for a minute, what `gaps` has is done.
pub fn measure(all: &[Contestant], extent: Extent, gaps: &mut Gaps<'_>, report: &mut Report) {
    let crowd: Vec<Contestant> =
        all.iter().filter(|one| !one.differs_in_jobs_only()).map(|one| one.elsewhere("crowd")).collect();
    small(&crowd, report);
    lines(&crowd, extent, report);
    let running = large(&crowd, extent, report);
    scan(&running, report);
    look(&running, report);
    if extent.quiet_minutes {
        quiet_minute(&running, gaps, report);
    }
    adopted(&running, report);
    replaced(&running, extent, gaps, report);
}

type Up<'a> = (&'a Contestant, Running, String);

fn small(crowd: &[Contestant], report: &mut Report) {
    for one in crowd {
        let spool = tables::spool(one, 10, tables::idle_table);
        let running = one.start(&spool, None);
        report.add("load 10 crontabs, CPU ms", one.name, running.cpu_ms());
        let held = running.held();
        report.add("10 crontabs, PSS KiB", one.name, held.pss);
        report.add("10 crontabs, RSS KiB", one.name, held.rss);
    }
}

/// So many long tables tell what a line costs: one is loaded in milliseconds, of which a start takes most.
const LONG_TABLES: usize = 10;

/// Rounds of that.
const LINES_ROUNDS: usize = 4;

/// What a line costs: long tables less short ones.
fn lines(crowd: &[Contestant], extent: Extent, report: &mut Report) {
    let load = |one: &Contestant, count: usize, text: fn(usize) -> String| {
        let spool = tables::spool(one, count, text);
        one.start(&spool, None).cpu_ms()
    };
    for _ in 0..extent.loads.min(LINES_ROUNDS) {
        for one in crowd.iter().filter(|one| one.name != BUSYBOX) {
            report.add("load one crontab of 9,900 entries, CPU ms", one.name, load(one, 1, tables::long_table));
            let long = load(one, LONG_TABLES, tables::long_table);
            let short = load(one, LONG_TABLES, tables::idle_table);
            let more = (LONG_TABLES * (tables::LONG - tables::SHORT)) as f64;
            report.add("a line of ten such crontabs, CPU ns", one.name, (long - short) * 1e6 / more);
        }
    }
}

fn large<'a>(crowd: &'a [Contestant], extent: Extent, report: &mut Report) -> Vec<Up<'a>> {
    let mut up = Vec::new();
    for left in (0..extent.loads).rev() {
        for one in crowd.iter().filter(|one| left < SLOW_LOADS || !SLOW.contains(&one.name)) {
            eprintln!("load of {}, {left} more", one.name);
            let spool = tables::spool(one, extent.tables, tables::idle_table);
            let running = one.start(&spool, None);
            report.add("load the crowd, CPU ms", one.name, running.cpu_ms());
            let held = running.held();
            report.add("the crowd, PSS KiB", one.name, held.pss);
            report.add("the crowd, RSS KiB", one.name, held.rss);
            if left == 0 {
                up.push((one, running, spool));
            }
        }
    }
    report.note(format!("the crowd: {} crontabs of 10 entries", extent.tables));
    up
}

/// What the floor program says that something takes that it does with a directory of tables, milliseconds of CPU.
fn floor_ms(what: &str, spool: &str) -> f64 {
    let output = Command::new("/usr/local/bin/mark").args([what, spool]).output().expect("the floor program");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    told.lines().next().and_then(|ns| ns.parse::<f64>().ok()).expect("nanoseconds") / 1e6
}

/// What it takes to look through all entries for those that are due, nothing else.
fn scan(up: &[Up<'_>], report: &mut Report) {
    let Some((floor, _, spool)) = up.iter().find(|(one, ..)| one.name == "floor") else { return };
    for _ in 0..SEVERAL {
        report.add("the crowd scanned for what is due, CPU ms", floor.name, floor_ms("--scan", spool));
    }
}

/// Ours looks at everything every ten minutes, and does the same when it is told to reload. The floor asks for the state of
/// each file, nothing else.
fn look(up: &[Up<'_>], report: &mut Report) {
    let of = |name: &str| up.iter().find(|(one, ..)| one.name == name);
    let (Some((ours, running, _)), Some((floor, _, floors_spool))) = (of("ours"), of("floor")) else { return };
    for _ in 0..LOOKS {
        let before = running.cpu_ms();
        running.signal(Signal::SIGHUP);
        // It reloads once a second.
        std::thread::sleep(Duration::from_millis(1200));
        running.wait_until_idle();
        let spent = running.cpu_ms() - before;
        report.add("a look at the crowd, CPU ms", ours.name, spent);
        report.add("an hour with nothing due (60 minutes, 6 looks), CPU ms", ours.name, 6.0 * spent);
        report.add("a look at the crowd, CPU ms", floor.name, floor_ms("--look", floors_spool));
    }
}

/// CPU and wake-ups from a second before a minute until all is quiet again, nothing being due.
fn quiet_minute(up: &[Up<'_>], gaps: &mut Gaps<'_>, report: &mut Report) {
    let minute = minute_ahead(2);
    gaps.fill(minute - 2, report);
    let before: Vec<_> = up.iter().map(|(_, running, _)| (running.cpu_ms(), running.held().sleeps)).collect();
    wait_past(minute, up);
    for ((one, running, _), (cpu, sleeps)) in up.iter().zip(before) {
        let spent = running.cpu_ms() - cpu;
        report.add("minute with nothing due, CPU ms", one.name, spent);
        report.add("minute with nothing due, sleeps", one.name, running.held().sleeps - sleeps);
        if !["ours", BUSYBOX].contains(&one.name) {
            report.add("an hour with nothing due (60 minutes, 6 looks), CPU ms", one.name, 60.0 * spent);
        }
    }
}

/// How soon ours tells of a table that was replaced.
fn adopted(up: &[Up<'_>], report: &mut Report) {
    let Some((ours, _, spool)) = up.iter().find(|(one, ..)| one.name == "ours") else { return };
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

/// One table is replaced; its new job is due in the next minute and the one after.
fn replaced(up: &[Up<'_>], extent: Extent, gaps: &mut Gaps<'_>, report: &mut Report) {
    let first = minute_ahead(12);
    let second = first + 60;
    let mut files = Vec::new();
    for (one, running, spool) in up {
        let file = tables::fresh_marks(one);
        let ((minute, hour), (next, _)) = (tables::minute_and_hour(first), tables::minute_and_hour(second));
        let job = format!("{minute},{next} {hour} * * * /usr/local/bin/mark --mark {file}\n");
        let before = running.cpu_ms();
        tables::put(one, spool, 1, &(tables::idle_table(1) + &job));
        std::thread::sleep(Duration::from_millis(500));
        report.add("one table replaced: CPU ms at once", one.name, running.cpu_ms() - before);
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
        gaps.fill(minute - 2, report);
        let before: Vec<_> = up.iter().map(|(_, running, _)| (running.cpu_ms(), running.standing())).collect();
        wait_past(minute, up);
        for (((one, running, _), (cpu, standing)), file) in up.iter().zip(before).zip(&files) {
            report.add(&format!("{what}: CPU ms"), one.name, running.cpu_ms() - cpu);
            let (together, largest) = running.standing().since(&standing);
            report.add(&format!("{what}: CPU ms of the processes that stay"), one.name, together);
            report.add(&format!("{what}: CPU ms of the one that has the tables"), one.name, largest);
            let late = tables::marks(file, minute);
            if let Some(late) = late.into_iter().find(|late| *late >= 0.0) {
                report.add(&format!("{what}: job late by ms"), one.name, late * 1000.0);
            }
        }
    }
}

/// Waits until the minute has come and all have done what it brought.
fn wait_past(minute: i64, up: &[Up<'_>]) {
    clock::wait_until((minute + BEGUN) as u64);
    up.iter().for_each(|(_, running, _)| running.wait_until_idle());
}

/// The next minute that is at least so many seconds away.
fn minute_ahead(seconds: i64) -> i64 {
    tables::next_minute(tables::now() + seconds)
}
