//! Generated lines of crontabs, read by cronwheel and by the program that it replaces: both accept the same lines, and those run at the same
//! minutes, but for the differences that cron-differences(7) lists. See `tests/README.md`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, though not inside a #[test]"
)]

#[path = "../common/mod.rs"]
pub mod common;

#[expect(dead_code, reason = "the fuzz target of schedules uses the rest")]
mod classic;
mod generate;
mod kinds;

use chrono::{DateTime, Datelike, Timelike};
use classic::{Classic, Fields};
use common::stage::stage;
use common::{Implementation, World};
use cronwheel::crontab::{Context, Crontab, Form, KnownNames};
use cronwheel::profile::{CRONIE, DEBIAN, Profile};
use cronwheel::schedule::{HostKey, Kind, LocalMinute, Schedule, Zone, Zones};
use fastrand::Rng;
use kinds::Difference;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, thread};

/// How many lines are compared; `CRONWHEEL_LINES` overrides it.
const LINES: usize = 20_000;
/// The first seed; `CRONWHEEL_SEED` overrides it. Each table has a seed of its own.
const SEED: u64 = 20_261_127;
/// Lines of a table. None of the programs has a limit below that.
const TABLE: usize = 500;
/// Of so many tables one is read by the built crontab, too.
const CHECKED: usize = 10;
/// Lines of a kind of difference that are shown.
const SHOWN: usize = 2;

struct NoZones;

impl Zones for NoZones {
    fn named(&self, _: &str) -> Option<Arc<Zone>> {
        None
    }
    fn system(&self) -> Arc<Zone> {
        Zone::utc()
    }
}

/// A number that the environment sets.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// What cronwheel makes of a line.
enum Ours {
    Refused,
    /// A comment, a blank line or a setting.
    Other,
    Entry(Box<Schedule>),
}

fn ours(line: &str, profile: &Profile) -> Ours {
    let known = KnownNames::of_zones(&NoZones);
    let context = Context { form: Form::User, dialect: &profile.dialect, name: "ann", host: HostKey(7), known };
    let parsed = Crontab::parse(format!("{line}\n").as_bytes(), &context).expect("memory");
    match parsed.table.entries.first() {
        _ if !parsed.is_ok() => Ours::Refused,
        Some(entry) => Ours::Entry(Box::new(parsed.table.timing(entry).schedule.clone())),
        None => Ours::Other,
    }
}

/// The replaced program, which says of a file whether it is a crontab.
struct Reference {
    option: &'static str,
    /// What the number of a line in its messages has to be increased by, so that it counts from 1.
    shift: usize,
    calls: AtomicUsize,
}

impl Reference {
    fn new(option: &'static str) -> Reference {
        let mut reference = Reference { option, shift: 0, calls: AtomicUsize::new(0) };
        let lines = ["* * * * * x", "A=b", "61 * * * * x"].map(str::to_owned);
        reference.shift = 5 - reference.told(&lines, "calibration").expect("a wrong line");
        for wrong in ["61 * * * * x", "wrong", "* * * *", "@x y"] {
            for at in 0..5 {
                let mut lines = vec!["* * * * * x".to_owned(); 5];
                lines[at] = wrong.to_owned();
                assert_eq!(reference.first_wrong(&lines, "calibration"), Some(at), "{wrong}");
            }
        }
        reference
    }

    /// The index of the first line that it refuses. It counts the line of a mistake at the end of a line as the next one, so each line has a
    /// comment behind it.
    fn first_wrong(&self, lines: &[String], name: &str) -> Option<usize> {
        self.told(lines, name).map(|number| (number + self.shift - 1) / 2)
    }

    /// The number of a line in its message, if it refuses one.
    fn told(&self, lines: &[String], name: &str) -> Option<usize> {
        let text: String = lines.iter().map(|line| format!("{line}\n#\n")).collect();
        let path = Path::new("/tmp").join(name);
        fs::write(&path, &text).unwrap();
        self.calls.fetch_add(1, Ordering::Relaxed);
        let shown = Command::new("/usr/bin/crontab").arg(self.option).arg(&path).env("LC_ALL", "C").output().unwrap();
        if shown.status.success() {
            return None;
        }
        let told = String::from_utf8_lossy(&shown.stderr).into_owned();
        let number = told.split("\":").nth(1).and_then(|rest| rest.split(':').next());
        let number = number.and_then(|number| number.parse().ok());
        Some(number.unwrap_or_else(|| panic!("{} {text:?}: {told}", shown.status)))
    }

