//! What the owner of a job is told of: mail by policy, hooks, and calls of a web service.

use crate::common::implementation::own;
use crate::common::{Deadline, Implementation, World};
use crate::world;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

/// A sendmail that keeps each mail in a file of its own.
const SENDMAIL: &str = "#!/bin/sh\ncat >/run/mails/$$.part && mv /run/mails/$$.part /run/mails/$$\n";

fn prepare(world: &World) {
    fs::write("/usr/sbin/sendmail", SENDMAIL).expect("a sendmail");
    own("/usr/sbin/sendmail", 0, 0, 0o755);
    world.run("mkdir -m 1777 /run/mails /run/out").ok();
}

fn mails() -> Vec<String> {
    let files = fs::read_dir("/run/mails").expect("mails").filter_map(Result::ok).map(|file| file.path());
    let whole = files.filter(|path| path.extension().is_none());
    let mut mails: Vec<String> = whole.map(|path| fs::read_to_string(path).expect("a mail")).collect();
    mails.sort();
    mails
}

/// A schedule with one slot, a few seconds from now.
fn soon(world: &World) -> String {
    world.run("date -u -d '+4 seconds' '+@quartz %-S %-M %-H * * * *'").ok().trim().to_owned()
}

/// Fails until its third attempt.
const THIRD: &str = "echo try; echo x >>/run/out/$N; test $(wc -l </run/out/$N) -ge 3";

#[test]
fn a_slot_with_retries_is_one_mail_at_most_with_all_attempts() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare(&world);
    let at = soon(&world);
    let table = format!(
        "CRON_TZ=UTC\nCRON_RETRY=2,1s\nCRON_NAME=output\n{at} N=output; {THIRD}\n\
         CRON_MAIL=failure\nCRON_NAME=quiet\n{at} N=quiet; {THIRD}\n\
         CRON_RETRY=1,1s\nCRON_NAME=failing\n{at} echo no; exit 3\n\
         CRON_NAME=silent\n{at} exit 4\n\
         CRON_MAIL=never\nCRON_NAME=never\n{at} echo never; exit 5\n"
    );
    assert!(world.crontab("alice", &table).status.success());
    let daemon = world.start_daemon(&[]);
    let mails = Deadline::seconds(40).wait_for("three mails", || Some(mails()).filter(|mails| mails.len() >= 3));
    let lines = || fs::read_to_string("/run/out/quiet").map_or(0, |text| text.lines().count());
    Deadline::seconds(20).wait_for("the third attempt", || (lines() == 3).then_some(()));
    let of = |name: &str| {
        let head = format!("\nX-Cron-Job: alice:{name}\n");
        mails.iter().find(|mail| mail.contains(&head)).unwrap_or_else(|| panic!("no mail of {name}: {mails:#?}"))
    };
    assert!(of("output").ends_with("\n\nattempt 1: exit 1\ntry\nattempt 2: exit 1\ntry\nattempt 3: exit 0\ntry\n"));
    assert!(of("output").contains("\nX-Cron-Status: exit 0\nX-Cron-Duration: 0."));
    assert!(of("failing").ends_with("\n\nattempt 1: exit 3\nno\nattempt 2: exit 3\nno\n"));
    assert!(of("silent").contains("\nX-Cron-Status: exit 4\n"));
    assert!(daemon.stop().success());
    assert_eq!(self::mails().len(), 3);
}

