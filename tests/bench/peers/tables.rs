//! Users, spools, and the files in which jobs record their starts.

use crate::Extent;
use crate::common::clock;
use crate::daemon::Daemon;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

/// The directory of all spools.
pub const SPOOLS: &str = "/tmp/spools";
/// The directory of the files in which jobs record their starts.
pub const MARKS: &str = "/tmp/marks";
/// The table of a standalone daemon.
pub const ONE_TABLE: &str = "/var/spool/cron/crontabs/crontab";
/// The settings of a daemon that keeps no history.
pub const NO_HISTORY: &str = "/etc/no-history.toml";
/// The first user id.
const FIRST_UID: u32 = 20_000;
/// The user and group id of the recorder.
const RECORDER: u32 = 19_999;

/// Makes users, and installs the program that all jobs run and the floor program with PAM.
pub fn make_users(floor: &Path, with_pam: &Path, extent: Extent) {
    fs::write(NO_HISTORY, "history = false\n").expect("a settings file");
    let mut passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    writeln!(passwd, "_cronwheel:*:{RECORDER}:{RECORDER}::/nonexistent:/usr/sbin/nologin").expect("memory");
    for number in 0..extent.tables {
        let uid = FIRST_UID + number as u32;
        writeln!(passwd, "u{number}:*:{uid}:{FIRST_UID}::/:/bin/sh").expect("memory");
    }
    fs::write("/etc/passwd", passwd).expect("/etc/passwd");
    let groups = fs::read_to_string("/etc/group").expect("/etc/group");
    fs::write("/etc/group", format!("{groups}_cronwheel:*:{RECORDER}:\n")).expect("/etc/group");
    // All daemons use UTC.
    fs::remove_file("/etc/localtime").ok();
    for (from, to) in [(floor, "/usr/local/bin/mark"), (with_pam, "/usr/local/bin/floor-pam")] {
        fs::copy(from, to).expect("the floor program, which must be on the root file system");
    }
    // The same PAM stack under cronie's name.
    fs::copy("/etc/pam.d/cron", "/etc/pam.d/crond").expect("the PAM stack of Debian's cron");
    for directory in [SPOOLS, MARKS] {
        fs::create_dir(directory).expect("a directory");
    }
}

/// Seconds of UTC.
pub fn now() -> i64 {
    clock::now().as_secs() as i64
}

/// The first second of the minute after `second`.
pub fn next_minute(second: i64) -> i64 {
    second / 60 * 60 + 60
}

/// `minute hour` of a second.
pub fn minute_and_hour(second: i64) -> (i64, i64) {
    (second / 60 % 60, second / 3600 % 24)
}

/// Entries of an ordinary table.
pub const SHORT: usize = 10;
/// Nearly as many as Debian's cron takes.
pub const LONG: usize = 9_900;

/// A table of ten entries that are not due for hours.
pub fn idle_table(number: usize) -> String {
    idle_entries(number, SHORT)
}

/// A table of `LONG` entries that are not due for hours.
pub fn long_table(number: usize) -> String {
    idle_entries(number, LONG)
}

fn idle_entries(number: usize, entries: usize) -> String {
    let (_, hour) = minute_and_hour(now());
    let mut text = "# Nightly work of this user.\nSHELL=/bin/sh\nMAILTO=\"\"\n".to_owned();
    for entry in 0..entries {
        let minute = (number * 7 + entry * 13) % 60;
        let hour = (hour + 6 + ((number + entry * 5) % 12) as i64) % 24;
        writeln!(
            text,
            "{minute} {hour} * * * /usr/local/bin/job-{number:06}-{entry} --with some --arguments here=1234567"
        )
        .expect("memory");
    }
    text
}

/// An empty file in which a daemon's jobs record their starts.
pub fn fresh_marks(daemon: &Daemon) -> String {
    fresh(format!("{MARKS}/{}", daemon.place))
}

/// An empty file in which a job records how many descriptors it inherited.
pub fn fresh_descriptors(daemon: &Daemon) -> String {
    fresh(format!("{MARKS}/{}-descriptors", daemon.place))
}

fn fresh(path: String) -> String {
    fs::write(&path, "").expect("a file for marks");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("mode of the marks");
    path
}

/// The starts that jobs recorded, as sorted seconds after `due`.
pub fn marks(path: &str, due: i64) -> Vec<f64> {
    let ns = numbers(path).into_iter();
    let mut late: Vec<f64> = ns.map(|ns| (ns - due * 1_000_000_000) as f64 / 1e9).collect();
    late.sort_by(f64::total_cmp);
    late
}

/// The numbers that jobs wrote to a file.
pub fn numbers(path: &str) -> Vec<i64> {
    let bytes = fs::read(path).expect("a file of marks");
    bytes.chunks_exact(8).map(|mark| i64::from_ne_bytes(mark.try_into().expect("eight bytes"))).collect()
}

/// Makes a spool with tables for the first `tables` users.
pub fn spool(daemon: &Daemon, tables: usize, text: impl Fn(usize) -> String) -> String {
    let directory = format!("{SPOOLS}/{}", daemon.place);
    fs::remove_dir_all(&directory).ok();
    fs::create_dir_all(&directory).expect("a spool");
    (0..tables).for_each(|number| put(daemon, &directory, number, &text(number)));
    directory
}

/// Installs a user's table as `crontab` does, by rename.
pub fn put(daemon: &Daemon, spool: &str, number: usize, text: &str) {
    let new = format!("{SPOOLS}/new");
    fs::write(&new, text).expect("a table");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).expect("mode of the table");
    let owner = if daemon.root_owns { 0 } else { FIRST_UID + number as u32 };
    chown(&new, Some(owner), None).expect("owner of the table");
    let name = if daemon.is_standalone { "crontab".to_owned() } else { format!("u{number}") };
    fs::rename(&new, format!("{spool}/{name}")).expect("the table in its place");
}
