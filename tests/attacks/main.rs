//! What users of other crons have used against them, tried on the programs as installed: names, files, terminals, tables beyond every bound.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests, though not inside a #[test].

#[path = "../common/mod.rs"]
pub mod common;

mod control;
mod devices;
mod edits;
mod fairness;
mod job_state;
mod late_output;
mod machine;
mod memory;
mod mounts;
mod restarts;
#[cfg(feature = "sandbox")]
mod sandbox;
mod secrets;

use common::{Daemon, Deadline, Implementation, World};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::HashSet;
use std::fs;
use std::process::Stdio;

const TABLE: &str = "@daily true\n";
/// A job that writes a line each second: it shows that the daemon goes on.
const CANARY: &str = "@every_second root echo >> /run/canary\n";

fn canary_runs() -> usize {
    fs::read_to_string("/run/canary").unwrap_or_default().lines().count()
}

/// Waits until the canary has run once more, after everything before this call.
fn wait_for_canary() {
    let before = canary_runs();
    Deadline::seconds(60).wait_for("the canary", || (canary_runs() > before).then_some(()));
}

/// A number of /proc/PID/status, in KiB.
fn memory(daemon: &Daemon, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn crontab_reveals_of_a_file_no_more_than_its_caller_may_know() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.run("mkdir -m 700 /secret && echo '* bad' >/secret/there && mkdir /secret/directory").ok();
    for path in ["/secret/there", "/secret/absent", "/secret/directory", "/secret/directory/../../etc/crontab"] {
        let shown = world.run_as("alice", &format!("crontab {path}"));
        assert_eq!((shown.code(), shown.stderr.as_str()), (1, format!("{path}: Permission denied\n").as_str()));
        let cat = world.run_as("alice", &format!("cat {path}")).stderr;
        assert_eq!(cat, format!("cat: {path}: Permission denied\n"));
    }
    // Nor by way of what is lent: the spool is not hers to read.
    world.crontab("bob", "@daily echo BOBSECRET\n").ok();
    let shown = world.run_as("alice", &format!("crontab {}/bob", world.implementation.spool()));
    assert_eq!(shown.code(), 1);
    assert!(!shown.stderr.contains("BOBSECRET"), "{shown:?}");
}

#[test]
fn temporary_files_are_made_anew_for_their_owner_alone_and_never_twice_with_a_name() {
    let Some(world) = world!(Implementation::OursDebian, ["strace"]) else { return };
    fs::write("/tmp/new.crontab", TABLE).unwrap();
    let mut names = HashSet::new();
    // The editor is another process, which is not traced.
    for _ in 0..25 {
        world.run("strace -o /tmp/trace -u alice -e trace=openat,mkdir,mkdirat crontab /tmp/new.crontab").ok();
        world
            .run("EDITOR='echo @daily false >' strace -o /tmp/trace2 -u alice -e trace=openat,mkdir,mkdirat crontab -e")
            .ok();
        let traces = fs::read_to_string("/tmp/trace").unwrap() + &fs::read_to_string("/tmp/trace2").unwrap();
        let ours = |line: &&str| line.contains("\"tmp.") || line.contains("/crontab.");
        let made: Vec<&str> =
            traces.lines().filter(ours).filter(|line| line.contains("O_CREAT") || line.contains("mkdir")).collect();
        assert!(made.iter().filter(|line| line.contains("\"tmp.")).count() >= 2, "{made:#?}");
        for line in made {
            if line.contains("mkdir") {
                assert!(line.contains(", 0700)"), "{line}");
            } else {
                assert!(line.contains("O_EXCL") && line.contains("0600)"), "{line}");
                assert!(line.contains("O_CLOEXEC"), "{line}");
            }
            let name = line.split('"').nth(1).unwrap().to_owned();
            // The copy of an edit has the same name in a directory that has not.
            assert!(name.ends_with("/crontab") || names.insert(name), "a name comes twice: {line}");
        }
    }
    assert!(names.len() >= 75, "{names:?}");
}

