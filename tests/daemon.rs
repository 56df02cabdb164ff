//! `crond` as a black box: one of many, stormed with signals and edits, its directories taken away, its log unread.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests, though not inside a #[test].

pub mod common;

use common::clock::{now, wait_until};
use common::{Daemon, Deadline, Implementation, World};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};

/// A job that tells each second that it runs.
const CANARY: &str = "@every_second root date +\\%s >> /run/canary\n";

/// The seconds in which a job that writes down its second has run.
fn run_times(path: &str) -> Vec<u64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Waits until a job has run that was not there before, which tells that whatever came before has been taken in.
fn wait_for_run(path: &str, after: usize) {
    Deadline::seconds(20).wait_for(&format!("a run in {path}"), || (run_times(path).len() > after).then_some(()));
}

/// As many runs as seconds, but for one at either end: a busy machine may start a job late, but no run is lost or made twice.
fn assert_ran_each_second(path: &str) {
    let times = run_times(path);
    let seconds = times[times.len() - 1] - times[0] + 1;
    assert!(seconds.abs_diff(times.len() as u64) <= 1, "{times:?}");
}

fn open_descriptors(daemon: &Daemon) -> usize {
    fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("its descriptors").count()
}

fn spawn(world: &World, arguments: &[&str]) -> Child {
    let mut command = Command::new(world.implementation.daemon());
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().expect("the daemon")
}

#[test]
fn of_fifty_daemons_started_at_once_one_runs_and_the_others_name_it() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let mut all: Vec<Child> = (0..50).map(|_| spawn(&world, &["-f"])).collect();
    let dead = Deadline::seconds(60).wait_for("49 to end", || {
        let ended = all.iter_mut().filter_map(|child| child.try_wait().expect("a child")).collect::<Vec<_>>();
        (ended.len() >= 49).then_some(ended)
    });
    assert!(dead.iter().all(|status| status.code() == Some(1)), "{dead:?}");
    let living: Vec<Child> = all.extract_if(.., |child| child.try_wait().expect("a child").is_none()).collect();
    let [mut living] = <[Child; 1]>::try_from(living).expect("exactly one lives");
    for child in all {
        let words = String::from_utf8_lossy(&child.wait_with_output().expect("its words").stderr).into_owned();
        assert!(words.contains(&format!("already running as process {}: ", living.id())), "{words}");
    }
    assert_eq!(fs::read_to_string("/run/crond.pid").expect("a PID file"), format!("{}\n", living.id()));

    fs::remove_file("/run/crond.pid").expect("removing the PID file");
    assert_eq!(spawn(&world, &["-f"]).wait().expect("a late one").code(), Some(1), "the PID file does not decide");
    living.kill().expect("killing it");
    living.wait().expect("its end");
    let next = world.start_daemon(&[]);
    assert!(next.stop().success());
    assert!(!fs::exists("/run/crond.pid").expect("/run"), "a clean end removes the PID file");
}

#[test]
fn in_the_background_the_caller_returns_when_the_daemon_is_ready() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("canary", CANARY);
    assert_eq!(spawn(&world, &[]).wait().expect("the caller").code(), Some(0));
    let pid: u32 = fs::read_to_string("/run/crond.pid").expect("ready").trim().parse().expect("a pid");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("its state");
    let fields: Vec<&str> = stat.rsplit_once(") ").expect("a stat").1.split(' ').collect();
    let (parent, session, terminal) = (fields[1], fields[3], fields[4]);
    assert_eq!((parent, terminal), ("1", "0"));
    assert_ne!(session, pid.to_string(), "not a session's leader, which could get a terminal");
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).expect("its directory").to_str(), Some("/"));
    for stream in 0..3 {
        let place = fs::read_link(format!("/proc/{pid}/fd/{stream}")).expect("a stream");
        assert_eq!(place.to_str(), Some("/dev/null"));
    }
    wait_for_run("/run/canary", 1);
    let log = world.log.lines();
    assert!(log.iter().any(|line| line.ends_with("(CRON) STARTUP (fork ok)")), "{log:#?}");

    let mut second = spawn(&world, &[]);
    assert_eq!(second.wait().expect("the second caller").code(), Some(1));
    let words = String::from_utf8_lossy(&second.wait_with_output().expect("its words").stderr).into_owned();
    assert!(words.starts_with(&format!("cron: already running as process {pid}: ")), "{words}");
}

#[test]
fn many_signals_lose_no_job_and_leak_no_descriptor() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("canary", CANARY);
    let mut daemon = world.start_daemon(&[]);
    wait_for_run("/run/canary", 1);
    let before = open_descriptors(&daemon);
    let end = now().as_secs() + 4;
    while now().as_secs() < end {
        daemon.signal(Signal::SIGHUP);
        daemon.signal(Signal::SIGURG);
        daemon.signal(Signal::SIGUSR1);
        daemon.signal(Signal::SIGCHLD);
    }
    wait_for_run("/run/canary", run_times("/run/canary").len() + 1);
    assert!(daemon.is_alive());
    assert_eq!(open_descriptors(&daemon), before);
    assert_ran_each_second("/run/canary");
    assert!(daemon.stop().success());
}

/// The time of a processor that the daemon has used, in hundredths of a second.
fn processor_time(daemon: &Daemon) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).expect("its state");
    let fields: Vec<&str> = stat.rsplit_once(") ").expect("a stat").1.split(' ').collect();
    fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum()
}