#[test]
fn a_killed_run_is_mailed_for_its_output_and_never_as_a_failure_whatever_other_rules_the_job_has() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare(&world);
    let at = soon(&world);
    let job = |name: &str| format!("CRON_NAME={name}\n{at} echo begun; echo x >/run/out/{name}; exec sleep 100\n");
    let table = format!(
        "CRON_TZ=UTC\n{}CRON_MAIL=failure\n{}CRON_RETRY=2,1s\n{}CRON_ALERT=1\n{}",
        job("output"),
        job("failure"),
        job("retry"),
        job("alert")
    );
    assert!(world.crontab("alice", &table).status.success());
    let daemon = world.start_daemon(&[]);
    // The job whose output is mailed is the last, so that its mail comes after any of the others.
    for name in ["failure", "retry", "alert", "output"] {
        world.wait_for_file(&format!("/run/out/{name}"), Deadline::seconds(40));
        world.run(&format!("cronctl kill alice:{name}")).ok();
    }
    let ended = || world.log.lines().iter().filter(|line| line.contains("(alice) ENDED (")).count();
    Deadline::seconds(20).wait_for("four ended runs", || (ended() == 4).then_some(()));
    Deadline::seconds(20).wait_for("a mail", || (!mails().is_empty()).then_some(()));
    assert!(daemon.stop().success());
    let mails = mails();
    assert_eq!(mails.len(), 1, "{mails:#?}");
    assert!(mails[0].contains("\nX-Cron-Job: alice:output\nX-Cron-Status: killed by root, signal 15\n"), "{mails:#?}");
    assert!(mails[0].ends_with("\n\nbegun\n"), "{mails:#?}");
}

#[test]
fn hooks_run_as_the_owner_with_the_output_and_a_failing_one_is_one_line() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare(&world);
    let at = soon(&world);
    let table = format!(
        "CRON_TZ=UTC\nMAILTO=\nCRON_NAME=backup\nCRON_ON_FAILURE=(id -un; env; cat) >/run/out/f.part; mv /run/out/f.part /run/out/failed\n\
         {at} echo oops 100\\%; exit 7\n\
         CRON_NAME=fine\nCRON_ON_SUCCESS=exit 9\n{at} true\n"
    );
    assert!(world.crontab("alice", &table).status.success());
    let daemon = world.start_daemon(&[]);
    let hook = world.wait_for_file("/run/out/failed", Deadline::seconds(30));
    assert!(hook.starts_with("alice\n") && hook.ends_with("oops 100%\n"), "{hook}");
    for line in ["CRON_EVENT=failure", "CRON_OUTCOME=failed", "CRON_EXIT_CODE=7", "CRON_JOB=alice:backup"] {
        assert!(hook.lines().any(|other| other == line), "{line}: {hook}");
    }
    for line in ["CRON_FAILURES=1", "CRON_TRIGGER=schedule", "CRON_ATTEMPT=1", "CRON_DURATION_S=0"] {
        assert!(hook.lines().any(|other| other == line), "{line}: {hook}");
    }
    for name in ["CRON_RUN_ID", "CRON_SCHEDULED_AT", "CRON_STARTED_AT", "CRON_ENDED_AT", "CRON_COMMAND"] {
        assert!(hook.contains(&format!("\n{name}=")), "{name}: {hook}");
    }
    world.log.wait_for("(alice) HOOK FAILED (exit 9) exit 9", Deadline::seconds(20));
    assert!(daemon.stop().success());
}

#[test]
fn an_account_that_pam_refuses_has_no_hook_and_no_ping_and_others_have_theirs_in_a_session() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare(&world);
    fs::write("/etc/security/access.conf", "-:alice:ALL\n").expect("access.conf");
    fs::write("/etc/security/limits.conf", "bob hard nofile 77\n").expect("limits.conf");
    let service = "account required pam_access.so\nsession required pam_limits.so\n";
    fs::write("/etc/pam.d/cron", service).expect("a service");
    let at = soon(&world);
    let table = format!(
        "CRON_TZ=UTC\nMAILTO=\nCRON_PING=http://127.0.0.1:9/ping\nCRON_ON_FAILURE=echo ran >/run/out/$LOGNAME.part; \
         (ulimit -n; id -un; cat) >>/run/out/$LOGNAME.part; mv /run/out/$LOGNAME.part /run/out/$LOGNAME\n\
         {at} echo oops; exit 1\n"
    );
    assert!(world.crontab("alice", &table).status.success());
    assert!(world.crontab("bob", &table.replace("CRON_PING=http://127.0.0.1:9/ping\n", "")).status.success());
    let daemon = world.start_daemon(&[]);
    assert_eq!(world.wait_for_file("/run/out/bob", Deadline::seconds(30)), "ran\n77\nbob\noops\n");
    let refusal = " could not be started: pam_acct_mgmt: Permission denied";
    let lines = |event: &str| {
        let lines = world.log.lines();
        lines.iter().filter(|line| line.contains(event) && line.ends_with(refusal)).count()
    };
    Deadline::seconds(20).wait_for("the refused hook", || (lines("(alice) HOOK FAILED (") == 1).then_some(()));
    Deadline::seconds(20).wait_for("the refused ping", || (lines("(alice) PING FAILED (") == 1).then_some(()));
    assert!(daemon.stop().success());
    assert_eq!((lines("HOOK FAILED"), lines("PING FAILED")), (1, 1));
    assert!(!std::path::Path::new("/run/out/alice").exists() && !std::path::Path::new("/run/out/alice.part").exists());
}

