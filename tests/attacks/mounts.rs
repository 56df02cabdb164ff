//! File systems that are mounted over watched directories, or that report no changes, and the messages by which `crontab` wakes the daemon.

#[allow(dead_code, reason = "the tests of the clock use more of it")]
#[path = "../clock/fake.rs"]
mod fake;

use crate::common::clock::{now, wait_until};
use crate::common::{Daemon, Deadline, Implementation, World};
use crate::world;
use fake::{Clock, VARIABLES};
use nix::sys::signal::Signal;
use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Everything here is on an overlay: without the minutely rescan only mounts, messages and inotify(7) can tell of changes.
const NO_MINUTELY_RESCAN: &[&str] = &["--watch", "inotify"];
/// A file of alice, to which the jobs of alice write.
const OUTPUT: &str = "/tmp/output";

/// A table of one job that writes a word to [`OUTPUT`] each second.
fn table(word: &str) -> String {
    format!("@every_second echo {word} >>{OUTPUT}\n")
}

/// The same as a system table.
fn system_table(word: &str) -> String {
    format!("@every_second root echo {word} >>{OUTPUT}\n")
}

/// Waits until the job of that word runs, and it alone.
fn wait_for_only(word: &str) {
    Deadline::seconds(20).wait_for(&format!("only the job {word} to run"), || {
        let _ = fs::remove_file(OUTPUT);
        let lines = || fs::read_to_string(OUTPUT).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
        let written = Deadline::seconds(5).try_wait_for(|| Some(lines()).filter(|lines| lines.len() >= 3));
        written?.iter().all(|line| line == word).then_some(())
    });
}

/// Waits until no job of [`table`] runs.
fn wait_for_none() {
    Deadline::seconds(20).wait_for("the job to stop", || {
        let _ = fs::remove_file(OUTPUT);
        std::thread::sleep(Duration::from_millis(2500));
        (!fs::exists(OUTPUT).unwrap()).then_some(())
    });
}

/// What USR1 makes the daemon log, without what comes in front.
fn state(world: &World, daemon: &Daemon) -> String {
    let states = || -> Vec<String> {
        world.log.lines().into_iter().filter(|line| line.contains(") STATE (") && line.contains(" table")).collect()
    };
    let known = states().len();
    daemon.signal(Signal::SIGUSR1);
    let all = Deadline::seconds(20).wait_for("the daemon's state", || Some(states()).filter(|all| all.len() > known));
    all.last().unwrap().split_once(") STATE (").unwrap().1.to_owned()
}

fn wait_for_entries(world: &World, daemon: &Daemon, entries: usize) {
    let wanted = if entries == 1 { " 1 entry,".to_owned() } else { format!(" {entries} entries,") };
    let mut last = String::new();
    let found = Deadline::seconds(20).try_wait_for(|| {
        last = state(world, daemon);
        last.contains(&wanted).then_some(())
    });
    assert!(found.is_some(), "expected {entries} entries: {last}");
}

/// The options for mounting a spool of that implementation.
fn spool_options(world: &World) -> String {
    let group = world.run("getent group crontab | cut -d: -f3").ok();
    match world.implementation {
        Implementation::OursDebian => format!("mode=1730,gid={}", group.trim()),
        _ => "mode=700".to_owned(),
    }
}

fn a_mount_over_the_spool_is_noticed(world: &World) {
    let (spool, options) = (world.implementation.spool(), spool_options(world));
    world.crontab("alice", &table("old")).ok();
    let daemon = world.start_daemon(NO_MINUTELY_RESCAN);
    wait_for_only("old");
    world.run(&format!("mount -t tmpfs -o {options} tmpfs {spool}")).ok();
    wait_for_none();
    world.crontab("alice", &table("new")).ok();
    wait_for_only("new");
    world.run(&format!("umount {spool}")).ok();
    wait_for_only("old");
    // What stands there now is watched: without a message, too.
    world.run(&format!("sed -i s/old/edited/ {spool}/alice")).ok();
    wait_for_only("edited");
    assert!(daemon.stop().success());
}

