//! A machine that is used hard for hours: many tables, many jobs, and everything around the daemon fails now and then.
//!
//! The daemon lives by the preloaded clock, which the test sets. Jobs write down themselves that they ran; at the end that is compared
//! with the history, the log, the mails, and with the slots that the rules of crontab(5) give for the minutes that the clock showed.

use crate::common::clock::now;
use crate::common::stage::{finish, first_process, missing, skip, stage, wait_for_inside, way_inside, why_not};
use crate::common::{Daemon, Deadline, Implementation, World};
use crate::fake::{Clock, VARIABLES};
use crate::soak_checks::{Checks, Minutes, Samples, Toggle};
use crate::soak_machine::{self as machine, LEDGER, TABLES};
use cronwheel::schedule::Timestamp;
use nix::sys::signal::Signal;
use std::fs;
use std::time::Duration;

/// The length of the run in hours, unless the variable CRONWHEEL_SOAK_HOURS says so: enough for one peak, one loss of the log and
/// one step of the clock.
const HOURS: f64 = 0.0125;
const HOURS_VARIABLE: &str = "CRONWHEEL_SOAK_HOURS";
const TEST: &str = "soak::tables_are_edited_and_services_fail_for_hours";

/// By how many seconds the clock is set, again and again in this order, unless the variable CRONWHEEL_SOAK_STEPS has others.
const STEPS: &str = "90,-20,1200,-120,240,-1800,-45,4000,-3600";
const STEPS_VARIABLE: &str = "CRONWHEEL_SOAK_STEPS";

/// Seconds between two things of a kind.
const SAMPLE_S: u64 = 5;
const EDIT_S: u64 = 4;
const TOGGLE_S: u64 = 13;
const RELOAD_S: u64 = 20;
const MAILER_S: u64 = 30;
const REPORT_S: u64 = 60;
const GATE_S: u64 = 75;
/// For so long the log is away.
const LOG_LOSS_S: u64 = 20;
/// The machine is set up, what waits for its start is started, and everything is compared within this time; a busy machine needs minutes.
const AFTERWARDS_S: u64 = 1500;
/// No table is toggled so shortly before or after a step, which belongs to one minute.
const CALM_S: u64 = 10;

/// The length of the run in seconds.
fn length_s() -> u64 {
    let hours = std::env::var(HOURS_VARIABLE).ok().map_or(HOURS, |hours| hours.parse().expect("hours"));
    (hours * 3600.0) as u64
}

/// The seconds between steps of the clock in a run of that length: each of them comes in ten minutes or more.
fn step_interval(length_s: u64) -> u64 {
    (length_s / 9).max(60).min(length_s / 3).min(420)
}

/// The seconds between losses of the log.
fn loss_interval(length_s: u64) -> u64 {
    (length_s / 2).clamp(LOG_LOSS_S + 10, 570)
}

#[test]
fn tables_are_edited_and_services_fail_for_hours() {
    match stage().as_deref() {
        Some("inside") => Soak::start(World::open(Implementation::OursDebian)).run(),
        Some(_) => finish(first_process(Implementation::OursDebian)),
        None => {
            if let Some(reason) = why_not(Implementation::OursDebian).or_else(|| missing(&["sqlite3"])) {
                skip(TEST, &reason);
                return;
            }
            // What it says is seen while it goes on.
            let arguments = ["--exact", TEST, "--nocapture", "--test-threads=1"];
            let limit = Duration::from_secs(length_s() + AFTERWARDS_S);
            let inside = wait_for_inside(&mut way_inside(&arguments), limit);
            assert!(!inside.timed_out, "killed, because it had not ended after {} seconds", limit.as_secs());
            assert!(inside.output.status.success(), "inside: {}", inside.output.status);
        }
    }
}

/// The run, and when what happens next.
struct Soak {
    world: World,
    clock: Clock,
    daemon: Daemon,
    random: fastrand::Rng,
    minutes: Minutes,
    samples: Samples,
    checks: Checks,
    began: Duration,
    length_s: u64,
    /// Whether the toggled entry or the removable table of each table is there.
    present: Vec<bool>,
    edits: usize,
    reloads: usize,
    step_sizes: Vec<i64>,
    steps: usize,
    log_losses: usize,
    log_is_away: bool,
    next_step_s: u64,
    last_step_s: u64,
}

