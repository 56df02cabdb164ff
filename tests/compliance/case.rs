//! Cases as text files, one file for each group of topics. Every implementation runs the same cases. `README.md` beside
//! this file describes the format.

use crate::common::Implementation;
use crate::differences::{self, Difference};
use std::collections::BTreeMap;

/// One test case, with the result that each implementation must give.
#[derive(Clone, Debug)]
pub struct Case {
    /// The case's number in a form that can be part of user and file names: `case017`.
    pub id: String,
    /// The topic that it belongs to.
    pub area: String,
    /// The name of the case, a unique sentence.
    pub name: String,
    /// The action of the case.
    pub task: Task,
    /// The only profile that the case applies to, `debian` or `cronie`, when the other has no such feature.
    pub only: Option<String>,
    /// Additional flags for the daemon.
    pub flags: String,
    /// Whether the machine has a sendmail.
    pub mailer: bool,
    /// What is recorded: `verdict`, `out`, `log`, `mail` and modifiers.
    pub watch: Vec<String>,
    /// Shell scripts that root runs before the daemon starts (`setup`), after the first minute (`between`) and at the end
    /// (`after`). The output of the last one is part of the result.
    pub setup: String,
    /// Runs after the first minute, see `setup`.
    pub between: String,
    /// Runs at the end, see `setup`.
    pub after: String,
    answers: Answers,
}

/// The action of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// A shell script, run by root with the helpers of `prelude.sh`.
    Script(String),
    /// A user's table, installed by `crontab`, then run by the daemon.
    UserTable(String),
    /// A system table at a path.
    SystemTable {
        /// Its path, in which `{ID}` stands for the case's id.
        path: String,
        /// The content of the file.
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

/// A result that differs from the reference implementation's on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The key of the difference in cron-differences(7).
    pub key: String,
    /// The recorded result of cronwheel.
    pub answer: String,
}

/// All cases of the compliance suite.
#[derive(Clone, Debug, Default)]
pub struct Suite {
    /// All cases, in the order of the files.
    pub cases: Vec<Case>,
    /// All deliberate differences, in the order of the manual page.
    pub differences: Vec<Difference>,
}

/// What cases must have in common to share one machine and the same minutes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// Whether they are scripts, one after the other, or tables that all run in one minute.
    pub scripts: bool,
    /// Additional flags for the daemon.
    pub flags: String,
    /// Whether there is a sendmail.
    pub mailer: bool,
}

impl Case {
    /// Whether this implementation runs the case.
    pub fn applies_to(&self, implementation: Implementation) -> bool {
        self.only.as_deref().is_none_or(|only| (only == "debian") == implementation.is_debian())
    }

    /// The group of the case.
    pub fn group(&self) -> Group {
        Group { scripts: matches!(self.task, Task::Script(_)), flags: self.flags.clone(), mailer: self.mailer }
    }

    /// The result of the reference implementation whose profile this one has; `None` while it is not recorded.
    pub fn reference(&self, implementation: Implementation) -> Option<&str> {
        let own = if implementation.is_debian() { &self.answers.debian } else { &self.answers.cronie };
        own.as_deref().or(self.answers.expect.as_deref())
    }

    /// The deliberate difference from the reference implementation, if there is one.
    pub fn wanted(&self, implementation: Implementation) -> Option<&Wanted> {
        self.answers.wanted.get(implementation.name())
    }

    /// Whether a result of the case differs for the reason with this key.
    pub fn is_an_example_of(&self, key: &str, implementation: Implementation) -> bool {
        self.applies_to(implementation) && self.wanted(implementation).is_some_and(|wanted| wanted.key == key)
    }

    /// The result that the implementation must give.
    pub fn expected(&self, implementation: Implementation) -> Option<&str> {
        self.wanted(implementation).map(|wanted| wanted.answer.as_str()).or(self.reference(implementation))
    }

    /// Whether Debian's cron and cronie give different results.
    pub fn differs_between_references(&self) -> bool {
        self.only.is_none() && self.reference(Implementation::Debian) != self.reference(Implementation::OursCronie)
    }
}

impl Suite {
    /// Reads the files of `cases/` and the list of deliberate differences in cron-differences(7).
    pub fn read() -> Suite {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/compliance/cases");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .expect("tests/compliance/cases")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "cases"))
            .collect();
        files.sort();
        let mut suite = Suite { cases: Vec::new(), differences: differences::read() };
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            let label = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Err(problem) = suite.add(&text) {
                panic!("{label}: {problem}");
            }
        }
        for case in &suite.cases {
            if let Err(problem) = suite.check(case) {
                panic!("case {:?}: {problem}", case.name);
            }
        }
        suite
    }

    /// Whether a case differs for the reason with this key.
    pub fn is_used(&self, key: &str) -> bool {
        self.cases.iter().any(|case| Implementation::ALL.into_iter().any(|one| case.is_an_example_of(key, one)))
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        let mut area = String::new();
        for (number, (key, value)) in keys(text)? {
            let problem = |what: &str| format!("line {number}: {what}");
            let (word, argument) = key.split_once(' ').unwrap_or((&key, ""));
            match (word, self.cases.last_mut()) {
                ("area", _) => area = value,
                ("case", _) => {
                    let id = format!("case{:03}", self.cases.len() + 1);
                    self.cases.push(Case::new(id, area.clone(), value));
                }
                (_, Some(case)) => case.set(word, argument, value).map_err(|what| problem(&what))?,
                (_, None) => return Err(problem(&format!("{key:?} before the first case"))),
            }
        }
        Ok(())
    }

    /// Checks what one case says against the others and against the list of differences.
    fn check(&self, case: &Case) -> Result<(), String> {
        if self.cases.iter().filter(|other| other.name == case.name).count() > 1 {
            return Err("another case has the same name".to_owned());
        }
        if case.only.as_deref().is_some_and(|only| !["debian", "cronie"].contains(&only)) {
            return Err("expected debian or cronie after only:".to_owned());
        }
        for implementation in [Implementation::OursDebian, Implementation::OursCronie] {
            let Some(wanted) = case.wanted(implementation) else { continue };
            if !self.differences.iter().any(|difference| difference.key == wanted.key) {
                return Err(format!("{} has no paragraph with the key {:?}", differences::PAGE, wanted.key));
            }
            if case.reference(implementation) == Some(&wanted.answer) {
                return Err(format!("{} gives the same result as its reference", implementation.name()));
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
            _ => return Err(format!("unknown key {word:?}")),
        }
        Ok(())
    }

    fn want(&mut self, implementation: &'static str, key: &str, answer: String) {
        self.answers.wanted.insert(implementation, Wanted { key: key.to_owned(), answer });
    }
}

/// A key and its value, with the number of the key's line.
type Keyed = (usize, (String, String));

/// The keys of a file. A value follows the colon, or is indented below it.
fn keys(text: &str) -> Result<Vec<Keyed>, String> {
    let mut found: Vec<Keyed> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(inner) = line.strip_prefix("  ") {
            let (_, (_, value)) =
                found.last_mut().ok_or_else(|| format!("line {number}: indented text before the first key"))?;
            value.push_str(inner);
            value.push('\n');
        } else if line.trim().is_empty() || line.starts_with('#') {
            continue;
        } else {
            // A path may contain a colon.
            let split = if line.starts_with("system ") { line.rsplit_once(':') } else { line.split_once(':') };
            let (key, value) = split.ok_or_else(|| format!("line {number}: expected a key and a colon"))?;
            found.push((number, (key.trim().to_owned(), value.trim().to_owned())));
        }
    }
    Ok(found)
}
