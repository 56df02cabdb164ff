//! Compares crond with Debian's cron, bcron, busybox crond and floor programs, interleaved in one run.
//!
//! `cargo bench --bench peers [-- --quick] [-- --only PART] [-- --cronie PATH]`, as root; see
//! tests/bench/README.md.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test program, though not inside a #[test].

#[path = "../../common/mod.rs"]
pub mod common;

mod between_minutes;
mod burst;
mod daemon;
mod entries;
mod many_tables;
mod programs;
mod queries;
mod reload_latency;
mod report;
mod tables;

use between_minutes::WorkBetweenMinutes;
use common::{Implementation, stage};
use daemon::{Daemon, daemons};
use report::{Part, Report};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// The amount of work for each measurement.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Crontabs of the large load, ten entries each.
    pub tables: usize,
    /// Loads of each daemon.
    pub loads: usize,
    /// Alternating rounds of what is measured precisely.
    pub rounds: usize,
    /// Jobs of each kind of burst.
    pub bursts: &'static [usize],
    /// Peers in each burst; each takes a minute.
    pub peers: usize,
    /// The number of jobs that keep running.
    pub staying: usize,
    /// Whether whole minutes are measured: without a job, after a change, with one job.
    pub quiet_minutes: bool,
    /// Entries of the largest table.
    pub entries: usize,
}

const FULL: Extent = Extent {
    tables: 10_000,
    loads: 5,
    rounds: 5,
    bursts: &[1_000, 5_000],
    peers: usize::MAX,
    staying: 5_000,
    quiet_minutes: true,
    entries: 1_000_000,
};
const QUICK: Extent = Extent {
    tables: 2_000,
    loads: 1,
    rounds: 2,
    bursts: &[300],
    peers: 1,
    staying: 300,
    quiet_minutes: false,
    entries: 100_000,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match stage::stage().as_deref() {
        None => outside(&arguments),
        Some("first") => ExitCode::from(stage::first_process(Implementation::OursDebian) as u8),
        Some(_) => inside(&arguments),
    }
}

fn outside(arguments: &[String]) -> ExitCode {
    if arguments.iter().any(|argument| argument == "--test" || argument == "--list") {
        return ExitCode::SUCCESS;
    }
    if let Some(reason) = stage::why_not(Implementation::Debian) {
        stage::skip("peers", &reason);
        return ExitCode::SUCCESS;
    }
    compile_floor("floor", &["-static"]);
    compile_floor("floor-pam", &["-DWITH_PAM", "-l:libpam.so.0"]);
    if let Some(path) = value(arguments, "--cronie") {
        std::fs::copy(path, built("cronie")).unwrap_or_else(|why| panic!("{path}: {why}"));
        // Its crontab, if it is in the same directory.
        copy_or_remove(&Path::new(path).with_file_name("crontab"), &built("cronie-crontab"));
    } else {
        copy_or_remove(Path::new("/nowhere"), &built("cronie-crontab"));
    }
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = stage::way_inside(&words).stderr(Stdio::inherit()).output().expect("unshare, of util-linux");
    let told = String::from_utf8_lossy(&output.stdout);
    let Some((table, json)) = told.split_once(JSON).filter(|_| output.status.success()) else {
        eprintln!("inside: {}\n{told}", output.status);
        return ExitCode::FAILURE;
    };
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers.json");
    std::fs::write(&file, json).expect("the measurements' file");
    println!("{table}every single value: {}", file.display());
    ExitCode::SUCCESS
}

fn compile_floor(name: &str, flags: &[&str]) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/floor.c");
    let compiled = Command::new("cc").args(["-O2", "-o"]).arg(built(name)).arg(source).args(flags).status();
    assert!(compiled.expect("a C compiler").success(), "floor.c does not compile as {name}");
}

/// Copies the file, or removes the copy of an earlier run if there is no file.
fn copy_or_remove(from: &Path, to: &Path) {
    let done = if from.exists() { std::fs::copy(from, to).map(|_| ()) } else { std::fs::remove_file(to) };
    let failed = done.is_err_and(|why| why.kind() != std::io::ErrorKind::NotFound);
    assert!(!failed, "{}", to.display());
}

/// Separates the table from the JSON in the output of the inner program.
const JSON: &str = "\nJSON ";

/// The path of a program, inside the private namespaces as well.
fn built(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The value that follows an option on the command line.
fn value<'a>(arguments: &'a [String], option: &str) -> Option<&'a str> {
    let at = arguments.iter().position(|argument| argument == option)?;
    arguments.get(at + 1).map(String::as_str)
}

fn inside(arguments: &[String]) -> ExitCode {
    let _world = common::World::open(Implementation::OursDebian);
    let extent = if arguments.iter().any(|argument| argument == "--quick") { QUICK } else { FULL };
    tables::make_users(&built("floor"), &built("floor-pam"), extent);
    let cronie = value(arguments, "--cronie").map(|_| built("cronie").display().to_string());
    let all = daemons(cronie.as_deref());
    let mut report = Report::default();
    let began = tables::now();
    let only = value(arguments, "--only");
    let wanted = |part: &str| only.is_none_or(|only| only == part);
    if wanted("programs") {
        programs::measure(&built("cronie-crontab"), &mut report);
    }
    let mut between_minutes = WorkBetweenMinutes::default();
    if wanted("burst") {
        burst::plan(&all, extent, &mut between_minutes);
    }
    if wanted("reload_latency") {
        reload_latency::plan(&all, extent, &mut between_minutes);
    }
    if wanted("many_tables") {
        report.within(Part::ManyTables, |report| many_tables::measure(&all, extent, &mut between_minutes, report));
    }
    // Not while the daemons of `many_tables` run, each of which would load these entries.
    if wanted("entries") {
        entries::plan(&all, extent, &mut between_minutes);
    }
    if wanted("queries") {
        queries::plan(&all, extent, &mut between_minutes);
    }
    if wanted("burst") {
        report.within(Part::Burst, |report| burst::measure(&all, extent, &mut between_minutes, report));
    }
    between_minutes.finish(&mut report);
    report.note(format!("the whole run: {} seconds", tables::now() - began));
    Daemon::remove_groups();
    print!("{}{JSON}{}", report.table(), report.json());
    ExitCode::SUCCESS
}
