//! The machine's users and everybody's tables.

use crate::Extent;
use crate::common::clock;
use crate::contestant::Contestant;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

/// Where everybody's spools are.
pub const SPOOLS: &str = "/tmp/spools";
/// Where jobs leave their marks.
pub const MARKS: &str = "/tmp/marks";
/// The first of the users' ids.
const FIRST_UID: u32 = 20_000;

/// Makes users, the program that is everybody's job, and the one that has sessions of PAM.
pub fn make_users(floor: &Path, with_pam: &Path, extent: Extent) {
    let mut passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    for number in 0..extent.tables {
        let uid = FIRST_UID + number as u32;
        writeln!(passwd, "u{number}:*:{uid}:{FIRST_UID}::/:/bin/sh").expect("memory");
    }
    fs::write("/etc/passwd", passwd).expect("/etc/passwd");
    // Everybody's minutes are those of UTC.
    fs::remove_file("/etc/localtime").ok();
    for (from, to) in [(floor, "/usr/local/bin/mark"), (with_pam, "/usr/local/bin/floor-pam")] {
        fs::copy(from, to).expect("the floor program, which must be on the root file system");
    }
    // cronie's name for the same stack.
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

/// Entries of a table like most.
pub const SHORT: usize = 10;
/// Nearly as many as Debian's cron takes.
pub const LONG: usize = 9_900;

/// A table of ten entries of which none is due within hours.
pub fn idle_table(number: usize) -> String {
    idle_entries(number, SHORT)
}

/// The same with nearly as many entries as Debian's cron takes.
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

/// The empty file in which a contestant's jobs leave their marks.
pub fn fresh_marks(one: &Contestant) -> String {
    fresh(format!("{MARKS}/{}", one.place))
}

/// The empty file in which a contestant's job tells how many descriptors it was given.
pub fn fresh_descriptors(one: &Contestant) -> String {
    fresh(format!("{MARKS}/{}-descriptors", one.place))
}

fn fresh(path: String) -> String {
    fs::write(&path, "").expect("a file for marks");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("mode of the marks");
    path
}

/// When the jobs began, in order, seconds after `due`.
pub fn marks(path: &str, due: i64) -> Vec<f64> {
    let ns = numbers(path).into_iter();
    let mut late: Vec<f64> = ns.map(|ns| (ns - due * 1_000_000_000) as f64 / 1e9).collect();
    late.sort_by(f64::total_cmp);
    late
}

/// What jobs have written to a file.
pub fn numbers(path: &str) -> Vec<i64> {
    let bytes = fs::read(path).expect("a file of marks");
    bytes.chunks_exact(8).map(|mark| i64::from_ne_bytes(mark.try_into().expect("eight bytes"))).collect()
}

/// A spool with a table for each of the first users.
pub fn spool(one: &Contestant, tables: usize, text: impl Fn(usize) -> String) -> String {
    let directory = format!("{SPOOLS}/{}", one.place);
    fs::remove_dir_all(&directory).ok();
    fs::create_dir_all(&directory).expect("a spool");
    (0..tables).for_each(|number| put(one, &directory, number, &text(number)));
    directory
}

/// Puts a user's table into a spool as every `crontab` does it: whole, by renaming.
pub fn put(one: &Contestant, spool: &str, number: usize, text: &str) {
    let new = format!("{SPOOLS}/new");
    fs::write(&new, text).expect("a table");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).expect("mode of the table");
    let owner = if one.root_owns { 0 } else { FIRST_UID + number as u32 };
    chown(&new, Some(owner), None).expect("owner of the table");
    fs::rename(&new, format!("{spool}/u{number}")).expect("the table in its place");
}
