//! When the machine is short of processes, when a user database or a reader hangs, and when everybody's orphans are ours.

use crate::common::clock::{now, wait_until};
use crate::common::machine::Process;
use crate::common::{Deadline, Implementation, World, stage};
use crate::harness::{Harness, PERMISSIVE, config, describe_services, start};
use crate::world;
use cronwheel::executor::ExecutorConfig;
use cronwheel::profile::ProfileName;
use cronwheel::scheduler::RunOutcome;
use nix::poll::PollFlags;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A bound on how many processes an executor and all that it starts may be.
struct Bound {
    group: PathBuf,
}

impl Bound {
    /// For that executor; none where the kernel has no such bound for us.
    fn around(world: &World, executor: u32) -> Option<Bound> {
        fs::create_dir("/run/bounds").unwrap();
        let kinds = ["-t cgroup -o pids", "-t cgroup2"];
        let mounted = |kind: &&str| world.run(&format!("mount {kind} none /run/bounds")).status.success();
        kinds.iter().find(|kind| mounted(kind))?;
        // The name is seen by the whole machine: that of our process namespace tells it from others.
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap();
        let number: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        let group = PathBuf::from(format!("/run/bounds/cronwheel-test-{number}"));
        fs::create_dir(&group).unwrap();
        let bound = Bound { group };
        bound.group.join("pids.max").exists().then_some(())?;
        fs::write(bound.group.join("cgroup.procs"), executor.to_string()).unwrap();
        Some(bound)
    }

    /// No more than so many beyond those that are there.
    fn at_most(&self, more: u32) {
        let now: u32 = fs::read_to_string(self.group.join("pids.current")).unwrap().trim().parse().unwrap();
        fs::write(self.group.join("pids.max"), (now + more).to_string()).unwrap();
    }

    fn lift(&self) {
        fs::write(self.group.join("pids.max"), "max").unwrap();
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // Empty as soon as the executor and its template have ended.
        Deadline::seconds(20).try_wait_for(|| fs::remove_dir(&self.group).ok());
    }
}

#[test]
fn what_is_due_beyond_the_bound_on_starts_waits_in_order_and_none_is_dropped() {
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    describe_services("");
    let starts_in_flight = 2.try_into().unwrap();
    let mut harness = Harness::of(ExecutorConfig { starts_in_flight, ..config(ProfileName::Debian) });
    // Half of them stay until the last has started, so that the bound does not wait for anybody's end.
    let stays = |run| run % 2 == 0;
    for run in 1..=60 {
        harness.start(&start(
            run,
            "alice",
            if stays(run) { "until test -e /tmp/go; do sleep 0.1; done" } else { "exit 3" },
        ));
    }
    while harness.started.len() < 60 {
        harness.hear(PollFlags::POLLIN);
    }
    assert!(harness.started.iter().map(|(run, _)| run.0).eq(1..=60), "{:?}", harness.started);
    fs::write("/tmp/go", "").unwrap();
    for run in 1..=60 {
        assert_eq!(harness.end_of(run), RunOutcome::Code(if stays(run) { 0 } else { 3 }));
    }
}

