//! Where the log goes: stand-ins for the journal and for a syslog daemon of the old kind, each a real socket in the place
//! where programs look for it. (`tests/package` asks the real journal.)

use crate::common::clock::{now, wait_until};
use crate::common::{Deadline, Implementation};
use crate::world;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, IoSliceMut};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

/// The fields of a record of the journal.
type Entry = BTreeMap<String, String>;

/// Sockets where journald has its own, and its entries as they come.
struct Journal {
    socket: UnixDatagram,
    /// What came as lines of syslog instead.
    lines: UnixDatagram,
}

impl Journal {
    /// With `/dev/log` as systemd sets it up.
    fn stand_in() -> Journal {
        fs::create_dir_all("/run/systemd/journal").expect("a directory in memory");
        fs::remove_file("/dev/log").expect("the socket of before");
        symlink("/run/systemd/journal/dev-log", "/dev/log").expect("/dev/log");
        let [socket, lines] = ["socket", "dev-log"].map(|name| {
            let path = Path::new("/run/systemd/journal").join(name);
            let socket = UnixDatagram::bind(&path).expect("a socket");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("its mode");
            socket
        });
        Journal { socket, lines }
    }

    /// The next entry, and whether it came in a file.
    fn next(&self) -> (Entry, bool) {
        let mut packet = vec![0; 1 << 18];
        let mut control = nix::cmsg_space!(i32);
        let (size, file) = {
            let mut room = [IoSliceMut::new(&mut packet)];
            let received =
                recvmsg::<()>(self.socket.as_raw_fd(), &mut room, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)
                    .expect("an entry");
            let file = received.cmsgs().expect("what came along").find_map(|part| match part {
                ControlMessageOwned::ScmRights(numbers) => numbers.first().copied(),
                _ => None,
            });
            (received.bytes, file)
        };
        match file {
            Some(number) => {
                let bytes = fs::read(format!("/proc/self/fd/{number}")).expect("the entry's file");
                nix::unistd::close(number).expect("its descriptor");
                (parse(&bytes), true)
            }
            None => (parse(&packet[..size]), false),
        }
    }

    /// The next entry with that event, whatever comes before it.
    fn wait_for(&self, event: &str) -> (Entry, bool) {
        let limit = std::time::Duration::from_secs(30);
        self.socket.set_read_timeout(Some(limit)).expect("a time limit");
        loop {
            let (entry, in_file) = self.next();
            if entry.get("CRON_EVENT").is_some_and(|found| found == event) {
                return (entry, in_file);
            }
        }
    }

    /// Nothing of ours may come as a line.
    fn lines(&self) -> Vec<String> {
        self.lines.set_nonblocking(true).expect("a socket");
        let mut packet = vec![0; 1 << 16];
        std::iter::from_fn(|| {
            let size = self.lines.recv(&mut packet).ok()?;
            Some(String::from_utf8_lossy(&packet[..size]).into_owned())
        })
        .collect()
    }
}

/// Takes an entry apart as systemd describes it: `NAME=VALUE` and a newline, or `NAME`, a newline, the value's length in
/// eight bytes, the value and a newline.
fn parse(mut bytes: &[u8]) -> Entry {
    let mut entry = Entry::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| *byte == b'\n').expect("a newline");
        let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
        let (name, value) = match line.iter().position(|byte| *byte == b'=') {
            Some(at) => {
                bytes = rest;
                (&line[..at], &line[at + 1..])
            }
            None => {
                let (length, rest) = rest.split_first_chunk::<8>().expect("a length");
                let (value, rest) = rest.split_at(usize::try_from(u64::from_le_bytes(*length)).expect("a length"));
                bytes = rest.strip_prefix(b"\n").expect("a newline behind the value");
                (line, value)
            }
        };
        let is_name = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
        assert!(name.iter().all(is_name) && name[0].is_ascii_uppercase(), "{}", String::from_utf8_lossy(name));
        let [name, value] = [name, value].map(|part| String::from_utf8_lossy(part).into_owned());
        assert!(entry.insert(name.clone(), value).is_none(), "{name} comes twice");
    }
    entry
}