#[test]
fn a_storm_of_reloads_is_a_reload_a_second_and_little_work() {
    let Some(world) = world!(Implementation::OursDebian, ["strace"]) else { return };
    world.drop_in("canary", CANARY);
    // Tables that take a while to read, so that reading them at each signal would show.
    for number in 0..50 {
        world.drop_in(&format!("table{number}"), &"0 0 1 1 * root true\n".repeat(2000));
    }
    let daemon = world.start_daemon(&[]);
    wait_for_run("/run/canary", 1);
    let before = processor_time(&daemon);
    let began = now();
    let mut signals = 0_u32;
    while now() - began < std::time::Duration::from_secs(5) {
        daemon.signal(Signal::SIGHUP);
        signals += 1;
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let used = processor_time(&daemon) - before;
    assert!(signals > 500, "{signals} signals are no storm");
    assert!(used < 150, "{used} hundredths of a second for {signals} signals in 5 s");
    // How often the directory of system tables is read: at most twice a reload. The trace has the times, since it may begin and end late.
    world.run(&format!(
        "timeout -s INT 4 strace -f -qq -ttt -o /run/trace -e trace=openat -p {} & \
                        for n in $(seq 300); do kill -HUP {}; sleep 0.01; done; wait",
        daemon.pid(),
        daemon.pid()
    ));
    let trace = fs::read_to_string("/run/trace").expect("a trace");
    let time = |line: &str| line.split_whitespace().nth(1).and_then(|time| time.parse::<f64>().ok()).expect("a time");
    let scans: Vec<f64> = trace.lines().filter(|line| line.contains("\"/etc/cron.d\"")).map(time).collect();
    let (Some(first), Some(last)) = (scans.first(), scans.last()) else { panic!("no scan in {trace}") };
    let most = 2.0 * ((last - first).ceil() + 1.0);
    assert!(scans.len() as f64 <= most, "{} scans in {} s", scans.len(), last - first);
    assert_ran_each_second("/run/canary");
    assert!(daemon.stop().success());
}

#[test]
fn reloads_leave_no_memory_behind() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("canary", CANARY);
    let table = |number: usize| -> String {
        let entry = |line: usize| format!("{} 0 1 1 * root job {number} {line}\n", line % 60);
        (0..500).map(entry).collect::<String>() + &format!("@reboot root true\n# {number}\n")
    };
    world.drop_in("changing", &table(0));
    let daemon = world.start_daemon(&[]);
    wait_for_run("/run/canary", 1);
    let reloads = || {
        world
            .run("grep -c 'RELOAD (/etc/cron.d/changing)' /run/log-lines || true")
            .stdout
            .trim()
            .parse()
            .unwrap_or(0_usize)
    };
    let memory = || -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("its status");
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("its memory");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
    };
    let reload = |upto: usize| {
        while reloads() < upto {
            let (before, number) = (reloads(), now().subsec_micros() as usize);
            world.drop_in("changing", &table(number));
            Deadline::seconds(20).wait_for("the reload", || (reloads() > before).then_some(()));
        }
        memory()
    };
    let (first, last) = (reload(60), reload(200));
    assert!(last < first + 1024, "{first} KiB after 60 reloads, {last} KiB after 200");
    assert!(daemon.stop().success());
}

/// Signals to the daemon that end a process which neither blocks nor handles them.
const FATAL: [Signal; 2] = [Signal::SIGHUP, Signal::SIGUSR1];

/// Whether a process blocks all signals in [`FATAL`].
fn blocks_signals(pid: nix::unistd::Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:\t"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or_default();
    FATAL.iter().all(|signal| mask >> (*signal as u32 - 1) & 1 == 1)
}

#[test]
fn a_signal_during_start_up_does_not_end_the_daemon() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let mut sent_before_readiness = 0;
    for round in 0..40 {
        fs::remove_file("/run/crond.pid").ok();
        let mut child = spawn(&world, &["-f"]);
        let pid = nix::unistd::Pid::from_raw(child.id().try_into().expect("a pid"));
        // Exec is done when the program's name has changed; from then on signals are meant for it.
        let name = format!("/proc/{pid}/comm");
        let exec = Deadline::seconds(10);
        while fs::read_to_string(&name).expect("the daemon") != "cron\n" {
            assert!(!exec.passed(), "no exec in round {round}");
        }
        // Until main blocks them, which is what it does first, they would end any program.
        loop {
            let is_ready = fs::exists("/run/crond.pid").expect("/run");
            if blocks_signals(pid) {
                break;
            }
            assert!(!is_ready && !exec.passed(), "signals are blocked late or never in round {round}");
        }
        let is_ready = || fs::read_to_string("/run/crond.pid").is_ok_and(|text| text.trim() == pid.to_string());
        let readiness = Deadline::seconds(10);
        while !is_ready() {
            for signal in FATAL.into_iter().chain([Signal::SIGURG, Signal::SIGCHLD]) {
                nix::sys::signal::kill(pid, signal).expect("a signal");
            }
            assert_eq!(child.try_wait().expect("the daemon"), None, "round {round}");
            assert!(!readiness.passed(), "not ready in round {round}");
            sent_before_readiness += usize::from(!is_ready());
        }
        nix::sys::signal::kill(pid, Signal::SIGTERM).expect("TERM");
        assert!(child.wait().expect("its end").success(), "round {round}");
    }
    assert!(sent_before_readiness > 0, "no signal came early, the test shows nothing");
}

#[test]
fn after_many_edits_the_last_one_is_live_and_no_job_was_lost() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("canary", CANARY);
    let edited = |number: u32| format!("@every_second root date +\\%s >> /run/edited\n# {number}\n");
    world.drop_in("edited", &edited(0));
    let daemon = world.start_daemon(&[]);
    wait_for_run("/run/edited", 1);
    for number in 1..=1500 {
        if number % 2 == 0 {
            fs::write("/etc/cron.d/.new", edited(number)).expect("a new file");
            fs::rename("/etc/cron.d/.new", "/etc/cron.d/edited").expect("in its place");
        } else {
            world.drop_in("edited", &edited(number));
        }
    }
    world.drop_in("edited", "@every_second root date +\\%s >> /run/last\n");
    wait_for_run("/run/last", 0);
    let after = run_times("/run/edited").len();
    wait_for_run("/run/last", 3);
    assert_eq!(run_times("/run/edited").len(), after, "no older content lives on");
    assert_ran_each_second("/run/canary");
    assert!(daemon.stop().success());
}

#[test]
fn tables_that_come_and_go_by_the_hundred_cost_no_job_and_leave_nothing() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("canary", CANARY);
    let mut daemon = world.start_daemon(&[]);
    wait_for_run("/run/canary", 1);
    for _ in 0..30 {
        (0..100).for_each(|number| world.drop_in(&format!("passing{number}"), "@daily root true\n"));
        // Some of them are gone before they are read, some while they are.
        for number in 0..100 {
            fs::remove_file(format!("/etc/cron.d/passing{number}")).expect("a table");
        }
    }
    wait_for_run("/run/canary", run_times("/run/canary").len() + 1);
    assert!(daemon.is_alive());
    assert_ran_each_second("/run/canary");
    Deadline::seconds(20).wait_for("the only table that is left", || {
        daemon.signal(Signal::SIGUSR1);
        let lines = world.log.lines();
        let last = lines.iter().rfind(|line| line.contains(") STATE (") && line.contains(" table"))?;
        last.contains(") STATE (1 table, 1 entry,").then_some(())
    });
    assert!(daemon.stop().success());
}

