//! Cases as text: one file an area, every case serving every subject. `README.md` beside this file has the format.

use crate::common::Subject;
use std::collections::BTreeMap;

/// One question of the exam, with every subject's answer.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its number, as part of user and file names: `case017`.
    pub id: String,
    /// The area it belongs to.
    pub area: String,
    /// A sentence.
    pub name: String,
    /// What is done.
    pub task: Task,
    /// The profile it is about, when the other has no such thing: `debian` or `cronie`.
    pub only: Option<String>,
    /// The daemon's flags.
    pub flags: String,
    /// Whether the machine has a sendmail.
    pub mailer: bool,
    /// What is looked at: `verdict`, `out`, `log`, `mail`, `order`.
    pub watch: Vec<String>,
    /// Shell run by root before the daemon starts, after the first minute, and at the end, its output being looked at.
    pub setup: String,
    /// See `setup`.
    pub between: String,
    /// See `setup`.
    pub after: String,
    answers: Answers,
}

/// What a case does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// A shell script, run by root with the helpers of `prelude.sh`.
    Script(String),
    /// A user's table, installed by `crontab`, then run by the daemon.
    UserTable(String),
    /// A system table at a path.
    SystemTable {
        /// Where it lies, `{ID}` being the case's.
        path: String,
        /// What it says.
        text: String,
    },
}

#[derive(Clone, Debug, Default)]
struct Answers {
    expect: Option<String>,
    debian: Option<String>,
    cronie: Option<String>,
    wanted: BTreeMap<&'static str, Wanted>,
}

/// A difference that we want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its reason's name.
    pub reason: String,
    /// Our answer.
    pub answer: String,
}

/// Why we differ: a row of `reasons.cases`.
#[derive(Clone, Debug)]
pub struct Reason {
    /// How cases name it.
    pub name: String,
    /// A heading.
    pub title: String,
    /// Prose.
    pub text: String,
    /// The suite that shows it, where no real minute can.
    pub shown_by: Option<String>,
}

/// The whole exam.
#[derive(Clone, Debug, Default)]
pub struct Exam {
    /// In the order of the files.
    pub cases: Vec<Case>,
    /// In the order of their file.
    pub reasons: Vec<Reason>,
}

/// Cases that can share one machine and the same minutes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// Whether they are scripts, one after the other, or tables that all run in one minute.
    pub scripts: bool,
    /// The daemon's flags.
    pub flags: String,
    /// Whether there is a sendmail.
    pub mailer: bool,
}

impl Case {
    /// Whether this subject sits it.
    pub fn concerns(&self, subject: Subject) -> bool {
        self.only.as_deref().is_none_or(|only| (only == "debian") == subject.is_debian())
    }

    /// The cases it can be put together with.
    pub fn group(&self) -> Group {
        Group { scripts: matches!(self.task, Task::Script(_)), flags: self.flags.clone(), mailer: self.mailer }
    }

    /// What the incumbent that the subject replaces answers: `None` while nobody has written it down.
    pub fn incumbent(&self, subject: Subject) -> Option<&str> {
        let own = if subject.is_debian() { &self.answers.debian } else { &self.answers.cronie };
        own.as_deref().or(self.answers.expect.as_deref())
    }

    /// The difference that we want from the incumbent.
    pub fn wanted(&self, subject: Subject) -> Option<&Wanted> {
        self.answers.wanted.get(subject.name())
    }

    /// What the subject must answer.
    pub fn expected(&self, subject: Subject) -> Option<&str> {
        self.wanted(subject).map(|wanted| wanted.answer.as_str()).or(self.incumbent(subject))
    }

    /// Whether Debian's cron and cronie answer differently.
    pub fn divides_the_incumbents(&self) -> bool {
        self.only.is_none() && self.incumbent(Subject::Debian) != self.incumbent(Subject::OursCronie)
    }
}