    /// Whether it accepts each of these lines. It tells of the first wrong one only, so the lines behind that are asked for again.
    fn accepts(&self, lines: &[String], name: &str) -> Vec<bool> {
        let mut verdicts = Vec::with_capacity(lines.len());
        while verdicts.len() < lines.len() {
            let rest = &lines[verdicts.len()..];
            match self.first_wrong(rest, name) {
                None => verdicts.resize(lines.len(), true),
                Some(wrong) => {
                    assert!(wrong < rest.len(), "line {wrong} of {rest:?}");
                    verdicts.resize(verdicts.len() + wrong, true);
                    verdicts.push(false);
                }
            }
        }
        verdicts
    }
}

/// The numbers of lines, and the differences between the implementations.
#[derive(Default)]
struct Counts {
    lines: usize,
    accepted: usize,
    refused: usize,
    /// Entries that run at the same minutes by the slow reading.
    same_minutes: usize,
    /// Differences of each kind: how many, and some of them.
    kinds: BTreeMap<&'static str, (usize, Vec<String>)>,
    /// Differences of no kind.
    unlisted: Vec<String>,
}

impl Counts {
    fn add(&mut self, kind: Option<&'static str>, what: String) {
        match kind {
            Some(kind) => {
                let (count, examples) = self.kinds.entry(kind).or_default();
                *count += 1;
                if examples.len() < SHOWN {
                    examples.push(what);
                }
            }
            None => self.unlisted.push(what),
        }
    }

    fn merge(&mut self, other: Counts) {
        self.lines += other.lines;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.same_minutes += other.same_minutes;
        for (kind, (count, examples)) in other.kinds {
            let (all, shown) = self.kinds.entry(kind).or_default();
            *all += count;
            shown.extend(examples);
            shown.truncate(SHOWN);
        }
        self.unlisted.extend(other.unlisted);
    }
}

/// Compares a table of random lines.
fn compare_table(seed: u64, profile: &Profile, reference: &Reference) -> Counts {
    let mut rng = Rng::with_seed(seed);
    let lines: Vec<String> =
        (0..TABLE).map(|_| String::from_utf8_lossy(&generate::line(&mut rng)).into_owned()).collect();
    let theirs = reference.accepts(&lines, &format!("table-{seed}"));
    let mut counts = Counts { lines: lines.len(), ..Counts::default() };
    let mut are_all_ours_good = true;
    for (line, is_accepted) in lines.iter().zip(theirs) {
        let ours = ours(line, profile);
        let is_ours = !matches!(ours, Ours::Refused);
        are_all_ours_good &= is_ours;
        match (ours, is_accepted) {
            (Ours::Refused, false) => counts.refused += 1,
            (Ours::Other, true) => counts.accepted += 1,
            (Ours::Entry(schedule), true) => {
                counts.accepted += 1;
                match same_minutes(line, &schedule, &mut rng) {
                    Ok(true) => counts.same_minutes += 1,
                    Ok(false) => counts.add(kinds::of_meaning(line), format!("{line:?} has another meaning")),
                    Err(wrong) => counts.add(None, format!("{line:?}: {wrong}")),
                }
            }
            (_, _) => {
                let difference = Difference { line, is_accepted_by_us: is_ours };
                let who = if is_ours { "only cronwheel" } else { "only the other one" };
                counts.add(kinds::of_verdict(&difference), format!("{line:?} is accepted by {who}"));
            }
        }
    }
    if seed.is_multiple_of(CHECKED as u64) {
        // The built program says the same of the whole.
        let path = format!("/tmp/whole-{seed}");
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        let option = if profile.name == CRONIE.name { "-T" } else { "-n" };
        let shown = Command::new(env!("CARGO_BIN_EXE_crontab")).arg(option).arg(&path).output().unwrap();
        assert_eq!(shown.status.success(), are_all_ours_good, "the built crontab with seed {seed}: {shown:?}");
    }
    counts
}

