//! Who answered what: agreed, wanted differences, and what nobody has explained.

use crate::case::Exam;
use crate::common::Subject;
use crate::sitting::Observed;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// All answers, by subject.
pub type Answers = BTreeMap<Subject, Observed>;

/// What the exam came to.
#[derive(Debug, Default)]
pub struct Report {
    /// The table, in Markdown.
    pub table: String,
    /// Its rows of subjects that not every run has, and that the pages therefore leave out.
    pub guests: String,
    /// What is wrong, one text each.
    pub unexplained: Vec<String>,
}

/// Compares every answer with the case's.
pub fn report(exam: &Exam, answers: &Answers) -> Report {
    let mut report = Report::default();
    report
        .table
        .push_str("| subject | cases | as its incumbent | wanted differences | unexplained |\n|---|---|---|---|---|\n");
    for (subject, observed) in answers {
        let (mut agreed, mut wanted, mut unexplained) = (0, 0, 0);
        let cases = exam.cases.iter().filter(|case| observed.contains_key(&case.name));
        for case in cases {
            let seen = &observed[&case.name];
            match case.expected(*subject) {
                Some(expected) if expected == seen => {
                    if case.wanted(*subject).is_some() {
                        wanted += 1
                    } else {
                        agreed += 1
                    }
                }
                expected => {
                    unexplained += 1;
                    let no_longer = case.wanted(*subject).is_some() && case.incumbent(*subject) == Some(seen);
                    let note = if no_longer { " (the listed difference no longer differs)" } else { "" };
                    report.unexplained.push(format!(
                        "{} · {} · {}{note}\n{}",
                        subject.name(),
                        case.area,
                        case.name,
                        compare(expected.unwrap_or("(nothing written down)\n"), seen)
                    ));
                }
            }
        }
        let total = agreed + wanted + unexplained;
        let rows = if *subject == Subject::Cronie { &mut report.guests } else { &mut report.table };
        writeln!(rows, "| {} | {total} | {agreed} | {wanted} | {unexplained} |", title(*subject)).expect("a string");
    }
    report
}

/// The subject in words.
pub fn title(subject: Subject) -> &'static str {
    match subject {
        Subject::Debian => "Debian 12's cron",
        Subject::Cronie => "cronie",
        Subject::OursDebian => "cronwheel in Debian's place",
        Subject::OursCronie => "cronwheel in cronie's place",
    }
}

/// Both texts, lines that only one has marked.
fn compare(expected: &str, seen: &str) -> String {
    let mut text = String::new();
    for line in expected.lines() {
        let mark = if seen.lines().any(|other| other == line) { ' ' } else { '-' };
        writeln!(text, "    {mark} {line}").expect("a string");
    }
    text.push_str("      ---- was:\n");
    for line in seen.lines() {
        let mark = if expected.lines().any(|other| other == line) { ' ' } else { '+' };
        writeln!(text, "    {mark} {line}").expect("a string");
    }
    text
}
