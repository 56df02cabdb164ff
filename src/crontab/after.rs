//! `@after`: the jobs that an entry waits for. That they exist and do not wait for each other is known at the end of the table.

use super::diagnostic::{Diagnostic, LineProblem, Severity};
use super::form::Form;
use super::line::Line;
use super::memory::{OutOfMemory, append, push};
use super::spelling::distance;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// A job that an entry waits for.
#[derive(Clone, Debug)]
pub(super) struct Dependency {
    /// `NAME` in a user's table, `USER:NAME` in a system table.
    pub job: Arc<str>,
    /// Its place in the line.
    pub place: Range<usize>,
}

/// The named entries of a table, and those that wait for others.
#[derive(Default)]
pub(super) struct Dependencies {
    /// By name (`USER:NAME` in a system table), the line of the entry that has it.
    names: HashMap<Arc<str>, u32>,
    /// Names of entries that do not run because of an error of their own.
    faulty: HashSet<Arc<str>>,
    waiting: Vec<WaitingEntry>,
    /// How many jobs all of these wait for.
    jobs: usize,
}

/// An entry with `@after`, and the jobs that it waits for.
struct WaitingEntry {
    line: u32,
    /// The text of the line, for a diagnostic.
    text: Vec<u8>,
    name: Option<Arc<str>>,
    jobs: Vec<Dependency>,
}

/// Most names of a cycle that are shown.
const MOST_SHOWN: usize = 20;
/// Most names that all `@after` of a table have together: each may be two bytes long and takes many times that in memory.
pub(super) const MOST_JOBS_OF_TABLE: usize = 100_000;
/// Most names of a table that are compared with a misspelled one.
const MOST_COMPARED: usize = 500;

impl Dependencies {
    /// Gives a name to the entry in that line. The inner `Err` is the line of the entry that has it already.
    pub fn give_name(&mut self, name: &Arc<str>, line: u32) -> Result<Result<(), u32>, OutOfMemory> {
        if let Some(&other) = self.names.get(name) {
            return Ok(Err(other));
        }
        self.names.try_reserve(1)?;
        self.names.insert(Arc::clone(name), line);
        Ok(Ok(()))
    }

    /// Notes that an entry of that name exists but does not run.
    pub fn note_faulty(&mut self, name: Arc<str>) -> Result<(), OutOfMemory> {
        self.faulty.try_reserve(1)?;
        self.faulty.insert(name);
        Ok(())
    }

    /// Whether this many more jobs are too many for one table.
    pub fn is_full(&self, more: usize) -> bool {
        more > 0 && self.jobs + more > MOST_JOBS_OF_TABLE
    }

    /// Notes that an entry waits for these jobs.
    pub fn wait(&mut self, line: &Line<'_>, name: Option<Arc<str>>, jobs: Vec<Dependency>) -> Result<(), OutOfMemory> {
        let mut text = Vec::new();
        append(&mut text, line.text)?;
        self.jobs += jobs.len();
        push(&mut self.waiting, WaitingEntry { line: line.number, text, name, jobs })
    }

    /// Reports what is wrong with the jobs that entries wait for. An unknown job is an error only when the whole table is known and not
    /// installed yet.
    pub fn check(
        &self,
        form: Form,
        is_installed: bool,
        most_cycles: usize,
        mut list: impl FnMut(Severity, &dyn Fn() -> Diagnostic),
    ) {
        for (entry, problem) in self.cycles(most_cycles) {
            list(Severity::Error, &|| entry.diagnostic(Severity::Error, problem.clone()));
        }
        let severity = if form == Form::User && !is_installed { Severity::Error } else { Severity::Warning };
        for entry in &self.waiting {
            let is_known = |job: &&Dependency| self.names.contains_key(&job.job) || self.faulty.contains(&job.job);
            for job in entry.jobs.iter().filter(|job| !is_known(job)) {
                // A daemon, which knows all tables, says it itself.
                let aside = severity == Severity::Warning;
                list(severity, &|| entry.diagnostic(severity, LineProblem { aside, ..self.unknown(job, form) }));
            }
        }
    }

