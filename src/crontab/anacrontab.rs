//! /etc/anacrontab, the table of anacron jobs, which are due after a period in days. Bytes in, jobs and diagnostics out; a bad line costs
//! only itself.
//!
//! A line is `PERIOD DELAY NAME COMMAND` or `NAME=VALUE`; a backslash at its end joins the next line to it, with a blank
//! between them (anacrontab(5); cronie's anacron/readtab.c). Unlike in a crontab, `%` and quotes mean nothing here.

use super::diagnostic::{Diagnostic, LineProblem, Severity};
use super::form::Form;
use super::job_scope::{JobScope, Variant};
use super::job_setting;
use super::line::{Cursor, Line, Lines, is_blank, without_cr};
use super::lints::{self, SettingLine};
use super::policy::Policy;
use super::setting::{self, Meaning, found};
use crate::schedule::{HostKey, JitterKey};
use std::ops::Range;
use std::sync::Arc;

/// The bytes beside letters and digits that an address may have in either profile.
const ADDRESS_MARKS: &[u8] = b"@!:%-.,_+=/";

/// Most bytes of an anacrontab. Each job keeps the settings above it, so that a table of this size makes some ten megabytes.
pub const LARGEST_ANACRONTAB: usize = 64 << 10;

/// The contents of an anacrontab.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anacrontab {
    /// The jobs in file order.
    pub jobs: Vec<AnacronJob>,
    /// The hours in which jobs may start.
    pub hours: Hours,
}

/// The hours in which jobs start; like anacron, the last line of the file holds for all of its jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hours {
    /// `START_HOURS_RANGE`: from the first up to the second, which is not one of them.
    pub range: Option<Range<u32>>,
    /// `PREFERRED_HOUR`: jobs start in this hour only.
    pub preferred: Option<u32>,
}

/// A job of an anacrontab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnacronJob {
    /// Its name, which is that of its stamp.
    pub id: Vec<u8>,
    /// How often it is due.
    pub period: Period,
    /// Seconds from the moment at which it is found due to its start, the drawn `RANDOM_DELAY` among them.
    pub delay: u32,
    /// The command for the shell.
    pub command: Vec<u8>,
    /// Its variables, each name once.
    pub variables: Vec<(Vec<u8>, Vec<u8>)>,
    /// How it is run, as the job settings above it say.
    pub policy: Arc<Policy>,
    /// The number of its line, counted from 1.
    pub line: u32,
}

/// How often a job is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// After so many days, at least 1.
    Days(u32),
    /// A calendar month (`@monthly`).
    Month,
    /// A calendar year (`@yearly`).
    Year,
}

/// The maximum delay in minutes: a week, so that typing errors are noticed.
const LONGEST_DELAY: u32 = 7 * 24 * 60;
/// The longest name that a file can have (NAME_MAX).
const LONGEST_NAME: usize = 255;

/// The names of periods. `@annualy` is a misspelling that anacron accepts.
const PERIODS: &[(&str, Period)] = &[
    ("@daily", Period::Days(1)),
    ("@weekly", Period::Days(7)),
    ("@monthly", Period::Month),
    ("@yearly", Period::Year),
    ("@annually", Period::Year),
    ("@annualy", Period::Year),
];

impl Hours {
    /// Whether jobs may start in that hour of the day.
    pub fn admit(&self, hour: u32) -> bool {
        self.range.as_ref().is_none_or(|range| range.contains(&hour))
            && self.preferred.is_none_or(|preferred| preferred == hour)
    }
}

impl Anacrontab {
    /// Parses an anacrontab. `name` is its path, on which, together with the host, the random delay depends. Never fails: the diagnostics
    /// say which lines cannot be used.
    pub fn parse(source: &[u8], name: &str, host: HostKey) -> (Anacrontab, Vec<Diagnostic>) {
        let mut reader = Reader {
            jitter_key: JitterKey { host, table: name, entry: b"" },
            random_minutes: 0,
            variables: Vec::new(),
            jobs: JobScope::default(),
            tab: Anacrontab::default(),
            diagnostics: Vec::new(),
        };
        for line in join(source) {
            if let Err(problem) = reader.line(&line) {
                reader.report(Severity::Error, &line, problem);
            }
        }
        (reader.tab, reader.diagnostics)
    }
}

/// A line, with the following ones that a backslash joins to it.
struct Joined<'a> {
    text: Vec<u8>,
    /// Where in the text each of the file's lines begins.
    pieces: Vec<(usize, Line<'a>)>,
}

