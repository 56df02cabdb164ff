//! How soon `cronctl` answers with a very large database, and how long main's event loop is held by it.

use crate::Extent;
use crate::between_minutes::WorkBetweenMinutes;
use crate::common::clock;
use crate::daemon::{Daemon, OURS_WITH_HISTORY, Running};
use crate::entries;
use crate::report::{Part, Report};
use crate::tables;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The number of entries that are loaded, at most.
const ENTRIES: usize = 100_000;
/// Runs of each verb.
const RUNS: usize = 5;
/// Time limit of this part, in seconds.
const TURN: i64 = 40;
/// Between two requests of the second client; one user may make 100 a second.
const PAUSE: Duration = Duration::from_millis(20);
/// The smallest request: what the service is.
const REQUEST: &[u8] = b"{\"method\":\"org.varlink.service.GetInfo\"}\0";

/// Plans the measurement, in which nothing is due.
pub fn plan<'a>(all: &'a [Daemon], extent: Extent, between_minutes: &mut WorkBetweenMinutes<'a>) {
    let Some(ours) = all.iter().find(|daemon| daemon.name == OURS_WITH_HISTORY) else { return };
    between_minutes.add(Part::Queries, TURN, move |report| measure(ours, ENTRIES.min(extent.entries), report));
}

fn measure(ours: &Daemon, count: usize, report: &mut Report) {
    eprintln!("queries of {}", ours.name);
    entries::put(count);
    let spool = tables::spool(ours, 0, tables::idle_table);
    let running = ours.start(&spool, None);
    for _ in 0..RUNS {
        for verb in ["list", "next", "status"] {
            let (first_line, slowest_reply) = query(&running, verb);
            report.add(&format!("cronctl {verb}, {count} entries: first line after ms"), "ours", first_line);
            report.add(
                &format!("cronctl {verb}, {count} entries: slowest reply to another client, ms"),
                "ours",
                slowest_reply,
            );
        }
    }
    entries::put(0);
}

/// Milliseconds until the first line of a verb, and of the slowest reply to a second client meanwhile.
fn query(running: &Running, verb: &str) -> (f64, f64) {
    let ended = AtomicBool::new(false);
    let directory = running.run_directory();
    std::thread::scope(|scope| {
        let second_client = scope.spawn(|| slowest_reply(&directory, &ended));
        let begun = clock::now();
        let mut cronctl = Command::new("/usr/bin/cronctl")
            .args([verb, "--run-dir", &directory])
            .stdout(Stdio::piped())
            .spawn()
            .expect("cronctl");
        let mut output = BufReader::new(cronctl.stdout.take().expect("a pipe"));
        let mut line = String::new();
        output.read_line(&mut line).expect("the first line");
        let first_line = (clock::now() - begun).as_secs_f64() * 1000.0;
        assert!(!line.is_empty(), "cronctl {verb} prints nothing");
        output.read_to_end(&mut Vec::new()).expect("the other lines");
        cronctl.wait().expect("the end of cronctl");
        ended.store(true, Ordering::Relaxed);
        (first_line, second_client.join().expect("the second client"))
    })
}

/// Milliseconds of the slowest reply to the smallest request, asked for until `ended`.
fn slowest_reply(directory: &str, ended: &AtomicBool) -> f64 {
    let mut stream = UnixStream::connect(format!("{directory}/io.cronwheel.Cron")).expect("the control socket");
    let mut slowest = 0.0_f64;
    while !ended.load(Ordering::Relaxed) {
        let begun = clock::now();
        stream.write_all(REQUEST).expect("a request");
        let mut byte = [1];
        while byte != [0] {
            stream.read_exact(&mut byte).expect("a reply");
        }
        slowest = slowest.max((clock::now() - begun).as_secs_f64() * 1000.0);
        std::thread::sleep(PAUSE);
    }
    slowest
}
