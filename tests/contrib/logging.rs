//! The rule for rsyslog and the one for logrotate, each by the program itself.

use crate::common::implementation::package;
use crate::common::{Deadline, Implementation};
use crate::world;
use crate::{contrib, lacks};
use std::fs;
use std::process::{Child, Command, Stdio};

/// A process of the test's own, ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// rsyslog from its unpacked packages.
fn rsyslogd() -> Command {
    let lib = "usr/lib/x86_64-linux-gnu";
    let libraries: Vec<String> =
        ["libestr0", "libfastjson4"].iter().map(|name| package(name).join(lib).display().to_string()).collect();
    let mut command = Command::new(package("rsyslog").join("usr/sbin/rsyslogd"));
    command.env("LD_LIBRARY_PATH", libraries.join(":"));
    command.arg("-M").arg(package("rsyslog").join(lib).join("rsyslog")).args([
        "-f",
        "/etc/rsyslog.conf",
        "-i",
        "/run/rsyslogd.pid",
    ]);
    command
}

#[test]
fn rsyslog_puts_crons_lines_into_their_own_file_and_logrotate_rotates_it() {
    let name = "rsyslog_puts_crons_lines_into_their_own_file_and_logrotate_rotates_it";
    if lacks(name, &["rsyslog", "libestr0", "libfastjson4", "logrotate"]) {
        return;
    }
    let Some(world) = world!(Implementation::OursDebian) else { return };
    fs::remove_file("/dev/log").expect("the socket of before");
    fs::create_dir_all("/etc/rsyslog.d").expect("a folder");
    fs::copy(contrib().join("rsyslog/30-cron.conf"), "/etc/rsyslog.d/30-cron.conf").expect("the rule");
    let rest = "module(load=\"imuxsock\")\n$IncludeConfig /etc/rsyslog.d/*.conf\n*.* /var/log/rest\n";
    fs::write("/etc/rsyslog.conf", rest).expect("the settings");
    let checked = rsyslogd().arg("-N1").output().expect("rsyslogd");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let _rsyslogd = Running(rsyslogd().arg("-n").stdin(Stdio::null()).spawn().expect("rsyslogd"));
    Deadline::seconds(30).wait_for("/dev/log", || fs::exists("/dev/log").expect("/dev").then_some(()));

    world.drop_in("early", "@reboot alice exit 3\n");
    let daemon = world.start_daemon(&[]);
    let log = || fs::read_to_string("/var/log/cron.log").unwrap_or_default();
    Deadline::seconds(30).wait_for("the failure in cron.log", || {
        (log().contains(": (alice) CMD (exit 3)") && log().contains(": (alice) FAILED (exit 3) exit 3 after "))
            .then_some(())
    });
    daemon.stop();
    let rest = fs::read_to_string("/var/log/rest").unwrap_or_default();
    assert!(rest.contains("rsyslogd") && !rest.contains("alice"), "{rest}");

    fs::create_dir_all("/etc/logrotate.d").expect("a folder");
    fs::copy(contrib().join("logrotate/cron"), "/etc/logrotate.d/cron").expect("the rule");
    let logrotate = package("logrotate").join("usr/sbin/logrotate").display().to_string();
    let rotate = |how: &str| world.run(&format!("{logrotate} {how} -s /run/rotated /etc/logrotate.d/cron 2>&1"));
    let said = rotate("--debug").ok();
    assert!(said.contains("/var/log/cron.log") && !said.contains("error"), "{said}");
    let before = log();
    rotate("--force").ok();
    assert_eq!(fs::read_to_string("/var/log/cron.log.1").expect("the log of before"), before);
}