#[test]
fn the_third_failure_in_a_row_is_notified_once_and_so_is_the_recovery() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare(&world);
    let table = "MAILTO=\nCRON_ALERT=3\nCRON_ON_FAILURE=echo $CRON_FAILURES >>/run/out/failures\n\
                 CRON_ON_RECOVERY=echo recovered >>/run/out/recoveries\n\
                 @every_second echo x >>/run/out/runs; test -e /run/out/well && echo x >>/run/out/good\n";
    assert!(world.crontab("alice", table).status.success());
    let daemon = world.start_daemon(&[]);
    let lines = |name: &str| fs::read_to_string(format!("/run/out/{name}")).map_or(0, |text| text.lines().count());
    Deadline::seconds(30).wait_for("five runs", || (lines("runs") >= 5).then_some(()));
    assert_eq!(world.wait_for_file("/run/out/failures", Deadline::seconds(20)), "3\n");
    assert_eq!(lines("recoveries"), 0);
    fs::write("/run/out/well", "").expect("a file");
    Deadline::seconds(30).wait_for("three successes", || (lines("good") >= 3).then_some(()));
    world.wait_for_file("/run/out/recoveries", Deadline::seconds(20));
    assert!(daemon.stop().success());
    assert_eq!((lines("failures"), lines("recoveries")), (1, 1));
}

#[test]
fn a_web_service_is_told_of_starts_successes_and_final_failures() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare(&world);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (told, heard) = mpsc::channel();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.expect("a connection");
            connection.set_read_timeout(Some(Duration::from_secs(10))).expect("a time limit");
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            // The bodies of the test are short and end with `end`.
            let is_whole = |request: &[u8]| {
                let text = String::from_utf8_lossy(request).into_owned();
                text.contains("\r\n\r\n") && (text.starts_with("GET") || text.ends_with("end\n"))
            };
            while !is_whole(&request) {
                match connection.read(&mut buffer) {
                    Ok(count) if count > 0 => request.extend_from_slice(&buffer[..count]),
                    _ => break,
                }
            }
            connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok();
            told.send(String::from_utf8_lossy(&request).into_owned()).ok();
        }
    });
    let at = soon(&world);
    let table = format!(
        "CRON_TZ=UTC\nMAILTO=\nCRON_PING=http://127.0.0.1:{port}/good\n{at} echo quiet\n\
         CRON_PING=http://127.0.0.1:{port}/bad?a=b,output\nCRON_RETRY=1,1s\n{at} echo the end; exit 1\n"
    );
    assert!(world.crontab("alice", &table).status.success());
    let daemon = world.start_daemon(&[]);
    let mut requests: Vec<String> =
        (0..4).map(|_| heard.recv_timeout(Duration::from_secs(60)).expect("a request")).collect();
    requests.sort();
    let targets: Vec<&str> = requests.iter().filter_map(|text| text.lines().next()).collect();
    let rid = |text: &str| text.split("rid=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or("").to_owned();
    assert!(targets[0].starts_with("GET /bad/start?a=b&rid="), "{targets:#?}");
    assert!(targets[1].starts_with("GET /good/start?rid="), "{targets:#?}");
    assert!(targets[2].starts_with("GET /good?rid="), "{targets:#?}");
    assert!(targets[3].starts_with("POST /bad/fail?a=b&rid="), "{targets:#?}");
    assert!(requests[3].ends_with("\r\n\r\nthe end\n"), "{}", requests[3]);
    assert_eq!((rid(targets[0]), rid(targets[1])), (rid(targets[3]), rid(targets[2])));
    assert_eq!(rid(targets[0]).len(), 36);
    assert!(daemon.stop().success());
    assert!(heard.try_recv().is_err(), "four requests");
}

