//! How soon ours handles SIGHUP while thousands of jobs start.

use crate::Extent;
use crate::between_minutes::WorkBetweenMinutes;
use crate::burst::{wait_for_marks, with_jobs};
use crate::common::clock;
use crate::daemon::Daemon;
use crate::report::{Part, Report};
use crate::tables;
use nix::sys::signal::Signal;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// The socket on which it reports a reload (sd_notify).
const MANAGER: &str = "/tmp/marks/manager";
/// Between two signals; the daemon reloads at most once a second.
const PAUSE: Duration = Duration::from_millis(1100);

/// Time limit in seconds for each thousand jobs.
const TURN_A_THOUSAND: i64 = 3;

/// Sends HUP repeatedly from the moment when all jobs are due until the last has started.
pub fn plan<'a>(all: &'a [Daemon], extent: Extent, between_minutes: &mut WorkBetweenMinutes<'a>) {
    let Some(ours) = all.iter().find(|daemon| daemon.name == "ours") else { return };
    let turn = 10 + TURN_A_THOUSAND * extent.tables as i64 / 1000;
    between_minutes.add(Part::ReloadLatency, turn, move |report| measure(ours, extent, report));
}

fn measure(ours: &Daemon, extent: Extent, report: &mut Report) {
    eprintln!("answers of {}", ours.name);
    let jobs = extent.tables;
    let manager = UnixDatagram::bind(MANAGER).expect("a socket");
    manager.set_read_timeout(Some(Duration::from_secs(20))).expect("poll_timeout");
    let due = tables::now() + 5;
    let (running, file) = with_jobs(&ours.with_variable("NOTIFY_SOCKET", MANAGER), due, jobs, "");
    clock::wait_until(due as u64);
    let mut answers = Vec::new();
    while answers.is_empty() || tables::marks(&file, due).len() < jobs {
        let asked = clock::now();
        running.signal(Signal::SIGHUP);
        wait_for(&manager, "RELOADING=1");
        answers.push((clock::now() - asked).as_secs_f64() * 1000.0);
        wait_for(&manager, "READY=1");
        std::thread::sleep(PAUSE);
    }
    wait_for_marks(&file, due, jobs);
    let worst = answers.iter().copied().fold(0.0, f64::max);
    report.add(&format!("{jobs} jobs due: HUP answered after ms, worst"), ours.name, worst);
    for answer in answers {
        report.add(&format!("{jobs} jobs due: HUP answered after ms"), ours.name, answer);
    }
}

fn wait_for(manager: &UnixDatagram, word: &str) {
    let mut packet = [0; 4096];
    loop {
        let size = manager.recv(&mut packet).expect("an answer");
        if String::from_utf8_lossy(&packet[..size]).contains(word) {
            return;
        }
    }
}
