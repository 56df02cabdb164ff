//! What the commands take from start to end.

use crate::common::subject::package;
use crate::report::Report;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use std::fs;
use std::process::{Command, Stdio};

/// Runs of each program, alternating.
const RUNS: usize = 60;

/// `crontab -l` of ours and of Debian, `cronctl next`.
pub fn measure(report: &mut Report) {
    let table = "/var/spool/cron/crontabs/root";
    fs::write(table, "7 3 * * * /usr/local/bin/backup\n").expect("a table");
    nix::sys::stat::fchmodat(
        nix::fcntl::AT_FDCWD,
        table,
        nix::sys::stat::Mode::from_bits_truncate(0o600),
        nix::sys::stat::FchmodatFlags::FollowSymlink,
    )
    .expect("mode of the table");
    let debian = package("cron").join("usr/bin/crontab").display().to_string();
    for _ in 0..RUNS {
        report.add("crontab -l, CPU ms", "ours", cpu_ms(&["/usr/bin/crontab", "-l"]));
        report.add("crontab -l, CPU ms", "Debian", cpu_ms(&[&debian, "-l"]));
        report.add("cronctl next, CPU ms", "ours", cpu_ms(&["/usr/bin/cronctl", "next", "--expr", "7 3 * * *"]));
    }
    fs::remove_file(table).expect("the table");
}

fn cpu_ms(words: &[&str]) -> f64 {
    let spent = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the children's account");
        (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1000.0
    };
    let before = spent();
    let status = Command::new(words[0]).args(&words[1..]).stdout(Stdio::null()).status().expect("a program");
    assert!(status.success(), "{words:?}: {status}");
    spent() - before
}
