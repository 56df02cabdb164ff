//! The environment of a job, to the byte, whatever the daemon has been started with.

use crate::common::{Deadline, Implementation, World};
use crate::world;
use std::fs;
use std::process::{Child, Command, Stdio};

/// What service managers, our language's runtime and shells put into a daemon's environment.
const OF_THE_DAEMON: [(&str, &str); 14] = [
    ("PATH", "/daemon/sbin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/daemon"),
    ("LANG", "en_US.UTF-8"),
    ("LC_TIME", "C"),
    ("USER", "daemon"),
    ("LISTEN_FDS", "1"),
    ("LISTEN_FDNAMES", "x"),
    ("INVOCATION_ID", "0123456789abcdef0123456789abcdef"),
    ("JOURNAL_STREAM", "8:1"),
    ("WATCHDOG_PID", "1"),
    ("WATCHDOG_USEC", "30000000"),
    ("RUST_BACKTRACE", "1"),
    ("RUST_LOG", "trace"),
    ("OLDPWD", "/daemon"),
];

struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What a job has in its environment at its exec, and what `env -0` shows it; a line each. With settings of the table, PAM and the daemon.
fn environments(world: &World) -> [String; 2] {
    fs::write("/etc/environment", "FROM_PAM=pam\nPATH=/pam\n").unwrap();
    fs::write("/etc/default/locale", "LC_ALL=C\n").unwrap();
    world.drop_in(
        "environment",
        "FOO=a 'b'\nEMPTY=\"\"\nLOGNAME=root\nMAILTO=\"\"\n\
         @reboot alice cat /proc/$$/environ >at-exec.part; env -0 >shown; mv at-exec.part at-exec\n",
    );
    let notify = std::os::unix::net::UnixDatagram::bind("/run/notify").unwrap();
    let daemon = Command::new(world.implementation.daemon())
        .arg(world.implementation.foreground())
        .env_clear()
        .envs(OF_THE_DAEMON)
        .env("NOTIFY_SOCKET", "/run/notify")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let daemon = Started(daemon);
    let at_exec = world.wait_for_file("/home/alice/at-exec", Deadline::seconds(30));
    let shown = fs::read_to_string("/home/alice/shown").unwrap();
    drop((daemon, notify));
    [at_exec, shown].map(|text| text.replace('\0', "\n"))
}

/// The same without what a job of ours has besides: the variables about its run, which come last at its exec.
fn environments_without_run(world: &World) -> [String; 2] {
    environments(world).map(|text| {
        let (of_run, others): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("CRON_"));
        let mut names: Vec<&str> = of_run.iter().filter_map(|line| line.split('=').next()).collect();
        names.sort_unstable();
        assert_eq!(names, ["CRON_ATTEMPT", "CRON_JOB", "CRON_RUN_ID", "CRON_SCHEDULED_AT", "CRON_TRIGGER"]);
        others.iter().map(|line| format!("{line}\n")).collect()
    })
}

const AT_EXEC: &str = "FROM_PAM=pam\nPATH=/usr/bin:/bin\nLC_ALL=C\nFOO=a 'b'\nEMPTY=\nLOGNAME=alice\nMAILTO=\nSHELL=/bin/sh\nHOME=/home/alice\n";

/// dash shows what it has in an order of its own.
fn sorted(shown: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = shown.lines().collect();
    lines.sort_unstable();
    lines
}

const SHOWN: [&str; 10] = [
    "EMPTY=",
    "FOO=a 'b'",
    "FROM_PAM=pam",
    "HOME=/home/alice",
    "LC_ALL=C",
    "LOGNAME=alice",
    "MAILTO=",
    "PATH=/usr/bin:/bin",
    "PWD=/home/alice",
    "SHELL=/bin/sh",
];

#[test]
fn debians_cron_gives_a_job_its_table_and_pam_and_nothing_of_its_own() {
    let Some(world) = world!(Implementation::Debian) else { return };
    let [at_exec, shown] = environments(&world);
    assert_eq!(sorted(&at_exec), sorted(AT_EXEC));
    assert_eq!(sorted(&shown), SHOWN);
}

#[test]
fn a_job_has_what_debians_cron_gives_it_and_five_variables_about_its_run() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let [at_exec, shown] = environments_without_run(&world);
    assert_eq!(at_exec, AT_EXEC);
    assert_eq!(sorted(&shown), SHOWN);
}

#[test]
fn a_job_has_what_cronie_gives_it_and_five_variables_about_its_run() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    let [at_exec, shown] = environments_without_run(&world);
    let mut expected = sorted(&at_exec);
    expected.push("PWD=/home/alice");
    expected.sort_unstable();
    assert_eq!(sorted(&shown), expected);
    assert_eq!(
        at_exec,
        "FROM_PAM=pam\nPATH=/usr/bin:/bin:/usr/sbin:/sbin\nLC_ALL=C\nLANG=en_US.UTF-8\nLC_TIME=C\nFOO=a 'b'\nEMPTY=\n\
         LOGNAME=alice\nMAILTO=\nSHELL=/bin/sh\nHOME=/home/alice\nUSER=alice\n"
    );
}