#[test]
fn where_no_process_is_to_be_had_a_start_waits_and_is_made_as_soon_as_there_is() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    // Without PAM; with PAM, where there is none for the PAM monitor; with a PAM monitor that gets none for the job.
    for (services, more) in [("", 0), (PERMISSIVE, 0), (PERMISSIVE, 1)] {
        describe_services(services);
        let mut harness = Harness::of(config(ProfileName::Debian));
        let Some(bound) = Bound::around(&world, harness.executor.pid()) else {
            return stage::skip("fork", "no pids cgroup can be mounted");
        };
        // Others are unaffected: this one runs already.
        harness.start(&start(1, "bob", "read line; exit 4%x"));
        assert_eq!(harness.end_of(1), RunOutcome::Code(4));
        let no_monitor = || world.processes().iter().all(|process| process.name != "crond: pam").then_some(());
        Deadline::seconds(20).wait_for("the monitor's end", no_monitor);
        bound.at_most(more);
        let held_up = || world.log.lines().iter().filter(|line| line.contains("starting jobs is delayed")).count();
        let before = held_up();
        for run in 2..5 {
            harness.start(&start(run, "alice", "cat >>out%again"));
        }
        // With one process at hand one of the three has a PAM monitor, which waits by itself.
        Deadline::seconds(20).wait_for("the log to say so", || (held_up() > before).then_some(()));
        assert_eq!(harness.ended.len(), 1);
        bound.lift();
        (2..5).for_each(|run| assert_eq!(harness.end_of(run), RunOutcome::Code(0)));
        assert_eq!(fs::read_to_string("/home/alice/out").unwrap(), "again\n".repeat(3));
        assert_eq!(held_up(), before + 1, "said once");
        fs::remove_file("/home/alice/out").unwrap();
        drop(harness);
        drop(bound);
        world.run("umount /run/bounds && rmdir /run/bounds").ok();
    }
}

/// A job that writes down each second in which it runs.
const CANARY: &str = "date +\\%s >>/run/canary\n";

