//! What surrounds the daemon: memory and processes that run out, a read-only run directory, locales, a log that comes and goes, and what of
//! all that jobs find.

use super::common::{Daemon, Deadline, Implementation, World};
use super::{CANARY, canary_runs, wait_for_canary};
use crate::world;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A cgroup with a limit for the daemon and all that it starts, as its unit might have one.
struct Limited {
    group: PathBuf,
    /// The file of the cgroup that has the limit, as `memory.max`.
    limit: &'static str,
}

impl Limited {
    /// With one of these limits. None where the kernel has no such controller for us.
    fn new(world: &World, controller: &str, limits: &[&'static str]) -> Option<Limited> {
        fs::create_dir_all("/run/limits").unwrap();
        let kinds = [format!("-t cgroup -o {controller}"), "-t cgroup2".to_owned()];
        kinds.iter().find(|kind| world.run(&format!("mount {kind} none /run/limits")).status.success())?;
        // The whole machine sees the name: that of our process namespace tells it from others.
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap();
        let number: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        let group = PathBuf::from(format!("/run/limits/cronwheel-test-{controller}-{number}"));
        fs::create_dir(&group).unwrap();
        let limit = limits.iter().find(|limit| group.join(limit).exists());
        if limit.is_none() {
            fs::remove_dir(&group).unwrap();
        }
        Some(Limited { group, limit: limit? })
    }

    fn set(&self, value: &str) {
        fs::write(self.group.join(self.limit), value).unwrap_or_else(|error| panic!("{}={value}: {error}", self.limit));
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.group.join(file)).unwrap_or_default()
    }

    /// Takes in a daemon with its executor, before they have started anything else.
    fn enclose(&self, world: &World, daemon: &Daemon) {
        for process in world.processes() {
            if process.pid == daemon.pid() || process.parent == daemon.pid() {
                fs::write(self.group.join("cgroup.procs"), process.pid.to_string()).unwrap();
            }
        }
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        Deadline::seconds(20).try_wait_for(|| {
            for pid in self.read("cgroup.procs").lines() {
                let _ = Command::new("kill").args(["-KILL", pid]).status();
            }
            fs::remove_dir(&self.group).ok()
        });
    }
}

/// Whether the line of the log is there by then.
fn is_logged(world: &World, part: &str, seconds: u64) -> bool {
    let line = || world.log.lines().iter().any(|line| line.contains(part)).then_some(());
    Deadline::seconds(seconds).try_wait_for(line).is_some()
}

#[test]
fn a_job_that_takes_all_memory_of_the_unit_is_killed_alone() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let Some(limited) = Limited::new(&world, "memory", &["memory.max", "memory.limit_in_bytes"]) else {
        return super::common::stage::skip("memory of the unit", "no memory cgroup can be made here");
    };
    limited.set("200M");
    world.drop_in("canary", CANARY);
    let mut daemon = world.start_daemon(&[]);
    limited.enclose(&world, &daemon);
    wait_for_canary();
    let processes = || -> Vec<u32> {
        let own = world.processes().into_iter();
        own.filter(|process| process.parent == daemon.pid()).map(|process| process.pid).collect()
    };
    let before = processes();
    // A line without an end: tail keeps all of it.
    world.crontab("alice", "@every_second tail /dev/zero; echo status $? >>/home/alice/ended\n").ok();
    let ended = world.wait_for_file("/home/alice/ended", Deadline::seconds(60));
    assert!(ended.starts_with("status 137\n"), "{ended}");
    world.crontab("alice", "@daily true\n").ok();
    wait_for_canary();
    wait_for_canary();
    assert_eq!(processes(), before, "neither the executor nor another process of the daemon was killed");
    assert!(daemon.is_alive());
}