#[test]
fn only_cronctl_can_speak_tls() {
    let programs = [
        (env!("CARGO_BIN_EXE_crond"), false),
        (env!("CARGO_BIN_EXE_crontab"), false),
        (env!("CARGO_BIN_EXE_cronctl"), true),
    ];
    for (path, expected) in programs {
        let program = fs::read(path).expect("a program");
        // A label of the TLS library that is in every program into which its code is linked.
        let has_tls = memchr::memmem::find(&program, b"CLIENT_RANDOM").is_some();
        assert_eq!(has_tls, expected, "{path}");
    }
}

#[test]
fn mail_that_main_decides_about_is_sent_for_runs_that_end_while_no_main_is_there() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare(&world);
    let wait = "while ! test -e /run/out/go; do sleep 0.1; done";
    let at = soon(&world);
    let table = format!(
        "CRON_TZ=UTC\nCRON_MAIL=change\nCRON_NAME=changed\n{at} echo x >>/run/out/begun; {wait}; echo new\n\
         CRON_MAIL=default\nCRON_ALERT=1\nCRON_NAME=alert\n{at} echo x >>/run/out/begun; {wait}; echo bad; exit 5\n\
         CRON_ALERT=2\nCRON_NAME=once\n{at} echo x >>/run/out/begun; {wait}; echo first; exit 6\n"
    );
    assert!(world.crontab("alice", &table).status.success());
    let mut daemon = world.start_daemon(&[]);
    let begun = || fs::read_to_string("/run/out/begun").map_or(0, |text| text.lines().count());
    Deadline::seconds(30).wait_for("three jobs", || (begun() == 3).then_some(()));
    daemon.signal(nix::sys::signal::Signal::SIGKILL);
    daemon.end(Deadline::seconds(10));
    fs::write("/run/out/go", "").expect("a file");
    let jobs = || world.processes().iter().filter(|process| process.line.contains("/run/out/go")).count();
    Deadline::seconds(20).wait_for("the end of the jobs", || (jobs() == 0).then_some(()));
    assert!(mails().is_empty(), "nobody has decided: {:#?}", mails());
    let daemon = world.start_daemon(&[]);
    let mails = Deadline::seconds(20).wait_for("two mails", || Some(mails()).filter(|mails| mails.len() >= 2));
    let has = |name: &str, end: &str| {
        let head = format!("\nX-Cron-Job: alice:{name}\n");
        assert!(mails.iter().any(|mail| mail.contains(&head) && mail.ends_with(end)), "{name}: {mails:#?}");
    };
    has("changed", "\n\nnew\n");
    has("alert", "\n\nbad\n");
    assert!(daemon.stop().success());
    assert_eq!(self::mails().len(), 2, "the first of two failures is no incident");
    let executors = || world.processes().iter().filter(|process| process.name.contains("executor")).count();
    Deadline::seconds(20).wait_for("the end of the executors", || (executors() == 0).then_some(()));
}

