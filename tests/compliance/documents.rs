//! The files that the suite writes and checks: REPORT.md with the raw cases, and the table of results in two README.md.

use crate::case::{Case, Suite};
use crate::common::Implementation;
use crate::differences::{Difference, PAGE};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The marks in README.md around the table.
const TABLE_FROM: &str = "<!-- compliance: written by `cargo test --test compliance -- --write` -->\n";
const TABLE_TO: &str = "<!-- /compliance -->\n";

/// How many lines of a result the report shows.
const MOST_LINES: usize = 8;

/// Files with the content that they should have.
#[derive(Debug)]
pub struct Documents {
    files: Vec<(PathBuf, String)>,
}

impl Documents {
    /// The report, which depends on the cases alone.
    pub fn report(suite: &Suite) -> Documents {
        Documents { files: vec![(root().join("tests/compliance/REPORT.md"), report(suite))] }
    }

    /// The README.md files with the table of a whole run.
    pub fn tables(table: &str) -> Documents {
        let mut files = Vec::new();
        for readme in ["README.md", "tests/compliance/README.md"].map(|name| root().join(name)) {
            if let Some(text) = fs::read_to_string(&readme).ok().and_then(|text| with_table(&text, table)) {
                files.push((readme, text));
            }
        }
        Documents { files }
    }

    /// Writes the files.
    pub fn write(&self) {
        for (path, text) in &self.files {
            fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }

    /// The files whose content is not what it should be.
    pub fn stale(&self) -> Vec<String> {
        self.files
            .iter()
            .filter(|(path, text)| fs::read_to_string(path).ok().as_ref() != Some(text))
            .map(|(path, _)| path.display().to_string())
            .collect()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn with_table(readme: &str, table: &str) -> Option<String> {
    let (before, rest) = readme.split_once(TABLE_FROM)?;
    let (_, after) = rest.split_once(TABLE_TO)?;
    Some(format!("{before}{TABLE_FROM}{table}{TABLE_TO}{after}"))
}

/// The report in Markdown.
fn report(suite: &Suite) -> String {
    let mut text = format!(
        "# Compliance report\n\n\
         Generated from `tests/compliance/cases` by `cargo test --test compliance -- --report`; do not edit.\n\n\
         The first part lists, for each deliberate difference, the cases that show it. The explanation of each is the\n\
         paragraph with the same title in `{PAGE}`. The second part lists the cases in which Debian's cron and cronie\n\
         differ from each other; there each profile of cronwheel follows its own reference.\n\n\
         `Debian` and `cronie` are the results of the reference implementations, `cronwheel` is ours. Only the lines that\n\
         differ are shown, at most {MOST_LINES} of them. `accepted` and `refused` are the answers of crontab(1), `ran` is\n\
         the output of a job, and a line such as `cron.err cron[N]: ...` was in the log.\n\n\
         ## Deliberate differences\n"
    );
    for difference in &suite.differences {
        difference_section(&mut text, suite, difference);
    }
    text.push_str("\n## Differences between Debian's cron and cronie\n");
    let mut areas: Vec<&str> = suite.cases.iter().map(|case| case.area.as_str()).collect();
    areas.dedup();
    for area in areas {
        let mut cases =
            suite.cases.iter().filter(|case| case.area == area && case.differs_between_references()).peekable();
        if cases.peek().is_none() {
            continue;
        }
        line(&mut text, format_args!("\n### {area}"));
        for case in cases {
            let (debian, cronie) = (case.reference(Implementation::Debian), case.reference(Implementation::OursCronie));
            results(&mut text, case, &[("Debian", differing(debian, cronie)), ("cronie", differing(cronie, debian))]);
        }
    }
    text
}

fn difference_section(text: &mut String, suite: &Suite, difference: &Difference) {
    let ours = [Implementation::OursDebian, Implementation::OursCronie];
    line(text, format_args!("\n### {} (`{}`)", difference.title, difference.key));
    if !difference.shown_by.is_empty() {
        line(text, format_args!("\nShown by {}.", difference.shown_by.join(", ")));
    }
    for case in &suite.cases {
        let mut shown = Vec::new();
        for implementation in ours.into_iter().filter(|one| case.is_an_example_of(&difference.key, *one)) {
            let (reference, wanted) = (case.reference(implementation), case.expected(implementation));
            let name = if implementation.is_debian() { "Debian" } else { "cronie" };
            shown.push((name, differing(reference, wanted), differing(wanted, reference)));
        }
        // Both profiles often differ in the same way.
        shown.dedup_by(|second, first| (&second.1, &second.2) == (&first.1, &first.2));
        let shown: Vec<(&str, Vec<&str>)> = shown
            .into_iter()
            .flat_map(|(name, reference, wanted)| [(name, reference), ("cronwheel", wanted)])
            .collect();
        if !shown.is_empty() {
            results(text, case, &shown);
        }
    }
}

/// The lines of one result that the other does not have; all lines if there are none.
fn differing<'a>(one: Option<&'a str>, other: Option<&str>) -> Vec<&'a str> {
    let (one, other) = (one.unwrap_or_default(), other.unwrap_or_default());
    let own: Vec<&str> = one.lines().filter(|line| !other.lines().any(|theirs| theirs == *line)).collect();
    if own.is_empty() { one.lines().collect() } else { own }
}

/// A case's name, and results with the name of the program in front of each line.
fn results(text: &mut String, case: &Case, results: &[(&str, Vec<&str>)]) {
    line(text, format_args!("\n- {}\n\n  ```text", case.name));
    for (name, lines) in results {
        if lines.is_empty() {
            line(text, format_args!("  {name}: (nothing)"));
        }
        for shown in lines.iter().take(MOST_LINES) {
            line(text, format_args!("  {name}: {}", shown.trim_end()));
        }
        if lines.len() > MOST_LINES {
            line(text, format_args!("  {name}: ..."));
        }
    }
    line(text, format_args!("  ```"));
}

/// Appends a line without blanks at its end.
fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let mut line = String::new();
    line.write_fmt(arguments).expect("a string");
    text.push_str(line.trim_end());
    text.push('\n');
}