#[test]
fn processes_of_one_user_that_use_up_the_units_limit_delay_jobs_and_lose_none() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let Some(limited) = Limited::new(&world, "pids", &["pids.max"]) else {
        return super::common::stage::skip("processes of the unit", "no pids cgroup can be made here");
    };
    let mut daemon = world.start_daemon(&[]);
    limited.enclose(&world, &daemon);
    let now: u32 = limited.read("pids.current").trim().parse().unwrap();
    limited.set(&(now + 20).to_string());
    // It takes all processes that there are within the bounds of the cgroup, until it is ended.
    let hog = "until (-e '/tmp/enough') { my $pid = fork; exec 'sleep', '600' if defined $pid && !$pid; \
               select undef, undef, undef, 0.02 }\n";
    fs::write("/run/hog", hog).unwrap();
    world.crontab("alice", "CRON_OVERLAP=skip\n@every_second perl /run/hog\n").ok();
    let is_full =
        || limited.read("pids.events").split_whitespace().nth(1).is_some_and(|count| count != "0").then_some(());
    Deadline::seconds(30).wait_for("the limit to be reached", is_full);
    world.drop_in("slots", "@every_second root echo $CRON_SCHEDULED_AT >>/run/slots\n");
    assert!(is_logged(&world, "starting jobs is delayed", 30), "{:#?}", world.log.lines());
    assert!(daemon.is_alive());
    world.crontab("alice", "@daily true\n").ok();
    fs::write("/tmp/enough", "").unwrap();
    world.run("pkill -KILL -u alice; true");
    let slots = || fs::read_to_string("/run/slots").unwrap_or_default();
    Deadline::seconds(30).wait_for("root's jobs", || (slots().lines().count() >= 5).then_some(()));
    let all = slots();
    let different: BTreeSet<&str> = all.lines().collect();
    assert_eq!(different.len(), all.lines().count(), "no slot twice: {all}");
    assert!(daemon.is_alive());
}

/// Starts a daemon that writes no PID file.
fn start_without_pid_file(world: &World) -> Child {
    let mut command = Command::new(world.implementation.daemon());
    command.arg(world.implementation.foreground()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// A second daemon does not start, so that it runs no job again.
fn refuses_a_second(world: &World, first: &Child) {
    let mut second = start_without_pid_file(world);
    let ended = Deadline::seconds(20).try_wait_for(|| second.try_wait().unwrap());
    second.kill().ok();
    assert_eq!(ended.and_then(|status| status.code()), Some(1), "the second daemon");
    let words = String::from_utf8(second.wait_with_output().unwrap().stderr).unwrap();
    assert!(words.contains(&format!("already running as process {}", first.id())), "{words}");
}

fn jobs_run_with_a_read_only_run_directory(world: &World) {
    // The canary's file is elsewhere, since it lies in /run otherwise.
    world.drop_in("canary", "@every_second root echo >>/srv/canary\n@reboot root echo >>/srv/reboot\n");
    world.crontab("alice", "@every_second echo >>canary\n").ok();
    // By another mount, since files in it are open.
    world.run("mount --bind /run /run && mount -o remount,ro,bind /run").ok();
    assert!(fs::write("/run/x", "").is_err(), "the test shows nothing");
    let size_of = |path: &str| fs::read_to_string(path).unwrap_or_default().len();
    let mut daemon = start_without_pid_file(world);
    for path in ["/srv/canary", "/home/alice/canary", "/srv/reboot"] {
        Deadline::seconds(20).wait_for(path, || (size_of(path) > 0).then_some(()));
    }
    assert!(daemon.try_wait().unwrap().is_none());
    world.log.wait_for("WARNING (the run directory /run is read-only: ", Deadline::seconds(20));
    refuses_a_second(world, &daemon);
    // A user's lock on the directory keeps nobody from starting.
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let mut flock = world.command_as("alice", "exec flock /run sleep 600").spawn().unwrap();
    Deadline::seconds(20).wait_for("the lock", || (!world.run("flock -n /run true").status.success()).then_some(()));
    let mut third = start_without_pid_file(world);
    let before = size_of("/srv/canary");
    Deadline::seconds(20).wait_for("the canary", || (size_of("/srv/canary") > before + 1).then_some(()));
    assert!(third.try_wait().unwrap().is_none());
    // Nor does it let two of them in, while it is held and afterwards.
    refuses_a_second(world, &third);
    assert!(!world.run("flock -n /run true").status.success(), "the test shows nothing");
    // It ends with the program that it has started, and which has the lock as well.
    world.run("pkill -KILL -u alice -x sleep").ok();
    Deadline::seconds(20).wait_for("the free lock", || world.run("flock -n /run true").status.success().then_some(()));
    refuses_a_second(world, &third);
    third.kill().unwrap();
    third.wait().unwrap();
    flock.wait().unwrap();
}

#[test]
fn with_a_read_only_run_directory_jobs_run_and_two_daemons_do_not() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    jobs_run_with_a_read_only_run_directory(&world);
}

#[test]
fn in_the_cronie_profile_with_a_read_only_run_directory_jobs_run_and_two_daemons_do_not() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    jobs_run_with_a_read_only_run_directory(&world);
}