#[test]
fn a_mount_over_the_spool_is_noticed_and_so_is_its_unmount() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    a_mount_over_the_spool_is_noticed(&world);
}

#[test]
fn a_mount_over_the_spool_is_noticed_in_the_cronie_profile() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    a_mount_over_the_spool_is_noticed(&world);
}

#[test]
fn a_file_system_that_takes_the_numbers_of_another_one_is_noticed() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.run("mount -t tmpfs -o mode=755 tmpfs /etc/cron.d").ok();
    world.drop_in("job", &system_table("old"));
    let daemon = world.start_daemon(NO_MINUTELY_RESCAN);
    wait_for_only("old");
    let identity = || world.run("stat -c %d:%i /etc/cron.d").ok();
    // Other mounts on this machine may get the number that has just become free: then once more.
    for _ in 0..20 {
        let before = identity();
        // A check follows this mount, and the next one a second later: both changes come between the two.
        world.run("mount -t tmpfs tmpfs /srv").ok();
        state(&world, &daemon);
        world.run("umount /etc/cron.d && mount -t tmpfs -o mode=755 tmpfs /etc/cron.d").ok();
        let is_reused = identity() == before;
        wait_for_none();
        if is_reused {
            break;
        }
    }
    world.drop_in("job", &system_table("new"));
    wait_for_only("new");
}

#[test]
fn a_mount_over_the_directory_of_system_tables_is_noticed_and_so_is_its_unmount() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("job", &system_table("old"));
    let _daemon = world.start_daemon(NO_MINUTELY_RESCAN);
    wait_for_only("old");
    world.run("mount -t tmpfs -o mode=755 tmpfs /etc/cron.d").ok();
    wait_for_none();
    world.drop_in("other", &system_table("new"));
    wait_for_only("new");
    world.run("umount /etc/cron.d").ok();
    wait_for_only("old");
    // A whole /etc, and with it /etc/crontab.
    world.run("cp -a /etc /run/etc && rm /run/etc/cron.d/job").ok();
    fs::write("/run/etc/crontab", system_table("moved")).unwrap();
    world.run("mount --bind /run/etc /etc").ok();
    wait_for_only("moved");
    world.run("umount /etc").ok();
    wait_for_only("old");
}

#[test]
fn a_mount_over_the_directory_of_a_linked_table_is_noticed_and_so_is_its_unmount() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    fs::create_dir_all("/opt/tables").unwrap();
    fs::write("/opt/tables/job", system_table("old")).unwrap();
    world.run("ln -s /opt/tables/job /etc/cron.d/job").ok();
    let _daemon = world.start_daemon(NO_MINUTELY_RESCAN);
    wait_for_only("old");
    world.run("mount -t tmpfs -o mode=755 tmpfs /opt/tables").ok();
    wait_for_none();
    fs::write("/opt/tables/job", system_table("new")).unwrap();
    wait_for_only("new");
    world.run("umount /opt/tables").ok();
    wait_for_only("old");
}

#[test]
fn a_mount_over_a_single_table_is_noticed_and_so_is_its_unmount() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("job", &system_table("old"));
    let _daemon = world.start_daemon(NO_MINUTELY_RESCAN);
    wait_for_only("old");
    fs::write("/root/job", system_table("new")).unwrap();
    world.run("mount --bind /root/job /etc/cron.d/job").ok();
    wait_for_only("new");
    world.run("umount /etc/cron.d/job").ok();
    wait_for_only("old");
}

#[test]
fn a_mount_brings_a_missing_directory_and_an_unmount_takes_it_away() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.run("rmdir /etc/cron.d && mkdir -p /srv/cron /srv/empty && mount -t tmpfs tmpfs /srv/empty").ok();
    let options = [NO_MINUTELY_RESCAN, &["--cron-d", "/srv/cron/a/b"]].concat();
    let _daemon = world.start_daemon(&options);
    world.run("mount -t tmpfs -o mode=755 tmpfs /srv/cron").ok();
    // The way to it is watched in the new file system.
    world.run("mkdir /srv/cron/a; mkdir /srv/cron/a/b").ok();
    fs::write("/srv/cron/a/b/job", system_table("new")).unwrap();
    wait_for_only("new");
    world.run("umount /srv/cron").ok();
    wait_for_none();
}