#[test]
fn tables_are_loaded_at_once_however_they_are_saved() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    // Otherwise the rescan of each minute finds the changes, since the private machine is an overlay.
    let daemon = world.start_daemon(&["--watch", "inotify"]);
    let each_second = |name: &str| format!("@every_second root date +\\%s >> /run/{name}\n");
    // By its job, which is due each second. What is not adopted by itself would have to wait for the rescan after ten minutes.
    let adopted = |name: &str| {
        Deadline::seconds(60).wait_for(name, || (!run_times(&format!("/run/{name}")).is_empty()).then_some(()));
    };
    // Complete when it gets its name, so that the daemon never finds a part of it, however long the machine takes.
    let save = |text: &str| {
        fs::write("/etc/cron.d/.saved", text).expect("a file");
        fs::rename("/etc/cron.d/.saved", "/etc/cron.d/new").expect("in its place");
    };
    save(&each_second("new"));
    adopted("new");
    save(&each_second("renamed"));
    adopted("renamed");
    world.run("sed -i s/renamed/sed/ /etc/cron.d/new").ok();
    adopted("sed");
    fs::write("/etc/crontab", each_second("crontab")).expect("the system table");
    adopted("crontab");
    fs::write("/etc/crontab.new", each_second("crontab2")).expect("the system table");
    fs::rename("/etc/crontab.new", "/etc/crontab").expect("in its place");
    adopted("crontab2");
    fs::create_dir("/opt/tables").expect("a directory");
    fs::write("/opt/tables/x", each_second("linked")).expect("a table");
    world.run("ln -s /opt/tables/x /etc/cron.d/linked").ok();
    adopted("linked");
    fs::write("/opt/tables/x", each_second("target")).expect("the target");
    adopted("target");
    // Times of modification that are older than any table, or younger.
    for (name, date) in [("epoch", "1970-01-01T00:00:00Z"), ("future", "2100-01-01T00:00:00Z")] {
        fs::write("/etc/cron.d/.saved", each_second(name)).expect("a table");
        world.run(&format!("cd /etc/cron.d && touch -d {date} .saved && mv .saved dated")).ok();
        adopted(name);
    }
    // A volume of Kubernetes: the tables are links through `..data`, which is replaced by another link.
    for (number, name) in [(1, "volume1"), (2, "volume2")] {
        fs::create_dir(format!("/etc/cron.d/..{number}")).expect("a directory");
        fs::write(format!("/etc/cron.d/..{number}/job"), each_second(name)).expect("a table");
        world.run(&format!("cd /etc/cron.d && ln -s ..{number} ..new && mv -T ..new ..data")).ok();
        if number == 1 {
            world.run("ln -s ..data/job /etc/cron.d/volume").ok();
        }
        adopted(name);
    }
    fs::write("/var/spool/cron/crontabs/tmp.x", "@every_second date +\\%s >> /tmp/alice\n").expect("a table");
    world.run("cd /var/spool/cron/crontabs && chmod 600 tmp.x && chown alice:crontab tmp.x && mv tmp.x alice").ok();
    Deadline::seconds(60).wait_for("alice", || (!run_times("/tmp/alice").is_empty()).then_some(()));
    assert!(daemon.stop().success());
    let log = world.log.lines();
    let reloads = log.iter().filter(|line| line.ends_with("(*system*new) RELOAD (/etc/cron.d/new)")).count();
    assert_eq!(reloads, 2, "{log:#?}");
    assert!(!log.iter().any(|line| line.contains("checking crontabs for changes every minute")), "{log:#?}");
}

#[test]
fn directories_may_be_removed_and_created_again() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("canary", CANARY);
    let mut daemon = world.start_daemon(&["--watch", "inotify"]);
    wait_for_run("/run/canary", 0);
    world.run("mv /etc/cron.d /etc/away; mv /var/spool/cron /var/spool/away").ok();
    // Once the directory is known to be gone, the canary is silent for two seconds.
    Deadline::seconds(10).wait_for("silence", || {
        let last = *run_times("/run/canary").last()?;
        (now().as_secs() > last + 2).then_some(())
    });
    let runs = run_times("/run/canary").len();
    world.run("mv /etc/away /etc/cron.d; mkdir -p /var/spool/cron/crontabs").ok();
    wait_for_run("/run/canary", runs);
    world.run("rm -r /etc/cron.d; mkdir /etc/cron.d").ok();
    world.drop_in("other", "@every_second root date +\\%s >> /run/other\n");
    wait_for_run("/run/other", 0);
    fs::write("/var/spool/cron/crontabs/bob", "@every_second date +\\%s >> /tmp/bob\n").expect("a table");
    world.run("chown bob:crontab /var/spool/cron/crontabs/bob; chmod 600 /var/spool/cron/crontabs/bob").ok();
    wait_for_run("/tmp/bob", 0);
    assert!(daemon.is_alive());
    assert!(daemon.stop().success());
}

#[test]
fn a_table_without_its_user_waits_until_the_user_exists() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    fs::write("/var/spool/cron/crontabs/carol", "@every_second date +\\%s >> /tmp/carol\n").expect("a table");
    world.run("chmod 600 /var/spool/cron/crontabs/carol").ok();
    world.drop_in("canary", CANARY);
    let daemon = world.start_daemon(&[]);
    world.log.wait_for("(carol) ORPHAN (no passwd entry)", Deadline::seconds(10));
    world.drop_in("touched", "");
    world.run("useradd --create-home carol").ok();
    wait_for_run("/tmp/carol", 0);
    assert!(daemon.stop().success());
    let log = world.log.lines();
    assert_eq!(log.iter().filter(|line| line.contains("ORPHAN")).count(), 1, "{log:#?}");
}

#[test]
fn an_unprivileged_lock_on_the_pid_file_stops_nobody() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    fs::write("/run/crond.pid", "1\n").expect("a stale PID file");
    let mut alice = world.command_as("alice", "exec flock /run/crond.pid sh -c 'echo locked; sleep 1000'");
    let mut alice = alice.stdout(Stdio::piped()).spawn().expect("flock, of util-linux");
    let mut word = [0; 6];
    std::io::Read::read_exact(alice.stdout.as_mut().expect("its output"), &mut word).expect("the lock");
    assert!(world.start_daemon(&[]).stop().success());
    alice.kill().expect("the end of the lock");
    alice.wait().expect("its end");
}

/// Takes the lock, keeps it over the exec, and becomes su(1), which has root's effective id and waits for a password.
const LOCK_AND_BECOME_SU: &str = r#"exec perl -e 'use Fcntl qw(:flock F_SETFD); open(F, "<", "/run/crond.pid") or die;
    fcntl(F, F_SETFD, 0); flock(F, LOCK_EX | LOCK_NB) or die; exec "su", "root", "-c", "true"'"#;

#[test]
fn a_lock_that_a_set_user_id_program_has_inherited_from_a_user_stops_nobody() {
    let Some(world) = world!(Implementation::OursDebian, ["perl", "su"]) else { return };
    fs::write("/run/crond.pid", "1\n").expect("a stale PID file");
    let mut su = world.command_as("alice", LOCK_AND_BECOME_SU);
    let mut su = su.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("perl");
    let mut word = [0; 9];
    std::io::Read::read_exact(su.stderr.as_mut().expect("its words"), &mut word).expect("su's question");
    assert_eq!(&word, b"Password:");
    let locks = fs::read_to_string("/proc/locks").expect("locks");
    assert!(locks.contains(&format!(" WRITE {} ", su.id())), "nothing is locked, the test shows nothing: {locks}");
    assert!(world.start_daemon(&[]).stop().success());
    su.kill().expect("its end");
    su.wait().expect("its end");
}

