//! The state of jobs: daemons that are killed, files that are cut, directories that cannot be written.

use crate::common::clock::{now, wait_until};
use crate::common::{Daemon, Deadline, Implementation, World};
use crate::{CANARY, wait_for_canary, world};
use nix::sys::signal::Signal;
use siphasher::sip::SipHasher24;
use std::fs;
use std::hash::Hasher as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

const LEDGER: &str = "/run/ledger";
const STATE: &str = "/var/lib/cronwheel/state";
const RECORD: &str = "/run/cronwheel.completed";

fn lines(path: &str) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}

fn wait_for_lines(path: &str, count: usize) {
    Deadline::seconds(120).wait_for(&format!("{count} lines in {path}"), || (lines(path) >= count).then_some(()));
}

/// A schedule that comes once, in so many seconds, and when that is.
fn once_in(seconds: u64) -> (String, u64) {
    let due = now().as_secs() + seconds;
    (format!("@quartz {} {} {} * * * *", due % 60, due / 60 % 60, due / 3600 % 24), due)
}

fn kill(mut daemon: Daemon) {
    daemon.signal(Signal::SIGKILL);
    daemon.end(Deadline::seconds(60));
}

fn logged(world: &World, part: &str) -> usize {
    world.log.lines().iter().filter(|line| line.contains(part)).count()
}

#[test]
fn a_retry_comes_though_the_daemon_is_killed_between_the_attempts() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let (schedule, _) = once_in(5);
    world.drop_in("retry", &format!("CRON_TZ=UTC\nCRON_RETRY=1,10s\n{schedule} root echo run >>{LEDGER}; exit 3\n"));
    let daemon = world.start_daemon(&[]);
    wait_for_lines(LEDGER, 1);
    let is_pending = || fs::read_to_string(STATE).is_ok_and(|text| text.contains(r#""stage":"Pause""#)).then_some(());
    Deadline::seconds(60).wait_for("the retry in the state file", is_pending);
    kill(daemon);
    let daemon = world.start_daemon(&[]);
    wait_for_lines(LEDGER, 2);
    world.drop_in("canary", CANARY);
    wait_for_canary();
    assert!(daemon.stop().success());
    assert_eq!(lines(LEDGER), 2);
}

#[test]
fn a_job_that_must_not_overlap_does_not_overlap_over_a_killed_daemon() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let command = format!("echo run >>{LEDGER}; while [ ! -e /run/go ]; do sleep 0.1; done");
    world.drop_in("single", &format!("CRON_OVERLAP=skip\n@every_second root {command}\n"));
    world.drop_in("canary", CANARY);
    let daemon = world.start_daemon(&[]);
    wait_for_lines(LEDGER, 1);
    kill(daemon);
    let daemon = world.start_daemon(&[]);
    for _ in 0..3 {
        wait_for_canary();
    }
    assert_eq!(lines(LEDGER), 1);
    fs::write("/run/go", "").unwrap();
    wait_for_lines(LEDGER, 2);
    assert!(daemon.stop().success());
}

#[test]
fn a_streak_of_failures_outlives_a_killed_daemon() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let settings = "CRON_ALERT=3\nCRON_ON_FAILURE=echo $CRON_FAILURES $(wc -l </run/ledger) >>/run/alerts\n";
    let entry = format!("@quartz */4 * * * * * * root echo run >>{LEDGER}; exit 3\n");
    world.drop_in("bad", &format!("{settings}{entry}"));
    for failures in 1..=2 {
        let daemon = world.start_daemon(&[]);
        wait_for_lines(LEDGER, failures);
        kill(daemon);
    }
    let daemon = world.start_daemon(&[]);
    wait_for_lines(LEDGER, 5);
    assert!(daemon.stop().success());
    assert_eq!(fs::read_to_string("/run/alerts").unwrap(), "3 3\n");
}

/// A state file of this boot with these items, as a daemon writes it.
fn state_file(items: &[String]) -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let header = format!(r#"{{"format":"cronwheel state","version":1,"boot":"{}"}}"#, boot.trim());
    let mut checksum = 0_u64;
    let mut line = |json: &str| {
        let mut hasher = SipHasher24::new();
        hasher.write(&checksum.to_le_bytes());
        hasher.write(json.as_bytes());
        checksum = hasher.finish();
        format!("{checksum:016x} {json}\n")
    };
    let header = line(&header);
    items.iter().fold(header, |text, item| text + &line(&format!("[{item}]")))
}