/// System calls that take a path of the caller's and follow it.
const PATH_CALLS: [&str; 21] = [
    "open(",
    "openat(",
    "openat2(",
    "creat(",
    "chmod(",
    "fchmodat(",
    "chown(",
    "lchown(",
    "fchownat(",
    "utime(",
    "utimes(",
    "utimensat(",
    "rename(",
    "renameat(",
    "renameat2(",
    "link(",
    "linkat(",
    "unlink(",
    "unlinkat(",
    "mkdir(",
    "mkdirat(",
];

/// `change` is how a trace shows that the effective id is changed whose value `lent` means privileges.
fn assert_no_path_is_followed_with_privileges(world: &World, change: &str, lent: &str) {
    fs::write("/tmp/new.crontab", TABLE).unwrap();
    for call in ["crontab /tmp/new.crontab", "crontab -l", "EDITOR='echo @daily false >' crontab -e", "crontab -r"] {
        let environment = if call.starts_with("EDITOR") { "-E EDITOR='echo @daily false >'" } else { "" };
        let command = call.rsplit("' ").next().unwrap();
        world.run(&format!("strace -o /tmp/trace {environment} -u alice -e trace=%file,%creds {command}")).ok();
        let trace = fs::read_to_string("/tmp/trace").unwrap();
        // The kernel lends the rights at the exec.
        let (mut is_lent, mut was_lent_again, mut seen) = (true, false, 0);
        for line in trace.lines() {
            if line.starts_with(change) {
                is_lent = line.contains(&format!("-1, {lent}, -1"));
                was_lent_again |= is_lent;
            }
            let reaches = PATH_CALLS.iter().any(|name| line.starts_with(name));
            if is_lent && reaches {
                seen += 1;
                let path = line.split('"').nth(1).unwrap_or_default();
                let theirs = ["/tmp", "/home", "/var/tmp"].iter().any(|place| path.starts_with(place));
                let relative = !path.starts_with('/') && line.contains("AT_FDCWD");
                assert!(!theirs && !relative, "{call}: {line}");
            }
        }
        assert!(was_lent_again && seen > 0, "{call}: the rights are never lent, the test shows nothing:\n{trace}");
    }
}

#[test]
fn with_the_privileges_nothing_is_reached_by_a_path_that_the_caller_could_change() {
    let Some(world) = world!(Implementation::OursDebian, ["strace"]) else { return };
    let group = world.run("getent group crontab | cut -d: -f3").ok();
    assert_no_path_is_followed_with_privileges(&world, "setresgid(-1, ", group.trim());
}

#[test]
fn with_roots_privileges_nothing_is_reached_by_a_path_that_the_caller_could_change() {
    let Some(world) = world!(Implementation::OursCronie, ["strace"]) else { return };
    assert_no_path_is_followed_with_privileges(&world, "setresuid(-1, ", "0");
}

/// Files and directories with a mode that is not meant: writable by others than their owner, not by their owner, or, among users' tables
/// and their backups, not for the owner alone.
fn careless_modes(world: &World) -> String {
    let spool = world.implementation.spool();
    let found = [
        format!(
            "/run /var/lib/cronwheel {spool} /home \\( -type f -o -type d \\) -perm /022 -not -perm -1000 -not -path {spool}"
        ),
        format!("/run/cron* /var/lib/cronwheel {spool} /home -type f -not -perm -600"),
        format!("{spool} /home -type f \\( -name alice -o -name '*.bak' \\) -not -perm 600"),
    ];
    found.map(|what| world.run(&format!("find {what} -printf '%m %p\\n' 2>/dev/null")).stdout).concat()
}