/// The values of the named fields of an entry.
fn of<'a>(entry: &'a Entry, names: &[&str]) -> Vec<&'a str> {
    names.iter().map(|name| entry.get(*name).map_or("(none)", String::as_str)).collect()
}

#[test]
fn the_journals_stand_in_gets_each_record_with_the_fields_of_the_json_log() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let journal = Journal::stand_in();
    world.drop_in("early", "CRON_NAME=early\n@reboot alice touch /tmp/ran; exit 3\n");
    let daemon = world.start_daemon(&["-L", "7"]);
    let (begun, _) = journal.wait_for("CMD");
    let names =
        ["MESSAGE", "PRIORITY", "SYSLOG_FACILITY", "SYSLOG_IDENTIFIER", "CRON_JOB", "CRON_USER", "CRON_COMMAND"];
    let command = "touch /tmp/ran; exit 3";
    let text = format!("(alice) CMD ({command})");
    let wanted = [&text, "6", "9", "CRON", "alice:early", "alice", command];
    assert_eq!(of(&begun, &names), wanted);
    let (failed, _) = journal.wait_for("FAILED");
    let took = &failed["CRON_DURATION_MS"];
    assert_eq!(
        failed["MESSAGE"],
        format!("(alice) FAILED ({command}) exit 3 after {:.1}s", took.parse::<f64>().expect("a number") / 1000.0)
    );
    let same = ["SYSLOG_PID", "CRON_PID", "CRON_RUN_ID", "CRON_SCHEDULED_AT", "CRON_JOB"];
    assert_eq!(of(&failed, &same), of(&begun, &same));
    assert_eq!(
        of(&failed, &["PRIORITY", "CRON_EXIT_CODE", "CRON_SOURCE", "CRON_LINE"]),
        ["4", "3", "/etc/cron.d/early", "2"]
    );
    let (ended, _) = journal.wait_for("END");
    assert_eq!(of(&ended, &["MESSAGE", "CRON_EXIT_CODE"]), [&format!("(alice) END ({command})"), "3"]);

    world.crontab("bob", "@daily true\n").ok();
    let (replaced, _) = journal.wait_for("REPLACE");
    assert_eq!(of(&replaced, &["MESSAGE", "SYSLOG_IDENTIFIER"]), ["(bob) REPLACE (bob)", "crontab"]);
    let ours = journal.lines().into_iter().filter(|line| line.contains("alice) ")).collect::<Vec<_>>();
    assert_eq!(ours, [""; 0], "nothing comes twice");

    // The same job, its fields as JSON.
    daemon.stop();
    for path in [world.implementation.reboot_marker(), "/tmp/ran"] {
        fs::remove_file(path).expect("a file to be made again");
    }
    let mut daemon = world.start_daemon(&["-L", "7", "--log", "json"]);
    Deadline::seconds(30).wait_for("the job", || Path::new("/tmp/ran").exists().then_some(()));
    daemon.signal(Signal::SIGTERM);
    daemon.end(Deadline::seconds(20));
    // Up to the end of its executor.
    let told = daemon.last_words();
    let json = told
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find(|record| record["event"] == "FAILED")
        .expect("the failure as JSON");
    let names: BTreeSet<String> = json
        .as_object()
        .expect("an object")
        .keys()
        // The journal has them under names of its own.
        .filter(|name| !["time", "level"].contains(&name.as_str()))
        .map(|name| format!("CRON_{}", name.to_ascii_uppercase()))
        .collect();
    let fields: BTreeSet<String> = failed.into_keys().filter(|name| name.starts_with("CRON_")).collect();
    assert_eq!(names, fields);
}