#[test]
fn in_any_locale_files_with_all_names_of_letters_are_read() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    // In Estonian z stands before t, in Turkish i and I are not one letter in two cases.
    let letters: Vec<char> = ('a'..='z').chain('A'..='Z').collect();
    for letter in &letters {
        world.drop_in(&letter.to_string(), &format!("@reboot root echo {letter} >>/run/letters\n"));
    }
    let mut are_real = 0;
    for locale in ["et_EE.UTF-8", "tr_TR.UTF-8", "C", "no such locale"] {
        if let Some((name, _)) = locale.split_once('.') {
            are_real += u32::from(world.run(&format!("localedef -i {name} -f UTF-8 {locale}")).status.success());
        }
        world.run("rm -f /run/letters /run/crond.reboot").ok();
        let daemon = world.start_daemon_with(&[], &[("LC_ALL", locale), ("LANG", locale)]);
        let told = || fs::read_to_string("/run/letters").unwrap_or_default();
        Deadline::seconds(20).wait_for("all letters", || (told().lines().count() >= letters.len()).then_some(()));
        let all: BTreeSet<String> = told().lines().map(str::to_owned).collect();
        assert_eq!(all.len(), letters.len(), "{locale}: {all:?}");
        assert!(daemon.stop().success());
    }
    if are_real < 2 {
        super::common::stage::skip("locales", "localedef or its sources are missing");
    }
}

#[test]
fn a_log_daemon_that_is_restarted_a_hundred_times_costs_neither_jobs_nor_lines() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("canary", CANARY);
    // Not the log of the tests, which stays open: a log daemon that ends closes its socket.
    let begin = || {
        let _ = fs::remove_file("/dev/log");
        UnixDatagram::bind("/dev/log").unwrap()
    };
    let mut socket = begin();
    let mut daemon = world.start_daemon(&[]);
    let (first, mut lines) = (canary_runs(), 0);
    for _ in 0..100 {
        socket.set_read_timeout(Some(std::time::Duration::from_millis(40))).unwrap();
        let mut packet = [0; 4096];
        while let Ok(length) = socket.recv(&mut packet) {
            lines += usize::from(String::from_utf8_lossy(&packet[..length]).contains("CMD (echo >> /run/canary)"));
        }
        drop(socket);
        socket = begin();
    }
    assert!(lines > 0, "the test shows nothing");
    drop(socket);
    let _ = fs::remove_file("/dev/log");
    // Without any log, too.
    wait_for_canary();
    wait_for_canary();
    let socket = begin();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(3))).unwrap();
    let mut packet = [0; 4096];
    // A line that comes between a log daemon's last read and its end is lost with it.
    while lines + 1 < canary_runs() - first {
        let length = socket
            .recv(&mut packet)
            .unwrap_or_else(|why| panic!("{lines} lines of {} jobs: {why}", canary_runs() - first));
        lines += usize::from(String::from_utf8_lossy(&packet[..length]).contains("CMD (echo >> /run/canary)"));
    }
    assert!(daemon.is_alive());
    let ran = canary_runs() - first;
    assert!(lines <= ran + 2, "{lines} lines of {ran} jobs");
}

/// Lines of a process' status that restrict what it and all that it starts can do, and its namespaces.
const RESTRICTIONS: &str = "grep -E '^(NoNewPrivs|Seccomp|CapBnd|Speculation_Store_Bypass)' /proc/self/status; \
                            for ns in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$ns; done";

#[test]
fn a_job_is_restricted_by_nothing_that_does_not_restrict_the_daemons_caller() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    fs::write("/run/restrictions", RESTRICTIONS).unwrap();
    let expected = world.run("sh /run/restrictions").ok();
    assert!(expected.contains("NoNewPrivs:\t0\n") && expected.lines().count() >= 10, "{expected}");
    world.drop_in("root", "@reboot root sh /run/restrictions >/srv/part; mv /srv/part /srv/root\n");
    world
        .crontab(
            "alice",
            "@reboot sh /run/restrictions >part; mv part restrictions\n@reboot sudo -n true || su --version >su\n",
        )
        .ok();
    let _daemon = world.start_daemon(&[]);
    assert_eq!(world.wait_for_file("/srv/root", Deadline::seconds(20)), expected);
    assert_eq!(world.wait_for_file("/home/alice/restrictions", Deadline::seconds(20)), expected);
}
