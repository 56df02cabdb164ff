//! The list of deliberate differences: the paragraphs of cron-differences(7), each with a key that cases refer to.

use std::path::Path;

/// The manual page, which is written by hand.
pub const PAGE: &str = "man/cron-differences.7";

/// In the page's source, starts the comment in front of a difference's paragraph: the key, and after a colon the
/// test suites that show the difference where no case can.
const MARK: &str = ".\\\" difference ";

/// Comes before the title, on the line after the mark.
const TITLE: &str = ".It Sy ";

/// A paragraph of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key that cases refer to.
    pub key: String,
    /// The first words of the paragraph.
    pub title: String,
    /// Paths of the test suites that show it where no case can, because it needs a clock that the test sets.
    pub shown_by: Vec<String>,
}

/// Reads the page.
pub fn read() -> Vec<Difference> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{PAGE}: {e}"));
    parse(&page).unwrap_or_else(|problem| panic!("{PAGE}: {problem}"))
}

/// Compares the page with the keys that cases use, and returns what is wrong. A key without a paragraph is found when the
/// cases are read.
pub fn problems(differences: &[Difference], is_used: impl Fn(&str) -> bool) -> Vec<String> {
    let mut problems = Vec::new();
    for (index, difference) in differences.iter().enumerate() {
        let key = &difference.key;
        if differences[..index].iter().any(|other| other.key == *key) {
            problems.push(format!("{PAGE}: two paragraphs have the key {key:?}"));
        }
        if !is_used(key) && difference.shown_by.is_empty() {
            problems.push(format!("{PAGE}: no case and no other suite shows the difference {key:?}"));
        }
        for suite in &difference.shown_by {
            if !Path::new(env!("CARGO_MANIFEST_DIR")).join(suite).exists() {
                problems.push(format!("{PAGE}: the difference {key:?} names {suite}, which does not exist"));
            }
        }
    }
    problems
}

fn parse(page: &str) -> Result<Vec<Difference>, String> {
    let mut found = Vec::new();
    let mut lines = (1..).zip(page.lines());
    while let Some((number, line)) = lines.next() {
        let Some(mark) = line.strip_prefix(MARK) else { continue };
        let (key, suites) = mark.split_once(':').unwrap_or((mark, ""));
        let title = lines.next().and_then(|(_, line)| line.strip_prefix(TITLE));
        let title = title.ok_or_else(|| format!("line {}: expected {TITLE:?} after the mark", number + 1))?;
        found.push(Difference {
            key: key.trim().to_owned(),
            title: title.replace("\\&", "").trim_matches('"').to_owned(),
            shown_by: suites.split_whitespace().map(str::to_owned).collect(),
        });
    }
    Ok(found)
}
