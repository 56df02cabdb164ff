//! The control socket: who may see and do what, and clients that try to keep the daemon from its work.

use super::{memory, wait_for_canary};
use crate::common::{Daemon, Deadline, Implementation, World};
use crate::world;
use std::fs;
use std::process::Stdio;

/// A client in Python: calls a method with arguments in JSON, and prints a line for each reply: the name of the error, or the result.
const CLIENT: &str = r#"
import json, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect("/run/cronwheel/io.cronwheel.Cron")
call = {"method": sys.argv[1] if "." in sys.argv[1] else "io.cronwheel.Cron." + sys.argv[1], "parameters": json.loads(sys.argv[2])}
if "more" in sys.argv[3:]:
    call["more"] = True
connection.sendall(json.dumps(call).encode() + b"\0")
text = b""
while True:
    while b"\0" not in text:
        piece = connection.recv(1 << 16)
        if not piece:
            print("closed")
            sys.exit()
        text += piece
    message, text = text.split(b"\0", 1)
    reply = json.loads(message)
    print(reply.get("error", "").rsplit(".", 1)[-1] or json.dumps(reply["parameters"], sort_keys=True), flush=True)
    if not reply.get("continues"):
        break
"#;

/// Clients of one user that try all they can; the argument says what.
const HOSTILE: &str = r#"
import json, os, socket, sys, time
path = "/run/cronwheel/io.cronwheel.Cron"
def connect():
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    return connection
call = lambda method, **rest: json.dumps({"method": "io.cronwheel.Cron." + method, **rest}).encode() + b"\0"
end = time.time() + 12
if sys.argv[1] == "connections":
    # Ten thousand, each with half a request.
    for number in range(10000):
        try:
            kept = connect()
            kept.sendall(b'{"method":')
        except OSError:
            pass
elif sys.argv[1] == "long":
    # A request of a gigabyte, over and over.
    while time.time() < end:
        try:
            connection = connect()
            for _ in range(1 << 14):
                connection.sendall(b"x" * (1 << 16))
        except OSError:
            pass
elif sys.argv[1] == "nested":
    while time.time() < end:
        try:
            connection = connect()
            connection.sendall(b'{"method":"io.cronwheel.Cron.List","parameters":' + b"[" * 60000 + b"\0")
            connection.recv(1)
        except OSError:
            pass
elif sys.argv[1] == "flood":
    while time.time() < end:
        try:
            connection = connect()
            while time.time() < end:
                connection.sendall(call("Status") * 100)
                connection.recv(1 << 16)
        except OSError:
            pass
elif sys.argv[1] == "unread":
    # They ask for everything and read nothing.
    kept = []
    while time.time() < end:
        try:
            connection = connect()
            connection.sendall(call("List", more=True) if len(kept) % 2 else call("Events", more=True))
            kept.append(connection)
        except OSError:
            time.sleep(0.05)
        kept = kept[-200:]
"#;

/// What a user's call is answered with, a line a reply.
fn call(world: &World, user: &str, method: &str, arguments: &str) -> String {
    let shown = world.run_as(user, &format!("python3 /run/client.py {method} '{arguments}'"));
    shown.ok().trim_end().to_owned()
}

fn prepare(world: &World) {
    fs::write("/run/client.py", CLIENT).unwrap();
    fs::write("/run/hostile.py", HOSTILE).unwrap();
    world.run("chmod 644 /run/client.py /run/hostile.py").ok();
}

fn wait_for_socket() {
    let made = || fs::exists("/run/cronwheel/io.cronwheel.Cron").unwrap().then_some(());
    Deadline::seconds(20).wait_for("the control socket", made);
}