fn modes_do_not_depend_on_the_umask(world: &World) {
    // The history is kept in files, too.
    world.run("useradd --system --no-create-home --shell /usr/sbin/nologin _cronwheel").ok();
    assert_eq!(careless_modes(world), "", "before anything has begun");
    world.drop_in("canary", CANARY);
    fs::write("/tmp/new.crontab", TABLE).unwrap();
    for umask in ["000", "777"] {
        for command in ["crontab /tmp/new.crontab", "EDITOR='echo @daily false >' crontab -e", "crontab -r"] {
            world.run_as("alice", &format!("umask {umask}; {command}")).ok();
            assert_eq!(careless_modes(world), "", "umask {umask}: {command}");
        }
        world.crontab("alice", "@every_second true\n").ok();
        world.run("rm -rf /run/crond* /run/cron.reboot /run/cronwheel* /run/canary /var/lib/cronwheel").ok();
        let (daemon, foreground) = (world.implementation.daemon(), world.implementation.foreground());
        let mut command = world.command_as("root", &format!("umask {umask}; exec {daemon} {foreground}"));
        let mut daemon = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for_canary();
        world.wait_for_file("/var/lib/cronwheel/history/history.db", Deadline::seconds(20));
        assert_eq!(careless_modes(world), "", "umask {umask}");
        let marker = world.implementation.reboot_marker();
        let modes = world.run(&format!("stat -c %a /run/crond.pid {marker} /run/cronwheel.lock")).ok();
        assert_eq!(modes, "644\n644\n600\n", "umask {umask}");
        kill(Pid::from_raw(daemon.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        assert!(daemon.wait().unwrap().success());
        assert_eq!(careless_modes(world), "", "umask {umask}, after the end");
    }
}

#[test]
fn files_have_their_modes_whatever_the_umask_is() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    modes_do_not_depend_on_the_umask(&world);
}

#[test]
fn in_the_cronie_profile_files_have_their_modes_whatever_the_umask_is() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    modes_do_not_depend_on_the_umask(&world);
}

#[test]
fn names_of_users_that_are_no_names_of_files_reach_nothing_outside_the_spool() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let long = "n".repeat(256);
    let names = ["../x", "a/b", ".", "..", "tmp.abcdef", "#x", "*system*", long.as_str()];
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let entries: String = names.iter().map(|name| format!("{name}:x:4242:4242::/tmp:/bin/sh\n")).collect();
    fs::write("/etc/passwd", passwd + &entries).unwrap();
    // Not /tmp: what others build there meanwhile is seen from inside.
    let everything =
        || world.run("find /var/spool /etc /run -newer /etc/passwd -not -type d -not -name log-lines | sort").ok();
    for name in names {
        let before = everything();
        let shown = world.run_with_input("root", &format!("crontab -u '{name}' -"), TABLE.as_bytes());
        let spool = world.implementation.spool();
        let inside = world.run(&format!("ls -A {spool}")).ok();
        // Either it is refused and nothing is there, or it is a name like another, of one file in the spool.
        if shown.code() == 0 {
            assert_eq!(inside.trim(), name, "{shown:?}");
            world.run(&format!("crontab -u '{name}' -r")).ok();
        } else {
            assert_eq!((inside.as_str(), shown.stderr.is_empty()), ("", false), "{name}: {shown:?}");
        }
        assert_eq!(everything(), before, "{name}");
    }
    for refused in ["../x", "a/b", ".", "..", "tmp.abcdef"] {
        assert_ne!(
            world.run_with_input("root", &format!("crontab -u '{refused}' -"), TABLE.as_bytes()).code(),
            0,
            "{refused}"
        );
    }
}

#[test]
fn a_daemon_on_a_terminal_gives_it_to_no_job() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("tty", "@reboot root (: </dev/tty) 2>/run/error; ps -o tty= -p $$ >/run/tty\n");
    // script(1) runs the daemon on a terminal of its own, as a shell at a console would.
    let mut on_terminal = world.command_as("root", "exec script -qec 'exec /usr/sbin/cron -f' /dev/null");
    let mut on_terminal = on_terminal.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    assert_eq!(world.wait_for_file("/run/tty", Deadline::seconds(20)), "?\n");
    let error = fs::read_to_string("/run/error").unwrap();
    assert!(error.contains("No such device or address"), "{error}");
    on_terminal.kill().unwrap();
    on_terminal.wait().unwrap();
}