#[test]
fn a_lock_of_roots_on_the_pid_file_is_respected_and_its_holder_named() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    fs::write("/run/crond.pid", "1\n").expect("a PID file");
    // As another cron of root's has it.
    let mut other = world.command_as("root", "exec flock /run/crond.pid sh -c 'echo $$; exec sleep 1000'");
    let mut other = other.stdout(Stdio::piped()).spawn().expect("flock, of util-linux");
    let mut word = [0; 1];
    std::io::Read::read_exact(other.stdout.as_mut().expect("its output"), &mut word).expect("the lock");
    let mut ours = spawn(&world, &["-f"]);
    let status = Deadline::seconds(20).try_wait_for(|| ours.try_wait().expect("ours"));
    ours.kill().ok();
    let words = String::from_utf8_lossy(&ours.wait_with_output().expect("its words").stderr).into_owned();
    assert_eq!(status.and_then(|status| status.code()), Some(1), "it must not run beside the other: {words}");
    assert!(words.contains(&format!("already running as process {}", other.id())), "{words}");
    assert_eq!(fs::read_to_string("/run/crond.pid").expect("a PID file"), "1\n", "the other's file stays");
    other.kill().expect("the end of the lock");
    other.wait().expect("its end");
}

#[test]
fn ours_and_debians_cron_exclude_each_other() {
    let Some(world) = world!(Implementation::OursDebian, ["cron"]) else { return };
    let reference = common::implementation::package("cron").join("usr/sbin/cron");
    let mut theirs = Command::new(&reference).arg("-f").spawn().expect("Debian's cron");
    let pid = theirs.id().to_string();
    Deadline::seconds(10)
        .wait_for("its PID file", || (fs::read_to_string("/run/crond.pid").ok()?.trim() == pid).then_some(()));
    let mut ours = spawn(&world, &["-f"]);
    let status = Deadline::seconds(20).try_wait_for(|| ours.try_wait().expect("ours"));
    ours.kill().ok();
    let words = String::from_utf8_lossy(&ours.wait_with_output().expect("its words").stderr).into_owned();
    assert_eq!(status.and_then(|status| status.code()), Some(1), "{words}");
    assert!(words.contains(&format!("already running as process {pid}")), "{words}");
    theirs.kill().expect("its end");
    theirs.wait().expect("its end");

    let daemon = world.start_daemon(&[]);
    let theirs = Command::new(&reference).arg("-f").output().expect("Debian's cron");
    assert_eq!(theirs.status.code(), Some(1), "theirs respects ours: {theirs:?}");
    assert!(daemon.stop().success());
}

#[test]
fn the_service_manager_is_notified_of_readiness_reloads_and_the_end_and_jobs_cannot_reach_it() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("env", "@reboot root env > /run/env.new; mv /run/env.new /run/env\n");
    let manager = UnixDatagram::bind("/run/notify").expect("a socket");
    manager.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("poll_timeout");
    let hear = |what: &str| {
        let mut packet = [0; 4096];
        loop {
            let size = manager.recv(&mut packet).unwrap_or_else(|e| panic!("waiting for {what}: {e}"));
            let text = String::from_utf8_lossy(&packet[..size]).into_owned();
            if text.contains(what) {
                return text;
            }
        }
    };
    let mut daemon = Command::new(world.implementation.daemon())
        .arg("-f")
        .env("NOTIFY_SOCKET", "/run/notify")
        .env("WATCHDOG_USEC", "400000")
        .env("INVOCATION_ID", "0123")
        .spawn()
        .expect("the daemon");
    let ready = hear("READY=1");
    assert!(ready.contains("STATUS=1 table, 1 entry"), "{ready}");
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    let pid = nix::unistd::Pid::from_raw(daemon.id().try_into().expect("a pid"));
    nix::sys::signal::kill(pid, Signal::SIGHUP).expect("HUP");
    let reloading = hear("RELOADING=1");
    assert!(reloading.contains("\nMONOTONIC_USEC="), "{reloading}");
    hear("READY=1");
    let env = world.wait_for_file("/run/env", Deadline::seconds(10));
    assert!(!env.contains("NOTIFY_SOCKET") && !env.contains("WATCHDOG") && !env.contains("INVOCATION_ID"), "{env}");
    nix::sys::signal::kill(pid, Signal::SIGTERM).expect("TERM");
    hear("STOPPING=1");
    assert!(daemon.wait().expect("its end").success());
}

#[test]
fn nothing_inherited_from_the_caller_reaches_daemon_or_job() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in(
        "inherited",
        "@reboot root (ls /proc/self/fd | wc -l; grep -E '^Sig(Blk|Ign)' /proc/self/status; umask) > /run/seen.new 2>&1; \
         mv /run/seen.new /run/seen\n",
    );
    let line = "umask 077; for fd in 3 4 5 6 7 8 9; do eval \"exec $fd</etc/shadow\"; done; trap '' INT QUIT CHLD HUP; exec \
                env --ignore-signal=CHLD --ignore-signal=INT --block-signal=TERM /usr/sbin/cron -f";
    let mut daemon = Command::new("sh").args(["-c", line]).spawn().expect("the daemon");
    let seen = world.wait_for_file("/run/seen", Deadline::seconds(20));
    let lines: Vec<&str> = seen.split_whitespace().collect();
    // 0, 1, 2, and the directory that ls itself reads.
    assert_eq!(lines, ["4", "SigBlk:", "0000000000000000", "SigIgn:", "0000000000000000", "0022"], "{seen}");
    let held = fs::read_dir(format!("/proc/{}/fd", daemon.id())).expect("its descriptors");
    let held: Vec<_> = held.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).collect();
    assert!(!held.iter().any(|file| file.to_str() == Some("/etc/shadow")), "{held:?}");
    let pid = nix::unistd::Pid::from_raw(daemon.id().try_into().expect("a pid"));
    nix::sys::signal::kill(pid, Signal::SIGTERM).expect("TERM");
    assert!(daemon.wait().expect("its end").success());
}

#[test]
fn a_log_that_nobody_reads_delays_nothing() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    fs::remove_file("/dev/log").expect("the log is taken away");
    let unread = UnixDatagram::bind("/dev/log").expect("a log that nobody reads");
    world.drop_in("canary", CANARY);
    world.drop_in("noise", &"@every_second root :\n".repeat(30));
    let mut daemon = world.start_daemon(&["-L", "15"]);
    wait_for_run("/run/canary", 5);
    assert_ran_each_second("/run/canary");
    drop(unread);
    fs::remove_file("/dev/log").expect("the log is taken away again");
    wait_for_run("/run/canary", run_times("/run/canary").len() + 1);
    assert!(daemon.is_alive());
    assert_ran_each_second("/run/canary");
    assert!(daemon.stop().success());
}