fn join(source: &[u8]) -> Vec<Joined<'_>> {
    let mut joined: Vec<Joined<'_>> = Vec::new();
    let mut goes_on = false;
    for line in Lines::of(source) {
        let text = without_cr(line.text);
        let piece = text.strip_suffix(b"\\").filter(|_| line.ended);
        match joined.last_mut().filter(|_| goes_on) {
            Some(before) => {
                before.text.push(b' ');
                before.pieces.push((before.text.len(), line));
                before.text.extend_from_slice(piece.unwrap_or(text));
            }
            None => joined.push(Joined { text: piece.unwrap_or(text).to_vec(), pieces: vec![(0, line)] }),
        }
        goes_on = piece.is_some();
    }
    joined
}

/// The state of the parser.
struct Reader<'a> {
    jitter_key: JitterKey<'a>,
    /// The drawn `RANDOM_DELAY` for the jobs below.
    random_minutes: u32,
    /// The settings so far, each name once.
    variables: Vec<(Vec<u8>, Vec<u8>)>,
    /// The job settings above the line that is read.
    jobs: JobScope,
    tab: Anacrontab,
    diagnostics: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn line(&mut self, line: &Joined<'_>) -> Result<(), LineProblem> {
        let text = line.text.as_slice();
        let mut cursor = Cursor::new(text);
        cursor.skip_blanks();
        if matches!(cursor.peek(), None | Some(b'#')) {
            return Ok(());
        }
        if let Some(at) = memchr::memchr(0, text) {
            return Err(LineProblem::new(at..at + 1, "expected text, found a NUL byte"));
        }
        match assignment(cursor) {
            Some((name, value)) => self.setting(line, name, value),
            None => self.job(line, cursor),
        }
    }

    fn setting(&mut self, line: &Joined<'_>, name: Range<usize>, value: Range<usize>) -> Result<(), LineProblem> {
        let text = line.text.as_slice();
        let (place, name, bytes) = (name.clone(), &text[name], &text[value.clone()]);
        let here = |problem: LineProblem| problem.moved(value.start);
        match name {
            b"RANDOM_DELAY" => {
                self.random_minutes = 0;
                let most = setting::delay(bytes).map_err(here)?;
                // One draw for all jobs below, so that they keep their distances.
                self.random_minutes = self.jitter_key.jitter("delay", most + 1);
            }
            b"START_HOURS_RANGE" => self.tab.hours.range = Some(hours_range(bytes).map_err(here)?),
            b"PREFERRED_HOUR" => self.tab.hours.preferred = Some(preferred_hour(bytes).map_err(here)?),
            b"MAILTO" if !bytes.contains(&b'$') => {
                if let Some((_, problem)) = setting::mailto_problem(bytes, ADDRESS_MARKS) {
                    self.report(Severity::Warning, line, here(problem));
                }
            }
            _ => {
                let problem = match job_setting::row(name) {
                    Some(row) if row.applies.anacron => self.jobs.set(row, bytes, Form::System, None).map(here),
                    Some(row) if bytes != b"default" => {
                        let message = format!("{} has no effect on the jobs of anacron", row.name);
                        Some(LineProblem::new(place, message))
                    }
                    Some(_) => None,
                    None => {
                        let variables = &self.variables;
                        lints::check_setting(&SettingLine {
                            name,
                            value: bytes,
                            is_literal: false,
                            meaning: setting::row(name).map_or(Meaning::Variable, |row| row.meaning),
                            address_marks: ADDRESS_MARKS,
                            are_addresses_expanded: true,
                            machine: None,
                            is_set_above: &|name| variables.iter().any(|(above, _)| above == name),
                        })
                        .map(here)
                    }
                };
                if let Some(problem) = problem {
                    self.report(Severity::Warning, line, problem);
                }
            }
        }
        set(&mut self.variables, name, bytes);
        Ok(())
    }

    fn job(&mut self, line: &Joined<'_>, mut cursor: Cursor<'_>) -> Result<(), LineProblem> {
        let next = self.jobs.take_next();
        let (at, period) = next_word(&mut cursor);
        if let Some(problem) = odd_period(period, at.clone()) {
            self.report(Severity::Warning, line, problem);
        }
        let period = read_period(period, at)?;
        let (at, minutes) = next_word(&mut cursor);
        let delay = number(minutes).filter(|minutes| *minutes <= LONGEST_DELAY).ok_or_else(|| {
            let message = format!("expected a delay of 0 to {LONGEST_DELAY} minutes, found {}", found(minutes));
            LineProblem::new(at, message)
        })?;
        let (at, id) = next_word(&mut cursor);
        if let Some(problem) = name_problem(id, at.clone()) {
            return Err(problem);
        }
        if let Some(other) = self.tab.jobs.iter().find(|job| job.id == id) {
            let message = format!("the name {} is already used in line {}", found(id), other.line);
            let help = "both have the same stamp, so a run of one counts as a run of the other";
            self.report(Severity::Warning, line, LineProblem::new(at, message).help(help));
        }
        cursor.skip_blanks();
        let command = cursor.rest();
        if command.is_empty() {
            return Err(LineProblem::new(cursor.at()..cursor.at(), "expected a command, found the end of the line"));
        }
        self.tab.jobs.push(AnacronJob {
            id: id.to_vec(),
            period,
            delay: (delay + self.random_minutes) * 60,
            command: command.to_vec(),
            variables: for_job(&self.variables),
            policy: self.jobs.policy(Variant::default(), next.ping),
            line: line.pieces.first().map_or(0, |(_, line)| line.number),
        });
        Ok(())
    }

    /// Keeps a problem, with the file's own line and column.
    fn report(&mut self, severity: Severity, line: &Joined<'_>, mut problem: LineProblem) {
        let at = problem.span.start;
        if let Some((start, line)) = line.pieces.iter().rev().find(|(start, _)| *start <= at) {
            problem.span = at - start..problem.span.end.saturating_sub(*start);
            self.diagnostics.push(problem.at(severity, line));
        }
    }
}