/// The number of the one run in progress of a job.
fn run_of(world: &World, job: &str) -> u64 {
    let listed = call(world, "root", "List", &format!(r#"{{"filter":{{"jobs":["{job}"]}}}}"#));
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    listed["jobs"][0]["running"][0]["run"].as_u64().unwrap()
}

#[test]
fn each_method_is_for_those_whom_the_table_of_rights_names() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare(&world);
    world.run("groupadd operators; groupadd viewers; useradd -M -G operators otto; useradd -M -G viewers vera").ok();
    fs::write("/etc/cronwheel.toml", "profile = 'debian'\ncontrol-group = 'operators'\nview-group = 'viewers'\n")
        .unwrap();
    world.crontab("alice", "SECRET=hush\nCRON_NAME=own\n@reboot sleep 600\nCRON_NAME=idle\n@yearly true\n").ok();
    world.drop_in(
        "x",
        "SECRET=hush\nCRON_NAME=of-system\n@reboot alice sleep 600\nCRON_NAME=of-root\n@yearly root true\n",
    );
    let daemon = world.start_daemon(&[]);
    wait_for_socket();
    let running = || call(&world, "root", "List", r#"{"filter":{"state":"running"}}"#).matches("\"state\"").count();
    Deadline::seconds(20).wait_for("both jobs", || (running() == 2).then_some(()));

    let names = |user: &str| {
        let listed: serde_json::Value = serde_json::from_str(&call(&world, user, "List", "{}")).unwrap();
        let mut names: Vec<String> =
            listed["jobs"].as_array().unwrap().iter().map(|job| job["job"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names.join(" ")
    };
    let all = "alice:idle alice:of-system alice:own root:of-root";
    for (user, seen) in [
        ("root", all),
        ("otto", all),
        ("vera", all),
        ("alice", "alice:idle alice:of-system alice:own"),
        ("bob", ""),
        // The overflow uid has no jobs, whatever it is called.
        ("nobody", ""),
    ] {
        assert_eq!(names(user), seen, "{user}");
    }

    // (job of alice's table, entry of a system table that runs as alice, job of root) for each user.
    let until = "2026-12-01T00:00:00Z";
    let soon = world.run("date -u -d '+1 day' +%Y-%m-%dT%H:%M:%SZ").ok();
    assert!(soon.trim() != until);
    let soon = soon.trim();
    let (missing, refused, done) = ("NoSuchJob", "NotAllowed", "");
    for (method, users) in [
        (
            "Show",
            [("bob", [missing; 3]), ("alice", [done, refused, missing]), ("vera", [done; 3]), ("otto", [done; 3])],
        ),
        ("Why", [("bob", [missing; 3]), ("alice", [done, done, missing]), ("vera", [done; 3]), ("otto", [done; 3])]),
        (
            "Pause",
            [("bob", [missing; 3]), ("alice", [done, refused, missing]), ("vera", [refused; 3]), ("otto", [done; 3])],
        ),
        // The control group has paused them last, so that they are not alice's to resume.
        (
            "Resume",
            [
                ("bob", [missing; 3]),
                ("alice", [refused, refused, missing]),
                ("vera", [refused; 3]),
                ("otto", [done; 3]),
            ],
        ),
        (
            "Run",
            [("bob", [missing; 3]), ("alice", [done, refused, missing]), ("vera", [refused; 3]), ("otto", [done; 3])],
        ),
    ] {
        for (user, answers) in users {
            for (job, expected) in ["alice:idle", "alice:of-system", "root:of-root"].into_iter().zip(answers) {
                let arguments = match method {
                    "Pause" => format!(r#"{{"jobs":["{job}"],"until":"{soon}"}}"#),
                    "Resume" => format!(r#"{{"jobs":["{job}"]}}"#),
                    _ => format!(r#"{{"job":"{job}"}}"#),
                };
                let answer = call(&world, user, method, &arguments);
                match expected {
                    "" => assert!(answer.starts_with('{'), "{method} {job} by {user}: {answer}"),
                    error => assert_eq!(answer, error, "{method} {job} by {user}"),
                }
            }
        }
    }
    // The environment of system entries is root's.
    assert!(call(&world, "alice", "Show", r#"{"job":"alice:own"}"#).contains("hush"));
    assert!(call(&world, "vera", "Show", r#"{"job":"alice:of-system"}"#).contains("hush"));

    // What runs as alice she may end, and nobody else but root and the control group.
    let (own, of_system) = (run_of(&world, "alice:own"), run_of(&world, "alice:of-system"));
    for run in [own, of_system] {
        for user in ["bob", "nobody", "vera"] {
            let answer = call(&world, user, "Kill", &format!(r#"{{"run":{run}}}"#));
            assert_eq!(answer, if user == "vera" { "NotAllowed" } else { "NoSuchRun" }, "{user}");
        }
        let output = call(&world, "bob", "Output", &format!(r#"{{"run":{run}}}"#));
        assert_eq!(output, "ExpectedMore");
        assert_eq!(call(&world, "alice", "Kill", &format!(r#"{{"run":{run}}}"#)), format!(r#"{{"run": {run}}}"#));
        let gone = || (call(&world, "root", "Kill", &format!(r#"{{"run":{run}}}"#)) == "NoSuchRun").then_some(());
        Deadline::seconds(20).wait_for("the end of the run", gone);
    }
    assert_eq!(call(&world, "alice", "Kill", r#"{"run":1}"#), "NoSuchRun");
    for (forged, error) in [
        ("nope.List", "InterfaceNotFound"),
        ("io.cronwheel.Cron.Nope", "MethodNotFound"),
        ("io.cronwheel.History.Runs", "InterfaceNotFound"),
    ] {
        assert_eq!(call(&world, "bob", forged, "{}"), error);
    }
    let said = world.log.lines();
    let line = |part: &str| said.iter().any(|line| line.contains(part));
    assert!(line("(otto) PAUSE (root:of-root until "), "{said:#?}");
    assert!(line("(alice) KILL (alice:own run "), "{said:#?}");
    assert!(daemon.stop().success());
}

#[test]
fn clients_that_try_all_they_can_delay_no_start_and_keep_nobody_else_out() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare(&world);
    world.drop_in("canary", super::CANARY);
    // A thousand jobs are due each minute, and there are many to be listed.
    world.crontab("alice", &format!("{}{}", "* * * * * true\n".repeat(1_000), "@yearly true\n".repeat(8_000))).ok();
    let daemon = world.start_daemon(&[]);
    wait_for_socket();
    wait_for_canary();
    bound(&daemon, &world);
    for what in ["connections", "long", "nested", "flood", "unread"] {
        let mut hostile = world.command_as("alice", &format!("exec python3 /run/hostile.py {what}"));
        let mut hostile = hostile.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        for _ in 0..5 {
            wait_for_canary();
            // Another user and root get their answers meanwhile.
            assert!(call(&world, "bob", "Status", "{}").contains("\"entries\": 0"), "{what}");
            assert!(call(&world, "root", "Status", "{}").contains("\"entries\": 9001"), "{what}");
        }
        hostile.kill().ok();
        hostile.wait().unwrap();
        let descriptors = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
        assert!(descriptors < 64, "{what}: {descriptors} descriptors");
    }
    let most = memory(&daemon, "VmHWM");
    assert!(most < 96 << 10, "{most} KiB at most");
    assert!(daemon.stop().success());
}

/// A regression must not take the machine down.
fn bound(daemon: &Daemon, world: &World) {
    world.run(&format!("prlimit --as=2000000000 -p {}", daemon.pid())).ok();
}