impl Soak {
    fn start(world: World) -> Soak {
        let length_s = length_s();
        machine::set_up(&world);
        crate::common::machine::run(std::process::Command::new("ln").args([
            "-sfn",
            "/usr/share/zoneinfo/UTC",
            "/etc/localtime",
        ]));
        // The first peak comes right after the start.
        let shown = i64::try_from(now().as_secs()).unwrap() / 300 * 300 - 10;
        let clock = Clock::new(shown);
        std::thread::spawn({
            let clock = clock.handle();
            move || ring_when_due(&clock)
        });
        let daemon = world.start_daemon_with(&["--mailer", machine::MAILER], &VARIABLES);
        Deadline::seconds(60)
            .wait_for("the daemon's first answer", || world.run("cronctl ping").status.success().then_some(()));
        let samples = Samples::of(&world, &daemon);
        let minutes = Minutes::from(clock.shows());
        let checks = Checks::default();
        let next_step_s = step_interval(length_s);
        let steps = std::env::var(STEPS_VARIABLE).unwrap_or_else(|_| STEPS.to_owned());
        Soak {
            world,
            clock,
            daemon,
            random: fastrand::Rng::with_seed(19),
            minutes,
            samples,
            checks,
            began: machine_now(),
            length_s,
            present: vec![true; TABLES],
            edits: 0,
            reloads: 0,
            step_sizes: steps.split(',').map(|step| step.parse().expect("seconds")).collect(),
            steps: 0,
            log_losses: 0,
            log_is_away: false,
            next_step_s,
            last_step_s: 0,
        }
    }

    /// Whole seconds since the start.
    fn elapsed_s(&self) -> u64 {
        (machine_now() - self.began).as_secs()
    }

    fn run(mut self) {
        println!("soak: {TABLES} tables, {} seconds", self.length_s);
        let mut last_s = 0;
        while last_s < self.length_s {
            std::thread::sleep(Duration::from_millis(20));
            self.minutes.go_on(self.clock.shows());
            let second = self.elapsed_s();
            for second in last_s + 1..=second {
                self.do_what_is_planned(second);
            }
            last_s = second;
        }
        self.end();
    }

    fn do_what_is_planned(&mut self, second: u64) {
        let every = |interval: u64| second.is_multiple_of(interval);
        if every(SAMPLE_S) {
            self.samples.take(&self.world, second);
        }
        if every(EDIT_S) {
            self.edit();
        }
        if every(TOGGLE_S) && second > self.last_step_s + CALM_S && second + CALM_S < self.next_step_s {
            self.toggle();
        }
        if every(RELOAD_S) {
            self.reload();
        }
        if every(GATE_S) {
            machine::open_gate();
        }
        if every(MAILER_S) {
            machine::set_mailer_mode(["take", "refuse", "take", "slow"][(second / MAILER_S) as usize % 4]);
        }
        let phase = second % loss_interval(self.length_s);
        if phase == 5 && !self.log_is_away {
            self.world.log.go_away();
            self.log_is_away = true;
            self.log_losses += 1;
        }
        if phase == 5 + LOG_LOSS_S && self.log_is_away {
            self.world.log.come_back();
            self.log_is_away = false;
        }
        if second >= self.next_step_s && (25..35).contains(&(self.clock.shows() % 60)) {
            self.step(second);
        }
        if every(REPORT_S) {
            self.report(second);
        }
    }

    /// Writes a table anew. The jobs in it stay the same.
    fn edit(&mut self) {
        let table = self.random.usize(0..TABLES);
        if machine::is_removable(table) && !self.present[table] {
            return;
        }
        self.edits += 1;
        machine::write_table(&self.world, table, self.edits, self.present[table]);
    }