#[test]
fn a_restart_across_the_minute_neither_loses_nor_repeats_its_jobs() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("minute", "* * * * * root date +\\%s >> /run/minute\n");
    world.drop_in("canary", CANARY);
    let daemon = world.start_daemon(&[]);
    wait_for_run("/run/canary", 0);
    let boundary = (now().as_secs() / 60 + 1) * 60;
    wait_until(boundary - 1);
    // Its last record is of the second before the minute, or of that one.
    assert!(daemon.stop().success());
    let before = run_times("/run/minute").len();
    wait_until(boundary + 1);
    let daemon = world.start_daemon(&[]);
    wait_for_run("/run/minute", before);
    assert!(daemon.stop().success());
    let daemon = world.start_daemon(&[]);
    let runs = run_times("/run/canary").len();
    wait_for_run("/run/canary", runs + 2);
    assert_eq!(run_times("/run/minute").len(), before + 1, "made up for once, and not again after one more restart");
    assert!(daemon.stop().success());
}

/// The moments for which a job ran, each once; `CRON_SCHEDULED_AT` as the job had it.
fn slots(path: &str) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut slots: Vec<String> = text.lines().map(str::to_owned).collect();
    slots.sort();
    assert!(slots.windows(2).all(|pair| pair[0] != pair[1]), "a slot ran twice: {slots:?}");
    slots
}

#[test]
fn a_daemon_that_the_machine_does_not_let_run_for_seconds_runs_no_slot_twice_and_loses_no_minute() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in(
        "slots",
        "@every_second root echo $CRON_SCHEDULED_AT >>/run/seconds\n* * * * * root echo $CRON_SCHEDULED_AT >>/run/minutes\n",
    );
    let daemon = world.start_daemon(&[]);
    world.wait_for_file("/run/seconds", Deadline::seconds(20));
    let mut random = fastrand::Rng::with_seed(197);
    let mut stop_for = |ms: std::ops::Range<u64>| {
        daemon.signal(Signal::SIGSTOP);
        std::thread::sleep(std::time::Duration::from_millis(random.u64(ms)));
        daemon.signal(Signal::SIGCONT);
        std::thread::sleep(std::time::Duration::from_millis(random.u64(20..600)));
    };
    for _ in 0..10 {
        stop_for(100..2500);
    }
    // By then every earlier minute is in its file.
    let boundary = ((now().as_secs() + 2) / 60 + 1) * 60;
    wait_until(boundary - 2);
    let before = slots("/run/minutes").len();
    wait_until(boundary - 1);
    stop_for(3000..5000);
    Deadline::seconds(20).wait_for("the minute", || (slots("/run/minutes").len() > before).then_some(()));
    let seconds = slots("/run/seconds").len();
    Deadline::seconds(20).wait_for("two more seconds", || (slots("/run/seconds").len() >= seconds + 2).then_some(()));
    assert_eq!(slots("/run/minutes").len(), before + 1);
    assert!(daemon.stop().success());
}

/// The process whose name ends like this, and that a condition holds for.
fn process_named(world: &World, name: &str, holds: impl Fn(&common::machine::Process) -> bool) -> u32 {
    let is_meant = |process: &common::machine::Process| process.name.ends_with(name) && holds(process);
    let found = || world.processes().into_iter().find(is_meant).map(|process| process.pid);
    Deadline::seconds(20).wait_for(name, found)
}

#[test]
fn the_pid_file_is_mains_alone_whichever_other_process_of_the_daemon_ends() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("long", "@reboot alice exec sleep 1000\n");
    world.drop_in("canary", CANARY);
    let mut daemon = world.start_daemon(&[]);
    let sleep = process_named(&world, "sleep", |_| true);
    let parent_of = |pid: u32| world.processes().into_iter().find(|process| process.pid == pid).map(|one| one.parent);
    let monitor = parent_of(sleep).expect("the process that keeps the session open");
    let executor = process_named(&world, ": executor", |process| process.parent == daemon.pid());
    assert!(![executor, daemon.pid()].contains(&monitor), "the job has no session, the test shows nothing");
    for pid in [monitor, executor] {
        // One that has ended by the first signal is as good.
        world.run(&format!("kill -TERM {pid}; kill -KILL {pid}"));
        let gone = || world.processes().iter().all(|process| process.pid != pid || process.state == 'Z').then_some(());
        Deadline::seconds(20).wait_for("its end", gone);
        wait_for_run("/run/canary", run_times("/run/canary").len() + 1);
        assert!(daemon.is_alive());
        assert_eq!(fs::read_to_string("/run/crond.pid").expect("the PID file"), format!("{}\n", daemon.pid()));
    }
    assert!(daemon.stop().success());
    assert!(!fs::exists("/run/crond.pid").expect("/run"));
}

#[test]
fn a_job_outlives_its_daemon_and_the_next_does_not_run_reboot_jobs_again() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    world.drop_in(
        "long",
        "@reboot root echo begun >> /run/begun; while ! test -e /run/go; do sleep 0.1; done; echo > /run/done\n",
    );
    let daemon = world.start_daemon(&[]);
    world.wait_for_file("/run/begun", Deadline::seconds(10));
    assert!(daemon.stop().success());
    let daemon = world.start_daemon(&[]);
    fs::write("/run/go", "").expect("a sign");
    world.wait_for_file("/run/done", Deadline::seconds(10));
    assert!(daemon.stop().success());
    assert_eq!(fs::read_to_string("/run/begun").expect("begun"), "begun\n");
    let log = world.log.lines();
    for line in [
        "(CRON) STARTUP (1.7.2)",
        "(CRON) INFO (running with inotify support)",
        "(CRON) INFO (@reboot jobs will be run at computer's startup.)",
        "(CRON) INFO (Shutting down)",
    ] {
        assert!(
            log.iter().any(|heard| heard.starts_with("cron.info crond[") && heard.ends_with(line)),
            "{line}: {log:#?}"
        );
    }
}