#[test]
fn the_log_says_how_late_a_job_was_started() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    // The daemon is ready before.
    let due = now().as_secs() + 20;
    let (second, minute, hour) = (due % 60, due / 60 % 60, due / 3600 % 24);
    world.drop_in("late", &format!("CRON_TZ=UTC\n@quartz {second} {minute} {hour} * * * * root touch /tmp/ran\n"));
    let mut daemon = world.start_daemon(&["-L", "7", "--log", "json"]);
    daemon.signal(Signal::SIGSTOP);
    wait_until(due + 3);
    daemon.signal(Signal::SIGCONT);
    Deadline::seconds(30).wait_for("the job", || Path::new("/tmp/ran").exists().then_some(()));
    let before_ms = i64::try_from(now().as_millis()).expect("a time") - i64::try_from(due * 1000).expect("a time");
    daemon.signal(Signal::SIGTERM);
    daemon.end(Deadline::seconds(20));
    let told = daemon.last_words();
    let records = told.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let begun = records.filter(|record| record["event"] == "CMD").collect::<Vec<_>>();
    assert_eq!(begun.len(), 1, "{told}");
    let late_ms = begun[0]["late_ms"].as_i64().expect("a number");
    assert!((3_000..=before_ms).contains(&late_ms), "{late_ms} ms, and at most {before_ms}");
}

#[test]
fn the_journals_stand_in_gets_an_entry_too_big_for_a_datagram_in_a_file() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    let journal = Journal::stand_in();
    let command = format!("touch /run/ran-long; : {}", "x".repeat(120_000));
    world.drop_in("long", &format!("@reboot root {command}\n"));
    let _daemon = world.start_daemon(&[]);
    let (entry, in_file) = journal.wait_for("CMD");
    assert!(in_file, "three times the command is more than a datagram takes");
    assert_eq!(entry["MESSAGE"], format!("(root) CMD ({command})"));
    assert_eq!(of(&entry, &["CRON_COMMAND", "SYSLOG_IDENTIFIER"]), [command.as_str(), "CROND"]);
    Deadline::seconds(30).wait_for("the job", || Path::new("/run/ran-long").exists().then_some(()));
}

#[test]
fn a_journals_stand_in_that_does_not_read_holds_no_job_up_and_gets_everything_later() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let journal = Journal::stand_in();
    let jobs = 300;
    let lines: String = (0..jobs).map(|n| format!("@reboot root echo {n} >>/run/ran\n")).collect();
    world.drop_in("many", &lines);
    let _daemon = world.start_daemon(&[]);
    Deadline::seconds(60).wait_for("all jobs", || {
        (fs::read_to_string("/run/ran").unwrap_or_default().lines().count() == jobs).then_some(())
    });
    let mut heard: Vec<String> = (0..jobs).map(|_| journal.wait_for("CMD").0["CRON_LINE"].clone()).collect();
    heard.sort_by_key(|line| line.parse::<usize>().expect("a line"));
    assert_eq!(heard, (1..=jobs).map(|line| line.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_service_whose_standard_error_is_the_journals_tells_its_stand_in_instead() {
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    let journal = Journal::stand_in();
    // A name with a newline: its length comes with it.
    let table = "/home/alice/two\nlines";
    fs::write(table, "@reboot exit 4\n").expect("a table");
    let stderr = File::create("/run/stderr").expect("a file");
    let of_stderr = stderr.metadata().expect("the file");
    let run = |stream: &str| {
        let mut daemon = Command::new("/usr/sbin/crond")
            .arg(table)
            .env("JOURNAL_STREAM", stream)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr.try_clone().expect("the file again"))
            .spawn()
            .expect("crond");
        move || {
            let pid = nix::unistd::Pid::from_raw(i32::try_from(daemon.id()).expect("a process id"));
            kill(pid, Signal::SIGTERM).expect("the daemon to be there");
            assert!(daemon.wait().expect("its end").success());
        }
    };

    let mut stop = run(&format!("{}:{}", of_stderr.dev(), of_stderr.ino()));
    let (failed, _) = journal.wait_for("FAILED");
    assert_eq!(of(&failed, &["CRON_SOURCE", "CRON_EXIT_CODE", "SYSLOG_IDENTIFIER"]), [table, "4", "CRON"]);
    stop();
    assert_eq!(fs::read_to_string("/run/stderr").expect("the file"), "");

    let mut stop = run("1:2");
    Deadline::seconds(30).wait_for("the failure on standard error", || {
        fs::read_to_string("/run/stderr").expect("the file").contains(" FAILED (exit 4) exit 4 after ").then_some(())
    });
    stop();
}

#[test]
fn where_a_syslog_daemon_is_handed_a_copy_the_journals_stand_in_gets_lines() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let journal = Journal::stand_in();
    let daemon = world.start_daemon(&[]);
    let started = "(CRON) INFO (pidfile fd = ";
    assert!(journal.wait_for("INFO").0["MESSAGE"].starts_with(started));
    // Tables have been read for the first time.
    assert!(journal.wait_for("INFO").0["MESSAGE"].contains("@reboot jobs"));
    let _copy = UnixDatagram::bind("/run/systemd/journal/syslog").expect("a syslog daemon's socket");
    // From the next scan on.
    daemon.signal(Signal::SIGHUP);
    world.drop_in("bad", "rubbish\n");
    Deadline::seconds(30)
        .wait_for("a line", || journal.lines().iter().any(|line| line.contains("(*system*bad) ERROR (")).then_some(()));
    daemon.stop();
    // And of course from the start.
    world.start_daemon(&[]).stop();
    let lines = journal.lines();
    assert!(lines.iter().any(|line| line.contains(" cron[") && line.contains(started)), "{lines:?}");
}

