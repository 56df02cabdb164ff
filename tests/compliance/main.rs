//! The compliance suite: the same black-box cases for Debian 12's own cron, for cronwheel in both profiles, and for cronie
//! where it has been built.
//!
//! `cargo test --test compliance` runs all cases; words after `--` select the cases whose name or area contains one of them.
//! Options, see README.md beside this file: `--write`, `--check`, `--report`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test program, though not inside a #[test].

#[path = "../common/mod.rs"]
pub mod common;

mod case;
mod differences;
mod documents;
mod minute;
mod report;
mod run;
mod words;

use case::{Case, Group, Suite};
use common::{Implementation, World, stage};
use documents::Documents;
use report::Results;
use run::Observed;
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

/// Precedes the results in the output of the program that runs inside a private machine.
const REPORTED: &str = "observed ";

/// Unpacked packages, besides Debian's cron, that cases use.
const NEEDS: [&str; 4] = ["ansible-core", "logcheck-database", "logwatch", "python3-crontab"];

/// The program inside a private machine is killed if it has not ended after this time.
const RUN_LIMIT: Duration = Duration::from_secs(1800);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(stage) = stage::stage() {
        return inner(&stage, &words);
    }
    let suite = Suite::read();
    let has = |option: &str| words.iter().any(|word| word == option);
    if has("--list") {
        suite.cases.iter().for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }
    let report_file = Documents::report(&suite);
    if has("--report") || has("--write") {
        report_file.write();
    }
    let mut problems = differences::problems(&suite.differences, |key| suite.is_used(key));
    problems.extend(stale(&report_file, "--report"));
    let filters: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
    if has("--check") || has("--report") {
        return verdict(&problems);
    }
    if let Some(why) = stage::why_not(Implementation::Debian).or_else(|| stage::missing(&NEEDS)) {
        stage::skip("compliance", &why);
        return verdict(&problems);
    }
    let results = run_all(&suite, &filters);
    let report = report::report(&suite, &results);
    problems.extend(report.unexplained.iter().map(|unexplained| format!("UNEXPLAINED {unexplained}")));
    println!("{} cases\n\n{}{}", suite.cases.len(), report.table, report.optional_rows);
    // A selection of cases gives no complete table.
    if filters.is_empty() {
        let tables = Documents::tables(&report.table);
        if has("--write") {
            tables.write();
        }
        problems.extend(stale(&tables, "--write"));
    }
    verdict(&problems)
}

fn stale(documents: &Documents, option: &str) -> Vec<String> {
    let remedy = |file| format!("STALE {file}: run `cargo test --test compliance -- {option}`");
    documents.stale().into_iter().map(remedy).collect()
}

fn verdict(problems: &[String]) -> ExitCode {
    problems.iter().for_each(|problem| println!("{problem}"));
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs every group of cases on every implementation, each on a private machine of its own, all at the same time.
fn run_all(suite: &Suite, filters: &[&str]) -> Results {
    let selected = |case: &&Case| {
        filters.is_empty() || filters.iter().any(|word| case.name.contains(word) || case.area.contains(word))
    };
    let cases: Vec<&Case> = suite.cases.iter().filter(selected).collect();
    let groups: BTreeSet<Group> = cases.iter().map(|case| case.group()).collect();
    let only = std::env::var("COMPLIANCE_ONLY").unwrap_or_default();
    let mut runs = Vec::new();
    for implementation in Implementation::ALL {
        if !only.is_empty() && !only.split(',').any(|name| name == implementation.name()) {
            continue;
        }
        if let Some(why) = stage::why_not(implementation) {
            assert!(implementation == Implementation::Cronie, "{}: {why}", implementation.name());
            println!("SKIP {}: {why}", implementation.name());
            continue;
        }
        for group in &groups {
            let names: Vec<String> = cases
                .iter()
                .filter(|case| case.group() == *group && case.applies_to(implementation))
                .map(|case| case.name.clone())
                .collect();
            if !names.is_empty() {
                runs.push((implementation, std::thread::spawn(move || run_on_a_machine(implementation, &names))));
            }
        }
    }
    let mut results = Results::new();
    for (implementation, thread) in runs {
        results.entry(implementation).or_default().extend(thread.join().expect("a run"));
    }
    for (implementation, observed) in &results {
        let path = format!("{}/compliance-{}.json", env!("CARGO_TARGET_TMPDIR"), implementation.name());
        std::fs::write(path, serde_json::to_vec_pretty(observed).expect("JSON")).expect("the file of results");
    }
    results
}

/// Runs this program inside a new private machine. If it fails, every one of its cases gets that as its result.
fn run_on_a_machine(implementation: Implementation, names: &[String]) -> Observed {
    let mut arguments = vec![implementation.name()];
    arguments.extend(names.iter().map(String::as_str));
    let inside = stage::go_inside(&arguments, RUN_LIMIT);
    let output = inside.output;
    let stdout = String::from_utf8_lossy(&output.stdout);
    match stdout.lines().find_map(|line| line.strip_prefix(REPORTED)) {
        Some(observed) if output.status.success() => serde_json::from_str(observed).expect("the results of the run"),
        _ => {
            let end = if inside.timed_out {
                format!("killed after {} seconds", RUN_LIMIT.as_secs())
            } else {
                output.status.to_string()
            };
            let stderr = String::from_utf8_lossy(&output.stderr);
            println!("{}: the run failed, {end}: {stderr}\n", implementation.name());
            names.iter().map(|name| (name.clone(), "the run failed\n".to_owned())).collect()
        }
    }
}

/// The stages inside a private machine. The arguments are the implementation and the names of its cases.
fn inner(stage: &str, words: &[String]) -> ExitCode {
    let (name, names) = words.split_first().expect("an implementation");
    let implementation = Implementation::named(name).unwrap_or_else(|| panic!("unknown implementation {name:?}"));
    if stage == "first" {
        stage::finish(stage::first_process(implementation));
    }
    let suite = Suite::read();
    let cases: Vec<&Case> = suite.cases.iter().filter(|case| names.contains(&case.name)).collect();
    let group = cases.first().expect("a case").group();
    let world = World::open(implementation);
    let observed = run::run_group(&world, &group, &cases);
    println!("{REPORTED}{}", serde_json::to_string(&observed).expect("JSON"));
    ExitCode::SUCCESS
}