impl Exam {
    /// Reads the files of `cases/`.
    pub fn read() -> Exam {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/compliance/cases");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .expect("tests/compliance/cases")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "cases"))
            .collect();
        files.sort();
        let mut exam = Exam::default();
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            let label = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Err(complaint) = exam.add(&text) {
                panic!("{label}: {complaint}");
            }
        }
        for reason in &exam.reasons {
            let is_it = |wanted: &Wanted| wanted.reason == reason.name;
            let named = exam.cases.iter().any(|case| case.answers.wanted.values().any(is_it));
            assert!(named || reason.shown_by.is_some(), "no case is for the reason {:?}", reason.name);
        }
        for case in &exam.cases {
            if let Err(complaint) = exam.check(case) {
                panic!("case {:?}: {complaint}", case.name);
            }
        }
        exam
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        let mut area = String::new();
        for (number, (key, value)) in keys(text)? {
            let complain = |what: &str| format!("line {number}: {what}");
            let (word, argument) = key.split_once(' ').unwrap_or((&key, ""));
            match (word, self.cases.last_mut()) {
                ("area", _) => area = value,
                ("reason", _) => {
                    self.reasons.push(Reason {
                        name: value,
                        title: String::new(),
                        text: String::new(),
                        shown_by: None,
                    });
                }
                ("title", _) => self.last_reason().ok_or_else(|| complain("a title without a reason"))?.title = value,
                ("shown-by", _) => {
                    self.last_reason().ok_or_else(|| complain("a proof without a reason"))?.shown_by = Some(value);
                }
                ("text", _) => self.last_reason().ok_or_else(|| complain("a text without a reason"))?.text = value,
                ("case", _) => {
                    let id = format!("case{:03}", self.cases.len() + 1);
                    self.cases.push(Case::new(id, area.clone(), value));
                }
                (_, Some(case)) => case.set(word, argument, value).map_err(|what| complain(&what))?,
                (_, None) => return Err(complain(&format!("{key:?} before the first case"))),
            }
        }
        Ok(())
    }

    fn last_reason(&mut self) -> Option<&mut Reason> {
        self.reasons.last_mut()
    }

    /// What makes a case wrong in itself.
    fn check(&self, case: &Case) -> Result<(), String> {
        if self.cases.iter().filter(|other| other.name == case.name).count() > 1 {
            return Err("the name is there twice".to_owned());
        }
        if case.only.as_deref().is_some_and(|only| !["debian", "cronie"].contains(&only)) {
            return Err("only: debian or cronie".to_owned());
        }
        for subject in [Subject::OursDebian, Subject::OursCronie] {
            let Some(wanted) = case.wanted(subject) else { continue };
            if !self.reasons.iter().any(|reason| reason.name == wanted.reason) {
                return Err(format!("no reason is called {:?}", wanted.reason));
            }
            if case.incumbent(subject) == Some(&wanted.answer) {
                return Err(format!("the difference listed for {} is none", subject.name()));
            }
        }
        Ok(())
    }
}

impl Case {
    fn new(id: String, area: String, name: String) -> Case {
        Case {
            id,
            area,
            name,
            task: Task::Script(String::new()),
            only: None,
            flags: String::new(),
            mailer: true,
            watch: Vec::new(),
            setup: String::new(),
            between: String::new(),
            after: String::new(),
            answers: Answers::default(),
        }
    }

    fn set(&mut self, word: &str, argument: &str, value: String) -> Result<(), String> {
        match word {
            "script" => self.task = Task::Script(value),
            "user" => self.task = Task::UserTable(value),
            "system" => {
                let path = if argument.is_empty() { "/etc/cron.d/{ID}" } else { argument };
                self.task = Task::SystemTable { path: path.to_owned(), text: value };
            }
            "only" => self.only = Some(value),
            "flags" => self.flags = value,
            "mailer" => self.mailer = value != "none",
            "watch" => self.watch = value.split_whitespace().map(str::to_owned).collect(),
            "setup" => self.setup = value,
            "between" => self.between = value,
            "after" => self.after = value,
            "expect" => self.answers.expect = Some(value),
            "debian" => self.answers.debian = Some(value),
            "cronie" => self.answers.cronie = Some(value),
            "ours" => {
                for name in ["ours-debian", "ours-cronie"] {
                    self.want(name, argument, value.clone());
                }
            }
            "ours-debian" => self.want("ours-debian", argument, value),
            "ours-cronie" => self.want("ours-cronie", argument, value),
            _ => return Err(format!("no key is called {word:?}")),
        }
        Ok(())
    }

    fn want(&mut self, subject: &'static str, reason: &str, answer: String) {
        self.answers.wanted.insert(subject, Wanted { reason: reason.to_owned(), answer });
    }
}

/// A key and its value, with the number of the key's line.
type Keyed = (usize, (String, String));

/// The keys of a file. A value stands behind the colon, or indented below it.
fn keys(text: &str) -> Result<Vec<Keyed>, String> {
    let mut found: Vec<Keyed> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(inner) = line.strip_prefix("  ") {
            let (_, (_, value)) = found.last_mut().ok_or_else(|| format!("line {number}: belongs to nothing"))?;
            value.push_str(inner);
            value.push('\n');
        } else if line.trim().is_empty() || line.starts_with('#') {
            continue;
        } else {
            // A path may hold a colon.
            let split = if line.starts_with("system ") { line.rsplit_once(':') } else { line.split_once(':') };
            let (key, value) = split.ok_or_else(|| format!("line {number}: expected a key and a colon"))?;
            found.push((number, (key.trim().to_owned(), value.trim().to_owned())));
        }
    }
    Ok(found)
}