/// Mounts an overlay whose lower layer has that file, over a directory.
fn mount_overlay(world: &World, directory: &str, file: &str, text: &str) {
    world.run(&format!("mkdir -p {directory} /run/o && cd /run/o && mkdir lower upper work")).ok();
    fs::write(format!("/run/o/lower/{file}"), text).unwrap();
    let layers = "lowerdir=/run/o/lower,upperdir=/run/o/upper,workdir=/run/o/work";
    world.run(&format!("mount -t overlay -o {layers} overlay {directory}")).ok();
}

/// An entry of a system table that is not due.
const NEVER: &str = "0 0 1 1 * root true\n";

fn rewritten_below(world: &World, options: &[&str]) -> (Clock, Daemon) {
    mount_overlay(world, "/etc/cron.d", "job", NEVER);
    let clock = Clock::new(i64::try_from(now().as_secs()).unwrap());
    let daemon = world.start_daemon_with(options, &VARIABLES);
    wait_for_entries(world, &daemon, 1);
    fs::write("/run/o/lower/job", NEVER.repeat(2)).unwrap();
    (clock, daemon)
}

/// Lets so many seconds pass.
fn pass(clock: &Clock, seconds: i64) {
    clock.pass_to(clock.shows() + seconds);
    clock.expire_timer();
}

#[test]
fn a_table_in_the_lower_layer_of_an_overlay_is_taken_within_the_minute() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let (clock, daemon) = rewritten_below(&world, &[]);
    pass(&clock, 60);
    wait_for_entries(&world, &daemon, 2);
}

#[test]
fn without_the_minutely_rescan_it_is_taken_within_ten_minutes() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let (clock, daemon) = rewritten_below(&world, NO_MINUTELY_RESCAN);
    for _ in 0..4 {
        pass(&clock, 120);
        wait_for_entries(&world, &daemon, 1);
    }
    pass(&clock, 121);
    wait_for_entries(&world, &daemon, 2);
}

#[test]
fn by_polling_a_change_is_taken_within_the_minute_and_not_before() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("job", NEVER);
    fs::write("/etc/cronwheel.toml", "watch = \"poll\"\n").unwrap();
    let clock = Clock::new(i64::try_from(now().as_secs()).unwrap() / 60 * 60);
    let daemon = world.start_daemon_with(&[], &VARIABLES);
    wait_for_entries(&world, &daemon, 1);
    let open = world.run(&format!("ls -l /proc/{}/fd", daemon.pid())).ok();
    assert!(!open.contains("inotify"), "{open}");
    world.drop_in("job", &NEVER.repeat(2));
    wait_for_entries(&world, &daemon, 1);
    pass(&clock, 60);
    wait_for_entries(&world, &daemon, 2);
}

#[test]
fn a_given_table_in_the_lower_layer_of_an_overlay_is_taken_within_the_minute() {
    let Some(world) = world!(Implementation::OursDebian, ["strace"]) else { return };
    mount_overlay(&world, "/srv/tables", "mine", "0 0 1 1 * true\n");
    let clock = Clock::new(i64::try_from(now().as_secs()).unwrap());
    let mut daemon = Command::new("/usr/sbin/cron");
    daemon.arg("/srv/tables/mine").envs(VARIABLES).stdin(Stdio::null()).stdout(Stdio::null());
    let mut daemon = daemon.stderr(fs::File::create("/run/told").unwrap()).spawn().unwrap();
    let told = |part: &str| fs::read_to_string("/run/told").unwrap().contains(part);
    Deadline::seconds(20).wait_for("its start", || told("STARTUP").then_some(()));
    let wait_for = |entries: &str| {
        Deadline::seconds(20).wait_for(entries, || {
            Command::new("kill").args(["-USR1", &daemon.id().to_string()]).status().unwrap();
            told(entries).then_some(())
        });
    };
    wait_for(" 1 entry,");
    fs::write("/run/o/lower/mine", "0 0 1 1 * true\n".repeat(2)).unwrap();
    pass(&clock, 60);
    wait_for(" 2 entries,");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}