fn pause(name: &str, until: u64) -> String {
    let pause = format!(r#"{{"from":0,"until":{until},"by":"root","note":"","is_by_root":true}}"#);
    format!(r#"{{"change":{{"job":"root:{name}","part":{{"pause":{pause}}}}}}}"#)
}

/// Puts a state file there before the first daemon starts.
fn write_state(bytes: &[u8]) {
    fs::create_dir_all("/var/lib/cronwheel").unwrap();
    fs::set_permissions("/var/lib/cronwheel", fs::Permissions::from_mode(0o711)).unwrap();
    fs::write(STATE, bytes).unwrap();
    fs::set_permissions(STATE, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_pause_outlives_killed_daemons_and_ends_in_time() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("paused", &format!("CRON_NAME=paused\n@every_second root date +\\%s >>{LEDGER}\n"));
    world.drop_in("canary", CANARY);
    let until = now().as_secs() + 15;
    write_state(state_file(&[pause("paused", until)]).as_bytes());
    for _ in 0..2 {
        let daemon = world.start_daemon(&[]);
        wait_for_canary();
        kill(daemon);
    }
    let daemon = world.start_daemon(&[]);
    wait_for_lines(LEDGER, 1);
    assert!(daemon.stop().success());
    let first: u64 = fs::read_to_string(LEDGER).unwrap().lines().next().unwrap().parse().unwrap();
    assert!((until..until + 10).contains(&first), "{first} {until}");
    // The last record of it says that it is over.
    let state = fs::read_to_string(STATE).unwrap();
    assert!(state.rfind(r#""pause":null"#) > state.rfind(r#""pause":{"#), "{state}");
}

#[test]
fn a_state_file_cut_at_any_byte_of_its_last_record_holds_what_it_held_before_that_record() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("two", "CRON_NAME=first\n@daily root :\nCRON_NAME=second\n@daily root :\n");
    let until = now().as_secs() + 86_400;
    let (first, second) = (pause("first", until), pause("second", until));
    let (before, whole) = (state_file(std::slice::from_ref(&first)), state_file(&[first.clone(), second.clone()]));
    // Every byte is tried in the unit tests of the format; here is the way from the file to the daemon and back.
    for length in (before.len()..=whole.len()).step_by(5).chain([whole.len() - 1, whole.len()]) {
        let cut = &whole.as_bytes()[..length];
        write_state(cut);
        let old = fs::metadata(STATE).unwrap().ino();
        let daemon = world.start_daemon(&[]);
        let is_written = || fs::metadata(STATE).is_ok_and(|new| new.ino() != old).then_some(());
        Deadline::seconds(30).wait_for("a new state file", is_written);
        kill(daemon);
        let found = fs::read_to_string(STATE).unwrap();
        assert!(found.contains(&first), "{length} bytes: {found}");
        assert_eq!(found.contains(&second), length == whole.len(), "{length} bytes: {found}");
        assert_eq!(found.contains("root:second"), length == whole.len(), "{length} bytes: {found}");
        if length != before.len() && length != whole.len() {
            assert_eq!(fs::read(format!("{STATE}.damaged")).unwrap(), cut, "{length} bytes");
        }
    }
}

#[test]
fn a_state_file_that_was_cut_costs_one_log_line_and_no_job() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("canary", CANARY);
    let daemon = world.start_daemon(&[]);
    wait_for_canary();
    assert!(daemon.stop().success());
    for round in 1..=2 {
        let state = fs::read(STATE).unwrap();
        let cut = &state[..state.len() - 5 * round];
        fs::write(STATE, cut).unwrap();
        let daemon = world.start_daemon(&[]);
        wait_for_canary();
        assert!(daemon.stop().success());
        assert_eq!(logged(&world, "is damaged from line"), round);
        // Only the newest damaged file is kept.
        assert_eq!(fs::read(format!("{STATE}.damaged")).unwrap(), cut);
    }
    let mut names: Vec<_> = fs::read_dir("/var/lib/cronwheel").unwrap().map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["state", "state.damaged", "state.lock"]);
    let modes = ["/var/lib/cronwheel", STATE].map(|path| fs::metadata(path).unwrap().mode() & 0o7777);
    assert_eq!(modes, [0o711, 0o600]);
}

#[test]
fn a_full_state_directory_costs_one_log_line_and_no_job_until_there_is_room_again() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("canary", CANARY);
    let directory = "/var/lib/cronwheel";
    world.run(&format!("mkdir -p {directory} && mount -t tmpfs -o size=64k,mode=711 none {directory}")).ok();
    world.run(&format!("cat /dev/zero >{directory}/filler"));
    let daemon = world.start_daemon(&[]);
    for _ in 0..3 {
        wait_for_canary();
    }
    assert_eq!(logged(&world, &format!("writing {STATE}: No space left on device")), 1);
    fs::remove_file(format!("{directory}/filler")).unwrap();
    let is_kept = || (logged(&world, &format!("is kept in {STATE} again")) == 1).then_some(());
    Deadline::seconds(120).wait_for("the state to be kept", is_kept);
    wait_for_canary();
    assert!(daemon.stop().success());
    assert_eq!(logged(&world, &format!("writing {STATE}")), 1);
    assert!(fs::read_to_string(STATE).unwrap().contains(r#""handled""#));
}

#[test]
fn crontabs_that_change_for_ever_do_not_make_the_state_grow() {
    const ENTRIES: usize = 9_000;
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("canary", CANARY);
    let daemon = world.start_daemon(&[]);
    let state = || fs::read_to_string(STATE).unwrap_or_default();
    for round in 0..6 {
        let entries: String = (0..ENTRIES).map(|entry| format!("0 0 1 1 * : {round} {entry}\n")).collect();
        world.crontab("alice", &format!("CRON_CATCHUP=once\n{entries}CRON_NAME=last-{round}\n@yearly :\n")).ok();
        let last = format!("alice:last-{round}");
        Deadline::seconds(60).wait_for("the entries in the state file", || state().contains(&last).then_some(()));
        wait_for_canary();
        // About 100 bytes an entry: twice the live content, and as much again that is just being replaced.
        assert!(state().len() < 4 << 20, "{}", state().len());
    }
    assert!(daemon.stop().success());
    let daemon = world.start_daemon(&[]);
    wait_for_canary();
    let found = state();
    let records = found.matches("alice:").count();
    assert_eq!((records, found.contains("alice:last-4")), (ENTRIES + 1, false));
    assert!(daemon.stop().success());
}

#[test]
fn a_state_directory_that_cannot_be_written_costs_one_log_line_and_no_job() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("canary", CANARY);
    world.run("mkdir -p /var/lib/cronwheel && mount -t tmpfs -o ro,mode=711 none /var/lib/cronwheel").ok();
    let daemon = world.start_daemon(&[]);
    for _ in 0..3 {
        wait_for_canary();
    }
    assert!(daemon.stop().success());
    assert_eq!(logged(&world, &format!("writing {STATE}: Read-only file system")), 1);
}

#[test]
fn a_slot_that_was_missed_over_a_boot_is_caught_up_once() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let (schedule, due) = once_in(25);
    let entries =
        format!("{schedule} root echo run >>/run/plain\nCRON_CATCHUP=once\n{schedule} root echo run >>{LEDGER}\n");
    world.drop_in("owed", &format!("CRON_TZ=UTC\n{entries}"));
    world.drop_in("canary", CANARY);
    let daemon = world.start_daemon(&[]);
    wait_for_canary();
    assert!(daemon.stop().success());
    wait_until(due + 1);
    for _ in 0..2 {
        // What a boot leaves of the run directory.
        fs::remove_file(RECORD).unwrap();
        let daemon = world.start_daemon(&[]);
        wait_for_lines(LEDGER, 1);
        wait_for_canary();
        assert!(daemon.stop().success());
        assert_eq!((lines(LEDGER), lines("/run/plain")), (1, 0));
    }
}

#[test]
fn a_standalone_daemon_keeps_state_where_it_is_told_to_and_says_once_that_it_keeps_none() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let (schedule, due) = once_in(12);
    fs::write("/tmp/table", format!("CRON_TZ=UTC\nCRON_CATCHUP=once\n{schedule} echo run >>/tmp/runs\n")).unwrap();
    let live = |options: &str| {
        let daemon = world.implementation.daemon();
        world.run_as("alice", &format!("timeout 4 {daemon} {options} /tmp/table")).stderr
    };
    const KEEPS_NONE: &str = "no --state-dir: retries, catch-up and other state of jobs last as long as this process";
    assert_eq!(live("").matches(KEEPS_NONE).count(), 1);
    assert_eq!(live("--state-dir /tmp/state").matches(KEEPS_NONE).count(), 0);
    wait_until(due + 1);
    assert_eq!(lines("/tmp/runs"), 0);
    for options in ["", "--state-dir /tmp/state", "--state-dir /tmp/state"] {
        live(options);
        assert_eq!(lines("/tmp/runs"), usize::from(!options.is_empty()), "{options}");
    }
}