#[test]
fn an_executor_without_a_daemon_sends_held_mail_at_a_shutdown_and_holds_no_more() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare(&world);
    let at = soon(&world);
    let job = |name: &str| {
        let wait = format!("while ! test -e /run/out/{name}; do sleep 0.1; done");
        format!("CRON_NAME={name}\n{at} echo x >>/run/out/begun; {wait}; echo of {name}\n")
    };
    let table = format!("CRON_TZ=UTC\nCRON_MAIL=change\n{}{}", job("first"), job("second"));
    assert!(world.crontab("alice", &table).status.success());
    let mut daemon = world.start_daemon(&[]);
    let begun = || fs::read_to_string("/run/out/begun").map_or(0, |text| text.lines().count());
    Deadline::seconds(30).wait_for("two jobs", || (begun() == 2).then_some(()));
    daemon.signal(nix::sys::signal::Signal::SIGKILL);
    daemon.end(Deadline::seconds(10));
    fs::write("/run/out/first", "").expect("a file");
    let runs = |name: &str| world.processes().iter().any(|process| process.line.contains(name));
    Deadline::seconds(20).wait_for("the first end", || (!runs("/run/out/first;")).then_some(()));
    let executor = || world.processes().into_iter().find(|process| process.name.contains("executor"));
    assert!(mails().is_empty(), "nobody has decided: {:#?}", mails());
    let pid = executor().expect("the executor").pid;
    let pid = nix::unistd::Pid::from_raw(pid.try_into().expect("a process id"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("a signal");
    let sent = |count: usize| {
        Deadline::seconds(20).wait_for("the mail", || Some(mails()).filter(|mails| mails.len() >= count))
    };
    assert!(sent(1)[0].ends_with("\n\nof first\n"), "{:#?}", mails());
    fs::write("/run/out/second", "").expect("a file");
    assert!(sent(2).iter().any(|mail| mail.ends_with("\n\nof second\n")), "{:#?}", mails());
    Deadline::seconds(20).wait_for("the end of the executor", || executor().is_none().then_some(()));
}

#[test]
fn a_hook_does_not_see_what_the_caller_of_a_standalone_daemon_has_set() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare(&world);
    let table = "CRON_ON_FAILURE=env >/run/out/h.part; mv /run/out/h.part /run/out/hook\n@reboot kill -9 $$\n";
    fs::write("/run/out/table", table).expect("a table");
    let inherited = "CRON_EVENT=success CRON_OUTCOME=ok CRON_EXIT_CODE=0 CRON_JOB=x CRON_COMMAND=y CRON_SIGNAL=1";
    let mut daemon =
        world.command_as("alice", &format!("{inherited} exec crond /run/out/table")).spawn().expect("crond");
    let hook = world.wait_for_file("/run/out/hook", Deadline::seconds(30));
    for line in ["CRON_EVENT=failure", "CRON_OUTCOME=signal", "CRON_SIGNAL=9", "CRON_COMMAND=kill -9 $$"] {
        assert!(hook.lines().any(|other| other == line), "{line}: {hook}");
    }
    assert!(!hook.contains("CRON_EXIT_CODE="), "{hook}");
    daemon.kill().expect("the daemon's end");
    daemon.wait().expect("the daemon's end");
}

#[test]
fn a_group_holds_a_job_back_a_chain_follows_both_and_the_late_notice_comes_meanwhile() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare(&world);
    let at = soon(&world);
    let hold = "until test -e /run/out/go; do sleep 0.1; done";
    let table = format!(
        "CRON_TZ=UTC\nCRON_GROUP=disk\nCRON_NAME=one\n{at} echo one begins >>/run/out/ran; {hold}; echo one ends >>/run/out/ran\n\
         CRON_NAME=two\n{at} echo two >>/run/out/ran\n\
         CRON_GROUP=default\nCRON_NAME=three\n@after one,two echo three >>/run/out/ran\n\
         CRON_LATE=2s\nCRON_ON_LATE=echo \"late: $CRON_JOB\" >>/run/out/ran\nCRON_NAME=slow\n{at} {hold}\n"
    );
    assert!(world.crontab("alice", &table).status.success());
    let daemon = world.start_daemon(&[]);
    let ran = || fs::read_to_string("/run/out/ran").unwrap_or_default();
    Deadline::seconds(40).wait_for("the notice", || ran().contains("late: alice:slow\n").then_some(()));
    assert_eq!(ran(), "one begins\nlate: alice:slow\n", "the other one waits for its place");
    world.run("touch /run/out/go").ok();
    Deadline::seconds(40).wait_for("the chain", || ran().contains("three\n").then_some(()));
    assert_eq!(ran(), "one begins\nlate: alice:slow\none ends\ntwo\nthree\n");
    assert!(daemon.stop().success());
}
