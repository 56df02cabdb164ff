//! What the cases say about differences, as a manual page; and the report's table, for README.md.

use crate::case::{Case, Exam, Reason};
use crate::common::Subject;
use std::fs;
use std::path::{Path, PathBuf};

/// Marks in README.md between which the table stands.
const TABLE_FROM: &str = "<!-- compliance: written by `cargo test --test compliance -- --write` -->\n";
const TABLE_TO: &str = "<!-- /compliance -->\n";

/// An answer's lines beyond these are left out of the page.
const MOST_LINES: usize = 8;

/// The files that the exam writes.
#[derive(Debug)]
pub struct Pages {
    files: Vec<(PathBuf, String)>,
}

impl Pages {
    /// Both, as they should be.
    pub fn of(exam: &Exam, table: &str) -> Pages {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = vec![(root.join("man/cron-differences.7"), manual(exam))];
        for readme in ["README.md", "tests/compliance/README.md"].map(|name| root.join(name)) {
            if let Some(text) = fs::read_to_string(&readme).ok().and_then(|text| with_table(&text, table)) {
                files.push((readme, text));
            }
        }
        Pages { files }
    }

    /// The manual page alone, which needs no answers.
    pub fn manual(exam: &Exam) -> Pages {
        Pages { files: vec![(Path::new(env!("CARGO_MANIFEST_DIR")).join("man/cron-differences.7"), manual(exam))] }
    }