/// Parses name and value of a setting: a first word that is followed by `=`. Blanks around the value do not count.
fn assignment(mut cursor: Cursor<'_>) -> Option<(Range<usize>, Range<usize>)> {
    let start = cursor.at();
    let name = cursor.take_while(|byte| byte != b'=' && !is_blank(byte));
    cursor.skip_blanks();
    if name.is_empty() || !cursor.take(b'=') {
        return None;
    }
    cursor.skip_blanks();
    let value = cursor.at()..cursor.at() + cursor.rest().trim_ascii_end().len();
    Some((start..start + name.len(), value))
}

fn next_word<'a>(cursor: &mut Cursor<'a>) -> (Range<usize>, &'a [u8]) {
    cursor.skip_blanks();
    let start = cursor.at();
    let word = cursor.word();
    (start..start + word.len(), word)
}

fn number(text: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(text).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn read_period(text: &[u8], at: Range<usize>) -> Result<Period, LineProblem> {
    let named = PERIODS.iter().find(|(name, _)| name.as_bytes() == text).map(|(_, period)| *period);
    named.or_else(|| number(text).map(|days| Period::Days(days.max(1)))).ok_or_else(|| {
        LineProblem::new(at, format!("expected a period in days, found {}", found(text)))
            .help("a number, or one of @daily @weekly @monthly @yearly")
    })
}

fn odd_period(text: &[u8], at: Range<usize>) -> Option<LineProblem> {
    (number(text) == Some(0)).then(|| LineProblem::new(at, "a period of 0 days counts as 1"))
}

fn name_problem(id: &[u8], at: Range<usize>) -> Option<LineProblem> {
    let message = match id {
        b"" => "expected a name for the job, found the end of the line".to_owned(),
        b"." | b".." => format!("expected a name for the job, found {}", found(id)),
        _ if id.contains(&b'/') => format!("expected a name without a slash, found {}", found(id)),
        _ if id.len() > LONGEST_NAME => {
            format!("expected a name of at most {LONGEST_NAME} bytes, found {}", id.len())
        }
        _ => return None,
    };
    Some(LineProblem::new(at, message).help("a file in /var/spool/anacron has this name: 1 5 cron.daily COMMAND"))
}

fn hours_range(text: &[u8]) -> Result<Range<u32>, LineProblem> {
    let mut ends = text.splitn(2, |byte| *byte == b'-').map(number);
    match (ends.next().flatten(), ends.next().flatten()) {
        (Some(from), Some(to)) if from < to && to <= 24 => Ok(from..to),
        _ => Err(LineProblem::new(0..text.len(), format!("expected two hours like 3-22, found {}", found(text)))
            .help("from 0 to 24; the second must be later, and jobs start before it")),
    }
}

fn preferred_hour(text: &[u8]) -> Result<u32, LineProblem> {
    number(text).filter(|hour| *hour < 24).ok_or_else(|| {
        LineProblem::new(0..text.len(), format!("expected an hour from 0 to 23, found {}", found(text)))
            .help("midnight is hour 0")
    })
}

/// The variables of a job, from the settings above it. `NO_MAIL_OUTPUT` that is not empty means no mail, as an empty MAILTO does.
fn for_job(variables: &[(Vec<u8>, Vec<u8>)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut own = variables.to_vec();
    if own.iter().any(|(name, value)| name == b"NO_MAIL_OUTPUT" && !value.is_empty()) {
        set(&mut own, b"MAILTO", b"");
    }
    own
}

fn set(variables: &mut Vec<(Vec<u8>, Vec<u8>)>, name: &[u8], value: &[u8]) {
    match variables.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => *old = value.to_vec(),
        None => variables.push((name.to_vec(), value.to_vec())),
    }
}

#[cfg(test)]
#[path = "anacrontab_tests.rs"]
mod tests;