    /// Adds or removes an entry or a whole table.
    fn toggle(&mut self) {
        let table = self.random.usize(0..TABLES);
        let of_user = 100 + table % 110;
        let of_user = if of_user < 200 { of_user } else { 200 + of_user };
        let table = of_user + if table < TABLES / 2 { 0 } else { TABLES / 2 };
        let is_there = !self.present[table];
        self.present[table] = is_there;
        self.edits += 1;
        // The change is noticed at some moment after this.
        let toggle = Toggle::new(&self.minutes, self.clock.shows(), is_there);
        if machine::is_removable(table) && !is_there {
            machine::remove_table(&self.world, table);
        } else {
            machine::write_table(&self.world, table, self.edits, is_there);
        }
        self.checks.toggled(table, toggle);
    }

    fn reload(&mut self) {
        self.reloads += 1;
        if self.reloads.is_multiple_of(2) {
            self.daemon.signal(Signal::SIGHUP);
        } else {
            self.world.run("cronctl reload").ok();
        }
    }

    fn step(&mut self, second: u64) {
        let by = self.step_sizes[self.steps % self.step_sizes.len()];
        self.steps += 1;
        let before = self.clock.shows();
        self.minutes.go_on(before);
        self.clock.set(by);
        self.minutes.step(by, before + by);
        self.last_step_s = second;
        self.next_step_s = second + step_interval(self.length_s);
        println!("{second:>5} s: the clock was set by {by} s to {}", Timestamp(before + by));
    }

    fn report(&self, second: u64) {
        let ledger = fs::metadata(LEDGER).unwrap().len();
        println!(
            "{second:>5} s: ledger {ledger} bytes, {} minutes, {} edits; {}",
            self.minutes.index(),
            self.edits,
            self.samples.last()
        );
    }

    /// Removes all tables, waits for what runs, and compares.
    fn end(mut self) {
        if self.log_is_away {
            self.world.log.come_back();
        }
        machine::set_mailer_mode("take");
        // All that was due has begun, which takes minutes after a peak on a busy machine: what waits is skipped when its table goes.
        Deadline::seconds(900).wait_for("a moment without jobs", || {
            let shown = self.clock.shows();
            self.minutes.go_on(shown);
            let has_begun = machine::recorded().is_some_and(|recorded| recorded >= shown.div_euclid(60) * 60);
            ((20..50).contains(&(shown % 60)) && has_begun && self.samples.is_quiet(&self.world)).then_some(())
        });
        self.world.run("rm -f /etc/cron.d/soak* /var/spool/cron/crontabs/soak* && cronctl reload").ok();
        self.minutes.go_on(self.clock.shows());
        let ends = Deadline::seconds(150).try_wait_for(|| {
            machine::open_gate();
            self.samples.has_no_jobs(&self.world).then_some(())
        });
        self.checks.require(ends.is_some(), || "jobs do not end".to_owned());
        self.samples.print_processes(&self.world);
        let second = self.elapsed_s();
        self.samples.take(&self.world, second);
        self.checks.wait_for_the_history(&self.world);
        let log = self.world.log.lines();
        let status = self.daemon.stop();
        println!("the daemon ended with {status}");
        self.checks.require(status.success(), || format!("the daemon ended with {status}"));
        let Soak { world, minutes, samples, mut checks, edits, reloads, steps, log_losses, length_s, .. } = self;
        println!(
            "\n{length_s} s, {edits} edits, {reloads} reloads, {steps} steps of the clock, {log_losses} losses of the log"
        );
        samples.check(&mut checks);
        checks.compare(&world, &minutes, &log);
        checks.finish();
    }
}

/// The machine's own clock that nobody sets.
fn machine_now() -> Duration {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("a monotonic clock");
    now.into()
}

/// Wakes the daemon whenever it wants to be.
fn ring_when_due(clock: &Clock) {
    let mut rung = (None, 0);
    loop {
        std::thread::sleep(Duration::from_millis(5));
        let armed = (clock.armed(), clock.times_armed());
        if armed != rung && armed.0.is_some_and(|due| due <= clock.shows()) {
            clock.expire_timer();
            rung = armed;
        }
    }
}