    /// Writes them.
    pub fn write(&self) {
        for (path, text) in &self.files {
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }

    /// Those that are not what they should be.
    pub fn stale(&self) -> Vec<String> {
        self.files
            .iter()
            .filter(|(path, text)| fs::read_to_string(path).ok().as_ref() != Some(text))
            .map(|(path, _)| path.display().to_string())
            .collect()
    }
}

fn with_table(readme: &str, table: &str) -> Option<String> {
    let (before, rest) = readme.split_once(TABLE_FROM)?;
    let (_, after) = rest.split_once(TABLE_TO)?;
    Some(format!("{before}{TABLE_FROM}{table}{TABLE_TO}{after}"))
}

/// The page in mdoc(7).
fn manual(exam: &Exam) -> String {
    let mut page = String::from(
        ".\\\" Generated from tests/compliance/cases by `cargo test --test compliance -- --write`.\n\
         .Dd November 22, 2026\n.Dt CRON-DIFFERENCES 7\n.Os\n.Sh NAME\n.Nm cron-differences\n\
         .Nd how cronwheel differs from Debian's cron and from cronie\n.Sh DESCRIPTION\n\
         Every line of this page is a case of the exam that cronwheel and Debian's own\n.Xr cron 8\nsit alike\n\
         .Pq the answers of cronie are taken from its documentation and source .\n\
         Whatever is not listed here behaves as the program that is being replaced,\n\
         as far as the exam can see.\n\
         .Pp\n\
         Under each heading are its cases: what was tried, then what the incumbent did\n\
         .Pq Li Debian , cronie\n\
         and what happens\n.Li here .\n\
         .Li accepted\nand\n.Li refused\nare the answers of\n.Xr crontab 1 ,\n\
         .Li ran\nis what a job wrote; a line such as\n.Li cron.err cron[N]: ...\nstood in the log.\n\
         Where nothing is said of cronie, the case is about Debian's cron alone or the\n\
         two behave alike.\n",
    );
    page.push_str(".Sh WHERE CRONWHEEL DIFFERS ON PURPOSE\n");
    for reason in &exam.reasons {
        reason_section(&mut page, exam, reason);
    }
    page.push_str(
        ".Sh WHERE THE TWO PROFILES DIFFER\n\
         Here Debian's cron and cronie differ from each other,\n\
         and each profile follows its own.\n",
    );
    for area in areas(exam) {
        let cases: Vec<&Case> =
            exam.cases.iter().filter(|case| case.area == area && case.divides_the_incumbents()).collect();
        if cases.is_empty() {
            continue;
        }
        line(&mut page, ".Ss ", &area);
        page.push_str(".Bl -bullet -compact\n");
        for case in cases {
            page.push_str(".It\n");
            line(&mut page, "", &case.name);
            shown(&mut page, "Debian", differing(case.incumbent(Subject::Debian), case.incumbent(Subject::OursCronie)));
            shown(&mut page, "cronie", differing(case.incumbent(Subject::OursCronie), case.incumbent(Subject::Debian)));
        }
        page.push_str(".El\n");
    }
    page.push_str(".Sh SEE ALSO\n.Xr crontab 1 ,\n.Xr crontab 5 ,\n.Xr crond 8\n");
    page
}

fn areas(exam: &Exam) -> Vec<String> {
    let mut areas: Vec<String> = exam.cases.iter().map(|case| case.area.clone()).collect();
    areas.dedup();
    areas
}

fn reason_section(page: &mut String, exam: &Exam, reason: &Reason) {
    let ours = [Subject::OursDebian, Subject::OursCronie];
    let is_it = |case: &Case, subject| case.wanted(subject).is_some_and(|wanted| wanted.reason == reason.name);
    let cases: Vec<&Case> = exam
        .cases
        .iter()
        .filter(|case| ours.iter().any(|subject| is_it(case, *subject) && case.concerns(*subject)))
        .collect();
    if cases.is_empty() && reason.shown_by.is_none() {
        return;
    }
    line(page, ".Ss ", &reason.title);
    for text in wrapped(&reason.text) {
        line(page, "", &text);
    }
    if let Some(suite) = &reason.shown_by {
        line(page, "", &format!("Shown by {suite}."));
    }
    if cases.is_empty() {
        return;
    }
    page.push_str(".Bl -bullet -compact\n");
    for case in cases {
        page.push_str(".It\n");
        line(page, "", &case.name);
        let differing_subjects: Vec<Subject> =
            ours.into_iter().filter(|subject| is_it(case, *subject) && case.concerns(*subject)).collect();
        for (index, subject) in differing_subjects.iter().enumerate() {
            let (incumbent, wanted) = (case.incumbent(*subject), case.expected(*subject));
            let same_as_before = index > 0
                && differing_subjects[..index]
                    .iter()
                    .any(|before| case.incumbent(*before) == incumbent && case.expected(*before) == wanted);
            if same_as_before {
                continue;
            }
            let name = if subject.is_debian() { "Debian" } else { "cronie" };
            shown(page, name, differing(incumbent, wanted));
            shown(page, "here", differing(wanted, incumbent));
        }
    }
    page.push_str(".El\n");
}

/// The lines of one answer that the other does not have; all of it, when that is none.
fn differing(one: Option<&str>, other: Option<&str>) -> Vec<String> {
    let (one, other) = (one.unwrap_or_default(), other.unwrap_or_default());
    let own: Vec<String> =
        one.lines().filter(|line| !other.lines().any(|theirs| theirs == *line)).map(str::to_owned).collect();
    if own.is_empty() { one.lines().map(str::to_owned).collect() } else { own }
}

/// An answer under the name of who gives it.
fn shown(page: &mut String, who: &str, lines: Vec<String>) {
    page.push_str(".Bd -literal -compact\n");
    if lines.is_empty() {
        line(page, "", &format!("{who}: (nothing)"));
    }
    for text in lines.iter().take(MOST_LINES) {
        line(page, "", &format!("{who}: {text}"));
    }
    if lines.len() > MOST_LINES {
        line(page, "", &format!("{who}: ..."));
    }
    page.push_str(".Ed\n");
}

/// The text in lines of at most 79 bytes, a new one after each sentence.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        if lines.last().is_some_and(|last| last.len() + 1 + word.len() > 79 || last.ends_with('.')) {
            lines.push(String::new());
        }
        let last = lines.last_mut().expect("one line at least");
        if !last.is_empty() {
            last.push(' ');
        }
        last.push_str(word);
    }
    lines
}

/// One line of text, nothing in it being taken for a request of mdoc.
fn line(page: &mut String, request: &str, text: &str) {
    let mut text: String = text.replace('\\', "\\e").replace('\t', "    ");
    // mandoc would have this name written as a macro, which a line of text cannot hold.
    text = text.replace("FreeBSD", "Free\\&BSD");
    // At the beginning of a heading `An` would be a macro of two letters.
    let is_macro = !request.is_empty() && text.split(' ').next().is_some_and(|word| word.len() == 2);
    if is_macro || request.is_empty() && (text.starts_with('.') || text.starts_with('\'')) {
        text.insert_str(0, "\\&");
    }
    page.push_str(request);
    page.push_str(text.trim_end());
    page.push('\n');
}