fn canary_runs() -> Vec<u64> {
    let text = fs::read_to_string("/run/canary").unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Waits until the canary has run that often, and asserts that it has run each second.
fn assert_runs_each_second(times: usize) {
    Deadline::seconds(60).wait_for("the canary", || (canary_runs().len() >= times).then_some(()));
    let seconds_of_runs = canary_runs();
    let seconds = seconds_of_runs[seconds_of_runs.len() - 1] - seconds_of_runs[0] + 1;
    assert!(seconds.abs_diff(seconds_of_runs.len() as u64) <= 1, "{seconds_of_runs:?}");
}

/// A user database in which every lookup of bob hangs, and which knows nobody.
const TARRY: &str = r#"
#include <nss.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>
enum nss_status _nss_tarry_getpwnam_r(const char *name, struct passwd *p, char *b, size_t l, int *e) {
    while (!strcmp(name, "bob")) pause();
    return NSS_STATUS_NOTFOUND;
}
"#;

#[test]
fn a_user_database_that_hangs_delays_only_the_jobs_of_users_that_need_it() {
    let Some(world) = world!(Implementation::OursDebian, ["cc"]) else { return };
    fs::write("/tmp/tarry.c", TARRY).unwrap();
    world.run("cc -shared -fPIC -o /usr/lib/$(cc -print-multiarch)/libnss_tarry.so.2 /tmp/tarry.c").ok();
    world.run("sed -i 's/^passwd:.*/passwd: tarry files/' /etc/nsswitch.conf").ok();
    world.drop_in("canary", &format!("@every_second root {CANARY}@every_minute alice true\n"));
    world.drop_in("tarries", "@reboot bob touch /tmp/ran\n");
    // A table whose owner nobody can tell.
    fs::write("/var/spool/cron/crontabs/bob", "@reboot touch /tmp/ran\n").unwrap();
    world.run("chmod 600 /var/spool/cron/crontabs/bob && chgrp crontab /var/spool/cron/crontabs/bob").ok();
    let mut daemon = world.start_daemon(&[]);
    let line = ": (bob) NOT STARTED (touch /tmp/ran): looking up the user: no answer within 10 s";
    world.log.wait_for(line, Deadline::seconds(30));
    assert_runs_each_second(8);
    assert!(daemon.is_alive() && !fs::exists("/tmp/ran").unwrap());
    world.run("sed -i 's/^passwd:.*/passwd: files/' /etc/nsswitch.conf").ok();
    world.drop_in("tarries", "@every_second bob id -un >/tmp/ran\n");
    assert_eq!(world.wait_for_file("/tmp/ran", Deadline::seconds(30)), "bob\n");
    assert!(daemon.stop().success());
}

#[test]
fn a_reader_who_stops_reading_stops_the_jobs_that_write_and_not_the_clock() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    fs::write("/tmp/table", format!("@reboot yes\n@reboot yes >&2\n@every_second {CANARY}")).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut daemon = Command::new("/usr/sbin/crond")
        .args(["--stop-timeout", "1s", "/tmp/table"])
        .stdin(Stdio::null())
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .spawn()
        .unwrap();
    assert_runs_each_second(8);
    let writes = |process: &Process| process.name == "yes";
    assert_eq!(world.processes().iter().filter(|process| writes(process) && process.state == 'S').count(), 2);
    kill(Pid::from_raw(daemon.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let status = Deadline::seconds(20).wait_for("its end", || daemon.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    assert!(world.processes().iter().all(|process| !writes(process)));
    drop(reader);
}

#[test]
fn as_the_first_process_it_reaps_ten_thousand_orphans_and_takes_no_jobs_status() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    describe_services("");
    // A subshell that is gone before what it has started: an orphan.
    let orphans = "i=0; while [ $i -lt 500 ]; do (sleep 0 & exec true); i=$((i+1)); done; exit";
    let table: String = (0..20).map(|number| format!("@reboot root {orphans} {number}\n")).collect();
    world.drop_in("orphans", &format!("{table}@every_second root {CANARY}"));
    let mut daemon = Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child", "--mount-proc", "--", "/usr/sbin/cron", "-f", "-L", "3"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let ended = |lines: &[String]| lines.iter().filter(|line| line.contains(") END (i=0;")).count();
    let lines = Deadline::seconds(240).wait_for("twenty ends", || {
        let lines = world.log.lines();
        (ended(&lines) == 20).then_some(lines)
    });
    for number in 1..20 {
        let failed = format!("exit {number}) exit {number} after ");
        assert_eq!(lines.iter().filter(|line| line.contains(&failed)).count(), 1, "{failed}: {lines:#?}");
    }
    assert_eq!(lines.iter().filter(|line| line.contains(") FAILED (i=0;")).count(), 19);
    let no_zombie = || world.processes().iter().all(|process| process.state != 'Z').then_some(());
    Deadline::seconds(20).wait_for("every orphan to be reaped", no_zombie);
    assert!(daemon.try_wait().unwrap().is_none());
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}

/// The due moments of the starts that a daemon and its executor have told of.
fn started(words: &str) -> Vec<String> {
    let told = words.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect(line));
    told.filter(|told| told["event"] == "CMD").map(|told| told["scheduled_at"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn killed_right_after_a_start_and_started_anew_it_repeats_no_start_and_loses_none() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("canary", &format!("@every_second root {CANARY}"));
    let mut times = Vec::new();
    let mut daemon = world.start_daemon(&["--log", "json"]);
    assert_runs_each_second(1);
    for offset_ms in [0, 1, 2, 3, 5, 8, 13, 21, 34, 55] {
        wait_until(now().as_secs() + 1);
        std::thread::sleep(Duration::from_millis(offset_ms));
        daemon.signal(Signal::SIGKILL);
        daemon.end(Deadline::seconds(20));
        let mut killed = std::mem::replace(&mut daemon, world.start_daemon(&["--log", "json"]));
        times.extend(started(&killed.last_words()));
    }
    let before = canary_runs().len();
    Deadline::seconds(20).wait_for("the canary", || (canary_runs().len() > before + 1).then_some(()));
    daemon.signal(Signal::SIGKILL);
    daemon.end(Deadline::seconds(20));
    times.extend(started(&daemon.last_words()));
    times.sort();
    let seconds: Vec<i64> =
        times.iter().map(|time| chrono::DateTime::parse_from_rfc3339(time).unwrap().timestamp()).collect();
    assert!(seconds.len() >= 12 && seconds.windows(2).all(|pair| pair[1] == pair[0] + 1), "{times:#?}");
}