#[test]
fn tables_beyond_every_bound_cost_neither_memory_nor_the_other_users_their_jobs() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("canary", CANARY);
    world.crontab("alice", TABLE).ok();
    let mut daemon = world.start_daemon(&[]);
    wait_for_canary();
    let place = |make: &str| {
        let spool = world.implementation.spool();
        world.run(&format!("cd {spool} && {{ {make}; }} >tmp.new && chown alice:crontab tmp.new && chmod 600 tmp.new && mv tmp.new alice")).ok();
    };
    let before = memory(&daemon, "VmRSS");
    let log = |part: &str| world.log.wait_for(part, Deadline::seconds(30));
    place("yes '* * * * * true' | head -n 10001");
    log("alice:10001:1: error: expected at most 10000 lines, found more");
    wait_for_canary();
    place("yes '* * * * * true' | head -n 1000000");
    place("truncate -s 1G /dev/stdout");
    log("alice:1:1: error: expected a table of at most 16777216 bytes, found more: nothing of it runs");
    place("head -c 15000000 /dev/zero | tr '\\0' x");
    log("alice:1:1: error: expected a line of at most 262144 bytes, found 15000000");
    wait_for_canary();
    let most = memory(&daemon, "VmHWM");
    assert!(most < 64 << 10, "{most} KiB at most");
    // Refused and admitted over and over: what is let go of is not kept.
    let spool = world.implementation.spool();
    for _ in 0..20 {
        place("echo '@daily true'");
        world.run(&format!("for n in $(seq 25); do chmod 644 {spool}/alice; chmod 600 {spool}/alice; done")).ok();
        place("echo 'no table'");
    }
    wait_for_canary();
    // The daemon gives memory back before it next waits.
    let mut after = 0;
    let given_back = Deadline::seconds(20).try_wait_for(|| {
        after = memory(&daemon, "VmRSS");
        (after < before + 4096).then_some(())
    });
    assert!(given_back.is_some(), "{before} KiB before, {after} KiB after");
    assert!(daemon.is_alive());
}

/// Tables that were read by crons before us, cut, doubled and sown with odd bytes: always the same ones.
fn odd_tables() -> impl Iterator<Item = Vec<u8>> {
    const SEEDS: [&str; 6] = [
        "MAILTO=root\n*/5 1-3,7 * jan-mar mon#2 /bin/true %in%put\n@reboot x\n",
        "CRON_TZ=Europe/Berlin\nRANDOM_DELAY=5\n0~30 2 L * 5L -n job\n",
        "@quartz 0 0 12 1/5 * ? 2030 job\n@every_second job\n@15m job\n",
        "'A B' = \"x\" # no\nSHELL=/bin/nosh\n5-0 * * * fri-sun job\n",
        "* * 31 4 * never\n0 0 29 2 1 rare\n4294967297 * * * * huge\n*/4294967296 * * * * huge\n",
        "59 23 31 12 7 \u{1b}[31m\u{202e} \u{ff} job\n",
    ];
    const ODD: [u8; 12] = [0, b'\n', b'\r', b'%', b'\\', b'~', b'#', b'"', b'-', b'/', 0xff, 0xc3];
    let mut random = fastrand::Rng::with_seed(0x00c0_ffee);
    (0..1500).map(move |_| {
        let mut table: Vec<u8> = SEEDS[random.usize(..SEEDS.len())].as_bytes().to_vec();
        for _ in 0..random.usize(1..8) {
            let at = random.usize(..=table.len());
            match random.u8(..4) {
                0 => table.insert(at, ODD[random.usize(..ODD.len())]),
                1 => table.truncate(at.max(1)),
                2 => {
                    let copy = table[at..].to_vec();
                    table.extend(copy);
                }
                _ => table.extend(SEEDS[random.usize(..SEEDS.len())].as_bytes()),
            }
        }
        table
    })
}

#[test]
fn whatever_a_table_contains_the_daemon_runs_on_and_so_do_the_jobs_of_others() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("canary", CANARY);
    let mut daemon = world.start_daemon(&["-L", "0"]);
    wait_for_canary();
    for (number, table) in odd_tables().enumerate() {
        // Some stay, some are replaced, none may run anything: the shell is not there, or their user is nobody.
        let name = format!("/etc/cron.d/odd{}", number % 50);
        fs::write(&name, table).unwrap();
        if number % 100 == 0 {
            wait_for_canary();
        }
    }
    wait_for_canary();
    assert!(daemon.is_alive());
    let log = world.log.lines();
    assert!(log.iter().any(|line| line.contains("/etc/cron.d/odd") && line.contains("error: ")), "nothing was odd");
    assert!(!log.iter().any(|line| line.contains("panicked")), "{log:#?}");
    // As the reader of the log shows them.
    let has_control = |line: &&String| line.contains(|c: char| ('\u{2400}'..='\u{241f}').contains(&c));
    assert_eq!(log.iter().find(has_control), None, "a log line has control characters");
}