/// The milliseconds for which the daemon waits at most, when nothing happens.
fn poll_timeout(world: &World, daemon: &Daemon) -> i64 {
    let mut tracer = Command::new("strace")
        .args(["-e", "trace=epoll_wait,epoll_pwait", "-o", "/run/waits", "-p", &daemon.pid().to_string()])
        .stderr(fs::File::create("/run/strace").unwrap())
        .spawn()
        .unwrap();
    world.wait_for_file("/run/strace", Deadline::seconds(20));
    state(world, daemon);
    let last = Deadline::seconds(20).wait_for("the daemon to wait", || {
        let waits = fs::read_to_string("/run/waits").unwrap_or_default();
        waits.lines().rfind(|line| line.contains(" = 1")).map(str::to_owned)
    });
    tracer.kill().unwrap();
    tracer.wait().unwrap();
    // `epoll_wait(4, [...], 9, 599998) = 1`
    let timeout = last.rsplit_once(") = ").unwrap().0.rsplit_once("], ").unwrap().1.split(", ").nth(1).unwrap();
    timeout.parse().unwrap()
}

#[test]
fn the_minutely_rescan_is_only_where_a_file_system_does_not_report_every_change() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("job", NEVER);
    let waits = |options: &[&str]| {
        let daemon = world.start_daemon(options);
        let poll_timeout = poll_timeout(&world, &daemon);
        daemon.stop();
        poll_timeout
    };
    assert!(waits(&[]) <= 60_000, "on an overlay");
    assert!(waits(NO_MINUTELY_RESCAN) > 60_000, "by inotify alone");
    let (spool, options) = (world.implementation.spool(), spool_options(&world));
    world
        .run(&format!("cp -a /etc /run/etc && mount --bind /run/etc /etc && mount -t tmpfs -o {options} t {spool}"))
        .ok();
    assert!(waits(&[]) > 60_000, "in memory");
    assert!(waits(&["--watch", "poll"]) <= 60_000, "by polling");
    world.run("cp /etc/cron.d/job /run/job && mount --bind /run/job /etc/cron.d/job").ok();
    assert!(waits(&[]) <= 60_000, "a table that can be written under another path");
}

fn crontab_wakes_the_daemon(world: &World) {
    let daemon = world.start_daemon(&["--watch", "poll"]);
    // None of this waits for the end of the minute.
    let at_once =
        |what: &str| Deadline::seconds(20).wait_for(what, || state(world, &daemon).contains(what).then_some(()));
    let second = now().as_secs() % 60;
    if second > 30 {
        wait_until(now().as_secs() + 60 - second);
    }
    world.crontab("alice", &table("new")).ok();
    at_once(" 1 entry,");
    world.run_as("alice", "EDITOR='echo @daily true >>' crontab -e").ok();
    at_once(" 2 entries,");
    world.run_as("alice", "crontab -r").ok();
    at_once(" 0 entries,");
    // Root speaks for others, and nobody else does.
    world.run_with_input("root", "crontab -u alice -", table("given").as_bytes()).ok();
    at_once(" 1 entry,");
    let path = format!("{}/alice", world.implementation.spool());
    // The kernel may refuse root a file of another owner there, if it could be created.
    fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"@daily true\n").unwrap();
    world.run_as("bob", &send("alice", "1")).ok();
    world.crontab("bob", &table("more").repeat(2)).ok();
    at_once(" 3 entries,");
    world.run_as("alice", &send("alice", "1")).ok();
    at_once(" 4 entries,");
    assert!(now().as_secs() % 60 < 58, "it took too long to tell messages from the minutely rescan");
    assert!(daemon.stop().success());
    assert!(!fs::exists(SOCKET).unwrap(), "the socket stays");
}

#[test]
fn crontab_wakes_the_daemon_where_nothing_is_reported() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    crontab_wakes_the_daemon(&world);
}

#[test]
fn crontab_wakes_the_daemon_in_the_cronie_profile() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    crontab_wakes_the_daemon(&world);
}