    #[cold]
    fn unknown(&self, job: &Dependency, form: Form) -> LineProblem {
        let name = &job.job;
        let problem = LineProblem::new(
            job.place.clone(),
            match form {
                Form::User => format!("expected the CRON_NAME of an entry of this table, found {name}"),
                Form::System => {
                    format!("no entry of this table has the name {name}; the entry waits until a table has one")
                }
            },
        );
        let is_like = |known: &&Arc<str>| {
            known.len().abs_diff(name.len()) <= 2 && distance(known.as_bytes(), name.as_bytes()) <= 2
        };
        let few = Some(&self.names).filter(|names| names.len() <= MOST_COMPARED);
        match few.and_then(|names| names.keys().filter(is_like).min()) {
            Some(meant) => problem.help(format!("did you mean {meant}?")),
            None => {
                let bare = name.rsplit_once(':').map_or(&**name, |(_, bare)| bare);
                problem.help(format!("write CRON_NAME={bare} above the entry that is meant"))
            }
        }
    }

    /// Returns one problem for each entry that closes a cycle, but at most `most`. The search follows each edge once.
    fn cycles(&self, most: usize) -> Vec<(&WaitingEntry, LineProblem)> {
        let named: HashMap<&str, usize> = self
            .waiting
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| entry.name.as_deref().map(|name| (name, index)))
            .collect();
        let mut states = vec![State::New; self.waiting.len()];
        let mut found: Vec<(&WaitingEntry, LineProblem)> = Vec::new();
        for start in 0..self.waiting.len() {
            if found.len() >= most {
                break;
            }
            // The entries on the way, each with the number of the job that is examined next.
            let mut path: Vec<(usize, usize)> = Vec::new();
            let mut next = Some(start);
            loop {
                if let Some(index) = next.take()
                    && let Some(state) = states.get_mut(index)
                    && *state == State::New
                {
                    *state = State::OnPath(path.len());
                    path.push((index, 0));
                }
                let Some((index, at)) = path.last_mut() else { break };
                let Some(entry) = self.waiting.get(*index) else { break };
                let Some(job) = entry.jobs.get(*at) else {
                    if let Some(state) = states.get_mut(*index) {
                        *state = State::Done;
                    }
                    path.pop();
                    continue;
                };
                *at += 1;
                let Some(&needed) = named.get(&*job.job) else { continue };
                match states.get(needed) {
                    Some(State::OnPath(depth)) => {
                        let is_listed = found.last().is_some_and(|(last, _)| last.line == entry.line);
                        if !is_listed && found.len() < most {
                            let cycle = path.get(*depth..).unwrap_or_default();
                            found.push((entry, self.cycle(cycle, job)));
                        }
                    }
                    Some(State::New) => next = Some(needed),
                    Some(State::Done) | None => {}
                }
            }
        }
        found
    }

    /// The problem about the job that closes the cycle of these entries.
    #[cold]
    fn cycle(&self, entries: &[(usize, usize)], job: &Dependency) -> LineProblem {
        let names = entries.iter().filter_map(|(index, _)| self.waiting.get(*index)?.name.as_deref());
        let words: Vec<&str> = names.take(MOST_SHOWN).collect();
        let more = match entries.len().saturating_sub(MOST_SHOWN) {
            0 => String::new(),
            more => format!(" after {more} more"),
        };
        let last = words.first().copied().unwrap_or_default();
        let chain = words.join(" after ");
        let message =
            format!("expected jobs that do not wait for each other, found a cycle: {chain}{more} after {last}");
        LineProblem::new(job.place.clone(), message).help("none of these entries would ever run")
    }
}

/// The state of an entry in the search for cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    /// On the path to the current entry, at this depth.
    OnPath(usize),
    Done,
}

impl WaitingEntry {
    fn diagnostic(&self, severity: Severity, problem: LineProblem) -> Diagnostic {
        let line = Line { number: self.line, text: &self.text, length: self.text.len(), ended: true };
        problem.at(severity, &line)
    }
}
