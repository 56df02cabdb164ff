//! One user's jobs do not delay, drop or survive those of another.

use crate::common::clock::now;
use crate::common::machine::Process;
use crate::common::{Daemon, Deadline, Implementation, World};
use crate::world;
use nix::sys::signal::Signal;
use std::fs;
use std::time::Duration;

/// A job that writes down when it was started, in milliseconds.
fn clock_job(name: &str) -> String {
    format!("date +\\%s\\%3N >> /run/times/{name}")
}

fn make_times(world: &World) {
    world.run("mkdir -m 1777 /run/times").ok();
}

/// When the runs of such a job were started, in milliseconds.
fn times(name: &str) -> Vec<i64> {
    let text = fs::read_to_string(format!("/run/times/{name}")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Waits for that many more runs of a job that is due each second, and checks that they came one after the other and that hardly any is
/// missing: the job itself, its shell and date(1), has to share the machine with whatever else is tested on it.
fn assert_punctual(name: &str, runs: usize) {
    let before = times(name).len();
    let enough = || (times(name).len() >= before + runs).then_some(());
    Deadline::seconds(2 * runs as u64 + 20).wait_for("a job that is due each second", enough);
    let times = &times(name)[before..];
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
    let all = (times[times.len() - 1] - times[0]) / 1000;
    assert!(longest < 3000 && all < runs as i64 + 2, "{name}: {times:?}");
}

/// The memory of all processes of the daemon's, in KiB, shared pages counted once. Without those that each hold one job's PAM session open: they
/// are as many as the jobs that run, and have a bound of their own.
fn memory_of(name: &str, world: &World) -> u64 {
    let is_meant = |process: &Process| process.name.starts_with(name) && !process.name.ends_with(": pam");
    let of_program = world.processes().into_iter().filter(is_meant);
    let pss = |pid: u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("Pss:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    of_program.filter_map(|process| pss(process.pid)).sum()
}

/// How many jobs of a user the log says were started.
fn started(world: &World, user: &str) -> usize {
    let part = format!(": ({user}) CMD (");
    world.log.lines().iter().filter(|line| line.contains(&part)).count()
}

/// Waits until no start of a user's is logged any more for two seconds.
fn wait_for_quiet(world: &World, user: &str, deadline: Deadline) {
    let mut last = (started(world, user), now());
    deadline.wait_for("the end of a user's starts", || {
        let count = started(world, user);
        if count != last.0 {
            last = (count, now());
        }
        (now() >= last.1 + Duration::from_secs(2)).then_some(())
    });
}

/// A regression must not take the machine down: main and the executor may have 4 GB of address space.
fn bound_memory(daemon: &Daemon, world: &World) {
    let is_meant = |process: &&Process| process.pid == daemon.pid() || process.name.ends_with(": executor");
    for process in world.processes().iter().filter(is_meant) {
        world.run(&format!("prlimit --as=4000000000 -p {}", process.pid)).ok();
    }
}

#[test]
fn a_large_environment_costs_neither_memory_nor_the_punctuality_of_others() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    make_times(&world);
    fs::create_dir_all("/etc/pam.d").unwrap();
    for services in ["", "#%PAM-1.0\naccount required pam_permit.so\nsession required pam_permit.so\n"] {
        let service = "/etc/pam.d/cron";
        if services.is_empty() {
            fs::remove_file(service).ok();
        } else {
            fs::write(service, services).unwrap();
        }
        world.drop_in("canary", &format!("@every_second bob {}\n", clock_job("bob")));
        // One environment just below the limit of 1 MiB, and twenty jobs each second that have it.
        let variables: String = (0..1140).map(|n| format!("V{n}={}\n", "y".repeat(900))).collect();
        world.crontab("alice", &(variables + &"@every_second true\n".repeat(20))).ok();
        let daemon = world.start_daemon(&[]);
        bound_memory(&daemon, &world);
        Deadline::seconds(20).wait_for("alice's jobs", || (started(&world, "alice") > 20).then_some(()));
        assert_punctual("bob", 8);
        let memory = memory_of("cron", &world);
        assert!(memory < 128 << 10, "{memory} KiB");
        world.run_as("alice", "crontab -r").ok();
        wait_for_quiet(&world, "alice", Deadline::seconds(7));
    }
}

#[test]
fn ten_thousand_jobs_each_second_delay_only_their_owners_and_end_with_the_table() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    make_times(&world);
    world.crontab("bob", &format!("@every_second {}\n", clock_job("bob"))).ok();
    // Jobs of the system that run as alice are not among hers.
    world.drop_in("canary", &format!("@every_second alice {}\n", clock_job("system")));
    world.crontab("alice", &"@every_second true\n".repeat(9990)).ok();
    let daemon = world.start_daemon(&[]);
    bound_memory(&daemon, &world);
    assert_punctual("bob", 10);
    assert_punctual("system", 3);
    assert!(memory_of("cron", &world) < 128 << 10);
    world.log.wait_for("superseded by a later slot", Deadline::seconds(20));
    world.run_as("alice", "crontab -r").ok();
    world.log.wait_for("the entry was removed or changed", Deadline::seconds(5));
    // The canary of the system runs as alice, so it is its own quiet that tells.
    let own = || world.log.lines().iter().filter(|line| line.contains("(alice) CMD (true)")).count();
    let before = own();
    assert_punctual("bob", 5);
    assert!(own() <= before + 200, "{} starts after the table had gone", own() - before);
    let before = own();
    assert_punctual("bob", 3);
    assert_eq!(own(), before, "starts go on after the table has gone");
}

#[test]
fn after_the_end_of_the_daemon_nothing_more_is_started() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let before = started(&world, "alice");
        world.crontab("alice", &"@every_second true\n".repeat(9990)).ok();
        let mut daemon = world.start_daemon(&[]);
        bound_memory(&daemon, &world);
        Deadline::seconds(20).wait_for("alice's jobs", || (started(&world, "alice") > before + 1000).then_some(()));
        daemon.signal(signal);
        daemon.end(Deadline::seconds(20));
        // What had been begun in that very moment may still be told of.
        Deadline::seconds(5).wait_for("the executor's end", || {
            (!world.processes().iter().any(|process| process.name.starts_with("cron"))).then_some(())
        });
        let after = started(&world, "alice");
        Deadline::seconds(5).wait_for("two seconds", {
            let since = now();
            move || (now() > since + Duration::from_secs(2)).then_some(())
        });
        assert_eq!(started(&world, "alice"), after, "{signal}");
    }
}

