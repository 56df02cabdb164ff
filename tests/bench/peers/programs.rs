//! CPU of the commands from start to end.

use crate::common::implementation::package;
use crate::report::Report;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs of each program, alternating.
const RUNS: usize = 200;
/// The usual locale of a login.
const LOCALE: &str = "C.UTF-8";

/// Lines of a long table: as many as a cronie takes.
const LINES: usize = 9_900;

/// Measures `crontab` (ours and Debian's), `cronctl next`, and `crontab -T` of a long table (ours, and cronie's if given).
pub fn measure(cronie: &Path, report: &mut Report) {
    answer(report);
    check(cronie, report);
}

fn answer(report: &mut Report) {
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
    fs::write("/tmp/table", "7 3 * * * /usr/local/bin/backup\n").expect("a table");
    for _ in 0..RUNS {
        for (locale, where_set) in [(LOCALE, ""), ("", ", no locale set")] {
            for word in ["/tmp/table", "-l"] {
                let what = format!("crontab {}, CPU ms{where_set}", if word == "-l" { word } else { "FILE" });
                report.add(&what, "ours", cpu_ms(&["/usr/bin/crontab", word], locale));
                report.add(&what, "Debian", cpu_ms(&[&debian, word], locale));
            }
            let what = format!("cronctl next, CPU ms{where_set}");
            report.add(&what, "ours", cpu_ms(&["/usr/bin/cronctl", "next", "--expr", "7 3 * * *"], locale));
        }
    }
    fs::remove_file(table).expect("the table");
}

/// Subtracts the check of a one-line table, so that the start of the program does not count.
fn check(cronie: &Path, report: &mut Report) {
    let line = |n: usize| {
        format!(
            "{} {} * * {} /usr/local/bin/backup --of machine{n:06} --to /srv/backup/{n:06}\n",
            n % 60,
            n % 24,
            n % 7
        )
    };
    fs::write("/tmp/one", line(1)).expect("a table");
    fs::write("/tmp/long", (0..LINES).map(line).collect::<String>()).expect("a table");
    // Not the installed one, which is set-id and refuses --profile.
    let ours = [env!("CARGO_BIN_EXE_crontab"), "--profile", "cronie", "-T"];
    let theirs = [&*cronie.to_string_lossy(), "-T"];
    let ns_a_line = |words: &[&str]| {
        let spent = |table| cpu_ms(&[words, &[table]].concat(), LOCALE);
        (spent("/tmp/long") - spent("/tmp/one")) * 1e6 / (LINES - 1) as f64
    };
    for _ in 0..RUNS / 10 {
        report.add("crontab -T, CPU ns a line", "ours", ns_a_line(&ours));
        if cronie.exists() {
            report.add("crontab -T, CPU ns a line", "cronie", ns_a_line(&theirs));
        }
    }
}

fn cpu_ms(words: &[&str], locale: &str) -> f64 {
    let spent = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the children's account");
        (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1000.0
    };
    let before = spent();
    let status = Command::new(words[0])
        .args(&words[1..])
        .env_remove("LC_ALL")
        .env("LANG", locale)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("a program");
    assert!(status.success(), "{words:?}: {status}");
    spent() - before
}
