//! Compares results with what the cases expect: equal to the reference, deliberate differences, unexplained ones.

use crate::case::Suite;
use crate::common::Implementation;
use crate::run::Observed;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The results of each implementation.
pub type Results = BTreeMap<Implementation, Observed>;

/// The outcome of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// The table, in Markdown.
    pub table: String,
    /// Rows of implementations that not every run has; README.md leaves them out.
    pub optional_rows: String,
    /// A text for each result that is neither expected nor explained.
    pub unexplained: Vec<String>,
}

/// Compares every result with the one that its case expects.
pub fn report(suite: &Suite, results: &Results) -> Report {
    let mut report = Report::default();
    report.table.push_str(
        "| implementation | cases | as the reference | deliberate differences | unexplained |\n|---|---|---|---|---|\n",
    );
    for (implementation, observed) in results {
        let (mut agreed, mut wanted, mut unexplained) = (0, 0, 0);
        let cases = suite.cases.iter().filter(|case| observed.contains_key(&case.name));
        for case in cases {
            let seen = &observed[&case.name];
            match case.expected(*implementation) {
                Some(expected) if expected == seen => {
                    if case.wanted(*implementation).is_some() {
                        wanted += 1
                    } else {
                        agreed += 1
                    }
                }
                expected => {
                    unexplained += 1;
                    let no_longer =
                        case.wanted(*implementation).is_some() && case.reference(*implementation) == Some(seen);
                    let note = if no_longer { " (the listed difference no longer differs)" } else { "" };
                    report.unexplained.push(format!(
                        "{} · {} · {}{note}\n{}",
                        implementation.name(),
                        case.area,
                        case.name,
                        compare(expected.unwrap_or("(not recorded)\n"), seen)
                    ));
                }
            }
        }
        let total = agreed + wanted + unexplained;
        let rows =
            if *implementation == Implementation::Cronie { &mut report.optional_rows } else { &mut report.table };
        writeln!(rows, "| {} | {total} | {agreed} | {wanted} | {unexplained} |", title(*implementation))
            .expect("a string");
    }
    report
}

/// The name of an implementation in the table.
pub fn title(implementation: Implementation) -> &'static str {
    match implementation {
        Implementation::Debian => "Debian 12's cron",
        Implementation::Cronie => "cronie",
        Implementation::OursDebian => "cronwheel, debian profile",
        Implementation::OursCronie => "cronwheel, cronie profile",
    }
}

/// Both texts, with a mark before each line that only one of them has.
fn compare(expected: &str, seen: &str) -> String {
    let mut text = String::new();
    for line in expected.lines() {
        let mark = if seen.lines().any(|other| other == line) { ' ' } else { '-' };
        writeln!(text, "    {mark} {line}").expect("a string");
    }
    text.push_str("      ---- observed:\n");
    for line in seen.lines() {
        let mark = if expected.lines().any(|other| other == line) { ' ' } else { '+' };
        writeln!(text, "    {mark} {line}").expect("a string");
    }
    text
}
