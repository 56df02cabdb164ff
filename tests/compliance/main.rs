//! The exam that the incumbent sits too: the same cases, as black boxes, on Debian 12's own cron and on ours.
//!
//! `cargo test --test compliance` runs all; words behind `--` keep the cases whose name or area has one of them.
//! `--write` brings `man/cron-differences.7` and the tables in README.md and beside this file up to date.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test program, though not inside a #[test].

#[path = "../common/mod.rs"]
pub mod common;

mod case;
mod minute;
mod page;
mod report;
mod sitting;
mod words;

use case::{Case, Exam, Group};
use common::{Subject, World, stage};
use report::Answers;
use sitting::Observed;
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

/// Stands before what the inner program reports, in its output.
const REPORTED: &str = "observed ";

/// Unpacked packages, beside Debian's cron, that cases use.
const NEEDS: [&str; 4] = ["ansible-core", "logcheck-database", "logwatch", "python3-crontab"];

/// A program with its cases is killed when it has not ended after this time.
const SITTING_LIMIT: Duration = Duration::from_secs(1800);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(stage) = stage::stage() {
        return inner(&stage, &words);
    }
    let exam = Exam::read();
    if words.iter().any(|word| word == "--list") {
        exam.cases.iter().for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }
    if words.iter().any(|word| word == "--page") {
        page::Pages::manual(&exam).write();
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
    if let Some(why) = stage::why_not(Subject::Debian).or_else(|| stage::missing(&NEEDS)) {
        stage::skip("compliance", &why);
        return ExitCode::SUCCESS;
    }
    let answers = sit_all(&exam, &filters);
    let report = report::report(&exam, &answers);
    for unexplained in &report.unexplained {
        println!("UNEXPLAINED {unexplained}");
    }
    println!("{} cases\n\n{}{}", exam.cases.len(), report.table, report.guests);
    let pages = page::Pages::of(&exam, &report.table);
    // A part of the cases makes no whole table.
    if filters.is_empty() && words.iter().any(|word| word == "--write") {
        pages.write();
    }
    let stale = if filters.is_empty() { pages.stale() } else { Vec::new() };
    for page in &stale {
        println!("STALE {page}: run `cargo test --test compliance -- --write`");
    }
    if report.unexplained.is_empty() && stale.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Every subject in every group of cases, each on a machine of its own, all at the same time.
fn sit_all(exam: &Exam, filters: &[&str]) -> Answers {
    let kept = |case: &&Case| {
        filters.is_empty() || filters.iter().any(|word| case.name.contains(word) || case.area.contains(word))
    };
    let cases: Vec<&Case> = exam.cases.iter().filter(kept).collect();
    let groups: BTreeSet<Group> = cases.iter().map(|case| case.group()).collect();
    let only = std::env::var("EXAM_SUBJECTS").unwrap_or_default();
    let mut sittings = Vec::new();
    for subject in Subject::ALL {
        if !only.is_empty() && !only.split(',').any(|name| name == subject.name()) {
            continue;
        }
        if let Some(why) = stage::why_not(subject) {
            assert!(subject == Subject::Cronie, "{}: {why}", subject.name());
            println!("SKIP {}: {why}", subject.name());
            continue;
        }
        for group in &groups {
            let names: Vec<String> = cases
                .iter()
                .filter(|case| case.group() == *group && case.concerns(subject))
                .map(|case| case.name.clone())
                .collect();
            if !names.is_empty() {
                sittings.push((subject, std::thread::spawn(move || sitting(subject, &names))));
            }
        }
    }
    let mut answers = Answers::new();
    for (subject, thread) in sittings {
        answers.entry(subject).or_default().extend(thread.join().expect("a sitting"));
    }
    for (subject, observed) in &answers {
        let path = format!("{}/compliance-{}.json", env!("CARGO_TARGET_TMPDIR"), subject.name());
        std::fs::write(path, serde_json::to_vec_pretty(observed).expect("JSON")).expect("the answers' file");
    }
    answers
}

/// Runs this program inside a new machine; a sitting that breaks off answers nothing, which every case then shows.
fn sitting(subject: Subject, names: &[String]) -> Observed {
    let mut arguments = vec![subject.name()];
    arguments.extend(names.iter().map(String::as_str));
    let inside = stage::go_inside(&arguments, SITTING_LIMIT);
    let output = inside.output;
    let told = String::from_utf8_lossy(&output.stdout);
    match told.lines().find_map(|line| line.strip_prefix(REPORTED)) {
        Some(observed) if output.status.success() => serde_json::from_str(observed).expect("the sitting's report"),
        _ => {
            let end = if inside.timed_out {
                format!("killed, because it had not ended after {} seconds", SITTING_LIMIT.as_secs())
            } else {
                output.status.to_string()
            };
            let why = format!("the sitting broke off, {end}: {}\n", String::from_utf8_lossy(&output.stderr));
            println!("{}: {why}", subject.name());
            names.iter().map(|name| (name.clone(), "the sitting broke off\n".to_owned())).collect()
        }
    }
}

/// The stages inside: the arguments are the subject and the names of its cases.
fn inner(stage: &str, words: &[String]) -> ExitCode {
    let (subject, names) = words.split_first().expect("a subject");
    let subject = sitting::subject_named(subject);
    if stage == "first" {
        stage::finish(stage::first_process(subject));
    }
    let exam = Exam::read();
    let cases: Vec<&Case> = exam.cases.iter().filter(|case| names.contains(&case.name)).collect();
    let group = cases.first().expect("a case").group();
    let world = World::open(subject);
    let observed = sitting::sit(&world, &group, &cases);
    println!("{REPORTED}{}", serde_json::to_string(&observed).expect("JSON"));
    ExitCode::SUCCESS
}
