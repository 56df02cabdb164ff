//! The files of anacron's jobs where no anacron is installed: the anacrontab and the stamps. The scheduler decides which job is due and when it starts,
//! from what is read here.

use super::debug::Topic;
use super::load_event::LogLine;
use super::load_lines::{refusal_line, report_diagnostics};
use super::settings::Settings;
use super::stamps::{StampStep, StampTask, Stamps};
use crate::crontab::{Anacrontab, LARGEST_ANACRONTAB, Severity, Unlisted};
use crate::profile::shared;
use crate::report::Level;
use crate::schedule::{Day, HostKey};
use crate::scheduler::{Event, Owner, Source, StampCause};
use crate::spool::{Found, Refusal, unreadable};
use crate::sys::files;
use crate::sys::power;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Most bytes of the file with anacron's settings.
const LARGEST_FILE: usize = 64 << 10;

/// The anacrontab and the stamps.
#[derive(Debug)]
pub(super) struct AnacronFiles {
    stamps: Stamps,
    host: HostKey,
    /// The anacrontab as it was read last, with its bytes.
    table: Option<(Vec<u8>, Arc<Anacrontab>)>,
    /// Why it was refused, as it was logged.
    refusal: Option<String>,
    is_on_battery: bool,
}

impl AnacronFiles {
    /// None if this daemon does not run anacron's jobs, because it is standalone or starts no jobs at all.
    pub(super) fn new(settings: &Settings, host: HostKey) -> Option<AnacronFiles> {
        let wanted = !settings.is_standalone() && !settings.debug.has(Topic::Test);
        wanted.then(|| AnacronFiles {
            stamps: Stamps::new(&settings.config.anacron_stamps),
            host,
            table: None,
            refusal: None,
            is_on_battery: false,
        })
    }

    /// Reads the anacrontab, the stamps of its jobs, and whether due jobs must wait because the machine runs on its battery. `unwritten` has the days
    /// of stamps that are still to be written. Faults of a changed anacrontab are added to the log lines.
    pub(super) fn read(
        &mut self,
        settings: &Settings,
        unwritten: &HashMap<Vec<u8>, Day>,
        log_lines: &mut Vec<LogLine>,
    ) -> Event {
        self.read_table(settings, log_lines);
        let was_on_battery = std::mem::replace(&mut self.is_on_battery, waits_for_ac_power() && power::is_on_battery());
        if self.is_on_battery && !was_on_battery && self.table.is_some() {
            let detail = "on battery power: anacron jobs that are due wait".to_owned();
            log_lines.push(LogLine::of_daemon(Level::Info, "INFO", detail));
        }
        let table = self.table.as_ref().map(|(_, table)| table.clone());
        let jobs = table.iter().flat_map(|table| &table.jobs);
        let stamp = |id: &Vec<u8>| unwritten.get(id).copied().or_else(|| self.stamps.read(id));
        let stamps = jobs.filter_map(|job| Some((job.id.clone(), stamp(&job.id)?))).collect();
        let source = anacron_source(&settings.config.anacrontab.to_string_lossy());
        Event::LoadAnacrontab { source, table, stamps, is_on_battery: self.is_on_battery }
    }

    /// What is to be done with the stamp before a job is started. None: anacron itself has been installed and starts the job.
    pub(super) fn task_before_start(&self, id: &[u8]) -> Option<StampTask> {
        (!files::is_executable(shared::ANACRON)).then(|| self.task(id, StampStep::Prepare))
    }

    /// What is to be done with the stamp of a job that has run on that day.
    pub(super) fn task_after_run(&self, id: &[u8], day: Day, cause: StampCause) -> Option<StampTask> {
        match cause {
            // Such a line checks for anacron itself and does nothing then.
            StampCause::RegularLine if files::is_executable(shared::ANACRON) => None,
            StampCause::Ended | StampCause::RegularLine => Some(self.task(id, StampStep::Write(day))),
        }
    }

    fn task(&self, id: &[u8], step: StampStep) -> StampTask {
        StampTask { stamps: self.stamps.clone(), id: id.to_owned(), step }
    }

    fn read_table(&mut self, settings: &Settings, log_lines: &mut Vec<LogLine>) {
        let found = if files::is_executable(shared::ANACRON) { None } else { read_table(settings) };
        let bytes = match found {
            Some((_, Ok(bytes))) => bytes,
            Some((_, Err(refusal))) => {
                let text = refusal.text();
                if text != self.refusal {
                    log_lines.extend(refusal_line(settings.config.profile, &refusal));
                }
                (self.table, self.refusal) = (None, text);
                return;
            }
            None => {
                (self.table, self.refusal) = (None, None);
                return;
            }
        };
        self.refusal = None;
        if self.table.as_ref().is_some_and(|(before, _)| *before == bytes) {
            return;
        }
        let path = settings.config.anacrontab.to_string_lossy();
        let (table, diagnostics) = Anacrontab::parse(&bytes, &path, self.host);
        report_diagnostics(
            settings.config.profile,
            &anacron_source(&path),
            &diagnostics,
            Unlisted::default(),
            log_lines,
        );
        self.table = Some((bytes, Arc::new(table)));
    }
}

/// The source of anacron's jobs for the executor and the log.
fn anacron_source(path: &str) -> Source {
    Source { path: path.to_owned(), name: "*system*".to_owned(), owner: Owner::System }
}

/// The anacrontab's path and its bytes, or why it is refused. None: there is no anacrontab.
fn read_table(settings: &Settings) -> Option<(String, Result<Vec<u8>, Refusal>)> {
    let Found { source, content, .. } = settings.finder().open_as_system(&settings.config.anacrontab)?;
    let bytes = content.and_then(|file| {
        file.bytes(LARGEST_ANACRONTAB).map_err(|error| unreadable(&source, &error, settings.config.profile.profile))
    });
    Some((source.path, bytes))
}

/// Whether anacron's jobs wait while the machine runs on its battery. They do unless Debian's settings file for anacron says otherwise.
fn waits_for_ac_power() -> bool {
    let text = files::read_text(Path::new(shared::ANACRON_DEFAULTS), LARGEST_FILE).unwrap_or_default();
    let mut values = text.lines().filter_map(|line| line.trim().strip_prefix("ANACRON_RUN_ON_BATTERY_POWER="));
    values.next_back().is_none_or(|value| value.trim_matches(['"', '\'']) != "yes")
}

/// Checks the anacrontab for `crond --check`. None: there is no anacrontab.
pub fn check(settings: &Settings, host: HostKey) -> Option<CheckResult> {
    let (path, content) = read_table(settings)?;
    Some(match content {
        Ok(bytes) => {
            let (tab, diagnostics) = Anacrontab::parse(&bytes, &path, host);
            let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
            CheckResult::Read {
                jobs: tab.jobs.len(),
                errors,
                warnings: diagnostics.len() - errors,
                snippets: diagnostics.iter().map(|diagnostic| diagnostic.picture(&path)).collect(),
            }
        }
        Err(refusal) => CheckResult::Refused(format!("{path}: refused: {}", refusal.text().unwrap_or_default())),
    })
}

/// The result of a check.
#[derive(Debug)]
pub enum CheckResult {
    /// The anacrontab was read; it may have faults.
    Read {
        /// The number of jobs that it has.
        jobs: usize,
        /// The number of lines that do not run.
        errors: usize,
        /// The number of doubtful lines.
        warnings: usize,
        /// The diagnostics, each with its source line.
        snippets: String,
    },
    /// The anacrontab is refused, for this reason.
    Refused(String),
}