#[test]
fn the_worst_legal_tables_of_several_users_leave_the_others_punctual() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    make_times(&world);
    world.run("for n in 1 2 3 4; do useradd --create-home mallory$n; done; printf 'alice\\nbob\\nmallory1\\nmallory2\\nmallory3\\nmallory4\\n' >/etc/cron.allow").ok();
    // A mailer that takes its time.
    fs::write("/usr/sbin/sendmail", "#!/bin/sh\nexec sleep 5\n").unwrap();
    world.run("chmod 755 /usr/sbin/sendmail").ok();
    world.crontab("bob", &format!("@every_second {}\n", clock_job("bob"))).ok();
    world.crontab("alice", &format!("* * * * * {}\n", clock_job("alice"))).ok();
    let daemon = world.start_daemon(&[]);
    bound_memory(&daemon, &world);
    assert_punctual("bob", 2);
    // Many starts, each second and each minute, with long commands and long input.
    let long = "x".repeat(1500);
    world.crontab("mallory1", &format!("@every_second true {long}%{long}\n").repeat(5000)).ok();
    // Floods of output that end up in mails.
    world.crontab("mallory2", &"@every_second head -c 3000000 /dev/zero\n".repeat(200)).ok();
    // Processes that stop themselves, and their shell with them, as early as they can.
    world.crontab("mallory3", &"@every_second kill -STOP $$\n".repeat(20)).ok();
    // Sleeping jobs, of different environments.
    let sleeping: String =
        (0..500).map(|n| format!("N={n}{}\n@every_second -s sleep 100\n", "z".repeat(1000))).collect();
    world.crontab("mallory4", &sleeping).ok();
    Deadline::seconds(30).wait_for("their jobs", || (started(&world, "mallory4") > 100).then_some(()));
    assert_punctual("bob", 15);
    let memory = memory_of("cron", &world);
    assert!(memory < 256 << 10, "{memory} KiB");
    for n in 1..=4 {
        world.run(&format!("crontab -u mallory{n} -r")).ok();
    }
    assert_punctual("bob", 5);
    let hostile = || (1..=4).map(|n| started(&world, &format!("mallory{n}"))).sum::<usize>();
    let before = hostile();
    assert_punctual("bob", 3);
    assert_eq!(hostile(), before, "the backlog outlives the tables");
    world.run("pkill -KILL -u mallory3; pkill -KILL -u mallory4 || true");
    // The minutely job of another user was on time, too.
    Deadline::seconds(70).wait_for("alice's minute", || (!times("alice").is_empty()).then_some(()));
    let late: Vec<i64> = times("alice").iter().map(|ms| ms.rem_euclid(60_000)).collect();
    assert!(late.iter().all(|ms| *ms < 2000), "{late:?} ms late");
}

#[test]
fn mailers_that_hang_delay_only_their_owners_mail_and_are_reported_once() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let mailer = "#!/bin/sh\n[ $LOGNAME = alice ] && exec sleep 1000\ncat >>/run/mail\n";
    fs::write("/usr/sbin/sendmail", mailer).unwrap();
    world.run("chmod 755 /usr/sbin/sendmail; touch /run/mail; chmod 666 /run/mail").ok();
    world.crontab("alice", &"@reboot echo hello\n".repeat(30)).ok();
    let daemon = world.start_daemon(&[]);
    let said = world.log.wait_for("(CRON) WARNING (mail is delayed: 8 mailers running", Deadline::seconds(30));
    assert!(said.contains("and 22 mails waiting)"), "{said}");
    world.crontab("bob", "@every_second echo for bob\n").ok();
    world.wait_for_file("/run/mail", Deadline::seconds(20));
    daemon.signal(Signal::SIGUSR1);
    let state = world.log.wait_for(" mails waiting for a mailer)", Deadline::seconds(20));
    assert!(state.contains("(CRON) STATE ("), "{state}");
    assert_eq!(world.log.lines().iter().filter(|line| line.contains("mail is delayed:")).count(), 1);
    assert!(daemon.stop().success());
    world.log.wait_for("(CRON) INFO (Shutting down)", Deadline::seconds(20));
    world.run("pkill -KILL sleep").ok();
}