/// Starts `crond FILE` as alice and gives its process.
fn standalone(world: &World, arguments: &str, table: &str) -> Child {
    fs::write("/tmp/table", table).expect("a table");
    let mut command = world.command_as("alice", &format!("exec /usr/sbin/crond {arguments} /tmp/table"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("crond")
}

fn end_with(signal: Signal, child: Child) -> std::process::Output {
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().expect("a pid"));
    nix::sys::signal::kill(pid, signal).expect("a signal");
    child.wait_with_output().expect("its end")
}

#[test]
fn a_standalone_daemon_that_is_stopped_waits_for_running_jobs_but_not_for_ever() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let child = standalone(
        &world,
        "",
        "@reboot echo begun; touch /tmp/begun; sleep 2; echo ended\n@every_second echo no >> /tmp/more\n",
    );
    Deadline::seconds(10).wait_for("the job", || fs::exists("/tmp/begun").ok()?.then_some(()));
    let output = end_with(Signal::SIGTERM, child);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("begun") && said.contains("ended"), "{output:?}");

    fs::remove_file("/tmp/begun").expect("the sign");
    let table = "@reboot trap 'touch /tmp/asked' TERM; touch /tmp/begun; while :; do sleep 0.1; done\n";
    let child = standalone(&world, "--stop-timeout 1s", table);
    Deadline::seconds(10).wait_for("the job", || fs::exists("/tmp/begun").ok()?.then_some(()));
    let output = end_with(Signal::SIGINT, child);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(fs::exists("/tmp/asked").expect("/tmp"), "TERM came before KILL");
    // What has ended may still wait to be reaped by the first process.
    let left: Vec<_> = world.processes().into_iter().filter(|process| process.state != 'Z').collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_standalone_daemon_reads_its_files_again_for_its_user_and_for_no_other() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let child = standalone(&world, "", "0 0 1 1 * true\n");
    let uid = world.run("id -u alice").ok().trim().to_owned();
    let socket = format!("/tmp/cronwheel-{uid}/io.cronwheel.Cron");
    Deadline::seconds(20).wait_for("the control socket", || fs::exists(&socket).ok()?.then_some(()));
    // The second comes within a second of the first, which it waits for.
    for (table, answer) in [
        ("0 0 1 1 * true\n0 0 2 1 * true\n", "1 table with 2 entries\n"),
        ("0 0 1 1 * true\n", "1 table with 1 entry\n"),
    ] {
        fs::write("/tmp/table", table).expect("a table");
        assert_eq!(world.run_as("alice", "cronctl reload").ok(), answer);
    }
    assert_ne!(world.run_as("bob", "cronctl reload").code(), 0);
    assert_eq!(end_with(Signal::SIGTERM, child).status.code(), Some(0));
}

#[test]
fn a_standalone_daemon_says_which_jobs_it_waits_for() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let table = "CRON_NAME=backup\n@reboot touch /tmp/begun; sleep 1000\n@reboot sleep 1000\n";
    let mut child = standalone(&world, "", table);
    Deadline::seconds(20).wait_for("the job", || fs::exists("/tmp/begun").ok()?.then_some(()));
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().expect("a pid"));
    nix::sys::signal::kill(pid, Signal::SIGINT).expect("INT");
    let mut log = std::io::BufReader::new(child.stderr.take().expect("its log"));
    let mut line = String::new();
    while !line.contains("stopping") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut log, &mut line).expect("the log") > 0, "it does not say so");
    }
    assert!(line.contains("stopping: waiting up to 30s for 2 jobs to end: "), "{line}");
    assert!(line.contains("backup") && line.contains("sleep-"), "{line}");
    assert!(line.contains("a second signal terminates them"), "{line}");
    nix::sys::signal::kill(pid, Signal::SIGINT).expect("INT");
    let status = Deadline::seconds(30).wait_for("its end", || child.try_wait().expect("crond"));
    assert_eq!(status.code(), Some(0));
    assert!(world.processes().iter().all(|process| process.state == 'Z'));
}

#[test]
fn output_of_a_standalone_daemon_is_raw_or_has_the_name_of_its_job() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let table = "CRON_NAME=backup\n@reboot echo out; echo err >&2; touch /tmp/begun; exit 3\n";
    let run = |arguments: &str| {
        let _ = fs::remove_file("/tmp/begun");
        // Both streams in one file, in the order in which they are written.
        let child = standalone(&world, &format!("{arguments} 2>&1"), table);
        Deadline::seconds(20).wait_for("the job", || fs::exists("/tmp/begun").ok()?.then_some(()));
        String::from_utf8(end_with(Signal::SIGTERM, child).stdout).expect("text")
    };
    let raw = run("");
    let place = |text: &str| raw.lines().position(|line| line == text).expect(text);
    let failed = raw.lines().position(|line| line.contains("(alice) FAILED ")).expect("the failure");
    assert!(place("out") < failed && place("err") < failed, "{raw}");

    let prefixed = run("--prefix");
    assert!(prefixed.contains("\nbackup: out\n") && prefixed.contains("\nbackup: err\n"), "{prefixed}");

    let json = run("--log json --prefix");
    let objects: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for (stream, text) in [("stdout", "out"), ("stderr", "err")] {
        let object = objects.iter().find(|object| object["output"] == text).expect("its output");
        assert_eq!((&object["job"], &object["stream"]), (&"alice:backup".into(), &stream.into()), "{json}");
    }
    for event in ["CMD", "FAILED"] {
        let object = objects.iter().find(|object| object["event"] == event).expect("the event");
        assert_eq!((&object["job"], &object["line"]), (&"alice:backup".into(), &2.into()), "{json}");
    }
}

#[test]
fn the_log_is_on_standard_error_where_nobody_reads_dev_log_and_in_the_zone_of_the_schedules() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    // A machine without zone files: the program has its own.
    let script = "rm -f /dev/log; exec env TZDIR=/nowhere TZ=Asia/Kathmandu /usr/sbin/crond --log syslog /tmp/table";
    fs::write("/tmp/table", "@reboot touch /tmp/begun\n").expect("a table");
    let child = world.command_as("root", script).stderr(Stdio::piped()).spawn().expect("crond");
    Deadline::seconds(20).wait_for("the job", || fs::exists("/tmp/begun").ok()?.then_some(()));
    let log = String::from_utf8(end_with(Signal::SIGTERM, child).stderr).expect("text");
    assert!(log.contains(") CMD (touch /tmp/begun)") && log.lines().all(|line| line.contains("+05:45 ")), "{log}");
}

#[test]
fn messages_of_the_command_line_say_what_to_do() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    fs::write("/tmp/table", "").expect("a table");
    for (user, arguments, said) in [
        ("alice", "-f", "cron: must be root; `crond FILE` runs a table as yourself ("),
        ("root", "-b", "cron: unexpected argument '-b'; for what busybox's crond means by it, remove it"),
        ("root", "-S", "cron: unexpected argument '-S'; for what busybox's crond means by it, write --log syslog"),
        ("root", "-d 8", "for what busybox's crond means by it, write --foreground --log stderr"),
        ("root", "-c /x", "for what busybox's crond means by it, write --spool DIR"),
        ("root", "-L /var/log/cron", "for what busybox's crond means by it, write --foreground --log stderr 2>>FILE"),
        ("root", "--foregrund", "cron: unexpected argument '--foregrund'; did you mean --foreground?"),
        ("root", "/tmp", "cron: reading /tmp: is a directory; expected a crontab"),
        ("root", "/nowhere", "cron: reading /nowhere: No such file or directory; expected options or the names"),
        ("root", "''", "cron: an argument is empty; expected the name of a crontab"),
        ("root", "--stop-timeout soon /tmp/table", "cron: stop-timeout: expected a time like 90s"),
    ] {
        let output = world.command_as(user, &format!("cron {arguments}")).output().expect("cron");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), words.lines().count()), (Some(1), 1), "{arguments}: {words}");
        assert!(words.contains(said), "{arguments}: {words}");
        assert!(!["os error", "usize", "--help' "].iter().any(|word| words.contains(word)), "{words}");
    }
    let child = world.command_as("root", "TZ=Europe/Nowhere exec cron /tmp/table");
    let mut child = { child }.stderr(Stdio::piped()).spawn().expect("cron");
    let mut log = std::io::BufReader::new(child.stderr.take().expect("its log"));
    let mut text = String::new();
    while !(text.contains("is not a time zone") && text.contains("has no entries")) {
        assert!(std::io::BufRead::read_line(&mut log, &mut text).expect("the log") > 0, "{text}");
    }
    child.kill().expect("its end");
    child.wait().expect("its end");
}