/// Where the daemon takes messages.
const SOCKET: &str = "/run/cronwheel.wake";

/// A shell line that sends messages naming a user: so many, or without end.
fn send(user: &str, times: &str) -> String {
    let while_left = if times.is_empty() { "1".to_owned() } else { format!("$n++ < {times}") };
    format!(
        "exec perl -e 'use Socket; socket(S, AF_UNIX, SOCK_DGRAM, 0); $to = sockaddr_un(\"{SOCKET}\"); \
         while ({while_left}) {{ send(S, \"{user}\", MSG_DONTWAIT, $to) }}'"
    )
}

#[test]
fn crontab_needs_no_daemon_and_waits_for_none() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let installs = |what: &str| {
        let shown = world.run_with_input("alice", "timeout 10 crontab -", table("x").as_bytes());
        assert_eq!((shown.code(), shown.stdout.as_str(), shown.stderr.as_str()), (0, "", ""), "{what}");
        assert_eq!(world.run_as("alice", "timeout 10 crontab -r").code(), 0, "{what}");
    };
    installs("without a daemon");
    let socket = UnixDatagram::bind(SOCKET).unwrap();
    world.run(&format!("chmod 666 {SOCKET}")).ok();
    world.run_as("alice", &send("alice", "5000")).ok();
    installs("a daemon that reads nothing");
    drop(socket);
    installs("the socket of a daemon that was killed");
    world.run(&format!("rm {SOCKET} && mkfifo -m 666 {SOCKET}")).ok();
    installs("a FIFO in its place");
    // The daemon removes what is not its own from nowhere, and starts.
    let daemon = world.start_daemon(&[]);
    world.log.wait_for("crontab cannot wake the daemon", Deadline::seconds(20));
    assert!(daemon.stop().success());
    let socket = world.run(&format!(
        "rm {SOCKET} && perl -e 'use Socket; socket(S, AF_UNIX, SOCK_DGRAM, 0); bind(S, sockaddr_un(\"{SOCKET}\"))'"
    ));
    socket.ok();
    let daemon = world.start_daemon(&["--watch", "poll"]);
    world.crontab("alice", &table("x")).ok();
    wait_for_entries(&world, &daemon, 1);
    let mode = world.run(&format!("stat -c '%F %a %U' {SOCKET}")).ok();
    assert_eq!(mode, "socket 666 root\n");
}

/// The processor time of a process, in clock ticks of a hundredth of a second.
fn ticks(daemon: &Daemon) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

fn start_flood(world: &World, user: &str, named: &str) -> Child {
    let mut command = world.command_as(user, &send(named, ""));
    command.stdin(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_flood_of_messages_costs_little_and_delays_nobody() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("canary", "@every_second root date +\\%s >>/run/canary\n");
    world.crontab("alice", "0 0 1 1 * true\n".repeat(9000).as_str()).ok();
    let daemon = world.start_daemon(NO_MINUTELY_RESCAN);
    let canary_runs = || -> Vec<u64> {
        fs::read_to_string("/run/canary").unwrap_or_default().lines().filter_map(|line| line.parse().ok()).collect()
    };
    Deadline::seconds(20).wait_for("the canary", || (!canary_runs().is_empty()).then_some(()));
    let mut flood = [start_flood(&world, "alice", "alice"), start_flood(&world, "alice", "bob")];
    let (from, runs) = (ticks(&daemon), canary_runs().len());
    Deadline::seconds(60).wait_for("ten seconds", || (canary_runs().len() >= runs + 10).then_some(()));
    let spent = ticks(&daemon) - from;
    assert!(spent < 100, "{spent} hundredths of a second of processor time in ten seconds");
    world.crontab("bob", &table("bobs")).ok();
    wait_for_only("bobs");
    let seconds = canary_runs();
    assert!(seconds.windows(2).all(|pair| pair[1] - pair[0] <= 2), "{seconds:?}");
    for process in &mut flood {
        process.kill().unwrap();
        process.wait().unwrap();
    }
    assert!(daemon.stop().success());
}