/// Whether a line that both accept runs at the minutes of a slow reading of the pages. `Ok(false)`: the pages do not describe its schedule.
fn same_minutes(line: &str, schedule: &Schedule, rng: &mut Rng) -> Result<bool, String> {
    let text = line.trim_start_matches([' ', '\t']);
    let words = if text.starts_with('@') { 1 } else { 5 };
    let mut end = 0;
    for _ in 0..words {
        end += text[end..].len() - text[end..].trim_start_matches([' ', '\t']).len();
        end += text[end..].find([' ', '\t']).unwrap_or(text.len() - end);
    }
    match classic::read(&text[..end]) {
        None => Ok(false),
        Some(Classic::Reboot) if schedule.kind() == Kind::Reboot => Ok(true),
        Some(Classic::Reboot) => Err("it is not @reboot".to_owned()),
        Some(Classic::Fields(fields)) => {
            // Anywhere, and from one due minute to the next.
            let mut minute = rng.i64(0..70 * 366 * 1440);
            for _ in 0..24 {
                let wanted = has(&fields, minute);
                if schedule.matches(LocalMinute(minute)) != wanted {
                    return Err(format!("minute {minute} since 1970 should{} match", if wanted { "" } else { " not" }));
                }
                let next = schedule.next_match(LocalMinute(minute)).map_or(minute + 1, |next| next.0);
                let between = minute + 1 + rng.i64(0..(next - minute).max(1));
                if between < next && has(&fields, between) {
                    return Err(format!("minute {between} since 1970 should match"));
                }
                minute = if rng.bool() { next } else { next + rng.i64(1..50_000) };
            }
            Ok(true)
        }
    }
}

fn has(fields: &Fields, minute: i64) -> bool {
    let at = DateTime::from_timestamp(minute * 60, 0).unwrap();
    fields.has_time(at.hour(), at.minute())
        && fields.has_date(at.day(), at.month(), at.weekday().num_days_from_sunday())
}

fn compare(world: &World, profile: &'static Profile, option: &'static str) {
    if profile.name == CRONIE.name {
        world.run("echo 'profile = \"cronie\"' > /etc/cronwheel.toml").ok();
    }
    let (lines, seed) = (setting("CRONWHEEL_LINES", LINES as u64) as usize, setting("CRONWHEEL_SEED", SEED));
    let tables = lines.div_ceil(TABLE);
    let reference = Reference::new(option);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut counts = Counts::default();
        loop {
            let table = next.fetch_add(1, Ordering::Relaxed);
            if table >= tables {
                return counts;
            }
            counts.merge(compare_table(seed + table as u64, profile, &reference));
        }
    };
    let mut counts = Counts::default();
    thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work)];
        workers.into_iter().for_each(|worker| counts.merge(worker.join().unwrap()));
    });
    let mut report = format!(
        "{} lines in {tables} tables, seeds from {seed}, with {}: {} accepted by both, {} refused by both, {} entries with the minutes of the slow reading, {} calls\n",
        counts.lines,
        world.implementation.name(),
        counts.accepted,
        counts.refused,
        counts.same_minutes,
        reference.calls.load(Ordering::Relaxed),
    );
    for (kind, (count, examples)) in &counts.kinds {
        report.push_str(&format!("{count:>8} {kind:<14} {}\n", examples.join("; ")));
    }
    println!("{report}");
    let unlisted = counts.unlisted;
    assert!(
        unlisted.is_empty(),
        "{} differences are of no kind that cron-differences(7) lists:\n{}",
        unlisted.len(),
        unlisted[..unlisted.len().min(60)].join("\n")
    );
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man/cron-differences.7")).unwrap();
    for kind in counts.kinds.keys() {
        let is_listed = page.lines().any(|line| line.strip_prefix(".\\\" difference ").is_some_and(|key| key == *kind));
        assert!(is_listed, "cron-differences(7) has no paragraph with the key {kind}");
    }
    // A run that compares nothing is no run.
    assert!(
        counts.accepted * 2 > counts.lines
            && counts.same_minutes * 3 > counts.lines
            && counts.refused * 50 > counts.lines
    );
}

#[test]
fn generated_lines_mean_what_they_mean_to_debians_cron() {
    let Some(world) = world!(Implementation::Debian) else { return };
    compare(&world, &DEBIAN, "-n");
}

#[test]
fn generated_lines_mean_what_they_mean_to_cronie() {
    if stage().is_none() && Implementation::Cronie.missing().is_some() {
        // Debian has no package of it, so CI cannot have it.
        let told = b"NOT COMPARED with cronie: CRONIE must name the directory of its programs; see tests/compliance/README.md\n";
        std::io::stderr().write_all(told).unwrap();
        return;
    }
    let Some(world) = world!(Implementation::Cronie) else { return };
    compare(&world, &CRONIE, "-T");
}