#[test]
fn without_inotify_tables_are_scanned_each_minute() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    fs::write("/tmp/table", "# nothing\n").expect("a table");
    // A separate user, whose inotify instances are all taken by other programs of that user.
    world.run("useradd --create-home --uid 61234 dora; touch /tmp/tailed").ok();
    let bound = fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").expect("the kernel's bound");
    let line = format!("for i in $(seq {}); do tail -f /tmp/tailed & done; wait", bound.trim());
    let mut hoard = world.command_as("dora", &line).spawn().expect("tails");
    let is_tail = |process: &common::machine::Process| process.name == "tail" && process.state == 'S';
    let bound: usize = bound.trim().parse().expect("a number");
    Deadline::seconds(30).wait_for("the tails", || {
        (world.processes().iter().filter(|process| is_tail(process)).count() == bound).then_some(())
    });
    let mut child = world.command_as("dora", "exec /usr/sbin/crond /tmp/table");
    child.stderr(Stdio::piped()).stdout(Stdio::null());
    let child = child.spawn().expect("crond");
    // It has read the empty table when its executor sleeps beside it.
    let crond = |process: &common::machine::Process| process.line.starts_with("/usr/sbin/crond");
    let count = || world.processes().iter().filter(|process| crond(process)).count();
    Deadline::seconds(10).wait_for("daemon and executor", || (count() == 2).then_some(()));
    fs::write("/tmp/table", "@every_second date +\\%s >> /tmp/polled\n").expect("another table");
    Deadline::seconds(65).wait_for("the new table", || (!run_times("/tmp/polled").is_empty()).then_some(()));
    let output = end_with(Signal::SIGTERM, child);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(words.matches("checking crontabs for changes every minute instead").count(), 1, "{words}");
    hoard.kill().expect("the end of the hoard");
    hoard.wait().expect("its end");
}

#[test]
fn as_the_first_process_the_daemon_reaps_orphans_and_loses_no_status_of_a_job() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let table = "@every_second for i in 1 2 3 4 5 6 7 8 9; do (sleep 0.2 & ) ; done; exit 3\n";
    fs::write("/tmp/table", table).expect("a table");
    let line = "exec unshare --pid --fork --mount-proc --kill-child /usr/sbin/crond /tmp/table";
    let child = world.command_as("root", line).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("crond");
    let zombies = || world.processes().into_iter().filter(|process| process.state == 'Z').count();
    let end = now().as_secs() + 5;
    wait_until(end);
    Deadline::seconds(5).wait_for("no zombies", || (zombies() == 0).then_some(()));
    let crond = world.processes().into_iter().find(|process| process.name == "crond" && process.parent == child.id());
    let crond = crond.expect("crond as the first process");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(crond.pid.try_into().expect("a pid")), Signal::SIGTERM)
        .expect("TERM");
    let output = child.wait_with_output().expect("its end");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    let failed = words.lines().filter(|line| line.contains("FAILED") && line.contains("exit 3")).count();
    let started = words.lines().filter(|line| line.contains(") CMD (")).count();
    assert!(started >= 4 && failed == started, "{words}");
}

#[test]
fn check_reports_every_fault_and_every_refusal() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("good", "* * * * * root true\n");
    // As the package does it.
    world.run("useradd --system --no-create-home --shell /usr/sbin/nologin _cronwheel").ok();
    world.run("ln -sf /bin/true /usr/sbin/sendmail").ok();
    let fine = world.run("crond --check");
    assert_eq!((fine.code(), fine.stderr.as_str()), (0, ""), "{fine:?}");
    assert_eq!(fine.stdout, "1 table with 1 entry, 0 refused, 0 errors, 0 warnings\n");
    let spool = world.implementation.spool();
    let partial = world.run_as("alice", "crond --check");
    assert_eq!(partial.code(), 0, "{partial:?}");
    let warning = format!("warning: {spool}: not checked, as only root can list it: run the check as root\n");
    assert!(partial.stderr.contains(&warning) && partial.stdout.contains(" 0 refused, "), "{partial:?}");
    world.drop_in("bad", "0 24 * * * root true\n* * * * * root true\n");
    world.drop_in("open", "* * * * * root true\n");
    world.run("chmod 666 /etc/cron.d/open").ok();
    let faulty = world.run("crond --check");
    assert_eq!(faulty.code(), 1, "{faulty:?}");
    assert!(faulty.stderr.contains("/etc/cron.d/bad:1:3: error: "), "{faulty:?}");
    assert!(faulty.stderr.contains("/etc/cron.d/open: refused: "), "{faulty:?}");
    assert_eq!(faulty.stdout, "2 tables with 2 entries, 1 refused, 1 error, 0 warnings\n");
    world.run("rm /etc/cron.d/bad /etc/cron.d/open").ok();
    fs::write("/etc/cronwheel.toml", "foo = 1\nwatch = 'closely'\n").expect("the settings");
    let configured = world.run("crond --check");
    assert_eq!(configured.code(), 1, "{configured:?}");
    for fault in
        ["/etc/cronwheel.toml:1:1: error: unknown key foo; the keys are", "/etc/cronwheel.toml:2:9: error: watch: "]
    {
        assert!(configured.stderr.contains(fault), "{configured:?}");
    }
    assert_eq!(configured.stdout, "1 table with 1 entry, 0 refused, 2 errors, 0 warnings\n");
    assert!(!fs::exists("/run/crond.pid").expect("/run") && !fs::exists("/run/crond.reboot").expect("/run"));
}