#[test]
fn a_stand_in_for_an_old_syslog_daemon_gets_lines_on_a_stream() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    fs::remove_file("/dev/log").expect("the socket of before");
    let listener = UnixListener::bind("/dev/log").expect("a socket");
    fs::set_permissions("/dev/log", fs::Permissions::from_mode(0o666)).expect("its mode");
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = heard.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, kept) = (stream.expect("a caller"), kept.clone());
            std::thread::spawn(move || {
                for record in BufReader::new(stream).split(0) {
                    let line = String::from_utf8_lossy(&record.expect("a record")).into_owned();
                    kept.lock().expect("the reader").push(line);
                }
            });
        }
    });
    let has = |part: &str| {
        Deadline::seconds(30).wait_for(part, || {
            heard.lock().expect("the reader").iter().any(|line: &String| line.contains(part)).then_some(())
        });
    };
    world.drop_in("early", "@reboot alice exit 3\n");
    let daemon = world.start_daemon(&[]);
    has("(CRON) INFO (pidfile fd = ");
    has("(alice) CMD (exit 3)");
    has("(alice) FAILED (exit 3) exit 3 after ");
    world.crontab("bob", "@daily true\n").ok();
    has("(bob) REPLACE (bob)");
    daemon.stop();
    let heard = heard.lock().expect("the reader").clone();
    assert!(heard.iter().all(|line| line.starts_with('<') && !line.contains('\n')), "{heard:#?}");
}

#[test]
fn after_a_hup_jobs_are_logged_to_the_log_that_is_there_now() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("job", "@every_second root true\n");
    let daemon = world.start_daemon(&[]);
    world.log.wait_for("(root) CMD (true)", Deadline::seconds(20));
    // The old socket goes on taking what is sent to it.
    fs::rename("/dev/log", "/dev/log.old").expect("the socket of before");
    let log = UnixDatagram::bind("/dev/log").expect("another log");
    fs::set_permissions("/dev/log", fs::Permissions::from_mode(0o666)).expect("its mode");
    log.set_nonblocking(true).expect("a socket");
    daemon.signal(Signal::SIGHUP);
    let mut packet = [0; 4096];
    let mut has = |part: &str| {
        Deadline::seconds(30).wait_for(part, || {
            let length = log.recv(&mut packet).ok()?;
            String::from_utf8_lossy(&packet[..length]).contains(part).then_some(())
        });
    };
    has("(root) CMD (true)");
    assert!(daemon.stop().success());
}