#[test]
fn check_warns_of_what_keeps_control_and_history_from_working() {
    let Some(world) = world!(Implementation::OursDebian, ["sqlite3"]) else { return };
    world.run("ln -sf /bin/true /usr/sbin/sendmail").ok();
    let checked = || {
        let check = world.run("cron --check");
        assert_eq!(check.code(), 0, "warnings are no errors: {check:?}");
        let count = check.stderr.lines().filter(|line| line.starts_with("warning: ")).count();
        let told = if count == 1 { "1 warning".to_owned() } else { format!("{count} warnings") };
        assert!(check.stdout.ends_with(&format!(", {told}\n")), "{check:?}");
        check.stderr
    };
    assert_eq!(
        checked(),
        "warning: no history is kept: there is no user _cronwheel; cronwheel(7) has the command that makes it\n"
    );
    world.run("useradd --system --no-create-home --shell /usr/sbin/nologin _cronwheel").ok();
    assert_eq!(checked(), "");

    fs::write("/etc/cronwheel.toml", "control-group = 'nogr'\nview-group = 'adm'\n").expect("the settings");
    assert_eq!(checked(), "warning: control-group: there is no group nogr in /etc/group\n");
    fs::remove_file("/etc/cronwheel.toml").expect("the settings");

    // A database of the future, and one that is none: nobody but the recorder's user opens them.
    let directory = "/var/lib/cronwheel/history";
    world.run(&format!("mkdir -m 711 -p /var/lib/cronwheel && mkdir -m 700 {directory}")).ok();
    assert!(checked().starts_with(&format!("warning: {directory}: expected a directory of _cronwheel, found one of ")));
    world.run(&format!("chown _cronwheel: {directory}")).ok();
    world
        .run(&format!("cd / && runuser -u _cronwheel -- sqlite3 {directory}/history.db 'PRAGMA user_version = 99'"))
        .ok();
    assert_eq!(
        checked(),
        format!(
            "warning: {directory}: the database is of version 99, and this program knows up to 3: install a later version\n"
        )
    );
    world.run(&format!("rm -r {directory}")).ok();
    assert_eq!(checked(), "");

    world.run("mount --bind /var/lib/cronwheel /var/lib/cronwheel && mount -o remount,bind,ro /var/lib/cronwheel").ok();
    let told = checked();
    assert!(told.starts_with("warning: /var/lib/cronwheel cannot be written to: "), "{told}");
    world.run("umount /var/lib/cronwheel").ok();

    // The daemon uses no directory that others can write to.
    for (directory, without) in
        [("/var/lib/cronwheel", "the state of jobs is lost"), ("/run/cronwheel", "cronctl cannot reach")]
    {
        world.run(&format!("mkdir -p {directory} && chmod 777 {directory}")).ok();
        let line =
            format!("warning: {directory}: expected a directory that only this user or root can write to; {without}");
        let told = checked();
        assert!(told.starts_with(&line) && told.lines().count() == 1, "{told}");
        world.run(&format!("chmod 755 {directory}")).ok();
    }

    world.run("mv $(command -v cronctl) /root/cronctl").ok();
    assert!(checked().starts_with("warning: no history is kept: cronctl is not installed; "));
}

/// What `crond --check` says, a line each, without the pictures of lines.
fn check_lines(world: &World) -> Vec<String> {
    let shown = world.run(&format!("{} --check", world.implementation.daemon()));
    shown.stderr.lines().filter(|line| !line.starts_with("  ")).map(str::to_owned).collect()
}

#[test]
fn check_reports_what_the_machine_lacks() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.run("useradd --system --no-create-home --shell /usr/sbin/nologin _cronwheel").ok();
    world.run("ln -sf /bin/true /usr/sbin/sendmail").ok();
    assert_eq!(check_lines(&world), [""; 0]);

    world.drop_in("users", "SHELL=/bin/no-such-shell\n* * * * * nosuchuser true\n");
    assert_eq!(
        check_lines(&world),
        [
            "/etc/cron.d/users:1:7: warning: there is no program /bin/no-such-shell: the jobs below it cannot be started",
            "/etc/cron.d/users:2:11: warning: there is no user nosuchuser",
        ]
    );
    world.run("rm /etc/cron.d/users; mkdir /etc/cron.d/sub.dir").ok();
    world.drop_in(".placeholder", "# hidden\n");
    world.drop_in("backup.sh", "* * * * * root true\n");
    let rule = "rename it: only letters, digits, _ and - are allowed in a table's name";
    assert_eq!(check_lines(&world), [format!("warning: /etc/cron.d/backup.sh is not read: {rule}")]);
    fs::remove_file("/etc/cron.d/backup.sh").expect("the file");

    let spool = world.implementation.spool();
    world.run(&format!("mv {spool} /root/spool")).ok();
    let missing = format!("warning: {spool}: there is no such directory, so that no user can have a crontab");
    assert_eq!(check_lines(&world), [missing]);
    world.run(&format!("mv /root/spool {spool}; rm /usr/sbin/sendmail")).ok();
    let told = check_lines(&world);
    assert!(
        told.len() == 1 && told[0].starts_with("warning: there is no /usr/sbin/sendmail: what jobs print is dropped"),
        "{told:?}"
    );
    fs::write("/etc/cronwheel.toml", "mailer = '/usr/bin/no-such-mailer -t'\n").expect("the settings");
    assert_eq!(
        check_lines(&world),
        ["warning: mailer: there is no program /usr/bin/no-such-mailer: job output is not mailed"]
    );
    fs::write("/etc/cronwheel.toml", "mailer = 'off'\n").expect("the settings");
    world.run("rm -f /etc/localtime; echo no zone > /etc/localtime").ok();
    assert_eq!(
        check_lines(&world),
        ["warning: /etc/localtime: expected a zone file, found none that can be read: UTC is used"]
    );
    world.run("rm /etc/localtime; printf 'PATH=$PATH:/x\\n1 x daily true\\n' > /etc/anacrontab").ok();
    let told = check_lines(&world);
    assert!(told.len() == 2 && told[0].starts_with("/etc/anacrontab:1:6: warning: nothing is expanded"), "{told:?}");
    assert!(told[1].starts_with("/etc/anacrontab:2:3: error: expected a delay"), "{told:?}");
}

#[test]
fn what_is_skipped_at_the_start_is_one_line_each() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("backup.sh", "* * * * * root true\n");
    world.drop_in(".placeholder", "# hidden\n");
    world.drop_in("good", "SHELL=/bin/no-such-shell\n@yearly root true\n");
    world.run(&format!("rmdir {}", world.implementation.spool())).ok();
    let daemon = world.start_daemon(&[]);
    world.log.wait_for("@reboot jobs", Deadline::seconds(20));
    // Another scan says nothing again.
    daemon.signal(Signal::SIGHUP);
    world.drop_in("last", "0 24 * * * root true\n");
    world.log.wait_for("/etc/cron.d/last:1:3", Deadline::seconds(20));
    let lines = world.log.lines();
    for part in [
        "(CRON) WARNING (/etc/cron.d/backup.sh is not read: rename it: only letters",
        &format!("(CRON) OPENDIR FAILED ({}): No such file or directory", world.implementation.spool()),
        "warning: there is no program /bin/no-such-shell: the jobs below it cannot be started)",
    ] {
        assert_eq!(lines.iter().filter(|line| line.contains(part)).count(), 1, "{part}: {lines:#?}");
    }
    assert!(!lines.iter().any(|line| line.contains(".placeholder")), "{lines:#?}");
}

#[test]
fn debians_n_runs_what_is_due_this_minute_and_ends() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("jobs", "* * * * * root echo due >> /run/ran\n0 0 1 1 1 root echo not due >> /run/ran\n@reboot root echo boot >> /run/ran\n");
    // The last second of the year would make both due.
    assert_eq!(world.run("cron -N").code(), 0);
    assert_eq!(fs::read_to_string("/run/ran").expect("it ran"), "due\n");
}
